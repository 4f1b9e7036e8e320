"""Copies and bulk loads that are killed (SIGKILL) go on when they are started again, between any two stores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_memllm.memory import Memory
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.transfer import copy, digest, load
from langchain_memllm.triples import Namespace, Source, Statement

NS: Namespace = ("memllm", "ada")
FACTS = 600

# Says how far it is; in small blocks, so that a kill meets every stage.
MOVER = f"""
import sys
from langchain_memllm import transfer
from langchain_memllm.memory import Memory
from langchain_memllm.stores import parts
from langchain_memllm.testing import FakeEmbedder
parts.BLOCK = transfer.BATCH = 40
what, source, target = sys.argv[1:]
tell = lambda done, total: print(done, flush=True)
to = Memory(target, embedder=FakeEmbedder())
if what == "copy":
    transfer.copy(Memory(source, embedder=FakeEmbedder()), to, namespaces=[{NS!r}], progress=tell)
else:
    transfer.load(to, source, namespace={NS!r}, progress=tell)
"""


def filled(store: Any) -> Memory:
    """A memory with every kind of part."""
    memory = Memory(store, embedder=FakeEmbedder())
    for start in range(0, FACTS, 100):
        statements = [
            Statement(f"person {n % 50}", ("likes", "lives in")[n % 2], f"thing {n}", text=f"sentence {n}")
            for n in range(start, start + 100)
        ]
        memory.write(statements, namespace=NS, source=Source("user", "chat", "ada"), op_id=f"op {start}")
    memory.alias("person 1", "Ada", namespace=NS)
    return memory


def killed(what: str, source: str, target: str, after: int) -> int:
    """Start moving, kill it when it has told ``after`` or is done; returns the number last told."""
    command = [sys.executable, "-c", MOVER, what, source, target]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        told = int(line)
        if told >= after:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return told


@pytest.fixture(params=["file", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """An address that another process can open, and what to open here."""
    if request.param == "file":
        yield str(tmp_path / "there.db"), str(tmp_path / "there.db")
        return
    store: Neo4jStore = request.getfixturevalue("neo4j_store")
    server = request.getfixturevalue("neo4j_server")
    monkeypatch.setenv("NEO4J_PASSWORD", server.password)
    yield server.uri, store


def test_a_copy_that_was_killed_goes_on(place: tuple[str, Any], tmp_path: Path) -> None:
    address, store = place
    source = filled(tmp_path / "here.db")
    for after in (30, 200, 430):
        killed("copy", str(tmp_path / "here.db"), address, after)
    target = Memory(store, embedder=FakeEmbedder())
    held = len(list(target.facts(namespace=NS)))
    assert 0 < held < FACTS
    assert copy(source, target, namespaces=[NS]) == [digest(target, NS)]
    assert digest(target, NS).counts == {"alias": 1, "fact": FACTS, "name": 653, "operation": 6}
    assert target.verify() == []


def test_a_copy_to_a_file_that_was_killed_goes_on(place: tuple[str, Any], tmp_path: Path) -> None:
    address, store = place
    source = filled(store)
    for after in (30, 430):
        killed("copy", address, str(tmp_path / "here.db"), after)
    target = Memory(tmp_path / "here.db", embedder=FakeEmbedder())
    assert 0 < len(list(target.facts(namespace=NS))) < FACTS
    assert copy(source, target, namespaces=[NS]) == [digest(source, NS)]
    assert target.verify() == []


def test_a_load_that_was_killed_goes_on(place: tuple[str, Any], tmp_path: Path) -> None:
    address, store = place
    file = tmp_path / "facts.jsonl"
    lines = [{"subject": f"person {n % 50}", "relation": "likes", "object": f"thing {n}"} for n in range(FACTS)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for after in (40, 200, 400):
        killed("load", str(file), address, after)
    memory = Memory(store, embedder=FakeEmbedder())
    assert 400 <= len(list(memory.facts(namespace=NS))) < FACTS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("langchain_memllm.transfer.BATCH", 40)
        loaded = load(memory, file, namespace=NS)
    assert (loaded.lines, loaded.operations, loaded.outcomes["stored"]) == (FACTS, 15, FACTS)
    assert loaded.replayed >= 10
    assert [str(fact.triple) for fact in memory.facts(namespace=NS)] == [
        f"(person {n % 50}, likes, thing {n})" for n in range(FACTS)
    ]
