"""Two processes that write at once pass no limit together, and a page that floods one memory fills no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from langchain_memllm import Limits, Memory
from langchain_memllm.testing import FakeEmbedder

NAMESPACE = ("memllm", "ada")
WRITER = """
import sys
from langchain_memllm import Memory, Source
from langchain_memllm.errors import QuotaExceeded
from langchain_memllm.testing import FakeEmbedder
path, who, kind = sys.argv[1:]
stored = refused = 0
with Memory(path, embedder=FakeEmbedder()) as memory:
    for n in range(40):
        try:
            receipt = memory.write(
                [(who, "likes", f"tea {n}"), (who, "likes", f"ale {n}")],
                namespace=("memllm", "ada"),
                source=Source(kind, who),
            )
            stored += receipt.count("stored")
        except QuotaExceeded:
            refused += 1
print(stored, refused)
"""


def written_by_two(path: Path, kind: str) -> list[list[int]]:
    """What two processes stored of 80 statements each, and how often they were refused."""
    command = [sys.executable, "-c", WRITER, str(path)]
    both = [subprocess.Popen([*command, who, kind], stdout=subprocess.PIPE, text=True) for who in ("one", "two")]
    return [list(map(int, each.communicate()[0].split())) for each in both]


def test_two_processes_pass_no_limit_of_a_memory(tmp_path: Path) -> None:
    path = tmp_path / "memllm.db"
    with Memory(path, embedder=FakeEmbedder(), limits=Limits(statements=50)) as memory:
        memory.limits  # noqa: B018 (they are kept at the first use)
        told = written_by_two(path, "user")
        assert sum(stored for stored, _ in told) == 50 and sum(refused for _, refused in told) == 55
        assert len(list(memory.facts(namespace=NAMESPACE))) == memory.stats(namespace=NAMESPACE).use.statements == 50


def test_two_pages_pass_no_limit_of_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "memllm.db"
    with Memory(path, embedder=FakeEmbedder(), limits=Limits(untrusted_per_day=31)) as memory:
        memory.limits  # noqa: B018
        told = written_by_two(path, "web")
        assert sum(stored for stored, _ in told) == 31
        assert memory.write([("Ada", "likes", "tea")], namespace=NAMESPACE).count("stored") == 1
        other = memory.write([("Bo", "likes", "tea")], namespace=("memllm", "bo"))
        assert other.count("stored") == 1 and memory.stats(namespace=("memllm", "bo")).use.statements == 1
