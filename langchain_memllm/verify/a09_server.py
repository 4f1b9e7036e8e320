"""A09, T6: the server is killed, stopped, restarted and paused while clients write to it."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.clients import ONE_VALUE, Client
from langchain_memllm.verify.graph import compare_slots, facts_in
from langchain_memllm.verify.ledger import Counts, compare, read_ledgers
from langchain_memllm.verify.processes import stopped

__all__ = ["run"]

LABEL = "verify T6"
WRITERS = 3
DEADLINE = 10.0
GRACE = 2.0
DRAIN = 60.0
LONG = 10


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer) -> Counts:
    """Kill the server ``scale`` times, pause it as often, restart it a third as often; sabotage acknowledges first.

    The long run, of ten kills and more, has two pauses and two restarts for each kill.
    """
    counts = Counts()
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    auth = (server.user, server.password)
    clients = [
        Client(
            server.uri,
            auth,
            (LABEL, folder.name),
            folder / f"{n}.ledger",
            f"client {n}",
            seed,
            deadline=DEADLINE,
            sabotage=sabotage,
        )
        for n in range(WRITERS)
    ]
    first = Client(server.uri, auth, (LABEL, folder.name), folder / "first.ledger", "first", seed)
    first.write()
    more = 2 if scale >= LONG else 1
    restarts = 2 * scale if scale >= LONG else max(1, scale // 3)
    if sabotage:
        restarts = 0  # a kill is enough to lose what was not written
    with _writing(clients) as since_up:
        for number in range(scale):
            _trouble(server, first, random_, more, min(more, restarts - more * number), long=number % 3 == 0)
            counts.tell(number + 1, scale, "rounds of pauses, a kill and restarts")
        since_up.append(time.monotonic())
    first.close()
    drain = time.monotonic() - since_up[0]
    intents, acks = read_ledgers([first.ledger, *(client.ledger for client in clients)])
    held = [fact for fact in facts_in(server.uri, auth, LABEL) if folder.name in fact.namespace]
    compare(held, intents, acks, counts)
    compare_slots(held, ONE_VALUE, counts)
    counts.figures = {
        "server kills": scale,
        "pauses": more * scale,
        "restarts": restarts,
        "acknowledged operations": len(acks),
        "errors told": sum(client.errors for client in clients),
    }
    if len(acks) < 10 * scale:
        counts.problems.append(f"only {len(acks)} operations were acknowledged: too few to tell")
    counts.problems += [problem for client in clients for problem in client.problems]
    longest = max(client.longest for client in clients)
    if longest > DEADLINE + GRACE:
        counts.problems.append(f"a call took {longest:.1f} s with a deadline of {DEADLINE:g} s")
    if drain > DRAIN:
        counts.problems.append(f"{drain:.0f} s after the server was back, operations still waited")
    return counts


def _trouble(
    server: LocalServer, first: Client, random_: random.Random, pauses: int, restarts: int, *, long: bool
) -> None:
    """Pauses (``long``: beyond the deadline), a kill and restarts, each at a moment of chance."""
    for _ in range(pauses):
        time.sleep(random_.uniform(0.3, 1.5))
        with stopped(server.pid):
            time.sleep(1.2 * DEADLINE if long else random_.uniform(0.5, 3.0))
    time.sleep(random_.uniform(0.3, 1.5))
    server.kill()
    server.restart()
    first.write()  # a cold server takes its time to plan; how long is not what is tested
    for _ in range(restarts):
        time.sleep(random_.uniform(0.3, 1.5))
        server.restart()
        first.write()


@contextlib.contextmanager
def _writing(clients: list[Client]) -> Iterator[list[float]]:
    """The clients write, each in a thread of its own, until the block ends; what they have begun they finish."""
    stop, marks = threading.Event(), list[float]()

    def work(client: Client) -> None:
        while not stop.is_set():
            client.write()
        client.close()

    for client in clients:
        client.open()
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield marks
    finally:
        stop.set()
        for thread in threads:
            thread.join()
