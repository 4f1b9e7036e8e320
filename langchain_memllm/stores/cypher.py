"""Every statement that reaches a Neo4j server, and the schema they need.

Statements are literals put together when this module is loaded; what users and models say travels in parameters, never
in query text. Each begins with ``CYPHER 5``, which 5.26 and 2026 understand alike. ``tests/integration`` explains all
of them on a real server and fails on any scan.

The model is a ledger with a view: facts are nodes (``MemFact`` open, ``MemPast`` closed), found by composite indexes;
an open fact also has one readable relationship between its names, for people. Reads use the ledger only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, LiteralString

from langchain_memllm.errors import StoreCorrupt

__all__ = ["Migration", "Statement", "index_names", "migrations", "schema_folder", "schema_version"]

Statement = LiteralString

CYPHER: Final = "CYPHER 5 "

# -- fragments --------------------------------------------------------------------------------------------------


def _with(text: LiteralString, **parts: str) -> str:
    """A statement with its ``<PARTS>`` filled in; only literals of this module meet here."""
    for name, part in parts.items():
        text = text.replace(f"<{name}>", part)
    return text


def _columns(row: LiteralString, *columns: str, start: int = 0) -> str:
    """Properties from a list: ``id: f[0], sid: f[1]``."""
    return ", ".join(f"{column}: {row}[{place}]" for place, column in enumerate(columns, start))


def _in_one(text: str) -> str:
    """The statement with all its parameters in one map, ``$p``.

    The server plans a statement anew for each combination of types and magnitudes of its parameters (lists of none,
    one, less than ten, less than a hundred …). Planning a write takes it a second or more; one map is one combination.
    """
    return re.sub(r"\$([a-z_]+)", r"$p.\1", text)


# A vector from a parameter: text with numbers, from a client or to a server that knows no Bolt vectors.
_FLOATS: Final = "CASE WHEN <V> IS :: STRING THEN [t IN split(<V>, ' ') | toFloat(t)] ELSE <V> END"

# A fact as a list, in the order ``neo4j.fact_of`` reads it; ``subject`` and ``object`` are the names' spellings.
_FACT: Final = """[x.id, subject, x.relation, object, x.seq, x.ordinal, x.recorded_at, x.kind, x.principal,
    x.confidence, x.valid_from, x.valid_to, x.closed_at, x.closed_by, x.closed_why]"""
# What answers consist of: how fact ``x`` was found, by which name, and the fact, as one text that ``neo4j.row_of``
# takes apart: a client unpacks one text in the time of one of its 16 parts. The principal comes last, since any sign
# but NUL may be in it; no other part holds a unit separator. <CLOSED> is empty for an open fact.
_ROW: Final = """<HOW> + k.name + '\\u001f' + x.id + '\\u001f' + subject + '\\u001f' + x.relation + '\\u001f' + object
    + '\\u001f' + x.seq + '\\u001f' + x.ordinal + '\\u001f' + x.recorded_at + '\\u001f' + x.kind
    + '\\u001f' + coalesce(toString(x.confidence), '') + '\\u001f' + coalesce(x.valid_from, '')
    + '\\u001f' + coalesce(x.valid_to, '') + <CLOSED> + coalesce('\\u001f' + x.principal, '')"""
_OPEN_ROW: Final = _ROW.replace("<CLOSED>", "'\\u001f\\u001f\\u001f'")
_ANY_ROW: Final = _ROW.replace(
    "<CLOSED>",
    """'\\u001f' + coalesce(x.closed_at, '') + '\\u001f' + coalesce(x.closed_by, '') + '\\u001f'
    + coalesce(x.closed_why, '')""",
)
# From fact ``x`` and the name ``k`` it was found by, the name at its other end and both spellings.
_ENDS: Final = """
  WITH *, x.sid = k.id AS forward
  MATCH (y:MemEntity {id: CASE WHEN forward THEN x.oid ELSE x.sid END})
  WITH *, CASE WHEN forward THEN k.name ELSE y.name END AS subject,
    CASE WHEN forward THEN y.name ELSE k.name END AS object"""
# The names with the ids ``q.names`` (in that order) and the other names of their alias classes.
_MEMBERS: Final = """
CALL (q) {
  UNWIND range(0, size(q.names) - 1) AS j
  MATCH (k:MemEntity {id: q.names[j]}) USING INDEX SEEK k:MemEntity(id)
  WITH k ORDER BY j RETURN collect(k) AS exact }
