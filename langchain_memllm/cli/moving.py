"""Moving memories: export and import of JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_memllm.cli.terminal import STORE, WRONG, Store, User, fail, open_memory, out, progress
from langchain_memllm.errors import ConfigurationError

app = typer.Typer()


@app.command(name="export")
def export_(
    file: Annotated[Path, typer.Argument(help="JSON lines; '-' for standard output.")],
    store: Store = "memllm.db",
    user: User = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every namespace of the store.")] = False,
) -> None:
    """Write facts with their history, sources and aliases to a file of JSON lines."""
    with open_memory(store) as memory:
        namespaces = memory.namespaces() if everyone else [memory.namespace_of(user)]
        total = sum(memory.stats(namespace=n).facts + memory.stats(namespace=n).past for n in namespaces)
        records = memory.export(namespace=namespaces) if namespaces else iter(())
        if str(file) == "-":
            for record in records:
                typer.echo(json.dumps(record, ensure_ascii=False))
            return
        count = _write_lines(file, records, total)
    out.print(f"{count} facts written to {file}", markup=False)


def _write_lines(file: Path, records: Iterator[dict[str, Any]], total: int) -> int:
    """Write to a file beside it first, so that a failure leaves what was there."""
    part = file.with_name(f"{file.name}.part")
    count = 0
    try:
        descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as lines, progress("facts") as advance:
            for record in records:
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += record["type"] == "fact"
                advance(count, total)
        part.replace(file)
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); check the path and the free space", STORE)
    return count


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="What export wrote.")],
    store: Store = "memllm.db",
    user: Annotated[str | None, typer.Option("--user", "-u", help="Put everything into this user's memory.")] = None,
) -> None:
    """Put exported facts back as they were; run again, it goes on where it stopped."""
    try:
        with file.open(encoding="utf-8") as lines:
            total = sum(1 for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read ({error}); give a file that `memllm export` wrote", WRONG)
    with open_memory(store, create=True) as memory, progress("records") as advance:
        target = memory.namespace_of(user) if user is not None else None
        count = memory.restore(_records(file, total, advance), namespace=target)
    out.print(f"{count} facts read from {file}", markup=False)


def _records(file: Path, total: int, advance: Any) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise ConfigurationError(
                        f"line {number} of {file} is no JSON ({error}); export it again"
                    ) from error
                yield record
            advance(number, total)
