"""Statements of the outbox: what was said and is not yet extracted."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import CYPHER

# Put entries, under the namespace's lock: not those whose operation was done, nor those that wait already; and first
# remove what waits from the source of one that replaces it. ``place``: the order in which they came. Nothing of the
# namespace is recorded before ``last_at`` from now on.
PUT_OUTBOX: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.last_at = coalesce($last_at, n.last_at),
  n.restarts = coalesce($restarts, n.restarts)
WITH n UNWIND $entries AS e
CALL (e) {
  WITH e WHERE e.replaces
  MATCH (y:MemOutbox) USING INDEX SEEK y:MemOutbox(source) WHERE y.source = e.source AND y.id <> e.id DELETE y }
WITH e WHERE NOT EXISTS { MATCH (:MemOp {id: e.operation}) }
MERGE (x:MemOutbox {id: e.id})
ON CREATE SET x.ns = $ns, x.place = e.place, x.op_id = e.op_id, x.source = e.source, x.ref = e.ref, x.kind = e.kind,
  x.entry = e.entry, x.version = 0"""
)
# What waits, oldest first; of these operations, if given.
OUTBOX: Final = (
    CYPHER
    + """MATCH (x:MemOutbox) USING INDEX SEEK x:MemOutbox(ns, place) WHERE x.ns = $ns AND x.place IS NOT NULL
RETURN x.op_id AS op_id, x.entry AS entry, x.version AS version ORDER BY x.place LIMIT $limit"""
)
OUTBOX_OF: Final = (
    CYPHER
    + """UNWIND $ids AS id MATCH (x:MemOutbox {id: id})
RETURN x.op_id AS op_id, x.entry AS entry, x.version AS version"""
)
# Remove entries.
DROP_OUTBOX: Final = CYPHER + "UNWIND $ids AS id MATCH (x:MemOutbox {id: id}) DELETE x RETURN count(*) AS gone"
# Remove the entry that an operation is made from, if it is still that version.
TAKE_OUTBOX: Final = (
    CYPHER + "MATCH (x:MemOutbox {id: $id}) WHERE x.version = $version DELETE x RETURN count(*) AS gone"
)
# Other names for operations and for what waits: a migration.
RENAME_OPERATIONS: Final = (
    CYPHER + "UNWIND $entries AS e MATCH (p:MemOp {id: e.id}) SET p.id = e.new, p.op_id = e.op_id"
)
RENAME_OUTBOX: Final = (
    CYPHER
    + "UNWIND $entries AS e MATCH (x:MemOutbox {id: e.id}) SET x.id = e.new, x.op_id = e.op_id, x.entry = e.entry"
)
# Entries anew: changed by forgetting (``by`` 1), or with one more failed attempt (``by`` 0).
CHANGE_OUTBOX: Final = (
    CYPHER
    + """UNWIND $entries AS e MATCH (x:MemOutbox {id: e.id})
SET x.entry = e.entry, x.version = x.version + e.by"""
)
