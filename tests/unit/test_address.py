"""Addresses that may hold a password are refused on every door, with nothing of them quoted (redteam row 17, R8)."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langchain_memllm import MemLLMMemory
from langchain_memllm.cli import app
from langchain_memllm.errors import ConfigurationError, MemLLMError, reason_of
from langchain_memllm.memory import Memory
from langchain_memllm.stores import open_store
from langchain_memllm.stores.address import kind_of
from langchain_memllm.stores.bolt import Bolt
from langchain_memllm.stores.browser import serve
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.neo4j import Neo4jStore
from langchain_memllm.verify.a23_secrets import ADDRESSES, SECRET

DOORS: dict[str, Callable[[str], object]] = {
    "open_store": open_store,
    "core": Memory,
    "facade": MemLLMMemory,
    "embedded": EmbeddedStore,
    "neo4j": lambda address: Neo4jStore(address, auth=("neo4j", SECRET)),
    "bolt": lambda address: Bolt(address, auth=("neo4j", SECRET), migrate=False),
}
COMMANDS = (
    ["stats"],
    ["doctor"],
    ["list", "Ada"],
    ["forget", "--everything"],
    ["import", "-"],
    ["schema", "show"],
    ["browser"],
)


@pytest.fixture(autouse=True)
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEO4J_PASSWORD", "x")
    caplog.set_level(logging.DEBUG, "langchain_memllm")


def chain(error: BaseException | None) -> str:
    """Everything that a traceback would say."""
    told = ""
    while error is not None:
        told += f"{error!r} {error} "
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("door", DOORS)
def test_an_address_with_a_password_is_refused_and_not_quoted(
    door: str, address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        DOORS[door](address)
    assert SECRET not in chain(refused.value)
    assert SECRET not in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["option", "environment"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_the_command_line_does_not_show_it(address: str, how: str, tmp_path: Path) -> None:
    for command in COMMANDS:
        option = ["--store", address] if how == "option" else []
        if command == ["browser"] and address == f"bolt://{SECRET}":
            continue  # a host like any other, and Browser needs no encryption to be looked at
        done = CliRunner().invoke(app, [*command, *option], env={"MEMLLM_STORE": address})
        assert done.exit_code == 2, (command, done.output)
        assert SECRET not in done.output
        assert SECRET not in chain(done.exception)
    done = CliRunner().invoke(app, ["copy", address, address], env={"MEMLLM_STORE": ""})
    assert done.exit_code == 2
    assert SECRET not in done.output
    assert list(tmp_path.iterdir()) == []


def test_browser_is_not_given_one() -> None:
    for base, store in (
        (f"http://ada:{SECRET}@localhost:7474", "bolt://localhost"),
        (f"ftp://{SECRET}", "bolt://localhost"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            serve(base, store)
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (":memory:", "file"),
        ("memllm.db", "file"),
        ("ada@example.org.db", "file"),
        ("./a:b.db", "file"),
        ("folder/neo4j.db", "file"),
        ("C:\\data\\memllm.db", "file"),
        ("neo4j", "file"),
        ("bolt.db", "file"),
        ("neo4j://localhost", "graph"),
        ("bolt+ssc://db.example:7687", "graph"),
        ("Neo4j+S://db.example", "graph"),
    ],
)
def test_what_is_a_file_and_what_a_server(address: str, kind: str) -> None:
    assert kind_of(address) == kind


def test_bytes_name_a_file_too(tmp_path: Path) -> None:
    with contextlib.closing(open_store(os.fsencode(tmp_path / "m.db"))) as store:
        assert store.location == str(tmp_path / "m.db")


def test_a_reason_for_logs_holds_no_credentials() -> None:
    """redteam row 17: reasons are cut out of errors, also of those that others write."""
    from langchain_memllm.errors import StoreError

    for text in (f"at bolt://neo4j:{SECRET}@host", f"at neo4j:{SECRET}@host"):
        assert SECRET not in reason_of(StoreError(text))


def test_what_a_vendor_says_is_not_in_our_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """redteam A23: the vendor's text (key, prompt) is in the chain of the error, for whoever debugs, and not logged."""

    class Failing:
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise RuntimeError(f"401 for key {SECRET} with {texts}")

    memory = Memory(tmp_path / "m.db", embedder=Failing())
    memory.write([("Canary", "likes", "tea")], namespace=("n",), op_id="about Canary")
    memory.recall("Canary", namespace=("n",))
    memory.forget(name="Canary", namespace=("n",))
    with pytest.raises(MemLLMError):
        memory.read("Canaries", "likes", namespace=("n",))
    assert "embedder" in caplog.text
    assert SECRET not in caplog.text
    assert "canar" not in caplog.text.casefold()
