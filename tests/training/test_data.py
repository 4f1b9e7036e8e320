"""What is made of documents: spacing, evidence, targets and queries, results, counterfactual swaps."""

from __future__ import annotations

import copy
import gzip
import json
from dataclasses import replace

import pytest
from training.documents_fixture import CURIE

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import Memory
from langchain_memllm.training.data import AMBIGUOUS, answers_of, fill, read_document, targets, write_document
from langchain_memllm.training.documents import Document, Label, Mention, read_redocred, split, swapped
from langchain_memllm.training.examples import ReadDocument
from langchain_memllm.training.spacing import natural
from langchain_memllm.triples import Query, Triple

NAMESPACE = ("t",)


@pytest.fixture
def curie(tmp_path) -> Document:
    return read(tmp_path, CURIE)


def read(tmp_path, *documents) -> Document:
    file = tmp_path / "documents.json.gz"
    file.write_bytes(gzip.compress(json.dumps(documents).encode()))
    return read_redocred(file)[0]


# --- spacing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("Ramey Idriss ( 11 September 1911 – 5 February 1971 ) , author .", None),
        ("He ( 1911 – 1971 ) left .", "He (1911–1971) left."),
        ('Wilfried " Willi " Schneider', 'Wilfried "Willi" Schneider'),
        ("Lanzky - Otto and editor - in - chief", "Lanzky-Otto and editor-in-chief"),
        ("Idriss ' death , Mola 's centre , I 'll wait", "Idriss' death, Mola's centre, I'll wait"),
        ("the newspaper / media group", "the newspaper/media group"),
        ("“ Special Honour ” for it", "“Special Honour” for it"),
        ("It cost $ 5 . Why ?", "It cost $5. Why?"),
    ],
)
def test_tokens_are_joined_as_people_write(words, text):
    expected = text or "Ramey Idriss (11 September 1911 – 5 February 1971), author."
    tokens = words.split()
    spaced = natural(tokens)
    assert spaced.text == expected
    assert [spaced.text[start:end] for start, end in spaced.spans] == tokens


def test_tokens_of_space_are_dropped():
    assert natural(["Wilton", " ", "Bridge"]) == ("Wilton Bridge", ((0, 6), (6, 6), (7, 13)))


# --- documents --------------------------------------------------------------------------------------------------------


def test_mentions_are_slices_of_the_text(curie):
    assert curie.sentences[0] == "Ada Curie was born in Oslo."
    assert curie.mentions[0] == Mention(0, 0, 9, 0, "Ada Curie")
    for mention in curie.mentions:
        assert curie.sentences[mention.sentence][mention.start : mention.end] == mention.text
        start = curie.offset(mention.sentence) + mention.start
        assert curie.text[start : start + len(mention.text)] == mention.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sents": []}, "no sentences"),
        ({"labels": None}, "unlabelled"),
        ({"labels": [{"h": 0, "t": 9, "r": "P19"}]}, "not listed"),
    ],
)
def test_bad_documents_are_named(tmp_path, change, says):
    bad = copy.deepcopy(CURIE) | change
    if change.get("sents") == []:
        bad["vertexSet"] = []
    with pytest.raises(ConfigurationError, match=f"'Curie'.*{says}"):
        read(tmp_path, bad)
    (tmp_path / "none.json").write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read as JSON"):
        read_redocred(tmp_path / "none.json")


def test_documents_are_divided_once_and_for_all(curie):
    documents = [Document(f"d{n}", ("x",), (), (), ()) for n in range(10)]
    first, rest = split(documents, 8, seed=3)
    assert (len(first), len(rest)) == (8, 2)
    assert {d.title for d in first} | {d.title for d in rest} == {d.title for d in documents}
    assert split(documents[::-1], 8, seed=3) == (first, rest)
    assert split(documents, 8, seed=4) != (first, rest)
    with pytest.raises(ConfigurationError, match="cannot be divided"):
        split(documents, 10)


