"""Statements that forget, in bounded transactions."""

from __future__ import annotations

from typing import Final, LiteralString

from langchain_memllm.stores.cypher.fragments import _CLASS, _EITHER, _VIEW, CYPHER
from langchain_memllm.stores.cypher.use import _WEIGHT

# Take the lock and let every client reload what it holds.
BEGIN_ERASE: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op
WITH n SET n.epoch = n.epoch + 1 RETURN n.seq AS seq"""
)
# Ids of this namespace's facts among those given.
DOOMED_IDS: Final = (
    CYPHER
    + """UNWIND $ids AS id"""
    + _EITHER
    + """
WITH DISTINCT x WHERE x.ns = $ns RETURN x.id AS id, x.seq AS seq, x.ordinal AS ordinal"""
)
# Keys of the names and relations of facts.
DOOMED_KEYS: Final = (
    CYPHER
    + """UNWIND $ids AS id"""
    + _EITHER
    + """
MATCH (s:MemEntity {id: x.sid}) MATCH (r:MemRelation {id: x.rid}) MATCH (o:MemEntity {id: x.oid})
RETURN [s.key, r.key, o.key] AS keys"""
)
# Ids of the facts with one of these subjects (of some relations, or with null of any) or one of these objects.
DOOMED_NAMES: Final = (
    CYPHER
    + "CALL () {"
    + "\n  UNION".join(
        """
  UNWIND ${many} AS id
  MATCH (x:{label}) USING INDEX SEEK x:{label}({column}, rid, precedence)
  WHERE x.{column} = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL AND ($rids IS NULL OR x.rid IN $rids)
  RETURN x""".replace("{many}", many)
        .replace("{label}", label)
        .replace("{column}", column)
        for many, column in (("subjects", "sid"), ("objects", "oid"))
        for label in ("MemFact", "MemPast")
    )
    + " }\nRETURN DISTINCT x.id AS id, x.seq AS seq, x.ordinal AS ordinal"
)
# Ids of the sources of a name, of one kind or any.
SOURCES: Final = (
    CYPHER
    + """MATCH (d:MemSource) USING INDEX SEEK d:MemSource(ns, ref)
WHERE d.ns = $ns AND d.ref = $ref AND ($kind IS NULL OR d.kind = $kind) RETURN d.id AS id ORDER BY id"""
)
# Ids of the facts that rest on these sources alone.
DOOMED_SOURCES: Final = (
    CYPHER
    + """UNWIND $sources AS source MATCH (:MemSource {id: source})<-[:MEM_FROM]-(x)
WITH DISTINCT x WHERE NOT EXISTS { MATCH (x)-[:MEM_FROM]->(other) WHERE NOT other.id IN $sources }
RETURN x.id AS id, x.seq AS seq, x.ordinal AS ordinal"""
)
# Take these sources out of the evidence of facts that others support too; what is left of it decides their rank.
UNSUPPORT: Final = (
    CYPHER
    + """UNWIND $sources AS source MATCH (:MemSource {id: source})<-[m:MEM_FROM]-(x)
WITH x, m, m.size AS size, endNode(m).kind IN $untrusted AS light LIMIT $page
DELETE m
WITH x, count(*) AS taken, sum(size) AS characters, sum(CASE WHEN light THEN 1 ELSE 0 END) AS untrusted,
  coalesce(sum(CASE WHEN light THEN size END), 0) AS untrusted_characters
MATCH (x)-[m:MEM_FROM]->(d) WHERE NOT d.id IN $sources
RETURN x.id AS id, taken AS statements, characters, untrusted, untrusted_characters,
  collect([d.kind, m.principal, m.seq, m.ordinal, m.said_at]) AS evidence"""
)
# A fact's best source is another one now.
DEMOTE: Final = (
    CYPHER
    + """UNWIND $facts AS f WITH f, f.id AS id"""
    + _EITHER
    + """
SET x.kind = f.kind, x.principal = f.principal, x.said_at = f.said_at,
  x.precedence = x.precedence % 72057594037927936 + f.rank * 72057594037927936"""
)
# Operations whose receipts may name one of these facts: that stated, confirmed or closed it, or filled its slot
# (under any alias of its subject). Sources go without their label here: a planner that finds few of them in its
# statistics would begin with all of them.
TOUCHED: Final = (
    CYPHER
    + """UNWIND $ids AS id"""
    + _EITHER
    + """
WITH collect(x) AS doomed
CALL (doomed) {
  UNWIND doomed AS x UNWIND [x.seq, x.closed_seq] AS seq RETURN seq
  UNION
  UNWIND doomed AS x MATCH (x)-[m:MEM_FROM]->() RETURN m.seq AS seq
"""
    + "".join(
        """  UNION
  UNWIND doomed AS x WITH DISTINCT x.sid AS sid, x.rid AS rid
  CALL (sid) {
    RETURN sid AS same
    UNION
    MATCH (e:MemEntity {id: sid}) USING INDEX SEEK e:MemEntity(id)
    MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = e.ns AND m.alias = e.alias
    RETURN m.id AS same }
  MATCH (c:{label}) USING INDEX SEEK c:{label}(sid, rid, precedence)
  WHERE c.sid = same AND c.rid = rid AND c.precedence IS NOT NULL RETURN c.seq AS seq
""".replace("{label}", label)
        for label in ("MemFact", "MemPast")
    )
    + """}
