"""Items in the embedded store. The rules are in ``stores.items``.

A row is never changed but deleted and put again, so that its id stands for its vectors: those of a prefix that was
searched before are kept in memory, and only new ones are read.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from langchain_memllm.embeddings import Vector
from langchain_memllm.forking import renewed
from langchain_memllm.stores.items import (
    Address,
    Condition,
    Labels,
    StoredItem,
    decode_labels,
    encode_labels,
    end_of_prefix,
    item_of,
)
from langchain_memllm.stores.sqlite import Database

__all__ = ["EmbeddedItems"]

_COLUMNS: Final = "i.ns, i.key, i.value, i.created_at, i.updated_at, i.ttl, i.expires_at"
_BELOW: Final = "i.ns >= ? AND i.ns < ?"
_ORDER: Final = "ORDER BY i.updated_at DESC, i.ns, i.key"
_COMPARED: Final = {
    "$eq": " AND json_extract(i.value, ?) = ?",
    "$gt": " AND json_extract(i.value, ?) >= ?",  # older releases of SQLite end a text at its first NUL
    "$gte": " AND json_extract(i.value, ?) >= ?",
    "$lt": " AND json_extract(i.value, ?) < ?",
    "$lte": " AND json_extract(i.value, ?) <= ?",
}
_AT_ONCE: Final = 500  # rows that are read by their ids at once
_MOST_PREFIXES: Final = 4  # whose vectors are kept


class EmbeddedItems:
    """An ``ItemStore`` in the file of an embedded memory."""

    def __init__(self, database: Database) -> None:
        """Take the memory's database."""
        self._database = database
        self._kept = _Kept()

    @contextlib.contextmanager
    def view(self) -> Iterator[_View]:
        """See ``ItemStore.view``."""
        with self._database.snapshot() as connection:
            yield _View(connection, self._kept)

    def change(self, puts: Sequence[StoredItem], drops: Sequence[Address]) -> None:
        """See ``ItemStore.change``."""

        def work(connection: sqlite3.Connection) -> None:
            for labels, key in drops:
                _delete(connection, encode_labels(labels), key)
            for item in puts:
                _put(connection, item)

        self._database.transact(work)

    def refresh(self, addresses: Sequence[Address], times: Sequence[str]) -> None:
        """See ``ItemStore.refresh``."""
        rows = [(at, encode_labels(labels), key) for (labels, key), at in zip(addresses, times, strict=True)]
        statement = "UPDATE item SET expires_at = ? WHERE ns = ? AND key = ? AND ttl IS NOT NULL"
        self._database.transact(lambda connection: connection.executemany(statement, rows))

    def sweep(self, now: str) -> int:
        """See ``ItemStore.sweep``."""

        def work(connection: sqlite3.Connection) -> int:
            expired = "SELECT id FROM item WHERE expires_at <= ?"
            connection.execute(f"DELETE FROM item_vector WHERE item IN ({expired})", (now,))
            return connection.execute("DELETE FROM item WHERE expires_at <= ?", (now,)).rowcount

        return self._database.transact(work)


def _delete(connection: sqlite3.Connection, ns: str, key: str) -> str | None:
    """Delete an item; returns when it was first put."""
    row = connection.execute("DELETE FROM item WHERE ns = ? AND key = ? RETURNING id, created_at", (ns, key)).fetchone()
    if row is None:
        return None
    connection.execute("DELETE FROM item_vector WHERE item = ?", (row[0],))
    return str(row[1])


def _put(connection: sqlite3.Connection, item: StoredItem) -> None:
    ns = encode_labels(item.namespace)
    created = _delete(connection, ns, item.key) or item.created_at
    row = (ns, item.key, item.value, created, item.updated_at, item.ttl, item.expires_at)
    insert = "INSERT INTO item(ns, key, value, created_at, updated_at, ttl, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
    number = connection.execute(insert, row).lastrowid
    if item.vectors is not None:
        vectors = [(number, n, vector.tobytes()) for n, vector in enumerate(item.vectors)]
        connection.executemany("INSERT INTO item_vector(item, n, vector) VALUES (?, ?, ?)", vectors)


@dataclass(frozen=True, slots=True)
class _Vectors:
    """Vectors below a prefix as they were when it held so many items, and this one last."""

    state: tuple[int, int]
    items: np.ndarray  # (vectors,) int64: whose each is
    matrix: Vector  # (vectors, dimension)


class _Kept:
    """Vectors of the prefixes that were searched last."""

    def __init__(self) -> None:
        self._lock = renewed(threading.Lock())
        self._of: OrderedDict[tuple[str, int], _Vectors] = OrderedDict()

    def get(self, connection: sqlite3.Connection, prefix: str, dimension: int) -> _Vectors:
        """The vectors below a prefix; those that are kept already are not read again."""
        below = (prefix, end_of_prefix(prefix))
        count, last = connection.execute(f"SELECT count(*), max(i.id) FROM item i WHERE {_BELOW}", below).fetchone()
        with self._lock:
            kept = self._of.get((prefix, dimension))
        if kept is None or kept.state != (count, last):
            kept = _read_vectors(connection, below, dimension, kept, (count, last))
        with self._lock:
            self._of[prefix, dimension] = kept
            self._of.move_to_end((prefix, dimension))
            while len(self._of) > _MOST_PREFIXES:
                self._of.popitem(last=False)
        return kept


