"""The values of a memory: names, triples, queries, sources, facts, matches and receipts.

Frozen values without I/O; nothing here knows a store, a model or a policy. A triple is the paper's unit of memory
(arXiv 2404.11672, section 3.1); what a fact adds to it (where it came from, when, whether it still stands) is ours.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from typing import Any, Final, Literal, get_args

from langchain_memllm.decisions import Decision
from langchain_memllm.errors import ConfigurationError, InvalidTriple, NamespaceError
from langchain_memllm.names import (
    MAX_NAME,
    clean_name,
    fold,
    forget_names,
    is_literal_key,
    literal_key,
    loose_key,
    name_key,
)
from langchain_memllm.times import Day, as_moment

__all__ = [
    "KINDS",
    "MAX_NAME",
    "MAX_PRINCIPAL",
    "MAX_RIVALS",
    "MAX_SENTENCE",
    "Fact",
    "How",
    "Kind",
    "Match",
    "Namespace",
    "Outcome",
    "Phase",
    "Query",
    "Quote",
    "ReadResult",
    "Recall",
    "Receipt",
    "Source",
    "Statement",
    "Status",
    "Triple",
    "as_source",
    "as_triple",
    "check_namespace",
    "clean_name",
    "fold",
    "forget_names",
    "is_literal_key",
    "literal_key",
    "loose_key",
    "name_key",
    "operation_key",
    "rank_of",
    "said_on",
    "shown",
    "stable_hash",
]

MAX_SENTENCE: Final = 1 << 16
"""Longest sentence that is kept as the evidence of a fact, in characters."""

MAX_PRINCIPAL: Final = 256
"""Longest name of who speaks, in characters."""

MAX_RIVALS: Final = 30
"""Most ids of other facts that an outcome lists; of more it tells the number."""

Namespace = tuple[str, ...]
"""Labels that keep one tenant's memory apart from another's, outermost first."""

Kind = Literal["model", "web", "tool", "document", "user", "owner", "system"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
"""Kinds of source, lowest rank first: where a text came from, not what it says."""

Status = Literal["stored", "already", "past", "retracted", "not_found", "rejected", "quarantined", "forgotten"]
How = Literal["exact", "alias", "inverse", "similar", "neighbour"]
Phase = Literal["planned", "now", "over"]
"""Where a fact that was not closed stands in time: it begins later, it holds, or it has ended."""

_WRITTEN: Final = frozenset({"document", "web"})  # kinds of source that are older than the moment they are read
_MAX_LABEL: Final = 256
_HASH: Final = re.compile("[0-9a-f]{32}")
_MAX_CHECKED: Final = 4096
_CHECKED: Final[set[Namespace]] = set()  # namespaces found good lately; every call brings one


def stable_hash(*parts: object) -> str:
    """32 hex digits of BLAKE2b over the parts; the same in every process and on every store."""
    text = "\x1e".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def operation_key(op_id: str) -> str:
    """What a store keeps of the name of an operation: a hash, because a caller may have put any text into it.

    A name that is a hash (or a UUID in hex) stays as it is, so this may be applied again.
    """
    return op_id if _HASH.fullmatch(op_id) else stable_hash("operation", op_id)


def shown(text: str, most: int = 60) -> str:
    """A text on one line for people: cut, and with what a terminal would not show as a character written as a code."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def check_namespace(namespace: object) -> Namespace:
    """Return ``namespace`` as a tuple of labels.

    Raises:
        NamespaceError: Not a non-empty sequence of non-empty texts of at most 256 characters without control
            characters or lone surrogates. Periods, slashes and emoji are fine.
    """
    if isinstance(namespace, tuple) and namespace in _CHECKED:
        return namespace
    if isinstance(namespace, str) or not isinstance(namespace, tuple | list) or not namespace:
        raise NamespaceError(
            f"namespace {namespace!a} is not a tuple of labels; pass for example namespace=('memllm', 'ada')"
        )
    for label in namespace:
        if not isinstance(label, str) or not label.strip():
            raise NamespaceError(f"namespace {namespace!a} has an empty or non-text label; every label is text")
        if len(label) > _MAX_LABEL or any(unicodedata.category(c) in ("Cc", "Cs") for c in label):
            raise NamespaceError(
                f"namespace label {ascii(label)[:60]} has control characters or is longer than {_MAX_LABEL}; shorten it"
            )
    checked = tuple(namespace)
    if len(_CHECKED) >= _MAX_CHECKED:
        _CHECKED.clear()
    _CHECKED.add(checked)
    return checked


