"""The command line of every day: what is stored is shown, files of others stay as they are, any code page will do."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import Run, parsed, told

from langchain_memllm.cli import terminal
from langchain_memllm.cli.terminal import MODEL, NOTHING, WRONG, signs_of_life
from langchain_memllm.door import built
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.testing import ScriptedModel, tool_call
from langchain_memllm.triples import Receipt, Source

TEA = '{"subject": "Ada", "relation": "likes", "object": "tea"}'

# -- what is stored (frictions 1, 13) ----------------------------------------------------------------------------------


def test_list_shows_what_is_stored(filled: Run) -> None:
    """Friction 1: no command showed what is stored."""
    shown = filled("list").stdout
    assert "(Ada, lives in, Bergen)" in shown
    assert "(Ada, likes, tea)" in shown
    assert "Oslo" not in shown
    assert "(Ada, lives in, Oslo)" in filled("list", "--past").stdout
    assert len(parsed(filled("list", "--all", "--json"))) == 3
    assert [fact["object"] for fact in parsed(filled("list", "ada", "--relation", "likes", "--json"))] == ["tea"]
    assert [fact["object"] for fact in parsed(filled("list", "--object", "bergen", "--json"))] == ["Bergen"]
    assert filled("list", "Nobody").exit_code == NOTHING
    assert parsed(filled("list", "--source", "notes.md", "--json")) == []


def test_list_says_that_there_is_more(filled: Run) -> None:
    """Friction 1: nothing is left out in silence."""
    first = filled("list", "--all", "-n", "2")
    assert (first.stdout.count("Ada"), "go on with --offset 2" in first.stderr) == (2, True)
    last = filled("list", "--all", "-n", "2", "--offset", "2")
    assert (last.stdout.count("Ada"), last.stderr) == (1, "")


def test_explain_retract_and_alias(filled: Run) -> None:
    """Friction 13."""
    (tea,) = parsed(filled("history", "Ada", "likes", "--json"))
    told_of = filled("explain", tea["id"]).stdout
    assert told_of.startswith("(Ada, likes, tea)\n  state         current\n")
    assert "source        user local" in told_of
    assert parsed(filled("explain", tea["id"], "--json"))["id"] == tea["id"]
    assert "memllm list" in told(filled("explain", "f" * 32), NOTHING)
    assert filled("retract", "Ada", "likes", "tea").stdout == "retracted   (Ada, likes, tea)\n"
    assert filled("retract", "Ada", "likes", "tea").exit_code == NOTHING
    assert filled("retract", "Ada", "likes", "").exit_code == WRONG
    assert filled("alias", "Ada", "Countess").stdout == "one name: Ada, Countess\n"
    assert "Bergen" in filled("read", "--subject", "Countess", "--relation", "lives in").stdout
    assert parsed(filled("alias", "Ada", "Countess", "--json")) == ["Ada", "Countess"]


def test_declare(run: Run) -> None:
    """Friction 13."""
    declared = run("declare", "reports to", "--alias", "boss", "--cardinality", "one-at-a-time")
    assert declared.stdout == "declared: reports to (one at a time)\n"
    run("write", "Ada", "boss", "Bob")
    assert "[supersedes 1]" in run("write", "Ada", "reports to", "Eve").stdout
    assert "memllm declare --replace" in told(run("declare", "reports to"), WRONG)
    assert run("declare", "reports to", "--replace").exit_code == 0
    assert "use one of many, one, one_at_a_time" in told(run("declare", "x", "--cardinality", "two"), WRONG)


def test_quarantined(filled: Run) -> None:
    """Friction 13."""
    assert filled("quarantined").exit_code == NOTHING
    with MemLLMMemory("memllm.db") as memory:
        memory.core.write([("Ada", "likes", "unknown")], namespace=memory.namespace_of(), by_model=True)
    assert "unknown" in filled("quarantined").stdout
    assert len(parsed(filled("quarantined", "--json"))) == 1


def test_flush_works_off_what_waits(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue B1 and E: `memllm flush`; stats counts what waits."""
    facts = [{"subject": "user", "relation": "lives in", "object": "Rome"}]
    model = ScriptedModel(script=lambda _: tool_call("record_facts", facts=facts))
    monkeypatch.setattr("langchain_memllm.models.chat_model", lambda _: model)
    with MemLLMMemory("memllm.db") as memory:
        for user in (None, "bob"):
            entry = OutboxEntry("m1", "I live in Rome.", source=Source(principal=user or "local"))
            memory.core.put_outbox([entry], namespace=memory.namespace_of(user or "local"))
    assert "outbox               1" in filled("stats").stdout
    assert filled("flush", "-m", "test:model").stdout == "1 message worked off, 1 fact stored\n"
    assert filled("flush", "-m", "test:model").stdout == "0 messages worked off, 0 facts stored\n"
    assert "lives in, Rome" in filled("list").stdout
    assert len(parsed(filled("flush", "--everyone", "-m", "test:model", "--json"))) == 1
    assert "leave --user" in told(filled("flush", "--everyone", "-u", "bob", "-m", "test:model"), WRONG)


