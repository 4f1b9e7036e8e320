"""A23: passwords in mistyped addresses, keys in vendors' errors, facts: none is in a log, a file's name or our errors.

Every address is given to every door, those of the command line included; then operations fail in many ways, with
canaries in what they are given and in what vendors say. All that our loggers say at DEBUG, tracebacks included, is
searched; so are the errors about addresses, what commands print, and the folder, in which no file may appear.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from langchain_memllm.memory import Memory
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.stores import open_store
from langchain_memllm.testing import ScriptedModel
from langchain_memllm.triples import Source
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import TinyEmbedder

__all__ = ["ADDRESSES", "SECRET", "run"]

SECRET: Final = "Secret7d1f"  # noqa: S105 - a canary
CANARY: Final = "Canary7d1f"
_NS: Final = ("verify", "a23")
_LEAST_LOGGED: Final = 20
ADDRESSES: Final[tuple[str, ...]] = tuple(
    address.replace("SECRET", SECRET)
    for address in (
        "neo4j:/neo4j:SECRET@localhost",
        "neo4j:neo4j:SECRET@localhost",
        "neo4j//neo4j:SECRET@localhost",
        "neo4j;//SECRET",
        "neo4j.://neo4j:SECRET@localhost",
        "neo4j://neo4j:SECRET@localhost",
        "neo4j+s://neo4j:SECRET@db.example",
        "neo4j+ss://neo4j:SECRET@db.example",
        "NEO4J://neo4j:SECRET@localhost",
        " bolt://neo4j:SECRET@localhost",
        "\tbolt:\n//neo4j:SECRET@localhost",
        "bolt://SECRET@localhost",
        "bolt://SECRET",
        "bolt://localhost:SECRET",
        "bolt://localhost?password=SECRET",
        "bolt://localhost#SECRET",
        "bolt+s://",
        "bolt:SECRET",
        "bolts://neo4j:SECRET@localhost",
        "http://neo4j:SECRET@localhost:7474",
        "https://SECRET.example",
        "postgres://neo4j:SECRET@localhost",
        "file:SECRET.db",
        "neo4j\uff1a//neo4j\uff1aSECRET\uff20localhost",
        "neo4j%3A%2F%2Fneo4j%3ASECRET%40localhost",
        "neo4j:SECRET@localhost:7687",
        "ada:SECRET@db.example/memory",
        "./ada:SECRET@db.example",
    )
)
"""Addresses that are none, or hold a password; no door may take or quote one."""

# A file of its own for the command line, which is above this package: every command with every address.
_COMMANDS: Final = """
import json, sys
from typer.testing import CliRunner
from langchain_memllm.cli import app
told = []
for address in json.loads(sys.stdin.read()):
    for command in (["stats"], ["doctor"], ["list", "Ada"], ["schema", "show"], ["copy", address, address]):
        store = [] if command[0] == "copy" else ["--store", address]
        done = CliRunner().invoke(app, [*command, *store])
        told.append([done.exit_code, done.output, repr(done.exception)])
print(json.dumps(told))
"""


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """All addresses and all errors, whatever the scale; sabotage lets the memory log what it is given."""
    counts, told = Counts(), _Told()
    logger = logging.getLogger("langchain_memllm")
    before = logger.level
    logger.setLevel(logging.DEBUG)  # an assignment leaves what logging holds of the level as it was
    logger.addHandler(told)
    empty = folder / "empty"
    empty.mkdir()
    try:
        with contextlib.chdir(empty):
            counts.problems += _addresses()
            counts.problems += _commands()
        failed = sum(_fails(step) for step in _errors(folder, _Telling if sabotage else Memory))
    finally:
        logger.removeHandler(told)
        logger.setLevel(before)
    counts.problems += [f"a file named {path.name[:20]!a} was made" for path in empty.iterdir()]
    logged = "\n".join(told.lines)
    counts.wrong += sum(secret.casefold() in logged.casefold() for secret in (SECRET, CANARY))
    if len(told.lines) < _LEAST_LOGGED or failed < len(_ERRORS):
        counts.problems.append(f"{failed} of {len(_ERRORS)} errors came, {len(told.lines)} records were logged")
    counts.figures = {"addresses": len(ADDRESSES), "errors": failed, "records of our loggers": len(told.lines)}
    return counts


class _Told(logging.Handler):
    """Keeps what is logged as a handler would print it, with tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("langchain_memllm.verify"):
            self.lines.append(self.format(record))


def _addresses() -> Iterator[str]:
    doors: dict[str, Callable[[str], Any]] = {"open_store": open_store, "core": Memory, "facade": MemLLMMemory}
    for number, address in enumerate(ADDRESSES):
        for name, door in doors.items():
            try:
                opened = door(address)
            except Exception as error:
                if SECRET in "".join(traceback.format_exception(error, chain=True)).replace(__file__, ""):
                    yield f"address {number}: {name} quotes it"
            else:
                opened.close()
                yield f"address {number}: {name} takes it"


