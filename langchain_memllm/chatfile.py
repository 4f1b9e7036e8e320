"""Conversations as others keep them, read as turns: messages of OpenAI and LangChain, LoCoMo, BEAM.

Which of these a file is, its own form tells. Dates are taken where a message or session has them; who speaks, too.
Ids follow from the conversation and the message, so a file that is read again is kept once. Knows no store.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores.episodes import Turn, checked
from langchain_memllm.times import written
from langchain_memllm.triples import Kind

__all__ = ["MAX_BYTES", "read_chat", "read_json", "turns_in"]

MAX_BYTES: Final = 1 << 29
"""Most bytes of a file of conversations."""

_ROLES: Final = {"human": "user", "user": "user", "ai": "assistant", "assistant": "assistant", "tool": "tool"}
_ROLES_LEFT_OUT: Final = frozenset({"system", "developer", "remove", "function"})
_KINDS: Final[dict[str, Kind]] = {"user": "user", "assistant": "model", "tool": "tool"}
_TIMES: Final = (
    "at",
    "timestamp",
    "created_at",
    "create_time",
    "sent_at",
    "createdAt",
    "sentAt",
    "time_anchor",
    "date",
)
_SESSION: Final = re.compile(r"session_(\d+)")
_BEAM_MARK: Final = re.compile(r"\s*->->\s*[\d,.\s]*$")
_MILLISECONDS: Final = 1e11
_FORMS: Final = ("%I:%M %p on %d %B, %Y", "%B-%d-%Y", "%Y/%m/%d (%a) %H:%M", "%Y-%m-%d")


def read_chat(path: Path, *, thread: str | None = None) -> list[Turn]:
    """The turns of a file, in order.

    Args:
        path: A JSON file or JSON lines, also with gzip.
        thread: The conversation, where the file does not name it; by default the file's name.

    Raises:
        ConfigurationError: The file cannot be read, or holds no conversation of a known form.
    """
    name = path.name.removesuffix(".gz").removesuffix(".json").removesuffix(".jsonl")
    return turns_in(read_json(path), thread or name)


def read_json(path: Path) -> Any:
    """What a file holds: JSON, or the list of its lines.

    Args:
        path: A JSON file or JSON lines, also with gzip.

    Raises:
        ConfigurationError: The file cannot be read, is neither, or is too large.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error}); check the path, and that the file is whole"
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{path} has more than {MAX_BYTES >> 20} MB; split it into several files")
    return _parsed(data, path)


def turns_in(value: object, thread: str) -> list[Turn]:
    """The turns of a conversation, or of several, as they were parsed.

    Args:
        value: A list of messages; a mapping with ``messages``; LoCoMo's and BEAM's forms; or a list of these.
        thread: What the conversation is called if it does not say.

    Raises:
        ConfigurationError: It has none of these forms; the first message that does not is named.
    """
    turns = [checked(turn) for turn in _conversation(value, thread)]
    if not turns:
        raise ConfigurationError(
            "there is no message with a text in it; known are lists of messages as OpenAI and LangChain write them, "
            "mappings with 'messages', LoCoMo and BEAM"
        )
    return turns


def _parsed(data: bytes, path: Path) -> object:
    try:
        text = data.decode("utf-8-sig")
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is neither JSON nor JSON lines in UTF-8 ({error}); mend it") from error


def _conversation(value: object, thread: str) -> Iterator[Turn]:
    if isinstance(value, Mapping):
        thread = str(value.get("thread_id") or value.get("thread") or value.get("sample_id") or thread)
        inner = value.get("conversation")
        if isinstance(inner, Mapping) and any(map(_SESSION.fullmatch, inner)):
            yield from _locomo(inner, thread)
        elif isinstance(value.get("messages"), list):
            yield from _messages(value["messages"], thread)
        elif "content" in value or "data" in value:
            yield from _messages([value], thread)
        else:
            raise ConfigurationError(
                f"a mapping with {', '.join(sorted(map(ascii, value))[:5]) or 'nothing'} is not a conversation; known "
                "are 'messages', 'conversation' (LoCoMo), and messages themselves"
            )
    elif isinstance(value, list) and value and all(map(_is_conversation, value)):
        for number, each in enumerate(value, start=1):
            yield from _conversation(each, f"{thread}/{number}")
    elif isinstance(value, list):
        yield from _messages(value, thread)
    else:
        raise ConfigurationError(f"{type(value).__name__} is not a conversation; give a list of messages")


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, Mapping) and ("messages" in value or "conversation" in value))


