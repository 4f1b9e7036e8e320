"""Readers of chat models as they are: servers that refuse, calls as text, messages that must come back unchanged."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_memllm import MemLLMMemory
from langchain_memllm.chat import CHAT_RULES, ToolReader, answer_of
from langchain_memllm.dialects import call_in_text, opening_of_call
from langchain_memllm.errors import ModelError
from langchain_memllm.models import Manners
from langchain_memllm.reading import Done, Lookup, Reading, Results, Rules, advance
from langchain_memllm.testing import FakeEmbedder, ScriptedModel, tool_call

ADA = {"configurable": {"user_id": "ada", "thread_id": "t"}}
WHERE = {"messages": [HumanMessage("Where do I live?", id="m1")]}
QUERY = {"subject": "user", "relation": "lives in"}
Q = {"queries": [QUERY]}
USED = {"input_tokens": 5, "output_tokens": 5, "total_tokens": 10}


def memory(**options):
    made = MemLLMMemory(":memory:", embedder=FakeEmbedder(), **options)
    made.write([("user", "lives in", "Oslo")], user_id="ada")
    return made


def machine(model, **options):
    return memory().build_graph(model, write="off", **options)


def last(app, asked=WHERE):
    return app.invoke(asked, ADA)["messages"][-1]


def after_tool(request):
    return isinstance(request.messages[-1], ToolMessage)


def answering(first, final="Oslo."):
    """A model that answers so first, and says ``final`` when it was told something."""
    return ScriptedModel(script=lambda request: final if after_tool(request) else first)


class NoTools(Exception):
    status_code = 400


class Failure(Exception):
    def __init__(self, status, words=""):
        super().__init__(words)
        self.status_code = status


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusing(error, count=10**9):
    """A model whose server refuses tools so often, and that knows the grammar."""
    left = [count]

    def script(request):
        if request.tools and left[0]:
            left[0] -= 1
            return error
        if request.tools:
            return "Oslo." if after_tool(request) else tool_call("memory_read", **Q)
        return " Oslo." if "-->Oslo" in request.text else "At ({MEM_READ(user>>lives in>>)-->"

    return ScriptedModel(script=script)


REFUSED = [
    Failure(400, "registry/gemma does not support tools"),
    Failure(500, "tools param requires --jinja flag"),
    Failure(404, "No endpoints found that support tool use"),
    Failure(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    Failure(422, "body.tools: Extra inputs are not permitted"),
    TypeError("got an unexpected keyword argument 'tools'"),
    NotImplementedError("tools"),
]


@pytest.mark.parametrize("error", REFUSED, ids=str)
def test_a_server_that_refuses_tools_is_read_by_grammar_and_remembered(error):
    """Doors F13."""
    model = refusing(error)
    for _ in range(2):
        assert last(machine(model)).text == "At  Oslo."
    said_nothing = isinstance(error, NotImplementedError)
    assert [bool(request.tools) for request in model.requests].count(True) == (2 if said_nothing else 1)


def test_a_refusal_without_a_word_is_believed_the_second_time():
    model = refusing(Failure(400))
    for _ in range(3):
        assert last(machine(model)).text == "At  Oslo."
    assert [bool(request.tools) for request in model.requests] == [True, False, True, False, False, False, False, False]


def test_a_single_refusal_does_not_change_the_mode():
    model = refusing(Failure(400), 1)
    assert last(machine(model)).text.strip().endswith("Oslo.")
    assert last(machine(model)).text == "Oslo."
    assert Manners.of(model).tools
    answers = iter([tool_call("memory_read", **Q), "Oslo.", Failure(400, "too long"), "Hi."])
    worked = ScriptedModel(script=lambda request: next(answers))
    assert last(machine(worked)).text == "Oslo."
    with pytest.raises(ModelError, match="status 400"):
        last(machine(worked))
    assert last(machine(worked)).text == "Hi."
    assert all(request.tools for request in worked.requests)


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_failures_of_the_moment_are_no_refusals(status):
    model = refusing(Failure(status, "try again"))
    with pytest.raises(ModelError, match=str(status)):
        last(machine(model))
    assert len(model.requests) == 1


def test_the_extractor_and_the_reader_share_what_a_model_refuses():
    def script(request):
        if request.tools:
            return NoTools("tools are not supported")
        return json.dumps({"facts": []}) if "Text:" in request.text else "Hi."

    model = ScriptedModel(script=script)
    app = MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder()).build_graph(model)
    app.invoke({"messages": [HumanMessage("I like tea.")]}, ADA)
    assert [bool(request.tools) for request in model.requests] == [True, False, False]


def test_tools_by_name_of_the_mode_are_not_given_up():
    with pytest.raises(ModelError, match="status 400"):
        last(machine(refusing(NoTools("tools are not supported")), mode="tools"))


def test_a_model_without_a_system_role_reads():
    def script(request):
        if any(message.type == "system" for message in request.messages):
            return Failure(400, "System role not supported")
        return "Oslo." if after_tool(request) else tool_call("memory_read", **Q)

    asked = {"messages": [("system", "Be brief."), ("human", "Where do I live?")]}
    model = ScriptedModel(script=script)
    assert last(machine(model), asked).text == "Oslo."
    assert "Be brief.\n\nWhere do I live?" in model.requests[1].text


def test_what_a_server_could_not_read_as_a_call_is_that_call():
    """Doors section 5: Groq's tool_use_failed."""

    class Failed(NoTools):
        body: ClassVar = {"failed_generation": f"<function=memory_read>{json.dumps(Q)}</function>"}

    model = ScriptedModel(script=lambda request: "Oslo." if after_tool(request) else Failed("tool_use_failed"))
    assert last(machine(model)).text == "Oslo."
    assert Manners.of(model).tools


