"""What a text asks for: its keywords, the names in it, and whether it is about the person who speaks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from langchain_memllm.factindex import stems_of
from langchain_memllm.recall.languages import Language, language_of
from langchain_memllm.salience import without_code
from langchain_memllm.speaker import FIRST_PERSON
from langchain_memllm.triples import MAX_NAME, fold, name_key

__all__ = ["STOPWORDS", "Question", "needs_context", "parse_question"]

_MAX_WORDS: Final = 512
_MAX_TEXT: Final = 40_000  # characters that are looked at, half of them from either end
_MAX_READ: Final = 2_000  # characters by which the language is told
_MAX_KEYWORDS: Final = 60
_MAX_GRAM: Final = 6
_PUNCTUATION: Final = ".,;:!?()[]{}\"'“”‘’«»…¡¿‹›„‚*_`~|<>—–-/、。「」！？，："
_ENGLISH: Final = frozenset(
    re.findall(
        r"[\w']+",
        """about after again all also and any are because been before both but can could did does each else ever for
        from had has have having her here hers him his how into its just like many might more most much must not now
        one only other our out over own same she should some still such than that the their theirs them then there
        these they this those through too very was were what when where which while who whom whose why will with
        would you your yours come came go goes going went get gets got do please tell know think
        name named called remind remember thing something anything kind sort way give
        gives gave good explain thank thanks hello hi hey ok okay
        a an am as at be by he i i'd i'll i'm i've if in is it me my no of off on or so than to up us we
        let but may shall being ours mine what's who's where's when's it's that's there's how's isn't aren't don't
        doesn't""",
    )
)
STOPWORDS: Final = _ENGLISH | frozenset(
    re.findall(
        r"\w+",
        """der das dem des ein eine und oder ist im am zu von mit für auf wer wie wo was
        le la les un une et ou est de du des à en qui que où el los las una y es en por con qué il lo gli e di da
        che o os as um uma em é og er et en på til hva hvor""",
    )
)
"""Words that say nothing of what a text is about, in English; and the shortest of some other languages."""

_ASKS: Final = {"when": "date", "when's": "date", "where": "place", "where's": "place"}
_PERSONAL: Final = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours)\b")
_REQUEST: Final = re.compile(
    r"\b(?:tell|give|show|help|teach|send|write|let|make|draw|find|get) (?:me|us)\b"
    r"|\bhow (?:\w+ )?(?:do|can|could|should|would|might) (?:i|we)\b"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a text asks for.

    Args:
        text: The text, for an embedder of words: its keywords in order, or all of it if it has none.
        stems: Its keywords (``factindex.stems_of``), each once, with the word as it was written.
        keys: Keys of every run of up to six words: what may be names.
        speaker: Key of the person who speaks; None: nobody's facts are theirs.
        own: Whether the text says "I", or names the person who speaks.
        personal: Whether it asks about the person who speaks: it says my, we, our, or "I" other than in a request
            ("tell me", "how do I").
        whole: The text, for an embedder of sentences.
        asks: What kind of thing its first word asks for, in a word: a date or a place; empty if it does not say.
    """

    text: str
    stems: Mapping[str, str]
    keys: tuple[str, ...]
    speaker: str | None = None
    own: bool = False
    personal: bool = False
    whole: str = ""
    asks: str = ""


def parse_question(text: str, speaker: str | None) -> Question:
    """What a text asks for; its first and last 256 words are looked at.

    They are sought in its first and last 20,000 characters.
    A run of words that every text has names nothing, unless one is written large inside a sentence (IT, The Who).

    Args:
        text: Any text.
        speaker: Name under which facts about the person who says "I" are stored; None: nobody's.
    """
    if len(text) > _MAX_TEXT:
        text = f"{text[: _MAX_TEXT // 2]} {text[-_MAX_TEXT // 2 :]}"
    language = language_of(text[:_MAX_READ], _ENGLISH)
    given = (text if language is None else language.spaced(text)).split()
    if len(given) > _MAX_WORDS:
        given = given[: _MAX_WORDS // 2] + given[-_MAX_WORDS // 2 :]
    raws, words, common = [], [], []
    begins = True
    for raw in given:
        word = fold(raw[: MAX_NAME + 1])  # a longer word is not a name
        if word and not any("\ud800" <= c <= "\udfff" for c in word):
            raws.append(raw)
            words.append(word)
            common.append(_is_common(raw, word, begins, language))
        begins = raw[-1] in ".!?:"
    keywords = [_bare(raw) for raw, empty in zip(raws, common, strict=True) if not empty]
    spoken = [word for word in map(fold, without_code(" ".join(given)).split()) if word]  # code has an "i" of its own
    bare = [word.strip(_PUNCTUATION) for word in spoken]
    if language is None:
        own = not FIRST_PERSON.isdisjoint(bare)
        personal = _PERSONAL.search(_REQUEST.sub(" ", " ".join(spoken))) is not None
    else:
        own, personal = language.says_i(bare), language.is_personal(bare)
    keys = _runs(words, common)
    is_named = speaker is not None and name_key(speaker) in keys
    if own and speaker is not None:
        keys[name_key(speaker)] = None
    stems: dict[str, str] = {}
    for word in keywords:
        for stem in stems_of(word) if len(stems) < _MAX_KEYWORDS else ():
            stems.setdefault(stem, word)
    return Question(
        " ".join(keywords)[:2000] or text[:2000],
        stems,
        tuple(keys),
        None if speaker is None else name_key(speaker),
        own or is_named,
        is_named or personal,
        " ".join(raws)[:2000],
        _ASKS.get(bare[0], "") if bare and language is None else "",
    )


def _bare(word: str) -> str:
    return word.strip(_PUNCTUATION).removesuffix("'s").removesuffix("’s")


def needs_context(text: str) -> bool:
    """Whether a text cannot be understood without what was said before: it says she or there, or next to nothing.

    Words of English, German, French and Spanish are known.
    """
    question = parse_question(text, None)
    return not question.stems or not _NEEDING.isdisjoint(fold(word).strip(_PUNCTUATION) for word in text.split()[:100])


_NEEDING: Final = frozenset(
    re.findall(
        r"\w+",
        """he him his she her hers it its they them their theirs this that these those there then
        er ihn ihm sie ihr ihre ihrer ihrem ihren sein seine seiner davon dort
        elle elles lui leur leurs cela ella ello ellos ellas ese esa eso allí""",
    )
)


def _runs(words: list[str], common: list[bool]) -> dict[str, None]:
    keys: dict[str, None] = {}
    for start in range(len(words)):
        for end in range(start + 1, min(start + _MAX_GRAM, len(words)) + 1):
            if all(common[start:end]):
                continue
            gram = " ".join(words[start:end])
            bare = gram.strip(_PUNCTUATION)
            keys.update(dict.fromkeys((gram, bare, bare.removesuffix("'s").rstrip(_PUNCTUATION))))
    keys.pop("", None)
    return keys


def _is_common(raw: str, word: str, begins: bool, language: Language | None) -> bool:
    bare = word.strip(_PUNCTUATION)
    is_common = bare in STOPWORDS if language is None else language.is_common(bare)
    if bare and not is_common:
        return False
    says_i = bare in FIRST_PERSON if language is None else language.says_i([bare])
    return begins or says_i or not raw.strip(_PUNCTUATION)[:1].isupper()
