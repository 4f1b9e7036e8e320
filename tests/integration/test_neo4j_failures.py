"""A server that is away, silent, cut off, read-only or out of memory: a typed error in time, nothing half-written."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from neo4j import Driver, ManagedTransaction

from langchain_memllm.errors import ConfigurationError, StoreError, StoreUnavailable
from langchain_memllm.memory import Memory
from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.processes import TinyEmbedder, stopped
from langchain_memllm.verify.proxy import Fault, Proxy

pytestmark = pytest.mark.neo4j

NS = ("memllm", "failures")
DEADLINE = 3.0
GRACE = 5.0  # on a busy machine


@pytest.fixture
def auth(neo4j_server: LocalServer) -> tuple[str, str]:
    return neo4j_server.user, neo4j_server.password


@pytest.fixture
def proxy(neo4j_server: LocalServer) -> Iterator[Proxy]:
    with Proxy(int(neo4j_server.uri.rsplit(":", 1)[1])) as relay:
        yield relay


@pytest.fixture
def bolt(neo4j_store: Neo4jStore, proxy: Proxy, auth: tuple[str, str]) -> Iterator[Bolt]:
    """A connection through the proxy to a database whose schema is there and whose plans are warm."""
    made = Bolt(f"bolt://127.0.0.1:{proxy.port}", auth=auth, deadline=120.0)
    made.read(cypher.NAMESPACES)
    made.write(lambda transaction: transaction.run("CREATE (x:Warm) DELETE x").consume())
    made.deadline = DEADLINE
    yield made
    made.close()


@contextlib.contextmanager
def in_time(seconds: float = DEADLINE, words: str = "neo4j") -> Iterator[None]:
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match=words) as error:
        yield
    assert time.monotonic() - start < seconds + GRACE, error.value
    assert "canary" not in str(error.value)


def create(transaction: ManagedTransaction) -> None:
    transaction.run("CREATE (:Trial)").consume()


def trials(driver: Driver) -> int:
    return int(driver.execute_query("MATCH (x:Trial) RETURN count(x) AS n", database_="neo4j").records[0]["n"])


def test_a_paused_server_is_told_in_time_and_goes_on_afterwards(
    bolt: Bolt, neo4j_server: LocalServer, neo4j_driver: Driver, auth: tuple[str, str]
) -> None:
    with stopped(neo4j_server.pid):
        with in_time():
            bolt.read(cypher.NAMESPACES)
        with in_time():
            bolt.write(create)
        for scheme in ("bolt", "neo4j"):
            with in_time():
                Bolt(neo4j_server.uri.replace("bolt", scheme), auth=auth, deadline=DEADLINE)
    bolt.deadline = 120.0
    assert bolt.read(cypher.NAMESPACES) == []
    bolt.write(create)
    assert trials(neo4j_driver) in (1, 2)  # the first may have been on its way


def test_nothing_is_committed_after_the_deadline(bolt: Bolt, neo4j_driver: Driver) -> None:
    went_on = threading.Event()

    def slow(transaction: ManagedTransaction) -> None:
        create(transaction)
        time.sleep(1.5)
        went_on.set()

    with in_time(1.0):
        bolt.write(slow, within=1.0)
    assert went_on.wait(10)
    time.sleep(0.5)
    assert trials(neo4j_driver) == 0


@pytest.mark.parametrize("message", ["BEGIN", "RUN", "COMMIT"])
def test_a_network_that_swallows_everything_is_told_in_time(bolt: Bolt, proxy: Proxy, message: str) -> None:
    proxy.arm(Fault("half-open", message))
    with in_time():
        bolt.write(create)
    assert proxy.struck == 1


@pytest.mark.parametrize("kind", ["cut", "reset", "torn answer", "lost answer", "refuse", "delay"])
@pytest.mark.parametrize("message", ["BEGIN", "RUN", "COMMIT"])
def test_a_connection_that_breaks_is_made_again(
    bolt: Bolt, proxy: Proxy, neo4j_driver: Driver, kind: str, message: str
) -> None:
    """The work runs again: how often it counts is the operation id's business, and that of the test below."""
    bolt.deadline = 120.0
    proxy.arm(Fault(kind, message, 0.2))
    bolt.write(create)
    assert proxy.struck == 1
    arrived = message == "COMMIT" and kind in ("torn answer", "lost answer")
    assert trials(neo4j_driver) == (2 if arrived else 1)


def test_a_commit_whose_answer_is_lost_counts_once(
    neo4j_store: Neo4jStore, neo4j_driver: Driver, proxy: Proxy, auth: tuple[str, str]
) -> None:
    store = Neo4jStore(f"bolt://127.0.0.1:{proxy.port}", auth=auth, deadline=120.0)
    memory = Memory(store)
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
    proxy.arm(Fault("lost answer", "COMMIT"))
    receipt = memory.write([("Ada", "lives in", "Rome"), ("Ada", "likes", "tea")], namespace=NS)
    assert proxy.struck == 1
    assert not receipt.replayed
    assert [outcome.status for outcome in receipt] == ["stored", "stored"]
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
    counts = "MATCH (p:MemOp) WITH count(p) AS ops MATCH (x) WHERE x:MemFact OR x:MemPast RETURN ops, count(x) AS facts"
    assert dict(neo4j_driver.execute_query(counts, database_="neo4j").records[0]) == {"ops": 2, "facts": 3}
    assert memory.stats(namespace=NS).pending == 0
    store.close()


