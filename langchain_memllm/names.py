"""Names and the keys under which they are found: what is cleaned, what two spellings share, what keeps them apart.

Pure, and linear in the length of what it is given. Knows no triple and no store.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from math import isfinite
from typing import Final
from unicodedata import normalize

from langchain_memllm.errors import InvalidTriple

__all__ = [
    "MAX_NAME",
    "clean_name",
    "fold",
    "forget_names",
    "is_literal_key",
    "literal_key",
    "loose_key",
    "name_key",
    "word_key",
]

MAX_NAME: Final = 256
"""Longest name of a subject, relation or object, in characters after cleaning."""

_LITERAL: Final = "\x1f"  # no cleaned name holds a control character, so a literal's key never meets a name's


def clean_name(value: object, part: str = "name") -> str:
    """Return ``value`` as it is stored: whitespace collapsed, trimmed, NFC.

    Args:
        value: What was given as a name.
        part: What it is, for the error message.

    Raises:
        InvalidTriple: Not a string, empty, longer than ``MAX_NAME``, or with control characters or lone surrogates.
    """
    if part == "object":
        value = _as_text(value)
    if not isinstance(value, str):
        raise InvalidTriple(part, value, f"expected text, got {type(value).__name__}; convert it with str() first")
    if len(value) > 4 * MAX_NAME:
        raise InvalidTriple(part, value, f"{len(value)} characters; at most {MAX_NAME} fit, shorten it")
    if value.isascii() and value.isprintable():  # the common case, four times faster
        name = " ".join(value.split())
    else:
        name = normalize("NFC", " ".join(value.split()))
        bad = next((c for c in name if unicodedata.category(c) in ("Cc", "Cs")), None)
        if bad is not None:
            raise InvalidTriple(part, value, f"it holds the character U+{ord(bad):04X}; remove it")
    if not name:
        raise InvalidTriple(part, value, "it is empty; give it a name or leave the triple out")
    if len(name) > MAX_NAME:
        raise InvalidTriple(part, value, f"{len(name)} characters; at most {MAX_NAME} fit, shorten it")
    return name


def _as_text(value: object) -> object:
    """A number, a truth value or a date as the name it is as an object: ``34``, ``true``, ``2026-11-29``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal) and isfinite(value):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


def name_key(name: str) -> str:
    """Key under which a cleaned name is found. Two spellings with one key are one name.

    Left out is what a reader does not see or a keyboard decides: letter case, the kind of apostrophe, quotation mark
    or hyphen, width, invisible characters (zero-width, soft hyphen, BOM, tatweel, those that choose a glyph), the vowel
    signs that Arabic and Hebrew may be written without, periods at the end. What differs to the eye stays apart:
    accents, titles, superscripts and circled numbers (x² is not x2). Where nothing is left, the name itself is the key.
    """
    if name.isascii():
        key = name.lower()
        if key[-1:] != "." and "`" not in key:
            return key
    folded = fold(name)
    if folded[-1:] in _STOPS:
        return folded.rstrip(_STOPS) or folded or name
    return folded


def fold(text: str) -> str:
    """What ``name_key`` leaves of a text, with the periods at its end; may be empty. Words fold one by one, too."""
    if text.isascii():
        return text.lower().replace("`", "'")
    if len(text) <= MAX_NAME:
        return _fold_short(text)
    return "".join(map(_fold_piece, _pieces(" ".join(text.split()))))


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces, cut where a word ends or, in one longer than any name, where a character does.

    Normalising costs the square of the number of accents in a row, so it is never done for more than a name at once.
    """
    start = 0
    while len(text) - start > MAX_NAME:
        end = start + MAX_NAME
        space = text.rfind(" ", start + 1, end)
        if space < 0:
            space = next((at for at in range(end, start, -1) if not unicodedata.combining(text[at])), end)
        yield text[start:space]
        start = space
    yield text[start:]


def _fold_piece(piece: str) -> str:
    """A piece of a text, folded; the space that it begins with stays between it and the one before."""
    folded = _fold(piece)
    return f" {folded}" if piece[:1] == " " and folded else folded


def _fold(text: str) -> str:
    folded = normalize("NFC", text)
    for _ in range(2):  # one brings what the other folds: \u0149, \u0130, letters that are only shaped otherwise
        folded = normalize("NFC", normalize("NFC", folded.casefold()).translate(_FOLDS))
    return " ".join(normalize("NFC", _DOTTED_I.sub("i", folded)).split())


_fold_short = functools.lru_cache(maxsize=1 << 14)(_fold)


@functools.lru_cache(maxsize=1 << 14)
def loose_key(key: str) -> str | None:
    """What other spellings of a name share with it (José, Jose; Mr. Smith, Mr Smith; Jean-Luc, Jean Luc).

    Without accents on Latin, Greek and Cyrillic letters, periods, commas, apostrophes and hyphens. Names of one loose
    key stay two names; a reader is told of the other one where the name itself has no answer.

    Returns:
        None if it says no more than the key.
    """
    if key.isascii() and not _MARKED.search(key):
        return None
    loose = key if key.isascii() else normalize("NFKD", key).casefold().translate(_ACCENTS)
    loose = normalize("NFC", " ".join(_DROPPED.sub("", loose.replace("-", " ")).split()))
    return loose if loose and loose != key else None


def forget_names() -> None:
    """Drop the names that are remembered to be folded quickly: what is erased must not stay here."""
    _fold_short.cache_clear()
    loose_key.cache_clear()
    word_key.cache_clear()


class _Folds(dict[int, str]):
    """What a character counts as in a key, worked out when it first comes: for ``str.translate``."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _folded(chr(code))
        return folded


