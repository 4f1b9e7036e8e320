"""Training of the local models: building data, fine-tuning writer, reader and control."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn

from langchain_memllm.cli.terminal import err, exit_status, fail, out
from langchain_memllm.errors import ConfigurationError, MemLLMError, MissingExtra

if TYPE_CHECKING:
    from langchain_memllm.training.finetune import Progress as Step

app = typer.Typer()
train = typer.Typer(
    no_args_is_help=True, help="Fine-tune a model: the writer, the reader, or the control; average or scale."
)
app.add_typer(train, name="train")

STOPPED: Final = 130
_LINES: Final = 30  # seconds


@contextmanager
def _failures() -> Iterator[None]:
    """Errors as one line and a documented exit status; what is not installed is named."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = MissingExtra(f"Training ({error.name})", "train")
        fail(str(missing), exit_status(missing))
    except MemLLMError as error:
        fail(str(error), exit_status(error))
    except KeyboardInterrupt:
        fail("stopped; the same command goes on from the last checkpoint", STOPPED)


@app.command()
def data(
    target: Annotated[Path, typer.Option("--out", "-o", help="Folder for the training files.")],
    redocred: Annotated[Path | None, typer.Option(help="Documents in Re-DocRED's format.")] = None,
    redocred_held_out: Annotated[Path | None, typer.Option(help="Documents to keep aside; else a part is.")] = None,
    train_documents: Annotated[int, typer.Option(help="Documents of a divided file to train on.")] = 400,
    swaps: Annotated[int, typer.Option(help="Counterfactual copies of each document.")] = 1,
    fewrel: Annotated[Path | None, typer.Option(help="FewRel's sentences.")] = None,
    fewrel_each: Annotated[int, typer.Option(help="Sentences of each FewRel relation.")] = 40,
    counterfact: Annotated[Path | None, typer.Option(help="CounterFact's edits; the first 1,000 are left out.")] = None,
    knowedit: Annotated[list[Path] | None, typer.Option(help="Training parts of KnowEdit.")] = None,
    edits: Annotated[int, typer.Option(help="Most edits of one file.")] = 3_000,
    articles: Annotated[int, typer.Option(help="Articles of the synthetic world.")] = 3_000,
    facts: Annotated[int, typer.Option(help="Single facts of the synthetic world, of further relations.")] = 0,
    properties: Annotated[Path | None, typer.Option(help="Labels of relations (JSON) for half of these facts.")] = None,
    everyday: Annotated[int, typer.Option(help="Conversations of people about themselves, for the writer.")] = 0,
    mistakes: Annotated[bool, typer.Option(help="Show the reader answers that do not help, too.")] = True,
    writes: Annotated[Path | None, typer.Option(help="What a writer wrote, to fill the reader's memory.")] = None,
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.")] = 0,
) -> None:
    """Build training data: documents with calls for writer and reader, and what is kept aside."""
    with _failures():
        from langchain_memllm.training.build import Sources, build

        sources = Sources(
            redocred,
            redocred_held_out,
            train_documents,
            swaps,
            fewrel,
            fewrel_each,
            counterfact,
            tuple(knowedit or ()),
            edits,
            articles,
            facts,
            properties,
            everyday,
            mistakes,
            writes,
            seed,
        )
        built = build(target, sources, report=lambda what: err.print(f"building from {what}", style="dim"))
    for name, counts in (("write", built.write), ("read", built.read)):
        parts = ", ".join(f"{count} {source}" for source, count in counts.items())
        out.print(f"{counts.total()} documents to {name}: {parts}", markup=False)
    if built.left_out:
        out.print(f"{built.left_out} left out, because they name what the demonstration shows")
    if built.without_labels:
        out.print(
            f"{built.without_labels} documents have no labels: every sentence of theirs counts as stating nothing"
        )


