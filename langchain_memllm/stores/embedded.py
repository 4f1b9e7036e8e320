"""The embedded store: a memory in one SQLite file, nothing else to run.

Implements ``stores.interface`` on ``stores.sqlite``; the SQL of reading stands here, that of writing and erasing in
``stores.embedded_write`` and ``stores.embedded_erase``. Similar names are found by sign-bit codes held in memory and
rescored with the exact vectors from the file. Every index is named in the statements: without statistics SQLite once
answered the object side with a scan of the whole namespace (p99 546 ms instead of 0.8).
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np

from langchain_memllm.belief import Batch, Quarantined, Use, precedence
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.forking import renewed
from langchain_memllm.nameindex import Indexes, NameIndex
from langchain_memllm.quotas import Limits
from langchain_memllm.stores import (
    backup,
    embedded_erase,
    embedded_hub,
    embedded_move,
    embedded_outbox,
    embedded_recall,
    embedded_reindex,
    embedded_use,
    embedded_write,
)
from langchain_memllm.stores.embedded_items import EmbeddedItems
from langchain_memllm.stores.episodes import Turn, checked
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
from langchain_memllm.stores.outbox import OutboxEntry, stamped
from langchain_memllm.stores.parts import Part
from langchain_memllm.stores.rows import fact_of_columns, namespace_of, use_of
from langchain_memllm.stores.sqlite import Database, Durability
from langchain_memllm.times import since
from langchain_memllm.triples import Fact, How, Namespace, Receipt, Source

__all__ = ["READ", "EmbeddedStore"]

# The columns of a fact with the spellings of its names, in the order ``rows.fact_of_columns`` reads them.
_FACT: Final = """f.fid, s.spelling, r.label, o.spelling, f.seq, f.ordinal, f.recorded_at, f.kind, f.principal,
    f.confidence, f.valid_from, f.valid_to, f.closed_at, f.closed_by, f.closed_why,
    coalesce(f.said_at, f.recorded_at)"""
_NAMES: Final = "CROSS JOIN name s ON s.id = f.s CROSS JOIN name o ON o.id = f.o"

# Open facts of one name and relation, best first: two look-ups by key and one range of the index, nothing sorted.
READ: Final = {
    "subject": f"""SELECT k.class, {_FACT} FROM namespace x
        CROSS JOIN name k ON k.ns = x.id AND k.key = ?2 CROSS JOIN relation r ON r.ns = x.id AND r.key = ?3
        CROSS JOIN fact f INDEXED BY fact_open_s ON f.s = k.id AND f.r = r.id AND f.open = 1 {_NAMES}
        WHERE x.name = ?1 ORDER BY f.precedence DESC LIMIT ?4""",
    "object": f"""SELECT k.class, {_FACT} FROM namespace x
        CROSS JOIN name k ON k.ns = x.id AND k.key = ?2 CROSS JOIN relation r ON r.ns = x.id AND r.key = ?3
        CROSS JOIN fact f INDEXED BY fact_open_o ON f.o = k.id AND f.r = r.id AND f.open = 1 {_NAMES}
        WHERE x.name = ?1 ORDER BY f.precedence DESC LIMIT ?4""",
}
# The same, and those that say it from the other end (?5: the inverse relation), which have a 1 in the last column.
READ_BOTH: Final = {
    side: f"SELECT *, 0 FROM ({READ[side]}) UNION ALL SELECT *, 1 FROM ({READ[other].replace('?3', '?5')})"
    for side, other in (("subject", "object"), ("object", "subject"))
}
# Open facts of one name id, of one relation or (?2 NULL) of any, best first.
_OPEN: Final = {
    side: f"""SELECT {_FACT} FROM fact f INDEXED BY fact_open_{column}
        CROSS JOIN relation r ON r.id = f.r {_NAMES}
        WHERE f.{column} = ?1 AND (?2 IS NULL OR f.r = ?2) AND f.open = 1 ORDER BY f.precedence DESC LIMIT ?3"""
    for side, column in (("subject", "s"), ("object", "o"))
}
_OPEN_RELATION: Final = {  # the same with the relation given, so that both index columns are used
    side: f"""SELECT {_FACT} FROM fact f INDEXED BY fact_open_{column}
        CROSS JOIN relation r ON r.id = f.r {_NAMES}
        WHERE f.{column} = ?1 AND f.r = ?2 AND f.open = 1 ORDER BY f.precedence DESC LIMIT ?3"""
    for side, column in (("subject", "s"), ("object", "o"))
}
# Why a fact is closed as seen from record time ?3 (NULL: now), and whether event time ?4 falls into its interval. What
# was recorded before operation ?6 counts as recorded by then, whatever its time says: a clock was ahead.
_WHY: Final = """CASE WHEN f.closed_at IS NOT NULL AND (?3 IS NULL OR f.closed_at <= ?3 OR f.closed_seq < ?6)
    THEN f.closed_why END"""
_TO: Final = f"coalesce(f.valid_to, CASE WHEN {_WHY} IS NOT NULL THEN f.ended END)"
_WHEN: Final = f"""(?3 IS NULL OR f.recorded_at <= ?3 OR f.seq < ?6) AND CASE WHEN ?4 IS NULL THEN {_WHY} IS NULL
    ELSE coalesce({_WHY}, 'past') IN ('past', 'superseded') AND coalesce(f.valid_from, '') <= ?4 || '~'
        AND coalesce({_TO} || '~' >= ?4, 1) END"""
# Facts of one name id as of a record time and an event time, open or past.
_TIMED: Final = {
    side: " UNION ALL ".join(
        f"""SELECT {_FACT}, f.precedence FROM fact f INDEXED BY fact_{state}_{column}
            CROSS JOIN relation r ON r.id = f.r {_NAMES}
            WHERE f.{column} = ?1 AND (?2 IS NULL OR f.r = ?2) AND f.open = {int(state == "open")} AND {_WHEN}"""
        for state in ("open", "past")
    )
    + " ORDER BY f.precedence DESC LIMIT ?5"
    for side, column in (("subject", "s"), ("object", "o"))
}
_NAMESPACE: Final = "SELECT id, seq, epoch FROM namespace WHERE name = ?"
_NAME: Final = "SELECT id, class, spelling FROM name WHERE ns = ? AND key = ?"
_SPELLINGS: Final = """SELECT id, spelling FROM name WHERE ns = ?1 AND key = ?2
    UNION SELECT id, spelling FROM name INDEXED BY name_loose WHERE ns = ?1 AND loose = ?2 ORDER BY id"""
_CLASS: Final = "SELECT id, spelling FROM name INDEXED BY name_class WHERE class = ? ORDER BY id"
_RELATION: Final = "SELECT id FROM relation WHERE ns = ? AND key = ?"
_RELATION_VECTORS: Final = "SELECT id, key, embedding FROM relation WHERE ns = ? AND vector = 1 ORDER BY id"
_NAME_VECTOR: Final = "SELECT v.vector FROM name n JOIN name_vector v ON v.id = n.id WHERE n.ns = ? AND n.key = ?"
_NEW_CODES: Final = "SELECT n, id, code FROM name_code INDEXED BY name_code_ns WHERE ns = ? AND n > ? ORDER BY n"
_ALL_VECTORS: Final = """SELECT c.id, v.vector FROM name_code c INDEXED BY name_code_ns
    CROSS JOIN name_vector v ON v.id = c.id WHERE c.ns = ?"""
_SOURCES: Final = """SELECT q.kind, q.ref, e.principal, e.text, e.span_start, e.span_end, e.turn, e.said_at
    FROM fact f CROSS JOIN evidence e ON e.fact = f.id CROSS JOIN source q ON q.id = e.source
    WHERE f.fid = ? ORDER BY e.seq, e.ordinal"""
_COUNTS: Final = """SELECT
    (SELECT count(*) FROM fact WHERE ns = ?1 AND open = 1), (SELECT count(*) FROM fact WHERE ns = ?1 AND open = 0),
    (SELECT count(*) FROM name WHERE ns = ?1), (SELECT count(*) FROM relation WHERE ns = ?1),
    (SELECT count(*) FROM source WHERE ns = ?1), (SELECT count(*) FROM operation WHERE ns = ?1),
    (SELECT count(*) FROM quarantine WHERE ns = ?1),
    (SELECT count(*) FROM name WHERE ns = ?1 AND vector = 0)
    + (SELECT count(*) FROM relation WHERE ns = ?1 AND vector = 0),
    (SELECT count(*) FROM outbox WHERE ns = ?1)"""

_MAX_CANDIDATES: Final = 300  # names rescored per query that may stand for the known one (arXiv 2404.11672)
_MAX_RELATIONS: Final = 25

Side = Literal["subject", "object"]
_R = TypeVar("_R")


@functools.lru_cache(maxsize=4096)
def encode_namespace(namespace: Namespace) -> str:
    """One text for a tuple of labels; reversible, and no label can imitate another namespace."""
    return json.dumps(list(namespace), ensure_ascii=False, separators=(",", ":"))


def decode_namespace(text: str) -> Namespace:
    """Inverse of ``encode_namespace``."""
    return namespace_of(text, "the list of namespaces")


class EmbeddedStore:
    """A ``TripleStore`` in one SQLite file (or in memory), for any number of threads and processes of one machine.

    Args:
        path: File path or ``":memory:"``.
        durability: ``"full"`` (default): acknowledged means on disk; ``"normal"``: a power cut may take the last
            writes, never the file.
    """

    shared = False

    def __init__(self, path: str | os.PathLike[str] = ":memory:", *, durability: Durability = "full") -> None:
        """Open or create the file."""
        self._db = Database(path, durability=durability)
        self.turns = embedded_hub.EmbeddedTurns(self._db, encode_namespace)
        self.items = EmbeddedItems(self._db)
        self._indexes: Indexes[NameIndex[int]] = Indexes()
        self._recall = embedded_recall.RecallIndexes()
        self._index_lock = renewed(threading.Lock())

    def __repr__(self) -> str:
        """The class and the path."""
        return f"EmbeddedStore({self.location!r})"

    @property
    def location(self) -> str:
        """The file's path, or ``":memory:"``."""
        return self._db.location

    # -- writing ------------------------------------------------------------------------------------------------

    def transact(self, namespace: Namespace, batch: Batch, plan: Planner, embed: Embed | None = None) -> Written:
        """See ``TripleStore.transact``."""
        label = encode_namespace(namespace)

        def work(connection: sqlite3.Connection) -> Written:
            written = embedded_write.transact(connection, namespace, label, batch, plan)
            if embed is None or not written.pending:
                return written
            embedded_write.fill(connection, label, written.pending, embed(written.pending))
            return replace(written, pending=())

        return self._db.transact(work)

    def fill(
        self, namespace: Namespace, items: Sequence[Pending], vectors: Sequence[Vector | None], *, spent: float = 0.0
    ) -> None:
        """See ``TripleStore.fill``."""
        label = encode_namespace(namespace)
        self._db.transact(lambda connection: embedded_write.fill(connection, label, items, vectors), durable=False)

    def link(self, namespace: Namespace, name: tuple[str, str], alias: tuple[str, str], *, limit: int = 32) -> None:
        """See ``TripleStore.link``."""
        label = encode_namespace(namespace)
        self._db.transact(lambda connection: embedded_write.link(connection, label, name, alias, limit))

    def restore(self, namespace: Namespace, parts: Sequence[Part], limits: Limits | None = None) -> tuple[Pending, ...]:
        """See ``TripleStore.restore``."""
        label = encode_namespace(namespace)
        return self._db.transact(lambda connection: embedded_move.restore(connection, label, parts, limits))

    def erase(self, namespace: Namespace, selection: Selection, *, purge: bool = False) -> Erased:
        """See ``TripleStore.erase``."""
        label = encode_namespace(namespace)
        erased = self._db.transact(lambda connection: embedded_erase.erase(connection, namespace, label, selection))
        self._indexes.drop(namespace)
        self._recall.drop(namespace)
        if purge:
            self._db.purge()
        return erased

    def put_outbox(
        self, namespace: Namespace, entries: Sequence[OutboxEntry], now: str, turns: Sequence[Turn] = ()
    ) -> str:
        """See ``TripleStore.put_outbox``."""
        label, said = encode_namespace(namespace), [checked(turn) for turn in turns]

        def work(connection: sqlite3.Connection) -> str:
            ns, at = embedded_write.outbox_head(connection, label, now)
            embedded_outbox.put(connection, ns, stamped(entries, at))
            embedded_hub.put(connection, ns, said, at)
            embedded_outbox.advance(connection, ns, at)
            return at

        return self._db.transact(work)

    def drop_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> int:
        """See ``TripleStore.drop_outbox``."""
        return self._change_outbox(namespace, lambda connection, ns: embedded_outbox.drop(connection, ns, op_ids)) or 0

    def fail_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> None:
        """See ``TripleStore.fail_outbox``."""
        self._change_outbox(namespace, lambda connection, ns: embedded_outbox.fail(connection, ns, op_ids))

    def _change_outbox(self, namespace: Namespace, change: Callable[[sqlite3.Connection, int], _R]) -> _R | None:
        """What ``change`` returns for the namespace's id; None if there is no such namespace."""
        label = encode_namespace(namespace)

        def work(connection: sqlite3.Connection) -> _R | None:
            head = connection.execute(embedded_write.HEAD, (label,)).fetchone()
            return None if head is None else change(connection, head[0])

        return self._db.transact(work)

    def back_up(self, file: Path, *, verify: bool = False, overwrite: bool = False) -> None:
        """Write a copy to a file of its own, while others go on writing; see ``stores.backup.back_up``."""
        self._path()
        backup.back_up(self._db, file, verify=verify, overwrite=overwrite)

    def restore_backup(self, file: Path) -> Path | None:
        """Put a backup in the place of this memory; see ``stores.backup.restore``."""
        former = backup.restore(file, self._path())
        self._indexes = Indexes()
        self._recall = embedded_recall.RecallIndexes()
        return former

    def _path(self) -> Path:
        """The file.

        Raises:
            ConfigurationError: There is none.
        """
        if self.location == ":memory:":
            raise ConfigurationError("a memory in ':memory:' is in no file; open one with a path, and copy() it there")
        return Path(self.location)

    def put_record(self, name: str, value: str, *, expected: str | None) -> str:
        """See ``TripleStore.put_record``."""

        def work(connection: sqlite3.Connection) -> str:
            row = connection.execute("SELECT value FROM record WHERE name = ?", (name,)).fetchone()
            if (row[0] if row else None) != expected:
                return str(row[0]) if row else value
            connection.execute("INSERT OR REPLACE INTO record(name, value) VALUES (?, ?)", (name, value))
            return value

        return self._db.transact(work)

    # -- reading ------------------------------------------------------------------------------------------------

    def receipt(self, namespace: Namespace, op_id: str) -> tuple[str, Receipt] | None:
        """See ``TripleStore.receipt``."""
        with self._db.read() as connection:
            row = connection.execute(embedded_write.OPERATION, (encode_namespace(namespace), op_id)).fetchone()
        return None if row is None else (row[0], unpack_receipt(namespace, op_id, row[1]))

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
        if at is None and valid_at is None and len(namespaces) == len(queries) == 1:
            with self._db.read() as connection:
                return [self._lookup_one(connection, namespaces[0], queries[0], limit)]
        with self._db.snapshot() as connection:
            return [_lookup(connection, namespaces, query, (at, valid_at), limit) for query in queries]

    def _lookup_one(
        self, connection: sqlite3.Connection, namespace: Namespace, query: LookupQuery, limit: int
    ) -> Found:
        """The common case in one statement: one namespace, one key, a name without aliases, an answer."""
        if len(query.keys) == 1 and query.relation is not None and not (query.narrower or query.narrower_inverse):
            values = (encode_namespace(namespace), query.keys[0], query.relation, limit + 1)
            if query.inverse is not None:
                rows = connection.execute(READ_BOTH[query.side], (*values, query.inverse)).fetchall()
                if rows and rows[0][0] is None and not rows[0][-1]:
                    return _from_both_ends(namespace, query.side, rows, limit)
                return _lookup(connection, (namespace,), query, (None, None), limit)
            rows = connection.execute(READ[query.side], values).fetchall()
            if rows and rows[0][0] is None:
                found = tuple([Row(fact_of_columns(namespace, row, 1), "exact") for row in rows[:limit]])
                return Found(found, len(rows) > limit, (True,), (True,))
        return _lookup(connection, (namespace,), query, (None, None), limit)

    def search(
        self, namespaces: Sequence[Namespace], queries: Sequence[SearchQuery], *, limit: int = 30
    ) -> list[Found]:
        """See ``TripleStore.search``."""
        with self._db.snapshot() as connection:
            per_namespace = [self._search(connection, namespace, queries, limit) for namespace in namespaces]
            pending = any(embedded_write.pending(connection, encode_namespace(each), 1) for each in namespaces)
        found = [_merged([rows[i] for rows in per_namespace], limit) for i in range(len(queries))]
        return [replace(each, pending=pending) for each in found]

    def _search(
        self, connection: sqlite3.Connection, namespace: Namespace, queries: Sequence[SearchQuery], limit: int
    ) -> list[list[Row]]:
        head = connection.execute(_NAMESPACE, (encode_namespace(namespace),)).fetchone()
        if head is None:
            return [[] for _ in queries]
        ns, _, erasures = head
        epoch = (ns << 32) | erasures  # a namespace that was forgotten and began anew has another id
        relations = _Relations(connection, ns)
        names = self._similar_names(connection, namespace, ns, epoch, queries)
        return [
            _rows_of_pairs(connection, namespace, query, known, relations.similar(query), limit)
            for query, known in zip(queries, names, strict=True)
        ]

    def _similar_names(
        self, connection: sqlite3.Connection, namespace: Namespace, ns: int, epoch: int, queries: Sequence[SearchQuery]
    ) -> list[list[tuple[int, float]]]:
        """For each query the ids of names that may stand for the known one, with their cosine, best first."""
        answers: list[list[tuple[int, float]]] = []
        wanted: list[tuple[int, Vector, float]] = []
        for number, query in enumerate(queries):
            members = _members(connection, ns, query.keys) if query.keep_known else []
            known = {member: 1.0 for member, _, _ in members}
            if query.keep_known and query.loose is not None:
                known = {spelled: SPELLING for spelled, _ in _spellings(connection, ns, query.loose)} | known
            answers.append(sorted(known.items(), key=lambda item: (-item[1], item[0])))
            vector = query.vector if query.vector is not None else _stored_vector(connection, ns, query.keys)
            if not members and vector is not None:
                least = max(query.min_entity, 2 * query.min_similarity - 1)
                wanted.append((number, vector, least))
        if wanted:
            index = self._fresh_index(connection, namespace, ns, epoch)
            candidates = index.candidates(np.stack([vector for _, vector, _ in wanted]), [t for _, _, t in wanted])
            for (number, vector, least), ids in zip(wanted, candidates, strict=True):
                near = dict(_rescored(connection, ns, vector, least, ids)) | dict(answers[number])
                answers[number] = sorted(near.items(), key=lambda item: (-item[1], item[0]))
        return answers

    def _fresh_index(self, connection: sqlite3.Connection, namespace: Namespace, ns: int, epoch: int) -> NameIndex[int]:
        """This namespace's codes, with those added since they were last looked at."""
        with self._index_lock:
            cached = self._indexes.get(namespace)
            fresh = cached is None or cached.epoch != epoch
            index, last = (NameIndex[int](), 0) if cached is None or fresh else (cached.index, cached.seq)
            rows = connection.execute(_NEW_CODES, (ns, last)).fetchall()
            if rows or fresh:
                index.add([row[1] for row in rows], [row[2] for row in rows])
                self._indexes.put(namespace, index, rows[-1][0] if rows else last, epoch)
            return index

    def recall_index(self, namespace: Namespace, keys: Sequence[str]) -> RecallIndex | None:
        """See ``TripleStore.recall_index``."""
        with self._db.snapshot() as connection:
            return self._recall.get(connection, namespace, encode_namespace(namespace), keys)

    def candidates(self, namespace: Namespace, ids: Sequence[int | str], vector: Vector | None) -> list[Candidate]:
        """See ``TripleStore.candidates``."""
        with self._db.snapshot() as connection:
            return embedded_recall.candidates(connection, namespace, encode_namespace(namespace), _FACT, ids, vector)

    def closed(self, namespace: Namespace, ids: Sequence[int | str]) -> set[int | str]:
        """See ``TripleStore.closed``."""
        with self._db.snapshot() as connection:
            return embedded_recall.closed(connection, encode_namespace(namespace), ids)

    def facts(self, namespaces: Sequence[Namespace], where: FactFilter | None = None) -> Iterator[Fact]:
        """See ``TripleStore.facts``."""
        for namespace in namespaces:
            yield from self._facts(namespace, where or FactFilter())

    def _facts(self, namespace: Namespace, where: FactFilter) -> Iterator[Fact]:
        """Page by page, so that a long listing holds no snapshot and little memory."""
        seq, ordinal = where.after_seq, 1 << 30
        while True:
            with self._db.snapshot() as connection:
                statement, parameters = _listing(connection, namespace, where, seq, ordinal)
                page = [
                    _with_sources(connection, fact_of_columns(namespace, row))
                    for row in (connection.execute(statement, parameters) if statement else ())
                ]
            yield from page
            if len(page) < _PAGE:
                return
            seq, ordinal = page[-1].seq, page[-1].ordinal
            if where.subject_keys is not None or where.object_keys is not None:
                yield from self._rest(namespace, where, seq, ordinal)
                return

    def _rest(self, namespace: Namespace, where: FactFilter, seq: int, ordinal: int) -> Iterator[Fact]:
        """What follows the first page of a name's facts: they are looked for once, not for each page again."""
        with self._db.snapshot() as connection:
            statement, parameters = _listing(connection, namespace, where, seq, ordinal, _IDS)
            ids = [row[0] for row in connection.execute(statement, parameters)] if statement else []
        for start in range(0, len(ids), _PAGE):
            with self._db.snapshot() as connection:
                rows = connection.execute(_BY_ID, (json.dumps(ids[start : start + _PAGE]),))
                page = [_with_sources(connection, fact_of_columns(namespace, row)) for row in rows]
            yield from page

    def dump(self, namespace: Namespace) -> Iterator[Part]:
        """See ``TripleStore.dump``."""
        return embedded_move.dump(self._db.snapshot, namespace, encode_namespace(namespace))

    def pending(self, namespace: Namespace, *, limit: int = 10_000) -> list[Pending]:
        """See ``TripleStore.pending``."""
        with self._db.read() as connection:
            return embedded_write.pending(connection, encode_namespace(namespace), limit)

    def aliases(self, namespace: Namespace) -> list[tuple[str, ...]]:
        """See ``TripleStore.aliases``."""
        groups: dict[int, list[str]] = {}
        with self._db.read() as connection:
            for group, spelling in connection.execute(
                """SELECT n.class, n.spelling FROM namespace x JOIN name n ON n.ns = x.id
                WHERE x.name = ? AND n.class IS NOT NULL""",
                (encode_namespace(namespace),),
            ):
                groups.setdefault(group, []).append(spelling)
        return sorted(tuple(sorted(group)) for group in groups.values())

    def spellings(self, namespace: Namespace, loose: str) -> list[str]:
        """See ``TripleStore.spellings``."""
        with self._db.snapshot() as connection:
            head = connection.execute(_NAMESPACE, (encode_namespace(namespace),)).fetchone()
            return [] if head is None else [spelling for _, spelling in _spellings(connection, head[0], loose)]

    def quarantined(self, namespace: Namespace) -> list[Quarantined]:
        """See ``TripleStore.quarantined``."""
        with self._db.read() as connection:
            rows = connection.execute(
                """SELECT q.text, q.reason, q.kind, q.ref, q.principal, q.turn, q.at
                FROM namespace x JOIN quarantine q ON q.ns = x.id WHERE x.name = ? ORDER BY q.id""",
                (encode_namespace(namespace),),
            ).fetchall()
        return [Quarantined(row[0], row[1], Source(row[2], row[3], row[4], turn=row[5]), row[6]) for row in rows]

    def outbox(
        self, namespace: Namespace, *, op_ids: Sequence[str] | None = None, limit: int = 1000
    ) -> list[OutboxEntry]:
        """See ``TripleStore.outbox``."""
        with self._db.read() as connection:
            head = connection.execute(embedded_write.HEAD, (encode_namespace(namespace),)).fetchone()
            return [] if head is None else embedded_outbox.entries(connection, head[0], op_ids, limit)

    def record(self, name: str, *, within: float | None = None) -> str | None:
        """See ``TripleStore.record``."""
        with self._db.read() as connection:
            row = connection.execute("SELECT value FROM record WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def namespaces(self) -> list[Namespace]:
        """See ``TripleStore.namespaces``."""
        with self._db.read() as connection:
            rows = connection.execute(
                """SELECT name FROM namespace x WHERE EXISTS (SELECT 1 FROM name WHERE ns = x.id)
                OR EXISTS (SELECT 1 FROM operation WHERE ns = x.id) OR EXISTS (SELECT 1 FROM outbox WHERE ns = x.id)
                OR EXISTS (SELECT 1 FROM turn WHERE ns = x.id)"""
            ).fetchall()
        return sorted(decode_namespace(row[0]) for row in rows)

    def stats(self, namespace: Namespace) -> Stats:
        """See ``TripleStore.stats``."""
        with self._db.snapshot() as connection:
            head = connection.execute(_NAMESPACE, (encode_namespace(namespace),)).fetchone()
            if head is None:
                return Stats()
            counts = Stats(*connection.execute(_COUNTS, (head[0],)).fetchone())
            said: dict[str, Any] = embedded_hub.counts(connection, head[0])
            use = embedded_use.use_of(connection, head[0])
        return replace(counts, **said, seq=head[1], extra=dict(self._db.sizes), use=use)

    def uses(self) -> list[tuple[Namespace, Use]]:
        """See ``TripleStore.uses``."""
        with self._db.read() as connection:
            rows = connection.execute(embedded_use.USES).fetchall()
        return [(decode_namespace(row[0]), use_of(row[1:], "table namespace")) for row in rows]

    def check(self) -> list[str]:
        """See ``TripleStore.check``."""
        return self._db.problems() + self._problems_of_clocks()

    def rebuild_index(self) -> int:
        """Make anew what facts and turns are found by, from what is stored; returns how much was missing or wrong."""
        return self._db.transact(embedded_reindex.rebuild)

    def _problems_of_clocks(self) -> list[str]:
        with self._db.read() as connection:
            rows = connection.execute("SELECT name, seq, last_at, restarts FROM namespace ORDER BY name").fetchall()
        moment = now()
        return [
            problem for name, seq, last, packed in rows for problem in clock_problems(name, seq, last, packed, moment)
        ]

    def close(self) -> None:
        """See ``TripleStore.close``."""
        self._db.close()


_PAGE: Final = 2_000


def _with_sources(connection: sqlite3.Connection, fact: Fact) -> Fact:
    sources = tuple(
        Source(kind, ref, principal, text, (start, end) if start is not None else None, turn, at)
        for kind, ref, principal, text, start, end, turn, at in connection.execute(_SOURCES, (bytes.fromhex(fact.id),))
    )
    return replace(fact, sources=sources)


def _members(connection: sqlite3.Connection, ns: int, keys: Iterable[str]) -> list[tuple[int, How, str]]:
    """Ids of the names with these keys, then of their aliases, each once."""
    members: dict[int, tuple[int, How, str]] = {}
    classes = []
    for key in keys:
        row = connection.execute(_NAME, (ns, key)).fetchone()
        if row is not None:
            members[row[0]] = (row[0], "exact", row[2])
            classes.append(row[1])
    for group in classes:
        if group is not None:
            for member, spelling in connection.execute(_CLASS, (group,)):
                members.setdefault(member, (member, "alias", spelling))
    return list(members.values())


def _from_both_ends(namespace: Namespace, side: Side, rows: Sequence[Sequence[Any]], limit: int) -> Found:
    """The answers of ``READ_BOTH`` in one order."""
    found = []
    for row in rows:
        fact, inverse = fact_of_columns(namespace, row, 1), row[-1] == 1
        known = fact.triple.object if (side == "object") != inverse else fact.triple.subject
        found.append(Row(fact, "inverse" if inverse else "exact", via=known))
    if not rows[-1][-1]:  # all from one end: in order
        return Found(tuple(found[:limit]), len(found) > limit, (True,), (True,))
    merged = _merged([found], limit)
    return Found(merged.rows, merged.truncated, (True,), (True,))


def _lookup(
    connection: sqlite3.Connection,
    namespaces: Sequence[Namespace],
    query: LookupQuery,
    when: tuple[str | None, str | None],
    limit: int,
) -> Found:
    """Answers of all namespaces, direct ones and those of the inverse relation, in one order."""
    members: list[list[tuple[int, How, str]]] = []
    heads = [connection.execute(_NAMESPACE, (encode_namespace(namespace),)).fetchone() for namespace in namespaces]
    for head in heads:
        members.append(_members(connection, head[0], query.keys) if head else [])
    knows_relation = tuple(head is not None and _relation_id(connection, head[0], query.relation) for head in heads)
    directions = _directions(query)
    rows = [
        [
            row
            for relations, side, how in directions
            for row in _rows_of_members(connection, namespace, head, known, (side, relations, how), when, limit)
        ]
        for namespace, head, known in zip(namespaces, heads, members, strict=True)
    ]
    merged = _merged(rows, limit)
    return Found(
        merged.rows, merged.truncated, tuple(bool(known) for known in members), tuple(bool(x) for x in knows_relation)
    )


def _directions(query: LookupQuery) -> list[tuple[tuple[str, ...] | None, Side, How | None]]:
    """Relations (None: any) and side that are asked for, and those that say the same from the other end."""
    relations = None if query.relation is None else (query.relation, *query.narrower)
    directions: list[tuple[tuple[str, ...] | None, Side, How | None]] = [(relations, query.side, None)]
    if query.inverse is not None:
        other: Side = "object" if query.side == "subject" else "subject"
        directions.append(((query.inverse, *query.narrower_inverse), other, "inverse"))
    return directions


def _restarts(connection: sqlite3.Connection, ns: int) -> list[tuple[int, str]]:
    (packed,) = connection.execute("SELECT restarts FROM namespace WHERE id = ?", (ns,)).fetchone()
    return [(seq, at) for seq, at in json.loads(packed)]


def _relation_id(connection: sqlite3.Connection, ns: int, key: str | None) -> int | None:
    row = connection.execute(_RELATION, (ns, key)).fetchone() if key is not None else None
    return None if row is None else int(row[0])


def _rows_of_members(
    connection: sqlite3.Connection,
    namespace: Namespace,
    head: tuple[int, int, int] | None,
    members: Sequence[tuple[int, How, str]],
    direction: tuple[Side, tuple[str, ...] | None, How | None],
    when: tuple[str | None, str | None],
    limit: int,
) -> list[Row]:
    side, keys, forced = direction
    if head is None or not members:
        return []
    known = None if keys is None else [_relation_id(connection, head[0], key) for key in keys]
    relations = [None] if known is None else [relation for relation in known if relation is not None]
    begins = 0 if when[0] is None else since(_restarts(connection, head[0]), when[0])
    rows: list[tuple[int, Row]] = []
    for member, how, spelling in members:
        for relation in relations:
            if when == (None, None):
                statement = _OPEN[side] if relation is None else _OPEN_RELATION[side]
                found = connection.execute(statement, (member, relation, limit + 1))
            else:
                found = connection.execute(_TIMED[side], (member, relation, *when, limit + 1, begins))
            rows.extend(
                (_precedence_of(fact), Row(fact, forced or how, via=spelling))
                for fact in (fact_of_columns(namespace, row) for row in found)
            )
    rows.sort(key=lambda item: -item[0])
    unique = {row.fact.id: row for _, row in rows}
    return list(islice(unique.values(), limit + 1))


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
    ordered = tuple(item[4] for item in flat[:limit])
    return Found(ordered, len(flat) > limit)


class _Relations:
    """The relations of one namespace with their vectors: few, so always scanned exactly."""

    def __init__(self, connection: sqlite3.Connection, ns: int) -> None:
        rows = connection.execute(_RELATION_VECTORS, (ns,)).fetchall()
        self._connection, self._ns = connection, ns
        self._ids = [row[0] for row in rows]
        self._keys = [row[1] for row in rows]
        self._places = {row[1]: place for place, row in enumerate(rows)}
        flat = np.frombuffer(b"".join(row[2] for row in rows), np.float32)
        self._matrix = flat.reshape(len(rows), -1) if rows else flat.reshape(0, 0)

    def similar(self, query: SearchQuery) -> list[tuple[int, float]]:
        """Ids of relations that may stand for the query's, with their cosine; the very relation has 1.0."""
        place = self._places.get(query.relation)
        asked = [_relation_id(self._connection, self._ns, key) for key in (query.relation, *query.narrower)]
        scores = {known: 1.0 for known in asked if known is not None}
        if query.broader is not None and (known := _relation_id(self._connection, self._ns, query.broader)) is not None:
            scores.setdefault(known, BROADER)
        vector = query.relation_vector
        if vector is None and place is not None:
            vector = self._matrix[place]
        least = max(query.min_relation, 2 * query.min_similarity - 1)
        if vector is not None and len(self._ids):
            cosines = self._matrix @ vector
            for near in np.flatnonzero(cosines >= least - 1e-6):
                if self._keys[near] in query.barred:
                    continue
                scores.setdefault(self._ids[near], float(cosines[near]))
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:_MAX_RELATIONS]


