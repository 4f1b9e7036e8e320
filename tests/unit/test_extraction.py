"""Extraction with a scripted model: what it is asked, what becomes of its answers, and what it never does."""

from __future__ import annotations

import json
import re
import time
from typing import ClassVar

import pytest
from langchain_core.messages import AIMessage

from langchain_memllm.errors import ConfigurationError, MissingExtra, ModelError
from langchain_memllm.extraction import (
    CHUNK,
    ChatExtractor,
    Extraction,
    Extractor,
    LocalExtractor,
    filled_once,
    sentences_of,
)
from langchain_memllm.grammar import parse
from langchain_memllm.memory import Memory
from langchain_memllm.models import Manners
from langchain_memllm.relations import Catalogue
from langchain_memllm.testing import ScriptedModel, tool_call
from langchain_memllm.triples import Source, Statement, Triple

NS = ("memllm", "ada")


def facts(*rows, **more):
    parts = ("subject", "relation", "object")
    return [{**dict(zip(parts, row, strict=True)), **more} for row in rows]


def record(*rows, **more):
    return tool_call("record_facts", facts=facts(*rows, **more))


def triples(extraction: Extraction):
    return [(each.subject, each.relation, each.object) for each in extraction.statements]


SAID = Source("user", at="2026-11-29T12:00:00+00:00")


class Refusal(Exception):
    status_code = 400


def test_one_call_with_numbered_sentences_context_and_relations():
    model = ScriptedModel(script=[record(("I", "lives in", "Oslo"), ("Anna", "owns", "a cat"), sentence=2)])
    extraction = ChatExtractor(model).extract(
        "Hello there.\nI live in Oslo with Anna's cat.", context=["user: I met Anna."], source=SAID
    )
    assert triples(extraction) == [("user", "lives in", "Oslo"), ("Anna", "owns", "a cat")]
    assert {each.text for each in extraction.statements} == {"I live in Oslo with Anna's cat."}
    assert {each.span for each in extraction.statements} == {(13, 44)}
    (request,) = model.requests
    assert request.tools == ("record_facts",)
    system, human = (str(message.text) for message in request.messages)
    said = "Said on Sunday, 29 November 2026.\n\n"
    assert (
        human
        == said + "Earlier text:\n- user: I met Anna.\n\nText:\n[1] Hello there.\n[2] I live in Oslo with Anna's cat."
    )
    assert 'called "user"' in system
    assert "place of birth; " in system


async def test_the_async_twin_asks_and_answers_the_same():
    answers = [record(("Ada", "likes", "tea"))]
    one, two = ScriptedModel(script=answers), ScriptedModel(script=answers)
    assert await ChatExtractor(one).aextract("Ada likes tea.") == ChatExtractor(two).extract("Ada likes tea.")
    assert one.requests == two.requests


def test_dates_retractions_and_what_is_no_date():
    rows = [
        {"subject": "Ada", "relation": "lives in", "object": "Oslo", "valid_from": "2010-5", "valid_to": "2012/06/07"},
        {
            "subject": "Ada",
            "relation": "works for",
            "object": "Acme",
            "valid_from": "2020-01-02T00:00:00",
            "valid_to": "now",
        },
        {"subject": "Ada", "relation": "owns", "object": "a car", "valid_from": "last May", "valid_to": "2010-13"},
        {"subject": "Ada", "relation": "likes", "object": "tea", "retract": True},
    ]
    extraction = ChatExtractor(ScriptedModel(script=[tool_call("record_facts", facts=rows)])).extract(
        "Ada.", source=SAID
    )
    dates = [(each.valid_from, each.valid_to, each.retract) for each in extraction.statements]
    assert dates == [
        ("2010-05", "2012-06-07", False),
        ("2020-01-02", None, False),
        ("2026-05", None, False),
        (None, None, True),
    ]
    assert len(extraction.notes) == 1
    assert "2010-13" in extraction.notes[0]


