"""The base class for stores of others passes the contract, on a dict."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from langchain_memllm.stores.plain import Contents, PlainStore
from langchain_memllm.testing import StoreContract
from langchain_memllm.triples import Namespace


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


class TestDictStore(StoreContract):
    @pytest.fixture
    def store(self) -> DictStore:
        return DictStore()

    @pytest.fixture
    def kept_texts(self, store: DictStore) -> Callable[[], Iterable[str]]:
        return lambda: [repr(list(contents.parts())) for contents in store.held.values()]
