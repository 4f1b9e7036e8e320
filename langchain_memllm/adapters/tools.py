"""Memory as tools that a model calls: ``remember``, ``recall`` and ``forget``.

Whose memory they use comes from the run, never from what the model writes. Facts come as triples, so no second model is
asked. What a model says that the person said is not what the person said: a call has the rank of a tool, and touches
what the person stated only as far as the person's own words in this run name it. A memory that fails is told to the
model in words that claim nothing.
"""

# No `from __future__ import annotations` here: langchain-core before 1.6 finds the `runtime` argument by its type.

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from langchain.tools import ToolException, ToolRuntime
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel, Field

from langchain_memllm.conversation import mentions, own_words, said_at, split_turn
from langchain_memllm.errors import ConfigurationError, InvalidTriple, NamespaceError, reason_of
from langchain_memllm.hub import Hub
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.recalled import Show, check_show, recall
from langchain_memllm.relations import share_a_stem
from langchain_memllm.scope import Scope, current_run, thread_of
from langchain_memllm.sharing import Shared
from langchain_memllm.speaker import SPEAKER, asks_to_forget_all, is_speaker
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.times import as_moment
from langchain_memllm.triples import (
    Fact,
    Kind,
    Namespace,
    Outcome,
    Receipt,
    Source,
    Statement,
    clean_name,
    name_key,
    rank_of,
    stable_hash,
)
from langchain_memllm.turns import TOOL_TAG, said_in_run

__all__ = ["ForgetInput", "MemoryTools", "RecallInput", "RememberInput", "ToolFact", "tools_of"]

logger = logging.getLogger(__name__)

_MAX_FACTS: Final = 50
_MAX_RECALLED: Final = 30
_RECALLED: Final = 20  # of which the block shows as many as fit
_MAX_TOKENS: Final = 600
_PREFIX: Final = re.compile(r"[a-zA-Z0-9_-]{0,55}")  # OpenAI takes names of at most 64 of these characters


class ToolFact(BaseModel):
    """One fact."""

    subject: str = Field(description='Who or what it is about, in full; "user" for the person you talk with')
    relation: str = Field(description='A few words, read from subject to object: "lives in", "works for", "likes"')
    object: str = Field(description="The other end: a name or a value, short, without article")
    ended: bool = Field(False, description="True if this was so and is over now; it is kept as past")


class RememberInput(BaseModel):
    """What ``remember`` takes."""

    facts: list[ToolFact] = Field(description="The facts to keep", min_length=1, max_length=_MAX_FACTS)


class RecallInput(BaseModel):
    """What ``recall`` takes."""

    query: str = Field(description="A question or text that names what you want to know about", min_length=1)
    k: int = Field(_RECALLED, description="Most facts", ge=1, le=_MAX_RECALLED)


class ForgetInput(BaseModel):
    """What ``forget`` takes."""

    subject: str = Field(description='Who or what the fact is about; "user" for the person you talk with')
    relation: str | None = Field(None, description="The relation; needed, unless everything is meant")
    object: str | None = Field(None, description="The other end, for that one fact only; needs the relation")
    everything: bool = Field(False, description="True for everything about the subject, if the user asks for that")