def test_swapped_entities_are_swapped_everywhere(curie):
    other = Document(
        "o",
        ("Eva Moe met Kim Foss in Bern and Lund.",),
        (
            Mention(0, 0, 7, 0, "Eva Moe"),
            Mention(0, 12, 20, 1, "Kim Foss"),
            Mention(0, 24, 28, 2, "Bern"),
            Mention(0, 33, 37, 3, "Lund"),
        ),
        ("PER", "PER", "LOC", "LOC"),
        (),
    )
    swap = swapped(curie, [other], seed=0)
    people, places = {"Eva Moe", "Kim Foss"}, {"Bern", "Lund"}
    ada, oslo, bo, rome, curie_again, rome_again = (mention.text for mention in swap.mentions)
    assert {ada, bo} == people
    assert {oslo, rome} == places
    assert rome_again == rome
    assert curie_again == ada.split()[-1]
    assert swap.sentences[0] == f"{ada} was born in {oslo}."
    assert swap.labels == curie.labels
    for mention in swap.mentions:
        assert swap.sentences[mention.sentence][mention.start : mention.end] == mention.text


def test_swapped_entities_play_the_same_part(curie):
    text = "Eva Moe of Bern died in Lund."
    mentions = (Mention(0, 0, 7, 0, "Eva Moe"), Mention(0, 11, 15, 1, "Bern"), Mention(0, 24, 28, 2, "Lund"))
    labels = (Label(0, "place of birth", 1), Label(0, "place of death", 2))
    other = Document("o", (text,), mentions, ("PER", "LOC", "LOC"), labels)
    for seed in range(5):
        swap = swapped(curie, [other], seed)
        assert [mention.text for mention in swap.mentions if mention.entity in (1, 3)] == ["Bern", "Lund", "Lund"]


# --- the writer's lists -----------------------------------------------------------------------------------------------


def test_a_relation_belongs_to_the_sentences_that_show_it(curie):
    written = write_document(curie)
    assert written.triples == (
        (Triple("Ada Curie", "place of birth", "Oslo"),),
        (Triple("Ada Curie", "spouse", "Bo Lie"),),  # evidence: "She" is the longest form before it
        (Triple("Curie", "place of death", "Rome"),),  # no evidence: where both are named, as they are named there
    )


def test_a_filter_decides_where_there_is_no_evidence(curie):
    asked = []

    def keep(before, sentence, triple):
        asked.append((before, sentence, triple))
        return sentence.startswith("She")

    written = write_document(curie, keep)
    assert Triple("Bo Lie", "spouse", "Ada Curie") in written.triples[1]
    assert Triple("Ada Curie", "place of death", "Rome") in written.triples[1]
    assert (curie.sentences[0], curie.sentences[1], Triple("Ada Curie", "place of death", "Rome")) in asked
    nothing = write_document(curie, lambda *_: False)
    assert nothing.triples[2] == (Triple("Bo Lie", "spouse", "Curie"), Triple("Curie", "place of death", "Rome"))


def test_a_sentence_with_too_much_is_context_only():
    names = [f"N{n}" for n in range(40)]
    text = " ".join(names)
    places = [text.index(name + " ") if name != names[-1] else text.rindex(name) for name in names]
    mentions = tuple(
        Mention(0, at, at + len(name), n, name) for n, (at, name) in enumerate(zip(places, names, strict=True))
    )
    labels = tuple(Label(0, "child", tail) for tail in range(1, 33))
    crowded = Document("crowd", (text,), mentions, ("PER",) * 40, labels)
    assert write_document(crowded).triples == (None,)
    assert len(write_document(Document("few", (text,), mentions, ("PER",) * 40, labels[:31])).triples[0]) == 31


# --- the reader's calls -----------------------------------------------------------------------------------------------


def test_targets_are_new_names_that_earlier_ones_lead_to(curie):
    assert [(target.name, target.queries) for target in targets(curie)] == [
        ("Oslo", (Query("Ada Curie", "place of birth"),)),
        ("Bo Lie", (Query("Ada Curie", "spouse"), Query(None, "spouse", "Ada Curie"))),
        ("Rome", (Query("Ada Curie", "place of death"),)),
    ]  # "Curie" is part of earlier text; "who was born in Oslo" is ambiguous


def test_the_paper_s_25_ambiguous_queries():
    assert len(AMBIGUOUS) == 25


