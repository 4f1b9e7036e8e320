"""What was asked of a memory, and what its file holds: the two sides that a check compares.

Shares no code with the stores: the ledger is a file of its own, written before and after each call, and the database
is read with plain SQL.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Counts", "Held", "Ledger", "compare", "dump", "facts_of", "integrity", "read_ledgers", "support_of"]

Names = tuple[str, str, str]
_log = logging.getLogger(__name__)

_FACTS = """SELECT x.name, s.spelling, r.label, o.spelling, f.open, f.seq, f.ordinal, p.op_id
    FROM fact f JOIN namespace x ON x.id = f.ns JOIN name s ON s.id = f.s JOIN name o ON o.id = f.o
    JOIN relation r ON r.id = f.r LEFT JOIN operation p ON p.ns = f.ns AND p.seq = f.seq
    ORDER BY x.name, f.seq, f.ordinal"""


_SUPPORT = """SELECT o.spelling, count(*) FROM fact f JOIN name o ON o.id = f.o JOIN evidence e ON e.fact = f.id
    GROUP BY o.spelling"""


@dataclass(frozen=True, slots=True)
class Held:
    """A fact as the database holds it."""

    namespace: str
    triple: Names
    is_open: bool
    seq: int
    ordinal: int
    op_id: str | None


@dataclass(slots=True)
class Counts:
    """The four faults a memory must not have, and what was tried.

    ``lost``: acknowledged and absent. ``duplicated``: there more than once, or two open values where one may stand.
    ``wrong``: stored and never proposed. ``torn``: a part of an operation.
    """

    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    torn: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether there is no fault and no other problem."""
        return not (self.lost or self.duplicated or self.wrong or self.torn or self.problems)

    def add(self, other: Counts) -> None:
        """Add the faults and problems of a part; the figures are the caller's."""
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.wrong += other.wrong
        self.torn += other.torn
        self.problems += other.problems

    def tell(self, done: int, scale: int, what: str) -> None:
        """Log how far a check is, at every twentieth of its scale."""
        if done * 20 // scale > (done - 1) * 20 // scale:
            _log.info("%d of %d %s", done, scale, what)

    def summary(self) -> str:
        """One line: the figures, the four counts, the problems."""
        figures = ", ".join(f"{value:,} {name}" for name, value in self.figures.items())
        faults = f"{self.lost} lost, {self.duplicated} duplicated, {self.wrong} wrong, {self.torn} torn"
        return "; ".join([figures, faults, *self.problems[:3]])


class Ledger:
    """One writer's own record, outside the memory: an intent before each call, an acknowledgement after it."""

    def __init__(self, path: Path) -> None:
        """Open the file for appending."""
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def intent(self, op_id: str, triples: Sequence[Names]) -> None:
        """Before the call."""
        self._append(["intent", op_id, list(triples)])

    def ack(self, op_id: str, statuses: Sequence[str], seq: int) -> None:
        """After it returned."""
        self._append(["ack", op_id, list(statuses), seq])

    def _append(self, entry: list[Any]) -> None:
        os.write(self._file, (json.dumps(entry) + "\n").encode())


def read_ledgers(paths: Sequence[Path]) -> tuple[dict[str, list[Names]], dict[str, tuple[list[str], int]]]:
    """All intents and acknowledgements by operation; a last line cut off by a kill is not an entry."""
    intents: dict[str, list[Names]] = {}
    acks: dict[str, tuple[list[str], int]] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else ():
            if line.endswith("\n"):
                entry = json.loads(line)
                if entry[0] == "intent":
                    intents[entry[1]] = [(s, r, o) for s, r, o in entry[2]]
                else:
                    acks[entry[1]] = (entry[2], entry[3])
    return intents, acks


def facts_of(path: Path) -> list[Held]:
    """Every fact in the file."""
    return [Held(row[0], (row[1], row[2], row[3]), bool(row[4]), *row[5:]) for row in _rows(path, _FACTS)]


def support_of(path: Path) -> dict[str, int]:
    """How many pieces of evidence the facts with each object have, and those of equal facts with them."""
    return {name: count for name, count in _rows(path, _SUPPORT)}


def integrity(path: Path) -> list[str]:
    """What SQLite finds wrong with the file."""
    found = [row[0] for row in _rows(path, "PRAGMA integrity_check")]
    return [] if found == ["ok"] else [f"integrity: {line}" for line in found]


def dump(path: Path, *, order: bool = True) -> str:
    """The facts as text without times and, if ``order`` is off, without their place in the order."""
    lines = [
        json.dumps([held.namespace, held.triple, held.is_open, *([held.seq, held.ordinal] if order else [])])
        for held in facts_of(path)
    ]
    return "\n".join(lines if order else sorted(lines))


def compare(
    held: Sequence[Held], intents: dict[str, list[Names]], acks: dict[str, tuple[list[str], int]], counts: Counts
) -> None:
    """Compare operations of new triples with what is held: each wholly there, or wholly absent if not acknowledged."""
    by_operation: dict[str, Counter[Names]] = {}
    for fact in held:
        by_operation.setdefault(fact.op_id or "", Counter())[fact.triple] += 1
    for op_id, triples in intents.items():
        there = by_operation.pop(_kept(op_id), Counter())
        missing = [triple for triple in triples if not there[triple]]
        counts.duplicated += sum(number - 1 for number in there.values() if number > 1)
        counts.wrong += sum(number for triple, number in there.items() if triple not in triples)
        if missing and len(missing) < len(triples):
            counts.torn += 1
        elif missing and op_id in acks:
            counts.lost += len(missing)
    counts.wrong += sum(sum(facts.values()) for facts in by_operation.values())


def _kept(op_id: str) -> str:
    """What a store keeps of the name of an operation: a hash of it."""
    return hashlib.blake2b(f"operation\x1e{op_id}".encode(), digest_size=16).hexdigest()


def _rows(path: Path, statement: str) -> Iterator[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        yield from connection.execute(statement)
    finally:
        connection.close()
