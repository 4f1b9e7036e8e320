"""What facts and turns are found by, made anew in the embedded store: indexes, words, search codes, full text.

All of it follows from the rest of the file, so nothing is lost if it is damaged or missing (``sqlite_check``).
"""

from __future__ import annotations

import sqlite3
from typing import Final

import numpy as np

from langchain_memllm.nameindex import encode
from langchain_memllm.stores import sqlite_check
from langchain_memllm.stores.embedded_hub import INDEX, indexed
from langchain_memllm.stores.embedded_recall import set_words

__all__ = ["rebuild"]

_SHADOWS: Final = ("", "_config", "_content", "_data", "_docsize", "_idx")
_VECTORS: Final = """SELECT c.n, c.code, v.vector FROM name_code c JOIN name_vector v ON v.id = c.id WHERE c.n > ?
    ORDER BY c.n LIMIT 5000"""


def rebuild(connection: sqlite3.Connection) -> int:
    """Make anew what things are found by, in a transaction; returns how much of it was missing or wrong.

    Full text is made anew whatever it is like, and counts as one.
    """
    missing = sqlite_check.missing_indexes(connection)
    for statement in missing:
        connection.execute(statement)
    connection.execute("REINDEX")
    wrong = [row for page in sqlite_check.miscoded(connection) for row in page]
    connection.executemany("UPDATE turn SET code = ? WHERE id = ?", wrong)
    found = len(missing) + len(wrong) + set_words(connection) + _recode(connection) + _reindex_turns(connection)
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
    for end in _SHADOWS:
        connection.execute(f"DROP TABLE IF EXISTS turn_text{end}")
    connection.execute(sqlite_check.statement_of("turn_text"))
    after = 0
    while rows := connection.execute(_TURNS, (after,)).fetchall():
        after = rows[-1][0]
        connection.executemany(INDEX, [(place, *indexed(ns, scope, text)) for place, ns, scope, text in rows])
    return 1


_TURNS: Final = "SELECT id, ns, scope, text FROM turn WHERE id > ? ORDER BY id LIMIT 1000"
