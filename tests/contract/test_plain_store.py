"""The base class for stores of others passes the contract, on a dict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent

from langchain_memllm import MemLLMMemory
from langchain_memllm.errors import ConfigurationError, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.stores.episodes import Grant, Turn, TurnStore
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.plain import Contents, PlainStore
from langchain_memllm.testing import OutboxContract, ScriptedModel, StoreContract, tool_call
from langchain_memllm.transfer import copy
from langchain_memllm.triples import Namespace

NS = ("memllm", "ada")
NOW = "2026-03-01T12:00:00.000000+00:00"


class DictStore(PlainStore):
    """Everything in two dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[Namespace, Contents] = {}
        self.records: dict[str, str] = {}

    def load(self, namespace: Namespace) -> Contents | None:
        return self.held.get(namespace)

    def save(self, namespace: Namespace, contents: Contents | None) -> None:
        self.held.pop(namespace, None)
        if contents is not None:
            self.held[namespace] = contents

    def namespaces(self) -> list[Namespace]:
        return sorted(self.held)

    def record(self, name: str, *, within: float | None = None) -> str | None:
        return self.records.get(name)

    def put_record(self, name: str, value: str, *, expected: str | None) -> str:
        with self._lock:
            if self.records.get(name) == expected:
                self.records[name] = value
            return self.records.get(name, value)


class OnDict:
    @pytest.fixture
    def store(self) -> DictStore:
        return DictStore()

    @pytest.fixture
    def kept_texts(self, store: DictStore) -> Callable[[], Iterable[str]]:
        return lambda: [repr(list(contents.parts())) for contents in store.held.values()]


class TestDictStore(OnDict, StoreContract):
    pass


class TestOutbox(OnDict, OutboxContract):
    pass


def test_what_it_does_not_keep_is_refused() -> None:
    store = DictStore()
    with pytest.raises(ConfigurationError, match="DictStore keeps facts and the outbox, no turns"):
        store.put_outbox(NS, [], NOW, [Turn("1", "t", "I live in Oslo.")])
    with pytest.raises(ConfigurationError, match="no turns"):
        store.restore(NS, [Grant("planner", "plans")])
    with pytest.raises(ConfigurationError, match="no turns"):
        store.turns.grant(NS, "planner", ["plans"])
    with pytest.raises(ConfigurationError, match="no items"):
        _ = store.items
    assert store.namespaces() == [] and store.check() == []


def test_a_failed_save_changes_nothing() -> None:
    class Full(DictStore):
        full = False

        def save(self, namespace: Namespace, contents: Contents | None) -> None:
            if self.full:
                raise StoreUnavailable("no room")
            super().save(namespace, contents)

    store = Full()
    memory = Memory(store)
    memory.write([("Ada", "likes", "tea")], namespace=NS)
    before = list(memory.export(namespace=NS))
    store.full = True
    for change in (
        lambda: memory.write([("Ada", "likes", "gin")], namespace=NS),
        lambda: memory.forget(name="Ada", namespace=NS),
        lambda: memory.alias("Ada", "Countess", namespace=NS),
        lambda: memory.put_outbox([OutboxEntry("op", "I like gin.")], namespace=NS),
    ):
        with pytest.raises(StoreUnavailable):
            change()
        assert list(memory.export(namespace=NS)) == before


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_memory_on_it_serves_every_door(asynchronous: bool) -> None:
    reply = tool_call("record_facts", facts=[{"subject": "user", "relation": "lives in", "object": "Oslo"}])
    model = ScriptedModel(script=lambda asked: reply if asked.tools else asked.text)
    memory = MemLLMMemory(DictStore(), model=model)
    agent = create_agent(model, middleware=[memory.middleware()])
    run: Any = {"configurable": {"user_id": "ada"}}
    for text in ("I live in Oslo.", "Where do I live?"):
        asked: Any = {"messages": [("human", text)]}
        state = asyncio.run(agent.ainvoke(asked, run)) if asynchronous else agent.invoke(asked, run)
    assert "user | lives in | Oslo" in state["messages"][-1].text
    assert memory.read("user", "lives in", user_id="ada").answers == ("Oslo",)
    assert memory.stats(user_id="ada").outbox == 0


def test_it_is_copied_to_a_file_and_back(tmp_path: Path) -> None:
    with Memory(DictStore()) as memory, Memory(tmp_path / "m.db") as file, Memory(DictStore()) as back:
        memory.write([("Ada", "lives in", "Oslo"), ("Ada", "likes", "tea")], namespace=NS)
        memory.write([("Ada", "lives in", "Rome")], namespace=NS)
        memory.alias("Ada", "Countess", namespace=NS)
        copy(memory, file, namespaces=[NS])
        copy(file, back, namespaces=[NS])
        assert list(back.export(namespace=NS)) == list(file.export(namespace=NS)) == list(memory.export(namespace=NS))


def test_it_has_every_member_of_the_protocols() -> None:
    store = DictStore()
    for protocol, made in ((TripleStore, DictStore), (TurnStore, type(store.turns))):
        assert {name for name in vars(protocol) if not name.startswith("_")} - set(dir(made)) == set()
