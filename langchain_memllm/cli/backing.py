"""Backups of a memory in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langchain_memllm.cli.terminal import STORE, WRONG, Store, exit_status, fail, is_missing, out
from langchain_memllm.errors import MemLLMError
from langchain_memllm.stores import backup as backups
from langchain_memllm.stores.address import kind_of, path_of
from langchain_memllm.stores.sqlite import Database

app = typer.Typer()


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; a backup that is there is replaced with --overwrite.")],
    store: Store = "memllm.db",
    verify: Annotated[bool, typer.Option("--verify", help="Check every page of the copy.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a copy of a memory to a file of its own, while others go on writing.

    Copying the file by hand is not a backup: what was written last is in the log beside it.
    """
    path = _file_of(store)
    if is_missing(store):
        fail(f"there is no memory at {store}; check --store", STORE)
    try:
        database = Database(path)
        try:
            backups.back_up(database, file, verify=verify, overwrite=overwrite)
        finally:
            database.close()
    except MemLLMError as error:
        fail(str(error), exit_status(error))
    checked = "; every page of it is sound" if verify else ""
    out.print(f"{path} is backed up in {file}, {file.stat().st_size:,} bytes{checked}", markup=False)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `memllm backup` wrote.")],
    store: Store = "memllm.db",
) -> None:
    """Put a backup in the place of a memory, also while others have it open; what was there is kept beside it."""
    path = _file_of(store)
    try:
        former = backups.restore(file, path)
    except MemLLMError as error:
        fail(str(error), exit_status(error))
    kept = f"; what was there before is in {former}" if former is not None else ""
    out.print(f"{path} is as in {file}{kept}", markup=False)


def _file_of(store: str) -> Path:
    if kind_of(store) == "graph":
        fail(backups.ON_A_SERVER, WRONG)
    path = path_of(store)
    if path is None:
        fail("a memory in ':memory:' is in no file; give --store FILE", WRONG)
    return path
