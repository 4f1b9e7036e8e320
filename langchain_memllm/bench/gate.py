"""What a memory gate saves and what it costs: ``memllm bench gate``.

Each memory is asked its questions, and as many turns that need no memory. Beside each gate stand the same recall always
shown whole; the same cut to the tokens that the gate took; and a gate that lets through at random, at the same rates.
A piece of evidence counts as shown if its turn is, in whatever form; as held if what is shown of it also has every word
of the expected answer that the turn has, or of the question, where it has none of the answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, get_args

from rich.markup import escape
from rich.table import Table

from langchain_memllm import recalled
from langchain_memllm.bench import reportfile
from langchain_memllm.bench.data import Asked, Corpus
from langchain_memllm.bench.scoring import SEED
from langchain_memllm.decisions import Action, Decision
from langchain_memllm.factindex import stems_of
from langchain_memllm.flow import Flow, done, run
from langchain_memllm.gate import Asked as Turn
from langchain_memllm.gate import Decider, Grade, Judgement
from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.recall import STOPWORDS
from langchain_memllm.recalled import Found, Show
from langchain_memllm.render import MOST_QUOTED, approximate_tokens, render
from langchain_memllm.training.scores import Figure, figure, mean
from langchain_memllm.triples import Namespace, Recall, Source

__all__ = [
    "ALWAYS",
    "WITHOUT",
    "Case",
    "GateReport",
    "Outcome",
    "cases_of",
    "lines",
    "measure",
    "percent",
    "tables",
    "times",
]

ALWAYS: Final = "always, in full"
WITHOUT: Final = "no gate, the threshold of recall"
_FORM: Final = "memllm bench gate"
_ANY: Final = 1 << 30  # tokens
_NAMESPACE: Final[Namespace] = ("memllm", "bench")
_TUNED: Final = ("conv-26", "conv-30", "conv-41", *(f"100K_{number:02}" for number in range(1, 6)))
"""What thresholds were chosen on, by the beginning of the ids; of ``turns.jsonl`` every other turn."""


@dataclass(frozen=True, slots=True)
class Case:
    """A turn that is asked of a memory."""

    asked: Asked
    corpus: int
    needed: bool
    part: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way of deciding made of a turn: whether it was let through, tokens of the block, evidence in [0, 1]."""

    through: bool
    tokens: int
    shown: float
    held: float


@dataclass(frozen=True, slots=True)
class Row:
    """A turn in the report, without a word of it: its outcomes by the name of the way."""

    id: str
    needed: bool
    part: str
    outcomes: dict[str, Outcome]


@dataclass(frozen=True, slots=True)
class GateReport:
    """Rows by the name of their set, and what was measured how."""

    sets: dict[str, list[Row]]
    about: dict[str, Any]

    def write(self, file: IO[str]) -> None:
        """Write it as JSON, a turn a line: outcomes are (let through, tokens, evidence shown, evidence held)."""
        head = {"form": _FORM, "about": self.about}
        reportfile.write(file, head, {name: map(_compact, rows) for name, rows in self.sets.items()})

    @classmethod
    def load(cls, file: Path) -> GateReport:
        """Read one that was written.

        Raises:
            ConfigurationError: It cannot be read, or is not a report of gates.
        """
        return reportfile.load(file, _FORM, cls._read)

    @classmethod
    def _read(cls, held: dict[str, Any]) -> GateReport:
        return cls({name: [_row(**each) for each in rows] for name, rows in held["sets"].items()}, held["about"])


def _compact(row: Row) -> dict[str, Any]:
    told = {n: [int(o.through), o.tokens, round(o.shown, 4), round(o.held, 4)] for n, o in row.outcomes.items()}
    return {"id": row.id, "needed": row.needed, "part": row.part, "outcomes": told}


def _row(*, id: str, needed: bool, part: str, outcomes: dict[str, list[float]]) -> Row:
    read = {name: Outcome(bool(t), int(tokens), shown, held) for name, (t, tokens, shown, held) in outcomes.items()}
    return Row(id, needed, part, read)


# --- what is asked ----------------------------------------------------------------------------------------------------


