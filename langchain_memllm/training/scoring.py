"""Probability of given text under a reader that asks its memory: what free generation would see, token by token.

The text is fixed (teacher forced); what the reader does in between is what it does at inference, by the rules of
``reading``. Three facts make that cheap, and none of them changes a number:

* When a query is written, no earlier call is in context: the query at a place depends on the text alone. It is written
  once and shared by all memories.
* Between two calls the context does not change, so the text after a call is scored in one pass up to the next opening.
* All these passes begin with the same text: its keys and values are computed once (``Page``), and the calls with what
  follows them are branches that see the text before them and themselves.

A run (one text under one memory) is a generator that yields what it needs (``Ask``, ``Lookup``, ``Branch``); ``drive``
serves many runs together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import torch

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import READ_OPEN, START, WAIT, render_queries
from langchain_memllm.local import MemLLMModel
from langchain_memllm.local.cache import new_cache
from langchain_memllm.local.vocabulary import Vocabulary
from langchain_memllm.reading import (
    Action,
    Call,
    Generate,
    Generated,
    Lookup,
    Reading,
    Results,
    Rules,
    Segment,
    advance,
)
from langchain_memllm.triples import Query

__all__ = ["Ask", "Branch", "Outcome", "Page", "Run", "Scores", "drive", "free_run", "off", "placed_run", "plain"]

RULES: Final = Rules(text_tokens=1 << 30, calls=1 << 30)
"""Of a text that is read to its end, whatever its length."""
_CHUNK: Final = 48  # tokens scored after a call before it is known where the next one opens
_TOGETHER: Final = 768  # tokens of branches in one pass

Tokens = tuple[int, ...]


class Scores(NamedTuple):
    """Log-probabilities at consecutive places from ``first`` on.

    ``token``: of the text's token; ``forbidden``: the same where no call may open, renormalised without the opening;
    ``opening``: that a call opens; ``opens``: whether that is the most probable.
    """

    first: int
    token: list[float]
    forbidden: list[float]
    opening: list[float]
    opens: list[bool]

    @property
    def end(self) -> int:
        """The first place after them."""
        return self.first + len(self.token)


def _scores(logits: torch.Tensor, first: int, tokens: Sequence[int], opening: torch.Tensor) -> Scores:
    """Of logits (N, V) and the N tokens that follow each."""
    logits = logits.float()
    right = torch.tensor(tokens, device=logits.device)
    whole = logits.logsumexp(dim=-1)
    of_token = logits.gather(1, right[:, None])[:, 0]
    of_opening = logits[:, opening]  # (N, O)
    opens = of_opening.max(dim=-1).values >= logits.max(dim=-1).values
    logits[:, opening] = -torch.inf
    rest = logits.logsumexp(dim=-1)
    columns = (of_token - whole, of_token - rest, of_opening.logsumexp(dim=-1) - whole, opens)
    return Scores(first, *(column.tolist() for column in columns))


def _opening(model: MemLLMModel) -> torch.Tensor:
    """Tokens that open a call.

    Raises:
        ConfigurationError: No single token does, so that an opening has no probability of its own.
    """
    if len(model.vocabulary.encode(START)) != 1:
        raise ConfigurationError(
            f"{model.name} writes {START!r} as several tokens; the evaluation needs a base that has it as one"
        )
    return torch.tensor(model.vocabulary.opening)


@torch.inference_mode()
def plain(model: MemLLMModel, before: Sequence[int], ids: Sequence[int], first: int = 0) -> Scores:
    """Scores of ``ids[first:]`` after ``before``, nothing in between; the very first token of all has none."""
    with model.role("read") as decoder:
        inputs = torch.tensor([[*before, *ids]], device=decoder.model.device)
        first = max(first, 1 - len(before))
        keep = len(ids) - first + 1
        logits = decoder.model(input_ids=inputs, use_cache=False, logits_to_keep=keep).logits[0, :-1]
        return _scores(logits, first, ids[first:], _opening(model).to(logits.device))


class Page:
    """A text whose keys and values are kept, so that what goes on after a part of it is computed alone.

    Args:
        model: The reader.
        ids: Tokens of the text.
    """

    @torch.inference_mode()
    def __init__(self, model: MemLLMModel, ids: Sequence[int]) -> None:
        """Encode the text."""
        self.model, self.ids = model, tuple(ids)
        self._bos = model.vocabulary.bos
        self._cache = new_cache()
        self._opening = _opening(model)
        self._branches: dict[tuple[int, Tokens], Scores] = {}
        with model.role("read") as decoder:
            inputs = torch.tensor([[*self._bos, *self.ids]], device=decoder.model.device)
            logits = decoder.model(input_ids=inputs, past_key_values=self._cache, use_cache=True).logits[0]
        first = 0 if self._bos else 1
        begin = len(self._bos) + first - 1
        self.plain = _scores(logits[begin:-1], first, self.ids[first:], self._opening.to(logits.device))

    def known(self, branch: Branch) -> Scores | None:
        """The scores of a branch, if they are there and reach far enough."""
        found = self._branches.get((branch.at, branch.call))
        return found if found is not None and found.end >= min(branch.end, len(self.ids)) else None

    @torch.inference_mode()
    def compute(self, branches: Sequence[Branch]) -> None:
        """Score the text after each branch's call, all in one pass."""
        rows = [(*branch.call, *self.ids[branch.at : branch.end - 1]) for branch in branches]
        held, new = len(self._bos) + len(self.ids), sum(map(len, rows))
        sees = torch.zeros((new, held + new), dtype=torch.bool)
        positions: list[int] = []
        begin = 0
        for branch, row in zip(branches, rows, strict=True):
            end, before = begin + len(row), len(self._bos) + branch.at
            sees[begin:end, :before] = True
            sees[begin:end, held + begin : held + end] = torch.ones(len(row), len(row)).tril().bool()
            positions += range(before, before + len(row))
            begin = end
        with self.model.role("read") as decoder:
            device, dtype = decoder.model.device, decoder.model.dtype
            mask = torch.zeros((1, 1, new, held + new), dtype=dtype)
            mask.masked_fill_(~sees, torch.finfo(dtype).min)
            logits = decoder.model(
                input_ids=torch.tensor([[token for row in rows for token in row]], device=device),
                attention_mask=mask.to(device),
                position_ids=torch.tensor([positions], device=device),
                past_key_values=self._cache,
                use_cache=True,
            ).logits[0]
        self._cache.crop(-new)
        begin = 0
        for branch, row in zip(branches, rows, strict=True):
            part = logits[begin + len(branch.call) - 1 : begin + len(row)]
            tokens = self.ids[branch.at : branch.end]
            self._branches[branch.at, branch.call] = _scores(part, branch.at, tokens, self._opening.to(part.device))
            begin += len(row)


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """The reader should write the query of a call at this place; ``action`` says until when."""

    at: int
    action: Generate


