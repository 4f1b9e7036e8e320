"""What a text brings to mind, and which of it is shown: the names in it, and a fair order of what was found.

A block has few places. So words that every text has name nothing; a page or a model fills a small share of the places
only, however much it says; of a slot that is contested the trusted value comes first. Pure; knows no store.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeAlias

from langchain_memllm.speaker import FIRST_PERSON
from langchain_memllm.stores.interface import Row, words_of
from langchain_memllm.triples import MAX_NAME, Match, fold, name_key, rank_of

__all__ = ["SHARE", "by_rank", "fair", "keys_of"]

SHARE: Final = 0.3
"""Most of a block's places that pages, a model or a tool fill, where others have something to say."""

Scored: TypeAlias = "tuple[float, float, Row]"
"""How well a fact fits (with what led to it), its similarity, and the fact."""

_STRICT: Final = frozenset({"web", "model"})
_BEYOND: Final = 0.2  # what a tool's fact loses beyond its share
_OF_SLOT: Final = 3  # values of one contested slot
_MAX_WORDS: Final = 512
_MAX_GRAM: Final = 6
_PUNCTUATION: Final = ".,;:!?()[]{}\"'“”‘’«»…¡¿‹›„‚*_`~|<>—–-/、。「」！？，："
_SHORT: Final = frozenset(
    re.findall(
        r"[\w']+",
        """a an am as at be by do go he i i'd i'll i'm i've if in is it me my no of off on or so than to up us we are
        but let may shall being ours yours mine what's who's where's when's it's that's there's how's isn't aren't don't
        doesn't der die das den dem des ein eine und oder ist im am zu von mit für auf wer wie wo was le la les un une
        et ou est de du des à en qui que où el los las una y es son en por con qué il lo gli e di da che o os as um uma
        em é og er et en på til hva hvor""",
    )
)
_STOPWORDS: Final = frozenset(
    re.findall(
        r"\w+",
        """about after all also and any are been before but can could did does for from had has have her here him his
        how into its just like more most not now one only other our out over she should some than that the their them
        then there these they this those was were what when where which while who whom whose why will with would you
        your""",
    )
)


STOPWORDS: Final = _STOPWORDS | _SHORT
"""Words that say nothing of what a text is about."""


def keys_of(text: str, speaker: str | None) -> tuple[list[str], list[str]]:
    """Keys of every run of up to six words of a text, and its telling words; "I" stands for the speaker.

    A run of words that every text has names nothing, unless one is written large inside a sentence (IT, The Who).
    """
    given = text.split()
    if len(given) > _MAX_WORDS:
        given = given[: _MAX_WORDS // 2] + given[-_MAX_WORDS // 2 :]
    words: list[str] = []
    common: list[bool] = []
    begins = True
    for raw in given:
        word = fold(raw[: MAX_NAME + 1])  # a longer word is no name
        if word and not any("\ud800" <= c <= "\udfff" for c in word):
            words.append(word)
            common.append(_is_common(raw, word, begins))
        begins = raw[-1] in ".!?:"
    keys: dict[str, None] = {}
    for start in range(len(words)):
        for end in range(start + 1, min(start + _MAX_GRAM, len(words)) + 1):
            if all(common[start:end]):
                continue
            gram = " ".join(words[start:end])
            bare = gram.strip(_PUNCTUATION)
            keys.update(dict.fromkeys((gram, bare, bare.removesuffix("'s").rstrip(_PUNCTUATION))))
    spoken = {word.strip(_PUNCTUATION) for word in words}
    if speaker is not None and spoken & FIRST_PERSON:
        keys[name_key(speaker)] = None
    keys.pop("", None)
    telling = dict.fromkeys(word for each in words for word in words_of(each) if word not in _STOPWORDS)
    return list(keys), list(telling)


def _is_common(raw: str, word: str, begins: bool) -> bool:
    bare = word.strip(_PUNCTUATION)
    if bare and bare not in _STOPWORDS and bare not in _SHORT:
        return False
    return begins or bare in FIRST_PERSON or not raw.strip(_PUNCTUATION)[:1].isupper()


def fair(found: Sequence[Scored], k: int, slot_of: Callable[[Row], Hashable | None]) -> list[tuple[float, Row]]:
    """What was found in the order in which it takes ``k`` places, with its similarity.

    Args:
        found: The facts, those that fit best first.
        k: How many places there are.
        slot_of: The slot for one value in which a fact stands; None if it holds many.
    """
    trusted_first = _by_slot(found, slot_of)
    most = max(1, int(SHARE * k))
    others = any(row.fact.kind not in _STRICT for _, _, row in trusted_first)
    counts: Counter[str] = Counter()
    ordered: list[Scored] = []
    for score, similarity, row in trusted_first:
        kind = row.fact.kind
        counts[kind] += 1
        if counts[kind] > most and kind in _STRICT and others:
            continue
        beyond = counts[kind] > most and kind == "tool"
        ordered.append((score - _BEYOND * beyond, similarity, row))
    ordered.sort(key=lambda each: -each[0])
    return [(similarity, row) for _, similarity, row in ordered]


def _by_slot(found: Sequence[Scored], slot_of: Callable[[Row], Hashable | None]) -> list[Scored]:
    """The facts with the values of each slot in the order of their rank, a few of each."""
    slots: dict[Hashable, list[Scored]] = {}
    for each in found:
        slot = slot_of(each[2])
        if slot is not None:
            slots.setdefault(slot, []).append(each)
    best = {slot: sorted(some, key=lambda each: -rank_of(each[2].fact.kind)) for slot, some in slots.items()}
    taken: Counter[Hashable] = Counter()
    ordered: list[Scored] = []
    for each in found:
        slot = slot_of(each[2])
        if slot is None:
            ordered.append(each)
        elif taken[slot] < _OF_SLOT:
            _, similarity, row = best[slot][taken[slot]]
            ordered.append((each[0], similarity, row))
            taken[slot] += 1
    return ordered


def by_rank(matches: Sequence[Match]) -> list[Match]:
    """Matches as they are shown: the most trusted first, among equals those that fit best."""
    return sorted(matches, key=lambda match: -rank_of(match.fact.kind))
