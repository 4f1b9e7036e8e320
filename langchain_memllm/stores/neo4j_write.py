"""Writing to Neo4j: what a plan changes, as the parameters of two statements in one transaction.

The first statement takes the namespace's lock and loads what the plan looks at; everything after it happens under
that lock, so numbers can be handed out here and nothing can change between loading and applying. Erasing is in
``stores.neo4j_erase``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from langchain_memllm.belief import (
    MAX_SLOT,
    Batch,
    Claim,
    Current,
    Former,
    Plan,
    Promote,
    Quarantined,
    Standing,
    best_evidence,
    precedence,
)
from langchain_memllm.errors import (
    ConfigurationError,
    EmbeddingError,
    OperationConflict,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from langchain_memllm.factindex import evidence_words
from langchain_memllm.nameindex import encode
from langchain_memllm.quotas import UNTRUSTED, after, size, without
from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import Bolt, token
from langchain_memllm.stores.interface import (
    OPERATION_DAYS,
    Embed,
    Pending,
    Planner,
    Vector,
    Written,
    pack_receipt,
    unpack_receipt,
)
from langchain_memllm.stores.neo4j_ids import FALLBACK_TYPE, Ids, ids_of, view_type
from langchain_memllm.stores.neo4j_use import use_of
from langchain_memllm.stores.outbox import OutboxChanged
from langchain_memllm.stores.parts import Name
from langchain_memllm.times import following
from langchain_memllm.triples import Namespace, Receipt, Source, is_literal_key, loose_key, rank_of

if TYPE_CHECKING:
    import neo4j

__all__ = [
    "FALLBACK_TYPE",
    "Application",
    "Ids",
    "fill",
    "ids_of",
    "link",
    "locked",
    "restarted",
    "touch",
    "transact",
    "view_type",
]

_EVERY: Final = 1 << 40
_MAX_TAKEN: Final = 3
_FILL: Final = 500  # vectors set in one transaction


def transact(bolt: Bolt, namespace: Namespace, batch: Batch, plan: Planner, embed: Embed | None) -> Written:
    """Apply one operation; see ``TripleStore.transact``."""
    ids = ids_of(namespace)
    attempts: list[Written] = []
    taken = 0  # times that ids of new facts were those of facts in other namespaces

    def work(transaction: neo4j.ManagedTransaction) -> Written:
        loaded = _load(transaction, ids, batch)
        if loaded["receipt"] is not None:
            return _replay(loaded, namespace, batch, attempts)
        if batch.outbox_version is not None:
            _take_outbox(transaction, ids, batch.op_id, batch.outbox_version)
        seq = loaded["seq"] + 1
        moment, again = following(batch.recorded_at, loaded["last_at"])
        application = Application(ids, loaded, seq, moment)
        if again:
            application.restarts = restarted(loaded["restarts"], seq, moment)
        result = plan(replace(application.current(batch), attempt=taken))
        application.use = after(application.use, result, moment)
        application.take(result)
        application.keep_operation(batch, result)
        if embed is not None and application.pending:
            application.embed(bolt, embed)
        application.run(transaction)
        ahead = loaded["last_at"] if again else ""
        attempts.append(Written(result.receipt, pending=tuple(application.pending), ahead=ahead))
        return attempts[-1]

    while True:
        try:
            return bolt.write(work)
        except StoreCorrupt:
            taken += 1
            if taken > _MAX_TAKEN or not batch.claims:
                raise


def _take_outbox(transaction: neo4j.ManagedTransaction, ids: Ids, op_id: str, version: int) -> None:
    """Remove the entry that the operation is made from.

    Raises:
        OutboxChanged: It is gone, or not that version any more.
    """
    taken = transaction.run(cypher.TAKE_OUTBOX, id=ids.outbox(op_id), version=version).single(strict=True)
    if not taken["gone"]:
        raise OutboxChanged(op_id)


def _replay(loaded: neo4j.Record, namespace: Namespace, batch: Batch, attempts: Sequence[Written]) -> Written:
    """The receipt of an earlier delivery; of this very one if its commit arrived and only the answer was lost."""
    if loaded["payload_hash"] != batch.payload_hash:
        raise OperationConflict(
            f"operation {batch.op_id!r} was delivered before with other content; use a new op_id, or none"
        )
    receipt = unpack_receipt(namespace, batch.op_id, loaded["receipt"])
    own = next((attempt for attempt in attempts if attempt.receipt == receipt), None)
    return own or Written(receipt, replayed=True)


def _load(transaction: neo4j.ManagedTransaction, ids: Ids, batch: Batch) -> neo4j.Record:
    triples: set[str] = set()
    slots: set[tuple[str, str]] = set()
    for claim in batch.claims:
        triples.add(ids.triple((claim.subject_key, claim.relation_key, claim.object_key)))
        if claim.single_valued or batch.policy == "edit":
            slots.add((ids.name(claim.subject_key), ids.relation(claim.relation_key)))
    return locked(
        transaction,
        ids,
        operation=ids.operation(batch.op_id),
        names={key for claim in batch.claims for key in (claim.subject_key, claim.object_key)},
        relations={claim.relation_key for claim in batch.claims},
        triples=list(triples),
        slots=[list(slot) for slot in slots],
        most=_EVERY if batch.policy == "edit" else MAX_SLOT,
        replaces=ids.source(*batch.replaces) if batch.replaces else None,
        principal=batch.principal,
    )


def locked(
    transaction: neo4j.ManagedTransaction,
    ids: Ids,
    *,
    operation: str | None = None,
    names: Iterable[str] = (),
    relations: Iterable[str] = (),
    triples: Sequence[str] = (),
    slots: Sequence[Sequence[str]] = (),
    most: int = MAX_SLOT,
    replaces: str | None = None,
    principal: str | None = None,
) -> neo4j.Record:
    """Take the namespace's lock, creating it if needed, and load; ``names`` and ``relations`` are keys."""
    parameters = {
        "ns": ids.ns,
        "name": ids.label,
        "born": int(token(), 16) >> 16,
        "op": operation or token(),
        "names": [ids.name(key) for key in names],
        "relations": [ids.relation(key) for key in relations],
        "triples": list(triples),
        "slots": list(slots),
        "most": most,
        "replaces": replaces,
        "principal": principal,
    }
    loaded = transaction.run(cypher.LOAD, p=parameters).single(strict=True)
    if loaded["closing"]:
        raise StoreUnavailable(
            "this namespace is being forgotten; finish that with forget(everything=True), then write"
        )
    return loaded


