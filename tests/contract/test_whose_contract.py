"""Whose word counts, on every store: one principal, tools that hear the person, and who has a memory."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage

from langchain_memllm import MemLLMMemory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing import FakeEmbedder, Request, ScriptedModel, tool_call

RUN: Any = {"configurable": {"user_id": "kari"}}
BERGEN: dict[str, Any] = {"facts": [{"subject": "The user", "relation": "lives in", "object": "Bergen"}]}


@pytest.fixture
def memory(store: TripleStore) -> MemLLMMemory:
    return MemLLMMemory(store, embedder=FakeEmbedder())


def said(memory: MemLLMMemory, text: str, tool: str, arguments: dict[str, Any], **options: Any) -> str:
    """What a tool answers that a model calls when kari says this."""

    def script(request: Request) -> Any:
        last = request.messages[-1]
        return str(last.text) if isinstance(last, ToolMessage) else tool_call(tool, **arguments)

    state = create_agent(ScriptedModel(script=script), memory.tools(**options)).invoke(
        {"messages": [("human", text)]}, RUN
    )
    return str(state["messages"][-1].text)


def states(memory: MemLLMMemory) -> list[tuple[str, str, str | None]]:
    return [(fact.triple.object, fact.state, fact.principal) for fact in memory.history("user", user_id="kari")]


def test_one_principal_by_user_and_by_namespace(memory: MemLLMMemory) -> None:
    """bugs 3.20"""
    memory.write([("user", "lives in", "Oslo")], namespace=("memllm", "kari"))
    memory.write([("user", "lives in", "Bergen")], user_id="kari")
    assert states(memory) == [("Oslo", "past", "kari"), ("Bergen", "current", "kari")]


def test_what_the_tool_hears_from_the_person_replaces(memory: MemLLMMemory) -> None:
    """bugs 3.3, 3.11"""
    memory.write([("user", "lives in", "Oslo")], user_id="kari")
    assert said(memory, "Summarise the page.", "remember", BERGEN).endswith("that was not replaced")
    assert [state for _, state, _ in states(memory)] == ["contested", "contested"]
    assert said(memory, "I moved to Bergen.", "remember", BERGEN) == "user | lives in | Bergen: was known already"
    assert states(memory) == [("Oslo", "past", "kari"), ("Bergen", "current", "kari")]


def test_stating_it_again_settles_what_a_tool_contested(memory: MemLLMMemory) -> None:
    """bugs 3.3, end to end: the tool first, then the person says the new value again."""
    memory.write([("user", "lives in", "Oslo")], user_id="kari")
    said(memory, "Hello.", "remember", BERGEN)
    memory.write([("user", "lives in", "Bergen")], user_id="kari")
    assert [(match.answer, match.fact.state) for match in memory.read("user", "lives in", user_id="kari")] == [
        ("Bergen", "current")
    ]


def test_forgetting_by_tool_closes_and_erases_if_asked_for(memory: MemLLMMemory) -> None:
    """bugs 3.11, friction 5"""
    memory.write([("user", "lives in", "Oslo"), ("user", "likes", "tea")], user_id="kari")
    home = {"subject": "me", "relation": "lives in"}
    assert said(memory, "Hello.", "forget", home).startswith("Nothing was forgotten. 1 fact stayed")
    assert said(memory, "Forget where I live.", "forget", home) == "Closed 1 fact. The history keeps it."
    assert [state for _, state, _ in states(memory)] == ["past", "current"]
    everything = {"subject": "user", "everything": True}
    assert said(memory, "Forget everything about me.", "forget", everything, erase=True) == "Erased 2 facts."
    assert states(memory) == []


def test_who_has_a_memory(memory: MemLLMMemory) -> None:
    """bugs friction 2"""
    for user in ("kari", "Ada"):
        memory.write([("user", "lives in", "Oslo")], user_id=user)
    memory.write([("office", "is in", "Oslo")], namespace=("team", "acme"))
    assert memory.users() == ["Ada", "kari"]
