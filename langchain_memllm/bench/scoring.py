"""From ranks to figures: the share of the evidence among the first ``k``, with bootstrap intervals over questions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from langchain_memllm.bench.data import Asked, Item
from langchain_memllm.render import approximate_tokens
from langchain_memllm.training.scores import Figure, figure, mean

__all__ = [
    "SEED",
    "Answer",
    "both",
    "difference",
    "firsts_of",
    "newer_first",
    "places_within",
    "ranks_of",
    "share",
    "total",
]

SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Answer:
    """How a question was answered, without a word of it.

    Args:
        id: The question's.
        kind: What sort of question it is.
        total: The figure in which it counts.
        wanted: Pieces of evidence that answer it; 0: nothing does.
        every: Whether all of them are wanted, or any.
        ranks: By method, at which places the pieces first came, ascending; those that did not come are left out.
        shown: How many facts were shown where nothing answers; None elsewhere.
        firsts: By method, at which place each of the two parts of a question first came, 0 if it did not; of questions
            that have parts.
        within: By method, how many of the first places have room in the tokens of the report; None: not measured.
    """

    id: str
    kind: str
    total: str
    wanted: int
    every: bool
    ranks: dict[str, list[int]]
    shown: int | None = None
    firsts: dict[str, list[int]] | None = None
    within: dict[str, int] | None = None


def ranks_of(asked: Asked, found: Sequence[frozenset[str]]) -> list[int]:
    """The places at which each piece of evidence first came, ascending; 1 is the best."""
    first: dict[str, int] = {}
    for place, carried in enumerate(found, start=1):
        for piece in carried & asked.gold:
            first.setdefault(piece, place)
    return sorted(first.values())


def places_within(tokens: int, found: Sequence[Item]) -> int:
    """How many of the first have room in so many tokens together; the text of each is counted."""
    used = itertools.accumulate(approximate_tokens(item.text) for item in found)
    return sum(each <= tokens for each in used)


def firsts_of(asked: Asked, found: Sequence[frozenset[str]]) -> list[int]:
    """The place at which each part of a question first came; 0 where it did not."""
    return [next((place for place, some in enumerate(found, start=1) if some & part), 0) for part in asked.parts]


def both(answers: Sequence[Answer], method: str, k: int) -> Figure:
    """Share of the questions of which both parts came among the first ``k``."""
    places = [each.firsts[method] for each in answers if each.firsts]
    return _mean(method, [float(all(1 <= place <= k for place in some)) for some in places])


def newer_first(answers: Sequence[Answer], method: str, k: int) -> Figure:
    """Of the questions of which both parts came among the first ``k``, the share with the first above the other."""
    places = [each.firsts[method] for each in answers if each.firsts]
    return _mean(method, [float(new < old) for new, old in places if min(new, old) > 0 and max(new, old) <= k])


def share(answer: Answer, method: str, k: int | None) -> float:
    """Share of the evidence among the first ``k``; whether any of it is there, where any will do.

    ``None`` instead of a number means the places that have room in the tokens of the report.
    """
    most = (answer.within or {}).get(method, 0) if k is None else k
    held = sum(rank <= most for rank in answer.ranks[method])
    return held / answer.wanted if answer.every else float(held > 0)


def total(answers: Sequence[Answer], method: str, k: int | None) -> Figure:
    """Mean share of a method, with its interval."""
    return _mean(method, [share(each, method, k) for each in answers])


def difference(answers: Sequence[Answer], method: str, other: str, k: int | None) -> Figure:
    """By how much a method is better than another on the same questions, with the interval of the paired difference."""
    return _mean(other, [share(each, method, k) - share(each, other, k) for each in answers])


def _mean(name: str, values: Sequence[float]) -> Figure:
    return figure(name, [(value, 1.0) for value in values], mean, seed=SEED, count=len(values))
