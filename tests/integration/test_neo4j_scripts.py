"""A11: random scripts on a file and on Neo4j give the same memory, also after it was copied, and it goes on alike.

CI runs the first 12; ``MEMLLM_SEEDS=500`` runs all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from scripts import Script, opened

from langchain_memllm import transfer
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer

pytestmark = pytest.mark.neo4j

SEEDS = int(os.environ.get("MEMLLM_SEEDS", "12"))
FIRST = int(os.environ.get("MEMLLM_FIRST_SEED", "0"))


@pytest.mark.parametrize("seed", range(FIRST, SEEDS))
def test_both_stores_hold_the_same_also_after_a_copy(
    seed: int,
    neo4j_store: Neo4jStore,
    neo4j_server: LocalServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespaces = [("a11", "one"), ("a11", "two")]
    file, graph = opened(tmp_path / "file.db"), opened(neo4j_store)
    script = Script(seed, [file, graph], namespaces)
    script.run(14, monkeypatch)

    file.close()
    again = Neo4jStore(neo4j_server.uri, auth=(neo4j_server.user, neo4j_server.password), deadline=60.0)
    file, graph = opened(tmp_path / "file.db"), opened(again)
    script.memories = [file, graph]
    script.run(4, monkeypatch)
    script.compare_dumps()

    other = opened(tmp_path / "other.db")
    transfer.copy(graph, other, namespaces=namespaces)
    for namespace in namespaces:
        graph.forget(everything=True, namespace=namespace)
    transfer.copy(file, graph, namespaces=namespaces)
    script.memories = [file, graph, other]
    script.compare()
    script.run(6, monkeypatch)
    script.compare_dumps()
    assert [memory.verify() for memory in script.memories] == [[], [], []]
    for memory in (file, other):
        memory.close()
    again.close()
