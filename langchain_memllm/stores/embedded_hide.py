"""A step of the embedded store's schema: of the names of operations, and of what was forgotten, hashes are kept.

Both may hold any text of a caller or of what was erased; so they are rewritten in files of before, inside the
transaction of the caller. ``stores.neo4j_hide`` does the same to a graph.
"""

from __future__ import annotations

import sqlite3

from langchain_memllm.stores.embedded_rekey import note_ids
from langchain_memllm.stores.outbox import pack_entry, unpack_entry
from langchain_memllm.triples import operation_key

__all__ = ["hide"]


def hide(connection: sqlite3.Connection) -> None:
    """Rewrite the names of operations and the marks of what was forgotten; room for the restarts of a clock."""
    connection.create_function("operation_key", 1, operation_key, deterministic=True)
    connection.execute("UPDATE operation SET op_id = operation_key(op_id) WHERE op_id <> operation_key(op_id)")
    for ns, op_id, packed in connection.execute("SELECT ns, op_id, entry FROM outbox").fetchall():
        row = (operation_key(op_id), pack_entry(unpack_entry(op_id, packed)), ns, op_id)
        connection.execute("UPDATE outbox SET op_id = ?, entry = ? WHERE ns = ? AND op_id = ?", row)
    note_ids(connection)
    if "restarts" not in {row[1] for row in connection.execute("PRAGMA table_info(namespace)")}:
        connection.execute("ALTER TABLE namespace ADD COLUMN restarts TEXT NOT NULL DEFAULT '[]'")
