"""The schema of the embedded store's file: its migrations, and whether a file is a memory at all."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from langchain_memllm.errors import SchemaTooNew, StoreCorrupt
from langchain_memllm.nameindex import encode
from langchain_memllm.stores.embedded_hide import hide
from langchain_memllm.stores.embedded_recall import add_words
from langchain_memllm.stores.embedded_rekey import rekey
from langchain_memllm.stores.embedded_use import add_use
from langchain_memllm.stores.sqlite_lock import take_turn
from langchain_memllm.stores.sqlite_mark import new_mark

__all__ = ["SCHEMA_VERSION", "check_version", "migrate", "refuse_foreign"]

logger = logging.getLogger(__name__)

_APPLICATION_ID: Final = 0x4D4C4C4D  # "MLLM": the file says whose it is

Migration: TypeAlias = str | Callable[[sqlite3.Connection], None]
"""Statements, or a function that runs them; either inside a transaction."""


def _add_said_at(connection: sqlite3.Connection) -> None:
    """When a fact was said, by its best source and by each; NULL: when it was recorded."""
    for table in ("fact", "evidence"):
        if "said_at" not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN said_at TEXT")


def _rekey(connection: sqlite3.Connection) -> None:
    """Bring names and relations to the rules of today; for some days this was step 5, and there was no ``said_at``."""
    _add_said_at(connection)
    rekey(connection)


def _add_mark(connection: sqlite3.Connection) -> None:
    """Whose the file is, and how many commits it has (stores.sqlite_mark)."""
    connection.execute("CREATE TABLE IF NOT EXISTS stamp(id INTEGER PRIMARY KEY, mark BLOB NOT NULL)")
    new_mark(connection)


MIGRATIONS: Final[tuple[Migration, ...]] = (
    """
    CREATE TABLE record(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE namespace(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
        seq INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0, last_at TEXT NOT NULL DEFAULT '');

    -- vector: 0 pending, 1 stored, 2 has none, 3 literal. class: id of the alias class's first name, NULL alone
    CREATE TABLE name(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, key TEXT NOT NULL,
        spelling TEXT NOT NULL, rank INTEGER NOT NULL, class INTEGER, vector INTEGER NOT NULL DEFAULT 0,
        UNIQUE(ns, key));
    CREATE INDEX name_class ON name(class) WHERE class IS NOT NULL;
    CREATE INDEX name_pending ON name(ns, id) WHERE vector = 0;
    CREATE TABLE name_vector(id INTEGER PRIMARY KEY, vector BLOB NOT NULL);
    CREATE TABLE name_code(n INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, id INTEGER NOT NULL,
        code BLOB NOT NULL);
    CREATE INDEX name_code_ns ON name_code(ns, n);
    CREATE INDEX name_code_id ON name_code(id);
    CREATE TABLE name_word(ns INTEGER NOT NULL, word TEXT NOT NULL, id INTEGER NOT NULL,
        PRIMARY KEY(ns, word, id)) WITHOUT ROWID;

    CREATE TABLE relation(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, key TEXT NOT NULL,
        label TEXT NOT NULL, vector INTEGER NOT NULL DEFAULT 0, embedding BLOB, UNIQUE(ns, key));

    -- fid: the fact's public id. precedence: best first (belief.precedence). closed_source: what closed it
    CREATE TABLE fact(id INTEGER PRIMARY KEY, fid BLOB NOT NULL, ns INTEGER NOT NULL, s INTEGER NOT NULL,
        r INTEGER NOT NULL, o INTEGER NOT NULL, seq INTEGER NOT NULL, ordinal INTEGER NOT NULL,
        precedence INTEGER NOT NULL, open INTEGER NOT NULL, kind TEXT NOT NULL, principal TEXT, confidence REAL,
        valid_from TEXT, valid_to TEXT, recorded_at TEXT NOT NULL, closed_at TEXT, closed_seq INTEGER,
        closed_by BLOB, closed_why TEXT, closed_source INTEGER, ended TEXT);
    CREATE UNIQUE INDEX fact_fid ON fact(fid);
    CREATE INDEX fact_ns ON fact(ns, seq, ordinal);
    CREATE UNIQUE INDEX fact_triple ON fact(s, r, o) WHERE open = 1;
    CREATE INDEX fact_open_s ON fact(s, r, precedence) WHERE open = 1;
    CREATE INDEX fact_open_o ON fact(o, r, precedence) WHERE open = 1;
    CREATE INDEX fact_past_s ON fact(s, r, precedence) WHERE open = 0;
    CREATE INDEX fact_past_o ON fact(o, r, precedence) WHERE open = 0;
    CREATE INDEX fact_r ON fact(r);
    CREATE INDEX fact_closed_source ON fact(closed_source) WHERE closed_source IS NOT NULL;

    CREATE TABLE source(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, kind TEXT NOT NULL,
        ref TEXT NOT NULL, UNIQUE(ns, kind, ref));
    CREATE TABLE evidence(fact INTEGER NOT NULL, seq INTEGER NOT NULL, ordinal INTEGER NOT NULL,
        source INTEGER NOT NULL, principal TEXT, text TEXT, span_start INTEGER, span_end INTEGER, turn INTEGER,
        PRIMARY KEY(fact, seq, ordinal)) WITHOUT ROWID;
    CREATE INDEX evidence_source ON evidence(source);
    CREATE TABLE operation(ns INTEGER NOT NULL, op_id TEXT NOT NULL, payload_hash TEXT NOT NULL,
        seq INTEGER NOT NULL, at TEXT NOT NULL, receipt TEXT NOT NULL, PRIMARY KEY(ns, op_id)) WITHOUT ROWID;
    CREATE INDEX operation_seq ON operation(ns, seq);
    CREATE TABLE quarantine(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, at TEXT NOT NULL,
        text TEXT NOT NULL, reason TEXT NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL, principal TEXT, turn INTEGER);
    CREATE INDEX quarantine_ns ON quarantine(ns, id);
    """,
    # Codes of 512 bits: so few names pass that a search among 300,000 takes no longer than among 3,000.
    """
    UPDATE name_code SET code = code_of((SELECT vector FROM name_vector v WHERE v.id = name_code.id))
    """,
    # What was said and is not yet extracted (stores.outbox); source: its kind and ref.
    """
    CREATE TABLE outbox(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, op_id TEXT NOT NULL,
        kind TEXT NOT NULL, ref TEXT NOT NULL, entry TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 0,
        UNIQUE(ns, op_id));
    CREATE INDEX outbox_ns ON outbox(ns, id)
    """,
    _add_said_at,
    # What other spellings of a name share with it (triples.loose_key); NULL: no more than its key.
    """
    ALTER TABLE name ADD COLUMN loose TEXT;
    CREATE INDEX name_loose ON name(ns, loose) WHERE loose IS NOT NULL
    """,
    # One name, one key; labels that are aliases by now.
    _rekey,
    # Hashes for names of operations and of what was forgotten. restarts: [seq, time] of operations at which a clock
    # that had been ahead was right again (times.following).
    hide,
    _add_mark,
    # What was said (stores.episodes). session: a thread. episode: a stretch of it; began: when its first turn was said.
    # turn: uid: its id, code: its search code. forgotten_turn: what must not come back. role_scope: what a role may
    # see. turn_text: its words, and as tenant the namespace and the scope.
    """
    CREATE TABLE IF NOT EXISTS session(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, thread TEXT NOT NULL,
        UNIQUE(ns, thread));
    CREATE TABLE IF NOT EXISTS episode(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL,
        session INTEGER NOT NULL, number INTEGER NOT NULL, began TEXT NOT NULL, UNIQUE(session, number));
    CREATE INDEX IF NOT EXISTS episode_began ON episode(ns, began, id);
    CREATE TABLE IF NOT EXISTS turn(id INTEGER PRIMARY KEY AUTOINCREMENT, ns INTEGER NOT NULL, uid TEXT NOT NULL,
        session INTEGER NOT NULL, episode INTEGER NOT NULL, at TEXT NOT NULL, role TEXT NOT NULL, speaker TEXT,
        kind TEXT NOT NULL, ref TEXT NOT NULL, scope TEXT NOT NULL, text TEXT NOT NULL, code BLOB, UNIQUE(ns, uid));
    CREATE INDEX IF NOT EXISTS turn_ns ON turn(ns, id);
    CREATE INDEX IF NOT EXISTS turn_session ON turn(session, id);
    CREATE INDEX IF NOT EXISTS turn_episode ON turn(episode, id);
    CREATE INDEX IF NOT EXISTS turn_at ON turn(ns, at);
    CREATE INDEX IF NOT EXISTS turn_source ON turn(ns, ref);
    CREATE TABLE IF NOT EXISTS forgotten_turn(ns INTEGER NOT NULL, uid TEXT NOT NULL,
        PRIMARY KEY(ns, uid)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS role_scope(ns INTEGER NOT NULL, role TEXT NOT NULL, scope TEXT NOT NULL,
        PRIMARY KEY(ns, role, scope)) WITHOUT ROWID;
    CREATE VIRTUAL TABLE IF NOT EXISTS turn_text USING fts5(tenant, words, content='',
        tokenize="unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'")
    """,
    # How much each namespace holds (belief.Use), and the characters of each statement.
    add_use,
    # What facts are found by (factindex.evidence_words); it takes the place of the words of names.
    add_words,
    # Items of LangGraph's long-term store (stores.items). ns: its labels, encoded.
    """
    CREATE TABLE IF NOT EXISTS item(id INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL, key TEXT NOT NULL,
        value TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, ttl REAL, expires_at TEXT,
        UNIQUE(ns, key));
    CREATE INDEX IF NOT EXISTS item_updated ON item(ns, updated_at);
    CREATE INDEX IF NOT EXISTS item_expires ON item(expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE IF NOT EXISTS item_vector(item INTEGER NOT NULL, n INTEGER NOT NULL, vector BLOB NOT NULL,
        PRIMARY KEY(item, n)) WITHOUT ROWID
    """,
)
SCHEMA_VERSION: Final = len(MIGRATIONS)
"""Number of the newest schema; ``PRAGMA user_version`` of a file."""


def refuse_foreign(connection: sqlite3.Connection, location: str) -> None:
    """Raise if the file is of another application, or of a newer version of this one."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != _APPLICATION_ID and (owner or version or tables):
        raise StoreCorrupt(f"{location} is a database of another application; choose another file name")
    check_version(connection, location)


def check_version(connection: sqlite3.Connection, location: str) -> None:
    """Raise if the file has a newer schema than this version: another process may have brought it to one meanwhile.

    Raises:
        SchemaTooNew: It has.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"{location} has schema {version}, this version knows up to {SCHEMA_VERSION}; upgrade langchain-memllm"
        )


def migrate(connection: sqlite3.Connection, location: str) -> None:
    """Apply the missing migrations, each in a transaction of its own; two processes may race for it."""
    connection.create_function("code_of", 1, _code_of, deterministic=True)
    for number, migration in enumerate(MIGRATIONS, start=1):
        if connection.execute("PRAGMA user_version").fetchone()[0] >= number:
            continue
        try:
            take_turn(connection)
            if connection.execute("PRAGMA user_version").fetchone()[0] < number:
                if isinstance(migration, str):
                    for statement in migration.split(";"):
                        connection.execute(statement)
                else:
                    migration(connection)
                connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={number}")
                logger.info("schema %d applied to %s", number, location)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has rolled back itself when the disk is full
                connection.execute("ROLLBACK")
            raise


def _code_of(vector: bytes) -> bytes:
    """The code of a stored vector, for migrations."""
    return encode(np.frombuffer(vector, np.float32)[None, :]).tobytes()
