"""Files as older versions wrote them, one of each earlier schema: made by ``tests/old_content.py`` with their code."""

from __future__ import annotations

import gzip
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

__all__ = ["COMMITS", "old_file"]

COMMITS: Final = ("421ecb1", "9111564", "9677c80", "c55b18f")
"""The last that wrote schema 1, 2, 3 and 5 of a file; schema 4 and 6 came in one commit."""


def old_file(path: Path, commit: str = "9111564") -> Path:
    """Make the file that the code of a commit wrote, at a path; by default that of version 0.1."""
    packed = resources.files("langchain_memllm.verify").joinpath("old", f"store_{commit}.sql.gz").read_bytes()
    connection = sqlite3.connect(path)
    try:
        connection.executescript(gzip.decompress(packed).decode())
    finally:
        connection.close()
    return path
