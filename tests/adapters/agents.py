"""A small agent for the tests of the doors: it says what it knows, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_memllm.errors import StoreUnavailable
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.render import parse_block
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.testing import Answer, FakeEmbedder, Request, ScriptedModel, tool_call

MOVED = re.compile(r"I (?:live in|moved to) (\w+)")


def extract(request: Request) -> Answer:
    """The facts of "I live in Oslo"."""
    text = request.text.rsplit("Text:", 1)[-1]
    facts = [{"subject": "user", "relation": "lives in", "object": place} for place in MOVED.findall(text)]
    return tool_call("record_facts", facts=facts)


def answer(request: Request) -> Answer:
    """Where the user lives, by the block of recalled facts; it looks at a map first if it was asked to."""
    asked = next(m for m in reversed(request.messages) if isinstance(m, HumanMessage))
    if "map" in str(asked.text) and not isinstance(request.messages[-1], ToolMessage):
        return tool_call("look_at_map")
    known = [triple.object for triple in parse_block(str(asked.text))]
    return f"You live in {known[0]}." if known else "I do not know where you live."


def extracting() -> ScriptedModel:
    """The model that extracts."""
    return ScriptedModel(script=extract)


def answering() -> ScriptedModel:
    """The model of the agent."""
    return ScriptedModel(script=answer)


def look_at_map() -> str:
    """Look at the map."""
    return "a map"


def memory_of(model: Any = None, **options: Any) -> MemLLMMemory:
    """A memory in RAM."""
    model = extracting() if model is None else model
    return MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder(), **options)


def agent_of(memory: MemLLMMemory, model: ScriptedModel | None = None, **options: Any) -> Any:
    """An agent with this memory as its only middleware, and a map."""
    middleware = options.pop("middleware", None) or [memory.middleware()]
    return create_agent(model or answering(), [look_at_map], middleware=middleware, **options)


def run_of(user: str | None, thread: str | None = None) -> dict[str, Any]:
    """The config of a run."""
    named = {"user_id": user, "thread_id": thread}
    return {"configurable": {key: value for key, value in named.items() if value is not None}}


def said(state: dict[str, Any]) -> str:
    """The last answer."""
    message = state["messages"][-1]
    assert isinstance(message, AIMessage)
    return str(message.text)


def asked(text: str) -> dict[str, Any]:
    """The input of a run."""
    return {"messages": [HumanMessage(text)]}


def statuses(memory: MemLLMMemory, user: str) -> Sequence[tuple[str, str]]:
    """What is known of a user: object and state, in commit order."""
    return [(fact.triple.object, fact.state) for fact in memory.history("user", user_id=user)]


class StoreThatGoes:
    """A store in RAM that goes away when ``down`` is set, as a server does."""

    def __init__(self) -> None:
        """A store that is there."""
        self.down = False
        self._store = EmbeddedStore(":memory:")

    def __getattr__(self, name: str) -> Any:
        """What the store has, and what it raises when it is away."""
        found = getattr(self._store, name)
        if self.down and callable(found) and name != "close":
            raise StoreUnavailable("the store test://away does not answer; start it")
        return found
