"""How much one namespace may hold, and how fast sources that nobody vouches for may fill it. Pure.

A store counts (``belief.Use``) inside the transaction that writes, so two processes cannot pass a limit together; here
is what is counted and what the counts mean. A person's statements are refused whole, with an error, so that what waits
in the outbox stays there. What lower ranks state beyond their limits is rejected piece by piece; they never use up the
half that is kept for people.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from langchain_memllm.belief import Batch, Claim, Evidence, Insert, Plan, Quarantined, Use
from langchain_memllm.errors import ConfigurationError, QuotaExceeded
from langchain_memllm.triples import KINDS, MAX_NAME, MAX_SENTENCE, Outcome, Source, Triple, rank_of

__all__ = [
    "COUNTED",
    "UNTRUSTED",
    "Limits",
    "added",
    "admitted",
    "after",
    "check",
    "has_room",
    "near",
    "pack",
    "removed",
    "shares",
    "size",
    "unpack",
    "without",
]

UNTRUSTED: Final = frozenset(kind for kind in KINDS if rank_of(kind) < rank_of("user"))
"""Kinds of source for which nobody vouches: together they may fill ``Limits.untrusted_share`` of a namespace."""

COUNTED: Final = UNTRUSTED - {"document"}
"""Those of them that are counted by time. A document is given whole, by an application that chose it."""

_NEAR: Final = 0.9


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one namespace; None means no limit.

    They are kept in the store: who opens it without any follows those that were given last, or these defaults.

    Args:
        statements: Most statements it holds: a fact counts as often as it was stated, a piece in quarantine once.
        characters: Most characters of their names and sentences.
        untrusted_share: Which share of either sources below the rank ``user`` may fill, from 0 to 1.
        untrusted_per_hour: Most statements of pages, tools and models in one hour of the clock (UTC).
        untrusted_per_day: The same for a day.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    statements: int | None = 1_000_000
    characters: int | None = 500_000_000
    untrusted_share: float = 0.5
    untrusted_per_hour: int | None = 5_000
    untrusted_per_day: int | None = 20_000

    def __post_init__(self) -> None:
        """Check the ranges."""
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name == "untrusted_share":
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                    raise ConfigurationError(f"untrusted_share={value!r} is not a share; give a number from 0 to 1")
            elif value is not None and (type(value) is not int or not 0 <= value < 1 << 53):
                raise ConfigurationError(f"{part.name}={value!r} is not a limit; give a whole number, or None for none")

    def most(self, what: Literal["statements", "characters"], *, untrusted: bool) -> int | None:
        """Most statements or characters, of all sources or of those that nobody vouches for."""
        most: int | None = getattr(self, what)
        return int(most * self.untrusted_share) if untrusted and most is not None else most


def pack(limits: Limits) -> str:
    """Limits as a store keeps them."""
    return json.dumps(asdict(limits), sort_keys=True)


def unpack(kept: str | None) -> Limits:
    """Inverse of ``pack``; of None, the defaults.

    Raises:
        ConfigurationError: Not limits; so do ``TypeError`` and ``ValueError``.
    """
    return Limits() if kept is None else Limits(**json.loads(kept))


def size(triple: Triple, text: str | None) -> int:
    """Characters of a statement."""
    return len(triple.subject) + len(triple.relation) + len(triple.object) + len(text or "")


def added(use: Use, statements: Iterable[tuple[str, int]], now: str | None = None) -> Use:
    """What a namespace holds with these statements more, each (kind of its source, characters).

    With ``now`` they also count by time: an import puts back what was counted when it was stated.
    """
    count = characters = untrusted = untrusted_characters = counted = 0
    for kind, length in statements:
        count += 1
        characters += length
        if kind in UNTRUSTED:
            untrusted += 1
            untrusted_characters += length
            counted += kind in COUNTED
    if counted and now is not None:
        in_hour, in_day = _lately(use, now)
        use = use._replace(hour=now[:_HOUR], in_hour=in_hour + counted, in_day=in_day + counted)
    return Use(
        use.statements + count,
        use.characters + characters,
        use.untrusted + untrusted,
        use.untrusted_characters + untrusted_characters,
        *use[4:],
    )


def without(use: Use, statements: int, characters: int, untrusted: int, untrusted_characters: int) -> Use:
    """What a namespace holds when these are gone; what came in lately is not given back."""
    return Use(
        use.statements - statements,
        use.characters - characters,
        use.untrusted - untrusted,
        use.untrusted_characters - untrusted_characters,
        *use[4:],
    )


def removed(use: Use, statements: Iterable[tuple[str, int]]) -> Use:
    """Inverse of ``added``, but for what came in lately."""
    gone = added(Use(), statements)
    return without(use, gone.statements, gone.characters, gone.untrusted, gone.untrusted_characters)


_HOUR, _DAY = 13, 10  # characters of an ISO time up to its hour and its day


def _lately(use: Use, now: str) -> tuple[int, int]:
    """Statements of this hour and of this day, before this operation."""
    in_day = use.in_day if use.hour[:_DAY] == now[:_DAY] else 0
    return (use.in_hour if use.hour == now[:_HOUR] else 0), in_day


def after(use: Use, plan: Plan, now: str) -> Use:
    """What a namespace holds when a plan is applied, but for what its withdrawals take away."""
    return added(use, _kept(plan), now)


def _kept(plan: Plan) -> Iterator[tuple[str, int]]:
    changes: tuple[Insert | Evidence, ...] = (*plan.inserts, *plan.evidence)
    for change in changes:
        yield change.claim.source.kind, _weight(change.claim)
    for piece in plan.quarantine:
        yield piece.source.kind, len(piece.text)


def _weight(claim: Claim) -> int:
    return size(claim.triple, claim.source.text)


def check(before: Use, then: Use, limits: Limits) -> None:
    """Refuse what makes a namespace hold more than it may.

    Raises:
        QuotaExceeded: It does; what only takes back, or leaves the counts as they are, is never refused.
    """
    for what in ("statements", "characters"):
        most, count = limits.most(what, untrusted=False), getattr(then, what)
        if most is not None and count > most and count > getattr(before, what):
            raise QuotaExceeded(
                f"this memory holds {getattr(before, what):,} {what} and may hold {most:,}; nothing was written. "
                f"Forget what is not needed, or raise Limits.{what}, then write it again"
            )


def has_room(batch: Batch, use: Use, limits: Limits, now: str) -> bool:
    """Whether an operation is far from every limit, whatever it states: then nothing has to be counted before it."""
    if batch.quarantine:
        return False
    in_hour, in_day = _lately(use, now)
    count = len(batch.claims)
    counts = (
        (use.untrusted + count, limits.most("statements", untrusted=True)),
        (use.untrusted_characters + count * _LARGEST, limits.most("characters", untrusted=True)),
        (use.statements + count, limits.statements),
        (use.characters + count * _LARGEST, limits.characters),
        (in_hour + count, limits.untrusted_per_hour),
        (in_day + count, limits.untrusted_per_day),
    )
    return all(most is None or then <= most for then, most in counts)


_LARGEST: Final = MAX_SENTENCE + 3 * MAX_NAME
"""Most characters of one statement."""


def admitted(batch: Batch, use: Use, limits: Limits, now: str) -> Batch:
    """An operation without what sources of lower rank state beyond their limits: that is rejected, and says why.

    Args:
        batch: The operation.
        use: What its namespace holds.
        limits: What it may hold.
        now: The time of the operation.

    Raises:
        QuotaExceeded: There is no room for any of it. Not of what waits in the outbox: that would keep what a person
            said after it from being read.
    """
    if not any(source.kind in UNTRUSTED for source in _sources(batch)):
        return batch
    room = _Room(use, limits, now)
    claims = [claim for claim in batch.claims if claim.retract or room.holds(claim.source, _weight(claim))]
    pieces = [room.holds(piece.source, len(piece.text)) for piece in batch.quarantine]
    if room.full is None:
        return batch
    if not room.taken and batch.outbox_version is None:
        raise QuotaExceeded(f"nothing was written: {room.full}")
    taken = {claim.index for claim in claims}
    left_out = [
        Outcome(claim.index, "rejected", reason=room.full, triple=claim.triple)
        for claim in batch.claims
        if claim.index not in taken
    ]
    kept = iter(pieces)
    outcomes = [
        replace(each, status="rejected", reason=room.full) if each.status == "quarantined" and not next(kept) else each
        for each in batch.rejected
    ]
    quarantine = tuple(piece for piece, held in zip(batch.quarantine, pieces, strict=True) if held)
    return replace(batch, claims=tuple(claims), rejected=(*outcomes, *left_out), quarantine=quarantine)


def _sources(batch: Batch) -> Iterator[Source]:
    items: tuple[Claim | Quarantined, ...] = (*batch.claims, *batch.quarantine)
    return (item.source for item in items)


@dataclass(slots=True)
class _Room:
    """What is left for sources of lower rank, while statements are taken one by one.

    ``full`` says which limit refused one first, ``taken`` how many were taken.
    """

    use: Use
    limits: Limits
    now: str
    full: str | None = None
    taken: int = 0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        use = self.use
        lately = _lately(use, self.now)
        self.counts = [use.untrusted, use.untrusted_characters, use.statements, use.characters, *lately]

    def holds(self, source: Source, length: int) -> bool:
        """Whether there is room for a statement, which is counted then; there always is for a person's."""
        if source.kind not in UNTRUSTED:
            self.taken += 1
            self.counts[2] += 1
            self.counts[3] += length
            return True
        by_time = int(source.kind in COUNTED)
        then = [count + more for count, more in zip(self.counts, (1, length, 1, length, by_time, by_time), strict=True)]
        for count, (most, why) in zip(then, self._limits(), strict=True):
            if most is not None and count > most and not (why in _BY_TIME and not by_time):
                self.full = self.full or self._told(why, most)
                return False
        self.counts = then
        self.taken += 1
        return True

    def _limits(self) -> Iterator[tuple[int | None, str]]:
        for untrusted in (True, False):
            yield self.limits.most("statements", untrusted=untrusted), "statements"
            yield self.limits.most("characters", untrusted=untrusted), "characters"
        yield self.limits.untrusted_per_hour, "hour"
        yield self.limits.untrusted_per_day, "day"

    def _told(self, why: str, most: int) -> str:
        if why in _BY_TIME:
            again = _next(self.now, why)
            return (
                f"pages, tools and models may state {most:,} things in one {why}; write the rest after {again}, as an "
                f"operation of its own, or raise Limits.untrusted_per_{why}"
            )
        return (
            f"sources below the rank of a person may fill {most:,} {why} of this memory; forget what is not needed of "
            f"theirs (forget(source=…)), or raise Limits.{why} or untrusted_share"
        )


