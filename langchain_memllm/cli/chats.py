"""Conversations that were held elsewhere: read in with their dates, no model needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langchain_memllm.cli.terminal import (
    Json,
    Store,
    User,
    check_named,
    counted,
    open_memory,
    out,
    print_json,
    progress,
)

app = typer.Typer()


@app.command("import-chat")
def import_chat(
    file: Annotated[Path, typer.Argument(help="JSON or JSON lines, also with gzip.")],
    store: Store = "memllm.db",
    user: User = None,
    thread: Annotated[
        str | None, typer.Option(help="What the conversation is called, if the file does not say; default: its name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep what was said in a conversation, word for word, with its dates; run again after a kill, it goes on.

    A file of messages as OpenAI or LangChain writes them ("role" or "type", "content"), alone or under "messages", of
    several conversations, or of the data sets LoCoMo and BEAM. No facts are made of it, so no model is needed. A
    message that is there already is kept once.
    """
    with open_memory(store, create=True) as memory, progress("turns", quiet=as_json) as advance:
        check_named(memory, user)
        loaded = memory.hub.load(file, thread=thread, user_id=user, progress=advance)
        stats = memory.stats(user_id=user)
    if as_json:
        print_json({"turns": loaded.turns, "new": loaded.new, "sessions": stats.sessions, "episodes": stats.episodes})
    else:
        new = f"{loaded.new:,} of them new"
        held = f"{counted(stats.turns, 'turn')} in {counted(stats.episodes, 'episode')}"
        out.print(f"{counted(loaded.turns, 'turn')} read, {new}; the memory holds {held}", markup=False)
