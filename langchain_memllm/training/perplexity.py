"""Does the memory make text easier to predict? Perplexity of documents under several memories (arXiv 2404.11672).

Three views: *overall* (all tokens of the text), *target* (names that a relation connects to earlier text and that are
new in it: the mean over them of a name's mean negative log-likelihood) and *entity* (the same over every annotated
mention). Only tokens of the text count, in natural spacing, in one tokenisation for all conditions: it is cut where
mentions begin and end. What calls cost is in ``scoring``.

Conditions: ``off`` (no call may open), ``empty``, ``own`` (what the writer wrote of all the documents, as far as it is
at least so probable as ``threshold`` says; ``own@0.8``: as 0.8; each single-valued relation of a document once),
``gold`` (their labels), ``shuffled`` (the labels with objects of the same relation exchanged): the reader opens calls
as it likes.
``charged/empty``, ``charged/own``, ``charged/gold``: the same calls, but a token before which the reader does not open
one is charged for that even where generation takes an improbable opening out.
``position/own`` and ``position/gold``: a call at each target and nowhere else, uncharged. ``query/own`` and
``query/gold``: with the queries of the training data, too. And to compare with: ``base`` (the untrained model),
``control`` (the same tuning without calls), ``text`` (the untrained model with the document's labels as sentences
before the text), ``search`` (the untrained model with the three sentences nearest to the last 20 words before the text;
the store holds the labels of all documents; searched anew at each target).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError, InvalidTriple
from langchain_memllm.extraction import filled_once
from langchain_memllm.local import MemLLMModel, Sampling, WriteOptions
from langchain_memllm.local.confidence import check_threshold
from langchain_memllm.local.decoding import OPENING
from langchain_memllm.local.vocabulary import Vocabulary
from langchain_memllm.local.writer import contexts_of
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Results
from langchain_memllm.relations import Catalogue
from langchain_memllm.training.baselines import Store, baselines
from langchain_memllm.training.data import answerable
from langchain_memllm.training.documents import Document, Label, Mention
from langchain_memllm.training.lookups import thresholds_of
from langchain_memllm.training.scores import Figure, exp_mean, figure, ratio_of_exp
from langchain_memllm.training.scoring import Key, Outcome, Page, Run, drive, free_run, off, placed_run
from langchain_memllm.training.texts import Text
from langchain_memllm.triples import Query, Source, Statement, Triple

__all__ = [
    "CONDITIONS",
    "PORTION",
    "Choices",
    "cases_of",
    "document_of",
    "figures",
    "gold_triples",
    "joined",
    "of_own_writes",
    "ordered",
    "run",
    "shuffled",
    "sure",
    "write",
]

Case = Mapping[str, Any]

MEMORIES: Final = ("empty", "own", "gold", "shuffled")
CHARGED: Final = ("charged/empty", "charged/own", "charged/gold")
PLACED: Final = ("position/own", "position/gold", "query/own", "query/gold")
BASELINES: Final = ("base", "control", "text", "search")
CONDITIONS: Final = ("off", *MEMORIES, *CHARGED, *PLACED, *BASELINES)
_AT: Final = "own@"
_RATIOS: Final = (
    *((name, "off") for name in (*MEMORIES, *CHARGED, *PLACED)),
    ("off", "control"),
    ("off", "base"),
    ("text", "base"),
    ("search", "base"),
)
PORTION: Final = 24  # documents, whose keys and values are held at once


@dataclass(frozen=True, slots=True)
class Choices:
    """How to evaluate.

    Args:
        conditions: Which of ``CONDITIONS``; those without their model are left out.
        thresholds: As in ``editing.Choices``.
        opening: As in ``Sampling``.
        copy_names: The writer's names are spans of the text.
        batch_size: Queries and sentences written together.
        seed: Of the exchange and the intervals.
        threshold: Least probability of what was written that ``own`` holds; 0 for all of it, as it is.
    """

    conditions: tuple[str, ...] = CONDITIONS
    thresholds: str = "chat"
    opening: float = OPENING
    copy_names: bool = False
    batch_size: int = 32
    seed: int = 0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        """Check what can be mistyped."""
        check_threshold(self.threshold)
        object.__setattr__(self, "conditions", tuple(self.conditions))
        thresholds_of(self.thresholds)
        Sampling(opening=self.opening)
        for name in self.conditions:
            if name not in CONDITIONS and _least(name) is None:
                raise ConfigurationError(
                    f"there is no condition {name!r}; use some of {', '.join(CONDITIONS)} or own@0.8"
                )


def _least(condition: str) -> float | None:
    """The threshold of a condition such as ``own@0.8``; None if it is none."""
    try:
        return check_threshold(float(condition.removeprefix(_AT))) if condition.startswith(_AT) else None
    except (ValueError, ConfigurationError):
        return None


def ordered(conditions: Iterable[str]) -> list[str]:
    """Conditions in the order of the table, those with a threshold after ``own``."""
    some = set(conditions)
    own = sorted(name for name in some if name.startswith(_AT))
    return [each for name in CONDITIONS for each in ([name] if name in some else []) + (own if name == "own" else [])]


# --- documents and memories -------------------------------------------------------------------------------------------


def cases_of(
    documents: Sequence[Document], writes: Mapping[str, Sequence[Triple]] | None = None
) -> list[dict[str, Any]]:
    """A case for each document; ``writes``: what a writer wrote of it, by title, if that was done before.

    Raises:
        ConfigurationError: A title that comes twice.
    """
    titles = [document.title for document in documents]
    if len(set(titles)) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise ConfigurationError(f"two documents are called {twice!r}; results are kept by title")
    made = []
    for document in documents:
        case: dict[str, Any] = {"id": document.title, "document": asdict(document)}
        if writes is not None and document.title in writes:
            case["writes"] = [list(triple) for triple in writes[document.title]]
        made.append(case)
    return made


def document_of(case: Case) -> Document:
    """The document of a case, also after a trip through JSON."""
    data = case["document"]
    return Document(
        data["title"],
        tuple(data["sentences"]),
        tuple(Mention(**mention) for mention in data["mentions"]),
        tuple(data["types"]),
        tuple(
            Label(label["head"], label["relation"], label["tail"], tuple(label["evidence"])) for label in data["labels"]
        ),
    )


def gold_triples(document: Document) -> list[Triple]:
    """The labels by the names of the text: each name of one end with the longest name of the other.

    So whatever name of an entity a reader asks by, and whatever name comes next, the memory knows it.
    """
    names: dict[int, dict[str, None]] = defaultdict(dict)
    for mention in document.mentions:
        names[mention.entity][mention.text] = None
    found: dict[Triple, None] = {}
    for label in dict.fromkeys(document.labels):
        heads, tails = list(names[label.head]), list(names[label.tail])
        if label.head == label.tail or not heads or not tails:
            continue
        pairs = [(max(heads, key=len), tail) for tail in tails] + [(head, max(tails, key=len)) for head in heads]
        for head, tail in pairs:
            try:
                found[Triple(head, label.relation, tail)] = None
            except InvalidTriple:
                continue
    return list(found)


def shuffled(triples: Sequence[Triple], seed: int) -> list[Triple]:
    """The same subjects and relations, each with the object of another fact of its relation that is not true of it.

    Facts of a relation for which no other object is left are dropped.
    """
    draw = random.Random(f"shuffled {seed}")  # noqa: S311 - reproducible, not secret
    by_relation: dict[str, list[Triple]] = defaultdict(list)
    true: dict[tuple[str, str], set[str]] = defaultdict(set)
    for triple in dict.fromkeys(triples):
        by_relation[triple.relation].append(triple)
        true[triple.subject, triple.relation].add(triple.object)
    found: dict[Triple, None] = {}
    for relation, facts in sorted(by_relation.items()):
        objects = [fact.object for fact in facts]
        draw.shuffle(objects)
        for fact in facts:
            at = next((at for at, name in enumerate(objects) if name not in true[fact.subject, relation]), None)
            if at is not None:
                found[Triple(fact.subject, relation, objects.pop(at))] = None
    return list(found)


# --- running ----------------------------------------------------------------------------------------------------------


def write(model: MemLLMModel, cases: Sequence[Case], choices: Choices) -> dict[str, dict[str, Any]]:
    """What the writer writes of documents, or was given as written; the sentences of all are written together.

    Nothing, if no condition needs it.
    """
    if not any(map(of_own_writes, choices.conditions)):
        return {case["id"]: {"written": []} for case in cases}
    found: dict[str, dict[str, Any]] = {
        case["id"]: {"written": list(case.get("writes", ())), "confidences": [1.0] * len(case.get("writes", ()))}
        for case in cases
    }
    sentences = [
        (document.title, sentence, context)
        for document in (document_of(case) for case in cases if "writes" not in case)
        for sentence, context in zip(document.sentences, contexts_of(document.sentences), strict=True)
    ]
    options = WriteOptions(copy_names=choices.copy_names, batch_size=choices.batch_size, threshold=0)
    outputs = model.write_calls([s for _, s, _ in sentences], [c for _, _, c in sentences], options=options)
    for (title, _, _), output in zip(sentences, outputs, strict=True):
        found[title]["written"] += [list(triple) for triple in output.triples]
        found[title]["confidences"] += [round(value, 4) for value in output.confidences]
    return found


def sure(written: Mapping[str, Any], threshold: float) -> list[Triple]:
    """What was written of a document and is at least so probable; above 0 a single-valued relation is filled once."""
    triples = [Triple(*triple) for triple in written.get("written", ())]
    if not threshold:
        return triples
    rated = zip(triples, written.get("confidences", ()), strict=True)
    statements = [Statement(s, r, o, confidence=value) for (s, r, o), value in rated if value >= threshold]
    kept, _ = filled_once(statements, Catalogue.docred())
    return [Triple(each.subject, each.relation, each.object) for each in kept]


def run(
    model: MemLLMModel,
    cases: Sequence[Case],
    choices: Choices,
    *,
    written: Mapping[str, Mapping[str, Any]] | None = None,
    every: Sequence[Case] | None = None,
    base: MemLLMModel | None = None,
    control: MemLLMModel | None = None,
) -> dict[str, dict[str, Any]]:
    """Score documents under every condition.

    Args:
        model: The reader.
        cases: Documents.
        choices: How.
        written: What ``write`` returned for all documents.
        every: All documents, which the memories hold.
        base: The untrained model, for ``base``, ``text`` and ``search``.
        control: The model for ``control``.
    """
    documents = [document_of(case) for case in cases]
    whole = [document_of(case) for case in every or cases]
    writes = {d.title: (written or {}).get(d.title, {}) for d in whole}
    results: dict[str, dict[str, Any]] = {}
    with Memory(policy="paper", thresholds=thresholds_of(choices.thresholds)) as memory:
        gold = {document.title: gold_triples(document) for document in whole}
        for name in ("own", *(each for each in choices.conditions if each.startswith(_AT))):
            least = choices.threshold if name == "own" else _least(name) or 0.0
            _fill(memory, name, {title: sure(some, least) for title, some in writes.items()})
        _fill(memory, "gold", gold)
        _fill(memory, "shuffled", {"all": shuffled([t for some in gold.values() for t in some], choices.seed)})
        store = Store(gold) if base is not None and "search" in choices.conditions else None
        texts = [Text(document, model.vocabulary) for document in documents]
        outcomes = _under_memories(model, texts, memory, choices)
    for number, (document, text) in enumerate(zip(documents, texts, strict=True)):
        mine = {name: outcomes[at, name] for at, name in outcomes if at == number}
        mine |= baselines(text, gold[document.title], store, choices.conditions, base, control)
        results[document.title] = _result(text, mine, model.vocabulary) | _kept(
            writes[document.title], choices.conditions, choices.threshold
        )
    return results


def _fill(memory: Memory, name: str, triples: Mapping[str, Sequence[Triple]]) -> None:
    for title, some in triples.items():
        for at in range(0, len(some), 1_000):
            memory.write(some[at : at + 1_000], namespace=_namespace(name), source=Source("document", title))


def _namespace(condition: str) -> tuple[str, ...]:
    return ("memllm", condition.rpartition("/")[2])


def _under_memories(model: MemLLMModel, texts: Sequence[Text], memory: Memory, choices: Choices) -> dict[Key, Outcome]:
    """The reader's conditions for some texts."""
    wanted = [name for name in choices.conditions if _least(name) is not None or name in (*MEMORIES, *CHARGED, *PLACED)]
    if not wanted and "off" not in choices.conditions:
        return {}
    pages = [Page(model, text.ids) for text in texts]
    runs: dict[Key, Run] = {}
    for number, (text, page) in enumerate(zip(texts, pages, strict=True)):
        for name in wanted:
            if name in (*MEMORIES, *CHARGED) or _least(name) is not None:
                runs[number, name] = free_run(page, choices.opening, name in CHARGED)
            elif name.startswith("position"):
                runs[number, name] = placed_run(page, dict.fromkeys(text.targets))
            else:
                runs[number, name] = placed_run(page, _gold_queries(text, memory))

    def lookup(condition: str, queries: Sequence[Query]) -> Results:
        return Results.of(memory.read_many(queries, namespace=_namespace(condition)))

    asking = any(name.startswith("position") for name in wanted)
    ahead = [(number, at) for number, text in enumerate(texts) for at in text.targets] if asking else []
    outcomes = drive(model, pages, runs, lookup, choices.batch_size, ahead)
    if "off" in choices.conditions:
        outcomes |= {(number, "off"): off(page) for number, page in enumerate(pages)}
    return outcomes


