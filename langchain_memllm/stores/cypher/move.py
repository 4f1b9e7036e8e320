"""Statements that move a namespace from store to store, and those that mend the readable view."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import _FACT, _VIEW, CYPHER

# Relations and names of a namespace in the order in which they came, one page after number $after.
DUMP_RELATIONS: Final = (
    CYPHER
    + """MATCH (r:MemRelation) USING INDEX SEEK r:MemRelation(ns, n) WHERE r.ns = $ns AND r.n > $after
RETURN r.n AS n, r.label AS label ORDER BY n LIMIT $page"""
)
DUMP_NAMES: Final = (
    CYPHER
    + """MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, n) WHERE e.ns = $ns AND e.n > $after
RETURN e.n AS n, e.key AS key, e.name AS name, e.rank AS rank ORDER BY n LIMIT $page"""
)
# Facts in commit order after ($seq, $ordinal, $id), with their sources and what closed them.
DUMP_FACTS: Final = (
    (
        CYPHER
        + """CALL () {
  MATCH (x:MemFact) USING INDEX SEEK x:MemFact(ns, seq, ordinal)
  WHERE x.ns = $ns AND x.seq >= $seq AND x.ordinal IS NOT NULL <AFTER>
  UNION ALL
  MATCH (x:MemPast) USING INDEX SEEK x:MemPast(ns, seq, ordinal)
  WHERE x.ns = $ns AND x.seq >= $seq AND x.ordinal IS NOT NULL <AFTER> }
WITH x ORDER BY x.seq, x.ordinal, x.id LIMIT $page
MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid})
OPTIONAL MATCH (c:MemSource {id: x.closed_source})
WITH x, s.name AS subject, o, o.name AS object, c, [(x)-[m:MEM_FROM]->(d:MemSource) |
  [m.seq, m.ordinal, d.kind, d.ref, m.principal, m.text, m.span_start, m.span_end, m.turn, m.said_at]] AS sources
RETURN <FACT> AS fact, o.key AS object_key, sources, x.ended AS ended, x.closed_seq AS closed_seq,
  c.kind AS closed_kind, c.ref AS closed_ref ORDER BY fact[4], fact[5], fact[0]"""
    )
    .replace(
        "<AFTER>",
        """AND (x.seq > $seq OR x.ordinal > $ordinal OR x.ordinal = $ordinal AND x.id > $id)
  RETURN x ORDER BY x.ns, x.seq, x.ordinal, x.id LIMIT $page""",
    )
    .replace("<FACT>", _FACT)
)
# Operations after ($seq, $op_id).
DUMP_OPERATIONS: Final = (
    CYPHER
    + """MATCH (p:MemOp) USING INDEX SEEK p:MemOp(ns, seq) WHERE p.ns = $ns AND p.seq >= $seq
WITH p WHERE p.seq > $seq OR p.op_id > $op_id
RETURN p.seq AS seq, p.op_id AS op_id, p.payload_hash AS payload_hash, p.receipt AS receipt
  ORDER BY seq, op_id LIMIT $page"""
)
# How far a namespace has come.
DUMP_HEAD: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns})
RETURN n.seq AS seq, n.last_at AS last_at, coalesce(n.restarts, '[]') AS restarts"""
)
# Which of these facts and operations are there, and which of these triples stand.
KNOWN: Final = (
    CYPHER
    + """CALL () {
  UNWIND $ids AS id
  CALL (id) { MATCH (x:MemFact {id: id}) RETURN x UNION ALL MATCH (x:MemPast {id: id}) RETURN x }
  RETURN collect(CASE WHEN x.ns = $ns THEN id END) AS ids, collect(CASE WHEN x.ns <> $ns THEN id END) AS others }
CALL () { UNWIND $triples AS triple MATCH (x:MemFact {triple: triple}) RETURN collect(triple) AS triples }
CALL () { UNWIND $operations AS id MATCH (p:MemOp {id: id}) RETURN collect(id) AS operations }
RETURN ids, others, triples, operations"""
)

# -- the readable view -------------------------------------------------------------------------------------------------

# One page of open facts: each gets its readable relationship if it has none, and loses those it has too many.
SHOW_FACTS: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op
WITH n CALL (n) {
  MATCH (x:MemFact) USING INDEX SEEK x:MemFact(ns, seq, ordinal)
  WHERE x.ns = n.id AND x.seq >= $seq AND x.ordinal IS NOT NULL
    AND (x.seq > $seq OR x.seq = $seq AND x.ordinal > $ordinal)
  RETURN x ORDER BY x.ns, x.seq, x.ordinal LIMIT $page }
MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid}) MATCH (r:MemRelation {id: x.rid})
CALL (x) {
  <VIEW>
  RETURN collect(v) AS shown }
FOREACH (v IN shown[1..] | DELETE v)
FOREACH (_ IN CASE WHEN size(shown) = 0 THEN [1] ELSE [] END |
  CREATE (s)-[:$(r.type) {fact: x.id, relation: x.relation, since: x.recorded_at}]->(o))
WITH x.seq AS seq, x.ordinal AS ordinal, abs(size(shown) - 1) AS changes ORDER BY seq, ordinal
WITH collect([seq, ordinal]) AS places, sum(changes) AS changed
RETURN size(places) AS rows, changed, places[-1][0] AS seq, places[-1][1] AS ordinal"""
).replace("<VIEW>", _VIEW)
# One page of names: readable relationships from them that no open fact stands behind are deleted.
UNSHOW: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op
WITH n CALL (n) {
  MATCH (s:MemEntity) USING INDEX SEEK s:MemEntity(ns, n) WHERE s.ns = n.id AND s.n > $after
  RETURN s ORDER BY s.ns, s.n LIMIT $page }
CALL (s) {
  MATCH (s)-[v]->(o) WHERE v.fact IS NOT NULL
    AND NOT EXISTS { MATCH (x:MemFact {id: v.fact}) WHERE x.sid = s.id AND x.oid = o.id }
  DELETE v RETURN count(*) AS gone }
WITH s.n AS place, gone ORDER BY place
WITH collect(place) AS places, sum(gone) AS changed
RETURN size(places) AS rows, changed, places[-1] AS after"""
)
