"""How the evaluations ask a memory: by thresholds with a name, or as three numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import CHAT, EXACT, PAPER_EDITING, PAPER_PERPLEXITY, STRICT, Memory, Thresholds
from langchain_memllm.reading import Results
from langchain_memllm.triples import Namespace, Query

__all__ = ["RELATED", "lookup_in", "thresholds_of"]

RELATED: Final = Thresholds(0.98, 0.25, 0.5, keep_known=False)
"""The subject must be the same, the relation only related: a fact may be written and asked by different relations.

Fitted on 80 edits of the training files: 0.95 (wiki_counterfact) and 0.78 (CounterFact) are found again by their own
question, and an edit answers another question about its subject in 0.20 of the cases. Without a least similarity of the
relation these are 0.95, 0.95 and 0.97.
"""

_PRESETS: Final = {
    "exact": EXACT,
    "strict": STRICT,
    "chat": CHAT,
    "related": RELATED,
    "paper": PAPER_EDITING,
    "paper-perplexity": PAPER_PERPLEXITY,
}


def thresholds_of(named: str) -> Thresholds:
    """The thresholds of a preset's name, or of three numbers.

    Raises:
        ConfigurationError: Neither.
    """
    if named in _PRESETS:
        return _PRESETS[named]
    try:
        entity, relation, both = map(float, named.split(","))
    except ValueError as error:
        raise ConfigurationError(
            f"thresholds {named!r} are unknown; give one of {', '.join(_PRESETS)}, or three numbers as 0.98,0.3,0.6"
        ) from error
    return Thresholds(entity, relation, both, keep_known=False)


def lookup_in(
    memory: Memory, namespace: Namespace, thresholds: Thresholds
) -> Callable[[Sequence[Sequence[Query]]], list[Results]]:
    """What ``read_many`` asks: a memory's answers to the queries of several calls."""
    return lambda calls: [
        Results.of(memory.read_many(queries, namespace=namespace, thresholds=thresholds)) for queries in calls
    ]
