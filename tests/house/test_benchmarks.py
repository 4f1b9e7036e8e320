"""Tables in the documentation are those of the measured figures."""

from __future__ import annotations

from pathlib import Path

from benchmarks import gate_table, neo4j_table, recall_table

ROOT = Path(neo4j_table.__file__).parents[1]


def test_the_neo4j_tables_are_those_of_the_results():
    figures, sizing = ((ROOT / name).read_text(encoding="utf-8") for name in ("benchmarks/README.md", "docs/neo4j.md"))
    for table, document in ((neo4j_table.table(), figures), (neo4j_table.by_size(), figures)):
        assert "\n".join(table) in document, "print it: python -m benchmarks.neo4j_table"
    assert "\n".join(neo4j_table.sizing()) in sizing, "print it: python -m benchmarks.neo4j_table"


def test_the_tables_of_recall_are_those_of_the_results():
    document = (ROOT / "docs" / "recall.md").read_text(encoding="utf-8")
    for table in (recall_table.beside_minilm(), recall_table.ablations()):
        assert "\n".join(table) in document, "print it: python -m benchmarks.recall_table"


def test_the_table_of_gates_is_that_of_the_results():
    document = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    assert "\n".join(gate_table.table()) in document, "print it: python -m benchmarks.gate_table"


def test_a_missed_goal_is_in_bold():
    writes = neo4j_table.Line("writes", ("rate",), "{:,}".format, least=(1_500, 2_500))
    assert writes.cell({"rate": 2_000}, "pure") == "2,000"
    assert writes.cell({"rate": 2_000}, "rust") == "**2,000**"
    wait = neo4j_table.Line("wait", ("longest", "p99"), "{:.0f}".format, most=20)
    assert wait.cell({"longest": 21, "p99": 30}, "pure") == "**21** / 30"
    assert wait.cell({}, "pure") == ""
