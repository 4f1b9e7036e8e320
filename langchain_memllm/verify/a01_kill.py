"""A01: two writers are killed with SIGKILL at random moments; what they had been told is stored must be there."""

from __future__ import annotations

import random
from pathlib import Path

from langchain_memllm.memory import Memory
from langchain_memllm.triples import Receipt
from langchain_memllm.verify.ledger import Counts, Ledger, Names, compare, facts_of, integrity, read_ledgers
from langchain_memllm.verify.processes import TinyEmbedder, kill, spawn

__all__ = ["run"]

NAMESPACE = ("verify", "kill")
WRITERS = 2
BATCH = 5


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Kill ``scale`` writers, two at a time, all on one file; sabotage acknowledges before it writes."""
    counts = Counts()
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    path = folder / "kill.db"
    Memory(path, embedder=TinyEmbedder()).close()
    ledgers: list[Path] = []
    killed = 0
    for round_ in range((scale + WRITERS - 1) // WRITERS):
        pids = []
        for writer in range(WRITERS):
            ledger = folder / f"kill-{round_}-{writer}.ledger"
            ledgers.append(ledger)
            name = f"{round_}-{writer}"
            pids.append(spawn(lambda ledger=ledger, name=name: _write(path, ledger, name, sabotage)))  # type: ignore[misc]
        killed += kill(pids, random_.uniform(0.08, 0.25))
    counts.problems += integrity(path)
    intents, acks = read_ledgers(ledgers)
    compare(facts_of(path), intents, acks, counts)
    counts.figures = {"kills": killed, "acknowledged operations": len(acks), "triples": BATCH * len(acks)}
    if len(acks) < killed:
        counts.problems.append(f"only {len(acks)} operations were acknowledged before {killed} kills: too few to tell")
    return counts


def _write(path: Path, ledger_path: Path, name: str, sabotage: bool) -> None:
    ledger = Ledger(ledger_path)
    memory = Memory(path, embedder=TinyEmbedder())
    for number in range(1_000_000):
        op_id = f"{name}-{number}"
        triples: list[Names] = [(f"subject {op_id}", "verify relation", f"object {op_id} {i}") for i in range(BATCH)]
        ledger.intent(op_id, triples)
        if sabotage:
            ledger.ack(op_id, ["stored"] * BATCH, 0)
        receipt = memory.write(triples, namespace=NAMESPACE, op_id=op_id)
        if not sabotage:
            ledger.ack(op_id, _statuses(receipt), receipt.seq)


def _statuses(receipt: Receipt) -> list[str]:
    return [outcome.status for outcome in receipt]
