r"""The text of a memory call: values to text and back. The only place that knows the tags.

The strings are the paper's (arXiv 2404.11672, figure 1 and its released code)::

    write prompt   CONTEXT ({USER_ST})SENTENCE({USER_END})
    write call     ({MEM_WRITE-->SUBJECT>>RELATION>>OBJECT;SUBJECT>>RELATION>>OBJECT})
    read call      ({MEM_READ(SUBJECT>>RELATION>>;>>RELATION>>OBJECT)-->ANSWER;ANSWER})

The paper has no escaping, so a name with a mark in it corrupts its calls. Here, inside a name only, ``\`` is written
``\\``, ``;`` is ``\s``, ``>`` is ``\g``, ``{`` is ``\o``, ``}`` is ``\c`` and a final ``--`` is ``-\d``. Ordinary
names stay byte for byte the paper's, no delimiter can appear inside a name, and ``parse(render(x)) == x``.

Parsing never raises on a text: whatever a model wrote becomes the good calls and the skipped pieces, each with its
reason and position, in linear time. Nothing here knows a store, a model or a tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from langchain_memllm.errors import ConfigurationError, InvalidTriple
from langchain_memllm.triples import Query, Triple, clean_name

__all__ = [
    "DELIMITERS",
    "END",
    "ITEM",
    "MEM_READ",
    "MEM_WRITE",
    "READ_OPEN",
    "READ_WAIT",
    "SEP",
    "START",
    "USER_END",
    "USER_ST",
    "WAIT",
    "WRITE_OPEN",
    "Items",
    "Parsed",
    "ReadCall",
    "Skipped",
    "WriteCall",
    "escape",
    "neutral",
    "parse",
    "parse_names",
    "parse_queries",
    "parse_write",
    "render_names",
    "render_queries",
    "render_read",
    "render_write",
    "render_write_prompt",
    "special_tokens",
    "unescape",
    "write_prompt_segments",
]

START: Final = "({"
END: Final = "})"
WAIT: Final = "-->"
SEP: Final = ">>"
ITEM: Final = ";"
MEM_WRITE: Final = "MEM_WRITE"
MEM_READ: Final = "MEM_READ"
USER_ST: Final = "USER_ST"
USER_END: Final = "USER_END"

WRITE_OPEN: Final = START + MEM_WRITE + WAIT
"""How a write call begins; its triples follow."""
READ_OPEN: Final = START + MEM_READ + "("
"""How a read call begins; its queries follow."""
READ_WAIT: Final = ")" + WAIT
"""What ends the queries of a read call; the answers follow."""
DELIMITERS: Final = (START, END, WAIT, SEP, ITEM)
"""The strings a base model should know as single tokens; the first three are the paper's special ones."""

_ESCAPES: Final = {"\\": "\\\\", ";": "\\s", ">": "\\g", "{": "\\o", "}": "\\c"}
_ESCAPE_TABLE: Final = str.maketrans(_ESCAPES)
_UNESCAPES: Final = {written[1]: mark for mark, written in _ESCAPES.items()} | {"d": "-"}
_ESCAPED: Final = re.compile(r"\\([\\sgoc]|(?<=-\\)d\Z)")
_RAW_MARK: Final = re.compile(r"[>{}]")
_BRACKET: Final = re.compile(re.escape(START) + "|" + re.escape(END))

T = TypeVar("T")


class Tokenizer(Protocol):
    """What ``special_tokens`` needs of a tokenizer; those of transformers fit."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of the text."""
        ...


@dataclass(frozen=True, slots=True)
class Skipped:
    """A piece that is not a good call or item: its text, why, and where it begins (in characters)."""

    text: str
    reason: str
    position: int


