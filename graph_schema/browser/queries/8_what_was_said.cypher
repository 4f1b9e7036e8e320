// What was said
// Write a user and a word between the quotes; empty: the memory written last, its last turns. A session has episodes,
// they have turns, and a fact leads by its source to the turn that said it. Empty where nobody keeps episodes.
WITH '' AS user, '' AS word
MATCH (n:MemNamespace) WHERE user = '' OR n.name CONTAINS '"' + user + '"'
WITH n, word ORDER BY n.last_at DESC LIMIT 1
MATCH (t:MemTurn) WHERE t.ns = n.id AND t.place > 0 AND toLower(t.text) CONTAINS toLower(word)
WITH t ORDER BY t.place DESC LIMIT 25
MATCH p = (:MemSession)-[:MEM_HAS]->(:MemEpisode)-[:MEM_NEXT]->(t)
OPTIONAL MATCH q = (t)<-[:MEM_SAID_IN]-(:MemSource)<-[:MEM_FROM]-(x)
RETURN p, q
