"""``memllm eval`` from end to end on a tiny random model, and the arithmetic behind it by hand."""

from __future__ import annotations

import gzip
import json
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_model import tiny
from training.documents_fixture import CURIE
from typer.testing import CliRunner

from langchain_memllm.cli import app
from langchain_memllm.training.evaluate import Report, differences
from langchain_memllm.training.perplexity import CONDITIONS


def memllm(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A base model, documents, edits of both kinds."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "docs.json.gz").write_bytes(gzip.compress(json.dumps([CURIE, {**CURIE, "title": "Again"}]).encode()))
    model = tiny()
    model.model.save_pretrained(folder / "base")
    model.tokenizer.save_pretrained(folder / "base")
    return folder


def evaluated(folder: Path, what: str, *more: str | Path) -> Report:
    """The report of an evaluation by the command, which was run again from its file and came out the same."""
    file = folder / f"{what}.json"
    base = ("--base", folder / "base", "--device", "cpu")
    done = memllm("eval", what, *base, "--json-out", file, *more)
    assert done.exit_code == 0, done.output
    assert "cases in" in done.output
    again = memllm("eval", "recheck", file, *base, "--write", "none", "--read", "none", "--share", "0.5")
    assert again.exit_code == 0, again.output
    assert "0 differences" in again.output
    return Report.load(file)


def test_extract(folder):
    made = evaluated(
        folder, "extract", "--write", "none", "--redocred", folder / "docs.json.gz", "--articles", 1, "--limit", 4
    )
    parts = {case["part"] for case in made.cases}
    assert parts == {"redocred", "seen", "unseen"}
    figures = {figure.name: figure for figure in made.figures}
    assert figures["redocred well-formed, constrained"].value == 1.0
    assert figures["redocred F1, exact"].count == sum(
        made.results[case["id"]]["exact"][2] for case in made.cases if case["part"] == "redocred"
    )
    assert sum(count for *_, count in made.details["confusion"]) == sum(len(case["gold"]) for case in made.cases)


ZSRE = [
    {
        "subject": subject,
        "prompt": f"Where was {subject} born?",
        "target_new": place,
        "rephrase_prompt": f"The birthplace of {subject} is?",
        "locality": {"Relation_Specificity": [{"prompt": f"The spouse of {subject} is", "ground_truth": ["Bo"]}]},
    }
    for subject, place in (("Ada", "Oslo"), ("Bo", "Rome"))
]
COUNTERFACT = [
    {
        "subject": record["subject"],
        "prompt": f"{record['subject']} was born in",
        "target_new": record["target_new"],
        "rephrase_prompt": f"The birthplace of {record['subject']} is",
        "locality_prompt": "John Lennon performs on the",
        "locality_ground_truth": "guitar",
    }
    for record in ZSRE
]


@pytest.fixture(scope="module")
def edits(folder) -> tuple[str | Path, ...]:
    for name, records in (("zsre", ZSRE), ("counterfact", COUNTERFACT)):
        (folder / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(records).encode()))
    return ("--zsre", folder / "zsre.json.gz", "--counterfact", folder / "counterfact.json.gz")


def test_edit(folder, edits):
    made = evaluated(folder, "edit", "--write", "none", "--read", "none", *edits, "--marks", 1, "--text-tokens", 4)
    assert [case["id"] for case in made.cases] == ["zsre/0", "zsre/1", "counterfact/0", "counterfact/1"]
    assert made.cases[0]["sentence"] == 'Where was Ada born? It is or they are "Oslo"'
    assert made.cases[2]["sentence"] == "Ada was born in Oslo."
    assert sum("again" in case for case in made.cases) == sum("forgotten" in case for case in made.cases) == 2
    figures = {figure.name: figure.count for figure in made.figures}
    assert figures["zsre average"] == figures["counterfact locality forced"] == 2
    assert figures["zsre again"] == figures["zsre forgotten"] == 1
    lost = sum(count for *_, count in made.details["errors"])
    assert lost == sum(not result["reliability"]["right"] for result in made.results.values())
    assert all(result["written"] for result in made.results.values() if result["error"] != "never written")


