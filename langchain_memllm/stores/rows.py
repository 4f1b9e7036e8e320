"""Facts from the rows of a store, each value looked at: a file or database may have been written by somebody else.

What is not of our making raises ``StoreCorrupt`` with the place, at once and wherever it is met; nothing of it reaches
the caller as an answer, or as an error of Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NoReturn, cast, get_args

from langchain_memllm.belief import Use
from langchain_memllm.errors import StoreCorrupt
from langchain_memllm.triples import KINDS, MAX_NAME, Fact, Namespace, Outcome, Receipt, Status, Triple

__all__ = [
    "CLOSED",
    "REBUILD",
    "RESTORE",
    "check_keys",
    "corrupt",
    "date_is_sound",
    "fact_of",
    "fact_of_columns",
    "moment_is_sound",
    "namespace_of",
    "receipt_of",
    "use_of",
]

RESTORE: Final = "restore a backup or an earlier export"
"""What to do about damage to what was stored."""
REBUILD: Final = "rebuild it with: memllm doctor --rebuild-index"
"""What to do about damage to what follows from that: words, search codes, indexes."""
CLOSED: Final = ("superseded", "retracted", "past", "replaced")
"""Why a fact was closed."""

_TEXT, _MAYBE, _NUMBER = (str,), (str, type(None)), (int,)
_COLUMNS: Final[tuple[tuple[str, tuple[type, ...]], ...]] = (
    ("id", _TEXT),
    ("subject", _TEXT),
    ("relation", _TEXT),
    ("object", _TEXT),
    ("seq", _NUMBER),
    ("ordinal", _NUMBER),
    ("recorded_at", _TEXT),
    ("kind", _TEXT),
    ("principal", _MAYBE),
    ("confidence", (float, int, type(None))),
    ("valid_from", _MAYBE),
    ("valid_to", _MAYBE),
    ("closed_at", _MAYBE),
    ("closed_by", _MAYBE),
    ("closed_why", _MAYBE),
    ("said_at", _TEXT),
)
_GOOD: Final[set[tuple[type, ...]]] = set()  # types of rows found good; there are few
_KINDS: Final = frozenset(KINDS)
_WHY: Final = frozenset((None, *CLOSED))
_STATUSES: Final = frozenset(get_args(Status))
_DATE: Final = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_MOST: Final = 4 * MAX_NAME
_MAX_SEQ: Final = 1 << 43


def corrupt(place: str, what: str) -> StoreCorrupt:
    """The error for what is not of our making: where it is, and what to do."""
    return StoreCorrupt(
        f"{place} holds what this package did not write ({what}); run memllm doctor, then restore a backup or "
        "an earlier export"
    )


def check_keys(place: str, *keys: Any) -> None:
    """Check keys of names and relations, as they are stored.

    Raises:
        StoreCorrupt: One is not a text; ``place`` names the table.
    """
    if any(type(key) is not str for key in keys):
        raise corrupt(place, "a key that is not a text")


def fact_of(namespace: Namespace, row: Sequence[Any], place: str) -> Fact:
    """A fact from its columns, in the order of ``_COLUMNS``; ids are hex.

    Raises:
        StoreCorrupt: A value is not what we write; ``place`` names the table.
    """
    types = tuple(map(type, row))
    if types not in _GOOD:
        _learn(types, place)
    (
        fact_id,
        subject,
        relation,
        object_,
        seq,
        ordinal,
        at,
        kind,
        principal,
        confidence,
        begin,
        end,
        closed,
        by,
        why,
        said,
    ) = row
    if (
        kind not in _KINDS
        or why not in _WHY
        or len(fact_id) != 32
        or not (0 <= seq < _MAX_SEQ and 0 <= ordinal < 1 << 12)
        or len(subject) > _MOST
        or len(relation) > _MOST
        or len(object_) > _MOST
        or not moment_is_sound(at)
        or (said != at and not moment_is_sound(said))
        or (closed is not None and not moment_is_sound(closed))
        or (begin is not None and not date_is_sound(begin))
        or (end is not None and not date_is_sound(end))
    ):
        raise corrupt(place, "a fact with a kind, time, number or name out of range")
    return Fact(
        fact_id,
        namespace,
        Triple.trusted(subject, relation, object_),
        seq,
        ordinal,
        at,
        kind,
        principal,
        confidence,
        begin,
        end,
        closed,
        by,
        why,
        said_at=said,
    )


def fact_of_columns(namespace: Namespace, row: Sequence[Any], start: int = 0) -> Fact:
    """A fact from the columns of a file from ``start`` on, in the order of ``_COLUMNS``; ids are 16 bytes.

    Raises:
        StoreCorrupt: A value is not what we write.
    """
    values = list(row[start : start + 16])
    for place in (0, 13):  # the ids
        if type(values[place]) is bytes:
            values[place] = values[place].hex()
        elif place == 0 or values[place] is not None:
            raise corrupt("table fact", "the id of a fact")
    return fact_of(namespace, values, "table fact or name")


def _learn(types: tuple[type, ...], place: str) -> None:
    for (name, allowed), found in zip(_COLUMNS, types, strict=True):
        if found not in allowed:
            raise corrupt(place, f"{name} is {found.__name__}, not {allowed[0].__name__}")
    if len(_GOOD) < 1000:
        _GOOD.add(types)


def moment_is_sound(moment: str) -> bool:
    """Whether a text is a moment."""
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return False
    return True


def date_is_sound(date: str) -> bool:
    """Whether a text has the form of a partial date."""
    return _DATE.fullmatch(date) is not None


def namespace_of(text: object, place: str) -> Namespace:
    """The labels of a namespace from the text that a store keeps.

    Raises:
        StoreCorrupt: It is something else.
    """
    try:
        labels = json.loads(cast(str, text))
    except (TypeError, ValueError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise corrupt(place, "the name of a namespace")
    return tuple(labels)


def receipt_of(namespace: Namespace, op_id: str, packed: object, place: str) -> Receipt:
    """A receipt from the text that a store keeps.

    Raises:
        StoreCorrupt: It is something else.
    """
    try:
        seq, recorded_at, outcomes, replaced = json.loads(cast(str, packed))
        receipt = Receipt(op_id, namespace, _number(seq), _text(recorded_at), _outcomes(outcomes), _texts(replaced))
    except (TypeError, ValueError, RecursionError) as error:
        raise corrupt(place, "a receipt") from error
    return receipt


def _outcomes(rows: Sequence[Sequence[Any]]) -> tuple[Outcome, ...]:
    found = []
    for index, status, fact, supersedes, contests, reason, *counts in rows:
        if len(counts) not in (0, 2):
            _refuse()
        if status not in _STATUSES or not all(part is None or isinstance(part, str) for part in (fact, reason)):
            _refuse()
        listed, numbers = (_texts(supersedes), _texts(contests)), map(_number, counts)
        found.append(Outcome(_number(index), status, fact, *listed, reason, None, *numbers))
    return tuple(found)


def _number(value: object) -> int:
    return value if type(value) is int and 0 <= value < 1 << 62 else _refuse()


def _text(value: object) -> str:
    return value if isinstance(value, str) else _refuse()


def _texts(values: object) -> tuple[str, ...]:
    return tuple(map(_text, values)) if isinstance(values, list) else _refuse()


def _refuse() -> NoReturn:
    raise ValueError


def use_of(values: Sequence[object], where: str) -> Use:
    """How much a namespace holds, from the columns of its row.

    Raises:
        StoreCorrupt: They are of other types.
    """
    if [type(value) for value in values] != _USE:
        raise corrupt(where, "how much a namespace holds")
    return Use(*values)  # type: ignore[arg-type]


_USE: Final = [str if name == "hour" else int for name in Use._fields]
