"""Interleaved generation against plain generation, on SmolLM2-135M.

    python benchmarks/bench_reader.py [--rounds 5] [--context 512] [--text 100] [--calls 3]

The tokens that are "generated" are given (text, queries, answers), so the three loops do the same work whatever the
model would have said; every token still costs its forward pass:

* ours: one key-value cache, cropped and extended at each call;
* plain: ``transformers``' ``generate`` of as many tokens as ours generates (text, queries and their marks) after the
  same prompt: what the model costs without a memory;
* again: the same readings with one ``generate`` for each piece of text and each query, which encodes the whole context
  again, as the paper's code does.

Goals: plain / ours >= 0.9 and again / ours >= 2. Rounds are interleaved; the medians count. On a machine that others
use, set ``OMP_WAIT_POLICY=PASSIVE``: torch's threads otherwise wait for each other by spinning, and figures are noise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from langchain_memllm.grammar import READ_WAIT, START
from langchain_memllm.local import MemLLMModel, Sampling
from langchain_memllm.reading import Done, Generated, Lookup, Reading, Results, Rules, advance, next_action

TEXT = (
    "The old library stands on a hill above the harbour, and every morning its doors are opened by a woman who has "
    "worked there for thirty years. She knows each shelf, the names of the ships that brought the books, and the "
    "people who read them. In winter the stoves are lit before dawn. "
)
GOALS = {"plain": 0.9, "again": 2.0}
RESULTS = Path(__file__).parent / "results" / "reader.json"


@dataclass(frozen=True)
class Forced(Sampling):
    """Chooses given tokens, one after the other."""

    tokens: tuple[int, ...] = ()

    def chooser(self, ids: Sequence[int]) -> Callable[[torch.Tensor], int]:
        """Ignore the logits, but wait for them, as a real choice does."""
        tokens = iter(self.tokens)

        def choose(logits: torch.Tensor) -> int:
            logits.argmax().item()
            return next(tokens)

        return choose


@dataclass(frozen=True)
class Script:
    """What is said: a prompt, pieces of text with a call between two of them, and the answers."""

    prompt: str
    pieces: tuple[tuple[int, ...], ...]
    queries: tuple[tuple[int, ...], ...]
    answers: tuple[str, ...]

    @property
    def generated(self) -> int:
        """Tokens that the model generates, opening marks and query ends included."""
        return sum(map(len, self.pieces)) + sum(map(len, self.queries))


def script(model: MemLLMModel, context: int, text: int, calls: int) -> Script:
    """A script of ``text`` tokens after ``context`` tokens, with evenly spread calls."""
    vocabulary = model.vocabulary
    tokens = vocabulary.encode(TEXT * (2 + (context + text) // 40))
    opening = vocabulary.encode(START)
    size = text // (calls + 1)
    said = tokens[context : context + text]
    bounds = [size * number for number in range(calls + 1)] + [text]
    pieces = [tuple(said[start:end]) for start, end in pairwise(bounds)]
    return Script(
        prompt=vocabulary.decode(tokens[:context]),
        pieces=tuple((*piece, *opening) if number < calls else piece for number, piece in enumerate(pieces)),
        queries=tuple(
            tuple(vocabulary.encode(f"Harbour library {number}>>located in>>{READ_WAIT}")) for number in range(calls)
        ),
        answers=tuple(f"Port Ellen {number}" for number in range(calls)),
    )


def interleaved(model: MemLLMModel, script: Script) -> Done:
    """Run the reader over the script."""
    text_tokens = sum(map(len, script.pieces)) - (len(script.pieces) - 1) * len(model.vocabulary.encode(START))
    reading = Reading.start(script.prompt, Rules(text_tokens=text_tokens, calls=len(script.queries)))
    pieces, queries, answers = iter(script.pieces), iter(script.queries), iter(script.answers)
    action = next_action(reading)
    while not isinstance(action, Done):
        if isinstance(action, Lookup):
            reading, action = advance(reading, Results(((next(answers),),)))
        else:
            forced = Forced(tokens=next(queries if action.query else pieces), opening=0)
            reading, action = advance(reading, model.generate_step(action, sampling=forced))
    return action


def encoded_again(model: MemLLMModel, script: Script) -> None:
    """The same steps by ``generate`` alone, each from its whole context."""
    reading = Reading.start(script.prompt, Rules(text_tokens=1_000, calls=len(script.queries)))
    pieces, queries, answers = iter(script.pieces), iter(script.queries), iter(script.answers)
    action = next_action(reading)
    while not isinstance(action, Done):
        if isinstance(action, Lookup):
            reading, action = advance(reading, Results(((next(answers),),)))
            continue
        tokens = next(queries if action.query else pieces)
        generate(model, model.vocabulary.encode_segments(action.segments), len(tokens))
        said = model.vocabulary.decode(tokens)
        stop = next((mark for mark in action.stop if said.endswith(mark)), "")
        said = said.removesuffix(stop)
        reading, action = advance(reading, Generated(said, "stop" if stop else "end", stop))


def generate(model: MemLLMModel, ids: Sequence[int], count: int) -> None:
    """Exactly ``count`` tokens by transformers' own loop."""
    inputs = torch.tensor([list(ids)], device=model.model.device)
    model.model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
    )


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Wall time and processor time of one run."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 5), ("context", 512), ("text", 100), ("calls", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    model = MemLLMModel.smollm2(adapters=True)
    said = script(model, options.context, options.text, options.calls)
    prompt = model.vocabulary.encode(said.prompt)

    def ours() -> None:
        model.clear_caches()
        done = interleaved(model, said)
        assert len(done.calls) == options.calls
        assert all(call.withdrawn is None for call in done.calls)

    loops = {
        "ours": ours,
        "plain": lambda: generate(model, prompt, said.generated),
        "again": lambda: encoded_again(model, said),
    }
    for loop in loops.values():
        loop()
    load = os.getloadavg()[0]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for _ in track(range(options.rounds), "measuring"):
        for name, loop in loops.items():
            times[name].append(seconds(loop))
    report(times, options, said.generated, load)


