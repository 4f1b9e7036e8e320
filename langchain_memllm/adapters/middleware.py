"""Memory as middleware of ``create_agent``: recall before the model is called, write after the agent.

One line in an agent that exists. The recalled facts stand in a copy of the last human message, so nothing of them
stays in the thread. Each run says whose memory it uses; one that does not is refused before its model is called.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired, cast, get_args

from langchain.agents.middleware.types import AgentMiddleware, AgentState, ModelRequest, ModelResponse, PrivateStateAttr
from langchain_core.messages import AnyMessage, BaseMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config

from langchain_memllm.chat import with_block
from langchain_memllm.conversation import split_turn, text_of
from langchain_memllm.door import Door
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.extraction import Extractor
from langchain_memllm.scope import Scope
from langchain_memllm.triples import stable_hash
from langchain_memllm.turns import OnError, Recaller, TurnWriter

__all__ = ["MemLLMMiddleware", "Mode", "TurnState", "check_mode"]

Mode = Literal["auto", "read", "write", "tools"]
"""What the middleware does by itself; with ``tools`` the model decides."""

_NAME: Final = re.compile(r"[\w .-]{1,64}")  # it becomes the name of nodes in the agent's graph


class TurnState(AgentState[Any]):
    """The agent's state, and the ids of the messages that a run began with: not in its input or output."""

    memllm_said: NotRequired[Annotated[list[str], PrivateStateAttr]]


class MemLLMMiddleware(AgentMiddleware[TurnState, Any, Any]):
    """Gives an agent a memory; made by ``MemLLMMemory.middleware``.

    Args:
        door: The memory, and the recollections of runs under way.
        scope: Whose memory a run uses.
        mode: What it does by itself.
        write: ``after_agent`` or ``off``.
        k: Most facts recalled.
        max_tokens: Most tokens of the block that shows them.
        extractor: Finds what to write; None if nothing is written.
        tools: Tools the agent gets.
        on_error: What a failing memory does to a run.
        name: Name of the middleware; two of one agent need two names.

    Raises:
        ConfigurationError: An unknown choice, or a name that no node can have.
    """

    state_schema = TurnState

    def __init__(
        self,
        door: Door,
        scope: Scope,
        *,
        mode: Mode = "auto",
        write: Literal["after_agent", "off"] = "after_agent",
        k: int = 8,
        max_tokens: int = 600,
        extractor: Extractor | None = None,
        tools: Sequence[BaseTool] = (),
        on_error: OnError = "warn",
        name: str | None = None,
    ) -> None:
        """Keep the parts."""
        if write not in ("after_agent", "off"):
            raise ConfigurationError(f"write={write!r} is unknown; use 'after_agent' or 'off'")
        if name is not None and not _NAME.fullmatch(name):
            raise ConfigurationError(f"middleware name {name!r} cannot name a node; use letters, digits, '_', '-', '.'")
        self.door, self.scope, self.mode = door, scope, check_mode(mode)
        self.tools = list(tools)
        self._name = name or type(self).__name__
        self._recaller: Recaller | None = None
        self._writer: TurnWriter | None = None
        if mode in ("auto", "read"):
            self._recaller = Recaller(door.memory, scope, k=k, max_tokens=max_tokens, on_error=on_error)
        if mode in ("auto", "write") and write != "off" and extractor is not None:
            self._writer = TurnWriter(door.memory, scope, extractor, on_error=on_error)

    @property
    def name(self) -> str:
        """Name of the middleware in the agent's graph."""
        return self._name

    def before_agent(self, state: TurnState, runtime: Any) -> dict[str, Any] | None:
        """Note what this run begins with: on a thread with a checkpointer all earlier messages are there too.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
        """
        self.door.drop(self._run(state["messages"], runtime))
        return {"memllm_said": [message.id for message in _new(state["messages"])]} if self._writer else None

    async def abefore_agent(self, state: TurnState, runtime: Any) -> dict[str, Any] | None:
        """Async twin of ``before_agent``; nothing in it waits."""
        return self.before_agent(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Show the model what the user's words bring to mind: asked once a run, shown at each of its steps."""
        if self._recaller is None:
            return handler(request)
        run = self._run(request.messages, request.runtime)
        block = self.door.kept(run)
        if block is None:
            block = self._recaller.recall(request.messages, get_config(), request.runtime)
            self.door.keep(run, block)
        return handler(_shown(request, block))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Async twin of ``wrap_model_call``."""
        if self._recaller is None:
            return await handler(request)
        run = self._run(request.messages, request.runtime)
        block = self.door.kept(run)
        if block is None:
            block = await self._recaller.arecall(request.messages, get_config(), request.runtime)
            self.door.keep(run, block)
        return await handler(_shown(request, block))

    def after_agent(self, state: TurnState, runtime: Any) -> None:
        """Write what the user said in this run: one call of the extraction model, none if it was written before."""
        if self._writer is not None and (turn := _turn(state)):
            self._writer.write(turn, get_config(), runtime)
        self.door.drop(self._run(state["messages"], runtime))

    async def aafter_agent(self, state: TurnState, runtime: Any) -> None:
        """Async twin of ``after_agent``."""
        if self._writer is not None and (turn := _turn(state)):
            await self._writer.awrite(turn, get_config(), runtime)
        self.door.drop(self._run(state["messages"], runtime))

    def _run(self, messages: Sequence[BaseMessage], runtime: Any) -> Hashable:
        """What tells this run's question from all others.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
        """
        config = get_config()
        said = split_turn(messages)[1]
        ids = (str(message.id) for message in said)
        thread = str((config.get("configurable") or {}).get("thread_id") or "")
        return id(self), stable_hash(*self.scope.resolve(config, runtime), "", thread, *ids, text_of(said))


def _shown(request: ModelRequest[Any], block: str) -> ModelRequest[Any]:
    """The request with the block beside the user's words; the thread keeps those alone."""
    return request.override(messages=cast("list[AnyMessage]", with_block(request.messages, block)))


def _new(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """What the user says in a run that begins: the human messages at the end."""
    _, said, after = split_turn(messages)
    return [] if after else said


def _turn(state: TurnState) -> list[BaseMessage]:
    """The conversation up to what the user said in this run; nothing if that is not there (any more)."""
    said = set(state.get("memllm_said") or ())
    messages: list[BaseMessage] = list(state["messages"])
    return messages[: max((at for at, each in enumerate(messages, start=1) if each.id in said), default=0)]


def check_mode(mode: str) -> Mode:
    """The mode, if there is such a one.

    Raises:
        ConfigurationError: There is none.
    """
    if mode not in get_args(Mode):
        raise ConfigurationError(f"mode {mode!r} of the middleware is unknown; use one of {', '.join(get_args(Mode))}")
    found: Mode = mode  # type: ignore[assignment]
    return found
