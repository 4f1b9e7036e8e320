"""What happens in a turn of a conversation: what was said is written, what it recalls is shown, queries are answered.

Used by the nodes of the graph and by the middleware; knows messages and a run's config, and no graph. A turn may be
handed in twice, after a restart or by two nodes, and a model may then answer otherwise; so an operation is named after
the messages it is made from, and its receipt is looked up before the model is asked.

A memory that fails does not take the run with it (``on_error="warn"``): one log line, one event, an answer without
memory. A run without a namespace, a cancellation and an interrupt are never swallowed.
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.errors import GraphBubbleUp
from typing_extensions import TypedDict

from langchain_memllm.chat import MEMORY_READ, LocalReader, Reader, answer_of, with_block
from langchain_memllm.chat import Step as Generation
from langchain_memllm.conversation import is_spoken, other_speaker, said_at, split_turn, text_of
from langchain_memllm.decisions import Action, Decision
from langchain_memllm.errors import ConfigurationError, NamespaceError, reason_of
from langchain_memllm.flow import Flow, Step
from langchain_memllm.forking import renewed
from langchain_memllm.gate import Decider
from langchain_memllm.hub import Hub
from langchain_memllm.ingest import Ingest
from langchain_memllm.local.leading import held_by
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Generate, Lookup, Reading, Results, advance, next_action
from langchain_memllm.recall import needs_context
from langchain_memllm.recalled import Show, check_count, check_show, gated, recall
from langchain_memllm.render import without_blocks
from langchain_memllm.salience import is_small_talk, may_state
from langchain_memllm.scope import Scope, thread_of
from langchain_memllm.sharing import Shared
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.times import as_moment
from langchain_memllm.triples import Kind, Namespace, Query, Recall, Receipt, Source, rank_of, stable_hash

__all__ = [
    "TOOL_TAG",
    "Answerer",
    "ExtractWhen",
    "Known",
    "Lookups",
    "Noted",
    "OnError",
    "Recaller",
    "TurnWriter",
    "as_state",
    "emit",
    "fail_open",
    "notes_of",
    "refuse_duplicates",
    "said_in_run",
]

logger = logging.getLogger(__name__)

OnError = Literal["warn", "raise"]

TOOL_TAG: Final = "memllm"
"""Tag of a memory's tools."""
ExtractWhen = Callable[[str, Sequence[str]], bool]
"""Takes a message and what stood before it, oldest first (``user: …``, ``assistant: …``)."""

_CONTEXT_MESSAGES: Final = 6
_MAX_BLOCKS: Final = 256


def emit(runtime: Any, event: str, **values: Any) -> None:
    """Send an event to ``stream_mode="custom"``: ids and counts only. Outside of a run it goes nowhere."""
    writer = getattr(runtime, "stream_writer", None)
    if writer is not None:
        writer({"type": "memllm", "event": event, **values})


@contextmanager
def fail_open(where: str, on_error: OnError, runtime: Any) -> Iterator[None]:
    """Let a run go on without memory when memory fails: one log line and one event instead of the error.

    Never swallowed are a missing namespace, interrupts of the graph, and what is not an ``Exception`` (cancellation).
    """
    try:
        yield
    except (NamespaceError, GraphBubbleUp):
        raise
    except Exception as error:
        if on_error == "raise":
            raise
        logger.warning("%s failed with %s; the run goes on without memory", where, reason_of(error))
        emit(runtime, "error", where=where, error=type(error).__name__)


def refuse_duplicates(tools: Iterable[Any], own: Iterable[Any] = ()) -> None:
    """Refuse two tools of one name if one of them is a memory's: the last would be called, whoever was meant.

    Args:
        tools: The tools that a model is offered, as ``ModelRequest.tools`` holds them.
        own: Tools that must not be hidden: an agent drops all but the last of a name when it is built.

    Raises:
        ConfigurationError: There are two.
    """
    seen: dict[str, Any] = {tool.name: tool for tool in own}
    for tool in tools:
        name = tool.get("name") if isinstance(tool, Mapping) else getattr(tool, "name", None)
        other = seen.setdefault(name, tool) if isinstance(name, str) else tool
        if other is not tool and any(TOOL_TAG in (getattr(each, "tags", None) or ()) for each in (tool, other)):
            raise ConfigurationError(
                f"two tools are named {name!r}, and only one of them could be called; give the tools of one memory "
                "another prefix, as in memory.tools(prefix='team_') or memory.middleware('tools', prefix='team_')"
            )