class _MemoryTool(StructuredTool):
    """A tool that knows whether the application called it: outside of any run, and not with a model's tool call."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """See ``BaseTool.invoke``."""
        with _called_by_application(input, config):
            return super().invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """See ``BaseTool.ainvoke``."""
        with _called_by_application(input, config):
            return await super().ainvoke(input, config, **kwargs)


_BY_APPLICATION: ContextVar[bool] = ContextVar("memllm_called_by_application", default=False)


@contextmanager
def _called_by_application(call: Any, config: RunnableConfig | None) -> Iterator[None]:
    """Note for the call of a tool whether application code makes it, outside of any run."""
    by_model = isinstance(call, Mapping) and call.get("type") == "tool_call"
    in_graph = any(str(key).startswith("__pregel") for key in (config or {}).get("configurable") or ())
    token = _BY_APPLICATION.set(not (by_model or in_graph or current_run() is not None))
    try:
        yield
    finally:
        _BY_APPLICATION.reset(token)


def tools_of(
    memory: Memory,
    scope: Scope,
    *,
    prefix: str | None = None,
    erase: bool = False,
    hub: Hub | None = None,
    show: Show = "facts",
) -> list[BaseTool]:
    """The three tools over one memory.

    Args:
        memory: The memory.
        scope: Whose memory a run uses.
        prefix: What their names begin with; by default nothing for the usual namespace template, and for one of its
            own what comes from its labels, as ``team_acme_``: so two memories do not collide in one agent.
        erase: Whether ``forget`` erases; by default it closes facts and keeps the history.
        hub: Where what was said is; by default the memory's.
        show: What ``recall`` shows: facts, what was said in no scope, or both.

    Raises:
        ConfigurationError: A prefix that no tool's name can have, or an unknown ``show``.
    """
    prefix = scope.prefix if prefix is None else prefix
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"prefix={prefix!r} cannot begin the name of a tool; give at most 55 letters, digits, '_' and '-'"
        )
    tools = MemoryTools(memory, scope, erase=erase, hub=hub, show=show)
    forget = _FORGET + (_ERASES if erase else _CLOSES)
    return [
        _MemoryTool.from_function(
            func=func,
            coroutine=coroutine,
            name=prefix + name,
            description=f"{description} {_whose(scope)}",
            args_schema=schema,
            response_format="content_and_artifact",
            handle_tool_error=True,
            tags=[TOOL_TAG],
            metadata=_metadata(read_only=name == "recall", destructive=name == "forget"),
        )
        for name, func, coroutine, schema, description in (
            ("remember", tools.remember, tools.aremember, RememberInput, _REMEMBER),
            ("recall", tools.recall, tools.arecall, RecallInput, _RECALL),
            ("forget", tools.forget, tools.aforget, ForgetInput, forget),
        )
    ]


_REMEMBER: Final = """\
Keep facts for later conversations: what the user states about themself and their world and will want you to know. \
A new value of something that has one value (where they live) replaces the old one. The result says what was stored."""
_RECALL: Final = "Look up what is known from earlier conversations. Use it before you say that you do not know."
_FORGET: Final = "Take facts out of what is known. Only if the user asks for it, and names what is to go. "
_CLOSES: Final = "They are kept as past."
_ERASES: Final = "They are erased for good."


def _whose(scope: Scope) -> str:
    """One sentence that says whose memory it is."""
    named = "" if scope.owner is None else f" {scope.owner!r}"
    if scope.is_shared:
        return f"This is the memory{named}, which others share: nothing private belongs here."
    return f"This is the user's own memory{named}."


def _metadata(*, read_only: bool, destructive: bool) -> dict[str, bool]:
    """What caches and MCP adapters ask about a tool; a cached answer would be another user's, or out of date."""
    return {
        "cacheable": False,
        "volatile": True,
        "read_only": read_only,
        "readOnlyHint": read_only,
        "destructive": destructive,
        "destructiveHint": destructive,
    }


_Answer = tuple[str, Any]  # text for the model, artifact for the application


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a tool: whose memory it uses, who speaks, what they said in this run, and what to call it."""

    namespace: Namespace
    principal: str | None
    names: tuple[str, ...]
    """What the person is called, beside "user" and "I"."""
    words: str
    said_at: str | None
    """When they said it, if that is known."""
    by_application: bool
    key: tuple[str, ...] | None
    seen: frozenset[str] = frozenset()
    """Ids of the turns that the model sees already."""

    def meant(self, name: str) -> str:
        """A name, or that of the person who speaks if it means them."""
        return SPEAKER if is_speaker(name, self.names) else name

    def says(self, *names: str) -> bool:
        """Whether the person's own words in this run hold one of these names; the application needs no words."""
        return self.by_application or any(mentions(self.words, name) for name in names)

    def op_id(self, *parts: object) -> str | None:
        """Name of an operation of this call; None if nothing tells it from others."""
        return None if self.key is None else stable_hash("tool", *self.namespace, "", *self.key, *map(repr, parts))

    def source(self, kind: Kind, tool: str) -> Source:
        """Where what is written comes from.

        What is remembered was said when the person spoke, as is what is extracted from the same words; what is
        forgotten is forgotten now.
        """
        return Source(kind, tool, self.principal, at=self.said_at if tool == "remember" else None)


