"""The full check of a file: its schema is ours, its rows are of our types, and what follows from a row is as it should.

Knows the tables as ``stores.sqlite_schema`` makes them. Keys follow from spellings, ids from keys, search codes from
vectors: where they do not fit, something else wrote the row, or the disk changed a bit of it.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from langchain_memllm.belief import precedence
from langchain_memllm.nameindex import encode
from langchain_memllm.stores.embedded_recall import misworded
from langchain_memllm.stores.embedded_use import MISCOUNTED
from langchain_memllm.stores.episodes import codes_of, tokens_of
from langchain_memllm.stores.outbox import unpack_entry
from langchain_memllm.stores.rows import (
    CLOSED,
    REBUILD,
    RESTORE,
    date_is_sound,
    moment_is_sound,
    namespace_of,
    receipt_of,
)
from langchain_memllm.stores.sqlite_schema import migrate
from langchain_memllm.triples import (
    KINDS,
    MAX_NAME,
    Source,
    is_literal_key,
    literal_key,
    loose_key,
    name_key,
    stable_hash,
)

__all__ = [
    "foreign_rows",
    "miscoded",
    "missing_indexes",
    "planted",
    "problems",
    "statement_of",
    "told",
]


_INT, _TEXT, _BLOB = "integer", "text", "blob"
_NULL: Final = "null"
_COUNTS: Final = ("statements", "characters", "untrusted", "untrusted_characters", "in_hour", "in_day")
_SHAPES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "record": {"name": (_TEXT,), "value": (_TEXT,)},
    "stamp": {"id": (_INT,), "mark": (_BLOB,)},
    "namespace": {
        **dict.fromkeys(("id", "seq", "epoch", *_COUNTS), (_INT,)),
        **dict.fromkeys(("name", "last_at", "restarts", "hour"), (_TEXT,)),
    },
    "name": {
        **dict.fromkeys(("id", "ns", "rank", "vector"), (_INT,)),
        **dict.fromkeys(("key", "spelling"), (_TEXT,)),
        "class": (_INT, _NULL),
        "loose": (_TEXT, _NULL),
    },
    "name_vector": {"id": (_INT,), "vector": (_BLOB,)},
    "name_code": {**dict.fromkeys(("n", "ns", "id"), (_INT,)), "code": (_BLOB,)},
    "relation": {
        **dict.fromkeys(("id", "ns", "vector"), (_INT,)),
        **dict.fromkeys(("key", "label"), (_TEXT,)),
        "embedding": (_BLOB, _NULL),
    },
    "fact": {
        **dict.fromkeys(("id", "ns", "s", "r", "o", "seq", "ordinal", "precedence", "open"), (_INT,)),
        "fid": (_BLOB,),
        **dict.fromkeys(("kind", "recorded_at"), (_TEXT,)),
        **dict.fromkeys(
            ("principal", "valid_from", "valid_to", "closed_at", "closed_why", "ended", "said_at"), (_TEXT, _NULL)
        ),
        "confidence": ("real", _INT, _NULL),
        **dict.fromkeys(("closed_seq", "closed_source"), (_INT, _NULL)),
        "closed_by": (_BLOB, _NULL),
    },
    "source": {"id": (_INT,), "ns": (_INT,), "kind": (_TEXT,), "ref": (_TEXT,)},
    "evidence": {
        **dict.fromkeys(("fact", "seq", "ordinal", "source", "size", "ns"), (_INT,)),
        **dict.fromkeys(("principal", "text", "said_at"), (_TEXT, _NULL)),
        **dict.fromkeys(("span_start", "span_end", "turn"), (_INT, _NULL)),
        "words": (_BLOB,),
        "said": (_BLOB, _NULL),
    },
    "operation": {
        **dict.fromkeys(("ns", "seq"), (_INT,)),
        **dict.fromkeys(("op_id", "payload_hash", "at", "receipt"), (_TEXT,)),
    },
    "quarantine": {
        **dict.fromkeys(("id", "ns"), (_INT,)),
        **dict.fromkeys(("at", "text", "reason", "kind", "ref"), (_TEXT,)),
        "principal": (_TEXT, _NULL),
        "turn": (_INT, _NULL),
    },
    "outbox": {
        **dict.fromkeys(("id", "ns", "version"), (_INT,)),
        **dict.fromkeys(("op_id", "kind", "ref", "entry"), (_TEXT,)),
    },
    "session": {**dict.fromkeys(("id", "ns"), (_INT,)), "thread": (_TEXT,)},
    "episode": {**dict.fromkeys(("id", "ns", "session", "number"), (_INT,)), "began": (_TEXT,)},
    "turn": {
        **dict.fromkeys(("id", "ns", "session", "episode"), (_INT,)),
        **dict.fromkeys(("uid", "at", "role", "kind", "ref", "scope", "text"), (_TEXT,)),
        "speaker": (_TEXT, _NULL),
        "code": (_BLOB, _NULL),
    },
    "forgotten_turn": {"ns": (_INT,), "uid": (_TEXT,)},
    "role_scope": {"ns": (_INT,), "role": (_TEXT,), "scope": (_TEXT,)},
    "item": {
        "id": (_INT,),
        **dict.fromkeys(("ns", "key", "value", "created_at", "updated_at"), (_TEXT,)),
        "ttl": ("real", _NULL),
        "expires_at": (_TEXT, _NULL),
    },
    "item_vector": {"item": (_INT,), "n": (_INT,), "vector": (_BLOB,)},
}
_KINDS: Final = ", ".join(f"'{kind}'" for kind in KINDS)
_WHY: Final = ", ".join(f"'{why}'" for why in CLOSED)
_NS: Final = "ns IN (SELECT id FROM namespace)"
# What else holds for every row of a table.
_RULES: Final[dict[str, str]] = {
    "stamp": "id = 1 AND length(mark) = 40",
    "namespace": "seq >= 0 AND seq < 1 << 43 AND json_valid(restarts) AND json_type(restarts) = 'array'",
    "name": f"""rank BETWEEN 0 AND 6 AND vector BETWEEN 0 AND 3 AND length(spelling) <= {4 * MAX_NAME} AND {_NS}
        AND (vector = 1) = EXISTS (SELECT 1 FROM name_vector v WHERE v.id = name.id)
        AND (vector = 1) = EXISTS (SELECT 1 FROM name_code c INDEXED BY name_code_id WHERE c.id = name.id)""",
    "name_vector": """length(vector) > 0 AND length(vector) % 4 = 0
        AND length(vector) = (SELECT max(length(vector)) FROM name_vector)""",
    "name_code": "length(code) = 64",
    "relation": f"""vector BETWEEN 0 AND 2 AND {_NS} AND (vector = 1) = (embedding IS NOT NULL)
        AND (embedding IS NULL OR (length(embedding) % 4 = 0 AND length(embedding) =
            coalesce((SELECT max(length(vector)) FROM name_vector), length(embedding))))""",
    "fact": f"""length(fid) = 16 AND open IN (0, 1) AND kind IN ({_KINDS}) AND seq >= 0 AND seq < 1 << 43
        AND ordinal BETWEEN 0 AND 4095 AND (closed_why IS NULL OR closed_why IN ({_WHY}))
        AND (open = 1) = (closed_why IS NULL) AND {_NS}
        AND EXISTS (SELECT 1 FROM name n WHERE n.id = s AND n.ns = fact.ns)
        AND EXISTS (SELECT 1 FROM name n WHERE n.id = o AND n.ns = fact.ns)
        AND EXISTS (SELECT 1 FROM relation n WHERE n.id = r AND n.ns = fact.ns)
        AND (closed_by IS NULL OR length(closed_by) = 16)
        AND EXISTS (SELECT 1 FROM evidence e WHERE e.fact = fact.id)""",
    "source": f"kind IN ({_KINDS}) AND {_NS}",
    "evidence": """EXISTS (SELECT 1 FROM source q WHERE q.id = evidence.source)
        AND EXISTS (SELECT 1 FROM fact f WHERE f.id = evidence.fact AND f.ns = evidence.ns)""",
    "operation": "length(payload_hash) = 32 AND payload_hash NOT GLOB '*[^0-9a-f]*'",
    "quarantine": f"kind IN ({_KINDS}) AND {_NS}",
    "session": f"{_NS} AND EXISTS (SELECT 1 FROM turn t INDEXED BY turn_session WHERE t.session = session.id)",
    "episode": f"""number > 0 AND {_NS} AND EXISTS (SELECT 1 FROM turn t INDEXED BY turn_episode
        WHERE t.episode = episode.id AND t.ns = episode.ns)""",
    "turn": f"""length(uid) = 32 AND kind IN ({_KINDS}) AND {_NS}
        AND EXISTS (SELECT 1 FROM episode e WHERE e.id = turn.episode AND e.session = turn.session)
        AND EXISTS (SELECT 1 FROM session s WHERE s.id = turn.session AND s.ns = turn.ns)""",
    "forgotten_turn": f"length(uid) = 32 AND {_NS}",
    "role_scope": _NS,
    "item": """ns LIKE '%/' AND json_valid(value) AND json_type(value) = 'object'
        AND (ttl IS NULL) = (expires_at IS NULL)""",
    "item_vector": """length(vector) > 0 AND length(vector) % 4 = 0 AND n >= 0
        AND EXISTS (SELECT 1 FROM item i WHERE i.id = item_vector.item)""",
}
_DATES: Final = ("valid_from", "valid_to", "ended")
_TIMES: Final = {
    "namespace": ("last_at",),
    "fact": ("recorded_at", "closed_at", "said_at"),
    "evidence": ("said_at",),
    "operation": ("at",),
    "quarantine": ("at",),
    "episode": ("began",),
    "turn": ("at",),
    "item": ("created_at", "updated_at", "expires_at"),
}
_FOREIGN: Final = {
    table: f"""SELECT count(*) FROM {table} WHERE NOT coalesce ({
        " AND ".join(
            [
                *(f"typeof({column}) IN ({', '.join(map(repr, kinds))})" for column, kinds in columns.items()),
                _RULES.get(table, "1"),
            ]
        )
    }, 0)"""
    for table, columns in _SHAPES.items()
}


def problems(connection: sqlite3.Connection) -> list[str]:
    """Everything that is wrong; empty when sound."""
    found = [*_schema(connection)]
    if missing := [problem for problem in found if "is missing" in problem]:
        return missing
    found += _index(connection)
    rows = foreign_rows(connection)
    return found + rows if rows else [*found, *_what_follows(connection)]


def told(problem: str) -> str:
    """What SQLite's own check found, with what to do about it where that is an index alone."""
    return f"{problem}; {REBUILD}" if _OF_INDEX.search(problem) else problem


