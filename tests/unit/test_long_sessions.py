"""Very long sessions and questions (issue 21, bad input): what a call costs does not grow with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlite_steps import steps

from langchain_memllm import MemLLMMemory
from langchain_memllm.stores.episodes import Turn, TurnFilter

FEW, MANY = 512, 2_048
LATE = "2026-01-01T05:00:00.000000+00:00"
VERBS: dict[str, Callable[[MemLLMMemory], object]] = {
    "keep": lambda memory: memory.hub.keep([said(10_000)]),
    "window of turns": lambda memory: memory.hub.window("long", n=20),
    "window of tokens": lambda memory: memory.hub.window("long", tokens=200),
    "last episode": lambda memory: memory.hub.episode(session="long"),
    "episode of a moment": lambda memory: memory.hub.episode(at=said(100).at),
    "episode of a moment in a session": lambda memory: memory.hub.episode(at=said(100).at, session="long"),
    "episode of a day in a session": lambda memory: memory.hub.episode(at="2026-01-03", session="long"),
    "episode before a moment": lambda memory: memory.hub.episode(at="2027-01-01", session="long"),
    "timeline": lambda memory: memory.hub.timeline(session="long", limit=3),
    "turns of a day in a session": lambda memory: memory.hub.search("2026-01-03", searches=["time"], session="long"),
    "turns of a source": lambda memory: memory.core.store.turns.select(
        ("memllm", "default"), TurnFilter(sources=(("user", "long/7"),))
    ),
}


def said(number: int) -> Turn:
    """A turn every half hour: 48 a day."""
    at = f"2026-{1 + number // 1344:02}-{1 + number // 48 % 28:02}T{number // 2 % 24:02}:{number % 2 * 30:02}:00+00:00"
    return Turn(Turn.named("long", str(number)), "long", f"turn {number} about tea", at, ref=f"long/{number}")


def test_what_a_call_asks_of_the_file_does_not_grow_with_the_session() -> None:
    taken: dict[int, dict[str, int]] = {}
    for count in (FEW, MANY):
        memory = MemLLMMemory(":memory:", namespace=("memllm", "default"), episodes=True)
        memory.hub.keep(map(said, range(count)))
        taken[count] = {name: steps(memory, verb) for name, verb in VERBS.items()}
        memory.close()
    few, many = taken.values()
    assert all(many[name] <= 1.3 * few[name] + 10 for name in VERBS), taken


def test_a_search_loads_no_more_turns_of_a_longer_session(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: dict[int, list[int]] = {}
    for count in (FEW, MANY):
        memory = MemLLMMemory(":memory:", namespace=("memllm", "default"), episodes=True)
        memory.hub.keep(map(said, range(count)))
        turns, found = memory.core.store.turns, loaded.setdefault(count, [])
        select = turns.select

        def counted(*args: Any, select: Any = select, found: list[int] = found, **options: Any) -> list[Turn]:
            rows: list[Turn] = select(*args, **options)
            found.append(len(rows))
            return rows

        monkeypatch.setattr(turns, "select", counted)
        memory.recall("What did I say about tea on 3 January 2026?")
        memory.close()
    assert sum(loaded[MANY]) <= 1.3 * sum(loaded[FEW]) and sum(loaded[MANY]) <= 1_000, loaded


def test_a_window_of_few_tokens_reads_few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """It read as many turns as it may have tokens; each may have a megabyte."""
    memory = MemLLMMemory(":memory:", namespace=("memllm", "default"), episodes=True)
    memory.hub.keep(map(said, range(300)))
    turns, limits = memory.core.store.turns, list[int]()
    select = turns.select
    monkeypatch.setattr(
        turns, "select", lambda *args, limit, **rest: limits.append(limit) or select(*args, limit=limit, **rest)
    )
    assert len(memory.hub.window("long", tokens=50).turns) == 10 and limits == [32]
    assert len(memory.hub.window("long", tokens=1_000).turns) == 200 and limits[1:] == [32, 128, 512]
    whole = memory.hub.window("long", tokens=5_000)
    assert (len(whole.turns), whole.left_out) == (300, False)
    memory.close()


def calls(memory: MemLLMMemory, question: str) -> int:
    """Calls of Python functions that answering takes."""
    taken = [0]

    def count(frame: Any, event: str, arg: Any) -> None:
        taken[0] += event == "call"

    sys.setprofile(count)
    try:
        memory.recall(question, memory_gate="rules")
    finally:
        sys.setprofile(None)
    return taken[0]


@pytest.mark.parametrize("unit", ["tea ", '"tea" ', "2026-03-01 ", "東京に", "🎉", "the of and ", "it's "])
def test_a_question_costs_no_more_beyond_what_is_read_of_it(unit: str) -> None:
    """A message of a megabyte took 13 seconds: each of its words was looked at, however often it came."""
    memory = MemLLMMemory(":memory:", namespace=("memllm", "default"), episodes=True)
    memory.hub.keep(map(said, range(20)))
    memory.recall(unit, memory_gate="rules")
    few, many = (calls(memory, unit * (size // len(unit))) for size in (100_000, 400_000))
    assert many <= 1.2 * few, (few, many)
    memory.close()
