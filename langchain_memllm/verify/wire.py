"""Bolt as bytes: chunks, PackStream values, message numbers. Enough to play a server and to listen to a client.

Knows neither the driver nor the stores, so that what it hears is a second opinion. Written from the published
specification (https://neo4j.com/docs/bolt/current/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["MAGIC", "NAMES", "NUMBERS", "Frames", "Structure", "framed", "pack", "unpack"]

MAGIC: Final = b"\x60\x60\xb0\x17"
"""What a client says first; four proposals of versions, four bytes each, follow."""

NUMBERS: Final = {
    "HELLO": 0x01,
    "GOODBYE": 0x02,
    "RESET": 0x0F,
    "RUN": 0x10,
    "BEGIN": 0x11,
    "COMMIT": 0x12,
    "ROLLBACK": 0x13,
    "DISCARD": 0x2F,
    "PULL": 0x3F,
    "TELEMETRY": 0x54,
    "ROUTE": 0x66,
    "LOGON": 0x6A,
    "LOGOFF": 0x6B,
    "SUCCESS": 0x70,
    "RECORD": 0x71,
    "IGNORED": 0x7E,
    "FAILURE": 0x7F,
}
NAMES: Final = {number: name for name, number in NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class Structure:
    """A tagged tuple: a message, a node, a point in time."""

    tag: int
    fields: tuple[Any, ...]


class Frames:
    """Cuts a stream of chunks into messages as the bytes arrive."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self._bytes, self._message = b"", b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        """Each message that ends in ``data``, and how many bytes of ``data`` there are up to its end."""
        known = len(self._bytes)
        self._bytes += data
        used = 0
        while len(self._bytes) - used >= 2:
            size = int.from_bytes(self._bytes[used : used + 2], "big")
            if len(self._bytes) - used < 2 + size:
                break
            self._message += self._bytes[used + 2 : used + 2 + size]
            used += 2 + size
            if size == 0 and self._message:
                message, self._message = self._message, b""
                yield message, used - known
        self._bytes = self._bytes[used:]


def framed(message: bytes) -> bytes:
    """A message in chunks, with the end mark."""
    chunks = [message[start : start + 0xFFFF] for start in range(0, len(message), 0xFFFF)]
    return b"".join(len(chunk).to_bytes(2, "big") + chunk for chunk in chunks) + b"\x00\x00"


def pack(value: Any) -> bytes:
    """A value in PackStream; strings, lists and dictionaries in their longest form, which every reader takes."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return b"\xcb" + struct.pack(">q", value)
        case float():
            return b"\xc1" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return b"\xd2" + struct.pack(">I", len(text)) + text
        case bytes():
            return b"\xce" + struct.pack(">I", len(value)) + value
        case list() | tuple():
            return b"\xd6" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
        case dict():
            items = b"".join(pack(key) + pack(item) for key, item in value.items())
            return b"\xda" + struct.pack(">I", len(value)) + items
        case Structure():
            return bytes([0xB0 + len(value.fields), value.tag]) + b"".join(map(pack, value.fields))
    raise TypeError(f"{type(value).__name__} has no place in a message")


def unpack(data: bytes) -> Any:
    """The value of a whole message."""
    return _Reader(data).value()


class _Reader:
    """Reads one value after the other."""

    _SIZED: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD4: 1, 0xD5: 2, 0xD6: 4}
    _SIZED_MAPS: Final = {0xD8: 1, 0xD9: 2, 0xDA: 4}
    _NUMBERS: Final = {0xC1: ">d", 0xC8: ">b", 0xC9: ">h", 0xCA: ">i", 0xCB: ">q"}
    _CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def value(self) -> Any:
        mark = self._take(1)[0]
        if mark in self._CONSTANTS:
            return self._CONSTANTS[mark]
        if mark in self._NUMBERS:
            form = self._NUMBERS[mark]
            return struct.unpack(form, self._take(struct.calcsize(form)))[0]
        if mark < 0x80 or mark >= 0xF0:
            return mark if mark < 0x80 else mark - 0x100
        if mark in self._SIZED or mark in self._SIZED_MAPS:
            width = self._SIZED.get(mark) or self._SIZED_MAPS[mark]
            return self._sized(mark & 0xFC, int.from_bytes(self._take(width), "big"))
        return self._sized(mark & 0xF0, mark & 0x0F)

    def _sized(self, kind: int, size: int) -> Any:
        match kind:
            case 0xCC:
                return self._take(size)
            case 0xD0 | 0x80:
                return self._take(size).decode()
            case 0xD4 | 0x90:
                return [self.value() for _ in range(size)]
            case 0xD8 | 0xA0:
                return {self.value(): self.value() for _ in range(size)}
            case 0xB0:
                tag = self._take(1)[0]
                return Structure(tag, tuple(self.value() for _ in range(size)))
        raise ValueError(f"{kind:#x} begins no value")

    def _take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("the message is cut off")
        return self._data[self._at - count : self._at]
