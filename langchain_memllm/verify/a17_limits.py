"""A17, limits: processes of one tenant write at once until its memory is full and beyond, and another one's goes on.

Two people, two pages and a document fill a memory; the checker counts the statements that are there and compares them
with what was acknowledged: never more than the limit, of pages and documents never more than their share and their
hour, nothing acknowledged is absent, nothing refused is there, and the memory of another is as large as its own writes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from langchain_memllm.belief import Batch, Current, Plan, Use
from langchain_memllm.errors import QuotaExceeded
from langchain_memllm.memory import Memory
from langchain_memllm.quotas import Limits
from langchain_memllm.stores import open_store
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Kind, Namespace, Source
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.graph import facts_in
from langchain_memllm.verify.ledger import Counts, Held, Ledger, Names, facts_of, read_ledgers
from langchain_memllm.verify.processes import TinyEmbedder, spawn, wait

__all__ = ["run"]

_LABEL: Final = "verify limits"
_FULL: Final[dict[str, Kind]] = {"ada": "user", "ann": "user", "page": "web", "search": "tool", "notes": "document"}
"""Who writes to the memory that becomes full, and as which kind of source."""
_BY_TIME: Final = ("page", "search")
_OTHER: Final = "other"


class _CountsOnce(Memory):
    """A memory that keeps the count of its first write, as a process with a cache would: what this check must catch."""

    _use: Use | None = None

    def _planned(self, batch: Batch, current: Current) -> Plan:
        if self._use is None:
            self._use = current.use
        return super()._planned(batch, dataclasses.replace(current, use=self._use))


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Where the memory is, and how it is opened."""

    folder: Path
    server: LocalServer | None
    now: datetime  # one for all: no hour ends in between
    kind: type[Memory] = Memory

    @contextlib.contextmanager
    def opened(self) -> Iterator[Memory]:
        """The memory, for a ``with`` statement."""
        options: dict[str, Any] = {}
        if self.server is not None:
            options = {"auth": (self.server.user, self.server.password), "deadline": PATIENT}
        address = self.folder / "limits.db" if self.server is None else self.server.uri
        with contextlib.closing(open_store(address, **options)) as store:
            yield self.kind(store, embedder=TinyEmbedder(), clock=lambda: self.now)

    def held(self) -> list[Held]:
        """Every fact that is there."""
        if self.server is None:
            return facts_of(self.folder / "limits.db")
        return facts_in(self.server.uri, (self.server.user, self.server.password), _LABEL)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """A memory that may hold ``scale`` statements, at least twenty; sabotaged, each process counts only once."""
    counts, most = Counts(), max(20, scale)
    place = _Place(folder, server, datetime.now(UTC), _CountsOnce if sabotage else Memory)
    full, other = (_LABEL, folder.name, "full"), (_LABEL, folder.name, "other")
    with place.opened() as memory:
        before = memory.limits
        memory.set_limits(Limits(statements=most, untrusted_per_hour=most // 4, untrusted_per_day=None))
    ledgers = {who: folder / f"{who}.ledger" for who in (*_FULL, _OTHER)}
    where = dict.fromkeys(_FULL, full) | {_OTHER: other}
    pids = [
        spawn(lambda who=who, ledger=ledger: _write(place, ledger, who, where[who], most))  # type: ignore[misc]
        for who, ledger in ledgers.items()
    ]
    if failed := wait(pids):
        counts.problems.append(f"{failed} of {len(pids)} writers got an error that is not of a limit")
    refused = sum(_compare(place, ledger, where[who], counts) for who, ledger in ledgers.items())
    with place.opened() as memory:
        counts.problems += _sizes(place, memory, full, other, most, counts)
        some = next(fact.triple[2] for fact in place.held() if tuple(json.loads(fact.namespace)) == full)
        counts.problems += _one_more(memory, full, some)
        memory.set_limits(before)
    counts.figures = {"statements at most": most, "writers": len(pids), "operations refused": refused}
    return counts


def _write(place: _Place, file: Path, who: str, namespace: Namespace, most: int) -> None:
    """Operations of one statement and of two, until as many were stated as a memory may hold; the other's: half."""
    ledger, source = Ledger(file), Source(_FULL.get(who, "user"), who)
    with place.opened() as memory:
        for number in range(most // 3 if who == _OTHER else most * 2 // 3):
            op_id = f"{who} {number}"
            triples: list[Names] = [(who, "likes", f"{op_id} {part}") for part in "ab"[: 1 + number % 2]]
            ledger.intent(op_id, triples)
            try:
                receipt = memory.write(triples, namespace=namespace, source=source, op_id=op_id)
            except QuotaExceeded:
                continue
            ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)


def _compare(place: _Place, ledger: Path, namespace: Namespace, counts: Counts) -> int:
    """What one writer was told and what is there; returns how many of its operations were refused."""
    there = {fact.triple for fact in place.held() if tuple(json.loads(fact.namespace)) == namespace}
    intents, acks = read_ledgers([ledger])
    for op_id, triples in intents.items():
        statuses, _ = acks.get(op_id, (["rejected"] * len(triples), 0))
        for triple, status in zip(triples, statuses, strict=True):
            counts.lost += status == "stored" and triple not in there
            counts.wrong += status != "stored" and triple in there
        counts.torn += _FULL.get(ledger.stem, "user") == "user" and len(set(statuses)) > 1
    if namespace[-1] == _OTHER and len(acks) < len(intents):
        counts.problems.append(f"{len(intents) - len(acks)} operations of another tenant were refused")
    return len(intents) - len(acks)


def _sizes(
    place: _Place, memory: Memory, full: Namespace, other: Namespace, most: int, counts: Counts
) -> Iterator[str]:
    """What is there, counted here, against the limits and against what the memory counts itself."""
    held: dict[Namespace, list[Held]] = {full: [], other: []}
    for fact in place.held():
        held.get(tuple(json.loads(fact.namespace)), []).append(fact)
    strangers = [fact for fact in held[full] if _FULL[fact.triple[0]] != "user"]
    lately = [fact for fact in strangers if fact.triple[0] in _BY_TIME]
    for what, count, limit in (
        ("statements", len(held[full]), most),
        ("statements of pages and documents", len(strangers), most // 2),
        ("statements of pages in an hour", len(lately), most // 4),
    ):
        if count > limit:
            counts.wrong += count - limit
            yield f"{count} {what} are there, {limit} may be"
    if len(held[full]) < most:
        yield f"writers were refused with {len(held[full])} of {most} statements there"
    for namespace, facts in held.items():
        if (counted := memory.stats(namespace=namespace).use.statements) != len(facts):
            yield f"the memory counts {counted} statements where {len(facts)} are"


def _one_more(memory: Memory, full: Namespace, some: str) -> Iterator[str]:
    """One more statement is refused and leaves nothing; when one was forgotten it is taken, and no second one."""
    for op_id, room in (("one more", False), ("one more", True), ("another", False)):
        if room:
            memory.forget(name=some, namespace=full)
        try:
            memory.write([("ada", "likes", op_id)], namespace=full, op_id=op_id)
        except QuotaExceeded:
            if room or memory.receipt(op_id, namespace=full) is not None:
                yield f"{op_id!r} is refused with room for one" if room else f"{op_id!r} is refused and has a receipt"
        else:
            if not room:
                yield f"{op_id!r} was taken by a full memory"