def test_the_sentence_is_found_by_number_or_by_the_names():
    text = "Ada lives in Oslo. Bo likes tea. It rains."
    rows = [
        {"subject": "Bo", "relation": "likes", "object": "tea", "sentence": 99},
        {"subject": "she", "relation": "lives in", "object": "oslo"},
        {"subject": "x", "relation": "y", "object": "z", "sentence": "[3]"},
        {"subject": "x", "relation": "y", "object": "nowhere", "sentence": "²"},
    ]
    extraction = ChatExtractor(ScriptedModel(script=[tool_call("record_facts", facts=rows)])).extract(text)
    assert [each.text for each in extraction.statements] == ["Bo likes tea.", "Ada lives in Oslo.", "It rains.", None]
    assert [text[slice(*each.span)] for each in extraction.statements[:3]] == [
        each.text for each in extraction.statements[:3]
    ]


@pytest.mark.parametrize("kind", ["user", "owner"])
def test_i_is_the_speaker(kind):
    model = ScriptedModel(script=[record(("I", "knows", "Bo"), ("Bo", "knows", "Me"), ("the user", "is", "tall"))])
    extraction = ChatExtractor(model, speaker="Ada").extract("I know Bo.", source=Source(kind))
    assert triples(extraction) == [("Ada", "knows", "Bo"), ("Bo", "knows", "Ada"), ("Ada", "is", "tall")]


@pytest.mark.parametrize("kind", ["document", "model", "web", "tool", "system"])
def test_i_in_a_text_of_nobody_known_is_quarantined(kind):
    model = ScriptedModel(script=[record(("I", "knows", "Bo"), ("Bo", "knows", "Al"), ("the user", "is", "tall"))])
    extraction = ChatExtractor(model).extract("I know Bo.", source=Source(kind))
    kept = [("Bo", "knows", "Al"), ("the user", "is", "tall")]
    assert triples(extraction) == (kept[:1] if kind == "web" else kept)  # redteam, also seen: a page knows no user
    piece = extraction.quarantine[0]
    assert len(extraction.quarantine) == 1 + (kind == "web")
    assert parse(piece.text).triples == (Triple("I", "knows", "Bo"),)
    assert piece.source == Source(kind)
    assert "called" not in str(model.requests[0].messages[0].text)


# --- modes ------------------------------------------------------------------------------------------------------------

GOOD = {
    "tools": record(("Ada", "likes", "tea")),
    "json": json.dumps({"facts": facts(("Ada", "likes", "tea"))}),
    "grammar": "({MEM_WRITE-->Ada>>likes>>tea})",
}


@pytest.mark.parametrize("asked", ["tools", "json", "grammar"])
@pytest.mark.parametrize("given", ["tools", "json", "grammar"])
def test_every_parser_reads_the_one_reply_whatever_was_asked(asked, given):
    model = ScriptedModel(script=[GOOD[given]])
    assert triples(ChatExtractor(model, mode=asked).extract("Ada likes tea.")) == [("Ada", "likes", "tea")]
    assert len(model.requests) == 1
    assert bool(model.requests[0].tools) == (asked == "tools")


def test_a_model_without_tools_is_asked_for_json():
    model = ScriptedModel(script=[GOOD["json"]], tools=False)
    extractor = ChatExtractor(model)
    assert extractor.mode == "auto"
    assert triples(extractor.extract("Ada likes tea.")) == [("Ada", "likes", "tea")]
    assert extractor.mode == "json"
    assert "JSON only" in model.requests[0].text


def test_a_server_that_refuses_tools_is_asked_for_json_once_and_for_all():
    model = ScriptedModel(script=[Refusal("tools are not supported"), GOOD["json"], GOOD["json"]])
    extractor = ChatExtractor(model)
    for _ in range(2):
        assert triples(extractor.extract("Ada likes tea.")) == [("Ada", "likes", "tea")]
    assert [bool(request.tools) for request in model.requests] == [True, False, False]


