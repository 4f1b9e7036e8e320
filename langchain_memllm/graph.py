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

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, NotRequired, get_args

from langchain_core.messages import AnyMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import get_runtime
from typing_extensions import TypedDict

from langchain_memllm.chat import MEMORY_READ, Reader, ReaderMode, ReaderModel, reader_of
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.extraction import Extractor, extractor_for
from langchain_memllm.flow import Flow, arun, run
from langchain_memllm.gate import Decider
from langchain_memllm.ingest import Ingest
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Rules
from langchain_memllm.recalled import Show
from langchain_memllm.scope import MemLLMContext, Scope
from langchain_memllm.triples import Kind
from langchain_memllm.turns import Answerer, Lookups, OnError, Recaller, TurnWriter, as_state

__all__ = [
    "GENERATE",
    "MEMORY_READ",
    "MEMORY_WRITE",
    "MemLLMContext",
    "MemLLMState",
    "MemoryNode",
    "When",
    "build_graph",
    "generate_node",
    "note_node",
    "read_node",
    "recall_node",
    "route",
    "write_node",
]

GENERATE: Final = "generate"
MEMORY_WRITE: Final = "memory_write"
_MEMORY_NOTE: Final = "memory_note"
_MEMORY_RECALL: Final = "memory_recall"
_MEMORY_GATE: Final = "memory_gate"

When = Literal["after", "before", "both", "off"]


class MemLLMState(TypedDict):
    """What the nodes read and write beside the conversation; a graph needs to say nothing of it.

    ``memllm_context`` is the block of recalled facts with its namespace, ``memllm_reading`` the reading of this turn
    with the key of the turn, both empty again when it has been answered; ``memllm_receipts`` what this turn wrote, as
    ids and counts; ``memllm_gate`` what a memory gate decided about it, as ids and reasons (``decisions.Decision``).
    """

    messages: Annotated[list[AnyMessage], add_messages]
    memllm_context: NotRequired[dict[str, Any]]
    memllm_reading: NotRequired[dict[str, Any]]
    memllm_receipts: NotRequired[list[dict[str, Any]]]
    memllm_gate: NotRequired[dict[str, Any]]


class _Input(TypedDict):
    """What the machine takes."""

    messages: Annotated[list[AnyMessage], add_messages]


class _Output(_Input):
    """What the machine gives back."""

    memllm_receipts: NotRequired[list[dict[str, Any]]]


class _Traced(_Output):
    """What it gives back when it is traced."""

    memllm_context: NotRequired[dict[str, Any]]
    memllm_reading: NotRequired[dict[str, Any]]
    memllm_gate: NotRequired[dict[str, Any]]


# --- nodes ------------------------------------------------------------------------------------------------------------

NodeFlow = Callable[[Mapping[str, Any], RunnableConfig, Any], Flow[dict[str, Any]]]
"""Takes the state, the config and the runtime of a run."""


class MemoryNode(RunnableLambda[Any, dict[str, Any]]):
    """A node that runs sync and async, in a graph of any state: it brings the channels it needs along.

    ``StateGraph.add_node`` takes a node's own schema from the first parameter of ``__call__``.

    Args:
        name: Name of the node.
        flow: What it does.
        messages_key: The state's key of the conversation.
    """

    def __init__(self, name: str, flow: NodeFlow, messages_key: str = "messages") -> None:
        """Keep what it does."""
        super().__init__(self._run, afunc=self._arun, name=name)
        self._flow, self._messages_key = flow, messages_key

    def __call__(self, state: Any, config: RunnableConfig | None = None) -> dict[str, Any]:
        """Run it by hand."""
        return self.invoke(state, config)

    def _run(self, state: Any, config: RunnableConfig) -> dict[str, Any]:
        return run(self._flow(self._read(state), config, _runtime()))

    async def _arun(self, state: Any, config: RunnableConfig) -> dict[str, Any]:
        return await arun(self._flow(self._read(state), config, _runtime()))

    def _read(self, state: Any) -> dict[str, Any]:
        """The state as a mapping, its conversation as messages.

        Raises:
            ConfigurationError: It has no such conversation.
        """
        values = dict(state) if isinstance(state, Mapping) else vars(state)
        if self._messages_key not in values:
            raise ConfigurationError(
                f"the state has no {self._messages_key!r} (it has {', '.join(sorted(values)) or 'nothing'}); say where "
                "the conversation is: messages_key=…"
            )
        return {**values, self._messages_key: convert_to_messages(values[self._messages_key])}


