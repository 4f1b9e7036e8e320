"""A25: twice the input takes at most 2.3 times as long, on every way in; what grows elsewhere costs a call nothing.

Each case is a call and the input of a size. Its time is that of the thread that runs it, the least of several, so that
other work on the machine counts little; a ratio above the limit is measured again before it is believed.
"""

from __future__ import annotations

import gc
import io
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from langchain_core.messages import AIMessage, HumanMessage

from langchain_memllm import MemLLMMemory, render, triplefile
from langchain_memllm.conversation import mentions, text_of
from langchain_memllm.dates import relative_date
from langchain_memllm.errors import MemLLMError
from langchain_memllm.extraction import ChatExtractor, sentences_of
from langchain_memllm.grammar import parse
from langchain_memllm.replies import read_reply
from langchain_memllm.salience import may_state
from langchain_memllm.testing import ScriptedModel
from langchain_memllm.triples import Fact, Source, Triple, clean_name, name_key
from langchain_memllm.verify.ledger import Counts

__all__ = ["run"]

LINEAR: Final = 2.3
"""Most that twice the input may cost."""

CONSTANT: Final = 1.3
"""Most that a call may cost where twice as much stands there."""

MEGABYTES: Final = 64
"""Most that a call may need beside its input of 64 kB."""

_MEASURABLE: Final = 0.0003  # seconds of the smaller input, if the scale allows; where it outgrows a cache says nothing
_SHORTEST: Final = 0.0001  # seconds below which a time says nothing
_LEAST: Final = 131_072  # with shorter inputs a square is not told from a line
_REPEATS: Final = 3
_TRIES: Final = 12
_SURE: Final = 0.92  # of the limit; a ratio above this is measured twice before it passes
_KEPT: Final = 65_536


@dataclass(frozen=True, slots=True)
class Case:
    """What is called, with inputs of two sizes, one twice the other."""

    name: str
    call: Callable[[Any], object]
    inputs: tuple[Any, Any] | None = None
    unit: str = ""
    most: float = LINEAR


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """All cases, with inputs of up to ``scale`` characters; sabotage looks for blocks as a regular expression does."""
    del folder, seed
    counts, scale = Counts(), max(scale, _LEAST)
    with _backtracking() if sabotage else nullcontext():
        texts = list(_text_cases())
        cases = [*texts, *_store_cases(scale)]
        ratios = {}
        for number, case in enumerate(cases, start=1):
            ratios[case.name] = ratio = _ratio(case, scale)
            if ratio > case.most:
                counts.problems.append(f"{case.name}: twice the input takes {ratio:.2f} times as long")
            counts.tell(number, len(cases), "cases")
        peak, hungry = max((_peak(case), case.name) for case in texts)
    if peak > MEGABYTES:
        counts.problems.append(f"{hungry} needs {peak} MB for 64 kB")
    linear = max(ratios[case.name] for case in cases if case.most == LINEAR)
    counts.figures = {"inputs": len(cases), "hundredths, the worst ratio": round(100 * linear), "MB for 64 kB": peak}
    return counts


