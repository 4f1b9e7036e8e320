"""Recall by questions in plain words: what a question asks for, the index of words, and which facts answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_memllm.errors import EmbeddingError, StoreCorrupt
from langchain_memllm.factindex import (
    FactIndex,
    evidence_words,
    name_token,
    relation_token,
    stems_of,
    typo_key,
    word_token,
)
from langchain_memllm.flow import arun, run
from langchain_memllm.memory import Memory
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.recall import needs_context, parse_question
from langchain_memllm.scope import Scope
from langchain_memllm.triples import Source
from langchain_memllm.turns import Recaller

NS = ("memllm", "ada")


def found(memory: MemLLMMemory, question: str, k: int = 8) -> list[str]:
    return [str(match.triple) for match in memory.recall(question, k=k)]


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forms",
    ["lives living lived live", "dentist dentists", "allergic allergy allergies", "director directed", "résumé resume"],
)
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len(set(stems_of(forms))) == 1


@pytest.mark.parametrize(("one", "other"), [("bus", "bush"), ("this", "thing"), ("princess", "prince"), ("12", "120")])
def test_other_words_have_another(one: str, other: str) -> None:
    assert stems_of(one) != stems_of(other)


def test_words_of_scripts_and_dates() -> None:
    assert stems_of("我喜欢 2026-03-12") == ["我", "喜", "欢", "2026", "03", "12", *stems_of("march")]
    assert len(stems_of("x " * 10_000)) == 400


@pytest.mark.parametrize(
    ("right", "wrong"), [("allergy", "alergy"), ("receive", "recieve"), ("dentist", "dentsit"), ("peanut", "penut")]
)
def test_misspellings_share_what_they_are_found_by(right: str, wrong: str) -> None:
    assert typo_key(stems_of(right)[0]) == typo_key(stems_of(wrong)[0]) is not None
    assert typo_key("cat") is None


def test_a_question_is_its_keywords() -> None:
    question = parse_question("What's the name of my sister's dentist?", "user")
    assert list(question.stems.values()) == ["sister", "dentist"] and question.text == "sister dentist"
    assert question.own and question.personal and "user" in question.keys
    assert not parse_question("How do I reverse a list in Python?", "user").personal
    assert not parse_question("Tell me a joke", "user").personal and parse_question("Tell me my plate", "user").personal
    assert parse_question("", None).keys == () and not parse_question("of the and", None).stems
    assert len(parse_question("word " * 5000 + "end", None).keys) < 5000


@pytest.mark.parametrize(
    ("text", "expected"), [("And her?", True), ("What does she do", True), ("Clara's job?", False)]
)
def test_what_needs_the_context(text: str, expected: bool) -> None:
    assert needs_context(text) is expected


# -- the index ---------------------------------------------------------------------------------------------------------


def words(*triples: tuple[str, str, str], said: str | None = None) -> tuple[list[int], list[Any], list[Any], list[int]]:
    made = [evidence_words(s, r, o, said) for s, r, o in triples]
    return list(range(len(made))), [each[0] for each in made], [each[1] for each in made], [5] * len(made)


def test_rows_are_found_by_words_names_and_relations() -> None:
    index = FactIndex[int]()
    index.add(*words(("ada", "lives in", "oslo"), ("bob", "lives in", "rome"), said="ada moved there, to oslo"))
    rows, in_triple = index.postings(word_token("oslo"))
    assert dict(zip(rows.tolist(), in_triple.tolist(), strict=True)) == {0: True, 1: False}
    assert index.postings(name_token("bob"))[0].tolist() == [1]
    assert index.postings(relation_token("lives in"))[0].tolist() == [0, 1]
    assert not len(index.postings(word_token("paris"))[0])
    assert len(index) == 2 and index.ids([1, 0]) == [1, 0] and index.nbytes > 0


def test_an_index_filled_bit_by_bit_is_the_same() -> None:
    triples = [(f"name {n}", f"relation {n % 7}", f"object {n % 13}") for n in range(3000)]
    whole, parts = FactIndex[int](), FactIndex[int]()
    whole.add(*words(*triples))
    for start in range(0, len(triples), 300):
        ids, made, said, ranks = words(*triples[start : start + 300])
        parts.add([start + each for each in ids], made, said, ranks)
    for token in (word_token("nam"), word_token("13"), relation_token("relation 3"), name_token("object 4")):
        assert sorted(whole.postings(token)[0].tolist()) == sorted(parts.postings(token)[0].tolist())


@pytest.mark.parametrize("damaged", [b"", b"12345678", b"1234567890123", "text", 7, None])
def test_damaged_words_are_told(damaged: Any) -> None:
    with pytest.raises(StoreCorrupt, match="doctor"):
        FactIndex[int]().add([1], [damaged], [None], [5])


# -- what answers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> MemLLMMemory:
    made = MemLLMMemory(":memory:")
    said = Source("user", text="Clara, my sister, drills teeth in Lyon")
    made.write([("user", "sister", "Clara"), ("Clara", "works as", "dentist")], source=said)
    made.write([("user", "allergic to", "peanuts"), ("user", "wifi password", "correct-horse")])
    return made


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Am I allergic to anything?", "peanuts"),
        ("any alergies?", "peanuts"),
        ("what's the wifi password", "correct-horse"),
        ("What does my sister do for work?", "dentist"),
        ("who drills teeth?", "dentist"),
        ("Clara", "Clara"),
    ],
)
def test_questions_in_plain_words(memory: MemLLMMemory, question: str, answer: str) -> None:
    """bugs 3.1, 3.2: the relation, the sentence and words with mistakes are ways in."""
    assert answer in {match.triple.object for match in memory.recall(question, k=3)}


@pytest.mark.parametrize(
    "question", ["What is the capital of Mongolia?", "Thanks, good evening!", "SELECT * FROM t WHERE x OR (y) AND 'z'"]
)
def test_unrelated_questions_recall_nothing(memory: MemLLMMemory, question: str) -> None:
    assert found(memory, question) == []


def test_what_was_said_long_ago_is_found_whatever_is_newer(memory: MemLLMMemory) -> None:
    """recall.md, section 0: with 200 newer facts about a person, their allergy was not found any more."""
    memory.write([("user", f"liked {n}", f"film {n}") for n in range(400)])
    memory.write([("user", "ate", f"dish {n}") for n in range(400)])
    assert found(memory, "Am I allergic to peanuts?", k=1) == ["(user, allergic to, peanuts)"]


def test_rows_that_are_discarded_are_found_no_more() -> None:
    index = FactIndex[int]()
    index.add(*words(("ada", "lives in", "oslo"), ("bob", "lives in", "oslo")))
    index.discard([0])
    assert index.postings(word_token("oslo"))[0].tolist() == [1]
    index.add(*words(("cat", "lives in", "oslo")))
    assert index.postings(word_token("oslo"))[0].tolist() == [1, 2]


def test_what_was_closed_takes_no_place_of_what_is_true(memory: MemLLMMemory) -> None:
    """A client that recalls after each change held the closed facts, newer than the boat, among its hundred."""
    memory.write([("boat", "lives in", "the port of Oslo")])
    for number in range(150):
        memory.write([("user", "lives in", f"Oslo, house {number}")], policy="edit")
        assert found(memory, "Who lives in Oslo?", k=2) == [
            f"(user, lives in, Oslo, house {number})",
            "(boat, lives in, the port of Oslo)",
        ]


def test_two_hops_lead_to_what_is_left_to_say() -> None:
    memory = MemLLMMemory(":memory:")
    memory.write(
        [("The Zone", "director", "Esben"), ("Esben", "place of birth", "Aarhus"), ("Aarhus", "country", "Denmark")]
    )
    memory.write([("Esben", f"note {n}", f"thing {n}") for n in range(50)])
    first = found(memory, "In which country was the director of The Zone born?", k=3)
    assert set(first) == {
        "(The Zone, director, Esben)",
        "(Esben, place of birth, Aarhus)",
        "(Aarhus, country, Denmark)",
    }


def test_the_first_word_tells_what_is_left_to_say() -> None:
    """ "Die" alone is no nearer to a date of death than to others; that a date is asked for says it."""
    memory = MemLLMMemory(":memory:")
    memory.write([("Nadine", "father", "Emil"), ("Emil", "cause of death", "a fall"), ("Emil", "lives in", "Graz")])
    memory.write([("Emil", "date of death", "4 May 1987"), ("Emil", "place of death", "Linz")])
    memory.write([("Emil", "followed", f"band {n}") for n in range(40)])
    assert found(memory, "When did Nadine's father die?", k=3)[:2] == [
        "(Nadine, father, Emil)",
        "(Emil, date of death, 4 May 1987)",
    ]
    assert found(memory, "Where did Nadine's father die?", k=3)[:2] == [
        "(Nadine, father, Emil)",
        "(Emil, place of death, Linz)",
    ]
    assert [parse_question(text, None).asks for text in ("Where's Rex?", "I know when", "Wo ist er?", "")] == [
        "place",
        "",
        "",
        "",
    ]


def test_a_hop_leads_to_what_is_said_of_a_name_though_many_facts_end_with_it() -> None:
    """Of a country the newest 200 facts were looked at: those of its towns, each of them as near to the question."""
    memory = MemLLMMemory(":memory:")
    memory.write([("France", "legislative body", "Assemblée nationale"), ("Ariane", "country", "France")])
    memory.write([(f"Ville {n}", "country", "France") for n in range(600)])
    asked = "What is the parliament of the country where Ariane is built?"
    assert "(France, legislative body, Assemblée nationale)" in found(memory, asked, k=5)


def test_a_closed_or_forgotten_fact_is_not_recalled(memory: MemLLMMemory) -> None:
    assert found(memory, "wifi password")
    memory.write([("user", "wifi password", "new-horse")], policy="edit")
    assert "correct-horse" not in str(found(memory, "wifi password"))
    memory.forget(subject="user", relation="allergic to")
    assert found(memory, "Am I allergic?") == []
    assert "peanuts" not in str(found(memory, "peanuts"))


def test_a_failing_embedder_leaves_words_and_names(memory: MemLLMMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(texts: Any, *, remember: bool = True) -> Any:
        raise EmbeddingError("down")

    monkeypatch.setattr(memory.core.vectors, "embed", fail)
    assert found(memory, "wifi password", k=1) == ["(user, wifi password, correct-horse)"]


def test_recall_of_a_question_with_pronouns(memory: MemLLMMemory) -> None:
    """recall.md, section 5: only the last message was looked at."""
    asked_now = [
        HumanMessage("Tell me about Clara", id="1"),
        AIMessage("Your sister.", id="2"),
        HumanMessage("What does she do?", id="3"),
    ]
    (namespace,) = memory.core.store.namespaces()
    recaller = Recaller(memory.core, Scope(namespace))
    assert "dentist" in run(recaller.recall(asked_now))
    assert "dentist" in asyncio.run(arun(recaller.recall([*asked_now[:2], HumanMessage("Her job?", id="4")])))
    assert "Clara" not in run(recaller.recall([HumanMessage("Her shoe size?", id="5")]))


def test_a_core_memory_asks_without_a_speaker() -> None:
    memory = Memory(":memory:")
    memory.write([("user", "drinks", "tea")], namespace=NS)
    assert [m.how for m in memory.recall("What do I drink?", namespace=NS)] == ["exact"]
    assert [m.how for m in memory.recall("What do I drink?", namespace=NS, speaker=None)] == ["similar"]