def _messages(messages: Sequence[object], thread: str) -> Iterator[Turn]:
    """Messages as OpenAI, LangChain (``messages_to_dict``, ``model_dump``) and BEAM write them."""
    marked = False  # BEAM's makers end a message with a mark of theirs
    last = ""  # BEAM dates the first message of a day; those after it were said then, too
    for number, given in enumerate(messages):
        message = given.get("data") if isinstance(given, Mapping) and isinstance(given.get("data"), Mapping) else given
        role = given.get("role") or given.get("type") if isinstance(given, Mapping) else None
        if not isinstance(message, Mapping) or not isinstance(role, str) or "content" not in message:
            where = ascii(thread)[:60]
            raise ConfigurationError(f"message {number} of {where} has no role (or type) and content; mend it")
        if role in _ROLES_LEFT_OUT:
            continue
        last = _moment(message) or last
        text = _text(message["content"])
        if marked := "time_anchor" in message or marked:
            text = _BEAM_MARK.sub("", text)
        name, spoken = message.get("name"), _ROLES.get(role, role)
        if text:
            said = message.get("id")
            named = str(said if said is not None else f"#{number}")
            yield _turn(thread, named, text, last, spoken, name if isinstance(name, str) else None)


def _locomo(conversation: Mapping[str, Any], thread: str) -> Iterator[Turn]:
    """Sessions of two people; each session is a thread of its own."""
    first = conversation.get("speaker_a")
    numbers = sorted(int(found[1]) for found in map(_SESSION.fullmatch, conversation) if found)
    for number in numbers:
        when = _read(conversation.get(f"session_{number}_date_time")) or ""
        for place, message in enumerate(conversation[f"session_{number}"]):
            if not isinstance(message, Mapping) or not isinstance(message.get("text"), str):
                raise ConfigurationError(f"message {place} of session_{number} has no text; mend it")
            speaker = str(message.get("speaker") or "")
            turn = _turn(
                f"{thread}/session_{number}",
                str(message.get("dia_id") or place),
                message["text"],
                when,
                "user",
                speaker,
            )
            yield turn if speaker == first else _by_another(turn)


def _turn(thread: str, message: str, text: str, at: str, role: str, speaker: str | None) -> Turn:
    kind = _KINDS.get(role, "tool")
    ref = f"{thread}/{message}"[:1024]
    return Turn(Turn.named(thread, message), thread, text, at, role, speaker or None, kind, ref)


def _by_another(turn: Turn) -> Turn:
    return Turn(turn.id, turn.thread, turn.text, turn.at, turn.role, turn.speaker, "tool", turn.ref)


def _text(content: object) -> str:
    """The text of a message: itself, or its blocks of text."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [
        block if isinstance(block, str) else block.get("text") for block in blocks if isinstance(block, str | dict)
    ]
    return "\n".join(text for text in texts if isinstance(text, str))


def _moment(message: Mapping[str, Any]) -> str:
    """When a message was said, if it tells."""
    inner = [message.get(name) for name in ("additional_kwargs", "response_metadata", "metadata")]
    for noted in (message, *(each for each in inner if isinstance(each, Mapping))):
        for name in _TIMES:
            if (moment := _read(noted.get(name))) is not None:
                return moment
    return ""


def _read(value: object) -> str | None:
    """A time as files write it; None if it is none."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return written(datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC))
        if isinstance(value, str):
            return written(_parsed_time(value.strip()))
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _parsed_time(value: str) -> datetime:
    """A time in ISO, or in one of the forms of the data sets.

    Raises:
        ValueError: In none of them.
    """
    for form in _FORMS:
        try:
            return datetime.strptime(value, form)
        except ValueError:
            continue
    return datetime.fromisoformat(value)
