"""A16: clocks that jump, and files that are damaged, mixed up or replaced: refused, told by doctor, or answered right.

Every case begins with the files of one memory that was killed, so that a part of it is in its log.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from langchain_memllm.errors import MemLLMError
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import TinyEmbedder, kill, spawn

__all__ = ["run"]

NAMESPACE = ("verify", "files")
FACTS: Final = 40
Damage = Callable[[Path, Path, random.Random], None]


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` damaged memories, by one way after the other, and a clock; sabotage expects other answers."""
    counts, random_ = Counts(), random.Random(seed)  # noqa: S311 - places of damage
    template, other = folder / "template", folder / "other"
    for place, name in ((template, "thing"), (other, "other")):
        place.mkdir()
        _make(place / "memllm.db", name)
    refused = told = right = 0
    for number in range(scale):
        place = folder / f"{number}"
        shutil.copytree(template, place)
        damage = DAMAGES[number % len(DAMAGES)]
        damage(place / "memllm.db", other / "memllm.db", random_)
        try:
            problems, wrong = _answers(place / "memllm.db", "other" if sabotage else "thing")
        except MemLLMError:
            refused += 1
        except Exception as error:
            counts.problems.append(f"{damage.__name__}: {type(error).__name__}: {error}")
        else:
            told += bool(problems)
            right += not problems and not wrong
            if wrong and not problems:
                counts.wrong += wrong
                counts.problems.append(f"{damage.__name__}: {wrong} wrong answers, and doctor says nothing")
        shutil.rmtree(place)
    _clock(folder / "clock.db", counts)
    counts.figures = {"damaged files": scale, "refused": refused, "told by doctor": told, "answered right": right}
    return counts


def _make(path: Path, name: str) -> None:
    """Half of the facts in the file, half in the log of a process that was killed."""
    with Memory(path, embedder=TinyEmbedder()) as memory:
        _write(memory, name, range(FACTS // 2))
    done = path.with_name("done")

    def work() -> None:
        memory = Memory(path, embedder=TinyEmbedder())
        _write(memory, name, range(FACTS // 2, FACTS))
        done.touch()
        signal.pause()

    pid = spawn(work)
    while not done.exists():
        time.sleep(0.01)
    kill([pid], 0)
    done.unlink()


def _write(memory: Memory, name: str, numbers: range) -> None:
    for number in numbers:
        memory.write([(f"subject {number}", "verifies", f"{name} {number}")], namespace=NAMESPACE)


def _answers(path: Path, name: str) -> tuple[list[str], int]:
    """What doctor says, and how many facts are not answered as they were written."""
    with Memory(path, embedder=TinyEmbedder(), thresholds=EXACT) as memory:
        wrong = sum(
            memory.read(f"subject {number}", "verifies", namespace=NAMESPACE).answers != (f"{name} {number}",)
            for number in range(FACTS)
        )
        return memory.verify(), wrong


def _nothing(path: Path, other: Path, random_: random.Random) -> None:
    """The kill alone."""


def _truncated(path: Path, other: Path, random_: random.Random) -> None:
    os.truncate(path, random_.randrange(1, path.stat().st_size))


def _zeroed_page(path: Path, other: Path, random_: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(random_.randrange(path.stat().st_size // 4096) * 4096)
        file.write(bytes(4096))


def _torn_log(path: Path, other: Path, random_: random.Random) -> None:
    """Frames of the log that are not as they were written: SQLite leaves them out, and so does the kill's memory."""
    log = Path(f"{path}-wal")
    shutil.copy(f"{other}-wal", log)


def _foreign_file(path: Path, other: Path, random_: random.Random) -> None:
    shutil.copy(other, path)


def _missing_file(path: Path, other: Path, random_: random.Random) -> None:
    path.unlink()


def _missing_index(path: Path, other: Path, random_: random.Random) -> None:
    Path(f"{path}-shm").unlink(missing_ok=True)


def _foreign_index(path: Path, other: Path, random_: random.Random) -> None:
    shutil.copy(f"{other}-shm", f"{path}-shm")


def _garbage(path: Path, other: Path, random_: random.Random) -> None:
    path.write_bytes(random_.randbytes(20_000))


DAMAGES: Final[tuple[Damage, ...]] = (
    _nothing,
    _truncated,
    _zeroed_page,
    _torn_log,
    _foreign_file,
    _missing_file,
    _missing_index,
    _foreign_index,
    _garbage,
)


def _clock(path: Path, counts: Counts) -> None:
    """The order is that of the commits, whatever the clock says."""
    moment = datetime(2026, 11, 29, tzinfo=UTC)
    times = [moment, moment - timedelta(days=1), moment.replace(year=1970), moment.replace(year=2099), moment]
    with Memory(path, embedder=TinyEmbedder(), clock=lambda: times[0]) as memory:
        places = [f"place {number}" for number in range(len(times))]
        for place in places:
            memory.write([("Ada", "lives in", place)], namespace=NAMESPACE)
            times.append(times.pop(0))
        counts.wrong += memory.read("Ada", "lives in", namespace=NAMESPACE).answers != (places[-1],)
        told = [fact.triple.object for fact in memory.history("Ada", "lives in", namespace=NAMESPACE)]
        counts.wrong += sorted(told) != places
