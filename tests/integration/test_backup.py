"""Redteam rows 2 and 6, issue 20 (operators): `memllm backup` and `memllm restore`, also under open memories."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langchain_memllm.cli import app
from langchain_memllm.errors import ConfigurationError, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.testing import FakeEmbedder
from tests.kept_file import NS, facts, written


def run(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == status, done.output
    return " ".join(done.output.split())


def test_a_backup_of_a_memory_that_is_written_is_whole_and_cp_is_not(tmp_path: Path) -> None:
    path, backup = tmp_path / "memllm.db", tmp_path / "kept" / "backup.db"
    memory = Memory(path)
    stop, count = threading.Event(), [0]

    def writer() -> None:
        while not stop.is_set():
            memory.write([(f"name {count[0]}", "likes", "a"), (f"name {count[0]}", "knows", "b")], namespace=NS)
            count[0] += 1

    thread = threading.Thread(target=writer)
    thread.start()
    while count[0] < 30:
        pass
    shutil.copy(path, tmp_path / "copied.db")
    before = count[0]
    told = run("backup", backup, "--store", path, "--verify")
    after = count[0]
    stop.set()
    thread.join()
    memory.close()
    assert "every page of it is sound" in told
    assert sorted(file.name for file in backup.parent.iterdir()) == ["backup.db"]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    held = facts(backup)
    assert 2 * before <= held <= 2 * after + 2
    assert held % 2 == 0, "half a message"
    assert facts(tmp_path / "copied.db") < 2 * before


def test_a_backup_never_replaces_what_is_not_one(tmp_path: Path) -> None:
    path = written(tmp_path / "memllm.db", 3)
    text = tmp_path / "notes.txt"
    text.write_text("precious")
    assert "is the memory itself" in run("backup", path, "--store", path, status=2)
    assert "is there" in run("backup", text, "--store", path, "--overwrite", status=2)
    assert "not a regular file" in run("backup", tmp_path, "--store", path, status=2)
    assert "no memory at" in run("backup", tmp_path / "b.db", "--store", tmp_path / "none.db", status=3)
    assert text.read_text() == "precious"
    run("backup", tmp_path / "b.db", "--store", path)
    assert "is there" in run("backup", tmp_path / "b.db", "--store", path, status=2)
    written(path, 2, "more")
    run("backup", tmp_path / "b.db", "--store", path, "--overwrite")
    assert facts(tmp_path / "b.db") == 5


def test_a_graph_is_backed_up_by_its_own_tools(tmp_path: Path) -> None:
    for command in ("backup", "restore"):
        told = run(command, tmp_path / "b.db", "--store", "neo4j://localhost", status=2)
        assert "neo4j-admin database dump neo4j --to-path=FOLDER" in told
        assert "neo4j-admin database load neo4j --from-path=FOLDER --overwrite-destination=true" in told
        assert "memllm export FILE --all" in told


async def test_the_facade_backs_up_and_puts_back(tmp_path: Path) -> None:
    path, backup = written(tmp_path / "memllm.db", 3), tmp_path / "kept" / "b.db"
    with MemLLMMemory(path) as memory, MemLLMMemory(path) as other:
        memory.backup(backup, verify=True)
        with pytest.raises(ConfigurationError, match="is there; give another file"):
            await memory.abackup(backup)
        await memory.abackup(str(backup), overwrite=True)
        with pytest.raises(ConfigurationError, match="is the memory itself"):
            memory.backup(path, overwrite=True)
        memory.write([("Ada", "lives in", "Oslo")], user_id="local")
        assert other.read("Ada", "lives in").answers == ("Oslo",)
        former = await memory.arestore_backup(backup)
        assert former is not None and facts(former) == 4
        assert [each.stats().facts for each in (memory, other)] == [3, 3]
        assert [each.read("Adah", "dwells in").answers for each in (memory, other)] == [(), ()]
        memory.restore_backup(former)
        assert other.read("Ada", "lives in").answers == ("Oslo",)
        with pytest.raises(ConfigurationError, match="there is no backup at"):
            memory.restore_backup(tmp_path / "none.db")
    nowhere = MemLLMMemory(":memory:")
    for verb in (nowhere.backup, nowhere.restore_backup):
        with pytest.raises(ConfigurationError, match="is in no file"):
            verb(backup)


CLIENT = """
import sys
from langchain_memllm.memory import Memory
from langchain_memllm.testing import FakeEmbedder
memory, ns = Memory(sys.argv[1]), ("memllm", "local")
memory.read("nama 1", "is fond of", namespace=ns)
print("open", flush=True)
sys.stdin.readline()
print(memory.stats(namespace=ns).facts, len(memory.read("later 1", "likes", namespace=ns)),
      len(memory.read("name 1", "likes", namespace=ns)), flush=True)
