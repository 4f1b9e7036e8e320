"""What a model writes around its answer: thinking, channels, calls of tools as text, values in JSON or nearly so.

Templates and servers differ in what of that they take out of a reply. What they leave in is told apart here, for those
who look for facts in a reply and for those who look for a call. Never raises on a text, linear in its length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "TextCall",
    "arguments_in",
    "call_in_text",
    "decoded",
    "final_text",
    "opening_of_call",
    "spoken",
    "thought_until",
    "without_thinking",
]

# --- thinking and channels --------------------------------------------------------------------------------------------

_THOUGHT: Final = r"(?:\w{1,12}:)?(?:think|thinking|thoughts?|reason|reasoning|reflection|reflect|analysis|scratchpad)"
_OPENS: Final = re.compile(
    rf"<{_THOUGHT}>|◁think▷|\[THINK\]|<\|START_THINKING\|>|<\|begin_of_thought\|>", re.IGNORECASE
)
_CLOSES: Final = re.compile(
    rf"</{_THOUGHT}>|◁/think▷|\[/THINK\]|<\|END_THINKING\|>|<\|end_of_thought\|>", re.IGNORECASE
)
_MESSAGE: Final = re.compile(
    r"(?:<\|start\|>([^<]{0,200}))?<\|channel\|>([^<]{0,200})(?:<\|constrain\|>[^<]{0,40})?<\|message\|>", re.IGNORECASE
)
_ENDS: Final = re.compile(r"<\|(?:end|call|return|start|channel)\|>", re.IGNORECASE)
_BARE_FINAL: Final = re.compile(r"assistant\s*final(?=\W|[A-Z])")  # a server that drops the marks of the channels
_RECIPIENT: Final = re.compile(r"to=(?:functions\.)?([\w.-]+)", re.IGNORECASE)


def spoken(text: str, function: str | None = None) -> str:
    """The text without what was only thought: neither thinking nor an analysis channel is said.

    Args:
        text: A reply.
        function: Text in a channel that calls this function counts as said, too.
    """
    channels = _channels(text)
    if channels:
        wanted = [each.text for each in channels if each.name == "final" or (function and each.recipient == function)]
        text = "\n".join(wanted)
    elif text.startswith("analysis") and (last := [*_BARE_FINAL.finditer(text)]):
        text = text[last[-1].end() :]
    return without_thinking(text)


def final_text(text: str) -> str:
    """The text of the final channel, if the reply has channels; else the text as it is."""
    return spoken(text) if _channels(text) else text


def without_thinking(text: str) -> str:
    """The text after the last tag that ends thinking, opened or not; one that is not closed goes to the end.

    If nothing stands after it, what stands before or between thoughts is the text.
    """
    closings = [*_CLOSES.finditer(text)]
    if closings and (after := _before_thought(text[closings[-1].end() :])).strip():
        return after
    if not closings:
        return _before_thought(text)
    kept, at = "", 0
    for closing in closings:
        opening = _OPENS.search(text, at, closing.start())
        if opening:
            kept += text[at : opening.start()]
        at = closing.end()
    return kept


def _before_thought(text: str) -> str:
    opening = _OPENS.search(text)
    return text[: opening.start()] if opening else text


@dataclass(frozen=True, slots=True)
class _Channel:
    """A message of a reply in channels (gpt-oss)."""

    name: str
    recipient: str
    text: str


def _channels(text: str) -> list[_Channel]:
    """The messages of a reply in channels; none if it has no channels."""
    found = []
    for header in _MESSAGE.finditer(text):
        end = _ENDS.search(text, header.end())
        said = f"{header[1] or ''} {header[2]}"
        name = header[2].split()[0].casefold() if header[2].split() else ""
        recipient = _RECIPIENT.search(said)
        body = text[header.end() : end.start() if end else len(text)]
        found.append(_Channel(name, recipient[1] if recipient else "", body))
    return found


# --- values -----------------------------------------------------------------------------------------------------------

_MAX_LITERAL: Final = 200_000
_TOKEN: Final = re.compile(
    r""""(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'|[A-Za-z_]\w*+(?=\s*+:)|[A-Za-z_]\w*+|,(?=\s*+[\]})])|[()]""",
    re.DOTALL,
)
_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_HEX: Final = re.compile(r"\\x([0-9a-fA-F]{2})")


