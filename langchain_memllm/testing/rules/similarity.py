"""What a store finds by the vectors of names and relations."""

from __future__ import annotations

import numpy as np
import pytest

from langchain_memllm.errors import EmbedderMismatch
from langchain_memllm.memory import EXACT, PAPER_EDITING, Memory, Thresholds
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing.rules.base import ADA, LOOSE, NS, StoreRules, shown, statuses


class Hashing:
    """An embedder of another kind: eight numbers from a hash."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [list(np.random.default_rng(len(text)).normal(size=8)) for text in texts]


class Broken(Hashing):
    """An embedder that is out of order until it is mended."""

    broken = True

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.broken:
            raise TimeoutError("no answer")
        return super().embed_documents(texts)


class SimilarityRules(StoreRules):
    """Similar names and relations, and what happens without vectors."""

    def test_similar_names_answer_only_when_nothing_is_exact(self, memory: Memory) -> None:
        memory.write([("New York City", "mayor of town", "Fiorello")], namespace=NS)
        loose = memory.read("New York", "mayor of town", namespace=NS, thresholds=LOOSE)
        assert loose.answers == ("Fiorello",)
        assert loose.matches[0].how == "similar"
        assert 0.5 <= loose.matches[0].similarity < 1.0
        assert loose.matches[0].relation_similarity == pytest.approx(1.0, abs=1e-5)
        assert not memory.read("New York", "mayor of town", namespace=NS, thresholds=EXACT)
        memory.write([("New York", "mayor of town", "Exact")], namespace=NS)
        assert memory.read("New York", "mayor of town", namespace=NS, thresholds=LOOSE).answers == ("Exact",)

    def test_a_known_name_is_never_replaced_by_a_similar_one(self, memory: Memory) -> None:
        memory.write([("Pierre Curie", "favourite lab", "Sorbonne"), ("Marie Curie", "likes", "physics")], namespace=NS)
        assert not memory.read("Marie Curie", "favourite lab", namespace=NS, thresholds=LOOSE)
        paper = memory.read(
            "Marie Curie", "favourite lab", namespace=NS, thresholds=Thresholds(0.3, 0.3, 0.3, keep_known=False)
        )
        assert paper.answers == ("Sorbonne",)

    def test_similar_relations_of_a_known_name(self, memory: Memory) -> None:
        memory.write([("Ada", "favourite drink", "tea")], namespace=NS)
        result = memory.read("Ada", "preferred drink", namespace=NS, thresholds=LOOSE)
        assert result.answers == ("tea",)
        assert result.matches[0].entity_similarity == 1.0
        assert not memory.read("Ada", "mayor of town", namespace=NS, thresholds=LOOSE)

    def test_similar_answers_come_best_first_and_limited(self, memory: Memory) -> None:
        colours = [
            "red",
            "blue",
            "green",
            "black",
            "white",
            "brown",
            "grey",
            "pink",
            "gold",
            "silver",
            "orange",
            "purple",
        ]
        names = [f"River Street Bakery {colour}" for colour in colours]
        memory.write([(name, "opening phrase", f"o{i}") for i, name in enumerate(names)], namespace=NS)
        result = memory.read("River Street Bakery", "opening phrase", namespace=NS, thresholds=LOOSE, limit=5)
        similarities = [match.similarity for match in result]
        assert (len(result), result.truncated) == (5, True)
        assert similarities == sorted(similarities, reverse=True)

    def test_relations_of_the_catalogue_and_names_with_other_digits_are_kept_apart(self, memory: Memory) -> None:
        memory.write([("Ada", "place of birth", "London"), ("Room 12", "door colour", "red")], namespace=NS)
        assert not memory.read("Ada", "place of death", namespace=NS, thresholds=LOOSE)
        assert not memory.read("Room 13", "door colour", namespace=NS, thresholds=LOOSE)
        assert memory.read("the Room 12", "door colour", namespace=NS, thresholds=LOOSE).answers == ("red",)
        assert memory.read("Ada", "place of death", namespace=NS, thresholds=PAPER_EDITING).answers == ("London",)

    def test_unreadable_names_are_found_exactly_only(self, memory: Memory) -> None:
        memory.write([("ᚠᚢᚦ", "likes", "ᚱᚢᚾ")], namespace=NS)
        assert memory.read("ᚠᚢᚦ", "likes", namespace=NS).answers == ("ᚱᚢᚾ",)
        assert not memory.read("ᚠᚢ", "likes", namespace=NS, thresholds=PAPER_EDITING)
        assert memory.stats(namespace=NS).pending == 0

    @pytest.mark.parametrize(("one", "other"), [("José", "Jose"), ("Mr. Smith", "Mr Smith"), ("Jean-Luc", "Jean Luc")])
    def test_another_spelling_answers_where_the_name_itself_does_not(
        self, memory: Memory, one: str, other: str
    ) -> None:
        """Accents and titles stay two names, are found as similar, and are told when one is forgotten."""
        memory.write([(one, "works for", "Equinor"), (other, "lives in", "Oslo")], namespace=NS)
        for name, relation, answer in ((one, "lives in", "Oslo"), (other, "works for", "Equinor")):
            (match,) = memory.read(name, relation, namespace=NS)
            assert (match.answer, match.how, match.entity_similarity) == (answer, "similar", 0.99)
            assert not memory.read(name, relation, namespace=NS, thresholds=EXACT)
        assert [match.how for match in memory.read(one, "works for", namespace=NS)] == ["exact"]
        erased = memory.forget(name=one, namespace=NS)
        assert (erased.facts, erased.similar_names) == (1, (other,))
        again = memory.forget(name=one, namespace=NS)
        assert (again.facts, again.similar_names) == (0, (other,))
        assert memory.read(other, "lives in", namespace=NS).answers == ("Oslo",)

    def test_forgetting_a_name_that_is_not_there_tells_which_are_like_it(self, memory: Memory) -> None:
        memory.write([("Marie Curie", "field of work", "physics"), ("Oslo", "mayor of", "Bo")], namespace=NS)
        assert memory.forget(name="Mary Curie", namespace=NS).similar_names == ("Marie Curie",)
        assert memory.forget(name="Zanzibar", namespace=NS).similar_names == ()
        assert memory.forget(subject="Mary Curie", relation="likes", namespace=NS).similar_names == ()

    def test_a_general_answer_to_a_special_question_is_only_similar(self, memory: Memory) -> None:
        memory.write([("Kari", "child", "Bo"), ("Ada", "sibling", "Mia")], namespace=NS)
        (match,) = memory.read("Kari", "son", namespace=NS)
        assert (match.answer, match.how, match.relation_similarity) == ("Bo", "similar", 0.9)
        assert not memory.read("Kari", "son", namespace=NS, thresholds=EXACT)
        assert not memory.read("Kari", "brother", namespace=NS)

    def test_another_embedder_is_refused_before_anything_is_written(self, store: TripleStore) -> None:
        Memory(store).write([("Ada", "likes", "tea")], namespace=NS)
        with pytest.raises(EmbedderMismatch, match="export"):
            Memory(store, embedder=Hashing()).write([("Ada", "likes", "gin")], namespace=NS)
        assert Memory(store).read("Ada", "likes", namespace=NS).answers == ("tea",)

    def test_an_embedder_outage_never_blocks_a_write(self, store: TripleStore) -> None:
        embedder = Broken()
        memory = Memory(store, embedder=embedder)
        assert statuses(memory.write([("Ada", "likes", "tea")], namespace=NS)) == ["stored"]
        assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)
        assert memory.stats(namespace=NS).pending == 3
        embedder.broken = False
        memory.read("Eda", "likes", namespace=NS)
        assert memory.stats(namespace=NS).pending == 0

    def test_recall_follows_a_relation_that_the_question_names(self, memory: Memory) -> None:
        memory.write(
            [
                ("Ada Lovelace", "lives in", "Oslo"),
                ("Oslo", "country", "Norway"),
                ("user", "likes", "tea"),
                ("Bob", "likes", "gin"),
            ],
            namespace=NS,
        )
        by_name = memory.recall("Which country does Ada Lovelace live in?", namespace=NS, speaker=None)
        assert shown(by_name) == [("Ada Lovelace", "lives in", "Oslo"), ("Oslo", "country", "Norway")]
        assert [match.how for match in by_name] == ["exact", "neighbour"]
        assert (
            shown(memory.recall("What about that lovelace person?", namespace=NS, speaker=None))[0][0] == "Ada Lovelace"
        )
        assert shown(memory.recall("What do I like?", namespace=NS)) == [("user", "likes", "tea")]
        assert len(memory.recall("Ada Lovelace in Oslo", namespace=NS, k=1)) == 1

    @pytest.mark.parametrize(("stored", "asked"), [("child", "son"), ("sibling", "sister")])
    def test_a_special_relation_closes_nothing_of_the_general_one(
        self, memory: Memory, stored: str, asked: str
    ) -> None:
        memory.write([("user", stored, "Old")], namespace=NS, source=ADA)
        assert memory.read("user", asked, namespace=NS).answers == ("Old",)
        (outcome,) = memory.write([("user", asked, "New")], namespace=NS, source=ADA)
        assert outcome.supersedes == ()
        assert memory.read("user", stored, namespace=NS).answers == ("New", "Old")
