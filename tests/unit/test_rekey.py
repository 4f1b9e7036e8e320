"""A file and an export of version 0.1 are brought to the present rules: nothing is lost, whole or not at all."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_memllm.memory import Memory
from langchain_memllm.relations import Relation
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.embedded_recall import add_words
from langchain_memllm.stores.embedded_rekey import rekey
from langchain_memllm.stores.embedded_use import add_use
from langchain_memllm.stores.sqlite import SCHEMA_VERSION
from langchain_memllm.triples import Fact, Source, name_key, rank_of
from tests.old_store import BOB, COMMITS, KARI, content, fill, old_export, old_file, old_rules

SAID = Source("user", "chat", "kari")


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(old_file(tmp_path / "memllm.db"))


def back_to(connection: sqlite3.Connection, number: int) -> None:
    """Let a file count as one of an earlier schema: what later steps make, they make again."""
    connection.execute("DROP TABLE stamp")
    connection.execute(f"PRAGMA user_version = {number}")


def answers(memory: Memory, subject: str, relation: str) -> list[tuple[str, str, str]]:
    found = memory.read(subject, relation, namespace=KARI)
    return [(match.answer, match.fact.state, match.how) for match in found]


def history(memory: Memory, subject: str, relation: str) -> list[tuple[str, str, str | None]]:
    return [
        (fact.triple.object, fact.state, fact.closed_why) for fact in memory.history(subject, relation, namespace=KARI)
    ]


def test_names_that_look_the_same_are_one(memory: Memory) -> None:
    """bugs 3.9: both halves are found by either spelling, values that meet read as contested."""
    for name in ("O'Brien", "O’Brien", "Obie", "Brian O’Brien"):
        how = "exact" if name in ("O'Brien", "O’Brien") else "alias"
        assert answers(memory, name, "works for") == [("Equinor", "current", how)]
        assert answers(memory, name, "lives in") == [("Bergen", "contested", how), ("Oslo", "contested", how)]
    assert memory.read("İstanbul", None, namespace=KARI).matches == ()
    assert memory.read(None, "has visited", "istanbul", namespace=KARI).answers == ("Ada",)
    assert memory.read(None, "works for", "Acme Inc.", namespace=BOB).answers == ("Nice", "O’Brien")
    assert memory.store.aliases(KARI) == [("Brian O'Brien", "Obie", "O’Brien")]
    assert memory.verify() == []


@pytest.mark.parametrize("commit", COMMITS)
def test_a_file_of_every_earlier_schema_is_opened_with_its_history(tmp_path: Path, commit: str) -> None:
    """Issue 20: what four older commits wrote is there, ends as it ended then, and can be written and exported."""
    path = old_file(tmp_path / "memllm.db", commit)
    with Memory(path) as memory:
        assert memory.verify() == []
        assert answers(memory, "Obie", "works for") == [("Equinor", "current", "alias")]
        assert answers(memory, "Jean-Luc", "lives in")[0][0] in ("Nice", "Oslo")
        assert {fact.triple.object for fact in memory.history("O'Brien", "lives in", namespace=KARI)} == {
            "Oslo",
            "Bergen",
        }
        assert ("Nice", "past", "retracted") in history(memory, "O'Brien", "likes")
        assert memory.receipt("op-0", namespace=KARI) is not None
        assert [piece.text for piece in memory.quarantined(namespace=KARI)] == ["O’Brien owes me"]
        memory.write([("O'Brien", "lives in", "Rome")], namespace=KARI, source=SAID)
        assert answers(memory, "O’Brien", "lives in") == [("Rome", "current", "exact")]
        with Memory() as other:
            other.restore(memory.export(namespace=[KARI, BOB]))
            assert content(other.store, KARI) == content(memory.store, KARI)
    if commit != "c55b18f":  # which wrote by the rules of today
        before, first = Memory(old_file(tmp_path / "a.db", commit)), Memory(old_file(tmp_path / "b.db"))
        assert content(before.store, KARI) == content(first.store, KARI)


def test_names_that_do_not_stay_two_and_literals_as_they_are(memory: Memory) -> None:
    assert answers(memory, "José", "lives in") == [("Oslo", "current", "exact")]
    assert answers(memory, "Jose", "lives in") == [("Oslo", "current", "similar")]
    assert memory.read(None, "password", "Secret`.", namespace=KARI).answers == ("user",)
    assert not memory.read(None, "password", "Secret'", namespace=KARI)


def test_twins_of_the_catalogue_are_one_relation(memory: Memory) -> None:
    """bugs 3.10: relations that became aliases; a relation that the store declared itself stays its own."""
    assert answers(memory, "user", "works for") == [
        (each, "contested", "exact") for each in ("Shell", "Statoil", "Equinor")
    ]
    assert answers(memory, "user", "residence") == [("Oslo", "current", "exact")]
    assert answers(memory, "user", "job") == [("pilot", "current", "exact")]
    assert answers(memory, "user", "birthday") == [("1990-05-03", "current", "exact")]
    assert answers(memory, "user", "home city") == [("Bergen", "current", "exact")]
    assert memory.catalogue.declared == (Relation("home city"),)
    memory.write([("user", "works for", "Aker")], namespace=KARI, source=SAID)
    assert answers(memory, "user", "employer") == [("Aker", "current", "exact")]


def test_of_two_open_facts_that_are_one_triple_the_earlier_stays_with_the_evidence_of_both(memory: Memory) -> None:
    tea, again = [fact for fact in memory.facts(namespace=KARI) if fact.triple.object == "tea" and fact.seq < 12]
    assert (tea.state, tea.kind, tea.principal) == ("current", "user", "kari")
    assert [source.kind for source in tea.sources] == ["document", "user"]
    assert (again.state, again.closed_why, again.closed_by) == ("past", "replaced", tea.id)
    erased = memory.forget(source=Source("user", "chat"), namespace=KARI)
    assert again.id in erased.fact_ids
    (left,) = memory.read("O'Brien", "likes", namespace=KARI)
    assert (left.answer, left.fact.kind) == ("tea", "document")
    assert memory.verify() == []


def test_history_receipts_and_times_are_kept(memory: Memory) -> None:
    assert history(memory, "Jean-Luc", "lives in") == [
        ("Bergen", "past", "superseded"),
        ("Oslo", "contested", None),
        ("Nice", "contested", None),
    ]
    assert ("Nice", "past", "retracted") in history(memory, "O'Brien", "likes")
    old = {fact["id"]: fact for fact in old_export() if fact["type"] == "fact"}
    now = {fact.id: fact for namespace in (KARI, BOB) for fact in memory.facts(namespace=namespace)}
    assert old.keys() == now.keys()
    assert all((now[i].seq, now[i].recorded_at) == (old[i]["seq"], old[i]["recorded_at"]) for i in old)
    for record in old_export():
        if record["type"] == "operation":
            receipt = memory.receipt(record["op_id"], namespace=tuple(record["namespace"]))
            assert receipt is not None
            assert all(outcome.fact_id in now for outcome in receipt if outcome.fact_id)
    moment = max(fact["recorded_at"] for fact in old.values())
    assert {match.answer for match in memory.read("O'Brien", "likes", namespace=KARI, at=moment)} == {"tea", "Nice"}


def test_similar_names_words_and_forgetting_know_the_merged_names(memory: Memory) -> None:
    """Search codes, words of recall and quarantine are consistent: nothing is found under what is gone."""
    found = {match.fact.id for match in memory.recall("Did istanbul please you?", namespace=KARI)}
    assert found
    assert memory.forget(name="Ｏ‘Brien", namespace=KARI).quarantined == 1
    assert not any("brien" in str(fact.triple).lower() for fact in memory.facts(namespace=KARI))
    with sqlite3.connect(memory.store.location) as connection:
        ids = {row[0] for row in connection.execute("SELECT id FROM name")}
        for table in ("name_code", "name_vector"):
            assert {row[0] for row in connection.execute(f"SELECT id FROM {table}")} <= ids
        ends = connection.execute("SELECT s FROM fact UNION SELECT o FROM fact").fetchall()
        assert {row[0] for row in ends} <= ids
    connection.close()
    assert memory.verify() == []


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = old_file(tmp_path / "memllm.db")
    with Memory(path) as memory:
        first = [content(memory.store, namespace) for namespace in (KARI, BOB)]
    with Memory(path) as memory:
        assert [content(memory.store, namespace) for namespace in (KARI, BOB)] == first


def test_the_fixture_is_what_the_rules_of_then_write(tmp_path: Path) -> None:
    """What stands in for the old code where it cannot be run (Neo4j) writes the fixture's content."""
    with old_rules():
        held = Memory(tmp_path / "memllm.db")
        fill(held)
        old = [record for record in old_export() if record["type"] == "fact"]
        new = [record for record in held.export(namespace=[KARI, BOB]) if record["type"] == "fact"]
        assert [record["id"] for record in new] == [record["id"] for record in old]


