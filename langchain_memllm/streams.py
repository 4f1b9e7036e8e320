"""What a run's streams see of a model call: nothing of an internal one, and of an answer only what is one.

A model that is called inside a run reports to whoever listens to the run: ``stream_mode="messages"``,
``astream_events``, token callbacks. Extraction is nobody's answer, so it is kept from them and stays in traces
(``quiet``). An answer may hold calls of the memory as text; it is streamed without them (``aloud``). Knows models and
callbacks; what is shown of a text is told by a ``Shown``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.base import BaseTracer
from langgraph.constants import TAG_NOSTREAM
from pydantic import PrivateAttr

__all__ = ["Shown", "aloud", "muted", "quiet", "within"]

_Callbacks: TypeAlias = "list[BaseCallbackHandler] | BaseCallbackManager | None"
_TOKENS: Final = ("on_llm_new_token", "on_stream_event")


def quiet(run_name: str) -> RunnableConfig:
    """A config for a call that no stream of the current run shows; tracers and other callbacks see it.

    The call is made ``within`` it: what is bound to a model takes the callbacks of its surroundings, too.

    Args:
        run_name: Name of the call in traces.
    """
    current = ensure_config()
    return {
        **current,
        "tags": [TAG_NOSTREAM],
        "run_name": run_name,
        "metadata": {**(current.get("metadata") or {}), **_internal()},
        "callbacks": _with(current.get("callbacks"), _silent),
    }


@contextmanager
def within(config: RunnableConfig | None) -> Iterator[None]:
    """Calls in this block take their callbacks from this config alone; with None, from the run as always."""
    if config is None:
        yield
        return
    inside = {key: value for key, value in config.items() if key not in ("run_id", "run_name")}
    outside = var_child_runnable_config.set(cast(RunnableConfig, inside))
    try:
        yield
    finally:
        var_child_runnable_config.reset(outside)


def muted(model: Any) -> Any:
    """A chat model whose own callbacks see no tokens; the same one if it has none that look at tokens."""
    own = getattr(model, "callbacks", None)
    if not isinstance(model, BaseChatModel) or not any(_hears_tokens(handler) for handler in _handlers(own)):
        return model
    return model.model_copy(update={"callbacks": _with(own, _silent)})


def _internal() -> dict[str, Any]:
    """The mark by which LangChain's event streams tell internal calls, where this version has it."""
    try:
        from langchain.agents.middleware.internal_call_transformer import internal_call_metadata
    except ImportError:
        return {}
    return internal_call_metadata()


# --- who listens ------------------------------------------------------------------------------------------------------


def _handlers(callbacks: Any) -> list[BaseCallbackHandler]:
    return list(getattr(callbacks, "handlers", callbacks) or ())


def _with(callbacks: _Callbacks, part: Callable[[BaseCallbackHandler], BaseCallbackHandler | None]) -> Any:
    """The callbacks, of each handler the part that is wanted; those for which it is None are left out."""
    if not isinstance(callbacks, BaseCallbackManager):
        return [kept for each in callbacks or () if (kept := part(each)) is not None]
    manager = callbacks.copy()
    chosen = {id(each): part(each) for each in (*manager.handlers, *manager.inheritable_handlers)}
    for name in ("handlers", "inheritable_handlers"):
        parts = (chosen[id(each)] for each in getattr(manager, name))
        setattr(manager, name, [each for each in parts if each is not None])
    return manager


def _streams(handler: BaseCallbackHandler) -> bool:
    """Whether a handler feeds a stream (``astream_events``, ``stream_mode="messages"``): it may tap what is output."""
    return callable(getattr(handler, "tap_output_iter", None))


def _hears_tokens(handler: BaseCallbackHandler) -> bool:
    """Whether a handler that neither feeds a stream nor is a tracer looks at tokens."""
    if _streams(handler) or isinstance(handler, BaseTracer):
        return False
    kinds = type(handler).__mro__
    return any(_TOKENS[0] in vars(kind) for kind in kinds[: _base_of(kinds)])


def _base_of(kinds: Sequence[type]) -> int:
    return next(at for at, kind in enumerate(kinds) if kind.__module__.startswith("langchain_core.callbacks.base"))


def _silent(handler: BaseCallbackHandler) -> BaseCallbackHandler | None:
    """A handler without the tokens; None for one that feeds a stream."""
    if _streams(handler):
        return None
    return _Part(handler, tokens=False) if _hears_tokens(handler) else handler


def _listening(handler: BaseCallbackHandler) -> BaseCallbackHandler | None:
    """What ``_silent`` leaves out of a handler."""
    if _streams(handler):
        return handler
    return _Part(handler, tokens=True) if _hears_tokens(handler) else None


class _Part(BaseCallbackHandler):
    """Of a handler only what concerns tokens, or all but that."""

    def __init__(self, handler: BaseCallbackHandler, *, tokens: bool) -> None:
        self._whole, self._tokens = handler, tokens

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        if name.startswith("on_") and (name in _TOKENS) != self._tokens:
            return _nothing
        return getattr(self._whole, name)


def _nothing(*_: Any, **__: Any) -> None:
    """Takes an event and does nothing with it."""


