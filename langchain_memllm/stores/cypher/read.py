"""Statements that read: look-ups, similar search, listings, counts and checks."""

from __future__ import annotations

from typing import Final, LiteralString

from langchain_memllm.stores.cypher.fragments import (
    _ANY_ROW,
    _ENDS,
    _FACT,
    _MEMBERS,
    _OPEN,
    _OPEN_ROW,
    _TIMED,
    _VIEW,
    CYPHER,
)

_LOOKUP: Final = (
    """UNWIND $qs AS q"""
    + _MEMBERS
    + """
CALL (q) { OPTIONAL MATCH (r:MemRelation {id: q.rids[0]}) RETURN r IS NOT NULL AS knows_relation }
WITH q, knows_relation, [k IN exact | ['exact', k]] + [k IN others | ['alias', k]] AS members
CALL (q, members) {
  WITH q.side AS side, q.rids AS rids, members
  UNWIND members AS member UNWIND rids AS rid WITH side, rid, member[0] AS how, member[1] AS k<ROWS><ENDS>
  RETURN collect(<ROW>) AS direct }
CALL (q, members) {
  WITH CASE q.side WHEN 'subject' THEN 'object' ELSE 'subject' END AS side, q.inverses AS rids, members
  UNWIND members AS member UNWIND rids AS rid WITH side, rid, member[1] AS k<ROWS><ENDS>
  RETURN collect(<INVERSE>) AS inverse }
RETURN q.i AS i, q.p AS p, size(members) > 0 AS knows_name, knows_relation, direct, inverse"""
).replace("<ENDS>", _ENDS)


def _lookup(rows: LiteralString, row: LiteralString) -> LiteralString:
    direct, inverse = (row.replace("<HOW>", how) for how in ("how + '\\u001f'", "'inverse\\u001f'"))
    return _LOOKUP.replace("<ROWS>", rows).replace("<ROW>", direct).replace("<INVERSE>", inverse)


# Facts by names and relation; q: {i, p, side, names [ids], rids [ids, or null
# for any], inverses [ids]}.
LOOKUP: Final = CYPHER + _lookup(_OPEN, _OPEN_ROW)
# The same at a record time and an event time.
LOOKUP_AT: Final = CYPHER + _lookup(_TIMED, _ANY_ROW)

# Search codes, cold ($after = 0) or those added since, with the namespace's state: compare it to know what is fresh.
CODES: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns})
CALL (n) {
  MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, coded) WHERE e.ns = n.id AND e.coded > $after
  WITH e.coded / 5000 AS block, collect(e.n) AS ids, collect(e.code) AS codes RETURN collect([ids, codes]) AS blocks }
RETURN n.born AS born, n.epoch AS epoch, n.codes AS codes_to, blocks"""
)
# Whether a namespace exists, and its state.
STATE: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns})
RETURN n.born AS born, n.epoch AS epoch, n.codes AS codes_to, n.relation_vectors AS relations_to, n.seq AS seq"""
)
# Vectors of a namespace's relations: few, so the client holds them all.
RELATION_VECTORS: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns})
CALL (n) {
  MATCH (r:MemRelation) USING INDEX SEEK r:MemRelation(ns, n) WHERE r.ns = n.id AND r.n IS NOT NULL
  RETURN collect([r.n, r.id, r.key, r.embedding, r.pending, r.label]) AS relations }
RETURN n.born AS born, n.epoch AS epoch, n.relation_vectors AS relations_to, relations"""
)
# Stored vectors of names by id.
NAME_VECTORS: Final = (
    CYPHER
    + """UNWIND $names AS id
MATCH (e:MemEntity {id: id}) WHERE e.embedding IS NOT NULL RETURN e.id AS id, e.embedding AS embedding"""
)
# Open facts by similarity; q: {i, p, ns, side, keep, names [ids], candidates [numbers], scan (namespace id to compare
# all its names, or null), vector (text), least, relations [[id, cosine]], min}. The server's own cosine (single
# precision) sifts, the sum in double precision decides. Pairs of a name and a relation are taken in groups of equal
# mean, best first, and LIMIT stops at the group that fills it.
SEARCH: Final = (
    (
        CYPHER
        + """UNWIND $qs AS q
MATCH (n:MemNamespace {id: q.ns})"""
        + _MEMBERS
        + """
WITH q, n, CASE WHEN q.keep THEN exact + others ELSE [] END AS known,
  [t IN split(q.vector, ' ') | toFloat(t)] AS vector
CALL (q) {
  CALL (q) {
    MATCH (e:MemEntity {id: q.spelled}) USING INDEX SEEK e:MemEntity(id) RETURN e
    UNION
    MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, loose) WHERE e.ns = q.ns AND e.loose = q.loose RETURN e }
  RETURN collect(e) AS spelled }
