"""A08, case by case: every release, every message, every fault, on a server that is played."""

from __future__ import annotations

import pytest

from langchain_memllm.verify.a08_faults import Case, cases, play
from langchain_memllm.verify.wire import Frames, Structure, framed, pack, unpack

CASES = list(cases())


def name(case: Case) -> str:
    return "-".join(
        filter(None, (case.version, *((case.flaw.point, case.flaw.kind, case.flaw.code) if case.flaw else ())))
    )


@pytest.mark.parametrize("case", CASES, ids=name)
def test_every_fault_is_told_rightly_and_in_time(case: Case) -> None:
    counts = play(case)
    assert counts.passed, counts.summary()


def test_there_are_as_many_cases_as_promised() -> None:
    assert len(CASES) >= 84
    assert len(set(CASES)) == len(CASES)


@pytest.mark.parametrize(
    "value",
    [None, True, -1, 2**40, 1.5, "é" * 300, b"\x00\xff", [1, [2]], {"a": {"b": []}}, Structure(0x10, ("x", {}))],
)
def test_values_survive_the_wire(value: object) -> None:
    (message, end), stream = next(Frames().feed(framed(pack(value)))), framed(pack(value))
    assert unpack(message) == value
    assert end == len(stream)


def test_messages_are_found_however_the_bytes_arrive() -> None:
    stream = framed(pack("a" * 70_000)) + framed(pack("b"))
    for size in (1, 7, 65_536, len(stream)):
        frames = Frames()
        parts = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [unpack(m) for part in parts for m, _ in frames.feed(part)] == ["a" * 70_000, "b"]


def test_short_forms_are_read() -> None:
    assert unpack(b"\x93\x01\xff\x82hi") == [1, -1, "hi"]
    assert unpack(b"\xa1\x81k\xc9\x01\x00") == {"k": 256}
