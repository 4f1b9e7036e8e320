"""Who "I" is: one list of names, and whom a human message quotes."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_memllm.conversation import other_speaker, own_words
from langchain_memllm.speaker import FIRST_PERSON, SPEAKER_NAMES, is_speaker
from langchain_memllm.triples import name_key


@pytest.mark.parametrize("name", ["user", "The user", "USER", "me", "I", " the  speaker ", "My", "Kari Nordmann"])
def test_names_of_the_person_who_speaks(name):
    """bugs 3.11."""
    assert is_speaker(name, ["kari nordmann"])


@pytest.mark.parametrize("name", ["Kari", "user 1", "superuser", "Mia", "username", ""])
def test_names_of_others(name):
    assert not is_speaker(name, ["Kari Nordmann"])


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
