"""Many contexts go on together, one token of each at a time: padded on the left, and rows that are over leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import Cache

from langchain_memllm.local.cache import new_cache

__all__ = ["Choose", "run_together"]

Choose = Callable[[Sequence[int], torch.Tensor], Sequence[int | None]]
"""From the numbers of the rows that go on, and their logits (B, V), to the next token of each; None ends a row."""


@torch.inference_mode()
def run_together(
    model: Any, prompts: Sequence[Sequence[int]], choose: Choose, *, cache: Cache | None = None, held: int = 0
) -> None:
    """Go on after every prompt until ``choose`` has ended every row.

    Args:
        model: A causal LM.
        prompts: Token ids, at least one each; those of similar length waste the least.
        choose: Decides, and keeps what it chose.
        cache: A common beginning, encoded already and repeated for every prompt; the padding stands after it.
        held: How many tokens are in it.
    """
    device = model.device
    width = max(map(len, prompts))
    pads = [width - len(prompt) for prompt in prompts]
    inputs = torch.tensor([[0] * pad + list(prompt) for prompt, pad in zip(prompts, pads, strict=True)], device=device)
    mask = torch.tensor([[1] * held + [0] * pad + [1] * (width - pad) for pad in pads], device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, held:]  # (B, T)
    cache = cache or new_cache()
    active = list(range(len(prompts)))
    while True:
        output = model(
            input_ids=inputs,
            attention_mask=mask if int(mask.min()) == 0 else None,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        tokens = choose(active, output.logits[:, -1])
        going = [at for at, token in enumerate(tokens) if token is not None]
        if not going:
            return
        if len(going) < len(active):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            mask, positions = mask[kept], positions[kept]
            active = [active[at] for at in going]
        inputs = torch.tensor([[tokens[at]] for at in going], device=device)  # (B, 1)
        mask = torch.cat([mask, mask.new_ones(len(going), 1)], dim=1)
        positions = positions[:, -1:] + 1
