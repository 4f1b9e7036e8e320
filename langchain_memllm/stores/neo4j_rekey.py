"""A step of the graph's schema: names and relations brought to the present rules, namespace by namespace.

The same as ``stores.embedded_rekey`` does in one transaction, in steps that may be taken again: a node's id comes from
its key, so facts are moved to the new id page by page, and a node that is not done yet (it has a key that is not its
own, or remembers the id it had in ``was``) is found again by the next run, wherever the last one was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.belief import best_evidence
from langchain_memllm.relations import Catalogue, Relation
from langchain_memllm.stores import cypher
from langchain_memllm.stores.embedded import decode_namespace
from langchain_memllm.stores.interface import now
from langchain_memllm.stores.neo4j_ids import Ids, ids_of, view_type
from langchain_memllm.stores.neo4j_steps import Connection
from langchain_memllm.triples import is_literal_key, loose_key, name_key, rank_of

if TYPE_CHECKING:
    import neo4j

__all__ = ["rekey"]

_PAGE: Final = 1_000


def rekey(connection: Connection) -> None:
    """Bring every namespace of a database to the present rules."""
    declared = next((row["value"] for row in connection.read(cypher.RECORD, {"name": "relations"})), None)
    catalogue = Catalogue.from_dicts(json.loads(declared)) if declared else Catalogue.shipped()
    for row in connection.read(cypher.NAMESPACES):
        _Namespace(connection, ids_of(decode_namespace(row["name"])), catalogue, declared).run()


class _Namespace:
    """One namespace on its way to the present rules."""

    def __init__(self, connection: Connection, ids: Ids, catalogue: Catalogue, declared: str | None) -> None:
        self.connection, self.ids, self.catalogue, self.declared = connection, ids, catalogue, declared

    def run(self) -> None:
        """Names first, then relations."""
        groups: dict[str, list[str]] = {}  # new key -> ids of the names that get it, in the order they came
        begun: dict[str, str] = {}  # new id -> id before, of names that were renamed by a run that was cut off
        for page in self._pages(cypher.REKEY_NAMES):
            self._set_loose([row for row in page if not is_literal_key(row["key"])])
            for row in page:
                if row["was"] is not None:
                    begun[row["id"]] = row["was"]
                if not is_literal_key(row["key"]) and (key := name_key(row["key"])) != row["key"]:
                    groups.setdefault(key, []).append(row["id"])
        for new, old in begun.items():
            self._move_name(old, new)
        for key, olds in groups.items():
            self._merge_names(key, olds)
        for row in [row for page in self._pages(cypher.REKEY_RELATIONS) for row in page]:
            self._merge_relation(row)

    def _pages(self, statement: cypher.Statement) -> Iterator[list[neo4j.Record]]:
        after = 0
        while rows := self.connection.read(statement, {"ns": self.ids.ns, "after": after, "page": _PAGE}):
            yield rows
            after = rows[-1]["n"]

    def _write(self, statement: cypher.Statement, **parameters: Any) -> None:
        self.connection.write(lambda transaction: transaction.run(statement, parameters).consume())

    def _set_loose(self, rows: Sequence[neo4j.Record]) -> None:
        """Loose keys of names that keep their key."""
        names = [
            {"id": row["id"], "loose": loose}
            for row in rows
            if name_key(row["key"]) == row["key"] and (loose := loose_key(row["key"]))
        ]
        if names:
            self._write(cypher.SET_LOOSE, names=names)

    def _merge_names(self, key: str, olds: Sequence[str]) -> None:
        """Names of one new key become one: that which has the key, else the first of them under its new id."""
        new = self.ids.name(key)

        def begin(transaction: neo4j.ManagedTransaction) -> str | None:
            transaction.run(cypher.TOUCH, ns=self.ids.ns, op=now()).consume()
            every = [new, *olds]
            rows = list(transaction.run(cypher.SPELLED, ids=every))
            if not rows:
                return None
            best = max(rows, key=lambda row: (row["rank"], row["n"]))
            transaction.run(cypher.JOIN_CLASSES, ids=every).consume()
            renamed = None
            if all(row["id"] != new for row in rows):
                renamed = str(rows[0]["id"])
                transaction.run(cypher.RENAME, old=renamed, new=new, key=key).consume()
            spelled = {"id": new, "name": best["name"], "rank": best["rank"], "loose": loose_key(key)}
            transaction.run(cypher.SPELL, spelled).consume()
            return renamed

        renamed = self.connection.write(begin)
        for old in olds:
            self._move_name(old, new, drop=old != renamed)

    def _move_name(self, old: str, new: str, *, drop: bool = False) -> None:
        """Facts of the old id get the new one; then the old node goes, if it is another one."""
        while self.connection.write(self._moving(cypher.FACTS_OF_NAME, old, new)):
            pass
        if drop:
            self._write(cypher.DROP_NAME, old=old)
        self._write(cypher.NAME_DONE, new=new)

    def _merge_relation(self, row: neo4j.Record) -> None:
        """A relation that is an alias by now becomes the one it is a name of, if that has objects of the same range."""
        if row["was"] is not None:
            self._move_relation(row["was"], row["id"])
            return
        target = self.catalogue.find(row["label"]) or Relation(row["label"])
        old, new = row["id"], self.ids.relation(target.key)
        if target.key == row["key"] or self._is_of_another_range(old, target):
            return
        there = bool(self.connection.read(cypher.RELATION_THERE, {"id": new}))
        if not there:
            kind = view_type(target.label, self.declared)
            self._write(cypher.RELABEL, old=old, new=new, key=target.key, label=target.label, type=kind)
        self._move_relation(old, new, drop=there)

    def _is_of_another_range(self, rid: str, target: Relation) -> bool:
        rows = self.connection.read(cypher.AN_OBJECT, {"rid": rid})
        return bool(rows) and is_literal_key(rows[0]["key"]) != (target.range == "literal")

    def _move_relation(self, old: str, new: str, *, drop: bool = False) -> None:
        while self.connection.write(self._moving(cypher.FACTS_OF_RELATION, old, new)):
            pass
        if drop:
            self._write(cypher.DROP_RELATION, old=old)
        self._write(cypher.RELATION_DONE, new=new)

    def _moving(self, statement: cypher.Statement, old: str, new: str) -> Callable[[neo4j.ManagedTransaction], bool]:
        """One page of facts in which the old id becomes the new one; whether there were any."""

        def work(transaction: neo4j.ManagedTransaction) -> bool:
            seq = transaction.run(cypher.TOUCH, ns=self.ids.ns, op=now()).single(strict=True)["seq"]
            rows = list(transaction.run(statement, old=old, page=_PAGE))
            facts = [_Moved(row, old, new) for row in rows]
            self._give_way(transaction, [fact for fact in facts if fact.open], seq)
            transaction.run(cypher.MOVE_FACTS, facts=[fact.parameters for fact in facts]).consume()
            return bool(rows)

        return work

    def _give_way(self, transaction: neo4j.ManagedTransaction, moved: Sequence[_Moved], seq: int) -> None:
        """Of open facts that become one triple the earliest stays, with the evidence of all."""
        ids = {fact.id for fact in moved}
        alike: dict[str, list[tuple[int, int, str]]] = {}
        for fact in moved:
            alike.setdefault(fact.triple, []).append((fact.seq, fact.ordinal, fact.id))
        for row in transaction.run(cypher.STANDING, triples=list(alike)):
            if row["id"] not in ids:
                alike[row["triple"]].append((row["seq"], row["ordinal"], row["id"]))
        losers = [
            {"id": loser, "by": group[0][2]} for group in map(sorted, alike.values()) for _, _, loser in group[1:]
        ]
        if not losers:
            return
        transaction.run(cypher.GIVE_WAY, facts=losers, now=now(), seq=seq).consume()
        better = []
        for row in transaction.run(cypher.SUPPORT, ids=sorted({each["by"] for each in losers})):
            kind, principal, said_at = best_evidence(row["evidence"])
            best = {"kind": kind, "principal": principal, "rank": rank_of(kind), "said_at": said_at}
            better.append({"id": row["id"], **best})
        transaction.run(cypher.DEMOTE, facts=better, ns=self.ids.ns).consume()


class _Moved:
    """A fact in which one id becomes another."""

    def __init__(self, row: neo4j.Record, old: str, new: str) -> None:
        self.id: str = row["id"]
        self.open: bool = row["open"]
        self.seq, self.ordinal = int(row["seq"]), int(row["ordinal"])
        before = [row["sid"], row["rid"], row["oid"]]
        self.ends = [new if each == old else each for each in before]
        # The readable relationship is between the nodes that have the ids now: the old ones, or the renamed one.
        self.shown = [[one, other] for one in {before[0], self.ends[0]} for other in {before[2], self.ends[2]}]

    @property
    def triple(self) -> str:
        """What an open fact is unique by, afterwards."""
        return "".join(self.ends)

    @property
    def parameters(self) -> dict[str, Any]:
        """As ``cypher.MOVE_FACTS`` takes it."""
        sid, rid, oid = self.ends
        return {"id": self.id, "sid": sid, "rid": rid, "oid": oid, "shown": self.shown}
