"""The Neo4j store: the same memory on a server, shared by many agents and open to people.

Implements ``stores.interface`` on ``stores.bolt``; the statements stand in ``stores.cypher``, writing in
``stores.neo4j_write``, forgetting in ``stores.neo4j_erase``. A read of any number of queries is one round trip.
Similar names are found by sign-bit codes held in memory, as in the embedded store, and compared exactly by the server.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from langchain_memllm.belief import Batch, Quarantined, Use, precedence
from langchain_memllm.nameindex import Indexes, NameIndex
from langchain_memllm.quotas import Limits
from langchain_memllm.stores import (
    cypher,
    neo4j_check,
    neo4j_erase,
    neo4j_hub,
    neo4j_move,
    neo4j_outbox,
    neo4j_recall,
    neo4j_use,
    neo4j_view,
    neo4j_words,
    neo4j_write,
    schema,
)
from langchain_memllm.stores.bolt import DEADLINE, Bolt, token, vector_text
from langchain_memllm.stores.embedded import decode_namespace
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.interface import (
    BROADER,
    SPELLING,
    Candidate,
    Embed,
    Erased,
    FactFilter,
    Found,
    LookupQuery,
    Pending,
    Planner,
    RecallIndex,
    Relations,
    Row,
    SearchQuery,
    Selection,
    Stats,
    Vector,
    Written,
    clock_problems,
    now,
    unpack_receipt,
)
from langchain_memllm.stores.neo4j_items import Neo4jItems
from langchain_memllm.stores.neo4j_recall import epoch_of
from langchain_memllm.stores.neo4j_use import use_of
from langchain_memllm.stores.neo4j_write import Ids, ids_of
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.parts import Aliases, Part
from langchain_memllm.stores.rows import REBUILD, corrupt
from langchain_memllm.stores.rows import fact_of as sound_fact
from langchain_memllm.times import since
from langchain_memllm.triples import Fact, How, Namespace, Receipt, Source

if TYPE_CHECKING:
    import neo4j

__all__ = ["Neo4jStore", "lookup_parameters"]

_PAGE: Final = 2_000
_LEAST_S: Final = 1.0
"""For what follows a commit, however much of the deadline that took."""
_MAX_RELATIONS: Final = 25
_KEPT: Final = (
    "the server's transaction log and its backups keep what was erased until they are rotated out "
    "(db.tx_log.rotation.retention_policy), and free space in its files until it is used again; a client cannot purge "
    "them: see docs/forgetting.md"
)
_FRESH: Final = 3  # times a search is repeated whose namespace was changed meanwhile


@neo4j_check.blaming
class Neo4jStore:
    """A ``TripleStore`` in a Neo4j database (5.26 or newer, Community is enough).

    Args:
        target: ``neo4j://host``, ``bolt://host`` or their ``+s``, ``+ssc`` forms; or a driver, which is not closed.
        auth: User name and password; by default NEO4J_USERNAME (or ``neo4j``) and NEO4J_PASSWORD.
        database: Name of the database; by default NEO4J_DATABASE, else ``neo4j``.
        allow_insecure: Accept a host that is not this machine without encryption.
        deadline: Seconds in which every call ends, whatever the server does; a chat may want fewer.

    Raises:
        ConfigurationError: An address that cannot or must not be used, no password, or no such database.
        StoreUnavailable: The server does not answer, refuses the password, or is older than 5.26.
        SchemaTooNew: A newer version of this package wrote the graph.
    """

    shared = True

    def __init__(
        self,
        target: str | neo4j.Driver,
        *,
        auth: tuple[str, str] | None = None,
        database: str | None = None,
        allow_insecure: bool = False,
        deadline: float = DEADLINE,
    ) -> None:
        """Connect, and bring the graph's schema up to date."""
        self._bolt = Bolt(target, auth=auth, database=database, allow_insecure=allow_insecure, deadline=deadline)
        self.turns = neo4j_hub.Neo4jTurns(self._bolt)
        self.items = Neo4jItems(self._bolt)
        self._indexes: Indexes[NameIndex[int]] = Indexes()
        self._relations: dict[Namespace, _Relations] = {}
        self._recall = neo4j_recall.RecallIndexes(self._bolt)

    def __repr__(self) -> str:
        """The class and the address, without credentials."""
        return f"Neo4jStore({self.location!r})"

    @property
    def location(self) -> str:
        """Address and database, without credentials."""
        return self._bolt.location

    # -- writing ------------------------------------------------------------------------------------------------

    def transact(self, namespace: Namespace, batch: Batch, plan: Planner, embed: Embed | None = None) -> Written:
        """See ``TripleStore.transact``."""
        return neo4j_write.transact(self._bolt, namespace, batch, plan, embed)

    def fill(
        self, namespace: Namespace, items: Sequence[Pending], vectors: Sequence[Vector | None], *, spent: float = 0.0
    ) -> None:
        """See ``TripleStore.fill``."""
        neo4j_write.fill(self._bolt, namespace, items, vectors, within=max(_LEAST_S, self._bolt.deadline - spent))

    def link(self, namespace: Namespace, name: tuple[str, str], alias: tuple[str, str], *, limit: int = 32) -> None:
        """See ``TripleStore.link``."""
        neo4j_write.link(self._bolt, namespace, name, alias, limit)

    def restore(self, namespace: Namespace, parts: Sequence[Part], limits: Limits | None = None) -> tuple[Pending, ...]:
        """See ``TripleStore.restore``."""
        return neo4j_move.restore(self._bolt, namespace, parts, limits)

    def erase(self, namespace: Namespace, selection: Selection, *, purge: bool = False) -> Erased:
        """See ``TripleStore.erase``; the files are the server's, so ``purge`` can only tell what they keep."""
        erased = neo4j_erase.erase(self._bolt, namespace, selection)
        if purge:
            erased = replace(erased, notes=(_KEPT,))
        self._indexes.drop(namespace)
        self._relations.pop(namespace, None)
        self._recall.drop(namespace)
        return erased

    def put_outbox(
        self, namespace: Namespace, entries: Sequence[OutboxEntry], now: str, turns: Sequence[Turn] = ()
    ) -> str:
        """See ``TripleStore.put_outbox``."""
        return neo4j_outbox.put(self._bolt, namespace, entries, now, turns)

    def drop_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> int:
        """See ``TripleStore.drop_outbox``."""
        return neo4j_outbox.drop(self._bolt, namespace, op_ids)

    def fail_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> None:
        """See ``TripleStore.fail_outbox``."""
        neo4j_outbox.fail(self._bolt, namespace, op_ids)

    def put_record(self, name: str, value: str, *, expected: str | None) -> str:
        """See ``TripleStore.put_record``."""
        parameters = {"name": name, "value": value, "expected": expected, "op": token()}
        return str(self._bolt.write_one(cypher.PUT_RECORD, parameters)[0]["value"] or value)

    # -- reading ------------------------------------------------------------------------------------------------

    def receipt(self, namespace: Namespace, op_id: str) -> tuple[str, Receipt] | None:
        """See ``TripleStore.receipt``."""
        rows = self._bolt.read(cypher.OPERATION, {"op": ids_of(namespace).operation(op_id)})
        return (rows[0]["payload_hash"], unpack_receipt(namespace, op_id, rows[0]["receipt"])) if rows else None

    def lookup(
        self,
        namespaces: Sequence[Namespace],
        queries: Sequence[LookupQuery],
        *,
        at: str | None = None,
        valid_at: str | None = None,
        limit: int = 30,
    ) -> list[Found]:
        """See ``TripleStore.lookup``."""
        present = at is None and valid_at is None
        parameters = {**lookup_parameters(namespaces, queries, limit), "at": at, "valid_at": valid_at}
        if not present:
            rows = self._bolt.read(cypher.RESTARTS, {"ns": [ids_of(each).ns for each in namespaces]})
            parameters["since"] = {row["id"]: since(json.loads(row["restarts"]), at) for row in rows}
        records = self._bolt.read(cypher.LOOKUP if present else cypher.LOOKUP_AT, parameters)
        answers: list[list[neo4j.Record]] = [[] for _ in queries]
        for record in records:
            answers[record["i"]].append(record)
        return [_found(sorted(answer, key=lambda each: each["p"]), namespaces, limit) for answer in answers]

    def search(
        self, namespaces: Sequence[Namespace], queries: Sequence[SearchQuery], *, limit: int = 30
    ) -> list[Found]:
        """See ``TripleStore.search``. One round trip, and one more for a namespace that changed since the last one."""
        for _ in range(_FRESH):
            caches = [self._cache(namespace) for namespace in namespaces]
            vectors = self._stored_vectors(namespaces, queries)
            asked = [
                each
                for p, namespace in enumerate(namespaces)
                for each in _sought(ids_of(namespace), p, queries, caches[p], vectors)
            ]
            records = self._bolt.read(cypher.SEARCH, {"qs": asked, "more": limit + 1, "spelling": SPELLING})
            if not self._stale(namespaces, caches, records):
                break
        rows: list[list[list[Row]]] = [[[] for _ in namespaces] for _ in queries]
        for record in records:
            query = queries[record["i"]]
            similar = [_similar_row(namespaces[record["p"]], row) for row in record["rows"]]
            least = round(query.min_similarity, 5)
            rows[record["i"]][record["p"]] = [row for row in similar if row.similarity >= least]
        pending = any(record["pending"] for record in records) or any(cache.relations.pending for cache in caches)
        return [replace(_merged(each, limit), pending=pending) for each in rows]

    def _cache(self, namespace: Namespace) -> _Cache:
        """What is held of a namespace's names and relations; loaded at the first use."""
        entry, relations = self._indexes.get(namespace), self._relations.get(namespace)
        if entry is None:
            self._load_codes(namespace, NameIndex(), 0, None)
            entry = self._indexes.get(namespace)
        if relations is None:
            relations = self._load_relations(namespace)
        if entry is None:  # the namespace is empty
            return _Cache(NameIndex(), 0, 0, relations)
        return _Cache(entry.index, entry.seq, entry.epoch, relations)

    def _load_codes(self, namespace: Namespace, index: NameIndex[int], after: int, epoch: int | None) -> None:
        """Add the codes after a number to an index of that epoch; begin anew if the namespace is in another."""
        rows = self._bolt.read(cypher.CODES, {"ns": ids_of(namespace).ns, "after": after})
        if not rows:
            self._indexes.drop(namespace)
            return
        current = epoch_of(rows[0])
        if epoch is not None and current != epoch:
            self._indexes.drop(namespace)
            self._load_codes(namespace, NameIndex(), 0, None)
            return
        for ids, codes in rows[0]["blocks"]:
            index.add(ids, codes)
        self._indexes.put(namespace, index, rows[0]["codes_to"], current)

    def _load_relations(self, namespace: Namespace) -> _Relations:
        rows = self._bolt.read(cypher.RELATION_VECTORS, {"ns": ids_of(namespace).ns})
        relations = (
            _Relations(rows[0]["relations"], rows[0]["relations_to"], epoch_of(rows[0])) if rows else _Relations()
        )
        self._relations[namespace] = relations
        return relations

    def _stale(
        self, namespaces: Sequence[Namespace], caches: Sequence[_Cache], records: Sequence[neo4j.Record]
    ) -> bool:
        """Whether the search ran on an old view of a namespace; what is held is brought up to date."""
        stale = False
        for p in {record["p"]: None for record in records}:
            record = next(each for each in records if each["p"] == p)
            namespace, cache, epoch = namespaces[p], caches[p], epoch_of(record)
            if epoch != cache.epoch or record["codes_to"] > cache.seq:
                self._load_codes(namespace, cache.index, cache.seq, cache.epoch)
                stale = True
            if epoch != cache.relations.epoch or record["relations_to"] > cache.relations.seq:
                self._load_relations(namespace)
                stale = True
        return stale

    def _stored_vectors(
        self, namespaces: Sequence[Namespace], queries: Sequence[SearchQuery]
    ) -> dict[str, list[float]]:
        """Stored vectors by id of the names that come without one; a name that must stay itself needs none."""
        wanted = [
            ids_of(namespace).name(key)
            for namespace in namespaces
            for query in queries
            if query.vector is None and not query.keep_known
            for key in query.keys
        ]
        rows = self._bolt.read(cypher.NAME_VECTORS, {"names": wanted}) if wanted else []
        return {row["id"]: row["embedding"] for row in rows}

    def recall_index(self, namespace: Namespace, keys: Sequence[str]) -> RecallIndex | None:
        """See ``TripleStore.recall_index``."""
        return self._recall.get(namespace, keys, lambda epoch, seq: self._relations_at(namespace, epoch, seq).known)

    def _relations_at(self, namespace: Namespace, epoch: int, seq: int) -> _Relations:
        """What is held of a namespace's relations, if it is of this epoch and as new as ``seq``; else it is read."""
        held = self._relations.get(namespace)
        if held is None or held.epoch != epoch or held.seq < seq:
            held = self._load_relations(namespace)
        return held

    def candidates(self, namespace: Namespace, ids: Sequence[int | str], vector: Vector | None) -> list[Candidate]:
        """See ``TripleStore.candidates``."""
        return neo4j_recall.candidates(self._bolt, namespace, fact_of, ids, vector)

    def closed(self, namespace: Namespace, ids: Sequence[int | str]) -> set[int | str]:
        """See ``TripleStore.closed``."""
        return neo4j_recall.closed(self._bolt, namespace, ids)

    def facts(self, namespaces: Sequence[Namespace], where: FactFilter | None = None) -> Iterator[Fact]:
        """See ``TripleStore.facts``."""
        for namespace in namespaces:
            yield from self._facts(namespace, where or FactFilter())

    def _facts(self, namespace: Namespace, where: FactFilter) -> Iterator[Fact]:
        """Page by page, so that a long listing holds no transaction and little memory."""
        ids = ids_of(namespace)
        statement, parameters = self._listing(ids, where)
        seq, ordinal = where.after_seq, 1 << 30
        while True:
            records = self._bolt.read(statement, {**parameters, "seq": seq, "ordinal": ordinal})
            for record in records:
                yield fact_of(namespace, record["fact"], record["sources"])
            if len(records) < _PAGE:
                return
            seq, ordinal = records[-1]["fact"][4], records[-1]["fact"][5]
            if where.subject_keys is not None or where.object_keys is not None:
                yield from self._rest(namespace, {**parameters, "seq": seq, "ordinal": ordinal})
                return

    def _rest(self, namespace: Namespace, parameters: dict[str, Any]) -> Iterator[Fact]:
        """What follows the first page of a name's facts: they are looked for once, not for each page again."""
        of_subjects = parameters["subjects"] is not None
        found = self._bolt.read(cypher.IDS_OF_SUBJECTS if of_subjects else cypher.IDS_OF_OBJECTS, parameters)
        ids = [record["id"] for record in found]
        for start in range(0, len(ids), _PAGE):
            page = {**parameters, "ids": ids[start : start + _PAGE]}
            for record in self._bolt.read(cypher.LIST_IDS, page):
                yield fact_of(namespace, record["fact"], record["sources"])

    def _listing(self, ids: Ids, where: FactFilter) -> tuple[cypher.Statement, dict[str, Any]]:
        """The statement that finds the filter's facts by its most telling condition, and its parameters."""
        parameters: dict[str, Any] = {
            "ns": ids.ns,
            "ids": list(where.ids or ()),
            "subjects": self._members(ids, where.subject_keys),
            "objects": self._members(ids, where.object_keys),
            "rids": _relation_ids(ids, where.relation, where.narrower) or None,
            "source": None if where.source is None else ids.source(*where.source),
            "open_only": where.open_only,
            "page": _PAGE,
        }
        if where.ids is not None:
            return cypher.LIST_IDS, parameters
        if where.subject_keys is not None:
            return cypher.LIST_SUBJECTS, parameters
        if where.object_keys is not None:
            return cypher.LIST_OBJECTS, parameters
        return (cypher.LIST if where.source is None else cypher.LIST_SOURCE), parameters

    def _members(self, ids: Ids, keys: Sequence[str] | None) -> list[str] | None:
        if keys is None:
            return None
        rows = self._bolt.read(cypher.MEMBERS, {"names": [ids.name(key) for key in keys]})
        return list(rows[0]["ids"])

    def dump(self, namespace: Namespace) -> Iterator[Part]:
        """See ``TripleStore.dump``."""
        yield from neo4j_move.names(self._bolt, namespace)
        yield from neo4j_move.facts(self._bolt, namespace, fact_of)
        yield from map(Aliases, self.aliases(namespace))
        yield from neo4j_move.operations(self._bolt, namespace)
        yield from self.quarantined(namespace)
        yield from self.outbox(namespace, limit=1 << 40)
        yield from neo4j_hub.dump(self._bolt, namespace)
        yield from neo4j_move.head(self._bolt, namespace)

    def pending(self, namespace: Namespace, *, limit: int = 10_000) -> list[Pending]:
        """See ``TripleStore.pending``."""
        rows = self._bolt.read(cypher.PENDING, {"ns": ids_of(namespace).ns, "limit": limit})
        return [Pending(row["kind"], row["key"], row["spelling"]) for row in rows]

    def aliases(self, namespace: Namespace) -> list[tuple[str, ...]]:
        """See ``TripleStore.aliases``."""
        rows = self._bolt.read(cypher.ALIASES, {"ns": ids_of(namespace).ns})
        return sorted(tuple(sorted(row["names"])) for row in rows)

    def spellings(self, namespace: Namespace, loose: str) -> list[str]:
        """See ``TripleStore.spellings``."""
        ids = ids_of(namespace)
        parameters = {"ns": ids.ns, "id": ids.name(loose), "loose": loose}
        return [row["name"] for row in self._bolt.read(cypher.SPELLINGS, parameters)]

    def quarantined(self, namespace: Namespace) -> list[Quarantined]:
        """See ``TripleStore.quarantined``."""
        return [
            Quarantined(
                row["text"],
                row["reason"],
                Source(row["kind"], row["ref"], row["principal"], turn=row["turn"]),
                row["recorded_at"],
            )
            for row in self._bolt.read(cypher.QUARANTINED, {"ns": ids_of(namespace).ns})
        ]

    def outbox(
        self, namespace: Namespace, *, op_ids: Sequence[str] | None = None, limit: int = 1000
    ) -> list[OutboxEntry]:
        """See ``TripleStore.outbox``."""
        return neo4j_outbox.entries(self._bolt, namespace, op_ids, limit)

    def record(self, name: str, *, within: float | None = None) -> str | None:
        """See ``TripleStore.record``."""
        rows = self._bolt.read(cypher.RECORD, {"name": name}, within=within)
        return rows[0]["value"] if rows else None

    def namespaces(self) -> list[Namespace]:
        """See ``TripleStore.namespaces``."""
        return sorted(decode_namespace(row["name"]) for row in self._bolt.read(cypher.NAMESPACES))

    def stats(self, namespace: Namespace) -> Stats:
        """See ``TripleStore.stats``."""
        rows = self._bolt.read(cypher.STATS, {"ns": ids_of(namespace).ns})
        if not rows:
            return Stats()
        counts = {name: value for name, value in dict(rows[0]).items() if name != "use"}
        return Stats(**counts, use=use_of(rows[0]["use"]))

    def uses(self) -> list[tuple[Namespace, Use]]:
        """See ``TripleStore.uses``."""
        return neo4j_use.uses(self._bolt)

    def check(self) -> list[str]:
        """See ``TripleStore.check``: indexes are usable, nodes are ours, and what people see is what is stored."""
        states = {row["name"]: row["state"] for row in self._bolt.read(cypher.INDEXES)}
        problems = [
            f"index {name} is {states.get(name, f'missing; {REBUILD}')}"
            for name in cypher.index_names()
            if states.get(name) != "ONLINE"
        ]
        moment = now()
        clocks = [
            each
            for row in self._bolt.read(cypher.CLOCKS)
            for each in clock_problems(row["name"], row["seq"], row["last_at"], row["restarts"], moment)
        ]
        foreign = neo4j_check.foreign_nodes(self._bolt)
        if problems or foreign:  # what looks further needs the indexes, and nodes of ours
            return problems + clocks + foreign
        return clocks + [
            problem for part in (neo4j_words, neo4j_view, neo4j_use) for problem in part.problems(self._bolt)
        ]

    def rebuild_index(self) -> int:
        """Make anew what facts and turns are found by: missing indexes, words and codes. Returns how much was wrong."""
        return schema.remake(self._bolt) + neo4j_words.rebuild(self._bolt)

    def rebuild_view(self) -> int:
        """Make what people see what is stored: the readable relationships of all namespaces. Returns how many changed.

        Facts are read from their nodes, so nothing that is done to the relationships (in Neo4j Browser, say) changes
        what the memory answers.
        """
        return neo4j_view.rebuild(self._bolt)

    def close(self) -> None:
        """See ``TripleStore.close``."""
        self._bolt.close()