def test_an_old_export_is_read_by_the_new_keys(memory: Memory) -> None:
    """The second of two open facts that are one triple is left out, as it is of any import."""
    imported = Memory(":memory:")
    assert imported.restore(old_export()) == len([each for each in old_export() if each["type"] == "fact"])
    open_ = [[fact.id for fact in each.facts(namespace=[KARI, BOB], open_only=True)] for each in (imported, memory)]
    assert sorted(open_[0]) == sorted(open_[1])
    for subject, relation in (
        ("O'Brien", "lives in"),
        ("user", "works for"),
        ("user", "birthday"),
        ("Obie", "works for"),
    ):
        assert answers(imported, subject, relation) == answers(memory, subject, relation)
    assert [len(group) for group in imported.store.aliases(KARI)] == [3]
    with_relations = Memory(":memory:")
    with_relations.restore([{"type": "relation", "label": "jobs", "aliases": ["worked for"]}])
    assert with_relations.catalogue.resolve("worked for").label == "jobs"


def facts_of(memory: Memory) -> list[Fact]:
    return list(memory.facts(namespace=[KARI, BOB]))


KILLED = """
import os, signal, sqlite3, sys
from langchain_memllm.stores import sqlite
connect, left = sqlite3.connect, int(sys.argv[2])
def counted(*arguments, **options):
    connection = connect(*arguments, **options)
    def count(statement):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    connection.set_trace_callback(count)
    return connection
sqlite3.connect = counted
sqlite.Database(sys.argv[1])
print("opened")
"""


