// What recall finds facts by: the words of each piece of evidence, written and erased with it. The package makes them
// for what is stored already (stores/neo4j_words.py). The words of names, one node each, are not needed any more.

CREATE INDEX mem_from_ns IF NOT EXISTS FOR ()-[m:MEM_FROM]-() ON (m.ns, m.seq);
MATCH (w:MemWord) CALL (w) { DELETE w } IN TRANSACTIONS OF 5000 ROWS;
DROP INDEX mem_word IF EXISTS;
DROP INDEX mem_word_n IF EXISTS;
