"""Many contexts go on together, one token of each at a time; where some are over, the next take their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import Cache

from langchain_memllm.local.cache import join_rows, keep_rows, new_cache

__all__ = ["Choose", "run_together"]

Choose = Callable[[Sequence[int], torch.Tensor], Sequence[int | None]]
"""From the numbers of the contexts that go on, and their logits (B, V), to the next token of each; None ends one."""

_FULL: Final = 0.75  # share of rows that go on, at which the others are given up or filled: both copy the whole cache


@torch.inference_mode()
def run_together(
    model: Any,
    prompts: Sequence[Sequence[int]],
    choose: Choose,
    *,
    rows: int,
    begun: Callable[[int], Cache] = lambda _rows: new_cache(),
    held: int = 0,
) -> None:
    """Go on after every prompt until ``choose`` has ended every one.

    Args:
        model: A causal LM.
        prompts: Token ids, at least one each; those of similar length beside each other waste the least.
        choose: Decides, and keeps what it chose.
        rows: How many go on at once.
        begun: A cache with a common beginning, for as many rows as it is told.
        held: How many tokens are in that.
    """
    running: _Rows | None = None
    started = 0
    while running or started < len(prompts):
        going = running.going() if running else []
        if started < len(prompts) and len(going) <= _FULL * rows:
            numbers = range(started, min(len(prompts), started + rows - len(going)))
            new = _Rows.of(model, numbers, [prompts[at] for at in numbers], begun, held, choose)
            running = running.kept().joined(new) if running and going else new
            started = numbers.stop
        elif running and going:
            running = running.kept() if len(going) <= _FULL * len(running.numbers) else running
            running.step(model, choose)
        else:
            running = None


@dataclass(slots=True)
class _Rows:
    """Contexts that go on: number, next token (None: it is over), cache, and where tokens stand in it, (B, T)."""

    numbers: list[int]
    tokens: list[int | None]
    cache: Cache
    mask: torch.Tensor

    @classmethod
    def of(
        cls,
        model: Any,
        numbers: Sequence[int],
        prompts: Sequence[Sequence[int]],
        begun: Callable[[int], Cache],
        held: int,
        choose: Choose,
    ) -> _Rows:
        """Encode prompts, padded on the left, after the ``held`` tokens of their cache; equal ones once."""
        places = {prompt: place for place, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        cache, width = begun(len(places)), max(map(len, places))
        pads = [width - len(prompt) for prompt in places]
        inputs = [[0] * pad + list(prompt) for prompt, pad in zip(places, pads, strict=True)]
        mask = torch.tensor([[1] * held + [0] * pad + [1] * (width - pad) for pad in pads], device=model.device)
        logits = _forward(model, torch.tensor(inputs, device=model.device), mask, cache)
        if len(places) < len(prompts):
            rows = torch.tensor([places[tuple(prompt)] for prompt in prompts], device=model.device)
            keep_rows(cache, rows, 0)
            logits, mask = logits[rows], mask[rows]
        return cls(list(numbers), list(choose(numbers, logits)), cache, mask)

    def going(self) -> list[int]:
        """The rows that are not over."""
        return [row for row, token in enumerate(self.tokens) if token is not None]

    def step(self, model: Any, choose: Choose) -> None:
        """One more token of each; rows that are over are computed with the others and count for nothing."""
        going = self.going()
        inputs = torch.tensor([[token or 0] for token in self.tokens], device=self.mask.device)  # (B, 1)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.tokens), 1)], dim=1)
        logits = _forward(model, inputs, self.mask, self.cache)
        self.tokens = [None] * len(self.tokens)
        for row, token in zip(going, choose([self.numbers[row] for row in going], logits[going]), strict=True):
            self.tokens[row] = token

    def kept(self) -> _Rows:
        """Without the rows that are over, and the padding that all others have on the left."""
        going = self.going()
        mask = self.mask[going]
        first = int(mask.any(dim=0).int().argmax())
        keep_rows(self.cache, torch.tensor(going, device=mask.device), first)
        return _Rows(
            [self.numbers[row] for row in going], [self.tokens[row] for row in going], self.cache, mask[:, first:]
        )

    def joined(self, others: _Rows) -> _Rows:
        """Rows of both; the shorter ones are padded on the left."""
        width = max(self.mask.shape[1], others.mask.shape[1])
        masks = [torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in (self.mask, others.mask)]
        join_rows(self.cache, others.cache)
        return _Rows(self.numbers + others.numbers, self.tokens + others.tokens, self.cache, torch.cat(masks))


def _forward(model: Any, inputs: torch.Tensor, mask: torch.Tensor, cache: Cache) -> torch.Tensor:
    """Logits (B, V) after ``inputs`` (B, T), which extend the cache; ``mask`` (B, held + T) is 0 at padding."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
    output = model(
        input_ids=inputs,
        attention_mask=mask if int(mask.min()) == 0 else None,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits
