"""A01 and A09 for what was said word for word: agents are killed with SIGKILL; no turn is lost, doubled or changed.

*Said* is what the memory's first hook has returned from. After the kills the runs that were cut off are delivered
again, and so are runs that were whole. Then the file, read with plain SQL, or the graph, read with the bare driver,
must hold each message once, byte for byte. A role without a grant must see no row by any way to ask; of what is
forgotten by source or name nothing is left.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.a01_outbox import await_first, noting
from langchain_memllm.verify.graph import said_in, texts_in
from langchain_memllm.verify.ledger import Counts, Ledger, read_ledgers
from langchain_memllm.verify.processes import TinyEmbedder, kill, spawn

__all__ = ["run"]

AGENTS: Final = 2
LABEL: Final = "verify hub"
_ANSWER: Final = "I see.\n"
_TEXTS: Final = (
    "plain words, and a space at the end ",
    "🎉🏔️ 🎉",
    "קניתי כרטיס לרומא\u200f, נכון?",
    "def f(x):\n\treturn x  # 'quoted' \"text\"",
    "QUJD" * 5_000,
    "e\u0301 is not \u00e9\r\n",
)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """Kill ``scale`` agents, two at a time; sabotage keeps turns from being committed with what waits."""
    counts, killed = Counts(), 0
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    import_module("langchain.agents")  # here, so that no process spends its life on it
    place = _Place(folder / "hub.db", server, sabotage)
    with place.memory():
        pass  # the file, or the graph's schema, is there before the agents are
    ledgers: list[Path] = []
    rounds = -(-scale // AGENTS)
    for round_ in range(rounds):
        here = [folder / f"said-{round_}-{number}.ledger" for number in range(AGENTS)]
        ledgers += here
        pids = [spawn(partial(_talk, place, ledger)) for ledger in here]
        await_first(here)
        killed += kill(pids, random_.uniform(0.0, 0.15))
        counts.tell(round_ + 1, rounds, f"rounds of {AGENTS} kills")
    said, acks = read_ledgers(ledgers)
    with place.memory() as memory:
        _replay(memory, place.user, list(said), random_)
        _compare(place.turns(), said, acks, counts)
        counts.wrong += sum(1 for _ in _seen(memory, place.user, "nobody"))
        _forget(memory, place, list(said), counts)
    counts.figures = {"kills": killed, "messages said": len(acks)}
    if len(acks) < killed:
        counts.problems.append(f"only {len(acks)} messages were said before {killed} kills: too few to tell")
    return counts


class _Place:
    """Where the agents' memory is, a file or a namespace of a graph: as it is opened, and as it is read past it."""

    def __init__(self, path: Path, server: LocalServer | None, sabotage: bool) -> None:
        self.path, self.server, self.sabotage = path, server, sabotage
        self.user = path.parent.name

    @contextlib.contextmanager
    def memory(self) -> Iterator[Any]:
        """The memory, in this process, until the block ends."""
        opened = self.opened()
        try:
            yield opened
        finally:
            opened.close()
            opened.core.store.close()  # one that a memory was given is left open by it

    def opened(self) -> Any:
        """The memory, for a process that will be killed."""
        from langchain_memllm.plugin import MemLLMMemory
        from langchain_memllm.stores import open_store

        store: Any = self.path
        if self.server is not None:
            store = open_store(self.server.uri, auth=self._auth(self.server), deadline=60.0)
        memory: Any = MemLLMMemory(store, embedder=TinyEmbedder(), episodes=True, namespace=(LABEL, "{user_id}"))
        if self.sabotage:
            put = memory.core.put_outbox
            memory.core.put_outbox = lambda entries, *, namespace, turns=(): put(entries, namespace=namespace)
        return memory

    def turns(self) -> list[tuple[str, str]]:
        """(ref, text) of each message of the person."""
        if self.server is not None:
            return said_in(self.server.uri, self._auth(self.server), LABEL, self.user)
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT ref, text FROM turn WHERE role = 'user'").fetchall()

    def holds(self, words: Sequence[str]) -> int:
        """How many of these words are anywhere in it."""
        if self.server is None:
            held = b"".join(each.read_bytes() for each in self.path.parent.glob("hub.db*"))
            return sum(word.encode() in held for word in words)
        texts = "\n".join(texts_in(self.server.uri, self._auth(self.server)))
        return sum(word in texts for word in words)

    @staticmethod
    def _auth(server: LocalServer) -> tuple[str, str]:
        return server.user, server.password


