"""What people read is plain English: expressions that a native reader stops at stay out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "graph_schema/*.md", "benchmarks/README.md", "langchain_memllm/**/*.py")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
# What is wrong, and what to write.
WORDS = {
    r"\bby heart\b": "memorise",
    r"\bhalf width\b": "half precision",
    r"\b(brings?|brought) to mind\b": "recalls",
    r"(?<![tT]here )\b(is|are|was|were) no (?!longer|more|less|better|worse|other|need|room\b|such)": "is not a",
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_expression_of_the_list_is_left(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()} (write: {better})"
        for wrong, better in WORDS.items()
        for number, line in enumerate(lines, 1)
        if re.search(wrong, line)
    ]
    assert not found, "\n".join(found)