@dataclass(frozen=True, slots=True)
class Items(Generic[T]):
    """The good items of a list and the pieces that were skipped, each in the order written."""

    good: tuple[T, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteCall:
    """A call that writes triples. ``position`` and ``end`` delimit it in the text (characters; not compared)."""

    triples: tuple[Triple, ...] = ()
    position: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ReadCall:
    """A call that asks queries, with the answers pasted after it, if any."""

    queries: tuple[Query, ...] = ()
    results: tuple[str, ...] = ()
    position: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Everything a text holds: its calls and what had to be skipped. Ordinary text is neither."""

    writes: tuple[WriteCall, ...] = ()
    reads: tuple[ReadCall, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @property
    def triples(self) -> tuple[Triple, ...]:
        """The triples of all write calls, in order."""
        return tuple(triple for call in self.writes for triple in call.triples)


# --- values to text ---------------------------------------------------------------------------------------------------


def escape(name: str) -> str:
    r"""Return ``name`` as it is written inside a call; a name without ``\ ; > { }`` and final ``--`` is unchanged."""
    written = name.translate(_ESCAPE_TABLE)
    return written[:-1] + "\\d" if written.endswith("--") else written


def unescape(written: str) -> str:
    r"""Inverse of ``escape``. A backslash that begins no known escape stands for itself."""
    return _ESCAPED.sub(lambda found: _UNESCAPES[found[1]], written)


def neutral(text: str) -> str:
    """Return free text with a space put into every ``({`` and ``})``, so that it can open or close no call."""
    return text.replace(START, "( {").replace(END, "} )")


def render_write(triples: Iterable[Triple], *, spaced: bool = False) -> str:
    """The write call that holds these triples; ``({MEM_WRITE-->})`` for none.

    Args:
        triples: What to write, in order.
        spaced: Put spaces around names, so that with byte-level BPE they have the tokens they have in a sentence.
    """
    return WRITE_OPEN + _joined([tuple(triple) for triple in triples], spaced) + END


def render_write_prompt(sentence: str, context: str = "") -> str:
    """The prompt after which the writer opens its call (paper, appendix on the write model).

    Marks in the sentence or the context are neutralised: text that is read can never close or open a call.
    """
    return "".join(write_prompt_segments(sentence, context))


def write_prompt_segments(sentence: str, context: str = "") -> tuple[str, str, str, str]:
    """The same in the pieces that are tokenised on their own: context (may be empty), mark, sentence, mark."""
    before = neutral(context.rstrip()) + " " if context.strip() else ""
    return before, f"{START}{USER_ST}{END}", neutral(sentence), f"{START}{USER_END}{END}"


def render_queries(queries: Iterable[Query], *, spaced: bool = False) -> str:
    """The queries of a read call as they stand between its parentheses.

    Raises:
        ConfigurationError: A query has no relation; the grammar cannot ask for every relation.
    """
    items = []
    for query in queries:
        if query.relation is None:
            raise ConfigurationError(f"the query about {query.known!r} names no relation; a read call needs one")
        items.append((query.subject or "", query.relation, query.object or ""))
    return _joined(items, spaced)


def render_names(names: Iterable[str], *, spaced: bool = False) -> str:
    """Answers as they stand between ``-->`` and ``})``.

    Raises:
        InvalidTriple: An answer that cannot be a name.
    """
    return _joined([(clean_name(name, "result"),) for name in names], spaced)


def render_read(queries: Iterable[Query], results: Iterable[str] = (), *, spaced: bool = False) -> str:
    """The read call with its answers pasted in.

    Raises:
        ConfigurationError: A query has no relation.
        InvalidTriple: An answer that cannot be a name.
    """
    written = render_queries(queries, spaced=spaced)
    return READ_OPEN + written + READ_WAIT + render_names(results, spaced=spaced) + END


def _joined(items: Sequence[tuple[str, ...]], spaced: bool) -> str:
    """Write items of escaped names; when spaced, each name has a space before it and each delimiter one too."""
    sep, item = (" " + SEP, " " + ITEM) if spaced else (SEP, ITEM)
    before = " " if spaced else ""
    return item.join(sep.join(before + escape(name) if name else "" for name in names) for names in items)


# --- text to values ---------------------------------------------------------------------------------------------------


def parse(text: str) -> Parsed:
    """Find every call in ``text``. Never raises on a ``str``; linear in its length.

    A call that is not closed (cut off, or another opens first) keeps the items that are complete, because a mark
    follows them, and its last piece is skipped.
    """
    writes: list[WriteCall] = []
    reads: list[ReadCall] = []
    skipped: list[Skipped] = []
    for begin, stop, closed in _calls(text):
        end = stop + len(END) if closed else stop
        if text.startswith(WRITE_OPEN, begin):
            triples = _items(text, begin + len(WRITE_OPEN), stop, closed, _triple)
            writes.append(WriteCall(triples.good, begin, end))
            skipped += triples.skipped
        elif text.startswith(READ_OPEN, begin):
            call, problems = _read_call(text, begin, stop, closed)
            reads += call
            skipped += problems
        elif text[begin + len(START) : stop] not in (USER_ST, USER_END) or not closed:
            skipped.append(Skipped(text[begin:end], "it is neither a MEM_WRITE nor a MEM_READ call", begin))
    return Parsed(tuple(writes), tuple(reads), tuple(skipped))


def parse_write(text: str) -> Items[Triple]:
    """Triples of the inside of a write call, the text between ``({MEM_WRITE-->`` and ``})``."""
    return _items(text, 0, len(text), True, _triple)


def parse_queries(text: str) -> Items[Query]:
    """Queries of the inside of a read call, the text between ``({MEM_READ(`` and ``)-->``."""
    return _items(text, 0, len(text), True, _query)


def parse_names(text: str) -> Items[str]:
    """Answers of a read call, the text between ``-->`` and ``})``."""
    return _items(text, 0, len(text), True, _answer)


def special_tokens(tokenizer: Tokenizer) -> dict[str, tuple[int, ...]]:
    """Token ids of each delimiter; one id means that the tokenizer knows it as a single token.

    Calls are found in text, not in tokens, so a delimiter of several tokens needs no new embedding row;
    the paper relies on the first three being single ones in Mistral's vocabulary.
    """
    return {mark: tuple(tokenizer.encode(mark, add_special_tokens=False)) for mark in DELIMITERS}


def _calls(text: str) -> Iterator[tuple[int, int, bool]]:
    """Begin, end of the inside, and whether it is closed, of each bracketed piece. A lone ``})`` is ordinary text."""
    begin: int | None = None
    for bracket in _BRACKET.finditer(text):
        if bracket[0] == START:
            if begin is not None:
                yield begin, bracket.start(), False
            begin = bracket.start()
        elif begin is not None:
            yield begin, bracket.start(), True
            begin = None
    if begin is not None:
        yield begin, len(text), False


def _read_call(text: str, begin: int, stop: int, closed: bool) -> tuple[list[ReadCall], tuple[Skipped, ...]]:
    inside = begin + len(READ_OPEN)
    wait = text.find(READ_WAIT, inside, stop)
    if wait < 0:
        return [], (Skipped(text[begin:stop], f"its queries are not ended by {READ_WAIT!r}", begin),)
    queries = _items(text, inside, wait, True, _query)
    results = _items(text, wait + len(READ_WAIT), stop, closed, _answer)
    problems = queries.skipped + results.skipped
    if not queries.good:
        return [], problems or (Skipped(text[begin:stop], "it asks nothing", begin),)
    return [ReadCall(queries.good, results.good, begin, stop + len(END) if closed else stop)], problems


def _items(text: str, begin: int, stop: int, closed: bool, read: Callable[[str], T]) -> Items[T]:
    """Read the ``;``-separated items of ``text[begin:stop]``; the last one of an unclosed list is skipped."""
    inside = text[begin:stop]
    if not inside.strip():
        return Items()
    good: list[T] = []
    skipped: list[Skipped] = []
    pieces = inside.split(ITEM)
    position = begin
    for number, piece in enumerate(pieces, 1):
        if not closed and number == len(pieces):
            skipped.append(Skipped(piece, f"it is cut off: {END!r} is missing", position))
            break
        try:
            good.append(read(piece))
        except InvalidTriple as error:
            skipped.append(Skipped(piece, error.unquoted, position))
        except ConfigurationError:
            skipped.append(Skipped(piece, "it leaves not exactly one side open", position))
        position += len(piece) + len(ITEM)
    return Items(tuple(good), tuple(skipped))


def _triple(piece: str) -> Triple:
    return Triple(*_parts(piece))


def _query(piece: str) -> Query:
    subject, relation, object_ = _parts(piece)
    return Query(subject or None, clean_name(relation, "relation"), object_ or None)


def _answer(piece: str) -> str:
    return clean_name(_name(piece), "result")


def _parts(piece: str) -> tuple[str, str, str]:
    parts = piece.split(SEP)
    if len(parts) != 3:
        raise InvalidTriple("item", piece, f"it has {len(parts)} parts instead of three, parted by {SEP!r}")
    subject, relation, object_ = map(_name, parts)
    return subject, relation, object_


def _name(written: str) -> str:
    if mark := _RAW_MARK.search(written):
        raise InvalidTriple("name", written.strip(), f"it holds an unescaped {mark[0]!r}; write {_ESCAPES[mark[0]]!r}")
    return unescape(written.strip())
