"""A08: a server of every release, played, that fails at every message in every way: the right answer, in time."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_memllm.errors import MemLLMError
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.verify.bolt_server import DO, SEEN, BoltServer, Flaw
from langchain_memllm.verify.ledger import Counts

if TYPE_CHECKING:
    import neo4j

__all__ = ["Case", "cases", "play", "run"]

DEADLINE: Final = 3.0  # a call tries again for half of it: on a busy machine one more attempt must fit in
GRACE: Final = 2.0
_SIDE_BY_SIDE: Final = 8  # a case waits for most of its time
_OLD: Final = {"4.4.44": (4, 4), "5.20.0": (5, 4), "banana": (5, 8)}
_NEW: Final = {"5.26.30": (5, 8), "2026.08.1": (5, 8)}
_POINTS: Final = ("handshake", "HELLO", "LOGON", "RUN", "PULL", "record", "BEGIN", "COMMIT", "answer")
# Codes of the server: what the caller is told, or None where trying again must succeed.
_CODES: Final = {
    "Neo.TransientError.Transaction.DeadlockDetected": None,
    "Neo.TransientError.General.DatabaseUnavailable": None,
    "Neo.TransientError.General.MemoryPoolOutOfMemoryError": "out of transaction memory; nothing was written",
    "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase": None,  # in a cluster: another one is becoming the leader
    "Neo.ClientError.Statement.AccessMode": "read-only now; nothing was written",
    "Neo.ClientError.Security.Forbidden": "has not the rights needed",
    "Neo.ClientError.Transaction.TransactionTimedOut": f"could not finish in {DEADLINE:g} s",
    "Neo.ClientError.Schema.ConstraintValidationFailed": "something that should not be there",
    "Neo.ClientError.Statement.SyntaxError": "refused a statement",
    "Neo.DatabaseError.General.UnknownError": "refused a statement",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One played server, and words that the error must have; empty if the operation must succeed; None if either."""

    version: str
    protocol: tuple[int, int]
    flaw: Flaw | None
    words: str | None
    logons: int | None = None


def cases() -> Iterator[Case]:
    """Every release with every fault."""
    for version, protocol in _OLD.items():
        yield Case(version, protocol, None, "5.26 or newer is needed")
    for version, protocol in _NEW.items():
        yield Case(version, protocol, None, "")
        for point in _POINTS:
            for kind in ("cut", "silence", "garbage"):
                yield Case(version, protocol, Flaw(point, kind), "" if kind == "cut" and _is_late(point) else None)
        for point in ("RUN", "COMMIT"):
            for code, words in _CODES.items():
                yield Case(version, protocol, Flaw(point, "failure", code), words or "")
        unauthorized = Flaw("LOGON", "failure", "Neo.ClientError.Security.Unauthorized")
        yield Case(version, protocol, unauthorized, "refused the user name or password", logons=1)


def _is_late(point: str) -> bool:
    """Whether a connection was made before: what is away at the start is told at once."""
    return point in ("BEGIN", "COMMIT", "answer")


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` cases at most, side by side; sabotage does not look whether an operation was done."""
    counts, chosen = Counts(), list(cases())[:scale]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        for played in threads.map(functools.partial(play, blind=sabotage), chosen):
            counts.add(played)
    counts.figures = {"cases": len(chosen)}
    return counts


def play(case: Case, *, blind: bool = False) -> Counts:
    """One case: the operation is there once if it was acknowledged, and at most once if not."""
    counts = Counts()
    flaw = case.flaw
    late = flaw is not None and flaw.point not in ("handshake", "HELLO", "LOGON")
    name = f"{case.version} {flaw.point} {flaw.kind} {flaw.code}" if flaw else case.version
    with BoltServer(case.version, case.protocol, None if late else flaw) as server:
        told, longest = _try(server, flaw if late else None, blind)
        done = server.done.count("op")
        counts.duplicated += max(0, done - 1)
        counts.lost += told == "" and done == 0
        counts.wrong += "nothing was written" in told and done > 0
        logons = server.heard.count("LOGON")
    if case.words is not None and (case.words not in told or bool(told) != bool(case.words)):
        counts.problems.append(f"{name}: {told or 'no error'}")
    if "canary" in told:
        counts.problems.append(f"{name}: the password is told")
    if longest > DEADLINE + GRACE:
        counts.problems.append(f"{name}: {longest:.1f} s with a deadline of {DEADLINE:g} s")
    if case.logons not in (None, logons):
        counts.problems.append(f"{name}: {logons} logins")
    return counts


def _try(server: BoltServer, late: Flaw | None, blind: bool) -> tuple[str, float]:
    """What the caller is told (nothing: it succeeded), and how long the longest call took."""
    importlib.import_module("neo4j")  # its import is not the server's time
    longest, start = 0.0, time.monotonic()
    try:
        bolt = Bolt(f"bolt://127.0.0.1:{server.port}", auth=("neo4j", "canary"), deadline=DEADLINE, migrate=False)
    except MemLLMError as error:
        return str(error), time.monotonic() - start
    try:
        longest, start = time.monotonic() - start, time.monotonic()
        server.flaw = late
        bolt.write(lambda transaction: _do(transaction, blind))
        return "", max(longest, time.monotonic() - start)
    except MemLLMError as error:
        return str(error), max(longest, time.monotonic() - start)
    finally:
        bolt.close()


def _do(transaction: neo4j.ManagedTransaction, blind: bool) -> None:
    seen = transaction.run(SEEN, op="op").single(strict=True)["there"]
    if blind or not seen:
        transaction.run(DO, op="op").consume()
