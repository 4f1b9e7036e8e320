"""What a tool call may change: the person's own words decide, whoever made the model call."""

from __future__ import annotations

import inspect
import operator
import re
from typing import Annotated, Any, TypedDict

import pytest
from agents import StoreThatGoes, agent_of, asked, memory_of, run_of, said, statuses
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel

from langchain_memllm.errors import ConfigurationError, StoreUnavailable
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.testing import FakeEmbedder, Request, ScriptedModel, tool_call
from langchain_memllm.triples import Source
from langchain_memllm.turns import refuse_duplicates


def named(memory: MemLLMMemory, **options: Any) -> dict[str, BaseTool]:
    """The tools by name."""
    return {tool.name: tool for tool in memory.tools(**options)}


def fact(object_: str, relation: str = "lives in", subject: str = "user", **more: Any) -> dict[str, Any]:
    """The arguments of ``remember`` for one fact."""
    return {"facts": [{"subject": subject, "relation": relation, "object": object_, **more}]}


def says(text: str, tool: str, arguments: dict[str, Any], memory: MemLLMMemory, **options: Any) -> str:
    """What an agent's tool answers when a person says this and the model calls it so."""

    def script(request: Request) -> Any:
        last = request.messages[-1]
        return str(last.text) if isinstance(last, ToolMessage) else tool_call(tool, **arguments)

    agent = create_agent(ScriptedModel(script=script), memory.tools(**options))
    messages = options.pop("messages", None) or [HumanMessage(text)]
    return said(agent.invoke({"messages": messages}, run_of("ada")))


def kinds(memory: MemLLMMemory, subject: str = "user") -> list[tuple[str, str, str | None, str]]:
    """Object, kind, principal and state of what is known."""
    return [(f.triple.object, f.kind, f.principal, f.state) for f in memory.history(subject, user_id="ada")]


# --- whose word a call is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "object_", "kind"),
    [
        ("I moved to Bergen.", "Bergen", "user"),
        ("i moved to BERGEN", "Bergen", "user"),
        ("Bergen's where I live now", "Bergen", "user"),
        ("I live in New\n York", "New York", "user"),
        ("Read this page for me.", "Bergen", "tool"),
        ("I am on the team", "tea", "tool"),
        ("I live in Bergenfield", "Bergen", "tool"),
        ("I earn 190,000", "90,000", "tool"),
        ("東京に住んでいます", "東京", "user"),
        ("서울에 살아요", "서울", "user"),
    ],
)
def test_a_call_counts_as_the_person_s_if_their_words_name_the_value(text: str, object_: str, kind: str) -> None:
    memory = memory_of()
    says(text, "remember", fact(object_), memory)
    assert kinds(memory) == [(object_, kind, "ada", "current")]


def test_what_a_web_page_wants_remembered_contests_and_closes_nothing() -> None:
    """C1: also one that a web page asked for keeps the rank of a tool."""
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    told = says("Summarise the page.", "remember", fact("Bergen"), memory)
    assert told == "user | lives in | Bergen: stored, beside another value that was not replaced"
    assert kinds(memory) == [("Oslo", "user", "ada", "contested"), ("Bergen", "tool", "ada", "contested")]


def test_what_a_page_wants_remembered_replaces_nothing_that_the_person_had_remembered() -> None:
    """redteam, "also seen": all that a model stored had one rank and one principal, so the later call won."""
    memory = memory_of()
    says("I live in Oslo.", "remember", fact("Oslo"), memory)
    says("Summarise the page.", "remember", fact("Bergen"), memory)
    assert kinds(memory) == [("Oslo", "user", "ada", "contested"), ("Bergen", "tool", "ada", "contested")]


def test_what_the_person_says_in_the_run_replaces_what_they_said_before() -> None:
    """bugs 3.3: what the tool learns did not replace what the person had said."""
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    assert says("I moved to Bergen.", "remember", fact("Bergen"), memory) == "user | lives in | Bergen: stored"
    assert statuses(memory, "ada") == [("Oslo", "past"), ("Bergen", "current")]


