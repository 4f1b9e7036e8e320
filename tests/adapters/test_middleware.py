"""The middleware: two users on one agent, nothing left in the thread, nothing written twice, failing gently."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agents import (
    StoreThatGoes,
    agent_of,
    answer,
    answering,
    asked,
    extract,
    extracting,
    look_at_map,
    memory_of,
    run_of,
    said,
    statuses,
)
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command, interrupt

from langchain_memllm.errors import ConfigurationError, ModelError, NamespaceError, StoreUnavailable
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.render import OPEN
from langchain_memllm.testing import Answer, FakeEmbedder, Request, ScriptedModel

Saver = BaseCheckpointSaver[Any] | None


def threads(checkpointer: Saver) -> dict[str, dict[str, Any]]:
    """Configs of two users; with threads of their own if there is a checkpointer."""
    return {user: run_of(user, f"thread of {user}" if checkpointer else None) for user in ("ada", "bob")}


def test_two_users_take_turns_on_one_agent(checkpointer: Saver) -> None:
    extractor = extracting()
    memory = memory_of(extractor)
    agent = agent_of(memory, checkpointer=checkpointer)
    runs = threads(checkpointer)
    agent.invoke(asked("I live in Oslo."), runs["ada"])
    agent.invoke(asked("I live in Rome."), runs["bob"])
    agent.invoke(asked("I moved to Bergen."), runs["ada"])
    assert said(agent.invoke(asked("Where do I live?"), runs["ada"])) == "You live in Bergen."
    assert said(agent.invoke(asked("Where do I live?"), runs["bob"])) == "You live in Rome."
    assert statuses(memory, "ada") == [("Oslo", "past"), ("Bergen", "current")]
    assert statuses(memory, "bob") == [("Rome", "current")]
    assert len(extractor.requests) == 3  # one a turn that states something


@pytest.mark.parametrize("saver", ["none", "memory", "sqlite"])
async def test_two_users_at_once(saver: str, tmp_path: Path) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as sqlite:
        checkpointer = {"none": None, "memory": InMemorySaver(), "sqlite": sqlite}[saver]
        memory = memory_of()
        agent = agent_of(memory, checkpointer=checkpointer)
        runs = threads(checkpointer)
        homes = {"ada": "Oslo", "bob": "Rome"}
        await asyncio.gather(*(agent.ainvoke(asked(f"I live in {home}."), runs[u]) for u, home in homes.items()))
        asking = [agent.ainvoke(asked("Where do I live?"), runs[user]) for user in homes for _ in range(5)]
        answers = [said(state) for state in await asyncio.gather(*asking)]
    assert answers == ["You live in Oslo."] * 5 + ["You live in Rome."] * 5
    assert statuses(memory, "ada") == [("Oslo", "current")]
    assert statuses(memory, "bob") == [("Rome", "current")]


def test_the_user_may_come_with_the_context() -> None:
    @dataclass
    class Context:
        user_id: str

    memory = memory_of()
    agent = agent_of(memory, context_schema=Context)
    agent.invoke(asked("I live in Oslo."), context=Context("ada"))
    assert statuses(memory, "ada") == [("Oslo", "current")]


def test_nothing_of_memory_stays_in_the_thread(checkpointer: Saver) -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    model = answering()
    agent = agent_of(memory, model, checkpointer=checkpointer)
    run = threads(checkpointer)["ada"]
    for turn in range(1, 4):
        state = agent.invoke(asked("Where do I live?"), run)
        assert set(state) == {"messages"}
        assert OPEN not in str(state)
        assert [m.type for m in state["messages"]] == ["human", "ai"] * (turn if checkpointer else 1)
        assert model.requests[-1].text.count(OPEN) == 1
        assert OPEN in str(model.requests[-1].messages[-1].text)
    if checkpointer:
        saved = agent.get_state(run).values
        assert OPEN not in str(saved)
        assert set(saved) == {"messages", "memllm_said", "memllm_run"}
        (known,) = saved["memllm_said"].values()
        assert (len(known), list(saved["memllm_run"].values())) == (3, [[]])
        assert "live" not in str(saved["memllm_said"])


def test_blocks_of_text_keep_their_pictures() -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    seen: list[Any] = []

    def look(request: Request) -> str:
        seen.append(request.messages[-1].content)
        return "seen"

    picture = {"type": "image", "url": "https://example.org/a.png"}
    agent = agent_of(memory, ScriptedModel(script=look))
    agent.invoke({"messages": [HumanMessage([{"type": "text", "text": "Do I live here?"}, picture])]}, run_of("ada"))
    assert OPEN in seen[0][0]["text"]
    assert seen[0][1:] == [{"type": "text", "text": "Do I live here?"}, picture]


def test_recall_is_asked_once_a_run_and_shown_at_each_step() -> None:
    embedder = FakeEmbedder()
    memory = MemLLMMemory(":memory:", model=extracting(), embedder=embedder)
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    model = answering()
    events = events_of(agent_of(memory, model), "I look at a map. Where do I live?", run_of("ada"))
    assert len(model.requests) == 2  # the tool call and the answer
    assert all(request.text.count(OPEN) == 1 for request in model.requests)
    assert [event["event"] for event in events] == ["recall", "write"]


@pytest.mark.parametrize("by", ["facade", "core"])
@pytest.mark.parametrize(("whose", "recalls"), [("bob", 1), ("ada", 2)])
def test_what_is_written_meanwhile_asks_again_in_its_own_memory_only(by: str, whose: str, recalls: int) -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    towns = iter(["Rome", "Bonn"])

    def meanwhile(request: Request) -> Answer:
        if by == "facade":
            memory.write([("user", "lives in", next(towns))], user_id=whose)
        else:
            memory.core.write([("user", "lives in", next(towns))], namespace=("memllm", whose))
        return answer(request)

    agent = agent_of(memory, ScriptedModel(script=meanwhile))
    events = events_of(agent, "I look at a map. Where do I live?", run_of("ada"))
    assert [event["event"] for event in events].count("recall") == recalls


def events_of(agent: Any, text: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The memory's events of a run."""
    return [event for event in agent.stream(asked(text), run, stream_mode="custom") if event["type"] == "memllm"]


