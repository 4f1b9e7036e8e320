"""Fine-tuning of the writer, the reader or the control: LoRA as in the paper, or every weight (arXiv 2404.11672).

One loop for CPU and GPU, for one process and several (``accelerate launch``). Logits are computed only where something
is learnt, and no more than a budget of tokens is computed at once, so the memory is bounded whatever the data. A run
that is killed goes on from its checkpoint to the same weights as one that was not; Ctrl-C ends after the step with a
checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from langchain_memllm.errors import ConfigurationError, MissingExtra, ModelError
from langchain_memllm.local import weights
from langchain_memllm.local.folders import ADAPTER_FILE, check_adapter, check_safe
from langchain_memllm.local.manifest import check_manifest, fingerprint, sha256
from langchain_memllm.local.vocabulary import Vocabulary
from langchain_memllm.training.checkpoint import CHECKPOINT, State, load_checkpoint, save_checkpoint
from langchain_memllm.training.examples import Example, ReadDocument, WriteDocument, load, read_tokens, write_tokens
from langchain_memllm.training.loss import loss_of
from langchain_memllm.training.options import Options
from langchain_memllm.training.packing import Batch, Tree, batch_of, batches, steps_of, trees
from langchain_memllm.training.publish import check_unfinished, publish

__all__ = ["Progress", "Result", "finetune"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands: steps done and in all, mean loss of the last steps, seconds spent and, likely, left."""

    step: int
    steps: int
    loss: float
    seconds: float
    left: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a training came to. ``finished``: whether it ended by itself; else the same command goes on."""

    finished: bool
    steps: int
    first_loss: float
    last_loss: float
    seconds: float
    tokens: int


def finetune(
    base: Path,
    data: Sequence[Path],
    out: Path,
    options: Options,
    *,
    start: Path | None = None,
    teacher: Path | None = None,
    device: str | None = None,
    report: Callable[[Progress], None] = lambda _progress: None,
) -> Result:
    """Train ``base`` on ``data`` and save the result in ``out``; goes on from the checkpoint there, if there is one.

    Args:
        base: Folder of a causal LM in safetensors.
        data: JSON lines of training documents (``memllm data``); those of the other kind are left out.
        out: Folder for the checkpoint and the result.
        options: What to train and how.
        start: An adapter to begin with instead of one that changes nothing: of the same role, rank and layers.
        teacher: For a reader, a control's adapter. Text that is not a pasted name is then learnt as the control says it
            goes on, not as it does: a reader learns to read from its texts, and does not memorise them
            (distillation, arXiv 1503.02531). The teacher is a second model in memory.
        device: ``cpu``, ``cuda``, ``mps``; found if not given.
        report: Told after each step.

    Raises:
        ConfigurationError: Data that cannot be used, a checkpoint of other options or data, a finished training, an
            adapter to begin with that does not fit the options, or a teacher for another role than ``read``.
        MissingExtra: peft is not installed.
        ModelError: The base cannot be loaded, the loss is not finite, or ``out`` cannot be written.
    """
    group = _Group.of(device)
    _make(out)
    torch.manual_seed(options.seed)  # the adapter's first weights
    model, tokenizer = _loaded(base, options, group.device)
    vocabulary = Vocabulary(tokenizer, model.config.vocab_size)
    forest = _forest(load(data), vocabulary, options, group.device, teacher is not None)
    model = _prepared(model, options)
    made_for = fingerprint(base, tokenizer)
    _check_adapters(start, teacher, options, made_for, base.name)
    if start is not None:
        _begin_with(model, start, options)
    taught_by = _teacher(teacher, base, options, group.device) if teacher is not None else None
    about = {
        "role": options.role,
        "base": {"name": base.name, "fingerprint": made_for},
        "start": _hash(start),
        "teacher": _hash(teacher),
        "data": [{"file": file.name, "sha256": sha256(file)} for file in data],
        "spaced": options.spaced,
    }

    def loss(batch: Batch) -> torch.Tensor:
        return loss_of(model, batch, vocabulary.opening, taught_by)

    run = _Run(model, loss, forest, options, group, out, about)
    run.resume()
    with _interruptible() as interrupted:
        finished = run.train(report, interrupted)
    if finished:
        run.save()
    result = run.result(finished)
    if finished and group.first:
        publish(out, model, tokenizer, options, about, run.summary(result))
        (out / CHECKPOINT).unlink(missing_ok=True)
    return result


def _hash(adapter: Path | None) -> str | None:
    return sha256(adapter / ADAPTER_FILE) if adapter is not None else None


def _make(out: Path) -> None:
    """The folder for the result, which may hold a checkpoint but nothing that is finished."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{out} cannot be made ({error}); give another --out") from error
    check_unfinished(out)


