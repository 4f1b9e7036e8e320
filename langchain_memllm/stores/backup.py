"""Backups of a memory in a file: a copy that is whole while others write, and putting one back under open clients.

Copying the file alone is not a backup: what was written last is in its log (``-wal``), and a log beside another file
would be applied to it. A backup has a mark of its own (``stores.sqlite_mark``), so that no left log is taken for its.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from langchain_memllm import private
from langchain_memllm.errors import ConfigurationError, StoreCorrupt, StoreError, StoreUnavailable
from langchain_memllm.stores.sqlite import Database
from langchain_memllm.stores.sqlite_errors import BUSY_MS, translated
from langchain_memllm.stores.sqlite_mark import new_mark

__all__ = ["ON_A_SERVER", "back_up", "restore"]

ON_A_SERVER: Final = (
    "a graph is backed up by Neo4j's own tools. Community, while the server is stopped: `neo4j-admin database dump "
    "neo4j --to-path=FOLDER`, and back by `neo4j-admin database load neo4j --from-path=FOLDER "
    "--overwrite-destination=true`. Enterprise, while it runs: `neo4j-admin database backup`. While it runs, on any "
    "edition: `memllm export FILE --all --store ADDRESS`, and back by `memllm import FILE --store ADDRESS`"
)
"""What to do about a memory that is in no file of its own."""

_SQLITE: Final = b"SQLite format 3\x00"
_LOG: Final = ("-wal", "-shm")


def back_up(database: Database, target: Path, *, verify: bool = False, overwrite: bool = False) -> None:
    """Write the present state of a memory to a file of its own, whole or not at all; others may write meanwhile.

    It is read in one transaction: the log of a memory of many GB grows for the seconds that this takes.

    Args:
        database: The memory.
        target: File to write.
        verify: Check every page of the copy before it takes its place.
        overwrite: Replace a former backup that is there.

    Raises:
        ConfigurationError: The target is the memory itself, no file, or there already.
        StoreUnavailable: The file cannot be written.
        StoreCorrupt: The copy is not sound, so the memory is not; nothing was replaced.
    """
    _check_target(database, target, overwrite)
    with _beside(target) as part, _told(target):
        with database.reading_alone() as source:
            _copied(source, part)
        _settled(part, verify=verify)
        part.replace(target)
        _synchronized(target.parent)


def _check_target(database: Database, target: Path, overwrite: bool) -> None:
    if database.path is not None and os.path.realpath(target) == os.path.realpath(database.path):
        raise ConfigurationError(f"{target} is the memory itself; give another file")
    if target.exists() and not target.is_file():
        raise ConfigurationError(f"{target} is not a regular file; give a file")
    if target.exists() and not (overwrite and _is_database(target)):
        raise ConfigurationError(
            f"{target} is there; give another file, or if it is a former backup, overwrite it (--overwrite, "
            "overwrite=True)"
        )


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def restore(backup: Path, target: Path) -> Path | None:
    """Put a backup in the place of a memory, also of one that is open elsewhere; returns where the former state is.

    Open clients see the backup's facts from the next call on. A memory that is damaged, or was filled with another
    embedder, is moved away instead; clients that have it open are then told to open it again.

    Args:
        backup: A file that ``back_up`` wrote, or any other memory.
        target: The memory's file; it need not be there.

    Raises:
        ConfigurationError: The backup is not there, or is the memory itself.
        StoreError: The backup cannot be used; nothing was changed.
    """
    if not backup.is_file():
        raise ConfigurationError(f"there is no backup at {backup}; give the file that `memllm backup` wrote")
    if target.exists() and backup.samefile(target):
        raise ConfigurationError(f"{backup} is the memory itself; give a backup of it")
    with _beside(target) as part:
        with _told(backup), contextlib.closing(_opened(backup)) as source:
            _copied(source, part)
            _settled(part, verify=True)
        Database(part).close()  # of this package, not newer, and brought to the present schema
        former = _aside(target)
        if former is None:
            part.replace(target)
        elif not _poured(part, target, former):
            _moved(target, former)
            part.replace(target)
        _synchronized(target.parent)
    return former


def _poured(part: Path, target: Path, former: Path) -> bool:
    """Whether the backup was written into the memory, in one transaction, after its present state was backed up."""
    try:
        database = Database(target)
    except StoreError:
        return False
    try:
        if database.problems():
            return False
        if _shape(part) != _shape(target):
            with _told(target), contextlib.closing(_opened(target)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the file alone is whole while its log is moved
            return False
        back_up(database, former)
        with _told(target), contextlib.closing(sqlite3.connect(part, isolation_level=None)) as source:
            database.replace_all(source)
        return True
    finally:
        database.close()


def _shape(path: Path) -> tuple[object, object]:
    """What two files must have in common for open clients to go on: the size of pages, and the embedder."""
    with contextlib.closing(_opened(path)) as connection:
        kept = connection.execute("SELECT value FROM record WHERE name = 'embedder'").fetchone()
        return connection.execute("PRAGMA page_size").fetchone()[0], kept


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)


def _copied(source: sqlite3.Connection, part: Path) -> None:
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
        source.backup(copy)


def _settled(part: Path, *, verify: bool) -> None:
    """One file without a log beside it, with a mark of its own, on the disk."""
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
        if copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'stamp'").fetchone():
            copy.execute("BEGIN IMMEDIATE")
            new_mark(copy)
            copy.execute("COMMIT")
        found = [str(row[0]) for row in copy.execute("PRAGMA integrity_check")] if verify else ["ok"]
    if found != ["ok"]:
        raise StoreCorrupt(f"the copy is not sound ({found[0][:200]}); check the memory with: memllm doctor")
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(target: Path) -> Path | None:
    """A new name for the former state of a memory; None if there is none."""
    if not target.exists():
        return None
    moment = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    return target.with_name(f"{target.stem}.before-restore-{moment}{target.suffix}")


def _moved(target: Path, former: Path) -> None:
    """Give the former state another name; the file keeps its own, too, until another one takes its place."""
    try:
        former.hardlink_to(target)
    except OSError:  # a file system without links
        target.replace(former)
    for suffix in _LOG:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{target}{suffix}").replace(f"{former}{suffix}")


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """An empty private file in the folder of another."""
    try:
        private.make_folders(target.parent)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise StoreUnavailable(
            f"{target} cannot be written ({error.strerror}); check the path and free space"
        ) from error
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        for suffix in ("", "-journal", *_LOG):
            Path(f"{name}{suffix}").unlink(missing_ok=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, "copy", path) from error
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written ({error.strerror}); check the path and free space") from error


def _synchronized(folder: Path) -> None:
    """Have the folder's entries on the disk, where a folder can be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
