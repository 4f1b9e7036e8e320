"""``memllm recall`` shows what was said beside the facts."""

from __future__ import annotations

import json
from pathlib import Path

from ferry import FERRY, fill
from typer.testing import CliRunner

from langchain_memllm import MemLLMMemory
from langchain_memllm.cli import app


def test_the_command_shows_what_was_said(tmp_path: Path) -> None:
    file = str(tmp_path / "m.db")
    with MemLLMMemory(file, episodes=True) as memory:
        fill(memory)
    runner, asked = CliRunner(), ["recall", "ticket code of the ferry", "--store", file, "--user", "ada"]
    shown = runner.invoke(app, asked).stdout
    assert "XK-4711" in shown and "2026-03-05" in shown and "ferry tickets" in shown and "SECRET" not in shown
    told = json.loads(runner.invoke(app, [*asked, "--json"]).stdout)
    assert told[0]["fact"]["object"] == "ferry tickets" and told[1]["text"] == FERRY
    assert "XK-4711" not in runner.invoke(app, [*asked, "--show", "facts"]).stdout
    turns = runner.invoke(app, [*asked, "--show", "turns"]).stdout
    assert "XK-4711" in turns and "ferry tickets" not in turns
    assert len(json.loads(runner.invoke(app, [*asked, "--json", "--tokens", "60"]).stdout)) == 1
    wrong = runner.invoke(app, [*asked, "--show", "all"])
    assert wrong.exit_code == 2 and "show='all' is unknown" in wrong.output
