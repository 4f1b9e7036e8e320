"""Migrations of the embedded store's rows to the names and relations that are one: a step of its schema.

What counts as one name (``triples.name_key``) and which relation a label is (``relations.Catalogue``) may change with
the package. This brings a file to the present rules, inside the transaction of its caller: names whose keys meet become
one, relations that are aliases by now get the label they are found by. Nothing is closed for another value: what meets
in a slot that holds one reads as contested. Two open facts that became one triple stay one open fact, the earlier, with
the evidence of both; the other goes to the history, replaced by it, so that its id and its receipt stay valid.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from langchain_memllm.belief import best_evidence
from langchain_memllm.relations import Catalogue
from langchain_memllm.stores.interface import now
from langchain_memllm.triples import is_literal_key, loose_key, name_key, rank_of, stable_hash

__all__ = ["NOTE_IDS", "note_ids", "rekey"]

_PAGE: Final = 10_000
_TABLES: Final = """
    CREATE TEMP TABLE moved_name(old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
    CREATE TEMP TABLE moved_relation(old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
    CREATE TEMP TABLE moved(id INTEGER PRIMARY KEY, s INTEGER, r INTEGER, o INTEGER, open INTEGER)"""
_NAMES: Final = "SELECT id, key FROM name WHERE id > ? ORDER BY id LIMIT ?"
# Facts whose subject, object or relation becomes another, each found by an index, with what they become.
_AFFECTED: Final = (
    """INSERT INTO moved SELECT f.id, coalesce(s.new, f.s), coalesce(r.new, f.r), coalesce(o.new, f.o),
    f.open FROM ("""
    + " UNION ".join(
        [
            f"""SELECT f.id FROM moved_name m CROSS JOIN fact f INDEXED BY fact_{state}_{column}
        ON f.{column} = m.old AND f.open = {int(state == "open")}"""
            for column in ("s", "o")
            for state in ("open", "past")
        ]
        + ["SELECT f.id FROM moved_relation m CROSS JOIN fact f INDEXED BY fact_r ON f.r = m.old"]
    )
    + """) a CROSS JOIN fact f ON f.id = a.id
    LEFT JOIN moved_name s ON s.old = f.s LEFT JOIN moved_name o ON o.old = f.o
    LEFT JOIN moved_relation r ON r.old = f.r"""
)
# Open facts that become one triple, among those that move and those that stand there already; the earliest first.
_TWINS: Final = """WITH twin(id, s, r, o) AS (
        SELECT id, s, r, o FROM moved WHERE open = 1
        UNION SELECT f.id, m.s, m.r, m.o FROM moved m CROSS JOIN fact f INDEXED BY fact_triple
            ON f.s = m.s AND f.r = m.r AND f.o = m.o AND f.open = 1
            WHERE m.open = 1 AND f.id NOT IN (SELECT id FROM moved))
    SELECT t.s, t.r, t.o, f.id, f.fid, f.ns FROM twin t CROSS JOIN fact f ON f.id = t.id
    WHERE (t.s, t.r, t.o) IN (SELECT s, r, o FROM twin GROUP BY s, r, o HAVING count(*) > 1)
    ORDER BY t.s, t.r, t.o, f.seq, f.ordinal, f.fid"""
_REPLACE: Final = """UPDATE fact SET open = 0, closed_at = ?, closed_by = ?, closed_why = 'replaced',
    closed_seq = (SELECT seq FROM namespace WHERE id = fact.ns) WHERE id = ?"""
_LEND: Final = """INSERT OR IGNORE INTO evidence(fact, seq, ordinal, source, principal, text, span_start, span_end,
        turn, said_at)
    SELECT ?, seq, ordinal, source, principal, text, span_start, span_end, turn, said_at FROM evidence WHERE fact = ?"""
_SUPPORT: Final = """SELECT q.kind, e.principal, e.seq, e.ordinal, e.said_at FROM evidence e
    JOIN source q ON q.id = e.source WHERE e.fact = ?"""
_PROMOTE: Final = """UPDATE fact SET kind = ?, principal = ?, precedence = (precedence & ((1 << 56) - 1)) | (? << 56),
    said_at = ?
    WHERE id = ?"""
_MOVE: Final = """UPDATE fact SET s = ?, r = ?, o = ? WHERE id = ?"""


def rekey(connection: sqlite3.Connection) -> None:
    """Bring names, relations and the facts that use them to the present rules."""
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    try:
        groups = _changed_names(connection)
        _merge_names(connection, groups)
        _merge_relations(connection, _catalogue(connection))
        connection.execute(_AFFECTED)
        _join_twins(connection)
        _executed(connection, _MOVE, connection.execute("SELECT s, r, o, id FROM moved"))
        _delete_moved(connection)
        note_ids(connection)
    finally:
        for table in ("moved_name", "moved_relation", "moved"):
            connection.execute(f"DROP TABLE temp.{table}")


def _changed_names(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Names with another key than before, as (id, key); every name that has a loose key gets it."""
    changed: list[tuple[int, str]] = []
    last = 0
    while rows := connection.execute(_NAMES, (last, _PAGE)).fetchall():
        last = rows[-1][0]
        names = [(name_id, key, name_key(key)) for name_id, key in rows if not is_literal_key(key)]
        changed += [(name_id, new) for name_id, old, new in names if new != old]
        loose = [(loose_key(new), name_id) for name_id, _, new in names]
        connection.executemany(
            "UPDATE name SET loose = ? WHERE id = ?", [each for each in loose if each[0] is not None]
        )
    return changed


def _merge_names(connection: sqlite3.Connection, changed: Sequence[tuple[int, str]]) -> None:
    """Names of one new key become the first of them, spelled as the best source does, the latest of equals."""
    execute = connection.execute
    groups: dict[tuple[int, str], list[int]] = {}
    for name_id, key in changed:
        ns = execute("SELECT ns FROM name WHERE id = ?", (name_id,)).fetchone()[0]
        groups.setdefault((ns, key), []).append(name_id)
    # Out of the way first: the new key of one may be the old key of another that changes too.
    connection.executemany("UPDATE name SET key = ? WHERE id = ?", ((f"\x1e{i}", i) for i, _ in changed))
    for (ns, key), ids in groups.items():
        there = execute("SELECT id FROM name WHERE ns = ? AND key = ?", (ns, key)).fetchone()
        members = sorted([*ids, there[0]] if there is not None else ids)
        first, gone = members[0], members[1:]
        marks = ",".join("?" * len(members))
        spelling, rank = execute(
            f"SELECT spelling, rank FROM name WHERE id IN ({marks}) ORDER BY rank DESC, id DESC", members
        ).fetchone()
        _join_classes(connection, members)
        connection.executemany("INSERT INTO moved_name VALUES (?, ?)", [(each, first) for each in gone])
        connection.executemany("UPDATE name SET key = ? WHERE id = ?", [(f"\x1e{each}", each) for each in gone])
        execute("UPDATE name SET key = ?, spelling = ?, rank = ? WHERE id = ?", (key, spelling, rank, first))
        execute("UPDATE name SET loose = ? WHERE id = ?", (loose_key(key), first))
        execute("UPDATE namespace SET epoch = epoch + 1 WHERE id = ?", (ns,))


def _join_classes(connection: sqlite3.Connection, members: Sequence[int]) -> None:
    """The aliases of names that become one are aliases of that one; a class of which one name is left is none."""
    execute = connection.execute
    marks = ",".join("?" * len(members))
    classes = [row[0] for row in execute(f"SELECT DISTINCT class FROM name WHERE id IN ({marks})", members) if row[0]]
    if not classes:
        return
    alike = ",".join("?" * len(classes))
    every = [row[0] for row in execute(f"SELECT id FROM name WHERE class IN ({alike})", classes)]
    left = {members[0], *every} - set(members[1:])
    root = min(left) if len(left) > 1 else None
    connection.executemany("UPDATE name SET class = NULL WHERE id = ?", [(each,) for each in every])
    connection.executemany("UPDATE name SET class = ? WHERE id = ?", [(root, each) for each in sorted(left)])


def _catalogue(connection: sqlite3.Connection) -> Catalogue:
    row = connection.execute("SELECT value FROM record WHERE name = 'relations'").fetchone()
    return Catalogue.from_dicts(json.loads(row[0])) if row is not None else Catalogue.shipped()


def _merge_relations(connection: sqlite3.Connection, catalogue: Catalogue) -> None:
    """Relations that are aliases by now become the relation they are names of, if it has objects of the same range."""
    execute = connection.execute
    for relation_id, ns, key, label in execute("SELECT id, ns, key, label FROM relation ORDER BY id").fetchall():
        target = catalogue.find(label)
        new_key, new_label = (name_key(key), label) if target is None else (target.key, target.label)
        if new_key == key or (target is not None and _is_of_another_range(connection, relation_id, target.range)):
            continue
        there = execute("SELECT id FROM relation WHERE ns = ? AND key = ?", (ns, new_key)).fetchone()
        if there is not None:
            execute("INSERT INTO moved_relation VALUES (?, ?)", (relation_id, there[0]))
        else:
            execute(
                "UPDATE relation SET key = ?, label = ?, vector = 0, embedding = NULL WHERE id = ?",
                (new_key, new_label, relation_id),
            )


def _is_of_another_range(connection: sqlite3.Connection, relation: int, range_: str) -> bool:
    row = connection.execute(
        "SELECT o.key FROM fact f INDEXED BY fact_r CROSS JOIN name o ON o.id = f.o WHERE f.r = ? LIMIT 1", (relation,)
    ).fetchone()
    return row is not None and is_literal_key(row[0]) != (range_ == "literal")


def _join_twins(connection: sqlite3.Connection) -> None:
    """Of open facts that become one triple the earliest stays, with the evidence of all."""
    moment = now()
    first: tuple[Any, ...] = ()
    for s, r, o, fact, fid, _ in connection.execute(_TWINS).fetchall():
        if first[:3] != (s, r, o):
            first = (s, r, o, fact, fid)
            continue
        connection.execute(_REPLACE, (moment, first[4], fact))
        connection.execute(_LEND, (first[3], fact))
        kind, principal, said_at = best_evidence(connection.execute(_SUPPORT, (first[3],)).fetchall())
        connection.execute(_PROMOTE, (kind, principal, rank_of(kind), said_at, first[3]))


def _executed(connection: sqlite3.Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Run a statement for every row; rows are read in pages, since the statement changes what others read."""
    for page in _pages(iter(rows)):
        connection.executemany(statement, page)


def _pages(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while page := list(islice(rows, _PAGE)):
        yield page


def _delete_moved(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM relation WHERE id IN (SELECT old FROM moved_relation)")
    if connection.execute("SELECT 1 FROM moved_name").fetchone() is not None:
        for table in ("name_vector", "name_code", "name"):
            connection.execute(f"DELETE FROM {table} WHERE id IN (SELECT old FROM moved_name)")


def note_ids(connection: sqlite3.Connection) -> None:
    """Note the namespaces with facts whose ids do not follow from their keys any more, or never did."""
    elsewhere = {
        ns
        for ns, label, fid, *keys, seq, ordinal in connection.execute(_IDS)
        if stable_hash("fact", *json.loads(label), *keys, seq, ordinal) != fid.hex()
    }
    connection.executemany(NOTE_IDS, [(ns,) for ns in elsewhere])


_IDS: Final = """SELECT x.id, x.name, f.fid, s.key, r.key, o.key, f.seq, f.ordinal FROM fact f
    JOIN namespace x ON x.id = f.ns JOIN name s ON s.id = f.s JOIN relation r ON r.id = f.r JOIN name o ON o.id = f.o"""
# A namespace holds facts whose ids were made elsewhere (another namespace, other keys): they cannot be checked.
NOTE_IDS: Final = "INSERT OR IGNORE INTO record(name, value) VALUES ('ids of ' || ?, '1')"