def _folded(char: str) -> str:
    if any(first <= char <= last for first, last in _INVISIBLE):
        return ""
    for plain, alike in _ALIKE.items():
        if char in alike:
            return plain
    tag, _, parts = unicodedata.decomposition(char).rpartition("> ")
    if tag.lstrip("<") not in _WIDTHS or parts.startswith("0020 "):  # accents that stand alone
        return char
    return "".join(_folded(chr(int(part, 16))) for part in parts.split())


_INVISIBLE: Final = (
    # shown as nothing: soft hyphen, joiners, marks of direction, fillers, BOM, what chooses a glyph (emoji, ideographs)
    *(("\u00ad", "\u00ad"), ("\u034f", "\u034f"), ("\u061c", "\u061c"), ("\u115f", "\u1160"), ("\u17b4", "\u17b5")),
    *(("\u180b", "\u180f"), ("\u200b", "\u200f"), ("\u202a", "\u202e"), ("\u2060", "\u206f"), ("\u3164", "\u3164")),
    *(("\ufe00", "\ufe0f"), ("\ufeff", "\ufeff"), ("\uffa0", "\uffa0"), ("\U000e0100", "\U000e01ef")),
    # written or not as one likes: tatweel, vowel signs of Arabic and of Hebrew
    *(("\u0640", "\u0640"), ("\u064b", "\u0652"), ("\u0670", "\u0670"), ("\u06d6", "\u06dc"), ("\u06df", "\u06e4")),
    *(("\u06e7", "\u06e8"), ("\u06ea", "\u06ed"), ("\u0591", "\u05bd"), ("\u05bf", "\u05bf"), ("\u05c1", "\u05c2")),
    *(("\u05c4", "\u05c5"), ("\u05c7", "\u05c7")),
)
_ALIKE: Final = {
    "'": "`\u00b4\u02b9\u02bb\u02bc\u02bd\u02c8\u055a\u05f3\u2018\u2019\u201a\u201b\u2032\ua78c\uff07\uff40",
    '"': "\u201c\u201d\u201e\u201f\u2033\u05f4\uff02",
    "-": "\u02d7\u058a\u05be\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d",
}
# Kinds of compatibility characters that look like what they stand for; super, sub, circle, square, fraction do not.
_WIDTHS: Final = frozenset(
    ("wide", "narrow", "small", "noBreak", "initial", "medial", "final", "isolated", "font", "compat")
)
_FOLDS: Final = _Folds()
_DOTTED_I: Final = re.compile("i\u0307+")  # what casefold makes of the Turkish capital \u0130
_STOPS: Final = ". \u3002"
_MARKED: Final = re.compile(r"[.,'\"-]")
_DROPPED: Final = re.compile(r"[.,'\"]")
_ACCENTS: Final = dict.fromkeys(range(0x300, 0x370)) | str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)


def literal_key(name: str) -> str:
    """Key of a literal object (a date, number, code, password): compared exactly, never equal to a name's key."""
    return _LITERAL + name


def is_literal_key(key: str) -> bool:
    """Whether a key is that of a literal."""
    return key.startswith(_LITERAL)


@functools.lru_cache(maxsize=1 << 14)
def word_key(name: str) -> str:
    """Key of a name by its words, however they are joined: lives_in, lives-in, livesIn and lives:in are one.

    Characters that are not seen are left out, and letters of another script inside a word count as the Latin ones that
    they look like: such a name is made to be taken for another.
    """
    plain = name
    if not name.isascii():
        shown = "".join(
            c for c in normalize("NFKC", name) if unicodedata.category(c) not in _UNSEEN and c not in _FILLERS
        )
        plain = " ".join(word.translate(_LOOKS_LATIN) if _LATIN.search(word) else word for word in shown.split())
    words = " ".join(_JOINTS.sub(" ", _CAMEL.sub(" ", plain)).split())
    return name_key(words or plain or name)


_UNSEEN: Final = ("Cf", "Cc", "Co", "Cn", "Cs")
_FILLERS: Final = "\u115f\u1160\u3164\uffa0\u2800\u034f"
_JOINTS: Final = re.compile(r"[_:/.~+|‐‑–—-]+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z][a-z]|[A-Z]$)")
_LATIN: Final = re.compile("[A-Za-z]")
_LOOKS_LATIN: Final = str.maketrans(
    "аеорсухіјѕһԁӏѵԛԝкмтнвгпАЕОРСУХІЈЅНВКМТανορτυκιΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijshdlvqwkmthbrnAEOPCYXIJSHBKMTavoptukiABEZHIKMNOPTYX",
)
