"""Other languages than English: the table that reads them, and what a question in them is known to be about."""

from __future__ import annotations

import csv
import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import typer

from langchain_memllm.cli.terminal import open_memory
from langchain_memllm.embeddings import StaticEmbedder, Vectors
from langchain_memllm.errors import ConfigurationError, EmbedderMismatch
from langchain_memllm.memory import Memory
from langchain_memllm.recall import parse_question
from langchain_memllm.triples import Source

DATA = resources.files("langchain_memllm_multilingual").joinpath("table")
PAIRS = Path(__file__).parents[2] / "benchmarks" / "word_pairs.tsv"
NS = ("n",)
FACTS = [
    ("user", "lives in", "Bristol", "I live in Bristol."),
    ("user", "has brother", "Oscar", "My brother is called Oscar."),
    ("user", "is allergic to", "peanuts", "I am allergic to peanuts."),
    ("user", "drives", "red Volvo", "I drive an old red Volvo."),
    ("user", "has dog", "Rufus", "Our dog is Rufus."),
    ("user", "monthly rent", "950 pounds", "The rent is 950 pounds a month."),
    ("user", "works at", "city library", "I work at the city library."),
    ("user", "favourite drink", "green tea", "Green tea is my favourite drink."),
    ("user", "birthday", "4 November", "My birthday is on 4 November."),
    ("user", "is learning", "Portuguese", "I'm learning Portuguese."),
]


@pytest.mark.parametrize(("language", "least"), [("de", 0.65), ("es", 0.7), ("zh", 0.65)])
def test_a_word_is_nearest_to_its_translation(language: str, least: float) -> None:
    with PAIRS.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert len(rows) == 100
    table = StaticEmbedder.multilingual()
    cosines = table.encode([row[language] for row in rows]) @ table.encode([row["en"] for row in rows]).T
    assert np.mean(cosines.argmax(axis=1) == np.arange(100)) >= least
    english = StaticEmbedder.shipped()
    cosines = english.encode([row[language] for row in rows]) @ english.encode([row["en"] for row in rows]).T
    assert np.mean(cosines.argmax(axis=1) == np.arange(100)) < 0.3


@pytest.mark.parametrize("text", ["", " ", "🎉", "ሰላም", "สวัสดี", "XQZ", "龘 Oslo"])
def test_a_text_it_cannot_read_has_no_vector(text: str) -> None:
    assert Vectors("multilingual").embed([text])[0] is None


@pytest.mark.parametrize(
    "text",
    [
        "Wo wohne ich?",
        "我住在哪个城市",
        "私はどの町に住んでいますか",
        "내 생일",
        "Где я живу",
        "B",
        "7",
        "Ada 🎉",
        "C++",
        "\ud800 Oslo",
    ],
)
def test_what_it_can_read_has_a_unit_vector(text: str) -> None:
    (vector,) = Vectors("multilingual").embed([text])
    assert vector is not None
    assert float(np.dot(vector, vector)) == pytest.approx(1.0, abs=1e-5)


def test_accents_and_case_make_no_other_word() -> None:
    rows = StaticEmbedder.multilingual().encode(["cumpleaños", "CUMPLEANOS", "Straße", "straße"])
    assert (rows[0] == rows[1]).all()
    assert (rows[2] == rows[3]).all()


def test_notice_tells_the_digests_and_the_whole_is_small() -> None:
    notice = DATA.joinpath("NOTICE").read_text(encoding="utf-8")
    assert "MIT" in notice
    for name in ("model.safetensors", "tokenizer.json"):
        assert hashlib.sha256(DATA.joinpath(name).read_bytes()).hexdigest() in notice
    assert sum(len(DATA.joinpath(name).read_bytes()) for name in ("model.safetensors", "tokenizer.json")) <= 6_000_000


