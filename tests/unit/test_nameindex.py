"""The name index: nothing similar is missed, little else passes, and codes never change."""

from __future__ import annotations

import hashlib
import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from langchain_memllm.embeddings import StaticEmbedder
from langchain_memllm.errors import ConfigurationError, EmbeddingError, StoreCorrupt
from langchain_memllm.nameindex import BITS, CODE_BYTES, Indexes, NameIndex, encode

Matrix = NDArray[np.float32]


def unit(matrix: NDArray[np.float64]) -> Matrix:
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def random_units(n: int, dimension: int, seed: int = 0) -> Matrix:
    return unit(np.random.default_rng(seed).normal(size=(n, dimension)))


def index_of(matrix: Matrix) -> NameIndex[int]:
    index: NameIndex[int] = NameIndex()
    index.add(range(len(matrix)), encode(matrix))
    return index


FIRST = ["Ada", "Marie", "Grace", "Alan", "Emmy", "Niels", "Rosa", "Omar", "Lise", "Erwin", "Sophie", "Carl", "Hedy"]
LAST = [
    "Lovelace",
    "Curie",
    "Hopper",
    "Turing",
    "Noether",
    "Bohr",
    "Parks",
    "Khayyam",
    "Meitner",
    "Schrödinger",
    "Gauss",
]
KINDS = ["River", "University of", "City of", "Lake", "New", "Saint", "Mount", "Battle of", "Republic of", "Return of"]


def made_names() -> list[str]:
    people = [f"{first} {middle}{last}" for first in FIRST for middle in ("", "B. ", "von ") for last in LAST]
    places = [f"{kind} {last}{suffix}" for kind in KINDS for last in LAST for suffix in ("", " II", " County")]
    return people + places + [f"{first} {kind} {last}" for first in FIRST for kind in KINDS for last in LAST]


NAMES = made_names()
VECTORS = StaticEmbedder.shipped().encode(NAMES)
INDEX = index_of(VECTORS)


