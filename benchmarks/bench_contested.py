"""Very many contested values in one memory on SQLite: processor time of each verb, and memory.

    python -m benchmarks.bench_contested [10000 40000 100000 1000000] [--shape slots|slot]

``slots``: two values each for half as many people, one by the person and one by a document; every fact shares its
words with the question. ``slot``: all values in one slot, as files of before hold them (policy ``paper``; by the rules
of today a slot takes 64). What is counted is the time of the process, so that a busy machine may be used; each size
runs once.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, report
from langchain_memllm import MemLLMMemory, Source
from langchain_memllm.stores import open_store

BATCH = 1_000
PAGE = Source("document", "list")


def fill(memory: MemLLMMemory, shape: str, count: int) -> None:
    """Write so many values that contest one another."""
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        if shape == "slot":
            memory.write([("Ada", "lives in", f"Town {n}") for n in numbers], source=PAGE, policy="paper")
            continue
        values = [("Ada" if n < 2 else f"Person {n // 2}", "lives in", f"Town {n}") for n in numbers]
        memory.write(values[::2])
        memory.write(values[1::2], source=PAGE)


VERBS: dict[str, Callable[[MemLLMMemory], object]] = {
    "read": lambda memory: memory.read("Ada", "lives in"),
    "recall, first": lambda memory: memory.recall("Where does Ada live?"),
    "recall": lambda memory: memory.recall("Where does Ada live?"),
    "write": lambda memory: memory.write([("Ada", "lives in", "Rome")], source=PAGE),
    "stats": lambda memory: memory.stats(),
    "doctor": lambda memory: memory.verify(),
    "forget a slot": lambda memory: memory.forget(subject="Ada", relation="lives in"),
    "forget a source": lambda memory: memory.forget(source=PAGE.ref),
}


def measured(shape: str, count: int) -> dict[str, Any]:
    """Milliseconds of each verb, in this order, and the memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        memory = MemLLMMemory(open_store(Path(folder) / "memllm.db", durability="normal"))
        begun = time.process_time()
        fill(memory, shape, count)
        row: dict[str, Any] = {"values": count, "fill, s": round(time.process_time() - begun, 1)}
        for name, verb in VERBS.items():
            begun = time.process_time()
            verb(memory)
            row[f"{name}, ms"] = round(1e3 * (time.process_time() - begun), 1)
        row["peak, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        memory.core.store.close()
    return row


def main() -> None:
    """Measure each size, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--shape", choices=["slots", "slot"], default="slots")
    options = parser.parse_args()
    rows = [measured(options.shape, size) for size in options.sizes]
    report(f"contested-{options.shape}", f"Contested values, {options.shape}", rows, machine())


if __name__ == "__main__":
    main()