def _node(name: str, flow: NodeFlow, messages_key: str) -> MemoryNode:
    """A node whose schema names the conversation as the graph does.

    The schema has no reducer of messages, so that the graph's own is kept.
    """
    channels: dict[str, Any] = dict(MemLLMState.__annotations__)
    del channels["messages"]
    schema = TypedDict(f"{name}_state", {messages_key: list[Any], **channels})  # type: ignore[misc]

    class Node(MemoryNode):
        def __call__(self, state: Any, config: RunnableConfig | None = None) -> dict[str, Any]:
            return self.invoke(state, config)

    Node.__call__.__annotations__["state"] = schema
    return Node(name, flow, messages_key)


def write_node(writer: TurnWriter, *, messages_key: str = "messages") -> MemoryNode:
    """A node that writes this turn (see ``TurnWriter``) and leaves receipts in ``memllm_receipts``."""

    def write(state: Mapping[str, Any], config: RunnableConfig, runtime: Any) -> Flow[dict[str, Any]]:
        receipts = yield from writer.turn(state[messages_key], config, runtime)
        return {"memllm_receipts": as_state(receipts)}

    return _node(MEMORY_WRITE, write, messages_key)


def note_node(writer: TurnWriter, *, messages_key: str = "messages") -> MemoryNode:
    """A first node that commits what the person says to the outbox: it is not lost where a later node fails."""

    def note(state: Mapping[str, Any], config: RunnableConfig, runtime: Any) -> Flow[dict[str, Any]]:
        yield from writer.note(state[messages_key], config, runtime)
        return {}

    return _node(_MEMORY_NOTE, note, messages_key)


def recall_node(recaller: Recaller, *, messages_key: str = "messages") -> MemoryNode:
    """A node that puts the block of recalled facts (see ``Recaller``) in ``memllm_context``.

    With a gate it is called ``memory_gate``, and leaves what that decided in ``memllm_gate``. Gate and recall are one
    node: what is decided about would have to go through the state as text otherwise.
    """

    def recall(state: Mapping[str, Any], config: RunnableConfig, runtime: Any) -> Flow[dict[str, Any]]:
        recaller.begin(state[messages_key], config, runtime)
        block = yield from recaller.recall(state[messages_key], config, runtime)
        namespace = list(recaller.scope.resolve(config, runtime))
        update: dict[str, Any] = {"memllm_context": {"namespace": namespace, "block": block} if block else {}}
        if recaller.gate is not None:
            decision = recaller.decision(state[messages_key], config, runtime)
            update["memllm_gate"] = {} if decision is None else decision.as_dict()
        return update

    return _node(_name_of(recaller), recall, messages_key)


def _name_of(recaller: Recaller) -> str:
    return _MEMORY_RECALL if recaller.gate is None else _MEMORY_GATE


def generate_node(
    model: ReaderModel | Reader,
    *,
    rules: Rules | None = None,
    mode: ReaderMode = "auto",
    memory: Memory | None = None,
    scope: Scope | None = None,
    on_error: OnError = "warn",
    messages_key: str = "messages",
    trace: bool = False,
) -> MemoryNode:
    """A node that answers, and stops where it wants to read: ``route`` tells where to go on.

    Args:
        model: A chat model, its name, a ``MemLLMModel``, or a ``Reader``.
        rules: Budgets of a reading.
        mode: How a chat model reads: by tools or by grammar.
        memory: What the reading node reads: the queries of a local model are led to what it holds (``local.Leading``).
        scope: Whose memory a run uses, as for the reading node.
        on_error: As for the reading node.
        messages_key: The state's key of the conversation.
        trace: Leave the recalled facts and the reading in the state when it is done.
    """
    lookups = None if memory is None else Lookups(memory, scope or Scope(), on_error=on_error)
    answerer = Answerer(_reader(model, rules, mode), lookups, messages_key=messages_key, trace=trace)
    return _node(GENERATE, answerer.generate, messages_key)


