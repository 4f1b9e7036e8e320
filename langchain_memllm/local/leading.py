"""Queries are led to what the memory holds: a reader asks for what is there, if it might have written that query.

Writer and reader name things freely, so a fact written by "publisher" is asked for by "owned by", one of "Brad Brown"
by "Player Brad Brown", and no cosine of the two tells that from a question about something else. The reader itself
knows better: where the memory has no answer to a query but has other facts of its name, or facts of similar names, the
query that each one answers is put in the place of the one that was written, and the most probable is asked if it is
likely enough. For a query that is answered as it is, and for one about a name like no other, the model does not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import SEP, render_queries
from langchain_memllm.memory import CHAT, EXACT, Memory, Namespaces, Thresholds
from langchain_memllm.reading import Generated, queries_of
from langchain_memllm.relations import trained_label
from langchain_memllm.triples import Query, Triple

if TYPE_CHECKING:
    from langchain_memllm.local.decoding import Decoder

__all__ = ["LIKELY", "Held", "Leading", "held_by"]

Held = Callable[[Sequence[Query]], Sequence[Sequence[Query]]]
"""For queries, those that are answered by facts of the name that each one knows, or of similar ones; none where it is
answered as it is."""

LIKELY: Final = 0.01
"""Of 300 edits of training files on which no adapter was trained, the mean of those that are answered and of questions
about something else that are not is highest from 0.01 to 0.001; of these the most careful (benchmarks/DIARY.md)."""

_ALIKE: Final = Thresholds(CHAT.entity, relation=-1.0, mean=-1.0, keep_known=False)
"""Names are as alike as in a conversation, relations are any: the reader says which is meant."""
_MOST_ALIKE: Final = 10
"""Most facts of similar names that are tried."""


def held_by(
    memory: Memory, namespace: Namespaces, queries: Sequence[Query], *, similar_names: bool = True
) -> list[tuple[Query, ...]]:
    """What a memory holds, see ``Held``; of a name with more facts than a read returns, the first.

    Similar names are looked for only where a name is not known: what is stored is stood for by nothing else.
    """
    found = memory.read_many(queries, namespace=namespace, thresholds=EXACT)
    others = [replace(query, relation=None) for query in queries]
    held = [
        () if answered else tuple(match.triple for match in facts)
        for answered, facts in zip(found, memory.read_many(others, namespace=namespace, thresholds=EXACT), strict=True)
    ]
    strange = [at for at, facts in enumerate(held) if not found[at] and not facts]
    if similar_names and strange:
        asked = [queries[at] for at in strange]
        alike = memory.read_many(asked, namespace=namespace, thresholds=_ALIKE, limit=_MOST_ALIKE)
        for at, facts in zip(strange, alike, strict=True):
            held[at] = tuple(match.triple for match in facts)
    return [
        tuple(dict.fromkeys(_answered_by(query, triple) for triple in triples))
        for query, triples in zip(queries, held, strict=True)
    ]


def _answered_by(query: Query, triple: Triple) -> Query:
    """The query with the same side open that a fact answers, in the words that readers are trained with."""
    relation = trained_label(triple.relation)
    return Query(None, relation, triple.object) if query.subject is None else Query(triple.subject, relation)


@dataclass(frozen=True, slots=True)
class Leading:
    """What queries are led to; ``Leading.by`` makes one of a memory.

    Args:
        held: What the memory holds.
        likely: Least ratio, in (0, 1], of the probabilities of such a query and of the one that was written.

    Raises:
        ConfigurationError: ``likely`` is out of range.
    """

    held: Held
    likely: float = LIKELY

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 < self.likely <= 1:
            raise ConfigurationError(f"likely {self.likely} is not a ratio of probabilities; give a number in (0, 1]")

    @classmethod
    def by(
        cls, memory: Memory, namespace: Namespaces, likely: float = LIKELY, *, similar_names: bool = True
    ) -> Leading:
        """Lead to what a memory holds in one namespace or several, as in ``Memory.read``."""
        return cls(lambda queries: held_by(memory, namespace, queries, similar_names=similar_names), likely)

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
        held = self.held(queries) if queries else []
        if len(held) != len(queries):
            raise ConfigurationError(f"held got {len(queries)} queries and answered {len(held)}; answer each")
        left = iter([one for one in some if allowed is None or one.relation in allowed] for some in held)
        outcomes = []
        for context, some, each in zip(contexts, parsed, written, strict=True):
            spaced = f" {SEP}" in each.text
            led = [self._led(decoder, context, query, next(left), spaced) for query in some]
            text = render_queries(led, spaced=spaced) + ")"
            outcomes.append(each if led == list(some) else replace(each, text=text, ids=(), tokens=each.cost))
        return outcomes

    def _led(
        self, decoder: Decoder, context: Sequence[int], query: Query, others: Sequence[Query], spaced: bool
    ) -> Query:
        """The most probable of the other queries, or the query as it is."""
        if not others:
            return query
        texts = [render_queries([each], spaced=spaced) for each in (query, *others)]
        asked, *logprobs = decoder.logprobs(context, [decoder.vocabulary.encode(text) for text in texts])
        best = max(range(len(others)), key=logprobs.__getitem__)
        return others[best] if logprobs[best] - asked >= math.log(self.likely) else query
