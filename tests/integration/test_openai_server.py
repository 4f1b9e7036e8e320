"""``ChatOpenAI`` through the machine, over a real HTTP server: what goes over the wire, and what only memory knows."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import HumanMessage
from openai_server import serve

from langchain_memllm.errors import ModelError
from langchain_memllm.extraction import ChatExtractor
from langchain_memllm.graph import build_graph
from langchain_memllm.memory import Memory

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

NS = ("memllm", "ada")
SECRET = "Svolvær-7731"
CONFIG = {"configurable": {"user_id": "ada", "thread_id": "t1"}}
ASK = {"messages": [HumanMessage("I like tea. Where is the cabin?", id="m1")]}


@pytest.fixture
def memory():
    memory = Memory()
    memory.write([("the cabin", "located in", SECRET)], namespace=NS)
    return memory


def model_at(server, **options):
    return ChatOpenAI(model="scripted", base_url=server.url, api_key="test", max_retries=0, **options)


def tools_of(request):
    return [tool["function"]["name"] for tool in request.get("tools", [])]


def by_tools(request):
    last = request["messages"][-1]
    if tools_of(request) == ["record_facts"]:
        return {"tool_calls": [("record_facts", {"facts": [{"subject": "I", "relation": "likes", "object": "tea"}]})]}
    if last["role"] == "tool":
        return {"content": f"At {last['content'].rpartition('= ')[2]}."}
    return {"tool_calls": [("memory_read", {"queries": [{"subject": "the cabin", "relation": "located in"}]})]}


def by_grammar(request):
    if request.get("tools"):
        return 400
    if "Text:" in request["messages"][-1]["content"]:
        return {"content": json.dumps({"facts": [{"subject": "I", "relation": "likes", "object": "tea"}]})}
    if len(request["messages"]) > 2:
        return {"content": " There you go."}
    return {"content": "It is at({MEM_READ(the cabin>>located in>>)-->Rome}) Rome."}


def requests_with_the_secret(server):
    return [request for request in server.log if SECRET in json.dumps(request, ensure_ascii=False)]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_result_that_only_memory_holds_goes_over_the_wire(memory, streaming, asynchronous):
    with serve(by_tools) as server:
        graph = build_graph(model_at(server, streaming=streaming), memory)
        result = await graph.ainvoke(ASK, CONFIG) if asynchronous else graph.invoke(ASK, CONFIG)
        assert result["messages"][-1].text == f"At {SECRET}."
        assert [tools_of(request) for request in server.log] == [["memory_read"], ["memory_read"], ["record_facts"]]
        (carrying,) = requests_with_the_secret(server)
        assert carrying is server.log[1]
        assert [message["role"] for message in carrying["messages"]] == ["user", "assistant", "tool"]
        assert carrying["messages"][2]["content"] == f"the cabin | located in | ? = {SECRET}"
        assert server.log[2]["tool_choice"] == "required"
    assert memory.read("user", "likes", namespace=NS).answers == ("tea",)


def test_streamed_messages_show_the_answer_and_no_extraction(memory):
    with serve(by_tools) as server:
        graph = build_graph(model_at(server), memory)
        parts = [part for part, _ in graph.stream(ASK, CONFIG, stream_mode="messages")]
        assert all(request["stream"] for request in server.log[:2])
    assert "".join(part.text for part in parts) == f"At {SECRET}."


def test_a_server_without_tools_by_grammar_and_json(memory):
    with serve(by_grammar) as server:
        model = model_at(server)
        graph = build_graph(model, memory, mode="grammar")
        result = graph.invoke(ASK, CONFIG)
        assert result["messages"][-1].text == "It is at There you go."
        assert f"({{MEM_READ(the cabin>>located in>>)-->{SECRET}}})" in server.log[1]["messages"][2]["content"]
        assert server.log[0]["stop"] == ["-->"]
        assert "stop" not in server.log[1]
        assert [bool(request.get("tools")) for request in server.log] == [False, False, True, False]
    assert memory.read("user", "likes", namespace=NS).answers == ("tea",)


def test_a_server_that_takes_no_stop_texts(memory):
    def script(request):
        return 400 if request.get("stop") else by_grammar(request)

    with serve(script) as server:
        graph = build_graph(model_at(server), memory, mode="grammar", write="off")
        for _ in range(2):
            assert graph.invoke(ASK, CONFIG)["messages"][-1].text == "It is at There you go."
        assert [bool(request.get("stop")) for request in server.log] == [True, False, False, False, False]


def test_a_server_that_fails_names_the_status_and_no_text(memory):
    with serve(lambda request: 500) as server:
        with pytest.raises(ModelError, match="status 500") as caught:
            build_graph(model_at(server), memory).invoke(ASK, CONFIG)
        assert "cabin" not in str(caught.value)
        with pytest.raises(ModelError, match="status 500"):
            ChatExtractor(model_at(server)).extract("Ada likes tea.")
    nobody = ChatOpenAI(model="scripted", base_url="http://127.0.0.1:9/v1", api_key="test", max_retries=0)
    with pytest.raises(ModelError, match="Connection"):
        ChatExtractor(nobody).extract("Ada likes tea.")
