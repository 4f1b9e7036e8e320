"""What a text recalls: facts, what was said, or both, and the block that shows them to a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias, get_args

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.render import approximate_tokens, render
from langchain_memllm.triples import Namespace, Recall

__all__ = ["Show", "check_show", "recall"]

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
