"""What becomes of a statement that meets what is already believed: the truth table, as pure functions.

``decide`` looks at one slot (the open facts with the same subject and relation) and one claim; ``resolve`` folds it
over a batch and returns the changes for a store to apply. Nothing here does I/O, reads a clock or knows a store. The
rows of the table are those of ``docs/what_is_believed.md``, and ``tests/unit/test_belief.py`` has one case for each.

The reason for ranks: "a newer value closes the older one" is the channel by which graph memories are poisoned
(ShadowMerge, arXiv 2605.09033), so a source closes only what sources of lower rank, or the same person, had said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, get_args

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.times import is_later, is_over, local_day
from langchain_memllm.triples import (
    Fact,
    Namespace,
    Outcome,
    Phase,
    Receipt,
    Source,
    Status,
    Triple,
    rank_of,
    shown,
    stable_hash,
)

__all__ = [
    "MAX_BATCH",
    "MAX_OPEN",
    "MAX_SLOT",
    "Batch",
    "Claim",
    "Close",
    "Current",
    "Decision",
    "Evidence",
    "Former",
    "Insert",
    "Plan",
    "Policy",
    "Promote",
    "Quarantined",
    "Standing",
    "Stands",
    "Use",
    "Withdraw",
    "best_evidence",
    "check_policy",
    "decide",
    "fact_id",
    "phase_of",
    "precedence",
    "resolve",
    "standing_of",
    "stands",
]

Policy = Literal["chat", "edit", "paper"]
"""``chat``: the truth table. ``edit``: a newer statement always wins (row 16). ``paper``: never close (row 17)."""

MAX_BATCH: Final = 4096
"""Most triples of one operation; an ordinal has 12 bits in ``precedence``."""

MAX_OPEN: Final = 64
"""Most values that may stand in a slot for one; what replaces none of so many is not stored (row 26)."""

MAX_SLOT: Final = 256
"""Most open facts of a slot that a decision looks at, the best first: older files may hold slots with more."""

_PEOPLE: Final = frozenset({"system", "owner", "user"})  # who settles a contested value by saying it again (row 10)
_PERSONAL: Final = _PEOPLE | {"tool"}  # kinds whose same principal corrects itself (row 7)


_FULL: Final = (
    f"{MAX_OPEN} values stand there already and contest one another; state the one that holds, or retract the others, "
    "and write this again"
)
_NAMESAKE: Final = (
    "this may be another person of that name: if so, give each a name of their own (retract this one, write it under "
    "the full name); if it is the same person, state it again, and use alias() for what else they are called"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One proposed triple, cleaned and canonicalised, with the keys under which it is compared."""

    index: int
    triple: Triple
    subject_key: str
    relation_key: str
    object_key: str
    single_valued: bool = False
    source: Source = field(default_factory=Source)
    valid_from: str | None = None
    valid_to: str | None = None
    confidence: float | None = None
    retract: bool = False
    namesake: bool = False  # its subject may be another of that name (row 25)

    @property
    def keys(self) -> tuple[str, str, str]:
        """Keys of subject, relation and object."""
        return self.subject_key, self.relation_key, self.object_key


@dataclass(frozen=True, slots=True)
class Standing:
    """An open fact, as far as decisions look at it."""

    fact_id: str
    subject_key: str
    relation_key: str
    object_key: str
    kind: str
    principal: str | None
    seq: int
    recorded_at: str
    valid_from: str | None = None
    valid_to: str | None = None
    said_at: str | None = None

    @property
    def keys(self) -> tuple[str, str, str]:
        """Keys of subject, relation and object."""
        return self.subject_key, self.relation_key, self.object_key

    @property
    def rank(self) -> int:
        """Rank of the best primary source."""
        return rank_of(self.kind)

    @property
    def said(self) -> str:
        """When its best source said it last."""
        return self.said_at or self.recorded_at

    @property
    def takes_effect(self) -> str:
        """When it was said or, if it was said of a later time, when that time comes."""
        return max(self.said, self.valid_from or "")

    @property
    def began(self) -> str:
        """Date from which it holds: as stated, else the day it was said."""
        return self.valid_from or local_day(self.said)


