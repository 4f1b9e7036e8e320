"""Moving memories: copies between stores, export and import, bulk load of triples."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from langchain_memllm.cli.terminal import (
    NOTHING,
    STORE,
    WRONG,
    Json,
    Store,
    User,
    check_user,
    err,
    fail,
    open_memory,
    out,
    print_json,
    progress,
)
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.transfer import Loaded, Rejected
from langchain_memllm.triples import KINDS, Source

app = typer.Typer()


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Store to copy: a file, or neo4j://host.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Store to copy to.")],
    user: User = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every namespace of the store.")] = False,
    as_json: Json = False,
) -> None:
    """Copy a memory to another store, and check that both are the same; run again after a kill, it goes on."""
    if everyone and user is not None:
        fail("--all copies every namespace; leave --user (or MEMLLM_USER) out, or --all", WRONG)
    with (
        open_memory(source) as here,
        open_memory(target, create=True) as there,
        progress("facts", quiet=as_json) as advance,
    ):
        if not everyone:
            check_user(here, user)
        copied = here.copy(there, user_id=user, everyone=everyone, progress=advance)
    if as_json:
        print_json([each.as_dict() for each in copied])
    else:
        for each in copied:
            counts = ", ".join(f"{count} {kind}" for kind, count in each.counts.items()) or "nothing"
            out.print(f"{'/'.join(each.namespace)}: {counts}; the same on both sides, {each.hash}", markup=False)
    if not any(each.counts for each in copied):
        raise typer.Exit(NOTHING)


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help='Lines of {"subject": …, "relation": …, "object": …}; see the README.')],
    store: Store = "memllm.db",
    user: User = None,
    source: Annotated[str | None, typer.Option(help="What the lines come from; default: the file's name.")] = None,
    kind: Annotated[str, typer.Option(help=f"Kind of that source: {', '.join(KINDS)}.")] = "document",
    rejects: Annotated[
        Path | None, typer.Option(help="File for lines that cannot be loaded; default: FILE.rejected.jsonl.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Load triples from a file of JSON lines, without any model; run again after a kill, it goes on."""
    rejects = rejects or file.with_name(f"{file.name}.rejected.jsonl")
    with open_memory(store, create=True) as memory, progress("lines", quiet=as_json) as advance:
        given = Source(kind, file.name if source is None else source)  # type: ignore[arg-type]
        with _Rejects(rejects) as refuse:
            loaded = memory.load(file, user_id=user, source=given, rejects=refuse, progress=advance)
    if as_json:
        print_json({**loaded.as_dict(), "rejects": str(rejects) if loaded.rejected else None})
    else:
        out.print(_told(loaded), markup=False)
    if loaded.rejected:
        if not as_json:
            err.print(f"{loaded.rejected} lines could not be loaded; see {rejects}", markup=False)
        raise typer.Exit(WRONG)


def _told(loaded: Loaded) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in sorted(loaded.outcomes.items()) if count)
    before = f"; {loaded.replayed} of {loaded.operations} operations were there already" if loaded.replayed else ""
    return f"{loaded.lines} lines: {counts or 'nothing'}{before}"


class _Rejects:
    """The file of lines that could not be loaded; there is none when all could."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: IO[str] | None = None

    def __enter__(self) -> Callable[[Rejected], None]:
        self.path.unlink(missing_ok=True)
        return self._add

    def __exit__(self, *exception: object) -> None:
        if self._lines is not None:
            self._lines.close()

    def _add(self, rejected: Rejected) -> None:
        if self._lines is None:
            descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            self._lines = os.fdopen(descriptor, "w", encoding="utf-8")
        self._lines.write(json.dumps(rejected.as_dict(), ensure_ascii=False) + "\n")


@app.command(name="export")
def export_(
    file: Annotated[Path, typer.Argument(help="JSON lines; '-' for standard output.")],
    store: Store = "memllm.db",
    user: User = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every namespace of the store.")] = False,
) -> None:
    """Write facts with their history, sources and aliases to a file of JSON lines."""
    with open_memory(store) as memory:
        if not everyone:
            check_user(memory, user)
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