def touch(bolt: Bolt, ids: Ids) -> None:
    """Let every client load anew what it holds: it may have seen a transaction before the indexes knew of it."""
    bolt.write_one(cypher.TOUCH, {"ns": ids.ns, "op": token()})


def restarted(restarts: str, seq: int, moment: str) -> str:
    """The restarts of a namespace's clock, as JSON, with one more."""
    return json.dumps([*json.loads(restarts), [seq, moment]], separators=(",", ":"))


class Application:
    """One operation being applied: the parameters of ``cypher.APPLY``, gathered from a plan."""

    def __init__(self, ids: Ids, loaded: neo4j.Record, seq: int, now: str) -> None:
        self.ids, self.loaded, self.seq, self.now = ids, loaded, seq, now
        self.names = {key: (name_id, rank, name) for key, name_id, rank, name in loaded["entities"]}
        self.relations = {key: (rid, kind, label) for key, rid, kind, label in loaded["relations"]}
        self.declared: str | None = loaded["declared"]
        self.name_count: int = loaded["name_count"]
        self.relation_count: int = loaded["relation_count"]
        self.codes: int = loaded["codes"]
        self.relation_vectors: int = loaded["relation_vectors"]
        self.pending: list[Pending] = []
        self.rows: dict[str, list[dict[str, Any]]] = {part: [] for part in _PARTS}
        self.new: dict[str, dict[str, Any]] = {}  # by fact id: {type, props, evidence}
        self.new_names: dict[str, dict[str, Any]] = {}  # by key
        self.new_relations: dict[str, dict[str, Any]] = {}
        self.spellings: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.expire: str | None = None
        self.restarts: str = loaded["restarts"]
        self.use = use_of(loaded)

    def current(self, batch: Batch) -> Current:
        """What the plan is worked out from."""
        keys = {self.ids.relation(claim.relation_key): claim.relation_key for claim in batch.claims}
        facts = [_standing(row, keys[row[2]]) for row in self.loaded["facts"]]
        facts.sort(key=lambda fact: (fact.seq, fact.fact_id))
        return Current(
            self.ids.namespace,
            self.seq,
            self.now,
            tuple(facts),
            {key: f"\x1d{alias}" for key, _, alias in self.loaded["aliases"]},
            tuple(_former(row) for row in self.loaded["replaced"]),
            use=self.use,
        )

    def take(self, plan: Plan) -> None:
        """Gather a plan's changes. A fact that the same plan inserts and closes is written once, as it ends."""
        self.add_parts([insert.claim for insert in plan.inserts] + [item.claim for item in plan.evidence])
        for insert in plan.inserts:
            row = self.insert(insert.fact_id, insert.claim, seq=self.seq, now=self.now)
            row["evidence"].append(self.stated(insert.claim))
            if insert.closed_why is not None:
                source = self.add_source(insert.claim.source)
                row["props"].update(self._closing(insert.closed_why, None, source, insert.ended))
        for item in plan.evidence:
            given = self.evidence(item.claim.source, item.claim, self.seq, item.claim.index, item.keys)
            if item.fact_id in self.new:
                self.new[item.fact_id]["evidence"].append(given)
            else:
                self.rows["evidence"].append({"fact": item.fact_id, **given})
        for gone in plan.withdrawals:
            rest = {"kind": gone.kind, "principal": gone.principal, "said_at": gone.said_at}
            taken = {
                "id": gone.fact_id,
                "without": self.add_source(gone.source),
                "of": gone.source.principal,
                "rank": rank_of(gone.kind),
            }
            self.rows["promotes"].append({**taken, **rest})
        for promote in plan.promotes:
            self._promote(promote)
        for close in plan.closes:
            props = self._closing(close.why, close.by, self.add_source(close.source), close.ended)
            if close.fact_id in self.new:
                self.new[close.fact_id]["props"].update(props)
            else:
                self.rows["closes"].append({"id": close.fact_id, "props": props})

    def _promote(self, promote: Promote) -> None:
        better = {"kind": promote.kind, "principal": promote.principal, "said_at": promote.said_at}
        if promote.fact_id in self.new:
            props = self.new[promote.fact_id]["props"]
            props.update(better, precedence=precedence(promote.kind, props["seq"], props["ordinal"]))
        else:
            self.rows["promotes"].append({"id": promote.fact_id, "rank": rank_of(promote.kind), **better})

    def _closing(self, why: str, by: str | None, source: str, ended: str | None) -> dict[str, Any]:
        return {
            "closed_at": self.now,
            "closed_seq": self.seq,
            "closed_by": by,
            "closed_why": why,
            "closed_source": source,
            "ended": ended,
        }

    def insert(self, fact_id: str, claim: Claim, *, seq: int, now: str) -> dict[str, Any]:
        """A new open fact, without evidence yet; its names and relation must be there."""
        rid, kind, label = self.relations[claim.relation_key]
        sid, oid = self.names[claim.subject_key][0], self.names[claim.object_key][0]
        props = {
            "id": fact_id,
            "sid": sid,
            "rid": rid,
            "oid": oid,
            "relation": label,
            "seq": seq,
            "ordinal": claim.index,
            "precedence": precedence(claim.source.kind, seq, claim.index),
            "kind": claim.source.kind,
            "principal": claim.source.principal,
            "confidence": claim.confidence,
            "valid_from": claim.valid_from,
            "valid_to": claim.valid_to,
            "recorded_at": now,
            "said_at": claim.source.at,
        }
        self.new[fact_id] = {"type": kind, "props": props, "evidence": []}
        return self.new[fact_id]

    def stated(self, claim: Claim) -> dict[str, Any]:
        """What the source of a claim gives to its fact."""
        return self.evidence(claim.source, claim, self.seq, claim.index, claim.keys)

    def evidence(
        self, source: Source, claim: Claim, seq: int, ordinal: int, keys: tuple[str, str, str]
    ) -> dict[str, Any]:
        """What a source gives to the fact of a claim, whose keys are ``keys``."""
        start, end = source.span or (None, None)
        words, said = evidence_words(*keys, source.text)
        props = {
            "seq": seq,
            "ordinal": ordinal,
            "principal": source.principal,
            "text": source.text,
            "span_start": start,
            "span_end": end,
            "turn": source.turn,
            "said_at": source.at,
            "size": size(claim.triple, source.text),
            "words": words,
            "said": said,
        }
        return {"source": self.add_source(source), "props": props}

    def add_parts(self, claims: Sequence[Claim]) -> None:
        """Make sure that the names and relations of claims exist."""
        for claim in claims:
            rank = claim.source.rank
            self._say(claim.subject_key, claim.triple.subject, rank)
            self._say(claim.object_key, claim.triple.object, rank)
        for claim in claims:
            if claim.relation_key not in self.relations:
                self._add_relation(claim.relation_key, claim.triple.relation)

    def add_named(self, names: Sequence[Name]) -> None:
        """Make sure that names and relations of a dump exist, in its order."""
        for name in names:
            if name.kind == "relation":
                if name.key not in self.relations:
                    self._add_relation(name.key, name.spelling)
            else:
                self._say(name.key, name.spelling, name.rank)

    def _say(self, key: str, spelling: str, rank: int) -> None:
        """A name as a source of that rank spells it."""
        known = self.names.get(key)
        if known is None:
            self.add_name(key, spelling, rank)
        elif rank >= known[1] and spelling != known[2]:
            self.names[key] = (known[0], rank, spelling)
            self.spellings[known[0]] = {"id": known[0], "name": spelling, "rank": rank}

    def add_name(self, key: str, spelling: str, rank: int) -> None:
        """A name not seen before in this namespace; literals get no vector."""
        self.name_count += 1
        name_id, literal = self.ids.name(key), is_literal_key(key)
        self.names[key] = (name_id, rank, spelling)
        row = {"id": name_id, "n": self.name_count, "key": key, "name": spelling, "rank": rank}
        if not literal:
            row |= {"loose": loose_key(key), "pending": self.name_count}
            self.pending.append(Pending("name", key, spelling))
        self.new_names[key] = row

    def _add_relation(self, key: str, label: str) -> None:
        self.relation_count += 1
        rid, kind = self.ids.relation(key), view_type(label, self.declared)
        self.relations[key] = (rid, kind, label)
        row = {"id": rid, "n": self.relation_count, "key": key, "label": label, "type": kind, "pending": True}
        self.new_relations[key] = row
        self.pending.append(Pending("relation", key, label))

    def embed(self, bolt: Bolt, embed: Embed) -> None:
        """Give the names and relations that are new their vectors at once."""
        vectors = embed(self.pending)
        named = [v for item, v in zip(self.pending, vectors, strict=True) if item.kind == "name" and v is not None]
        codes = iter(encode(np.stack(named).astype(np.float32, copy=False)) if named else ())
        for item, vector in zip(self.pending, vectors, strict=True):
            row = (self.new_names if item.kind == "name" else self.new_relations)[item.key]
            row |= {"pending": None, "embedding": _parameter(bolt, vector)}
            if item.kind == "relation":
                self.relation_vectors += 1
            elif vector is not None:
                self.codes += 1
                row |= {"code": next(codes).tobytes(), "coded": self.codes}
        self.pending = []

    def add_source(self, source: Source) -> str:
        """Id of a source, which is created if it is new."""
        source_id = self.ids.source(source.kind, source.ref)
        self.sources[source_id] = {"id": source_id, "ns": self.ids.ns, "kind": source.kind, "ref": source.ref}
        return source_id

    def keep_operation(self, batch: Batch, plan: Plan) -> None:
        """Store the operation with its receipt and what could not be used; now and then drop operations too old."""
        self.add_operation(batch.payload_hash, plan.receipt)
        for ordinal, item in enumerate(plan.quarantine):
            self.add_quarantined(replace(item, recorded_at=self.now), ordinal)
        if self.seq % 256 == 0:
            self.expire = (datetime.now(UTC) - timedelta(days=OPERATION_DAYS)).isoformat(timespec="microseconds")

    def add_operation(self, payload_hash: str, receipt: Receipt) -> None:
        """An operation with its receipt."""
        operation = {
            "id": self.ids.operation(receipt.op_id),
            "ns": self.ids.ns,
            "op_id": receipt.op_id,
            "payload_hash": payload_hash,
            "seq": receipt.seq,
            "recorded_at": receipt.recorded_at,
            "receipt": pack_receipt(receipt),
        }
        self.rows["operations"].append(operation)

    def add_quarantined(self, item: Quarantined, ordinal: int) -> None:
        """A piece that could not be used."""
        piece = {
            "ns": self.ids.ns,
            "seq": self.seq,
            "ordinal": ordinal,
            "recorded_at": item.recorded_at,
            "text": item.text,
            "reason": item.reason,
            "kind": item.source.kind,
            "ref": item.source.ref,
            "principal": item.source.principal,
            "turn": item.source.turn,
        }
        self.rows["quarantine"].append(piece)

    def run(self, transaction: neo4j.ManagedTransaction) -> None:
        """Apply, and check that every part found what it rests on.

        Raises:
            StoreError: A fact or name was not there; the transaction is rolled back.
        """
        if gone := [row for row in self.rows["promotes"] if "without" in row]:
            taken = transaction.run(cypher.WITHDRAWN, gone=gone, untrusted=sorted(UNTRUSTED)).single(strict=True)
            self.use = without(self.use, *taken.values())
        changes = len(self.new) + sum(len(self.rows[part]) for part in ("promotes", "evidence", "closes"))
        expected = changes + sum(len(row["evidence"]) for row in self.new.values())
        head = {
            "seq": self.seq,
            "last_at": self.now,
            "names": self.name_count,
            "relations": self.relation_count,
            "codes": self.codes,
            "relation_vectors": self.relation_vectors,
            "restarts": self.restarts,
            **self.use._asdict(),
        }
        parameters = {
            **self.rows,
            "ns": self.ids.ns,
            "head": head,
            "names": [_listed(row, _NAME) for row in self.new_names.values()],
            "new_relations": [_listed(row, _RELATION) for row in self.new_relations.values()],
            "spellings": list(self.spellings.values()),
            "sources": list(self.sources.values()),
            "evidence": [[row["fact"], _evidence(row)] for row in self.rows["evidence"]],
            "facts": [_fact(row, ()) for row in self.new.values() if row["props"].get("closed_why") is None],
            "pasts": [
                _fact(row, cypher.CLOSING_COLUMNS)
                for row in self.new.values()
                if row["props"].get("closed_why") is not None
            ],
            "expire": self.expire,
        }
        done = transaction.run(cypher.APPLY, p=parameters).single(strict=True)["done"]
        if done != expected:
            raise StoreError(
                f"{expected - done} of {expected} changes found nothing to rest on; nothing was written. "
                "The graph was changed by something else: run memllm doctor"
            )


