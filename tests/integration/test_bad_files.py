"""Files and disks that misbehave: a typed error that says what and what next, nothing half-written, the good kept."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from langchain_memllm.errors import (
    ConfigurationError,
    EmbeddingError,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.stores.sqlite import SCHEMA_VERSION

NS = ("n",)


def written(path: Path) -> Path:
    """A file with one fact in it."""
    with Memory(path) as memory:
        memory.write([("Ada", "likes", "tea")], namespace=NS)
    return path


def answers(path: Path) -> tuple[str, ...]:
    with Memory(path) as memory:
        return memory.read("Ada", "likes", namespace=NS).answers


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "m.db")
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match=f"schema {SCHEMA_VERSION + 1}.*upgrade langchain-memllm"):
        Memory(path)
    assert path.read_bytes() == before


def test_a_database_of_another_application_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="another application; choose another file name"):
        Memory(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, just text. " * 200, b"\x00" * 5000])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"m\.db.*(backup|another file)"):
        Memory(path)
    assert path.read_bytes() == content


def test_a_damaged_file_is_an_error_or_told_by_verify(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with Memory(path) as memory:
        memory.write([(f"name {i}", "likes", f"thing {i}") for i in range(500)], namespace=NS)
        memory.store._db.purge()  # type: ignore[attr-defined]
    content = bytearray(path.read_bytes())
    for place in range(3 * 8192, len(content), 8192):
        content[place : place + 64] = b"\xff" * 64
    path.write_bytes(bytes(content))
    with pytest.raises(StoreCorrupt, match=r"damaged.*restore it from a backup or an export"), Memory(path) as memory:
        assert memory.verify()
        list(memory.facts(namespace=NS))


def test_a_read_only_file_is_told_before_anything_is_written() -> None:
    """Root may write everything, so a forked process of another user tries."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = written(Path(folder) / "m.db")
        path.chmod(0o444)
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            try:
                Memory(path).write([("Ada", "likes", "gin")], namespace=NS)
            except StoreUnavailable as error:
                os.write(writable, str(error).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writable)
        told = os.read(readable, 1000).decode()
        os.close(readable)
        assert "m.db cannot be opened for writing" in told and "permissions" in told
        path.chmod(0o600)
        assert answers(path) == ("tea",)


def test_a_full_disk_keeps_what_was_stored_and_writing_resumes(tmp_path: Path) -> None:
    path = written(tmp_path / "m.db")
    memory = Memory(path, thresholds=EXACT)
    memory.stats(namespace=NS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = max(file.stat().st_size for file in tmp_path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, limits[1]))
    try:
        with pytest.raises(StoreUnavailable, match=r"m\.db is full .*bytes free\).*write again"):
            memory.write([(f"name {i}", "likes", "x" * 200) for i in range(2000)], namespace=NS)
        assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert memory.stats(namespace=NS).facts == 1
    memory.write([("Ada", "likes", "gin")], namespace=NS)
    assert memory.read("Ada", "likes", namespace=NS).answers == ("gin", "tea")
    assert memory.verify() == []
    memory.close()


@pytest.mark.parametrize("name", ["", "file:x?mode=memory", "a\x00b", "."])
def test_names_that_are_no_files_are_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"give (a|the) path"):
        Memory(name)
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused_and_files_are_private(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        path = written(tmp_path / "m.db")
        memory = Memory(path)
        memory.write([("Ada", "likes", "gin")], namespace=NS)
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
        memory.close()
    finally:
        os.umask(former)
    (tmp_path / "link.db").symlink_to(path)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        Memory(tmp_path / "link.db")


def test_a_closed_memory_says_so(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "m.db")
    memory.write([("Ada", "likes", "tea")], namespace=NS)
    memory.close()
    memory.close()
    with pytest.raises(StoreError, match="is closed; open a new one"):
        memory.read("Ada", "likes", namespace=NS)


def test_forgotten_bytes_are_gone_from_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    canary = "Zyxwv Canary Qrstu"
    with Memory(path) as memory:
        memory.write([(canary, "likes", "tea"), ("Bob", "likes", "gin")], namespace=NS, op_id="op")
        assert memory.forget(name=canary, namespace=NS, purge=True).facts == 1
        assert memory.read("Bob", "likes", namespace=NS).answers == ("gin",)
        for file in tmp_path.iterdir():
            content = file.read_bytes()
            assert canary.encode() not in content and canary.lower().encode() not in content, file.name


class Embedder:
    """Vectors by a function of the text."""

    def __init__(self, vector: Callable[[str], list[float]]) -> None:
        self.vector = vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.vector(text) for text in texts]


@pytest.mark.parametrize(
    ("vector", "complaint"),
    [
        (lambda text: [0.0] * 4 if text == "Bad" else [1.0] * 4, "zero"),
        (lambda text: [1.0] * (5 if text == "Bad" else 4), "4|5"),
        (lambda text: [float("nan") if text == "Bad" else 1.0] * 4, "NaN or infinity"),
    ],
    ids=["zero", "length", "nan"],
)
def test_an_unusable_vector_never_blocks_a_write_and_is_told_when_it_is_needed(
    tmp_path: Path, vector: Callable[[str], list[float]], complaint: str
) -> None:
    memory = Memory(tmp_path / "m.db", embedder=Embedder(vector))
    memory.write([("Ada", "likes", "tea")], namespace=NS)
    receipt = memory.write([("Bad", "likes", "gin")], namespace=NS)
    assert [outcome.status for outcome in receipt] == ["stored"]
    assert memory.read("Bad", "likes", namespace=NS).answers == ("gin",)
    assert memory.stats(namespace=NS).pending == 2
    with pytest.raises(EmbeddingError, match=complaint):
        memory.read("Bad", "dislikes", namespace=("other",))
    memory.close()
