"""Keeps generation inside the grammar: which tokens may come next so that the call will parse.

A call's inside is accepted by a small automaton over characters (names, ``>>``, ``;`` and the end of the call). Tokens
are byte strings that may cross a delimiter or split a character, so the automaton is walked along the trie of the
vocabulary, and the tokens that survive are allowed. States are sets of alternatives; what is allowed in a state is
found once and kept. A name is free text, one of a list, or a span of the text that is being read.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from langchain_memllm.grammar import END, ITEM, READ_WAIT, SEP, escape
from langchain_memllm.local.vocabulary import Trie, Vocabulary

__all__ = ["Allowed", "Constraint", "FreeName", "NameRule", "OneOf", "SpanOf", "State", "TokenIds"]

TokenIds = npt.NDArray[np.int64]
"""Token ids, shape (n,)."""

_RAW: Final = frozenset(">{};")
_LONGEST_NAME: Final = 100  # bytes of a name after which it must end; with the last token it stays below 256
_LONGEST_TOKEN: Final = 64
_KEPT: Final = 4_096  # states whose allowed tokens are kept


class NameRule(Protocol):
    """Which names may be written, character by character, as they are escaped in a call."""

    def start(self) -> Hashable:
        """State before the first character."""
        ...

    def step(self, state: Hashable, character: str) -> Hashable | None:
        """State after a character, or None if no name goes on so."""
        ...

    def begins(self, state: Hashable, prefix: bytes) -> bool:
        """Whether some allowed character begins with these bytes in UTF-8."""
        ...

    def complete(self, state: Hashable) -> bool:
        """Whether a name may end here."""
        ...


class FreeName:
    """Any name. States: 0 nothing but spaces yet, 1 something, 2 and 3 the same with one or two last dashes."""

    def start(self) -> int:
        """Nothing yet."""
        return 0

    def step(self, state: Hashable, character: str) -> int | None:
        """Refuse raw marks and what no name may hold."""
        if character == "-":
            return 2 if state in (0, 1) else 3
        if character == " ":
            return 0 if state == 0 else 1
        if not _nameable(character):
            return None
        return 0 if state == 0 and character.isspace() else 1

    def begins(self, state: Hashable, prefix: bytes) -> bool:
        """Whether a character that a name may hold begins so."""
        return prefix in _prefixes()

    def complete(self, state: Hashable) -> bool:
        """Something was written, and it does not end in two raw dashes."""
        return state in (1, 2)


@lru_cache(maxsize=65_536)
def _nameable(character: str) -> bool:
    return character not in _RAW and unicodedata.category(character) not in ("Cc", "Cs", "Cn")


@lru_cache(maxsize=1)
def _prefixes() -> frozenset[bytes]:
    """Every beginning of the UTF-8 form of a character beyond ASCII that a name may hold; takes half a second once."""
    category = unicodedata.category
    written = (chr(c).encode() for c in range(0x80, 0x110000) if category(chr(c)) not in ("Cc", "Cs", "Cn"))
    return frozenset(encoded[:length] for encoded in written for length in range(1, len(encoded)))


class OneOf:
    """One of a list of names, exactly as spelt; spaces may stand before it."""

    def __init__(self, names: Iterable[str]) -> None:
        """Build the tree of the escaped names."""
        self._next: list[dict[str, int]] = [{}]
        self._ends: set[int] = set()
        for name in names:
            node = 0
            for character in escape(name):
                if character not in self._next[node]:
                    self._next[node][character] = len(self._next)
                    self._next.append({})
                node = self._next[node][character]
            self._ends.add(node)

    def start(self) -> int:
        """The root."""
        return 0

    def step(self, state: Hashable, character: str) -> int | None:
        """Go down the tree."""
        assert isinstance(state, int)
        if state == 0 and character == " ":
            return 0
        return self._next[state].get(character)

    def begins(self, state: Hashable, prefix: bytes) -> bool:
        """Whether the tree goes on with such a character."""
        assert isinstance(state, int)
        return any(character.encode().startswith(prefix) for character in self._next[state])

    def complete(self, state: Hashable) -> bool:
        """At the end of a name."""
        return state in self._ends


class SpanOf:
    """A span of a text that begins and ends at word boundaries; states are where in the text it may be by now."""

    def __init__(self, text: str) -> None:
        """Find the places where a name can begin and end."""
        joined = " ".join(word for word in text.split() if len(word) <= _LONGEST_NAME)
        starts = {at for at, c in enumerate(joined) if c.isalnum() and not (at and joined[at - 1].isalnum())}
        ends = {at + 1 for at, c in enumerate(joined) if _ends_name(c, joined[at + 1 : at + 3])}
        places, written = [], ""
        for character in joined:
            places.append(len(written))
            written += escape(character)
        places.append(len(written))
        self._text = written
        self._starts = tuple(places[at] for at in sorted(starts))
        self._ends = frozenset(places[at] for at in ends if not written[: places[at]].endswith("--"))

    def start(self) -> frozenset[int]:
        """Nowhere yet."""
        return frozenset()

    def step(self, state: Hashable, character: str) -> frozenset[int] | None:
        """Go on in every place where the text has this character."""
        assert isinstance(state, frozenset)
        if not state and character == " ":
            return state
        here = frozenset(at + 1 for at in (state or self._starts) if self._text[at : at + 1] == character)
        return here if here and _nameable_or_escaped(character) else None

    def begins(self, state: Hashable, prefix: bytes) -> bool:
        """Whether the text goes on with such a character in some place."""
        assert isinstance(state, frozenset)
        return any(self._text[at : at + 1].encode().startswith(prefix) for at in (state or self._starts))

    def complete(self, state: Hashable) -> bool:
        """At the end of a word."""
        assert isinstance(state, frozenset)
        return bool(state & self._ends)


def _ends_name(character: str, following: str) -> bool:
    """Whether a name in a text may end after a character: a word, a closing mark, or the dot of an abbreviation."""
    if character == ".":
        return following[:1] == "," or following[1:].islower()
    return (character.isalnum() and not following[:1].isalnum()) or character in ")]%+!?'’"


def _nameable_or_escaped(character: str) -> bool:
    return character in _RAW or _nameable(character)


class _Atom(NamedTuple):
    """One alternative: in a name (``part`` 0 to 2), after the first ``>`` (``sep``), or ``at`` in the end mark."""

    kind: Literal["name", "sep", "end"]
    part: int = 0
    inverse: bool = False  # a query that leaves the subject open
    at: int = 0
    name: Hashable = None


class State(NamedTuple):
    """Alternatives after what was written, and the bytes of an unfinished character."""

    atoms: frozenset[_Atom]
    pending: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """Token ids that may come next, sorted: those that go on, and those that begin or finish the end of the call."""

    going_on: TokenIds
    closing: TokenIds


class Constraint:
    """The automaton of one kind of call over one vocabulary.

    Args:
        vocabulary: Tokens of the model.
        kind: ``write`` (the text between ``({MEM_WRITE-->`` and ``})``) or ``query`` (up to ``)-->``).
        names: Rule for subjects and objects.
        relations: Rule for relations.
        may_be_empty: Whether a write call may hold no triple.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        kind: Literal["write", "query"] = "write",
        names: NameRule | None = None,
        relations: NameRule | None = None,
        may_be_empty: bool = True,
    ) -> None:
        """Build it; what is allowed in a state is found when it is first met."""
        self.vocabulary = vocabulary
        self.kind = kind
        self.may_be_empty = may_be_empty and kind == "write"
        self.end = END if kind == "write" else READ_WAIT
        self._names = names or FreeName()
        self._relations = relations or FreeName()
        self._allowed: OrderedDict[tuple[State, bool], Allowed] = OrderedDict()

    def start(self) -> State:
        """Before the first character."""
        first = _Atom("name", 0, name=self._names.start())
        return State(frozenset({first, _Atom("end", at=0)} if self.may_be_empty else {first}))

    def closed(self, state: State) -> bool:
        """Whether the end of the call is complete."""
        return any(atom.kind == "end" and atom.at == len(self.end) for atom in state.atoms)

    def closing(self, state: State) -> bool:
        """Whether the call can only end from here."""
        return all(atom.kind == "end" for atom in state.atoms) and any(atom.at for atom in state.atoms)

    def step(self, state: State, token_id: int) -> State | None:
        """State after a token, or None if it is not allowed."""
        after: State | None = state
        for byte in self.vocabulary.bytes.get(token_id, b"\x00"):
            after = self._byte_step(after, byte)
            if after is None:
                return None
        return after

    def allowed(self, state: State, name_length: int = 0) -> Allowed:
        """Tokens that may come next.

        Args:
            state: Where the call is.
            name_length: Bytes of the name so far; a long one must end as soon as it can.
        """
        ending = name_length >= _LONGEST_NAME
        key = (state, ending)
        found = self._allowed.get(key)
        if found is None:
            found = self._find(state, ending)
            if ending and not (len(found.going_on) or len(found.closing)):
                found = self._find(state, False)
            self._allowed[key] = found
            if len(self._allowed) > _KEPT:
                self._allowed.popitem(last=False)
        else:
            self._allowed.move_to_end(key)
        return found

    def _find(self, state: State, ending: bool) -> Allowed:
        """Walk the trie; in free names the tokens without marks are all allowed and need no walk."""
        free = not ending and not state.pending and any(self._is_free(atom) for atom in state.atoms)
        plain, rest = _split(self.vocabulary) if free else ((), self.vocabulary.trie)
        going_on: list[int] = list(plain)
        closing: list[int] = []
        for token_id, after in self._walk(rest, state, ending):
            (closing if self.closing(after) else going_on).append(token_id)
        return Allowed(*(np.sort(np.array(ids, dtype=np.int64)) for ids in (going_on, closing)))

    def _walk(self, trie: Trie, state: State, ending: bool) -> Iterator[tuple[int, State]]:
        open_ = [(child, state, byte) for byte, child in trie.children.items()]
        while open_:
            node, before, byte = open_.pop()
            after = self._byte_step(before, byte, ending and before is state)
            if after is None:
                continue
            for token_id in node.ids:
                if len(self.vocabulary.bytes[token_id]) <= _LONGEST_TOKEN:
                    yield token_id, after
            open_ += [(child, after, following) for following, child in node.children.items()]

    def _is_free(self, atom: _Atom) -> bool:
        return self._takes_name(atom) and isinstance(self._rule(atom.part), FreeName)

    def _rule(self, part: int) -> NameRule:
        return self._relations if part == 1 else self._names

    def _byte_step(self, state: State | None, byte: int, ending: bool = False) -> State | None:
        if state is None:
            return None
        pending = state.pending + bytes([byte])
        if byte < 0x80 and not state.pending:
            character = chr(byte)
        else:
            needed = _length(pending[0])
            if not needed or (len(pending) > 1 and byte & 0xC0 != 0x80):
                return None
            if len(pending) < needed:
                going_on = () if ending else state.atoms
                atoms = frozenset(atom for atom in going_on if self._begins(atom, pending))
                return State(atoms, pending) if atoms else None
            try:
                character = pending.decode()
            except UnicodeDecodeError:
                return None
        atoms = frozenset(after for atom in state.atoms for after in self._char_step(atom, character, ending))
        return State(atoms) if atoms else None

    def _begins(self, atom: _Atom, prefix: bytes) -> bool:
        return self._takes_name(atom) and self._rule(atom.part).begins(atom.name, prefix)

    def _takes_name(self, atom: _Atom) -> bool:
        """Whether characters of a name may be written: not at the side that a query asks for."""
        return atom.kind == "name" and (atom.part < 2 or self.kind == "write" or atom.inverse)

    def _char_step(self, atom: _Atom, character: str, ending: bool = False) -> list[_Atom]:
        """Every way to go on from one alternative; when ``ending`` only those that leave the name."""
        if atom.kind == "end":
            matches = self.end[atom.at : atom.at + 1] == character
            return [_Atom("end", at=atom.at + 1)] if matches else []
        if atom.kind == "sep":
            return [self._name(atom.part + 1, atom.inverse)] if character == SEP[1] else []
        after: list[_Atom] = []
        if not ending and self._takes_name(atom):
            name = self._rule(atom.part).step(atom.name, character)
            if name is not None:
                after.append(atom._replace(name=name))
        empty, complete = self._may_leave(atom)
        if complete and atom.part < 2 and character == SEP[0]:
            after.append(_Atom("sep", atom.part, atom.inverse or empty))
        if complete and atom.part == 2 and character == ITEM:
            after.append(self._name(0, False))
        if complete and atom.part == 2 and character == self.end[0]:
            after.append(_Atom("end", at=1))
        return after

    def _may_leave(self, atom: _Atom) -> tuple[bool, bool]:
        """Whether the name is left empty, as one side of a query is, and whether it may end here."""
        rule = self._rule(atom.part)
        empty = self.kind == "query" and atom.part == 0 and atom.name == rule.start()
        if not self._takes_name(atom):
            return True, True
        return empty, empty or rule.complete(atom.name)

    def _name(self, part: int, inverse: bool) -> _Atom:
        return _Atom("name", part, inverse, name=self._rule(part).start())


def _length(lead: int) -> int:
    """Bytes of the UTF-8 character that begins with this byte; 0 if none does."""
    if lead < 0x80:
        return 1
    if lead < 0xE0:
        return 2 if lead >= 0xC2 else 0
    if lead < 0xF0:
        return 3
    return 4 if lead < 0xF5 else 0


@lru_cache(maxsize=4)
def _split(vocabulary: Vocabulary) -> tuple[tuple[int, ...], Trie]:
    """Tokens that go on in every free name, whatever came before, and the trie of the others."""
    plain = tuple(token_id for token_id, token in vocabulary.bytes.items() if _is_plain(token))
    return plain, vocabulary.trie_of(vocabulary.bytes.keys() - set(plain))


def _is_plain(token: bytes) -> bool:
    if len(token) > _LONGEST_TOKEN:
        return False
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return False
    return not text.isspace() and "-" not in text and ")" not in text and all(map(_nameable, text))