_PARTS: Final = (
    "operations",
    "promotes",
    "evidence",
    "closes",
    "quarantine",
)


_NAME: Final = (*cypher.NAME_COLUMNS, "embedding")
_RELATION: Final = (*cypher.RELATION_COLUMNS, "embedding")


def _listed(row: dict[str, Any], columns: Sequence[str]) -> list[Any]:
    return [row.get(column) for column in columns]


def _fact(row: dict[str, Any], closing: Sequence[str]) -> list[Any]:
    values = _listed(row["props"], (*cypher.FACT_COLUMNS, *closing))
    return [*values, row["type"], [_evidence(each) for each in row["evidence"]]]


def _evidence(row: dict[str, Any]) -> list[Any]:
    return [row["source"], *_listed(row["props"], cypher.EVIDENCE_COLUMNS)]


def _standing(row: Sequence[Any], relation_key: str) -> Standing:
    fact_id, subject_key, _, object_key, *rest = row
    return Standing(fact_id, subject_key, relation_key, object_key, *rest)


def _former(row: Sequence[Any]) -> Former:
    *fact, beside = row
    return Former(_standing(fact, row[2]), best_evidence(beside) if beside else None)


def fill(
    bolt: Bolt, namespace: Namespace, items: Sequence[Pending], vectors: Sequence[Vector | None], *, within: float
) -> None:
    """See ``TripleStore.fill``. A name that was forgotten or filled meanwhile is left alone."""
    pairs = list(zip(items, vectors, strict=True))
    for start in range(0, len(pairs), _FILL):
        _fill_some(bolt, ids_of(namespace), pairs[start : start + _FILL], within)