def _loaded(base: Path, options: Options, device: str) -> tuple[Any, Any]:
    """Model and tokenizer; the model takes as many tokens as the window has."""
    model, tokenizer = weights.load(base, device, _dtype(device, options))
    longest = getattr(model.config, "max_position_embeddings", None) or options.window
    if options.window > longest:
        raise ConfigurationError(
            f"a window of {options.window} tokens is too long for {base.name}; give --window {longest}"
        )
    return model, tokenizer


# --- what is trained on what ------------------------------------------------------------------------------------------


def _dtype(device: str, options: Options) -> torch.dtype:
    """Full width where the weights themselves are trained, and by default on CPUs, most of which are slow at less."""
    half = device != "cpu" if options.bf16 is None else options.bf16
    return torch.bfloat16 if half and options.rank else torch.float32


def _forest(
    documents: Sequence[WriteDocument | ReadDocument],
    vocabulary: Vocabulary,
    options: Options,
    device: str,
    teacher: bool,
) -> list[Tree]:
    """The trees of all documents of the role's kind."""
    kind = WriteDocument if options.role == "write" else ReadDocument
    budget = max(options.window, _budget(options, device))
    used = [document for document in documents if isinstance(document, kind)]
    forest = [tree for document in used for tree in trees(_examples(document, vocabulary, options, teacher), budget)]
    if not forest:
        raise ConfigurationError(
            f"the data has nothing to {options.role}: {len(documents)} documents, {len(used)} of the right kind; "
            "build it with `memllm data`"
        )
    return forest


def _examples(
    document: WriteDocument | ReadDocument, vocabulary: Vocabulary, options: Options, teacher: bool
) -> list[Example]:
    if isinstance(document, WriteDocument):
        return write_tokens(document, vocabulary, window=options.window, spaced=options.spaced)
    return read_tokens(
        document,
        vocabulary,
        window=options.window,
        spaced=options.spaced,
        calls=options.role == "read",
        withdrawn=options.withdrawn,
        teacher=teacher,
    )


def _budget(options: Options, device: str) -> int:
    return options.batch_tokens or (1024 if device == "cpu" else 8192)


def _prepared(model: Any, options: Options) -> Any:
    """The model in training mode, with an adapter or with every weight to be trained."""
    model.config.use_cache = False
    if options.gradient_checkpointing:
        # the later name of transformers' own; the earlier one warns where both are there
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if not options.rank:
        return model.requires_grad_(True).train()
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError as error:
        raise MissingExtra("Training an adapter", "train") from error
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(options.targets),
        bias="lora_only",
        task_type="CAUSAL_LM",
    )
    try:
        with weights.peft_notices_off():
            return get_peft_model(model, config).train()
    except ValueError as error:
        raise ConfigurationError(f"no adapter fits this model: {error}; name its layers with --targets") from error


def _check_adapters(start: Path | None, teacher: Path | None, options: Options, base: str, name: str) -> None:
    """Whether the adapters that a training was given are what they must be; ``base``: the fingerprint."""
    if teacher is not None and options.role != "read":
        raise ConfigurationError(f"a teacher is for a reader, not to {options.role}; leave --teacher out")
    for what, adapter, role in (("adapter to begin with", start, options.role), ("teacher", teacher, "control")):
        if adapter is not None:
            check_safe(adapter, f"the {what}", ADAPTER_FILE)
            check_manifest(adapter, role, base, name)