def report(
    times: dict[str, list[tuple[float, float]]], options: argparse.Namespace, generated: int, load: float
) -> None:
    """Print the table and write the JSON beside it."""
    wall = {name: [pair[0] for pair in pairs] for name, pairs in times.items()}
    processor = {name: [pair[1] for pair in pairs] for name, pairs in times.items()}
    median = {name: statistics.median(values) for name, values in wall.items()}
    table = Table(title=f"{options.context} tokens of context, {options.calls} calls in {options.text} tokens of text")
    for column in ("loop", "median s", "best s", "worst s", "median processor s", "generated tokens/s"):
        table.add_column(column, justify="left" if column == "loop" else "right")
    for name, values in wall.items():
        row = (median[name], min(values), max(values), statistics.median(processor[name]), generated / median[name])
        table.add_row(name, *(f"{value:.2f}" for value in row))
    console = Console()
    console.print(table)
    ratios = {f"{name}/ours": median[name] / median["ours"] for name in GOALS}
    best = {f"{name}/ours": min(wall[name]) / min(wall["ours"]) for name in GOALS}
    for name, goal in GOALS.items():
        ratio = ratios[f"{name}/ours"]
        verdict = "reached" if ratio >= goal else "missed"
        console.print(
            f"{name}/ours: {ratio:.2f} by medians, {best[f'{name}/ours']:.2f} by best (goal {goal}, {verdict})"
        )
    console.print(f"load average before measuring: {load:.2f}")
    outcome = {
        "options": vars(options),
        "generated_tokens": generated,
        "seconds": {name: [round(value, 3) for value in values] for name, values in wall.items()},
        "processor_seconds": {name: [round(value, 3) for value in values] for name, values in processor.items()},
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "ratios_of_best": {name: round(ratio, 3) for name, ratio in best.items()},
        "goals": {f"{name}/ours": goal for name, goal in GOALS.items()},
        "load_before": round(load, 2),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main()
