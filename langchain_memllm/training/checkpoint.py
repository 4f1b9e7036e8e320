"""A training's state in one file: weights, the optimiser's moments, and where it stands. Safetensors, never a pickle.

The file is written beside the old one and takes its place in one step: after a kill there is the old one or the new.
Random numbers need no place in it, since each step draws its own from the seed and the step's number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from langchain_memllm.errors import ModelError

__all__ = ["CHECKPOINT", "State", "load_checkpoint", "save_checkpoint"]

CHECKPOINT: Final = "checkpoint.safetensors"
_FORMAT: Final = "1"

Parameters = Iterable[tuple[str, torch.nn.Parameter]]


@dataclass(slots=True)
class State:
    """Where a training stands.

    Args:
        step: Steps done.
        seconds: Time they took, over all runs.
        tokens: Learnt tokens so far.
        losses: Mean loss of each step.
    """

    step: int
    seconds: float
    tokens: int
    losses: list[float]


def save_checkpoint(
    folder: Path, parameters: Parameters, optimizer: torch.optim.Optimizer, state: State, about: Mapping[str, Any]
) -> None:
    """Write the checkpoint of a folder.

    Raises:
        ModelError: It cannot be written; the one before is still there.
    """
    tensors = {}
    for name, parameter in parameters:
        tensors[f"weight/{name}"] = parameter.detach().contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = torch.as_tensor(value).detach().contiguous()
    kept = {"step": state.step, "seconds": state.seconds, "tokens": state.tokens, "losses": state.losses}
    metadata = {"format": _FORMAT, "state": json.dumps(kept), "about": json.dumps(dict(about))}
    part = folder / f"{CHECKPOINT}.part"
    try:
        save_file(tensors, part, metadata)
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(folder / CHECKPOINT)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise ModelError(
            f"the checkpoint of step {state.step} cannot be written to {folder} ({error}); free space there and run "
            "the same command again: it goes on from the checkpoint before"
        ) from error


def load_checkpoint(
    folder: Path, parameters: Parameters, optimizer: torch.optim.Optimizer
) -> tuple[State, dict[str, Any]] | None:
    """Put a folder's checkpoint into the parameters and the optimiser; None if there is none.

    Returns:
        The state, and what the training was about (options, data, base) when it was saved.

    Raises:
        ModelError: The file is damaged, or of another model.
    """
    file = folder / CHECKPOINT
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as held:
            metadata = held.metadata() or {}
            state = State(**json.loads(metadata["state"]))
            names = set(held.keys())
            for name, parameter in parameters:
                parameter.data.copy_(held.get_tensor(f"weight/{name}"))
                moments = {key: held.get_tensor(f"{key}/{name}") for key in _MOMENTS if f"{key}/{name}" in names}
                if moments:
                    optimizer.state[parameter] = {
                        key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
                    }
            return state, json.loads(metadata["about"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"the checkpoint {file} cannot be used ({error}); remove it to start anew, or give another --out"
        ) from error


_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")
