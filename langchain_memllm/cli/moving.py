"""Moving memories: copies between stores, export and import, bulk load of triples."""

from __future__ import annotations

import codecs
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import IO, Annotated, Any, BinaryIO, Final

import typer

from langchain_memllm.cli.files import check_target, is_memory, is_standard, same_file, written_beside
from langchain_memllm.cli.terminal import (
    NOTHING,
    WRONG,
    Json,
    Store,
    User,
    check_named,
    check_user,
    counted,
    err,
    fail,
    open_memory,
    out,
    print_json,
    progress,
)
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.roles import names_of_parts
from langchain_memllm.transfer import Loaded, Rejected
from langchain_memllm.triplefile import is_exported
from langchain_memllm.triples import KINDS, Source

app = typer.Typer()

_MAX_RECORD: Final = 1 << 26  # bytes of one record of an export: a receipt of 4,096 outcomes has one

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that memllm did not make.")]


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
            out.print(f"{'/'.join(each.namespace)}: {each.told}; the same on both sides, {each.hash}", markup=False)
    if not any(each.counts for each in copied):
        raise typer.Exit(NOTHING)


@app.command()
def load(
    file: Annotated[
        Path, typer.Argument(help="JSON lines, a JSON array, or CSV with a header; '-' for standard input.")
    ],
    store: Store = "memllm.db",
    user: User = None,
    source: Annotated[str | None, typer.Option(help="What the lines come from; default: the file's name.")] = None,
    kind: Annotated[str, typer.Option(help=f"Kind of that source: {', '.join(KINDS)}.")] = "document",
    rejects: Annotated[
        Path | None, typer.Option(help="File for lines that cannot be loaded; default: FILE.rejected.jsonl.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Load triples from a file, without any model; run again after a kill, it goes on.

    A line, element or row has "subject", "relation" and "object" (or predicate, head and tail, source with relationship
    and target). It may have "source" (a name), "kind", "principal", "at" (when it was said), "valid_from", "valid_to",
    "confidence", "text" (its sentence), "turn" and "retract". A header of CSV names the same columns. What `memllm
    export` wrote goes back with `memllm import`.
    """
    name = "stdin" if is_standard(file) else file.name
    if not is_standard(file):
        _check_input(file)
    rejects = rejects or file.with_name(f"{name}.rejected.jsonl")
    for other, called in ((file, "the file to load"), (Path(store), "the memory")):
        if same_file(rejects, other):
            fail(f"--rejects {rejects} is {called}, which is left as it is; give another file", WRONG)
    check_target(rejects, _is_rejected, what="a list of rejected lines", overwrite=overwrite)
    with open_memory(store, create=True) as memory, progress("lines", quiet=as_json) as advance:
        check_named(memory, user)
        given = Source(kind, name if source is None else source)  # type: ignore[arg-type]
        with _Rejects(rejects) as refuse:
            lines = sys.stdin.buffer if is_standard(file) else file
            loaded = memory.load(lines, user_id=user, source=given, rejects=refuse, progress=advance)
    if as_json:
        print_json({**loaded.as_dict(), "rejects": str(rejects) if loaded.rejected else None})
    else:
        out.print(_told(loaded), markup=False)
    if loaded.rejected:
        if not as_json:
            err.print(f"{counted(loaded.rejected, 'line')} could not be loaded; see {rejects}", markup=False)
        raise typer.Exit(WRONG)


def _check_input(file: Path) -> None:
    if file.is_dir():
        fail(f"{file} is a folder; give a file in it", WRONG)
    if is_memory(file):
        fail(f"{file} is a memory itself (or another SQLite database); use `memllm copy {file} TO`", WRONG)


def _told(loaded: Loaded) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in sorted(loaded.outcomes.items()) if count)
    operations = counted(loaded.operations, "operation")
    before = f"; {loaded.replayed} of {operations} had been delivered before" if loaded.replayed else ""
    return f"{counted(loaded.lines, 'line')}: {counts or 'nothing'}{before}"


def _is_rejected(record: dict[str, Any]) -> bool:
    return record.keys() == {"line", "reason", "given"}


class _Rejects:
    """The file of lines that could not be loaded; there is none when all could."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = ExitStack()
        self._lines: IO[str] | None = None

    def __enter__(self) -> Callable[[Rejected], None]:
        return self._add

    def __exit__(self, *exception: Any) -> None:
        self._open.__exit__(*exception)
        if self._lines is None and exception[0] is None:
            self.path.unlink(missing_ok=True)

    def _add(self, rejected: Rejected) -> None:
        if self._lines is None:
            self._lines = self._open.enter_context(written_beside(self.path))
        self._lines.write(json.dumps(rejected.as_dict(), ensure_ascii=False) + "\n")


@app.command(name="export")
def export_(
    file: Annotated[Path, typer.Argument(help="File for JSON lines; '-' for standard output.")],
    store: Store = "memllm.db",
    user: User = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every namespace of the store.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write facts with their history, sources and aliases to a file of JSON lines.

    A file that is there is replaced only if it is an export, and never by an export of nothing.
    """
    with open_memory(store) as memory:
        if not everyone:
            check_user(memory, user)
        if not is_standard(file):
            check_target(file, is_exported, what="an export", overwrite=overwrite)
        namespaces = memory.namespaces() if everyone else [memory.namespace_of(user)]
        counts = [memory.stats(namespace=each) for each in namespaces]
        total = sum(each.facts + each.past for each in counts)
        if not total and not is_standard(file) and file.exists() and not overwrite:
            users = ", ".join(memory.users()) or "nobody"
            fail(f"there are no facts to export, so {file} is left as it is; there is a memory of: {users}", NOTHING)
        records = memory.export(namespace=namespaces) if namespaces else iter(())
        if is_standard(file):
            for record in records:
                typer.echo(json.dumps(record, ensure_ascii=False))
            return
        count = _write_lines(file, records, total)
    out.print(f"{counted(count, 'fact')} written to {file}", markup=False)


def _write_lines(file: Path, records: Iterator[dict[str, Any]], total: int) -> int:
    count = 0
    with written_beside(file) as lines, progress("facts") as advance:
        for record in records:
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += record["type"] == "fact"
            advance(count, total)
    return count


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="What export wrote; '-' for standard input.")],
    store: Store = "memllm.db",
    user: Annotated[str | None, typer.Option("--user", "-u", help="Put everything into this user's memory.")] = None,
    kind: Annotated[
        str, typer.Option(help="Highest kind of source that it may claim beside what is there; 'system': a backup.")
    ] = "user",
) -> None:
    """Put exported facts back as they were; run again, it goes on where it stopped.

    In a memory that holds facts already, kinds above --kind are lowered and aliases of what a person stated left out;
    a store that holds other memories keeps its relations. Put a backup of your own back with --kind system. Plain
    triples are loaded with `memllm load`.
    """
    name, total = "standard input", 0
    if not is_standard(file):
        _check_input(file)
        name, total = str(file), _count_lines(file)
    with open_memory(store, create=True) as memory, progress("records") as advance:
        target = memory.namespace_of(user) if user is not None else None
        with nullcontext(sys.stdin.buffer) if is_standard(file) else file.open("rb") as lines:
            records = _records(lines, name, total, advance)
            count = memory.restore(records, namespace=target, source_type=kind)  # type: ignore[arg-type]
    out.print(f"{counted(count, 'fact')} read from {name}", markup=False)


def _count_lines(file: Path) -> int:
    try:
        with file.open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b"")) + 1
    except OSError as error:
        fail(f"{file} cannot be read ({error.strerror}); give a file that `memllm export` wrote", WRONG)


def _records(lines: BinaryIO, name: str, total: int, advance: Any) -> Iterator[dict[str, Any]]:
    for number in itertools.count(1):
        raw = lines.readline(_MAX_RECORD + 1)
        if not raw:
            return
        raw = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if len(raw) > _MAX_RECORD:
            raise ConfigurationError(
                f"line {number} of {name} has more than {_MAX_RECORD} bytes; it is not of an export"
            )
        if raw.strip():
            record = _record(number, raw, name)
            if number == 1:
                _check_exported(record, name)
            yield record
        advance(number, max(total, number))


def _record(number: int, raw: bytes, name: str) -> Any:
    try:
        return json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        hint = "give a file that `memllm export` wrote; triples are loaded with `memllm load`"
        raise ConfigurationError(f"line {number} of {name} is not JSON ({error}); {hint}") from error


def _check_exported(record: Any, name: str) -> None:
    """A first line that is a triple, or a list of them, belongs to another command."""
    listed = record[0] if isinstance(record, list) and record else record
    if isinstance(listed, dict) and not is_exported(listed) and len(names_of_parts(listed)) == 3:
        raise ConfigurationError(f"{name} holds triples, not what `memllm export` writes; use `memllm load {name}`")
