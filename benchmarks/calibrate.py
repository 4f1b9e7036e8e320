"""Fits the similarity thresholds of the presets CHAT and STRICT to the shipped embedder, on real names.

    python benchmarks/calibrate.py --data PATH [--json benchmarks/results/calibrate.json]

PATH holds ``codex/`` (CoDEx-M triples of github.com/tsafavi/codex, MIT, from Wikidata, CC0) and
``fb15k237/entity2wikidata.json.gz`` (labels and aliases of github.com/villmow/datasets_knowledge_embedding, MIT; labels
from Wikidata, CC0). Relation phrases are the shipped catalogue's aliases: they stand for phrasings that no catalogue
lists, since a listed one is found exactly. Three kinds of query are asked of namespaces of 200 and of 800 subjects:

    entity    an alias of the subject, the relation's own label
    relation  the subject's own name, another phrase for the relation
    both      an alias and another phrase

Half of the queries of each kind have no answer in the namespace: a subject that is not in it, or a relation that the
subject lacks (half of those ask by the relation's own label). An answer is one slot (subject, relation); a slot is
right if it is the one asked for. Each threshold is the lowest with the wanted precision on one half of the subjects
and phrases; precision and recall are reported on the other half. Precision falls as a namespace grows. CHAT is fitted
at 800 subjects; STRICT at 200, because 0.99 is out of reach at 800 ("The Matrix 3" has the vector of "The Matrix",
"J. Q. Adams" is next to "John Adams").
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from langchain_memllm.embeddings import Vectors
from langchain_memllm.relations import Catalogue, Relation
from langchain_memllm.triples import name_key

SIZES = (200, 800)
QUERIES_PER_SUBJECT = 2
TARGETS = {"chat": (0.90, 800), "strict": (0.99, 200)}  # precision, and the subjects it is fitted at
GRID = [round(0.30 + 0.01 * i, 2) for i in range(70)]
HARD_PAIRS = [
    ("likes", "dislikes"),
    ("place of birth", "place of death"),
    ("date of birth", "date of death"),
    ("father", "mother"),
    ("start time", "end time"),
    ("Marie Curie", "Pierre Curie"),
    ("Henry IV", "Henry V"),
    ("North Korea", "South Korea"),
    ("lives in", "residence"),
    ("works for", "employer"),
    ("New York City", "NYC"),
    ("Marie Curie", "Maria Sklodowska-Curie"),
]

Slot = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Hit:
    """One slot that a query could return: its similarities, and whether it is the one asked for."""

    entity: float
    relation: float
    right: bool


@dataclass(frozen=True, slots=True)
class Score:
    """Precision and recall of one kind of query at one setting."""

    precision: float
    recall: float
    answers: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Hits of the queries of one kind, and how many of the queries have an answer."""

    hits: tuple[Hit, ...]
    answerable: int

    def score(self, entity: float, relation: float, mean: float) -> Score:
        """Precision over all returned slots, recall over the answerable queries."""
        returned = [
            hit
            for hit in self.hits
            if hit.entity >= entity and hit.relation >= relation and (hit.entity + hit.relation) / 2 >= mean
        ]
        right = sum(hit.right for hit in returned)
        return Score(right / len(returned) if returned else 1.0, right / self.answerable, len(returned))


