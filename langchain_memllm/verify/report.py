"""The file of outcomes that ``--report`` names: a row for each check, with the commit of the source that was judged.

Rows may come from runs of their own, days apart: each is written as soon as its check is over. A long check may be run
in parts, each a share with a seed of its own: such a part replaces only an earlier one of its seed.
"""

from __future__ import annotations

import json
import platform
import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import langchain_memllm
from langchain_memllm import private
from langchain_memllm.verify import Outcome

__all__ = ["add", "commit"]


def commit() -> str | None:
    """The commit of the source that runs, with a ``+`` if it was changed since; None outside its repository."""
    folder = Path(langchain_memllm.__file__).parent
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")  # not another repository around an installed package
        return _git(folder, "rev-parse", "HEAD") + ("+" if _git(folder, "status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def add(report: Path, outcome: Outcome, began: str | None, about: Mapping[str, object]) -> None:
    """Put the row of a check into the file, beside those of other checks.

    Args:
        report: The file; it is made if it is missing.
        outcome: What became of the check. One that did not run replaces no row of one that did.
        began: The commit when the run began. If it is another one by now, the row names both: a check that starts
            processes by name ran the source of both.
        about: What else the row says.
    """
    before = json.loads(report.read_text(encoding="utf-8")) if report.exists() else []
    rows = before
    if outcome.result != "not run" or outcome.check.id not in {row["id"] for row in before}:
        ended = commit()
        judged = began if began == ended else f"{began} to {ended}"
        new = {**_row(outcome), "commit": judged, **about}
        rows = [*(row for row in before if not _replaces(new, row)), new]
    with private.replaced(report) as file:
        file.write(json.dumps(sorted(rows, key=lambda row: (row["id"], row.get("seed", 0))), indent=1) + "\n")


def _replaces(new: Mapping[str, object], row: Mapping[str, object]) -> bool:
    """Whether a row takes another's place: of two parts of a check, only with the same seed."""
    parts = all(isinstance(share := each.get("share"), float) and share < 1 for each in (new, row))
    return new["id"] == row["id"] and not (parts and new.get("seed") != row.get("seed"))


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "id": outcome.check.id,
        "title": outcome.check.title,
        "result": outcome.result,
        "summary": outcome.summary,
        "seconds": round(outcome.seconds, 2),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    return done.stdout.strip()
