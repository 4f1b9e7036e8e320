"""The verbs of the memory: remember, write, read, recall, ask, history, forget, stats, users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

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
    fail,
    model_name,
    open_memory,
    out,
    print_facts,
    print_json,
    print_receipt,
    progress,
    text_and_source,
)
from langchain_memllm.plugin import LOCAL_USER
from langchain_memllm.recalled import check_show
from langchain_memllm.times import local_day
from langchain_memllm.triples import Match, Quote, ReadResult

app = typer.Typer()


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
    content, source = text_and_source(text)
    if replace and source is None:
        fail("--replace needs a document: give @FILE", WRONG)
    with open_memory(store, model_name(model), create=True) as memory, progress("sentences", quiet=as_json) as advance:
        check_named(memory, user)
        receipt = memory.remember(content, user_id=user, source=source, replace=replace, progress=advance)
    print_receipt(receipt, as_json)


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
    with open_memory(store, create=True) as memory:
        check_named(memory, user)
        receipt = memory.write([(subject, relation, object_)], user_id=user)
    print_receipt(receipt, as_json)
    if receipt.count("rejected"):
        raise typer.Exit(WRONG)


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
    with open_memory(store) as memory:
        check_user(memory, user)
        result = memory.read(subject, relation, object_, user_id=user, at=at, valid_at=valid_at)
    _print_matches(result, as_json)


@app.command()
def recall(
    text: str,
    store: Store = "memllm.db",
    user: User = None,
    k: Annotated[int | None, typer.Option("-k", help="Most facts; by default as many as fit --tokens.")] = None,
    tokens: Annotated[int, typer.Option(min=0, help="How much a model would be shown, in tokens.")] = 600,
    show: Annotated[str, typer.Option(help="What to recall: facts, turns (what was said), or auto: both.")] = "auto",
    as_json: Json = False,
) -> None:
    """Show the facts that answer a text and what was said about it, and why; no model is called."""
    if not text.strip():
        fail("the text is empty; give a sentence or a name", WRONG)
    with open_memory(store, episodes=True) as memory:
        check_user(memory, user)
        found = memory.recall(text, user_id=user, k=k, max_tokens=tokens, show=check_show(show))
    if as_json:
        print_json([*map(_as_json, found), *map(asdict, found.quotes)])
    else:
        _print_table(found.matches, "" if found else "nothing is recalled; `memllm list` shows what is stored")
        _print_quotes(found.quotes)
    if not found:
        raise typer.Exit(NOTHING)


def _as_json(match: Match) -> dict[str, Any]:
    return {
        **{name: getattr(match, name) for name in ("answer", "similarity", "how", "why")},
        "fact": match.fact.as_dict(),
    }


def _print_quotes(quotes: Sequence[Quote]) -> None:
    table = Table("words", "said", "by", "found by", box=None)
    for quote in quotes:
        table.add_row(*map(escape, (quote.text, local_day(quote.said_at), quote.speaker or "user", quote.why)))
    if quotes:
        out.print(table)


def _print_matches(matches: ReadResult, as_json: bool) -> None:
    if as_json:
        print_json([*map(_as_json, matches)])
    else:
        _print_table(list(matches), "nothing stored")
    if not len(matches):
        raise typer.Exit(NOTHING)


def _print_table(matches: Sequence[Match], nothing: str) -> None:
    table = Table("answer", "fact", "state", "how", "similarity", box=None)
    for match in matches:
        how = f"{match.how}: {match.why}" if match.why else match.how
        table.add_row(*map(escape, (match.answer, str(match.triple), match.fact.state, how)), f"{match.similarity:.2f}")
    if matches or nothing:
        out.print(table if matches else nothing)


@app.command()
def ask(
    question: str, store: Store = "memllm.db", user: User = None, model: Model = None, as_json: Json = False
) -> None:
    """Ask a model, which reads the memory while it answers."""
    with open_memory(store, model_name(model)) as memory:
        check_user(memory, user)
        state = memory.build_graph(write="off", recall=8, on_error="raise", trace=True).invoke(
            {"messages": [("human", question)]},
            {"configurable": {"user_id": user or LOCAL_USER}},
        )
        reading = state["memllm_reading"]["reading"]
    answer = str(state["messages"][-1].text)
    if as_json:
        print_json(
            {"answer": answer, "recalled": state.get("memllm_context", {}).get("block", ""), "calls": reading["calls"]}
        )
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
    with open_memory(store) as memory:
        check_user(memory, user)
        facts = memory.history(subject, relation, user_id=user)
    print_facts(facts, as_json)
    if not facts:
        raise typer.Exit(NOTHING)


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
    ways = [fact is not None, subject is not None or relation is not None, name is not None, source is not None]
    if sum(ways) + everything != 1 or (subject is None) != (relation is None):
        fail("give exactly one of --fact, --subject with --relation, --name, --source and --everything", WRONG)
    with open_memory(store) as memory:
        check_user(memory, user)
        if everything and not yes:
            whose, where = user or "the local user", memory.core.store.location
            typer.confirm(f"Forget everything that {where} holds of {whose}?", abort=True)
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
        print_json(erased.as_dict())
    else:
        counts = ((erased.facts, "fact"), (erased.names, "name"), (erased.sources, "source"))
        told = ", ".join(counted(count, one) for count, one in counts)
        more = f", {counted(erased.quarantined, 'piece')} of quarantine" if erased.quarantined else ""
        more += f", {counted(erased.outbox, 'message')} that waited" if erased.outbox else ""
        reopened = f", {len(erased.reopened)} reopened" if erased.reopened else ""
        out.print(f"{told}{more} erased{reopened}")
        if erased.similar_names:
            out.print(f"Still there under a similar name: {', '.join(map(repr, erased.similar_names))}", markup=False)
        if erased.named_in:
            out.print(f"Still there with the name in it: {', '.join(map(repr, erased.named_in))}", markup=False)
        for note in erased.notes:
            out.print(note, markup=False)
    if not (erased.facts or erased.quarantined or erased.outbox):
        raise typer.Exit(NOTHING)


@app.command()
def stats(
    store: Store = "memllm.db",
    user: User = None,
    contested: Annotated[
        bool, typer.Option("--contested", help="Also count facts beside which another value stands; reads all.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count what is stored and how much of each limit that is, what waits, and the bytes of a file and of its log."""
    with open_memory(store) as memory:
        check_user(memory, user)
        counts = memory.stats(user_id=user).as_dict()
        counts |= counts.pop("extra")
        limits = counts.pop("limits")
        if contested:
            facts = memory.facts(user_id=user, state="current", limit=None)
            counts["contested"] = sum(fact.contested for fact in facts)
    if as_json:
        print_json(counts | {"limits": limits})
        return
    for name, value in counts.items():
        out.print(f"{name:<12}{value:>10,}")
    for name, share in limits.items():
        out.print(f"{name.replace('_', ' ')}: {share['used']:,} of at most {share['most']:,}", markup=False)


@app.command()
def users(store: Store = "memllm.db", as_json: Json = False) -> None:
    """List everybody who has a memory in the store."""
    with open_memory(store) as memory:
        found = memory.users()
    if as_json:
        print_json(found)
    else:
        out.print("\n".join(found) or "nobody has a memory here", markup=False)
    if not found:
        raise typer.Exit(NOTHING)
