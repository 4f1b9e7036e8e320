"""What a text recalls: facts, what was said, or both, and the block that shows them to a model; with a gate or without.

Without a gate what was said has to say enough of the text to be shown. With one (``gate``) what was found goes to a
decider, which says whether the turn needs memory, and what of it is left out, shown in part, or whole.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final, Literal, TypeAlias, get_args

from langchain_memllm.errors import ConfigurationError, ModelError, reason_of
from langchain_memllm.flow import Flow, Step
from langchain_memllm.gate import Asked, Decider, Judgement, asked_about, decided, judged_by_rules, states_something
from langchain_memllm.hub import Candidate, Hub
from langchain_memllm.memory import EXACT, MAX_RECALLED, Memory
from langchain_memllm.recall import SHARE, STRICT, Question, parse_question, telling_sentence
from langchain_memllm.render import fitted
from langchain_memllm.stores.episodes import TurnFilter
from langchain_memllm.stores.interface import TRUSTED, FactFilter
from langchain_memllm.triples import Fact, Match, Namespace, Query, Quote, Recall, Source

__all__ = ["Found", "Show", "check_count", "check_show", "gated", "look", "recall", "through"]

logger = logging.getLogger(__name__)

Show: TypeAlias = Literal["auto", "facts", "turns"]
"""What is recalled: facts, what the person said, or both where a memory keeps what was said."""

_SHOWS: Final[tuple[Show, ...]] = get_args(Show)
_SMALL_FACT: Final = 12  # tokens of a line of the block with a short fact
_SMALL_QUOTE: Final = 30
_FEW: Final = 8
_SHARED: Final = 2  # facts of pages or a model that are shown beside any number of others


def check_show(show: object) -> Show:
    """The value, checked.

    Raises:
        ConfigurationError: It is none of ``Show``.
    """
    for known in _SHOWS:
        if show == known:
            return known
    raise ConfigurationError(f"show={show!r} is unknown; use {', '.join(map(repr, _SHOWS))}")


def check_count(k: object) -> None:
    """Check the number of facts that are shown at most; None: as many as fit.

    Raises:
        ConfigurationError: It is not a number from 1 to ``MAX_RECALLED``.
    """
    if k is not None and not (type(k) is int and 1 <= k <= MAX_RECALLED):
        raise ConfigurationError(
            f"k={k!r} is out of range; give the number of facts, 1 to {MAX_RECALLED}, or None for as many as fit"
        )


def recall(
    memory: Memory,
    hub: Hub,
    text: str,
    namespaces: Sequence[Namespace],
    *,
    show: Show,
    k: int | None = None,
    max_tokens: int = 600,
    speaker: str | None = "user",
    role: str | None = None,
    without: Collection[str] = (),
    owner: str | None = None,
    explain: bool = False,
) -> Recall:
    """Facts that answer a text, and what the person said about it; see ``MemLLMMemory.recall``.

    Args:
        memory: Where the facts are.
        hub: Where what was said is.
        text: Any text.
        namespaces: Whose memory.
        show: ``auto`` is both.
        k: Most facts, and most quotes, whatever of them fits into the block. None: as many as fit.
        max_tokens: Most tokens of the block.
        speaker: Name under which facts about the person who says "I" are stored.
        role: Who looks at what was said.
        without: Ids of turns that the reader sees already.
        owner: Whose memory the block says it is.
        explain: Also tell the facts that had no place.
    """
    check_count(k)
    found = Recall(text)
    if show != "turns":
        found = _facts(memory, text, namespaces, k, max_tokens, speaker, explain)
    if show != "facts":
        most = k or max(_FEW, max_tokens // _SMALL_QUOTE)
        each = [hub.quoted(found, k=most, without=without, role=role, namespace=place).quotes for place in namespaces]
        quotes = [quote for some in zip_longest(*each) for quote in some if quote is not None]
        found = replace(found, quotes=tuple(quotes[:most]))
    found = _with_sentences(memory, found, parse_question(text, speaker), role)
    shown = fitted(found, max_tokens, owner=owner)
    found = replace(found, block=shown.block, tokens=shown.tokens)
    if k is not None:
        return found
    left = [match for match in found.matches if match not in shown.matches] if explain else []
    return replace(found, matches=shown.matches, quotes=shown.quotes, left_out=(*left, *found.left_out))


def _facts(
    memory: Memory,
    text: str,
    namespaces: Sequence[Namespace],
    k: int | None,
    max_tokens: int,
    speaker: str | None,
    explain: bool,
) -> Recall:
    """Facts that answer a text: ``k`` of them, or as many as a block may hold; both sides of what is contested."""
    most = k or min(MAX_RECALLED, max(_FEW, max_tokens // _SMALL_FACT))
    found = memory.recall(text, namespace=list(namespaces), k=most, speaker=speaker, explain=explain)
    return _shared(_with_rivals(memory, found, most), k)


def _with_rivals(memory: Memory, found: Recall, most: int) -> Recall:
    """What was found, with another side of what is contested right behind it; a page's only if it was found itself."""
    known = {match.fact.id for match in found.matches}
    matches: list[Match] = []
    for match in found.matches:
        matches.append(match)
        rivals = _rivals(memory, match) if match.fact.contested else []
        if rivals and known.isdisjoint(rival.fact.id for rival in rivals):
            shown = next((rival for rival in rivals if rival.fact.kind not in STRICT), None)
            if shown is not None:
                known.add(shown.fact.id)
                matches.append(replace(match, fact=shown.fact, answer=shown.answer, why=f"contests {match.answer!r}"))
    return replace(found, matches=tuple(matches[:most]))


