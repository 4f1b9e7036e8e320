"""When things were said, since when they hold, and clocks that were wrong."""

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
from langchain_memllm.testing.rules.base import ADA, NS, AtDay, StoreRules
from langchain_memllm.triples import Fact, Source, Statement, operation_key, stable_hash


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


def states_of(facts: Any) -> list[tuple[str, str]]:
    return [(fact.triple.object, fact.state) for fact in facts]


def facts_of(memory: Memory) -> list[Fact]:
    return memory.history("Ada", namespace=NS)


def moves(place: str, since: Any = None, until: Any = None) -> Statement:
    return Statement("Ada", "lives in", place, valid_from=since, valid_to=until)


def answers(memory: Memory, **when: Any) -> tuple[str, ...]:
    return memory.read("Ada", "lives in", namespace=NS, **when).answers


DAYS = (("2026-11-29", "Oslo"), ("2099-01-01", "Bergen"), ("2026-11-30", "Rome"), ("2026-12-01", "Bonn"))


class TimeRules(StoreRules):
    """What was said earlier, plans, ends, and every form in which a time is given."""

    @pytest.fixture(params=["America/Los_Angeles", "Asia/Tokyo"])
    def zone(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        monkeypatch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
        monkeypatch.undo()
        time.tzset()

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def timed(self, store: TripleStore, clock: Clock) -> Memory:
        return Memory(store, clock=clock)

    def test_what_was_said_earlier_goes_to_the_history_whenever_it_is_read(self, timed: Memory) -> None:
        """An old statement read later supersedes nothing."""
        timed.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA, at="2026-05-01")
        (outcome,) = timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at=date(2026, 3, 1))
        assert outcome.status == "past"
        timed.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA, at=datetime(2026, 6, 1, tzinfo=UTC))
        assert timed.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
        bergen, oslo, rome = timed.history("Ada", "lives in", namespace=NS)
        assert states_of((bergen, oslo, rome)) == [("Bergen", "past"), ("Oslo", "past"), ("Rome", "current")]
        assert [fact.said_at[:10] for fact in (bergen, oslo, rome)] == ["2026-05-01", "2026-03-01", "2026-06-01"]
        assert rome.recorded_at > "2026-11-29"
        assert rome.sources[0].at == "2026-06-01T00:00:00.000000+00:00"

    def test_without_a_time_a_fact_was_said_when_it_was_recorded(self, timed: Memory) -> None:
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
        (fact,) = timed.history("Ada", namespace=NS)
        assert fact.said_at == fact.recorded_at
        assert fact.sources[0].at is None
        assert timed.read("Ada", "lives in", namespace=NS).matches[0].fact.said_at == fact.recorded_at

    def test_a_turn_that_is_written_late_keeps_its_place(self, timed: Memory, clock: Clock) -> None:
        late = clock()
        timed.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=dataclasses.replace(ADA, at=late.isoformat()))
        assert timed.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)

    def test_what_will_be_said_is_said_now(self, timed: Memory, clock: Clock) -> None:
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at="2099-01-01")
        assert timed.history("Ada", namespace=NS)[0].said_at <= clock.time.isoformat()
        timed.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
        assert timed.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)

    def test_saying_it_again_later_makes_it_the_later_word(self, timed: Memory) -> None:
        for place, at in (("Oslo", "2026-01-01"), ("Oslo", "2026-06-01"), ("Bergen", "2026-03-01")):
            timed.write([("Ada", "lives in", place)], namespace=NS, source=ADA, at=at)
        assert states_of(timed.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "past")]

    def test_who_states_it_best_tells_when(self, timed: Memory) -> None:
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=Source("web", "page"), at="2026-06-01")
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at="2026-03-01")
        assert timed.history("Ada", namespace=NS)[0].said_at[:10] == "2026-03-01"
        timed.forget(source=ADA, namespace=NS)
        (fact,) = timed.history("Ada", namespace=NS)
        assert (fact.kind, fact.said_at[:10]) == ("web", "2026-06-01")

    def test_a_new_version_of_a_document_leaves_the_time_of_the_rest(self, timed: Memory) -> None:
        notes, page = Source("document", "notes.md"), Source("web", "page")
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=page, at="2026-01-01")
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=notes, at="2026-02-01")
        timed.write([("Ada", "likes", "tea")], namespace=NS, source=notes, replace=True, at="2026-03-01")
        fact = timed.history("Ada", "lives in", namespace=NS)[0]
        assert (fact.kind, fact.said_at[:10], fact.state) == ("web", "2026-01-01", "current")

    def test_taking_back_what_was_said_again_later_changes_nothing(self, timed: Memory) -> None:
        timed.write([("Ada", "likes", "tea")], namespace=NS, source=ADA, at="2026-06-01")
        (outcome,) = timed.retract(("Ada", "likes", "tea"), namespace=NS, source=ADA, at="2026-03-01")
        assert outcome.status == "not_found"
        assert timed.read("Ada", "likes", namespace=NS).answers == ("tea",)

    def test_when_it_was_said_is_no_part_of_what_was_said(self, timed: Memory) -> None:
        """Operations of an earlier version are recognised: their hash is over the text of a source without time."""
        assert str(Source("user", "r", "p", "t", (1, 2), 3, at="2026-01-01")) == (
            "Source(kind='user', ref='r', principal='p', text='t', span=(1, 2), turn=3)"
        )
        timed.write([("Ada", "likes", "tea")], namespace=NS, source=ADA, op_id="1", payload="I like tea.")
        found = timed.store.receipt(NS, operation_key("1"))
        text = "Source(kind='user', ref='chat-1', principal='ada', text=None, span=None, turn=None)"
        assert found is not None
        assert found[0] == stable_hash("I like tea.", text, "chat", False)
        again = timed.write(
            [("Ada", "likes", "tea")], namespace=NS, source=ADA, op_id="1", payload="I like tea.", at="2026-01-01"
        )
        assert again.replayed

    @pytest.mark.parametrize("at", ["yesterday", 5, "2026-02-30", "2026-13-01T00:00"], ids=str)
    def test_times_that_are_none(self, timed: Memory, at: Any) -> None:
        with pytest.raises(ConfigurationError, match="is not an ISO time"):
            timed.write([("Ada", "likes", "tea")], namespace=NS, at=at)
        assert timed.stats(namespace=NS).operations == 0

    def test_an_export_tells_when_it_was_said_and_an_older_one_still_imports(self, timed: Memory) -> None:
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA, at="2026-03-01")
        timed.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
        records = list(timed.export(namespace=NS))
        with Memory(":memory:") as other:
            other.restore(records)
            assert list(other.export(namespace=NS)) == records
            assert facts_of(other) == facts_of(timed)
        for record in records:
            if record["type"] == "fact":
                del record["said_at"]
                for source in record["sources"]:
                    del source["at"]
        with Memory(":memory:") as older:
            older.restore(records)
            assert all(fact.said_at == fact.recorded_at for fact in older.history("Ada", namespace=NS))
        timed.forget(everything=True, namespace=NS)
        timed.restore(records)
        assert states_of(timed.history("Ada", namespace=NS)) == [("Oslo", "past"), ("Bergen", "current")]

    def test_a_clock_that_goes_back_moves_nothing_back(self, timed: Memory, clock: Clock) -> None:
        timed.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
        clock.time -= timedelta(hours=23)  # by more than a day: it had been ahead (ClockRules)
        receipt = timed.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
        oslo, bergen = timed.history("Ada", namespace=NS)
        assert (oslo.state, bergen.state) == ("past", "current")
        assert bergen.recorded_at == receipt.recorded_at >= oslo.recorded_at
        assert timed.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)

    def test_a_plan_is_noted_and_changes_nothing_until_its_day(self, timed: Memory, clock: Clock) -> None:
        """Next March she moves."""
        timed.write([moves("Oslo")], namespace=NS, source=ADA)
        (outcome,) = timed.write([moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
        assert (outcome.status, outcome.supersedes, outcome.contests) == ("stored", (), ())
        assert answers(timed) == ("Oslo",)
        assert states_of(timed.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "planned")]
        assert states_of(timed.facts(namespace=NS)) == [("Oslo", "current"), ("Bergen", "planned")]
        assert timed.read(None, "lives in", "Bergen", namespace=NS).answers == ()
        assert timed.read(None, "lives in", "Oslo", namespace=NS).matches[0].fact.state == "current"
        assert (answers(timed, valid_at="2027-03-01"), answers(timed, valid_at="2027-02-28")) == (
            ("Bergen",),
            ("Oslo",),
        )
        recalled = timed.recall("Where does Ada live?", namespace=NS)
        assert {(match.answer, match.fact.state) for match in recalled} == {("Oslo", "current"), ("Bergen", "planned")}

        clock.time = datetime(2027, 3, 1, 12, tzinfo=UTC)
        assert answers(timed) == answers(timed, at=clock.time) == ("Bergen",)
        assert states_of(timed.history("Ada", namespace=NS)) == [("Oslo", "past"), ("Bergen", "current")]
        assert timed.read(None, "lives in", "Oslo", namespace=NS).answers == ()
        assert [match.answer for match in timed.recall("Where does Ada live?", namespace=NS)] == ["Bergen"]
        assert answers(timed, at="2026-11-30") == ("Oslo",)

        (outcome,) = timed.write([moves("Rome")], namespace=NS, source=ADA)
        assert len(outcome.supersedes) == 1
        assert answers(timed) == ("Rome",)
        oslo, bergen, _ = timed.history("Ada", namespace=NS)
        assert (oslo.closed_why, oslo.closed_by, bergen.closed_why) == ("superseded", bergen.id, "superseded")
        assert answers(timed, valid_at="2027-02") == ("Rome", "Oslo")

    def test_both_in_one_message(self, timed: Memory) -> None:
        timed.write([moves("Oslo"), moves("Bergen", "2027-03")], namespace=NS, source=ADA)
        assert states_of(timed.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "planned")]

    def test_after_a_move_that_was_planned_the_old_place_can_be_stated_anew(self, timed: Memory, clock: Clock) -> None:
        timed.write([moves("Oslo"), moves("Bergen", "2027-03")], namespace=NS, source=ADA)
        clock.time = datetime(2027, 4, 1, 12, tzinfo=UTC)
        (outcome,) = timed.write([moves("Oslo")], namespace=NS, source=ADA)
        assert (outcome.status, len(outcome.supersedes)) == ("stored", 1)
        assert states_of(timed.history("Ada", namespace=NS)) == [
            ("Oslo", "past"),
            ("Bergen", "past"),
            ("Oslo", "current"),
        ]

    def test_a_plan_is_given_up_moved_and_carried_out(self, timed: Memory) -> None:
        timed.write([moves("Oslo"), moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
        timed.write([moves("Bergen", "2027-05-01")], namespace=NS, source=ADA)  # two months later
        assert [(f.valid_from, f.state) for f in timed.history("Ada", namespace=NS)][1:] == [
            ("2027-03-01", "past"),
            ("2027-05-01", "planned"),
        ]
        timed.retract(moves("Bergen"), namespace=NS, source=ADA)
        assert (answers(timed), answers(timed, valid_at="2027-06")) == (("Oslo",), ("Oslo",))
        timed.write([moves("Bergen", "2027-05-01")], namespace=NS, source=ADA)
        timed.write([moves("Bergen")], namespace=NS, source=ADA)  # sooner than planned
        assert answers(timed) == ("Bergen",)
        assert sum(fact.state == "current" for fact in timed.history("Ada", namespace=NS)) == 1

    def test_a_value_stated_meanwhile_stands_until_the_day_of_the_plan(self, timed: Memory, clock: Clock) -> None:
        timed.write([moves("Oslo"), moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
        (outcome,) = timed.write([moves("Rome")], namespace=NS, source=ADA)
        assert (len(outcome.supersedes), outcome.contests) == (1, ())
        assert (answers(timed), answers(timed, valid_at="2027-04")) == (("Rome",), ("Bergen",))

    def test_a_holiday_retires_nothing(self, timed: Memory, clock: Clock) -> None:
        timed.write([moves("Oslo")], namespace=NS, source=ADA)
        timed.write([moves("Bergen", "2027-03-01", "2027-03-14")], namespace=NS, source=ADA)
        assert answers(timed) == ("Oslo",)
        clock.time = datetime(2027, 3, 5, 12, tzinfo=UTC)
        assert answers(timed) == ("Bergen", "Oslo")
        assert states_of(timed.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "current")]
        clock.time = datetime(2027, 4, 5, 12, tzinfo=UTC)
        assert answers(timed) == ("Oslo",)
        assert states_of(timed.history("Ada", namespace=NS)) == [("Oslo", "current"), ("Bergen", "past")]

    def test_what_has_ended_is_past(self, timed: Memory, clock: Clock) -> None:
        """An ended contract."""
        ended = Statement("Ada", "works for", "Acme", valid_to="2020-01-31")
        assert timed.write([ended], namespace=NS, source=ADA).outcomes[0].status == "past"
        assert states_of(timed.history("Ada", namespace=NS)) == [("Acme", "past")]
        runs_out = Statement("Ada", "member of", "Choir", valid_to="2026-12-31")
        timed.write([runs_out], namespace=NS, source=ADA)
        assert timed.read("Ada", "member of", namespace=NS).answers == ("Choir",)
        clock.time = datetime(2027, 1, 2, tzinfo=UTC)
        assert timed.read("Ada", "member of", namespace=NS).answers == ()
        assert timed.recall("Ada", namespace=NS).matches == ()
        assert timed.write([("Ada", "member of", "Choir")], namespace=NS, source=ADA).outcomes[0].status == "stored"
        assert timed.read("Ada", "member of", namespace=NS).answers == ("Choir",)

    def test_that_it_ended_ends_what_stands(self, timed: Memory) -> None:
        timed.write([("Ada", "works for", "Acme")], namespace=NS, source=ADA)
        ended = Statement("Ada", "works for", "Acme", valid_to="2026-10")
        (outcome,) = timed.write([ended], namespace=NS, source=ADA)
        assert (outcome.status, len(outcome.supersedes)) == ("past", 1)
        assert timed.read("Ada", "works for", namespace=NS).answers == ()
        timed.write([("Ada", "works for", "Acme")], namespace=NS, source=ADA)
        timed.write([ended], namespace=NS, source=Source("web", "page"))
        assert timed.read("Ada", "works for", namespace=NS).answers == ("Acme",)

    def test_plans_of_a_relation_of_many_do_not_hide_what_holds(self, timed: Memory) -> None:
        plans = [Statement("Ada", "attends", f"Fair {n}", valid_from=f"2027-01-{n:02}") for n in range(1, 31)]
        timed.write([("Ada", "attends", "Choir"), ("Ada", "attends", "School"), *plans], namespace=NS, source=ADA)
        found = timed.read("Ada", "attends", namespace=NS, limit=2)
        assert (set(found.answers), found.truncated) == ({"Choir", "School"}, False)
        assert len(timed.read("Ada", "attends", namespace=NS, valid_at="2027-02")) == 30

    def test_a_plan_of_a_page_contests_when_its_day_has_come(self, timed: Memory, clock: Clock) -> None:
        timed.write([moves("Oslo")], namespace=NS, source=ADA)
        timed.write([moves("Bergen", "2027-03-01")], namespace=NS, source=Source("web", "page"))
        assert [m.fact.state for m in timed.read("Ada", "lives in", namespace=NS)] == ["current"]
        clock.time = datetime(2027, 3, 2, tzinfo=UTC)
        found = timed.read("Ada", "lives in", namespace=NS)
        assert [(m.answer, m.fact.state) for m in found] == [("Oslo", "contested"), ("Bergen", "contested")]

    def test_a_page_dated_far_ahead_outranks_nobody(self, timed: Memory) -> None:
        timed.write([moves("Oslo")], namespace=NS, source=ADA)
        timed.write([moves("Bergen", "2099")], namespace=NS, source=Source("web", "page"))
        timed.write([moves("Rome")], namespace=NS, source=ADA)
        assert answers(timed) == ("Rome",)

    @pytest.mark.parametrize("since", ["2026-10-01", date(2026, 10, 1), datetime(2026, 10, 1, 9)], ids=str)
    def test_a_date_is_taken_wherever_a_time_is(self, timed: Memory, since: Any) -> None:
        timed.write([moves("Oslo", since)], namespace=NS, source=ADA)
        assert timed.history("Ada", namespace=NS)[0].valid_from == "2026-10-01"
        assert answers(timed, valid_at=since) == ("Oslo",)
        assert answers(timed, valid_at=date(2026, 9, 30)) == ()

    def test_a_day_that_no_calendar_has_is_refused(self, timed: Memory) -> None:
        assert timed.write([moves("Oslo", "2020-02-30")], namespace=NS).outcomes[0].status == "rejected"
        with pytest.raises(ConfigurationError, match="not a partial ISO date"):
            answers(timed, valid_at="2020-02-30")

    def test_naive_times_are_local(self, timed: Memory, clock: Clock, zone: str) -> None:
        """``datetime.now()`` is now, and ``date.today()`` lasts until midnight here."""
        for hour in (1, 12, 23):
            clock.time = datetime(2026, 12, 1, hour, tzinfo=UTC)
            town = f"Town {hour}"
            timed.write([moves(town)], namespace=NS, source=ADA)
            clock.time += timedelta(minutes=1)
            here = clock.time.astimezone().replace(tzinfo=None)
            assert answers(timed, at=clock.time) == answers(timed, at=here) == (town,)
            assert answers(timed, at=here.isoformat()) == answers(timed, at=here.date()) == (town,)
            assert town not in answers(timed, at=here - timedelta(hours=2))

    def test_a_plan_begins_at_midnight_here(self, timed: Memory, clock: Clock, zone: str) -> None:
        timed.write([moves("Oslo"), moves("Bergen", "2027-03-01")], namespace=NS, source=ADA)
        midnight = datetime(2027, 3, 1).astimezone()
        clock.time = midnight.astimezone(UTC) - timedelta(minutes=1)
        assert answers(timed) == ("Oslo",)
        clock.time = midnight.astimezone(UTC) + timedelta(minutes=1)
        assert answers(timed) == ("Bergen",)


class ClockRules(StoreRules):
    """A clock that was ahead, or goes back, changes no order."""

    def test_r10_questions_about_the_past_are_answered_after_a_jump(self, at_day: AtDay) -> None:
        """At=2026-12-31 answered Oslo for ever."""
        receipts = [at_day(day).write([("Ada", "lives in", town)], namespace=NS) for day, town in DAYS]
        assert [bool(receipt.clock) for receipt in receipts] == [False, True, True, False]
        memory = at_day("2026-12-03")

        def at(moment: str) -> tuple[str, ...]:
            return memory.read("Ada", "lives in", namespace=NS, at=moment).answers

        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bonn",)
        assert at("2026-12-31") == ("Bonn",)
        assert at("2026-12-01") == ("Bonn",)
        assert at("2026-11-30") == ("Rome",)
        assert at("2026-11-30T00:00:01+00:00") == ("Rome",)
        assert at("2026-11-29T12:00:00+00:00") == ("Oslo",)
        assert at("2026-11-01") == ()
        assert [fact.triple.object for fact in memory.history("Ada", namespace=NS)] == [town for _, town in DAYS]
        assert [fact.closed_why for fact in memory.history("Ada", namespace=NS)] == [*["superseded"] * 3, None]

    def test_doctor_tells_of_a_clock_that_is_ahead(self, at_day: AtDay) -> None:
        """By the full check, as long as the last operation is in times to come."""
        memory = at_day("2099-01-01")
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
        assert ["more than a day after now" in problem for problem in memory.verify()] == [True]

    def test_doctor_tells_of_a_clock_that_was_ahead(self, at_day: AtDay) -> None:
        """Also after it is right again, for a month."""
        now = datetime.now(UTC).replace(tzinfo=None)
        for day, town in ((now + timedelta(days=3), "Oslo"), (now, "Rome")):
            memory = at_day(day.isoformat())
            memory.write([("Ada", "lives in", town)], namespace=NS)
        assert ["a clock was more than a day ahead" in problem for problem in memory.verify()] == [True]

    @pytest.mark.parametrize("day", ["1970-01-01", "1970-01-02T00:00:00.000001", "2099-12-31", "9999-12-30"])
    def test_a_clock_at_its_ends_writes_reads_and_is_left_again(self, at_day: AtDay, day: str) -> None:
        """1970 and 2099."""
        memory = at_day("2026-11-29")
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
        memory = at_day(day)
        memory.write([("Ada", "lives in", "Rome")], namespace=NS)
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
        memory = at_day("2026-11-30")
        memory.write([("Ada", "lives in", "Bonn")], namespace=NS)
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bonn",)
        assert memory.read("Ada", "lives in", namespace=NS, at="2026-12-31").answers == ("Bonn",)

    def test_a_clock_that_goes_back_a_little_stands_still(self, at_day: AtDay) -> None:
        first = at_day("2026-11-29T12:00:00").write([("Ada", "lives in", "Oslo")], namespace=NS)
        second = at_day("2026-11-29T11:00:00").write([("Ada", "lives in", "Rome")], namespace=NS)
        assert second.recorded_at == first.recorded_at
        assert second.clock == ""

    def test_a_copy_keeps_the_order_after_a_jump(self, at_day: AtDay) -> None:
        """The own export can be put back, and answers alike."""
        for day, town in DAYS:
            memory = at_day(day)
            memory.write([("Ada", "lives in", town)], namespace=NS)
        records = list(memory.export(namespace=NS))
        other = Memory(":memory:")
        other.restore(records)
        assert list(other.export(namespace=NS)) == records
        for moment in ("2026-12-31", "2026-11-30", "2026-11-29T12:00:00+00:00"):
            assert (
                other.read("Ada", "lives in", namespace=NS, at=moment).answers
                == memory.read("Ada", "lives in", namespace=NS, at=moment).answers
            )
