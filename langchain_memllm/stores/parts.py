"""What a namespace is made of, as values and as the records of an export.

A store takes a namespace apart with ``dump`` and puts it together with ``restore``: names in the order in which they
came, facts with their history, aliases, operations, quarantine, and how far the namespace has come. Vectors are not
among them, since the embedder of the other store makes its own. Here is also the one place of the export's format, so
a memory's canonical dump *is* its export. Nothing here knows a store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from langchain_memllm.belief import MAX_BATCH, Claim, Quarantined
from langchain_memllm.stores.episodes import Grant, Turn, pack_turn, turn_of
from langchain_memllm.stores.outbox import OutboxEntry, pack_entry, unpack_entry
from langchain_memllm.times import as_moment, stated_date
from langchain_memllm.triples import (
    Fact,
    Namespace,
    Outcome,
    Receipt,
    Source,
    Status,
    Triple,
    clean_name,
    literal_key,
    name_key,
    operation_key,
    stable_hash,
)

__all__ = [
    "BLOCK",
    "Aliases",
    "Head",
    "Kept",
    "Name",
    "Operation",
    "Part",
    "blocks_of",
    "part_of",
    "record_of",
    "under_own_ids",
]

BLOCK: Final = 1000
"""Parts that are put back in one transaction."""

_MAX_SEQ: Final = 1 << 43
_MAX_RANK: Final = 6
_ID: Final = re.compile(r"[0-9a-f]{32}")
_CLOSED: Final = (None, "superseded", "retracted", "past", "replaced")


@dataclass(frozen=True, slots=True)
class Name:
    """A name, literal object or relation of a namespace; ``rank`` is that of the source whose spelling is shown."""

    kind: Literal["name", "literal", "relation"]
    spelling: str
    rank: int = 0

    @property
    def key(self) -> str:
        """Key under which it is found."""
        return literal_key(self.spelling) if self.kind == "literal" else name_key(self.spelling)


@dataclass(frozen=True, slots=True)
class Kept:
    """A fact as a store keeps it: with what is needed to put it back so that everything later goes as it would have.

    Args:
        fact: The fact with its sources.
        literal: Whether its object is compared exactly.
        ended: The day it ended, for a closed fact whose end was not stated; answers ``valid_at``.
        closed_seq: Number of the operation that closed it.
        closed_source: (kind, ref) of the source that closed it; forgetting that source reopens the fact.
        places: (seq, ordinal) of each source: when it came in. Empty: all came with the fact.
    """

    fact: Fact
    literal: bool = False
    ended: str | None = None
    closed_seq: int | None = None
    closed_source: tuple[str, str] | None = None
    places: tuple[tuple[int, int], ...] = ()

    @property
    def keys(self) -> tuple[str, str, str]:
        """Keys of its subject, relation and object."""
        subject, relation, object_ = self.fact.triple
        return name_key(subject), name_key(relation), literal_key(object_) if self.literal else name_key(object_)

    @property
    def claim(self) -> Claim:
        """The statement that would have stored it."""
        fact = self.fact
        source = Source(kind=fact.kind, principal=fact.principal, at=fact.said_at)
        return Claim(
            fact.ordinal,
            fact.triple,
            *self.keys,
            source=source,
            valid_from=fact.valid_from,
            valid_to=fact.valid_to,
            confidence=fact.confidence,
        )

    @property
    def evidence(self) -> list[tuple[Source, int, int]]:
        """Its sources with seq and ordinal."""
        places = self.places or [(self.fact.seq, place) for place in range(len(self.fact.sources))]
        return [(source, *place) for source, place in zip(self.fact.sources, places, strict=True)]


@dataclass(frozen=True, slots=True)
class Aliases:
    """Spellings of names that are one."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that is still recognised when it is delivered again."""

    payload_hash: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Head:
    """How far a namespace has come: number and time of its last operation.

    ``restarts``: number and time of the operations at which a clock that had been ahead was right again.
    """

    seq: int
    last_at: str
    restarts: tuple[tuple[int, str], ...] = ()


Part: TypeAlias = Name | Kept | Aliases | Operation | Quarantined | OutboxEntry | Grant | Turn | Head


def blocks_of(parts: Iterable[tuple[Namespace, Part]]) -> Iterator[tuple[Namespace, list[Part]]]:
    """Parts of one namespace in blocks for ``TripleStore.restore``; what was read when an error came is not lost."""
    block: list[Part] = []
    where: Namespace = ()
    source = iter(parts)
    while True:
        try:
            namespace, part = next(source)
        except StopIteration:
            break
        except Exception:
            if block:
                yield where, block
            raise
        if block and (namespace != where or (len(block) >= BLOCK and not _belong_together(block[-1], part))):
            yield where, block
            block = []
        where = namespace
        block.append(part)
    if block:
        yield where, block


