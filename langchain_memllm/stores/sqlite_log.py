"""The write-ahead log of a database file: kept short whoever writes it, and checked to belong to the file.

The log grows with every commit of every process and begins anew only when all of it is in the file and nobody reads
from it. So whoever commits looks at its size, and moves it into the file when it is due. A write waits for readers only
when the log is very long, and no longer than a reader may take.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from langchain_memllm.stores.sqlite_lock import take_turn

__all__ = ["LIMIT", "READER_S", "Log", "prepare", "told_readers"]

logger = logging.getLogger(__name__)

LIMIT: Final = 64 << 20
"""Bytes that a log has at most while no reader takes longer than ``READER_S``, and one transaction more."""
READER_S: Final = 5.0
"""Seconds that a read may take without the log growing beyond its limit; none of this package takes as long."""

_DUE: Final = 16 << 20
_LATE: Final = 48 << 20  # from here on a write waits for the readers of the log
_POLL_S: Final = 0.02
_MARKS: Final = range(123, 128)  # bytes of the index that readers of the log lock, by SQLite's file format


class Log:
    """The log of one file as one process sees it. Its methods are called under the process's write lock.

    Args:
        path: The database file.
        connect: Opens a connection to it. SQLite can move the log only by one that is not in a transaction, and the
            writer must be in one, so that nobody else moves or resets the log meanwhile: see ``stores.sqlite``.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self.path = Path(f"{path}-wal")
        self._connect = connect
        self._mover: sqlite3.Connection | None = None
        self._is_stuck = False
        self._waited = False  # for a reader that did not end; not again until the log was short

    @property
    def size(self) -> int:
        """Bytes of the file; 0 if there is none. What SQLite leaves of a log that it begins anew is 16 MB at most."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def tend(self, writer: sqlite3.Connection) -> None:
        """After a commit: move the log into the file if it is due. A failure here is not a failure of the commit."""
        size = self.size
        if size <= _DUE and size <= self._free():
            return
        try:
            self.move(writer)
            self._is_stuck = False
        except sqlite3.Error as error:
            level = logging.DEBUG if self._is_stuck else logging.WARNING  # a full disk would say it at every commit
            self._is_stuck = True
            logger.log(level, "the log of %s could not be moved into it (%s); it is tried again", self.path.stem, error)

    def await_readers(self, writer: sqlite3.Connection) -> None:
        """Before a write: if the log is very long, wait until it can begin anew, ``READER_S`` at most.

        No lock of other processes is held meanwhile; they wait likewise.
        """
        if self.size <= _LATE:
            self._waited = False
            return
        ends = time.monotonic() + READER_S
        while not self._waited and not self._is_moved(writer):
            if time.monotonic() > ends:
                self._waited = True
                logger.warning("somebody reads an old state of %s for long; its log grows meanwhile", self.path.stem)
            else:
                time.sleep(_POLL_S)

    def _is_moved(self, writer: sqlite3.Connection) -> bool:
        try:
            return self.move(writer)
        except sqlite3.Error:
            return True  # it cannot be waited for; the write itself will tell what is wrong

    def move(self, writer: sqlite3.Connection) -> bool:
        """Move into the file what no reader still needs in the log; returns whether that was all of it."""
        try:
            if self._mover is None:
                self._mover = self._connect()
            take_turn(writer)
            _, frames, moved = self._mover.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            self.close()  # one that could open the file only for reading stays so for life
            raise
        finally:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        return bool(moved == frames)

    def close(self) -> None:
        """Close the connection; the next move opens another."""
        mover, self._mover = self._mover, None
        if mover is not None:
            with contextlib.suppress(sqlite3.Error):
                mover.close()

    def _free(self) -> int:
        """Bytes free on the disk: a log must not take so much of it that the file cannot grow by what is in it."""
        try:
            found = os.statvfs(self.path.parent)
        except OSError:
            return _DUE
        return found.f_bavail * found.f_frsize


def told_readers(log: Path) -> str:
    """Which processes hold a read transaction of the database, as far as the system tells (Linux)."""
    index = Path(f"{str(log).removesuffix('-wal')}-shm")
    with contextlib.suppress(OSError):
        inode = index.stat().st_ino
        found = dict.fromkeys(
            pid
            for *_, kind, pid, file, first, _ in map(str.split, Path("/proc/locks").read_text().splitlines())
            if kind == "READ"
            and file.endswith(f":{inode}")
            and int(first) in _MARKS
            and int(pid) not in (-1, os.getpid())
        )
        if found:
            return ", ".join(f"process {pid} ({_command(pid)})" for pid in found)
    return "another process"


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "unknown"
    return " ".join(ascii(word.decode(errors="replace"))[1:-1][:40] for word in words[:3] if word)


def prepare(connection: sqlite3.Connection) -> None:
    """Settings of every connection: who moves the log is decided here, and its file does not stay long."""
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute(f"PRAGMA journal_size_limit={_DUE}")
