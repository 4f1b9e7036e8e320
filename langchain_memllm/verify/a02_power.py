"""A02: the power is cut at random moments, with any writes lost that were not synced; what has a receipt is there.

A preloaded shim notes every write, truncation and sync of a real run with moves of the log, forgetting and purging. The
files are then made as they were at a cut, and read by the bare library. Writes are lost whole: no sector is torn.
"""

from __future__ import annotations

import os
import random
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from langchain_memllm.errors import MemLLMError
from langchain_memllm.memory import Memory
from langchain_memllm.stores import sqlite_log
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.verify import shim
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import TinyEmbedder, spawn, wait

__all__ = ["inside", "run"]

NAMESPACE = ("verify", "power")
WRITES, FORGET_EVERY, PURGE_AT = 70, 7, 45
_DUE = 150_000  # bytes of log, so that many cuts meet a move
_HEAD = struct.Struct("=4q")
_OBJECTS = """SELECT s.spelling, o.spelling FROM fact f JOIN name s ON s.id = f.s JOIN name o ON o.id = f.o"""


class Step(NamedTuple):
    """What was done to a file."""

    what: str
    name: str
    offset: int
    data: bytes


@dataclass(slots=True)
class File:
    """A file as the disk has it, and what was not synced since."""

    content: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)

    def sync(self) -> None:
        """All of it is on the disk."""
        for step in self.pending:
            _apply(self.content, step)
        self.pending.clear()

    def after_cut(self, random_: random.Random, share: float) -> bytearray:
        """What a cut leaves: any of the writes that were not synced."""
        left = bytearray(self.content)
        for step in self.pending:
            if random_.random() < share:
                _apply(left, step)
        return left


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` cuts with ``durability="full"``, and a third as many with ``"normal"``, which may lose and not damage.

    Sabotage acknowledges by ``"normal"`` what was promised by ``"full"``.
    """
    return shim.run_with(__name__, folder, scale=scale, seed=seed, sabotage=sabotage)


def inside(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Record and cut."""
    counts = Counts()
    steps = _recorded(folder / "full", "normal" if sabotage else "full")
    _cut(steps, scale, seed, counts)
    relaxed = Counts()
    _cut(_recorded(folder / "normal", "normal"), scale // 3, seed, relaxed)
    counts.problems += [problem for problem in relaxed.problems if "damaged" in problem]
    counts.figures = {"cuts": scale, "file operations": len(steps)}
    counts.figures |= {"cuts at normal": scale // 3, "lost there": relaxed.lost}
    return counts


def _recorded(folder: Path, durability: Literal["full", "normal"]) -> list[Step]:
    """Every operation on the files of a memory that is written, forgotten in and purged, with the acknowledgements."""
    folder.mkdir()
    noted = folder.with_suffix(".log")
    if wait([spawn(lambda: _work(folder, noted, durability))]):
        raise RuntimeError("the run that is recorded failed")
    return list(_read(noted))


def _work(folder: Path, noted: Path, durability: Literal["full", "normal"]) -> None:
    shim.watch(folder)
    shim.log_to(noted)
    sqlite_log._DUE = _DUE  # type: ignore[misc]
    acks = os.open(folder / "acks", os.O_CREAT | os.O_WRONLY)
    memory = Memory(EmbeddedStore(folder / "memllm.db", durability=durability), embedder=TinyEmbedder())
    for number in range(WRITES):
        memory.write([(f"s{number}", "verifies", f"o{number} {i}") for i in range(2)], namespace=NAMESPACE)
        os.write(acks, f"+{number}\n".encode())
        if number % FORGET_EVERY == FORGET_EVERY - 1:
            memory.forget(name=f"s{number - 3}", namespace=NAMESPACE, purge=number > PURGE_AT)
            os.write(acks, f"-{number - 3}\n".encode())


def _read(noted: Path) -> Iterator[Step]:
    content, place = noted.read_bytes(), 0
    while place < len(content):
        what, length, offset, size = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        name = content[place : place + length].decode()
        place += length
        yield Step(chr(what), name, offset, content[place : place + size])
        place += size


def _cut(steps: list[Step], cuts: int, seed: int, counts: Counts) -> None:
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    moments = sorted(random_.randrange(len(steps) // 20, len(steps)) for _ in range(cuts))
    files: dict[str, File] = {}
    written, forgotten = set[int](), set[int]()
    begun = 0
    for number, moment in enumerate(moments):
        for step in steps[begun:moment]:
            if step.what == "a":
                (written if step.data[:1] == b"+" else forgotten).add(int(step.data[1:]))
            elif not step.name.endswith("-shm"):
                _happens(files, step)
        begun = moment
        share = random_.choice((0.0, 0.3, 0.7, 1.0))
        with tempfile.TemporaryDirectory() as folder:
            for name, file in files.items():
                (Path(folder) / name).write_bytes(file.after_cut(random_, share))
            _look(Path(folder) / "memllm.db", written, forgotten, counts, reopen=number % 10 == 0)


def _happens(files: dict[str, File], step: Step) -> None:
    if step.what == "u":
        files.pop(step.name, None)
    elif step.what == "s":
        files.setdefault(step.name, File()).sync()
    else:
        files.setdefault(step.name, File()).pending.append(step)


def _apply(content: bytearray, step: Step) -> None:
    if step.what == "t":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    if len(content) < step.offset:
        content.extend(bytes(step.offset - len(content)))
    content[step.offset : step.offset + len(step.data)] = step.data


def _look(path: Path, written: set[int], forgotten: set[int], counts: Counts, *, reopen: bool) -> None:
    """Compare what the file holds with what was acknowledged; what was on its way may be there or not."""
    try:
        connection = sqlite3.connect(path)
        sound = [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]
        there = [tuple(row) for row in connection.execute(_OBJECTS)] if sound else []
        connection.close()
    except sqlite3.OperationalError as error:
        there, sound = [], "no such table" in str(error) and not written
    except sqlite3.DatabaseError:
        there, sound = [], False
    if not sound:
        counts.problems.append(f"damaged after {len(written)} writes")
        return
    held: dict[int, set[str]] = {}
    for subject, object_ in there:
        held.setdefault(int(subject[1:]), set()).add(object_)
    counts.duplicated += len(there) - sum(map(len, held.values()))
    counts.torn += sum(len(objects) == 1 for objects in held.values())
    on_its_way = max(written, default=-1) - 3  # a forget that was not acknowledged yet
    counts.lost += len(written - forgotten - held.keys() - {on_its_way})
    counts.wrong += len(forgotten & held.keys()) + len(held.keys() - written - {max(written, default=-1) + 1})
    if reopen:
        try:
            with Memory(path, embedder=TinyEmbedder()) as memory:
                counts.problems += [f"doctor: {problem}" for problem in memory.verify()]
        except MemLLMError as error:
            counts.problems.append(f"not opened again: {error}")