def _fill_some(bolt: Bolt, ids: Ids, pairs: Sequence[tuple[Pending, Vector | None]], within: float) -> None:
    names = [(ids.name(item.key), vector) for item, vector in pairs if item.kind == "name"]
    relations = [(ids.relation(item.key), vector) for item, vector in pairs if item.kind == "relation"]
    known = [vector for _, vector in names if vector is not None]
    codes = iter(encode(np.stack(known).astype(np.float32, copy=False)) if known else ())
    bolt.write_one(
        cypher.FILL,
        {
            "ns": ids.ns,
            "op": token(),
            "names": [
                {
                    "id": name_id,
                    "i": i,
                    "embedding": _parameter(bolt, vector),
                    "code": None if vector is None else next(codes).tobytes(),
                }
                for i, (name_id, vector) in enumerate(names, 1)
            ],
            "relations": [{"id": rid, "embedding": _parameter(bolt, vector)} for rid, vector in relations],
        },
        within=within,
    )


def _parameter(bolt: Bolt, vector: Vector | None) -> Any:
    """The vector as the driver sends it; one that has no direction would make the server refuse every later search.

    Raises:
        EmbeddingError: Not one row of finite numbers, or all of them zero.
    """
    if vector is None:
        return None
    numbers = np.asarray(vector, np.float32)
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or not numbers.any():
        raise EmbeddingError(f"a vector of shape {numbers.shape} is zero or not finite; mend the embedder")
    return bolt.vector(numbers)


def link(bolt: Bolt, namespace: Namespace, name: tuple[str, str], alias: tuple[str, str], limit: int) -> None:
    """See ``TripleStore.link``."""
    ids = ids_of(namespace)

    def work(transaction: neo4j.ManagedTransaction) -> None:
        loaded = locked(transaction, ids, names=(name[0], alias[0]))
        application = Application(ids, loaded, loaded["seq"], loaded["last_at"])
        for key, spelling in (name, alias):
            if key not in application.names:
                application.add_name(key, spelling, 0)
        application.run(transaction)
        both = [ids.name(name[0]), ids.name(alias[0])]
        members = {row["id"]: row["number"] for row in transaction.run(cypher.CLASS_NUMBERS, names=both)}
        if len(members) > limit:
            raise ConfigurationError(
                f"{name[1]!r} and {alias[1]!r} would make {len(members)} names one; at most {limit} may be aliases"
            )
        transaction.run(cypher.SET_ALIAS, names=list(members), alias=min(members.values())).consume()

    bolt.write(work)
