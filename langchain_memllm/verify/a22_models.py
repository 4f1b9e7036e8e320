"""A22: folders of models and adapters that were made to do harm: each is refused with an error of ours, or harmless.

Pickles in every shape, code of the folder's own, templates, patterns that hang, quantisers that are not there, numbers
and headers of any size, links and pipes. Our loader gets each, in a process of its own with a deadline; a file that
appears, a socket, a pickle that is read, an error that is not ours or a hang is a fault.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import struct
import subprocess
import sys
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, TypeAlias

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from langchain_memllm.verify.ledger import Counts

__all__ = ["FOLDERS", "run"]

_PROGRAM: Final = Path(__file__).with_name("model_loading.py")
_START_S: Final = 120.0  # imports on a busy machine
_LOAD_S: Final = 20.0
_HIDDEN: Final = 16
_WORDS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE: Final = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
_BIG: Final = 10**12


class Case:
    """A folder with a base model and one with an adapter for it, both sound until a maker of ``FOLDERS`` comes."""

    def __init__(self, sound: Path, folder: Path, canary: Path) -> None:
        """Copy the sound ones."""
        shutil.copytree(sound, folder)
        self.base, self.adapter, self.canary = folder / "base", folder / "adapter", canary
        self.uses_adapter = False

    def config(self, **values: object) -> Case:
        """Change the model's configuration."""
        _change(self.base / "config.json", values)
        return self

    def tokenizer(self, **values: object) -> None:
        """Change what the tokenizer's configuration says."""
        _change(self.base / "tokenizer_config.json", values)

    def splits_at(self, pattern: str) -> None:
        """Let the tokenizer split texts at a pattern."""
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        file = self.base / "tokenizer.json"
        rest = json.loads(file.read_text())["pre_tokenizer"]
        _change(file, {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, rest]}})

    def adapts(self, **values: object) -> Case:
        """Use the adapter, with a changed configuration."""
        self.uses_adapter = True
        _change(self.adapter / "adapter_config.json", values)
        return self

    def code(self, name: str) -> None:
        """Code of the folder's own, which leaves the canary as soon as it is read."""
        (self.base / name).write_text(f"import pathlib\npathlib.Path({str(self.canary)!r}).touch()\nEvil = 1\n")

    @property
    def pickle(self) -> bytes:
        """A pickle that leaves the canary when it is read."""
        return b"cposix\nsystem\n(S'touch " + os.fsencode(self.canary) + b"'\ntR."

    def pickled(self, folder: Path, name: str, *, instead: bool = True) -> None:
        """Put weights as a pickle into a folder, in the place of its own or beside them."""
        if instead:
            for file in folder.glob("*.safetensors"):
                file.unlink()
        (folder / name).write_bytes(self.pickle)


Maker: TypeAlias = Callable[[Case], object]
"""Makes a folder hostile."""


def _change(file: Path, values: dict[str, object]) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def _sound(folder: Path) -> None:
    """A Llama of one layer with a tokenizer of bytes, and a LoRA for it."""
    base, adapter = folder / "base", folder / "adapter"
    base.mkdir(parents=True)
    adapter.mkdir()
    words = [*_WORDS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_WORDS))
    tokenizer.save(str(base / "tokenizer.json"))
    (base / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": _WORDS[2], "chat_template": _TEMPLATE})
    )
    (base / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "vocab_size": len(words),
                "hidden_size": _HIDDEN,
                "intermediate_size": _HIDDEN,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "tie_word_embeddings": True,
            }
        )
    )
    square, layer = (_HIDDEN, _HIDDEN), "model.layers.0"
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (len(words), _HIDDEN)}
    shapes |= {"model.norm.weight": (_HIDDEN,), f"{layer}.input_layernorm.weight": (_HIDDEN,)}
    shapes |= {f"{layer}.post_attention_layernorm.weight": (_HIDDEN,)}
    shapes |= {f"{layer}.self_attn.{name}_proj.weight": square for name in "qkvo"}
    shapes |= {f"{layer}.mlp.{name}_proj.weight": square for name in ("gate", "up", "down")}
    _save(base / "model.safetensors", shapes)
    lora = f"base_model.model.{layer}.self_attn.q_proj.lora_"
    _save(adapter / "adapter_model.safetensors", {f"{lora}A.weight": (2, _HIDDEN), f"{lora}B.weight": (_HIDDEN, 2)})
    (adapter / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "target_modules": ["q_proj"]})
    )