def _check_on_error(on_error: str) -> OnError:
    if on_error not in get_args(OnError):
        raise ConfigurationError(f"on_error={on_error!r} is unknown; use 'warn' or 'raise'")
    return cast(OnError, on_error)


# --- writing ----------------------------------------------------------------------------------------------------------


class KnownMessage(TypedDict):
    """What is known of a message of the person: texts alone, so that any checkpointer keeps it.

    ``text_hash`` is that of its text, ``op_id`` the operation that writes it, ``source_type`` and ``ref`` name its
    source, ``previous`` is the id of the message before it, ``said_at`` when it was said.
    """

    text_hash: str
    op_id: str
    source_type: Kind
    ref: str
    previous: str
    said_at: str


Known: TypeAlias = dict[str, KnownMessage]
"""What is known of a thread's messages, by id, in the order of the conversation."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What a run's words became: the names of the operations that will write them, and what is known from now on."""

    namespace: Namespace
    op_ids: tuple[str, ...]
    known: Known


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run says about whose words it carries."""

    namespace: Namespace
    principal: str | None
    conversation: str
    thread: str
    kind: Kind | None  # None: nobody's whose words are kept
    scope: str = ""  # of what was said

    def ref_of(self, message_id: str) -> str:
        """What the source of a message is called: clients use ids of messages again in every thread."""
        return (f"{self.thread}/{message_id}" if self.thread else message_id)[:1024]


class TurnWriter(Shared):
    """Writes what was said in a turn: committed to the outbox first (``note``), then extracted and written (``write``).

    Each message is an operation of its own, named after namespace, thread, message id and text, so a turn that is
    delivered again (a restart, a second node) writes nothing and asks no model. A message with a known id and another
    text replaces what only its former version said. What the assistant said is not written unless ``answers`` is set,
    and then with the rank of a model: it may repeat what was recalled.

    Args:
        memory: Where to write.
        scope: Whose memory a run uses.
        ingest: Extracts and writes what waits.
        answers: Also write what the assistant said, as kind ``model``.
        source_type: Whose words human messages are. None: the person's; but in an agent that a tool called, where a
            model wrote them, they are not written at all.
        extract_when: Whether a message, with what stood before it, may state something; others are not extracted.
        withdraw: Whether a message that was deleted from its thread withdraws what only it said.
        episodes: Also keep every message as it was said (see ``hub``): in the transaction that commits what it is to
            become, whether it states something or not, what the assistant and its tools said as well.
        on_error: ``warn`` lets the run go on when memory or extraction fail.
    """

    def __init__(
        self,
        memory: Memory,
        scope: Scope,
        ingest: Ingest,
        *,
        answers: bool = False,
        source_type: Kind | None = None,
        extract_when: ExtractWhen = may_state,
        withdraw: bool = True,
        episodes: bool = False,
        on_error: OnError = "warn",
    ) -> None:
        """Keep the pieces."""
        self.memory, self.scope, self.ingest, self.episodes = memory, scope, ingest, episodes
        self.answers, self.source_type, self.withdraw = answers, source_type, withdraw
        self.extract_when, self.on_error = extract_when, _check_on_error(on_error)
        if source_type is not None:
            rank_of(source_type)
        if not callable(extract_when):
            raise ConfigurationError(
                f"extract_when={extract_when!r} cannot be called; give a function of a text and the texts before it "
                "that says whether the text may state something"
            )

    def turn(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> Flow[list[Receipt]]:
        """Note and write the last turn of a conversation.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        noted = yield from self.note(messages, config, runtime)
        return (yield from self.write(noted, runtime)) if noted is not None else []

    def note(
        self,
        messages: Sequence[BaseMessage],
        config: Mapping[str, Any] | None = None,
        runtime: Any = None,
        *,
        known: Known | None = None,
        ongoing: Collection[str] | None = None,
    ) -> Flow[Noted | None]:
        """Commit what is new in a conversation to the outbox. None if the memory failed and the run goes on.

        Args:
            messages: The conversation.
            config: The run's config.
            runtime: The run's runtime.
            known: What earlier calls returned for this thread; without it the last words of the person are new.
            ongoing: Ids of messages that this very run noted, if it began before: another text of theirs is not a new
                version, and messages that are gone were trimmed, not deleted.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        run = _Run(
            self.scope.resolve(config, runtime),
            self.scope.principal(config, runtime),
            _conversation_of(config, runtime),
            thread_of(config, runtime),
            self.source_type or (None if _is_tools_run(config) else "user"),
            _scope_of(config),
        )
        noted: Noted | None = None
        with fail_open("memory_write", self.on_error, runtime):
            noted = yield Step(lambda: self._note(list(messages), run, dict(known or {}), ongoing))
        return noted

    def write(self, noted: Noted, runtime: Any = None) -> Flow[list[Receipt]]:
        """Extract and write what was noted; what fails waits in the outbox for the next turn.

        Raises:
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        receipts: list[Receipt] = []
        with fail_open("memory_write", self.on_error, runtime):
            receipts = yield from self.ingest.write_turn(noted.namespace, noted.op_ids)
            for receipt in receipts:
                _reported(receipt, runtime)
        return receipts

    def _note(self, messages: list[BaseMessage], run: _Run, known: Known, ongoing: Collection[str] | None) -> Noted:
        gone = _deleted(messages, known) if self.withdraw and ongoing is None else []
        entries: list[OutboxEntry] = []
        said = self._said(messages, run, known) if self.episodes and run.kind is not None else []
        for at in _unnoted(messages, known) if run.kind is not None else ():
            entry = self._entry(messages, at, run, known, ongoing or ())
            entries += [entry] if entry is not None else []
        for message_id in gone:
            self._take_back(run, known.pop(message_id))
            if self.episodes:
                self.memory.store.turns.drop(run.namespace, [Turn.named(run.conversation, message_id)])
        if self.answers:
            entries += self._answered(messages, run)
        if entries or said:
            recorded = self.memory.put_outbox(entries, namespace=run.namespace, turns=said)
            _stamp(known, {entry.op_id: entry.source.at or recorded for entry in entries})
        there = {message.id for message in messages}
        return Noted(
            run.namespace,
            tuple(entry.op_id for entry in entries),
            {message_id: value for message_id, value in known.items() if message_id in there},
        )

    def _said(self, messages: list[BaseMessage], run: _Run, known: Known) -> list[Turn]:
        """The messages of this turn, and of what came since the last one that is known: each is kept once."""
        spoken = [at for at, message in enumerate(messages) if is_spoken(message)]
        new = _unnoted(messages, known)
        before = [at for at in spoken if messages[at].id in known]
        first = min([*new, *before[-1:]], default=len(messages))
        return [turn for at in range(first, len(messages)) if (turn := self._turn(messages, at, run)) is not None]

    def _turn(self, messages: list[BaseMessage], at: int, run: _Run) -> Turn | None:
        """A message as it is kept; None for the harness's, and for one without text."""
        message, text = messages[at], without_blocks(str(messages[at].text))
        role = _ROLES.get(message.type)
        if role is None or not text or (role == "user" and not is_spoken(message)):
            return None
        message_id = message.id or f"#{at}"
        speaker = other_speaker(message, run.principal) if role == "user" else message.name
        kind: Kind = "model" if role == "assistant" else "tool"
        if role == "user":
            kind = "tool" if speaker is not None and run.kind == "user" else run.kind or "user"
        return Turn(
            Turn.named(run.conversation, message_id),
            run.conversation,
            text,
            as_moment(said_at(message)) or "",
            role,
            speaker,
            kind,
            run.ref_of(message_id),
            run.scope,
        )

    def _entry(
        self, messages: list[BaseMessage], at: int, run: _Run, known: Known, ongoing: Collection[str]
    ) -> OutboxEntry | None:
        """A message on its way to the outbox, noted in ``known``; None if there is nothing in it to extract."""
        message, text = messages[at], text_of([messages[at]])
        message_id = message.id or f"#{at}"
        before = known.get(message_id)
        speaker = other_speaker(message, run.principal)
        kind: Kind = "tool" if speaker is not None and run.kind == "user" else run.kind or "user"
        former = (before["op_id"],) if before is not None else ()
        op_id = stable_hash("turn", *run.namespace, "", run.conversation, message_id, text, *former)
        if before is not None and message_id in ongoing and self._waits(run.namespace, before["op_id"]):
            op_id = before["op_id"]
        context = _context(messages[:at])
        known[message_id] = KnownMessage(
            text_hash=stable_hash(text),
            op_id=op_id,
            source_type=kind,
            ref=run.ref_of(message_id),
            previous=(messages[at - 1].id or "") if at else "",
            said_at=before["said_at"] if before is not None else "",
        )
        if not self._is_worth(text, context):
            if before is not None:
                self._take_back(run, before)
            return None
        principal = run.principal if kind == "user" else None
        source = Source(kind, run.ref_of(message_id), principal, at=as_moment(said_at(message)))
        newer = before is not None and op_id != before["op_id"]
        return OutboxEntry(op_id, text, context, source, thread=run.conversation, speaker=speaker, replace=newer)

    def _is_worth(self, text: str, context: Sequence[str]) -> bool:
        """Whether a message may state something; where that cannot be told, it may: it is not lost."""
        try:
            return bool(self.extract_when(text, context))
        except Exception as error:
            if self.on_error == "raise":
                raise
            logger.warning("extract_when failed with %s; the message is extracted", type(error).__name__)
            return True

    def _waits(self, namespace: Namespace, op_id: str) -> bool:
        return self.memory.receipt(op_id, namespace=namespace) is None

    def _take_back(self, run: _Run, before: KnownMessage) -> None:
        """Withdraw what only a message said: it was deleted, or says nothing of the kind any more."""
        op_id, kind, namespace = before["op_id"], before["source_type"], run.namespace
        source = Source(kind, before["ref"], run.principal if kind == "user" else None)
        self.memory.store.drop_outbox(namespace, [op_id])
        self.memory.write([], namespace=namespace, source=source, op_id=stable_hash("withdrawn", op_id), replace=True)

    def _answered(self, messages: list[BaseMessage], run: _Run) -> list[OutboxEntry]:
        """What the assistant said after the person's last words."""
        before, said, after = split_turn(messages)
        entries = []
        for message in after:
            if isinstance(message, AIMessage) and (text := text_of([message])):
                op_id = stable_hash("turn", *run.namespace, "", run.conversation, message.id or "", text)
                source = Source("model", run.ref_of(message.id or ""))
                entries.append(OutboxEntry(op_id, text, _context([*before, *said]), source, thread=run.conversation))
        return entries


