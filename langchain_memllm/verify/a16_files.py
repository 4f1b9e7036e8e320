"""A16: clocks that jump, and files that are damaged, mixed up or replaced: refused, told by doctor, or answered right.

Every case begins with the files of one memory that was killed, so that a part of it is in its log: of this version, or
of one of each earlier schema.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from langchain_memllm.errors import MemLLMError
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.old_files import COMMITS, old_file
from langchain_memllm.verify.processes import TinyEmbedder, kill, spawn

__all__ = ["run"]

NAMESPACE = ("verify", "files")
FACTS: Final = 40
OLD: Final[tuple[tuple[str, ...], ...]] = (("memllm", "kari"), ("memllm", "bob"))
Answer = tuple[tuple[str, ...], str, str, tuple[str, ...]]
Damage = Callable[[Path, Path, random.Random], None]


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` damaged memories, by one way after the other, and a clock; sabotage expects other answers.

    Each way damages a file of this version first, then one of an earlier one.
    """
    counts, random_ = Counts(), random.Random(seed)  # noqa: S311 - places of damage
    template, other = folder / "template", folder / "other"
    for place, name in ((template, "thing"), (other, "other")):
        place.mkdir()
        _make(place / "memllm.db", name)
    olds = {commit: _old(folder / commit, commit) for commit in COMMITS}
    refused = told = right = 0
    for number in range(scale):
        place = folder / f"{number}"
        damage, turn = DAMAGES[number % len(DAMAGES)], number // len(DAMAGES)
        commit = COMMITS[turn // 2 % len(COMMITS)] if turn % 2 else None
        shutil.copytree(folder / commit if commit else template, place)
        damage(place / "memllm.db", other / "memllm.db", random_)
        try:
            if commit:
                problems, wrong = _brought_up(place / "memllm.db", [] if sabotage else olds[commit])
            else:
                problems, wrong = _answers(place / "memllm.db", "other" if sabotage else "thing")
        except MemLLMError:
            refused += 1
        except Exception as error:
            counts.problems.append(f"{commit or 'now'}, {damage.__name__}: {type(error).__name__}: {error}")
        else:
            told += bool(problems)
            right += not problems and not wrong
            if wrong and not problems:
                counts.wrong += wrong
                what = f"{commit or 'now'}, {damage.__name__}"
                counts.problems.append(f"{what}: {wrong} wrong answers, and doctor says nothing")
        shutil.rmtree(place)
    _clock(folder / "clock.db", counts)
    counts.figures = {"damaged files": scale, "refused": refused, "told by doctor": told, "answered right": right}
    return counts


def _make(path: Path, name: str) -> None:
    """Half of the facts in the file, half in the log of a process that was killed."""
    with Memory(path, embedder=TinyEmbedder()) as memory:
        _write(memory, name, range(FACTS // 2))
    _killed_after(path, lambda: _write(Memory(path, embedder=TinyEmbedder()), name, range(FACTS // 2, FACTS)))


def _killed_after(path: Path, work: Callable[[], object]) -> None:
    done = path.with_name("done")

    def worked() -> None:
        kept = work()
        done.touch()
        signal.pause()
        del kept

    pid = spawn(worked)
    while not done.exists():
        time.sleep(0.01)
    kill([pid], 0)
    done.unlink()


def _old(place: Path, commit: str) -> list[Answer]:
    """A memory as an older version left it when it was killed: its last write is in the log. What it answers."""
    place.mkdir()
    path = old_file(place / "memllm.db", commit)

    def work() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE namespace SET seq = seq + 1")
        return connection

    _killed_after(path, work)
    whole = place.with_name(f"{commit}-whole")
    shutil.copytree(place, whole)
    with Memory(whole / "memllm.db", thresholds=EXACT) as memory:
        asked = {
            (namespace, fact.triple.subject, fact.triple.relation)
            for namespace in OLD
            for fact in memory.facts(namespace=namespace)
        }
        found = [(*each, memory.read(*each[1:], namespace=each[0]).answers) for each in sorted(asked)]
    if len(found) < 15 or ("memllm", "bob") not in {each[0] for each in found}:
        raise RuntimeError(f"the file of {commit} holds too little to tell")
    return found


def _brought_up(path: Path, expected: list[Answer]) -> tuple[list[str], int]:
    """As ``_answers``, of a file that was brought to the present schema; nothing expected is wrong, too."""
    with Memory(path, thresholds=EXACT) as memory:
        wrong = sum(memory.read(name, relation, namespace=ns).answers != told for ns, name, relation, told in expected)
        return memory.verify(), wrong or not expected


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
