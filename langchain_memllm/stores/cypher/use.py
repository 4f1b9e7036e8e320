"""Statements about how much a namespace holds (``belief.Use``)."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import CYPHER

# The numbers that a namespace n keeps, and what is left of them when something was erased.
_USE: Final = """coalesce(n.statements, 0) AS statements, coalesce(n.characters, 0) AS characters,
  coalesce(n.untrusted, 0) AS untrusted, coalesce(n.untrusted_characters, 0) AS untrusted_characters,
  coalesce(n.hour, '') AS hour, coalesce(n.in_hour, 0) AS in_hour, coalesce(n.in_day, 0) AS in_day"""
# What evidence m of sources d weighs; it is counted before it is deleted.
_WEIGHT: Final = """count(m) AS statements, coalesce(sum(m.size), 0) AS characters,
    sum(CASE WHEN d.kind IN $untrusted THEN 1 ELSE 0 END) AS untrusted,
    coalesce(sum(CASE WHEN d.kind IN $untrusted THEN m.size END), 0) AS untrusted_characters"""
SET_USE: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.statements = $statements, n.characters = $characters,
  n.untrusted = $untrusted, n.untrusted_characters = $untrusted_characters"""
)
# What evidence weighs that APPLY is about to take from facts, because its source states them no longer.
WITHDRAWN: Final = (
    CYPHER
    + """UNWIND $gone AS e MATCH (x:MemFact {id: e.id})-[m:MEM_FROM]->(d)
WHERE d.id = e.without AND coalesce(m.principal = e.of, m.principal IS NULL AND e.of IS NULL)
RETURN """
    + _WEIGHT
)
# How much each namespace says that it holds.
USES: Final = (
    CYPHER
    + """MATCH (n:MemNamespace) USING INDEX SEEK n:MemNamespace(id) WHERE n.id > '' AND n.born IS NOT NULL
RETURN n.name AS name, """
    + _USE
    + " ORDER BY name"
)
USE_OF: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) RETURN " + _USE
# What a namespace n holds, counted anew. Of characters outside the first plane the server counts two.
_COUNTED: Final = (
    """WITH n CALL (n) {
  MATCH (d:MemSource) USING INDEX SEEK d:MemSource(ns, ref) WHERE d.ns = n.id AND d.ref IS NOT NULL
  MATCH (d)<-[m:MEM_FROM]-() RETURN """
    + _WEIGHT
    + """ }
CALL (n) {
  MATCH (d:MemQuarantine) USING INDEX SEEK d:MemQuarantine(ns, seq, ordinal)
  WHERE d.ns = n.id AND d.seq IS NOT NULL AND d.ordinal IS NOT NULL
  RETURN count(d) AS pieces, coalesce(sum(size(d.text)), 0) AS letters,
    sum(CASE WHEN d.kind IN $untrusted THEN 1 ELSE 0 END) AS others,
    coalesce(sum(CASE WHEN d.kind IN $untrusted THEN size(d.text) END), 0) AS other_letters }
RETURN statements + pieces AS statements, characters + letters AS characters, untrusted + others AS untrusted,
  untrusted_characters + other_letters AS untrusted_characters"""
)
# The same under the namespace's lock, to be kept; and beside what is kept, without one: a check does not write.
COUNT_USE: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op\n" + _COUNTED
COMPARE_USE: Final = (
    CYPHER
    + "MATCH (n:MemNamespace {id: $ns})\n"
    + _COUNTED
    + ", coalesce(n.statements, 0) AS said, coalesce(n.untrusted, 0) AS said_untrusted"
)
# One page of evidence of before schema 7 gets its size.
SIZE_EVIDENCE: Final = (
    CYPHER
    + """MATCH (d:MemSource) USING INDEX SEEK d:MemSource(ns, ref) WHERE d.ns = $ns AND d.ref IS NOT NULL
MATCH (d)<-[m:MEM_FROM]-(x) WHERE m.size IS NULL
WITH m, x LIMIT $page
MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid})
SET m.size = size(s.name) + size(x.relation) + size(o.name) + size(coalesce(m.text, ''))
RETURN count(*) AS sized"""
)