def test_the_two_tables_are_never_mixed(tmp_path: Path) -> None:
    with Memory(tmp_path / "m.db", embedder="multilingual") as memory:
        memory.write([("user", "has brother", "Oscar")], namespace=NS)
    with Memory(tmp_path / "m.db", embedder="multilingual") as memory:
        assert [m.answer for m in memory.recall("Wie heißt mein Bruder?", namespace=NS, speaker="user")] == ["Oscar"]
    with Memory(tmp_path / "m.db") as memory, pytest.raises(EmbedderMismatch, match="e5-small-static"):
        memory.write([("user", "has sister", "Mia")], namespace=NS)


def test_the_command_line_takes_it_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMLLM_EMBEDDER", "multilingual")
    with open_memory(str(tmp_path / "m.db"), create=True) as memory:
        assert memory.core.vectors.fingerprint.model_id == "langchain-memllm/e5-small-static-128-int4"
    monkeypatch.setenv("MEMLLM_EMBEDDER", "klingon")
    with pytest.raises(typer.Exit), open_memory(str(tmp_path / "m.db")):
        pass


def test_an_unknown_name_of_an_embedder_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'multilingal' is unknown; use 'english', 'multilingual', 'minilm'"):
        Memory(embedder="multilingal")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Wie heißt mein Bruder?", "Oscar"),
        ("Wie heißt unser Hund?", "Rufus"),
        ("¿Cuándo es mi cumpleaños?", "4 November"),
        ("¿Cómo se llama nuestro perro?", "Rufus"),
        ("我住在哪个城市？", "Bristol"),
        ("我的兄弟叫什么名字？", "Oscar"),
    ],
)
def test_a_question_in_another_language_finds_the_english_fact(question: str, answer: str) -> None:
    with Memory(embedder="multilingual") as memory:
        for subject, relation, object_, sentence in FACTS:
            memory.write([(subject, relation, object_)], namespace=NS, source=Source("user", text=sentence))
        assert answer in [m.answer for m in memory.recall(question, namespace=NS, speaker="user", k=3)]


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("In welcher Stadt wohne ich?", "Stadt wohne"),
        ("Dans quelle ville est-ce que j'habite ?", "ville habite"),
        ("¿Cuál es mi dirección?", "dirección"),
        ("Qual è il mio indirizzo?", "indirizzo"),
        ("Qual é o meu endereço?", "endereço"),
        ("Wat is mijn adres?", "adres"),
        ("Vad är min adress?", "adress"),
        ("Hva er adressen min?", "adressen"),
        ("Jaki jest mój adres?", "adres"),
        ("Какой у меня адрес?", "адрес"),
        ("我的地址是什么？", "地址是"),
        ("私の住所は何ですか？", "住所は"),
        ("내 주소 뭐야?", "주소"),
        ("Adresim nedir?", "Adresim"),
    ],
)
def test_keywords_and_the_first_person_of_other_languages(text: str, keywords: str) -> None:
    question = parse_question(text, "user")
    assert question.text == keywords
    assert question.own and question.personal and "user" in question.keys


@pytest.mark.parametrize(
    "text",
    [
        "Erzähl mir einen Witz",
        "Wie kann ich eine Liste umdrehen?",
        "Comment puis-je inverser une liste ?",
        "¿Cómo puedo invertir una lista?",
        "¿Me puedes explicar la fotosíntesis?",
        "Расскажи мне анекдот",
        "Was ist die Hauptstadt von Kanada?",
        "カナダの首都はどこですか？",
    ],
)
def test_a_request_is_not_about_the_person_who_speaks(text: str) -> None:
    assert not parse_question(text, "user").personal


@pytest.mark.parametrize("text", ["hat size", "die hard", "Me, my hat and the war", "mi casa email", "son's door code"])
def test_english_words_that_other_languages_have_stay_keywords(text: str) -> None:
    kept = set(parse_question(text, "user").text.split())
    assert kept & {"hat", "die", "war", "casa", "son", "door"} == set(text.replace("'s", "").split()) & {
        "hat", "die", "war", "casa", "son", "door"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key"),
    [("Oscarの仕事は何ですか", "oscar"), ("Quel est le métier d'Oscar ?", "oscar"), ("Oscar의 직업은 뭐야?", "oscar")],
)
def test_a_name_is_found_where_no_space_sets_it_apart(text: str, key: str) -> None:
    assert key in parse_question(text, "user").keys