def _spellings(connection: sqlite3.Connection, ns: int, loose: str) -> list[tuple[int, str]]:
    """Ids and spellings of the names with this loose key, or for which it is the key."""
    return connection.execute(_SPELLINGS, (ns, loose)).fetchall()


def _stored_vector(connection: sqlite3.Connection, ns: int, keys: Iterable[str]) -> Vector | None:
    for key in keys:
        row = connection.execute(_NAME_VECTOR, (ns, key)).fetchone()
        if row is not None:
            return np.frombuffer(row[0], np.float32)
    return None


def _rescored(
    connection: sqlite3.Connection, ns: int, vector: Vector, least: float, ids: Sequence[int] | None
) -> list[tuple[int, float]]:
    """Exact cosines of the candidates (None: of every name), the best first."""
    if ids is None:
        rows = connection.execute(_ALL_VECTORS, (ns,)).fetchall()
    else:
        rows = []
        for start in range(0, len(ids), 500):
            chunk = ids[start : start + 500]
            marks = ",".join("?" * len(chunk))
            rows += connection.execute(f"SELECT id, vector FROM name_vector WHERE id IN ({marks})", chunk).fetchall()
    if not rows:
        return []
    matrix = np.frombuffer(b"".join(row[1] for row in rows), np.float32).reshape(len(rows), -1)
    cosines = matrix @ vector
    near = np.flatnonzero(cosines >= least - 1e-6)
    scored = sorted(((rows[i][0], float(cosines[i])) for i in near), key=lambda item: (-item[1], item[0]))
    return scored[:_MAX_CANDIDATES]


