// Items of LangGraph's long-term store: JSON under a namespace and a key.

CREATE CONSTRAINT mem_item IF NOT EXISTS FOR (n:MemItem) REQUIRE n.id IS UNIQUE;
CREATE INDEX mem_item_ns IF NOT EXISTS FOR (n:MemItem) ON (n.ns);
CREATE INDEX mem_item_expires IF NOT EXISTS FOR (n:MemItem) ON (n.expires_at);
