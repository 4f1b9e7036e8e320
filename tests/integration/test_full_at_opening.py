"""Redteam row 22, R13 (A03, A04): a disk that is full, or fails, while a memory is opened."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_memllm.errors import StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.stores.sqlite_errors import translated


@pytest.fixture
def small_files() -> Iterator[None]:
    """A limit that even the index of the log does not fit in; Python makes it an error instead of a signal."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("size", [4_000, 20_000, 40_000, 80_000, 120_000])
def test_a_disk_that_is_full_while_opening_is_told_and_opening_works_later(tmp_path: Path, size: int) -> None:
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    with pytest.raises(StoreUnavailable, match=r"the disk of .* is full .*free some and write again"):
        Memory(tmp_path / "m.db")
    resource.setrlimit(resource.RLIMIT_FSIZE, former)
    with Memory(tmp_path / "m.db") as memory:
        memory.write([("Ada", "likes", "tea")], namespace=("n",))
        assert memory.verify() == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SQLITE_IOERR_WRITE", "failed (SQLITE_IOERR_WRITE)"),
        ("SQLITE_IOERR_FSYNC", "failed (SQLITE_IOERR_FSYNC)"),
        ("SQLITE_FULL", "is full ("),
        ("SQLITE_IOERR_SHMSIZE", "is full ("),
        ("SQLITE_PROTOCOL", "does not lock files"),
        ("SQLITE_IOERR_LOCK", "does not lock files"),
    ],
)
def test_a_failing_disk_is_not_called_full(tmp_path: Path, name: str, words: str) -> None:
    """R13: a plain I/O error was "disk full (71 GB free)"."""
    error = sqlite3.OperationalError("of this kind")
    error.sqlite_errorname = name
    told = translated(error, "write", tmp_path / "m.db")
    assert isinstance(told, StoreUnavailable)
    assert words in str(told)
