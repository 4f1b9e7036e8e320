"""Exports that come back, and relations that all clients of a store share."""

from __future__ import annotations

import pytest

from langchain_memllm import agreement
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import Memory
from langchain_memllm.relations import Relation
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing.rules.base import ADA, DOCUMENT, NS, OTHER, StoreRules, shown
from langchain_memllm.triples import Statement


class MovingRules(StoreRules):
    """What is exported is restored here and elsewhere; damaged records are named and store nothing."""

    def test_export_and_restore_keep_everything(self, memory: Memory, store: TripleStore) -> None:
        memory.declare(Relation("spirit animal", cardinality="one_at_a_time"))
        for animal in ("owl", "fox"):
            statement = Statement("Ada", "spirit animal", animal, text=f"My animal is the {animal}.", turn=1)
            memory.write([statement, ("Ada", "likes", "tea")], namespace=NS, source=ADA)
        memory.alias("Ada", "Countess", namespace=NS)
        records = list(memory.export(namespace=NS))
        copy = Memory(":memory:")
        assert copy.restore(records) == 3
        assert list(copy.export(namespace=NS)) == records
        assert copy.restore(records) == 3
        assert list(copy.export(namespace=NS)) == records
        assert copy.read("countess", "spirit animal", namespace=NS).answers == ("fox",)
        back = ("memllm", "back")
        memory.restore(records, namespace=back)
        assert shown(memory.facts(namespace=back)) == shown(memory.facts(namespace=NS))
        with pytest.raises(ConfigurationError, match="record 1"):
            copy.restore([{"type": "fact"}])

    def test_history_put_into_another_namespace_points_at_the_facts_there(self, memory: Memory) -> None:
        memory.write([Statement("Ada", "lives in", "Oslo", valid_from="2010")], namespace=NS, source=ADA)
        memory.write([Statement("Ada", "lives in", "Bergen", valid_from="2015")], namespace=NS, source=ADA)
        there = ("memllm", "there")
        memory.restore(list(memory.export(namespace=NS)), namespace=there)
        oslo, bergen = memory.history("Ada", namespace=there)
        assert oslo.closed_by == bergen.id
        assert memory.read("Ada", "lives in", valid_at="2020", namespace=there).answers == ("Bergen",)

    def test_a_successor_may_come_in_a_later_block(self, memory: Memory) -> None:
        memory.write([Statement("Ada", "lives in", "Oslo", valid_from="2010")], namespace=NS, source=ADA)
        memory.write([("Ada", "knows", f"person {number}") for number in range(1000)], namespace=NS, source=ADA)
        memory.write([Statement("Ada", "lives in", "Bergen", valid_from="2015")], namespace=NS, source=ADA)
        there = ("memllm", "there")
        memory.restore(list(memory.export(namespace=NS)), namespace=there)
        assert memory.read("Ada", "lives in", valid_at="2020", namespace=there).answers == ("Bergen",)

    def test_what_stands_already_is_not_stored_twice_by_an_import(self, memory: Memory) -> None:
        copy = Memory(":memory:")
        copy.write([("Ada", "likes", "tea"), ("Ada", "likes", "milk")], namespace=NS, source=DOCUMENT)
        memory.write([("Bob", "likes", "gin"), ("Ada", "likes", "tea")], namespace=NS, source=ADA)
        assert memory.restore(list(copy.export(namespace=NS))) == 2
        assert sorted(memory.read("Ada", "likes", namespace=NS).answers) == ["milk", "tea"]
        assert memory.stats(namespace=NS).facts == 3

    def test_records_before_a_bad_one_are_restored(self, memory: Memory) -> None:
        copy = Memory(":memory:")
        copy.write([("Ada", "likes", "tea"), ("Ada", "likes", "milk")], namespace=NS, source=ADA)
        with pytest.raises(ConfigurationError, match=r"record 9 .*'type' is missing"):
            memory.restore([*copy.export(namespace=NS), {}])  # four names, two facts, an operation, how far it came
        assert memory.stats(namespace=NS).facts == 2

    @pytest.mark.parametrize(
        "part",
        [
            {"seq": 10**30},
            {"seq": -1},
            {"ordinal": 5000},
            {"recorded_at": 5},
            {"recorded_at": "soon"},
            {"closed_by": "zz"},
            {"closed_why": "because"},
            {"id": "z"},
            {"confidence": "high"},
            {"valid_from": "spring"},
            {"sources": []},
            {"kind": "rumour"},
            {"type": "letter"},
        ],
        ids=str,
    )
    def test_a_damaged_record_is_named_and_stores_nothing(self, memory: Memory, part: dict[str, object]) -> None:
        copy = Memory(":memory:")
        copy.write([("Ada", "likes", "tea")], namespace=NS, source=ADA)
        (record,) = (record for record in copy.export(namespace=NS) if record["type"] == "fact")
        with pytest.raises(ConfigurationError, match="record 1 is not one of an export"):
            memory.restore([{**record, **part}])
        assert memory.stats(namespace=NS).facts == 0


class AgreementRules(StoreRules):
    """Relations declared by one client bind the others."""

    def test_relations_declared_by_one_client_bind_the_others(self, store: TripleStore) -> None:
        Memory(store, relations=[Relation("spirit animal", aliases=("totem",), cardinality="one")]).stats(namespace=NS)
        other = Memory(store)
        assert other.catalogue.resolve("totem").label == "spirit animal"
        with pytest.raises(ConfigurationError, match="spirit animal"):
            Memory(store, relations=[Relation("spirit animal", cardinality="many")]).stats(namespace=NS)

    def test_an_open_client_follows_what_another_declares_later(
        self, store: TripleStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(agreement, "FRESH", 0.0)  # it looks at every call instead of every few seconds
        open_before, other = Memory(store), Memory(store)
        open_before.write([("Ada", "spirit animal", "owl")], namespace=NS, source=ADA)
        assert not open_before.read("Ada", "totem", namespace=NS)
        other.declare(Relation("spirit animal", aliases=("totem",), cardinality="one_at_a_time"))
        assert open_before.read("Ada", "totem", namespace=NS).answers == ("owl",)
        open_before.write([("Ada", "totem", "fox")], namespace=NS, source=ADA)
        assert open_before.read("Ada", "spirit animal", namespace=NS).answers == ("fox",)

    def test_a_relation_with_facts_keeps_its_range(self, memory: Memory) -> None:
        for namespace in (NS, OTHER):
            memory.write([("Ada", "gate word", "Ab12"), ("Ada", "password", "Cd34")], namespace=namespace)
        with pytest.raises(ConfigurationError, match="'gate word' cannot have the range 'literal'"):
            memory.declare(Relation("gate word", range="literal"))
        with pytest.raises(ConfigurationError, match="'password' cannot have the range 'entity'"):
            memory.declare(Relation("password"), replace=True)
        memory.declare(Relation("gate word", cardinality="one"))
        with pytest.raises(ConfigurationError, match="'gate word' cannot have the range 'literal'"):
            memory.declare(Relation("gate word", range="literal"), replace=True)
        assert memory.read(None, "gate word", "ab12", namespace=NS).answers == ("Ada",)
        for namespace in (NS, OTHER):
            memory.forget(subject="Ada", relation="gate word", namespace=namespace)
        memory.declare(Relation("gate word", range="literal"), replace=True)
        memory.write([("Ada", "gate word", "Ab12")], namespace=NS)
        assert memory.read(None, "gate word", "ab12", namespace=NS).answers == ()
        assert memory.read(None, "gate word", "Ab12", namespace=NS).answers == ("Ada",)
