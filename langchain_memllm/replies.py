"""What a model's reply says: facts out of tool calls, JSON or the grammar, however mangled they come.

Every parser is run on the same reply and never raises: what is good becomes items, the rest pieces with a reason, so
nothing is lost in silence. Linear in the length of the reply. Knows no model and no store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_memllm.dialects import decoded, spoken
from langchain_memllm.errors import InvalidTriple
from langchain_memllm.grammar import END, SEP, START, parse, parse_write
from langchain_memllm.roles import OTHER_ROLES, ROLES
from langchain_memllm.triples import Triple

__all__ = ["Item", "Piece", "Reply", "read_reply"]

MAX_REPLY: Final = 1_000_000
"""Characters of a reply that are looked at."""
MAX_PIECES: Final = 100
"""Unusable pieces of one reply that are told apart."""
_MAX_PIECE: Final = 4_000

_FENCE: Final = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)(?:```|\Z)", re.DOTALL)
_NOTHING: Final = re.compile(
    r"\W*(?:none|nothing(?: to record)?|n/?a|null|no (?:new )?(?:facts?|triples?)(?: found| to record)?)\W*|[\s.–—-]*",
    re.IGNORECASE,
)
# Possessive quantifiers: no backtracking, so a cut-off reply costs no more than a good one.
_FLAT_OBJECT: Final = re.compile(r'\{(?:[^{}"\\]++|"(?:[^"\\]++|\\.)*+")*+\}', re.DOTALL)
_KEY_BEFORE: Final = re.compile(r"""["']\s*:\s*\Z""")
_STRING: Final = r"""(?:"(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+')"""
_FLAT_LIST: Final = re.compile(rf"[\[(]\s*+{_STRING}\s*+,\s*+{_STRING}\s*+,\s*+{_STRING}\s*+[\])]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """A fact as the model put it; the names are cleaned, the rest is as it came."""

    triple: Triple
    valid_from: object = None
    valid_to: object = None
    retract: bool = False
    sentence: object = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply that is not a fact, and why."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The facts of a reply, in order and each once, and what could not be used."""

    items: tuple[Item, ...] = ()
    pieces: tuple[Piece, ...] = ()


@dataclass(slots=True)
class _Found:
    """What one parser found. ``understood``: it is sure that the reply was meant for it."""

    items: list[Item] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    understood: bool = False

    def add(self, raw: Mapping[Any, Any]) -> None:
        self.understood = True
        try:
            self.items += _items_of(raw)
        except InvalidTriple as error:
            self.pieces.append(Piece(_written(raw), error.unquoted))


def read_reply(
    text: str, calls: Iterable[object] = (), broken_calls: Iterable[str] = (), *, function: str = "record_facts"
) -> Reply:
    """Everything a reply says. A call without arguments says nothing, whatever else the reply says.

    Args:
        text: Its text.
        calls: Arguments of its tool calls.
        broken_calls: Arguments of tool calls that could not be decoded, as text.
        function: The function that records facts; text in a channel that calls it counts.
    """
    calls = [arguments for arguments in calls if arguments not in ({}, [], "", None)]
    broken_calls = [written for written in broken_calls if written.strip() not in ("", "{}")]
    called = _Found()
    for arguments in calls:
        _merge(called, _from_value(arguments))
    for written in broken_calls:
        _merge(called, _from_json(written[:MAX_REPLY]))
    if called.items or (called.understood and not called.pieces):
        return _reply(called.items, called.pieces)
    said = spoken(text[:MAX_REPLY], function)
    coded = _from_json(said)
    found = [called, coded, _from_grammar(said, lines=not coded.items)]
    best = max(found, key=lambda each: (len(each.items), each.understood and not each.pieces))
    items = [*best.items, *(item for each in found if each is not best for item in each.items)]
    pieces = best.pieces if items else [piece for each in found for piece in each.pieces]
    if not items and not pieces and not best.understood:
        pieces = _unread(text, said, [*map(_written, calls), *broken_calls])
    if len(text) > MAX_REPLY:
        pieces = [*pieces, Piece(text[MAX_REPLY:], f"the reply is longer than {MAX_REPLY} characters")]
    return _reply(items, pieces)


def _unread(text: str, said: str, called: Sequence[str]) -> list[Piece]:
    """A reply in which nothing was found, unless it says that there is nothing."""
    pieces = [Piece(written, "no fact could be read in this call") for written in called]
    if not _NOTHING.fullmatch(said):
        pieces.append(Piece(said, "no fact could be read in it"))
    elif not said.strip() and text.strip():
        pieces.append(Piece(text, "it holds thinking only and was cut off"))
    return pieces


def _reply(items: Sequence[Item], pieces: Sequence[Piece]) -> Reply:
    shown = [Piece(_cut(piece.text), piece.reason) for piece in pieces[:MAX_PIECES]]
    if len(pieces) > MAX_PIECES:
        shown.append(Piece("", f"{len(pieces) - MAX_PIECES} more pieces could not be used"))
    return Reply(tuple({(item.triple, item.retract): item for item in reversed(items)}.values())[::-1], tuple(shown))


def _merge(found: _Found, other: _Found) -> None:
    found.items += other.items
    found.pieces += other.pieces
    found.understood = found.understood or other.understood


# --- the grammar ------------------------------------------------------------------------------------------------------


def _from_grammar(text: str, lines: bool = True) -> _Found:
    """Write calls; or, without any, ``lines`` that look like their inside."""
    found = _Found()
    if START in text:
        parsed = parse(text)
        found.understood = any(text.endswith(END, 0, call.end) for call in parsed.writes)
        found.items += map(Item, parsed.triples)
        found.pieces += [Piece(piece.text, piece.reason) for piece in parsed.skipped]
        found.pieces += [Piece(text[call.position : call.end], "it reads instead of writing") for call in parsed.reads]
    elif lines and SEP in text:
        for line in text.splitlines():
            if line.count(SEP) >= 2:
                _add_written(found, line.strip().lstrip("-*• "))
    return found


def _add_written(found: _Found, line: str) -> None:
    written = parse_write(line)
    found.understood = found.understood or bool(written.good)
    found.items += map(Item, written.good)
    found.pieces += [Piece(piece.text, piece.reason) for piece in written.skipped]


# --- JSON -------------------------------------------------------------------------------------------------------------


def _from_json(text: str) -> _Found:
    """The facts of a JSON text, of the JSON in a chatty one, or of what is whole in a cut-off one."""
    if "{" not in text and "[" not in text:
        return _Found()
    for candidate in _candidates(text):
        value = decoded(candidate)
        if value is not None:
            found = _from_value(value)
            if found.understood:
                return found
    return _salvaged(text)


def _candidates(text: str) -> Iterator[str]:
    yield text.strip()
    for fence in _FENCE.finditer(text):
        yield fence[1].strip()
    for opening, closing in ("{}", "[]"):
        begin, end = text.find(opening), text.rfind(closing)
        if 0 <= begin < end and not _is_value(text, begin):
            yield text[begin : end + 1]


def _from_value(value: object) -> _Found:
    """Walk a JSON value: facts are objects with the parts of a triple, or lists of three names in a list."""
    found = _Found()
    todo: list[tuple[object, bool, int]] = [(value, True, 0)]  # value, whether it stands in a list, texts unpacked
    while todo:
        at, listed, depth = todo.pop()
        if isinstance(at, Mapping):
            if _is_fact(at):
                found.add(at)
            else:
                todo += [(each, False, depth) for each in reversed(list(at.values()))]
                found.understood = found.understood or not at
        elif isinstance(at, list | tuple):
            _list(at, listed, depth, found, todo)
        elif isinstance(at, str):
            _text(at, listed, depth, found, todo)
        elif listed and at is not value:
            found.pieces.append(Piece(_written(at), "it is not a fact"))
    return found


def _list(
    value: Sequence[object], listed: bool, depth: int, found: _Found, todo: list[tuple[object, bool, int]]
) -> None:
    found.understood = found.understood or not value
    if listed and value and all(isinstance(each, str) for each in value):
        if len(value) == 3 and not any(_looks_structured(str(each)) for each in value):
            found.add(dict(zip(ROLES, value, strict=True)))
            return
        if not any(_looks_structured(str(each)) for each in value):
            found.pieces.append(Piece(_written(value), f"it has {len(value)} names instead of three"))
            return
    todo += [(each, True, depth) for each in reversed(value)]


def _text(value: str, listed: bool, depth: int, found: _Found, todo: list[tuple[object, bool, int]]) -> None:
    inner = decoded(value.strip()) if depth < 4 else None
    if inner is not None:
        todo.append((inner, True, depth + 1))
    elif START in value:
        _merge(found, _from_grammar(value))
    elif SEP in value:
        _add_written(found, value)
    elif value.strip()[:1] in ("{", "["):
        _merge(found, _salvaged(value))
    elif listed and value.strip():
        found.pieces.append(Piece(value, "it is not a fact"))


def _looks_structured(text: str) -> bool:
    return SEP in text or text.lstrip()[:1] in ("{", "[")


def _salvaged(text: str) -> _Found:
    """The whole flat objects and lists of three names in a text that is not JSON, and what is left after the last."""
    found = _Found()
    if '\\"' in text and _FLAT_OBJECT.search(text) is None:
        text = text.replace('\\"', '"')
    end = 0
    for flat in _flat(text):
        value = decoded(flat[0])
        if isinstance(value, Mapping) and _is_fact(value):
            found.add(value)
        elif isinstance(value, list):
            if not _is_value(text, flat.start()):
                found.add(dict(zip(ROLES, value, strict=True)))
        elif value != {} and not _is_call(text, flat):
            found.pieces.append(Piece(flat[0], "it is not a fact in JSON"))
        end = flat.end()
    rest = text[end:]
    if "{" in rest.replace(START, ""):
        found.pieces.append(Piece(rest.lstrip(", \n"), "it is cut off"))
    return found


def _flat(text: str) -> Iterator[re.Match[str]]:
    """Flat objects, and the flat lists that stand in none of them, in order."""
    end = 0
    for flat in _FLAT_OBJECT.finditer(text):
        yield from _FLAT_LIST.finditer(text, end, flat.start())
        yield flat
        end = flat.end()
    yield from _FLAT_LIST.finditer(text, end)


def _is_value(text: str, at: int) -> bool:
    """Whether what begins there is the value of a key, part of something that is broken or cut off."""
    return bool(_KEY_BEFORE.search(text, max(0, at - 60), at))


def _is_call(text: str, flat: re.Match[str]) -> bool:
    """Whether the braces are those of a call of the grammar."""
    return text[max(0, flat.start() - 1) : flat.start() + 1] == START


# --- one fact ---------------------------------------------------------------------------------------------------------


def _is_fact(value: Mapping[Any, Any]) -> bool:
    """Whether an object has parts of a triple: two of them, or one by its full name (an "object" alone is none).

    By the names of other extractors, which mean other things elsewhere, it must have all three.
    """
    keys = {_key(key) for key in value}
    if "subject" in keys or "relation" in keys:
        return True
    own = {role for role, names in ROLES.items() if keys.intersection(names)}
    return len(own) > 1 or all(role in own or keys.intersection(names) for role, names in OTHER_ROLES.items())


def _key(key: object) -> str:
    return "_".join(str(key).split()).lower()


def _items_of(raw: Mapping[Any, Any]) -> list[Item]:
    """One item for each object of a raw fact.

    Raises:
        InvalidTriple: A part is missing or cannot be a name.
    """
    raw = {_key(key): value for key, value in reversed(list(raw.items()))}
    subject, relation, objects = (_part(raw, role) for role in ROLES)
    listed = objects if isinstance(objects, list) and objects else [objects]
    retract = str(raw.get("retract", "")).strip().lower() in ("true", "yes", "1")
    return [
        Item(
            Triple(_name(subject, "subject"), _label(_name(relation, "relation")), _name(each, "object")),
            raw.get("valid_from"),
            raw.get("valid_to"),
            retract,
            raw.get("sentence"),
        )
        for each in listed
    ]


def _part(raw: Mapping[str, Any], role: str) -> object:
    for name in (*ROLES[role], *OTHER_ROLES[role]):
        if raw.get(name) is not None:
            return raw[name]
    raise InvalidTriple(role, None, "it is missing")


def _label(relation: str) -> str:
    """A relation in words where it is written as a constant: LIVES_IN, lives_in."""
    if " " in relation or "_" not in relation.strip("_"):
        return relation
    return relation.replace("_", " ").lower() if relation.isupper() else relation.replace("_", " ")


def _name(value: object, part: str) -> str:
    """A name given as text, number or an object with a name."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("name", "label", "text", "value", "id") if value.get(key)), None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value
    raise InvalidTriple(part, value, "it is not a text")


def _written(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return repr(type(value))


def _cut(text: str) -> str:
    """A piece as it can be kept: not too long, without lone surrogates."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_PIECE else text[: _MAX_PIECE - 1] + "…"
