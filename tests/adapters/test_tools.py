"""The tools: in an agent, in a ToolNode and on their own; what the model sees and is told when memory fails."""

from __future__ import annotations

import re
from typing import Any

import pytest
from agents import StoreThatGoes, agent_of, asked, memory_of, run_of, said, statuses
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langchain_memllm.errors import NamespaceError
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.testing import FakeEmbedder, Request, ScriptedModel, tool_call

OSLO = {"facts": [{"subject": "user", "relation": "lives in", "object": "Oslo"}]}
ROME = {"facts": [{"subject": "user", "relation": "lives in", "object": "Rome"}]}


def named(memory: MemLLMMemory) -> dict[str, BaseTool]:
    """The tools by name."""
    return {tool.name: tool for tool in memory.tools()}


def calling(name: str, arguments: dict[str, Any], call: str = "call-1") -> dict[str, Any]:
    """The input of a ToolNode: an answer that calls a tool."""
    calls = [{"name": name, "args": arguments, "id": call, "type": "tool_call"}]
    return {"messages": [AIMessage("", id=f"answer {call}", tool_calls=calls)]}


def node_of(memory: MemLLMMemory) -> Any:
    """A graph that runs tools and nothing else."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(memory.tools()))
    graph.add_edge(START, "tools")
    return graph.compile()


def test_the_model_sees_our_arguments_only() -> None:
    seen = {}
    for tool in memory_of().tools():
        function = convert_to_openai_tool(tool)["function"]
        seen[function["name"]] = set(function["parameters"]["properties"])
        assert len(function["description"]) > 40
    assert seen == {
        "remember": {"facts"},
        "recall": {"query", "k"},
        "forget": {"subject", "relation", "object", "everything"},
    }


def test_an_agent_remembers_recalls_and_forgets_by_tools() -> None:
    def script(request: Request) -> Any:
        last = request.messages[-1]
        if isinstance(last, ToolMessage):
            return str(last.text)
        text = str(last.text)
        if "forget" in text:
            return tool_call("forget", subject="user", relation="lives in")
        return tool_call("recall", query="Where do I live?") if "?" in text else tool_call("remember", **OSLO)

    memory = memory_of()
    agent = agent_of(memory, ScriptedModel(script=script), middleware=[memory.middleware("tools")])
    assert said(agent.invoke(asked("I live in Oslo."), run_of("ada"))) == "user | lives in | Oslo: stored"
    shown = said(agent.invoke(asked("Where?"), run_of("ada")))
    assert re.search(r"- user \| lives in \| Oslo \| said \d{4}-\d\d-\d\d\n", shown)
    assert said(agent.invoke(asked("Where?"), run_of("bob"))) == "Nothing is stored about this."
    assert said(agent.invoke(asked("forget where I live"), run_of("ada"))) == "Closed 1 fact. The history keeps it."
    assert statuses(memory, "ada") == [("Oslo", "past")]


def test_a_tool_node_runs_them_for_the_user_of_the_run() -> None:
    memory = memory_of()
    message = node_of(memory).invoke(calling("remember", OSLO), run_of("ada"))["messages"][-1]
    assert (message.status, message.content) == ("success", "user | lives in | Oslo: stored")
    assert message.artifact["outcomes"][0]["status"] == "stored"
    assert statuses(memory, "ada") == [("Oslo", "current")]
    assert memory.stats(user_id="bob").facts == 0


async def test_async() -> None:
    memory = memory_of()
    node = node_of(memory)
    await node.ainvoke(calling("remember", OSLO), run_of("ada"))
    found = await node.ainvoke(calling("recall", {"query": "Where do I live?"}), run_of("ada"))
    assert [fact["object"] for fact in found["messages"][-1].artifact] == ["Oslo"]
    gone = await node.ainvoke(calling("forget", {"subject": "user", "relation": "lives in"}), run_of("ada"))
    assert gone["messages"][-1].content == "Closed 1 fact. The history keeps it."


def test_outside_of_a_graph_the_config_of_the_call_counts() -> None:
    memory = memory_of()
    tools = named(memory)
    assert tools["remember"].invoke(OSLO, run_of("ada")) == "user | lives in | Oslo: stored"
    assert "Oslo" in tools["recall"].invoke({"query": "Where do I live?"}, run_of("ada"))
    assert statuses(memory, "ada") == [("Oslo", "current")]
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        tools["remember"].invoke(OSLO)


def test_the_user_corrects_themself_and_the_model_hears_it() -> None:
    memory = memory_of()
    node = node_of(memory)
    node.invoke(calling("remember", OSLO, "a"), run_of("ada"))
    node.invoke(calling("remember", ROME, "b"), run_of("ada"))
    assert statuses(memory, "ada") == [("Oslo", "past"), ("Rome", "current")]
    again = node.invoke(calling("remember", ROME, "c"), run_of("ada"))
    assert again["messages"][-1].content == "user | lives in | Rome: was known already"


def test_what_the_user_said_is_not_replaced_by_a_tool() -> None:
    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    told = node_of(memory).invoke(calling("remember", ROME), run_of("ada"))["messages"][-1]
    assert told.content == "user | lives in | Rome: stored, beside another value that was not replaced"
    assert statuses(memory, "ada") == [("Oslo", "contested"), ("Rome", "contested")]


def test_a_tool_call_that_is_delivered_again_writes_nothing_twice() -> None:
    memory = memory_of()
    node = node_of(memory)
    for _ in range(2):
        node.invoke(calling("remember", OSLO, "same call"), run_of("ada", "t"))
    assert memory.stats(user_id="ada").operations == 1


def test_one_fact_of_many_is_forgotten() -> None:
    memory = memory_of()
    memory.write([("user", "likes", "tea"), ("user", "likes", "coffee")], user_id="ada")
    tools = named(memory)
    arguments = {"subject": "user", "relation": "likes", "object": "Tea"}
    assert tools["forget"].invoke(arguments, run_of("ada")) == "Closed 1 fact. The history keeps it."
    assert memory.read("user", "likes", user_id="ada").answers == ("coffee",)
    assert tools["forget"].invoke(arguments, run_of("ada")) == "Nothing is stored about this."


def test_a_recollection_under_way_is_renewed_when_a_tool_forgets() -> None:
    def script(request: Request) -> Any:
        if isinstance(request.messages[-1], ToolMessage):
            return "Oslo" if "| Oslo |" in request.text else "gone"
        return tool_call("forget", subject="user", relation="lives in")

    memory = memory_of()
    memory.write([("user", "lives in", "Oslo")], user_id="ada")
    model = ScriptedModel(script=script)
    middleware = [memory.middleware("read"), memory.middleware("tools", name="by tools")]
    state = agent_of(memory, model, middleware=middleware).invoke(asked("I do not live in Oslo"), run_of("ada"))
    assert "| Oslo |" in model.requests[0].text
    assert said(state) == "gone"


def test_a_failing_memory_is_told_to_the_model_and_nothing_is_claimed() -> None:
    store = StoreThatGoes()
    memory = MemLLMMemory(store, embedder=FakeEmbedder())
    node = node_of(memory)
    store.down = True
    for name, arguments, beginning in (
        ("remember", OSLO, "The facts were not saved"),
        ("recall", {"query": "Where do I live?"}, "Nothing could be looked up"),
        ("forget", {"subject": "user", "relation": "lives in"}, "Nothing was forgotten"),
    ):
        message = node.invoke(calling(name, arguments), run_of("ada"))["messages"][-1]
        assert message.status == "error"
        assert message.content.startswith(beginning)
        assert "(StoreUnavailable: the store test://away does not answer; start it)" in message.content
        assert "Tell the user" in message.content
        assert " stored" not in message.content.replace("what is stored is not known", "")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("remember", {"facts": []}, "at least 1"),
        ("remember", {"facts": [{"subject": "user"}]}, "Field required"),
        ("recall", {"query": "x", "k": 1000}, "less than or equal to 30"),
        ("forget", {"subject": "user", "object": "tea"}, "give the relation too"),
        ("forget", {"subject": "", "relation": "likes"}, "it is empty"),
    ],
)
def test_bad_arguments_are_told_to_the_model(name: str, arguments: dict[str, Any], said: str) -> None:
    message = node_of(memory_of()).invoke(calling(name, arguments), run_of("ada"))["messages"][-1]
    assert message.status == "error"
    assert said in message.content


def test_a_name_that_cannot_be_stored_is_rejected_with_its_reason() -> None:
    facts = {"facts": [OSLO["facts"][0], {"subject": "user", "relation": "likes", "object": "x" * 300}]}
    memory = memory_of()
    message = node_of(memory).invoke(calling("remember", facts), run_of("ada"))["messages"][-1]
    first, second = message.content.splitlines()
    assert first.endswith(": stored")
    assert "not stored (300 characters; at most 256 fit" in second
    assert memory.stats(user_id="ada").facts == 1


def test_a_run_that_names_nobody_is_an_error_of_the_application() -> None:
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        node_of(memory_of()).invoke(calling("remember", OSLO))


def test_the_model_cannot_choose_whose_memory() -> None:
    memory = memory_of()
    arguments = {**OSLO, "user_id": "bob", "namespace": ["memllm", "bob"]}
    node_of(memory).invoke(calling("remember", arguments), run_of("ada"))
    assert memory.namespaces() == [("memllm", "ada")]
