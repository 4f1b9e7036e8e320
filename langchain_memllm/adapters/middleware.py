"""Memory as middleware of ``create_agent``: recall before the model is called, write after the agent.

One line in an agent that exists. The recalled facts stand in a copy of the last human message, so nothing of them
stays in the thread. Each run says whose memory it uses; one that does not is refused before its model is called.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, NotRequired, cast, get_args

from langchain.agents.middleware.types import AgentMiddleware, AgentState, ModelRequest, ModelResponse, PrivateStateAttr
from langchain_core.messages import AnyMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config

from langchain_memllm.background import BackgroundWriter
from langchain_memllm.chat import with_block
from langchain_memllm.conversation import text_of
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.flow import Flow, arun, run
from langchain_memllm.scope import Scope
from langchain_memllm.triples import stable_hash
from langchain_memllm.turns import Known, Noted, Recaller, TurnWriter, notes_of, refuse_duplicates

__all__ = ["MemLLMMiddleware", "Mode", "TurnState", "WriteWhen", "check_choices"]

Mode = Literal["auto", "read", "write", "tools"]
"""What the middleware does by itself; with ``tools`` the model decides."""

WriteWhen = Literal["after_agent", "background", "off"]
"""When what the person said is extracted; ``background`` makes no answer wait for it."""

_NAME: Final = re.compile(r"[\w .-]{1,64}")  # it becomes the name of nodes in the agent's graph


class TurnState(AgentState[Any]):
    """The agent's state, and ours, which is not in its input or output.

    By the middleware's name, for an agent may have two memories: what is known of the thread's messages (see
    ``turns.Known``), the ids of those that this run noted, and what a memory gate decided about the last turn.
    """

    memllm_said: NotRequired[Annotated[dict[str, Known], PrivateStateAttr]]
    memllm_run: NotRequired[Annotated[dict[str, list[str]], PrivateStateAttr]]
    memllm_gate: NotRequired[Annotated[dict[str, dict[str, Any]], PrivateStateAttr]]


class MemLLMMiddleware(AgentMiddleware[TurnState, Any, Any]):
    """Gives an agent a memory; made by ``MemLLMMemory.middleware``.

    Args:
        scope: Whose memory a run uses.
        recaller: Finds what to show the model; None if nothing is shown.
        writer: Writes what the person says; None if nothing is written.
        background: Extracts later; None: after the agent, before its answer is given back.
        tools: Tools the agent gets.
        name: Name of the middleware; two of one agent need two names.

    Raises:
        ConfigurationError: A name that no node can have.
    """

    state_schema = TurnState

    def __init__(
        self,
        scope: Scope,
        *,
        recaller: Recaller | None = None,
        writer: TurnWriter | None = None,
        background: BackgroundWriter | None = None,
        tools: Sequence[BaseTool] = (),
        name: str | None = None,
    ) -> None:
        """Keep the parts."""
        if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ConfigurationError(f"middleware name {name!r} cannot name a node; use letters, digits, '_', '-', '.'")
        self.scope, self.tools = scope, list(tools)
        self._recaller, self._writer, self._background = recaller, writer, background
        self._name = name or type(self).__name__

    @property
    def name(self) -> str:
        """Name of the middleware in the agent's graph."""
        return self._name

    def before_agent(self, state: TurnState, runtime: Any) -> dict[str, Any] | None:
        """Commit what the person says in this run to the outbox: from here on it is not lost.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
        """
        return run(self._begin(state, runtime))

    async def abefore_agent(self, state: TurnState, runtime: Any) -> dict[str, Any] | None:
        """Async twin of ``before_agent``."""
        return await arun(self._begin(state, runtime))

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Show the model what answers the user's words: asked once a run, shown at each of its steps."""
        return handler(_shown(request, run(self._block(request))))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Async twin of ``wrap_model_call``."""
        return await handler(_shown(request, await arun(self._block(request))))

    def after_agent(self, state: TurnState, runtime: Any) -> dict[str, Any] | None:
        """Write what the person said in this run: one call of the extraction model, none if it was written before."""
        return run(self._end(state, runtime))

    async def aafter_agent(self, state: TurnState, runtime: Any) -> dict[str, Any] | None:
        """Async twin of ``after_agent``."""
        return await arun(self._end(state, runtime))

    def _begin(self, state: TurnState, runtime: Any) -> Flow[dict[str, Any] | None]:
        config, messages = get_config(), state["messages"]
        self.scope.resolve(config, runtime)
        if self._recaller is not None:
            self._recaller.begin(messages, config, runtime)
        if self._writer is None:
            return None
        known, _ = self._notes(state)
        noted = yield from self._writer.note(messages, config, runtime, known=known)
        if noted is None:
            return self._kept(state, known, [])
        new = [message_id for message_id, value in noted.known.items() if known.get(message_id) != value]
        return self._kept(state, noted.known, new)

    def _block(self, request: ModelRequest[Any]) -> Flow[str]:
        """What the model is shown. What was redacted in the person's words is redacted where it waits.

        Raises:
            ConfigurationError: The agent has two tools of one name, and one is a memory's.
        """
        refuse_duplicates(request.tools, self.tools)
        config, runtime, state = get_config(), request.runtime, cast("TurnState", request.state)
        if self._writer is not None and self._was_edited(state):
            yield from self._note_again(state, config, runtime)
        if self._recaller is None:
            return ""
        return (yield from self._recaller.recall(request.messages, config, runtime))

    def _end(self, state: TurnState, runtime: Any) -> Flow[dict[str, Any] | None]:
        gate = self._gate(state, runtime)
        written = yield from self._written(state, runtime)
        return {**(written or {}), **gate} if gate else written

    def _gate(self, state: TurnState, runtime: Any) -> dict[str, Any]:
        """The update of the state with what the gate decided in this run, if there is one."""
        if self._recaller is None or self._recaller.gate is None:
            return {}
        decision = self._recaller.decision(state["messages"], get_config(), runtime)
        kept = {**notes_of(state.get("memllm_gate")), self._name: {} if decision is None else decision.as_dict()}
        return {"memllm_gate": kept}

    def _written(self, state: TurnState, runtime: Any) -> Flow[dict[str, Any] | None]:
        if self._writer is None:
            return None
        config = get_config()
        noted = yield from self._note_again(state, config, runtime)
        if noted is None:
            return self._kept(state, self._notes(state)[0], [])
        if self._background is not None:
            self._background.submit(noted.namespace, len(noted.op_ids))
        else:
            yield from self._writer.write(noted, runtime)
        return self._kept(state, noted.known, [])

    def _note_again(self, state: TurnState, config: Any, runtime: Any) -> Flow[Noted | None]:
        """Note what changed since the run began, and all that it is about. What is gone by now was trimmed."""
        assert self._writer is not None
        known, ongoing = self._notes(state)
        noted = yield from self._writer.note(state["messages"], config, runtime, known=known, ongoing=ongoing)
        if noted is None:
            return None
        values = [noted.known.get(message_id) or known.get(message_id) for message_id in ongoing]
        own = [value["op_id"] for value in values if value is not None]
        return replace(noted, op_ids=tuple(dict.fromkeys([*own, *noted.op_ids])))

    def _notes(self, state: TurnState) -> tuple[Known, list[str]]:
        """What this middleware knows of the thread's messages, and the ids of those that this run noted."""
        known, ongoing = notes_of(state.get("memllm_said")), notes_of(state.get("memllm_run"))
        return dict(known.get(self._name) or {}), list(ongoing.get(self._name) or ())

    def _kept(self, state: TurnState, known: Known, ongoing: list[str]) -> dict[str, Any]:
        """The update of the state, beside what other middlewares keep there."""
        said, run = notes_of(state.get("memllm_said")), notes_of(state.get("memllm_run"))
        return {"memllm_said": {**said, self._name: known}, "memllm_run": {**run, self._name: ongoing}}

    def _was_edited(self, state: TurnState) -> bool:
        """Whether what this run noted reads otherwise now: another middleware redacts what people say in its place."""
        known, ongoing = self._notes(state)
        return any(
            stable_hash(text_of([message])) != known[message.id]["text_hash"]
            for message in state["messages"]
            if message.id in ongoing and message.id in known
        )


def _shown(request: ModelRequest[Any], block: str) -> ModelRequest[Any]:
    """The request with the block beside the user's words; the thread keeps those alone."""
    return request.override(messages=cast("list[AnyMessage]", with_block(request.messages, block)))


def check_choices(mode: str, write: str, prefix: str | None = None) -> None:
    """Check what a middleware is asked to do.

    Raises:
        ConfigurationError: An unknown mode or time, or a prefix for tools that it does not give.
    """
    if mode not in get_args(Mode):
        raise ConfigurationError(f"mode {mode!r} of the middleware is unknown; use one of {', '.join(get_args(Mode))}")
    if write not in get_args(WriteWhen):
        raise ConfigurationError(f"write={write!r} is unknown; use one of {', '.join(map(repr, get_args(WriteWhen)))}")
    if prefix is not None and mode != "tools":
        raise ConfigurationError(
            f"prefix={prefix!r} names tools, and mode={mode!r} gives none; use mode='tools' or tools(prefix=…)"
        )
