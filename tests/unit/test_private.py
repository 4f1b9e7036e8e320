"""Files and folders are their owner's, links that were planted are not followed, odd paths are typed errors.

redteam row 20, R11, A24.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langchain_memllm import MemLLMMemory, private
from langchain_memllm.cli import app
from langchain_memllm.errors import MemLLMError, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.verify.a24_paths import HOSTILE, odd_places

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


@pytest.fixture(autouse=True)
def open_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_r11_every_new_folder_and_file_is_its_owners() -> None:
    memory = MemLLMMemory("a/b/m.db")
    memory.write([("Ada", "likes", "tea")])
    assert {name: mode(name) for name in ("a", "a/b")} == {"a": 0o700, "a/b": 0o700}
    assert {name: mode(f"a/b/{name}") for name in os.listdir("a/b")} == dict.fromkeys(
        ("m.db", "m.db-wal", "m.db-shm"), 0o600
    )


def test_r11_an_open_file_and_its_log_are_tightened() -> None:
    MemLLMMemory("m.db").close()
    for name in ("m.db", "m.db-wal", "m.db-shm"):
        Path(name).touch()
        Path(name).chmod(0o666)
    memory = MemLLMMemory("m.db")
    memory.write([("Ada", "likes", "tea")])
    assert {name: mode(name) for name in ("m.db", "m.db-wal", "m.db-shm")} == dict.fromkeys(
        ("m.db", "m.db-wal", "m.db-shm"), 0o600
    )


def test_r11_an_export_follows_no_planted_link() -> None:
    MemLLMMemory("m.db").write([("Ada", "likes", "tea")])
    Path("victim").write_text("precious")
    for planted in ("out.jsonl.part", ".out.jsonl.part"):
        Path(planted).symlink_to("victim")
    done = CliRunner().invoke(app, ["export", "out.jsonl", "--store", "m.db"])
    assert done.exit_code == 0
    assert Path("victim").read_text() == "precious"
    assert mode("out.jsonl") == 0o600


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", ""])
def test_a_link_in_the_place_of_a_log_is_not_written_through(suffix: str) -> None:
    Path("victim").write_text("precious")
    Path("m.db" + suffix).symlink_to("victim")
    with pytest.raises(MemLLMError, match="symbolic link"):
        MemLLMMemory("m.db")
    assert Path("victim").read_text() == "precious"


def test_a_list_of_rejects_is_private() -> None:
    Path("triples.jsonl").write_text('["Ada", "likes", "tea"]\n["Ada"]\n')
    CliRunner().invoke(app, ["load", "triples.jsonl", "--store", "m.db"])
    assert mode("triples.jsonl.rejected.jsonl") == 0o600


def test_appending_is_private_and_follows_no_link() -> None:
    with private.opened(Path("x/y/journal")) as lines:
        lines.write("one\n")
    assert (mode("x"), mode("x/y"), mode("x/y/journal")) == (0o700, 0o700, 0o600)
    Path("victim").write_text("precious")
    Path("link").symlink_to("victim")
    with pytest.raises(OSError, match="link"):
        private.opened(Path("link"))
    assert Path("victim").read_text() == "precious"


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: ascii(path)[:30])
def test_a_hostile_path_is_a_typed_error(path: str) -> None:
    """redteam A24: 40 paths; none ends in a raw error, none makes or changes a file."""
    odd_places()
    before = {each: each.lstat().st_mtime_ns for each in Path().rglob("*")}
    for door in (Memory, MemLLMMemory):
        with pytest.raises(MemLLMError):
            door(path)
    for command in ("stats", "doctor", "import"):
        done = CliRunner().invoke(app, [command, *(["-"] if command == "import" else []), "--store", path])
        assert done.exit_code in (2, 3) or (done.exit_code == 0 and command == "doctor"), (command, done.output)
        assert done.exception is None or isinstance(done.exception, SystemExit), command
    assert {each: each.lstat().st_mtime_ns for each in Path().rglob("*")} == before


def test_users_and_names_make_no_files(tmp_path: Path) -> None:
    memory = MemLLMMemory("m.db")
    for hostile in ("../x", "/etc/passwd", "a/b", "..", "x" * 250, "C:\\x"):
        memory.write([(hostile, "likes", hostile + " tea")], user_id=hostile, op_id=hostile)
    assert {path.name for path in tmp_path.iterdir()} == {"m.db", "m.db-wal", "m.db-shm"}


def test_a_file_of_somebody_else_that_others_may_read_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.db").touch()
    Path("m.db").chmod(0o666)

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(StoreUnavailable, match="not permitted"):
        MemLLMMemory("m.db")
