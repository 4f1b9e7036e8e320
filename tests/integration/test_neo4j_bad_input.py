"""What a real server may be, hold or refuse: every case ends in our answer or our error, and nothing is half-written.

One server of its own, whose settings the tests change; the bare driver looks before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from neo4j import Driver, GraphDatabase
from neo4j_fixture import started

from langchain_memllm.errors import (
    EmbedderMismatch,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from langchain_memllm.memory import Memory
from langchain_memllm.stores import cypher
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import Source

pytestmark = [pytest.mark.neo4j, pytest.mark.xdist_group("bad input")]  # a server of its own

Open = Callable[..., Memory]
Setting = Callable[[str | None], None]

NS = ("memllm", "ada")
ADA = Source("user", "chat", "ada")
NAMES = [
    "`",
    "``]->() DETACH DELETE (n) //",
    "') //",  # a lone ' is the name of a lone `
    '"',
    "$ns",
    "$(f.type)",
    "a\nb",
    "a\tb\u2028c",
    "😀👩‍👩‍👧",
    "עברית‏ العربية",
    "\u202eabc",
    "e\u0301",
    "x" * 256,
    "MEM_FROM",
    "MemFact",
]
REFUSED = ["\x00", "a\x00b", "\ud800", "x" * 257, "x" * 10_000, "", " \n "]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server whose database never held a memory."""
    with started() as made:
        yield made


@pytest.fixture
def driver(server: LocalServer) -> Iterator[Driver]:
    """A bare driver; afterwards the database is empty again, its schema too."""
    with GraphDatabase.driver(
        server.uri, auth=(server.user, server.password), notifications_min_severity="OFF"
    ) as opened:
        yield opened
        _clear(opened)


def _clear(driver: Driver) -> None:
    driver.execute_query("MATCH (n) DETACH DELETE n")
    for kind, many in (("CONSTRAINT", "CONSTRAINTS"), ("INDEX", "INDEXES")):
        names = driver.execute_query(f"SHOW {many} YIELD name, type WHERE type <> 'LOOKUP' RETURN name").records
        for (name,) in names:
            driver.execute_query(f"DROP {kind} `{name}` IF EXISTS")


@pytest.fixture
def opened(server: LocalServer, driver: Driver) -> Iterator[Open]:
    """Opens a memory on the server; all are closed afterwards."""
    stores: list[Neo4jStore] = []

    def open_memory(**options: Any) -> Memory:
        stores.append(Neo4jStore(server.uri, auth=(server.user, server.password), deadline=60.0))
        return Memory(stores[-1], **options)

    yield open_memory
    for store in stores:
        store.close()


def held(driver: Driver) -> dict[str, Any]:
    """All that is in the database, by the server's own ids."""
    nodes = driver.execute_query("MATCH (n) RETURN elementId(n), labels(n), properties(n)").records
    edges = driver.execute_query("MATCH ()-[r]->() RETURN elementId(r), type(r), properties(r)").records
    rules = driver.execute_query("SHOW INDEXES YIELD name, type, labelsOrTypes, properties").records
    return {str(row[0]): row.values()[1:] for row in [*nodes, *edges, *rules]}


@pytest.fixture
def setting(server: LocalServer) -> Iterator[Setting]:
    """Changes a setting; afterwards the server is as before."""
    conf = server.home / "conf" / "neo4j.conf"
    before = conf.read_text(encoding="ascii")

    def change(line: str | None) -> None:
        conf.write_text(before + (f"{line}\n" if line else ""), encoding="ascii")
        server.restart()

    yield change
    conf.write_text(before, encoding="ascii")
    server.restart()


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_of_any_kind_are_kept_as_they_are(opened: Open, driver: Driver) -> None:
    memory = opened()
    triples = [(f"{name} s", name, f"{name} o") for name in NAMES if len(name) < 250] + [("long", "likes", NAMES[12])]
    receipt = memory.write(triples, namespace=NS, source=Source("user", "`$ns`", "'; \""))
    assert [outcome.status for outcome in receipt] == ["stored"] * len(triples)
    for outcome in receipt:
        assert outcome.triple is not None
        subject, relation, object_ = outcome.triple
        assert memory.read(subject, relation, namespace=NS).answers == (object_,)
        assert memory.read(None, relation, object_, namespace=NS).answers == (subject,)
        assert [fact.triple for fact in memory.history(subject, namespace=NS)] == [outcome.triple]
        assert [m.triple for m in memory.recall(f"about {subject}", namespace=NS, k=200)].count(outcome.triple) == 1
    types = {row[0] for row in driver.execute_query("MATCH (:MemEntity)-[r]->(:MemEntity) RETURN type(r)").records}
    assert types == {"RELATED_TO", "LIKES"}
    labels = {row[0] for row in driver.execute_query("MATCH (n) UNWIND labels(n) AS label RETURN label").records}
    assert {label for label in labels if not label.startswith("Mem")} == set()


