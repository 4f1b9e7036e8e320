"""Examples of one document as a tree of tokens: what they share is computed once.

Each segment of a text is learnt after its own context, and these contexts are beginnings of each other, with a call
put in between. Written out, a text of ten calls is encoded ten times. Here the examples of a document become a tree in
which a token follows its parent; it sees its ancestors only and has the position it has in its example. So every
token's prediction is the one it has in the example alone, at a third to a tenth of the tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from langchain_memllm.training.examples import Example

__all__ = ["Batch", "Tree", "batch_of", "batches", "joined", "steps_of", "trees"]

Ints = npt.NDArray[np.int32]
ROW: Final = 384
"""Tokens up to which trees share a row: longer rows pad less and cost more attention."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Tokens and their parents (-1 for a first one), both (N,); targets (K, 4).

    A target is a node, the token to predict after it, 1 if no call may open there, else 0, and the node after which a
    teacher predicts the same token, or -1. ``examples``: how many are in it.
    """

    ids: Ints
    parents: Ints
    targets: Ints
    examples: int


class _Growing:
    """A tree while examples are added."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.parents: list[int] = []
        self.targets: list[tuple[int, int, bool, int]] = []
        self.examples = 0
        self._children: dict[tuple[int, int], int] = {}

    def new_tokens(self, example: Example) -> int:
        """How many tokens the example would add, at most."""
        return self._new(example.ids) + self._new(example.plain)

    def _new(self, ids: Sequence[int]) -> int:
        node = -1
        for at, token in enumerate(ids):
            child = self._children.get((node, token))
            if child is None:
                return len(ids) - at
            node = child
        return 0

    def add(self, example: Example) -> None:
        nodes, plain = self._nodes(example.ids), self._nodes(example.plain)
        ahead = len(nodes) - len(plain)
        for at in range(1, len(nodes)):  # nothing stands before a first token
            if example.learnt[at]:
                taught = plain[at - 1 - ahead] if example.taught and example.taught[at] else -1
                self.targets.append((nodes[at - 1], example.ids[at], at == example.closed, taught))
        self.examples += 1

    def _nodes(self, ids: Sequence[int]) -> list[int]:
        """The node of each token, added where there is none."""
        nodes, node = list[int](), -1
        for token in ids:
            child = self._children.get((node, token))
            if child is None:
                child = self._children[node, token] = len(self.ids)
                self.ids.append(token)
                self.parents.append(node)
            nodes.append(node := child)
        return nodes

    def tree(self) -> Tree:
        targets = np.array(self.targets, dtype=np.int32).reshape(-1, 4)
        return Tree(np.array(self.ids, np.int32), np.array(self.parents, np.int32), targets, self.examples)


def trees(examples: Sequence[Example], budget: int) -> list[Tree]:
    """The examples of one document as trees of at most ``budget`` tokens, unless one example alone has more."""
    found, growing = list[Tree](), _Growing()
    for example in examples:
        if growing.examples and len(growing.ids) + growing.new_tokens(example) > budget:
            found.append(growing.tree())
            growing = _Growing()
        growing.add(example)
    return [tree for tree in (*found, growing.tree()) if len(tree.targets)]


def steps_of(forest: Sequence[Tree], batch_size: int, seed: int, epoch: int) -> list[list[Tree]]:
    """The trees of one epoch in the order of its seed, divided into steps of at least ``batch_size`` examples.

    What is left at the end is a smaller step.
    """
    order = list(range(len(forest)))
    random.Random(f"{seed} {epoch}").shuffle(order)  # noqa: S311 - reproducible, not secret
    steps: list[list[Tree]] = []
    held, count = list[Tree](), 0
    for at in order:
        held.append(forest[at])
        count += forest[at].examples
        if count >= batch_size:
            steps.append(held)
            held, count = [], 0
    return [*steps, held] if held else steps


