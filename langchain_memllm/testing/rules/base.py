"""What all rules share: the fixtures that a subclass overrides, the people who speak, and short forms of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, TypeAlias

import pytest

from langchain_memllm.memory import Memory, Thresholds
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.triples import Fact, Match, Receipt, Source

__all__ = [
    "ADA",
    "BOB",
    "DOCUMENT",
    "LOOSE",
    "NS",
    "OTHER",
    "WEB",
    "AtDay",
    "StoreRules",
    "shown",
    "states",
    "statuses",
]

NS: Final = ("memllm", "ada")
OTHER: Final = ("memllm", "bob")
ADA: Final = Source("user", "chat-1", "ada")
BOB: Final = Source("user", "chat-2", "bob")
DOCUMENT: Final = Source("document", "notes.md")
WEB: Final = Source("web", "example.org")
LOOSE: Final = Thresholds(0.5, 0.5, 0.5)


AtDay: TypeAlias = Callable[[str], Memory]
"""Gives the memory with its clock set to a day."""


class StoreRules:
    """The fixtures of a contract of stores; a subclass overrides ``store``, and ``kept_texts`` if it can."""

    @pytest.fixture
    def store(self) -> TripleStore:
        """The store under test, empty; override it in your test class."""
        raise NotImplementedError(
            f"{type(self).__name__} has no store to test; override its fixture `store` so that it yields an empty one"
        )

    @pytest.fixture
    def memory(self, store: TripleStore) -> Memory:
        """A memory in the store, with the default embedder."""
        return Memory(store)

    @pytest.fixture
    def at_day(self, store: TripleStore) -> AtDay:
        """A memory whose clock is set by hand."""
        clock = {"now": ""}
        memory = Memory(store, clock=lambda: datetime.fromisoformat(clock["now"]).replace(tzinfo=UTC))

        def on(day: str) -> Memory:
            clock["now"] = day
            return memory

        return on

    @pytest.fixture
    def kept_texts(self, store: TripleStore) -> Callable[[], Iterable[str]]:
        """Gives all that the store keeps, as texts; override it so that forgetting is tested to the last byte."""
        pytest.skip("the fixture `kept_texts` is not overridden: what the store keeps is not looked through")


def statuses(receipt: Receipt) -> list[str]:
    """What became of each statement."""
    return [outcome.status for outcome in receipt]


def shown(facts: Iterable[Fact | Match]) -> list[tuple[str, ...]]:
    """Subject, relation and object of each."""
    return [tuple(fact.triple) for fact in facts]


def states(memory: Memory, subject: str) -> list[tuple[str, str]]:
    """Object and state of all that is known of a subject, the oldest first."""
    return [(fact.triple.object, fact.state) for fact in memory.history(subject, namespace=NS)]
