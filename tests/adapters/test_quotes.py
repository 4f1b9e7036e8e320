"""What was said comes through every door: tools, retriever, command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ferry import FERRY, SECRET, fill
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool

from langchain_memllm import MemLLMMemory
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.interface import TripleStore

LINE = f"* {FERRY} | said 2026-03-05 by user"
FACT = "- user | likes | ferry tickets |"
RUN = {"configurable": {"user_id": "ada", "thread_id": "now"}}


@pytest.fixture(params=["memory", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def memory(request: pytest.FixtureRequest) -> MemLLMMemory:
    """A memory of one user, on either store."""
    store: TripleStore | str = ":memory:" if request.param == "memory" else request.getfixturevalue("neo4j_store")
    return fill(MemLLMMemory(store, episodes=True))


def recall_of(memory: MemLLMMemory, **options: Any) -> BaseTool:
    return next(tool for tool in memory.tools(**options) if tool.name == "recall")


CALL = {"type": "tool_call", "id": "1", "name": "recall", "args": {"query": "ticket code of the ferry"}}


async def test_the_tool_shows_what_was_said(memory: MemLLMMemory) -> None:
    for message in (recall_of(memory).invoke(CALL, RUN), await recall_of(memory).ainvoke(CALL, RUN)):
        lines = message.text.splitlines()
        assert LINE in lines and any(line.startswith(FACT) for line in lines) and SECRET not in message.text
        assert [each.get("text") for each in message.artifact] == [None, FERRY]
    assert LINE not in recall_of(memory, show="facts").invoke(CALL, RUN).text
    said = recall_of(memory, show="turns").invoke(CALL, RUN).text
    assert LINE in said.splitlines() and FACT not in said
    with pytest.raises(ConfigurationError, match="show='all' is unknown"):
        memory.tools(show="all")  # type: ignore[arg-type]


async def test_the_retriever_gives_what_was_said(memory: MemLLMMemory) -> None:
    retriever = memory.retriever(user_id="ada")
    for found in (retriever.invoke("ticket code of the ferry"), await retriever.ainvoke("ticket code of the ferry")):
        assert [each.page_content for each in found] == ["user likes ferry tickets", FERRY]
        assert found[1].id == Turn.named("trip", FERRY)
        assert found[1].metadata["said_at"].startswith("2026-03-05T12:00:00") and found[1].metadata["thread"] == "trip"
        json.dumps(found[1].metadata)
    assert [d.page_content for d in memory.retriever(user_id="ada", k=1).invoke("ferry ticket")] == [
        "user likes ferry tickets"
    ]
    assert [d.page_content for d in memory.retriever(user_id="ada", show="turns").invoke("ferry ticket")] == [FERRY]
    assert [d.id != found[1].id for d in memory.retriever(user_id="ada", show="facts").invoke("ferry ticket")] == [True]
    with pytest.raises(ConfigurationError, match="show='all' is unknown"):
        memory.retriever(show="all")  # type: ignore[arg-type]


def test_a_memory_without_episodes_shows_facts_alone() -> None:
    memory = fill(MemLLMMemory(":memory:"))
    assert LINE not in recall_of(memory).invoke(CALL, RUN).text
    assert LINE in recall_of(memory, show="turns").invoke(CALL, RUN).text
    assert len(memory.retriever(user_id="ada").invoke("ferry ticket")) == 1


def test_the_doors_of_one_memory_share_what_they_know_of_turns() -> None:
    memory = fill(MemLLMMemory(":memory:", episodes=True))
    middleware = memory.middleware("read")
    assert middleware._recaller is not None and middleware._recaller._hub is memory.hub


def test_the_tool_does_not_repeat_what_the_model_sees() -> None:
    from langchain_memllm.adapters.tools import MemoryTools

    memory = MemLLMMemory(":memory:", episodes=True)
    memory.hub.keep([Turn(Turn.named("now", "m1"), "now", FERRY, "2026-03-05T12:00:00+00:00")], user_id="ada")

    class Runtime:
        config, state, tool_call_id, context = RUN, {"messages": [HumanMessage(FERRY, id="m1")]}, "1", None

    tools = MemoryTools(memory.core, memory.scope, hub=memory.hub, show="auto")
    assert FERRY not in tools.recall("ticket code of the ferry", runtime=Runtime())[0]  # type: ignore[arg-type]
    assert FERRY in recall_of(memory).invoke(CALL, RUN).text
