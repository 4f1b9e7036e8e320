"""The command line on Neo4j: a server of one's own, the schema, the link to Browser; all in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from neo4j import Driver, GraphDatabase
from neo4j_fixture import told_if_there_is_none

from langchain_memllm.stores import cypher
from langchain_memllm.stores.server import LocalServer, docker_line, find_java

pytestmark = [pytest.mark.neo4j, pytest.mark.xdist_group("cli")]  # a server of its own

MEMLLM = Path(sys.executable).with_name("memllm")


class Shell:
    """Runs ``memllm`` with a home for its server and nothing else from the environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        hidden = ("MEMLLM_", "NEO4J_", "OPENAI_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        cache = {name: value for name, value in os.environ.items() if name == "MEMLLM_CACHE"}
        self.environment = {**kept, **cache, "MEMLLM_NEO4J_HOME": str(home)}
        self.printed = ""

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [MEMLLM, *arguments],
            env=self.environment,
            cwd=self.home.parent,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __call__(self, *arguments: str, status: int = 0) -> str:
        process = self.start(*arguments)
        text, _ = process.communicate(timeout=300)
        self.printed += text
        assert process.returncode == status, text
        return text

    @property
    def store(self) -> str:
        return str(json.loads(self("neo4j", "status", "--json"))["store"])


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell whose server is running; what it printed never held the password."""
    with told_if_there_is_none():
        find_java()
    shell = Shell(tmp_path_factory.mktemp("shell") / "neo4j")
    assert "start one with: memllm neo4j start" in shell("schema", "show", status=3)
    assert "no server is running" in shell("neo4j", "status", status=1)
    first = shell("neo4j", "start")
    assert first.startswith("Neo4j 5.26.30 starts, for this machine only")
    assert f"memllm demo --store {shell.store}" in first
    yield shell
    assert "its data stay" in shell("neo4j", "stop")
    assert (shell.home / "password").read_text() not in shell.printed
    assert "no server was running" in shell("neo4j", "stop")


@pytest.fixture
def driver(shell: Shell) -> Iterator[Driver]:
    server = LocalServer.attach(shell.home)
    assert server is not None
    with GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        driver.execute_query("MATCH (n) DETACH DELETE n")
        yield driver


def drop_schema(driver: Driver) -> None:
    for kind, several in (("CONSTRAINT", "CONSTRAINTS"), ("INDEX", "INDEXES")):
        for record in driver.execute_query(f"SHOW {several} YIELD name WHERE name STARTS WITH 'mem_'").records:  # type: ignore[arg-type]
            driver.execute_query(f"DROP {kind} {record['name']}")  # type: ignore[arg-type]


def test_a_running_server_is_said_and_no_mistake(shell: Shell) -> None:
    assert shell("neo4j", "start").startswith("Neo4j 5.26.30 was running already")
    told = json.loads(shell("neo4j", "status", "--json"))
    assert told["running"] is True
    assert Path(told["password_file"]).stat().st_mode & 0o777 == 0o600


def test_nobody_types_the_password_of_the_local_server(shell: Shell, driver: Driver) -> None:
    assert (
        shell("write", "Ada", "lives in", "Oslo", "-s", shell.store, "-u", "ada")
        == "stored      (Ada, lives in, Oslo)\n"
    )
    assert "(Ada, lives in, Oslo)" in shell("read", "--subject", "Ada", "-s", shell.store, "-u", "ada")
    assert "user" in shell("read", "--subject", "Ada", "-s", shell.store, status=2)  # somebody must be named
    elsewhere = shell("stats", "-s", "neo4j://localhost:1", "-u", "ada", status=2)
    assert "set NEO4J_PASSWORD" in elsewhere


def test_a_password_that_is_set_comes_first(shell: Shell, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shell.environment, "NEO4J_PASSWORD", "wrong")
    assert "refused the user name or password" in shell("stats", "-s", shell.store, "-u", "ada", status=3)


def test_the_password_goes_to_no_other_process(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home whose server is gone, while somebody else listens on its port."""
    state = json.loads((shell.home / "server.json").read_text())
    (tmp_path / "server.json").write_text(json.dumps({**state, "pid": os.getpid()}))
    (tmp_path / "password").write_text("secret")
    monkeypatch.setenv("MEMLLM_NEO4J_HOME", str(tmp_path))
    assert LocalServer.behind(f"bolt://127.0.0.1:{state['bolt']}") is None
    monkeypatch.setenv("MEMLLM_NEO4J_HOME", str(shell.home))
    assert LocalServer.behind(f"bolt://127.0.0.1:{state['bolt']}") is not None
    for other in (
        "memllm.db",
        ":memory:",
        "neo4j://example.org",
        f"neo4j+s://localhost:{state['bolt']}",
        "neo4j://[",
        "",
    ):
        assert LocalServer.behind(other) is None


def test_two_processes_apply_the_schema_at_once(shell: Shell, driver: Driver) -> None:
    drop_schema(driver)
    assert "pending:  0001 initial" in shell("schema", "show")
    both = [shell.start("schema", "apply") for _ in range(2)]
    texts = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert all(f"has schema {cypher.schema_version()}" in text for text in texts)
    assert "problems: none" in shell("schema", "show")
    found = driver.execute_query(cypher.INDEXES).records
    assert {record["name"] for record in found} == set(cypher.index_names())
    assert "nothing was to do" in shell("schema", "apply")


def test_a_missing_index_is_told(shell: Shell, driver: Driver) -> None:
    shell("schema", "apply")
    driver.execute_query("DROP INDEX mem_past_by")
    assert "problems: mem_past_by is missing" in shell("schema", "show", status=3)
    assert json.loads(shell("schema", "show", "--json", status=3))["problems"] == ["mem_past_by is missing"]
    driver.execute_query("MATCH (m:MemMeta {name: 'schema'}) DELETE m")
    shell("schema", "apply")
    assert "problems: none" in shell("schema", "show")


def test_a_newer_schema_is_refused_and_told(shell: Shell, driver: Driver) -> None:
    shell("schema", "apply")
    driver.execute_query("MATCH (m:MemMeta {name: 'schema'}) SET m.value = '99'")
    for refused in (("schema", "apply"), ("stats", "-s", shell.store, "-u", "ada")):
        assert "has schema 99" in (text := shell(*refused, status=3))
        assert "pip install -U langchain-memllm" in text
    assert "schema 99 is newer than this version knows" in shell("schema", "show", status=3)


def test_browser_prints_a_link_and_serves_until_interrupted(shell: Shell) -> None:
    process = shell.start("browser")
    assert process.stdout is not None
    link = process.stdout.readline().split()[1]
    assert str(shell.home / "password") in process.stdout.readline()
    assert "Ctrl-C ends this" in process.stdout.readline()
    with pytest.raises(HTTPError, match="302") as redirect:
        urllib.request.build_opener(_Stay).open(link)
    target = redirect.value.headers["Location"]
    redirect.value.close()
    assert target.startswith("http://localhost:")
    assert "/browser/?dbms=neo4j%3A%2F%2Fneo4j%40localhost%3A" in target
    assert target.endswith("&cmd=guide&arg=" + link.replace(":", "%3A").replace("/", "%2F") + "guide.html")
    with urllib.request.urlopen(f"{link}guide.html") as page:
        assert b"What does the agent remember?" in page.read()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    shell.printed += rest
    assert process.returncode == 0, rest


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection."""

    def redirect_request(self, *request: object) -> None:
        return None


def test_browser_says_what_it_cannot_do(shell: Shell, tmp_path: Path) -> None:
    assert "give --store neo4j://host" in shell("browser", "--store", "memllm.db", status=2)
    assert "not the address of Neo4j Browser" in shell("browser", "--http", "example.org", status=2)
    shell("browser", "--save", str(tmp_path / "pages"))
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == ["memllm-favourites.zip", "memllm.grass"]


def test_a_missing_java_or_maven_is_told_with_the_docker_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Shell(tmp_path / "neo4j")
    monkeypatch.setitem(bare.environment, "PATH", str(tmp_path))
    monkeypatch.setitem(bare.environment, "MEMLLM_CACHE", str(tmp_path / "cache"))
    assert f"use Docker: {docker_line()}" in bare("neo4j", "start", status=4)