CALL (q, known, spelled, vector) {
  CALL (q, known, spelled, vector) {
  UNWIND known AS e RETURN e.id AS id, e.n AS number, 1.0 AS cosine
  UNION ALL
  UNWIND spelled AS e WITH e, known WHERE NOT e IN known RETURN e.id AS id, e.n AS number, $spelling AS cosine
  UNION ALL
  CALL (q, known) {
    WITH q WHERE size(known) = 0
    UNWIND q.candidates AS c
    MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, n) WHERE e.ns = q.ns AND e.n = c RETURN e
    UNION ALL
    WITH CASE WHEN size(known) = 0 THEN q.scan END AS ns
    MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, coded) WHERE e.ns = ns AND e.coded IS NOT NULL RETURN e }
  WITH q, spelled, e, vector WHERE NOT e IN spelled AND size(e.embedding) = size(vector)
  WITH q, e, vector WHERE 2 * vector.similarity.cosine(e.embedding, vector) - 1 >= q.least - 0.00001
  WITH q, e, e.embedding AS a, vector AS b
  WITH q, e, reduce(dot = 0.0, i IN range(0, size(a) - 1) | dot + a[i] * b[i]) AS cosine
  WHERE cosine >= q.least - 0.000001
  RETURN e.id AS id, e.n AS number, cosine ORDER BY cosine DESC, number LIMIT 300 }
  RETURN collect([id, cosine]) AS near }
CALL (q, near) {
  UNWIND near AS e UNWIND q.relations AS r
  WITH e, r, (e[1] + r[1]) / 2 AS mean WHERE mean >= q.min - 0.00001
  WITH round(mean, 5) AS similarity, collect([e[0], e[1], r[0], r[1]]) AS pairs ORDER BY similarity DESC
  CALL (q, pairs) {
    UNWIND pairs AS pair
    MATCH (k:MemEntity {id: pair[0]})
    WITH k, q.side AS side, pair[2] AS rid, pair<ROWS>
    WITH k, pair, x ORDER BY x.precedence DESC LIMIT $more<ENDS>
    RETURN [pair[1], pair[3], <ROW>] AS row }
  WITH row LIMIT $more RETURN collect(row) AS rows }
RETURN q.i AS i, q.p AS p, n.born AS born, n.epoch AS epoch, n.codes AS codes_to, n.relation_vectors AS relations_to,
  EXISTS { MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, pending) WHERE e.ns = q.ns AND e.pending IS NOT NULL }
    AS pending, rows"""
    )
    .replace("<ROWS>", _OPEN)
    .replace("<ENDS>", _ENDS)
    .replace("<ROW>", _OPEN_ROW.replace("<HOW>", "'similar\\u001f'"))
)

# -- listing -----------------------------------------------------------------------------------------------------------

# Facts ``x`` that pass the listing's conditions, with their sources; one page after ($seq, $ordinal).
_PAGE: Final = """
  WHERE (x.seq > $seq OR x.seq = $seq AND x.ordinal > $ordinal) AND ($rids IS NULL OR x.rid IN $rids)
    AND ($subjects IS NULL OR x.sid IN $subjects) AND ($objects IS NULL OR x.oid IN $objects)
    AND ($source IS NULL OR EXISTS { (x)-[:MEM_FROM]->(:MemSource {id: $source}) })
  RETURN x ORDER BY x.ns, x.seq, x.ordinal LIMIT $page"""
_LIST_TAIL: Final = (
    """
WITH x ORDER BY x.seq, x.ordinal LIMIT $page
MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid})
WITH x, s.name AS subject, o.name AS object, [(x)-[m:MEM_FROM]->(d:MemSource) |
  [m.seq, m.ordinal, d.kind, d.ref, m.principal, m.text, m.span_start, m.span_end, m.turn, m.said_at]]
    AS sources
