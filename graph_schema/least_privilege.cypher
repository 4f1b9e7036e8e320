// A role for applications that may use the memory and nothing else, and one for whoever applies the schema.
// For Enterprise Edition and Aura: Community has no roles. Not run there by us; a test has Community's parser accept
// every statement. Run as an administrator on the database `system`; put your database in place of neo4j.

CREATE ROLE memllm IF NOT EXISTS;
GRANT ACCESS ON DATABASE neo4j TO memllm;
GRANT SHOW INDEX ON DATABASE neo4j TO memllm;

// Reading and writing the package's labels, and no other.
GRANT MATCH {*} ON GRAPH neo4j NODES MemMeta, MemNamespace, MemEntity, MemRelation, MemFact, MemPast, MemSource, MemOp, MemQuarantine, MemOutbox, MemSession, MemEpisode, MemTurn, MemForgotten, MemRole, MemItem TO memllm;
GRANT CREATE ON GRAPH neo4j NODES MemMeta, MemNamespace, MemEntity, MemRelation, MemFact, MemPast, MemSource, MemOp, MemQuarantine, MemOutbox, MemSession, MemEpisode, MemTurn, MemForgotten, MemRole, MemItem TO memllm;
GRANT DELETE ON GRAPH neo4j NODES MemMeta, MemNamespace, MemEntity, MemRelation, MemFact, MemPast, MemSource, MemOp, MemQuarantine, MemOutbox, MemSession, MemEpisode, MemTurn, MemForgotten, MemRole, MemItem TO memllm;
GRANT SET PROPERTY {*} ON GRAPH neo4j NODES MemMeta, MemNamespace, MemEntity, MemRelation, MemFact, MemPast, MemSource, MemOp, MemQuarantine, MemOutbox, MemSession, MemEpisode, MemTurn, MemForgotten, MemRole, MemItem TO memllm;
GRANT SET LABEL MemFact, MemPast ON GRAPH neo4j TO memllm;
GRANT REMOVE LABEL MemFact, MemPast ON GRAPH neo4j TO memllm;

// Relationships of every type: the readable ones are named after the relations of the catalogue and your own.
GRANT MATCH {*} ON GRAPH neo4j RELATIONSHIPS * TO memllm;
GRANT CREATE ON GRAPH neo4j RELATIONSHIPS * TO memllm;
GRANT DELETE ON GRAPH neo4j RELATIONSHIPS * TO memllm;
GRANT SET PROPERTY {*} ON GRAPH neo4j RELATIONSHIPS * TO memllm;
GRANT CREATE NEW RELATIONSHIP TYPE ON DATABASE neo4j TO memllm;
GRANT CREATE NEW PROPERTY NAME ON DATABASE neo4j TO memllm;
GRANT CREATE NEW LABEL ON DATABASE neo4j TO memllm;

// For `memllm schema apply`; applications then need none of these.
CREATE ROLE memllm_schema IF NOT EXISTS;
GRANT ACCESS ON DATABASE neo4j TO memllm_schema;
GRANT INDEX MANAGEMENT ON DATABASE neo4j TO memllm_schema;
GRANT CONSTRAINT MANAGEMENT ON DATABASE neo4j TO memllm_schema;
GRANT NAME MANAGEMENT ON DATABASE neo4j TO memllm_schema;
GRANT MATCH {*} ON GRAPH neo4j NODES MemMeta TO memllm_schema;
GRANT CREATE ON GRAPH neo4j NODES MemMeta TO memllm_schema;
GRANT SET PROPERTY {*} ON GRAPH neo4j NODES MemMeta TO memllm_schema;
// Graphs of before schema 8 have such nodes; that step deletes them.
GRANT MATCH {*} ON GRAPH neo4j NODES MemWord TO memllm_schema;
GRANT DELETE ON GRAPH neo4j NODES MemWord TO memllm_schema;

// For people who look: reading only.
CREATE ROLE memllm_reader IF NOT EXISTS;
GRANT ACCESS ON DATABASE neo4j TO memllm_reader;
GRANT MATCH {*} ON GRAPH neo4j NODES MemMeta, MemNamespace, MemEntity, MemRelation, MemFact, MemPast, MemSource, MemSession, MemEpisode, MemTurn TO memllm_reader;
GRANT MATCH {*} ON GRAPH neo4j RELATIONSHIPS * TO memllm_reader;
