"""Seventy situations of an OpenAI-compatible server, through ``ChatOpenAI``: each with its right value.

What is right for the extractor is the objects that are stored, whether something is put aside, or an error; for the
reader the answer that knows what only the memory holds, or an error.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from awkward_server import (
    FUNCTIONS,
    Events,
    Message,
    Reply,
    Status,
    asked_for,
    call,
    chunk,
    plainly,
    serve,
    streamed,
    told,
    tools_of,
    well,
)
from langchain_core.messages import HumanMessage

from langchain_memllm.errors import ModelError
from langchain_memllm.extraction import ChatExtractor
from langchain_memllm.graph import build_graph
from langchain_memllm.memory import Memory
from langchain_memllm.triples import Source

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

Form = Callable[[str, dict[str, Any]], Message]
ADA = {"configurable": {"user_id": "ada", "thread_id": "t"}}
ASK = {"messages": [HumanMessage("Where do I live?", id="m1")]}


@dataclass(frozen=True)
class Situation:
    """What a server does, and what is right: ``stored`` objects, ``aside`` pieces or more, ``error``."""

    name: str
    script: Callable[[dict[str, Any]], Reply]
    stored: tuple[str, ...] = ("Oslo",)
    aside: bool = False
    error: str = ""
    reads: bool = True
    stream: bool = False
    mode: str = "auto"


def replies(name: str, form: Form, **right: Any) -> Situation:
    """A model that always answers in this form, with tools or without."""

    def script(request: dict[str, Any]) -> Reply:
        function = asked_for(request)
        return form(function, FUNCTIONS[function])

    return Situation(name, script, **right)


def text(name: str, form: Callable[[str, str], str], **right: Any) -> Situation:
    """A model that writes this, of the function's name and its arguments in JSON."""
    return replies(name, lambda function, arguments: {"content": form(function, json.dumps(arguments))}, **right)


def facts(name: str, content: str, **right: Any) -> Situation:
    """A model that answers so when it is asked for facts."""
    return text(name, lambda *_: content, reads=False, **right)


def named(function: str, arguments: str, key: str = "arguments") -> str:
    return json.dumps({"name": function, key: json.loads(arguments)})


def with_tools(name: str, form: Form, **right: Any) -> Situation:
    """A model that answers in this form where tools are offered, else as asked."""

    def script(request: dict[str, Any]) -> Reply:
        return form(tools_of(request)[0], FUNCTIONS[tools_of(request)[0]]) if tools_of(request) else plainly(request)

    return Situation(name, script, **right)


def calls(name: str, form: Callable[[str, dict[str, Any]], list[Any]], **right: Any) -> Situation:
    more = right.pop("message", {})
    return with_tools(name, lambda *both: {"tool_calls": form(*both), **more}, **right)


JSON = '{"facts": [{"subject": "user", "relation": "lives in", "object": "Oslo"}]}'
ROME = JSON.replace("Oslo", "Rome")

