"""A26: every form of address against servers with every certificate: who gets the password, and what else is told.

The servers are played, on loopback, with TLS of their own and certificates made for this run, and keep every byte they
read. An address is used, or refused with an error of ours; what is refused has got no password, and what is used, no
more than asked for. Unencrypted addresses of other machines are refused before anything is sent.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from ssl import SSLContext
from typing import Final

from langchain_memllm.errors import ConfigurationError, MemLLMError, StoreUnavailable
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.verify.bolt_server import BoltServer
from langchain_memllm.verify.ledger import Counts

__all__ = ["ELSEWHERE", "run"]

_SECRET: Final = "Canary26tls"  # noqa: S105 - made up
_RELEASE: Final = ("5.26.30", (5, 8))
_DEADLINE: Final = 10.0
_SCHEMES: Final = ("bolt", "neo4j", "bolt+s", "neo4j+s", "bolt+ssc", "neo4j+ssc")
_NOTHING: Final = "no TLS"
ELSEWHERE: Final = (
    *("db.example", "192.0.2.1", "10.0.0.1", "0.0.0.0", "[2001:db8::1]", "[::ffff:192.0.2.1]"),  # noqa: S104
    *("localhost.example", "127.0.0.1.example", "localhost.", "2130706433", "0177.0.0.1.example"),
)
"""Hosts that are not this machine, or not surely."""


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """Every scheme with every server, whatever the scale; sabotage checks no certificate, as many programs do."""
    counts, told = Counts(), _Warnings()
    logger, before = logging.getLogger("langchain_memllm.stores.bolt"), os.environ.get("SSL_CERT_FILE")
    logger.addHandler(told)
    try:
        trusted, shown = _certificates(folder)
        os.environ["SSL_CERT_FILE"] = str(trusted)  # what the system's authorities are, to OpenSSL
        cases = [(scheme, name, tls) for scheme in _SCHEMES for name, tls in shown.items()]
        for number, (scheme, name, tls) in enumerate(cases, 1):
            counts.problems += _case(scheme, name, tls, told, blind=sabotage)
            counts.tell(number, len(cases), "addresses")
    finally:
        logger.removeHandler(told)
        os.environ.pop("SSL_CERT_FILE", None)
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before
    counts.problems += [problem for host in ELSEWHERE for problem in _elsewhere(host)]
    counts.figures = {"addresses with a server": len(cases), "hosts elsewhere": len(ELSEWHERE)}
    return counts


class _Warnings(logging.Handler):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _certificates(folder: Path) -> tuple[Path, Mapping[str, SSLContext | None]]:
    """The file of the authority that is trusted, and what servers show."""
    from langchain_memllm.verify.certificates import Certificate

    ours, theirs = Certificate("ours", authority=True), Certificate("theirs", authority=True)
    made = {
        "a right certificate": Certificate("localhost", ours),
        "one that signed itself": Certificate("localhost"),
        "one of an unknown authority": Certificate("localhost", theirs),
        "one of another host": Certificate("db.example", ours),
        "one that has ended": Certificate("localhost", ours, begins=-9, ends=-1),
        "one that has not begun": Certificate("localhost", ours, begins=1, ends=9),
    }
    return ours.write(folder / "ours.pem"), {_NOTHING: None} | {name: c.shown(folder) for name, c in made.items()}


def _case(scheme: str, name: str, tls: SSLContext | None, told: _Warnings, *, blind: bool) -> Iterator[str]:
    taken = {"": tls is None, "s": name == "a right certificate", "ssc": tls is not None}[scheme.partition("+")[2]]
    used = scheme.replace("+s", "+ssc") if blind and scheme.endswith("+s") else scheme
    told.lines.clear()
    with BoltServer(*_RELEASE, tls=tls) as server:
        error = _opened(f"{used}://localhost:{server.port}")
        given = _SECRET.encode() in b"".join(server.received)
    what = f"{scheme} and {name}"
    if (error is None) != taken:
        yield f"{what}: {'taken' if error is None else f'refused: {error}'}"
    if given != taken:
        yield f"{what}: the password was {'' if given else 'not '}sent"
    if isinstance(error, MemLLMError) and _SECRET in str(error):
        yield f"{what}: the error quotes the password"
    if error is not None and not isinstance(error, StoreUnavailable):
        yield f"{what}: {type(error).__name__}"
    if scheme.endswith("+s") and tls is not None and error is not None and "certificate" not in str(error):
        yield f"{what}: the error does not tell of the certificate: {error}"
    if used.endswith("+ssc") != any("certificates are not checked" in line for line in told.lines):
        yield f"{what}: it is {'not ' if used.endswith('+ssc') else ''}warned of"


def _opened(address: str) -> Exception | None:
    try:
        Bolt(address, auth=("neo4j", _SECRET), deadline=_DEADLINE, migrate=False).close()
    except Exception as error:
        return error
    return None


def _elsewhere(host: str) -> Iterator[str]:
    for scheme in ("bolt", "neo4j"):
        error = _opened(f"{scheme}://{host}")
        if not isinstance(error, ConfigurationError) or "unencrypted" not in str(error) or _SECRET in str(error):
            yield f"{scheme}://{host}: {error or 'was used'}"
