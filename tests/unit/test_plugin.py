"""The facade: whose memory, a text in parts, one operation once, twins, and what bad input gets."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from langchain_memllm.adapters.middleware import MemLLMMiddleware
from langchain_memllm.errors import (
    ConfigurationError,
    EmbedderMismatch,
    EmbeddingError,
    InvalidTriple,
    MissingExtra,
    ModelError,
    NamespaceError,
    OperationConflict,
    SchemaTooNew,
    StoreCorrupt,
    StoreUnavailable,
)
from langchain_memllm.extraction import Extraction
from langchain_memllm.plugin import LOCAL_USER, MemLLMMemory
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.testing import FakeEmbedder, Request, ScriptedModel, tool_call
from langchain_memllm.triples import Query, Source, Statement

OSLO = ("user", "lives in", "Oslo")


class Words:
    """An extractor: every "A likes B." is a fact; it notes what it was given."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def extract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """The facts of a text."""
        self.asked.append((text, tuple(context)))
        found = []
        for sentence in text.split("."):
            if " likes " in sentence:
                subject, object_ = sentence.strip().split(" likes ")
                at = text.index(sentence.strip())
                found.append(Statement(subject, "likes", object_, text=sentence.strip(), span=(at, at + 5)))
        return Extraction(tuple(found))

    async def aextract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """The same."""
        return self.extract(text, context=context, source=source)


class SharedStore(EmbeddedStore):
    """A store that counts as one that many applications use."""

    shared = True


@pytest.fixture
def memory() -> Iterator[MemLLMMemory]:
    """A memory in RAM with an extractor of words."""
    with MemLLMMemory(":memory:", extractor=Words(), embedder=FakeEmbedder()) as made:
        yield made


def test_ten_lines(memory: MemLLMMemory) -> None:
    assert memory.write([OSLO], user_id="ada").stored
    assert memory.read("user", "lives in", user_id="ada").answers == ("Oslo",)
    assert "- user | lives in | Oslo" in memory.recall("Where do I live?", user_id="ada").block
    assert memory.recall("Where do I live?", user_id="ada", max_tokens=3).block == ""
    memory.write([("user", "lives in", "Rome")], user_id="ada")
    assert [fact.state for fact in memory.history("user", user_id="ada")] == ["past", "current"]
    assert memory.retract(("user", "lives in", "Rome"), user_id="ada").count("retracted") == 1
    assert memory.forget(user_id="ada", name="user").facts == 2
    assert memory.verify() == []


# --- whose memory -----------------------------------------------------------------------------------------------------


def test_a_user_and_the_namespace_of_the_user_are_the_same_memory(memory: MemLLMMemory) -> None:
    memory.write([OSLO], user_id="ada")
    assert memory.read("user", "lives in", namespace=("memllm", "ada")).answers == ("Oslo",)
    assert memory.read("user", "lives in", namespace=[("memllm", "bob"), ("memllm", "ada")]).answers == ("Oslo",)
    assert memory.namespaces() == [("memllm", "ada")]


def test_an_embedded_store_has_a_local_user(memory: MemLLMMemory) -> None:
    memory.write([OSLO])
    assert memory.read("user", "lives in", user_id=LOCAL_USER).answers == ("Oslo",)
    assert memory.explain(memory.history("user")[0].id).sources[0].principal == LOCAL_USER  # type: ignore[union-attr]


def test_a_user_corrects_themself_by_any_verb(memory: MemLLMMemory) -> None:
    memory.remember("Ada likes tea.", user_id="ada")
    memory.write([OSLO], user_id="ada")
    receipt = memory.write([("user", "lives in", "Rome")], user_id="ada")
    assert len(receipt.outcomes[0].supersedes) == 1


@pytest.mark.parametrize("options", [{"store": SharedStore(":memory:")}, {"store": ":memory:", "require_user": True}])
def test_where_people_must_be_named_they_must(options: dict[str, Any]) -> None:
    memory = MemLLMMemory(**options, embedder=FakeEmbedder(), extractor=Words())
    calls: list[Any] = [
        lambda: memory.write([OSLO]),
        lambda: memory.read("user", "lives in"),
        lambda: memory.recall("Oslo"),
        lambda: memory.remember("Ada likes tea."),
        lambda: memory.forget(everything=True),
        lambda: memory.export(),
        lambda: asyncio.run(memory.aremember("Ada likes tea.")),
    ]
    for call in calls:
        with pytest.raises(NamespaceError, match=r"nobody is named.*pass user_id='ada', or namespace=.*require_user"):
            call()
    assert memory.write([OSLO], user_id="ada").stored
    assert MemLLMMemory(":memory:", require_user=False, embedder=FakeEmbedder()).write([OSLO]).stored


def test_one_namespace_for_all(memory: MemLLMMemory) -> None:
    team = MemLLMMemory(memory.core.store, namespace=("team",), require_user=True, embedder=FakeEmbedder())
    assert team.write([OSLO]).namespace == ("team",)
    assert team.write([OSLO], user_id="ada").namespace == ("team",)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"user_id": "ada", "namespace": ("memllm", "ada")}, NamespaceError, r"both namespace=.*give one of them"),
        ({"user_id": ""}, NamespaceError, r"user_id '' .*give a text that is not empty"),
        ({"user_id": 1.5}, NamespaceError, r"user_id 1.5 \(float\)"),
        ({"namespace": ()}, NamespaceError, r"namespace \(\) is not a tuple of labels; pass for example"),
        ({"namespace": "ada"}, NamespaceError, r"namespace 'ada' is not a tuple of labels; pass for example"),
        ({"namespace": ("a", "b\x00")}, NamespaceError, r"label 'b\\x00' has control characters.*shorten"),
        ({"namespace": ("a", "\ud800")}, NamespaceError, r"label '\\ud800'"),
    ],
)
def test_namespaces_that_cannot_be(
    memory: MemLLMMemory, call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        memory.write([OSLO], **call)
    with pytest.raises(error, match=message):
        memory.read("user", "lives in", **call)
    assert memory.namespaces() == []


@pytest.mark.parametrize("label", ["ada@example.com", "a/b", "👩‍🚀", "a.b", "%", "{", "_"])
def test_labels_that_look_odd_are_fine(memory: MemLLMMemory, label: str) -> None:
    memory.write([OSLO], user_id=label)
    assert memory.read("user", "lives in", user_id=label).answers == ("Oslo",)
    assert memory.read("user", "lives in", user_id=label + "x").answers == ()


# --- a text into the memory -------------------------------------------------------------------------------------------


def test_a_text_is_one_operation_done_once(memory: MemLLMMemory) -> None:
    words = memory.extractor
    assert isinstance(words, Words)
    first = memory.remember("Ada likes tea. Bob likes coffee.", op_id="m1", user_id="ada")
    again = memory.remember("Ada likes tea. Bob likes coffee.", op_id="m1", user_id="ada")
    assert (len(first), first.replayed, again.replayed, again) == (2, False, True, first)
    assert len(words.asked) == 1
    with pytest.raises(OperationConflict, match=r"operation 'm1' was delivered before.*use a new op_id"):
        memory.remember("Ada likes milk.", op_id="m1", user_id="ada")
    assert len(words.asked) == 1
    assert memory.read("Ada", "likes", user_id="ada").answers == ("tea",)


async def test_the_async_twin_gives_the_same_receipt(memory: MemLLMMemory) -> None:
    first = memory.remember("Ada likes tea.", op_id="m1")
    assert await memory.aremember("Ada likes tea.", op_id="m1") == first
    assert (await memory.aremember("Bob likes tea.", op_id="m2")).stored
    assert await memory.anamespaces() == [("memllm", LOCAL_USER)]
    assert [record["subject"] async for record in memory.aexport() if record["type"] == "fact"] == ["Ada", "Bob"]


def test_a_long_text_is_read_in_parts_with_its_places(memory: MemLLMMemory) -> None:
    words = memory.extractor
    assert isinstance(words, Words)
    text = " ".join(f"P{number:03} likes {'tea ' * 30}number {number}." for number in range(200))
    seen: list[tuple[int, int]] = []
    receipt = memory.remember(text, progress=lambda read, all_: seen.append((read, all_)))
    assert receipt.count("stored") == 200
    assert all(len(part) <= 12_000 for part, _ in words.asked)
    assert len(words.asked) == len(seen) - 1 == -(-len(text) // 12_000)  # and before the first
    assert seen[-1] == (200, 200)
    assert [read for read, _ in seen] == sorted({read for read, _ in seen})
    assert words.asked[0][1] == ()
    assert len(words.asked[1][1]) == 24
    start, end = memory.history("P150")[0].sources[0].span  # type: ignore[misc]
    assert text[start:end] == "P150 "
    assert memory.stats().operations == 1


def test_a_new_version_of_a_document_replaces_the_old_one(memory: MemLLMMemory) -> None:
    notes = Source("document", "notes.md")
    memory.remember("Ada likes tea. Bob likes coffee.", source=notes, replace=True, op_id="v1")
    receipt = memory.remember("Ada likes tea.", source=notes, replace=True, op_id="v2")
    assert len(receipt.replaced) == 1
    assert memory.read("Bob", "likes").answers == ()
    assert memory.remember("Ada likes tea.", source=notes, replace=True, op_id="v2").replayed


def test_context_states_nothing(memory: MemLLMMemory) -> None:
    words = memory.extractor
    assert isinstance(words, Words)
    memory.remember("Bob likes coffee.", context=["Ada likes tea."])
    assert words.asked == [("Bob likes coffee.", ("Ada likes tea.",))]
    assert memory.read("Ada", "likes").answers == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the text '' is empty; give it a sentence"),
        (" \n ", r"the text ' \\n ' is empty"),
        (42, r"int is not a text to remember; convert it with str\(\)"),
    ],
)
def test_texts_that_cannot_be_read(memory: MemLLMMemory, text: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        memory.remember(text)
    with pytest.raises(ConfigurationError, match=message):
        asyncio.run(memory.aremember(text))


@pytest.mark.parametrize("text", ["Ada likes \ud800 tea.", "Ada likes ({MEM_READ(.", "Ada likes a\x00b.", "…"])
def test_odd_texts_are_read_and_nothing_breaks(memory: MemLLMMemory, text: str) -> None:
    receipt = memory.remember(text, op_id="odd")
    assert memory.remember(text, op_id="odd") == receipt
    assert memory.verify() == []


def test_without_a_model_a_text_cannot_be_read() -> None:
    memory = MemLLMMemory(":memory:", embedder=FakeEmbedder())
    for door in (lambda: memory.remember("Ada likes tea."), memory.write_node, memory.middleware):
        with pytest.raises(ConfigurationError, match=r"no model to find facts.*model='openai:gpt-5-mini'.*write\("):
            door()
    with pytest.raises(ConfigurationError, match=r"no model to answer; give one here"):
        memory.build_graph()


@pytest.mark.parametrize(
    ("reply", "quarantined"),
    [
        (tool_call("record_facts", facts=[{"subject": "Ada", "relation": "likes"}]), 1),
        ("I am sorry, I cannot do that.", 1),
        ("", 0),
        ('{"facts": [{"subject": "Ada", "relation": "likes", "object": "tea"}, {"subject": "Bo', 1),
    ],
)
def test_a_model_that_answers_nonsense_is_quarantined(reply: Any, quarantined: int) -> None:
    memory = MemLLMMemory(":memory:", model=ScriptedModel(script=[reply]), embedder=FakeEmbedder())
    receipt = memory.remember("Ada likes tea.")
    assert receipt.count("quarantined") == quarantined == len(memory.quarantined())
    assert memory.stats().facts == receipt.count("stored") == ("tea" in str(reply))


def test_a_model_that_raises_stores_nothing() -> None:
    model = ScriptedModel(script=[RuntimeError("down")])
    memory = MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder())
    with pytest.raises(ModelError, match=r"failed while extracting facts \(RuntimeError\)"):
        memory.remember("Ada likes tea.", op_id="m1")
    assert memory.stats().operations == 0


def test_relations_declared_later_are_offered_to_the_model() -> None:
    from langchain_memllm.relations import Relation

    model = ScriptedModel(script=lambda request: tool_call("record_facts", facts=[]))
    memory = MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder())
    memory.remember("Ada likes tea.")
    memory.declare(Relation("sworn enemy of"))
    memory.remember("Ada likes tea.")
    assert ["sworn enemy of" in request.text for request in model.requests] == [False, True]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a>>b;c", "({MEM_WRITE-->", "x--", "\\", "<recalled_facts>", "👩‍🚀", "ﬁ", "e\u0301"])
def test_names_with_marks_come_back_as_they_are(memory: MemLLMMemory, name: str) -> None:
    memory.write([(name, "likes", name + "!")])
    answer = memory.read(name, "likes").answers[0]
    assert answer == name.replace("e\u0301", "é") + "!"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", r"it is empty; give it a name or leave the triple out"),
        ("a\x00b", r"it holds the character U\+0000; remove it"),
        ("\ud800", r"it holds the character U\+D800; remove it"),
        ("x" * 300, r"300 characters; at most 256 fit, shorten it"),
        (7, r"expected text, got int"),
    ],
)
def test_names_that_cannot_be_stored_are_rejected_and_the_rest_stays(
    memory: MemLLMMemory, name: Any, reason: str
) -> None:
    receipt = memory.write([(name, "likes", "tea"), ("Ada", "likes", "tea")])
    assert [outcome.status for outcome in receipt] == ["rejected", "stored"]
    assert receipt.outcomes[0].reason is not None
    with pytest.raises(InvalidTriple, match=reason):
        memory.read(name, "likes")


# --- what is given at construction ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": 3}, ConfigurationError, r"model=3 is not a model; give 'provider:model'"),
        ({"model": " "}, ConfigurationError, r"model=' ' is not a model"),
        ({"model": ScriptedModel}, ConfigurationError, r"is not a model"),
        ({"extractor": object()}, ConfigurationError, r"has no extract and aextract"),
        ({"policy": "kind"}, ConfigurationError, r"'kind'.*chat"),
        ({"on_error": "ignore"}, ConfigurationError, r"on_error='ignore' is unknown; use 'warn' or 'raise'"),
        ({"require_user": "yes"}, ConfigurationError, r"require_user='yes' is none of None, True and False"),
        ({"namespace": "memllm"}, NamespaceError, r"namespace 'memllm' is not a tuple"),
        ({"namespace": ("{user}",)}, ConfigurationError, r"'\{user\}' cannot be filled; the placeholders are"),
        ({"store": "http://x"}, ConfigurationError, r"begins like a URL.*give a path"),
        ({"store": 3}, ConfigurationError, r"int is not a store; give a path"),
        ({"embedder": object()}, ConfigurationError, r"embed_documents"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MemLLMMemory(**{"store": ":memory:", **options})


def test_a_model_by_name_is_built_when_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    memory = MemLLMMemory(":memory:", model="openai:gpt-5-mini", embedder=FakeEmbedder())
    memory.middleware()
    with pytest.raises(ModelError, match=r"'openai:gpt-5-mini' cannot be built.*OPENAI_API_KEY"):
        memory.remember("Ada likes tea.")
    unknown = MemLLMMemory(":memory:", model="nobody:gpt", embedder=FakeEmbedder())
    with pytest.raises(ConfigurationError, match=r"'nobody:gpt' is not a chat model; write provider:model"):
        unknown.remember("Ada likes tea.")


def test_a_missing_extra_names_its_command() -> None:
    code = """