class _Relations:
    """The relations of one namespace with their vectors: few, so always compared exactly."""

    def __init__(self, rows: Sequence[Sequence[Any]] = (), seq: int = 0, epoch: int = 0) -> None:
        """From rows (number, id, key, vector or None, whether it waits for one, label), in any order."""
        self.seq, self.epoch = seq, epoch
        ordered = sorted(rows, key=lambda row: row[0])
        embedded = [row for row in ordered if row[3] is not None]
        self.pending = any(row[4] for row in ordered)
        self._by_key = {key: (rid, vector) for _, rid, key, vector, *_ in ordered}
        self._ids = [row[1] for row in embedded]
        self._keys = [row[2] for row in embedded]
        self._labels = [row[5] for row in embedded]
        self._matrix: NDArray[np.float64] = np.array([row[3] for row in embedded], np.float64)

    @functools.cached_property
    def known(self) -> Relations:
        """Those that have a vector, as recall takes them."""
        return Relations(self._keys, self._labels, self._matrix.astype(np.float32))

    def similar(self, query: SearchQuery) -> list[tuple[str, float]]:
        """Ids of relations that may stand for the query's, with their cosine; the very relation has 1.0."""
        _, vector = self._by_key.get(query.relation, (None, None))
        asked = (self._by_key.get(key) for key in (query.relation, *query.narrower))
        scores = {found[0]: 1.0 for found in asked if found is not None}
        if query.relation_vector is not None:
            vector = query.relation_vector
        least = max(query.min_relation, 2 * query.min_similarity - 1)
        if vector is not None and self._ids:
            cosines = self._matrix @ np.asarray(vector, np.float64)
            for near in np.flatnonzero(cosines >= least - 1e-6):
                if self._keys[near] not in query.barred:
                    scores.setdefault(self._ids[near], float(cosines[near]))
        if query.broader in self._by_key:
            scores.setdefault(self._by_key[query.broader][0], BROADER)
        places = {rid: place for place, rid in enumerate(self._ids)}
        return sorted(scores.items(), key=lambda item: (-item[1], places.get(item[0], -1)))[:_MAX_RELATIONS]


