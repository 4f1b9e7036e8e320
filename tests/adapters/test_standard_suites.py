"""LangChain's own suites (``langchain-tests``) on the tools and the retriever; doors, section 3.

The suites call tools without a config, so the memories have ``require_user=False``: everything is the local user's.
"""

from __future__ import annotations

from typing import Any

import pytest
from agents import memory_of
from langchain_core.tools import BaseTool

from langchain_memllm.adapters.retriever import MemLLMRetriever
from langchain_memllm.plugin import MemLLMMemory

units = pytest.importorskip("langchain_tests.unit_tests")
integration = pytest.importorskip("langchain_tests.integration_tests")

EXAMPLES: dict[str, dict[str, Any]] = {
    "remember": {"facts": [{"subject": "user", "relation": "lives in", "object": "Oslo"}]},
    "recall": {"query": "Where do I live?"},
    "forget": {"subject": "user", "relation": "lives in"},
}


def filled() -> MemLLMMemory:
    """A memory of one person without a name."""
    memory = memory_of(require_user=False)
    memory.write([("user", "lives in", "Oslo"), ("user", "likes", "tea"), ("user", "works for", "Acme")])
    return memory


class _OneTool:
    """What the suites of tools ask of a tool."""

    name: str

    @property
    def tool_constructor(self) -> BaseTool:
        return next(tool for tool in filled().tools() if tool.name == self.name)

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return EXAMPLES[self.name]


class TestRemember(_OneTool, units.ToolsUnitTests):
    name = "remember"


class TestRecall(_OneTool, units.ToolsUnitTests):
    name = "recall"


class TestForget(_OneTool, units.ToolsUnitTests):
    name = "forget"


class TestRememberRuns(_OneTool, integration.ToolsIntegrationTests):
    name = "remember"


class TestRecallRuns(_OneTool, integration.ToolsIntegrationTests):
    name = "recall"


class TestForgetRuns(_OneTool, integration.ToolsIntegrationTests):
    name = "forget"


class TestRetriever(integration.RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[MemLLMRetriever]:
        return MemLLMRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        memory = filled()
        return {"recall": memory.recall, "scope": memory.scope}

    @property
    def retriever_query_example(self) -> str:
        return "What do you know about me?"


@pytest.mark.parametrize("name", EXAMPLES)
def test_without_a_user_the_suites_would_be_refused(name: str) -> None:
    """By design: a call that names nobody gets nobody's memory."""
    tool = next(tool for tool in memory_of().tools() if tool.name == name)
    with pytest.raises(ValueError, match=r"needs \{user_id\}"):
        tool.invoke(EXAMPLES[name])