def test_ppl(folder):
    documents = ("--redocred", folder / "docs.json.gz")
    made = evaluated(folder, "ppl", "--write", "none", "--read", "none", *documents)
    figures = {figure.name: figure for figure in made.figures}
    assert figures["overall off"].value == pytest.approx(figures["overall base"].value)  # there are no adapters
    assert figures["targets off / base"].value == pytest.approx(1.0)
    assert figures["targets off"].count == 6
    assert "overall control" not in figures
    for condition in ("empty", "own", "gold", "shuffled", "position/gold", "query/own", "text", "search"):
        assert figures[f"entities {condition}"].value > 1
    written = folder / "writes.jsonl"
    lines = [{"kind": "write", "source": "Curie", "sentences": ["Ada."], "triples": [[["Ada Curie", "spouse", "Bo"]]]}]
    written.write_text(
        "".join(json.dumps({**line, "source": title}) + "\n" for line in lines for title in ("Curie", "Again"))
    )
    given = evaluated(
        folder, "ppl", "--read", "none", *documents, "--writes", written, "--condition", "own", "--condition", "off"
    )
    assert given.results["Curie"]["written"] == [["Ada Curie", "spouse", "Bo"]]
    assert list(given.results["Curie"]["overall"]) == ["off", "own"]


def test_conditions_that_are_measured_later_join_a_report(folder):
    documents = ("--write", "none", "--read", "none", "--redocred", folder / "docs.json.gz")
    names = ("off", "empty", "own", "base", "text")
    wanted = {name: ("--condition", name) for name in names}
    whole = evaluated(folder, "ppl", *documents, *(word for name in names for word in wanted[name]))
    early = (word for name in ("off", "text", "empty", "own") for word in wanted[name])
    first = evaluated(folder, "ppl", *documents, *early)
    assert first.results["Curie"]["written"]
    first.results["Curie"]["overall"]["text"] = -1.0  # what is measured again takes its place
    first.save(folder / "first.json")
    made = evaluated(folder, "ppl", *documents, *wanted["base"], *wanted["text"], "--into", folder / "first.json")
    assert made.results == whole.results
    assert list(made.results["Curie"]["overall"]) == list(names)
    assert made.figures == whole.figures
    assert made.choices["conditions"] == list(names)
    assert made.about["command"].count("; ") == 1
    again = evaluated(folder, "ppl", *documents, "--into", folder / "first.json")  # of all; but there is no control
    assert list(again.results["Curie"]["overall"]) == [name for name in CONDITIONS if name != "control"]
    for result in first.results.values():
        for view in ("overall", "targets", "entities"):
            result[view]["control"] = result[view]["off"]
    first.save(folder / "first.json")
    again = memllm(
        *("eval", "ppl", "--base", folder / "base", *documents, "--into", folder / "first.json"),
        *("--json-out", folder / "again.json", *wanted["off"], *("--condition", "control")),
    )
    assert again.exit_code == 0, again.output
    kept = Report.load(folder / "again.json").results["Curie"]["overall"]  # what was not measured stays
    assert kept["control"] == kept["off"]
    for more, says in ((("--limit", 1), "differ in cases"), (("--opening", 0.5), "differ in opening")):
        done = memllm("eval", "ppl", "--base", folder / "base", *documents, *more, "--into", folder / "first.json")
        assert done.exit_code == 2
        assert says in " ".join(done.output.split())


def test_calls(folder):
    made = evaluated(folder, "calls", "--read", "none", "--redocred", folder / "docs.json.gz")
    figures = {figure.name: figure for figure in made.figures}
    assert figures["places recall"].count == 6
    assert figures["query right, placed"].count == 6
    opened = sum(len(result["free"]) for result in made.results.values())
    assert opened >= figures["places precision"].count


def test_a_report_that_changed_is_told_item_by_item(folder):
    made = evaluated(folder, "extract", "--write", "none", "--articles", 1, "--limit", 2, "--free", 0)
    for result in made.results.values():
        result["exact"] = [9, 9, 9]
    made.save(folder / "changed.json")
    done = memllm(
        "eval", "recheck", folder / "changed.json", "--base", folder / "base", "--write", "none", "--read", "none"
    )
    assert done.exit_code == 1
    assert ".exact[0]: 9 became" in done.output


