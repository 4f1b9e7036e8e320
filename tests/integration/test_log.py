"""Redteam rows 2 and 12, R3: the log is short whoever writes it, and what it cannot do is no failure of a write."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_memllm.errors import StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.stores import sqlite_log
from langchain_memllm.stores.sqlite_log import Log

NS = ("memllm", "ada")
MB = 1 << 20


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log a sixteenth as long as it may be."""
    monkeypatch.setattr(sqlite_log, "_DUE", MB)
    monkeypatch.setattr(sqlite_log, "_LATE", 3 * MB)
    monkeypatch.setattr(sqlite_log, "LIMIT", 4 * MB)


def log_of(path: Path) -> int:
    log = path.with_name(f"{path.name}-wal")
    return log.stat().st_size if log.exists() else 0


def write(memory: Memory, count: int, name: str = "writer") -> None:
    for number in range(count):
        memory.write([(f"{name} {number}", "likes", f"thing {number}")], namespace=NS)


@pytest.mark.usefixtures("short")
def test_writers_that_live_for_one_write_keep_the_log_short_beside_one_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "memllm.db"
    stays = Memory(path)
    longest = 0
    for number in range(60):
        stays.read("writer 0", "likes", namespace=NS)
        with Memory(path) as memory:
            write(memory, 1, f"writer {number}")
        longest = max(longest, log_of(path))
    stays.close()
    assert 0.5 * MB < longest < 2 * MB


def test_a_long_log_that_others_left_is_moved_when_the_file_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memllm.db"
    stays = Memory(path)
    write(stays, 20)
    assert log_of(path) > MB
    monkeypatch.setattr(sqlite_log, "_DUE", MB)
    with Memory(path):
        moved = sqlite3.connect(path).execute("PRAGMA wal_checkpoint").fetchone()
    assert moved[1] == moved[2] > 0
    stays.close()


@pytest.mark.usefixtures("short")
def test_a_write_waits_for_a_reader_before_the_log_is_too_long(tmp_path: Path) -> None:
    """No read transaction is older than 5 s here, so the log may not pass its limit."""
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    write(memory, 3)
    longest, done = [0], threading.Event()

    def readers() -> None:
        while not done.is_set():
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM fact").fetchone()
            done.wait(1.0)
            other.close()

    thread = threading.Thread(target=readers)
    thread.start()
    ends = time.monotonic() + 6
    number = 0
    while time.monotonic() < ends:
        write(memory, 1, f"number {number}")
        longest[0] = max(longest[0], log_of(path))
        number += 1
    done.set()
    thread.join()
    memory.close()
    assert longest[0] > 2 * MB, "the log was never long enough to tell"
    assert longest[0] < 4 * MB


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM fact").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of somebody else that holds a read transaction of memllm.db."""
    Memory(tmp_path / "memllm.db").close()
    command = [sys.executable, "-c", READER, str(tmp_path / "memllm.db")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    yield process
    process.communicate()


@pytest.mark.usefixtures("short")
def test_a_long_reader_of_another_process_delays_writes_once_and_doctor_names_it(
    tmp_path: Path, reader: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_log, "READER_S", 0.5)
    monkeypatch.setattr("langchain_memllm.stores.sqlite.LIMIT", 4 * MB)
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    with caplog.at_level(logging.WARNING):
        write(memory, 60)
    assert log_of(path) > 4 * MB
    assert [record.message for record in caplog.records] == [
        "somebody reads an old state of memllm for long; its log grows meanwhile"
    ]
    (problem,) = memory.verify()
    assert f"cannot be moved into it, because process {reader.pid} (" in problem
    assert "end that transaction or process" in problem
    reader.communicate()
    assert memory.verify() == []
    write(memory, 1)
    assert log_of(path) <= MB
    memory.close()


@pytest.mark.usefixtures("short")
def test_what_the_log_cannot_do_is_logged_and_the_write_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R3: the write was stored, and said "nothing was half-written ... write again"."""
    memory = Memory(tmp_path / "memllm.db")
    calls = 0

    def full(self: Log, writer: sqlite3.Connection) -> bool:
        nonlocal calls
        calls += 1
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Log, "move", full)
    write(memory, 20)
    assert calls > 1
    assert memory.stats(namespace=NS).facts == 20
    assert "could not be moved into it (database or disk is full); it is tried again" in caplog.text
    monkeypatch.undo()
    memory.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="not run: mounting a tmpfs needs root")
@pytest.mark.parametrize("megabytes", [1, 3, 8])
def test_a_small_disk_is_filled_by_facts_not_by_the_log(tmp_path: Path, megabytes: int) -> None:
    """A04: 8 MB were full after 480 facts, since the log was never moved; writing goes on as soon as there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("not run: this container may not mount a tmpfs")
    try:
        memory = Memory(disk / "memllm.db")
        stored = 0
        with pytest.raises(StoreUnavailable, match=r"is full .* free\)"):
            for number in range(3000):
                memory.write([(f"name {number}", "likes", f"thing {number % 90}")], namespace=NS)
                stored += 1
        assert memory.stats(namespace=NS).facts == stored
        assert stored > {1: 30, 3: 350, 8: 1300}[megabytes]
        subprocess.run(["mount", "-o", f"remount,size={4 * megabytes + 4}m", disk], check=True)
        write(memory, 5, "after")
        assert memory.stats(namespace=NS).facts == stored + 5
        assert memory.verify() == []
        memory.close()
    finally:
        subprocess.run(["umount", disk], check=True)
