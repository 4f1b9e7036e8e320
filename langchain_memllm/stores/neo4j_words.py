"""A step of the graph's schema: every piece of evidence gets the words it is recalled by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from langchain_memllm.factindex import evidence_words
from langchain_memllm.stores import cypher
from langchain_memllm.stores.embedded import decode_namespace
from langchain_memllm.stores.interface import now
from langchain_memllm.stores.neo4j_ids import Ids, ids_of
from langchain_memllm.stores.neo4j_steps import Connection

if TYPE_CHECKING:
    import neo4j

__all__ = ["add_words"]

_PAGE: Final = 1_000
Place = tuple[int, int, str]


def add_words(connection: Connection) -> None:
    """Give all evidence its words, page by page; what has some gets them anew, so it may be run again anywhere."""
    for row in connection.read(cypher.NAMESPACES):
        ids = ids_of(decode_namespace(row["name"]))
        place: Place | None = (-1, -1, "")
        while place is not None:
            place = connection.write(_adding(ids, place))


def _adding(ids: Ids, place: Place) -> Callable[[neo4j.ManagedTransaction], Place | None]:
    """The words of one page of facts; it gives the place of the last of them."""
    seq, ordinal, last = place
    parameters = {"ns": ids.ns, "seq": seq, "ordinal": ordinal, "id": last, "page": _PAGE}

    def work(transaction: neo4j.ManagedTransaction) -> Place | None:
        rows = list(transaction.run(cypher.WORDLESS, {**parameters, "op": now()}))
        words = {
            piece: evidence_words(subject, relation, object_, text)
            for row in rows
            for subject, relation, object_ in [row["told"]]
            if None not in row["told"]  # a fact whose ends somebody deleted: the check tells
            for piece, text in row["evidence"]
        }
        transaction.run(cypher.SET_WORDS, ns=ids.ns, ids=[row["id"] for row in rows], words=words).consume()
        return (rows[-1]["seq"], rows[-1]["ordinal"], rows[-1]["id"]) if rows else None

    return work
