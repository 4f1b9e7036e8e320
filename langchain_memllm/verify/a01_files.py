"""A01: restoring a backup, importing and bringing an old file to the present schema are killed at any step.

What is there then is the former state or the new one, each whole; it opens, doctor finds nothing, and doing it again
ends in the new state. An import comes in blocks: it may have a part, and loses nothing of what was there.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

from langchain_memllm.errors import MemLLMError
from langchain_memllm.memory import Memory
from langchain_memllm.stores import backup, open_store, parts
from langchain_memllm.verify.ledger import Counts, facts_of, integrity
from langchain_memllm.verify.old_files import COMMITS, old_file
from langchain_memllm.verify.processes import TinyEmbedder, spawn, told_by

__all__ = ["run"]

NAMESPACE: Final = ("verify", "files")
_STATEMENT: Final = "a statement"
_INSTRUCTIONS: Final = 20  # of SQLite's machine, between two moments of a statement
_BLOCK: Final = 10  # records, so that an import has several
Facts = Counter[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Case:
    """Something that is killed: how the folder is made, what is done in it, and whether a part of it may be there."""

    name: str
    make: Callable[[Path], None]
    act: Callable[[Path], object]
    in_parts: bool = False


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Kill ``scale`` processes, each at a line of the stores or in a statement; sabotage empties the file first.

    Lines come one after the other in a random order, however often each runs; each fourth kill comes in a statement.
    """
    counts, random_ = Counts(), random.Random(seed)  # noqa: S311 - moments, not secrets
    for case in CASES:
        case.make(_folder(folder / case.name / "template"))
    whole = {case.name: _undisturbed(folder / case.name, case) for case in CASES}
    lines = {name: itertools.cycle(_shuffled(steps, random_)) for name, (steps, _, _) in whole.items()}
    killed = 0
    for number in range(scale):
        case = CASES[number % len(CASES)]
        steps, before, after = whole[case.name]
        place = folder / case.name / f"{number}"
        shutil.copytree(folder / case.name / "template", place)
        at = _STATEMENT if random_.random() < 0.25 else next(lines[case.name])
        moment = random_.choice(steps[at])
        ended = os.waitstatus_to_exitcode(os.waitpid(spawn(partial(_act, place, case, moment, sabotage)), 0)[1])
        killed += ended == -signal.SIGKILL
        if ended > 0:
            counts.problems.append(f"{case.name} got an error")
        for problem in _judged(place, case, before, after, counts):
            counts.problems.append(f"{case.name}, killed at {at}: {problem}")
        shutil.rmtree(place)
        counts.tell(number + 1, scale, "kills")
    counts.figures = {"kills": killed, "lines": len({at for steps, _, _ in whole.values() for at in steps})}
    if killed < 0.8 * scale:
        counts.problems.append(f"only {killed} of {scale} could be killed: the others were over")
    return counts


def _shuffled(steps: Iterable[str], random_: random.Random) -> list[str]:
    lines = sorted(set(steps) - {_STATEMENT})
    random_.shuffle(lines)
    return lines


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _undisturbed(folder: Path, case: Case) -> tuple[dict[str, list[int]], Facts, Facts]:
    """The steps that it takes, by the line, and what the memory holds before and after."""
    place = folder / "whole"
    shutil.copytree(folder / "template", place)
    before = _held(place)
    steps = told_by(lambda: _act(place, case, None, False))
    return steps, before, _held(place)


def _act(place: Path, case: Case, moment: int | None, sabotage: bool) -> dict[str, list[int]]:
    """Do it, and die at a moment; the numbers of all moments that there were, by the line."""
    steps, numbers, connect = dict[str, list[int]](), itertools.count(), sqlite3.connect

    def step(at: str = _STATEMENT) -> int:
        number = next(numbers)
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        steps.setdefault(at, []).append(number)
        return 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        folder, _, name = frame.f_code.co_filename.rpartition(os.sep)
        if not folder.endswith(f"{os.sep}stores"):
            return None
        step(f"{name}:{frame.f_lineno}")
        return trace

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_progress_handler(step, _INSTRUCTIONS)
        return connection

    sqlite3.connect = connected  # type: ignore[assignment]
    sys.settrace(trace)
    try:
        (_emptied if sabotage else case.act)(place)
    finally:
        sys.settrace(None)
        sqlite3.connect = connect
    return steps