def test_each_form_of_the_earlier_name_is_asked_the_latest_first():
    text = "Ada Curie, or Curie, was born in Oslo."
    mentions = (Mention(0, 0, 9, 0, "Ada Curie"), Mention(0, 14, 19, 0, "Curie"), Mention(0, 33, 37, 1, "Oslo"))
    document = Document("d", (text,), mentions, ("PER", "LOC"), (Label(0, "place of birth", 1),))
    (target,) = targets(document)
    assert target.queries == (Query("Curie", "place of birth"), Query("Ada Curie", "place of birth"))


def test_a_call_stands_before_the_space_of_its_name(curie):
    with Memory() as memory:
        assert fill(memory, [write_document(curie)], NAMESPACE) == 3
        read = read_document(curie, memory, NAMESPACE)
    assert read.pieces == (
        "Ada Curie was born in",
        " Oslo. She married",
        " Bo Lie in",
        " Rome. Curie died in Rome.",
    )
    assert read.calls[0] == ((Query("Ada Curie", "place of birth"),), ("Oslo",))
    assert read.calls[1][1] == ("Bo Lie",)
    assert "".join(read.pieces) == curie.text


def test_the_gold_name_is_given_when_memory_has_nothing(curie):
    with Memory() as memory:
        read = read_document(curie, memory, NAMESPACE)
    assert [names for _, names in read.calls] == [("Oslo",), ("Bo Lie",), ("Rome",)]


def test_results_are_the_memory_s_even_if_they_are_wrong_and_broad_queries_are_dropped(curie):
    curie = replace(curie, labels=tuple(replace(x, relation="child") if x.tail == 2 else x for x in curie.labels))
    with Memory() as memory:
        memory.write([("Ada Curie", "place of birth", "Bergen")], namespace=NAMESPACE)
        memory.write([("Ada Curie", "child", f"child {n}") for n in range(30)], namespace=NAMESPACE)
        read = read_document(curie, memory, NAMESPACE)
    assert read.calls[0][1] == ("Bergen",)
    assert [queries[0].relation for queries, _ in read.calls] == ["place of birth", "spouse", "place of death"]
    assert read.calls[1] == ((Query(None, "spouse", "Ada Curie"),), ("Bo Lie",))


def test_a_target_asked_as_the_one_before_opens_no_call():
    text = "Ada had Bo and Cy."
    mentions = (Mention(0, 0, 3, 0, "Ada"), Mention(0, 8, 10, 1, "Bo"), Mention(0, 15, 17, 2, "Cy"))
    document = Document("d", (text,), mentions, ("PER",) * 3, (Label(0, "child", 1), Label(0, "child", 2)))
    with Memory() as memory:
        fill(memory, [write_document(document)], NAMESPACE)
        read = read_document(document, memory, NAMESPACE)
    assert read == ReadDocument("d", ("Ada had", " Bo and Cy."), (((Query("Ada", "child"),), ("Cy", "Bo")),))


def test_a_mistake_does_not_name_what_comes_next(curie):
    other = replace(
        curie, title="Other", mentions=tuple(replace(m, text=m.text.replace("Oslo", "Kyiv")) for m in curie.mentions)
    )
    seen = set()
    with Memory() as memory:
        fill(memory, [write_document(curie)], NAMESPACE)
        plain = read_document(curie, memory, NAMESPACE)
        for seed in range(40):
            read = read_document(curie, memory, NAMESPACE, answers_of([curie, other]), seed)
            assert (read.pieces, read.calls) == (plain.pieces, plain.calls)
            assert read == read_document(curie, memory, NAMESPACE, answers_of([curie, other]), seed)
            for at, ((query,), names) in read.mistakes.items():
                assert not any(name in read.pieces[at + 1].split(".")[0] for name in names)
                seen.add((at, query, names))
    assert (0, Query("Ada Curie", "place of birth"), ("Kyiv",)) in seen  # asked well, told what is true of another
    assert (1, Query("Ada Curie", "place of birth"), ("Oslo",)) in seen  # asked for something else
    assert not any(query.relation == "place of death" and "Rome" in names for at, query, names in seen if at == 2)
    assert plain.mistakes == {}
