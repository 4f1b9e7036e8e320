"""Extraction with a scripted model: what it is asked, what becomes of its answers, and what it never does."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage

from langchain_memllm.errors import ConfigurationError, MissingExtra, ModelError
from langchain_memllm.extraction import (
    MAX_TEXT,
    ChatExtractor,
    Extraction,
    Extractor,
    LocalExtractor,
    sentences_of,
)
from langchain_memllm.grammar import parse
from langchain_memllm.memory import Memory
from langchain_memllm.testing import ScriptedModel, tool_call
from langchain_memllm.triples import Source, Triple

NS = ("memllm", "ada")


def facts(*rows, **more):
    parts = ("subject", "relation", "object")
    return [{**dict(zip(parts, row, strict=True)), **more} for row in rows]


def record(*rows, **more):
    return tool_call("record_facts", facts=facts(*rows, **more))


def triples(extraction: Extraction):
    return [(each.subject, each.relation, each.object) for each in extraction.statements]


class Refusal(Exception):
    status_code = 400


def test_one_call_with_numbered_sentences_context_and_relations():
    model = ScriptedModel(script=[record(("I", "lives in", "Oslo"), ("Anna", "owns", "a cat"), sentence=2)])
    extraction = ChatExtractor(model).extract(
        "Hello there.\nI live in Oslo with Anna's cat.", context=["user: I met Anna."], source=Source("user")
    )
    assert triples(extraction) == [("user", "lives in", "Oslo"), ("Anna", "owns", "a cat")]
    assert {each.text for each in extraction.statements} == {"I live in Oslo with Anna's cat."}
    assert {each.span for each in extraction.statements} == {(13, 44)}
    (request,) = model.requests
    assert request.tools == ("record_facts",)
    system, human = (str(message.text) for message in request.messages)
    assert human == "Earlier text:\n- user: I met Anna.\n\nText:\n[1] Hello there.\n[2] I live in Oslo with Anna's cat."
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
    extraction = ChatExtractor(ScriptedModel(script=[tool_call("record_facts", facts=rows)])).extract("Ada.")
    dates = [(each.valid_from, each.valid_to, each.retract) for each in extraction.statements]
    assert dates == [
        ("2010-05", "2012-06-07", False),
        ("2020-01-02", None, False),
        (None, None, False),
        (None, None, True),
    ]
    assert len(extraction.notes) == 2
    assert "last May" in extraction.notes[0]


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
    assert triples(extraction) == [("Bo", "knows", "Al"), ("the user", "is", "tall")]
    (piece,) = extraction.quarantine
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
    with pytest.raises(ConfigurationError, match="no chat model"):
        ChatExtractor(object()).extract("Ada likes tea.")


def test_a_missing_key_is_a_model_error(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        ChatExtractor("openai:gpt-5-mini").extract("Ada likes tea.")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_empty_and_oversized_texts():
    model = ScriptedModel(script=[])
    assert ChatExtractor(model).extract("") == ChatExtractor(model).extract(" \n ") == Extraction()
    with pytest.raises(ConfigurationError, match=str(MAX_TEXT)):
        ChatExtractor(model).extract("x" * (MAX_TEXT + 1))
    with pytest.raises(ConfigurationError, match="int is no text"):
        ChatExtractor(model).extract(5)
    for bad in ({"limit": 0}, {"mode": "xml"}):
        with pytest.raises(ConfigurationError):
            ChatExtractor(model, **bad)


def test_a_long_text_is_asked_about_in_chunks_with_what_stood_before():
    text = "".join(f"Person {n} lives in town {n}. " for n in range(600))
    model = ScriptedModel(script=lambda request: record(("Ada", "likes", "tea"), sentence=1))
    extraction = ChatExtractor(model).extract(text)
    asked = [str(request.messages[1].text) for request in model.requests]
    assert len(asked) == 3
    assert sum(part.partition("Text:")[2].count("lives in town") for part in asked) == 600
    assert asked[1].partition("Text:")[0].count("lives in town") == 8
    starts = [each.span[0] for each in extraction.statements]
    assert starts == sorted(starts)
    assert [text[slice(*each.span)] for each in extraction.statements] == [each.text for each in extraction.statements]


def test_facts_beyond_the_limit_are_quarantined_and_can_be_written_by_hand():
    many = [(f"s{n}", "is", f"o{n}") for n in range(10_000)]
    extraction = ChatExtractor(ScriptedModel(script=[record(*many)])).extract("Many things.")
    assert triples(extraction) == many[:50]
    assert [tuple(triple) for piece in extraction.quarantine for triple in parse(piece.text).triples] == many[50:]
    receipt = Memory().write(extraction.statements, namespace=NS, quarantine=extraction.quarantine)
    assert (receipt.count("stored"), receipt.count("quarantined")) == (50, len(extraction.quarantine))


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
    assert [line.split("]")[0] for line in asked.splitlines()[1:]] == [
        f"[{n}" for n in range(1, len(asked.splitlines()))
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

    def __init__(self, *calls, adapters=frozenset()):
        self.calls, self.asked, self.shown, self.adapters = calls, [], [], adapters

    def write_calls(self, sentences, contexts, *, options=None, examples=()):
        pytest.importorskip("torch")
        from langchain_memllm.local import WriteOutput

        self.asked += zip(sentences, contexts, strict=True)
        self.shown.append((options, examples))
        return [WriteOutput(call, parse(call)) for call in self.calls]


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


def test_an_untrained_writer_is_shown_examples_and_a_trained_one_is_not():
    pytest.importorskip("torch")
    from langchain_memllm.local.examples import UNTRAINED, WRITE_EXAMPLES

    untrained, trained = FakeWriter("({MEM_WRITE-->})"), FakeWriter("({MEM_WRITE-->})", adapters=frozenset({"write"}))
    for model in (untrained, trained):
        LocalExtractor(model).extract("It rains.")
    LocalExtractor(untrained, examples=()).extract("It rains.")
    assert untrained.shown == [(UNTRAINED, WRITE_EXAMPLES), (UNTRAINED, ())]
    assert trained.shown == [(None, ())]