def test_a_new_run_asks_again_and_a_forgotten_fact_is_gone() -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    agent = agent_of(memory, checkpointer=InMemorySaver())
    run = run_of("ada", "t")
    assert said(agent.invoke(asked("Where do I live?"), run)) == "You live in Oslo."
    memory.forget(user_id="ada", subject="user", relation="lives in")
    assert said(agent.invoke(asked("Where do I live?"), run)) == "I do not know where you live."


def test_what_was_recalled_is_never_extracted() -> None:
    extractor = extracting()
    memory = memory_of(extractor)
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    block = memory.recall("Where do I live?", user_id="ada").block
    agent_of(memory).invoke(asked(f"{block}\n\nSo where do I live? I wonder."), run_of("ada"))
    assert OPEN not in extractor.requests[-1].text
    assert "Oslo" not in extractor.requests[-1].text.rsplit("Text:", 1)[-1]
    assert len(memory.explain(memory.history("user", user_id="ada")[0].id, user_id="ada").sources) == 1  # type: ignore[union-attr]


def test_only_this_turn_is_written() -> None:
    extractor = extracting()
    memory = memory_of(extractor)
    agent = agent_of(memory, checkpointer=InMemorySaver())
    run = run_of("ada", "t")
    agent.invoke(asked("I live in Oslo."), run)
    agent.invoke(asked("It is far."), run)
    last = extractor.requests[-1].text
    assert "[1] It is far." in last.rsplit("Text:", 1)[1]
    assert "Oslo" not in last.rsplit("Text:", 1)[1]
    assert "Oslo" in last.rsplit("Text:", 1)[0]  # as earlier text, which states nothing