def cases_of(
    corpora: Sequence[Corpus], unneeding: Sequence[Asked], sample: int | None = None, *, tuning: bool = False
) -> list[Case]:
    """The questions of each memory, and as many turns that need none: those nothing answers, and some of others.

    Args:
        corpora: Memories with their questions.
        unneeding: Turns that need no memory, dealt out in order.
        sample: Most questions of each memory, drawn evenly; None: all.
        tuning: Also those on which thresholds were chosen.
    """
    unneeding = unneeding if tuning else [each for each in unneeding if not _is_tuned(each)]
    cases: list[Case] = []
    at = 0
    for number, corpus in enumerate(corpora):
        needing = _evenly([each for each in corpus.questions if each.gold], sample)
        own = [each for each in corpus.questions if not each.gold]
        dealt = [unneeding[(at + place) % len(unneeding)] for place in range(len(needing))] if unneeding else []
        at += len(dealt)
        of_tuned = any(each.id.startswith(_TUNED) for each in needing)
        cases += [Case(each, number, True, _part(of_tuned)) for each in needing]
        cases += [
            Case(each, number, False, _part(of_tuned or _is_tuned(each))) for each in (*_evenly(own, sample), *dealt)
        ]
    return [case for case in cases if tuning or case.part == "test"]


def _is_tuned(asked: Asked) -> bool:
    """Whether a turn was looked at when thresholds were chosen: every other one of ``turns.jsonl``."""
    kind, _, number = asked.id.partition("/")
    return kind == "turns" and number.isdecimal() and int(number) % 2 == 0


def _part(is_tuned: bool) -> str:
    return "tuning" if is_tuned else "test"


