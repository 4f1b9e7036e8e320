"""What a turn with memory costs: model calls of agents and of the machine, milliseconds of memory, time to import.

    python -m benchmarks.bench_turn [--turns 100] [--starts 7] [--results benchmarks/results]

Models are scripted, so the milliseconds are those of the memory and of LangGraph, not of a model. Importing is measured
in fresh processes, with langchain and langgraph imported before the clock starts; the least of several is reported, as
everything else on the machine only adds to it. The kinds of turns take turns, the agent without memory among them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from benchmarks.measure import machine, percentile, report
from langchain_memllm import MemLLMMemory
from langchain_memllm.testing import Answer, Request, ScriptedModel, tool_call

START = """
import sys, time
import langchain, langgraph
{before}
start = time.perf_counter()
{statement}
taken = time.perf_counter() - start
import json
heavy = [name for name in ("torch", "transformers", "peft", "openai", "neo4j") if name in sys.modules]
print(json.dumps([taken, heavy]))
"""
SLOW = 0.3  # seconds that a call of a hosted model takes
STARTS = {
    "import and construct": ("", "from langchain_memllm import MemLLMMemory; MemLLMMemory(':memory:')"),
    "and write, read, recall": (
        "",
        "from langchain_memllm import MemLLMMemory; m = MemLLMMemory(':memory:'); "
        "m.write([('Ada', 'lives in', 'Oslo')]); m.read('Ada', 'lives in'); m.recall('Where does Ada live?')",
    ),
    "and middleware": (
        "from langchain.agents import create_agent",
        "from langchain_memllm import MemLLMMemory; MemLLMMemory(':memory:').middleware('read')",
    ),
}


def extract(request: Request) -> Answer:
    """One new fact a turn."""
    number = request.text.rsplit("turn ", 1)[-1].partition(".")[0]
    return tool_call("record_facts", facts=[{"subject": "user", "relation": "likes", "object": f"tea {number}"}])


def answer(request: Request) -> Answer:
    """One tool call, then an answer: two steps a turn."""
    return "I see." if request.messages[-1].type == "tool" else tool_call("look")


def look() -> str:
    """Look."""
    return "a map"


def slowly(script: Callable[[Request], Answer], seconds: float) -> Callable[[Request], Answer]:
    """The same script by a model that takes its time."""

    def answering(request: Request) -> Answer:
        time.sleep(seconds)
        return script(request)

    return answering


class Kind:
    """An agent of one kind with a memory of its own, and what its turns took.

    Args:
        name: What it is.
        make: Makes it from a memory and a model that answers.
        seconds: What each call of a model takes.
    """

    def __init__(self, name: str, make: Callable[[MemLLMMemory, ScriptedModel], Any], seconds: float = 0.0) -> None:
        """Fill the memory and build the agent."""
        self.name = name
        self.extractor, self.model = (ScriptedModel(script=slowly(each, seconds)) for each in (extract, answer))
        memory = MemLLMMemory(":memory:", model=self.extractor)
        memory.write(
            [("user", "lives in", "Oslo"), *(("user", "likes", f"food {n}") for n in range(50))], user_id="ada"
        )
        self.agent = make(memory, self.model)
        self.taken: list[float] = []

    def turn(self, number: int) -> None:
        """One turn; threads have ten."""
        run = {"configurable": {"user_id": "ada", "thread_id": str(number // 10)}}
        start = time.perf_counter()
        self.agent.invoke({"messages": [HumanMessage(f"I like tea, turn {number}. Where do I live?")]}, run)
        self.taken.append((time.perf_counter() - start) * 1e3)

    def reset(self) -> None:
        """Forget what the turns before were."""
        self.taken.clear()
        self.extractor.requests.clear()
        self.model.requests.clear()

    def row(self) -> dict[str, Any]:
        """Calls of each model a turn, and milliseconds."""
        count, asked = len(self.taken), self.model.requests
        return {
            "turn of": self.name,
            "calls to write": len(self.extractor.requests) / count,
            "calls to answer": len(asked) / count,
            "shown a block": sum("<recalled_facts>" in request.text for request in asked) / len(asked),
            "p50 ms": statistics.median(self.taken),
            "p99 ms": percentile(self.taken, 0.99),
        }


def agent_with(*middleware: Any, model: ScriptedModel) -> Any:
    """An agent with one tool."""
    return create_agent(model, [look], middleware=middleware, checkpointer=InMemorySaver())


def machine_of(memory: MemLLMMemory, model: ScriptedModel) -> Any:
    """The graph of nodes, with facts shown first; its model answers at once."""
    model.script = lambda request: "I see."
    return memory.build_graph(model, recall=8, checkpointer=InMemorySaver())


def rows_of_turns(count: int) -> list[dict[str, Any]]:
    """Rows: every kind, warmed up by ten turns."""
    kinds = [
        Kind("agent without memory", lambda memory, model: agent_with(model=model)),
        Kind("agent, middleware auto", lambda memory, model: agent_with(memory.middleware(), model=model)),
        Kind("agent, in the background", in_the_background),
        Kind("agent, middleware read", lambda memory, model: agent_with(memory.middleware("read"), model=model)),
        Kind("agent, middleware tools", lambda memory, model: agent_with(memory.middleware("tools"), model=model)),
        Kind("machine, recall and write", machine_of),
    ]
    for number in range(-10, count):
        for kind in kinds:
            if number == 0:
                kind.reset()
            kind.turn(number)
    return [kind.row() for kind in kinds]


def in_the_background(memory: MemLLMMemory, model: ScriptedModel) -> Any:
    """An agent whose answers wait for no extraction."""
    return agent_with(memory.middleware(write="background"), model=model)


def rows_of_slow_turns(count: int) -> list[dict[str, Any]]:
    """Rows: an agent without memory and one that writes in the background, by a model that takes 300 ms a call."""
    kinds = [
        Kind("agent without memory", lambda memory, model: agent_with(model=model), SLOW),
        Kind("agent, in the background", in_the_background, SLOW),
    ]
    for number in range(-2, count):
        for kind in kinds:
            if number == 0:
                kind.reset()
            kind.turn(number)
    rows = [kind.row() for kind in kinds]
    return [{**row, "ratio": row["p50 ms"] / rows[0]["p50 ms"]} for row in rows]


def starts(count: int) -> list[dict[str, Any]]:
    """Rows: seconds beyond importing langchain and langgraph, in fresh processes."""
    rows = []
    for name, (before, statement) in STARTS.items():
        code = START.format(before=before, statement=statement)
        runs = [json.loads(subprocess.check_output([sys.executable, "-c", code])) for _ in range(count)]
        taken = [each[0] for each in runs]
        heavy = ", ".join(sorted({module for each in runs for module in each[1]})) or "none"
        rows.append(
            {"start": name, "least s": min(taken), "median s": statistics.median(taken), "heavy modules": heavy}
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="where the JSON goes")
    options = parser.parse_args()
    host = machine()
    title = "Seconds to the first use, beyond importing langchain and langgraph"
    report("start", title, starts(options.starts), host, options.results / "start.json")
    title = f"A turn: {options.turns} turns, 51 facts, scripted models"
    report("turn", title, rows_of_turns(options.turns), host, options.results / "turn.json")
    title = f"A turn by a model that takes {SLOW * 1e3:.0f} ms a call: {options.turns // 4} turns"
    report("turn_slow", title, rows_of_slow_turns(options.turns // 4), host, options.results / "turn_slow.json")


if __name__ == "__main__":
    main()
