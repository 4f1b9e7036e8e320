"""What the writer and the reader are shown, made from documents with relations (arXiv 2404.11672).

Writer: each sentence with the triples it states. A relation belongs to a sentence that its evidence lists; without a
list, to one in which both ends are named (the paper asks a large model instead: pass ``keep``). Names are spelt as in
the sentence, else by their longest form before it.

Reader: the text with a call before each name that a relation connects to an earlier one and that is new in the text.
Its queries are run on a memory that was filled with given writes, so that their results are as good and bad as in use;
the gold name is put in when they find nothing. A mistake is what a reader could as well have asked and been told
there, without finding the name: with the right calls alone it would learn to trust whatever it is told.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from langchain_memllm.errors import InvalidTriple
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Reading, Results, advance
from langchain_memllm.training.documents import Document, Label, Mention
from langchain_memllm.training.examples import Asked, ReadDocument, WriteDocument
from langchain_memllm.triples import Namespace, Query, Source, Triple

__all__ = [
    "AMBIGUOUS",
    "Keep",
    "Side",
    "Target",
    "answerable",
    "answers_of",
    "fill",
    "read_document",
    "targets",
    "write_document",
]

MAX_TRIPLES: Final = 31
MAX_QUERIES: Final = 3
TOO_BROAD: Final = 30
ASKED_WRONGLY: Final = 2 / 3
"""Share of the mistakes that ask for something else; the others are told what is true of something else."""

Side = tuple[Literal["object", "subject"], str]
"""What is asked for: the open side of a relation."""

Keep = Callable[[str, str, Triple], bool]
"""Whether a sentence states a triple, given the text before it: for users with a large model."""

AMBIGUOUS: Final = frozenset(
    [
        *(
            ("subject", relation)
            for relation in (
                "country of citizenship",
                "country",
                "country of origin",
                "religion",
                "place of birth",
                "place of death",
                "work location",
                "location of formation",
                "location",
                "basin country",
                "residence",
                "publication date",
                "production company",
                "original language of work",
                "applies to jurisdiction",
                "platform",
                "located in the administrative territorial entity",
                "headquarters location",
                "inception",
                "employer",
                "date of birth",
                "date of death",
                "educated at",
            )
        ),
        ("object", "continent"),
        ("object", "contains administrative territorial entity"),
    ]
)
"""Open side and relation of queries that too many facts answer ("who was born in London?"); the paper's 25."""


# --- writer -----------------------------------------------------------------------------------------------------------


def write_document(document: Document, keep: Keep | None = None) -> WriteDocument:
    """The triples of each sentence, in the order in which their later name stands there.

    A sentence with more than ``MAX_TRIPLES`` is context only.

    Args:
        document: Text with mentions and labels.
        keep: Asked about relations without evidence, for every sentence that could state them; if none passes, the
            last one that could is used, so that no relation is lost. None: the sentences that name both ends.
    """
    found: dict[int, dict[Triple, int]] = defaultdict(dict)
    for label in dict.fromkeys(document.labels):
        for sentence, triple, place in _stated(document, label, keep):
            found[sentence].setdefault(triple, place)
    lists = [sorted(found[at], key=found[at].__getitem__) for at in range(len(document.sentences))]
    kept = tuple(tuple(triples) if len(triples) <= MAX_TRIPLES else None for triples in lists)
    return WriteDocument(document.title, document.sentences, kept)


def _stated(document: Document, label: Label, keep: Keep | None) -> list[tuple[int, Triple, int]]:
    """Sentence, triple and place of each statement of a label."""
    candidates = [
        (at, *stated)
        for at in range(len(document.sentences))
        if (stated := _triple_in(document, label, at)) is not None
    ]
    if label.evidence:
        return [(at, triple, place) for at, triple, place, _ in candidates if at in label.evidence]
    if keep is None:
        return [(at, triple, place) for at, triple, place, both in candidates if both]
    passed = [
        (at, triple, place)
        for at, triple, place, _ in candidates
        if keep(" ".join(document.sentences[:at]), document.sentences[at], triple)
    ]
    return passed or [(at, triple, place) for at, triple, place, _ in candidates[-1:]]


