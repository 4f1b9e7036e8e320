"""Who said what in a conversation: the person's own words, told from what the harness or a model put there.

A ``HumanMessage`` is not always a person: LangChain's middleware writes summaries and notices as human messages and
marks them (``additional_kwargs["lc_source"]``). Nor is it always the run's user: in a conversation of several people
``HumanMessage(name="bob")`` is Bob's. Whoever asks for the words of the person asks here. Knows messages alone: no
memory, no run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from langchain_core.messages import BaseMessage, HumanMessage

from langchain_memllm.factindex import NO_SPACES
from langchain_memllm.render import without_blocks
from langchain_memllm.speaker import is_speaker
from langchain_memllm.triples import MAX_NAME, name_key

__all__ = [
    "is_harness_message",
    "is_spoken",
    "mentions",
    "other_speaker",
    "own_words",
    "said_at",
    "split_turn",
    "text_of",
]


def is_harness_message(message: BaseMessage) -> bool:
    """Whether the harness wrote this human message: a summary, a notice, a pinned text.

    The mark can be forged by a client; all it does is that the message is not written, never that it is trusted.
    """
    return isinstance(message.additional_kwargs.get("lc_source"), str)


def is_spoken(message: BaseMessage) -> bool:
    """Whether a person wrote this message, as far as the conversation tells."""
    return isinstance(message, HumanMessage) and not is_harness_message(message)


def said_at(message: BaseMessage) -> datetime | None:
    """When a message was written, if it says so: an ISO time or seconds since 1970 under one of the usual names."""
    for noted in (message.additional_kwargs, message.response_metadata):
        for name in _TIMES:
            if (moment := _moment(noted.get(name))) is not None:
                return moment
    return None


def _moment(value: object) -> datetime | None:
    """A time as clients write it; None if it is none."""
    try:
        if isinstance(value, datetime):
            return value
        if isinstance(value, str) and len(value) > len("2026-11-29"):
            return datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


_TIMES: Final = ("timestamp", "created_at", "sent_at", "createdAt", "sentAt")
_MILLISECONDS: Final = 1e11  # seconds of the year 5138; clients of JavaScript count in milliseconds


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


def other_speaker(message: BaseMessage, user: str | None, own_names: Collection[str] = ()) -> str | None:
    """Who says "I" in a human message, if it carries the name of somebody else than the run's user; else None.

    What another person says is about that name, has the rank of a tool, and no principal: whoever sends the messages
    of a run could put any name on them.

    Args:
        message: A human message.
        user: The run's user; None if it names none.
        own_names: What the user is called, once they have stated it.
    """
    plain = "".join(c for c in message.name or "" if unicodedata.category(c) not in ("Cc", "Cs"))
    name = " ".join(plain.split())[:MAX_NAME]
    if not (message.name or "").strip() or is_speaker(name, own_names):
        return None
    is_user = user is not None and name_key(name) == name_key(user)
    return None if is_user else name or "somebody else"


def own_words(messages: Sequence[BaseMessage], user: str | None, own_names: Collection[str] = ()) -> str:
    """What the run's user said in the last turn of a conversation; not what others said in it."""
    said = split_turn(messages)[1]
    return text_of(message for message in said if other_speaker(message, user, own_names) is None)


def mentions(text: str, name: str) -> bool:
    """Whether a name stands in a text, by its key and as words of its own: "Oslo" in "in Oslo's port", not "team"."""
    key, folded = name_key(" ".join(name.split())), name_key(" ".join(text.split()))
    at = folded.find(key) if key else -1
    while at >= 0:
        end = at + len(key)
        if _ends_here(folded[at - 1 : at], key[0]) and _ends_here(folded[end : end + 1], key[-1]):
            return True
        at = folded.find(key, at + 1)
    return False


def _ends_here(beside: str, edge: str) -> bool:
    """Whether a word ends between two characters; scripts without spaces do not tell, nor Korean with its particles."""
    return not beside.isalnum() or any(_UNBOUND.match(c) for c in (beside, edge))


_UNBOUND: Final = re.compile(rf"[{NO_SPACES}\uac00-\ud7af]")
