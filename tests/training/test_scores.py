"""The arithmetic of the evaluations, by hand."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

from langchain_memllm.training.extracting import _compared, confusion, counts
from langchain_memllm.training.scores import exp_mean, f1, figure, mean, precision, ratio_of_exp, recall
from langchain_memllm.triples import Triple

COUNTS = [[1, 2, 1], [1, 1, 3]]  # two documents: 2 of 3 written are right, of 4 gold


def value(units, statistic) -> float | None:
    return figure("", units, statistic, seed=0, count=0).value


def test_precision_recall_f1_are_micro_averages():
    assert value(COUNTS, precision) == pytest.approx(2 / 3)
    assert value(COUNTS, recall) == pytest.approx(2 / 4)
    assert value(COUNTS, f1) == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))


def test_perplexities():
    assert value([[2.0, 1], [4.0, 2]], exp_mean) == pytest.approx(math.e**2)
    assert value([[2.0, 4.0, 2]], ratio_of_exp) == pytest.approx(math.exp(-1))


def test_what_has_no_value_says_so():
    assert value([], mean) is None
    assert value([[0, 0, 5]], precision) is None


def test_an_interval_is_of_the_seed_and_of_the_spread():
    units = [[number / 99, 1.0] for number in range(100)]
    one, again, other = (figure("", units, mean, seed=seed, count=100) for seed in (0, 0, 1))
    assert one == again
    assert (one.low, one.high) != (other.low, other.high)
    assert one.low is not None
    assert one.high is not None
    assert one.low < 0.5 < one.high
    assert one.high - one.low == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / 100), rel=0.2)
    alike = figure("", [[1.0, 2.0]] * 9, mean, seed=0, count=9)
    assert (alike.low, alike.high) == (0.5, 0.5)


def test_exact_and_relaxed_by_hand():
    case = {
        "gold": [["Ada Curie", "spouse", "Bo Lie"], ["Ada Curie", "place of birth", "Oslo"]],
        "names": [["Ada Curie", "Curie"]],
    }
    written = [
        Triple("ADA CURIE", "spouse", "Bo Lie"),  # exact: letter case aside
        Triple("Bo Lie", "spouse", "Curie"),  # the same from the other end, by another name
        Triple("Curie", "place of death", "Oslo"),  # another relation
        Triple("Curie", "place of birth", "Rome"),
    ]
    got = _compared(case, written)
    result = {"written": [list(triple) for triple in written], "confidences": [0.5] * 4}
    assert counts(case, result) == [1, 4, 2]
    assert counts(case, result, relaxed=True) == [1, 3, 2]
    assert counts(case, result, 0.6) == [0, 0, 2]
    assert got["relations"] == [["spouse", ["spouse"]], ["place of birth", ["place of death"]]]
    table = confusion([{**case, "id": "1", "part": "p"}], {"1": got})
    assert table == [["p", "spouse", "spouse", 1], ["p", "place of birth", "place of death", 1]]
