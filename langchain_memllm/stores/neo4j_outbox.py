"""The outbox in Neo4j: put, list, drop and change entries, each under the namespace's lock."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_memllm.stores import cypher, neo4j_hub
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.stores.episodes import Turn, checked
from langchain_memllm.stores.neo4j_write import Ids, ids_of, locked, restarted
from langchain_memllm.stores.outbox import OutboxEntry, pack_entry, renewed, stamped, unpack_entry
from langchain_memllm.times import following, next_moment
from langchain_memllm.triples import Namespace

if TYPE_CHECKING:
    import neo4j

__all__ = ["drop", "entries", "fail", "put", "put_in", "rewrite"]


def put(bolt: Bolt, namespace: Namespace, given: Sequence[OutboxEntry], now: str, turns: Sequence[Turn] = ()) -> str:
    """See ``TripleStore.put_outbox``."""
    ids, said = ids_of(namespace), [checked(turn) for turn in turns]

    def work(transaction: neo4j.ManagedTransaction) -> str:
        loaded = locked(transaction, ids)
        at = next_moment(now, loaded["last_at"])
        again = following(now, loaded["last_at"])[1]
        restarts = restarted(loaded["restarts"], loaded["seq"] + 1, at) if again else loaded["restarts"]
        put_in(transaction, ids, stamped(given, at), at, last_at=at, restarts=restarts)
        neo4j_hub.put_in(transaction, ids, said, at)
        return at

    return bolt.write(work)


def put_in(
    transaction: neo4j.ManagedTransaction,
    ids: Ids,
    given: Sequence[OutboxEntry],
    at: str,
    *,
    last_at: str | None = None,
    restarts: str | None = None,
) -> None:
    """Put entries in a transaction that holds the namespace's lock, behind those that were put before ``at``.

    With ``last_at`` nothing of the namespace is recorded before that moment from now on.
    """
    begun = len(json.loads(restarts or "[]"))  # a clock that had been ahead was right again: what follows comes later
    rows = [
        {
            "id": ids.outbox(each.op_id),
            "operation": ids.operation(each.op_id),
            "op_id": each.op_id,
            "place": f"{f'~{begun:04d}/' if begun else ''}{at}/{place:06d}",
            "source": ids.source(each.source.kind, each.source.ref),
            "kind": each.source.kind,
            "ref": each.source.ref,
            "replaces": each.replace,
            "entry": pack_entry(each),
        }
        for place, each in enumerate(given)
    ]
    there = list(transaction.run(cypher.OUTBOX_OF, ids=[row["id"] for row in rows]))
    waiting = {row["op_id"]: unpack_entry(row["op_id"], row["entry"], row["version"]) for row in there}
    changed = [renewed(waiting[each.op_id], each) for each in given if each.op_id in waiting]
    transaction.run(cypher.PUT_OUTBOX, ns=ids.ns, entries=rows, last_at=last_at, restarts=restarts).consume()
    _change(transaction, ids, [each for each in changed if each is not None], by=1)


def entries(bolt: Bolt, namespace: Namespace, op_ids: Sequence[str] | None, limit: int) -> list[OutboxEntry]:
    """See ``TripleStore.outbox``."""
    ids = ids_of(namespace)
    if op_ids is None:
        rows = bolt.read(cypher.OUTBOX, {"ns": ids.ns, "limit": limit})
    else:
        rows = bolt.read(cypher.OUTBOX_OF, {"ids": [ids.outbox(op_id) for op_id in op_ids]})[:limit]
    return [unpack_entry(row["op_id"], row["entry"], row["version"]) for row in rows]


def drop(bolt: Bolt, namespace: Namespace, op_ids: Sequence[str]) -> int:
    """See ``TripleStore.drop_outbox``."""
    rows = bolt.write_one(cypher.DROP_OUTBOX, {"ids": [ids_of(namespace).outbox(op_id) for op_id in op_ids]})
    return int(rows[0]["gone"])


def fail(bolt: Bolt, namespace: Namespace, op_ids: Sequence[str]) -> None:
    """See ``TripleStore.fail_outbox``; what was extracted meanwhile may still be written."""
    ids = ids_of(namespace)

    def work(transaction: neo4j.ManagedTransaction) -> None:
        locked(transaction, ids)
        rows = list(transaction.run(cypher.OUTBOX_OF, ids=[ids.outbox(op_id) for op_id in op_ids]))
        waiting = [unpack_entry(row["op_id"], row["entry"], row["version"]) for row in rows]
        _change(transaction, ids, [replace(each, attempts=each.attempts + 1) for each in waiting], by=0)

    bolt.write(work)


def rewrite(
    transaction: neo4j.ManagedTransaction, ids: Ids, rewritten: Callable[[OutboxEntry], OutboxEntry | None]
) -> int:
    """Make every entry anew, or remove it; returns how many were. The transaction holds the namespace's lock."""
    rows = list(transaction.run(cypher.OUTBOX, ns=ids.ns, limit=1 << 40))
    before = [unpack_entry(row["op_id"], row["entry"], row["version"]) for row in rows]
    after = [rewritten(each) for each in before]
    gone = [ids.outbox(old.op_id) for old, new in zip(before, after, strict=True) if new is None]
    changed = [new for old, new in zip(before, after, strict=True) if new is not None and new != old]
    if gone:
        transaction.run(cypher.DROP_OUTBOX, ids=gone).consume()
    _change(transaction, ids, changed, by=1)
    return len(gone) + len(changed)


def _change(transaction: neo4j.ManagedTransaction, ids: Ids, changed: Sequence[OutboxEntry], *, by: int) -> None:
    if changed:
        rows = [{"id": ids.outbox(each.op_id), "entry": pack_entry(each), "by": by} for each in changed]
        transaction.run(cypher.CHANGE_OUTBOX, entries=rows).consume()
