"""Made-up talk of people about themselves: what is taught is what is stored, and much of it states nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from langchain_memllm.placeholders import placeholder
from langchain_memllm.relations import Catalogue
from langchain_memllm.speaker import SPEAKER
from langchain_memllm.training.build import Sources, build
from langchain_memllm.training.everyday import Everyday
from langchain_memllm.triples import Triple, name_key

OTHERS = {
    *(
        "babysitter",
        "brother-in-law",
        "coach",
        "does not drink",
        "godchild",
        "godparent",
        "half-brother",
        "half-sister",
    ),
    *("landlord", "parent-in-law", "sister-in-law", "stepdaughter", "stepparent", "stepson", "teacher", "therapist"),
}
"""Relations that the catalogue does not have: stored under their own name, as many as are stated."""
SENTENCES = Path(__file__).parents[2] / "benchmarks" / "everyday.jsonl"


@pytest.fixture(scope="module")
def said() -> list[tuple[str, tuple[Triple, ...]]]:
    talk = Everyday(4)
    documents = [talk.conversation() for _ in range(600)]
    return [pair for each in documents for pair in zip(each.sentences, each.triples, strict=True)]


def test_every_fact_is_said_in_words_of_the_conversation(said):
    """Issue 19 F. Objects are spans of their sentence, relations are known, and none is empty."""
    for sentence, triples in said:
        assert "{" not in sentence
        assert "[" not in sentence
        for triple in triples:
            assert name_key(triple.object) in name_key(sentence), (sentence, triple)
            assert (triple.relation in Catalogue.shipped()) != (triple.relation in OTHERS), triple.relation
            assert placeholder(*triple, text=sentence, single_valued=False) is None, (sentence, triple)
    relations = {triple.relation for _, triples in said for triple in triples}
    assert len(relations) > 60


def test_who_a_fact_is_about(said):
    """The speaker, somebody of theirs by name with who that is, or "my sister" as they are called."""
    subjects = {triple.subject for _, triples in said for triple in triples}
    own = {subject for subject in subjects if subject.startswith("my ")}
    assert SPEAKER in subjects
    assert {"my sister", "my husband", "my friend"} <= own
    for sentence, triples in said:
        for triple in triples:
            if triple.subject in own:
                named = name_key(triple.subject) in name_key(sentence)
                assert named or sentence.split()[0] in ("She", "He", "It")


def test_a_third_states_nothing(said):
    assert 0.25 < sum(not triples for _, triples in said) / len(said) < 0.5


def test_the_same_seed_says_the_same_and_held_out_forms_are_apart():
    one, same, other = (
        [talk.conversation() for _ in range(40)] for talk in (Everyday(1), Everyday(1), Everyday(1, held_out=True))
    )
    assert one == same != other
    apart = {sentence for each in other for sentence in each.sentences}
    assert not apart & {s for n in range(3) for _ in range(1) for s in Everyday(n).conversation().sentences}
    endings = [sentence for sentence in apart if sentence.startswith("I've been based in")]
    assert all("based in" not in sentence for each in one for sentence in each.sentences) or not endings


def test_talk_is_built_for_the_writer_alone(tmp_path):
    built = build(tmp_path, Sources(everyday=7, articles=0))
    assert (built.write["everyday"], built.read["everyday"]) == (7, 0)
    record = json.loads((tmp_path / "data.json").read_text())
    assert record["choices"]["everyday"] == 7
    assert record["licences"].keys() == {"everyday"}


def test_the_sentences_that_are_measured_are_none_of_the_forms(said):
    """The 200 sentences by hand: divided once, none of them made by the forms, all storable."""
    rows = [json.loads(line) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    assert [sum(row["part"] == part for row in rows) for part in ("tuned", "unseen")] == [100, 100]
    assert len({row["sentence"] for row in rows}) == 200
    assert not {row["sentence"] for row in rows} & {sentence for sentence, _ in said}
    for row in rows:
        for triple in row["gold"]:
            assert Triple(*triple).subject
