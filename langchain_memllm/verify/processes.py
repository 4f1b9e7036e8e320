"""Writers in processes of their own, to be killed or to run side by side."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from langchain_memllm.memory import Memory
from langchain_memllm.quotas import Limits

__all__ = [
    "UNLIMITED",
    "LongestLog",
    "TinyEmbedder",
    "kill",
    "side_by_side",
    "spawn",
    "stopped",
    "told_by",
    "unlimited",
    "wait",
]

UNLIMITED: Final = Limits(None, None, 1.0, None, None)
"""For checks that state more in an hour than strangers may."""


class TinyEmbedder:
    """Eight numbers from a text's characters: the checks are about the store, not about similarity."""

    model_id = "verify/tiny-8"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector of eight counts for each text."""
        return [[1.0 + sum(ord(c) % 8 == bucket for c in text) for bucket in range(8)] for text in texts]


def unlimited(path: Path) -> None:
    """Make a memory in which others may state as much as they like."""
    with Memory(path, embedder=TinyEmbedder()) as memory:
        memory.set_limits(UNLIMITED)


def spawn(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process; returns its id. Exit status 0 if it returned, 1 if it raised."""
    pid = os.fork()
    return pid or _child(work)


def _child(work: Callable[[], object]) -> NoReturn:
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(pids: list[int]) -> int:
    """Wait for all; returns how many failed."""
    return sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in pids)


def told_by(work: Callable[[], object]) -> Any:
    """What ``work`` returns in a forked process, as JSON holds it; None if the process ended without telling."""
    (told,) = side_by_side(lambda _: work(), 1)
    return told


def side_by_side(work: Callable[[int], object], count: int, processes: int = 2) -> list[Any]:
    """What ``work`` returns for each number below ``count``, in their order, told by forked processes as JSON holds it.

    What a process that ended would have told is None.
    """
    lanes = [range(lane, count, processes) for lane in range(min(count, processes))]
    pipes, pids = list[int](), list[int]()
    for lane in lanes:
        readable, writable = os.pipe()
        pids.append(spawn(lambda lane=lane, writable=writable: _tell(writable, map(work, lane))))  # type: ignore[misc]
        os.close(writable)
        pipes.append(readable)
    told: list[Any] = [None] * count
    for lane, readable in zip(lanes, pipes, strict=True):
        with os.fdopen(readable) as pipe:
            for number, line in zip(lane, pipe, strict=False):
                told[number] = json.loads(line)
    wait(pids)
    return told


def _tell(writable: int, answers: Iterable[object]) -> None:
    with os.fdopen(writable, "w") as pipe:
        for answer in answers:
            print(json.dumps(answer), file=pipe, flush=True)


def kill(pids: list[int], after: float) -> int:
    """Kill all with SIGKILL after so many seconds; returns how many were still at work."""
    time.sleep(after)
    alive = 0
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        alive += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    return alive


class LongestLog:
    """Looks at the log of a database for as long as the ``with`` statement lasts; ``size`` is the most it had."""

    def __init__(self, path: Path) -> None:
        """Nothing is seen yet."""
        self.size = 0
        self._log = Path(f"{path}-wal")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> LongestLog:
        """Begin; processes are forked before, so that they have no second thread."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(FileNotFoundError):
                self.size = max(self.size, self._log.stat().st_size)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Keep a process from running. The signal acts when the process next gets the processor, so that is waited for."""
    os.kill(pid, signal.SIGSTOP)
    try:
        tasks = Path(f"/proc/{pid}/task")
        while tasks.is_dir() and not all(map(_is_stopped, tasks.iterdir())):
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _is_stopped(task: Path) -> bool:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:  # it ended
        return True