@pytest.mark.parametrize("statements", [0, 20, 30, 40, 60, 80, 100, 120, 100_000])
def test_a_migration_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path, statements: int) -> None:
    """Issue 19, bad input: kill -9 in the middle of a migration; the next one to open the file finishes it."""
    path, whole = old_file(tmp_path / "memllm.db"), old_file(tmp_path / "whole.db")
    run = [sys.executable, "-c", KILLED, str(path), str(statements)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == ("opened" in done.stdout) == (statements == 100_000), done.stderr
    assert done.returncode in (0, -signal.SIGKILL)
    with Memory(path) as memory, Memory(whole) as expected:
        for namespace in (KARI, BOB):
            assert content(memory.store, namespace) == content(expected.store, namespace)
        assert memory.verify() == []
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    connection.close()


def test_declared_relations_that_collide_keep_their_facts(tmp_path: Path) -> None:
    """Issue 19, C4: a relation of the user's own wins over a name that is shipped since."""
    path = tmp_path / "memllm.db"
    mine = Relation("employer", cardinality="one_at_a_time", aliases=("worked for", "boss company"))
    with old_rules(), Memory(path, relations=[mine]) as memory:
        memory.write([("user", "worked for", "Shell"), ("user", "residence", "Oslo")], namespace=KARI, source=SAID)
    with sqlite3.connect(path) as connection:
        back_to(connection, 5)  # before ``rekey``
    connection.close()
    with Memory(path, relations=[mine]) as memory:
        assert [fact.triple.relation for fact in facts_of(memory)] == ["employer", "lives in"]
        assert answers(memory, "user", "boss company") == [("Shell", "current", "exact")]
        assert not memory.read("user", "works for", namespace=KARI)


def test_names_of_operations_and_marks_in_a_file_of_before_become_hashes(tmp_path: Path) -> None:
    """redteam row 16: what a file of before kept in plain is recognised, and is gone from it."""
    path = old_file(tmp_path / "memllm.db")
    with sqlite3.connect(path) as connection:
        before = [row[0] for row in connection.execute("SELECT op_id FROM operation")]
    connection.close()
    EmbeddedStore(path).close()
    entry = {"text": "Bob is here.", "context": [], "thread": "", "speaker": None, "replace": False}
    entry |= {"source": asdict(SAID), "recorded_at": "", "attempts": 0, "excluded": [["canary"], ["bob", "likes"]]}
    with sqlite3.connect(path) as connection:
        row = (json.dumps(["memllm", "kari"], separators=(",", ":")), "said by canary", json.dumps(entry))
        connection.execute(
            "INSERT INTO outbox(ns, op_id, kind, ref, entry) SELECT id, ?2, '', '', ?3 FROM namespace WHERE name = ?1",
            row,
        )
        back_to(connection, 6)  # before ``hide``
    connection.close()
    with Memory(path) as memory:
        assert all(memory.receipt(op_id, namespace=KARI) for op_id in before if op_id != "op-12")
        (waiting,) = memory.outbox(namespace=KARI)
        assert waiting == memory.outbox(namespace=KARI, op_ids=["said by canary"])[0]
        assert waiting.excludes("canary", "likes", "tea")
        assert waiting.excludes("bob", "likes", "tea")
        assert not waiting.excludes("bob", "knows", "al")
    with sqlite3.connect(path) as connection:
        assert all(len(row[0]) == 32 for row in connection.execute("SELECT op_id FROM operation"))
        assert "canary" not in connection.execute("SELECT op_id || entry FROM outbox").fetchone()[0]
    connection.close()


def test_an_empty_store_is_migrated_in_no_time() -> None:
    store = EmbeddedStore(":memory:")
    assert store.namespaces() == []
    store.close()


ALIKE = ["O'Brien", "O’Brien", "Oʼbrien.", "José", "Jose", "Acme", "Acme.", "ＡＣＭＥ", "user", "Zoe\u200b", "Zoe"]
TWINS = ["employer", "works for", "residence", "lives in", "likes", "birthday", "date of birth", "son", "child"]
names, relations_ = st.sampled_from(ALIKE), st.sampled_from(TWINS)
sources = st.builds(Source, st.sampled_from(["user", "document", "web"]), st.sampled_from(["a", "b"]))
steps = st.lists(
    st.tuples(st.lists(st.tuples(names, relations_, names), min_size=1, max_size=4), sources), min_size=1, max_size=8
)
links = st.lists(st.tuples(names, names), max_size=3)


def keyed(memory: Memory, fact: Fact) -> tuple[str, str, str]:
    subject, relation, object_ = fact.triple
    known = memory.catalogue.resolve(relation)
    return name_key(subject), known.key, known.object_key(object_)


@settings(max_examples=25, deadline=None)
@given(steps, links)
def test_whatever_was_stored_nothing_is_lost(
    steps: list[tuple[list[tuple[str, str, str]], Source]], links: list[tuple[str, str]]
) -> None:
    """Every fact keeps its id and what closed it; what was open as a triple is open once, with all of its evidence."""
    with old_rules():
        memory = Memory(":memory:")
        for triples, source in steps:
            memory.write(triples, namespace=KARI, source=source)
        for one, other in links:
            memory.alias(one, other, namespace=KARI)
        before = facts_of(memory)
        classes = memory.store.aliases(KARI)
    assert isinstance(memory.store, EmbeddedStore)
    memory.store._db.transact(rekey)
    for later in (add_use, add_words):  # steps that look at what is there then
        memory.store._db.transact(later)
    memory = Memory(memory.store)
    after = {fact.id: fact for fact in facts_of(memory)}
    assert after.keys() == {fact.id for fact in before}
    assert all(
        (after[f.id].closed_why, after[f.id].closed_by) == (f.closed_why, f.closed_by) for f in before if not f.is_open
    )
    open_ = [fact for fact in after.values() if fact.is_open]
    triples_ = [keyed(memory, fact) for fact in open_]
    assert len(triples_) == len(set(triples_))
    assert set(triples_) == {keyed(memory, fact) for fact in before if fact.is_open}
    for fact in open_:
        alike = [each for each in before if each.is_open and keyed(memory, each) == keyed(memory, fact)]
        assert {source for each in alike for source in each.sources} <= set(fact.sources)
        assert fact.seq == min(each.seq for each in alike)
        assert rank_of(fact.kind) == max(rank_of(each.kind) for each in alike)
        assert fact.id in {m.fact.id for m in memory.read(fact.triple.subject, fact.triple.relation, namespace=KARI)}
    linked = memory.store.aliases(KARI)
    for group in classes:
        keys = {name_key(name) for name in group}
        assert len(keys) == 1 or any(keys <= {name_key(name) for name in other} for other in linked)
    assert memory.verify() == []
