"""Tokenised text back into the spacing people write, with the place of every token.

Re-DocRED and FewRel store words apart ("Lanzky - Otto", "( 11 September 1911 – 5 February 1971 )"). A model trained on
that reads another language than its users write, so texts are joined again before training and scoring, and names are
cut out of the joined text: then they are spelt as the text spells them. Knows no format and no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Spaced", "natural"]

_MONTH: Final = re.compile("January|February|March|April|May|June|July|August|September|October|November|December")
_JOINS_LEFT: Final = re.compile(r"[,.;:!?)\]}%”…]+$|['’](?:s|S|re|ve|ll|d|m|t)$|n['’]t$|\.\.\.$|°C?$")
_JOINS_RIGHT: Final = re.compile(r"[(\[{$£€#“]$")
_BETWEEN: Final = frozenset("-/‑")
_QUOTES: Final = frozenset("\"'")


class Spaced(NamedTuple):
    """A text and where each token stands in it, in characters; tokens that were dropped are empty."""

    text: str
    spans: tuple[tuple[int, int], ...]


def natural(words: Sequence[str]) -> Spaced:
    """Join words as English is written.

    Straight quotes open and close in turn; hyphens and slashes join their neighbours; a dash joins two years and parts
    two dates. Tokens of nothing but space are dropped.
    """
    text, spans, opened = "", list[tuple[int, int]](), set[str]()
    glue = True  # nothing before, or the word before takes no space after it
    for at, raw in enumerate(words):
        word = " ".join(raw.split())
        before = words[at - 1] if at else ""
        closes = word in opened or (word == "'" and before.endswith("s"))
        joined = _joins(words, at)
        if word and not (glue or joined or closes or _JOINS_LEFT.match(word)):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
        if word:
            glue = joined or bool(_JOINS_RIGHT.match(word)) or (word in _QUOTES and not closes)
        if word in _QUOTES:
            opened.discard(word) if closes else opened.add(word)
    return Spaced(text, tuple(spans))


def _joins(words: Sequence[str], at: int) -> bool:
    """Whether a word stands between its neighbours without space."""
    if not 0 < at < len(words) - 1:
        return False
    before, word, after = words[at - 1 : at + 2]
    if word in _BETWEEN:
        return before[-1:].isalnum() and after[:1].isalnum()
    if word != "–" or not (before.isdigit() and after.isdigit()):
        return False
    return not (at > 1 and _MONTH.match(words[at - 2])) and not (at + 2 < len(words) and _MONTH.match(words[at + 2]))
