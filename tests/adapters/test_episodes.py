"""What an agent's runs leave in the Hub: each message once, whatever is edited, deleted or delivered again."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_memllm import MemLLMMemory
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.flow import run
from langchain_memllm.testing import ScriptedModel, tool_call

RUN: Any = {"configurable": {"user_id": "ada", "thread_id": "t"}}


@pytest.fixture
def memory() -> MemLLMMemory:
    return MemLLMMemory(":memory:", episodes=True)


def note(memory: MemLLMMemory, messages: list[BaseMessage], known: Any = None, config: Any = RUN) -> Any:
    noted = run(memory._writer().note(messages, config, known=known))
    assert noted is not None
    return noted.known


def said(memory: MemLLMMemory, thread: str = "t") -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in memory.hub.window(thread, n=99, user_id="ada").turns]


def test_an_agent_keeps_every_message_once_and_as_it_was(memory: MemLLMMemory) -> None:
    model = ScriptedModel(script=lambda request: " I see.\n")
    agent = create_agent(model, middleware=[memory.middleware()], checkpointer=InMemorySaver())
    for text in ("  Hi \n", "ok"):
        agent.invoke({"messages": [HumanMessage(text)]}, RUN)
    assert said(memory) == [
        ("user", "  Hi \n"),
        ("assistant", " I see.\n"),
        ("user", "ok"),
        ("assistant", " I see.\n"),
    ]


def test_a_graph_keeps_them_as_well() -> None:
    model = ScriptedModel(script=lambda request: "I see." if "record_facts" not in str(request.tools) else _fact())
    with MemLLMMemory(":memory:", model=model, episodes=True) as memory:
        graph = memory.build_graph(checkpointer=InMemorySaver())
        graph.invoke({"messages": [HumanMessage("I live in Oslo.")]}, RUN)
        assert said(memory) == [("user", "I live in Oslo."), ("assistant", "I see.")]
        (fact,) = memory.facts("user", user_id="ada")
        assert [turn.text for turn in memory.hub.turns_of(fact)] == ["I live in Oslo."]


def _fact() -> Any:
    return tool_call("record_facts", facts=[{"subject": "user", "relation": "lives in", "object": "Oslo"}])


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    with MemLLMMemory(":memory:", model=ScriptedModel(script=lambda request: _fact())) as memory:
        note(memory, [HumanMessage("I live in Oslo.", id="1")])
        assert (memory.stats(user_id="ada").turns, memory.stats(user_id="ada").outbox) == (0, 1)
    with pytest.raises(ConfigurationError, match="episodes='yes'"):
        MemLLMMemory(":memory:", episodes="yes")  # type: ignore[arg-type]


def test_without_a_model_nothing_waits(memory: MemLLMMemory) -> None:
    note(memory, [HumanMessage("I live in Oslo.", id="1")])
    assert (memory.stats(user_id="ada").turns, memory.stats(user_id="ada").outbox) == (1, 0)


def test_what_is_kept_of_a_run(memory: MemLLMMemory) -> None:
    messages: list[BaseMessage] = [
        SystemMessage("Be nice.", id="0"),
        HumanMessage("What is 6 times 7?", id="1", name="Bob"),
        AIMessage("", id="2", tool_calls=[{"name": "calculator", "args": {}, "id": "c"}]),
        ToolMessage("42", id="3", name="calculator", tool_call_id="c"),
        HumanMessage("a summary", id="4", additional_kwargs={"lc_source": "summarization"}),
        AIMessage([{"type": "text", "text": "It is 42."}], id="5"),
    ]
    note(memory, messages)
    turns = memory.hub.window("t", user_id="ada").turns
    assert [(turn.role, turn.speaker, turn.kind, turn.ref, turn.text) for turn in turns] == [
        ("user", "Bob", "tool", "t/1", "What is 6 times 7?"),
        ("tool", "calculator", "tool", "t/3", "42"),
        ("assistant", None, "model", "t/5", "It is 42."),
    ]


def test_an_edited_message_has_its_new_text_and_a_deleted_one_goes(memory: MemLLMMemory) -> None:
    first = [
        HumanMessage("one", id="1"),
        AIMessage("A", id="a"),
        HumanMessage("two", id="2"),
        HumanMessage("3", id="3"),
    ]
    known = note(memory, first[:2])
    known = note(memory, first, known)
    known = note(memory, [first[0], first[1], HumanMessage("two!", id="2"), first[3]], known)
    assert [text for _, text in said(memory)] == ["one", "A", "two!", "3"]
    note(memory, [first[0], first[1], first[3]], known)
    assert [text for _, text in said(memory)] == ["one", "A", "3"]


def test_a_scope_is_that_of_the_run(memory: MemLLMMemory) -> None:
    config = {"configurable": {**RUN["configurable"], "memllm_scope": "plans"}}
    note(memory, [HumanMessage("We ship on Friday.", id="1")], config=config)
    assert memory.hub.window("t", user_id="ada").turns[0].scope == "plans"
    with pytest.raises(ConfigurationError, match="memllm_scope is a text, not int"):
        note(memory, [HumanMessage("x", id="2")], config={"configurable": {**RUN["configurable"], "memllm_scope": 3}})


def test_what_a_model_tells_a_sub_agent_is_nobody_s(memory: MemLLMMemory) -> None:
    config = {"configurable": {**RUN["configurable"], "checkpoint_ns": "tools:1|agent:2"}}
    note(memory, [HumanMessage("Find flights.", id="1")], config=config)
    assert said(memory) == []


def test_a_removed_message_of_a_checkpointed_agent_goes(memory: MemLLMMemory) -> None:
    agent = create_agent(
        ScriptedModel(script=lambda request: "I see."), middleware=[memory.middleware()], checkpointer=InMemorySaver()
    )
    for number in ("1", "2", "3"):
        agent.invoke({"messages": [HumanMessage(f"word {number}", id=number)]}, RUN)
    agent.update_state(RUN, {"messages": [RemoveMessage(id="2")]})
    agent.invoke({"messages": [HumanMessage("word 4", id="4")]}, RUN)
    assert [text for role, text in said(memory) if role == "user"] == ["word 1", "word 3", "word 4"]