class World:
    """Real names and triples, and the vectors of all of them."""

    def __init__(self, data: Path) -> None:
        """Read the data and embed every name once."""
        entries = json.loads(gzip.decompress((data / "fb15k237" / "entity2wikidata.json.gz").read_bytes())).values()
        entities = {entry["wikidata_id"]: entry for entry in entries if entry.get("label")}
        self.relations = {r.wikidata: r for r in Catalogue.docred() if r.wikidata}
        self.slots: dict[str, set[str]] = defaultdict(set)
        for part in ("train", "valid", "test"):
            for line in gzip.decompress((data / "codex" / f"codex-m.{part}.txt.gz").read_bytes()).decode().splitlines():
                subject, relation, _ = line.split()
                if subject in entities and relation in self.relations:
                    self.slots[subject].add(relation)
        self.used = {relation for known in self.slots.values() for relation in known}
        self.labels = {subject: entities[subject]["label"] for subject in self.slots}
        taken = {name_key(entry["label"]) for entry in entities.values()}  # names that are found exactly
        self.aliases = {
            subject: [a for a in entities[subject].get("alternatives", []) if name_key(a) not in taken]
            for subject in self.slots
        }
        self._vectors = Vectors(capacity=1_000_000)

    def matrix(self, names: Iterable[str]) -> NDArray[np.float32]:
        """Vectors of names, zero where there is none (never similar to anything)."""
        dimension = self._vectors.dimension
        zero = np.zeros(dimension, np.float32)
        return np.stack([zero if v is None else v for v in self._vectors.embed(list(names))])

    def similarity(self, name: str, names: Sequence[str]) -> NDArray[np.float32]:
        """Cosines of a name to names."""
        return self.matrix(names) @ self.matrix([name])[0]


def sample(world: World, kind: str, size: int, half: int) -> Sample:
    """Ask queries of namespaces of ``size`` subjects, of one half of the subjects and phrases."""
    subjects = sorted(world.slots)
    rng = random.Random(0)
    rng.shuffle(subjects)
    subjects = subjects[half::2]
    namespaces = [subjects[i : i + size] for i in range(0, len(subjects) - size + 1, size)]
    hits: list[Hit] = []
    answerable = 0
    for number, namespace in enumerate(namespaces):
        inside, outside = set(namespace), namespaces[(number + 1) % len(namespaces)]
        for query in range(QUERIES_PER_SUBJECT * size):
            asked = draw(world, namespace if query % 2 or kind == "relation" else outside, kind, half, query, rng)
            if asked is not None:
                slot, entity, phrase = asked
                answerable += slot[0] in inside and slot[1] in world.slots[slot[0]]
                hits += answers(world, namespace, slot, entity, phrase)
    return Sample(tuple(hits), answerable)


def draw(
    world: World, subjects: Sequence[str], kind: str, half: int, query: int, rng: random.Random
) -> tuple[Slot, str | None, str | None] | None:
    """A slot to ask for, with another name of its subject (unless the kind is relation) and of its relation.

    Every other query of kind ``relation`` asks for what the subject lacks, every fourth by the relation's own label.
    """
    subject = rng.choice(subjects)
    if kind != "relation" and not world.aliases[subject]:
        return None
    lacking = query % 2 == 0 if kind == "relation" else query % 4 == 1 and kind == "both"
    known = world.slots[subject]
    relation = rng.choice(sorted(world.used - known if lacking else known))
    entity = None if kind == "relation" else rng.choice(world.aliases[subject])
    phrase = None if kind == "entity" else rng.choice(world.relations[relation].aliases[half::2])
    if kind == "relation" and query % 4 == 0:
        phrase = world.relations[relation].label
    return (subject, relation), entity, phrase


def answers(world: World, namespace: Sequence[str], slot: Slot, entity: str | None, phrase: str | None) -> list[Hit]:
    """Every slot of the namespace that could answer, with its similarities."""
    candidates = list(namespace) if entity is not None else [slot[0]]
    near = world.similarity(entity, [world.labels[c] for c in candidates]) if entity is not None else np.ones(1)
    relations = sorted({r for c in candidates for r in world.slots[c]})
    if phrase is None:
        close = {r: 1.0 if r == slot[1] else -1.0 for r in relations}
    else:
        cosines = world.similarity(phrase, [world.relations[r].label for r in relations])
        close = dict(zip(relations, map(float, cosines), strict=True))
    return [
        Hit(float(similarity), close[relation], (candidate, relation) == slot)
        for candidate, similarity in zip(candidates, near, strict=True)
        if similarity >= GRID[0]
        for relation in world.slots[candidate]
        if close[relation] >= GRID[0]
    ]


def lowest(scores: Iterable[tuple[float, Score]], target: float) -> float:
    """The lowest threshold at which, and at the next three, the precision reaches the target."""
    reached: list[float] = []
    for threshold, score in scores:
        reached = [*reached, threshold] if score.precision >= target else []
        if len(reached) > 3:
            break
    return reached[0] if reached else GRID[-1]


