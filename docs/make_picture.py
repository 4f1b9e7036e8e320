"""Makes ``docs/demo.svg``: what ``memllm demo`` prints on its shipped text with the local model, as it is.

python docs/make_picture.py
"""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from langchain_memllm.demo import Demo, shipped_questions, shipped_text
from langchain_memllm.local import MemLLMModel
from langchain_memllm.memory import Memory

FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    """Run the demonstration on the last article and save the screen."""
    console = Console(record=True, width=110, highlight=False)
    article = shipped_text().strip().rpartition("\n\n")[2]
    Demo(Memory(":memory:"), MemLLMModel.smollm2(adapters=True), console).run(
        article, shipped_questions()[3:], "an article of Wikipedia"
    )
    svg = console.export_svg(title="memllm demo")
    picture = FONT.sub("", svg)  # fonts of the reader's machine; nothing is fetched
    Path(__file__).with_name("demo.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
