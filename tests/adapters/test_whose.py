"""Whose memory a call inside a run uses: the run's user at every door, in everything the run starts, or an error."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import operator
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import pytest
from agents import agent_of, answering, asked, memory_of, run_of
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import create_retriever_tool
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from langchain_memllm.errors import ConfigurationError, NamespaceError, OperationConflict
from langchain_memllm.memory import Memory
from langchain_memllm.plugin import LOCAL_USER, MemLLMMemory
from langchain_memllm.testing import Request, ScriptedModel, tool_call
from langchain_memllm.triples import Query, Source

SECRET = ("Zed", "pin is", "1234")


@pytest.fixture
def memory() -> MemLLMMemory:
    """The operator's own facts, and those of two users."""
    made = memory_of()
    made.write([SECRET])
    made.write([("Zed", "lives in", "Oslo")], user_id="ada")
    made.write([("Zed", "lives in", "Rome")], user_id="bob")
    return made


class State(TypedDict, total=False):
    """What the graph of these tests keeps."""

    seen: Annotated[list[Any], operator.add]


@dataclass
class Context:
    """A run's context."""

    user_id: str | None = None


def graph_of(node: Callable[[Any], Any], **options: Any) -> Any:
    """A graph of one node, whose result is kept."""
    graph = StateGraph(State, **options)
    if asyncio.iscoroutinefunction(node):

        async def keeps(state: Any) -> dict[str, Any]:
            return {"seen": [await node(state)]}

        graph.add_node("node", keeps)
    else:
        graph.add_node("node", lambda state: {"seen": [node(state)]})
    graph.add_edge(START, "node")
    return graph.compile()


