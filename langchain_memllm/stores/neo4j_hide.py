"""A step of the graph's schema: of the names of operations, and of what was forgotten, hashes are kept.

The same as ``stores.embedded_hide`` does to a file. A node's id comes from the name, so it is set anew with it; what
is done already is left alone, so the step may be taken again wherever it was cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.stores import cypher
from langchain_memllm.stores.embedded import decode_namespace
from langchain_memllm.stores.neo4j_ids import Ids, ids_of
from langchain_memllm.stores.neo4j_steps import Connection
from langchain_memllm.stores.outbox import pack_entry, unpack_entry
from langchain_memllm.triples import operation_key

if TYPE_CHECKING:
    pass

__all__ = ["hide"]

_PAGE: Final = 1_000


def hide(connection: Connection) -> None:
    """Rewrite the names of operations and the marks of what was forgotten, namespace by namespace."""
    for row in connection.read(cypher.NAMESPACES):
        ids = ids_of(decode_namespace(row["name"]))
        _hide_operations(connection, ids)
        _hide_waiting(connection, ids)


def _hide_operations(connection: Connection, ids: Ids) -> None:
    place: dict[str, Any] = {"seq": -1, "op_id": ""}
    while rows := connection.read(cypher.DUMP_OPERATIONS, {"ns": ids.ns, "page": _PAGE, **place}):
        place = {"seq": rows[-1]["seq"], "op_id": rows[-1]["op_id"]}
        named = [(row["op_id"], operation_key(row["op_id"])) for row in rows]
        _write(
            connection,
            cypher.RENAME_OPERATIONS,
            [
                {"id": ids.operation(name), "new": ids.operation(key), "op_id": key}
                for name, key in named
                if name != key
            ],
        )


def _hide_waiting(connection: Connection, ids: Ids) -> None:
    changed = []
    for row in connection.read(cypher.OUTBOX, {"ns": ids.ns, "limit": 1 << 40}):
        name, key = row["op_id"], operation_key(row["op_id"])
        entry = pack_entry(unpack_entry(name, row["entry"]))
        changed.append({"id": ids.outbox(name), "new": ids.outbox(key), "op_id": key, "entry": entry})
    _write(connection, cypher.RENAME_OUTBOX, changed)


def _write(connection: Connection, statement: cypher.Statement, entries: list[dict[str, Any]]) -> None:
    if entries:
        connection.write(lambda transaction: transaction.run(statement, entries=entries).consume())
