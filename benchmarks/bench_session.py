"""Very many turns in one session on SQLite: processor time of each verb of the Hub, and memory.

    python -m benchmarks.bench_session [10000 50000 200000 1000000]

A turn every seven minutes, of nine words out of 5,000 that follow Zipf's law, by the person and a model in turns. What
is counted is the time of the process, so that a busy machine may be used; each verb runs five times, and the median
counts. The first search loads the search codes of all turns and is told apart.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import machine, report
from langchain_memllm import MemLLMMemory
from langchain_memllm.stores import open_store
from langchain_memllm.stores.episodes import Turn

BATCH: Final = 1_000
RUNS: Final = 5
THREAD: Final = "long"
BEGIN: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
QUESTION: Final = "What did I say about word17 and word421?"


def said(number: int) -> Turn:
    """Turn so many of the session."""
    random_ = random.Random(number)
    words = [f"word{min(5_000, int(random_.paretovariate(0.7)))}" for _ in range(9)]
    at = (BEGIN + timedelta(minutes=7 * number)).isoformat(timespec="microseconds")
    role, kind = ("user", "user") if number % 2 == 0 else ("assistant", "model")
    text = f"Number {number}: {' '.join(words)}."
    return Turn(
        Turn.named(THREAD, str(number)),
        THREAD,
        text,
        at,
        role,
        kind=kind,  # type: ignore[arg-type]
        ref=f"{THREAD}/{number}",
    )


def verbs(count: int) -> Iterator[tuple[str, Callable[[MemLLMMemory, int], object]]]:
    """What is measured, of a session of so many turns; each call is told which it is."""
    middle = said(count // 2)
    yield "first search", lambda memory, _: memory.hub.search(QUESTION)
    yield "keep one", lambda memory, run: memory.hub.keep([said(count + run)])
    yield "window, 20 turns", lambda memory, _: memory.hub.window(THREAD, n=20)
    yield "window, 600 tokens", lambda memory, _: memory.hub.window(THREAD, tokens=600)
    yield "last episode", lambda memory, _: memory.hub.episode(session=THREAD)
    yield "episode of a moment", lambda memory, _: memory.hub.episode(at=middle.at, session=THREAD)
    yield "episode of a day", lambda memory, _: memory.hub.episode(at=middle.at[:10], session=THREAD)
    yield "search", lambda memory, _: memory.hub.search(QUESTION)
    yield "search after a turn", lambda memory, run: (memory.hub.keep([said(count + 9 + run)]), search(memory))
    yield "search, a word of one turn", lambda memory, _: memory.hub.search(f'"Number {count // 3}"')
    yield "recall with quotes", lambda memory, _: memory.recall(QUESTION, show="auto")


def search(memory: MemLLMMemory) -> object:
    """The question, asked once."""
    return memory.hub.search(QUESTION)


def measured(count: int) -> dict[str, Any]:
    """Milliseconds of each verb, in this order, and the memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        memory = MemLLMMemory(open_store(Path(folder) / "memllm.db", durability="normal"), episodes=True)
        begun = time.process_time()
        for first in range(0, count, BATCH):
            memory.hub.keep(map(said, range(first, first + BATCH)))
        row: dict[str, Any] = {"turns": count, "fill, s": round(time.process_time() - begun, 1)}
        for name, verb in verbs(count):
            taken = []
            for run in range(1 if name.startswith("first") else RUNS):
                begun = time.process_time()
                verb(memory, run)
                taken.append(1e3 * (time.process_time() - begun))
            row[f"{name}, ms"] = round(statistics.median(taken), 1)
        row["peak, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        memory.core.store.close()
    return row


def main() -> None:
    """Measure each size, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 50_000, 200_000])
    rows = [measured(size) for size in parser.parse_args().sizes]
    report("session", "Very many turns in one session", rows, machine())


if __name__ == "__main__":
    main()
