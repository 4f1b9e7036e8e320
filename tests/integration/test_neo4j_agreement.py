"""Random scripts on the embedded store and on Neo4j: after every step both answer alike, to the id and the order."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from neo4j import ManagedTransaction

from langchain_memllm.belief import Batch, Claim, Quarantined, resolve
from langchain_memllm.errors import MemLLMError
from langchain_memllm.stores import cypher
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import (
    FactFilter,
    LookupQuery,
    Pending,
    SearchQuery,
    Selection,
    TripleStore,
    Vector,
)
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import Namespace, Source, Triple, literal_key, name_key, stable_hash
from langchain_memllm.verify.scripts import NAMES, SOURCES

pytestmark = pytest.mark.neo4j

TENANTS: list[Namespace] = [("t", "one"), ("t", "two")]
SINGLE, MANY, CODE = "lives in", "likes", "password"
RELATIONS = [SINGLE, MANY, CODE]
EMBEDDER = FakeEmbedder([["ada", "ada lovelace"], ["oslo", "oslo city"], ["tea", "black tea"], [SINGLE, "dwells in"]])


class Script:
    """One random run: steps go to both stores, and every answer is compared."""

    def __init__(self, seed: int, stores: Sequence[TripleStore]) -> None:
        self.random, self.stores, self.tick = random.Random(seed), stores, 0
        self.operations: list[tuple[Namespace, Batch]] = []

    def step(self) -> None:
        self.tick += 1
        kinds = ["write"] * 8 + ["again", "link", "erase", "erase", "restore"]
        getattr(self, self.random.choice(kinds))(self.random.choice(TENANTS))

    def both(self, call: Any) -> Any:
        answers = []
        for store in self.stores:
            try:
                answers.append(call(store))
            except MemLLMError as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    def write(self, namespace: Namespace) -> None:
        claims = tuple(self.claim(i) for i in range(self.random.randint(1, 5)))
        batch = Batch(
            f"op {self.tick}",
            stable_hash(str(self.tick)),
            f"2026-01-01T00:{self.tick // 60:02}:{self.tick % 60:02}.000000+00:00",
            claims,
            quarantine=(Quarantined(f"nonsense about {self.name()}", "cut off", self.source()),) * (self.tick % 7 == 0),
            policy=self.random.choice(["chat"] * 5 + ["edit", "paper"]),
            replaces=self.random.choice([None] * 4 + [("document", "notes.md")]),
        )
        self.operations.append((namespace, batch))
        written = self.both(lambda store: store.transact(namespace, batch, lambda now: resolve(batch, now)))
        self.embed(namespace, written.pending)

    def again(self, namespace: Namespace) -> None:
        if self.operations:
            earlier, batch = self.random.choice(self.operations)
            self.both(lambda store: store.transact(earlier, batch, lambda now: resolve(batch, now)))

    def link(self, namespace: Namespace) -> None:
        one, other = (self.random.choice(NAMES) for _ in range(2))
        if name_key(one) != name_key(other):
            self.both(lambda store: store.link(namespace, (name_key(one), one), (name_key(other), other), limit=4))

    def erase(self, namespace: Namespace) -> None:
        kind = self.random.choice(["fact", "slot", "name", "source", "everything"])
        if kind == "fact":
            facts = list(self.stores[0].facts([namespace]))
            selection = Selection(fact_ids=tuple(fact.id for fact in self.random.sample(facts, min(2, len(facts)))))
        elif kind == "slot":
            selection = Selection(slot=((name_key(self.name()),), self.random.choice(RELATIONS)))
        elif kind == "name":
            selection = Selection(name_keys=(name_key(self.name()),))
        elif kind == "source":
            source = self.source()
            selection = Selection(source=(self.random.choice([None, source.kind]), source.ref))
        else:
            selection = Selection(everything=self.random.random() < 0.3)
        if selection != Selection():
            self.both(lambda store: _unordered(store.erase(namespace, selection)))

    def restore(self, namespace: Namespace) -> None:
        parts = list(self.stores[0].dump(TENANTS[0]))
        self.both(lambda store: store.restore(TENANTS[0], parts))

    def claim(self, index: int) -> Claim:
        subject, relation, object_ = self.name(), self.random.choice(RELATIONS), self.name()
        return Claim(
            index,
            Triple(subject, relation, object_),
            *_keys(Triple(subject, relation, object_)),
            relation == SINGLE,
            self.source(self.random.choice([None, "Ada said so.", f"sentence {self.tick}"])),
            self.random.choice([None, None, "2001", "2010-05"]),
            self.random.choice([None, None, None, "2012"]),
            self.random.choice([None, 0.5]),
            self.random.random() < 0.15,
        )

    def name(self) -> str:
        return self.random.choice(NAMES)

    def source(self, text: str | None = None) -> Source:
        source = self.random.choice(SOURCES)
        return Source(source.kind, source.ref, source.principal, text, (0, 3) if text else None, self.tick)

    def embed(self, namespace: Namespace, pending: Sequence[Pending]) -> None:
        some = [item for item in pending if self.random.random() < 0.9]
        vectors: list[Vector | None] = [_vector(item.spelling) for item in some]
        vectors = [None if self.random.random() < 0.1 else vector for vector in vectors]
        self.both(lambda store: store.fill(namespace, some, vectors))

    def compare(self) -> None:
        for namespace in TENANTS:
            self.both(lambda store, ns=namespace: list(store.facts([ns])))
            self.both(lambda store, ns=namespace: store.stats(ns))
            self.both(lambda store, ns=namespace: store.aliases(ns))
            self.both(lambda store, ns=namespace: store.quarantined(ns))
            self.both(lambda store, ns=namespace: store.pending(ns))
        for namespace, batch in self.operations[-5:]:
            self.both(lambda store, ns=namespace, op=batch.op_id: store.receipt(ns, op))
        self.both(lambda store: store.namespaces())
        self.compare_reads()

    def compare_reads(self) -> None:
        queries = [
            LookupQuery(side, keys, relation, inverse)
            for side in ("subject", "object")
            for name in NAMES
            for keys in ((name_key(name), literal_key(name)),)
            for relation, inverse in ((None, None), (SINGLE, None), (MANY, SINGLE), (CODE, None))
        ]
        at = f"2026-01-01T00:{self.tick // 120:02}:30.000000+00:00"
        for namespaces in ([TENANTS[0]], TENANTS[::-1]):
            for limit in (30, 2):
                self.both(lambda store, ns=namespaces, most=limit: store.lookup(ns, queries, limit=most))
                self.both(lambda store, ns=namespaces, most=limit: store.lookup(ns, queries, at=at, limit=most))
                self.both(
                    lambda store, ns=namespaces, most=limit: store.lookup(ns, queries, valid_at="2011", limit=most)
                )
        for names in (["Ada"], ["Oslo", "tea"], []):
            keys = [name_key(name) for name in names]
            for namespace in TENANTS:
                self.both(lambda store, ns=namespace, k=keys: _grounded(store, ns, k))
        for where in (
            FactFilter(subject_keys=("ada",)),
            FactFilter(object_keys=("oslo",), open_only=True),
            FactFilter(relation=MANY, after_seq=3),
            FactFilter(source=("document", "notes.md")),
        ):
            self.both(lambda store, w=where: list(store.facts(TENANTS, w)))
        self.compare_searches()

    def compare_searches(self) -> None:
        searches = [
            SearchQuery(side, (name_key(name),), vector, relation, _vector(relation), keep, low, low, low, barred)
            for side in ("subject", "object")
            for name in ("Ada", "Oslo", "black tea", "Nobody")
            for vector in (_vector(name),)
            for relation in (SINGLE, "dwells in", MANY)
            for keep, low, barred in ((True, 0.6, frozenset()), (False, 0.3, frozenset({MANY})))
        ]
        for limit in (30, 2):
            answers = [store.search(TENANTS, searches, limit=limit) for store in self.stores]
            for mine, theirs in zip(*answers, strict=True):
                assert [(row.fact, row.how, row.via, row.similarity) for row in mine.rows] == [
                    (row.fact, row.how, row.via, row.similarity) for row in theirs.rows
                ]
                assert mine.truncated == theirs.truncated
                sides = [(row.entity_similarity, row.relation_similarity) for row in mine.rows]
                assert sides == [
                    pytest.approx((row.entity_similarity, row.relation_similarity), abs=1e-5) for row in theirs.rows
                ]


def _keys(triple: Triple) -> tuple[str, str, str]:
    object_key = literal_key(triple.object) if triple.relation == CODE else name_key(triple.object)
    return name_key(triple.subject), name_key(triple.relation), object_key


def _vector(text: str) -> Vector:
    return np.array(EMBEDDER.embed_query(text), np.float32)


def _grounded(store: TripleStore, namespace: Namespace, keys: Sequence[str]) -> list[object]:
    """What recall finds to rank: the names, the open facts with their similarities, and the words of each."""
    index = store.recall_index(namespace, keys)
    if index is None:
        return []
    held = index.facts.ids(range(len(index.facts)))
    found = store.candidates(namespace, list(dict.fromkeys(held)), _vector("Ada in Oslo"))
    names = {each.id: each.fact.id for each in found}
    words = [(names[each], *ends) for each, ends in zip(held, index.facts.ends.tolist(), strict=True) if each in names]
    return [index.named, words, [replace(each, id=0) for each in found]]


def _unordered(erased: Any) -> tuple[Any, ...]:
    counts = (erased.names, erased.relations, erased.sources, erased.operations, erased.quarantined)
    return (sorted(erased.fact_ids), *counts, sorted(erased.reopened))


SEEDS = int(os.environ.get("MEMLLM_SEEDS", "3"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_stores_answer_alike(seed: int, neo4j_store: Neo4jStore, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = noted_statements(monkeypatch)
    embedded = EmbeddedStore(":memory:")
    script = Script(seed, [embedded, neo4j_store])
    for _ in range(40):
        script.step()
        if script.tick % 5 == 0:
            script.compare()
    assert neo4j_store.check() == []
    assert sent <= known_statements()
    embedded.close()


def noted_statements(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every query text that is sent from now on."""
    sent: set[str] = set()
    run = ManagedTransaction.run

    def note(self: ManagedTransaction, query: str, *args: Any, **kwargs: Any) -> Any:
        sent.add(query)
        return run(self, query, *args, **kwargs)

    monkeypatch.setattr(ManagedTransaction, "run", note)
    return sent


def known_statements() -> set[str]:
    """The literals of ``stores.cypher``: nothing a user says is ever part of a query."""
    return (
        {text for text in vars(cypher).values() if isinstance(text, str)}
        | set(cypher.PURGE.values())
        | set(cypher.FOREIGN.values())
        | set(cypher.FOREIGN_LINKS.values())
    )
