"""Everyday verbs: what is stored is listed, values are read on one line, help lists arguments, mistakes are told."""

from __future__ import annotations

import inspect
import json
import re
import unittest.mock
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

import langchain_memllm
from langchain_memllm import MemLLMMemory, Source, Statement
from langchain_memllm.errors import ConfigurationError, InvalidTriple, MemLLMError
from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import Erased, Stats
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import Fact, Receipt

EVIL = '<img src=x onerror="alert(1)">\u202e'


@pytest.fixture
def memory() -> Iterator[MemLLMMemory]:
    """Ada has moved once, and two sources speak of her."""
    with MemLLMMemory(":memory:", embedder=FakeEmbedder()) as made:
        made.write([("Ada", "lives in", "Oslo"), ("Ada", "likes", "tea")], op_id="first")
        made.write([("Ada", "lives in", "Bergen")])
        made.write([("Bob", "likes", "tea")], source=Source("document", "notes.md"))
        yield made


def told(facts: list[Fact]) -> list[str]:
    return [fact.triple.object for fact in facts]


# -- what is stored (friction 1) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "objects"),
    [
        ({}, ["tea", "Bergen", "tea"]),
        ({"state": "past"}, ["Oslo"]),
        ({"state": "all"}, ["Oslo", "tea", "Bergen", "tea"]),
        ({"subject": "ADA"}, ["tea", "Bergen"]),
        ({"relation": "resides in", "state": "all"}, ["Oslo", "Bergen"]),
        ({"object": "tea"}, ["tea", "tea"]),
        ({"subject": "Ada", "relation": "likes", "object": "Tea"}, ["tea"]),
        ({"source": "notes.md"}, ["tea"]),
        ({"source": Source("document", "notes.md")}, ["tea"]),
        ({"source": Source("web", "notes.md")}, []),
        ({"subject": "Nobody"}, []),
        ({"limit": 1}, ["tea"]),
        ({"limit": 2, "offset": 1}, ["Bergen", "tea"]),
        ({"offset": 9}, []),
    ],
    ids=str,
)
def test_facts_are_listed(memory: MemLLMMemory, given: dict[str, Any], objects: list[str]) -> None:
    """Friction 1: nothing showed what is stored."""
    assert told(memory.facts(**given)) == objects


def test_facts_are_a_persons_own(memory: MemLLMMemory) -> None:
    """Friction 1."""
    memory.write([("Ada", "likes", "milk")], user_id="bob")
    assert told(memory.facts(user_id="bob")) == ["milk"]
    assert "milk" not in told(memory.facts())
    both = [memory.namespace_of("bob"), memory.namespace_of()]
    assert told(memory.facts(namespace=both)) == ["milk", "tea", "Bergen", "tea"]


def test_literals_plans_and_contests_are_listed(memory: MemLLMMemory) -> None:
    """Friction 1: what is planned or contested stands; what has ended does not."""
    memory.write([Statement("Ada", "lives in", "Rome", valid_from=date(2999, 1, 1)), ("Ada", "date of birth", "1815")])
    memory.write([Statement("Ada", "works for", "Acme", valid_to="2001")])
    memory.write([("Ada", "date of birth", "1816")], source=Source("document", "b.md"))
    assert {fact.triple.object: fact.state for fact in memory.facts("Ada")} == {
        "tea": "current",
        "Bergen": "current",
        "Rome": "planned",
        "1815": "contested",
        "1816": "contested",
    }
    assert told(memory.facts(object="1815")) == ["1815"]
    assert told(memory.facts(state="past")) == ["Oslo", "Acme"]


async def test_twins_of_the_everyday_verbs(memory: MemLLMMemory) -> None:
    """Friction 1, the twins."""
    assert await memory.afacts("Ada") == memory.facts("Ada")
    assert await memory.areceipt("first") == memory.receipt("first")


def test_a_receipt_is_found_by_its_operation(memory: MemLLMMemory) -> None:
    """Issue E: `memory.receipt`."""
    receipt = memory.receipt("first")
    assert receipt is not None
    assert receipt.replayed
    assert receipt.count("stored") == 2
    assert memory.receipt("never") is None
    assert memory.receipt("first", user_id="bob") is None


@pytest.mark.parametrize("given", [{"state": "old"}, {"limit": 0}, {"offset": -1}, {"limit": "3"}, {"subject": ""}])
def test_a_listing_that_cannot_be_made(memory: MemLLMMemory, given: dict[str, Any]) -> None:
    with pytest.raises((ConfigurationError, InvalidTriple)):
        memory.facts(**given)


# -- values on one line (frictions 3, 6, 18) ---------------------------------------------------------------------------


