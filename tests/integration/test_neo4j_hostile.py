"""A graph that somebody else wrote to: typed errors, and a check that names the label (redteam row 18, R9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import IndexConfig
from neo4j import Driver
from neo4j.exceptions import ClientError

from langchain_memllm.adapters.store import MemLLMStore
from langchain_memllm.belief import Quarantined
from langchain_memllm.errors import MemLLMError
from langchain_memllm.memory import Memory
from langchain_memllm.stores import cypher
from langchain_memllm.stores.episodes import Turn, TurnFilter
from langchain_memllm.stores.interface import Selection
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.triples import Source

pytestmark = pytest.mark.neo4j

NS = ("memllm", "ada")
ME = Source("user", "chat", "ada", "Ada lives in Oslo.", (0, 18), 1)
TURN, GONE = (
    Turn(Turn.named("thread", message), "thread", "Ada lives in Oslo.", at="2026-03-01T10:00:00.000000+00:00", ref=ref)
    for message, ref in (("1", "thread/1"), ("2", "thread/2"))
)
VERBS: dict[str, Callable[[Memory], Any]] = {
    "read": lambda m: str(m.read("Ada", "lives in", namespace=NS).matches),
    "any": lambda m: str(m.read("Ada", None, namespace=NS).matches),
    "similar": lambda m: str(m.read("Adas", "lives in", namespace=NS).matches),
    "at": lambda m: str(m.read("Ada", "lives in", namespace=NS, at="2030-01-01").matches),
    "recall": lambda m: str(m.recall("Where does Ada live?", namespace=NS).matches),
    "history": lambda m: str(m.history("Ada", namespace=NS)),
    "stats": lambda m: m.stats(namespace=NS),
    "quarantined": lambda m: m.quarantined(namespace=NS),
    "outbox": lambda m: m.outbox(namespace=NS),
    "receipt": lambda m: m.receipt("one", namespace=NS),
    "turns": lambda m: str(m.store.turns.select(NS, TurnFilter(role="planner"))),
    "episodes": lambda m: str(m.store.turns.episodes(NS)),
    "words said": lambda m: str(m.store.turns.matching(NS, ["oslo"], phrase=True)),
    "codes": lambda m: (m.store.turns.codes(NS, 0), m.store.turns.epoch(NS)),
    "grants": lambda m: m.store.turns.grants(NS),
    "namespaces": lambda m: m.store.namespaces(),
    "item": lambda m: items(m).get(("notes", "ada"), "k", refresh_ttl=False),
    "items": lambda m: items(m).search(("notes",), filter={"n": {"$gt": 1}}, refresh_ttl=False),
    "items like": lambda m: items(m).search(("notes",), query="oslo", refresh_ttl=False),
    "item namespaces": lambda m: items(m).list_namespaces(),
    "export": lambda m: str(list(m.export(namespace=NS))),
    "write": lambda m: m.write([("Ada", "lives in", "Bonn")], namespace=NS, source=ME),
    "forget": lambda m: m.forget(name="Ada", namespace=NS),
}


def items(memory: Memory) -> MemLLMStore:
    index: IndexConfig = {"dims": 2, "embed": lambda texts: [[1.0, float("oslo" in text)] for text in texts]}
    return MemLLMStore(memory.store, index=index)


def fill(store: Neo4jStore) -> None:
    memory = Memory(store)
    memory.write([("Ada", "lives in", "Oslo"), ("Ada", "password", "x1")], namespace=NS, source=ME, op_id="one")
    piece = Quarantined("Ada >>", "cut off", ME)
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ME, quarantine=[piece])
    memory.alias("Ada", "Ada Lovelace", namespace=NS)
    memory.put_outbox([OutboxEntry("two", "Ada likes tea.", source=ME)], namespace=NS, turns=[TURN, GONE])
    memory.store.turns.grant(NS, "planner", [""])
    items(memory).put(("notes", "ada"), "k", {"text": "oslo", "n": 3}, ttl=60)
    memory.store.erase(NS, Selection(source=(None, GONE.ref)))
    assert memory.verify() == []


OF_ITS_OWN = "MATCH (x:{label}) WHERE coalesce(x.name, '') <> 'schema' WITH x ORDER BY elementId(x) LIMIT 1 "


@pytest.mark.parametrize("label", sorted(cypher.FOREIGN))
def test_a_node_of_other_types_is_told_and_never_a_raw_error(
    label: str, neo4j_store: Neo4jStore, neo4j_driver: Driver
) -> None:
    """redteam row 18: every property of every label that something reads, of another type or missing."""
    fill(neo4j_store)
    first = OF_ITS_OWN.replace("{label}", label)
    properties: dict[str, Any] = neo4j_driver.execute_query(first + "RETURN properties(x) AS p").records[0]["p"]
    told: list[str] = []
    cases = 0
    for key in sorted(
        properties.keys() - {"embedding", "code", "lock", "text"} - ({"name"} if label == "MemMeta" else set())
    ):
        for value in ([7], None):
            try:
                neo4j_driver.execute_query(first + "SET x[$key] = $value", key=key, value=value)
            except ClientError:  # a constraint refuses it
                continue
            cases += 1
            told += [f"{key} {value}: {each}" for each in used(neo4j_store, READING)]
            neo4j_driver.execute_query(first + "SET x[$key] = $value", key=key, value=properties[key])
            assert Memory(neo4j_store).verify() == [], (key, value)
    neo4j_driver.execute_query(first + "SET x[$key] = $value", key=sorted(properties)[0], value=[7])
    told += used(neo4j_store, WRITING)
    assert (told, cases > 0) == ([], True)


@pytest.mark.parametrize("key", ["ns", "ordinal", "said", "seq", "words"])
def test_evidence_of_other_types_is_told_and_never_a_raw_error(
    key: str, neo4j_store: Neo4jStore, neo4j_driver: Driver
) -> None:
    Memory(neo4j_store).write(
        [("Ada", "lives in", "Oslo")], namespace=NS, source=Source("user", "chat", "ada", "Ada moved there.")
    )
    assert Memory(neo4j_store).verify() == []
    for value in (["x"], "four", [1, 2, 3], None):
        if (key, value) != ("said", None):  # a sentence that says nothing more has none
            neo4j_driver.execute_query("MATCH ()-[m:MEM_FROM]->() SET m[$key] = $value", key=key, value=value)
            assert "relationships of type MEM_FROM" in str(Memory(neo4j_store).verify()), value
            assert used(neo4j_store, READING) == []


def used(store: Neo4jStore, verbs: dict[str, Callable[[Memory], Any]]) -> list[str]:
    """Call every verb; what is wrong with how one ends."""
    store._indexes.drop(NS)
    store._recall.drop(NS)
    store._relations.clear()
    memory, refused, told = Memory(store), "", []
    try:
        found = memory.verify()
    except MemLLMError:
        found = ["refused"]
    for name, verb in verbs.items():
        try:
            verb(memory)
        except MemLLMError:
            refused = refused or name
        except Exception as error:
            told.append(f"{name} ended in {error!r}"[:150])
    return told + ([f"{refused} failed and the check finds nothing"] if refused and not found else [])


READING = {name: verb for name, verb in VERBS.items() if name not in ("write", "forget")}
WRITING = {name: verb for name, verb in VERBS.items() if name in ("write", "forget")}
