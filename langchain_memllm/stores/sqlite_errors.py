"""SQLite's errors as ours: what was wrong with the file, and what to do next."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

from langchain_memllm.errors import StoreCorrupt, StoreError, StoreUnavailable
from langchain_memllm.stores.rows import REBUILD

__all__ = ["BUSY_MS", "is_full", "name_of", "translated"]

BUSY_MS: Final = 30_000
"""Milliseconds for which a lock of another process is waited for."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_INDEX: Final = ("fts5", "turn_text")  # in SQLite's words about an index of full text that it cannot open
_PROBE: Final = b"\0" * 65_536


def name_of(error: BaseException) -> str:
    """SQLite's own name of an error, such as SQLITE_IOERR_WRITE; empty if it has none."""
    return getattr(error, "sqlite_errorname", "") or ""


def is_full(error: sqlite3.Error, path: Path | None) -> bool:
    """Whether a disk, a quota or a file-size limit leaves no room; of the last two SQLite tells only "I/O error"."""
    name = name_of(error)
    return name.startswith("SQLITE_FULL") or name == "SQLITE_IOERR_SHMSIZE" or (
        name == "SQLITE_IOERR_WRITE" and path is not None and not _has_room(path)
    )  # fmt: skip


def translated(error: sqlite3.Error, doing: str, path: Path | None) -> StoreError:
    """The package's error for one of SQLite's, with what to do next."""
    where, name = ":memory:" if path is None else str(path), name_of(error)
    if name == "SQLITE_CORRUPT_VTAB" or any(word in str(error) for word in _OF_INDEX):
        return StoreCorrupt(f"an index of {where} is damaged ({error}); {REBUILD}")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_MISMATCH")) or "Could not decode" in str(error):
        return StoreCorrupt(f"{where} is damaged or not a memory ({error}); restore it from a backup or an export")
    if is_full(error, path):
        free = shutil.disk_usage(path.parent).free if path is not None and path.parent.exists() else 0
        return StoreUnavailable(
            f"the disk of {where} is full ({free:,} bytes free); nothing was half-written: free some and write again"
        )
    if name.startswith("SQLITE_READONLY"):
        return StoreUnavailable(f"{where} is read-only; give this user the right to write to it and its folder")
    if name.startswith("SQLITE_BUSY"):
        return StoreUnavailable(f"{where} was locked by another process for {BUSY_MS // 1000} s; try again")
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreUnavailable(f"{where} cannot be opened ({error}); check the path and its permissions")
    if name in ("SQLITE_IOERR_LOCK", "SQLITE_IOERR_SHMLOCK", "SQLITE_PROTOCOL"):
        return StoreUnavailable(
            f"the file system of {where} does not lock files ({name}; a network file system?); keep the file on a "
            "local disk, or use Neo4j for several machines"
        )
    if name.startswith("SQLITE_IOERR"):
        return StoreUnavailable(
            f"the disk of {where} failed ({name}); nothing was half-written: look into the system's log, and repeat "
            "the operation"
        )
    return StoreError(f"could not {doing} {where}: {name or 'SQLite'}: {error}")


def _has_room(path: Path) -> bool:
    """Whether a file as long as the largest of these can grow; tried, because quotas cannot be asked for.

    The file that met a limit of file sizes may be gone by now, so where there is one it is taken for the cause.
    """
    if _is_limited():
        return False
    files = (Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm"))
    size = max((file.stat().st_size for file in files if file.exists()), default=0)
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            return os.pwrite(probe.fileno(), _PROBE, size) == len(_PROBE)
    except OSError as error:
        return error.errno not in _NO_ROOM


def _is_limited() -> bool:
    try:
        import resource
    except ImportError:  # not on Windows
        return False
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