import sys
sys.modules["langchain_openai"] = None
from langchain_memllm import MemLLMMemory
memory = MemLLMMemory(":memory:", model="openai:gpt-5-mini")
try:
    memory.remember("Ada likes tea.")
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(MissingExtra.__name__)
    assert "pip install 'langchain-memllm[openai]'" in done.stdout


def test_the_repr_has_no_secrets() -> None:
    model = ScriptedModel(script=["sk-secret"])
    memory = MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder())
    assert repr(memory) == "MemLLMMemory(':memory:', model='ScriptedModel', namespace=('memllm', '{user_id}'))"
    assert repr(MemLLMMemory(":memory:", model="openai:gpt-5-mini")).count("openai:gpt-5-mini") == 1


# --- stores and embedders that fail -----------------------------------------------------------------------------------


def test_a_file_of_another_embedder(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with MemLLMMemory(path, embedder=FakeEmbedder()) as memory:
        memory.write([OSLO])
    with (
        MemLLMMemory(path, embedder=FakeEmbedder(dimension=32)) as other,
        pytest.raises(EmbedderMismatch, match=r"64 numbers.*32.*memllm export.*memllm import"),
    ):
        other.write([OSLO])
    with MemLLMMemory(path, embedder=FakeEmbedder()) as memory:
        assert memory.read("user", "lives in").answers == ("Oslo",)


@pytest.mark.parametrize("vector", [[0.0] * 64, [1.0] * 3, [float("nan")] * 64])
def test_vectors_that_cannot_be_searched(vector: list[float]) -> None:
    class Broken(FakeEmbedder):
        broken = False

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vector for _ in texts] if self.broken else super().embed_documents(texts)

    embedder = Broken()
    memory = MemLLMMemory(":memory:", embedder=embedder)
    memory.write([OSLO])
    embedder.broken = True
    memory.write([("user", "likes", "tea")])
    assert memory.stats().pending > 0
    assert memory.read("user", "likes").answers == ("tea",)
    with pytest.raises(EmbeddingError):
        memory.read("somebody", "lives in")
    embedder.broken = False
    memory.read("somebody", "lives in")
    assert memory.stats().pending == 0


