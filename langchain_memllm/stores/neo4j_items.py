"""Items in Neo4j: the statements of ``cypher.items`` put to use. The rules are in ``stores.items``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.embeddings import Vector
from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.stores.items import (
    Address,
    Condition,
    Labels,
    StoredItem,
    decode_labels,
    encode_labels,
    end_of_prefix,
    is_unicode,
    item_of,
    value_of,
)
from langchain_memllm.stores.neo4j_ids import item_id

if TYPE_CHECKING:
    import neo4j

__all__ = ["Neo4jItems"]

_PAGES: Final = (100, 1_000, 10_000)  # items of the first page, the second, each later one
_FIELD: Final = "v."  # begins the properties that filters look at, so that no key meets one of ours
_LONGEST: Final = 1_000  # characters of the name and the text of one
_AT_ONCE: Final = 1_000  # items in a statement


class Neo4jItems:
    """An ``ItemStore`` in the database of a memory on Neo4j."""

    def __init__(self, bolt: Bolt) -> None:
        """Take the memory's connection."""
        self._bolt = bolt

    @contextlib.contextmanager
    def view(self) -> Iterator[_View]:
        """See ``ItemStore.view``. Each question sees what is committed when it is asked."""
        yield _View(self._bolt)

    def change(self, puts: Sequence[StoredItem], drops: Sequence[Address]) -> None:
        """See ``ItemStore.change``."""
        gone = [item_id(*address) for address in drops]
        rows = [{"id": item_id(*item.address), "props": _props(item)} for item in puts]

        def work(transaction: neo4j.ManagedTransaction) -> None:
            if gone:
                transaction.run(cypher.DROP_ITEMS, ids=gone).consume()
            for start in range(0, len(rows), _AT_ONCE):
                transaction.run(cypher.PUT_ITEMS, items=rows[start : start + _AT_ONCE]).consume()

        self._bolt.write(work)

    def refresh(self, addresses: Sequence[Address], times: Sequence[str]) -> None:
        """See ``ItemStore.refresh``."""
        items = [{"id": item_id(*each), "at": at} for each, at in zip(addresses, times, strict=True)]
        self._bolt.write_one(cypher.REFRESH_ITEMS, {"items": items})

    def sweep(self, now: str) -> int:
        """See ``ItemStore.sweep``."""
        return int(self._bolt.write_one(cypher.SWEEP_ITEMS, {"now": now})[0]["gone"])


class _View:
    """An ``ItemView``."""

    def __init__(self, bolt: Bolt) -> None:
        self._bolt = bolt

    def get(self, addresses: Sequence[Address]) -> dict[Address, StoredItem]:
        """See ``ItemView.get``."""
        rows = self._bolt.read(cypher.ITEMS, {"ids": [item_id(*each) for each in addresses]})
        return {item.address: item for item in (item_of(row["item"]) for row in rows)}

    def listed(self, prefix: Labels, conditions: Sequence[Condition]) -> Iterator[StoredItem]:
        """See ``ItemView.listed``."""
        return (item_of(row["item"]) for row in self._paged(cypher.LIST_ITEMS, _asked(prefix, conditions)))

    def ranked(
        self, prefix: Labels, conditions: Sequence[Condition], query: Vector
    ) -> Iterator[tuple[StoredItem, float | None]]:
        """See ``ItemView.ranked``."""
        asked = {**_asked(prefix, conditions), "query": query.tolist(), "width": len(query)}
        return ((item_of(row["item"]), row["score"]) for row in self._paged(cypher.RANK_ITEMS, asked))

    def namespaces(self, hidden: str | None) -> list[Labels]:
        """See ``ItemView.namespaces``."""
        return sorted(decode_labels(row["ns"]) for row in self._bolt.read(cypher.ITEM_NAMESPACES, {"hidden": hidden}))

    def _paged(self, statement: cypher.Statement, asked: Mapping[str, Any]) -> Iterator[neo4j.Record]:
        skip = number = 0
        while True:
            limit = _PAGES[min(number, len(_PAGES) - 1)]
            rows = self._bolt.read(statement, {**asked, "skip": skip, "limit": limit})
            yield from rows
            if len(rows) < limit:
                return
            skip, number = skip + limit, number + 1


def _asked(prefix: Labels, conditions: Sequence[Condition]) -> dict[str, Any]:
    text = encode_labels(prefix)
    rows = [
        {"key": _FIELD + each.key, "comparison": each.comparison, "value": each.value}
        for each in conditions
        if not isinstance(each.value, str) or len(each.value) <= _LONGEST
    ]
    return {"prefix": text, "end": end_of_prefix(text), "conditions": rows}


def _props(item: StoredItem) -> dict[str, Any]:
    props: dict[str, Any] = {
        "id": item_id(*item.address),
        "ns": encode_labels(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        "ttl": item.ttl,
        "expires_at": item.expires_at,
    }
    if item.vectors is not None and len(item.vectors):
        props |= {"vectors": item.vectors.ravel().tolist(), "width": item.vectors.shape[1]}
    return props | {_FIELD + key: value for key, value in value_of(item).items() if _is_field(key, value)}


def _is_field(key: str, value: object) -> bool:
    if len(key) > _LONGEST or "\0" in key or not is_unicode(key):  # Neo4j refuses the name of such a property
        return False
    if isinstance(value, str):
        return len(value) <= _LONGEST and is_unicode(value)
    if isinstance(value, bool):
        return False  # Cypher tells True from 1
    return isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)