VERBS: dict[str, Callable[[MemLLMMemory], Any]] = {
    "read": lambda m: m.read("Zed", "lives in").answers,
    "read_many": lambda m: m.read_many([Query("Zed", "lives in")])[0].answers,
    "recall": lambda m: tuple(match.answer for match in m.recall("Zed")),
    "history": lambda m: tuple(fact.triple.object for fact in m.history("Zed")),
    "export": lambda m: tuple(record["object"] for record in m.export() if record["type"] == "fact"),
    "retriever": lambda m: tuple(document.metadata["object"] for document in m.retriever().invoke("Zed")),
    "similar": lambda m: tuple(d.metadata["object"] for d in m.retriever(search_type="similar").invoke("Zed")),
    "stats": lambda m: ("Oslo",) * m.stats().facts,
    "namespace_of": lambda m: ("Oslo",) if m.namespace_of() == ("memllm", "ada") else m.namespace_of(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_called_in_a_node_is_about_the_run_s_user(memory: MemLLMMemory, verb: str) -> None:
    """doors F2: the facade's verbs inside a run answered from the local user."""
    app = graph_of(lambda state: VERBS[verb](memory))
    assert app.invoke({}, run_of("ada"))["seen"] == [("Oslo",)]
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        app.invoke({})
    in_context = graph_of(lambda state: VERBS[verb](memory), context_schema=Context)
    assert in_context.invoke({}, context=Context("ada"))["seen"] == [("Oslo",)]
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        in_context.invoke({}, context=Context())


WRITES: dict[str, Callable[[MemLLMMemory], Any]] = {
    "write": lambda m: m.write([("user", "lives in", "Paris")]),
    "remember": lambda m: m.remember("I live in Paris"),
    "retract": lambda m: m.retract(("Zed", "lives in", "Oslo")),
    "alias": lambda m: m.alias("Zed", "Zeddy"),
    "forget": lambda m: m.forget(everything=True),
    "restore": lambda m: m.restore(list(m.export(namespace=("memllm", LOCAL_USER)))),
}


@pytest.mark.parametrize("verb", WRITES)
def test_what_changes_memory_in_a_node_changes_that_of_the_run_s_user(memory: MemLLMMemory, verb: str) -> None:
    """doors F2, neighbours: verbs that write."""

    def held(user: str) -> list[Any]:
        return list(memory.export(user_id=user))

    app = graph_of(lambda state: WRITES[verb](memory) and None)
    others, own = (held(LOCAL_USER), held("bob")), held("ada")
    app.invoke({}, run_of("ada"))
    assert (held(LOCAL_USER), held("bob")) == others
    assert held("ada") != own
    with pytest.raises(NamespaceError):
        app.invoke({})
    assert (held(LOCAL_USER), held("bob")) == others


def test_who_writes_in_a_run_is_the_run_s_user(memory: MemLLMMemory) -> None:
    graph_of(lambda state: memory.write([("user", "lives in", "Paris")]) and None).invoke({}, run_of("ada"))
    (fact,) = memory.history("user", user_id="ada")
    assert (fact.kind, fact.principal) == ("user", "ada")


def test_outside_of_runs_the_local_user_answers_as_before(memory: MemLLMMemory) -> None:
    assert memory.read("Zed", "pin is").answers == ("1234",)
    app = graph_of(lambda state: None)
    for _ in app.stream({}, run_of("ada")):
        assert memory.namespace_of() == ("memllm", LOCAL_USER), "between the steps of a run its caller is outside of it"
    assert memory.read("Zed", "pin is").answers == ("1234",)
    assert [d.page_content for d in memory.retriever().invoke("Zed")] == ["Zed pin is 1234"]


def test_application_code_in_a_run_may_name_another(memory: MemLLMMemory) -> None:
    def node(state: Any) -> Any:
        by_namespace = memory.read("Zed", "lives in", namespace=("memllm", "bob")).answers
        return by_namespace, memory.retriever(user_id="bob").invoke("Zed")[0].metadata["object"]

    assert graph_of(node).invoke({}, run_of("ada"))["seen"] == [(("Rome",), "Rome")]


def home(memory: MemLLMMemory) -> Any:
    """Where the run's user says Zed lives."""
    return memory.read("Zed", "lives in").answers


def test_what_a_run_starts_is_part_of_it(memory: MemLLMMemory) -> None:
    """doors F2, neighbours: threads with a copied context, pools of LangChain, nested chains and graphs."""
    inner = graph_of(lambda state: home(memory))

    def in_thread() -> Any:
        found: list[Any] = []
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: found.append(context.run(home, memory)))
        thread.start()
        thread.join()
        return found[0]

    def in_pool() -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(contextvars.copy_context().run, home, memory).result()

    def in_langchain_s_pool() -> Any:
        with ContextThreadPoolExecutor(1) as pool:
            return pool.submit(home, memory).result()

    ways = {
        "thread": in_thread,
        "pool": in_pool,
        "LangChain's pool": in_langchain_s_pool,
        "chain": lambda: RunnableLambda(lambda _: home(memory)).invoke("x"),
        "batch": lambda: RunnableLambda(lambda _: home(memory)).batch(["x", "y"])[1],
        "sub-graph": lambda: inner.invoke({})["seen"][0],
        "retriever in a chain": lambda: (
            (memory.retriever() | (lambda found: found[0].metadata["object"])).invoke("Zed"),
        ),
        "coroutine": lambda: asyncio.run(memory.aread("Zed", "lives in")).answers,
    }
    app = graph_of(lambda state: {name: way() for name, way in ways.items()})
    for user, place in (("ada", "Oslo"), ("bob", "Rome")):
        assert app.invoke({}, run_of(user))["seen"][0] == dict.fromkeys(ways, (place,))


async def test_tasks_and_threads_of_an_async_run_are_part_of_it(memory: MemLLMMemory) -> None:
    started: list[asyncio.Task[Any]] = []

    async def later() -> Any:
        await asyncio.sleep(0.05)
        return (await memory.aread("Zed", "lives in")).answers

    async def node(state: Any) -> Any:
        started.append(asyncio.create_task(later()))  # goes on after the run has ended
        gathered = await asyncio.gather(memory.aread("Zed", "lives in"), asyncio.to_thread(home, memory))
        documents = await memory.retriever().ainvoke("Zed")
        return gathered[0].answers, gathered[1], (documents[0].metadata["object"],)

    app = graph_of(node)
    for user, place in (("ada", "Oslo"), ("bob", "Rome")):
        assert (await app.ainvoke({}, run_of(user)))["seen"] == [((place,),) * 3]
    assert await asyncio.gather(*started) == [("Oslo",), ("Rome",)]
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        await app.ainvoke({})


def test_tasks_of_send_are_part_of_the_run(memory: MemLLMMemory) -> None:
    graph = StateGraph(State)
    graph.add_node("work", lambda state: {"seen": [home(memory)]})
    graph.add_conditional_edges(START, lambda state: [Send("work", {}) for _ in range(6)], ["work"])
    assert graph.compile().invoke({}, run_of("bob"))["seen"] == [("Rome",)] * 6


def test_a_tool_of_one_s_own_and_of_a_sub_agent_use_the_run_s_user(memory: MemLLMMemory) -> None:
    """doors F2: a user's own tool with memory.recall(q) gave the operator's facts to ada."""

    @tool
    def look(query: str) -> str:
        """Look something up."""
        return memory.recall(query).block

    def script(name: str, **arguments: Any) -> ScriptedModel:
        def answer(request: Request) -> Any:
            last = request.messages[-1]
            return str(last.text) if isinstance(last, ToolMessage) else tool_call(name, **arguments)

        return ScriptedModel(script=answer)

    facts = create_retriever_tool(memory.retriever(), "facts", "Facts about people")
    inner = create_agent(script("look", query="Zed"), [look])

    @tool
    def ask_other(query: str) -> str:
        """Ask another agent."""
        return str(inner.invoke(asked(query))["messages"][-1].text)

    for model, tools in (
        (script("look", query="Zed"), [look]),
        (script("facts", query="Zed"), [facts]),
        (script("ask_other", query="Zed"), [ask_other]),
    ):
        agent = create_agent(model, tools)
        for user, place in (("ada", "Oslo"), ("bob", "Rome")):
            answer = agent.invoke(asked("Where does Zed live?"), run_of(user))["messages"][-1].text
            assert place in answer
            assert "1234" not in answer
        with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
            agent.invoke(asked("Where does Zed live?"))


def test_a_chain_is_a_run_too(memory: MemLLMMemory) -> None:
    chain = memory.retriever() | RunnableLambda(lambda found: [document.page_content for document in found])
    assert chain.invoke("Zed", run_of("ada")) == ["Zed lives in Oslo"]
    assert chain.batch(["Zed"] * 3, run_of("bob")) == [["Zed lives in Rome"]] * 3
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        chain.invoke("Zed")
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        memory.retriever().invoke("Zed", {"configurable": {"thread_id": "t"}})


def test_whom_a_server_authenticated_is_the_user_of_the_verbs_too(memory: MemLLMMemory) -> None:
    """doors F1 at the doors of F2: configurable names ada, the server authenticated bob."""
    bob = SimpleNamespace(identity="bob", is_authenticated=True, display_name="", permissions=())
    app = graph_of(lambda state: (home(memory), memory.retriever().invoke("Zed")[0].metadata["object"]))
    assert app.invoke({}, {"configurable": {"langgraph_auth_user": bob}})["seen"] == [(("Rome",), "Rome")]
    agent = agent_of(memory, answering())
    tools = create_agent(answering(), memory.tools(), middleware=[memory.middleware("read")])
    for graph in (app, agent, tools, memory.build_graph(answering())):
        with pytest.raises(NamespaceError, match="authenticated 'bob'"):
            graph.invoke(asked("Where do I live?"), {"configurable": {"langgraph_auth_user": bob, "user_id": "ada"}})
        if graph is not app:
            with pytest.raises(NamespaceError, match="authenticated 'bob'"):
                graph.invoke(asked("?"), {"configurable": {"langgraph_auth_user": bob}}, context={"user_id": "ada"})


def test_a_shared_memory_in_a_run_knows_who_speaks() -> None:
    team = memory_of(namespace=("team", "acme"))
    graph_of(lambda state: team.write([("Zed", "lives in", "Oslo")]) and None).invoke({}, run_of("ada"))
    assert [fact.principal for fact in team.history("Zed")] == ["ada"]


def test_one_person_by_user_id_and_by_namespace() -> None:
    """bugs 3.20: the second write contested the first; right: Bergen, current."""
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], namespace=("memllm", "kari"))
    memory.write([("user", "lives in", "Bergen")], user_id="kari")
    found = memory.read("user", "lives in", user_id="kari")
    assert [(m.answer, m.fact.state, m.fact.principal) for m in found] == [("Bergen", "current", "kari")]
    memory.retract(("user", "lives in", "Bergen"), namespace=("memllm", "kari"))
    assert not memory.read("user", "lives in", user_id="kari")


