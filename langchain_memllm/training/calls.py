"""Does the reader ask the right thing in the right place? Its calls on documents, with a memory of their labels.

*Place*: does a call open where a target stands (``training.data``), and nowhere else; the text is given, and the reader
opens calls as at inference. *Query*: does a call ask one of the gold queries: the same open side, name and relation
(by the catalogue). *Answer*: is the target among the names found. Query and answer are told for the reader's own calls
at targets, and for calls opened at every target (``placed``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_memllm.local import MemLLMModel, Sampling
from langchain_memllm.local.decoding import OPENING
from langchain_memllm.relations import Catalogue
from langchain_memllm.training import perplexity
from langchain_memllm.training.data import Target
from langchain_memllm.training.lookups import thresholds_of
from langchain_memllm.training.perplexity import document_of
from langchain_memllm.training.scores import Figure, f1, figure, mean, precision, recall
from langchain_memllm.training.texts import Text
from langchain_memllm.triples import Query, name_key

__all__ = ["PORTION", "Choices", "figures", "run"]

PORTION: Final = perplexity.PORTION

Case = Mapping[str, Any]
_FREE: Final = "gold"
_PLACED: Final = "position/gold"


@dataclass(frozen=True, slots=True)
class Choices:
    """How to evaluate.

    Args:
        thresholds: As in ``editing.Choices``.
        opening: As in ``Sampling``.
        batch_size: Queries written together.
        seed: Of the intervals.
    """

    thresholds: str = "chat"
    opening: float = OPENING
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what can be mistyped."""
        thresholds_of(self.thresholds)
        Sampling(opening=self.opening)


def run(
    model: MemLLMModel,
    cases: Sequence[Case],
    choices: Choices,
    *,
    every: Sequence[Case] | None = None,
    **_written: Any,
) -> dict[str, dict[str, Any]]:
    """Read documents, and compare their calls with their targets; the memory holds the labels of ``every`` one."""
    how = perplexity.Choices(
        (_FREE, _PLACED), choices.thresholds, choices.opening, batch_size=choices.batch_size, seed=choices.seed
    )
    scored = perplexity.run(model, cases, how, every=every)
    results = {}
    for case in cases:
        text = Text(document_of(case), model.vocabulary)
        made = scored[case["id"]]["calls"]
        free, placed = ([_judged(call, text) for call in made.get(name, ())] for name in (_FREE, _PLACED))
        hit = {call["at"] for call in free} & set(text.targets)
        results[case["id"]] = {
            "places": [len(hit), len({call["at"] for call in free}), len(text.targets)],
            "free": free,
            "placed": placed,
        }
    return results


def _judged(call: Mapping[str, Any], text: Text) -> dict[str, Any]:
    """A call with what is right about it; None where no target stands."""
    target = text.targets.get(call["at"])
    if target is None:
        return {**call, "query": None, "answer": None}
    return {
        **call,
        "query": bool({_key(Query(*parts)) for parts in call["queries"]} & {_key(each) for each in target.queries}),
        "answer": _answered(call["pasted"], target),
    }


def _answered(names: Sequence[str], target: Target) -> bool:
    return name_key(target.name) in {name_key(name) for name in names}


def _key(query: Query) -> tuple[str, str, str]:
    return query.open_side, name_key(query.known), Catalogue.docred().resolve(query.relation or "").key


def figures(cases: Sequence[Case], results: Mapping[str, Mapping[str, Any]], choices: Choices) -> list[Figure]:
    """The table: places, then queries and answers of the calls that stand at targets; intervals over documents."""
    every = [results[case["id"]] for case in cases]
    places = [result["places"] for result in every]
    made = [
        figure(f"places {name}", places, statistic, seed=choices.seed, count=sum(counts[of] for counts in places))
        for name, statistic, of in (("precision", precision, 1), ("recall", recall, 2), ("F1", f1, 2))
    ]
    for kind in ("free", "placed"):
        for what in ("query", "answer"):
            judged = [[call for call in result[kind] if call[what] is not None] for result in every]
            units = [[float(sum(call[what] for call in some)), float(len(some))] for some in judged]
            count = sum(map(len, judged))
            made.append(figure(f"{what} right, {kind}", units, mean, seed=choices.seed, count=count))
    return made
