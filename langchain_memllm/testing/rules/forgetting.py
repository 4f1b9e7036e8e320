"""What forgetting removes, what it leaves alone, and what is left of it afterwards: nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeAlias

import pytest

from langchain_memllm.belief import Quarantined
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.extraction import ChatExtractor
from langchain_memllm.memory import Memory, Thresholds
from langchain_memllm.testing.doubles import ScriptedModel, tool_call
from langchain_memllm.testing.rules.base import ADA, DOCUMENT, LOOSE, NS, OTHER, WEB, StoreRules, shown
from langchain_memllm.triples import Source, Statement, operation_key


class ForgettingRules(StoreRules):
    """Facts, names, slots, sources and everything."""

    @pytest.mark.parametrize("purge", [False, True])
    def test_forgetting_a_name_takes_both_ends_and_leaves_the_rest(self, memory: Memory, purge: bool) -> None:
        memory.write(
            [("Ada", "likes", "tea"), ("Bob", "likes", "Ada"), ("Bob", "likes", "tea")], namespace=NS, op_id="op"
        )
        erased = memory.forget(name="ada", namespace=NS, purge=purge)
        assert (erased.facts, erased.names) == (2, 1)
        assert shown(memory.facts(namespace=NS)) == [("Bob", "likes", "tea")]
        assert not memory.read("Ada", "likes", namespace=NS, thresholds=LOOSE)
        receipt = memory.receipt("op", namespace=NS)
        assert receipt is not None
        assert [(o.status, o.fact_id is None) for o in receipt] == [
            ("forgotten", True),
            ("forgotten", True),
            ("stored", False),
        ]
        assert memory.write(
            [("Ada", "likes", "tea"), ("Bob", "likes", "Ada"), ("Bob", "likes", "tea")], namespace=NS, op_id="op"
        ).replayed

    def test_forgetting_a_slot_takes_current_and_past(self, memory: Memory) -> None:
        for place in ("Oslo", "Rome"):
            memory.write([("Ada", "lives in", place), ("Ada", "likes", "tea")], namespace=NS, source=ADA)
        assert memory.forget(subject="Ada", relation="lives in", namespace=NS).facts == 2
        assert shown(memory.history("Ada", namespace=NS)) == [("Ada", "likes", "tea")]

    def test_forgetting_a_fact(self, memory: Memory) -> None:
        receipt = memory.write([("Ada", "likes", "tea"), ("Ada", "likes", "gin")], namespace=NS)
        assert memory.forget(fact_id=receipt.outcomes[0].fact_id, namespace=NS).fact_ids == (
            receipt.outcomes[0].fact_id,
        )
        assert memory.read("Ada", "likes", namespace=NS).answers == ("gin",)
        assert memory.forget(fact_id=receipt.outcomes[0].fact_id, namespace=NS).facts == 0
        assert memory.forget(fact_id=receipt.outcomes[1].fact_id, namespace=OTHER).facts == 0

    def test_forgetting_a_source_reopens_what_it_alone_had_retired(self, memory: Memory) -> None:
        kept = memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT).outcomes[0].fact_id
        memory.write([("Ada", "lives in", "Rome"), ("Ada", "likes", "tea")], namespace=NS, source=ADA)
        memory.write([("Ada", "likes", "tea")], namespace=NS, source=DOCUMENT)
        erased = memory.forget(source="chat-1", namespace=NS)
        assert (erased.facts, erased.reopened) == (1, (kept,))
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Oslo",)
        (tea,) = memory.read("Ada", "likes", namespace=NS)
        assert (tea.fact.kind, tea.fact.principal) == ("document", None)
        assert memory.forget(source="chat-1", namespace=NS).facts == 0

    def test_forgetting_a_source_reopens_nothing_whose_place_is_still_taken(self, memory: Memory) -> None:
        memory.write([("Ada", "lives in", "Atlantis")], namespace=NS, source=Source("web", "x"))
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
        memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA)
        memory.write([("Ada", "lives in", "Paris")], namespace=NS, source=Source("user", "chat-3", "ada"))
        memory.write([("Ada", "lives in", "Paris")], namespace=NS, source=Source("user", "chat-4", "ada"))
        assert memory.forget(source="notes.md", namespace=NS).reopened == ()
        assert memory.forget(source="chat-3", namespace=NS).reopened == ()
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Paris",)

    def test_a_shared_sentence_is_nulled_when_one_of_its_facts_is_forgotten(self, memory: Memory) -> None:
        sentence = "Ada likes tea and knows Bob."
        memory.write(
            [Statement("Ada", "likes", "tea", text=sentence), Statement("Ada", "knows", "Bob", text=sentence)],
            namespace=NS,
            source=DOCUMENT,
        )
        memory.forget(name="Bob", namespace=NS)
        (fact,) = memory.facts(namespace=NS)
        assert fact.sources[0].text is None

    def test_forgetting_everything_leaves_nothing(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="op", quarantine=[Quarantined("x", "y")])
        memory.write([("Ada", "likes", "gin")], namespace=OTHER)
        assert memory.forget(everything=True, namespace=NS).facts == 1
        assert memory.store.namespaces() == [OTHER]
        assert memory.receipt("op", namespace=NS) is None
        assert memory.stats(namespace=NS) == memory.stats(namespace=("never", "used"))
        memory.write([("Ada", "likes", "milk")], namespace=NS, op_id="op")
        assert memory.read("Ada", "likes", namespace=NS).answers == ("milk",)
        assert memory.read("Adah", "likes", namespace=NS, thresholds=Thresholds(0.1, 0.1, 0.1)).answers in (
            (),
            ("milk",),
        )

    def test_one_thing_is_forgotten_at_a_time(self, memory: Memory) -> None:
        for wrong in ({}, {"name": "a", "everything": True}, {"subject": "a"}, {"relation": "a"}, {"fact_id": "zz"}):
            with pytest.raises(ConfigurationError):
                memory.forget(namespace=NS, **wrong)

    def test_what_an_alias_superseded_keeps_no_id_of_the_forgotten_fact(self, memory: Memory) -> None:
        memory.alias("Ada", "Countess", namespace=NS)
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
        closer = memory.write([("Countess", "lives in", "Bergen")], namespace=NS, source=ADA).outcomes[0]
        memory.forget(fact_id=closer.fact_id, namespace=NS)
        (oslo,) = memory.history("Ada", namespace=NS)
        assert (oslo.state, oslo.closed_by) == ("past", None)

    def test_receipts_of_an_alias_keep_no_id_of_the_forgotten_fact(self, memory: Memory) -> None:
        memory.alias("Ada", "Countess", namespace=NS)
        first = memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT).outcomes[0]
        memory.write([("Countess", "lives in", "Bergen")], namespace=NS, source=WEB, op_id="second")
        memory.forget(fact_id=first.fact_id, namespace=NS)
        kept = memory.receipt("second", namespace=NS)
        assert kept is not None
        assert kept.outcomes[0].contests == ()

    def test_sources_that_hold_a_forgotten_name_are_told(self, memory: Memory) -> None:
        """A source of others is not erased, so whoever forgets is told of it."""
        page = Source("web", "https://example.org/Canary", "canary")
        memory.write([("Bob", "likes", "ale")], namespace=NS, source=page)
        memory.write([("Canary", "likes", "tea")], namespace=NS, source=ADA)
        erased = memory.forget(name="Canary", namespace=NS)
        assert erased.named_in == ("principal canary", "web https://example.org/Canary")
        assert json.loads(json.dumps(erased.as_dict()))["named_in"] == list(erased.named_in)
        assert memory.forget(name="Bob", namespace=NS).named_in == ()


Texts: TypeAlias = Callable[[], Iterable[str]]
PAGE = Source("web", "w")


def left(kept_texts: Texts, name: str) -> list[str]:
    """The kept texts that hold a name."""
    return [text for text in kept_texts() if name.casefold() in text.casefold()]


class TraceRules(StoreRules):
    """No text that a store keeps holds what was forgotten."""

    def test_nothing_is_left_in_receipts_operations_and_quarantine(self, memory: Memory, kept_texts: Texts) -> None:
        """The value in a reason, the op_id, the quarantine beside a fact."""
        reply = tool_call("record_facts", facts=[{"subject": "Canary\x07", "relation": "likes", "object": "tea"}])
        found = ChatExtractor(ScriptedModel(script=[reply])).extract("Canary likes tea.", source=PAGE)
        memory.write(found.statements, namespace=NS, source=PAGE, quarantine=found.quarantine)
        memory.write([("Canary", "likes", "gin")], namespace=NS, source=ADA, op_id="message of Canary")
        beside = Quarantined("She also drinks", "it is cut off", ADA)
        memory.write([("Canary", "likes", "rum")], namespace=NS, source=ADA, quarantine=[beside])
        memory.write([("Bob", "likes", "ale")], namespace=NS, source=ADA, quarantine=[beside])
        memory.forget(source="w", namespace=NS)
        erased = memory.forget(name="Canary", namespace=NS)
        assert erased.quarantined == 1
        assert left(kept_texts, "Canary") == []
        assert [piece.text for piece in memory.quarantined(namespace=NS)] == ["She also drinks"]
        assert memory.read("Bob", "likes", namespace=NS).answers == ("ale",)

    def test_reasons_of_others_go_with_what_they_quote(self, memory: Memory, kept_texts: Texts) -> None:
        """Whoever quarantines may quote; the receipt does not keep it."""
        piece = Quarantined("she likes tea", "Canary is not a thing", PAGE)
        memory.write([("Bob", "likes", "ale")], namespace=NS, op_id="one", quarantine=[piece])
        assert memory.forget(name="Canary", namespace=NS).quarantined == 1
        assert left(kept_texts, "Canary") == []
        receipt = memory.receipt("one", namespace=NS)
        assert receipt is not None
        assert [outcome.status for outcome in receipt] == ["stored", "quarantined"]

    def test_the_name_of_an_operation_is_kept_as_a_hash(self, memory: Memory, kept_texts: Texts) -> None:
        """Delivered again it is recognised, by the caller's name and by the kept one."""
        first = memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="message of Canary")
        assert first.op_id == "message of Canary"
        again = memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="message of Canary")
        assert (again.replayed, again.op_id, again.seq) == (True, "message of Canary", first.seq)
        kept = operation_key("message of Canary")
        for name in ("message of Canary", kept):
            receipt = memory.receipt(name, namespace=NS)
            assert receipt is not None
            assert (receipt.op_id, receipt.seq) == (name, first.seq)
        assert left(kept_texts, "Canary") == []
        assert [r["op_id"] for r in memory.export(namespace=NS) if r["type"] == "operation"] == [kept]
