"""A store that holds each namespace whole: what a store of your own needs to say is where that is kept.

``PlainStore`` implements ``TripleStore`` on five methods. It keeps facts with all that belongs to them and what waits
for its extraction, but no vectors, turns or items: names are found exactly and by their aliases, questions by their
words. Every call reads, and every write saves, one namespace as a whole, which suits some thousands of facts; larger
stores implement ``TripleStore`` themselves.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, Literal, NoReturn

import numpy as np

from langchain_memllm.belief import Batch, Quarantined, Use, precedence
from langchain_memllm.errors import ConfigurationError, OperationConflict
from langchain_memllm.factindex import FactIndex, evidence_words
from langchain_memllm.forking import renewed
from langchain_memllm.quotas import Limits, check
from langchain_memllm.stores.contents import Contents
from langchain_memllm.stores.episodes import EpisodeNote, Grant, Turn, TurnFilter, TurnStore
from langchain_memllm.stores.interface import (
    Candidate,
    Embed,
    Erased,
    FactFilter,
    Found,
    LookupQuery,
    Named,
    Pending,
    Planner,
    RecallIndex,
    Relations,
    Row,
    SearchQuery,
    Selection,
    Stats,
    Vector,
    Written,
    clock_problems,
    now,
)
from langchain_memllm.stores.items import ItemStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.parts import Part
from langchain_memllm.triples import Fact, Namespace, Receipt, rank_of

__all__ = ["Contents", "PlainStore"]

_NO_RELATIONS: Final = Relations((), (), np.empty((0, 0), np.float32))


class PlainStore(ABC):
    """A ``TripleStore`` of facts, on ``load``, ``save``, ``namespaces``, ``record`` and ``put_record``.

    A namespace is read, changed and saved under a lock of this process. Where several processes share what is kept,
    override ``locked``.
    """

    shared = False

    def __init__(self) -> None:
        """Make the lock."""
        self._lock = renewed(threading.RLock())

    # -- to be implemented --------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, namespace: Namespace) -> Contents | None:
        """What was saved of a namespace, or None; the caller may not change it, and changes a copy."""

    @abstractmethod
    def save(self, namespace: Namespace, contents: Contents | None) -> None:
        """Keep a namespace as it is now, in the place of what was kept before and all or nothing; None removes it."""

    @abstractmethod
    def namespaces(self) -> list[Namespace]:
        """See ``TripleStore.namespaces``."""

    @abstractmethod
    def record(self, name: str, *, within: float | None = None) -> str | None:
        """See ``TripleStore.record``."""

    @abstractmethod
    def put_record(self, name: str, value: str, *, expected: str | None) -> str:
        """See ``TripleStore.put_record``."""

    # -- may be overridden --------------------------------------------------------------------------------------

    @property
    def location(self) -> str:
        """See ``TripleStore.location``; by default the name of the class."""
        return type(self).__name__

    def locked(self, namespace: Namespace) -> AbstractContextManager[object]:
        """Keeps all others from changing the namespace while it is held."""
        return self._lock

    def close(self) -> None:  # noqa: B027
        """See ``TripleStore.close``; nothing is held open by default."""

    # -- writing ------------------------------------------------------------------------------------------------

    def transact(self, namespace: Namespace, batch: Batch, plan: Planner, embed: Embed | None = None) -> Written:
        """See ``TripleStore.transact``; nothing is embedded."""
        with self.locked(namespace):
            contents = self._copy(namespace)
            earlier = contents.operations.get(batch.op_id)
            if earlier is not None:
                if earlier.payload_hash != batch.payload_hash:
                    raise OperationConflict(
                        f"operation {batch.op_id!r} was delivered before with other content; use a new op_id, or none"
                    )
                return Written(earlier.receipt, replayed=True)
            if batch.outbox_version is not None:
                contents.take(batch.op_id, batch.outbox_version)
            ahead = contents.begin(batch.recorded_at)
            current = contents.current(namespace, batch)
            result = plan(current)
            while any(insert.fact_id in contents.facts for insert in result.inserts):
                current = replace(current, attempt=current.attempt + 1)
                result = plan(current)
            contents.apply(result, batch.payload_hash)
            self._save(namespace, contents)
        return Written(result.receipt, ahead=ahead or "")

    def link(self, namespace: Namespace, name: tuple[str, str], alias: tuple[str, str], *, limit: int = 32) -> None:
        """See ``TripleStore.link``."""
        with self.locked(namespace):
            contents = self._copy(namespace)
            contents.link(name, alias, limit)
            self._save(namespace, contents)

    def restore(self, namespace: Namespace, parts: Sequence[Part], limits: Limits | None = None) -> tuple[Pending, ...]:
        """See ``TripleStore.restore``."""
        if any(isinstance(part, Turn | Grant) for part in parts):
            self._refuse("turns")
        with self.locked(namespace):
            contents = self._copy(namespace)
            before = contents.use
            contents.put(parts)
            if limits is not None:
                check(before, contents.use, limits)
            self._save(namespace, contents)
        return ()

    def erase(self, namespace: Namespace, selection: Selection, *, purge: bool = False) -> Erased:
        """See ``TripleStore.erase``; what was saved before is gone once ``save`` has replaced it."""
        with self.locked(namespace):
            contents = self._copy(namespace)
            erased = contents.erase_all() if selection.everything else contents.erase(selection)
            self._save(namespace, Contents() if selection.everything else contents)
        return erased

    def put_outbox(
        self, namespace: Namespace, entries: Sequence[OutboxEntry], now: str, turns: Sequence[Turn] = ()
    ) -> str:
        """See ``TripleStore.put_outbox``.

        Raises:
            ConfigurationError: There are turns: nothing may be acknowledged that is not kept.
        """
        if turns:
            self._refuse("turns")
        with self.locked(namespace):
            contents = self._copy(namespace)
            at = contents.put_outbox(entries, now)
            self._save(namespace, contents)
        return at

    def drop_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> int:
        """See ``TripleStore.drop_outbox``."""
        with self.locked(namespace):
            contents = self._copy(namespace)
            gone = sum(contents.waiting.pop(op_id, None) is not None for op_id in op_ids)
            self._save(namespace, contents)
        return gone

    def fail_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> None:
        """See ``TripleStore.fail_outbox``."""
        with self.locked(namespace):
            contents = self._copy(namespace)
            contents.fail(op_ids)
            self._save(namespace, contents)

    def _copy(self, namespace: Namespace) -> Contents:
        return (self.load(namespace) or Contents()).copy()

    def _save(self, namespace: Namespace, contents: Contents) -> None:
        self.save(namespace, None if contents.is_empty else contents)

    # -- reading ------------------------------------------------------------------------------------------------

    def receipt(self, namespace: Namespace, op_id: str) -> tuple[str, Receipt] | None:
        """See ``TripleStore.receipt``."""
        found = self._held(namespace).operations.get(op_id)
        return None if found is None else (found.payload_hash, found.receipt)

    def lookup(
        self,
        namespaces: Sequence[Namespace],
        queries: Sequence[LookupQuery],
        *,
        at: str | None = None,
        valid_at: str | None = None,
        limit: int = 30,
    ) -> list[Found]:
        """See ``TripleStore.lookup``."""
        held = [self._held(namespace) for namespace in namespaces]
        return [_answers(held, query, at, valid_at, limit) for query in queries]

    def search(
        self, namespaces: Sequence[Namespace], queries: Sequence[SearchQuery], *, limit: int = 30
    ) -> list[Found]:
        """See ``TripleStore.search``: without vectors nothing is similar."""
        return [Found() for _ in queries]

    def facts(self, namespaces: Sequence[Namespace], where: FactFilter | None = None) -> Iterator[Fact]:
        """See ``TripleStore.facts``."""
        for namespace in namespaces:
            yield from self._held(namespace).matching(where or FactFilter())

    def recall_index(self, namespace: Namespace, keys: Sequence[str]) -> RecallIndex | None:
        """See ``TripleStore.recall_index``; made anew at every call."""
        contents = self.load(namespace)
        if contents is None:
            return None
        evidence = [
            (seq, place, kept, source)
            for kept in contents.facts.values()
            if kept.fact.is_open
            for source, seq, place in kept.evidence
        ]
        evidence.sort(key=lambda each: each[:2])
        index = FactIndex[str]()
        words = [evidence_words(*kept.keys, source.text) for _, _, kept, source in evidence]
        ranks = [rank_of(source.kind) for *_, source in evidence]
        ids = [kept.fact.id for _, _, kept, _ in evidence]
        index.add(ids, [each[0] for each in words], [each[1] for each in words], ranks)
        named = tuple(Named(key, how, spelling) for key, (how, spelling) in contents.members(keys).items())
        return RecallIndex(index, _NO_RELATIONS, named)

    def candidates(self, namespace: Namespace, ids: Sequence[int | str], vector: Vector | None) -> list[Candidate]:
        """See ``TripleStore.candidates``."""
        contents = self._held(namespace)
        kept = [contents.facts[str(each)] for each in ids if str(each) in contents.facts]
        return [Candidate(each.fact.id, contents.shown(each).fact, *each.keys) for each in kept if each.fact.is_open]

    def closed(self, namespace: Namespace, ids: Sequence[int | str]) -> set[int | str]:
        """See ``TripleStore.closed``."""
        held = self._held(namespace).facts
        return {each for each in ids if str(each) not in held or not held[str(each)].fact.is_open}

    def dump(self, namespace: Namespace) -> Iterator[Part]:
        """See ``TripleStore.dump``."""
        contents = self.load(namespace)
        return iter(()) if contents is None else contents.parts()

    def aliases(self, namespace: Namespace) -> list[tuple[str, ...]]:
        """See ``TripleStore.aliases``."""
        return self._held(namespace).aliases()

    def spellings(self, namespace: Namespace, loose: str) -> list[str]:
        """See ``TripleStore.spellings``."""
        return self._held(namespace).spellings(loose)

    def quarantined(self, namespace: Namespace) -> list[Quarantined]:
        """See ``TripleStore.quarantined``."""
        return list(self._held(namespace).quarantine)

    def outbox(
        self, namespace: Namespace, *, op_ids: Sequence[str] | None = None, limit: int = 1000
    ) -> list[OutboxEntry]:
        """See ``TripleStore.outbox``."""
        waiting = self._held(namespace).waiting
        found = waiting.values() if op_ids is None else [waiting[op_id] for op_id in op_ids if op_id in waiting]
        return list(found)[:limit]

    def stats(self, namespace: Namespace) -> Stats:
        """See ``TripleStore.stats``."""
        return self._held(namespace).stats()

    def uses(self) -> list[tuple[Namespace, Use]]:
        """See ``TripleStore.uses``."""
        return [(namespace, self._held(namespace).use) for namespace in self.namespaces()]

    def check(self) -> list[str]:
        """See ``TripleStore.check``: clocks that were ahead."""
        moment = now()
        held = [(namespace, self._held(namespace)) for namespace in self.namespaces()]
        return [
            problem
            for namespace, each in held
            for problem in clock_problems(str(namespace), each.seq, each.last_at, each.packed_restarts, moment)
        ]

    def _held(self, namespace: Namespace) -> Contents:
        return self.load(namespace) or Contents()

    # -- what is not kept ---------------------------------------------------------------------------------------

    def pending(self, namespace: Namespace, *, limit: int = 10_000) -> list[Pending]:
        """See ``TripleStore.pending``: no name waits for a vector."""
        return []

    def fill(  # noqa: B027
        self, namespace: Namespace, items: Sequence[Pending], vectors: Sequence[Vector | None], *, spent: float = 0.0
    ) -> None:
        """See ``TripleStore.fill``: vectors are not kept."""

    @property
    def turns(self) -> TurnStore:
        """See ``TripleStore.turns``: none are kept."""
        return _NoTurns()

    @property
    def items(self) -> ItemStore:
        """See ``TripleStore.items``.

        Raises:
            ConfigurationError: Always.
        """
        self._refuse("items")

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigurationError(
            f"{self.location} keeps facts and the outbox, no {what}; for that use a file, a Neo4j server, or a store "
            "that implements all of TripleStore"
        )


class _NoTurns:
    """A ``TurnStore`` in which nothing was said."""

    def drop(self, namespace: Namespace, ids: Sequence[str]) -> int:
        return 0

    def select(self, namespace: Namespace, where: TurnFilter, *, limit: int = 1000, newest: bool = False) -> list[Turn]:
        return []

    def matching(
        self, namespace: Namespace, tokens: Sequence[str], *, phrase: bool, role: str | None = None, limit: int = 50
    ) -> list[int]:
        return []

    def counts(
        self, namespace: Namespace, groups: Sequence[Sequence[str]], *, role: str | None = None, most: int = 1000
    ) -> list[int]:
        return [0] * len(groups)

    def beside(self, namespace: Namespace, places: Sequence[int]) -> list[tuple[int, int | None, int | None]]:
        return []

    def codes(self, namespace: Namespace, after: int, *, limit: int = 100_000) -> list[tuple[int, str, bytes]]:
        return []

    def epoch(self, namespace: Namespace) -> int:
        return 0

    def spoken(
        self,
        namespace: Namespace,
        since: str,
        until: str,
        *,
        thread: str | None = None,
        role: str | None = None,
        limit: int = 100,
    ) -> list[tuple[str, int]]:
        return []

    def episodes(
        self,
        namespace: Namespace,
        *,
        thread: str | None = None,
        since: str | None = None,
        until: str | None = None,
        role: str | None = None,
        limit: int = 100,
    ) -> list[EpisodeNote]:
        return []

    def grants(self, namespace: Namespace) -> list[Grant]:
        return []

    def grant(self, namespace: Namespace, role: str, scopes: Sequence[str]) -> None:
        raise ConfigurationError("this store keeps facts and the outbox, no turns that a role could see")


def _answers(held: Sequence[Contents], query: LookupQuery, at: str | None, valid_at: str | None, limit: int) -> Found:
    """Answers of all namespaces, direct ones and those of the inverse relation, in one order."""
    members = [contents.members(query.keys) for contents in held]
    rows = [
        (-row.similarity, place, -precedence(row.fact.kind, row.fact.seq, row.fact.ordinal), row.fact.id, row)
        for place, contents in enumerate(held)
        for row in _rows(contents, query, at, valid_at)
    ]
    rows.sort(key=lambda each: each[:4])
    knows = tuple(query.relation in contents.relations for contents in held)
    return Found(tuple(each[4] for each in rows[:limit]), len(rows) > limit, tuple(map(bool, members)), knows)


def _rows(contents: Contents, query: LookupQuery, at: str | None, valid_at: str | None) -> list[Row]:
    """Answers of one namespace, each fact once."""
    members = contents.members(query.keys)
    other: Literal["subject", "object"] = "object" if query.side == "subject" else "subject"
    direct = None if query.relation is None else {query.relation, *query.narrower}
    directions = [(query.side, direct, False)]
    if query.inverse is not None:
        directions.append((other, {query.inverse, *query.narrower_inverse}, True))
    found: dict[str, Row] = {}
    for kept in contents.facts.values():
        subject, relation, object_ = kept.keys
        for side, relations, is_inverse in directions:
            known = subject if side == "subject" else object_
            if known not in members or not (relations is None or relation in relations):
                continue
            if contents.holds(kept, at, valid_at):
                how, spelling = members[known]
                row = Row(contents.shown(kept).fact, "inverse" if is_inverse else how, via=spelling)
                found.setdefault(kept.fact.id, row)
    return list(found.values())