@dataclass(frozen=True, slots=True)
class Former:
    """An open fact that the former version of a source states, and the best of what else supports it, if anything."""

    fact: Standing
    left: tuple[str, str | None, str | None] | None = None  # (kind, principal, when it was said)


@dataclass(frozen=True, slots=True, repr=False)
class Quarantined:
    """A piece of model output that could not be used, kept for people to look at."""

    text: str
    reason: str
    source: Source = field(default_factory=Source)
    recorded_at: str = ""

    def __repr__(self) -> str:
        """One line: how it begins, and why it could not be used."""
        return f"<Quarantined {shown(self.text)!r}: {shown(self.reason, 120)}>"


@dataclass(frozen=True, slots=True)
class Batch:
    """One operation as proposed: the good claims, and the outcomes of those rejected before the store saw them."""

    op_id: str
    payload_hash: str
    recorded_at: str
    claims: tuple[Claim, ...] = ()
    rejected: tuple[Outcome, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()
    policy: Policy = "chat"
    replaces: tuple[str, str] | None = None  # (kind, ref) of a source of which this batch is the new version
    principal: str | None = None  # whose version it is: what others said by that source stays
    today: str = ""  # the day on the speaker's calendar; by default that of ``recorded_at``
    outbox_version: int | None = None  # it is what an entry of the outbox becomes, extracted from that version of it


class Use(NamedTuple):
    """How much a namespace holds, and how much came in lately: what ``quotas.Limits`` are about.

    A statement is one time that a fact was stated (stored, confirmed, put into the history), or a piece in quarantine;
    its characters are those of its three names and its sentence, or of the piece.

    Args:
        statements: All of them.
        characters: Theirs.
        untrusted: Those of sources of a lower rank than ``user``.
        untrusted_characters: Theirs.
        hour: The hour (ISO, UTC) of the last statement of a kind that is counted by time (``quotas.COUNTED``).
        in_hour: How many of those came in that hour.
        in_day: How many came on its day.
    """

    statements: int = 0
    characters: int = 0
    untrusted: int = 0
    untrusted_characters: int = 0
    hour: str = ""
    in_hour: int = 0
    in_day: int = 0


@dataclass(frozen=True, slots=True)
class Current:
    """What a store holds for the slots of a batch, read under the namespace's lock.

    ``facts`` are the open facts of every touched slot, loaded by alias class; ``classes`` maps a name's key to the
    key of its alias class (absent: itself); ``replaced`` are the open facts that the replaced source supports.
    ``seq`` is this operation's number in the namespace and ``now`` its time, never earlier than the last one's. ``use``
    is how much the namespace holds before it.
    """

    namespace: Namespace
    seq: int
    now: str
    facts: tuple[Standing, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    replaced: tuple[Former, ...] = ()
    attempt: int = 0  # how often the ids of new facts were found to be taken
    use: Use = field(default_factory=Use)


@dataclass(frozen=True, slots=True)
class Insert:
    """A new fact; ``closed_why="past"`` when it goes straight to history, with the day it ended if that is known."""

    fact_id: str
    claim: Claim
    closed_why: str | None = None
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One more source for a fact that stands; ``keys`` are those of the fact, which the claim may call by aliases."""

    fact_id: str
    claim: Claim
    keys: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Promote:
    """A better primary source states a fact, or the same one later: kind, principal and time are the fact's now."""

    fact_id: str
    kind: str
    principal: str | None
    said_at: str | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A source no longer states a fact that others do: its evidence goes, the best that is left decides the rank."""

    fact_id: str
    source: Source
    kind: str
    principal: str | None
    said_at: str | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """An open fact becomes past: ``why`` is superseded, retracted or replaced; ``by`` the fact in its place."""

    fact_id: str
    why: str
    by: str | None = None
    ended: str | None = None
    source: Source = field(default_factory=Source)


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes to apply in one transaction, in the order of the fields, and the receipt to store with them.

    A fact may be inserted and closed by the same plan.
    """

    receipt: Receipt
    inserts: tuple[Insert, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    withdrawals: tuple[Withdraw, ...] = ()
    promotes: tuple[Promote, ...] = ()
    closes: tuple[Close, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What one claim does to one slot; the tuples hold fact ids."""

    status: Status
    supersedes: tuple[str, ...] = ()
    contests: tuple[str, ...] = ()
    same: str | None = None
    retracts: str | None = None
    reason: str | None = None
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class Stands:
    """How an open fact stands on a day: its phase, whether another value holds beside it, and what took its place.

    ``unconfirmed``: a source that nobody vouches for says it in words of its own, of something that a person spoke of.
    """

    phase: Phase = "now"
    contested: bool = False
    by: Standing | None = None
    unconfirmed: bool = False


def check_policy(policy: str) -> Policy:
    """Return ``policy`` if it is one.

    Raises:
        ConfigurationError: It is not.
    """
    if policy not in get_args(Policy):
        raise ConfigurationError(f"policy {policy!r} is unknown; use one of {', '.join(get_args(Policy))}")
    return policy  # type: ignore[return-value]


def precedence(kind: str, seq: int, ordinal: int) -> int:
    """Order of facts that answer equally well, highest first: rank of the source, then newest. Fits 63 bits."""
    return (rank_of(kind) << 56) | (seq << 12) | ordinal


def best_evidence(
    evidence: Iterable[tuple[str, str | None, int, int, str | None]],
) -> tuple[str, str | None, str | None]:
    """What a fact is by this evidence (kind, principal, seq, ordinal, said at): kind, principal and time of the best.

    Of equals it is the first.
    """
    kind, principal, _, _, said_at = min(evidence, key=lambda each: (-rank_of(each[0]), each[2], each[3]))
    return kind, principal, said_at


def fact_id(namespace: Namespace, claim: Claim, seq: int, attempt: int = 0) -> str:
    """Id of the fact that a claim stores: the triple at one place in one namespace's order.

    ``attempt`` counts ids that are taken already: an import may bring what this one would have been.
    """
    place = (claim.subject_key, claim.relation_key, claim.object_key, seq, claim.index)
    return stable_hash("fact", *namespace, *place, *([attempt] if attempt else []))


def standing_of(fact: Fact) -> Standing:
    """A stored fact as far as time and rank go; its keys are left out."""
    times = (fact.seq, fact.recorded_at, fact.valid_from, fact.valid_to, fact.said_at)
    return Standing(fact.id, "", "", "", fact.kind, fact.principal, *times)


def phase_of(valid_from: str | None, valid_to: str | None, day: str) -> Phase:
    """Where something that holds from one day to another stands on a day; all of them are partial ISO dates."""
    return "planned" if is_later(valid_from, day) else "over" if is_over(valid_to, day) else "now"


def stands(facts: Sequence[Standing], day: str) -> dict[str, Stands]:
    """How the open facts of one single-valued slot stand on a day, by id (rows 22 and 24).

    A plan takes the place of what it beats when its day has come; one with an end stands beside it while it lasts. One
    of a lower rank than what holds is contested before its day.
    """
    begun = [fact for fact in facts if fact.valid_from and phase_of(fact.valid_from, fact.valid_to, day) == "now"]
    found: dict[str, Stands] = {}
    holding: list[Standing] = []
    for fact in facts:
        phase, by = phase_of(fact.valid_from, fact.valid_to, day), _successor(fact, begun)
        if phase == "now" and by is None:
            holding.append(fact)
        found[fact.fact_id] = Stands("over" if phase == "now" and by is not None else phase, False, by)
    for fact in facts:  # a plan that will replace nothing will contest it
        if found[fact.fact_id].phase == "planned" and any(f.rank > fact.rank for f in holding):
            found[fact.fact_id] = Stands("planned", True)
    rivals = [fact for fact in holding if fact.valid_from is None or not any(_follows(fact, o) for o in holding)]
    if len(rivals) > 1:
        found.update((fact.fact_id, Stands("now", True)) for fact in rivals)
    return found


def _successor(fact: Standing, begun: Sequence[Standing]) -> Standing | None:
    """What has taken a fact's place, as was planned: a value without an end that began after it."""
    plans = [plan for plan in begun if plan.valid_to is None and _follows(plan, fact)]
    return min(plans, key=lambda plan: (plan.valid_from or "", plan.fact_id)) if plans else None


def _follows(plan: Standing, fact: Standing) -> bool:
    """Whether one value was to follow another: it begins after that one did, by the word of who may say so."""
    return plan.valid_from is not None and plan.valid_from > fact.began and _beats(plan, fact)


def decide(
    standing: Sequence[Standing],
    claim: Claim,
    policy: Policy,
    *,
    seq: int,
    now: str,
    today: str,
    classes: Mapping[str, str],
) -> Decision:
    """Decide what a claim does to its slot.

    Args:
        standing: Open facts of the claim's subject (or an alias of it) and relation.
        claim: What is stated.
        policy: Which rules.
        seq: Number of the operation; facts of the same number were stated together with the claim.
        now: Time of the operation, ISO.
        today: The day on the calendar.
        classes: Alias class of a name's key, where it is not the key itself.
    """
    of = classes.get
    if _is_reflexive(claim, classes):
        return Decision("rejected", reason="subject and object are the same name")  # row 19
    target = of(claim.object_key, claim.object_key)
    same = next((fact for fact in standing if of(fact.object_key, fact.object_key) == target), None)
    others = [fact for fact in standing if fact is not same and of(fact.object_key, fact.object_key) != target]
    said = claim.source.at or now
    if claim.retract:
        return _decide_retraction(same, claim, policy, said)
    if policy == "paper":  # row 17
        return _stored(same, ())
    if is_over(claim.valid_to, today):  # row 5
        return _decide_over(same, claim, said)
    planned = is_later(claim.valid_from, today)
    replaced = same if same is not None and is_later(same.valid_from, today) and _alters(claim, same, said) else None
    if replaced is not None:
        same = None
    elif same is not None and is_later(same.valid_from, today) and not planned:
        return _stored(same, ())  # who may not alter the plan supports it
    rivals = [fact for fact in others if _meets(fact, claim, planned, today)]
    if policy == "edit":
        decision = _decide_edit(same, rivals, said, seq)
    elif claim.single_valued:
        decision = _decide_rivals(same, rivals, claim, said, standing)
    else:
        decision = _stored(same, ())  # rows 1 to 4, 18
    if replaced is None or decision.status == "past":
        return decision
    return replace(decision, supersedes=(replaced.fact_id, *decision.supersedes))  # row 23


def _is_one(claim: Claim, policy: Policy) -> bool:
    """Whether a claim's slot holds one value at a time."""
    return claim.single_valued and policy != "paper"


def _is_reflexive(claim: Claim, classes: Mapping[str, str]) -> bool:
    """Whether subject and object are one name."""
    return classes.get(claim.subject_key, claim.subject_key) == classes.get(claim.object_key, claim.object_key)


def _decide_retraction(same: Standing | None, claim: Claim, policy: Policy, said: str) -> Decision:
    if same is None:  # row 15
        return Decision("not_found", reason="no such fact is open")
    if policy == "paper":  # row 17
        return Decision("rejected", reason="policy 'paper' never closes a fact")
    if same.said > said:  # row 21
        return Decision("not_found", reason="it was stated again after this was said")
    rank = claim.source.rank
    own = rank >= same.rank and claim.source.principal == same.principal
    if own or rank > same.rank or policy == "edit":  # row 13
        return Decision("retracted", retracts=same.fact_id)
    who = "a source of higher rank" if rank < same.rank else "another principal"
    return Decision("rejected", reason=f"stated by {who}; only that source or a better one may retract it")  # row 14


def _decide_over(same: Standing | None, claim: Claim, said: str) -> Decision:
    """Row 5: what has ended goes to the history, and ends the same fact if that stands and began no later."""
    ends = (
        same is not None
        and same.said <= said
        and _beats(claim.source, same)
        and not (same.valid_from is not None and same.valid_from > (claim.valid_to or ""))
    )
    return Decision("past", supersedes=(same.fact_id,) if same is not None and ends else ())


def _alters(claim: Claim, plan: Standing, said: str) -> bool:
    """Whether a claim says of a planned fact that it begins or ends on another day, or has begun (row 23)."""
    other = (claim.valid_from, claim.valid_to) != (plan.valid_from, plan.valid_to)
    return other and plan.said <= said and _beats(claim.source, plan)


def _meets(fact: Standing, claim: Claim, planned: bool, today: str) -> bool:
    """Whether a claim says something about the time of a fact: a plan meets only plans of the same day (row 22)."""
    if is_later(fact.valid_from, today) != planned:
        return False
    return not planned or fact.valid_from == claim.valid_from


def _decide_edit(same: Standing | None, others: Sequence[Standing], said: str, seq: int) -> Decision:
    """Row 16: a statement replaces what earlier operations said, not what it was said with, nor what was said later."""
    later = [fact for fact in others if fact.said > said]
    if later:
        return Decision("past", ended=min(fact.began for fact in later))
    closed = tuple(fact.fact_id for fact in others if fact.seq < seq)
    return _stored(same, closed)


def _decide_rivals(
    same: Standing | None, others: Sequence[Standing], claim: Claim, said: str, standing: Sequence[Standing]
) -> Decision:
    """A value for a single-valued slot that may hold others (rows 1 to 10, 20, 21 and 26)."""
    over = [fact for fact in others if _ended_it(fact, claim, said)]
    if over:
        return Decision("past", ended=min(fact.began for fact in over))  # rows 20, 21
    wins = _beats if same is None else _settles
    beaten = tuple(f.fact_id for f in others if wins(claim.source, f) and not _comes_after(f, claim, said))
    if same is not None:
        return _stored(same, beaten)  # rows 2, 10, 18
    if len(standing) - len(beaten) >= MAX_OPEN:  # row 26
        return Decision("rejected", reason=_FULL)
    if claim.namesake and beaten and len(standing) < MAX_OPEN:  # row 25
        return Decision("stored", contests=tuple(fact.fact_id for fact in others), reason=_NAMESAKE)
    return _stored(None, beaten, tuple(fact.fact_id for fact in others if fact.fact_id not in beaten))


def _stored(same: Standing | None, supersedes: tuple[str, ...], contests: tuple[str, ...] = ()) -> Decision:
    if same is not None:
        return Decision("already", same=same.fact_id, supersedes=supersedes)
    return Decision("stored", supersedes=supersedes, contests=contests)


def _ended_it(fact: Standing, claim: Claim, said: str) -> bool:
    """Whether what a claim says had ended when a fact began, by the word of those who may say so.

    That is a fact which by its date came after the claim, from the same principal (row 20); or one that was said after
    the claim and would then have closed it (row 21).
    """
    if not _comes_after(fact, claim, said):
        return False
    dated = _dated_after(fact, claim) and fact.rank >= claim.source.rank
    return (dated and fact.principal == claim.source.principal) or _beats(fact, claim.source)


def _comes_after(fact: Standing, claim: Claim, said: str) -> bool:
    """Whether a fact follows a claim: by the dates stated, if both have one and they differ, else as they were said.

    The date of a source of lower rank does not count: a page dated next year would outrank everybody.
    """
    if fact.rank < claim.source.rank or claim.valid_from is None or fact.valid_from in (None, claim.valid_from):
        return fact.takes_effect > max(said, claim.valid_from or "")
    return _dated_after(fact, claim)


def _dated_after(fact: Standing, claim: Claim) -> bool:
    return fact.valid_from is not None and claim.valid_from is not None and fact.valid_from > claim.valid_from


def _beats(source: Source | Standing, other: Source | Standing) -> bool:
    """Whether a source may close a rival value: higher rank (row 6) or the same person (row 7); else rows 8, 9."""
    if source.rank != other.rank:
        return source.rank > other.rank
    return source.principal == other.principal and source.kind in _PERSONAL


def _settles(source: Source, fact: Standing) -> bool:
    """Whether saying a value again closes a rival (row 10): as a new value would, but among equals only a person."""
    return _beats(source, fact) and (source.rank > fact.rank or source.kind in _PEOPLE)


def resolve(batch: Batch, current: Current) -> Plan:
    """Fold ``decide`` over a batch and return what a store must change.

    Claims are taken in order, each seeing the effect of those before it. Additions to different slots commute.
    """
    return _Resolution(batch, current).run()


def _no_later(fact: Standing, now: str) -> Standing:
    """The fact as said now at the latest: the clock of whoever wrote it may have been ahead."""
    if fact.said <= now:
        return fact
    return replace(fact, recorded_at=min(fact.recorded_at, now), said_at=now)


class _Resolution:
    """The working state of one ``resolve``: open facts by slot, and the changes so far."""

    def __init__(self, batch: Batch, current: Current) -> None:
        self.batch, self.current = batch, current
        self.whole = {c.relation_key for c in batch.claims if batch.policy == "edit" or _is_one(c, batch.policy)}
        dropped = self._no_longer_stated()
        self.gone = tuple(former.fact for former in dropped if former.left is None)
        self.withdrawals = {former.fact.fact_id: self._withdraw(former) for former in dropped if former.left}
        gone = {fact.fact_id for fact in self.gone}
        facts = [self._weakened(_no_later(fact, current.now)) for fact in current.facts if fact.fact_id not in gone]
        self.slots: dict[tuple[str, ...], list[Standing]] = {}
        for fact in facts:
            self.slots.setdefault(self._slot(fact), []).append(fact)
        self.by_id = {fact.fact_id: fact for fact in facts}
        self.today = batch.today or local_day(current.now)
        self.caught_up: set[tuple[str, ...]] = set()
        self.outcomes: list[Outcome] = list(batch.rejected)
        self.inserts: list[Insert] = []
        self.evidence: list[Evidence] = []
        self.promotes: dict[str, Promote] = {}
        self.closes: dict[str, Close] = {}
        self.final = self._final_objects()

    def run(self) -> Plan:
        for claim in self.batch.claims:
            self.outcomes.append(self._take(claim))
        self._retire_gone()
        receipt = Receipt(
            op_id=self.batch.op_id,
            namespace=self.current.namespace,
            seq=self.current.seq,
            recorded_at=self.current.now,
            outcomes=tuple(sorted(self.outcomes, key=lambda outcome: outcome.index)),
            replaced=tuple(fact.fact_id for fact in self.gone),
        )
        return Plan(
            receipt,
            tuple(self.inserts),
            tuple(self.evidence),
            tuple(self.withdrawals.values()),
            tuple(self.promotes.values()),
            tuple(self.closes.values()),
            self.batch.quarantine,
        )

    def _class(self, key: str) -> str:
        return self.current.classes.get(key, key)

    def _slot(self, item: Claim | Standing) -> tuple[str, ...]:
        """What a decision looks at: all values where one may close another, else only those that are the same."""
        slot = self._class(item.subject_key), item.relation_key
        return slot if item.relation_key in self.whole else (*slot, self._class(item.object_key))

    def _final_objects(self) -> dict[tuple[object, ...], str]:
        """The last live value each speaker gives a single-valued slot in this batch (row 12; documents: row 11)."""
        final: dict[tuple[object, ...], str] = {}
        for claim in self.batch.claims:
            now = phase_of(claim.valid_from, claim.valid_to, self.today) == "now"
            alive = now and not claim.retract and not _is_reflexive(claim, self.current.classes)
            if claim.single_valued and alive and claim.source.kind != "document":
                final[self._speaker_slot(claim)] = self._class(claim.object_key)
        return final if self.batch.policy != "paper" else {}

    def _speaker_slot(self, claim: Claim) -> tuple[object, ...]:
        return (*self._slot(claim), claim.source.kind, claim.source.principal)

    def _take(self, claim: Claim) -> Outcome:
        slot = self._caught_up(claim)
        current = self.current
        decision = decide(
            slot,
            claim,
            self.batch.policy,
            seq=current.seq,
            now=current.now,
            today=self.today,
            classes=current.classes,
        )
        final = None if is_later(claim.valid_from, self.today) else self.final.get(self._speaker_slot(claim))
        if decision.status == "stored" and final is not None and final != self._class(claim.object_key):
            reason = "another value of the same statement came after it"  # row 12
            decision = Decision("past", reason=reason, ended=local_day(claim.source.at or current.now))
        return self._apply(slot, claim, decision)

    def _caught_up(self, claim: Claim) -> list[Standing]:
        """The claim's slot, in which what has ended since it was written is closed; a store learns of it here."""
        key = self._slot(claim)
        slot = self.slots.setdefault(key, [])
        whole = claim.relation_key in self.whole
        if self.batch.policy == "paper" or (whole and key in self.caught_up):
            return slot
        self.caught_up.update([key] if whole else [])
        standing = stands(slot, self.today) if whole else {}
        for fact in tuple(slot):
            how = standing.get(fact.fact_id) or Stands(phase_of(fact.valid_from, fact.valid_to, self.today))
            if how.phase == "over":
                ended = fact.valid_to if how.by is None else how.by.valid_from
                why, by = ("past", None) if how.by is None else ("superseded", how.by.fact_id)
                self._close(slot, fact.fact_id, why, claim, by=by, ended=ended)
        return slot

    def _apply(self, slot: list[Standing], claim: Claim, decision: Decision) -> Outcome:
        target = decision.same or decision.retracts
        if decision.status in ("stored", "past"):
            target = self._insert(slot, claim, decision)
        elif decision.same is not None:
            self._confirm(slot, claim, decision.same)
        elif decision.retracts is not None:
            self._close(slot, decision.retracts, "retracted", claim, by=None)
        ended = claim.valid_to if is_over(claim.valid_to, self.today) else claim.valid_from
        for loser in decision.supersedes:
            self._close(slot, loser, "superseded", claim, by=target, ended=ended)
        return Outcome(
            claim.index, decision.status, target, decision.supersedes, decision.contests, decision.reason, claim.triple
        )

    def _insert(self, slot: list[Standing], claim: Claim, decision: Decision) -> str:
        current = self.current
        new_id = fact_id(current.namespace, claim, current.seq, current.attempt)
        past = decision.status == "past"
        self.inserts.append(Insert(new_id, claim, "past" if past else None, decision.ended))
        if not past:
            fact = Standing(
                new_id,
                claim.subject_key,
                claim.relation_key,
                claim.object_key,
                claim.source.kind,
                claim.source.principal,
                current.seq,
                current.now,
                claim.valid_from,
                claim.valid_to,
                claim.source.at,
            )
            slot.append(fact)
            self.by_id[new_id] = fact
        return new_id

    def _confirm(self, slot: list[Standing], claim: Claim, known_id: str) -> None:
        fact, source = self.by_id[known_id], claim.source
        self.evidence.append(Evidence(known_id, claim, fact.keys))
        said = source.at or self.current.now
        again = source.rank == fact.rank and source.principal == fact.principal and said > fact.said
        if source.rank > fact.rank or again:
            better = replace(fact, kind=source.kind, principal=source.principal, said_at=said)
            slot[slot.index(fact)] = self.by_id[known_id] = better
            self.promotes[known_id] = Promote(known_id, source.kind, source.principal, said)

    def _close(
        self,
        slot: list[Standing],
        closed_id: str,
        why: str,
        claim: Claim,
        *,
        by: str | None,
        ended: str | None = None,
    ) -> None:
        slot[:] = [fact for fact in slot if fact.fact_id != closed_id]
        ended = ended or local_day(claim.source.at or self.current.now)
        self.closes[closed_id] = Close(closed_id, why, by, ended, claim.source)

    def _no_longer_stated(self) -> tuple[Former, ...]:
        """What the former version of a replaced document stated and this one does not."""
        stated = {
            (self._slot(claim), self._class(claim.object_key)) for claim in self.batch.claims if not claim.retract
        }
        return tuple(
            former
            for former in self.current.replaced
            if (self._slot(former.fact), self._class(former.fact.object_key)) not in stated
        )

    def _replaced_source(self) -> Source:
        kind, ref = self.batch.replaces or ("", "")
        return Source(kind=kind, ref=ref, principal=self.batch.principal)  # type: ignore[arg-type]

    def _withdraw(self, former: Former) -> Withdraw:
        kind, principal, said_at = former.left or ("", None, None)
        return Withdraw(former.fact.fact_id, self._replaced_source(), kind, principal, said_at)

    def _weakened(self, fact: Standing) -> Standing:
        """The fact as what still supports it makes it."""
        lost = self.withdrawals.get(fact.fact_id)
        return fact if lost is None else replace(fact, kind=lost.kind, principal=lost.principal, said_at=lost.said_at)

    def _retire_gone(self) -> None:
        for fact in self.gone:
            self.closes[fact.fact_id] = Close(
                fact.fact_id, "replaced", None, self.current.now[:10], self._replaced_source()
            )
