"""Data that call themselves trusted, on every store: imports, replaced sources and aliases move nobody's value."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from langchain_memllm import MemLLMMemory, Relation, Source
from langchain_memllm.belief import Claim, fact_id
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import Triple

ADA, EVE = ("memllm", "ada"), ("memllm", "eve")
LIVES_IN_MANY = {"type": "relation", "label": "lives in", "cardinality": "many"}


@pytest.fixture
def memory(store: TripleStore) -> MemLLMMemory:
    made = MemLLMMemory(store, embedder=FakeEmbedder())
    made.write([("user", "lives in", "Oslo")], user_id="ada")
    return made


def lives(memory: MemLLMMemory) -> list[tuple[str, str]]:
    return [(match.answer, match.fact.state) for match in memory.read("user", "lives in", user_id="ada")]


def exported(*triples: tuple[str, str, str], namespace: tuple[str, ...] = EVE, **source: Any) -> list[dict[str, Any]]:
    """What another memory exports."""
    other = MemLLMMemory(":memory:", embedder=FakeEmbedder())
    other.write(triples, namespace=namespace, source=Source(**source) if source else None)
    return list(other.export(namespace=namespace))


@pytest.mark.parametrize("target", [None, "eve"])
def test_an_import_changes_no_rule_of_others(
    memory: MemLLMMemory, caplog: pytest.LogCaptureFixture, target: str | None
) -> None:
    """redteam row 5, program 06."""
    records = [
        LIVES_IN_MANY,
        {"type": "relation", "label": "pairs with", "cardinality": "one"},
        *exported(("Bo", "likes", "tea")),
    ]
    with caplog.at_level(logging.WARNING, logger="langchain_memllm"):
        assert memory.restore(records, user_id=target) == 1
    assert "the rules of 'lives in', 'pairs with'" in caplog.text
    memory.write([("user", "lives in", "Bergen")], user_id="ada")
    assert lives(memory) == [("Bergen", "current")]
    memory.write([("Bo", "pairs with", "Al"), ("Bo", "pairs with", "Di")], user_id="ada")
    assert len(memory.read("Bo", "pairs with", user_id="ada")) == 2


def test_a_whole_backup_brings_its_rules_with_it(store: TripleStore) -> None:
    """Into a store with nobody else's memory, or if the caller says that it is a backup."""
    empty = MemLLMMemory(store, embedder=FakeEmbedder())
    records = [LIVES_IN_MANY, *exported(("Bo", "lives in", "Oslo"), kind="system")]
    empty.restore(records)
    empty.write([("Bo", "lives in", "Rome")], user_id="eve")
    assert [m.fact.kind for m in empty.read("Bo", "lives in", user_id="eve")] == ["system", "user"]
    assert not empty.read("Bo", "lives in", user_id="eve").matches[0].fact.contested
    empty.restore([{"type": "relation", "label": "pairs with", "cardinality": "one"}], source_type="system")
    assert empty.core.catalogue.resolve("pairs with").single_valued


def test_an_export_tells_no_relation_of_others(memory: MemLLMMemory) -> None:
    """redteam, also seen: the export of one user listed everybody's declared relations."""
    memory.declare(Relation("has condition"), Relation("team of", inverse="member of team"), Relation("member of team"))
    memory.write([("Ada", "has condition", "migraine")], user_id="ada")
    memory.write([("Bo", "team of", "Al")], user_id="eve")
    told = [record["label"] for record in memory.export(user_id="eve") if record["type"] == "relation"]
    assert told == ["team of", "member of team"]
    everything = memory.export(namespace=memory.namespaces())
    assert len([record for record in everything if record["type"] == "relation"]) == 3


def test_an_imported_id_stops_nobody(memory: MemLLMMemory) -> None:
    """redteam row 5, program 07: the id of a fact that its victim will write next can be worked out."""
    place = Claim(0, Triple("user", "lives in", "Bergen"), "user", "lives in", "bergen")
    seq = memory.stats(user_id="ada").seq + 1
    (taken,) = [each for each in exported(("Bo", "likes", "tea")) if each["type"] == "fact"]
    memory.restore([{**taken, "id": fact_id(ADA, place, seq)}])
    assert memory.write([("user", "lives in", "Bergen")], user_id="ada").outcomes[0].status == "stored"
    assert lives(memory) == [("Bergen", "current")]
    assert memory.read("Bo", "likes", user_id="eve").answers == ("tea",)
    ids = {fact.id for user in ("ada", "eve") for fact in memory.facts(user_id=user, state="all")}
    assert len(ids) == 3


