"""What `memllm bench recall` asks: the questions, and the evidence that answers them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from langchain_memllm.bench import twohop
from langchain_memllm.bench.data import Asked, Corpus, Item, beam, cited_messages, locomo, two_hop
from langchain_memllm.bench.ours import ours
from langchain_memllm.bench.scoring import ranks_of
from langchain_memllm.bench.twohop import Fact, questions
from langchain_memllm.stores.episodes import Turn

FILM, DIRECTOR = ("MISC", "PER"), ("PER", "LOC")
DIRECTED = Fact("The Long Night", "P57", "Ada Berg", FILM)
BORN = Fact("Ada Berg", "P19", "Tromsø", DIRECTOR)
TOWER = Fact("Tower", "P131", "Norway", ("LOC", "LOC"))
NORWAY = Fact("Norway", "P30", "Europe", ("LOC", "LOC"))


def test_a_question_leads_over_two_facts_to_the_object_of_the_second():
    (question,) = questions([DIRECTED, BORN])
    assert question.path == (DIRECTED, BORN)
    assert question.part == "tuning"
    assert "The Long Night" in question.text
    assert question.text.endswith("?")
    assert not any(name in question.text for name in ("Ada Berg", "Tromsø", "{"))


def test_without_word_of_a_country_a_region_is_asked_for():
    assert [question.part for question in questions([TOWER, NORWAY])] == ["test"]


@pytest.mark.parametrize(
    "spoilt",
    [
        [DIRECTED, BORN, Fact("The Long Night", "P57", "Bo Dahl", FILM)],  # two answers to the first step
        [DIRECTED, BORN, Fact("Ada Berg", "P19", "Bodø", DIRECTOR)],  # two to the second
        [DIRECTED, BORN, Fact("The Long Night", "P19", "Oslo", ("MISC", "LOC"))],  # one step answers it
        [Fact("Ada Berg's Night", "P57", "Ada Berg", FILM), BORN],  # the name gives the bridge away
        [Fact("The Long Night", "P57", "Ada", FILM), Fact("Ada", "P19", "Tromsø", DIRECTOR)],  # which Ada?
        [DIRECTED, Fact("Ada Berg", "P20", "Tromsø", DIRECTOR)],  # one relation for tuning, one for the test
        [TOWER, NORWAY, Fact("Oslo", "P17", "Norway", ("LOC", "LOC"))],  # a country is not a region of one
    ],
)
def test_what_has_no_single_answer_or_is_given_away_is_not_asked(spoilt: list[Fact]):
    assert questions(spoilt) == []


def test_the_same_seed_asks_the_same_and_a_fact_answers_one_question():
    facts = [Fact(f"Film {n} of Many", "P57", f"Ada Berg{n}", FILM) for n in range(20)]
    facts += [Fact(f"Ada Berg{n}", "P570", f"{1900 + n}", ("PER", "TIME")) for n in range(20)]
    facts.append(Fact("The Last Film", "P57", "Ada Berg0", FILM))
    asked = questions(facts, each=30, seed=1)
    assert asked == questions(facts, each=30, seed=1)
    assert asked != questions(facts, each=30, seed=2)
    assert len({question.path[1] for question in asked}) == len(asked) == 20
    assert len(questions(facts, each=3)) == 3


def test_every_wording_has_one_place_for_a_name_and_both_parts_have_relations():
    words = twohop._WORDS.values()
    phrases = [phrase for each in words for some in each.names.values() for phrase in some]
    asks = [ask for each in words for some in each.asks.values() for ask in some]
    assert all(text.count("{}") == 1 for text in phrases + asks)
    assert all(ask.endswith("?") for ask in asks)
    assert not any(phrase.endswith("?") for phrase in phrases)
    assert {each.part for each in words} == {"tuning", "test"}


def test_the_folder_of_re_docred_is_one_memory_whose_evidence_is_the_second_fact(tmp_path: Path):
    entities = [("The Long Night", "MISC"), ("Ada  Berg", "PER"), ("Tromsø", "LOC")]
    labels = [{"h": 0, "r": "P57", "t": 1}, {"h": 1, "r": "P19", "t": 2}]
    document = {"vertexSet": [[{"name": name, "type": kind}] for name, kind in entities], "labels": labels}
    (tmp_path / "dev_revised.json.gz").write_bytes(_gzip([document]))
    (tmp_path / "rel_info.json").write_text(json.dumps({"P57": "director", "P19": "place of birth"}), "utf-8")
    (corpus,) = two_hop(tmp_path)
    (asked,) = corpus.questions
    (answer,) = [item for item in corpus.items if item.evidence == asked.gold]
    assert answer.triple == ("Ada Berg", "place of birth", "Tromsø")
    assert asked.total == "tuning"


SAMPLE: dict[str, Any] = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Ada",
        "speaker_b": "Bo",
        "session_2_date_time": "1:14 pm on 25 May, 2023",
        "session_2": [{"speaker": "Bo", "dia_id": "D2:1", "text": "I sold the boat."}],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ada", "dia_id": "D1:1", "text": "I paint."},
            {"speaker": "Bo", "dia_id": "D1:2", "text": "I sail."},
        ],
    },
    "observation": {
        "session_2_observation": {"Bo": [["Bo sold his boat.", "D2:1"]]},
        "session_1_observation": {"Ada": [["Ada paints.", ["D1:1", "D1:2"]]]},
    },
    "qa": [
        {"question": "Who paints?", "answer": "Ada", "evidence": ["D:1:1; D9:9"], "category": 4},
        {"question": "Who flies?", "adversarial_answer": "Ada", "evidence": ["D1:1"], "category": 5},
        {"question": "Who runs?", "answer": "nobody", "evidence": [], "category": 1},
    ],
}


def test_observations_of_locomo_are_dated_facts_in_order(tmp_path: Path):
    (tmp_path / "locomo.json.gz").write_bytes(_gzip([SAMPLE]))
    triples = [["Bo", "sold", "boat", "Bo sold his boat.", ["D2:1"], "2023-05-25T13:14:00+00:00"]]
    (tmp_path / "facts.json").write_text(json.dumps([{"id": "conv-1", "facts": {"open": triples}}]), "utf-8")
    said, messages, both, made = locomo(tmp_path / "locomo.json.gz", tmp_path / "facts.json")
    assert [item.triple for item in said.items] == [("Ada", "said", "Ada paints."), ("Bo", "said", "Bo sold his boat.")]
    assert [item.evidence for item in said.items] == [{"D1:1", "D1:2"}, {"D2:1"}]
    assert [(item.at or "")[:10] for item in said.items] == ["2023-05-08", "2023-05-25"]
    assert [item.text for item in made.items] == ["Bo sold boat Bo sold his boat."]
    assert [item.text for item in messages.items] == ["Ada: I paint.", "Bo: I sail.", "Bo: I sold the boat."]
    assert [item.evidence for item in messages.items] == [{"D1:1"}, {"D1:2"}, {"D2:1"}]
    assert (
        said.questions
        == messages.questions
        == both.questions
        == made.questions
        == [Asked("conv-1/0", "Who paints?", frozenset({"D1:1"}), "single-hop", answer="Ada")]
    )


def test_a_message_is_found_by_the_facts_that_were_taken_from_it():
    said = ["It rained all week.", "Nine, as usual.", "The train was late."]
    turns = [Turn(Turn.named("t", text), "t", text, ref=text) for text in said]
    items = [Item((), "", frozenset([turn.text[:2]]), None, turn) for turn in turns]
    fact = Item(("Ada", "paints", "portraits"), "Ada paints portraits.", frozenset(["Ni"]))
    asked = [Asked("1", "Who paints portraits?", frozenset(["Ni"]))]
    without, with_it = (ours(Corpus("c", some, asked), 3) for some in (items, [*items, fact]))
    assert with_it["ours"][0][0] == items[1]
    assert without["ours"][0][:1] != [items[1]]
    assert with_it["ours, as facts"][0][0] == fact
    assert list(without) == ["ours"]


def test_a_message_is_shown_as_its_facts_each_once():
    turns = [
        Turn(Turn.named("t", text), "t", text, ref=text) for text in ("Ada paints portraits.", "Ada paints.", "Hm")
    ]
    items = [Item((), "", frozenset([turn.text]), None, turn) for turn in turns]
    facts = [
        Item(("Ada", "paints", "portraits"), evidence=frozenset([turns[0].text, turns[1].text])),
        Item(("Ada", "is", "painter"), evidence=frozenset([turns[0].text])),
    ]
    corpus = Corpus("c", [*items, *facts], [Asked("1", "Who paints portraits?", frozenset(["Hm"]))])
    (ranking,) = ours(corpus, 9)["ours, as facts"]
    assert sorted(item.text for item in ranking if item.triple) == ["Ada is painter", "Ada paints portraits"]
    assert not {item.text for item in ranking if item.turn} & {turns[0].text, turns[1].text}


CHAT: dict[str, Any] = {
    "messages": [
        {"id": 0, "role": "user", "time_anchor": "March-15-2024", "content": "My boat is called Terna. ->-> 1,1"},
        {"id": 1, "role": "assistant", "content": "A fine name."},
        {"id": 2, "role": "user", "content": "She needs paint. ->-> 1,2"},
    ],
    "questions": {
        "knowledge_update": [{"question": "What is my boat called?", "source_chat_ids": {"old": [1], "new": [[2]]}}],
        "abstention": [{"question": "What is my cat called?"}],
    },
}


def test_a_question_of_beam_cites_what_the_user_said(tmp_path: Path):
    assert cited_messages(CHAT, {"source_chat_ids": [1, 99]}) == {"0"}
    (tmp_path / "100K_01.json.gz").write_bytes(_gzip(CHAT))
    (corpus,) = beam(tmp_path)
    assert [item.text for item in corpus.items] == ["My boat is called Terna.", "She needs paint."]
    (asked,) = corpus.questions
    assert asked == Asked(
        "100K_01/knowledge_update/0", "What is my boat called?", frozenset({"0", "2"}), "knowledge update"
    )
    (ranking,) = ours(corpus, 5)["ours"]
    assert ranking[0].evidence == {"0"}


def test_both_values_of_an_update_are_looked_at_apart(tmp_path: Path):
    asked = {
        "question": "What is my boat called?",
        "source_chat_ids": {"original_info": [0], "updated_info": [2], "note": [1]},
    }
    disputed = {"question": "Is she new?", "source_chat_ids": {"first_statement": [0], "second_statement": [1]}}
    chat = CHAT | {"questions": {"knowledge_update": [asked], "contradiction_resolution": [disputed]}}
    (tmp_path / "500K_01.json.gz").write_bytes(_gzip(chat))
    (corpus,) = beam(tmp_path)
    assert corpus.name == "BEAM 500K"
    assert [each.parts for each in corpus.questions] == [({"2"}, {"0"}), ()]  # the same message says both sides


def test_a_fact_that_was_said_twice_carries_the_evidence_of_both():
    items = [
        Item(("Ada", "likes", "tea"), "Ada likes tea.", frozenset({"1"}), "2024-01-01T00:00:00+00:00"),
        Item(("ada", "likes", "Tea"), "Ada does like Tea.", frozenset({"2"}), "2024-01-02T00:00:00+00:00"),
    ]
    asked = Asked("1", "What does Ada like?", frozenset({"1", "2"}))
    (ranking,) = ours(Corpus("tea", items, [asked]), 5)["ours"]
    assert ranks_of(asked, [item.evidence for item in ranking]) == [1, 1]


def _gzip(value: object) -> bytes:
    return gzip.compress(json.dumps(value).encode())
