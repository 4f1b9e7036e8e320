"""Taking a namespace of the embedded store apart, and putting one together: the SQL of ``dump`` and ``restore``.

``restore`` runs inside a transaction that its caller holds under the write lock; ``dump`` reads page by page, each in
a snapshot of its own, so that a long one holds no lock and little memory.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

import numpy as np

from langchain_memllm.belief import Claim, Quarantined, fact_id, precedence
from langchain_memllm.errors import StoreCorrupt
from langchain_memllm.factindex import evidence_words
from langchain_memllm.quotas import Limits, added, check, size
from langchain_memllm.stores import embedded_hub, embedded_outbox, embedded_write
from langchain_memllm.stores.embedded_rekey import NOTE_IDS
from langchain_memllm.stores.embedded_use import keep_use
from langchain_memllm.stores.embedded_write import Application, link
from langchain_memllm.stores.episodes import Grant, Turn
from langchain_memllm.stores.interface import Pending, pack_receipt, unpack_receipt
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.parts import Aliases, Head, Kept, Name, Operation, Part, under_own_ids
from langchain_memllm.stores.rows import fact_of_columns
from langchain_memllm.stores.sqlite_check import foreign_rows
from langchain_memllm.triples import Namespace, Source, is_literal_key

__all__ = ["dump", "restore"]

_PAGE: Final = 2_000
_MAX_ALIASES: Final = 1 << 16  # classes of an export are put back whatever their size, also those that meet
_NAME_IDS: Final = "SELECT id FROM name WHERE ns = ?"
_NAMES: Final = "SELECT key, spelling, rank FROM name WHERE id IN ({}) ORDER BY id"
_RELATIONS: Final = "SELECT label FROM relation WHERE ns = ? ORDER BY id"
# Facts of a namespace after a place, in commit order, with what closed them.
_FACTS: Final = """SELECT f.id, f.fid, s.spelling, r.label, o.spelling, f.seq, f.ordinal, f.recorded_at, f.kind,
    f.principal, f.confidence, f.valid_from, f.valid_to, f.closed_at, f.closed_by, f.closed_why,
    coalesce(f.said_at, f.recorded_at), o.key, f.ended, f.closed_seq, q.kind, q.ref
    FROM fact f INDEXED BY fact_ns CROSS JOIN relation r ON r.id = f.r CROSS JOIN name s ON s.id = f.s
    CROSS JOIN name o ON o.id = f.o LEFT JOIN source q ON q.id = f.closed_source
    WHERE f.ns = ? AND (f.seq, f.ordinal, f.fid) > (?, ?, ?) ORDER BY f.seq, f.ordinal, f.fid LIMIT ?"""
_EVIDENCE: Final = """SELECT q.kind, q.ref, e.principal, e.text, e.span_start, e.span_end, e.turn, e.seq, e.ordinal,
    e.said_at FROM evidence e CROSS JOIN source q ON q.id = e.source WHERE e.fact = ? ORDER BY e.seq, e.ordinal"""
_OPERATIONS: Final = """SELECT op_id, payload_hash, receipt, seq FROM operation INDEXED BY operation_seq
    WHERE ns = ? AND (seq, op_id) > (?, ?) ORDER BY seq, op_id LIMIT ?"""
_ALIASES: Final = "SELECT class, spelling FROM name WHERE ns = ? AND class IS NOT NULL"
_QUARANTINE: Final = """SELECT text, reason, kind, ref, principal, turn, at FROM quarantine INDEXED BY quarantine_ns
    WHERE ns = ? ORDER BY id"""

Snapshot = Callable[[], AbstractContextManager[sqlite3.Connection]]


def dump(snapshot: Snapshot, namespace: Namespace, label: str) -> Iterator[Part]:
    """See ``TripleStore.dump``."""
    with snapshot() as connection:
        head = connection.execute(embedded_write.HEAD, (label,)).fetchone()
        if found := foreign_rows(connection):
            raise StoreCorrupt(found[0])
    if head is None:
        return
    ns = head[0]
    yield from _names(snapshot, ns)
    yield from _facts(snapshot, namespace, ns)
    with snapshot() as connection:
        aliases = _aliases(connection, ns)
    yield from aliases
    yield from _operations(snapshot, namespace, ns)
    with snapshot() as connection:
        pieces = connection.execute(_QUARANTINE, (ns,)).fetchall()
    for text, reason, kind, ref, principal, turn, at in pieces:
        yield Quarantined(text, reason, Source(kind, ref, principal, turn=turn), at)
    with snapshot() as connection:
        waiting = embedded_outbox.entries(connection, ns, None, -1)
    yield from waiting
    yield from _said(snapshot, ns)
    with snapshot() as connection:
        (restarts,) = connection.execute("SELECT restarts FROM namespace WHERE id = ?", (ns,)).fetchone()
    yield Head(head[1], head[2], tuple((seq, at) for seq, at in json.loads(restarts)))


def _names(snapshot: Snapshot, ns: int) -> Iterator[Name]:
    """Relations, then names, each in the order of their ids: the order in which they came."""
    with snapshot() as connection:
        relations = connection.execute(_RELATIONS, (ns,)).fetchall()
        ids = np.fromiter((row[0] for row in connection.execute(_NAME_IDS, (ns,))), np.int64)
    for (label,) in relations:
        yield Name("relation", label)
    ids.sort()
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE].tolist()
        with snapshot() as connection:
            rows = connection.execute(_NAMES.format(",".join("?" * len(page))), page).fetchall()
        for key, spelling, rank in rows:
            yield Name("literal" if is_literal_key(key) else "name", spelling, rank)


def _facts(snapshot: Snapshot, namespace: Namespace, ns: int) -> Iterator[Kept]:
    place: tuple[Any, ...] = (-1, -1, b"")
    while True:
        with snapshot() as connection:
            rows = connection.execute(_FACTS, (ns, *place, _PAGE)).fetchall()
            page = [_kept(namespace, row, connection.execute(_EVIDENCE, (row[0],)).fetchall()) for row in rows]
        yield from page
        if len(rows) < _PAGE:
            return
        place = (rows[-1][5], rows[-1][6], rows[-1][1])


def _kept(namespace: Namespace, row: tuple[Any, ...], evidence: Sequence[tuple[Any, ...]]) -> Kept:
    object_key, ended, closed_seq, closer_kind, closer_ref = row[17:]
    sources = tuple(
        Source(kind, ref, who, text, (first, last) if first is not None else None, turn, said)
        for kind, ref, who, text, first, last, turn, _, _, said in evidence
    )
    fact = replace(fact_of_columns(namespace, row, 1), sources=sources)
    closer = None if closer_kind is None else (closer_kind, closer_ref)
    places = tuple((each[7], each[8]) for each in evidence)
    return Kept(fact, is_literal_key(object_key), ended, closed_seq, closer, places)


def _said(snapshot: Snapshot, ns: int) -> Iterator[Grant | Turn]:
    """Who may see what, then what was said, in the order in which it came."""
    with snapshot() as connection:
        grants = embedded_hub.grants(connection, ns)
    yield from grants
    after = 0
    while True:
        with snapshot() as connection:
            page = embedded_hub.dump(connection, ns, after)
        yield from page
        if not page:
            return
        after = page[-1].place


def _aliases(connection: sqlite3.Connection, ns: int) -> list[Aliases]:
    groups: dict[int, list[str]] = {}
    for group, spelling in connection.execute(_ALIASES, (ns,)):
        groups.setdefault(group, []).append(spelling)
    return [Aliases(names) for names in sorted(tuple(sorted(group)) for group in groups.values())]


def _operations(snapshot: Snapshot, namespace: Namespace, ns: int) -> Iterator[Operation]:
    place: tuple[Any, ...] = (-1, "")
    while True:
        with snapshot() as connection:
            rows = connection.execute(_OPERATIONS, (ns, *place, _PAGE)).fetchall()
        for op_id, payload_hash, packed, _ in rows:
            yield Operation(payload_hash, unpack_receipt(namespace, op_id, packed))
        if len(rows) < _PAGE:
            return
        place = (rows[-1][3], rows[-1][0])


def restore(
    connection: sqlite3.Connection, label: str, parts: Sequence[Part], limits: Limits | None
) -> tuple[Pending, ...]:
    """See ``TripleStore.restore``."""
    ns, _, _, before = embedded_write.namespace_head(connection, label)
    kept = _new_facts(connection, ns, [part for part in parts if isinstance(part, Kept)])
    claims = [part.claim for part in kept]
    work = Application(connection, ns, 0, "", before)
    work.load_names(claims)
    work.add_named([part for part in parts if isinstance(part, Name)])
    work.add_parts(claims, [source for part in kept for source in part.fact.sources])
    work.add_sources([Source(*part.closed_source) for part in kept if part.closed_source is not None])  # type: ignore[arg-type]
    _put_facts(work, kept, claims)
    for part in parts:
        if isinstance(part, Aliases):
            first, *others = [Name("name", name) for name in part.names]
            for other in others:
                link(connection, label, (first.key, first.spelling), (other.key, other.spelling), _MAX_ALIASES)
    _put_operations(connection, ns, [part for part in parts if isinstance(part, Operation)])
    _put_quarantine(work, [part for part in parts if isinstance(part, Quarantined)])
    if limits is not None:
        check(before, work.use, limits)
    keep_use(connection, ns, work.use)
    embedded_outbox.put(connection, ns, [part for part in parts if isinstance(part, OutboxEntry)])
    embedded_hub.grant(connection, ns, [part for part in parts if isinstance(part, Grant)])
    embedded_hub.put(connection, ns, [part for part in parts if isinstance(part, Turn)], "")
    _advance(connection, ns, parts)
    return tuple(work.pending)


def _new_facts(connection: sqlite3.Connection, ns: int, kept: Sequence[Kept]) -> list[Kept]:
    """The facts that are not there; under an id of their own where that of theirs is another namespace's."""

    def owner(fact_id: str | None) -> int | None:
        if fact_id is None:
            return None
        row = connection.execute("SELECT ns FROM fact WHERE fid = ?", (bytes.fromhex(fact_id),)).fetchone()
        return None if row is None else int(row[0])

    others = {i for part in kept for i in (part.fact.id, part.fact.closed_by) if i and owner(i) not in (None, ns)}
    return [part for part in (under_own_ids(each, others) for each in kept) if owner(part.fact.id) is None]


