"""The workload of the store benchmarks: triples with Zipf subjects and objects, hubs, 0.3 new names a triple.

Names are four words of the shipped embedder's own vocabulary, so that a paraphrase (three of them in another order) is
similar to its name and to few others. Deterministic; nothing is read but the embedder's tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources

import numpy as np

RELATIONS = 200
NAMES_PER_TRIPLE = 0.3
Rows = list[tuple[str, str, str]]


class Workload:
    """Triples, and the queries that ask for them.

    Args:
        triples: How many.
        seed: Of all choices.
    """

    def __init__(self, triples: int, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self._words = _words()
        self.names = [self._name() for _ in range(int(triples * NAMES_PER_TRIPLE))]
        self.relations = [f"{self._words[3 * i]} {self._words[3 * i + 1]} of" for i in range(RELATIONS)]
        self.triples = self._triples(triples)

    def _name(self) -> str:
        return " ".join(self._words[i] for i in self._random.integers(0, len(self._words), 4))

    def _triples(self, count: int) -> Rows:
        weights = 1.0 / np.arange(1, RELATIONS + 1)
        relation = self._random.choice(RELATIONS, size=4 * count, p=weights / weights.sum())
        draws = self._random.random((4 * count, 3))
        known, seen, made = 1, set(), []
        for i in range(4 * count):
            a = min(int(np.exp(draws[i, 0] * np.log(known))), known - 1)
            if known < len(self.names) and known <= 1 + (len(made) + 1) * NAMES_PER_TRIPLE:
                b, known = known, known + 1
            else:
                b = int(draws[i, 1] * known)
            subject, object_ = (a, b) if draws[i, 2] < 0.5 else (b, a)
            triple = (subject, int(relation[i]), object_)
            if subject != object_ and triple not in seen:
                seen.add(triple)
                made.append((self.names[subject], self.relations[triple[1]], self.names[object_]))
            if len(made) == count:
                return made
        raise AssertionError("too many duplicates")

    def batches(self, size: int) -> Iterator[Rows]:
        """The triples in batches."""
        return (self.triples[start : start + size] for start in range(0, len(self.triples), size))

    def exact_queries(self, count: int) -> list[tuple[str | None, str, str | None]]:
        """Queries that name a stored subject or object exactly."""
        picks = self._random.integers(0, len(self.triples), count)
        sides = self._random.random(count) < 0.5
        rows = [self.triples[i] for i in picks]
        return [(s, r, None) if side else (None, r, o) for (s, r, o), side in zip(rows, sides, strict=True)]

    def similar_queries(self, count: int) -> list[tuple[str | None, str, str | None]]:
        """The same with the name paraphrased: three of its four words, in another order."""
        return [
            (self._paraphrase(s) if s else None, r, self._paraphrase(o) if o else None)
            for s, r, o in self.exact_queries(count)
        ]

    def _paraphrase(self, name: str) -> str:
        first, second, third, _ = name.split()
        return f"{third} {first} {second}"


def _words() -> list[str]:
    """Whole words of the shipped embedder's vocabulary, five letters or more, in a fixed order."""
    path = resources.files("langchain_memllm") / "data" / "embedder" / "tokenizer.json"
    vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    return sorted(word for word in vocabulary if len(word) >= 5 and word.isascii() and word.isalpha())
