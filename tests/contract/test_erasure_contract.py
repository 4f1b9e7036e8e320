"""What forgetting leaves in caches, files and logs; what it leaves in a store is in ``testing.rules.forgetting``."""

from __future__ import annotations

from pathlib import Path

import pytest

from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore

NS = ("memllm", "ada")


@pytest.fixture
def memory(store: TripleStore) -> Memory:
    return Memory(store)


def test_purging_says_what_a_server_keeps(memory: Memory) -> None:
    """redteam row 16: Neo4j's transaction log keeps the name, whatever a client does."""
    memory.write([("Canary", "likes", "tea")], namespace=NS)
    notes = memory.forget(name="Canary", namespace=NS, purge=True).notes
    assert [("transaction log" in note) for note in notes] == ([] if not memory.store.shared else [True])


def test_caches_of_names_are_emptied(memory: Memory) -> None:
    """redteam row 16: the embedder's cache kept forgotten names."""
    memory.write([("Canary", "likes", "tea")], namespace=NS)
    memory.recall("What does Canary like?", namespace=NS)
    assert any("Canary" in text for text in memory.vectors._cache)
    memory.forget(name="Canary", namespace=NS)
    assert not any("canary" in text.casefold() for text in memory.vectors._cache)


def test_after_a_purge_no_byte_is_left(tmp_path: Path) -> None:
    """R7, as printed."""
    memory = Memory(tmp_path / "m.db")
    memory.write([("Canary", "likes", "gin")], namespace=NS, op_id="message of Canary")
    memory.forget(name="Canary", namespace=NS, purge=True)
    memory.close()
    assert b"canary" not in (tmp_path / "m.db").read_bytes().lower()
