"""A fair order of what was found, where places are few.

A page or a model fills a small share of the places only, however much it says; of a slot that is contested the trusted
value comes first. Pure; knows no store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeAlias

from langchain_memllm.belief import precedence
from langchain_memllm.stores.interface import Row
from langchain_memllm.triples import Match, rank_of

__all__ = ["SHARE", "STRICT", "by_rank", "fair"]

SHARE: Final = 0.3
"""Most of a block's places that pages, a model or a tool fill, where others have something to say."""

Scored: TypeAlias = "tuple[float, float, Row]"
"""How well a fact fits (with what led to it), its similarity, and the fact."""

STRICT: Final = frozenset({"web", "model"})
"""Kinds of source that fill a share of the places only."""

_BEYOND: Final = 0.2  # what is left of the score of a tool's fact beyond its share
_OF_SLOT: Final = 3  # values of one contested slot


def fair(found: Sequence[Scored], k: int, slot_of: Callable[[Row], Hashable | None]) -> list[tuple[float, Row]]:
    """What was found in the order in which it takes ``k`` places, with its similarity.

    Args:
        found: The facts, those that fit best first.
        k: How many places there are.
        slot_of: The slot for one value in which a fact stands; None if it holds many.
    """
    trusted_first = _by_slot(found, slot_of)
    most = max(1, int(SHARE * k))
    others = any(row.fact.kind not in STRICT for _, _, row in trusted_first)
    counts: Counter[str] = Counter()
    ordered: list[Scored] = []
    for score, similarity, row in trusted_first:
        kind = row.fact.kind
        counts[kind] += 1
        if counts[kind] > most and kind in STRICT and others:
            continue
        beyond = counts[kind] > most and kind == "tool"
        ordered.append((score * _BEYOND if beyond else score, similarity, row))
    ordered.sort(key=lambda each: -each[0])
    return [(similarity, row) for _, similarity, row in ordered]


def _by_slot(found: Sequence[Scored], slot_of: Callable[[Row], Hashable | None]) -> list[Scored]:
    """The facts with the values of each slot in the order of their rank, of equals the newest first, a few of each."""
    slots: dict[Hashable, list[Scored]] = {}
    for each in found:
        slot = slot_of(each[2])
        if slot is not None:
            slots.setdefault(slot, []).append(each)
    best = {slot: sorted(some, key=_precedence, reverse=True) for slot, some in slots.items()}
    taken: Counter[Hashable] = Counter()
    ordered: list[Scored] = []
    for each in found:
        slot = slot_of(each[2])
        if slot is None:
            ordered.append(each)
        elif taken[slot] < _OF_SLOT:
            _, similarity, row = best[slot][taken[slot]]
            ordered.append((each[0], similarity, row))
            taken[slot] += 1
    return ordered


def _precedence(each: Scored) -> int:
    fact = each[2].fact
    return precedence(fact.kind, fact.seq, fact.ordinal)


def by_rank(matches: Sequence[Match]) -> list[Match]:
    """Matches as they are shown: the most trusted first, among equals those that fit best."""
    return sorted(matches, key=lambda match: -rank_of(match.fact.kind))
