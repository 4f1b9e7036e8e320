"""How often recall finds what answers: everyday questions and MuSiQue, beside full text and plain vectors.

``python -m benchmarks.bench_recall --everyday benchmarks/recall --multihop FOLDER``; fetches nothing. Every row is
measured in the same run on the same facts: ours, FTS5 with its own BM25 over fact and sentence, the shipped embedder as
plain vector search over the same text, and the reciprocal rank fusion of these two. Intervals are bootstrap 95 % over
questions. Of data that may not be shipped only scores leave this program.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import re
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from langchain_memllm.embeddings import StaticEmbedder
from langchain_memllm.memory import Memory
from langchain_memllm.triples import Source, name_key

__all__ = ["main"]

NS: Final = ("bench",)
_WORD: Final = re.compile(r"\w+")
_KS: Final = (5, 10)


@dataclass(frozen=True, slots=True)
class Item:
    """A fact with the ids of the evidence that it carries."""

    triple: tuple[str, ...]
    sentence: str = ""
    evidence: frozenset[str] = frozenset()
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; ``gold`` are ids of evidence, all of them wanted or any."""

    text: str
    gold: frozenset[str]
    kind: str = ""
    every: bool = True


@dataclass(slots=True)
class Corpus:
    """Facts of one memory and the questions about them."""

    name: str
    items: list[Item]
    questions: list[Asked]
    speaker: str | None = None
    shown: list[int] = field(default_factory=list)  # facts recalled for each question that has no answer


def everyday(folder: Path) -> list[Corpus]:
    """The set of ``benchmarks/recall``: 60 facts, with 500 of friends, with 250 newer ones of the user."""

    def items(name: str) -> list[Item]:
        return [
            Item((r["subject"], r["relation"], r["object"]), r["sentence"], frozenset([r["id"]]), r["said"])
            for r in json.loads((folder / name).read_text("utf-8"))
        ]

    asked = [
        Asked(q["question"], frozenset(q["gold"]), q["kind"] if q["language"] == "en" else "other languages", q["all"])
        for q in json.loads((folder / "everyday_questions.json").read_text("utf-8"))
    ]
    facts, friends, newer = items("everyday_facts.json"), items("friends.json"), items("newer.json")
    return [
        Corpus("everyday, 60 facts", facts, asked, "user"),
        Corpus("everyday, + 500 of friends", facts + friends, asked, "user"),
        Corpus("everyday, + 250 newer", facts + newer, asked, "user"),
    ]


def musique(folder: Path, distractors: Path | None) -> list[Corpus]:
    """Steps of MuSiQue's questions, all in one memory, with the facts of Re-DocRED dev where that folder is given."""
    questions: list[Asked] = []
    facts: dict[tuple[str, ...], str] = {}
    for row in _read(folder / "musique_migres.json.gz"):
        steps, paragraphs = (
            ast.literal_eval(value) if isinstance(value := row[name], str) else value
            for name in ("question_decomposition", "paragraphs")
        )
        titles = {each["idx"]: each["title"] for each in paragraphs}
        answers: list[str] = []
        for step in steps:
            words = step["question"].rstrip("?").strip()
            for place, answer in enumerate(answers, 1):
                words = words.replace(f"#{place}", answer)
            subject, relation = (
                (part.strip() for part in words.split(">>", 1))
                if ">>" in words
                else (titles[step["paragraph_support_idx"]], words)
            )
            triple = tuple(" ".join(part.split())[:250] for part in (subject, relation, step["answer"]))
            facts.setdefault(triple, f"m{len(facts)}")
            answers.append(step["answer"])
        questions.append(Asked(row["question"], frozenset([facts[triple]]), f"{len(steps)} steps"))
    if distractors is not None:
        names = json.loads((distractors / "rel_info.json").read_text("utf-8"))
        for document in _read(distractors / "dev_revised.json.gz"):
            ends = [" ".join(entity[0]["name"].split()) for entity in document["vertexSet"]]
            for label in document["labels"]:
                facts.setdefault((ends[label["h"]], names[label["r"]], ends[label["t"]]), f"m{len(facts)}")
    items = [Item(triple, "", frozenset([number])) for triple, number in facts.items() if all(triple)]
    np.random.default_rng(3).shuffle(items)
    return [Corpus("MuSiQue", items, questions)]


def _read(path: Path) -> list[Any]:
    text = gzip.decompress(path.read_bytes()).decode("utf-8")
    try:
        found: list[Any] = json.loads(text)
    except json.JSONDecodeError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    return found


