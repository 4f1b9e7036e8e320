"""What is Neo4j's own: plans, the readable view, strangers' data, addresses, failures, bounded forgetting."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from neo4j import AsyncGraphDatabase, Driver, GraphDatabase

from langchain_memllm import agreement
from langchain_memllm.belief import Batch, Claim, Current, Evidence, Plan, resolve
from langchain_memllm.errors import (
    ConfigurationError,
    EmbeddingError,
    MemLLMError,
    SchemaTooNew,
    StoreError,
    StoreUnavailable,
)
from langchain_memllm.memory import STRICT, Memory, Thresholds
from langchain_memllm.relations import Relation
from langchain_memllm.stores import cypher, neo4j_erase, open_store
from langchain_memllm.stores.interface import Pending
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Source, Triple, stable_hash

pytestmark = pytest.mark.neo4j

NS = ("memllm", "ada")
LOOSE = Thresholds(0.5, 0.5, 0.5)
ADA = Source("user", "chat-1", "ada")
DOCUMENT = Source("document", "notes.md")

Ask = Callable[..., list[object]]


@pytest.fixture
def memory(neo4j_store: Neo4jStore) -> Memory:
    return Memory(neo4j_store)


@pytest.fixture
def ask(neo4j_driver: Driver) -> Ask:
    """The first column of what a bare query finds."""
    return lambda text, **parameters: [
        record[0] for record in neo4j_driver.execute_query(text, parameters, database_="neo4j").records
    ]


@pytest.fixture
def auth(neo4j_server: LocalServer) -> tuple[str, str]:
    return neo4j_server.user, neo4j_server.password


# -- statements ------------------------------------------------------------------------------------------------------


def statements() -> dict[str, str]:
    named = {name: text for name, text in vars(cypher).items() if name.isupper() and isinstance(text, str)}
    named |= {f"PURGE {part}": text for part, text in cypher.PURGE.items()}
    return {name: text for name, text in named.items() if name not in ("CYPHER", "INDEXES") and name[0] != "_"}


def operators(driver: Driver, text: str) -> set[str]:
    explained = text.replace(cypher.CYPHER, cypher.CYPHER + "EXPLAIN ", 1)
    plan = driver.execute_query(explained, database_="neo4j").summary.plan if "EXPLAIN" in explained else None
    found: set[str] = set()
    steps = [plan] if plan else []
    while steps:
        step = steps.pop()
        steps += step.get("children", [])
        found.add(step["operatorType"].split("@")[0])
    return found


def test_no_statement_scans_whether_the_graph_is_empty_or_not(memory: Memory, neo4j_driver: Driver) -> None:
    for filled in (False, True):
        if filled:
            memory.write([(f"name {i}", f"relation {i % 7}", f"name {i + 1}") for i in range(900)], namespace=NS)
            memory.alias("name 1", "first", namespace=NS)
            neo4j_driver.execute_query("CALL db.clearQueryCaches()", database_="neo4j")
        for name, text in statements().items():
            scans = {step for step in operators(neo4j_driver, text) if "Scan" in step}
            assert not scans, f"{name} ({filled=}) reads more than it needs: {scans}"
    assert operators(neo4j_driver, cypher.CYPHER + "MATCH (x:MemFact) RETURN x") & {"NodeByLabelScan"}  # it can fail


def test_statements_use_nothing_deprecated(neo4j_store: Neo4jStore, neo4j_server: LocalServer) -> None:
    auth = (neo4j_server.user, neo4j_server.password)
    with GraphDatabase.driver(neo4j_server.uri, auth=auth) as driver:
        for name, text in statements().items():
            explained = text.replace(cypher.CYPHER, cypher.CYPHER + "EXPLAIN ", 1)
            if explained != text:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a preview feature of older drivers
                    notes = driver.execute_query(explained, database_="neo4j").summary.gql_status_objects
                told = [note.status_description for note in notes if note.raw_classification == "DEPRECATION"]
                assert told == [], name


def test_two_statements_write_and_one_reads(
    memory: Memory, neo4j_store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neo4j import ManagedTransaction, Query, Session

    monkeypatch.setattr(agreement, "FRESH", 3600.0)  # on a slow machine it would look for new relations meanwhile
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
    sent: list[str] = []
    for owner in (ManagedTransaction, Session):
        run = owner.run

        def note(self: object, query: str | Query, *args: object, run: Any = run, **kwargs: object) -> object:
            sent.append(str(query.text) if isinstance(query, Query) else query)
            return run(self, query, *args, **kwargs)

        monkeypatch.setattr(owner, "run", note)
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)  # no new name: nothing to embed
    assert sent == [cypher.LOAD, cypher.APPLY]
    sent.clear()
    memory.read("Ada", "likes", namespace=NS)
    assert sent[0] == cypher.LOOKUP
    sent.clear()
    assert memory.recall("Where does Ada live?", namespace=NS)
    assert sent[:2] == [cypher.RECALL_INDEX, cypher.CANDIDATES]  # the read has loaded the vectors of relations
    assert set(sent[2:]) == {cypher.LOOKUP}  # whether the slot is contested
    sent.clear()
    memory.recall("Where does Ada live?", namespace=NS)
    assert sent[:2] == [cypher.RECALL_INDEX, cypher.CANDIDATES]  # what is held is as new as the namespace


# -- what people see -------------------------------------------------------------------------------------------------

VIEW = "MATCH (s:MemEntity)-[v]->(o:MemEntity) RETURN s.name + ' ' + type(v) + ' ' + o.name AS shown ORDER BY shown"


def test_open_facts_are_readable_relationships(memory: Memory, neo4j_store: Neo4jStore, ask: Ask) -> None:
    memory.declare(Relation("spirit animal", cardinality="one_at_a_time"), Relation("любит"))
    memory.write(
        [
            ("Ada", "lives in", "Oslo"),
            ("Ada", "spirit animal", "owl"),
            ("Ada", "x`]->() DETACH DELETE n //", "tea"),
            ("Ada", "любит", "чай"),
        ],
        namespace=NS,
        source=ADA,
    )
    assert ask(VIEW) == ["Ada LIVES_IN Oslo", "Ada RELATED_TO tea", "Ada RELATED_TO чай", "Ada SPIRIT_ANIMAL owl"]
    assert ask("MATCH ()-[v:RELATED_TO]->(o) WHERE o.name = 'tea' RETURN v.relation") == ["x`]->() DETACH DELETE n //"]
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA)
    assert "Ada LIVES_IN Rome" in ask(VIEW)
    assert "Ada LIVES_IN Oslo" not in ask(VIEW)
    memory.forget(source="chat-1", namespace=NS)
    assert ask(VIEW) == []
    assert neo4j_store.check() == []


def test_a_reopened_fact_is_shown_again(memory: Memory, neo4j_store: Neo4jStore, ask: Ask) -> None:
    memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA)
    memory.forget(source="chat-1", namespace=NS)
    assert ask(VIEW) == ["Ada LIVES_IN Oslo"]
    assert neo4j_store.check() == []


def test_check_finds_what_was_changed_by_hand(memory: Memory, neo4j_store: Neo4jStore, ask: Ask) -> None:
    memory.write([("Ada", "lives in", "Oslo"), ("Ada", "likes", "tea")], namespace=NS, source=ADA)
    ask("MATCH (:MemEntity)-[v:LIVES_IN]->() DELETE v")
    assert len(neo4j_store.check()) == 1
    ask("MATCH (e:MemEntity {name: 'tea'}) DETACH DELETE e")
    assert len(neo4j_store.check()) == 2
    ask("DROP INDEX mem_past_by")
    assert any(problem.startswith("index mem_past_by is missing") for problem in neo4j_store.check())
    statement = next(text for text in cypher.migrations()[0].statements if "mem_past_by" in text)
    ask(statement)
    ask(cypher.AWAIT_INDEXES)


def test_a_change_that_finds_nothing_to_rest_on_rolls_all_back(neo4j_store: Neo4jStore, ask: Ask) -> None:
    claim = Claim(0, Triple("Ada", "likes", "tea"), "ada", "likes", "tea")
    batch = Batch("op", stable_hash("likes tea"), "2026-01-01T00:00:00.000000+00:00", (claim,))

    def plan(current: Current) -> Plan:
        good = resolve(batch, current)
        return replace(good, evidence=(Evidence("0" * 32, claim, claim.keys),))

    with pytest.raises(StoreError, match="nothing was written"):
        neo4j_store.transact(NS, batch, plan)
    assert ask("MATCH (n) WHERE NOT n:MemMeta RETURN count(n)") == [0]


HOSTILE = [
    "`",
    "x`]->() DETACH DELETE n //",
    "$ns",
    "'",
    '"',
    "a\\'b",
    "})",
    "\u202eabc",
    "😀",
    "\u0000".join("ab"),
    "a\nb",
    "x" * 10_000,
    "\ufeffnote",
    "{id: 1}",
    "CALL db.labels()",
]


def test_hostile_texts_are_data(memory: Memory, ask: Ask) -> None:
    memory.write([("Ada", "likes", "Oslo"), ("Ada", "some relation", "tea")], namespace=NS)
    labels, types = set(ask("CALL db.labels()")), set(ask("CALL db.relationshipTypes()"))
    for number, text in enumerate(HOSTILE):
        plain = text.replace("\x00", "").replace("\n", " ")[:200]
        memory.write(
            [(text, "likes", "tea"), ("Ada", text, "tea"), ("Ada", "likes", text)],
            namespace=("memllm", plain),
            source=Source("document", plain, principal=plain, text=plain),
            op_id=plain + str(number),
        )
        memory.read(text[:256].replace("\x00", ""), text[:256].replace("\x00", ""), namespace=("memllm", plain))
        memory.recall(text, namespace=("memllm", plain))
    assert set(ask("CALL db.labels()")) == labels
    assert set(ask("CALL db.relationshipTypes()")) == types
    assert ask("MATCH (n) WHERE NOT any(label IN labels(n) WHERE label STARTS WITH 'Mem') RETURN count(n)") == [0]
    refused = {text for text in HOSTILE if "\x00" in text or len(text) > 256}
    stored = {" ".join(text.split()) for text in HOSTILE if text not in refused}
    assert stored <= set(ask("MATCH (e:MemEntity) RETURN e.name"))
    assert stored <= set(ask("MATCH (r:MemRelation) RETURN r.label"))


def test_the_view_is_made_again_from_the_facts(memory: Memory, neo4j_store: Neo4jStore, ask: Ask) -> None:
    memory.write([("Ada", "lives in", "Oslo"), ("Ada", "spirit animal", "heron")], namespace=NS, source=ADA)
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA)
    drawn = "MATCH (s)-[v]->(o) WHERE v.fact IS NOT NULL RETURN [s.name, type(v), o.name] AS row ORDER BY row"
    before = ask(drawn)
    assert before == [["Ada", "LIVES_IN", "Rome"], ["Ada", "RELATED_TO", "heron"]]
    ask("MATCH ()-[v:LIVES_IN]->() DELETE v")
    ask("MATCH (s:MemEntity {name: 'Oslo'}) MATCH (o:MemEntity {name: 'Rome'}) CREATE (s)-[:NEAR {fact: 'no'}]->(o)")
    ask("MATCH (s:MemEntity {name: 'Oslo'}) MATCH (o:MemEntity {name: 'Rome'}) CREATE (s)-[:TRAIN_TO]->(o)")
    ask("MATCH (s)-[v:RELATED_TO]->(o) CREATE (s)-[w:RELATED_TO]->(o) SET w = properties(v)")
    assert "doctor --rebuild-view" in memory.verify()[0]
    assert neo4j_store.rebuild_view() == 3
    assert ask(drawn) == before
    assert ask("MATCH ()-[v:TRAIN_TO]->() RETURN count(v)") == [1]
    assert (memory.verify(), neo4j_store.rebuild_view()) == ([], 0)


def test_a_vector_without_direction_is_refused(neo4j_store: Neo4jStore) -> None:
    Memory(neo4j_store).write([("Ada", "lives in", "Oslo")], namespace=NS)
    for numbers in ([0.0, 0.0], [float("nan"), 1.0], [[1.0, 0.0]]):
        with pytest.raises(EmbeddingError, match="zero or not finite"):
            neo4j_store.fill(NS, [Pending("relation", "lives in", "lives in")], [np.array(numbers, np.float32)])


# -- strangers, versions ---------------------------------------------------------------------------------------------


def test_other_peoples_data_are_neither_touched_nor_read(memory: Memory, ask: Ask) -> None:
    ask("CREATE CONSTRAINT theirs IF NOT EXISTS FOR (p:Person) REQUIRE p.name IS UNIQUE")
    ask("CREATE (a:Person {name: 'Ada', ns: 'x', id: 'y'})-[:LIVES_IN {fact: 'z'}]->(:City {name: 'Oslo'})")
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA)
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
    memory.forget(everything=True, namespace=NS)
    theirs = "MATCH (a:Person {name: 'Ada'})-[v:LIVES_IN]->(c:City) RETURN [a.name, v.fact, c.name]"
    assert ask(theirs) == [["Ada", "z", "Oslo"]]
    assert ask("MATCH (n) WHERE n:MemEntity OR n:MemFact OR n:MemNamespace RETURN count(n)") == [0]
    assert "theirs" in ask("SHOW CONSTRAINTS YIELD name")
    ask("DROP CONSTRAINT theirs")


def test_a_newer_schema_is_refused(
    neo4j_store: Neo4jStore, neo4j_server: LocalServer, auth: tuple[str, str], ask: Ask
) -> None:
    ask("MATCH (m:MemMeta {name: 'schema'}) SET m.value = '99'")
    try:
        with pytest.raises(SchemaTooNew, match="99"):
            Neo4jStore(neo4j_server.uri, auth=auth)
    finally:
        ask("MATCH (m:MemMeta {name: 'schema'}) SET m.value = $now", now=str(cypher.schema_version()))


def test_an_older_server_is_refused(
    neo4j_server: LocalServer, auth: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cypher, "COMPONENTS", "RETURN 'Neo4j Kernel' AS name, ['5.20.0-aura'] AS versions")
    with pytest.raises(StoreUnavailable, match=r"5\.20\.0-aura; 5\.26 or newer"):
        Neo4jStore(neo4j_server.uri, auth=auth)


def test_two_clients_may_make_the_schema_at_once(neo4j_server: LocalServer, auth: tuple[str, str], ask: Ask) -> None:
    for name in ask("SHOW CONSTRAINTS YIELD name WHERE name STARTS WITH 'mem_' RETURN name"):
        ask(f"DROP CONSTRAINT `{name}`")
    for name in ask("SHOW INDEXES YIELD name WHERE name STARTS WITH 'mem_' RETURN name"):
        ask(f"DROP INDEX `{name}`")
    ask("MATCH (n) DETACH DELETE n")

    def open_and_close(_: int) -> None:
        Neo4jStore(neo4j_server.uri, auth=auth).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_and_close, range(4)))
    assert set(ask("SHOW INDEXES YIELD name WHERE name STARTS WITH 'mem_' RETURN name")) == set(cypher.index_names())
    assert ask("MATCH (m:MemMeta {name: 'schema'}) RETURN m.value") == [str(cypher.schema_version())]


# -- addresses, credentials ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("bolt://ada:canary@localhost", "NEO4J_PASSWORD"),
        ("neo4j://ada@localhost", "NEO4J_PASSWORD"),
        ("neo4j+s://ada:canary@db.example.org", "NEO4J_PASSWORD"),
        ("neo4j://db.example.org", "allow_insecure"),
        ("bolt://192.0.2.1:7687", "allow_insecure"),
        ("bolt://[2001:db8::1]", "allow_insecure"),
        ("neo4j://localhost.example.org", "allow_insecure"),
        ("neo4j://", "not the address of a Neo4j server"),
        ("neo4j://localhost:port", "not the address of a Neo4j server"),
        ("neo4j://localhost:99999", "not the address of a Neo4j server"),
        ("neo4j+x://localhost", "not the address of a Neo4j server"),
        ("http://localhost:7474", "not the address of a Neo4j server"),
    ],
)
def test_addresses_that_must_not_be_used_are_refused_without_a_secret(uri: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as error:
        Neo4jStore(uri, auth=("neo4j", "canary"))
    assert "canary" not in str(error.value)


def test_a_missing_password_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEO4J_PASSWORD", raising=False)
    with pytest.raises(ConfigurationError, match="NEO4J_PASSWORD"):
        open_store("neo4j://localhost")


def test_credentials_come_from_the_environment(neo4j_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_USERNAME", neo4j_server.user)
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_server.password)
    monkeypatch.setenv("NEO4J_DATABASE", "neo4j")
    store = open_store(neo4j_server.uri.replace("bolt", "neo4j"))
    assert store.shared
    assert store.record("nothing") is None
    assert neo4j_server.password not in f"{store!r} {store.location}"
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.record("nothing")


def test_a_wrong_password_is_told_at_once(neo4j_server: LocalServer) -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match="refused the user name or password") as error:
        Neo4jStore(neo4j_server.uri, auth=("neo4j", "canary"))
    assert time.monotonic() - start < 15  # half of the deadline: it was not tried until then
    assert "canary" not in str(error.value)


def test_a_missing_database_is_named(neo4j_server: LocalServer, auth: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="'elsewhere'"):
        Neo4jStore(neo4j_server.uri, auth=auth, database="elsewhere")


def test_a_driver_given_is_used_and_left_open(neo4j_driver: Driver, neo4j_server: LocalServer) -> None:
    store = open_store(neo4j_driver)
    store.close()
    assert neo4j_driver.execute_query("RETURN 1 AS one").records[0]["one"] == 1

    async def asynchronous() -> None:
        auth = (neo4j_server.user, neo4j_server.password)
        async with AsyncGraphDatabase.driver(neo4j_server.uri, auth=auth) as driver:
            with pytest.raises(ConfigurationError, match="asynchronous"):
                Neo4jStore(driver)  # type: ignore[arg-type]

    asyncio.run(asynchronous())


# -- writers, forgetting ---------------------------------------------------------------------------------------------


def test_eight_writers_leave_no_duplicate_and_no_gap(memory: Memory, neo4j_store: Neo4jStore, ask: Ask) -> None:
    def work(writer: int) -> None:
        source = Source("user", f"chat-{writer}", "ada")
        for i in range(12):
            memory.write(
                [(f"name {(writer + i) % 5}", "likes", f"name {i}"), ("Ada", "lives in", f"city {i % 3}")],
                namespace=NS,
                source=source,
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert memory.stats(namespace=NS).seq == 96
    assert len(memory.read("Ada", "lives in", namespace=NS)) == 1
    assert ask("MATCH (p:MemOp) RETURN count(DISTINCT p.seq)") == [96]
    assert ask("MATCH (x:MemFact) WITH x.triple AS t, count(*) AS n WHERE n > 1 RETURN count(t)") == [0]
    assert neo4j_store.check() == []


def test_large_forgetting_goes_in_pages(
    memory: Memory, neo4j_store: Neo4jStore, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neo4j_erase, "_PAGE", 3)
    kept = memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT).outcomes[0].fact_id
    memory.write([("Ada", "likes", f"tea {i}") for i in range(7)], namespace=NS, source=DOCUMENT)
    memory.write([("Ada", "likes", f"tea {i}") for i in range(10)], namespace=NS, source=ADA)
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA)
    erased = memory.forget(source="chat-1", namespace=NS)
    assert (erased.facts, erased.names, erased.reopened) == (4, 4, (kept,))
    assert neo4j_store.check() == []
    erased = memory.forget(name="Ada", namespace=NS)
    assert (erased.facts, erased.names, erased.relations) == (8, 9, 2)
    memory.write([("Ada", "likes", f"tea {i}") for i in range(7)], namespace=NS, source=DOCUMENT)
    assert memory.forget(everything=True, namespace=NS).facts == 7
    assert ask("MATCH (n) WHERE NOT n:MemMeta RETURN count(n)") == [0]


def test_an_unfinished_forgetting_is_refused_to_writers_and_can_be_finished(
    memory: Memory, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.write([("Ada", "likes", "tea"), ("Ada", "likes", "gin")], namespace=NS, source=ADA)
    ask("MATCH (n:MemNamespace) SET n.closing = true")
    with pytest.raises(MemLLMError, match="being forgotten"):
        memory.write([("Ada", "likes", "milk")], namespace=NS, source=ADA)
    assert memory.forget(everything=True, namespace=NS).facts == 2
    memory.write([("Ada", "likes", "milk")], namespace=NS, source=ADA)
    assert memory.read("Ada", "likes", namespace=NS).answers == ("milk",)


def test_another_client_sees_new_names_and_forgets_erased_ones(
    memory: Memory, neo4j_server: LocalServer, auth: tuple[str, str]
) -> None:
    with_own_cache = Neo4jStore(neo4j_server.uri, auth=auth)
    other = Memory(with_own_cache)
    memory.write([("River Street Bakery", "opening phrase", "hello")], namespace=NS)
    assert other.read("River Street Bakeries", "opening phrase", namespace=NS, thresholds=LOOSE).answers == ("hello",)
    memory.write([("Castle Hill Brewery", "opening phrase", "cheers")], namespace=NS)
    assert other.read("Castle Hill Breweries", "opening phrase", namespace=NS, thresholds=LOOSE).answers == ("cheers",)
    memory.forget(name="River Street Bakery", namespace=NS)
    assert not other.read("River Street Bakeries", "opening phrase", namespace=NS, thresholds=LOOSE)
    memory.forget(everything=True, namespace=NS)
    assert not other.read("Castle Hill Breweries", "opening phrase", namespace=NS, thresholds=LOOSE)
    memory.write([("Harbour View Hotel", "opening phrase", "welcome")], namespace=NS)
    assert other.read("Harbour View Hotels", "opening phrase", namespace=NS, thresholds=LOOSE).answers == ("welcome",)
    with_own_cache.close()


def test_another_client_sees_a_new_name_although_nothing_it_held_was_similar(
    memory: Memory, neo4j_server: LocalServer, auth: tuple[str, str]
) -> None:
    with contextlib.closing(Neo4jStore(neo4j_server.uri, auth=auth)) as store:
        other = Memory(store)
        memory.write([("River Street Bakery", "opening phrase", "hello")], namespace=NS)
        assert not other.read("Observatory Mountain Lake", "opening phrase", namespace=NS, thresholds=STRICT)
        memory.write([("Mountain Lake Observatory", "opening phrase", "cheers")], namespace=NS)
        found = other.read("Observatory Mountain Lake", "opening phrase", namespace=NS, thresholds=STRICT)
    assert found.answers == ("cheers",)


def test_codes_of_the_first_schema_are_made_anew(
    memory: Memory, ask: Ask, neo4j_server: LocalServer, auth: tuple[str, str]
) -> None:
    memory.write([("Mountain Lake Observatory", "opening phrase", "cheers")], namespace=NS)
    ask("MATCH (e:MemEntity) SET e.code = left('0123456789abcdef0123456789abcdef', 32)")
    ask("MATCH (m:MemMeta {name: 'schema'}) SET m.value = '1'")
    with contextlib.closing(Neo4jStore(neo4j_server.uri, auth=auth)) as store:
        later = Memory(store)
        assert later.stats(namespace=NS).pending == 2
        found = later.read("Observatory Mountain Lake", "opening phrase", namespace=NS, thresholds=STRICT)
        assert found.answers == ("cheers",)
        assert later.stats(namespace=NS).pending == 0
    assert ask("MATCH (m:MemMeta {name: 'schema'}) RETURN m.value") == [str(cypher.schema_version())]