def _triple_in(document: Document, label: Label, sentence: int) -> tuple[Triple, int, bool] | None:
    """The triple as this sentence names it, the place of its later name, and whether it names both ends."""
    ends = [_name_in(document, entity, sentence) for entity in (label.head, label.tail)]
    head, tail = ends
    if head is None or tail is None or sentence not in (head.sentence, tail.sentence) or label.head == label.tail:
        return None
    try:
        triple = Triple(head.text, label.relation, tail.text)
    except InvalidTriple:
        return None
    place = max(mention.start for mention in (head, tail) if mention.sentence == sentence)
    return triple, place, head.sentence == tail.sentence


def _name_in(document: Document, entity: int, sentence: int) -> Mention | None:
    """The first mention in a sentence, else the longest before it."""
    mentions = [m for m in document.mentions if m.entity == entity and m.sentence <= sentence]
    here = [m for m in mentions if m.sentence == sentence]
    return here[0] if here else max(mentions, key=lambda m: len(m.text), default=None)


# --- reader -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A name to look up: from and to which character of the text it stands, and what could be asked for it."""

    start: int
    end: int
    name: str
    queries: tuple[Query, ...]

    def may_be(self, name: str) -> bool:
        """Whether a name could be another form of this one: one is a part of the other."""
        return name in self.name or self.name in name


def targets(document: Document) -> list[Target]:
    """The names that a relation connects to an earlier one and that are new in the text (the paper's algorithm 1).

    The queries name the earlier end by each of its forms, the latest first. Those of ``AMBIGUOUS`` are left out.
    """
    text, found = document.text, list[Target]()
    related = _related(document.labels)
    seen: dict[int, dict[str, int]] = defaultdict(dict)  # entity to its forms, and where each stood last
    end = 0
    for mention in document.mentions:
        start = document.offset(mention.sentence) + mention.start
        if start and start >= end and mention.text not in text[:start]:
            earlier = [(place, form, entity) for entity in seen for form, place in seen[entity].items()]
            queries = [
                query
                for _, form, entity in sorted(earlier, reverse=True)
                for query in _queries(form, related.get((entity, mention.entity), ()))
            ]
            if queries:
                found.append(Target(start, start + len(mention.text), mention.text, tuple(dict.fromkeys(queries))))
        end = max(end, start + len(mention.text))
        seen[mention.entity][mention.text] = start
    return found


def _related(labels: Iterable[Label]) -> dict[tuple[int, int], list[Side]]:
    """From an earlier and a later entity to (open side, relation) of what may be asked about the earlier one."""
    related: dict[tuple[int, int], list[Side]] = defaultdict(list)
    for label in dict.fromkeys(labels):
        head, tail = label.head, label.tail
        sides: tuple[Side, Side] = ("object", label.relation), ("subject", label.relation)
        for pair, side in zip(((head, tail), (tail, head)), sides, strict=True):
            if side not in AMBIGUOUS and head != tail:
                related[pair].append(side)
    return related


def _side(query: Query) -> Side:
    return ("subject" if query.subject is None else "object"), query.relation or ""


def _queries(form: str, asked: Iterable[Side]) -> list[Query]:
    try:
        return [Query(form, relation) if side == "object" else Query(None, relation, form) for side, relation in asked]
    except InvalidTriple:
        return []


def read_document(
    document: Document,
    memory: Memory,
    namespace: Namespace,
    others: Mapping[Side, Sequence[str]] | None = None,
    seed: int = 0,
) -> ReadDocument:
    """The text with a call before each target, answered by a memory.

    Queries that find ``TOO_BROAD`` names or more are dropped; of the others at most three are kept, those that find the
    target first, then those that find little. A target whose first query is that of the target before opens no call.

    Args:
        document: Text with mentions and labels.
        memory: Filled with what a writer wrote of these documents, or with the gold triples.
        namespace: Where in it.
        others: What could be answered wrongly, see ``answers_of``. With it a mistake is made for each call: two of
            three ask for another fact about a name before, the others find what is true of something else.
        seed: Which mistakes.
    """
    draw = random.Random(f"mistakes {document.title} {seed}")  # noqa: S311 - reproducible, not secret
    text, cut = document.text, 0
    pieces: list[str] = []
    calls: list[Asked] = []
    mistakes: dict[int, Asked] = {}
    answered = [] if others is None else _answered(document)
    for target in targets(document):
        queries = answerable(target, memory, namespace)
        if not queries or (calls and queries[0] == calls[-1][0][0]):
            continue
        at = target.start - (text[target.start - 1] == " ")  # a word's token begins with its space: it is the model's
        names = _pasted(queries, target.name, memory, namespace)
        if names and at > cut:
            if others is not None:
                mistake = _mistake(target, queries[0], answered, others.get(_side(queries[0]), ()), draw)
                mistakes |= {len(calls): mistake} if mistake else {}
            pieces.append(text[cut:at])
            calls.append((queries, names))
            cut = at
    return ReadDocument(document.title, (*pieces, text[cut:]), tuple(calls), mistakes=mistakes)


