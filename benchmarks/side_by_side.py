"""Small reads and writes of several checkouts beside each other: what a change costs, on a machine that is busy.

    python -m benchmarks.side_by_side OTHER_CHECKOUT . --rounds 40

Each checkout runs in a process of its own, with the same Python; they take turns, and what is counted is the time of
the thread, not that on the clock. A ratio is the median of the ratios of each turn to that of the first checkout.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

NAMES = 2_000
CALLS = {"plain read": 300, "read with an inverse": 300, "write": 40, "recall": 60}


class Embedder:
    """Eight numbers from a text's characters: embedding is none of what is compared."""

    model_id = "benchmarks/tiny-8"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector of eight counts for each text."""
        return [[1.0 + sum(ord(c) % 8 == bucket for c in text) for bucket in range(8)] for text in texts]


def answer() -> None:
    """In the process of a checkout: run what is asked for on standard input, tell the microseconds of a call."""
    from langchain_memllm.memory import Memory

    memory, namespace, written = Memory(tempfile.mkdtemp() + "/memllm.db", embedder=Embedder()), ("bench",), [0]
    for n in range(0, NAMES, 100):
        likes = [(f"person {i}", "likes", f"thing {i}") for i in range(n, n + 100)]
        memory.write(likes + [(f"country {i}", "capital", f"town {i}") for i in range(n, n + 100)], namespace=namespace)

    def write(_: int) -> None:
        written[0] += 1
        memory.write([(f"extra {written[0]}", "likes", f"new {written[0]}")], namespace=namespace)

    calls: dict[str, Callable[[int], object]] = {
        "plain read": lambda n: memory.read(f"person {n}", "likes", namespace=namespace),
        "read with an inverse": lambda n: memory.read(f"country {n}", "capital", namespace=namespace),
        "write": write,
        "recall": lambda n: memory.recall(f"What does person {n} like?", namespace=namespace),
    }
    for line in sys.stdin:
        call, count = calls[line.strip()], CALLS[line.strip()]
        start = time.thread_time()
        for n in range(count):
            call(n)
        print((time.thread_time() - start) / count * 1e6, flush=True)


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    here = str(Path(__file__).parent)
    start = f"import sys; sys.path[:0] = [sys.argv[1], {here!r}]; import side_by_side; side_by_side.answer()"
    runs = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", start, str(checkout.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for checkout in arguments.checkouts
    ]

    def asked(run: subprocess.Popen[str], what: str) -> float:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(f"{what}\n")
        run.stdin.flush()
        return float(run.stdout.readline())

    for what in CALLS:
        taken: list[list[float]] = [[] for _ in runs]
        for turn in range(arguments.rounds + 1):
            places = range(len(runs)) if turn % 2 else reversed(range(len(runs)))
            for place in places:
                taken[place].append(asked(runs[place], what))
        first = taken[0][1:]  # without the turn that fills caches
        for checkout, some in zip(arguments.checkouts, taken, strict=True):
            ratio = statistics.median(one / other for one, other in zip(some[1:], first, strict=True))
            print(f"{what:22} {checkout.name or '.':16} {statistics.median(some[1:]):9.1f} µs  × {ratio:.3f}")
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
        run.wait()


if __name__ == "__main__":
    main()
