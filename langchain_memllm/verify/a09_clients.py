"""A09, T5: clients of a real server are killed with SIGKILL at random moments."""

from __future__ import annotations

import random
import time
from pathlib import Path

from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.clients import ONE_VALUE, Client
from langchain_memllm.verify.graph import compare_slots, facts_in
from langchain_memllm.verify.ledger import Counts, compare, read_ledgers
from langchain_memllm.verify.processes import kill, spawn

__all__ = ["run"]

LABEL = "verify T5"
WRITERS = 4


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer) -> Counts:
    """Kill ``scale`` clients, four at a time, all in one namespace; sabotage acknowledges before it writes."""
    counts, killed = Counts(), 0
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    namespace, auth = (LABEL, folder.name), (server.user, server.password)
    ledgers: list[Path] = []
    rounds = -(-scale // WRITERS)
    for round_ in range(rounds):
        here = [folder / f"{round_}-{writer}.ledger" for writer in range(WRITERS)]
        ledgers += here
        clients = [Client(server.uri, auth, namespace, ledger, ledger.stem, seed, sabotage=sabotage) for ledger in here]
        pids = [spawn(lambda client=client: _write(client)) for client in clients]  # type: ignore[misc]
        _await_first(here)
        killed += kill(pids, random_.uniform(0.02, 0.3))
        counts.tell(round_ + 1, rounds, f"rounds of {WRITERS} kills")
    last = Client(server.uri, auth, namespace, folder / "last.ledger", "last", seed)  # its turn comes after all others
    last.write()
    last.close()
    intents, acks = read_ledgers([*ledgers, folder / "last.ledger"])
    held = [fact for fact in facts_in(server.uri, auth, LABEL) if folder.name in fact.namespace]
    compare(held, intents, acks, counts)
    compare_slots(held, ONE_VALUE, counts)
    counts.figures = {"client kills": killed, "acknowledged operations": len(acks)}
    if killed < scale:
        counts.problems.append(f"{scale - killed} clients ended before they were killed")
    return counts


def _write(client: Client) -> None:
    while True:
        client.write()


def _await_first(ledgers: list[Path]) -> None:
    """Until each client was told once that its facts are stored: opening a memory is not what is tested."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends and not all(path.exists() and '"ack"' in path.read_text() for path in ledgers):
        time.sleep(0.02)
