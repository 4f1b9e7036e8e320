// What changed today
// Since midnight UTC. Write a user between the quotes; empty: whoever's memory was written last.
WITH '' AS user, toString(date()) AS today
MATCH (n:MemNamespace) WHERE user = '' OR n.name CONTAINS '"' + user + '"'
WITH n, today ORDER BY n.last_at DESC LIMIT 1
CALL (n, today) {
  MATCH (x:MemFact) WHERE x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0 AND x.recorded_at >= today
  RETURN x, x.recorded_at AS at, 'stored' AS what
  UNION ALL
  MATCH (x:MemPast) WHERE x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0 AND x.recorded_at >= today
  RETURN x, x.recorded_at AS at, 'stored' AS what
  UNION ALL
  MATCH (x:MemPast) WHERE x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0 AND x.closed_at >= today
  RETURN x, x.closed_at AS at, x.closed_why AS what
}
RETURN at, what, x.text AS fact, x.kind AS source, x.principal AS who
ORDER BY at DESC, x.seq DESC, x.ordinal DESC LIMIT 100
