"""Fixtures of the doors: an agent without and with every checkpointer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver


@pytest.fixture(params=["none", "memory", "sqlite"])
def checkpointer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCheckpointSaver[str] | None]:
    """No checkpointer, the one in RAM, the one in a file."""
    if request.param == "sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
            yield saver
    else:
        yield InMemorySaver() if request.param == "memory" else None
