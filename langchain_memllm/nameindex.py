"""Similar names, found in memory at 64 bytes a name: sign bits of a rotated vector, compared by Hamming distance.

A read is a range query: every name with a cosine of at least some threshold. Two vectors at the angle a differ in a
share a/pi of the signs of their coordinates in random directions, so a name is passed on if its code differs in no
more bits than that share at the threshold, plus five standard deviations: one name in three million at the threshold
is missed, and fewer inside it. What is passed on is a superset; the store that owns the index compares exactly. The
first half of a code sifts, and the whole of it decides about what is left.

Codes are the same on every machine: the rotation (three rounds of random signs and a Hadamard transform) is made of
additions only. It also wakes no BLAS threads, which would stall a busy machine for milliseconds.
"""

from __future__ import annotations

import functools
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from langchain_memllm.errors import ConfigurationError, EmbeddingError, StoreCorrupt
from langchain_memllm.forking import renewed
from langchain_memllm.triples import Namespace

__all__ = ["BITS", "CODE_BYTES", "Entry", "Indexes", "NameIndex", "encode"]

BITS: Final = 512
CODE_BYTES: Final = BITS // 8

_ROUNDS: Final = 3
_DEVIATIONS: Final = 5.0
_WORDS: Final = BITS // 64
_CHUNK: Final = 4096  # vectors rotated at once
_BLOCK: Final = 32_768  # names compared at once: a megabyte of codes stays in the cache
_NEAREST: Final = 0.999  # equal vectors of two programs differ in the last digits, so in a few bits
_SIFTED: Final = _WORDS // 2  # words of a code that every name is compared by
_UNRELATED: Final = 1.75  # unrelated names differ in half of the bits; this many deviations below it 1 in 25 passes
_MAX_SHARE: Final = 0.05
_SMALL: Final = 2000  # names; comparing that many exactly costs no more than sifting them

Id = TypeVar("Id", int, str)
Held = TypeVar("Held", bound=Sized)


