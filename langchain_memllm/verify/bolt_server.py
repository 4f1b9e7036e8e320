"""A server that speaks Bolt and can be told to fail at any message: every version and fault that no real one shows.

It knows two statements, ``SEEN`` and ``DO``, and keeps the operations that were committed; what else it is asked it
answers with nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from langchain_memllm.verify.wire import MAGIC, NAMES, NUMBERS, Frames, Structure, framed, pack, unpack

__all__ = ["DO", "SEEN", "BoltServer", "Flaw"]

SEEN: Final = "MATCH (p:Operation {id: $op}) RETURN count(p) AS there"
"""Whether an operation was committed."""
DO: Final = "CREATE (:Operation {id: $op})"
"""Do an operation."""

_GARBAGE: Final = b"\x00\x04\xde\xad\xbe\xef\x00\x00"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What goes wrong, once, when a message of a kind comes.

    Attributes:
        point: ``handshake``, the name of a message, ``record`` (in the middle of one) or ``answer`` (of a COMMIT that
            was obeyed).
        kind: ``cut``, ``silence``, ``garbage`` or ``failure``.
        code: Of a failure.
    """

    point: str
    kind: str
    code: str = ""


class BoltServer:
    """A server on loopback for as long as the block lasts.

    Attributes:
        port: Where it listens.
        done: Operations that were committed, as often as they were.
        heard: Names of the messages that came, in order.
        received: All bytes that came, on whichever connection; with TLS as it read them.
    """

    def __init__(
        self,
        version: str,
        protocol: tuple[int, int],
        flaw: Flaw | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """A server of a release (such as ``5.26.30``), speaking one version of Bolt, with TLS if it has a context."""
        self.version, self.protocol, self.flaw, self.tls = version, protocol, flaw, tls
        self.done: list[str] = []
        self.heard: list[str] = []
        self.received: list[bytes] = []
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> BoltServer:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and all its connections."""
        self._closing.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def take(self, point: str) -> Flaw | None:
        """The flaw of a point, if it is still to come."""
        with self._lock:
            if self.flaw is None or self.flaw.point != point:
                return None
            flaw, self.flaw = self.flaw, None
            return flaw

    def wait(self) -> None:
        """Say nothing until the end."""
        self._closing.wait()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, _Ended):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            _Conversation(self, connection).hold()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


class _Ended(Exception):
    """The conversation is over."""


class _Conversation:
    """One connection: a transaction at most, answers that wait to be pulled, and whether all is ignored."""

    def __init__(self, server: BoltServer, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        self.begun: list[str] | None = None
        self.rows: list[list[Any]] = []
        self.failed = False

    def hold(self) -> None:
        greeting = b""
        while len(greeting) < len(MAGIC) + 16:
            greeting += self._hear(len(MAGIC) + 16 - len(greeting))
        if not greeting.startswith(MAGIC):
            raise _Ended
        if flaw := self.server.take("handshake"):
            self._err(flaw, b"HTTP")
        self.connection.sendall(bytes([0, 0, self.server.protocol[1], self.server.protocol[0]]))
        frames = Frames()
        while True:
            for message, _ in frames.feed(self._hear(65536)):
                self._obey(unpack(message))

    def _hear(self, count: int) -> bytes:
        data = self.connection.recv(count)
        if not data:
            raise _Ended
        self.server.received.append(data)
        return data

    def _obey(self, message: Structure) -> None:
        name = NAMES[message.tag]
        self.server.heard.append(name)
        if name == "GOODBYE":
            raise _Ended
        if name == "RESET":
            self.failed, self.begun, self.rows = False, None, []
        if self.failed:
            self._say("IGNORED")
            return
        if flaw := self.server.take(name):
            if flaw.kind == "failure":
                self.failed, self.begun = True, None
                self._say("FAILURE", {"code": flaw.code, "message": "as told", **_gql(self.server.protocol, flaw.code)})
                return
            self._err(flaw, _GARBAGE)
        self._answer(name, message)

    def _answer(self, name: str, message: Structure) -> None:
        match name:
            case "HELLO":
                agent = f"Neo4j/{self.server.version}"
                self._say("SUCCESS", {"server": agent, "connection_id": "bolt-1", "hints": {}})
            case "ROUTE":
                self._say("SUCCESS", {"rt": _only(message.fields[0]["address"])})
            case "BEGIN":
                self.begun = []
                self._say("SUCCESS", {})
            case "RUN":
                self._say("SUCCESS", {"fields": self._run(message.fields[0], message.fields[1]), "t_first": 0})
            case "PULL":
                for row in self.rows:
                    self._record(row)
                self.rows = []
                self._say("SUCCESS", {"type": "r", "t_last": 0, "db": "neo4j"})
            case "COMMIT":
                self.server.done += self.begun or []
                self.begun = None
                if flaw := self.server.take("answer"):
                    self._err(flaw, _GARBAGE)
                self._say("SUCCESS", {"bookmark": f"b{time.monotonic_ns()}"})
            case _:
                self._say("SUCCESS", {})

    def _run(self, statement: str, parameters: dict[str, Any]) -> list[str]:
        """The columns of the answer; its rows wait to be pulled."""
        if statement == SEEN:
            self.rows = [[self.server.done.count(parameters["op"])]]
            return ["there"]
        if statement == DO and self.begun is not None:
            self.begun.append(parameters["op"])
            return []
        if "dbms.components" in statement:
            self.rows = [["Neo4j Kernel", [self.server.version]]]
            return ["name", "versions"]
        return []

    def _record(self, row: list[Any]) -> None:
        message = framed(pack(Structure(NUMBERS["RECORD"], (row,))))
        if flaw := self.server.take("record"):
            self.connection.sendall(message[: len(message) // 2])
            self._err(flaw, _GARBAGE * 4)
        self.connection.sendall(message)

    def _say(self, name: str, content: dict[str, Any] | None = None) -> None:
        fields = () if content is None else (content,)
        self.connection.sendall(framed(pack(Structure(NUMBERS[name], fields))))

    def _err(self, flaw: Flaw, garbage: bytes) -> None:
        if flaw.kind == "silence":
            self.server.wait()
        if flaw.kind == "garbage":
            self.connection.sendall(garbage)
        raise _Ended


def _only(address: str) -> dict[str, Any]:
    """The table of a cluster that is one server."""
    roles = [{"role": role, "addresses": [address]} for role in ("ROUTE", "READ", "WRITE")]
    return {"ttl": 300, "db": "neo4j", "servers": roles}


def _gql(protocol: tuple[int, int], code: str) -> dict[str, Any]:
    """What newer versions of Bolt say of a failure beside its code."""
    if protocol < (5, 7):
        return {}
    return {"neo4j_code": code, "gql_status": "50N42", "description": "as told", "diagnostic_record": {}}