_OF_INDEX: Final = re.compile(r"missing from index |entries in index |in unique index ")


def planted(connection: sqlite3.Connection) -> list[str]:
    """Triggers and views: this package makes none, and a trigger changes what is written."""
    query = "SELECT type || ' ' || name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name"
    return [ascii(row[0])[1:-1] for row in connection.execute(query)]


def _schema(connection: sqlite3.Connection) -> Iterator[str]:
    """Where the file's schema is not the one that the migrations make."""
    for name in planted(connection):
        yield f"the file has a {name} that is not of memllm: it may change what is written; drop it, then {RESTORE}"
    ours, theirs = _expected(), _described(connection)
    for name in ours.keys() - theirs.keys():
        yield f"{name} is missing; {REBUILD if _follows(name) else RESTORE}"
    for name in ours.keys() & theirs.keys():
        if ours[name] != theirs[name]:
            yield f"{name} is not as memllm makes it; {REBUILD if theirs[name] is None else RESTORE}"
    for name in theirs.keys() - ours.keys():
        yield f"{ascii(name)[1:-1]} is not of memllm; drop it if it is not yours"


def _index(connection: sqlite3.Connection) -> Iterator[str]:
    """Whether the index of what was said is sound in itself; SQLite's own check of the file does not look into it."""
    try:
        connection.execute("INSERT INTO turn_text(turn_text) VALUES ('integrity-check')")
    except sqlite3.DatabaseError:
        yield f"the index turn_text is damaged; {REBUILD}"


