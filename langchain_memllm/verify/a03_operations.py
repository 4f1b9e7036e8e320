"""A03: each operation on the files fails once, by an I/O error or a full disk: a typed error, nothing lost, on it goes.

A preloaded shim counts what a short life of a memory does to its files (open, writes, forget, purge, close), and lets
the N-th fail, in a process of its own for each N.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_memllm.errors import MemLLMError, StoreError
from langchain_memllm.memory import Memory
from langchain_memllm.stores import sqlite_log
from langchain_memllm.verify import shim
from langchain_memllm.verify.ledger import Counts, facts_of, integrity
from langchain_memllm.verify.processes import TinyEmbedder, side_by_side, told_by

__all__ = ["inside", "run"]

NAMESPACE = ("verify", "operations")
WRITES = 10
ERRORS = (errno.EIO, errno.ENOSPC)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` runs at most, spread over all operations and both errors; sabotage acknowledges what failed."""
    return shim.run_with(__name__, folder, scale=scale, seed=seed, sabotage=sabotage)


def inside(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Fail one operation after the other."""
    shim.watch(folder)
    counts = Counts()
    whole = _lived(folder / "whole", -1, 0, sabotage)
    operations = int(whole["operations"])
    cases = [(n, error) for n in range(operations) for error in ERRORS]
    chosen = cases[seed % 2 :: max(1, len(cases) // scale)] if scale < len(cases) else cases
    lives = side_by_side(lambda number: _lived(folder / f"{number}", *chosen[number], sabotage), len(chosen))
    for number, ((operation, error), told) in enumerate(zip(chosen, lives, strict=True)):
        name = f"operation {operation}, {errno.errorcode[error]}"
        counts.problems += [f"{name}: {problem}" for problem in told["problems"]]
        _compare(folder / f"{number}" / "memllm.db", told, counts, name)
    counts.figures = {"runs": len(chosen), "operations": operations}
    return counts


def _lived(folder: Path, operation: int, error: int, sabotage: bool) -> dict[str, Any]:
    """One life in a process of its own, and what it tells of it."""
    folder.mkdir()

    def life() -> dict[str, Any]:
        shim.arm(operation, error)
        return _live(folder / "memllm.db", sabotage)

    return told_by(life) or {"problems": ["the process ended"], "tried": [], "acked": [], "forgotten": "no"}


def _live(path: Path, sabotage: bool) -> dict[str, Any]:
    sqlite_log._DUE = 100_000  # type: ignore[misc] # so that the log is moved meanwhile
    tried, acked, problems = list[int](), list[int](), list[str]()
    forgotten = "no"

    def attempt(call: Callable[[], object]) -> bool:
        try:
            call()
        except StoreError:
            return sabotage
        except (MemLLMError, Exception) as error:
            problems.append(f"{type(error).__name__}: {error}")
            return False
        return True

    memory = _opened(path, problems)
    for number in range(WRITES):
        tried.append(number)
        if attempt(lambda number=number: _write(memory, number)):  # type: ignore[misc]
            acked.append(number)
        attempt(lambda: memory.read("s0", "verifies", namespace=NAMESPACE))
    forgotten = "yes" if attempt(lambda: memory.forget(name="s3", namespace=NAMESPACE)) else "unknown"
    attempt(lambda: memory.forget(name="nobody", namespace=NAMESPACE, purge=True))
    tried.append(WRITES)
    if attempt(lambda: _write(memory, WRITES)):
        acked.append(WRITES)
    done = shim.operations()
    shim.arm(-1, 0)  # the fault is gone: from here on everything works
    try:
        tried.append(WRITES + 1)
        _write(memory, WRITES + 1)
        acked.append(WRITES + 1)
        memory.close()
    except Exception as error:
        problems.append(f"afterwards {type(error).__name__}: {error}")
    return {"operations": done, "tried": tried, "acked": acked, "forgotten": forgotten, "problems": problems}


def _opened(path: Path, problems: list[str]) -> Memory:
    """The memory, at the second attempt if the first met the fault."""
    with contextlib.suppress(StoreError):
        return Memory(path, embedder=TinyEmbedder())
    return Memory(path, embedder=TinyEmbedder())


def _write(memory: Memory, number: int) -> None:
    memory.write([(f"s{number}", "verifies", f"o{number} {i}") for i in range(2)], namespace=NAMESPACE)


def _compare(path: Path, told: dict[str, Any], counts: Counts, name: str) -> None:
    counts.problems += [f"{name}: {problem}" for problem in integrity(path)]
    held: dict[int, list[str]] = {}
    for fact in facts_of(path):
        held.setdefault(int(fact.triple[0][1:]), []).append(fact.triple[2])
    counts.torn += sum(len(objects) == 1 for objects in held.values())
    counts.duplicated += sum(len(objects) - len(set(objects)) for objects in held.values())
    counts.wrong += len(held.keys() - set(told["tried"])) + (told["forgotten"] == "yes" and 3 in held)
    counts.lost += len(set(told["acked"]) - held.keys() - ({3} if told["forgotten"] != "no" else set()))
