"""The local MemLLM model: one causal LM that writes triples while it reads text and asks its memory while it generates.

Importing this package loads neither torch nor transformers; taking a name from it does. ``weights`` finds, converts and
loads models, ``vocabulary`` knows their tokens, ``constraint`` keeps them inside the grammar, ``decoding`` runs them
step by step with a cache that is extended and cropped, ``leading`` brings queries to what a memory holds, ``writer``
and ``model`` put these together.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_memllm.errors import MissingExtra

if TYPE_CHECKING:
    from langchain_memllm.local.leading import Leading
    from langchain_memllm.local.model import MemLLMModel, Sampling
    from langchain_memllm.local.writer import WriteOptions, WriteOutput

__all__ = ["Leading", "MemLLMModel", "Sampling", "WriteOptions", "WriteOutput"]

_HOMES = {
    "Leading": "leading",
    "MemLLMModel": "model",
    "Sampling": "model",
    "WriteOptions": "writer",
    "WriteOutput": "writer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("langchain_memllm"):
            raise
        raise MissingExtra(f"The local model ({error.name})", "local") from error
