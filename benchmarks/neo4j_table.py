"""The Neo4j tables of ``benchmarks/README.md`` and ``docs/neo4j.md``, from what ``bench_neo4j`` left in ``results/``.

    python -m benchmarks.neo4j_table

Goals are those of the project's issue; a value that misses its goal is in bold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import RESULTS

Row = dict[str, Any]

COLUMNS = [(version, kind) for version in ("5.26.30", "2026.08.1") for kind in ("pure", "rust")]
SIZES = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table: its label, how it is shown, and its goal.

    Attributes:
        label: What it is.
        keys: Figures of a row that are shown, joined by ``/``.
        shown: A figure in words.
        goal: The goal in words.
        most: The first figure must be at most this.
        least: … at least this; by driver.
    """

    label: str
    keys: tuple[str, ...]
    shown: Callable[[Any], str]
    goal: str = ""
    most: float | None = None
    least: tuple[float, float] | None = None

    def cell(self, row: Row, kind: str) -> str:
        """The figures of a row, in bold if they miss the goal; nothing if they were not taken."""
        if self.keys[0] not in row:
            return ""
        first, *rest = (row[key] for key in self.keys)
        missed = self.most is not None and first > self.most
        missed |= self.least is not None and first < self.least[kind == "rust"]
        return " / ".join([f"**{self.shown(first)}**" if missed else self.shown(first), *map(self.shown, rest)])


def _ms(value: float) -> str:
    return f"{value:,.0f}" if round(value, 1) >= 10 else f"{value:.1f}"


def _count(value: float) -> str:
    return f"{value:,}"


_EXACT = Line("exact read p50 / p99, ms", ("exact: p50 ms", "exact: p99 ms"), _ms)
_MANY = Line("32 exact queries at once, p50 ms", ("32 exact: p50 ms",), _ms, "≤ 10", 10)
_SIMILAR = Line("similar read p50 / p99, ms", ("similar: p50 ms", "similar: p99 ms"), _ms, "≤ 6", 6)
_ANSWERED = Line("… answered, share of 100 paraphrases", ("similar: answered",), "{:.2f}".format, "1.0", least=(1, 1))
_RECALL = Line("recall of a text p50 / p99, ms", ("recall: p50 ms", "recall: p99 ms"), _ms, "≤ 10", 10)
_LOAD = Line("load in batches of 500 from the start, facts/s", ("load in batches of 500: facts/s",), _count)
_COLD = Line("first similar read of a client (it loads the names), ms", ("first similar read of a client, ms",), _count)
_HELD = Line("held by a client, MB", ("held by a client, MB",), _ms, "≤ 40 at 300,000 names", 40)
_LOOP = "event loop under 200 reads{}: longest wait, median of 5 runs, ms"

LINES = (
    _EXACT,
    Line("… × raw by `execute_query`", ("exact / raw",), "{:.2f}".format, "≤ 1.3", 1.3),
    Line("… × raw by `session.run`", ("exact / raw, auto-commit",), "{:.2f}".format, "≤ 1.3", 1.3),
    _MANY,
    _SIMILAR,
    _ANSWERED,
    _RECALL,
    Line(
        "a tenant of 50 names that the large one has too, beside a writer / alone",
        ("… / alone",),
        "{:.2f}".format,
        "≤ 1.5",
        1.5,
    ),
    Line("… recall", ("tenant of 50: recall",), "{:.2f}".format, "1.0", least=(1, 1)),
    Line("writes of 20, facts/s", ("write 20: facts/s",), _count, "≥ 1,500, rust ≥ 2,500", least=(1500, 2500)),
    Line("writes of 500, facts/s", ("write 500: facts/s",), _count, "≥ 2,500, rust ≥ 5,000", least=(2500, 5000)),
    Line("8 writers of one namespace, facts/s", ("8 writers: facts/s",), _count),
    Line("… failed / duplicates", ("8 writers: failed", "8 writers: facts beyond those stated"), _count, "0 / 0", 0),
    Line(
        "event loop under 200 reads: longest wait, median of 5 runs / p99, ms",
        (_LOOP.format(""), "… p99, ms"),
        _ms,
        "≤ 20",
        20,
    ),
    Line("… with one reading thread", (_LOOP.format(", one thread"), "… p99, one thread, ms"), _ms),
    Line("first write on a fresh server (it plans), ms", ("first write on a fresh server, ms",), _count),
    _LOAD,
    _COLD,
    _HELD,
)
BY_SIZE = (_EXACT, _MANY, _SIMILAR, _ANSWERED, _RECALL, _LOAD, _COLD, _HELD)
TWICE = frozenset({_EXACT.label, _SIMILAR.label})
"""Of these, a million facts may take twice what 100,000 take."""


def of(version: str, kind: str) -> dict[int, Row]:
    """The figures of a release and a driver, by the number of facts."""
    content = json.loads((RESULTS / f"neo4j-{version}-{kind}.json").read_text(encoding="utf-8"))
    return {row["triples"]: row for row in content["rows"]}


def table() -> Iterator[str]:
    """The lines of the table at 100,000 facts."""
    yield _line("", *(f"{version}, {kind}" for version, kind in COLUMNS), "goal")
    yield _line(*["---"] * (len(COLUMNS) + 2))
    rows = [(of(version, kind)[100_000], kind) for version, kind in COLUMNS]
    for line in LINES:
        yield _line(line.label, *(line.cell(row, kind) for row, kind in rows), line.goal)


def by_size() -> Iterator[str]:
    """The lines of the table by size, on 5.26.30 with the driver in pure Python."""
    yield _line("", *(f"{size:,} facts" for size in SIZES), "1,000,000 / 100,000 (goal ≤ 2)")
    yield _line(*["---"] * (len(SIZES) + 2))
    rows = of("5.26.30", "pure")
    for line in BY_SIZE:
        plain = Line(line.label, line.keys, line.shown)
        ratio = ""
        if line.label in TWICE:
            times = rows[1_000_000][line.keys[0]] / rows[100_000][line.keys[0]]
            ratio = f"**{times:.1f}**" if times > 2 else f"{times:.1f}"
        yield _line(line.label, *(plain.cell(rows[size], "pure") for size in SIZES), ratio)


def sizing() -> Iterator[str]:
    """The lines of the table for those who choose a server: the same figures, in fewer words."""
    for size, row in of("5.26.30", "pure").items():
        times = [f"{_ms(row[f'{name}: p50 ms'])} ms" for name in ("exact", "similar", "recall")]
        cold, held = row[_COLD.keys[0]] / 1_000, row[_HELD.keys[0]]
        yield _line(f"{size:,} ({row['names']:,})", *times, f"{cold:.1f} s", f"{_ms(held)} MB")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print(*("\n".join(lines) for lines in (table(), by_size(), sizing())), sep="\n\n")
