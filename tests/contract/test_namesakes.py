"""Two people of one first name, on every store."""

from __future__ import annotations

import pytest

from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.triples import Source

NS = ("memllm", "ada")
ADA = Source("user", "chat-1", "ada")
Rows = list[tuple[str, str, str]]

SISTER: Rows = [("Anna", "sister of", "user"), ("Anna", "works for", "Acme")]


@pytest.fixture
def memory(store: TripleStore) -> Memory:
    return Memory(store)


def jobs(memory: Memory) -> list[tuple[str, str]]:
    return [(fact.triple.object, fact.state) for fact in memory.history("Anna", "works for", namespace=NS)]


@pytest.mark.parametrize(
    "rows",
    [
        [("Anna", "colleague of", "user"), ("Anna", "works for", "Globex")],
        [("Anna", "works for", "Globex"), ("Anna", "colleague of", "user")],
        [("user", "colleague", "Anna"), ("Anna", "works for", "Globex")],
        [("user", "works with", "anna"), ("ANNA", "works for", "Globex")],
    ],
    ids=str,
)
def test_another_anna_contests(memory: Memory, rows: Rows) -> None:
    """bugs 3.19: both stand, and the outcome says what to do."""
    memory.write(SISTER, namespace=NS, source=ADA)
    receipt = memory.write(rows, namespace=NS, source=ADA)
    assert jobs(memory) == [("Acme", "contested"), ("Globex", "contested")]
    (hint,) = [outcome.reason for outcome in receipt if outcome.contests]
    assert "another person of that name" in (hint or "")
    assert "alias" in (hint or "")
    memory.write([("Anna", "works for", "Globex")], namespace=NS, source=ADA)  # it is the same person
    assert jobs(memory) == [("Acme", "past"), ("Globex", "current")]


@pytest.mark.parametrize(
    "rows",
    [
        [("Anna", "works for", "Globex")],
        [("Anna", "sister of", "user"), ("Anna", "works for", "Globex")],
        [("user", "sister", "Anna"), ("Anna", "works for", "Globex")],
        [("user", "sibling", "Anna"), ("Anna", "works for", "Globex")],
        [("user", "likes", "Anna"), ("Anna", "works for", "Globex")],
        [("Anna", "sister of", "user"), ("Anna", "colleague of", "user"), ("Anna", "works for", "Globex")],
        [("Bo", "colleague of", "user"), ("Anna", "works for", "Globex")],
    ],
    ids=str,
)
def test_the_same_anna_updates(memory: Memory, rows: Rows) -> None:
    memory.write(SISTER, namespace=NS, source=ADA)
    memory.write(rows, namespace=NS, source=ADA)
    assert jobs(memory) == [("Acme", "past"), ("Globex", "current")]


def test_who_was_not_known_to_the_speaker_updates(memory: Memory) -> None:
    memory.write([("Anna", "works for", "Acme"), ("user", "likes", "Anna")], namespace=NS, source=ADA)
    rows = [("Anna", "colleague of", "user"), ("Anna", "works for", "Globex")]
    memory.write(rows, namespace=NS, source=ADA)
    assert jobs(memory) == [("Acme", "past"), ("Globex", "current")]
