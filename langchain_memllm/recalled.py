"""What a text recalls: facts, what was said, or both, and the block that shows them to a model; with a gate or without.

Without a gate what was said has to say enough of the text to be shown. With one (``gate``) what was found goes to a
decider, which says whether the turn needs memory, and what of it is left out, shown in part, or whole.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from langchain_memllm.errors import ConfigurationError, ModelError, reason_of
from langchain_memllm.flow import Flow, Step
from langchain_memllm.gate import Asked, Decider, Judgement, asked_about, decided, judged_by_rules, states_something
from langchain_memllm.hub import Candidate, Hub
from langchain_memllm.memory import Memory
from langchain_memllm.render import approximate_tokens, render
from langchain_memllm.triples import Namespace, Recall

__all__ = ["Found", "Show", "check_show", "gated", "look", "recall", "through"]

logger = logging.getLogger(__name__)

Show: TypeAlias = Literal["auto", "facts", "turns"]
"""What is recalled: facts, what the person said, or both where a memory keeps what was said."""

_SHOWS: Final[tuple[Show, ...]] = get_args(Show)


def check_show(show: object) -> Show:
    """The value, checked.

    Raises:
        ConfigurationError: It is none of ``Show``.
    """
    for known in _SHOWS:
        if show == known:
            return known
    raise ConfigurationError(f"show={show!r} is unknown; use {', '.join(map(repr, _SHOWS))}")


def recall(
    memory: Memory,
    hub: Hub,
    text: str,
    namespaces: Sequence[Namespace],
    *,
    show: Show,
    k: int = 8,
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
        k: Most facts, and most quotes.
        max_tokens: Most tokens of the block.
        speaker: Name under which facts about the person who says "I" are stored.
        role: Who looks at what was said.
        without: Ids of turns that the reader sees already.
        owner: Whose memory the block says it is.
        explain: Also tell the facts that had no place.
    """
    found = memory.recall(text, namespace=list(namespaces), k=k, speaker=speaker, explain=explain)
    if show == "turns":
        found = Recall(text)
    if show != "facts":
        quotes = [
            quote
            for namespace in namespaces
            for quote in hub.quoted(found, k=k, without=without, role=role, namespace=namespace).quotes
        ]
        found = replace(found, quotes=tuple(quotes[:k]))
    block = render(found, max_tokens, owner=owner)
    return replace(found, block=block, tokens=approximate_tokens(block))


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
    k: int = 8,
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
        k: Most facts, and most turns.
        speaker: Name under which facts about the person who says "I" are stored.
        role: Who looks at what was said.
        without: Ids of turns that the reader sees already.
        explain: Also tell the facts that had no place.
    """
    facts = memory.recall(text, namespace=list(namespaces), k=k, speaker=speaker, explain=explain)
    facts = Recall(text) if show == "turns" else facts
    turns: list[Candidate] = []
    for namespace in namespaces if show != "facts" else ():
        found = hub.candidates(text, k=2 * k, without=without, role=role, namespace=namespace)
        turns += [each for each in found if states_something(each.quote)]
    return Found(facts, tuple(turns[:k]), asked_about(text, said or text, before, facts, turns[:k]))


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
    k: int = 8,
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
            speaker=speaker,
            role=role,
            without=without,
            explain=explain,
        )
    )
    return (yield from through(found, gate, max_tokens=max_tokens, owner=owner, failing=failing))
