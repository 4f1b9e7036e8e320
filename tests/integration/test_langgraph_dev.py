"""A real ``langgraph dev`` with authentication: whoever a client says it is, it reads and writes its own memory alone.

Two users by token. Each way of naming the other is tried on the agent with all its doors and on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from langgraph_sdk import get_sync_client
from langgraph_server import LangGraphServer, serve

from langchain_memllm import MemLLMMemory
from langchain_memllm.testing import FakeEmbedder

ADA: Final = {"user_id": "ada"}
DOORS: Final = {
    "agent": ["Where do I live?", "use look", "use alook", "use facts", "use recall"],
    "machine": ["Where do I live?", "use memory_read"],
}
WRITES: Final = {"agent": ["I live in Hell.", "use remember"], "machine": ["I live in Hell."]}
REFUSED: Final[dict[str, dict[str, Any]]] = {
    "configurable": {"config": {"configurable": ADA}},
    "context": {"context": ADA},
    "configurable and thread": {"config": {"configurable": {**ADA, "thread_id": "of ada"}}},
    "whitespace": {"config": {"configurable": {"user_id": "ada "}}},
}
RESERVED: Final[dict[str, dict[str, Any]]] = {
    "auth user": {"config": {"configurable": {"langgraph_auth_user": {"identity": "ada"}}}},
    "auth user id": {"config": {"configurable": {"langgraph_auth_user_id": "ada"}}},
    "auth user in context": {"context": {"langgraph_auth_user": {"identity": "ada"}}},
    "runtime": {"config": {"configurable": {"__pregel_runtime": {"context": ADA}}}},
    "server info": {"config": {"configurable": {"server_info": {"user": {"identity": "ada"}}}}},
}
IGNORED: Final[dict[str, dict[str, Any]]] = {
    "metadata": {"metadata": ADA},
    "metadata of the config": {"config": {"metadata": ADA}},
    "tags": {"config": {"tags": ["ada"]}},
    "name of the message": {"message": {"name": "ada"}},
    "fields of the message": {"message": {"additional_kwargs": ADA, "response_metadata": ADA, "id": "of ada"}},
    "fields of the input": {"input": {**ADA, "namespace": ["memllm", "ada"], "memllm_said": ["x"]}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LangGraphServer]:
    """The server, with what ada said."""
    with serve(tmp_path_factory.mktemp("langgraph")) as running:
        for graph in ("agent", "machine"):
            say(running, "ada", graph, "I live in Oslo.")
        yield running


def say(
    server: LangGraphServer,
    user: str,
    graph: str,
    text: str,
    *,
    thread: str | None = None,
    message: dict[str, Any] | None = None,
    input: dict[str, Any] | None = None,
    **options: Any,
) -> str:
    """The answer of a graph to a user with a token; the error of a run or request that was refused."""
    messages = [{"role": "user", "content": text, **(message or {})}]
    try:
        state = server.client(user).runs.wait(thread, graph, input={"messages": messages, **(input or {})}, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return str(state["messages"][-1]["content"])


def tried(
    server: LangGraphServer, texts: dict[str, list[str]], user: str = "bob", **options: Any
) -> list[tuple[str, str, str]]:
    """The answers that a user gets at each door, several at a time."""
    wanted = [(graph, text) for graph, each in texts.items() for text in each]
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda each: say(server, user, *each, **options), wanted)
        return [(*each, answer) for each, answer in zip(wanted, answers, strict=True)]


def test_a_user_with_a_token_has_a_memory_at_every_door(server: LangGraphServer) -> None:
    for user, found in (("ada", True), ("bob", False)):
        for graph, text, answer in tried(server, DOORS, user):
            assert ("Oslo" in answer) is found, (user, graph, text)
    assert "Oslo" in say(server, "ada", "agent", "use look", config={"configurable": ADA}), "naming oneself is fine"
    assert "Oslo" in say(server, "ada", "machine", "Where do I live?", context=ADA)


@pytest.mark.parametrize("way", REFUSED)
def test_naming_another_is_refused(server: LangGraphServer, way: str) -> None:
    """doors F1: bob read and overwrote ada's memory by configurable and by context."""
    for graph, text, answer in tried(server, {g: [*DOORS[g], *WRITES[g]] for g in DOORS}, **REFUSED[way]):
        assert "NamespaceError" in answer, (graph, text)
        assert "authenticated 'bob'" in answer
        assert "Oslo" not in answer