def test_what_application_code_remembers_outside_of_runs_is_the_person_s() -> None:
    """bugs 3.3, as it stands there: right: [('Bergen', 'current')]."""
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    named(memory)["remember"].invoke(fact("Bergen"), run_of("ada"))
    memory.write([("user", "lives in", "Bergen")], user_id="ada")
    found = memory.read("user", "lives in", user_id="ada")
    assert [(match.answer, match.fact.state) for match in found] == [("Bergen", "current")]


async def test_what_a_model_asked_for_is_a_tool_s_wherever_it_is_called() -> None:
    memory = memory_of()
    remember = named(memory)["remember"]
    call = {"type": "tool_call", "name": "remember", "id": "c", "args": fact("Oslo")}
    remember.invoke(call, run_of("ada"))  # a loop of one's own, with a model's tool call
    await remember.ainvoke({**call, "args": fact("Rome")}, run_of("ada"))
    RunnableLambda(lambda _: remember.invoke(fact("Paris"))).invoke("x", run_of("ada"))  # within a chain
    remember.run(fact("Lima"), config=run_of("ada"))
    graph = StateGraph(MessagesState)
    graph.add_node("node", lambda state: remember.invoke(fact("Bern")) and None)
    graph.add_edge(START, "node")
    graph.compile().invoke(asked("x"), run_of("ada"))
    assert {kind for _, kind, _, _ in kinds(memory)} == {"tool"}
    assert len(kinds(memory)) == 5
    await remember.ainvoke(fact("Oslo"), run_of("ada"))
    assert kinds(memory)[-1] == ("Oslo", "user", "ada", "current")


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("I live in Bergen.", additional_kwargs={"lc_source": "summarization"}), HumanMessage("Go on.")],
        [HumanMessage("I live in Bergen.", name="bob"), HumanMessage("Go on.")],
        [HumanMessage("I live in Bergen."), AIMessage("Noted."), HumanMessage("Go on.")],
        [HumanMessage("Go on."), AIMessage("You live in Bergen.")],
    ],
    ids=["a summary", "another speaker", "an earlier turn", "the model"],
)
def test_words_that_are_not_the_person_s_in_this_turn_do_not_count(messages: list[AnyMessage]) -> None:
    memory = memory_of()

    def script(request: Request) -> Any:
        return "ok" if isinstance(request.messages[-1], ToolMessage) else tool_call("remember", **fact("Bergen"))

    create_agent(ScriptedModel(script=script), memory.tools()).invoke({"messages": messages}, run_of("ada"))
    assert kinds(memory) == [("Bergen", "tool", "ada", "current")]


def test_each_fact_of_a_call_has_its_own_rank() -> None:
    memory = memory_of()
    facts = [*fact("Bergen")["facts"], *fact("Equinor", "works for")["facts"], *fact("tea", "likes")["facts"]]
    told = says("I live in Bergen and like tea.", "remember", {"facts": facts}, memory)
    assert told.splitlines() == [
        "user | lives in | Bergen: stored",
        "user | works for | Equinor: stored",
        "user | likes | tea: stored",
    ]
    assert sorted((o, k) for o, k, _, _ in kinds(memory)) == [("Bergen", "user"), ("Equinor", "tool"), ("tea", "user")]


def test_of_a_fact_whose_object_is_the_person_the_subject_is_the_value() -> None:
    memory = memory_of()
    says("Mia is my sister.", "remember", fact("user", "sister of", "Mia"), memory)
    says("Hello.", "remember", fact("me", "cousin of", "Eve"), memory)
    assert [f.kind for name in ("Mia", "Eve") for f in memory.history(name, user_id="ada")] == ["user", "tool"]


class Model(BaseModel):
    """A state of pydantic."""

    messages: Annotated[list[AnyMessage], add_messages]


