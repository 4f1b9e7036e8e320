// The graph of langchain_memllm: names, relations, facts, where they came from, and what was done.
// Every index key is a short hash or a number: Neo4j refuses index keys above about 8 kB, and a hash over the
// namespace keeps tenants apart by construction. Community Edition is enough. One statement a transaction.

CREATE CONSTRAINT mem_meta IF NOT EXISTS FOR (n:MemMeta) REQUIRE n.name IS UNIQUE;
CREATE CONSTRAINT mem_namespace IF NOT EXISTS FOR (n:MemNamespace) REQUIRE n.id IS UNIQUE;

// Names. n: number within the namespace. alias: number of the alias class. pending: n while it waits for a vector.
// coded: number under which clients fetch its search code. The last three are there only where they apply.
CREATE CONSTRAINT mem_entity IF NOT EXISTS FOR (n:MemEntity) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_entity_n IF NOT EXISTS FOR (n:MemEntity) ON (n.ns, n.n);
CREATE INDEX mem_entity_alias IF NOT EXISTS FOR (n:MemEntity) ON (n.ns, n.alias);
CREATE INDEX mem_entity_pending IF NOT EXISTS FOR (n:MemEntity) ON (n.ns, n.pending);
CREATE INDEX mem_entity_coded IF NOT EXISTS FOR (n:MemEntity) ON (n.ns, n.coded);
CREATE CONSTRAINT mem_relation IF NOT EXISTS FOR (n:MemRelation) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_relation_n IF NOT EXISTS FOR (n:MemRelation) ON (n.ns, n.n);

// Open facts: at most one for each triple. precedence: best first (rank of the source, then newest).
CREATE CONSTRAINT mem_fact IF NOT EXISTS FOR (n:MemFact) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT mem_fact_triple IF NOT EXISTS FOR (n:MemFact) REQUIRE n.triple IS UNIQUE;
CREATE INDEX mem_fact_ns IF NOT EXISTS FOR (n:MemFact) ON (n.ns, n.seq, n.ordinal);
CREATE INDEX mem_fact_s IF NOT EXISTS FOR (n:MemFact) ON (n.sid, n.rid, n.precedence);
CREATE INDEX mem_fact_o IF NOT EXISTS FOR (n:MemFact) ON (n.oid, n.rid, n.precedence);
CREATE INDEX mem_fact_r IF NOT EXISTS FOR (n:MemFact) ON (n.rid);

// Closed facts: the label is swapped when a fact is superseded, retracted or replaced.
CREATE CONSTRAINT mem_past IF NOT EXISTS FOR (n:MemPast) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_past_ns IF NOT EXISTS FOR (n:MemPast) ON (n.ns, n.seq, n.ordinal);
CREATE INDEX mem_past_s IF NOT EXISTS FOR (n:MemPast) ON (n.sid, n.rid, n.precedence);
CREATE INDEX mem_past_o IF NOT EXISTS FOR (n:MemPast) ON (n.oid, n.rid, n.precedence);
CREATE INDEX mem_past_r IF NOT EXISTS FOR (n:MemPast) ON (n.rid);
CREATE INDEX mem_past_by IF NOT EXISTS FOR (n:MemPast) ON (n.closed_by);
CREATE INDEX mem_past_source IF NOT EXISTS FOR (n:MemPast) ON (n.closed_source);

CREATE CONSTRAINT mem_source IF NOT EXISTS FOR (n:MemSource) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_source_ns IF NOT EXISTS FOR (n:MemSource) ON (n.ns, n.ref);
CREATE CONSTRAINT mem_op IF NOT EXISTS FOR (n:MemOp) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_op_seq IF NOT EXISTS FOR (n:MemOp) ON (n.ns, n.seq);
CREATE INDEX mem_quarantine IF NOT EXISTS FOR (n:MemQuarantine) ON (n.ns, n.seq, n.ordinal);