def test_a_damaged_a_newer_and_a_foreign_file(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"SQLite format 3\x00" + os.urandom(4096))
    with pytest.raises(StoreCorrupt, match=r"damaged\.db"):
        MemLLMMemory(damaged).write([OSLO])
    text = tmp_path / "notes.txt"
    text.write_text("hello " * 100)
    with pytest.raises(StoreCorrupt, match=r"notes\.txt"):
        MemLLMMemory(text).write([OSLO])
    assert text.read_text() == "hello " * 100


def test_a_newer_file(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "newer.db"
    MemLLMMemory(path, embedder=FakeEmbedder()).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(SchemaTooNew, match=r"999"):
        MemLLMMemory(path, embedder=FakeEmbedder())


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"file.*m\.db"):
        MemLLMMemory(tmp_path / "file" / "m.db").write([OSLO])


def test_a_file_is_its_owner_s_alone_and_keeps_what_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with MemLLMMemory(path, embedder=FakeEmbedder()) as memory:
        memory.write([OSLO])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with MemLLMMemory(str(path), embedder=FakeEmbedder()) as memory:
        assert memory.read("user", "lives in").answers == ("Oslo",)


def test_the_last_facts_move_to_another_memory(memory: MemLLMMemory) -> None:
    memory.write([OSLO], user_id="ada")
    memory.write([("user", "lives in", "Rome")], user_id="ada")
    records = json.loads(json.dumps(list(memory.export(namespace=memory.namespaces()))))
    other = MemLLMMemory(":memory:", embedder=FakeEmbedder())
    assert other.restore(records) == 2
    assert [fact.state for fact in other.history("user", user_id="ada")] == ["past", "current"]
    assert other.restore(records, user_id="bob") == 2
    assert other.read("user", "lives in", user_id="bob").answers == ("Rome",)
    with pytest.raises(ConfigurationError, match=r"record 1 is not one of an export"):
        other.restore([{"subject": "x"}])


