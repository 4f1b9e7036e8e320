"""What was said: sessions, episodes and turns, kept beside the facts as they were spoken.

The Hub of "Empowering Working Memory" (arXiv 2312.17259): every input and output is kept, and whole episodes come back.
A session is a thread. An episode is a stretch of it without a pause of more than ``PAUSE``, of at most ``MAX_TURNS``
turns. A turn is one message, named after its conversation and its message, so one that is delivered again is kept once.
Here are the values, the rules that both stores follow, and the protocol; pure but for the shipped embedder, which
makes the search codes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import numpy as np

from langchain_memllm.embeddings import StaticEmbedder
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.factindex import MAX_READ, NO_SPACES
from langchain_memllm.nameindex import CODE_BYTES, encode
from langchain_memllm.stores.outbox import Change, excluding_text, names_any
from langchain_memllm.stores.rows import corrupt, moment_is_sound
from langchain_memllm.times import as_moment
from langchain_memllm.triples import KINDS, MAX_NAME, Kind, Namespace, stable_hash

__all__ = [
    "MAX_TURNS",
    "PAUSE",
    "SYMBOL",
    "EpisodeNote",
    "Grant",
    "Last",
    "Placed",
    "Telling",
    "Turn",
    "TurnFilter",
    "TurnStore",
    "checked",
    "codes_of",
    "cut",
    "pack_turn",
    "placed",
    "plain",
    "sound_codes",
    "sound_note",
    "sound_numbers",
    "sound_places",
    "sound_turn",
    "tokens_of",
    "turn_of",
    "vectors_of",
]

PAUSE: Final = timedelta(minutes=30)
"""A longer pause in a thread begins a new episode."""

MAX_TURNS: Final = 200
"""Most turns of an episode; the next one begins another."""

_WORD_LENGTH: Final = 64
_MAX_WORDS: Final = 50_000
_ID: Final = re.compile("[0-9a-f]{32}")
SYMBOL: Final = r"[\u2190-\u2bff\U0001f000-\U0001faff]"
"""A symbol (an emoji), as in a regular expression: each is a word of its own."""

# A run of letters and digits; or one sign of a script without spaces; or one symbol (an emoji).
_TOKEN: Final = re.compile(rf"[{NO_SPACES}]|[^\W_{NO_SPACES}]+|{SYMBOL}")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation, as it was said.

    Args:
        id: 32 hex digits, the same for every delivery of the message (``Turn.named``).
        thread: The session it belongs to.
        text: What was said, unchanged but for NUL and lone surrogates, which no store can keep (``plain``).
        at: When it was said (ISO, UTC); empty: when it is put.
        role: Who speaks in the conversation: ``user``, ``assistant``, ``tool``, or another word of the caller's.
        speaker: Their name, where the message has one.
        kind: Kind of its source; a fact's evidence of the same kind and ref came from it.
        ref: Name of its source.
        scope: What a role must have been granted to see it; empty is a scope as well.
        episode: Number of its episode in the session, from 1; 0: to be decided when it is put.
        place: Where it stands among the turns of its namespace; the store's.
    """

    id: str
    thread: str
    text: str
    at: str = ""
    role: str = "user"
    speaker: str | None = None
    kind: Kind = "user"
    ref: str = ""
    scope: str = ""
    episode: int = 0
    place: int = field(default=0, compare=False)

    @staticmethod
    def named(thread: str, message: str) -> str:
        """The id of a message of a thread."""
        return stable_hash("said", thread, message)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EpisodeNote:
    """An episode without its turns: where it is, when it began and ended, and how many of its turns may be seen."""

    thread: str
    number: int
    began: str
    ended: str
    turns: int


@dataclass(frozen=True, slots=True)
class Grant:
    """That a role may see the turns of a scope."""

    role: str
    scope: str


