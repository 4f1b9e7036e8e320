"""What applications keep beside the triples: items of JSON under a namespace and a key, LangGraph's long-term store.

Both stores keep them in the same database as the memory, and both show them through ``ItemStore``. Labels, filters and
expiry mean the same on both; the rules are here. What LangGraph calls the operations is in ``adapters.store``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias

from langchain_memllm.embeddings import Vector
from langchain_memllm.errors import StoreCorrupt

__all__ = [
    "Address",
    "Condition",
    "ItemStore",
    "ItemView",
    "StoredItem",
    "conditions_of",
    "decode_labels",
    "encode_labels",
    "end_of_prefix",
    "is_unicode",
    "item_of",
    "matches",
    "value_of",
]

Labels: TypeAlias = tuple[str, ...]
Address: TypeAlias = tuple[Labels, str]
"""A namespace and a key."""

_END: Final = "/"  # ends each label, so that ("a",) is not a prefix of ("ab",)
_AFTER_END: Final = "0"  # the character after it
_LARGEST: Final = 2**63 - 1
_OFF: Final = 1e-12  # share by which a database may read a decimal number wrong
_COMPARISONS: Final = ("$gt", "$gte", "$lt", "$lte")


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as a database holds it.

    Args:
        namespace: Its labels.
        key: Its key, unique in the namespace.
        value: A JSON object, as text.
        created_at: When the key was first put, ISO 8601 in UTC.
        updated_at: When this value was put.
        ttl: Minutes from a put, or a read that refreshes, to its expiry; None: it does not expire.
        expires_at: When it expires.
        vectors: Unit vectors of the texts it is found by, shape (texts, dimension); none if it is not indexed.
    """

    namespace: Labels
    key: str
    value: str
    created_at: str
    updated_at: str
    ttl: float | None = None
    expires_at: str | None = None
    vectors: Vector | None = None

    @property
    def address(self) -> Address:
        """Its namespace and key."""
        return self.namespace, self.key

    def is_expired(self, now: str) -> bool:
        """Whether it has expired by ``now``."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a filter that a database can look at itself; it may let through more than the filter does."""

    key: str
    comparison: Literal["$eq", "$gt", "$gte", "$lt", "$lte"]
    value: str | int | float


class ItemView(Protocol):
    """One state of the items, for reading."""

    def get(self, addresses: Sequence[Address]) -> dict[Address, StoredItem]:
        """Those of the items that are there, without their vectors."""
        ...

    def listed(self, prefix: Labels, conditions: Sequence[Condition]) -> Iterator[StoredItem]:
        """Items under a prefix that may meet the conditions: newest first, then by namespace and key; no vectors."""
        ...

    def ranked(
        self, prefix: Labels, conditions: Sequence[Condition], query: Vector
    ) -> Iterator[tuple[StoredItem, float | None]]:
        """The same with the best cosine of each, best first; then those without a vector, as ``listed``."""
        ...

    def namespaces(self, hidden: str | None) -> list[Labels]:
        """Every namespace that holds an item; with ``hidden``, one that has not expired by then."""
        ...


class ItemStore(Protocol):
    """Where items are kept."""

    def view(self) -> AbstractContextManager[ItemView]:
        """One state of the items, for a ``with`` statement."""
        ...

    def change(self, puts: Sequence[StoredItem], drops: Sequence[Address]) -> None:
        """Put and delete items in one transaction; ``created_at`` of an item that is there stays."""
        ...

    def refresh(self, addresses: Sequence[Address], times: Sequence[str]) -> None:
        """Set when items expire, of those that are there and can."""
        ...

    def sweep(self, now: str) -> int:
        """Delete what has expired by ``now``; returns how many."""
        ...


def encode_labels(labels: Iterable[str]) -> str:
    """One text for a namespace or a prefix of one: what begins with a prefix's text is below that prefix."""
    return "".join(label.replace("%", "%25").replace(_END, "%2F") + _END for label in labels)


def decode_labels(text: str) -> Labels:
    """Inverse of ``encode_labels``."""
    return tuple(label.replace("%2F", _END).replace("%25", "%") for label in text.split(_END)[:-1])


