"""Every extractor of ours passes the contract that extractors of others are tested with."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from langchain_memllm.extraction import ChatExtractor, Extractor, LocalExtractor
from langchain_memllm.grammar import parse
from langchain_memllm.testing import ExtractorContract, Request, ScriptedModel, tool_call

ADA = {"subject": "Ada", "relation": "likes", "object": "tea"}
CALL = "({MEM_WRITE-->Ada>>likes>>tea})"


def as_tool(request: Request) -> Any:
    return tool_call("record_facts", facts=[ADA])


@pytest.mark.parametrize("mode", ["tools", "json", "grammar"])
class TestChatExtractor(ExtractorContract):
    @pytest.fixture
    def extractor(self, mode: Any) -> Extractor:
        replies = {"tools": as_tool, "json": lambda _: '{"facts": [' + str(ADA).replace("'", '"') + "]}"}
        return ChatExtractor(ScriptedModel(script=replies.get(mode, lambda _: CALL)), mode=mode)


class Writer:
    """What ``LocalExtractor`` needs of a ``MemLLMModel``."""

    adapters: frozenset[str] = frozenset()

    def write_calls(self, sentences: Any, contexts: Any, **options: Any) -> list[Any]:
        from langchain_memllm.local import WriteOutput

        return [WriteOutput(CALL, parse(CALL), confidences=(0.75,), unsure=()) for _ in sentences]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra [local]")
class TestLocalExtractor(ExtractorContract):
    @pytest.fixture
    def extractor(self) -> Extractor:
        return LocalExtractor(Writer())  # type: ignore[arg-type]
