"""The rules of the core, beside what the contract of the stores asks: what may be proposed, asked, and recalled by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from langchain_memllm.belief import Quarantined
from langchain_memllm.errors import ConfigurationError, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import Statement, Triple

NS = ("memllm", "ada")


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:") as opened:
        yield opened


@pytest.mark.parametrize(
    "triples",
    [
        ("Ada", "lives in", "Oslo"),
        Triple("Ada", "lives in", "Oslo"),
        Statement("Ada", "lives in", "Oslo"),
        {"subject": "Ada", "relation": "lives in", "object": "Oslo"},
        "Ada lives in Oslo",
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_triple_instead_of_a_list_is_a_mistake(memory: Memory, triples: Any) -> None:
    with pytest.raises(ConfigurationError, match="not a list of triples"):
        memory.write(triples, namespace=NS)
    assert memory.stats(namespace=NS).operations == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"span": [1]},
        {"span": [2, -1]},
        {"turn": 10**30},
        {"turn": True},
        {"confidence": 1.5},
        {"confidence": float("nan")},
        {"retract": "no"},
        {"valid_from": 2019},
        {"text": 5},
        {"when": "2019"},
    ],
    ids=str,
)
def test_a_statement_with_a_wrong_part_is_rejected_and_the_good_one_kept(memory: Memory, wrong: dict[str, Any]) -> None:
    triple = {"subject": "Ada", "relation": "likes", "object": "tea"}
    receipt = memory.write([{**triple, **wrong}, {**triple, "object": "milk"}], namespace=NS)
    assert [outcome.status for outcome in receipt] == ["rejected", "stored"]


@pytest.mark.parametrize(
    "asked", [{"at": 5}, {"at": "soon"}, {"valid_at": "soon"}, {"limit": 0}, {"limit": "5"}], ids=str
)
def test_what_cannot_be_asked(memory: Memory, asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        memory.read("Ada", "likes", namespace=NS, **asked)


def test_an_operation_is_found_by_its_name_as_it_was_given(memory: Memory) -> None:
    receipt = memory.write([("Ada", "likes", "tea")], namespace=NS, op_id=" message  17 ")
    assert memory.receipt(" message  17 ", namespace=NS) == receipt


@pytest.mark.parametrize(
    "text",
    [
        "Where does Ada live?",
        "Ada's home, please.",
        "Is it “Ada”, or (Ada)?",
        "Adaʼ s? No: ADA!",
        "Ask **Ada** — or `Ada`",
        "¿Ada?",
        "…Ada’s…",
        "Ada/Bob: who—",
    ],
)
def test_a_name_is_found_in_a_text_whatever_stands_around_it(memory: Memory, text: str) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
    if text == "Ada/Bob: who—":
        assert memory.recall(text, namespace=NS).matches[0].how == "similar"  # a word of the text, not a run of words
    else:
        assert memory.recall(text, namespace=NS).matches[0].how == "exact"


@pytest.mark.parametrize("text", ["Where do I live?", "I’m lost: where to live?", "live? I'm lost", "live: it is MINE"])
def test_who_says_i_is_the_speaker(memory: Memory, text: str) -> None:
    memory.write([("user", "lives in", "Oslo")], namespace=NS)
    assert [(match.answer, match.how) for match in memory.recall(text, namespace=NS)] == [("Oslo", "exact")]
    assert [match.how for match in memory.recall(text, namespace=NS, speaker=None)] == ["similar"]


@pytest.mark.parametrize("wrong", [{"text": None}, {"k": 0}, {"k": 1.5}], ids=str)
def test_what_cannot_be_recalled(memory: Memory, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        memory.recall(**{"text": "Ada", "namespace": NS, **wrong})


def test_forgetting_a_name_drops_quarantined_pieces_in_any_spelling_of_it(memory: Memory) -> None:
    pieces = [Quarantined("{jose\u0301  GARCIA >>", "cut off"), Quarantined("{bob >>", "cut off")]
    memory.write([("José Garcia", "likes", "tea")], namespace=NS)
    memory.write([("Al", "likes", "tea")], namespace=NS, quarantine=pieces)
    assert memory.forget(name="José Garcia", namespace=NS).quarantined == 1
    assert [piece.text for piece in memory.quarantined(namespace=NS)] == ["{bob >>"]


class AwayAfterCommit(EmbeddedStore):
    """A store that is away when the vectors of a write are to be kept, once."""

    away = True

    def fill(self, *args: Any, **options: Any) -> None:
        if self.away:
            self.away = False
            raise StoreUnavailable("away")
        super().fill(*args, **options)


def test_a_store_that_is_away_after_the_commit_does_not_hide_the_receipt() -> None:
    with Memory(AwayAfterCommit(":memory:"), embedder=FakeEmbedder()) as memory:
        (outcome,) = memory.write([("Ada Lovelace", "likes", "tea")], namespace=NS)
        assert outcome.status == "stored"
        assert memory.stats(namespace=NS).pending == 3  # two names and a relation
        assert memory.read("Ada Lovelace", "likes", namespace=NS).answers == ("tea",)
        memory.read("Ada Lovelac", "likes", namespace=NS)  # a similar search gives them their vectors
        assert memory.stats(namespace=NS).pending == 0
