"""What says enough of a question to be shown, what places in rankings say together, and which sentence tells."""

from __future__ import annotations

import pytest

from langchain_memllm import MemLLMMemory
from langchain_memllm.recall.floor import Supported, above_floor
from langchain_memllm.recall.fusion import at_rank, fused
from langchain_memllm.recall.question import parse_question
from langchain_memllm.recall.telling import telling_sentence
from langchain_memllm.triples import Triple

PLAIN = parse_question("Who painted the Night Watch?", "user")
PERSONAL = parse_question("Where is my night lamp?", "user")


def supported(number: int, support: float, **options: object) -> Supported:
    return Supported(number, (f"subject {number}", f"object {number}"), support, **options)  # type: ignore[arg-type]


def test_what_says_too_little_is_not_shown() -> None:
    found = [supported(1, 0.55), supported(2, 0.45), supported(3, 0.1, is_named=True)]
    assert above_floor(PLAIN, found) == [1, 3]
    assert above_floor(PERSONAL, found) == [1, 2, 3]
    mine = [supported(1, 0.75, of_asker=True), supported(2, 0.65, of_asker=True)]
    assert above_floor(PLAIN, mine) == [1]
    assert above_floor(PERSONAL, mine) == [1, 2]
    assert above_floor(PERSONAL, [supported(1, 0.15)]) == []


@pytest.mark.parametrize(("question", "unsure", "sure"), [(PLAIN, 0.8, 1.0), (PERSONAL, 0.3, 0.5)])
def test_many_facts_that_fit_a_little_are_noise(question: object, unsure: float, sure: float) -> None:
    some = [supported(number, unsure) for number in range(10)]
    assert above_floor(question, some) == list(range(6))  # type: ignore[arg-type]
    assert above_floor(question, [supported(number, sure) for number in range(10)]) == list(range(10))  # type: ignore[arg-type]


def test_a_hop_leads_from_what_is_shown_only() -> None:
    first = Supported(1, ("user", "clara"), 0.9)
    second = Supported(2, ("clara", "lyon"), 0.0, via="Clara")
    third = Supported(3, ("lyon", "france"), 0.0, via="Lyon")
    assert above_floor(PLAIN, [third, second, first]) == [1, 2, 3]
    assert above_floor(PLAIN, [third, second, Supported(1, ("user", "clara"), 0.1)]) == []
    assert above_floor(PLAIN, [Supported(2, ("clara", "lyon"), 0.9, via="Clara")]) == [2]


def test_what_asks_nothing_recalls_nothing_and_who_asks_for_themself_everything() -> None:
    facts = [supported(number, 0.0) for number in range(9)]
    assert above_floor(parse_question("And then?", "user"), facts) == []
    assert above_floor(parse_question("Who am I?", "user"), facts) == list(range(9))


def test_the_i_of_code_is_not_the_person() -> None:
    question = parse_question("Fix this loop:\n```python\nfor i in range(3): print(my, i)\n```", "user")
    assert not question.own and not question.personal and "loop" in question.stems
    assert parse_question("I wrote ```x = 1``` today", "user").own
    memory = MemLLMMemory(":memory:")
    memory.write([("user", "works as", "carpenter"), ("user", "lives in", "Oslo")])
    assert not memory.recall("Fix this:\n```python\nfor i in range(10)\n    print(i)\n```")


def test_places_are_fused_by_their_rank() -> None:
    assert at_rank(1) == 1 / 11 and at_rank(10, 2.0) == 0.1
    scores = fused((1.0, ["a", "b"]), (2.0, ["b"]), (0.0, ["c"]))
    assert scores == {"a": 1 / 11, "b": 1 / 12 + 2 / 11}


def test_a_sentence_is_shown_if_it_says_what_the_fact_does_not() -> None:
    triple, said = Triple("user", "works as", "dentist"), "I fixed teeth in Lyon for years"
    asked = parse_question("Where did I fix teeth?", "user")
    assert telling_sentence(asked, triple, (), ["Nice weather", said]) == said
    assert telling_sentence(asked, triple, (), [said + "!" * 300]) == ""
    assert telling_sentence(parse_question("Am I a dentist?", "user"), triple, (), ["I am a dentist"]) == ""
    occupied = parse_question("What is my occupation?", "user")
    assert telling_sentence(occupied, triple, ("occupation",), ["my occupation: dentist"]) == ""
    assert telling_sentence(occupied, triple, (), ["my occupation: dentist"]) == "my occupation: dentist"
