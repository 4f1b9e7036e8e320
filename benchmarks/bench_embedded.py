"""The embedded store beside raw SQLite doing the same rows: reads, durable writes, growth.

    python -m benchmarks.bench_embedded [10000 100000 1000000] [--folder DIR]

"raw" is the bare ``sqlite3`` module on the same schema, pragmas and rows, in the same process: the same statement
fetched as tuples for reads, prepared rows inserted in transactions of the same size for writes. The embedder is the
shipped one and its cost is part of every figure of ``Memory``.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, percentile, report, timed
from benchmarks.workload import Rows, Workload
from langchain_memllm.embeddings import StaticEmbedder
from langchain_memllm.memory import Memory
from langchain_memllm.stores import embedded
from langchain_memllm.triples import name_key

NS = ("bench",)
LABEL = embedded.encode_namespace(NS)
TABLES = ("name", "name_word", "name_vector", "name_code", "relation", "fact", "evidence", "operation")


class Counting:
    """The shipped embedder, counting its calls and texts."""

    model_id = StaticEmbedder.shipped().model_id

    def __init__(self) -> None:
        self.calls = self.texts = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As the shipped embedder."""
        self.calls += 1
        self.texts += len(texts)
        return StaticEmbedder.shipped().embed_documents(texts)


def fsyncs_per_second(folder: Path) -> float:
    """How many times a second this disk makes one small write durable."""
    handle = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY)
    start = time.perf_counter()
    for _ in range(300):
        os.pwrite(handle, b"x" * 4096, 0)
        os.fdatasync(handle)
    os.close(handle)
    return 300 / (time.perf_counter() - start)


def write_all(path: Path, batches: list[Rows]) -> list[float]:
    """Milliseconds of each ``Memory.write``."""
    with Memory(path) as memory:
        memory.stats(namespace=NS)
        return timed(lambda batch: memory.write(batch, namespace=NS), batches)


def rows_by_operation(path: Path) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """The rows of a finished file, in the operations that wrote them."""
    connection = sqlite3.connect(path)
    facts: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    first_name: dict[int, int] = {}
    first_relation: dict[int, int] = {}
    for row in connection.execute("SELECT * FROM fact ORDER BY seq, ordinal"):
        facts[row[6]].append(row)
        for name in (row[3], row[5]):
            first_name.setdefault(name, row[6])
        first_relation.setdefault(row[4], row[6])
    place = {"name": (first_name, 0), "name_vector": (first_name, 0), "name_code": (first_name, 2)}
    place |= {"name_word": (first_name, 2), "relation": (first_relation, 0)}
    grouped: dict[int, dict[str, list[tuple[Any, ...]]]] = {seq: {"fact": rows} for seq, rows in facts.items()}
    for table in TABLES:
        for row in connection.execute(f"SELECT * FROM {table}") if table != "fact" else ():
            if table in place:
                firsts, column = place[table]
                seq = firsts[row[column]]
            else:
                seq = row[1] if table == "evidence" else row[3]
            grouped[seq].setdefault(table, []).append(row)
    connection.close()
    for seq in sorted(grouped):
        yield grouped[seq]


