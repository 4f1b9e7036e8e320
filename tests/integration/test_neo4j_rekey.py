"""A graph of version 0.1 is brought to the present rules: as a file of it is, and wherever the work is cut off."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest
from neo4j import Driver

from langchain_memllm.memory import Memory
from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Source
from tests.old_store import BOB, KARI, content, fill, old_file, old_rules, put_old_graph

pytestmark = pytest.mark.neo4j

BEFORE = 3
"""The number of the schema before names were brought to the present rules."""


Open = Callable[[], Neo4jStore]


@pytest.fixture
def opened(neo4j_server: LocalServer) -> Iterator[Open]:
    """A way to open the graph; every store is closed afterwards."""
    made: list[Neo4jStore] = []

    def store() -> Neo4jStore:
        auth = (neo4j_server.user, neo4j_server.password)
        made.append(Neo4jStore(neo4j_server.uri, auth=auth, deadline=120.0))
        return made[-1]

    yield store
    for each in made:
        each.close()


@pytest.fixture
def old_graph(neo4j_store: Neo4jStore, neo4j_driver: Driver) -> None:
    with old_rules(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("langchain_memllm.memory.operation_key", lambda op_id: op_id)
        fill(Memory(neo4j_store))
    neo4j_driver.execute_query("MATCH (m:MemMeta {name: 'schema'}) SET m.value = $n", n=str(BEFORE))


def migrated_file(tmp_path: pathlib.Path) -> EmbeddedStore:
    return EmbeddedStore(old_file(tmp_path / "memllm.db"))


@pytest.mark.usefixtures("old_graph")
def test_a_graph_becomes_what_a_file_becomes(opened: Open, neo4j_driver: Driver, tmp_path: pathlib.Path) -> None:
    """bugs 3.9, 3.10: one name, one key, and twins are one relation, also for what was stored before."""
    store, file = opened(), migrated_file(tmp_path)
    for namespace in (KARI, BOB):
        assert content(store, namespace) == content(file, namespace)
    assert Memory(store).verify() == []
    named = neo4j_driver.execute_query("MATCH (p:MemOp) RETURN p.op_id").records
    assert all(len(row[0]) == 32 for row in named)  # redteam row 16: hashes
    assert Memory(store).receipt("op-3", namespace=KARI)
    left = neo4j_driver.execute_query("MATCH (n) WHERE n.was IS NOT NULL RETURN count(n)").records[0][0]
    assert left == 0
    memory = Memory(store)
    assert memory.read("O'Brien", "lives in", namespace=KARI).answers == ("Bergen", "Oslo")
    assert memory.read("Obie", "works for", namespace=KARI).answers == ("Equinor",)
    assert memory.read("Jose", "lives in", namespace=KARI).matches[0].how == "similar"
    assert "Ada" in {match.fact.triple.subject for match in memory.recall("Was it istanbul?", namespace=KARI)}
    assert memory.forget(name="O'Brien", namespace=KARI).quarantined == 1
    assert not memory.read("O’Brien", "likes", namespace=KARI)
    assert memory.verify() == []


def test_a_graph_of_the_first_neo4j_store_is_opened_with_its_history(
    opened: Open, neo4j_store: Neo4jStore, neo4j_driver: Driver, tmp_path: pathlib.Path
) -> None:
    """Issue 20: what commit c886b32 wrote, the oldest that has this store."""
    put_old_graph(neo4j_driver, "c886b32")
    store, file = opened(), EmbeddedStore(old_file(tmp_path / "memllm.db", "421ecb1"))
    for namespace in (KARI, BOB):
        assert content(store, namespace) == content(file, namespace)
    memory = Memory(store)
    assert memory.verify() == []
    ended = [fact.triple.object for fact in memory.history("O'Brien", namespace=KARI) if fact.closed_why == "retracted"]
    assert ended == ["Nice"]
    memory.write([("O'Brien", "lives in", "Rome")], namespace=KARI, source=Source("user", "chat", "kari"))
    assert memory.read("O’Brien", "lives in", namespace=KARI).answers == ("Rome",)


@pytest.mark.usefixtures("old_graph")
def test_a_migration_that_is_cut_off_anywhere_is_finished_by_the_next(
    opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Issue 19, bad input: a migration killed in the middle, after every single transaction of it."""
    file = migrated_file(tmp_path)
    write = Bolt.write
    cut = 0
    while True:
        left = cut  # one transaction more each time

        def one_more(self: Bolt, work: object, *, within: float | None = None) -> object:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return write(self, work, within=within)  # type: ignore[arg-type]

        monkeypatch.setattr(Bolt, "write", one_more)
        try:
            store = opened()
            break
        except KeyboardInterrupt:
            cut += 1
            assert cut < 200
        finally:
            monkeypatch.setattr(Bolt, "write", write)
    assert cut > 8
    for namespace in (KARI, BOB):
        assert content(store, namespace) == content(file, namespace)
    assert Memory(store).verify() == []
    assert cypher.schema_version() >= BEFORE + 1