def _belong_together(one: Part, other: Part) -> bool:
    both = isinstance(one, Quarantined) and isinstance(other, Quarantined)
    return both and one.recorded_at == other.recorded_at  # type: ignore[union-attr]


def record_of(namespace: Namespace, part: Part) -> dict[str, Any]:
    """A part as a JSON-ready record of an export."""
    where = {"namespace": list(namespace)}
    if isinstance(part, Name):
        return {"type": "name", **where, "kind": part.kind, "name": part.spelling, "rank": part.rank}
    if isinstance(part, Kept):
        return {"type": "fact", **_fact_record(part)}
    if isinstance(part, Aliases):
        return {"type": "alias", **where, "names": list(part.names)}
    if isinstance(part, Operation):
        receipt = part.receipt.as_dict()
        for outcome in receipt["outcomes"]:
            del outcome["triple"]
        return {"type": "operation", **receipt, "payload_hash": part.payload_hash}
    if isinstance(part, Quarantined):
        told = {"text": part.text, "reason": part.reason, "recorded_at": part.recorded_at}
        return {"type": "quarantined", **where, **told, "source": asdict(part.source)}
    if isinstance(part, OutboxEntry):
        return {"type": "outbox", **where, "op_id": part.op_id, **json.loads(pack_entry(part))}
    if isinstance(part, Turn):
        return {"type": "turn", **where, **pack_turn(part)}
    if isinstance(part, Grant):
        return {"type": "role", **where, "role": part.role, "scope": part.scope}
    again = {"restarts": [list(each) for each in part.restarts]} if part.restarts else {}
    return {"type": "namespace", **where, "seq": part.seq, "last_at": part.last_at, **again}


def _fact_record(kept: Kept) -> dict[str, Any]:
    record = kept.fact.as_dict()
    for source, (_, seq, ordinal) in zip(record["sources"], kept.evidence, strict=True):
        source.update(seq=seq, ordinal=ordinal)
    closed_source = kept.closed_source and {"kind": kept.closed_source[0], "ref": kept.closed_source[1]}
    record.update(literal=kept.literal, ended=kept.ended, closed_seq=kept.closed_seq, closed_source=closed_source)
    return record


def part_of(record: Mapping[str, Any], namespace: Namespace) -> Part:
    """The part that a record tells of, in the namespace it is put into.

    Of a fact of an older export, ``literal`` is not known; the caller settles it.

    Raises:
        ValueError: A value has another form than in an export; so do ``KeyError`` and ``TypeError``.
    """
    moved = list(namespace) != record["namespace"]
    if record["type"] == "name":
        return _name_of(record)
    if record["type"] == "fact":
        return _kept_of(record, namespace, moved)
    if record["type"] == "alias":
        return Aliases(_names(record["names"]))
    if record["type"] == "operation":
        return _operation_of(record, namespace, moved)
    if record["type"] == "quarantined":
        text, reason = _text(record["text"]), _text(record["reason"])
        return Quarantined(text, reason, _source_of(record["source"]), _moment(record["recorded_at"]))
    if record["type"] == "outbox":
        return unpack_entry(operation_key(clean_name(record["op_id"], "op_id")), json.dumps(record))
    if record["type"] == "turn":
        return turn_of(record)
    if record["type"] == "role":
        return Grant(_text(record["role"])[:1024], _text(record["scope"])[:1024])
    if record["type"] == "namespace":
        return Head(
            _count(record["seq"], _MAX_SEQ),
            as_moment(record["last_at"] or None) or "",
            tuple((_count(seq, _MAX_SEQ), as_moment(at) or "") for seq, at in record.get("restarts", ())),
        )
    raise ValueError(
        f"its type is {record['type']!r}; known are name, fact, alias, operation, quarantined, outbox, role, turn, "
        "namespace and relation"
    )


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"names {ascii(value)[:60]} of an alias are not a list of names")
    return tuple(clean_name(name) for name in value)


def _name_of(record: Mapping[str, Any]) -> Name:
    if record["kind"] not in ("name", "literal", "relation"):
        raise ValueError(f"kind {record['kind']!r} of a name is unknown")
    return Name(record["kind"], clean_name(record["name"]), _count(record["rank"], _MAX_RANK + 1))


def _kept_of(record: Mapping[str, Any], namespace: Namespace, moved: bool) -> Kept:
    fact = _fact_of(record, namespace, moved)
    if "ended" not in record:  # an export of before 0.1: the day it was closed
        stated = fact.is_open or fact.closed_why == "past"
        return Kept(fact, False, None if stated else (fact.closed_at or "")[:10])
    closed, source = record["closed_seq"], record["closed_source"]
    return Kept(
        fact,
        _bool(record["literal"]),
        stated_date(record["ended"]),
        None if closed is None else _count(closed, _MAX_SEQ),
        None if source is None else _named(Source(source["kind"], source["ref"])),
        tuple((_count(s["seq"], _MAX_SEQ), _count(s["ordinal"], 1 << 53)) for s in record["sources"]),
    )


