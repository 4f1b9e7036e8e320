"""A18: hostile texts in every verb of a memory on a real server: what reaches it is a frozen set of statements."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from langchain_memllm.memory import Memory, Thresholds
from langchain_memllm.stores import cypher, open_store
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Namespace, Source
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.graph import LISTENED, facts_in, labels_and_types
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import TinyEmbedder
from langchain_memllm.verify.proxy import Proxy

__all__ = ["run", "statements"]

LABEL = "verify A18"
LOOSE = Thresholds(0.3, 0.3, 0.3, keep_known=False)
SEEDS: Final = (
    "x'}) DETACH DELETE n //",
    'x"}) RETURN 1 UNION MATCH (n) DETACH DELETE n //',
    "`]->() DELETE r //",
    "$ns",
    "{name: $name}",
    "a\nMATCH (n) SET n:Pwned\n",
    "/* */ CALL dbms.shutdown()",
    "\\u0027 OR 1=1",
    "}) CREATE (:Pwned) WITH 1 AS x //",
    "Robert'); DROP CONSTRAINT mem_fact; --",
    "$(type)",
    "null",
    "\u202e\u2066 right to left",
    "😀" * 20,
    "CYPHER 5 EXPLAIN RETURN 1",
    "x" * 200,
)


def statements() -> frozenset[str]:
    """All constants of ``cypher`` and the statements of the schema's files."""
    found: set[str] = {text for step in cypher.migrations() for text in step.statements}
    for name, value in vars(cypher).items():
        if name.isupper() and not name.startswith("_"):
            found |= {value} if isinstance(value, str) else set(value.values()) if isinstance(value, dict) else set()
    return frozenset(found)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer) -> Counts:
    """``scale`` hostile texts in every verb; sabotage lets a text become part of a statement."""
    counts, auth = Counts(), (server.user, server.password)
    random_ = random.Random(seed)  # noqa: S311 - texts, not secrets
    namespace = (LABEL, folder.name)
    with Proxy(int(server.uri.rsplit(":", 1)[1]), listen=True) as proxy:
        uri = f"bolt://127.0.0.1:{proxy.port}"
        memory = Memory(open_store(uri, auth=auth, deadline=PATIENT), embedder=TinyEmbedder())
        _use(memory, namespace, "plain")
        before = labels_and_types(uri, auth)
        for number in range(scale):
            text = _hostile(random_, number)
            counts.wrong += _use(memory, namespace, text)
            if sabotage and number == 0:
                _interpolate(uri, auth, text)
            counts.tell(number + 1, scale, "texts")
        foreign = proxy.statements - statements() - LISTENED
        held = facts_in(uri, auth, LABEL)
        after = labels_and_types(uri, auth)
        memory.store.close()
        seen = len(proxy.statements & statements())
    counts.wrong += len(foreign) + len(after - before)
    counts.problems += [f"a statement that is not in stores.cypher: {text[:60]!r}" for text in sorted(foreign)]
    counts.problems += [f"a label or type that was not there before: {name!r}" for name in sorted(after - before)]
    counts.lost += sum(fact.namespace.count(folder.name) for fact in held)  # all was forgotten again
    counts.figures = {"hostile texts": scale, "verbs": 11, "statements": seen}
    return counts


def _hostile(random_: random.Random, number: int) -> str:
    """One of the seeds, then two of them mixed; with a number, so that no two are the same name."""
    first, second = SEEDS[number % len(SEEDS)], random_.choice(SEEDS)
    cut = random_.randrange(len(first))
    return f"{(first if number < len(SEEDS) else first[:cut] + second + first[cut:])[:220]} {number}"


def _use(memory: Memory, namespace: Namespace, text: str) -> int:
    """Every verb with the text in every place; returns how many answers were not what was put in."""
    source, wrong = Source("user", text, text, text=text), 0
    there = (*namespace, " ".join(text.split())[:200])  # labels have no control characters
    triple = (text, f"likes {text}", f"the {text}")
    memory.write([triple, (text, "lives in", f"{text} town")], namespace=there, source=source, op_id=text)
    wrong += memory.read(text, triple[1], namespace=there).answers != (" ".join(triple[2].split()),)
    memory.read(triple[2], triple[1], namespace=there, thresholds=LOOSE)
    memory.recall(text, namespace=there)
    wrong += len(memory.history(text, namespace=there)) != 2
    wrong += len(list(memory.facts(namespace=there))) != 2
    memory.alias(text, f"{text} too", namespace=there)
    memory.retract(triple, namespace=there, source=source)
    list(memory.export(namespace=there))
    memory.stats(namespace=there)
    memory.forget(source=text, namespace=there)
    memory.forget(name=text, namespace=there)
    wrong += memory.forget(everything=True, namespace=there).facts
    return wrong


def _interpolate(uri: str, auth: tuple[str, str], text: str) -> None:
    """What the rule forbids."""
    from neo4j import GraphDatabase

    statement = " ".join(("RETURN", repr(text), "AS", "text"))
    with GraphDatabase.driver(uri, auth=auth) as driver, driver.session(database="neo4j") as session:
        session.run(statement).consume()  # type: ignore[arg-type,unused-ignore]