@pytest.mark.parametrize("command", [["list"], ["quarantined"], ["retract", "a", "b", "c"], ["alias", "a", "b"]])
def test_a_wrong_user_is_told_by_the_new_commands(run: Run, command: list[str]) -> None:
    """Friction 2, its neighbours."""
    run("write", "user", "likes", "tea", "-u", "kari")
    assert "nobody named 'adda' has a memory here" in told(run(*command, "-u", "adda"), NOTHING)


def test_recall_of_nothing_is_not_an_empty_memory(filled: Run) -> None:
    """Friction 2: "nothing stored", also when facts are stored and none is recalled, and for an empty text."""
    assert "nothing is recalled" in filled("recall", "zzz").stdout
    assert "the text is empty" in told(filled("recall", " "), WRONG)


# -- no Python, no wrong numbers (frictions 11, 12, 19) ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["forget"], "exactly one of --fact, --subject with --relation, --name, --source and --everything"),
        (["forget", "--name", "a", "--source", "b"], "exactly one of --fact"),
        (["forget", "--fact", "zz"], "'zz' is not the id of a fact; ids have 32 hex digits, and the history shows"),
        (["demo", "nothing.txt"], "give a text file, or none for the shipped text"),
    ],
)
def test_the_command_line_does_not_speak_python(filled: Run, command: list[str], words: str) -> None:
    """Friction 11."""
    message = told(filled(*command), WRONG)
    assert words in message
    assert not any(python in message for python in ("=…", "()", "'@'"))


def test_one_thing_is_one_thing(run: Run) -> None:
    """Friction 19: "1 facts written", "1 lines: 1 stored", "3 name"."""
    Path("one.jsonl").write_text(TEA + "\n")
    assert run("load", "one.jsonl").stdout == "1 line: 1 stored\n"
    assert run("export", "out.jsonl").stdout == "1 fact written to out.jsonl\n"
    assert run("import", "out.jsonl", "--store", "b.db").stdout == "1 fact read from out.jsonl\n"
    assert "1 fact, 3 names, 1 operation; the same" in run("copy", "memllm.db", "c.db").stdout
    assert run("forget", "--name", "Ada").stdout == "1 fact, 2 names, 1 source erased\n"


@pytest.mark.parametrize("arguments", [["-h"], ["list", "-h"], ["neo4j", "start", "-h"]])
def test_short_help(run: Run, arguments: list[str]) -> None:
    """Friction 12."""
    assert "Usage: " in run(*arguments).stdout


@pytest.mark.parametrize("module", ["langchain_memllm", "langchain_memllm.cli"])
def test_the_package_is_a_command(module: str) -> None:
    """Friction 12: no `--version`, no `python -m langchain_memllm`."""
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("memllm 0.")


def test_load_describes_its_lines(run: Run) -> None:
    """Friction 7: `load --help` said "see the README", which does not describe the lines."""
    described = run("load", "--help").stdout
    assert all(word in described for word in ("subject", "valid_from", "confidence", "CSV", "JSON array", "predicate"))


# -- no file is destroyed (3.6) ----------------------------------------------------------------------------------------


