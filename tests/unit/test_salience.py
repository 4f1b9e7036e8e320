"""Which messages may state something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from langchain_memllm.salience import always, may_state

TURNS = Path(__file__).parents[2] / "benchmarks" / "turns.jsonl"


@pytest.mark.parametrize(
    "text",
    [
        "I live in Oslo.",
        "I live in Oslo. Is it far?",
        "Thanks! By the way, I moved to Bergen.",
        "What should I feed my dog Pixel now that he is ten and a half?",
        "Did I mention I moved?",
        "Write an email to my boss Silje.",
        "Ich wohne in Berlin.",
        "我住在北京。",
        "```python\nx = 1\n```\nThat is my house key code: 4471",
        "no, my sister",
    ],
)
def test_what_may_state_something(text: str) -> None:
    assert may_state(text)


@pytest.mark.parametrize(
    "text",
    [
        "ok",
        "Thank you so much!",
        "What time is it?",
        "Where do I live?",
        "Write a haiku.",
        "```\nx = 1\n```",
        "",
        "...",
        "👍",
    ],
)
def test_what_states_nothing(text: str) -> None:
    assert not may_state(text)
    assert always(text)


def test_a_short_answer_to_a_question_states_something() -> None:
    assert may_state("Yes.", ["assistant: Do you live in Oslo?"])
    assert not may_state("Yes.", ["assistant: I see."])
    assert not may_state("Thanks!", ["assistant: Do you live in Oslo?"])


def test_turns_of_our_own() -> None:
    turns = [json.loads(line) for line in TURNS.read_text(encoding="utf-8").splitlines()]
    saved = [turn["states"] for turn in turns if not may_state(turn["text"])]
    assert (len(turns), len(saved) >= 0.25 * len(turns), sum(saved) <= 0.02 * len(turns)) == (300, True, True)


def test_a_very_long_message_takes_linear_time() -> None:
    assert not may_state("ok. " * 100_000)
    assert may_state("word " * 100_000)
