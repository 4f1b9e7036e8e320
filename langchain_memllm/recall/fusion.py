"""Reciprocal rank fusion (Cormack and others, 2009): what the places in several rankings say together.

Scores of different searches cannot be compared; places can. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, TypeVar

__all__ = ["CONSTANT", "at_rank", "fused"]

CONSTANT: Final = 10
"""How soon later places count less. Sixty is usual for long rankings; ours are of a hundred at most."""

Key = TypeVar("Key")


def at_rank(rank: int, weight: float = 1.0) -> float:
    """What a place in one ranking counts; the first has rank 1."""
    return weight / (CONSTANT + rank)


def fused(*rankings: tuple[float, Sequence[Key]]) -> dict[Key, float]:
    """The sum of what each counts in several rankings, with their weights; a ranking of weight 0 names nothing."""
    scores: dict[Key, float] = defaultdict(float)
    for weight, ranking in rankings:
        for rank, each in enumerate(ranking if weight else (), start=1):
            scores[each] += at_rank(rank, weight)
    return scores
