"""The clients of the checks on a real server: they write operations one after the other and keep a ledger of them.

An operation is two new facts of one subject, or a new value of a slot that holds one and a fact that tells of it. What
fails is sent again under the same id, as the errors advise; some of it is given up, and is then there wholly or not at
all.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from langchain_memllm.errors import StoreError, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.stores import open_store
from langchain_memllm.triples import Namespace, Source
from langchain_memllm.verify.ledger import Ledger, Names
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder

__all__ = ["ONE_VALUE", "PATIENT", "SUBJECTS", "Client", "triples_of"]

ONE_VALUE: Final = "lives in"
SUBJECTS: Final = 20
PATIENT: Final = 120.0
"""A deadline for where time is not what is tested: a cold server on a busy machine plans for long."""
_ME: Final = Source("user", "verify", "me")


def triples_of(random_: random.Random, op_id: str) -> list[Names]:
    """The facts of one operation; every object is met once."""
    subject = f"subject {random_.randrange(SUBJECTS)}"
    if random_.random() < 0.3:
        return [(subject, ONE_VALUE, f"place {op_id}"), (f"place {op_id}", "verify seen by", subject)]
    return [(subject, "likes", f"thing {op_id} a"), (subject, "likes", f"thing {op_id} b")]


@dataclass(slots=True)
class Client:
    """One writer.

    Attributes:
        uri: Address of the server, or of the relay before it.
        auth: User name and password.
        namespace: Where it writes.
        ledger: Its own record of intents and acknowledgements.
        name: What its operation ids begin with.
        seed: Of its choices.
        deadline: Seconds a call may take.
        patience: Seconds in which it sends an operation again before it gives it up; 0 for one try.
        sabotage: Acknowledge before writing, send nothing again, and of every four operations the first one not at all.
        errors: How many calls failed.
        longest: The longest call, in seconds.
    """

    uri: str
    auth: tuple[str, str]
    namespace: Namespace
    ledger: Path
    name: str
    seed: int = 0
    deadline: float = PATIENT
    patience: float = 120.0
    sabotage: bool = False
    errors: int = 0
    longest: float = 0.0
    problems: list[str] = field(default_factory=list)
    _memory: Memory | None = None
    _number: int = 0

    def open(self) -> Memory:
        """The memory it writes to; opened at the first use, as often as it takes."""
        ends = time.monotonic() + self.patience
        while self._memory is None:
            try:
                store = open_store(self.uri, auth=self.auth, deadline=self.deadline)
                self._memory = Memory(store, embedder=TinyEmbedder(), limits=UNLIMITED)
            except StoreUnavailable:
                self.errors += 1
                if time.monotonic() > ends:
                    raise
                time.sleep(0.2)
        return self._memory

    def close(self) -> None:
        """Close the memory; the next operation opens it again."""
        if self._memory is not None:
            self._memory.store.close()
            self._memory = None

    def next(self) -> tuple[random.Random, str]:
        """The choices of the next operation, and its id."""
        self._number += 1
        op_id = f"{self.name}-{self._number}"
        return random.Random(f"{self.seed} {op_id}"), op_id  # noqa: S311 - a workload, not secrets

    def write(self) -> bool:
        """Write the next operation; whether it was acknowledged."""
        random_, op_id = self.next()
        triples, memory, ledger = triples_of(random_, op_id), self.open(), Ledger(self.ledger)
        ledger.intent(op_id, triples)
        if self.sabotage:
            ledger.ack(op_id, ["stored"] * len(triples), 0)
            if self._number % 4 == 1:  # a driver may get a write through every fault; what was never sent is lost
                return True
        ends = time.monotonic() + (0 if self.sabotage or random_.random() < 0.1 else self.patience)
        while True:
            start = time.monotonic()
            try:
                receipt = memory.write(triples, namespace=self.namespace, source=_ME, op_id=op_id)
            except StoreError as error:
                self.longest = max(self.longest, time.monotonic() - start)
                self.errors += 1
                if not isinstance(error, StoreUnavailable):
                    self.problems.append(f"{op_id}: {error}")
                if time.monotonic() > ends:
                    return False
                time.sleep(0.05)
                continue
            self.longest = max(self.longest, time.monotonic() - start)
            if not self.sabotage:
                ledger.ack(op_id, [outcome.status for outcome in receipt], receipt.seq)
            return True
