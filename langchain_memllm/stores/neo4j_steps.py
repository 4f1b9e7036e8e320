"""What a step of the graph's schema, and what else works through a graph in pages, needs of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_memllm.stores import cypher

if TYPE_CHECKING:
    import neo4j

__all__ = ["Connection"]

Answer = TypeVar("Answer")


class Connection(Protocol):
    """``bolt.Bolt`` is one."""

    def read(self, statement: cypher.Statement, parameters: Mapping[str, Any] | None = None) -> list[neo4j.Record]:
        """Run one reading statement."""

    def write(self, work: Callable[[neo4j.ManagedTransaction], Answer]) -> Answer:
        """Run a function in one writing transaction; it may run several times."""
