"""The Neo4j store beside the bare driver running the same statements: reads, durable writes, tenants, writers at once.

    python -m benchmarks.bench_neo4j [10000 100000] [--version 5.26.30]
    python -m benchmarks.bench_neo4j 1000000 --home FOLDER --parts load
    python -m benchmarks.bench_neo4j 1000000 --home FOLDER --parts read

Starts a local server of that release for each size; with ``--home`` one that keeps its facts in a folder, so that what
takes long is done once and the parts can be measured when the machine is quiet. Figures of several runs meet in one
file of ``results/`` for each release and driver. "raw" is the bare driver with the statement and parameters of the
store's own read, its records fetched and nothing made of them: ``execute_query``, and ``session.run`` as the store does
it. The shipped embedder's cost is part of every figure of ``Memory``. Client and server share the machine's cores. With
``neo4j-rust-ext`` installed (``make .venv-rust/.installed``) the driver packs in Rust; the table says which it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import neo4j
from neo4j import GraphDatabase

from benchmarks.measure import RESULTS, machine, percentile, report, timed
from benchmarks.workload import Rows, Workload
from langchain_memllm.errors import MemLLMError
from langchain_memllm.memory import Memory
from langchain_memllm.stores import cypher
from langchain_memllm.stores.interface import LookupQuery
from langchain_memllm.stores.neo4j import Neo4jStore, lookup_parameters
from langchain_memllm.stores.server import DEFAULT_VERSION, LocalServer
from langchain_memllm.triples import Query, name_key

NS = ("bench",)
TENANT = ("tenant",)
_SAMPLE = 400
_FRESH = 100  # batches of 20 that are written to an empty server first
_WRITERS = 8


def load(memory: Memory, work: Workload) -> dict[str, Any]:
    """Store what is missing of the workload; on an empty server in batches of 20 first, which it plans and compiles."""
    row: dict[str, Any] = {}
    start = memory.stats(namespace=NS).facts
    if not start:
        start = 20 * _FRESH
        taken = timed(lambda batch: memory.write(batch, namespace=NS), _batches(work.triples[:start], 20))
        row["first write on a fresh server, ms"] = round(taken[0])
        row["the first 2,000 facts in batches of 20: facts/s"] = round(start / sum(taken) * 1e3)
    if start < len(work.triples):
        taken = timed(lambda batch: memory.write(batch, namespace=NS), _batches(work.triples[start:], 500))
        row["load in batches of 500: facts/s"] = round((len(work.triples) - start) / sum(taken) * 1e3)
        row["… load of the machine"] = os.getloadavg()[1]
    return row


def writes(memory: Memory, _: Workload) -> dict[str, Any]:
    """Facts a second in batches of 20 and of 500, all new, on top of what is stored; the first third warms up."""
    rates: dict[str, Any] = {}
    more = Workload(60_000, seed=memory.stats(namespace=NS).facts).triples
    for size, batches in ((20, _batches(more[:15_000], 20)), (500, _batches(more[15_000:45_000], 500))):
        taken = timed(lambda batch: memory.write(batch, namespace=NS), batches)
        rest = taken[len(taken) // 3 :]
        rates[f"write {size}: facts/s"] = round(size * len(rest) / sum(rest) * 1e3)
        rates[f"write {size}: p50 ms"] = round(percentile(rest, 0.5), 2)
        rates[f"write {size}: p99 ms"] = round(percentile(rest, 0.99), 2)
    return rates


def _batches(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def reads(memory: Memory, work: Workload, driver: neo4j.Driver) -> dict[str, Any]:
    """Milliseconds of exact, raw, batched and similar reads and of recall."""
    queries = work.exact_queries(_SAMPLE + 200)
    parameters = [_parameters(memory, query) for query in queries]
    paraphrases = [(_shuffled(s), r, None) for s, r, _ in work.triples[: _SAMPLE * 3 : 3]]
    texts = [
        f"What do you know about {s} and where it went, please? Also {o}."
        for s, _, o in work.triples[:: len(work.triples) // 200]
    ]
    memory.read(*paraphrases[0], namespace=NS)
    cold, held = _cold(driver, paraphrases[1])
    exact, raw, auto = [], [], []
    for query, asked in zip(queries, parameters, strict=True):  # in turn, so that all meet the same noise
        exact += timed(lambda each: memory.read(*each, namespace=NS), [query])
        raw += timed(lambda each: driver.execute_query(cypher.LOOKUP, each, database_="neo4j", routing_="r"), [asked])
        auto += timed(lambda each: _run(driver, each), [asked])
    blocks = [[Query(*query) for query in queries[i : i + 32]] for i in range(0, 480, 8)]
    taken = {
        "exact": exact,
        "raw exact": raw,
        "raw exact, auto-commit": auto,
        "32 exact": timed(lambda block: memory.read_many(block, namespace=NS), blocks),
        "similar": timed(lambda query: memory.read(*query, namespace=NS), paraphrases),
        "recall": timed(lambda text: memory.recall(text, namespace=NS), texts),
    }
    row: dict[str, Any] = {}
    for name, all_ms in taken.items():
        ms = all_ms[len(all_ms) // 5 :]
        row[f"{name}: p50 ms"], row[f"{name}: p99 ms"] = percentile(ms, 0.5), percentile(ms, 0.99)
    row["exact / raw"] = row["exact: p50 ms"] / row["raw exact: p50 ms"]
    row["exact / raw, auto-commit"] = row["exact: p50 ms"] / row["raw exact, auto-commit: p50 ms"]
    row["first similar read of a client, ms"] = round(cold)
    row["held by a client, MB"] = round(held, 1)
    row["similar: answered"] = sum(bool(memory.read(*query, namespace=NS)) for query in paraphrases[:100]) / 100
    return row


def _parameters(memory: Memory, query: tuple[str | None, str, str | None]) -> dict[str, Any]:
    subject, relation, object_ = query
    key = name_key(subject if subject is not None else object_ or "")
    asked = LookupQuery("object" if subject is None else "subject", (key,), name_key(relation))
    return lookup_parameters([NS], [asked], limit=30)


def _shuffled(name: str) -> str:
    words = name.split()
    return " ".join([words[2], words[0], words[1]])


def _run(driver: neo4j.Driver, parameters: dict[str, Any]) -> list[neo4j.Record]:
    with driver.session(database="neo4j", default_access_mode="READ") as session:
        return list(session.run(cypher.LOOKUP, parameters))


def _cold(driver: neo4j.Driver, query: tuple[str | None, str, str | None]) -> tuple[float, float]:
    """Milliseconds of a new client's first similar read, and the megabytes it holds afterwards (in a second client)."""
    start = time.perf_counter()
    Memory(Neo4jStore(driver)).read(*query, namespace=NS)
    cold = (time.perf_counter() - start) * 1e3
    client = Memory(Neo4jStore(driver))
    client.vectors.embed([query[0] or "", query[1]])
    tracemalloc.start()
    client.read(*query, namespace=NS)
    held = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    return cold, held


