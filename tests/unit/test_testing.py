"""Doubles and contracts are there for others: complete, light, and red for a store that breaks a rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from langchain_memllm import testing

PROGRAM = """
import pytest
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.testing import ExtractorContract, StoreContract

class Forgetful(EmbeddedStore):
    def receipt(self, namespace, op_id):
        return None

class TestForgetful(StoreContract):
    @pytest.fixture
    def store(self):
        return Forgetful()

class TestNothing(ExtractorContract):
    pass
"""


def test_public_names_are_importable() -> None:
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="StoreContrat"):
        _ = testing.StoreContrat  # type: ignore[attr-defined]


def test_doubles_need_no_pytest_and_contracts_say_so() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from langchain_memllm.testing import FakeEmbedder, ScriptedModel, tool_call\n"
        "try:\n    from langchain_memllm.testing import StoreContract\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "StoreContract is a suite for pytest, which is not installed: pip install pytest\n"


def test_a_store_that_breaks_a_rule_is_told_which(tmp_path: Path) -> None:
    """Run away from the checkout's settings, as others run it; a failed assert shows its values."""
    (tmp_path / "test_mine.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "OperationRules or delivery or both",
    ]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "FAILED test_mine.py::TestForgetful::test_a_second_delivery_changes_nothing" in done.stdout
    assert "E       assert None == Receipt" in done.stdout or "E       AssertionError: assert None == " in done.stdout
    assert "override its fixture `extractor`" in done.stdout
