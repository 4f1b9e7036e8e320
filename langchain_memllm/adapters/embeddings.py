"""The memory's embedder as LangChain's ``Embeddings``: for vector stores, and for the index of a LangGraph store."""

from __future__ import annotations

import hashlib
import math

from langchain_core.embeddings import Embeddings

from langchain_memllm.embeddings import Embedder, StaticEmbedder

__all__ = ["MemLLMEmbeddings"]


class MemLLMEmbeddings(Embeddings):
    """What a memory compares names with, for others to use; by default the embedder that is shipped.

    It is made for names and short phrases: ten microseconds a text, nothing to download. A text that the shipped
    embedder cannot read (Cyrillic, Hangul) gets a vector of its own by rule, similar to none but the same text, since
    a vector of zeros has no cosine.

    Args:
        embedder: Any embedder; the one shipped by default.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        """Keep the embedder; nothing is loaded."""
        self.embedder: Embedder = StaticEmbedder.shipped() if embedder is None else embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        rows = self.embedder.embed_documents(list(texts))
        return [row if any(row) else _own(text, len(row)) for text, row in zip(texts, rows, strict=True)]

    def embed_query(self, text: str) -> list[float]:
        """As ``embed_documents`` for one text."""
        return self.embed_documents([text])[0]


def _own(text: str, dimension: int) -> list[float]:
    """A unit vector drawn from the text itself: with 256 numbers its cosine with another one is about 0.06."""
    length = 1 / math.sqrt(dimension)
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(dimension)
    return [length if byte & 1 else -length for byte in digest]