@dataclass(frozen=True, slots=True)
class TurnFilter:
    """Which turns are meant; every given condition must hold. One of the first four finds them by an index.

    Args:
        ids: Their ids.
        thread: Their session.
        sources: (kind, ref) of their sources.
        places: Their places.
        episode: With ``thread``: the number of their episode.
        since: Said at this moment or later (ISO, UTC).
        until: Said before this moment.
        role: Only what this role may see: turns of scopes that it was granted. None: all.
    """

    ids: tuple[str, ...] | None = None
    thread: str | None = None
    sources: tuple[tuple[str, str], ...] | None = None
    places: tuple[int, ...] | None = None
    episode: int | None = None
    since: str | None = None
    until: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """What forgetting facts asks of what was said.

    Args:
        change: Names and objects whose sentences go (``outbox.Change``).
        sources: (kind, ref) of the evidence of the forgotten facts: the turns they were taken from.
        sentences: Texts of that evidence.
    """

    change: Change
    sources: tuple[tuple[str, str], ...] = ()
    sentences: tuple[str, ...] = ()


class TurnStore(Protocol):
    """Where a store keeps what was said; ``TripleStore.turns`` is one. Turns are put by ``put_outbox``."""

    def drop(self, namespace: Namespace, ids: Sequence[str]) -> int:
        """Remove turns that were taken back; they may be put again. Returns how many there were."""

    def select(self, namespace: Namespace, where: TurnFilter, *, limit: int = 1000, newest: bool = False) -> list[Turn]:
        """Turns in the order in which they were put; the last ``limit`` of them with ``newest``, newest first."""

    def matching(
        self, namespace: Namespace, tokens: Sequence[str], *, phrase: bool, role: str | None = None, limit: int = 50
    ) -> list[int]:
        """Places of turns that hold these tokens one after the other, newest first; or any of them, best first."""

    def counts(
        self, namespace: Namespace, groups: Sequence[Sequence[str]], *, role: str | None = None, most: int = 1000
    ) -> list[int]:
        """How many turns hold one of the tokens of each group, counted up to ``most``."""

    def beside(self, namespace: Namespace, places: Sequence[int]) -> list[tuple[int, int | None, int | None]]:
        """(place, that of the turn before it in its session, that of the one after), whoever may see them."""

    def codes(self, namespace: Namespace, after: int, *, limit: int = 100_000) -> list[tuple[int, str, bytes]]:
        """(place, scope, search code) of the turns after a place, in order."""

    def epoch(self, namespace: Namespace) -> int:
        """A number that changes when turns were changed or removed."""

    def spoken(
        self,
        namespace: Namespace,
        since: str,
        until: str,
        *,
        thread: str | None = None,
        role: str | None = None,
        limit: int = 100,
    ) -> list[tuple[str, int]]:
        """(thread, number) of the episodes of which something was said then, in the order in which it was said."""

    def episodes(
        self,
        namespace: Namespace,
        *,
        thread: str | None = None,
        since: str | None = None,
        until: str | None = None,
        role: str | None = None,
        limit: int = 100,
    ) -> list[EpisodeNote]:
        """Episodes that began then, newest first, with the turns that the role may see; none without any.

        Those of a thread come in the order of their numbers, the last first, whatever the clock said.
        """

    def grants(self, namespace: Namespace) -> list[Grant]:
        """Which roles may see what, sorted."""

    def grant(self, namespace: Namespace, role: str, scopes: Sequence[str]) -> None:
        """Set what a role may see, instead of what it was before."""


# -- what begins, and what is new --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Last:
    """Where a session stands: number of its last episode, when its last turn was said, how many turns that has."""

    episode: int = 0
    at: str = ""
    turns: int = 0

    def followed_by(self, turn: Turn) -> Last:
        """The session after a turn: the only place that decides what begins an episode.

        A clock that goes back begins none: a pause is time that passed.
        """
        begins = not self.episode or self.turns >= MAX_TURNS or _moment(turn.at) - _moment(self.at) > PAUSE
        return Last(self.episode + 1, turn.at, 1) if begins else Last(self.episode, turn.at, self.turns + 1)


@dataclass(frozen=True, slots=True)
class Placed:
    """What putting turns changes: those that are new, and those that say something else now."""

    new: list[Turn] = field(default_factory=list)
    changed: list[Turn] = field(default_factory=list)


