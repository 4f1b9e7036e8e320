"""The outbox: what was said waits, is written once, and obeys forgetting."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from langchain_memllm.errors import QuotaExceeded
from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxChanged, OutboxEntry, marked
from langchain_memllm.testing.rules.base import NS, AtDay, StoreRules
from langchain_memllm.testing.rules.forgetting import Texts, left
from langchain_memllm.testing.rules.limits import PAGE, likes, opened
from langchain_memllm.triples import Source, operation_key

SAID = Source("user", "m1", "ada")
NAMED = {operation_key(name): name for name in ("op1", "op2", "op3")}
KEY = operation_key("op1")


def entry(
    op_id: str = "op1", text: str = "I live in Oslo. My sister Anna likes tea.", **options: object
) -> OutboxEntry:
    return OutboxEntry(op_id, text, source=options.pop("source", SAID), **options)  # type: ignore[arg-type]


def waiting(memory: Memory) -> list[tuple[str, str]]:
    return [(NAMED[each.op_id], each.text) for each in memory.outbox(namespace=NS)]


class OutboxRules(StoreRules):
    """Entries wait, change, fail, are written in one transaction with their operation, and are forgotten."""

    def test_an_entry_waits_until_its_operation_is_written_in_the_same_transaction(self, memory: Memory) -> None:
        memory.put_outbox([entry(context=("user: hi",)), entry("op2", "I like tea.")], namespace=NS)
        assert memory.stats(namespace=NS).outbox == 2
        first, second = memory.outbox(namespace=NS)
        assert (first.text, first.context, first.source, first.attempts) == (entry().text, ("user: hi",), SAID, 0)
        assert memory.outbox(namespace=NS, op_ids=["op2", "nothing"]) == [second]
        memory.write([("user", "lives in", "Oslo")], namespace=NS, source=SAID, op_id="op1", payload="op1", entry=first)
        assert waiting(memory) == [("op2", "I like tea.")]
        assert memory.read("user", "lives in", namespace=NS).answers == ("Oslo",)
        assert NS in memory.store.namespaces()

    def test_what_was_done_is_not_put_again_and_what_waits_takes_its_new_text(self, memory: Memory) -> None:
        memory.put_outbox([entry()], namespace=NS)
        memory.put_outbox([entry(text="I live in [redacted].")], namespace=NS)
        (changed,) = memory.outbox(namespace=NS)
        assert (changed.text, changed.version) == ("I live in [redacted].", 1)
        memory.write([], namespace=NS, source=SAID, op_id="op1", payload="op1", entry=changed)
        memory.put_outbox([entry()], namespace=NS)
        assert waiting(memory) == []

    def test_what_changed_while_it_was_read_is_not_written(self, memory: Memory) -> None:
        memory.put_outbox([entry()], namespace=NS)
        (stale,) = memory.outbox(namespace=NS)
        memory.put_outbox([entry(text="I live in Rome.")], namespace=NS)
        for _ in range(2):  # changed; then gone
            with pytest.raises(OutboxChanged):
                memory.write([("user", "lives in", "Oslo")], namespace=NS, source=SAID, op_id="op1", entry=stale)
            memory.store.drop_outbox(NS, [KEY])
        assert (list(memory.facts(namespace=NS)), memory.receipt("op1", namespace=NS)) == ([], None)

    def test_a_failed_attempt_is_counted_and_does_not_change_the_version(self, memory: Memory) -> None:
        memory.put_outbox([entry()], namespace=NS)
        memory.store.fail_outbox(NS, [KEY, "nothing"])
        (failed,) = memory.outbox(namespace=NS)
        assert (failed.attempts, failed.version) == (1, 0)

    def test_a_new_version_of_a_message_takes_the_place_of_the_one_that_waits(self, memory: Memory) -> None:
        memory.put_outbox([entry(), entry("op2", "I like tea.", source=Source("user", "m2", "ada"))], namespace=NS)
        memory.put_outbox([entry("op3", "I live in Rome.", replace=True)], namespace=NS)
        assert waiting(memory) == [("op2", "I like tea."), ("op3", "I live in Rome.")]

    def test_a_clock_that_goes_back_does_not_turn_the_order_round(self, store: TripleStore) -> None:
        """Bad input: what was said later is recorded later, and stands; whatever the clock says."""
        clock = iter(["12:00", "11:00", "10:00", "09:00", "09:00", "09:00", *["09:00"] * 20])
        memory = Memory(store, clock=lambda: datetime.fromisoformat(f"2026-11-29T{next(clock)}:00+00:00"))
        memory.write([("user", "lives in", "Oslo")], namespace=NS, source=SAID)
        texts = [f"I live in {place}." for place in ("Rome", "Lyon", "Bern")]
        times = [memory.put_outbox([entry(f"op{at}", text)], namespace=NS) for at, text in enumerate(texts)]
        left = memory.outbox(namespace=NS)
        assert [each.text for each in left] == texts
        assert [each.recorded_at for each in left] == times == sorted(set(times))
        for each in left:
            place = each.text[len("I live in ") : -1]
            memory.write([("user", "lives in", place)], namespace=NS, source=each.spoken, op_id=each.op_id, entry=each)
        assert [(f.triple.object, f.state) for f in memory.history("user", namespace=NS)] == [
            ("Oslo", "past"),
            ("Rome", "past"),
            ("Lyon", "past"),
            ("Bern", "current"),
        ]

    def test_forgetting_a_name_cuts_its_sentences_and_keeps_it_from_coming_back(self, memory: Memory) -> None:
        memory.put_outbox([entry(context=("user: Anna?", "assistant: yes"))], namespace=NS)
        assert memory.forget(name="anna", namespace=NS).outbox == 1
        (left,) = memory.outbox(namespace=NS)
        assert (left.text, left.context) == ("I live in Oslo. ", ("assistant: yes",))
        receipt = memory.write(
            [("Anna", "likes", "tea"), ("user", "lives in", "Oslo")], namespace=NS, op_id="op1", source=SAID, entry=left
        )
        assert [outcome.status for outcome in receipt] == ["forgotten", "stored"]

    def test_a_name_is_cut_as_a_word_and_an_entry_of_nothing_else_goes(self, memory: Memory) -> None:
        memory.put_outbox([entry(text="Al also likes tea.\nWe all walk."), entry("op2", "Al!")], namespace=NS)
        assert memory.forget(name="Al", namespace=NS).outbox == 2
        assert waiting(memory) == [("op1", "We all walk.")]

    def test_forgetting_a_slot_or_a_fact_keeps_it_from_coming_back(self, memory: Memory) -> None:
        receipt = memory.write([("user", "likes", "Oslo")], namespace=NS, source=SAID)
        memory.put_outbox([entry(text="I moved to Bergen. I like Oslo.")], namespace=NS)
        memory.forget(subject="user", relation="lives in", namespace=NS)
        memory.forget(fact_id=receipt.outcomes[0].fact_id, namespace=NS)
        (left,) = memory.outbox(namespace=NS)
        assert left.text == "I moved to Bergen. "
        triples = [("user", "lives in", "Bergen"), ("user", "likes", "Oslo"), ("user", "likes", "tea")]
        written = memory.write(triples, namespace=NS, source=SAID, op_id="op1", entry=left)
        assert [outcome.status for outcome in written] == ["forgotten", "forgotten", "stored"]

    def test_forgetting_knows_aliases_and_relations_with_more_detail(self, memory: Memory) -> None:
        memory.alias("NYC", "New York City", namespace=NS)
        text = "I moved to New York City. My son is Ask. I like tea."
        memory.put_outbox([entry(text=text)], namespace=NS)
        memory.forget(name="NYC", namespace=NS)
        memory.forget(subject="user", relation="child", namespace=NS)
        (left,) = memory.outbox(namespace=NS)
        assert left.text == "My son is Ask. I like tea."
        triples = [("user", "lives in", "New York City"), ("user", "son", "Ask"), ("user", "likes", "tea")]
        written = memory.write(triples, namespace=NS, source=SAID, op_id="op1", entry=left)
        assert [outcome.status for outcome in written] == ["forgotten", "forgotten", "stored"]

    def test_forgetting_a_source_or_everything_removes_what_waits(self, memory: Memory) -> None:
        memory.put_outbox([entry(), entry("op2", "I like tea.", source=Source("user", "m2", "ada"))], namespace=NS)
        assert memory.forget(source="m1", namespace=NS).outbox == 1
        assert waiting(memory) == [("op2", "I like tea.")]
        assert memory.forget(everything=True, namespace=NS).outbox == 1
        assert (waiting(memory), memory.store.namespaces()) == ([], [])

    def test_an_export_takes_what_waits_along(self, memory: Memory) -> None:
        memory.put_outbox(
            [entry(speaker="Bob", replace=True, excluded=(marked("anna"),), context=("x",))], namespace=NS
        )
        (kept,) = memory.outbox(namespace=NS)
        records = list(memory.export(namespace=NS))
        other = Memory(":memory:")
        other.restore(records, namespace=("memllm", "copy"))
        (copied,) = other.outbox(namespace=("memllm", "copy"))
        assert copied == replace(kept, version=copied.version)

    def test_what_a_person_said_waits_until_there_is_room(self, store: TripleStore) -> None:
        """The outbox keeps it; what a page said beside it is rejected, and keeps nobody waiting."""
        memory = opened(store, statements=2, untrusted_share=0.0)
        memory.write(likes(2), namespace=NS)
        said = [OutboxEntry("op1", "A page says so.", source=PAGE), OutboxEntry("op2", "I like ale.")]
        memory.put_outbox(said, namespace=NS)
        page, person = memory.outbox(namespace=NS)
        receipt = memory.write([("Ada", "likes", "gin")], namespace=NS, source=PAGE, op_id="op1", entry=page)
        assert receipt.count("rejected") == 1
        with pytest.raises(QuotaExceeded):
            memory.write([("Ada", "likes", "ale")], namespace=NS, op_id="op2", entry=person)
        assert [each.text for each in memory.outbox(namespace=NS)] == ["I like ale."]
        memory.forget(name="tea 001", namespace=NS)
        (person,) = memory.outbox(namespace=NS)
        memory.write([("Ada", "likes", "ale")], namespace=NS, op_id="op2", entry=person)
        assert memory.outbox(namespace=NS) == []

    def test_what_waits_remembers_what_was_forgotten_only_as_a_hash(self, memory: Memory, kept_texts: Texts) -> None:
        """The marks of an outbox entry, and its name, held the forgotten one."""
        entry = OutboxEntry("about Canary", "Canary likes tea. Bob likes ale.", ("user: Canary is here",), SAID)
        memory.put_outbox([entry], namespace=NS)
        memory.forget(name="Canary", namespace=NS)
        assert left(kept_texts, "Canary") == []
        (waiting,) = memory.outbox(namespace=NS)
        assert waiting.text.strip() == "Bob likes ale."
        assert waiting.excludes("canary", "likes", "tea")
        assert not waiting.excludes("bob", "likes", "ale")
        receipt = memory.write(
            [("Canary", "likes", "tea"), ("Bob", "likes", "ale")],
            namespace=NS,
            source=SAID,
            op_id=waiting.op_id,
            entry=waiting,
        )
        assert [outcome.status for outcome in receipt] == ["stored", "forgotten"] or [
            outcome.status for outcome in receipt
        ] == ["forgotten", "stored"]

    @pytest.mark.parametrize("day", ["1970-01-01", "1970-01-02T00:00:00.000001", "2099-12-31", "9999-12-30"])
    def test_what_waits_keeps_its_order_when_the_clock_was_at_its_ends(self, at_day: AtDay, day: str) -> None:
        at_day("2026-11-29").write([("Ada", "lives in", "Oslo")], namespace=NS)
        at_day(day).put_outbox([entry("op1", "Ada likes tea.")], namespace=NS)
        memory = at_day("2026-11-30")
        memory.put_outbox([entry("op2", "Ada likes gin.")], namespace=NS)
        assert waiting(memory) == [("op1", "Ada likes tea."), ("op2", "Ada likes gin.")]
