"""A memory as older versions kept it, with names and relations that are one by now: what migrations are tested from.

``old_content`` made the fixtures; those of files are in ``langchain_memllm/verify/old``. ``export_0_1.jsonl`` is the
export of version 0.1, commit 9111564, before ``triples.name_key`` and the catalogue changed.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from neo4j import Driver

from langchain_memllm import memory, relations
from langchain_memllm.relations import Catalogue
from langchain_memllm.stores import embedded_write, neo4j_write, parts
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.parts import record_of
from langchain_memllm.verify.old_files import COMMITS, old_file
from tests.old_content import BOB, KARI, fill

__all__ = ["BOB", "COMMITS", "KARI", "content", "fill", "old_export", "old_file", "old_rules", "put_old_graph"]

DATA = Path(__file__).parent / "data"


@contextmanager
def old_rules() -> Iterator[None]:
    """Write by the rules of version 0.1: what makes one name, which relations there are, what is kept of a name."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (memory, parts, relations):
            patch.setattr(module, "name_key", lambda name: normalize("NFC", normalize("NFC", name).casefold()))
        patch.setattr(Catalogue, "shipped", Catalogue.docred)
        for module in (embedded_write, neo4j_write):
            patch.setattr(module, "loose_key", lambda key: None)
        yield


def content(store: TripleStore, namespace: tuple[str, ...]) -> list[str]:
    """What a namespace holds, without times and the order of names: to compare one store with another."""
    records = [record_of(namespace, part) for part in store.dump(namespace)]
    times = re.compile(r'"(recorded_at|closed_at|last_at|said_at|ended)": "[^"]*"')
    return sorted(times.sub("", json.dumps(each)) for each in records)


def old_export() -> list[dict[str, Any]]:
    """Its export."""
    lines = (DATA / "export_0_1.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def put_old_graph(driver: Driver, commit: str) -> None:
    """Put what the code of a commit wrote into an empty database."""
    text = gzip.decompress((DATA / f"graph_{commit}.json.gz").read_bytes())
    graph = json.loads(text, object_hook=lambda each: bytes.fromhex(each["hex"]) if "hex" in each else each)
    driver.execute_query("MATCH (n) DETACH DELETE n")
    nodes = [{"place": n, "labels": labels, "values": values} for n, (labels, values) in enumerate(graph["nodes"])]
    driver.execute_query(
        "UNWIND $nodes AS node CREATE (n:$(node.labels) {place: node.place}) SET n += node.values", nodes=nodes
    )
    driver.execute_query(
        "UNWIND $links AS link MATCH (a {place: link[0]}), (b {place: link[2]}) CREATE (a)-[r:$(link[1])]->(b) "
        "SET r = link[3]",
        links=graph["relationships"],
    )
    driver.execute_query("MATCH (n) REMOVE n.place")