# --- the model's own message ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resumed", [False, True])
def test_the_models_own_message_is_replayed_unchanged(resumed):
    """Doors F14: ids, thinking with its signature, reasoning and metadata come back, in a resumed run too."""
    first = AIMessage(
        [{"type": "thinking", "thinking": "hm", "signature": "SIG"}],
        id="run-1",
        additional_kwargs={"reasoning_content": "hm"},
        response_metadata={"model_name": "x"},
        usage_metadata=USED,
        tool_calls=[
            {"name": "memory_read", "args": Q, "id": "aB3dE6gH9", "type": "tool_call"},
            {"name": "look_up", "args": {"x": 1}, "id": "other0001", "type": "tool_call"},
            {"name": "memory_read", "args": {"queries": []}, "id": "empty0001", "type": "tool_call"},
        ],
    )
    model = answering(first)
    options = {"checkpointer": InMemorySaver(), "interrupt_before": ["memory_read"]} if resumed else {}
    made = memory()
    app = made.build_graph(model, write="off", **{k: v for k, v in options.items() if k == "checkpointer"})
    if resumed:
        app.invoke(WHERE, ADA, interrupt_before=["memory_read"])
        json.dumps(app.get_state(ADA).values["memllm_reading"])
        assert app.invoke(None, ADA)["messages"][-1].text == "Oslo."
    else:
        assert app.invoke(WHERE, ADA)["messages"][-1].text == "Oslo."
    own, *told = model.requests[1].messages[1:]
    assert own == first
    assert [(each.tool_call_id, each.content) for each in told] == [
        ("aB3dE6gH9", "user | lives in | ? = Oslo"),
        ("other0001", "This tool is not available here."),
        ("empty0001", "user | lives in | ? = Oslo"),
    ]


def test_calls_in_one_message_are_answered_each_with_its_own():
    def ask(number, *relations):
        args = {"queries": [{"subject": "user", "relation": relation} for relation in relations]}
        return {"name": "memory_read", "args": args, "id": f"id{number}", "type": "tool_call"}

    calls = [ask(0, "lives in"), ask(1, "works for", "likes"), ask(2, "born in")]
    model = answering(AIMessage("", tool_calls=calls))
    assert last(machine(model)).text == "Oslo."
    assert [each.content for each in model.requests[1].messages[2:]] == [
        "user | lives in | ? = Oslo",
        "user | works for | ? = nothing stored\nuser | likes | ? = nothing stored",
        "This was not asked: too many queries at once. Ask it again if you need it.",
    ]


def test_calls_without_ids_or_with_broken_arguments_go_back_in_a_form_that_servers_take():
    broken = {"name": "memory_read", "args": '{"queries": [', "id": None, "error": None, "type": "invalid_tool_call"}
    model = answering(AIMessage("", invalid_tool_calls=[broken]))
    assert last(machine(model)).text == "Oslo."
    own, told = model.requests[1].messages[1:]
    assert own.tool_calls == [{"name": "memory_read", "args": {}, "id": told.tool_call_id, "type": "tool_call"}]
    assert len(told.tool_call_id) == 9
    assert told.content.startswith("The call could not be read")


