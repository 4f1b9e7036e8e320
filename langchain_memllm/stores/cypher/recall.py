"""Statements of recall: the words of evidence, the names asked for, candidates; and words for old evidence."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import _EITHER, _FACT, _MEMBERS, CYPHER, _in_one, _with

# The state of a namespace, the words of the evidence of its open facts after operation $after, and names by id. At
# most about $page pieces, but whole operations; ``upto`` is the last one that is among them. The server shows what a
# transaction wrote a moment before its indexes know of it, so the last operation may be incomplete, those before it
# never: evidence of $after comes again if there are not $known pieces of it. All that is asked of an index is asked
# after the number of the last operation was read.
RECALL_INDEX: Final = CYPHER + _in_one(
    """MATCH (n:MemNamespace {id: $ns})
WITH n.id AS ns, n.born AS born, n.epoch AS epoch, n.seq AS seq, n.relation_vectors AS relations_to
CALL (ns, seq) {
  MATCH ()-[m:MEM_FROM]->() USING INDEX SEEK m:MEM_FROM(ns, seq) WHERE m.ns = ns AND m.seq > $after AND m.seq <= seq
  WITH m.seq AS place ORDER BY place LIMIT $page
  RETURN count(*) AS found, max(place) AS last }
CALL (ns) {
  MATCH (x)-[m:MEM_FROM]->() USING INDEX SEEK m:MEM_FROM(ns, seq) WHERE m.ns = ns AND m.seq = $after AND x:MemFact
  RETURN count(m) AS again }
WITH *, CASE WHEN found < $page THEN seq ELSE last END AS upto,
  CASE WHEN again = $known THEN $after + 1 ELSE $after END AS first
CALL (ns, first, upto) {
  MATCH (x)-[m:MEM_FROM]->(d) USING INDEX SEEK m:MEM_FROM(ns, seq)
  WHERE m.ns = ns AND m.seq >= first AND m.seq <= upto AND x:MemFact
  WITH x, m, d ORDER BY m.seq, m.ordinal
  RETURN collect([m.seq, m.ordinal, x.id, m.words, m.said, d.kind]) AS evidence }
WITH *, {names: $names} AS q"""
    + _MEMBERS
    + """
RETURN born, epoch, seq, relations_to, upto, evidence,
  [e IN exact | [e.key, e.name]] AS exact, [e IN others | [e.n, e.key, e.name]] AS others"""
)
# Open facts by id with the ids of their ends in the place of their spellings; their relations; and their ends, with the
# cosine of each with $vector (text, or null). The server sums in double precision.
CANDIDATES: Final = CYPHER + _in_one(
    _with(
        """WITH [t IN split($vector, ' ') | toFloat(t)] AS b
CALL () {
  UNWIND $ids AS id MATCH (x:MemFact {id: id}) USING INDEX SEEK x:MemFact(id) WHERE x.ns = $ns
  RETURN collect(x) AS found }
CALL (found) {
  UNWIND found AS x UNWIND [x.sid, x.oid] AS id WITH DISTINCT id
  MATCH (e:MemEntity {id: id}) RETURN collect(e) AS names }
CALL (found) {
  UNWIND found AS x WITH DISTINCT x.rid AS id
  MATCH (r:MemRelation {id: id}) RETURN collect([r.id, r.key]) AS relations }
CALL (names, b) {
  UNWIND names AS e WITH e, e.embedding AS a, b
  RETURN collect([e.id, e.key, e.name, CASE WHEN size(a) = size(b)
    THEN reduce(dot = 0.0, i IN range(0, size(a) - 1) | dot + a[i] * b[i]) ELSE 0.0 END]) AS ends }
RETURN [x IN found | [x.rid, <FACT>]] AS facts, ends, relations""",
        FACT=_FACT.replace("subject", "x.sid").replace("object", "x.oid"),
    )
)

# Which of these facts are closed. One that was written a moment ago may be in no index yet: it is not among them.
CLOSED_OF: Final = CYPHER + _in_one(
    """UNWIND $ids AS id MATCH (x:MemPast {id: id}) USING INDEX SEEK x:MemPast(id) WHERE x.ns = $ns
RETURN x.id AS id"""
)

# -- words made anew ---------------------------------------------------------------------------------------------------

_WORDED: Final = """
WITH n CALL (n) {
  MATCH (x:MemFact) USING INDEX SEEK x:MemFact(ns, seq, ordinal)
  WHERE x.ns = n.id AND x.seq >= $seq AND x.ordinal IS NOT NULL <AFTER>
  UNION ALL
  MATCH (x:MemPast) USING INDEX SEEK x:MemPast(ns, seq, ordinal)
  WHERE x.ns = n.id AND x.seq >= $seq AND x.ordinal IS NOT NULL <AFTER> }
WITH x ORDER BY x.seq, x.ordinal, x.id LIMIT $page
OPTIONAL MATCH (s:MemEntity {id: x.sid}) OPTIONAL MATCH (o:MemEntity {id: x.oid})
OPTIONAL MATCH (r:MemRelation {id: x.rid})
RETURN x.seq AS seq, x.ordinal AS ordinal, x.id AS id, [s.key, r.key, o.key] AS told,
  [(x)-[m:MEM_FROM]->() | [elementId(m), m.text, m.words, m.said]] AS evidence ORDER BY seq, ordinal, id""".replace(
    "<AFTER>",
    """AND (x.seq > $seq OR x.ordinal > $ordinal OR x.ordinal = $ordinal AND x.id > $id)
  RETURN x ORDER BY x.ns, x.seq, x.ordinal, x.id LIMIT $page""",
)
# One page of facts after ($seq, $ordinal, $id): what the words of their evidence are made from, and are.
WORDED: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns})" + _WORDED
# The same under the namespace's lock.
WORDLESS: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op" + _WORDED
# The words of the evidence of these facts, by the id that the server has for each piece.
SET_WORDS: Final = (
    CYPHER
    + """UNWIND $ids AS id"""
    + _EITHER
    + """
MATCH (x)-[m:MEM_FROM]->() WITH m, $words[elementId(m)] AS words WHERE words IS NOT NULL
SET m.ns = $ns, m.words = words[0], m.said = words[1]"""
)
# One page of turns after a place: what they are found by, and what that is made from.
TURN_WORDS: Final = (
    CYPHER
    + """MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, place) WHERE x.ns = $ns AND x.place > $after
WITH x ORDER BY x.ns, x.place LIMIT $page
RETURN x.id AS id, x.place AS place, x.text AS text, x.scope AS scope,
  [x.scoped, x.tenant, x.words] AS held, x.code AS code"""
)
# Turns are found by something else.
SET_TURN_WORDS: Final = (
    CYPHER
    + """UNWIND $turns AS t MATCH (x:MemTurn {id: t.id})
SET x.scoped = t.scoped, x.tenant = t.tenant, x.words = t.words, x.code = t.code"""
)
# Clients read again what they hold.
NEW_EPOCH: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) SET n.epoch = n.epoch + 1 RETURN n.epoch AS epoch"
