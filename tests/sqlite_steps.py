"""What a call asks of a file, counted by SQLite itself: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable

from langchain_memllm import MemLLMMemory


def steps(memory: MemLLMMemory, verb: Callable[[MemLLMMemory], object]) -> int:
    """Hundreds of steps of SQLite's machine that a call takes, once everything is held that is held."""
    verb(memory)
    taken = [0]
    with memory.core.store._db.read() as connection:  # type: ignore[attr-defined]
        connection.set_progress_handler(lambda: taken.__setitem__(0, taken[0] + 1), 100)
    verb(memory)
    with memory.core.store._db.read() as connection:  # type: ignore[attr-defined]
        connection.set_progress_handler(None, 0)
    return taken[0]
