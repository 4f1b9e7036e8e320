"""Taking a namespace of a Neo4j database apart, and putting one together: ``dump`` page by page, and ``restore``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.belief import Quarantined
from langchain_memllm.quotas import Limits, added, check, size
from langchain_memllm.stores import cypher, neo4j_hub
from langchain_memllm.stores.bolt import Bolt, token
from langchain_memllm.stores.episodes import Grant, Turn
from langchain_memllm.stores.interface import Pending, now, unpack_receipt
from langchain_memllm.stores.neo4j_outbox import put_in
from langchain_memllm.stores.neo4j_use import use_of
from langchain_memllm.stores.neo4j_write import Application, Ids, ids_of, link, locked, touch
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.parts import Aliases, Head, Kept, Name, Operation, Part, under_own_ids
from langchain_memllm.triples import Fact, Namespace, Source, is_literal_key

if TYPE_CHECKING:
    import neo4j

__all__ = ["facts", "head", "names", "operations", "restore"]

_PAGE: Final = 2_000
_MAX_ALIASES: Final = 1 << 16  # classes of an export are put back whatever their size, also those that meet


def names(bolt: Bolt, namespace: Namespace) -> Iterator[Name]:
    """Relations, then names, each in the order in which they came."""
    for row in _pages(bolt, cypher.DUMP_RELATIONS, namespace, {"after": 0}, lambda row: {"after": row["n"]}):
        yield Name("relation", row["label"])
    for row in _pages(bolt, cypher.DUMP_NAMES, namespace, {"after": 0}, lambda row: {"after": row["n"]}):
        yield Name("literal" if is_literal_key(row["key"]) else "name", row["name"], row["rank"])


def facts(
    bolt: Bolt, namespace: Namespace, fact_of: Callable[[Namespace, Sequence[Any], Sequence[Sequence[Any]]], Fact]
) -> Iterator[Kept]:
    """Facts in commit order, with what closed them; ``fact_of`` makes a fact of a row and its sources."""
    first = {"seq": -1, "ordinal": -1, "id": ""}
    pages = _pages(bolt, cypher.DUMP_FACTS, namespace, first, lambda row: _place_of(row["fact"]))
    for row in pages:
        closer = None if row["closed_kind"] is None else (row["closed_kind"], row["closed_ref"])
        places = tuple(sorted((source[0], source[1]) for source in row["sources"]))
        fact = fact_of(namespace, row["fact"], row["sources"])
        yield Kept(fact, is_literal_key(row["object_key"]), row["ended"], row["closed_seq"], closer, places)


def _place_of(fact: Sequence[Any]) -> dict[str, Any]:
    return {"seq": fact[4], "ordinal": fact[5], "id": fact[0]}


def operations(bolt: Bolt, namespace: Namespace) -> Iterator[Operation]:
    """Operations that are still recognised, in the order in which they were done."""
    first = {"seq": -1, "op_id": ""}
    pages = _pages(bolt, cypher.DUMP_OPERATIONS, namespace, first, lambda r: {"seq": r["seq"], "op_id": r["op_id"]})
    for row in pages:
        yield Operation(row["payload_hash"], unpack_receipt(namespace, row["op_id"], row["receipt"]))


def head(bolt: Bolt, namespace: Namespace) -> Iterator[Head]:
    """How far the namespace has come, if there is one."""
    for row in bolt.read(cypher.DUMP_HEAD, {"ns": ids_of(namespace).ns}):
        yield Head(row["seq"], row["last_at"], tuple((seq, at) for seq, at in json.loads(row["restarts"])))


def _pages(
    bolt: Bolt,
    statement: cypher.Statement,
    namespace: Namespace,
    first: dict[str, Any],
    place_of: Callable[[neo4j.Record], dict[str, Any]],
) -> Iterator[neo4j.Record]:
    """Rows page by page, so that a long dump holds no transaction and little memory."""
    place = first
    while True:
        rows = bolt.read(statement, {"ns": ids_of(namespace).ns, "page": _PAGE, **place})
        yield from rows
        if len(rows) < _PAGE:
            return
        place = place_of(rows[-1])


def restore(
    bolt: Bolt, namespace: Namespace, parts: Sequence[Part], limits: Limits | None = None
) -> tuple[Pending, ...]:
    """See ``TripleStore.restore``."""
    pending: tuple[Pending, ...] = ()
    if any(not isinstance(part, Aliases) for part in parts):
        pending = bolt.write(lambda transaction: _restore(transaction, ids_of(namespace), parts, limits))
        touch(bolt, ids_of(namespace))
    for part in parts:
        if isinstance(part, Aliases):
            first, *others = [Name("name", name) for name in part.names]
            for other in others:
                link(bolt, namespace, (first.key, first.spelling), (other.key, other.spelling), _MAX_ALIASES)
    return pending


def _restore(
    transaction: neo4j.ManagedTransaction, ids: Ids, parts: Sequence[Part], limits: Limits | None
) -> tuple[Pending, ...]:
    named = [part for part in parts if isinstance(part, Name)]
    kept = [part for part in parts if isinstance(part, Kept)]
    loaded = locked(
        transaction,
        ids,
        names={key for part in kept for key in (part.keys[0], part.keys[2])}
        | {name.key for name in named if name.kind != "relation"},
        relations={part.keys[1] for part in kept} | {name.key for name in named if name.kind == "relation"},
    )
    heads = [part for part in parts if isinstance(part, Head)]
    seq = max([loaded["seq"], *(part.fact.seq for part in kept), *(each.seq for each in heads)])
    times = [part.fact.closed_at or part.fact.recorded_at for part in kept] + [each.last_at for each in heads]
    application = Application(ids, loaded, seq, max([loaded["last_at"], *times]))
    for each in heads:
        if each.restarts and application.restarts == "[]":  # earlier times do not bound what comes next
            application.restarts, application.now = json.dumps(each.restarts, separators=(",", ":")), each.last_at
    application.add_named(named)
    _put(transaction, application, kept, [part for part in parts if isinstance(part, Operation)])
    _put_quarantine(transaction, application, [part for part in parts if isinstance(part, Quarantined)])
    if limits is not None:
        check(use_of(loaded), application.use, limits)
    application.run(transaction)
    if kept:  # what clients hold was read by numbers that are not new
        transaction.run(cypher.TOUCH, ns=ids.ns, op=token()).consume()
    put_in(transaction, ids, [part for part in parts if isinstance(part, OutboxEntry)], now())
    neo4j_hub.grant_in(transaction, ids, [part for part in parts if isinstance(part, Grant)])
    neo4j_hub.put_in(transaction, ids, [part for part in parts if isinstance(part, Turn)], "")
    return tuple(application.pending)


def _put(
    transaction: neo4j.ManagedTransaction, application: Application, kept: Sequence[Kept], done: Sequence[Operation]
) -> None:
    """Put back the facts and operations that are not there; an open fact also gives way to one of its triple."""
    ids = application.ids
    others = _others(transaction, ids, kept)
    kept = [under_own_ids(part, others) for part in kept]
    known = transaction.run(
        cypher.KNOWN,
        ns=ids.ns,
        ids=[part.fact.id for part in kept],
        triples=[ids.triple(part.keys) for part in kept],
        operations=[ids.operation(each.receipt.op_id) for each in done],
    ).single(strict=True)
    there, standing, operations = (set(known[part]) for part in ("ids", "triples", "operations"))
    new = [part for part in kept if part.fact.id not in there]
    application.add_parts([part.claim for part in new])
    for part in new:
        triple = ids.triple(part.keys)
        if not part.fact.is_open or triple not in standing:
            standing.update([triple] if part.fact.is_open else [])
            _put_fact(application, part)
    for each in done:
        if ids.operation(each.receipt.op_id) not in operations:
            application.add_operation(each.payload_hash, each.receipt)


def _others(transaction: neo4j.ManagedTransaction, ids: Ids, kept: Sequence[Kept]) -> set[str]:
    """Which of the ids in these facts are those of facts in other namespaces."""
    named = list({each for part in kept for each in (part.fact.id, part.fact.closed_by) if each})
    known = transaction.run(cypher.KNOWN, ns=ids.ns, ids=named, triples=[], operations=[]).single(strict=True)
    return set(known["others"])


def _put_fact(application: Application, part: Kept) -> None:
    fact = part.fact
    claim = part.claim
    row = application.insert(fact.id, claim, seq=fact.seq, now=fact.recorded_at)
    triple, sources = fact.triple, part.evidence
    row["evidence"] += [
        application.evidence(source, claim, seq, ordinal, claim.keys) for source, seq, ordinal in sources
    ]
    application.use = added(application.use, ((source.kind, size(triple, source.text)) for source, _, _ in sources))
    if not fact.is_open:
        closer = part.closed_source
        row["props"].update(
            closed_at=fact.closed_at,
            closed_seq=part.closed_seq,
            closed_by=fact.closed_by,
            closed_why=fact.closed_why,
            closed_source=None if closer is None else application.add_source(Source(*closer)),  # type: ignore[arg-type]
            ended=part.ended,
        )


def _put_quarantine(
    transaction: neo4j.ManagedTransaction, application: Application, pieces: Sequence[Quarantined]
) -> None:
    """Put back the pieces that are not there yet, after those that are; equal ones are counted."""
    if not pieces:
        return
    rows = list(transaction.run(cypher.QUARANTINED, ns=application.ids.ns))
    columns = ("text", "reason", "kind", "ref", "principal", "turn", "recorded_at")
    held = Counter(tuple(row[column] for column in columns) for row in rows)
    for place, each in enumerate(pieces, start=len(rows)):
        source = each.source
        content = (each.text, each.reason, source.kind, source.ref, source.principal, source.turn, each.recorded_at)
        if held[content] > 0:
            held[content] -= 1
        else:
            application.add_quarantined(each, place)
            application.use = added(application.use, [(source.kind, len(each.text))])
