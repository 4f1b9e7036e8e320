"""What recall reads in the embedded store: its SQL, and the indexes held of the namespaces used lately."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from langchain_memllm.factindex import FactIndex, evidence_words
from langchain_memllm.forking import renewed
from langchain_memllm.stores.factindexes import FactIndexes, cosines
from langchain_memllm.stores.interface import Candidate, Named, RecallIndex, Relations, Vector
from langchain_memllm.stores.rows import check_keys, fact_of_columns
from langchain_memllm.triples import Namespace

__all__ = ["RecallIndexes", "add_words", "candidates", "closed", "misworded", "set_words"]

_HEAD: Final = "SELECT id, seq, epoch FROM namespace WHERE name = ?"
_EVIDENCE: Final = """SELECT e.fact, e.words, e.said, q.kind FROM evidence e INDEXED BY evidence_ns
    CROSS JOIN fact f ON f.id = e.fact AND f.open = 1 CROSS JOIN source q ON q.id = e.source
    WHERE e.ns = ? AND e.seq > ? ORDER BY e.seq, e.ordinal"""
_RELATIONS: Final = """SELECT id, key, label, vector, embedding FROM relation INDEXED BY relation_ns
    WHERE ns = ? AND id > ? ORDER BY id"""
_NAMED: Final = """SELECT n.key, 'exact', n.spelling, n.class FROM json_each(?2) j
    CROSS JOIN name n ON n.ns = ?1 AND n.key = j.value"""
_ALIKE: Final = """SELECT DISTINCT m.key, 'alias', m.spelling FROM json_each(?) j
    CROSS JOIN name m INDEXED BY name_class ON m.class = j.value ORDER BY m.id"""
_CANDIDATES: Final = """SELECT {fact}, f.id, s.key, r.key, o.key, f.s, f.o FROM json_each(?2) j
    CROSS JOIN fact f ON f.id = j.value AND f.ns = ?1 AND f.open = 1 CROSS JOIN relation r ON r.id = f.r
    CROSS JOIN name s ON s.id = f.s CROSS JOIN name o ON o.id = f.o"""
_CLOSED: Final = """SELECT j.value FROM json_each(?2) j
    LEFT JOIN fact f ON f.id = j.value AND f.ns = ?1 AND f.open = 1 WHERE f.id IS NULL"""
_VECTORS: Final = "SELECT v.id, v.vector FROM json_each(?) j CROSS JOIN name_vector v ON v.id = j.value"

# Evidence with what its words are made of.
_UNREAD: Final = """SELECT e.fact, e.seq, e.ordinal, e.ns, e.words, e.said, f.ns, s.key, r.key, o.key, e.text
    FROM evidence e JOIN fact f ON f.id = e.fact
    JOIN name s ON s.id = f.s JOIN relation r ON r.id = f.r JOIN name o ON o.id = f.o
    WHERE (e.fact, e.seq, e.ordinal) > (?, ?, ?) ORDER BY e.fact, e.seq, e.ordinal LIMIT 1000"""

_SET_WORDS: Final = "UPDATE evidence SET ns = ?, words = ?, said = ? WHERE fact = ? AND seq = ? AND ordinal = ?"


@dataclass(frozen=True, slots=True)
class _Held:
    """The relations of a namespace up to the first that waits for its vector."""

    epoch: int
    last: int
    relations: Relations


class RecallIndexes:
    """The indexes of the namespaces used lately, brought up to date when they are asked for. Safe across threads."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._indexes: FactIndexes[int] = FactIndexes()
        self._relations: dict[Namespace, _Held] = {}
        self._lock = renewed(threading.Lock())

    def drop(self, namespace: Namespace) -> None:
        """Forget a namespace's index, if held."""
        self._indexes.drop(namespace)
        self._relations.pop(namespace, None)

    def get(
        self, connection: sqlite3.Connection, namespace: Namespace, label: str, keys: Sequence[str]
    ) -> RecallIndex | None:
        """See ``TripleStore.recall_index``; ``label`` is the encoded namespace."""
        head = connection.execute(_HEAD, (label,)).fetchone()
        if head is None:
            return None
        ns, seq, erasures = head
        epoch = (ns << 32) | erasures  # a namespace that was forgotten and began anew has another id
        index = self._index(connection, namespace, ns, seq, epoch)
        with self._lock:
            relations = self._fresh_relations(connection, namespace, ns, epoch)
        return RecallIndex(index, relations, _named(connection, ns, keys))

    def _index(
        self, connection: sqlite3.Connection, namespace: Namespace, ns: int, seq: int, epoch: int
    ) -> FactIndex[int]:
        while True:
            held = self._indexes.get(namespace)
            if held is not None and held.epoch == epoch and held.seq >= seq:
                return held.index
            after = held.seq if held is not None and held.epoch == epoch else 0
            rows = connection.execute(_EVIDENCE, (ns, after)).fetchall()
            held = self._indexes.extend(namespace, held, rows, seq, epoch)
            if held is not None:
                return held.index

    def _fresh_relations(self, connection: sqlite3.Connection, namespace: Namespace, ns: int, epoch: int) -> Relations:
        held = self._relations.get(namespace)
        if held is None or held.epoch != epoch:
            held = _Held(epoch, 0, Relations((), (), np.empty((0, 0), np.float32)))
        rows: list[tuple[Any, ...]] = []
        last = held.last
        for row in connection.execute(_RELATIONS, (ns, held.last)):
            if row[3] == 0:  # waits for its vector: look again next time
                break
            last = row[0]
            if row[4] is not None:
                rows.append(row)
        if rows or last != held.last:
            held = _Held(epoch, last, _with(held.relations, rows))
            self._relations[namespace] = held
        return held.relations


