"""Draws the model in ``graph_schema/README.md`` from a real database: its labels, properties and lines.

python docs/make_model.py

A dotted line is a property whose values are ids of other nodes; ``ns``, which every node has, is left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from langgraph.store.base import IndexConfig
from neo4j import Driver, GraphDatabase

from langchain_memllm.adapters.store import MemLLMStore
from langchain_memllm.belief import Quarantined
from langchain_memllm.embeddings import StaticEmbedder
from langchain_memllm.memory import Memory
from langchain_memllm.relations import Relation
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Source, Statement

README = Path(__file__).parents[1] / "graph_schema" / "README.md"
START, END = "<!-- drawn by docs/make_model.py -->\n", "<!-- end of the drawing -->"

LABELS = """MATCH (n) UNWIND labels(n) AS label UNWIND keys(n) AS key
WITH label, key ORDER BY key RETURN label, collect(DISTINCT key) AS keys ORDER BY label"""
LINES = """MATCH (a)-[r]->(b) UNWIND CASE keys(r) WHEN [] THEN [null] ELSE keys(r) END AS key
WITH labels(a)[0] AS a, CASE WHEN type(r) STARTS WITH 'MEM_' THEN type(r) ELSE 'LIVES_IN, LIKES, …' END AS type,
  labels(b)[0] AS b, key
ORDER BY key RETURN a, type, b, collect(DISTINCT key) AS keys ORDER BY a, b, type"""
REFERENCES = """MATCH (a) UNWIND [key IN keys(a) WHERE key <> 'id' AND key <> 'ns'] AS key
MATCH (b) WHERE b.id = a[key] AND valueType(a[key]) STARTS WITH 'STRING'
WITH DISTINCT labels(a)[0] AS a, key, labels(b)[0] AS b ORDER BY key
RETURN a, b, collect(key) AS keys ORDER BY a, b"""


def fill(store: Neo4jStore) -> None:
    """A memory in which every label and every property occurs."""
    memory = Memory(store, relations=[Relation("plays chess with")])
    paper = Source(
        "document",
        "people.md",
        principal="ada",
        turn=1,
        span=(0, 33),
        text="Ada has lived in Oslo since 2019.",
        at="2026-03-01",
    )
    stated = Statement("Ada", "lives in", "Oslo", valid_from="2019", valid_to="2024", confidence=0.9)
    memory.write(
        [stated, Statement("Ada", "works for", "Acme", valid_from="2020", valid_to="2030", confidence=0.8)],
        namespace=("memllm", "ada"),
        source=paper,
        quarantine=[Quarantined("Ada lives", "it has no object", paper)],
    )
    for place, since in [("Bergen", "2024"), ("Rome", "2025")]:
        moved = Statement("Ada", "lives in", place, valid_from=since)
        memory.write([moved], namespace=("memllm", "ada"), source=Source())
    said = Turn(Turn.named("t", "1"), "t", "Ada sold her boat.", speaker="Ada", kind="document", ref="people.md")
    gone = Turn(Turn.named("t", "2"), "t", "Forget that.", ref="t/2")
    waiting = OutboxEntry("said", "Ada sold her boat.", source=paper)
    memory.put_outbox([waiting], namespace=("memllm", "ada"), turns=[said, gone])
    memory.forget(source="t/2", namespace=("memllm", "ada"))
    store.turns.grant(("memllm", "ada"), "planner", [""])
    memory.alias("Ada", "Ada King-Noel", namespace=("memllm", "ada"))
    index: IndexConfig = {"dims": 256, "embed": StaticEmbedder.shipped().embed_documents}
    MemLLMStore(store, index=index).put(("ada", "notes"), "boat", {"text": "sold"}, ttl=60)


def draw(driver: Driver) -> str:
    """The model as a Mermaid flowchart."""
    lines = [*_nodes(driver), *_relationships(driver), *_references(driver)]
    return "```mermaid\ngraph LR\n" + "\n".join(f"  {line}" for line in lines) + "\n```\n"


def _nodes(driver: Driver) -> Iterator[str]:
    for label, keys in driver.execute_query(LABELS).records:
        told = "<br/>".join(textwrap.wrap(", ".join(key for key in keys if key not in ("ns", "lock")), width=34))
        yield f'{label}["<b>{label}</b><br/>{told}"]'


def _relationships(driver: Driver) -> Iterator[str]:
    for start, kind, end, keys in driver.execute_query(LINES).records:
        told = "<br/>".join([kind, *([", ".join(keys)] if keys else [])])
        yield f'{start} -- "{told}" --> {end}'


def _references(driver: Driver) -> Iterator[str]:
    for start, end, keys in driver.execute_query(REFERENCES).records:
        yield f'{start} -. "{", ".join(keys)}" .-> {end}'


def main() -> None:
    """Start a server, fill it, and write the drawing into the README."""
    with (
        LocalServer.start() as server,
        GraphDatabase.driver(
            server.uri, auth=(server.user, server.password), notifications_min_severity="OFF"
        ) as driver,
    ):
        fill(Neo4jStore(driver))
        drawing = draw(driver)
    text = README.read_text(encoding="utf-8")
    before, after = text.partition(START)[0], text.partition(END)[2]
    README.write_text(f"{before}{START}{drawing}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
