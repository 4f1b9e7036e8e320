"""The synthetic world: deterministic, true to itself, its held-out forms apart; what is built from all sources."""

from __future__ import annotations

import gzip
import json
import re
from importlib import resources
from pathlib import Path

import pytest
from training.documents_fixture import CURIE

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.extraction import SPEAKER, sentences_of
from langchain_memllm.relations import Catalogue
from langchain_memllm.training.build import SHIPPED, Sources, build
from langchain_memllm.training.data import write_document
from langchain_memllm.training.edits import EVALUATED, counterfact, fewrel, knowedit, property_labels, relation_of
from langchain_memllm.training.examples import ReadDocument, WriteDocument, load
from langchain_memllm.training.world import World, forms
from langchain_memllm.triples import Query, Triple


@pytest.fixture(scope="module")
def articles():
    return World(5).articles(400)


def test_forms_are_enough_and_of_our_catalogue():
    relations = forms()["relations"]
    assert len(relations) >= 30
    for name, form in {**relations, **forms()["talk"]}.items():
        assert Catalogue.docred().resolve(name).label == name
        assert name in Catalogue.docred()
        templates = form["says"] if "says" in form else [*form["predicates"], *form["sentences"]]
        assert len(templates) == len(set(templates)) >= 8
        assert all(template.count("{o}") == 1 for template in templates)
    for relation in forms()["updates"]:
        assert relation in relations


def test_the_same_seed_gives_the_same_world():
    assert World(3).articles(20) == World(3).articles(20)
    assert World(3).articles(20) != World(4).articles(20)
    first, second = World(3), World(3)
    assert [first.conversation() for _ in range(5)] == [second.conversation() for _ in range(5)]


def test_every_sentence_states_what_its_list_says(articles):
    stating = compound = pronouns = empty = 0
    for article in articles:
        written = write_document(article.document)
        assert {triple.relation for triples in written.triples for triple in triples} <= set(forms()["relations"])
        for mention in article.document.mentions:
            assert article.document.sentences[mention.sentence][mention.start : mention.end] == mention.text
        for sentence, triples in zip(written.sentences, written.triples, strict=True):
            assert all(triple.object in sentence for triple in triples)
            stating += bool(triples)
            compound += len(triples) == 2
            empty += not triples
            pronouns += sentence.startswith(("He ", "She ", "It ")) and bool(triples)
            if sentence.startswith(("He ", "She ")):
                assert all(triple.subject not in sentence for triple in triples)
    assert min(compound, pronouns, empty) > 0.05 * stating


def test_a_change_states_the_new_value_only(articles):
    changes = {
        relation: [re.compile(re.sub(r"\\{(s|o|old)\\}", r"(?P<\1>.+)", re.escape(form))) for form in some]
        for relation, some in forms()["updates"].items()
    }
    seen = 0
    for article in articles:
        written = write_document(article.document)
        for sentence, triples in zip(written.sentences, written.triples, strict=True):
            if len(triples) == 1:
                for form in changes.get(triples[0].relation, ()):
                    if found := form.fullmatch(sentence):
                        seen += 1
                        assert triples[0].object == found["o"]
    assert seen > 20


def test_what_is_taken_back_states_nothing(articles):
    for article in articles:
        for sentence, triples in zip(article.document.sentences, write_document(article.document).triples, strict=True):
            if "It is not true" in sentence or "made up" in sentence:
                assert triples == ()


def test_held_out_forms_are_never_trained_on(articles):
    def used(document, relation, part):
        form = forms()["relations"][relation][part][-1]
        before, _, after = form.replace("{s}", "\0").partition("{o}")
        marks = [
            piece.strip(" .") for half in (before, after) for piece in half.split("\0") if len(piece.strip(" .")) > 12
        ]
        return marks and any(all(mark in sentence for mark in marks) for sentence in document.sentences)

    apart = World(5, held_out=True).articles(400)
    found = dict.fromkeys(("trained", "apart"), 0)
    for name, some in (("trained", articles), ("apart", apart)):
        for article in some:
            for fact in article.facts:
                found[name] += any(used(article.document, fact.relation, part) for part in ("predicates", "sentences"))
    assert found["apart"] > 100
    assert found["trained"] == 0


