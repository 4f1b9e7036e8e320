"""The tables of ``docs/models.md``, from the reports of ``memllm eval`` in ``results/``.

    python -m benchmarks.models

Goals are those of the project's issue; a value that misses its "must" is in bold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.measure import RESULTS
from langchain_memllm.local.folders import ADAPTER_FILE
from langchain_memllm.local.weights import SHIPPED, shipped_adapter
from langchain_memllm.training.evaluate import Report
from langchain_memllm.training.scores import Figure

GOALS: dict[str, dict[str, tuple[str, float, float, str]]] = {
    "ppl": {
        "overall off / control": ("OVERALL ppl, reader with memory off / control", -1, 1.02, "≤ 1.02"),
        "targets own / off": ("TARGET ppl, own writes / off", -1, 0.90, "≤ 0.90"),
        "targets gold / off": ("TARGET ppl, gold memory, free reading / off", -1, 0.70, "≤ 0.70"),
        "targets shuffled / off": ("TARGET ppl, shuffled / off", 1, 0.97, "≥ 0.97"),
        "overall gold / off": ("OVERALL ppl, gold / off", -1, 0.99, "≤ 0.99"),
    },
    "edit": {
        "zsre average": ("editing average, zsRE", 1, 0.75, "≥ 0.75"),
        "counterfact average": ("editing average, CounterFact", 1, 0.75, "≥ 0.75"),
    },
    "extract-others": {
        "redocred precision, exact": ("precision at 0.45, the 40 documents not fitted to", 1, 0.5, "≥ 0.50"),
        "redocred recall, exact": ("recall at 0.45, the 40 documents not fitted to", 1, 0.05, "≥ 0.05"),
    },
    "everyday": {
        "everyday unseen precision, exact": ("precision at 0.65, first person, unseen half", 1, 0.8, "≥ 0.80"),
        "everyday unseen recall, exact": ("recall at 0.65, first person, unseen half", 1, 0.5, "≥ 0.50"),
    },
    "extract": {
        "redocred F1, exact": ("extraction F1, unseen Re-DocRED sentences", 1, 0.30, "≥ 0.30"),
        "seen F1, exact": ("extraction F1, synthetic world, seen templates", 1, 0.92, "≥ 0.92"),
        "unseen F1, exact": ("extraction F1, synthetic world, unseen templates", 1, 0.80, "≥ 0.80"),
        **{
            f"{part} well-formed, {kind}": (f"well-formed calls, {part}, {kind}", 1, least, f"≥ {least:.0%}")
            for kind, least in (("constrained", 1.0), ("free", 0.98))
            for part in ("redocred", "seen", "unseen")
        },
    },
}
"""By evaluation and figure: label, whether more (1) or less (-1) is better, what must be reached, and in words."""


def rows() -> Iterator[str]:
    """The lines of the table."""
    yield "| figure | value | 95 % interval | over | must |"
    yield "| --- | --- | --- | --- | --- |"
    for evaluation, goals in GOALS.items():
        figures = {figure.name: figure for figure in Report.load(RESULTS / f"eval-{evaluation}.json").figures}
        for name, (label, better, least, words) in goals.items():
            yield _row(figures.get(name), label, better, least, words)
    written = json.loads((RESULTS / "writer.json").read_text(encoding="utf-8"))["figures"]
    yield _row(
        Figure("ratio", written["ratio"], count=written["sentences"]), "writing, batched / one by one", 1, 3, "≥ 3"
    )
    sizes = [(shipped_adapter(role) / ADAPTER_FILE).stat().st_size for role in SHIPPED]
    size = Figure("size", sum(sizes) / 1e6, count=len(sizes))
    yield _row(size, "shipped adapters together, MB", -1, 30, "< 30")


ABLATION: dict[str, tuple[str, str]] = {
    "the reader: place and query": ("targets own / off", "targets gold / off"),
    "… charged also for openings that generation takes out": (
        "targets charged/own / off",
        "targets charged/gold / off",
    ),
    "the place is given, the reader asks": ("targets position/own / off", "targets position/gold / off"),
    "place and query are given": ("targets query/own / off", "targets query/gold / off"),
    "facts as sentences before the text (base alone)": ("", "targets text / base"),
    "the three nearest sentences by vector search (base alone)": ("", "targets search / base"),
}
"""Who chooses, and the figures for what the writer wrote and for the labels."""


def ablation() -> Iterator[str]:
    """The lines of the table that says what limits the reader."""
    figures = {figure.name: figure.value for figure in Report.load(RESULTS / "eval-ppl.json").figures}
    yield "| who chooses | own writes | gold memory |"
    yield "| --- | --- | --- |"
    for label, names in ABLATION.items():
        values = (figures.get(name) for name in names)
        yield f"| {label} | {' | '.join('' if value is None else f'{value:.3f}' for value in values)} |"


CURVE: dict[str, tuple[str, str]] = {
    "60 documents, fitted": ("confidence-fitted", "redocred"),
    "the 40 others": ("eval-extract-others", "redocred"),
    "made-up, unseen forms": ("eval-extract", "unseen"),
    "first person, unseen half": ("eval-everyday", "everyday unseen"),
}
"""What the columns of the curve are about, and where they are kept: a report in ``results/`` and its part."""


def curve() -> Iterator[str]:
    """The lines of the table of precision and recall at each threshold."""
    columns: list[dict[float, str]] = []
    for file, part in CURVE.values():
        rows = json.loads((RESULTS / f"{file}.json").read_text(encoding="utf-8"))["details"]["curve"]
        columns.append(
            {
                threshold: "" if precision is None else f"{precision:.2f} / {recall:.2f}"
                for name, threshold, precision, recall, *_ in rows
                if name == part
            }
        )
    yield f"| least probability | {' | '.join(CURVE)} |"
    yield f"| --- |{' --- |' * len(CURVE)}"
    for threshold in columns[0]:
        cells = [column.get(threshold, "") for column in columns]
        if any(cells):
            yield f"| {threshold:g} | {' | '.join(cells)} |"


def _row(figure: Figure | None, label: str, better: float, least: float, words: str) -> str:
    if figure is None or figure.value is None:
        return f"| {label} | not measured | | | {words} |"
    value = f"{figure.value:.3f}"
    if better * figure.value < better * least:
        value = f"**{value}**"
    interval = "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
    return f"| {label} | {value} | {interval} | {figure.count:,} | {words} |"


if __name__ == "__main__":
    print(*("\n".join(lines) for lines in (rows(), ablation(), curve())), sep="\n\n")
