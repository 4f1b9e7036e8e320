"""What is not of an export is one error with the record's number (redteam row 21, R12); numbers stay usable (R10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_memllm import MemLLMMemory
from langchain_memllm.errors import ConfigurationError

BOMB = json.loads("[" * 900 + "]" * 900)


@pytest.fixture
def fact() -> dict[str, Any]:
    memory = MemLLMMemory(":memory:")
    memory.write([("Ada", "likes", "tea")])
    return next(record for record in memory.export() if record["type"] == "fact")


@pytest.mark.parametrize(
    "changed",
    [
        {"namespace": "memllm"},
        {"namespace": []},
        {"namespace": BOMB},
        {"sources": BOMB},
        {"sources": "web"},
        {"id": None},
        {"recorded_at": None},
        {"subject": BOMB},
        {"type": BOMB},
        {"seq": (1 << 43) - 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_r12_a_record_that_is_none_is_told_with_its_number(fact: dict[str, Any], changed: dict[str, Any]) -> None:
    memory = MemLLMMemory(":memory:")
    with pytest.raises(ConfigurationError, match="record 2 is not one of an export"):
        memory.restore([{**fact, "id": "0" * 32}, {**fact, **changed}])
    assert len(memory.namespaces()) == 1
    assert memory.verify() == []


@pytest.mark.parametrize(
    "record",
    [
        {"type": "alias", "namespace": ["n"], "names": []},
        {"type": "alias", "namespace": ["n"], "names": "Ada"},
        {"type": "outbox", "namespace": ["n"]},
        {"type": "namespace", "namespace": ["n"], "seq": 1, "last_at": "", "restarts": [1]},
        {"type": "namespace", "namespace": ["n"], "seq": 1 << 40, "last_at": ""},
        {},
        [],
        None,
        "fact",
        BOMB,
    ],
    ids=lambda record: str(record)[:30],
)
def test_r12_other_records(record: Any) -> None:
    memory = MemLLMMemory(":memory:")
    with pytest.raises(ConfigurationError, match="record 1 is not one of an export"):
        memory.restore([record])
    assert memory.namespaces() == []


def test_a_folder_is_no_file_of_triples() -> None:
    """redteam row 21: ``load .``."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        MemLLMMemory(":memory:").load(".")


def test_r10_an_import_from_the_end_of_time_leaves_the_memory_usable(fact: dict[str, Any]) -> None:
    """redteam row 19: the head was set to 9999, after which the own export could not be put back."""
    memory = MemLLMMemory(":memory:")
    end = "9999-12-31T23:59:59.999999+00:00"
    memory.restore(
        [
            {**fact, "recorded_at": end, "said_at": end},
            {"type": "namespace", "namespace": fact["namespace"], "seq": 7, "last_at": end},
        ]
    )
    memory.write([("Ada", "lives in", "Oslo")])
    memory.write([("Ada", "lives in", "Rome")])
    assert memory.read("Ada", "lives in").answers == ("Rome",)
    assert memory.read("Ada", "lives in", at="2098-01-01").answers == ("Rome",)
    other = MemLLMMemory(":memory:")
    records = list(memory.export())
    other.restore(records)
    assert list(other.export()) == records
