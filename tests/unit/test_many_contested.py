"""Very many contested values (issue 20, bad input): what one answer or one write costs does not grow with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlite_steps import steps

from langchain_memllm import MemLLMMemory, Source
from langchain_memllm.belief import MAX_SLOT

PAGE = Source("document", "list")
VERBS: dict[str, Callable[[MemLLMMemory], object]] = {
    "read": lambda memory: memory.read("Ada", "lives in"),
    "read from the other end": lambda memory: memory.read(None, "lives in", "Town 7"),
    "write": lambda memory: memory.write([("Ada", "lives in", "Rome")], source=PAGE),
    "recall": lambda memory: memory.recall("Where does Ada live?").block,
    "explain": lambda memory: memory.explain(memory.read("Ada", "lives in").matches[0].fact.id),
}


def one_slot(count: int) -> list[tuple[str, str, str]]:
    return [("Ada", "lives in", f"Town {n}") for n in range(count)]


def many_slots(count: int) -> list[tuple[str, str, str]]:
    return [("Ada" if n < 2 else f"Person {n // 2}", "lives in", f"Town {n}") for n in range(count)]


@pytest.mark.parametrize("values", [one_slot, many_slots])
def test_the_work_of_a_call_does_not_grow_with_contested_values(
    values: Callable[[int], list[tuple[str, str, str]]],
) -> None:
    taken: dict[int, dict[str, int]] = {}
    for count in (2 * MAX_SLOT, 8 * MAX_SLOT):
        memory = MemLLMMemory(":memory:")
        memory.write(values(count), source=PAGE, policy="paper")
        assert memory.read("Ada", "lives in").matches[0].fact.state == "contested"
        taken[count] = {name: steps(memory, verb) for name, verb in VERBS.items()}
        memory.close()
    few, many = taken.values()
    assert all(many[name] <= 1.5 * few[name] + 10 for name in VERBS), taken


def test_what_has_no_room_in_an_answer_is_told() -> None:
    memory = MemLLMMemory(":memory:")
    memory.write(one_slot(2 * MAX_SLOT), source=PAGE, policy="paper")
    found = memory.read("Ada", "lives in", limit=5)
    assert len(found) == 5 and found.truncated
    assert len(memory.recall("Where does Ada live?")) == 3
    (outcome,) = memory.write([("Ada", "lives in", "Rome")], source=PAGE).outcomes
    assert outcome.status == "rejected" and "64" in (outcome.reason or "")
    memory.close()
