"""The exam: sixty scripted conversations of agents as people build them, each on both stores.

Each stated fact is current or in the history at the end, written once; no word of another user is there, and nothing
that a harness or a model wrote. Scripts are drawn from a seed, so the same conversations come in every run.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, SummarizationMiddleware
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.testing import FakeEmbedder, Request, ScriptedModel, tool_call

KINDS = ["plain", "summarised", "approved", "delegating", "handed over", "two users"]
WAYS = ["invoke", "ainvoke", "stream", "astream"]
CONVERSATIONS = [(kind, number) for number in range(10) for kind in KINDS]  # sixty
FACTS = {
    r"I (?:live in|moved to) (\w+)": ("user", "lives in"),
    r"I like (\w+)": ("user", "likes"),
    r"My cat is called (\w+)": ("user", "has pet"),
    r"My sister (\w+) came": ("user", "sister"),
    r"I work for (\w+)": ("user", "works for"),
}
SENTENCES = [
    *("I live in {}.", "I moved to {}.", "I like {}.", "My cat is called {}.", "My sister {} came.", "I work for {}."),
]
IDLE = ["Hello.", "What time is it?", "Thanks!", "Tell me a story.", "Look at the map."]
NOBODYS = "I live in Nowhereville. I like nothingness. I work for Nobodycorp."


def extract(request: Request) -> Any:
    """The facts of a text by rule; now and then the model is not to be reached."""
    text = request.text.rsplit("Text:", 1)[-1]
    facts = [
        {"subject": subject, "relation": relation, "object": found.group(1), "sentence": int(line.group(1))}
        for line in re.finditer(r"\[(\d+)\] (.*)", text)
        for pattern, (subject, relation) in FACTS.items()
        for found in re.finditer(pattern, line.group(2))
    ]
    return tool_call("record_facts", facts=facts)


@dataclass
class Talk:
    """One conversation: who says what, and the agent."""

    kind: str
    number: int
    random: random.Random = field(init=False)
    stated: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # by user: (relation, value), in order

    def __post_init__(self) -> None:
        """Draw from the kind and number."""
        self.random = random.Random(f"{self.kind} {self.number}")
        names = ["ada", "bob"] if self.kind == "two users" else ["ada"]
        self.users = [f"{name}-{self.kind.replace(' ', '-')}-{self.number}" for name in names]
        self.stated = {user: [] for user in self.users}
        self.words = itertools.count()

    def turns(self) -> Iterator[tuple[str, str]]:
        """5 to 20 turns: (user, what they say)."""
        for number in range(self.random.randint(5, 20)):
            user = self.users[number % len(self.users)]
            said = [self.random.choice(IDLE)]
            if self.random.random() < 0.7:
                said += [self.state(user) for _ in range(self.random.randint(1, 2))]
            if self.kind == "approved" and self.random.random() < 0.4:
                said.append("Delete it.")
            if self.kind == "delegating" and self.random.random() < 0.5:
                said.append("Delegate.")
            yield user, " ".join(said)

    def state(self, user: str) -> str:
        """A sentence that states something new."""
        sentence = self.random.choice(SENTENCES)
        value = f"{user.split('-')[0].capitalize()}{self.kind[0]}{self.number}x{next(self.words)}"
        text = sentence.format(value)
        for pattern, (_, relation) in FACTS.items():
            if re.search(pattern, text):
                self.stated[user].append((relation, value))
        return text


# --- agents -----------------------------------------------------------------------------------------------------------


def last_words(request: Request) -> str:
    return next((str(m.text) for m in reversed(request.messages) if isinstance(m, HumanMessage)), "")


def look() -> str:
    """Look at the map."""
    return "a map"


def delete_it() -> str:
    """Delete it."""
    return "deleted"


def agent_of(talk: Talk, memory: MemLLMMemory, write: Any) -> Any:
    """The agent of a kind of conversation; some of its models fail now and then."""
    own = memory.middleware(write=write, turns=3, delay=0.05)

    def answer(request: Request) -> Any:
        words = last_words(request)
        if isinstance(request.messages[-1], ToolMessage):
            return "Done."
        if talk.random.random() < 0.07:
            return RuntimeError("overloaded")
        for cue, called in (("Delete it", "delete_it"), ("Delegate", "task"), ("map", "look")):
            if cue in words and called in request.tools:
                return tool_call(called, **({"text": f"Suppose: {NOBODYS}"} if called == "task" else {}))
        return "I see."

    model = ScriptedModel(script=answer)
    saver = InMemorySaver()
    if talk.kind == "summarised":
        summary = SummarizationMiddleware(
            ScriptedModel(script=lambda r: NOBODYS), trigger=("messages", 6), keep=("messages", 2)
        )
        middleware = [summary, own] if talk.number % 2 else [own, summary]
        return create_agent(model, [look], middleware=middleware, checkpointer=saver)
    if talk.kind == "approved":
        approval = HumanInTheLoopMiddleware(interrupt_on={"delete_it": True})
        return create_agent(model, [delete_it, look], middleware=[own, approval], checkpointer=saver)
    if talk.kind == "delegating":
        helper = create_agent(ScriptedModel(script=lambda r: "x"), middleware=[memory.middleware()])

        def task(text: str) -> str:
            """Delegate."""
            return str(helper.invoke({"messages": [HumanMessage(text)]})["messages"][-1].text)

        return create_agent(model, [task, look], middleware=[own], checkpointer=saver)
    if talk.kind == "handed over":
        return handing_over(memory, own, saver)
    return create_agent(model, [look], middleware=[own], checkpointer=saver)


def handing_over(memory: MemLLMMemory, own: Any, saver: Any) -> Any:
    """Two agents with the same memory; the first hands over to the second."""

    @tool
    def to_second(runtime: ToolRuntime) -> Command[Any]:
        """Hand over."""
        done = ToolMessage("ok", tool_call_id=runtime.tool_call_id)
        return Command(goto="second", graph=Command.PARENT, update={"messages": [runtime.state["messages"][-1], done]})

    first = create_agent(ScriptedModel(script=lambda r: tool_call("to_second")), [to_second], middleware=[own])
    second = create_agent(ScriptedModel(script=lambda r: "Hi."), middleware=[memory.middleware(name="second")])
    graph = StateGraph(MessagesState)
    graph.add_node("first", first, destinations=("second",))
    graph.add_node("second", second)
    graph.add_edge(START, "first")
    return graph.compile(checkpointer=saver)


async def turn(agent: Any, way: str, given: Any, run: Any) -> None:
    """One turn in one of the four ways."""
    if way == "ainvoke":
        await agent.ainvoke(given, run)
    elif way == "astream":
        async for _ in agent.astream(given, run, stream_mode=["messages", "updates"]):
            pass
    elif way == "stream":
        await asyncio.to_thread(lambda: list(agent.stream(given, run, stream_mode="updates")))
    else:
        await asyncio.to_thread(agent.invoke, given, run)


async def hold(talk: Talk, memory: MemLLMMemory) -> None:
    """Hold the conversation; what fails is said, and the person goes on."""
    write = "background" if talk.number % 3 == 1 else "after_agent"
    agent, way = agent_of(talk, memory, write), WAYS[talk.number % 4]
    for user, text in talk.turns():
        run = {"configurable": {"user_id": user, "thread_id": user}}
        try:
            await turn(agent, way, {"messages": [HumanMessage(text)]}, run)
            state = agent.get_state(run)
            if state.interrupts and talk.random.random() < 0.5:
                decisions = {"decisions": [{"type": "approve"}]}
                await turn(agent, way, Command(resume=decisions), run)
        except RuntimeError as error:
            assert "overloaded" in str(error)


@pytest.mark.parametrize(("kind", "number"), CONVERSATIONS)
async def test_every_stated_fact_is_there_once_and_nothing_else(
    kind: str, number: int, exam_store: Callable[[], TripleStore]
) -> None:
    talk = Talk(kind, number)
    memory = MemLLMMemory(exam_store(), model=ScriptedModel(script=extract), embedder=FakeEmbedder())
    await hold(talk, memory)
    memory.close()  # what was begun in the background is finished
    for user in talk.users:
        await memory.aflush(user_id=user)
        assert memory.stats(user_id=user).outbox == 0
        facts = memory.history("user", user_id=user)
        held = [(fact.triple.relation, fact.triple.object) for fact in facts]
        label = {relation: memory.core.catalogue.resolve(relation).label for _, relation in FACTS.values()}
        assert sorted(held) == sorted((label[relation], value) for relation, value in talk.stated[user])
        assert [len(fact.sources) for fact in facts] == [1] * len(facts)
        assert {fact.kind for fact in facts} <= {"user"}
        for relation in ("lives in", "works for"):
            stated = [value for kind_, value in talk.stated[user] if kind_ == relation]
            assert list(memory.read("user", relation, user_id=user).answers) == stated[-1:]


@pytest.fixture(params=["sqlite", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def exam_store(request: pytest.FixtureRequest) -> Callable[[], TripleStore]:
    """A store that stays open when a memory on it is closed."""
    if request.param == "neo4j":
        return lambda: request.getfixturevalue("neo4j_store")
    from langchain_memllm.stores.embedded import EmbeddedStore

    return lambda: EmbeddedStore(":memory:")
