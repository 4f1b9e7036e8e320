"""A17, through the doors: two users with the same names; whatever one asks, it is told of the other nothing.

The facade's verbs with ids and references of the other, tools and run configs, imports of what the other exported,
aliases of the other's names, counts, and how long an answer takes.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from langchain_memllm import MemLLMMemory, Relation, Source
from langchain_memllm.errors import MemLLMError, NamespaceError
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.triples import ReadResult, Recall

__all__ = ["doors_of"]

WORD: Final = "Zanzibar"  # stands in the victim's memory alone
_PAIRS: Final = (("eve", "bob"), ("1", "10"), ("a%", "ab"), ("a_", "ax"), ("eve", "Eve"), ("x", "x.y"), ("*", "any"))
_TIMING: Final = 0.1  # share by which the medians of absent and of elsewhere may differ


def doors_of(core: Memory, rounds: int) -> list[str]:
    """Problems: what one user saw or changed of another, through each door, ``rounds`` times with other names."""
    memory = MemLLMMemory(core.store, embedder=core.vectors.embedder)
    problems: list[str] = []
    for number in range(rounds):
        me, you = (f"{each} {number // len(_PAIRS)}" for each in _PAIRS[number % len(_PAIRS)])
        problems += _asked(memory, me, you)
    return problems + _timed(memory)


def _asked(memory: MemLLMMemory, me: str, you: str) -> list[str]:
    """Everything that ``me`` can ask, with all that could name what ``you`` keeps."""
    told = [("user", "lives in", WORD), (WORD, "note", "quiet"), ("Ada", "likes", WORD)]
    memory.write(told, user_id=you, source=Source("user", "diary", you), op_id="diary entry")
    memory.alias(WORD, "the island", user_id=you)
    memory.declare(Relation(f"relation of {you}"))
    memory.write([("Ada", f"relation of {you}", "x")], user_id=you)
    memory.write([("user", "lives in", "Oslo"), ("Ada", "likes", "tea")], user_id=me)
    before, fact = memory.stats(user_id=you), memory.facts("user", user_id=you)[0].id
    problems = [f"{door} told {me!r} of {you!r}" for door, ask in _DOORS.items() if _tells(ask, memory, me, you, fact)]
    after = memory.stats(user_id=you)
    if (before.facts, before.past, before.names) != (after.facts, after.past, after.names):
        problems.append(f"{me!r} changed what {you!r} has")
    if memory.stats(user_id=me).names > 20:
        problems.append(f"the counts of {me!r} hold the names of {you!r}")
    for user in (me, you):
        memory.forget(everything=True, user_id=user)
    return problems


def _tells(ask: Callable[..., object], memory: MemLLMMemory, me: str, you: str, fact: str) -> bool:
    """Whether an answer, or an error, holds something of the other."""
    try:
        got = ask(memory, me, you, fact)
    except MemLLMError as error:
        got = str(error)
    shown = [match.fact for match in got] if isinstance(got, ReadResult | Recall) else got
    return WORD in repr(shown) or f"relation of {you}" in repr(shown)


def _run(user: str) -> Any:
    return {"configurable": {"user_id": user, "thread_id": "t"}}


def _imported(memory: MemLLMMemory, me: str, *_: str) -> object:
    """A record that says it is the other's goes where the caller puts it."""
    (record,) = [each for each in memory.export(user_id=me) if each["type"] == "fact"][:1]
    memory.restore([{**record, "namespace": ["memllm", "somebody else"]}], user_id=me)
    return memory.facts(user_id="somebody else")


def _spoofed(memory: MemLLMMemory, me: str, you: str, _: str) -> object:
    """A model's arguments name another user, in every field that it has."""
    arguments = {"query": "Where do I live?", "user_id": you, "namespace": ["memllm", you], "runtime": _run(you)}
    return memory.tools()[1].invoke({"type": "tool_call", "id": "1", "name": "recall", "args": arguments}, _run(me))


_DOORS: Final[dict[str, Callable[..., object]]] = {
    "read": lambda m, me, *_: m.read("user", "lives in", user_id=me),
    "read by object": lambda m, me, *_: m.read(None, "lives in", "the island", user_id=me),
    "read of any relation": lambda m, me, *_: m.read("Ada", None, user_id=me),
    "similar read": lambda m, me, *_: m.read("the island", "remark", user_id=me),
    "read as of": lambda m, me, *_: m.read("user", "lives in", user_id=me, at="2999-01-01"),
    "recall": lambda m, me, *_: m.recall("Where do I live, and what does Ada like? The island?", user_id=me, k=200),
    "history": lambda m, me, *_: [*m.history("user", user_id=me), *m.history("Ada", user_id=me)],
    "facts": lambda m, me, *_: m.facts(user_id=me, state="all"),
    "facts of a source": lambda m, me, *_: m.facts(user_id=me, source="diary"),
    "explain": lambda m, me, you, fact: m.explain(fact, user_id=me),
    "receipt": lambda m, me, *_: m.receipt("diary entry", user_id=me),
    "export": lambda m, me, *_: json.dumps(list(m.export(user_id=me))),
    "quarantine": lambda m, me, *_: m.quarantined(user_id=me),
    "alias": lambda m, me, *_: m.alias("the island", "an island", user_id=me),
    "forget by id": lambda m, me, you, fact: m.forget(fact_id=fact, user_id=me).as_dict(),
    "forget by name": lambda m, me, *_: m.forget(name="the island", user_id=me).as_dict(),
    "forget by source": lambda m, me, *_: m.forget(source="diary", user_id=me).as_dict(),
    "retract": lambda m, me, *_: m.retract(("user", "lives in", "the island"), user_id=me).as_dict(),
    "delivered again": lambda m, me, *_: m.write([("Bo", "likes", "ale")], user_id=me, op_id="diary entry").as_dict(),
    "import": _imported,
    "a tool": lambda m, me, *_: m.tools()[1].invoke({"query": "Where do I live?"}, _run(me)),
    "a tool with a model's arguments": _spoofed,
    "the retriever": lambda m, me, *_: m.retriever().invoke("Where do I live? What does Ada like?", _run(me)),
    "a run without a user": lambda m, *_: _unnamed(m),
}


def _unnamed(memory: MemLLMMemory) -> object:
    with contextlib.suppress(NamespaceError):
        return memory.tools()[1].invoke(
            {"type": "tool_call", "id": "1", "name": "recall", "args": {"query": "Ada"}}, {}
        )
    return None


def _timed(memory: MemLLMMemory) -> list[str]:
    """Whether an exact read of a name that only somebody else has takes as long as one of a name that nobody has."""
    for at in range(0, 2_000, 500):
        memory.write([(f"person {n}", "likes", WORD) for n in range(at, at + 500)], user_id="many")
    memory.write([("Ada", "likes", "tea")], user_id="few")
    ratios = []
    for _ in range(3):
        times: dict[str, list[float]] = {"person": [], "nobody": []}
        for number in range(300):
            for who, taken in times.items():
                began = time.thread_time()
                memory.read(f"{who} {number}", "likes", user_id="few", thresholds=EXACT)
                taken.append(time.thread_time() - began)
        ratios.append(statistics.median(times["person"]) / statistics.median(times["nobody"]))
        if abs(ratios[-1] - 1) <= _TIMING:
            return []
    return [f"what somebody else has takes {ratios[-1]:.2f} of the time of what nobody has"]
