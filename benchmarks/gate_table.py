"""The table of memory gates from ``results/gate-*.json``, as docs/gate.md shows it.

``python -m benchmarks.gate_table`` prints it; a test compares it.
"""

from __future__ import annotations

from pathlib import Path

from langchain_memllm.bench.gate import ALWAYS, GateReport, Line, lines, percent, times

__all__ = ["table"]

RESULTS = Path(__file__).parent / "results"
SETS = {
    "gate-locomo.json": "LoCoMo, conversations 42 and 43",
    "gate-beam.json": "BEAM 100K, chats 6 to 10",
}
_MOST = 0.6  # of the tokens of always showing all
_LEAST = 0.95  # of the turns that need memory
_LOSS = -0.01  # of the evidence


def table() -> list[str]:
    """Each way of deciding on what no threshold was chosen on; a missed goal of a gate is in bold."""
    head = ["", "let through", "spared", "shown", "held", "loss", "tokens", "of others", "questions alone", "ratio"]
    rows = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for file, title in SETS.items():
        report = GateReport.load(RESULTS / file)
        for some in report.sets.values():
            needed = sum(row.needed for row in some)
            rows.append(f"| *{title} ({needed} + {len(some) - needed})* |" + " |" * (len(head) - 1))
            rows += [_row(line, line.name in report.about["gates"]) for line in lines(some)]
    return rows


def _row(line: Line, is_gate: bool) -> str:
    def cell(text: str, missed: bool) -> str:
        return f"**{text}**" if is_gate and missed else text

    through, loss, ratio = (figure.value or 0.0 for figure in (line.through, line.loss, line.ratio))
    cells = [
        line.name if line.name != ALWAYS else f"{line.name} (base)",
        cell(percent(line.through), through < _LEAST),
        percent(line.spared),
        percent(line.shown),
        percent(line.held),
        cell(percent(line.loss, interval=True), loss < _LOSS),
        f"{line.needed_tokens.value or 0:.0f}",
        f"{line.other_tokens.value or 0:.0f}",
        times(line.needed_ratio),
        cell(times(line.ratio), ratio > _MOST),
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print("\n".join(table()))
