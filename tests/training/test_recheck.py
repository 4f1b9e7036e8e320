"""The published figures: a seeded 2 % of each evaluation's items, run again with the shipped adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from typer.testing import CliRunner

from langchain_memllm.cli import app
from langchain_memllm.errors import MissingExtra
from langchain_memllm.local import weights

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
REPORTS = sorted(RESULTS.glob("eval-*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("report", REPORTS, ids=[report.stem for report in REPORTS])
def test_a_sample_of_the_published_items_comes_out_the_same(report):
    try:
        weights.smollm2_folder()
    except MissingExtra as error:
        pytest.skip(str(error))
    done = CliRunner().invoke(app, ["eval", "recheck", str(report), "--share", "0.02"])
    assert done.exit_code == 0, done.output
    assert " 0 differences" in done.output
