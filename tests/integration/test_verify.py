"""The acceptance list runs, tells what did not run, and every check turns red when the memory is sabotaged."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import langchain_memllm.verify
from langchain_memllm.verify import CHECKS, Check, Outcome, a28_static, report, run_checks

WITHOUT_SERVER = [check for check in CHECKS if not check.needs_server]
ON_A_SERVER = {
    "A09.hub",
    "A09.outbox",
    "A09.T5",
    "A09.T6",
    "A09.T7",
    "A09.T8",
    "A10.neo4j",
    "A11",
    "A17.limits.neo4j",
    "A17.neo4j",
    "A17.roles.neo4j",
    "A18",
    "A19.neo4j",
    "A27.neo4j",
}


@pytest.mark.parametrize("check", WITHOUT_SERVER, ids=lambda check: check.id)
def test_sabotage_turns_the_check_red(check: langchain_memllm.verify.Check) -> None:
    (outcome,) = run_checks([check], sabotage=True, share=0.2)
    assert outcome.result == "fail", outcome.summary


def test_the_quick_list_passes_and_names_what_was_not_run(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "langchain_memllm.verify", "--quick", "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    entries = json.loads(report.read_text())
    assert done.returncode == 0, [entry for entry in entries if entry["result"] == "fail"] or done.stderr
    outcomes = {entry["id"]: entry["result"] for entry in entries}
    numbers = set(range(1, 31)) - {29}  # mutation is a job of its own
    assert {i.split(".")[0] for i in outcomes} == {f"A{number:02}" for number in numbers}
    assert {i for i, result in outcomes.items() if result == "pass"} == {check.id for check in WITHOUT_SERVER}
    assert set(outcomes.values()) == {"pass", "not run"}
    assert {check.id for check in CHECKS if check.needs_server} == ON_A_SERVER
    assert {outcomes[i] for i in ON_A_SERVER} == {"not run"}


@pytest.mark.parametrize(("asked", "words"), [("A18", "needs a server: --neo4j"), ("A99", "unknown")])
def test_what_was_asked_for_and_did_not_run_is_a_failure(asked: str, words: str) -> None:
    command = [sys.executable, "-m", "langchain_memllm.verify", "--only", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert words in " ".join((done.stdout + done.stderr).split())


def test_a_report_names_the_commit_of_each_row_and_keeps_those_of_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, about = tmp_path / "report.json", {"soak": True}
    root = Path(__file__).parents[2]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert (report.commit() or "").rstrip("+") == head.strip()
    monkeypatch.setattr(report, "commit", lambda: "b")
    report.add(file, Outcome(Check("A13", "fuzzed", a28_static.run, 1), "pass", "12 parsers", 3600.0), "a", about)
    report.add(file, Outcome(Check("A01", "kill", a28_static.run, 1), "pass", "2,000 kills", 300.0), "b", about)
    report.add(file, Outcome(Check("A01", "kill", a28_static.run, 1), "not run"), "b", about)
    rows = json.loads(file.read_text())
    assert [(row["id"], row["result"], row["commit"], row["soak"]) for row in rows] == [
        ("A01", "pass", "b", True),
        ("A13", "pass", "a to b", True),
    ]


def test_parts_of_a_long_check_stand_beside_each_other(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    outcome = Outcome(Check("A17", "tenants", a28_static.run, 1), "pass", "100,000 operations", 300.0)

    def parts(*runs: tuple[float, int]) -> list[tuple[float, int]]:
        for share, seed in runs:
            report.add(file, outcome, "a", {"share": share, "seed": seed})
        return [(row["share"], row["seed"]) for row in json.loads(file.read_text())]

    assert parts((0.5, 2), (0.5, 1), (0.25, 2)) == [(0.5, 1), (0.25, 2)]
    assert parts((1.0, 3)) == [(1.0, 3)]
    assert parts((0.5, 4)) == [(0.5, 4)]


def test_the_long_scale_is_what_the_soak_promises() -> None:
    scales = {check.id: (check.soak, check.unit) for check in CHECKS}
    assert scales["A01"] == (2_000, "kills")
    assert scales["A02"] == (5_000, "cuts")
    assert scales["A13"] == (3_000, "tenths of a second a parser")
    assert scales["A17"] == scales["A17.neo4j"] == (200_000, "operations")
    assert scales["A30"] == (3_600, "seconds")


def test_a_check_whose_packages_are_missing_says_what_to_install() -> None:
    (outcome,) = run_checks([Check("A26", "x", a28_static.run, 1, packages=("no_such_package",))])
    assert (outcome.result, outcome.summary) == ("not run", "needs packages: pip install no_such_package")


def test_each_thing_that_no_source_may_do_is_found() -> None:
    """A28: the red switch does all of them at once."""
    found = " ".join(a28_static.findings({"sabotage.py": a28_static.SABOTAGE}))
    for what in ("pickle", "httpx", "eval", "torch.load", "shell", "put together", "repetition", "trust_remote_code"):
        assert what in found


def test_the_checker_shares_no_code_with_the_stores() -> None:
    """What looks and compares imports nothing of the package; A05 (a mutant), A08, A26 know a store; turns: values."""
    folder = Path(langchain_memllm.verify.__file__).parent
    own = "langchain_memllm.verify"
    for path in sorted(folder.glob("*.py")):
        imported = {
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
        if path.name in ("ledger.py", "graph.py", "wire.py", "proxy.py", "bolt_server.py"):
            assert not any(name.startswith("langchain_memllm") and not name.startswith(own) for name in imported)
        elif path.name not in (
            "a01_kill.py",
            "a02_power.py",
            "a03_operations.py",
            "a05_writers.py",
            "a08_faults.py",
            "a26_tls.py",
        ):
            inside = {name for name in imported if name.startswith("langchain_memllm.stores.")}
            assert inside <= {"langchain_memllm.stores.server", "langchain_memllm.stores.episodes"}, path.name