@dataclass(frozen=True, slots=True)
class _Cache:
    """What the client holds of a namespace: search codes up to a number, of an epoch, and relations."""

    index: NameIndex[int]
    seq: int
    epoch: int
    relations: _Relations


def lookup_parameters(namespaces: Sequence[Namespace], queries: Sequence[LookupQuery], limit: int) -> dict[str, Any]:
    """Parameters of ``cypher.LOOKUP``: every query in every namespace."""
    asked = [
        _asked(ids_of(namespace), query, i, p)
        for i, query in enumerate(queries)
        for p, namespace in enumerate(namespaces)
    ]
    return {"qs": asked, "more": limit + 1}


def _asked(ids: Ids, query: LookupQuery, i: int, p: int) -> dict[str, Any]:
    return {
        "i": i,
        "p": p,
        "side": query.side,
        "names": [ids.name(key) for key in query.keys],
        "rids": _relation_ids(ids, query.relation, query.narrower) or [None],
        "inverses": _relation_ids(ids, query.inverse, query.narrower_inverse),
    }


def _relation_ids(ids: Ids, relation: str | None, narrower: Sequence[str]) -> list[str | None]:
    return [] if relation is None else [ids.relation(key) for key in (relation, *narrower)]


def _sought(
    ids: Ids, p: int, queries: Sequence[SearchQuery], cache: _Cache, vectors: dict[str, list[float]]
) -> list[dict[str, Any]]:
    """The queries as parameters of one namespace's search: candidates by code, relations by cosine."""
    asked: list[dict[str, Any]] = []
    known: list[tuple[dict[str, Any], Vector, float]] = []
    for i, query in enumerate(queries):
        names = [ids.name(key) for key in query.keys]
        vector = query.vector
        if vector is None:
            stored = next((vectors[name] for name in names if name in vectors), None)
            vector = None if stored is None else np.asarray(stored, np.float32)
        least = max(query.min_entity, 2 * query.min_similarity - 1)
        asked.append(
            {
                "i": i,
                "p": p,
                "ns": ids.ns,
                "side": query.side,
                "keep": query.keep_known,
                "names": names,
                "spelled": ids.name(query.loose) if query.keep_known and query.loose is not None else None,
                "loose": query.loose if query.keep_known else None,
                "candidates": [],
                "scan": None,
                "vector": None if vector is None else vector_text(np.asarray(vector, np.float32)),
                "least": least,
                "relations": cache.relations.similar(query),
                "min": query.min_similarity,
            }
        )
        if vector is not None:
            known.append((asked[-1], vector, least))
    if known:
        found = cache.index.candidates(np.stack([vector for _, vector, _ in known]), [least for _, _, least in known])
        for (each, _, _), numbers in zip(known, found, strict=True):
            each["candidates"], each["scan"] = numbers or [], ids.ns if numbers is None else None
    return asked


