"""Recall of the name index against brute force on real names, and what a name and a search cost.

    python benchmarks/bench_nameindex.py --data PATH [--json benchmarks/results/bench_nameindex.json]

PATH holds ``redocred/dev_revised.json.gz`` (Re-DocRED, MIT), ``fb15k237/entity2wikidata.json.gz`` (labels and aliases;
MIT, labels from Wikidata, CC0; 4,185 of the entities are CoDEx-M's) and ``codex/relations.en.json.gz`` (MIT). Larger
namespaces are filled with pairs of those names ("Ada Lovelace Oslo"). Recall counts every name within the threshold, of
every query; a query that the index hands back to the exact scan (None) is counted separately and misses nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from langchain_memllm.embeddings import Vectors
from langchain_memllm.nameindex import NameIndex, encode
from langchain_memllm.relations import Catalogue

PAPER = {"paper perplexity": (0.85, 0.85, 0.90), "paper editing": (0.85, 0.20, 0.50)}
SIZES = (10_000, 100_000, 300_000)
QUERIES = 2_000

Matrix = NDArray[np.float32]


def read_json(path: Path) -> Any:
    """A gzipped JSON file."""
    return json.loads(gzip.decompress(path.read_bytes()))


def entity_names(data: Path) -> list[str]:
    """Distinct mentions of Re-DocRED, labels and aliases of FB15k-237 and CoDEx."""
    names = {m["name"] for d in read_json(data / "redocred" / "dev_revised.json.gz") for v in d["vertexSet"] for m in v}
    for entry in read_json(data / "fb15k237" / "entity2wikidata.json.gz").values():
        names |= {entry["label"], *entry.get("alternatives", [])}
    return sorted(name for name in names if name)


def relation_names(data: Path) -> list[str]:
    """Labels of CoDEx's relations, labels and aliases of the shipped catalogue."""
    names = {relation["label"] for relation in read_json(data / "codex" / "relations.en.json.gz").values()}
    return sorted(names.union(*((r.label, *r.aliases) for r in Catalogue.shipped())))


def readable(names: list[str]) -> tuple[list[str], Matrix]:
    """The names that have a vector, and their vectors."""
    vectors = Vectors(capacity=len(names)).embed(names)
    kept = [(name, vector) for name, vector in zip(names, vectors, strict=True) if vector is not None]
    return [name for name, _ in kept], np.stack([vector for _, vector in kept])


def filled(matrix: Matrix) -> NameIndex[int]:
    """An index of all rows."""
    index: NameIndex[int] = NameIndex()
    index.add(range(len(matrix)), encode(matrix))
    return index


def recall(matrix: Matrix, queries: Matrix, min_similarity: float) -> dict[str, float | None]:
    """Share of the names within the threshold that the index passes on, and how much else it passes."""
    answers = filled(matrix).candidates(queries, [min_similarity] * len(queries))
    wanted = found = passed = exact = 0
    for query, answer in zip(queries, answers, strict=True):
        near = np.flatnonzero(matrix @ query >= min_similarity)
        wanted += len(near)
        if answer is None:
            exact, found = exact + 1, found + len(near)
        else:
            passed, found = passed + len(answer), found + len(np.intersect1d(near, answer))
    narrowed = len(queries) - exact
    return {
        "min_similarity": min_similarity,
        "wanted": wanted,
        "found": found,
        "recall": found / wanted,
        "exact_scans": exact,
        "candidates_per_query": passed / narrowed if narrowed else None,
    }


def presets(calibration: Path) -> dict[str, tuple[float, float, float]]:
    """Thresholds for entity, relation and mean of every preset."""
    fitted = json.loads(calibration.read_text(encoding="utf-8"))["presets"]
    ours = {
        name: tuple(preset["thresholds"][part] for part in ("entity", "relation", "mean"))
        for name, preset in fitted.items()
    }
    return {**ours, **PAPER}


