"""Random scripts of everything a memory can be told, the same for every store; what A11 runs.

A script is drawn from its seed alone. Each step goes to all memories, and what it answers must be the same; so must the
dumps of all namespaces at any time. The clock is the script's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from unittest import mock

from langchain_memllm import memory as memory_module
from langchain_memllm.belief import Quarantined, Use
from langchain_memllm.errors import MemLLMError
from langchain_memllm.memory import Memory
from langchain_memllm.relations import Relation
from langchain_memllm.testing import FakeEmbedder
from langchain_memllm.triples import Namespace, Query, Source, Statement

__all__ = ["Differs", "Script", "opened"]

NAMES: Final = [
    "Ada",
    "ADA",
    "Ada Lovelace",
    "Bob",
    "Oslo",
    "Oslo city",
    "Rome",
    "tea",
    "black tea",
    "Néo 😀",
    "x`>>y;$'\"",
]
SINGLE, MANY, CODE, HOME = "lives in", "likes", "door code", "spirit animal"
RELATIONS: Final = [SINGLE, SINGLE, MANY, CODE, HOME, "said `that`", "employer"]
DECLARED: Final = [
    Relation(CODE, range="literal", cardinality="one_at_a_time"),
    Relation(HOME, cardinality="one_at_a_time"),
]
SOURCES: Final = [
    Source("user", "chat", "ada"),
    Source("user", "chat", "bob"),
    Source("document", "notes.md"),
    Source("document", "book.md"),
    Source("web", "notes.md"),
    Source("system", "boss"),
    Source("model", ""),
]
GROUPS: Final = [["ada", "ada lovelace"], ["oslo", "oslo city"], ["tea", "black tea"], [SINGLE, "dwells in"]]


def opened(store: Any) -> Memory:
    """A memory as scripts use it."""
    return Memory(store, embedder=FakeEmbedder(GROUPS), relations=DECLARED)


class Differs(AssertionError):
    """Two memories answered otherwise."""


class Script:
    """One random script; ``memories`` may be changed between steps."""

    def __init__(self, seed: int, memories: Sequence[Memory], namespaces: Sequence[Namespace]) -> None:
        """Keep what it is run on."""
        self.random = random.Random(seed)  # noqa: S311 - a workload, not secrets
        self.memories, self.namespaces = list(memories), list(namespaces)
        self.tick = 0
        self.sent: list[tuple[Namespace, list[Statement], dict[str, Any]]] = []

    def run(self, steps: int) -> None:
        """So many steps, each on every memory."""
        with mock.patch.object(memory_module, "now", self.now):
            for _ in range(steps):
                self.tick += 1
                kinds = ["write"] * 8 + ["again", "alias", "retract", "forget", "forget", "replace"]
                getattr(self, self.random.choice(kinds))(self.random.choice(self.namespaces))

    def now(self) -> str:
        """The script's own clock."""
        return f"2026-01-01T{self.tick // 3600:02}:{self.tick // 60 % 60:02}:{self.tick % 60:02}.000000+00:00"

    def all(self, call: Callable[[Memory], Any]) -> Any:
        """What every memory answers; an error counts as an answer, but for its words."""
        answers = []
        for memory in self.memories:
            try:
                answers.append(call(memory))
            except MemLLMError as error:
                answers.append(type(error))
        if any(answer != answers[0] for answer in answers):
            raise Differs(repr(answers))
        return answers[0]

    def write(self, namespace: Namespace) -> None:
        """Some statements of a random source."""
        options: dict[str, Any] = {
            "source": self.source(),
            "policy": self.random.choice(["chat"] * 5 + ["edit", "paper"]),
        }
        if self.random.random() < 0.1:
            options["quarantine"] = [Quarantined(f"nonsense about {self.name()}", "cut off", self.source())]
        self.send(namespace, [self.statement() for _ in range(self.random.randint(1, 4))], options)

    def replace(self, namespace: Namespace) -> None:
        """A document is read again."""
        source = Source("document", self.random.choice(["notes.md", "book.md"]))
        self.send(namespace, [self.statement() for _ in range(2)], {"source": source, "replace": True})

    def retract(self, namespace: Namespace) -> None:
        """A statement is taken back."""
        said = self.statement()
        retracted = Statement(said.subject, said.relation, said.object, retract=True)
        self.send(namespace, [retracted], {"source": self.source()})

    def send(self, namespace: Namespace, statements: list[Statement], options: dict[str, Any]) -> None:
        """One operation, kept so that it may come again."""
        options["op_id"] = f"op {self.tick}"
        self.sent.append((namespace, statements, options))
        self.all(lambda memory: memory.write(statements, namespace=namespace, **options))

    def again(self, namespace: Namespace) -> None:
        """An operation of before is delivered again, sometimes with another payload."""
        if self.sent:
            earlier, statements, options = self.random.choice(self.sent)
            statements = statements[1:] if self.random.random() < 0.2 else statements
            self.all(lambda memory: _told(memory.write(statements, namespace=earlier, **options)))

    def alias(self, namespace: Namespace) -> None:
        """Two names are one."""
        one, other = self.name(), self.name()
        self.all(lambda memory: memory.alias(one, other, namespace=namespace))

    def forget(self, namespace: Namespace) -> None:
        """Any way of forgetting."""
        facts = list(self.memories[0].facts(namespace=namespace))
        ways: list[dict[str, Any]] = [
            {"subject": self.name(), "relation": self.random.choice(RELATIONS)},
            {"name": self.name()},
            {"source": self.random.choice([self.source(), "notes.md"])},
        ]
        ways += [{"fact_id": self.random.choice(facts).id}] * 2 if facts else []
        ways += [{"everything": True}] if self.random.random() < 0.1 else []
        way = self.random.choice(ways)
        self.all(lambda memory: _unordered(memory.forget(namespace=namespace, **way)))

    def statement(self) -> Statement:
        """Any statement."""
        pick = self.random.choice
        return Statement(
            self.name(),
            pick(RELATIONS),
            pick([*NAMES, "1234", "Ab"]),
            valid_from=pick([None, None, None, "2001", "2010-05"]),
            valid_to=pick([None, None, None, None, "2012"]),
            confidence=pick([None, 0.5]),
            text=pick([None, "Ada said so.", f"sentence {self.tick}"]),
            turn=pick([None, self.tick]),
        )

    def name(self) -> str:
        """Any name."""
        return self.random.choice(NAMES)

    def source(self) -> Source:
        """Any source."""
        return self.random.choice(SOURCES)

    def compare_dumps(self) -> None:
        """All memories hold the same."""
        for namespace in self.namespaces:
            held = self.all(lambda memory: self.held(memory, namespace))  # noqa: B023 - called at once
            if isinstance(held, type):
                raise Differs(f"an export of {namespace} failed with {held.__name__}")

    def held(self, memory: Memory, namespace: Namespace) -> tuple[Any, ...]:
        """All that a memory holds of a namespace."""
        exported = list(memory.export(namespace=namespace))
        stats = memory.stats(namespace=namespace)
        use = (stats.use.statements, stats.use.untrusted)  # a copy has the spellings of today, and its hour begins anew
        stats = replace(stats, extra={}, use=Use(), limits={})  # what a store tells of itself
        return exported, stats, use, memory.quarantined(namespace=namespace)

    def compare(self) -> None:
        """All memories hold the same, and answer alike."""
        self.compare_dumps()
        queries = [Query(name, relation) for name in NAMES for relation in (SINGLE, MANY, CODE, "dwells in", None)]
        queries += [Query(None, relation, name) for name in NAMES for relation in (SINGLE, MANY, CODE)]
        queries = self.random.sample(queries, 30)
        at = f"2026-01-01T00:{self.tick // 120:02}:30+00:00"
        moments: list[dict[str, Any]] = [{}, {"at": at}, {"valid_at": "2011"}, {"at": at, "valid_at": "2026-01"}]
        for when in moments:
            self.all(partial(_read, queries=queries, namespaces=self.namespaces, when=when))
        text = "Where does Ada live, in Oslo city? I drink tea"
        self.all(lambda memory: _rounded([memory.recall(text, namespace=self.namespaces, speaker="Bob")]))


def _read(memory: Memory, queries: list[Query], namespaces: list[Namespace], when: dict[str, Any]) -> list[Any]:
    return _rounded(memory.read_many(queries, namespace=namespaces, **when))


def _told(receipt: Any) -> Any:
    return receipt, receipt.replayed


def _unordered(erased: Any) -> tuple[Any, ...]:
    counts = (erased.names, erased.relations, erased.sources, erased.operations, erased.quarantined)
    return (sorted(erased.fact_ids), *counts, sorted(erased.reopened))


def _rounded(results: Sequence[Any]) -> list[Any]:
    """Answers without the last digits of similarities, which a server adds up in another order."""
    return [
        [(m.fact, m.answer, m.how, m.why, round(m.similarity, 4), round(m.entity_similarity, 4)) for m in result]
        for result in results
    ]
