"""What an import may do to a memory that holds something already: records are data, and data name no rank of their own.

An export put back into an empty memory is what it was. Beside what is there it is one more source: it claims no more
than it was given leave to, speaks for nobody, and makes no two names one that somebody stated facts of. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from langchain_memllm.stores.episodes import Grant, Turn
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.parts import Kept, Name, Operation, Part
from langchain_memllm.triples import Kind, Source, rank_of

__all__ = ["Admission"]

_UNHEARD: Final[Kind] = "tool"  # the most that words count for which nobody heard


@dataclass(slots=True)
class Admission:
    """What was let in otherwise than it is recorded, counted.

    Args:
        most: The highest kind that records may claim beside what is there.
    """

    most: Kind
    lowered: int = 0
    left_out: int = 0
    aliases: int = 0
    grants: int = 0
    relations: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything is put back as it was: the caller vouches for ranks above a person's."""
        return rank_of(self.most) > rank_of("user")

    def admit(self, part: Part) -> Part | None:
        """A part as it may come in beside what is there; None if it may not."""
        if self.is_whole:
            return part
        if isinstance(part, Operation):  # it would keep another of its name from being written
            self.left_out += 1
            return None
        if isinstance(part, Name):
            return replace(part, rank=min(part.rank, rank_of(self.most)))
        if isinstance(part, OutboxEntry):
            return self._unheard(part)
        if isinstance(part, Turn):
            return replace(part, kind=self.most) if rank_of(part.kind) > rank_of(self.most) else part
        if isinstance(part, Grant):  # it would show to a role what it may not see here
            self.grants += 1
            return None
        return self._lowered(part) if isinstance(part, Kept) else part

    def _lowered(self, kept: Kept) -> Kept:
        fact = kept.fact
        sources = tuple(map(self._source, fact.sources))
        if rank_of(fact.kind) <= rank_of(self.most) and sources == fact.sources:
            return kept
        self.lowered += 1
        best = self._source(Source(fact.kind, principal=fact.principal))
        return replace(kept, fact=replace(fact, kind=best.kind, principal=best.principal, sources=sources))

    def _source(self, source: Source) -> Source:
        above = rank_of(source.kind) > rank_of(self.most)
        return replace(source, kind=self.most, principal=None) if above else source

    def _unheard(self, entry: OutboxEntry) -> OutboxEntry:
        kind = entry.source.kind if rank_of(entry.source.kind) <= rank_of(_UNHEARD) else _UNHEARD
        self.lowered += kind != entry.source.kind
        return replace(entry, source=replace(entry.source, kind=kind, principal=None))

    def told(self) -> str:
        """What was changed, in words; empty if nothing was."""
        counts = {
            f"kinds lowered to {self.most!r}": self.lowered,
            "operations": self.left_out,
            "scopes of roles": self.grants,
            "aliases of names that somebody stated facts of": self.aliases,
        }
        said = [f"{count} {what}" for what, count in counts.items() if count]
        said += [f"the rules of {', '.join(map(repr, self.relations))}"] if self.relations else []
        return ", ".join(said)