def test_a_whole_conversation_given_at_once_writes_its_last_turn() -> None:
    memory = memory_of()
    turns = [HumanMessage("I live in Rome."), AIMessage("Nice."), HumanMessage("I moved to Oslo."), HumanMessage("Ok?")]
    agent_of(memory).invoke({"messages": turns}, run_of("ada"))
    assert statuses(memory, "ada") == [("Oslo", "current")]


def test_a_run_without_new_words_writes_nothing() -> None:
    extractor = extracting()
    agent = agent_of(memory_of(extractor), checkpointer=InMemorySaver())
    run = run_of("ada", "t")
    agent.invoke(asked("I live in Oslo."), run)
    agent.invoke({"messages": []}, run)
    assert len(extractor.requests) == 1


# --- streams ----------------------------------------------------------------------------------------------------------


def test_extraction_never_shows_in_the_stream_of_messages() -> None:
    extractor = ScriptedModel(script=lambda request: '{"facts": []} and some chatter', tools=False)
    agent = agent_of(memory_of(extractor))
    streamed = list(agent.stream(asked("I live in Oslo."), run_of("ada"), stream_mode="messages"))
    assert len(extractor.requests) == 1
    text = "".join(str(m.text) for m, _ in streamed if isinstance(m, AIMessageChunk | AIMessage))
    assert text == "I do not know where you live."


async def test_extraction_never_shows_in_the_stream_of_messages_async() -> None:
    extractor = ScriptedModel(script=lambda request: '{"facts": []} and some chatter', tools=False)
    agent = agent_of(memory_of(extractor))
    streamed = [m async for m, _ in agent.astream(asked("I live in Oslo."), run_of("ada"), stream_mode="messages")]
    assert len(extractor.requests) == 1
    assert "".join(str(m.text) for m in streamed) == "I do not know where you live."


async def test_events_of_an_async_run_hold_ids_and_counts() -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    run = run_of("ada")
    events = [e async for e in agent_of(memory).astream(asked("I moved to Rome."), run, stream_mode="custom")]
    assert [event["event"] for event in events] == ["recall", "write"]
    assert events[1]["counts"] == {"stored": 1}
    assert "Oslo" not in str(events)
    assert "Rome" not in str(events)


# --- restarts ---------------------------------------------------------------------------------------------------------


