"""The published figures: a seeded 2 % of each evaluation's items, run again with the shipped adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from typer.testing import CliRunner

from benchmarks.models import ablation, curve, rows
from langchain_memllm.cli import app

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
CONTROL = RESULTS.parent / "control"
REPORTS = sorted(RESULTS.glob("eval-*.json"))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("report", REPORTS, ids=[report.stem for report in REPORTS])
def test_a_sample_of_the_published_items_comes_out_the_same(report):
    with_control = ["--control", str(CONTROL)] if report.stem == "eval-ppl" else []
    done = CliRunner().invoke(app, ["eval", "recheck", str(report), "--share", "0.02", *with_control])
    assert done.exit_code == 0, done.output
    assert " 0 differences" in done.output


def test_each_evaluation_has_a_published_report():
    assert {report.stem.removeprefix("eval-") for report in REPORTS} >= {"extract", "edit", "ppl", "calls"}


def test_the_tables_in_the_docs_are_those_of_the_reports():
    document = (RESULTS.parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    for table in (rows(), ablation(), curve()):
        assert "\n".join(table) in document, "print it: python -m benchmarks.models"
