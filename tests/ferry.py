"""A memory with a fact and two things that were said, one of them in a scope."""

from __future__ import annotations

from langchain_memllm import MemLLMMemory
from langchain_memllm.stores.episodes import Turn

FERRY = "The ticket code of the ferry is XK-4711."
SECRET = "The ticket code of the ferry is SECRET."


def turn(text: str, scope: str = "", thread: str = "trip") -> Turn:
    return Turn(Turn.named(thread, text), thread, text, "2026-03-05T12:00:00+00:00", scope=scope)


def fill(memory: MemLLMMemory) -> MemLLMMemory:
    memory.write([("user", "likes", "ferry tickets")], user_id="ada")
    memory.hub.keep([turn(FERRY), turn(SECRET, scope="plans")], user_id="ada")
    return memory
