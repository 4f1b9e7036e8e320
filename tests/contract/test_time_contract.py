"""When things were said and since when they hold, on every store."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.triples import Fact, Source, stable_hash

NS = ("memllm", "ada")
ADA = Source("user", "chat-1", "ada")


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(store: TripleStore, clock: Clock) -> Memory:
    return Memory(store, clock=clock)


def states(facts: Any) -> list[tuple[str, str]]:
    return [(fact.triple.object, fact.state) for fact in facts]


def test_what_was_said_earlier_goes_to_the_history_whenever_it_is_read(memory: Memory) -> None:
    """bugs 3.14: an old statement read later supersedes nothing."""
    memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA, at="2026-05-01")
    (outcome,) = memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at=date(2026, 3, 1))
    assert outcome.status == "past"
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA, at=datetime(2026, 6, 1, tzinfo=UTC))
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
    bergen, oslo, rome = memory.history("Ada", "lives in", namespace=NS)
    assert states((bergen, oslo, rome)) == [("Bergen", "past"), ("Oslo", "past"), ("Rome", "current")]
    assert [fact.said_at[:10] for fact in (bergen, oslo, rome)] == ["2026-05-01", "2026-03-01", "2026-06-01"]
    assert rome.recorded_at > "2026-11-29"
    assert rome.sources[0].at == "2026-06-01T00:00:00.000000+00:00"


def test_without_a_time_a_fact_was_said_when_it_was_recorded(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
    (fact,) = memory.history("Ada", namespace=NS)
    assert fact.said_at == fact.recorded_at
    assert fact.sources[0].at is None
    assert memory.read("Ada", "lives in", namespace=NS).matches[0].fact.said_at == fact.recorded_at


def test_a_turn_that_is_written_late_keeps_its_place(memory: Memory, clock: Clock) -> None:
    late = clock()
    memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=dataclasses.replace(ADA, at=late.isoformat()))
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)


def test_what_will_be_said_is_said_now(memory: Memory, clock: Clock) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at="2099-01-01")
    assert memory.history("Ada", namespace=NS)[0].said_at <= clock.time.isoformat()
    memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)


def test_saying_it_again_later_makes_it_the_later_word(memory: Memory) -> None:
    for place, at in (("Oslo", "2026-01-01"), ("Oslo", "2026-06-01"), ("Bergen", "2026-03-01")):
        memory.write([("Ada", "lives in", place)], namespace=NS, source=ADA, at=at)
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "past")]


def test_who_states_it_best_tells_when(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=Source("web", "page"), at="2026-06-01")
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at="2026-03-01")
    assert memory.history("Ada", namespace=NS)[0].said_at[:10] == "2026-03-01"
    memory.forget(source=ADA, namespace=NS)
    (fact,) = memory.history("Ada", namespace=NS)
    assert (fact.kind, fact.said_at[:10]) == ("web", "2026-06-01")


def test_a_new_version_of_a_document_leaves_the_time_of_the_rest(memory: Memory) -> None:
    notes, page = Source("document", "notes.md"), Source("web", "page")
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=page, at="2026-01-01")
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=notes, at="2026-02-01")
    memory.write([("Ada", "likes", "tea")], namespace=NS, source=notes, replace=True, at="2026-03-01")
    fact = memory.history("Ada", "lives in", namespace=NS)[0]
    assert (fact.kind, fact.said_at[:10], fact.state) == ("web", "2026-01-01", "current")


def test_taking_back_what_was_said_again_later_changes_nothing(memory: Memory) -> None:
    memory.write([("Ada", "likes", "tea")], namespace=NS, source=ADA, at="2026-06-01")
    (outcome,) = memory.retract(("Ada", "likes", "tea"), namespace=NS, source=ADA, at="2026-03-01")
    assert outcome.status == "not_found"
    assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)


def test_when_it_was_said_is_no_part_of_what_was_said(memory: Memory) -> None:
    """Operations stored by an earlier version are recognised: their hash is over the text of a source without time."""
    assert str(Source("user", "r", "p", "t", (1, 2), 3, at="2026-01-01")) == (
        "Source(kind='user', ref='r', principal='p', text='t', span=(1, 2), turn=3)"
    )
    memory.write([("Ada", "likes", "tea")], namespace=NS, source=ADA, op_id="1", payload="I like tea.")
    found = memory.store.receipt(NS, "1")
    text = "Source(kind='user', ref='chat-1', principal='ada', text=None, span=None, turn=None)"
    assert found is not None
    assert found[0] == stable_hash("I like tea.", text, "chat", False)
    again = memory.write(
        [("Ada", "likes", "tea")], namespace=NS, source=ADA, op_id="1", payload="I like tea.", at="2026-01-01"
    )
    assert again.replayed


@pytest.mark.parametrize("at", ["yesterday", 5, "2026-02-30", "2026-13-01T00:00"], ids=str)
def test_times_that_are_none(memory: Memory, at: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not an ISO time"):
        memory.write([("Ada", "likes", "tea")], namespace=NS, at=at)
    assert memory.stats(namespace=NS).operations == 0


def test_an_export_tells_when_it_was_said_and_an_older_one_still_imports(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at="2026-03-01")
    memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
    records = list(memory.export(namespace=NS))
    with Memory(":memory:") as other:
        other.restore(records)
        assert list(other.export(namespace=NS)) == records
        assert facts_of(other) == facts_of(memory)
    for record in records:
        if record["type"] == "fact":
            del record["said_at"]
            for source in record["sources"]:
                del source["at"]
    with Memory(":memory:") as older:
        older.restore(records)
        assert all(fact.said_at == fact.recorded_at for fact in older.history("Ada", namespace=NS))
    memory.forget(everything=True, namespace=NS)
    memory.restore(records)
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "past"), ("Bergen", "current")]


def facts_of(memory: Memory) -> list[Fact]:
    return memory.history("Ada", namespace=NS)


def test_a_clock_that_goes_back_moves_nothing_back(memory: Memory, clock: Clock) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
    clock.time -= timedelta(days=2)
    receipt = memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
    oslo, bergen = memory.history("Ada", namespace=NS)
    assert (oslo.state, bergen.state) == ("past", "current")
    assert bergen.recorded_at == receipt.recorded_at >= oslo.recorded_at
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)
