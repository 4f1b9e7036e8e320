"""What every command shares: the app, its options, how errors end it, how it prints."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final, NoReturn, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from langchain_memllm.embeddings import EmbedderName
from langchain_memllm.errors import (
    ConfigurationError,
    InvalidTriple,
    MemLLMError,
    MissingExtra,
    ModelError,
    NamespaceError,
    OperationConflict,
)
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.stores import TripleStore, open_store
from langchain_memllm.stores.address import kind_of, path_of
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Fact, Receipt, Source

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)

NOTHING, WRONG, STORE, MODEL, CONFLICT = 1, 2, 3, 4, 5

_LINES: Final = 10  # seconds between lines where there is no terminal
_MAX_USERS: Final = 8  # named when somebody is not found
_DEFAULT_MODEL: Final = "gpt-5-mini"
_SEE_CAUSE: Final = "; see the cause above"


def checked_address(address: str | None) -> str | None:
    """An address as it was given, or the end: one that may hold a password, or names no file, is not gone on with."""
    if address is not None:
        try:
            if kind_of(address) == "file":
                path_of(address)
        except ConfigurationError as error:
            fail(str(error), WRONG)
    return address


Store = Annotated[
    str,
    typer.Option(
        "--store",
        "-s",
        envvar="MEMLLM_STORE",
        callback=checked_address,
        help="File, or neo4j://host (NEO4J_* for credentials).",
    ),
]
User = Annotated[str | None, typer.Option("--user", "-u", envvar="MEMLLM_USER", help="Whose memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        envvar="MEMLLM_MODEL",
        help="'local' ('local:0' writes all it finds), or a name as 'openai:gpt-5-mini'. Default: OpenAI's with "
        "OPENAI_API_KEY, else local.",
    ),
]


def speak_utf8() -> None:
    """Let standard streams that go to a file or a program carry UTF-8, whatever the code page of the machine.

    A terminal keeps its own encoding; what it cannot show is written as a code. So are lone surrogates everywhere.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors=None if stream is sys.stdin else "backslashreplace")


def print_version(wanted: bool) -> None:
    """Print the version and end, if it is wanted."""
    if wanted:
        typer.echo(f"memllm {metadata.version('langchain-memllm')}")
        raise typer.Exit


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 fact, 2 facts, 1 memory, 2 memories."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def exit_status(error: MemLLMError) -> int:
    """The documented exit status of an error."""
    if isinstance(error, OperationConflict):
        return CONFLICT
    if isinstance(error, ConfigurationError | InvalidTriple):
        return WRONG
    if isinstance(error, ModelError | MissingExtra):
        return MODEL
    return STORE


@contextmanager
def open_memory(
    store: str, model: str | None = None, *, create: bool = False, episodes: bool = False
) -> Iterator[MemLLMMemory]:
    """The memory, with errors as one line on standard error and a documented exit status.

    Only what writes creates a file: a mistyped name is not an empty memory.
    """
    checked_address(store)
    if not create and is_missing(store):
        fail(f"there is no memory at {store}; check --store, or write or import something first", STORE)
    for told in ("neo4j", "langchain_memllm.memory.rejected"):  # what the commands say themselves, once
        logging.getLogger(told).addHandler(logging.NullHandler())
    try:
        with (
            signs_of_life(),
            opened(store) as place,
            MemLLMMemory(place, model=model, embedder=embedder_name(), episodes=episodes) as memory,
        ):
            yield memory
    except MemLLMError as error:
        fail(_told(error), exit_status(error))
    except KeyboardInterrupt:
        fail("stopped; what has a receipt is stored", 130)


def _told(error: MemLLMError) -> str:
    """The message of an error; where it points to a traceback, which no command prints, what to look at instead."""
    message = str(error)
    if message.endswith(_SEE_CAUSE):
        return f"{message.removesuffix(_SEE_CAUSE)}; check its key, its address and the network, and try again"
    return message


def local_auth(store: str) -> tuple[str, str] | None:
    """User and password of the server that ``memllm neo4j start`` runs at this address; NEO4J_PASSWORD comes first."""
    server = None if os.environ.get("NEO4J_PASSWORD") else LocalServer.behind(store)
    return None if server is None else (server.user, server.password)


@contextmanager
def opened(store: str) -> Iterator[str | TripleStore]:
    """What to give to a memory: the address, or the store of our own local server, whose password nobody types."""
    auth = local_auth(store)
    if auth is None:
        yield store
    else:
        with closing(open_store(store, auth=auth)) as place:
            yield place


def is_missing(store: str) -> bool:
    """Whether the store is a file that is not there."""
    if not store or store == ":memory:" or kind_of(store) == "graph":
        return False
    return not Path(store).expanduser().exists()


def fail(message: str, status: int) -> NoReturn:
    """Say what is wrong on standard error, and end."""
    err.print(f"memllm: {escape(message)}", style="red")
    raise typer.Exit(status)


def model_name(model: str | None) -> str:
    """The model to use: as given, else OpenAI's if there is a key, else the local one."""
    if model:
        return model
    if os.environ.get("OPENAI_API_KEY"):
        return f"openai:{os.environ.get('OPENAI_MODEL', _DEFAULT_MODEL)}"
    return "local"


