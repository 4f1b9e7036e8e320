"""``memllm eval``: measure the models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from langchain_memllm.cli.terminal import err, exit_status, fail, out, progress
from langchain_memllm.errors import ConfigurationError, MemLLMError, MissingExtra

if TYPE_CHECKING:
    from langchain_memllm.local import MemLLMModel
    from langchain_memllm.training.documents import Document
    from langchain_memllm.training.evaluate import Report

app = typer.Typer()
evaluation = typer.Typer(no_args_is_help=True, help="Measure the models: extraction, editing, perplexity, calls.")
app.add_typer(evaluation, name="eval")

_STOPPED: Final = 130
_DIFFERS: Final = 1

Base = Annotated[str, typer.Option(help="Folder of a causal LM in safetensors, or 'smollm2'.")]
Write = Annotated[
    str | None, typer.Option(help="Adapter that writes; 'none' for the base alone. Default: the shipped.")
]
Talk = Annotated[
    str | None, typer.Option(help="Adapter that writes what people say; 'none' for the writer's. Default: the shipped.")
]
Read = Annotated[str | None, typer.Option(help="Adapter that reads; 'none' for the base alone. Default: the shipped.")]
Control = Annotated[Path | None, typer.Option(help="Adapter of the control.")]
JsonOut = Annotated[
    Path | None,
    typer.Option(help="Keep the report, item by item, in this file; stopped, the same command goes on."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first cases of each part.")]
Seed = Annotated[int, typer.Option(help="Of samples, shuffles and intervals.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; found by default.")]
Opening = Annotated[
    float | None, typer.Option(help="Least probability at which a call opens; as in generation by default.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Texts run together.")]
Data = Annotated[Path | None, typer.Option(help="Folder that `memllm data` made: says which documents are held out.")]
Redocred = Annotated[Path | None, typer.Option(help="The file of documents that `memllm data` was given.")]


@contextmanager
def _failures() -> Iterator[None]:
    """Errors as one line and a documented exit status; what is not installed is named."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = MissingExtra(f"Evaluation ({error.name})", "train")
        fail(str(missing), exit_status(missing))
    except MemLLMError as error:
        fail(str(error), exit_status(error))
    except KeyboardInterrupt:
        fail("stopped; run the same command again", _STOPPED)


@evaluation.command()
def extract(
    base: Base = "smollm2",
    write: Write = None,
    data: Data = None,
    redocred: Redocred = None,
    articles: Annotated[
        int, typer.Option(help="Articles of the synthetic world, for seen and unseen forms each.")
    ] = 60,
    sentences: Annotated[int | None, typer.Option("--limit", "--sentences", min=1, help="Of each part.")] = None,
    free: Annotated[int, typer.Option(min=0, help="Sentences of each part also written without constraint.")] = 50,
    copy_names: Annotated[bool, typer.Option("--copy-names", help="Names must be spans of the text.")] = False,
    patience: Annotated[int, typer.Option(min=0, help="Ends that may follow the best one (late stopping).")] = 5,
    samples: Annotated[int, typer.Option(min=1, help="Times each sentence is written; kept is what comes often.")] = 1,
    votes: Annotated[float, typer.Option(help="Share of the samples in which a triple must come.")] = 0.25,
    temperature: Annotated[float, typer.Option(help="Of the samples.")] = 1.0,
    threshold: Annotated[float, typer.Option(help="Least probability of the triples that count.")] = 0.0,
    everyday: Annotated[Path | None, typer.Option(help="Sentences of people with their triples (JSON lines).")] = None,
    talk: Talk = None,
    skip: Annotated[int, typer.Option(min=0, help="Documents before the first.")] = 0,
    documents: Annotated[int | None, typer.Option(min=1, help="Documents of which all sentences are used.")] = None,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    device: Device = None,
    json_out: JsonOut = None,
) -> None:
    """Does the writer find the facts? Precision, recall and F1 on unseen documents and on the synthetic world."""
    with _failures():
        from langchain_memllm.training import extracting

        chosen_documents = _held_out(data, redocred)[skip:][:documents] if redocred else []
        parts = [extracting.document_cases(chosen_documents)] if redocred else []
        if articles:
            parts += [extracting.world_cases(part, articles, seed + 1_000) for part in ("seen", "unseen")]
        cases = []
        for number, part in enumerate(parts):
            chosen = extracting.sampled(part, sentences, seed + number)
            marked = {case["id"] for case in extracting.sampled(chosen, free, seed)}
            cases += [{**case, "free": True} if case["id"] in marked else case for case in chosen]
        cases += extracting.sentence_cases(everyday) if everyday else []
        model, about = _model(base, device, write=write, read="none", talk=talk if everyday else "none")
        choices = extracting.Choices(
            batch_size,
            patience=patience,
            copy_names=copy_names,
            seed=seed,
            samples=samples,
            votes=votes,
            temperature=temperature,
            threshold=threshold,
        )
        _run("extract", model, cases, choices, about, json_out)


