"""Which sentence is shown beside a fact: the one that says what of the question the fact does not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from langchain_memllm.factindex import stems_of
from langchain_memllm.recall.question import Question
from langchain_memllm.triples import Triple

__all__ = ["telling_sentence"]

_LONGEST: Final = 300  # characters: of a longer text nobody knows which part tells


def telling_sentence(question: Question, triple: Triple, names: Iterable[str], sentences: Iterable[str]) -> str:
    """The sentence that says most keywords of a question which a fact does not say; empty if none says one.

    Args:
        question: What is asked.
        triple: The fact.
        names: Other names of its relation: a keyword among them is said by the fact.
        sentences: What the fact was taken from; of equals the first is taken.
    """
    missing = question.stems.keys() - {stem for name in (*triple, *names) for stem in stems_of(name)}
    best, most = "", 0
    for sentence in sentences if missing else ():
        said = len(missing.intersection(stems_of(sentence))) if len(sentence) <= _LONGEST else 0
        if said > most:
            best, most = sentence, said
    return best
