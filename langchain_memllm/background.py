"""Writing in the background: a thread that extracts what waits, so that no answer waits for it.

What it works off is in the outbox, in the store: a process that dies loses nothing, and the next one goes on. Several
turns are gathered into one call of the model: they are read when enough of them wait, or the first has waited long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from langchain_memllm.errors import ConfigurationError, reason_of
from langchain_memllm.forking import follow
from langchain_memllm.sharing import Shared
from langchain_memllm.triples import Namespace

__all__ = ["BackgroundWriter"]

logger = logging.getLogger(__name__)

_RETRY_S: Final = 5.0
_MAX_RETRY_S: Final = 600.0


@dataclass(slots=True)
class _Due:
    """A memory with turns that wait."""

    since: float
    turns: int = 0
    failures: int = 0


class BackgroundWriter(Shared):
    """Calls ``flush`` for memories in which turns wait.

    Args:
        flush: Extracts and writes all that waits in a namespace.
        turns: Turns of one memory that are gathered before they are read.
        delay: Seconds after which fewer are read, too.

    Raises:
        ConfigurationError: ``turns`` or ``delay`` is out of range.
    """

    def __init__(self, flush: Callable[[Namespace], object], *, turns: int = 4, delay: float = 30.0) -> None:
        """Start nothing yet."""
        if not isinstance(turns, int) or turns < 1:
            raise ConfigurationError(f"turns={turns!r} is out of range; give the number of turns, 1 or more")
        if not isinstance(delay, int | float) or not delay >= 0:
            raise ConfigurationError(f"delay={delay!r} is out of range; give seconds, 0 or more")
        self._flush, self._turns, self._delay = flush, turns, delay
        self._due: dict[Namespace, _Due] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        follow(self)

    def submit(self, namespace: Namespace, turns: int = 1) -> None:
        """Say that so many turns more wait in a namespace; returns at once."""
        with self._changed:
            due = self._due.setdefault(namespace, _Due(time.monotonic()))
            due.turns += turns
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="memllm-background", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Finish what is being read and stop; what waits stays in the outbox. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def before_fork(self, ends: float) -> None:
        """Nothing: what is being read is in the outbox, and the parent's to finish."""

    def after_fork(self, *, in_child: bool) -> None:
        """A child has neither the thread nor what it was told; it begins with its own turns."""
        if in_child:
            self._changed, self._thread, self._due = threading.Condition(), None, {}

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            namespace, failures = taken
            try:
                self._flush(namespace)
            except Exception as error:
                logger.warning("writing in the background failed with %s; it is tried again", reason_of(error))
                with self._changed:
                    due = self._due.setdefault(namespace, _Due(time.monotonic()))
                    due.since, due.failures = time.monotonic(), failures + 1

    def _next(self) -> tuple[Namespace, int] | None:
        """The memory to be worked off next and how often that failed, waiting for one; None when it is over."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                soonest = min(self._due.items(), key=lambda item: self._time(item[1]), default=None)
                if soonest is None:
                    self._changed.wait()
                elif (rest := self._time(soonest[1]) - now) > 0:
                    self._changed.wait(rest)
                else:
                    return soonest[0], self._due.pop(soonest[0]).failures
            return None

    def _time(self, due: _Due) -> float:
        if due.failures:
            return due.since + min(_MAX_RETRY_S, _RETRY_S * 2.0 ** (due.failures - 1))
        return due.since if due.turns >= self._turns else due.since + self._delay
