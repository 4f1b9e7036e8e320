// Names of operations and marks of what was forgotten become hashes. The package works them out
// (stores/neo4j_hide.py); there is nothing to create.
