"""A14: every proposed triple has an outcome, whatever the disk does meanwhile; what is called stored is there.

Operations of the files fail at random, by a preloaded shim. A write that raises is delivered again by the same name.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from pathlib import Path

from langchain_memllm.errors import StoreError
from langchain_memllm.memory import Memory
from langchain_memllm.triples import KINDS, Source
from langchain_memllm.verify import shim
from langchain_memllm.verify.ledger import Counts, facts_of, integrity
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder

__all__ = ["inside", "run"]

NAMESPACE = ("verify", "receipts")
EACH = 8
RELATIONS = ("lives in", "likes", "verifies", "capital")


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` triples; sabotage does not deliver again what raised."""
    return shim.run_with(__name__, folder, scale=scale, seed=seed, sabotage=sabotage)


def inside(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Write under faults and count outcomes."""
    shim.watch(folder)
    random_ = random.Random(seed)  # noqa: S311 - a workload, not secrets
    counts, statuses, stored = Counts(), Counter[str](), set[str]()
    path = folder / "memllm.db"
    memory = Memory(path, embedder=TinyEmbedder(), limits=UNLIMITED)
    proposed = raised = 0
    for number in range(scale // EACH):
        triples = [_proposed(random_) for _ in range(EACH)]
        source = Source(random_.choice(list(KINDS)), f"source {number % 9}")  # type: ignore[arg-type]
        proposed += len(triples)
        for left in range(0 if sabotage else 4, -1, -1):
            shim.arm(random_.randrange(40) if left or sabotage else -1, random_.choice((errno.EIO, errno.ENOSPC)))
            try:
                receipt = memory.write(triples, namespace=NAMESPACE, source=source, op_id=f"op {number}")
            except StoreError:
                raised += 1
                continue
            statuses.update(outcome.status for outcome in receipt)
            stored.update(outcome.fact_id for outcome in receipt if outcome.status == "stored" and outcome.fact_id)
            counts.wrong += len(receipt.outcomes) != len(triples)
            break
    shim.arm(-1, 0)
    counts.lost += sum(memory.explain(fact_id, namespace=NAMESPACE) is None for fact_id in stored)
    counts.lost += proposed - sum(statuses.values())
    memory.close()
    open_ = Counter(fact.triple for fact in facts_of(path) if fact.is_open)
    counts.duplicated += sum(number - 1 for number in open_.values())
    counts.problems += integrity(path)
    counts.figures = {"triples": proposed, "failed writes": raised} | dict(sorted(statuses.items()))
    return counts


def _proposed(random_: random.Random) -> tuple[str, str, str]:
    """Mostly what can be stored; some triples repeat, contradict, or are empty."""
    object_ = random_.choice((f"thing {random_.randrange(40)}", "thing 1", "", "x\x07", "unknown"))
    return f"name {random_.randrange(60)}", random_.choice(RELATIONS), object_
