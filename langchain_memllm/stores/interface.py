"""The waist between what a memory means and where it is kept: one protocol, small values.

A store holds names, relations, facts, evidence, operations, quarantine and a few records, keeps namespaces apart,
and applies plans in one transaction. It knows no policy: what a batch does is worked out by the ``plan`` function it
is handed (``belief.resolve``) between loading and applying. Everything is synchronous and batched.

Both stores answer alike, in the same order: by similarity (rounded to 5 decimals), position of the namespace in the
call, ``belief.precedence`` (rank of the source, then newest) downwards, then fact id.
``testing.StoreContract`` is the specification.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from langchain_memllm.belief import Batch, Current, Plan, Quarantined, Use
from langchain_memllm.factindex import FactIndex, relation_token
from langchain_memllm.quotas import Limits
from langchain_memllm.stores.episodes import Turn, TurnStore
from langchain_memllm.stores.items import ItemStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.parts import Part
from langchain_memllm.stores.rows import receipt_of
from langchain_memllm.times import is_ahead
from langchain_memllm.triples import Fact, How, Namespace, Outcome, Receipt, rank_of

__all__ = [
    "BROADER",
    "OPERATION_DAYS",
    "SPELLING",
    "TRUSTED",
    "Candidate",
    "Embed",
    "Erased",
    "FactFilter",
    "Found",
    "LookupQuery",
    "Named",
    "Pending",
    "Planner",
    "RecallIndex",
    "Reindexing",
    "Relations",
    "Row",
    "SearchQuery",
    "Selection",
    "Stats",
    "TripleStore",
    "Vector",
    "Written",
    "clock_problems",
    "now",
    "pack_receipt",
    "redact_receipt",
    "unpack_receipt",
]

TRUSTED: Final = rank_of("user")
"""Rank from which a source is trusted."""

SPELLING: Final = 0.99
"""Similarity of a name to one that differs only in accents, periods, apostrophes, hyphens or commas."""

BROADER: Final = 0.9
"""Similarity of a relation to the one that says the same with less detail (son, child)."""

OPERATION_DAYS: Final = 30
"""Days for which a second delivery of an operation is recognised."""

Vector: TypeAlias = NDArray[np.float32]
Planner = Callable[[Current], Plan]


@dataclass(frozen=True, slots=True)
class LookupQuery:
    """A question by key.

    Args:
        side: Which side of the triple is known.
        keys: Keys of the known name (a name and a literal may share a spelling); any of them, or an alias, matches.
        relation: Key of the relation; None for any.
        inverse: Key of the inverse relation, read the other way round; answers of both readings are in one order.
        narrower: Keys of relations that answer for ``relation`` too.
        narrower_inverse: Keys of those that answer for ``inverse`` too.
    """

    side: Literal["subject", "object"]
    keys: tuple[str, ...]
    relation: str | None = None
    inverse: str | None = None
    narrower: tuple[str, ...] = ()
    narrower_inverse: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A question by similarity of names, in namespaces that know the exact names or not.

    Args:
        side: Which side of the triple is known.
        keys: Keys of the known name.
        vector: Unit vector of the known name; None: use the stored vector of a name with one of ``keys``, if any.
        relation: Key of the relation.
        relation_vector: Unit vector of the relation; None: use the stored one of that key, if any.
        keep_known: In a namespace that has the name itself (or an alias), only it stands for the known side, with
            similarity 1.0: Marie Curie is not answered with Pierre Curie. Another spelling does (``loose``).
        min_entity: Least cosine of the known name with a stored one.
        min_relation: Least cosine of the relation with a stored one.
        min_similarity: Least mean of the two.
        barred: Keys of relations that never stand for ``relation``.
        narrower: Keys of relations that stand for ``relation`` as it does itself.
        broader: Key of the relation that says the same with less detail; it stands for it with similarity ``BROADER``.
        loose: Loose key of the known name; with ``keep_known`` names that share it stand for it too, with similarity
            ``SPELLING``.
    """

    side: Literal["subject", "object"]
    keys: tuple[str, ...]
    vector: Vector | None
    relation: str
    relation_vector: Vector | None
    keep_known: bool
    min_entity: float
    min_relation: float
    min_similarity: float
    barred: frozenset[str] = frozenset()
    narrower: tuple[str, ...] = ()
    broader: str | None = None
    loose: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A fact that answers; ``via`` is the spelling of the stored name that led to it."""

    fact: Fact
    how: How
    entity_similarity: float = 1.0
    relation_similarity: float = 1.0
    via: str = ""

    @property
    def similarity(self) -> float:
        """Mean of the two similarities, rounded to 5 decimals so that both stores order alike."""
        return round((self.entity_similarity + self.relation_similarity) / 2, 5)


@dataclass(frozen=True, slots=True)
class Named:
    """A name that was asked for, or an alias of one: its key, how it was found, and its spelling."""

    key: str
    how: How
    spelling: str


class Relations:
    """The relations of a namespace that have a vector: few, so always compared exactly."""

    def __init__(self, keys: Sequence[str], labels: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keys, labels and unit vectors, shape (n, D)."""
        self.keys, self.labels, self.vectors = tuple(keys), tuple(labels), vectors
        self.places = {key: place for place, key in enumerate(keys)}
        numbers = np.array([relation_token(key) for key in keys], np.uint32)
        order = np.argsort(numbers, kind="stable")
        self.tokens = (numbers[order], order)
        """Tokens of the relations, sorted, and the place of each."""