TOOL_CALLS = [
    calls("one call", lambda f, a: [call(f, a)]),
    calls("two calls", lambda f, a: [call(f, a), call(f, a, id="call_1")]),
    calls("two calls of one id", lambda f, a: [call(f, a), call(f, a)]),
    calls("text beside the call", lambda f, a: [call(f, a)], message={"content": "Let me see. "}),
    calls("finish reason stop", lambda f, a: [call(f, a)], message={"finish_reason": "stop"}),
    calls("reasoning beside the call", lambda f, a: [call(f, a)], message={"reasoning_content": "hm"}),
    calls("an id of its own", lambda f, a: [call(f, a, id="aB3dE6gH9")]),
    calls("no id", lambda f, a: [call(f, a, id=None)]),
    calls("name of a namespace", lambda f, a: [call(f"functions.{f}", a)]),
    calls("arguments encoded twice", lambda f, a: [call(f, json.dumps(json.dumps(a)))]),
    calls("arguments a list", lambda f, a: [call(f, json.dumps(next(iter(a.values()))))]),
    calls("a trailing comma", lambda f, a: [call(f, json.dumps(a)[:-2] + ",]}")]),
    calls("Python's literals", lambda f, a: [call(f, str({**a, "more": None}))]),
    calls("keys in capitals", lambda f, a: [call(f, {key.title(): value for key, value in a.items()})]),
    calls("the list as a string", lambda f, a: [call(f, {key: json.dumps(value) for key, value in a.items()})]),
    calls("the one thing without its list", lambda f, a: [call(f, next(iter(a.values()))[0])]),
    calls("arguments cut off", lambda f, a: [call(f, JSON[:-1] + ', {"subj')], aside=True, reads=False),
    calls("no arguments, JSON in the text", lambda f, a: [call(f, "")], message={"content": JSON}, reads=False),
    calls("empty arguments, JSON in the text", lambda f, a: [call(f, "{}")], message={"content": JSON}, reads=False),
    with_tools("the field of before", lambda f, a: {"function_call": {"name": f, "arguments": json.dumps(a)}}),
]
TEXTS = [
    facts("JSON", JSON),
    facts("JSON in a fence", f"```json\n{JSON}\n```"),
    facts("JSON in chat", f"Sure! Here it is: {JSON} Anything else?"),
    facts("a list", "[" + json.dumps(FUNCTIONS["record_facts"]["facts"][0]) + "]"),
    facts("three names", '[["user", "lives in", "Oslo"]]'),
    facts("three names in chat", 'The facts: ["user", "lives in", "Oslo"] and that is all.'),
    facts("head, type, tail", '[{"head": "user", "type": "LIVES_IN", "tail": "Oslo"}]'),
    facts("source, relationship, target", '[{"source": "user", "relationship": "lives_in", "target": "Oslo"}]'),
    facts("cut off", JSON[:-2] + ', {"subject": "us', aside=True),
    facts("closed thinking", f"<think>{ROME}?</think>{JSON}"),
    facts("thinking opened by the template", f"{ROME}? No.</think>{JSON}"),
    facts("thinking alone", f"<think>{ROME}", stored=(), aside=True),
    facts(
        "channels", f"<|channel|>analysis<|message|>{ROME}<|end|><|start|>assistant<|channel|>final<|message|>{JSON}"
    ),
    facts("nothing said", "", stored=()),
    replies("refused by the model", lambda *_: {"refusal": "I cannot."}, stored=(), aside=True, reads=False),
]
DIALECTS = [
    text("Hermes", lambda f, a: f"<tool_call>\n{named(f, a)}\n</tool_call>"),
    text("Hermes after thinking", lambda f, a: f"<think>so</think><tool_call>{named(f, a)}</tool_call>"),
    text("Mistral", lambda f, a: f"[TOOL_CALLS][{named(f, a)}]"),
    text("Mistral, newer", lambda f, a: f"[TOOL_CALLS]{f}[ARGS]{a}"),
    text("Llama 3.1", lambda f, a: f"<function={f}>{a}</function>"),
    text("Llama, python tag", lambda f, a: f"<|python_tag|>{named(f, a, 'parameters')}"),
    text("Llama, bare", lambda f, a: named(f, a, "parameters")),
    text(
        "Llama 4, pythonic", lambda f, a: f"[{f}({next(iter(json.loads(a)))}={next(iter(json.loads(a).values()))!r})]"
    ),
    text("Qwen coder", lambda f, a: f"<tool_call><function={f}><parameter=x>{a}</parameter></function></tool_call>"),
    text("GLM", lambda f, a: f"<tool_call>{f}<arg_key>x</arg_key><arg_value>{a}</arg_value></tool_call>"),
    text(
        "DeepSeek",
        lambda f, a: f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{f}\n```json\n{a}\n```",
    ),
    text("Kimi", lambda f, a: f"<|tool_call_begin|>functions.{f}:0<|tool_call_argument_begin|>{a}<|tool_call_end|>"),
    text("gpt-oss", lambda f, a: f"<|channel|>commentary to=functions.{f} <|constrain|>json<|message|>{a}<|call|>"),
    text("invoke", lambda f, a: f'<invoke name="{f}"><parameter name="x">{a}</parameter></invoke>'),
    text("Phi", lambda f, a: f"<|tool_call|>[{named(f, a)}]<|/tool_call|>"),
    text("ReAct", lambda f, a: f"Action: {f}\nAction Input: {a}"),
]