def decoded(text: str) -> Any:
    """The value of a text that is an object or a list in JSON or in Python's literals; None if it is neither."""
    if text[:1] not in ("{", "[", "("):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(_as_json(text), strict=False) if len(text) <= _MAX_LITERAL else None
    except (ValueError, RecursionError):
        return None


def _as_json(text: str) -> str:
    """Python's literals, bare keys and trailing commas as JSON has them; nothing is evaluated."""
    return _TOKEN.sub(_json_token, text)


def _json_token(token: re.Match[str]) -> str:
    written = token[0]
    if written[0] == "'":
        inside = written[1:-1].replace("\\'", "'").replace('"', '\\"').replace('\\\\"', '\\"')
        return '"' + _HEX.sub(r"\\u00\1", inside) + '"'
    if written[0] == '"':
        return written
    if written in "()":
        return "[" if written == "(" else "]"
    if written == ",":
        return ""
    return _WORDS.get(written) or (f'"{written}"' if _is_key(token) else written)


def _is_key(token: re.Match[str]) -> bool:
    return token.string[token.end() :][:20].lstrip().startswith(":")


# --- calls as text ----------------------------------------------------------------------------------------------------

_MAX_CALL: Final = 20_000
_MAX_VALUES: Final = 50
_MARK: Final = re.compile(
    r"<(?:\w{1,20}:)?tool_calls?>|<\|/?tool_calls?\|>|\[TOOL_CALLS?\]|<function=|<function_calls?>|<\|python_tag\|>"
    r"|<｜tool▁calls?▁begin｜>|<\|tool_calls?_(?:section_)?begin\|>|<\|action_start\|>|<\|START_ACTION\|>"
    r"|<(?:\w{1,20}:)?invoke |<tool_code>|```tool_(?:code|call)|<start_function_call>|^Action:",
    re.IGNORECASE | re.MULTILINE,
)
_PARAMETER: Final = re.compile(
    r"<parameter(?:=|\s+name=[\"'])(\w+)[\"']?>\s*(.*?)\s*</parameter>"
    r"|<arg_key>\s*(\w+)\s*</arg_key>\s*<arg_value>\s*(.*?)\s*</arg_value>"
    r"|\b(\w+)\s*=\s*[\"']([^\"'\n]{0,300})[\"']",
    re.DOTALL,
)
_BRACKET: Final = re.compile(r""""(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+'|[\[{(\]})]""", re.DOTALL)
_CHANNEL: Final = re.compile(r"<\|(?:channel|start)\|>")
_HALF: Final = re.compile(  # the beginning of a mark or a call, as far as it is there
    r"""[<\[`(>{｜]\S{0,40}\Z|[{\[]\s*(?:["']\w{0,20}["']?\s*(?::\s*(?:["'{]\S{0,40}(?:\s*:\s*["']?[\w.]{0,40})?)?)?)?\Z"""
    r"|(?:^|\n)Action?:?\s*\Z"
)
_FENCE_BEFORE: Final = re.compile(r"```\w*\s*\Z")


@dataclass(frozen=True, slots=True)
class TextCall:
    """A call of a tool that a model wrote as text.

    Args:
        before: The text before it.
        arguments: Its arguments, one for each call; none if they cannot be read.
    """

    before: str
    arguments: tuple[Mapping[str, Any], ...]


def call_in_text(text: str, name: str, keys: tuple[str, ...]) -> TextCall | None:
    """The call of a function in a reply's text, in any of the dialects that servers leave there; None if there is none.

    Args:
        text: The reply.
        name: The function.
        keys: Names of arguments; an object with one of them is taken for the arguments.
    """
    channels = _channels(text)
    said = spoken(text)
    if called := [each.text for each in channels if each.recipient == name]:
        return TextCall(said, tuple(arguments_in("\n".join(called), keys)))
    start = _start(said, name, keys)
    if start is None:
        return None
    arguments = tuple(arguments_in(said[start : start + _MAX_CALL], keys))
    before = _FENCE_BEFORE.sub("", said[:start])
    return TextCall(before if before.strip() else "", arguments)