def test_a_source_that_names_nobody_is_the_user_s_own() -> None:
    """bugs 3.20, neighbour: a form filled in by kari was nobody's word, and her correction only contested it."""
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="kari", source=Source("user", "onboarding form"))
    memory.write([("user", "lives in", "Bergen")], user_id="kari")
    memory.write([("user", "likes", "tea")], user_id="kari", source=Source("document", "notes.md"))
    memory.write([("user", "likes", "jam")], user_id="kari", source=Source("user", principal="her mother"))
    found = [(fact.triple.object, fact.state, fact.principal) for fact in memory.history("user", user_id="kari")]
    assert found == [
        ("Oslo", "past", "kari"),
        ("Bergen", "current", "kari"),
        ("tea", "current", None),
        ("jam", "current", "her mother"),
    ]


async def test_an_operation_of_before_is_recognised_under_the_principal_of_now() -> None:
    """bugs 3.20: what was delivered with namespace= had no principal; the same op_id must not be a conflict."""
    memory = memory_of()
    kari: Any = {"namespace": ("memllm", "kari")}
    triples = [("user", "lives in", "Oslo")]
    memory.core.write(triples, op_id="1", source=Source(), **kari)  # as it was written before
    assert memory.write(iter(triples), op_id="1", **kari).replayed
    assert (await memory.awrite(triples, op_id="1", user_id="kari")).replayed
    memory.write([("user", "likes", "tea")], op_id="2", **kari)
    assert memory.write([("user", "likes", "tea")], op_id="2", user_id="kari").replayed
    for op_id in ("1", "2"):
        with pytest.raises(OperationConflict):
            memory.write([("user", "lives in", "Rome")], op_id=op_id, **kari)
    first = memory.remember("I live in Bergen", op_id="3", source=Source(principal="kari"), **kari)
    assert not first.replayed
    assert (await memory.aremember("I live in Bergen", op_id="3", user_id="kari")).replayed