@dataclass(frozen=True, slots=True)
class Triple:
    """A statement (subject, relation, object); cleaned and checked when built.

    Raises:
        InvalidTriple: A part cannot be stored (see ``clean_name``).
    """

    subject: str
    relation: str
    object: str

    def __post_init__(self) -> None:
        """Clean the three names."""
        for part in ("subject", "relation", "object"):
            object.__setattr__(self, part, clean_name(getattr(self, part), part))

    @classmethod
    def trusted(cls, subject: str, relation: str, object_: str) -> Triple:
        """A triple of names that were cleaned before: what a store hands back, without checking again."""
        triple = object.__new__(cls)
        object.__setattr__(triple, "subject", subject)
        object.__setattr__(triple, "relation", relation)
        object.__setattr__(triple, "object", object_)
        return triple

    def __iter__(self) -> Iterator[str]:
        """Unpack as ``subject, relation, object``."""
        return iter((self.subject, self.relation, self.object))

    def __str__(self) -> str:
        """Readable form, for people and logs of values; the grammar's form is in ``grammar``."""
        return f"({self.subject}, {self.relation}, {self.object})"


def as_triple(value: object) -> Triple:
    """Return a ``Triple`` from a triple, a sequence of three names or a mapping with the three parts.

    Raises:
        InvalidTriple: Anything else, or a part that cannot be stored.
    """
    if isinstance(value, Triple):
        return value
    if isinstance(value, Mapping):
        try:
            return Triple(value["subject"], value["relation"], value["object"])
        except KeyError as error:
            raise InvalidTriple("triple", value, f"the part {error} is missing") from error
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        parts = tuple(value)
        if len(parts) == 3:
            return Triple(*parts)
    raise InvalidTriple("triple", value, "expected three names (subject, relation, object)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A triple as somebody proposes it, not yet checked, with what the text said about it.

    Args:
        subject: Name of the subject.
        relation: Name of the relation, or an alias of one.
        object: Name or literal.
        valid_from: Since when it holds, as stated: a partial ISO date, or a ``date``. In the future: it is planned.
        valid_to: Until when it held, as stated.
        confidence: Probability the extractor gives it, if it has one; no rule uses it.
        retract: The text takes the triple back.
        text: The sentence it was taken from; None: the source's text.
        span: Place of that sentence in its document, in characters.
        turn: Number of the turn or sentence.
    """

    subject: str
    relation: str
    object: str
    valid_from: Day | None = None
    valid_to: Day | None = None
    confidence: float | None = None
    retract: bool = False
    text: str | None = None
    span: tuple[int, int] | None = None
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A question with one side open: ``Query("Ada", "lives in")`` or ``Query(None, "lives in", "Oslo")``.

    ``relation=None`` asks for every relation of the known name (exact reads only; the grammar cannot write it).

    Raises:
        ConfigurationError: Not exactly one of subject and object given.
        InvalidTriple: A given part cannot be a name.
    """

    subject: str | None = None
    relation: str | None = None
    object: str | None = None

    def __post_init__(self) -> None:
        """Clean the given names and check that exactly one side is open."""
        for part in ("subject", "relation", "object"):
            value = getattr(self, part)
            if value is not None:
                object.__setattr__(self, part, clean_name(value, part))
        if (self.subject is None) == (self.object is None):
            raise ConfigurationError(
                f"a query leaves exactly one side open, got subject={self.subject!r}, object={self.object!r}; "
                "give either the subject or the object"
            )

    @property
    def known(self) -> str:
        """The name that is given."""
        return self.subject if self.subject is not None else (self.object or "")

    @property
    def open_side(self) -> Literal["subject", "object"]:
        """The side that is asked for."""
        return "object" if self.subject is not None else "subject"


def rank_of(kind: str) -> int:
    """Rank of a kind of source, 0 (model) to 6 (system).

    Raises:
        ConfigurationError: The kind is not one of ``KINDS``.
    """
    try:
        return KINDS.index(kind)
    except ValueError:
        raise ConfigurationError(f"source kind {kind!r} is unknown; use one of {', '.join(KINDS)}") from None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text came from.

    Args:
        kind: Kind of the source; its rank decides what may replace what.
        ref: What to call it: a file name, a URL, a message id.
        principal: Who speaks; a person corrects only themself.
        text: The sentence the fact was taken from, if it may be kept.
        span: Start and end of that sentence in its document, in characters.
        turn: Number of the turn or sentence.
        at: When it was said: an ISO time, kept in UTC (a date means that day); None: when it is recorded. Not part of
            the representation, by which operations are recognised: the same words are the same operation whenever
            they are said to have been said.
    """

    kind: Kind = "user"
    ref: str = ""
    principal: str | None = None
    text: str | None = None
    span: tuple[int, int] | None = None
    turn: int | None = None
    at: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check the kind, that no text holds a lone surrogate, and when it was said."""
        rank_of(self.kind)
        if self.at is not None:
            object.__setattr__(self, "at", as_moment(self.at, "source at"))
        for part in ("ref", "principal", "text"):
            value = getattr(self, part)
            if value is not None and (not isinstance(value, str) or "\x00" in value or _has_surrogate(value)):
                raise ConfigurationError(f"source {part} {ascii(value)[:60]} is not plain text; clean it first")
        if len(self.ref) > 1024:
            raise ConfigurationError(f"source ref of {len(self.ref)} characters; at most 1024 fit, use a shorter name")

    @property
    def rank(self) -> int:
        """Rank of the kind, 0 (model) to 6 (system)."""
        return rank_of(self.kind)


def as_source(value: object) -> Source | None:
    """The source that was given, or None.

    Raises:
        ConfigurationError: It is something else; mostly a text, of which nobody knows what it names. Or a part of it is
            too long to be kept with every fact.
    """
    if value is None:
        return None
    if isinstance(value, Source):
        for part, most in (("principal", MAX_PRINCIPAL), ("text", MAX_SENTENCE)):
            if len(getattr(value, part) or "") > most:
                raise ConfigurationError(
                    f"source {part} of {len(getattr(value, part))} characters; at most {most} fit, shorten it"
                )
        return value
    kind, ref = (value, "example.org") if value in KINDS else ("document", value)
    example = f"Source({kind!r}, {ref!r})" if isinstance(value, str) else "Source('document', 'notes.md')"
    raise ConfigurationError(f"source={ascii(value)[:60]} is not a Source; give for example {example}")


def _as_dict(source: Source) -> dict[str, Any]:
    return {
        "kind": source.kind,
        "ref": source.ref,
        "principal": source.principal,
        "text": source.text,
        "span": source.span,
        "turn": source.turn,
        "at": source.at,
    }


def said_on(source: Source, now: str) -> datetime | None:
    """The local time from which dates in words are counted; None if nobody knows when the text was written.

    Args:
        source: Where the text comes from: what people say without a time is said now, documents are older.
        now: The present (ISO).
    """
    if source.at is None and source.kind in _WRITTEN:
        return None
    return datetime.fromisoformat(source.at or now).astimezone().replace(tzinfo=None)


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


@dataclass(frozen=True, slots=True, repr=False)
class Fact:
    """A stored triple with its history.

    ``(seq, ordinal)`` is the commit order within the namespace; the wall clock orders nothing. ``kind`` and
    ``principal`` are those of the best source. ``closed_why`` is ``superseded``, ``retracted``, ``past`` or
    ``replaced``; ``closed_by`` the fact that took its place, if one did. ``said_at`` is when the best source said it
    last; the empty text stands for ``recorded_at``. ``contested`` and ``phase`` are as of the time that was asked for;
    ``unconfirmed``: a source below a person says it of the person, or by a relation of its own of something that a
    person spoke of.
    """

    id: str
    namespace: Namespace
    triple: Triple
    seq: int
    ordinal: int
    recorded_at: str
    kind: Kind = "user"
    principal: str | None = None
    confidence: float | None = None
    valid_from: str | None = None
    valid_to: str | None = None
    closed_at: str | None = None
    closed_by: str | None = None
    closed_why: str | None = None
    contested: bool = False
    sources: tuple[Source, ...] = ()
    said_at: str = ""
    phase: Phase = "now"
    unconfirmed: bool = False

    def __post_init__(self) -> None:
        """What is not known to have been said at another time was said when it was recorded."""
        if not self.said_at:
            object.__setattr__(self, "said_at", self.recorded_at)

    def __repr__(self) -> str:
        """One line: the triple, how it stands, whose word it is, since when it is known, and its id."""
        who = " ".join(filter(None, (self.kind, self.principal)))
        return f"<Fact {_line(self.triple)} {self.state}, {shown(who)}, {self.recorded_at[:10]}, id {self.id}>"

    def _repr_html_(self) -> str:
        return _table(_FACT, [_cells(self)])

    @property
    def is_open(self) -> bool:
        """Whether the fact still stands."""
        return self.closed_why is None

    @property
    def state(self) -> Literal["current", "contested", "planned", "past"]:
        """``current``, ``contested`` (another value stands beside it), ``planned`` (it begins later) or ``past``."""
        if not self.is_open or self.phase == "over":
            return "past"
        return "planned" if self.phase == "planned" else "contested" if self.contested else "current"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return {
            "id": self.id,
            "namespace": list(self.namespace),
            "subject": self.triple.subject,
            "relation": self.triple.relation,
            "object": self.triple.object,
            "state": self.state,
            "seq": self.seq,
            "ordinal": self.ordinal,
            "recorded_at": self.recorded_at,
            "said_at": self.said_at,
            "kind": self.kind,
            "principal": self.principal,
            "confidence": self.confidence,
            "valid_from": self.valid_from,
            "valid_to": self.valid_to,
            "closed_at": self.closed_at,
            "closed_by": self.closed_by,
            "closed_why": self.closed_why,
            "sources": [_as_dict(source) for source in self.sources],
        }


@dataclass(frozen=True, slots=True, repr=False)
class Match:
    """A fact that answers a query or a text, and why.

    ``similarity`` is the mean of ``entity_similarity`` and ``relation_similarity`` (cosines in [-1, 1], 1.0 exact).
    ``said`` is the sentence it was taken from, where that says something of the text which the fact does not.
    """

    fact: Fact
    answer: str
    similarity: float = 1.0
    entity_similarity: float = 1.0
    relation_similarity: float = 1.0
    how: How = "exact"
    why: str = ""
    said: str = ""

    def __repr__(self) -> str:
        """One line: the answer, the triple, and how it was found."""
        found = f"{self.how} {self.similarity:.2f}"
        return f"<Match {shown(self.answer)!r} {_line(self.triple)} {self.fact.state}, {found}>"

    def _repr_html_(self) -> str:
        return _matches([self])

    @property
    def triple(self) -> Triple:
        """The fact's triple."""
        return self.fact.triple


@dataclass(frozen=True, slots=True, repr=False)
class ReadResult:
    """Answers to one query, best first; ``truncated`` when more than the limit matched."""

    query: Query
    matches: tuple[Match, ...] = ()
    truncated: bool = False

    def __repr__(self) -> str:
        """One line: what was asked, and the first answers."""
        asked = ", ".join("?" if name is None else shown(name) for name in (self.query.subject, self.query.relation))
        asked += ", " + ("?" if self.query.object is None else shown(self.query.object))
        found = _first(self.answers, more=self.truncated) or "no answer"
        return f"<ReadResult ({asked}): {found}>"

    def _repr_html_(self) -> str:
        return _matches(self.matches)

    @property
    def answers(self) -> tuple[str, ...]:
        """The names asked for, best first, each once."""
        return tuple(dict.fromkeys(match.answer for match in self.matches))

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.matches)

    def __iter__(self) -> Iterator[Match]:
        """Iterate over the matches."""
        return iter(self.matches)

    def __len__(self) -> int:
        """Number of matches."""
        return len(self.matches)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a person said, word for word, and which searches found it.

    ``form`` is empty where all of it is shown; a memory gate shows some sentences (``in part``) or a model's summary
    (``in a model's words``).
    """

    text: str
    said_at: str
    speaker: str | None = None
    thread: str = ""
    turn: str = ""
    why: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Recall:
    """Facts that answer a text, best first, and the block that shows them to a model.

    Attributes:
        text: What was asked.
        matches: The facts, each with why it is there.
        block: The text that shows them; empty if there is nothing to show.
        quotes: What the person said that answers as well, where a memory keeps it (``episodes=True``).
        tokens: About how many tokens the block has.
        left_out: With ``explain=True``: the facts that came next and had no place.
        decision: With ``memory_gate=…``: what the gate decided, and why.
    """

    text: str
    matches: tuple[Match, ...] = ()
    block: str = ""
    quotes: tuple[Quote, ...] = ()
    tokens: int = 0
    left_out: tuple[Match, ...] = ()
    decision: Decision | None = None

    def __repr__(self) -> str:
        """One line: the text, and the first facts."""
        found = _first([*(str(m.triple) for m in self.matches), *(shown(q.text) for q in self.quotes)]) or "nothing"
        return f"<Recall {shown(self.text, 40)!r}: {found}>"

    def _repr_html_(self) -> str:
        return _matches(self.matches)

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.matches or self.quotes)

    def __iter__(self) -> Iterator[Match]:
        """Iterate over the matches."""
        return iter(self.matches)

    def __len__(self) -> int:
        """Number of matches."""
        return len(self.matches)


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """What became of one proposed triple. ``index`` is its place in the batch; the triple itself is never stored.

    ``supersedes`` and ``contests`` hold at most ``MAX_RIVALS`` ids, the best first; ``superseded`` and ``contested``
    count all of them.
    """

    index: int
    status: Status
    fact_id: str | None = None
    supersedes: tuple[str, ...] = ()
    contests: tuple[str, ...] = ()
    reason: str | None = None
    triple: Triple | None = field(default=None, compare=False)
    superseded: int = 0
    contested: int = 0

    def __post_init__(self) -> None:
        """Count the ids, and keep the first of them."""
        for ids, count in (("supersedes", "superseded"), ("contests", "contested")):
            given = getattr(self, ids)
            object.__setattr__(self, count, max(getattr(self, count), len(given)))
            object.__setattr__(self, ids, given[:MAX_RIVALS])

    def __repr__(self) -> str:
        """One line: its place, what became of it, and why."""
        return f"<Outcome {self.index}: {' '.join(filter(None, _outcome(self)))}>"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form, with the triple if it is known."""
        return {
            "index": self.index,
            "status": self.status,
            "fact_id": self.fact_id,
            "supersedes": list(self.supersedes),
            "contests": list(self.contests),
            "superseded": self.superseded,
            "contested": self.contested,
            "reason": self.reason,
            "triple": None if self.triple is None else list(self.triple),
        }


@dataclass(frozen=True, slots=True, repr=False)
class Receipt:
    """Exactly one outcome for each proposed triple of one operation, in the order proposed.

    ``clock`` says that the clock of this machine, or of one that wrote before, was more than a day off, if it was.
    ``replaced`` lists facts that only the former version of a replaced document had stated; they are past now.
    ``without_facts`` counts sentences of which the local model could say nothing, ``such_as`` are how the first begin;
    neither is kept.
    """

    op_id: str
    namespace: Namespace
    seq: int
    recorded_at: str
    outcomes: tuple[Outcome, ...] = ()
    replaced: tuple[str, ...] = ()
    replayed: bool = field(default=False, compare=False)
    clock: str = field(default="", compare=False)
    without_facts: int = field(default=0, compare=False)
    such_as: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        """One line: how many of each outcome, why the first was refused, and the name of the operation."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing to store"
        told += f", {len(self.replaced)} replaced" if self.replaced else ""
        why = next((outcome.reason for outcome in self.outcomes if outcome.reason), None)
        told += f" ({shown(why, 120)})" if why else ""
        told += f", nothing found in {self.without_facts} sentences" if self.without_facts else ""
        return f"<Receipt {told}{', delivered before' if self.replayed else ''}, op_id {shown(self.op_id)!r}>"

    def _repr_html_(self) -> str:
        return _table(("outcome", "triple", "details"), map(_outcome, self.outcomes))

    def __iter__(self) -> Iterator[Outcome]:
        """Iterate over the outcomes."""
        return iter(self.outcomes)

    def __len__(self) -> int:
        """Number of proposed triples."""
        return len(self.outcomes)

    def count(self, status: Status) -> int:
        """How many outcomes have this status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def stored(self) -> tuple[Outcome, ...]:
        """The outcomes that stored a new fact."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "stored")

    def with_triples(self, triples: Mapping[int, Triple], *, replayed: bool = False) -> Receipt:
        """The same receipt with the caller's own triples shown beside the outcomes."""
        outcomes = tuple(replace(outcome, triple=triples.get(outcome.index)) for outcome in self.outcomes)
        return replace(self, outcomes=outcomes, replayed=replayed)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return {
            "op_id": self.op_id,
            "namespace": list(self.namespace),
            "seq": self.seq,
            "recorded_at": self.recorded_at,
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
            "replaced": list(self.replaced),
            **({"clock": self.clock} if self.clock else {}),
            **({"without_facts": self.without_facts, "such_as": list(self.such_as)} if self.without_facts else {}),
        }


# -- as people see them: names are text of strangers, so they are cut, kept on one line and escaped --------------------

_FACT: Final = ("subject", "relation", "object", "state", "source", "recorded")
_MANY: Final = 3  # names shown of several
_ROWS: Final = 100  # rows of a table; a notebook keeps them


def _line(triple: Triple) -> str:
    return f"({', '.join(map(shown, triple))})"


def _first(names: Sequence[str], *, more: bool = False) -> str:
    rest = len(names) - _MANY
    tail = [f"and {rest} more"] if rest > 0 else ["and more"] if more else []
    return ", ".join([*(shown(name, 80) for name in names[:_MANY]), *tail])


def _cells(fact: Fact) -> tuple[str, ...]:
    who = " ".join(filter(None, (fact.kind, fact.principal)))
    return (*fact.triple, fact.state, who, fact.recorded_at[:19])


def _outcome(outcome: Outcome) -> tuple[str, str, str]:
    details = [f"supersedes {outcome.superseded}"] if outcome.superseded else []
    details += [f"contests {outcome.contested}"] if outcome.contested else []
    details += [shown(outcome.reason, 120)] if outcome.reason else []
    return outcome.status, _line(outcome.triple) if outcome.triple else "", "; ".join(details)


def _matches(matches: Sequence[Match]) -> str:
    rows = ((m.answer, *_cells(m.fact), m.how, f"{m.similarity:.2f}") for m in matches)
    return _table(("answer", *_FACT, "how", "similarity"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """An HTML table of texts, the first ``_ROWS`` rows of it."""
    listed = [list(row) for row in rows]
    parts = ["<table><thead><tr>", *(f"<th>{escape(name)}</th>" for name in head), "</tr></thead><tbody>"]
    for row in listed[:_ROWS]:
        parts += ["<tr>", *(f"<td>{escape(shown(cell, MAX_NAME))}</td>" for cell in row), "</tr>"]
    parts.append("</tbody></table>")
    parts.append(
        f"<p>and {len(listed) - _ROWS} more</p>" if len(listed) > _ROWS else "" if listed else "<p>nothing</p>"
    )
    return "".join(parts)
