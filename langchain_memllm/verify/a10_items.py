"""A10: LangGraph's long-term store does what LangGraph's own reference does, on random scripts; and what it adds.

Each script runs on ``MemLLMStore`` and on ``InMemoryStore``, by turns sync and async, and every answer is compared.
Where the two differ on purpose (docs/store.md) the script asks what both answer alike, or this file says what is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, Op, PutOp, Result, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

from langchain_memllm.adapters.store import MemLLMStore
from langchain_memllm.stores import open_store
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.ledger import Counts

__all__ = ["run"]

_BATCHES: Final = 20
_ALL: Final = 1_000
_WORDS: Final = ("cat", "dog", "boat", "tea")
# Look-alikes on purpose: prefixes, wildcards, separators, capitals, other scripts.
_NAMESPACES: Final = (
    ("a",),
    ("a", "b"),
    ("ab",),
    ("b", "a"),
    ("a", "b", "c"),
    ("A",),
    ("a/b",),
    ("a%2Fb",),
    ("日本", "é"),
)
_KEYS: Final = ("x", "X", "x.y", "x/y", "1", "", "🙂")
_TEXTS: Final = ("", "ü", "a'b\"c", "line\nbreak", "\x00", "1\x00", "10", "9", "$gt")
_FILTERS: Final = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """``scale`` scripts of twenty batches. Sabotage leaves out every seventh item of those that are put."""
    counts, asked = Counts(), 0
    for number in range(scale):
        random_ = random.Random(f"{seed} {number}")  # noqa: S311 - a workload, not secrets
        address = str(folder / f"items {number}.db") if server is None else server.uri
        script = _Script(random_, address, server, f"script {number}", sabotage)
        script.run()
        asked += script.asked
        counts.add(script.counts)
        counts.tell(number + 1, scale, "scripts")
    counts.figures = {"scripts": scale, "operations": asked}
    return counts


class _Script:
    """One script on both stores; what the answers differ in is counted."""

    def __init__(
        self, random_: random.Random, address: str, server: LocalServer | None, name: str, sabotage: bool
    ) -> None:
        self.counts, self.asked, self.put, self._said = Counts(), 0, 0, 0
        self._random, self._address, self._name, self._sabotage = random_, address, name, sabotage
        self._options = {} if server is None else {"auth": (server.user, server.password), "deadline": PATIENT}
        self._root = () if server is None else (name.replace(" ", "-"),)  # one database has the items of all scripts
        self._reference = InMemoryStore(index={"dims": len(_WORDS), "embed": _embed, "fields": ["text"]})

    def run(self) -> None:
        """Random batches, then everything once more as a new client finds it."""
        with self._opened() as items:
            for number in range(_BATCHES):
                ops = [self._op() for _ in range(self._random.randint(1, 6))]
                self._compare(items, ops, in_loop=number % 2 == 1)
            self._pages(items)
            self._expiry(items)
        with self._opened() as items:
            self._whole(items)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[MemLLMStore]:
        with contextlib.closing(open_store(self._address, **self._options)) as store:
            yield MemLLMStore(store, index={"dims": len(_WORDS), "embed": _embed, "fields": ["text"]})

    # -- what is asked -------------------------------------------------------------------------------------------

    def _op(self) -> Op:
        choice = self._random.choice
        labels, key, kind = (*self._root, *choice(_NAMESPACES)), choice(_KEYS), self._random.random()
        if kind < 0.4:
            return PutOp(labels, key, self._value() if self._random.random() < 0.75 else None)
        if kind < 0.55:
            return GetOp(labels, key)
        prefix = labels[: self._random.randint(len(self._root), len(labels))]
        if kind < 0.7:
            return SearchOp(prefix, filter=self._filter(), limit=_ALL)
        if kind < 0.85:
            return SearchOp(prefix, query=choice(_WORDS), filter=choice((None, self._filter())), limit=_ALL)
        path = tuple(choice((label, "*")) for label in labels[: self._random.randint(1, len(labels))])
        within = (MatchCondition("prefix", self._root),) if self._root else ()
        conditions = (*within, MatchCondition(choice(("prefix", "suffix")), path))
        return ListNamespacesOp(conditions, max_depth=choice((None, 1, 2, 3)), limit=_ALL)

    def _value(self) -> dict[str, Any]:
        self._said += 1  # the reference refuses a batch that has a text twice
        text = f"{' '.join(self._random.choices(_WORDS, k=2))} {self._said}"
        value: dict[str, Any] = {"text": text, "n": self._random.randint(0, 3)}
        extra = {
            "s": self._random.choice(_TEXTS),
            "f": self._random.choice((0.5, -1e300, 2**63, 1.0)),
            "b": self._random.choice((True, False, None)),
            "d": {"e": [self._random.randint(0, 1), {"ü/%": None}], "g": self._random.randint(0, 1)},
            "ü\n": self._random.choice(_TEXTS),
        }
        return value | {name: extra[name] for name in extra if self._random.random() < 0.5}

    def _filter(self) -> dict[str, Any]:
        """One that compares like with like: what a number does beside a text differs on purpose."""
        return self._random.choice(
            (
                {"n": {self._random.choice(_FILTERS): self._random.randint(0, 3)}},
                {"n": float(self._random.randint(0, 3))},
                {"s": self._random.choice(_TEXTS)},
                {"s": {self._random.choice(_FILTERS[:2]): self._random.choice(_TEXTS)}},
                {"ü\n": self._random.choice(_TEXTS)},
                {"b": self._random.choice((True, None))},
                {"d": {"g": 1}},
                {"n": {"$gte": 1, "$lt": 3}, "missing": {"$ne": 1}},
            )
        )

    # -- what is compared ----------------------------------------------------------------------------------------

    def _compare(self, items: MemLLMStore, ops: Sequence[Op], *, in_loop: bool) -> None:
        """The answers of both to a batch; ``in_loop`` asks from a running event loop."""
        self.asked += len(ops)
        existing = self._existing()
        expected = self._reference.batch(ops)
        answers = asyncio.run(items.abatch(self._given(ops))) if in_loop else items.batch(self._given(ops))
        for op, ours, theirs in zip(ops, answers, expected, strict=True):
            if isinstance(op, ListNamespacesOp):  # the reference lists those that are empty by now as well
                (listed,) = existing.batch([op])
                self.counts.wrong += ours != (sorted(listed) if isinstance(listed, list) else None)  # type: ignore[type-var]
            else:
                self._count(op, _shown(ours), _shown(theirs))
                self._order(op, ours)

    def _given(self, ops: Sequence[Op]) -> list[Op]:
        kept: list[Op] = []
        for op in ops:
            self.put += isinstance(op, PutOp)
            lost = self._sabotage and isinstance(op, PutOp) and self.put % 7 == 0
            kept.append(GetOp(op.namespace, op.key) if lost and isinstance(op, PutOp) else op)
        return kept

    def _existing(self) -> InMemoryStore:
        """A reference that has seen what there is and nothing that is gone."""
        store = InMemoryStore()
        found = self._reference.search((), limit=_ALL)
        store.batch([PutOp(item.namespace, item.key, item.value) for item in found])
        return store

    def _count(self, op: Op, ours: list[Any], theirs: list[Any]) -> None:
        missing = [item for item in theirs if item not in ours]
        foreign = [item for item in ours if item not in theirs]
        self.counts.lost += len(missing)
        self.counts.wrong += len(foreign)
        self.counts.duplicated += len(ours) - len(theirs) if len(ours) > len(theirs) and not foreign else 0
        if missing or foreign:
            self.counts.problems.append(f"{self._name}: {op} gave {ours}, and the reference {theirs}"[:500])

    def _order(self, op: Op, found: Result) -> None:
        """The best first, or without a query the newest."""
        if not isinstance(op, SearchOp) or not isinstance(found, list):
            return
        items = [item for item in found if isinstance(item, SearchItem)]
        places = [(-(item.score or 0.0) if op.query else -item.updated_at.timestamp()) for item in items]
        self.counts.wrong += places != sorted(places)
        self.counts.wrong += sum(item.created_at > item.updated_at for item in items)

    def _pages(self, items: MemLLMStore) -> None:
        """Page by page what one search gives at once."""
        for query in (None, "tea"):
            whole = items.search(self._root, query=query, limit=_ALL)
            size = self._random.randint(1, 4)
            pages = [items.search(self._root, query=query, limit=size, offset=at) for at in range(0, len(whole), size)]
            paged = [item for page in pages for item in page]
            self.counts.wrong += [_address(item) for item in paged] != [_address(item) for item in whole]
        self.counts.wrong += bool(items.search(self._root, limit=0))

    def _expiry(self, items: MemLLMStore) -> None:
        """What has expired is swept, and nothing else."""
        labels = (*self._root, "soon")
        items.batch([PutOp(labels, "gone", {"n": 1}, ttl=1e-9), PutOp(labels, "stays", {"n": 1}, ttl=60.0)])
        self.counts.wrong += items.sweep_ttl() != 1
        self.counts.wrong += [item.key for item in items.search(labels)] != ["stays"]
        items.delete(labels, "stays")

    def _whole(self, items: MemLLMStore) -> None:
        """Every item, as a client that has just come finds it."""
        ours, theirs = items.search(self._root, limit=_ALL), self._reference.search((), limit=_ALL)
        self._count(SearchOp(self._root), _shown(ours), _shown(theirs))
        self.counts.duplicated += len({_address(item) for item in ours}) != len(ours)


def _shown(found: Result) -> list[Any]:
    """Addresses, values and scores of an answer, in an order of their own."""
    items = [found] if isinstance(found, Item) else found or []
    shown = [
        (*_address(item), repr(item.value), round(getattr(item, "score", None) or 0.0, 5))
        for item in items
        if isinstance(item, Item)
    ]
    return sorted(shown)


def _address(item: Item) -> tuple[tuple[str, ...], str]:
    return item.namespace, item.key


def _embed(texts: Sequence[str]) -> list[list[float]]:
    """How often each word stands in a text."""
    return [[float(text.count(word)) for word in _WORDS] for text in texts]
