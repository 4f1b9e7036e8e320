"""Every store of ours passes the contracts that stores of others are tested with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from neo4j import Driver

from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing import OutboxContract, SimilarityContract, StoreContract


class OurStores:
    """The stores of the fixture in ``conftest``, and how to look through each."""

    @pytest.fixture
    def store(self, store: TripleStore) -> TripleStore:
        return store

    @pytest.fixture
    def kept_texts(self, store: TripleStore, request: pytest.FixtureRequest) -> Callable[[], Iterable[str]]:
        """Every column of every table, every property of the graph."""
        if isinstance(store, EmbeddedStore):
            return lambda: texts_of_file(store)
        driver: Driver = request.getfixturevalue("neo4j_driver")
        return lambda: texts_of_graph(driver)


def texts_of_file(store: EmbeddedStore) -> Iterator[str]:
    with store._db.read() as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield from (str(row) for row in connection.execute(f"SELECT * FROM {table}"))


def texts_of_graph(driver: Driver) -> Iterator[str]:
    for query in ("MATCH (n) RETURN properties(n)", "MATCH ()-[v]->() RETURN properties(v)"):
        yield from (str(record.values()) for record in driver.execute_query(query).records)


class TestStore(OurStores, StoreContract):
    pass


class TestSimilarity(OurStores, SimilarityContract):
    pass


class TestOutbox(OurStores, OutboxContract):
    pass