def microseconds(work: Callable[[], object], items: int, repeat: int = 5) -> float:
    """Median time of one item."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) / items * 1e6


def embedding_costs(names: list[str]) -> dict[str, float | None]:
    """Microseconds a name: in batches of 1,000, one at a time, again from the cache, and into a code."""
    some = names[:5000]
    vectors = Vectors(capacity=len(names))
    matrix = readable(some)[1]
    batches = [some[i : i + 1000] for i in range(0, len(some), 1000)]
    return {
        "batch": microseconds(lambda: [Vectors().embed(batch) for batch in batches], len(some)),
        "single": microseconds(lambda: [vectors.embed([name]) for name in some], len(some), repeat=1),
        "cached": microseconds(lambda: [vectors.embed([name]) for name in some], len(some)),
        "encode_batch": microseconds(lambda: encode(matrix), len(matrix)),
        "encode_single": microseconds(lambda: [encode(matrix[i : i + 1]) for i in range(500)], 500),
    }


def search_costs(names: list[str], thresholds: list[float], rng: random.Random) -> list[dict[str, float | None]]:
    """The cost of a search at each size and threshold."""
    pairs = [f"{rng.choice(names)} {rng.choice(names)}" for _ in range(max(SIZES))]
    matrix = readable(list(dict.fromkeys(names + pairs)))[1]
    order = np.random.default_rng(0).permutation(len(matrix))
    held = [np.ascontiguousarray(matrix[order[:size]]) for size in SIZES]
    return [search_cost(part, filled(part), threshold) for part in held for threshold in thresholds]


def search_cost(matrix: Matrix, index: NameIndex[int], threshold: float) -> dict[str, float | None]:
    """Microseconds of one search alone (median, 99th percentile) and in a batch of 32, beside the exact scan."""
    times, passed = [], []
    for i in range(200):
        start = time.perf_counter()
        (answer,) = index.candidates(matrix[i : i + 1], [threshold])
        times.append(time.perf_counter() - start)
        if answer is not None:
            passed.append(len(answer))
    return {
        "names": len(index),
        "min_similarity": threshold,
        "p50_us": float(np.percentile(times, 50)) * 1e6,
        "p99_us": float(np.percentile(times, 99)) * 1e6,
        "batch_of_32_us": microseconds(lambda: index.candidates(matrix[:32], [threshold] * 32), 32),
        "candidates": float(np.mean(passed)) if passed else None,
        "handed_back": 1 - len(passed) / len(times),
        "exact_scan_us": microseconds(lambda: matrix @ matrix[0], 1),
        "mib": index.nbytes / 2**20,
    }


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Rows as a table, columns named by the first."""
    made = Table(title=title)
    for column in rows[0]:
        made.add_column(column, justify="right")
    for row in rows:
        made.add_row(*map(shown, row.values()))
    return made


def shown(value: object) -> str:
    """A cell."""
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = Path(__file__).parent / "results"
    parser.add_argument("--data", type=Path, required=True, help="folder with redocred/, fb15k237/ and codex/")
    parser.add_argument("--calibration", type=Path, default=results / "calibrate.json")
    parser.add_argument("--json", type=Path, default=results / "bench_nameindex.json")
    arguments = parser.parse_args()
    rng = random.Random(0)
    all_entities, all_relations = entity_names(arguments.data), relation_names(arguments.data)
    entities, entity_matrix = readable(all_entities)
    relations, relation_matrix = readable(all_relations)
    queries = entity_matrix[rng.sample(range(len(entities)), QUERIES)]
    recalls = []
    for preset, (entity, relation, _) in presets(arguments.calibration).items():
        recalls.append({"preset": preset, "names": "entities", **recall(entity_matrix, queries, entity)})
        recalls.append({"preset": preset, "names": "relations", **recall(relation_matrix, relation_matrix, relation)})
    thresholds = sorted({entity for entity, _, _ in presets(arguments.calibration).values()})
    report = {
        "names": {
            "entities": len(all_entities),
            "entities_without_vector": len(all_entities) - len(entities),
            "relations": len(all_relations),
            "relations_without_vector": len(all_relations) - len(relations),
        },
        "recall": recalls,
        "embedding_us": embedding_costs(rng.sample(all_entities, len(all_entities))),
        "search": search_costs(entities, thresholds, rng),
    }
    console = Console()
    console.print(table("Names", [report["names"]]))
    console.print(table("Recall against brute force", recalls))
    console.print(table("Microseconds a name", [report["embedding_us"]]))
    console.print(table("One search", report["search"]))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
