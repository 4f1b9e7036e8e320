"""Query text is never put together from values: outside ``cypher``, only constants and names of constants are run."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import langchain_memllm
from langchain_memllm.stores import cypher

PACKAGE = Path(langchain_memllm.__file__).parent
RUNNERS = {"run", "execute_query", "read", "write_one", "alter", "_rows", "_run", "Query", "begin"}
WORDS = ("MATCH (", "MERGE (", "CREATE (", "DETACH DELETE", "UNWIND ", "CALL {", "CALL (")


def speaks_to_neo4j(tree: ast.Module) -> bool:
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return any(name.split(".")[0] == "neo4j" or name.endswith((".cypher", ".bolt")) for name in imported)


def is_put_together(node: ast.expr) -> bool:
    """An f-string with a value in it, ``%``, ``+``, or a string's method."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("format", "format_map", "join", "replace", "removeprefix", "substitute")
    )


def literal_text(node: ast.AST) -> str:
    return " ".join(
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def faults(tree: ast.Module) -> list[int]:
    """Lines where a statement is put together: as what is run, or anywhere with words of the query language in it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = [*node.args[:1], *(word.value for word in node.keywords if word.arg in ("query", "query_", "text"))]
            found += [node.lineno for arg in first if name in RUNNERS and is_put_together(arg)]
        if isinstance(node, ast.expr) and is_put_together(node) and any(w in literal_text(node) for w in WORDS):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "code",
    [
        "tx.run(f'RETURN {x}')",
        "bolt.read('RETURN ' + x)",
        "driver.execute_query('RETURN %s' % x)",
        "session.run(Query('RETURN {}'.format(x)))",
        "text = f'MATCH (n:{label}) RETURN n'\ntx.run(text)",
        "text = 'MATCH (n:<L>) RETURN n'.replace('<L>', label)\ntx.run(text)",
        "driver.execute_query(query_=f'RETURN {x}')",
    ],
)
def test_the_rule_sees(code: str) -> None:
    assert faults(ast.parse(code))


def test_the_rule_lets_constants_pass() -> None:
    assert faults(ast.parse("tx.run(cypher.LOAD, x=f'{y}')\nbolt.read('RETURN 1')\nraise E(f'no match for {x}')")) == []


def test_no_statement_is_put_together_outside_cypher() -> None:
    checked = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.parent.name != "cypher" and speaks_to_neo4j(tree):
            checked.append(path.name)
            assert faults(tree) == [], path
    assert {"bolt.py", "neo4j.py", "neo4j_write.py", "neo4j_erase.py", "schema.py", "graph.py"} <= set(checked)


@pytest.mark.parametrize("path", sorted((PACKAGE / "stores" / "cypher").glob("*.py")), ids=lambda path: path.stem)
def test_cypher_puts_statements_together_from_literals_alone_when_it_is_loaded(path: Path) -> None:
    """Functions that build text take only ``LiteralString``, and nothing outside the package may call them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        builds = [node for node in ast.walk(function) if isinstance(node, ast.expr) and is_put_together(node)]
        if any(word in literal_text(node) for node in builds for word in ("MATCH", "CYPHER", "USING", "x.")):
            kinds = {ast.unparse(each.annotation) for each in function.args.args if each.annotation}
            assert kinds <= {"LiteralString", "tuple[LiteralString, ...]"}, function.name
            assert function.name.startswith("_"), function.name


def test_every_statement_is_seen_where_all_of_them_are_looked_for() -> None:
    """The frozen set and the plan check read ``vars(cypher)``: what a module of the package holds must be there."""
    for path in (PACKAGE / "stores" / "cypher").glob("[!_]*.py"):
        module = importlib.import_module(f"langchain_memllm.stores.cypher.{path.stem}")
        for name in (name for name in vars(module) if name.isupper() and not name.startswith("_")):
            assert getattr(cypher, name) is getattr(module, name), name