def placed(
    given: Iterable[Turn], held: Mapping[str, Turn], gone: AbstractSet[str], last: Mapping[str, Last], at: str
) -> Placed:
    """What putting turns changes in a namespace.

    Args:
        given: The turns; one that has an episode already (from an export) stays in it.
        held: Those of them that are there.
        gone: Ids of those that were forgotten: they do not come back.
        last: Where their sessions stand.
        at: When those were said that do not tell.
    """
    now, known, found = dict(last), dict(held), Placed()
    for turn in given:
        before = known.get(turn.id)
        if turn.id in gone or (before is not None and before.text == turn.text):
            continue
        if before is not None:
            known[turn.id] = replace(before, text=turn.text)
            found.changed.append(known[turn.id])
            continue
        fresh = replace(turn, at=turn.at or at)
        session = now.get(turn.thread, Last())
        after = Last(turn.episode, fresh.at, 1) if turn.episode else session.followed_by(fresh)
        now[turn.thread] = after if after.episode >= session.episode else session
        known[turn.id] = replace(fresh, episode=after.episode)
        found.new.append(known[turn.id])
    changed = {turn.id: turn for turn in found.changed}
    return Placed([known[turn.id] for turn in found.new], [t for t in changed.values() if t.id in held])


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


def sound_turn(row: Sequence[Any], place: str) -> Turn:
    """A turn from the columns of a store: id, thread, text, at, role, speaker, kind, ref, scope, episode, place.

    Raises:
        StoreCorrupt: A value is not what we write; ``place`` names the table.
    """
    uid, thread, text, at, role, speaker, kind, ref, scope, number, where = row
    texts = all(type(value) is str for value in (uid, thread, text, at, role, ref, scope))
    if (
        not texts
        or len(uid) != 32
        or type(speaker) not in (str, type(None))
        or kind not in KINDS
        or type(number) is not int
        or type(where) is not int
        or not moment_is_sound(at)
    ):
        raise corrupt(place, "a turn")
    return Turn(uid, thread, text, at, role, speaker, kind, ref, scope, number, where)


def sound_codes(rows: Sequence[Sequence[Any]], place: str) -> list[tuple[int, str, bytes]]:
    """(place, scope, code) of turns from the columns of a store.

    Raises:
        StoreCorrupt: A value is not what we write.
    """
    for number, scope, code in rows:
        if type(number) is not int or type(scope) is not str or type(code) is not bytes or len(code) != CODE_BYTES:
            raise corrupt(place, "the search code of a turn")
    return [(number, scope, code) for number, scope, code in rows]


def sound_numbers(values: Sequence[Any], place: str) -> list[int]:
    """Places of turns, or the epoch of a namespace, from the columns of a store.

    Raises:
        StoreCorrupt: A value is not a whole number.
    """
    for value in values:
        if type(value) is not int:
            raise corrupt(place, "the place or epoch of what was said")
    return list(values)


def sound_places(rows: Sequence[Sequence[Any]], place: str) -> list[tuple[str, int]]:
    """(thread, number) of episodes from the columns of a store.

    Raises:
        StoreCorrupt: A value is not what we write.
    """
    for thread, number in rows:
        if type(thread) is not str or type(number) is not int:
            raise corrupt(place, "an episode")
    return [(thread, number) for thread, number in rows]


def sound_note(row: Sequence[Any], place: str) -> EpisodeNote:
    """An episode from the columns of a store.

    Raises:
        StoreCorrupt: A value is not what we write.
    """
    thread, number, began, ended, turns = row
    types = [type(each) for each in (thread, number, began, ended)]
    if types != [str, int, str, str] or not moment_is_sound(began) or not moment_is_sound(ended):
        raise corrupt(place, "an episode")
    return EpisodeNote(thread, number, began, ended, turns)


# -- what is searched --------------------------------------------------------------------------------------------------