class Chat(TypedDict):
    """A state with another key."""

    count: Annotated[int, operator.add]
    chat: Annotated[list[AnyMessage], add_messages]


@pytest.mark.parametrize(("state", "key"), [(MessagesState, "messages"), (Model, "messages"), (Chat, "chat")])
def test_the_person_s_words_are_found_in_any_state(state: Any, key: str) -> None:
    memory = memory_of()
    graph = StateGraph(state)
    graph.add_node("tools", ToolNode(memory.tools(), messages_key=key))
    graph.add_edge(START, "tools")
    calls = [{"name": "remember", "args": fact("Bergen"), "id": "1", "type": "tool_call"}]
    graph.compile().invoke({key: [HumanMessage("I live in Bergen."), AIMessage("", tool_calls=calls)]}, run_of("ada"))
    assert kinds(memory) == [("Bergen", "user", "ada", "current")]


# --- the person is one ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["user", "The user", "me", "I", "the speaker", "USER"])
def test_the_person_is_one_under_every_name(subject: str) -> None:
    """bugs 3.11: right: four times the fact, and that it is closed."""
    memory = memory_of()
    tools = named(memory)
    assert tools["remember"].invoke(fact("Oslo", subject=subject), run_of("ada")) == "user | lives in | Oslo: stored"
    assert "user | lives in | Oslo" in tools["recall"].invoke({"query": "Where do I live?"}, run_of("ada"))
    assert "user | lives in | Oslo" in tools["recall"].invoke({"query": f"Where does {subject} live?"}, run_of("ada"))
    forget = {"subject": subject, "relation": "lives in"}
    assert tools["forget"].invoke(forget, run_of("ada")) == "Closed 1 fact. The history keeps it."
    assert statuses(memory, "ada") == [("Oslo", "past")]


def test_the_person_is_one_under_their_own_name_once_they_stated_it() -> None:
    """bugs 3.11, C5."""
    memory = memory_of()
    tools = named(memory)
    memory.write([("user", "name", "Kari Nordmann")], user_id="ada")
    tools["remember"].invoke(fact("Oslo", subject="kari nordmann"), run_of("ada"))
    assert memory.read("user", "lives in", user_id="ada").answers == ("Oslo",)
    assert "Oslo" in tools["recall"].invoke({"query": "Where does Kari Nordmann live?"}, run_of("ada"))
    forget = {"subject": "Kari Nordmann", "relation": "lives in"}
    assert tools["forget"].invoke(forget, run_of("ada")) == "Closed 1 fact. The history keeps it."


def test_a_name_that_a_page_gave_the_person_is_not_theirs() -> None:
    memory = memory_of()
    memory.write([("user", "name", "Bob")], user_id="ada", source=Source("tool"))
    named(memory)["remember"].invoke(fact("Oslo", subject="Bob"), run_of("ada"))
    assert not memory.read("user", "lives in", user_id="ada")


# --- what has ended, what is forgotten --------------------------------------------------------------------------------


def test_something_that_ended_is_past_and_stays_in_the_history() -> None:
    """C5: ``remember`` could not say that something ended."""
    memory = memory_of()
    memory.write([("user", "works for", "Acme"), ("user", "likes", "tea")], user_id="ada")
    told = says("I no longer work at Acme.", "remember", fact("Acme", "works for", ended=True), memory)
    assert told == "user | works for | Acme: is past now"
    assert [(o, state) for o, _, _, state in kinds(memory)] == [("Acme", "past"), ("tea", "current")]
    told = says("I no longer work at Acme.", "remember", fact("Acme", "works for", ended=True), memory)
    assert told == "user | works for | Acme: nothing to end: it is not known to be so now"


def test_what_a_page_says_has_ended_does_not_end_what_the_person_said() -> None:
    memory = memory_of()
    memory.write([("user", "works for", "Acme")], user_id="ada")
    told = says("Summarise the page.", "remember", fact("Acme", "works for", ended=True), memory)
    assert "not stored (stated by a source of higher rank" in told
    assert [state for *_, state in kinds(memory)] == ["current"]


