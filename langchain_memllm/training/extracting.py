"""How well the writer extracts: precision, recall and F1 of its triples, well-formed calls, confused relations.

A case is a sentence with the text before it and its gold triples; ``everyday`` ones are what a person says. *Exact*:
the same three names, letter case and Unicode form aside. *Relaxed*: an entity may be called by any name that it has in
the document, and a relation by its alias in the catalogue or from the other end by its inverse. Figures are micro
averages over all triples; intervals are drawn over documents. All that is written is kept with its probability, so the
figures of any threshold come from one run: those of ``threshold`` are in the table, the others in the *curve* (part,
least probability, precision, recall, right, written, gold; exact).
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.local import MemLLMModel, WriteOptions, WriteOutput
from langchain_memllm.local.confidence import NOWHERE
from langchain_memllm.local.writer import contexts_of
from langchain_memllm.relations import Catalogue
from langchain_memllm.training.data import write_document
from langchain_memllm.training.documents import Document
from langchain_memllm.training.examples import WriteDocument
from langchain_memllm.training.scores import Figure, f1, figure, mean, precision, recall
from langchain_memllm.training.world import World
from langchain_memllm.triples import Triple, name_key

__all__ = [
    "PORTION",
    "Choices",
    "cases_of",
    "confusion",
    "counts",
    "curve",
    "document_cases",
    "figures",
    "rated",
    "run",
    "sampled",
    "sentence_cases",
    "world_cases",
]

PORTION: Final = 256  # sentences

Case = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """How to evaluate.

    Args:
        batch_size: Sentences decoded together.
        max_tokens: Tokens of one call.
        patience: See ``WriteOptions``.
        copy_names: Names are spans of the text.
        seed: Of the sample, what is drawn by the writer, and the intervals.
        samples: See ``WriteOptions``, also for the next two.
        votes: Share of the samples in which a triple must come.
        temperature: Of the samples.
        threshold: Least probability of the triples that figures count.
    """

    batch_size: int = 32
    max_tokens: int = 192
    patience: int = 5
    copy_names: bool = False
    seed: int = 0
    samples: int = 1
    votes: float = 0.25
    temperature: float = 1.0
    threshold: float = 0.0


def cases_of(
    part: str, documents: Iterable[WriteDocument], names: Mapping[str, list[list[str]]] | None = None
) -> list[dict[str, Any]]:
    """A case for each sentence with gold triples or known to have none; ``names``: of the entities of a document."""
    return [
        {
            "id": f"{part}/{number}/{at}",
            "part": part,
            "document": f"{number} {document.source}",
            "sentence": sentence,
            "context": list(context),
            "gold": [list(triple) for triple in triples],
            "names": [group for group in (names or {}).get(document.source, []) if len(group) > 1],
        }
        for number, document in enumerate(documents)
        for at, (sentence, context, triples) in enumerate(
            zip(document.sentences, contexts_of(document.sentences), document.triples, strict=True)
        )
        if triples is not None
    ]


def document_cases(documents: Sequence[Document]) -> list[dict[str, Any]]:
    """The sentences of documents in Re-DocRED's format (arXiv 2404.11672)."""
    names = {}
    for document in documents:
        groups: dict[int, dict[str, None]] = defaultdict(dict)
        for mention in document.mentions:
            groups[mention.entity][mention.text] = None
        names[document.title] = [list(group) for group in groups.values()]
    return cases_of("redocred", map(write_document, documents), names)


