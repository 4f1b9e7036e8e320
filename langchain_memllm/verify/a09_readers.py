"""A09, T8: processes write to a real server while others read: no reader sees half of an operation."""

from __future__ import annotations

import os
import time
from pathlib import Path

from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.stores import open_store
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.clients import ONE_VALUE, PATIENT, SUBJECTS, Client, triples_of
from langchain_memllm.verify.graph import compare_slots, facts_in
from langchain_memllm.verify.ledger import Counts, compare, read_ledgers
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder, spawn, wait

__all__ = ["run"]

LABEL = "verify T8"
WRITERS, READERS = 6, 2


class HalfClient(Client):
    """A client that sends the two facts of an operation one after the other: what this check must catch."""

    def write(self) -> bool:
        """Two operations instead of one."""
        memory = self.open()
        for triple in triples_of(*self.next()):
            memory.write([triple], namespace=self.namespace)
            time.sleep(0.05)
        return True


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer) -> Counts:
    """``scale`` operations from six processes, read by two others; sabotage cuts operations in two."""
    counts, auth = Counts(), (server.user, server.password)
    namespace = (LABEL, folder.name)
    kind = HalfClient if sabotage else Client
    clients = [kind(server.uri, auth, namespace, folder / f"{n}.ledger", f"client {n}", seed) for n in range(WRITERS)]
    clients[0].write()  # so that the namespace and the server's plans are there
    clients[0].close()
    each, done = -(-scale // WRITERS), folder / "done"
    reads = [folder / f"{n}.reads" for n in range(READERS)]
    readers = [spawn(lambda path=path: _read(server, namespace, path, done)) for path in reads]  # type: ignore[misc]
    writers = [spawn(lambda client=client: _write(client, each)) for client in clients]  # type: ignore[misc]
    if failed := wait(writers):
        counts.problems.append(f"{failed} of {WRITERS} writers got an error")
    done.touch()
    if failed := wait(readers):
        counts.problems.append(f"{failed} of {READERS} readers got an error")
    seen = [line for path in reads for line in path.read_text(encoding="utf-8").splitlines()]
    torn = [line for line in seen if not line.isdigit()]
    counts.torn += len(torn)
    counts.problems += torn[:3]
    intents, acks = read_ledgers([client.ledger for client in clients])
    held = [fact for fact in facts_in(server.uri, auth, LABEL) if folder.name in fact.namespace]
    compare(held, intents, acks, counts)
    compare_slots(held, ONE_VALUE, counts)
    counts.figures = {
        "operations": len(acks),
        "writers": WRITERS,
        "readers": READERS,
        "reads": sum(int(line) for line in seen if line.isdigit()),
    }
    return counts


def _write(client: Client, operations: int) -> None:
    for number in range(operations):
        client.write()
        Counts().tell(number + 1, operations, f"operations of {client.name}")
    client.close()


def _read(server: LocalServer, namespace: tuple[str, ...], told: Path, done: Path) -> None:
    """Read until the writers are done, and write down what should not be seen, then how often was read."""
    store = open_store(server.uri, auth=(server.user, server.password), deadline=PATIENT)
    memory = Memory(store, embedder=TinyEmbedder(), limits=UNLIMITED)
    reads, filled = 0, set[str]()
    with told.open("w", encoding="utf-8") as file:
        while not done.exists():
            subject = f"subject {(reads * 7 + os.getpid()) % SUBJECTS}"
            things = memory.read(subject, "likes", namespace=namespace, thresholds=EXACT, limit=1000).answers
            halves = {
                thing[:-2] for thing in things if f"{thing[:-1]}a" not in things or f"{thing[:-1]}b" not in things
            }
            if halves:
                file.write(f"half of {sorted(halves)[0]} was seen\n")
            places = memory.read(subject, ONE_VALUE, namespace=namespace, thresholds=EXACT).answers
            if len(places) > 1 or (subject in filled and not places):
                file.write(f"{len(places)} values of {subject} were seen\n")
            filled |= {subject} if places else set()
            reads += 2
        file.write(f"{reads}\n")
    store.close()
