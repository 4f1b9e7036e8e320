"""The write lock of a file: how it is waited for."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from langchain_memllm.stores.sqlite_errors import BUSY_MS, name_of

__all__ = ["take_turn"]

_TRY_MS: Final = 25  # SQLite looks for the lock six times in it


def take_turn(connection: sqlite3.Connection) -> None:
    """Begin a transaction under the write lock, which is looked for about 200 times a second.

    SQLite by itself looks ten times a second after the first quarter of one. Among eight processes that write without
    a pause the lock is free for moments only, and one of them found it taken each time for half a minute.

    Raises:
        sqlite3.OperationalError: It was taken each time for ``BUSY_MS``.
    """
    ends = time.monotonic() + BUSY_MS / 1000
    connection.execute(f"PRAGMA busy_timeout={_TRY_MS}")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not name_of(error).startswith("SQLITE_BUSY") or time.monotonic() > ends:
                    raise
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
