"""A relay on loopback between a client and a server that can be told to fail: the network of a bad day.

One fault at a time is armed; it strikes the next message of the kind it names, and only once.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from langchain_memllm.verify.wire import MAGIC, NAMES, Frames, unpack

__all__ = ["FAULTS", "Fault", "Proxy"]

FAULTS = ("delay", "cut", "reset", "half-open", "trickle", "torn answer", "lost answer", "refuse")
"""What can happen to a message: it comes late; the connection ends before it, cleanly or with a reset; both sides fall
silent; the answer comes byte by byte, ends in the middle, or is lost although the message was obeyed; or the connection
ends and none can be made for a while."""

_LIST = b"\x00\x00\x01\xff"
_CHOICE = 5  # bytes: a version and no capabilities


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next message of a kind, such as ``COMMIT``; ``seconds`` for delays and refusals."""

    kind: str
    message: str
    seconds: float = 0.0


class Proxy:
    """Relays to a port of this machine until it is closed; use as a context manager.

    Attributes:
        port: Where to connect to.
        struck: How many faults have happened.
        lost_commits: How many of them took the answer to a COMMIT.
        statements: Query texts that went by, if ``listen`` is set.
    """

    def __init__(self, target: int, *, listen: bool = False) -> None:
        """Start relaying to the port ``target``."""
        self.target, self.listen = target, listen
        self.struck, self.lost_commits, self.statements = 0, 0, set[str]()
        self._fault: Fault | None = None
        self._lock = threading.Lock()
        self._refuse_until = 0.0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        """The relay itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def arm(self, fault: Fault) -> None:
        """Let a fault happen once."""
        with self._lock:
            self._fault = fault

    def disarm(self) -> bool:
        """Take back a fault that has not happened; whether there was one."""
        with self._lock:
            was, self._fault = self._fault, None
        return was is not None

    def close(self) -> None:
        """End all connections."""
        _end(self._listener)
        for each in self._open:
            _end(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if time.monotonic() < self._refuse_until:
                _end(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                _end(client)
                continue
            self._open = [each for each in self._open if each.fileno() >= 0] + [client, server]
            link = _Link(client, server)
            threading.Thread(target=self._requests, args=(link,), daemon=True).start()
            threading.Thread(target=self._answers, args=(link,), daemon=True).start()

    def _requests(self, link: _Link) -> None:
        frames = Frames()
        with contextlib.suppress(OSError):
            while data := link.client.recv(65536):
                fault = self._seen([message for message, _ in frames.feed(link.after_greeting(data))])
                if fault is not None:
                    self._strike(fault, link)
                if not link.silent:
                    link.server.sendall(data)
        link.end()

    def _seen(self, messages: list[bytes]) -> Fault | None:
        names = [NAMES.get(message[1], "") for message in messages]
        if self.listen:
            self.statements |= {
                unpack(message).fields[0] for message, name in zip(messages, names, strict=True) if name == "RUN"
            }
        with self._lock:
            if self._fault is None or self._fault.message not in names:
                return None
            fault, self._fault = self._fault, None
        self.struck += 1
        self.lost_commits += fault == Fault("lost answer", "COMMIT", fault.seconds)
        return fault

    def _strike(self, fault: Fault, link: _Link) -> None:
        match fault.kind:
            case "delay":
                time.sleep(fault.seconds)
            case "cut":
                link.end()
            case "reset":
                link.reset()
            case "half-open":
                link.silent = True
            case "refuse":
                self._refuse_until = time.monotonic() + fault.seconds
                link.end()
            case _:
                link.answer = fault.kind

    def _answers(self, link: _Link) -> None:
        with contextlib.suppress(OSError):
            while data := link.server.recv(65536):
                link.hear(data)
                if link.silent:
                    continue
                if link.answer == "lost answer":
                    break
                if link.answer == "torn answer":
                    link.client.sendall(data[: len(data) // 2])
                    break
                if link.answer == "trickle":
                    for byte in data:
                        link.client.sendall(bytes([byte]))
                else:
                    link.client.sendall(data)
        link.end()


class _Link:
    """One connection through the relay, and what is wrong with it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.silent = False
        self.answer = ""
        self._greeting, self._heard = len(MAGIC) + 16, False
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def hear(self, data: bytes) -> None:
        """Notice whether the server answers the greeting with a list: then the client says its choice before all."""
        if not self._heard:
            self._heard = True
            self._greeting += _CHOICE if data.startswith(_LIST) else 0

    def after_greeting(self, data: bytes) -> bytes:
        """The part of a client's bytes that are messages."""
        begins = min(self._greeting, len(data))
        self._greeting -= begins
        return data[begins:]

    def end(self) -> None:
        _end(self.client)
        _end(self.server)

    def reset(self) -> None:
        for each in (self.client, self.server):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
