"""A01: two writers are killed with SIGKILL at random moments; what they had been told is stored must be there."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from langchain_memllm.memory import Memory
from langchain_memllm.stores import sqlite_log
from langchain_memllm.verify.ledger import Counts, Ledger, Names, compare, facts_of, integrity, read_ledgers
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder, kill, spawn

__all__ = ["run"]

NAMESPACE = ("verify", "kill")
WRITERS = 2
BATCH = 5
FORGET_EVERY = 3
_DUE = 300_000  # bytes of log


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Kill ``scale`` writers, two at a time, all on one file; sabotage acknowledges before it writes.

    Half of the writers use the memory that their parent has open, and writes to. The log is moved often, so that kills
    meet that too; the file is looked through after every round.
    """
    counts = Counts()
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    path = folder / "kill.db"
    sqlite_log._DUE, former = _DUE, sqlite_log._DUE  # type: ignore[misc]
    parent = Memory(path, embedder=TinyEmbedder(), limits=UNLIMITED)
    ledgers = [folder / "parent.ledger"]
    mine = Ledger(ledgers[0])
    killed = 0
    rounds = (scale + WRITERS - 1) // WRITERS
    for round_ in range(rounds):
        pids = []
        _write(parent, mine, f"parent-{round_}", False)
        for writer in range(WRITERS):
            ledgers.append(folder / f"kill-{round_}-{writer}.ledger")
            given = parent if writer % 2 else None
            pids.append(spawn(partial(_work, path, ledgers[-1], f"{round_}-{writer}", sabotage, given)))
        killed += kill(pids, random_.uniform(0.08, 0.25))
        counts.problems += integrity(path)
        counts.tell(round_ + 1, rounds, "pairs of kills")
    parent.close()
    sqlite_log._DUE = former  # type: ignore[misc]
    forgets = _compare(path, ledgers, counts)
    counts.figures = {"kills": killed} | counts.figures | {"forgotten": forgets}
    if counts.figures["acknowledged operations"] < killed:
        counts.problems.append(f"only {len(ledgers)} ledgers of {killed} kills say enough: too few to tell")
    return counts


def _work(path: Path, ledger_path: Path, name: str, sabotage: bool, given: Memory | None) -> None:
    ledger = Ledger(ledger_path)
    memory = Memory(path, embedder=TinyEmbedder()) if given is None else given
    for number in range(1_000_000):
        _write(memory, ledger, f"{name}-{number}", sabotage)
        if number % FORGET_EVERY == FORGET_EVERY - 1:
            former = f"{name}-{number - 1}"
            ledger.intent(f"-{former}", [])
            memory.forget(name=f"subject {former}", namespace=NAMESPACE, purge=number % 12 == 2)
            ledger.ack(f"-{former}", [], 0)


def _write(memory: Memory, ledger: Ledger, op_id: str, sabotage: bool) -> None:
    triples: list[Names] = [(f"subject {op_id}", "verify relation", f"object {op_id} {i}") for i in range(BATCH)]
    ledger.intent(op_id, triples)
    if sabotage:
        ledger.ack(op_id, ["stored"] * BATCH, 0)
    receipt = memory.write(triples, namespace=NAMESPACE, op_id=op_id)
    if not sabotage:
        ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)


def _compare(path: Path, ledgers: list[Path], counts: Counts) -> int:
    """What is held against what was told; how many operations were forgotten again."""
    intents, acks = read_ledgers(ledgers)
    begun = {op_id[1:] for op_id in intents if op_id.startswith("-")}
    gone = {op_id[1:] for op_id in acks if op_id.startswith("-")}
    held = facts_of(path)
    counts.wrong += sum(fact.triple[0].removeprefix("subject ") in gone for fact in held)
    kept = {op_id: triples for op_id, triples in intents.items() if not op_id.startswith("-") and op_id not in gone}
    told = {op_id: ack for op_id, ack in acks.items() if op_id in kept and op_id not in begun}
    compare([fact for fact in held if fact.triple[0].removeprefix("subject ") not in gone], kept, told, counts)
    counts.figures = {"acknowledged operations": sum(not op_id.startswith("-") for op_id in acks)}
    return len(gone)
