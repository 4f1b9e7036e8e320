"""An explicit, editable memory for LangChain and LangGraph, after MemLLM (arXiv 2404.11672).

``MemLLMMemory`` is what applications hold; ``Memory`` the core below it. Everything here is imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

    from langchain_memllm.adapters.embeddings import MemLLMEmbeddings
    from langchain_memllm.adapters.store import MemLLMStore
    from langchain_memllm.errors import MemLLMError
    from langchain_memllm.extraction import ChatExtractor
    from langchain_memllm.local import MemLLMModel
    from langchain_memllm.memory import Memory, Thresholds
    from langchain_memllm.plugin import MemLLMMemory
    from langchain_memllm.quotas import Limits
    from langchain_memllm.relations import Relation
    from langchain_memllm.triples import Fact, Match, Query, ReadResult, Recall, Receipt, Source, Statement, Triple

_HOMES = {
    "ChatExtractor": "extraction",
    "Fact": "triples",
    "Limits": "quotas",
    "Match": "triples",
    "MemLLMEmbeddings": "adapters.embeddings",
    "MemLLMError": "errors",
    "MemLLMMemory": "plugin",
    "MemLLMModel": "local",
    "MemLLMStore": "adapters.store",
    "Memory": "memory",
    "Query": "triples",
    "ReadResult": "triples",
    "Recall": "triples",
    "Receipt": "triples",
    "Relation": "relations",
    "Source": "triples",
    "Statement": "triples",
    "Thresholds": "memory",
    "Triple": "triples",
}

__all__ = [
    "ChatExtractor",
    "Fact",
    "Limits",
    "Match",
    "MemLLMEmbeddings",
    "MemLLMError",
    "MemLLMMemory",
    "MemLLMModel",
    "MemLLMStore",
    "Memory",
    "Query",
    "ReadResult",
    "Recall",
    "Receipt",
    "Relation",
    "Source",
    "Statement",
    "Thresholds",
    "Triple",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home at first use; the version is that of what is installed."""
    from importlib import import_module, metadata

    if name == "__version__":
        value: object = metadata.version("langchain-memllm")
    elif name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, and what every module has."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