# --- twins ------------------------------------------------------------------------------------------------------------

VERBS = [
    "alias",
    "backup",
    "close",
    "copy",
    "declare",
    "explain",
    "export",
    "facts",
    "flush",
    "forget",
    "history",
    "load",
    "load_model",
    "namespaces",
    "quarantined",
    "read",
    "read_many",
    "recall",
    "receipt",
    "rebuild_index",
    "remember",
    "restore",
    "restore_backup",
    "retract",
    "set_limits",
    "stats",
    "users",
    "verify",
    "write",
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_twin(verb: str) -> None:
    one, twin = getattr(MemLLMMemory, verb), getattr(MemLLMMemory, "a" + verb)
    given, twins = inspect.signature(one), inspect.signature(twin)
    assert list(given.parameters.values()) == list(twins.parameters.values())
    assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin)
    of_the_store = {"backup", "close", "declare", "load_model", "namespaces", "rebuild_index", "restore_backup"}
    of_the_store |= {"set_limits", "users"}
    if verb not in of_the_store | {"verify"}:
        assert {"namespace", "user_id"} <= given.parameters.keys()


def test_no_verb_is_missing_from_the_list() -> None:
    doors = {"middleware", "tools", "retriever", "route", "build_graph", "namespace_of"}
    public = {name for name, value in vars(MemLLMMemory).items() if name[0] != "_" and not isinstance(value, property)}
    verbs = {name for name in public - doors if not name.endswith("_node")}
    assert verbs == {*VERBS, *("a" + verb for verb in VERBS)}


