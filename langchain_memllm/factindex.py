"""Facts found by their words: an inverted index of one namespace, held in memory at about 250 bytes a fact.

What is kept of a fact in a store is the words of each piece of evidence for it: four bytes a word, written and erased
with the evidence itself. So no namespace is ever searched with the words or the counts of another one, nothing of a
forgotten fact is left in an index, and both stores rank alike. Words are compared by 31 bits of a hash.

The stems and the hash are stored, so a change of either needs a step of the schema that makes them anew.
"""

from __future__ import annotations

import functools
import math
import re
import threading
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from langchain_memllm.errors import StoreCorrupt
from langchain_memllm.forking import renewed
from langchain_memllm.triples import is_literal_key

__all__ = [
    "MAX_READ",
    "NO_SPACES",
    "FactIndex",
    "evidence_words",
    "forget_words",
    "forms_of",
    "name_token",
    "plain",
    "rarity",
    "relation_token",
    "stems_of",
    "typo_key",
    "word_token",
]

_OF_TRIPLE: Final = np.uint32(1 << 31)  # marks a row in which a word stands in the triple, not only in the sentence
_HASH: Final = (1 << 31) - 1
_ENDS: Final = 3  # a fact's words begin with its subject, relation and object
_MAX_WORDS: Final = 400
_WORD_LENGTH: Final = 40
_LEAST_TYPO: Final = 5  # letters from which a word may be misspelt
_TAIL: Final = 20_000  # words added since the index was sorted

