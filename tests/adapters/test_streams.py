"""What the streams of a run show: the answer, and nothing of what is extracted or asked beside it."""

from __future__ import annotations

import json
import logging

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.tracers.base import BaseTracer

from langchain_memllm import MemLLMMemory
from langchain_memllm.testing import FakeEmbedder, ScriptedModel, tool_call

KARI = {"configurable": {"user_id": "kari", "thread_id": "t"}}
SAID = {"messages": [("human", "I live in Oslo")]}
FACTS = {"facts": [{"subject": "user", "relation": "lives in", "object": "Oslo"}]}


class Speaking(ScriptedModel):
    """A model that streams whoever listens."""

    streaming: bool = True


class Tokens(BaseCallbackHandler):
    """Notes the tokens it hears, and the names of the models that were called."""

    def __init__(self):
        self.heard, self.started, self.ended = [], [], 0

    def on_llm_new_token(self, token, **kwargs):
        self.heard.append(token)

    def on_chat_model_start(self, serialized, messages, *, name=None, **kwargs):
        self.started.append(name)

    def on_llm_end(self, response, **kwargs):
        self.ended += 1


class AsyncTokens(AsyncCallbackHandler):
    """The same, async."""

    def __init__(self):
        self.heard, self.started = [], []

    async def on_llm_new_token(self, token, **kwargs):
        self.heard.append(token)

    async def on_chat_model_start(self, serialized, messages, *, name=None, **kwargs):
        self.started.append(name)


class Trace(BaseTracer):
    """A tracer: it sees every run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def _persist_run(self, run):
        todo = [run]
        while todo:
            at = todo.pop()
            self.names.append((at.name, at.run_type))
            todo += at.child_runs


def script(request):
    if "record the facts" not in request.text:
        return "Noted."
    return tool_call("record_facts", json.dumps(FACTS), **FACTS) if request.tools else json.dumps(FACTS)


def agent(tools, **options):
    model = Speaking(script=script, tools=tools, streaming=True, **options)
    memory = MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder())
    return create_agent(model, middleware=[memory.middleware()]), memory


def written(memory):
    return memory.read("user", "lives in", user_id="kari").answers == ("Oslo",)


@pytest.fixture(params=[True, False], ids=["tools", "no tools"])
def talking(request):
    return agent(request.param)


def events_v2(event):
    return event["data"]["chunk"].text if event["event"] == "on_chat_model_stream" else ""


async def test_astream_events_shows_no_extraction(talking):
    """Bugs 3.18: neither its tokens nor its result."""
    runnable, memory = talking
    events = [event async for event in runnable.astream_events(SAID, KARI, version="v2")]
    assert "".join(map(events_v2, events)) == "Noted."
    assert [event["event"] for event in events if "chat_model" in event["event"]].count("on_chat_model_start") == 1
    assert "record_facts" not in repr(events)
    assert "facts" not in repr([event["data"] for event in events if "chat_model" in event["event"]])
    assert written(memory)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_message_streams_show_no_extraction(talking, asynchronous):
    runnable, memory = talking
    if asynchronous:
        parts = [part async for part, _ in runnable.astream(SAID, KARI, stream_mode="messages")]
    else:
        parts = [part for part, _ in runnable.stream(SAID, KARI, stream_mode="messages")]
    assert "".join(part.text for part in parts) == "Noted."
    assert written(memory)


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_event_stream_of_version_three_shows_no_extraction(talking, asynchronous):
    runnable, memory = talking
    if asynchronous:
        run = await runnable.astream_events(SAID, KARI, version="v3")
        texts = [await stream.text async for stream in run.messages]
    else:
        run = runnable.stream_events(SAID, KARI, version="v3")
        texts = [str(stream.text) for stream in run.messages]
    assert texts == ["Noted."]
    assert written(memory)


@pytest.mark.parametrize(("handler", "asynchronous"), [(Tokens, False), (Tokens, True), (AsyncTokens, True)])
async def test_token_callbacks_of_a_run_hear_no_extraction_but_see_the_call(talking, handler, asynchronous):
    """Handlers that are async hear async runs only."""
    runnable, memory = talking
    tokens, trace = handler(), Trace()
    config = {**KARI, "callbacks": [tokens, trace]}
    if asynchronous:
        await runnable.ainvoke(SAID, config)
    else:
        runnable.invoke(SAID, config)
    assert "".join(tokens.heard) == "Noted."
    assert tokens.started == ["Speaking", "memllm.extract"] or tokens.started == [None, "memllm.extract"]
    assert ("memllm.extract", "llm") in trace.names
    assert written(memory)


@pytest.mark.parametrize("tools", [True, False])
def test_token_callbacks_of_the_model_hear_no_extraction(tools, caplog):
    tokens = Tokens()
    runnable, memory = agent(tools, callbacks=[tokens])
    with caplog.at_level(logging.WARNING):
        runnable.invoke(SAID, KARI)
    assert "".join(tokens.heard) == "Noted."
    assert tokens.ended == 2
    assert not caplog.records
    assert written(memory)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_remembering_in_a_node_of_a_streamed_run_is_not_shown(asynchronous):
    from langgraph.graph import END, START, MessagesState, StateGraph

    model = Speaking(script=script, tools=False, streaming=True)
    memory = MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder())

    async def note(state):
        await memory.aremember("I live in Oslo.", user_id="kari")
        return {"messages": [await model.ainvoke("Hi.")]}

    graph = StateGraph(MessagesState)
    graph.add_node("note", note)
    graph.add_edge(START, "note")
    graph.add_edge("note", END)
    parts = [part async for part, _ in graph.compile().astream(SAID, KARI, stream_mode="messages")]
    assert "".join(part.text for part in parts) == "Noted."
    assert written(memory)
