"""Runs a causal LM step by step, with a key-value cache that is extended and cropped, never encoded again.

A *step* goes on after given token ids until a stop text, the end-of-text token or a number of tokens. The cache of the
longest known beginning of those ids is cropped to what it shares with them and extended with the rest; which caches
there are changes how long a step takes and never what comes out.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from transformers import Cache

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import START
from langchain_memllm.local.cache import PrefixCaches, new_cache
from langchain_memllm.local.constraint import Constraint, State, TokenIds
from langchain_memllm.local.together import run_together
from langchain_memllm.local.vocabulary import Vocabulary
from langchain_memllm.reading import Generated
from langchain_memllm.triples import stable_hash

__all__ = ["Asked", "Decoder", "Sampling"]


OPENING: Final = 0.3
"""Least probability at which a call opens; fitted on documents of the training split (benchmarks/DIARY.md)."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen: greedy by default.

    Args:
        temperature: 0 for greedy, else the divisor of the logits.
        top_p: Smallest set of tokens whose probability is at least this, in (0, 1].
        seed: The same seed and context give the same tokens, also after a resume.
        opening: A call opens only where its probability is at least this: before a name every token is improbable,
            and calls opened on the slightest chance cost more than they bring. 0: wherever the opening is chosen like
            any other token.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    opening: float = OPENING

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigurationError(f"temperature {self.temperature} is not zero or more; 0 is greedy")
        if not 0 < self.top_p <= 1:
            raise ConfigurationError(f"top_p {self.top_p} is not in (0, 1]; 1 keeps every token")
        if not 0 <= self.opening <= 1:
            raise ConfigurationError(
                f"opening {self.opening} is not a probability; 0 opens a call wherever it is chosen"
            )

    def chooser(self, ids: Sequence[int]) -> Callable[[torch.Tensor], int]:
        """A function from logits ``(V,)`` to a token; its random numbers depend on the seed and the context only."""
        if self.temperature == 0:
            return lambda logits: int(logits.argmax())
        random = torch.Generator()
        random.manual_seed(int(stable_hash(self.seed, *ids)[:15], 16))
        return lambda logits: self._sample(logits.float().cpu(), random)

    def _sample(self, logits: torch.Tensor, random: torch.Generator) -> int:
        probabilities = torch.softmax(logits / self.temperature, dim=-1)
        if self.top_p < 1:
            ordered, order = probabilities.sort(descending=True)
            ordered[ordered.cumsum(-1) - ordered >= self.top_p] = 0
            return int(order[torch.multinomial(ordered, 1, generator=random)])
        return int(torch.multinomial(probabilities, 1, generator=random))


