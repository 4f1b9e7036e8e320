"""What a tokenizer's tokens are in bytes, and how texts become tokens and back, the same way in training and use.

A context is a list of segments, each tokenised on its own: delimiters, queries and pasted results always
have the same tokens, wherever they stand. Text that a model wrote keeps the tokens it wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from langchain_memllm.errors import ModelError
from langchain_memllm.grammar import START
from langchain_memllm.reading import Segment

__all__ = ["Trie", "Vocabulary", "check_tokenizer"]

PROBES: Final = (
    "Ada Lovelace was born on 10 December 1815 in London.",
    "({MEM_READ(São Paulo>>population>>)-->12,325,232})",
    "  two spaces, a tab\tand a line\nend; 3.14 -- x",
    "Ελλάδα, Москва, 東京, العربية, हिन्दी, 🙂",
)
"""Texts that every tokenizer must give back unchanged."""

_PARTING: Final = "<|endoftext|>"  # between the texts that GPT-2 and those after it (Qwen, SmolLM2, OLMo) learnt from
_REPLACEMENT: Final = "\ufffd"
_CONTEXT: Final = 6  # tokens before a piece that can change how it is decoded (spaces, split characters)


def check_tokenizer(tokenizer: Any, where: str) -> None:
    """Check that text survives encoding and decoding.

    A tokenizer that was saved and loaded again can be silently another one: every space of SmolLM2's became
    ``<|endoftext|>`` that way, and a training run was lost to it.

    Raises:
        ModelError: A probe text comes back changed.
    """
    for probe in PROBES:
        ids = tokenizer.encode(probe, add_special_tokens=False)
        back = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if back not in (probe, " " + probe) and back != probe.lstrip():
            raise ModelError(
                f"the tokenizer of {where} does not give text back: {probe!r} became {back!r}; "
                "use the tokenizer that the model was trained with, saved by the version that loads it"
            )


class Trie:
    """Token ids by their bytes. ``children`` maps a byte to a subtree; ``ids`` are the tokens that end here."""

    __slots__ = ("children", "ids")

    def __init__(self) -> None:
        """Empty."""
        self.children: dict[int, Trie] = {}
        self.ids: list[int] = []

    def add(self, token: bytes, token_id: int) -> None:
        """Add a token."""
        node = self
        for byte in token:
            node = node.children.setdefault(byte, Trie())
        node.ids.append(token_id)


def _beginning(tokenizer: Any, vocabulary: Mapping[str, int]) -> tuple[int, ...]:
    """What stands before a text: the token that the tokenizer puts there, else the one that parts texts.

    A causal model attends to its first token for want of anything better and forgets which token it was. If that is the
    first of a name, the name is lost: SmolLM2-135M then wrote "A. Stemmle" of a text that began with "Robert A.".
    """
    begun = tokenizer.encode("", add_special_tokens=True)
    if begun and begun == [tokenizer.bos_token_id]:
        return tuple(begun)
    return (vocabulary[_PARTING],) if _PARTING in vocabulary else ()


class Vocabulary:
    """A tokenizer, with the bytes of each token.

    Args:
        tokenizer: A tokenizer of transformers.
        size: Number of logits of the model; may be larger than the tokenizer's vocabulary.
    """

    def __init__(self, tokenizer: Any, size: int) -> None:
        """Read the vocabulary once."""
        self.tokenizer = tokenizer
        self.size = size
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        special = set(tokenizer.all_special_ids)
        read = _bytes_reader(vocabulary)
        self.bytes: dict[int, bytes] = {
            token_id: written
            for token, token_id in vocabulary.items()
            if token_id not in special and token_id < size and (written := read(token))
        }
        self._special = frozenset(special)
        self.bos: tuple[int, ...] = _beginning(tokenizer, vocabulary)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of a segment.

        Args:
            text: The segment.
            special: Whether ``<|im_end|>`` and the like are special tokens, as in a prompt made with a chat template;
                in text that is read, or names from memory, they are ordinary characters.
        """
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special)
        return ids

    def encode_segments(self, segments: Iterable[Segment]) -> list[int]:
        """Token ids of a context: what begins a text, then each segment on its own.

        Special tokens are known in the first one, the prompt, only; a prompt that begins with one, as a chat template
        does, has its beginning.
        """
        ids: list[int] = []
        for number, segment in enumerate(segments):
            ids += segment.ids or self.encode(segment.text, special=number == 0)
        return ids if ids and ids[0] in self._special else [*self.bos, *ids]

    def decode(self, ids: Sequence[int], before: Sequence[int] = ()) -> str:
        """Text of ``ids`` as it stands after the tokens ``before``."""
        head = list(before[-_CONTEXT:])
        if not head:
            return self._text(list(ids))
        start = self._text(head)
        whole = self._text([*head, *ids])
        return whole[len(start) :] if whole.startswith(start) else self._text(list(ids))

    def _text(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def cut(self, ids: Sequence[int], length: int, before: Sequence[int] = ()) -> tuple[int, ...]:
        """Token ids of the first ``length`` characters of ``decode(ids)``; a token across the cut is split anew."""
        text = self.decode(ids, before)[:length]
        kept = len(ids)
        while kept:
            part = self.decode(ids[:kept], before)
            if len(part) <= length and text.startswith(part):
                return (*ids[:kept], *self.encode(text[len(part) :])) if len(part) < length else tuple(ids[:kept])
            kept -= 1
        return tuple(self.encode(text)) if text else ()

    def whole(self, ids: Sequence[int], before: Sequence[int] = ()) -> Sequence[int]:
        """``ids`` without the last tokens if these are an unfinished character."""
        for drop in range(min(4, len(ids) + 1)):
            kept = ids[: len(ids) - drop]
            if not self.decode(kept, before).endswith(_REPLACEMENT):
                return kept
        return ids

    @cached_property
    def opening(self) -> tuple[int, ...]:
        """Tokens that hold ``({``."""
        return self._where(lambda token: START.encode() in token)

    @cached_property
    def brace(self) -> tuple[int, ...]:
        """Tokens that begin with the second character of ``({``; after a ``(`` they open a call."""
        return self._where(lambda token: token.startswith(START[1:].encode()))

    def holding(self, mark: str) -> tuple[int, ...]:
        """Tokens that hold ``mark``."""
        return self._where(lambda token: mark.encode() in token)

    def _where(self, test: Any) -> tuple[int, ...]:
        return tuple(sorted(token_id for token_id, token in self.bytes.items() if test(token)))

    @cached_property
    def trie(self) -> Trie:
        """All tokens by their bytes."""
        return self.trie_of(self.bytes)

    def trie_of(self, token_ids: Iterable[int]) -> Trie:
        """Some tokens by their bytes."""
        root = Trie()
        for token_id in token_ids:
            root.add(self.bytes[token_id], token_id)
        return root


def _bytes_reader(vocabulary: dict[str, int]) -> Any:
    """The function that turns a token's name into its bytes, for the two families of causal LM tokenizers.

    Raises:
        ModelError: Neither a byte-level nor a SentencePiece vocabulary.
    """
    if any(token.startswith("Ġ") for token in vocabulary):
        table = _byte_level()
        return lambda token: bytes(table[c] for c in token) if all(c in table for c in token) else b""
    if any(token.startswith("▁") for token in vocabulary):
        return _metaspace
    raise ModelError("the tokenizer is neither byte-level BPE nor SentencePiece; use a causal LM that has one of these")


def _metaspace(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def _byte_level() -> dict[str, int]:
    """Byte-level BPE shows each byte as a printable character: printable Latin-1 as itself, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in table.values())
    return table | {chr(0x100 + number): byte for number, byte in enumerate(others)}