def _commands() -> Iterator[str]:
    with ThreadPoolExecutor(2) as threads:
        for problems in threads.map(lambda half: list(_commanded(half)), (ADDRESSES[::2], ADDRESSES[1::2])):
            yield from problems


def _commanded(addresses: Sequence[str]) -> Iterator[str]:
    environment = {**os.environ, "NEO4J_PASSWORD": "x", "MEMLLM_STORE": ""}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _COMMANDS],
        input=json.dumps(addresses),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or SECRET in done.stderr:
        yield f"the command line ended with {done.returncode}"
        return
    for number, (status, output, raised) in enumerate(json.loads(done.stdout)):
        if status != 2 or SECRET in output or SECRET in raised:
            yield f"command {number} ended with {status}, or quotes the address"


# -- errors ------------------------------------------------------------------------------------------------------------


class _Telling(Memory):
    """A memory that logs what it is given: what this check must notice."""

    def write(self, triples: Any, **options: Any) -> Any:
        logging.getLogger("langchain_memllm.memory").debug("write %s", triples)
        return super().write(triples, **options)


class _Failing:
    """An embedder whose vendor quotes the key and the texts."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise RuntimeError(f"401 for key {SECRET} with {texts}")


class _Short:
    """An embedder that answers with too few vectors."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0]][: len(texts) - 1]


def _quoting(request: object) -> Any:
    raise RuntimeError(f"401 for key {SECRET}: {request}")


def _fails(step: Callable[[], object]) -> bool:
    try:
        step()
    except Exception:
        return True
    return False


def _errors(folder: Path, kind: type[Memory]) -> Iterator[Callable[[], object]]:
    memory = kind(folder / "errors.db", embedder=TinyEmbedder())
    source = Source("user", f"chat of {CANARY}", CANARY, f"{CANARY} likes tea.")
    memory.write([(CANARY, "likes", "tea")], namespace=_NS, op_id=f"about {CANARY}", source=source)
    memory.recall(f"What of {CANARY}?", namespace=_NS)
    for step in _ERRORS:
        yield functools.partial(step, memory, folder)
    memory.forget(name=CANARY, namespace=_NS)
    memory.close()


def _conflict(memory: Memory, folder: Path) -> object:
    return memory.write([(CANARY, "likes", "gin")], namespace=_NS, op_id=f"about {CANARY}")


def _no_embedder(memory: Memory, folder: Path) -> object:
    with Memory(embedder=_Failing()) as failing:
        failing.write([(CANARY, "likes", "tea")], namespace=_NS)
        failing.recall(CANARY, namespace=_NS)
        return failing.read(f"the {CANARY}", "likes", namespace=_NS)


def _too_few(memory: Memory, folder: Path) -> object:
    with Memory(embedder=_Short()) as failing:
        failing.write([(CANARY, "likes", "tea")], namespace=_NS)
        return failing.read(f"the {CANARY}", "likes", namespace=_NS)


def _model(memory: Memory, folder: Path) -> object:
    with MemLLMMemory(":memory:", model=ScriptedModel(script=_quoting)) as failing:
        return failing.remember(f"{CANARY} likes tea.", user_id=CANARY)


def _closed(memory: Memory, folder: Path) -> object:
    other = Memory(folder / "closed.db", embedder=TinyEmbedder())
    other.close()
    return other.write([(CANARY, "likes", "tea")], namespace=_NS)


def _damaged(memory: Memory, folder: Path) -> object:
    (folder / "damaged.db").write_text(f"{CANARY} is not a database. " * 500)
    return Memory(folder / "damaged.db")


def _bad_line(memory: Memory, folder: Path) -> object:
    (folder / "lines.json").write_text(f'[{{"subject": "{CANARY}", "relation": "likes", "object": "tea"}}, {CANARY}')
    with MemLLMMemory(":memory:") as other:
        return other.load(folder / "lines.json")


_ERRORS: Final[tuple[Callable[[Memory, Path], object], ...]] = (
    _conflict,
    _no_embedder,
    _too_few,
    _model,
    _closed,
    _damaged,
    _bad_line,
    lambda memory, _: memory.read(CANARY, namespace=(f"{CANARY}\x07",)),
    lambda memory, _: memory.read(f"{CANARY}\x07", "likes", namespace=_NS),
    lambda memory, _: memory.alias(CANARY, f"{CANARY}\x07", namespace=_NS),
    lambda memory, _: memory.forget(fact_id=CANARY, namespace=_NS),
    lambda memory, _: memory.restore([{"type": CANARY, "namespace": [CANARY]}]),
    lambda memory, _: memory.write([(CANARY, "likes", "tea")], namespace=_NS, at=CANARY),
    lambda memory, _: memory.write([(CANARY, "likes", "tea")], namespace=_NS, source=CANARY),  # type: ignore[arg-type]
)
