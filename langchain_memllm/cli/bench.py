"""``memllm bench``: how well the memory finds what answers, beside plain search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from langchain_memllm.cli.files import written_beside
from langchain_memllm.cli.terminal import WRONG, embedder_name, exit_status, fail, out, progress
from langchain_memllm.errors import ConfigurationError, MemLLMError
from langchain_memllm.memory import MAX_RECALLED

if TYPE_CHECKING:
    from langchain_memllm.bench.data import Corpus
    from langchain_memllm.bench.ours import Way
    from langchain_memllm.bench.report import Report

app = typer.Typer()
bench = typer.Typer(no_args_is_help=True, help="Measure the memory on questions: how often recall finds what answers.")
app.add_typer(bench, name="bench")

_LOWER: Final = 1
_STOPPED: Final = 130


@bench.command()
def recall(
    everyday: Annotated[Path | None, typer.Option(help="Folder of facts of a person, as benchmarks/recall.")] = None,
    locomo: Annotated[
        Path | None, typer.Option(help="File of LoCoMo: its observations as facts, and its messages.")
    ] = None,
    locomo_facts: Annotated[
        Path | None, typer.Option(help="With --locomo: its observations as triples, made elsewhere.")
    ] = None,
    beam: Annotated[Path | None, typer.Option(help="Folder of BEAM's chats; what the user said is searched.")] = None,
    multihop: Annotated[Path | None, typer.Option(help="Folder with musique_migres.json.gz.")] = None,
    redocred: Annotated[
        Path | None,
        typer.Option(help="Folder of Re-DocRED: questions over two facts; its facts beside MuSiQue's, too."),
    ] = None,
    chat: Annotated[
        list[Path] | None, typer.Option(help="A conversation, as `memllm import-chat` reads it; may be repeated.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help='With --chat: [{"question": …, "evidence": [id or words of a message]}].')
    ] = None,
    minilm: Annotated[
        Path | None, typer.Option(help="Folder of MiniLM for sentence-transformers; by default the extra onnx.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="words, meaning, person or hops: a row without it; may be repeated.")
    ] = None,
    k: Annotated[str, typer.Option("--k", help="How many places are looked at.")] = "5,10",
    tokens: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Also how much is in what has room in so many tokens.")
    ] = None,
    kinds: Annotated[bool, typer.Option("--kinds", help="A table for each kind of question, too.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Keep the ranks by question in this file; no text is in it.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A file that --json kept: exit status 1 if a total of ours is lower now.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="With --compare: by how many points a total may be lower.")
    ] = 2.0,
) -> None:
    """Does recall find what answers? Ours beside BM25, vectors and their fusion, with 95 % bootstrap intervals.

    Without an option a small sample is asked that is shipped. Nothing is fetched; MiniLM is measured if
    the extra onnx is installed, or sentence-transformers and the model. MEMLLM_EMBEDDER=minilm or multilingual measures
    that embedder.
    """
    with _failures():
        from langchain_memllm.bench import report, rivals

        ks, ways = _ks(k), _ways(without or ())
        before = report.Report.load(compare) if compare is not None else None
        if json_file is not None:
            _check_replaceable(json_file, report.Report.load)
        corpora = _corpora(everyday, locomo, locomo_facts, beam, multihop, redocred, chat, questions)
        mini = rivals.minilm(minilm)
        with progress("questions") as told:
            embedder = embedder_name() or "english"
            made = report.measure(corpora, ks, without=ways, mini=mini, progress=told, embedder=embedder, tokens=tokens)
        for table in report.tables(made, kinds=kinds):
            out.print(table, markup=False)
        if json_file is not None:
            with written_beside(json_file) as file:
                made.write(file)
        if before is not None:
            _compare(made, before, tolerance)


@bench.command()
def gate(
    everyday: Annotated[Path | None, typer.Option(help="Folder of facts of a person, as benchmarks/recall.")] = None,
    locomo: Annotated[Path | None, typer.Option(help="File of LoCoMo: its messages.")] = None,
    beam: Annotated[Path | None, typer.Option(help="Folder of BEAM's chats; what the user said.")] = None,
    turns: Annotated[
        Path | None, typer.Option(help="Turns that need no memory: JSON lines as benchmarks/turns.jsonl.")
    ] = None,
    decider: Annotated[
        list[str] | None, typer.Option(help="rules, embedder, local or provider:model; may be repeated.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=MAX_RECALLED, help="Most facts, and most turns.")] = 10,
    max_tokens: Annotated[int, typer.Option(min=0, help="Most tokens of a block.")] = 600,
    sample: Annotated[int | None, typer.Option(min=1, help="Most questions of each memory.")] = None,
    tuning: Annotated[bool, typer.Option("--tuning", help="Also what thresholds were chosen on.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Keep the outcomes by turn in this file; no text is in it.")
    ] = None,
) -> None:
    """What does a memory gate spare, and what does it cost? Beside always showing all, and beside chance.

    Without an option the small sample is asked that is shipped. Nothing is fetched.
    """
    with _failures():
        from langchain_memllm.bench import data
        from langchain_memllm.bench.gate import GateReport, measure, tables
        from langchain_memllm.deciders import gate_of

        if json_file is not None:
            _check_replaceable(json_file, GateReport.load)
        names = list(dict.fromkeys(decider or ["rules", "embedder"]))
        deciders = {name: given for name in names if (given := gate_of(name)) is not None}
        corpora = [
            *(data.everyday(everyday) if everyday else ()),
            *(each for each in (data.locomo(locomo) if locomo else ()) if each.name == "LoCoMo, messages"),
            *(data.beam(beam, ["100K"]) if beam else ()),
        ] or data.sample()
        unneeding = [
            *(data.unneeding(turns) if turns else ()),
            *(each for corpus in corpora[:1] for each in corpus.questions if not each.gold),
        ]
        with progress("turns") as told:
            made = measure(
                corpora, unneeding, deciders, k=k, max_tokens=max_tokens, sample=sample, tuning=tuning, progress=told
            )
        for table in tables(made):
            out.print(table, markup=False)
        if json_file is not None:
            with written_beside(json_file) as file:
                made.write(file)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except MemLLMError as error:
        fail(str(error), exit_status(error))
    except KeyboardInterrupt:
        fail("stopped; nothing was kept", _STOPPED)


def _ks(given: str) -> tuple[int, ...]:
    parts = given.split(",")
    if not all(part.strip().isdecimal() and 1 <= int(part) <= MAX_RECALLED for part in parts):
        raise ConfigurationError(
            f"--k {given!r} is not a list of numbers from 1 to {MAX_RECALLED}; give some, as --k 5,10"
        )
    return tuple(sorted({int(part) for part in parts}))


def _ways(given: list[str] | tuple[()]) -> list[Way]:
    from langchain_memllm.bench.ours import WAYS

    if unknown := [each for each in given if each not in WAYS]:
        raise ConfigurationError(f"--without {unknown[0]!r} is unknown; give one of {', '.join(WAYS)}")
    return [way for way in WAYS if way in given]


def _check_goes_with(given: object, name: str, first: object, needed: str) -> None:
    if given and not first:
        raise ConfigurationError(f"{name} was given without {needed}; give both")


def _check_replaceable(file: Path, load: Callable[[Path], object]) -> None:
    """End before anything is measured, if the file cannot take the report: it is something else."""
    if not file.parent.is_dir():
        fail(f"{file.parent} is not a folder; make it, or give another file to --json", WRONG)
    if file.exists():
        try:
            load(file)
        except ConfigurationError as error:
            fail(f"{error}; nothing was replaced: give another file to --json", WRONG)


def _corpora(
    everyday: Path | None,
    locomo: Path | None,
    locomo_facts: Path | None,
    beam: Path | None,
    multihop: Path | None,
    redocred: Path | None,
    chat: list[Path] | None,
    questions: Path | None,
) -> list[Corpus]:
    from langchain_memllm.bench import data

    _check_goes_with(locomo_facts, "--locomo-facts", locomo, "--locomo")
    _check_goes_with(questions, "--questions", chat, "--chat")
    _check_goes_with(chat, "--chat", questions, "--questions")
    corpora = [
        *(data.everyday(everyday) if everyday else ()),
        *(data.musique(multihop, redocred) if multihop else ()),
        *(data.two_hop(redocred) if redocred else ()),
        *(data.locomo(locomo, locomo_facts) if locomo else ()),
        *(data.beam(beam) if beam else ()),
        *(data.chats(chat, questions) if chat and questions else ()),
    ]
    return corpora or data.sample()


def _compare(now: Report, before: Report, tolerance: float) -> None:
    from langchain_memllm.bench.report import changes

    lower = False
    for each in changes(now, before):
        is_lower = each.is_lower(tolerance)
        lower = lower or is_lower
        verdict = f"LOWER by more than {tolerance:g}" if is_lower else "as good"
        out.print(f"{each.name} @{each.k}: {each.now:.1f}, before {each.before:.1f}: {verdict}", markup=False)
    if lower:
        raise typer.Exit(_LOWER)