def _with(relations: Relations, rows: Sequence[tuple[Any, ...]]) -> Relations:
    if not rows:
        return relations
    check_keys("table relation", *(row[1] for row in rows), *(row[2] for row in rows))
    new = np.frombuffer(b"".join(row[4] for row in rows), np.float32).reshape(len(rows), -1)
    vectors = np.concatenate((relations.vectors, new)) if len(relations.vectors) else new
    return Relations(
        (*relations.keys, *(row[1] for row in rows)), (*relations.labels, *(row[2] for row in rows)), vectors
    )


def _named(connection: sqlite3.Connection, ns: int, keys: Sequence[str]) -> tuple[Named, ...]:
    rows = connection.execute(_NAMED, (ns, json.dumps(list(keys)))).fetchall()
    named = {row[0]: Named(*row[:3]) for row in rows}
    if classes := sorted({row[3] for row in rows if row[3] is not None}):
        for row in connection.execute(_ALIKE, (json.dumps(classes),)):
            named.setdefault(row[0], Named(*row))
    check_keys("table name", *named, *(each.spelling for each in named.values()))
    return tuple(named.values())


def candidates(
    connection: sqlite3.Connection,
    namespace: Namespace,
    label: str,
    columns: str,
    ids: Sequence[int | str],
    vector: Vector | None,
) -> list[Candidate]:
    """See ``TripleStore.candidates``; ``columns`` are those of a fact."""
    head = connection.execute(_HEAD, (label,)).fetchone()
    if head is None or not ids:
        return []
    rows = connection.execute(_CANDIDATES.format(fact=columns), (head[0], json.dumps(list(ids)))).fetchall()
    near: dict[int, float] = {}
    if vector is not None:
        ends = sorted({end for row in rows for end in row[-2:]})
        held = connection.execute(_VECTORS, (json.dumps(ends),)).fetchall()
        if held:
            matrix = np.frombuffer(b"".join(row[1] for row in held), np.float32).reshape(len(held), -1)
            near = dict(zip([row[0] for row in held], cosines(matrix @ vector), strict=True))
    found: list[Candidate] = []
    for row in rows:
        number, subject, relation, object_, s, o = row[-6:]
        fact = fact_of_columns(namespace, row)
        check_keys("table name or relation", subject, relation, object_)
        found.append(Candidate(number, fact, subject, relation, object_, near.get(s, 0.0), near.get(o, 0.0)))
    return found


def closed(connection: sqlite3.Connection, label: str, ids: Sequence[int | str]) -> set[int | str]:
    """See ``TripleStore.closed``; ``label`` is the encoded namespace."""
    head = connection.execute(_HEAD, (label,)).fetchone()
    rows = connection.execute(_CLOSED, (0 if head is None else head[0], json.dumps(list(ids)))).fetchall()
    return {row[0] for row in rows}


def misworded(connection: sqlite3.Connection) -> Iterator[list[tuple[Any, ...]]]:
    """Pages of the evidence whose words are not those of its fact and sentence: what they are, and its place."""
    place: tuple[int, int, int] = (0, -1, -1)
    while rows := connection.execute(_UNREAD, place).fetchall():
        place = rows[-1][:3]
        right = [(row[6], *evidence_words(*row[7:])) for row in rows]
        wrong = [(*new, *row[:3]) for row, new in zip(rows, right, strict=True) if row[3:6] != new]
        if wrong:
            yield wrong


def set_words(connection: sqlite3.Connection) -> int:
    """Give all evidence the words that it should have; returns how much of it had others."""
    changed = 0
    for rows in misworded(connection):
        connection.executemany(_SET_WORDS, rows)
        changed += len(rows)
    return changed


def add_words(connection: sqlite3.Connection) -> None:
    """A step of the schema: the words of each piece of evidence, and no words of names any more."""
    there = {row[1] for row in connection.execute("PRAGMA table_info(evidence)")}
    for column, kind in (
        ("ns", "INTEGER NOT NULL DEFAULT 0"),
        ("words", "BLOB NOT NULL DEFAULT x''"),
        ("said", "BLOB"),
    ):
        if column not in there:
            connection.execute(f"ALTER TABLE evidence ADD COLUMN {column} {kind}")
    set_words(connection)
    connection.execute("CREATE INDEX IF NOT EXISTS evidence_ns ON evidence(ns, seq, ordinal)")
    connection.execute("CREATE INDEX IF NOT EXISTS relation_ns ON relation(ns, id)")
    connection.execute("DROP TABLE IF EXISTS name_word")
