// One user's memory
// Write a user between the quotes; empty: whoever's memory was written last.
WITH '' AS user
MATCH (n:MemNamespace) WHERE user = '' OR n.name CONTAINS '"' + user + '"'
WITH n ORDER BY n.last_at DESC LIMIT 1
MATCH (x:MemFact) WHERE x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0
WITH x ORDER BY x.seq DESC, x.ordinal DESC LIMIT 100
MATCH (s:MemEntity {id: x.sid}) MATCH (o:MemEntity {id: x.oid})
MATCH p = (s)-[{fact: x.id}]->(o)
RETURN p