def raw_write_all(path: Path, operations: list[dict[str, list[tuple[Any, ...]]]]) -> list[float]:
    """Milliseconds of each transaction of bare SQLite inserting the same rows into the same schema."""
    Memory(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("INSERT INTO namespace(id, name) VALUES (1, ?)", (LABEL,))
    marks = {
        table: ",".join("?" * len(connection.execute(f"PRAGMA table_info({table})").fetchall())) for table in TABLES
    }

    done = 0

    def write(operation: dict[str, list[tuple[Any, ...]]]) -> None:
        nonlocal done
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in operation.items():
            connection.executemany(f"INSERT INTO {table} VALUES ({marks[table]})", rows)
        connection.execute("COMMIT")
        if connection.total_changes - done > 50_000:
            done = connection.total_changes
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    taken = timed(write, operations)
    connection.close()
    return taken


def measure_writes(folder: Path, load: Workload, size: int) -> dict[str, Any]:
    """Durable writes beside raw SQLite, in batches of ``size``; at most 2,000 batches."""
    batches = list(load.batches(size))[: max(20, 40_000 // size)]
    count = sum(map(len, batches))
    ours, raw = folder / f"ours{size}.db", folder / f"raw{size}.db"
    taken = write_all(ours, batches)
    raw_taken = raw_write_all(raw, list(rows_by_operation(ours)))
    for path in (ours, raw):
        path.unlink()
    return {
        f"write {size}: triples/s": count / sum(taken) * 1e3,
        f"write {size}: p50 ms": percentile(taken, 0.5),
        f"write {size}: × raw": percentile(taken, 0.5) / percentile(raw_taken, 0.5),
    }


def measure_reads(path: Path, load: Workload, count: int) -> dict[str, Any]:
    """Exact reads beside the raw statement, and similar reads."""
    embedder = Counting()
    with Memory(path, embedder=embedder) as memory:
        memory.read("warm", "up", namespace=NS)
        memory.read(load.names[0] + " x", load.relations[0], namespace=NS)
        exact, similar = load.exact_queries(count), load.similar_queries(count)
        connection = sqlite3.connect(path, cached_statements=256)
        connection.execute("PRAGMA cache_size=-32768")

        def raw(query: tuple[str | None, str, str | None]) -> object:
            side, name = ("subject", query[0]) if query[0] else ("object", query[2])
            statement = embedded.READ[side]
            return connection.execute(statement, (LABEL, name_key(name or ""), query[1], 31)).fetchall()

        timed(raw, exact[: count // 4])
        timed(lambda q: memory.read(*q, namespace=NS), exact[: count // 4])
        raw_ms = timed(raw, exact)
        calls = embedder.calls
        exact_ms = timed(lambda q: memory.read(*q, namespace=NS), exact)
        exact_calls = embedder.calls - calls
        found = sum(bool(memory.read(*query, namespace=NS)) for query in similar[:100])
        similar_ms = timed(lambda q: memory.read(*q, namespace=NS), similar[100:])
        connection.close()
        return {
            "exact p50 ms": percentile(exact_ms, 0.5),
            "exact p99 ms": percentile(exact_ms, 0.99),
            "exact: × raw": percentile(exact_ms, 0.5) / percentile(raw_ms, 0.5),
            "exact: embedder calls": exact_calls,
            "similar p50 ms": percentile(similar_ms, 0.5),
            "similar p99 ms": percentile(similar_ms, 0.99),
            "similar: answered of 100": found,
        }


def measure(folder: Path, triples: int) -> dict[str, Any]:
    """One row of the table."""
    load = Workload(triples)
    row: dict[str, Any] = {"triples": triples}
    for size in (20, 1000):
        row |= measure_writes(folder, load, size)
    path = folder / "memory.db"
    start = time.perf_counter()
    write_all(path, list(load.batches(1000)))
    row["load s"] = time.perf_counter() - start
    row |= measure_reads(path, load, 2000)
    row["MB"] = path.stat().st_size / 1e6
    path.unlink()
    return row


def main() -> None:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triples", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    host = machine()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        host["fsyncs_per_s"] = round(fsyncs_per_second(Path(folder)))
        rows = [measure(Path(folder), triples) for triples in arguments.triples]
    growth = {
        "triples": "growth of p50",
        "exact p50 ms": rows[-1]["exact p50 ms"] / rows[0]["exact p50 ms"],
        "similar p50 ms": rows[-1]["similar p50 ms"] / rows[0]["similar p50 ms"],
    }
    report("embedded", f"Embedded store ({host['fsyncs_per_s']} fsyncs/s)", [*rows, growth], host)


if __name__ == "__main__":
    main()
