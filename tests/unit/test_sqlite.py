"""The database file as threads and processes share it: connections that end with their thread, purging, interrupts."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from langchain_memllm.errors import StoreError, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.nameindex import encode
from langchain_memllm.stores import sqlite, sqlite_lock
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.interface import LookupQuery
from langchain_memllm.stores.sqlite import Database
from langchain_memllm.triples import Source
from tests.old_store import old_file

NS = ("memllm", "ada")


def in_thread(work: object) -> None:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    thread.join()


def test_a_connection_ends_with_its_thread(tmp_path: Path) -> None:
    with Memory(tmp_path / "memllm.db") as memory:
        memory.write([("Ada", "likes", "tea")], namespace=NS)
        assert isinstance(memory.store, EmbeddedStore)
        database = memory.store._db
        before = len(database._lent)
        for _ in range(5):
            in_thread(lambda: memory.read("Ada", "likes", namespace=NS))
        assert len(database._lent) == before


def test_closing_closes_the_connections_of_other_threads(tmp_path: Path) -> None:
    database = Database(tmp_path / "memllm.db")
    lent: list[sqlite3.Connection] = []
    read, closed = threading.Event(), threading.Event()

    def reader() -> None:
        with database.read() as connection:
            lent.append(connection)
        read.set()
        closed.wait(10)

    thread = threading.Thread(target=reader)
    thread.start()
    read.wait(10)
    database.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        lent[0].execute("SELECT 1")
    closed.set()
    thread.join()
    with pytest.raises(StoreError, match="is closed"):
        database.read()


def test_forgotten_text_is_nowhere_after_a_purge(tmp_path: Path) -> None:
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    memory.write([("Zebulonia", "lives in", "Quuxville")], namespace=NS)
    memory.forget(name="Zebulonia", namespace=NS, purge=True)
    for file in tmp_path.iterdir():
        held = file.read_bytes().lower()
        assert b"zebulonia" not in held, file
        assert b"quuxville" not in held, file
    memory.close()


def test_a_purge_that_cannot_empty_the_log_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MS", 200)
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    memory.write([("Zebulonia", "lives in", "Quuxville")], namespace=NS)
    other = sqlite3.connect(path)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM fact").fetchone()
    with pytest.raises(StoreUnavailable, match="purge again"):
        memory.forget(name="Zebulonia", namespace=NS, purge=True)
    other.close()
    assert memory.history("Zebulonia", namespace=NS) == []
    memory.forget(name="Zebulonia", namespace=NS, purge=True)
    assert b"Zebulonia" not in path.with_name("memllm.db-wal").read_bytes()
    memory.close()


@pytest.mark.parametrize("doing", ["a write", "a move of the log"])
def test_a_writer_that_waits_looks_for_the_lock_all_the_time(
    doing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself SQLite looks ten times a second: among writers without a pause one never found the lock free."""
    monkeypatch.setattr(sqlite_lock, "BUSY_MS", 20_000)
    database = Database(tmp_path / "memllm.db")
    other = sqlite3.connect(tmp_path / "memllm.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    tries: list[str] = []

    def seen(statement: str) -> None:
        tries.extend([statement] if statement == "BEGIN IMMEDIATE" else [])
        if len(tries) == 3:
            other.execute("COMMIT")

    assert database._writer is not None and database._log is not None
    database._writer.set_trace_callback(seen)
    if doing == "a write":
        insert = "INSERT INTO record(name, value) VALUES ('a', 'b')"
        assert database.transact(lambda connection: connection.execute(insert).rowcount) == 1
    else:
        assert database._log.move(database._writer)
    assert len(tries) == 3
    assert database._writer.execute("PRAGMA busy_timeout").fetchone() == (20_000,)
    database.close()
    other.close()


def test_a_writer_that_never_gets_the_lock_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lock, "BUSY_MS", 200)
    database = Database(tmp_path / "memllm.db")
    other = sqlite3.connect(tmp_path / "memllm.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="was locked by another process"):
        database.transact(lambda connection: connection.execute("INSERT INTO record(name, value) VALUES ('a', 'b')"))
    other.execute("ROLLBACK")
    assert database.transact(lambda connection: connection.execute("SELECT count(*) FROM record").fetchone()) == (0,)
    database.close()
    other.close()


def test_an_interrupted_write_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    database = Database(tmp_path / "memllm.db")

    def interrupted(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO record(name, value) VALUES ('a', 'b')")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.transact(interrupted)
    count = "SELECT count(*) FROM record WHERE name = 'a'"
    assert database.transact(lambda connection: connection.execute(count).fetchone()[0]) == 0
    database.close()


def test_a_file_with_codes_of_the_first_schema_is_converted(tmp_path: Path) -> None:
    path = old_file(tmp_path / "memllm.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE name_code SET code = zeroblob(32)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with Memory(path) as memory:
        assert memory.verify() == []
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT c.code, v.vector FROM name_code c JOIN name_vector v USING (id)").fetchall()
    connection.close()
    vectors = np.stack([np.frombuffer(vector, np.float32) for _, vector in rows])
    assert [code for code, _ in rows] == [code.tobytes() for code in encode(vectors)]


def test_in_a_file_of_before_facts_were_said_when_they_were_recorded(tmp_path: Path) -> None:
    with Memory(old_file(tmp_path / "memllm.db")) as memory:
        facts = [fact for namespace in memory.store.namespaces() for fact in memory.facts(namespace=namespace)]
        assert facts
        for fact in facts:
            assert fact.said_at == fact.recorded_at
            assert {source.at for source in fact.sources} == {None}


def test_one_statement_answers_from_both_ends_as_the_many_do() -> None:
    """Norway has the capital Oslo from one end and Bergen from the other: two queries at once take the longer way."""
    ns = ("n",)
    with Memory(":memory:") as memory:
        memory.write([("Norway", "capital", "Oslo"), ("Norway", "likes", "Bergen")], namespace=ns)
        memory.write([("Bergen", "capital of", "Norway")], namespace=ns, source=Source("web", "w"))
        memory.write([("Moss", "capital of", "Norway")], namespace=ns, source=Source("document", "d"))
        for side, key in (("subject", "norway"), ("object", "oslo"), ("object", "bergen"), ("subject", "nobody")):
            for limit in (1, 2, 3, 30):
                query = LookupQuery(side, (key,), "capital", "capital of")
                (one,) = memory.store.lookup([ns], [query], limit=limit)
                assert [one, one] == memory.store.lookup([ns], [query, query], limit=limit)
        (found,) = memory.store.lookup([ns], [LookupQuery("subject", ("norway",), "capital", "capital of")])
        assert [(str(row.fact.triple), row.how, row.via) for row in found.rows] == [
            ("(Norway, capital, Oslo)", "exact", "Norway"),
            ("(Moss, capital of, Norway)", "inverse", "Norway"),
            ("(Bergen, capital of, Norway)", "inverse", "Norway"),
        ]


def _failing(*_: object) -> None:
    raise ValueError("of the application")


def _inside(reading: AbstractContextManager[sqlite3.Connection]) -> None:
    with reading:
        _failing()


@pytest.mark.parametrize("path", [":memory:", "memllm.db"])
def test_an_error_inside_a_transaction_or_a_read_loses_nothing(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ValueError made the store look for foreign rows, and close the only connection of a memory in memory."""
    with Memory(path if path == ":memory:" else tmp_path / path) as memory:
        memory.write([("Ada", "likes", "tea")], namespace=NS)
        assert isinstance(memory.store, EmbeddedStore)
        database = memory.store._db
        ways = (
            lambda: database.transact(_failing),
            lambda: _inside(database.read()),
            lambda: _inside(database.snapshot()),
        )
        for failing in ways:
            with pytest.raises(ValueError, match="of the application"):
                failing()
            assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)
        with monkeypatch.context() as patch, pytest.raises(ValueError, match="of the application"):
            patch.setattr(memory, "_planned", _failing)
            memory.write([("Ada", "likes", "gin")], namespace=NS)
        memory.write([("Ada", "likes", "ale")], namespace=NS)
        assert memory.read("Ada", "likes", namespace=NS).answers == ("ale", "tea") and memory.verify() == []


def test_an_error_of_one_thread_takes_back_nothing_of_another() -> None:
    """In memory all share one connection: what is looked for after an error waits for the transaction of another."""
    database = Database(":memory:")
    begun, looked = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def work(connection: sqlite3.Connection) -> None:
        begun.set()
        looked.wait(0.5)  # it does not come: that is what is tested

    def write() -> None:
        try:
            database.transact(work)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait(10)
    database.blame(ValueError())
    looked.set()
    thread.join()
    assert failed == []
    database.close()
