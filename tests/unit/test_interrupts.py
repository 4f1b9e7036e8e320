"""Redteam row 11 (A15): Ctrl-C at any line of a write, a read or the moving of the log leaves nothing behind.

A tracer raises ``KeyboardInterrupt`` at one line after the other. Left out is where no signal is ever delivered: the
end of a ``with`` statement, and the first statement of a handler, which calls nothing written in Python before it has
undone what is to be undone.
"""

from __future__ import annotations

import ast
import functools
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.stores import sqlite_log
from langchain_memllm.stores.embedded import EmbeddedStore

NS = ("memllm", "ada")


@functools.cache
def with_lines(path: str) -> frozenset[int]:
    return frozenset(node.lineno for node in ast.walk(parsed(path)) if isinstance(node, ast.With))


@functools.cache
def handler_lines(path: str) -> frozenset[int]:
    handlers = [node.body for node in ast.walk(parsed(path)) if isinstance(node, ast.ExceptHandler)]
    handlers += [node.finalbody for node in ast.walk(parsed(path)) if isinstance(node, ast.Try) and node.finalbody]
    return frozenset(n for body in handlers for n in range(body[0].lineno - 1, (body[0].end_lineno or 0) + 1))


@functools.cache
def parsed(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


class Interrupting:
    """Raises at the ``at``-th line of the stores that is run inside."""

    def __init__(self, at: int) -> None:
        self.left, self.seen = at, set[tuple[int, int]]()

    def __enter__(self) -> Interrupting:
        sys.settrace(self.trace)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(None)

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        path = frame.f_code.co_filename
        if f"stores{'/'}" not in path:
            return None
        if event == "line":
            place = (id(frame), frame.f_lineno)
            ends_a_with = frame.f_lineno in with_lines(path) and place in self.seen
            self.seen.add(place)
            if not ends_a_with and frame.f_lineno not in handler_lines(path):
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt
        return self.trace


def operations(memory: Memory) -> dict[str, Callable[[int], object]]:
    return {
        "write": lambda n: memory.write([(f"name {n}", "likes", f"thing {n}")], namespace=NS),
        "read": lambda n: memory.read("Ada", "likes", namespace=NS, thresholds=EXACT),
        "similar": lambda n: memory.read("Adda", "is fond of", namespace=NS),
        "listing": lambda n: list(memory.facts(namespace=NS)),
        "forget": lambda n: memory.forget(name=f"name {n - 1}", namespace=NS),
        "purge": lambda n: memory.forget(name="nobody", namespace=NS, purge=True),
    }


def check(memory: Memory, path: Path, number: int) -> None:
    """No lock is left, nothing old is read, and the next write is right, from this thread and from another."""
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT OR REPLACE INTO record(name, value) VALUES ('probe', ?)", (str(number),))
    other.execute("COMMIT")
    other.close()
    assert memory.store.record("probe") == str(number), "an old state is read"
    assert memory.write([("Ada", "probed by", f"probe {number}")], namespace=NS).outcomes[0].status == "stored"
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(memory.store.record("probe")), daemon=True)
    thread.start()
    thread.join(20)
    assert found == [str(number)], "another thread waits for ever"


@pytest.mark.parametrize("moving", [False, True], ids=["", "moving the log"])
@pytest.mark.parametrize("name", ["write", "read", "similar", "listing", "forget", "purge"])
def test_an_interrupt_at_any_line_leaves_nothing_behind(
    tmp_path: Path, name: str, moving: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if moving:
        monkeypatch.setattr(sqlite_log, "_DUE", 0)
        monkeypatch.setattr(sqlite_log, "_LATE", 0)
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    assert isinstance(memory.store, EmbeddedStore)
    memory.write([("Ada", "likes", "tea"), ("Ada", "likes", "rain")], namespace=NS)
    operation, lines = operations(memory)[name], 0
    operation(0)
    with Interrupting(1_000_000) as counted:
        operation(1)
    every = max(1, (1_000_000 - counted.left) // 60)  # A15 of the acceptance list takes them all
    for at in range(1, 1_000_000 - counted.left, every):
        with pytest.raises(KeyboardInterrupt), Interrupting(at):
            operation(at + 1)
        lines += 1
        check(memory, path, at)
    assert lines > 5
    assert memory.verify() == []
    assert not [line for line in with_memory(path) if "integrity" in line]
    memory.close()


def with_memory(path: Path) -> list[str]:
    with Memory(path) as memory:
        return memory.verify()
