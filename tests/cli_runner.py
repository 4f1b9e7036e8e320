"""Runs commands of ``memllm`` in an empty folder, for the tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import langchain_memllm.chat
import langchain_memllm.extraction  # noqa: F401 - both before a test replaces a function that they import
from langchain_memllm.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder, without anything from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("MEMLLM_STORE", "MEMLLM_USER", "MEMLLM_MODEL", "MEMLLM_EMBEDDER", "OPENAI_API_KEY", "NEO4J_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    runner = CliRunner()
    return lambda *arguments, **options: runner.invoke(app, list(arguments), **options)


@pytest.fixture
def filled(run: Run) -> Run:
    """The same, with three facts stored."""
    for triple in (("Ada", "lives in", "Oslo"), ("Ada", "lives in", "Bergen"), ("Ada", "likes", "tea")):
        assert run("write", *triple).exit_code == 0
    return run


def parsed(result: Result) -> Any:
    return json.loads(result.stdout)


def told(result: Result, status: int) -> str:
    """The one line of a mistake, after checking the status and that nothing else is printed."""
    assert result.exit_code == status, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("memllm: ")
    return lines[0]
