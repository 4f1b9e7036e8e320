"""LangGraph's long-term store on every back end: what each operation does, and that it does what InMemoryStore does."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore, GetOp, IndexConfig, InvalidNamespaceError, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from langchain_memllm import MemLLMMemory, MemLLMStore
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores.interface import TripleStore

WORDS = ("cat", "dog", "boat", "tea")


def embed(texts: list[str]) -> list[list[float]]:
    """How often each word stands in a text; zero for a text without any."""
    return [[float(text.count(word)) for word in WORDS] for text in texts]


INDEX: IndexConfig = {"dims": len(WORDS), "embed": embed, "fields": ["text", "more"]}


@pytest.fixture
def items(store: TripleStore) -> MemLLMStore:
    return MemLLMStore(store, index=INDEX)


def keys(found: list[Any]) -> list[str]:
    return [item.key for item in found]


def test_an_item_comes_back_and_a_second_put_keeps_when_it_was_created(items: MemLLMStore) -> None:
    items.put(("a", "b"), "k", {"text": "x", "n": [1, {"d": None}], "ü/%": True})
    first = items.get(("a", "b"), "k")
    assert first is not None and first.value == {"text": "x", "n": [1, {"d": None}], "ü/%": True}
    assert first.namespace == ("a", "b") and first.key == "k"
    first.value["text"] = "changed by the caller"
    items.put(("a", "b"), "k", {"text": "y"})
    second = items.get(("a", "b"), "k")
    assert second is not None and second.value == {"text": "y"}
    assert second.created_at == first.created_at and second.updated_at > first.updated_at
    items.delete(("a", "b"), "k")
    assert items.get(("a", "b"), "k") is None and items.list_namespaces() == []


def test_a_batch_reads_first_and_the_last_put_wins(items: MemLLMStore) -> None:
    items.put(("a",), "k", {"n": 1})
    put = [
        PutOp(("a",), "k", {"n": 2}),
        PutOp(("a",), "k", {"n": 3}),
        PutOp(("a",), "gone", {}),
        PutOp(("a",), "gone", None),
    ]
    results = items.batch([put[0], GetOp(("a",), "k"), *put[1:], SearchOp(("a",))])
    assert results[0] is None and results[1].value == {"n": 1} and keys(results[-1]) == ["k"]  # type: ignore[union-attr, arg-type]
    assert items.get(("a",), "k").value == {"n": 3} and items.get(("a",), "gone") is None  # type: ignore[union-attr]


def test_a_prefix_ends_where_a_label_ends(items: MemLLMStore) -> None:
    for labels in (("a",), ("ab",), ("a", "b"), ("a/b",), ("a%2Fb",), ("A",), ("*",)):
        items.put(labels, "k", {})
    assert {item.namespace for item in items.search(("a",))} == {("a",), ("a", "b")}
    assert [item.namespace for item in items.search(("a/b",))] == [("a/b",)]
    assert len(items.search(())) == 7
    assert items.list_namespaces(prefix=("a",)) == [("a",), ("a", "b")]
    assert items.list_namespaces(prefix=("*", "b")) == [("a", "b")]
    assert items.list_namespaces(suffix=("b",)) == [("a", "b")]
    assert items.list_namespaces(max_depth=1, limit=2, offset=1) == [("A",), ("a",)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"n": 9}, ["float", "int"]),
        ({"n": {"$gt": 9}}, ["big", "ten"]),
        ({"n": {"$gte": 9, "$lt": 10}}, ["float", "int"]),
        ({"n": {"$gte": "9"}}, ["text"]),
        ({"n": True}, ["true"]),
        ({"n": None}, ["absent", "null"]),
        ({"n": {"$ne": 9}}, ["absent", "big", "deep", "list", "null", "ten", "text", "true"]),
        ({"n": {"e": 1}}, ["deep"]),
        ({"n": [1, 2]}, ["list"]),
        ({"n": 10**30}, ["big"]),
        ({'q"\\': 1}, ["absent"]),
        ({"n": 9, "other": 1}, []),
    ],
)
def test_filters_tell_numbers_from_texts(items: MemLLMStore, wanted: dict[str, Any], found: list[str]) -> None:
    values: dict[str, Any] = {
        "int": {"n": 9},
        "float": {"n": 9.0},
        "ten": {"n": 10},
        "text": {"n": "9"},
        "true": {"n": True},
        "null": {"n": None},
        "absent": {'q"\\': 1},
        "deep": {"n": {"e": 1, "f": 2}},
        "list": {"n": [1, 2]},
        "big": {"n": 10**30},
    }
    items.batch([PutOp(("f",), key, value) for key, value in values.items()])
    assert sorted(keys(items.search(("f",), filter=wanted))) == found


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "",
        "a.b",
        "a[0]",
        "$",
        "a'b",
        "ü",
        "日",
        "🙂",
        "a\nb",
        "a\x00b",
        "a\x7fb",
        "\ud800",
        pytest.param("k" * 70_000, id="long"),
    ],
)
def test_filters_find_every_key_and_text(items: MemLLMStore, key: str) -> None:
    """Also those that a database cannot be asked for, or compares only a part of."""
    for value in ("v", "", "ü", "🙂", "v\x00w", "\x00", "\ud800"):
        items.batch([PutOp(("f",), "it", {key: value}), PutOp(("f",), "other", {key + "x": value, "x": value + "y"})])
        matching: list[object] = [value, {"$eq": value}, {"$gte": value}, {"$lte": value}, {"$lt": value + "x"}]
        matching += [{"$gt": value[:-1]}, {"$gte": value[:-1] + "\x00"}] if value else []
        for wanted in matching:
            assert keys(items.search(("f",), filter={key: wanted})) == ["it"], (value, wanted)
        for wanted in ({"$ne": value}, {"$gt": value}, {"$lt": value}, value + "x", {"$gte": value + "\x00"}):
            assert "it" not in keys(items.search(("f",), filter={key: wanted})), (value, wanted)


def test_a_search_ranks_by_the_best_field_and_pages_after_ranking(items: MemLLMStore) -> None:
    items.put(("s",), "cat", {"text": "a cat", "more": "tea"})
    items.put(("s",), "both", {"text": "cat dog"})
    items.put(("s",), "dog", {"text": "dog"})
    items.put(("s",), "no text", {"other": "cat"})
    items.put(("s",), "not indexed", {"text": "cat"}, index=False)
    found = items.search(("s",), query="cat")
    assert keys(found) == ["cat", "both", "dog", "not indexed", "no text"]
    assert [item.score and round(item.score, 3) for item in found] == [1.0, 0.707, 0.0, None, None]
    assert keys(items.search(("s",), query="cat", limit=2, offset=1)) == ["both", "dog"]
    assert keys(items.search(("s",), query="tea", limit=1)) == ["cat"]
    items.put(("s",), "cat", {"text": "boat"})
    assert keys(items.search(("s",), query="cat", limit=1)) == ["both"]
    assert keys(items.search(("s",), query="cat", filter={"text": "dog"})) == ["dog"]
    assert keys(items.search(("s",), query="nothing of it", limit=2)) == ["cat", "not indexed"]  # as without a query
    items.delete(("s",), "both")
    assert keys(items.search(("s",), query="cat", limit=1)) == ["cat"]


def test_an_item_expires_is_refreshed_and_swept(store: TripleStore) -> None:
    shown, hidden = MemLLMStore(store), MemLLMStore(store, ttl={"omit_expired": True, "default_ttl": 0.001})
    hidden.put(("t",), "short", {})  # 60 ms
    hidden.put(("t",), "forever", {}, ttl=None)
    shown.put(("t",), "long", {}, ttl=60)
    time.sleep(0.1)
    assert hidden.get(("t",), "short") is None and keys(hidden.search(("t",))) == ["long", "forever"]
    assert shown.get(("t",), "short", refresh_ttl=False) is not None
    assert shown.sweep_ttl() == 1 and shown.sweep_ttl() == 0
    assert sorted(keys(shown.search(("t",)))) == ["forever", "long"]
    hidden.put(("u",), "only", {})
    time.sleep(0.1)
    assert hidden.list_namespaces() == [("t",)] and shown.list_namespaces() == [("t",), ("u",)]
    assert shown.get(("u",), "only") is not None  # read, so it has its time again
    assert shown.sweep_ttl() == 0


def test_the_sweeper_sweeps_and_stops(store: TripleStore) -> None:
    items = MemLLMStore(store, ttl={"default_ttl": 0.0005, "sweep_interval_minutes": 1})
    items.put(("t",), "k", {})
    running = items.start_ttl_sweeper(0.001)
    for _ in range(200):
        if not items.search(("t",), refresh_ttl=False):
            break
        time.sleep(0.05)
    assert items.search(("t",), refresh_ttl=False) == []
    assert items.stop_ttl_sweeper(10) and items.stop_ttl_sweeper(10) and running.done()
    assert MemLLMStore(store).start_ttl_sweeper().done()  # nothing to sweep


@pytest.mark.parametrize(
    ("op", "error"),
    [
        (PutOp(("a",), "k", [1]), TypeError),  # type: ignore[arg-type]
        (PutOp(("a",), "k", {"x": object()}), TypeError),
        (PutOp(("a",), "k", {"x": float("nan")}), TypeError),
        (PutOp(("a",), "k", {}, ttl=0), ValueError),
        (PutOp(("a", "x.y"), "k", {}), InvalidNamespaceError),
        (PutOp(("a", ""), "k", {}), InvalidNamespaceError),
        (PutOp(("a",), "\ud800", {}), ValueError),
        (SearchOp(("a",), limit=-1), ValueError),
        (SearchOp(("a",), filter={"n": {"$in": [1]}}), ValueError),
        (ListNamespacesOp(offset=-1), ValueError),
    ],
)
def test_bad_input_is_refused_and_nothing_of_its_batch_is_written(items: MemLLMStore, op: Any, error: type) -> None:
    with pytest.raises(error):
        items.batch([PutOp(("good",), "k", {}), op])
    assert items.list_namespaces() == []


def test_an_index_that_cannot_work_is_refused(store: TripleStore) -> None:
    with pytest.raises(ConfigurationError, match="at least 'dims' and 'embed'"):
        MemLLMStore(store, index={"dims": 3})  # type: ignore[typeddict-item]
    wrong = MemLLMStore(store, index={"dims": 3, "embed": embed})
    with pytest.raises(ConfigurationError, match="its dims are 3"):
        wrong.put(("a",), "k", {"text": "cat"})
    assert wrong.list_namespaces() == []


def test_it_does_what_the_reference_does_on_random_scripts(items: MemLLMStore) -> None:
    """Modulo the rows of docs/store.md: numbers are filtered as numbers here, order is by time."""
    names = [("a",), ("a", "b"), ("ab",), ("b", "a")]
    for seed in range(12):
        random_, reference = random.Random(seed), InMemoryStore(index=dict(INDEX))  # type: ignore[arg-type]
        for labels in items.list_namespaces(limit=100):
            for item in items.search(labels, limit=1000):
                items.delete(item.namespace, item.key)
        for _ in range(25):
            labels, key = random_.choice(names), random_.choice("xyz")
            if random_.random() < 0.5:
                value = {"text": random_.choice(WORDS), "n": random_.randint(0, 3)} if random_.random() < 0.8 else None
                for each in (items, reference):
                    each.batch([PutOp(labels, key, value)])
                continue
            wanted = {"n": {random_.choice(("$eq", "$ne", "$gt", "$lte")): random_.randint(0, 3)}}
            prefix = labels[: random_.randint(0, 2)]
            ours, theirs = (
                {(item.namespace, item.key, str(item.value)) for item in each.search(prefix, filter=wanted, limit=50)}
                for each in (items, reference)
            )
            assert ours == theirs, (seed, prefix, wanted)
            query = random_.choice(WORDS)
            mine, reference_s = (
                sorted(
                    (-(item.score or 0), item.namespace, item.key)
                    for item in each.search(prefix, query=query, limit=50)
                )
                for each in (items, reference)
            )
            assert [(round(score, 5), *rest) for score, *rest in mine] == [
                (round(score, 5), *rest) for score, *rest in reference_s
            ]


async def test_a_graph_and_async_callers_use_it(store: TripleStore) -> None:
    memory = MemLLMMemory(store)

    async def note(state: MessagesState, *, store: BaseStore) -> dict[str, Any]:
        await store.aput(("notes",), "k", {"text": state["messages"][-1].text})
        return {}

    graph = StateGraph(MessagesState).add_node("note", note).add_edge(START, "note").compile(store=memory.store)
    await graph.ainvoke({"messages": [("human", "Ada has a cat.")]})
    (found,) = await memory.store.asearch(("notes",), query="kitten")
    assert found.value == {"text": "Ada has a cat."} and found.score is not None and found.score > 0.2
    together = await asyncio.gather(*(memory.store.aput(("many",), str(n), {"n": n}) for n in range(20)))
    assert len(together) == 20 and len(memory.store.search(("many",), limit=50)) == 20


def test_it_outlives_its_process_and_a_memory_around_it(tmp_path: Any) -> None:
    address = str(tmp_path / "m.db")
    with MemLLMStore.from_conn_string(address) as store:
        store.setup()
        store.put(("a",), "k", {"n": 1})
    with MemLLMMemory(address) as memory:
        memory.write([("Ada", "likes", "tea")])
        memory.forget(everything=True)
        assert memory.store.get(("a",), "k").value == {"n": 1}  # type: ignore[union-attr]
        assert memory.verify() == []