def _save(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    save_file({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, file, {"format": "pt"})


def _header(length: int, text: bytes = b"") -> bytes:
    return struct.pack("<Q", length) + text


# -- the folders -------------------------------------------------------------------------------------------------------


def _replaced(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def _linked(file: Path, to: str) -> None:
    file.unlink(missing_ok=True)
    file.symlink_to(to)


def _piped(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def _sharded(case: Case, where: str) -> Case:
    names = {"model.norm.weight": where}
    (case.base / "model.safetensors").rename(case.base / "other.safetensors")
    (case.base / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return case


def _as_torch_saves(case: Case) -> None:
    file = case.base / "model.safetensors"
    file.unlink()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", case.pickle)
        archive.writestr("archive/version", "3\n")


def _own_code(case: Case, **values: object) -> None:
    case.config(**values)
    for name in ("configuration_evil.py", "modeling_evil.py"):
        case.code(name)


def _own_tokenizer(case: Case) -> None:
    case.tokenizer(
        tokenizer_class="Evil", auto_map={"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]}
    )
    case.code("tokenization_evil.py")


def _adapter_inside(case: Case) -> None:
    for file in case.adapter.iterdir():
        shutil.copy(file, case.base)
    _change(case.base / "adapter_config.json", {"target_modules": "(.*)*x", "base_model_name_or_path": str(case.base)})


def _pickled_as(name: str) -> Maker:
    return lambda case: case.pickled(case.base, name)


def _configured(**values: object) -> Maker:
    return lambda case: case.config(**values)


def _adapted(**values: object) -> Maker:
    return lambda case: case.adapts(**values)


def _template(case: Case, expression: str) -> None:
    case.tokenizer(chat_template=expression.replace("CANARY", str(case.canary)))


_EVIL_MAP: Final = {
    "AutoConfig": "configuration_evil.Evil",
    "AutoModelForCausalLM": "modeling_evil.Evil",
}
_REMOTE_MAP: Final = {name: f"someone/evil--{code}" for name, code in _EVIL_MAP.items()}
_PICKLED: Final = ("pytorch_model.bin", "model.pt", "model.pth", "model.pkl", "model.ckpt", "model.pickle")
_NUMBERS: Final[dict[str, object]] = {
    "num_hidden_layers": _BIG,
    "vocab_size": _BIG,
    "hidden_size": _BIG,
    "intermediate_size": _BIG,
    "num_attention_heads": -1,
    "num_key_value_heads": 0,
    "num_local_experts": _BIG,
    "max_position_embeddings": _BIG,
    "head_dim": _BIG,
    "rms_norm_eps": "x",
    "pad_token_id": _BIG,
    "dtype": "os.system",
    "architectures": ["os.system"],
    "layer_types": ["x"] * 3,
    "text_config": {"num_hidden_layers": _BIG},
}
_QUANTISED: Final = ("gptq", "awq", "bitsandbytes", "aqlm", "compressed-tensors", "quanto", "os.system")
_PATTERNS: Final[dict[str, object]] = {
    "a nested repetition": "(.*)*x",
    "many repetitions": ".*" * 100 + "x",
    "many options": ".?" * 100 + "x",
    "many alternatives": "(.|.)" * 55 + "x",
    "not a pattern": "(",
    "nothing": "",
}
_ADAPTERS: Final[dict[str, dict[str, object]]] = {
    "rank_pattern": {"rank_pattern": {"(.*)*x": 4}},
    "rank_pattern of many repetitions": {"rank_pattern": {".*" * 100 + "x": 4}},
    "modules_to_save": {"modules_to_save": ["(.*)*x"]},
    "modules_to_save of many repetitions": {"modules_to_save": [".*" * 100 + "x"]},
    "layers_pattern": {"layers_to_transform": [0], "layers_pattern": "(.*)*x"},
    "exclude_modules": {"exclude_modules": ".*" * 100 + "x"},
    "a huge rank": {"r": _BIG},
    "a large rank": {"r": 10**8},
    "a large rank for some": {"rank_pattern": {"q_proj": 10**8}},
    "a negative rank": {"r": -1},
    "an unknown kind": {"peft_type": "os.system"},
    "another library": {"auto_mapping": {"base_model_class": "Evil", "parent_library": "memllm_evil"}},
    "a core": {"megatron_config": {"x": 1}, "megatron_core": "memllm_evil"},
    "another base": {"base_model_name_or_path": "someone/evil", "revision": "evil"},
    "another way to begin": {"init_lora_weights": "corda", "corda_config": {"cache_file": "evil.pt"}},
    "layers that go on": {"layer_replication": [[0, 1]] * 1000},
    "a text prompt": {
        "peft_type": "PROMPT_TUNING",
        "num_virtual_tokens": 4,
        "prompt_tuning_init": "TEXT",
        "prompt_tuning_init_text": "x",
        "tokenizer_name_or_path": "someone/evil",
        "tokenizer_kwargs": {"trust_remote_code": True},
    },
}
_ODD_MANIFEST: Final = b'{"format": 1, "role": "read", "base": "x", "files": {}}'
FOLDERS: Final[dict[str, Maker]] = {
    **{f"weights as {name}": _pickled_as(name) for name in _PICKLED},
    "a pickle named safetensors": lambda case: case.pickled(case.base, "model.safetensors"),
    "a pickle beside safetensors": lambda case: case.pickled(case.base, "pytorch_model.bin", instead=False),
    "an archive of torch named safetensors": _as_torch_saves,
    "a part that is a pickle": lambda case: _sharded(case, "x.bin").pickled(case.base, "x.bin", instead=False),
    "a part outside": lambda case: _sharded(case, "../../sound/base/model.safetensors"),
    "a part of the system": lambda case: _sharded(case, "/etc/passwd"),
    "an adapter as a pickle": lambda case: case.adapts().pickled(case.adapter, "adapter_model.bin"),
    "an adapter's pickle named safetensors": lambda case: case.adapts().pickled(
        case.adapter, "adapter_model.safetensors"
    ),
    "an adapter's pickle beside it": lambda case: case.adapts().pickled(
        case.adapter, "adapter_model.bin", instead=False
    ),
    "code of its own": lambda case: _own_code(case, model_type="evil", auto_map=_EVIL_MAP),
    "code of its own for a known model": lambda case: _own_code(case, auto_map=_EVIL_MAP),
    "code from elsewhere": lambda case: _own_code(case, model_type="evil", auto_map=_REMOTE_MAP),
    "a tokenizer of its own": _own_tokenizer,
    "an adapter in the base": _adapter_inside,
    **{
        f"quantised by {name}": _configured(quantization_config={"quant_method": name, "bits": 4})
        for name in _QUANTISED
    },
    **{f"{name} of {str(value)[:20]}": _configured(**{name: value}) for name, value in _NUMBERS.items()},
    "a configuration that is not JSON": lambda case: _replaced(case.base / "config.json", b"\xff{"),
    "a configuration that is a list": lambda case: _replaced(case.base / "config.json", b"[1]"),
    "a deep configuration": lambda case: _replaced(case.base / "config.json", b"[" * 100_000),
    "a number of 10,000 digits": lambda case: _replaced(case.base / "config.json", b'{"a": ' + b"9" * 10_000 + b"}"),
    "a header of any length": lambda case: _replaced(case.base / "model.safetensors", _header(1 << 62)),
    "a header of zeros": lambda case: _replaced(case.base / "model.safetensors", _header(0)),
    "a deep header": lambda case: _replaced(case.base / "model.safetensors", _header(100_000, b"[" * 100_000)),
    "weights of nothing": lambda case: _save(case.base / "model.safetensors", {}),
    "weights that are another's": lambda case: _save(case.base / "model.safetensors", {"x": (1,)}),
    "weights behind a link": lambda case: _linked(case.base / "model.safetensors", "/etc/passwd"),
    "weights that are a device": lambda case: _linked(case.base / "model.safetensors", "/dev/zero"),
    "weights that are a pipe": lambda case: _piped(case.base / "model.safetensors"),
    "a configuration without end": lambda case: _linked(case.base / "config.json", "/dev/zero"),
    "a configuration that is a pipe": lambda case: _piped(case.base / "config.json"),
    "a tokenizer that is a pipe": lambda case: _piped(case.base / "tokenizer.json"),
    "a tokenizer's configuration that is a pipe": lambda case: _piped(case.base / "tokenizer_config.json"),
    "generation that is a pipe": lambda case: _piped(case.base / "generation_config.json"),
    "a link to itself": lambda case: _linked(case.base / "config.json", "config.json"),
    "an adapter that is a pipe": lambda case: _piped(case.adapts().adapter / "adapter_config.json"),
    "an adapter's manifest that is deep": lambda case: _replaced(case.adapts().adapter / "memllm.json", b"[" * 100_000),
    "an adapter's manifest of other types": lambda case: _replaced(
        case.adapts().adapter / "memllm.json", _ODD_MANIFEST
    ),
    "weights of no dimension": lambda case: _save(case.adapts().base / "more.safetensors", {"x": ()}),
    "an adapter's weights of nothing": lambda case: _save(case.adapts().adapter / "adapter_model.safetensors", {}),
    "weights that the configuration names": lambda case: case.config(transformers_weights="x.bin").pickled(
        case.base, "x.bin", instead=False
    ),
    "an adapter's manifest that is a pipe": lambda case: _piped(case.adapts().adapter / "memllm.json"),
    "a tokenizer that is not JSON": lambda case: _replaced(case.base / "tokenizer.json", b"{"),
    "a tokenizer of an unknown class": lambda case: case.tokenizer(tokenizer_class="os.system"),
    "a tokenizer's pattern that hangs": lambda case: case.splits_at("(.*)*\\x01"),
    "a tokenizer's pattern of many repetitions": lambda case: case.splits_at(".*" * 100 + "\\x01"),
    "a tokenizer's nested pattern": lambda case: case.splits_at("((\\S|\\w)+)+\\x01"),
    "a tokenizer's pattern that is none": lambda case: case.splits_at("("),
    "a template that runs code": lambda case: _template(
        case, "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}"
    ),
    "a template that opens files": lambda case: _template(
        case, "{{ ''.__class__.__mro__[1].__subclasses__() }}{% include '/etc/passwd' %}"
    ),
    "a template that is none": lambda case: _template(case, "{% for"),
    "a template that fails": lambda case: _template(case, "{{ 1 / 0 }}"),
    "a template of any length": lambda case: _template(case, "{{ 'x' * 10**12 }}"),
    **{f"modules by {name}": _adapted(target_modules=value) for name, value in _PATTERNS.items()},
    **{f"an adapter with {name}": _adapted(**values) for name, values in _ADAPTERS.items()},
}
HARMLESS: Final = frozenset(
    {
        "a pickle beside safetensors",
        "an adapter's pickle beside it",
        "code of its own for a known model",
        "quantised by bitsandbytes",
        "quantised by os.system",
        f"max_position_embeddings of {_BIG}",
        "architectures of ['os.system']",
        "a tokenizer of an unknown class",
        "a tokenizer's pattern that hangs",
        "a tokenizer's pattern of many repetitions",
        "a tokenizer's nested pattern",
        "weights of no dimension",
        "an adapter with another library",
        "an adapter with another base",
    }
)
"""Folders that may load: what they ask for is left alone, or ends by itself."""


# -- loading -----------------------------------------------------------------------------------------------------------


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """The first ``scale`` folders; sabotage trusts their code, as most programs do."""
    counts = Counts()
    sound, canaries = folder / "sound", folder / "canaries"
    _sound(sound)
    canaries.mkdir()
    waiting = deque([("sound", Case(sound, folder / "0", canaries))])
    waiting[0][1].uses_adapter = True
    for number, (name, make) in enumerate(list(FOLDERS.items())[:scale], 1):
        case = Case(sound, folder / str(number), canaries / name.replace(" ", "-").replace("'", ""))
        make(case)
        waiting.append((name, case))
    folders, refused = len(waiting) - 1, 0
    while waiting:
        with _Loader(folder, sabotage) as loader:
            while waiting and not loader.is_over:
                name, case = waiting.popleft()
                told = loader.load(case)
                refused += bool(told["ended"])
                counts.problems += _faults(name, told)
                counts.tell(folders - len(waiting), folders, "folders")
    counts.problems += [f"{path.name} left its canary" for path in sorted(canaries.iterdir())]
    counts.figures = {"folders": folders, "refused": refused}
    return counts


def _faults(name: str, told: dict[str, Any]) -> Iterator[str]:
    if not told["typed"]:
        yield f"{name}: {told['ended'][:100]}"
    if told["events"]:
        yield f"{name}: {', '.join(told['events'])}"
    if name == "sound" and told["ended"]:
        yield f"the sound folder is refused: {told['ended']}"
    if not told["ended"] and name not in ("sound", *HARMLESS):
        yield f"{name}: loaded"


class _Loader:
    """A process that loads; ended when the ``with`` statement is left. It is over after a folder that ended it."""

    def __init__(self, root: Path, trusting: bool) -> None:
        elsewhere = {"HF_HOME": str(root / "hub"), "HOME": str(root), "MEMLLM_CACHE": str(root / "cache")}
        environment = {**os.environ, **elsewhere, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        if trusting:
            environment["HF_HUB_OFFLINE"] = "1"  # a folder may ask for code from elsewhere
        command = [sys.executable, "-P", str(_PROGRAM), str(root), *(["trusting"] if trusting else [])]
        self._log = root / "loader.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, text=True
            )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._patience = _START_S
        self.is_over = False
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def __enter__(self) -> _Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._ear.join()
        self._process.communicate()

    def load(self, case: Case) -> dict[str, Any]:
        """How loading ended, or that it did not in time."""
        line = json.dumps([str(case.base), str(case.adapter) if case.uses_adapter else None])
        with contextlib.suppress(BrokenPipeError):
            self._in.write(line + "\n")
            self._in.flush()
        try:
            answer = self._answers.get(timeout=self._patience)
        except queue.Empty:
            answer, why = "", f"no end in {self._patience:g} s"
        else:
            why = "the process ended: " + "".join(self._log.read_text(errors="replace").splitlines()[-1:])
        self._patience, self.is_over = _LOAD_S, not answer
        told: dict[str, Any] = json.loads(answer) if answer else {"ended": why, "typed": False, "events": []}
        return told

    @property
    def _in(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._answers.put(line)
        self._answers.put("")
