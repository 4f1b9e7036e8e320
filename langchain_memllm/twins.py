"""Async twins of synchronous verbs: the verb itself in a worker thread, so that no rule exists twice."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["twin"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")


def twin(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], Coroutine[Any, Any, _R]]:
    """The async twin of a method, with its signature; named with an ``a`` in front.

    Args:
        method: A method that may wait for a store or a model.
    """

    @functools.wraps(method)
    async def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    call.__name__ = f"a{method.__name__}"
    call.__qualname__ = method.__qualname__.replace(method.__name__, call.__name__)
    call.__doc__ = f"Async twin of ``{method.__name__}``: the same in a worker thread."
    return call
