"""An application for gunicorn with --preload: the memory is opened, written and read before the workers are forked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from langchain_memllm import MemLLMMemory

memory = MemLLMMemory(os.environ["PRELOADED_STORE"])
memory.write([("parent", "likes", "preloading")])
assert memory.read("parent", "likes").answers == ("preloading",)


def application(environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Write the fact whose number is the path; the answer names the worker and what became of it."""
    name = environ["PATH_INFO"].strip("/")
    status = memory.write([(f"request {name}", "likes", "answers")]).outcomes[0].status
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {status}".encode()]