_BY_TIME: Final = ("hour", "day")


def _next(now: str, what: str) -> str:
    """When the next hour or day begins."""
    begun = datetime.fromisoformat(now).replace(minute=0, second=0, microsecond=0)
    then = begun + timedelta(hours=1) if what == "hour" else begun.replace(hour=0) + timedelta(days=1)
    return then.isoformat(timespec="minutes")


def shares(use: Use, limits: Limits, now: str) -> dict[str, tuple[int, int]]:
    """How much of each limit is used: name of the limit → (used, most); those without a limit are left out."""
    in_hour, in_day = _lately(use, now)
    found: dict[str, tuple[int, int | None]] = {
        "statements": (use.statements, limits.statements),
        "characters": (use.characters, limits.characters),
        "untrusted_statements": (use.untrusted, limits.most("statements", untrusted=True)),
        "untrusted_characters": (use.untrusted_characters, limits.most("characters", untrusted=True)),
        "untrusted_per_hour": (in_hour, limits.untrusted_per_hour),
        "untrusted_per_day": (in_day, limits.untrusted_per_day),
    }
    return {name: (used, most) for name, (used, most) in found.items() if most is not None}


def near(namespace: str, use: Use, limits: Limits, now: str) -> list[str]:
    """What to say of a namespace that has used nine tenths of a limit, or more."""
    return [
        f"namespace {namespace}: {used:,} of at most {most:,} {name.replace('_', ' ')}; forget what is not needed, or "
        f"raise the limit (docs/operators.md)"
        for name, (used, most) in shares(use, limits, now).items()
        if used >= _NEAR * most
    ]
