"""A11: the same random scripts on a file and on Neo4j give the same memory, also when it is copied, and go on alike."""

from __future__ import annotations

import contextlib
from pathlib import Path

from langchain_memllm import transfer
from langchain_memllm.memory import Memory
from langchain_memllm.stores import open_store
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Namespace
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.scripts import Differs, Script, opened

__all__ = ["run"]


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer) -> Counts:
    """``scale`` scripts of 24 steps; sabotage writes a fact into one of the two memories alone."""
    counts = Counts(figures={"scripts": scale})
    for number in range(scale):
        try:
            counts.problems += _agree(folder / str(number), seed * 1_000 + number, sabotage, server)
        except Differs as error:
            counts.wrong += 1
            counts.problems.append(f"script {number} of seed {seed}: {str(error)[:200]}")
        counts.tell(number + 1, scale, "scripts")
    return counts


def _agree(folder: Path, seed: int, sabotage: bool, server: LocalServer) -> list[str]:
    """One script in three parts: after a restart, and after a copy each way. Returns what the memories find wrong."""
    folder.mkdir()
    namespaces: list[Namespace] = [("a11", folder.name, "one"), ("a11", folder.name, "two")]
    with contextlib.ExitStack() as closing:

        def both() -> list[Memory]:
            graph = open_store(server.uri, auth=(server.user, server.password), deadline=PATIENT)
            memories = [opened(folder / "file.db"), opened(graph)]
            for memory in memories:
                closing.callback(memory.store.close)
            return memories

        script = Script(seed, both(), namespaces)
        script.run(14)

        closing.pop_all().close()
        script.memories = file, graph = both()
        if sabotage:
            file.write([("Ada", "likes", "a fact of one store")], namespace=namespaces[0])
        script.run(4)
        script.compare_dumps()

        other = opened(folder / "other.db")
        closing.callback(other.store.close)
        transfer.copy(graph, other, namespaces=namespaces)
        for namespace in namespaces:
            graph.forget(everything=True, namespace=namespace)
        transfer.copy(file, graph, namespaces=namespaces)
        script.memories = [file, graph, other]
        script.compare()
        script.run(6)
        script.compare_dumps()
        return [f"{memory!r}: {problem}" for memory in script.memories for problem in memory.verify()]
