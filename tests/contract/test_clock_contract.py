"""A clock that was ahead freezes nothing, on every store (redteam row 19, R10)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.times import following, next_moment, since

NS = ("memllm", "ada")


@pytest.fixture
def at_day(store: TripleStore) -> Callable[[str], Memory]:
    """A memory whose clock is set by hand."""
    clock = {"now": ""}
    memory = Memory(store, clock=lambda: datetime.fromisoformat(clock["now"]).replace(tzinfo=UTC))

    def on(day: str) -> Memory:
        clock["now"] = day
        return memory

    return on


DAYS = (("2026-11-29", "Oslo"), ("2099-01-01", "Bergen"), ("2026-11-30", "Rome"), ("2026-12-01", "Bonn"))


def test_r10_questions_about_the_past_are_answered_after_a_jump(at_day: Callable[[str], Memory]) -> None:
    """redteam row 19: at=2026-12-31 answered Oslo for ever."""
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


def test_doctor_tells_of_a_clock_that_is_ahead(at_day: Callable[[str], Memory]) -> None:
    """redteam row 19: by the full check, as long as the last operation is in times to come."""
    memory = at_day("2099-01-01")
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
    assert ["more than a day after now" in problem for problem in memory.verify()] == [True]


def test_doctor_tells_of_a_clock_that_was_ahead(at_day: Callable[[str], Memory]) -> None:
    """redteam row 19: also after it is right again, for a month."""
    now = datetime.now(UTC).replace(tzinfo=None)
    for day, town in ((now + timedelta(days=3), "Oslo"), (now, "Rome")):
        memory = at_day(day.isoformat())
        memory.write([("Ada", "lives in", town)], namespace=NS)
    assert ["a clock was more than a day ahead" in problem for problem in memory.verify()] == [True]


@pytest.mark.parametrize("day", ["1970-01-01", "1970-01-02T00:00:00.000001", "2099-12-31", "9999-12-30"])
def test_a_clock_at_its_ends_writes_reads_and_is_left_again(at_day: Callable[[str], Memory], day: str) -> None:
    """redteam row 19: 1970 and 2099."""
    memory = at_day("2026-11-29")
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
    memory = at_day(day)
    memory.write([("Ada", "lives in", "Rome")], namespace=NS)
    memory.put_outbox([OutboxEntry("a", "Ada likes tea.")], namespace=NS)
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
    memory = at_day("2026-11-30")
    memory.put_outbox([OutboxEntry("b", "Ada likes gin.")], namespace=NS)
    memory.write([("Ada", "lives in", "Bonn")], namespace=NS)
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bonn",)
    assert memory.read("Ada", "lives in", namespace=NS, at="2026-12-31").answers == ("Bonn",)
    assert [entry.text for entry in memory.outbox(namespace=NS)] == ["Ada likes tea.", "Ada likes gin."]


def test_a_clock_that_goes_back_a_little_stands_still(at_day: Callable[[str], Memory]) -> None:
    first = at_day("2026-11-29T12:00:00").write([("Ada", "lives in", "Oslo")], namespace=NS)
    second = at_day("2026-11-29T11:00:00").write([("Ada", "lives in", "Rome")], namespace=NS)
    assert second.recorded_at == first.recorded_at
    assert second.clock == ""


def test_a_copy_keeps_the_order_after_a_jump(at_day: Callable[[str], Memory]) -> None:
    """redteam row 19: the own export can be put back, and answers alike."""
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


def test_times_that_follow() -> None:
    day, next_day, far = "2026-11-29T00:00:00.000000+00:00", "2026-11-30T00:00:00.000000+00:00", "9999-12-31"
    end = "9999-12-31T23:59:59.999999+00:00"
    assert following(next_day, day) == (next_day, False)
    assert following(day, next_day) == (next_day, False)
    assert following(day, end) == (day, True)
    assert following(day, "") == (day, False)
    assert (next_moment(day, end), next_moment(day, day)) == (day, "2026-11-29T00:00:00.000001+00:00")
    assert [since([(3, day), (7, next_day)], at) for at in (None, "2026", day, far)] == [0, 0, 3, 7]
