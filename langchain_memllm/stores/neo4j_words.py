"""What facts and turns of a graph are found by: whether it follows from what is stored, and made anew.

A step of the graph's schema gives every piece of evidence its words with the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_memllm.factindex import evidence_words
from langchain_memllm.stores import cypher
from langchain_memllm.stores.embedded import decode_namespace
from langchain_memllm.stores.episodes import codes_of, tokens_of
from langchain_memllm.stores.interface import now
from langchain_memllm.stores.neo4j_ids import Ids, ids_of
from langchain_memllm.stores.neo4j_steps import Connection
from langchain_memllm.stores.rows import REBUILD

if TYPE_CHECKING:
    import neo4j

__all__ = ["add_words", "problems", "rebuild"]

_PAGE: Final = 1_000
Place: TypeAlias = tuple[int, int, str]
_FIRST: Final[Place] = (-1, -1, "")


def add_words(connection: Connection) -> int:
    """Give all evidence its words, page by page; it may be run again anywhere. Returns how much had others."""
    changed = 0
    for row in connection.read(cypher.NAMESPACES):
        ids = ids_of(decode_namespace(row["name"]))
        place: Place | None = _FIRST
        while place is not None:
            found, place = connection.write(_adding(ids, place))
            changed += found
    return changed


def _adding(ids: Ids, place: Place) -> Callable[[neo4j.ManagedTransaction], tuple[int, Place | None]]:
    """The words of one page of facts; it gives how many pieces had others, and the place of the last fact."""

    def work(transaction: neo4j.ManagedTransaction) -> tuple[int, Place | None]:
        rows = list(transaction.run(cypher.WORDLESS, {**_page(ids, place), "op": now()}))
        words = {piece: made for row in rows for piece, made in _misworded(row).items()}
        if words:
            facts = [row["id"] for row in rows]
            transaction.run(cypher.SET_WORDS, ns=ids.ns, ids=facts, words=words).consume()
            transaction.run(cypher.NEW_EPOCH, ns=ids.ns).consume()
        return len(words), _last(rows)

    return work


def _page(ids: Ids, place: Place) -> dict[str, Any]:
    seq, ordinal, last = place
    return {"ns": ids.ns, "seq": seq, "ordinal": ordinal, "id": last, "page": _PAGE}


def _last(rows: list[neo4j.Record]) -> Place | None:
    return (rows[-1]["seq"], rows[-1]["ordinal"], rows[-1]["id"]) if rows else None


def _misworded(row: neo4j.Record) -> dict[str, tuple[bytes, bytes | None]]:
    """What the words of a fact's evidence should be, where they are not that."""
    if None in row["told"]:  # a fact whose ends somebody deleted: the check tells
        return {}
    subject, relation, object_ = row["told"]
    right = {piece: evidence_words(subject, relation, object_, text) for piece, text, _, _ in row["evidence"]}
    held = {piece: (_bytes(words), _bytes(said)) for piece, _, words, said in row["evidence"]}
    return {piece: made for piece, made in right.items() if held[piece] != made}


def _bytes(value: object) -> object:
    return bytes(value) if isinstance(value, bytes | bytearray) else value


# -- turns -------------------------------------------------------------------------------------------------------------


def _misfound(ids: Ids, rows: list[neo4j.Record]) -> list[Mapping[str, Any]]:
    """What some turns should be found by, where they are not."""
    codes = codes_of([row["text"] for row in rows])
    wrong: list[Mapping[str, Any]] = []
    for row, code in zip(rows, codes, strict=True):
        scoped = ids.scope(row["scope"])
        held = [scoped, f"{ids.ns} {scoped}", " ".join(tokens_of(row["text"]))]
        if row["held"] != held or _bytes(row["code"]) != code:
            found = dict(zip(("scoped", "tenant", "words"), held, strict=True))
            wrong.append({"id": row["id"], "code": code, **found})
    return wrong


def _mending(ids: Ids, after: int) -> Callable[[neo4j.ManagedTransaction], tuple[int, int]]:
    """One page of turns; it gives how many were found by something else, and the place of the last; -1: no more."""

    def work(transaction: neo4j.ManagedTransaction) -> tuple[int, int]:
        transaction.run(cypher.NEW_EPOCH, ns=ids.ns).consume()  # holds the namespace's lock
        rows = list(transaction.run(cypher.TURN_WORDS, ns=ids.ns, after=after, page=_PAGE))
        wrong = _misfound(ids, rows)
        if wrong:
            transaction.run(cypher.SET_TURN_WORDS, turns=wrong).consume()
        return len(wrong), rows[-1]["place"] if len(rows) == _PAGE else -1

    return work


def rebuild(connection: Connection) -> int:
    """Make the words of all evidence and turns, and the turns' codes, what they should be; returns how many were not.

    Full text follows: the server keeps its index.
    """
    changed = add_words(connection)
    for row in connection.read(cypher.NAMESPACES):
        ids, after = ids_of(decode_namespace(row["name"])), 0
        while after >= 0:
            found, after = connection.write(_mending(ids, after))
            changed += found
    return changed


def problems(connection: Connection) -> list[str]:
    """What of the words and codes does not follow from what is stored; looks at every fact and turn."""
    evidence = turns = 0
    for row in connection.read(cypher.NAMESPACES):
        ids = ids_of(decode_namespace(row["name"]))
        evidence += sum(_misworded_pages(connection, ids))
        turns += sum(_misfound_pages(connection, ids))
    counts = {
        "relationships of type MEM_FROM have the words of another fact or sentence": evidence,
        "nodes of label MemTurn are found by another text or scope": turns,
    }
    return [f"{count} {what}; {REBUILD}" for what, count in counts.items() if count]


def _misworded_pages(connection: Connection, ids: Ids) -> Iterator[int]:
    place: Place | None = _FIRST
    while place is not None:
        rows = connection.read(cypher.WORDED, _page(ids, place))
        yield sum(len(_misworded(row)) for row in rows)
        place = _last(rows)


def _misfound_pages(connection: Connection, ids: Ids) -> Iterator[int]:
    after = 0
    while after >= 0:
        rows = connection.read(cypher.TURN_WORDS, {"ns": ids.ns, "after": after, "page": _PAGE})
        yield len(_misfound(ids, rows))
        after = rows[-1]["place"] if len(rows) == _PAGE else -1