def ranked_by_ours(corpus: Corpus, folder: Path) -> list[list[frozenset[str]]]:
    """Evidence of the facts that recall gives for each question, best first."""
    with Memory(folder / "memory.db") as memory:
        carried: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for start in range(0, len(corpus.items), step := 1 if any(item.sentence for item in corpus.items) else 500):
            some = corpus.items[start : start + step]
            source = Source("user", text=some[0].sentence or None, at=some[0].at)
            memory.write([item.triple for item in some], namespace=NS, source=source)
            for item in some:
                subject, relation, object_ = item.triple
                carried[_keys((subject, memory.catalogue.resolve(relation).label, object_))] |= item.evidence
        rankings = []
        for asked in corpus.questions:
            found = memory.recall(asked.text, namespace=NS, k=max(_KS), speaker=corpus.speaker).matches
            if not asked.gold:
                corpus.shown.append(len(found))
            rankings.append(
                [
                    frozenset(
                        carried.get(_keys((match.triple.subject, match.triple.relation, match.triple.object)), ())
                    )
                    for match in found
                ]
            )
    return rankings


def _keys(triple: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(name_key, triple))


def ranked_by_others(corpus: Corpus) -> dict[str, list[list[frozenset[str]]]]:
    """The same for full text, plain vectors and their fusion, over fact and sentence."""
    texts = [f"{' '.join(item.triple)} {item.sentence}".strip() for item in corpus.items]
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE f USING fts5(t, tokenize = 'porter unicode61 remove_diacritics 2')")
    connection.executemany("INSERT INTO f(rowid, t) VALUES (?, ?)", enumerate(texts))
    embedder = StaticEmbedder.shipped()
    matrix = embedder.encode(texts)
    found: dict[str, list[list[frozenset[str]]]] = {"FTS5": [], "static embedder": [], "their fusion": []}
    for asked in corpus.questions:
        query = " OR ".join(f'"{word}"' for word in _WORD.findall(asked.text)) or '""'
        full = [
            r[0] for r in connection.execute("SELECT rowid FROM f WHERE f MATCH ? ORDER BY rank LIMIT 100", (query,))
        ]
        near = np.argsort(-(matrix @ embedder.encode([asked.text])[0]), kind="stable")[:100].tolist()
        scores: dict[int, float] = defaultdict(float)
        for ranking in (full, near):
            for place, row in enumerate(ranking, 1):
                scores[row] += 1 / (60 + place)
        fused = sorted(scores, key=lambda row: (-scores[row], row))
        for name, ranking in (("FTS5", full), ("static embedder", near), ("their fusion", fused)):
            found[name].append([corpus.items[row].evidence for row in ranking[: max(_KS)]])
    connection.close()
    return found


def score(asked: Asked, ranking: Sequence[frozenset[str]], k: int) -> float:
    """Share of the gold among the first ``k``; whether any of it is there, where any will do."""
    held = asked.gold & frozenset().union(*ranking[:k])
    return len(held) / len(asked.gold) if asked.every else float(bool(held))


def interval(values: Iterable[float]) -> str:
    """Mean and bootstrap 95 % interval, in percent."""
    data = 100 * np.asarray(list(values), np.float64)
    means = data[np.random.default_rng(7).integers(0, len(data), (2000, len(data)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{data.mean():.1f} [{low:.1f}, {high:.1f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print tables; ``--json FILE`` keeps the scores by question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--everyday", type=Path, help="folder of the everyday set")
    parser.add_argument("--multihop", type=Path, help="folder with musique_migres.json.gz")
    parser.add_argument("--distractors", type=Path, help="with --multihop: folder of Re-DocRED")
    parser.add_argument("--json", type=Path, help="file for the scores by question")
    given = parser.parse_args(arguments)
    groups: dict[str, list[Corpus]] = defaultdict(list)
    for corpora in (
        everyday(given.everyday) if given.everyday else [],
        musique(given.multihop, given.distractors) if given.multihop else [],
    ):
        for corpus in corpora:
            groups[corpus.name].append(corpus)
    kept: dict[str, Any] = {}
    for name, corpora in groups.items():
        scores: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )
        for corpus in corpora:
            with tempfile.TemporaryDirectory() as folder:
                rankings = {"ours": ranked_by_ours(corpus, Path(folder)), **ranked_by_others(corpus)}
            for method, lists in rankings.items():
                for asked, ranking in zip(corpus.questions, lists, strict=True):
                    kinds = ("English", asked.kind) if asked.kind != "other languages" else (asked.kind,)
                    for k in _KS if asked.gold else ():
                        for kind in kinds if corpus.speaker else ("all", asked.kind):
                            scores[kind][method][k].append(score(asked, ranking, k))
        kept[name] = scores
        print(f"\n## {name}\n\n| questions | method | @5 | @10 |\n| --- | --- | --- | --- |")
        for kind, methods in scores.items():
            for method, by_k in methods.items():
                print(f"| {kind} ({len(by_k[5])}) | {method} | " + " | ".join(interval(by_k[k]) for k in _KS) + " |")
        if shown := [count for corpus in corpora for count in corpus.shown]:
            print(f"\nfacts shown for a question that nothing answers: {np.mean(shown):.2f} on average of {len(shown)}")
    if given.json:
        given.json.write_text(json.dumps(kept), "utf-8")


if __name__ == "__main__":
    main()
