"""A30: a memory stays open for long while writers beside it are killed: nothing is lost, and nothing grows.

Five writes and ten reads a second by one process, as an agent's server would; its memory, handles and log are looked at
a hundred times on the way.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from langchain_memllm.memory import Memory
from langchain_memllm.verify.ledger import Counts, Ledger, Names, compare, facts_of, integrity, read_ledgers
from langchain_memllm.verify.processes import TinyEmbedder, kill, spawn, unlimited, wait

__all__ = ["run"]

NAMESPACE: Final = ("verify", "long")
FORGOTTEN: Final = ("verify", "forgotten")
BATCH: Final = 3
SAMPLES: Final = 100
LOG_LIMIT: Final = 64 * 1024 * 1024
LONG: Final = 600
"""Seconds below which a process is still filling its caches, and its growth says nothing."""


class Sample(NamedTuple):
    """What the lasting process was at a moment: bytes, handles, bytes of log, and the slowest of its last reads."""

    resident: int
    handles: int
    log: int
    slowest: float


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` seconds; sabotage has the lasting process acknowledge one write in ten that it never makes."""
    counts, random_ = Counts(), random.Random(seed)  # noqa: S311 - moments, not secrets
    path, samples = folder / "long.db", folder / "long.samples"
    unlimited(path)
    ledgers = [folder / "long-lasting.ledger"]
    begin = time.monotonic()
    lasting = spawn(lambda: _last(path, ledgers[0], samples, scale, sabotage))
    killed = 0
    while (passed := time.monotonic() - begin) < scale - 1:
        ledgers.append(folder / f"long-{killed}.ledger")
        pid = spawn(lambda ledger=ledgers[-1], name=f"killed {killed}": _write(path, ledger, name))  # type: ignore[misc]
        killed += kill([pid], random_.uniform(0.3, 1.5))
        counts.tell(int(passed) + 1, scale, "seconds")
    if wait([lasting]):
        counts.problems.append("the lasting process got an error")
    intents, acks = read_ledgers(ledgers)
    compare(facts_of(path), intents, acks, counts)
    counts.problems += integrity(path)
    counts.figures = {"seconds": scale, "kills": killed, "operations": len(acks)}
    _judge([Sample(*json.loads(line)) for line in samples.read_text().splitlines()], scale, counts)
    return counts


def _judge(samples: Sequence[Sample], scale: int, counts: Counts) -> None:
    """The log has a bound; after half of the time neither memory nor handles grow, nor do reads take longer."""
    if len(samples) < min(SAMPLES, 2 * scale) // 2:
        counts.problems.append(f"only {len(samples)} samples: the lasting process hardly ran")
        return
    log = max(sample.log for sample in samples)
    middle, end = samples[len(samples) // 2], samples[-1]
    counts.figures |= {"MB of log at most": log // 1_000_000, "MB resident": end.resident // 1_000_000}
    if log > LOG_LIMIT:
        counts.problems.append(f"the log had {log:,} bytes, more than {LOG_LIMIT:,}")
    if scale < LONG:
        return
    third = len(samples) // 3
    before, after = (_percentile(part) for part in (samples[third : 2 * third], samples[2 * third :]))
    counts.figures |= {"µs for a slow read": round(after * 1e6), "before": round(before * 1e6)}
    if end.resident > 1.05 * middle.resident:
        counts.problems.append(f"{middle.resident:,} bytes became {end.resident:,} in the second half")
    if end.handles > middle.handles:
        counts.problems.append(f"{middle.handles} open handles became {end.handles}")


def _percentile(samples: Sequence[Sample]) -> float:
    """The middle of the slowest reads."""
    return sorted(sample.slowest for sample in samples)[len(samples) // 2]


def _last(path: Path, ledger_path: Path, samples: Path, seconds: int, sabotage: bool) -> None:
    """Write, read, recall and forget at an even pace, and note a sample from time to time."""
    ledger, memory = Ledger(ledger_path), Memory(path, embedder=TinyEmbedder())
    begin, step, taken, slowest = time.monotonic(), 0, 0, 0.0
    with samples.open("a", encoding="utf-8") as file:
        while (passed := time.monotonic() - begin) < seconds:
            _operate(memory, ledger, f"lasting {step}", skip=sabotage and step % 10 == 9)
            if step % 20 == 0:
                memory.write([(f"passing {step}", "verify relation", "gone")], namespace=FORGOTTEN)
                memory.forget(everything=True, namespace=FORGOTTEN)
            for _ in range(2):
                asked = time.monotonic()
                memory.read(f"subject lasting {step}", "verify relation", namespace=NAMESPACE)
                slowest = max(slowest, time.monotonic() - asked)
            memory.recall(f"What of subject lasting {step // 2}?", namespace=NAMESPACE)
            if passed * SAMPLES >= seconds * taken:
                file.write(json.dumps(_sample(path, slowest)) + "\n")
                file.flush()
                taken, slowest = taken + 1, 0.0
            step += 1
            time.sleep(max(0.0, step * 0.2 - (time.monotonic() - begin)))


def _write(path: Path, ledger_path: Path, name: str) -> None:
    """Write until killed."""
    ledger, memory = Ledger(ledger_path), Memory(path, embedder=TinyEmbedder())
    for number in range(1_000_000):
        _operate(memory, ledger, f"{name}-{number}")
        time.sleep(0.02)


def _operate(memory: Memory, ledger: Ledger, op_id: str, *, skip: bool = False) -> None:
    triples: list[Names] = [(f"subject {op_id}", "verify relation", f"object {op_id} {i}") for i in range(BATCH)]
    ledger.intent(op_id, triples)
    if skip:
        ledger.ack(op_id, ["stored"] * BATCH, 0)
        return
    receipt = memory.write(triples, namespace=NAMESPACE, op_id=op_id)
    ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)


def _sample(path: Path, slowest: float) -> Sample:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    log = path.with_name(path.name + "-wal")
    return Sample(
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir("/proc/self/fd")),
        log.stat().st_size if log.exists() else 0,
        slowest,
    )