_ROLES: Final = {"human": "user", "ai": "assistant", "tool": "tool"}


def _scope_of(config: Mapping[str, Any] | None) -> str:
    """The scope of what is said in a run, from its config: ``configurable={"memllm_scope": …}``."""
    scope = ((config or {}).get("configurable") or {}).get("memllm_scope") or ""
    if not isinstance(scope, str):
        raise ConfigurationError(f"memllm_scope is a text, not {type(scope).__name__}; name the scope of what is said")
    return scope


def _unnoted(messages: Sequence[BaseMessage], known: Known) -> list[int]:
    """Places of what the person said and nobody noted, and of what was edited.

    Where nothing is known of a thread that is the last they said, whatever stands after it; else all after the last
    message that is known: a run that did not finish may have left words.
    """
    spoken = [at for at, message in enumerate(messages) if is_spoken(message) and text_of([message])]
    last = max((at for at in spoken if messages[at].id in known), default=None)
    if last is None:
        said = {id(message) for message in split_turn(messages)[1]}
        return [at for at in spoken if id(messages[at]) in said]
    edited = [at for at in spoken if (before := known.get(messages[at].id or "")) and _differs(messages[at], before)]
    return [*edited, *(at for at in spoken if at > last)]


def _stamp(known: Known, times: Mapping[str, str]) -> None:
    """Note when messages were said, by the names of their operations; one that was said before keeps its time."""
    for value in known.values():
        if value["op_id"] in times and not value["said_at"]:
            value["said_at"] = times[value["op_id"]]


