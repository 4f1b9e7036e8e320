"""A21: hundreds of rows that this package did not write, straight in the file, under an audit hook.

Every column of every table gets values of other types, texts that cannot be read, JSON bombs and what LangChain's own
loaders would run. Then every verb is called. Each ends in an answer or in an error of ours, the full check names the
table, and the hook sees no code run, no process, no connection and no look at the environment.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from langgraph.store.base import IndexConfig

from langchain_memllm.adapters.store import MemLLMStore
from langchain_memllm.belief import Quarantined
from langchain_memllm.errors import MemLLMError
from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.stores import open_store
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.triples import Source
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import TinyEmbedder, side_by_side

__all__ = ["run"]

_NS: Final = ("verify", "a21")
_ME: Final = Source("user", "chat", "ada", "Ada lives in Oslo.", (0, 18), 1)
_FIRST: Final = [("Ada", "lives in", "Oslo"), ("Ada", "password", "x1")]
_SECOND: Final = "two 2"
_TURN: Final = Turn(Turn.named("t", "1"), "t", "Ada lives in Oslo.", speaker="Ada", ref="t/1")
_BOMB: Final = "[" * 20_000 + "]" * 20_000
_LOADED: Final = json.dumps(
    {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "touch /tmp/memllm-a21"}}
)
_SECRET: Final = json.dumps({"lc": 1, "type": "secret", "id": ["PATH"]})
_VALUES: Final[dict[str, object]] = {
    "a number": 7,
    "bytes": b"\x80\x04c",
    "a bomb": _BOMB,
    "a constructor": _LOADED,
    "no UTF-8": None,  # by SQL
    "a real": 0.5,
    "a text": "x",
    "a secret": _SECRET,
    "a huge number": 1 << 62,
    "nothing": None,
}
_WATCHED: Final = ("exec", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "subprocess.Popen", "socket.connect")
_WATCHED_MORE: Final = ("socket.bind", "socket.getaddrinfo", "ctypes.dlopen", "pickle.find_class", "marshal.loads")
_watching: list[list[str]] = []


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Every column with the first ``scale`` values, at least four; sabotage starts a process: the hook must see it."""
    counts = Counts()
    template = folder / "template.db"
    _fill(template)
    cases = list(_cases(template, max(4, scale)))

    def attempt(number: int) -> dict[str, Any]:
        _hook()
        counts.tell(number + 1, len(cases), "cases")
        return _attempt(template, folder / f"{number}.db", *cases[number], sabotage=sabotage and number == 0)

    tried = side_by_side(attempt, len(cases))
    for (table, column, name, _), told in zip(cases, tried, strict=True):
        problems = ["the process ended"] if told is None else told["problems"]
        counts.problems += [f"{table}.{column} with {name}: {problem}" for problem in problems]
    events = [event for told in tried for event in (told or {"events": []})["events"]]
    counts.wrong += len(events)
    counts.problems += sorted(set(events))[:3]
    counts.figures = {"rows": sum(bool(told and told["planted"]) for told in tried), "events": len(events)}
    return counts


def _attempt(
    template: Path, path: Path, table: str, column: str, name: str, value: object, *, sabotage: bool
) -> dict[str, Any]:
    """Plant one value and use the memory; what was wrong, and what the hook saw meanwhile."""
    shutil.copyfile(template, path)
    events, problems = list[str](), list[str]()
    if planted := _plant(path, table, column, name, value):
        _watching.append(events)
        try:
            if sabotage:
                subprocess.run([sys.executable, "-c", ""], check=True)
            problems += _use(path)
        finally:
            _watching.pop()
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return {"planted": planted, "problems": problems, "events": events}


def _fill(path: Path) -> None:
    """A memory with a row in every table."""
    with Memory(path, embedder=TinyEmbedder()) as memory:
        memory.write(_FIRST, namespace=_NS, source=_ME, op_id="one")
        piece = Quarantined("Ada >>", "cut off", _ME)
        # Its key comes after that of "one": which of them is the first row must not be left to chance.
        memory.write([("Ada", "lives in", "Rome")], namespace=_NS, source=_ME, quarantine=[piece], op_id=_SECOND)
        memory.alias("Ada", "Ada Lovelace", namespace=_NS)
        _say(memory)
        memory.put_outbox([], namespace=_NS, turns=[_TURN])
        memory.store.turns.grant(_NS, "planner", [""])
        gone = Turn(Turn.named("t", "2"), "t", "gone", ref="t/2")
        memory.put_outbox([], namespace=_NS, turns=[gone])
        memory.forget(source="t/2", namespace=_NS)
        _items(memory).put(("a", "b"), "k", {"text": "Ada lives in Oslo.", "n": 3}, ttl=60)


def _items(memory: Memory) -> MemLLMStore:
    """LangGraph's store in the same file."""
    embedder = TinyEmbedder()
    index: IndexConfig = {
        "dims": len(embedder.embed_documents(["a"])[0]),
        "embed": lambda texts: embedder.embed_documents(list(texts)),
    }
    return MemLLMStore(memory.store, index=index)


def _say(memory: Memory) -> None:
    """Something that waits, put as an import does: with the form of an export alone."""
    entry: dict[str, Any] = {
        "text": "Ada likes tea.",
        "context": [],
        "thread": "",
        "speaker": None,
        "replace": False,
        "attempts": 0,
    }
    entry |= {"source": asdict(_ME), "recorded_at": "", "excluded": [], "op_id": "two"}
    memory.restore([{"type": "outbox", "namespace": list(_NS), **entry}])