@pytest.mark.parametrize("what", ["edit", "ppl"])
def test_stopped_it_goes_on_from_what_is_known(folder, edits, what, monkeypatch):
    """Ctrl-C, then a kill within a line: the same command asks only for what is missing, and comes to the same."""
    of = {
        "edit": (*edits, "--marks", 1, "--text-tokens", 4),
        "ppl": ("--redocred", folder / "docs.json.gz", *("--condition", "own", "--condition", "off")),
    }[what]
    module = import_module(f"langchain_memllm.training.{'editing' if what == 'edit' else 'perplexity'}")
    command = ("eval", what, "--base", folder / "base", "--device", "cpu", "--write", "none", "--read", "none", *of)
    file, part = folder / f"{what}-stopped.json", folder / f"{what}-stopped.json.part"
    assert memllm(*command, "--batch-size", 1, "--json-out", folder / "whole.json").exit_code == 0
    whole = Report.load(folder / "whole.json")
    run, asked = module.run, []

    def once(model, cases, choices, **more):
        if asked:
            raise KeyboardInterrupt
        asked.extend(case["id"] for case in cases)
        return run(model, cases, choices, **more)

    monkeypatch.setattr(module, "PORTION", 1)
    monkeypatch.setattr(module, "run", once)
    stopped = memllm(*command, "--batch-size", 1, "--json-out", file)
    assert stopped.exit_code == 130
    assert f"goes on from {part}" in "".join(stopped.output.split("\n"))
    assert not file.exists()

    def rest(model, cases, choices, **more):
        asked.extend(case["id"] for case in cases)
        return run(model, cases, choices, **more)

    monkeypatch.setattr(module, "run", rest)
    monkeypatch.setattr(module, "write", None)  # all is written
    other = memllm(*command, "--batch-size", 1, "--json-out", file, "--seed", 1)
    assert other.exit_code == 2
    assert "differs in choices" in " ".join(other.output.split())
    with part.open("a") as journal:
        journal.write('{"step": "run", "resul')
    done = memllm(*command, "--batch-size", 1, "--json-out", file)
    assert done.exit_code == 0, done.output
    assert asked == [case["id"] for case in whole.cases]
    assert not part.exists()
    made = Report.load(file)
    assert made.results == whole.results
    assert made.figures == whole.figures
    for content in ("something else\n", "something else", ""):
        part.write_text(content)
        done = memllm(*command, "--batch-size", 1, "--json-out", file)
        assert done.exit_code == 2
        assert "holds no results of an evaluation" in " ".join(done.output.split())
        assert part.read_text() == content  # what is not ours is left alone


def test_results_that_cannot_be_kept_are_told(folder):
    """Before anything is measured: the folder of the report is a file."""
    (folder / "file").write_text("")
    more = ("--write", "none", "--articles", 1, "--limit", 1, "--free", 0, "--json-out", folder / "file" / "r.json")
    done = memllm("eval", "extract", "--base", folder / "base", *more)
    assert done.exit_code == 4
    assert "results cannot be written to" in " ".join(done.output.split())


def test_differences_by_hand():
    assert differences({"a": 1.0, "b": [1, "x"]}, {"a": 1.0005, "b": [1, "x"]}, 1e-3) == []
    assert differences({"a": 1.0}, {"a": 1.1}, 1e-3) == [".a: 1.0 became 1.1"]
    assert differences({"a": [1, 2]}, {"a": [1]}, 1e-3) == [".a: [1, 2] became [1]"]
    assert differences({"a": 1, "b": 2}, {"a": 1}, 1e-3) == []  # a model was not given the second time
    assert differences({}, {"a": 1}, 1e-3) == [".a was not there"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["extract", "--write", "none", "--articles", "0"], 2, "nothing to evaluate"),
        (["extract", "--write", "nowhere"], 4, "is not a folder"),
        (["extract"], 4, "load that base, or train the adapter for this one"),
        (["extract", "--write", "none", "--redocred", "nowhere"], 2, "cannot be read as JSON"),
        (["ppl", "--read", "none"], 2, "no documents were given"),
        (["ppl", "--redocred", "DOCS", "--condition", "nothing"], 2, "there is no condition 'nothing'"),
        (["ppl", "--redocred", "DOCS", "--read", "none", "--writes", "nowhere"], 2, "cannot be read"),
        (["calls", "--redocred", "DOCS", "--read", "none", "--data", "nowhere"], 2, "cannot be read as JSON"),
        (["edit"], 2, "no edits were given"),
        (["edit", "--zsre", "DOCS"], 2, "is not in the form of zsre edits"),
        (["edit", "--zsre", "ZSRE", "--thresholds", "some"], 2, "thresholds 'some' are unknown"),
        (["edit", "--zsre", "ZSRE", "--form", "Q:"], 2, "has no place for the prompt"),
        (["recheck", "nowhere"], 2, "is not a report of an evaluation"),
    ],
)
def test_mistakes_are_one_line(folder, edits, arguments, status, says):
    files = {"DOCS": folder / "docs.json.gz", "ZSRE": edits[1]}
    done = memllm("eval", *(files.get(part, part) for part in arguments), "--base", folder / "base")
    assert done.exit_code == status, done.output
    assert says in " ".join(done.output.split())