def _found(records: Sequence[neo4j.Record], namespaces: Sequence[Namespace], limit: int) -> Found:
    """One query's answer from those of its namespaces, direct and from the other end."""
    rows = [_rows(namespaces[record["p"]], [*record["direct"], *record["inverse"]], limit) for record in records]
    merged = _merged(rows, limit)
    return Found(
        merged.rows,
        merged.truncated,
        tuple(record["knows_name"] for record in records),
        tuple(record["knows_relation"] for record in records),
    )


def _rows(namespace: Namespace, answers: Sequence[str], limit: int) -> list[Row]:
    rows = [row_of(namespace, answer) for answer in answers]
    rows.sort(key=lambda row: -_precedence_of(row.fact))
    return list({row.fact.id: row for row in rows}.values())[: limit + 1]


def _similar_row(namespace: Namespace, row: Sequence[Any]) -> Row:
    entity, relation, text = row
    return row_of(namespace, text, entity, relation)


def _precedence_of(fact: Fact) -> int:
    return precedence(fact.kind, fact.seq, fact.ordinal)


def _merged(rows: Sequence[Sequence[Row]], limit: int) -> Found:
    """Rows of several namespaces in one order: similarity, place of the namespace, precedence, id."""
    flat = [
        (-row.similarity, place, -_precedence_of(row.fact), row.fact.id, row)
        for place, some in enumerate(rows)
        for row in some
    ]
    flat.sort(key=lambda item: item[:4])
    return Found(tuple(item[4] for item in flat[:limit]), len(flat) > limit)