async def test_who_has_a_memory() -> None:
    """bugs friction 2: a wrong user looked like an empty memory."""
    memory = memory_of()
    assert memory.users() == []
    memory.write([("user", "lives in", "Oslo")], user_id="kari")
    memory.write([("user", "lives in", "Oslo")], user_id="Ada")
    memory.write([("user", "lives in", "Oslo")], namespace=("team", "acme"))
    assert memory.users() == await memory.ausers() == ["Ada", "kari"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_share_the_memory(memory: MemLLMMemory, copied: Callable[[Any], Any]) -> None:
    """doors F25: deepcopy of an agent, its tools or the retriever: cannot pickle '_thread.lock'."""
    assert copied(memory) is memory
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    middleware = copied([memory.middleware(), memory.middleware("tools", name="tools")])
    agent = agent_of(memory, middleware=middleware)
    assert agent.invoke(asked("Where do I live?"), run_of("ada"))["messages"][-1].text == "You live in Oslo."
    assert copied(agent) is not agent  # a deep copy of any agent cannot run: LangGraph compares objects by identity
    recall = next(tool for tool in copied(memory.tools()) if tool.name == "recall")
    assert "Oslo" in recall.invoke({"query": "Where do I live?"}, run_of("ada"))
    assert copied(memory.retriever(user_id="ada")).invoke("Zed")[0].metadata["object"] == "Oslo"
    assert copied(memory.build_graph(answering(), write="off")) is not None


def test_pickle_says_why_not(memory: MemLLMMemory) -> None:
    """doors F25."""
    for thing in (memory, memory.core, memory.tools(), memory.middleware("read"), memory.retriever()):
        with pytest.raises(ConfigurationError, match=r"cannot be pickled: it holds an open memory.*MemLLMMemory\("):
            pickle.dumps(thing)
    assert isinstance(memory.core, Memory)
