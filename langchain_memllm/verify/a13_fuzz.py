"""A13: every parser of strangers' text on mutated text: nothing uncaught, nothing hangs, what is written is read.

Parsers of models' replies never raise. Readers of files and of exports raise one error of ours, which says where; what
came before is whole. Each parser gets its share of seconds; every seed text comes first, unchanged.
"""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from langchain_memllm import dates, dialects, grammar, render, replies
from langchain_memllm.errors import ConfigurationError, InvalidTriple
from langchain_memllm.memory import Memory
from langchain_memllm.triplefile import triples_of
from langchain_memllm.triples import Source, Triple
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import TinyEmbedder

__all__ = ["PARSERS", "run"]

_HANG_S: Final = 1.0
"""Seconds of the processor for a text of at most 64 kB: far above what is needed, far below what anybody waits."""
_MOST: Final = 65_536
_WHEN: Final = datetime(2026, 11, 29, 12)
_TRIPLES: Final = [Triple("Ada", "lives in", "Oslo"), Triple("Bo;b", "likes >> x", "({tea})"), Triple("é", "ист", "雪")]
_FACTS: Final = {"facts": [{"subject": "Ada", "relation": "lives in", "object": "Oslo", "valid_from": "2010"}]}
_SEEDS: Final = (
    grammar.render_write(_TRIPLES),
    "({MEM_READ(Ada>>lives in>>;>>likes>>tea)-->Oslo;Ada})",
    json.dumps(_FACTS),
    f"<think>hm</think>```json\n{json.dumps(_FACTS)}\n```",
    '<tool_call>{"name": "record_facts", "arguments": {"facts": [["Ada", "lives in", "Oslo"]]}}</tool_call>',
    "<recalled_facts>\n- Ada | lives in | Oslo\n</recalled_facts>",
    "next Friday at 9, vor drei Tagen, 3rd of May 2010, 2010-05, i morgen, il y a deux ans",
    '{"subject": "Ada", "relation": "likes", "object": "tea"}\n["Bo", "likes", "gin"]\n{"head": 1}\n',
    '[{"subject": "Ada", "relation": "likes", "object": "tea"}, {"subject": "Bo"}]',
    'subject,relation,object\nAda,likes,tea\n"Bo\n',
)
_BITS: Final = (
    *("({", "})", ">>", ";", "-->", "\\", '"', "'", "[", "]", "{", "}", ",", ":", "\n", "\x00", "\ud800", "\u202e"),
    *("<think>", "</think>", "```", "<recalled_facts>", "MEM_WRITE", "null", "1e999", "9" * 400, "a\u0301" * 50, " "),
    *("0000-00-00", "31.02.2026", "[" * 3_000, "({MEM_READ(" * 500, "\ufeff", "\r", "é", "雪", "🂡", "\\u0000", "-0"),
)
Parser = Callable[[str], object]


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` tenths of a second a parser, at least one; sabotage puts a parser in that trusts what it reads."""
    counts, random_ = Counts(), random.Random(seed)  # noqa: S311 - texts, not secrets
    parsers: dict[str, Parser] = {**PARSERS, **({"a parser that trusts": json.loads} if sabotage else {})}
    with Memory(embedder=TinyEmbedder()) as memory:
        memory.write([tuple(triple) for triple in _TRIPLES], namespace=("n",), source=Source("web", "x", text="a"))
        records = list(memory.export(namespace=("n",)))
    parsers["records of an export"] = lambda text: _restore(records, random.Random(ascii(text)))  # noqa: S311
    calls = 0
    for number, (name, parser) in enumerate(parsers.items()):
        until = time.monotonic() + max(1, scale) / 10
        for text in _texts(random_):
            problem = _call(parser, text)
            calls += 1
            if problem:
                counts.problems.append(f"{name} {problem}: {ascii(text)[:60]}")
                break
            if time.monotonic() > until:
                break
        counts.tell(number + 1, len(parsers), "parsers")
    counts.wrong += sum(not _round_trip(random_) for _ in range(200))
    counts.figures = {"parsers": len(parsers), "calls": calls, "round trips": 200}
    return counts


def _texts(random_: random.Random) -> Iterator[str]:
    yield from _SEEDS
    while True:
        text = random_.choice(_SEEDS)
        for _ in range(random_.randrange(1, 12)):
            text = _mutated(text, random_)
        yield text[:_MOST]


def _mutated(text: str, random_: random.Random) -> str:
    start = random_.randrange(len(text) + 1)
    end = min(len(text), start + random_.randrange(1, 40))
    kind = random_.random()
    if kind < 0.4:
        return text[:start] + random_.choice(_BITS) + text[start:]
    if kind < 0.6:
        return text[:start] + text[end:]
    if kind < 0.75:
        return text[:end] + text[start:end] * random_.randrange(1, 60) + text[end:]
    if kind < 0.9:
        return text[:start] + random_.choice(_SEEDS) + text[end:]
    return text[:start]


def _call(parser: Parser, text: str) -> str:
    """What is wrong with how it ended; empty if nothing is."""
    began = time.process_time()
    try:
        parser(text)
    except (ConfigurationError, InvalidTriple):
        return ""
    except BaseException as error:
        return f"ended in {type(error).__name__}"
    took = time.process_time() - began
    return f"took {took:.1f} s" if took > _HANG_S else ""


def _load(text: str) -> object:
    return [
        each.said for each in triples_of(io.BytesIO(text.encode("utf-8", "surrogatepass")), Source("document", "f"))
    ]


def _restore(records: list[dict[str, Any]], random_: random.Random) -> object:
    """An export of which one value is another; nothing but our own error, and what is there afterwards is sound."""
    spoiled = json.loads(json.dumps(records))
    place: Any = random_.choice(spoiled)
    while True:
        key = random_.choice(list(place) if isinstance(place, dict) else list(range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and random_.random() < 0.5:
            place = place[key]
            continue
        if random_.random() < 0.1 and isinstance(place, dict):
            del place[key]
        else:
            place[key] = random_.choice(_ODD)
        break
    with Memory(embedder=TinyEmbedder()) as memory:
        try:
            return memory.restore(spoiled)
        finally:
            for namespace in memory.store.namespaces():
                json.dumps(list(memory.export(namespace=namespace)))


_ODD: Final[tuple[Any, ...]] = (
    *(None, 7, -1, 1 << 62, 1 << 200, 0.5, True, "", "x", "\ud800", "a\x00", [], ["x"], [[]], {}, {"a": 1}),
    *("9999-12-31", "memllm", json.loads("[" * 200 + "]" * 200), "x" * 3_000, ["x"] * 3, float("nan")),
)
PARSERS: Final[dict[str, Parser]] = {
    "calls of the grammar": grammar.parse,
    "triples of a call": grammar.parse_write,
    "queries of a call": grammar.parse_queries,
    "answers of a call": grammar.parse_names,
    "replies of models": replies.read_reply,
    "what a model said": dialects.spoken,
    "values in a reply": dialects.decoded,
    "blocks": render.without_blocks,
    "facts of a block": render.parse_block,
    "dates in words": lambda text: dates.read_date(text[:500], _WHEN),
    "files of triples": _load,
}
"""What is read, and by what."""


def _round_trip(random_: random.Random) -> bool:
    """Whether triples of odd names are read back as they were written."""
    names = [name for name in ("".join(random_.choices("ab >;({})-\\\"'é雪", k=12)).strip() for _ in range(9)) if name]
    triples = [Triple(*names[at : at + 3]) for at in range(0, len(names) - 2, 3)]
    return list(grammar.parse(grammar.render_write(triples)).writes[0].triples) == triples