print(memory.write([("client", "likes", "tea")], namespace=ns).outcomes[0].status, flush=True)
print(memory.read("client", "is fond of", namespace=ns).answers, memory.verify(), flush=True)
"""


def test_restoring_over_a_memory_that_others_have_open(tmp_path: Path) -> None:
    path, backup = written(tmp_path / "memllm.db", 20), tmp_path / "backup.db"
    run("backup", backup, "--store", path)
    written(path, 30, "later")
    command = [sys.executable, "-c", CLIENT, str(path)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "open\n"
    memory = Memory(path)
    memory.read("nama 1", "is fond of", namespace=NS)
    told = run("restore", backup, "--store", path)
    assert memory.stats(namespace=NS).facts == 20
    assert not memory.read("later 1", "likes", namespace=NS)
    seen, _ = client.communicate("go\n", timeout=60)
    assert seen.splitlines() == ["20 0 1", "stored", "('tea',) []"]
    memory.write([("Ada", "likes", "gin")], namespace=NS)
    memory.close()
    assert facts(path) == 22
    (former,) = tmp_path.glob("memllm.before-restore-*.db")
    assert str(former) in told.replace(" ", "") or former.name in told
    assert facts(former) == 50


def test_a_kill_after_a_restore_loses_nothing(tmp_path: Path) -> None:
    """The log that is left then holds the restored state; it must be taken for the file's own."""
    path, backup = written(tmp_path / "memllm.db", 20), tmp_path / "backup.db"
    run("backup", backup, "--store", path)
    written(path, 30, "later")
    code = """
import os, signal, sys
from pathlib import Path
from langchain_memllm.memory import Memory
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.stores.backup import restore
memory = Memory(sys.argv[1])
memory.stats(namespace=("memllm", "local"))
restore(Path(sys.argv[2]), Path(sys.argv[1]))
memory.write([("after", "likes", "tea")], namespace=("memllm", "local"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path), str(backup)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name("memllm.db-wal").stat().st_size > 0
    assert facts(path) == 21


MOVED_AWAY = """
import os, pathlib, signal, sys
from langchain_memllm.stores import backup
left, moves = int(sys.argv[3]), {}
for name in ("replace", "hardlink_to"):
    def move(self, other, name=name, plain=getattr(pathlib.Path, name)):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, other)
    setattr(pathlib.Path, name, move)
backup.restore(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[1]))
"""


def test_a_kill_while_a_memory_is_moved_away_leaves_one_of_the_two(tmp_path: Path) -> None:
    """One that was filled with another embedder cannot be poured over; for a moment its path named nothing."""
    former, backup = written(tmp_path / "former.db", 20), tmp_path / "backup.db"
    with Memory(backup, embedder=FakeEmbedder()) as memory:
        memory.write([(f"name {n}", "likes", f"thing {n}") for n in range(7)], namespace=NS)
    held = []
    for moves in range(9):
        path = tmp_path / f"{moves}" / "memllm.db"
        path.parent.mkdir()
        shutil.copy(former, path)
        open_elsewhere = Memory(path)
        open_elsewhere.write([("Ada", "likes", "tea")], namespace=NS)
        command = [sys.executable, "-c", MOVED_AWAY, str(path), str(backup), str(moves)]
        ended = subprocess.run(command, check=False).returncode
        with contextlib.closing(sqlite3.connect(path)) as connection:
            held += connection.execute("SELECT count(*) FROM fact").fetchone()
        open_elsewhere.close()
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert held == sorted(held, reverse=True)
    assert set(held) == {21, 7}
    assert len(held) > 2


@pytest.mark.parametrize("damage", ["header", "foreign log"])
def test_restoring_over_a_damaged_memory_moves_it_away(tmp_path: Path, damage: str) -> None:
    path, backup = written(tmp_path / "memllm.db", 20), tmp_path / "backup.db"
    run("backup", backup, "--store", path)
    client = Memory(path)
    client.write([("Ada", "likes", "tea")], namespace=NS)
    content = bytearray(path.read_bytes())
    content[:4096] = os.urandom(4096)
    if damage == "header":
        path.write_bytes(bytes(content))
        path.with_name("memllm.db-wal").write_bytes(b"")
    else:
        shutil.copy(written(tmp_path / "other.db", 3), tmp_path / "moved.db")
        os.replace(tmp_path / "moved.db", path)
    run("restore", backup, "--store", path)
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        client.write([("Ada", "likes", "gin")], namespace=NS)
    client.close()
    assert facts(path) == 20
    assert len(list(tmp_path.glob("memllm.before-restore-*"))) >= 1


def test_what_is_no_backup_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "memllm.db", 5)
    text, foreign = tmp_path / "notes.txt", tmp_path / "foreign.db"
    text.write_text("not a database, only text. " * 100)
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE theirs(x)")
    other.close()
    assert "damaged or not a memory" in run("restore", text, "--store", path, status=3)
    assert "another application" in run("restore", foreign, "--store", path, status=3)
    assert "no backup at" in run("restore", tmp_path / "none.db", "--store", path, status=2)
    assert "is the memory itself" in run("restore", path, "--store", path, status=2)
    assert facts(path) == 5
    assert not list(tmp_path.glob("*before-restore*"))
    assert not list(tmp_path.glob(".*part*"))


def test_restoring_where_nothing_is(tmp_path: Path) -> None:
    path = written(tmp_path / "memllm.db", 5)
    run("backup", tmp_path / "b.db", "--store", path)
    assert "is as in" in run("restore", tmp_path / "b.db", "--store", tmp_path / "new" / "memllm.db")
    assert facts(tmp_path / "new" / "memllm.db") == 5
