"""The schema of a graph: which one a database has, which one this package knows, and how it gets there.

The steps are the files of ``graph_schema/``; the number of the last one taken is a record of the database. Several
processes may take the same steps at once: each statement is safe to run again, the number is never lowered, and it is
written only when every index of its step can be used, so who reads it may rely on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from langchain_memllm.errors import SchemaTooNew, StoreError
from langchain_memllm.stores import cypher, neo4j_hide, neo4j_rekey, neo4j_steps, neo4j_use, neo4j_words

if TYPE_CHECKING:
    import neo4j

__all__ = ["Connection", "SchemaState", "apply", "remake", "state"]

logger = logging.getLogger(__name__)


_REWRITES: Final[Mapping[int, Callable[[Connection], object]]] = {
    4: neo4j_rekey.rekey,
    5: neo4j_hide.hide,
    7: neo4j_use.count,
    8: neo4j_words.add_words,
}
"""What a step does to what is stored, where statements alone cannot; each may be run again wherever it was cut off."""


class Connection(neo4j_steps.Connection, Protocol):
    """What the schema needs of a database; ``bolt.Bolt`` has it."""

    @property
    def location(self) -> str:
        """Address and database, without anything secret."""

    def write_one(self, statement: cypher.Statement, parameters: Mapping[str, Any]) -> list[neo4j.Record]:
        """Run one writing statement that may safely run twice."""

    def alter(self, statement: str) -> None:
        """Run one schema statement, however long it takes; what another client was faster with is there."""


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What a database has of the schema.

    Attributes:
        number: The last step taken; 0 for a database that never held a memory.
        known: The newest step this version of the package knows.
        missing: Names of indexes and constraints that should be there and are not; none while ``number`` is 0.
        unusable: Names of indexes that are there and not online.
    """

    number: int
    known: int
    missing: tuple[str, ...]
    unusable: tuple[str, ...]

    @property
    def pending(self) -> tuple[cypher.Migration, ...]:
        """Steps that ``apply`` would take."""
        return cypher.migrations()[self.number :]


def state(connection: Connection) -> SchemaState:
    """What the database has; reads only, and a newer schema is told, not refused."""
    number = _number(connection)
    there = {str(row["name"]): str(row["state"]) for row in connection.read(cypher.INDEXES)}
    expected = cypher.index_names() if number else ()
    return SchemaState(
        number,
        cypher.schema_version(),
        tuple(name for name in expected if name not in there),
        tuple(sorted(name for name, word in there.items() if word != "ONLINE")),
    )


def apply(connection: Connection) -> tuple[cypher.Migration, ...]:
    """Bring the database up to date, and wait until its indexes can be used.

    Returns:
        The steps that were taken; none if there was nothing to do.

    Raises:
        SchemaTooNew: A newer version of this package wrote the graph; nothing was changed.
        StoreError: Something else uses the names of our indexes.
    """
    steps, number = cypher.migrations(), _number(connection)
    if number > len(steps):
        raise SchemaTooNew(
            f"{connection.location} has schema {number}, this version knows up to {len(steps)}; "
            "upgrade langchain-memllm (pip install -U langchain-memllm)"
        )
    for step in steps[number:]:
        for statement in step.statements:
            connection.alter(statement)
        connection.alter(cypher.AWAIT_INDEXES)
        _refuse_taken_names(connection, step)
        if step.number in _REWRITES:
            _REWRITES[step.number](connection)
        connection.write_one(cypher.SET_SCHEMA, {"number": step.number})
        logger.info("graph schema %d is in place", step.number)
    return steps[number:]


def remake(connection: Connection) -> int:
    """Make the indexes and constraints that are missing, of steps that were taken, and wait until they can be used.

    Returns:
        How many were missing.
    """
    found = state(connection)
    for step in cypher.migrations()[: found.number]:
        if set(cypher.index_names((step,))) & set(found.missing):
            for statement in step.statements:
                connection.alter(statement)
    connection.alter(cypher.AWAIT_INDEXES)
    return len(found.missing)


def _refuse_taken_names(connection: Connection, step: cypher.Migration) -> None:
    """IF NOT EXISTS is silent about an index that somebody else gave our name.

    Raises:
        StoreError: There is one; the database is not marked as having the schema.
    """
    there = {row["name"] for row in connection.read(cypher.INDEXES)}
    taken = [name for name in cypher.index_names((step,)) if name not in there]
    if taken:
        raise StoreError(
            f"{connection.location} has indexes or constraints of something else with the names {', '.join(taken)}; "
            "drop them or name them otherwise, or use a database of its own, then open the memory again"
        )


def _number(connection: Connection) -> int:
    rows = connection.read(cypher.RECORD, {"name": "schema"})
    return int(rows[0]["value"] or 0) if rows else 0
