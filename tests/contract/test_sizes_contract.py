"""Big inputs on every store: what a flood costs is bounded, and nothing is lost by reading in parts."""

from __future__ import annotations

import pytest

from langchain_memllm import MemLLMMemory, Source, Statement
from langchain_memllm.belief import MAX_OPEN, MAX_SLOT
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores import embedded, neo4j
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import MAX_PRINCIPAL, MAX_RIVALS, MAX_SENTENCE

PAGE = Source("document", "page.txt")


@pytest.fixture
def memory(store: TripleStore) -> MemLLMMemory:
    return MemLLMMemory(store, embedder=FakeEmbedder(), namespace=("n",))


def test_a_flood_fills_no_slot(memory: MemLLMMemory) -> None:
    """redteam row 10: a page of 200 values; what it may not have is told, and the person settles it with one word."""
    memory.write([("Ada", "lives in", "Oslo")])
    receipt = memory.write([("Ada", "lives in", f"Town {n}") for n in range(200)], source=PAGE)
    assert (receipt.count("stored"), receipt.count("rejected")) == (MAX_OPEN - 1, 200 - MAX_OPEN + 1)
    last = receipt.stored[-1]
    assert (len(last.contests), last.contested) == (MAX_RIVALS, MAX_OPEN - 1)
    assert "state the one that holds" in (receipt.outcomes[-1].reason or "")
    found = memory.read("Ada", "lives in")
    assert (found.answers[0], found.matches[0].fact.state, found.truncated) == ("Oslo", "contested", True)
    settled = memory.write([("Ada", "lives in", "Bergen")]).outcomes[0]
    assert (settled.superseded, len(settled.supersedes)) == (MAX_OPEN, MAX_RIVALS)
    assert [(m.answer, m.fact.state) for m in memory.read("Ada", "lives in")] == [("Bergen", "current")]


def test_what_a_receipt_counts_survives_the_store_and_forgetting(memory: MemLLMMemory) -> None:
    memory.write([("Ada", "lives in", f"Town {n}") for n in range(40)], source=PAGE)
    memory.write([("Ada", "lives in", "Oslo")], op_id="settled")
    kept = memory.receipt("settled")
    assert kept is not None and (kept.outcomes[0].superseded, len(kept.outcomes[0].supersedes)) == (40, MAX_RIVALS)
    memory.forget(fact_id=kept.outcomes[0].supersedes[0])
    less = memory.receipt("settled")
    assert less is not None and (less.outcomes[0].superseded, len(less.outcomes[0].supersedes)) == (39, MAX_RIVALS - 1)


def test_a_slot_of_an_older_file_with_more(memory: MemLLMMemory, store: TripleStore) -> None:
    """A write looks at the best of them, and always at the value that it states itself."""
    values = [f"Town {n}" for n in range(MAX_SLOT + 20)]
    memory.write([("Ada", "lives in", value) for value in values], source=PAGE, policy="paper")
    assert memory.write([("Ada", "lives in", values[0])], source=PAGE).outcomes[0].status == "already"
    assert memory.write([("Ada", "lives in", "Rome")], source=PAGE).outcomes[0].status == "rejected"
    assert memory.write([("Ada", "lives in", "Oslo")]).outcomes[0].superseded == MAX_SLOT
    assert memory.read("Ada", "lives in").answers[0] == "Oslo"
    assert memory.write([("Ada", "lives in", "Oslo")]).outcomes[0].superseded == 20
    assert memory.read("Ada", "lives in").answers == ("Oslo",)


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


def test_limits_of_what_is_kept_with_every_fact(memory: MemLLMMemory) -> None:
    """redteam §2 A25: sentences and principals had none; 20 MB were stored."""
    with pytest.raises(ConfigurationError, match=f"principal of {MAX_PRINCIPAL + 1} characters; at most"):
        memory.write([("a", "likes", "b")], source=Source("user", principal="p" * (MAX_PRINCIPAL + 1)))
    with pytest.raises(ConfigurationError, match="text of 65537 characters"):
        memory.write([("a", "likes", "b")], source=Source("user", text="t" * (MAX_SENTENCE + 1)))
    receipt = memory.write([Statement("a", "likes", "b", text="t" * (MAX_SENTENCE + 1)), ("a", "likes", "c")])
    assert [outcome.status for outcome in receipt] == ["rejected", "stored"]
    assert memory.write([Statement("a", "likes", "b", text="t" * MAX_SENTENCE)]).outcomes[0].status == "stored"