def read_node(
    memory: Memory, scope: Scope, *, on_error: OnError = "warn", messages_key: str = "messages"
) -> MemoryNode:
    """A node that answers the queries which the generating node asked."""
    return _node(MEMORY_READ, Lookups(memory, scope, on_error=on_error).look_up, messages_key)


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
    memory_gate: Decider | None = None,
    rules: Rules | None = None,
    mode: ReaderMode = "auto",
    on_error: OnError = "warn",
    source_type: Kind | None = None,
    episodes: bool = False,
    context_schema: type[Any] | None = MemLLMContext,
    checkpointer: Any = None,
    store: Any = None,
    cache: Any = None,
    interrupt_before: Any = None,
    interrupt_after: Any = None,
    trace: bool = False,
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
        memory_gate: Decides whether a turn needs them, and what is shown of what is found; needs ``recall``.
        rules: Budgets of a reading; its cap of calls bounds the run.
        mode: How a chat model reads.
        on_error: ``warn`` lets a run go on without memory when memory fails.
        source_type: Whose words human messages are; see ``TurnWriter``.
        episodes: Also keep every message as it was said; see ``TurnWriter``.
        context_schema: Type of the run's context, as for any LangGraph graph.
        checkpointer: Any LangGraph checkpointer.
        store: As ``StateGraph.compile`` takes it; so are ``cache``, ``interrupt_before`` and ``interrupt_after``.
        cache: See ``store``.
        interrupt_before: See ``store``.
        interrupt_after: See ``store``.
        trace: Also give back what was recalled and read: ``memllm_context`` and ``memllm_reading``.
        name: Name of the graph.

    Raises:
        ConfigurationError: An unknown choice, or nothing that can extract while ``write`` is on.
    """
    _check_machine(write, memory_gate, recall, may_write=extractor is not None or not isinstance(model, Reader))
    scope, reader = scope or Scope(), _reader(model, rules, mode)
    graph = StateGraph(
        MemLLMState, context_schema=context_schema, input_schema=_Input, output_schema=_Traced if trace else _Output
    )
    graph.add_node(GENERATE, generate_node(reader, memory=memory, scope=scope, on_error=on_error, trace=trace))
    graph.add_node(MEMORY_READ, read_node(memory, scope, on_error=on_error))
    before: list[str] = []
    after: list[str] = []
    if write != "off":
        finder = extractor or extractor_for(model, lambda: memory.catalogue)
        ingest = Ingest(memory, lambda: finder)
        writer = partial(
            TurnWriter, memory, scope, ingest, source_type=source_type, episodes=episodes, on_error=on_error
        )
        before.append(_MEMORY_NOTE)
        graph.add_node(_MEMORY_NOTE, note_node(writer()) if write == "after" else write_node(writer()))
        if write != "before":
            after.append(MEMORY_WRITE)
            graph.add_node(MEMORY_WRITE, write_node(writer(answers=answers)))
    if recall:
        show: Show = "auto" if episodes else "facts"
        recaller = Recaller(
            memory, scope, k=recall, max_tokens=max_tokens, show=show, gate=memory_gate, on_error=on_error
        )
        before.append(_name_of(recaller))
        graph.add_node(_name_of(recaller), recall_node(recaller))
    _connect(graph, before, after)
    compiled = graph.compile(
        checkpointer=checkpointer,
        store=store,
        cache=cache,
        interrupt_before=interrupt_before,
        interrupt_after=interrupt_after,
        name=name,
    )
    return compiled.with_config(recursion_limit=_steps(reader, len(before)))


def _check_machine(write: When, memory_gate: Decider | None, recall: int, *, may_write: bool) -> None:
    if write not in get_args(When):
        raise ConfigurationError(f"write={write!r} is unknown; use one of {', '.join(get_args(When))}")
    if write != "off" and not may_write:
        raise ConfigurationError("a reader cannot extract; give extractor=…, or write='off'")
    if memory_gate is not None and not recall:
        raise ConfigurationError("a memory gate decides about what is recalled, and recall=0 recalls nothing; recall=8")


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
