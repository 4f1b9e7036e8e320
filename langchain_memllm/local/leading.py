"""Queries are led to what the memory holds: a reader asks by a relation that is there, if it might have written it.

Writer and reader name relations freely, so a fact written by "publisher" is asked for by "owned by", and no cosine of
the two names tells that from a question about something else. The reader itself knows better: where the memory has no
answer to a query but has other facts of its name, each of their relations is put in the place of the one that was
written, and the most probable is asked by if it is likely enough. For a query that is answered as it is, and for one
about a name that is not stored, the model does not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import SEP, render_queries
from langchain_memllm.memory import EXACT, Memory, Namespaces
from langchain_memllm.reading import Generated, queries_of
from langchain_memllm.triples import Query

if TYPE_CHECKING:
    from langchain_memllm.local.decoding import Decoder

__all__ = ["LIKELY", "Held", "Leading", "held_by"]

Held = Callable[[Sequence[Query]], Sequence[Sequence[str]]]
"""For queries, the relations of the facts held of the name that each one knows; none where it is answered as it is."""

LIKELY: Final = 0.01
"""Of 300 edits of training files on which no adapter was trained, the mean of those that are answered and of questions
about something else that are not is highest from 0.01 to 0.001; of these the most careful (benchmarks/DIARY.md)."""


def held_by(memory: Memory, namespace: Namespaces, queries: Sequence[Query]) -> list[tuple[str, ...]]:
    """The relations that a memory holds, see ``Held``; of a name with more facts than a read returns, of the first."""
    found = memory.read_many(queries, namespace=namespace, thresholds=EXACT)
    others = [replace(query, relation=None) for query in queries]
    known = memory.read_many(others, namespace=namespace, thresholds=EXACT)
    return [
        () if answered else tuple(dict.fromkeys(match.triple.relation for match in facts))
        for answered, facts in zip(found, known, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Leading:
    """What queries are led to; ``Leading.by`` makes one of a memory.

    Args:
        held: What the memory holds.
        likely: Least ratio, in (0, 1], of the probabilities of such a relation and of the one that was written.

    Raises:
        ConfigurationError: ``likely`` is out of range.
    """

    held: Held
    likely: float = LIKELY

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 < self.likely <= 1:
            raise ConfigurationError(f"likely {self.likely} is no ratio of probabilities; give a number in (0, 1]")

    @classmethod
    def by(cls, memory: Memory, namespace: Namespaces, likely: float = LIKELY) -> Leading:
        """Lead to what a memory holds in one namespace or several, as in ``Memory.read``."""
        return cls(lambda queries: held_by(memory, namespace, queries), likely)

    def lead(
        self,
        decoder: Decoder,
        contexts: Sequence[Sequence[int]],
        written: Sequence[Generated],
        allowed: Sequence[str] | None = None,
    ) -> list[Generated]:
        """The queries of several calls as they are to be asked.

        Args:
            decoder: The reader.
            contexts: Token ids before each call's queries.
            written: The queries of each call, as generated.
            allowed: Relations that queries may name; None for any.

        Raises:
            ConfigurationError: ``held`` does not answer every query.
        """
        parsed = [queries_of(each.text) if each.reason == "stop" else () for each in written]
        queries = [query for some in parsed for query in some]
        relations = self.held(queries) if queries else []
        if len(relations) != len(queries):
            raise ConfigurationError(f"held got {len(queries)} queries and answered {len(relations)}; answer each")
        left = iter([one for one in some if allowed is None or one in allowed] for some in relations)
        outcomes = []
        for context, some, each in zip(contexts, parsed, written, strict=True):
            spaced = f" {SEP}" in each.text
            led = [self._led(decoder, context, query, next(left), spaced) for query in some]
            text = render_queries(led, spaced=spaced) + ")"
            outcomes.append(each if led == list(some) else replace(each, text=text, ids=(), tokens=each.cost))
        return outcomes

    def _led(
        self, decoder: Decoder, context: Sequence[int], query: Query, relations: Sequence[str], spaced: bool
    ) -> Query:
        """The query by the most probable of the relations, or as it is."""
        if not relations:
            return query
        others = [replace(query, relation=relation) for relation in relations]
        texts = [render_queries([each], spaced=spaced) for each in (query, *others)]
        asked, *logprobs = decoder.logprobs(context, [decoder.vocabulary.encode(text) for text in texts])
        best = max(range(len(others)), key=logprobs.__getitem__)
        return others[best] if logprobs[best] - asked >= math.log(self.likely) else query
