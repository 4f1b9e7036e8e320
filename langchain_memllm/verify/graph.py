"""What a Neo4j database holds, read with the bare driver: the checker's side of the checks on a real server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from langchain_memllm.verify.ledger import Counts, Held, Names

__all__ = ["LISTENED", "compare_slots", "facts_in", "labels_and_types", "said_in", "support_in", "texts_in"]

_FACTS: Final = """MATCH (n:MemNamespace) WHERE n.name STARTS WITH $prefix
MATCH (x:MemFact|MemPast) WHERE x.ns = n.id
MATCH (s:MemEntity {id: x.sid}) USING INDEX SEEK s:MemEntity(id)
MATCH (o:MemEntity {id: x.oid}) USING INDEX SEEK o:MemEntity(id)
OPTIONAL MATCH (p:MemOp {ns: x.ns, seq: x.seq}) USING INDEX SEEK p:MemOp(ns, seq)
RETURN n.name, s.name, x.relation, o.name, x:MemFact, x.seq, x.ordinal, p.op_id ORDER BY n.name, x.seq, x.ordinal"""

_SUPPORT: Final = """MATCH (n:MemNamespace) WHERE n.name = $name
MATCH (x:MemFact|MemPast) WHERE x.ns = n.id
MATCH (o:MemEntity {id: x.oid}) MATCH (x)-[m:MEM_FROM]->()
RETURN o.name, count(m)"""
_SAID: Final = """MATCH (n:MemNamespace) WHERE n.name = $name
MATCH (x:MemTurn) WHERE x.ns = n.id AND x.role = 'user' RETURN x.ref, x.text"""
_NAMES: Final = """CALL () { CALL db.labels() YIELD label AS name RETURN name
  UNION CALL db.relationshipTypes() YIELD relationshipType AS name RETURN name }
RETURN collect(name) AS names"""
_TEXTS: Final = """CALL () {
  MATCH (n) RETURN properties(n) AS held
  UNION ALL
  MATCH ()-[v]->() RETURN properties(v) AS held }
RETURN held"""
LISTENED: Final = frozenset((_FACTS, _NAMES, _SAID, _SUPPORT, _TEXTS))
"""What the checker itself sends."""


def facts_in(uri: str, auth: tuple[str, str], label: str) -> list[Held]:
    """Every fact of the namespaces whose first label begins with ``label``, open or closed."""
    from neo4j import GraphDatabase

    with GraphDatabase.driver(uri, auth=auth, notifications_min_severity="OFF") as driver:
        rows = driver.execute_query(_FACTS, {"prefix": f'["{label}'}, database_="neo4j").records
    return [_held(row.values()) for row in rows]


def support_in(uri: str, auth: tuple[str, str], *labels: str) -> dict[str, int]:
    """How many pieces of evidence the facts of a namespace have, by their objects."""
    from neo4j import GraphDatabase

    with GraphDatabase.driver(uri, auth=auth, notifications_min_severity="OFF") as driver:
        rows = driver.execute_query(_SUPPORT, {"name": _name(labels)}, database_="neo4j").records
    return {row[0]: row[1] for row in rows}


def said_in(uri: str, auth: tuple[str, str], *labels: str) -> list[tuple[str, str]]:
    """(ref, text) of each turn of a person in a namespace."""
    from neo4j import GraphDatabase

    with GraphDatabase.driver(uri, auth=auth, notifications_min_severity="OFF") as driver:
        rows = driver.execute_query(_SAID, {"name": _name(labels)}, database_="neo4j").records
    return [(row[0], row[1]) for row in rows]


def _name(labels: Sequence[str]) -> str:
    """A namespace as its node is called."""
    return json.dumps(list(labels), ensure_ascii=False, separators=(",", ":"))


def labels_and_types(uri: str, auth: tuple[str, str]) -> set[str]:
    """Every label and relationship type that was ever used in the database."""
    from neo4j import GraphDatabase

    with GraphDatabase.driver(uri, auth=auth, notifications_min_severity="OFF") as driver:
        return set(driver.execute_query(_NAMES, database_="neo4j").records[0]["names"])


def texts_in(uri: str, auth: tuple[str, str]) -> list[str]:
    """Every property of every node and relationship, as text, and every label and type."""
    from neo4j import GraphDatabase

    with GraphDatabase.driver(uri, auth=auth, notifications_min_severity="OFF") as driver:
        rows = driver.execute_query(_TEXTS, database_="neo4j").records
    return [*(str(row[0]) for row in rows), *labels_and_types(uri, auth)]


def _held(row: list[Any]) -> Held:
    return Held(row[0], (row[1], row[2], row[3]), row[4], *row[5:])


def compare_slots(held: list[Held], relation: str, counts: Counts) -> None:
    """Of a relation with one value, each subject has one open fact, and it is the last one that came."""
    slots: dict[tuple[str, str], list[Held]] = {}
    for fact in held:
        if fact.triple[1] == relation:
            slots.setdefault((fact.namespace, fact.triple[0]), []).append(fact)
    for facts in slots.values():
        standing: list[Names] = [fact.triple for fact in facts if fact.is_open]
        last = max(facts, key=lambda fact: (fact.seq, fact.ordinal))
        counts.duplicated += max(0, len(standing) - 1)
        counts.wrong += standing != [last.triple]
