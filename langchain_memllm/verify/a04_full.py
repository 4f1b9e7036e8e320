"""A04: the disk is full, in three ways: what was acknowledged is there, reading goes on, writing resumes by itself.

By the database's own limit of pages, by a limit of file sizes, and by a real small disk, where one may be mounted.
"""

from __future__ import annotations

import logging
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from langchain_memllm.errors import StoreUnavailable
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.verify.ledger import Counts, facts_of, integrity
from langchain_memllm.verify.processes import TinyEmbedder, told_by

__all__ = ["run"]

NAMESPACE = ("verify", "full")
AFTER = 5
_MOST = 20_000  # writes, before which every disk of these is full


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Fill ``scale`` disks, by one way after the other; sabotage acknowledges what was refused."""
    counts, ways, done = Counts(), [_pages, _file_size, _small_disk], list[str]()
    for number in range(scale):
        way = ways[number % len(ways)]
        place = folder / f"{number}"
        place.mkdir()
        with way(place, number) as lift:
            if lift is None:
                continue
            _fill(place / "memllm.db", way.__name__[1:], lift, sabotage, counts)
            done.append(way.__name__[1:])
    counts.figures = {"disks filled": len(done), "ways": len(set(done))}
    return counts


def _fill(path: Path, way: str, lift: Callable[[], None], sabotage: bool, counts: Counts) -> None:
    """Write until there is no room, look, make room, write on; in a process of its own, since limits stay."""
    told = told_by(lambda: _live(path, lift, sabotage)) or {"acked": 0, "problems": ["the process ended"]}
    counts.problems += [f"{way}: {problem}" for problem in [*told["problems"], *integrity(path)]]
    held = [fact.triple[0] for fact in facts_of(path)]
    counts.lost += len({f"name {number}" for number in range(told["acked"])} - set(held))
    counts.duplicated += len(held) - len(set(held))


def _live(path: Path, lift: Callable[[], None], sabotage: bool) -> dict[str, Any]:
    problems: list[str] = []
    logging.getLogger().addHandler(logging.NullHandler())  # a full disk is expected here
    memory = Memory(path, embedder=TinyEmbedder(), thresholds=EXACT)
    acked = 0
    try:
        for _ in range(_MOST):
            _write(memory, acked)
            acked += 1
        problems.append("the disk was never full")
    except StoreUnavailable as error:
        if "is full" not in str(error) or "write again" not in str(error):
            problems.append(f"told as {error}")
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
    acked += 2 * AFTER if sabotage else 0
    if not sabotage and len(memory.read("name 0", "likes", namespace=NAMESPACE).answers) != 1:
        problems.append("nothing could be read")
    lift()
    for _ in range(0 if sabotage else AFTER):
        _write(memory, acked)
        acked += 1
    memory.close()
    return {"acked": acked, "problems": problems}


def _write(memory: Memory, number: int) -> None:
    memory.write([(f"name {number}", "likes", f"thing {number % 50} " + "x" * 100)], namespace=NAMESPACE)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)  # noqa: S603


@contextmanager
def _pages(folder: Path, number: int) -> Iterator[Callable[[], None] | None]:
    """SQLite's own limit, on every connection that is opened meanwhile."""
    connect = sqlite3.connect

    def limited(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        opened.append(connection)
        connection.execute(f"PRAGMA max_page_count={90 + 40 * number}")
        return connection

    def lift() -> None:
        sqlite3.connect = connect
        for connection in opened:
            with suppress(sqlite3.ProgrammingError):  # it is closed
                connection.execute("PRAGMA max_page_count=1000000")

    opened: list[sqlite3.Connection] = []
    sqlite3.connect = limited  # type: ignore[assignment]
    try:
        yield lift
    finally:
        sqlite3.connect = connect


@contextmanager
def _file_size(folder: Path, number: int) -> Iterator[Callable[[], None] | None]:
    """A limit of this process, which Python makes an error instead of a signal."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000 + 100_000 * number, former[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, former)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@contextmanager
def _small_disk(folder: Path, number: int) -> Iterator[Callable[[], None] | None]:
    """One in memory, where this user may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={1 + number % 3}m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:  # noqa: S603
        yield None
        return
    larger = ["mount", "-o", "remount,size=32m", str(folder)]
    try:
        yield lambda: _run(larger)
    finally:
        _run(["umount", "-l", str(folder)])
