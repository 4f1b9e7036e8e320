"""The LangGraph machine: write what was said, generate, read memory in between, and the nodes of it one by one.

::

    START ─► (memory_note) ─► (memory_recall) ─► generate ◄─► memory_read
                                                     │
                                                     └──► (memory_write) ─► END

The factories make nodes, that run sync and async, of what happens in a turn (``turns``). Our own state holds dicts,
lists and strings only, so that any checkpointer keeps it, and a run that was killed in the middle of a read goes on
there with the same result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, NotRequired, get_args

from langchain_core.messages import AnyMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import get_runtime
from typing_extensions import TypedDict

from langchain_memllm.chat import MEMORY_READ, Reader, ReaderMode, ReaderModel, reader_of
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.extraction import Extractor, extractor_for
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Rules
from langchain_memllm.scope import Scope
from langchain_memllm.turns import Answerer, Lookups, OnError, Recaller, TurnWriter, as_state

__all__ = [
    "GENERATE",
    "MEMORY_READ",
    "MEMORY_WRITE",
    "MemLLMState",
    "When",
    "build_graph",
    "generate_node",
    "read_node",
    "recall_node",
    "route",
    "write_node",
]

GENERATE: Final = "generate"
MEMORY_WRITE: Final = "memory_write"
_MEMORY_NOTE: Final = "memory_note"
_MEMORY_RECALL: Final = "memory_recall"

When = Literal["after", "before", "both", "off"]


class MemLLMState(TypedDict):
    """What the nodes read and write; give it as ``input_schema`` to nodes in a graph with another state.

    ``memllm_context`` is the block of recalled facts, ``memllm_reading`` the reading of this turn with the key of the
    turn, ``memllm_receipts`` what this turn wrote, as ids and counts.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    memllm_context: NotRequired[str]
    memllm_reading: NotRequired[dict[str, Any]]
    memllm_receipts: NotRequired[list[dict[str, Any]]]


# --- nodes ------------------------------------------------------------------------------------------------------------


