"""What perplexities are compared with: the untrained model alone, with facts before the text, or with a plain search.

None of them opens a call; how the facts come before the text is told in ``perplexity``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np

from langchain_memllm.embeddings import Vectors
from langchain_memllm.local import MemLLMModel
from langchain_memllm.training.scoring import Outcome, plain
from langchain_memllm.training.texts import Text
from langchain_memllm.triples import Triple

__all__ = ["Store", "baselines"]

_NEAREST: Final = 3


def _sentence(triple: Triple) -> str:
    return f"{triple.subject} {triple.relation} {triple.object}."


class Store:
    """Plain vector search over the facts as sentences, by the shipped embedder; what it cannot read is not found."""

    def __init__(self, gold: Mapping[str, Sequence[Triple]]) -> None:
        self._vectors = Vectors(None)
        sentences = list(dict.fromkeys(_sentence(triple) for some in gold.values() for triple in some))
        vectors = self._vectors.embed(sentences)
        read = [(sentence, vector) for sentence, vector in zip(sentences, vectors, strict=True) if vector is not None]
        self._sentences = [sentence for sentence, _ in read]
        self._embedded = _unit(np.array([vector for _, vector in read])) if read else None

    def nearest(self, text: str) -> list[str]:
        """The sentences most similar to a text, the best last: nearest to it."""
        (vector,) = self._vectors.embed([text])
        if self._embedded is None or vector is None:
            return []
        similarities = self._embedded @ _unit(vector)
        return [self._sentences[at] for at in np.argsort(similarities, kind="stable")[-_NEAREST:]]


def _unit(vectors: Any) -> Any:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def baselines(
    text: Text,
    gold: Sequence[Triple],
    store: Store | None,
    conditions: Collection[str],
    base: MemLLMModel | None,
    control: MemLLMModel | None,
) -> dict[str, Outcome]:
    """A text under those of ``conditions`` for which the models are there; ``gold``: the facts of its document."""
    found: dict[str, Outcome] = {}
    if control is not None and "control" in conditions:
        found["control"] = _after(control, "", text.ids)
    if base is not None:
        if "base" in conditions:
            found["base"] = _after(base, "", text.ids)
        if "text" in conditions:
            found["text"] = _after(base, " ".join(map(_sentence, gold)), text.ids)
        if store is not None:
            found["search"] = _searched(base, text, store)
    return found


def _after(model: MemLLMModel, facts: str, ids: Sequence[int]) -> Outcome:
    """The text after some facts, without any call; a first token that has no probability without facts has none."""
    bos = model.vocabulary.bos
    before = [*bos, *(model.vocabulary.encode(facts + "\n") if facts else [])]
    scores = plain(model, before, ids, 0 if bos else 1)
    return Outcome([0.0] * scores.first + [-each for each in scores.forbidden])


def _searched(model: MemLLMModel, text: Text, store: Store) -> Outcome:
    """As ``off`` up to the first target; from each target to the next with what is found for it before the text."""
    outcome = _after(model, "", text.ids)
    ends = [*sorted(text.targets)[1:], len(text.ids)]
    for first, end in zip(sorted(text.targets), ends, strict=True):
        facts = " ".join(store.nearest(text.words_before(text.targets[first])))
        before = [*model.vocabulary.bos, *model.vocabulary.encode(facts + "\n")]
        scores = plain(model, before, text.ids[:end], first)
        outcome.nll[first:end] = [-each for each in scores.forbidden]
    return outcome