def streams(name: str, form: Callable[[str, str], tuple[str, ...]], **right: Any) -> Situation:
    options = {key: right.pop(key) for key in ("cut", "raw") if key in right}

    def script(request: dict[str, Any]) -> Reply:
        if not tools_of(request):
            return plainly(request)
        function = tools_of(request)[0]
        return Events(form(function, json.dumps(FUNCTIONS[function])), **options)

    return Situation(name, script, stream=True, **right)


def piece(index: int | None, name: str | None, arguments: str, **more: Any) -> str:
    made = {"function": {"arguments": arguments, **({"name": name} if name else {})}, **more}
    return chunk({"tool_calls": [made if index is None else {"index": index, **made}]})


def whole(f: str, a: str) -> list[str]:
    return [*streamed({"tool_calls": [call(f, a)]})]


STREAMS = [
    streams("a good one", lambda f, a: (*whole(f, a), "[DONE]")),
    streams("no [DONE]", lambda f, a: tuple(whole(f, a))),
    streams("neither reason nor [DONE]", lambda f, a: tuple(whole(f, a)[:-1])),
    streams("comments between", lambda f, a: tuple(f": ping\n\ndata: {each}\n\n" for each in whole(f, a)), raw=True),
    streams("an error in it", lambda f, a: (whole(f, a)[0], '{"error": {"message": "overloaded"}}'), error="APIError"),
    streams("a lost line", lambda f, a: tuple(whole(f, a)), cut=True, error="Connection"),
    streams("no JSON", lambda f, a: (whole(f, a)[0], "{oops"), error="JSONDecode"),
    streams("empty", lambda f, a: ("[DONE]",), error="ValueError"),
    streams(
        "calls without an index",
        lambda f, a: (piece(None, f, "", id="c1"), *(piece(None, None, a[n : n + 9]) for n in range(0, len(a), 9))),
    ),
    streams("two calls of one index", lambda f, a: (piece(0, f, a, id="c1"), piece(0, f, a, id="c2"), "[DONE]")),
    streams(
        "cut by length",
        lambda f, a: (chunk({"content": JSON[:-1] + ', {"s'}), chunk({}, "length")),
        aside=True,
        reads=False,
    ),
]


def refuses(name: str, status: Status, when: Callable[[dict[str, Any]], Any] = tools_of, **right: Any) -> Situation:
    """A server that refuses some requests and is good otherwise."""

    def script(request: dict[str, Any]) -> Reply:
        if when(request):
            return status
        return well(request) if tools_of(request) else plainly(request)

    return Situation(name, script, **right)


def system(request: dict[str, Any]) -> bool:
    return any(message["role"] == "system" for message in request["messages"])


REFUSALS = [
    refuses("Ollama", Status.error(400, "registry.ollama.ai/library/gemma does not support tools")),
    refuses("llama.cpp", Status.error(500, "tools param requires --jinja flag")),
    refuses("OpenRouter", Status.error(404, "No endpoints found that support tool use.")),
    refuses("vLLM", Status.error(400, '"auto" tool choice requires --enable-auto-tool-choice to be set')),
    refuses(
        "LM Studio",
        Status.error(400, "Invalid tool_choice type: 'object'"),
        lambda r: isinstance(r.get("tool_choice"), dict),
    ),
    refuses(
        "no tool_choice", Status.error(400, "this model does not support tool_choice"), lambda r: r.get("tool_choice")
    ),
    refuses("extra fields", Status.error(422, "body.tools: Extra inputs are not permitted")),
    refuses("without a word", Status(400, "{}")),
    refuses("no system role", Status.error(400, "System role not supported"), system),
    refuses("no stop texts", Status.error(400, "stop is not supported"), lambda r: r.get("stop"), mode="grammar"),
    refuses(
        "Groq",
        Status.error(400, "Failed to call a function", code="tool_use_failed", failed_generation=JSON),
        reads=False,
    ),
    refuses("Groq, nothing to read", Status.error(400, "Failed to call a function", code="tool_use_failed")),
]
OTHERS = [
    refuses("too many requests", Status.error(429, "slow down"), lambda r: True, error="status 429"),
    refuses("no key", Status.error(401, "no key"), lambda r: True, error="status 401"),
    refuses("a proxy's page", Status(502, "<html>Bad gateway</html>"), lambda r: True, error="status 502"),
    refuses("always out of order", Status.error(500, "boom"), lambda r: True, error="status 500"),
]
SITUATIONS = [*TOOL_CALLS, *TEXTS, *DIALECTS, *STREAMS, *REFUSALS, *OTHERS]


