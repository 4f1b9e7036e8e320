"""Fits how probable it is that a triple is right, by its log-probability, and keeps it with the adapter.

The fit is a line for the log-odds (Platt scaling), of what a writer wrote of texts that it was not trained on, and
whether that was right. Two numbers, so a few hundred triples are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.local.confidence import Confidence
from langchain_memllm.local.folders import ADAPTER_FILE
from langchain_memllm.local.manifest import read_manifest, sha256, write_manifest
from langchain_memllm.training.evaluate import Report
from langchain_memllm.training.extracting import rated

__all__ = ["calibrate", "fit"]

_LEAST: Final = 20  # triples
_RIDGE: Final = 1e-3


def fit(logprobs: Sequence[float], right: Sequence[bool]) -> tuple[float, float]:
    """Intercept and slope of the most probable line for the log-odds, by Newton's method.

    Args:
        logprobs: Of triples.
        right: Whether each is.

    Raises:
        ConfigurationError: Too few, or all of a kind.
    """
    if len(right) < _LEAST or len(set(right)) < 2:
        raise ConfigurationError(
            f"{sum(right)} of {len(right)} triples are right, which fits nothing; give a report with at least "
            f"{_LEAST}, right and wrong ones"
        )
    x = np.column_stack([np.ones(len(right)), np.asarray(logprobs, dtype=np.float64)])  # (N, 2)
    y = np.asarray(right, dtype=np.float64)
    line = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ line, -500, 500)))
        gradient = x.T @ (y - p) - _RIDGE * line
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        line += step
        if float(np.abs(step).max()) < 1e-9:
            break
    return float(line[0]), float(line[1])


def calibrate(adapter: Path, report: Report, parts: Sequence[str], threshold: float) -> Confidence:
    """Fit a writer's confidence to a report of ``memllm eval extract`` and keep it in the adapter's manifest.

    Args:
        adapter: Folder of the adapter that the report is of.
        report: What it wrote, and what would have been right.
        parts: Which of its parts; texts that the adapter was not trained on.
        threshold: Least probability that it writes by default.

    Raises:
        ConfigurationError: The report is of another evaluation or adapter, or has too little of these parts.
        ModelError: The manifest cannot be read.
    """
    manifest = read_manifest(adapter)
    if manifest is None:
        raise ConfigurationError(f"{adapter} has no manifest to keep a confidence in; train it with `memllm train`")
    made_by = {report.about.get(role, {}).get("sha256") for role in ("write", "talk")}
    if report.evaluation != "extract" or sha256(adapter / ADAPTER_FILE) not in made_by:
        raise ConfigurationError(
            f"the report is not of what {adapter} wrote; make one with `memllm eval extract --write {adapter}`"
        )
    cases = [case for case in report.cases if case["part"] in parts]
    found = [each for case in cases for each in rated(case, report.results[case["id"]])]
    intercept, slope = fit([logprob for logprob, _ in found], [right for _, right in found])
    fitted = f"{sum(right for _, right in found)} right of {len(found)} triples of {len(cases)} sentences, "
    confidence = Confidence(round(intercept, 4), round(slope, 4), threshold, fitted + ", ".join(parts))
    write_manifest(
        adapter,
        {key: value for key, value in manifest.items() if key not in ("format", "files")}
        | {"confidence": confidence.as_dict()},
    )
    return confidence
