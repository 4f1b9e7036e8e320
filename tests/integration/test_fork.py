"""Redteam row 1 (A15, T16): memories before, during and after a fork; nothing acknowledged is lost, nothing hangs."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from neo4j import GraphDatabase

from langchain_memllm import forking
from langchain_memllm.background import BackgroundWriter
from langchain_memllm.errors import StoreError
from langchain_memllm.memory import Memory
from langchain_memllm.stores import sqlite_schema
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.verify.ledger import facts_of
from langchain_memllm.verify.old_files import old_file

NS = ("memllm", "ada")


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process; returns its id. Its exit status is 0, or 1 if it raised."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def statuses(pids: list[int], within: float = 60.0) -> list[int]:
    """Exit statuses; a child that hangs is killed and counts as -9."""
    ends, found = time.monotonic() + within, []
    for pid in pids:
        while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < ends:
            time.sleep(0.01)
        if done[0] == 0:
            os.kill(pid, signal.SIGKILL)
            done = os.waitpid(pid, 0)
        found.append(os.waitstatus_to_exitcode(done[1]))
    return found


def write(memory: Memory, name: str, count: int) -> None:
    for number in range(count):
        receipt = memory.write([(name, "likes", f"thing {number}")], namespace=NS)
        assert [outcome.status for outcome in receipt] == ["stored"]


def held(path: Path) -> int:
    """Facts in the file, as the bare library counts them once nobody has it open."""
    with sqlite3.connect(path) as connection:
        count: int = connection.execute("SELECT count(*) FROM fact").fetchone()[0]
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()
    return count


@pytest.mark.parametrize("opens", ["anew", "the parent's"])
@pytest.mark.parametrize("parent", ["closes", "writes", "stays"])
def test_nothing_is_lost_whatever_parent_and_workers_do(tmp_path: Path, opens: str, parent: str) -> None:
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    write(memory, "parent", 1)
    memory.read("parent", "likes", namespace=NS)
    readable, writable = os.pipe()

    def work(name: str) -> None:
        mine = Memory(path) if opens == "anew" else memory
        mine.read("parent", "likes", namespace=NS)
        os.read(readable, 1)
        write(mine, name, 15)

    pids = [forked(lambda name=f"worker {number}": work(name)) for number in range(3)]  # type: ignore[misc]
    if parent == "writes":
        write(memory, "parent again", 5)
    if parent != "stays":
        memory.close()
    os.write(writable, b"go!")
    if parent == "writes":
        with Memory(path) as another:
            write(another, "parent once more", 5)
    assert statuses(pids) == [0, 0, 0]
    memory.close()
    os.close(readable), os.close(writable)
    assert held(path) == 1 + 45 + (10 if parent == "writes" else 0)


def test_a_fork_in_the_middle_of_writes_and_reads_of_other_threads_waits_for_them(tmp_path: Path) -> None:
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    write(memory, "parent", 1)
    stop, written, failed = threading.Event(), [0, 0], list[BaseException]()

    def busy(place: int) -> None:
        try:
            while not stop.is_set():
                write(memory, f"thread {place} {written[place]}", 1)
                written[place] += 1
                memory.read("parent", "liked", namespace=NS)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=busy, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    pids = []
    for number in range(25):
        pids.append(forked(lambda name=f"child {number}": write(memory, name, 2)))  # type: ignore[misc]
        time.sleep(0.01)
    assert statuses(pids) == [0] * 25
    stop.set()
    for thread in threads:
        thread.join()
    memory.close()
    assert not failed
    assert min(written) > 0
    assert held(path) == 1 + sum(written) + 50


def test_two_memories_of_one_process_keep_their_locks(tmp_path: Path) -> None:
    """A15: opening a file a second time dropped the first one's lock, and the next to close threw its log away."""
    path = tmp_path / "memllm.db"
    first = Memory(path)
    write(first, "before", 1)
    second = Memory(path)
    code = "import sys; from langchain_memllm.memory import Memory; Memory(sys.argv[1]).close()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    write(first, "after", 5)
    write(second, "second", 5)
    assert len(list(first.facts(namespace=NS))) == 11
    first.close()
    second.close()
    assert held(path) == 11