CALL (exact) {
  UNWIND range(0, size(exact) - 1) AS j WITH exact, j, exact[j] AS k
  MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = k.ns AND m.alias = k.alias AND NOT m IN exact
  WITH m, min(j) AS j ORDER BY j, m.n RETURN collect(m) AS others }"""
# Open facts ``x`` of name ``k`` on ``side``, of relation ``rid`` or (null) any, best first. A branch that does not
# apply gets a null key, so its seek finds nothing; all index columns are in the order, so that LIMIT reads lazily.
_OPEN: Final = """
  CALL (k, side, rid) {
    WITH rid, CASE WHEN side = 'subject' AND rid IS NOT NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
    WHERE x.sid = key AND x.rid = rid AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.sid DESC, x.rid DESC, x.precedence DESC LIMIT $more
    UNION ALL
    WITH rid, CASE WHEN side = 'object' AND rid IS NOT NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(oid, rid, precedence)
    WHERE x.oid = key AND x.rid = rid AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.oid DESC, x.rid DESC, x.precedence DESC LIMIT $more
    UNION ALL
    WITH CASE WHEN side = 'subject' AND rid IS NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
    WHERE x.sid = key AND x.rid IS NOT NULL AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.precedence DESC LIMIT $more
    UNION ALL
    WITH CASE WHEN side = 'object' AND rid IS NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(oid, rid, precedence)
    WHERE x.oid = key AND x.rid IS NOT NULL AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.precedence DESC LIMIT $more }"""
# Why a fact is closed as seen from record time $at (null: now), and whether event time $valid_at is in its interval.
_WHY: Final = "CASE WHEN x.closed_at IS NOT NULL AND ($at IS NULL OR x.closed_at <= $at) THEN x.closed_why END"
_WHEN: Final = """($at IS NULL OR x.recorded_at <= $at) AND CASE WHEN $valid_at IS NULL THEN why IS NULL
      ELSE coalesce(why, 'past') IN ['past', 'superseded'] AND coalesce(x.valid_from, '') <= $valid_at + '~'
        AND coalesce(coalesce(x.valid_to, CASE WHEN why IS NOT NULL THEN x.ended END) + '~' >= $valid_at, true) END"""
_TIMED_BRANCH: Final = (
    """
    WITH rid, CASE WHEN side = '{side}' THEN k.id END AS key
    MATCH (x:{label}) USING INDEX SEEK x:{label}({column}, rid, precedence)
    WHERE x.{column} = key AND x.rid IS NOT NULL AND x.precedence IS NOT NULL AND (rid IS NULL OR x.rid = rid)
    WITH x, """
    + _WHY
    + " AS why WHERE "
    + _WHEN
    + " RETURN x ORDER BY x.precedence DESC LIMIT $more"
)
# The same for facts as of a record time and an event time, open or closed.
_TIMED: Final = (
    """
  CALL (k, side, rid) {"""
    + "\n    UNION ALL".join(
        _TIMED_BRANCH.replace("{side}", side).replace("{column}", column).replace("{label}", label)
        for side, column in (("subject", "sid"), ("object", "oid"))
        for label in ("MemFact", "MemPast")
    )
    + " }"
)

# The readable relationship ``v`` of fact ``x``, between names found first: never a scan, however empty the graph.
_VIEW: Final = """MATCH (s:MemEntity {id: x.sid}) USING INDEX SEEK s:MemEntity(id)
    MATCH (o:MemEntity {id: x.oid}) USING INDEX SEEK o:MemEntity(id)
    MATCH (s)-[v {fact: x.id}]->(o)"""

# -- reading ----------------------------------------------------------------------------------------------------

_LOOKUP: Final = (
    """UNWIND $qs AS q"""
    + _MEMBERS
    + """
CALL (q) { OPTIONAL MATCH (r:MemRelation {id: q.rid}) RETURN r IS NOT NULL AS knows_relation }
WITH q, knows_relation, [k IN exact | ['exact', k]] + [k IN others | ['alias', k]] AS members
CALL (q, members) {
  WITH q.side AS side, q.rid AS rid, members
  UNWIND members AS member WITH side, rid, member[0] AS how, member[1] AS k<ROWS><ENDS>
  RETURN collect(<ROW>) AS direct }
CALL (q, members, direct) {
  WITH q, members WHERE size(direct) = 0 AND q.inverse IS NOT NULL
  WITH CASE q.side WHEN 'subject' THEN 'object' ELSE 'subject' END AS side, q.inverse AS rid, members
  UNWIND members AS member WITH side, rid, member[1] AS k<ROWS><ENDS>
  RETURN collect(<INVERSE>) AS inverse }
RETURN q.i AS i, q.p AS p, size(members) > 0 AS knows_name, knows_relation, direct, inverse"""
).replace("<ENDS>", _ENDS)


def _lookup(rows: LiteralString, row: LiteralString) -> LiteralString:
    direct, inverse = (row.replace("<HOW>", how) for how in ("how + '\\u001f'", "'inverse\\u001f'"))
    return _LOOKUP.replace("<ROWS>", rows).replace("<ROW>", direct).replace("<INVERSE>", inverse)


# Facts by names and relation; q: {i, p, side, names [ids], rid, inverse}. The inverse is read if nothing was direct.
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
  RETURN collect([r.n, r.id, r.key, r.embedding, r.pending]) AS relations }
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
CALL (q, known, vector) {
  CALL (q, known, vector) {
  UNWIND known AS e RETURN e.id AS id, e.n AS number, 1.0 AS cosine
  UNION ALL
  CALL (q, known) {
    WITH q WHERE size(known) = 0
    UNWIND q.candidates AS c
    MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, n) WHERE e.ns = q.ns AND e.n = c RETURN e
    UNION ALL
    WITH CASE WHEN size(known) = 0 THEN q.scan END AS ns
    MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, coded) WHERE e.ns = ns AND e.coded IS NOT NULL RETURN e }
  WITH q, e, vector WHERE size(e.embedding) = size(vector)
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

# The newest open facts around the names of a group; a fact counts for the first name. The lower 56 bits of precedence
# are the commit order, and unlike seq and ordinal they come with the index.
_AROUND: Final = """
  UNWIND names AS k
  CALL (k) {
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
    WHERE x.sid = k.id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.precedence % 72057594037927936 DESC LIMIT $limit
    UNION ALL
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(oid, rid, precedence)
    WHERE x.oid = k.id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.precedence % 72057594037927936 DESC LIMIT $limit }
  WITH x, collect(k)[0] AS k ORDER BY x.precedence % 72057594037927936 DESC LIMIT $limit"""
# The first mention of each fact in a list of [how, name, fact]. Lists never become grouping keys: they would be hashed
# anew for every row.
_FIRST: Final = """UNWIND range(0, size(found) - 1) AS i WITH i, found[i] AS each
  WITH each[2] AS x, min(i) AS i, collect(each)[0] AS each ORDER BY i LIMIT $limit"""
# Facts around names, and one hop further; q: {p, ns, names [ids], words [hashes]}.
NEIGHBOURHOOD: Final = (
    CYPHER
    + """UNWIND $qs AS q
MATCH (n:MemNamespace {id: q.ns})"""
    + _MEMBERS
    + """
WITH q, exact[..$most] AS exact, others[..$most - size(exact[..$most])] AS others
CALL (q) {
  UNWIND q.words AS word
  CALL (word) {
    MATCH (w:MemWord) USING INDEX SEEK w:MemWord(word, n) WHERE w.word = word AND w.n IS NOT NULL
    WITH w.n AS number LIMIT $common + 1 RETURN collect(number) AS holders }
  WITH holders WHERE size(holders) <= $common
  UNWIND holders AS number RETURN collect(DISTINCT number) AS numbers }
WITH q, exact, others, numbers, [k IN exact + others | k.n] AS taken
CALL (q, taken, numbers) {
  UNWIND numbers AS number WITH q, number WHERE NOT number IN taken WITH q, number ORDER BY number LIMIT $most
  MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, n) WHERE e.ns = q.ns AND e.n = number
  WITH e ORDER BY number RETURN collect(e) AS holding }
