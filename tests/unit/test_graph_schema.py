"""The graph's schema files, found in both ways of installing, and the rule that queries are never put together."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import langchain_memllm
from langchain_memllm.errors import StoreCorrupt
from langchain_memllm.stores import cypher
from langchain_memllm.stores.neo4j_write import FALLBACK_TYPE, Ids, view_type

PACKAGE = Path(langchain_memllm.__file__).parent
ROOT = PACKAGE.parent


def schema(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("// why; because\nCREATE INDEX a IF NOT EXISTS;\n\n// next\nCREATE INDEX b;\n")
    return folder


def test_the_files_are_found_beside_the_package_or_above_it(tmp_path: Path) -> None:
    package = tmp_path / "langchain_memllm"
    package.mkdir()
    with pytest.raises(StoreCorrupt, match="install langchain-memllm again"):
        cypher.schema_folder(package)
    above = schema(tmp_path / "graph_schema", "0001_initial.cypher")
    assert cypher.schema_folder(package) == above
    beside = schema(package / "graph_schema", "0001_initial.cypher")
    assert cypher.schema_folder(package) == beside


def test_the_wheel_takes_the_files_along() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"graph_schema" = "langchain_memllm/graph_schema"' in pyproject


def test_migrations_come_in_order_and_without_comments(tmp_path: Path) -> None:
    folder = schema(tmp_path / "some", "0002_more.cypher", "0001_initial.cypher", "README.md")
    steps = cypher.migrations(folder)
    assert [(step.number, step.name) for step in steps] == [(1, "initial"), (2, "more")]
    assert steps[0].statements == ("CREATE INDEX a IF NOT EXISTS", "CREATE INDEX b")


@pytest.mark.parametrize("names", [(), ("0002_more.cypher",), ("0001_a.cypher", "0003_c.cypher")])
def test_missing_files_are_noticed(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(StoreCorrupt):
        cypher.migrations(schema(tmp_path / "some", *names))


def test_every_migration_may_run_twice() -> None:
    for step in cypher.migrations():
        for statement in step.statements:
            changes = (
                r"CREATE (CONSTRAINT|(FULLTEXT )?INDEX) mem_\w+ IF NOT EXISTS FOR |DROP INDEX mem_\w+ IF EXISTS$"
                r"|MATCH \(\w:Mem"
            )
            assert re.match(changes, statement), statement


@pytest.mark.parametrize(
    ("label", "declared", "expected"),
    [
        ("lives in", None, "LIVES_IN"),
        ("spirit animal", None, FALLBACK_TYPE),
        ("spirit animal", '[{"label": "spirit animal"}]', "SPIRIT_ANIMAL"),
        ("любит", '[{"label": "любит"}]', FALLBACK_TYPE),
        ("3 of", '[{"label": "3 of"}]', FALLBACK_TYPE),
        ("x`]->() //", '[{"label": "x`]->() //"}]', "X"),
    ],
)
def test_only_known_relations_become_types(label: str, declared: str | None, expected: str) -> None:
    assert view_type(label, declared) == expected


def test_ids_are_short_and_apart() -> None:
    ids, other = Ids(("a", "b")), Ids(("a,b",))
    made = [ids.ns, ids.name("x"), ids.relation("x"), ids.operation("x"), ids.source("x", ""), other.ns]
    assert {len(each) for each in made} == {22}
    assert len(set(made)) == len(made)
    assert ids.source("a", "b") != ids.source("ab", "")


def query_arguments(path: Path) -> list[tuple[int, ast.expr]]:
    """The first argument of every call that sends a query."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    senders = {"execute_query", "run", "read", "write_one", "_rows"}
    return [
        (call.lineno, call.args[0])
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in senders and call.args
    ]


def is_formatted(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Call) and ast.unparse(argument.func) == "Query":  # the driver's, with a time limit
        argument = argument.args[0]
    return isinstance(argument, ast.JoinedStr | ast.BinOp | ast.Call)


def test_no_query_text_is_put_together_where_it_is_sent() -> None:
    sent = 0
    for path in sorted((PACKAGE / "stores").glob("*.py")):
        if path.name in ("bolt.py", "neo4j.py", "neo4j_write.py", "neo4j_erase.py"):
            for line, argument in query_arguments(path):
                sent += 1
                assert not is_formatted(argument), f"{path.name}:{line} sends text that is put together"
    assert sent > 30
    assert is_formatted(ast.parse('f"MATCH (n {{name: {name}}})"', mode="eval").body)
