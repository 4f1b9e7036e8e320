"""A17 for what was said: a role is shown the turns of the scopes that it was granted, and no row of another.

Turns of scopes whose names look alike say the same words. Grants change all the time, and after each change a role asks
in every way there is. What it is shown must be of its scopes; a window on a whole session must hold all of those.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.recalled import recall
from langchain_memllm.stores import open_store
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Namespace, Source
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder

__all__ = ["run"]

NS: Final[Namespace] = ("verify", "roles")
SCOPES: Final = ("", "plan", "plans", "plan%", "_lan", "PLAN", "plan' OR '1'='1")
ROLES: Final = ("planner", "intern", "Planner", "%")
THREADS: Final = ("trip", "trip 2", "pets")
WORDS: Final = ("ferry", "ticket", "code", "bread", "Sunday", "harbour")


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """``scale`` questions of four roles; sabotage asks every seventh without the role."""
    random_ = random.Random(seed)  # noqa: S311 - a workload, not secrets
    counts = Counts()
    options = {} if server is None else {"auth": (server.user, server.password), "deadline": PATIENT}
    store = open_store(folder / "roles.db" if server is None else server.uri, **options)
    with contextlib.ExitStack() as opened, Memory(store, embedder=TinyEmbedder(), limits=UNLIMITED) as memory:
        opened.callback(store.close)  # a memory leaves a store that it was given open
        hub = Hub(memory)
        scopes = _said(memory, hub, random_)
        granted: dict[str, set[str]] = {}
        for number in range(scale):
            role = random_.choice(ROLES)
            if role not in granted or number % 5 == 0:
                granted[role] = set(random_.sample(SCOPES, random_.randrange(len(SCOPES))))
                hub.grant(role, sorted(granted[role]), namespace=NS)
            asked = None if sabotage and number % 7 == 0 else role
            shown = {*_shown(memory, hub, asked, random_)}
            counts.wrong += sum(scopes[each] not in granted[role] for each in shown)
            counts.lost += len({each for each, scope in scopes.items() if scope in granted[role]} - shown)
            counts.tell(number + 1, scale, "questions")
    counts.figures = {"questions": scale, "turns": len(scopes), "scopes": len(SCOPES)}
    return counts


def _said(memory: Memory, hub: Hub, random_: random.Random) -> dict[str, str]:
    """Turns in every scope and session, and a fact of each; gives the scope of each turn by its id."""
    turns: list[Turn] = []
    for number in range(20 * len(SCOPES)):
        thread, scope = random_.choice(THREADS), SCOPES[number % len(SCOPES)]
        text = f"The {random_.choice(WORDS)} and the {random_.choice(WORDS)} are number{number}"
        turns.append(Turn(Turn.named(thread, str(number)), thread, text, ref=f"{thread}/{number}", scope=scope))
        if number % 9 == 0:
            source = Source("user", turns[-1].ref, text=text)
            memory.write([("user", "likes", f"number{number}")], namespace=NS, source=source)
    hub.keep(turns, namespace=NS)
    return {turn.id: turn.scope for turn in turns}


def _shown(memory: Memory, hub: Hub, role: str | None, random_: random.Random) -> Iterator[str]:
    """Ids of the turns that a role is shown, by every way to ask."""
    query = f"the {random_.choice(WORDS)} of {random_.choice(('today', 'number7', 'number9', '2026'))}"
    for thread in THREADS:
        yield from (turn.id for turn in hub.window(thread, n=1_000, role=role, namespace=NS).turns)
        for episode in hub.episode(session=thread, k=9, role=role, namespace=NS):
            yield from (turn.id for turn in episode.turns)
    for episode in hub.episode(query, k=3, role=role, namespace=NS):
        yield from (turn.id for turn in episode.turns)
    yield from (hit.turn.id for hit in hub.search(query, k=50, role=role, namespace=NS))
    yield from (quote.turn for quote in recall(memory, hub, query, [NS], show="auto", role=role).quotes)
    for match in memory.recall("What do I like?", namespace=NS, k=3):
        yield from (turn.id for turn in hub.turns_of(match.fact, role=role))