@dataclass(frozen=True, slots=True)
class Branch:
    """The text from ``at`` to ``end`` should be scored after this call."""

    at: int
    call: Tokens
    end: int


@dataclass(slots=True)
class Outcome:
    """What a run came to: negative log-likelihood of each token (0 where it has none), and calls with their place."""

    nll: list[float]
    calls: list[tuple[int, Call]] = field(default_factory=list)


Run = Generator[Ask | Lookup | tuple[Branch, ...], Any, Outcome]


def off(page: Page) -> Outcome:
    """Without memory: no call may open; its probability is taken out and the rest renormalised."""
    return Outcome([0.0] * page.plain.first + [-each for each in page.plain.forbidden])


def free_run(page: Page, least: float, charged: bool = False) -> Run:
    """The reader opens calls as at inference: greedily, at any token where that has at least this probability.

    Where a call opens, its probability is charged to the token that follows. Where none does though it might, the
    token's probability is that beside the opening; where the opening is less probable than ``least``, generation takes
    it out (``Sampling.opening``), and the token's probability is that among the others, unless ``charged``. A withdrawn
    call leaves the text as it was, and none may open there again.
    """
    outcome, reading = Outcome([0.0] * len(page.ids)), Reading("-", RULES)
    least_log = math.log(least) if least else -math.inf
    view, at, since = page.plain, page.plain.first, 0
    call: Tokens = ()
    opened_at = 0
    while at < len(page.ids):
        if at >= view.end:
            (view,) = yield (Branch(opened_at, call, len(page.ids)),)
        place = at - view.first
        improbable = view.opening[place] < least_log
        # at inference, a prompt stands before the first call
        if not at or (reading.blocked and at == since) or (improbable and not charged):
            outcome.nll[at] -= view.forbidden[place]
            at += 1
        elif view.opens[place] and not improbable:
            outcome.nll[at] -= view.opening[place]
            reading, call = yield from _opened(reading, page.model.vocabulary, outcome, at, at > since, None)
            since, opened_at, view = at, at, page.plain
            if call:
                (view,) = yield (Branch(at, call, min(at + _CHUNK, len(page.ids))),)
        else:
            outcome.nll[at] -= view.token[place]
            at += 1
    return outcome


def placed_run(page: Page, places: Mapping[int, tuple[Query, ...] | None]) -> Run:
    """A call opens at the given places, uncharged, and nowhere else; None: the reader writes its queries."""
    outcome, reading, since = off(page), Reading("-", RULES), 0
    branches = []
    for at, end in itertools.pairwise([*sorted(places), len(page.ids)]):
        reading, call = yield from _opened(reading, page.model.vocabulary, outcome, at, at > since, places[at])
        since = at
        if call:
            branches.append(Branch(at, call, end))
    views = (yield tuple(branches)) if branches else ()  # all in one pass: none decides where another opens
    for branch, view in zip(branches, views, strict=True):
        outcome.nll[branch.at : branch.end] = [-each for each in view.forbidden[: branch.end - branch.at]]
    return outcome


