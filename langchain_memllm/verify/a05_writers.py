"""A05: eight processes write one file while others read it: each message once, one value in a slot, a short log."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from langchain_memllm.belief import Batch, Current, Plan
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import Embed, Planner, Written
from langchain_memllm.triples import Namespace, Query, Source
from langchain_memllm.verify.ledger import Counts, Held, Ledger, Names, facts_of, integrity, read_ledgers
from langchain_memllm.verify.processes import LongestLog, TinyEmbedder, spawn, unlimited, wait

__all__ = ["run"]

NAMESPACE = ("verify", "writers")
WRITERS, READERS = 8, 4
SLOTS, SUBJECTS = 20, 40
MOST_LOG = 64 << 20
ME = Source("user", "verify", "me")


class BlindStore(EmbeddedStore):
    """A store that does not look at what is there: the mutant that this check must catch."""

    def transact(self, namespace: Namespace, batch: Batch, plan: Planner, embed: Embed | None = None) -> Written:
        """Plan as if the namespace were empty."""

        def blind(current: Current) -> Plan:
            return plan(Current(current.namespace, current.seq, current.now))

        return super().transact(namespace, batch, blind, embed)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` messages from eight writers; sabotage decides without looking at the slots."""
    path = folder / "writers.db"
    unlimited(path)
    each = max(1, scale // WRITERS)
    ledgers = [folder / f"writers-{writer}.ledger" for writer in range(WRITERS)]
    pids = [
        spawn(lambda n=n, ledger=ledger: _write(path, ledger, n, each, seed, sabotage))  # type: ignore[misc]
        for n, ledger in enumerate(ledgers)
    ]
    readers = [spawn(lambda: _read(path, each // 2)) for _ in range(READERS)]
    counts = Counts()
    with LongestLog(path) as log:
        failed_writers, failed = wait(pids), wait(readers)
    if failed_writers:
        counts.problems.append(f"{failed_writers} of {WRITERS} writers got an error")
    if log.size > MOST_LOG:
        counts.problems.append(f"the log grew to {log.size >> 20} MB, {MOST_LOG >> 20} are allowed")
    if failed:
        counts.problems.append(f"{failed} of {READERS} readers got an error or saw half a message")
    counts.problems += integrity(path)
    intents, acks = read_ledgers(ledgers)
    _compare(facts_of(path), intents, acks, counts)
    counts.figures = {"messages": len(acks), "writers": WRITERS, "readers": READERS, "MB of log": log.size >> 20}
    if len(acks) != each * WRITERS:
        counts.lost += each * WRITERS - len(acks)
    return counts


def _write(path: Path, ledger_path: Path, writer: int, messages: int, seed: int, sabotage: bool) -> None:
    """Half of the messages are about shared subjects, a fifth about a single-valued slot, a tenth take one back."""
    random_ = random.Random(seed * 1000 + writer)  # noqa: S311 - a workload, not secrets
    ledger = Ledger(ledger_path)
    store = (BlindStore if sabotage else EmbeddedStore)(path)
    memory = Memory(store, embedder=TinyEmbedder())
    mine: list[Names] = []
    for number in range(messages):
        op_id, kind = f"{writer}-{number}", random_.random()
        if kind < 0.1 and mine:
            triple = mine.pop(random_.randrange(len(mine)))
            ledger.intent(f"-{op_id}", [triple])
            receipt = memory.retract(triple, namespace=NAMESPACE, source=ME, op_id=f"-{op_id}")
            ledger.ack(f"-{op_id}", [outcome.status for outcome in receipt], receipt.seq)
            continue
        if kind < 0.3:
            triples: list[Names] = [(f"slot {random_.randrange(SLOTS)}", "lives in", f"place {op_id}")]
        else:
            subject = f"subject {random_.randrange(SUBJECTS)}" if kind < 0.8 else f"own {op_id}"
            triples = [(subject, "likes", f"thing {op_id}"), (f"thing {op_id}", "verify twin of", subject)]
            mine.append(triples[0])
        ledger.intent(op_id, triples)
        receipt = memory.write(triples, namespace=NAMESPACE, source=ME, op_id=op_id)
        ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)


def _read(path: Path, rounds: int) -> None:
    """Both triples of a message are seen, or neither."""
    memory = Memory(path, embedder=TinyEmbedder())
    for round_ in range(rounds):
        subject = f"subject {round_ % SUBJECTS}"
        queries = [Query(None, "verify twin of", subject), Query(subject, "likes")]
        twins, likes = memory.read_many(queries, namespace=NAMESPACE, thresholds=EXACT, limit=1000)
        unknown = set(likes.answers) - set(twins.answers)
        if unknown:
            raise AssertionError(f"half a message was visible: {sorted(unknown)[:3]}")


def _compare(
    held: list[Held], intents: dict[str, list[Names]], acks: dict[str, tuple[list[str], int]], counts: Counts
) -> None:
    taken_back = {triple for op_id, triples in intents.items() if op_id.startswith("-") for triple in triples}
    proposed = {triple for op_id, triples in intents.items() if not op_id.startswith("-") for triple in triples}
    there: dict[Names, list[Held]] = defaultdict(list)
    slots: dict[str, list[Held]] = defaultdict(list)
    for fact in held:
        there[fact.triple].append(fact)
        if fact.is_open and fact.triple[1] == "lives in":
            slots[fact.triple[0]].append(fact)
    counts.wrong += sum(triple not in proposed for triple in there)
    counts.duplicated += sum(len(facts) - 1 for facts in there.values())
    counts.duplicated += sum(len(facts) - 1 for facts in slots.values())
    last: dict[str, tuple[int, Names]] = {}
    for op_id, (_, seq) in acks.items():
        for triple in intents[op_id]:
            if not there[triple]:
                counts.lost += 1
            elif triple[1] == "lives in":
                last[triple[0]] = max(last.get(triple[0], (0, triple)), (seq, triple))
            elif there[triple][0].is_open == (triple in taken_back):
                counts.wrong += 1
    counts.wrong += sum([fact.triple for fact in slots[slot]] != [triple] for slot, (_, triple) in last.items())
