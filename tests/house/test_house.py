"""The house keeps its promises: public names, light imports, twins."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import langchain_memllm
from langchain_memllm.memory import Memory


def test_public_names_are_sorted_and_importable() -> None:
    assert list(langchain_memllm.__all__) == sorted(langchain_memllm.__all__)
    for name in langchain_memllm.__all__:
        assert getattr(langchain_memllm, name) is not None
    assert set(langchain_memllm.__all__) <= set(dir(langchain_memllm))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="Memroy"):
        _ = langchain_memllm.Memroy  # type: ignore[attr-defined]


HEAVY = ("torch", "transformers", "peft", "openai", "neo4j", "langchain_openai")
CORE = ("langchain", "langchain_core", "langgraph", *HEAVY)


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("from langchain_memllm import MemLLMMemory; MemLLMMemory(':memory:')", (*HEAVY, "pydantic")),
        (
            "from langchain_memllm.memory import Memory; m = Memory(); "
            "m.write([('Ada', 'likes', 'tea')], namespace=('n',)); m.read('Adah', 'likes', namespace=('n',))",
            CORE,
        ),
    ],
    ids=["facade", "core"],
)
def test_imports_are_light(statement: str, forbidden: tuple[str, ...]) -> None:
    code = f"{statement}\nimport sys; print([m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def verbs_of(owner: type) -> dict[str, object]:
    return {name: value for name, value in vars(owner).items() if callable(value) and not name.startswith("_")}


def test_every_twin_has_the_verb_s_signature() -> None:
    verbs = verbs_of(Memory)
    twins = {name: verb for name, verb in verbs.items() if name[0] == "a" and name[1:] in verbs}
    assert {name[1:] for name in twins} >= {
        "write",
        "read",
        "read_many",
        "recall",
        "retract",
        "forget",
        "history",
        "alias",
    }
    for name, twin in twins.items():
        assert inspect.signature(twin) == inspect.signature(verbs[name[1:]])  # type: ignore[arg-type]
        assert inspect.iscoroutinefunction(twin)