def _read_vectors(
    connection: sqlite3.Connection,
    below: tuple[str, str],
    dimension: int,
    kept: _Vectors | None,
    state: tuple[int, int],
) -> _Vectors:
    since = kept.state[1] if kept is not None and kept.state[1] is not None else 0
    rows = connection.execute(
        f"SELECT v.item, v.vector FROM item i CROSS JOIN item_vector v ON v.item = i.id WHERE {_BELOW} AND i.id > ?"
        " ORDER BY v.item, v.n",
        (*below, since),
    ).fetchall()
    rows = [row for row in rows if len(row[1]) == 4 * dimension]  # of another embedder: it is put again to be found
    items = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    matrix = np.frombuffer(b"".join(row[1] for row in rows), np.float32).reshape(len(rows), dimension)
    if kept is not None and len(kept.items):
        there = np.fromiter(
            (row[0] for row in connection.execute(f"SELECT i.id FROM item i WHERE {_BELOW}", below)), np.int64
        )
        stays = np.isin(kept.items, there)
        items = np.concatenate([kept.items[stays], items])
        matrix = np.concatenate([kept.matrix[stays], matrix])
    return _Vectors(state, items, matrix)


class _View:
    """An ``ItemView`` of one read transaction."""

    def __init__(self, connection: sqlite3.Connection, kept: _Kept) -> None:
        self._connection, self._kept = connection, kept

    def get(self, addresses: Sequence[Address]) -> dict[Address, StoredItem]:
        """See ``ItemView.get``."""
        found = {}
        for labels, key in addresses:
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM item i WHERE i.ns = ? AND i.key = ?", (encode_labels(labels), key)
            ).fetchone()
            if row is not None:
                found[labels, key] = item_of(row)
        return found

    def listed(self, prefix: Labels, conditions: Sequence[Condition]) -> Iterator[StoredItem]:
        """See ``ItemView.listed``."""
        where, values = _where(prefix, conditions)
        return map(item_of, self._connection.execute(f"SELECT {_COLUMNS} FROM item i WHERE {where} {_ORDER}", values))

    def ranked(
        self, prefix: Labels, conditions: Sequence[Condition], query: Vector
    ) -> Iterator[tuple[StoredItem, float | None]]:
        """See ``ItemView.ranked``."""
        where, values = _where(prefix, conditions)
        vectors = self._kept.get(self._connection, encode_labels(prefix), len(query))
        items, scores = vectors.items, vectors.matrix @ query
        if conditions:
            rows = self._connection.execute(f"SELECT i.id FROM item i WHERE {where}", values)
            met = np.isin(items, np.fromiter((row[0] for row in rows), np.int64))
            items, scores = items[met], scores[met]
        ids, whose = np.unique(items, return_inverse=True)
        best = np.full(len(ids), -np.inf, np.float32)
        np.maximum.at(best, whose, scores)
        order = np.argsort(-best, kind="stable")
        ids, best = ids[order], best[order]
        start = 0
        while start < len(ids):
            last = best[min(start + _AT_ONCE, len(ids)) - 1]
            stop = int(np.searchsorted(-best, -last, side="right"))  # with all that score the same
            yield from self._in_order(dict(zip(ids[start:stop].tolist(), best[start:stop].tolist(), strict=True)))
            start = stop
        scored = set(ids.tolist())
        for number, *row in self._connection.execute(
            f"SELECT i.id, {_COLUMNS} FROM item i WHERE {where} {_ORDER}", values
        ):
            if number not in scored:
                yield item_of(row), None

    def _in_order(self, scores: dict[int, float]) -> Iterator[tuple[StoredItem, float | None]]:
        """Items by their ids, best first; of equal ones the newest, then by namespace and key."""
        marks = ",".join("?" * len(scores))
        rows = self._connection.execute(
            f"SELECT i.id, {_COLUMNS} FROM item i WHERE i.id IN ({marks}) {_ORDER}", list(scores)
        )
        for number, *row in sorted(rows.fetchall(), key=lambda row: -scores[row[0]]):
            yield item_of(row), scores[number]

    def namespaces(self, hidden: str | None) -> list[Labels]:
        """See ``ItemView.namespaces``."""
        if hidden is None:
            rows = self._connection.execute(_NAMESPACES)
        else:
            rows = self._connection.execute(
                "SELECT DISTINCT ns FROM item WHERE expires_at IS NULL OR expires_at > ?", (hidden,)
            )
        return sorted(decode_labels(row[0]) for row in rows)


# Each namespace by one look at the index, however many items it has.
_NAMESPACES: Final = """WITH RECURSIVE each(ns) AS (
    SELECT min(ns) FROM item
    UNION ALL SELECT (SELECT min(ns) FROM item WHERE ns > each.ns) FROM each WHERE ns IS NOT NULL
) SELECT ns FROM each WHERE ns IS NOT NULL"""


def _where(prefix: Labels, conditions: Sequence[Condition]) -> tuple[str, list[object]]:
    text = encode_labels(prefix)
    where, values = _BELOW, [text, end_of_prefix(text)]
    found: list[object] = [*values]
    for each in conditions:
        if _PLAIN.fullmatch(each.key) and "\0" not in str(each.value):
            where += _COMPARED[each.comparison]
            found += [f'$."{each.key}"', each.value]
    return where, found


_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")  # keys that a path of SQLite's finds; others are left to the filter
