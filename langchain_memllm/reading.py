"""Interleaved reading without I/O: what to do next while a model generates and asks its memory.

A model writes text, opens a call just before a name it wants to look up, writes the query, gets the answers pasted in
and goes on (arXiv 2404.11672, section 3.2). ``Reading`` is the state of that as a plain value that can be saved at any
point; ``next_action`` says what it waits for and ``advance`` what an event makes of it. Who generates, who looks up and
where the state is kept is the drivers' business; nothing here knows a model, a store or a graph.

The rules, all of them here:

* One live call in context: the previous one is taken out of the context when a new one opens. The answer keeps all.
* At most ``queries`` queries a call (the first ones; good queries are kept, bad ones dropped) and ``results`` answers.
* A call is *withdrawn* when it cannot be parsed or is cut off, asks what the last successful call asked, finds nothing,
  or finds too much; or when the memory fails. Then the text goes on where the call was, and none may open for one step.
* Text tokens, tokens of a call and characters of its answers have separate budgets; calls are capped, withdrawn ones
  included, so every reading ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import (
    END,
    READ_OPEN,
    READ_WAIT,
    SEP,
    START,
    WAIT,
    parse_queries,
    render_names,
    render_queries,
)
from langchain_memllm.triples import Query, ReadResult

__all__ = [
    "NOTHING",
    "Action",
    "Call",
    "Done",
    "Event",
    "Generate",
    "Generated",
    "Lookup",
    "Reading",
    "Results",
    "Rules",
    "Segment",
    "Started",
    "advance",
    "next_action",
    "queries_of",
]

NOTHING: Final = "nothing stored"
"""What a reader with ``tell_empty`` is shown in place of answers."""

Phase = Literal["text", "query", "lookup", "done"]
Why = Literal["malformed", "cut off", "repeated", "blocked", "empty", "too broad", "failed"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Budgets and choices of one reading.

    Args:
        text_tokens: New tokens of text in all, as the driver counts them.
        call_tokens: Tokens of the queries of one call.
        result_characters: Characters of the answers pasted into one call; answers that do not fit are left out.
        calls: Calls that may be opened, withdrawn ones included.
        queries: Queries of one call (the paper's 3).
        results: Answers of one call; more is too broad (the paper's 30).
        stop: Texts that end the answer, not part of it.
        tell_empty: Show ``NOTHING`` instead of withdrawing a call without answers (the paper withdraws).
        spaced: Rendering style that the reader was trained with (see ``grammar.render_read``).
    """

    text_tokens: int = 256
    call_tokens: int = 64
    result_characters: int = 2_000
    calls: int = 8
    queries: int = 3
    results: int = 30
    stop: tuple[str, ...] = ()
    tell_empty: bool = False
    spaced: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("text_tokens", "call_tokens", "result_characters", "queries", "results"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)} of a reading must be at least 1")
        if self.calls < 0:
            raise ConfigurationError(f"calls={self.calls} of a reading cannot be negative; 0 allows none")
        if not all(self.stop):
            raise ConfigurationError("a stop text of a reading is empty; leave it out")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of context that is tokenised on its own; ``ids`` are its tokens where the model wrote them itself."""

    text: str
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was opened: its place, what it asked, what was found, and why it was withdrawn, if it was.

    Args:
        piece: How many pieces of text stand before it.
        written: The queries as the model wrote them.
        queries: Those that were asked.
        results: For each query, the names found.
        pasted: The names pasted into the context: those of all queries, each once, within the budgets.
        withdrawn: Why it is not in the text, or None.
        message: What the driver wants to keep with the call, as JSON has it: the model's own message.
    """

    piece: int
    written: str
    queries: tuple[Query, ...] = ()
    results: tuple[tuple[str, ...], ...] = ()
    pasted: tuple[str, ...] = ()
    withdrawn: Why | None = None
    message: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Generate:
    """The model should go on after ``segments``.

    ``stop``: texts that end the step, in any place of any token; they are not part of what is generated. ``calls``:
    whether ``({`` may be written (``not_first``: not as the first thing). ``max_tokens``: what is left of the budget.
    """

    segments: tuple[Segment, ...]
    stop: tuple[str, ...]
    max_tokens: int
    calls: Literal["allowed", "not_first", "never"] = "allowed"

    @property
    def query(self) -> bool:
        """Whether the queries of a call are to be written, not text."""
        return self.segments[-1].text == READ_OPEN

    @property
    def context(self) -> str:
        """The segments as one text."""
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Lookup:
    """The memory should answer these queries."""

    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The reading is over.

    Args:
        text: The answer, without calls and without the prompt.
        annotated: The same with the successful calls inline.
        calls: Every call that was opened.
        reason: ``end`` (the model ended), ``stop`` (a stop text), ``length`` (budget), ``calls`` (cap of calls, and
            the driver could not keep the model from opening another).
    """

    text: str
    annotated: str
    calls: tuple[Call, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """Nothing happened yet, or the state was just loaded."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What the model wrote, up to a stop text.

    Args:
        text: The text, without the stop text.
        reason: ``stop``, ``end`` (end-of-text token) or ``length``.
        stop: The stop text that was found, if any.
        ids: Token ids of exactly ``text``, for drivers that know them.
        tokens: What it costs of the budget; the number of ``ids`` if not given, else a quarter of the characters.
        message: Kept with the call that this opens or asks, see ``Call``.
    """

    text: str
    reason: Literal["stop", "end", "length"]
    stop: str = ""
    ids: tuple[int, ...] = ()
    tokens: int | None = None
    message: Mapping[str, Any] | None = None

    @property
    def cost(self) -> int:
        """Tokens to charge."""
        if self.tokens is not None:
            return max(0, self.tokens)
        return len(self.ids) or -(-len(self.text) // 4)


@dataclass(frozen=True, slots=True)
class Results:
    """Names found for each query, best first; ``truncated`` when the memory had more than it returned.

    ``failed``: the memory could not be asked; nothing is known of what it holds.
    """

    answers: tuple[tuple[str, ...], ...]
    truncated: bool = False
    failed: bool = False

    @classmethod
    def of(cls, results: Iterable[ReadResult]) -> Results:
        """From what ``Memory.read`` returned for the queries, in their order."""
        results = tuple(results)
        return cls(tuple(result.answers for result in results), any(result.truncated for result in results))


Event = Started | Generated | Results
Action = Generate | Lookup | Done


@dataclass(frozen=True, slots=True)
class Reading:
    """The whole state of a reading. Build with ``Reading.start``; ``as_dict`` and ``from_dict`` are JSON-ready."""

    prompt: str
    rules: Rules = field(default_factory=Rules)
    phase: Phase = "text"
    pieces: tuple[Segment, ...] = ()
    calls: tuple[Call, ...] = ()
    live: int | None = None
    blocked: bool = False
    asked: tuple[Query, ...] = ()
    written: str = ""
    text_tokens: int = 0
    reason: str = ""
    message: Mapping[str, Any] | None = None

    @classmethod
    def start(cls, prompt: str, rules: Rules | None = None) -> Reading:
        """Begin after ``prompt``; if it ends in ``({`` (or ``({MEM_READ(``) the first thing is a call: a forced read.

        Raises:
            ConfigurationError: The prompt is empty.
        """
        rules = rules or Rules()
        body = prompt.removesuffix(READ_OPEN).removesuffix(START)
        if not body:
            raise ConfigurationError("the prompt of a reading is empty; give the text the model should continue")
        forced = body != prompt and rules.calls > 0
        return cls(body, rules, phase="query" if forced else "text")

    @property
    def text(self) -> str:
        """What was generated so far, without calls."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def annotated(self) -> str:
        """What was generated so far, successful calls inline."""
        parts: list[str] = []
        for number in range(len(self.pieces) + 1):
            kept = (call for call in self.calls if call.piece == number and call.withdrawn is None)
            parts += [segment.text for call in kept for segment in self._rendered(call)]
            parts += [piece.text for piece in self.pieces[number : number + 1]]
        return "".join(parts)

    @property
    def context(self) -> tuple[Segment, ...]:
        """What the model sees: the prompt, the text, and the live call in its place."""
        before = len(self.pieces) if self.live is None else self.calls[self.live].piece
        call = () if self.live is None else self._rendered(self.calls[self.live])
        return (Segment(self.prompt), *self.pieces[:before], *call, *self.pieces[before:])

    def _rendered(self, call: Call) -> tuple[Segment, ...]:
        spaced = self.rules.spaced
        parts = (
            READ_OPEN,
            render_queries(call.queries, spaced=spaced),
            READ_WAIT,
            render_names(call.pasted, spaced=spaced),
            END,
        )
        return tuple(Segment(part) for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        """Plain strings, numbers, lists and dicts; ``from_dict`` is the inverse, also after a trip through JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reading:
        """Inverse of ``as_dict``.

        Raises:
            ConfigurationError: Not a saved reading.
        """
        try:
            return cls(
                prompt=data["prompt"],
                rules=Rules(**{**data["rules"], "stop": tuple(data["rules"]["stop"])}),
                phase=data["phase"],
                pieces=tuple(Segment(piece["text"], tuple(piece["ids"])) for piece in data["pieces"]),
                calls=tuple(_call(call) for call in data["calls"]),
                live=data["live"],
                blocked=data["blocked"],
                asked=tuple(Query(**query) for query in data["asked"]),
                written=data["written"],
                text_tokens=data["text_tokens"],
                reason=data["reason"],
                message=data.get("message"),
            )
        except (KeyError, TypeError) as error:
            raise ConfigurationError(f"this is not a saved reading ({error!r}); start a new one") from error


def _call(data: Mapping[str, Any]) -> Call:
    return Call(
        piece=data["piece"],
        written=data["written"],
        queries=tuple(Query(**query) for query in data["queries"]),
        results=tuple(tuple(names) for names in data["results"]),
        pasted=tuple(data["pasted"]),
        withdrawn=data["withdrawn"],
        message=data.get("message"),
    )


def next_action(reading: Reading) -> Action:
    """What the reading waits for. Pure, so a process that loads a saved reading goes on where another one stopped."""
    rules = reading.rules
    match reading.phase:
        case "done":
            return Done(reading.text, reading.annotated, reading.calls, reading.reason)
        case "lookup":
            return Lookup(reading.asked)
        case "query":
            return Generate((*reading.context, Segment(READ_OPEN)), (WAIT, END, "\n"), rules.call_tokens, "never")
        case _:
            calls: Literal["allowed", "not_first", "never"] = "not_first" if reading.blocked else "allowed"
            if len(reading.calls) >= rules.calls:
                calls = "never"
            left = rules.text_tokens - reading.text_tokens
            return Generate(reading.context, (START, *rules.stop), left, calls)


def advance(reading: Reading, event: Event) -> tuple[Reading, Action]:
    """The reading after an event, and what it waits for now. A finished reading stays finished.

    Raises:
        ConfigurationError: The event is not what the reading waits for.
    """
    if reading.phase != "done":
        match event:
            case Started():
                pass
            case Generated() if reading.phase == "text":
                reading = _after_text(reading, event)
            case Generated() if reading.phase == "query":
                reading = _after_query(reading, event)
            case Results() if reading.phase == "lookup":
                reading = _after_lookup(reading, event)
            case _:
                waits = type(next_action(reading)).__name__
                raise ConfigurationError(f"the reading waits for the outcome of {waits}, got {type(event).__name__}")
    return reading, next_action(reading)


def _after_text(reading: Reading, event: Generated) -> Reading:
    """Text was added; it ended, or a call opens."""
    rules, was_blocked = reading.rules, reading.blocked
    if event.text:
        reading = replace(
            reading,
            pieces=(*reading.pieces, Segment(event.text, event.ids)),
            text_tokens=reading.text_tokens + event.cost,
            blocked=False,
        )
    if event.stop != START:
        return replace(reading, phase="done", reason=event.reason)
    if reading.text_tokens >= rules.text_tokens:
        return replace(reading, phase="done", reason="length")
    if len(reading.calls) >= rules.calls:
        return replace(reading, phase="done", reason="calls")
    if was_blocked and not event.text:  # a driver that cannot forbid the call: refuse it here
        return _withdraw(reading, Call(len(reading.pieces), "", withdrawn="blocked", message=event.message))
    return replace(reading, phase="query", live=None)


def queries_of(written: str) -> tuple[Query, ...]:
    """The queries of a call as the model wrote them, up to its bracket; what cannot be parsed is left out."""
    return tuple(parse_queries(written.rstrip().removesuffix(")")).good)


def _after_query(reading: Reading, event: Generated) -> Reading:
    """A query was written: ask it, or withdraw the call."""
    call = Call(len(reading.pieces), event.text, message=event.message)
    if event.reason != "stop":
        return _withdraw(reading, replace(call, withdrawn="cut off"))
    queries = tuple(dict.fromkeys(queries_of(event.text)))[: reading.rules.queries]
    asks = event.stop == WAIT or event.text.rstrip().endswith(SEP + ")")  # the second closes the call too early
    if not asks or not queries:
        return _withdraw(reading, replace(call, withdrawn="malformed"))
    last = next((earlier.queries for earlier in reversed(reading.calls) if earlier.withdrawn is None), ())
    if queries == last:
        return _withdraw(reading, replace(call, queries=queries, withdrawn="repeated"))
    return replace(reading, phase="lookup", asked=queries, written=event.text, message=event.message)


def _after_lookup(reading: Reading, event: Results) -> Reading:
    """Answers came: paste them, or withdraw the call."""
    call = Call(len(reading.pieces), reading.written, reading.asked, event.answers, message=reading.message)
    if event.failed:
        return _withdraw(reading, replace(call, results=(), withdrawn="failed"))
    if len(event.answers) != len(reading.asked):
        raise ConfigurationError(
            f"{len(reading.asked)} queries were asked, but {len(event.answers)} lists of names came"
        )
    names = tuple(dict.fromkeys(name for answers in event.answers for name in answers))
    if event.truncated or len(names) > reading.rules.results:
        return _withdraw(reading, replace(call, withdrawn="too broad"))
    pasted = _fitting(names, reading.rules)
    if not names and reading.rules.tell_empty:
        pasted = (NOTHING,)
    if not pasted:
        return _withdraw(reading, replace(call, withdrawn="too broad" if names else "empty"))
    calls = (*reading.calls, replace(call, pasted=pasted))
    return replace(reading, phase="text", calls=calls, live=len(calls) - 1, asked=(), written="", message=None)


def _fitting(names: Sequence[str], rules: Rules) -> tuple[str, ...]:
    """The longest beginning of ``names`` that fits the budget when rendered."""
    kept: list[str] = []
    for name in names:
        if len(render_names([*kept, name], spaced=rules.spaced)) > rules.result_characters:
            break
        kept.append(name)
    return tuple(kept)


def _withdraw(reading: Reading, call: Call) -> Reading:
    """The call leaves the context, the text goes on in its place, and no call may open for one step."""
    calls = (*reading.calls, call)
    return replace(reading, phase="text", calls=calls, live=None, blocked=True, asked=(), written="", message=None)