def _rivals(memory: Memory, match: Match) -> list[Match]:
    """Other values of the slot of a fact, or of the slot of its inverse; the most trusted first."""
    subject, relation, value = match.triple
    queries = [Query(subject, relation, None), Query(None, relation, value)]
    results = memory.read_many(queries, namespace=match.fact.namespace, thresholds=EXACT)
    return [each for result in results for each in result if each.fact.contested and each.fact.id != match.fact.id]


def _shared(found: Recall, k: int | None) -> Recall:
    """What was found, without the facts of pages and models beyond their share of what others say.

    With a number of places ``Memory.recall`` has seen to that.
    """
    others = sum(match.fact.kind not in STRICT for match in found.matches)
    if k is not None or not others:
        return found
    most = max(_SHARED, int(others * SHARE / (1 - SHARE)))
    counts: Counter[str] = Counter()
    kept = []
    for match in found.matches:
        counts[match.fact.kind] += 1
        if match.fact.kind not in STRICT or counts[match.fact.kind] <= most:
            kept.append(match)
    return replace(found, matches=tuple(kept))


# -- the sentence a fact was taken from --------------------------------------------------------------------------------


def _with_sentences(memory: Memory, found: Recall, question: Question, role: str | None) -> Recall:
    """What was found, each fact with the sentence that says what of the question it does not.

    Only a person's words are shown, if they may be seen, and not twice.
    """
    by_namespace: dict[Namespace, list[str]] = {}
    for match in found.matches if question.stems else ():
        by_namespace.setdefault(match.fact.namespace, []).append(match.fact.id)
    sources: dict[str, list[Source]] = {}
    for namespace, ids in by_namespace.items():
        facts = list(memory.store.facts([namespace], FactFilter(ids=tuple(ids))))
        hidden = _hidden(memory, namespace, facts, role)
        for fact in facts:
            sources[fact.id] = [
                source
                for source in fact.sources
                if source.text and source.rank >= TRUSTED and _place(source) not in hidden
            ]
    return replace(
        found, matches=tuple(_told(memory, question, match, sources, found.quotes) for match in found.matches)
    )


def _told(
    memory: Memory, question: Question, match: Match, sources: dict[str, list[Source]], quotes: Sequence[Quote]
) -> Match:
    texts = [source.text or "" for source in sources.get(match.fact.id, ())]
    relation = memory.catalogue.find(match.triple.relation)
    names = () if relation is None else (relation.label, *relation.aliases)
    sentence = telling_sentence(question, match.triple, names, texts)
    return replace(match, said=sentence) if sentence and all(sentence not in quote.text for quote in quotes) else match


def _hidden(memory: Memory, namespace: Namespace, facts: Sequence[Fact], role: str | None) -> set[tuple[str, str]]:
    """Sources of some facts which are turns that may not be seen: without a role those of a scope."""
    places = tuple(dict.fromkeys(_place(source) for fact in facts for source in fact.sources if source.ref))
    if not places:
        return set()
    turns = memory.store.turns.select(namespace, TurnFilter(sources=places))
    if role is None:
        return {(turn.kind, turn.ref) for turn in turns if turn.scope}
    seen = {turn.id for turn in memory.store.turns.select(namespace, TurnFilter(sources=places, role=role))}
    return {(turn.kind, turn.ref) for turn in turns if turn.id not in seen}


def _place(source: Source) -> tuple[str, str]:
    return source.kind, source.ref