def row_of(namespace: Namespace, text: str, entity_similarity: float = 1.0, relation_similarity: float = 1.0) -> Row:
    """How a fact was found, and the fact, from the text ``cypher`` makes of them; without its sources."""
    try:
        how, via, fact_id, subject, relation, object_, seq, ordinal, at, kind, confidence, begin, end, *closing = (
            text.split("\x1f", 17)
        )
        closed, by, why, said, *principal = closing
        place, number, probability = int(seq), int(ordinal), float(confidence) if confidence else None
    except (AttributeError, ValueError) as error:
        raise corrupt(_PLACE, "a fact that cannot be read") from error
    values = [fact_id, subject, relation, object_, place, number, at, kind, principal[0] if principal else None]
    values += [probability, begin or None, end or None, closed or None, by or None, why or None, said]
    return Row(sound_fact(namespace, values, _PLACE), cast(How, how), entity_similarity, relation_similarity, via)


_PLACE: Final = "a node of label MemFact, MemPast or MemEntity"


def fact_of(namespace: Namespace, row: Sequence[Any], sources: Sequence[Sequence[Any]] = ()) -> Fact:
    """A fact from the list ``cypher`` makes of it, and its sources."""
    return replace(
        sound_fact(namespace, row, _PLACE),
        sources=tuple(
            Source(kind, ref, who, text, None if start is None else (start, end), turn, at)
            for _, _, kind, ref, who, text, start, end, turn, at in sorted(sources, key=lambda row: (row[0], row[1]))
        ),
    )