def test_usage_is_summed_and_what_the_last_message_carries_is_kept():
    """Doors F19."""
    call = AIMessage(
        "Let me look. ", id="run-1", usage_metadata=USED, tool_calls=[{**tool_call("memory_read", **Q).tool_calls[0]}]
    )
    cited = [
        {"type": "reasoning", "reasoning": "so"},
        {"type": "text", "text": "Oslo.", "annotations": [{"type": "citation", "url": "https://example.org"}]},
    ]
    final = AIMessage(cited, id="run-2", usage_metadata=USED, response_metadata={"model_name": "x"})
    message = last(machine(answering(call, final)))
    assert message.usage_metadata["total_tokens"] == 20
    assert (message.id, message.response_metadata) == ("run-2", {"model_name": "x"})
    assert message.content == [cited[0], {**cited[1], "text": "Let me look. Oslo."}]
    plain = last(machine(answering(call, AIMessage("Oslo.", usage_metadata=USED))))
    assert (plain.content, plain.usage_metadata["total_tokens"]) == ("Let me look. Oslo.", 20)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("So it is Oslo.", "So it is Oslo."),
        ("", "I asked my memory several times and found no answer."),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_model_that_only_calls_is_asked_once_without_tools(words, said, asynchronous):
    """Doors section 5: no ``tool_choice: none`` on some servers, and an empty answer after the cap of calls."""

    def script(request):
        relation = f"asks {len(request.messages)}"
        call = tool_call("memory_read", queries=[{"subject": "user", "relation": relation}])
        return (
            call.model_copy(update={"usage_metadata": USED}) if request.tools else AIMessage(words, usage_metadata=USED)
        )

    model = ScriptedModel(script=script)
    app = machine(model)
    message = ((await app.ainvoke(WHERE, ADA)) if asynchronous else app.invoke(WHERE, ADA))["messages"][-1]
    assert message.text == said
    assert not message.tool_calls
    assert len(model.requests) == CHAT_RULES.calls + 2
    assert message.usage_metadata["total_tokens"] == 10 * len(model.requests)
    assert "= nothing stored" in model.requests[-1].text


def test_an_answer_of_nothing_at_all():
    assert answer_of(Reading.start(" "), None).text == ""


def test_a_saved_reading_of_before_has_no_messages():
    reading, _ = advance(Reading.start(" ({"), _query_of("a>>b>>)"))
    saved = reading.as_dict()
    saved.pop("message")
    for call in saved["calls"]:
        call.pop("message")
    assert Reading.from_dict(saved) == reading


def _query_of(written):
    from langchain_memllm.reading import Generated

    return Generated(written, "stop", "-->")


# --- calls as text ----------------------------------------------------------------------------------------------------

ARGS = json.dumps(Q)
NAMED = json.dumps({"name": "memory_read", "arguments": Q})
PARAMETERS = json.dumps({"name": "memory_read", "parameters": Q})
LIST = json.dumps([QUERY])
DIALECTS = {
    "hermes": f"<tool_call>\n{NAMED}\n</tool_call>",
    "hermes, cut": f"<tool_call>\n{NAMED}",
    "mistral": f"[TOOL_CALLS][{NAMED}]",
    "mistral, new": f"[TOOL_CALLS]memory_read[ARGS]{ARGS}",
    "mistral, v13": f"[TOOL_CALLS]memory_read{ARGS}",
    "llama 3.1": f"<function=memory_read>{ARGS}</function>",
    "llama, python tag": f"<|python_tag|>{PARAMETERS}",
    "llama, bare": PARAMETERS,
    "pythonic": "[memory_read(queries=[{'subject': 'user', 'relation': 'lives in', 'object': None}])]",
    "pythonic, flat": 'memory_read(subject="user", relation="lives in")',
    "gemma": f"```tool_code\nprint(memory_read(queries={LIST}))\n```",
    "fence": f"```json\n{NAMED}\n```",
    "qwen coder": (
        f"<tool_call>\n<function=memory_read>\n<parameter=queries>\n{LIST}\n</parameter>\n</function>\n</tool_call>"
    ),
    "qwen coder, flat": (
        "<tool_call><function=memory_read><parameter=subject>user</parameter>"
        "<parameter=relation>lives in</parameter></function></tool_call>"
    ),
    "glm": (f"<tool_call>memory_read\n<arg_key>queries</arg_key>\n<arg_value>{LIST}</arg_value>\n</tool_call>"),
    "deepseek": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>memory_read\n"
        f"```json\n{ARGS}\n```<｜tool▁call▁end｜>"
    ),
    "kimi": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.memory_read:0"
        f"<|tool_call_argument_begin|>{ARGS}<|tool_call_end|>"
    ),
    "gpt-oss": (
        "<|channel|>analysis<|message|>look<|end|><|start|>assistant<|channel|>commentary "
        f"to=functions.memory_read <|constrain|>json<|message|>{ARGS}<|call|>"
    ),
    "xml": (
        f'<function_calls><invoke name="memory_read"><parameter name="queries">{LIST}</parameter>'
        "</invoke></function_calls>"
    ),
    "phi": f"<|tool_call|>[{NAMED}]<|/tool_call|>",
    "react": f"Action: memory_read\nAction Input: {ARGS}",
    "functionary": f">>>memory_read\n{ARGS}",
    "internlm": f"<|action_start|><|plugin|>\n{PARAMETERS}<|action_end|>",
    "cohere": (
        f'<|START_ACTION|>[{{"tool_call_id": "0", "tool_name": "memory_read", "parameters": {ARGS}}}]<|END_ACTION|>'
    ),
    "openai, whole": json.dumps({"tool_calls": [{"function": {"name": "memory_read", "arguments": ARGS}}]}),
    "arguments alone": ARGS,
    "after thinking": f"<think>Where? memory_read?</think>\n<tool_call>{NAMED}</tool_call>",
    "capitals": (
        '<tool_call>{"name": "memory_read", "arguments": '
        '{"Queries": [{"Subject": "user", "Relation": "lives in"}]}}</tool_call>'
    ),
    "encoded twice": json.dumps({"name": "memory_read", "arguments": json.dumps({"queries": json.dumps([QUERY])})}),
}


