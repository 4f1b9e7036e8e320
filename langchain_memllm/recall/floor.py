"""What says enough of a question to be shown: a question that nothing answers recalls nothing.

Each fact has a *support*: the share of the question's keywords that it says, by rarity, and how near its relation and
its names are to what the question means. Pure; knows no store.

Those of words were chosen on ``benchmarks/floor`` (90 questions that facts answer, 158 that nothing answers).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from langchain_memllm.recall.question import Question
from langchain_memllm.triples import name_key

__all__ = ["SENTENCES", "WORDS", "Floor", "Supported", "above_floor"]

_UNSURE: Final = 6  # facts between the two that are shown at most: many that fit a little are noise


@dataclass(frozen=True, slots=True)
class Floor:
    """Which support a fact needs.

    Args:
        least: For any question.
        least_of_asker: The same for a fact about the person who asks, where the question does not ask about them.
        sure: From which on any number of facts is shown.
        least_personal: For a question about the person who asks: it says little of what it is about.
        sure_personal: The same from which on any number is shown.
    """

    least: float
    least_of_asker: float
    sure: float
    least_personal: float
    sure_personal: float


WORDS: Final = Floor(0.5, 0.7, 1.0, 0.2, 0.5)
"""Where support is that of words and names."""
SENTENCES: Final = Floor(0.35, 0.35, 0.35, 0.1, 0.1)
"""Where facts are compared as sentences."""


@dataclass(frozen=True, slots=True)
class Supported:
    """A fact that was found, and what speaks for showing it.

    Args:
        id: The fact's.
        ends: Keys of the names at its ends.
        support: What it says of the question.
        is_named: Whether the question names one of its ends.
        via: The name between it and the fact that a hop led from; None: no hop led to it.
        of_asker: Whether it is about the person who asks.
    """

    id: Any
    ends: tuple[str, str]
    support: float
    is_named: bool = False
    via: str | None = None
    of_asker: bool = False


def above_floor(question: Question, found: Iterable[Supported], floor: Floor = WORDS) -> list[Any]:
    """Ids of the facts that are shown.

    These are what is about a name in the question, what says enough of it, and what is a hop from one of these. A
    question without keywords that names nobody ("and then?") asks nothing.

    Args:
        question: What is asked.
        found: The facts, the best first.
        floor: Which support they need.
    """
    every = list(found)
    least, sure = (floor.least_personal, floor.sure_personal) if question.personal else (floor.least, floor.sure)
    of_asker = 0.0 if question.personal or not question.stems else floor.least_of_asker
    if not question.stems:
        least = sure = 0.0 if question.own else float("inf")  # "Who am I?"
    shown: dict[Any, Supported] = {}
    unsure = 0
    for each in every:
        if each.is_named or each.support >= sure:
            shown[each.id] = each
        elif each.support >= (max(least, of_asker) if each.of_asker else least) and unsure < _UNSURE:
            shown[each.id] = each
            unsure += 1
    hops = [each for each in every if each.via is not None and each.id not in shown]
    names = {key for each in shown.values() for key in each.ends}
    while led := [each for each in hops if each.id not in shown and name_key(each.via or "") in names]:
        shown.update((each.id, each) for each in led)
        names.update(key for each in led for key in each.ends)
    return list(shown)
