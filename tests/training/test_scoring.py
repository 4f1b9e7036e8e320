"""The perplexity code against a computation that encodes everything again for each token, one memory at a time."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tiny_model import tiny
from training.documents_fixture import CURIE

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import READ_OPEN, parse_queries, render_names, render_queries
from langchain_memllm.local import MemLLMModel
from langchain_memllm.memory import Memory
from langchain_memllm.reading import Generated
from langchain_memllm.training import perplexity
from langchain_memllm.training.baselines import Store
from langchain_memllm.training.documents import Document, read_redocred
from langchain_memllm.training.perplexity import Choices, cases_of, document_of, gold_triples, shuffled
from langchain_memllm.training.texts import Text
from langchain_memllm.triples import Query, Triple

WRITTEN = [Triple("Ada Curie", "spouse", "Bo"), Triple("Curie", "place of birth", "Oslo")]
QUERIES = (
    "Ada Curie>>place of birth>>)",
    "Ada Curie>>spouse>>;>>place of death>>Rome)",
    "nothing here",
    "Curie>>place of birth>>)",
    ">>spouse>>Bo Lie)",
)
"""What the reader asks, by the length of its context; one cannot be parsed, and neighbours repeat each other."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> list[Document]:
    other = json.loads(json.dumps(CURIE).replace("Oslo", "Kyiv").replace("Rome", "Lima").replace("Ada", "Eve"))
    file = tmp_path_factory.mktemp("documents") / "docs.json.gz"
    file.write_bytes(gzip.compress(json.dumps([CURIE, {**other, "title": "Other"}]).encode()))
    return read_redocred(file)