def _cases(template: Path, most: int) -> Iterator[tuple[str, str, str, object]]:
    connection = sqlite3.connect(template)
    try:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (table,) in tables:
            for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall():
                for name, value in list(_VALUES.items())[:most]:
                    yield table, column, name, value
    finally:
        connection.close()


def _plant(path: Path, table: str, column: str, name: str, value: object) -> bool:
    """Put the value into the first row; whether it is there and is not what was there."""
    connection = sqlite3.connect(path)
    try:
        connection.text_factory = bytes
        before = connection.execute(f"SELECT {column}, typeof({column}) FROM {table} LIMIT 1").fetchone()  # noqa: S608
        given = "CAST(x'ff80' AS TEXT)" if name == "no UTF-8" else "?"
        first = f"(SELECT {column} FROM {table} LIMIT 1)"  # noqa: S608
        connection.execute(
            f"UPDATE {table} SET {column} = {given} WHERE {column} IS {first}",  # noqa: S608
            () if name == "no UTF-8" else (value,),
        )
        connection.commit()
        return bool(before != connection.execute(f"SELECT {column}, typeof({column}) FROM {table} LIMIT 1").fetchone())  # noqa: S608
    except sqlite3.Error:  # the table's own rules refuse it
        return False
    finally:
        connection.close()


def _use(path: Path) -> Iterator[str]:
    """Call every verb; what is wrong with how one ends."""
    try:
        store = open_store(path, durability="normal")
    except MemLLMError:
        return
    except Exception as error:
        yield f"opening ended in {type(error).__name__}"
        return
    found, refused = ["the check itself"], ""
    with contextlib.closing(store):
        memory = Memory(store, embedder=TinyEmbedder())
        try:
            found = memory.verify()
        except MemLLMError:
            pass
        except Exception as error:
            yield f"the check ended in {type(error).__name__}"
        for name, verb in _VERBS.items():
            try:
                verb(memory)
            except MemLLMError as error:
                refused = refused or f"{name} ({type(error).__name__})"
            except Exception as error:
                yield f"{name} ended in {type(error).__name__}"
    if refused and not found:
        yield f"{refused} failed, and the check finds nothing"


_VERBS: Final[dict[str, Callable[[Memory], Any]]] = {
    "read": lambda m: [str(match) for match in m.read("Ada", "lives in", namespace=_NS)],
    "read any": lambda m: [str(match) for match in m.read("Ada", None, namespace=_NS)],
    "read similar": lambda m: [str(match) for match in m.read("Adas", "lives in", namespace=_NS)],
    "read at": lambda m: [str(match) for match in m.read("Ada", "lives in", namespace=_NS, at="2030-01-01")],
    "recall": lambda m: [str(match) for match in m.recall("Where does Ada Lovelace live?", namespace=_NS)],
    "history": lambda m: [str(fact) for fact in m.history("Ada", namespace=_NS)],
    "facts": lambda m: [str(fact) for fact in m.facts(namespace=_NS)],
    "stats": lambda m: m.stats(namespace=_NS),
    "quarantined": lambda m: list(m.quarantined(namespace=_NS)),
    "outbox": lambda m: m.outbox(namespace=_NS),
    "receipt": lambda m: m.receipt("one", namespace=_NS),
    "namespaces": lambda m: m.store.namespaces(),
    "export": lambda m: json.dumps(list(m.export(namespace=_NS))),
    "again": lambda m: m.write(
        [("Ada", "lives in", "Oslo"), ("Ada", "password", "x1")], namespace=_NS, source=_ME, op_id="one"
    ),
    "write": lambda m: m.write([("Ada", "lives in", "Bonn")], namespace=_NS, source=_ME),
    "retract": lambda m: m.retract(("Ada", "lives in", "Bonn"), namespace=_NS, source=_ME),
    "alias": lambda m: m.alias("Ada", "Countess", namespace=_NS),
    "window": lambda m: Hub(m).window("t", role="planner", namespace=_NS).text,
    "episode": lambda m: [each.began for each in Hub(m).episode("Where does Ada live?", namespace=_NS)],
    "timeline": lambda m: Hub(m).timeline(namespace=_NS),
    "said again": lambda m: m.put_outbox([], namespace=_NS, turns=[replace(_TURN, text="Ada lives in Bonn.")]),
    "item": lambda m: _items(m).get(("a", "b"), "k"),
    "items": lambda m: _items(m).search(("a",), filter={"n": {"$gt": 1}}),
    "items like": lambda m: _items(m).search(("a",), query="Oslo"),
    "item namespaces": lambda m: _items(m).list_namespaces(),
    "item again": lambda m: _items(m).put(("a", "b"), "k", {"text": "Rome"}),
    "expired items": lambda m: _items(m).sweep_ttl(),
    "forget": lambda m: m.forget(name="Ada", namespace=_NS),
    "forget all": lambda m: m.forget(everything=True, namespace=_NS),
}


def _hook() -> None:
    if not _HOOKED:
        _HOOKED.append(True)
        sys.addaudithook(_notice)


_HOOKED: Final[list[bool]] = []


def _notice(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep what happens that no row may cause; modules of the package and its own libraries may be loaded late."""
    if not _watching or event not in (*_WATCHED, *_WATCHED_MORE):
        return
    if event == "exec":
        source = str(getattr(arguments[0], "co_filename", ""))
        if source.startswith(("<frozen", str(Path(sys.prefix)), str(Path(sys.base_prefix)))) or source == "<string>":
            return
        if source.endswith(".py"):
            return
    _watching[-1].append(event)