def test_writers_that_lock_each_other_out_both_finish(bolt: Bolt, neo4j_driver: Driver) -> None:
    neo4j_driver.execute_query("CREATE (:Trial {n: 1}), (:Trial {n: 2})", database_="neo4j")
    both, tries = threading.Barrier(2), [0, 0]
    bolt.deadline = 120.0

    def crossing(me: int) -> Callable[[ManagedTransaction], None]:
        def work(transaction: ManagedTransaction) -> None:
            tries[me] += 1
            for n in (1, 2) if me else (2, 1):
                transaction.run("MATCH (x:Trial {n: $n}) SET x.seen = coalesce(x.seen, 0) + 1", n=n).consume()
                if tries == [1, 1] or max(tries) == 1:
                    with contextlib.suppress(threading.BrokenBarrierError):
                        both.wait(5)

        return work

    threads = [threading.Thread(target=bolt.write, args=(crossing(me),)) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = neo4j_driver.execute_query("MATCH (x:Trial) RETURN x.seen AS seen", database_="neo4j").records
    assert [row["seen"] for row in seen] == [2, 2]
    assert sum(tries) > 2


def test_a_server_that_is_not_there_is_told_at_once(auth: tuple[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with in_time():
            Bolt(f"bolt://127.0.0.1:{port}", auth=auth, deadline=DEADLINE)
    for uri in (f"bolt://127.0.0.1:{port}", f"neo4j://127.0.0.1:{port}", "neo4j+s://nowhere.invalid"):
        with in_time(words="does not answer"):
            Bolt(uri, auth=("neo4j", "canary"), deadline=DEADLINE)


def test_a_deadline_must_leave_time() -> None:
    with pytest.raises(ConfigurationError, match="leaves no time"):
        Bolt("bolt://localhost", auth=("neo4j", "x"), deadline=0)


def test_a_server_that_goes_away_fails_in_time_and_what_was_there_stays(
    neo4j_store: Neo4jStore, proxy: Proxy, auth: tuple[str, str]
) -> None:
    store = Neo4jStore(f"bolt://127.0.0.1:{proxy.port}", auth=auth, deadline=120.0)
    memory = Memory(store)
    memory.write([("Ada", "likes", "tea")], namespace=NS)
    proxy.close()
    with in_time(7.0):  # five seconds, and the last try
        memory.write([("Ada", "likes", "gin")], namespace=NS)
    with in_time(7.0):
        memory.read("Ada", "likes", namespace=NS)
    store.close()
    assert Memory(neo4j_store).read("Ada", "likes", namespace=NS).answers == ("tea",)


def test_the_drivers_logs_are_left_alone_and_ours_tell_no_facts(
    bolt: Bolt, proxy: Proxy, auth: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    loggers = [logging.getLogger(name) for name in ("neo4j", "neo4j.io", "neo4j.pool", "neo4j.notifications")]
    before = [(each.level, each.disabled, each.propagate, list(each.handlers)) for each in loggers]
    caplog.set_level(logging.DEBUG, logger="langchain_memllm")
    with contextlib.closing(Neo4jStore(f"bolt://127.0.0.1:{proxy.port}", auth=auth, deadline=120.0)) as store:
        proxy.arm(Fault("lost answer", "COMMIT"))
        Memory(store).write([("canary subject", "canary relation", "canary object")], namespace=NS)
    assert [(each.level, each.disabled, each.propagate, list(each.handlers)) for each in loggers] == before
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("langchain_memllm")]
    assert any("trying again after IncompleteCommit" in line for line in ours)
    assert not any("canary" in line or auth[1] in line for line in ours)


@pytest.mark.xdist_group("own server")
def test_a_store_outlives_a_crash_of_its_server(tmp_path: Path) -> None:
    """Then the same server with little transaction memory, then read-only: typed errors, nothing half-written."""
    with (
        LocalServer.start(tmp_path / "home") as server,
        contextlib.closing(Neo4jStore(server.uri, auth=(server.user, server.password), deadline=120.0)) as store,
        contextlib.closing(Bolt(server.uri, auth=(server.user, server.password), deadline=120.0)) as bolt,
    ):
        memory = Memory(store, embedder=TinyEmbedder())
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, op_id="first")
        server.kill()
        with in_time(7.0):
            memory.write([("Ada", "lives in", "Rome")], namespace=NS, op_id="second")
        restart_with(server, "db.memory.transaction.max=16m")
        memory.write([("Ada", "lives in", "Rome")], namespace=NS, op_id="second")
        assert [fact.triple.object for fact in memory.history("Ada", namespace=NS)] == ["Oslo", "Rome"]

        with pytest.raises(StoreError, match=r"transaction memory; nothing was written.*smaller batches"):
            bolt.write(lambda transaction: transaction.run("UNWIND range(1, 500000) AS i CREATE (:Trial)").consume())
        with bolt._session("READ") as session:
            assert session.run("MATCH (x:Trial) RETURN count(x) AS n").single(strict=True)["n"] == 0

        restart_with(server, "server.databases.read_only=neo4j")
        with pytest.raises(StoreError, match="read-only now; nothing was written"):
            memory.write([("Ada", "likes", "gin")], namespace=NS)
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
        with contextlib.closing(Neo4jStore(server.uri, auth=(server.user, server.password), deadline=120.0)) as second:
            assert Memory(second, embedder=TinyEmbedder()).read("Ada", "lives in", namespace=NS).answers == ("Rome",)
        assert store.check() == []


def restart_with(server: LocalServer, setting: str) -> None:
    with (server.home / "conf" / "neo4j.conf").open("a", encoding="ascii") as settings:
        settings.write(f"\n{setting}\n")
    server.restart()
