"""The commands of ``docs/models.md`` for a model of one's own, with a tiny random one."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path
from string import Template

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_model import tiny
from training.documents_fixture import CURIE
from typer.testing import CliRunner

from langchain_memllm.cli import app
from langchain_memllm.training.evaluate import Report

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
COMMANDS = re.search(r"## A model of your own\n.*?```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
SMALLER = {
    "data": ["--articles", "2"],
    "train": ["--steps", "1", "--window", "512"],
    "extract": ["--articles", "1", "--limit", "2"],
    "ppl": ["--limit", "1"],
    "edit": ["--limit", "1"],
    "calls": ["--limit", "1"],
}
EDIT = {
    "prompt": "Where was Ada born?",
    "subject": "Ada",
    "target_new": "Rome",
    "rephrase_prompt": "What is Ada's birthplace?",
    "locality": {"Relation_Specificity": [{"prompt": "Who is Bo?", "ground_truth": ["a man"]}]},
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The variables of the commands."""
    for name in ("train", "dev"):
        documents = [{**CURIE, "title": f"{name} {number}"} for number in range(2)]
        (tmp_path / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(documents).encode()))
    (tmp_path / "zsre.json").write_text(json.dumps([EDIT]))
    model = tiny()
    model.model.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    return {
        "BASE": f"{tmp_path}/base",
        "DATA": f"{tmp_path}/data",
        "OUT": f"{tmp_path}/out",
        "TRAIN": f"{tmp_path}/train.json.gz",
        "DEV": f"{tmp_path}/dev.json.gz",
        "ZSRE": f"{tmp_path}/zsre.json",
    }


@pytest.mark.slow
def test_the_commands_for_a_model_of_ones_own_run(files: dict[str, str]) -> None:
    assert COMMANDS is not None
    lines = COMMANDS.group(1).strip().splitlines()
    assert len(lines) == 8
    for line in lines:
        program, *arguments = shlex.split(Template(line).substitute(files))
        assert program == "memllm"
        smaller = SMALLER[arguments[1] if arguments[0] == "eval" else arguments[0]]
        done = CliRunner().invoke(app, [*arguments, *smaller])
        assert done.exit_code == 0, f"{line}\n{done.output}"
    for name in ("extract", "ppl", "edit", "calls"):
        assert Report.load(Path(files["OUT"], f"{name}.json")).results
