"""The evaluations of the models, and their reports: what was measured, on what, by which adapters, item by item.

Four evaluations: ``extract`` (does the writer find the facts), ``edit`` (does an edit change the answer, and nothing
else), ``ppl`` (does the memory make text easier to predict) and ``calls`` (does the reader ask the right thing in the
right place). Each has its module: ``write``, if the writer fills a memory that the cases share, ``run`` from some cases
to a result for each, ``PORTION`` cases at a time, and ``figures`` from these to the table. A report keeps the cases
too, so that ``recheck`` can run a sample of them again and compare, without the data.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from langchain_memllm import private
from langchain_memllm.errors import ConfigurationError, ModelError
from langchain_memllm.local import MemLLMModel
from langchain_memllm.training.journal import Journal, Results
from langchain_memllm.training.scores import Figure

__all__ = ["Report", "check_joins", "differences", "evaluate", "joined", "recheck"]

_MODULES: Final = {"extract": "extracting", "edit": "editing", "ppl": "perplexity", "calls": "calls"}

_COST: Final = {"write": 1, "run": 6}  # about what a case costs in one step, beside the other: for the progress

Cases = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation came to.

    Args:
        evaluation: ``extract``, ``edit``, ``ppl`` or ``calls``.
        choices: How it was run, the seed among it.
        figures: The table.
        cases: What it was run on, JSON-ready, each with its ``id``.
        results: For each case, what came out.
        about: Command, machine, versions, adapters with hashes, seconds.
        details: More tables, by name.
    """

    evaluation: str
    choices: dict[str, Any]
    figures: tuple[Figure, ...]
    cases: list[dict[str, Any]]
    results: Results
    about: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write it as JSON, one line for each item.

        Raises:
            ModelError: It cannot be written.
        """
        head = {
            "evaluation": self.evaluation,
            "about": self.about,
            "choices": self.choices,
            "figures": [each.as_dict() for each in self.figures],
            "details": self.details,
        }
        items = [{"case": case, "result": self.results[case["id"]]} for case in self.cases]
        parts = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
        lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
        text = "{" + ",\n".join(parts) + ',\n"items": [\n' + lines + "\n]}\n"
        try:
            private.make_folders(file.parent)
            with private.replaced(file) as written:
                written.write(text)
        except OSError as error:
            raise ModelError(f"the report cannot be written to {file} ({error}); give another --json-out") from error

    @classmethod
    def load(cls, file: Path) -> Report:
        """Read a saved report.

        Raises:
            ConfigurationError: It is none.
        """
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            cases = [item["case"] for item in data["items"]]
            results = {item["case"]["id"]: item["result"] for item in data["items"]}
            figures = tuple(Figure(**each) for each in data["figures"])
            return cls(data["evaluation"], data["choices"], figures, cases, results, data["about"], data["details"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{file} is not a report of an evaluation ({type(error).__name__}: {error}); make one with "
                "`memllm eval … --json-out FILE`"
            ) from error


def evaluate(
    evaluation: str,
    model: MemLLMModel,
    cases: list[dict[str, Any]],
    choices: Any,
    *,
    about: Mapping[str, Any] | None = None,
    keep: Path | None = None,
    report: Callable[[int, int], None] = lambda _done, _total: None,
    **more: Any,
) -> Report:
    """Run an evaluation on cases.

    With ``keep`` one that was stopped or killed goes on where it was: the same call again.

    Args:
        evaluation: Which one.
        model: With the adapters it needs.
        cases: Made by the evaluation's module; they have an ``id``.
        choices: The module's ``Choices``.
        about: What to keep beside: the adapters, the data.
        keep: File for what is known so far; to be removed when the report is saved.
        report: Told how much is done.
        more: What the module's ``run`` takes besides: other models.

    Raises:
        ConfigurationError: There is no case, or ``keep`` is of another evaluation.
        ModelError: ``keep`` cannot be written.
    """
    if not cases:
        raise ConfigurationError(f"there is nothing to evaluate for {evaluation!r}; check the data and --limit")
    module = _module(evaluation)
    machine = _machine()
    identity = {"evaluation": evaluation, "choices": asdict(choices), "models": about, "versions": machine["versions"]}
    journal = Journal(keep, identity | {"cases": _digest(cases)})
    _Run(module, model, choices, cases, report, more).measure(cases, journal)
    results = {case["id"]: journal.of("run")[case["id"]] for case in cases}
    details = {name: table(cases, results) for name, table in getattr(module, "DETAILS", {}).items()}
    return Report(
        evaluation,
        asdict(choices),
        tuple(module.figures(cases, results, choices)),
        cases,
        results,
        {"seconds": round(journal.seconds, 1), **machine, **(about or {})},
        details,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """An evaluation's steps: the writing of all cases, if they share a memory, then the rest, some cases at a time."""

    module: Any
    model: MemLLMModel
    choices: Any
    every: Cases
    report: Callable[[int, int], None]
    more: Mapping[str, Any]

    def measure(self, cases: Cases, journal: Journal) -> None:
        """Do what the journal does not hold yet."""
        steps = [step for step in _COST if hasattr(self.module, step)]
        total = len(cases) * sum(_COST[step] for step in steps)
        size = max(self.module.PORTION, self.choices.batch_size)
        for step in steps:
            missing = [case for case in cases if case["id"] not in journal.of(step)]
            for at in range(0, len(missing), size):
                self._tell(cases, journal, steps, total)
                started = time.monotonic()
                found = self._do(step, missing[at : at + size], journal)
                journal.add(step, found, time.monotonic() - started)
        self.report(total, total)

    def _do(self, step: str, cases: Cases, journal: Journal) -> Results:
        found: Results
        if step == "write":
            found = self.module.write(self.model, cases, self.choices)
        else:
            shared = {"written": journal.of("write"), "every": self.every}
            found = self.module.run(self.model, cases, self.choices, **shared, **self.more)
        return found

    def _tell(self, cases: Cases, journal: Journal, steps: Sequence[str], total: int) -> None:
        done = sum(_COST[step] * sum(case["id"] in journal.of(step) for case in cases) for step in steps)
        self.report(done, total)


