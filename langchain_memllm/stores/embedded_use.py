"""How much the namespaces of the embedded store hold: the SQL of ``belief.Use``.

Every function runs inside a transaction that its caller holds under the write lock.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from langchain_memllm.belief import Use
from langchain_memllm.quotas import UNTRUSTED
from langchain_memllm.stores.rows import use_of as sound_use

__all__ = ["MISCOUNTED", "USES", "USE_COLUMNS", "WEIGHT", "add_use", "keep_use", "use_of"]

USE_COLUMNS: Final = "statements, characters, untrusted, untrusted_characters, hour, in_hour, in_day"
_USE: Final = f"SELECT {USE_COLUMNS} FROM namespace WHERE id = ?"
USES: Final = f"SELECT name, {USE_COLUMNS} FROM namespace ORDER BY name"
_KEEP: Final = f"UPDATE namespace SET ({USE_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?) WHERE id = ?"
_UNTRUSTED: Final = "kind IN ({})".format(", ".join(f"'{kind}'" for kind in sorted(UNTRUSTED)))
# What evidence e of sources q weighs, as quotas.without takes it.
WEIGHT: Final = f"""count(*), coalesce(sum(e.size), 0), coalesce(sum(q.{_UNTRUSTED}), 0),
    coalesce(sum(e.size * (q.{_UNTRUSTED})), 0)"""
# What namespaces hold, counted anew.
_COUNTED: Final = f"""SELECT ns, count(*) a, sum(size) b, sum({_UNTRUSTED}) c, sum(size * ({_UNTRUSTED})) d
    FROM (SELECT q.ns ns, e.size size, q.kind kind FROM evidence e CROSS JOIN source q ON q.id = e.source
        UNION ALL SELECT ns, length(text), kind FROM quarantine) GROUP BY ns"""
MISCOUNTED: Final = f"""SELECT count(*) FROM namespace n LEFT JOIN ({_COUNTED}) c ON c.ns = n.id
    WHERE (n.statements, n.characters, n.untrusted, n.untrusted_characters) IS NOT
        (coalesce(c.a, 0), coalesce(c.b, 0), coalesce(c.c, 0), coalesce(c.d, 0))"""
_SIZE: Final = """UPDATE evidence SET size = coalesce(length(text), 0) + coalesce((SELECT length(s.spelling)
        + length(r.label) + length(o.spelling) FROM fact f CROSS JOIN name s ON s.id = f.s
        CROSS JOIN relation r ON r.id = f.r CROSS JOIN name o ON o.id = f.o WHERE f.id = evidence.fact), 0)"""
_COUNT: Final = f"""UPDATE namespace
    SET (statements, characters, untrusted, untrusted_characters) = (c.a, c.b, c.c, c.d)
    FROM ({_COUNTED}) c WHERE c.ns = namespace.id"""


def use_of(connection: sqlite3.Connection, ns: int) -> Use:
    """How much a namespace holds."""
    return sound_use(connection.execute(_USE, (ns,)).fetchone(), "table namespace")


def keep_use(connection: sqlite3.Connection, ns: int, use: Use) -> None:
    """Note how much a namespace holds now."""
    connection.execute(_KEEP, (*use, ns))


def add_use(connection: sqlite3.Connection) -> None:
    """A step of the schema: what ``quotas.Limits`` are about, counted once; every write keeps it from then on."""
    for table, columns in (("namespace", USE_COLUMNS.split(", ")), ("evidence", ["size"])):
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for column in columns:
            if column not in there:
                kind = "TEXT NOT NULL DEFAULT ''" if column == "hour" else "INTEGER NOT NULL DEFAULT 0"
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    connection.execute(_SIZE)
    connection.execute(_COUNT)
