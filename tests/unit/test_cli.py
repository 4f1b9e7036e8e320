"""The command line: every command, its JSON, its exit status, and what mistakes are told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Run, parsed, told

from langchain_memllm.cli.terminal import CONFLICT, MODEL, NOTHING, STORE, WRONG, exit_status
from langchain_memllm.errors import (
    ConfigurationError,
    InvalidTriple,
    MissingExtra,
    ModelError,
    OperationConflict,
    StoreUnavailable,
)
from langchain_memllm.memory import Memory
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.testing import ScriptedModel, tool_call

# -- what each command does ------------------------------------------------------------------------------------------


def test_write_shows_the_receipt(run: Run) -> None:
    assert run("write", "Ada", "lives in", "Oslo").stdout == "stored      (Ada, lives in, Oslo)\n"
    assert "[supersedes 1]" in run("write", "Ada", "lives in", "Bergen").stdout
    receipt = parsed(run("write", "Ada", "lives in", "Bergen", "--json"))
    assert [outcome["status"] for outcome in receipt["outcomes"]] == ["already"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 300, "a\x07b", "\udcff"], ids=ascii)
def test_a_name_that_cannot_be_stored_is_rejected_with_its_reason(run: Run, name: str) -> None:
    result = run("write", "Ada", "likes", name)
    assert result.exit_code == WRONG
    assert result.stdout.startswith("rejected")
    assert parsed(run("write", "Ada", "likes", name, "--json"))["outcomes"][0]["status"] == "rejected"


def test_read_answers_from_both_sides(filled: Run) -> None:
    assert "Bergen" in filled("read", "--subject", "ada", "--relation", "resides in").stdout
    (match,) = parsed(filled("read", "--relation", "likes", "--object", "tea", "--json"))
    assert (match["answer"], match["how"], match["fact"]["state"]) == ("Ada", "exact", "current")
    assert parsed(filled("read", "--subject", "Ada", "--relation", "lives in", "--at", "2001-01-01", "--json")) == []


def test_recall_says_why(filled: Run) -> None:
    result = filled("recall", "What does Ada like?", "-k", "1")
    assert "the text names 'Ada'" in result.stdout
    assert len(parsed(filled("recall", "Ada", "-k", "2", "--json"))) == 2


def test_history_shows_what_closed_a_fact(filled: Run) -> None:
    assert "past (superseded" in filled("history", "Ada", "lives in").stdout
    assert [fact["state"] for fact in parsed(filled("history", "Ada", "lives in", "--json"))] == ["past", "current"]


def test_nothing_found_has_its_own_status_and_is_still_json(filled: Run) -> None:
    for command in (["read", "--subject", "Nobody"], ["recall", "nothing"], ["history", "Nobody"]):
        assert filled(*command).exit_code == NOTHING
        assert filled(*command).stdout.startswith("nothing is recalled" if command[0] == "recall" else "nothing stored")
        assert parsed(filled(*command, "--json")) == []
    erased = filled("forget", "--name", "Nobody", "--json")
    assert (erased.exit_code, parsed(erased)["fact_ids"]) == (NOTHING, [])


def test_forget_by_name_slot_fact_and_source(filled: Run) -> None:
    (tea,) = parsed(filled("history", "Ada", "likes", "--json"))
    assert filled("forget", "--fact", tea["id"]).stdout.startswith("1 fact, ")
    assert parsed(filled("forget", "--subject", "Ada", "--relation", "lives in", "--json"))["names"] == 3
    filled("write", "Ada", "likes", "gin")
    assert filled("forget", "--name", "ADA", "--purge").exit_code == 0
    assert parsed(filled("stats", "--json"))["facts"] == 0


def test_forget_tells_which_similar_names_are_still_there(filled: Run) -> None:
    """bugs 3.9: forgetting by a spelling that is not the stored one says which are."""
    filled("write", "José [x]", "likes", "tea")
    missed = filled("forget", "--name", "Jose [x]")
    assert missed.exit_code == 1
    assert "0 facts" in missed.stdout
    assert "similar name: 'José [x]'" in missed.stdout
    assert parsed(filled("forget", "--name", "Jose [x]", "--json"))["similar_names"] == ["José [x]"]


def test_forgetting_everything_asks_first(filled: Run) -> None:
    assert filled("forget", "--everything", input="n\n").exit_code == 1
    assert parsed(filled("stats", "--json"))["facts"] == 2
    assert filled("forget", "--everything", "--yes").exit_code == 0
    assert parsed(filled("stats", "--json"))["facts"] == 0


def test_users_are_apart(filled: Run) -> None:
    filled("write", "Ada", "likes", "milk", "--user", "bob")
    assert filled("read", "--subject", "Ada", "--relation", "likes", "--user", "bob").stdout.count("milk") == 2
    assert "milk" not in filled("read", "--subject", "Ada", "--relation", "likes").stdout


def test_export_and_import(filled: Run, tmp_path: Path) -> None:
    assert filled("export", "facts.jsonl").stdout == "3 facts written to facts.jsonl\n"
    lines = [json.loads(line) for line in filled("export", "-").stdout.splitlines()]
    assert lines == [json.loads(line) for line in (tmp_path / "facts.jsonl").read_text().splitlines()]
    for _ in range(2):
        assert filled("import", "facts.jsonl", "--store", "copy.db").stdout == "3 facts read from facts.jsonl\n"
    assert parsed(filled("stats", "--store", "copy.db", "--json"))["facts"] == 2
    filled("import", "facts.jsonl", "--store", "copy.db", "--user", "bob")
    assert parsed(filled("stats", "--store", "copy.db", "--user", "bob", "--json"))["past"] == 1
    both = filled("export", "-", "--all", "--store", "copy.db").stdout
    assert both.count('"type": "fact"') == 6


def test_stats_tell_the_log_and_what_is_contested(filled: Run) -> None:
    """Issue 20, operators: pending, log size, contested, quarantine."""
    counts = parsed(filled("stats", "--contested", "--json"))
    assert counts["contested"] == 0
    assert counts["file_bytes"] > 0
    assert {"log_bytes", "pending", "outbox", "quarantined"} <= counts.keys()


def test_stats_and_doctor(filled: Run) -> None:
    assert filled("stats").stdout.splitlines()[:2] == ["facts                2", "past                 1"]
    found = parsed(filled("doctor", "--json"))
    assert (found["problems"], found["namespaces"]) == ([], 1)
    assert "problems: none" in filled("doctor").stdout


# -- with a model ----------------------------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever model is named, it is one that finds a home in every text and answers with what it was shown."""

    def reply(request: Any) -> Any:
        if "record_facts" in request.tools:
            return tool_call("record_facts", facts=[{"subject": "Ada", "relation": "lives in", "object": "Oslo"}])
        return "In Oslo." if "Oslo" in request.text else "I do not know."

    monkeypatch.setattr("langchain_memllm.models.chat_model", lambda _: ScriptedModel(script=reply))