@evaluation.command()
def edit(
    base: Base = "smollm2",
    write: Write = None,
    read: Read = None,
    zsre: Annotated[Path | None, typer.Option(help="KnowEdit's zsRE edits.")] = None,
    counterfact: Annotated[Path | None, typer.Option(help="CounterFact's edits; the first 1,000 are used.")] = None,
    limit: Limit = None,
    marks: Annotated[int, typer.Option(min=0, help="Edits of each part made twice, and as many forgotten.")] = 100,
    thresholds: Annotated[str, typer.Option(help="exact, strict, chat, related, paper, or cosines: 0.98,0.3,0.6.")] = (
        "exact"
    ),
    likely: Annotated[
        float | None,
        typer.Option(help="Ask for what is stored, if this likely beside the query written; 0: never."),
    ] = None,
    similar_names: Annotated[bool, typer.Option(help="Where a name is not stored, ask by a similar one.")] = True,
    form: Annotated[str, typer.Option(help="What a prompt is put into, at {}.")] = "{}",
    text_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 16,
    free: Annotated[bool, typer.Option("--free", help="Also ask without forcing the read.")] = False,
    copy_names: Annotated[bool, typer.Option(help="Written names must be spans of the sentence.")] = True,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    device: Device = None,
    json_out: JsonOut = None,
) -> None:
    """Does an edit change the answer, and nothing else? All edits are written first, then each is asked for."""
    with _failures():
        from langchain_memllm.local.leading import LIKELY
        from langchain_memllm.training import editing

        if zsre is None and counterfact is None:
            raise ConfigurationError("no edits were given; pass --zsre FILE or --counterfact FILE")
        parts = [editing.zsre_cases(zsre)] if zsre else []
        parts += [editing.counterfact_cases(counterfact)] if counterfact else []
        cases = [case for part in parts for case in editing.marked(part[:limit], marks, seed)]
        least = LIKELY if likely is None else likely
        choices = editing.Choices(
            thresholds=thresholds,
            likely=least,
            similar_names=similar_names,
            form=form,
            text_tokens=text_tokens,
            free=free,
            copy_names=copy_names,
            batch_size=batch_size,
            seed=seed,
        )
        model, about = _model(base, device, write=write, read=read)
        _run("edit", model, cases, choices, about, json_out)