@pytest.mark.parametrize("way", RESERVED)
def test_what_only_the_server_may_set_gives_nothing(server: LangGraphServer, way: str) -> None:
    for graph, text, answer in tried(server, {g: [*DOORS[g], *WRITES[g]] for g in DOORS}, **RESERVED[way]):
        assert "Oslo" not in answer, (graph, text)


@pytest.mark.parametrize("way", IGNORED)
def test_what_names_nobody_gives_nothing(server: LangGraphServer, way: str) -> None:
    """doors F1, neighbours: metadata, message fields, the input."""
    for graph, text, answer in tried(server, {g: [*DOORS[g], *WRITES[g]] for g in DOORS}, **IGNORED[way]):
        assert "Oslo" not in answer, (graph, text)


def test_the_thread_of_another_gives_nothing_of_their_memory(server: LangGraphServer) -> None:
    """doors F1, neighbour: this application lets everybody use every thread; bob sees messages, no memory."""
    thread = server.client("ada").threads.create(metadata=ADA)["thread_id"]
    say(server, "ada", "agent", "Hello.", thread=thread)
    for text in (*DOORS["agent"], *WRITES["agent"]):
        assert "Oslo" not in say(server, "bob", "agent", text, thread=thread)
    assert "Oslo" in say(server, "ada", "agent", "use look", thread=thread)


def test_an_assistant_that_names_another_gives_nothing(server: LangGraphServer) -> None:
    for settings in ({"config": {"configurable": ADA}}, {"context": ADA}):
        assistant = server.client("bob").assistants.create("agent", metadata=ADA, **settings)["assistant_id"]
        for _, text, answer in tried(server, {assistant: [*DOORS["agent"], *WRITES["agent"]]}):
            assert "NamespaceError" in answer, text
            assert "Oslo" not in answer


def test_streams_are_of_one_s_own_memory(server: LangGraphServer) -> None:
    for user, found in (("ada", True), ("bob", False)):
        parts = server.client(user).runs.stream(
            None,
            "agent",
            input={"messages": [{"role": "user", "content": "Where do I live?"}]},
            stream_mode=["messages-tuple", "custom", "values", "updates"],
        )
        assert ("Oslo" in str(list(parts))) is found


def test_who_has_no_token_or_says_to_be_studio_is_nobody(server: LangGraphServer) -> None:
    """``disable_studio_auth`` is set, as it must be wherever strangers reach a server."""
    for headers in ({}, {"Authorization": "Bearer forged"}, {"x-auth-scheme": "langsmith"}):
        with get_sync_client(url=server.url, headers=headers) as client, pytest.raises(Exception, match="401"):
            client.runs.wait(None, "agent", input={"messages": []})


def test_in_the_end_nobody_wrote_into_another_s_memory(server: LangGraphServer) -> None:
    """0 reads and 0 writes across: the last test, on the file of the server."""
    with MemLLMMemory(server.folder / "memllm.db", embedder=FakeEmbedder()) as memory:
        assert memory.users() == ["ada", "bob"]
        assert memory.namespaces() == [("memllm", "ada"), ("memllm", "bob")]
        assert {str(fact.triple) for fact in memory.history("user", user_id="ada")} == {"(user, lives in, Oslo)"}
        assert {fact.principal for fact in memory.history("user", user_id="ada")} == {"ada"}
        assert "Hell" not in str(list(memory.export(user_id="ada")))
        assert "Oslo" not in str(list(memory.export(user_id="bob")))
        assert "Hell" in str(list(memory.export(user_id="bob")))


def test_nothing_left_the_machine(server: LangGraphServer) -> None:
    assert server.asked == []