def test_names_that_cannot_be_stored_leave_nothing(opened: Open, driver: Driver) -> None:
    memory = opened()
    triples = [t for bad in REFUSED for t in ((bad, "likes", "tea"), ("Ada", bad, "tea"), ("Ada", "likes", bad))]
    receipt = memory.write(triples, namespace=NS)
    assert [outcome.status for outcome in receipt] == ["rejected"] * len(triples)
    assert memory.stats(namespace=NS).names == 0
    counts = driver.execute_query("MATCH (n) RETURN labels(n)[0] AS label, count(*) AS n ORDER BY label").records
    assert [row.values() for row in counts] == [["MemMeta", 2], ["MemNamespace", 1], ["MemOp", 1]]


# -- what stands there already -----------------------------------------------------------------------------------------


def test_an_empty_database_answers_with_nothing(opened: Open, driver: Driver) -> None:
    memory = opened()
    assert not memory.read("Ada", "lives in", namespace=NS)
    assert not memory.read(None, "lives in", "Oslo", namespace=[NS, ("other",)])
    assert not memory.recall("Where does Ada live?", namespace=NS)
    assert memory.history("Ada", namespace=NS) == memory.quarantined(namespace=NS) == []
    assert list(memory.export(namespace=NS)) == []
    assert memory.store.namespaces() == []
    assert memory.forget(name="Ada", namespace=NS).facts == memory.forget(everything=True, namespace=NS).facts == 0
    assert memory.verify() == []
    assert {tuple(value[0]) for value in held(driver).values() if isinstance(value[0], list)} == {("MemMeta",)}


def test_what_others_keep_there_is_neither_touched_nor_read(opened: Open, driver: Driver) -> None:
    for statement in (
        "CREATE CONSTRAINT person FOR (p:Person) REQUIRE p.name IS UNIQUE",
        "CREATE INDEX mem_own FOR (p:MemOwn) ON (p.name)",
        "CREATE INDEX their_fact FOR (p:MemFact) ON (p.text)",
        """CREATE (a:Person {name: 'Ada', id: '17', ns: '17'})-[:LIVES_IN {fact: '17', relation: 'lives in'}]->
          (:City {name: 'Oslo'})""",
        "CREATE (:MemEntity {name: 'Ada', key: 'ada'})-[:LIVES_IN]->(:MemEntity {name: 'Oslo', key: 'oslo'})",
        "CREATE (:MemFact {text: 'Ada lives in Oslo', relation: 'lives in'})-[:MEM_FROM]->(:MemSource {ref: 'x'})",
        "CREATE (:MemNamespace {id: '17', name: 'theirs'}), (:MemNamespace {name: '[\"memllm\",\"ada\"]'})",
        "CREATE (:MemEntity {id: '17', ns: '17', n: 1, key: 'ada', name: 'Ada'}), (:MemMeta {name: 'theirs'})",
        "CREATE (:MemOp {op_id: 'first'}), (:MemRelation {key: 'lives in'}), (:Memory {})",
    ):
        driver.execute_query(statement)
    before = held(driver)
    memory = opened()
    memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA, op_id="first")
    memory.write([("Ada", "lives in", "Bonn"), ("Ada", "likes", "tea")], namespace=NS, source=ADA)
    memory.alias("Ada", "Countess", namespace=NS)
    assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bonn",)
    assert memory.read("Ida", "resides in", namespace=NS).answers in ((), ("Bonn",))
    assert {match.answer for match in memory.recall("Ada in Oslo", namespace=NS)} == {"Bonn", "tea"}
    assert memory.store.namespaces() == [NS]
    assert all("are not what memllm writes" in problem for problem in memory.verify())  # what others wrote is told
    assert len(list(memory.facts(namespace=NS))) == 3
    for way in ({"source": "x"}, {"name": "tea"}, {"subject": "Ada", "relation": "lives in"}, {"everything": True}):
        memory.forget(namespace=NS, **way)  # type: ignore[arg-type]
    after = held(driver)
    assert {key: after.get(key) for key in before} == before
    ours = [value for key, value in after.items() if key not in before and isinstance(value[0], list)]
    assert {tuple(labels) for labels, *_ in ours} == {("MemMeta",)}


