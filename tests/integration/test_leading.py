"""Queries led to what a memory holds: by brute force on a tiny random model, and what a memory says that it holds."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_model import tiny  # noqa: E402

from langchain_memllm.errors import ConfigurationError  # noqa: E402
from langchain_memllm.grammar import READ_OPEN, parse_queries, render_queries  # noqa: E402
from langchain_memllm.local import Leading, MemLLMModel  # noqa: E402
from langchain_memllm.local.decoding import Decoder  # noqa: E402
from langchain_memllm.memory import EXACT, Memory  # noqa: E402
from langchain_memllm.reading import Generate, Generated, Segment  # noqa: E402
from langchain_memllm.training.lookups import lookup_in  # noqa: E402
from langchain_memllm.triples import Query, Triple  # noqa: E402

RELATIONS = ("capital of", "born", "likes", "b")
NAMESPACE = ("led",)


@pytest.fixture(scope="module")
def model() -> MemLLMModel:
    return tiny()


def alone(model: MemLLMModel, context: list[int], text: str) -> float:
    """The log-probability of a text, token by token, nothing kept."""
    ids, total = list(context), 0.0
    with torch.inference_mode():
        for token in model.vocabulary.encode(text):
            logits = model.model(input_ids=torch.tensor([ids])).logits[0, -1]
            total += float(logits.log_softmax(-1)[token])
            ids.append(token)
    return total


@pytest.mark.parametrize("caches", [0, 4])
def test_continuations_have_the_log_probability_they_have_alone(caches):
    model, draw = tiny(caches=caches), random.Random(1)
    for length in (1, 2, 9, 9, 5):
        context = [draw.randrange(3, model.vocabulary.size) for _ in range(length)]
        texts = ["Ada>>born>>", "Ada Lovelace>>place of birth>>", "x"]
        with model.role("read") as decoder:
            found = decoder.logprobs(context, [model.vocabulary.encode(text) for text in texts])
        assert found == pytest.approx([alone(model, context, text) for text in texts], abs=1e-4)


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("query", [Query("Ada", "born"), Query(None, "born", "London")])
def test_the_most_probable_relation_is_asked_by_if_it_is_likely_enough(model, query, spaced):
    context = model.vocabulary.encode_segments([Segment("Where?"), Segment(READ_OPEN)])

    def text(relation: str) -> str:
        return render_queries([Query(query.subject, relation, query.object)], spaced=spaced)

    logprobs = {relation: alone(model, context, text(relation)) for relation in RELATIONS}
    written, best, *_ = sorted(RELATIONS, key=logprobs.__getitem__, reverse=True)
    ratio = math.exp(logprobs[best] - logprobs[written])
    others = [Query(query.subject, relation, query.object) for relation in RELATIONS if relation != written]
    event = Generated(text(written) + ")", "stop", "-->", tokens=7)
    for likely, relation in ((ratio * 0.99, best), (ratio * 1.01, written)):
        with model.role("read") as decoder:
            (led,) = Leading(lambda queries: [others] * len(queries), likely).lead(decoder, [context], [event])
        assert (led.text, led.cost, led.stop) == (text(relation) + ")", 7, "-->")


def test_several_queries_are_led_one_by_one_and_what_is_no_query_stays(model):
    contexts = [model.vocabulary.encode_segments([Segment(each), Segment(READ_OPEN)]) for each in ("a", "b", "c")]
    written = [
        Generated("Ada>>born>>;Bo>>likes>>)", "stop", "-->", tokens=9),
        Generated("Ada>>born", "length", tokens=64),
        Generated("nonsense)", "stop", "-->", tokens=2),
    ]
    asked = []

    def held(queries):
        asked.extend(queries)
        return [(Query("Ada", "capital of"),), ()]

    with model.role("read") as decoder:
        led = Leading(held, 1e-30).lead(decoder, contexts, written)
    assert asked == [Query("Ada", "born"), Query("Bo", "likes")]
    assert parse_queries(led[0].text.removesuffix(")")).good == (Query("Ada", "capital of"), Query("Bo", "likes"))
    assert led[1:] == written[1:]
    with model.role("read") as decoder:
        assert Leading(held, 1e-30).lead(decoder, contexts, written, ["born", "likes"]) == written


def test_the_name_is_that_of_the_most_probable_query(model):
    """Names are led as relations are: by the probability of the whole query, two similar names weighed too."""
    context = model.vocabulary.encode_segments([Segment("Where was Ada?"), Segment(READ_OPEN)])
    written, *others = [Query(name, relation) for name in ("Ad", "Ada", "Adam") for relation in ("born", "likes")]
    logprobs = [alone(model, context, render_queries([other])) for other in others]
    best = others[logprobs.index(max(logprobs))]
    event = Generated(render_queries([written]) + ")", "stop", "-->", tokens=7)
    with model.role("read") as decoder:
        (led,) = Leading(lambda queries: [others] * len(queries), 1e-30).lead(decoder, [context], [event])
    assert parse_queries(led.text.removesuffix(")")).good == (best,)


def test_a_memory_holds_facts_of_similar_names_where_the_name_is_not_known():
    with Memory() as memory:
        facts = [("Brad Brown", "team", "Buffalo Sabres"), ("Siberian roe deer", "family", "Cervidae")]
        memory.write([Triple(*fact) for fact in facts], namespace=NAMESPACE)
        memory.write([Triple("Player Brad Brown", "team", "Another")], namespace=("another",))
        queries = [
            Query("Player Brad Brown", "member of sports team"),
            Query("Siberian deer deer", "family"),
            Query(None, "team", "The Buffalo Sabres"),
            Query("Oslo", "team"),
            Query("Brad Brown", "team"),  # answered as it is
        ]
        assert Leading.by(memory, NAMESPACE).held(queries) == [
            (Query("Brad Brown", "team"),),
            (Query("Siberian roe deer", "family"),),
            (Query(None, "team", "Buffalo Sabres"),),
            (),
            (),
        ]
        exactly = Leading.by(memory, NAMESPACE, similar_names=False)
        assert exactly.held([*queries, Query("Brad Brown", "family")]) == [()] * 5 + [(Query("Brad Brown", "team"),)]


def test_a_memory_holds_relations_of_names_it_knows_unless_it_answers():
    with Memory() as memory:
        facts = [("Ada", "place of birth", "London"), ("Ada", "employer", "Acme"), ("Bo", "employer", "Acme")]
        memory.write([Triple(*fact) for fact in facts], namespace=NAMESPACE)
        memory.write([Triple("Ada", "spouse", "William")], namespace=("another",))
        queries = [
            Query("Ada", "employer"),
            Query("ada", "works at"),  # another name of it
            Query("Ada", "owned by"),
            Query("Nobody", "employer"),
            Query(None, "founded by", "Acme"),
        ]
        assert [set(each) for each in Leading.by(memory, NAMESPACE).held(queries)] == [
            set(),
            set(),
            {Query("Ada", "place of birth"), Query("Ada", "employer")},
            set(),
            {Query(None, "employer", "Acme")},
        ]


@pytest.mark.parametrize("together", [True, False])
def test_a_fact_of_another_relation_is_found_when_led(model, together, monkeypatch):
    written = Generated("Ada>>place of death>>)", "stop", "-->", tokens=6)
    monkeypatch.setattr(Decoder, "step", lambda *_: written)
    monkeypatch.setattr(Decoder, "steps", lambda _, asked, *_rest: [written] * len(asked))
    action = Generate((Segment("Ada"), Segment(READ_OPEN)), ("-->",), 40, "never")
    with Memory() as memory:
        memory.write([Triple("Ada", "place of birth", "London")], namespace=NAMESPACE)
        leading = Leading.by(memory, NAMESPACE, 1e-30)
        step = model.generate_steps([action], leading=leading)[0] if together else None
        step = step or model.generate_step(action, leading=leading)
        (results,) = lookup_in(memory, NAMESPACE, EXACT)([parse_queries(step.text.removesuffix(")")).good])
        assert results.answers == (("London",),)


def test_what_cannot_lead_says_so(model):
    for likely in (0, -1, 1.5, float("nan")):
        with pytest.raises(ConfigurationError, match="likely"):
            Leading(lambda _queries: [], likely)
    written = [Generated("Ada>>born>>)", "stop", "-->", tokens=4)]
    with model.role("read") as decoder, pytest.raises(ConfigurationError, match="1 queries and answered 0"):
        Leading(lambda _queries: []).lead(decoder, [[5]], written)


def test_reading_one_and_many_lead_alike(model):
    prompts = [f"{name} ({{" for name in ("Ada", "Bo", "Oslo is")]
    for likely, constrained in itertools.product((1e-30, 0.5), (True, False)):
        leading = Leading(lambda queries: [[replace(q, relation=r) for r in RELATIONS] for q in queries], likely)
        options = {"leading": leading, "constrained": constrained}
        together = model.read_many(prompts, lambda calls: [[["x"]] * len(each) for each in calls], **options)
        assert together == [model.read(each, lambda queries: [["x"]] * len(queries), **options) for each in prompts]
