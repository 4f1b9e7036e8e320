"""What forgetting leaves on every store: nothing of it, and what it cannot remove it tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from neo4j import Driver

from langchain_memllm.belief import Quarantined
from langchain_memllm.extraction import ChatExtractor
from langchain_memllm.memory import Memory
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.testing import ScriptedModel, tool_call
from langchain_memllm.triples import Source, operation_key

NS = ("memllm", "ada")
WEB = Source("web", "w")
ADA = Source("user", "chat", "ada")


@pytest.fixture
def memory(store: TripleStore) -> Memory:
    return Memory(store)


def texts(memory: Memory, request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything the store keeps, as texts: every column of every table, every property of the graph."""
    if isinstance(memory.store, EmbeddedStore):
        with memory.store._db.read() as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                yield from (str(row) for row in connection.execute(f"SELECT * FROM {table}"))
    else:
        driver: Driver = request.getfixturevalue("neo4j_driver")
        for query in ("MATCH (n) RETURN properties(n)", "MATCH ()-[v]->() RETURN properties(v)"):
            yield from (str(record.values()) for record in driver.execute_query(query).records)


def left(memory: Memory, request: pytest.FixtureRequest, name: str) -> list[str]:
    return [text for text in texts(memory, request) if name.casefold() in text.casefold()]


def test_r7_nothing_is_left_in_receipts_operations_and_quarantine(
    memory: Memory, request: pytest.FixtureRequest
) -> None:
    """redteam row 16, R7: the value in a reason, the op_id, the quarantine beside a fact."""
    reply = tool_call("record_facts", facts=[{"subject": "Canary\x07", "relation": "likes", "object": "tea"}])
    found = ChatExtractor(ScriptedModel(script=[reply])).extract("Canary likes tea.", source=WEB)
    memory.write(found.statements, namespace=NS, source=WEB, quarantine=found.quarantine)
    memory.write([("Canary", "likes", "gin")], namespace=NS, source=ADA, op_id="message of Canary")
    beside = Quarantined("She also drinks", "it is cut off", ADA)
    memory.write([("Canary", "likes", "rum")], namespace=NS, source=ADA, quarantine=[beside])
    memory.write([("Bob", "likes", "ale")], namespace=NS, source=ADA, quarantine=[beside])
    memory.forget(source="w", namespace=NS)
    erased = memory.forget(name="Canary", namespace=NS)
    assert erased.quarantined == 1
    assert left(memory, request, "Canary") == []
    assert [piece.text for piece in memory.quarantined(namespace=NS)] == ["She also drinks"]
    assert memory.read("Bob", "likes", namespace=NS).answers == ("ale",)


def test_reasons_of_others_go_with_what_they_quote(memory: Memory, request: pytest.FixtureRequest) -> None:
    """redteam row 16: whoever quarantines may quote; the receipt does not keep it."""
    piece = Quarantined("she likes tea", "Canary is not a thing", WEB)
    memory.write([("Bob", "likes", "ale")], namespace=NS, op_id="one", quarantine=[piece])
    assert memory.forget(name="Canary", namespace=NS).quarantined == 1
    assert left(memory, request, "Canary") == []
    receipt = memory.receipt("one", namespace=NS)
    assert receipt is not None
    assert [outcome.status for outcome in receipt] == ["stored", "quarantined"]


def test_the_name_of_an_operation_is_kept_as_a_hash(memory: Memory, request: pytest.FixtureRequest) -> None:
    """redteam row 16: delivered again it is recognised, by the caller's name and by the kept one."""
    first = memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="message of Canary")
    assert first.op_id == "message of Canary"
    again = memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="message of Canary")
    assert (again.replayed, again.op_id, again.seq) == (True, "message of Canary", first.seq)
    kept = operation_key("message of Canary")
    for name in ("message of Canary", kept):
        receipt = memory.receipt(name, namespace=NS)
        assert receipt is not None
        assert (receipt.op_id, receipt.seq) == (name, first.seq)
    assert left(memory, request, "Canary") == []
    assert [r["op_id"] for r in memory.export(namespace=NS) if r["type"] == "operation"] == [kept]


def test_what_waits_remembers_what_was_forgotten_only_as_a_hash(memory: Memory, request: pytest.FixtureRequest) -> None:
    """redteam row 16: the marks of an outbox entry, and its name, held the forgotten one."""
    entry = OutboxEntry("about Canary", "Canary likes tea. Bob likes ale.", ("user: Canary is here",), ADA)
    memory.put_outbox([entry], namespace=NS)
    memory.forget(name="Canary", namespace=NS)
    assert left(memory, request, "Canary") == []
    (waiting,) = memory.outbox(namespace=NS)
    assert waiting.text.strip() == "Bob likes ale."
    assert waiting.excludes("canary", "likes", "tea")
    assert not waiting.excludes("bob", "likes", "ale")
    receipt = memory.write(
        [("Canary", "likes", "tea"), ("Bob", "likes", "ale")],
        namespace=NS,
        source=ADA,
        op_id=waiting.op_id,
        entry=waiting,
    )
    assert [outcome.status for outcome in receipt] == ["stored", "forgotten"] or [
        outcome.status for outcome in receipt
    ] == ["forgotten", "stored"]


def test_sources_that_hold_a_forgotten_name_are_told(memory: Memory) -> None:
    """redteam row 16: a source of others is not erased, so whoever forgets is told of it."""
    page = Source("web", "https://example.org/Canary", "canary")
    memory.write([("Bob", "likes", "ale")], namespace=NS, source=page)
    memory.write([("Canary", "likes", "tea")], namespace=NS, source=ADA)
    erased = memory.forget(name="Canary", namespace=NS)
    assert erased.named_in == ("principal canary", "web https://example.org/Canary")
    assert json.loads(json.dumps(erased.as_dict()))["named_in"] == list(erased.named_in)
    assert memory.forget(name="Bob", namespace=NS).named_in == ()


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
