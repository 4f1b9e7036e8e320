"""A process that works off an outbox: ``python flusher.py FILE``; it says how many receipts it got."""

from __future__ import annotations

import sys
import time

from agents import extract

from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.testing import Answer, FakeEmbedder, Request, ScriptedModel


def slowly(request: Request) -> Answer:
    """Extract as a model on a network does, so that two processes meet."""
    time.sleep(0.02)
    return extract(request)


if __name__ == "__main__":
    with MemLLMMemory(sys.argv[1], model=ScriptedModel(script=slowly), embedder=FakeEmbedder()) as memory:
        print("ready", flush=True)
        sys.stdin.readline()
        print(len(memory.flush(user_id="ada")))
