"""How often recall finds what answers, beside full text and plain vectors.

``python -m benchmarks.bench_recall --everyday benchmarks/recall --multihop FOLDER``, and other sets of ``recall_data``.
Every row is measured in the same run on the same facts or messages: ours (``Memory.recall``; ``Hub.search`` where the
set is of messages), FTS5 with its own BM25 over fact and sentence, the shipped embedder as plain vector search over the
same text, and the reciprocal rank fusion of these two. Intervals are bootstrap 95 % over questions. Of data that may
not be shipped only scores leave this program.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.recall_data import Asked, Corpus, beam, everyday, locomo, musique, two_hop
from langchain_memllm.embeddings import EmbedderName, StaticEmbedder
from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.triples import Source

__all__ = ["main"]

NS: Final = ("bench",)
_WORD: Final = re.compile(r"\w+")
_KS: Final = (5, 10)


def ranked_by_ours(corpus: Corpus, folder: Path, embedder: EmbedderName = "english") -> list[list[frozenset[str]]]:
    """Evidence of the facts that recall gives for each question, or of the messages that the Hub gives; best first."""
    corpus.shown.clear()
    with Memory(folder / f"{embedder}.db", embedder=embedder) as memory:
        if any(item.turn for item in corpus.items):
            return _ranked_by_hub(corpus, Hub(memory))
        carried: dict[str, set[str]] = defaultdict(set)
        for start in range(0, len(corpus.items), step := 1 if any(item.sentence for item in corpus.items) else 500):
            some = corpus.items[start : start + step]
            source = Source("user", text=some[0].sentence or None, at=some[0].at)
            for outcome in memory.write([item.triple for item in some], namespace=NS, source=source):
                if outcome.fact_id is not None:
                    carried[outcome.fact_id] |= some[outcome.index].evidence
        rankings = []
        for asked in corpus.questions:
            found = memory.recall(asked.text, namespace=NS, k=max(_KS), speaker=corpus.speaker).matches
            if not asked.gold:
                corpus.shown.append(len(found))
            rankings.append([frozenset(carried.get(match.fact.id, ())) for match in found])
    return rankings


def _ranked_by_hub(corpus: Corpus, hub: Hub) -> list[list[frozenset[str]]]:
    said = {item.turn.id: item for item in corpus.items if item.turn}
    hub.keep([item.turn for item in said.values()], namespace=NS)
    return [
        [said[hit.turn.id].evidence for hit in hub.search(asked.text, k=max(_KS), namespace=NS)]
        for asked in corpus.questions
    ]


def ranked_by_others(corpus: Corpus) -> dict[str, list[list[frozenset[str]]]]:
    """The same for full text, plain vectors and their fusion, over all that a fact or message says."""
    texts = [item.text for item in corpus.items]
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
    parser.add_argument("--twohop", type=Path, help="folder of Re-DocRED, for questions over two facts")
    parser.add_argument("--locomo", type=Path, help="file of LoCoMo, each observation as a fact")
    parser.add_argument("--locomo-facts", type=Path, help="with --locomo: the observations as triples, made elsewhere")
    parser.add_argument("--beam", type=Path, help="folder of BEAM, for its messages of users")
    parser.add_argument("--multilingual", action="store_true", help="also ours with the multilingual table")
    parser.add_argument("--json", type=Path, help="file for the scores by question")
    given = parser.parse_args(arguments)
    for further, first in (("distractors", "multihop"), ("locomo_facts", "locomo")):
        if getattr(given, further) and not getattr(given, first):
            parser.error(f"--{further.replace('_', '-')} goes with --{first}; give both")
    groups: dict[str, list[Corpus]] = defaultdict(list)
    for corpora in (
        everyday(given.everyday) if given.everyday else [],
        musique(given.multihop, given.distractors) if given.multihop else [],
        two_hop(given.twohop) if given.twohop else [],
        locomo(given.locomo, given.locomo_facts) if given.locomo else [],
        beam(given.beam) if given.beam else [],
    ):
        for corpus in corpora:
            groups[corpus.name].append(corpus)
    kept: dict[str, Any] = {}
    shown: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, corpora in groups.items():
        scores: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )
        for corpus in corpora:
            with tempfile.TemporaryDirectory() as folder:
                rankings = {"ours": ranked_by_ours(corpus, Path(folder)), **ranked_by_others(corpus)}
                shown[name]["ours"] += corpus.shown
                if given.multilingual:
                    rankings["ours, multilingual"] = ranked_by_ours(corpus, Path(folder), "multilingual")
                    shown[name]["ours, multilingual"] += corpus.shown
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
        for method, counts in shown[name].items():
            if counts:
                mean = f"{np.mean(counts):.2f} on average of {len(counts)}"
                print(f"\nfacts shown for a question that nothing answers, {method}: {mean}")
    if given.json:
        given.json.write_text(json.dumps(kept), "utf-8")


if __name__ == "__main__":
    main()
