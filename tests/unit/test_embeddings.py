"""Embedders: what is shipped, what is accepted, what is refused, and what is remembered."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding

from langchain_memllm.embeddings import Embedder, Fingerprint, StaticEmbedder, Vectors, fingerprint
from langchain_memllm.errors import ConfigurationError, EmbeddingError, StoreUnavailable


class ByLength:
    """Embeds a text as (length, 1)."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]


class Answers:
    """Returns, or raises, what it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def similarity(one: str, other: str) -> float:
    a, b = Vectors().embed([one, other])
    assert a is not None
    assert b is not None
    return float(np.dot(a, b))


def test_shipped_vectors_are_float32_of_unit_length_and_the_same_in_any_batch() -> None:
    shipped = StaticEmbedder.shipped()
    names = ["Marie Curie", "New York City", "born in", "Ada 🎉"] * 3
    together = shipped.encode(names)
    assert together.shape == (12, 256)
    assert together.dtype == np.float32
    assert np.allclose((together.astype(np.float64) ** 2).sum(axis=1), 1.0, atol=1e-6)
    for name, row in zip(names, together, strict=True):
        assert (shipped.encode([name])[0] == row).all()
    assert shipped.embed_query("Marie Curie") == shipped.embed_documents(["Marie Curie"])[0] == together[0].tolist()


def test_batches_above_the_chunk_size_keep_their_order() -> None:
    names = [f"station {i}" for i in range(5000)]
    matrix = StaticEmbedder.shipped().encode(names)
    for i in (0, 4095, 4096, 4999):
        assert (matrix[i] == StaticEmbedder.shipped().encode([names[i]])[0]).all()


def test_similar_names_are_closer_than_others() -> None:
    assert similarity("New York City", "New York") > 0.8
    assert similarity("New York City", "New York") > similarity("New York City", "Paris") + 0.3
    assert similarity("New York City", "new york city") == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["", " ", "🎉", "郑州", "Владивосток", "안녕", "XQZ", "北郑"])
def test_names_the_shipped_model_cannot_read_have_no_vector(name: str) -> None:
    assert Vectors().embed([name, "Oslo"])[0] is None
    assert not any(StaticEmbedder.shipped().embed_query(name))


@pytest.mark.parametrize("name", ["Ada 🎉", "Zürich", "東京", "7", "C++", "\ud800 Oslo"])
def test_unknown_symbols_do_not_hide_a_readable_name(name: str) -> None:
    assert Vectors().embed([name])[0] is not None


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_text_has_a_unit_vector_or_none(texts: list[str]) -> None:
    vectors = Vectors().embed(texts)
    assert len(vectors) == len(texts)
    for vector in vectors:
        assert vector is None or math.isclose(float(np.dot(vector, vector)), 1.0, abs_tol=1e-5)


def test_loading_is_light_and_needs_no_torch() -> None:
    script = (
        "import json, sys, time, numpy; from langchain_memllm.embeddings import Vectors; start = time.process_time();"
        "Vectors().embed(['Oslo']); heavy = {'torch', 'transformers', 'model2vec', 'langchain', 'langgraph'};"
        "print(json.dumps([time.process_time() - start, sorted(heavy & set(sys.modules))]))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, heavy = json.loads(ran.stdout)
    assert heavy == []
    assert seconds < 1.0  # 0.05 measured; the goal is 0.3, the rest is for busy machines


def test_langchain_embeddings_fit_as_they_are() -> None:
    embedder = DeterministicFakeEmbedding(size=8)
    assert isinstance(embedder, Embedder)
    (vector,) = Vectors(embedder).embed(["Oslo"])
    assert vector is not None
    assert vector.shape == (8,)


def test_user_vectors_are_made_unit_length_and_read_only() -> None:
    vector, again = Vectors(Answers([[3.0, 4.0], [6e300, 8e300]])).embed(["a", "b"])
    assert vector is not None
    assert again is not None
    assert vector.tolist() == pytest.approx([0.6, 0.8])
    assert again.tolist() == pytest.approx([0.6, 0.8])
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1.0


def test_unknown_texts_go_to_the_embedder_once_and_in_one_call() -> None:
    vectors = Vectors(ByLength())
    vectors.embed(["a", "bb", "a"])
    assert (vectors.calls, vectors.texts) == (1, 2)
    repeated = vectors.embed(["bb", "ccc", "a"])
    assert (vectors.calls, vectors.texts) == (2, 3)
    assert [v.tolist() for v in repeated if v is not None] == [
        pytest.approx([n / math.hypot(n, 1), 1 / math.hypot(n, 1)]) for n in (2, 3, 1)
    ]
    assert vectors.embed([]) == []
    assert vectors.calls == 2


def test_names_without_a_vector_are_remembered_too() -> None:
    vectors = Vectors()
    vectors.embed(["郑州"])
    vectors.embed(["郑州"])
    assert vectors.calls == 1


def test_the_least_recently_used_text_is_dropped() -> None:
    vectors = Vectors(ByLength(), capacity=2)
    vectors.embed(["a", "bb"])
    vectors.embed(["a"])
    vectors.embed(["ccc"])
    vectors.embed(["a", "ccc"])
    assert vectors.calls == 2
    vectors.embed(["bb"])
    assert vectors.calls == 3
    assert len(vectors.embed(["1", "22", "333", "4444"])) == 4


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[1.0, 0.0]], "1 vectors for 2 texts"),
        ([], "0 vectors for 2 texts"),
        ([[1.0, 0.0], [0.0, 0.0]], "vector 1 .* is zero"),
        ([[1.0, 0.0], [math.nan, 0.0]], "vector 1 .* NaN or infinity"),
        ([[math.inf, 0.0], [1.0, 0.0]], "vector 0 .* NaN or infinity"),
        ([[1.0, 0.0], [1.0, 0.0, 0.0]], "vector 1 .* 3 numbers where earlier ones had 2"),
        ([[], []], "vector 0 .* shape"),
        ([[[1.0]], [[1.0]]], "vector 0 .* shape"),
        ([None, None], "vector 0 .*"),
        (["text", "text"], "not a list of numbers"),
        (None, "failed on 2 texts with TypeError"),
        (RuntimeError("secret text"), "failed on 2 texts with RuntimeError"),
    ],
)
def test_unusable_vectors_are_named_with_their_place_and_the_next_step(answer: object, said: str) -> None:
    vectors = Vectors(Answers(answer))
    with pytest.raises(EmbeddingError, match=said) as caught:
        vectors.embed(["a", "b"])
    assert "secret" not in str(caught.value)
    assert "Answers" in str(caught.value)


def test_a_later_vector_of_another_length_is_refused_and_the_good_ones_stay() -> None:
    embedder = Answers([[1.0, 0.0]])
    vectors = Vectors(embedder)
    vectors.embed(["a"])
    embedder.answer = [[1.0, 0.0, 0.0]]
    with pytest.raises(EmbeddingError, match="3 numbers where earlier ones had 2"):
        vectors.embed(["b"])
    assert vectors.embed(["a"])[0] is not None
    assert vectors.dimension == 2


def test_errors_of_this_package_pass_through() -> None:
    with pytest.raises(StoreUnavailable):
        Vectors(Answers(StoreUnavailable("away"))).embed(["a"])


@pytest.mark.parametrize(
    ("build", "said"),
    [(lambda: Vectors(object()), "no embed_documents"), (lambda: Vectors(ByLength(), capacity=0), "not positive")],
)
def test_wrong_arguments_are_refused(build: Callable[[], Vectors], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        build()


def test_threads_share_one_instance() -> None:
    vectors, names = Vectors(capacity=50), [f"station {i}" for i in range(200)]
    expected = StaticEmbedder.shipped().encode(names)
    wrong: list[str] = []

    def work(step: int) -> None:
        for i in range(0, 200, step):
            (vector,) = vectors.embed([names[i]])
            if vector is None or (vector != expected[i]).any():
                wrong.append(names[i])

    threads = [threading.Thread(target=work, args=(step,)) for step in (1, 2, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_same_embedder_has_the_same_fingerprint() -> None:
    mine = fingerprint(StaticEmbedder.shipped())
    assert mine.matches(Vectors().fingerprint)
    assert mine.dimension == 256
    assert Fingerprint.from_dict(json.loads(json.dumps(mine.as_dict()))) == mine


def test_another_embedder_has_another_fingerprint() -> None:
    mine = fingerprint(DeterministicFakeEmbedding(size=256))
    assert not mine.matches(Vectors().fingerprint)
    assert not Vectors().fingerprint.matches(mine)
    assert not fingerprint(DeterministicFakeEmbedding(size=255)).matches(mine)


def test_small_differences_of_a_hosted_model_are_tolerated_and_its_wrapper_is_the_same() -> None:
    stored = Fingerprint("a", 3, (0.6, 0.8, 0.0))
    assert stored.matches(Fingerprint("b", 3, (0.6001, 0.7999, 0.0002)))
    assert not stored.matches(Fingerprint("a", 3, (0.5, 0.8, 0.2)))
    assert not stored.matches(Fingerprint("a", 3, (0.0, 0.0, 0.0)))


def test_the_fingerprint_costs_one_call_and_names_class_and_model() -> None:
    class Hosted(ByLength):
        model = "text-embedding-9"

    vectors = Vectors(Hosted())
    assert vectors.dimension == vectors.fingerprint.dimension == 2
    assert vectors.fingerprint.model_id.endswith("Hosted:text-embedding-9")
    assert vectors.calls == 1