NO_SPACES: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Signs of scripts that are written without spaces, as in a character class: each is a word."""

MAX_READ: Final = 4_000
"""Characters of a sentence or turn that are read for its words."""

_WORD: Final = re.compile(rf"[{NO_SPACES}]|[^\W_{NO_SPACES}]+")
_DATE: Final = re.compile(r"\b\d{4}-(0[1-9]|1[0-2])(?:-\d\d)?\b")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
    *("november", "december"),
)
_VOWELS: Final = frozenset("aeiouy")
_FORMS: Final = ("", "s", "e", "es", "ed", "d", "ing", "y", "ies", "er", "ers", "ion", "ions", "al", "ly", "ment")
_MOST_FORMS: Final = 16

Id = TypeVar("Id", int, str)


def stems_of(text: str) -> list[str]:
    """The words of a text in order, without case, accents and the commonest endings of English.

    A date has the name of its month as a word, too. At most 4,000 characters and 400 words are read.
    """
    read = text[:MAX_READ]
    words = [_stem(word) for word in _WORD.findall(read if read.isascii() else plain(read))[:_MAX_WORDS]]
    return words + [_stem(_MONTHS[int(month) - 1]) for month in _DATE.findall(read)]


def plain(text: str) -> str:
    """The text without what combines with a letter: resume is a word of résumé."""
    folded = unicodedata.normalize("NFKD", text)
    return "".join(c for c in folded if not unicodedata.combining(c)) if not folded.isascii() else folded


@functools.lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    """A word without the endings of number and tense, so that dentists are found by "dentist", lives by "living"."""
    stem = word.casefold()[:_WORD_LENGTH]
    if len(stem) < 4 or not (stem.isascii() and stem.isalpha()):
        return stem
    if stem.endswith("ies"):
        stem = stem[:-3] + "y"
    elif stem.endswith(("sses", "xes", "ches", "shes")):
        stem = stem[:-2]
    elif stem.endswith("s") and not stem.endswith(("ss", "us", "is")):
        stem = stem[:-1]
    for ending in ("ing", "ed"):
        rest = stem.removesuffix(ending)
        if rest != stem and len(rest) >= 3 and not _VOWELS.isdisjoint(rest):
            stem = rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    for ending in ("ation", "ion", "ment", "ness", "er", "or", "ic", "al", "ly", "e", "y", "i"):
        rest = stem.removesuffix(ending)
        if rest != stem and len(rest) >= 4 - (len(ending) == 1):
            return rest
    return stem


def forms_of(word: str) -> list[str]:
    """Words that are likely to be written where another form of this one is meant: those of one stem, itself first.

    For an index of whole words: "hiking" is sought as hike, hikes, hiked, hiker too.
    """
    folded = word.casefold()[:_WORD_LENGTH]
    stem = _stem(folded)
    forms = (f"{base}{ending}" for ending in _FORMS for base in (folded, stem, stem + stem[-1:]))
    return list(dict.fromkeys((folded, *(form for form in forms if _stem(form) == stem))))[:_MOST_FORMS]


def rarity(held: int, total: int) -> float:
    """What a word counts that ``held`` of ``total`` texts have: the inverse document frequency of BM25, at least 0."""
    return math.log(1 + (total - held + 0.5) / (held + 0.5))


def forget_words() -> None:
    """Drop the words that are remembered to be read quickly: what is erased must not stay here."""
    _stem.cache_clear()


def typo_key(stem: str) -> str | None:
    """What a word shares with most of its misspellings: its first letter and the set of its consonants.

    Doubled letters, wrong vowels and letters that changed places keep it ("alergic", "recieve", "dentsit").

    Returns:
        None for a word too short to tell.
    """
    if len(stem) < _LEAST_TYPO - 1 or not stem.isalpha():
        return None
    consonants = sorted(set(stem[1:]) - _VOWELS)
    return f"~{stem[0]}{''.join(consonants)}" if len(consonants) >= 2 else None


def word_token(stem: str) -> int:
    """What a word is compared by."""
    return zlib.crc32(stem.encode("utf-8", "surrogatepass")) & _HASH


def name_token(key: str) -> int:
    """What a name is compared by."""
    return word_token("\x1d" + key)


def relation_token(key: str) -> int:
    """What a relation is compared by."""
    return word_token("\x1c" + key)


def evidence_words(subject: str, relation: str, object_: str, sentence: str | None) -> tuple[bytes, bytes | None]:
    """What a store keeps beside a piece of evidence: the words of its fact, and those that only its sentence has.

    Args:
        subject: Key of the subject.
        relation: Key of the relation.
        object_: Key of the object.
        sentence: What was said, if it is known.

    Returns:
        Tokens of four bytes each: of subject, relation and object, then of the words; and of the sentence's words.
    """
    ends = (name_token(subject), relation_token(relation), name_token(object_))
    named = object_[1:] if is_literal_key(object_) else object_
    words = dict.fromkeys((*stems_of(subject), *stems_of(relation), *stems_of(named)))
    spelled = dict.fromkeys(filter(None, map(typo_key, words)))
    said = [word_token(word) for word in dict.fromkeys(stems_of(sentence)) if word not in words] if sentence else []
    return _packed([*ends, *map(word_token, (*words, *spelled))]), _packed(said) if said else None


def _packed(tokens: Sequence[int]) -> bytes:
    return np.array(tokens, "<u4").tobytes()


class FactIndex(Generic[Id]):
    """The facts of one namespace by their words. Safe across threads.

    A row is a piece of evidence, in the order added; a fact with several has several rows.
    """

    def __init__(self) -> None:
        """An empty index."""
        self._lock = renewed(threading.Lock())
        self._ids: list[Id] = []
        self._ends: NDArray[np.uint32] = np.empty((0, _ENDS), np.uint32)
        self._ranks: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._words: NDArray[np.uint32] = np.empty(0, np.uint32)  # sorted; _rows: where each stands
        self._rows: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._new_words: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._new_rows: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._alive: NDArray[np.bool_] = np.empty(0, np.bool_)

    def add(
        self, ids: Sequence[Id], words: Sequence[bytes], said: Sequence[bytes | None], ranks: Sequence[int]
    ) -> None:
        """Add evidence.

        Args:
            ids: The id of each fact.
            words: What ``evidence_words`` made of it.
            said: And of its sentence.
            ranks: The rank of its source (``triples.rank_of``).

        Raises:
            StoreCorrupt: Not what ``evidence_words`` makes.
        """
        sentences: list[bytes] = [b"" if each is None else each for each in said]
        if any(type(each) is not bytes or len(each) % 4 for each in (*words, *sentences)) or any(
            len(each) < 4 * _ENDS for each in words
        ):
            raise StoreCorrupt("the search words of a fact are damaged; check the store with: memllm doctor")
        if not ids:
            return
        stated, sizes, first = _joined(words)
        spoken, lengths, _ = _joined(sentences)
        ends = stated[first[:, None] + np.arange(_ENDS)]
        with self._lock:
            rows = np.arange(len(self._ids), len(self._ids) + len(ids), dtype=np.uint32)
            stating, speaking = np.repeat(rows | _OF_TRIPLE, sizes), np.repeat(rows, lengths)
            self._ids = self._ids + list(ids)
            self._ends = np.concatenate((self._ends, ends))
            self._ranks = np.concatenate((self._ranks, np.array(ranks, np.uint8)))
            self._alive = np.concatenate((self._alive, np.ones(len(ids), np.bool_)))
            self._new_words = np.concatenate((self._new_words, stated, spoken))
            self._new_rows = np.concatenate((self._new_rows, stating, speaking))
            if len(self._new_words) > max(_TAIL, len(self._words) // 8):
                self._sort()

    def _sort(self) -> None:
        words = np.concatenate((self._words, self._new_words))
        order = np.argsort(words, kind="stable")
        self._words, self._rows = words[order], np.concatenate((self._rows, self._new_rows))[order]
        self._new_words, self._new_rows = self._new_words[:0], self._new_rows[:0]

    def discard(self, rows: Iterable[int]) -> None:
        """Leave rows out of all postings from now on: their facts were closed."""
        with self._lock:
            alive = self._alive.copy()
            alive[np.fromiter(rows, np.intp)] = False
            self._alive = alive

    def postings(self, token: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Rows that hold a token, and whether it stands in the triple of each."""
        with self._lock:
            start, end = np.searchsorted(self._words, np.array([token, token + 1], np.uint32))
            found = self._rows[start:end]
            if len(self._new_words):
                found = np.concatenate((found, self._new_rows[self._new_words == token]))
            rows = found & np.uint32(_HASH)
            alive = self._alive[rows]
        return rows[alive], found[alive] >= _OF_TRIPLE

    def ids(self, rows: Iterable[int]) -> list[Id]:
        """The ids of the facts of some rows."""
        held = self._ids
        return [held[row] for row in rows]

    @property
    def ends(self) -> NDArray[np.uint32]:
        """Tokens of subject, relation and object by row, shape (n, 3)."""
        return self._ends

    @property
    def ranks(self) -> NDArray[np.uint8]:
        """Rank of the source of each row."""
        return self._ranks

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._ids)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes (without the texts of text ids)."""
        arrays: tuple[NDArray[Any], ...] = (
            self._ends,
            self._ranks,
            self._words,
            self._rows,
            self._new_words,
            self._new_rows,
            self._alive,
        )
        return sum(array.nbytes for array in arrays) + 8 * len(self._ids)


def _joined(parts: Sequence[bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """All tokens, how many each part has, and where each begins."""
    sizes = np.array([len(part) // 4 for part in parts], np.int64)
    return np.frombuffer(b"".join(parts), "<u4").astype(np.uint32, copy=False), sizes, np.cumsum(sizes) - sizes
