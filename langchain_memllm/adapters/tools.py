"""Memory as tools that a model calls: ``remember``, ``recall`` and ``forget``.

Whose memory they use comes from the run's config and context, never from what the model writes. Facts come as
triples, so no second model is asked. A memory that fails is told to the model in words that claim nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from langchain.tools import ToolException, ToolRuntime
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel, Field

from langchain_memllm.door import Door
from langchain_memllm.errors import InvalidTriple, NamespaceError
from langchain_memllm.render import render
from langchain_memllm.scope import Scope
from langchain_memllm.triples import Namespace, Outcome, Source, name_key, stable_hash

__all__ = ["ForgetInput", "RecallInput", "RememberInput", "ToolFact", "tools_of"]

logger = logging.getLogger(__name__)

_MAX_FACTS: Final = 50
_MAX_RECALLED: Final = 30
_MAX_TOKENS: Final = 600


class ToolFact(BaseModel):
    """One fact."""

    subject: str = Field(description='Who or what it is about, in full; "user" for the person you talk with')
    relation: str = Field(description='A few words, read from subject to object: "lives in", "works for", "likes"')
    object: str = Field(description="The other end: a name or a value, short, without article")


class RememberInput(BaseModel):
    """What ``remember`` takes."""

    facts: list[ToolFact] = Field(description="The facts to keep", min_length=1, max_length=_MAX_FACTS)


class RecallInput(BaseModel):
    """What ``recall`` takes."""

    query: str = Field(description="A question or text that names what you want to know about", min_length=1)
    k: int = Field(8, description="Most facts", ge=1, le=_MAX_RECALLED)


class ForgetInput(BaseModel):
    """What ``forget`` takes."""

    subject: str = Field(description='Who or what the fact is about; "user" for the person you talk with')
    relation: str | None = Field(None, description="The relation; without it everything about the subject is erased")
    object: str | None = Field(None, description="The other end, to erase that one fact only; needs the relation")


def tools_of(door: Door, scope: Scope) -> list[BaseTool]:
    """The three tools over one memory.

    Args:
        door: The memory.
        scope: Whose memory a run uses.
    """
    verbs = _Verbs(door, scope)
    return [
        StructuredTool.from_function(
            func=func,
            coroutine=coroutine,
            name=name,
            description=description,
            args_schema=schema,
            response_format="content_and_artifact",
            handle_tool_error=True,
        )
        for name, func, coroutine, schema, description in (
            ("remember", verbs.remember, verbs.aremember, RememberInput, _REMEMBER),
            ("recall", verbs.recall, verbs.arecall, RecallInput, _RECALL),
            ("forget", verbs.forget, verbs.aforget, ForgetInput, _FORGET),
        )
    ]


_REMEMBER: Final = """\
Keep facts for later conversations: what the user states about themself and their world and will want you to know. \
A new value of something that has one value (where they live) replaces the old one. The result says what was stored."""
_RECALL: Final = "Look up what is known from earlier conversations. Use it before you say that you do not know."
_FORGET: Final = "Erase facts for good. Only if the user asks for it."

_Answer = tuple[str, Any]  # text for the model, artifact for the application


@dataclass(frozen=True, slots=True)
class _Run:
    """Whose memory a call of a tool uses, and who speaks."""

    namespace: Namespace
    principal: str | None
    op_id: str | None


class _Verbs:
    """What the tools do. The ``runtime`` is given by the graph; outside of one the config of the call is used."""

    def __init__(self, door: Door, scope: Scope) -> None:
        self.door, self.memory, self.scope = door, door.memory, scope

    def remember(self, facts: list[ToolFact], runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        run = self._run(runtime, facts)
        with _told("The facts were not saved"):
            receipt = self.memory.write(
                [(fact.subject, fact.relation, fact.object) for fact in facts],
                namespace=run.namespace,
                source=Source("tool", "remember", run.principal),
                op_id=run.op_id,
            )
        self.door.drop()
        return "\n".join(_line(fact, each) for fact, each in zip(facts, receipt, strict=True)), receipt.as_dict()

    def recall(self, query: str, k: int = 8, runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        run = self._run(runtime)
        with _told("Nothing could be looked up; what is stored is not known"):
            found = self.memory.recall(query, namespace=run.namespace, k=k)
            block = render(found, _MAX_TOKENS)
        artifact = [{**match.fact.as_dict(), "similarity": match.similarity, "why": match.why} for match in found]
        return block or "Nothing is stored about this.", artifact

    def forget(
        self,
        subject: str,
        relation: str | None = None,
        object: str | None = None,
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> _Answer:
        run = self._run(runtime)
        if object is not None and relation is None:
            raise ToolException("Nothing was erased: to erase one fact give its relation too.")
        with _told("Nothing was erased, as far as is known"):
            erased = self._erase(run.namespace, subject, relation, object)
        self.door.drop()
        return f"Erased {len(erased)} facts." if erased else "Nothing is stored about this.", {"fact_ids": erased}

    async def aremember(self, facts: list[ToolFact], runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        return await asyncio.to_thread(self.remember, facts, runtime)

    async def arecall(self, query: str, k: int = 8, runtime: ToolRuntime = None) -> _Answer:  # type: ignore[assignment]
        return await asyncio.to_thread(self.recall, query, k, runtime)

    async def aforget(
        self,
        subject: str,
        relation: str | None = None,
        object: str | None = None,
        runtime: ToolRuntime = None,  # type: ignore[assignment]
    ) -> _Answer:
        return await asyncio.to_thread(self.forget, subject, relation, object, runtime)

    def _run(self, runtime: Any, facts: list[ToolFact] | None = None) -> _Run:
        """Whose memory this call uses, and the name of its operation: that of the tool call, if there is one.

        Raises:
            NamespaceError: The run does not say whose memory it uses.
        """
        config: Mapping[str, Any] = runtime.config if runtime is not None else ensure_config()
        namespace = self.scope.resolve(config, runtime)
        thread = str((config.get("configurable") or {}).get("thread_id") or "")
        call = getattr(runtime, "tool_call_id", None)
        op_id = stable_hash("tool", *namespace, "", thread, call, *map(repr, facts)) if call and facts else None
        return _Run(namespace, self.scope.principal(config, runtime), op_id)

    def _erase(self, namespace: Namespace, subject: str, relation: str | None, object: str | None) -> list[str]:
        memory = self.memory
        if relation is None:
            return list(memory.forget(namespace=namespace, name=subject).fact_ids)
        if object is None:
            return list(memory.forget(namespace=namespace, subject=subject, relation=relation).fact_ids)
        ids = [
            fact.id
            for fact in memory.history(subject, relation, namespace=namespace)
            if name_key(fact.triple.object) == name_key(object)
        ]
        return [gone for each in ids for gone in memory.forget(namespace=namespace, fact_id=each).fact_ids]


@contextmanager
def _told(outcome: str) -> Iterator[None]:
    """Tell the model that the memory failed, and what did not happen; a missing user is the application's error."""
    try:
        yield
    except (NamespaceError, GraphBubbleUp):
        raise
    except InvalidTriple as error:
        raise ToolException(f"{outcome}: {error}") from error
    except Exception as error:
        kind = type(error).__name__
        logger.warning("a memory tool failed with %s", kind)
        raise ToolException(f"{outcome}: the memory does not work now ({kind}). Tell the user so.") from error


def _line(fact: ToolFact, outcome: Outcome) -> str:
    """What became of a fact, in words for the model."""
    said = {
        "stored": "stored",
        "already": "was known already",
        "past": "stored as past: something newer is known",
    }.get(outcome.status, f"not stored ({outcome.reason or outcome.status})")
    if outcome.contests:
        said += ", beside another value that was not replaced"
    return f"{fact.subject} | {fact.relation} | {fact.object}: {said}"