@dataclass(frozen=True, slots=True)
class RecallIndex:
    """What recall looks for facts in; see ``TripleStore.recall_index``."""

    facts: FactIndex[Any]
    relations: Relations
    named: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open fact that may be recalled; similarities are cosines of the names at its ends, 0 without a vector."""

    id: int | str
    fact: Fact
    subject_key: str
    relation_key: str
    object_key: str
    subject_similarity: float = 0.0
    object_similarity: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """Answers to one query: at most ``limit`` rows in order, and whether there were more.

    ``pending`` (of a search): some names or relations have no vector yet, and were not compared. ``knows_name`` and
    ``knows_relation`` tell, for each namespace of the call, whether it holds that very name (or an alias) and that
    relation.
    """

    rows: tuple[Row, ...] = ()
    truncated: bool = False
    knows_name: tuple[bool, ...] = ()
    knows_relation: tuple[bool, ...] = ()
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """A name or relation that has no vector yet. Literals are never pending: they are compared exactly only."""

    kind: Literal["name", "relation"]
    key: str
    spelling: str


Embed = Callable[[Sequence[Pending]], Sequence[Vector | None]]


@dataclass(frozen=True, slots=True)
class Written:
    """Result of ``transact``: the receipt, whether it is that of an earlier delivery, and what now wants a vector.

    ``ahead``: the time of the operation before, if the clock was more than a day ahead then.
    """

    receipt: Receipt
    replayed: bool = False
    pending: tuple[Pending, ...] = ()
    ahead: str = ""


@dataclass(frozen=True, slots=True)
class FactFilter:
    """Which facts to list; every given condition must hold. Names match by key or alias.

    ``narrower`` are keys of relations that are listed with ``relation``.
    """

    ids: tuple[str, ...] | None = None
    subject_keys: tuple[str, ...] | None = None
    relation: str | None = None
    narrower: tuple[str, ...] = ()
    object_keys: tuple[str, ...] | None = None
    source: tuple[str, str] | None = None  # (kind, ref)
    open_only: bool = False
    after_seq: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """What to forget: exactly one of the fields (``narrower`` is the slot's), or ``everything`` of the namespace."""

    fact_ids: tuple[str, ...] = ()
    slot: tuple[tuple[str, ...], str] | None = None  # (subject keys, relation key): current and past
    narrower: tuple[str, ...] = ()  # keys of relations that answer for the slot's, and are forgotten with it
    name_keys: tuple[str, ...] = ()  # facts at both ends, and those of its aliases
    source: tuple[str | None, str] | None = None  # (kind or None for any, ref)
    everything: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Erased:
    """What forgetting removed; ``reopened`` are facts that only the forgotten source had retired.

    ``outbox`` counts texts that wait for their extraction and were cut or removed; ``turns`` those that were said.
    ``named_in`` (of forgetting a name) are sources that are still there and whose ref, or who spoke in them, holds the
    name: ``web https://example.org/ada``, ``principal ada``; forget those too if they tell of it.
    ``notes`` say what purging could not do.
    ``similar_names`` (of forgetting a name) are other names that are still there and that reading would take it for:
    other spellings (José, Jose), and where nothing was forgotten the most similar ones.
    """

    fact_ids: tuple[str, ...] = ()
    names: int = 0
    relations: int = 0
    sources: int = 0
    operations: int = 0
    quarantined: int = 0
    outbox: int = 0
    turns: int = 0
    reopened: tuple[str, ...] = ()
    similar_names: tuple[str, ...] = ()
    named_in: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def facts(self) -> int:
        """Number of facts removed."""
        return len(self.fact_ids)

    def __repr__(self) -> str:
        """One line of counts."""
        counts = {"facts": self.facts, **{name: len(v) if isinstance(v, tuple) else v for name, v in _values(self)}}
        for told in ("fact_ids", "named_in", "notes"):
            counts.pop(told)
        return f"<Erased {_counted(counts)}>"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in _values(self)}


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """Counts of one namespace; ``pending`` names wait for a vector, ``outbox`` texts for their extraction.

    ``turns`` were said in ``episodes`` of ``sessions``, and are kept as they were spoken (``stores.episodes``).
    ``limits``: how much of each limit is used, as (used, most); ``use`` is what that is worked out from.
    """

    facts: int = 0
    past: int = 0
    names: int = 0
    relations: int = 0
    sources: int = 0
    operations: int = 0
    quarantined: int = 0
    pending: int = 0
    outbox: int = 0
    turns: int = 0
    episodes: int = 0
    sessions: int = 0
    seq: int = 0
    extra: dict[str, int | str] = field(default_factory=dict)
    use: Use = field(default_factory=Use)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line of counts."""
        left_out = ("seq", "extra", "use", "limits")
        return f"<Stats {_counted({name: value for name, value in _values(self) if name not in left_out})}>"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        told = {name: dict(value) if isinstance(value, dict) else value for name, value in _values(self)}
        told["limits"] = {name: {"used": used, "most": most} for name, (used, most) in self.limits.items()}
        del told["use"]
        return told


def _values(value: Erased | Stats) -> list[tuple[str, Any]]:
    return [(each.name, getattr(value, each.name)) for each in fields(value)]


def _counted(counts: dict[str, int]) -> str:
    told = ((count, name.replace("_", " ")) for name, count in counts.items() if count)
    return ", ".join(f"{count} {name.removesuffix('s') if count == 1 else name}" for count, name in told) or "nothing"


@runtime_checkable
class Reindexing(Protocol):
    """A store that keeps what things are found by beside them."""

    def rebuild_index(self) -> int:
        """Make that anew from what is stored; returns how much of it was missing or wrong."""


class TripleStore(Protocol):
    """Where a memory is kept. Every method raises a ``StoreError`` when the store cannot do it."""

    @property
    def location(self) -> str:
        """Where it is, for people: a path or a URI without credentials."""

    @property
    def shared(self) -> bool:
        """Whether other applications are expected to use the same store (a server)."""

    def transact(self, namespace: Namespace, batch: Batch, plan: Planner, embed: Embed | None = None) -> Written:
        """Apply one operation in one transaction.

        Locks the namespace, looks for ``batch.op_id`` (same payload hash: return its receipt unchanged), loads
        the open facts of the touched slots by alias class, calls ``plan`` and applies what it returns together
        with the operation, its receipt and its quarantine. With ``embed``, which is called under the lock and so must
        take microseconds and not fail, names that are new get their vectors in the same transaction; without it they
        are ``pending``.

        With ``batch.outbox_version`` the operation is what an entry of the outbox becomes: the entry is removed in the
        same transaction, and must be there with that version.

        Raises:
            OperationConflict: The op_id was used with another payload hash.
            OutboxChanged: The entry was changed or is gone; nothing was written.
            StoreError: Nothing was written.
        """

    @property
    def items(self) -> ItemStore:
        """Items of LangGraph's long-term store, in the same database."""

    @property
    def turns(self) -> TurnStore:
        """What was said, beside the facts."""

    def put_outbox(
        self, namespace: Namespace, entries: Sequence[OutboxEntry], now: str, turns: Sequence[Turn] = ()
    ) -> str:
        """Commit what was said, durably, before anything is made of it; returns when it was recorded.

        That is ``now``, but always later than what was recorded before in the namespace: a clock may go back. An entry
        that has a time of its own keeps it.

        An entry whose operation was done already is left out. One that waits under the same name takes the new text
        (with its version counted up); one with ``replace`` also removes those that wait from the same source.

        ``turns`` are kept in the same transaction, each once: one that is there takes the new text, one that was
        forgotten does not come back (``episodes.placed``).
        """

    def outbox(
        self, namespace: Namespace, *, op_ids: Sequence[str] | None = None, limit: int = 1000
    ) -> list[OutboxEntry]:
        """What waits, oldest first; of these operations, if given."""

    def drop_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> int:
        """Remove entries without writing them; returns how many there were."""

    def fail_outbox(self, namespace: Namespace, op_ids: Sequence[str]) -> None:
        """Count a failed attempt of entries."""

    def receipt(self, namespace: Namespace, op_id: str) -> tuple[str, Receipt] | None:
        """(payload hash, receipt) of an earlier operation, or None."""

    def lookup(
        self,
        namespaces: Sequence[Namespace],
        queries: Sequence[LookupQuery],
        *,
        at: str | None = None,
        valid_at: str | None = None,
        limit: int = 30,
    ) -> list[Found]:
        """Facts by key, alias or inverse: open ones, or with ``at`` those open at that record time (ISO).

        ``valid_at`` (partial ISO date) keeps facts whose stated interval contains it, and also looks at past and
        superseded ones: a missing ``valid_to`` of a closed fact is the day it ended (``Close.ended``). Retracted
        and replaced facts never answer it.
        """

    def search(
        self, namespaces: Sequence[Namespace], queries: Sequence[SearchQuery], *, limit: int = 30
    ) -> list[Found]:
        """Open facts by similarity of names and relations; rows have ``how="similar"``."""

    def recall_index(self, namespace: Namespace, keys: Sequence[str]) -> RecallIndex | None:
        """What recall looks for facts in: the words of open facts, the relations, and the names asked for.

        Facts closed since the index was made may still be in it; ``candidates`` leaves them out, ``closed`` tells them.

        Args:
            namespace: Whose memory.
            keys: Keys of what may be names.

        Returns:
            None if there is no such namespace.
        """

    def candidates(self, namespace: Namespace, ids: Sequence[int | str], vector: Vector | None) -> list[Candidate]:
        """The open facts with these ids of a ``RecallIndex``, in any order, beside a vector.

        Args:
            namespace: Whose memory.
            ids: As ``RecallIndex.facts`` has them.
            vector: Unit vector to compare the names with; None: similarities are 0.
        """

    def closed(self, namespace: Namespace, ids: Sequence[int | str]) -> set[int | str]:
        """Which of these ids are facts that were closed since ``recall_index`` gave them: they never open again.

        One that a server does not find yet, because it was written a moment ago, is not among them.
        """

    def facts(self, namespaces: Sequence[Namespace], where: FactFilter | None = None) -> Iterator[Fact]:
        """Facts with their sources, in commit order within each namespace."""

    def dump(self, namespace: Namespace) -> Iterator[Part]:
        """Everything a namespace is made of but vectors: what ``restore`` needs to make the same memory elsewhere.

        Relations and names in the order in which they came, facts in commit order, alias classes, operations by seq,
        quarantine, and last the ``Head``; nothing for a namespace that is not there. Read in pages: what is written
        meanwhile may be in it or not.
        """

    def restore(self, namespace: Namespace, parts: Sequence[Part], limits: Limits | None = None) -> tuple[Pending, ...]:
        """Put parts of a dump back as they were; what is there already (by key, id, op_id) is left alone.

        For imports and copies, not for statements: nothing is decided. An open fact whose triple stands already is
        left out. The namespace's ``seq`` becomes at least the highest one restored. One transaction a call (in Neo4j
        aliases have their own), at most ``parts.BLOCK`` parts or so; quarantine of one time comes in one call, because
        equal pieces are counted. Returns what now wants a vector.

        Raises:
            QuotaExceeded: With ``limits``: the namespace would hold more; nothing of this call was put back.
        """

    def erase(self, namespace: Namespace, selection: Selection, *, purge: bool = False) -> Erased:
        """Remove facts, names nobody uses any more, vectors, evidence, quarantine and ids in receipts.

        The operations themselves stay, so that a late second delivery is still recognised: in their receipts each
        outcome of an erased fact becomes ``forgotten`` without id or reason, and quarantined ones lose their reason.
        Quarantine goes that names what is forgotten, comes from it, or was put aside by an operation that stated it.
        Sentences shared with facts that stay are nulled. ``purge`` also rewrites the file, where there is one; where
        there is none, ``Erased.notes`` says what stays. Forgetting everything removes operations too.
        """

    def pending(self, namespace: Namespace, *, limit: int = 10_000) -> list[Pending]:
        """Names and relations without a vector, oldest first."""

    def fill(
        self, namespace: Namespace, items: Sequence[Pending], vectors: Sequence[Vector | None], *, spent: float = 0.0
    ) -> None:
        """Set vectors of pending names; None marks one that has no vector and is found exactly only.

        ``spent``: seconds that the caller's call has taken; a server is waited for as long as its deadline leaves.
        """

    def link(self, namespace: Namespace, name: tuple[str, str], alias: tuple[str, str], *, limit: int = 32) -> None:
        """Make two names, each (key, spelling), one alias class; unknown names are created.

        Raises:
            ConfigurationError: The class would have more than ``limit`` names.
        """

    def aliases(self, namespace: Namespace) -> list[tuple[str, ...]]:
        """Spellings of every alias class with more than one name, sorted."""

    def spellings(self, namespace: Namespace, loose: str) -> list[str]:
        """Names with this loose key (or for which it is the key), as they are spelled, in the order they came."""

    def quarantined(self, namespace: Namespace) -> list[Quarantined]:
        """Quarantined pieces, oldest first."""

    def record(self, name: str, *, within: float | None = None) -> str | None:
        """A record of the store: the fingerprint, the declared relations; a server is asked for so many seconds."""

    def put_record(self, name: str, value: str, *, expected: str | None) -> str:
        """Set a record if it is still ``expected``; return the one in force afterwards."""

    def namespaces(self) -> list[Namespace]:
        """All namespaces, sorted. For operators: nothing that serves one user calls it."""

    def stats(self, namespace: Namespace) -> Stats:
        """Counts of one namespace."""

    def uses(self) -> list[tuple[Namespace, Use]]:
        """How much each namespace holds. For operators: nothing that serves one user calls it."""

    def check(self) -> list[str]:
        """Problems found by a full check of the store; empty when sound."""

    def close(self) -> None:
        """Release what was opened here. Idempotent."""