class Once(Exception):
    """A refusal that says nothing."""

    status_code = 400


def offered(model):
    return [bool(request.tools) for request in model.requests]


def test_one_bad_reply_does_not_turn_tools_off():
    """Doors F22: after a refusal without a word about tools they are offered again; after two in a row not."""
    model = ScriptedModel(script=[Once(), GOOD["json"], GOOD["tools"], Once("too long")])
    extractor = ChatExtractor(model)
    for _ in range(2):
        assert triples(extractor.extract("Ada likes tea.")) == [("Ada", "likes", "tea")]
    assert (offered(model), extractor.mode) == ([True, False, True], "tools")
    with pytest.raises(ModelError, match="status 400"):
        extractor.extract("Ada likes tea.")  # tools have worked: this is of the moment
    assert offered(model) == [True, False, True, True]
    never = ScriptedModel(script=lambda request: Once() if request.tools else GOOD["json"])
    for _ in range(4):
        ChatExtractor(never).extract("Ada likes tea.")
    assert offered(never) == [True, False, True, False, False, False]


def test_a_model_that_refuses_both_ways_is_not_taken_for_one_without_tools():
    model = ScriptedModel(script=lambda request: Once())
    for _ in range(3):
        with pytest.raises(ModelError, match="status 400"):
            ChatExtractor(model).extract("Ada likes tea.")
    assert offered(model) == [True, False] * 3


def test_what_a_model_refuses_is_remembered_with_it_and_with_no_other():
    def script(request):
        return Refusal("this model does not support tools") if request.tools else GOOD["json"]

    one, other = ScriptedModel(script=script), ScriptedModel(script=script)
    for model in (one, one, other):
        assert ChatExtractor(model).extract("Ada likes tea.").statements
    assert (offered(one), offered(other)) == ([True, False, False], [True, False])
    assert [Manners.of(each).tools for each in (one, other, ScriptedModel(script=[]))] == [False, False, True]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "generation", [GOOD["json"], f"<function=record_facts>{GOOD['json']}</function>", "Ada likes tea.", None]
)
async def test_a_generation_that_the_server_could_not_read_is_read(generation, asynchronous):
    """Doors F22: Groq's tool_use_failed."""

    class Failed(Exception):
        status_code = 400
        body: ClassVar = {"error": {"code": "tool_use_failed", "failed_generation": generation}}

        def __str__(self):
            return str(self.body)

    model = ScriptedModel(script=lambda request: Failed() if request.tools else GOOD["json"])
    extractor = ChatExtractor(model)
    for _ in range(3):
        extraction = await extractor.aextract("Hi.") if asynchronous else extractor.extract("Hi.")
        assert triples(extraction) == [("Ada", "likes", "tea")]
    read = generation is not None and "{" in generation
    assert offered(model) == ([True] * 3 if read else [True, False] * 3)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_message_that_the_client_cannot_build_is_asked_for_again_as_json(asynchronous):
    """Doors F23: arguments that are encoded twice, or a list."""

    def script(request):
        if not request.tools:
            return GOOD["json"]
        return AIMessage("", tool_calls=[{"name": "record_facts", "args": "[]", "id": "1"}])

    def rude(request):
        try:
            return script(request)
        except ValueError as error:
            return error

    model = ScriptedModel(script=rude)
    extractor = ChatExtractor(model)
    for _ in range(2):
        extraction = await extractor.aextract("Hi.") if asynchronous else extractor.extract("Hi.")
        assert triples(extraction) == [("Ada", "likes", "tea")]
    assert offered(model) == [True, False, True, False]


