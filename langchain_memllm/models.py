"""Chat models as they are given: a name or an object, how each wants to be asked, and what it raises as our errors.

Servers that speak one API differ in what they refuse: tools, a forced choice of one, the system role, stop texts. What
a model object refused is remembered with it (``Manners``), whoever asks. One bad reply is not a refusal: a generation
that the server could not read as a call, or a message that the client could not build, is asked for again in another
form, and nothing is remembered.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from langchain_memllm.errors import ConfigurationError, MemLLMError, MissingExtra, ModelError
from langchain_memllm.flow import Flow, Step, arun, run
from langchain_memllm.forking import renewed
from langchain_memllm.streams import within

__all__ = [
    "Ask",
    "AskFlow",
    "ChatModel",
    "Manners",
    "Way",
    "aask",
    "ask",
    "chat_model",
    "failed_generation",
    "failures_of",
    "name_of",
    "refused",
    "steps_of",
    "with_tool",
    "without_system",
]

ChatModel: TypeAlias = "str | BaseChatModel"
"""A chat model, or its name as ``init_chat_model`` takes it ("openai:gpt-5-mini")."""


def chat_model(model: ChatModel) -> BaseChatModel:
    """The chat model of that name, or the one given.

    Raises:
        ConfigurationError: It is neither, or no provider has that name.
        MissingExtra: The provider's package is not installed.
        ModelError: The provider's client cannot be built: mostly a missing key.
    """
    if not isinstance(model, str):
        if not callable(getattr(model, "invoke", None)):
            raise ConfigurationError(f"{type(model).__name__} is not a chat model; give a name or a BaseChatModel")
        return model
    from langchain.chat_models import init_chat_model

    try:
        built: BaseChatModel = init_chat_model(model)
    except ImportError as error:
        package = re.search(r"langchain-[\w-]+", str(error).replace("_", "-"))
        name = package[0] if package else "langchain-openai"  # which the extra brings
        command = None if name == "langchain-openai" else f"pip install {name}"
        raise MissingExtra(f"The model {model!r}", "openai", command) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{model!r} is not a chat model; write provider:model, for example 'openai:gpt-5-mini'"
        ) from error
    except Exception as error:
        raise ModelError(
            f"the client of {model!r} cannot be built ({type(error).__name__}); is its key set, such as OPENAI_API_KEY?"
        ) from error
    return built


def name_of(model: Any) -> str:
    """What to call a model in messages; never its key or address."""
    for part in ("model_name", "model", "name"):
        value = getattr(model, part, None)
        if isinstance(value, str) and value:
            return value
    return type(model).__name__


@contextmanager
def failures_of(model: Any, doing: str) -> Iterator[None]:
    """Translate what a model raises, once; interrupts of the graph and our own errors pass.

    Args:
        model: The model that is called.
        doing: What for, for the message.

    Raises:
        ModelError: The model raised. The message has no text of the model's own, which may quote prompts or keys.
    """
    try:
        yield
    except (GraphBubbleUp, MemLLMError):
        raise
    except Exception as error:
        status = getattr(error, "status_code", None)
        shown = type(error).__name__ + (f", status {status}" if status is not None else "")
        raise ModelError(f"the model {name_of(model)} failed while {doing} ({shown}); see the cause above") from error


# --- asking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of a model; with a config it is made ``within`` that alone."""

    model: Runnable[Any, AIMessage]
    messages: list[BaseMessage]
    config: RunnableConfig | None = None


T = TypeVar("T")
AskFlow: TypeAlias = Generator[Ask, AIMessage, T]
"""What to ask a model, and what to make of its replies and failures (``ModelError``), without I/O."""


def ask(flow: AskFlow[T], model: Any, doing: str) -> T:
    """Ask what a flow wants asked, until it is done.

    Args:
        flow: The flow.
        model: The model that is asked, for messages.
        doing: What for, for messages.

    Raises:
        ModelError: The model failed, and the flow knows no other way.
    """
    return run(steps_of(flow, model, doing))


