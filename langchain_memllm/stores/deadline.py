"""Calls that end in time, whatever they wait for.

The driver has no timeout for a server that is connected and says nothing (paused, or behind a network that swallows
what is sent): it waits for the two minutes a server suggests, or for ever, and nobody can hurry a name server. So a
call runs in a thread of its own and its caller stops waiting at the deadline; handing over costs some 20 µs.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, Final, TypeVar

__all__ = ["in_time"]

Answer = TypeVar("Answer")


class _Worker(threading.Thread):
    """A thread that runs one call after the other. A daemon: a server that is silent keeps no process alive."""

    def __init__(self) -> None:
        super().__init__(name="memllm-call", daemon=True)
        self.calls: SimpleQueue[tuple[Context, Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            context, work, answer = call
            try:
                answer.set_result(context.run(work))
            except BaseException as error:  # it is the caller's: KeyboardInterrupt too
                answer.set_exception(error)
            del call, context, work, answer


_idle: Final[deque[_Worker]] = deque()
os.register_at_fork(after_in_child=_idle.clear)


def in_time(work: Callable[[], Answer], seconds: float) -> Answer:
    """What ``work`` returns or raises, if it does so in time.

    Nothing can stop a thread: after the deadline ``work`` goes on until what it waits for breaks. It must look at the
    clock before it does what cannot be undone.

    Raises:
        TimeoutError: It did not end within so many seconds.
    """
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    answer: Future[Answer] = Future()
    worker.calls.put((copy_context(), work, answer))
    try:
        return answer.result(seconds)
    finally:
        if answer.done():
            _idle.append(worker)
        else:
            worker.calls.put(None)  # it ends with this call