def _fact_of(record: Mapping[str, Any], namespace: Namespace, moved: bool) -> Fact:
    why = record["closed_why"]
    if why not in _CLOSED:
        raise ValueError(f"closed_why {why!r} is unknown")
    sources = tuple(_source_of(source) for source in record["sources"])
    if not sources:
        raise ValueError("the fact has no source")
    best = Source(record["kind"], principal=record["principal"])
    return Fact(
        _moved_id(_text(record["id"]), namespace, moved) or "",
        namespace,
        Triple(record["subject"], record["relation"], record["object"]),
        _count(record["seq"], _MAX_SEQ),
        _count(record["ordinal"], MAX_BATCH),
        _moment(record["recorded_at"]),
        best.kind,
        best.principal,
        _confidence(record["confidence"]),
        stated_date(record["valid_from"]),
        stated_date(record["valid_to"]),
        (as_moment(record["closed_at"]) or record["recorded_at"]) if why else None,
        _moved_id(record["closed_by"], namespace, moved),
        why,
        sources=sources,
        said_at=as_moment(record.get("said_at")) or "",  # exports of before 0.2 do not tell
    )


def _source_of(record: Mapping[str, Any]) -> Source:
    span, turn = record["span"], record["turn"]
    if span is not None:
        start, end = span
        span = (_count(start, 1 << 53), _count(end, 1 << 53))
    if turn is not None:
        turn = _count(turn, 1 << 53)
    return Source(record["kind"], record["ref"], record["principal"], record["text"], span, turn, record.get("at"))


def _named(source: Source) -> tuple[str, str]:
    return source.kind, source.ref


def _operation_of(record: Mapping[str, Any], namespace: Namespace, moved: bool) -> Operation:
    receipt = Receipt(
        operation_key(clean_name(record["op_id"], "op_id")),
        namespace,
        _count(record["seq"], _MAX_SEQ),
        _moment(record["recorded_at"]),
        tuple(_outcome_of(outcome, namespace, moved) for outcome in record["outcomes"]),
        _moved_ids(record["replaced"], namespace, moved),
    )
    if not _ID.fullmatch(record["payload_hash"]):
        raise ValueError(f"payload_hash {record['payload_hash']!r} is not a hash")
    return Operation(record["payload_hash"], receipt)


def _outcome_of(record: Mapping[str, Any], namespace: Namespace, moved: bool) -> Outcome:
    if record["status"] not in get_args(Status):
        raise ValueError(f"status {record['status']!r} is unknown")
    reason = record["reason"]
    return Outcome(
        _count(record["index"], MAX_BATCH),
        record["status"],
        _moved_id(record["fact_id"], namespace, moved),
        _moved_ids(record["supersedes"], namespace, moved),
        _moved_ids(record["contests"], namespace, moved),
        None if reason is None else _text(reason),
        superseded=_count(record.get("superseded", 0), _MAX_SEQ),  # exports of before 0.2 list all
        contested=_count(record.get("contested", 0), _MAX_SEQ),
    )


def _moved_ids(fact_ids: Iterable[str], namespace: Namespace, moved: bool) -> tuple[str, ...]:
    return tuple(_moved_id(fact_id, namespace, moved) or "" for fact_id in fact_ids)


def _moved_id(fact_id: str | None, namespace: Namespace, moved: bool) -> str | None:
    """The id of a fact in the namespace it is put into."""
    if fact_id is None:
        return None
    if not _ID.fullmatch(fact_id):
        raise ValueError(f"{fact_id!r} is not a fact id")
    return stable_hash("moved", *namespace, fact_id) if moved else fact_id


def under_own_ids(kept: Kept, others: AbstractSet[str]) -> Kept:
    """A fact as its namespace may keep it, where ids of it are those of facts in other namespaces."""
    fact = kept.fact
    if not others & {fact.id, fact.closed_by}:
        return kept
    ids = {each: _moved_id(each, fact.namespace, each in others) for each in (fact.id, fact.closed_by)}
    return replace(kept, fact=replace(fact, id=ids[fact.id] or "", closed_by=ids[fact.closed_by]))


def _moment(value: Any) -> str:
    """A moment that must be told."""
    moment = as_moment(value, "its time")
    if moment is None:
        raise ValueError("it does not say when it was recorded")
    return moment


def _count(value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise ValueError(f"{value!r} is not a number from 0 to {limit - 1}")
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{ascii(value)[:60]} is not plain text")
    return value


def _confidence(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ValueError(f"confidence {value!r} is not a number in [0, 1]")
    return value
