"""Async twins of synchronous verbs: the verb itself in a worker thread, so that no rule exists twice."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["told_as", "twin"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")
_F = TypeVar("_F", bound=Callable[..., Any])


def twin(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], Coroutine[Any, Any, _R]]:
    """The async twin of a method, with its signature and its documentation; named with an ``a`` in front.

    Args:
        method: A method that may wait for a store or a model.
    """

    async def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    functools.update_wrapper(call, method)
    call.__name__ = f"a{method.__name__}"
    call.__qualname__ = method.__qualname__.replace(method.__name__, call.__name__)
    call.__doc__ = f"Async twin of ``{method.__name__}``, in a worker thread."
    return told_as(method)(call)


def told_as(method: Callable[..., Any]) -> Callable[[_F], _F]:
    """Adds to the docstring of a method that of another with the same arguments.

    Args:
        method: The method that is documented.
    """

    def told(call: _F) -> _F:
        call.__doc__ = f"{inspect.cleandoc(call.__doc__ or '')}\n\n{inspect.cleandoc(method.__doc__ or '')}"
        return call

    return told