def said_in_run(state: Any) -> str | None:
    """When the person said what an agent's run is about, as the middleware noted it in its state; None if it did not.

    What a tool writes in that run counts as said then, beside what is extracted from the same words.
    """
    if not isinstance(state, Mapping):
        return None
    noted, ongoing = notes_of(state.get("memllm_said")), notes_of(state.get("memllm_run"))
    values = [noted.get(name, {}).get(each) for name, ids in ongoing.items() for each in ids]
    return max((value["said_at"] for value in values if value and value["said_at"]), default=None)


def notes_of(value: Any) -> dict[str, Any]:
    """What the middlewares of an agent keep in its state, by their names; a thread of an older version keeps a list."""
    return {k: v for k, v in value.items() if isinstance(v, dict | list)} if isinstance(value, Mapping) else {}


def _differs(message: BaseMessage, before: KnownMessage) -> bool:
    return stable_hash(text_of([message])) != before["text_hash"]


def _deleted(messages: Sequence[BaseMessage], known: Known) -> list[str]:
    """Messages of the person that somebody took out of the thread.

    Not those that a trimmer cut off: it takes the oldest, so nothing older than what it took is left. Of the first
    message alone nobody can tell, unless it was the only one.
    """
    there = {message.id for message in messages}
    gone, older_left = [], False
    for message_id, message in known.items():
        if message_id in there:
            older_left = True
        elif older_left or message["previous"] in there or len(known) == 1:
            gone.append(message_id)
    return gone


