"""What a training makes small: the improbability of what is learnt, or how far from a teacher its predictions are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from langchain_memllm.training.packing import Batch

__all__ = ["loss_of"]

_NEVER: Final = -1e9
"""In place of a logit: no probability, and finite, so that nothing times it is nothing."""


def loss_of(model: Any, batch: Batch, opening: Sequence[int], teacher: Any = None) -> torch.Tensor:
    """Sum of the negative log-probabilities of what is learnt; logits are computed for these K places alone.

    Where no call may open, the tokens in ``opening`` have no probability, as when the model generates. Where a teacher
    has a say, each token is as probable as it says instead of certain (distillation, arXiv 1503.02531).
    """
    closed = batch.closed.bool()
    logits = _logits(model, batch, batch.places, closed, opening)
    taught = (batch.taught >= 0) & (teacher is not None)
    loss = torch.nn.functional.cross_entropy(logits[~taught], batch.tokens[~taught], reduction="sum")
    if not taught.any():
        return loss
    with torch.no_grad():
        said = _logits(teacher, batch, batch.taught[taught], closed[taught], opening).softmax(-1)
    return loss + torch.nn.functional.cross_entropy(logits[taught], said, reduction="sum")


def _logits(
    model: Any, batch: Batch, places: torch.Tensor, closed: torch.Tensor, opening: Sequence[int]
) -> torch.Tensor:
    """(K, V), in full width, at the given places of a batch."""

    def pick(_module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        hidden = inputs[0]  # (B, T, D)
        return (hidden.reshape(-1, hidden.shape[-1])[places][None], *inputs[1:])  # (1, K, D)

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        output = model(input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.mask, use_cache=False)
    finally:
        handle.remove()
    logits: torch.Tensor = output.logits[0].float()
    if closed.any() and opening:
        forbidden = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
        forbidden[list(opening)] = True
        logits = logits.masked_fill(closed[:, None] & forbidden, _NEVER)
    return logits
