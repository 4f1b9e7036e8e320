"""``memllm recall`` shows what was said beside the facts."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from langchain_memllm import MemLLMMemory
from langchain_memllm.cli import app
from langchain_memllm.stores.episodes import Turn

FERRY = "The ticket code of the ferry is XK-4711."
SECRET = "The ticket code of the ferry is SECRET."


def turn(text: str, scope: str = "", thread: str = "trip") -> Turn:
    return Turn(Turn.named(thread, text), thread, text, "2026-03-05T12:00:00+00:00", scope=scope)


def fill(memory: MemLLMMemory) -> MemLLMMemory:
    memory.write([("user", "likes", "ferry tickets")], user_id="ada")
    memory.hub.keep([turn(FERRY), turn(SECRET, scope="plans")], user_id="ada")
    return memory


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
