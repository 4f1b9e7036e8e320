"""The documents run: every Python block and every shell command, their printed output compared.

In a document, a ```python block is run in one session per document; the ```text block right after it is what it
prints. A ```console block holds ``$ command`` lines, each followed by its output; the file of ``$ pytest -q FILE`` is
the Python above it. ``...`` stands for anything, as in doctest: times and ids differ from run to run.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from neo4j_fixture import told_if_there_is_none

from langchain_memllm.stores.server import LocalServer, find_java

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|text|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAID = re.compile(r"\bsaid (\d{4}-\d{2}-\d{2})\b")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
OWN_SERVER = [pytest.mark.neo4j, pytest.mark.xdist_group("own server")]
DOCUMENTS = [
    "README.md",
    "docs/first_hour.md",
    "docs/conversations.md",
    "docs/hub.md",
    "docs/forgetting.md",
    "docs/identity.md",
    "docs/recall.md",
    "docs/gate.md",
    "docs/store.md",
    "docs/what_is_believed.md",
    "docs/write_a_store.md",
    pytest.param("docs/models.md", marks=pytest.mark.model),
    pytest.param("docs/neo4j.md", marks=OWN_SERVER),
]


@dataclass
class Step:
    """A piece of code of a document and what it should print (None: nothing is said)."""

    language: str
    code: str
    expected: str | None


def steps_of(text: str) -> Iterator[Step]:
    blocks = [(match.group(1), match.group(2)) for match in BLOCK.finditer(text)]
    for number, (language, body) in enumerate(blocks):
        following = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
        if language == "python":
            yield Step("python", body, following[1] if following[0] == "text" else None)
        elif language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield Step("console", command, output)


def run_python(code: str, session: dict[str, object]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<document>", "exec"), session)
    return printed.getvalue()


def run_shell(command: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    environment.pop("OPENAI_API_KEY", None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 or not command.startswith("pytest "), done.stdout
    return done.stdout


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The empty folder of somebody who follows a document; a server they started there does not outlive them."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "NEO4J_PASSWORD", "MEMLLM_STORE", "MEMLLM_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MEMLLM_NEO4J_HOME", str(tmp_path / "neo4j"))
    yield tmp_path
    server = LocalServer.attach(tmp_path / "neo4j")
    if server is not None:
        server.stop()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_runs_and_prints_what_it_shows(name: str, reader: Path) -> None:
    steps = [
        step
        for step in steps_of((ROOT / name).read_text(encoding="utf-8"))
        if step.language == "python" or step.code.startswith(("memllm ", "pytest "))  # CI itself runs make and pip
    ]
    assert steps
    session: dict[str, object] = {"__name__": "document"}
    checker = doctest.OutputChecker()
    above = ""
    for step in steps:
        if step.language == "python":
            above += step.code
        elif step.code.startswith("pytest "):
            (reader / step.code.split()[2]).write_text(above, encoding="utf-8")
        got = run_python(step.code, session) if step.language == "python" else run_shell(step.code, reader)
        if step.expected is not None:
            assert checker.check_output(step.expected, got, FLAGS), (
                f"{step.code}\nshould print\n{step.expected}\nprints\n{got}"
            )


NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=OWN_SERVER if "neo4j" in name else []) for name in NOTEBOOKS]
)
def test_notebook_runs_from_the_top_and_prints_what_it_shows(name: str, tmp_path: Path) -> None:
    if "neo4j" in name:
        with told_if_there_is_none():
            find_java()
    saved = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    fresh = nbformat.from_dict(saved)
    days = [datetime.now().astimezone().date().isoformat()]
    NotebookClient(fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    days.append(datetime.now().astimezone().date().isoformat())
    checker = doctest.OutputChecker()
    for old, new in zip(saved.cells, fresh.cells, strict=True):
        if old.cell_type == "code":
            shown = "".join(output.get("text", "") for output in old.outputs)
            printed = "".join(output.get("text", "") for output in new.outputs)
            shown = SAID.sub("said today", shown)  # the notebook was saved on another day
            printed = SAID.sub(lambda said: "said today" if said[1] in days else said[0], printed)
            assert checker.check_output(shown, printed, FLAGS), (
                f"{old.source}\nshould print\n{shown}\nprints\n{printed}"
            )


def test_there_is_a_notebook() -> None:
    assert "01_first_triple.ipynb" in NOTEBOOKS
