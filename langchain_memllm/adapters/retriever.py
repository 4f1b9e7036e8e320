"""Memory as a LangChain retriever: facts that answer a text, and what was said, as documents.

LangChain tells a retriever's own method nothing of the run's config, so whose memory a call reads is settled in
``invoke``: what the call or the retriever names, else the user of the run. The local user answers outside of runs only.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, zip_longest
from typing import Any, Final, Literal, get_args

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.recalled import Show
from langchain_memllm.scope import Scope, run_of
from langchain_memllm.triples import Match, Quote, Recall
from langchain_memllm.twins import twin

__all__ = ["MemLLMRetriever", "SearchType", "check_k", "check_search_type"]

SearchType = Literal["recall", "similar"]
"""``recall``: facts of the names in the text, and one step further. ``similar``: of those named or meant, the most
similar to the text first."""

_MAX_K: Final = 200


class MemLLMRetriever(BaseRetriever):
    """Retrieves facts; made by ``MemLLMMemory.retriever``. A call may give ``k``, ``user_id`` or ``namespace`` anew.

    A document is a fact: its text ``subject relation object``, its id the fact's, its metadata the rest, ready for
    JSON. Or what a person said: its text the words, its id the turn's, its metadata who, when and where.

    Raises:
        ConfigurationError: An unknown ``search_type``, or ``k`` is not 1 to 200.
    """

    recall: Callable[..., Recall]
    scope: Any = Scope()
    k: int = 8
    user_id: str | None = None
    namespace: Any = None
    search_type: SearchType = "recall"
    show: Show = "facts"

    def model_post_init(self, context: Any, /) -> None:
        """Check the number of documents."""
        check_k(self.k)

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """The facts, best first, of whoever the call, the retriever or the run names.

        Raises:
            NamespaceError: A run, and it does not say whose memory it uses.
        """
        return super().invoke(input, config, **self._placed(config, kwargs))

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """Async twin of ``invoke``."""
        return await super().ainvoke(input, config, **self._placed(config, kwargs))

    def _placed(self, config: RunnableConfig | None, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call, with the namespace of its run if nobody else says whose memory is read."""
        named = (given.get("user_id"), given.get("namespace"), self.user_id, self.namespace)
        run = run_of(config) if all(each is None for each in named) else None
        return given if run is None else {**given, "namespace": self.scope.resolve(run.config, run.runtime)}

    def documents(self, query: str, k: int | None, user_id: str | None, namespace: Any) -> list[Document]:
        """Facts and quotes in turns, each best first."""
        if user_id is None and namespace is None:
            user_id, namespace = self.user_id, self.namespace
        k = check_k(self.k if k is None else k)
        found = self.recall(
            query,
            k=k if self.search_type == "recall" else _MAX_K,
            user_id=user_id,
            namespace=namespace,
            show=self.show,
        )
        matches = list(found)
        if self.search_type == "similar":
            direct = [match for match in matches if match.how != "neighbour"]
            matches = sorted(direct, key=lambda match: -match.similarity)[:k]
        pairs = zip_longest(map(_document, matches), map(_said, found.quotes))
        return [each for each in chain.from_iterable(pairs) if each is not None][:k]

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


def check_search_type(search_type: str) -> SearchType:
    """The way of searching, if there is such a one.

    Raises:
        ConfigurationError: There is none.
    """
    if search_type not in get_args(SearchType):
        raise ConfigurationError(
            f"search_type={search_type!r} is unknown; use one of {', '.join(get_args(SearchType))}"
        )
    found: SearchType = search_type  # type: ignore[assignment]
    return found


def check_k(k: int) -> int:
    """The number of facts, if it can be used.

    Raises:
        ConfigurationError: It is not 1 to 200.
    """
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= _MAX_K:
        raise ConfigurationError(f"k={k!r} is out of range; give 1 to {_MAX_K}")
    return k


def _document(match: Match) -> Document:
    fact = match.fact
    source = fact.sources[0] if fact.sources else None
    metadata = {
        "subject": fact.triple.subject,
        "relation": fact.triple.relation,
        "object": fact.triple.object,
        "state": fact.state,
        "source_type": fact.kind,
        "source": source.ref if source else "",
        "sentence": source.text if source else None,
        "valid_from": fact.valid_from,
        "valid_to": fact.valid_to,
        "recorded_at": fact.recorded_at,
        "similarity": float(match.similarity),
        "how": match.how,
        "why": match.why,
    }
    return Document(" ".join(match.triple), id=fact.id, metadata=metadata)


def _said(quote: Quote) -> Document:
    metadata = {"source_type": "user", "speaker": quote.speaker, "said_at": quote.said_at, "thread": quote.thread}
    return Document(quote.text, id=quote.turn, metadata={**metadata, "why": quote.why})