def write_node(
    memory: Memory, scope: Scope, extractor: Extractor, *, answers: bool = False, on_error: OnError = "warn"
) -> Runnable[Any, dict[str, Any]]:
    """A node that writes this turn (see ``TurnWriter``) and leaves receipts in ``memllm_receipts``."""
    writer = TurnWriter(memory, scope, extractor, answers=answers, on_error=on_error)

    def write(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return {"memllm_receipts": as_state(writer.write(state["messages"], config, _runtime()))}

    async def awrite(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return {"memllm_receipts": as_state(await writer.awrite(state["messages"], config, _runtime()))}

    return RunnableLambda(write, afunc=awrite, name=MEMORY_WRITE)


def recall_node(
    memory: Memory, scope: Scope, *, k: int = 8, max_tokens: int = 600, on_error: OnError = "warn"
) -> Runnable[Any, dict[str, Any]]:
    """A node that puts the block of recalled facts (see ``Recaller``) in ``memllm_context``."""
    recaller = Recaller(memory, scope, k=k, max_tokens=max_tokens, on_error=on_error)

    def recall(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return {"memllm_context": recaller.recall(state["messages"], config, _runtime())}

    async def arecall(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return {"memllm_context": await recaller.arecall(state["messages"], config, _runtime())}

    return RunnableLambda(recall, afunc=arecall, name=_MEMORY_RECALL)


def generate_node(
    model: ReaderModel | Reader,
    *,
    rules: Rules | None = None,
    mode: ReaderMode = "auto",
    memory: Memory | None = None,
    scope: Scope | None = None,
    on_error: OnError = "warn",
) -> Runnable[Any, dict[str, Any]]:
    """A node that answers, and stops where it wants to read: ``route`` tells where to go on.

    Args:
        model: A chat model, its name, a ``MemLLMModel``, or a ``Reader``.
        rules: Budgets of a reading.
        mode: How a chat model reads: by tools or by grammar.
        memory: What the reading node reads: the queries of a local model are led to what it holds (``local.Leading``).
        scope: Whose memory a run uses, as for the reading node.
        on_error: As for the reading node.
    """
    lookups = None if memory is None else Lookups(memory, scope or Scope(), on_error=on_error)
    answerer = Answerer(_reader(model, rules, mode), lookups)

    def generate(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return answerer.generate(state, config, _runtime())

    async def agenerate(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return await answerer.agenerate(state, config, _runtime())

    return RunnableLambda(generate, afunc=agenerate, name=GENERATE)


def read_node(memory: Memory, scope: Scope, *, on_error: OnError = "warn") -> Runnable[Any, dict[str, Any]]:
    """A node that answers the queries which the generating node asked."""
    lookups = Lookups(memory, scope, on_error=on_error)

    def read(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return lookups.look_up(state, config, _runtime())

    async def aread(state: dict[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return await asyncio.to_thread(lookups.look_up, state, config, _runtime())

    return RunnableLambda(read, afunc=aread, name=MEMORY_READ)


def route(state: Mapping[str, Any]) -> Literal["memory_read", "memory_write"]:
    """Where to go after generating: to the reading node if a query waits, else on to writing."""
    saved = state.get("memllm_reading") or {}
    return MEMORY_READ if saved.get("reading", {}).get("phase") == "lookup" else MEMORY_WRITE


def _runtime() -> Any:
    """The LangGraph runtime of the current run, or None outside of one."""
    try:
        return get_runtime()
    except RuntimeError:
        return None


def _reader(model: ReaderModel | Reader, rules: Rules | None, mode: ReaderMode) -> Reader:
    return model if isinstance(model, Reader) else reader_of(model, rules=rules, mode=mode)


# --- the machine ------------------------------------------------------------------------------------------------------


def build_graph(
    model: ReaderModel | Reader,
    memory: Memory,
    scope: Scope | None = None,
    *,
    extractor: Extractor | None = None,
    write: When = "after",
    answers: bool = False,
    recall: int = 0,
    max_tokens: int = 600,
    rules: Rules | None = None,
    mode: ReaderMode = "auto",
    on_error: OnError = "warn",
    context_schema: type[Any] | None = None,
    checkpointer: Any = None,
    name: str = "memllm",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The whole machine, compiled; also usable as a sub-graph.

    Args:
        model: Answers: a chat model, its name, a ``MemLLMModel``, or a ``Reader``.
        memory: What is read and written.
        scope: Whose memory a run uses; one memory for each ``user_id`` by default.
        extractor: Finds what to write; by default the same model.
        write: When to write what the user says: ``after`` the answer, ``before`` it, ``both`` (the answers of the
            assistant come after), or ``off``.
        answers: Also write what the assistant says, as kind ``model``.
        recall: Facts to show the model without its asking; 0 for none.
        max_tokens: Most tokens of those facts.
        rules: Budgets of a reading; its cap of calls bounds the run.
        mode: How a chat model reads.
        on_error: ``warn`` lets a run go on without memory when memory fails.
        context_schema: Type of the run's context, as for any LangGraph graph.
        checkpointer: Any LangGraph checkpointer.
        name: Name of the graph.

    Raises:
        ConfigurationError: An unknown choice, or nothing that can extract while ``write`` is on.
    """
    if write not in get_args(When):
        raise ConfigurationError(f"write={write!r} is unknown; use one of {', '.join(get_args(When))}")
    if write != "off" and extractor is None and isinstance(model, Reader):
        raise ConfigurationError("a reader cannot extract; give extractor=…, or write='off'")
    scope, reader = scope or Scope(), _reader(model, rules, mode)
    graph = StateGraph(MemLLMState, context_schema=context_schema)
    graph.add_node(GENERATE, generate_node(reader, memory=memory, scope=scope, on_error=on_error))
    graph.add_node(MEMORY_READ, read_node(memory, scope, on_error=on_error))
    before: list[str] = []
    after: list[str] = []
    if write != "off":
        finder = extractor or extractor_for(model, lambda: memory.catalogue)
        if write != "after":
            before.append(_MEMORY_NOTE)
            graph.add_node(_MEMORY_NOTE, write_node(memory, scope, finder, on_error=on_error))
        if write != "before":
            after.append(MEMORY_WRITE)
            graph.add_node(MEMORY_WRITE, write_node(memory, scope, finder, answers=answers, on_error=on_error))
    if recall:
        before.append(_MEMORY_RECALL)
        graph.add_node(_MEMORY_RECALL, recall_node(memory, scope, k=recall, max_tokens=max_tokens, on_error=on_error))
    _connect(graph, before, after)
    compiled = graph.compile(checkpointer=checkpointer, name=name)
    return compiled.with_config(recursion_limit=_steps(reader, len(before)))


def _connect(graph: StateGraph[Any, Any, Any, Any], before: list[str], after: list[str]) -> None:
    """The edges: what comes before generating, generating and reading in turns, what comes after."""
    for source, target in pairwise([START, *before, GENERATE]):
        graph.add_edge(source, target)
    graph.add_edge(MEMORY_READ, GENERATE)
    last = after[0] if after else END
    graph.add_conditional_edges(GENERATE, route, {MEMORY_READ: MEMORY_READ, MEMORY_WRITE: last})
    for source, target in pairwise([*after, END]):
        graph.add_edge(source, target)


def _steps(reader: Reader, before: int) -> int:
    """Most steps of a run: a reading ends after its cap of calls, whatever the model does."""
    rules: Rules = getattr(reader, "rules", Rules())
    return before + 2 * rules.calls + 4
