"""The mark of a database file: a random id and the number of commits, written by each of them.

A log (``-wal``) that was left beside a file is applied to it by SQLite whatever the file is: another memory, or a
backup that was put back. Because every commit writes the mark, the log's first commit tells which file it belongs to
and which state it begins from, and the file tells its own; they are compared before SQLite sees them together.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from langchain_memllm.errors import StoreCorrupt

__all__ = ["Mark", "check_log", "count_commit", "new_mark"]

_BEGINS: Final = b"memllm-file-mark"
_LAYOUT: Final = struct.Struct(">16s16sQ")
_HEADER, _FRAME = 32, 24  # bytes before the frames of a log, and before the page of each
_READ: Final = "SELECT mark FROM stamp"


class Mark(NamedTuple):
    """Whose a page is: the file's random id, and the commits until then."""

    id: bytes
    commits: int


def new_mark(connection: sqlite3.Connection) -> None:
    """Give the file an id that no other has: a new file, or a copy that is to be told from the first one."""
    connection.execute("DELETE FROM stamp")
    connection.execute("INSERT INTO stamp(id, mark) VALUES (1, ?)", (_packed(Mark(secrets.token_bytes(16), 0)),))


def count_commit(connection: sqlite3.Connection) -> None:
    """Write the mark, inside the transaction that it counts."""
    mark = _unpacked(connection.execute(_READ).fetchone()[0])
    connection.execute("UPDATE stamp SET mark = ? WHERE id = 1", (_packed(Mark(mark.id, mark.commits + 1)),))


def check_log(path: Path) -> None:
    """Raise if the log beside a file is of another one, or begins from a later state than the file has.

    Not to be called while this process has the file open: closing it here would drop the locks of that connection.

    Raises:
        StoreCorrupt: The log must not be applied.
    """
    first = mine = Mark(b"", 0)
    for _ in range(3):  # a process that has both open may be moving the log at this moment
        found = _first_of_log(Path(f"{path}-wal"))  # before the file's mark, which only grows
        own = _of_file(path)
        if found is None or own is None or (own.id == found.id and own.commits >= found.commits - 1):
            return
        first, mine = found, own
    log = f"{path.name}-wal"
    whose = (
        f"belongs to another memory than {path}"
        if mine.id != first.id
        else f"begins after commit {first.commits - 1}, and {path} is a state of before, at commit {mine.commits}"
    )
    raise StoreCorrupt(
        f"the log {log} {whose}; nothing was changed. If the file was put back from a backup, end the processes that "
        f"have it open, move {log} and {path.name}-shm away, and open it again (`memllm restore` does it all); if not, "
        "put the file of the log back"
    )


def _packed(mark: Mark) -> bytes:
    return _LAYOUT.pack(_BEGINS, mark.id, mark.commits)


def _unpacked(value: bytes) -> Mark:
    return Mark(*_LAYOUT.unpack(value)[1:])


def _of_file(path: Path) -> Mark | None:
    """The mark in the file itself, whatever is in its log; None if it has none or is being written."""
    try:
        connection = sqlite3.connect(f"file:{quote(os.fspath(path))}?mode=ro&immutable=1", uri=True)
        try:
            return _unpacked(connection.execute(_READ).fetchone()[0])
        finally:
            connection.close()
    except (sqlite3.Error, struct.error, TypeError):
        return None


def _first_of_log(log: Path) -> Mark | None:
    """The first mark among the frames that SQLite would apply; None if there is none."""
    for page in _pages_of_log(log):
        place = page.find(_BEGINS)
        if 0 <= place <= len(page) - _LAYOUT.size:
            return _unpacked(page[place : place + _LAYOUT.size])
    return None


def _pages_of_log(log: Path) -> Iterator[bytes]:
    try:
        with log.open("rb") as file:
            header = file.read(_HEADER)
            if len(header) < _HEADER:
                return
            size, salts = int.from_bytes(header[8:12], "big"), header[16:24]
            while len(frame := file.read(_FRAME + size)) == _FRAME + size and frame[8:16] == salts:
                yield frame[_FRAME:]
    except OSError:
        return