def _gold_queries(text: Text, memory: Memory) -> dict[int, tuple[Query, ...]]:
    """What the training data would ask at each target, by what the labels answer."""
    asked = {at: answerable(target, memory, _namespace("gold")) for at, target in text.targets.items()}
    return {at: queries for at, queries in asked.items() if queries}


# --- results and figures ----------------------------------------------------------------------------------------------


def _result(text: Text, outcomes: Mapping[str, Outcome], vocabulary: Vocabulary) -> dict[str, Any]:
    """Sums of one document; calls with their place, what was asked and found, and why they were withdrawn."""
    first = 0 if vocabulary.bos else 1
    spans = {
        name: [(max(first, begin), end) for begin, end in some if end > max(first, begin)]
        for name, some in (("targets", text.target_spans), ("entities", text.entity_spans))
    }
    measured = {name: outcomes[name] for name in ordered(outcomes)}
    return {
        "counts": {"tokens": len(text.ids) - first} | {name: len(some) for name, some in spans.items()},
        "overall": {name: round(sum(outcome.nll), 5) for name, outcome in measured.items()},
        "targets": {name: [round(each, 5) for each in _means(o, spans["targets"])] for name, o in measured.items()},
        "entities": {name: round(sum(_means(o, spans["entities"])), 5) for name, o in measured.items()},
        "calls": {
            name: [
                {
                    "at": at,
                    "queries": [[query.subject, query.relation, query.object] for query in call.queries],
                    "pasted": list(call.pasted),
                    "withdrawn": call.withdrawn,
                }
                for at, call in outcome.calls
            ]
            for name, outcome in measured.items()
            if outcome.calls
        },
    }


