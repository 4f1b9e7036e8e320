"""The local Neo4j server: starts, is private, survives a crash, stops, and says clearly what is missing."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from langchain_memllm.errors import ConfigurationError, MissingExtra, StoreUnavailable
from langchain_memllm.stores import server as module
from langchain_memllm.stores.server import LocalServer, docker_line, find_java

pytestmark = pytest.mark.neo4j


def query(server: LocalServer, text: str, password: str | None = None) -> list[object]:
    from neo4j import GraphDatabase

    auth = (server.user, server.password if password is None else password)
    with GraphDatabase.driver(server.uri, auth=auth, max_transaction_retry_time=0) as driver:
        return [record[0] for record in driver.execute_query(text, database_="neo4j").records]


def test_answers_on_loopback_only_with_its_own_password(neo4j_server: LocalServer) -> None:
    from neo4j.exceptions import AuthError

    assert query(neo4j_server, "RETURN 1") == [1]
    kernel = "CALL dbms.components() YIELD name, versions WHERE name = 'Neo4j Kernel' RETURN versions[0]"
    assert query(neo4j_server, kernel) == [neo4j_server.version]
    with pytest.raises(AuthError):
        query(neo4j_server, "RETURN 1", password="neo4j")
    assert (neo4j_server.home / "password").stat().st_mode & 0o777 == 0o600
    assert neo4j_server.home.stat().st_mode & 0o777 == 0o700
    assert neo4j_server.password not in repr(neo4j_server)
    listening = Path("/proc/net/tcp")
    if listening.exists():
        ports = {int(re.sub(r"\D", "", uri)[-5:]) for uri in (neo4j_server.uri, neo4j_server.http_uri)}
        for line in listening.read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if int(port, 16) in ports and line.split()[3] == "0A":
                assert address == "0100007F"


def test_sends_no_telemetry(neo4j_server: LocalServer) -> None:
    settings = "SHOW SETTINGS YIELD name, value WHERE name IN $names RETURN name + '=' + value AS s ORDER BY s"
    from neo4j import GraphDatabase

    names = ["dbms.usage_report.enabled", "client.allow_telemetry", "server.bolt.telemetry.enabled"]
    with GraphDatabase.driver(neo4j_server.uri, auth=(neo4j_server.user, neo4j_server.password)) as driver:
        records = driver.execute_query(settings, {"names": names}, database_="neo4j").records
    assert [record["s"] for record in records] == [f"{name}=false" for name in sorted(names)]


@pytest.mark.xdist_group("own server")
def test_a_kept_home_survives_crash_restart_and_attach(tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = LocalServer.start(home)
    try:
        query(server, "CREATE (:Thing {n: 1})")
        server.kill()
        assert not server.is_running
        assert LocalServer.attach(home) is None
        server.restart()
        assert query(server, "MATCH (t:Thing) RETURN t.n") == [1]
        attached = LocalServer.attach(home)
        assert attached is not None
        assert (attached.uri, attached.password, attached.pid) == (server.uri, server.password, server.pid)
        with pytest.raises(StoreUnavailable, match="already running"):
            LocalServer.start(home)
        attached.stop()
        assert not server.is_running
    finally:
        server.stop()
    assert (home / "password").exists()


@pytest.mark.xdist_group("own server")
def test_a_temporary_server_dies_with_its_parent() -> None:
    script = (
        "import os, signal\n"
        "from langchain_memllm.stores.server import LocalServer\n"
        "server = LocalServer.start()\n"
        "print(server.pid, server.uri.rsplit(':')[-1], server.home, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid, port, home = done.stdout.split()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (_listens(int(port)) or Path(home).exists()):
        time.sleep(0.1)
    assert not _listens(int(port))
    assert not Path(home).exists()
    assert int(pid) > 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_java_major", lambda home: 11)
    with pytest.raises(MissingExtra, match="Java 17 or 21") as no_java:
        find_java("5.26.30")
    assert docker_line("5.26.30") in str(no_java.value)
    with pytest.raises(MissingExtra, match="Java 21 or newer"):
        find_java("2026.08.1")
    monkeypatch.undo()
    monkeypatch.setenv("MEMLLM_CACHE", str(tmp_path))
    java = find_java()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtra, match="Maven") as no_maven:
        module._resolve("5.26.30", java)
    assert docker_line("5.26.30") in str(no_maven.value)


@pytest.mark.parametrize("version", ["", "latest", "5.26", "../5.26.30", "5.26.30; rm"])
def test_refuses_what_is_no_release(version: str) -> None:
    with pytest.raises(ConfigurationError, match="not a Neo4j release number"):
        LocalServer.start(version=version)


def test_a_failing_download_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text("#!/bin/sh\necho '[ERROR] from central (https://me:secret@example.org/m2): gone'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{maven.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MEMLLM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StoreUnavailable, match=r"could not fetch Neo4j 5\.26\.30") as error:
        LocalServer.start()
    assert "secret" not in str(error.value)
    assert list((tmp_path / "cache" / "neo4j").iterdir()) == []
