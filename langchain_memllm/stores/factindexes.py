"""The words of the namespaces used lately, held in memory and brought up to date from whatever store they are in."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from langchain_memllm.factindex import FactIndex
from langchain_memllm.forking import renewed
from langchain_memllm.nameindex import Entry, Indexes
from langchain_memllm.triples import Namespace, rank_of

__all__ = ["Evidence", "FactIndexes", "cosines"]

_MOST: Final = 1_000_000  # pieces of evidence held, at about 250 bytes each

Id = TypeVar("Id", int, str)
Evidence: TypeAlias = tuple[Id, bytes, bytes | None, str]
"""Id of an open fact, what ``factindex.evidence_words`` made of a piece of evidence for it, and its source's kind."""


def cosines(values: ArrayLike) -> list[float]:
    """Cosines as recall compares them: how they were summed up, here or by a server, must decide no order."""
    rounded: list[float] = np.round(np.asarray(values, np.float64), 6).tolist()
    return rounded


class FactIndexes(Generic[Id]):
    """The indexes held, each with the operation up to which it is filled and its epoch. Safe across threads.

    Nothing is read under its lock: who comes with what another thread has added meanwhile looks again.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._indexes: Indexes[FactIndex[Id]] = Indexes(_MOST)
        self._lock = renewed(threading.Lock())

    def get(self, namespace: Namespace) -> Entry[FactIndex[Id]] | None:
        """What is held of a namespace."""
        return self._indexes.get(namespace)

    def extend(
        self,
        namespace: Namespace,
        held: Entry[FactIndex[Id]] | None,
        rows: Sequence[Evidence[Id]],
        seq: int,
        epoch: int,
        last: frozenset[object] = frozenset(),
    ) -> Entry[FactIndex[Id]] | None:
        """Add evidence that was read after ``held``, up to ``seq``; without ``held`` or in another epoch begin anew.

        ``last`` is what the caller wants to know again of the evidence of ``seq``.

        Returns:
            None if something else is held by now: nothing was added.

        Raises:
            StoreCorrupt: The words are damaged.
        """
        with self._lock:
            if self._indexes.get(namespace) is not held:
                return None
            index = FactIndex[Id]() if held is None or held.epoch != epoch else held.index
            ids, words, said, kinds = zip(*rows, strict=True) if rows else ((), (), (), ())
            index.add(ids, words, said, [rank_of(kind) for kind in kinds])
            self._indexes.put(namespace, index, seq, epoch, last)
            return self._indexes.get(namespace)

    def drop(self, namespace: Namespace) -> None:
        """Hold nothing of a namespace any more."""
        with self._lock:
            self._indexes.drop(namespace)
