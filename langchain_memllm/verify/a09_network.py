"""A09, T7: a relay before a real server delays, cuts, resets, swallows, dribbles, refuses and loses answers."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.clients import ONE_VALUE, Client
from langchain_memllm.verify.graph import compare_slots, facts_in
from langchain_memllm.verify.ledger import Counts, compare, read_ledgers
from langchain_memllm.verify.proxy import FAULTS, Fault, Proxy

__all__ = ["run"]

LABEL = "verify T7"
WRITERS = 4
DEADLINE = 5.0
GRACE = 2.0
MESSAGES = ("BEGIN", "RUN", "PULL", "COMMIT")
SLOW = ("half-open", "trickle", "delay")  # these cost seconds, so they are rarer


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer) -> Counts:
    """``scale`` faults, a quarter of them between COMMIT and its answer; sabotage acknowledges what is not written."""
    counts, auth = Counts(), (server.user, server.password)
    port = int(server.uri.rsplit(":", 1)[1])
    proxies = [Proxy(port) for _ in range(WRITERS)]
    clients = [
        Client(
            f"bolt://127.0.0.1:{proxy.port}",
            auth,
            (LABEL, folder.name, str(n)),
            folder / f"{n}.ledger",
            f"client {n}",
            seed,
            deadline=DEADLINE,
            sabotage=sabotage,
        )
        for n, proxy in enumerate(proxies)
    ]
    first = Client(server.uri, auth, (LABEL, folder.name), folder / "first.ledger", "first", seed)
    first.write()  # so that the server's plans are there
    first.close()
    each = -(-scale // WRITERS)
    threads = [
        threading.Thread(target=_write, args=(client, proxy, each, counts, random.Random(seed + n)))  # noqa: S311
        for n, (client, proxy) in enumerate(zip(clients, proxies, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for proxy in proxies:
        proxy.close()
    intents, acks = read_ledgers([first.ledger, *(client.ledger for client in clients)])
    held = [fact for fact in facts_in(server.uri, auth, LABEL) if folder.name in fact.namespace]
    compare(held, intents, acks, counts)
    compare_slots(held, ONE_VALUE, counts)
    counts.figures = {
        "network faults": sum(proxy.struck for proxy in proxies),
        "of them lost commit answers": sum(proxy.lost_commits for proxy in proxies),
        "acknowledged operations": len(acks),
        "errors told": sum(client.errors for client in clients),
    }
    counts.problems += [problem for client in clients for problem in client.problems]
    longest = max(client.longest for client in clients)
    if longest > DEADLINE + GRACE:
        counts.problems.append(f"a call took {longest:.1f} s with a deadline of {DEADLINE:g} s")
    return counts


def _write(client: Client, proxy: Proxy, faults: int, counts: Counts, random_: random.Random) -> None:
    """Operations with a fault in each, until so many have struck."""
    client.open()
    client.write()
    while proxy.struck < faults:
        proxy.arm(_fault(random_))
        client.write()
        proxy.disarm()
        counts.tell(min(proxy.struck, faults), faults, f"network faults of {client.name}")
    client.close()


def _fault(random_: random.Random) -> Fault:
    if random_.random() < 0.25:
        return Fault("lost answer", "COMMIT")
    kind = random_.choice(FAULTS)
    if kind in SLOW and random_.random() < 0.8:
        kind = "reset"
    return Fault(kind, random_.choice(MESSAGES), random_.uniform(0.0, 0.5))
