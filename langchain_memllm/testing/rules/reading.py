"""What reading finds by name, alias, relation and inverse, and in whose namespace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.memory import Memory
from langchain_memllm.relations import Relation
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing.rules.base import ADA, LOOSE, NS, OTHER, StoreRules, shown, statuses
from langchain_memllm.triples import Query, Statement


class ReadingRules(StoreRules):
    """Answers, their order and their limits; aliases; record time and event time; recall."""

    def test_nothing_stored_is_an_empty_answer(self, memory: Memory) -> None:
        assert not memory.read("Ada", "likes", namespace=NS)
        assert not memory.recall("What does Ada like?", namespace=NS)
        assert memory.history("Ada", namespace=NS) == []
        assert memory.stats(namespace=NS).facts == 0

    def test_newest_first_thirty_at_most_and_truncated_beyond(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", f"tea {i:02}") for i in range(31)], namespace=NS)
        result = memory.read("Ada", "likes", namespace=NS)
        assert result.answers == tuple(f"tea {i:02}" for i in range(30, 0, -1))
        assert result.truncated
        assert not memory.read("Ada", "likes", namespace=NS, limit=31).truncated

    def test_aliases_find_both_names_and_one_slot_is_shared(self, memory: Memory) -> None:
        memory.write([("New York City", "head of government", "LaGuardia")], namespace=NS, source=ADA)
        assert memory.alias("New York City", "NYC", namespace=NS) == ("NYC", "New York City")
        result = memory.read("nyc", "head of government", namespace=NS)
        assert (result.answers, result.matches[0].how) == (("LaGuardia",), "alias")
        receipt = memory.write([("NYC", "head of government", "Koch")], namespace=NS, source=ADA)
        assert len(receipt.outcomes[0].supersedes) == 1
        assert memory.read("New York City", "head of government", namespace=NS).answers == ("Koch",)
        memory.write([("Koch", "lives in", "NYC")], namespace=NS, source=ADA)
        again = memory.write([("Koch", "lives in", "New York City")], namespace=NS, source=ADA)
        assert statuses(again) == ["already"]
        with pytest.raises(ConfigurationError, match="32"):
            for i in range(40):
                memory.alias("NYC", f"N{i}", namespace=NS)

    def test_as_of_record_time_and_event_time(self, memory: Memory) -> None:
        memory.write([Statement("Ada", "lives in", "Oslo", valid_from="2010")], namespace=NS, source=ADA)
        before = memory.history("Ada", namespace=NS)[0].recorded_at
        memory.write([Statement("Ada", "lives in", "Rome", valid_from="2020-05")], namespace=NS, source=ADA)
        memory.write(
            [Statement("Ada", "lives in", "Paris", valid_from="2001", valid_to="2003")], namespace=NS, source=ADA
        )
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
        assert memory.read("Ada", "lives in", namespace=NS, at=before).answers == ("Oslo",)
        assert memory.read("Ada", "lives in", namespace=NS, at="2001-01-01").answers == ()
        assert memory.read("Ada", "lives in", namespace=NS, valid_at="2002").answers == ("Paris",)
        assert memory.read("Ada", "lives in", namespace=NS, valid_at="2015").answers == ("Oslo",)
        assert memory.read("Ada", "lives in", namespace=NS, valid_at="2021-01-01").answers == ("Rome",)
        assert memory.read(None, "lives in", "Oslo", namespace=NS, valid_at="2015").answers == ("Ada",)

    def test_several_namespaces_answer_in_the_order_of_the_call(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=NS)
        memory.write([("Ada", "likes", "gin")], namespace=OTHER)
        assert memory.read("Ada", "likes", namespace=[NS, OTHER]).answers == ("tea", "gin")
        assert memory.read("Ada", "likes", namespace=[OTHER, NS]).answers == ("gin", "tea")

    def test_many_queries_at_once(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea"), ("Bob", "likes", "gin")], namespace=NS)
        results = memory.read_many(
            [Query("Bob", "likes"), Query(None, "likes", "tea"), Query("X", "likes")], namespace=NS
        )
        assert [result.answers for result in results] == [("gin",), ("Ada",), ()]

    def test_recall_finds_names_and_words(self, memory: Memory) -> None:
        memory.write(
            [("Ada Lovelace", "lives in", "Oslo"), ("user", "likes", "tea"), ("Bob", "likes", "gin")], namespace=NS
        )
        (found,) = memory.recall("Where does Ada Lovelace live?", namespace=NS, speaker=None)
        assert (tuple(found.triple), found.how) == (("Ada Lovelace", "lives in", "Oslo"), "exact")
        assert shown(memory.recall("What do I like?", namespace=NS)) == [("user", "likes", "tea")]


class RelationRules(StoreRules):
    """Relations in other words, with less detail, and of nobody's catalogue."""

    @pytest.mark.parametrize(
        ("stored", "asked"),
        [
            ("employer", "works for"),
            ("occupation", "works as"),
            ("residence", "lives in"),
            ("date of birth", "birthday"),
            ("is based in", "lives in"),
            ("role", "works as"),
            ("home city", "residence"),
        ],
    )
    def test_one_relation_in_two_words_is_one(self, memory: Memory, stored: str, asked: str) -> None:
        """What is stored by one is read by the other, and an update closes it."""
        memory.write([("user", stored, "Old")], namespace=NS, source=ADA)
        assert memory.read("user", asked, namespace=NS).answers == ("Old",)
        (outcome,) = memory.write([("user", asked, "New")], namespace=NS, source=ADA)
        assert len(outcome.supersedes) == 1
        assert memory.read("user", stored, namespace=NS).answers == ("New",)

    def test_past_and_present_are_two_relations(self, memory: Memory) -> None:
        """Past forms hold many values and close nothing."""
        memory.write([("user", "works for", "Equinor")], namespace=NS, source=ADA)
        memory.write(
            [("user", "worked for", "Shell"), ("user", "former employer", "Statoil")], namespace=NS, source=ADA
        )
        assert memory.read("user", "employer", namespace=NS).answers == ("Equinor",)
        assert memory.read("user", "used to work for", namespace=NS).answers == ("Statoil", "Shell")

    def test_a_general_relation_is_answered_by_those_with_more_detail(self, memory: Memory) -> None:
        """``broader``; from both ends, at another time, with an alias, and by the inverse."""
        facts = [
            ("Kari", "son", "Per"),
            ("Kari", "daughter", "Mia"),
            ("Kari", "child", "Bo"),
            ("Tor", "father", "Kari"),
        ]
        memory.write(facts, namespace=NS, source=ADA)
        memory.alias("Kari", "Kari Nordmann", namespace=NS)
        children = {"Per", "Mia", "Bo", "Tor"}  # who said that Kari is the father said it, too
        assert set(memory.read("Kari", "child", namespace=NS).answers) == children
        assert set(memory.read("Kari Nordmann", "children", namespace=NS, at="2100-01-01").answers) == children
        assert memory.read(None, "child", "Mia", namespace=NS).answers == ("Kari",)
        assert memory.read("Tor", "parent", namespace=NS).answers == ("Kari",)
        backwards = memory.read("Per", "parent", namespace=NS).matches
        assert [(match.answer, match.how) for match in backwards] == [("Kari", "inverse")]
        assert memory.read("Kari", "son", namespace=NS).answers == ("Per",)
        limited = memory.read("Kari", "child", namespace=NS, limit=2)
        assert (len(limited), limited.truncated) == (2, True)

    def test_history_and_forgetting_find_what_a_general_relation_reads(self, memory: Memory) -> None:
        facts = [("Kari", "son", "Per"), ("Kari", "child", "Bo"), ("Kari", "brother", "Tor"), ("Ada", "son", "Jo")]
        memory.write(facts, namespace=NS, source=ADA)
        assert [fact.triple.object for fact in memory.history("Kari", "child", namespace=NS)] == ["Per", "Bo"]
        assert [fact.triple.object for fact in memory.history("Kari", "son", namespace=NS)] == ["Per"]
        assert memory.forget(subject="Kari", relation="child", namespace=NS).facts == 2
        assert not memory.read("Kari", "child", namespace=NS)
        assert memory.read("Kari", "sibling", namespace=NS).answers == ("Tor",)
        assert memory.read("Ada", "child", namespace=NS).answers == ("Jo",)

    @pytest.mark.parametrize(("unknown", "answers"), [("many", ("red", "blue")), ("one_at_a_time", ("red",))])
    def test_relations_that_nobody_declared(self, store: TripleStore, unknown: str, answers: tuple[str, ...]) -> None:
        """``unknown_relations``, a policy of the client."""
        memory = Memory(store, unknown_relations=unknown)  # type: ignore[arg-type]
        memory.write([("user", "bike colour", "blue")], namespace=NS, source=ADA)
        memory.write([("user", "bike colour", "red")], namespace=NS, source=ADA)
        assert memory.read("user", "bike colour", namespace=NS).answers == answers
        assert memory.read("user", "likes", namespace=NS).answers == ()
        memory.write([("user", "likes", "tea"), ("user", "likes", "coffee")], namespace=NS, source=ADA)
        assert len(memory.read("user", "likes", namespace=NS)) == 2
        with pytest.raises(ConfigurationError, match="'many' or 'one_at_a_time'"):
            Memory(store, unknown_relations="one")  # type: ignore[arg-type]

    def test_a_declared_name_wins_over_one_that_was_shipped_later(self, store: TripleStore) -> None:
        """What a store kept before never makes it unopenable."""
        kept = '[{"label": "home city"}, {"label": "jobs", "aliases": ["worked for", "employer"]}]'
        assert store.put_record("relations", kept, expected=None) == kept
        memory = Memory(store)
        memory.write([("user", "home city", "Bergen"), ("user", "home city", "Oslo")], namespace=NS, source=ADA)
        memory.write([("user", "employer", "Equinor")], namespace=NS, source=ADA)
        assert set(memory.read("user", "home city", namespace=NS).answers) == {"Bergen", "Oslo"}
        assert memory.read("user", "jobs", namespace=NS).answers == ("Equinor",)
        memory.declare(Relation("feeds"))
        assert memory.read("user", "worked for", namespace=NS).answers == ("Equinor",)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("O'Brien", "O’Brien"), ("Jean-Luc", "Jean‑Luc"), ("Sarah", "Sarah\u200b"), ("Acme Inc.", "ａｃｍｅ inc")],
        ids=ascii,
    )
    def test_what_looks_the_same_is_one_name(self, memory: Memory, one: str, other: str) -> None:
        """Differences that cannot be seen; forgetting finds what reading finds."""
        memory.write([(one, "works for", "Equinor"), (other, "lives in", "Oslo")], namespace=NS)
        assert memory.read(one, "lives in", namespace=NS).answers == ("Oslo",)
        assert {match.fact.triple.object for match in memory.recall(f"Where is {other}?", namespace=NS)} == {
            "Equinor",
            "Oslo",
        }
        erased = memory.forget(name=one, namespace=NS)
        assert (erased.facts, erased.similar_names) == (2, ())
        assert not memory.read(other, "lives in", namespace=NS)


