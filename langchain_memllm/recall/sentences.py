"""Facts as sentences: the vectors of what was said, for an embedder that reads sentences.

They are made when a namespace is first asked, and of what is new at each question, and held in memory (1.5 kB a
sentence) beside its index; with the index they go when something is forgotten. So a question costs one vector.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from langchain_memllm.forking import renewed
from langchain_memllm.stores.interface import Vector

__all__ = ["MOST_SENTENCES", "Sentences"]

MOST_SENTENCES: Final = 5_000
"""Pieces of evidence up to which all facts of a namespace are compared as sentences; of more, the newest."""

_SAID: Final = 3  # sentences of a fact that are compared
_PAGE: Final = 500

Said: TypeAlias = Callable[[Sequence[Any]], "dict[Any, list[str]]"]
Embed: TypeAlias = Callable[[Sequence[str]], Sequence[Vector | None]]


class Sentences:
    """The sentences of one namespace's facts. Safe across threads."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = renewed(threading.Lock())
        self._read = 0  # rows of the index that were looked at
        self._rows: list[int] = []
        self._ids: list[Any] = []
        self._vectors: list[Vector] = []
        self._matrix = np.zeros((0, 0), np.float32)

    def update(self, ids: Sequence[Any], said: Said, embed: Embed) -> None:
        """Add what is new.

        Args:
            ids: The id of the fact of each row of the index.
            said: Gives what is said of facts: the triple, and their sentences, the last first.
            embed: Gives the vectors of texts.
        """
        with self._lock:
            first = max(self._read, len(ids) - MOST_SENTENCES)
            for start in range(first, len(ids), _PAGE):
                if not self._add(start, ids[start : start + _PAGE], said, embed):
                    break  # the embedder failed: next time
                self._read = min(start + _PAGE, len(ids))
            if len(self._vectors) > len(self._matrix):
                self._matrix = np.stack(self._vectors)

    def _add(self, start: int, ids: Sequence[Any], said: Said, embed: Embed) -> bool:
        rows = {each: row for row, each in enumerate(ids, start)}
        texts = [
            (each, " ".join(text for text in dict.fromkeys((triple, sentence)) if text))
            for each, (triple, *sentences) in said(list(rows)).items()
            for sentence in ("", *sentences[:_SAID])
        ]
        vectors = embed([text for _, text in texts]) if texts else []
        for (each, _), vector in zip(texts, vectors, strict=True):
            if vector is not None:
                self._rows.append(rows[each])
                self._ids.append(each)
                self._vectors.append(vector)
        return not texts or any(vector is not None for vector in vectors)

    def nearest(self, vector: Vector | None) -> list[tuple[int, Any, float]]:
        """Row, id and cosine of every fact, the nearest first; each once, by the nearest of its sentences."""
        if vector is None or not len(self._matrix):
            return []
        cosines = self._matrix @ vector
        found: dict[Any, tuple[int, Any, float]] = {}
        for place in np.argsort(-cosines, kind="stable").tolist():
            found.setdefault(self._ids[place], (self._rows[place], self._ids[place], float(cosines[place])))
        return list(found.values())
