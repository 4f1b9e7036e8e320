"""One Neo4j database over Bolt: addresses, credentials, deadlines, transactions that may be run again, errors.

Knows the driver and its errors; what statements mean is the business of ``stores.neo4j``.
Deadlines are short, because a chat waits: the driver's own would be minutes. A password is never part of an address,
of a message or of a ``repr``.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from langchain_memllm.errors import (
    ConfigurationError,
    MemLLMError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from langchain_memllm.stores import cypher, schema

if TYPE_CHECKING:
    import neo4j

__all__ = ["Bolt", "token"]

Answer = TypeVar("Answer")

_CONNECT_S: Final = 3.0
_ACQUIRE_S: Final = 5.0
_RETRY_S: Final = 5.0
_SCHEMES: Final = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
_OLDEST: Final = (5, 26)
_AGAIN: Final = 3  # times a write is repeated whose commit was cut off before its answer
logger = logging.getLogger(__name__)


class Bolt:
    """A connection pool to one database, with the schema in place.

    Args:
        target: ``neo4j://host``, ``bolt://host`` or their ``+s``, ``+ssc`` forms; or a driver, which is not closed.
        auth: User name and password; by default NEO4J_USERNAME (or ``neo4j``) and NEO4J_PASSWORD.
        database: Name of the database; by default NEO4J_DATABASE, else ``neo4j``.
        allow_insecure: Accept a host that is not this machine without encryption.
        migrate: Bring the schema up to date; False leaves the database as it is.

    Raises:
        ConfigurationError: An address that cannot or must not be used, no password, or no such database.
        StoreUnavailable: The server does not answer, refuses the password, or is too old.
        SchemaTooNew: A newer version of this package wrote the graph.
    """

    def __init__(
        self,
        target: str | neo4j.Driver,
        *,
        auth: tuple[str, str] | None = None,
        database: str | None = None,
        allow_insecure: bool = False,
        migrate: bool = True,
    ) -> None:
        """Connect, check the server's version and bring the schema up to date."""
        self.database = database or os.environ.get("NEO4J_DATABASE") or "neo4j"
        self._pid = os.getpid()
        self._closed = False
        self._owned = isinstance(target, str)
        self.location = f"neo4j database {self.database!r} of the driver given"
        if isinstance(target, str):
            self.location = f"{_checked_uri(target, allow_insecure=allow_insecure)}/{self.database}"
            self._driver = _open(target, auth or _credentials())
        elif inspect.iscoroutinefunction(target.execute_query):
            raise ConfigurationError("an asynchronous driver cannot be used; give neo4j.GraphDatabase.driver(...)")
        else:
            self._driver = target
        try:
            if self._owned:
                with self._translated():  # once: what is away when we start is a wrong address more often than not
                    self._driver.verify_connectivity()
            self._check_version()
            if migrate:
                schema.apply(self)
        except BaseException:
            self.close()
            raise

    def read(self, statement: cypher.Statement, parameters: Mapping[str, Any] | None = None) -> list[neo4j.Record]:
        """Run one reading statement, again if the connection breaks, and return its records."""
        with self._translated():
            return self._driver.execute_query(
                statement, cast("dict[str, Any]", parameters or {}), database_=self.database, routing_="r"
            ).records

    def write(self, work: Callable[[neo4j.ManagedTransaction], Answer]) -> Answer:
        """Run a function in one writing transaction, again after an error that may pass.

        ``work`` may run several times, also after a commit that had arrived but whose answer was lost, so it must
        recognise what it did before.
        """
        from neo4j.exceptions import IncompleteCommit

        bookmarks = self._driver.execute_query_bookmark_manager
        deadline = time.monotonic() + _RETRY_S
        with self._translated():
            for remaining in reversed(range(_AGAIN)):
                try:
                    with self._driver.session(database=self.database, bookmark_manager=bookmarks) as session:
                        return session.execute_write(work)
                except IncompleteCommit:
                    if not remaining or time.monotonic() > deadline:
                        raise
                    logger.warning("a commit was cut off before its answer; running the transaction again")
        raise AssertionError("unreachable")

    def write_one(self, statement: cypher.Statement, parameters: Mapping[str, Any]) -> list[neo4j.Record]:
        """Run one writing statement that may safely run twice, and return its records."""
        return self.write(lambda transaction: list(transaction.run(statement, dict(parameters))))

    def alter(self, statement: str) -> None:
        """Run one schema statement; two clients may do so at once, and what the other was faster with is there."""
        from neo4j.exceptions import ClientError

        with self._translated():
            try:
                self._driver.execute_query(statement, database_=self.database)
            except ClientError as error:
                if not str(error.code).endswith("AlreadyExists"):
                    raise

    def close(self) -> None:
        """Close the driver if it was opened here. Idempotent; a forked child leaves its parent's alone."""
        if self._owned and not self._closed and self._pid == os.getpid():
            self._driver.close()
        self._closed = True

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the memory at {self.location} is closed; open a new one")
        if self._pid != os.getpid():
            raise StoreError(
                f"the memory at {self.location} was opened before this process forked; open it again in the child"
            )
        from neo4j.exceptions import DriverError, Neo4jError

        try:
            yield
        except (Neo4jError, DriverError) as error:
            raise _translate(error, self.location, self.database) from error

    def _check_version(self) -> None:
        rows = self.read(cypher.COMPONENTS)
        text = next((row["versions"][0] for row in rows if row["name"] == "Neo4j Kernel"), "0")
        version = tuple(int(part) for part in text.split("-")[0].split(".")[:2] if part.isdigit())
        if version < _OLDEST:
            raise StoreUnavailable(
                f"{self.location} runs Neo4j {text}; 5.26 or newer is needed (5.26 is the long-term support release)"
            )


