"""Doubles for tests of applications: an embedder and a chat model that say what they are told to.

No network, key or download; the same answers in every process.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from langchain_memllm.errors import ConfigurationError

__all__ = ["Answer", "FakeEmbedder", "Request", "Script", "ScriptedModel", "tool_call"]


class FakeEmbedder(Embeddings):
    """Vectors by rule: equal for texts of one group, nearly at right angles otherwise, whatever they mean.

    Args:
        groups: Texts that should be similar, each group with a cosine of 0.95 between any two of it.
        dimension: Length of the vectors.
    """

    def __init__(self, groups: Sequence[Sequence[str]] = (), dimension: int = 64) -> None:
        """Note the groups."""
        self.dimension = dimension
        self.calls = 0
        self._group = {text.casefold(): str(number) for number, group in enumerate(groups) for text in group}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One unit vector for each text."""
        self.calls += 1
        return [self._embed(text.casefold()) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """As ``embed_documents`` for one text."""
        return self.embed_documents([text])[0]

    def _embed(self, text: str) -> list[float]:
        own = self._direction("text " + text)
        group = self._group.get(text)
        if group is None:
            return own
        shared = self._direction("group " + group)
        mixed = [math.sqrt(0.95) * a + math.sqrt(0.05) * b for a, b in zip(shared, own, strict=True)]
        norm = math.sqrt(sum(value * value for value in mixed))
        return [value / norm for value in mixed]

    def _direction(self, seed: str) -> list[float]:
        """A unit vector with a sign of 1 or -1 in each place, drawn from the seed."""
        length = 1 / math.sqrt(self.dimension)
        digest = hashlib.shake_256(seed.encode("utf-8", "surrogatepass")).digest(self.dimension)
        return [length if byte & 1 else -length for byte in digest]


@dataclass(frozen=True, slots=True)
class Request:
    """What a scripted model was asked: messages, names of the tools it could call, stop texts, choice of a tool."""

    messages: tuple[BaseMessage, ...]
    tools: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    choice: Any = None

    @property
    def text(self) -> str:
        """All messages as one text."""
        return "\n".join(str(message.text) for message in self.messages)


Answer: TypeAlias = str | AIMessage | Exception
"""What a scripted model gives; an exception is raised."""

Script: TypeAlias = Sequence[Answer] | Callable[[Request], Answer]
"""Answers in order, or a function that gives each."""


class ScriptedModel(BaseChatModel):
    """A chat model that answers from a script and remembers what it was asked.

    Args:
        script: Answers in order (an exception is raised), or a function from a ``Request`` to one. A function of the
            request alone answers alike after a restart; a sequence does not.
        tools: Whether it knows tools at all.
        stops: Whether it takes stop texts; if not, it raises ``TypeError`` as clients do.
    """

    script: Any
    tools: bool = True
    stops: bool = True
    requests: list[Request] = Field(default_factory=list)
    _answered: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_model_name": "scripted"}

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The model with these tools."""
        if not self.tools:
            raise NotImplementedError("this scripted model knows no tools")
        named = [convert_to_openai_tool(tool)["function"]["name"] for tool in tools]
        bound: Runnable[Any, AIMessage] = self.bind(tools=named, tool_choice=tool_choice, **kwargs)
        return bound

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages, stop, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """Word by word, then the tool calls."""
        answer = self._answer(messages, stop, kwargs)
        for word in str(answer.text).replace(" ", "\x00 ").split("\x00"):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word, id=answer.id))
            if run_manager is not None:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        last = AIMessageChunk(content="", id=answer.id, tool_calls=answer.tool_calls, chunk_position="last")
        yield ChatGenerationChunk(message=last)

    def _answer(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]) -> AIMessage:
        if stop and not self.stops:
            raise TypeError("this scripted model takes no stop texts")
        request = Request(tuple(messages), tuple(kwargs.get("tools", ())), tuple(stop or ()), kwargs.get("tool_choice"))
        self.requests.append(request)
        answer = self.script(request) if callable(self.script) else self._next()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, AIMessage) else AIMessage(_stopped(answer, request.stop))

    def _next(self) -> Answer:
        if self._answered >= len(self.script):
            raise ConfigurationError(f"the script has {len(self.script)} answers, but the model was asked once more")
        self._answered += 1
        answer: Answer = self.script[self._answered - 1]
        return answer


def tool_call(name: str, text: str = "", /, **arguments: Any) -> AIMessage:
    """An answer that calls a tool."""
    return AIMessage(text, tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}", "type": "tool_call"}])


def _stopped(text: str, stop: Sequence[str]) -> str:
    """The text up to the first stop text, as servers cut it."""
    places = [at for each in stop if (at := text.find(each)) >= 0]
    return text[: min(places)] if places else text