def test_a_rule_of_others_on_our_nodes_is_told_and_nothing_is_half_written(opened: Open, driver: Driver) -> None:
    driver.execute_query("CREATE CONSTRAINT theirs FOR (n:MemEntity) REQUIRE n.name IS UNIQUE")
    memory = opened()
    memory.write([("Ada", "likes", "tea")], namespace=NS)
    before = held(driver)
    with pytest.raises(StoreCorrupt, match="memllm doctor"):
        memory.write([("Bob", "likes", "milk"), ("Ada", "likes", "milk")], namespace=("memllm", "bob"), op_id="op")
    assert held(driver) == before
    assert memory.receipt("op", namespace=("memllm", "bob")) is None


def test_an_index_of_others_with_our_name_is_told(opened: Open, driver: Driver) -> None:
    driver.execute_query("CREATE INDEX mem_fact_s FOR (n:Thing) ON (n.size)")
    with pytest.raises(StoreError, match="mem_fact_s"):
        opened()
    assert "Mem" not in str(driver.execute_query("MATCH (n) RETURN n").records)


# -- versions and embedders --------------------------------------------------------------------------------------------


def test_a_graph_of_a_newer_schema_is_left_as_it_is(opened: Open, driver: Driver) -> None:
    opened().write([("Ada", "likes", "tea")], namespace=NS)
    newer = str(cypher.schema_version() + 1)
    driver.execute_query("MATCH (m:MemMeta {name: 'schema'}) SET m.value = $newer", {"newer": newer})
    driver.execute_query("DROP INDEX mem_from_ns")  # a newer version may well have dropped one
    before = held(driver)
    with pytest.raises(SchemaTooNew, match=f"schema {newer}.*upgrade"):
        opened()
    assert held(driver) == before


def test_another_embedder_is_refused_before_anything_is_written(opened: Open, driver: Driver) -> None:
    opened(embedder=FakeEmbedder()).write([("Ada", "likes", "tea")], namespace=NS)
    before = held(driver)
    other = opened(embedder=FakeEmbedder(dimension=32))
    for call in (
        lambda: other.write([("Bob", "likes", "tea")], namespace=NS),
        lambda: other.read("Ada", "likes", namespace=NS),
        lambda: other.forget(everything=True, namespace=NS),
        lambda: other.restore([]),
    ):
        with pytest.raises(EmbedderMismatch, match=r"64 numbers.*32.*memllm export"):
            call()
    assert held(driver) == before


# -- what a server refuses ---------------------------------------------------------------------------------------------


def test_a_database_set_read_only_answers_and_refuses_to_write(opened: Open, driver: Driver, setting: Setting) -> None:
    opened().write([("Ada", "likes", "tea")], namespace=NS, source=ADA, op_id="first")
    before = held(driver)
    setting("server.databases.default_to_read_only=true")
    memory = opened()
    assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)
    for call in (
        lambda: memory.write([("Ada", "likes", "milk")], namespace=NS),
        lambda: memory.alias("Ada", "Countess", namespace=NS),
        lambda: memory.forget(name="Ada", namespace=NS),
        lambda: memory.forget(everything=True, namespace=NS),
        lambda: memory.restore([{"type": "alias", "namespace": list(NS), "names": ["milk", "chai"]}]),
    ):
        with pytest.raises(StoreUnavailable, match="read-only"):
            call()
    assert held(driver) == before
    setting(None)
    assert memory.write([("Ada", "likes", "milk")], namespace=NS).count("stored") == 1


def test_a_transaction_too_large_for_the_server_is_rolled_back_whole(
    opened: Open, driver: Driver, setting: Setting
) -> None:
    setting("db.memory.transaction.max=4m")
    memory = opened()
    memory.write([("Ada", "likes", "tea")], namespace=NS)
    before = held(driver)
    text = "Ada said so, and much more. " * 40
    triples = [{"subject": f"p {n}", "relation": f"r {n % 9}", "object": f"o {n}", "text": text} for n in range(4000)]
    with pytest.raises(StoreUnavailable, match=r"transaction memory.*smaller batches"):
        memory.write(triples, namespace=NS, op_id="large")
    assert held(driver) == before
    assert memory.receipt("large", namespace=NS) is None
    assert memory.write(triples[:50], namespace=NS, op_id="small").count("stored") == 50
