"""A06: every operation is delivered one to five times, shuffled, from two processes; the memory is as if once."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

from langchain_memllm.memory import Memory
from langchain_memllm.triples import Source, Statement
from langchain_memllm.verify.ledger import Counts, Ledger, dump, integrity, read_ledgers
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder, spawn, unlimited, wait

__all__ = ["run"]

NAMESPACE = ("verify", "replay")
Operation = tuple[str, str, list[tuple[str, str, str, bool]]]


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` operations; sabotage gives each delivery an id of its own."""
    counts = Counts()
    operations = _operations(scale, seed)
    many, once, restored = (folder / f"replay-{name}.db" for name in ("many", "once", "restored"))
    unlimited(many)
    ledgers = [folder / f"replay-{process}.ledger" for process in range(2)]
    pids = [
        spawn(lambda n=n, ledger=ledger: _deliver(many, ledger, operations, seed + n, sabotage))  # type: ignore[misc]
        for n, ledger in enumerate(ledgers)
    ]
    if failed := wait(pids):
        counts.problems.append(f"{failed} of 2 processes got an error, or another receipt for the same operation")
    _, acks = read_ledgers(ledgers)
    in_order = sorted((seq, op_id) for op_id, (_, seq) in acks.items())
    by_id = {operation[0]: operation for operation in operations}
    with Memory(once, embedder=TinyEmbedder(), limits=UNLIMITED) as memory:
        for _, op_id in in_order:
            _apply(memory, by_id[op_id.partition("~")[0]], op_id)
    with (
        Memory(many, embedder=TinyEmbedder()) as memory,
        Memory(restored, embedder=TinyEmbedder(), limits=UNLIMITED) as copy,
    ):
        copy.restore(memory.export(namespace=NAMESPACE))
    counts.problems += integrity(many)
    for name, path in (("one delivery in commit order", once), ("an export put back", restored)):
        if dump(many) != dump(path):
            counts.wrong += 1
            counts.problems.append(f"the dump differs from that of {name}")
    extra = len(in_order) - len(operations)
    counts.duplicated += max(0, extra)
    counts.lost += max(0, -extra)
    counts.figures = {"operations": len(operations), "facts": dump(many).count("\n") + 1}
    return counts


def _operations(count: int, seed: int) -> list[Operation]:
    random_ = random.Random(seed)  # noqa: S311 - a workload, not secrets
    operations: list[Operation] = []
    for number in range(count):
        who = f"person {random_.randrange(20)}"
        triples: list[tuple[str, str, str, bool]] = [
            (
                who,
                random_.choice(["likes", "lives in", "knows"]),
                f"thing {random_.randrange(30)}",
                random_.random() < 0.15,
            )
            for _ in range(random_.randrange(1, 5))
        ]
        kind = random_.choice(["user", "document", "web"])
        operations.append((f"op {number}", kind, triples))
    return operations


def _deliver(path: Path, ledger_path: Path, operations: list[Operation], seed: int, sabotage: bool) -> None:
    random_ = random.Random(seed)  # noqa: S311 - a workload, not secrets
    ledger, memory = Ledger(ledger_path), Memory(path, embedder=TinyEmbedder())
    deliveries = [operation for operation in operations for _ in range(random_.randrange(1, 6))]
    random_.shuffle(deliveries)
    receipts: dict[str, Any] = {}
    for operation in deliveries:
        op_id = f"{operation[0]}~{uuid.uuid4().hex}" if sabotage else operation[0]
        receipt = _apply(memory, operation, op_id)
        if receipts.setdefault(op_id, receipt) != receipt:
            raise AssertionError(f"operation {op_id!r} was answered with two receipts")
        ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)


def _apply(memory: Memory, operation: Operation, op_id: str) -> Any:
    _, kind, triples = operation
    statements = [Statement(s, r, o, retract=retract) for s, r, o, retract in triples]
    source = Source(kind, f"source of {kind}", "me")  # type: ignore[arg-type]
    return memory.write(statements, namespace=NAMESPACE, source=source, op_id=op_id)