def test_talk_is_about_the_speaker_and_its_held_out_forms_are_apart():
    told = {triple for _ in range(1) for n in range(80) for t in World(n).conversation()[0].triples for triple in t}
    assert {triple.subject for triple in told} == {SPEAKER}
    assert len({triple.relation for triple in told}) == len(forms()["talk"])
    trained, apart = ([World(n, held_out=h).conversation()[0] for n in range(150)] for h in (False, True))
    for documents, parts in ((trained, slice(None, -2)), (apart, slice(-2, None))):
        for document in documents:
            for sentence, triples in zip(document.sentences, document.triples, strict=True):
                for triple in triples:
                    says = [s.format(o=triple.object) for s in forms()["talk"][triple.relation]["says"][parts]]
                    assert sentence.casefold() in {said.casefold() for said in says}


def test_a_question_is_told_and_asked():
    fact = Triple("Bo Lie", "spouse", "Ada")
    for _ in range(20):
        told, asked = World(1).question(fact)
        assert told.triples == ((fact,),)
        assert "Bo Lie" in told.sentences[0]
        assert "Ada" in told.sentences[0]
        assert asked.calls == (((Query("Bo Lie", "spouse"),), ("Ada",)),)
        assert asked.pieces[1] == " Ada."
        assert not asked.pieces[0].endswith(" ")


def test_sentences_are_what_the_extractor_makes_of_the_text(articles):
    """A writer in use is given the sentences of a splitter; those it was trained on must be the same nearly always."""
    same = sum([s.text for s in sentences_of(a.document.text)] == list(a.document.sentences) for a in articles)
    assert same >= 0.9 * len(articles)


# --- edits and single sentences ---------------------------------------------------------------------------------------


def written(file: Path, content: object) -> Path:
    file.write_bytes(gzip.compress(json.dumps(content).encode()))
    return file


def record(subject: str, target: str) -> dict[str, str]:
    return {
        "subject": subject,
        "prompt": f"The mother tongue of {subject} is",
        "target_new": target,
        "rephrase_prompt": f"Rain fell. {subject} is a native speaker of",
    }


def test_evaluated_edits_and_their_subjects_are_never_handed_out(tmp_path):
    evaluated = [record(f"s{n}", "Dutch") for n in range(EVALUATED)]
    file = written(tmp_path / "cf.json.gz", [*evaluated, record("s7", "Welsh"), record("new", "Greek")])
    ((told, asked),) = counterfact(file)
    assert told == WriteDocument(
        "counterfact 1001", ("The mother tongue of new is Greek.",), ((Triple("new", "native language", "Greek"),),)
    )
    assert asked == ReadDocument(
        "counterfact 1001",
        ("Rain fell. new is a native speaker of", " Greek."),
        (((Query("new", "native language"),), ("Greek",)),),
    )


def test_the_evaluated_part_of_knowedit_is_refused(tmp_path):
    good = {"subject": "Bo", "prompt": "The name of the spouse of Bo is", "target_new": "Ada"}
    ((told, asked),) = knowedit(written(tmp_path / "k.json.gz", [good, {**good, "prompt": "Bo hums"}]))
    assert told.triples == ((Triple("Bo", "spouse", "Ada"),),)
    assert asked.pieces == ("The name of the spouse of Bo is", " Ada.")
    with pytest.raises(ConfigurationError, match="evaluation uses"):
        knowedit(written(tmp_path / "zsre.json.gz", [{**good, "cond": "x"}]))
    with pytest.raises(ConfigurationError, match="not a list of edits"):
        knowedit(written(tmp_path / "bad.json.gz", [{"a": 1}]))


@pytest.mark.parametrize(
    ("prompt", "relation"),
    [
        ("{} works for", "employer"),
        ("{} worked in the city of", "work location"),
        ("The mother of {} is", "mother"),
        ("The mother tongue of {} is", "native language"),
        ("{} died in the city of", "place of death"),
        ("{}, which is located in", "location"),
        ("{} is located in the continent", "continent"),
        ("{} hums", None),
    ],
)
def test_the_relation_is_found_by_the_words(prompt, relation):
    assert relation_of(prompt.replace("{}", "Continent Hotel"), "Continent Hotel") == relation


