"""The checks on a real server: they pass, at the scale that CI promises, and sabotage turns each red."""

from __future__ import annotations

import re

import pytest

from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify import CHECKS, Check, run_checks

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.usefixtures("neo4j_store")]  # an empty database

ON_A_SERVER = [check for check in CHECKS if check.needs_server]
KEPT = re.compile(r"\b0 lost, 0 duplicated, 0 wrong, 0 torn")  # not of "90 lost"
PROMISED = {"A09.T5": 20, "A09.T6": 3, "A09.T7": 200}


@pytest.mark.parametrize("check", ON_A_SERVER, ids=lambda check: check.id)
def test_the_memory_keeps_its_promise(check: Check, neo4j_server: LocalServer) -> None:
    assert check.quick >= PROMISED.get(check.id, 1)
    (outcome,) = run_checks([check], server=neo4j_server)
    assert outcome.result == "pass", outcome.summary
    assert KEPT.search(outcome.summary), outcome.summary


@pytest.mark.parametrize("check", ON_A_SERVER, ids=lambda check: check.id)
def test_sabotage_turns_the_check_red(check: Check, neo4j_server: LocalServer) -> None:
    (outcome,) = run_checks([check], server=neo4j_server, sabotage=True, share=0.15)
    assert outcome.result == "fail", outcome.summary
    assert not KEPT.search(outcome.summary), outcome.summary
