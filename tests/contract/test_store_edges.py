"""Where stores go wrong first: a triple closed and stored at once, aliases, imports into what is there, forgetting."""

from __future__ import annotations

import json

import pytest

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.triples import Receipt, Source, Statement

NS = ("memllm", "ada")
ADA = Source("user", "chat-1", "ada")
DOCUMENT = Source("document", "notes.md")
WEB = Source("web", "example.org")


@pytest.fixture
def memory(store: TripleStore) -> Memory:
    return Memory(store)


def statuses(receipt: Receipt) -> list[str]:
    return [outcome.status for outcome in receipt]


def states(memory: Memory, subject: str) -> list[tuple[str, str]]:
    return [(fact.triple.object, fact.state) for fact in memory.history(subject, namespace=NS)]


# -- one operation that closes and stores the same triple ------------------------------------------------------------

NO_TEA = Statement("Ada", "likes", "tea", retract=True)


def test_a_triple_is_taken_back_and_stored_anew_by_one_operation(memory: Memory) -> None:
    memory.write([("Ada", "likes", "tea")], namespace=NS, source=ADA)
    receipt = memory.write([NO_TEA, ("Ada", "likes", "tea")], namespace=NS, source=ADA)
    assert statuses(receipt) == ["retracted", "stored"]
    assert states(memory, "Ada") == [("tea", "past"), ("tea", "current")]


def test_a_triple_is_stored_taken_back_and_stored_by_one_operation(memory: Memory) -> None:
    receipt = memory.write([("Ada", "likes", "tea"), NO_TEA, ("Ada", "likes", "tea")], namespace=NS, source=ADA)
    assert statuses(receipt) == ["stored", "retracted", "stored"]
    assert states(memory, "Ada") == [("tea", "past"), ("tea", "current")]
    assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)


def test_a_better_document_restates_what_its_own_first_value_superseded(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=WEB)
    memory.write([("Ada", "lives in", "Bergen"), ("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
    assert states(memory, "Ada") == [("Oslo", "past"), ("Bergen", "contested"), ("Oslo", "contested")]


def test_the_earlier_of_two_values_said_at_once_holds_at_no_later_date(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Oslo"), ("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
    assert memory.read("Ada", "lives in", valid_at="9999", namespace=NS).answers == ("Bergen",)


# -- contested -------------------------------------------------------------------------------------------------------


def test_contested_is_told_by_one_answer_of_two_and_by_a_single_fact(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
    memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=WEB)
    (first,) = memory.read("Ada", "lives in", namespace=NS, limit=1)
    assert (first.answer, first.fact.state) == ("Oslo", "contested")
    fact = memory.explain(first.fact.id, namespace=NS)
    assert fact is not None
    assert fact.state == "contested"


def test_contested_is_told_across_aliases(memory: Memory) -> None:
    memory.alias("Ada", "Countess", namespace=NS)
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
    memory.write([("Countess", "lives in", "Bergen")], namespace=NS, source=WEB)
    assert [match.fact.state for match in memory.read("Ada", "lives in", namespace=NS)] == ["contested", "contested"]
    assert states(memory, "Ada") == [("Oslo", "contested"), ("Bergen", "contested")]


# -- exports come back -----------------------------------------------------------------------------------------------


def test_history_put_into_another_namespace_points_at_the_facts_there(memory: Memory) -> None:
    memory.write([Statement("Ada", "lives in", "Oslo", valid_from="2010")], namespace=NS, source=ADA)
    memory.write([Statement("Ada", "lives in", "Bergen", valid_from="2015")], namespace=NS, source=ADA)
    there = ("memllm", "there")
    memory.restore(list(memory.export(namespace=NS)), namespace=there)
    oslo, bergen = memory.history("Ada", namespace=there)
    assert oslo.closed_by == bergen.id
    assert memory.read("Ada", "lives in", valid_at="2020", namespace=there).answers == ("Bergen",)


def test_a_successor_may_come_in_a_later_block(memory: Memory) -> None:
    memory.write([Statement("Ada", "lives in", "Oslo", valid_from="2010")], namespace=NS, source=ADA)
    memory.write([("Ada", "knows", f"person {number}") for number in range(1000)], namespace=NS, source=ADA)
    memory.write([Statement("Ada", "lives in", "Bergen", valid_from="2015")], namespace=NS, source=ADA)
    there = ("memllm", "there")
    memory.restore(list(memory.export(namespace=NS)), namespace=there)
    assert memory.read("Ada", "lives in", valid_at="2020", namespace=there).answers == ("Bergen",)


def test_what_stands_already_is_not_stored_twice_by_an_import(memory: Memory) -> None:
    copy = Memory(":memory:")
    copy.write([("Ada", "likes", "tea"), ("Ada", "likes", "milk")], namespace=NS, source=DOCUMENT)
    memory.write([("Bob", "likes", "gin"), ("Ada", "likes", "tea")], namespace=NS, source=ADA)
    assert memory.restore(list(copy.export(namespace=NS))) == 2
    assert sorted(memory.read("Ada", "likes", namespace=NS).answers) == ["milk", "tea"]
    assert memory.stats(namespace=NS).facts == 3


def test_records_before_a_bad_one_are_restored(memory: Memory) -> None:
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
def test_a_damaged_record_is_named_and_stores_nothing(memory: Memory, part: dict[str, object]) -> None:
    copy = Memory(":memory:")
    copy.write([("Ada", "likes", "tea")], namespace=NS, source=ADA)
    (record,) = (record for record in copy.export(namespace=NS) if record["type"] == "fact")
    with pytest.raises(ConfigurationError, match="record 1 is not one of an export"):
        memory.restore([{**record, **part}])
    assert memory.stats(namespace=NS).facts == 0


# -- forgetting ------------------------------------------------------------------------------------------------------


def test_what_an_alias_superseded_keeps_no_id_of_the_forgotten_fact(memory: Memory) -> None:
    memory.alias("Ada", "Countess", namespace=NS)
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
    closer = memory.write([("Countess", "lives in", "Bergen")], namespace=NS, source=ADA).outcomes[0]
    memory.forget(fact_id=closer.fact_id, namespace=NS)
    (oslo,) = memory.history("Ada", namespace=NS)
    assert (oslo.state, oslo.closed_by) == ("past", None)


def test_receipts_of_an_alias_keep_no_id_of_the_forgotten_fact(memory: Memory) -> None:
    memory.alias("Ada", "Countess", namespace=NS)
    first = memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT).outcomes[0]
    memory.write([("Countess", "lives in", "Bergen")], namespace=NS, source=WEB, op_id="second")
    memory.forget(fact_id=first.fact_id, namespace=NS)
    kept = memory.receipt("second", namespace=NS)
    assert kept is not None
    assert kept.outcomes[0].contests == ()


@pytest.mark.parametrize(
    "part",
    [{"valid_from": "when Ada moved"}, {"text": "Ada\ud800"}, {"turn": "Ada"}, {"span": "Ada"}, {"confidence": "Ada"}],
    ids=str,
)
def test_a_rejected_statement_leaves_no_word_in_its_receipt(memory: Memory, part: dict[str, object]) -> None:
    triple = {"subject": "Ada", "relation": "likes", "object": "tea"}
    receipt = memory.write([{**triple, **part}], namespace=NS, op_id="op")
    assert statuses(receipt) == ["rejected"]
    assert "Ada" not in str(receipt.outcomes[0].reason)
    kept = memory.receipt("op", namespace=NS)
    assert kept is not None
    assert "Ada" not in json.dumps([outcome.reason for outcome in kept])