def _text(message: str) -> str:
    """What is said in a message: its name, and something awkward."""
    number = int(hashlib.blake2b(message.encode(), digest_size=4).hexdigest(), 16)
    return f"word{number:010} {_TEXTS[number % len(_TEXTS)]}"


def _agent(memory: Any, *middleware: Any) -> Any:
    from langchain.agents import create_agent

    from langchain_memllm.testing import ScriptedModel

    model = ScriptedModel(script=lambda request: _ANSWER)
    return create_agent(model, middleware=[memory.middleware("write"), *middleware])


def _say(agent: Any, user: str, message: str) -> None:
    """One run of the message's own thread; ids of answers are the run's, so that one delivered again is the same."""
    from langchain_core.messages import AIMessage, HumanMessage

    run: Any = {"configurable": {"user_id": user, "thread_id": message.rpartition("-")[0]}}
    agent.invoke({"messages": [HumanMessage(_text(message), id=message)]}, run)
    answered = [HumanMessage(_text(message), id=message), AIMessage(_ANSWER, id=f"{message} answered")]
    agent.invoke({"messages": [*answered, HumanMessage(_text(f"{message}x"), id=f"{message}x")]}, run)


def _talk(place: _Place, ledger_path: Path) -> None:
    """Say one thing after the other, until killed."""
    memory, ledger = place.opened(), Ledger(ledger_path)
    agent = _agent(memory, noting(ledger))
    for number in range(1_000_000):
        message = f"{ledger_path.stem}-{number}"
        for each in (message, f"{message}x"):
            ledger.intent(each, [("user", "said", each)])
        _say(agent, place.user, message)


def _replay(memory: Any, user: str, messages: list[str], random_: random.Random) -> None:
    """Deliver what was cut off again, the last of each conversation, and some that were whole."""
    agent = _agent(memory)
    whole = [message for message in messages if not message.endswith("x")]
    last = list({message.rpartition("-")[0]: message for message in whole}.values())
    for message in [*last, *random_.sample(whole, min(20, len(whole)))]:
        _say(agent, user, message)


def _compare(rows: Sequence[tuple[str, str]], said: Any, acks: Any, counts: Counts) -> None:
    """What is held, read past the memory, is what was said, once and as it was."""
    held = Counter(ref.rpartition("/")[2] for ref, _ in rows)
    counts.lost += sum(message not in held for message in acks)
    counts.duplicated += sum(count - 1 for count in held.values())
    counts.wrong += len(held.keys() - said.keys())
    counts.torn += sum(text.encode() != _text(ref.rpartition("/")[2]).encode() for ref, text in rows)


def _seen(memory: Any, user: str, role: str) -> Iterator[object]:
    """All that a role sees, by every way to ask."""
    hub = memory.hub
    for note in hub.timeline(user_id=user)[:20]:
        yield from hub.window(note.thread, role=role, user_id=user).turns
        yield from hub.episode(session=note.thread, role=role, user_id=user)
    yield from hub.timeline(role=role, user_id=user)
    for query in ("plain words", "what was said today?", "🎉", "word"):
        yield from hub.search(query, role=role, user_id=user)
        yield from hub.episode(query, role=role, user_id=user)


def _forget(memory: Any, place: _Place, messages: list[str], counts: Counts) -> None:
    """Forget some by their source and some by a word of theirs; nothing of them is left, and the others stay."""
    user = place.user
    chosen = messages[:: max(1, len(messages) // 20)][:20]
    words = [_text(message).split()[0] for message in chosen]
    before = memory.stats(user_id=user).turns
    for number, (message, word) in enumerate(zip(chosen, words, strict=True)):
        if number % 2:
            memory.forget(name=word, user_id=user)
        else:
            memory.forget(source=f"{message.rpartition('-')[0]}/{message}", user_id=user)
    memory.forget(source="nothing of the kind", user_id=user, purge=place.server is None)
    counts.torn += place.holds(words)
    after = memory.stats(user_id=user).turns
    counts.lost += max(0, before - after - len(chosen))
    counts.problems += memory.verify()