def embedder_name() -> EmbedderName | None:
    """The shipped embedder that MEMLLM_EMBEDDER names; None: the default."""
    return cast(EmbedderName | None, os.environ.get("MEMLLM_EMBEDDER") or None)  # the memory refuses other names


def print_json(value: Any) -> None:
    """Print for programs: never wrapped, never coloured."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_receipt(receipt: Receipt, as_json: bool) -> None:
    """Print what became of each triple, and why."""
    if as_json:
        print_json(receipt.as_dict())
        return
    for outcome in receipt:
        details = [f"supersedes {outcome.superseded}"] if outcome.superseded else []
        details += [f"contests {outcome.contested}"] if outcome.contested else []
        details += [outcome.reason] if outcome.reason else []
        triple = escape(str(outcome.triple)) if outcome.triple else "-"
        out.print(
            f"{outcome.status:<12}{triple}" + (f"  [{escape('; '.join(details))}]" if details else ""), markup=False
        )
    if not len(receipt):
        out.print("nothing to store")
    if receipt.clock:
        err.print(receipt.clock, markup=False)
    if receipt.without_facts:
        such_as = ", ".join(map(repr, receipt.such_as))
        more = ", …" if receipt.without_facts > len(receipt.such_as) else ""
        out.print(f"nothing found in {counted(receipt.without_facts, 'sentence')}: {such_as}{more}", markup=False)


def print_facts(facts: Sequence[Fact], as_json: bool) -> None:
    """Print facts with how they stand, where they come from, and their ids."""
    if as_json:
        print_json([fact.as_dict() for fact in facts])
        return
    table = Table("recorded", "fact", "state", "source", "id", box=None)
    for fact in facts:
        table.add_row(fact.recorded_at[:19], *map(escape, (str(fact.triple), _state(fact), _origin(fact))), fact.id)
    out.print(table if facts else "nothing stored")


def _state(fact: Fact) -> str:
    return fact.state if fact.is_open else f"past ({fact.closed_why} {str(fact.closed_at)[:10]})"


def _origin(fact: Fact) -> str:
    parts = [" ".join(part for part in (source.kind, source.ref, source.principal) if part) for source in fact.sources]
    return "; ".join(parts)


def check_named(memory: MemLLMMemory, user: str | None) -> None:
    """End if nobody is named and the store keeps several people apart."""
    if user is not None:
        return
    try:
        memory.namespace_of()
    except NamespaceError:
        fail(f"{memory.core.store.location} keeps several people apart; give --user NAME (or MEMLLM_USER)", WRONG)


def check_user(memory: MemLLMMemory, user: str | None) -> None:
    """End if the user has no memory here but others have: a mistyped name is not an empty memory."""
    check_named(memory, user)
    if memory.namespace_of(user) in memory.namespaces():
        return
    users = memory.users()
    if not users:
        return
    near = get_close_matches((user or "").casefold().strip(), [name.casefold() for name in users], cutoff=0.6)
    shown = [name for name in users if name.casefold() in near] or users[:_MAX_USERS]
    who = f"nobody named '{user}'" if user else "the local user (nobody was named)"
    more = f" and {len(users) - len(shown)} more" if len(users) > len(shown) else ""
    has = "has a memory" if user else "has no memory"
    fail(f"{who} {has} here; there is one of {', '.join(shown)}{more}: give --user, see `memllm users`", NOTHING)


def text_and_source(text: str) -> tuple[str, Source | None]:
    """The text that was meant (itself, standard input, a file), and where it came from; None: the user says it."""
    if text == "-":
        try:
            return sys.stdin.read(), None
        except UnicodeDecodeError as error:
            fail(f"standard input is not UTF-8 text ({error}); convert it first", WRONG)
    if not text.startswith("@"):
        return text, None
    path = Path(text[1:])
    return text_of(path, "check the name after the '@'"), Source("document", path.name)


def text_of(path: Path, hint: str) -> str:
    """The text of a file; ends with the hint if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        fail(f"{path} cannot be read ({error.strerror}); {hint}", WRONG)
    except UnicodeDecodeError as error:
        fail(f"{path} is not UTF-8 text ({error}); convert it first", WRONG)


class _Speed(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """As "1,200/s"."""
        return Text(f"{task.speed or 0:,.0f}/s")


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Any]:
    """A progress bar with its speed on standard error; yields a function of (done, total). Lines, if no terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        said = monotonic()

        def advance(done: int, total: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total)
            if not quiet and not err.is_terminal and monotonic() - said >= _LINES:
                said = monotonic()
                err.print(f"{what}: {done:,} of {total:,}", style="dim")

        yield advance


class _Life(logging.Handler):
    """Says on standard error that a local model is being loaded: it takes long, and nothing else is to be seen."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        err.print(record.getMessage(), style="dim", markup=False)


@contextmanager
def signs_of_life() -> Iterator[None]:
    """While it lasts, loading a local model is said on standard error."""
    told, handler = logging.getLogger("langchain_memllm.local.weights"), _Life(logging.INFO)
    before = told.level
    told.addHandler(handler)
    told.setLevel(logging.INFO)
    try:
        yield
    finally:
        told.removeHandler(handler)
        told.setLevel(before)
