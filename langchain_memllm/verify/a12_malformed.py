"""A12: hundreds of broken model replies, cut, nested, mistyped or mixed: nothing raises, nothing is lost silently.

Every reply holds known good triples beside what is broken in it. What the memory holds afterwards is compared with
those; whatever else the reply said must stand in quarantine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from langchain_core.messages import AIMessage

from langchain_memllm.extraction import ChatExtractor, Extraction
from langchain_memllm.memory import Memory
from langchain_memllm.testing import ScriptedModel
from langchain_memllm.triples import Source
from langchain_memllm.verify.ledger import Counts, Names, facts_of
from langchain_memllm.verify.processes import TinyEmbedder

__all__ = ["run"]

TEXT = "Ada likes tea. Bob likes gin. Cid likes rum."
TRIPLES: tuple[Names, ...] = (("Ada", "likes", "tea"), ("Bob", "likes", "gin"), ("Cid", "likes", "rum"))
SOURCE = Source("document", "verify")


@dataclass(frozen=True, slots=True)
class Case:
    """A reply, the triples that must come out of it, and whether something else in it must be quarantined."""

    name: str
    reply: AIMessage
    good: tuple[Names, ...]
    rest: bool


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """All cases, or the first ``scale``; sabotage throws the unusable pieces away."""
    counts = Counts()
    cases = list(_cases())[:scale]
    path = folder / "malformed.db"
    figures = {"replies": len(cases), "raised": 0, "silent": 0, "good triples": sum(len(case.good) for case in cases)}
    with Memory(path, embedder=TinyEmbedder()) as memory:
        for number, case in enumerate(cases):
            namespace = (f"case {number}",)
            try:
                extraction = _extract(case.reply, sabotage)
                memory.write(
                    extraction.statements, namespace=namespace, source=SOURCE, quarantine=extraction.quarantine
                )
            except Exception as error:
                figures["raised"] += 1
                counts.problems.append(f"{case.name} raised {type(error).__name__}")
            if case.rest and not memory.quarantined(namespace=namespace):
                figures["silent"] += 1
                counts.problems.append(f"{case.name} lost a piece in silence")
    held: dict[str, set[Names]] = {}
    for fact in facts_of(path):
        held.setdefault(fact.namespace, set()).add(fact.triple)
    for number, case in enumerate(cases):
        there = held.get(json.dumps([f"case {number}"]), set())
        counts.lost += len(set(case.good) - there)
        counts.wrong += len(there - set(TRIPLES))
    counts.figures = figures
    return counts


def _extract(reply: AIMessage, sabotage: bool) -> Extraction:
    extraction = ChatExtractor(ScriptedModel(script=[reply, reply])).extract(TEXT, source=SOURCE)
    return replace(extraction, quarantine=()) if sabotage else extraction


def _cases() -> Iterator[Case]:
    yield from _cut_off("grammar", _grammar())
    yield from _cut_off("json", json.dumps(_facts(TRIPLES)))
    yield from _cut_off("fenced", "Here are the facts:\n```json\n" + json.dumps(_facts(TRIPLES)) + "\n```")
    yield from _siblings()
    yield from _odd()


def _facts(triples: tuple[Names, ...]) -> dict[str, list[dict[str, str]]]:
    return {"facts": [{"subject": s, "relation": r, "object": o} for s, r, o in triples]}


def _grammar(*pieces: str) -> str:
    return "({MEM_WRITE-->" + ";".join(pieces or [">>".join(triple) for triple in TRIPLES]) + "})"


def _cut_off(name: str, reply: str) -> Iterator[Case]:
    """A good reply cut at every character: the triples that end before the cut are good."""
    ends = []
    for subject, _, object_ in TRIPLES:
        start = reply.index(object_, reply.index(subject))
        ends.append(start + len(object_) + (2 if "json" in name or "fenced" in name else 0))
    ends[-1] += name == "grammar"  # the last name ends with the call, whose mark has two characters
    first = reply.index("Ada")
    for cut in range(first + 1, len(reply)):
        # An object that the cut ends may itself be cut: only a delimiter after it makes it whole.
        good = tuple(triple for triple, end in zip(TRIPLES, ends, strict=True) if end < cut)
        began = sum(reply.index(subject) < cut for subject, _, _ in TRIPLES)
        whole = sum(end <= cut for end in ends)
        yield Case(f"{name} cut at {cut}", AIMessage(reply[:cut]), good, rest=began > whole and cut - first > 3)


BROKEN_PIECES = (
    "Dan>>likes",
    "Dan>>likes>>",
    ">>likes>>ale",
    "Dan>>>>ale",
    "Dan>>likes>>ale>>now",
    "Dan likes ale",
    f"{'D' * 300}>>likes>>ale",
    "Dan>>likes>>a\x00le",
    "({MEM_READ(Dan>>likes>>)-->",
)
BROKEN_FACTS: tuple[object, ...] = (
    {"subject": "Dan", "relation": "likes"},
    {"subject": "", "relation": "likes", "object": "ale"},
    {"subject": None, "relation": "likes", "object": "ale"},
    {"subject": ["Dan", "Eve"], "relation": "likes", "object": "ale"},
    {"subject": "Dan", "relation": [], "object": "ale"},
    {"subject": "D" * 300, "relation": "likes", "object": "ale"},
    {"subject": "Dan\ud800", "relation": "likes", "object": "ale"},
    ["Dan", "likes"],
    [["Dan"], ["likes"], ["ale"]],
    "Dan likes ale",
    17,
    True,
)


def _siblings() -> Iterator[Case]:
    """Something broken before, between or after good triples."""
    for number, broken in enumerate(BROKEN_PIECES):
        for place in range(len(TRIPLES) + 1):
            pieces = [">>".join(triple) for triple in TRIPLES]
            pieces.insert(place, broken)
            good = TRIPLES if "({" not in broken else TRIPLES[:place]
            yield Case(f"piece {number} at {place}", AIMessage(_grammar(*pieces)), good, rest=True)
    for number, fact in enumerate(BROKEN_FACTS):
        for place in range(len(TRIPLES) + 1):
            facts: list[object] = list(_facts(TRIPLES)["facts"])
            facts.insert(place, fact)
            call = {"name": "record_facts", "args": {"facts": facts}, "id": "1"}
            yield Case(f"fact {number} at {place} in JSON", AIMessage(json.dumps({"facts": facts})), TRIPLES, rest=True)
            yield Case(f"fact {number} at {place} in a call", AIMessage("", tool_calls=[call]), TRIPLES, rest=True)


def _odd() -> Iterator[Case]:
    """Whole replies of an unexpected kind."""
    good = json.dumps(_facts(TRIPLES))
    as_text = json.dumps(json.dumps(_facts(TRIPLES)))
    invalid = {"name": "record_facts", "args": good[:-1], "id": "1", "error": "cut off"}
    yield Case("thinking first", AIMessage(f"<think>Dan likes ale? No.</think>{good}"), TRIPLES, rest=False)
    yield Case("chat around it", AIMessage(f"Sure!\n\n{good}\n\nAnything else?"), TRIPLES, rest=False)
    yield Case("JSON in a string", AIMessage(as_text), TRIPLES, rest=False)
    yield Case("a bare list", AIMessage(json.dumps(_facts(TRIPLES)["facts"])), TRIPLES, rest=False)
    yield Case("trailing comma", AIMessage(good.replace("}]}", "},]}")), TRIPLES, rest=False)
    yield Case("an unreadable call", AIMessage("", invalid_tool_calls=[invalid]), TRIPLES, rest=False)
    yield Case("two calls", AIMessage(_grammar() + " and " + _grammar()), TRIPLES, rest=False)
    yield Case("prose", AIMessage("Ada seems to enjoy a hot beverage in the morning."), (), rest=True)
    yield Case("an apology", AIMessage("I'm sorry, I can't help with that."), (), rest=True)
    yield Case("mixed scripts", AIMessage("事実: アダはお茶が好き"), (), rest=True)
    yield Case(
        "a triple ten thousand times", AIMessage(_grammar(*[">>".join(TRIPLES[0])] * 10_000)), TRIPLES[:1], rest=False
    )
    yield Case("deep nesting", AIMessage("[" * 5_000 + "]" * 5_000), (), rest=True)
    yield Case("an error page", AIMessage("<html><body>502 Bad Gateway</body></html>"), (), rest=True)
    for nothing in ("", "   ", "None", "[]", '{"facts": []}', "({MEM_WRITE-->})"):
        yield Case(f"nothing: {nothing!r}", AIMessage(nothing), (), rest=False)
