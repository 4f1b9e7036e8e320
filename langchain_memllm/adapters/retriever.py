"""Memory as a LangChain retriever: facts that a text brings to mind as documents, for chains and retriever tools.

A retriever is not told the run's config, so whose memory it reads is a field, or an argument of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from langchain_memllm.triples import Match, Recall
from langchain_memllm.twins import twin

__all__ = ["MemLLMRetriever"]


class MemLLMRetriever(BaseRetriever):
    """Retrieves facts; made by ``MemLLMMemory.retriever``. A call may give ``k``, ``user_id`` or ``namespace`` anew.

    Each document is one fact: its text ``subject relation object``, its id the fact's, its metadata the rest.
    """

    recall: Callable[..., Recall]
    k: int = 8
    user_id: str | None = None
    namespace: Any = None

    def documents(self, query: str, k: int | None, user_id: str | None, namespace: Any) -> list[Document]:
        """The facts, best first."""
        if user_id is None and namespace is None:
            user_id, namespace = self.user_id, self.namespace
        found = self.recall(query, k=self.k if k is None else k, user_id=user_id, namespace=namespace)
        return [_document(match) for match in found]

    _adocuments = twin(documents)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        user_id: str | None = None,
        namespace: Any = None,
    ) -> list[Document]:
        return self.documents(query, k, user_id, namespace)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        user_id: str | None = None,
        namespace: Any = None,
    ) -> list[Document]:
        return await self._adocuments(query, k, user_id, namespace)


def _document(match: Match) -> Document:
    metadata = {**match.fact.as_dict(), "similarity": match.similarity, "how": match.how, "why": match.why}
    return Document(" ".join(match.triple), id=match.fact.id, metadata=metadata)
