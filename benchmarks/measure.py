"""What every benchmark needs: timings in microseconds, the machine in words, a table on the screen and in JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
Row = Mapping[str, Any]
_WIDEST = 9  # more columns than this are printed as lines


def timed(call: Callable[[Any], object], items: Iterable[Any]) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for item in items:
        start = time.perf_counter()
        call(item)
        taken.append((time.perf_counter() - start) * 1e3)
    return taken


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> dict[str, Any]:
    """Where the figures were taken."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "processor": _processor(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_before": os.getloadavg()[0],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *map(_unplaced, sys.argv[1:])]),
    }


def _unplaced(argument: str) -> str:
    """An argument without the folders of this machine."""
    return Path(argument).name if argument.startswith("/") else argument


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def report(name: str, title: str, rows: Sequence[Row], host: dict[str, Any], json_path: Path | None = None) -> None:
    """Print the rows as a table and write them to ``results/NAME.json``."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    upright = len(columns) > _WIDEST
    table = Table(title=title, show_header=not upright)
    for number in range(len(rows) + 1 if upright else len(columns)):
        header = "" if upright else columns[number]
        table.add_column(header, justify="right" if number else "left")
    lines = [[_shown(row.get(column, "")) for column in columns] for row in rows]
    for line in zip(columns, *lines, strict=True) if upright else lines:
        table.add_row(*line)
    Console(width=180).print(table)
    path = json_path or RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    content = {"machine": host, "title": title, "rows": [dict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