class Decoder:
    """A model with its vocabulary and caches; one step at a time (the caller holds a lock)."""

    def __init__(self, model: Any, vocabulary: Vocabulary, caches: PrefixCaches) -> None:
        """Keep what is given; find the tokens that end a text."""
        self.model, self.vocabulary, self.caches = model, vocabulary, caches
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.window: int = getattr(model.config, "max_position_embeddings", None) or 1 << 30
        self._closing: dict[str, TokenIds] = {}
        self.ends = frozenset(end for end in (*ends, vocabulary.tokenizer.eos_token_id) if end is not None)

    @torch.inference_mode()
    def step(
        self,
        ids: Sequence[int],
        stops: Sequence[str],
        max_tokens: int,
        calls: Literal["allowed", "not_first", "never"],
        sampling: Sampling,
        constraint: Constraint | None = None,
    ) -> Generated:
        """Go on after ``ids`` until one of ``stops`` (in the text, wherever tokens end), the end token or the budget.

        ``calls``: whether ``({`` may be written; ``not_first``: not as the first thing. ``constraint``: the automaton
        that keeps what is written inside a call, whose end is among ``stops``.
        """
        step = _Step(self, ids, stops, max_tokens, calls, sampling, constraint)
        held, cache = self.caches.take(ids)
        pending = list(ids[len(held) :])
        while (token := step.choose(self._forward(pending, cache))) is not None:
            held += pending
            pending = [token]
        self.caches.give(held + pending, cache)
        return step.outcome

    def steps(self, asked: Sequence[Asked], sampling: Sampling, rows: int) -> list[Generated]:
        """Many steps, ``rows`` at a time, each as ``step`` makes it alone; no cache is kept."""
        steps = [_Step(self, *each[:4], sampling, each[4]) for each in asked]

        def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
            return [steps[number].choose(logits[at]) for at, number in enumerate(numbers)]

        run_together(self.model, [each[0] for each in asked], choose, rows=rows)
        return [step.outcome for step in steps]

    @torch.inference_mode()
    def logprobs(self, ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[float]:
        """Log-probability of each of several continuations of ``ids``; none may be empty."""
        width = max(map(len, continuations))
        rows = [[ids[-1], *each[:-1], *[0] * (width - len(each))] for each in continuations]  # what pads comes last
        inputs = torch.tensor(rows, device=self.model.device)
        cache = self.begun(ids[:-1], len(rows))
        logits = self.model(input_ids=inputs, past_key_values=cache, use_cache=True).logits.float()  # (B, T, V)
        values = logits.log_softmax(dim=-1)
        return [
            sum(float(values[row, at, token]) for at, token in enumerate(each))
            for row, each in enumerate(continuations)
        ]

    @torch.inference_mode()
    def begun(self, ids: Sequence[int], rows: int) -> Cache:
        """A cache that holds ``ids`` in each of so many rows; the beginning is encoded once and kept."""
        if not ids:
            return new_cache()
        held, cache = self.caches.take([*ids, -1])  # all of them may come from a cache
        if len(held) < len(ids):
            inputs = torch.tensor([ids[len(held) :]], device=self.model.device)
            self.model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        repeated = copy.deepcopy(cache)
        self.caches.give(list(ids), cache)
        repeated.batch_repeat_interleave(rows)
        return repeated

    def room(self, ids: Sequence[int]) -> int:
        """How many tokens fit after ``ids``."""
        if not 0 < len(ids) < self.window:
            raise ConfigurationError(
                f"a context of {len(ids)} tokens does not fit the model's {self.window}; shorten it"
            )
        return self.window - len(ids)

    def closing(self, mark: str) -> TokenIds:
        """Tokens that hold ``mark`` or end the text."""
        if mark not in self._closing:
            ids = {*self.vocabulary.holding(mark), *self.ends}
            self._closing[mark] = np.array(sorted(ids), dtype=np.int64)
        return self._closing[mark]

    def _forward(self, ids: list[int], cache: Cache) -> torch.Tensor:
        """Logits ``(V,)`` after ``ids``, which extend the cache."""
        inputs = torch.tensor([ids], device=self.model.device)  # (1, T)
        output = self.model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = output.logits[0, -1]
        return logits


Asked = tuple[Sequence[int], Sequence[str], int, Literal["allowed", "not_first", "never"], Constraint | None]
"""What ``step`` is given: ids, stop texts, most tokens, whether calls may open, and the automaton of a call."""


class _Step:
    """One step while it is made: what was written, and at last its outcome."""

    outcome: Generated

    def __init__(
        self,
        decoder: Decoder,
        ids: Sequence[int],
        stops: Sequence[str],
        max_tokens: int,
        calls: Literal["allowed", "not_first", "never"],
        sampling: Sampling,
        constraint: Constraint | None,
    ) -> None:
        self._decoder, self._calls, self._constraint = decoder, calls, constraint
        self._max_tokens = min(max_tokens, decoder.room(ids))
        self._chooser, self._least = sampling.chooser(ids), sampling.opening
        self._watch = _Watch(decoder.vocabulary, stops, ids)
        self._state = constraint.start() if constraint else None
        self._written: list[int] = []

    def choose(self, logits: torch.Tensor) -> int | None:
        """The next token by its logits ``(V,)``, which are changed; None when the step is over."""
        self._forbid(logits)
        if self._constraint and self._state is not None:
            _keep_inside(logits, self._constraint, self._state)
        token = self._chooser(logits)
        if token in self._decoder.ends or not bool(torch.isfinite(logits[token])):
            self.outcome = self._watch.finish(self._written, "end")
            return None
        self._written.append(token)
        self._state = self._constraint.step(self._state, token) if self._constraint and self._state else None
        found = self._watch.found(self._written)
        if found is None and len(self._written) >= self._max_tokens:
            found = self._watch.finish(self._written, "length")
        if found is None:
            return token
        self.outcome = found
        return None

    def _forbid(self, logits: torch.Tensor) -> None:
        """Take out the tokens that would open a call where none may, or that are too improbable."""
        watch, written, vocabulary = self._watch, self._written, self._decoder.vocabulary
        if self._calls == "allowed" or (self._calls == "not_first" and written and watch.tail(written) != START[0]):
            if self._least and not self._constraint:
                opening = logits[list(vocabulary.opening)].float().logsumexp(-1) - logits.float().logsumexp(-1)
                if float(opening) < math.log(self._least):
                    logits[list(vocabulary.opening)] = -math.inf
            return
        if watch.tail(written).endswith(START[0]):
            logits[list(vocabulary.brace)] = -math.inf
        logits[list(vocabulary.opening)] = -math.inf


def _keep_inside(logits: torch.Tensor, constraint: Constraint, state: State) -> None:
    """Take out every token that the automaton does not allow."""
    allowed = constraint.allowed(state)
    kept = torch.from_numpy(np.concatenate([allowed.going_on, allowed.closing])).to(logits.device)
    values = logits[kept]
    logits.fill_(-math.inf)
    logits[kept] = values


class _Watch:
    """Looks for stop texts in what is written; a token may hold one, end in the middle of one, or begin before one."""

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str], before: Sequence[int]) -> None:
        self._vocabulary, self._stops, self._before = vocabulary, tuple(stops), before
        self._window = 4 + 4 * max(map(len, stops), default=0)  # a character has at most four tokens

    def tail(self, written: list[int]) -> str:
        """The end of the text: enough of it to hold any stop text."""
        before = self._before if len(written) <= self._window else written[: -self._window]
        return self._vocabulary.decode(written[-self._window :], before[-8:])

    def found(self, written: list[int]) -> Generated | None:
        """The step's outcome if a stop text is in the text now; the first one counts."""
        tail = self.tail(written)
        if not any(stop in tail for stop in self._stops):
            return None
        text = self._vocabulary.decode(written, self._before)
        places = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if not places:
            return None
        at, stop = min(places)
        ids = self._vocabulary.cut(written, at, self._before)
        return Generated(text[:at], "stop", stop, ids, tokens=len(ids))

    def finish(self, written: list[int], reason: Literal["end", "length"]) -> Generated:
        """The step's outcome when no stop text came."""
        ids = tuple(self._vocabulary.whole(written, self._before))
        return Generated(self._vocabulary.decode(ids, self._before), reason, "", ids, tokens=len(ids))
