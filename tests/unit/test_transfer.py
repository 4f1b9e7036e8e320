"""Copies between files and bulk load: equal afterwards, resumable, and nothing lost or mixed on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_memllm import transfer
from langchain_memllm.belief import Quarantined
from langchain_memllm.errors import ConfigurationError, OperationConflict, StoreError
from langchain_memllm.memory import Memory
from langchain_memllm.relations import Relation
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.parts import BLOCK, Name, Operation, Part, blocks_of, part_of, record_of
from langchain_memllm.transfer import Loaded, Rejected, copy, digest, load
from langchain_memllm.triplefile import MAX_LINE
from langchain_memllm.triples import Namespace, Receipt, Source, Statement
from langchain_memllm.verify.scripts import Script, opened

NS: Namespace = ("memllm", "ada")
ADA = Source("user", "chat", "ada")


@pytest.fixture
def memory() -> Memory:
    """What a long life leaves: a past with dates, an alias, quarantine, a declared relation."""
    made = opened(":memory:")
    made.write([Statement("Ada", "lives in", "Oslo", valid_from="2010")], namespace=NS, source=ADA, op_id="first")
    made.write([Statement("Ada", "lives in", "Rome", valid_from="2015")], namespace=NS, source=ADA)
    made.write([Statement("Ada", "lives in", "Bonn", valid_from="2012")], namespace=NS, source=ADA)  # row 20: past
    made.write([("Ada", "door code", "12a")], namespace=NS, source=Source("document", "house.md"))
    made.write([], namespace=NS, quarantine=[Quarantined("Ada >>", "cut off", ADA)] * 2)
    made.alias("Ada", "Countess", namespace=NS)
    return made


def lines(path: Path, *records: dict[str, Any] | str) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), encoding="utf-8")
    return path


def said(subject: str, relation: str, object_: str, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "relation": relation, "object": object_, **more}


# -- copies ------------------------------------------------------------------------------------------------------------


def test_a_copy_answers_alike(memory: Memory) -> None:
    other = Memory(":memory:")
    (copied,) = copy(memory, other, namespaces=[NS])
    assert copied == digest(other, NS) == digest(memory, NS)
    assert dict(copied.counts) == {"alias": 1, "fact": 4, "name": 8, "operation": 5, "quarantined": 2}
    for year, home in (("2011", "Oslo"), ("2013", "Bonn"), ("2020", "Rome")):
        for each in (memory, other):
            assert home in each.read("Countess", "lives in", valid_at=year, namespace=NS).answers, (each, year)
        assert memory.read("Ada", "lives in", valid_at=year, namespace=NS).answers == (
            other.read("Ada", "lives in", valid_at=year, namespace=NS).answers
        )
    assert other.stats(namespace=NS).seq == 5
    assert other.quarantined(namespace=NS) == memory.quarantined(namespace=NS)
    assert other.read("Ada", "lives in", valid_at="2020", namespace=NS).answers == ("Rome",)  # Bonn ended by 2015


def test_an_operation_of_before_is_recognised_by_the_copy(memory: Memory) -> None:
    other = Memory(":memory:")
    copy(memory, other, namespaces=[NS])
    statement = Statement("Ada", "lives in", "Oslo", valid_from="2010")
    receipt = other.write([statement], namespace=NS, source=ADA, op_id="first")
    assert receipt.replayed
    assert receipt == memory.receipt("first", namespace=NS)
    with pytest.raises(OperationConflict):
        other.write([("Ada", "likes", "tea")], namespace=NS, source=ADA, op_id="first")


def test_forgetting_a_source_reopens_in_the_copy_what_it_had_closed(memory: Memory) -> None:
    memory.write([("Ada", "lives in", "Cork")], namespace=NS, source=Source("system", "boss"))
    other = Memory(":memory:")
    copy(memory, other, namespaces=[NS])
    assert other.forget(source="boss", namespace=NS) == memory.forget(source="boss", namespace=NS)
    assert other.read("Ada", "lives in", namespace=NS).answers == ("Rome",)


def test_a_copy_is_made_with_the_targets_own_embedder(memory: Memory) -> None:
    other = Memory(":memory:")  # the shipped one: another dimension than the double's
    copy(memory, other, namespaces=[NS])
    assert other.stats(namespace=NS).pending == 0
    assert other.vectors.fingerprint.dimension != memory.vectors.fingerprint.dimension


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_copy_goes_on_as_the_first_one(seed: int) -> None:
    namespaces = [("a", "one"), ("a", "two")]
    first, second = opened(":memory:"), opened(":memory:")
    script = Script(seed, [first], namespaces)
    script.run(25)
    copy(first, second, namespaces=namespaces)
    script.memories = [first, second]
    script.compare()
    script.run(10)
    script.compare()


def test_a_target_with_other_things_is_refused_and_left_alone(memory: Memory) -> None:
    other = Memory(":memory:")
    other.write([("Bob", "likes", "tea")], namespace=NS, op_id="mine")
    before = list(other.export(namespace=NS))
    with pytest.raises(ConfigurationError, match=r"holds other things in namespace memllm/ada.*memllm forget"):
        copy(memory, other, namespaces=[NS])
    assert list(other.export(namespace=NS)) == before
    copy(memory, other, namespaces=[("elsewhere",)])  # nothing there, nothing done


def test_a_target_that_was_copied_before_and_changed_since_is_refused(memory: Memory) -> None:
    other = Memory(":memory:")
    copy(memory, other, namespaces=[NS])
    copy(memory, other, namespaces=[NS])
    memory.write([("Ada", "lives in", "Cork")], namespace=NS, source=ADA)  # closes what the copy holds as open
    with pytest.raises(ConfigurationError, match=r"\(fact [0-9a-f]{32}, for one\)"):
        copy(memory, other, namespaces=[NS])


def test_a_store_is_not_copied_to_itself(tmp_path: Path, memory: Memory) -> None:
    for source, target in ((memory, memory), (Memory(tmp_path / "a.db"), Memory(tmp_path / "x" / ".." / "a.db"))):
        with pytest.raises(ConfigurationError, match="cannot be copied to itself"):
            copy(source, target, namespaces=[NS])


def test_relations_with_other_rules_stop_a_copy(memory: Memory) -> None:
    other = Memory(":memory:", relations=[Relation("spirit animal", cardinality="many")])
    with pytest.raises(ConfigurationError, match="spirit animal"):
        copy(memory, other, namespaces=[NS])
    assert list(other.store.namespaces()) == []


class _Stops(EmbeddedStore):
    """A store that fails before the n-th block of a copy, as a full disk would."""

    left = 10**9

    def restore(self, namespace: Namespace, parts: Any, limits: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise StoreError("no more")
        return super().restore(namespace, parts, limits)


@pytest.mark.parametrize("block", range(6))
def test_a_copy_that_stopped_anywhere_goes_on(block: int, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_memllm.stores.parts.BLOCK", 4)
    store = _Stops(":memory:")
    store.left = block
    other = opened(store)
    with pytest.raises(StoreError, match="no more"):
        copy(memory, other, namespaces=[NS])
    store.left = 10**9
    told: list[tuple[int, int]] = []
    assert copy(memory, other, namespaces=[NS], progress=lambda *done: told.append(done)) == [digest(memory, NS)]
    assert told[-1] == (4, 4)


def test_writing_meanwhile_is_told(memory: Memory) -> None:
    other = opened(":memory:")

    def write(done: int, total: int) -> None:
        if done == total:
            memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="late")

    with pytest.raises(StoreError, match=r"are not the same.*Stop the writers"):
        copy(memory, other, namespaces=[NS], progress=write)


# -- parts -------------------------------------------------------------------------------------------------------------


def test_a_part_and_its_record_are_one(memory: Memory) -> None:
    for part in memory.store.dump(NS):
        assert part_of(json.loads(json.dumps(record_of(NS, part))), NS) == part


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("name", {"kind": "nickname"}, "nickname"),
        ("name", {"rank": 7}, "7"),
        ("name", {"name": "\x00"}, "U\\+0000"),
        ("fact", {"literal": 1}, "neither true nor false"),
        ("fact", {"ended": "spring"}, "partial ISO date"),
        ("fact", {"closed_seq": -1}, "-1"),
        ("fact", {"closed_source": {"kind": "rumour", "ref": ""}}, "rumour"),
        ("operation", {"payload_hash": "zz"}, "is not a hash"),
        ("operation", {"outcomes": [{"status": "eaten"}]}, "eaten"),
        ("operation", {"seq": True}, "True"),
        ("quarantined", {"text": "\ud800"}, "not plain text"),
        ("namespace", {"last_at": "soon"}, "not an ISO time"),
    ],
    ids=str,
)
def test_a_damaged_part_is_named(memory: Memory, kind: str, change: dict[str, Any], reason: str) -> None:
    record = next(record for record in memory.export(namespace=NS) if record["type"] == kind)
    with pytest.raises(ConfigurationError, match=f"record 1 is not one of an export: .*{reason}"):
        Memory(":memory:").restore([{**record, **change}])


def test_an_export_of_an_older_version_still_comes_in(memory: Memory) -> None:
    facts = [record for record in memory.export(namespace=NS) if record["type"] in ("fact", "alias", "relation")]
    for record in facts:
        for part in ("literal", "ended", "closed_seq", "closed_source"):
            record.pop(part, None)
        for source in record.get("sources", ()):
            del source["seq"], source["ordinal"]
    other = Memory(":memory:")
    assert other.restore(facts) == 4
    assert other.read("Countess", "lives in", namespace=NS).answers == ("Rome",)
    assert other.read(None, "door code", "12A", namespace=NS).answers == ()
    assert other.read(None, "door code", "12a", namespace=NS).answers == ("Ada",)


def test_equal_pieces_of_quarantine_stay_in_one_block() -> None:
    pieces: list[tuple[Namespace, Part]] = [(NS, Quarantined("x", "y", ADA, f"{n // 3}")) for n in range(BLOCK + 4)]
    sizes = [len(block) for _, block in blocks_of(pieces)]
    assert sizes == [BLOCK + 2, 2]  # 1000 = 333 * 3 + 1


def test_blocks_end_with_their_namespace_and_before_an_error() -> None:
    def parts() -> Iterator[tuple[Namespace, Part]]:
        yield ("a",), Name("name", "x")
        yield ("b",), Operation("0" * 32, Receipt("op", ("b",), 1, ""))
        raise ConfigurationError("bad")

    blocks = []
    with pytest.raises(ConfigurationError):
        for namespace, block in blocks_of(parts()):
            blocks.append((namespace, len(block)))
    assert blocks == [(("a",), 1), (("b",), 1)]


# -- bulk load ---------------------------------------------------------------------------------------------------------


def test_lines_are_loaded_with_their_sources_and_dates(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "facts.jsonl",
        said("Ada", "lives in", "Oslo", valid_from="2010", text="Ada moved.", turn=3, confidence=1),
        said("Bob", "likes", "tea", source="b.md", kind="web", principal="bob"),
        "",
        said("Ada", "lives in", "Oslo", retract=True, source="b.md", kind="system"),
    )
    memory = Memory(":memory:")
    told: list[tuple[int, int]] = []
    loaded = load(memory, file, namespace=NS, progress=lambda *done: told.append(done))
    assert loaded == Loaded(3, loaded.outcomes, 3, 0)
    assert dict(loaded.outcomes) == {"stored": 2, "retracted": 1, "rejected": 0}
    assert told == [(1, 5), (2, 5), (4, 5)]
    ada, bob = memory.facts(namespace=NS)
    assert (ada.valid_from, ada.state, ada.confidence) == ("2010", "past", 1.0)
    assert ada.sources == (Source("document", "facts.jsonl", None, "Ada moved.", None, 3),)
    assert bob.sources == (Source("web", "b.md", "bob"),)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "object"),
        ('{"subject": "a", "relation": "b"}', "object: Field required"),
        ('{"subject": 1, "relation": "b", "object": "c"}', "subject: Input should be a valid string"),
        ('{"subject": "a", "relation": "b", "object": "c", "knd": "x"}', "knd: Extra inputs"),
        ('{"subject": "a", "relation": "b", "object": "c", "kind": "rumour"}', "kind: Input should be 'model'"),
        ('{"subject": "a", "relation": "b", "object": "c", "source": "\\u0000"}', "source ref .* is not plain text"),
        ('{"subject": "a", "relation": "b", "object": "c", "valid_to": "soon"}', "valid_to is not a partial ISO date"),
        ('{"subject": "a", "relation": "b", "object": "c", "confidence": 2}', "confidence is not a probability"),
        ('{"subject": "a", "relation": "b", "object": "A"}', "same name"),
        ('{"subject": "a\\u0000", "relation": "b", "object": "c"}', "U\\+0000"),
        ('{"subject": "\\ud800", "relation": "b", "object": "c"}', "U\\+D800"),
        (json.dumps(said("a", "b", "x" * 10_000)), "at most 256 fit"),
        (json.dumps(said("a", "b", "x" * MAX_LINE)), f"more than {MAX_LINE} bytes"),
        ("9" * 3 * MAX_LINE, f"more than {MAX_LINE} bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_line_is_told_and_stops_nothing(tmp_path: Path, line: str, reason: str) -> None:
    file = lines(tmp_path / "facts.jsonl", said("Ada", "likes", "tea"), line, said("Bob", "likes", "tea"))
    refused: list[Rejected] = []
    memory = Memory(":memory:")
    loaded = load(memory, file, namespace=NS, rejects=refused.append)
    assert (loaded.lines, loaded.rejected, loaded.outcomes["stored"]) == (3, 1, 2)
    (rejected,) = refused
    assert rejected.line == 2
    assert re.search(reason, rejected.reason), rejected.reason
    assert len(rejected.given) <= 500


def test_bytes_that_are_no_text_are_one_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    good = json.dumps(said("Ada", "likes", "tea")).encode()
    file.write_bytes(b"\xef\xbb\xbf" + good + b"\r\n\xff\xfe{}\n" + good.replace(b"Ada", b"Bob"))
    loaded = load(Memory(":memory:"), file, namespace=NS)
    assert (loaded.lines, loaded.rejected) == (3, 1)


def test_loading_again_stores_nothing_twice(tmp_path: Path) -> None:
    triples = [said(f"person {n}", "likes", f"thing {n % 7}") for n in range(1200)]
    file = lines(tmp_path / "facts.jsonl", *triples)
    memory = opened(":memory:")
    assert load(memory, file, namespace=NS).as_dict() == {
        "lines": 1200,
        "operations": 3,
        "replayed": 0,
        "outcomes": {"rejected": 0, "stored": 1200},
    }
    before = digest(memory, NS)
    again = load(memory, file, namespace=NS)
    assert (again.replayed, again.outcomes["stored"]) == (3, 1200)
    assert digest(memory, NS) == before
    lines(file, *triples[:1199], said("person 1199", "likes", "milk"))  # a mended line: its block is said again
    mended = load(memory, file, namespace=NS)
    assert (mended.replayed, mended.outcomes["already"], mended.outcomes["stored"]) == (2, 199, 1001)
    assert memory.stats(namespace=NS).facts == 1201


def test_a_load_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = lines(tmp_path / "facts.jsonl", *(said(f"person {n}", "likes", "tea") for n in range(1200)))
    memory, whole = opened(":memory:"), opened(":memory:")

    def stop(done: int, total: int) -> None:
        if done >= 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(memory, file, namespace=NS, progress=stop)
    assert memory.stats(namespace=NS).facts == 1000
    assert load(memory, file, namespace=NS).replayed == 2
    load(whole, file, namespace=NS)
    triples = [tuple(fact.triple) for fact in whole.facts(namespace=NS)]
    assert [tuple(fact.triple) for fact in memory.facts(namespace=NS)] == triples


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.jsonl cannot be read \(No such file"):
        transfer.load(Memory(":memory:"), tmp_path / "none.jsonl", namespace=NS)
