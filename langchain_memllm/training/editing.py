"""Does an edit change the answer, and nothing else? Sequential knowledge editing (arXiv 2404.11672).

Every edit is told to the writer as one sentence, without its subject or relation, and written into one memory of policy
``edit``. Only after *all* of them is each one asked for: *reliability* by its own prompt, *generality* by another
wording, both with a read that is forced by ending the prompt in ``({``; an answer is right if it holds the new target,
letter case aside. *Locality*: a prompt about something else is answered as with an empty memory, word for word, read
freely and with the read forced. Then some facts are edited a second time, and some edits are forgotten: the answer must
be the second one, and the one before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import START
from langchain_memllm.local import MemLLMModel, WriteOptions
from langchain_memllm.local.leading import LIKELY, Leading
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Done, Rules
from langchain_memllm.training.documents import load_json
from langchain_memllm.training.lookups import lookup_in, thresholds_of
from langchain_memllm.training.scores import Figure, Sums, figure, mean
from langchain_memllm.triples import Source, Triple

__all__ = [
    "PORTION",
    "Choices",
    "counterfact_cases",
    "errors",
    "figures",
    "lookup_in",
    "marked",
    "run",
    "thresholds_of",
    "write",
    "zsre_cases",
]

PORTION: Final = 192  # edits

Case = Mapping[str, Any]

_NAMESPACE: Final = ("memllm", "evaluation")


@dataclass(frozen=True, slots=True)
class Choices:
    """How to evaluate.

    Args:
        thresholds: A preset (exact, strict, chat, related, paper), or least cosines of entity, relation and mean, as
            ``0.98,0.3,0.6``.
        likely: How likely the reader must find a relation that the memory holds, as a share of the one it asks by
            (``leading``); 0: it asks as it likes.
        similar_names: Where a name is not stored, it may ask by a similar one that is.
        form: What a prompt is put into, at ``{}``.
        text_tokens: Tokens of an answer.
        free: Also ask without forcing the read.
        copy_names: The writer's names are spans of the sentence.
        batch_size: Texts run together.
        seed: Of the intervals.
    """

    thresholds: str = "exact"
    likely: float = LIKELY
    similar_names: bool = True
    form: str = "{}"
    text_tokens: int = 16
    free: bool = False
    copy_names: bool = True
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what can be mistyped."""
        thresholds_of(self.thresholds)
        if self.likely:
            Leading(lambda _queries: [], self.likely)
        if "{}" not in self.form:
            raise ConfigurationError(f"the form {self.form!r} has no place for the prompt; write {{}} there")


# --- cases ------------------------------------------------------------------------------------------------------------


def zsre_cases(file: Path) -> list[dict[str, Any]]:
    """The edits of KnowEdit's zsRE part, told as in the paper's code.

    Raises:
        ConfigurationError: The file is not in that form.
    """
    return _cases("zsre", file, _zsre)


def counterfact_cases(file: Path, first: int = 1_000) -> list[dict[str, Any]]:
    """The first edits of a CounterFact file in RECIPE's one-line form.

    Raises:
        ConfigurationError: The file is not in that form.
    """
    return _cases("counterfact", file, _counterfact)[:first]


