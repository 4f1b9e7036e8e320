"""What a folder of a model or an adapter may hold, looked at before anything of it is built. Knows no torch.

A folder comes from a stranger. transformers and peft run no code of it when they are told so, but they follow its index
to any file, read a pipe for ever, build as many layers as it asks for, and match module names with its patterns for as
long as that takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open

from langchain_memllm.errors import ModelError

__all__ = ["ADAPTER_FILE", "check_adapter", "check_base", "check_safe", "has_biases"]

ADAPTER_FILE: Final = "adapter_model.safetensors"
_ADAPTER_CONFIG: Final = "adapter_config.json"
_PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_PATTERNS: Final = (
    *("target_modules", "exclude_modules", "layers_pattern", "modules_to_save"),
    *("rank_pattern", "alpha_pattern"),
)
_LAYERS: Final = re.compile(r"(?:n|num)_\w*(?:layer|block)s?")
_COUNT: Final = re.compile(r"(?:n|num)_\w+")
_MOST: Final = 100_000  # experts, heads, labels
_MAX_PATTERN: Final = 300
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
_SIGN: Final = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)  # what stands for one character
_NAME: Final = 50  # characters of a module's name
_MOST_WAYS: Final = 1 << 20


def check_safe(folder: Path, what: str, file: str = "*.safetensors") -> None:
    """Check that a folder holds safetensors (``file``: which) and nothing that cannot be read to its end.

    Raises:
        ModelError: Not a folder, no safetensors, weights as pickles only, or a pipe, a device or a broken link.
    """
    if not folder.is_dir():
        raise ModelError(f"{what} {folder} is not a folder; give the folder that holds its safetensors")
    for entry in sorted(folder.iterdir()):
        if not (entry.is_file() or entry.is_dir()):
            raise ModelError(f"{what} {folder} holds {entry.name}, which is not a regular file; take it away")
    if not any(folder.glob(file)):
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES)
        found = f"only {pickles[0]}, a pickle that could run code; convert it" if pickles else "no weights; save them"
        raise ModelError(f"{what} {folder} holds {found} as safetensors")


def check_base(folder: Path) -> None:
    """Check what the files of a base model ask for.

    Raises:
        ValueError: It is more than its weights can fill, weights outside the folder, or an adapter's folder.
        OSError: A file cannot be read; so do ``SafetensorError`` and ``RecursionError``.
    """
    if (folder / _ADAPTER_CONFIG).exists():
        raise ValueError(f"it holds {_ADAPTER_CONFIG}; give the base's folder, and the adapter's as an adapter")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for index in folder.glob("*.index.json"):
        for part in set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()):
            _check_part(part)
    if isinstance(config, dict) and "transformers_weights" in config:
        _check_part(config["transformers_weights"])
    tensors = sum(1 for file in folder.glob("*.safetensors") for _ in _shapes(file))
    for name, count in _counts(config):
        most = tensors if _LAYERS.fullmatch(name) else _MOST
        if count > most:
            raise ValueError(f"config.json asks for {name}={count}, and its weights are {tensors} tensors")


def _check_part(name: object) -> None:
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise ValueError(f"its weights are said to be in {str(name)[:80]!r}, not in safetensors beside it")


def _counts(config: object) -> Iterator[tuple[str, int]]:
    """Every number of things that a configuration asks for."""
    if isinstance(config, dict):
        for name, value in config.items():
            if isinstance(value, int) and _COUNT.fullmatch(name):
                yield name, value
            yield from _counts(value)


def check_adapter(config: object, file: Path) -> None:
    """Check the configuration of an adapter that peft has read, beside its weights.

    Raises:
        ValueError: A pattern that may take for ever, or more ranks or layers than its weights have.
        SafetensorError: The weights are damaged.
    """
    if getattr(config, "layer_replication", None):
        raise ValueError("layer_replication changes the base for every role; merge it into a base of its own")
    _check_patterns(config)
    most = max((size for shape in _shapes(file).values() for size in shape), default=0)
    ranks = [getattr(config, "r", 0), *(getattr(config, "rank_pattern", None) or {}).values()]
    if any(isinstance(rank, int) and rank > most for rank in ranks):
        raise ValueError(f"it asks for rank {max(ranks)}, and the largest tensor of its weights has {most} rows")


def _check_patterns(config: object) -> None:
    ways = 0
    for name in _PATTERNS:
        given = getattr(config, name, None)
        for pattern in [given] if isinstance(given, str) else given or ():
            ways += _ways(pattern) if isinstance(pattern, str) else _MOST_WAYS
            if ways > _MOST_WAYS:
                raise ValueError(f"{name} holds a pattern that may take for ever; write the modules out")
            re.compile(pattern)


def _ways(pattern: str) -> int:
    """In how many ways a pattern may match a module's name, at most: what ``re`` tries one after the other."""
    signs = _SIGN.sub("x", pattern)
    if len(pattern) > _MAX_PATTERN or _REPEATED_GROUP.search(re.sub(r"\s", "", signs)):
        return _MOST_WAYS + 1
    repeated = sum(signs.count(sign) for sign in "*+{")
    options = signs.count("?") - signs.count("(?")
    branches = prod(1 + part.count("|") for part in signs.split("("))
    return int(_NAME**repeated * 2**options * branches)


def has_biases(file: Path) -> bool:
    """Whether an adapter changes biases of its base.

    Raises:
        SafetensorError: The file is damaged.
    """
    return any(name.endswith("bias") for name in _shapes(file))


def _shapes(file: Path) -> Mapping[str, list[int]]:
    with safe_open(file, "np") as held:
        names: Any = held.keys()
        return {name: held.get_slice(name).get_shape() for name in names}