def _digest(cases: Cases) -> str:
    return hashlib.sha256(json.dumps(cases).encode()).hexdigest()


def _module(evaluation: str) -> Any:
    if evaluation not in _MODULES:
        raise ConfigurationError(f"there is no evaluation {evaluation!r}; use one of {', '.join(_MODULES)}")
    return import_module(f"langchain_memllm.training.{_MODULES[evaluation]}")


def _machine() -> dict[str, Any]:
    """Command, machine and versions; no paths and no names of the machine."""
    words = [Path(sys.argv[0]).name, *(Path(word).name if "/" in word else word for word in sys.argv[1:])]
    return {
        "command": " ".join(words),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("langchain-memllm", "torch", "transformers")},
    }


def check_joins(kept: Report, new: Report) -> None:
    """Whether a run, which may be still to come, can join a report: it differs in its conditions only.

    Raises:
        ConfigurationError: They are of different evaluations, cases, choices or models, or of one without conditions.
    """
    if kept.evaluation != new.evaluation or "conditions" not in kept.choices:
        raise ConfigurationError(f"reports of {kept.evaluation} and {new.evaluation} have no conditions to join")
    models = [name for name in ("base", "write", "read") if name in new.about]
    differ: list[str] = [name for name in models if kept.about.get(name) != new.about[name]]
    differ += [name for name, value in new.choices.items() if name != "conditions" and kept.choices.get(name) != value]
    differ += ["cases"] if kept.cases != json.loads(json.dumps(new.cases)) else []
    if differ:
        raise ConfigurationError(f"the reports differ in {', '.join(differ)}; join what differs in conditions only")


def joined(kept: Report, new: Report) -> Report:
    """A report with the conditions that another run measured in the place of its own.

    So what is wanted later, or beside another control, costs its own time and no other's.

    Raises:
        ConfigurationError: They cannot be joined, see ``check_joins``.
    """
    check_joins(kept, new)
    module = _module(new.evaluation)
    every = module.ordered([*kept.choices["conditions"], *new.choices["conditions"]])
    choices = {**kept.choices, "conditions": every}
    results = {name: module.joined(result, new.results[name]) for name, result in kept.results.items()}
    figures = tuple(module.figures(kept.cases, results, module.Choices(**choices)))
    about = kept.about | new.about
    about["seconds"] = round(kept.about["seconds"] + new.about["seconds"], 1)
    about["command"] = f"{kept.about['command']}; {new.about['command']}"
    return replace(kept, choices=choices, figures=figures, results=results, about=about)


# --- once more --------------------------------------------------------------------------------------------------------


def recheck(
    kept: Report,
    model: MemLLMModel,
    share: float = 0.02,
    *,
    seed: int = 0,
    slack: float = 1e-3,
    report: Callable[[int, int], None] = lambda _done, _total: None,
    **more: Any,
) -> tuple[int, list[str]]:
    """Run a seeded sample of a report's cases again and compare item by item.

    What the others wrote into a common memory is taken from the report, so that a sample can be run alone.

    Args:
        kept: The report.
        model: The same model with the same adapters.
        share: Of the cases, in (0, 1]; at least one of each part is run.
        seed: Of the sample.
        slack: Numbers may differ by this share of them: another batch, another order of additions.
        report: Told how much is done.
        more: As for ``evaluate``.

    Returns:
        How many cases were run, and what differs, one line each.
    """
    if not 0 < share <= 1:
        raise ConfigurationError(f"a share of {share} of the cases cannot be run; give more than 0 and at most 1")
    module = _module(kept.evaluation)
    chosen, choices = _sample(kept.cases, share, seed), module.Choices(**kept.choices)
    journal = Journal(None, {})
    journal.add("write", {case["id"]: kept.results[case["id"]] for case in kept.cases if case not in chosen}, 0)
    _Run(module, model, choices, kept.cases, report, more).measure(chosen, journal)
    fresh = journal.of("run")
    found = [
        f"{case['id']}{difference}"
        for case in chosen
        for difference in differences(kept.results[case["id"]], json.loads(json.dumps(fresh[case["id"]])), slack)
    ]
    return len(chosen), found


def _sample(cases: Cases, share: float, seed: int) -> list[Any]:
    """A share of the cases of each part, at least one, in their order."""
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    kept: set[int] = set()
    for part in dict.fromkeys(case.get("part") for case in cases):
        here = [at for at, case in enumerate(cases) if case.get("part") == part]
        kept.update(draw.sample(here, max(1, round(share * len(here)))))
    return [cases[at] for at in sorted(kept)]


def differences(old: Any, new: Any, slack: float, where: str = "") -> list[str]:
    """Where two JSON values differ; of mappings only what the new one has is compared."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        missing = [f"{where}.{key} was not there" for key in new if key not in old]
        both = [d for key in new if key in old for d in differences(old[key], new[key], slack, f"{where}.{key}")]
        return missing + both
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            d
            for at, (a, b) in enumerate(zip(old, new, strict=True))
            for d in differences(a, b, slack, f"{where}[{at}]")
        ]
    if isinstance(old, float) and isinstance(new, int | float) and not isinstance(new, bool):
        return [] if math.isclose(old, new, rel_tol=slack, abs_tol=slack) else [f"{where}: {old} became {new}"]
    return [] if old == new else [f"{where}: {old!r} became {new!r}"]
