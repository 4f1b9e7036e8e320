"""The memory gate at the doors: an agent's middleware, the recall node and the graph; what it leaves in the state."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_memllm import MemLLMMemory
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.testing import ScriptedModel, tool_call

RUN: Any = {"configurable": {"user_id": "ada", "thread_id": "t"}}
FERRY = "The ticket code of the ferry is XK-4711."
ASKED = "What was the ticket code of the ferry?"


@pytest.fixture
def memory() -> MemLLMMemory:
    made = MemLLMMemory(":memory:", episodes=True)
    made.hub.keep([Turn(Turn.named("trip", FERRY), "trip", FERRY, "2026-03-05T12:00:00+00:00")], user_id="ada")
    return made


def agent_of(memory: MemLLMMemory, **options: Any) -> tuple[Any, ScriptedModel]:
    model = ScriptedModel(script=lambda request: "I see.")
    return create_agent(model, middleware=[memory.middleware(**options)], checkpointer=InMemorySaver()), model


@pytest.mark.parametrize("mode", ["auto", "read"])
async def test_an_agent_shows_what_is_needed_and_keeps_what_was_decided(memory: MemLLMMemory, mode: str) -> None:
    agent, model = agent_of(memory, mode=mode, memory_gate="rules")
    for text, needed in ((ASKED, True), ("Thanks!", False)):
        for answer in (
            agent.invoke({"messages": [HumanMessage(text)]}, RUN),
            await agent.ainvoke({"messages": [HumanMessage(text)]}, RUN),
        ):
            assert "memllm_gate" not in answer  # the state's, not the answer's
            assert ("XK-4711" in model.requests[-1].messages[-1].text) is needed
            kept = agent.get_state(RUN).values["memllm_gate"]["MemLLMMiddleware"]
            assert kept["needed"] is needed and kept["by"] == "rules" and kept == json.loads(json.dumps(kept))


def test_an_agent_without_a_gate_has_nothing_of_it(memory: MemLLMMemory) -> None:
    agent, model = agent_of(memory, mode="read")
    events = list(agent.stream({"messages": [HumanMessage(ASKED)]}, RUN, stream_mode="custom"))
    assert [event["event"] for event in events] == ["recall"] and "XK-4711" in model.requests[-1].text
    assert "memllm_gate" not in agent.get_state(RUN).values


def test_a_run_asks_the_gate_once_and_its_stream_counts(memory: MemLLMMemory) -> None:
    judge = ScriptedModel(script=[tool_call("choose_memory", needed=True, items=[{"n": 1, "use": "full"}])])
    answers = [tool_call("look", x=1), AIMessage("Done.")]
    from langchain_core.tools import tool

    @tool
    def look(x: int) -> str:
        """Look."""
        return "nothing"

    middleware = memory.middleware("read", memory_gate=judge)
    agent = create_agent(ScriptedModel(script=answers), tools=[look], middleware=[middleware])
    events = list(agent.stream({"messages": [HumanMessage(ASKED)]}, RUN, stream_mode="custom"))
    (event,) = [event for event in events if event["event"] == "gate"]
    assert (event["needed"], event["by"], event["full"], event["summary"], event["drop"]) == (True, "chat", 1, 0, 0)
    assert len(judge.requests) == 1


@pytest.mark.parametrize(
    ("script", "note"), [("garbage", "could not be read"), (RuntimeError("down"), "the model failed")]
)
def test_a_gate_that_fails_leaves_it_to_the_rules(memory: MemLLMMemory, script: Any, note: str, caplog: Any) -> None:
    agent, model = agent_of(memory, mode="read", memory_gate=ScriptedModel(script=[script]))
    agent.invoke({"messages": [HumanMessage(ASKED)]}, RUN)
    kept = agent.get_state(RUN).values["memllm_gate"]["MemLLMMiddleware"]
    assert note in kept["note"] and kept["by"] == "rules" and "XK-4711" in model.requests[-1].text
    assert ("memory_gate failed" in caplog.text) is isinstance(script, Exception) and "XK-4711" not in caplog.text


def test_where_errors_are_raised_a_failing_gate_raises() -> None:
    with MemLLMMemory(":memory:", episodes=True, on_error="raise") as memory:
        memory.hub.keep([Turn(Turn.named("trip", FERRY), "trip", FERRY)], user_id="ada")
        agent, _ = agent_of(memory, mode="read", memory_gate=ScriptedModel(script=[RuntimeError("down")]))
        with pytest.raises(Exception, match="failed while deciding what a turn needs"):
            agent.invoke({"messages": [HumanMessage(ASKED)]}, RUN)


def test_yes_after_a_question_is_no_small_talk(memory: MemLLMMemory) -> None:
    agent, model = agent_of(memory, mode="read", memory_gate="rules")
    said = [
        HumanMessage("The ferry, hm."),
        AIMessage("Shall I look up the ticket code of the ferry?"),
        HumanMessage("yes"),
    ]
    agent.invoke({"messages": said}, RUN)
    assert "XK-4711" in model.requests[-1].messages[-1].text
    agent.invoke({"messages": [HumanMessage("thanks")]}, {"configurable": {"user_id": "ada", "thread_id": "other"}})
    assert "XK-4711" not in model.requests[-1].text


def test_a_gate_where_nothing_is_recalled_is_refused(memory: MemLLMMemory) -> None:
    for mode in ("write", "tools"):
        with pytest.raises(ConfigurationError, match=f"mode='{mode}' shows nothing"):
            memory.middleware(mode, memory_gate="rules")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="recall=0 recalls nothing"):
        memory.build_graph(ScriptedModel(script=[]), write="off", memory_gate="rules")


async def test_the_graph_has_the_gate_as_a_node_and_what_it_decided_in_its_state(memory: MemLLMMemory) -> None:
    model = ScriptedModel(script=lambda request: "I see.")
    options: Any = {"write": "off", "recall": 8, "trace": True}
    plain = memory.build_graph(model, **options)
    graph = memory.build_graph(model, memory_gate="rules", checkpointer=InMemorySaver(), **options)
    assert "memory_gate" in graph.nodes and "memory_recall" not in graph.nodes and "memory_gate" not in plain.nodes
    for text, needed in ((ASKED, True), ("ok", False)):
        answer = graph.invoke({"messages": [HumanMessage(text)]}, RUN)
        assert (
            answer["memllm_gate"]["needed"] is needed and ("XK-4711" in model.requests[-1].messages[-1].text) is needed
        )
        answer = await graph.ainvoke({"messages": [HumanMessage(text)]}, RUN)
        assert graph.get_state(RUN).values["memllm_gate"] == answer["memllm_gate"]
    assert "memllm_gate" not in plain.invoke({"messages": [HumanMessage(ASKED)]}, RUN)


def test_the_recall_node_has_a_gate(memory: MemLLMMemory) -> None:
    node = memory.recall_node(memory_gate="rules")
    assert node.name == "memory_gate" and memory.recall_node().name == "memory_recall"
    update = node.invoke({"messages": [HumanMessage("ok thanks")]}, RUN)
    assert update["memllm_context"] == {} and update["memllm_gate"]["why"] == "small talk"
    assert "memllm_gate" not in memory.recall_node().invoke({"messages": [HumanMessage(ASKED)]}, RUN)