def test_a_backup_is_not_replaced_by_nothing(run: Run) -> None:
    """bugs 3.6: an export of nobody's memory left 0 bytes of the backup."""
    run("write", "Ada", "likes", "tea", "-u", "ada")
    run("export", "ada.jsonl", "-u", "ada")
    kept = Path("ada.jsonl").read_bytes()
    run("write", "Bob", "likes", "beer", "-u", "bob")
    run("forget", "--name", "Bob", "-u", "bob")
    assert "a memory of: ada" in told(run("export", "ada.jsonl", "-u", "bob"), NOTHING)
    assert run("export", "ada.jsonl", "-u", "adda").exit_code == NOTHING
    assert Path("ada.jsonl").read_bytes() == kept
    run("write", "Ada", "likes", "jam", "-u", "ada")
    assert run("export", "ada.jsonl", "-u", "ada").exit_code == 0
    assert Path("ada.jsonl").read_bytes() != kept


def test_the_input_is_not_the_list_of_rejects(run: Run) -> None:
    """bugs 3.6: `load X --rejects X` deleted X."""
    Path("facts.jsonl").write_text(TEA + "\n")
    for name in ("facts.jsonl", "./facts.jsonl"):
        assert "is the file to load" in told(run("load", "facts.jsonl", "--rejects", name), WRONG)
    os.symlink("facts.jsonl", "link.jsonl")
    assert "is the file to load" in told(run("load", "facts.jsonl", "--rejects", "link.jsonl"), WRONG)
    run("write", "Ada", "likes", "tea")
    assert "is the memory" in told(run("load", "facts.jsonl", "--rejects", "memllm.db"), WRONG)
    assert Path("facts.jsonl").read_text() == TEA + "\n"


def test_a_memory_is_never_written_over(filled: Run) -> None:
    """bugs 3.6: `export memllm.db` replaced the store."""
    os.symlink("memllm.db", "link")
    for target in ("memllm.db", "link"):
        for more in ([], ["--overwrite"]):
            assert "is a memory" in told(filled("export", target, *more), WRONG)
    Path("facts.jsonl").write_text("nonsense\n")
    filled("write", "Ada", "likes", "tea", "--store", "other.db")
    assert "is a memory" in told(filled("load", "facts.jsonl", "--rejects", "other.db", "--overwrite"), WRONG)
    assert filled("stats", "--store", "other.db").exit_code == 0
    assert parsed(filled("stats", "--json"))["facts"] == 2


def test_files_of_others_stay(filled: Run) -> None:
    """bugs 3.6: `export thesis.txt` overwrote any file."""
    Path("thesis.txt").write_text("ten years")
    Path("facts.jsonl").write_text("nonsense\n")
    assert "not an export of memllm" in told(filled("export", "thesis.txt"), WRONG)
    assert "not a list of rejected lines" in told(filled("load", "facts.jsonl", "--rejects", "thesis.txt"), WRONG)
    assert Path("thesis.txt").read_text() == "ten years"
    assert "is a folder" in told(filled("export", "."), WRONG)
    assert "not a regular file" in told(filled("export", "/dev/null"), WRONG)
    assert filled("export", "thesis.txt", "--overwrite").exit_code == 0


def test_a_list_of_rejects_follows_the_last_load(run: Run) -> None:
    """bugs 3.6: the list is replaced whole, and goes away when all lines are good."""
    rejects = Path("facts.jsonl.rejected.jsonl")
    Path("facts.jsonl").write_text("nonsense\n")
    assert run("load", "facts.jsonl").exit_code == WRONG
    assert run("load", "facts.jsonl").exit_code == WRONG
    assert json.loads(rejects.read_text())["line"] == 1
    Path("facts.jsonl").write_text(TEA)
    assert run("load", "facts.jsonl").exit_code == 0
    assert not rejects.exists()