def _emptied(folder: Path) -> None:
    """Take away one fact after the other, each for good."""
    with contextlib.closing(sqlite3.connect(folder / "memllm.db", isolation_level=None)) as connection:
        while connection.execute("DELETE FROM fact WHERE id = (SELECT min(id) FROM fact)").rowcount:
            pass


def _judged(place: Path, case: Case, before: Facts, after: Facts, counts: Counts) -> list[str]:
    """What is wrong with what a kill left; the bare library looks at a copy, for it would move the log."""
    shutil.copytree(place, place / "looked")
    looked = place / "looked" / "memllm.db"
    if not looked.exists():
        counts.lost += before.total()
        return ["the file is not there"]
    held, problems = _held(looked.parent), integrity(looked)
    if case.in_parts:
        counts.lost += (before - held).total()
        counts.wrong += (held - after).total()
    elif held not in (before, after):
        counts.torn += 1
    try:
        with contextlib.closing(open_store(place / "memllm.db")) as store:
            problems += store.check()
        if _held(place) not in (held, after):
            counts.wrong += 1
        if held != before and case.name.startswith("restored"):
            kept = [_held_in(path) for path in place.glob("*before-restore*.db")]
            counts.lost += 0 if before in kept else before.total()
        case.act(place)
    except MemLLMError as error:
        problems.append(f"afterwards {type(error).__name__}: {error}")
    if _held(place) != after:
        counts.wrong += 1
    return problems


def _held(folder: Path) -> Facts:
    return _held_in(folder / "memllm.db")


def _held_in(path: Path) -> Facts:
    return Counter((fact.namespace, fact.triple, fact.is_open) for fact in facts_of(path))


def _write(path: Path, name: str, count: int, embedder: TinyEmbedder) -> None:
    with Memory(path, embedder=embedder) as memory:
        for number in range(count):
            triples = [(f"{name} {number}", "verifies", f"{name} {number} {i}") for i in range(3)]
            memory.write(triples, namespace=NAMESPACE)


class OtherEmbedder(TinyEmbedder):
    """One by which open clients could not go on: a restore moves such a memory away."""

    model_id = "verify/other-8"


def _with_backup(folder: Path, embedder: TinyEmbedder) -> None:
    _write(folder / "backup.db", "kept", 12, embedder)
    _write(folder / "memllm.db", "former", 8, TinyEmbedder())


def _restore(folder: Path) -> None:
    backup.restore(folder / "backup.db", folder / "memllm.db")


def _with_export(folder: Path) -> None:
    _write(folder / "other.db", "kept", 12, TinyEmbedder())
    with Memory(folder / "other.db", embedder=TinyEmbedder()) as memory:
        (folder / "export.json").write_text(json.dumps(list(memory.export(namespace=NAMESPACE))))
    _write(folder / "memllm.db", "former", 8, TinyEmbedder())


def _import(folder: Path) -> None:
    records = json.loads((folder / "export.json").read_text())
    parts.BLOCK, former = _BLOCK, parts.BLOCK  # type: ignore[misc]
    try:
        with Memory(folder / "memllm.db", embedder=TinyEmbedder()) as memory:
            memory.restore(records)
    finally:
        parts.BLOCK = former  # type: ignore[misc]


def _open(folder: Path) -> None:
    open_store(folder / "memllm.db").close()


def _old(commit: str, folder: Path) -> None:
    old_file(folder / "memllm.db", commit)


CASES: Final = (
    Case("restored", partial(_with_backup, embedder=TinyEmbedder()), _restore),
    Case("restored, another embedder", partial(_with_backup, embedder=OtherEmbedder()), _restore),
    Case("imported", _with_export, _import, in_parts=True),
    *(Case(f"brought up from {commit}", partial(_old, commit), _open) for commit in COMMITS),
)
