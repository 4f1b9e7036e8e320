"""A20: what strangers wrote cannot leave the block of recalled facts, and showing it again does not make it truer.

Hostile names in every place of a fact: the block must stay one block, with one line a fact, and parse back to exactly
the facts. Then fifty sessions in which whatever was recalled is said again, by the model, by its tools and inside the
user's own message: the rank of a page's fact never rises.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_memllm import MemLLMMemory, Source, render
from langchain_memllm.adapters.tools import MemoryTools, ToolFact
from langchain_memllm.errors import InvalidTriple
from langchain_memllm.extraction import ChatExtractor
from langchain_memllm.flow import run as drive
from langchain_memllm.ingest import Ingest
from langchain_memllm.recall import SHARE
from langchain_memllm.testing import ScriptedModel
from langchain_memllm.triples import Fact, Triple, rank_of
from langchain_memllm.turns import TurnWriter
from langchain_memllm.verify.a19_attacks import PAYLOADS, believes_all
from langchain_memllm.verify.ledger import Counts

__all__ = ["run"]

_WRAPPED: Final = ("{}", "x {} y", "{}{}", "\u200b{}", "{}\u00a0", "'{}'", "({})", "{}.", "user {}", "{}: ok")
_LIVE: Final = "<>|{}[]`"
_K: Final = 10


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """All payloads, and ``scale`` sessions; sabotage writes names into the block as they are."""
    del seed
    counts = Counts()
    broken = patch.object(render, "escape_value", lambda name: name) if sabotage else nullcontext()
    with broken:
        payloads = list(dict.fromkeys(_payloads()))
        counts.wrong += sum(not _is_held(names) for names in payloads)
        counts.problems += _refreshed(folder / "sessions.db", scale)
    counts.figures = {"payloads": len(payloads), "sessions": scale}
    return counts


def _payloads() -> Iterator[tuple[str, str, str]]:
    for (number, payload), wrapped in itertools.product(enumerate(PAYLOADS), _WRAPPED):
        text = " ".join(wrapped.replace("{}", payload).split())[:250]
        yield (
            ("Ada", "likes", text)
            if number % 3 == 0
            else (text, "likes", "tea")
            if number % 3 == 1
            else ("Ada", text, "tea")
        )


def _is_held(names: tuple[str, str, str]) -> bool:
    """Whether a block with this fact between two others is one block that says what it was made from."""
    try:
        triple = Triple(*names)
    except InvalidTriple:
        return True  # what cannot be stored is never shown
    facts = [_fact(Triple("Ada", "likes", "tea")), _fact(triple), _fact(Triple("Bo", "likes", "gin"))]
    block = render.render(facts, max_tokens=10_000)
    lines = block.splitlines()
    shown = "".join(line.removeprefix("- ").replace(" | ", "") for line in lines[2:-1])
    return (
        (block.count(render.OPEN), block.count(render.CLOSE), len(lines)) == (1, 1, 6)
        and not any(
            c in _LIVE or (unicodedata.category(c) in ("Cc", "Cf") and not c.isspace())
            for c in shown
            if c not in "\u200c\u200d"
        )
        and "://" not in block
        and render.parse_block(f"before {block} after") == [fact.triple for fact in facts]
    )


def _fact(triple: Triple) -> Fact:
    return Fact("0" * 32, ("n",), triple, 1, 0, "2026-01-01T00:00:00.000000+00:00", "web")


def _refreshed(path: Path, sessions: int) -> list[str]:
    """Problems found while everything that is recalled is said again, session by session."""
    extractor = ChatExtractor(ScriptedModel(script=believes_all))
    problems: list[str] = []
    with MemLLMMemory(path, extractor=extractor) as memory:
        memory.write([("user", "lives in", "Oslo"), *(("user", "likes", f"tea {n}") for n in range(9))], user_id="ada")
        pages = [("user", "lives in", "Moscow"), ("user", "likes", "vodka"), ("Norway", "note", "where I live")]
        memory.write(pages, user_id="ada", source=Source("web", "page"))
        ranks = {fact.triple: rank_of(fact.kind) for fact in memory.facts(user_id="ada", state="all")}
        for number in range(sessions):
            recalled = memory.recall("Where do I live and what do I like?", user_id="ada", k=_K)
            kinds = [match.fact.kind for match in recalled]
            if kinds.count("web") > SHARE * _K:
                problems.append(f"session {number}: {kinds.count('web')} of {len(kinds)} places are a page's")
            _said_again(memory, extractor, [match.triple for match in recalled], recalled.block, number)
        for fact in memory.facts(user_id="ada", state="all"):
            if fact.triple in ranks and rank_of(fact.kind) > ranks[fact.triple]:
                problems.append(f"{fact.id} rose to {fact.kind}")
        found = memory.read("user", "lives in", user_id="ada")
        if found.answers[:1] != ("Oslo",) or found.matches[0].fact.kind != "user":
            problems.append("what the person said is no longer the first answer")
    return problems


def _said_again(memory: MemLLMMemory, extractor: ChatExtractor, triples: list[Triple], block: str, number: int) -> None:
    """A session: the user's message holds the block, the model repeats the facts, and calls a tool with them."""
    config: Any = {"configurable": {"user_id": "ada", "thread_id": f"session {number}"}}
    answer = "\n".join(" | ".join(triple) for triple in triples)
    said: list[BaseMessage] = [HumanMessage(f"{block}\nWhat is new?", id="1"), AIMessage(answer, id="2")]
    writer = TurnWriter(memory.core, memory.scope, Ingest(memory.core, lambda: extractor), answers=True)
    drive(writer.turn(said, config))
    runtime = SimpleNamespace(config=config, state={"messages": said}, tool_call_id=f"call {number}", context=None)
    facts = [ToolFact(subject=t.subject, relation=t.relation, object=t.object, ended=False) for t in triples]
    MemoryTools(memory.core, memory.scope).remember(facts, runtime)  # type: ignore[arg-type]