@pytest.mark.usefixtures("scripted")
def test_remember_and_ask(run: Run, tmp_path: Path) -> None:
    model = ("--model", "test:model")
    assert run("remember", "Ada lives in Oslo.", *model).stdout == "stored      (Ada, lives in, Oslo)\n"
    assert (
        parsed(run("remember", "-", "--json", *model, input="Ada lives in Oslo."))["outcomes"][0]["status"] == "already"
    )
    (tmp_path / "notes.md").write_text("Ada lives in Oslo.", encoding="utf-8")
    assert run("remember", "@notes.md", "--replace", *model).exit_code == 0
    assert run("ask", "Where does Ada live?", *model).stdout.splitlines()[-1] == "In Oslo."
    answer = parsed(run("ask", "Where does Ada live?", "--json", *model))
    assert answer["answer"] == "In Oslo."
    assert "Oslo" in answer["recalled"]


@pytest.mark.usefixtures("scripted")
def test_ask_an_empty_memory(run: Run) -> None:
    run("write", "Bob", "likes", "gin")
    run("forget", "--everything", "--yes")
    assert run("ask", "Where does Ada live?", "--model", "test:model").stdout == "I do not know.\n"


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["read"], WRONG, "exactly one side open"),
        (["read", "--subject", "Ada", "--object", "Oslo"], WRONG, "exactly one side open"),
        (["read", "--subject", "Ada", "--at", "yesterday"], WRONG, "2026-11-23"),
        (["read", "--subject", "Ada", "--valid-at", "spring"], WRONG, "2010-05"),
        (["recall", "Ada", "-k", "0"], WRONG, "1 to 200"),
        (["forget"], WRONG, "exactly one of"),
        (["forget", "--subject", "Ada"], WRONG, "exactly one of"),
        (["forget", "--fact", "zz"], WRONG, "32 hex digits"),
        (["forget", "--name", ""], WRONG, "empty"),
        (["stats", "--user", ""], WRONG, "not empty"),
        (["stats", "--store", "http://host"], WRONG, "begins like a URL"),
        (["stats", "--store", "neo4j://127.0.0.1:9"], WRONG, "NEO4J_PASSWORD"),
        (["stats", "--store", "."], WRONG, "folder"),
        (["import", "nothing.jsonl"], WRONG, "nothing.jsonl"),
        (["export", "no/such/folder/facts.jsonl"], STORE, "cannot be written"),
        (["remember", "", "--model", "local"], WRONG, "empty"),
        (["remember", "@nothing.txt"], WRONG, "after the '@'"),
        (["remember", "x", "--replace"], WRONG, "give @FILE"),
        (["remember", "Ada lives in Oslo.", "--model", "nonsense"], WRONG, "provider:model"),
        (["ask", "where?", "--model", "nonsense"], WRONG, "provider:model"),
        (["demo", "nothing.txt"], WRONG, "nothing.txt"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_a_mistake_is_told_in_one_line(filled: Run, command: list[str], status: int, words: str) -> None:
    assert words in told(filled(*command), status)


@pytest.mark.parametrize(
    ("lines", "words"),
    [('{"type":', "line 1"), ("[1]", "record 1"), ('{"type": "fact"}', "record 1"), ('{"type": "letter"}', "record 1")],
)
def test_an_import_of_something_else(run: Run, tmp_path: Path, lines: str, words: str) -> None:
    (tmp_path / "bad.jsonl").write_text(lines, encoding="utf-8")
    assert words in told(run("import", "bad.jsonl"), WRONG)


def test_an_import_of_bytes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b"\xde\xad\xbe\xef")
    assert "memllm export" in told(run("import", "bad.jsonl"), WRONG)


