"""The retriever: facts as documents, for the user of the retriever or of the call."""

from __future__ import annotations

import pytest
from agents import memory_of
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool

from langchain_memllm.errors import NamespaceError
from langchain_memllm.plugin import MemLLMMemory


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
