"""Files and folders that only their owner may read: what is said to a memory is nobody else's.

New files are made with a random name and without following a link that was planted under it; every folder that is
missing on the way gets mode 0700 whatever the umask; a file of before that others may read is tightened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

__all__ = ["create", "make_folders", "opened", "replaced", "tighten"]

_FILE: Final = stat.S_IRUSR | stat.S_IWUSR
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing, each for its owner only.

    Raises:
        OSError: One cannot be made.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folders(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def create(path: Path) -> None:
    """Create a file for its owner only, or tighten the one that is there; folders on the way too.

    A file that is there is not opened: closing it again would drop the locks that this process holds on it.

    Raises:
        OSError: It cannot be made, is a link or no regular file, or others may read it and it is not ours to change.
    """
    make_folders(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, _FILE))
    except FileExistsError:
        tighten(path)


def tighten(path: Path) -> None:
    """Let only its owner read a file, if it is there; as ``create``."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a link or not a regular file", str(path))
    if found.st_mode & _OTHERS and os.name == "posix":
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def opened(path: Path) -> IO[str]:
    """A private file for appending, in UTF-8; as ``create``."""
    create(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _FLAGS)
    return os.fdopen(descriptor, "a", encoding="utf-8", newline="\n")


@contextmanager
def replaced(path: Path, **options: Any) -> Iterator[IO[str]]:
    """A new private file beside ``path``, in UTF-8, that takes its place when it is whole; else nothing changed.

    Args:
        path: The file to be replaced or made.
        options: As ``open`` takes them.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n", **options) as lines:
            yield lines
            lines.flush()
            os.fsync(lines.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