@pytest.mark.parametrize("mode", ["auto", "tools", "json", "grammar"])
def test_a_model_without_a_system_role_finds_the_rules_in_the_persons_message(mode):
    """Doors F22: "System role not supported" is cured, and remembered."""

    def script(request):
        if request.messages[0].type == "system":
            return Refusal("System role not supported")
        return GOOD["json"]

    model = ScriptedModel(script=script)
    for _ in range(2):
        assert triples(ChatExtractor(model, mode=mode).extract("Ada likes tea.")) == [("Ada", "likes", "tea")]
    kinds = [[message.type for message in request.messages] for request in model.requests]
    assert kinds == [["system", "human"], ["human"], ["human"]]
    assert "record the facts" in model.requests[1].text
    assert offered(model) == [mode in ("auto", "tools")] * 3


def test_a_forced_choice_that_is_refused_is_left_out():
    model = ScriptedModel(script=lambda r: Refusal("this tool_choice is not supported") if r.choice else GOOD["tools"])
    for _ in range(2):
        assert triples(ChatExtractor(model).extract("Ada likes tea.")) == [("Ada", "likes", "tea")]
    assert [request.choice for request in model.requests] == ["any", None, None]
    assert offered(model) == [True, True, True]


def test_the_field_for_calls_of_before_there_were_tools_is_read():
    """Doors section 5: the legacy function_call field."""
    call = {"name": "record_facts", "arguments": GOOD["json"]}
    model = ScriptedModel(script=[AIMessage("", additional_kwargs={"function_call": call})])
    assert triples(ChatExtractor(model).extract("Ada likes tea.")) == [("Ada", "likes", "tea")]
    call = {"name": "record_facts", "arguments": "Ada likes tea"}
    model = ScriptedModel(script=[AIMessage("", additional_kwargs={"function_call": call})])
    assert [piece.text for piece in ChatExtractor(model).extract("Ada likes tea.").quarantine] == ["Ada likes tea"]


async def test_a_failing_model_raises_one_of_ours_without_its_words():
    for script in ([ConnectionError("key sk-123 and the prompt")], [record(), Refusal("sk-123")]):
        extractor = ChatExtractor(ScriptedModel(script=script))
        if len(script) == 2:
            extractor.extract("Ada likes tea.")
        with pytest.raises(ModelError, match="extracting facts") as caught:
            await extractor.aextract("Ada likes tea.")
        assert "sk-123" not in str(caught.value)
        assert caught.value.__cause__ is script[-1]


def test_names_of_models_are_resolved_late_and_errors_say_what_to_do():
    extractor = ChatExtractor("nosuchprovider:x")
    with pytest.raises(ConfigurationError, match="provider:model"):
        extractor.extract("Ada likes tea.")
    with pytest.raises(MissingExtra, match="pip install langchain-fireworks"):
        ChatExtractor("fireworks:x").extract("Ada likes tea.")
    with pytest.raises(ConfigurationError, match="not a chat model"):
        ChatExtractor(object()).extract("Ada likes tea.")