class NamespaceRules(StoreRules):
    """No namespace sees another, and any text is a name."""

    def test_namespaces_are_apart(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=("u", "1"))
        for namespace in (("u", "10"), ("u",), ("u", "1", ""[:0] + "x"), ('u","1',), ("u%", "1"), ("u_", "1")):
            assert not memory.read("Ada", "likes", namespace=namespace, thresholds=LOOSE)
            assert not memory.recall("Ada likes tea", namespace=namespace)
            assert list(memory.facts(namespace=namespace)) == []
            assert memory.forget(name="Ada", namespace=namespace).facts == 0
        assert memory.read("Ada", "likes", namespace=("u", "1")).answers == ("tea",)

    @pytest.mark.parametrize(
        "label", ["ada@example.com", "a/b", "a.b.c", "😀", "a b", "ä", "'; DROP TABLE fact; --", "`$x`"]
    )
    def test_any_label_is_a_namespace(self, memory: Memory, label: str) -> None:
        memory.write([("Ada", "likes", label)], namespace=("memllm", label))
        assert memory.read("Ada", "likes", namespace=("memllm", label)).answers == (label,)
        assert ("memllm", label) in memory.store.namespaces()

    @pytest.mark.parametrize("namespace", [None, (), "ada", ("",), ("a", 1), ("a\x00",), ("x" * 300,), ("\ud800",)])
    def test_a_missing_or_bad_namespace_raises(self, memory: Memory, namespace: object) -> None:
        verbs: list[Callable[[], object]] = [
            lambda: memory.write([("a", "b", "c")], namespace=namespace),  # type: ignore[arg-type]
            lambda: memory.read("a", "b", namespace=namespace),  # type: ignore[arg-type]
            lambda: memory.recall("a", namespace=namespace),  # type: ignore[arg-type]
            lambda: memory.forget(name="a", namespace=namespace),  # type: ignore[arg-type]
            lambda: memory.stats(namespace=namespace),  # type: ignore[arg-type]
        ]
        for verb in verbs:
            with pytest.raises(NamespaceError):
                verb()

    @pytest.mark.parametrize(
        "name", ["a>>b", "a;b", "({", "})", "x--", "`", "'", '"', "$p", "\u202eabc", "😀", "é" * 200, "a\\nb"]
    )
    def test_hostile_names_are_stored_unchanged(self, memory: Memory, name: str) -> None:
        memory.write([(name, f"rel {name}"[:200], f"obj {name}"[:200])], namespace=NS)
        (match,) = memory.read(name, f"rel {name}"[:200], namespace=NS)
        assert (match.triple.subject, match.answer) == (name, f"obj {name}"[:200].strip())