def in_a_child(path: str, name: str, memory: Memory | None = None) -> None:
    mine = Memory(path) if memory is None else memory
    write(mine, name, 20)
    mine.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_loses_nothing(tmp_path: Path, method: str) -> None:
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    write(memory, "parent", 1)
    context = multiprocessing.get_context(method)
    given = memory if method == "fork" else None
    workers = [context.Process(target=in_a_child, args=(str(path), f"worker {n}", given)) for n in range(4)]
    for worker in workers:
        worker.start()
    write(memory, "parent meanwhile", 10)
    memory.close()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert held(path) == 1 + 80 + 10


def test_gunicorn_with_preload_loses_nothing(tmp_path: Path) -> None:
    look_at_gunicorn(tmp_path / "memllm.db", requests=400, each=60)


def look_at_gunicorn(path: Path, requests: int, each: int) -> None:
    """So many writes by four preloaded workers, each of which is replaced by a new one after about ``each`` of them.

    By hand at 10,000: ``python -c "from pathlib import Path; from tests.integration.test_fork import look_at_gunicorn;
    look_at_gunicorn(Path('memllm.db'), 10_000, 1_000)"``.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    module = "tests.integration.preloaded"
    options = ["--preload", "--workers=4", f"--max-requests={each}", f"--bind=127.0.0.1:{port}", "--no-control-socket"]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, f"--config=python:{module}", f"{module}:application"],
        env={**os.environ, "PRELOADED_STORE": str(path)},
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(port, server)

        def ask(number: int) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=60) as answer:
                return str(answer.read().decode())

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(requests)))
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0
    assert {answer.split()[1] for answer in answers} == {"stored"}
    workers = {answer.split()[0] for answer in answers}
    assert len(workers) > 4, "no worker was replaced"
    facts = [fact.triple for fact in facts_of(path)]
    of_parent = [triple for triple in facts if triple[0] == "parent"]
    assert ("parent", "likes", "preloading") in of_parent
    assert len(of_parent) > len(workers), "one for each fork"
    assert sorted(set(facts) - set(of_parent)) == sorted((f"request {n}", "likes", "answers") for n in range(requests))
    assert len(facts) == len(set(facts)) == held(path)


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        assert server.poll() is None, server.communicate()[1].decode()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("gunicorn did not start")


def refusal(use: Callable[[], object]) -> str:
    """What a child is told."""
    readable, writable = os.pipe()

    def work() -> None:
        try:
            use()
        except StoreError as error:
            os.write(writable, str(error).encode())

    assert statuses([forked(work)]) == [0]
    os.close(writable)
    told = os.read(readable, 10_000).decode()
    os.close(readable)
    return told


def test_a_child_has_no_memory_in_memory_and_the_parent_keeps_its_own() -> None:
    memory = Memory(":memory:")
    write(memory, "parent", 1)
    told = refusal(lambda: memory.read("parent", "likes", namespace=NS))
    assert (
        told == "a memory in ':memory:' lives in the process that made it; give it a file to share it with forked ones"
    )
    assert memory.read("parent", "likes", namespace=NS).answers == ("thing 0",)
    write(memory, "later", 1)
    memory.close()


def test_a_child_that_is_forked_inside_a_write_of_its_own_thread_is_refused(tmp_path: Path) -> None:
    """The transaction cannot be finished first, so the child may not touch the file; the parent's write goes on."""
    path = tmp_path / "memllm.db"
    memory = Memory(path)
    write(memory, "parent", 1)
    told: list[str] = []

    def inside(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO record(name, value) VALUES ('a', 'b')")
        told.append(refusal(lambda: memory.read("parent", "likes", namespace=NS)))
        told.append(refusal(lambda: Memory(path)))

    memory.store._db.transact(inside)  # type: ignore[attr-defined]
    assert "was in use while this process was forked" in told[0]
    assert "cannot be opened here; fork while nothing is written" in told[1]
    assert memory.store.record("a") == "b"
    assert refusal(lambda: memory.read("parent", "likes", namespace=NS)) == ""
    memory.close()


def test_a_fork_in_the_middle_of_a_migration_leaves_one_whole_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 20, bad input: a thread brings an old file to the present schema while the process forks."""
    path, whole = old_file(tmp_path / "memllm.db"), old_file(tmp_path / "whole.db")
    Memory(whole).close()
    begun, goes_on = threading.Event(), threading.Event()
    steps = list(sqlite_schema.MIGRATIONS)
    place, last = [(place, step) for place, step in enumerate(steps) if callable(step)][-1]

    def slow(connection: sqlite3.Connection) -> None:
        begun.set()
        goes_on.wait(60)
        last(connection)

    steps[place] = slow
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", tuple(steps))
    thread = threading.Thread(target=lambda: Memory(path).close())
    thread.start()
    assert begun.wait(60)
    threading.Timer(0.5, goes_on.set).start()
    told = refusal(lambda: Memory(path).close())
    thread.join()
    assert told == "" or "cannot be opened here" in told
    with Memory(path) as memory:
        assert memory.verify() == []
    assert sorted(map(repr, facts_of(path))) == sorted(map(repr, facts_of(whole)))


def test_a_file_that_another_library_had_open_across_the_fork_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memllm.db"
    Memory(path).close()
    other = sqlite3.connect(path)
    other.execute("SELECT count(*) FROM fact").fetchone()
    assert "no other library has the file open" in refusal(lambda: Memory(path))
    other.close()
    assert refusal(lambda: Memory(path)) == ""


def test_a_thread_that_never_ends_its_write_delays_a_fork_for_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "PATIENCE", 0.3)
    memory = Memory(tmp_path / "memllm.db")
    begun, end = threading.Event(), threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        begun.set()
        end.wait(60)

    thread = threading.Thread(target=memory.store._db.transact, args=(hold,))  # type: ignore[attr-defined]
    thread.start()
    begun.wait(60)
    assert "was in use while" in refusal(lambda: memory.read("parent", "likes", namespace=NS))
    end.set()
    thread.join()
    write(memory, "parent", 1)
    memory.close()


def test_locks_that_other_threads_hold_are_free_in_the_child(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memllm.db")
    write(memory, "parent", 1)
    held_, end = threading.Event(), threading.Event()

    def hold() -> None:
        with memory.vectors._lock:
            held_.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held_.wait(60)
    pids = [forked(lambda: write(memory, "child", 1))]
    assert statuses(pids, within=20) == [0]
    end.set()
    thread.join()
    memory.close()


def test_a_background_writer_works_in_the_child_too(tmp_path: Path) -> None:
    done = threading.Event()
    writer = BackgroundWriter(lambda namespace: done.set(), turns=1)
    writer.submit(NS)
    assert done.wait(30)
    done.clear()

    def child() -> None:
        writer.submit(NS)
        assert done.wait(30)
        writer.close()

    assert statuses([forked(child)]) == [0]
    assert not done.is_set()
    writer.submit(NS)
    assert done.wait(30)
    writer.close()


@pytest.fixture
def on_neo4j(neo4j_store: Neo4jStore, neo4j_server: LocalServer) -> Iterator[Memory]:
    store = Neo4jStore(neo4j_server.uri, auth=(neo4j_server.user, neo4j_server.password), deadline=120.0)
    memory = Memory(store)
    yield memory
    store.close()


@pytest.mark.neo4j
@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_child_gets_a_driver_of_its_own(on_neo4j: Memory, neo4j_server: LocalServer) -> None:
    write(on_neo4j, "parent", 1)
    pids = [forked(lambda name=f"child {number}": write(on_neo4j, name, 3)) for number in range(3)]  # type: ignore[misc]
    write(on_neo4j, "parent meanwhile", 3)
    assert statuses(pids) == [0, 0, 0]
    assert len(list(on_neo4j.facts(namespace=NS))) == 13
    with GraphDatabase.driver(neo4j_server.uri, auth=(neo4j_server.user, neo4j_server.password)) as driver:
        memory = Memory(driver)
        write(memory, "with a driver", 1)
        told = refusal(lambda: memory.read("parent", "likes", namespace=NS))
        assert "make the driver in the child, or give the memory an address instead" in told
        assert memory.read("with a driver", "likes", namespace=NS).answers == ("thing 0",)
    gc.collect()
