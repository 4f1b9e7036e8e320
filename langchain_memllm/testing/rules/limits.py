"""How much a namespace may hold: nothing half written, nothing of a person lost, each for itself."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from langchain_memllm.belief import MAX_OPEN, MAX_SLOT, Quarantined, Use
from langchain_memllm.errors import ConfigurationError, EmbedderMismatch, QuotaExceeded
from langchain_memllm.memory import Memory
from langchain_memllm.quotas import Limits
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing.doubles import FakeEmbedder
from langchain_memllm.testing.rules.base import DOCUMENT, NS, OTHER, StoreRules, statuses
from langchain_memllm.triples import MAX_PRINCIPAL, MAX_RIVALS, MAX_SENTENCE, Outcome, Source, Statement

PAGE, NOTES = Source("web", "https://example.org"), Source("document", "notes.md")


class HandClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 30, 9, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def opened(store: TripleStore, clock: HandClock | None = None, **limits: object) -> Memory:
    return Memory(store, embedder=FakeEmbedder(), clock=clock, limits=Limits(**limits))  # type: ignore[arg-type]


def likes(count: int, first: int = 0, who: str = "Ada") -> list[tuple[str, str, str]]:
    return [(who, "likes", f"tea {n:03d}") for n in range(first, first + count)]


def use(memory: Memory, namespace: tuple[str, str] = NS) -> Use:
    return memory.stats(namespace=namespace).use


class LimitRules(StoreRules):
    """Limits of statements, of characters, and of what strangers may state."""

    @pytest.fixture
    def hand_clock(self) -> HandClock:
        return HandClock()

    def test_a_full_memory_refuses_whole_operations_and_says_which_limit(self, store: TripleStore) -> None:
        memory = opened(store, statements=5)
        memory.write(likes(4), namespace=NS)
        with pytest.raises(QuotaExceeded, match=r"holds 4 statements and may hold 5; .* raise Limits\.statements"):
            memory.write(likes(2, 10), namespace=NS, op_id="more")
        assert len(list(memory.facts(namespace=NS))) == 4 and memory.receipt("more", namespace=NS) is None
        memory.write(likes(1, 10), namespace=NS, op_id="more")
        assert use(memory).statements == 5
        memory.write([("Bo", "likes", "ale")], namespace=OTHER)  # another's memory is not full by it
        memory.retract(("Ada", "likes", "tea 000"), namespace=NS)  # what takes back is never refused
        with pytest.raises(QuotaExceeded):
            memory.write([("Ada", "likes", "tea 001")], namespace=NS)  # to say a thing again is a statement, too
        memory.forget(name="tea 001", namespace=NS)
        assert memory.write(likes(1, 20), namespace=NS).count("stored") == 1

    def test_characters_are_those_of_names_and_sentence(self, store: TripleStore) -> None:
        memory = opened(store, characters=100)
        memory.write([Statement("Ada", "likes", "tea", text="x" * 30)], namespace=NS)  # 3 + 5 + 3 + 30
        assert use(memory) == Use(1, 41)
        with pytest.raises(QuotaExceeded, match="holds 41 characters and may hold 100"):
            memory.write([Statement("Ada", "likes", "ale", text="é😀" * 25)], namespace=NS)
        memory.write([Statement("Ada", "likes", "ale", text="é😀" * 24)], namespace=NS)  # characters, not bytes
        assert use(memory) == Use(2, 100)

    def test_what_a_page_states_beyond_the_hour_is_rejected_and_told(
        self, store: TripleStore, hand_clock: HandClock
    ) -> None:
        memory = opened(store, hand_clock, untrusted_per_hour=3, untrusted_per_day=5)
        receipt = memory.write(likes(4), namespace=NS, source=PAGE)
        assert [outcome.status for outcome in receipt] == ["stored"] * 3 + ["rejected"]
        assert receipt.outcomes[3].reason == (
            "pages, tools and models may state 3 things in one hour; write the rest after "
            "2026-11-30T10:00+00:00, as an operation of its own, or raise Limits.untrusted_per_hour"
        )
        with pytest.raises(QuotaExceeded, match="nothing was written: pages, tools and models"):
            memory.write(likes(1, 10), namespace=NS, source=Source("tool", "search"), op_id="later")
        assert memory.write(likes(9, 20), namespace=NS).count("stored") == 9  # a person is not kept waiting
        assert memory.write(likes(9, 30), namespace=NS, source=NOTES).count("stored") == 9  # nor is a document
        assert memory.write(likes(3), namespace=OTHER, source=PAGE).count("stored") == 3  # nor another's page
        hand_clock.now = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
        assert memory.write(likes(3, 10), namespace=NS, source=PAGE, op_id="later").count("stored") == 2
        hand_clock.now = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
        with pytest.raises(QuotaExceeded, match="in one day; write the rest after 2026-12-01T00:00"):
            memory.write(likes(1, 15), namespace=NS, source=PAGE)
        hand_clock.now = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
        assert memory.write(likes(1, 15), namespace=NS, source=PAGE).count("stored") == 1

    def test_what_nobody_vouches_for_leaves_half_of_a_memory_to_people(self, store: TripleStore) -> None:
        memory = opened(store, statements=10)
        receipt = memory.write(likes(8), namespace=NS, source=NOTES)
        assert (receipt.count("stored"), receipt.count("rejected")) == (5, 3)
        assert "may fill 5 statements of this memory" in (receipt.outcomes[7].reason or "")
        assert memory.write(likes(5, 20), namespace=NS).count("stored") == 5
        with pytest.raises(QuotaExceeded, match="nothing was written: sources below the rank of a person"):
            memory.write(likes(1, 30), namespace=NS, source=PAGE)
        assert use(memory) == Use(10, 150, 5, 75)
        memory.forget(source=NOTES, namespace=NS)
        assert use(memory) == Use(5, 75)

    def test_pieces_in_quarantine_count(self, store: TripleStore) -> None:
        memory = opened(store, statements=3, untrusted_share=1.0)
        pieces = [Quarantined(f"odd {n}", "not a triple", PAGE) for n in range(5)]
        receipt = memory.write([("Ada", "likes", "tea")], namespace=NS, source=PAGE, quarantine=pieces)
        assert [outcome.status for outcome in receipt] == ["stored", *["quarantined"] * 2, *["rejected"] * 3]
        assert [piece.text for piece in memory.quarantined(namespace=NS)] == ["odd 0", "odd 1"]
        assert use(memory).statements == 3 and memory.verify() == [
            'namespace ["memllm", "ada"]: 3 of at most 3 statements; forget what is not needed, or raise the limit '
            "(docs/operators.md)",
            'namespace ["memllm", "ada"]: 3 of at most 3 untrusted statements; forget what is not needed, or raise the '
            "limit (docs/operators.md)",
        ]

    def test_the_counts_follow_everything_that_changes_them(self, store: TripleStore) -> None:
        """Confirmed, replaced, forgotten by name and by source: what is counted is what is there (``verify``)."""
        memory = opened(store)
        memory.write(likes(3), namespace=NS)
        memory.write(likes(3), namespace=NS, source=NOTES, replace=True)
        assert use(memory) == Use(6, 90, 3, 45)
        memory.write(likes(1), namespace=NS, source=NOTES, replace=True)  # two are not stated any more
        assert use(memory) == Use(5, 75, 2, 30) and memory.verify() == []
        memory.write([("Ada", "likes", "ale")], namespace=NS, source=NOTES)
        memory.forget(source="notes.md", namespace=NS)
        assert use(memory) == Use(3, 45) and memory.verify() == []
        memory.forget(name="tea 002", namespace=NS)
        assert use(memory) == Use(2, 30) and memory.verify() == []
        memory.forget(everything=True, namespace=NS)
        assert use(memory) == Use() and memory.verify() == []

    def test_an_import_counts_and_is_refused_where_it_is_too_much(self, store: TripleStore) -> None:
        memory = opened(store, statements=4)
        memory.write(likes(3), namespace=NS)
        records = list(memory.export(namespace=NS))
        memory.restore(records, namespace=OTHER)
        assert use(memory, OTHER) == Use(3, 45)
        memory.restore(records, namespace=OTHER)  # what is there already is not counted twice
        assert use(memory, OTHER) == Use(3, 45)
        other = opened(store, statements=2)
        with pytest.raises(QuotaExceeded, match="holds 0 statements and may hold 2"):
            other.restore(records, namespace=("memllm", "eve"))
        assert list(other.facts(namespace=("memllm", "eve"))) == []
        other.restore(records, namespace=("memllm", "eve"), source_type="system")  # a backup of one's own
        assert use(other, ("memllm", "eve")) == Use(3, 45)

    def test_limits_are_kept_for_all_clients(self, store: TripleStore) -> None:
        opened(store, statements=7).write(likes(1), namespace=NS)
        later = Memory(store, embedder=FakeEmbedder())
        assert later.limits == Limits(statements=7)
        told = later.stats(namespace=NS)
        assert told.limits["statements"] == (1, 7) and told.as_dict()["limits"]["statements"] == {"used": 1, "most": 7}
        assert opened(store, statements=None).limits.statements is None
        assert "statements" not in Memory(store, embedder=FakeEmbedder()).stats(namespace=NS).limits

    def test_writers_at_once_pass_no_limit(self, store: TripleStore) -> None:
        memory = opened(store, statements=20)
        refused: list[Exception] = []

        def work(who: int) -> None:
            for n in range(10):
                try:
                    memory.write([(f"N{who}", "likes", f"tea {n}")], namespace=NS)
                except QuotaExceeded as error:
                    refused.append(error)

        threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(list(memory.facts(namespace=NS))), len(refused), use(memory).statements) == (20, 20, 20)

    @pytest.mark.parametrize("limits", [None, Limits(statements=5)])
    def test_a_client_whose_embedder_is_refused_keeps_no_limits(
        self, store: TripleStore, limits: Limits | None
    ) -> None:
        Memory(store, embedder=FakeEmbedder()).write(likes(1), namespace=NS)
        other = Memory(store, embedder=FakeEmbedder(dimension=32), limits=limits)
        for _ in range(2):  # the second call begins from what the first one left
            with pytest.raises(EmbedderMismatch):
                other.read("Ada", "likes", namespace=NS)
        assert store.record("limits") is None


class SizeRules(StoreRules):
    """What a flood costs is bounded, and what it may not have is told."""

    def test_a_flood_fills_no_slot(self, memory: Memory) -> None:
        """A page of 200 values; what it may not have is told, and the person settles it with one word."""
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
        receipt = memory.write([("Ada", "lives in", f"Town {n}") for n in range(200)], source=DOCUMENT, namespace=NS)
        assert (receipt.count("stored"), receipt.count("rejected")) == (MAX_OPEN - 1, 200 - MAX_OPEN + 1)
        last = receipt.stored[-1]
        assert (len(last.contests), last.contested) == (MAX_RIVALS, MAX_OPEN - 1)
        assert "state the one that holds" in (receipt.outcomes[-1].reason or "")
        found = memory.read("Ada", "lives in", namespace=NS)
        assert (found.answers[0], found.matches[0].fact.state, found.truncated) == ("Oslo", "contested", True)
        settled = memory.write([("Ada", "lives in", "Bergen")], namespace=NS).outcomes[0]
        assert (settled.superseded, len(settled.supersedes)) == (MAX_OPEN, MAX_RIVALS)
        (held,) = memory.read("Ada", "lives in", namespace=NS)
        assert (held.answer, held.fact.state) == ("Bergen", "current")

    def test_what_a_receipt_counts_survives_the_store_and_forgetting(self, memory: Memory) -> None:
        memory.write([("Ada", "lives in", f"Town {n}") for n in range(40)], source=DOCUMENT, namespace=NS)
        memory.write([("Ada", "lives in", "Oslo")], op_id="settled", namespace=NS)
        (settled,) = self._outcomes_of(memory, "settled")
        assert (settled.superseded, len(settled.supersedes)) == (40, MAX_RIVALS)
        memory.forget(fact_id=settled.supersedes[0], namespace=NS)
        (settled,) = self._outcomes_of(memory, "settled")
        assert (settled.superseded, len(settled.supersedes)) == (39, MAX_RIVALS - 1)

    def _outcomes_of(self, memory: Memory, op_id: str) -> tuple[Outcome, ...]:
        receipt = memory.receipt(op_id, namespace=NS)
        assert receipt is not None
        return receipt.outcomes

    def test_a_slot_of_an_older_file_with_more(self, memory: Memory) -> None:
        """A write looks at the best of them, and always at the value that it states itself."""
        values = [f"Town {n}" for n in range(MAX_SLOT + 20)]
        memory.write([("Ada", "lives in", value) for value in values], source=DOCUMENT, policy="paper", namespace=NS)
        for value, status in ((values[0], "already"), ("Rome", "rejected")):
            assert statuses(memory.write([("Ada", "lives in", value)], source=DOCUMENT, namespace=NS)) == [status]
        assert memory.write([("Ada", "lives in", "Oslo")], namespace=NS).outcomes[0].superseded == MAX_SLOT
        assert memory.read("Ada", "lives in", namespace=NS).answers[0] == "Oslo"
        assert memory.write([("Ada", "lives in", "Oslo")], namespace=NS).outcomes[0].superseded == 20
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Oslo",)

    def test_limits_of_what_is_kept_with_every_fact(self, memory: Memory) -> None:
        """Sentences, and who said them."""
        triple, sentence = ("a", "likes", "b"), "t" * MAX_SENTENCE
        with pytest.raises(ConfigurationError, match=f"principal of {MAX_PRINCIPAL + 1} characters; at most"):
            memory.write([triple], source=Source("user", principal="p" * (MAX_PRINCIPAL + 1)), namespace=NS)
        with pytest.raises(ConfigurationError, match="text of 65537 characters"):
            memory.write([triple], source=Source("user", text=sentence + "t"), namespace=NS)
        receipt = memory.write([Statement(*triple, text=sentence + "t"), ("a", "likes", "c")], namespace=NS)
        assert statuses(receipt) == ["rejected", "stored"]
        assert statuses(memory.write([Statement(*triple, text=sentence)], namespace=NS)) == ["stored"]
