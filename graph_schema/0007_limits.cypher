// How much a namespace holds (statements, characters, and those of sources below a person), and the size of each
// statement. The package counts what is there already (stores/neo4j_use.py); there is nothing to create.