@pytest.mark.parametrize("hook", ["before_agent", "wrap_model_call", "after_agent"])
def test_every_hook_has_its_twin(hook: str) -> None:
    one, twin = getattr(MemLLMMiddleware, hook), getattr(MemLLMMiddleware, "a" + hook)
    assert list(inspect.signature(one).parameters) == list(inspect.signature(twin).parameters)
    assert inspect.iscoroutinefunction(twin)


async def test_twins_do_the_same() -> None:
    async with MemLLMMemory(":memory:", embedder=FakeEmbedder()) as memory:
        await memory.awrite([OSLO], user_id="ada")
        assert (await memory.aread("user", "lives in", user_id="ada")).answers == ("Oslo",)
        many = await memory.aread_many([Query("user", "lives in")], user_id="ada")
        assert many[0].answers == ("Oslo",)
        assert (await memory.arecall("Where do I live?", user_id="ada")).block
        assert (await memory.astats(user_id="ada")).facts == 1
        assert (await memory.aforget(user_id="ada", everything=True)).facts == 1


# --- the machine ------------------------------------------------------------------------------------------------------


def test_the_machine_of_the_facade_writes_what_it_is_told_and_answers() -> None:
    def script(request: Request) -> Any:
        if "record_facts" in request.tools:
            return tool_call("record_facts", facts=[{"subject": "user", "relation": "lives in", "object": "Oslo"}])
        return "Noted."

    memory = MemLLMMemory(":memory:", model=ScriptedModel(script=script), embedder=FakeEmbedder())
    graph = memory.build_graph()
    run: Any = {"configurable": {"user_id": "ada"}}
    state = graph.invoke({"messages": [("user", "I live in Oslo.")]}, run)
    assert state["messages"][-1].text == "Noted."
    assert memory.read("user", "lives in", user_id="ada").answers == ("Oslo",)
    with pytest.raises(NamespaceError, match=r"needs \{user_id\}"):
        graph.invoke({"messages": [("user", "I live in Oslo.")]})