RETURN """
    + _FACT
    + " AS fact, sources ORDER BY fact[4], fact[5]"
)


def _listing(match_open: LiteralString, match_past: LiteralString) -> LiteralString:
    closed = match_past + " AND NOT $open_only WITH x" + _PAGE
    return CYPHER + "CALL () { " + match_open + " WITH x" + _PAGE + " UNION ALL " + closed + " }" + _LIST_TAIL


# All facts of a namespace in commit order.
LIST: Final = _listing(
    """MATCH (x:MemFact) USING INDEX SEEK x:MemFact(ns, seq, ordinal)
  WHERE x.ns = $ns AND x.seq >= $seq AND x.ordinal IS NOT NULL""",
    """MATCH (x:MemPast) USING INDEX SEEK x:MemPast(ns, seq, ordinal)
  WHERE x.ns = $ns AND x.seq >= $seq AND x.ordinal IS NOT NULL""",
)
# Facts by id.
LIST_IDS: Final = _listing(
    "UNWIND $ids AS id MATCH (x:MemFact {id: id}) USING INDEX SEEK x:MemFact(id) WHERE x.ns = $ns",
    "UNWIND $ids AS id MATCH (x:MemPast {id: id}) USING INDEX SEEK x:MemPast(id) WHERE x.ns = $ns",
)
# Facts of some subjects.
LIST_SUBJECTS: Final = _listing(
    """UNWIND $subjects AS id MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
  WHERE x.sid = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL""",
    """UNWIND $subjects AS id MATCH (x:MemPast) USING INDEX SEEK x:MemPast(sid, rid, precedence)
  WHERE x.sid = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL""",
)
# Facts of some objects.
LIST_OBJECTS: Final = _listing(
    """UNWIND $objects AS id MATCH (x:MemFact) USING INDEX SEEK x:MemFact(oid, rid, precedence)
  WHERE x.oid = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL""",
    """UNWIND $objects AS id MATCH (x:MemPast) USING INDEX SEEK x:MemPast(oid, rid, precedence)
  WHERE x.oid = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL""",
)
# Ids of the facts of some subjects, or of some objects, after ($seq, $ordinal), in commit order.
_LISTED: Final = (
    CYPHER
    + """UNWIND $<NAMES> AS id
CALL (id) {
  MATCH (x:MemFact) USING INDEX SEEK x:MemFact(<ID>, rid, precedence)
  WHERE x.<ID> = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL RETURN x
  UNION ALL
  MATCH (x:MemPast) USING INDEX SEEK x:MemPast(<ID>, rid, precedence)
  WHERE x.<ID> = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL AND NOT $open_only RETURN x }
WITH x WHERE (x.seq > $seq OR x.seq = $seq AND x.ordinal > $ordinal) AND ($rids IS NULL OR x.rid IN $rids)
  AND ($subjects IS NULL OR x.sid IN $subjects) AND ($objects IS NULL OR x.oid IN $objects)
  AND ($source IS NULL OR EXISTS { (x)-[:MEM_FROM]->(:MemSource {id: $source}) })
RETURN x.id AS id ORDER BY x.seq, x.ordinal"""
)
IDS_OF_SUBJECTS: Final = _LISTED.replace("<NAMES>", "subjects").replace("<ID>", "sid")
IDS_OF_OBJECTS: Final = _LISTED.replace("<NAMES>", "objects").replace("<ID>", "oid")
# Facts of one source.
LIST_SOURCE: Final = _listing(
    """MATCH (d:MemSource {id: $source}) USING INDEX SEEK d:MemSource(id)
  CALL (d) { MATCH (d)<-[:MEM_FROM]-(x) RETURN DISTINCT x } WITH x WHERE x:MemFact""",
    """MATCH (d:MemSource {id: $source}) USING INDEX SEEK d:MemSource(id)
  CALL (d) { MATCH (d)<-[:MEM_FROM]-(x) RETURN DISTINCT x } WITH x WHERE x:MemPast""",
)
# Ids of names and of their aliases.
MEMBERS: Final = (
    CYPHER
    + """UNWIND [{names: $names}] AS q"""
    + _MEMBERS
    + """
RETURN [e IN exact + others | e.id] AS ids"""
)
# The receipt of an operation.
OPERATION: Final = CYPHER + "MATCH (p:MemOp {id: $op}) RETURN p.payload_hash AS payload_hash, p.receipt AS receipt"
# Spellings by alias class.
ALIASES: Final = (
    CYPHER
    + """MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, alias) WHERE e.ns = $ns AND e.alias IS NOT NULL
RETURN e.alias AS alias, collect(e.name) AS names"""
)
# Quarantined pieces, oldest first.
QUARANTINED: Final = (
    CYPHER
    + """MATCH (q:MemQuarantine) USING INDEX SEEK q:MemQuarantine(ns, seq, ordinal)
WHERE q.ns = $ns AND q.seq IS NOT NULL AND q.ordinal IS NOT NULL
RETURN q.seq AS seq, q.ordinal AS ordinal, q.text AS text, q.reason AS reason, q.kind AS kind, q.ref AS ref,
  q.principal AS principal, q.turn AS turn, q.recorded_at AS recorded_at ORDER BY seq, ordinal"""
)
# Relations, then names, that wait for a vector.
PENDING: Final = (
    CYPHER
    + """CALL () {
  MATCH (r:MemRelation) USING INDEX SEEK r:MemRelation(ns, n) WHERE r.ns = $ns AND r.n IS NOT NULL AND r.pending
  RETURN 'relation' AS kind, r.key AS key, r.label AS spelling, r.n AS number ORDER BY number LIMIT $limit
  UNION ALL
  MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, pending) WHERE e.ns = $ns AND e.pending IS NOT NULL
  RETURN 'name' AS kind, e.key AS key, e.name AS spelling, e.n AS number ORDER BY number LIMIT $limit }