def _rows_of_pairs(
    connection: sqlite3.Connection,
    namespace: Namespace,
    query: SearchQuery,
    names: Sequence[tuple[int, float]],
    relations: Sequence[tuple[int, float]],
    limit: int,
) -> list[Row]:
    """Facts of the pairs (name, relation) whose mean passes, best pairs first, until no later pair can matter."""
    pairs = [
        (round((entity + relation) / 2, 5), name, entity, relation_id, relation)
        for name, entity in names
        for relation_id, relation in relations
    ]
    pairs = [pair for pair in pairs if pair[0] >= round(query.min_similarity, 5)]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[3]))
    rows: list[Row] = []
    least_taken = 2.0
    for similarity, name, entity, relation_id, relation in pairs:
        if len(rows) > limit and similarity < least_taken:
            break
        for found in connection.execute(_OPEN_RELATION[query.side], (name, relation_id, limit + 1)):
            fact = fact_of_columns(namespace, found)
            via = fact.triple.subject if query.side == "subject" else fact.triple.object
            rows.append(Row(fact, "similar", entity, relation, via))
        least_taken = min(least_taken, similarity)
    return list({row.fact.id: row for row in reversed(rows)}.values())[::-1]


# Facts of some names: by the index of open ones and by that of past ones, since there is none of both.
_OF_NAMES: Final = {
    column: "f.id IN ("
    + " UNION ALL ".join(
        f"""SELECT id FROM fact INDEXED BY fact_{state}_{column} WHERE {column} IN (SELECT value FROM json_each(?))
        AND open = {int(state == "open")}"""
        for state in ("open", "past")
    )
    + ")"
    for column in ("s", "o")
}


