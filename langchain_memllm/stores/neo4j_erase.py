"""Forgetting in Neo4j: facts, then what only they used, in transactions of a bounded size.

What is small goes in one transaction. What is large goes page by page, each page whole in itself (facts with their
evidence, receipts, names); a run that is cut off leaves less to forget, and forgetting again finishes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.belief import Quarantined, best_evidence
from langchain_memllm.quotas import UNTRUSTED, removed, without
from langchain_memllm.stores import cypher, neo4j_hub, neo4j_outbox
from langchain_memllm.stores.bolt import PATIENCE, Bolt, token
from langchain_memllm.stores.episodes import Telling
from langchain_memllm.stores.erasing import named_in, names_of, tells
from langchain_memllm.stores.interface import Erased, Selection, pack_receipt, redact_receipt, unpack_receipt
from langchain_memllm.stores.neo4j_use import use_of
from langchain_memllm.stores.neo4j_write import Ids, ids_of, touch
from langchain_memllm.stores.outbox import change_of, excluding
from langchain_memllm.triples import Namespace, Source, rank_of

if TYPE_CHECKING:
    import neo4j

__all__ = ["erase"]

_PAGE: Final = 1_000
"""Most facts erased in one transaction."""


def erase(bolt: Bolt, namespace: Namespace, selection: Selection) -> Erased:
    """See ``TripleStore.erase``, without what purging has to tell."""
    ids = ids_of(namespace)
    if selection.everything:
        return _everything(bolt, ids)
    erased, left = Erased(), True
    if selection.source is not None or selection.name_keys:
        erased = Erased(turns=neo4j_hub.forget_said(bolt, ids, selection, Telling(change_of(selection, ()))))
    while left:
        page, left = bolt.write(_page(ids, selection))
        erased = _sum(erased, page)
    touch(bolt, ids)
    if not selection.name_keys:
        return erased
    places = bolt.read(cypher.PLACES, {"ns": ids.ns}, within=PATIENCE)
    said = neo4j_hub.named(bolt, ids, names_of(selection))
    return replace(erased, named_in=named_in([*((row["what"], row["text"]) for row in places), *said], selection))


def _page(ids: Ids, selection: Selection) -> Callable[[neo4j.ManagedTransaction], tuple[Erased, bool]]:
    def work(transaction: neo4j.ManagedTransaction) -> tuple[Erased, bool]:
        if transaction.run(cypher.BEGIN_ERASE, ns=ids.ns, op=token()).single() is None:
            return Erased(), False
        return _Erasure(transaction, ids).run(selection)

    return work


def _sum(one: Erased, other: Erased) -> Erased:
    return Erased(
        one.fact_ids + other.fact_ids,
        one.names + other.names,
        one.relations + other.relations,
        one.sources + other.sources,
        one.operations + other.operations,
        one.quarantined + other.quarantined,
        one.outbox + other.outbox,
        one.turns + other.turns,
        one.reopened + other.reopened,
    )


class _Erasure:
    """One page of forgetting inside one transaction, under the namespace's lock."""

    def __init__(self, transaction: neo4j.ManagedTransaction, ids: Ids) -> None:
        self.transaction, self.ids = transaction, ids
        self.sources: list[str] = []
        self.names: set[str] = set()  # ids of names that may be unused afterwards
        self.outbox = 0
        self.turns = 0
        self.use = use_of(self._rows(cypher.USE_OF)[0])

    def run(self, selection: Selection) -> tuple[Erased, bool]:
        """Erase one page; also tells whether there is more."""
        doomed = sorted(self._doomed(selection), key=lambda row: (row["seq"], row["ordinal"]))
        page = [str(row["id"]) for row in doomed[:_PAGE]]
        self._forget_waiting(selection, page)
        aside = self._drop_quarantine(selection, page)
        operations = self._redact(page, {row["recorded_at"] for row in aside})
        used = self._rows(cypher.DELETE_FACTS, ids=page, untrusted=sorted(UNTRUSTED))[0]
        self._lighten(used)
        gone = Erased(tuple(page), operations=operations, quarantined=len(aside))
        if len(doomed) > _PAGE:
            self._keep_use()
            return _sum(gone, self._cleaned(used)), True
        more = self._unsupport()
        self._keep_use()
        reopened = () if more else tuple(fact for source in self.sources for fact in self._reopen(source))
        return _sum(replace(gone, reopened=reopened), self._cleaned(used)), more

    def _lighten(self, row: neo4j.Record) -> None:
        """Take evidence that went out of what the namespace holds."""
        counts = (row["statements"], row["characters"], row["untrusted"], row["untrusted_characters"])
        self.use = without(self.use, *counts)

    def _keep_use(self) -> None:
        use = self.use
        self._rows(
            cypher.SET_USE,
            statements=use.statements,
            characters=use.characters,
            untrusted=use.untrusted,
            untrusted_characters=use.untrusted_characters,
        )

    def _rows(self, statement: cypher.Statement, **parameters: Any) -> list[neo4j.Record]:
        return list(self.transaction.run(statement, {"ns": self.ids.ns, **parameters}))

    def _doomed(self, selection: Selection) -> list[neo4j.Record]:
        """The facts to erase; sources and names are noted."""
        if selection.fact_ids:
            return self._rows(cypher.DOOMED_IDS, ids=list(selection.fact_ids))
        if selection.slot is not None:
            keys, relation = selection.slot
            subjects = self._members(keys)
            relations = [self.ids.relation(each) for each in (relation, *selection.narrower)]
            return self._rows(cypher.DOOMED_NAMES, subjects=subjects, objects=[], rids=relations)
        if selection.name_keys:
            members = self._members(selection.name_keys)
            self.names.update(members)
            return self._rows(cypher.DOOMED_NAMES, subjects=members, objects=members, rids=None)
        if selection.source is not None:
            kind, ref = selection.source
            self.sources = [row["id"] for row in self._rows(cypher.SOURCES, ref=ref, kind=kind)]
            return self._rows(cypher.DOOMED_SOURCES, sources=self.sources)
        return []

    def _forget_waiting(self, selection: Selection, page: Sequence[str]) -> None:
        """What is forgotten does not come back by what was said and is not yet extracted."""
        if selection.source is not None:
            kind, ref = selection.source
            self.outbox += neo4j_outbox.rewrite(
                self.transaction,
                self.ids,
                lambda entry: None if entry.source.ref == ref and kind in (None, entry.source.kind) else entry,
            )
            return
        change = change_of(selection, [row["keys"] for row in self._rows(cypher.DOOMED_KEYS, ids=list(page))])
        if change:
            self.outbox += neo4j_outbox.rewrite(self.transaction, self.ids, lambda entry: excluding(entry, change))
        if not selection.name_keys:
            evidence = self._rows(cypher.EVIDENCE_OF, ids=list(page))
            sources = tuple(dict.fromkeys((row["kind"], row["ref"]) for row in evidence))
            sentences = tuple(dict.fromkeys(row["text"] for row in evidence if row["text"]))
            self.turns += neo4j_hub.forget_facts(self.transaction, self.ids, Telling(change, sources, sentences))

    def _members(self, keys: Sequence[str]) -> list[str]:
        return list(self._rows(cypher.MEMBERS, names=[self.ids.name(key) for key in keys])[0]["ids"])

    def _drop_quarantine(self, selection: Selection, page: Sequence[str]) -> list[neo4j.Record]:
        """Delete the quarantine that tells of what is forgotten; returns it."""
        times = {row["at"] for row in self._rows(cypher.STATED_AT, ids=list(page))}
        doomed = [
            row
            for row in self._rows(cypher.QUARANTINED)
            if tells(
                Quarantined(row["text"], row["reason"], Source(row["kind"], row["ref"]), row["recorded_at"]),
                selection,
                times,
            )
        ]
        if doomed:
            self._rows(cypher.DELETE_QUARANTINED, places=[[row["seq"], row["ordinal"]] for row in doomed])
            self.use = removed(self.use, [(row["kind"], len(row["text"])) for row in doomed])
        return doomed

    def _redact(self, fact_ids: Sequence[str], times: set[str]) -> int:
        """Take what is erased out of the receipts that may tell of it; returns how many did."""
        gone = frozenset(fact_ids)
        receipts = []
        rows = self._rows(cypher.TOUCHED, ids=list(fact_ids))
        rows += self._rows(cypher.OPERATIONS_AT, times=sorted(times)) if times else []
        for row in {row["id"]: row for row in rows}.values():
            before = unpack_receipt(self.ids.namespace, row["op_id"], row["receipt"])
            after = redact_receipt(before, gone)
            if after != before:
                receipts.append({"id": row["id"], "receipt": pack_receipt(after)})
        if receipts:
            self._rows(cypher.REDACT, receipts=receipts)
        return len(receipts)

    def _unsupport(self) -> bool:
        """Take the sources out of the evidence of facts that stay, one page of them; whether there is more."""
        if not self.sources:
            return False
        shared = self._rows(cypher.UNSUPPORT, sources=self.sources, page=_PAGE, untrusted=sorted(UNTRUSTED))
        facts = []
        for row in shared:
            self._lighten(row)
            kind, principal, said_at = best_evidence(row["evidence"])
            best = {"kind": kind, "principal": principal, "rank": rank_of(kind), "said_at": said_at}
            facts.append({"id": row["id"], **best})
        self._rows(cypher.DEMOTE, facts=facts)
        return sum(int(row["statements"]) for row in shared) == _PAGE

    def _reopen(self, source: str) -> list[str]:
        """Facts that this source had closed stand again, newest first, unless the same triple stands already."""
        newest: dict[str, str] = {}
        for row in self._rows(cypher.CLOSED_BY_SOURCE, source=source):
            newest.setdefault(row["triple"], row["id"])
        reopened = [row["id"] for row in self._rows(cypher.REOPEN, ids=list(newest.values()))]
        self._rows(cypher.DISOWN, source=source)
        return reopened

    def _cleaned(self, used: neo4j.Record) -> Erased:
        """Delete names, relations and sources that nothing uses any more."""
        names = self._rows(cypher.DELETE_NAMES, names=sorted(self.names | set(used["names"])))
        relations = self._rows(cypher.DELETE_RELATIONS, relations=used["relations"])
        sources = self._rows(cypher.DELETE_SOURCES, sources=sorted({*self.sources, *used["sources"]}))
        return Erased(
            names=names[0]["gone"],
            relations=relations[0]["gone"],
            sources=sources[0]["gone"],
            outbox=self.outbox,
            turns=self.turns,
        )


