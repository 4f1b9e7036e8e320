"""What recall reads in Neo4j: the words of a namespace's evidence, kept up to date in memory, and candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.factindex import FactIndex
from langchain_memllm.nameindex import Entry
from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import Bolt, vector_text
from langchain_memllm.stores.factindexes import FactIndexes, cosines
from langchain_memllm.stores.interface import Candidate, Named, RecallIndex, Relations, Vector
from langchain_memllm.stores.neo4j_ids import ids_of
from langchain_memllm.stores.rows import check_keys, corrupt
from langchain_memllm.triples import Fact, Namespace

if TYPE_CHECKING:
    import neo4j

__all__ = ["RecallIndexes", "candidates", "closed", "epoch_of"]

_PAGE: Final = 20_000  # pieces of evidence read at a time; an operation has at most 4,096
_LEAST_S: Final = 1.0


class RecallIndexes:
    """The indexes of the namespaces used lately, brought up to date when they are asked for. Safe across threads."""

    def __init__(self, bolt: Bolt) -> None:
        """Hold nothing yet."""
        self._bolt = bolt
        self._held: FactIndexes[str] = FactIndexes()

    def drop(self, namespace: Namespace) -> None:
        """Forget a namespace's index, if held."""
        self._held.drop(namespace)

    def get(
        self, namespace: Namespace, keys: Sequence[str], relations: Callable[[int, int], Relations]
    ) -> RecallIndex | None:
        """See ``TripleStore.recall_index``; one round trip if little has changed.

        ``relations`` gives those of an epoch that are at least as new as a number.
        """
        ids = ids_of(namespace)
        names = [ids.name(key) for key in keys]
        ends = time.monotonic() + self._bolt.deadline
        while True:
            held = self._held.get(namespace)
            after, known = (0, 0) if held is None else (held.seq, len(held.last))
            parameters = {"ns": ids.ns, "names": names, "page": _PAGE, "after": after, "known": known}
            within = max(_LEAST_S, ends - time.monotonic())
            rows = self._bolt.read(cypher.RECALL_INDEX, {"p": parameters}, within=within)
            if not rows:
                self.drop(namespace)
                return None
            row = rows[0]
            if (index := self._filled(namespace, held, row)) is not None:
                return RecallIndex(index, relations(epoch_of(row), row["relations_to"]), _named(row))

    def _filled(
        self, namespace: Namespace, held: Entry[FactIndex[str]] | None, row: neo4j.Record
    ) -> FactIndex[str] | None:
        """The index with what was read after what is held; None: there is more to read, so ask again."""
        epoch = epoch_of(row)
        if held is not None and held.epoch != epoch and held.seq:
            self._held.extend(namespace, held, [], 0, epoch)  # begins anew; what was read follows something else
            return None
        evidence, upto = row["evidence"], row["upto"]
        for seq, ordinal, fact_id, _, _, kind in evidence:
            check_keys("label MemFact or MemSource", fact_id, kind)
            if type(seq) is not int or type(ordinal) is not int:
                raise corrupt("relationship MEM_FROM", "a number that is not one")
        if held is None or held.epoch != epoch or upto > held.seq or evidence:
            there = frozenset[object]() if held is None else held.last
            after = 0 if held is None else held.seq
            new = [rest for seq, ordinal, *rest in evidence if seq != after or (rest[0], ordinal) not in there]
            last = frozenset((rest[0], ordinal) for seq, ordinal, *rest in evidence if seq == upto)
            held = self._held.extend(namespace, held, new, upto, epoch, last)
        return None if held is None or held.seq < row["seq"] else held.index


def epoch_of(record: neo4j.Record) -> int:
    """A number that changes with every erasure, and when a namespace was forgotten and began anew."""
    return (int(record["born"]) << 32) | int(record["epoch"])


def _named(row: neo4j.Record) -> tuple[Named, ...]:
    named = {key: Named(key, "exact", spelling) for key, spelling in row["exact"]}
    for _, key, spelling in sorted(row["others"], key=lambda each: int(each[0])):
        named.setdefault(key, Named(key, "alias", spelling))
    check_keys("label MemEntity", *named, *(each.spelling for each in named.values()))
    return tuple(named.values())


def candidates(
    bolt: Bolt,
    namespace: Namespace,
    fact_of: Callable[[Namespace, Sequence[Any]], Fact],
    ids: Sequence[int | str],
    vector: Vector | None,
) -> list[Candidate]:
    """See ``TripleStore.candidates``; ``fact_of`` makes a fact of a row."""
    if not ids:
        return []
    text = None if vector is None else vector_text(vector)
    parameters = {"ns": ids_of(namespace).ns, "ids": list(ids), "vector": text}
    row = bolt.read(cypher.CANDIDATES, {"p": parameters})[0]
    near = cosines([end[3] for end in row["ends"]])
    check_keys("label MemEntity", *(key for end in row["ends"] for key in end[1:3]))
    check_keys("label MemRelation", *(key for _, key in row["relations"]))
    names = {end[0]: (end[1], end[2], cosine) for end, cosine in zip(row["ends"], near, strict=True)}
    relations = {rid: key for rid, key in row["relations"]}
    found: list[Candidate] = []
    for rid, values in row["facts"]:
        subject, object_, relation = names.get(values[1]), names.get(values[3]), relations.get(rid)
        if subject is not None and object_ is not None and relation is not None:
            fact = fact_of(namespace, [values[0], subject[1], values[2], object_[1], *values[4:]])
            found.append(Candidate(fact.id, fact, subject[0], relation, object_[0], subject[2], object_[2]))
    return found


def closed(bolt: Bolt, namespace: Namespace, ids: Sequence[int | str]) -> set[int | str]:
    """See ``TripleStore.closed``; a fact that no index of the server knows yet is not said to be closed."""
    found = bolt.read(cypher.CLOSED_OF, {"p": {"ns": ids_of(namespace).ns, "ids": list(ids)}})
    return {row["id"] for row in found}
