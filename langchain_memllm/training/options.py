"""Everything that can be chosen about a training, as one value. The defaults are the paper's (arXiv 2404.11672)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

from langchain_memllm.errors import ConfigurationError

__all__ = ["SCHEDULE", "Options", "Role"]

Role = Literal["write", "read", "control"]
"""What is trained: the writer, the reader, or the reader's base on the same text without calls, to compare with."""

SCHEDULE: Final = frozenset({"minutes", "checkpoint_seconds", "batch_tokens"})
"""Options that a training that goes on may change: they decide when it stops and how it fits, not what it learns."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to train.

    Args:
        role: ``write``, ``read`` or ``control``.
        rank: Rank of the adapter; 0 trains every weight of the model and saves a whole model.
        alpha: Scale of the adapter: its output is multiplied by ``alpha / rank``.
        dropout: Share of the adapter's inputs that is dropped while training.
        targets: Names of the linear layers that get an adapter.
        learning_rate: The highest one, after the warm-up.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the rate rises; by default 1 % for the writer, 5 % for the reader.
        epochs: Passes over the data.
        steps: Steps after which to end, whatever the epochs; None for no such limit.
        minutes: Minutes after which to end; the rate then falls with the time. None for no such limit.
        batch_size: Examples (sentences, segments) of one step.
        batch_tokens: Tokens computed at once, which bounds the memory; by default 1,024 on a CPU, 8,192 elsewhere.
        window: Longest example in tokens; the beginning of its context is cut.
        clip: Largest norm of the gradient.
        seed: Decides order, dropout and the adapter's first weights.
        spaced: Rendering style of calls; kept with the adapter.
        withdrawn: A reader also learns the text after each call without it, as it goes on when a call is withdrawn.
        checkpoint_seconds: Time between checkpoints; 0 for one after each step.
        gradient_checkpointing: Compute twice and keep less: for large models.
        bf16: Hold the base's weights in half precision, the adapter's in full; by default on a GPU. A CPU with
            instructions for it (AVX512-BF16, AMX) is faster so, any other slower.
    """

    role: Role
    rank: int = 16
    alpha: float = 8
    dropout: float = 0.1
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
    learning_rate: float = 2e-5
    weight_decay: float = 1e-3
    warmup: float | None = None
    epochs: int = 2
    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 96
    batch_tokens: int | None = None
    window: int = 1024
    clip: float = 1.0
    seed: int = 0
    spaced: bool = False
    withdrawn: bool = True
    checkpoint_seconds: float = 300
    gradient_checkpointing: bool = False
    bf16: bool | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.role not in get_args(Role):
            raise ConfigurationError(f"role {self.role!r} is unknown; use one of {', '.join(get_args(Role))}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ConfigurationError(f"{name}={value} of a training must be at least {least}")
        for name in ("learning_rate", "alpha", "clip", "minutes"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ConfigurationError(f"{name}={getattr(self, name)} of a training must be above zero")
        if not 0 <= self.dropout < 1 or not 0 <= self.warm < 1:
            raise ConfigurationError("dropout and warmup of a training are shares: give 0 to below 1")
        if self.bf16 and not self.rank:
            raise ConfigurationError(
                "bf16=True holds weights in half precision, and rank=0 trains them; leave one of them out"
            )
        if self.rank and not self.targets:
            raise ConfigurationError(
                "targets=() leaves the adapter no layer; name some, or rank=0 to train every weight"
            )

    @property
    def warm(self) -> float:
        """Share of the steps in which the rate rises."""
        return self.warmup if self.warmup is not None else (0.01 if self.role == "write" else 0.05)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "targets": list(self.targets)}

    def differs(self, earlier: dict[str, Any]) -> list[str]:
        """Options of an earlier run that this one would change, other than those it may."""
        now = self.as_dict()
        return [
            f"{field.name} was {earlier.get(field.name)!r} and is {now[field.name]!r}"
            for field in fields(self)
            if field.name not in SCHEDULE and earlier.get(field.name) != now[field.name]
        ]


_LEAST: Final[dict[str, float]] = {
    "rank": 0,
    "weight_decay": 0,
    "epochs": 1,
    "steps": 1,
    "batch_size": 1,
    "batch_tokens": 1,
    "window": 16,
    "checkpoint_seconds": 0,
}
