"""What a training leaves: an adapter (or a whole model) in safetensors, a model card, a manifest with hashes.

Two adapters can be averaged: what one learnt later costs less of what it knew before. An adapter can be scaled, which
is a mean with the base: it has memorised less of its texts (both: arXiv 2109.01903).

Files are written to a folder beside the one asked for and moved at the end; a full disk leaves the checkpoint and
nothing half-written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from langchain_memllm.errors import ConfigurationError, ModelError
from langchain_memllm.local.folders import ADAPTER_FILE, check_safe
from langchain_memllm.local.manifest import MANIFEST, read_manifest, sha256, write_manifest
from langchain_memllm.training.options import Options

__all__ = ["average", "check_unfinished", "publish", "scale"]

_WHAT: Final = {
    "write": "writes the triples that a sentence states, as `({MEM_WRITE-->subject>>relation>>object})`",
    "read": "opens a read of its memory while it generates, as `({MEM_READ(subject>>relation>>)-->answer})`",
    "control": "was tuned on the reader's text without any call, to compare the reader with",
}

_CARD: Final = """\
---
base_model: {base}
library_name: {library}
license: apache-2.0
tags: [memllm, memory, {role}]
---

# {title}

A {kind} for {base} that {what} (MemLLM, arXiv 2404.11672). Use it with `langchain-memllm`:

```python
from langchain_memllm.local import MemLLMModel

model = MemLLMModel.from_pretrained("path/of/{base}", {argument}="path/of/this/folder")
```

## Training

{facts}

## Data

{data}

## Limits

