// Where a fact came from
// Write a user and a part of the fact between the quotes; empty: the memory written last, the facts stated last.
// The sentence is on the line between fact and source.
WITH '' AS user, '' AS part
MATCH (n:MemNamespace) WHERE user = '' OR n.name CONTAINS '"' + user + '"'
WITH n, part ORDER BY n.last_at DESC LIMIT 1
MATCH (x:MemFact) WHERE x.ns = n.id AND x.seq > 0 AND x.ordinal >= 0 AND toLower(x.text) CONTAINS toLower(part)
WITH x ORDER BY x.seq DESC, x.ordinal DESC LIMIT 25
MATCH p = (x)-[:MEM_FROM]->(:MemSource)
RETURN p
