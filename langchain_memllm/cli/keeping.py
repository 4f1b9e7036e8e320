"""Looking after what is stored: list, explain, retract, alias, declare, limits, quarantined, flush."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from langchain_memllm.cli.terminal import (
    NOTHING,
    WRONG,
    Json,
    Model,
    Store,
    User,
    check_named,
    check_user,
    counted,
    err,
    fail,
    model_name,
    open_memory,
    out,
    print_facts,
    print_json,
    print_receipt,
)
from langchain_memllm.plugin import Standing
from langchain_memllm.relations import Cardinality, Relation

app = typer.Typer()

_SHOWN: Final = 100  # facts of a table, unless more are asked for
_TEXT: Final = 200  # characters of a quarantined piece in a table


@app.command(name="list")
def list_(
    subject: Annotated[str | None, typer.Argument(help="Only facts of this subject.")] = None,
    relation: Annotated[str | None, typer.Option(help="Only of this relation.")] = None,
    object_: Annotated[str | None, typer.Option("--object", help="Only with this object.")] = None,
    source: Annotated[str | None, typer.Option(help="Only what rests on this source, by its name.")] = None,
    past: Annotated[bool, typer.Option("--past", help="What does not stand any more, instead of what stands.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="What stands, and what does not any more.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help=f"Most facts; default: {_SHOWN}, with --json all.")
    ] = None,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out at the beginning.")] = 0,
    store: Store = "memllm.db",
    user: User = None,
    as_json: Json = False,
) -> None:
    """Show what is stored, in the order in which it was written."""
    state: Standing = "all" if everything else "past" if past else "current"
    most = limit or (None if as_json else _SHOWN)
    with open_memory(store) as memory:
        check_user(memory, user)
        facts = memory.facts(
            subject,
            relation,
            object_,
            user_id=user,
            source=source,
            state=state,
            limit=None if most is None else most + 1,
            offset=offset,
        )
    more = most is not None and len(facts) > most
    print_facts(facts[:most], as_json)
    if more:
        err.print(f"there are more; go on with --offset {offset + (most or 0)}, or give a larger --limit", markup=False)
    if not facts:
        raise typer.Exit(NOTHING)


@app.command()
def explain(
    fact: Annotated[str, typer.Argument(help="The id of a fact, as `memllm list` shows it.")],
    store: Store = "memllm.db",
    user: User = None,
    as_json: Json = False,
) -> None:
    """Show one fact with all its sources, and what closed it."""
    with open_memory(store) as memory:
        check_user(memory, user)
        found = memory.explain(fact, user_id=user)
    if found is None:
        fail(f"there is no fact {fact!r}; `memllm list --all` shows the ids", NOTHING)
    if as_json:
        print_json(found.as_dict())
        return
    told = found.as_dict()
    out.print(str(found.triple), markup=False)
    for name in ("state", "id", "recorded_at", "said_at", "valid_from", "valid_to", "closed_at", "closed_why"):
        if told[name] is not None:
            out.print(f"  {name.replace('_', ' '):<14}{told[name]}", markup=False)
    for each in found.sources:
        who = " ".join(part for part in (each.kind, each.ref, each.principal) if part)
        out.print(f"  {'source':<14}{who}" + (f": {each.text}" if each.text else ""), markup=False)


@app.command()
def retract(
    subject: str,
    relation: str,
    object_: Annotated[str, typer.Argument(metavar="OBJECT")],
    store: Store = "memllm.db",
    user: User = None,
    as_json: Json = False,
) -> None:
    """Take a triple back; it stays in the history."""
    with open_memory(store) as memory:
        check_user(memory, user)
        receipt = memory.retract((subject, relation, object_), user_id=user)
    print_receipt(receipt, as_json)
    if receipt.count("rejected"):
        raise typer.Exit(WRONG)
    if receipt.count("not_found"):
        raise typer.Exit(NOTHING)


@app.command()
def alias(name: str, alias: str, store: Store = "memllm.db", user: User = None, as_json: Json = False) -> None:
    """Make two names one: either finds the facts of both."""
    with open_memory(store) as memory:
        check_user(memory, user)
        names = memory.alias(name, alias, user_id=user)
    if as_json:
        print_json(list(names))
    else:
        out.print(f"one name: {', '.join(names)}", markup=False)


@app.command()
def declare(
    label: Annotated[str, typer.Argument(help="Its name, as facts show it.")],
    alias: Annotated[list[str] | None, typer.Option(help="Another name of it; may be repeated.")] = None,
    inverse: Annotated[str | None, typer.Option(help="The relation that says the same from the other end.")] = None,
    broader: Annotated[str | None, typer.Option(help="The relation that says the same with less detail.")] = None,
    cardinality: Annotated[str, typer.Option(help="many, one (for ever) or one_at_a_time.")] = "many",
    literal: Annotated[bool, typer.Option("--literal", help="Its objects are dates, numbers or codes.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Change the rules of one that is declared.")] = False,
    store: Store = "memllm.db",
) -> None:
    """Declare a relation of your own, for all who use the store."""
    with open_memory(store, create=True) as memory:
        relation = Relation(
            label,
            aliases=tuple(alias or ()),
            inverse=inverse,
            range="literal" if literal else "entity",
            cardinality=_cardinality(cardinality),
            broader=broader,
        )
        memory.declare(relation, replace=replace)
    out.print(f"declared: {relation.label} ({relation.cardinality.replace('_', ' ')})", markup=False)


def _cardinality(given: str) -> Cardinality:
    return given.replace("-", "_").replace(" ", "_")  # type: ignore[return-value]


@app.command()
def limits(
    statements: Annotated[int | None, typer.Option(min=0, help="Most statements of one user's memory.")] = None,
    characters: Annotated[int | None, typer.Option(min=0, help="Most characters of their names and sentences.")] = None,
    untrusted_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of them for documents, pages, tools and models.")
    ] = None,
    untrusted_per_hour: Annotated[
        int | None, typer.Option(min=0, help="Most statements of pages, tools and models in an hour.")
    ] = None,
    untrusted_per_day: Annotated[int | None, typer.Option(min=0, help="The same in a day.")] = None,
    store: Store = "memllm.db",
    as_json: Json = False,
) -> None:
    """Show how much each user's memory may hold, or change it for all who use the store."""
    given = {
        "statements": statements,
        "characters": characters,
        "untrusted_share": untrusted_share,
        "untrusted_per_hour": untrusted_per_hour,
        "untrusted_per_day": untrusted_per_day,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    with open_memory(store, create=bool(changes)) as memory:
        found = memory.set_limits(replace(memory.limits, **changes)) if changes else memory.limits
    if as_json:
        print_json(asdict(found))
        return
    for name, value in asdict(found).items():
        told = "no limit" if value is None else f"{value:,}"
        out.print(f"{name.replace('_', ' '):<20}{told:>14}", markup=False)


@app.command()
def quarantined(store: Store = "memllm.db", user: User = None, as_json: Json = False) -> None:
    """Show what a model wrote and could not be stored, and why."""
    with open_memory(store) as memory:
        check_user(memory, user)
        pieces = memory.quarantined(user_id=user)
    if as_json:
        print_json([asdict(piece) for piece in pieces])
    else:
        table = Table("recorded", "reason", "text", box=None)
        for piece in pieces:
            text = piece.text if len(piece.text) <= _TEXT else piece.text[: _TEXT - 1] + "…"
            table.add_row(piece.recorded_at[:19], *map(escape, (piece.reason, text)))
        out.print(table if pieces else "nothing is quarantined")
    if not pieces:
        raise typer.Exit(NOTHING)


@app.command()
def flush(
    store: Store = "memllm.db",
    user: User = None,
    everyone: Annotated[bool, typer.Option("--everyone", "--all", help="All memories of the store.")] = False,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Find and store the facts of what was said and still waits; `memllm stats` counts it as outbox."""
    if everyone and user is not None:
        fail("--everyone is about all users; leave --user (or MEMLLM_USER) out, or --everyone", WRONG)
    with open_memory(store, model_name(model)) as memory:
        if not everyone:
            check_named(memory, user)
            check_user(memory, user)
        receipts = memory.flush(everyone=True) if everyone else memory.flush(user_id=user)
    if as_json:
        print_json([receipt.as_dict() for receipt in receipts])
    else:
        facts = sum(len(receipt.stored) for receipt in receipts)
        out.print(f"{counted(len(receipts), 'message')} worked off, {counted(facts, 'fact')} stored")
