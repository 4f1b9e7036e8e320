"""One Neo4j database over Bolt: addresses, credentials, deadlines, transactions that may be run again, errors.

Knows the driver and its errors; what statements mean is the business of ``stores.neo4j``.
Every call ends within a deadline of ours, because a chat waits: the driver's own would be minutes, or none. The server
is told to give up a little earlier, so that what became of a write is known; one that is not there is given five
seconds. A password is never part of an address, of a message or of a ``repr``.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from langchain_memllm.errors import (
    ConfigurationError,
    MemLLMError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from langchain_memllm.forking import follow, renewed
from langchain_memllm.stores import cypher, schema
from langchain_memllm.stores.address import host_of
from langchain_memllm.stores.deadline import in_time
from langchain_memllm.stores.interface import Vector

if TYPE_CHECKING:
    import neo4j

__all__ = ["DEADLINE", "PATIENCE", "Bolt", "token", "vector_text"]

Answer = TypeVar("Answer")

DEADLINE: Final = 30.0
"""Seconds in which a call ends, unless a store is given another number: a cold server may need that many at first."""
PATIENCE: Final = 120.0
"""Seconds for what goes through all of a database: its schema, its checks."""

_CONNECT_S: Final = 3.0
_AWAY_S: Final = 5.0  # for this long a call tries again to reach a server that is not there
_ENDED: Final = ("TimedOutClientConfiguration", "TimedOut", "LockClientStopped", "Terminated")  # by its deadline
_IDLE_S: Final = 30.0  # a connection not used for so long is tried first: networks forget them silently
_OLDEST: Final = (5, 26)
logger = logging.getLogger(__name__)


class Bolt:
    """A connection pool to one database, with the schema in place.

    Args:
        target: ``neo4j://host``, ``bolt://host`` or their ``+s``, ``+ssc`` forms; or a driver, which is not closed.
        auth: User name and password; by default NEO4J_USERNAME (or ``neo4j``) and NEO4J_PASSWORD.
        database: Name of the database; by default NEO4J_DATABASE, else ``neo4j``.
        allow_insecure: Accept a host that is not this machine without encryption.
        deadline: Seconds in which every call ends, whatever the server does.
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
        deadline: float = DEADLINE,
        migrate: bool = True,
    ) -> None:
        """Connect, check the server's version and bring the schema up to date."""
        if deadline <= 0:
            raise ConfigurationError(f"a deadline of {deadline:g} s leaves no time; give some seconds")
        self.deadline = deadline
        self.database = database or os.environ.get("NEO4J_DATABASE") or "neo4j"
        self._closed = self._was_forked = False
        self._owned = isinstance(target, str)
        self._opening = renewed(threading.Lock())
        self.location = f"neo4j database {self.database!r} of the driver given"
        if isinstance(target, str):
            self.location = f"{_checked_uri(target, allow_insecure=allow_insecure)}/{self.database}"
            self._opened_by = (target, auth or _credentials(), deadline)
            self._driver = _open(*self._opened_by)
        elif inspect.iscoroutinefunction(target.execute_query):
            raise ConfigurationError("an asynchronous driver cannot be used; give neo4j.GraphDatabase.driver(...)")
        else:
            self._driver = target
        try:
            if self._owned:
                with self._translated(deadline):  # once: what is away now is a wrong address more often than not
                    in_time(self._driver.verify_connectivity, deadline)
            self._check_version()
            self._bolt_vectors = self._knows_vectors()
            if migrate:
                schema.apply(self)
        except BaseException:
            self.close()
            raise
        follow(self)

    def read(
        self,
        statement: cypher.Statement,
        parameters: Mapping[str, Any] | None = None,
        *,
        within: float | None = None,
    ) -> list[neo4j.Record]:
        """Run one reading statement, again after what may pass, and return its records.

        Args:
            statement: A constant of ``cypher``.
            parameters: Its parameters.
            within: Seconds in which the call ends, if not the store's deadline.
        """
        return self._run("READ", statement, parameters, within or self.deadline)

    def write(self, work: Callable[[neo4j.ManagedTransaction], Answer], *, within: float | None = None) -> Answer:
        """Run a function in one writing transaction, again after what may pass.

        ``work`` may run several times, also after a commit that had arrived but whose answer was lost, so it must
        recognise what it did before. Nothing is committed after the deadline but what was on its way.
        """
        from neo4j import unit_of_work

        def attempt(ends: float) -> Answer:
            def whole(transaction: neo4j.ManagedTransaction) -> Answer:
                answer = work(transaction)
                if time.monotonic() > ends:
                    raise TimeoutError  # the caller was told that nothing is known: do not commit behind its back
                return answer

            with self._session("WRITE") as session:
                return session.execute_write(unit_of_work(timeout=_share(ends))(whole))

        return self._within(within or self.deadline, attempt)

    def write_one(
        self, statement: cypher.Statement, parameters: Mapping[str, Any], *, within: float | None = None
    ) -> list[neo4j.Record]:
        """Run one writing statement that may safely run twice, and return its records."""
        return self.write(lambda transaction: list(transaction.run(statement, dict(parameters))), within=within)

    def alter(self, statement: str) -> None:
        """Run one schema statement; two clients may do so at once, and what the other was faster with is there."""
        try:
            self._run("WRITE", statement, None, PATIENCE)
        except StoreError as error:
            if not str(getattr(error.__cause__, "code", "")).endswith("AlreadyExists"):
                raise

    def vector(self, vector: Vector) -> Any:
        """A vector as a parameter: a Bolt vector where driver and server know them, else text.

        The pure driver packs a list of 256 numbers in 0.5 ms, their text in a fifth of that. Statements take
        either.
        """
        if self._bolt_vectors:
            from neo4j.vector import Vector as BoltVector

            return BoltVector.from_numpy(vector)
        return vector_text(vector)

    def close(self) -> None:
        """Close the driver if it was opened here. Idempotent; a forked child leaves its parent's alone."""
        if self._owned and not self._closed and not self._was_forked:
            self._driver.close()
        self._closed = True

    def before_fork(self, ends: float) -> None:
        """Nothing: a connection can stay open in the parent, if only the child never speaks on it."""

    def after_fork(self, *, in_child: bool) -> None:
        """A child opens a driver of its own when it needs one."""
        if in_child:
            self._was_forked = True

    def _open_anew(self) -> None:
        """In a child: a driver in place of the parent's."""
        if not self._owned:
            raise StoreError(
                f"the driver of {self.location} was opened before this process forked, and two processes cannot speak "
                "on its connections; make the driver in the child, or give the memory an address instead"
            )
        with self._opening:
            if self._was_forked:
                self._driver._closed = True  # what driver 5 does when it is collected would end the parent's sessions
                _inherited.append(self._driver)
                self._driver = _open(*self._opened_by)
                self._was_forked = False

    def _run(
        self, access: str, statement: str, parameters: Mapping[str, Any] | None, within: float
    ) -> list[neo4j.Record]:
        """One statement that is a transaction of its own: a single round trip."""
        from neo4j import Query

        values = dict(parameters or {})

        def attempt(ends: float) -> list[neo4j.Record]:
            with self._session(access) as session:
                return list(session.run(Query(statement, timeout=_share(ends)), values))

        return self._within(within, attempt)

    def _session(self, access: str) -> neo4j.Session:
        """A session that sees what was written through this driver, and leaves trying again to us."""
        return self._driver.session(
            database=self.database,
            default_access_mode=access,
            bookmark_manager=self._driver.execute_query_bookmark_manager,
            max_transaction_retry_time=0,
        )

    def _within(self, seconds: float, attempt: Callable[[float], Answer]) -> Answer:
        """Call ``attempt`` (with the time at which it must end), again after what may pass."""
        ends = time.monotonic() + seconds
        again = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            stop=lambda state: _is_enough(state, seconds / 2),
            before_sleep=_tell,
            reraise=True,
        )
        with self._translated(seconds):
            return in_time(lambda: again(attempt, ends), seconds)

    @contextlib.contextmanager
    def _translated(self, seconds: float) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the memory at {self.location} is closed; open a new one")
        if self._was_forked:
            self._open_anew()
        from neo4j.exceptions import DriverError, Neo4jError

        try:
            yield
        except TimeoutError as error:
            raise StoreUnavailable(
                f"{self.location} said nothing for {seconds:g} s (is it paused, overloaded, or cut off by the "
                "network?); a write may be there wholly or not at all: send it again with the same op_id"
            ) from error
        except (Neo4jError, DriverError) as error:
            raise _translate(error, self.location, self.database, seconds) from error
        except Exception as error:
            if not _is_the_drivers(error):
                raise
            raise StoreUnavailable(
                f"{self.location} answered what is not Bolt ({type(error).__name__}); is it a Neo4j server's Bolt "
                "port? A write may be there wholly or not at all: send it again with the same op_id"
            ) from error

    def _knows_vectors(self) -> bool:
        """Whether vectors may cross as such: Bolt 6, which the server speaks from 2025.10 on and driver 6 knows."""
        with self._translated(self.deadline):
            return in_time(self._driver.get_server_info, self.deadline).protocol_version >= (6, 0)

    def _check_version(self) -> None:
        rows = self.read(cypher.COMPONENTS)
        text = next((str(version) for row in rows if row["name"] == "Neo4j Kernel" for version in row["versions"]), "?")
        found = re.match(r"(\d+)\.(\d+)", text)
        if found is None or (int(found[1]), int(found[2])) < _OLDEST:
            raise StoreUnavailable(
                f"{self.location} runs Neo4j {text[:30]}; 5.26 or newer is needed (5.26 is the long-term support "
                "release)"
            )