def opening_of_call(text: str, name: str) -> int:
    """Where, in the beginning of a reply, a call or a channel may begin; its length if nowhere yet."""
    thought = thought_until(text)
    said = text[thought:]
    if said.lstrip()[:1] in ("{", "[", "`") or text.lstrip().startswith("analysis"):
        return thought
    named = re.search(rf"(?:>>>\s*|\[\s*)?\b{re.escape(name)}\b", said)
    found = (_MARK.search(said), _CHANNEL.search(said), named, _HALF.search(said), _half_word(said, name))
    start = min((each.start() for each in found if each), default=len(said))
    return thought + (start if said[:start].strip() else 0)


def _half_word(text: str, name: str) -> re.Match[str] | None:
    """The last word, if it may become the name of the function or the mark of an action."""
    word = re.search(r"\b\w{1,40}\Z", text)
    return word if word and (name.startswith(word[0]) or "Action".startswith(word[0])) else None


def thought_until(text: str) -> int:
    """Where the thinking that a reply shows ends; its length if it does not end, 0 if there is none."""
    closings = [*_CLOSES.finditer(text)]
    end = closings[-1].end() if closings else 0
    return len(text) if _OPENS.search(text, end) else end


def _start(said: str, name: str, keys: tuple[str, ...]) -> int | None:
    """Where a call begins: at a mark with the name after it, at a mark that begins the text, or at a bare call."""
    quoted = rf"[\"'](?:functions\.)?{re.escape(name)}[\"']"
    whole = decoded(re.sub(r"\A```\w*\s*|\s*```\Z", "", said.strip()))
    if whole is not None and ((isinstance(whole, dict) and keys[0] in whole) or re.search(quoted, said)):
        return 0
    bare = re.search(
        rf"(?:\[\s*)?(?<![\w`]){re.escape(name)}\s*\(|>>>\s*{re.escape(name)}\b"
        rf"|(?:\[\s*)?\{{\s*[\"']\w{{1,20}}[\"']\s*:\s*(?:\{{\s*[\"']name[\"']\s*:\s*)?{quoted}",
        said,
    )
    mark = _MARK.search(said)
    if mark and (re.search(rf"\b{re.escape(name)}\b", said[mark.start() :]) or not said[: mark.start()].strip()):
        return min(mark.start(), bare.start()) if bare else mark.start()
    return bare.start() if bare else None


def arguments_in(written: str, keys: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    """Objects with one of the keys, in the values of a text; else its parameters, if they are written one by one."""
    found = [each for value in _values(written) for each in _with_key(value, keys)]
    if not found:
        pairs = {key: value for match in _PARAMETER.finditer(written) for key, value in _pair(match)}
        found = [pairs] if any(key in pairs for key in keys) else []
    yield from found


def _pair(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    for at in (1, 3, 5):
        if match[at]:
            yield match[at], match[at + 1]


def _with_key(value: Any, keys: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    todo = [(value, 0)]
    while todo:
        at, depth = todo.pop()
        if isinstance(at, dict):
            lowered = {str(key).strip().lower(): each for key, each in at.items()}
            if any(key in lowered for key in keys):
                yield lowered
            else:
                todo += [(each, depth) for each in reversed(list(at.values()))]
        elif isinstance(at, list):
            todo += [(each, depth) for each in reversed(at)]
        elif isinstance(at, str) and depth < 3 and (inner := decoded(at.strip())) is not None:
            todo.append((inner, depth + 1))


def _values(text: str) -> Iterator[Any]:
    """The values in a text, outermost first; one that cannot be read is looked into."""
    at = 0
    for _ in range(_MAX_VALUES):
        opening = re.compile(r"[\[{]").search(text, at)
        if opening is None:
            return
        end = _closing(text, opening.start())
        value = decoded(text[opening.start() : end]) if end else None
        at = opening.end() if value is None else end or len(text)
        if value is not None:
            yield value


def _closing(text: str, at: int) -> int | None:
    """The end of the value that opens there."""
    depth = 0
    for bracket in _BRACKET.finditer(text, at):
        if bracket[0][0] in "[{(":
            depth += 1
        elif bracket[0][0] in "]})":
            depth -= 1
            if depth == 0:
                return bracket.end()
    return None