def answers_of(documents: Iterable[Document]) -> dict[Side, list[str]]:
    """The names that queries for each open side and relation have anywhere, as often as they come."""
    found: dict[Side, list[str]] = defaultdict(list)
    for document in documents:
        names = _longest_names(document)
        for label in dict.fromkeys(document.labels):
            if label.head in names and label.tail in names:
                found["object", label.relation].append(names[label.tail])
                found["subject", label.relation].append(names[label.head])
    return found


def _longest_names(document: Document) -> dict[int, str]:
    names: dict[int, str] = {}
    for mention in document.mentions:
        names[mention.entity] = max(names.get(mention.entity, ""), mention.text, key=len)
    return names


def _answered(document: Document) -> list[tuple[int, Query, tuple[str, ...]]]:
    """Each query that the labels answer, where its name first stands in the text, and the answers."""
    names = _longest_names(document)
    true: dict[int, dict[Side, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for label in document.labels:
        if label.head in names and label.tail in names:
            true[label.head]["object", label.relation][names[label.tail]] = None
            true[label.tail]["subject", label.relation][names[label.head]] = None
    found: dict[Query, tuple[int, tuple[str, ...]]] = {}
    for mention in document.mentions:
        place = document.offset(mention.sentence) + mention.start
        for side, answers in true[mention.entity].items():
            for query in _queries(mention.text, [side]):
                found.setdefault(query, (place, tuple(answers)))
    return [(place, query, answers) for query, (place, answers) in found.items()]


def _mistake(
    target: Target,
    right: Query,
    answered: Sequence[tuple[int, Query, tuple[str, ...]]],
    others: Sequence[str],
    draw: random.Random,
) -> Asked | None:
    """What could as well be asked and told at a target without naming it; None if there is nothing."""
    wrong = [
        ((query,), answers)
        for place, query, answers in answered
        if place < target.start and len(answers) < TOO_BROAD and not any(map(target.may_be, answers))
    ]
    if wrong and draw.random() < ASKED_WRONGLY:
        return draw.choice(wrong)
    told = draw.choice(others) if others else target.name
    return None if target.may_be(told) else ((right,), (told,))


def answerable(target: Target, memory: Memory, namespace: Namespace) -> tuple[Query, ...]:
    """The queries that are asked for a target: at most three, by what a memory answers (see ``read_document``)."""
    results = memory.read_many(target.queries, namespace=namespace, limit=TOO_BROAD)
    found = {query: result.answers for query, result in zip(target.queries, results, strict=True)}
    narrow = [query for query, names in found.items() if len(names) < TOO_BROAD]
    hits = [query for query in narrow if found[query]] or narrow
    ordered = sorted(hits, key=lambda query: (target.name not in found[query], len(found[query])))
    return tuple(ordered[:MAX_QUERIES])


def _pasted(queries: tuple[Query, ...], gold: str, memory: Memory, namespace: Namespace) -> tuple[str, ...]:
    """The names that a reading pastes after these queries; the gold one if they find nothing, () if too much."""
    asking = Reading("-", phase="lookup", asked=queries)
    results = Results.of(memory.read_many(queries, namespace=namespace))
    if not any(results.answers):
        results = Results(((gold,), *((),) * (len(queries) - 1)))
    answered, _ = advance(asking, results)
    return answered.calls[-1].pasted if answered.calls[-1].withdrawn is None else ()


def fill(memory: Memory, writes: Iterable[WriteDocument], namespace: Namespace) -> int:
    """Write the triples of documents into a memory, each document as a source; returns how many were given."""
    count = 0
    for document in writes:
        triples = [triple for each in document.triples for triple in each or ()]
        if triples:
            memory.write(triples, namespace=namespace, source=Source("document", document.source))
        count += len(triples)
    return count