def test_what_fails_in_the_middle_changes_no_file(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """bugs 3.6: a file beside it first, under a name that nobody could plant; then one rename."""
    filled("export", "out.jsonl")
    kept = Path("out.jsonl").read_bytes()
    Path("victim").write_text("precious")
    os.symlink("victim", "out.jsonl.part")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("langchain_memllm.cli.moving.json.dumps", stop)
        assert filled("export", "out.jsonl").exit_code == 130
    assert Path("out.jsonl").read_bytes() == kept
    assert filled("export", "out.jsonl").exit_code == 0
    assert Path("victim").read_text() == "precious"
    assert not list(Path().glob(".out*"))


# -- files as people have them (friction 7) ----------------------------------------------------------------------------

ROWS = [("Ada", "likes", "tea"), ("Bob", "likes", "gin, cold"), ("Eve", "age", "34")]
OBJECTS = [dict(zip(("subject", "relation", "object"), row, strict=True)) for row in ROWS]
FILES = {
    "lines": "\n".join(map(json.dumps, OBJECTS)),
    "lines with BOM": "\ufeff" + "\n".join(map(json.dumps, OBJECTS)),
    "lists": "\n".join(map(json.dumps, ROWS)),
    "array": json.dumps(OBJECTS),
    "array of lists": json.dumps(ROWS, indent=1),
    "pretty array": json.dumps(OBJECTS, indent=2),
    "pretty objects": "\n".join(json.dumps(each, indent=2) for each in OBJECTS),
    "predicate": "\n".join(json.dumps({"subject": s, "predicate": r, "object": o}) for s, r, o in ROWS),
    "head and tail": json.dumps([{"head": s, "type": r, "tail": o} for s, r, o in ROWS]),
    "source and target": json.dumps([{"source": s, "relationship": r, "target": o} for s, r, o in ROWS]),
    "numbers": json.dumps([*OBJECTS[:2], {"subject": "Eve", "relation": "age", "object": 34}]),
    "CSV": 'subject,relation,object\nAda,likes,tea\nBob,likes,"gin, cold"\nEve,age,34\n',
    "CSV of a spreadsheet": (
        "\ufeffSubject;Predicate;Object\r\nAda;likes;tea\r\nBob;likes;gin, cold\r\n\r\nEve;age;34\r\n"
    ),
    "TSV": "head\trelation\ttail\nAda\tlikes\ttea\nBob\tlikes\tgin, cold\nEve\tage\t34\n",
    "CSV with more": (
        "subject,relation,object,confidence,turn,retract,source\n"
        'Ada,likes,tea,0.5,3,false,\nBob,likes,"gin, cold",,,,a.md\nEve,age,34'
    ),
}


@pytest.mark.parametrize("through", ["file", "stdin"])
@pytest.mark.parametrize("form", FILES)
def test_triples_are_loaded_in_any_form(run: Run, form: str, through: str) -> None:
    """Friction 7: CSV, arrays, pretty-printed JSON, JSON with predicate or head and tail were rejected; no `load -`."""
    Path("facts").write_bytes(FILES[form].encode())
    loaded = run("load", "facts") if through == "file" else run("load", "-", input=FILES[form])
    assert loaded.stdout == "3 lines: 3 stored\n", loaded.output
    assert [(f["subject"], f["relation"], f["object"]) for f in parsed(run("list", "--json"))] == ROWS
    again = run("load", "facts") if through == "file" else run("load", "-", input=FILES[form])
    assert "had been delivered before" in again.stdout
    assert not list(Path().glob("*rejected*"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("subject,relation,object,notes\nAda,likes,tea,x\n", "the columns 'notes' mean nothing here"),
        (
            '[{"subject": "Ada", "relation": "likes", "object": "tea"}, {"subject": ',
            "element 2 of the file is not JSON",
        ),
        ("[" * 100_000, "element 1 of the file is not JSON"),
        ('[{"subject": "' + "x" * 400_000, "element 1 of the file is not JSON"),
    ],
)
def test_a_file_that_is_not_what_it_seems(run: Run, content: str, words: str) -> None:
    """Friction 7, redteam R12: one line, not a traceback."""
    Path("facts").write_text(content)
    assert words in told(run("load", "facts"), WRONG)


def test_a_row_that_cannot_be_used_is_told(run: Run) -> None:
    """Friction 7: each with its number and reason; the others are stored."""
    rows = ["subject,relation,object", "Ada,likes,tea", "Bob,likes", "Eve,likes,a,b", "Zoe,likes,gin"]
    Path("facts.csv").write_text("\n".join(rows))
    assert run("load", "facts.csv").stdout == "4 lines: 2 rejected, 2 stored\n"
    told_of = [json.loads(line) for line in Path("facts.csv.rejected.jsonl").read_text().splitlines()]
    assert [each["line"] for each in told_of] == [3, 4]
    assert "object" in told_of[0]["reason"]
    assert told_of[1]["reason"] == "it has 4 cells, and the header 3"


def test_what_came_before_a_broken_element_is_stored(run: Run) -> None:
    """Friction 7."""
    Path("facts").write_text(f"[{TEA}, nonsense]")
    assert run("load", "facts").exit_code == WRONG
    assert len(parsed(run("list", "--json"))) == 1


def test_load_and_import_know_each_others_files(filled: Run) -> None:
    """Friction 7: an export was "6 lines: 6 rejected", a triples file "'type' is missing"."""
    filled("export", "out.jsonl")
    assert "memllm import" in told(filled("load", "out.jsonl"), WRONG)
    Path("array.json").write_text(f"[{TEA}]")
    Path("facts.jsonl").write_text(TEA)
    for name in ("facts.jsonl", "array.json"):
        assert f"use `memllm load {name}`" in told(filled("import", name), WRONG)
    for command in ("load", "import"):
        assert "use `memllm copy memllm.db TO`" in told(filled(command, "memllm.db", "--store", "b.db"), WRONG)


def test_an_export_goes_through_standard_streams(filled: Run) -> None:
    """Friction 7: `export -` worked, `import -` did not; a BOM was refused."""
    exported = filled("export", "-").stdout
    assert filled("import", "-", "--store", "b.db", input=exported).stdout == "3 facts read from standard input\n"
    Path("bom.jsonl").write_text("\ufeff" + exported, encoding="utf-8")
    assert filled("import", "bom.jsonl", "--store", "c.db").stdout == "3 facts read from bom.jsonl\n"
    assert filled("export", "-", "--store", "c.db").stdout == exported


@pytest.mark.parametrize("command", ["load", "import"])
@pytest.mark.parametrize("name", [".", "folder", "missing.jsonl"])
def test_what_is_not_a_file_is_told(run: Run, command: str, name: str) -> None:
    """Friction 7: `load .` was a traceback."""
    Path("folder").mkdir()
    assert name in told(run(command, name), WRONG)


@pytest.mark.parametrize(
    "record",
    [
        {"type": "alias", "namespace": ["a"], "names": []},
        {"type": "alias", "namespace": ["a"], "names": "Ada"},
        {"type": "alias", "namespace": "memllm", "names": ["Ada", "Countess"]},
        {"type": "name", "namespace": "memllm", "kind": "name", "name": "Ada", "rank": 1},
        {"type": ["name"], "namespace": ["a"]},
        {"type": "operation", "namespace": ["a"], "outcomes": 7},
    ],
    ids=lambda record: str(record)[:50],
)
def test_a_record_of_another_shape_is_refused(run: Run, record: dict[str, object]) -> None:
    """redteam R12: a text where a list is meant was taken apart into letters."""
    Path("bad.jsonl").write_text(json.dumps(record))
    assert "record 1" in told(run("import", "bad.jsonl"), WRONG)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 50_000, "\xff\xfe", "7", "null"], ids=lambda c: c[:5])