MATCH (p:MemOp) USING INDEX SEEK p:MemOp(ns, seq) WHERE p.ns = $ns AND p.seq = seq
RETURN p.id AS id, p.op_id AS op_id, p.receipt AS receipt"""
)
# When the operations were done that stated or confirmed these facts; operations are kept for some days only.
STATED_AT: Final = (
    CYPHER
    + """UNWIND $ids AS id"""
    + _EITHER
    + """
CALL (x) {
  RETURN x.recorded_at AS at
  UNION
  MATCH (x)-[m:MEM_FROM]->()
  MATCH (p:MemOp) USING INDEX SEEK p:MemOp(ns, seq) WHERE p.ns = $ns AND p.seq = m.seq RETURN p.recorded_at AS at }
RETURN DISTINCT at"""
)
# Operations that were done at these times.
OPERATIONS_AT: Final = (
    CYPHER
    + """MATCH (p:MemOp) USING INDEX SEEK p:MemOp(ns, seq)
WHERE p.ns = $ns AND p.seq IS NOT NULL AND p.recorded_at IN $times
RETURN p.id AS id, p.op_id AS op_id, p.receipt AS receipt"""
)
# Names of sources and of who spoke.
PLACES: Final = (
    CYPHER
    + """MATCH (d:MemSource) USING INDEX SEEK d:MemSource(ns, ref) WHERE d.ns = $ns AND d.ref IS NOT NULL
CALL (d) {
  RETURN d.kind AS what, d.ref AS text
  UNION
  MATCH (d)<-[m:MEM_FROM]-() WHERE m.principal IS NOT NULL RETURN 'principal' AS what, m.principal AS text }
RETURN DISTINCT what, text"""
)
# Receipts without the erased facts.
REDACT: Final = CYPHER + "UNWIND $receipts AS e MATCH (p:MemOp {id: e.id}) SET p.receipt = e.receipt"
# Delete facts with their evidence and readable relationships; the text of a sentence that also supports a fact that
# stays is taken out. Returns what may be unused now.
DELETE_FACTS: Final = (
    CYPHER
    + """UNWIND $ids AS id"""
    + _EITHER
    + """
WITH collect(x) AS doomed
CALL (doomed) {
  UNWIND doomed AS x MATCH (x)-[m:MEM_FROM]->(d) WHERE m.text IS NOT NULL
  WITH d, collect(DISTINCT m.text) AS texts
  MATCH (d)<-[m:MEM_FROM]-() WHERE m.text IN texts
  SET m.text = null, m.said = null, m.span_start = null, m.span_end = null }
CALL (doomed) {
  UNWIND doomed AS x MATCH (y:MemPast) USING INDEX SEEK y:MemPast(closed_by) WHERE y.closed_by = x.id
  SET y.closed_by = null }
CALL (doomed) {
  UNWIND doomed AS x OPTIONAL MATCH (x)-[:MEM_FROM]->(d)
  RETURN collect(DISTINCT x.sid) + collect(DISTINCT x.oid) AS names, collect(DISTINCT x.rid) AS relations,
    collect(DISTINCT d.id) + collect(DISTINCT x.closed_source) AS sources }
CALL (doomed) {
  UNWIND doomed AS x MATCH (x)-[m:MEM_FROM]->(d) RETURN """
    + _WEIGHT
    + """ }
CALL (doomed) {
  UNWIND doomed AS x CALL (x) {
    """
    + _VIEW
    + """ DELETE v } }
CALL (doomed) { UNWIND doomed AS x DETACH DELETE x }
RETURN names, relations, sources, statements, characters, untrusted, untrusted_characters"""
)
# Facts that a source had closed, newest first, but those whose place is still taken: by a value of a better source (the
# rank stands in the bits of precedence above 2^56), or by the one that superseded them, resting on one no worse.
CLOSED_BY_SOURCE: Final = (
    CYPHER
    + """MATCH (x:MemPast) USING INDEX SEEK x:MemPast(closed_source)
WHERE x.closed_source = $source AND x.closed_why <> 'past' AND NOT (x.closed_why = 'superseded' AND EXISTS {
  MATCH (n:MemFact) USING INDEX SEEK n:MemFact(sid, rid, precedence)
  WHERE n.sid = x.sid AND n.rid = x.rid AND n.precedence IS NOT NULL
    AND (n.precedence / 72057594037927936 > x.precedence / 72057594037927936
      OR (n.id = x.closed_by AND n.precedence / 72057594037927936 = x.precedence / 72057594037927936)) })
