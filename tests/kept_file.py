"""A memory kept in a file, for tests of what becomes of files."""

from __future__ import annotations

from pathlib import Path

from langchain_memllm.memory import Memory

NS = ("memllm", "local")


def written(path: Path, count: int, name: str = "name") -> Path:
    """Write so many facts into a file that is closed afterwards."""
    with Memory(path) as memory:
        memory.write([(f"{name} {n}", "likes", f"thing {n}") for n in range(count)], namespace=NS)
    return path


def facts(path: Path) -> int:
    """How many facts a sound file holds."""
    with Memory(path) as memory:
        assert memory.verify() == []
        return memory.stats(namespace=NS).facts
