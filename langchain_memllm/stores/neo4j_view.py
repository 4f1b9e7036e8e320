"""What people see in a Neo4j graph: one readable relationship for each open fact.

The facts themselves are nodes; the relationships are made from them and can be made again. Someone who deletes one in
Neo4j Browser changes the picture, not the memory.
"""

from __future__ import annotations

from typing import Any, Final

from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import PATIENCE, Bolt, token

__all__ = ["problems", "rebuild"]

_PAGE: Final = 2_000


def problems(bolt: Bolt) -> list[str]:
    """Facts that have lost a name, or are not shown as they are stored, by namespace."""
    found = []
    for row in bolt.read(cypher.BROKEN, within=PATIENCE):
        if row["endless"]:
            found.append(f"{row['endless']} facts of namespace {row['name']} have lost a name")
        if row["misshown"]:
            found.append(
                f"{row['misshown']} facts of namespace {row['name']} are not shown as they are stored; "
                "mend it with: memllm doctor --rebuild-view"
            )
    return found


def rebuild(bolt: Bolt) -> int:
    """Make the readable relationships what the facts say, namespace by namespace and page by page.

    Relationships that are not ours (without the property ``fact``) are left alone.

    Returns:
        Number of relationships that were made or deleted.
    """
    changed = 0
    for row in bolt.read(cypher.NAMESPACES):
        changed += _each_page(bolt, cypher.SHOW_FACTS, row["id"], {"seq": -1, "ordinal": -1})
        changed += _each_page(bolt, cypher.UNSHOW, row["id"], {"after": 0})
    return changed


def _each_page(bolt: Bolt, statement: cypher.Statement, ns: str, place: dict[str, Any]) -> int:
    """Run a statement on one page after the other; it tells how many rows there were, and where the next begins."""
    changed = 0
    while True:
        row = bolt.write_one(statement, {"ns": ns, "op": token(), "page": _PAGE, **place})[0]
        changed += int(row["changed"])
        if row["rows"] < _PAGE:
            return changed
        place = {name: row[name] for name in place}
