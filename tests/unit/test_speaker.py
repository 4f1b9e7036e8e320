"""Who "I" is: one list of names, and whom a human message quotes."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_memllm.conversation import other_speaker, own_words
from langchain_memllm.recall.languages import _LATIN, _SCRIPTS
from langchain_memllm.speaker import FIRST_PERSON, SPEAKER_NAMES, is_speaker, may_be_theirs, may_mean_speaker
from langchain_memllm.triples import name_key


@pytest.mark.parametrize("name", ["user", "The user", "USER", "me", "I", " the  speaker ", "My", "Kari Nordmann"])
def test_names_of_the_person_who_speaks(name):
    """bugs 3.11."""
    assert is_speaker(name, ["kari nordmann"])


@pytest.mark.parametrize("name", ["Kari", "user 1", "superuser", "Mia", "username", ""])
def test_names_of_others(name):
    assert not is_speaker(name, ["Kari Nordmann"])


@pytest.mark.parametrize(
    "name",
    [
        *("user", "The User", "the_user", "theUser", "this user", "our current user", "The human", "User's wife"),
        *("I", "myself", "my sister", "My home", "Our dog", "you", "your address", "th\u0435 us\u0435r", "us\u200ber"),
        *(
            "ich",
            "Ich",
            "meine Frau",
            "der Benutzer",
            "je",
            "moi",
            "l\u2019utilisateur",
            "ma s\u0153ur",
            "yo",
            "el usuario",
        ),
        *("io", "l'utente", "mia moglie", "eu", "o usu\u00e1rio", "minha esposa", "ik", "de gebruiker", "jag"),
        *("anv\u00e4ndaren", "jeg", "brukeren", "brugeren", "ja", "u\u017cytkownik", "ben", "kullan\u0131c\u0131"),
        *(
            "\u044f",
            "\u043f\u043e\u043b\u044c\u0437\u043e\u0432\u0430\u0442\u0435\u043b\u044c",
            "\ub098",
            "\uc0ac\uc6a9\uc790",
            "\u79c1",
            "\u50d5",
            "\u30e6\u30fc\u30b6\u30fc",
            "\u6211",
            "\u7528\u6237",
            "\u6211\u7684\u5bb6",
            "\u79c1\u306e\u59bb",
        ),
    ],
    ids=ascii,
)
def test_what_may_mean_the_person(name):
    assert may_mean_speaker(name) != may_be_theirs(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Ben",
            "Mia",
            "Io",
            "Mina Harker",
            "My Chemical Romance",
            "EU",
            "JA",
            "superuser",
            "username",
            "user 1",
            "users",
        ),
        *("The Who", "Norway", "the human genome", "Human Resources", "Ja, vi elsker", "You are what you eat", ""),
    ],
    ids=ascii,
)
def test_what_does_not_mean_the_person(name):
    assert not may_mean_speaker(name) and not may_be_theirs(name)


def test_every_language_of_recall_has_its_words_for_the_person():
    """A word that asks about the person in a question means the person as a subject, too."""
    asked = {"de": "ich", "fr": "je", "es": "yo", "it": "io", "pt": "eu", "nl": "ik", "sv": "jag", "no": "jeg"}
    asked |= {"pl": "ja", "tr": "ben", "ru": "\u044f", "ko": "\ub098", "ja": "\u79c1", "zh": "\u6211"}
    languages = {each.code: each for each in (*_LATIN, *(language for _, language in _SCRIPTS))}
    assert languages.keys() == asked.keys()
    assert all(languages[code].says_i([word]) and may_mean_speaker(word) for code, word in asked.items())


def test_the_lists_hold_keys():
    assert all(name_key(each) == each for each in FIRST_PERSON | SPEAKER_NAMES)


@pytest.mark.parametrize(
    ("name", "user", "other"),
    [
        (None, "ada", None),
        ("", "ada", None),
        ("  ", "ada", None),
        ("ada", "ada", None),
        ("Ada", "ada", None),
        ("user", "ada", None),
        ("Ada Lovelace", "u-17", None),
        ("bob", "ada", "bob"),
        ("bob", None, "bob"),
        ("ada ", "bob", "ada"),
        ("x" * 300, "ada", "x" * 256),
        ("b\x00o\nb", "ada", "bob"),
        ("\x00", "ada", "somebody else"),
    ],
)
def test_whom_a_human_message_quotes(name, user, other):
    """doors F27: a message that carries bob's name became ada's fact."""
    assert other_speaker(HumanMessage("I live in Oslo.", name=name), user, ["Ada Lovelace"]) == other


def test_own_words_are_those_of_the_run_s_user_in_the_last_turn():
    summary = HumanMessage("I live in Rome.", additional_kwargs={"lc_source": "summarization"})
    messages = [
        HumanMessage("I live in Paris."),
        AIMessage("Noted."),
        HumanMessage("I live in Oslo."),
        HumanMessage("I live in Bergen.", name="bob"),
        summary,
        AIMessage("Let me see."),
    ]
    assert own_words(messages, "ada") == "I live in Oslo."
    assert own_words(messages, "bob") == "I live in Oslo.\nI live in Bergen."
    assert own_words([], "ada") == ""