CALL (exact, others, holding) {
  UNWIND [['exact', exact], ['alias', others], ['similar', holding]] AS group
  CALL (group) {
  WITH group[1] AS names"""
    + _AROUND
    + """
  RETURN x, k }
  RETURN collect([group[0], k, x]) AS found }
CALL (found) {
  <FIRST>
  RETURN collect(each) AS near }
CALL (found, near) {
  WITH found WHERE size(near) < $limit
  UNWIND found AS each WITH each[1] AS k, each[2] AS x
  MATCH (y:MemEntity {id: CASE x.sid WHEN k.id THEN x.oid ELSE x.sid END})
  RETURN collect(DISTINCT y) AS ends }
WITH q, near, ends, exact + others + holding AS seen
WITH q, near, [e IN ends WHERE NOT e IN seen][..$most] AS names
CALL (names) {"""
    + _AROUND
    + """
  RETURN collect(['neighbour', k, x]) AS further }
WITH q, near + further AS found
CALL (found) {
  <FIRST>
  WITH each[0] AS how, each[1] AS k, each[2] AS x"""
    + _ENDS
    + """
  RETURN collect("""
    + _OPEN_ROW.replace("<HOW>", "how + '\\u001f'")
    + """) AS rows }
RETURN q.p AS p, rows"""
).replace("<FIRST>", _FIRST)

# -- listing ----------------------------------------------------------------------------------------------------

# Facts ``x`` that pass the listing's conditions, with their sources; one page after ($seq, $ordinal).
_PAGE: Final = """
  WHERE (x.seq > $seq OR x.seq = $seq AND x.ordinal > $ordinal) AND ($rid IS NULL OR x.rid = $rid)
    AND ($subjects IS NULL OR x.sid IN $subjects) AND ($objects IS NULL OR x.oid IN $objects)
    AND ($source IS NULL OR EXISTS { (x)-[:MEM_FROM]->(:MemSource {id: $source}) })
  RETURN x ORDER BY x.ns, x.seq, x.ordinal LIMIT $page"""
_LIST_TAIL: Final = (
    """
