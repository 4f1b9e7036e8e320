// Facts of a name
// Write a user and a name between the quotes; empty: the memory written last, the subject stated last.
WITH '' AS user, '' AS name
MATCH (n:MemNamespace) WHERE user = '' OR n.name CONTAINS '"' + user + '"'
WITH n, name ORDER BY n.last_at DESC LIMIT 1
CALL (n, name) {
  MATCH (e:MemEntity) WHERE name <> '' AND e.ns = n.id AND e.n > 0 AND toLower(e.name) = toLower(name) RETURN e
  UNION
  MATCH (x:MemFact) WHERE name = '' AND x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0
  WITH x ORDER BY x.seq DESC, x.ordinal DESC LIMIT 1
  MATCH (e:MemEntity {id: x.sid}) RETURN e
}
MATCH p = (e)--(:MemEntity)
RETURN p LIMIT 100
