"""For tests of applications and of parts of your own: doubles that need no model, and contracts to pass.

``FakeEmbedder`` and ``ScriptedModel`` stand in for an embedder and a chat model: no network, key or download, and the
same answers in every process. ``StoreContract`` and ``ExtractorContract`` are suites for pytest, which is imported
only when one of them is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_memllm.testing.doubles import Answer, FakeEmbedder, Request, Script, ScriptedModel, tool_call

if TYPE_CHECKING:
    from langchain_memllm.testing.contracts import (
        ExtractorContract,
        OutboxContract,
        SimilarityContract,
        StoreContract,
    )

__all__ = [
    "Answer",
    "ExtractorContract",
    "FakeEmbedder",
    "OutboxContract",
    "Request",
    "Script",
    "ScriptedModel",
    "SimilarityContract",
    "StoreContract",
    "tool_call",
]


def __getattr__(name: str) -> object:
    """Import a contract, and pytest with it, at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import pytest
    except ImportError as error:
        raise ImportError(f"{name} is a suite for pytest, which is not installed: pip install pytest") from error
    pytest.register_assert_rewrite("langchain_memllm.testing.rules")  # so that a failed assert shows its values
    from langchain_memllm.testing import contracts

    return getattr(contracts, name)