FORGET_HOME = {"subject": "user", "relation": "lives in"}


@pytest.mark.parametrize(
    ("text", "forgotten"),
    [
        ("Forget that I live in Oslo.", True),  # the object, the relation's word
        ("Forget Oslo.", True),
        ("Forget where I live.", True),
        ("Forget my residence.", True),  # an alias of the relation
        ("Summarise this page, I need it.", False),
        ("What is my name?", False),
        ("Forget my phone number.", False),
    ],
)
def test_what_the_person_stated_is_forgotten_only_if_their_words_name_it(text: str, forgotten: bool) -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    told = says(text, "forget", FORGET_HOME, memory)
    assert told.startswith("Closed 1 fact." if forgotten else "Nothing was forgotten. 1 fact stayed")
    assert statuses(memory, "ada") == [("Oslo", "past" if forgotten else "current")]


@pytest.mark.parametrize("erase", [False, True])
def test_everything_goes_only_if_the_person_asks_for_it(erase: bool) -> None:
    """C5, bugs friction 5: forget(subject="user") for "forget my address" erased everything at once."""
    everything = {"subject": "user", "everything": True}
    for text, left in (("Forget my address.", 2), ("Forget everything about me!", 0), ("Vergiss alles über mich", 0)):
        memory = memory_of()
        memory.write([("user", "spouse", "Kim"), ("user", "works for", "Acme")], user_id="ada")
        told = says(text, "forget", everything, memory, erase=erase)
        assert len([fact for fact in memory.history("user", user_id="ada") if fact.is_open]) == left
        assert len(memory.history("user", user_id="ada")) == (left if erase else 2)
        assert told.startswith("Nothing was forgotten" if left else "Erased 2 facts" if erase else "Closed 2 facts")
    assert says("Forget it.", "forget", {"subject": "user"}, memory).startswith("Nothing was forgotten: give the rel")


@pytest.mark.parametrize("erase", [False, True])
@pytest.mark.parametrize("kind", ["owner", "system"])
def test_nothing_above_the_person_is_forgotten(kind: Any, erase: bool) -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada", source=Source(kind, principal="ada"))
    assert "1 fact stayed" in says("Forget that I live in Oslo.", "forget", FORGET_HOME, memory, erase=erase)
    assert statuses(memory, "ada") == [("Oslo", "current")]


@pytest.mark.parametrize("erase", [False, True])
def test_in_a_shared_memory_what_another_said_stays(erase: bool) -> None:
    memory = memory_of(namespace=("team", "acme"))
    memory.write([("office", "is in", "Oslo")], source=Source(principal="bob"))
    (tool,) = (each for each in memory.tools(erase=erase) if each.name.endswith("forget"))
    arguments = {"subject": "office", "relation": "is in", "object": "Oslo"}
    told = says("Forget that the office is in Oslo.", tool.name, arguments, memory, erase=erase)
    assert "1 fact stayed" in told
    assert [fact.state for fact in memory.history("office")] == ["current"]


def test_erasing_is_asked_for_where_the_tools_are_made() -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    memory.write([("user", "lives in", "Rome")], user_id="ada")
    assert says("Forget where I live", "forget", FORGET_HOME, memory, erase=True) == "Erased 2 facts."
    assert memory.stats(user_id="ada").facts == 0


def test_what_a_tool_stored_may_be_closed_without_the_person_s_words() -> None:
    memory = memory_of()
    memory.write([("Oslo", "population", "700,000")], user_id="ada", source=Source("tool", principal="ada"))
    told = says("Check the figures.", "forget", {"subject": "Oslo", "relation": "population"}, memory)
    assert told == "Closed 1 fact. The history keeps it."