def fit(samples: dict[str, Sample], target: float) -> dict[str, float]:
    """Entity and relation thresholds each by itself, then the mean for pairs in which both vary."""
    entity = lowest(((t, samples["entity"].score(t, -1, -1)) for t in GRID), target)
    relation = lowest(((t, samples["relation"].score(-1, t, -1)) for t in GRID), target)
    top = (1 + min(entity, relation)) / 2  # above it the mean would also cut pairs with one exact side
    means = [t for t in GRID if (entity + relation) / 2 <= t <= top]
    mean = lowest(((t, samples["both"].score(entity, relation, t)) for t in means), target)
    return {"entity": entity, "relation": relation, "mean": min(mean, math.floor(100 * top) / 100)}


def relation_names(world: World, threshold: float) -> Score:
    """Every alias of a DocRED relation against the 96 labels."""
    docred = [r for r in world.relations.values() if r.wikidata and is_docred(r)]
    labels = world.matrix(r.label for r in docred)
    right = returned = asked = 0
    for row, relation in enumerate(docred):
        passed = world.matrix(relation.aliases) @ labels.T >= threshold
        asked, returned, right = asked + len(passed), returned + int(passed.sum()), right + int(passed[:, row].sum())
    return Score(right / returned if returned else 1.0, right / asked, returned)


def is_docred(relation: Relation) -> bool:
    """Whether it is one of the first 96, which are DocRED's."""
    return relation in list(Catalogue.docred())[:96]


def show(report: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    table = Table(title="Presets on unseen subjects and phrases (half of the queries have no answer)")
    columns = ("preset", "entity", "relation", "mean", "subjects", "query varies", "precision", "recall", "answers")
    for column in columns:
        table.add_column(column, justify="right")
    for preset, data in report["presets"].items():
        thresholds = [f"{value:.2f}" for value in data["thresholds"].values()]
        for size, kinds in data["scores"].items():
            for kind, score in kinds.items():
                measured = (f"{score['precision']:.3f}", f"{score['recall']:.3f}", str(score["answers"]))
                table.add_row(preset, *thresholds, str(size), kind, *measured)
    console.print(table)
    names = Table(title="Aliases of the 96 DocRED relations against the 96 labels")
    for column in ("relation >=", "precision", "recall"):
        names.add_column(column, justify="right")
    for threshold, score in report["docred_aliases"].items():
        names.add_row(threshold, f"{score['precision']:.3f}", f"{score['recall']:.3f}")
    console.print(names)
    hard = Table(title="Pairs worth knowing")
    hard.add_column("names")
    hard.add_column("cosine", justify="right")
    for pair, cosine in report["pairs"].items():
        hard.add_row(pair, f"{cosine:.2f}")
    console.print(hard)


def main() -> None:
    """Fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with codex/ and fb15k237/")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "calibrate.json")
    arguments = parser.parse_args()
    world = World(arguments.data)
    kinds = ("entity", "relation", "both")
    train, test = ({n: {k: sample(world, k, n, half) for k in kinds} for n in SIZES} for half in (0, 1))
    report: dict[str, Any] = {"presets": {}, "curves": {}}
    for preset, (target, fitted_at) in TARGETS.items():
        fitted = fit(train[fitted_at], target)
        scores = {size: {kind: asdict(test[size][kind].score(**fitted)) for kind in kinds} for size in SIZES}
        report["presets"][preset] = {
            "target_precision": target,
            "fitted_at_subjects": fitted_at,
            "thresholds": fitted,
            "scores": scores,
        }
    for size in SIZES:
        report["curves"][size] = {
            t: {
                "entity": asdict(test[size]["entity"].score(t, -1, -1)),
                "relation": asdict(test[size]["relation"].score(-1, t, -1)),
            }
            for t in GRID[::5]
        }
    report["docred_aliases"] = {str(t): asdict(relation_names(world, t)) for t in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)}
    report["pairs"] = {f"{a} | {b}": round(float(world.similarity(a, [b])[0]), 3) for a, b in HARD_PAIRS}
    report["embedder"] = Vectors().fingerprint.model_id
    show(report, Console())
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
