"""One SQLite database as several processes and threads share it: connections, schema, durability, errors.

Knows the file and its tables; what rows mean is the business of ``stores.embedded``. WAL with ``synchronous=FULL``:
what was acknowledged survives a power cut (NORMAL lost an acknowledged write in 255 of 300 simulated cuts). The
checkpoint is ours, taken while the write lock is held: SQLite up to 3.51.2 can corrupt a file when one connection
checkpoints while another resets the log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from langchain_memllm.errors import ConfigurationError, SchemaTooNew, StoreCorrupt, StoreError, StoreUnavailable
from langchain_memllm.nameindex import encode
from langchain_memllm.stores.embedded_rekey import rekey

__all__ = ["SCHEMA_VERSION", "Database", "Durability"]

logger = logging.getLogger(__name__)

Durability = Literal["full", "normal"]

_APPLICATION_ID: Final = 0x4D4C4C4D  # "MLLM": the file says whose it is
_CHECKPOINT_COMMITS: Final = 1000
_CHECKPOINT_ROWS: Final = 50_000  # of all tables: some 10 MB of log
_BUSY_MS: Final = 30_000

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


_MIGRATIONS: Final[tuple[Migration, ...]] = (
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
)
SCHEMA_VERSION: Final = len(_MIGRATIONS)
"""Number of the newest schema; ``PRAGMA user_version`` of a file."""


class Database:
    """A database file, or one in memory, with one writer at a time and a reader per thread.

    Args:
        path: File path, or ``":memory:"`` for one that lives as long as this object.
        durability: ``"full"``: acknowledged means on disk. ``"normal"``: consistent, but a power cut may take the
            last writes.

    Raises:
        ConfigurationError: The path is no usable file name.
        StoreUnavailable: The file cannot be opened or written.
        StoreCorrupt: The file is not a memory, or is damaged.
        SchemaTooNew: A newer version of this package wrote it.
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "full") -> None:
        """Open or create the file and bring its schema up to date."""
        if durability not in ("full", "normal"):
            raise ConfigurationError(f"durability {durability!r} is unknown; use 'full' or 'normal'")
        self.path = _checked_path(path)
        self.in_memory = self.path is None
        self._durability = durability
        self._pid = os.getpid()
        self._write_lock = threading.RLock()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lent: weakref.WeakSet[_Lent] = weakref.WeakSet()
        self._closed = False
        self._commits = self._checkpointed_changes = 0
        with self._translated("open"):
            self._writer = self._prepare()

    @property
    def location(self) -> str:
        """The path, or ``":memory:"``."""
        return ":memory:" if self.path is None else str(self.path)

    @contextlib.contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction under the write lock of all threads and processes; rolled back if the body raises.

        Args:
            durable: False for data that can be made again (vectors): committed without waiting for the disk.
        """
        self._check_open()
        with self._write_lock, self._translated("write"):
            connection = self._writer
            relaxed = not durable and not self.in_memory and self._durability == "full"
            if relaxed:
                connection.execute("PRAGMA synchronous=NORMAL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                if relaxed:
                    connection.execute("PRAGMA synchronous=FULL")
            self._checkpoint_when_due()

    def read(self) -> _Reading:
        """A connection for reading, of this thread's own, for a ``with`` statement.

        An in-memory database has only one connection, which is lent under the lock.
        """
        self._check_open()
        if self.in_memory:
            return _Reading(self._writer, None, self._write_lock)
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with self._translated("read"):
                connection = self._local.connection = self._connect()
            self._local.lent = lent = _Lent(connection)
            self._lent.add(lent)
        return _Reading(connection, self.path, None)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Like ``read``, with every statement of the body seeing the same state."""
        with self.read() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    def purge(self) -> None:
        """Rewrite the file without the pages of what was deleted, and empty the log.

        Raises:
            StoreUnavailable: Somebody reads an old state for longer than one waits, so the log still holds it.
        """
        self._check_open()
        with self._write_lock, self._translated("purge"):
            self._writer.execute("VACUUM")
            busy = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StoreUnavailable(
                f"what was forgotten is gone from {self.location}, but not yet from its log, which another process was "
                f"reading for {_BUSY_MS // 1000} s; purge again when it has finished"
            )

    def problems(self) -> list[str]:
        """What SQLite's own full check finds wrong; empty when sound."""
        with self.read() as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close every connection. Idempotent; a forked child leaves its parent's alone."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        with self._write_lock:
            for connection in [*self._connections, *(lent.connection for lent in self._lent)]:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the memory at {self.location} is closed; open a new one")
        if self._pid != os.getpid():
            raise StoreError(
                f"the memory at {self.location} was opened before this process forked; open it again in the child"
            )

    def _prepare(self) -> sqlite3.Connection:
        if self.path is not None:
            _create_private(self.path)
        connection = self._connect(probe=True)
        self._connections.append(connection)
        _refuse_foreign(connection, self.location)
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.execute("PRAGMA page_size=8192")
        if not self.in_memory:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if mode != "wal":
                raise StoreUnavailable(
                    f"{self.location} does not take a write-ahead log (a network file system?); keep the file on a "
                    "local disk, or use Neo4j for several machines"
                )
        _migrate(connection, self.location)
        return connection

    def _connect(self, *, probe: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            ":memory:" if self.path is None else self.path,
            timeout=_BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        if not probe and self.path is not None and not self.path.exists():
            raise StoreUnavailable(f"the file {self.location} was removed while it was open; open the memory again")
        for pragma in (
            f"synchronous={self._durability}",
            "secure_delete=ON",
            "wal_autocheckpoint=0",
            "trusted_schema=OFF",
            "cache_size=-32768",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _checkpoint_when_due(self) -> None:
        """After enough writes of this process; the log's size tells nothing, it never shrinks while it is used."""
        self._commits += 1
        changes = self._writer.total_changes - self._checkpointed_changes
        if not self.in_memory and (self._commits >= _CHECKPOINT_COMMITS or changes >= _CHECKPOINT_ROWS):
            self._commits, self._checkpointed_changes = 0, self._writer.total_changes
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Move the log into the file while no one else can write: see the module's text."""
        checkpointer: sqlite3.Connection | None = getattr(self, "_checkpointer", None)
        if checkpointer is None:
            checkpointer = self._checkpointer = self._connect()
            self._connections.append(checkpointer)
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            self._writer.execute("ROLLBACK")

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(error, doing, self.path) from error


_INHERITED: Final[list[sqlite3.Connection]] = []  # of a parent process: closing them would touch its files


class _Lent:
    """Closes the connection of a thread when the thread ends; an application may start one for every request."""

    __slots__ = ("__weakref__", "_pid", "connection")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self._pid = connection, os.getpid()

    def __del__(self) -> None:
        if self._pid != os.getpid():
            _INHERITED.append(self.connection)
            return
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()


class _Reading:
    """Lends a connection and translates its errors; a class, since a generator costs as much as a small read."""

    __slots__ = ("_connection", "_lock", "_path")

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None, lock: AbstractContextManager[bool] | None
    ) -> None:
        self._connection, self._path, self._lock = connection, path, lock

    def __enter__(self) -> sqlite3.Connection:
        if self._lock is not None:
            self._lock.__enter__()
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
        if isinstance(error, sqlite3.Error):
            raise _translate(error, "read", self._path) from error


def _checked_path(path: str | os.PathLike[str]) -> Path | None:
    text = os.fspath(path)
    if text == ":memory:":
        return None
    if not text or "\x00" in text or text.startswith("file:"):
        raise ConfigurationError(f"{text!r} is not a file name; give a path such as 'memllm.db' or ':memory:'")
    resolved = Path(text).expanduser()
    if resolved.is_dir():
        raise ConfigurationError(f"{text!r} is a folder; give the path of a file in it, such as '{text}/memllm.db'")
    if resolved.is_symlink():
        raise ConfigurationError(f"{text!r} is a symbolic link; give the path of the file itself")
    return resolved


def _create_private(path: Path) -> None:
    """Create the file for its owner only; SQLite gives its log the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, stat.S_IRUSR | stat.S_IWUSR))
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be opened for writing ({error.strerror}); check the path and its permissions"
        ) from error


def _refuse_foreign(connection: sqlite3.Connection, location: str) -> None:
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != _APPLICATION_ID and (owner or version or tables):
        raise StoreCorrupt(f"{location} is a database of another application; choose another file name")
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"{location} has schema {version}, this version knows up to {SCHEMA_VERSION}; upgrade langchain-memllm"
        )


def _migrate(connection: sqlite3.Connection, location: str) -> None:
    """Apply the missing migrations, each in a transaction of its own; two processes may race for it."""
    connection.create_function("code_of", 1, _code_of, deterministic=True)
    for number, migration in enumerate(_MIGRATIONS, start=1):
        if connection.execute("PRAGMA user_version").fetchone()[0] >= number:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
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
            connection.execute("ROLLBACK")
            raise


def _code_of(vector: bytes) -> bytes:
    """The code of a stored vector, for migrations."""
    return encode(np.frombuffer(vector, np.float32)[None, :]).tobytes()


def _translate(error: sqlite3.Error, doing: str, path: Path | None) -> StoreError:
    """The package's error for one of SQLite's, with what to do next."""
    where = ":memory:" if path is None else str(path)
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorrupt(f"{where} is damaged or not a memory ({error}); restore it from a backup or an export")
    if name.startswith("SQLITE_FULL") or name == "SQLITE_IOERR_WRITE":
        free = shutil.disk_usage(path.parent).free if path is not None and path.parent.exists() else 0
        return StoreUnavailable(
            f"the disk of {where} is full ({free:,} bytes free); nothing was half-written: free some and write again"
        )
    if name.startswith("SQLITE_READONLY"):
        return StoreUnavailable(f"{where} is read-only; give this user the right to write to it and its folder")
    if name.startswith("SQLITE_BUSY"):
        return StoreUnavailable(f"{where} was locked by another process for {_BUSY_MS // 1000} s; try again")
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreUnavailable(f"{where} cannot be opened ({error}); check the path and its permissions")
    return StoreError(f"could not {doing} {where}: {name or 'SQLite'}: {error}")
