"""What the memories of older versions hold that migrations are tested from, and how their fixtures were made.

It runs with the code of any commit since the stores exist, and says what that code wrote:

    PYTHONPATH=FOLDER_OF_THAT_COMMIT python tests/old_content.py langchain_memllm/verify/old COMMIT
    PYTHONPATH=FOLDER_OF_THAT_COMMIT MEMLLM_TEST_PASSWORD=… python tests/old_content.py tests/data COMMIT bolt://…
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain_memllm.belief import Quarantined
from langchain_memllm.memory import Memory
from langchain_memllm.relations import Relation
from langchain_memllm.triples import Source

KARI = ("memllm", "kari")
BOB = ("memllm", "bob")


def fill(held: Memory) -> None:
    """Write what the fixtures hold; every operation has an id."""
    held.declare(Relation("home city"))
    said = Source("user", "chat", "kari", "I know O'Brien.")
    paper = Source("document", "notes.md", None, "O'Brien likes tea.", (0, 18), 0)
    steps: list[tuple[tuple[str, ...], Source, list[tuple[str, str, str]]]] = [
        (KARI, said, [("O'Brien", "works for", "Equinor"), ("O’Brien", "lives in", "Oslo")]),
        (KARI, paper, [("O'Brien", "likes", "tea"), ("Ada", "knows", "O’Brien")]),
        (KARI, said, [("O’Brien", "likes", "tea"), ("Ada", "knows", "O'Brien")]),
        (KARI, said, [("O'Brien", "lives in", "Bergen"), ("O'Brien", "likes", "Nice")]),
        (KARI, said, [("Jean-Luc", "lives in", "Bergen")]),
        (KARI, said, [("Jean-Luc", "lives in", "Oslo"), ("Jean‑Luc", "lives in", "Nice")]),
        (
            KARI,
            said,
            [("user", "employer", "Equinor"), ("user", "works for", "Statoil"), ("user", "worked for", "Shell")],
        ),
        (KARI, said, [("user", "lives in", "Oslo"), ("user", "residence", "Oslo"), ("user", "occupation", "pilot")]),
        (KARI, said, [("user", "birthday", "1990-05-03"), ("user", "date of birth", "1990-05-03")]),
        (KARI, said, [("Ada", "has visited", "istanbul"), ("Ada", "has visited", "İstanbul")]),
        (KARI, said, [("user", "home city", "Bergen"), ("user", "password", "Secret`.")]),
        (KARI, said, [("José", "lives in", "Oslo"), ("Jose", "likes", "tea")]),
        (
            BOB,
            Source("user", "chat", "bob"),
            [("O’Brien", "works for", "Acme Inc."), ("Nice", "works for", "Acme Inc")],
        ),
    ]
    for number, (namespace, source, triples) in enumerate(steps):
        held.write(triples, namespace=namespace, source=source, op_id=f"op-{number}")
    held.retract(("O'Brien", "likes", "Nice"), namespace=KARI, source=said, op_id="op-retract")
    held.alias("O’Brien", "Obie", namespace=KARI)
    held.alias("O'Brien", "Brian O'Brien", namespace=KARI)
    piece = Quarantined("O’Brien owes me", "no object", said)
    held.write([], namespace=KARI, source=said, op_id="op-quarantine", quarantine=[piece])


def dump(path: Path) -> str:
    """A database as SQL, with what ``iterdump`` leaves out."""
    with sqlite3.connect(path) as connection:
        pragmas = [
            f"PRAGMA {name}={connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("page_size", "application_id", "user_version")
        ]
        return "\n".join([*pragmas, *connection.iterdump()]) + "\n"


def graph_of(driver: Any) -> dict[str, Any]:
    """All nodes and relationships of a database, by their place in the list."""
    nodes = driver.execute_query("MATCH (n) RETURN elementId(n) AS id, labels(n) AS labels, properties(n) AS values")
    places = {record["id"]: place for place, record in enumerate(nodes.records)}
    found = driver.execute_query(
        "MATCH (a)-[r]->(b) RETURN elementId(a) AS a, type(r) AS type, elementId(b) AS b, properties(r) AS values"
    )
    return {
        "nodes": [[record["labels"], record["values"]] for record in nodes.records],
        "relationships": [
            [places[each["a"]], each["type"], places[each["b"]], each["values"]] for each in found.records
        ],
    }


def _hex(value: bytes) -> dict[str, str]:
    """Bytes as JSON; no property of a graph is a mapping."""
    return {"hex": value.hex()}


def write(path: Path, text: str) -> None:
    """Write a fixture, the same bytes each time."""
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def main(folder: Path, commit: str, address: str | None) -> None:
    """Make the fixture of a commit with the code that is imported."""
    if address is not None:
        from neo4j import GraphDatabase

        from langchain_memllm.stores.neo4j import Neo4jStore

        auth = ("neo4j", os.environ["MEMLLM_TEST_PASSWORD"])
        with Memory(Neo4jStore(address, auth=auth)) as held, GraphDatabase.driver(address, auth=auth) as driver:
            fill(held)
            write(folder / f"graph_{commit}.json.gz", json.dumps(graph_of(driver), ensure_ascii=False, default=_hex))
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "memllm.db"
        with Memory(path) as held:
            fill(held)
        write(folder / f"store_{commit}.sql.gz", dump(path))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
