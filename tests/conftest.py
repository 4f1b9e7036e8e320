"""Fixtures of all tests: the stores of the contract."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from neo4j_fixture import neo4j_driver, neo4j_server, neo4j_store

from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import TripleStore

# Servers of tests live for minutes: what a second compiler and collector threads cost, they never earn back.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

# A shell starts what runs in its background with Ctrl-C ignored, and so would the programs that are tested be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A deadline would measure the machine, which other tests share, and fail now and then.
settings.register_profile("memllm", deadline=None)
settings.load_profile("memllm")

__all__ = ["neo4j_driver", "neo4j_server", "neo4j_store", "store"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For ``pytest -n 2 --dist loadgroup``: tests that share the server, or a file, run one after the other."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            shares_server = item.get_closest_marker("neo4j") is not None
            item.add_marker(pytest.mark.xdist_group("neo4j" if shares_server else str(item.path)))


@pytest.fixture(params=["memory", "file", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TripleStore]:
    """Every store, empty."""
    if request.param == "neo4j":
        yield request.getfixturevalue("neo4j_store")
        return
    made = EmbeddedStore(":memory:" if request.param == "memory" else tmp_path / "memllm.db")
    yield made
    made.close()
