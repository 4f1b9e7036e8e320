"""Redteam rows 4 and 6, R1 (A16): the file changes under an open memory, or beside a log that was left."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from langchain_memllm.errors import SchemaTooNew, StoreCorrupt, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.stores import sqlite
from langchain_memllm.stores.sqlite import SCHEMA_VERSION
from tests.kept_file import NS, facts, written


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_LOOK_S", 0.0)


def removed(path: Path, spare: Path) -> None:
    for file in path.parent.glob("memllm.db*"):
        file.unlink()


def log_removed(path: Path, spare: Path) -> None:
    path.with_name("memllm.db-wal").unlink()


def replaced(path: Path, spare: Path) -> None:
    os.replace(spare, path)


def renamed(path: Path, spare: Path) -> None:
    path.rename(path.with_name("other.db"))


@pytest.mark.parametrize("change", [removed, log_removed, replaced, renamed])
@pytest.mark.parametrize("verb", ["write", "read", "forget", "purge", "outbox"])
def test_what_is_gone_or_replaced_is_told_and_nothing_is_acknowledged(
    tmp_path: Path, change: Callable[[Path, Path], None], verb: str
) -> None:
    path, spare = written(tmp_path / "memllm.db", 3), written(tmp_path / "spare.db", 50, "spare")
    memory = Memory(path)
    memory.write([("Ada", "likes", "tea")], namespace=NS)
    change(path, spare)
    calls: dict[str, Callable[[], object]] = {
        "write": lambda: memory.write([("Ada", "likes", "gin")], namespace=NS),
        "read": lambda: memory.read("Ada", "likes", namespace=NS),
        "forget": lambda: memory.forget(name="Ada", namespace=NS),
        "purge": lambda: memory.forget(name="nobody", namespace=NS, purge=True),
        "outbox": lambda: memory.store.drop_outbox(NS, ["op"]),
    }
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="removed or replaced while it was open"):
            calls[verb]()
    memory.close()
    if change is replaced:  # its log is still there, and is neither applied to the other file nor thrown away
        with pytest.raises(StoreCorrupt, match="belongs to another memory"):
            Memory(path)
        path.with_name("memllm.db-wal").unlink()
        assert facts(path) == 50, "the backup that was put there was written over"


def test_a_newer_release_that_migrates_the_file_stops_the_older_one(tmp_path: Path) -> None:
    """Row 4: an open client of before wrote codes of the former length; nobody could search any more."""
    path = written(tmp_path / "memllm.db", 1)
    memory = Memory(path)
    memory.read("name 0", "likes", namespace=NS)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    for call in (
        lambda: memory.write([("Ada", "likes", "gin")], namespace=NS),
        lambda: memory.forget(name="Ada", namespace=NS),
        lambda: memory.read("name 0", "likes", namespace=NS),
        lambda: memory.forget(name="nobody", namespace=NS, purge=True),
    ):
        with pytest.raises(SchemaTooNew, match=f"has schema {SCHEMA_VERSION + 1}.*upgrade langchain-memllm"):
            call()
    memory.close()


KILLED = """
import os, signal, sys
from langchain_memllm.memory import Memory
memory = Memory(sys.argv[1])
for number in range(int(sys.argv[2])):
    memory.write([(f"killed {number}", "likes", f"thing {number}")], namespace=("memllm", "local"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(path: Path, count: int) -> None:
    """Write so many facts in a process that is killed: they are in the log that it leaves."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(count)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0


def test_a_log_that_was_left_is_used_and_also_after_all_files_were_copied(tmp_path: Path) -> None:
    path = written(tmp_path / "memllm.db", 3)
    killed(path, 5)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in tmp_path.glob("memllm.db*"):
        shutil.copy(file, elsewhere / file.name)
    assert facts(path) == facts(elsewhere / "memllm.db") == 8


def test_another_memory_beside_a_left_log_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path, other = written(tmp_path / "memllm.db", 3), written(tmp_path / "other.db", 40, "other")
    killed(path, 5)
    shutil.copy(other, path)
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match=r"log memllm\.db-wal belongs to another memory than .*move memllm\.db-wal"):
        Memory(path)
    assert path.read_bytes() == before
    for suffix in ("-wal", "-shm"):
        path.with_name(f"memllm.db{suffix}").unlink()
    assert facts(path) == 40


def test_a_backup_of_before_the_log_began_is_refused(tmp_path: Path) -> None:
    """It would be brought to a state that never was: the new pages of the log on the old ones of the backup."""
    path = written(tmp_path / "memllm.db", 3)
    backup = tmp_path / "backup.db"
    shutil.copy(path, backup)
    written(path, 30, "later")
    killed(path, 5)
    shutil.copy(backup, path)
    with pytest.raises(StoreCorrupt, match=r"begins after commit \d+, and .* is a state of before, at commit \d+"):
        Memory(path)


def test_a_log_without_its_file_is_not_thrown_away(tmp_path: Path) -> None:
    path = written(tmp_path / "memllm.db", 3)
    killed(path, 5)
    path.rename(tmp_path / "kept.db")
    with pytest.raises(StoreUnavailable, match=r"is not there, but its log memllm\.db-wal is"):
        Memory(path)
    (tmp_path / "kept.db").rename(path)
    assert facts(path) == 8


def test_others_may_move_and_begin_the_log_anew_while_one_opens_the_file(tmp_path: Path) -> None:
    """The look at the log must not refuse what is sound and changing."""
    path = written(tmp_path / "memllm.db", 3)
    code = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "").replace(
        "memory = Memory", "from langchain_memllm.stores import sqlite_log\nsqlite_log._DUE = 200_000\nmemory = Memory"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path), "400"])
    opened = 0
    while writer.poll() is None:
        Memory(path).close()
        opened += 1
    assert writer.returncode == 0
    assert opened > 10
    assert facts(path) == 403
