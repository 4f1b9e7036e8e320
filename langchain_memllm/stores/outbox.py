"""What was said and is not yet extracted: the entries of the outbox, and what forgetting does to them.

A turn is committed to the outbox before the model is asked anything, and leaves it in the very transaction that writes
its facts: so it is written exactly once, whatever happens in between. Both stores keep an entry as the same JSON text
with a version; who extracted from one version cannot write once the entry has changed or is gone. Pure; the tables are
the stores' own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.triples import Source, is_literal_key, name_key, stable_hash

if TYPE_CHECKING:
    from langchain_memllm.stores.interface import Selection

__all__ = [
    "Change",
    "OutboxChanged",
    "OutboxEntry",
    "change_of",
    "excluding",
    "excluding_text",
    "marked",
    "names_any",
    "pack_entry",
    "renewed",
    "stamped",
    "unpack_entry",
]

Slot = tuple[str, ...]
"""Keys of what is forgotten: ``(subject, relation)`` or a whole triple."""

_SENTENCE: Final = re.compile(r"[^.!?。！？\n]*(?:[.!?。！？]+|\n|\Z)\s*")


class OutboxChanged(Exception):
    """The entry changed, or went, after it was read: what was extracted from it must not be written."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A text that was said and waits for its extraction.

    Args:
        op_id: Name of the operation that will write it; one entry a name.
        text: What was said.
        context: What stood before it, oldest first.
        source: Who said it, and where.
        thread: What tells its conversation from others; turns of one may be read together.
        speaker: Name of who says "I" in it, if that is not the person whose memory this is.
        replace: It is the new version of its source: what only the former version said becomes past.
        recorded_at: When it was put here (ISO, UTC).
        attempts: How often its extraction failed.
        excluded: What was forgotten while it waited, and must not come back by it: a hash each (``marked``).
        version: Counts its changes; not part of an export.
    """

    op_id: str
    text: str
    context: tuple[str, ...] = ()
    source: Source = field(default_factory=Source)
    thread: str = ""
    speaker: str | None = None
    replace: bool = False
    recorded_at: str = ""
    attempts: int = 0
    excluded: tuple[str, ...] = ()
    version: int = field(default=0, compare=False)

    @property
    def spoken(self) -> Source:
        """Its source as it spoke: when it was put here, if the message did not say when it was written."""
        return self.source if self.source.at is not None else replace(self.source, at=self.recorded_at or None)

    def excludes(self, subject: str, relation: str, object_: str) -> bool:
        """Whether a triple, by its keys, was forgotten while the entry waited."""
        if not self.excluded:
            return False
        forms = [(subject,), (object_,), (subject, relation), (subject, relation, object_)]
        return not {marked(*each) for each in forms}.isdisjoint(self.excluded)


@dataclass(frozen=True, slots=True)
class Change:
    """What forgetting asks of the outbox.

    Args:
        names: Keys of names: sentences with one of them go, and so do its facts.
        objects: Keys of objects of forgotten facts: sentences with one of them go.
        slots: (subject, relation) and whole triples that must not come back.
    """

    names: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.names or self.objects or self.slots)


def renewed(before: OutboxEntry, given: OutboxEntry) -> OutboxEntry | None:
    """An entry that waits, when it is put again: with its new text; None if it says the same."""
    if given.text == before.text:
        return None
    return replace(before, text=given.text, context=given.context, attempts=0)


def stamped(entries: Iterable[OutboxEntry], at: str) -> list[OutboxEntry]:
    """Entries with the time at which they are put; those that have one keep it."""
    return [entry if entry.recorded_at else replace(entry, recorded_at=at) for entry in entries]


def change_of(selection: Selection, doomed: Iterable[Sequence[str]]) -> Change:
    """What forgetting a selection asks of the outbox.

    Args:
        selection: What is forgotten; not a source, whose entries simply go.
        doomed: Keys (subject, relation, object) of the facts that are erased.
    """
    if selection.name_keys:
        return Change(names=tuple(dict.fromkeys(map(_bare, selection.name_keys))))
    triples = [tuple(keys) for keys in doomed]
    objects = tuple(dict.fromkeys(_bare(keys[2]) for keys in triples))
    if selection.slot is not None:
        subjects, relation = selection.slot
        slots = tuple((subject, each) for subject in subjects for each in (relation, *selection.narrower))
        return Change(objects=objects, slots=slots)
    return Change(objects=objects, slots=tuple(triples)) if selection.fact_ids else Change()


def _bare(key: str) -> str:
    """The key of a name or literal as texts are searched for it."""
    return name_key(key[1:]) if is_literal_key(key) else key


def excluding(entry: OutboxEntry, change: Change) -> OutboxEntry | None:
    """The entry after something was forgotten; None if nothing of it is left."""
    words = [*change.names, *change.objects]
    text = excluding_text(entry.text, words)
    if not text.strip():
        return None
    forgotten = (marked(*keys) for keys in (*((name,) for name in change.names), *change.slots))
    excluded = dict.fromkeys([*entry.excluded, *forgotten])
    return replace(
        entry,
        text=text,
        context=tuple(each for each in entry.context if not names_any(each, words)),
        excluded=tuple(excluded),
    )


def excluding_text(text: str, words: Sequence[str], sentences: Sequence[str] = ()) -> str:
    """A text without the sentences that hold one of these words (keys), or one of these sentences, or lie in one."""
    known = [" ".join(each.split()) for each in sentences if each.strip()]

    def stays(part: str) -> bool:
        told = " ".join(part.split())
        return not names_any(part, words) and not (told and any(told in each or each in told for each in known))

    return "".join(part for part in _SENTENCE.findall(text) if stays(part))


def marked(*keys: str) -> str:
    """What is remembered of something forgotten, to know it again: a hash of its keys."""
    return stable_hash("forgotten", *keys)


def names_any(text: str, keys: Iterable[str]) -> bool:
    """Whether a text holds one of these names, whatever the case; a name of ASCII letters only as a word of its own."""
    folded = name_key(" ".join(text.split())) if text.strip() else ""
    return any(_holds(folded, key) for key in keys if key)


def _holds(text: str, key: str) -> bool:
    if key not in text:
        return False
    if not (key[0].isascii() and key[-1].isascii() and key[0].isalnum() and key[-1].isalnum()):
        return True
    return re.search(rf"(?<![^\W_]){re.escape(key)}(?![^\W_])", text) is not None


def pack_entry(entry: OutboxEntry) -> str:
    """An entry as stores and exports keep it: JSON without the name of its operation and its version."""
    data = asdict(entry)
    del data["op_id"], data["version"]
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def unpack_entry(op_id: str, packed: str, version: int = 0) -> OutboxEntry:
    """Inverse of ``pack_entry``.

    Raises:
        ValueError: It has another form; so do ``KeyError`` and ``TypeError``.
    """
    data: dict[str, Any] = json.loads(packed)
    return OutboxEntry(
        op_id=op_id,
        text=_text(data["text"]),
        context=tuple(map(_text, data["context"])),
        source=_source(data["source"]),
        thread=_text(data["thread"]),
        speaker=None if data["speaker"] is None else _text(data["speaker"]),
        replace=bool(data["replace"]),
        recorded_at=_text(data["recorded_at"]),
        attempts=int(data["attempts"]),
        excluded=tuple(_excluded(each) for each in data["excluded"]),
        version=version,
    )


def _source(data: dict[str, Any]) -> Source:
    span, turn = data.pop("span", None), data.pop("turn", None)
    if span is not None and not (isinstance(span, list | tuple) and len(span) == 2 and all(map(_is_place, span))):
        raise ValueError("span is not a place in a text")
    if turn is not None and not _is_place(turn):
        raise ValueError("turn is not the number of a turn")
    return Source(**data, span=None if span is None else tuple(span), turn=turn)


def _is_place(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _excluded(mark: object) -> str:
    """The mark of something forgotten; entries of before schema 7 have its keys."""
    if isinstance(mark, list | tuple):
        if not 1 <= len(mark) <= 3:
            raise ValueError(f"{len(mark)} keys of a forgotten fact; expected one to three")
        return marked(*map(_text, mark))
    if not isinstance(mark, str) or not re.fullmatch("[0-9a-f]{32}", mark):
        raise ValueError("the mark of a forgotten fact is not a hash")
    return mark


def _text(value: object) -> str:
    if not isinstance(value, str) or "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{ascii(value)[:60]} is not plain text")
    return value
