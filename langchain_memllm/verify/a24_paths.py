"""A24: where files are made, whose they are, and what odd paths end in.

With an umask of 0 every new file is its owner's alone, and every new folder; files of before that others may read are
tightened; links in the place of a memory, its log or an export's draft are not written through; dozens of hostile
paths end in a typed error and make nothing; names of users make no files.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from langchain_memllm import private
from langchain_memllm.errors import MemLLMError
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.verify.ledger import Counts

__all__ = ["HOSTILE", "run"]

_LOGS: Final = ("", "-wal", "-shm")
HOSTILE: Final[tuple[str, ...]] = (
    *("", " ", "\t", "\n", "a\x00b", "\x00", "a\x1b[2Jb", "a\x7fb", "x" * 300, "x" * 5000, "x/" * 3000 + "m.db"),
    *("~nobody-here-of-that-name/m.db", "~\x00/m.db", "\ud800.db", ".", "..", "/", "./", "a/", "folder", "folder/"),
    *("folder/..", "link", "dangling", "loop", "loop/m.db", "file/m.db", "fifo", "/dev/null", "/dev/full"),
    *("/dev/stdin", "/proc/self/mem", "/proc/m.db", "/sys/m.db", "file:m.db", "file:m.db?mode=memory", "file://m.db"),
    *("sqlite:///m.db", "jdbc:sqlite:m.db", "text.txt"),
)
"""Paths where a memory cannot be; relative ones lie in the folder of ``odd_places``."""
_USERS: Final = (
    "../x",
    "/etc/passwd",
    "a/b",
    "..",
    "x" * 250,
    "C:\\x",
    "~root",
    "nul",
    "-rf",
    "a\u202eb",
    "%2e%2e",
    "$x",
)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """All paths, whatever the scale; sabotage makes a folder as most programs do."""
    counts = Counts()
    before = os.umask(0)
    try:
        with contextlib.chdir(folder):
            if sabotage:
                Path("a").mkdir()
            counts.problems += [*_modes(), *_links()]
            Path("odd").mkdir(mode=0o700)
            with contextlib.chdir("odd"):
                odd_places()
                counts.problems += _hostile()
            counts.problems += _users()
    finally:
        os.umask(before)
    counts.figures = {"hostile paths": len(HOSTILE), "users": len(_USERS)}
    return counts


def odd_places() -> None:
    """Make what the hostile paths lead to, in the current folder."""
    Path("folder").mkdir()
    Path("file").write_text("")
    Path("text.txt").write_text("I am not a database. " * 100)
    Path("link").symlink_to("file")
    Path("dangling").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    os.mkfifo("fifo")


def _mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def _write(path: str) -> MemLLMMemory:
    memory = MemLLMMemory(path)
    memory.write([("Ada", "likes", "tea")])
    return memory


def _modes() -> Iterator[str]:
    with _write("a/b/m.db"):
        yield from (f"folder {name} is {_mode(name):o}" for name in ("a", "a/b") if _mode(name) != 0o700)
        yield from (f"m.db{end} is {_mode('a/b/m.db' + end):o}" for end in _LOGS if _mode("a/b/m.db" + end) != 0o600)
    for end in _LOGS:
        Path("open.db" + end).touch()
    with _write("open.db"):
        yield from (f"open.db{end} stays open" for end in _LOGS if _mode("open.db" + end) != 0o600)
    with private.replaced(Path("export.jsonl")) as lines:
        lines.write("x")
    with private.opened(Path("new/journal")) as lines:
        lines.write("x")
    yield from (f"{name} is {_mode(name):o}" for name in ("export.jsonl", "new/journal") if _mode(name) != 0o600)


def _links() -> Iterator[str]:
    Path("victim").write_text("precious")
    for end in (*_LOGS, "-journal"):
        name = f"linked{end}.db"
        Path(name + end).symlink_to("victim")
        try:
            _write(name).close()
        except MemLLMError:
            continue
        yield f"a link in the place of {end or 'the file'} was used"
    for draft in ("out.jsonl.part", ".out.jsonl.part"):
        Path(draft).symlink_to("victim")
    with private.replaced(Path("out.jsonl")) as lines:
        lines.write("x")
    Path("journal").symlink_to("victim")
    try:
        private.opened(Path("journal"))
        yield "a journal follows a link"
    except OSError:
        pass
    if Path("victim").read_text() != "precious":
        yield "the file behind a link was written"


def _hostile() -> Iterator[str]:
    before = _listed()
    for path in HOSTILE:
        try:
            MemLLMMemory(path).close()
        except MemLLMError:
            pass
        except BaseException as error:
            yield f"{path[:30]!a} ended in {type(error).__name__}"
        else:
            yield f"{path[:30]!a} was taken"
        if _listed() != before:
            yield f"{path[:30]!a} changed a file"
            before = _listed()


def _listed() -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in Path().rglob("*")}


def _users() -> Iterator[str]:
    Path("users").mkdir(mode=0o700)
    with MemLLMMemory("users/m.db") as memory:
        for user in _USERS:
            memory.write([(user, "likes", f"{user} tea")], user_id=user, op_id=user)
        made = {path.name for path in Path("users").iterdir()} - {"m.db" + end for end in _LOGS}
    if made:
        yield f"users made the files {sorted(made)!a}"