def now() -> str:
    """The present as every store writes it: ISO, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def clock_problems(namespace: str, seq: int, last_at: str, restarts: str, moment: str) -> list[str]:
    """What to say of clocks that were more than a day ahead: the last one, and those of the last days.

    Args:
        namespace: Its name.
        seq: Number of its last operation.
        last_at: Time of its last operation.
        restarts: Number and time of the operations at which a clock was right again, as JSON.
        moment: The present.

    Values that are not such things say nothing here: the check of the rows tells them.
    """
    try:
        return _clock_problems(namespace, seq, last_at, restarts, moment)
    except (TypeError, ValueError, RecursionError):
        return []


def _clock_problems(namespace: str, seq: int, last_at: str, restarts: str, moment: str) -> list[str]:
    oldest = (datetime.fromisoformat(moment) - timedelta(days=OPERATION_DAYS)).isoformat(timespec="microseconds")
    found = [
        f"namespace {namespace}: until operation {number} a clock was more than a day ahead; it was right again at "
        f"{at}, and questions about the past (at=) count from there"
        for number, at in json.loads(restarts)
        if at >= oldest
    ]
    if is_ahead(last_at, moment):
        found.append(
            f"namespace {namespace}: operation {seq} was recorded at {last_at}, more than a day after now; set the "
            "clock of the machine that wrote it (or of this one)"
        )
    return found


def pack_receipt(receipt: Receipt) -> str:
    """A receipt as a store keeps it: compact JSON of ids and outcomes, never text."""
    outcomes = [
        [outcome.index, outcome.status, outcome.fact_id, outcome.supersedes, outcome.contests, outcome.reason]
        + ([outcome.superseded, outcome.contested] if _is_cut(outcome) else [])
        for outcome in receipt.outcomes
    ]
    return json.dumps([receipt.seq, receipt.recorded_at, outcomes, receipt.replaced], separators=(",", ":"))


def _is_cut(outcome: Outcome) -> bool:
    """Whether an outcome counts more facts than it lists."""
    return (outcome.superseded, outcome.contested) != (len(outcome.supersedes), len(outcome.contests))


def unpack_receipt(namespace: Namespace, op_id: str, packed: object) -> Receipt:
    """Inverse of ``pack_receipt``.

    Raises:
        StoreCorrupt: It is something else.
    """
    return receipt_of(namespace, op_id, packed, "the table of operations")


def redact_receipt(receipt: Receipt, erased: AbstractSet[str]) -> Receipt:
    """The receipt without a trace of erased facts: their outcomes become ``forgotten``.

    Of what was quarantined the reason goes: whoever put it aside may have quoted it.
    """

    def keep(ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(fact_id for fact_id in ids if fact_id not in erased)

    def kept(outcome: Outcome) -> Outcome:
        supersedes, contests = keep(outcome.supersedes), keep(outcome.contests)
        superseded = outcome.superseded - len(outcome.supersedes) + len(supersedes)
        contested = outcome.contested - len(outcome.contests) + len(contests)
        reason = None if outcome.status == "quarantined" else outcome.reason
        return replace(
            outcome,
            supersedes=supersedes,
            contests=contests,
            reason=reason,
            superseded=superseded,
            contested=contested,
        )

    outcomes = tuple(
        Outcome(outcome.index, "forgotten") if outcome.fact_id in erased else kept(outcome)
        for outcome in receipt.outcomes
    )
    return replace(receipt, outcomes=outcomes, replaced=keep(receipt.replaced))