@evaluation.command()
def ppl(
    base: Base = "smollm2",
    write: Write = None,
    read: Read = None,
    control: Control = None,
    data: Data = None,
    redocred: Redocred = None,
    writes: Annotated[Path | None, typer.Option(help="What a writer wrote of these documents (JSON lines).")] = None,
    condition: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated. Default: all.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="A report of the same documents and models, whose other conditions are kept.")
    ] = None,
    limit: Limit = None,
    thresholds: Annotated[str, typer.Option(help="As for `memllm eval edit`.")] = "chat",
    opening: Opening = None,
    copy_names: Annotated[bool, typer.Option("--copy-names", help="Written names must be spans of the text.")] = False,
    threshold: Annotated[float, typer.Option(help="Least probability of what was written that 'own' holds.")] = 0.0,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    device: Device = None,
    json_out: JsonOut = None,
) -> None:
    """Does the memory make text easier to predict? Perplexity of unseen documents under several memories."""
    with _failures():
        from langchain_memllm.local.decoding import OPENING
        from langchain_memllm.training import perplexity

        cases = _documents(data, redocred, writes, limit)
        conditions = tuple(condition or perplexity.CONDITIONS)
        least = OPENING if opening is None else opening
        choices = perplexity.Choices(conditions, thresholds, least, copy_names, batch_size, seed, threshold)
        writing = any(map(perplexity.of_own_writes, conditions)) and any("writes" not in case for case in cases)
        model, about = _model(base, device, write=write if writing else "none", read=read)
        others, told = _others(base, device, control, conditions)
        _run("ppl", model, cases, choices, about | told, json_out, into=into, **others)


@evaluation.command()
def calls(
    base: Base = "smollm2",
    read: Read = None,
    data: Data = None,
    redocred: Redocred = None,
    limit: Limit = None,
    thresholds: Annotated[str, typer.Option(help="As for `memllm eval edit`.")] = "chat",
    opening: Opening = None,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    device: Device = None,
    json_out: JsonOut = None,
) -> None:
    """Does the reader ask the right thing in the right place? On unseen documents, with a memory of their labels."""
    with _failures():
        from langchain_memllm.local.decoding import OPENING
        from langchain_memllm.training import calls

        choices = calls.Choices(thresholds, OPENING if opening is None else opening, batch_size, seed)
        model, about = _model(base, device, write="none", read=read)
        _run("calls", model, _documents(data, redocred, None, limit), choices, about, json_out)


def _documents(
    data: Path | None, redocred: Path | None, writes: Path | None, limit: int | None
) -> list[dict[str, Any]]:
    """The held-out documents as cases, with what was written of them."""
    from langchain_memllm.training.examples import WriteDocument, load
    from langchain_memllm.training.perplexity import cases_of

    documents = _held_out(data, redocred)[:limit]
    if writes is None:
        return cases_of(documents)
    known = {
        document.source: [triple for some in document.triples for triple in some or ()]
        for document in load([writes])
        if isinstance(document, WriteDocument)
    }
    missing = [document.title for document in documents if document.title not in known]
    if missing:
        raise ConfigurationError(
            f"{writes} does not say what was written of {len(missing)} documents: {missing[0]!r}, …"
        )
    return cases_of(documents, known)


def _held_out(data: Path | None, redocred: Path | None) -> list[Document]:
    """The documents that ``memllm data`` kept aside; without its folder, all of the file."""
    from langchain_memllm.training.documents import load_json, read_redocred

    if redocred is None:
        raise ConfigurationError("no documents were given; pass --redocred FILE (and --data FOLDER of `memllm data`)")
    documents = read_redocred(redocred)
    if data is None:
        return documents
    titles = set(load_json(data / "held_out" / "redocred-titles.json"))
    kept = [document for document in documents if document.title in titles]
    if len(kept) != len(titles):
        raise ConfigurationError(
            f"{redocred} has {len(kept)} of the {len(titles)} documents that {data} holds out; give the file that "
            "`memllm data` was given"
        )
    return kept