def test_a_missing_key_is_a_model_error(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        ChatExtractor("openai:gpt-5-mini").extract("Ada likes tea.")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_empty_texts_and_bad_arguments():
    model = ScriptedModel(script=[])
    assert ChatExtractor(model).extract("") == ChatExtractor(model).extract(" \n ") == Extraction()
    with pytest.raises(ConfigurationError, match="int is not a text"):
        ChatExtractor(model).extract(5)
    for bad in ({"limit": 0}, {"mode": "xml"}):
        with pytest.raises(ConfigurationError):
            ChatExtractor(model, **bad)


def test_a_long_text_is_asked_about_in_chunks_with_what_stood_before():
    text = "".join(f"Person {n} lives in town {n}. " for n in range(1200))
    model = ScriptedModel(script=lambda request: record(("Ada", "likes", "tea"), sentence=1))
    extraction = ChatExtractor(model).extract(text)
    asked = [str(request.messages[1].text) for request in model.requests]
    assert len(asked) == 3
    assert sum(part.partition("Text:")[2].count("lives in town") for part in asked) == 1200
    assert asked[1].partition("Text:")[0].count("lives in town") == 8
    starts = [each.span[0] for each in extraction.statements]
    assert starts == sorted(starts)
    assert [text[slice(*each.span)] for each in extraction.statements] == [each.text for each in extraction.statements]


@pytest.mark.parametrize(
    "sentence", ["I live in Oslo, and so on. ", "word " * 700 + "end. ", "x" * 1900 + ". ", "x" * 99_999]
)
@pytest.mark.parametrize("size", [58_000, 300_000])
def test_a_text_of_any_length_is_read_within_a_budget_of_calls(sentence, size):
    """Bugs 3.16: a call reads up to 12,000 characters, and at least 10,000 of them if there are more."""
    text = (sentence * (size // len(sentence) + 1))[:size]
    model = ScriptedModel(script=lambda request: record(("Ada", "likes", "tea"), sentence=1))
    extraction = ChatExtractor(model).extract(text)
    assert size / CHUNK <= len(model.requests) <= size / 10_000 + 1
    assert len(model.requests) <= 6 or size > 58_000
    asked = "".join(str(request.messages[1].text).partition("Text:")[2] for request in model.requests)
    assert "".join(re.sub(r"\[\d+\] ", "", asked).split()) == "".join(text.split())
    assert [text[slice(*each.span)] for each in extraction.statements] == [each.text for each in extraction.statements]


def test_a_very_long_text_takes_time_in_proportion():
    def seconds(times: int) -> float:
        start = time.thread_time()
        ChatExtractor(ScriptedModel(script=lambda request: "{}")).extract("Person 7 lives in town 7. " * times)
        return time.thread_time() - start

    seconds(10)
    once = seconds(20_000)
    assert seconds(80_000) < 8 * once + 1  # four times the text; quadratic would be 16 times the time


def test_what_stood_before_is_the_end_of_it():
    """Review W03, D02: what words refer to is what was said last, not first."""
    model = ScriptedModel(script=lambda request: record())
    context = [f"user: message {n} {'x' * 900}" for n in range(9)]
    ChatExtractor(model).extract("She likes tea.", context=context)
    ChatExtractor(model).extract("She likes tea.", context=["user: begins" + "x" * 9_000 + "ends"])
    ChatExtractor(model).extract("".join(f"Person {n} likes tea. " for n in range(1000)), context=context)
    earlier = [str(request.messages[1].text).partition("Text:")[0] for request in model.requests]
    assert re.findall(r"message (\d)", earlier[0]) == ["5", "6", "7", "8"]
    assert "begins" not in earlier[1]
    assert earlier[1].strip().endswith("ends")
    assert len(earlier[1]) < 4_100
    assert re.findall(r"message (\d)", earlier[2]) == ["5", "6", "7", "8"]
    last = int(re.findall(r"Person (\d+)", str(model.requests[2].messages[1].text))[-1])
    assert re.findall(r"Person (\d+)", earlier[3]) == [str(n) for n in range(last - 7, last + 1)]


def test_a_sentence_ends_at_a_blank_line_and_every_fact_says_where_it_stands():
    """Several turns in one call: the span tells whose a fact is."""
    turns = ["I live in", "Oslo, with Anna\nof Acme", "Bo Li\u2019s cat, and St.", "Gallen is nice"]
    text = "\n\n".join(turns)
    assert [each.text for each in sentences_of(text)] == turns
    assert [each.text for each in sentences_of("a\r\n \r\nb\n\t\n\n\nc")] == ["a", "b", "c"]
    rows = [
        ({"subject": "Anna", "relation": "works for", "object": "ACME", "sentence": 4}, 1),  # a wrong number
        ({"subject": "Bo Li", "relation": "owns", "object": "a cat", "sentence": 3}, 2),  # its own words
        ({"subject": "bo li", "relation": "owns", "object": "an animal"}, 2),  # one sentence names the subject
        ({"subject": "St Gallen", "relation": "is", "object": "nice"}, 3),
        ({"subject": "nobody", "relation": "is", "object": "nowhere"}, None),
    ]
    reply = tool_call("record_facts", facts=[row for row, _ in rows])
    extraction = ChatExtractor(ScriptedModel(script=[reply])).extract(text)
    assert [each.text for each in extraction.statements] == [None if at is None else turns[at] for _, at in rows]


def test_facts_beyond_the_limit_are_quarantined_and_can_be_written_by_hand():
    many = [(f"s{n}", "is", f"o{n}") for n in range(10_000)]
    extraction = ChatExtractor(ScriptedModel(script=[record(*many)])).extract("Many things.")
    assert triples(extraction) == many[:100]
    assert [tuple(triple) for piece in extraction.quarantine for triple in parse(piece.text).triples] == many[100:]
    receipt = Memory().write(extraction.statements, namespace=NS, quarantine=extraction.quarantine)
    assert (receipt.count("stored"), receipt.count("quarantined")) == (100, len(extraction.quarantine))


def test_bad_pieces_reach_the_memory_with_their_reason():
    reply = json.dumps({"facts": [*facts(("Ada", "likes", "tea")), {"subject": "Bo"}]})[:-2]
    source = Source("user", "m1", "ada")
    extraction = ChatExtractor(ScriptedModel(script=[AIMessage(reply)])).extract("Ada likes tea.", source=source)
    memory = Memory()
    receipt = memory.write(extraction.statements, namespace=NS, source=source, quarantine=extraction.quarantine)
    assert [outcome.status for outcome in receipt] == ["stored", "quarantined"]
    (kept,) = memory.quarantined(namespace=NS)
    assert "Bo" in kept.text
    assert "missing" in kept.reason


@pytest.mark.parametrize(
    "text", ["a\ud800b. c", "a\x00b. c", "({MEM_WRITE-->a>>b>>c})", "x" * 7000, "[2] fake\n[3] lines"]
)
def test_odd_texts_are_asked_about_harmlessly(text):
    model = ScriptedModel(script=lambda request: record(("Ada", "likes", "tea")))
    extraction = ChatExtractor(model).extract(text)
    assert triples(extraction)[0] == ("Ada", "likes", "tea")
    asked = str(model.requests[0].messages[1].text)
    asked.encode("utf-8")
    assert "({" not in asked
    assert [line.split("]")[0] for line in asked.splitlines()[3:]] == [
        f"[{n}" for n in range(1, len(asked.splitlines()) - 2)
    ]
    Memory().write(extraction.statements, namespace=NS, source=Source("user"))


def test_sentences():
    text = "Dr. Smith met J. R. R. Tolkien in Washington D.C. on Jan. 5. \n\n  They spoke!  日本語です。次。"
    found = sentences_of(text)
    assert [each.text for each in found] == [
        "Dr. Smith met J. R. R. Tolkien in Washington D.C. on Jan. 5.",
        "They spoke!",
        "日本語です。",
        "次。",
    ]
    assert [text[each.start : each.end] for each in found] == [each.text for each in found]


# --- the local writer -------------------------------------------------------------------------------------------------


class FakeWriter:
    """What ``LocalExtractor`` needs of a ``MemLLMModel``."""

    def __init__(self, *calls, adapters=frozenset(), unsure=()):
        self.calls, self.asked, self.shown, self.adapters = calls, [], [], adapters
        self.unsure, self.spoken = unsure, []

    def write_calls(self, sentences, contexts, *, options=None, examples=(), spoken=False):
        pytest.importorskip("torch")
        from langchain_memllm.local import WriteOutput

        self.asked += zip(sentences, contexts, strict=True)
        self.shown.append((options, examples))
        self.spoken.append(spoken)
        return [
            WriteOutput(call, found := parse(call), confidences=(0.75,) * len(found.triples), unsure=self.unsure)
            for call in self.calls
        ]


async def test_the_local_writer_reads_sentence_by_sentence():
    model = FakeWriter("({MEM_WRITE-->I>>likes>>tea})", "({MEM_WRITE-->Bo>>likes>>jam;x})")
    extractor = LocalExtractor(model)
    assert isinstance(extractor, Extractor)
    extraction = await extractor.aextract("I like tea. Bo likes jam.", context=["Hello."], source=Source("user"))
    assert triples(extraction) == [("user", "likes", "tea"), ("Bo", "likes", "jam")]
    assert [each.text for each in extraction.statements] == ["I like tea.", "Bo likes jam."]
    assert [piece.text for piece in extraction.quarantine] == ["x"]
    assert model.asked == [("I like tea.", ("Hello.",)), ("Bo likes jam.", ("Hello.", "I like tea."))]
    assert extractor.extract("") == Extraction()


def test_the_local_writer_says_how_sure_it_is_and_what_it_left_out():
    """Issue 19 F: probabilities go with the statements; what is below the threshold and what gave nothing is told."""
    unsure = ((Triple("Bo", "likes", "ham"), 0.31),)
    model = FakeWriter("({MEM_WRITE-->Bo>>likes>>jam})", "({MEM_WRITE-->})", "({MEM_WRITE-->})", unsure=unsure)
    text = "Bo likes jam. Thanks! My back hurts."
    extraction = LocalExtractor(model).extract(text, source=Source("document"))
    assert [each.confidence for each in extraction.statements] == [0.75]
    assert {piece.text for piece in extraction.quarantine} == {"({MEM_WRITE-->Bo>>likes>>ham})"}
    assert "0.31" in extraction.quarantine[0].reason
    assert [(each.text, text[each.start : each.end]) for each in extraction.without_facts] == [("My back hurts.",) * 2]
    LocalExtractor(model).extract(text, source=Source("user"))
    LocalExtractor(model).extract(text)
    assert model.spoken == [False, True, True]


def test_a_slot_of_one_text_is_filled_once_by_the_surest():
    """Issue 19 F. Many-valued relations and what has no confidence are left alone."""

    def said(relation, object_, confidence):
        return Statement("Ada", relation, object_, confidence=confidence)

    oslo, rome, paris = (said("place of birth", name, p) for name, p in (("Oslo", 0.6), ("Rome", 0.9), ("Paris", None)))
    alias, again = said("born in", "Kiel", 0.7), said("place of birth", "ROME", 0.2)
    tea, jam = said("likes", "tea", 0.1), said("likes", "jam", 0.2)
    kept, refused = filled_once([oslo, tea, rome, paris, alias, jam, again], Catalogue.shipped())
    assert kept == [tea, rome, paris, jam, again]
    assert refused == [oslo, alias]
    assert filled_once([], Catalogue.shipped()) == ([], [])


def test_an_untrained_writer_is_shown_examples_and_a_trained_one_is_not():
    pytest.importorskip("torch")
    from langchain_memllm.local.examples import UNTRAINED, WRITE_EXAMPLES

    untrained, trained = FakeWriter("({MEM_WRITE-->})"), FakeWriter("({MEM_WRITE-->})", adapters=frozenset({"write"}))
    for model in (untrained, trained):
        LocalExtractor(model).extract("It rains.")
    LocalExtractor(untrained, examples=()).extract("It rains.")
    assert untrained.shown == [(UNTRAINED, WRITE_EXAMPLES), (UNTRAINED, ())]
    assert trained.shown == [(None, ())]


def test_sentences_are_the_same_however_long_the_paragraph_is(monkeypatch):
    """redteam §2 A25: a window at a time; a sentence that a window cuts is read again with what follows."""
    text = "Ada lives in Oslo. She met Mr. Smith there! Is it cold?  “Yes,” he said. " * 30
    whole = sentences_of(text)
    monkeypatch.setattr("langchain_memllm.extraction._WINDOW", 90)
    assert sentences_of(text) == whole
    assert [len(each.text) for each in sentences_of("a" * 200)] == [90, 90, 20]
