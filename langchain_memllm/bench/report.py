"""The report: measured, kept as ranks without any text, printed as tables, compared with an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final

from rich.markup import escape
from rich.table import Table

from langchain_memllm.bench import reportfile
from langchain_memllm.bench.data import Asked, Corpus
from langchain_memllm.bench.ours import OURS, Ranking, Way, ours, ways_of
from langchain_memllm.bench.rivals import Encode, rivals
from langchain_memllm.bench.scoring import (
    Answer,
    both,
    difference,
    firsts_of,
    newer_first,
    places_within,
    ranks_of,
    total,
)
from langchain_memllm.embeddings import EmbedderName
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import MAX_RECALLED
from langchain_memllm.training.scores import Figure

__all__ = ["Change", "Report", "changes", "measure", "tables"]

_FORM: Final = "memllm bench recall"
_MINILM: Final = "MiniLM"
_LEAST_TOKENS: Final = 4  # of a fact or message: as many are found as could have room


@dataclass(frozen=True, slots=True)
class Report:
    """Answers by the name of their set, and what was measured how.

    Args:
        ks: The numbers of places looked at.
        sets: The answers.
        about: Of the version and the embedders.
        tokens: Tokens that what was found may have together, too; None: not measured.
    """

    ks: tuple[int, ...]
    sets: dict[str, list[Answer]]
    about: dict[str, Any]
    tokens: int | None = None

    @property
    def cuts(self) -> dict[str, int | None]:
        """What of the found is looked at, by its heading: numbers of places, and None for as many as have room."""
        return {f"@{k}": k for k in self.ks} | ({} if self.tokens is None else {f"at {self.tokens} tokens": None})

    def write(self, file: IO[str]) -> None:
        """Write it as JSON, an answer a line."""
        head: dict[str, Any] = {"form": _FORM, "k": list(self.ks), "about": self.about}
        if self.tokens is not None:
            head["tokens"] = self.tokens
        reportfile.write(file, head, {name: map(_compact, answers) for name, answers in self.sets.items()})

    @classmethod
    def load(cls, file: Path) -> Report:
        """Read one that was written.

        Raises:
            ConfigurationError: It cannot be read, or is not a report of recall.
        """
        return reportfile.load(file, _FORM, cls._read)

    @classmethod
    def _read(cls, held: dict[str, Any]) -> Report:
        sets = {name: [_answer(**each) for each in answers] for name, answers in held["sets"].items()}
        tokens = held.get("tokens")
        return cls(tuple(map(int, held["k"])), sets, dict(held["about"]), None if tokens is None else int(tokens))


def _answer(*, ranks: dict[str, list[int]], wanted: int, **rest: Any) -> Answer:
    if wanted and OURS not in ranks:
        raise ValueError(f"a question has no ranks of {OURS!r}")
    return Answer(ranks={name: list(map(int, each)) for name, each in ranks.items()}, wanted=int(wanted), **rest)


def _compact(answer: Answer) -> dict[str, Any]:
    told = asdict(answer)
    return {name: value for name, value in told.items() if value is not None}


def measure(
    corpora: Sequence[Corpus],
    ks: Sequence[int],
    *,
    without: Sequence[Way] = (),
    mini: Encode | None = None,
    progress: Callable[[int, int], object] = lambda done, of: None,
    embedder: EmbedderName = "english",
    tokens: int | None = None,
) -> Report:
    """Ask every question of every corpus, by every method, over the same facts or messages.

    Args:
        corpora: What is kept and asked; those with one name are one set.
        ks: How many places are looked at.
        without: Ways to leave out, each in a row of its own.
        mini: MiniLM, if there is one.
        progress: Told how many questions were asked of the memory, and of how many.
        embedder: The memory's.
        tokens: Also measure what has room in so many tokens.
    """
    done, most = 0, max(*ks, min((tokens or 0) // _LEAST_TOKENS, MAX_RECALLED))
    of = sum(len(corpus.questions) * (1 + len(ways_of(corpus, without))) for corpus in corpora)

    def told(more: int) -> None:
        nonlocal done
        done += more
        progress(done, of)

    sets: dict[str, list[Answer]] = {}
    for corpus in corpora:
        found = ours(corpus, most, without, told, embedder)
        places = rivals([item.text for item in corpus.items], [asked.text for asked in corpus.questions], mini)
        for name, rankings in places.items():
            found[name] = [[corpus.items[place] for place in ranking[:most]] for ranking in rankings]
        answers = sets.setdefault(corpus.name, [])
        for number, asked in enumerate(corpus.questions):
            answers.append(_answered(asked, {name: each[number] for name, each in found.items()}, max(ks), tokens))
    about = {
        "version": metadata.version("langchain-memllm"),
        "embedder": embedder,
        _MINILM: "measured" if mini else "not installed",
    }
    return Report(tuple(ks), sets, about, tokens)


def _answered(asked: Asked, found: dict[str, Ranking], k: int, tokens: int | None) -> Answer:
    """How a question was answered by each method: among the first ``k``, and among those that have room."""
    within = None
    if tokens is not None and asked.gold:
        within = {name: places_within(tokens, ranking) for name, ranking in found.items()}
    carried = {
        name: [item.evidence for item in ranking[: max(k, (within or {}).get(name, 0))]]
        for name, ranking in found.items()
    }
    ranks = {name: ranks_of(asked, each) for name, each in carried.items()} if asked.gold else {}
    shown = None if asked.gold else min(len(found[OURS]), k)
    firsts = {name: firsts_of(asked, each) for name, each in carried.items()} if asked.parts else None
    return Answer(asked.id, asked.kind, asked.total, len(asked.gold), asked.every, ranks, shown, firsts, within)


def _parts(answers: Sequence[Answer], kinds: bool = False) -> Iterator[tuple[str, list[Answer]]]:
    """The totals of a set, and each kind of question; those that nothing answers are in none."""
    named: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.wanted:
            named.setdefault(answer.total, []).append(answer)
    for answer in answers if kinds else ():
        if answer.wanted and answer.kind:
            named.setdefault(f"{answer.total}, {answer.kind}", []).append(answer)
    yield from named.items()


def tables(report: Report, *, kinds: bool = False) -> Iterator[Table | str]:
    """Tables of each set, and what was shown for questions that nothing answers.

    Args:
        report: What was measured.
        kinds: Whether each kind of question has a table of its own, too.
    """
    for name, answers in report.sets.items():
        for part, some in _parts(answers, kinds):
            yield _table(f"{name}; {part} ({len(some)})", some, report)
        if shown := [each.shown for each in answers if each.shown is not None]:
            mean = sum(shown) / len(shown)
            yield f"{name}: {mean:.2f} shown for a question that nothing answers ({len(shown)})"
        if parted := [each for each in answers if each.firsts]:
            yield from _parted(name, parted, report.ks)


def _parted(name: str, answers: Sequence[Answer], ks: Sequence[int]) -> Iterator[Table]:
    """Whether both sides of a contradiction came, and whether a new value came above the old one."""
    for kind, words, measured in (
        ("contradiction resolution", "both sides of a contradiction", both),
        ("knowledge update", "the new value above the old, where both came", newer_first),
    ):
        if some := [each for each in answers if each.kind == kind]:
            title = escape(f"{name}; {words} ({len(some)})")
            table = Table("method", *(f"@{k}" for k in ks), title=title, title_justify="left")
            for method in some[0].firsts or {}:
                figures = [measured(some, method, k) for k in ks]
                table.add_row(
                    method, *(f"{_percent(each)}, of {each.count}" if each.count else "none" for each in figures)
                )
            yield table


def _table(title: str, answers: Sequence[Answer], report: Report) -> Table:
    cuts = report.cuts
    table = Table("method", *cuts, title=escape(title), title_justify="left")
    methods = list(answers[0].ranks)
    figures = {method: [total(answers, method, k) for k in cuts.values()] for method in methods}
    for method in methods:
        table.add_row(method, *map(_percent, figures[method]))
    if report.about.get(_MINILM) == "not installed":
        table.add_row(_MINILM, *["not installed" for _ in cuts])
    others = [method for method in methods if not method.startswith(OURS)]
    best = [max(others, key=lambda each: figures[each][place].value or 0.0) for place in range(len(cuts))]
    gains = [difference(answers, OURS, other, k) for other, k in zip(best, cuts.values(), strict=True)]
    table.add_row("ours less the best other", *(f"{_percent(gain, '+')} {gain.name}" for gain in gains))
    return table


def _percent(figure: Figure, sign: str = "") -> str:
    low, value, high = (100 * (each or 0.0) for each in (figure.low, figure.value, figure.high))
    return f"{value:{sign}z.1f} [{low:z.1f}, {high:z.1f}]"


@dataclass(frozen=True, slots=True)
class Change:
    """A total of ours beside that of an earlier report, both in percent."""

    name: str
    k: int
    before: float
    now: float

    def is_lower(self, tolerance: float) -> bool:
        """Whether it is lower by more than so many points."""
        return self.before - self.now > tolerance + 1e-9


def changes(now: Report, before: Report) -> list[Change]:
    """The totals of ours that both reports hold.

    Raises:
        ConfigurationError: They hold none in common, or a set asks other questions than before.
    """
    found = []
    for name in (name for name in now.sets if name in before.sets):
        asked, once = ({each.id: (each.wanted, each.total) for each in report.sets[name]} for report in (now, before))
        if asked != once:
            differing = sorted(asked.items() ^ once.items())[0][0]
            raise ConfigurationError(
                f"the questions of {name!r} are not those of the earlier report (question {differing!r} differs); "
                "measure that again with --json"
            )
        then = dict(_parts(before.sets[name]))
        for part, answers in _parts(now.sets[name]):
            for k in (k for k in now.ks if k in before.ks):
                was, is_ = (100 * (total(each, OURS, k).value or 0.0) for each in (then[part], answers))
                found.append(Change(f"{name}; {part}", k, was, is_))
    if not found:
        raise ConfigurationError(
            f"the earlier report has other sets ({', '.join(before.sets) or 'none'}; k {before.ks}) than this run "
            f"({', '.join(now.sets)}; k {now.ks}); give the same options"
        )
    return found