def _begin_with(model: Any, folder: Path, options: Options) -> None:
    """Put the weights of an earlier adapter into the new one."""
    if not options.rank:
        raise ConfigurationError("rank=0 trains every weight and cannot begin with an adapter; leave one of them out")
    try:
        held = load_file(folder / ADAPTER_FILE)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the adapter {folder} cannot be read ({error}); get it again") from error
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
    if {name: tensor.shape for name, tensor in held.items()} != {name: t.shape for name, t in wanted.items()}:
        raise ConfigurationError(
            f"the adapter {folder} has another rank or other layers than rank {options.rank} on "
            f"{', '.join(options.targets)}; give the --rank and --targets it was trained with"
        )
    set_peft_model_state_dict(model, held)


def _teacher(folder: Path, base: Path, options: Options, device: str) -> Any:
    """The base with a control's adapter in its weights, as a model of its own that learns nothing."""
    model, _ = weights.load(base, device, _dtype(device, options))
    from peft import PeftConfig, PeftModel

    try:
        config = PeftConfig.from_pretrained(str(folder))
        check_adapter(config, folder / ADAPTER_FILE)
        with weights.peft_notices_off():
            adapted = PeftModel.from_pretrained(model, str(folder), config=config, use_safetensors=True)
            return adapted.merge_and_unload().eval().requires_grad_(False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the teacher {folder} does not fit {base.name}: {error}; train it for this base") from error


# --- the loop ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Group:
    """This process among those that train together."""

    device: str
    rank: int = 0
    size: int = 1

    @classmethod
    def of(cls, device: str | None) -> _Group:
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(device or weights.best_device())
        try:
            from accelerate import PartialState
        except ModuleNotFoundError as error:
            raise MissingExtra("Training with several processes", "train") from error
        state = PartialState(cpu=device == "cpu")
        place = "cpu" if state.device.type == "cpu" else str(state.device)  # "cpu:0" among several
        return cls(place, state.process_index, state.num_processes)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def add(self, tensor: torch.Tensor) -> None:
        """Add up a tensor over the processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)

    def agree(self, value: float) -> float:
        """The mean of a number over the processes: all must end at the same step."""
        tensor = torch.tensor(value, dtype=torch.float32, device=self.device)
        self.add(tensor)
        return float(tensor) / self.size


class _Run:
    """A model, its data, and how far the training has come."""

    def __init__(
        self,
        model: Any,
        loss: Callable[[Batch], torch.Tensor],
        forest: Sequence[Tree],
        options: Options,
        group: _Group,
        out: Path,
        about: dict[str, Any],
    ) -> None:
        self.model, self.loss, self.forest = model, loss, forest
        self.options, self.group, self.out = options, group, out
        self.about = {**about, "options": options.as_dict(), "processes": group.size}
        self.parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [p for _, p in self.parameters], lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.state = State(0, 0.0, 0, [])
        per_epoch = len(steps_of(forest, options.batch_size, options.seed, 0))
        self.steps = min(per_epoch * options.epochs, options.steps or per_epoch * options.epochs)
        self._saved = time.monotonic()

    def resume(self) -> None:
        """Take up the checkpoint, if there is one, after making sure that it is of this training."""
        found = load_checkpoint(self.out, self.parameters, self.optimizer)
        if found is None:
            return
        state, about = found
        differences = self.options.differs(about["options"])
        differences += [
            f"{name} is another"
            for name in ("base", "data", "processes", "start", "teacher")
            if about.get(name) != self.about[name]
        ]
        if differences:
            raise ConfigurationError(
                f"{self.out} holds a checkpoint of another training ({'; '.join(differences)}); run it as before, give "
                f"another --out, or remove {CHECKPOINT}"
            )
        self.state = state
        log.info("going on after step %d", state.step)

    def train(self, report: Callable[[Progress], None], interrupted: threading.Event) -> bool:
        """Do the steps that are left; returns whether the end was reached."""
        for step in self._left():
            if self.group.agree(float(interrupted.is_set())):
                self.save()
                return False
            started = time.monotonic()
            loss = self._step(step)
            self.state.losses.append(loss)
            self.state.step += 1
            self.state.seconds += self.group.agree(time.monotonic() - started)
            report(self.progress())
            if time.monotonic() - self._saved >= self.options.checkpoint_seconds:
                self.save()
        return True

    def _left(self) -> Iterator[list[Tree]]:
        """The steps that were not done yet, until the steps or the minutes are over."""
        options, number = self.options, 0
        for epoch in range(options.epochs):
            for step in steps_of(self.forest, options.batch_size, options.seed, epoch):
                if number >= self.steps or self._fraction(self.state.step) >= 1:
                    return
                number += 1
                if number > self.state.step:
                    yield step

    def _fraction(self, step: int) -> float:
        """How much of the training is over: by steps, or by time if that ends it sooner."""
        by_time = self.state.seconds / (60 * self.options.minutes) if self.options.minutes else 0.0
        return max(step / self.steps, by_time)

    def _rate(self) -> float:
        """Learning rate of the next step: up from nothing, then down to nothing along a cosine."""
        done = self._fraction(self.state.step + 1) if self.steps > 1 else 0.5
        warm = max(self.options.warm, 1 / self.steps)
        if done <= warm:
            return self.options.learning_rate * done / warm
        return self.options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warm) / (1 - warm))))

    def _step(self, step: Sequence[Tree]) -> float:
        """One step of the optimiser; returns the mean loss of its learnt tokens."""
        seed = hashlib.blake2b(f"{self.options.seed} {self.state.step} {self.group.rank}".encode(), digest_size=7)
        torch.manual_seed(int(seed.hexdigest(), 16))  # dropout
        for settings in self.optimizer.param_groups:
            settings["lr"] = self._rate()
        count = sum(len(tree.targets) for tree in step)
        parts = list(batches(step, max(self.options.window, _budget(self.options, self.group.device))))
        total = torch.zeros((), device=self.group.device)
        for rows in parts[self.group.rank :: self.group.size]:
            batch = batch_of(rows, self.group.device, self.model.dtype)
            loss = self.loss(batch) / count
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        self.group.add(total)
        value = float(total)
        if not math.isfinite(value):
            raise ModelError(
                f"the loss is {value} at step {self.state.step + 1}; nothing of this step was kept. Lower "
                "--learning-rate and start again with another --out"
            )
        self._update()
        self.state.tokens += count
        return value

    def _update(self) -> None:
        """Gradients of all processes, cut to length, into the weights."""
        trained = [parameter for _, parameter in self.parameters]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            self.group.add(parameter.grad)
        torch.nn.utils.clip_grad_norm_(trained, self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def save(self) -> None:
        """Write the checkpoint."""
        self._saved = time.monotonic()
        if self.group.first:
            save_checkpoint(self.out, self.parameters, self.optimizer, self.state, self.about)

    def progress(self) -> Progress:
        """Where the training stands."""
        state, recent = self.state, self.state.losses[-20:]
        fraction = self._fraction(state.step)
        left = state.seconds * (1 - fraction) / fraction if fraction < 1 else 0.0
        return Progress(state.step, self.steps, sum(recent) / len(recent), state.seconds, left, state.tokens)

    def result(self, finished: bool) -> Result:
        """What it came to; losses are means over the first and the last steps, at most ten."""
        losses = self.state.losses
        part = max(1, min(10, len(losses) // 2))
        first, last = (sum(some) / max(1, len(some)) for some in (losses[:part], losses[-part:]))
        return Result(finished, self.state.step, first, last, self.state.seconds, self.state.tokens)

    def summary(self, result: Result) -> dict[str, Any]:
        """The result for the card and the manifest; the time is not in it, so that equal runs give equal files."""
        return {
            "steps": result.steps,
            "first_loss": round(result.first_loss, 4),
            "last_loss": round(result.last_loss, 4),
            "learnt_tokens": result.tokens,
            "documents_as_trees": len(self.forest),
        }


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """While it lasts, the first Ctrl-C (or SIGTERM) asks for an end after the step; the second ends at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        log.warning("ending after this step, because of signal %d; once more ends at once", number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
