"""When things were said and since when they hold, on every store."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.triples import Fact, Source, Statement, operation_key, stable_hash

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
    found = memory.store.receipt(NS, operation_key("1"))
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
    clock.time -= timedelta(hours=23)  # by more than a day: it had been ahead (test_clock_contract)
    receipt = memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
    oslo, bergen = memory.history("Ada", namespace=NS)
    assert (oslo.state, bergen.state) == ("past", "current")
    assert bergen.recorded_at == receipt.recorded_at >= oslo.recorded_at
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)


# -- plans and ends ----------------------------------------------------------------------------------------------------


def moves(place: str, since: Any = None, until: Any = None) -> Statement:
    return Statement("Ada", "lives in", place, valid_from=since, valid_to=until)


def answers(memory: Memory, **when: Any) -> tuple[str, ...]:
    return memory.read("Ada", "lives in", namespace=NS, **when).answers


def test_a_plan_is_noted_and_changes_nothing_until_its_day(memory: Memory, clock: Clock) -> None:
    """bugs 3.12: next March she moves."""
    memory.write([moves("Oslo")], namespace=NS, source=ADA)
    (outcome,) = memory.write([moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
    assert (outcome.status, outcome.supersedes, outcome.contests) == ("stored", (), ())
    assert answers(memory) == ("Oslo",)
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "planned")]
    assert states(memory.facts(namespace=NS)) == [("Oslo", "current"), ("Bergen", "planned")]
    assert memory.read(None, "lives in", "Bergen", namespace=NS).answers == ()
    assert memory.read(None, "lives in", "Oslo", namespace=NS).matches[0].fact.state == "current"
    assert (answers(memory, valid_at="2027-03-01"), answers(memory, valid_at="2027-02-28")) == (("Bergen",), ("Oslo",))
    recalled = memory.recall("Where does Ada live?", namespace=NS)
    assert {(match.answer, match.fact.state) for match in recalled} == {("Oslo", "current"), ("Bergen", "planned")}

    clock.time = datetime(2027, 3, 1, 12, tzinfo=UTC)
    assert answers(memory) == answers(memory, at=clock.time) == ("Bergen",)
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "past"), ("Bergen", "current")]
    assert memory.read(None, "lives in", "Oslo", namespace=NS).answers == ()
    assert [match.answer for match in memory.recall("Where does Ada live?", namespace=NS)] == ["Bergen"]
    assert answers(memory, at="2026-11-30") == ("Oslo",)

    (outcome,) = memory.write([moves("Rome")], namespace=NS, source=ADA)
    assert len(outcome.supersedes) == 1
    assert answers(memory) == ("Rome",)
    oslo, bergen, _ = memory.history("Ada", namespace=NS)
    assert (oslo.closed_why, oslo.closed_by, bergen.closed_why) == ("superseded", bergen.id, "superseded")
    assert answers(memory, valid_at="2027-02") == ("Rome", "Oslo")


def test_both_in_one_message(memory: Memory) -> None:
    memory.write([moves("Oslo"), moves("Bergen", "2027-03")], namespace=NS, source=ADA)
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "planned")]


def test_after_a_move_that_was_planned_the_old_place_can_be_stated_anew(memory: Memory, clock: Clock) -> None:
    memory.write([moves("Oslo"), moves("Bergen", "2027-03")], namespace=NS, source=ADA)
    clock.time = datetime(2027, 4, 1, 12, tzinfo=UTC)
    (outcome,) = memory.write([moves("Oslo")], namespace=NS, source=ADA)
    assert (outcome.status, len(outcome.supersedes)) == ("stored", 1)
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "past"), ("Bergen", "past"), ("Oslo", "current")]


def test_a_plan_is_given_up_moved_and_carried_out(memory: Memory) -> None:
    memory.write([moves("Oslo"), moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
    memory.write([moves("Bergen", "2027-05-01")], namespace=NS, source=ADA)  # two months later
    assert [(f.valid_from, f.state) for f in memory.history("Ada", namespace=NS)][1:] == [
        ("2027-03-01", "past"),
        ("2027-05-01", "planned"),
    ]
    memory.retract(moves("Bergen"), namespace=NS, source=ADA)
    assert (answers(memory), answers(memory, valid_at="2027-06")) == (("Oslo",), ("Oslo",))
    memory.write([moves("Bergen", "2027-05-01")], namespace=NS, source=ADA)
    memory.write([moves("Bergen")], namespace=NS, source=ADA)  # sooner than planned
    assert answers(memory) == ("Bergen",)
    assert sum(fact.state == "current" for fact in memory.history("Ada", namespace=NS)) == 1


def test_a_value_stated_meanwhile_stands_until_the_day_of_the_plan(memory: Memory, clock: Clock) -> None:
    memory.write([moves("Oslo"), moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
    (outcome,) = memory.write([moves("Rome")], namespace=NS, source=ADA)
    assert (len(outcome.supersedes), outcome.contests) == (1, ())
    assert (answers(memory), answers(memory, valid_at="2027-04")) == (("Rome",), ("Bergen",))


def test_a_holiday_retires_nothing(memory: Memory, clock: Clock) -> None:
    memory.write([moves("Oslo")], namespace=NS, source=ADA)
    memory.write([moves("Bergen", "2027-03-01", "2027-03-14")], namespace=NS, source=ADA)
    assert answers(memory) == ("Oslo",)
    clock.time = datetime(2027, 3, 5, 12, tzinfo=UTC)
    assert answers(memory) == ("Bergen", "Oslo")
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "current")]
    clock.time = datetime(2027, 4, 5, 12, tzinfo=UTC)
    assert answers(memory) == ("Oslo",)
    assert states(memory.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "past")]


def test_what_has_ended_is_past(memory: Memory, clock: Clock) -> None:
    """bugs 3.12: an ended contract."""
    ended = Statement("Ada", "works for", "Acme", valid_to="2020-01-31")
    assert memory.write([ended], namespace=NS, source=ADA).outcomes[0].status == "past"
    assert states(memory.history("Ada", namespace=NS)) == [("Acme", "past")]
    runs_out = Statement("Ada", "member of", "Choir", valid_to="2026-12-31")
    memory.write([runs_out], namespace=NS, source=ADA)
    assert memory.read("Ada", "member of", namespace=NS).answers == ("Choir",)
    clock.time = datetime(2027, 1, 2, tzinfo=UTC)
    assert memory.read("Ada", "member of", namespace=NS).answers == ()
    assert memory.recall("Ada", namespace=NS).matches == ()
    assert memory.write([("Ada", "member of", "Choir")], namespace=NS, source=ADA).outcomes[0].status == "stored"
    assert memory.read("Ada", "member of", namespace=NS).answers == ("Choir",)


def test_that_it_ended_ends_what_stands(memory: Memory) -> None:
    memory.write([("Ada", "works for", "Acme")], namespace=NS, source=ADA)
    ended = Statement("Ada", "works for", "Acme", valid_to="2026-10")
    (outcome,) = memory.write([ended], namespace=NS, source=ADA)
    assert (outcome.status, len(outcome.supersedes)) == ("past", 1)
    assert memory.read("Ada", "works for", namespace=NS).answers == ()
    memory.write([("Ada", "works for", "Acme")], namespace=NS, source=ADA)
    memory.write([ended], namespace=NS, source=Source("web", "page"))
    assert memory.read("Ada", "works for", namespace=NS).answers == ("Acme",)


def test_plans_of_a_relation_of_many_do_not_hide_what_holds(memory: Memory) -> None:
    plans = [Statement("Ada", "attends", f"Fair {n}", valid_from=f"2027-01-{n:02}") for n in range(1, 31)]
    memory.write([("Ada", "attends", "Choir"), ("Ada", "attends", "School"), *plans], namespace=NS, source=ADA)
    found = memory.read("Ada", "attends", namespace=NS, limit=2)
    assert (set(found.answers), found.truncated) == ({"Choir", "School"}, False)
    assert len(memory.read("Ada", "attends", namespace=NS, valid_at="2027-02")) == 30


def test_a_plan_of_a_page_contests_when_its_day_has_come(memory: Memory, clock: Clock) -> None:
    memory.write([moves("Oslo")], namespace=NS, source=ADA)
    memory.write([moves("Bergen", "2027-03-01")], namespace=NS, source=Source("web", "page"))
    assert [m.fact.state for m in memory.read("Ada", "lives in", namespace=NS)] == ["current"]
    clock.time = datetime(2027, 3, 2, tzinfo=UTC)
    found = memory.read("Ada", "lives in", namespace=NS)
    assert [(m.answer, m.fact.state) for m in found] == [("Oslo", "contested"), ("Bergen", "contested")]


def test_a_page_dated_far_ahead_outranks_nobody(memory: Memory) -> None:
    memory.write([moves("Oslo")], namespace=NS, source=ADA)
    memory.write([moves("Bergen", "2099")], namespace=NS, source=Source("web", "page"))
    memory.write([moves("Rome")], namespace=NS, source=ADA)
    assert answers(memory) == ("Rome",)


# -- forms of time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("since", ["2026-10-01", date(2026, 10, 1), datetime(2026, 10, 1, 9)], ids=str)
def test_a_date_is_taken_wherever_a_time_is(memory: Memory, since: Any) -> None:
    """bugs 3.13."""
    memory.write([moves("Oslo", since)], namespace=NS, source=ADA)
    assert memory.history("Ada", namespace=NS)[0].valid_from == "2026-10-01"
    assert answers(memory, valid_at=since) == ("Oslo",)
    assert answers(memory, valid_at=date(2026, 9, 30)) == ()


def test_a_day_that_no_calendar_has_is_refused(memory: Memory) -> None:
    """bugs 3.13."""
    assert memory.write([moves("Oslo", "2020-02-30")], namespace=NS).outcomes[0].status == "rejected"
    with pytest.raises(ConfigurationError, match="not a partial ISO date"):
        answers(memory, valid_at="2020-02-30")


@pytest.fixture(params=["America/Los_Angeles", "Asia/Tokyo"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_naive_times_are_local(memory: Memory, clock: Clock, zone: str) -> None:
    """bugs 3.13: ``datetime.now()`` is now, and ``date.today()`` lasts until midnight here."""
    for hour in (1, 12, 23):
        clock.time = datetime(2026, 12, 1, hour, tzinfo=UTC)
        town = f"Town {hour}"
        memory.write([moves(town)], namespace=NS, source=ADA)
        clock.time += timedelta(minutes=1)
        here = clock.time.astimezone().replace(tzinfo=None)
        assert answers(memory, at=clock.time) == answers(memory, at=here) == (town,)
        assert answers(memory, at=here.isoformat()) == answers(memory, at=here.date()) == (town,)
        assert town not in answers(memory, at=here - timedelta(hours=2))


def test_a_plan_begins_at_midnight_here(memory: Memory, clock: Clock, zone: str) -> None:
    memory.write([moves("Oslo"), moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
    midnight = datetime(2027, 3, 1).astimezone()
    clock.time = midnight.astimezone(UTC) - timedelta(minutes=1)
    assert answers(memory) == ("Oslo",)
    clock.time = midnight.astimezone(UTC) + timedelta(minutes=1)
    assert answers(memory) == ("Bergen",)
