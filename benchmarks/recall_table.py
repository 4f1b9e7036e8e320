"""Tables of recall from ``results/recall.json``, as docs/recall.md shows them: beside MiniLM, and with a way left out.

``python -m benchmarks.recall_table`` prints them; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from langchain_memllm.bench.ours import OURS, WAYS
from langchain_memllm.bench.report import Report
from langchain_memllm.bench.scoring import Answer, difference, total
from langchain_memllm.training.scores import Figure

__all__ = ["ablations", "beside_minilm"]

RESULTS = Path(__file__).parent / "results" / "recall.json"
SETS = {
    ("everyday, 60 facts", "English"): "everyday, 60 facts of a person",
    ("everyday, + 500 of friends", "English"): "… and 500 of her friends",
    ("everyday, + 250 newer", "English"): "… and 250 newer ones of hers",
    ("everyday, 60 facts", "other languages"): "… in nine other languages",
    ("MuSiQue", "all"): "MuSiQue, 2 to 4 hops, 17,000 facts",
    ("two facts of Re-DocRED", "test"): "two facts of Re-DocRED",
    ("LoCoMo, said", "all"): "LoCoMo, sentences",
    ("LoCoMo, messages", "all"): "LoCoMo, messages",
    ("BEAM 100K", "all"): "BEAM 100K, messages",
}


def beside_minilm() -> list[str]:
    """What MiniLM finds alone and fused with BM25, and by how much ours is better, at ten places."""
    rows = [
        "| questions | ours @10 | MiniLM @10 | ours less it | BM25 + MiniLM @10 | ours less it |",
        "|" + " --- |" * 6,
    ]
    for name, answers in _sets():
        others = ("MiniLM", "BM25 + MiniLM")
        cells = [
            cell
            for other in others
            for cell in (_plain(total(answers, other, 10)), _signed(difference(answers, OURS, other, 10)))
        ]
        rows.append(" | ".join(["| " + name, _plain(total(answers, OURS, 10)), *cells]) + " |")
    return rows


def ablations() -> list[str]:
    """By how much ours is better than without a way, at five places."""
    rows = ["| questions | ours @5 | " + " | ".join(WAYS) + " |", "|" + " --- |" * (2 + len(WAYS))]
    for name, answers in _sets():
        cells = [
            _signed(difference(answers, OURS, f"{OURS} without {way}", 5))
            if f"{OURS} without {way}" in answers[0].ranks
            else ""
            for way in WAYS
        ]
        rows.append(" | ".join(["| " + name, _plain(total(answers, OURS, 5)), *cells]) + " |")
    return rows


def _sets() -> Iterator[tuple[str, list[Answer]]]:
    report = Report.load(RESULTS)
    for (name, part), title in SETS.items():
        answers = [each for each in report.sets[name] if each.wanted and each.total == part]
        yield f"{title} ({len(answers)})", answers


def _plain(figure: Figure) -> str:
    return f"{100 * (figure.value or 0.0):.1f}"


def _signed(figure: Figure) -> str:
    value, low, high = (100 * (each or 0.0) for each in (figure.value, figure.low, figure.high))
    return f"{value:+z.1f} [{low:z.1f}, {high:z.1f}]"


if __name__ == "__main__":
    print("\n".join([*beside_minilm(), "", *ablations()]))