def test_fewrel_sentences_have_one_label(tmp_path):
    words = ["Bo", "Lie", "(", "tenor", ")", "sang", "."]
    file = written(
        tmp_path / "f.json.gz",
        {"P412": [{"tokens": words, "h": ["bo lie", "Q1", [[0, 1]]], "t": ["tenor", "Q2", [[3]]]}] * 5},
    )
    documents = fewrel(file, 2)
    assert len(documents) == 2
    assert write_document(documents[0]).triples == ((Triple("Bo Lie", "voice type", "tenor"),),)
    assert documents[0].sentences == ("Bo Lie (tenor) sang.",)
    with pytest.raises(ConfigurationError, match="FewRel"):
        fewrel(written(tmp_path / "bad.json.gz", [1]), 2)


# --- single facts -----------------------------------------------------------------------------------------------------


def test_single_facts_are_of_relations_that_no_article_states():
    asked = forms()["asked"]
    assert len(asked) >= 50
    assert not asked.keys() & forms()["relations"].keys()
    for form in asked.values():
        assert len(form["kinds"]) == 2
        assert len(form["questions"]) == len(set(form["questions"])) >= 7
        assert all(question.count("{s}") == 1 for question in form["questions"])
    world, relations = World(6), set()
    for _ in range(400):
        fact = world.fact()
        write, read = world.question(fact)
        relations.add(fact.relation)
        assert write.triples == ((fact,),)
        assert fact.subject in write.sentences[0] and fact.object in write.sentences[0]
        assert read.calls == (((Query(fact.subject, fact.relation),), (fact.object,)),)
        assert fact.subject in read.pieces[0] and read.pieces[1] == f" {fact.object}."
    assert relations <= asked.keys()
    assert len(relations) > 0.9 * len(asked)


def test_facts_of_given_labels_are_told_and_asked_in_their_words():
    world = World(7)
    facts = [world.fact(["tensile strength", "mascot"]) for _ in range(200)]
    labelled = [fact for fact in facts if fact.relation not in forms()["asked"]]
    assert 60 < len(labelled) < 140
    assert {fact.relation for fact in labelled} == {"tensile strength", "mascot"}
    for fact in labelled:
        write, read = world.question(fact)
        assert fact.relation in write.sentences[0]
        assert fact.relation in read.pieces[0]


def test_a_held_out_world_asks_in_other_forms():
    trained = {q for form in forms()["asked"].values() for q in form["questions"][:-1]}
    world = World(8, held_out=True)
    for _ in range(50):
        fact = world.fact()
        write, _read = world.question(fact)
        told = write.sentences[0].replace(fact.subject, "{s}")
        assert not any(told.startswith(question) for question in trained)


def test_labels_of_properties_leave_out_identifiers(tmp_path):
    labels = {"P6": "head of government", "P213": "ISNI", "P345": "IMDb ID", "P18": "image", "P9": "sister"}
    assert property_labels(written(tmp_path / "p.json.gz", labels)) == ("head of government", "sister")
    with pytest.raises(ConfigurationError, match="not an object of property ids"):
        property_labels(written(tmp_path / "bad.json.gz", ["sister"]))
    with pytest.raises(ConfigurationError, match="0 facts of the synthetic world"):
        Sources(properties=tmp_path / "p.json.gz")
    with pytest.raises(ConfigurationError, match="-1 facts"):
        Sources(facts=-1)


def test_facts_are_built_beside_the_world(tmp_path):
    labels = written(tmp_path / "p.json.gz", {"P9": "sister-in-law"})
    built = build(tmp_path / "out", Sources(articles=0, facts=10, properties=labels))
    assert built.write == built.read == {"world facts": 10}
    record = json.loads((tmp_path / "out" / "data.json").read_text())
    assert record["sources"].keys() == {"p.json.gz"}
    assert "sister-in-law" in (tmp_path / "out" / "read.jsonl").read_text()


# --- building ---------------------------------------------------------------------------------------------------------