def tenant(memory: Memory, work: Workload) -> dict[str, Any]:
    """A tenant of 50 names, all of them also names of the large one: its similar reads alone, and beside a writer."""
    names = work.names[:50]
    memory.write([(name, work.relations[0], names[i - 1]) for i, name in enumerate(names)], namespace=TENANT)
    queries = [(_shuffled(name), work.relations[0], None) for name in names] * 8
    taken: dict[str, Any] = {}
    found = timed(lambda query: memory.read(*query, namespace=TENANT), queries)[100:]
    taken["tenant of 50: similar p50 ms, alone"] = percentile(found, 0.5)
    with _writing(memory, work) as written:
        busy = timed(lambda query: memory.read(*query, namespace=TENANT), queries)[100:]
    taken["tenant of 50: similar p50 ms, beside a writer"] = percentile(busy, 0.5)
    taken["… / alone"] = percentile(busy, 0.5) / percentile(found, 0.5)
    taken["… facts written meanwhile"] = sum(written)
    right = [names[i - 1] in memory.read(*queries[i], namespace=TENANT).answers for i in range(50)]
    taken["tenant of 50: recall"] = sum(right) / 50
    return taken


@contextmanager
def _writing(memory: Memory, work: Workload) -> Iterator[list[int]]:
    """Someone writes batches of 20 to the large namespace, ten times a second."""
    ended, written = threading.Event(), list[int]()

    def write() -> None:
        more = iter(Workload(4_000, seed=99).batches(20))
        while not ended.wait(0.1):
            batch = next(more, None)
            if batch is None:
                return
            written.append(len(memory.write(batch, namespace=NS)))

    thread = threading.Thread(target=write)
    thread.start()
    yield written
    ended.set()
    thread.join()


