"""Key-value caches that grow in place, are cropped at no cost, and are found again by the tokens they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

__all__ = ["PrefixCaches", "join_rows", "keep_rows", "new_cache"]

_SPARE = 256  # tokens of room beyond what is needed now


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (B, H, T, D) of one layer, kept in larger buffers.

    The layer of transformers copies all of them for each new token: 60 MB a token for SmolLM2 after 640 tokens, a
    seventh of the step.
    """

    keys: torch.Tensor
    values: torch.Tensor
    _buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the states of new tokens; ``keys`` and ``values`` are views of the filled part."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held = self.get_seq_length()
        filled = held + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < filled:
            self._buffers = (self._room(self.keys, key_states, held), self._room(self.values, value_states, held))
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., held:filled, :] = states
        self.keys, self.values = (buffer[..., :filled, :] for buffer in self._buffers)
        return self.keys, self.values

    def _room(self, old: torch.Tensor, states: torch.Tensor, held: int) -> torch.Tensor:
        size = held + states.shape[-2] + max(_SPARE, held // 2)
        buffer = states.new_empty((*states.shape[:-2], size, states.shape[-1]))
        if held:
            buffer[..., :held, :] = old
        return buffer

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row; the copy has no spare room yet."""
        super().batch_repeat_interleave(repeats)
        self._buffers = None

    def keep(self, rows: torch.Tensor, first: int) -> None:
        """Keep some rows, and their tokens from ``first`` on."""
        self._fill([(self.keys[rows, :, first:], self.values[rows, :, first:])])

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows."""
        self.keep(indices, 0)

    def join(self, other: _GrowingLayer) -> None:
        """Add another's rows; whichever has fewer tokens is padded on the left, with zeros."""
        self._fill([(self.keys, self.values), (other.keys, other.values)])

    def _fill(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Hold these keys and values, one below the other, in new buffers."""
        width = max(keys.shape[-2] for keys, _ in parts)
        total = sum(len(keys) for keys, _ in parts)
        buffers = []
        for states in zip(*parts, strict=True):
            _, heads, _, size = states[0].shape
            buffer = states[0].new_empty((total, heads, width + max(_SPARE, width // 2), size))
            row = 0
            for part in states:
                rows, pad = buffer[row : row + len(part)], width - part.shape[-2]
                rows[:, :, :pad] = 0  # what is masked must be finite, too
                rows[:, :, pad:width] = part
                row += len(part)
            buffers.append(buffer)
        self._buffers = (buffers[0], buffers[1])
        self.keys, self.values = (buffer[..., :width, :] for buffer in buffers)


def keep_rows(cache: Cache, rows: torch.Tensor, first: int) -> None:
    """Keep some rows of a cache, and their tokens from ``first`` on."""
    for layer in cache.layers:
        layer.keep(rows, first)


def join_rows(cache: Cache, other: Cache) -> None:
    """Add the rows of another cache to one; whichever has fewer tokens is padded on the left."""
    for layer, others in zip(cache.layers, other.layers, strict=True):
        layer.join(others)


def new_cache() -> Cache:
    """An empty cache for any causal LM whose layers attend to keys and values."""
    return Cache(layer_class_to_replicate=_GrowingLayer)


class PrefixCaches:
    """The last few key-value caches with the token ids they hold; the least recently used one goes first.

    Args:
        limit: How many are kept; 0 keeps none, so that everything is encoded again at each step.
    """

    def __init__(self, limit: int = 4) -> None:
        """Empty."""
        self.limit = limit
        self._entries: list[tuple[list[int], Cache]] = []

    def take(self, ids: Sequence[int]) -> tuple[list[int], Cache]:
        """The cache that shares most with ``ids``, cropped to that, and taken out; a new one if none shares half.

        At least the last of ``ids`` is left out, so that the model has a token to run on.
        """
        shared = [_shared(held, ids) for held, _ in self._entries]
        best = max(range(len(shared)), key=shared.__getitem__, default=None)
        if best is None or shared[best] * 2 < len(self._entries[best][0]):
            return [], new_cache()
        held, cache = self._entries.pop(best)
        keep = min(shared[best], len(ids) - 1)
        if keep == 0:
            return [], new_cache()
        if keep < len(held):
            cache.crop(keep - len(held))
        return held[:keep], cache

    def give(self, ids: list[int], cache: Cache) -> None:
        """Keep a cache that holds exactly ``ids``."""
        self._entries.append((ids, cache))
        del self._entries[: max(0, len(self._entries) - self.limit)]

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def __len__(self) -> int:
        """Number of caches kept."""
        return len(self._entries)


def _shared(held: Sequence[int], ids: Sequence[int]) -> int:
    """Length of the common beginning."""
    length = min(len(held), len(ids))
    return next((at for at in range(length) if held[at] != ids[at]), length)