def _conversation_of(config: Mapping[str, Any] | None, runtime: Any = None) -> str:
    """What tells a conversation from others: its thread, or the run itself if it has none.

    A client that keeps no threads may give the same ids to the messages of every request.
    """
    control = getattr(runtime, "control", None)
    return thread_of(config, runtime) or ("" if control is None else _run_token(control))


_RUNS: Final[OrderedDict[int, tuple[object, str]]] = OrderedDict()
_RUNS_LOCK: Final = renewed(threading.Lock())
_MAX_RUNS: Final = 1024


def _run_token(control: object) -> str:
    """A name for a run, the same in all graphs nested in it: they share its control object, which has no name."""
    with _RUNS_LOCK:
        kept = _RUNS.get(id(control))
        if kept is None or kept[0] is not control:
            kept = _RUNS[id(control)] = (control, uuid.uuid4().hex)
            while len(_RUNS) > _MAX_RUNS:
                _RUNS.popitem(last=False)
        return kept[1]


def _is_tools_run(config: Mapping[str, Any] | None) -> bool:
    """Whether this run is that of an agent which a tool called: what it is told was written by a model."""
    path = str(((config or {}).get("configurable") or {}).get("checkpoint_ns") or "").split("|")[:-1]
    return any(step.split(":")[0] == "tools" for step in path)


def _context(messages: Sequence[BaseMessage]) -> tuple[str, ...]:
    """The last messages before, with who said them: they tell what words refer to."""
    spoken = [each for each in messages if is_spoken(each) or isinstance(each, AIMessage)][-_CONTEXT_MESSAGES:]
    texts = [(each.name or "user" if is_spoken(each) else "assistant", text_of([each])) for each in spoken]
    return tuple(f"{name}: {text}" for name, text in texts if text)


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


_MOST_BEFORE: Final = 1_000  # characters of each message before that count
_SPEAKING: Final = ("human", "ai")