class DiesOnce(AgentMiddleware[Any, Any, Any]):
    """The process dies after the memory was written and before that is saved in the thread."""

    def __init__(self) -> None:
        """Nothing died yet."""
        self.died = False

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Die the first time."""
        if not self.died:
            self.died = True
            raise RuntimeError("killed")


def test_a_resumed_run_writes_nothing_twice() -> None:
    extractor = extracting()
    memory = memory_of(extractor)
    agent = agent_of(memory, middleware=[DiesOnce(), memory.middleware()], checkpointer=InMemorySaver())
    run = run_of("ada", "t")
    with pytest.raises(RuntimeError, match="killed"):
        agent.invoke(asked("I live in Oslo."), run)
    written = memory.stats(user_id="ada")
    assert (written.operations, written.facts) == (1, 1)
    agent.invoke(None, run)
    assert memory.stats(user_id="ada") == written
    assert len(extractor.requests) == 1


def test_the_write_itself_when_done_again_asks_no_model() -> None:
    extractor = extracting()
    memory = memory_of(extractor)
    agent = agent_of(memory, checkpointer=InMemorySaver())
    run = run_of("ada", "t")
    agent.invoke(asked("I live in Oslo."), run)
    history = agent.get_state_history(run)
    before = next(each for each in history if each.next == ("MemLLMMiddleware.after_agent",))
    agent.invoke(None, {"configurable": {**before.config["configurable"], "user_id": "ada"}})
    assert len(extractor.requests) == 1
    assert memory.stats(user_id="ada").operations == 1


def test_an_interrupt_in_the_middle_passes_and_the_rest_is_written_once() -> None:
    def ask_a_human() -> str:
        """Ask."""
        return str(interrupt("may I?"))

    def script(request: Request) -> Any:
        if request.messages[-1].type == "tool":
            return "done"
        return AIMessage("", tool_calls=[{"name": "ask_a_human", "args": {}, "id": "1", "type": "tool_call"}])

    extractor = extracting()
    memory = memory_of(extractor)
    agent = create_agent(
        ScriptedModel(script=script), [ask_a_human], middleware=[memory.middleware()], checkpointer=InMemorySaver()
    )
    run = run_of("ada", "t")
    assert "__interrupt__" in agent.invoke(asked("I live in Oslo."), run)
    assert memory.stats(user_id="ada").facts == 0
    assert said(agent.invoke(Command(resume="yes"), run)) == "done"
    assert statuses(memory, "ada") == [("Oslo", "current")]
    assert len(extractor.requests) == 1


# --- failing ----------------------------------------------------------------------------------------------------------


def away(**options: Any) -> MemLLMMemory:
    """A memory whose store went away."""
    store = StoreThatGoes()
    memory = MemLLMMemory(store, model=extracting(), embedder=FakeEmbedder(), **options)
    store.down = True
    return memory


def test_a_memory_that_is_away_costs_a_line_and_an_event_each(caplog: pytest.LogCaptureFixture) -> None:
    agent = agent_of(away())
    with caplog.at_level(logging.WARNING, "langchain_memllm"):
        events = events_of(agent, "map: I live in Oslo.", run_of("ada"))
    assert [(e["event"], e["where"], e["error"]) for e in events] == [
        ("error", "memory_write", "StoreUnavailable"),  # what was said cannot be committed
        ("error", "memory_recall", "StoreUnavailable"),
        ("error", "memory_write", "StoreUnavailable"),  # nor at the end of the run
    ]
    assert len(caplog.records) == 3
    assert "test://away does not answer" in caplog.text
    assert "Oslo" not in caplog.text
    assert said(agent.invoke(asked("I live in Oslo."), run_of("ada"))) == "I do not know where you live."


async def test_a_memory_that_is_away_async(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "langchain_memllm"):
        state = await agent_of(away()).ainvoke(asked("I live in Oslo."), run_of("ada"))
    assert said(state) == "I do not know where you live."
    assert len(caplog.records) == 3


def test_on_error_raise_raises() -> None:
    with pytest.raises(StoreUnavailable, match=r"test://away does not answer; start it"):
        agent_of(away(on_error="raise")).invoke(asked("I live in Oslo."), run_of("ada"))


@pytest.mark.parametrize("reply", ["I would rather not.", '{"facts": [{"subject": "us', "", "({MEM_WRITE-->user>>live"])
def test_an_extraction_model_that_answers_nonsense_stores_nothing(reply: str) -> None:
    memory = memory_of(ScriptedModel(script=lambda request: reply, tools=False))
    assert said(agent_of(memory).invoke(asked("I live in Oslo."), run_of("ada"))) == "I do not know where you live."
    assert memory.stats(user_id="ada").facts == 0


def test_a_message_of_any_length_is_written() -> None:
    """Bugs 3.16."""
    memory = memory_of()
    events = events_of(agent_of(memory), "word " * 20_000 + "I live in Oslo.", run_of("ada"))
    assert [event["event"] for event in events] == ["recall", "write"]
    assert statuses(memory, "ada") == [("Oslo", "current")]


def test_an_extraction_model_that_raises_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    memory = memory_of(ScriptedModel(script=lambda request: RuntimeError("quota of key sk-123")))
    assert said(agent_of(memory).invoke(asked("I live in Oslo."), run_of("ada"))) == "I do not know where you live."
    assert "ModelError" in caplog.text
    assert "sk-123" not in caplog.text
    strict = memory_of(ScriptedModel(script=lambda request: RuntimeError("quota")), on_error="raise")
    with pytest.raises(ModelError, match="extracting facts"):
        agent_of(strict).invoke(asked("I live in Oslo."), run_of("ada"))


@pytest.mark.parametrize("mode", ["auto", "read", "write", "tools"])
def test_a_run_that_names_nobody_is_refused_before_its_model_is_called(mode: Any) -> None:
    memory = memory_of()
    model = answering()
    agent = agent_of(memory, model, middleware=[memory.middleware(mode)])
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}.*configurable"):
        agent.invoke(asked("Where do I live?"))
    assert model.requests == []


async def test_a_run_that_names_nobody_is_refused_async() -> None:
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        await agent_of(memory_of()).ainvoke(asked("Where do I live?"))


def test_without_require_user_unnamed_runs_are_the_local_user() -> None:
    memory = memory_of(require_user=False)
    agent = agent_of(memory)
    agent.invoke(asked("I live in Oslo."))
    assert statuses(memory, "local") == [("Oslo", "current")]
    assert memory.read("user", "lives in").answers == ("Oslo",)


async def test_a_cancelled_run_is_cancelled() -> None:
    started = asyncio.Event()

    class Slow:
        def extract(self, text: str, **kwargs: Any) -> Any:
            raise AssertionError("async runs await")

        async def aextract(self, text: str, **kwargs: Any) -> Any:
            started.set()
            await asyncio.sleep(60)

    memory = MemLLMMemory(":memory:", extractor=Slow(), embedder=FakeEmbedder())
    task = asyncio.create_task(agent_of(memory).ainvoke(asked("I live in Oslo."), run_of("ada")))
    await asyncio.wait_for(started.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert memory.stats(user_id="ada").facts == 0


# --- modes and names --------------------------------------------------------------------------------------------------


def test_modes_do_what_they_say() -> None:
    def run(mode: Any, **options: Any) -> tuple[int, int, set[str]]:
        extractor, model = extracting(), answering()
        memory = memory_of(extractor)
        memory.write([("user", "lives in", "Oslo")], user_id="ada")
        agent = agent_of(memory, model, middleware=[memory.middleware(mode, **options)])
        agent.invoke(asked("Where do I live? I wonder."), run_of("ada"))
        request = model.requests[0]
        return request.text.count(OPEN), len(extractor.requests), set(request.tools) - {"look_at_map"}

    assert run("auto") == (1, 1, set())
    assert run("auto", write="off") == (1, 0, set())
    assert run("read") == (1, 0, set())
    assert run("write") == (0, 1, set())
    assert run("tools") == (0, 0, {"remember", "recall", "forget"})


def test_two_memories_of_one_agent_have_two_names() -> None:
    one, two = memory_of(), memory_of(ScriptedModel(script=extract))
    two.write([("user", "lives in", "Rome")], user_id="ada")
    model = ScriptedModel(script=lambda request: str(request.text.count(OPEN)))
    agent = agent_of(one, model, middleware=[one.middleware(name="mine"), two.middleware("read", name="team")])
    assert said(agent.invoke(asked("I live in Oslo."), run_of("ada"))) == "1"
    assert said(agent.invoke(asked("Where do I live?"), run_of("ada"))) == "2"
    assert statuses(one, "ada") == [("Oslo", "current")]
    assert statuses(two, "ada") == [("Rome", "current")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "all"}, r"mode 'all' .* unknown; use one of auto, read, write, tools"),
        ({"write": "later"}, r"write='later' is unknown; use one of 'after_agent', 'background', 'off'"),
        ({"prefix": "team"}, r"prefix='team' names tools, and mode='auto' gives none; use mode='tools'"),
        ({"name": "a:b"}, r"middleware name 'a:b' cannot name a node; use letters"),
    ],
)
def test_unknown_choices(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        memory_of().middleware(**options)


def test_without_a_model_only_reading_is_possible() -> None:
    memory = MemLLMMemory(":memory:", embedder=FakeEmbedder())
    with pytest.raises(ConfigurationError, match=r"no model to find facts .* model='openai:gpt-5-mini'"):
        memory.middleware()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    agent = create_agent(ScriptedModel(script=answer), [look_at_map], middleware=[memory.middleware("read")])
    assert said(agent.invoke(asked("Where do I live?"), run_of("ada"))) == "You live in Oslo."