_inherited: Final[list[neo4j.Driver]] = []  # of a parent process


def vector_text(vector: Vector) -> str:
    """A vector as text that keeps its 32-bit numbers: the quickest way to send one with a driver in pure Python."""
    return " ".join(["%.9g"] * len(vector)) % tuple(vector.tolist())


def token() -> str:
    """A value never used before: writing it to a node takes the node's lock."""
    return secrets.token_hex(8)


def _open(uri: str, auth: tuple[str, str], deadline: float) -> neo4j.Driver:
    from neo4j import GraphDatabase
    from neo4j.exceptions import ConfigurationError as BadConfiguration

    try:
        return GraphDatabase.driver(
            uri,
            auth=auth,
            connection_timeout=min(_CONNECT_S, deadline / 2),
            connection_acquisition_timeout=min(2 * _CONNECT_S, deadline / 2),  # with greeting and login
            liveness_check_timeout=_IDLE_S,
            notifications_min_severity="OFF",  # an empty graph does not know the labels yet
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
    scheme, host, port = host_of(uri)
    if "+" not in scheme and not allow_insecure and not _is_loopback(host):
        raise ConfigurationError(
            f"{scheme}:// to another machine would send the password and the facts unencrypted; "
            f"write {scheme}+s:// before the host, or pass allow_insecure=True if the network is trusted"
        )
    if scheme.endswith("+ssc"):
        logger.warning("certificates are not checked for %s; use +s where you can", scheme)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port else "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _share(ends: float) -> float:
    """Seconds for the server: a little less than are left, so that its word comes before we stop waiting."""
    return max(0.001, 0.9 * (ends - time.monotonic()))


def _may_pass(error: BaseException) -> bool:
    """Whether trying again can help: what the driver says so of but a batch too large, and a commit's lost answer."""
    from neo4j.exceptions import DriverError, IncompleteCommit, Neo4jError

    if isinstance(error, IncompleteCommit):
        return True
    return isinstance(error, (DriverError, Neo4jError)) and error.is_retryable() and not _is_too_large(_code(error))


def _is_enough(state: RetryCallState, seconds: float) -> bool:
    """Whether it is too late to try again: for a server that is there after so many seconds, else sooner."""
    from neo4j.exceptions import DriverError, ForbiddenOnReadOnlyDatabase

    error = state.outcome.exception() if state.outcome else None
    away = isinstance(error, (DriverError, ForbiddenOnReadOnlyDatabase))  # or another one is becoming the leader
    return (state.seconds_since_start or 0.0) > (min(seconds, _AWAY_S) if away else seconds)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.warning("trying again after %s (attempt %d)", _code(error), state.attempt_number)


def _is_the_drivers(error: BaseException) -> bool:
    """Whether an error that is none of the driver's was raised in its code: it read what it cannot understand."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("neo4j.")


def _is_too_large(code: str) -> bool:
    return "MemoryPool" in code or "OutOfMemory" in code


def _code(error: BaseException | None) -> str:
    return str(getattr(error, "code", None) or type(error).__name__)


def _why_untrusted(error: BaseException | None) -> str | None:
    """Why a certificate was refused, as ``SSLCertVerificationError`` says; None if that is not what failed."""
    if error is None or (said := getattr(error, "verify_message", None)):
        return None if error is None else str(said)
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else (error.__cause__,)  # of a cluster: a group
    return next((why for each in inner if (why := _why_untrusted(each))), None)


def _translate(error: Exception, location: str, database: str, seconds: float) -> MemLLMError:
    """The package's error for one of the driver's, with what to do next; never with the server's own text."""
    from neo4j import exceptions as e

    code = _code(error)
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
    if _is_too_large(code):
        return StoreUnavailable(
            f"{location} ran out of transaction memory; nothing was written: send smaller batches, or raise "
            f"dbms.memory.transaction.total.max ({code})"
        )
    if isinstance(error, e.IncompleteCommit):
        return StoreUnavailable(
            f"{location} went away during a commit, so the operation is there wholly or not at all; send it again with "
            "the same op_id"
        )
    if isinstance(error, e.TransientError) or code.endswith(_ENDED):
        return StoreUnavailable(
            f"{location} could not finish in {seconds:g} s ({code}); nothing was written, try again"
        )
    if isinstance(error, e.ConfigurationError):  # it speaks another Bolt than we asked for
        return StoreUnavailable(f"{location} is not a server that can be used ({code}); Neo4j 5.26 or newer is needed")
    if why := _why_untrusted(error):
        return StoreUnavailable(
            f"{location} shows a certificate that is not trusted ({why}), so nothing was sent to it; write the host "
            "that the certificate names, renew it, or name the file of its authority in SSL_CERT_FILE"
        )
    if isinstance(error, e.DriverError):
        tls = " Has it TLS, and a certificate that this machine trusts?" if "+s://" in location else ""
        return StoreUnavailable(f"{location} does not answer ({code}); is the server running and reachable?{tls}")
    if isinstance(error, e.ConstraintError) or code.endswith((".TypeError", ".ArgumentError", ".PropertyNotFound")):
        return StoreCorrupt(f"{location} holds something that should not be there ({code}); run: memllm doctor")
    return StoreError(f"{location} refused a statement ({code}); nothing was written")