@pytest.mark.parametrize("min_similarity", [0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1 - 1e-6])
def test_no_similar_name_is_missed(min_similarity: float) -> None:
    queries = VECTORS[:: max(1, len(VECTORS) // 150)]
    similar = queries @ VECTORS.T >= min_similarity
    answers = INDEX.candidates(queries, [min_similarity] * len(queries))
    for expected, answer in zip(similar, answers, strict=True):
        assert answer is None or set(np.flatnonzero(expected)) <= set(answer)


def test_high_thresholds_are_narrowed_and_low_ones_are_not() -> None:
    high, low = INDEX.candidates(VECTORS[[0, 0]], [0.9, 0.3])
    assert high is not None
    assert len(high) <= 0.05 * len(NAMES)
    assert low is None


@pytest.mark.parametrize("dimension", [2, 8, 100, 256, 384, 1536])
def test_no_similar_vector_is_missed_in_any_dimension(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    centre = random_units(1, dimension)
    vectors = unit(centre + rng.uniform(0, 2, (1500, 1)) * random_units(1500, dimension, seed=1))
    similar = np.flatnonzero(vectors @ centre[0] >= 0.8)
    (answer,) = index_of(vectors).candidates(centre, [0.8])
    assert answer is not None
    assert len(similar) > 100
    assert set(similar) <= set(answer)


def test_random_bits_differ_in_proportion_to_the_angle() -> None:
    rng = np.random.default_rng(3)
    one, other = random_units(2000, 300, seed=1), random_units(2000, 300, seed=2)
    other = unit(other - (other * one).sum(axis=1, keepdims=True) * one)  # at right angles
    angle = rng.uniform(0, math.pi, (2000, 1))
    turned = (np.cos(angle) * one + np.sin(angle) * other).astype(np.float32)
    differing = np.bitwise_count(encode(one) ^ encode(turned)).sum(axis=1)
    z = (differing - BITS * angle[:, 0] / math.pi) / np.sqrt(BITS * (angle / math.pi * (1 - angle / math.pi))[:, 0])
    assert abs(z.mean()) < 0.1
    assert abs(z).max() < 5.0


def test_codes_are_the_same_on_every_machine_and_in_every_version() -> None:
    ramp = np.arange(1, 385, dtype=np.float32)[None, :] * np.where(np.arange(384) % 3, 1, -1).astype(np.float32)
    assert hashlib.sha256(encode(ramp).tobytes()).hexdigest()[:16] == "f6a0f5367e1d7d13"


@given(st.integers(1, 40), st.sampled_from([3, 64, 256, 300]), st.integers(0, 99))
def test_a_code_depends_on_its_own_direction_only(n: int, dimension: int, seed: int) -> None:
    vectors = random_units(n, dimension, seed)
    codes = encode(vectors)
    assert codes.shape == (n, CODE_BYTES)
    assert codes.dtype == np.uint8
    assert (encode(vectors[-1:]) == codes[-1]).all()
    assert (encode(vectors * np.float32(4)) == codes).all()


@pytest.mark.parametrize("shape", [(3,), (3, 0), (1, 2, 3)])
def test_only_matrices_are_encoded(shape: tuple[int, ...]) -> None:
    with pytest.raises(EmbeddingError, match="expected vectors"):
        encode(np.ones(shape, np.float32))


@given(st.lists(st.tuples(st.sampled_from(["add", "discard"]), st.sets(st.integers(0, 60), max_size=20)), max_size=12))
def test_an_index_holds_what_was_added_and_not_discarded(steps: list[tuple[str, set[int]]]) -> None:
    vectors = random_units(61, 256, seed=7)
    codes, index, held = encode(vectors), NameIndex[int](), set[int]()
    for step, ids in steps:
        if step == "add":
            new = sorted(ids - held)
            index.add(new, codes[new])
            held |= ids
        else:
            index.discard(ids)
            held -= ids
    assert len(index) == len(held)
    answers = index.candidates(vectors, [0.99] * 61)
    assert {i for i, answer in enumerate(answers) if answer is not None and i in answer} == held


def test_codes_are_taken_as_stored_bytes_and_ids_may_be_texts() -> None:
    vectors = random_units(20, 256)
    index: NameIndex[str] = NameIndex()
    index.add([f"name {i}" for i in range(20)], [code.tobytes() for code in encode(vectors)])
    assert index.candidates(vectors[[4]], [0.9]) == [["name 4"]]
    index.discard(["name 4", "never there"])
    assert index.candidates(vectors[[4]], [0.9]) == [[]]
    index.clear()
    assert len(index) == 0
    index.add([], [])
    assert index.candidates(vectors[[5]], [0.9]) == [[]]


def test_an_id_added_twice_is_answered_once() -> None:
    vectors = random_units(3, 256)
    index = index_of(vectors)
    index.add([1], encode(vectors[[1]]))
    assert index.candidates(vectors[[1]], [0.9]) == [[1]]
    index.discard([1])
    assert index.candidates(vectors[[1]], [0.9]) == [[]]


@pytest.mark.parametrize("codes", [[b"short"], [], [bytes(32), bytes(32)], np.zeros((1, 31), np.uint8)])
def test_damaged_codes_are_refused_and_the_index_stays(codes: list[bytes]) -> None:
    index = index_of(random_units(3, 256))
    with pytest.raises(StoreCorrupt, match="memllm doctor"):
        index.add([9], codes)
    assert len(index) == 3


def test_a_threshold_is_needed_for_each_vector() -> None:
    with pytest.raises(ConfigurationError, match="1 thresholds for 2 vectors"):
        INDEX.candidates(VECTORS[:2], [0.8])
    assert INDEX.candidates(VECTORS[:0], []) == []


def test_one_name_similar_to_most_of_a_large_namespace_is_not_narrowed() -> None:
    crowd = unit(random_units(1, 256) + 0.1 * random_units(3000, 256, seed=1))
    assert index_of(crowd).candidates(crowd[:1], [0.9]) == [None]
    (small,) = index_of(crowd[:1000]).candidates(crowd[:1], [0.9])
    assert small is not None
    assert len(small) == 1000


def test_opposite_vectors_pass_at_most_as_candidates() -> None:
    vector = random_units(1, 256)
    (answer,) = index_of(np.concatenate([vector, -vector])).candidates(vector, [0.9])
    assert answer is not None
    assert 0 in answer


def test_a_name_costs_64_bytes_and_its_id() -> None:
    index = index_of(random_units(1000, 256))
    assert index.nbytes == 1000 * (64 + 8)


def test_a_block_boundary_loses_nothing() -> None:
    n = 32_768 + 5
    codes = np.zeros((n, CODE_BYTES), np.uint8)
    codes[:] = encode(-random_units(1, 256))
    wanted = [0, 32_767, 32_768, n - 1]
    codes[wanted] = encode(random_units(1, 256))
    codes[:, 0] ^= 1  # no code is the exact opposite
    index: NameIndex[int] = NameIndex()
    index.add(range(n), codes)
    assert index.candidates(random_units(1, 256), [0.9]) == [wanted]


def test_namespaces_used_longest_ago_are_dropped() -> None:
    indexes: Indexes[NameIndex[int]] = Indexes(most=25)
    for name in "abc":
        indexes.put((name,), index_of(random_units(10, 8)), seq=1, epoch=0)
        indexes.get(("a",))
    assert indexes.get(("b",)) is None
    assert indexes.get(("a",)) is not None
    indexes.put(("large",), index_of(random_units(99, 8)), seq=4, epoch=2)
    entry = indexes.get(("large",))
    assert entry is not None
    assert (len(indexes), len(entry.index), entry.seq, entry.epoch) == (1, 99, 4, 2)


def test_putting_again_counts_the_names_added_since() -> None:
    indexes: Indexes[NameIndex[int]] = Indexes(most=25)
    index = index_of(random_units(10, 8))
    indexes.put(("a",), index, seq=1, epoch=0)
    indexes.put(("b",), index_of(random_units(10, 8)), seq=1, epoch=0)
    index.add(range(10, 20), encode(random_units(10, 8)))
    indexes.put(("a",), index, seq=2, epoch=0)
    assert indexes.get(("b",)) is None
    indexes.drop(("a",))
    indexes.drop(("a",))
    assert len(indexes) == 0
    indexes.put(("b",), index_of(random_units(20, 8)), seq=1, epoch=0)
    assert indexes.get(("b",)) is not None
    indexes.clear()
    assert len(indexes) == 0
    with pytest.raises(ConfigurationError, match="not positive"):
        Indexes(most=0)


def test_threads_add_and_search_one_index() -> None:
    vectors = random_units(2000, 64)
    index, missed = NameIndex[int](), list[int]()

    def work(start: int) -> None:
        for i in range(start, 2000, 4):
            index.add([i], encode(vectors[[i]]))
            (answer,) = index.candidates(vectors[[i]], [0.95])
            if answer is not None and i not in answer:
                missed.append(i)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []
    assert len(index) == 2000
