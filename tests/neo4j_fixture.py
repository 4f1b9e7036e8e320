"""One local Neo4j server for all tests that need a real one, and an empty store on it.

``MEMLLM_TEST_NEO4J`` picks the release (default: the long-term support one). In CI its absence is a failure; elsewhere
the tests say that they were not run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import pytest
from neo4j import Driver, GraphDatabase

from langchain_memllm.errors import MissingExtra, StoreUnavailable
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import DEFAULT_VERSION, LocalServer

# Every test empties the database, so its statistics say nothing: a plan made once is kept.
KEEP_PLANS = {"dbms.cypher.min_replan_interval": "1h", "dbms.cypher.statistics_divergence_threshold": "1.0"}


def started(settings: Mapping[str, str] | None = None) -> LocalServer:
    """A temporary server of the release to be tested."""
    with told_if_there_is_none():
        return LocalServer.start(version=os.environ.get("MEMLLM_TEST_NEO4J", DEFAULT_VERSION), settings=settings)


@contextlib.contextmanager
def told_if_there_is_none() -> Iterator[None]:
    """What can run no server is a failure in CI; elsewhere the tests say that they were not run."""
    try:
        yield
    except (MissingExtra, StoreUnavailable) as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not run: no local Neo4j server ({error})")


@pytest.fixture(scope="session")
def neo4j_server() -> Iterator[LocalServer]:
    """A running server; its data go with it."""
    with started(settings=KEEP_PLANS) as server:
        yield server


@pytest.fixture(scope="session")
def neo4j_driver(neo4j_server: LocalServer) -> Iterator[Driver]:
    """A bare driver, to look at the graph past the store."""
    with GraphDatabase.driver(
        neo4j_server.uri, auth=(neo4j_server.user, neo4j_server.password), notifications_min_severity="OFF"
    ) as driver:
        yield driver


@pytest.fixture
def neo4j_store(neo4j_server: LocalServer, neo4j_driver: Driver) -> Iterator[Neo4jStore]:
    """An empty store; the schema stays from test to test. A cold server on a busy machine may take its time."""
    neo4j_driver.execute_query("MATCH (n) WHERE coalesce(n.name <> 'schema', true) DETACH DELETE n")
    store = Neo4jStore(neo4j_server.uri, auth=(neo4j_server.user, neo4j_server.password), deadline=120.0)
    yield store
    store.close()
