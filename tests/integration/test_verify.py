"""The acceptance list runs, tells what did not run, and every check turns red when the memory is sabotaged."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import langchain_memllm.verify
from langchain_memllm.verify import CHECKS, run_checks

WRITTEN = [check for check in CHECKS if check.run is not None]


@pytest.mark.parametrize("check", WRITTEN, ids=lambda check: check.id)
def test_sabotage_turns_the_check_red(check: langchain_memllm.verify.Check) -> None:
    (outcome,) = run_checks([check], sabotage=True, share=0.2)
    assert outcome.result == "fail", outcome.summary


def test_the_quick_list_passes_and_names_what_was_not_run(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "langchain_memllm.verify", "--quick", "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = {entry["id"]: entry["result"] for entry in json.loads(report.read_text())}
    assert len(outcomes) == 30
    assert {i for i, result in outcomes.items() if result == "pass"} == {"A01", "A05", "A06", "A12", "A17"}
    assert set(outcomes.values()) == {"pass", "not run"}


def test_the_checker_shares_no_code_with_the_stores() -> None:
    """The ledger imports nothing of the package; no check looks into a store but the mutant of A05."""
    folder = Path(langchain_memllm.verify.__file__).parent
    for path in sorted(folder.glob("*.py")):
        imported = {
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
        stores = {module for module in imported if module.startswith("langchain_memllm.stores")}
        if path.name == "ledger.py":
            assert not any(module.startswith("langchain_memllm") for module in imported)
        elif path.name != "a05_writers.py":
            assert not stores, path.name
