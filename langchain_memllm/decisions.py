"""What a memory gate decided: whether a turn needs memory, and what became of each thing that was recalled for it.

Ids and reasons alone, none of the text: a decision is kept in checkpoints and traces, and what is forgotten must not
stand there. Pure values; ``gate`` makes them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["Action", "Decision", "Verdict"]

Action: TypeAlias = Literal["drop", "summary", "full"]
"""What becomes of something recalled: it is left out, shown in part, or shown whole."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one fact or turn.

    Args:
        id: The fact's, or the turn's.
        kind: Which of the two it is.
        action: What became of it.
        why: The reason, in words of this package.
        tokens: About how many tokens its line takes; 0 if it was dropped.
    """

    id: str
    kind: Literal["fact", "turn"]
    action: Action
    why: str
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate decided about one turn.

    Args:
        needed: Whether the turn needs memory; if not, nothing is shown.
        why: The reason, in words of this package.
        by: Which decider decided: ``rules``, ``embedder``, ``local``, ``chat``, or the name of one of yours.
        verdicts: What became of each thing recalled, in the order in which it was found.
        note: What went otherwise than asked, such as that a model failed and rules decided; mostly empty.
    """

    needed: bool
    why: str
    by: str
    verdicts: tuple[Verdict, ...] = ()
    note: str = ""

    def count(self, action: Action) -> int:
        """How many things that became of."""
        return sum(each.action == action for each in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form: dicts and lists, no tuples."""
        return {**asdict(self), "verdicts": [asdict(each) for each in self.verdicts]}
