"""Values of a memory in a notebook: a kernel runs the cells, and Chromium shows what they give, as front ends do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright

EVIL = "<img src=x onerror=p(1)><script>p(2)</script>"
SHOW = (  # runs scripts, as front ends do
    "html => document.querySelector('div').replaceChildren(document.createRange().createContextualFragment(html))"
)
CELLS = [
    f"""
from langchain_memllm import MemLLMMemory
memory = MemLLMMemory(":memory:")
receipt = memory.write([("Ada", "likes", {EVIL!r}), ("Ada", "lives in", "Oslo"), ("Ada", "likes")])
receipt
""",
    'memory.read("Ada")',
    'memory.recall("What does Ada like?")',
    "memory.facts()[0]",
    "memory.facts()",
    "memory.stats()",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What each cell gives, by kind of media."""
    folder: Path = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return [next(o["data"] for o in cell.outputs if o["output_type"] == "execute_result") for cell in notebook.cells]


def test_values_have_a_line_and_a_table(outputs: list[dict[str, str]]) -> None:
    """bugs friction 6: the formatter offered text/plain only, of up to 9,355 characters."""
    for output in outputs[:4]:
        assert len(output["text/plain"].splitlines()) == 1
        assert output["text/html"].startswith("<table>")
    assert outputs[0]["text/plain"].startswith("<Receipt 2 stored, 1 rejected (expected three names")
    assert len(outputs[4]["text/plain"].splitlines()) == 2  # a list: a line a fact
    assert outputs[5]["text/plain"].startswith("<Stats 2 facts")


def test_a_table_shows_names_and_runs_nothing(outputs: list[dict[str, str]]) -> None:
    """bugs friction 6: memory is text of strangers; a front end puts the table into its page."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "not run: no Chromium (Debian: apt-get install chromium)"
        )
    with sync_playwright() as playwright:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        chromium = playwright.chromium.launch(executable_path=found, args=flags)
        page = chromium.new_page()
        page.set_content("<title>0</title><script>p = n => document.title += n</script><div></div>")
        for output in outputs[:4]:
            page.evaluate(SHOW, output["text/html"])
            assert EVIL in page.inner_text("div")
            assert page.locator("td").count() > 2
            assert page.locator("img").count() == 0
        page.wait_for_timeout(200)
        assert page.title() == "0"
        page.evaluate(SHOW, EVIL)  # what would have happened
        page.wait_for_function("document.title.includes('1') && document.title.includes('2')")
        chromium.close()