def values(memory: MemLLMMemory) -> dict[str, Any]:
    memory.write([(f"{EVIL} {n}", "likes", "x" * 250) for n in range(50)])
    recall = memory.recall(f"What does Ada like?\nAnd {EVIL} 1?" + "y" * 500)
    read = memory.read(f"{EVIL} 1", "likes")
    receipt = memory.write([("Ada", "likes", EVIL)] * 50)
    return {
        "fact": memory.facts()[-1],
        "match": recall.matches[0],
        "read": read,
        "recall": recall,
        "receipt": receipt,
        "outcome": receipt.outcomes[0],
        "stats": memory.stats(),
        "erased": memory.forget(subject="Ada", relation="likes"),
    }


def test_values_are_read_on_one_line(memory: MemLLMMemory) -> None:
    """Friction 6: eight recalled facts were 4,773 characters, a receipt of 50 was 9,355."""
    for name, value in values(memory).items():
        for line in (repr(value), str(value)):
            assert len(line) < 500, name
            assert line.isprintable(), name


def test_what_values_say(memory: MemLLMMemory) -> None:
    """Frictions 3 and 6: a write that stored nothing says so, and why."""
    assert re.fullmatch(
        r"<Fact \(Ada, likes, tea\) current, user local, \d{4}-\d\d-\d\d, id [0-9a-f]{32}>", repr(memory.facts()[0])
    )
    assert repr(memory.read("Ada", "lives in")) == "<ReadResult (Ada, lives in, ?): Bergen>"
    assert repr(memory.read("Ada", "owns")) == "<ReadResult (Ada, owns, ?): no answer>"
    assert (
        repr(memory.read("Ada", "lives in").matches[0])
        == "<Match 'Bergen' (Ada, lives in, Bergen) current, exact 1.00>"
    )
    assert repr(memory.recall("")) == "<Recall '': nothing>"
    receipt = memory.write([("Ada", "likes"), ("Ada", "likes", "gin")], op_id="o")  # type: ignore[list-item]
    assert repr(receipt) == (
        "<Receipt 1 rejected, 1 stored (expected three names (subject, relation, object)), op_id 'o'>"
    )
    assert repr(receipt.outcomes[1]) == "<Outcome 1: stored (Ada, likes, gin)>"
    assert repr(Stats(facts=1, names=2, seq=7)) == "<Stats 1 fact, 2 names>"
    assert repr(Erased(fact_ids=("a",), names=2)) == "<Erased 1 fact, 2 names>"
    assert repr(Stats()) == "<Stats nothing>"


def test_stats_and_erased_are_json(memory: MemLLMMemory) -> None:
    """Friction 18: `Stats` had no `as_dict` where `Fact` and `Receipt` have one."""
    stats = json.loads(json.dumps(memory.stats().as_dict()))
    assert (stats["facts"], stats["past"], stats["outbox"]) == (3, 1, 0)
    erased = json.loads(json.dumps(memory.forget(subject="Ada", relation="likes").as_dict()))
    assert (len(erased["fact_ids"]), erased["similar_names"]) == (1, [])


@pytest.mark.parametrize("name", ["fact", "match", "read", "recall", "receipt"])
def test_tables_of_a_notebook_hold_no_markup_of_the_memory(memory: MemLLMMemory, name: str) -> None:
    """Friction 6: memory is text of strangers."""
    html = values(memory)[name]._repr_html_()
    assert html.startswith("<table>")
    assert "<img" not in html
    assert "\u202e" not in html
    assert len(re.findall("<tr>", html)) <= 102


