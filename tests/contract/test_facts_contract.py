"""What is stored is listed alike on every store."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_memllm import MemLLMMemory, Source, Statement
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing import FakeEmbedder


@pytest.fixture
def memory(store: TripleStore) -> MemLLMMemory:
    made = MemLLMMemory(store, embedder=FakeEmbedder(), require_user=False)
    made.write([("Ada", "lives in", "Oslo"), ("Ada", "likes", "tea"), ("Ada", "date of birth", "1815")])
    made.write([("Ada", "lives in", "Bergen")])
    made.write([("Bob", "likes", "tea"), Statement("Bob", "works for", "Acme", valid_to="2001")], source=NOTES)
    made.write([("Ada", "likes", "milk")], user_id="bob")
    made.alias("Ada", "Countess")
    return made


NOTES = Source("document", "notes.md")


@pytest.mark.parametrize(
    ("given", "objects"),
    [
        ({}, ["tea", "1815", "Bergen", "tea"]),
        ({"state": "past"}, ["Oslo", "Acme"]),
        ({"state": "all"}, ["Oslo", "tea", "1815", "Bergen", "tea", "Acme"]),
        ({"subject": "COUNTESS"}, ["tea", "1815", "Bergen"]),
        ({"subject": "Ada", "relation": "resides in", "state": "all"}, ["Oslo", "Bergen"]),
        ({"relation": "likes", "object": "Tea"}, ["tea", "tea"]),
        ({"object": "1815"}, ["1815"]),
        ({"source": "notes.md"}, ["tea"]),
        ({"source": NOTES, "state": "all"}, ["tea", "Acme"]),
        ({"source": Source("web", "notes.md")}, []),
        ({"subject": "Nobody"}, []),
        ({"user_id": "bob"}, ["milk"]),
        ({"limit": 2, "offset": 1}, ["1815", "Bergen"]),
    ],
    ids=str,
)
def test_facts_are_listed(memory: MemLLMMemory, given: dict[str, Any], objects: list[str]) -> None:
    """Friction 1: nothing showed what is stored."""
    assert [fact.triple.object for fact in memory.facts(**given)] == objects