Base = Annotated[str, typer.Option(help="Folder of a causal LM in safetensors, or 'smollm2'.")]
Data = Annotated[list[Path], typer.Option("--data", help="Training files, or folders that `memllm data` made.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoint and result.")]
Start = Annotated[Path | None, typer.Option("--from", help="An adapter to begin with, of the same rank and layers.")]
Teacher = Annotated[
    Path | None, typer.Option(help="For a reader: a control's adapter, which says how text without an answer goes on.")
]
Rank = Annotated[int, typer.Option(help="Rank of the adapter; 0 trains every weight.")]
Alpha = Annotated[float, typer.Option(help="Scale of the adapter.")]
Dropout = Annotated[float, typer.Option(help="Share of the adapter's inputs dropped.")]
Targets = Annotated[str | None, typer.Option(help="Layers that get an adapter, by commas.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="The highest learning rate.")]
Warmup = Annotated[float | None, typer.Option(help="Share of the steps in which the rate rises.")]
Decay = Annotated[float, typer.Option("--weight-decay", help="Weight decay of AdamW.")]
Epochs = Annotated[int, typer.Option(help="Passes over the data.")]
Steps = Annotated[int | None, typer.Option(help="Steps after which to end.")]
Minutes = Annotated[float | None, typer.Option(help="Minutes after which to end.")]
BatchSize = Annotated[int, typer.Option(help="Examples of one step.")]
BatchTokens = Annotated[int | None, typer.Option(help="Tokens computed at once: bounds the memory.")]
Window = Annotated[int, typer.Option(help="Longest example, in tokens.")]
Seed = Annotated[int, typer.Option(help="Order, dropout, first weights.")]
Spaced = Annotated[bool, typer.Option("--spaced", help="Spaces around the names in calls.")]
Withdrawn = Annotated[bool, typer.Option(help="A reader learns the text after a withdrawn call, too.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; found by default.")]
Checkpointing = Annotated[bool, typer.Option("--gradient-checkpointing", help="Slower, in less memory.")]
Half = Annotated[bool | None, typer.Option("--bf16/--fp32", help="Width of the base; by default half on a GPU.")]
Every = Annotated[float, typer.Option("--checkpoint-seconds", help="Time between checkpoints.")]


def _command(role: str, what: str) -> None:
    """Add ``memllm train ROLE``; the three differ in what is learnt only."""

    def command(
        base: Base,
        data: Data,
        target: Out,
        start: Start = None,
        teacher: Teacher = None,
        rank: Rank = 16,
        alpha: Alpha = 8,
        dropout: Dropout = 0.1,
        targets: Targets = None,
        learning_rate: Rate = 2e-5,
        warmup: Warmup = None,
        weight_decay: Decay = 1e-3,
        epochs: Epochs = 2,
        steps: Steps = None,
        minutes: Minutes = None,
        batch_size: BatchSize = 96,
        batch_tokens: BatchTokens = None,
        window: Window = 1024,
        seed: Seed = 0,
        spaced: Spaced = False,
        withdrawn: Withdrawn = True,
        device: Device = None,
        gradient_checkpointing: Checkpointing = False,
        bf16: Half = None,
        checkpoint_seconds: Every = 300,
    ) -> None:
        named = {} if targets is None else {"targets": tuple(targets.split(","))}
        _train(
            base,
            data,
            target,
            device,
            start,
            teacher,
            role=role,
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            learning_rate=learning_rate,
            warmup=warmup,
            weight_decay=weight_decay,
            epochs=epochs,
            steps=steps,
            minutes=minutes,
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            window=window,
            seed=seed,
            spaced=spaced,
            withdrawn=withdrawn,
            gradient_checkpointing=gradient_checkpointing,
            bf16=bf16,
            checkpoint_seconds=checkpoint_seconds,
            **named,
        )

    command.__doc__ = f"{what} Run again after a stop, it goes on from its checkpoint."
    train.command(name=role)(command)


_command("write", "Train the writer: sentences to triples.")
_command("read", "Train the reader: text with reads of the memory.")
_command("control", "Train the control: the reader's text without any call.")


@train.command()
def average(
    first: Annotated[Path, typer.Argument(help="Folder of an adapter.")],
    second: Annotated[Path, typer.Argument(help="Folder of one trained from it (--from).")],
    target: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")],
) -> None:
    """Average two adapters: most of what the second learnt, less of what it forgot."""
    with _failures():
        from langchain_memllm.training import publish

        publish.average(first, second, target)
    out.print(f"the mean of {first} and {second} is in {target}", markup=False)


@train.command()
def scale(
    adapter: Annotated[Path, typer.Argument(help="Folder of an adapter.")],
    target: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")],
    share: Annotated[float, typer.Option(help="How much of what it changes is kept, between 0 and 1.")],
) -> None:
    """Scale an adapter: a point between the base and what was learnt, that has memorised less."""
    with _failures():
        from langchain_memllm.training import publish

        publish.scale(adapter, share, target)
    out.print(f"{share:g} of {adapter} is in {target}", markup=False)


@train.command()
def calibrate(
    adapter: Annotated[Path, typer.Argument(help="Folder of a writer's adapter; its manifest is changed.")],
    report: Annotated[Path, typer.Option(help="What `memllm eval extract --json-out` kept of it.")],
    threshold: Annotated[float, typer.Option(help="Least probability of being right that it writes by default.")],
    part: Annotated[list[str] | None, typer.Option(help="Part of the report; may be repeated. Default: all.")] = None,
) -> None:
    """Fit how probable it is that what a writer writes is right, and set what it writes by default."""
    with _failures():
        from langchain_memllm.training.calibration import calibrate as calibrated
        from langchain_memllm.training.evaluate import Report

        kept = Report.load(report)
        parts = part or list(dict.fromkeys(case["part"] for case in kept.cases))
        confidence = calibrated(adapter, kept, parts, threshold)
    out.print(
        f"1 / (1 + exp(-({confidence.intercept} + {confidence.slope} * x))), written from {threshold:g}; "
        f"fitted to {confidence.fitted}",
        markup=False,
    )


def _train(
    base: str,
    data: list[Path],
    target: Path,
    device: str | None,
    start: Path | None,
    teacher: Path | None,
    **choices: Any,
) -> None:
    with _failures():
        from langchain_memllm.local import weights
        from langchain_memllm.training.finetune import finetune
        from langchain_memllm.training.options import Options

        options = Options(**choices)
        folder = weights.smollm2_folder() if base == "smollm2" else Path(base).expanduser()
        files = [_file(path, options.role) for path in data]
        with _bar(options.role) as report:
            result = finetune(
                folder, files, target, options, start=start, teacher=teacher, device=device, report=report
            )
    loss = f"loss {result.first_loss:.3f} at first, {result.last_loss:.3f} at last"
    if not result.finished:
        fail(f"stopped after step {result.steps} ({loss}); the same command goes on", STOPPED)
    out.print(f"{result.steps} steps, {loss}; saved in {target}", markup=False)


def _file(path: Path, role: str) -> Path:
    """The training file meant: itself, or that of the role in a folder."""
    file = path / ("write.jsonl" if role == "write" else "read.jsonl") if path.is_dir() else path
    if not file.is_file():
        raise ConfigurationError(f"there is no training file {file}; build it with `memllm data`")
    return file


@contextmanager
def _bar(what: str) -> Iterator[Any]:
    """A bar with steps, loss and time left; without a terminal a line every half minute."""
    columns = (
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} loss {task.fields[loss]} left {task.fields[left]}"),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=None, loss="-", left="-")

        said = 0.0

        def report(step: Step) -> None:
            nonlocal said
            left = f"{step.left // 60:.0f} min {step.left % 60:02.0f} s"
            bar.update(task, completed=step.step, total=step.steps, loss=f"{step.loss:.3f}", left=left)
            if not err.is_terminal and (step.seconds - said >= _LINES or step.step in (1, step.steps)):
                said = step.seconds
                rate = step.tokens / max(step.seconds, 1e-9)
                err.print(f"step {step.step}/{step.steps} loss {step.loss:.3f} {rate:.0f} learnt tokens/s, left {left}")

        yield report