def test_everything_is_found_at_both_ends() -> None:
    memory = memory_of()
    memory.write([("Mia", "sister of", "user"), ("user", "likes", "Mia"), ("Mia", "lives in", "Lyon")], user_id="ada")
    told = says("Forget everything about Mia", "forget", {"subject": "Mia", "everything": True}, memory)
    assert told == "Closed 3 facts. The history keeps them."


# --- the name of the operation ----------------------------------------------------------------------------------------


def test_ids_of_calls_that_a_server_uses_again() -> None:
    """doors F10: Oslo, Rome, Oslo again by "call_0" each: the third was taken for the first; right: Oslo current."""
    memory = memory_of()
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(memory.tools()))
    graph.add_edge(START, "tools")
    app = graph.compile()
    for place in ("Oslo", "Rome", "Oslo"):
        calls = [{"name": "remember", "args": fact(place), "id": "call_0", "type": "tool_call"}]
        app.invoke({"messages": [AIMessage("", tool_calls=calls)]}, run_of("ada", "t"))
    assert statuses(memory, "ada")[-1] == ("Oslo", "current")
    assert memory.stats(user_id="ada").operations == 3


def test_one_call_of_one_message_is_one_operation() -> None:
    memory = memory_of()
    node = ToolNode(memory.tools())
    calls = [{"name": "remember", "args": fact("Oslo"), "id": "call_0", "type": "tool_call"}]
    graph = StateGraph(MessagesState)
    graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    for _ in range(2):
        graph.compile().invoke({"messages": [AIMessage("", id="m", tool_calls=calls)]}, run_of("ada", "t"))
    assert memory.stats(user_id="ada").operations == 1


# --- two memories in one agent ----------------------------------------------------------------------------------------


def test_two_memories_in_one_agent_are_told_apart() -> None:
    """bugs 3.7: the private fact went to the team."""
    own, team = memory_of(), memory_of(namespace=("team", "acme"))
    tools = [*own.tools(), *team.tools()]
    assert [tool.name for tool in tools[3:]] == ["team_acme_remember", "team_acme_recall", "team_acme_forget"]
    refuse_duplicates(tools)

    def script(request: Request) -> Any:
        if isinstance(request.messages[-1], ToolMessage):
            return "ok"
        return tool_call("remember", **fact("90,000", "salary"))

    agent = create_agent(ScriptedModel(script=script), tools)
    agent.invoke(asked("Remember privately that I earn 90,000"), run_of("ada"))
    assert own.read("user", "salary", user_id="ada").answers == ("90,000",)
    assert team.read("user", "salary").answers == ()


def test_default_names_never_collide() -> None:
    templates: list[tuple[str, ...]] = [
        ("memllm", "{user_id}"),
        ("memllm", "user_id"),
        ("memllm",),
        ("{user_id}",),
        ("{thread_id}",),
        ("memllm", "{user_id}", "notes"),
        ("memllm", "notes", "{user_id}"),
        ("memllm", "notes"),
        ("memllm_notes",),
        ("memllm", "notes_"),
        ("team", "acme"),
        ("team-acme",),
        ("team", "Acme"),
        ("team", "ä"),
        ("team", "ö"),
        ("🦊",),
        ("x" * 200,),
        ("x" * 199,),
        ("x" * 41, "y"),
    ]
    names = [tool.name for template in templates for tool in memory_of(namespace=template).tools()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)


def test_two_tools_of_one_name_are_refused() -> None:
    one, other = memory_of(), memory_of()
    with pytest.raises(ConfigurationError, match=r"two tools are named 'remember'.*prefix="):
        refuse_duplicates([*one.tools(), *other.tools()])
    with pytest.raises(ConfigurationError, match="'recall'"):
        refuse_duplicates([one.tools()[1], {"type": "function", "name": "recall"}])
    refuse_duplicates([{"name": "a"}, {"name": "a"}, {"type": "web_search"}, *one.tools(), *other.tools(prefix="b-")])


