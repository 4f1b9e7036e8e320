"""What the memory itself gives: ``Memory.recall`` of facts, ``Hub.search`` of messages; also with a way left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias, get_args

from langchain_memllm.bench.data import Corpus, Item
from langchain_memllm.embeddings import EmbedderName
from langchain_memllm.hub import Hub, Search
from langchain_memllm.memory import Memory
from langchain_memllm.recall import Weights
from langchain_memllm.triples import Namespace, Source

__all__ = ["AS_FACTS", "OURS", "WAYS", "Progress", "Ranking", "Way", "ours", "ways_of"]

Way: TypeAlias = Literal["words", "meaning", "person", "hops"]
"""A way to what answers, as ``recall.Weights`` names it; messages are found by words and meaning."""
Ranking: TypeAlias = "list[Item]"
"""The facts or messages that were found, with the evidence that they carry, the best first."""
Progress: TypeAlias = Callable[[int], object]
"""Told how many questions more were asked."""

OURS: Final = "ours"
AS_FACTS: Final = "ours, as facts"
"""The messages that were found, each shown as the facts that were taken from it, if there are any."""
WAYS: Final[tuple[Way, ...]] = get_args(Way)
_NAMESPACE: Final[Namespace] = ("memllm", "bench")
_SEARCHES: Final[tuple[Search, ...]] = get_args(Search)
_BATCH: Final = 500  # facts written together, where none has a sentence of its own


def ours(
    corpus: Corpus,
    k: int,
    without: Sequence[Way] = (),
    told: Progress = lambda _: None,
    embedder: EmbedderName = "english",
) -> dict[str, list[Ranking]]:
    """What the memory gives for each question, by the name of the row.

    Args:
        corpus: What is kept and asked.
        k: Most facts or messages.
        without: Ways to leave out, each in a row of its own; no message is found by person or hops.
        told: Told after each question.
        embedder: What facts are found by; what was said is always found by the English one.
    """
    with Memory(embedder=embedder) as memory:
        ask = _messages(corpus, memory, k) if _is_said(corpus) else _facts(corpus, memory, k)
        found: dict[str, list[Ranking]] = {}
        for way in (None, *ways_of(corpus, without)):
            name = OURS if way is None else f"{OURS} without {way}"
            found[name] = []
            for each in corpus.questions:
                found[name].append(ask(each.text, way))
                told(1)
    if any(item.triple for item in corpus.items) and _is_said(corpus):
        found[AS_FACTS] = [_as_facts(corpus, ranking)[:k] for ranking in found[OURS]]
    return found


def ways_of(corpus: Corpus, ways: Sequence[Way]) -> list[Way]:
    """Those of some ways that lead to what a corpus holds."""
    return [way for way in ways if not _is_said(corpus) or way in _SEARCHES]


def _is_said(corpus: Corpus) -> bool:
    return any(item.turn for item in corpus.items)


def _as_facts(corpus: Corpus, ranking: Ranking) -> Ranking:
    """Messages as the facts that were taken from them, each fact once; a message without any stays."""
    of: dict[str, list[Item]] = defaultdict(list)
    for item in corpus.items:
        for each in item.evidence if item.triple else ():
            of[each].append(item)
    shown: dict[int, Item] = {}
    for said in ranking:
        for item in [fact for each in sorted(said.evidence) for fact in of[each]] or [said]:
            shown.setdefault(id(item), item)
    return list(shown.values())


def _facts(corpus: Corpus, memory: Memory, k: int) -> Callable[[str, Way | None], Ranking]:
    """Keep facts; gives how to ask for them."""
    carried: dict[str, set[str]] = defaultdict(set)
    step = 1 if any(item.sentence for item in corpus.items) else _BATCH
    for start in range(0, len(corpus.items), step):
        some = corpus.items[start : start + step]
        source = Source("user", text=some[0].sentence or None, at=some[0].at)
        for outcome in memory.write([item.triple for item in some], namespace=_NAMESPACE, source=source):
            if outcome.fact_id is not None:
                carried[outcome.fact_id] |= some[outcome.index].evidence

    def ask(text: str, way: Way | None) -> Ranking:
        memory.weights = Weights() if way is None else replace(Weights(), **{way: 0.0})
        found = memory.recall(text, namespace=_NAMESPACE, k=k, speaker=corpus.speaker)
        return [Item(tuple(match.fact.triple), evidence=frozenset(carried.get(match.fact.id, ()))) for match in found]

    return ask


def _messages(corpus: Corpus, memory: Memory, k: int) -> Callable[[str, Way | None], Ranking]:
    """Keep messages, and facts as taken from those whose evidence they carry; gives how to ask for them."""
    said = {item.turn.id: item for item in corpus.items if item.turn}
    hub = Hub(memory)
    hub.keep([item.turn for item in said.values() if item.turn], namespace=_NAMESPACE)
    turns = {each: item.turn for item in said.values() for each in item.evidence}
    for item in corpus.items:
        for turn in (turns.get(each) for each in sorted(item.evidence) if item.triple):
            if turn is not None:
                source = Source(turn.kind, turn.ref, text=item.sentence or None, at=item.at)
                memory.write([item.triple], namespace=_NAMESPACE, source=source)

    def ask(text: str, way: Way | None) -> Ranking:
        searches = [each for each in _SEARCHES if each != way]
        return [said[hit.turn.id] for hit in hub.search(text, k=k, searches=searches, namespace=_NAMESPACE)]

    return ask
