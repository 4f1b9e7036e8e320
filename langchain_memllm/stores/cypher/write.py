"""Statements that write: load and apply of one operation, vectors, aliases, records."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import _CLASS, _FLOATS, _VIEW, CYPHER, _columns, _in_one, _with
from langchain_memllm.stores.cypher.use import _USE

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
    CALL (q) {
      MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
      WHERE x.sid = q[0] AND x.rid = q[1] AND x.precedence IS NOT NULL
      RETURN x ORDER BY x.sid DESC, x.rid DESC, x.precedence DESC LIMIT $most }
    RETURN x
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
    CALL (q, sid) {
      MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
      WHERE x.sid = sid AND x.rid = q[1] AND x.precedence IS NOT NULL
      RETURN x ORDER BY x.sid DESC, x.rid DESC, x.precedence DESC LIMIT $most }
    RETURN x }
  MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid})
  RETURN collect([x.id, s.key, x.rid, o.key, x.kind, x.principal, x.seq, x.recorded_at, x.valid_from, x.valid_to,
    x.said_at]) AS facts }
CALL () {
  MATCH (d:MemSource {id: $replaces}) USING INDEX SEEK d:MemSource(id)
  CALL (d) {
    MATCH (d)<-[m:MEM_FROM]-(x) WHERE m.principal = $principal OR m.principal IS NULL AND $principal IS NULL
    RETURN DISTINCT x }
  WITH d, x WHERE x:MemFact
  MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid}) MATCH (r:MemRelation {id: x.rid})
  WITH x, s, r, o, [(x)-[m:MEM_FROM]->(e)
    WHERE e <> d OR NOT coalesce(m.principal = $principal, m.principal IS NULL AND $principal IS NULL) |
    [e.kind, m.principal, m.seq, m.ordinal, m.said_at]]
    AS beside
  ORDER BY x.seq, x.ordinal
  RETURN collect([x.id, s.key, r.key, o.key, x.kind, x.principal, x.seq, x.recorded_at, x.valid_from, x.valid_to,
    x.said_at, beside]) AS replaced }
RETURN coalesce(n.closing, false) AS closing, n.seq AS seq, n.last_at AS last_at,
  coalesce(n.restarts, '[]') AS restarts, n.names AS name_count,
  <USE>,
  n.relations AS relation_count, n.codes AS codes, n.relation_vectors AS relation_vectors,
  p.payload_hash AS payload_hash, p.receipt AS receipt, [e IN known | [e.key, e.id, e.rank, e.name]] AS entities,
  aliases, relations, declared[0] AS declared, facts, replaced""".replace("<USE>", _USE)
)

# Rows travel as lists, in the order of these columns: half the values to pack, and packing is most of a client's work.
NAME_COLUMNS: Final = ("id", "n", "key", "loose", "name", "rank", "pending", "code", "coded")
RELATION_COLUMNS: Final = ("id", "n", "key", "label", "type", "pending")
FACT_COLUMNS: Final = (
    *("id", "sid", "rid", "oid", "relation", "seq", "ordinal", "precedence", "kind", "principal", "confidence"),
    *("valid_from", "valid_to", "recorded_at", "said_at"),
)
CLOSING_COLUMNS: Final = ("closed_at", "closed_seq", "closed_by", "closed_why", "closed_source", "ended")
EVIDENCE_COLUMNS: Final = (
    *("seq", "ordinal", "principal", "text", "span_start", "span_end", "turn", "said_at", "size", "words", "said"),
)

# Names s and o of a new fact f, whose last two items are the type of its readable relationship and its evidence; then
# the evidence, one relationship for each item [source, ...].
_NEW_FACT: Final = _with(
    """MATCH (s:MemEntity {id: f[1]}) MATCH (o:MemEntity {id: f[3]})
  CREATE (x:<LABEL> {ns: $ns, triple: f[1] + f[2] + f[3], text: s.name + ' ' + f[4] + ' ' + o.name, <FACT>})
  <SHOW>WITH x, f CALL (x, f) {
    UNWIND f[-1] AS e MATCH (d:MemSource {id: e[0]})
    CREATE (x)-[:MEM_FROM {ns: $ns, <EVIDENCE>}]->(d) RETURN count(*) AS given }""",
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
# no two open facts ever share a triple. The row of a name or relation ends with its vector.
# Counts tell whether every part found what it needed.
APPLY: Final = CYPHER + _in_one(
    _with(
        """MATCH (n:MemNamespace {id: $ns})
SET n += $head
WITH n
CALL () { UNWIND $operations AS e CREATE (x:MemOp) SET x = e }
CALL () {
  UNWIND $names AS e CREATE (x:MemEntity {ns: $ns, <NAME>})
  WITH x, e WHERE e[-1] IS NOT NULL CALL db.create.setNodeVectorProperty(x, 'embedding', <VECTOR>) }
CALL () { UNWIND $spellings AS e MATCH (x:MemEntity {id: e.id}) SET x.name = e.name, x.rank = e.rank }
CALL () {
  UNWIND $new_relations AS e CREATE (x:MemRelation {ns: $ns, <RELATION>})
  WITH x, e WHERE e[-1] IS NOT NULL CALL db.create.setNodeVectorProperty(x, 'embedding', <VECTOR>) }
CALL () {
  UNWIND $sources AS e MERGE (d:MemSource {id: e.id}) ON CREATE SET d = e
  WITH d CALL (d) {
    MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(source) WHERE x.source = d.id MERGE (d)-[:MEM_SAID_IN]->(x) } }
CALL () {
  UNWIND $promotes AS e MATCH (x:MemFact {id: e.id})
  SET x.kind = e.kind, x.principal = e.principal, x.said_at = e.said_at,
    x.precedence = x.precedence % 72057594037927936 + e.rank * 72057594037927936
  WITH x, e CALL (x, e) {
    MATCH (x)-[m:MEM_FROM]->(d) WHERE d.id = e.without
      AND coalesce(m.principal = e.of, m.principal IS NULL AND e.of IS NULL) DELETE m }
  RETURN count(*) AS promoted }
CALL () {
  UNWIND $evidence AS f MATCH (x:MemFact {id: f[0]}) MATCH (d:MemSource {id: f[1][0]})
  WITH x, d, f[1] AS e CREATE (x)-[:MEM_FROM {ns: $ns, <EVIDENCE>}]->(d) RETURN count(*) AS confirmed }
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
    + """UNWIND $names AS id MATCH (e:MemEntity {id: id})"""
    + _CLASS
    + """RETURN DISTINCT m.id AS id, m.n AS number"""
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
