// Who has a memory here
MATCH (n:MemNamespace)
RETURN n.name AS whose, n.seq AS operations, n.last_at AS written,
  COUNT { MATCH (x:MemFact) WHERE x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0 } AS facts
ORDER BY written DESC LIMIT 100
