"""An application for gunicorn with --preload, and its configuration: the memory is open before the workers are forked.

The parent writes before each fork, those of workers that replace others included, and closes the memory at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from langchain_memllm import MemLLMMemory

memory = MemLLMMemory(os.environ["PRELOADED_STORE"])
memory.write([("parent", "likes", "preloading")])
assert memory.read("parent", "likes").answers == ("preloading",)


def pre_fork(arbiter: object, worker: Any) -> None:
    """The parent writes, and forks at once."""
    memory.write([("parent", "has forked", f"worker {worker.age}")])


def on_exit(arbiter: object) -> None:
    """The parent closes, and exits."""
    memory.close()


def application(environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Write the fact whose number is the path; the answer names the worker and what became of it."""
    name = environ["PATH_INFO"].strip("/")
    status = memory.write([(f"request {name}", "likes", "answers")]).outcomes[0].status
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {status}".encode()]