def writers(memory: Memory) -> dict[str, Any]:
    """Eight writers of one namespace who state the same facts in another order."""
    work = Workload(2_000, seed=5)
    namespace = ("writers",)

    def write(writer: int) -> int:
        failed = 0
        for start in range(0, len(work.triples), 100):
            block = work.triples[start : start + 100]
            try:
                memory.write(block[writer * 12 :] + block[: writer * 12], namespace=namespace)
            except MemLLMError:
                failed += 1
        return failed

    start = time.perf_counter()
    with ThreadPoolExecutor(_WRITERS) as pool:
        failed = sum(pool.map(write, range(_WRITERS)))
    taken = time.perf_counter() - start
    facts = memory.stats(namespace=namespace).facts
    return {
        "8 writers: facts/s": round(_WRITERS * len(work.triples) / taken),
        "8 writers: failed": failed,
        "8 writers: facts beyond those stated": facts - len(set(work.triples)),
    }


def event_loop(memory: Memory, work: Workload) -> dict[str, Any]:
    """How long an event loop waited for its turn while 200 reads ran in it at once, and with one reading thread."""
    queries = work.exact_queries(200)

    async def run(threads: int | None) -> list[float]:
        if threads is not None:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
        gaps: list[float] = []
        done = asyncio.Event()

        async def tick() -> None:
            while not done.is_set():
                start = time.perf_counter()
                await asyncio.sleep(0.001)
                gaps.append((time.perf_counter() - start - 0.001) * 1e3)

        ticking = asyncio.create_task(tick())
        for _ in range(3):
            await asyncio.gather(*(memory.aread(*query, namespace=NS) for query in queries))  # type: ignore[attr-defined]
        done.set()
        await ticking
        return gaps

    row: dict[str, Any] = {}
    for name, threads in (("", None), (", one thread", 1)):
        gaps = [asyncio.run(run(threads)) for _ in range(5)]
        row[f"event loop under 200 reads{name}: longest wait, median of 5 runs, ms"] = median(map(max, gaps))
        row[f"… of all five{name}, ms"] = max(map(max, gaps))
        row[f"… p99{name}, ms"] = percentile([gap for run_ in gaps for gap in run_], 0.99)
    return row


def driver_name() -> str:
    """The driver and how it packs."""
    try:
        return f"{neo4j.__version__} with neo4j-rust-ext {metadata.version('neo4j-rust-ext')}"
    except metadata.PackageNotFoundError:
        return f"{neo4j.__version__} in pure Python"


PARTS: dict[str, Callable[[Memory, Workload], dict[str, Any]]] = {
    "load": load,
    "write": writes,
    "tenant": tenant,
    "loop": event_loop,
    "writers": lambda memory, _: writers(memory),
}


def measured(server: LocalServer, work: Workload, parts: Sequence[str]) -> dict[str, Any]:
    """The figures of some parts, in this order: those that read before those that write."""
    auth = (server.user, server.password)
    row: dict[str, Any] = {"triples": len(work.triples), "names": len(work.names)}
    with GraphDatabase.driver(server.uri, auth=auth, notifications_min_severity="OFF") as driver:
        memory = Memory(Neo4jStore(driver))
        for part in ("load", "read", "tenant", "loop", "write", "writers"):
            if part in parts:
                row |= reads(memory, work, driver) if part == "read" else PARTS[part](memory, work)
    return row


@contextmanager
def _server(home: Path | None, version: str) -> Iterator[LocalServer]:
    """A server for these figures alone, or that of a folder, which is started if it does not run and goes on."""
    if home is None:
        with LocalServer.start(version=version) as server:
            yield server
    else:
        yield LocalServer.attach(home) or LocalServer.start(home, version)


def _joined(name: str, row: dict[str, Any], *, goes_on: bool) -> list[dict[str, Any]]:
    """The rows of earlier runs with this one in its place; of the same graph's row, the other figures stay."""
    path = RESULTS / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    by_size = {each["triples"]: each for each in rows}
    before = by_size.get(row["triples"], {}) if goes_on else {}
    by_size[row["triples"]] = before | row
    return [by_size[size] for size in sorted(by_size)]


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--version", default=DEFAULT_VERSION)
    parser.add_argument("--home", type=Path, help="folder of a server that keeps its facts; for one size")
    parser.add_argument("--parts", default="load,read,tenant,loop,write,writers", help="separated by commas")
    arguments = parser.parse_args()
    host = machine() | {"neo4j": arguments.version, "driver": driver_name()}
    name = f"neo4j-{arguments.version}-{'rust' if 'rust' in driver_name() else 'pure'}"
    for size in arguments.sizes:
        with _server(arguments.home, arguments.version) as server:
            row = measured(server, Workload(size), arguments.parts.split(","))
        rows = _joined(name, row, goes_on=arguments.home is not None)
        report(name, f"Neo4j {arguments.version}, driver {driver_name()}", rows, host)


if __name__ == "__main__":
    main()