WITH x ORDER BY x.seq, x.ordinal LIMIT $page
MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid})
WITH x, s.name AS subject, o.name AS object, [(x)-[m:MEM_FROM]->(d:MemSource) |
  [m.seq, m.ordinal, d.kind, d.ref, m.principal, m.text, m.span_start, m.span_end, m.turn]] AS sources
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
NAMESPACES: Final = (
    CYPHER
    + """MATCH (n:MemNamespace) USING INDEX SEEK n:MemNamespace(id) WHERE n.id > '' AND n.born IS NOT NULL
  AND (EXISTS { MATCH (e:MemEntity) WHERE e.ns = n.id AND e.n IS NOT NULL }
    OR EXISTS { MATCH (p:MemOp) WHERE p.ns = n.id AND p.seq IS NOT NULL })
RETURN n.id AS id, n.name AS name"""
)
# Counts of a namespace.
STATS: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns})
RETURN n.seq AS seq,
  COUNT { MATCH (x:MemFact) WHERE x.ns = n.id AND x.seq IS NOT NULL AND x.ordinal IS NOT NULL } AS facts,
  COUNT { MATCH (x:MemPast) WHERE x.ns = n.id AND x.seq IS NOT NULL AND x.ordinal IS NOT NULL } AS past,
  COUNT { MATCH (e:MemEntity) WHERE e.ns = n.id AND e.n IS NOT NULL } AS names,
  COUNT { MATCH (r:MemRelation) WHERE r.ns = n.id AND r.n IS NOT NULL } AS relations,
  COUNT { MATCH (d:MemSource) WHERE d.ns = n.id AND d.ref IS NOT NULL } AS sources,
  COUNT { MATCH (p:MemOp) WHERE p.ns = n.id AND p.seq IS NOT NULL } AS operations,
  COUNT { MATCH (q:MemQuarantine) WHERE q.ns = n.id AND q.seq IS NOT NULL AND q.ordinal IS NOT NULL } AS quarantined,
  COUNT { MATCH (e:MemEntity) WHERE e.ns = n.id AND e.pending IS NOT NULL }
    + COUNT { MATCH (r:MemRelation) WHERE r.ns = n.id AND r.n IS NOT NULL AND r.pending } AS pending"""
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

# -- writing ----------------------------------------------------------------------------------------------------

# Take the namespace's lock before anything is read, then load what a plan needs: the operation if it was delivered
# before; names with their alias classes; relations; the open facts with these triples (three ids of 22 characters in a
# row) or in these slots [subject, relation], under any alias; the facts of the replaced source, each with what else
# supports it; if a relation is new, the declared ones.
LOAD: Final = CYPHER + _in_one(
    """MERGE (n:MemNamespace {id: $ns})
ON CREATE SET n.name = $name, n.born = $born, n.seq = 0, n.epoch = 0, n.last_at = '', n.names = 0, n.relations = 0,
  n.codes = 0, n.relation_vectors = 0
SET n.lock = $op
WITH n OPTIONAL MATCH (p:MemOp {id: $op})
WITH n, p, CASE WHEN p IS NULL THEN $names ELSE [] END AS names,
  CASE WHEN p IS NULL THEN $triples ELSE [] END AS triples, CASE WHEN p IS NULL THEN $slots ELSE [] END AS slots
CALL (names) { UNWIND names AS id MATCH (e:MemEntity {id: id}) RETURN collect(e) AS known }
CALL (n, known) {
  UNWIND known AS e WITH DISTINCT n, e.alias AS alias WHERE alias IS NOT NULL
  MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = n.id AND m.alias = alias
  RETURN collect([m.key, m.id, m.alias]) AS aliases }
CALL () {
  UNWIND $relations AS id MATCH (r:MemRelation {id: id}) RETURN collect([r.key, r.id, r.type, r.label]) AS relations }
CALL (relations) {
  WITH relations WHERE size(relations) < size($relations)
  OPTIONAL MATCH (m:MemMeta {name: 'relations'}) RETURN collect(m.value) AS declared }
CALL (triples, slots, aliases) {
  CALL (triples, slots, aliases) {
    UNWIND triples AS triple MATCH (x:MemFact {triple: triple}) RETURN x
    UNION
    UNWIND slots AS q
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
    WHERE x.sid = q[0] AND x.rid = q[1] AND x.precedence IS NOT NULL RETURN x
    UNION
    WITH triples, aliases WHERE size(aliases) > 0
    UNWIND triples AS triple
    WITH aliases, substring(triple, 0, 22) AS sid, substring(triple, 22, 22) AS rid, substring(triple, 44) AS oid
    UNWIND [sid] + [m IN aliases WHERE any(a IN aliases WHERE a[1] = sid AND a[2] = m[2]) | m[1]] AS s
    UNWIND [oid] + [m IN aliases WHERE any(a IN aliases WHERE a[1] = oid AND a[2] = m[2]) | m[1]] AS o
    WITH DISTINCT s + rid + o AS alike
    MATCH (x:MemFact {triple: alike}) RETURN x
    UNION
    WITH slots, aliases WHERE size(aliases) > 0
    UNWIND slots AS q
    UNWIND [m IN aliases WHERE any(a IN aliases WHERE a[1] = q[0] AND a[2] = m[2]) | m[1]] AS sid
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
    WHERE x.sid = sid AND x.rid = q[1] AND x.precedence IS NOT NULL RETURN x }
  MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid})
  RETURN collect([x.id, s.key, x.rid, o.key, x.kind, x.principal, x.seq, x.recorded_at, x.valid_from]) AS facts }
