"""Data that come in distributions of their own, because most installations do not need them."""

from __future__ import annotations

import importlib.util
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from langchain_memllm.errors import MissingExtra

__all__ = ["MULTILINGUAL", "SMOLLM2", "data_of", "is_installed"]

SMOLLM2: Final = "smollm2"
MULTILINGUAL: Final = "multilingual"
_NEEDED_FOR: Final = {
    SMOLLM2: ("The shipped adapters", "local"),
    MULTILINGUAL: ("The multilingual table", "multilingual"),
}


def is_installed(name: str) -> bool:
    """Whether the distribution ``langchain-memllm-{name}`` is there."""
    return importlib.util.find_spec(f"langchain_memllm_{name}") is not None


def data_of(name: str) -> Traversable:
    """Folder of the data of the distribution ``langchain-memllm-{name}``.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return resources.files(f"langchain_memllm_{name}")
    except ModuleNotFoundError as error:
        purpose, extra = _NEEDED_FOR[name]
        command = (
            f"pip install 'langchain-memllm[{extra}]' (in a checkout of the repository: pip install ./packages/{name})"
        )
        raise MissingExtra(purpose, extra, command) from error
