"""What ``graph_schema`` says of the graph is what a real server has: the drawing, the labels, the rights, the dump."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from neo4j import Driver
from neo4j.exceptions import ClientError

from docs import make_model
from langchain_memllm.memory import Memory
from langchain_memllm.stores import cypher
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import DEFAULT_VERSION, LocalServer, _resolve, find_java

pytestmark = pytest.mark.neo4j

FOLDER = Path(str(cypher.schema_folder()))


def test_the_drawing_is_of_this_database(neo4j_store: Neo4jStore, neo4j_driver: Driver) -> None:
    make_model.fill(neo4j_store)
    drawn = make_model.draw(neo4j_driver)
    assert '-- "MEM_FROM' in drawn and '-. "oid, sid" .-> MemEntity' in drawn
    assert drawn in (FOLDER / "README.md").read_text(encoding="utf-8"), "run: python docs/make_model.py"


def statements(name: str) -> list[str]:
    text = re.sub(r"//[^\n]*", "", (FOLDER / name).read_text(encoding="utf-8"))
    return [part.strip() for part in text.split(";") if part.strip()]


def test_the_server_s_parser_accepts_the_rights(neo4j_driver: Driver) -> None:
    """Community has no roles, and says so only of statements that it could read."""
    rights = statements("least_privilege.cypher")
    assert len(rights) > 20
    for statement in rights:
        with pytest.raises(ClientError) as refused:
            neo4j_driver.execute_query(statement, database_="system")  # type: ignore[arg-type]
        assert refused.value.code == "Neo.ClientError.Statement.UnsupportedAdministrationCommand", statement
    with pytest.raises(ClientError, match="Invalid input") as wrong:
        neo4j_driver.execute_query("GRANT EVERYTHING TO memllm", database_="system")
    assert wrong.value.code == "Neo.ClientError.Statement.SyntaxError"


def test_the_rights_are_those_of_the_labels_there_are(neo4j_store: Neo4jStore, neo4j_driver: Driver) -> None:
    make_model.fill(neo4j_store)
    labels = {record["label"] for record in neo4j_driver.execute_query(make_model.LABELS).records}
    assert labels == {"MemMeta"} | {
        match.group(1)
        for step in cypher.migrations()
        for text in step.statements
        for match in [re.match(r"CREATE .*:(Mem\w+)\)", text)]
        if match
    }
    granted = [re.search(r"NODES (.+) TO memllm$", text) for text in statements("least_privilege.cypher")]
    found = [set(match.group(1).split(", ")) for match in granted if match]
    assert found == [labels] * 4


def admin(server: LocalServer, *arguments: str) -> None:
    """``neo4j-admin``, which is a class of the server's own artifacts."""
    java = find_java(server.version)
    jars = _resolve(server.version, java)
    command = [str(java), "-cp", f"{jars}{os.sep}*", "org.neo4j.cli.AdminTool", *arguments]
    home = {"NEO4J_HOME": str(server.home), "NEO4J_CONF": str(server.home / "conf")}
    subprocess.run(command, env={**os.environ, **home}, check=True, capture_output=True, timeout=300)


@pytest.mark.xdist_group("own server")
def test_a_dump_is_loaded_into_another_server(tmp_path: Path) -> None:
    version = os.environ.get("MEMLLM_TEST_NEO4J", DEFAULT_VERSION)
    with (
        LocalServer.start(tmp_path / "home", version) as server,
        closing(Neo4jStore(server.uri, auth=(server.user, server.password))) as store,
    ):
        Memory(store).write([("Ada", "lives in", "Oslo"), ("Ada", "likes", "tea")], namespace=("memllm", "ada"))
        before = list(store.facts([("memllm", "ada")]))
    admin(server, "database", "dump", "neo4j", f"--to-path={tmp_path}")
    with LocalServer.start(tmp_path / "other", server.version) as other:
        pass
    admin(other, "database", "load", "neo4j", f"--from-path={tmp_path}", "--overwrite-destination=true")
    other.restart()
    with other, closing(Neo4jStore(other.uri, auth=(other.user, other.password))) as store:
        assert list(store.facts([("memllm", "ada")])) == before
    assert [fact.triple.object for fact in before] == ["Oslo", "tea"]
