"""What the limits of a memory cost a write on Neo4j: with them and without, in turn, in one run.

    python -m benchmarks.bench_limits --writes 200

Both memories count what they hold, which is part of every write; without limits nothing is compared with it. A ratio
is the median of the ratios of pairs: one write of each, the first of them changing.
"""

from __future__ import annotations

import argparse
import statistics
import time

from benchmarks.measure import machine, report
from langchain_memllm import MemLLMMemory, Source
from langchain_memllm.quotas import Limits
from langchain_memllm.stores import open_store
from langchain_memllm.stores.server import LocalServer

NONE = Limits(statements=None, characters=None, untrusted_share=1.0, untrusted_per_hour=None, untrusted_per_day=None)
MANY = Limits(untrusted_per_hour=10**9, untrusted_per_day=10**9)
FACTS = 20


def pairs(with_limits: MemLLMMemory, without: MemLLMMemory, kind: str, writes: int) -> list[tuple[float, float]]:
    """Seconds of each pair of writes of 20 facts, with limits and without."""
    taken = []
    for number in range(-20, writes):
        both = []
        memories = [(0, with_limits), (1, without)]
        for which, memory in memories if number % 2 else reversed(memories):
            facts = [(f"person {number} {i}", "likes", f"{which} thing {i}") for i in range(FACTS)]
            begun = time.perf_counter()
            memory.write(facts, source=Source(kind, "bench"))  # type: ignore[arg-type]
            both.append((which, time.perf_counter() - begun))
        if number >= 0:  # plans are made by then
            taken.append((dict(both)[0], dict(both)[1]))
    return taken


def main() -> None:
    """Start a server, write, print, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=200)
    options = parser.parse_args()
    rows = []
    with LocalServer.start() as server:
        auth = (server.user, server.password)
        for kind in ("user", "web"):
            memories = []
            for name, limits in (("with", MANY), ("without", NONE)):
                store = open_store(server.uri, auth=auth, deadline=120.0)
                memories.append(MemLLMMemory(store, namespace=(kind, name), limits=limits))
            # the limits are the store's: each memory goes by those that it was opened with
            taken = pairs(memories[0], memories[1], kind, options.writes)
            ratio = statistics.median(one / other for one, other in taken)
            with_, without = (statistics.median(column) * 1e3 for column in zip(*taken, strict=True))
            shown = {"with, ms": round(with_, 2), "without, ms": round(without, 2), "ratio": round(ratio, 3)}
            rows.append({"source": kind, **shown})
            for memory in memories:
                memory.core.store.close()
    report("limits", "A write of 20 facts on Neo4j, limits on and off", rows, machine())


if __name__ == "__main__":
    main()