ALONE = {key for key, text in DIALECTS.items() if not text.startswith(("<", "[T", "memory_read"))}
ALONE |= {key for key, text in DIALECTS.items() if "think" in text or "channel" in text}
BEFORE_A_CALL = [
    (before, key) for before in ("", "Let me look. ") for key in DIALECTS if not before or key not in ALONE
]


@pytest.mark.parametrize(("before", "dialect"), BEFORE_A_CALL)
def test_a_call_that_a_server_left_in_the_text_is_that_call(before, dialect):
    """Doors F15. Some forms are a call only where nothing stands before them."""
    text = DIALECTS[dialect]
    model = answering(before + text)
    assert last(machine(model)).text == before + "Oslo."
    own, told = model.requests[1].messages[1:]
    assert own.tool_calls[0]["args"] == {"queries": [{**QUERY, "object": None}]}
    assert told.content == "user | lives in | ? = Oslo"


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_nothing_of_a_call_as_text_is_streamed(text, size):
    """Doors F15, in streams."""
    model = Pieces(script=lambda request: "Oslo." if after_tool(request) else text, size=size)
    app = machine(model)
    parts = [part for part, _ in app.stream(WHERE, ADA, stream_mode="messages")]
    shown = "".join(part.text for part in parts if isinstance(part, AIMessage))
    assert shown.removeprefix("<think>Where? memory_read?</think>") == "Oslo."


@pytest.mark.parametrize(
    "text",
    [
        "In Hermes' format `<tool_call>` opens a call.",
        "Use [brackets] (and these) > 3 {or so}.",
        '{"city": "Oslo"}',
        "[1, 2]",
        "```python\nprint(1)\n```",
        "The function memory_read looks things up.",
        "Analysis of A: <b>bold</b>",
    ],
)
def test_answers_that_are_no_calls_stay(text):
    model = Pieces(script=lambda request: text, size=1)
    assert call_in_text(text, "memory_read", ("queries", "relation")) is None
    app = machine(model)
    assert last(app).text == text
    parts = [part for part, _ in app.stream(WHERE, ADA, stream_mode="messages")]
    assert "".join(part.text for part in parts) == text
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>{oops</tool_call>",
        '[TOOL_CALLS]memory_read{"queries": [{"subj',
        "<tool_call>memory_read</tool_call>",
    ],
)
def test_a_call_as_text_that_cannot_be_read_is_withdrawn_and_never_shown(text):
    model = answering(text)
    assert last(machine(model)).text == "Oslo."
    assert model.requests[1].messages[-1].content.startswith("The call could not be read")


def test_long_texts_take_no_time():
    import time

    def seconds(times: int) -> float:
        start = time.thread_time()
        for piece in ("[", "{", '{"a": ', "<tool_call>", "(", "memory_read(", "'"):
            call_in_text(piece * times, "memory_read", ("queries",))
            opening_of_call(piece * times, "memory_read")
        return time.thread_time() - start

    assert seconds(20_000) < 30 * min(seconds(2_500) for _ in range(3)) + 0.5  # quadratic would be 64 times


# --- streams of the grammar -------------------------------------------------------------------------------------------