# -- looking does no harm (3.21) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [inspect.getmembers, unittest.mock.create_autospec, dir, vars, repr])
@pytest.mark.parametrize("model", [None, "openai:gpt-5-mini", "nobody:knows", "local"])
def test_looking_at_a_memory_neither_raises_nor_builds(
    look: Callable[[object], object], model: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bugs 3.21: the properties `model` and `extractor` raised, or built the model."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with MemLLMMemory(":memory:", model=model, embedder=FakeEmbedder()) as memory:
        look(memory)
        assert hasattr(memory, "model")
        assert hasattr(memory, "extractor")
        assert memory.model == model
        assert memory._door._model is None


@pytest.mark.parametrize("look", [inspect.getmembers, unittest.mock.create_autospec])
def test_looking_at_what_a_memory_gives_neither_raises_nor_builds(
    look: Callable[[object], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """bugs 3.21, its neighbours: the extractor, the doors, and what was closed."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with MemLLMMemory(":memory:", model="openai:gpt-5-mini", embedder=FakeEmbedder()) as memory:
        for door in (
            memory.extractor,
            memory.middleware("read"),
            memory.write_node(),
            memory.recall_node(),
            memory._door,
        ):
            look(door)
        look(memory.core)
        assert memory._door._model is None
    look(memory)


def test_a_model_can_be_loaded_before_its_first_use() -> None:
    """bugs 3.21: what a property did is a verb now."""
    with MemLLMMemory(":memory:", model="nobody:knows") as memory, pytest.raises(MemLLMError):
        memory.load_model()
    with MemLLMMemory(":memory:") as memory:
        assert memory.load_model() is None
        assert memory.extractor is None


# -- help (friction 8) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MemLLMMemory, Memory])
def test_help_of_every_verb_lists_its_arguments(kind: type) -> None:
    """Friction 8: help said "see Memory.read", and nothing of the twins."""
    missing = []
    for name, verb in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_") or name in ("put_outbox", "outbox", "speaker_names"):
            continue
        text = inspect.getdoc(verb) or ""
        for argument in list(inspect.signature(verb).parameters)[name != "route" :]:
            if not re.search(rf"^    {argument}: ", text, re.MULTILINE):
                missing.append(f"{name}({argument})")
    assert not missing


def test_the_options_of_build_graph_are_in_its_signature() -> None:
    """Friction 8: `build_graph(**options)` showed none."""
    from langchain_memllm import graph

    mine, machine = (inspect.signature(each).parameters for each in (MemLLMMemory.build_graph, graph.build_graph))
    assert mine.keys() - {"self"} == machine.keys() - {"memory", "scope", "episodes"}  # which the facade has itself
    defaults = {
        name: parameter.default for name, parameter in mine.items() if name not in ("model", "on_error", "self")
    }
    assert defaults == {name: machine[name].default for name in defaults}


# -- mistakes (friction 10) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (
            lambda m: MemLLMMemory(":memory:", relations=["lives in"]),
            r"'lives in' is not a Relation; declare Relation\(",
        ),
        (lambda m: MemLLMMemory(":memory:", relations="lives in"), r"'lives in' is not a Relation"),
        (lambda m: m.declare("lives in"), r"'lives in' is not a Relation; declare Relation\('lives in'"),
        (lambda m: m.declare(["lives in"]), r"is not a Relation"),
        (lambda m: m.core.declare("lives in"), r"is not a Relation"),
        (lambda m: m.write([("a", "b", "c")], source="web"), r"source='web' is not a Source.*Source\('web', 'example"),
        (lambda m: m.write([("a", "b", "c")], source="n.md"), r"Source\('document', 'n.md'\)"),
        (lambda m: m.core.write([("a", "b", "c")], namespace=("a",), source="web"), r"is not a Source"),
        (lambda m: m.retract(("a", "b", "c"), source=7), r"source=7 is not a Source"),
        (lambda m: m.remember("Ada likes tea.", source="web"), r"is not a Source"),
        (lambda m: m.load("facts.jsonl", source="web"), r"is not a Source"),
        (lambda m: m.forget("Ada"), r"forget takes no argument without a name.*write forget\(name='Ada'\)"),
        (lambda m: m.retract("Ada", "lives in", "Oslo"), r"one argument without a name.*retract\(\('Ada', "),
        (lambda m: m.write("Ada", "lives in", "Oslo"), r"write \[?.*write\(\[\('Ada', 'lives in', 'Oslo'\)\]\)"),
    ],
    ids=lambda value: None,
)
def test_mistakes_are_told_with_a_hint(memory: MemLLMMemory, call: Callable[[Any], object], hint: str) -> None:
    """Friction 10: these were AttributeError and TypeError."""
    with pytest.raises(ConfigurationError, match=hint):
        call(memory)


async def test_mistakes_are_told_by_twins(memory: MemLLMMemory) -> None:
    """Friction 10, the twins."""
    with pytest.raises(ConfigurationError, match="forget takes no argument"):
        await memory.aforget("Ada")  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="is not a Source"):
        await memory.aremember("Ada likes tea.", source="web")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [34, 3.5, True, date(2020, 1, 2)])
def test_numbers_and_truth_values_are_names(memory: MemLLMMemory, value: object) -> None:
    """Friction 3."""
    receipt: Receipt = memory.write([("Ada", "score", value)])  # type: ignore[list-item]
    assert receipt.count("stored") == 1


def test_a_rejected_write_warns(memory: MemLLMMemory, caplog: pytest.LogCaptureFixture) -> None:
    """Friction 3: no exception, no log line."""
    memory.write([("Ada", "likes"), {"predicate": "x"}])  # type: ignore[list-item]
    assert "triples rejected: 2 of 2" in caplog.text


# -- the package (frictions 12, 18) ------------------------------------------------------------------------------------


def test_the_package_offers_public_names_only() -> None:
    """Friction 18: `dir` offered Any, TYPE_CHECKING, import_module, twins."""
    public = [name for name in dir(langchain_memllm) if not name.startswith("__")]
    assert public == [name for name in sorted(langchain_memllm.__all__) if not name.startswith("__")]
    assert all(getattr(langchain_memllm, name) is not None for name in public)


def test_the_package_has_a_version() -> None:
    """Friction 12."""
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", langchain_memllm.__version__)