@pytest.mark.parametrize(
    "command",
    [
        ["read", "--subject", "Ada"],
        ["recall", "Ada"],
        ["history", "Ada"],
        ["stats"],
        ["forget", "--name", "Ada"],
        ["export", "-"],
        ["ask", "where?", "--model", "local"],
    ],
    ids=lambda command: str(command[0]),
)
def test_a_mistyped_store_is_not_made(run: Run, tmp_path: Path, command: list[str]) -> None:
    assert "there is no memory at typo.db" in told(run(*command, "--store", "typo.db"), STORE)
    assert list(tmp_path.iterdir()) == []


def test_doctor_comes_before_the_first_memory(run: Run, tmp_path: Path) -> None:
    result = run("doctor", "--json")
    assert (result.exit_code, parsed(result)["store"]) == (0, "memllm.db (not there yet)")
    assert list(tmp_path.iterdir()) == []


def test_doctor_makes_anew_what_facts_are_found_by(filled: Run, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "memllm.db")) as connection:
        connection.execute("UPDATE evidence SET words = x''")
        connection.commit()
    told = filled("doctor")
    assert told.exit_code == 3 and "memllm doctor --rebuild-index" in " ".join(told.stdout.split())
    assert "problems: none" in filled("doctor", "--rebuild-index").stdout
    assert filled("doctor").exit_code == 0


def test_a_file_of_another_application(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("not a database at all, but long enough to be looked at" * 40, encoding="utf-8")
    assert "not a memory" in told(run("stats", "--store", "other.db"), STORE)


def test_an_interrupt_is_told(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    filled("export", "facts.jsonl")
    monkeypatch.setattr(Memory, "restore", interrupted)
    assert "stopped" in told(filled("import", "facts.jsonl"), 130)


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    commands = ("remember", "read", "recall", "ask", "history", "forget", "stats", "doctor")
    for command in (*commands, "export", "import", "copy", "load"):
        assert command in result.stdout
        assert run(command, "--help").exit_code == 0
    assert run("nonsense").exit_code == WRONG


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError("x"), WRONG),
        (InvalidTriple("subject", "", "x"), WRONG),
        (StoreUnavailable("x"), STORE),
        (ModelError("x"), MODEL),
        (MissingExtra("x", "local"), MODEL),
        (OperationConflict("x"), CONFLICT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_exit_statuses(error: Any, status: int) -> None:
    assert exit_status(error) == status


# -- whose memory ------------------------------------------------------------------------------------------------------


def test_users_are_listed(run: Run) -> None:
    """bugs friction 2: no command named them."""
    assert told(run("users"), STORE)
    for user in ("kari", "Ada"):
        assert run("write", "user", "likes", "tea", "-u", user).exit_code == 0
    assert run("users").stdout == "Ada\nkari\n"
    assert parsed(run("users", "--json")) == ["Ada", "kari"]
    assert run("forget", "--everything", "-y", "-u", "Ada").exit_code == 0
    assert run("users").stdout == "kari\n"


@pytest.mark.parametrize(
    "command",
    [
        ("read", "--subject", "user"),
        ("recall", "What do I like?"),
        ("history", "user"),
        ("ask", "What do I like?", "--model", "openai:none"),
        ("stats",),
        ("forget", "--everything", "-y"),
        ("export", "backup.jsonl"),
        ("copy", "memllm.db", "other.db"),
    ],
    ids=lambda command: command[0],
)
def test_a_wrong_user_does_not_look_like_an_empty_memory(run: Run, command: tuple[str, ...]) -> None:
    """bugs friction 2, and 3.6: a good backup was replaced by an empty one."""
    run("write", "user", "likes", "tea", "-u", "kari")
    run("write", "user", "likes", "tea", "-u", "bob")
    Path("backup.jsonl").write_text("good")
    assert told(run(*command, "-u", "Kari"), NOTHING) == (
        "memllm: nobody named 'Kari' has a memory here; there is one of kari and 1 more: give --user, "
        "see `memllm users`"
    )
    assert "the local user (nobody was named) has no memory here; there is one of bob, kari" in told(
        run(*command), NOTHING
    )
    assert "has whitespace around it; give 'kari'" in told(run(*command, "-u", "kari "), WRONG)
    assert Path("backup.jsonl").read_text() == "good"


def test_what_the_user_says_and_writes_is_one_person_s(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """bugs 3.20, neighbour: `remember` and `write` for the local user had two principals."""
    monkeypatch.setattr(MemLLMMemory, "remember", lambda self, text, **given: said.append(given) or self.write([]))
    said: list[dict[str, Any]] = []
    assert run("remember", "I like tea.").exit_code == 0
    assert said[0]["source"] is None