def token() -> str:
    """A value never used before: writing it to a node takes the node's lock."""
    return secrets.token_hex(8)


def _open(uri: str, auth: tuple[str, str]) -> neo4j.Driver:
    from neo4j import GraphDatabase
    from neo4j.exceptions import ConfigurationError as BadConfiguration

    try:
        return GraphDatabase.driver(
            uri,
            auth=auth,
            connection_timeout=_CONNECT_S,
            connection_acquisition_timeout=_ACQUIRE_S,
            max_transaction_retry_time=_RETRY_S - 1,  # the driver looks at it after a pause, not before
            initial_retry_delay=0.25,
            retry_delay_multiplier=1.3,
            notifications_min_severity="OFF",  # unknown labels of an empty graph are no news
            telemetry_disabled=True,
            user_agent="langchain-memllm",
        )
    except (BadConfiguration, ValueError) as error:
        raise ConfigurationError(
            f"the Neo4j address cannot be used ({type(error).__name__}); write neo4j://host"
        ) from None


def _credentials() -> tuple[str, str]:
    password = os.environ.get("NEO4J_PASSWORD")
    if not password:
        raise ConfigurationError(
            "no password for Neo4j; set NEO4J_PASSWORD (and NEO4J_USERNAME if it is not 'neo4j'), "
            "or pass auth=(user, password)"
        )
    return os.environ.get("NEO4J_USERNAME") or "neo4j", password


def _checked_uri(uri: str, *, allow_insecure: bool) -> str:
    """The address without anything secret.

    Raises:
        ConfigurationError: No Neo4j address, with a password in it, or unencrypted to another machine.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("the Neo4j address cannot be read; write neo4j://host or neo4j://host:7687") from None
    if "@" in uri:
        raise ConfigurationError(
            "the Neo4j address holds a user or password; take it out, and set NEO4J_USERNAME and NEO4J_PASSWORD instead"
        )
    if parts.scheme not in _SCHEMES or not host:
        raise ConfigurationError(
            f"{parts.scheme or uri[:20]!r} is no Neo4j address; write neo4j://host, neo4j+s://host, "
            "bolt://host or bolt+s://host"
        )
    if "+" not in parts.scheme and not allow_insecure and not _is_loopback(host):
        raise ConfigurationError(
            f"{parts.scheme}://{host} would send the password and the facts unencrypted; "
            f"write {parts.scheme}+s://{host}, or pass allow_insecure=True if the network is trusted"
        )
    if parts.scheme.endswith("+ssc"):
        logger.warning("certificates are not checked for %s; use +s where you can", parts.scheme)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _translate(error: Exception, location: str, database: str) -> MemLLMError:
    """The package's error for one of the driver's, with what to do next; never with the server's own text."""
    from neo4j import exceptions as e

    code = str(getattr(error, "code", None) or type(error).__name__)
    if isinstance(error, e.AuthError) or ".Security.Auth" in code:
        return StoreUnavailable(
            f"{location} refused the user name or password; check NEO4J_USERNAME and NEO4J_PASSWORD ({code})"
        )
    if ".Security." in code:
        return StoreUnavailable(
            f"the user has not the rights needed in {location} ({code}); graph_schema/README.md lists them"
        )
    if "DatabaseNotFound" in code:
        return ConfigurationError(f"there is no database {database!r}; create it, or set NEO4J_DATABASE ({code})")
    if "ReadOnly" in code or "AccessMode" in code:
        return StoreUnavailable(f"{location} is read-only now; nothing was written ({code})")
    if "MemoryPool" in code or "OutOfMemory" in code:
        return StoreUnavailable(
            f"{location} ran out of transaction memory; nothing was written: send smaller batches, or raise "
            f"dbms.memory.transaction.total.max ({code})"
        )
    if isinstance(error, e.IncompleteCommit):
        return StoreUnavailable(
            f"{location} went away during a commit, so the operation is there wholly or not at all; send it again with "
            "the same op_id"
        )
    if isinstance(error, e.TransientError):
        return StoreUnavailable(
            f"{location} could not finish in {_RETRY_S:g} s ({code}); nothing was written, try again"
        )
    if isinstance(error, e.DriverError):
        return StoreUnavailable(f"{location} does not answer ({code}); is the server running and reachable?")
    if isinstance(error, e.ConstraintError):
        return StoreCorrupt(f"{location} holds something that should not be there ({code}); run: memllm doctor")
    return StoreError(f"{location} refused a statement ({code}); nothing was written")
