"""The schema: its own statements, and its steps as the files of ``graph_schema/`` tell them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from langchain_memllm.errors import StoreCorrupt
from langchain_memllm.stores.cypher.fragments import CYPHER

# Versions of the server; without the prefix, which an older one would not understand.
COMPONENTS: Final = "CALL dbms.components() YIELD name, versions RETURN name, versions"
# Wait until new indexes are filled.
AWAIT_INDEXES: Final = CYPHER + "CALL db.awaitIndexes(300)"
# Our indexes and their states; one that somebody else gave our name is on another label or type.
INDEXES: Final = """SHOW INDEXES YIELD name, state, labelsOrTypes
WHERE name STARTS WITH 'mem_' AND all(each IN labelsOrTypes WHERE toLower(each) STARTS WITH 'mem') RETURN name, state"""
# The number of the schema; never lowered.
SET_SCHEMA: Final = (
    CYPHER
    + """MERGE (m:MemMeta {name: 'schema'})
SET m.lock = true WITH m SET m.value = CASE WHEN toInteger(m.value) > $number THEN m.value ELSE toString($number) END"""
)

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.cypher")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: statements to run one a transaction, each safe to run again."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """The schema's steps in order, from ``graph_schema/``: in the wheel beside the package, in a checkout above it.

    Raises:
        StoreCorrupt: The folder is missing or its numbers have a gap: the installation is damaged.
    """
    source = folder or schema_folder()
    found = []
    for entry in source.iterdir():
        name = _FILE.fullmatch(entry.name)
        if name is not None:
            text = re.sub(r"//[^\n]*", "", entry.read_text(encoding="utf-8"))
            statements = tuple(part.strip() for part in text.split(";") if part.strip())
            found.append(Migration(int(name.group(1)), name.group(2), statements))
    found.sort(key=lambda migration: migration.number)
    if not found or [step.number for step in found] != list(range(1, len(found) + 1)):
        raise StoreCorrupt("the graph schema's files are missing or incomplete; install langchain-memllm again")
    return tuple(found)


def schema_version() -> int:
    """Number of the newest schema this package knows."""
    return migrations()[-1].number


def index_names(steps: tuple[Migration, ...] | None = None) -> tuple[str, ...]:
    """Names of the indexes and constraints that the schema, or some of its steps, makes."""
    steps = migrations() if steps is None else steps
    found = (
        re.match(r"CREATE (?:CONSTRAINT|(?:FULLTEXT )?INDEX) (mem_\w+)", text)
        for step in steps
        for text in step.statements
    )
    return tuple(match.group(1) for match in found if match is not None)


def schema_folder(package: Traversable | None = None) -> Traversable:
    """Where the schema's files are: beside the modules of the package (a wheel), or above them (a checkout).

    Raises:
        StoreCorrupt: In neither place.
    """
    package = package or resources.files("langchain_memllm")
    for folder in (package.joinpath("graph_schema"), Path(str(package)).parent / "graph_schema"):
        if folder.is_dir():
            return folder
    raise StoreCorrupt("the graph schema's files are missing; install langchain-memllm again")