def world_cases(part: str, articles: int, seed: int) -> list[dict[str, Any]]:
    """Sentences of the synthetic world: ``seen`` surface forms about new things, or ``unseen`` forms too."""
    world = World(seed, held_out=part == "unseen")
    made = world.articles(articles)
    documents = [write_document(article.document) for article in made]
    documents += [world.question(fact)[0] for article in made for fact in article.facts[::3]]
    documents += [world.conversation()[0] for _ in range(articles // 2)]
    return cases_of(part, documents)


def sentence_cases(file: Path) -> list[dict[str, Any]]:
    """Sentences of conversations with their triples, a JSON object a line: part, sentence, context, gold.

    Raises:
        ConfigurationError: The file cannot be read so.
    """
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [
            {
                "id": f"everyday/{number}",
                "part": f"everyday {row['part']}",
                "document": f"everyday {number}",
                "sentence": row["sentence"],
                "context": list(row["context"]),
                "gold": [list(Triple(*triple)) for triple in row["gold"]],
                "names": [],
                "spoken": True,
            }
            for number, row in enumerate(rows)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} cannot be read as sentences ({type(error).__name__}: {error}); give JSON lines with part, "
            "sentence, context and gold"
        ) from error


def sampled(cases: Sequence[dict[str, Any]], count: int | None, seed: int) -> list[dict[str, Any]]:
    """At most ``count`` cases, in their order."""
    if count is None or count >= len(cases):
        return list(cases)
    kept = sorted(random.Random(seed).sample(range(len(cases)), count))  # noqa: S311 - reproducible, not secret
    return [cases[at] for at in kept]


def run(
    model: MemLLMModel,
    cases: Sequence[Case],
    choices: Choices,
    **_shared: Any,
) -> dict[str, dict[str, Any]]:
    """Write every sentence and compare; those marked ``free`` once more without the constraint.

    Returns:
        For each case: the triples with their probabilities, whether the call is well formed, and the relations
        written between the ends of each gold triple.
    """
    options = WriteOptions(
        max_tokens=choices.max_tokens,
        patience=choices.patience,
        copy_names=choices.copy_names,
        batch_size=choices.batch_size,
        samples=choices.samples,
        votes=choices.votes,
        temperature=choices.temperature,
        seed=choices.seed,
        threshold=0,
    )
    free = WriteOptions(
        constrained=False,
        max_tokens=choices.max_tokens,
        patience=choices.patience,
        batch_size=choices.batch_size,
        threshold=0,
    )
    constrained = _written(model, cases, options)
    unconstrained = _written(model, [case for case in cases if case.get("free")], free)
    results = {}
    for case in cases:
        output, loose = constrained[case["id"]], unconstrained.get(case["id"])
        results[case["id"]] = {
            "written": [list(triple) for triple in output.triples],
            "confidences": [round(value, 4) for value in output.confidences],
            "logprobs": [round(value, 3) for value in output.logprobs],
            "well_formed": not output.parsed.skipped and bool(output.parsed.writes),
            "cut_off": output.cut_off,
            "free_well_formed": None if loose is None else not loose.parsed.skipped and not loose.cut_off,
            **_compared(case, output.triples),
        }
    return results


def _written(model: MemLLMModel, cases: Sequence[Case], options: WriteOptions) -> dict[str, WriteOutput]:
    """The calls by case; sentences of similar length are written together, those of people by the model for them."""
    found: dict[str, WriteOutput] = {}
    for spoken in (False, True):
        some = [case for case in cases if case.get("spoken", False) == spoken]
        ordered = sorted(some, key=lambda case: len(case["sentence"]) + sum(map(len, case["context"])))
        sentences, contexts = [c["sentence"] for c in ordered], [c["context"] for c in ordered]
        calls = model.write_calls(sentences, contexts, options=options, spoken=spoken)
        found |= {case["id"]: call for case, call in zip(ordered, calls, strict=True)}
    return found


def _compared(case: Case, written: Sequence[Triple]) -> dict[str, Any]:
    gold = [Triple(*triple) for triple in case["gold"]]
    entities = _entities(case)
    between: dict[tuple[str, str], list[str]] = defaultdict(list)
    for triple in written:
        between[_ends(triple, entities)].append(_label(triple.relation))
    return {"relations": [[_label(triple.relation), between.get(_ends(triple, entities), [])] for triple in gold]}


def counts(case: Case, result: Mapping[str, Any], threshold: float = 0.0, *, relaxed: bool = False) -> list[int]:
    """Right, written and gold triples of a case, of those that are at least so probable."""
    entities = _entities(case)

    def canonical(triple: Triple) -> tuple[str, ...]:
        if relaxed:
            return _canonical(triple, entities)
        return tuple(map(name_key, triple))

    sure = [
        triple for triple, value in zip(result["written"], result["confidences"], strict=True) if value >= threshold
    ]
    written, gold = ({canonical(Triple(*triple)) for triple in some} for some in (sure, case["gold"]))
    return [len(written & gold), len(written), len(gold)]


def rated(case: Case, result: Mapping[str, Any]) -> list[tuple[float, bool]]:
    """The log-probability of each triple that was written of a case with names of the text, and whether it is right."""
    gold = {tuple(map(name_key, triple)) for triple in case["gold"]}
    found: dict[tuple[str, ...], float] = {}
    for triple, logprob in zip(result["written"], result["logprobs"], strict=True):
        if logprob > NOWHERE:
            found.setdefault(tuple(map(name_key, triple)), logprob)
    return [(logprob, key in gold) for key, logprob in found.items()]


def _entities(case: Case) -> dict[str, str]:
    return {name_key(name): f"entity {number}" for number, group in enumerate(case["names"]) for name in group}


def _canonical(triple: Triple, entities: Mapping[str, str]) -> tuple[str, str, str]:
    """The same for a triple and what says the same by other names or from the other end."""
    catalogue = Catalogue.docred()
    relation = catalogue.resolve(triple.relation)
    inverse = catalogue.inverse_of(relation)
    subject, object_ = _ends(triple, entities)
    forms = [(subject, relation.key, object_)]
    if inverse is not None:
        forms.append((object_, inverse.key, subject))
    return min(forms)


def _ends(triple: Triple, entities: Mapping[str, str]) -> tuple[str, str]:
    subject, object_ = (entities.get(key, key) for key in (name_key(triple.subject), name_key(triple.object)))
    return subject, object_


def _label(relation: str) -> str:
    return Catalogue.docred().resolve(relation).label


def figures(cases: Sequence[Case], results: Mapping[str, Mapping[str, Any]], choices: Choices) -> list[Figure]:
    """The table: for each part F1, precision and recall both ways, and the share of well-formed calls."""
    made = []
    for part in dict.fromkeys(case["part"] for case in cases):
        here = [case for case in cases if case["part"] == part]
        for kind in ("exact", "relaxed"):
            sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
            for case in here:
                found = counts(case, results[case["id"]], choices.threshold, relaxed=kind == "relaxed")
                sums[case["document"]] = [a + b for a, b in zip(sums[case["document"]], found, strict=True)]
            gold = sum(each[2] for each in sums.values())
            for name, statistic in (("F1", f1), ("precision", precision), ("recall", recall)):
                made.append(
                    figure(f"{part} {name}, {kind}", list(sums.values()), statistic, seed=choices.seed, count=gold)
                )
        for name, key in (("constrained", "well_formed"), ("free", "free_well_formed")):
            formed = [[float(results[c["id"]][key]), 1.0] for c in here if results[c["id"]][key] is not None]
            made.append(figure(f"{part} well-formed, {name}", formed, mean, seed=choices.seed, count=len(formed)))
    return made


def confusion(cases: Sequence[Case], results: Mapping[str, Mapping[str, Any]]) -> list[list[Any]]:
    """Part, gold relation, what was written between the same ends ("(nothing)" for no triple), how often."""
    pairs: Counter[tuple[str, str, str]] = Counter()
    for case in cases:
        for gold, written in results[case["id"]]["relations"]:
            found = gold if gold in written else written[0] if written else "(nothing)"
            pairs[case["part"], gold, found] += 1
    return [[*key, count] for key, count in pairs.most_common()]


def curve(cases: Sequence[Case], results: Mapping[str, Mapping[str, Any]]) -> list[list[Any]]:
    """Part, least probability, precision and recall, right, written and gold triples (exact), for each threshold."""
    rows: list[list[Any]] = []
    for part in dict.fromkeys(case["part"] for case in cases):
        for threshold in _THRESHOLDS:
            some = [counts(case, results[case["id"]], threshold) for case in cases if case["part"] == part]
            right, written, gold = (sum(column) for column in zip(*some, strict=True))
            rows.append(
                [
                    part,
                    threshold,
                    round(right / written, 3) if written else None,
                    round(right / gold, 3) if gold else None,
                    right,
                    written,
                    gold,
                ]
            )
    return rows


_THRESHOLDS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
DETAILS: Final = {"confusion": confusion, "curve": curve}
