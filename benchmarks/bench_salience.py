"""What ``salience.may_state`` spares, and what it misses.

    python -m benchmarks.bench_salience [--locomo FILE] [--beam FOLDER]

Three hundred turns of our own (``turns.jsonl``: a third of them acknowledgements, questions, orders and code) always;
with the paths of the data sets also LoCoMo, where a turn counts that an observation or a question cites, and BEAM,
where a message counts that is cited as evidence (an assistant's message stands for the user's before it).
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, report
from langchain_memllm.bench.data import cited_messages
from langchain_memllm.salience import may_state

Turn = tuple[str, tuple[str, ...], bool]  # what was said, what stood before it, whether it counts


def own() -> Iterator[Turn]:
    """Turns of our own, each without what stood before it."""
    for line in Path(__file__).with_name("turns.jsonl").read_text(encoding="utf-8").splitlines():
        turn = json.loads(line)
        yield turn["text"], (), turn["states"]


def locomo(path: Path) -> Iterator[Turn]:
    """Turns of LoCoMo, by either speaker."""
    for sample in json.loads(gzip.decompress(path.read_bytes())):
        citing = [sample["observation"], [question.get("evidence") for question in sample["qa"]]]
        cited = set(re.findall(r"D\d+:\d+", json.dumps(citing)))
        for name, session in sample["conversation"].items():
            before: list[str] = []
            for turn in session if re.fullmatch(r"session_\d+", name) else ():
                yield turn["text"], tuple(before[-6:]), turn["dia_id"] in cited
                before.append(f"assistant: {turn['text']}")


def beam(folder: Path) -> Iterator[Turn]:
    """Messages of users in BEAM's chats of the tier 100K."""
    for path in sorted(folder.glob("100K_*.json.gz")):
        chat = json.loads(gzip.decompress(path.read_bytes()))
        messages = chat["messages"]
        cited = frozenset().union(*(cited_messages(chat, q) for kind in chat["questions"].values() for q in kind))
        for place, message in enumerate(messages):
            if message["role"] == "user":
                before = (f"assistant: {messages[place - 1]['content']}",) if place else ()
                text = re.sub(r"->->.*\Z", "", message["content"], flags=re.DOTALL)
                yield text, before, str(message["id"]) in cited


def measure(name: str, turns: Iterator[Turn]) -> dict[str, Any]:
    """Counts of one set of turns."""
    listed = [(may_state(text, before), counts) for text, before, counts in turns]
    counting = [read for read, counts in listed if counts]
    return {
        "turns": name,
        "number": len(listed),
        "calls saved": round(sum(not read for read, _ in listed) / len(listed), 4),
        "counting": len(counting),
        "missed": round(sum(not read for read in counting) / len(counting), 4),
    }


def main() -> None:
    """Print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--locomo", type=Path)
    parser.add_argument("--beam", type=Path)
    options = parser.parse_args()
    rows = [measure("own", own())]
    if options.locomo:
        rows.append(measure("LoCoMo", locomo(options.locomo)))
    if options.beam:
        rows.append(measure("BEAM 100K", beam(options.beam)))
    report("salience", "Calls saved by not extracting what states nothing, and turns missed", rows, machine())


if __name__ == "__main__":
    main()