CALL () {
  MATCH (d:MemSource {id: $replaces}) USING INDEX SEEK d:MemSource(id)
  CALL (d) { MATCH (d)<-[:MEM_FROM]-(x) RETURN DISTINCT x }
  WITH d, x WHERE x:MemFact
  MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid}) MATCH (r:MemRelation {id: x.rid})
  WITH x, s, r, o, [(x)-[m:MEM_FROM]->(e) WHERE e <> d | [e.kind, m.principal, m.seq, m.ordinal]] AS beside
  ORDER BY x.seq, x.ordinal
  RETURN collect([x.id, s.key, r.key, o.key, x.kind, x.principal, x.seq, x.recorded_at, x.valid_from, beside])
    AS replaced }
RETURN coalesce(n.closing, false) AS closing, n.seq AS seq, n.last_at AS last_at, n.names AS name_count,
  n.relations AS relation_count, n.codes AS codes, n.relation_vectors AS relation_vectors,
  p.payload_hash AS payload_hash, p.receipt AS receipt, [e IN known | [e.key, e.id, e.rank, e.name]] AS entities,
  aliases, relations, declared[0] AS declared, facts, replaced"""
)

# Rows travel as lists, in the order of these columns: half the values to pack, and packing is most of a client's work.
NAME_COLUMNS: Final = ("id", "n", "key", "name", "rank", "pending", "code", "coded")
RELATION_COLUMNS: Final = ("id", "n", "key", "label", "type", "pending")
FACT_COLUMNS: Final = (
    *("id", "sid", "rid", "oid", "relation", "seq", "ordinal", "precedence", "kind", "principal", "confidence"),
    *("valid_from", "valid_to", "recorded_at"),
)
CLOSING_COLUMNS: Final = ("closed_at", "closed_seq", "closed_by", "closed_why", "closed_source", "ended")
EVIDENCE_COLUMNS: Final = ("seq", "ordinal", "principal", "text", "span_start", "span_end", "turn")

# Names s and o of a new fact f, whose last two items are the type of its readable relationship and its evidence; then
# the evidence, one relationship for each item [source, ...].
_NEW_FACT: Final = _with(
    """MATCH (s:MemEntity {id: f[1]}) MATCH (o:MemEntity {id: f[3]})
  CREATE (x:<LABEL> {ns: $ns, triple: f[1] + f[2] + f[3], text: s.name + ' ' + f[4] + ' ' + o.name, <FACT>})
  <SHOW>WITH x, f CALL (x, f) {
    UNWIND f[-1] AS e MATCH (d:MemSource {id: e[0]})
    CREATE (x)-[:MEM_FROM {<EVIDENCE>}]->(d) RETURN count(*) AS given }""",
    EVIDENCE=_columns("e", *EVIDENCE_COLUMNS, start=1),
)
_OPENED: Final = _with(
    _NEW_FACT,
    LABEL="MemFact",
    FACT=_columns("f", *FACT_COLUMNS),
    SHOW="CREATE (s)-[:$(f[-2]) {fact: f[0], relation: f[4], since: f[13]}]->(o)\n  ",
)
_PASSED: Final = _with(_NEW_FACT, LABEL="MemPast", FACT=_columns("f", *FACT_COLUMNS, *CLOSING_COLUMNS), SHOW="")
# Apply a plan and store its operation. First the best sources of standing facts (a source that no longer states one
# goes out of its evidence) and new evidence, then what is closed (its readable relationship goes), then what is new: so
# no two open facts ever share a triple. A name's row ends with its words and its vector, a relation's with its vector.
# Counts tell whether every part found what it needed.
APPLY: Final = CYPHER + _in_one(
    _with(
        """MATCH (n:MemNamespace {id: $ns})
SET n += $head
WITH n
CALL () { UNWIND $operations AS e CREATE (x:MemOp) SET x = e }
CALL () {
  UNWIND $names AS e CREATE (x:MemEntity {ns: $ns, <NAME>})
  FOREACH (word IN e[-2] | CREATE (:MemWord {ns: $ns, n: e[1], word: word}))
  WITH x, e WHERE e[-1] IS NOT NULL CALL db.create.setNodeVectorProperty(x, 'embedding', <VECTOR>) }
