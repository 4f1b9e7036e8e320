"""Big inputs on every store: what a flood costs is bounded, and nothing is lost by reading in parts."""

from __future__ import annotations

import pytest

from langchain_memllm import MemLLMMemory, Source
from langchain_memllm.stores import embedded, neo4j
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing import FakeEmbedder

PAGE = Source("document", "page.txt")


@pytest.fixture
def memory(store: TripleStore) -> MemLLMMemory:
    return MemLLMMemory(store, embedder=FakeEmbedder(), namespace=("n",))


@pytest.mark.parametrize("page", [1, 3, 7, 20])
def test_a_long_history_is_the_same_however_it_is_paged(
    memory: MemLLMMemory, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """redteam §2 A25: the history of 100,000 facts took 16 s, because each page looked for all of them again."""
    memory.write([("Ada", "likes", f"tea {n}") for n in range(7)])
    memory.write([("Bo", "likes", "Ada"), ("Ada", "knows", "Bo")])
    memory.write([("Ada", "likes", f"ale {n}") for n in range(6)])
    memory.retract(("Ada", "likes", "tea 3"))
    whole = memory.history("Ada")
    assert len(whole) == 14 and [fact.seq for fact in whole] == sorted(fact.seq for fact in whole)
    liked = memory.facts(object="Ada") + memory.facts("Ada", "likes")
    for store, size in ((embedded, "_PAGE"), (neo4j, "_PAGE")):
        monkeypatch.setattr(store, size, page)
    monkeypatch.setattr(embedded, "_PAGED", embedded._PAGED.replace("LIMIT 2000", f"LIMIT {page}"))
    assert memory.history("Ada") == whole
    assert memory.facts(object="Ada") + memory.facts("Ada", "likes") == liked
