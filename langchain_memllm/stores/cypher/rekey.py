"""Statements of a migration: names whose keys meet become one, relations that are aliases become what they are."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import _CLASS, _VIEW, CYPHER

# Names and relations one page after number $after. was: the id before, while facts may still have it.
REKEY_NAMES: Final = (
    CYPHER
    + """MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, n) WHERE e.ns = $ns AND e.n > $after
RETURN e.n AS n, e.id AS id, e.key AS key, e.was AS was ORDER BY n LIMIT $page"""
)
REKEY_RELATIONS: Final = (
    CYPHER
    + """MATCH (r:MemRelation) USING INDEX SEEK r:MemRelation(ns, n) WHERE r.ns = $ns AND r.n > $after
RETURN r.n AS n, r.id AS id, r.key AS key, r.label AS label, r.was AS was ORDER BY n LIMIT $page"""
)
# Loose keys of names that stay.
SET_LOOSE: Final = CYPHER + "UNWIND $names AS e MATCH (x:MemEntity {id: e.id}) SET x.loose = e.loose"
# Take a namespace's lock, and let every client load what it holds anew.
TOUCH: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) SET n.lock = $op, n.epoch = n.epoch + 1 RETURN n.seq AS seq"
# Names with these ids and what they are spelled.
SPELLED: Final = (
    CYPHER
    + """UNWIND $ids AS id MATCH (e:MemEntity {id: id})
RETURN e.id AS id, e.n AS n, e.name AS name, e.rank AS rank ORDER BY n"""
)
# A name gets another key in its place.
RENAME: Final = (
    CYPHER
    + """MATCH (e:MemEntity {id: $old}) SET e.id = $new, e.key = $key, e.was = $old
RETURN e.id AS id"""
)
SPELL: Final = CYPHER + "MATCH (e:MemEntity {id: $id}) SET e.name = $name, e.rank = $rank, e.loose = $loose"
# The alias classes of some names become one.
JOIN_CLASSES: Final = (
    CYPHER
    + """UNWIND $ids AS id MATCH (e:MemEntity {id: id}) WITH e WHERE e.alias IS NOT NULL"""
    + _CLASS
    + """WITH collect(DISTINCT m) AS members WHERE size(members) > 0
CALL () { UNWIND $ids AS id MATCH (e:MemEntity {id: id}) RETURN collect(e) AS given }
WITH members, given, reduce(least = members[0].n, e IN members + given |
  CASE WHEN e.n < least THEN e.n ELSE least END) AS root
UNWIND members + given AS m SET m.alias = root"""
)
# Facts with a subject, object or relation, one page.
FACTS_OF_NAME: Final = (
    CYPHER
    + "CALL () {"
    + "\n  UNION".join(
        """
  MATCH (x:{label}) USING INDEX SEEK x:{label}({column}, rid, precedence)
  WHERE x.{column} = $old AND x.rid IS NOT NULL AND x.precedence IS NOT NULL RETURN x LIMIT $page""".replace(
            "{label}", label
        ).replace("{column}", column)
        for label in ("MemFact", "MemPast")
        for column in ("sid", "oid")
    )
    + """ }
WITH DISTINCT x LIMIT $page
RETURN x.id AS id, x.sid AS sid, x.rid AS rid, x.oid AS oid, x.seq AS seq, x.ordinal AS ordinal, x:MemFact AS open"""
)
FACTS_OF_RELATION: Final = (
    CYPHER
    + """CALL () {
  MATCH (x:MemFact) USING INDEX SEEK x:MemFact(rid) WHERE x.rid = $old RETURN x LIMIT $page
  UNION
  MATCH (x:MemPast) USING INDEX SEEK x:MemPast(rid) WHERE x.rid = $old RETURN x LIMIT $page }
WITH x LIMIT $page
RETURN x.id AS id, x.sid AS sid, x.rid AS rid, x.oid AS oid, x.seq AS seq, x.ordinal AS ordinal, x:MemFact AS open"""
)
# Open facts that stand as one of these triples.
STANDING: Final = (
    CYPHER
    + """UNWIND $triples AS triple MATCH (x:MemFact {triple: triple})
RETURN x.id AS id, triple, x.seq AS seq, x.ordinal AS ordinal"""
)
# Open facts give way to the one ``by`` of the same triple, which gets their evidence too.
GIVE_WAY: Final = (
    CYPHER
    + """UNWIND $facts AS f MATCH (x:MemFact {id: f.id})
