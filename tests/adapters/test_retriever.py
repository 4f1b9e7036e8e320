"""The retriever: facts as documents, for the user of the retriever or of the call."""

from __future__ import annotations

import json

import pytest
from agents import StoreThatGoes, memory_of
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool

from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.plugin import MemLLMMemory
from langchain_memllm.testing import FakeEmbedder


@pytest.fixture
def memory() -> MemLLMMemory:
    """Facts of two users."""
    made = memory_of(require_user=True)
    made.write([("Ada", "lives in", "Oslo"), ("Ada", "likes", "tea"), ("Ada", "works for", "NASA")], user_id="ada")
    made.write([("Ada", "lives in", "Rome")], user_id="bob")
    return made


def test_facts_are_documents(memory: MemLLMMemory) -> None:
    found = memory.retriever(user_id="ada", k=1).invoke("Where does Ada live?")
    assert len(found) == 1
    fact = memory.explain(found[0].id or "", user_id="ada")
    assert fact is not None
    assert found[0].page_content == " ".join(fact.triple)
    assert found[0].metadata["why"] == "the text names 'Ada'"


async def test_a_call_may_name_the_user_and_k(memory: MemLLMMemory) -> None:
    retriever = memory.retriever(k=8)
    assert len(retriever.invoke("Ada", user_id="ada")) == 3
    assert len(retriever.invoke("Ada", user_id="ada", k=2)) == 2
    assert [d.page_content for d in await retriever.ainvoke("Ada", user_id="bob")] == ["Ada lives in Rome"]
    with pytest.raises(NamespaceError, match="nobody is named"):
        retriever.invoke("Ada")


def test_in_a_chain_and_as_a_tool(memory: MemLLMMemory) -> None:
    retriever = memory.retriever(user_id="bob")
    chain = retriever | RunnableLambda(lambda documents: [document.page_content for document in documents])
    assert chain.invoke("Ada") == ["Ada lives in Rome"]
    tool = create_retriever_tool(retriever, "facts", "Facts about people")
    assert tool.invoke({"query": "Ada"}) == "Ada lives in Rome"


def test_the_metadata_are_ready_for_json(memory: MemLLMMemory) -> None:
    (document,) = memory.retriever(user_id="bob").invoke("Where does Ada live?")
    assert json.loads(json.dumps(document.metadata)) == document.metadata
    kept = {**document.metadata, "recorded_at": "", "similarity": 0.0}
    assert kept == {
        "subject": "Ada",
        "relation": "lives in",
        "object": "Rome",
        "state": "current",
        "source_type": "user",
        "source": "",
        "sentence": None,
        "valid_from": None,
        "valid_to": None,
        "recorded_at": "",
        "similarity": 0.0,
        "how": "exact",
        "why": "the text names 'Ada'",
    }


def test_similar_is_ordered_by_similarity_alone(memory: MemLLMMemory) -> None:
    memory.write([("NASA", "headquarters", "Houston")], user_id="ada")
    recalled = memory.retriever(user_id="ada").invoke("Ada's headquarters")
    similar = memory.retriever(user_id="ada", search_type="similar").invoke("Ada")
    assert {document.metadata["subject"] for document in recalled} == {"Ada", "NASA"}
    assert {document.metadata["subject"] for document in similar} == {"Ada"}
    found = [document.metadata["similarity"] for document in similar]
    assert found == sorted(found, reverse=True)
    assert memory.retriever(user_id="ada", search_type="similar", k=1).invoke("Ada") == similar[:1]


@pytest.mark.parametrize("k", [0, 201, True, 1.5])
def test_too_many_facts_are_refused_before_the_store_is_asked(k: int) -> None:
    store = StoreThatGoes()
    memory = MemLLMMemory(store, embedder=FakeEmbedder())
    retriever = memory.retriever(user_id="ada")
    store.down = True
    with pytest.raises(ConfigurationError, match="give 1 to 200"):
        retriever.invoke("Ada", k=k)
    with pytest.raises(ConfigurationError, match="give 1 to 200"):
        memory.retriever(k=k)


def test_an_unknown_search_type_is_refused(memory: MemLLMMemory) -> None:
    with pytest.raises(ConfigurationError, match="search_type='mmr' is unknown; use one of recall, similar"):
        memory.retriever(search_type="mmr")  # type: ignore[arg-type]
