"""Moments and days as the memory writes them: ISO moments in UTC, and partial ISO dates without a zone.

A moment says when something was recorded or said; a day says since when or until when something holds. Naive moments
are local time, as everywhere in Python, and a day is a day of the calendar on the wall. Nothing here reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeAlias

from langchain_memllm.errors import ConfigurationError

__all__ = [
    "AFTER",
    "Day",
    "Moment",
    "as_moment",
    "check_date",
    "following",
    "is_ahead",
    "is_later",
    "is_over",
    "local_day",
    "next_moment",
    "since",
    "stated_date",
    "written",
]

Moment: TypeAlias = "str | date | datetime"
"""A point in time: ISO text, a ``datetime`` or a ``date``, which means its end."""

Day: TypeAlias = "str | date | datetime"
"""A partial ISO date (``2010``, ``2010-05``, ``2010-05-03``), a ``date`` or a ``datetime`` (its local day)."""

AFTER: Final = "~"
"""Sorts after every character of a date: ``2010~`` is the end of 2010."""

_AHEAD: Final = timedelta(days=1)
_DATE: Final = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?")


def written(moment: datetime) -> str:
    """A moment as every store writes it: ISO, UTC, microseconds. A naive one is local time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def as_moment(value: Moment | None, name: str = "at") -> str | None:
    """A point in time in the stores' own form; a date alone means the end of that day, here.

    Raises:
        ConfigurationError: It is not an ISO time.
    """
    if value is None:
        return None
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, date) or len(value) == 10:
            moment = datetime.fromisoformat(f"{value}T23:59:59.999999")
        else:
            moment = datetime.fromisoformat(value)
        return written(moment)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{name}={value!r} is not an ISO time; write 2026-11-23 or 2026-11-23T10:00:00, or give a datetime"
        ) from error


def next_moment(now: str, last: str) -> str:
    """Now, but later than the last moment: a clock may go back, and two things may happen in one microsecond."""
    if now > last or following(now, last)[1]:
        return now
    return written(datetime.fromisoformat(last) + timedelta(microseconds=1))


def following(now: str, last: str) -> tuple[str, bool]:
    """When something is recorded that comes after what was recorded at ``last``, and whether a clock had been ahead.

    A clock that goes back a little stands still until it is right again. One that was ahead by more than a day is not
    waited for: what is recorded from now on begins anew, below (see ``since``).
    """
    if now >= last:
        return now, False
    if datetime.fromisoformat(last) - datetime.fromisoformat(now) <= _AHEAD:
        return last, False
    return now, True


def is_ahead(moment: str, now: str) -> bool:
    """Whether a moment is more than a day after now: some clock was."""
    return bool(moment) and moment > now and datetime.fromisoformat(moment) - datetime.fromisoformat(now) > _AHEAD


def since(restarts: Sequence[tuple[int, str]], at: str | None) -> int:
    """The operation before which everything counts as recorded at a moment, whatever its time says.

    Args:
        restarts: Number and time of the operations at which a clock that had been ahead was right again.
        at: The moment that is asked about.
    """
    return max((seq for seq, moment in restarts if at is not None and moment <= at), default=0)


def check_date(value: Day | None) -> str | None:
    """Return a partial ISO date (``2010``, ``2010-05`` or ``2010-05-03``) or None; of a ``datetime`` the local day.

    Raises:
        ConfigurationError: It is something else, or a day that no calendar has.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        value = value.astimezone() if value.tzinfo is not None else value
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and _DATE.fullmatch(value) and _in_calendar(value):
        return value
    raise ConfigurationError(f"date {value!r} is not a partial ISO date; write 2010, 2010-05 or 2010-05-03")


def stated_date(value: object) -> str | None:
    """A partial date as an older version may have kept it: whether there was such a day was not asked then.

    Raises:
        ConfigurationError: It has another form.
    """
    if value is None or (isinstance(value, str) and _DATE.fullmatch(value)):
        return value
    return check_date(value)  # type: ignore[arg-type]


def _in_calendar(value: str) -> bool:
    if len(value) < 10:
        return value[:4] != "0000"
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def local_day(moment: str) -> str:
    """The day of a moment, here: what the calendar on the wall says."""
    try:
        return datetime.fromisoformat(moment).astimezone().date().isoformat()
    except OverflowError:  # the first and the last day that there is, in another time zone
        return moment[:10]


def is_later(valid_from: str | None, day: str) -> bool:
    """Whether something that begins then begins after a day."""
    return valid_from is not None and valid_from > day + AFTER


def is_over(valid_to: str | None, day: str) -> bool:
    """Whether something that ends then has ended before a day."""
    return valid_to is not None and valid_to + AFTER < day
