"""A17: tenants with the same names, thousands of operations: nothing of one is ever seen by another."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

from langchain_memllm.errors import NamespaceError
from langchain_memllm.memory import Memory, Thresholds
from langchain_memllm.stores import open_store
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Namespace
from langchain_memllm.verify.a17_doors import doors_of
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.graph import facts_in
from langchain_memllm.verify.ledger import Counts, facts_of
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder

__all__ = ["run"]

# Look-alikes on purpose: prefixes, wildcards, separators, other spellings.
TENANTS: tuple[Namespace, ...] = (("u", "1"), ("u", "10"), ("u", "1%"), ("u", "_"), ('u","1',))
NAMES = [f"{word} {number}" for word in ("Paris", "Ada", "user", "tea") for number in range(8)]
RELATIONS = ("likes", "lives in", "knows", "verify relation")
LOOSE = Thresholds(0.3, 0.3, 0.3, keep_known=False)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """``scale`` operations of five tenants; every object carries its tenant's mark. Sabotage mixes up the tenants."""
    random_ = random.Random(seed)  # noqa: S311 - a workload, not secrets
    path, counts = folder / "tenants.db", Counts()
    auth = ("", "") if server is None else (server.user, server.password)
    options = {"durability": "normal"} if server is None else {"auth": auth, "deadline": PATIENT}  # no cut is tried
    store = open_store(path if server is None else server.uri, **options)
    embedder = None if server is None else TinyEmbedder()
    with contextlib.ExitStack() as opened, Memory(store, embedder=embedder, limits=UNLIMITED) as memory:
        opened.callback(store.close)  # a memory leaves a store that it was given open
        for number in range(scale):
            tenant = random_.randrange(len(TENANTS))
            asked = random_.randrange(len(TENANTS)) if sabotage and number % 7 == 0 else tenant
            counts.wrong += _operate(memory, random_, TENANTS[asked], f"of {tenant}", number)
            counts.tell(number + 1, scale, "operations")
        counts.problems += _missing_scope(memory)
        counts.problems += doors_of(memory, max(7, scale // 1_000))
    for held in facts_of(path) if server is None else facts_in(server.uri, auth, "u"):
        where = tuple(json.loads(held.namespace))
        counts.wrong += where in TENANTS and f"of {TENANTS.index(where)}" not in held.triple[2]
    counts.figures = {"operations": scale, "tenants": len(TENANTS)}
    return counts


def _operate(memory: Memory, random_: random.Random, namespace: Namespace, mark: str, number: int) -> int:
    """One operation; returns how many foreign things it showed."""
    name, relation = random_.choice(NAMES), random_.choice(RELATIONS)
    kind = random_.random()
    if kind < 0.3:
        memory.write([(name, relation, f"{random_.choice(NAMES)} {mark}")], namespace=namespace)
        return 0
    if kind < 0.5:
        found = memory.read(name, relation, namespace=namespace).answers
    elif kind < 0.6:
        found = memory.read(f"the {name}", relation, namespace=namespace, thresholds=LOOSE).answers
    elif kind < 0.7:
        found = tuple(match.triple.object for match in memory.recall(f"{name} {relation}?", namespace=namespace))
    elif kind < 0.8:
        found = tuple(fact.triple.object for fact in memory.history(name, namespace=namespace))
    elif kind < 0.85:
        found = tuple(fact.triple.object for fact in memory.facts(namespace=namespace, open_only=True))
    elif number % 50 == 0:
        memory.forget(everything=True, namespace=namespace)
        found = ()
    else:
        memory.forget(subject=name, relation=relation, namespace=namespace)
        found = ()
    return sum(not answer.endswith(mark) for answer in found)


def _missing_scope(memory: Memory) -> list[str]:
    calls: dict[str, Callable[[Namespace], object]] = {
        "write": lambda namespace: memory.write([("a", "b", "c")], namespace=namespace),
        "read": lambda namespace: memory.read("a", "b", namespace=namespace),
        "recall": lambda namespace: memory.recall("a", namespace=namespace),
        "history": lambda namespace: memory.history("a", namespace=namespace),
        "forget": lambda namespace: memory.forget(name="a", namespace=namespace),
        "stats": lambda namespace: memory.stats(namespace=namespace),
        "export": lambda namespace: list(memory.export(namespace=namespace)),
    }
    missed = []
    for verb, call in calls.items():
        for nothing in (None, (), ("",)):
            try:
                call(nothing)  # type: ignore[arg-type]
            except NamespaceError:
                continue
            missed.append(f"{verb} without a namespace did not raise")
    return missed
