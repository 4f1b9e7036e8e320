// History of a slot
// Write a user, a name and a relation between the quotes; empty: the slot that was corrected last.
WITH '' AS user, '' AS name, '' AS relation
MATCH (n:MemNamespace) WHERE user = '' OR n.name CONTAINS '"' + user + '"'
WITH n, name, relation ORDER BY n.last_at DESC LIMIT 1
CALL (n, name, relation) {
  MATCH (s:MemEntity) WHERE name <> '' AND s.ns = n.id AND s.n > 0 AND toLower(s.name) = toLower(name)
  MATCH (r:MemRelation) WHERE r.ns = n.id AND r.n > 0 AND r.label = relation
  RETURN s.id AS sid, r.id AS rid
  UNION
  MATCH (x:MemPast) WHERE name = '' AND x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0
  RETURN x.sid AS sid, x.rid AS rid ORDER BY x.closed_at DESC LIMIT 1
}
CALL (sid, rid) {
  MATCH (x:MemFact) WHERE x.sid = sid AND x.rid = rid AND x.precedence IS NOT NULL RETURN x
  UNION
  MATCH (x:MemPast) WHERE x.sid = sid AND x.rid = rid AND x.precedence IS NOT NULL RETURN x
}
RETURN x.text AS fact, x.recorded_at AS recorded, x.kind AS source, x.principal AS who,
  x.closed_at AS closed, x.closed_why AS why
ORDER BY x.seq, x.ordinal LIMIT 100