RETURN x.id AS id, x.triple AS triple ORDER BY x.seq DESC, x.ordinal DESC"""
)
# Let closed facts stand again, unless the same triple stands already.
REOPEN: Final = (
    CYPHER
    + """UNWIND $ids AS id MATCH (x:MemPast {id: id})
WHERE NOT EXISTS { MATCH (:MemFact {triple: x.triple}) }
MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid}) MATCH (r:MemRelation {id: x.rid})
REMOVE x:MemPast
SET x:MemFact, x.closed_at = null, x.closed_seq = null, x.closed_by = null, x.closed_why = null,
  x.closed_source = null, x.ended = null
CREATE (s)-[:$(r.type) {fact: x.id, relation: x.relation, since: x.recorded_at}]->(o)
RETURN x.id AS id"""
)
# Closed facts no longer remember what closed them.
DISOWN: Final = (
    CYPHER
    + """MATCH (x:MemPast) USING INDEX SEEK x:MemPast(closed_source) WHERE x.closed_source = $source
SET x.closed_source = null"""
)
_UNUSED: Final = " AND ".join(
    "NOT EXISTS { MATCH (x:{label}) USING INDEX SEEK x:{label}({column}, rid, precedence)"
    " WHERE x.{column} = m.id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL }".replace("{label}", label).replace(
        "{column}", column
    )
    for column in ("sid", "oid")
    for label in ("MemFact", "MemPast")
)
# Delete the names of which no alias is used by any fact.
DELETE_NAMES: Final = (
    CYPHER
    + """UNWIND $names AS id MATCH (e:MemEntity {id: id})"""
    + _CLASS
    + """WITH e, m, """
    + _UNUSED
    + """ AS unused
WITH e, collect(m) AS members, collect(unused) AS unused WHERE all(free IN unused WHERE free)
UNWIND members AS m WITH DISTINCT m
DETACH DELETE m RETURN count(*) AS gone"""
)
# Delete the relations no fact uses.
DELETE_RELATIONS: Final = (
    CYPHER
    + """UNWIND $relations AS id MATCH (r:MemRelation {id: id})
WHERE NOT EXISTS { MATCH (x:MemFact) USING INDEX SEEK x:MemFact(rid) WHERE x.rid = id }
  AND NOT EXISTS { MATCH (x:MemPast) USING INDEX SEEK x:MemPast(rid) WHERE x.rid = id }
DELETE r RETURN count(*) AS gone"""
)
# Delete the sources nothing rests on.
DELETE_SOURCES: Final = (
    CYPHER
    + """UNWIND $sources AS id MATCH (d:MemSource {id: id})
WHERE NOT EXISTS { MATCH (d)<-[:MEM_FROM]-() }
  AND NOT EXISTS { MATCH (x:MemPast) USING INDEX SEEK x:MemPast(closed_source) WHERE x.closed_source = id }
DETACH DELETE d RETURN count(*) AS gone"""
)
# Delete quarantined pieces by number.
DELETE_QUARANTINED: Final = (
    CYPHER
    + """UNWIND $places AS place
MATCH (q:MemQuarantine) USING INDEX SEEK q:MemQuarantine(ns, seq, ordinal)
WHERE q.ns = $ns AND q.seq = place[0] AND q.ordinal = place[1] DELETE q RETURN count(*) AS gone"""
)
# Mark a namespace as being forgotten: nothing is written to it until that is finished.
CLOSE_NAMESPACE: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op
WITH n SET n.epoch = n.epoch + 1, n.closing = true RETURN n.seq AS seq"""
)


def _purge(label: LiteralString, columns: tuple[LiteralString, ...]) -> LiteralString:
    index = ", ".join(("ns", *columns))
    present = " AND ".join(("x.ns = $ns", *(f"x.{column} IS NOT NULL" for column in columns)))
    return (
        CYPHER
        + f"MATCH (x:{label}) USING INDEX SEEK x:{label}({index}) WHERE {present}"
        + " WITH x LIMIT $page WITH x, x.id AS id DETACH DELETE x RETURN collect(id) AS ids, count(*) AS gone"
    )


# Delete one page of all a namespace holds, label by label; the namespace itself comes last.
PURGE: Final = {
    "facts": _purge("MemFact", ("seq", "ordinal")),
    "past": _purge("MemPast", ("seq", "ordinal")),
    "names": _purge("MemEntity", ("n",)),
    "relations": _purge("MemRelation", ("n",)),
    "sources": _purge("MemSource", ("ref",)),
    "operations": _purge("MemOp", ("seq",)),
    "quarantined": _purge("MemQuarantine", ("seq", "ordinal")),
    "outbox": _purge("MemOutbox", ("place",)),
    "turns": _purge("MemTurn", ("place",)),
    "episodes": _purge("MemEpisode", ("began", "n")),
    "sessions": _purge("MemSession", ("n",)),
    "forgotten": _purge("MemForgotten", ("n",)),
    "roles": _purge("MemRole", ("key",)),
}
# Delete an emptied namespace.
DELETE_NAMESPACE: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) DELETE n"
