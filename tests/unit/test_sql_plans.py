"""How SQLite runs the embedded store's statements: tables are sought by key or index, none is read from end to end."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from langchain_memllm.memory import Memory
from langchain_memllm.stores import embedded, embedded_erase, embedded_hub, embedded_recall, embedded_write
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import FactFilter

TABLES = {"fact", "name", "name_vector", "name_code", "relation", "source", "evidence", "operation"}
TABLES |= {"turn", "t", "episode", "session", "g", "role_scope"}
TABLES |= {"f", "s", "o", "r", "k", "x", "e", "q", "p", "c", "d", "n", "m", "v", "other"}  # and their short names

READING = {
    **{f"read {side}": embedded.READ[side] for side in embedded.READ},
    **{f"both ends, {side}": embedded.READ_BOTH[side] for side in embedded.READ_BOTH},
    **{f"any relation, {side}": embedded._OPEN[side] for side in embedded._OPEN},
    **{f"one relation, {side}": embedded._OPEN_RELATION[side] for side in embedded._OPEN_RELATION},
    **{f"as of, {side}": embedded._TIMED[side] for side in embedded._TIMED},
    "evidence": embedded_recall._EVIDENCE,
    "relations": embedded_recall._RELATIONS,
    "named": embedded_recall._NAMED,
    "alike": embedded_recall._ALIKE,
    "candidates": embedded_recall._CANDIDATES.format(fact=embedded._FACT),
    "closed": embedded_recall._CLOSED,
    "vectors of names": embedded_recall._VECTORS,
    "name": embedded._NAME,
    "class": embedded._CLASS,
    "codes": embedded._NEW_CODES,
    "vectors": embedded._ALL_VECTORS,
    "sources": embedded._SOURCES,
    **{f"turns by {by}": text.format(order="ASC") for by, text in embedded_hub._SELECT.items()},
    **{f"last turns by {by}": text.format(order="DESC") for by, text in embedded_hub._SELECT.items()},
    "codes of turns": embedded_hub._CODES,
    "turns beside": embedded_hub._BESIDE,
    "episodes": embedded_hub._OF_ALL,
    "episodes of a thread": embedded_hub._OF_THREAD,
    "turns of a ref": embedded_hub._REF,
    "all turns": embedded_hub._PAGED,
    "last episode": embedded_hub._LAST,
}
WRITING = {
    "operation": embedded_write.OPERATION,
    "slot": embedded_write._SLOT,
    "same": embedded_write._SAME,
    "supported": embedded_write._SUPPORTED,
    "beside": embedded_write._BESIDE,
    "withdraw": embedded_write._WITHDRAW,
    "close": embedded_write._CLOSE,
    "promote": embedded_write.PROMOTE,
    "expire": embedded_write._EXPIRE,
    "stands": embedded_write.STANDS,
    "of name": embedded_erase._OF_NAME,
    "of slot": embedded_erase._OF_SLOT,
    "stated at": embedded_erase._STATED_AT,
    "operations at": embedded_erase._OPERATIONS_AT.format("?"),
    "quarantine": embedded_erase._QUARANTINE,
    "places": embedded_erase._PLACES,
    "touched": embedded_erase._TOUCHED_OPERATIONS,
    "used": embedded_erase._USED,
    "relations": embedded_erase._DELETE_RELATIONS,
    "delete sources": embedded_erase._DELETE_SOURCES,
    **{f"delete {number}": statement for number, statement in enumerate(embedded_erase._DELETE_DOOMED)},
}
EXPECTED = {
    "read subject": "SEARCH f USING INDEX fact_open_s (s=? AND r=?)",
    "read object": "SEARCH f USING INDEX fact_open_o (o=? AND r=?)",
    "both ends, subject": "SEARCH f USING INDEX fact_open_o (o=? AND r=?)",
    "both ends, object": "SEARCH f USING INDEX fact_open_s (s=? AND r=?)",
    "one relation, subject": "SEARCH f USING INDEX fact_open_s (s=? AND r=?)",
    "one relation, object": "SEARCH f USING INDEX fact_open_o (o=? AND r=?)",
    "as of, subject": "SEARCH f USING INDEX fact_past_s (s=?)",
    "as of, object": "SEARCH f USING INDEX fact_past_o (o=?)",
    "evidence": "SEARCH e USING INDEX evidence_ns (ns=? AND seq>?)",
    "candidates": "SEARCH f USING INTEGER PRIMARY KEY (rowid=?)",
    "slot": "SEARCH f USING INDEX fact_open_s (s=? AND r=?)",
    "same": "SEARCH f USING INDEX fact_triple (s=? AND r=? AND o=?)",
    "of slot": "SEARCH fact USING INDEX fact_past_s (s=? AND r=?)",
    "of name": "SEARCH fact USING INDEX fact_past_o (o=?)",
    "turns by thread": "SEARCH t USING INDEX turn_session (session=?)",
    "turns by when": "SEARCH t USING INDEX turn_at (ns=? AND at>? AND at<?)",
    "touched": "SEARCH c USING INDEX fact_past_s (s=? AND r=?)",
}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    store = EmbeddedStore(":memory:")
    with store._db.read() as opened:
        opened.execute("CREATE TEMP TABLE doomed(id INTEGER PRIMARY KEY)")
        yield opened
    store.close()


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    """The steps of a statement; its parameters are NULL."""
    numbers = [int(number) for number in re.findall(r"\?(\d+)", statement)]
    count = max(numbers) if numbers else statement.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * count)]


def scans(steps: list[str]) -> list[str]:
    return [step for step in steps if step.startswith("SCAN ") and step.split()[1] in TABLES]


@pytest.mark.parametrize("name", [*READING, *WRITING])
def test_no_table_is_read_from_end_to_end(connection: sqlite3.Connection, name: str) -> None:
    steps = plan(connection, {**READING, **WRITING}[name])
    assert scans(steps) == []
    assert not [step for step in steps if "fact_ns" in step], "every fact of the namespace is read"
    assert EXPECTED.get(name, steps[0]) in steps


@pytest.mark.parametrize("order", ["x.rowid DESC", "bm25(turn_text, 0.0, 1.0), x.rowid DESC"])
def test_text_is_sought_in_its_index(connection: sqlite3.Connection, order: str) -> None:
    first, *others = plan(connection, embedded_hub._MATCHING.format(order=order))
    assert re.fullmatch(r"SCAN x VIRTUAL TABLE INDEX \d+:M\d", first)  # M: rows that match, from the index
    assert scans(others) == []


def test_a_scan_would_be_seen(connection: sqlite3.Connection) -> None:
    assert scans(plan(connection, "SELECT 1 FROM fact f WHERE f.principal = ?")) == ["SCAN f"]


def test_the_best_of_one_slot_are_found_without_sorting(connection: sqlite3.Connection) -> None:
    for side in ("subject", "object"):
        assert not [step for step in plan(connection, embedded.READ[side]) if "B-TREE" in step]
        assert not [step for step in plan(connection, embedded.READ_BOTH[side]) if "B-TREE" in step]
        assert not [step for step in plan(connection, embedded._OPEN_RELATION[side]) if "B-TREE" in step]


@pytest.mark.parametrize(
    "where",
    [FactFilter(subject_keys=("ada",)), FactFilter(object_keys=("tea",)), FactFilter(ids=("00" * 16,))],
    ids=str,
)
def test_the_history_of_a_name_is_no_listing_of_the_namespace(where: FactFilter) -> None:
    memory = Memory(":memory:")
    memory.write([("Ada", "likes", "tea")], namespace=("n",))
    assert isinstance(memory.store, EmbeddedStore)
    with memory.store._db.read() as connection:
        statement, parameters = embedded._listing(connection, ("n",), where, 0, 0)
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert scans(steps) == []
    assert not [step for step in steps if "fact_ns" in step]
