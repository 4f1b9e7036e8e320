"""LangGraph's long-term store, in the database of the memory: JSON items under a namespace and a key.

For ``compile(store=)``, ``create_agent(store=)``, ``langgraph.json`` and whatever else takes a ``BaseStore``. Items are
kept beside the triples and are not read by ``recall``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
)
from langgraph.store.base import validate_op_namespace as check_labels

from langchain_memllm.embeddings import Vector
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores import open_store
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.items import Address, ItemView, StoredItem, conditions_of, is_unicode, matches, value_of

__all__ = ["MemLLMStore"]

log = logging.getLogger(__name__)

_SWEEP_MINUTES: Final = 5.0


class MemLLMStore(BaseStore):
    """A LangGraph ``BaseStore`` in a SQLite file or on Neo4j.

    Reads of a batch see the state before its puts. ``search`` without a query lists the newest first; with one it ranks
    by exact cosine (the best of an item's fields), and items without an indexed text come last, without a score. A
    number of a filter is compared with numbers and a text with texts. Values must be JSON objects.

    Args:
        store: An address as ``MemLLMMemory`` takes it, or a memory's store, which is then not closed here.
        index: ``embed`` (an ``Embeddings``, a function or a name), ``dims``, and ``fields`` (paths; all of the value by
            default). Without it a query of ``search`` is ignored.
        ttl: ``default_ttl``, ``refresh_on_read``, ``omit_expired``, ``sweep_interval_minutes``; all times in minutes.

    Raises:
        ConfigurationError: The address or the index cannot be used.
        StoreError: The store cannot be opened.
    """

    supports_ttl = True

    __slots__ = ("_dims", "_embed", "_fields", "_items", "_opened", "_stop", "_sweeper", "index_config", "ttl_config")

    def __init__(
        self, store: str | TripleStore, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> None:
        """Open the store; an existing memory file or graph gets what it needs for items."""
        self.index_config, self.ttl_config = index, ttl
        self._embed: Embeddings | None = None
        self._dims = 0
        if index is not None:
            if "embed" not in index or not isinstance(index.get("dims"), int):
                raise ConfigurationError(f"index has the keys {sorted(index)}; it needs at least 'dims' and 'embed'")
            self._embed, self._dims = ensure_embeddings(index["embed"]), index["dims"]
        paths = (index.get("fields") if index is not None else None) or ["$"]
        self._fields = [(path, _tokens(path)) for path in paths]
        opened = open_store(store)
        self._opened = None if opened is store else opened
        self._items = opened.items
        self._stop = threading.Event()
        self._sweeper: threading.Thread | None = None

    @classmethod
    @contextmanager
    def from_conn_string(
        cls, conn_string: str, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> Iterator[MemLLMStore]:
        """A store for a ``with`` statement: a file path, ``:memory:``, or ``neo4j://host``."""
        store = cls(conn_string, index=index, ttl=ttl)
        try:
            yield store
        finally:
            store.close()

    @classmethod
    @asynccontextmanager
    async def afrom_conn_string(
        cls, conn_string: str, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> AsyncIterator[MemLLMStore]:
        """As ``from_conn_string``, for ``async with``; also what ``store.path`` in ``langgraph.json`` may name."""
        store = await asyncio.to_thread(cls, conn_string, index=index, ttl=ttl)
        try:
            yield store
        finally:
            await store.aclose()

    def setup(self) -> None:
        """Nothing is left to do: opening the store brought its schema up to date."""

    async def asetup(self) -> None:
        """As ``setup``."""

    def close(self) -> None:
        """Stop the sweeper, and close what was opened here. Idempotent."""
        self.stop_ttl_sweeper()
        if self._opened is not None:
            self._opened.close()

    async def aclose(self) -> None:
        """As ``close``."""
        await asyncio.to_thread(self.close)

    # -- operations --------------------------------------------------------------------------------------------------

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations: reads first, from one state; then the puts, of which the last one of a key wins.

        Raises:
            InvalidNamespaceError: A label is empty, not a text, or has a period.
            TypeError: A value is not a JSON object; nothing was written.
            ValueError: An operator of a filter, a limit or an offset is wrong; nothing was written.
            StoreError: The store cannot do it.
        """
        given = list(ops)
        for op in given:
            _check(op)
        puts = {(op.namespace, op.key): op for op in given if isinstance(op, PutOp)}  # the last one wins
        now = datetime.now(UTC)
        kept = self._items_of([op for op in puts.values() if op.value is not None], now)
        vectors = self._vectors_of([op for op in given if isinstance(op, SearchOp)])
        results: list[Result] = [None] * len(given)
        expiring: dict[Address, str] = {}
        if any(not isinstance(op, PutOp) for op in given):
            with self._items.view() as view:
                for place, op in enumerate(given):
                    if not isinstance(op, PutOp):
                        results[place] = self._read(view, op, vectors, now, expiring)
        if expiring:
            self._items.refresh(list(expiring), list(expiring.values()))
        if puts:
            self._items.change(kept, [address for address, op in puts.items() if op.value is None])
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As ``batch``, in a worker thread."""
        return await asyncio.to_thread(self.batch, list(ops))

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read(
        self, view: ItemView, op: Op, vectors: dict[str, Vector], now: datetime, expiring: dict[Address, str]
    ) -> Result:
        """The answer to an operation; what it refreshes is noted in ``expiring``."""
        if isinstance(op, ListNamespacesOp):
            return self._listed(view, op, now)
        if isinstance(op, GetOp):
            item = view.get([(op.namespace, op.key)]).get((op.namespace, op.key))
            shown = [] if item is None or self._hides(item, now) else [item]
            found: Result = Item(**_fields_of(shown[0])) if shown else None
        elif isinstance(op, SearchOp):
            scored = list(self._found(view, op, vectors.get(op.query or ""), now))
            shown = [item for item, _ in scored]
            found = [SearchItem(**_fields_of(item), score=score) for item, score in scored]
        else:
            raise TypeError(f"{type(op).__name__} is not an operation of a store")
        if op.refresh_ttl:
            expiring |= {item.address: _ends(now, item.ttl) for item in shown if item.ttl is not None}
        return found

    def _found(
        self, view: ItemView, op: SearchOp, query: Vector | None, now: datetime
    ) -> Iterator[tuple[StoredItem, float | None]]:
        conditions = conditions_of(op.filter)
        if query is None:
            rows: Iterator[tuple[StoredItem, float | None]] = (
                (item, None) for item in view.listed(op.namespace_prefix, conditions)
            )
        else:
            rows = view.ranked(op.namespace_prefix, conditions, query)
        met = (
            row
            for row in rows
            if not self._hides(row[0], now) and (not op.filter or matches(value_of(row[0]), op.filter))
        )
        return islice(met, op.offset, op.offset + op.limit)

    def _listed(self, view: ItemView, op: ListNamespacesOp, now: datetime) -> list[tuple[str, ...]]:
        found = view.namespaces(_text(now) if (self.ttl_config or {}).get("omit_expired") else None)
        conditions = op.match_conditions or ()
        cut = {labels[: op.max_depth] for labels in found if all(_fits(labels, each) for each in conditions)}
        return sorted(cut)[op.offset : op.offset + op.limit]

    def _hides(self, item: StoredItem, now: datetime) -> bool:
        return bool((self.ttl_config or {}).get("omit_expired")) and item.is_expired(_text(now))

    def _vectors_of(self, ops: Sequence[SearchOp]) -> dict[str, Vector]:
        """The vector of each query; none of one that cannot be embedded, which is as if it were not asked."""
        queries = list(dict.fromkeys(op.query for op in ops if op.query)) if self._embed is not None else []
        vectors = [self._unit(self._embed.embed_query(query)) for query in queries] if self._embed is not None else []
        return {query: vector for query, vector in zip(queries, vectors, strict=True) if vector is not None}

    # -- writing -----------------------------------------------------------------------------------------------------

    def _items_of(self, ops: Sequence[PutOp], now: datetime) -> list[StoredItem]:
        texts = [self._texts(op) for op in ops]
        flat = list(dict.fromkeys(text for each in texts for text in each))
        embedded = self._embed.embed_documents(flat) if self._embed is not None and flat else []
        vectors = {text: self._unit(vector) for text, vector in zip(flat, embedded, strict=True)}
        at = _text(now)
        return [
            StoredItem(
                op.namespace,
                op.key,
                _json(op),
                at,
                at,
                None if op.ttl is None else float(op.ttl),
                None if op.ttl is None else _ends(now, op.ttl),
                _stacked([vector for text in each if (vector := vectors[text]) is not None]),
            )
            for op, each in zip(ops, texts, strict=True)
        ]

    def _texts(self, op: PutOp) -> list[str]:
        """What an item is found by."""
        if self._embed is None or op.index is False:
            return []
        fields = self._fields if op.index is None else [(path, _tokens(path)) for path in op.index]
        return [text for _, tokens in fields for text in get_text_at_path(op.value, tokens) if text]

    def _unit(self, values: Sequence[float]) -> Vector | None:
        """A vector of length 1; None for zero, which an embedder says where it cannot read."""
        vector = np.asarray(values, np.float32)
        if vector.shape != (self._dims,):
            raise ConfigurationError(
                f"the embedder of the index gives vectors of shape {vector.shape}, and its dims are {self._dims}; "
                "set dims to what the embedder gives"
            )
        length = float(np.linalg.norm(vector))
        return vector / length if length > 0 and np.isfinite(length) else None

    # -- expiry ------------------------------------------------------------------------------------------------------

    def sweep_ttl(self) -> int:
        """Delete what has expired; returns how many items."""
        return self._items.sweep(_text(datetime.now(UTC)))

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Future[None]:
        """Sweep every so often in a daemon thread, which ends with ``stop_ttl_sweeper``, or when this is cancelled.

        Nothing is started where the store has no ``ttl`` configuration, or it runs already.
        """
        future: Future[None] = Future()
        if not self.ttl_config:
            future.set_result(None)
            return future
        minutes = sweep_interval_minutes or self.ttl_config.get("sweep_interval_minutes") or _SWEEP_MINUTES
        if self._sweeper is None or not self._sweeper.is_alive():
            self._stop.clear()
            self._sweeper = threading.Thread(
                target=self._sweep_often, args=(minutes * 60, future), name="memllm ttl sweeper", daemon=True
            )
            self._sweeper.start()
        future.add_done_callback(lambda done: self._stop.set() if done.cancelled() else None)
        return future

    def _sweep_often(self, seconds: float, future: Future[None]) -> None:
        while not self._stop.wait(seconds):
            try:
                gone = self.sweep_ttl()
            except Exception:  # of a store that is away for now; the next sweep may find it
                log.exception("expired items could not be deleted")
            else:
                log.debug("%d expired items deleted", gone)
        if not future.done():
            future.set_result(None)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """End the sweeper. Idempotent; returns whether it has ended within ``timeout`` seconds."""
        self._stop.set()
        if self._sweeper is None:
            return True
        self._sweeper.join(timeout)
        return not self._sweeper.is_alive()


def _check(op: Op) -> None:
    """Raise for what no store could do, before anything is done."""
    check_labels(op)
    if isinstance(op, SearchOp | ListNamespacesOp) and min(op.limit, op.offset) < 0:
        raise ValueError(f"limit {op.limit} and offset {op.offset} of a search must be 0 or more")
    if isinstance(op, SearchOp) and op.filter:
        matches({}, op.filter)  # an operator that does not exist
    if isinstance(op, PutOp):
        if op.ttl is not None and not op.ttl > 0:
            raise ValueError(f"ttl {op.ttl!r} is not a number of minutes above 0")
        if op.value is not None:
            _json(op)
    labels = op.namespace if isinstance(op, GetOp | PutOp) else ()
    key = op.key if isinstance(op, GetOp | PutOp) else ""
    for text in (*labels, key):
        if not is_unicode(text):
            raise ValueError(f"{text!a} of an item's address is not valid Unicode; use other characters")


def _json(op: PutOp) -> str:
    if not isinstance(op.value, dict):
        raise TypeError(f"the value of {op.key!r} is a {type(op.value).__name__}; an item is a dict of JSON values")
    try:
        return json.dumps(op.value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"the value of {op.key!r} is not JSON ({error}); put texts, numbers, lists and dicts"
        ) from error


def _fits(labels: tuple[str, ...], condition: MatchCondition) -> bool:
    path = tuple(condition.path)
    if len(path) > len(labels):
        return False
    part = labels[: len(path)] if condition.match_type == "prefix" else labels[len(labels) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def _fields_of(item: StoredItem) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": value_of(item),
        "created_at": datetime.fromisoformat(item.created_at),
        "updated_at": datetime.fromisoformat(item.updated_at),
    }


def _tokens(path: str) -> Any:
    return path if path == "$" else tokenize_path(path)


def _stacked(vectors: Sequence[Vector]) -> Vector | None:
    return np.stack(vectors) if vectors else None


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _ends(now: datetime, minutes: float) -> str:
    return _text(now + timedelta(minutes=minutes))
