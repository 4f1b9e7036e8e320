"""One flow, driven sync or async: a generator yields what it waits for, so no rule is written twice.

``Step`` is what waits: for a store in a worker thread, or for a model by its own async call. ``run`` does steps one
after the other; ``arun`` awaits them. What a step raises is raised at its ``yield``. Knows nothing of memories.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

__all__ = ["Flow", "Step", "arun", "done", "run"]

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Step:
    """Something a flow waits for.

    Args:
        call: Does it.
        acall: Does it without blocking the event loop; None: ``call`` in a worker thread.
    """

    call: Callable[[], Any]
    acall: Callable[[], Awaitable[Any]] | None = None


Flow: TypeAlias = Generator[Step, Any, _R]


def done(value: _R) -> Flow[_R]:
    """A flow that waits for nothing."""
    yield from ()
    return value


def run(flow: Flow[_R]) -> _R:
    """Drive a flow here; returns what it returns."""
    try:
        step = next(flow)
        while True:
            try:
                value = step.call()
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(value)
    except StopIteration as end:
        result: _R = end.value
        return result
    finally:
        flow.close()


async def arun(flow: Flow[_R]) -> _R:
    """Drive a flow on the event loop; returns what it returns."""
    try:
        step = next(flow)
        while True:
            try:
                value = await (step.acall() if step.acall is not None else asyncio.to_thread(step.call))
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(value)
    except StopIteration as end:
        result: _R = end.value
        return result
    finally:
        flow.close()