def asking(seed: int, often: float) -> MemLLMModel:
    """A random model that likes to open calls, and whose queries are of ``QUERIES``."""
    model = tiny(seed)
    (start,) = model.vocabulary.encode("({")
    with torch.no_grad():
        weights = model.model.get_output_embeddings().weight
        weights[start] += often * weights.std() * torch.randn(weights.shape[1], generator=torch.manual_seed(seed))

    def steps(actions, **_options):
        lengths = [len(model.vocabulary.encode_segments(action.segments)) for action in actions]
        assert all(action.query for action in actions)
        return [Generated(QUERIES[length // 2 % len(QUERIES)], "stop", "-->") for length in lengths]

    model.generate_steps = steps
    return model


@dataclass
class Brute:
    """One token after another, everything encoded again, no batch: the definition written down once more."""

    model: MemLLMModel
    ids: Sequence[int]
    lookup: Callable[[Sequence[Query]], list[list[str]]] | None
    places: dict[int, str | None] | None = None  # where calls open, with the queries; None: as the model likes
    least: float = 0.0  # probability that it must have for that; with less, it is taken out
    charged: bool = False  # not opening costs what it would have had, also where it is taken out

    def probabilities(self, context: Sequence[int]) -> torch.Tensor:
        with torch.no_grad():
            logits = self.model.model(torch.tensor([[*self.model.vocabulary.bos, *context]])).logits[0, -1]
        return torch.softmax(logits.double(), dim=-1)

    def call(self, at: int, queries: str | None) -> tuple[list[int], tuple[Query, ...], str]:
        encode = self.model.vocabulary.encode
        length = len(self.model.vocabulary.bos) + at + len(encode(READ_OPEN))
        written = QUERIES[length // 2 % len(QUERIES)] if queries is None else queries
        good = parse_queries(written.removesuffix(")")).good
        if not good:
            return [], (), "malformed"
        if good == self.asked:
            return [], good, "repeated"
        names = list(dict.fromkeys(name for found in self.lookup(good) for name in found))
        if not names:
            return [], good, "empty"
        parts = [READ_OPEN, render_queries(good), ")-->", render_names(names), "})"]
        return [token for part in parts for token in encode(part)], good, ""

    def run(self) -> tuple[list[float], list[str]]:
        opening = list(self.model.vocabulary.opening)
        costs, said = [], []
        self.asked: tuple[Query, ...] = ()
        call: list[int] = []
        since = 0
        for at in range(len(self.ids)):
            cost, blocked, placed = 0.0, not at, self.places is not None and at in self.places
            while True:
                p = self.probabilities([*self.ids[:since], *call, *self.ids[since:at]])
                open_ = float(p[opening].sum())
                wants = placed if self.places is not None else int(p.argmax()) in opening and open_ >= self.least
                out = self.places is None and open_ < self.least and not self.charged
                if self.lookup is None or blocked or out or (self.places is not None and not placed):
                    cost -= math.log(float(p[self.ids[at]]) / (1 - open_))
                    break
                if not wants:
                    cost -= math.log(float(p[self.ids[at]]))
                    break
                if self.places is None:
                    cost -= math.log(open_)
                call, good, why = self.call(at, self.places[at] if placed else None)
                since, placed = at, False
                said.append(why)
                blocked = bool(why)
                if not why:
                    self.asked = good
            costs.append(cost)
        return costs, said


READ = ("off", *perplexity.MEMORIES, *perplexity.CHARGED, *perplexity.PLACED)


@pytest.mark.parametrize(("seed", "opening"), [(0, 0.0), (1, 0.0), (2, 0.2), (3, 0.5)])
def test_every_memory_equals_token_by_token(seed, opening, documents):
    model = asking(seed, often=3.0)
    cases = cases_of(documents, {document.title: WRITTEN for document in documents})
    choices = Choices(READ, opening=opening)
    results = perplexity.run(model, cases, choices, written=perplexity.write(model, cases, choices))
    gold = [triple for document in documents for triple in gold_triples(document)]
    said: set[str] = set()
    for case, document in zip(cases, documents, strict=True):
        text, result = Text(document, model.vocabulary), results[case["id"]]
        for condition, overall in result["overall"].items():
            held = {
                "off": None,
                "empty": [],
                "own": WRITTEN,
                "gold": gold,
                "shuffled": shuffled(gold, 0),
            }[condition.rpartition("/")[2]]
            with Memory(policy="paper") as memory:
                memory.write(held or [], namespace=("m",))

                def lookup(queries, memory=memory):
                    return [result.answers for result in memory.read_many(queries, namespace=("m",))]

                places = None
                if condition.startswith("position"):
                    places = dict.fromkeys(text.targets)
                elif condition.startswith("query"):
                    asked = {call["at"]: call["queries"] for call in result["calls"][condition]}
                    places = {at: render_queries([Query(*q) for q in asked[at]]) + ")" for at in text.targets}
                charged = condition.startswith("charged")
                costs, why = Brute(model, text.ids, None if held is None else lookup, places, opening, charged).run()
            assert overall == pytest.approx(sum(costs), rel=1e-4), condition
            means = [sum(costs[a:b]) / (b - a) for a, b in text.target_spans]
            assert result["targets"][condition] == pytest.approx(means, rel=1e-3), condition
            ended = [call["withdrawn"] or "" for call in result["calls"].get(condition, ())]
            assert ended == why, condition
            said |= set(why)
    assert {"", "malformed"} <= said
    assert seed or {"repeated", "empty"} <= said


def test_a_search_leaves_out_what_the_embedder_cannot_read():
    store = Store({"d": [Triple("Ada", "place of birth", "Oslo"), Triple("郑州", "r", "Москва")]})
    assert store.nearest("Where is Oslo?") == ["Ada place of birth Oslo."]
    assert store.nearest("郑州") == []


def test_a_text_is_cut_where_mentions_begin_and_end(documents):
    model = tiny()
    text = Text(documents[0], model.vocabulary)
    decode = model.vocabulary.decode
    assert text.text == "Ada Curie was born in Oslo. She married Bo Lie in Rome. Curie died in Rome."
    assert [decode(text.ids[a:b]) for a, b in text.entity_spans] == [
        "Ada Curie", " Oslo", " Bo Lie", " Rome", " Curie", " Rome",
    ]  # fmt: skip
    assert [decode(text.ids[a:b]) for a, b in text.target_spans] == [" Oslo", " Bo Lie", " Rome"]
    assert decode(text.ids) == text.text
    assert document_of(json.loads(json.dumps(cases_of(documents)[0]))) == documents[0]


def test_gold_and_shuffled_by_hand(documents):
    gold = gold_triples(documents[0])
    assert Triple("Curie", "place of birth", "Oslo") in gold
    assert Triple("Bo Lie", "spouse", "Curie") in gold
    facts = [Triple(s, "r", o) for s, o in (("a", "1"), ("b", "2"), ("c", "3"))] + [Triple("a", "q", "1")]
    wrong = shuffled(facts, 0)
    assert {(t.subject, t.relation) for t in wrong} <= {("a", "r"), ("b", "r"), ("c", "r")}
    assert len(wrong) >= 2
    assert not set(wrong) & set(facts)
    assert shuffled(facts, 0) == wrong


def test_a_base_without_a_token_for_the_opening_is_refused(documents, monkeypatch):
    model = tiny()
    encode = model.vocabulary.encode
    monkeypatch.setattr(model.vocabulary, "encode", lambda text, **o: [1, 2] if text == "({" else encode(text, **o))
    with pytest.raises(ConfigurationError, match="several tokens"):
        perplexity.run(model, cases_of(documents), Choices(("off",)))
