"""Files that commands write: never over one that memllm did not make, and whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from langchain_memllm import private
from langchain_memllm.cli.terminal import STORE, WRONG, fail

__all__ = ["check_target", "is_memory", "is_standard", "same_file", "written_beside"]

_SQLITE: Final = b"SQLite format 3\x00"
_MOST: Final = 1 << 20  # bytes of a first line that is looked at


def is_standard(path: Path) -> bool:
    """Whether '-' was given: standard input or output."""
    return str(path) == "-"


def is_memory(path: Path) -> bool:
    """Whether a file is a database of SQLite, as memories are."""
    return _begins(path, len(_SQLITE)) == _SQLITE


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one file, there or not."""
    return os.path.realpath(one.expanduser()) == os.path.realpath(other.expanduser())


def check_target(path: Path, is_ours: Callable[[dict[str, Any]], bool], *, what: str, overwrite: bool) -> None:
    """End if a file must not be written: it is a memory, a folder, or something that memllm did not make.

    Args:
        path: The file to write.
        is_ours: Whether the first record of a file says that the same command wrote it.
        what: What the command writes, as in "an export".
        overwrite: Whether another file may be replaced; a memory never is.
    """
    if path.is_dir():
        fail(f"{path} is a folder; give a file in it", WRONG)
    if not path.exists():
        return
    if not path.is_file():
        fail(f"{path} is not a regular file; give '-' for standard output", WRONG)
    if is_memory(path):
        fail(f"{path} is a memory (or another SQLite database) and is left as it is; give another file", WRONG)
    if not overwrite and not _is_record(path, is_ours):
        fail(f"{path} is there and is not {what} of memllm; give another file, or --overwrite to replace it", WRONG)


def _is_record(path: Path, is_ours: Callable[[dict[str, Any]], bool]) -> bool:
    head = _begins(path, _MOST)
    if not head.strip():
        return True
    try:
        record = json.loads(head.splitlines()[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and is_ours(record)


def _begins(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


@contextmanager
def written_beside(path: Path) -> Iterator[IO[str]]:
    """A new file beside ``path``, in UTF-8, that takes its place when it is whole; after an error nothing changed."""
    path = Path(os.path.realpath(path))
    try:
        with private.replaced(path, errors="backslashreplace") as lines:
            yield lines
    except OSError as error:
        fail(f"{path} cannot be written ({error.strerror}); check the path and the free space", STORE)
