"""Limits by way of the facade, on every store; what a store does for them is in ``testing.rules.limits``."""

from __future__ import annotations

import pytest

from langchain_memllm import Limits, MemLLMMemory
from langchain_memllm.errors import ConfigurationError, QuotaExceeded
from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.testing import FakeEmbedder

ADA, BO = ("memllm", "ada"), ("memllm", "bo")


def likes(count: int, first: int = 0, who: str = "Ada") -> list[tuple[str, str, str]]:
    return [(who, "likes", f"tea {n:03d}") for n in range(first, first + count)]


def test_one_full_memory_keeps_no_other_waiting(store: TripleStore) -> None:
    from langchain_memllm.extraction import ChatExtractor
    from langchain_memllm.testing import ScriptedModel, tool_call

    reply = tool_call("record_facts", facts=[{"subject": "user", "relation": "likes", "object": "gin"}])
    extractor = ChatExtractor(ScriptedModel(script=lambda _: reply))
    memory = MemLLMMemory(store, extractor=extractor, embedder=FakeEmbedder(), limits=Limits(statements=1))
    memory.write(likes(1), user_id="ada")
    for who in (ADA, BO):
        memory.core.put_outbox([OutboxEntry(f"turn of {who[1]}", "I like gin.")], namespace=who)
    with pytest.raises(QuotaExceeded):
        memory.flush(everyone=True)
    assert memory.read("user", "likes", user_id="bo").answers == ("gin",)
    assert (memory.stats(user_id="ada").outbox, memory.stats(user_id="bo").outbox) == (1, 0)


async def test_async_twins_are_refused_alike(store: TripleStore) -> None:
    memory = MemLLMMemory(store, embedder=FakeEmbedder(), limits=Limits(statements=1))
    await memory.awrite(likes(1), user_id="ada")
    with pytest.raises(QuotaExceeded):
        await memory.awrite(likes(1, 5), user_id="ada")
    assert (await memory.astats(user_id="ada")).limits["statements"] == (1, 1)


@pytest.mark.parametrize(
    ("limits", "told"),
    [({"statements": -1}, "statements=-1"), ({"characters": 1.5}, "1.5"), ({"untrusted_share": 2}, "from 0 to 1")],
)
def test_limits_that_are_none(limits: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Limits(**limits)  # type: ignore[arg-type]


def test_what_is_given_in_place_of_limits() -> None:
    with pytest.raises(ConfigurationError, match="are not Limits; give Limits"):
        Memory(":memory:", limits=5)  # type: ignore[arg-type]