@pytest.mark.parametrize("by_middleware", [False, True])
async def test_an_agent_whose_tools_hide_a_memory_s_calls_no_model(by_middleware: bool) -> None:
    """bugs 3.7: an agent drops all but the last tool of a name; refused before a model is called."""
    one, other = memory_of(), memory_of()
    model = ScriptedModel(script=lambda request: "ok")
    middleware, tools = [one.middleware("tools")], other.tools()
    if by_middleware:
        middleware, tools = [*middleware, other.middleware("tools", name="other")], []
    agent = create_agent(model, tools, middleware=middleware)
    with pytest.raises(ConfigurationError, match="two tools are named 'remember'"):
        agent.invoke(asked("Hello"), run_of("ada"))
    with pytest.raises(ConfigurationError, match="two tools are named 'remember'"):
        await agent.ainvoke(asked("Hello"), run_of("ada"))
    assert not model.requests
    prefixed = [one.middleware("tools"), other.middleware("tools", name="other", prefix="other_")]
    create_agent(model, middleware=prefixed).invoke(asked("Hello"), run_of("ada"))
    assert {"remember", "other_remember"} <= set(model.requests[0].tools)


@pytest.mark.parametrize("prefix", ["x" * 56, "a b", "ä", 7])
def test_a_prefix_that_no_tool_can_have(prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot begin the name of a tool"):
        memory_of().tools(prefix=prefix)


def test_descriptions_say_whose_memory_it_is() -> None:
    def of(**options: Any) -> set[str]:
        return {tool.description.rsplit(". ", 1)[-1] for tool in memory_of(**options).tools()}

    assert of() == {"This is the user's own memory."}
    assert of(namespace=("memllm", "{user_id}", "notes")) == {"This is the user's own memory 'memllm/notes'."}
    assert of(namespace=("team", "acme")) == {
        "This is the memory 'team/acme', which others share: nothing private belongs here."
    }


def test_tools_say_that_they_must_not_be_cached() -> None:
    """doors F28: a cache of tools would serve one user's answer to another."""
    found = {tool.name: (tool.tags, tool.metadata) for tool in memory_of().tools()}
    for name, read_only, destructive in (("remember", False, False), ("recall", True, False), ("forget", False, True)):
        assert found[name] == (
            ["memllm"],
            {
                "cacheable": False,
                "volatile": True,
                "read_only": read_only,
                "readOnlyHint": read_only,
                "destructive": destructive,
                "destructiveHint": destructive,
            },
        )


def test_blocks_say_whose_they_are() -> None:
    """bugs friction 15: two blocks with the same heading."""
    own, team = memory_of(), memory_of(namespace=("team", "acme"))
    own.write([("user", "lives in", "Oslo")], user_id="ada")
    team.write([("user", "lives in", "HQ")])
    block = named(own)["recall"].invoke({"query": "Where do I live?"}, run_of("ada"))
    assert "Facts from memory (" in block
    assert block == own.recall("Where do I live?", user_id="ada").block
    shared = named(team)["team_acme_recall"].invoke({"query": "Where do I live?"}, run_of("ada"))
    assert "Facts from the memory team/acme (" in shared
    model = ScriptedModel(script=lambda request: "ok")
    both = [own.middleware("read"), team.middleware("read", name="team")]
    agent_of(own, model, middleware=both).invoke(asked("Where do I live?"), run_of("ada"))
    assert block in model.requests[0].text
    assert shared in model.requests[0].text


# --- a memory that fails ----------------------------------------------------------------------------------------------


def test_a_failing_memory_says_why_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemLLMMemory(StoreThatGoes(), embedder=FakeEmbedder())
    remember = named(memory)["remember"]

    def fails(error: Exception) -> str:
        def write(*args: Any, **kwargs: Any) -> Any:
            raise error

        monkeypatch.setattr(memory.core, "write", write)
        return str(remember.invoke(fact("Oslo"), run_of("ada")))

    told = fails(StoreUnavailable("neo4j://kari:hunter2@db.example does not answer; start it"))
    assert "StoreUnavailable: neo4j://…@db.example does not answer" in told
    told = fails(RuntimeError("secret text of somebody"))
    assert "(RuntimeError)" in told
    assert "secret" not in told


def test_an_agent_with_middleware_and_tools_settles_a_new_value_in_one_turn() -> None:
    """bugs 3.3: the tool wrote first, the middleware then only confirmed, and both stood contested for ever."""
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")

    def script(request: Request) -> Any:
        return "ok" if isinstance(request.messages[-1], ToolMessage) else tool_call("remember", **fact("Bergen"))

    middleware = [memory.middleware(), memory.middleware("tools", name="tools")]
    agent_of(memory, ScriptedModel(script=script), middleware=middleware).invoke(
        asked("I moved to Bergen"), run_of("ada")
    )
    assert statuses(memory, "ada") == [("Oslo", "past"), ("Bergen", "current")]


@pytest.mark.parametrize("order", [1, -1], ids=["tools last", "tools first"])
@pytest.mark.parametrize(
    ("text", "object_"),
    [
        ("I moved to Bergen", "Bergen"),
        ("I moved to Bergen", "Bergen, Norway"),  # not their words: a tool's
        ("I left Oslo. I moved to Bergen", "Oslo"),  # their words, and wrong
        ("I was in Rome. I moved to Bergen", "Rome"),
    ],
)
def test_what_a_tool_wrote_in_a_turn_counts_as_said_when_the_person_spoke(text: str, object_: str, order: int) -> None:
    """bugs 3.3: written seconds after the person's message, it would be newer than what the message says."""
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")

    def script(request: Request) -> Any:
        return "ok" if isinstance(request.messages[-1], ToolMessage) else tool_call("remember", **fact(object_))

    middleware = [memory.middleware(), memory.middleware("tools", name="tools")][::order]
    agent_of(memory, ScriptedModel(script=script), middleware=middleware).invoke(asked(text), run_of("ada"))
    known = statuses(memory, "ada")
    assert [place for place, state in known if state == "current"] == ["Bergen"]
    assert [place for place, state in known if state == "contested"] == []
    assert len(set(known)) == len(known)


def test_a_tool_takes_the_time_that_a_message_carries_where_there_is_no_middleware() -> None:
    """bugs 3.3, 3.14"""
    memory = memory_of()
    old = HumanMessage("I live in Oslo.", additional_kwargs={"timestamp": "2026-03-01T12:00:00+00:00"})
    memory.write([("user", "lives in", "Rome")], user_id="ada", at="2026-04-01")

    def script(request: Request) -> Any:
        return "ok" if isinstance(request.messages[-1], ToolMessage) else tool_call("remember", **fact("Oslo"))

    create_agent(ScriptedModel(script=script), memory.tools()).invoke({"messages": [old]}, run_of("ada"))
    assert statuses(memory, "ada") == [("Rome", "current"), ("Oslo", "past")]


def test_the_tools_are_given_the_run_on_the_oldest_langchain_core_too() -> None:
    """doors F12: langchain-core before 1.6 finds ``runtime`` by its type, not by a text that names the type."""
    for tool in memory_of().tools():
        assert isinstance(tool, StructuredTool)
        for function in (tool.func, tool.coroutine):
            assert function is not None
            assert inspect.signature(function).parameters["runtime"].annotation is ToolRuntime


def test_a_model_that_repeats_what_a_page_said_makes_it_no_truer() -> None:
    """redteam A20, S6: recalled facts, remembered again, rose to the rank of a tool."""
    memory = MemLLMMemory(":memory:", embedder=FakeEmbedder(), require_user=False)
    memory.write([("Norway", "capital", "Moscow")], source=Source("web", "page"))
    tool = memory.tools()[0]
    for _ in range(3):
        facts = [{"subject": "Norway", "relation": "capital", "object": "Moscow"}]
        tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": {"facts": facts}})
    (fact,) = memory.facts("Norway")
    assert fact.kind == "web" and len(fact.sources) > 1
