"""A15: tasks are cancelled, loops, threads and forks share a memory, Ctrl-C comes anywhere: nothing told is lost.

Every operation notes its intent before and its receipt after the call, as in A01.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from langchain_memllm.errors import StoreError
from langchain_memllm.memory import Memory
from langchain_memllm.verify.ledger import Counts, Ledger, Names, compare, facts_of, integrity, read_ledgers
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder, spawn, wait

__all__ = ["run"]

NAMESPACE = ("verify", "cancel")
CHILDREN, THREADS, LOOPS = 12, 4, 4


class Writer:
    """Writes facts of its own, with a ledger; sabotage acknowledges before it writes."""

    def __init__(self, folder: Path, name: str, memory: Memory, sabotage: bool) -> None:
        """Open the ledger."""
        self.path = folder / f"{name}.ledger"
        self._ledger, self._name, self._memory, self._sabotage = Ledger(self.path), name, memory, sabotage
        self._number = 0

    def write(self) -> None:
        """One operation."""
        op_id, triples = self._begin()
        receipt = self._memory.write(triples, namespace=NAMESPACE, op_id=op_id)
        self._ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)

    async def awrite(self) -> None:
        """One operation, awaited."""
        op_id, triples = self._begin()
        receipt = await self._memory.awrite(triples, namespace=NAMESPACE, op_id=op_id)
        self._ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)

    def _begin(self) -> tuple[str, list[Names]]:
        self._number += 1
        op_id = f"{self._name}-{self._number}"
        triples: list[Names] = [(f"subject {op_id}", "verify relation", f"object {op_id} {i}") for i in range(2)]
        self._ledger.intent(op_id, triples)
        if self._sabotage:
            self._ledger.ack(op_id, ["stored"] * 2, 0)
        return op_id, triples


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Some ``scale`` operations in each of the four ways; sabotage acknowledges before it writes."""
    counts, path = Counts(), folder / "cancel.db"
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    memory = Memory(path, embedder=TinyEmbedder(), limits=UNLIMITED)
    make = partial(Writer, folder, memory=memory, sabotage=sabotage)
    interrupted = _interrupts(make("interrupts"), memory, scale, counts)
    cancelled = sum(asyncio.run(_cancelled(make(f"loop {n}"), scale // LOOPS, random_)) for n in range(LOOPS))
    _forks(folder, path, memory, max(1, scale // CHILDREN), sabotage, counts)
    _closed_at_work(folder, path, sabotage, counts)
    if left := _handles(path):
        counts.problems.append(f"{left} file handles are left")
    counts.problems += integrity(path)
    intents, acks = read_ledgers(sorted(folder.glob("*.ledger")))
    compare(facts_of(path), intents, acks, counts)
    counts.figures = {"operations": len(intents), "interrupted": interrupted, "cancelled": cancelled, "forks": CHILDREN}
    return counts


def _interrupts(writer: Writer, memory: Memory, scale: int, counts: Counts) -> int:
    """A tracer raises at one place after the other of a write; other threads must go on afterwards."""
    interrupted = 0
    for number in range(scale):
        left = 1 + number * 7 % 400

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            if "embedded" not in frame.f_code.co_filename:
                return None
            left -= event == "line"
            if left == 0:
                raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            writer.write()
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.settrace(None)
        if number % 10 == 0:
            thread = threading.Thread(target=writer.write, daemon=True)
            thread.start()
            thread.join(30)
            if thread.is_alive():
                counts.problems.append("another thread waits for ever after an interrupt")
                break
    return interrupted


async def _cancelled(writer: Writer, scale: int, random_: random.Random) -> int:
    """Tasks of one loop, a part of them cancelled at random moments; no task may be left."""
    tasks = [asyncio.create_task(writer.awrite()) for _ in range(scale)]
    for task in tasks:
        await asyncio.sleep(random_.choice((0.0, 0.0, 0.002)))
        if random_.random() < 0.4:
            task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for error in done:
        if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
            raise error
    return sum(isinstance(error, asyncio.CancelledError) for error in done)


def _forks(folder: Path, path: Path, memory: Memory, each: int, sabotage: bool, counts: Counts) -> None:
    """Children of a memory that is in use by threads write to it, while the parent writes, closes and opens it."""
    stop = threading.Event()
    writers = [Writer(folder, f"thread {number}", memory, sabotage) for number in range(THREADS)]

    def work(writer: Writer) -> None:
        while not stop.is_set():
            writer.write()

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    pids = []
    for number in range(CHILDREN):
        child = partial(_child, folder, f"child {number}", path, memory, each, sabotage)
        pids.append(spawn(partial(child, anew=number % 2 == 0)))
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    memory.close()
    if failed := wait(pids):
        counts.problems.append(f"{failed} of {CHILDREN} forked children got an error")


def _child(folder: Path, name: str, path: Path, memory: Memory, each: int, sabotage: bool, *, anew: bool) -> None:
    mine = Memory(path, embedder=TinyEmbedder()) if anew else memory
    writer = Writer(folder, name, mine, sabotage)
    for _ in range(each):
        writer.write()
    if sabotage:
        os._exit(1)
    mine.close()


def _closed_at_work(folder: Path, path: Path, sabotage: bool, counts: Counts) -> None:
    """A memory is closed while threads write to it: each gets its receipt, or an error that says so."""
    memory = Memory(path, embedder=TinyEmbedder(), limits=UNLIMITED)

    def work(writer: Writer) -> None:
        try:
            while True:
                writer.write()
        except StoreError as error:
            if "is closed" not in str(error):
                counts.problems.append(f"at closing: {error}")

    writers: list[Callable[[], None]] = [
        partial(work, Writer(folder, f"closing {number}", memory, sabotage)) for number in range(THREADS)
    ]
    threads = [threading.Thread(target=each) for each in writers]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    memory.close()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            counts.problems.append("a thread hangs after the memory was closed")


def _handles(path: Path) -> int:
    """Descriptors of the memory's files that this process has."""
    if sys.platform != "linux":
        return 0
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum(link.startswith(str(path)) for link in links)