def _evenly(asked: Sequence[Asked], most: int | None) -> list[Asked]:
    if most is None or len(asked) <= most:
        return list(asked)
    return [asked[place * len(asked) // most] for place in range(most)]


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Looked:
    """A turn, what was found for it, what recall shows without a gate, and the evidence that facts and turns carry."""

    case: Case
    found: Found
    plain: Recall
    carried: Mapping[str, frozenset[str]]


def measure(
    corpora: Sequence[Corpus],
    unneeding: Sequence[Asked],
    deciders: Mapping[str, Decider],
    *,
    k: int = 10,
    max_tokens: int = 600,
    sample: int | None = None,
    tuning: bool = False,
    progress: Callable[[int, int], object] = lambda done, of: None,
) -> GateReport:
    """Ask every turn, and let every gate decide about the same recall.

    Args:
        corpora: What is kept and asked; those with one name are one set.
        unneeding: Turns that need no memory, asked of each.
        deciders: Gates, by their names.
        k: Most facts, and most turns.
        max_tokens: Most tokens of a block.
        sample: Most questions of each memory.
        tuning: Also what thresholds were chosen on.
        progress: Told how many turns were looked up and decided, and of how many.
    """
    cases = cases_of(corpora, unneeding, sample, tuning=tuning)
    of, ready = len(cases) * (1 + len(deciders)), 0
    sets: dict[str, list[_Looked]] = {}
    for number, corpus in enumerate(corpora):
        some = [case for case in cases if case.corpus == number]
        for each in _looked(corpus, some, k, max_tokens) if some else ():
            sets.setdefault(corpus.name, []).append(each)
            ready += 1
            progress(ready, of)
    rows: dict[str, list[Row]] = {}
    for name, looked in sets.items():
        ways = {WITHOUT: [_outcome(each, each.plain) for each in looked], ALWAYS: _always(looked, max_tokens)}
        for gate, decider in deciders.items():
            let = []
            for each in looked:
                let.append(_let(each.found, decider, max_tokens))
                ready += 1
                progress(ready, of)
            ways[gate] = [_outcome(each, recall) for each, recall in zip(looked, let, strict=True)]
            ways[f"in full, as many tokens as {gate}"] = _as_many(looked, ways[gate], max_tokens)
            drawn = _Drawn([recall.decision for recall in let if recall.decision is not None])
            ways[f"at random, at the rates of {gate}"] = [
                _outcome(each, _let(each.found, drawn, max_tokens)) for each in looked
            ]
        rows[name] = [
            Row(each.case.asked.id, each.case.needed, each.case.part, {way: made[at] for way, made in ways.items()})
            for at, each in enumerate(looked)
        ]
    return GateReport(rows, {"k": k, "max_tokens": max_tokens, "gates": list(deciders), "sample": sample})


def _looked(corpus: Corpus, cases: Sequence[Case], k: int, max_tokens: int) -> Iterator[_Looked]:
    """Keep what a corpus holds, and look up each turn."""
    said = any(item.turn for item in corpus.items)
    show: Show = "turns" if said else "facts"
    with Memory() as memory:
        hub = Hub(memory)
        carried = _keep_turns(corpus, hub) if said else _keep_facts(corpus, memory)
        for case in cases:
            text, where = case.asked.text, [_NAMESPACE]
            found = recalled.look(memory, hub, text, where, show=show, k=k, speaker=corpus.speaker)
            plain = recalled.recall(
                memory, hub, text, where, show=show, k=k, max_tokens=max_tokens, speaker=corpus.speaker
            )
            yield _Looked(case, found, plain, carried)


def _keep_turns(corpus: Corpus, hub: Hub) -> dict[str, frozenset[str]]:
    turns = {item.turn.id: item for item in corpus.items if item.turn}
    said = (item.turn for item in turns.values() if item.turn)
    hub.keep(  # in a conversation of two people both are persons, whose words are shown
        [replace(turn, kind="user") if turn.role == "user" else turn for turn in said], namespace=_NAMESPACE
    )
    return {name: item.evidence for name, item in turns.items()}


def _keep_facts(corpus: Corpus, memory: Memory) -> dict[str, frozenset[str]]:
    carried: dict[str, frozenset[str]] = {}
    for item in corpus.items:
        source = Source("user", text=item.sentence or None, at=item.at)
        for outcome in memory.write([item.triple], namespace=_NAMESPACE, source=source):
            if outcome.fact_id is not None:
                carried[outcome.fact_id] = carried.get(outcome.fact_id, frozenset()) | item.evidence
    return carried


def _let(found: Found, decider: Decider, max_tokens: int) -> Recall:
    return run(recalled.through(found, decider, max_tokens=max_tokens))


class _All:
    """Lets all through, in full."""

    def judge(self, asked: Turn) -> Flow[Judgement]:
        """See ``Decider.judge``."""
        return done(Judgement(True, "always", tuple(Grade("full", "always") for _ in asked.items), "always"))


class _Drawn:
    """Lets through as often as a gate did, whatever is asked, and of what it lets through as much."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        """Count."""
        passed = [each for each in decisions if each.needed]
        self._rate = len(passed) / max(len(decisions), 1)
        self._weights = [sum(each.count(action) for each in passed) for action in get_args(Action)]
        self._random = random.Random(SEED)  # noqa: S311 - chance, no secret

    def judge(self, asked: Turn) -> Flow[Judgement]:
        """See ``Decider.judge``."""
        needed = self._random.random() < self._rate
        drawn = self._random.choices(
            get_args(Action), self._weights if any(self._weights) else None, k=len(asked.items)
        )
        return done(Judgement(needed, "drawn", tuple(Grade(action, "drawn") for action in drawn), "random"))


def _always(looked: Sequence[_Looked], max_tokens: int) -> list[Outcome]:
    """All in full, the last left out where the block is too small."""
    return [_outcome(each, _let(_whole(each.found), _All(), max_tokens)) for each in looked]


def _whole(found: Found) -> Found:
    items = tuple(replace(item, summary="") for item in found.asked.items)
    return replace(found, asked=replace(found.asked, items=items))


def _as_many(looked: Sequence[_Looked], gate: Sequence[Outcome], max_tokens: int) -> list[Outcome]:
    """All in full, in the largest block with which no more tokens are shown altogether than the gate shows."""
    most = sum(each.tokens for each in gate)
    sizes = [_sizes(each.found) for each in looked]
    low, high = 0, max_tokens
    while low < high:
        middle = (low + high + 1) // 2
        shown = sum(max((size for size in some if size <= middle), default=0) for some in sizes)
        low, high = (middle, high) if shown <= most else (low, middle - 1)
    return _always(looked, low)


def _sizes(found: Found) -> list[int]:
    """Tokens of a block with the first of what was found, the first two, and so on."""
    facts, quotes = found.facts.matches, tuple(each.quote for each in found.turns)
    shown = [(facts[:count], quotes[: max(0, count - len(facts))]) for count in range(1, len(facts) + len(quotes) + 1)]
    return [approximate_tokens(render(replace(found.facts, matches=m, quotes=q), _ANY)) for m, q in shown]


def _outcome(looked: _Looked, recall: Recall) -> Outcome:
    """How much of the evidence is shown, and held."""
    asked, decision = looked.case.asked, recall.decision
    shown = {match.fact.id for match in recall} | {quote.turn for quote in recall.quotes}
    full = {item.id: item.text for item in looked.found.asked.items}
    held = {match.fact.id for match in recall}
    held |= {q.turn for q in recall.quotes if holds(asked, full.get(q.turn, q.text), q.text[:MOST_QUOTED])}
    through = bool(recall.block) if decision is None else decision.needed
    return Outcome(through, recall.tokens, _share(looked, shown), _share(looked, held))


def _share(looked: _Looked, ids: set[str]) -> float:
    gold = looked.case.asked.gold
    if not gold:
        return 0.0
    found = gold & frozenset().union(*(looked.carried.get(each, frozenset()) for each in ids))
    return len(found) / len(gold) if looked.case.asked.every else float(bool(found))


def holds(asked: Asked, text: str, shown: str) -> bool:
    """Whether what is shown of a turn has every word of the answer that the turn has; or of the question, if none."""
    said = _words(text)
    return ((_words(asked.answer) & said) or (_words(asked.text) & said)) <= _words(shown)


def _words(text: str) -> frozenset[str]:
    return frozenset(stems_of(text)) - _COMMON


_COMMON: Final = frozenset(stems_of(" ".join(sorted(STOPWORDS))))


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: means over the turns of one part of a set, with intervals over turns.

    Args:
        name: The way of deciding.
        through: Share of the turns that need memory that were let through.
        spared: Share of the others that were not.
        shown: Evidence shown, over the turns that need memory.
        held: Evidence held.
        needed_tokens: Tokens of a turn that needs memory.
        other_tokens: Tokens of one that needs none.
        ratio: Tokens of all turns over those of always showing all; questions and other turns count alike.
        needed_ratio: The same over the turns that need memory alone.
        loss: Evidence held less that of always showing all, in the same turns.
    """

    name: str
    through: Figure
    spared: Figure
    shown: Figure
    held: Figure
    needed_tokens: Figure
    other_tokens: Figure
    ratio: Figure
    needed_ratio: Figure
    loss: Figure


def lines(rows: Sequence[Row]) -> list[Line]:
    """The table of some rows."""
    needing = [row for row in rows if row.needed]
    others = [row for row in rows if not row.needed]
    return [_line(name, needing, others) for name in rows[0].outcomes]


def _line(name: str, needing: Sequence[Row], others: Sequence[Row]) -> Line:
    of, rest = [row.outcomes[name] for row in needing], [row.outcomes[name] for row in others]
    base = [row.outcomes[ALWAYS] for row in needing]
    base_rest = [row.outcomes[ALWAYS] for row in others]
    scale = len(of) / max(len(rest), 1)  # questions and other turns count alike
    both = [(o.tokens, b.tokens) for o, b in zip(of, base, strict=True)]
    weighed = [(scale * o.tokens, scale * b.tokens) for o, b in zip(rest, base_rest, strict=True)]
    return Line(
        name,
        _mean([float(each.through) for each in of]),
        _mean([float(not each.through) for each in rest]),
        _mean([each.shown for each in of]),
        _mean([each.held for each in of]),
        _mean([each.tokens for each in of]),
        _mean([each.tokens for each in rest]),
        _ratio([*both, *weighed]),
        _ratio(both),
        _mean([o.held - b.held for o, b in zip(of, base, strict=True)]),
    )


def _mean(values: Sequence[float]) -> Figure:
    return figure("", [(value, 1.0) for value in values], mean, seed=SEED, count=len(values))


def _ratio(pairs: Sequence[tuple[float, float]]) -> Figure:
    return figure("", pairs, mean, seed=SEED, count=len(pairs))


def tables(report: GateReport) -> Iterator[Table]:
    """A table of each part of each set."""
    for name, rows in report.sets.items():
        for part in ("tuning", "test"):
            some = [row for row in rows if row.part == part]
            if any(row.needed for row in some):
                yield _table(f"{name}; {part}", some)


_HEADS: Final = ("let through", "spared", "shown", "held", "loss", "tokens", "of others", "questions alone", "ratio")


def _table(title: str, rows: Sequence[Row]) -> Table:
    needed = sum(row.needed for row in rows)
    table = Table("way", *_HEADS, title=escape(f"{title} ({needed} + {len(rows) - needed})"), title_justify="left")
    for each in lines(rows):
        ratio = each.ratio
        table.add_row(
            each.name,
            *(percent(share) for share in (each.through, each.spared, each.shown, each.held)),
            percent(each.loss, interval=True),
            *(
                f"{tokens.value:.0f}" if tokens.value is not None else "–"
                for tokens in (each.needed_tokens, each.other_tokens)
            ),
            *(times(share) for share in (each.needed_ratio, ratio)),
        )
    return table


def percent(share: Figure, *, interval: bool = False) -> str:
    """A share in percent, with its interval if it is asked for."""
    low, value, high = (100 * (each or 0.0) for each in (share.low, share.value, share.high))
    if share.value is None:
        return "–"
    return f"{value:z.1f} [{low:z.1f}, {high:z.1f}]" if interval else f"{value:z.1f}"


def times(share: Figure) -> str:
    """A ratio with its interval."""
    if share.value is None:
        return "–"
    return f"{share.value:.2f} [{share.low or 0:.2f}, {share.high or 0:.2f}]"