_PAGED: Final = f"""SELECT {_FACT} FROM fact f {{}} JOIN relation r ON r.id = f.r
    JOIN name s ON s.id = f.s JOIN name o ON o.id = f.o WHERE {{}} ORDER BY f.seq, f.ordinal LIMIT {_PAGE}"""
_IDS: Final = "SELECT f.id FROM fact f {} WHERE {} ORDER BY f.seq, f.ordinal"
_BY_ID: Final = f"""SELECT {_FACT} FROM fact f JOIN relation r ON r.id = f.r JOIN name s ON s.id = f.s
    JOIN name o ON o.id = f.o WHERE f.id IN (SELECT value FROM json_each(?)) ORDER BY f.seq, f.ordinal"""


def _listing(
    connection: sqlite3.Connection, namespace: Namespace, where: FactFilter, seq: int, ordinal: int, what: str = _PAGED
) -> tuple[str, list[object]]:
    """Statement and parameters of one page of facts, or of all their ids; none if a condition can match nothing."""
    head = connection.execute(_NAMESPACE, (encode_namespace(namespace),)).fetchone()
    if head is None:
        return "", []
    conditions = ["f.ns = ?", "(f.seq, f.ordinal) > (?, ?)"]
    parameters: list[object] = [head[0], seq, ordinal]
    for column, keys in (("s", where.subject_keys), ("o", where.object_keys)):
        if keys is not None:
            ids = json.dumps([member for member, _, _ in _members(connection, head[0], keys)])
            conditions.append(_OF_NAMES[column])
            parameters += [ids, ids]
    if where.relation is not None:
        keys = (where.relation, *where.narrower)
        conditions.append(f"f.r IN ({','.join('?' * len(keys))})")
        parameters += [_relation_id(connection, head[0], key) for key in keys]
    if where.ids is not None:
        conditions.append(f"f.fid IN ({','.join('?' * len(where.ids))})")
        parameters += [_blob(fact_id) for fact_id in where.ids]
    if where.source is not None:
        conditions.append(
            """EXISTS (SELECT 1 FROM evidence e JOIN source q ON q.id = e.source
            WHERE e.fact = f.id AND q.ns = f.ns AND q.kind = ? AND q.ref = ?)"""
        )
        parameters += where.source
    if where.open_only:
        conditions.append("f.open = 1")
    named = where.subject_keys is not None or where.object_keys is not None
    index = "INDEXED BY fact_fid" if where.ids is not None else "NOT INDEXED" if named else "INDEXED BY fact_ns"
    return what.format(index, " AND ".join(conditions)), parameters


def _blob(fact_id: str) -> bytes:
    """The stored form of a fact's id; what is not an id matches nothing."""
    try:
        return bytes.fromhex(fact_id)
    except ValueError:
        return b""