# --- with a gate ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a text, before a gate decides: facts and turns, and what its decider is asked."""

    facts: Recall
    turns: tuple[Candidate, ...]
    asked: Asked


def look(
    memory: Memory,
    hub: Hub,
    text: str,
    namespaces: Sequence[Namespace],
    *,
    show: Show,
    said: str | None = None,
    before: Sequence[str] = (),
    k: int | None = None,
    max_tokens: int = 600,
    speaker: str | None = "user",
    role: str | None = None,
    without: Collection[str] = (),
    explain: bool = False,
) -> Found:
    """What a gate decides about: facts that answer a text, and the turns nearest to it that state something.

    Args:
        memory: Where the facts are.
        hub: Where what was said is.
        text: What is looked for.
        namespaces: Whose memory.
        show: ``auto`` is both.
        said: The words of the turn alone, if ``text`` has more; by default ``text``.
        before: What stood before them, oldest first, each with its speaker.
        k: Most facts, and most turns; None: 8 turns, and as many facts as the block may hold.
        max_tokens: Most tokens of the block.
        speaker: Name under which facts about the person who says "I" are stored.
        role: Who looks at what was said.
        without: Ids of turns that the reader sees already.
        explain: Also tell the facts that had no place.
    """
    check_count(k)
    most = k or _FEW
    facts = Recall(text)
    if show != "turns":
        facts = _facts(memory, text, namespaces, k, max_tokens, speaker, explain)
        facts = _with_sentences(memory, facts, parse_question(text, speaker), role)
    turns: list[Candidate] = []
    for namespace in namespaces if show != "facts" else ():
        found = hub.candidates(text, k=2 * most, without=without, role=role, namespace=namespace)
        turns += [each for each in found if states_something(each.quote)]
    return Found(facts, tuple(turns[:most]), asked_about(text, said or text, before, facts, turns[:most]))


def through(
    found: Found, gate: Decider, *, max_tokens: int, owner: str | None = None, failing: bool = True
) -> Flow[Recall]:
    """What a gate lets through of what was found.

    Nobody is asked where nothing was found, or nothing would fit.

    Args:
        found: What was found.
        gate: Who decides.
        max_tokens: Most tokens of the block.
        owner: Whose memory the block says it is.
        failing: Whether a model that fails is an error; else rules decide, and the decision says so.

    Raises:
        ConfigurationError: The decider gave something else than a judgement of these items.
        ModelError: The decider's model failed, and ``failing`` is set.
    """
    judgement = yield from _judged(found.asked, gate, max_tokens, failing)
    return decided(found.facts, found.turns, found.asked, judgement, max_tokens=max_tokens, owner=owner)


def _judged(asked: Asked, gate: Decider, max_tokens: int, failing: bool) -> Flow[Judgement]:
    if max_tokens == 0:
        return Judgement(False, "a budget of 0 tokens shows nothing", (), "budget")
    if not asked.items:
        return judged_by_rules(asked)
    try:
        judgement = yield from gate.judge(asked)
    except ModelError as error:
        if failing:
            raise
        logger.warning("memory_gate failed with %s; rules decide", reason_of(error))
        return judged_by_rules(asked, f"the model failed ({type(error).__name__}); rules decided")
    if not isinstance(judgement, Judgement):
        raise ConfigurationError(f"the decider gave {type(judgement).__name__}; return a gate.Judgement")
    return judgement


def gated(
    memory: Memory,
    hub: Hub,
    text: str,
    namespaces: Sequence[Namespace],
    *,
    gate: Decider,
    show: Show,
    said: str | None = None,
    before: Sequence[str] = (),
    k: int | None = None,
    max_tokens: int = 600,
    speaker: str | None = "user",
    role: str | None = None,
    without: Collection[str] = (),
    owner: str | None = None,
    explain: bool = False,
    failing: bool = True,
) -> Flow[Recall]:
    """As ``recall``, with a gate: ``look``, then ``through``.

    Raises:
        ConfigurationError: ``max_tokens`` is negative, or see ``through``.
        ModelError: See ``through``.
    """
    if max_tokens < 0:
        raise ConfigurationError(f"max_tokens={max_tokens} of a block cannot be negative; 0 shows nothing")
    found: Found = yield Step(
        lambda: look(
            memory,
            hub,
            text,
            namespaces,
            show=show,
            said=said,
            before=before,
            k=k,
            max_tokens=max_tokens,
            speaker=speaker,
            role=role,
            without=without,
            explain=explain,
        )
    )
    return (yield from through(found, gate, max_tokens=max_tokens, owner=owner, failing=failing))
