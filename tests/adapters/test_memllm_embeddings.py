"""The embedder as LangChain's ``Embeddings``: outside suites, a LangGraph store, a vector store."""

from __future__ import annotations

import math

import pytest
from agents import memory_of
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.store.memory import InMemoryStore

from langchain_memllm import MemLLMEmbeddings, MemLLMMemory
from langchain_memllm.embeddings import StaticEmbedder
from langchain_memllm.testing import FakeEmbedder, ScriptedModel

suites = pytest.importorskip("langchain_tests.unit_tests")
integration = pytest.importorskip("langchain_tests.integration_tests.embeddings")


class TestUnits(suites.EmbeddingsUnitTests):
    """Doors F24: the suite of ``langchain_tests``."""

    @property
    def embeddings_class(self):
        return MemLLMEmbeddings


class TestIntegration(integration.EmbeddingsIntegrationTests):
    """Doors F24."""

    @property
    def embeddings_class(self):
        return MemLLMEmbeddings


class TestDoubleUnits(suites.EmbeddingsUnitTests):
    """The double of ``testing`` too."""

    @property
    def embeddings_class(self):
        return FakeEmbedder


class TestDoubleIntegration(integration.EmbeddingsIntegrationTests):
    """The double of ``testing`` too."""

    @property
    def embeddings_class(self):
        return FakeEmbedder


def test_the_memorys_embedder_indexes_a_langgraph_store():
    """Doors F24: an item is stored and found."""
    for embed in (MemLLMEmbeddings(), MemLLMMemory(":memory:").embeddings):
        store = InMemoryStore(index={"dims": 256, "embed": embed})
        store.put(("a",), "pet", {"text": "a small dog"})
        store.put(("a",), "home", {"text": "a house in Oslo"})
        assert store.search(("a",), query="puppy dog", limit=1)[0].key == "pet"


async def test_and_a_vector_store_sync_and_async():
    store = InMemoryVectorStore(MemLLMEmbeddings())
    store.add_texts(["capital of France", "recipe for soup"])
    assert store.similarity_search("French capital", k=1)[0].page_content == "capital of France"
    await store.aadd_texts(["member of a choir"])
    assert (await store.asimilarity_search("choir member", k=1))[0].page_content == "member of a choir"


def test_a_text_that_cannot_be_read_is_like_itself_alone():
    one, same, other, known = MemLLMEmbeddings().embed_documents(["Привет, мир", "Привет, мир", "안녕하세요", "Oslo"])
    assert one == same
    assert math.isclose(sum(x * x for x in one), 1, rel_tol=1e-6)
    for stranger in (other, known):
        assert abs(sum(a * b for a, b in zip(one, stranger, strict=True))) < 0.3


def test_a_memory_takes_it_for_what_it_is():
    given = MemLLMMemory(":memory:", embedder=MemLLMEmbeddings())
    assert isinstance(given.core.vectors.embedder, StaticEmbedder)
    fake = FakeEmbedder()
    assert memory_of(ScriptedModel(script=[])).embeddings.embed_query("x") == fake.embed_query("x")
    assert isinstance(fake, Embeddings)


def test_a_scripted_model_names_itself_in_traces():
    assert ScriptedModel(script=[])._get_ls_params()["ls_model_name"] == "scripted"