def test_what_the_demonstration_shows_is_in_no_training_file(tmp_path):
    text = (resources.files("langchain_memllm") / "data" / "demo" / "people.txt").read_text(encoding="utf-8")
    titles = [paragraph.split(" (")[0] for paragraph in text.strip().split("\n\n")]
    assert [any(shipped in title for shipped in SHIPPED) for title in titles] == [True] * len(titles)
    about_them = json.loads(json.dumps(CURIE).replace("Bo", titles[0].split()[0]).replace("Lie", titles[0].split()[-1]))
    file = written(
        tmp_path / "d.json.gz", [{**about_them, "title": "them"}, {**CURIE, "title": "a"}, {**CURIE, "title": "b"}]
    )
    built = build(tmp_path / "out", Sources(redocred=file, redocred_held_out=file, swaps=0, articles=4))
    assert built.left_out == 1
    texts = "".join(path.read_text() for path in (tmp_path / "out").glob("*.jsonl"))
    assert all(word in about_them["sents"][1] for word in titles[0].split())
    assert not any(shipped in texts for shipped in SHIPPED)


def test_a_build_says_what_is_in_it_and_is_the_same_again(tmp_path):
    documents = [{**CURIE, "title": f"d{n}"} for n in range(4)] + [{**CURIE, "title": "e", "labels": []}]
    sources = Sources(redocred=written(tmp_path / "d.json.gz", documents), train_documents=4, articles=6, seed=2)
    built = build(tmp_path / "one", sources)
    build(tmp_path / "two", sources)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.json*"))
    assert [str(file) for file in files] == [
        "data.json",
        "held_out/redocred-titles.json",
        "held_out/redocred-write.jsonl",
        "held_out/world-read.jsonl",
        "held_out/world-write.jsonl",
        "read.jsonl",
        "write.jsonl",
    ]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    kept = json.loads((tmp_path / "one" / "held_out" / "redocred-titles.json").read_text())
    assert len(kept) == 1
    trained = load([tmp_path / "one" / "write.jsonl"])
    assert not {document.source for document in trained} & set(kept)
    assert built.write["redocred"] == built.read["redocred"] == 4
    assert len(trained) == built.write.total()
    record = json.loads((tmp_path / "one" / "data.json").read_text())
    assert record["licences"].keys() == {"redocred", "world"}
    assert record["write"] == dict(built.write)


def test_the_seed_decides_the_mistakes(tmp_path):
    file = written(tmp_path / "d.json.gz", [{**CURIE, "title": f"d{n}"} for n in range(4)])
    made = []
    for seed in range(3):
        build(tmp_path / f"{seed}", Sources(redocred=file, redocred_held_out=file, swaps=0, articles=0, seed=seed))
        made.append([(document.source, document.mistakes) for document in load([tmp_path / f"{seed}" / "read.jsonl"])])
    assert len(made[0]) == 4
    assert not made[0] == made[1] == made[2]


def test_nothing_to_build_from(tmp_path):
    with pytest.raises(ConfigurationError, match="nothing to build from"):
        build(tmp_path, Sources(articles=0))


def test_what_a_writer_wrote_fills_the_reader_s_memory(tmp_path):
    file = written(tmp_path / "d.json.gz", [{**CURIE, "title": "a"}, {**CURIE, "title": "b"}])
    wrong = tmp_path / "writes.jsonl"
    triples = ((Triple("Ada Curie", "place of birth", "Bergen"),), (), ())
    from langchain_memllm.training.examples import save

    save([WriteDocument("a", ("x", "y", "z"), triples)], wrong)
    build(tmp_path / "out", Sources(redocred=file, train_documents=1, seed=1, swaps=0, articles=0, writes=wrong))
    build(tmp_path / "out2", Sources(redocred=file, train_documents=1, seed=0, swaps=0, articles=0, writes=wrong))
    found = {
        document.source: document.calls[0][1]
        for out in ("out", "out2")
        for document in load([tmp_path / out / "read.jsonl"])
        if isinstance(document, ReadDocument)
    }
    assert found.get("a", ("Bergen",)) == ("Bergen",)
    assert found.get("b", ("Oslo",)) == ("Oslo",)
