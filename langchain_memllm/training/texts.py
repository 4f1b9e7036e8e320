"""The tokens of a document in which its perplexity is measured: one tokenisation for all conditions."""

from __future__ import annotations

import itertools
from typing import Final

from langchain_memllm.local.vocabulary import Vocabulary
from langchain_memllm.training.data import Target, targets
from langchain_memllm.training.documents import Document

__all__ = ["Text"]

_WORDS: Final = 20


class Text:
    """The tokens of a document, cut where mentions begin (before the space) and end, and which are whose.

    ``ids``; ``targets`` with their first token; ``target_spans`` and ``entity_spans``: from and to which token.
    """

    def __init__(self, document: Document, vocabulary: Vocabulary) -> None:
        """Tokenise the pieces apart."""
        text = document.text
        places = []
        for mention in document.mentions:
            start = document.offset(mention.sentence) + mention.start
            places.append((_begin(text, start), start + len(mention.text)))
        cuts = sorted({0, len(text), *(cut for place in places for cut in place)})
        at, ids = {0: 0}, list[int]()
        for begin, end in itertools.pairwise(cuts):
            ids += vocabulary.encode(text[begin:end])
            at[end] = len(ids)
        self.text, self.ids, self._at = text, tuple(ids), at
        self.entity_spans = [(at[begin], at[end]) for begin, end in places]
        self.targets: dict[int, Target] = {at[_begin(text, target.start)]: target for target in targets(document)}
        self.target_spans = [(first, at[target.end]) for first, target in self.targets.items()]

    def words_before(self, target: Target) -> str:
        """The last words before a target."""
        return " ".join(self.text[: target.start].split()[-_WORDS:])


def _begin(text: str, start: int) -> int:
    """Where the token of a name begins: at the space before it."""
    return start - (start > 0 and text[start - 1] == " ")