def test_an_imported_id_keeps_nobody_s_backup_out(memory: MemLLMMemory) -> None:
    """An id that another namespace has is no reason to leave a fact out, nor to lose what took its place."""
    memory.write([("user", "lives in", "Bergen")], user_id="ada")
    backup = list(memory.export(user_id="ada"))
    memory.forget(everything=True, user_id="ada")
    (taken,) = [each for each in exported(("Bo", "likes", "tea")) if each["type"] == "fact"]
    oslo, bergen = [each["id"] for each in backup if each["type"] == "fact"]
    memory.restore([{**taken, "id": oslo}, {**taken, "object": "gin", "seq": 9, "id": bergen}])
    for _ in range(2):
        memory.restore(backup)
        first, second = memory.history("user", user_id="ada")
        assert (first.triple.object, second.triple.object, first.closed_by) == ("Oslo", "Bergen", second.id)
        assert not {first.id, second.id} & {oslo, bergen}


@pytest.mark.parametrize("target", [None, "ada"])
def test_an_import_beside_facts_claims_no_more_than_a_user(memory: MemLLMMemory, target: str | None) -> None:
    """redteam row 13: records name their own rank; also in names, in what waits, and as names of operations."""
    there = MemLLMMemory(":memory:", embedder=FakeEmbedder())
    there.write([("user", "lives in", "Moscow")], namespace=ADA, source=Source("system", "rules"), op_id="next")
    words = OutboxEntry("later", "I live in Moscow.", source=Source("user", "chat", "ada"))
    there.core.put_outbox([words], namespace=ADA)
    memory.restore(there.export(namespace=ADA), user_id=target)
    assert [(m.answer, m.fact.kind, m.fact.principal) for m in memory.read("user", "lives in", user_id="ada")] == [
        ("Moscow", "user", None),
        ("Oslo", "user", "ada"),
    ]
    (waiting,) = memory.core.outbox(namespace=ADA)
    assert (waiting.source.kind, waiting.source.principal) == ("tool", None)
    assert memory.write([("user", "lives in", "Rome")], user_id="ada", op_id="next").outcomes[0].status == "stored"


def test_an_imported_alias_locks_no_value(memory: MemLLMMemory) -> None:
    """redteam row 13, program 11: Oslo and Moscow are one, so that moving there is known already."""
    alias = {"type": "alias", "namespace": list(ADA), "names": ["Oslo", "Moscow"]}
    memory.restore([alias])
    assert memory.write([("user", "lives in", "Moscow")], user_id="ada").outcomes[0].status == "stored"
    assert lives(memory) == [("Moscow", "current")]
    memory.restore([{**alias, "names": ["tea", "chai"]}])  # nobody stated anything of these
    memory.restore([alias], source_type="system")
    assert memory.core.store.aliases(ADA) == [("Moscow", "Oslo"), ("chai", "tea")]


def test_a_source_is_replaced_by_who_wrote_it(memory: MemLLMMemory) -> None:
    """redteam row 13: another person with the same file name took it all back, and stated something else."""
    notes = Source("document", "notes.md", principal="ada")
    memory.write([("Halcyon", "deadline", "1 May"), ("Halcyon", "owner", "Ada")], user_id="ada", source=notes)
    other = Source("document", "notes.md", principal="eve")
    memory.write([("Halcyon", "owner", "Ada")], user_id="ada", source=other)
    taken = memory.write([("Halcyon", "deadline", "9 May")], user_id="ada", source=other, replace=True)
    assert taken.replaced == ()
    assert memory.read("Halcyon", "deadline", user_id="ada").answers[-1] == "1 May"
    owner = memory.read("Halcyon", "owner", user_id="ada").matches[0].fact
    assert [each.principal for each in memory.explain(owner.id, user_id="ada").sources] == ["ada"]  # type: ignore[union-attr]
    memory.write([("Halcyon", "deadline", "2 May")], user_id="ada", source=notes, replace=True)
    assert memory.read("Halcyon", "owner", user_id="ada").answers == ()
    assert set(memory.read("Halcyon", "deadline", user_id="ada").answers) == {"9 May", "2 May"}


@pytest.mark.parametrize(
    ("given", "line", "kind", "principal"),
    [
        (None, {"kind": "system"}, "document", None),
        (None, {"kind": "user", "principal": "ada"}, "document", "ada"),
        (None, {"kind": "web"}, "web", None),
        (Source("user", "f"), {"kind": "owner"}, "user", None),
        (Source("user", "f"), {"principal": "ada"}, "user", "ada"),  # the operator says that people speak in it
        (Source("user", "f", "eve"), {"principal": "ada"}, "document", "ada"),
        (Source("user", "f", "eve"), {"principal": "eve"}, "user", "eve"),
        (Source("system", "f"), {"kind": "system"}, "system", None),
    ],
)
def test_a_loaded_line_claims_no_more_than_its_file(
    memory: MemLLMMemory, given: Source | None, line: dict[str, str], kind: str, principal: str | None
) -> None:
    """redteam row 13."""
    raw = json.dumps({"subject": "Ada", "relation": "likes", "object": "tea", **line}).encode()
    memory.load(io.BytesIO(raw), user_id="ada", source=given)
    (fact,) = memory.facts("Ada", user_id="ada")
    assert (fact.kind, fact.principal) == (kind, principal)