def _cases(part: str, file: Path, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        return [{"id": f"{part}/{at}", "part": part, **read(record)} for at, record in enumerate(load_json(file))]
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        raise ConfigurationError(
            f"{file} is not in the form of {part} edits ({type(error).__name__}: {error}); give the file as published"
        ) from error


def _zsre(record: Mapping[str, Any]) -> dict[str, Any]:
    other = next(iter(record["locality"].values()))[0]
    prompt, target = record["prompt"], record["target_new"]
    return {
        "sentence": _told_zsre(prompt, target),
        "prompt": prompt,
        "rephrase": record["rephrase_prompt"],
        "target": target,
        "other": other["prompt"],
        "known": list(other["ground_truth"]),
    }


def _counterfact(record: Mapping[str, Any]) -> dict[str, Any]:
    prompt, target = record["prompt"], record["target_new"]
    return {
        "sentence": _told_counterfact(prompt, target),
        "prompt": prompt,
        "rephrase": record["rephrase_prompt"],
        "target": target,
        "other": record["locality_prompt"],
        "known": [record["locality_ground_truth"]],
    }


def _told_zsre(prompt: str, target: str) -> str:
    return f'{prompt} It is or they are "{target}"'


def _told_counterfact(prompt: str, target: str) -> str:
    return f"{prompt} {target}."


def marked(cases: Sequence[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """The cases, of which ``count`` (at most half) are edited a second time and as many others are forgotten.

    The second target is that of another edit, so that it is of some kind that is asked for.
    """
    drawn = list(range(len(cases)))
    random.Random(f"marks {seed}").shuffle(drawn)  # noqa: S311 - reproducible, not secret
    count = min(count, len(cases) // 2)
    again, forgotten = drawn[:count], set(drawn[count : 2 * count])
    told = _told_zsre if cases and cases[0]["part"] == "zsre" else _told_counterfact
    targets = {}
    for place, at in enumerate(again):
        others = [cases[other]["target"] for other in drawn[place + 1 :] + drawn[:place]]
        targets[at] = next((t for t in others if t.casefold() != cases[at]["target"].casefold()), None)
    return [
        {
            **case,
            **({"again": {"target": t, "sentence": told(case["prompt"], t)}} if (t := targets.get(at)) else {}),
            **({"forgotten": True} if at in forgotten else {}),
        }
        for at, case in enumerate(cases)
    ]


# --- running ----------------------------------------------------------------------------------------------------------


def write(model: MemLLMModel, cases: Sequence[Case], choices: Choices) -> dict[str, dict[str, Any]]:
    """What the writer writes of each edit, and of the second one where there is one."""
    options = WriteOptions(copy_names=choices.copy_names, may_be_empty=False, batch_size=choices.batch_size)
    again = [case for case in cases if "again" in case]
    told = [(case["id"], "written", case["sentence"]) for case in cases]
    told += [(case["id"], "written_again", case["again"]["sentence"]) for case in again]
    results: dict[str, dict[str, Any]] = {case["id"]: {} for case in cases}
    outputs = model.write_calls([sentence for _, _, sentence in told], options=options)
    for (name, key, _), output in zip(told, outputs, strict=True):
        results[name][key] = [list(triple) for triple in output.triples]
    return results


def run(
    model: MemLLMModel,
    cases: Sequence[Case],
    choices: Choices,
    *,
    written: Mapping[str, Mapping[str, Any]],
    every: Sequence[Case],
) -> dict[str, dict[str, Any]]:
    """Ask for edits after all of them were written, those of each part into a memory of their own.

    Args:
        model: With the reader's adapter.
        cases: The edits to ask for.
        choices: How.
        written: What ``write`` returned for all edits.
        every: All edits, in their order.
    """
    results: dict[str, dict[str, Any]] = {}
    for part in dict.fromkeys(case["part"] for case in cases):
        here = [case for case in cases if case["part"] == part]
        whole = [case for case in every if case["part"] == part]
        results |= _Part(model, here, whole, choices, written).run()
    return results


class _Part:
    """The edits of one file and their memory."""

    def __init__(
        self,
        model: MemLLMModel,
        cases: Sequence[Case],
        every: Sequence[Case],
        choices: Choices,
        written: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.model, self.cases, self.every, self.choices, self.written = model, cases, every, choices, written
        keys = ("written", "written_again")
        self.results: dict[str, dict[str, Any]] = {
            case["id"]: {key: written[case["id"]][key] for key in keys if key in written[case["id"]]} for case in cases
        }

    def run(self) -> dict[str, dict[str, Any]]:
        again = [case for case in self.cases if "again" in case]
        forgotten = [case for case in self.cases if case.get("forgotten")]
        with Memory() as empty:
            before = self._others(empty)
            untold = self._ask(empty, forgotten, "prompt", forced=True)
        with Memory(policy="edit") as memory:
            self._fill(memory, "written")
            self._score(memory)
            self._locality(before, self._others(memory))
            self._fill(memory, "written_again")
            for case, done in zip(again, self._ask(memory, again, "prompt", forced=True), strict=True):
                self.results[case["id"]]["again"] = _answer(done, case["again"]["target"])
            for case in self.every:
                if case.get("forgotten"):
                    memory.forget(source=_source(case), namespace=_NAMESPACE)
            told = self._ask(memory, forgotten, "prompt", forced=True)
            for case, old, new in zip(forgotten, untold, told, strict=True):
                self.results[case["id"]]["forgotten"] = {
                    "before": old.text,
                    "after": new.text,
                    "same": old.text == new.text,
                }
        return self.results

    def _fill(self, memory: Memory, key: str) -> None:
        """One operation for each edit, in order."""
        for case in self.every:
            if triples := [Triple(*triple) for triple in self.written.get(case["id"], {}).get(key, ())]:
                memory.write(triples, namespace=_NAMESPACE, source=_source(case))

    def _ask(self, memory: Memory, cases: Sequence[Case], key: str, *, forced: bool) -> list[Done]:
        likely, similar = self.choices.likely, self.choices.similar_names
        return self.model.read_many(
            [self.choices.form.replace("{}", case[key].rstrip()) + START * forced for case in cases],
            lookup_in(memory, _NAMESPACE, thresholds_of(self.choices.thresholds)),
            rules=Rules(text_tokens=self.choices.text_tokens, calls=3, stop=("\n",)),
            constrained=True,
            leading=Leading.by(memory, _NAMESPACE, likely, similar_names=similar) if likely else None,
            batch_size=self.choices.batch_size,
        )

    def _others(self, memory: Memory) -> dict[str, list[Done]]:
        return {
            "locality": self._ask(memory, self.cases, "other", forced=False),
            "locality_forced": self._ask(memory, self.cases, "other", forced=True),
        }

    def _score(self, memory: Memory) -> None:
        asked = [("reliability", "prompt", True), ("generality", "rephrase", True)]
        if self.choices.free:
            asked += [("reliability_free", "prompt", False), ("generality_free", "rephrase", False)]
        for name, key, forced in asked:
            for case, done in zip(self.cases, self._ask(memory, self.cases, key, forced=forced), strict=True):
                self.results[case["id"]][name] = _answer(done, case["target"])
        for case in self.cases:
            result = self.results[case["id"]]
            result["error"] = _error(result, case["target"])

    def _locality(self, before: Mapping[str, Sequence[Done]], after: Mapping[str, Sequence[Done]]) -> None:
        for name in before:
            for case, old, new in zip(self.cases, before[name], after[name], strict=True):
                self.results[case["id"]][name] = {
                    "before": old.text,
                    "after": new.text,
                    "same": old.text == new.text,
                    "known_before": _holds(old.text, *case["known"]),
                    "known_after": _holds(new.text, *case["known"]),
                    "found": _found(new),
                }


def _source(case: Case) -> Source:
    return Source("document", case["id"])


def _answer(done: Done, target: str) -> dict[str, Any]:
    return {
        "answer": done.text,
        "asked": [[query.subject, query.relation, query.object] for call in done.calls for query in call.queries],
        "found": _found(done),
        "right": _holds(done.text, target),
    }


def _found(done: Done) -> list[str]:
    return [name for call in done.calls for name in call.pasted]


def _holds(text: str, *targets: str) -> bool:
    return any(target.casefold() in text.casefold() for target in targets)


def _error(result: Mapping[str, Any], target: str) -> str | None:
    """Where an edit that is not answered was lost (the paper's three classes); None if it was answered."""
    if result["reliability"]["right"]:
        return None
    if not any(_holds(triple[2], target) or _holds(triple[0], target) for triple in result["written"]):
        return "never written"
    if not _holds("\n".join(result["reliability"]["found"]), target):
        return "not retrieved"
    return "retrieved, not used"


# --- figures ----------------------------------------------------------------------------------------------------------

_SHARES: Final = (
    ("reliability", "right"),
    ("generality", "right"),
    ("locality", "same"),
    ("locality_forced", "same"),
    ("reliability_free", "right"),
    ("generality_free", "right"),
    ("again", "right"),
    ("forgotten", "same"),
)


def figures(cases: Sequence[Case], results: Mapping[str, Mapping[str, Any]], choices: Choices) -> list[Figure]:
    """The table: shares of each part, and the average of reliability, generality and locality."""
    made = []
    for part in dict.fromkeys(case["part"] for case in cases):
        here = [results[case["id"]] for case in cases if case["part"] == part]
        for kind in ("locality", "locality_forced"):
            units = [[r["reliability"]["right"], r["generality"]["right"], r[kind]["same"], 1] for r in here]
            name = f"{part} average" + (", locality forced" if kind == "locality_forced" else "")
            made.append(figure(name, units, _average, seed=choices.seed, count=len(here)))
        for name, key in _SHARES:
            shares = [[float(result[name][key]), 1.0] for result in here if name in result]
            if shares:
                made.append(
                    figure(f"{part} {name.replace('_', ' ')}", shares, mean, seed=choices.seed, count=len(shares))
                )
    return made


def _average(sums: Sums) -> Any:
    return sums[:, :3].sum(axis=1) / (3 * sums[:, 3])


def errors(cases: Sequence[Case], results: Mapping[str, Mapping[str, Any]]) -> list[list[Any]]:
    """Part, class of error, how many edits of that part were lost so."""
    kinds = ("never written", "not retrieved", "retrieved, not used")
    parts = dict.fromkeys(case["part"] for case in cases)
    return [
        [part, kind, sum(c["part"] == part and results[c["id"]]["error"] == kind for c in cases)]
        for part in parts
        for kind in kinds
    ]


DETAILS: Final = {"errors": errors}
