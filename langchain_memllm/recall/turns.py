"""Which turns answer a question in plain words: one ranking of what was said, for every store.

A turn is short and leans on what is beside it ("Yes, last week"), so it is found by the words of the turns before and
after it as well, by who spoke and by its day: BM25 over weighted fields (Robertson and Zaragoza, 2009). Pure; knows no
store.

Weights were chosen on the first three conversations of part a of LoCoMo and on BEAM's chats of the tier 100K; when a
newer turn stands above an older one, on the first five of these chats.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from langchain_memllm.factindex import MAX_READ, rarity, stems_of
from langchain_memllm.stores.episodes import SYMBOL, Turn

__all__ = ["TurnPool", "keyword_shares", "newer_first", "rank_by_words", "turn_words"]

_K1: Final = 1.2  # how soon a word that is repeated counts no more
_B: Final = 0.75  # how much a long turn is marked down
_BEFORE: Final = 0.7  # what a word counts in the turn before
_AFTER: Final = 0.4  # and in the one after
_SYMBOL: Final = re.compile(SYMBOL)
_NEWER: Final = 5  # of so many of the best, a newer turn may stand above an older one
_SAYS: Final = 0.5  # keywords of the question that the older one says, of which the newer one says most, too
_MOST_OF: Final = 0.6
_NOW: Final = re.compile(
    r"(?:what(?:'s| is| are)|how (?:many|much|long|old|often|far)|which|who(?:'s| is| are)|where(?:'s| is| are))\b"
)
_THEN: Final = re.compile(
    r"\b(?:did|was|were|had|before|ever|first|initial|initially|original|originally|order|when|since|between|changed?|"
    r"changes)\b"
)
_SHORT: Final = 30  # words up to which a turn needs those beside it; with more it needs them less


@dataclass(frozen=True, slots=True)
class TurnPool:
    """Turns that were looked up, and the places of those before and after some of them."""

    turns: Mapping[int, Turn]
    beside: Mapping[int, tuple[int | None, int | None]] = field(default_factory=dict)


def turn_words(text: str) -> list[str]:
    """What a text is ranked by: its words by their stems, and its symbols."""
    return [*stems_of(text), *_SYMBOL.findall(text[:MAX_READ])]


def rank_by_words(held: Mapping[str, int], pool: TurnPool, total: int) -> list[int]:
    """Places of the turns that say some of these words, or stand beside one that does, best first.

    Args:
        held: How many turns of the memory say each keyword of the question (``turn_words``), about.
        pool: The turns.
        total: How many turns the memory has, about.
    """
    said = {place: turn_words(turn.text) for place, turn in pool.turns.items()}
    rarities = {stem: rarity(count, total) for stem, count in held.items()}
    frequencies: dict[int, dict[str, float]] = {}
    lengths: dict[int, float] = {}
    for place, parts in _parts(pool, said).items():
        counts: dict[str, float] = defaultdict(float)
        for weight, words in parts:
            for stem in words:
                if stem in rarities:
                    counts[stem] += weight
        frequencies[place] = counts
        lengths[place] = sum(weight * len(words) for weight, words in parts)
    mean = sum(lengths.values()) / max(len(lengths), 1)
    scores = {
        place: sum(
            rarities[stem] * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * lengths[place] / mean))
            for stem, count in counts.items()
        )
        for place, counts in frequencies.items()
        if counts
    }
    return sorted(scores, key=lambda place: (-round(scores[place], 6), -place))


def newer_first(query: str, turns: Sequence[Turn], keywords: Collection[str]) -> list[int]:
    """The order of turns, given the best first, where a question asks for what holds now: "What is my deadline?".

    A value that changed is said twice. Of the first five a newer turn stands above an older one that says half of the
    question, if it says most of that, too. Questions in English only are known to ask for it, by their first words.

    Args:
        query: The question.
        turns: The turns, the best first.
        keywords: Of the question (``turn_words``).
    """
    asked = query.strip().casefold()
    order = list(range(len(turns)))
    if not keywords or not _NOW.match(asked) or _THEN.search(asked):
        return order
    said = [frozenset(keywords) & frozenset(turn_words(turn.text)) for turn in turns[:_NEWER]]
    since = [(turn.at, turn.place) for turn in turns[:_NEWER]]
    least = _SAYS * len(keywords)
    first: list[int] = []
    for each in order[:_NEWER]:
        older = (
            place
            for place, other in enumerate(first)
            if turns[each].kind == turns[other].kind  # a page says nothing newer of what a person said
            and since[each] > since[other]
            and len(said[other]) >= least
            and len(said[each] & said[other]) >= _MOST_OF * len(said[other])
        )
        first.insert(next(older, len(first)), each)
    return [*first, *order[_NEWER:]]


def keyword_shares(held: Mapping[str, int], turns: Iterable[Turn], total: int) -> list[float]:
    """How much of a question each turn says itself, from 0 to 1, rare words counting more.

    Args:
        held: How many turns of the memory say each word of the question, about.
        turns: The turns.
        total: How many turns the memory has, about.
    """
    rarities = {stem: rarity(count, total) for stem, count in held.items()}
    sought = sum(rarities.values())
    words = ({*turn_words(turn.text), *_speaker_and_day(turn)} for turn in turns)
    return [sum(rarities[stem] for stem in rarities.keys() & said) / sought if sought else 0.0 for said in words]


def _speaker_and_day(turn: Turn) -> list[str]:
    return stems_of(f"{turn.speaker or ''} {turn.at[:10]}")


def _parts(pool: TurnPool, said: Mapping[int, Sequence[str]]) -> dict[int, list[tuple[float, Sequence[str]]]]:
    """What each turn is found by: its words, its speaker and its day, and less the words beside it."""
    parts: dict[int, list[tuple[float, Sequence[str]]]] = {
        place: [(1.0, words), (1.0, _speaker_and_day(pool.turns[place]))] for place, words in said.items()
    }
    for first, second in _pairs(pool):
        need = min(1.0, _SHORT / max(len(said[first]), len(said[second]), 1))
        parts[second].append((_BEFORE * need, said[first]))
        parts[first].append((_AFTER * need, said[second]))
    return parts


def _pairs(pool: TurnPool) -> set[tuple[int, int]]:
    """Places of turns one of which follows the other."""
    pairs = set()
    for place, (before, after) in pool.beside.items():
        for first, second in ((before, place), (place, after)):
            if first is not None and second is not None and first in pool.turns and second in pool.turns:
                pairs.add((first, second))
    return pairs