def _ratio(case: Case, scale: int) -> float:
    """How much longer twice the size takes, from the shortest time that each size ever took.

    A ratio above the limit is measured again until others' work has left both sizes alone for once; of texts also at
    a half and a quarter of the size: a step from one cache of the processor to the next is not what is looked for.
    One just below the limit is measured once more: others may have slowed only the smaller size.
    """
    pairs = [case.inputs or _sized(case, scale)]
    if case.unit:
        for _ in range(2):
            small = pairs[-1][0]
            pairs.append((small[: len(small) // 2], small))
    least = [[9e9, 9e9] for _ in pairs]
    ratio, before = 9e9, 9e9
    for attempt in range(_TRIES):
        size = attempt % len(pairs)
        least[size] = [
            min(known, _seconds(case.call, given)) for known, given in zip(least[size], pairs[size], strict=True)
        ]
        ratio = min(large / max(small, _SHORTEST) for small, large in least if large < 9e9)
        if ratio <= case.most and (before <= case.most or ratio <= _SURE * case.most):
            break
        before = ratio
    return ratio


def _sized(case: Case, scale: int) -> tuple[str, str]:
    """Texts of which the shorter takes long enough to be measured, if the scale allows."""
    size = scale // 16
    while True:
        small = case.unit * (size // len(case.unit))
        if 4 * size > scale or _seconds(case.call, small, 1) >= _MEASURABLE:
            return small, small * 2
        size *= 2


def _seconds(call: Callable[[Any], object], given: Any, repeats: int = _REPEATS) -> float:
    least = 9e9
    gc.disable()
    for _ in range(repeats):
        began = time.thread_time()
        with suppress(MemLLMError):
            call(given)
        least = min(least, time.thread_time() - began)
    gc.enable()
    return least


def _peak(case: Case) -> int:
    """Megabytes that a call needs for an input of 64 kB."""
    given = case.unit * (_KEPT // len(case.unit))
    tracemalloc.start()
    with suppress(MemLLMError):
        case.call(given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak >> 20


@contextmanager
def _backtracking() -> Iterator[None]:
    pattern = re.compile(re.escape(render.OPEN) + ".*?" + re.escape(render.CLOSE), re.DOTALL)
    with patch.object(render, "_blocks", lambda text: (found.span() for found in pattern.finditer(text))):
        yield


# --- texts ------------------------------------------------------------------------------------------------------------

TEXTS: Final[dict[str, str]] = {
    "opening tags": render.OPEN,
    "accents in disorder": "\u0301\u0323",
    "one word": "a",
    "words": "tea with milk ",
    "fences": "```",
    "full stops": ". ",
    "quotation marks": '"',
    "brackets": "[",
    "braces": "{",
    "separators": ">>",
    "calls of the grammar": "({MEM_WRITE-->",
    "thinking that never ends": "<think>",
    "keys": '{"a":',
    "facts": '{"subject":"a","relation":"likes","object":"b"}',
    "blank lines": "\n\n",
    "ideographs": "\u6211\u559c\u6b22",
    "invisible characters": "\u200b\u00ad",
    "abbreviations": "Mr. Dr. ",
    "digits": "1",
}


def _text_cases() -> Iterator[Case]:
    memory = _memory()
    memory.write([("user", "likes", "tea"), ("Ada", "lives in", "Oslo")])
    extractor = ChatExtractor(ScriptedModel(script=lambda _: AIMessage('{"facts": []}')))
    readers: dict[str, Callable[[str], object]] = {
        "a message": lambda text: text_of([HumanMessage(text)]),
        "recall": memory.recall,
        "a message worth extracting": may_state,
        "sentences": sentences_of,
        "extraction": extractor.extract,
        "a reply": read_reply,
        "the grammar": parse,
        "a name in it": lambda text: mentions(text, "tea"),
        "a name": clean_name,
        "a key": name_key,
        "a date": lambda text: relative_date(text[:1024], datetime(2026, 1, 1)),
        "a file of triples": lambda text: list(triplefile.triples_of(io.BytesIO(text.encode()), Source())),
    }
    for reader, call in readers.items():
        for name, unit in TEXTS.items():
            yield Case(f"{reader} of {name}", call, unit=unit)


# --- what stands there already ----------------------------------------------------------------------------------------


def _store_cases(scale: int) -> Iterator[Case]:
    """A hub and a flooded slot: calls about all of it are linear, others do not notice it."""
    half = scale // 32
    yield Case("a block of facts", _rendered, (100, 200))
    yield Case("a write of many triples", _write_to_hub, (1_024, 2_048))
    hubs = {size: _hub(size) for size in (half, 2 * half)}
    for verb, call in {
        "history": lambda size: hubs[size].history("Ada", "likes"),
        "facts": lambda size: hubs[size].facts("Ada"),
        "export": lambda size: list(hubs[size].export()),
        "forget, and a write again,": lambda size: _written_again(hubs[size], size),
    }.items():
        yield Case(f"{verb} of a hub", call, (half, 2 * half))
    slots = {size: _flooded(size) for size in (250, 500)}
    page = Source("web", "page")
    asked: dict[str, Callable[[MemLLMMemory], object]] = {
        "a write beside": lambda memory: memory.write([("Ada", "lives in", "Rome")], source=page),
        "a read of": lambda memory: memory.read("Ada", "lives in"),
        "recall of": lambda memory: memory.recall("Where does Ada live?"),
    }
    for verb, ask in asked.items():
        yield Case(f"{verb} a flooded slot", _nine_times(ask, slots), (250, 500), most=CONSTANT)


def _nine_times(ask: Callable[[MemLLMMemory], object], memories: dict[int, MemLLMMemory]) -> Callable[[int], object]:
    return lambda size: [ask(memories[size]) for _ in range(9)]


def _rendered(size: int) -> object:
    fact = Fact("0" * 32, ("n",), Triple("Ada", "likes", "tea"), 1, 0, "2026-01-01T00:00:00.000000+00:00")
    return render.render([fact] * size, max_tokens=1 << 20)


def _memory() -> MemLLMMemory:
    return MemLLMMemory(":memory:", embedder=_QuickEmbedder(), namespace=("n",))


def _write_to_hub(size: int) -> object:
    return _memory().write([("Ada", "likes", f"thing {n}") for n in range(size)])


def _hub(size: int) -> MemLLMMemory:
    memory = _memory()
    _fill(memory, size)
    return memory


def _fill(memory: MemLLMMemory, size: int) -> None:
    for at in range(0, size, 2_000):
        memory.write([("Ada", "likes", f"thing {n}") for n in range(at, min(size, at + 2_000))])


def _written_again(memory: MemLLMMemory, size: int) -> None:
    memory.forget(subject="Ada", relation="likes")
    _fill(memory, size)


def _flooded(size: int) -> MemLLMMemory:
    memory = _memory()
    memory.write([("Ada", "lives in", "Oslo")])
    flood = [("Ada", "lives in", f"Town {n}") for n in range(size)]
    memory.write(flood, source=Source("document", "flood"), policy="paper")
    return memory


class _QuickEmbedder:
    """Four numbers that say little: similarity is not what is measured."""

    model_id = "verify/quick-4"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each text."""
        return [[1.0, len(text) / 100, ord(text[:1] or "a") / 100, 0.5] for text in texts]
