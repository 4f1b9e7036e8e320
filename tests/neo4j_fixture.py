"""One local Neo4j server for all tests that need a real one.

``MEMLLM_TEST_NEO4J`` picks the release (default: the long-term support one). In CI its absence is a failure; elsewhere
the tests say that they were not run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from langchain_memllm.errors import MissingExtra, StoreUnavailable
from langchain_memllm.stores.server import DEFAULT_VERSION, LocalServer


@pytest.fixture(scope="session")
def neo4j_server() -> Iterator[LocalServer]:
    """A running, empty server; each test takes namespaces of its own."""
    version = os.environ.get("MEMLLM_TEST_NEO4J", DEFAULT_VERSION)
    try:
        server = LocalServer.start(version=version)
    except (MissingExtra, StoreUnavailable) as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI runs the Neo4j tests, and no server could be started: {error}")
        pytest.skip(f"not run: no local Neo4j server ({error})")
    with server:
        yield server
