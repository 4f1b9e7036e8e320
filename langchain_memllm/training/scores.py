"""Arithmetic of the evaluations: precision, recall, F1, and how sure a figure is (bootstrap over documents).

Every figure is a function of sums over units (documents, edits), so that an interval comes from drawing units with
replacement and adding up again. The same seed gives the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["RESAMPLES", "Figure", "exp_mean", "f1", "figure", "mean", "precision", "ratio_of_exp", "recall"]

RESAMPLES: Final = 1_000
_LEVEL: Final = 0.95

Sums = npt.NDArray[np.float64]
"""Sums over units, shape (R, K): R resamples of K numbers."""
Statistic = Callable[[Sums], npt.NDArray[np.float64]]
"""From sums (R, K) to the figure of each resample (R,); NaN where it has no value."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the table, its 95 % interval, and over how many things it was taken; None: it has no value."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def figure(name: str, units: Sequence[Sequence[float]], statistic: Statistic, *, seed: int, count: int) -> Figure:
    """A figure with its bootstrap interval.

    Args:
        name: What it is.
        units: (N, K), the K numbers of each unit that are added up.
        statistic: From sums to the figure.
        seed: Of the resamples.
        count: Over how many things the figure is, for the table.
    """
    table: Sums = np.array(units, dtype=np.float64)
    if not table.size:
        return Figure(name, None)
    value = float(statistic(table.sum(axis=0, keepdims=True))[0])
    drawn = np.random.default_rng(seed).integers(len(table), size=(RESAMPLES, len(table)))  # (R, N)
    sums = np.stack([table[rows].sum(axis=0) for rows in drawn])
    values = statistic(sums)
    values = values[np.isfinite(values)]
    if not np.isfinite(value) or not len(values):
        return Figure(name, None, count=count)
    low, high = (float(each) for each in np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]))
    return Figure(name, value, low, high, count)


def _divided(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def mean(sums: Sums) -> npt.NDArray[np.float64]:
    """Of (sum, count)."""
    return _divided(sums[:, 0], sums[:, 1])


def precision(sums: Sums) -> npt.NDArray[np.float64]:
    """Of (right, written, gold)."""
    return _divided(sums[:, 0], sums[:, 1])


def recall(sums: Sums) -> npt.NDArray[np.float64]:
    """Of (right, written, gold)."""
    return _divided(sums[:, 0], sums[:, 2])


def f1(sums: Sums) -> npt.NDArray[np.float64]:
    """Of (right, written, gold): 2 right / (written + gold), the harmonic mean of precision and recall."""
    return _divided(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def exp_mean(sums: Sums) -> npt.NDArray[np.float64]:
    """Perplexity, of (sum of negative log-likelihoods, count)."""
    return np.exp(mean(sums))


def ratio_of_exp(sums: Sums) -> npt.NDArray[np.float64]:
    """Ratio of two perplexities over the same things, of (sum of one, sum of the other, count)."""
    return np.exp(_divided(sums[:, 0] - sums[:, 1], sums[:, 2]))