def _put_facts(work: Application, kept: Sequence[Kept], claims: Sequence[Claim]) -> None:
    execute = work.connection.execute
    row_id = execute("SELECT coalesce(max(id), 0) FROM fact").fetchone()[0]
    made = [fact_id(part.fact.namespace, claim, part.fact.seq) for part, claim in zip(kept, claims, strict=True)]
    if made != [part.fact.id for part in kept]:
        execute(NOTE_IDS, (work.ns,))
    for part, claim in zip(kept, claims, strict=True):
        row_id += 1
        values = _fact_values(work, row_id, part, claim)
        if part.fact.is_open and execute(embedded_write.STANDS, values[3:6]).fetchone():
            continue
        execute(embedded_write.ADD_FACT, values)
        for source, seq, ordinal in part.evidence:
            place = work.sources[source.kind, source.ref]
            words = (work.ns, *evidence_words(*claim.keys, source.text))
            row = embedded_write.evidence_row(row_id, seq, ordinal, place, source, claim.triple, words)
            execute(embedded_write.ADD_EVIDENCE, row)
        work.use = added(work.use, ((each.kind, size(part.fact.triple, each.text)) for each in part.fact.sources))


def _fact_values(work: Application, row_id: int, part: Kept, claim: Claim) -> tuple[Any, ...]:
    fact = part.fact
    return (
        row_id,
        bytes.fromhex(fact.id),
        work.ns,
        work.names[claim.subject_key][0],
        work.relations[claim.relation_key],
        work.names[claim.object_key][0],
        fact.seq,
        fact.ordinal,
        precedence(fact.kind, fact.seq, fact.ordinal),
        int(fact.is_open),
        fact.kind,
        fact.principal,
        fact.confidence,
        fact.valid_from,
        fact.valid_to,
        fact.recorded_at,
        fact.closed_at,
        part.closed_seq,
        bytes.fromhex(fact.closed_by) if fact.closed_by else None,
        fact.closed_why,
        work.sources[part.closed_source] if part.closed_source is not None else None,
        None if fact.is_open else part.ended,
        fact.said_at,
    )