class MemoryTools(Shared):
    """What the tools do. The ``runtime`` is given by the graph; outside of one the config of the call is used.

    Args:
        memory: The memory.
        scope: Whose memory a run uses.
        erase: Whether ``forget`` erases.
        hub: Where what was said is; by default the memory's.
        show: What ``recall`` shows.
    """

    def __init__(
        self, memory: Memory, scope: Scope, *, erase: bool = False, hub: Hub | None = None, show: Show = "facts"
    ) -> None:
        """Keep the parts."""
        self.memory, self.scope, self.erase = memory, scope, erase
        self.hub, self.show = hub or Hub(memory), check_show(show)

    def remember(self, facts: list[ToolFact], runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        """Write facts: those that the person's own words name as the person's, all others as a tool's."""
        call = self._call(runtime)
        with _told("The facts were not saved"):
            call = replace(call, names=self.memory.speaker_names(namespace=call.namespace))
            written = self._write(call, "remember", [(self._kind_of(call, fact), fact) for fact in facts])
        return "\n".join(_line(fact, outcome) for fact, outcome in written), _artifact(written)

    def recall(self, query: str, k: int = _RECALLED, runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        """Facts that answer a text and what was said about it, as a block."""
        call = self._call(runtime)
        with _told("Nothing could be looked up; what is stored is not known"):
            names = self.memory.speaker_names(namespace=call.namespace)
            text = f"{query} ({SPEAKER})" if any(mentions(query, name) for name in (*names, "the speaker")) else query
            found = recall(
                self.memory,
                self.hub,
                text,
                [call.namespace],
                show=self.show,
                k=k,
                max_tokens=_MAX_TOKENS,
                without=call.seen,
                owner=self.scope.owner,
            )
        facts = [{**match.fact.as_dict(), "similarity": match.similarity, "why": match.why} for match in found]
        return found.block or "Nothing is stored about this.", [*facts, *map(asdict, found.quotes)]

    def forget(
        self,
        subject: str,
        relation: str | None = None,
        object: str | None = None,
        everything: bool = False,
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> _Answer:
        """Close facts, or erase them: what the person stated only if their own words in this run name it."""
        call = self._call(runtime)
        if relation is None and (object is not None or not everything):
            raise ToolException(
                "Nothing was forgotten: give the relation too, or everything=true if the user wants everything about "
                "the subject to go."
            )
        with _told("Nothing was forgotten, as far as is known"):
            call = replace(call, names=self.memory.speaker_names(namespace=call.namespace))
            found = self._found(call, call.meant(subject), relation, object)
            may = {fact.id: self._may_forget(call, fact, everything and relation is None) for fact in found}
            allowed = [fact for fact in found if may[fact.id]]
            gone = self._erased(call, allowed) if self.erase else self._closed(call, allowed)
        return self._forgotten(gone, [fact for fact in found if fact.id not in gone and fact.is_open])

    async def aremember(self, facts: list[ToolFact], runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        """Async twin of ``remember``."""
        return await asyncio.to_thread(self.remember, facts, runtime)

    async def arecall(self, query: str, k: int = _RECALLED, runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        """Async twin of ``recall``."""
        return await asyncio.to_thread(self.recall, query, k, runtime)

    async def aforget(
        self,
        subject: str,
        relation: str | None = None,
        object: str | None = None,
        everything: bool = False,
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> _Answer:
        """Async twin of ``forget``."""
        return await asyncio.to_thread(self.forget, subject, relation, object, everything, runtime)

    # -- the call --------------------------------------------------------------------------------------------------

    def _call(self, runtime: Any) -> _Call:
        """Whose memory a call uses and what the person said.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
        """
        by_application = runtime is None and _BY_APPLICATION.get()
        runtime = runtime if hasattr(runtime, "config") else None  # a model may write an argument of that name
        config: Mapping[str, Any] = runtime.config if runtime is not None else ensure_config()
        principal = self.scope.principal(config, runtime)
        state = getattr(runtime, "state", None)
        messages = _messages_of(state)
        call_id = getattr(runtime, "tool_call_id", None)
        thread = thread_of(config, runtime)
        asked_by = _asked_by(messages, call_id) or _task_of(config, runtime)
        return _Call(
            namespace=self.scope.resolve(config, runtime),
            principal=principal,
            names=(),
            words=own_words(messages, principal),
            said_at=said_in_run(state) or _said_at(messages),
            by_application=by_application,
            seen=frozenset(Turn.named(thread, message.id) for message in messages if message.id),
            key=(thread, asked_by, call_id) if call_id else None,
        )

    def _write(self, call: _Call, tool: str, facts: Sequence[tuple[Kind, ToolFact]]) -> list[tuple[ToolFact, Outcome]]:
        """Write facts, one operation for each kind of source; the outcomes in the order of the facts."""
        outcomes: dict[int, Outcome] = {}
        for kind in dict.fromkeys(kind for kind, _ in facts):
            chosen = [index for index, (each, _) in enumerate(facts) if each == kind]
            statements = [_statement(call, facts[index][1]) for index in chosen]
            receipt = self._deliver(call, tool, kind, statements)
            outcomes |= {index: replace(each, index=index) for index, each in zip(chosen, receipt, strict=True)}
        return [(fact, outcomes[index]) for index, (_, fact) in enumerate(facts)]

    def _deliver(self, call: _Call, tool: str, kind: Kind, statements: Sequence[Statement]) -> Receipt:
        return self.memory.write(
            statements,
            namespace=call.namespace,
            source=call.source(kind, tool),
            op_id=call.op_id(tool, kind, *statements),
            by_model=True,
        )

    def _kind_of(self, call: _Call, fact: ToolFact) -> Kind:
        """The rank of a fact: the person's own only if their words hold its value."""
        subject, value = call.meant(fact.subject), call.meant(fact.object)
        if fact.ended and self._is_named(call, subject, fact.relation, value):
            return "user"
        return "user" if call.says(subject if value == SPEAKER else value) else self._repeated(call, fact)

    def _repeated(self, call: _Call, fact: ToolFact) -> Kind:
        """The rank of what the person did not say: a tool's, or less if it says again what a page had said.

        A model is shown what is stored; that it repeats it makes nothing truer.
        """
        try:
            names = call.meant(fact.subject), fact.relation, call.meant(fact.object)
            held = self.memory.facts(*names, namespace=call.namespace, open_only=True)
            return min(("tool", *(each.kind for each in held)), key=rank_of)
        except InvalidTriple:
            return "tool"  # the write says what is wrong with it

    # -- what may be forgotten -------------------------------------------------------------------------------------

    def _is_named(self, call: _Call, subject: str, relation: str, value: str) -> bool:
        """Whether the person's words name a fact: by its object, its relation's words, or a subject other than them."""
        if call.says(*(name for name in (subject, value) if name != SPEAKER)):
            return True
        known = self.memory.catalogue.resolve(relation)
        return share_a_stem(call.words, relation, known.label, *known.aliases)

    def _may_forget(self, call: _Call, fact: Fact, everything: bool) -> bool:
        """Whether a call may forget a fact: nothing above rank ``user``, and what a person stated only if they ask."""
        if rank_of(fact.kind) < rank_of("user"):
            return True
        if fact.kind != "user" or fact.principal != call.principal:
            return False
        return (everything and asks_to_forget_all(call.words)) or self._is_named(call, *fact.triple)

    def _found(self, call: _Call, subject: str, relation: str | None, value: str | None) -> list[Fact]:
        """The facts meant: open ones, and all of them if they are to be erased."""
        memory, where = self.memory, call.namespace
        found = memory.history(subject, relation, namespace=where)
        if value is not None:
            key = name_key(clean_name(call.meant(value), "object"))
            found = [fact for fact in found if name_key(fact.triple.object) == key]
        if relation is None:
            at_object = memory.read(None, None, subject, namespace=where, thresholds=EXACT, limit=1000)
            found += [match.fact for match in at_object if all(match.fact.id != fact.id for fact in found)]
        return [fact for fact in found if self.erase or fact.is_open]

    def _closed(self, call: _Call, facts: Sequence[Fact]) -> dict[str, Fact]:
        """Close facts; those that were closed, by id."""
        closed: dict[str, Fact] = {}
        kinds: tuple[Kind, ...] = ("user", "tool")
        asked = {fact.id: fact.kind == "user" or self._is_named(call, *fact.triple) for fact in facts}
        for kind in kinds:
            chosen = [fact for fact in facts if asked[fact.id] == (kind == "user")]
            if chosen:
                ends = [Statement(f.triple.subject, f.triple.relation, f.triple.object, retract=True) for f in chosen]
                done = zip(chosen, self._deliver(call, "forget", kind, ends), strict=True)
                closed |= {fact.id: fact for fact, outcome in done if outcome.status == "retracted"}
        return closed

    def _erased(self, call: _Call, facts: Sequence[Fact]) -> dict[str, Fact]:
        """Erase facts; those that are gone, by id."""
        ids = {gone for f in facts for gone in self.memory.forget(namespace=call.namespace, fact_id=f.id).fact_ids}
        return {fact.id: fact for fact in facts if fact.id in ids}

    def _forgotten(self, gone: Mapping[str, Fact], left: Sequence[Fact]) -> _Answer:
        """What was forgotten, in words for the model, and by ids for the application."""
        if not gone and not left:
            return "Nothing is stored about this.", {"fact_ids": [], "left": []}
        said = (
            [f"{'Erased' if self.erase else 'Closed'} {_counted(len(gone))}."] if gone else ["Nothing was forgotten."]
        )
        if gone and not self.erase:
            said.append(f"The history keeps {'it' if len(gone) == 1 else 'them'}.")
        if left:
            said.append(
                f"{_counted(len(left))} stayed: what a person stated goes only if they name it themself in this turn, "
                "and what others or the application stated stays. Ask the user which facts they mean."
            )
        return " ".join(said), {"fact_ids": list(gone), "left": [fact.id for fact in left]}


def _statement(call: _Call, fact: ToolFact) -> Statement:
    return Statement(call.meant(fact.subject), fact.relation, call.meant(fact.object), retract=fact.ended)


def _messages_of(state: Any) -> list[BaseMessage]:
    """The messages in the state of a graph, whatever it is made of and whatever they are called there."""
    values = dict(state) if isinstance(state, Mapping | BaseModel) else getattr(state, "__dict__", {})
    candidates = [state, values.get("messages"), *values.values()]
    return next((list(each) for each in candidates if _holds_messages(each)), [])


def _holds_messages(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(each, BaseMessage) for each in value)


def _said_at(messages: Sequence[BaseMessage]) -> str | None:
    """When the last words of the person were said, if the messages tell."""
    times = [moment for message in split_turn(messages)[1] if (moment := as_moment(said_at(message))) is not None]
    return max(times, default=None)


def _asked_by(messages: Sequence[BaseMessage], call_id: str | None) -> str:
    """The id of the model's message that made a tool call: servers use ids of calls again, as "call_0"."""
    for message in reversed(messages):
        if isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls):
            return message.id or ""
    return ""


def _task_of(config: Mapping[str, Any], runtime: Any) -> str:
    """The id of the graph's task that runs a tool."""
    known = getattr(getattr(runtime, "execution_info", None), "task_id", None)
    return str(known or (config.get("configurable") or {}).get("__pregel_task_id") or "")


@contextmanager
def _told(outcome: str) -> Iterator[None]:
    """Tell the model that the memory failed, and what did not happen; a missing user is the application's error."""
    try:
        yield
    except (NamespaceError, GraphBubbleUp, ToolException):
        raise
    except InvalidTriple as error:
        raise ToolException(f"{outcome}: {error}") from error
    except Exception as error:
        logger.warning("a memory tool failed with %s", reason_of(error))
        reason = reason_of(error, quoting=True)
        raise ToolException(f"{outcome}: the memory does not work now ({reason}). Tell the user so.") from error


def _artifact(written: Sequence[tuple[ToolFact, Outcome]]) -> dict[str, Any]:
    return {"outcomes": [outcome.as_dict() for _, outcome in written]}


def _line(fact: ToolFact, outcome: Outcome) -> str:
    """What became of a fact, in words for the model."""
    said = {
        "stored": "stored",
        "already": "was known already",
        "past": "stored as past: something newer is known",
        "retracted": "is past now",
        "not_found": "nothing to end: it is not known to be so now",
    }.get(outcome.status, f"not stored ({outcome.reason or outcome.status})")
    if outcome.contested:
        said += ", beside another value that was not replaced"
    triple = outcome.triple or (fact.subject, fact.relation, fact.object)
    return f"{' | '.join(triple)}: {said}"


def _counted(facts: int) -> str:
    return "1 fact" if facts == 1 else f"{facts} facts"
