"""Times of operations follow one another, whatever the clock says."""

from __future__ import annotations

from langchain_memllm.times import following, next_moment, since


def test_times_that_follow() -> None:
    day, next_day, far = "2026-11-29T00:00:00.000000+00:00", "2026-11-30T00:00:00.000000+00:00", "9999-12-31"
    end = "9999-12-31T23:59:59.999999+00:00"
    assert following(next_day, day) == (next_day, False)
    assert following(day, next_day) == (next_day, False)
    assert following(day, end) == (day, True)
    assert following(day, "") == (day, False)
    assert (next_moment(day, end), next_moment(day, day)) == (day, "2026-11-29T00:00:00.000001+00:00")
    assert [since([(3, day), (7, next_day)], at) for at in (None, "2026", day, far)] == [0, 0, 3, 7]
