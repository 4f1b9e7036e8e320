"""The Neo4j store beside the bare driver running the same statements: reads, durable writes.

    python -m benchmarks.bench_neo4j [10000 100000] [--version 5.26.30]

Starts a local server of that release. "raw" is ``driver.execute_query`` with the statement and parameters of the
store's own read, its records fetched and nothing made of them. The shipped embedder's cost is part of every figure of
``Memory``. Client and server share the machine's cores.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import neo4j
from neo4j import GraphDatabase

from benchmarks.measure import machine, percentile, report, timed
from benchmarks.workload import Workload
from langchain_memllm.memory import Memory
from langchain_memllm.stores import cypher
from langchain_memllm.stores.interface import LookupQuery
from langchain_memllm.stores.neo4j import Neo4jStore, lookup_parameters
from langchain_memllm.stores.server import DEFAULT_VERSION, LocalServer
from langchain_memllm.triples import Query, name_key

NS = ("bench",)
_SAMPLE = 400


def write_rates(memory: Memory, work: Workload) -> dict[str, Any]:
    """Facts a second in batches of 20, then of 500 for the rest; the first fifth of each warms up."""
    rates: dict[str, Any] = {}
    start = 0
    for size, share in ((20, 0.1), (500, 1.0)):
        stop = int(len(work.triples) * share)
        batches = [work.triples[i : min(i + size, stop)] for i in range(start, stop, size)]
        taken = timed(lambda batch: memory.write(batch, namespace=NS), batches)
        rest = taken[len(taken) // 5 :]
        rates[f"write {size}: facts/s"] = round(size * len(rest) / sum(rest) * 1e3)
        rates[f"write {size}: p50 ms"] = round(percentile(rest, 0.5), 2)
        start = stop
    return rates


def reads(memory: Memory, store: Neo4jStore, driver: neo4j.Driver, work: Workload) -> dict[str, Any]:
    """Milliseconds of exact, raw, batched and similar reads and of recall."""
    queries = work.exact_queries(_SAMPLE + 200)
    parameters = [_parameters(memory, query) for query in queries]
    paraphrases = [(_shuffled(s), r, None) for s, r, _ in work.triples[: _SAMPLE * 3 : 3]]
    texts = [f"What do you know about {s} and where it went, please? Also {o}." for s, _, o in work.triples[:200]]
    memory.read(*paraphrases[0], namespace=NS)
    start = time.perf_counter()
    Memory(Neo4jStore(driver)).read(*paraphrases[1], namespace=NS)
    cold = (time.perf_counter() - start) * 1e3
    exact, raw = [], []
    for query, asked in zip(queries, parameters, strict=True):  # in turn, so that both meet the same noise
        exact += timed(lambda each: memory.read(*each, namespace=NS), [query])
        raw += timed(lambda each: driver.execute_query(cypher.LOOKUP, each, database_="neo4j", routing_="r"), [asked])
    blocks = [[Query(*query) for query in queries[i : i + 32]] for i in range(0, 480, 8)]
    taken = {
        "exact": exact,
        "raw exact": raw,
        "32 exact": timed(lambda block: memory.read_many(block, namespace=NS), blocks),
        "similar": timed(lambda query: memory.read(*query, namespace=NS), paraphrases),
        "recall": timed(lambda text: memory.recall(text, namespace=NS), texts),
    }
    row: dict[str, Any] = {}
    for name, all_ms in taken.items():
        ms = all_ms[len(all_ms) // 5 :]
        row[f"{name}: p50 ms"], row[f"{name}: p99 ms"] = percentile(ms, 0.5), percentile(ms, 0.99)
    row["exact / raw"] = row["exact: p50 ms"] / row["raw exact: p50 ms"]
    row["first similar read of a client, ms"] = round(cold)
    row["similar answered"] = sum(bool(memory.read(*query, namespace=NS)) for query in paraphrases[:100]) / 100
    return row


def _parameters(memory: Memory, query: tuple[str | None, str, str | None]) -> dict[str, Any]:
    subject, relation, object_ = query
    key = name_key(subject if subject is not None else object_ or "")
    asked = LookupQuery("object" if subject is None else "subject", (key,), name_key(relation))
    return lookup_parameters([NS], [asked], limit=30)


def _shuffled(name: str) -> str:
    words = name.split()
    return " ".join([words[2], words[0], words[1]])


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--version", default=DEFAULT_VERSION)
    arguments = parser.parse_args()
    host, rows = machine(), []
    for size in arguments.sizes:
        work = Workload(size)
        with LocalServer.start(version=arguments.version) as server:
            auth = (server.user, server.password)
            with GraphDatabase.driver(server.uri, auth=auth, notifications_min_severity="OFF") as driver:
                store = Neo4jStore(driver)
                memory = Memory(store)
                written = write_rates(memory, work)
                rows.append(
                    {"triples": size, "names": len(work.names), **written, **reads(memory, store, driver, work)}
                )
    host |= {"neo4j": arguments.version, "driver": neo4j.__version__}
    report(f"neo4j-{arguments.version}", f"Neo4j {arguments.version}, driver {neo4j.__version__}", rows, host)


if __name__ == "__main__":
    main()
