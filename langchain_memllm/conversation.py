"""Who said what in a conversation: the person's own words, told from what the harness or a model put there.

A ``HumanMessage`` is not always a person: LangChain's middleware writes summaries and notices as human messages and
marks them (``additional_kwargs["lc_source"]``). Whoever asks for the words of the person asks here. Knows messages
alone: no memory, no run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.messages import BaseMessage, HumanMessage

from langchain_memllm.render import without_blocks
from langchain_memllm.triples import name_key

__all__ = ["is_harness_message", "is_spoken", "other_speaker", "split_turn", "text_of"]


def is_harness_message(message: BaseMessage) -> bool:
    """Whether the harness wrote this human message: a summary, a notice, a pinned text.

    The mark can be forged by a client; all it does is that the message is not written, never that it is trusted.
    """
    return isinstance(message.additional_kwargs.get("lc_source"), str)


def is_spoken(message: BaseMessage) -> bool:
    """Whether a person wrote this message, as far as the conversation tells."""
    return isinstance(message, HumanMessage) and not is_harness_message(message)


def other_speaker(message: BaseMessage, user: str | None) -> str | None:
    """Who says "I" in a human message, if it carries the name of somebody else than the run's user."""
    name = (message.name or "").strip()
    return name if name and name_key(name) != name_key(user or "user") else None


def split_turn(messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], list[BaseMessage], list[BaseMessage]]:
    """What was before this turn, what the person said in it, and what came after that; harness messages are left out.

    The person's words are the last messages they wrote without an answer in between, whatever stands after them.
    """
    messages = [message for message in messages if not is_harness_message(message)]
    last = next((at for at in reversed(range(len(messages))) if is_spoken(messages[at])), None)
    if last is None:
        return messages, [], []
    first = last
    while first > 0 and is_spoken(messages[first - 1]):
        first -= 1
    return messages[:first], messages[first : last + 1], messages[last + 1 :]


def text_of(messages: Iterable[BaseMessage]) -> str:
    """What messages say, without blocks of recalled facts: those are not said, they are remembered."""
    return "\n".join(text for message in messages if (text := without_blocks(str(message.text)).strip()))
