"""A01 and A09 for what was said: an agent's process is killed with SIGKILL; nothing said is lost, or written twice.

*Said* is what the memory's first hook has returned from: the checker's own middleware comes right after it and notes
the message in a ledger. After the kills one process flushes what waits; then each said sentence must be one fact with
one piece of evidence, and nothing may wait any more.
"""

from __future__ import annotations

import random
import re
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.graph import support_in
from langchain_memllm.verify.ledger import Counts, Ledger, read_ledgers, support_of
from langchain_memllm.verify.processes import TinyEmbedder, kill, spawn, wait

__all__ = ["await_first", "noting", "run"]

AGENTS = 2
LABEL = "verify outbox"
_LIKES = re.compile(r"I like (thing [\w-]+)\.")


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """Kill ``scale`` agents, two at a time, in one memory; sabotage keeps the outbox from being committed."""
    counts, killed = Counts(), 0
    random_ = random.Random(seed)  # noqa: S311 - moments, not secrets
    import_module("langchain.agents")  # here, so that no process spends its life on it
    agent = _Agent(folder, server, sabotage)
    ledgers: list[Path] = []
    rounds = -(-scale // AGENTS)
    for round_ in range(rounds):
        here = [folder / f"said-{round_}-{number}.ledger" for number in range(AGENTS)]
        ledgers += here
        pids = [spawn(partial(agent.talk, ledger, random_.random())) for ledger in here]
        await_first(here)
        killed += kill(pids, random_.uniform(0.0, 0.15))
        counts.tell(round_ + 1, rounds, f"rounds of {AGENTS} kills")
    counts.problems += ["the flush after the kills failed"] * wait([spawn(agent.flush)])
    said, acks = read_ledgers(ledgers)
    held = agent.held()
    for message, ((_, _, thing),) in said.items():
        counts.lost += message in acks and thing not in held
        counts.duplicated += held.get(thing, 1) - 1
    counts.wrong += len(held.keys() - {thing for ((_, _, thing),) in said.values()})
    counts.figures = {"kills": killed, "messages said": len(acks), "written": len(held)}
    if len(acks) < killed:
        counts.problems.append(f"only {len(acks)} messages were said before {killed} kills: too few to tell")
    return counts


class _Agent:
    """A memory in an agent, as each process opens it anew."""

    def __init__(self, folder: Path, server: LocalServer | None, sabotage: bool) -> None:
        self.folder, self.server, self.sabotage = folder, server, sabotage
        self.user = folder.name
        if server is None:
            self._open().close()

    def talk(self, path: Path, seed: float) -> None:
        """Say one thing after the other, each in a run of its own, until killed."""
        from langchain.agents import create_agent
        from langchain_core.messages import HumanMessage
        from langgraph.checkpoint.memory import InMemorySaver

        from langchain_memllm.testing import ScriptedModel

        memory, ledger = self._open(seed), Ledger(path)
        if self.sabotage:
            memory.core.put_outbox = lambda *_, **__: None
        how = "background" if seed < 0.5 else "after_agent"
        middleware = [memory.middleware(write=how, turns=3, delay=0.05), noting(ledger)]
        model = ScriptedModel(script=lambda request: "I see.")
        agent = create_agent(model, middleware=middleware, checkpointer=InMemorySaver())
        run: Any = {"configurable": {"user_id": self.user, "thread_id": path.stem}}
        for number in range(1_000_000):
            message, thing = f"{path.stem}-{number}", f"thing {path.stem}-{number}"
            ledger.intent(message, [("user", "likes", thing)])
            agent.invoke({"messages": [HumanMessage(f"I like {thing}.", id=message)]}, run)

    def flush(self) -> None:
        """Write what waits."""
        with self._open() as memory:
            memory.flush(user_id=self.user)
            left = memory.stats(user_id=self.user).outbox
        if left:
            raise RuntimeError(f"{left} messages still wait")

    def held(self) -> dict[str, int]:
        """How many pieces of evidence each thing has, read past the memory."""
        if self.server is None:
            return support_of(self.folder / "outbox.db")
        return support_in(self.server.uri, (self.server.user, self.server.password), LABEL, self.user)

    def _open(self, seed: float = 0.0) -> Any:
        from langchain_memllm.plugin import MemLLMMemory
        from langchain_memllm.stores import open_store
        from langchain_memllm.testing import ScriptedModel, tool_call

        moments = random.Random(seed)  # noqa: S311 - moments, not secrets

        def extract(request: Any) -> Any:
            time.sleep(moments.uniform(0.0, 0.02) if seed else 0.0)
            things = _LIKES.findall(request.text.rsplit("Text:", 1)[-1])
            return tool_call("record_facts", facts=[_fact(thing) for thing in things])

        store: Any = self.folder / "outbox.db"
        if self.server is not None:
            store = open_store(self.server.uri, auth=(self.server.user, self.server.password), deadline=60.0)
        model = ScriptedModel(script=extract)
        return MemLLMMemory(store, model=model, embedder=TinyEmbedder(), namespace=(LABEL, "{user_id}"))


def _fact(thing: str) -> dict[str, str]:
    return {"subject": "user", "relation": "likes", "object": thing}


def noting(ledger: Ledger) -> Any:
    """A middleware that notes what the memory's first hook has returned from."""
    from langchain.agents.middleware import AgentMiddleware

    class Noting(AgentMiddleware):
        def before_agent(self, state: Any, runtime: Any) -> None:
            ledger.ack(state["messages"][-1].id, ["said"], 0)

    return Noting()


def await_first(ledgers: list[Path]) -> None:
    """Until each agent was heard once: opening a memory is not what is tested."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends and not all(path.exists() and '"ack"' in path.read_text() for path in ledgers):
        time.sleep(0.005)