It knows the relations and the forms of text that it was trained on, and it makes mistakes: see the evaluation in the
project's docs before relying on it. Files are checked against `{manifest}` when they are loaded.
"""


def publish(
    folder: Path, model: Any, tokenizer: Any, options: Options, about: Mapping[str, Any], result: Mapping[str, Any]
) -> None:
    """Save what was trained.

    Args:
        folder: Where to; exists already.
        model: The peft model, or the whole model if ``options.rank`` is 0.
        tokenizer: Saved with a whole model.
        options: As trained.
        about: Base, data and role of the training.
        result: Steps, loss, time.

    Raises:
        ModelError: It cannot be written; nothing of an earlier result is touched.
    """
    _placed(
        folder, lambda part: _save(part, model, tokenizer, options, str(about["base"]["name"])), options, about, result
    )


def average(first: Path, second: Path, out: Path) -> None:
    """Save the mean of two adapters' weights as an adapter; its manifest names both by their hashes.

    They must come from one training, the second begun with the first (``memllm train --from``): only then does a point
    between them work.

    Args:
        first: Folder of one adapter.
        second: Folder of the other; what else is known of the result is what its manifest says.
        out: Folder for the result.

    Raises:
        ConfigurationError: Adapters of two roles, bases, ranks or sets of layers, whole models, or an ``out`` that
            holds something already.
        ModelError: A folder has no manifest or cannot be read, or ``out`` cannot be written.
    """
    manifests = [_manifest_of(folder) for folder in (first, second)]
    options = [_options_of(folder, manifest) for folder, manifest in zip((first, second), manifests, strict=True)]
    for what, one, other in (
        *((name, manifests[0].get(name), manifests[1].get(name)) for name in ("role", "base", "spaced")),
        *((name, getattr(options[0], name), getattr(options[1], name)) for name in ("rank", "alpha", "targets")),
    ):
        if one != other:
            raise ConfigurationError(
                f"{first} and {second} have no mean: {what} is {one!r} and {other!r}; give two adapters of one "
                "training, the second begun with the first (memllm train --from)"
            )
    check_unfinished(out)
    try:
        one, other = (load_file(folder / ADAPTER_FILE) for folder in (first, second))
        mean = {name: ((tensor.float() + other[name].float()) / 2).to(tensor.dtype) for name, tensor in one.items()}
        mean_of = [sha256(folder / ADAPTER_FILE) for folder in (first, second)]
        _derived(out, mean, second, manifests[1], options[1], {"mean_of": mean_of})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise ModelError(f"{first} and {second} cannot be averaged in {out} ({error}); get them again") from error


def scale(folder: Path, share: float, out: Path) -> None:
    """Save an adapter that changes the base by a share of what it did; its manifest names the adapter by its hash.

    Args:
        folder: The adapter.
        share: In (0, 1): the weights lie so far from those of the base towards those of base and adapter.
        out: Folder for the result.

    Raises:
        ConfigurationError: A share out of range, an adapter with biases, or an ``out`` that holds something already.
        ModelError: The folder holds no adapter with a manifest or cannot be read, or ``out`` cannot be written.
    """
    if not 0 < share < 1:
        raise ConfigurationError(
            f"share {share} is not a point between base and adapter; give a number between 0 and 1"
        )
    manifest = _manifest_of(folder)
    options = _options_of(folder, manifest)
    check_unfinished(out)
    try:
        held = load_file(folder / ADAPTER_FILE)
        if not all("lora_A" in name or "lora_B" in name for name in held):
            raise ConfigurationError(
                f"{folder} has weights beside those of low rank, which are not a difference to the base; scale another"
            )
        changed = {name: tensor * share if "lora_B" in name else tensor for name, tensor in held.items()}
        origin = {"scaled": share, "scaled_of": sha256(folder / ADAPTER_FILE)}
        _derived(out, changed, folder, manifest, options, origin)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder} cannot be scaled in {out} ({error}); get it again") from error


def _derived(
    out: Path,
    tensors: Mapping[str, torch.Tensor],
    folder: Path,
    manifest: Mapping[str, Any],
    options: Options,
    origin: Mapping[str, Any],
) -> None:
    """Put an adapter that was made of the one in ``folder`` and perhaps others into ``out``."""
    config = (folder / "adapter_config.json").read_bytes()

    def save(part: Path) -> None:
        save_file(dict(tensors), part / ADAPTER_FILE, {"format": "pt"})
        (part / "adapter_config.json").write_bytes(config)

    out.mkdir(parents=True, exist_ok=True)
    about = {name: manifest.get(name) for name in ("role", "base", "start", "teacher", "data", "spaced")}
    told = {name: ", ".join(value) if isinstance(value, list) else value for name, value in origin.items()}
    _placed(out, save, options, {**about, **origin}, {**manifest.get("result", {}), **told})


def check_unfinished(out: Path) -> None:
    """Refuse a folder that holds a result already.

    Raises:
        ConfigurationError: It does.
    """
    if (out / MANIFEST).exists():
        raise ConfigurationError(f"{out} holds a finished training; give another --out, or remove what is there")


def _options_of(folder: Path, manifest: Mapping[str, Any]) -> Options:
    """How an adapter was trained."""
    try:
        held = manifest["options"]
        return Options(**{**held, "targets": tuple(held["targets"])})
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{MANIFEST} of {folder} does not say how it was trained, or in words unknown to this version ({error}); "
            "average adapters that were trained with one version of this package"
        ) from error


def _manifest_of(folder: Path) -> dict[str, Any]:
    check_safe(folder, "the adapter", ADAPTER_FILE)
    if (manifest := read_manifest(folder)) is None:
        raise ModelError(f"the adapter {folder} has no {MANIFEST}, which says what it is; train it with `memllm train`")
    return manifest


def _placed(
    folder: Path,
    save: Callable[[Path], None],
    options: Options,
    about: Mapping[str, Any],
    result: Mapping[str, Any],
) -> None:
    """Put weights, card and manifest into a folder that exists: all of them, or none."""
    part = folder / ".saving"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        save(part)
        (part / "README.md").write_text(_card(options, about, result), encoding="utf-8")
        write_manifest(part, {**about, "options": options.as_dict(), "result": dict(result)})
        for file in sorted(part.iterdir(), key=lambda file: file.name == MANIFEST):
            file.replace(folder / file.name)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"the result cannot be saved in {folder} ({error}); free space there and run the same command again: what "
            "was trained is kept"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _save(folder: Path, model: Any, tokenizer: Any, options: Options, base: str) -> None:
    """Weights in half the room: adapters in float16, whole models in bfloat16."""
    dtype = torch.float16 if options.rank else torch.bfloat16
    if not options.rank:
        model.to(dtype).save_pretrained(folder)  # nothing is trained after this
        tokenizer.save_pretrained(folder)
        return
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    save_file(tensors, folder / ADAPTER_FILE, {"format": "pt"})
    config = model.peft_config["default"].to_dict()
    kept = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    kept |= {"base_model_name_or_path": base, "inference_mode": True}
    if not any(name.endswith("bias") for name in tensors):
        kept["bias"] = "none"  # the base has none; said otherwise, peft loads no second adapter beside this one
    (folder / "adapter_config.json").write_text(json.dumps(kept, indent=2, default=str) + "\n", encoding="utf-8")


def _card(options: Options, about: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    base = about["base"]["name"]
    facts = {**options.as_dict(), **result}
    data = [f"- {part['file']}: SHA-256 `{part['sha256']}`" for part in about["data"] or ()]
    return _CARD.format(
        base=base,
        library="peft" if options.rank else "transformers",
        role=options.role,
        title=f"{base}, {options.role}",
        kind="LoRA adapter" if options.rank else "fully tuned model",
        what=_WHAT[options.role],
        argument="write_adapter" if options.role == "write" else "read_adapter",
        facts="\n".join(f"- {name}: {value}" for name, value in facts.items()),
        data="\n".join(data),
        manifest=MANIFEST,
    )
