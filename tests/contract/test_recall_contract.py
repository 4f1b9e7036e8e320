"""What recall finds is the same on every store, at once, of nobody else, and nothing of what was forgotten."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from langchain_memllm.factindex import name_token, stems_of, word_token
from langchain_memllm.memory import Memory
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import Candidate, RecallIndex, TripleStore
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import Namespace, Source, Statement

NS, OTHER = ("memllm", "ada"), ("memllm", "bob")
CHAT, NOTES, WEB = Source("user", "chat-1", "ada"), Source("document", "notes.md"), Source("web", "page.example")
PEOPLE = ["user", "Ada", "Bob", "Chandra Rao", "Dagny", "Émile Zola", "Farida", "Gus"]
PLACES = ["Oslo", "Bergen", "Rome", "Lake Como", "New York", "Tromsø", "Kyoto"]
THINGS = ["tea", "green tea", "chess", "sailing boats", "jazz records", "rye bread", "old maps", "bees"]
RELATIONS = [("lives in", PLACES), ("visited", PLACES), ("likes", THINGS), ("owns", THINGS), ("knows", PEOPLE)]
EMBEDDER = FakeEmbedder([["likes", "enjoys"], ["lives in", "home"], ["tea", "green tea"], ["Oslo", "capital"]])
QUESTIONS = [
    *(f"Where does {person} live now?" for person in PEOPLE[1:]),
    *(f"What do you know about {thing}?" for thing in THINGS),
    *(f"Who has been to {place}?" for place in PLACES),
    *("What do I own?", "Where is my home?", "Whom do I know?", "Who am I?", "Do I like chess or jazz?"),
    *("What was said at the harbour?", "Does Addie have a lute?", "Which city is the home of who owns old maps?"),
]

Opened = Callable[[], TripleStore]


@pytest.fixture
def memory(store: TripleStore) -> Memory:
    return Memory(store, embedder=EMBEDDER)


@pytest.fixture(params=["file", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """A way to open one store several times, as several clients do."""
    made: list[TripleStore] = []

    def opened() -> TripleStore:
        if request.param == "file":
            made.append(EmbeddedStore(tmp_path / "memllm.db"))
        else:
            request.getfixturevalue("neo4j_store")  # empties the database
            server: LocalServer = request.getfixturevalue("neo4j_server")
            made.append(Neo4jStore(server.uri, auth=(server.user, server.password), deadline=120.0))
        return made[-1]

    yield opened
    for each in made:
        each.close()


def fill(memory: Memory, namespace: Namespace) -> None:
    """Some 200 facts: with aliases, past ones, several pieces of evidence, a sentence that is forgotten."""
    drawn = random.Random(7)
    for number in range(40):
        batch = []
        for _ in range(6):
            relation, objects = drawn.choice(RELATIONS)
            batch.append(Statement(drawn.choice(PEOPLE), relation, drawn.choice(objects)))
        source = drawn.choice([CHAT, CHAT, NOTES, WEB])
        text = drawn.choice([None, f"It was said at the harbour in week {number}.", "Heard over rye bread."])
        told = Source(source.kind, source.ref, source.principal, text)
        memory.write(batch, namespace=namespace, source=told, op_id=f"op {number}")
    memory.write([(f"guest {n}", "visited", f"room {n}") for n in range(90)], namespace=namespace, op_id="rooms")
    memory.alias("Ada", "Addie", namespace=namespace)
    memory.alias("Oslo", "Christiania", namespace=namespace)
    memory.write([("Addie", "owns", "a lute")], namespace=namespace, source=NOTES, op_id="lute")
    secret = Source("user", "chat-2", "ada", "The heron password is kept in the cellar.")
    memory.write([("Gus", "owns", "a cellar"), ("Gus", "likes", "tea")], namespace=namespace, source=secret, op_id="x")
    memory.forget(source="chat-2", namespace=namespace)


def recalled(memory: Memory, namespace: Namespace = NS) -> list[list[tuple[str, str, float]]]:
    return [
        [(match.fact.id, match.how, match.similarity) for match in memory.recall(text, namespace=namespace, k=20)]
        for text in QUESTIONS
    ]


def answers(memory: Memory, text: str, namespace: Namespace = NS) -> set[str]:
    return {match.fact.triple.object for match in memory.recall(text, namespace=namespace, k=50)}


def held(store: TripleStore, namespace: Namespace = NS, *keys: str) -> list[Candidate]:
    """The facts that the index holds."""
    index = store.recall_index(namespace, keys)
    if index is None:
        return []
    return store.candidates(namespace, list(dict.fromkeys(index.facts.ids(range(len(index.facts))))), None)


def holds(store: TripleStore, word: str, namespace: Namespace = NS) -> bool:
    """Whether any word of the index is this one, as it is compared."""
    return len(_index_of(store, namespace).facts.postings(word_token(stems_of(word)[0]))[0]) > 0


def test_every_store_recalls_the_same_in_the_same_order(memory: Memory) -> None:
    expected = Memory(EmbeddedStore(":memory:"), embedder=EMBEDDER)
    for each in (memory, expected):
        fill(each, NS)
    assert len(QUESTIONS) >= 30 and memory.stats(namespace=NS).facts >= 200 and memory.stats(namespace=NS).past > 0
    found = recalled(memory)
    assert found == recalled(expected)
    assert sum(map(bool, found)) >= 25
    assert {how for answer in found for _, how, _ in answer} >= {"exact", "alias", "similar", "neighbour"}
    expected.store.close()


def test_closed_facts_are_told_apart_from_those_that_are_open(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Oslo"), ("Ada", "likes", "tea")], namespace=NS)
    before = {each.fact.triple.object: each.id for each in held(memory.store)}
    assert memory.store.closed(NS, list(before.values())) == set()
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, policy="edit")
    assert memory.store.closed(NS, list(before.values())) == {before["Oslo"]}
    assert memory.store.closed(NS, []) == set()


def test_what_is_held_is_what_a_new_client_reads(again: Opened) -> None:
    """The index that grew with every operation is the one that is read at once."""
    writer, reader = Memory(again(), embedder=EMBEDDER), again()
    for number in range(5):
        writer.write([("Ada", "likes", f"tea {number}"), ("Ada", "owns", "bees")], namespace=NS, source=CHAT)
        grown = reader.recall_index(NS, ())
    cold = again().recall_index(NS, ())
    assert grown is not None and cold is not None and len(cold.facts) == 10
    assert np.array_equal(grown.facts.ends, cold.facts.ends)
    assert np.array_equal(grown.facts.ranks, cold.facts.ranks)
    assert grown.facts.ids(range(10)) == cold.facts.ids(range(10))


def test_what_one_client_writes_another_recalls_at_once(again: Opened) -> None:
    one, other = (Memory(again(), embedder=EMBEDDER) for _ in range(2))
    assert not other.recall("What does Ada like?", namespace=NS)
    for thing in THINGS:
        one.write([("Ada", "likes", thing)], namespace=NS, source=CHAT)
        assert thing in answers(other, "What does Ada like?")
    one.write([("Ada", "lives in", "Oslo")], namespace=NS, source=CHAT)
    one.write([("Ada", "lives in", "Rome")], namespace=NS, source=CHAT)  # closes the other, which is still in the index
    assert {"Oslo", "Rome"} & answers(other, "Where does Ada live?") == {"Rome"}
    one.forget(name="tea", namespace=NS)
    assert "tea" not in answers(other, "What does Ada like?")
    assert not any(name_token("tea") in row for row in _index_of(other.store).facts.ends.tolist())


def test_nothing_of_what_was_forgotten_is_held(memory: Memory) -> None:
    secret = Source("user", "chat-2", "ada", "The heron password is kept in the cellar.")
    memory.write([("Gus", "owns", "cellar"), ("Gus", "likes", "tea")], namespace=NS, source=secret)
    memory.write([("Gus", "likes", "tea"), ("Ada", "likes", "bees")], namespace=NS, source=CHAT)
    assert holds(memory.store, "heron") and holds(memory.store, "cellar")
    memory.forget(fact_id=memory.read("Gus", "owns", namespace=NS).matches[0].fact.id, namespace=NS)
    assert not holds(memory.store, "heron")  # the sentence also told a fact that stays
    assert not holds(memory.store, "cellar")
    assert {each.fact.triple.object for each in held(memory.store)} == {"tea", "bees"}
    memory.forget(source="chat-1", namespace=NS)
    assert {each.fact.triple.object for each in held(memory.store)} == {"tea"}
    memory.forget(everything=True, namespace=NS)
    assert memory.store.recall_index(NS, ("gus",)) is None
    memory.write([("Bob", "likes", "tea")], namespace=NS)
    assert [each.fact.triple.subject for each in held(memory.store)] == ["Bob"]
    assert not holds(memory.store, "Gus")


def test_a_namespace_holds_and_recalls_nothing_of_another(memory: Memory) -> None:
    said = Source("user", "chat-1", "bob", "We met at the harbour.")
    memory.write([("Ada", "likes", "tea")], namespace=NS, source=CHAT)
    memory.write([("Ada", "likes", "chess"), ("Bob", "owns", "bees")], namespace=OTHER, source=said)
    memory.alias("Ada", "Addie", namespace=OTHER)
    for namespace, objects in ((NS, {"tea"}), (OTHER, {"chess", "bees"})):
        assert {each.fact.triple.object for each in held(memory.store, namespace)} == objects
        assert answers(memory, "What does Ada like? Who owns bees?", namespace) == objects
    assert not holds(memory.store, "harbour") and holds(memory.store, "harbour", OTHER)
    assert [name.key for name in _index_of(memory.store, NS, "ada", "addie", "bob").named] == ["ada"]
    others = list(dict.fromkeys(_index_of(memory.store, OTHER).facts.ids(range(2))))
    assert memory.store.candidates(NS, others, None) == []
    assert memory.store.recall_index(("memllm", "nobody"), ("ada",)) is None


def test_what_was_restored_is_recalled(memory: Memory) -> None:
    """Restored facts have old numbers: an index that was held before does not miss them."""
    source = Memory(EmbeddedStore(":memory:"), embedder=EMBEDDER)
    fill(source, NS)
    memory.write([("Zoe", "likes", "kites")], namespace=NS, op_id="zoe")
    memory.write([(f"Zoe {n}", "likes", "kites") for n in range(3)], namespace=NS)
    assert len(held(memory.store)) == 4
    parts = list(source.export(namespace=NS))
    memory.restore(parts, source_type="system")
    assert len(held(memory.store)) == 4 + source.stats(namespace=NS).facts
    memory.forget(name="Zoe", namespace=NS)
    for number in range(3):
        memory.forget(name=f"Zoe {number}", namespace=NS)
    assert recalled(memory) == recalled(source)
    source.store.close()


def test_names_and_similarities_of_a_index_of(memory: Memory) -> None:
    memory.write([("Ada", "likes", "tea"), ("Bob", "likes", "green tea")], namespace=NS)
    memory.alias("Ada", "Addie", namespace=NS)
    index = _index_of(memory.store, NS, "bob", "ada", "nobody")
    assert [(name.key, name.how, name.spelling) for name in index.named] == [
        ("bob", "exact", "Bob"),
        ("ada", "exact", "Ada"),
        ("addie", "alias", "Addie"),
    ]
    assert (index.relations.keys, index.relations.labels) == (("likes",), ("likes",))
    (vector,) = memory.vectors.embed(["tea"])
    assert vector is not None
    ids = index.facts.ids([1, 0])
    found = memory.store.candidates(NS, ids, vector)
    assert [each.id for each in found] == ids
    assert [(each.subject_key, each.relation_key, each.object_key) for each in found] == [
        ("bob", "likes", "green tea"),
        ("ada", "likes", "tea"),
    ]
    assert found[1].object_similarity == pytest.approx(1.0, abs=1e-5)
    assert found[0].object_similarity == pytest.approx(0.95, abs=0.05)
    assert all(abs(each.subject_similarity) < 0.6 for each in found)
    assert [each.object_similarity for each in memory.store.candidates(NS, ids, None)] == [0.0, 0.0]
    assert memory.store.candidates(NS, [], vector) == []


def _index_of(store: TripleStore, namespace: Namespace = NS, *keys: str) -> RecallIndex:
    index = store.recall_index(namespace, keys)
    assert index is not None
    return index
