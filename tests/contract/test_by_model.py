"""What a model writes into a memory, on every store: dates in words become dates, placeholders are put aside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from langchain_memllm.extraction import Extraction, sentences_of
from langchain_memllm.memory import Memory
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.testing import ScriptedModel, tool_call
from langchain_memllm.triples import Source, Statement

NS = ("memllm", "ada")
ADA = Source("user", "chat-1", "ada")
SAID = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday


@pytest.fixture
def memory(store: TripleStore) -> Memory:
    return Memory(store, clock=lambda: datetime(2026, 11, 29, 12, tzinfo=UTC))


def facts(*rows: tuple[str, str, str], **more: Any) -> Any:
    named = [
        {"subject": subject, "relation": relation, "object": object_, **more} for subject, relation, object_ in rows
    ]
    return tool_call("record_facts", facts=named)


@pytest.mark.parametrize("object_", ["unknown", "N/A", "not specified", "?", "there", "a new city", "him", "soon"])
def test_a_placeholder_supersedes_nothing(memory: Memory, object_: str) -> None:
    """bugs 3.8."""
    memory.write([("user", "lives in", "Oslo")], namespace=NS, source=ADA)
    receipt = memory.write([("user", "lives in", object_), ("user", "likes", "tea")], namespace=NS, by_model=True)
    assert [outcome.status for outcome in receipt] == ["quarantined", "stored"]
    assert memory.read("user", "lives in", namespace=NS).answers == ("Oslo",)
    (piece,) = memory.quarantined(namespace=NS)
    assert object_ in piece.text
    assert piece.reason == receipt.outcomes[0].reason


def test_what_a_model_finds_in_a_text(store: TripleStore) -> None:
    """bugs 3.8, as it was reported."""
    rows = iter(["Oslo", "unknown"])
    model = ScriptedModel(script=lambda request: facts(("user", "lives in", next(rows))))
    memory = MemLLMMemory(store, model=model)
    memory.remember("I live in Oslo.", user_id="ada")
    (outcome,) = memory.remember("I am looking for a new flat.", user_id="ada")
    assert (outcome.status, outcome.supersedes) == ("quarantined", ())
    assert memory.read("user", "lives in", user_id="ada").answers == ("Oslo",)


def test_words_for_a_date_are_counted_from_when_it_was_said(memory: Memory) -> None:
    """bugs 3.14."""
    said = [
        Statement("user", "dentist appointment", "tomorrow at 9"),
        Statement("user", "lives in", "Bergen", valid_from="next month"),
        Statement("user", "favourite song", "Yesterday", text="My favourite song is Yesterday."),
        Statement("user", "works for", "Acme", valid_to="last week"),
    ]
    receipt = memory.write(said, namespace=NS, source=ADA, at=SAID, by_model=True)
    assert [outcome.status for outcome in receipt] == ["stored", "stored", "stored", "past"]
    found = {fact.triple.object: fact for fact in memory.history("user", namespace=NS)}
    assert set(found) == {"2026-11-26 09:00", "Bergen", "Yesterday", "Acme"}
    assert (found["Bergen"].valid_from, found["Bergen"].state) == ("2026-12", "planned")
    assert found["Acme"].valid_to == "2026-11-22"


def test_nobody_knows_what_tomorrow_was_in_a_document(memory: Memory) -> None:
    rows = [("Fair", "opens on", "tomorrow"), ("Fair", "takes place in", "Oslo")]
    receipt = memory.write(rows, namespace=NS, source=Source("document", "notes.md"), by_model=True)
    assert [outcome.status for outcome in receipt] == ["quarantined", "stored"]
    dated = memory.write(rows, namespace=NS, source=Source("document", "notes.md"), at="2026-11-01", by_model=True)
    assert [outcome.status for outcome in dated] == ["stored", "already"]
    assert memory.read("Fair", "opens on", namespace=NS).answers == ("2026-11-02",)


def test_the_model_is_told_the_date_and_the_block_tells_when_it_was_said(store: TripleStore) -> None:
    """bugs 3.14, as it was reported."""
    model = ScriptedModel(script=[facts(("user", "dentist appointment", "tomorrow at 9"))])
    memory = MemLLMMemory(store, model=model)
    memory.remember("My dentist appointment is tomorrow at 9.", user_id="ada", at=SAID)
    assert "Said on Wednesday, 25 November 2026." in model.requests[0].text
    block = memory.recall("When is my dentist appointment?", user_id="ada").block
    assert "2026-11-26 09:00 | said 2026-11-25" in block


@pytest.mark.parametrize(("value", "name"), [(34, "34"), (1.5, "1.5"), (True, "true"), (False, "false")], ids=str)
def test_numbers_and_truth_values_are_names(memory: Memory, value: Any, name: str) -> None:
    """frictions 3."""
    receipt = memory.write(
        [("Ada", "age", value), {"subject": "Ada", "relation": "rate", "object": value}], namespace=NS
    )
    assert [outcome.status for outcome in receipt] == ["stored", "stored"]
    assert memory.read("Ada", "age", namespace=NS).answers == (name,)
    assert memory.read(None, "age", value, namespace=NS).answers == ("Ada",)
    assert memory.retract(("Ada", "age", value), namespace=NS).outcomes[0].status == "retracted"


def test_a_write_that_stored_nothing_warns(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """frictions 3."""
    with caplog.at_level(logging.WARNING):
        memory.write([("Ada", "age", 34), {"predicate": "x"}, ("Ada", "lives in")], namespace=NS)
    assert [record.getMessage() for record in caplog.records] == ["triples rejected: 2 of 3; the receipt says why"]


def test_an_application_is_taken_at_its_word_but_for_what_nobody_knows(memory: Memory) -> None:
    memory.write([("user", "lives in", "Oslo")], namespace=NS, source=ADA)
    rows = [("user", "lives in", "unknown"), ("It", "directed by", "Muschietti"), ("user", "vegan", "yes")]
    receipt = memory.write(rows, namespace=NS, source=ADA)
    assert [outcome.status for outcome in receipt] == ["rejected", "stored", "stored"]
    assert memory.read("user", "lives in", namespace=NS).answers == ("Oslo",)


class Rated:
    """What the local writer gives: statements with their probabilities, and sentences of which it says nothing."""

    def extract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """Each sentence "S R O 0.7" is a statement so probable; "Hm" gives none."""
        statements, nothing = [], []
        for sentence in sentences_of(text):
            words = sentence.text.rstrip(".").split(" / ")
            if len(words) == 1:
                nothing.append(sentence)
                continue
            subject, relation, object_, probability = words
            span = (sentence.start, sentence.end)
            statements.append(Statement(subject, relation, object_, confidence=float(probability), span=span))
        return Extraction(tuple(statements), without_facts=tuple(nothing))

    async def aextract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """The same."""
        return self.extract(text, context=context, source=source)


TEXT = "\n\n".join(
    (
        "Ada / lives in / Oslo / 0.5",
        "Ada / residence / Rome / 0.75",
        "Ada / likes / tea / 0.25",
        "Ada / date of birth / Bergen / 0.9",
        "My back hurts",
        "It was a long day, and " + "so on " * 40,
    )
)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_how_sure_a_model_was_is_kept_and_a_slot_is_filled_once(store: TripleStore, asynchronous: bool) -> None:
    """Issue 19 F: confidence, single-valued slots, dates, and the sentences that gave nothing."""
    memory = MemLLMMemory(store, extractor=Rated())
    if asynchronous:
        receipt = asyncio.run(memory.aremember(TEXT, user_id="ada", op_id="text"))
    else:
        receipt = memory.remember(TEXT, user_id="ada", op_id="text")
    (home,) = memory.history("Ada", "lives in", user_id="ada")
    assert (home.triple.object, home.confidence) == ("Rome", 0.75)
    assert [fact.confidence for fact in memory.history("Ada", "likes", user_id="ada")] == [0.25]
    assert memory.history("Ada", "date of birth", user_id="ada") == []
    told = sorted((piece.text, piece.reason) for piece in memory.quarantined(user_id="ada"))
    assert [reason for _, reason in told] == [
        "its object is not a date, which that relation wants",
        "the same text gives this relation, which holds one value, another one that is surer",
    ]
    assert "Oslo" in told[1][0]
    assert receipt.without_facts == 2
    assert receipt.such_as[0] == "My back hurts"
    assert len(receipt.such_as[1]) == 80
    assert "nothing found in 2 sentences" in repr(receipt)
    assert receipt.as_dict()["without_facts"] == 2
    again = memory.remember(TEXT, user_id="ada", op_id="text")
    assert (again, again.replayed, again.without_facts) == (receipt, True, 0)
    assert "back hurts" not in str([*memory.export(user_id="ada"), memory.stats(user_id="ada")])


def test_each_waiting_turn_tells_of_its_own_sentences(store: TripleStore) -> None:
    """Issue 19 F, by way of the outbox: several turns are read by one call, each fills its slots by itself."""
    memory = MemLLMMemory(store, extractor=Rated())
    texts = ["Ada / lives in / Oslo / 0.9. Hm", "Ada / lives in / Rome / 0.6", "Well. Ada / lives in / Kiel / 0.5"]
    waiting = [OutboxEntry(f"turn-{number}", text, source=ADA) for number, text in enumerate(texts)]
    memory.core.put_outbox(waiting, namespace=NS)
    receipts = memory.flush(user_id="ada")
    assert [receipt.such_as for receipt in receipts] == [("Hm",), (), ("Well.",)]
    assert memory.read("Ada", "lives in", user_id="ada").answers == ("Kiel",)
