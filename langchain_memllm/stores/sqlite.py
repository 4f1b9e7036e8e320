"""One SQLite database as several processes and threads share it: connections, transactions, durability, forks.

Knows the file; what rows mean is the business of ``stores.embedded``. WAL with ``synchronous=FULL``: what was
acknowledged survives a power cut (NORMAL lost an acknowledged write in 255 of 300 simulated cuts). The checkpoint is
ours (``stores.sqlite_log``), taken while the write lock is held: SQLite up to 3.51.2 can corrupt a file when one
connection checkpoints while another resets the log.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final, Literal, TypeAlias, TypeVar

from langchain_memllm import private
from langchain_memllm.errors import ConfigurationError, StoreCorrupt, StoreError, StoreUnavailable
from langchain_memllm.forking import follow, renewed
from langchain_memllm.stores import sqlite_check
from langchain_memllm.stores.address import path_of
from langchain_memllm.stores.rows import RESTORE
from langchain_memllm.stores.sqlite_errors import BUSY_MS, is_full, name_of, translated
from langchain_memllm.stores.sqlite_lock import take_turn
from langchain_memllm.stores.sqlite_log import LIMIT, Log, prepare, told_readers
from langchain_memllm.stores.sqlite_mark import check_log, count_commit
from langchain_memllm.stores.sqlite_schema import SCHEMA_VERSION, check_version, migrate, refuse_foreign

__all__ = ["SCHEMA_VERSION", "Database", "Durability"]

Durability = Literal["full", "normal"]
Identity: TypeAlias = tuple[int, int]
"""Device and inode of a file."""

_POLL_S: Final = 0.002
_LOOK_S: Final = 0.05  # between looks at the file by readers
_R = TypeVar("_R")


class Database:
    """A database file, or one in memory, with one writer at a time and a reader per thread.

    Args:
        path: File path, or ``":memory:"`` for one that lives as long as this object.
        durability: ``"full"``: acknowledged means on disk. ``"normal"``: consistent, but a power cut may take the
            last writes.

    Raises:
        ConfigurationError: The path is not a usable file name.
        StoreUnavailable: The file cannot be opened or written.
        StoreCorrupt: The file is not a memory, or is damaged.
        SchemaTooNew: A newer version of this package wrote it.
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "full") -> None:
        """Open or create the file and bring its schema up to date."""
        if durability not in ("full", "normal"):
            raise ConfigurationError(f"durability {durability!r} is unknown; use 'full' or 'normal'")
        self.path = path_of(path)
        self.in_memory = self.path is None
        self._durability = durability
        self._pid = os.getpid()
        self._write_lock = renewed(threading.RLock())
        self._local = threading.local()
        self._lent: weakref.WeakSet[_Lent] = weakref.WeakSet()
        self._lent_lock = renewed(threading.Lock())
        self._closed = self._forking = self._held_for_fork = False
        self._identity: Identity | None = None
        self._files: tuple[Identity | None, Identity | None] | None = None  # this file and its log
        self._next_look = 0.0
        self._planted: list[str] = []
        self._writer: sqlite3.Connection | None = None
        self._log = None if self.path is None else Log(self.path, self._connect)
        self._synchronous = ""  # of the writer; empty: not known
        with self._translated("open"):
            self._writer = self._open()
            if self._log is not None:
                self._log.tend(self._writer)
        _open_databases.add(self)
        follow(self)

    @property
    def location(self) -> str:
        """The path, or ``":memory:"``."""
        return ":memory:" if self.path is None else str(self.path)

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the file and of its log, for operators; none of a database in memory."""
        if self.path is None:
            return {}
        files = {"file_bytes": self.path, "log_bytes": self.path.with_name(f"{self.path.name}-wal")}
        return {name: file.stat().st_size if file.exists() else 0 for name, file in files.items()}

    # -- transactions ----------------------------------------------------------------------------------------------

    def transact(self, work: Callable[[sqlite3.Connection], _R], *, durable: bool = True) -> _R:
        """What ``work`` returns, done in a transaction under the write lock of all threads and processes.

        Rolled back if it raises.

        Args:
            work: Reads and writes; calls no writing method of this object.
            durable: False for data that can be made again (vectors): committed without waiting for the disk.
        """
        self._check_open()
        with self._write_lock, self._translated("write"):
            try:
                return self._attempt(work, durable)
            except sqlite3.Error as error:
                if not self._made_room(error):
                    raise
            return self._attempt(work, durable)

    def _attempt(self, work: Callable[[sqlite3.Connection], _R], durable: bool) -> _R:
        connection = self._writing()
        if self._planted:
            raise StoreCorrupt(
                f"{self.location} has a {self._planted[0]} that is not of memllm and may change what is written; drop "
                f"it, then {RESTORE}"
            )
        if self._log is not None:
            self._log.await_readers(connection)
        self._synchronize("full" if self.in_memory else self._durability if durable else "normal")
        try:  # everything is inside: an interrupt may come between any two calls
            take_turn(connection)
            self._check_same(connection)
            done = work(connection)
            if self.path is not None:
                count_commit(connection)
            connection.execute("COMMIT")
            self._check_file()
        except BaseException as error:
            try:  # at once and by no call of ours, where a second interrupt could come between
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._drop_writer()
            # SQLite itself may have fallen back to a read-only descriptor, or lost track of its files.
            if isinstance(error, sqlite3.Error) and not name_of(error).startswith("SQLITE_BUSY"):
                self._drop_writer()
            raise
        if self._log is not None:
            self._log.tend(connection)
        return done

    def _check_same(self, connection: sqlite3.Connection) -> None:
        """Raise if the file is no longer what was opened: removed, replaced, or of a newer schema."""
        check_version(connection, self.location)  # first: reading opens the log
        self._check_file()

    def _check_file(self) -> None:
        if self.path is None:
            return
        files = _files_of(self.path)
        if self._files is None and files[0] == self._identity:  # opened again after a fork
            self._files = files
        if files != self._files:
            raise StoreUnavailable(
                f"the file {self.location} or its log was removed or replaced while it was open, so nothing can be "
                "stored in it; put it back or not, and open the memory again"
            )

    def _check_now_and_then(self, connection: sqlite3.Connection) -> None:
        """Before a read, which would go on with a file that is gone; a look at it costs a tenth of a small read."""
        now = time.monotonic()
        if now > self._next_look:
            self._next_look = now + _LOOK_S
            self._check_same(connection)

    def _made_room(self, error: sqlite3.Error) -> bool:
        """Whether a full disk has room again, because all of the log is in the file now and its place is free."""
        if self._log is None or not is_full(error, self.path):
            return False
        try:
            return self._log.move(self._writing())
        except (sqlite3.Error, StoreError):
            return False  # the disk is full: that is the error to be told

    def _writing(self) -> sqlite3.Connection:
        """The writer, opened again if it was closed, with nothing left over from an interrupted transaction."""
        if self._writer is None:
            self._writer = self._open()
        if self._writer.in_transaction:
            if _is_working(self):
                raise StoreError(f"a write to {self.location} was begun inside another one; finish that first")
            self._writer.execute("ROLLBACK")
        return self._writer

    def _drop_writer(self) -> None:
        if not self.in_memory:
            _close(self._writer)
            self._writer = None

    def _synchronize(self, level: str) -> None:
        if self._synchronous != level and self._writer is not None:
            self._synchronous = ""
            self._writer.execute(f"PRAGMA synchronous={level}")
            self._synchronous = level

    def read(self) -> _Reading:
        """A connection for reading, of this thread's own, for a ``with`` statement; not to be nested.

        An in-memory database has only one connection, which is lent under the lock.
        """
        self._check_open()
        if self.in_memory:
            return _Reading(self, None)
        lent: _Lent | None = getattr(self._local, "lent", None)
        if lent is None:
            lent = self._local.lent = _Lent()
            with self._lent_lock:
                self._lent.add(lent)
        return _Reading(self, lent)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Like ``read``, with every statement of the body seeing the same state."""
        with self.read() as connection:
            if self.in_memory:  # nobody else can write while it is lent
                yield connection
                return
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    def purge(self) -> None:
        """Rewrite the file without the pages of what was deleted, and empty the log.

        Raises:
            StoreUnavailable: Somebody reads an old state for longer than one waits, so the log still holds it.
        """
        self._check_open()
        with self._write_lock, self._translated("purge"):
            connection = self._writing()
            self._check_same(connection)
            connection.execute("VACUUM")
            ends = time.monotonic() + BUSY_MS / 1000
            while busy := connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > ends:
                    break
                time.sleep(_POLL_S)  # for another process that moves the log SQLite does not wait itself
        if busy:
            raise StoreUnavailable(
                f"what was forgotten is gone from {self.location}, but not yet from its log, which another process was "
                f"reading for {BUSY_MS // 1000} s; purge again when it has finished"
            )

    @contextlib.contextmanager
    def reading_alone(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for a long read, which keeps nobody waiting; for a ``with`` statement."""
        if self.in_memory:
            with self.read() as connection:
                yield connection
            return
        self._check_open()
        with self._translated("read"):
            connection = self._connect()
        try:
            self._check_same(connection)
            yield connection
        finally:
            connection.close()

    def replace_all(self, source: sqlite3.Connection) -> None:
        """Put another database in the place of all that is here, in one transaction; open clients see it at once.

        Args:
            source: A copy with the same page size, which is changed: it goes on as this file, and what clients
                remember of names is out of date afterwards.
        """
        self._check_open()
        with self._write_lock, self._translated("restore"):
            connection = self._writing()
            self._check_same(connection)
            (mark,) = connection.execute("SELECT mark FROM stamp").fetchone()
            (epoch,) = connection.execute("SELECT coalesce(max(epoch), 0) FROM namespace").fetchone()
            source.execute("UPDATE stamp SET mark = ?", (mark,))
            source.execute("UPDATE namespace SET epoch = ? + 1 + (SELECT max(epoch) FROM namespace)", (epoch,))
            self._synchronize("full")
            source.backup(connection)
            self._check_file()

    def problems(self) -> list[str]:
        """What SQLite's own full check and ours find wrong; empty when sound."""
        with self.read() as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            found = sqlite_check.problems(connection) if found == ["ok"] else list(map(sqlite_check.told, found))
        return found + self._problems_of_log()

    def _problems_of_log(self) -> list[str]:
        """A log that is longer than it should ever be and cannot be moved: who reads from it."""
        if self._log is None or self._log.size <= LIMIT:
            return []
        with self._write_lock, self._translated("check"):
            if self._log.move(self._writing()):
                return []
        return [
            f"the log of {self.location} has {self._log.size >> 20} MB and cannot be moved into it, because "
            f"{told_readers(self._log.path)} still reads an old state; end that transaction or process"
        ]

    def close(self) -> None:
        """Close every connection. Idempotent; a forked child leaves alone what it could not be given."""
        if self._closed or self._pid != os.getpid():
            return
        with self._write_lock:
            try:
                if self._log is not None and self._writer is not None:
                    self._log.tend(self._writer)
            finally:
                self._closed = True
                self._close_all()

    # -- forks -----------------------------------------------------------------------------------------------------

    def before_fork(self, ends: float) -> None:
        """Close everything, so that parent and child open it anew; see ``forking``.

        What does not come to rest in time, or is forked by the very thread that works in it, stays open; the child
        then refuses to use it.
        """
        if self._closed or self._pid != os.getpid():
            return
        held = self._write_lock.acquire(timeout=max(0.0, ends - time.monotonic()))
        self._forking, self._held_for_fork = True, held
        mine = getattr(self._local, "lent", None)
        others = [lent for lent in self._all_lent() if lent is not mine]
        while any(lent.is_busy for lent in others) and time.monotonic() < ends:
            time.sleep(_POLL_S)
        working = _is_working(self) or (mine is not None and mine.is_busy)
        if held and not self.in_memory and not working and not any(lent.is_busy for lent in others):
            self._close_all()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; in a child only with what was closed before."""
        if self._closed:
            return
        held, self._forking, self._held_for_fork = self._held_for_fork, False, False
        if not in_child:
            if held:
                self._write_lock.release()
        elif not self.in_memory and self._writer is None and not any(lent.connection for lent in self._all_lent()):
            self._pid = os.getpid()

    def _close_all(self) -> None:
        lent = self._all_lent()
        if self._log is not None:
            self._log.close()
        _close(self._writer, *(each.connection for each in lent))
        self._writer = self._files = None
        for each in lent:
            each.connection = None

    def _lend_writer(self) -> sqlite3.Connection:
        """The only connection of a database in memory, with the lock."""
        try:
            self._write_lock.acquire()
            return self._writing()
        except BaseException:
            with contextlib.suppress(RuntimeError):  # interrupted while it waited
                self._write_lock.release()
            raise

    def _all_lent(self) -> list[_Lent]:
        with self._lent_lock:
            return list(self._lent)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the memory at {self.location} is closed; open a new one")
        if self._pid != os.getpid():
            raise StoreError(
                "a memory in ':memory:' lives in the process that made it; give it a file to share it with forked ones"
                if self.in_memory
                else f"the memory at {self.location} was in use while this process was forked, so it cannot be used "
                "here; fork while nothing is written, or start processes by 'spawn'"
            )

    # -- connections -----------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """The writer, with the schema up to date."""
        if self.path is not None:
            if self._identity is None:
                _create_private(self.path)
            _refuse_inherited(self.path)
            if _identity_of(self.path) not in _open_here():
                check_log(self.path)
        connection = self._connect()
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._synchronous = ""
        if self.path is not None:
            self._files = _files_of(self.path)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        refuse_foreign(connection, self.location)
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.execute("PRAGMA page_size=4096")
        if not self.in_memory:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if mode != "wal":
                raise StoreUnavailable(
                    f"{self.location} does not take a write-ahead log (a network file system?); keep the file on a "
                    "local disk, or use Neo4j for several machines"
                )
        migrate(connection, self.location)
        self._planted = sqlite_check.planted(connection)

    def _connect(self) -> sqlite3.Connection:
        self._check_open()  # again: another thread may have closed it while this one waited for the lock
        before = None if self.path is None else _identity_of(self.path)
        if self.path is not None and (before is None or self._identity not in (None, before)):
            raise StoreUnavailable(
                f"the file {self.location} was removed or replaced while it was open; open the memory again"
            )
        connection = sqlite3.connect(
            ":memory:" if self.path is None else self.path,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        self._identity = before
        for pragma in (
            f"synchronous={self._durability}",
            "secure_delete=ON",
            "trusted_schema=OFF",
            "cache_size=-32768",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        prepare(connection)
        return connection

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translated(error, doing, self.path) from error
        except _RAW as error:
            self.blame(error)
            raise

    def blame(self, error: BaseException) -> None:
        """Raise ``StoreCorrupt`` if an error of Python came of rows that something else wrote; else it is ours."""
        if isinstance(error, StoreError):
            return
        if self.in_memory:  # its only connection: kept open, and nobody else's transaction may be in it
            with self._write_lock:
                found = sqlite_check.foreign_rows(self._writing())
        else:
            with contextlib.closing(self._connect()) as connection:
                found = sqlite_check.foreign_rows(connection)
        if found:
            raise StoreCorrupt(f"{self.location}: {found[0]}") from error


_RAW: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
    struct.error,
)
"""What code of ours raises over a row that is not ours; also ``ConfigurationError``, which is a ``ValueError``."""
_open_databases: Final[weakref.WeakSet[Database]] = weakref.WeakSet()
_inherited: Final[list[sqlite3.Connection]] = []  # of a parent process: closing them would touch its files


class _Lent:
    """The connection of one thread; closed when the thread ends, since an application may start one a request."""

    __slots__ = ("__weakref__", "_pid", "connection", "is_busy")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.is_busy = False
        self._pid = os.getpid()

    def drop(self) -> None:
        """Close it; the next read opens another."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self._pid != os.getpid():
            _inherited.append(connection)
        else:
            _close(connection)

    def __del__(self) -> None:
        self.drop()


class _Reading:
    """Lends a connection and translates its errors; a class, since a generator costs as much as a small read."""

    __slots__ = ("_database", "_lent")

    def __init__(self, database: Database, lent: _Lent | None) -> None:
        self._database, self._lent = database, lent

    def __enter__(self) -> sqlite3.Connection:
        lent, database = self._lent, self._database
        if lent is None:
            return database._lend_writer()
        if lent.is_busy:  # an interrupt came in the middle of a read: what it left may hold an old state
            lent.drop()
        try:
            lent.is_busy = True
            if database._forking:
                lent.is_busy = False
                with database._write_lock:
                    lent.is_busy = True
            if lent.connection is None:
                lent.connection = database._connect()
            database._check_now_and_then(lent.connection)
            return lent.connection
        except BaseException as error:
            lent.is_busy = False
            if isinstance(error, sqlite3.Error):
                raise translated(error, "read", database.path) from error
            raise

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._lent is None:
            self._database._write_lock.release()
        else:
            if error is not None:
                self._lent.drop()
            self._lent.is_busy = False
        if isinstance(error, sqlite3.Error):
            raise translated(error, "read", self._database.path) from error
        if isinstance(error, _RAW):
            self._database.blame(error)


def _close(*connections: sqlite3.Connection | None) -> None:
    for connection in connections:
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _is_working(database: Database) -> bool:
    """Whether this thread is inside a transaction of it at this moment, for instance in a handler of a signal."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is Database._attempt.__code__ and frame.f_locals.get("self") is database:
            return True
        frame = frame.f_back
    return False


def _create_private(path: Path) -> None:
    """Create the file for its owner only, or tighten it and its log; SQLite gives its log the mode of the file."""
    if not path.exists() and Path(f"{path}-wal").exists():
        raise StoreUnavailable(
            f"{path} is not there, but its log {path.name}-wal is, with what was written last; put the file back, or "
            "move the log away"
        )
    try:
        private.create(path)
        for suffix in ("-wal", "-shm", "-journal"):
            private.tighten(path.with_name(path.name + suffix))
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be opened for writing ({error.strerror}); check the path and its permissions"
        ) from error


def _identity_of(path: Path | str) -> Identity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _files_of(path: Path) -> tuple[Identity | None, Identity | None]:
    return _identity_of(path), _identity_of(f"{path}-wal")


def _refuse_inherited(path: Path) -> None:
    """Raise if this process got an open connection to the file from its parent: their locks cannot be told apart."""
    identity, pid = _identity_of(path), os.getpid()
    ours = any(db._pid != pid and not db._closed and db._identity == identity for db in list(_open_databases))
    if ours or identity in _inherited_files:
        raise StoreError(
            f"{path} was in use while this process was forked, so it cannot be opened here; fork while nothing is "
            "written and no other library has the file open, or start processes by 'spawn'"
        )


_inherited_files: Final[set[Identity | None]] = set()


def _note_inherited() -> None:
    """In a child: which files other libraries had open; ours were closed before the fork."""
    _inherited_files.clear()
    _inherited_files.update(_descriptors())


def _open_here() -> set[Identity | None]:
    """Files that this process has open, by whichever library."""
    return _descriptors() | {database._identity for database in list(_open_databases) if not database._closed}


def _descriptors() -> set[Identity | None]:
    """Files behind the descriptors of this process."""
    found: set[Identity | None] = set()
    with contextlib.suppress(OSError):  # not on Linux
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                each = os.fstat(int(name))
                if stat.S_ISREG(each.st_mode):
                    found.add((each.st_dev, each.st_ino))
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_inherited)