def test_nodes_in_a_graph_of_one_s_own() -> None:
    from langgraph.graph import END, START, StateGraph

    from langchain_memllm.graph import MemLLMState

    memory = MemLLMMemory(":memory:", extractor=Words(), embedder=FakeEmbedder())
    memory.write([("Ada", "likes", "tea")], user_id="ada")
    graph = StateGraph(MemLLMState)
    answers = memory.generate_node(ScriptedModel(script=lambda request: "tea" if "| tea |" in request.text else "?"))
    for name, node in (
        ("recall", memory.recall_node()),
        ("generate", answers),
        ("memory_read", memory.read_node()),
        ("memory_write", memory.write_node()),
    ):
        graph.add_node(name, node)
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "generate")
    graph.add_conditional_edges("generate", memory.route, ["memory_read", "memory_write"])
    graph.add_edge("memory_read", "generate")
    graph.add_edge("memory_write", END)
    run: Any = {"configurable": {"user_id": "ada"}}
    state = graph.compile().invoke({"messages": [("user", "Bob likes milk. What does Ada like?")]}, run)
    assert state["messages"][-1].text == "tea"
    assert memory.read("Bob", "likes", user_id="ada").answers == ("milk",)


def test_the_vectors_stay_what_numpy_makes_of_them() -> None:
    class Arrays:
        def embed_documents(self, texts: list[str]) -> Any:
            return np.asarray(FakeEmbedder().embed_documents(texts), dtype=np.float64)

    memory = MemLLMMemory(":memory:", embedder=Arrays())
    memory.write([OSLO])
    assert memory.stats().pending == 0
