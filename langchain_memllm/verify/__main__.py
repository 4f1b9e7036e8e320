"""``python -m langchain_memllm.verify``: run the acceptance list and print it."""

from __future__ import annotations

import logging
import os
import platform
import sqlite3
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from langchain_memllm.stores.server import DEFAULT_VERSION, LocalServer
from langchain_memllm.verify import CHECKS, Outcome, run_checks
from langchain_memllm.verify.report import add, commit

_STYLE = {"pass": "green", "fail": "red", "not run": "yellow"}
app = typer.Typer(add_completion=False)


@app.command()
def verify(
    quick: Annotated[bool, typer.Option("--quick", help="The short scale (the default).")] = False,
    soak: Annotated[bool, typer.Option("--soak", help="The long scale: an hour or more.")] = False,
    prove_red: Annotated[bool, typer.Option("--prove-red", help="Sabotage the memory; every check must fail.")] = False,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 1,
    neo4j: Annotated[bool, typer.Option("--neo4j", help="Also on a Neo4j server, started for this.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Ids of checks to run, such as A01 or A09.T5.")] = None,
    share: Annotated[float, typer.Option(help="Part of the scale to run.", min=0.001, max=1.0)] = 1.0,
    report: Annotated[Path | None, typer.Option(help="JSON file for the outcomes; those of other checks stay.")] = None,
) -> None:
    """Check what the memory promises.

    Exit status 0: all checks that ran passed (or, sabotaged, all failed), and what was named with --only did run.
    """
    if quick and soak:
        raise typer.BadParameter("--quick and --soak exclude each other")
    checks = [check for check in CHECKS if not only or check.id in only or check.id.split(".")[0] in only]
    if unknown := set(only or ()) - {name for check in CHECKS for name in (check.id, check.id.split(".")[0])}:
        raise typer.BadParameter(f"unknown checks {', '.join(sorted(unknown))}; ids run from A01 to A30")
    _show_progress()
    console = Console(width=150)
    console.print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, durability full, seed {seed}, "
        f"{'soak' if soak else 'quick'}{', sabotaged' if prove_red else ''}"
    )
    outcomes = []
    began = commit()
    with _server(neo4j and any(check.needs_server for check in checks)) as server:
        if server is not None:
            console.print(f"Neo4j {server.version} at {server.uri}")
        about = {"soak": soak, "share": share, "seed": seed, "sabotaged": prove_red, "neo4j": server and server.version}
        for outcome in run_checks(checks, soak=soak, seed=seed, sabotage=prove_red, share=share, server=server):
            outcomes.append(outcome)
            if outcome.result != "not run":
                console.print(f"{outcome.check.id} {outcome.result} in {outcome.seconds:.1f} s")
            if report is not None:
                add(report, outcome, began, about)
    console.print(_table(outcomes))
    wanted = {"fail" if prove_red else "pass"} | (set() if only else {"not run"})
    raise typer.Exit(0 if all(outcome.result in wanted for outcome in outcomes) else 1)


def _server(wanted: bool) -> AbstractContextManager[LocalServer | None]:
    """A server for this run, of the release that MEMLLM_TEST_NEO4J names."""
    if not wanted:
        return nullcontext()
    return LocalServer.start(version=os.environ.get("MEMLLM_TEST_NEO4J", DEFAULT_VERSION))


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("check", "what", "result", "figures", "s")
    for outcome in outcomes:
        style = _STYLE[outcome.result]
        result = f"[{style}]{outcome.result}[/{style}]"
        table.add_row(
            outcome.check.id,
            outcome.check.title,
            result,
            outcome.summary,
            f"{outcome.seconds:.1f}" if outcome.seconds else "",
        )
    return table


def _show_progress() -> None:
    """How far the checks are; what the driver logs of intended faults is not shown."""
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("langchain_memllm.verify")
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())


if __name__ == "__main__":
    app()
