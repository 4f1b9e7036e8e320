"""How much the namespaces of a graph hold: a step of the schema counts what is there, ``doctor`` counts it again.

Every write keeps the numbers (``stores.neo4j_write``), and every erasure (``stores.neo4j_erase``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.belief import Use
from langchain_memllm.quotas import UNTRUSTED
from langchain_memllm.stores import cypher
from langchain_memllm.stores.embedded import decode_namespace
from langchain_memllm.stores.interface import now
from langchain_memllm.stores.neo4j_ids import Ids, ids_of
from langchain_memllm.stores.neo4j_steps import Connection
from langchain_memllm.stores.rows import RESTORE
from langchain_memllm.stores.rows import use_of as sound_use
from langchain_memllm.triples import Namespace

if TYPE_CHECKING:
    import neo4j

__all__ = ["count", "problems", "use_of", "uses"]

_PAGE: Final = 10_000
_LOOKS: Final = 3


def count(connection: Connection) -> None:
    """Give the evidence of older graphs its size, and each namespace its counts; may be run again anywhere."""
    for row in connection.read(cypher.NAMESPACES):
        ids = ids_of(decode_namespace(row["name"]))
        while connection.write(_sizing(ids)):
            pass
        connection.write(_counting(ids))


def _sizing(ids: Ids) -> Callable[[neo4j.ManagedTransaction], int]:
    def work(transaction: neo4j.ManagedTransaction) -> int:
        found = transaction.run(cypher.SIZE_EVIDENCE, ns=ids.ns, page=_PAGE).single(strict=True)
        return int(found["sized"])

    return work


def _counting(ids: Ids) -> Callable[[neo4j.ManagedTransaction], None]:
    def work(transaction: neo4j.ManagedTransaction) -> None:
        counts = _counted(transaction, ids)
        transaction.run(cypher.SET_USE, ns=ids.ns, **counts).consume()

    return work


def _counted(transaction: neo4j.ManagedTransaction, ids: Ids) -> dict[str, Any]:
    row = transaction.run(cypher.COUNT_USE, ns=ids.ns, op=now(), untrusted=sorted(UNTRUSTED)).single(strict=True)
    return dict(row)


def use_of(row: Mapping[str, Any]) -> Use:
    """How much a namespace holds, from a row or node with these numbers; one that is new has none."""
    none = Use()
    values = [getattr(none, name) if row[name] is None else row[name] for name in Use._fields]
    return sound_use(values, "label MemNamespace")


def uses(connection: Connection) -> list[tuple[Namespace, Use]]:
    """How much each namespace says that it holds."""
    return [(decode_namespace(row["name"]), use_of(row)) for row in connection.read(cypher.USES)]


def problems(connection: Connection) -> list[str]:
    """Namespaces that count another number of statements than there are."""
    wrong = sum(not _is_counted(connection, ids_of(namespace)) for namespace, _ in uses(connection))
    return [f"{wrong} namespaces hold another number of statements than they count; {RESTORE}"] if wrong else []


def _is_counted(connection: Connection, ids: Ids) -> bool:
    """Whether a namespace counts what it holds; looked at again, because others may write between count and number."""
    for _ in range(_LOOKS):
        row = connection.read(cypher.COMPARE_USE, {"ns": ids.ns, "untrusted": sorted(UNTRUSTED)})[0]
        if (row["said"], row["said_untrusted"]) == (row["statements"], row["untrusted"]):
            return True
    return False