class Pieces(ScriptedModel):
    """A model that streams so many characters at a time."""

    size: int = 1
    streaming: bool = False

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        from langchain_core.messages import AIMessageChunk
        from langchain_core.outputs import ChatGenerationChunk

        answer = self._answer(messages, stop, kwargs)
        text = str(answer.text)
        for at in range(0, len(text), self.size):
            chunk = ChatGenerationChunk(message=AIMessageChunk(text[at : at + self.size], id=answer.id))
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(message=AIMessageChunk("", tool_calls=answer.tool_calls))


class Tokens(BaseCallbackHandler):
    def __init__(self):
        self.heard, self.runs = [], []

    def on_llm_new_token(self, token, *, run_id, **kwargs):
        assert run_id in self.runs
        self.heard.append(token)

    def on_chat_model_start(self, serialized, messages, *, run_id, **kwargs):
        self.runs.append(run_id)


def grammar(request):
    if len(request.messages) <= 2:
        return "At ({MEM_READ(user>>lives in>>)-->"
    return request.messages[-2].text + " Fine (really)."


@pytest.fixture(params=[1, 4, 1000])
def spoken(request):
    model = Pieces(script=grammar, size=request.param, streaming=True)
    return machine(model, mode="grammar")


SAID = "At  Fine (really)."


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_grammar_in_a_stream_of_messages(spoken, asynchronous):
    """Doors F16."""
    if asynchronous:
        parts = [part async for part, _ in spoken.astream(WHERE, ADA, stream_mode="messages")]
    else:
        parts = [part for part, _ in spoken.stream(WHERE, ADA, stream_mode="messages")]
    assert "".join(part.text for part in parts) == SAID


async def test_no_grammar_in_events(spoken):
    events = [event async for event in spoken.astream_events(WHERE, ADA, version="v2")]
    chunks = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
    assert "".join(chunks) == SAID
    ends = [event["data"]["output"] for event in events if event["event"] == "on_chat_model_end"]
    assert all("MEM_READ" not in str(end) for end in ends)
    assert {event["name"] for event in events if "chat_model" in event["event"]} == {"Pieces"}


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_grammar_in_event_streams_of_version_three(spoken, asynchronous):
    if not hasattr(spoken, "stream_events"):
        pytest.skip("this LangGraph has no event streams of version 3")
    if asynchronous:
        run = await spoken.astream_events(WHERE, ADA, version="v3")
        texts = [await stream.text async for stream in run.messages]
    else:
        texts = [str(stream.text) for stream in spoken.stream_events(WHERE, ADA, version="v3").messages]
    assert "".join(texts) == SAID


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_grammar_in_token_callbacks_of_the_run(spoken, asynchronous):
    tokens = Tokens()
    config = {**ADA, "callbacks": [tokens]}
    message = ((await spoken.ainvoke(WHERE, config)) if asynchronous else spoken.invoke(WHERE, config))["messages"][-1]
    assert ("".join(tokens.heard), message.text, len(tokens.runs)) == (SAID, SAID, 2)


def test_no_grammar_in_token_callbacks_of_the_model():
    tokens = Tokens()
    model = Pieces(script=grammar, size=3, streaming=True, callbacks=[tokens])
    assert last(machine(model, mode="grammar")).text == SAID
    assert "".join(tokens.heard) == SAID


def test_thinking_is_neither_shown_nor_read_by_grammar():
    def script(request):
        thought = "<think>Shall I write ({MEM_READ(user>>works for>>)? No.</think>"
        return thought + ("Fine." if len(request.messages) > 2 else "At ({MEM_READ(user>>lives in>>)-->")

    app = machine(Pieces(script=script, size=2), mode="grammar")
    parts = [part for part, _ in app.stream(WHERE, ADA, stream_mode="messages")]
    assert "".join(part.text for part in parts) == "At Fine."
    assert last(app).text == "At Fine."


def test_a_blocked_reader_is_not_offered_the_tool():
    """Review C02."""
    reader = ToolReader(ScriptedModel(script=lambda request: "x"), rules=Rules(tell_empty=False))
    model = reader.model
    reading = reader.start(WHERE["messages"])
    model.script = lambda request: tool_call("memory_read", **Q)
    step = reader.step(reading, WHERE["messages"])
    assert isinstance(step.action, Lookup)
    reading, _ = advance(step.reading, Results(((),)))
    model.script = lambda request: "Oslo."
    step = reader.step(reading, WHERE["messages"])
    assert isinstance(step.action, Done)
    assert [request.choice for request in model.requests] == [None, "none"]