CALL () { UNWIND $spellings AS e MATCH (x:MemEntity {id: e.id}) SET x.name = e.name, x.rank = e.rank }
CALL () {
  UNWIND $new_relations AS e CREATE (x:MemRelation {ns: $ns, <RELATION>})
  WITH x, e WHERE e[-1] IS NOT NULL CALL db.create.setNodeVectorProperty(x, 'embedding', <VECTOR>) }
CALL () { UNWIND $sources AS e MERGE (d:MemSource {id: e.id}) ON CREATE SET d = e }
CALL () {
  UNWIND $promotes AS e MATCH (x:MemFact {id: e.id})
  SET x.kind = e.kind, x.principal = e.principal,
    x.precedence = x.precedence % 72057594037927936 + e.rank * 72057594037927936
  WITH x, e CALL (x, e) { MATCH (x)-[m:MEM_FROM]->(d) WHERE d.id = e.without DELETE m }
  RETURN count(*) AS promoted }
CALL () {
  UNWIND $evidence AS f MATCH (x:MemFact {id: f[0]}) MATCH (d:MemSource {id: f[1][0]})
  WITH x, d, f[1] AS e CREATE (x)-[:MEM_FROM {<EVIDENCE>}]->(d) RETURN count(*) AS confirmed }
CALL () {
  UNWIND $closes AS e MATCH (x:MemFact {id: e.id})
  REMOVE x:MemFact SET x:MemPast SET x += e.props
  WITH x CALL (x) {
    <VIEW> DELETE v }
  RETURN count(*) AS closed }
CALL () {
  UNWIND $facts AS f <OPENED>
  RETURN count(*) AS opened, coalesce(sum(given), 0) AS supported }
CALL () {
  UNWIND $pasts AS f <PASSED>
  RETURN count(*) AS passed, coalesce(sum(given), 0) AS supported_past }
CALL () { UNWIND $quarantine AS e CREATE (x:MemQuarantine) SET x = e }
CALL () {
  WITH $expire AS expire WHERE expire IS NOT NULL
  MATCH (p:MemOp) USING INDEX SEEK p:MemOp(ns, seq)
  WHERE p.ns = $ns AND p.seq < $head.seq AND p.recorded_at < expire DELETE p }
RETURN promoted + confirmed + closed + opened + supported + passed + supported_past AS done""",
        OPENED=_OPENED,
        PASSED=_PASSED,
        VECTOR=_with(_FLOATS, V="e[-1]"),
        NAME=_columns("e", *NAME_COLUMNS),
        RELATION=_columns("e", *RELATION_COLUMNS),
        EVIDENCE=_columns("e", *EVIDENCE_COLUMNS, start=1),
        VIEW=_VIEW,
    )
)
# Set vectors of waiting names and relations; names: {id, i, embedding or null, code}. Each name gets the next number of
# the search codes, so that other clients find it as new.
FILL: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op
WITH n, n.codes AS before
CALL (n, before) {
  UNWIND $names AS e MATCH (x:MemEntity {id: e.id}) WHERE x.pending IS NOT NULL
  REMOVE x.pending
  WITH x, e, before WHERE e.embedding IS NOT NULL
  SET x.code = e.code, x.coded = before + e.i
  WITH x, e CALL db.create.setNodeVectorProperty(x, 'embedding', <VECTOR>) }
CALL (n) {
  UNWIND $relations AS e MATCH (x:MemRelation {id: e.id}) WHERE x.pending
  REMOVE x.pending
  WITH x, e WHERE e.embedding IS NOT NULL
  CALL db.create.setNodeVectorProperty(x, 'embedding', <VECTOR>) }
SET n.codes = before + size($names), n.relation_vectors = n.relation_vectors + size($relations)"""
).replace("<VECTOR>", _with(_FLOATS, V="e.embedding"))
# Put names into one alias class.
SET_ALIAS: Final = CYPHER + "UNWIND $names AS id MATCH (e:MemEntity {id: id}) SET e.alias = $alias"
# Numbers of names, and how many there are of each alias class.
CLASS_NUMBERS: Final = (
    CYPHER
    + """UNWIND $names AS id MATCH (e:MemEntity {id: id})
CALL (e) {
  RETURN e AS m
  UNION
  MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = e.ns AND m.alias = e.alias RETURN m }
RETURN DISTINCT m.id AS id, m.n AS number"""
)
# A record of the database.
RECORD: Final = CYPHER + "MATCH (m:MemMeta {name: $name}) RETURN m.value AS value"
# Set a record if it is still what the caller saw.
PUT_RECORD: Final = (
    CYPHER
    + """MERGE (m:MemMeta {name: $name}) SET m.lock = $op
WITH m, m.value AS old
SET m.value = CASE WHEN coalesce(old = $expected, old IS NULL AND $expected IS NULL) THEN $value ELSE old END
RETURN m.value AS value"""
)