async def aask(flow: AskFlow[T], model: Any, doing: str) -> T:
    """Async twin of ``ask``."""
    return await arun(steps_of(flow, model, doing))


def steps_of(flow: AskFlow[T], model: Any, doing: str) -> Flow[T]:
    """What a flow asks as steps, for a larger flow; a failure of the model is raised in it. See ``ask``."""
    try:
        wanted = next(flow)
        while True:
            try:
                reply = yield _step(wanted, model, doing)
            except ModelError as error:
                wanted = flow.throw(error)
            else:
                wanted = flow.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result


def _step(wanted: Ask, model: Any, doing: str) -> Step:
    def call() -> AIMessage:
        with failures_of(model, doing), within(wanted.config):
            return wanted.model.invoke(wanted.messages, wanted.config)

    async def acall() -> AIMessage:
        with failures_of(model, doing), within(wanted.config):
            return await wanted.model.ainvoke(wanted.messages, wanted.config)

    return Step(call, acall)


# --- how a model wants to be asked ------------------------------------------------------------------------------------

_REFUSALS: Final = frozenset({400, 404, 422, 500, 501})  # what servers answer to a parameter that they do not know
_WORDS: Final = 4_000  # characters of an error that are looked at
_NO_TOOLS: Final = re.compile(
    r"\b(?:not support|unsupported|unknown|unrecogni[sz]ed|unexpected|no endpoints|not permitted|extra (?:in|fi)\w+)"
    r"[^\n]{0,120}?\b(?:tools?|functions?)\b"
    r"|\b(?:tools?|functions?|tool[ _-](?:use|calls?|calling)|function[ _-]calling)\b[^\n]{0,120}?"
    r"(?:\bnot (?:supported|enabled|available|allowed|permitted)|\bunsupported|\brequires? --|\bnot implemented"
    r"|\bextra (?:inputs|fields))"
    r"|--enable-auto-tool-choice",
    re.IGNORECASE,
)
_NO_CHOICE: Final = re.compile(r"tool[ _]?choice", re.IGNORECASE)
_NO_SYSTEM: Final = re.compile(
    r"\b(?:system|developer)[ _](?:role|message|prompt|instruction)s?\b[^\n]{0,80}?\b(?:not|unsupported|disabled)\b"
    r"|\bnot support[^\n]{0,40}?\bsystem\b|\broles must alternate\b",
    re.IGNORECASE,
)
_BAD_REPLY: Final = re.compile(
    r"tool_use_failed|failed to (?:parse|call)[^\n]{0,40}(?:tool|function)|error parsing tool call", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Way:
    """How one request is made.

    Args:
        tools: Tools are offered.
        forced: One of them must be called, where the asker wants that.
        system: Rules stand in a system message; else in the first message of the person.
        stops: Stop texts are given, where the asker has some.
        unsure: Tools were refused for this request without a word about them.
    """

    tools: bool = True
    forced: bool = True
    system: bool = True
    stops: bool = True
    unsure: bool = False


@dataclass(slots=True)
class Manners:
    """What a model refused so far. Shared by all that use one model object; single values are set, so threads may.

    Tools refused in so many words are not offered again; if the refusal says nothing of them, they are offered once
    more, and then no longer. Once a call with tools has worked, a single refusal without a word is taken for one of
    the moment.
    """

    tools: bool = True
    forced: bool = True
    system: bool = True
    stops: bool = True
    _worked: bool = False
    _doubts: int = 0
    _refusals: int = 0

    @classmethod
    def of(cls, model: Any) -> Manners:
        """Those of a model object; new ones for an object that cannot be remembered."""
        with _LOCK:
            known = _KNOWN.get(id(model))
            if known is None:
                known = cls()
                try:
                    weakref.finalize(model, _KNOWN.pop, id(model), None).atexit = False
                except TypeError:  # no weak references to it, so its number may be another's tomorrow
                    return known
                _KNOWN[id(model)] = known
            return known

    def way(self, *, tools: bool = True) -> Way:
        """How to ask now."""
        return Way(tools and self.tools, self.forced, self.system, self.stops)

    def other(self, error: ModelError, way: Way, *, choice: bool = True, stops: bool = False) -> Way:
        """Another way to make a request that failed.

        Args:
            error: How it failed.
            way: How it was made.
            choice: Whether it may be made without tools.
            stops: Whether it has stop texts to leave out.

        Raises:
            ModelError: The same error: it was not the way of asking.
        """
        cause = error.__cause__
        words = str(cause)[:_WORDS]
        if way.tools and choice and _is_bad_reply(cause, words):
            return replace(way, tools=False)
        if not refused(cause):
            raise error
        if way.system and _NO_SYSTEM.search(words):
            self.system = False
            return replace(way, system=False)
        if way.tools and _NO_TOOLS.search(words) and choice:
            self.tools = False
            return replace(way, tools=False)
        if way.tools and way.forced and _NO_CHOICE.search(words):
            self.forced = False
            return replace(way, forced=False)
        if way.tools:
            self._refusals += 1
        if way.tools and choice and (not self._worked or self._refusals > 1):
            return replace(way, tools=False, unsure=True)
        if stops and way.stops and not way.tools:
            return replace(way, stops=False)
        raise error

    def worked(self, way: Way, *, stops: bool = False) -> None:
        """A request of this way was answered; ``stops``: it would have had stop texts."""
        with _LOCK:
            if way.tools:
                self._worked, self._doubts, self._refusals = True, 0, 0
            elif way.unsure:
                self._doubts += 1
                self.tools = self.tools and self._doubts < 2
            if stops and not way.stops:
                self.stops = False


_KNOWN: Final[dict[int, Manners]] = {}
_LOCK: Final = renewed(threading.RLock())  # reentrant: a model may be collected while it is held


def refused(error: BaseException | None) -> bool:
    """Whether a model may have turned a request down for its form, not for its moment."""
    if isinstance(error, NotImplementedError | TypeError):
        return True
    return getattr(error, "status_code", None) in _REFUSALS


def _is_bad_reply(error: BaseException | None, words: str) -> bool:
    """Whether the model answered, but the server or the client could not make a message of it."""
    return isinstance(error, ValidationError) or bool(_BAD_REPLY.search(words))


def failed_generation(error: BaseException | None) -> str | None:
    """What the model wrote where a server could not read it as a call (Groq), or None."""
    body = getattr(error, "body", None)
    for at in (body, body.get("error") if isinstance(body, Mapping) else None):
        written = at.get("failed_generation") if isinstance(at, Mapping) else None
        if isinstance(written, str) and written.strip():
            return written
    return None


def with_tool(model: Any, tool: Mapping[str, Any], choices: Sequence[str | None] = (None,)) -> Any:
    """The model with a tool and the first choice that its client knows; None if it knows no tools.

    Args:
        model: A chat model.
        tool: The tool, as OpenAI describes functions.
        choices: Values of ``tool_choice``, the best first; None leaves it out.
    """
    if (getattr(model, "profile", None) or {}).get("tool_calling") is False:
        return None
    for choice in choices:
        try:
            return model.bind_tools([tool], **({"tool_choice": choice} if choice else {}))
        except (NotImplementedError, AttributeError):
            return None
        except (ValueError, TypeError):
            continue
    return None


def without_system(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The same conversation for a model without a system role: those texts stand before the person's next words."""
    kept: list[BaseMessage] = []
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            waiting.append(str(message.text))
        elif waiting and isinstance(message, HumanMessage):
            kept.append(_before(message, "\n\n".join(waiting)))
            waiting = []
        else:
            kept.append(message)
    return [*kept, HumanMessage("\n\n".join(waiting))] if waiting else kept


def _before(message: HumanMessage, text: str) -> HumanMessage:
    content = message.content
    shown = f"{text}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": text}, *content]
    return message.model_copy(update={"content": shown})