def _follows(name: str) -> bool:
    """Whether a table or index holds only what follows from others."""
    return name.startswith(("index ", "table turn_text"))


def missing_indexes(connection: sqlite3.Connection) -> list[str]:
    """Statements that make the indexes which a file should have and has not."""
    ours, theirs = _expected(), _described(connection)
    return [ours[name] for name in sorted(ours.keys() - theirs.keys()) if name.startswith("index ")]


def statement_of(name: str) -> str:
    """The statement that makes a table."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, ":memory:")
        return str(connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])
    finally:
        connection.close()


@functools.cache
def _expected() -> dict[str, Any]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, ":memory:")
        return _described(connection)
    finally:
        connection.close()


def _described(connection: sqlite3.Connection) -> dict[str, Any]:
    """Tables with their columns, indexes with their text; None for an index of full text that SQLite cannot open."""
    described: dict[str, Any] = {}
    objects = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'index')"
    ).fetchall()
    for kind, name, sql in objects:
        if str(name).startswith("sqlite_"):
            continue
        if kind == "table":
            try:
                columns = connection.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (name,))
                described[f"table {name}"] = frozenset(columns.fetchall())
            except sqlite3.DatabaseError:
                described[f"table {name}"] = None
        else:
            described[f"index {name}"] = " ".join(str(sql).split())
    return described


def foreign_rows(connection: sqlite3.Connection) -> list[str]:
    """Tables with rows that this package does not write: wrong types, lengths, numbers, texts that cannot be read."""
    found = []
    for table, query in _FOREIGN.items():
        try:
            count = connection.execute(query).fetchone()[0] or sum(1 for _ in _unreadable(connection, table))
        except sqlite3.DatabaseError:
            found.append(f"table {table} cannot be read, or holds a text that is not UTF-8; {RESTORE}")
            continue
        if count:
            found.append(f"{count} rows of table {table} are not what memllm writes; {RESTORE}")
    return found


def _unreadable(connection: sqlite3.Connection, table: str) -> Iterator[None]:
    """Rows whose types are right, with a text in them that is not; raises where one is not UTF-8."""
    for column in (name for name, kinds in _SHAPES[table].items() if _TEXT in kinds):
        for _ in connection.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"):
            pass
    for column in _DATES if table == "fact" else ():
        for (date,) in connection.execute(f"SELECT DISTINCT {column} FROM fact WHERE {column} IS NOT NULL"):
            if not date_is_sound(date):
                yield None
    for column in _TIMES.get(table, ()):
        for (moment,) in connection.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"):
            if not (moment_is_sound(moment) or (table == "namespace" and not moment)):
                yield None
    read: dict[str, tuple[str, Callable[..., object]]] = {
        "operation": ("SELECT receipt FROM operation", lambda packed: receipt_of(("check",), "", packed, table)),
        "outbox": ("SELECT op_id, entry FROM outbox", unpack_entry),
        "namespace": ("SELECT name FROM namespace", lambda name: namespace_of(name, table)),
        "quarantine": ("SELECT DISTINCT kind, ref, principal FROM quarantine", Source),
        "source": ("SELECT DISTINCT kind, ref FROM source", Source),
    }
    if table in read:
        query, function = read[table]
        for row in connection.execute(query):
            try:
                function(*row)
            except Exception:  # whatever it is, nothing of ours reads it
                yield None


def _what_follows(connection: sqlite3.Connection) -> Iterator[str]:
    """Keys, codes and orders that do not follow from what they are made of: a bit of one of them was changed."""
    counts = {
        "names have keys of another name": sum(map(_is_another_name, connection.execute(_NAMES))),
        "relations have keys of another one": sum(
            name_key(label) != key for label, key in connection.execute("SELECT label, key FROM relation")
        ),
        "facts have the order of another source or time": sum(
            precedence(kind, seq, ordinal) != order
            for kind, seq, ordinal, order in connection.execute("SELECT kind, seq, ordinal, precedence FROM fact")
        ),
        "facts have the id of another one": _foreign_ids(connection),
        "namespaces hold another number of statements than they count": connection.execute(MISCOUNTED).fetchone()[0],
    }
    made = {
        "names have the search code of another vector": _stale_codes(connection),
        "turns are indexed as another text": _misindexed(connection),
        "rows of table turn have the search code of another text": sum(map(len, miscoded(connection))),
        "rows of table evidence have the words of another fact or sentence": sum(map(len, misworded(connection))),
    }
    for found, mend in ((counts, RESTORE), (made, REBUILD)):
        for what, count in found.items():
            if count:
                yield f"{count} {what}; {mend}"


def miscoded(connection: sqlite3.Connection) -> Iterator[list[tuple[bytes | None, int]]]:
    """Pages of the turns whose search code is not that of their text: what it is, and their place."""
    after = 0
    while rows := connection.execute(_CODED, (after,)).fetchall():
        after = rows[-1][0]
        codes = codes_of([text for _, text, _ in rows])
        wrong = [(code, place) for (place, _, held), code in zip(rows, codes, strict=True) if held != code]
        if wrong:
            yield wrong


_CODED: Final = "SELECT id, text, code FROM turn WHERE id > ? ORDER BY id LIMIT 1000"


def _misindexed(connection: sqlite3.Connection) -> int:
    """Turns whose index is that of another text; counted by how many words it has of each, and of all together."""
    wrong, sizes = 0, [0, 0, 0]
    for text, packed in connection.execute(_INDEXED):
        size = [2, len(tokens_of(text))]
        wrong += not isinstance(packed, bytes) or _varints(packed) != size
        sizes = [sizes[0] + 1, sizes[1] + size[0], sizes[2] + size[1]]
    (entries,) = connection.execute("SELECT count(*) FROM turn_text_docsize").fetchone()
    totals = connection.execute("SELECT block FROM turn_text_data WHERE id = 1").fetchone()
    sound = totals is not None and isinstance(totals[0], bytes) and (_varints(totals[0]) or [0, 0, 0]) == sizes
    return int(wrong + abs(entries - sizes[0]) + (not sound))


_INDEXED: Final = "SELECT t.text, d.sz FROM turn t LEFT JOIN turn_text_docsize d ON d.id = t.id"


def _varints(packed: bytes) -> list[int]:
    """Numbers as SQLite packs them: seven bits a byte, the highest first."""
    numbers, value = [], 0
    for byte in packed:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(value)
            value = 0
    return numbers


_NAMES: Final = "SELECT key, spelling, loose FROM name"


def _is_another_name(row: tuple[str, str, str | None]) -> bool:
    key, spelling, loose = row
    if is_literal_key(key):
        return literal_key(spelling) != key
    return name_key(spelling) != key or loose_key(key) != loose


def _stale_codes(connection: sqlite3.Connection) -> int:
    stale = 0
    rows = connection.execute("SELECT c.code, v.vector FROM name_code c JOIN name_vector v ON v.id = c.id")
    while page := rows.fetchmany(5_000):
        matrix = np.frombuffer(b"".join(row[1] for row in page), np.float32).reshape(len(page), -1)
        stale += sum(code.tobytes() != row[0] for code, row in zip(encode(matrix), page, strict=True))
    return stale


# Facts of namespaces that hold only what was stated there; ids that came from elsewhere say something else.
_IDS: Final = """SELECT f.fid, x.name, s.key, r.key, o.key, f.seq, f.ordinal FROM fact f
    JOIN namespace x ON x.id = f.ns JOIN name s ON s.id = f.s JOIN relation r ON r.id = f.r JOIN name o ON o.id = f.o
    WHERE NOT EXISTS (SELECT 1 FROM record WHERE name = 'ids of ' || x.id)"""


def _foreign_ids(connection: sqlite3.Connection) -> int:
    return sum(
        stable_hash("fact", *namespace_of(label, "namespace"), *keys, seq, ordinal) != fid.hex()
        for fid, label, *keys, seq, ordinal in connection.execute(_IDS)
    )
