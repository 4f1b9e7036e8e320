"""What happens in a turn of a conversation: what was said is written, what it recalls is shown, queries are answered.

Used by the nodes of the graph and by the middleware; knows messages and a run's config, and no graph. A turn may be
handed in twice, after a restart or by two nodes, and a model may then answer otherwise; so an operation is named after
the messages it is made from, and its receipt is looked up before the model is asked.

A memory that fails does not take the run with it (``on_error="warn"``): one log line, one event, an answer without
memory. A run without a namespace, a cancellation and an interrupt are never swallowed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.errors import GraphBubbleUp

from langchain_memllm.chat import MEMORY_READ, LocalReader, Reader, Step, with_block
from langchain_memllm.conversation import split_turn, text_of
from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.extraction import Extraction, Extractor
from langchain_memllm.local.leading import held_by
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Generate, Lookup, Reading, Results, advance, next_action
from langchain_memllm.render import render
from langchain_memllm.scope import Scope
from langchain_memllm.triples import Kind, Namespace, Query, Receipt, Source, stable_hash

__all__ = [
    "Answerer",
    "Lookups",
    "OnError",
    "Recaller",
    "TurnWriter",
    "as_state",
    "emit",
    "fail_open",
]

logger = logging.getLogger(__name__)

OnError = Literal["warn", "raise"]

_CONTEXT_MESSAGES: Final = 6


def emit(runtime: Any, event: str, **values: Any) -> None:
    """Send an event to ``stream_mode="custom"``: ids and counts only. Outside of a run it goes nowhere."""
    writer = getattr(runtime, "stream_writer", None)
    if writer is not None:
        writer({"type": "memllm", "event": event, **values})


@contextmanager
def fail_open(where: str, on_error: OnError, runtime: Any) -> Iterator[None]:
    """Let a run go on without memory when memory fails: one log line and one event instead of the error.

    Never swallowed are a missing namespace, interrupts of the graph, and what is no ``Exception`` (cancellation).
    """
    try:
        yield
    except (NamespaceError, GraphBubbleUp):
        raise
    except Exception as error:
        if on_error == "raise":
            raise
        logger.warning("%s failed with %s; the run goes on without memory", where, type(error).__name__)
        emit(runtime, "error", where=where, error=type(error).__name__)


def _check_on_error(on_error: str) -> OnError:
    if on_error not in get_args(OnError):
        raise ConfigurationError(f"on_error={on_error!r} is unknown; use 'warn' or 'raise'")
    return cast(OnError, on_error)


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """One operation of a turn: what to extract from, where it comes from, and its name."""

    op_id: str | None
    text: str
    context: tuple[str, ...]
    source: Source
    namespace: Namespace


class TurnWriter:
    """Writes what was said in a turn: one operation, and one call of the extraction model, per turn.

    The operation is named after namespace, thread, message ids and text, so a turn that is delivered again (a restart,
    a second node) writes nothing and asks no model. What the assistant said is not written unless ``answers`` is set,
    and then with the rank of a model: it may repeat what was recalled.

    Args:
        memory: Where to write.
        scope: Whose memory a run uses.
        extractor: Finds the statements.
        answers: Also write what the assistant said, as kind ``model``.
        on_error: ``warn`` lets the run go on when memory or extraction fail.
    """

    def __init__(
        self,
        memory: Memory,
        scope: Scope,
        extractor: Extractor,
        *,
        answers: bool = False,
        on_error: OnError = "warn",
    ) -> None:
        """Keep the pieces."""
        self.memory, self.scope, self.extractor = memory, scope, extractor
        self.answers, self.on_error = answers, _check_on_error(on_error)

    def write(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> list[Receipt]:
        """Write the last turn of a conversation.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        receipts: list[Receipt] = []
        for job in self._jobs(messages, config, runtime):
            with fail_open("memory_write", self.on_error, runtime):
                receipt = self._done(job)
                if receipt is None:
                    found = self.extractor.extract(job.text, context=job.context, source=job.source)
                    receipt = self._store(job, found)
                receipts.append(_reported(receipt, runtime))
        return receipts

    async def awrite(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> list[Receipt]:
        """Async twin of ``write``."""
        receipts: list[Receipt] = []
        for job in self._jobs(messages, config, runtime):
            with fail_open("memory_write", self.on_error, runtime):
                receipt = await asyncio.to_thread(self._done, job)
                if receipt is None:
                    found = await self.extractor.aextract(job.text, context=job.context, source=job.source)
                    receipt = await asyncio.to_thread(self._store, job, found)
                receipts.append(_reported(receipt, runtime))
        return receipts

    def _jobs(self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None, runtime: Any) -> list[_Job]:
        namespace = self.scope.resolve(config, runtime)
        principal = self.scope.principal(config, runtime)
        before, said, after = split_turn(messages)
        answered: list[BaseMessage] = [message for message in after if isinstance(message, AIMessage) and self.answers]
        parts: list[tuple[Kind, list[BaseMessage], list[BaseMessage], str | None]] = [
            ("user", said, before, principal),
            ("model", answered, [*before, *said], None),
        ]
        thread = str(((config or {}).get("configurable") or {}).get("thread_id") or "")
        jobs = []
        for kind, spoken, context, who in parts:
            if text := text_of(spoken):
                ref = spoken[-1].id or ""
                source = Source(kind, ref[:1024], who)
                jobs.append(_Job(_op_id(namespace, thread, spoken, text), text, _context(context), source, namespace))
        return jobs

    def _done(self, job: _Job) -> Receipt | None:
        """The receipt of the operation if it was done before."""
        if job.op_id is None:
            return None
        return self.memory.receipt(job.op_id, namespace=job.namespace, payload=job.text, source=job.source)

    def _store(self, job: _Job, found: Extraction) -> Receipt:
        return self.memory.write(
            found.statements,
            namespace=job.namespace,
            source=job.source,
            op_id=job.op_id,
            payload=job.text,
            quarantine=found.quarantine,
        )


def _op_id(namespace: Namespace, thread: str, messages: Sequence[BaseMessage], text: str) -> str | None:
    """Name of the operation that writes these messages; None if nothing tells them from others with the same text."""
    ids = [message.id or "" for message in messages]
    if not all(ids):
        return None
    return stable_hash("turn", *namespace, "", thread, *ids, text)


def _context(messages: Sequence[BaseMessage]) -> tuple[str, ...]:
    """The last messages before, with who said them: they tell what words refer to."""
    spoken = [message for message in messages if message.type in ("human", "ai")][-_CONTEXT_MESSAGES:]
    names = {"human": "user", "ai": "assistant"}
    return tuple(f"{names[message.type]}: {text}" for message in spoken if (text := text_of([message])))


def _reported(receipt: Receipt, runtime: Any) -> Receipt:
    emit(runtime, "write", op_id=receipt.op_id, seq=receipt.seq, replayed=receipt.replayed, counts=_counts(receipt))
    return receipt


def _counts(receipt: Receipt) -> dict[str, int]:
    return {status: receipt.count(status) for status in sorted({outcome.status for outcome in receipt})}


def as_state(receipts: Iterable[Receipt]) -> list[dict[str, Any]]:
    """Receipts as the state keeps them: no names, so that a checkpoint holds nothing that could be forgotten."""
    return [
        {"op_id": each.op_id, "seq": each.seq, "replayed": each.replayed, "counts": _counts(each)} for each in receipts
    ]


# --- recalling --------------------------------------------------------------------------------------------------------


class Recaller:
    """Finds the facts that the user's words bring to mind, without a model, as a block of text.

    Args:
        memory: Where to look.
        scope: Whose memory a run uses.
        k: Most facts.
        max_tokens: Most tokens of the block.
        on_error: ``warn`` lets the run go on when memory fails.
    """

    def __init__(
        self, memory: Memory, scope: Scope, *, k: int = 8, max_tokens: int = 600, on_error: OnError = "warn"
    ) -> None:
        """Keep the pieces."""
        self.memory, self.scope, self.k, self.max_tokens = memory, scope, k, max_tokens
        self.on_error = _check_on_error(on_error)

    def recall(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> str:
        """The block for the last turn of a conversation; empty if nothing comes to mind.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        namespace = self.scope.resolve(config, runtime)
        text = text_of(split_turn(messages)[1])
        block = ""
        with fail_open("memory_recall", self.on_error, runtime):
            if text:
                recalled = self.memory.recall(text, namespace=namespace, k=self.k)
                block = render(recalled, self.max_tokens)
                emit(runtime, "recall", facts=[match.fact.id for match in recalled])
        return block

    async def arecall(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> str:
        """Async twin of ``recall``."""
        return await asyncio.to_thread(self.recall, messages, config, runtime)


# --- answering --------------------------------------------------------------------------------------------------------


class Answerer:
    """Generates until the reading of this turn waits for memory, or is done.

    Args:
        reader: Generates.
        lookups: Where its queries will be answered: a local model's are led to what is held there.
    """

    def __init__(self, reader: Reader, lookups: Lookups | None = None) -> None:
        """Keep the pieces."""
        self.reader, self.lookups = reader, lookups

    def generate(
        self, state: Mapping[str, Any], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> dict[str, Any]:
        """The update of the state: the reading, and the answer when it is done.

        Raises:
            ModelError: The model failed; that is never swallowed, there is no answer without it.
        """
        messages, turn, reading = self._begin(state)
        reader, step = self._led(config, runtime), None
        while isinstance(next_action(reading), Generate):
            step = reader.step(reading, messages)
            reading = step.reading
        return _answered(turn, reading, step)

    async def agenerate(
        self, state: Mapping[str, Any], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> dict[str, Any]:
        """Async twin of ``generate``."""
        messages, turn, reading = self._begin(state)
        reader, step = self._led(config, runtime), None
        while isinstance(next_action(reading), Generate):
            step = await reader.astep(reading, messages)
            reading = step.reading
        return _answered(turn, reading, step)

    def _led(self, config: Mapping[str, Any] | None, runtime: Any) -> Reader:
        """The reader, led to what is held where this run looks things up."""
        lookups, reader = self.lookups, self.reader
        if lookups is None or not isinstance(reader, LocalReader):
            return reader
        return reader.led(lambda queries: lookups.held(queries, config, runtime))

    def _begin(self, state: Mapping[str, Any]) -> tuple[list[BaseMessage], str, Reading]:
        """The conversation as the model sees it, the key of its last turn, and the reading of that turn."""
        messages = list(state["messages"])
        said = split_turn(messages)[1]
        turn = stable_hash(len(messages), *(message.id or message.text for message in said))
        shown = with_block(messages, state.get("memllm_context") or "")
        saved = state.get("memllm_reading") or {}
        if saved.get("turn") == turn and saved["reading"]["phase"] != "done":
            return shown, turn, Reading.from_dict(saved["reading"])
        return shown, turn, self.reader.start(shown)


def _answered(turn: str, reading: Reading, step: Step | None) -> dict[str, Any]:
    update = _saved(turn, reading)
    if reading.phase == "done":
        message = step.message if step else None
        if message is None or message.tool_calls or str(message.text) != reading.text:
            message = AIMessage(reading.text, id=message.id if message else None)
        update["messages"] = [message]
    return update


def _saved(turn: str, reading: Reading) -> dict[str, Any]:
    """A reading as the state keeps it, the same before and after a checkpoint: lists, no tuples."""
    return {"memllm_reading": {"turn": turn, "reading": json.loads(json.dumps(reading.as_dict()))}}


class Lookups:
    """Answers the queries that a reading waits for.

    Args:
        memory: Where to look.
        scope: Whose memory a run uses.
        on_error: ``warn`` tells the reader that memory failed and lets it go on.
    """

    def __init__(self, memory: Memory, scope: Scope, *, on_error: OnError = "warn") -> None:
        """Keep the pieces."""
        self.memory, self.scope, self.on_error = memory, scope, _check_on_error(on_error)

    def look_up(
        self, state: Mapping[str, Any], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> dict[str, Any]:
        """The update of the state: the reading with its answers; nothing if it waits for none.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        saved = state.get("memllm_reading") or {}
        reading = Reading.from_dict(saved["reading"]) if saved else None
        action = next_action(reading) if reading else None
        if reading is None or not isinstance(action, Lookup):
            return {}
        namespace = self.scope.resolve(config, runtime)
        results = Results((), failed=True)
        with fail_open(MEMORY_READ, self.on_error, runtime):
            results = Results.of(self.memory.read_many(action.queries, namespace=namespace))
            emit(runtime, "read", queries=len(action.queries), answers=sum(map(len, results.answers)))
        reading, _ = advance(reading, results)
        return _saved(saved["turn"], reading)

    def held(
        self, queries: Sequence[Query], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> Sequence[Sequence[Query]]:
        """The queries that the run's memory answers, see ``local.leading``; none if it cannot be asked.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        namespace = self.scope.resolve(config, runtime)
        answered: list[Sequence[Query]] = []
        with fail_open(MEMORY_READ, self.on_error, runtime):
            answered += held_by(self.memory, namespace, queries)
        return answered or [()] * len(queries)