def joined(kept: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The result of one document with the conditions that were measured anew in the place of its own."""
    views, measured = {}, new["overall"]
    for view in ("overall", "targets", "entities", "calls"):
        both = {name: value for name, value in kept[view].items() if name not in measured} | new[view]
        views[view] = {name: both[name] for name in ordered(both)}
    wrote = new if any(map(of_own_writes, measured)) else kept
    return {**new, **views, **{key: wrote[key] for key in ("written", "confidences") if key in wrote}}


def of_own_writes(condition: str) -> bool:
    """Whether a condition needs what the writer wrote of the documents."""
    return condition.endswith("own") or condition.startswith(_AT)


def _kept(written: Mapping[str, Any], conditions: Iterable[str], threshold: float) -> dict[str, Any]:
    """What was written, as a report keeps it; with the probabilities where they count."""
    kept = {"written": written.get("written", [])}
    if threshold or any(name.startswith(_AT) for name in conditions):
        kept["confidences"] = written.get("confidences", [])
    return kept


def _means(outcome: Outcome, spans: Iterable[tuple[int, int]]) -> list[float]:
    return [sum(outcome.nll[begin:end]) / (end - begin) for begin, end in spans]


def figures(cases: Sequence[Case], results: Mapping[str, Mapping[str, Any]], choices: Choices) -> list[Figure]:
    """The table: the three perplexities of each condition, then the ratios of two conditions over the same names."""
    every = [results[case["id"]] for case in cases]
    made = []
    present = ordered(every[0]["overall"]) if every else []
    ratios = (*((name, "off") for name in present if name.startswith(_AT)), *_RATIOS)
    for view, unit in (("overall", "tokens"), ("targets", "targets"), ("entities", "entities")):
        count = sum(result["counts"][unit] for result in every)
        sums = {name: [_sum(result[view][name]) for result in every] for name in present}
        counts = [float(result["counts"][unit]) for result in every]
        for name in present:
            pairs = list(zip(sums[name], counts, strict=True))
            made.append(figure(f"{view} {name}", pairs, exp_mean, seed=choices.seed, count=count))
        for name, other in ratios:
            if name in present and other in present:
                rows = list(zip(sums[name], sums[other], counts, strict=True))
                made.append(figure(f"{view} {name} / {other}", rows, ratio_of_exp, seed=choices.seed, count=count))
    return made


def _sum(value: float | list[float]) -> float:
    return sum(value) if isinstance(value, list) else value