# -- moving -----------------------------------------------------------------------------------------------------

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
  [m.seq, m.ordinal, d.kind, d.ref, m.principal, m.text, m.span_start, m.span_end, m.turn]] AS sources
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
DUMP_HEAD: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) RETURN n.seq AS seq, n.last_at AS last_at"
# Which of these facts and operations are there, and which of these triples stand.
KNOWN: Final = (
    CYPHER
    + """CALL () {
  UNWIND $ids AS id
  CALL (id) { MATCH (x:MemFact {id: id}) RETURN x UNION ALL MATCH (x:MemPast {id: id}) RETURN x }
  RETURN collect(id) AS ids }
CALL () { UNWIND $triples AS triple MATCH (x:MemFact {triple: triple}) RETURN collect(triple) AS triples }
CALL () { UNWIND $operations AS id MATCH (p:MemOp {id: id}) RETURN collect(id) AS operations }
RETURN ids, triples, operations"""
)

# -- the readable view ------------------------------------------------------------------------------------------

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

# -- forgetting -------------------------------------------------------------------------------------------------

# Either kind of fact by id.
_EITHER: Final = """
CALL (id) { MATCH (x:MemFact {id: id}) RETURN x UNION ALL MATCH (x:MemPast {id: id}) RETURN x }"""
# Take the lock and let every client reload its search codes.
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
# Ids of the facts with one of these subjects (of one relation, or with null of any) or one of these objects.
DOOMED_NAMES: Final = (
    CYPHER
    + "CALL () {"
    + "\n  UNION".join(
        """
  UNWIND ${many} AS id
  MATCH (x:{label}) USING INDEX SEEK x:{label}({column}, rid, precedence)
  WHERE x.{column} = id AND x.rid IS NOT NULL AND x.precedence IS NOT NULL AND ($rid IS NULL OR x.rid = $rid)
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
WITH x, m LIMIT $page
DELETE m
WITH x, count(*) AS taken
MATCH (x)-[m:MEM_FROM]->(d) WHERE NOT d.id IN $sources
RETURN x.id AS id, taken, collect([d.kind, m.principal, m.seq, m.ordinal]) AS evidence"""
)
# A fact's best source is another one now.
DEMOTE: Final = (
    CYPHER
    + """UNWIND $facts AS f WITH f, f.id AS id"""
    + _EITHER
    + """
SET x.kind = f.kind, x.principal = f.principal,
  x.precedence = x.precedence % 72057594037927936 + f.rank * 72057594037927936"""
)
# Operations whose receipts may name one of these facts: that stated, confirmed or closed it, or filled its slot
# (under any alias of its subject).
TOUCHED: Final = (
    CYPHER
    + """UNWIND $ids AS id"""
    + _EITHER
    + """
WITH collect(x) AS doomed
CALL (doomed) {
  UNWIND doomed AS x UNWIND [x.seq, x.closed_seq] AS seq RETURN seq
  UNION
  UNWIND doomed AS x MATCH (x)-[m:MEM_FROM]->(:MemSource) RETURN m.seq AS seq
  UNION
  UNWIND doomed AS x WITH DISTINCT x.sid AS sid, x.rid AS rid
  CALL (sid) {
    RETURN sid AS same
    UNION
    MATCH (e:MemEntity {id: sid})
    MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = e.ns AND m.alias = e.alias
    RETURN m.id AS same }
  MATCH (c:MemFact) USING INDEX SEEK c:MemFact(sid, rid, precedence)
  WHERE c.sid = same AND c.rid = rid AND c.precedence IS NOT NULL RETURN c.seq AS seq
  UNION
  UNWIND doomed AS x WITH DISTINCT x.sid AS sid, x.rid AS rid
  CALL (sid) {
    RETURN sid AS same
    UNION
    MATCH (e:MemEntity {id: sid})
    MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = e.ns AND m.alias = e.alias
    RETURN m.id AS same }
  MATCH (c:MemPast) USING INDEX SEEK c:MemPast(sid, rid, precedence)
  WHERE c.sid = same AND c.rid = rid AND c.precedence IS NOT NULL RETURN c.seq AS seq }
MATCH (p:MemOp) USING INDEX SEEK p:MemOp(ns, seq) WHERE p.ns = $ns AND p.seq = seq
RETURN p.id AS id, p.op_id AS op_id, p.receipt AS receipt"""
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
  UNWIND doomed AS x MATCH (x)-[m:MEM_FROM]->(d:MemSource) WHERE m.text IS NOT NULL
  WITH d, collect(DISTINCT m.text) AS texts
  MATCH (d)<-[m:MEM_FROM]-() WHERE m.text IN texts
  SET m.text = null, m.span_start = null, m.span_end = null }
CALL (doomed) {
  UNWIND doomed AS x MATCH (y:MemPast) USING INDEX SEEK y:MemPast(closed_by) WHERE y.closed_by = x.id
  SET y.closed_by = null }
CALL (doomed) {
  UNWIND doomed AS x OPTIONAL MATCH (x)-[:MEM_FROM]->(d:MemSource)
  RETURN collect(DISTINCT x.sid) + collect(DISTINCT x.oid) AS names, collect(DISTINCT x.rid) AS relations,
    collect(DISTINCT d.id) + collect(DISTINCT x.closed_source) AS sources }
CALL (doomed) {
  UNWIND doomed AS x CALL (x) {
    """
    + _VIEW
    + """ DELETE v } }
CALL (doomed) { UNWIND doomed AS x DETACH DELETE x }
RETURN names, relations, sources"""
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
# Delete the names of which no alias is used by any fact, with their words.
DELETE_NAMES: Final = (
    CYPHER
    + """UNWIND $names AS id MATCH (e:MemEntity {id: id})
CALL (e) {
  RETURN e AS m
  UNION
  MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = e.ns AND m.alias = e.alias RETURN m }
WITH e, m, """
    + _UNUSED
    + """ AS unused
WITH e, collect(m) AS members, collect(unused) AS unused WHERE all(free IN unused WHERE free)
UNWIND members AS m WITH DISTINCT m
CALL (m) {
  MATCH (w:MemWord) USING INDEX SEEK w:MemWord(ns, n) WHERE w.ns = m.ns AND w.n = m.n DELETE w }
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
DELETE d RETURN count(*) AS gone"""
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
    "words": _purge("MemWord", ("n",)),
    "names": _purge("MemEntity", ("n",)),
    "relations": _purge("MemRelation", ("n",)),
    "sources": _purge("MemSource", ("ref",)),
    "operations": _purge("MemOp", ("seq",)),
    "quarantined": _purge("MemQuarantine", ("seq", "ordinal")),
}
# Delete an emptied namespace.
DELETE_NAMESPACE: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) DELETE n"

# -- schema -----------------------------------------------------------------------------------------------------

# Versions of the server; without the prefix, which an older one would not understand.
COMPONENTS: Final = "CALL dbms.components() YIELD name, versions RETURN name, versions"
# Wait until new indexes are filled.
AWAIT_INDEXES: Final = CYPHER + "CALL db.awaitIndexes(60)"
# Our indexes and their states; one that somebody else gave our name is on another label.
INDEXES: Final = """SHOW INDEXES YIELD name, state, labelsOrTypes
WHERE name STARTS WITH 'mem_' AND all(label IN labelsOrTypes WHERE label STARTS WITH 'Mem') RETURN name, state"""
# The number of the schema; never lowered.
SET_SCHEMA: Final = (
    CYPHER
    + """MERGE (m:MemMeta {name: 'schema'})
SET m.lock = true WITH m SET m.value = CASE WHEN toInteger(m.value) > $number THEN m.value ELSE toString($number) END"""
)

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.cypher")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: statements to run one a transaction, each safe to run again."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """The schema's steps in order, from ``graph_schema/``: in the wheel beside the package, in a checkout above it.

    Raises:
        StoreCorrupt: The folder is missing or its numbers have a gap: the installation is damaged.
    """
    source = folder or schema_folder()
    found = []
    for entry in source.iterdir():
        name = _FILE.fullmatch(entry.name)
        if name is not None:
            text = re.sub(r"//[^\n]*", "", entry.read_text(encoding="utf-8"))
            statements = tuple(part.strip() for part in text.split(";") if part.strip())
            found.append(Migration(int(name.group(1)), name.group(2), statements))
    found.sort(key=lambda migration: migration.number)
    if not found or [step.number for step in found] != list(range(1, len(found) + 1)):
        raise StoreCorrupt("the graph schema's files are missing or incomplete; install langchain-memllm again")
    return tuple(found)


def schema_version() -> int:
    """Number of the newest schema this package knows."""
    return migrations()[-1].number


def index_names(steps: tuple[Migration, ...] | None = None) -> tuple[str, ...]:
    """Names of the indexes and constraints that the schema, or some of its steps, makes."""
    steps = migrations() if steps is None else steps
    found = (re.search(r"(?:CONSTRAINT|INDEX) (mem_\w+)", text) for step in steps for text in step.statements)
    return tuple(match.group(1) for match in found if match is not None)


def schema_folder(package: Traversable | None = None) -> Traversable:
    """Where the schema's files are: beside the modules of the package (a wheel), or above them (a checkout).

    Raises:
        StoreCorrupt: In neither place.
    """
    package = package or resources.files("langchain_memllm")
    for folder in (package.joinpath("graph_schema"), Path(str(package)).parent / "graph_schema"):
        if folder.is_dir():
            return folder
    raise StoreCorrupt("the graph schema's files are missing; install langchain-memllm again")