def _put_operations(connection: sqlite3.Connection, ns: int, operations: Sequence[Operation]) -> None:
    connection.executemany(
        embedded_write.ADD_OPERATION.replace("INSERT", "INSERT OR IGNORE", 1),
        [
            (
                ns,
                each.receipt.op_id,
                each.payload_hash,
                each.receipt.seq,
                each.receipt.recorded_at,
                pack_receipt(each.receipt),
            )
            for each in operations
        ],
    )


def _put_quarantine(work: Application, pieces: Sequence[Quarantined]) -> None:
    """Put back the pieces that are not there yet; equal ones are counted."""
    if not pieces:
        return
    rows = [
        (p.text, p.reason, p.source.kind, p.source.ref, p.source.principal, p.source.turn, p.recorded_at)
        for p in pieces
    ]
    held = Counter(work.connection.execute(_QUARANTINE, (work.ns,)))
    for row in rows:
        if held[row] > 0:
            held[row] -= 1
        else:
            work.connection.execute(embedded_write.ADD_QUARANTINE, (work.ns, row[6], *row[:6]))
            work.use = added(work.use, [(row[2], len(row[0]))])


def _advance(connection: sqlite3.Connection, ns: int, parts: Sequence[Part]) -> None:
    facts = [part.fact for part in parts if isinstance(part, Kept)]
    heads = [part for part in parts if isinstance(part, Head)]
    seqs = [fact.seq for fact in facts] + [head.seq for head in heads]
    times = [fact.closed_at or fact.recorded_at for fact in facts] + [head.last_at for head in heads]
    if seqs:
        connection.execute(
            "UPDATE namespace SET seq = max(seq, ?), last_at = max(last_at, ?), epoch = epoch + 1 WHERE id = ?",
            (max(seqs), max(times), ns),
        )
    for head in heads:
        if head.restarts:  # earlier times do not bound what comes next
            row = (json.dumps(head.restarts, separators=(",", ":")), head.last_at, ns)
            connection.execute("UPDATE namespace SET restarts = ?, last_at = ? WHERE id = ? AND restarts = '[]'", row)
