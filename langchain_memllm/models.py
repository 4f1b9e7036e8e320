"""Chat models as they are given: a name or an object, and what they raise as this package's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langgraph.errors import GraphBubbleUp

from langchain_memllm.errors import ConfigurationError, MemLLMError, MissingExtra, ModelError

__all__ = ["ChatModel", "chat_model", "failures_of", "name_of", "refused"]

ChatModel: TypeAlias = "str | BaseChatModel"
"""A chat model, or its name as ``init_chat_model`` takes it ("openai:gpt-5-mini")."""

_REFUSALS = frozenset({400, 422, 501})  # what a server answers to a parameter that it does not know


def chat_model(model: ChatModel) -> BaseChatModel:
    """The chat model of that name, or the one given.

    Raises:
        ConfigurationError: It is neither, or no provider has that name.
        MissingExtra: The provider's package is not installed.
        ModelError: The provider's client cannot be built: mostly a missing key.
    """
    if not isinstance(model, str):
        if not callable(getattr(model, "invoke", None)):
            raise ConfigurationError(f"{type(model).__name__} is no chat model; give a name or a BaseChatModel")
        return model
    from langchain.chat_models import init_chat_model

    try:
        built: BaseChatModel = init_chat_model(model)
    except ImportError as error:
        package = re.search(r"langchain-[\w-]+", str(error).replace("_", "-"))
        command = None if model.startswith("openai:") or package is None else f"pip install {package[0]}"
        raise MissingExtra(f"The model {model!r}", "openai", command) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{model!r} is no chat model; write provider:model, for example 'openai:gpt-5-mini'"
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


def refused(error: BaseException | None) -> bool:
    """Whether a model turned a request down for its form (tools, stop texts), not for its moment."""
    if isinstance(error, NotImplementedError | TypeError):
        return True
    return getattr(error, "status_code", None) in _REFUSALS