def _opened(
    reading: Reading,
    vocabulary: Vocabulary,
    outcome: Outcome,
    at: int,
    new_text: bool,
    queries: tuple[Query, ...] | None,
) -> Generator[Ask | Lookup, Any, tuple[Reading, Tokens]]:
    """Open a call by the rules; the reading after it, and the tokens of the call, none if it was withdrawn."""
    reading, action = advance(reading, Generated("-" if new_text else "", "stop", START, tokens=0))
    assert isinstance(action, Generate)
    if queries is None:
        written = yield Ask(at, action)
    else:
        written = Generated(render_queries(queries) + ")", "stop", WAIT)
    reading, after = advance(reading, written)
    if isinstance(after, Lookup):
        results = yield after
        reading, after = advance(reading, results)
    outcome.calls.append((at, reading.calls[-1]))
    if reading.live is None:
        return reading, ()
    return reading, tuple(_call_ids(reading, after, vocabulary))


def _call_ids(reading: Reading, action: Action, vocabulary: Vocabulary) -> list[int]:
    assert isinstance(action, Generate)
    segments = action.segments[1 + len(reading.pieces) :]
    return [token for segment in segments for token in vocabulary.encode(segment.text)]


# --- serving them -----------------------------------------------------------------------------------------------------

Key = tuple[int, str]
"""Number of the page, and which memory."""


def drive(
    model: MemLLMModel,
    pages: Sequence[Page],
    runs: Mapping[Key, Run],
    lookup: Callable[[str, Sequence[Query]], Results],
    batch_size: int,
    ahead: Iterable[tuple[int, int]] = (),
) -> dict[Key, Outcome]:
    """Serve runs until all are over; ``lookup`` answers for the memory named in the key.

    Queries are written last, when every run waits for one: then they are many. ``ahead``: numbers of pages and places
    in them at which a query will be asked for in any case; they are written together with the first ones.
    """
    due = set(ahead)
    outcomes: dict[Key, Outcome] = {}
    waiting: dict[Key, Ask | Lookup | tuple[Branch, ...]] = {}
    written: dict[tuple[int, int], Generated] = {}

    def go_on(key: Key, answer: Any) -> None:
        try:
            waiting[key] = runs[key].send(answer)
        except StopIteration as over:
            waiting.pop(key, None)
            outcomes[key] = over.value

    for key in runs:
        go_on(key, None)
    while waiting:
        ready = {key: request for key, request in waiting.items() if not isinstance(request, Ask)}
        if not ready:
            _write(model, pages, waiting, written, batch_size, due)
        _compute(pages, ready)
        for key, request in list(waiting.items()):
            if isinstance(request, Lookup):
                go_on(key, lookup(key[1], request.queries))
            elif isinstance(request, tuple):
                go_on(key, [pages[key[0]].known(branch) for branch in request])
            elif (key[0], request.at) in written:
                go_on(key, written[key[0], request.at])
    return outcomes


def _compute(pages: Sequence[Page], ready: Mapping[Key, Any]) -> None:
    """The branches that are wanted, each once and as far as the farthest, as many of a page in one pass as fit."""
    wanted: dict[int, dict[tuple[int, Tokens], Branch]] = {}
    for (number, _), request in ready.items():
        for branch in request if isinstance(request, tuple) else ():
            if pages[number].known(branch) is None:
                known = wanted.setdefault(number, {})
                place = (branch.at, branch.call)
                known[place] = max(known.get(place, branch), branch, key=lambda each: each.end)
    for number, branches in wanted.items():
        group: list[Branch] = []
        for branch in branches.values():
            size = sum(len(each.call) + each.end - each.at for each in (*group, branch))
            if group and size > _TOGETHER:
                pages[number].compute(group)
                group = []
            group.append(branch)
        pages[number].compute(group)


def _write(
    model: MemLLMModel,
    pages: Sequence[Page],
    waiting: Mapping[Key, Any],
    written: dict[tuple[int, int], Generated],
    batch_size: int,
    due: set[tuple[int, int]],
) -> None:
    """The queries that are wanted and those that will be, each once, together."""
    action = next(iter(waiting.values())).action
    wanted = sorted(({(number, request.at) for (number, _), request in waiting.items()} | due) - written.keys())
    due.clear()
    asked: dict[tuple[int, int], Generate] = {}
    for number, at in wanted:
        before = Segment("-", pages[number].ids[:at])
        asked[number, at] = replace(action, segments=(before, Segment(READ_OPEN)))
    queries = model.generate_steps(list(asked.values()), constrained=True, batch_size=batch_size)
    written |= zip(asked, queries, strict=True)
