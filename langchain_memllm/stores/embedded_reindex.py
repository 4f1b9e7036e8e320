"""What facts and turns are found by, made anew in the embedded store: indexes, words, search codes, full text.

All of it follows from the rest of the file, so nothing is lost if it is damaged or missing (``sqlite_check``).
"""

from __future__ import annotations

import sqlite3
from typing import Final

import numpy as np

from langchain_memllm.nameindex import encode
from langchain_memllm.stores import sqlite_check
from langchain_memllm.stores.embedded_hub import fill
from langchain_memllm.stores.embedded_recall import set_words

__all__ = ["rebuild"]

_SHADOWS: Final = ("config", "content", "data", "docsize", "idx")  # tables in which FTS5 keeps an index
_VECTORS: Final = """SELECT c.n, c.code, v.vector FROM name_code c JOIN name_vector v ON v.id = c.id WHERE c.n > ?
    ORDER BY c.n LIMIT 5000"""


def rebuild(connection: sqlite3.Connection) -> int:
    """Make anew what things are found by, in a transaction; returns how much of it was missing or wrong.

    Full text is made anew whatever it is like, and counts as one.
    """
    texts = _reindex_turns(connection)  # first: no other index can be made anew while SQLite cannot open this one
    missing = sqlite_check.missing_indexes(connection)
    for statement in missing:
        connection.execute(statement)
    connection.execute("REINDEX")
    wrong = [row for page in sqlite_check.miscoded(connection) for row in page]
    connection.executemany("UPDATE turn SET code = ? WHERE id = ?", wrong)
    found = texts + len(missing) + len(wrong) + set_words(connection) + _recode(connection)
    connection.execute("UPDATE namespace SET epoch = epoch + 1")  # clients read what they hold again
    return found


def _recode(connection: sqlite3.Connection) -> int:
    """Give each name the search code of its vector."""
    changed, after = 0, 0
    while rows := connection.execute(_VECTORS, (after,)).fetchall():
        after = rows[-1][0]
        codes = encode(np.frombuffer(b"".join(row[2] for row in rows), np.float32).reshape(len(rows), -1))
        wrong = [(code.tobytes(), n) for code, (n, held, _) in zip(codes, rows, strict=True) if code.tobytes() != held]
        connection.executemany("UPDATE name_code SET code = ? WHERE n = ?", wrong)
        changed += len(wrong)
    return changed


def _reindex_turns(connection: sqlite3.Connection) -> int:
    """Make the full text of what was said anew."""
    try:
        connection.execute("DROP TABLE IF EXISTS turn_text")
    except sqlite3.Error:  # SQLite drops only what it can read: the schema has to forget this one
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'turn_text'")
    for end in _SHADOWS:
        connection.execute(f"DROP TABLE IF EXISTS turn_text_{end}")
    connection.execute("PRAGMA writable_schema = RESET")
    connection.execute(sqlite_check.statement_of("turn_text"))
    fill(connection)
    return 1