CALL (x) {
  """
    + _VIEW
    + """ DELETE v }
REMOVE x:MemFact
SET x:MemPast, x.closed_at = $now, x.closed_seq = $seq, x.closed_by = f.by, x.closed_why = 'replaced'
WITH x, f MATCH (b:MemFact {id: f.by})
CALL (x, b) {
  MATCH (x)-[m:MEM_FROM]->(d)
  MERGE (b)-[c:MEM_FROM {seq: m.seq, ordinal: m.ordinal}]->(d) SET c = properties(m) }
RETURN count(*) AS closed"""
)
# What supports these facts.
SUPPORT: Final = (
    CYPHER
    + """UNWIND $ids AS id MATCH (x:MemFact {id: id})-[m:MEM_FROM]->(d)
RETURN id, collect([d.kind, m.principal, m.seq, m.ordinal, m.said_at]) AS evidence"""
)
# Facts get other ends or another relation; an open one is shown between its new ends.
MOVE_FACTS: Final = (
    CYPHER
    + """UNWIND $facts AS f WITH f, f.id AS id
CALL (id) { MATCH (x:MemFact {id: id}) RETURN x UNION ALL MATCH (x:MemPast {id: id}) RETURN x }
MATCH (s:MemEntity {id: f.sid}) MATCH (o:MemEntity {id: f.oid}) MATCH (r:MemRelation {id: f.rid})
CALL (f, x) {
  UNWIND f.shown AS ends
  MATCH (a:MemEntity {id: ends[0]}) USING INDEX SEEK a:MemEntity(id)
  MATCH (b:MemEntity {id: ends[1]}) USING INDEX SEEK b:MemEntity(id)
  MATCH (a)-[v {fact: x.id}]->(b) DELETE v }
SET x.sid = f.sid, x.rid = f.rid, x.oid = f.oid, x.triple = f.sid + f.rid + f.oid, x.relation = r.label,
  x.text = s.name + ' ' + r.label + ' ' + o.name
FOREACH (_ IN CASE WHEN x:MemFact THEN [1] ELSE [] END |
  CREATE (s)-[:$(r.type) {fact: x.id, relation: x.relation, since: x.recorded_at}]->(o))
RETURN count(*) AS moved"""
)
# A name whose facts are another's goes; one that got another key is done.
DROP_NAME: Final = CYPHER + "MATCH (e:MemEntity {id: $old}) DETACH DELETE e"
NAME_DONE: Final = (
    CYPHER
    + """MATCH (e:MemEntity {id: $new}) REMOVE e.was
WITH e"""
    + _CLASS
    + """WITH e, count(m) AS members WHERE members = 1 REMOVE e.alias"""
)
# The same for relations.
RELABEL: Final = (
    CYPHER
    + """MATCH (r:MemRelation {id: $old})
SET r.id = $new, r.key = $key, r.label = $label, r.type = $type, r.was = $old, r.pending = true
REMOVE r.embedding"""
)
DROP_RELATION: Final = CYPHER + "MATCH (r:MemRelation {id: $old}) DELETE r"
RELATION_DONE: Final = CYPHER + "MATCH (r:MemRelation {id: $new}) REMOVE r.was"
RELATION_THERE: Final = CYPHER + "MATCH (r:MemRelation {id: $id}) RETURN r.id AS id"
# The key of an object of a relation, if it has any.
AN_OBJECT: Final = (
    CYPHER
    + """CALL () {
  MATCH (x:MemFact) USING INDEX SEEK x:MemFact(rid) WHERE x.rid = $rid RETURN x LIMIT 1
  UNION
  MATCH (x:MemPast) USING INDEX SEEK x:MemPast(rid) WHERE x.rid = $rid RETURN x LIMIT 1 }
WITH x LIMIT 1 MATCH (o:MemEntity {id: x.oid}) RETURN o.key AS key"""
)
# -- reading by other spellings ---------------------------------------------------------------------------------------
# Names with a loose key, or for which it is the key, as they are spelled.
SPELLINGS: Final = (
    CYPHER
    + """CALL () {
  MATCH (e:MemEntity {id: $id}) USING INDEX SEEK e:MemEntity(id) RETURN e
  UNION
  MATCH (e:MemEntity) USING INDEX SEEK e:MemEntity(ns, loose) WHERE e.ns = $ns AND e.loose = $loose RETURN e }
RETURN e.name AS name ORDER BY e.n"""
)