# --- an answer, without what is none ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a text that a model writes.

    Args:
        final: Of the whole text.
        early: Of its beginning, whatever follows: it stays a beginning of what is shown in the end.
    """

    final: Callable[[str], str]
    early: Callable[[str], str]


def aloud(
    model: Any, bound: Runnable[Any, AIMessage], shown: Shown
) -> tuple[Runnable[Any, AIMessage], RunnableConfig | None]:
    """What to invoke, and within which config, so that whoever hears tokens hears only what is shown of the text.

    The result of the call is the model's own message. Traces and other callbacks see the call of the model itself.

    Args:
        model: The chat model.
        bound: The same, ``muted`` and bound for the call.
        shown: What listeners see of its text.
    """
    current = ensure_config()
    listening = _with(current.get("callbacks"), _listening)
    own = [part for each in _handlers(getattr(model, "callbacks", None)) if (part := _listening(each)) is not None]
    if not _handlers(listening) and not own:
        return bound, None
    run_id = uuid4()
    inside: RunnableConfig = {**quiet(_name(model)), "tags": current.get("tags") or [], "run_id": run_id}
    streaming: dict[str, Any] = {"streaming": True} if getattr(model, "streaming", False) else {}
    spoken = _Aloud(inner=bound, base=model, shown=shown, inside=inside, callbacks=own, **streaming)
    outside: RunnableConfig = {**current, "callbacks": listening, "run_name": _name(model), "run_id": run_id}
    return _Own(spoken), outside


def _name(model: Any) -> str:
    name = getattr(model, "get_name", None)
    return str(name()) if callable(name) else type(model).__name__


class _Own(Runnable[Any, AIMessage]):
    """Has an answer spoken, and returns the message as the model gave it."""

    def __init__(self, spoken: _Aloud) -> None:
        self._spoken = spoken

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        """See ``Runnable.invoke``."""
        self._spoken.invoke(input, config)
        return self._spoken.own

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        """Async twin of ``invoke``."""
        await self._spoken.ainvoke(input, config)
        return self._spoken.own


class _Aloud(BaseChatModel):
    """A model that says what is shown of another one's text; for one call."""

    inner: Any
    base: Any
    shown: Any
    inside: Any
    streaming: bool = False
    _own: Any = PrivateAttr(default=None)

    @property
    def own(self) -> AIMessage:
        """The model's own message."""
        own: AIMessage = self._own
        return own

    @property
    def _llm_type(self) -> str:
        return str(getattr(self.base, "_llm_type", "memllm"))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        described = getattr(self.base, "_get_ls_params", super()._get_ls_params)
        return described(stop=stop)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        with within(self.inside):
            return self._result(self.inner.invoke(messages, self.inside))

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        with within(self.inside):
            return self._result(await self.inner.ainvoke(messages, self.inside))

    def _result(self, own: AIMessage) -> ChatResult:
        self._own = own
        if isinstance(own.content, str):
            own = own.model_copy(update={"content": self.shown.final(own.content)})
        return ChatResult(generations=[ChatGeneration(message=own)])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        saying, chunks = _Saying(self.shown), self.inner.stream(messages, self.inside)
        while not saying.over:
            with within(self.inside):
                chunk = next(chunks, None)
            said = saying.more(chunk)
            if run_manager is not None:
                run_manager.on_llm_new_token(str(said.text), chunk=said)
            yield said
        self._own = saying.own

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        saying, chunks = _Saying(self.shown), self.inner.astream(messages, self.inside)
        while not saying.over:
            with within(self.inside):
                chunk = await anext(chunks, None)
            said = saying.more(chunk)
            if run_manager is not None:
                await run_manager.on_llm_new_token(str(said.text), chunk=said)
            yield said
        self._own = saying.own


class _Saying:
    """A message on its way: what came, and what of its text was shown."""

    def __init__(self, shown: Shown) -> None:
        self.over = False
        self._shown, self._text, self._said = shown, "", ""
        self._whole: AIMessageChunk | None = None

    @property
    def own(self) -> AIMessage:
        """The whole message as the model gave it."""
        own = message_chunk_to_message(self._whole or AIMessageChunk(content=""))
        assert isinstance(own, AIMessage)
        return own

    @property
    def _id(self) -> str | None:
        return self._whole.id if self._whole is not None else None

    def more(self, chunk: AIMessage | None) -> ChatGenerationChunk:
        """A piece of the message with the text that may be shown now; after the last, None, what was held back.

        Blocks are shown as they are: models that write blocks write no calls in their text.
        """
        if chunk is None:
            self.over = True
            rest = self._rest(self._shown.final(self._text)) if self._text else ""
            return ChatGenerationChunk(message=AIMessageChunk(content=rest, id=self._id, chunk_position="last"))
        if not isinstance(chunk, AIMessageChunk):
            chunk = AIMessageChunk(**chunk.model_dump(exclude={"type", "content_blocks"}))
        self._whole = chunk if self._whole is None else self._whole + chunk
        shown: dict[str, Any] = {"chunk_position": None}
        if isinstance(chunk.content, str):
            self._text += chunk.content
            shown["content"] = self._new(self._shown.early(self._text))
        return ChatGenerationChunk(message=chunk.model_copy(update=shown))

    def _new(self, shown: str) -> str:
        new = shown[len(self._said) :] if shown.startswith(self._said) else ""
        self._said += new
        return new

    def _rest(self, shown: str) -> str:
        """What is still to be said; all of it if what was said before turned out to be a thought."""
        if self._said.startswith(shown):
            return ""
        return shown[len(self._said) :] if shown.startswith(self._said) else shown