def encode(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Codes of shape (n, 64) for vectors of shape (n, D), any D; depends on the direction of a vector only.

    Raises:
        EmbeddingError: Not a matrix with at least one column.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise EmbeddingError(f"expected vectors of shape (n, D), got {vectors.shape}; stack them into one matrix")
    codes = np.empty((len(vectors), CODE_BYTES), np.uint8)
    for start in range(0, len(vectors), _CHUNK):
        rotated = _rotate(vectors[start : start + _CHUNK])
        codes[start : start + _CHUNK] = np.packbits(rotated[:BITS] > 0, axis=0).T
    return codes


class NameIndex(Generic[Id]):
    """The names of one namespace: their ids and codes. Safe across threads.

    An id that is added twice is held twice and answered once; ``discard`` removes both.
    """

    def __init__(self) -> None:
        """An empty index."""
        self._lock = renewed(threading.Lock())
        self._codes: NDArray[np.uint64] = np.empty((_WORDS, 0), np.uint64)  # a word a row: scans are contiguous
        self._ids: NDArray[Any] = np.empty(0, np.int64)  # int64, or object for texts
        self._count = 0

    def add(self, ids: Sequence[Id], codes: NDArray[np.uint8] | Sequence[bytes]) -> None:
        """Add names with their codes, (n, 64) bytes from ``encode`` or as stored.

        Raises:
            StoreCorrupt: A code has not 64 bytes, or there is not one for each id.
        """
        words = _words(codes, len(ids))
        new = np.empty(len(ids), np.int64 if all(isinstance(i, int) for i in ids) else object)
        new[:] = ids
        with self._lock:
            if new.dtype != self._ids.dtype and len(new):
                self._ids = self._ids.astype(object if self._count else new.dtype)
            self._grow(self._count + len(new))
            self._codes[:, self._count : self._count + len(new)] = words
            self._ids[self._count : self._count + len(new)] = new
            self._count += len(new)

    def discard(self, ids: Collection[Id]) -> None:
        """Remove names; ids that are not there are ignored."""
        gone = frozenset(ids)
        with self._lock:
            kept = [row for row, known in enumerate(self._ids[: self._count].tolist()) if known not in gone]
            self._codes, self._ids, self._count = self._codes[:, kept], self._ids[kept], len(kept)

    def clear(self) -> None:
        """Remove all names."""
        with self._lock:
            self._codes, self._ids, self._count = self._codes[:, :0], self._ids[:0], 0

    def candidates(self, vectors: NDArray[np.float32], min_similarity: Sequence[float]) -> list[list[Id] | None]:
        """Ids of all names that may have a cosine of at least ``min_similarity`` to each vector, and of few others.

        Args:
            vectors: Shape (queries, D).
            min_similarity: One threshold in [-1, 1] for each query.

        Returns:
            For each query the ids in the order added; None if the codes do not narrow the search (a threshold below
            about 0.43, or more than 5 % of over 2,000 names would pass): then all names must be compared exactly.

        Raises:
            ConfigurationError: Not one threshold for each vector.
        """
        if len(vectors) != len(min_similarity):
            raise ConfigurationError(
                f"{len(min_similarity)} thresholds for {len(vectors)} vectors; pass one for each vector"
            )
        queries = _words(encode(vectors), len(vectors))
        with self._lock:
            return [self._scan(queries[:, i], t) for i, t in enumerate(min_similarity)]

    def __len__(self) -> int:
        """Number of names."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Memory held for codes and ids, in bytes (without the texts of text ids)."""
        return self._codes.nbytes + self._ids.nbytes

    def _scan(self, query: NDArray[np.uint64], min_similarity: float) -> list[Id] | None:
        whole, half = _radius(min_similarity, BITS), _radius(min_similarity, _SIFTED * 64)
        if whole > BITS / 2 - _UNRELATED * math.sqrt(BITS) / 2:
            return None
        limit = math.inf if self._count <= _SMALL else _MAX_SHARE * self._count
        passed: list[NDArray[np.intp]] = []
        for start in range(0, self._count, _BLOCK):
            block = self._codes[:, start : min(start + _BLOCK, self._count)]
            near = _distance(block[:_SIFTED], query[:_SIFTED])
            rows = np.flatnonzero(near <= half)
            rest = _distance(block[_SIFTED:, rows], query[_SIFTED:])
            passed.append(rows[near[rows] + rest <= whole] + start)
            limit -= len(passed[-1])
            if limit < 0:
                return None
        rows = np.concatenate(passed) if passed else np.empty(0, np.intp)
        return list(dict.fromkeys(self._ids[rows].tolist()))

    def _grow(self, count: int) -> None:
        capacity = self._codes.shape[1]
        if count <= capacity:
            return
        capacity = max(count, capacity + capacity // 2, 16)
        codes, ids = np.empty((_WORDS, capacity), np.uint64), np.empty(capacity, self._ids.dtype)
        codes[:, : self._count], ids[: self._count] = self._codes[:, : self._count], self._ids[: self._count]
        self._codes, self._ids = codes, ids


@dataclass(frozen=True, slots=True)
class Entry(Generic[Held]):
    """A namespace's index and the state of the namespace it was filled from; ``last``: what is in it of ``seq``."""

    index: Held
    seq: int
    epoch: int
    last: frozenset[object] = frozenset()


class Indexes(Generic[Held]):
    """The indexes of the namespaces used lately. Safe across threads.

    Args:
        most: Entries of indexes held in all; beyond it the namespaces used longest ago are dropped. One may exceed it.

    Raises:
        ConfigurationError: ``most`` is not positive.
    """

    def __init__(self, most: int = 4_000_000) -> None:
        """Hold nothing yet."""
        if most < 1:
            raise ConfigurationError(f"most {most} is not positive; leave it out or pass at least 1")
        self._most = most
        self._lock = renewed(threading.Lock())
        self._entries: OrderedDict[Namespace, tuple[Entry[Held], int]] = OrderedDict()
        self._size = 0

    def get(self, namespace: Namespace) -> Entry[Held] | None:
        """The index of a namespace with the sequence number and erase epoch it was filled up to, if held."""
        with self._lock:
            if namespace not in self._entries:
                return None
            self._entries.move_to_end(namespace)
            return self._entries[namespace][0]

    def put(
        self, namespace: Namespace, index: Held, seq: int, epoch: int, last: frozenset[object] = frozenset()
    ) -> None:
        """Hold an index, filled up to ``seq`` in ``epoch``; also to be called after adding to one that is held."""
        with self._lock:
            self._remove(namespace)
            self._entries[namespace] = (Entry(index, seq, epoch, last), len(index))
            self._size += len(index)
            while self._size > self._most and len(self._entries) > 1:
                self._remove(next(iter(self._entries)))

    def drop(self, namespace: Namespace) -> None:
        """Forget a namespace's index, if held."""
        with self._lock:
            self._remove(namespace)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def __len__(self) -> int:
        """Number of namespaces held."""
        return len(self._entries)

    def _remove(self, namespace: Namespace) -> None:
        _, size = self._entries.pop(namespace, (None, 0))
        self._size -= size


def _rotate(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coordinates in random directions, shape (W, n) with W >= max(D, 512); the scale is of no account."""
    signs = _signs(vectors.shape[1])
    rotated = np.zeros((signs.shape[1], len(vectors)), np.float32)
    rotated[: vectors.shape[1]] = vectors.T
    for round_signs in signs:
        rotated *= round_signs[:, None]
        for _ in range(len(rotated).bit_length() - 1):  # a Hadamard transform, up to the order of its rows
            rotated = np.concatenate((rotated[0::2] + rotated[1::2], rotated[0::2] - rotated[1::2]))
    return rotated


@functools.cache
def _signs(dimension: int) -> NDArray[np.float32]:
    """Plus and minus ones, shape (rounds, W): W is the power of two that holds the dimension and the bits."""
    width = max(BITS, 1 << (dimension - 1).bit_length())
    noise = hashlib.shake_256(f"langchain-memllm name index {dimension}".encode()).digest(_ROUNDS * width // 8)
    bits = np.unpackbits(np.frombuffer(noise, np.uint8)).reshape(_ROUNDS, width)
    return bits.astype(np.float32) * 2 - 1


@functools.lru_cache(maxsize=64)
def _radius(min_similarity: float, bits: int) -> int:
    """Bits of so many in which a vector at this cosine may differ: mean plus five standard deviations."""
    share = math.acos(max(-1.0, min(min_similarity, _NEAREST))) / math.pi
    return math.ceil(bits * share + _DEVIATIONS * math.sqrt(bits * share * (1 - share)))


def _distance(codes: NDArray[np.uint64], query: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """In how many bits codes of shape (words, n) differ from one of shape (words,)."""
    distance: NDArray[np.uint16] = np.bitwise_count(codes[0] ^ query[0]).astype(np.uint16)
    for word in range(1, len(query)):
        distance += np.bitwise_count(codes[word] ^ query[word])
    return distance


def _words(codes: NDArray[np.uint8] | Sequence[bytes], count: int) -> NDArray[np.uint64]:
    """Codes as 64-bit words, shape (8, n)."""
    if not isinstance(codes, np.ndarray):
        if any(len(code) != CODE_BYTES for code in codes):
            raise StoreCorrupt(f"a stored name code has not {CODE_BYTES} bytes; check the store with: memllm doctor")
        codes = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, CODE_BYTES)
    if codes.shape != (count, CODE_BYTES):
        raise StoreCorrupt(
            f"{count} names with codes of shape {codes.shape}, expected ({count}, {CODE_BYTES}); "
            "check the store with: memllm doctor"
        )
    return np.ascontiguousarray(codes).view(np.uint64).T