def _model(
    base: str, device: str | None, *, write: str | None, read: str | None, talk: str | None = "none"
) -> tuple[MemLLMModel, dict[str, Any]]:
    """The model with its adapters, and what the report says of them."""
    from langchain_memllm.local import MemLLMModel, weights
    from langchain_memllm.local.folders import ADAPTER_FILE
    from langchain_memllm.local.manifest import read_manifest, sha256

    folder = weights.smollm2_folder() if base == "smollm2" else Path(base).expanduser()
    talk = "none" if talk is None and write is not None else talk  # the shipped one goes with the shipped writer
    adapters = {"write": _adapter("write", write), "talk": _adapter("talk", talk), "read": _adapter("read", read)}
    model = MemLLMModel.from_pretrained(
        folder,
        device=device,
        write_adapter=adapters["write"],
        talk_adapter=adapters["talk"],
        read_adapter=adapters["read"],
    )
    about: dict[str, Any] = {"base": folder.name}
    for role, found in adapters.items():
        if found is None:
            continue
        trained = (read_manifest(found) or {}).get("role")
        about[role] = {"folder": found.name, "role": trained, "sha256": sha256(found / ADAPTER_FILE)}
    return model, about


def _others(
    base: str, device: str | None, control: Path | None, conditions: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The models that perplexities are compared with, and what the report says of them."""
    others: dict[str, Any] = {}
    about: dict[str, Any] = {}
    if control is not None:
        others["control"], told = _model(base, device, write="none", read=str(control))
        about["control"] = told["read"]
    if {"base", "text", "search"} & set(conditions):
        others["base"], _ = _model(base, device, write="none", read="none")
    return others, about


def _adapter(role: str, given: str | None) -> Path | None:
    """The adapter's folder: as given, the shipped one, or none."""
    from langchain_memllm.local import weights

    if given == "none" or (given is None and role not in weights.SHIPPED):
        return None
    return weights.shipped_adapter(role) if given is None else Path(given).expanduser()


def _run(
    name: str,
    model: MemLLMModel,
    cases: list[Any],
    choices: Any,
    about: dict[str, Any],
    file: Path | None,
    *,
    into: Path | None = None,
    **more: Any,
) -> None:
    from langchain_memllm.training.evaluate import Report, check_joins, evaluate, joined

    kept = Report.load(into) if into is not None else None
    if kept is not None:  # before it costs an hour
        check_joins(kept, Report(name, asdict(choices), (), cases, {}, about))
    part = file.with_name(f"{file.name}.part") if file is not None else None
    try:
        with progress(name) as report:
            made = evaluate(name, model, cases, choices, about=about, keep=part, report=report, **more)
    except KeyboardInterrupt:
        kept_in = (
            f"the same command goes on from {part}" if part else "nothing was kept; --json-out keeps what is known"
        )
        fail(f"stopped; {kept_in}", _STOPPED)
    made = joined(kept, made) if kept is not None else made
    if file is not None and part is not None:
        made.save(file)
        part.unlink()
    _show(made)


def _show(report: Report) -> None:
    table = Table("figure", "value", "95 % interval", "over", title=report.evaluation)
    for figure in report.figures:
        value = "-" if figure.value is None else f"{figure.value:.3f}"
        low, high = figure.low, figure.high
        interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        table.add_row(figure.name, value, interval, str(figure.count))
    out.print(table)
    for name, rows in report.details.items():
        out.print(f"{name}: " + "; ".join(" ".join(map(str, row)) for row in rows[:15]), markup=False)
    out.print(f"{len(report.cases)} cases in {report.about['seconds']:.0f} s")


@evaluation.command()
def recheck(
    file: Annotated[Path, typer.Argument(help="A report that --json-out kept.")],
    share: Annotated[float, typer.Option(help="Of its cases.")] = 0.02,
    base: Base = "smollm2",
    write: Write = None,
    talk: Talk = None,
    read: Read = None,
    control: Control = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Run a sample of a kept report again and compare, item by item."""
    with _failures():
        from langchain_memllm.training import evaluate

        kept = evaluate.Report.load(file)
        model, _ = _model(base, device, write=write, read=read, talk=talk if "talk" in kept.about else "none")
        others, _ = _others(base, device, control, kept.choices.get("conditions", ()))
        with progress("recheck") as report:
            count, found = evaluate.recheck(kept, model, share, seed=seed, report=report, **others)
    for line in found:
        err.print(line, markup=False)
    out.print(f"{count} cases run again, {len(found)} differences")
    if found:
        raise typer.Exit(_DIFFERS)