@pytest.mark.parametrize("command", ["load", "import"])
def test_nested_and_broken_files_are_one_line(run: Run, command: str, content: str) -> None:
    """redteam R12: nested JSON was a traceback."""
    Path("bad").write_bytes(content.encode("latin-1"))
    result = run(command, "bad")
    assert result.exit_code == WRONG
    assert result.exception is None or isinstance(result.exception, SystemExit)


# -- any code page (3.17) ----------------------------------------------------------------------------------------------


def memllm(*arguments: str, given: bytes = b"", folder: Path) -> bytes:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "langchain_memllm", *arguments],
        input=given,
        capture_output=True,
        cwd=folder,
        env=environment,
        check=True,
    )
    assert b"Traceback" not in done.stderr
    return done.stdout


def test_any_code_page_will_do(tmp_path: Path) -> None:
    """bugs 3.17: with cp1252, what Windows uses for pipes, `read` and `export -` broke off with a traceback."""
    memllm("write", "user", "lives in", "東京", folder=tmp_path)
    assert "東京" in memllm("read", "--subject", "user", "--relation", "lives in", folder=tmp_path).decode()
    exported = memllm("export", "-", folder=tmp_path)
    assert "東京" in exported.decode()
    assert b"1 fact read" in memllm("import", "-", "--store", "b.db", given=exported, folder=tmp_path)
    assert "東京" in memllm("list", "--store", "b.db", "--json", folder=tmp_path).decode()
    line = json.dumps({"subject": "user", "relation": "likes", "object": "寿司"}, ensure_ascii=False)
    memllm("load", "-", given=line.encode(), folder=tmp_path)
    memllm("export", "out.jsonl", folder=tmp_path)
    assert "寿司" in (tmp_path / "out.jsonl").read_text(encoding="utf-8")


