"""Writing in the embedded store: the SQL that applies a plan. Erasing is in ``stores.embedded_erase``.

Every function runs inside a transaction that its caller holds under the write lock, so ids can be handed out here and
nothing can change between loading and applying.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from langchain_memllm.belief import (
    MAX_SLOT,
    Batch,
    Claim,
    Close,
    Current,
    Former,
    Insert,
    Plan,
    Standing,
    Use,
    best_evidence,
    precedence,
)
from langchain_memllm.errors import ConfigurationError, OperationConflict
from langchain_memllm.factindex import evidence_words
from langchain_memllm.nameindex import encode
from langchain_memllm.quotas import after, size, without
from langchain_memllm.stores import embedded_outbox
from langchain_memllm.stores.embedded_use import USE_COLUMNS, WEIGHT
from langchain_memllm.stores.interface import (
    OPERATION_DAYS,
    Pending,
    Planner,
    Vector,
    Written,
    pack_receipt,
    unpack_receipt,
)
from langchain_memllm.stores.parts import Name
from langchain_memllm.stores.rows import use_of
from langchain_memllm.times import following, next_moment
from langchain_memllm.triples import Namespace, Source, Triple, is_literal_key, loose_key, rank_of

__all__ = [
    "ADD_EVIDENCE",
    "ADD_FACT",
    "ADD_OPERATION",
    "ADD_QUARANTINE",
    "HEAD",
    "OPERATION",
    "PROMOTE",
    "STANDS",
    "Application",
    "chunks",
    "evidence_row",
    "fill",
    "link",
    "marks",
    "namespace_head",
    "outbox_head",
    "pending",
    "transact",
]

OPERATION: Final = """SELECT p.payload_hash, p.receipt FROM namespace x JOIN operation p ON p.ns = x.id
    WHERE x.name = ? AND p.op_id = ?"""

HEAD: Final = f"SELECT id, seq, last_at, {USE_COLUMNS} FROM namespace WHERE name = ?"
_RESTART: Final = "UPDATE namespace SET restarts = json_insert(restarts, '$[#]', json_array(?, ?)) WHERE id = ?"
_CREATE: Final = f"INSERT INTO namespace(name) VALUES (?) RETURNING id, seq, last_at, {USE_COLUMNS}"
_ADVANCE: Final = f"UPDATE namespace SET (seq, last_at, {USE_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE id = ?"
# Open facts of a slot, the best first; of a slot that may hold many values only the one with the same object matters.
_SLOT: Final = """SELECT f.id, f.fid, s.key, o.key, f.kind, f.principal, f.seq, f.recorded_at, f.valid_from,
        f.valid_to, f.said_at
    FROM fact f INDEXED BY fact_open_s CROSS JOIN name s ON s.id = f.s CROSS JOIN name o ON o.id = f.o
    WHERE f.s = ? AND f.r = ? AND f.open = 1 ORDER BY f.precedence DESC LIMIT ?"""
_SAME: Final = """SELECT f.id, f.fid, s.key, o.key, f.kind, f.principal, f.seq, f.recorded_at, f.valid_from,
        f.valid_to, f.said_at
    FROM fact f INDEXED BY fact_triple CROSS JOIN name s ON s.id = f.s CROSS JOIN name o ON o.id = f.o
    WHERE f.s = ? AND f.r = ? AND f.o = ? AND f.open = 1"""
# Open facts that one source supports: what a new version of it may retire or weaken; and what else supports a fact.
_SUPPORTED: Final = """SELECT DISTINCT f.id, f.fid, s.key, o.key, f.kind, f.principal, f.seq, f.recorded_at,
        f.valid_from, f.valid_to, f.said_at, r.key, q.id
    FROM source q CROSS JOIN evidence e INDEXED BY evidence_source ON e.source = q.id
    CROSS JOIN fact f ON f.id = e.fact AND f.open = 1 CROSS JOIN relation r ON r.id = f.r
    CROSS JOIN name s ON s.id = f.s CROSS JOIN name o ON o.id = f.o
    WHERE q.ns = ? AND q.kind = ? AND q.ref = ? AND e.principal IS ? ORDER BY f.seq, f.ordinal"""
_BESIDE: Final = """SELECT q.kind, e.principal, e.seq, e.ordinal, e.said_at FROM evidence e
    CROSS JOIN source q ON q.id = e.source WHERE e.fact = ? AND NOT (e.source = ? AND e.principal IS ?)"""
_WITHDRAWN: Final = f"""SELECT {WEIGHT} FROM evidence e CROSS JOIN source q ON q.id = e.source
    WHERE e.fact = (SELECT id FROM fact WHERE fid = ?) AND q.ns = ? AND q.kind = ? AND q.ref = ? AND e.principal IS ?"""
_WITHDRAW: Final = """DELETE FROM evidence WHERE fact = (SELECT id FROM fact WHERE fid = ?)
    AND source = (SELECT id FROM source WHERE ns = ? AND kind = ? AND ref = ?) AND principal IS ?"""
_CLASS: Final = "SELECT id, key FROM name INDEXED BY name_class WHERE class = ? ORDER BY id"
_ADD_NAME: Final = "INSERT INTO name(id, ns, key, loose, spelling, rank, vector) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SPELL: Final = "UPDATE name SET spelling = ?, rank = ? WHERE id = ? AND rank <= ?"
_ADD_RELATION: Final = "INSERT INTO relation(id, ns, key, label) VALUES (?, ?, ?, ?)"
ADD_FACT: Final = """INSERT INTO fact(id, fid, ns, s, r, o, seq, ordinal, precedence, open, kind, principal,
    confidence, valid_from, valid_to, recorded_at, closed_at, closed_seq, closed_by, closed_why, closed_source,
    ended, said_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ADD_EVIDENCE: Final = """INSERT INTO evidence(fact, seq, ordinal, source, principal, text, span_start, span_end, turn,
    said_at, size, ns, words, said) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_CLOSE: Final = """UPDATE fact SET open = 0, closed_at = ?, closed_seq = ?, closed_by = ?, closed_why = ?,
    closed_source = ?, ended = ? WHERE fid = ?"""
PROMOTE: Final = """UPDATE fact SET kind = ?, principal = ?, precedence = (precedence & ((1 << 56) - 1)) | (? << 56),
    said_at = ? WHERE fid = ?"""
STANDS: Final = "SELECT 1 FROM fact INDEXED BY fact_triple WHERE s = ? AND r = ? AND o = ? AND open = 1"
ADD_OPERATION: Final = "INSERT INTO operation(ns, op_id, payload_hash, seq, at, receipt) VALUES (?, ?, ?, ?, ?, ?)"
ADD_QUARANTINE: Final = """INSERT INTO quarantine(ns, at, text, reason, kind, ref, principal, turn)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_EXPIRE: Final = "DELETE FROM operation WHERE ns = ? AND seq < ? AND at < ?"
_CHUNK: Final = 500
_EVERY: Final = -1
_PENDING, _STORED, _NONE, _LITERAL = 0, 1, 2, 3


def transact(connection: sqlite3.Connection, namespace: Namespace, label: str, batch: Batch, plan: Planner) -> Written:
    """Apply one operation; see ``TripleStore.transact``. ``label`` is the encoded namespace."""
    earlier = connection.execute(OPERATION, (label, batch.op_id)).fetchone()
    if earlier is not None:
        if earlier[0] != batch.payload_hash:
            raise OperationConflict(
                f"operation {batch.op_id!r} was delivered before with other content; use a new op_id, or none"
            )
        return Written(unpack_receipt(namespace, batch.op_id, earlier[1]), replayed=True)
    ns, last, last_at, use = namespace_head(connection, label)
    if batch.outbox_version is not None:
        embedded_outbox.take(connection, ns, batch.op_id, batch.outbox_version)
    seq = last + 1
    now, again = following(batch.recorded_at, last_at)
    if again:
        connection.execute(_RESTART, (seq, now, ns))
    work = Application(connection, ns, seq, now, use)
    current = work.load(namespace, batch)
    result = plan(current)
    while work.are_taken([insert.fact_id for insert in result.inserts]):
        current = replace(current, attempt=current.attempt + 1)
        result = plan(current)
    work.use = after(work.use, result, now)
    work.apply(result)
    connection.execute(ADD_OPERATION, (ns, batch.op_id, batch.payload_hash, seq, now, pack_receipt(result.receipt)))
    work.keep_quarantine(result)
    connection.execute(_ADVANCE, (seq, now, *work.use, ns))
    if seq % 256 == 0:
        oldest = datetime.now(UTC) - timedelta(days=OPERATION_DAYS)
        connection.execute(_EXPIRE, (ns, seq, oldest.isoformat(timespec="microseconds")))
    return Written(result.receipt, pending=tuple(work.pending), ahead=last_at if again else "")


class Application:
    """One operation being applied: the ids of its names, relations and sources."""

    def __init__(self, connection: sqlite3.Connection, ns: int, seq: int, now: str, use: Use) -> None:
        self.connection, self.ns, self.seq, self.now = connection, ns, seq, now
        self.names: dict[str, tuple[int, int, str]] = {}  # key -> id, rank of the spelling, spelling
        self.relations: dict[str, int] = {}
        self.sources: dict[tuple[str, str], int] = {}
        self.pending: list[Pending] = []
        self.use = use

    def load(self, namespace: Namespace, batch: Batch) -> Current:
        """Read what the plan needs: ids, alias classes and the open facts of the touched slots."""
        classes, members = self.load_names(batch.claims)
        facts = self._load_slots(batch, members)
        replaced = self._load_replaced(batch.replaces, batch.principal)
        return Current(namespace, self.seq, self.now, facts, classes, replaced, use=self.use)

    def are_taken(self, fact_ids: Sequence[str]) -> bool:
        """Whether one of these ids is a fact's already, of whatever namespace."""
        return any(
            self.connection.execute(
                f"SELECT 1 FROM fact WHERE fid IN ({marks(chunk)})", list(map(bytes.fromhex, chunk))
            ).fetchone()
            for chunk in chunks(fact_ids)
        )

    def _load_replaced(self, source: tuple[str, str] | None, principal: str | None) -> tuple[Former, ...]:
        if source is None:
            return ()
        found = []
        for row in self.connection.execute(_SUPPORTED, (self.ns, *source, principal)).fetchall():
            beside = self.connection.execute(_BESIDE, (row[0], row[12], principal)).fetchall()
            found.append(Former(_standing(row, row[11]), best_evidence(beside) if beside else None))
        return tuple(found)

    def load_names(self, claims: Sequence[Claim]) -> tuple[dict[str, str], dict[str, list[int]]]:
        """Look up the claims' names and relations; returns alias classes by key, and a class's ids by member key."""
        self._load_relations({claim.relation_key for claim in claims})
        grouped = self._load_ids(list({key for claim in claims for key in (claim.subject_key, claim.object_key)}))
        members = {key: [known[0]] for key, known in self.names.items()}
        classes: dict[str, str] = {}
        for key, group in grouped.items():
            alike = self.connection.execute(_CLASS, (group,)).fetchall()
            members[key] = [row[0] for row in alike]
            classes.update({row[1]: f"\x1d{group}" for row in alike})
        return classes, members

    def _load_ids(self, keys: Sequence[str]) -> dict[str, int]:
        """Look names up; returns the classes of those that have one."""
        grouped: dict[str, int] = {}
        for chunk in chunks(keys):
            rows = self.connection.execute(
                f"SELECT key, id, rank, spelling, class FROM name WHERE ns = ? AND key IN ({marks(chunk)})",
                (self.ns, *chunk),
            )
            for key, name_id, rank, spelling, group in rows:
                self.names[key] = (name_id, rank, spelling)
                if group is not None:
                    grouped[key] = group
        return grouped

    def _load_relations(self, keys: Iterable[str]) -> None:
        for chunk in chunks(list(keys)):
            self.relations.update(
                self.connection.execute(
                    f"SELECT key, id FROM relation WHERE ns = ? AND key IN ({marks(chunk)})",
                    (self.ns, *chunk),
                ).fetchall()
            )

    def _load_slots(self, batch: Batch, members: dict[str, list[int]]) -> tuple[Standing, ...]:
        found: dict[int, Standing] = {}
        execute = self.connection.execute
        for claim in batch.claims:
            relation = self.relations.get(claim.relation_key)
            subjects = members.get(claim.subject_key)
            if relation is None or subjects is None:
                continue
            most = _EVERY if batch.policy == "edit" else MAX_SLOT if claim.single_valued else 0
            for subject in subjects:
                rows = execute(_SLOT, (subject, relation, most)).fetchall() if most else []
                for each in members.get(claim.object_key, ()):
                    rows += execute(_SAME, (subject, relation, each))
                for row in rows:
                    found[row[0]] = _standing(row, claim.relation_key)
        return tuple(sorted(found.values(), key=lambda fact: (fact.seq, fact.fact_id)))

    def apply(self, plan: Plan) -> None:
        """Write what the plan says. What was open before is closed first: the same triple may be stored anew."""
        claims = [insert.claim for insert in plan.inserts] + [item.claim for item in plan.evidence]
        self.add_parts(claims, [claim.source for claim in claims] + [close.source for close in plan.closes])
        self.connection.executemany(_CLOSE, [self._close_row(close) for close in plan.closes])
        facts = self._add_facts(plan)
        evidence = [
            self._evidence_row(facts[insert.fact_id], insert.claim, insert.claim.keys) for insert in plan.inserts
        ]
        for item in plan.evidence:
            fact = facts.get(item.fact_id) or self._fact_row(item.fact_id)
            evidence.append(self._evidence_row(fact, item.claim, item.keys))
        self.connection.executemany(ADD_EVIDENCE, evidence)
        for gone in plan.withdrawals:
            fid = bytes.fromhex(gone.fact_id)
            of_source = (fid, self.ns, gone.source.kind, gone.source.ref, gone.source.principal)
            self.use = without(self.use, *self.connection.execute(_WITHDRAWN, of_source).fetchone())
            self.connection.execute(_WITHDRAW, of_source)
            self.connection.execute(PROMOTE, (gone.kind, gone.principal, rank_of(gone.kind), gone.said_at, fid))
        for promote in plan.promotes:
            rank, fid = rank_of(promote.kind), bytes.fromhex(promote.fact_id)
            self.connection.execute(PROMOTE, (promote.kind, promote.principal, rank, promote.said_at, fid))

    def add_parts(self, claims: Sequence[Claim], sources: Sequence[Source]) -> None:
        """Make sure that names, relations and sources exist; afterwards their ids are known."""
        self._add_names(
            (key, spelling, claim.source.rank)
            for claim in claims
            for key, spelling in ((claim.subject_key, claim.triple.subject), (claim.object_key, claim.triple.object))
        )
        self._add_relations((claim.relation_key, claim.triple.relation) for claim in claims)
        self.add_sources(sources)

    def add_named(self, names: Sequence[Name]) -> None:
        """Make sure that names and relations of a dump exist, in its order."""
        self._load_relations({name.key for name in names if name.kind == "relation"})
        self._add_relations((name.key, name.spelling) for name in names if name.kind == "relation")
        others = [name for name in names if name.kind != "relation"]
        self._load_ids([name.key for name in others])
        self._add_names((name.key, name.spelling, name.rank) for name in others)

    def _add_names(self, names: Iterable[tuple[str, str, int]]) -> None:
        """Add those of the names (key, spelling, rank of its source) that are new; spell the others anew if due."""
        next_id = self._last_id("name")
        new: list[tuple[Any, ...]] = []
        spell: dict[str, tuple[Any, ...]] = {}
        for key, spelling, rank in names:
            known = self.names.get(key)
            if known is None:
                next_id += 1
                literal = is_literal_key(key)
                self.names[key] = (next_id, rank, spelling)
                loose = None if literal else loose_key(key)
                new.append((next_id, self.ns, key, loose, spelling, rank, _LITERAL if literal else _PENDING))
                if not literal:
                    self.pending.append(Pending("name", key, spelling))
            elif rank >= known[1] and spelling != known[2]:
                self.names[key] = (known[0], rank, spelling)
                spell[key] = (spelling, rank, known[0], rank)
        self.connection.executemany(_ADD_NAME, new)
        self.connection.executemany(_SPELL, list(spell.values()))

    def _add_relations(self, relations: Iterable[tuple[str, str]]) -> None:
        next_id = self._last_id("relation")
        new = []
        for key, label in relations:
            if key not in self.relations:
                next_id += 1
                self.relations[key] = next_id
                new.append((next_id, self.ns, key, label))
                self.pending.append(Pending("relation", key, label))
        self.connection.executemany(_ADD_RELATION, new)

    def add_sources(self, sources: Sequence[Source]) -> None:
        """Make sure that sources exist."""
        for source in sources:
            key = (source.kind, source.ref)
            if key in self.sources:
                continue
            row = (
                self.connection.execute(
                    "SELECT id FROM source WHERE ns = ? AND kind = ? AND ref = ?", (self.ns, *key)
                ).fetchone()
                or self.connection.execute(
                    "INSERT INTO source(ns, kind, ref) VALUES (?, ?, ?) RETURNING id", (self.ns, *key)
                ).fetchone()
            )
            self.sources[key] = row[0]

    def _add_facts(self, plan: Plan) -> dict[str, int]:
        """Insert the new facts; row ids by fact id."""
        next_id = self.connection.execute("SELECT coalesce(max(id), 0) FROM fact").fetchone()[0]
        ids: dict[str, int] = {}
        rows = []
        closes = {close.fact_id: close for close in plan.closes}
        for insert in plan.inserts:
            next_id += 1
            ids[insert.fact_id] = next_id
            rows.append(self._fact_values(next_id, insert, closes.get(insert.fact_id)))
        self.connection.executemany(ADD_FACT, rows)
        return ids

    def _fact_values(self, row_id: int, insert: Insert, close: Close | None) -> tuple[Any, ...]:
        """Columns of a new fact; ``close`` if the same plan closes it."""
        claim, why, ended, closer, by = insert.claim, insert.closed_why, insert.ended, insert.claim.source, None
        if close is not None:
            why, ended, closer, by = close.why, close.ended, close.source, close.by
        closed = why is not None
        source = claim.source
        return (
            row_id,
            bytes.fromhex(insert.fact_id),
            self.ns,
            self.names[claim.subject_key][0],
            self.relations[claim.relation_key],
            self.names[claim.object_key][0],
            self.seq,
            claim.index,
            precedence(source.kind, self.seq, claim.index),
            int(not closed),
            source.kind,
            source.principal,
            claim.confidence,
            claim.valid_from,
            claim.valid_to,
            self.now,
            self.now if closed else None,
            self.seq if closed else None,
            bytes.fromhex(by) if by else None,
            why,
            self.sources[closer.kind, closer.ref] if closed else None,
            ended,
            source.at,
        )

    def _evidence_row(self, fact: int, claim: Claim, keys: tuple[str, str, str]) -> tuple[Any, ...]:
        place = self.sources[claim.source.kind, claim.source.ref]
        words = evidence_words(*keys, claim.source.text)
        return evidence_row(fact, self.seq, claim.index, place, claim.source, claim.triple, (self.ns, *words))

    def _close_row(self, close: Close) -> tuple[Any, ...]:
        by = bytes.fromhex(close.by) if close.by else None
        source = self.sources[close.source.kind, close.source.ref]
        return (self.now, self.seq, by, close.why, source, close.ended, bytes.fromhex(close.fact_id))

    def _fact_row(self, fact_id: str) -> int:
        row = self.connection.execute("SELECT id FROM fact WHERE fid = ?", (bytes.fromhex(fact_id),)).fetchone()
        return int(row[0])

    def _last_id(self, table: str) -> int:
        row = self.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(row[0]) if row else 0

    def keep_quarantine(self, plan: Plan) -> None:
        """Store the pieces that could not be used."""
        self.connection.executemany(
            ADD_QUARANTINE,
            [
                (
                    self.ns,
                    self.now,
                    item.text,
                    item.reason,
                    item.source.kind,
                    item.source.ref,
                    item.source.principal,
                    item.source.turn,
                )
                for item in plan.quarantine
            ],
        )


def evidence_row(
    fact: int,
    seq: int,
    ordinal: int,
    place: int,
    source: Source,
    triple: Triple,
    words: tuple[int, bytes, bytes | None],
) -> tuple[int | str | bytes | None, ...]:
    """Columns of the evidence that a source gives to a fact; ``place`` is the source's id.

    ``words`` are the namespace, and what ``evidence_words`` makes of the keys of the fact.
    """
    start, end = source.span or (None, None)
    told = (source.principal, source.text, start, end, source.turn, source.at)
    return (fact, seq, ordinal, place, *told, size(triple, source.text), *words)


def outbox_head(connection: sqlite3.Connection, label: str, now: str) -> tuple[int, str]:
    """Id of a namespace, and when something is put into its outbox: later than all that was recorded before."""
    ns, last, last_at, _ = namespace_head(connection, label)
    if following(now, last_at)[1]:
        connection.execute(_RESTART, (last + 1, now, ns))
    return ns, next_moment(now, last_at)


def namespace_head(connection: sqlite3.Connection, label: str) -> tuple[int, int, str, Use]:
    """Id, seq and time of the last operation of a namespace, which is created if it is new, and how much it holds."""
    found = connection.execute(HEAD, (label,)).fetchone() or connection.execute(_CREATE, (label,)).fetchone()
    return int(found[0]), int(found[1]), str(found[2]), use_of(found[3:], "table namespace")


def _standing(row: tuple[Any, ...], relation_key: str) -> Standing:
    _, fid, subject_key, object_key, *rest = row[:11]
    return Standing(fid.hex(), subject_key, relation_key, object_key, *rest)


def chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """The items in parts of as many as one statement takes."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def marks(items: Sequence[Any]) -> str:
    """A question mark for each item, for a statement."""
    return ",".join("?" * len(items))


def pending(connection: sqlite3.Connection, label: str, limit: int) -> list[Pending]:
    """See ``TripleStore.pending``."""
    head = connection.execute(HEAD, (label,)).fetchone()
    if head is None:
        return []
    relations = connection.execute(
        "SELECT key, label FROM relation WHERE ns = ? AND vector = 0 ORDER BY id LIMIT ?", (head[0], limit)
    ).fetchall()
    names = connection.execute(
        "SELECT key, spelling FROM name INDEXED BY name_pending WHERE ns = ? AND vector = 0 ORDER BY id LIMIT ?",
        (head[0], limit - len(relations)),
    ).fetchall()
    return [Pending("relation", *row) for row in relations] + [Pending("name", *row) for row in names]


def fill(
    connection: sqlite3.Connection, label: str, items: Sequence[Pending], vectors: Sequence[Vector | None]
) -> None:
    """See ``TripleStore.fill``. A name that was forgotten or filled meanwhile is left alone."""
    head = connection.execute(HEAD, (label,)).fetchone()
    if head is None:
        return
    by_kind: dict[str, list[tuple[str, Vector | None]]] = {"name": [], "relation": []}
    for item, vector in zip(items, vectors, strict=True):
        by_kind[item.kind].append((item.key, vector))
    for key, vector in by_kind["relation"]:
        blob = None if vector is None else np.asarray(vector, np.float32).tobytes()
        connection.execute(
            "UPDATE relation SET vector = ?, embedding = ? WHERE ns = ? AND key = ? AND vector = 0",
            (_NONE if vector is None else _STORED, blob, head[0], key),
        )
    for chunk in chunks(by_kind["name"]):
        _fill_names(connection, head[0], dict(chunk))


def _fill_names(connection: sqlite3.Connection, ns: int, vectors: dict[str, Vector | None]) -> None:
    rows = connection.execute(
        f"SELECT id, key FROM name WHERE ns = ? AND vector = 0 AND key IN ({marks(list(vectors))})",
        (ns, *vectors),
    ).fetchall()
    known = [(name_id, vector) for name_id, key in rows if (vector := vectors[key]) is not None]
    connection.executemany(
        "UPDATE name SET vector = ? WHERE id = ?",
        [(_NONE if vectors[key] is None else _STORED, name_id) for name_id, key in rows],
    )
    if not known:
        return
    matrix = np.stack([vector for _, vector in known]).astype(np.float32, copy=False)
    codes = encode(matrix)
    connection.executemany(
        "INSERT INTO name_vector(id, vector) VALUES (?, ?)",
        [(name_id, row.tobytes()) for (name_id, _), row in zip(known, matrix, strict=True)],
    )
    connection.executemany(
        "INSERT INTO name_code(ns, id, code) VALUES (?, ?, ?)",
        [(ns, name_id, code.tobytes()) for (name_id, _), code in zip(known, codes, strict=True)],
    )


def link(connection: sqlite3.Connection, label: str, name: tuple[str, str], alias: tuple[str, str], limit: int) -> None:
    """See ``TripleStore.link``."""
    head = namespace_head(connection, label)
    members: set[int] = set()
    for key, spelling in (name, alias):
        row = connection.execute("SELECT id, class FROM name WHERE ns = ? AND key = ?", (head[0], key)).fetchone()
        if row is None:
            row = connection.execute(
                "INSERT INTO name(ns, key, loose, spelling, rank) VALUES (?, ?, ?, ?, 0) RETURNING id, class",
                (head[0], key, loose_key(key), spelling),
            ).fetchone()
        members.add(row[0])
        if row[1] is not None:
            members.update(m for (m,) in connection.execute("SELECT id FROM name WHERE class = ?", (row[1],)))
    if len(members) > limit:
        raise ConfigurationError(
            f"{name[1]!r} and {alias[1]!r} would make {len(members)} names one; at most {limit} may be aliases"
        )
    root = min(members)
    connection.executemany("UPDATE name SET class = ? WHERE id = ?", [(root, member) for member in members])
