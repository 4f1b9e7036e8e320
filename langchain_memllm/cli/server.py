"""The memory on Neo4j: a local server, the schema of a graph, and Neo4j Browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer

from langchain_memllm.cli.terminal import (
    NOTHING,
    STORE,
    WRONG,
    Json,
    checked_address,
    err,
    exit_status,
    fail,
    local_auth,
    out,
    print_json,
)
from langchain_memllm.errors import MemLLMError
from langchain_memllm.stores import browser as pages
from langchain_memllm.stores import schema
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.stores.server import DEFAULT_VERSION, LocalServer, default_home

app = typer.Typer()
neo4j_app = typer.Typer(no_args_is_help=True, help="A Neo4j server of your own on this machine, without Docker.")
schema_app = typer.Typer(no_args_is_help=True, help="Indexes and constraints of a graph.")
app.add_typer(neo4j_app, name="neo4j")
app.add_typer(schema_app, name="schema")

Home = Annotated[
    Path | None,
    typer.Option(envvar="MEMLLM_NEO4J_HOME", help="Folder of the server. Default: in the user's data folder."),
]
GraphStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        "-s",
        envvar="MEMLLM_STORE",
        callback=checked_address,
        help="neo4j://host. Default: the server of `neo4j start`.",
    ),
]
_START_S: Final = 180.0  # a small machine that is busy
_ON_DEMAND: Final = "no local server is running; start one with: memllm neo4j start (or give --store neo4j://host)"


@contextmanager
def _told() -> Iterator[None]:
    """Errors as one line on standard error, with a documented exit status."""
    try:
        yield
    except MemLLMError as error:
        fail(str(error), exit_status(error))
    except OSError as error:
        fail(f"{error.strerror}: {error.filename or 'the address is taken or cannot be used'}", STORE)


# -- the server -------------------------------------------------------------------------------------------------------


@neo4j_app.command()
def start(
    home: Home = None,
    version: Annotated[str, typer.Option(help="Release; 2025 and later need Java 21.")] = DEFAULT_VERSION,
    as_json: Json = False,
) -> None:
    """Start the server and wait until it answers; the first time it is fetched with Maven (about 130 MB)."""
    folder = home or default_home()
    with _told():
        server = LocalServer.attach(folder)
        word = "starts" if server is None else "was running already"
        if server is None:
            with err.status("starting Neo4j; the first time it is fetched …") if err.is_terminal else nullcontext():
                server = LocalServer.start(folder, version, usual_ports=True, timeout=_START_S)
    if as_json:
        print_json(_described(server))
    else:
        out.print(f"Neo4j {server.version} {word}, for this machine only; it keeps running until you stop it")
        _print_server(server)


@neo4j_app.command()
def stop(home: Home = None) -> None:
    """Shut the server down; its data stay."""
    with _told():
        server = LocalServer.attach(home or default_home())
        if server is not None:
            server.stop()
    out.print("no server was running" if server is None else "the server has stopped; its data stay")


@neo4j_app.command()
def status(home: Home = None, as_json: Json = False) -> None:
    """Tell whether the server runs, and where."""
    folder = home or default_home()
    with _told():
        server = LocalServer.attach(folder)
    if as_json:
        print_json({"running": False, "home": str(folder)} if server is None else _described(server))
    elif server is None:
        out.print(f"no server is running in {folder}", markup=False)
    else:
        out.print(f"Neo4j {server.version} is running")
        _print_server(server)
    if server is None:
        raise typer.Exit(NOTHING)


def _described(server: LocalServer) -> dict[str, object]:
    return {
        "running": True,
        "version": server.version,
        "store": _address(server),
        "browser": f"{server.http_uri}/browser/",
        "user": server.user,
        "password_file": str(server.home / "password"),
        "home": str(server.home),
        "pid": server.pid,
    }


def _address(server: LocalServer) -> str:
    """The shortest address of the server."""
    return "neo4j://localhost" + ("" if server.bolt_port == 7687 else f":{server.bolt_port}")


def _print_server(server: LocalServer) -> None:
    for name in ("store", "browser", "user"):
        out.print(f"  {name:<10}{_described(server)[name]}", markup=False)
    out.print(f"  {'password':<10}in {server.home / 'password'}; memllm finds it there", markup=False)
    out.print("what to type next")
    if server.home != default_home():
        out.print(f"  export MEMLLM_NEO4J_HOME={server.home}", markup=False)
    for line in (f"demo --store {_address(server)}", "browser", "neo4j stop"):
        out.print(f"  memllm {line}", markup=False)


# -- the schema -------------------------------------------------------------------------------------------------------


@schema_app.command()
def apply(store: GraphStore = None) -> None:
    """Bring a graph up to date. Opening a memory does the same; this is for those who may do it instead of it."""
    with _told(), closing(_connected(store)) as connection:
        taken = schema.apply(connection)
        number = schema.state(connection).number
    for step in taken:
        out.print(f"applied {step.number:04} {step.name}: {len(step.statements)} statements", markup=False)
    out.print(f"{connection.location} has schema {number}" + ("" if taken else "; nothing was to do"), markup=False)


@schema_app.command()
def show(store: GraphStore = None, as_json: Json = False) -> None:
    """Tell which schema a graph has, and what is missing; changes nothing."""
    with _told(), closing(_connected(store)) as connection:
        found = schema.state(connection)
    pending = [f"{step.number:04} {step.name}" for step in found.pending]
    problems = [f"{name} is missing" for name in found.missing]
    problems += [f"{name} is not online" for name in found.unusable]
    if found.number > found.known:
        problems.append(f"schema {found.number} is newer than this version knows; upgrade langchain-memllm")
    if as_json:
        print_json({"schema": found.number, "known": found.known, "pending": pending, "problems": problems})
    else:
        out.print(f"{connection.location} has schema {found.number}, this version knows {found.known}", markup=False)
        out.print(f"pending:  {', '.join(pending) or 'none'}", markup=False)
        out.print(f"problems: {'; '.join(problems) or 'none'}", markup=False)
    if problems:
        raise typer.Exit(STORE)


def _connected(store: str | None) -> Bolt:
    address = store or _running()
    return Bolt(address, auth=local_auth(address), migrate=False)


def _running() -> str:
    server = LocalServer.attach(default_home())
    if server is None:
        fail(_ON_DEMAND, STORE)
    return _address(server)


# -- Browser ----------------------------------------------------------------------------------------------------------


@app.command()
def browser(
    store: GraphStore = None,
    http: Annotated[str | None, typer.Option(help="Where Neo4j Browser is, if not on port 7474 of the store.")] = None,
    port: Annotated[int, typer.Option(help="Port for the guide and the style; 0 takes a free one.")] = 0,
    open_it: Annotated[bool, typer.Option("--open", help="Open the link, do not only print it.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write style, guide and favourites into this folder instead of serving them.")
    ] = None,
) -> None:
    """Look at the memory in Neo4j Browser: serves a guide, a style and queries, and prints the link."""
    if save is not None:
        try:
            written = pages.save(save)
        except OSError as error:
            fail(f"{save} cannot be written ({error.strerror}); give a folder", WRONG)
        out.print("\n".join(f"written: {path}" for path in written), markup=False)
        return
    address = store or _running()
    server = LocalServer.behind(address)
    with _told():
        base = http or (server.http_uri if server is not None else pages.browser_of(address))
        served = pages.serve(base, address, port)
    with closing(served):
        out.print(f"open     {served.short_link}", markup=False)
        out.print(f"connect  user {server.user if server else 'neo4j'}, password " + _where(server), markup=False)
        out.print("then click through the guide at the side; Ctrl-C ends this")
        if open_it:
            webbrowser.open(served.short_link)
        try:
            served.wait()
        except KeyboardInterrupt:
            out.print("stopped")


def _where(server: LocalServer | None) -> str:
    return f"in {server.home / 'password'}" if server is not None else "as you set it"
