"""What an adapter's folder says about itself, and whether it is true: hashes of its files, its role, its base.

An adapter changes every answer of a model, so one that was damaged, made for another base, or comes as a pickle (which
can run code) is refused before anything of it is loaded. Adapters of other makers have no manifest; they are used as
they are, if they are safetensors.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from langchain_memllm.errors import ModelError
from langchain_memllm.local.vocabulary import PROBES

__all__ = ["MANIFEST", "check_manifest", "fingerprint", "read_manifest", "sha256", "write_manifest"]

log = logging.getLogger(__name__)

MANIFEST: Final = "memllm.json"
_FORMAT: Final = 1
_ROLES: Final[Mapping[str, frozenset[str]]] = {
    "write": frozenset({"write"}),
    "talk": frozenset({"write"}),  # a writer of its own for what people say
    "read": frozenset({"read", "control"}),  # the control is compared with the reader
    "control": frozenset({"control"}),
}


def sha256(file: Path) -> str:
    """Hash of a file, in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def fingerprint(folder: Path, tokenizer: Any) -> str:
    """What tells one base model from another: names and shapes of its weights, a few values of each, its tokens.

    The same for a model saved again, in another order of tensors or in a wider type; a second even for 7 billion
    weights, since little of them is read.

    Raises:
        ModelError: The weights cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for name, shape, values in sorted(_samples(folder)):
            digest.update(f"{name} {shape} {values}\n".encode())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the weights in {folder} cannot be read ({error}); download the model again") from error
    for probe in PROBES:
        digest.update(f"{tokenizer.encode(probe, add_special_tokens=False)}\n".encode())
    return digest.hexdigest()[:32]


def _samples(folder: Path) -> Iterable[tuple[str, list[int], list[float]]]:
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - no mapping
                if name == "lm_head.weight":  # saved or not where it is tied to the embeddings
                    continue
                shape = weights.get_slice(name).get_shape()
                first = weights.get_slice(name)[:1] if shape else weights.get_tensor(name)
                yield name, shape, first.flatten()[:8].float().tolist()


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write what a folder is about and the hash of each of its files."""
    files = {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.is_file() and file.name != MANIFEST}
    text = json.dumps({"format": _FORMAT, **about, "files": files}, ensure_ascii=False, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What a folder says about itself; None if it has no manifest.

    Raises:
        ModelError: The manifest is damaged or newer than this package.
    """
    file = folder / MANIFEST
    if not file.exists():
        return None
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if manifest["format"] > _FORMAT:
            raise ModelError(f"{file} was written by a newer version of langchain-memllm; upgrade it")
        tables = {"files", *({"base", "confidence"} & manifest.keys())}
        return manifest | {name: dict(manifest[name]) for name in tables}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read ({error}); get the adapter again") from error


def check_manifest(folder: Path, role: str, base: str, name: str) -> None:
    """Check an adapter's folder against its manifest, before it is loaded.

    Args:
        folder: The adapter.
        role: What it is to be used for: ``write``, ``talk`` or ``read``.
        base: Fingerprint of the model it is put on.
        name: What that model is called.

    Raises:
        ModelError: Another role or base, a file that is missing or changed, or one the manifest does not list.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        log.warning("the %s adapter has no %s; it is used unchecked", role, MANIFEST)
        return
    trained = str(manifest.get("role"))
    if trained not in _ROLES[role]:
        raise ModelError(f"the adapter {folder} was trained to {trained}, not to {role}; give it as {trained}_adapter=")
    made_for = manifest.get("base", {})
    if made_for.get("fingerprint") != base:
        raise ModelError(
            f"the adapter {folder} was trained on {made_for.get('name')} ({made_for.get('fingerprint')}), not on "
            f"{name} ({base}); load that base, or train the adapter for this one"
        )
    _check_files(folder, manifest["files"])


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    present = {file.name for file in folder.glob("*.safetensors")} | {"adapter_config.json"}
    for file in sorted(present | files.keys()):
        if file not in files:
            raise ModelError(f"{folder / file} is not listed in {MANIFEST}; take it away or get the adapter again")
        if Path(file).name != file:
            raise ModelError(f"{folder / MANIFEST} lists {file[:80]!r}, outside of its folder; get the adapter again")
        if not (folder / file).is_file():
            raise ModelError(f"{folder / file} is missing; get the adapter again")
        if sha256(folder / file) != files[file]:
            raise ModelError(f"{folder / file} is not the file that was saved (SHA-256); get the adapter again")
