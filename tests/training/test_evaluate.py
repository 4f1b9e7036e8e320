"""``memllm eval`` from end to end on a tiny random model, and the arithmetic behind it by hand."""

from __future__ import annotations

import gzip
import json
import math
import random
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_model import tiny
from training.documents_fixture import CURIE
from typer.testing import CliRunner

from langchain_memllm.cli import app
from langchain_memllm.local.confidence import Confidence
from langchain_memllm.local.manifest import read_manifest, sha256, write_manifest
from langchain_memllm.training.calibration import fit
from langchain_memllm.training.evaluate import Report, differences
from langchain_memllm.training.extracting import counts, rated
from langchain_memllm.training.perplexity import CONDITIONS, sure


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
        len({tuple(triple) for triple in case["gold"]}) for case in made.cases if case["part"] == "redocred"
    )
    assert sum(count for *_, count in made.details["confusion"]) == sum(len(case["gold"]) for case in made.cases)


def test_extract_at_a_threshold_with_what_people_say(folder, tmp_path):
    """Issue 19 F: the figures of a threshold, and the curve of all, come from one writing; spoken sentences beside."""
    sentences = tmp_path / "everyday.jsonl"
    row = {"sentence": "I live in Oslo.", "context": [], "gold": [["user", "lives in", "Oslo"]]}
    lines = [json.dumps({"part": part, **row}) for part in ("tuned", "unseen")]
    sentences.write_text("\n".join(lines) + "\n")
    options = ("--write", "none", "--articles", 1, "--limit", 6, "--everyday", sentences)
    every = evaluated(folder, "extract", *options)
    assert [case["id"] for case in every.cases if case.get("spoken")] == ["everyday/0", "everyday/1"]
    written = [len(result["confidences"]) for result in every.results.values()]
    assert sum(written) > 0
    assert written == [len(result["written"]) for result in every.results.values()]
    curve = {(part, threshold): rest for part, threshold, *rest in every.details["curve"]}
    sure = evaluated(folder, "extract", *options, "--threshold", 0.3)
    assert sure.results == every.results
    for made, threshold in ((every, 0.0), (sure, 0.3)):
        for figure in made.figures:
            part, _, what = figure.name.rpartition(", ")[0].rpartition(" ")
            if figure.name.endswith("exact") and what == "precision":
                value = None if figure.value is None else round(figure.value, 3)
                assert value == curve[part, threshold][0]
    sentences.write_text('{"part": "tuned"}\n')
    broken = memllm("eval", "extract", "--base", folder / "base", *options)
    assert broken.exit_code == 2
    assert "cannot be read as sentences" in " ".join(broken.output.split())


def test_what_is_sure_of_a_case_by_hand():
    case = {"gold": [["Ada", "born in", "Oslo"], ["Ada", "likes", "tea"]], "names": []}
    result = {
        "written": [["ADA", "born in", "Oslo"], ["Ada", "likes", "jam"], ["Ada", "likes", "tea"]],
        "confidences": [0.9, 0.5, 0.2],
        "logprobs": [-0.1, -0.7, -1.6],
    }
    assert [counts(case, result, threshold) for threshold in (0, 0.5, 0.6, 0.95)] == [
        [2, 3, 2],
        [1, 2, 2],
        [1, 1, 2],
        [0, 0, 2],
    ]
    assert rated(case, result) == [(-0.1, True), (-0.7, False), (-1.6, True)]


def test_a_confidence_is_fitted_and_kept_with_the_adapter(tmp_path):
    """Issue 19 F: two numbers in the manifest; the line is the one that the triples were drawn from."""
    draw = random.Random(3)
    logprobs = [-draw.expovariate(0.5) for _ in range(4_000)]
    right = [draw.random() < 1 / (1 + math.exp(-(1.0 + 0.8 * each))) for each in logprobs]
    intercept, slope = fit(logprobs, right)
    assert (intercept, slope) == (pytest.approx(1.0, abs=0.15), pytest.approx(0.8, abs=0.08))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    write_manifest(adapter, {"role": "write", "spaced": False})
    names = [["a", "r", str(number)] for number in range(40)]
    case = {"id": "x", "part": "seen", "gold": names[:20]}
    result = {"written": names, "logprobs": [*([-0.1] * 15), *([-2.0] * 10), *([-4.0] * 15)]}
    about = {"write": {"sha256": sha256(adapter / "adapter_model.safetensors")}}
    report = Report("extract", {}, (), [case], {"x": result}, about)
    report.save(tmp_path / "report.json")
    command = ("train", "calibrate", adapter, "--report", tmp_path / "report.json", "--threshold", 0.5)
    done = memllm(*command)
    assert done.exit_code == 0, done.output
    kept = Confidence.of_manifest(manifest := read_manifest(adapter))
    assert (manifest["role"], manifest["spaced"], kept.threshold) == ("write", False, 0.5)
    assert kept.of(-0.1) > 0.9 > kept.of(-2.0) > 0.1 > kept.of(-4.0)
    assert kept.fitted == "20 right of 40 triples of 1 sentences, seen"
    few = memllm(*command, "--part", "unseen")
    assert (few.exit_code, "fits nothing" in few.output) == (2, True)
    (adapter / "adapter_model.safetensors").write_bytes(b"others")
    other = memllm(*command)
    assert (other.exit_code, "not of what" in " ".join(other.output.split())) == (2, True)


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


def test_ppl_of_what_the_writer_is_sure_of(folder):
    """Issue 19 F: own writes at several thresholds, of one writing; at 1 a random model wrote nothing."""
    documents = ("--write", "none", "--read", "none", "--redocred", folder / "docs.json.gz")
    names = ("off", "own", "own@0.1", "own@1", "empty")
    made = evaluated(folder, "ppl", *documents, *(word for name in names for word in ("--condition", name)))
    result = made.results["Curie"]
    assert list(result["overall"]) == ["off", "empty", "own", "own@0.1", "own@1"]
    assert len(result["confidences"]) == len(result["written"]) > 0
    assert result["overall"]["own@1"] == result["overall"]["empty"]
    assert {"targets own@0.1 / off", "overall own@1 / off"} <= {figure.name for figure in made.figures}
    for wrong in ("own@2", "own@", "own@much", "gold@1"):
        done = memllm("eval", "ppl", "--base", folder / "base", *documents, "--condition", wrong)
        assert (done.exit_code, f"no condition '{wrong}'" in " ".join(done.output.split())) == (2, True)


def test_what_a_memory_of_own_writes_holds_by_hand():
    born = [["Ada", "place of birth", place] for place in ("Oslo", "Rome", "Kiel")]
    written = {"written": [*born, ["Ada", "award received", "Prize"]], "confidences": [0.5, 0.7, 0.1, 0.6]}
    assert [list(each) for each in sure(written, 0)] == written["written"]
    assert [each.object for each in sure(written, 0.2)] == ["Rome", "Prize"]
    assert sure(written, 0.9) == sure({}, 0.5) == []


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
        result["cut_off"] = 9
    made.save(folder / "changed.json")
    done = memllm(
        "eval", "recheck", folder / "changed.json", "--base", folder / "base", "--write", "none", "--read", "none"
    )
    assert done.exit_code == 1
    assert ".cut_off: 9 became" in done.output


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