# -- a model that fails (friction 4) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["remember", "Ada likes tea."], ["ask", "What does Ada like?"]])
def test_a_model_that_fails_says_why_without_its_secrets(
    filled: Run, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Friction 4: the cause was dropped, or the message pointed to a traceback that no command prints."""
    model = ScriptedModel(script=lambda _: ConnectionError("https://me:sk-secret@host refused 'Ada likes tea.'"))
    monkeypatch.setattr("langchain_memllm.models.chat_model", lambda _: model)
    message = told(filled(*command, "-m", "test:model"), MODEL)
    assert "(ConnectionError); check its key, its address and the network, and try again" in message
    assert not any(secret in message for secret in ("sk-secret", "host", "cause above"))


# -- the local model (friction 16) -------------------------------------------------------------------------------------


def test_loading_a_local_model_is_said_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """Friction 16: 32 seconds without a sign of life."""
    loading = logging.getLogger("langchain_memllm.local.weights")
    with signs_of_life():
        loading.info("loading the local model %s; this takes some seconds", "smollm2")
    loading.info("loading once more")
    told_of = capfd.readouterr()
    assert (told_of.out, told_of.err) == ("", "loading the local model smollm2; this takes some seconds\n")
    assert loading.handlers == []


def test_progress_is_said_in_lines_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str], monkeypatch) -> None:
    """Friction 16: also where standard error goes to a file."""
    clock = iter([0.0, 4.0, 11.0, 11.0, 12.0, 25.0, 25.0, 30.0])
    monkeypatch.setattr(terminal, "monotonic", lambda: next(clock))
    with terminal.progress("sentences") as advance:
        for done in (0, 10, 20, 1000):
            advance(done, 1200)
    assert capfd.readouterr().err == "sentences: 10 of 1,200\nsentences: 1,000 of 1,200\n"
    with terminal.progress("sentences", quiet=True) as advance:
        advance(1, 2)
    assert capfd.readouterr().err == ""


def test_sentences_that_gave_nothing_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    """Friction 16: nothing said what was not understood."""
    receipt = Receipt("op", ("memllm", "ada"), 1, "2026-11-29", without_facts=4, such_as=("My [back] hurts.", "Hm."))
    terminal.print_receipt(receipt, as_json=False)
    assert capfd.readouterr().out.splitlines()[1] == "nothing found in 4 sentences: 'My [back] hurts.', 'Hm.', …"
    terminal.print_receipt(receipt, as_json=True)
    assert json.loads(capfd.readouterr().out)["such_as"] == ["My [back] hurts.", "Hm."]


@pytest.mark.parametrize("name", ["local:", "local:much", "local:2", "local:-1"])
def test_a_local_model_is_named_with_a_threshold(name: str) -> None:
    """Issue 19 F: ``local:0.8``; what is no probability is refused before anything is loaded."""
    with pytest.raises(ConfigurationError, match="threshold"):
        built(name)
