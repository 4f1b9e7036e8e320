// What was said and is not yet extracted. place: the order in which it came; source: id of its source.

CREATE CONSTRAINT mem_outbox IF NOT EXISTS FOR (n:MemOutbox) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_outbox_place IF NOT EXISTS FOR (n:MemOutbox) ON (n.ns, n.place);
CREATE INDEX mem_outbox_source IF NOT EXISTS FOR (n:MemOutbox) ON (n.source);
