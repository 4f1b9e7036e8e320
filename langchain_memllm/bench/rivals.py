"""What recall is measured beside: full text, plain vectors, and their fusion, as one would build them by hand.

BM25 is that of SQLite's FTS5, with Porter's stems. Every method searches all that a fact or message says, and answers
whatever is asked.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from langchain_memllm.embeddings import MiniLM, StaticEmbedder, Vector
from langchain_memllm.errors import ConfigurationError, MissingExtra

__all__ = ["BM25", "Encode", "bm25", "fused", "minilm", "nearest", "rivals"]

BM25: Final = "BM25"
Encode: TypeAlias = Callable[[Sequence[str]], Vector]
"""Unit vectors of texts, one a row."""
Ranking: TypeAlias = "list[int]"
"""Places of texts, those that fit a question best first."""

_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
_WORD: Final = re.compile(r"\w+")
_DEPTH: Final = 100  # texts that each method finds
_CONSTANT: Final = 60  # of the fusion (Cormack and others, 2009)


def rivals(texts: Sequence[str], questions: Sequence[str], mini: Encode | None = None) -> dict[str, list[Ranking]]:
    """Rankings of texts for each question, by the name of the method.

    Args:
        texts: What is searched.
        questions: What is asked.
        mini: MiniLM, if there is one.
    """
    vectors = {"static": StaticEmbedder.shipped().encode} | ({} if mini is None else {"MiniLM": mini})
    found = {BM25: bm25(texts, questions)}
    found |= {name: nearest(texts, questions, encode) for name, encode in vectors.items()}
    for name in vectors:
        found[f"{BM25} + {name}"] = [fused(*pair) for pair in zip(found[BM25], found[name], strict=True)]
    return found


def bm25(texts: Sequence[str], questions: Sequence[str]) -> list[Ranking]:
    """By BM25 over stemmed words, any of which may be there.

    Raises:
        ConfigurationError: SQLite was built without FTS5.
    """
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE f USING fts5(t, tokenize = 'porter unicode61 remove_diacritics 2')")
        connection.executemany("INSERT INTO f(rowid, t) VALUES (?, ?)", enumerate(texts))
        ask = "SELECT rowid FROM f WHERE f MATCH ? ORDER BY rank LIMIT ?"
        queries = (" OR ".join(f'"{word}"' for word in _WORD.findall(question)) or '""' for question in questions)
        return [[row for (row,) in connection.execute(ask, (query, _DEPTH))] for query in queries]
    except sqlite3.OperationalError as error:
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} cannot search full text ({error}); use a Python whose SQLite has FTS5"
        ) from error
    finally:
        connection.close()


def nearest(texts: Sequence[str], questions: Sequence[str], encode: Encode) -> list[Ranking]:
    """By the cosine of whole texts."""
    matrix, asked = encode(texts), encode(questions)
    return [np.argsort(-(matrix @ vector), kind="stable")[:_DEPTH].tolist() for vector in asked]


def fused(*rankings: Ranking) -> Ranking:
    """By reciprocal rank fusion."""
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for place, each in enumerate(ranking, start=1):
            scores[each] += 1 / (_CONSTANT + place)
    return sorted(scores, key=lambda each: (-scores[each], each))


def minilm(folder: Path | None = None) -> Encode | None:
    """MiniLM: of the extra ``onnx``, or by ``sentence-transformers``; None where neither is on this machine.

    Args:
        folder: A model's for ``sentence-transformers``; by default the extra's, or else what is in the cache of models.
            Nothing is fetched.

    Raises:
        ConfigurationError: The folder holds no model that can be loaded.
        MissingExtra: A folder was given, and the package cannot be imported.
    """
    if folder is None:
        with suppress(MissingExtra):
            return MiniLM.installed().encode
    try:
        from huggingface_hub import try_to_load_from_cache
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        if folder is None:
            return None
        raise MissingExtra("MiniLM", "sentence-transformers", "pip install sentence-transformers") from error
    if folder is None:
        cached = try_to_load_from_cache(_MODEL, "modules.json")
        if not isinstance(cached, str):
            return None
        folder = Path(cached).parent
    try:
        model = SentenceTransformer(str(folder))  # a folder: by its name it would be asked for in the network
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{folder} holds no model for sentence-transformers ({error}); give the folder of {_MODEL}"
        ) from error

    def encode(texts: Sequence[str]) -> Vector:
        vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    return encode
