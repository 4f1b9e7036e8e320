// loose: what other spellings of a name share with it; there only where it says more than the key. The names
// themselves are brought to the present rules by the package (stores/neo4j_rekey.py), which works keys and ids out.

CREATE INDEX mem_entity_loose IF NOT EXISTS FOR (n:MemEntity) ON (n.ns, n.loose);