def tokens_of(text: str) -> list[str]:
    """What a text is found by, in order: its words, folded, each sign of a script without spaces, and symbols.

    A word counts by its first 64 characters, a text by its first 50,000 words.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    found = (match.group()[:_WORD_LENGTH] for match in _TOKEN.finditer(folded))
    return [token for _, token in zip(range(_MAX_WORDS), found, strict=False)]


def vectors_of(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Unit vectors of texts by the shipped embedder, (texts, D); zero for what it cannot read.

    Only the beginning of a long text counts.
    """
    return StaticEmbedder.shipped().encode([text[:MAX_READ] for text in texts])


def codes_of(texts: Sequence[str]) -> list[bytes | None]:
    """Search codes of texts (``nameindex``); None for what the embedder cannot read."""
    if not texts:
        return []
    vectors = vectors_of(texts)
    return [code.tobytes() if vector.any() else None for code, vector in zip(encode(vectors), vectors, strict=True)]


# -- what is forgotten -------------------------------------------------------------------------------------------------


def cut(turn: Turn, telling: Telling, *, near: bool) -> Turn | None:
    """A turn after something was forgotten; None if nothing of it is left.

    Of a forgotten name every sentence with it goes, and every turn of a speaker of that name. Of forgotten facts the
    sentences go that they were taken from, and those that name their objects in the episodes of these.

    Args:
        turn: The turn.
        telling: What is forgotten.
        near: Whether its episode holds a turn that a forgotten fact was taken from.
    """
    change = telling.change
    if names_any(turn.speaker or "", change.names):
        return None
    own = (turn.kind, turn.ref) in telling.sources
    words = [*change.names, *(change.objects if near or own else ())]
    text = excluding_text(turn.text, words, telling.sentences if own else ())
    if own and text == turn.text:  # it states the fact in words that cannot be told
        return None
    return replace(turn, text=text) if text.strip() or text == turn.text else None


# -- what comes in and goes out ----------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """A text as every store can keep it: NUL and lone surrogates become U+FFFD."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


def checked(turn: Turn) -> Turn:
    """A turn as a store may keep it.

    Raises:
        ConfigurationError: A part of it cannot be used.
    """
    if not isinstance(turn.text, str) or not isinstance(turn.thread, str):
        raise ConfigurationError(f"the text and the thread of a turn are strings, not {type(turn.text).__name__}")
    if not _ID.fullmatch(turn.id):
        raise ConfigurationError(f"{turn.id!r} is not the id of a turn; make it with Turn.named(thread, message)")
    if turn.kind not in KINDS:
        raise ConfigurationError(f"kind {turn.kind!r} of a turn is unknown; use one of {', '.join(KINDS)}")
    for name in ("role", "speaker", "scope", "thread"):
        value = getattr(turn, name)
        if value is not None and (not isinstance(value, str) or len(value) > 4 * MAX_NAME):
            raise ConfigurationError(f"{name} {ascii(value)[:40]} of a turn is not a text of at most {4 * MAX_NAME}")
    return replace(
        turn,
        text=plain(turn.text),
        thread=plain(turn.thread),
        ref=plain(turn.ref)[:1024],
        at=as_moment(turn.at or None) or "",
        speaker=None if turn.speaker is None else plain(turn.speaker),
    )


def pack_turn(turn: Turn) -> dict[str, Any]:
    """A turn as exports keep it."""
    packed = turn.as_dict()
    source = {"kind": packed.pop("kind"), "ref": packed.pop("ref")}
    del packed["place"]
    return {**packed, "source": source}


def turn_of(record: Mapping[str, Any]) -> Turn:
    """Inverse of ``pack_turn``.

    Raises:
        ValueError: A value has another form; so do ``KeyError`` and ``TypeError``.
    """
    number, source = record["episode"], record["source"]
    if type(number) is not int or not 1 <= number < 1 << 43:
        raise ValueError(f"{number!r} is not the number of an episode")
    return checked(
        Turn(
            record["id"],
            _text(record["thread"]),
            _text(record["text"]),
            _text(record["at"]),
            _text(record["role"]),
            None if record["speaker"] is None else _text(record["speaker"]),
            source["kind"],
            _text(source["ref"]),
            _text(record["scope"]),
            number,
        )
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or plain(value) != value:
        raise ValueError(f"{ascii(value)[:60]} is not plain text")
    return value
