"""The application that ``langgraph dev`` serves in the tests: an agent with every door to one memory, and the machine.

Its models say what they were shown, so a test sees what a run could read. Opened at import, as the docs advise.
"""

from __future__ import annotations

import re
from typing import Any

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import create_retriever_tool

from langchain_memllm import MemLLMMemory
from langchain_memllm.testing import FakeEmbedder, Request, ScriptedModel, tool_call


def answer(request: Request) -> Any:
    """Extract what is stated; call the tool that is asked for as "use TOOL"; else say what was shown."""
    if "record_facts" in request.tools:
        places = re.findall(r"I live in (\w+)", request.text.rsplit("Text:", 1)[-1])
        facts = [{"subject": "user", "relation": "lives in", "object": place} for place in places]
        return tool_call("record_facts", facts=facts)
    last = request.messages[-1]
    if isinstance(last, ToolMessage):
        return f"shown: {last.text}"
    text = str(next(m for m in reversed(request.messages) if isinstance(m, HumanMessage)).text)
    if wanted := re.search(r"use (\w+)", text):
        name = wanted[1]
        if name == "remember":
            return tool_call(name, facts=[{"subject": "user", "relation": "lives in", "object": "Hell"}])
        if name == "memory_read":
            return tool_call(name, queries=[{"subject": "user", "relation": "lives in"}])
        return tool_call(name, query="Where does the user live? I?")
    return f"shown: {text}"


model = ScriptedModel(script=answer)
memory = MemLLMMemory("memllm.db", model=model, embedder=FakeEmbedder())


@tool
def look(query: str) -> str:
    """Look something up by the facade's verbs, which name nobody."""
    return str(memory.read("user", "lives in").answers)


@tool
async def alook(query: str) -> str:
    """As ``look``, awaited."""
    return str((await memory.aread("user", "lives in")).answers)


facts = create_retriever_tool(memory.retriever(), "facts", "Facts.")
agent = create_agent(model, [look, alook, facts, *memory.tools()], middleware=[memory.middleware()])
machine = memory.build_graph(model, recall=8)
