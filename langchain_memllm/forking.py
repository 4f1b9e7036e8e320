"""What becomes of open files, locks and threads when the process forks (``os.fork``, ``multiprocessing``, preloading).

SQLite's locks on a file are the process's own: a child holds none of them, while the library in it believes it does, so
the next process to close the file takes itself for the last one and throws the log away. Before a fork, whatever is
open is therefore closed, and both sides open it again when they next need it. A lock that another thread held at that
moment would stay locked in the child for ever; the child gets it anew.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, Final, Protocol, TypeVar

__all__ = ["Follower", "follow", "renewed"]

PATIENCE: Final = 30.0
"""Seconds for which a fork waits for what other threads are doing."""


class Follower(Protocol):
    """Something that a fork concerns."""

    def before_fork(self, ends: float) -> None:
        """Come to rest: wait for other threads, at most until this time (``time.monotonic``), and keep them waiting."""

    def after_fork(self, *, in_child: bool) -> None:
        """Go on, in the parent and in the child."""


_L = TypeVar("_L")
_followers: Final[weakref.WeakSet[Follower]] = weakref.WeakSet()
_locks: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_at_rest: Final[list[Follower]] = []  # of the fork under way
_one_at_a_time: Final = threading.Lock()  # two forking threads would wait for each other's memories


def follow(follower: Follower) -> None:
    """Tell this object of every fork for as long as it lives."""
    _followers.add(follower)


def renewed(lock: _L) -> _L:
    """The lock itself, which from now on is free in every child; what it guards must bear that."""
    _locks.add(lock)
    return lock


def _before() -> None:
    _one_at_a_time.acquire()
    ends = time.monotonic() + PATIENCE
    for follower in list(_followers):
        _at_rest.append(follower)
        follower.before_fork(ends)


def _in_parent() -> None:
    _go_on(in_child=False)
    _one_at_a_time.release()


def _in_child() -> None:
    _one_at_a_time._at_fork_reinit()  # type: ignore[attr-defined]
    for lock in list(_locks):
        lock._at_fork_reinit()
    _go_on(in_child=True)


def _go_on(*, in_child: bool) -> None:
    while _at_rest:
        _at_rest.pop().after_fork(in_child=in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
