"""The outbox of the embedded store: its SQL. Every function runs inside a transaction that its caller holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from langchain_memllm.stores.outbox import (
    Change,
    OutboxChanged,
    OutboxEntry,
    excluding,
    pack_entry,
    renewed,
    unpack_entry,
)

__all__ = ["advance", "drop", "entries", "fail", "forget", "forget_source", "leave", "put", "take"]

_PUT: Final = """INSERT INTO outbox(ns, op_id, kind, ref, entry) SELECT ?1, ?2, ?3, ?4, ?5
    WHERE NOT EXISTS (SELECT 1 FROM operation WHERE ns = ?1 AND op_id = ?2)"""
_REPLACED: Final = "DELETE FROM outbox WHERE ns = ? AND kind = ? AND ref = ? AND op_id <> ?"
_LIST: Final = "SELECT op_id, entry, version FROM outbox INDEXED BY outbox_ns WHERE ns = ? ORDER BY id LIMIT ?"
_ONE: Final = "SELECT op_id, entry, version FROM outbox WHERE ns = ? AND op_id = ?"
_DROP: Final = "DELETE FROM outbox WHERE ns = ? AND op_id = ?"
_TAKE: Final = "DELETE FROM outbox WHERE ns = ? AND op_id = ? AND version = ?"
_CHANGE: Final = "UPDATE outbox SET entry = ?, version = version + 1 WHERE ns = ? AND op_id = ?"
_KEEP_VERSION: Final = "UPDATE outbox SET entry = ? WHERE ns = ? AND op_id = ?"
_ADVANCE: Final = "UPDATE namespace SET last_at = ? WHERE id = ?"
_OF_SOURCE: Final = "DELETE FROM outbox WHERE ns = ? AND ref = ? AND (? IS NULL OR kind = ?)"


def put(connection: sqlite3.Connection, ns: int, given: Sequence[OutboxEntry]) -> None:
    """See ``TripleStore.put_outbox``."""
    for entry in given:
        source = entry.source
        if entry.replace:
            connection.execute(_REPLACED, (ns, source.kind, source.ref, entry.op_id))
        before = entries(connection, ns, [entry.op_id], 1)
        if not before:
            connection.execute(_PUT, (ns, entry.op_id, source.kind, source.ref, pack_entry(entry)))
        elif (after := renewed(before[0], entry)) is not None:
            connection.execute(_CHANGE, (pack_entry(after), ns, entry.op_id))


def advance(connection: sqlite3.Connection, ns: int, at: str) -> None:
    """Nothing of the namespace is recorded before this moment from now on."""
    connection.execute(_ADVANCE, (at, ns))


def entries(connection: sqlite3.Connection, ns: int, op_ids: Sequence[str] | None, limit: int) -> list[OutboxEntry]:
    """See ``TripleStore.outbox``."""
    if op_ids is None:
        rows = connection.execute(_LIST, (ns, limit)).fetchall()
    else:
        rows = [row for op_id in op_ids for row in connection.execute(_ONE, (ns, op_id))][:limit]
    return [unpack_entry(*row) for row in rows]


def drop(connection: sqlite3.Connection, ns: int, op_ids: Sequence[str]) -> int:
    """See ``TripleStore.drop_outbox``."""
    return sum(connection.execute(_DROP, (ns, op_id)).rowcount for op_id in op_ids)


def fail(connection: sqlite3.Connection, ns: int, op_ids: Sequence[str]) -> None:
    """See ``TripleStore.fail_outbox``; what was extracted meanwhile may still be written."""
    for entry in entries(connection, ns, op_ids, len(op_ids)):
        failed = replace(entry, attempts=entry.attempts + 1)
        connection.execute(_KEEP_VERSION, (pack_entry(failed), ns, entry.op_id))


def take(connection: sqlite3.Connection, ns: int, op_id: str, version: int) -> None:
    """Remove the entry that an operation is made from.

    Raises:
        OutboxChanged: It is gone, or not that version any more.
    """
    if connection.execute(_TAKE, (ns, op_id, version)).rowcount == 0:
        raise OutboxChanged(op_id)


def leave(connection: sqlite3.Connection, ns: int, op_id: str) -> None:
    """Remove the entry of an operation that was done already, if there is one."""
    connection.execute(_DROP, (ns, op_id))


def forget(connection: sqlite3.Connection, ns: int, change: Change) -> int:
    """Take what is forgotten out of what waits; returns how many entries were changed or removed."""
    return _rewrite(connection, ns, lambda entry: excluding(entry, change)) if change else 0


def forget_source(connection: sqlite3.Connection, ns: int, kind: str | None, ref: str) -> int:
    """Remove what waits from a source."""
    return connection.execute(_OF_SOURCE, (ns, ref, kind, kind)).rowcount


def _rewrite(connection: sqlite3.Connection, ns: int, rewritten: Callable[[OutboxEntry], OutboxEntry | None]) -> int:
    changed = 0
    for before in entries(connection, ns, None, -1):
        after = rewritten(before)
        if after is None:
            connection.execute(_DROP, (ns, before.op_id))
        elif after != before:
            connection.execute(_CHANGE, (pack_entry(after), ns, before.op_id))
        changed += after != before
    return changed