RETURN kind, key, spelling ORDER BY kind DESC, number LIMIT $limit"""
)
# Namespaces that hold anything; a node of somebody else with the same label was not ``born`` here.
# When namespaces were written last, and the operations at which a clock that had been ahead was right again.
RESTARTS: Final = (
    CYPHER
    + """UNWIND $ns AS id MATCH (n:MemNamespace {id: id}) WHERE n.restarts IS NOT NULL
RETURN n.id AS id, n.restarts AS restarts"""
)
CLOCKS: Final = (
    CYPHER
    + """MATCH (n:MemNamespace) USING INDEX SEEK n:MemNamespace(id) WHERE n.id > ''
RETURN n.name AS name, n.seq AS seq, n.last_at AS last_at, coalesce(n.restarts, '[]') AS restarts ORDER BY name"""
)
NAMESPACES: Final = (
    CYPHER
    + """MATCH (n:MemNamespace) USING INDEX SEEK n:MemNamespace(id) WHERE n.id > '' AND n.born IS NOT NULL
  AND (EXISTS { MATCH (e:MemEntity) WHERE e.ns = n.id AND e.n IS NOT NULL }
    OR EXISTS { MATCH (p:MemOp) WHERE p.ns = n.id AND p.seq IS NOT NULL }
    OR EXISTS { MATCH (w:MemOutbox) WHERE w.ns = n.id AND w.place IS NOT NULL }
    OR EXISTS { MATCH (t:MemTurn) WHERE t.ns = n.id AND t.place IS NOT NULL })
RETURN n.id AS id, n.name AS name"""
)
# Counts of a namespace.
STATS: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns})
RETURN n.seq AS seq, n {.statements, .characters, .untrusted, .untrusted_characters, .hour, .in_hour, .in_day} AS use,
  COUNT { MATCH (x:MemFact) WHERE x.ns = n.id AND x.seq IS NOT NULL AND x.ordinal IS NOT NULL } AS facts,
  COUNT { MATCH (x:MemPast) WHERE x.ns = n.id AND x.seq IS NOT NULL AND x.ordinal IS NOT NULL } AS past,
  COUNT { MATCH (e:MemEntity) WHERE e.ns = n.id AND e.n IS NOT NULL } AS names,
  COUNT { MATCH (r:MemRelation) WHERE r.ns = n.id AND r.n IS NOT NULL } AS relations,
  COUNT { MATCH (d:MemSource) WHERE d.ns = n.id AND d.ref IS NOT NULL } AS sources,
  COUNT { MATCH (p:MemOp) WHERE p.ns = n.id AND p.seq IS NOT NULL } AS operations,
  COUNT { MATCH (q:MemQuarantine) WHERE q.ns = n.id AND q.seq IS NOT NULL AND q.ordinal IS NOT NULL } AS quarantined,
  COUNT { MATCH (e:MemEntity) WHERE e.ns = n.id AND e.pending IS NOT NULL }
    + COUNT { MATCH (r:MemRelation) WHERE r.ns = n.id AND r.n IS NOT NULL AND r.pending } AS pending,
  COUNT { MATCH (w:MemOutbox) WHERE w.ns = n.id AND w.place IS NOT NULL } AS outbox,
  COUNT { MATCH (t:MemTurn) WHERE t.ns = n.id AND t.place IS NOT NULL } AS turns,
  COUNT { MATCH (e:MemEpisode) WHERE e.ns = n.id AND e.began IS NOT NULL AND e.n IS NOT NULL } AS episodes,
  COUNT { MATCH (s:MemSession) WHERE s.ns = n.id AND s.n IS NOT NULL } AS sessions"""
)
# Facts whose ends are missing, open ones without their readable relationship and closed ones that still have one.
BROKEN: Final = (
    CYPHER
    + """MATCH (n:MemNamespace) USING INDEX SEEK n:MemNamespace(id) WHERE n.id > '' AND n.born IS NOT NULL
CALL (n) {
  MATCH (x:MemFact) USING INDEX SEEK x:MemFact(ns, seq, ordinal)
  WHERE x.ns = n.id AND x.seq IS NOT NULL AND x.ordinal IS NOT NULL RETURN x, 1 AS expected
  UNION ALL
  MATCH (x:MemPast) USING INDEX SEEK x:MemPast(ns, seq, ordinal)
  WHERE x.ns = n.id AND x.seq IS NOT NULL AND x.ordinal IS NOT NULL RETURN x, 0 AS expected }
CALL (x) {
  MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid}) RETURN count(*) AS ends }
CALL (x) {
  <VIEW>
  RETURN count(v) AS seen }
RETURN n.name AS name, count(CASE WHEN ends <> 1 THEN 1 END) AS endless,
  count(CASE WHEN seen <> expected THEN 1 END) AS misshown"""
).replace("<VIEW>", _VIEW)