class Recaller(Shared):
    """Finds what answers the user's words, without a model, as a block of text.

    The block of a turn is kept until the memory is changed through this object or a new run begins, so that a run
    recalls once and shows the same block to each of its steps.

    Args:
        memory: Where to look.
        scope: Whose memory a run uses.
        hub: Where what was said is; by default the memory's.
        k: Most facts; None: as many as fit.
        max_tokens: Most tokens of the block.
        show: What is recalled: facts, what was said in no scope, or both.
        gate: Decides whether a turn needs memory, and what is shown of what was found; None shows what recall finds.
        on_error: ``warn`` lets the run go on when memory fails; where the gate's model fails, rules decide.
    """

    def __init__(
        self,
        memory: Memory,
        scope: Scope,
        *,
        hub: Hub | None = None,
        k: int | None = None,
        max_tokens: int = 600,
        show: Show = "facts",
        gate: Decider | None = None,
        on_error: OnError = "warn",
    ) -> None:
        """Keep the pieces."""
        check_count(k)
        if not isinstance(max_tokens, int) or max_tokens < 0:
            raise ConfigurationError(f"max_tokens={max_tokens!r} is not a number of tokens; give 0 or more")
        self.memory, self.scope, self.k, self.max_tokens, self.show = memory, scope, k, max_tokens, check_show(show)
        self._hub, self.gate = hub or Hub(memory), gate
        self.on_error = _check_on_error(on_error)
        self._blocks: OrderedDict[Hashable, tuple[int, str, Decision | None]] = OrderedDict()
        self._lock = renewed(threading.Lock())

    def begin(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> None:
        """A run begins: what was recalled for the same words is looked up again.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
        """
        turn = self._turn(self.scope.resolve(config, runtime), messages, config, runtime)
        with self._lock:
            self._blocks.pop(turn, None)

    def recall(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> Flow[str]:
        """The block for the last turn of a conversation; empty if nothing is recalled.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        namespace = self.scope.resolve(config, runtime)
        turn = self._turn(namespace, messages, config, runtime)
        version = self.memory.version(namespace)
        with self._lock:
            kept = self._blocks.get(turn)
        if kept is not None and kept[0] == version:
            return kept[1]
        text = _question_of(messages)
        found = Recall(text)
        with fail_open("memory_recall", self.on_error, runtime):
            if text:
                thread = _conversation_of(config, runtime)
                seen = {Turn.named(thread, message.id) for message in messages if message.id}
                if self.gate is None:
                    found = yield Step(lambda: self._found(text, namespace, seen))
                else:
                    found = yield from self._gated(text, messages, namespace, seen, self.gate)
                emit(runtime, "recall", facts=[match.fact.id for match in found])
                if found.decision is not None:
                    emit(runtime, "gate", **_summed(found.decision))
        block = found.block
        with self._lock:
            self._blocks[turn] = (version, block, found.decision)
            while len(self._blocks) > _MAX_BLOCKS:
                self._blocks.popitem(last=False)
        return block

    def decision(
        self, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> Decision | None:
        """What the gate decided about the last turn of a conversation; None without a gate, or if nothing is known."""
        turn = self._turn(self.scope.resolve(config, runtime), messages, config, runtime)
        with self._lock:
            kept = self._blocks.get(turn)
        return None if kept is None else kept[2]

    def _gated(
        self, text: str, messages: Sequence[BaseMessage], namespace: Namespace, seen: Collection[str], gate: Decider
    ) -> Flow[Recall]:
        """What a text recalls and the gate lets through."""
        before, said, _ = split_turn(messages)
        context = _context(before[-1:])
        if is_small_talk(text_of(said)) and not is_small_talk(text_of(said), context):  # "yes", to what was asked
            text = f"{text_of(before[-1:])[:_MOST_BEFORE]}\n{text}"
        return gated(
            self.memory,
            self._hub,
            text,
            [namespace],
            gate=gate,
            show=self.show,
            said=text_of(said),
            before=context,
            k=self.k,
            max_tokens=self.max_tokens,
            without=seen,
            owner=self.scope.owner,
            failing=self.on_error == "raise",
        )

    def _found(self, text: str, namespace: Namespace, seen: Collection[str]) -> Recall:
        """What a text recalls, but for turns that the model sees already."""
        return recall(
            self.memory,
            self._hub,
            text,
            [namespace],
            show=self.show,
            k=self.k,
            max_tokens=self.max_tokens,
            without=seen,
            owner=self.scope.owner,
        )

    def _turn(
        self, namespace: Namespace, messages: Sequence[BaseMessage], config: Mapping[str, Any] | None, runtime: Any
    ) -> Hashable:
        """What tells these words from all others."""
        said = split_turn(messages)[1]
        ids = (str(message.id) for message in said)
        return namespace, stable_hash(_conversation_of(config, runtime), *ids, text_of(said))


def _summed(decision: Decision) -> dict[str, Any]:
    """A decision as an event tells it: counts only."""
    return {"needed": decision.needed, "by": decision.by, **{each: decision.count(each) for each in get_args(Action)}}


def _question_of(messages: Sequence[BaseMessage]) -> str:
    """What the person said in this turn; where it leans on what was said before ("and her?"), after that."""
    before, said, _ = split_turn(messages)
    text = text_of(said)
    if not text or not before or not needs_context(text):
        return text
    since = sum(1 for _ in itertools.takewhile(lambda message: not is_spoken(message), reversed(before)))
    spoken = before[max(0, len(before) - since - 1) :]
    return "\n".join([*(text_of([message])[:_MOST_BEFORE] for message in spoken if message.type in _SPEAKING), text])


# --- answering --------------------------------------------------------------------------------------------------------


class Answerer:
    """Generates until the reading of this turn waits for memory, or is done.

    Args:
        reader: Generates.
        lookups: Where its queries will be answered: a local model's are led to what is held there.
        messages_key: The state's key of the conversation.
        trace: Leave the reading in the state when it is done.
    """

    def __init__(
        self,
        reader: Reader,
        lookups: Lookups | None = None,
        *,
        messages_key: str = "messages",
        trace: bool = False,
    ) -> None:
        """Keep the pieces."""
        self.reader, self.lookups, self.messages_key, self.trace = reader, lookups, messages_key, trace

    def generate(
        self, state: Mapping[str, Any], config: Mapping[str, Any] | None = None, runtime: Any = None
    ) -> Flow[dict[str, Any]]:
        """The update of the state: the reading, and the answer when it is done.

        Raises:
            ModelError: The model failed; that is never swallowed, there is no answer without it.
        """
        messages, turn, reading = self._begin(state, config, runtime)
        reader, step = self._led(config, runtime), None
        while isinstance(next_action(reading), Generate):
            step = yield _generating(reader, reading, messages)
            reading = step.reading
        return self._answered(turn, reading, step)

    def _led(self, config: Mapping[str, Any] | None, runtime: Any) -> Reader:
        """The reader, led to what is held where this run looks things up."""
        lookups, reader = self.lookups, self.reader
        if lookups is None or not isinstance(reader, LocalReader):
            return reader
        return reader.led(lambda queries: lookups.held(queries, config, runtime))

    def _begin(
        self, state: Mapping[str, Any], config: Mapping[str, Any] | None, runtime: Any
    ) -> tuple[list[BaseMessage], str, Reading]:
        """The conversation as the model sees it, the key of its last turn, and the reading of that turn."""
        messages = list(state[self.messages_key])
        said = split_turn(messages)[1]
        turn = stable_hash(len(messages), *(message.id or message.text for message in said))
        shown = with_block(messages, self._block_of(state, config, runtime))
        saved = state.get("memllm_reading") or {}
        if saved.get("turn") == turn and saved["reading"]["phase"] != "done":
            return shown, turn, Reading.from_dict(saved["reading"])
        return shown, turn, self.reader.start(shown)

    def _block_of(self, state: Mapping[str, Any], config: Mapping[str, Any] | None, runtime: Any) -> str:
        """The recalled facts, if they are this run's: a cache of nodes may hand out another user's."""
        context = state.get("memllm_context") or {}
        if not context or self.lookups is None:
            return str(context.get("block") or "") if context else ""
        own = list(self.lookups.scope.resolve(config, runtime))
        return str(context["block"]) if context.get("namespace") == own else ""

    def _answered(self, turn: str, reading: Reading, step: Generation | None) -> dict[str, Any]:
        if reading.phase != "done":
            return _saved(turn, reading)
        message = answer_of(reading, step.message if step else None)
        left = _saved(turn, reading) if self.trace else {"memllm_reading": {}, "memllm_context": {}}
        return {self.messages_key: [message], **left}


def _generating(reader: Reader, reading: Reading, messages: Sequence[BaseMessage]) -> Step:
    return Step(lambda: reader.step(reading, messages), lambda: reader.astep(reading, messages))


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
    ) -> Flow[dict[str, Any]]:
        """The update of the state: the reading with its answers.

        Raises:
            ConfigurationError: No query waits.
            NamespaceError: The run does not say whose memory it uses.
            MemLLMError: Something failed, and ``on_error`` is ``raise``.
        """
        saved = state.get("memllm_reading") or {}
        reading = Reading.from_dict(saved["reading"]) if saved else None
        action = next_action(reading) if reading else None
        if reading is None or not isinstance(action, Lookup):
            raise ConfigurationError(
                "the reading node was reached though no query waits: the state has no memllm_reading, or the edge to "
                "it does not come from memory.route; add the nodes as they are, or with input_schema=MemLLMState"
            )
        namespace = self.scope.resolve(config, runtime)
        results = Results((), failed=True)
        with fail_open(MEMORY_READ, self.on_error, runtime):
            read = yield Step(lambda: self.memory.read_many(action.queries, namespace=namespace))
            results = Results.of(read)
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
