"""A file that somebody else wrote to: typed errors that name the table, and a check that finds it (redteam row 18, R9).

``verify --only A21`` goes through every column of every table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from langchain_memllm import MemLLMMemory
from langchain_memllm.errors import StoreCorrupt
from langchain_memllm.stores.sqlite_check import foreign_rows


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with MemLLMMemory(tmp_path / "m.db") as memory:
        memory.write([("Ada", "lives in", "Oslo"), ("Bo", "likes", "tea")])
    yield tmp_path / "m.db"


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_r9_a_row_of_another_type_is_told_with_its_table(path: Path) -> None:
    change(path, "UPDATE fact SET fid = 'x' WHERE id = 1")
    with MemLLMMemory(path) as memory:
        assert ["table fact" in problem for problem in memory.verify()] == [True]
        with pytest.raises(StoreCorrupt, match="table fact"):
            memory.read("Ada", "lives in")
        assert memory.read("Bo", "likes").answers == ("tea",)


def test_r9_a_planted_trigger_is_told_and_nothing_is_written_through_it(path: Path) -> None:
    change(path, "CREATE TRIGGER t AFTER INSERT ON name BEGIN UPDATE name SET spelling = 'Moscow'; END")
    with MemLLMMemory(path) as memory:
        assert ["trigger t" in problem for problem in memory.verify()] == [True]
        with pytest.raises(StoreCorrupt, match="trigger t"):
            memory.write([("Bo", "lives in", "Rome")])
        assert memory.read("Ada", "lives in").answers == ("Oslo",)
    change(path, "DROP TRIGGER t")
    with MemLLMMemory(path) as memory:
        assert memory.verify() == []
        memory.write([("Bo", "lives in", "Rome")])


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE VIEW v AS SELECT * FROM fact", "view v"),
        ("CREATE TABLE mine(x)", "table mine is not of memllm"),
        ("DROP INDEX fact_open_s", "index fact_open_s is missing"),
        ("ALTER TABLE fact ADD COLUMN extra", "table fact is not as memllm makes it"),
    ],
)
def test_the_schema_is_compared_with_ours(path: Path, statement: str, words: str) -> None:
    """redteam row 18: doctor looks at the schema, too."""
    change(path, statement)
    with MemLLMMemory(path) as memory:
        assert any(words in problem for problem in memory.verify())


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE name SET spelling = 'Bergen' WHERE spelling = 'Oslo'", "1 names have keys of another name"),
        ("UPDATE name SET key = 'osln' WHERE key = 'oslo'", "names have keys of another name"),
        ("UPDATE fact SET o = (SELECT id FROM name WHERE key = 'tea') WHERE id = 1", "1 facts have the id of another"),
        ("UPDATE fact SET seq = seq + 4 WHERE id = 2", "facts have the"),
        ("UPDATE fact SET kind = 'system' WHERE id = 1", "1 facts have the order of another source"),
        ("UPDATE relation SET label = 'live in'", "relations have keys of another one"),
        ("UPDATE name_code SET code = zeroblob(64) WHERE n = 1", "1 names have the search code of another vector"),
        ("UPDATE operation SET payload_hash = 'x'", "1 rows of table operation"),
    ],
)
def test_what_does_not_follow_is_found(path: Path, statement: str, words: str) -> None:
    """redteam row 18: two of 250 flipped bits gave a wrong answer, and doctor said none."""
    change(path, statement)
    with MemLLMMemory(path) as memory:
        assert any(words in problem for problem in memory.verify()), memory.verify()


def test_ids_that_came_from_elsewhere_are_no_damage(path: Path, tmp_path: Path) -> None:
    with MemLLMMemory(path) as memory, MemLLMMemory(tmp_path / "other.db") as other:
        other.restore(memory.export(), user_id="ada")
        other.write([("Ada", "likes", "tea")], user_id="ada")
        assert other.verify() == []
        other.forget(everything=True, user_id="ada")
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
            assert connection.execute("SELECT count(*) FROM record WHERE name LIKE 'ids of%'").fetchone() == (0,)


def test_the_tables_of_a_truncated_file_are_told(path: Path) -> None:
    """verify A16, at the long scale: looking for who wrote a strange row ended in a raw error of SQLite."""
    with MemLLMMemory(path) as memory:
        memory.write([("Ada", "likes", f"thing {number}") for number in range(500)])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    with closing(sqlite3.connect(path)) as connection:
        assert [problem for problem in foreign_rows(connection) if "cannot be read" in problem]
