"""A namespace held whole, as values: what a plan, an import or forgetting makes of it. No I/O, no lock.

``stores.plain`` is a store on top of it. Every step goes through all facts of the namespace, which suits thousands.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar, cast

from langchain_memllm.belief import (
    MAX_SLOT,
    Batch,
    Claim,
    Close,
    Current,
    Former,
    Insert,
    Plan,
    Quarantined,
    Standing,
    Use,
    best_evidence,
    precedence,
)
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.quotas import added, after, size
from langchain_memllm.stores.erasing import named_in, tells
from langchain_memllm.stores.interface import (
    OPERATION_DAYS,
    Erased,
    FactFilter,
    Selection,
    Stats,
    pack_receipt,
    redact_receipt,
    unpack_receipt,
)
from langchain_memllm.stores.outbox import OutboxChanged, OutboxEntry, change_of, excluding, renewed, stamped
from langchain_memllm.stores.parts import Aliases, Head, Kept, Name, Operation, Part
from langchain_memllm.times import following, next_moment, since
from langchain_memllm.triples import Fact, How, Kind, Namespace, Source, Triple, is_literal_key, loose_key, rank_of

__all__ = ["Contents"]

_MAX_ALIASES: Final = 32
_EXPIRY: Final = 256  # operations after which those are dropped that are not recognised any more
_T = TypeVar("_T")


@dataclass(slots=True)
class Contents:
    """Everything a namespace is made of but vectors.

    Facts spell their names as they were stated first; ``shown`` gives them the spelling in force.
    """

    names: dict[str, Name] = field(default_factory=dict)
    relations: dict[str, Name] = field(default_factory=dict)
    facts: dict[str, Kept] = field(default_factory=dict)
    classes: list[frozenset[str]] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    quarantine: list[Quarantined] = field(default_factory=list)
    waiting: dict[str, OutboxEntry] = field(default_factory=dict)
    restarts: tuple[tuple[int, str], ...] = ()
    seq: int = 0
    last_at: str = ""
    use: Use = field(default_factory=Use)

    def copy(self) -> Contents:
        """A copy that can be changed while others read this one."""
        return replace(
            self,
            names=dict(self.names),
            relations=dict(self.relations),
            facts=dict(self.facts),
            classes=list(self.classes),
            operations=dict(self.operations),
            quarantine=list(self.quarantine),
            waiting=dict(self.waiting),
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that a namespace is kept for."""
        return not (self.names or self.operations or self.quarantine or self.waiting)

    @property
    def packed_restarts(self) -> str:
        """``restarts`` as JSON."""
        return json.dumps(self.restarts)

    # -- reading ------------------------------------------------------------------------------------------------

    def members(self, keys: Iterable[str]) -> dict[str, tuple[How, str]]:
        """Keys of the names asked for, then of their aliases: how each was found, and its spelling."""
        exact = [key for key in dict.fromkeys(keys) if key in self.names]
        found: dict[str, tuple[How, str]] = {key: ("exact", self.names[key].spelling) for key in exact}
        for key in exact:
            for other in self._class(key):
                found.setdefault(other, ("alias", self.names[other].spelling))
        return found

    def _class(self, key: str) -> list[str]:
        group = next((group for group in self.classes if key in group), frozenset((key,)))
        return [name for name in self.names if name in group] if len(group) > 1 else [key]

    def shown(self, kept: Kept) -> Kept:
        """A fact with its names as they are spelled now."""
        subject, relation, object_ = kept.keys
        triple = (self.names[subject].spelling, self.relations[relation].spelling, self.names[object_].spelling)
        return replace(kept, fact=replace(kept.fact, triple=Triple.trusted(*triple)))

    def ordered(self) -> list[Kept]:
        """All facts in commit order."""
        return sorted(self.facts.values(), key=lambda kept: (kept.fact.seq, kept.fact.ordinal, kept.fact.id))

    def matching(self, where: FactFilter) -> Iterator[Fact]:
        """Facts in commit order for which every condition holds."""
        subjects = None if where.subject_keys is None else self.members(where.subject_keys)
        objects = None if where.object_keys is None else self.members(where.object_keys)
        relations = None if where.relation is None else {where.relation, *where.narrower}
        for kept in self.ordered():
            subject, relation, object_ = kept.keys
            if (
                kept.fact.seq > where.after_seq
                and (where.ids is None or kept.fact.id in where.ids)
                and (subjects is None or subject in subjects)
                and (objects is None or object_ in objects)
                and (relations is None or relation in relations)
                and (where.source is None or where.source in {(each.kind, each.ref) for each in kept.fact.sources})
                and (kept.fact.is_open or not where.open_only)
            ):
                yield self.shown(kept).fact

    def holds(self, kept: Kept, at: str | None, valid_at: str | None) -> bool:
        """Whether a fact answers: it is open, or was at a record time; or its stated interval holds a date."""
        fact, begins = kept.fact, since(self.restarts, at)
        if at is not None and fact.recorded_at > at and fact.seq >= begins:
            return False
        closed = fact.closed_at is not None and (
            at is None or fact.closed_at <= at or (kept.closed_seq is not None and kept.closed_seq < begins)
        )
        why = fact.closed_why if closed else None
        if valid_at is None:
            return why is None
        until = fact.valid_to or (kept.ended if why is not None else None)
        return (
            why in (None, "past", "superseded")
            and (fact.valid_from or "") <= valid_at + "~"
            and (until is None or until + "~" >= valid_at)
        )

    def sources(self) -> set[tuple[str, str]]:
        """Every source that states a fact or closed one."""
        found = {(each.kind, each.ref) for kept in self.facts.values() for each in kept.fact.sources}
        return found | {kept.closed_source for kept in self.facts.values() if kept.closed_source is not None}

    def stats(self) -> Stats:
        """Counts."""
        count = sum(kept.fact.is_open for kept in self.facts.values())
        return Stats(
            facts=count,
            past=len(self.facts) - count,
            names=len(self.names),
            relations=len(self.relations),
            sources=len(self.sources()),
            operations=len(self.operations),
            quarantined=len(self.quarantine),
            outbox=len(self.waiting),
            seq=self.seq,
            use=self.use,
        )

    def aliases(self) -> list[tuple[str, ...]]:
        """Spellings of every class, sorted."""
        return sorted(tuple(sorted(self.names[key].spelling for key in group)) for group in self.classes)

    def spellings(self, loose: str) -> list[str]:
        """Names with this loose key, or for which it is the key."""
        return [
            name.spelling
            for key, name in self.names.items()
            if key == loose or (not is_literal_key(key) and loose_key(key) == loose)
        ]

    # -- writing ------------------------------------------------------------------------------------------------

    def begin(self, now: str) -> str | None:
        """Count up to the next operation, recorded now or a little later; the time of the last one if it was ahead."""
        last, self.seq = self.last_at, self.seq + 1
        self.last_at, again = following(now, last)
        if not again:
            return None
        self.restarts += ((self.seq, self.last_at),)
        return last

    def current(self, namespace: Namespace, batch: Batch) -> Current:
        """What the plan of a batch needs."""
        keys = {key for claim in batch.claims for key in (claim.subject_key, claim.object_key)}
        classes = {
            member: f"\x1d{number}" for number, group in enumerate(self.classes) if group & keys for member in group
        }
        found = {kept.fact.id: _standing(kept) for claim in batch.claims for kept in self._slot(claim, batch.policy)}
        facts = tuple(sorted(found.values(), key=lambda each: (each.seq, each.fact_id)))
        replaced = tuple(self._former(*batch.replaces, batch.principal)) if batch.replaces is not None else ()
        return Current(namespace, self.seq, self.last_at, facts, classes, replaced, use=self.use)

    def _slot(self, claim: Claim, policy: str) -> Iterator[Kept]:
        """Open facts of a claim's slot, the best first, and always those with its very object."""
        subjects, objects = self._class(claim.subject_key), self._class(claim.object_key)
        for subject in subjects:
            slot = [
                kept
                for kept in self.facts.values()
                if kept.fact.is_open and kept.keys[:2] == (subject, claim.relation_key)
            ]
            slot.sort(key=lambda kept: -_precedence(kept.fact))
            most = len(slot) if policy == "edit" else MAX_SLOT if claim.single_valued else 0
            yield from slot[:most]
            yield from (kept for kept in slot[most:] if kept.keys[2] in objects)

    def _former(self, kind: str, ref: str, principal: str | None) -> Iterator[Former]:
        """Open facts that a source states for a principal, and the best of what else supports each."""
        for kept in self.ordered():
            beside = [each for each in kept.evidence if _of(each[0]) != (kind, ref, principal)]
            if kept.fact.is_open and len(beside) < len(kept.evidence):
                yield Former(_standing(kept), _best(beside) if beside else None)

    def apply(self, plan: Plan, payload_hash: str) -> None:
        """Make a plan's changes, in the order of its fields but closing first: the same triple may be stored anew."""
        closes = {close.fact_id: close for close in plan.closes}
        for fact_id in closes.keys() & self.facts.keys():
            self._close(closes[fact_id])
        for insert in plan.inserts:
            self._spell(insert.claim)
            self.facts[insert.fact_id] = self._stored(plan.receipt.namespace, insert)
            if insert.fact_id in closes:
                self._close(closes[insert.fact_id])
        for item in plan.evidence:
            self._spell(item.claim)
            kept = self.facts[item.fact_id]
            sources, places = (*kept.fact.sources, item.claim.source), (*kept.places, (self.seq, item.claim.index))
            self.facts[item.fact_id] = replace(kept, fact=replace(kept.fact, sources=sources), places=places)
        for gone in plan.withdrawals:
            self._without(gone.fact_id, partial(_is_same, gone.source))
            self._promote(gone.fact_id, gone.kind, gone.principal, gone.said_at)
        for promote in plan.promotes:
            self._promote(promote.fact_id, promote.kind, promote.principal, promote.said_at)
        self.quarantine += [
            replace(piece, source=replace(piece.source, text=None, span=None), recorded_at=self.last_at)
            for piece in plan.quarantine
        ]
        receipt = plan.receipt
        bare = unpack_receipt(receipt.namespace, receipt.op_id, pack_receipt(receipt))  # ids and outcomes, never text
        self.operations[receipt.op_id] = Operation(payload_hash, bare)
        self._expire()
        self.use = self._counted(after(self.use, plan, self.last_at))

    def _stored(self, namespace: Namespace, insert: Insert) -> Kept:
        claim, source, closed = insert.claim, insert.claim.source, insert.closed_why is not None
        fact = Fact(
            insert.fact_id,
            namespace,
            claim.triple,
            self.seq,
            claim.index,
            self.last_at,
            source.kind,
            source.principal,
            claim.confidence,
            claim.valid_from,
            claim.valid_to,
            closed_at=self.last_at if closed else None,
            closed_why=insert.closed_why,
            sources=(source,),
            said_at=source.at or "",
        )
        return Kept(
            fact,
            is_literal_key(claim.object_key),
            insert.ended,
            self.seq if closed else None,
            (source.kind, source.ref) if closed else None,
            ((self.seq, claim.index),),
        )

    def _close(self, close: Close) -> None:
        kept = self.facts[close.fact_id]
        fact = replace(kept.fact, closed_at=self.last_at, closed_by=close.by, closed_why=close.why)
        by = (close.source.kind, close.source.ref)
        self.facts[fact.id] = replace(kept, fact=fact, ended=close.ended, closed_seq=self.seq, closed_source=by)

    def _promote(self, fact_id: str, kind: str, principal: str | None, said_at: str | None) -> None:
        kept = self.facts[fact_id]
        said = said_at or kept.fact.recorded_at
        fact = replace(kept.fact, kind=cast(Kind, kind), principal=principal, said_at=said)
        self.facts[fact_id] = replace(kept, fact=fact)

    def _without(self, fact_id: str, is_gone: Callable[[Source], bool]) -> bool:
        """Take sources out of a fact's evidence; whether any is left."""
        kept = self.facts[fact_id]
        left = [each for each in kept.evidence if not is_gone(each[0])]
        sources, places = tuple(source for source, _, _ in left), tuple((seq, place) for _, seq, place in left)
        self.facts[fact_id] = replace(kept, fact=replace(kept.fact, sources=sources), places=places)
        return bool(left)

    def _spell(self, claim: Claim) -> None:
        rank = claim.source.rank
        self._name(claim.subject_key, Name("name", claim.triple.subject, rank))
        kind = "literal" if is_literal_key(claim.object_key) else "name"
        self._name(claim.object_key, Name(kind, claim.triple.object, rank))  # type: ignore[arg-type]
        self.relations.setdefault(claim.relation_key, Name("relation", claim.triple.relation))

    def _name(self, key: str, name: Name) -> None:
        """Add a name, or spell it anew after a source that ranks no lower."""
        known = self.names.get(key)
        if known is None or (name.rank >= known.rank and name.spelling != known.spelling):
            self.names[key] = name

    def _expire(self) -> None:
        if self.seq % _EXPIRY == 0:
            oldest = (datetime.now(UTC) - timedelta(days=OPERATION_DAYS)).isoformat(timespec="microseconds")
            kept = self.operations.items()
            self.operations = {op_id: each for op_id, each in kept if each.receipt.recorded_at >= oldest}

    def _counted(self, lately: Use) -> Use:
        """What is held, counted anew; what came in lately is taken over."""
        stated = [(s.kind, size(k.fact.triple, s.text)) for k in self.facts.values() for s in k.fact.sources]
        pieces = [(piece.source.kind, len(piece.text)) for piece in self.quarantine]
        return Use(*added(Use(), [*stated, *pieces])[:4], *lately[4:])

    def put_outbox(self, entries: Sequence[OutboxEntry], now: str) -> str:
        """See ``TripleStore.put_outbox``."""
        if following(now, self.last_at)[1]:
            self.restarts += ((self.seq + 1, now),)
        self.last_at = next_moment(now, self.last_at)
        self._put_waiting(stamped(entries, self.last_at))
        return self.last_at

    def _put_waiting(self, entries: Sequence[OutboxEntry]) -> None:
        for entry in entries:
            source = (entry.source.kind, entry.source.ref)
            before = self.waiting.get(entry.op_id)
            if entry.replace:
                self.waiting = {
                    op_id: each
                    for op_id, each in self.waiting.items()
                    if op_id == entry.op_id or (each.source.kind, each.source.ref) != source
                }
            if before is None and entry.op_id not in self.operations:
                self.waiting[entry.op_id] = replace(entry, version=0)
            elif before is not None and (after := renewed(before, entry)) is not None:
                self.waiting[entry.op_id] = replace(after, version=before.version + 1)

    def take(self, op_id: str, version: int) -> None:
        """Remove the entry that an operation is made from.

        Raises:
            OutboxChanged: It is gone, or not that version any more.
        """
        entry = self.waiting.pop(op_id, None)
        if entry is None or entry.version != version:
            raise OutboxChanged(op_id)

    def fail(self, op_ids: Sequence[str]) -> None:
        """See ``TripleStore.fail_outbox``."""
        for op_id in op_ids:
            if (entry := self.waiting.get(op_id)) is not None:
                self.waiting[op_id] = replace(entry, attempts=entry.attempts + 1)

    def link(self, name: tuple[str, str], alias: tuple[str, str], limit: int = _MAX_ALIASES) -> None:
        """Make two names, each (key, spelling), one class.

        Raises:
            ConfigurationError: The class would have more than ``limit`` names.
        """
        joined = {name[0], alias[0]}
        apart = [group for group in self.classes if not group & joined]
        joined = joined.union(*(group for group in self.classes if group & joined))
        if len(joined) > limit:
            raise ConfigurationError(
                f"{name[1]!r} and {alias[1]!r} would make {len(joined)} names one; at most {limit} may be aliases"
            )
        for key, spelling in (name, alias):
            self.names.setdefault(key, Name("name", spelling))
        self.classes = [*apart, frozenset(joined)]

    # -- moving -------------------------------------------------------------------------------------------------

    def parts(self) -> Iterator[Part]:
        """See ``TripleStore.dump``."""
        yield from self.relations.values()
        yield from self.names.values()
        yield from map(self.shown, self.ordered())
        yield from (Aliases(names) for names in self.aliases())
        yield from sorted(self.operations.values(), key=lambda each: (each.receipt.seq, each.receipt.op_id))
        yield from self.quarantine
        yield from self.waiting.values()
        yield Head(self.seq, self.last_at, self.restarts)

    def put(self, parts: Sequence[Part]) -> None:
        """See ``TripleStore.restore``. Ids need not be unique beyond the namespace."""
        for name in _all(Name, parts):
            self.relations.setdefault(name.key, name) if name.kind == "relation" else self._name(name.key, name)
        for kept in _all(Kept, parts):
            self._put_fact(kept)
        for group in _all(Aliases, parts):
            first, *others = [(Name("name", name).key, name) for name in group.names]
            for other in others:
                self.link(first, other)
        for operation in _all(Operation, parts):
            self.operations.setdefault(operation.receipt.op_id, operation)
        there = Counter(self.quarantine)
        for piece in _all(Quarantined, parts):
            there[piece] -= 1
            if there[piece] < 0:
                self.quarantine.append(piece)
        self._put_waiting(_all(OutboxEntry, parts))
        self._advance(_all(Kept, parts), _all(Head, parts))
        self.use = self._counted(self.use)

    def _put_fact(self, kept: Kept) -> None:
        if kept.fact.id in self.facts or (kept.fact.is_open and self._stands(kept.keys)):
            return
        self._spell(kept.claim)
        places = tuple((seq, ordinal) for _, seq, ordinal in kept.evidence)
        self.facts[kept.fact.id] = replace(kept, places=places, ended=None if kept.fact.is_open else kept.ended)

    def _stands(self, keys: tuple[str, str, str]) -> bool:
        return any(kept.fact.is_open and kept.keys == keys for kept in self.facts.values())

    def _advance(self, kept: Sequence[Kept], heads: Sequence[Head]) -> None:
        self.seq = max([self.seq, *(each.fact.seq for each in kept), *(head.seq for head in heads)])
        times = [each.fact.closed_at or each.fact.recorded_at for each in kept] + [head.last_at for head in heads]
        self.last_at = max([self.last_at, *times])
        for head in heads:
            if head.restarts and not self.restarts:  # earlier times do not bound what comes next
                self.restarts, self.last_at = head.restarts, head.last_at

    # -- forgetting ---------------------------------------------------------------------------------------------

    def erase(self, selection: Selection) -> Erased:
        """See ``TripleStore.erase``, of all but ``everything``."""
        before = self.sources()
        if selection.source is not None:
            doomed = self._doomed_by_source(*selection.source)
        else:
            doomed = [kept for kept in self.ordered() if self._is_selected(kept, selection)]
        ids = frozenset(kept.fact.id for kept in doomed)
        pieces = self._drop_quarantine(selection, doomed)
        waiting = self._forget_waiting(selection, doomed)
        operations = self._redact(ids, {piece.recorded_at for piece in pieces})
        self._delete(doomed, ids)
        reopened = tuple(self._reopen(*selection.source)) if selection.source is not None else ()
        ends = {key for kept in doomed for key in (kept.keys[0], kept.keys[2])}
        names = self._delete_names(ends | self.members(selection.name_keys).keys())
        self.use = self._counted(self.use)
        return Erased(
            tuple(kept.fact.id for kept in doomed),
            names,
            self._delete_relations(),
            len(before - self.sources()),
            operations,
            len(pieces),
            waiting,
            reopened=reopened,
            named_in=named_in(self._places(), selection),
        )

    def erase_all(self) -> Erased:
        """What forgetting everything removes."""
        counts = (self.names, self.relations, self.sources(), self.operations, self.quarantine, self.waiting)
        return Erased(tuple(kept.fact.id for kept in self.ordered()), *map(len, counts))  # type: ignore[arg-type]

    def _is_selected(self, kept: Kept, selection: Selection) -> bool:
        subject, relation, object_ = kept.keys
        if selection.slot is not None:
            keys, key = selection.slot
            return subject in self.members(keys) and relation in (key, *selection.narrower)
        named = self.members(selection.name_keys)
        return kept.fact.id in selection.fact_ids or subject in named or object_ in named

    def _doomed_by_source(self, kind: str | None, ref: str) -> list[Kept]:
        """What rests on the source alone; it is taken out of the evidence of the rest."""

        def is_of_it(source: Source) -> bool:
            return source.ref == ref and kind in (None, source.kind)

        doomed = []
        for kept in self.ordered():
            if not any(map(is_of_it, kept.fact.sources)):
                continue
            if all(map(is_of_it, kept.fact.sources)):
                doomed.append(kept)
            elif self._without(kept.fact.id, is_of_it):
                self._promote(kept.fact.id, *_best(self.facts[kept.fact.id].evidence))
        return doomed

    def _drop_quarantine(self, selection: Selection, doomed: Sequence[Kept]) -> list[Quarantined]:
        """Delete the quarantine that tells of what is forgotten."""
        seqs = {seq for kept in doomed for _, seq, _ in kept.evidence}
        times = {kept.fact.recorded_at for kept in doomed}
        times |= {each.receipt.recorded_at for each in self.operations.values() if each.receipt.seq in seqs}
        gone = [piece for piece in self.quarantine if tells(piece, selection, times)]
        self.quarantine = [piece for piece in self.quarantine if piece not in gone]
        return gone

    def _forget_waiting(self, selection: Selection, doomed: Sequence[Kept]) -> int:
        """What is forgotten does not come back by what waits; how many entries were changed or removed."""
        if selection.source is not None:
            kind, ref = selection.source
            left = {
                op_id: entry
                for op_id, entry in self.waiting.items()
                if entry.source.ref != ref or kind not in (None, entry.source.kind)
            }
            gone, self.waiting = len(self.waiting) - len(left), left
            return gone
        change = change_of(selection, [kept.keys for kept in doomed])
        changed = 0
        for op_id, before in list(self.waiting.items()) if change else ():
            after = excluding(before, change)
            changed += after != before
            if after is None:
                del self.waiting[op_id]
            elif after != before:
                self.waiting[op_id] = replace(after, version=before.version + 1)
        return changed

    def _redact(self, erased: AbstractSet[str], times: AbstractSet[str]) -> int:
        """Take what is erased out of the receipts that name it, or put aside what tells of it."""
        changed = 0
        for op_id, operation in self.operations.items():
            receipt = operation.receipt
            named = {i for each in receipt for i in (each.fact_id, *each.supersedes, *each.contests)}
            if receipt.recorded_at not in times and not erased & (named | set(receipt.replaced)):
                continue
            redacted = redact_receipt(receipt, erased)
            changed += redacted != receipt
            self.operations[op_id] = replace(operation, receipt=redacted)
        return changed

    def _delete(self, doomed: Sequence[Kept], ids: AbstractSet[str]) -> None:
        """Delete facts, their ids elsewhere, and sentences that facts which stay share with them."""
        for fact_id in ids:
            del self.facts[fact_id]
        told = {(each.kind, each.ref, each.text) for kept in doomed for each in kept.fact.sources if each.text}
        for fact_id, kept in self.facts.items():
            sources = tuple(
                replace(each, text=None, span=None) if (each.kind, each.ref, each.text) in told else each
                for each in kept.fact.sources
            )
            by = None if kept.fact.closed_by in ids else kept.fact.closed_by
            if sources != kept.fact.sources or by != kept.fact.closed_by:
                self.facts[fact_id] = replace(kept, fact=replace(kept.fact, sources=sources, closed_by=by))

    def _reopen(self, kind: str | None, ref: str) -> Iterator[str]:
        """Facts that this source had closed stand again, the newest first, unless their place is taken."""
        for kept in reversed(self.ordered()):
            closer = kept.closed_source
            if closer is None or closer[1] != ref or kind not in (None, closer[0]):
                continue
            fact = kept.fact
            if fact.closed_why == "past" or self._stands(kept.keys) or self._is_taken(kept):
                self.facts[fact.id] = replace(kept, closed_source=None)
                continue
            opened = replace(fact, closed_at=None, closed_by=None, closed_why=None)
            self.facts[fact.id] = replace(kept, fact=opened, ended=None, closed_seq=None, closed_source=None)
            yield fact.id

    def _is_taken(self, kept: Kept) -> bool:
        """Whether a better value stands in the slot, or the one that superseded it on no worse word."""
        rank = rank_of(kept.fact.kind)
        slot = [each.fact for each in self.facts.values() if each.fact.is_open and each.keys[:2] == kept.keys[:2]]
        return kept.fact.closed_why == "superseded" and any(
            rank_of(each.kind) > rank or (each.id == kept.fact.closed_by and rank_of(each.kind) == rank)
            for each in slot
        )

    def _delete_names(self, candidates: Iterable[str]) -> int:
        """Delete the names of which no alias is used by any fact; returns how many."""
        used = {key for kept in self.facts.values() for key in (kept.keys[0], kept.keys[2])}
        gone = {each for key in candidates for group in [self._class(key)] if not used & set(group) for each in group}
        self.names = {key: name for key, name in self.names.items() if key not in gone}
        self.classes = [group for group in self.classes if not group & gone]
        return len(gone)

    def _delete_relations(self) -> int:
        used = {kept.keys[1] for kept in self.facts.values()}
        kept = {key: name for key, name in self.relations.items() if key in used}
        gone, self.relations = len(self.relations) - len(kept), kept
        return gone

    def _places(self) -> list[tuple[str, str]]:
        """Sources and who spoke in them, as (what it is, its text)."""
        people = {each.principal for kept in self.facts.values() for each in kept.fact.sources}
        return [*self.sources(), *(("principal", each) for each in people if each is not None)]


def _standing(kept: Kept) -> Standing:
    fact = kept.fact
    return Standing(
        fact.id,
        *kept.keys,
        fact.kind,
        fact.principal,
        fact.seq,
        fact.recorded_at,
        fact.valid_from,
        fact.valid_to,
        fact.said_at,
    )


def _of(source: Source) -> tuple[str, str, str | None]:
    return source.kind, source.ref, source.principal


def _is_same(one: Source, other: Source) -> bool:
    return _of(one) == _of(other)


def _best(evidence: Sequence[tuple[Source, int, int]]) -> tuple[str, str | None, str | None]:
    return best_evidence((each.kind, each.principal, seq, place, each.at) for each, seq, place in evidence)


def _precedence(fact: Fact) -> int:
    return precedence(fact.kind, fact.seq, fact.ordinal)


def _all(kind: type[_T], parts: Sequence[Part]) -> list[_T]:
    return [part for part in parts if isinstance(part, kind)]
