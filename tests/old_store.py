"""A memory as version 0.1 kept it, with names and relations that are one by now: what migrations are tested from.

``tests/data/store_0_1.sql`` and ``export_0_1.jsonl`` were made by this script with the code of commit 9111564, before
``triples.name_key`` and the catalogue changed:

    PYTHONPATH=FOLDER_OF_THAT_COMMIT python tests/old_store.py tests/data
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from langchain_memllm import memory, relations
from langchain_memllm.belief import Quarantined
from langchain_memllm.memory import Memory
from langchain_memllm.relations import Catalogue, Relation
from langchain_memllm.stores import embedded_write, neo4j_write, parts
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.parts import record_of
from langchain_memllm.triples import Source

KARI = ("memllm", "kari")
BOB = ("memllm", "bob")
DATA = Path(__file__).parent / "data"


def fill(held: Memory) -> None:
    """Write what the fixtures hold; every operation has an id."""
    held.declare(Relation("home city"))
    said = Source("user", "chat", "kari", "I know O'Brien.")
    paper = Source("document", "notes.md", None, "O'Brien likes tea.", (0, 18), 0)
    steps: list[tuple[tuple[str, ...], Source, list[tuple[str, str, str]]]] = [
        (KARI, said, [("O'Brien", "works for", "Equinor"), ("O’Brien", "lives in", "Oslo")]),
        (KARI, paper, [("O'Brien", "likes", "tea"), ("Ada", "knows", "O’Brien")]),
        (KARI, said, [("O’Brien", "likes", "tea"), ("Ada", "knows", "O'Brien")]),
        (KARI, said, [("O'Brien", "lives in", "Bergen"), ("O'Brien", "likes", "Nice")]),
        (KARI, said, [("Jean-Luc", "lives in", "Bergen")]),
        (KARI, said, [("Jean-Luc", "lives in", "Oslo"), ("Jean‑Luc", "lives in", "Nice")]),
        (
            KARI,
            said,
            [("user", "employer", "Equinor"), ("user", "works for", "Statoil"), ("user", "worked for", "Shell")],
        ),
        (KARI, said, [("user", "lives in", "Oslo"), ("user", "residence", "Oslo"), ("user", "occupation", "pilot")]),
        (KARI, said, [("user", "birthday", "1990-05-03"), ("user", "date of birth", "1990-05-03")]),
        (KARI, said, [("Ada", "has visited", "istanbul"), ("Ada", "has visited", "İstanbul")]),
        (KARI, said, [("user", "home city", "Bergen"), ("user", "password", "Secret`.")]),
        (KARI, said, [("José", "lives in", "Oslo"), ("Jose", "likes", "tea")]),
        (
            BOB,
            Source("user", "chat", "bob"),
            [("O’Brien", "works for", "Acme Inc."), ("Nice", "works for", "Acme Inc")],
        ),
    ]
    for number, (namespace, source, triples) in enumerate(steps):
        held.write(triples, namespace=namespace, source=source, op_id=f"op-{number}")
    held.retract(("O'Brien", "likes", "Nice"), namespace=KARI, source=said, op_id="op-retract")
    held.alias("O’Brien", "Obie", namespace=KARI)
    held.alias("O'Brien", "Brian O'Brien", namespace=KARI)
    piece = Quarantined("O’Brien owes me", "no object", said)
    held.write([], namespace=KARI, source=said, op_id="op-quarantine", quarantine=[piece])


@contextmanager
def old_rules() -> Iterator[None]:
    """Write by the rules of version 0.1: what makes one name, which relations there are, what is kept of a name."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (memory, parts, relations):
            patch.setattr(module, "name_key", lambda name: normalize("NFC", normalize("NFC", name).casefold()))
        patch.setattr(Catalogue, "shipped", Catalogue.docred)
        for module in (embedded_write, neo4j_write):
            patch.setattr(module, "loose_key", lambda key: None)
            patch.setattr(module, "words_of", lambda key: tuple(dict.fromkeys(re.findall(r"\w{3,}", key)))[:8])
        yield


def content(store: TripleStore, namespace: tuple[str, ...]) -> list[str]:
    """What a namespace holds, without times and the order of names: to compare one store with another."""
    records = [record_of(namespace, part) for part in store.dump(namespace)]
    times = re.compile(r'"(recorded_at|closed_at|last_at|said_at)": "[^"]*"')
    return sorted(times.sub("", json.dumps(each)) for each in records)


def dump(path: Path) -> str:
    """A database as SQL, with what ``iterdump`` leaves out."""
    with sqlite3.connect(path) as connection:
        pragmas = [
            f"PRAGMA {name}={connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("page_size", "application_id", "user_version")
        ]
        return "\n".join([*pragmas, *connection.iterdump()]) + "\n"


def old_file(path: Path) -> Path:
    """The file of version 0.1, at a path."""
    with sqlite3.connect(path) as connection:
        connection.executescript((DATA / "store_0_1.sql").read_text(encoding="utf-8"))
    connection.close()
    return path


def old_export() -> list[dict[str, Any]]:
    """Its export."""
    lines = (DATA / "export_0_1.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def main(folder: Path) -> None:
    """Make the fixtures with the code that is imported."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "memllm.db"
        with Memory(path) as held:
            fill(held)
            records = list(held.export(namespace=[KARI, BOB]))
        (folder / "store_0_1.sql").write_text(dump(path), encoding="utf-8")
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    (folder / "export_0_1.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