def _everything(bolt: Bolt, ids: Ids) -> Erased:
    """Forget a namespace: one transaction if it is small, else pages, during which nobody writes to it."""
    counts = dict.fromkeys(cypher.PURGE, 0)
    fact_ids: list[str] = []

    def work(transaction: neo4j.ManagedTransaction) -> tuple[dict[str, int], list[str], bool]:
        if transaction.run(cypher.CLOSE_NAMESPACE, ns=ids.ns, op=token()).single() is None:
            return {}, [], False
        gone: dict[str, int] = {}
        facts: list[str] = []
        for part, statement in cypher.PURGE.items():
            row = transaction.run(statement, ns=ids.ns, page=_PAGE).single(strict=True)
            gone[part] = row["gone"]
            facts += row["ids"] if part in ("facts", "past") else []
        left = _PAGE in gone.values()
        if not left:
            transaction.run(cypher.DELETE_NAMESPACE, ns=ids.ns).consume()
        return gone, facts, left

    left = True
    while left:
        gone, facts, left = bolt.write(work)
        fact_ids += facts
        counts = {part: counts[part] + gone.get(part, 0) for part in counts}
    return Erased(
        fact_ids=tuple(fact_ids),
        names=counts["names"],
        relations=counts["relations"],
        sources=counts["sources"],
        operations=counts["operations"],
        quarantined=counts["quarantined"],
        outbox=counts["outbox"],
        turns=counts["turns"],
    )