def joined(some: Sequence[Tree]) -> Tree:
    """Trees side by side as one with several first tokens: none sees another."""
    starts = np.cumsum([0, *(len(tree.ids) for tree in some)])
    pairs = list(zip(some, starts, strict=False))
    return Tree(
        np.concatenate([tree.ids for tree in some]),
        np.concatenate([np.where(tree.parents < 0, -1, tree.parents + start) for tree, start in pairs]).astype(
            np.int32
        ),
        np.concatenate([_moved(tree.targets, start) for tree, start in pairs]).astype(np.int32),
        sum(tree.examples for tree in some),
    )


def _moved(targets: Ints, start: int) -> npt.NDArray[Any]:
    """Targets whose nodes are numbered from ``start``."""
    moved = np.add(targets, [start, 0, 0, start])
    moved[:, 3] = np.where(targets[:, 3] < 0, -1, moved[:, 3])
    return moved


def _rows(step: Sequence[Tree], longest: int) -> list[Tree]:
    """The trees of a step, small ones joined to rows of at most ``longest`` tokens, so that little is padded."""
    rows: list[list[Tree]] = []
    lengths: list[int] = []
    for tree in sorted(step, key=lambda tree: -len(tree.ids)):
        size = len(tree.ids)
        fits = next((at for at, length in enumerate(lengths) if length + size <= longest), None)
        if fits is None:
            rows.append([tree])
            lengths.append(size)
        else:
            rows[fits].append(tree)
            lengths[fits] += size
    return [joined(row) for row in rows]


def batches(step: Sequence[Tree], budget: int) -> Iterator[list[Tree]]:
    """The trees of a step in rows of similar length, in batches of at most ``budget`` tokens with padding."""
    held: list[Tree] = []
    for tree in sorted(_rows(step, min(ROW, budget)), key=lambda tree: len(tree.ids)):
        if held and (len(held) + 1) * len(tree.ids) > budget:
            yield held
            held = []
        held.append(tree)
    if held:
        yield held


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What a model is fed. B rows of T tokens; K targets.

    Args:
        ids: (B, T).
        positions: (B, T), the place of each token in its example.
        mask: (B, 1, T, T), 0 where a token (row) may look at another, else the lowest number of the type.
        places: (K,), where in the flattened (B * T) a prediction is learnt.
        tokens: (K,), the tokens to be predicted there.
        closed: (K,), 1 where they are predicted among the tokens that open no call, else 0.
        taught: (K,), where in the flattened (B * T) a teacher predicts them, or -1 where they are learnt as they are.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor
    tokens: torch.Tensor
    closed: torch.Tensor
    taught: torch.Tensor


def batch_of(rows: Sequence[Tree], device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Batch:
    """Trees as tensors, padded on the right; padding sees itself only and is seen by none."""
    width = max(len(tree.ids) for tree in rows)
    ids = np.zeros((len(rows), width), np.int64)
    positions = np.zeros((len(rows), width), np.int64)
    sees = np.tile(np.eye(width, dtype=bool), (len(rows), 1, 1))
    for row, tree in enumerate(rows):
        ids[row, : len(tree.ids)] = tree.ids
        for node, parent in enumerate(tree.parents):
            if parent >= 0:
                positions[row, node] = positions[row, parent] + 1
                sees[row, node] |= sees[row, parent]
    targets = [_moved(tree.targets, row * width) for row, tree in enumerate(rows)]
    places, tokens, closed, taught = np.concatenate(targets).T
    mask = torch.zeros((len(rows), 1, width, width), dtype=dtype)
    mask.masked_fill_(torch.from_numpy(~sees)[:, None], torch.finfo(dtype).min)
    ids_, positions_, *of_targets = (
        torch.from_numpy(array.astype(np.int64)).to(device)
        for array in (ids, positions, places, tokens, closed, taught)
    )
    return Batch(ids_, positions_, mask.to(device), *of_targets)