@asynccontextmanager
async def model_at(url: str, streaming: bool) -> AsyncIterator[Any]:
    """A model whose connections are closed before the loop is."""
    model = ChatOpenAI(model="m", base_url=url, api_key="test", max_retries=0, streaming=streaming)
    try:
        yield model
    finally:
        await model.root_async_client.close()
        model.root_client.close()


def test_the_situations_are_as_many_as_were_reported():
    """Doors section 5: 46 replies, 9 broken streams, 8 refusals, 3 others."""
    assert len(TOOL_CALLS) + len(TEXTS) + len(DIALECTS) >= 46
    assert (len(STREAMS) >= 9, len(REFUSALS) >= 8, len(OTHERS) >= 3) == (True, True, True)
    assert len({each.name for each in SITUATIONS}) == len(SITUATIONS)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
async def test_what_the_extractor_makes_of_it(situation, asynchronous):
    """Doors F11, F13, F22, F23, bugs 3.8."""
    with serve(situation.script) as server:
        async with model_at(server.url, situation.stream) as model:
            extractor = ChatExtractor(model, mode="auto")
            for _ in range(2):
                said = "I live in Oslo.", {"source": Source("user")}
                try:
                    found = (
                        (await extractor.aextract(said[0], **said[1]))
                        if asynchronous
                        else extractor.extract(said[0], **said[1])
                    )
                except ModelError as error:
                    assert situation.error, error.__cause__
                    assert situation.error in str(error)
                    continue
                assert not situation.error
                assert [each.object for each in found.statements] == list(situation.stored)
                assert bool(found.quarantine) == situation.aside
                assert {each.relation for each in found.statements} <= {"lives in"}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("situation", [each for each in SITUATIONS if each.reads], ids=lambda each: each.name)
async def test_what_the_reader_makes_of_it(situation, asynchronous):
    """Doors F13, F14, F15: the answer knows what only the memory holds."""

    def script(request):
        reply = situation.script(request)
        return {"content": "You live in Oslo."} if told(request) and not isinstance(reply, Status) else reply

    memory = Memory()
    memory.write([("user", "lives in", "Oslo")], namespace=("memllm", "ada"))
    with serve(script) as server:
        async with model_at(server.url, situation.stream) as model:
            app = build_graph(model, memory, write="off", mode=situation.mode)
            for _ in range(2):
                try:
                    state = (await app.ainvoke(ASK, ADA)) if asynchronous else app.invoke(ASK, ADA)
                except ModelError as error:
                    assert situation.error, error.__cause__
                    assert situation.error in str(error)
                    continue
                assert not situation.error
                answer = state["messages"][-1]
                assert answer.text.endswith("You live in Oslo.")
                assert not any(mark in answer.text for mark in ("MEM_READ", "memory_read", "queries", "<|"))
                assert not answer.tool_calls
            for request in server.log:
                ids = [each["id"] for message in request["messages"] for each in message.get("tool_calls") or ()]
                results = [message["tool_call_id"] for message in request["messages"] if message["role"] == "tool"]
                assert ids == results
                assert all(ids)