def end_of_prefix(prefix: str) -> str:
    """The least text after every one that begins with an encoded prefix."""
    return prefix[:-1] + _AFTER_END if prefix else "\U0010ffff"


def item_of(row: Sequence[Any]) -> StoredItem:
    """An item of a row: namespace (encoded), key, value, created, updated, ttl, expires.

    Raises:
        StoreCorrupt: Something else wrote it.
    """
    try:
        ns, key, value, created, updated, ttl, expires = row
        if not all(isinstance(each, str) for each in (ns, key, value, created, updated)):
            raise TypeError("a part of it is not a text")
        for moment in (created, updated):
            datetime.fromisoformat(moment)
        ends = None if expires is None else str(expires)
        return StoredItem(decode_labels(ns), key, value, created, updated, None if ttl is None else float(ttl), ends)
    except (TypeError, ValueError) as error:
        raise StoreCorrupt(f"an item is not as memllm writes it ({error}); put it again, or delete it") from error


def value_of(item: StoredItem) -> dict[str, Any]:
    """The value of an item, a new one at each call.

    Raises:
        StoreCorrupt: Something else wrote it.
    """
    try:
        value = json.loads(item.value)
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt(f"the item {item.key!r} of {item.namespace!r} is not JSON; put it again") from error
    if not isinstance(value, dict):
        raise StoreCorrupt(f"the item {item.key!r} of {item.namespace!r} is not a JSON object; put it again")
    return value


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a value meets a filter: every key of it, nested ones too, or the operators ``$eq``, ``$ne``, ``$gt``, ….

    A number is compared with numbers and a text with texts only; what is absent equals None.

    Raises:
        ValueError: An operator that does not exist.
    """
    return all(_meets(value.get(key), each) for key, each in wanted.items())


def _meets(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(str(name).startswith("$") for name in wanted):
            results = [_compared(found, name, each) for name, each in wanted.items()]  # all: each is checked
            return all(results)
        return isinstance(found, Mapping) and matches(found, wanted)
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_meets(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def _compared(found: Any, operator: str, wanted: Any) -> bool:
    if operator == "$eq":
        return bool(found == wanted)
    if operator == "$ne":
        return bool(found != wanted)
    if operator not in _COMPARISONS:
        raise ValueError(f"the operator {operator!r} of a filter is unknown; use $eq, $ne, $gt, $gte, $lt or $lte")
    of_one_kind = all(isinstance(each, str) for each in (found, wanted)) or all(
        isinstance(each, int | float) for each in (found, wanted)
    )
    if not of_one_kind:
        return False
    if operator in ("$gt", "$gte") and found > wanted:
        return True
    if operator in ("$lt", "$lte") and found < wanted:
        return True
    return operator in ("$gte", "$lte") and bool(found == wanted)


def conditions_of(wanted: Mapping[str, Any] | None) -> list[Condition]:
    """The parts of a filter that a database looks at: comparisons of a top-level key with a number or a text.

    Numbers get room for a database that reads decimals a little wrong, and ``1`` for one that tells it from True.
    """
    found: list[Condition] = []
    for key, each in (wanted or {}).items():
        parts = each if isinstance(each, Mapping) else {"$eq": each}
        for operator, value in parts.items():
            found += _condition(str(key), operator, value)
    return [each for each in found if is_unicode(each.key) and is_unicode(str(each.value))]


def is_unicode(text: str) -> bool:
    """Whether a database can hold a text: JSON has half of a character too, escaped."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _condition(key: str, operator: str, value: Any) -> list[Condition]:
    if isinstance(value, str):
        if operator == "$eq" or operator in _COMPARISONS:
            return [Condition(key, operator, value)]  # type: ignore[arg-type]
        return []
    if isinstance(value, bool) or value in (0, 1) or not isinstance(value, int | float):
        return []
    if not math.isfinite(value) or abs(value) >= _LARGEST:
        return []
    room = 0 if isinstance(value, int) and abs(value) < 2**53 else abs(value) * _OFF
    if operator == "$eq":
        return [Condition(key, "$gte", value - room), Condition(key, "$lte", value + room)]
    if operator in ("$gt", "$gte"):
        return [Condition(key, "$gte", value - room)]
    if operator in ("$lt", "$lte"):
        return [Condition(key, "$lte", value + room)]
    return []
