"""What an address of a store means: a file, or a server. Never quotes one that may hold a password.

A mistyped address (``neo4j:/user:password@host``) is not a file name: a password would stand in the folder, in
``repr``, in logs and in errors.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final, Literal
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from langchain_memllm.errors import ConfigurationError

__all__ = ["host_of", "kind_of", "path_of", "refuse_secret"]

_GRAPH: Final = re.compile(r"(?:neo4j|bolt)(?:\+ssc|\+s)?://", re.IGNORECASE)
_LIKE_GRAPH: Final = re.compile(r"(?:neo4j|bolt)(?:\+\w*)?[^\w.]*//", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.\-]+:", re.IGNORECASE)  # two letters or more: C: is a drive
_SECRET: Final = re.compile(r":.*@", re.DOTALL)
_FORMS: Final = "give a path, ':memory:', neo4j://host or bolt://host (+s for TLS)"
_SIBLINGS: Final = ("-wal", "-shm", "-journal")


def kind_of(address: str) -> Literal["graph", "file"]:
    """Whether an address is that of a server or a file.

    Raises:
        ConfigurationError: Neither: it begins like a URL of something else, or holds a user or password.
    """
    if address == ":memory:":
        return "file"
    refuse_secret(address)
    if _GRAPH.match(address):
        host_of(address)
        return "graph"
    read = _read(address)
    if _SCHEME.match(read) or _LIKE_GRAPH.match(read):
        raise ConfigurationError(
            f"the store's address begins like a URL and is not one that can be used; {_FORMS}. A file whose name has a "
            "colon is written ./NAME"
        )
    return "file"


def host_of(address: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a server's address.

    Raises:
        ConfigurationError: It holds a user or password, or is not one.
    """
    refuse_secret(address)
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not _GRAPH.match(address) or parts.query or parts.fragment:
        raise ConfigurationError(
            "this is not the address of a Neo4j server; write neo4j://host, neo4j+s://host, bolt://host or "
            "bolt+s://host, with a port if it is not 7687 and nothing behind it"
        )
    return parts.scheme, host, port


def refuse_secret(address: str) -> None:
    """Refuse an address with a user or password in it, without quoting any of it.

    Raises:
        ConfigurationError: It has one, or may have.
    """
    read = _read(address)
    if _SECRET.search(read) or (_GRAPH.match(read) and "@" in read):
        raise ConfigurationError(
            "the address holds a user or password; take it out, and set NEO4J_USERNAME and NEO4J_PASSWORD instead "
            f"({_FORMS})"
        )


def _read(address: str) -> str:
    """An address as a person reads it: without what encodes or hides its signs."""
    return normalize("NFKC", unquote(address)).strip()


def path_of(address: str | os.PathLike[Any]) -> Path | None:
    """The file that an address names; None for ``:memory:``.

    Raises:
        ConfigurationError: It is an address of a server, no usable file name, a folder, a link or a device.
    """
    text = os.fsdecode(address)
    if text == ":memory:":
        return None
    if kind_of(text) != "file":
        raise ConfigurationError("the address of a server is not a file; open it with open_store or Neo4jStore")
    if not text.strip() or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ConfigurationError(
            f"{ascii(text)[:80]} is not a file name; give a path such as 'memllm.db' or ':memory:'"
        )
    try:
        os.fsencode(text)
        path = Path(text).expanduser()
        refused = _refused(path, text)
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(f"{ascii(text)[:80]} cannot be a file ({why}); give another path") from error
    if refused is not None:
        raise ConfigurationError(f"{ascii(text)[:80]} {refused}")
    return path


def _refused(path: Path, text: str) -> str | None:
    if path.is_symlink():
        return "is a symbolic link; give the path of the file itself"
    if path.is_dir() or text.endswith(("/", os.sep)):
        return "is a folder; give the path of a file in it, such as memllm.db"
    if path.exists() and not path.is_file():
        return "is not a regular file; give the path of one, or of none that is there yet"
    for suffix in _SIBLINGS:
        if path.with_name(path.name + suffix).is_symlink():
            return f"has a symbolic link in the place of its {suffix}; remove the link: it would be written through"
    return None
