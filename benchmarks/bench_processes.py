"""Eight processes that write one file for a minute, as the workers of a server do: how long a write waits, and the log.

    python -m benchmarks.bench_processes [--seconds 60] [--processes 8]

Each process opens the memory and writes facts of its own user, one operation after the other, durably. Told are the
times of all writes and the most that the log (``-wal``) had; the facts that are there are counted afterwards.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import machine, percentile, report, timed
from langchain_memllm.memory import Memory
from langchain_memllm.verify.processes import TinyEmbedder, side_by_side

PER_OPERATION: Final = 5


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        Memory(path, embedder=TinyEmbedder()).close()
        host = machine()
        told = side_by_side(lambda who: _write(path, who, given.seconds), given.processes, given.processes)
        with Memory(path, embedder=TinyEmbedder()) as memory:
            there = sum(memory.stats(namespace=("bench", str(who))).facts for who in range(given.processes))
    times = [each for some, _ in told for each in some]
    if there != PER_OPERATION * len(times):
        raise SystemExit(f"{there} facts are there, {PER_OPERATION * len(times)} were acknowledged")
    row: dict[str, Any] = {
        "processes": given.processes,
        "seconds": given.seconds,
        "writes": len(times),
        "writes a second": round(len(times) / given.seconds),
        **{f"p{share:g} ms": round(percentile(times, share / 100), 1) for share in (50, 99, 99.9)},
        "longest ms": round(max(times), 1),
        "MB of log at most": round(max(log for _, log in told) / 2**20, 1),
    }
    report("processes", "Writers of one file in processes of their own", [row], host)


def _write(path: Path, who: int, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of each write until the time is over, and the most bytes of the log after one."""
    taken: list[float] = []
    log, most = Path(f"{path}-wal"), 0
    end = time.monotonic() + seconds
    with Memory(path, embedder=TinyEmbedder()) as memory:

        def write(number: int) -> None:
            triples = [(f"name {number}", "likes", f"thing {number} {part}") for part in range(PER_OPERATION)]
            memory.write(triples, namespace=("bench", str(who)))

        while time.monotonic() < end:
            taken += timed(write, [len(taken)])
            most = max(most, log.stat().st_size)
    return taken, most


if __name__ == "__main__":
    main()
