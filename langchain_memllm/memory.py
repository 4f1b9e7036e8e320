"""What writing and reading a memory mean, on any store: canonical names, exact first, thresholds, limits, receipts.

``Memory`` is the core: it takes a namespace with every call and knows no language model. Relations are canonicalised
by the catalogue alone, never by similarity ("likes" and "dislikes" embed close); what a statement does to what is
believed is decided by ``belief``; the store keeps it. Reading follows the paper (arXiv 2404.11672, section 3.2): exact
answers if there are any, else those whose entity and relation are similar enough on average.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeGuard, get_args
from weakref import WeakKeyDictionary, WeakSet

from langchain_memllm.admission import Admission
from langchain_memllm.agreement import SharedRelations, UnknownRelations, relations_of
from langchain_memllm.arguments import by_name
from langchain_memllm.belief import (
    MAX_BATCH,
    Batch,
    Claim,
    Current,
    Plan,
    Policy,
    Quarantined,
    Stands,
    check_policy,
    phase_of,
    resolve,
    standing_of,
    stands,
)
from langchain_memllm.dates import read_date, relative_date
from langchain_memllm.embeddings import Embedder, EmbedderName, Fingerprint, Vectors
from langchain_memllm.errors import (
    ConfigurationError,
    EmbedderMismatch,
    EmbeddingError,
    InvalidTriple,
    NamespaceError,
    OperationConflict,
    StoreCorrupt,
    StoreUnavailable,
)
from langchain_memllm.factindex import FactIndex, forget_words
from langchain_memllm.grammar import render_write
from langchain_memllm.placeholders import is_unknown, placeholder, spelled_as_name
from langchain_memllm.quotas import Limits, admitted, after, check, has_room, near, pack, shares, unpack
from langchain_memllm.recall import (
    Question,
    Ranked,
    Sentences,
    StoredFacts,
    Weights,
    by_rank,
    fair,
    parse_question,
    rank,
    relation_words,
)
from langchain_memllm.relations import Catalogue, Relation, share_a_stem
from langchain_memllm.sharing import Shared
from langchain_memllm.speaker import NAME_RELATIONS, SPEAKER, may_be_theirs, may_mean_speaker
from langchain_memllm.stores import open_store
from langchain_memllm.stores.episodes import Turn, TurnFilter
from langchain_memllm.stores.interface import (
    TRUSTED,
    Embed,
    Erased,
    FactFilter,
    Found,
    LookupQuery,
    Pending,
    RecallIndex,
    Reindexing,
    Row,
    SearchQuery,
    Selection,
    Stats,
    TripleStore,
    Vector,
    now,
)
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.stores.parts import Aliases, Head, Kept, Name, Operation, Part, blocks_of, part_of, record_of
from langchain_memllm.times import Day, Moment, as_moment, check_date, is_ahead, local_day, written
from langchain_memllm.triples import (
    MAX_NAME,
    MAX_SENTENCE,
    Fact,
    Kind,
    Match,
    Namespace,
    Outcome,
    Phase,
    Query,
    ReadResult,
    Recall,
    Receipt,
    Source,
    Statement,
    Triple,
    as_source,
    as_triple,
    check_namespace,
    clean_name,
    forget_names,
    is_literal_key,
    literal_key,
    loose_key,
    name_key,
    operation_key,
    rank_of,
    said_on,
    shown,
    stable_hash,
)
from langchain_memllm.twins import twin

__all__ = [
    "CHAT",
    "EXACT",
    "MAX_RECALLED",
    "PAPER_EDITING",
    "PAPER_PERPLEXITY",
    "STRICT",
    "Memory",
    "Thresholds",
    "said_at",
    "several",
]

logger = logging.getLogger(__name__)
rejections = logging.getLogger(f"{__name__}.rejected")  # for whoever tells of them in another way

Proposed: TypeAlias = "Statement | Triple | Sequence[str] | Mapping[str, Any]"
Namespaces: TypeAlias = "Namespace | Sequence[Namespace]"

MAX_RESULTS: Final = 30
"""Most answers of one query; more means the query is too broad (arXiv 2404.11672)."""

MAX_RECALLED: Final = 200
"""Most facts that one text recalls."""

_MAX_SIMILAR: Final = 10
_DIGITS: Final = re.compile(r"\d+")
_DIRECT: Final = frozenset({"exact", "alias"})
_MAX_SLOT: Final = 50  # values of one slot that are looked at to tell how they stand
_MAX_LOOKED_UP: Final = 20_000  # answers looked through for those that hold
_MOST_BETWEEN: Final = 1 << 32  # operations between two of which an export tells
_LISTED: Final = 500
_RANKED: Final = 50  # facts ranked for a recall, or three times as many as are wanted
_NO_TIES: Final = frozenset(  # they tell what somebody does to another, not who they are to them
    ["likes", "loves", "dislikes", "hates", "knows", "met", "misses", "admires", "called", "visited", "talked to"]
)
_SOME_DAY: Final = datetime(2000, 1, 1)
_CALLED_ALIKE: Final = 0.35  # cosine of two names of relations
_Slot: TypeAlias = tuple[Namespace, str, str]
_Valued: TypeAlias = tuple[Fact, str]  # a fact of a slot, and the key of its value there


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least cosines for a similar answer: of the entity, of the relation, and of their mean.

    ``similar=False`` turns similar answers off. ``keep_known`` keeps three things apart that embed close: a name that
    is stored is stood for by no similar one, a relation of the catalogue by no other of the catalogue (place of birth,
    place of death), and names with other digits are other names (Room 12, Room 13). The paper does none of it.
    """

    entity: float = 1.0
    relation: float = 1.0
    mean: float = 1.0
    keep_known: bool = True
    similar: bool = True

    def __post_init__(self) -> None:
        """Check the range."""
        for name in ("entity", "relation", "mean"):
            value = getattr(self, name)
            if not -1.0 <= value <= 1.0:
                raise ConfigurationError(f"threshold {name}={value!r} is not a cosine; give a number in [-1, 1]")


# CHAT and STRICT are fitted to the shipped embedder by benchmarks/calibrate.py on Freebase and Wikidata names.
CHAT: Final = Thresholds(0.70, 0.51, 0.75)
STRICT: Final = Thresholds(0.84, 0.76, 0.80)
EXACT: Final = Thresholds(similar=False)
PAPER_PERPLEXITY: Final = Thresholds(0.85, 0.85, 0.90, keep_known=False)
"""The paper's settings for perplexity (arXiv 2404.11672), made for contriever: fit your own for another embedder."""
PAPER_EDITING: Final = Thresholds(0.85, 0.20, 0.50, keep_known=False)
"""The paper's settings for knowledge editing, made for contriever."""


@dataclass(frozen=True, slots=True)
class _When:
    """The time that is asked about: of the record, of what was stated, and the day on which facts must hold."""

    at: str | None
    valid_at: str | None
    day: str

    @property
    def is_now(self) -> bool:
        """Whether no time was given."""
        return self.at is None and self.valid_at is None


class Caching(Protocol):
    """What holds something of a memory that must go when that is erased."""

    def drop_cached(self) -> None:
        """Hold nothing any more."""


class Memory(Shared):
    """An explicit, editable memory of facts.

    Args:
        store: A path, ``":memory:"``, a Neo4j URI or driver (see ``open_store``), or a ``TripleStore``.
        embedder: Anything with ``embed_documents`` (a LangChain ``Embeddings``); ``"minilm"``: MiniLM itself
            by ONNX, which reads whole sentences (extra ``onnx``); ``"multilingual"``: the table of 16
            languages that is shipped; None: the English one.
        relations: Relations of your own, with their aliases and cardinality; they are kept in the store.
        policy: What a new value does to an old one: ``"chat"``, ``"edit"`` or ``"paper"`` (see ``belief``).
        thresholds: How similar an answer must be; ``CHAT`` by default.
        unknown_relations: How many values a relation holds that neither the catalogue nor ``relations`` knows:
            ``"many"``, or ``"one_at_a_time"``: a new value closes or contests the one before. A policy of this client,
            as ``policy`` is; give the same to all clients of a store.
        clock: Tells the time; by default this machine's.
        limits: How much each namespace may hold, for all who use the store from now on; None: those that were given
            last, or the defaults of ``quotas.Limits``.

    Raises:
        ConfigurationError: An argument cannot be used.
        EmbedderMismatch: The store holds vectors of another embedder.
        StoreError: The store cannot be opened.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | TripleStore | Any = ":memory:",
        *,
        embedder: Embedder | EmbedderName | None = None,
        relations: Iterable[Relation] = (),
        policy: Policy = "chat",
        thresholds: Thresholds = CHAT,
        unknown_relations: UnknownRelations = "many",
        clock: Callable[[], datetime] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Open the store and agree with it on relations and embedder."""
        self.policy = check_policy(policy)
        self.thresholds = thresholds
        self.weights = Weights()  # of recall; others are for measuring what each way brings
        self.vectors = Vectors(embedder)
        self.store: TripleStore = open_store(store)
        self._owned = self.store is not store
        self._clock = clock
        self._agreed = self._embedder_agreed = False
        self._given_limits = None if limits is None else _limits(limits)
        self._limits = self._given_limits or Limits()
        self._relations = SharedRelations(self.store, relations, unknown_relations)
        self._meaning = self._relations.meaning
        self._sentences: WeakKeyDictionary[FactIndex[Any], Sentences] = WeakKeyDictionary()
        self._alias_words: tuple[Catalogue, Mapping[str, frozenset[str]]] | None = None
        self._versions: Counter[Namespace] = Counter()
        self._followers: WeakSet[Caching] = WeakSet()
        self._clock_seen: tuple[float, str] | None = None  # of a steady clock and of the wall, at the last write
        self._everywhere = 0  # changes that concern every namespace

    def __repr__(self) -> str:
        """The class and where the memory is kept."""
        return f"{type(self).__name__}({self.store.location!r})"

    def __enter__(self) -> Memory:
        """Use the memory in a ``with`` statement."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the store if it was opened here. Idempotent."""
        if self._owned:
            self.store.close()

    def _told_of_clock(self, moment: str, ahead: str) -> str:
        """What a receipt says of a clock that is or was more than a day off."""
        passed, before = time.monotonic(), self._clock_seen
        self._clock_seen = (passed, moment)
        if ahead:
            return (
                f"the operation before was recorded at {ahead}, by a clock that was ahead; time goes on from {moment}"
            )
        if before is not None:
            expected = datetime.fromisoformat(before[1]) + timedelta(seconds=passed - before[0])
            if is_ahead(moment, written(expected)):
                return (
                    f"the clock of this machine went from {before[1]} to {moment} since the operation before; check it"
                )
        return ""

    def now(self) -> str:
        """The present, by this memory's clock (ISO, UTC)."""
        return self._now()

    def _now(self) -> str:
        return now() if self._clock is None else written(self._clock())

    def _today(self) -> str:
        return local_day(self._now())

    @property
    def catalogue(self) -> Catalogue:
        """The relations in force: shipped, kept in the store, and declared here."""
        self._agree()
        return self._relations.catalogue

    # -- agreement with the store ----------------------------------------------------------------------------------

    def _agree(self) -> None:
        """Relations and embedder must be the same for all clients of a store; others may declare relations later."""
        if self._agreed:
            self._relations.refresh()
            return
        self._relations.agree()
        try:
            self._agree_on_embedder()
        except EmbeddingError as error:
            logger.warning("names will stay without a vector until the embedder answers: %s", error)
        self._agree_on_limits()
        self._agreed = True

    @property
    def limits(self) -> Limits:
        """How much each namespace of the store may hold."""
        self._agree()
        return self._limits

    def set_limits(self, limits: Limits) -> Limits:
        """Set how much each namespace may hold, for all clients of the store. Returns the limits.

        Clients that are open follow when they open it again.

        Args:
            limits: The limits.
        """
        self._agree()
        self._given_limits = _limits(limits)
        self._agree_on_limits()
        return limits

    def _agree_on_limits(self) -> None:
        """Keep the limits that were given for all clients, or follow those that are kept."""
        kept = self.store.record("limits")
        if self._given_limits is not None:
            while kept != pack(self._given_limits):  # another client may set others at the same moment
                kept = self.store.put_record("limits", pack(self._given_limits), expected=kept)
            self._limits = self._given_limits
            return
        try:
            self._limits = unpack(kept)
        except (RecursionError, TypeError, ValueError) as error:
            raise StoreCorrupt(
                f"the record of limits in {self.store.location} cannot be read ({type(error).__name__}); open the "
                "memory once with limits=Limits(...)"
            ) from error

    def _agree_on_embedder(self) -> None:
        if self._embedder_agreed:
            return
        mine = self.vectors.fingerprint
        value = json.dumps(mine.as_dict(), sort_keys=True)
        kept = self.store.record("embedder") or self.store.put_record("embedder", value, expected=None)
        try:
            theirs = Fingerprint.from_dict(json.loads(kept))
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise StoreCorrupt(
                f"the record of the embedder in {self.store.location} cannot be read ({type(error).__name__}); restore "
                "a backup or an earlier export"
            ) from error
        if not mine.matches(theirs):
            raise EmbedderMismatch(
                f"{self.store.location} holds vectors of {theirs.model_id} ({theirs.dimension} numbers), the embedder "
                f"given is {mine.model_id} ({mine.dimension}); open it with the former one, or move the facts: "
                "`memllm export FILE` with the former, `memllm import FILE --store NEW` with this one"
            )
        self._embedder_agreed = True

    def declare(self, *relations: Relation, replace: bool = False) -> None:
        """Declare relations for all clients of the store.

        Args:
            relations: What to declare.
            replace: Change the rules of relations that are declared already.

        Other clients that are open follow within seconds (``agreement.FRESH``).

        Raises:
            ConfigurationError: A label or alias belongs to another relation, the rules differ, or the store holds facts
                of the relation with another range.
        """
        relations_of(relations)
        self._agree()
        if replace:
            self._relations.replace(relations)
        else:
            self._relations.add(relations)
        self._everywhere += 1

    def version(self, namespace: Namespaces) -> int:
        """Counts the changes of a memory made through this object: what was read at another count may be stale.

        Args:
            namespace: One namespace, or a list of several.
        """
        return self._everywhere + sum(self._versions[each] for each in several(namespace))

    # -- writing ---------------------------------------------------------------------------------------------------

    @by_name("write([('Ada', 'lives in', 'Oslo')])")
    def write(
        self,
        triples: Iterable[Proposed],
        *,
        namespace: Namespace,
        source: Source | None = None,
        op_id: str | None = None,
        payload: str | None = None,
        policy: Policy | None = None,
        replace: bool = False,
        quarantine: Sequence[Quarantined] = (),
        entry: OutboxEntry | None = None,
        at: Moment | None = None,
        by_model: bool = False,
    ) -> Receipt:
        """Write triples as one operation: all that are good are stored, every one has its outcome in the receipt.

        Args:
            triples: At most 4,096 triples, statements, sequences of three names or mappings.
            namespace: Whose memory.
            source: Where they come from; by default an unnamed user.
            op_id: Name of the operation; delivering it again changes nothing and answers with the same receipt.
            payload: What the operation is made from, if the triples may come out differently the next time (the text
                they were extracted from); by default the triples.
            policy: Rules for this operation instead of the memory's.
            replace: This is the new version of the source (by kind and ref): what only the former one said becomes
                past.
            quarantine: Pieces of model output that could not be used, kept with the operation.
            entry: What waited in the outbox and becomes this operation: it leaves the outbox in the same transaction.
                What was forgotten while it waited is not written.
            at: When it was said, if not now: an ISO time, a ``datetime`` or a ``date``; a time to come counts as now.
                What was said earlier than what stands supersedes nothing of it: it goes to the history.
            by_model: A language model wrote the triples: dates in words ("next Friday") become dates, counted from the
                time at which it was said, and what stands for a value ("unknown", "there", "a new city") is
                quarantined.

        Raises:
            OutboxChanged: ``entry`` was changed or removed after it was read; nothing was written.
            NamespaceError: The namespace cannot be used.
            ConfigurationError: A bad time or ``op_id``, more triples than fit, or one triple instead of a list of them.
            OperationConflict: The ``op_id`` was used with another payload.
            QuotaExceeded: The namespace is full, or the source may state nothing more now; nothing was written. Of what
                a source of lower rank states too much in part, that part is rejected.
            StoreError: Nothing was written.
        """
        self._agree()
        namespace = check_namespace(namespace)
        proposed = _listed(triples)
        source = self._said(as_source(source) or Source(), at)
        op_id = uuid.uuid4().hex if op_id is None else clean_name(op_id, "op_id")
        batch, shown = self._prepare(proposed, source, op_id, payload, policy, replace, quarantine, by_model)
        if entry is not None:
            batch = _of_entry(batch, entry)
        batch = self._namesakes(namespace, batch)
        began = time.monotonic()
        try:
            written = self.store.transact(namespace, batch, lambda now: self._planned(batch, now), self._quick_embed())
        except OperationConflict as error:
            raise OperationConflict(
                f"operation {op_id!r} was delivered before with other content; use a new op_id, or none"
            ) from error
        self._versions[namespace] += 1
        self._embed_written(namespace, written.pending, began)
        counts = ",".join(f"{s}={written.receipt.count(s)}" for s in sorted({o.status for o in written.receipt}))
        logger.info("write op=%s seq=%d replayed=%s %s", batch.op_id, written.receipt.seq, written.replayed, counts)
        receipt = dataclasses.replace(
            written.receipt, op_id=op_id, clock=self._told_of_clock(batch.recorded_at, written.ahead)
        )
        return receipt.with_triples(shown, replayed=True) if written.replayed else receipt

    def _planned(self, batch: Batch, current: Current) -> Plan:
        """What the operation changes, within the limits; under the store's lock.

        Raises:
            QuotaExceeded: It would pass them.
        """
        limits = self._limits
        if has_room(batch, current.use, limits, current.now):
            return resolve(batch, current)
        plan = resolve(admitted(batch, current.use, limits, current.now), current)
        check(current.use, after(current.use, plan, current.now), limits)
        return plan

    def _said(self, source: Source, at: Moment | None) -> Source:
        """The source with the time at which it speaks, if one is told; a time to come counts as that of the operation.

        That time never goes back, whatever the clock does.
        """
        source = said_at(source, at)
        to_come = source.at is not None and source.at > self._now()
        return dataclasses.replace(source, at=None) if to_come else source

    def _prepare(
        self,
        proposed: list[Proposed],
        source: Source,
        op_id: str,
        payload: str | None,
        policy: Policy | None,
        replace: bool,
        quarantine: Sequence[Quarantined],
        by_model: bool,
    ) -> tuple[Batch, dict[int, Triple]]:
        if len(proposed) + len(quarantine) > MAX_BATCH:
            beside = f" and {len(quarantine)} quarantined pieces" if quarantine else ""
            raise ConfigurationError(
                f"{len(proposed)} triples{beside} in one operation; at most {MAX_BATCH} fit, split them"
            )
        if replace and not source.ref:
            raise ConfigurationError("replace=True needs a source with a ref: Source('document', 'notes.md')")
        policy = self.policy if policy is None else check_policy(policy)
        claims: list[Claim] = []
        outcomes: list[Outcome] = []
        aside: list[Quarantined] = []
        for index, item in enumerate(proposed):
            try:
                statement = _statement(item)
                if by_model:
                    statement = self._read_dates(statement, source)
                claim = self._claim(index, statement, source)
                reason = self._empty(claim, by_model, policy)
            except (InvalidTriple, ConfigurationError) as error:
                reason = error.reason if isinstance(error, InvalidTriple) else "a part of it cannot be used"
                outcomes.append(Outcome(index, "rejected", reason=reason))
                continue
            if reason is None:
                claims.append(claim)
            elif by_model:
                outcomes.append(Outcome(index, "quarantined", reason=reason, triple=claim.triple))
                aside.append(Quarantined(render_write([claim.triple]), reason, claim.source))
            else:
                outcomes.append(Outcome(index, "rejected", reason=reason))
        if not by_model and (refused := sum(outcome.status == "rejected" for outcome in outcomes)):
            rejections.warning("triples rejected: %d of %d; the receipt says why", refused, len(proposed))
        for index, piece in enumerate(quarantine, start=len(proposed)):
            outcomes.append(Outcome(index, "quarantined", reason=piece.reason))
        content = payload if payload is not None else _content(proposed)
        batch = Batch(
            op_id=operation_key(op_id),
            payload_hash=stable_hash(content, source, policy, replace),
            recorded_at=self._now(),
            today=self._today(),
            claims=tuple(claims),
            rejected=tuple(outcomes),
            quarantine=(*aside, *quarantine),
            policy=policy,
            replaces=(source.kind, source.ref) if replace else None,
            principal=source.principal,
        )
        return batch, {claim.index: claim.triple for claim in claims}

    def _namesakes(self, namespace: Namespace, batch: Batch) -> Batch:
        """The batch with those claims marked whose subject may be another person of a known name (row 25).

        That is a name which the batch brings in as something else to the speaker than it is known as: Anna the
        colleague, where Anna is the sister.
        """
        ties: dict[str, set[str]] = {}
        for claim in batch.claims:
            if not claim.retract and (other := _tied_to_speaker(claim)) is not None:
                ties.setdefault(other, set()).update(self._alike(claim.triple.relation))
        about = {claim.subject_key for claim in batch.claims if claim.single_valued and not claim.retract}
        named = [name for name in ties.keys() & about if ties[name]]
        strangers = {name for name in named if self._known_otherwise(namespace, name, ties[name])}
        if batch.policy != "chat" or not strangers:
            return batch
        claims = tuple(replace(c, namesake=True) if c.subject_key in strangers else c for c in batch.claims)
        return replace(batch, claims=claims)

    def _known_otherwise(self, namespace: Namespace, name: str, ties: set[str]) -> bool:
        """Whether a name is tied to the speaker by relations of which none is among these."""
        speaker, one = (name_key(SPEAKER),), (name,)
        held: set[str] = set()
        for subjects, objects in ((one, speaker), (speaker, one)):
            where = FactFilter(subject_keys=subjects, object_keys=objects, open_only=True)
            for fact in self.store.facts([namespace], where):
                held.update(self._alike(fact.triple.relation))
        return bool(held) and not held & ties

    def _alike(self, relation: str) -> set[str]:
        """Keys of the relations that say who somebody is as this one does; none of one that does not say it."""
        meaning = self._meaning(relation)
        if meaning.key in _NO_TIES:
            return set()
        return {key for key in (meaning.key, meaning.inverse_key, meaning.broader_key) if key is not None}

    def _read_dates(self, statement: Statement, source: Source) -> Statement:
        """The statement with dates for what is said of them in words, counted from when it was said."""
        moment = said_on(source, self._now())
        if moment is None:
            return statement
        dates: dict[str, Any] = {}
        for part in ("valid_from", "valid_to"):
            value = getattr(statement, part)
            if _may_be_date(value) and (span := read_date(value, moment)) is not None:
                dates[part] = span.start if part == "valid_from" else span.end
        object_ = statement.object
        if _may_be_date(object_) and not spelled_as_name(object_, statement.text):
            dates.update({"object": str(span)} if (span := relative_date(object_, moment)) is not None else {})
        return replace(statement, **dates) if dates else statement

    def _empty(self, claim: Claim, by_model: bool, policy: Policy) -> str | None:
        """Why a claim says nothing, if it does: by the list for models, of others only that nobody knows."""
        if by_model:
            known = self._relations.catalogue.find(claim.triple.relation) is not None
            text, object_ = claim.source.text, claim.triple.object
            if relative_date(object_, _SOME_DAY) is not None and not spelled_as_name(object_, text):
                return "its object is a date in words, and nobody knows when they were said"
            return placeholder(*claim.triple, text=text, known=known, single_valued=claim.single_valued)
        if policy == "chat" and is_unknown(claim.triple.object):
            return "its object says that the value is not known; leave the triple out"
        return None

    def _claim(self, index: int, statement: Statement, source: Source) -> Claim:
        meaning = self._meaning(statement.relation)
        relation = meaning.relation
        triple = Triple.trusted(
            clean_name(statement.subject, "subject"), relation.label, clean_name(statement.object, "object")
        )
        _check_statement(statement)
        if statement.text is not None or statement.span is not None or statement.turn is not None:
            source = replace(
                source,
                text=statement.text if statement.text is not None else source.text,
                span=statement.span or source.span,
                turn=statement.turn if statement.turn is not None else source.turn,
            )
        return Claim(
            index,
            triple,
            name_key(triple.subject),
            meaning.key,
            relation.object_key(triple.object),
            meaning.single_valued,
            source,
            check_date(statement.valid_from),
            check_date(statement.valid_to),
            statement.confidence,
            statement.retract,
        )

    def _quick_embed(self) -> Embed | None:
        """For the store to embed with while it holds its lock, if that takes microseconds."""
        if not (self.vectors.is_quick and self._embedder_agreed):
            return None
        return lambda items: self.vectors.embed([item.spelling for item in items])

    def _embed_written(self, namespace: Namespace, pending: Sequence[Pending], began: float) -> None:
        """Give the names of a committed write their vectors; a store that is away by now does not hide its receipt."""
        try:
            self._embed(namespace, pending, spent=time.monotonic() - began)
        except StoreUnavailable as error:
            logger.warning("%d names stay without a vector until the next similar search: %s", len(pending), error)

    def _embed(self, namespace: Namespace, pending: Sequence[Pending], *, spent: float = 0.0) -> bool:
        """Give names their vectors; a failing embedder leaves them pending and never fails a write."""
        if not pending:
            return True
        try:
            self._agree_on_embedder()
            vectors = self.vectors.embed([item.spelling for item in pending])
        except EmbeddingError as error:
            logger.warning("%d names stay without a vector until the embedder answers: %s", len(pending), error)
            return False
        self.store.fill(namespace, pending, vectors, spent=spent)
        return True

    def _embed_pending(self, namespaces: Sequence[Namespace]) -> bool:
        """Names whose embedding failed earlier, or that came without; whether any has a vector now."""
        done = False
        for namespace in namespaces:
            while pending := self.store.pending(namespace):
                if not self._embed(namespace, pending):
                    break
                done = True
        return done

    @by_name("retract(('Ada', 'lives in', 'Oslo'))")
    def retract(
        self,
        triple: Proposed,
        *,
        namespace: Namespace,
        source: Source | None = None,
        op_id: str | None = None,
        at: Moment | None = None,
    ) -> Receipt:
        """Take a triple back: the fact is closed and stays in the history. Raises as ``write``.

        Args:
            triple: The triple, in any form of ``write``.
            namespace: Whose memory.
            source: Who takes it back; by default an unnamed user.
            op_id: Name of the operation; see ``write``.
            at: When it was said, if not now; see ``write``.
        """
        statement = replace(_statement(triple), retract=True)
        return self.write([statement], namespace=namespace, source=source, op_id=op_id, at=at)

    def receipt(
        self,
        op_id: str,
        *,
        namespace: Namespace,
        payload: str | None = None,
        source: Source | None = None,
        replace: bool = False,
    ) -> Receipt | None:
        """The receipt of an earlier operation, or None: asked before a model is called for something done already.

        Args:
            op_id: Name of the operation.
            namespace: Whose memory.
            payload: What it is made from; see ``write``.
            source: Where that comes from.
            replace: Whether it is the new version of its source.

        Raises:
            OperationConflict: ``payload`` is given and the operation had another one.
        """
        op_id = clean_name(op_id, "op_id")
        found = self.store.receipt(check_namespace(namespace), operation_key(op_id))
        if found is None:
            return None
        if payload is not None and not _is_payload(found[0], payload, source or Source(), replace):
            raise OperationConflict(f"operation {op_id!r} was delivered before with another text; use a new op_id")
        return dataclasses.replace(found[1], op_id=op_id).with_triples({}, replayed=True)

    def alias(self, name: str, alias: str, *, namespace: Namespace) -> tuple[str, ...]:
        """Make two names one (New York City, NYC): either finds the facts of both. Returns all spellings.

        Args:
            name: One name.
            alias: The other.
            namespace: Whose memory.

        Raises:
            InvalidTriple: A name cannot be stored.
            ConfigurationError: More than 32 names would be one.
        """
        self._agree()
        namespace = check_namespace(namespace)
        names = [clean_name(name), clean_name(alias)]
        pairs = [(name_key(each), each) for each in names]
        keys = {key for key, _ in pairs}
        if len(keys) > 1:  # two spellings of one name are one already
            self.store.link(namespace, pairs[0], pairs[1])
            self._versions[namespace] += 1
            self._embed(namespace, self.store.pending(namespace))
        return self._spellings(namespace, names[0])

    def _spellings(self, namespace: Namespace, name: str) -> tuple[str, ...]:
        """All spellings of a name: those of its alias class, or itself."""
        groups, key = self.store.aliases(namespace), name_key(name)
        return next((group for group in groups if key in map(name_key, group)), (name,))

    # -- what was said and is not yet extracted --------------------------------------------------------------------

    def put_outbox(self, entries: Sequence[OutboxEntry], *, namespace: Namespace, turns: Sequence[Turn] = ()) -> str:
        """Commit what was said before anything is made of it; ``write(entry=…)`` takes it out again.

        ``turns`` are kept for good, in the same transaction: see ``hub``.

        Returns:
            When they were recorded: now, or later than all that was recorded before if the clock went back.

        Raises:
            NamespaceError: The namespace cannot be used.
            StoreError: Nothing was committed.
        """
        kept = [replace(entry, op_id=operation_key(entry.op_id)) for entry in entries]
        return self.store.put_outbox(check_namespace(namespace), kept, self._now(), turns)

    def outbox(
        self, *, namespace: Namespace, op_ids: Sequence[str] | None = None, limit: int = 1000
    ) -> list[OutboxEntry]:
        """What was said and waits for its extraction, oldest first; of these operations, if given.

        Of the names that operations were given, hashes are kept (``triples.operation_key``).
        """
        keys = None if op_ids is None else [operation_key(op_id) for op_id in op_ids]
        return self.store.outbox(check_namespace(namespace), op_ids=keys, limit=limit)

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(
        self,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,
        *,
        namespace: Namespaces,
        at: Moment | None = None,
        valid_at: Day | None = None,
        thresholds: Thresholds | None = None,
        limit: int = MAX_RESULTS,
    ) -> ReadResult:
        """Answer one query: the side that is left out is asked for.

        Args:
            subject: Known subject, or None to ask for it.
            relation: The relation, or an alias of it; None: any (exact names only).
            object: Known object, or None to ask for it.
            namespace: One namespace, or a list of several, the nearest first.
            at: What was believed at this record time (ISO or datetime; a date means its end).
            valid_at: What held at this time by what was stated (partial ISO date, ``date`` or ``datetime``).
            thresholds: How similar an answer may be; the memory's by default.
            limit: Most matches, 1 to 1,000.

        Raises:
            ConfigurationError: Not exactly one side open, or a bad time or limit.
            NamespaceError: The namespace cannot be used.
        """
        query = Query(subject, relation, object)
        return self.read_many(
            [query], namespace=namespace, at=at, valid_at=valid_at, thresholds=thresholds, limit=limit
        )[0]

    def read_many(
        self,
        queries: Sequence[Query],
        *,
        namespace: Namespaces,
        at: Moment | None = None,
        valid_at: Day | None = None,
        thresholds: Thresholds | None = None,
        limit: int = MAX_RESULTS,
    ) -> list[ReadResult]:
        """Answer several queries with one look-up, and one similar search for those it left unanswered.

        Args:
            queries: The queries, each with one side open.
            namespace: See ``read``; so are the others.
            at: What was believed at this record time.
            valid_at: What held at this time by what was stated.
            thresholds: How similar an answer may be.
            limit: Most matches of each query, 1 to 1,000.

        Raises:
            ConfigurationError: A bad time or limit.
            NamespaceError: The namespace cannot be used.
        """
        self._agree()
        if not (isinstance(limit, int) and 1 <= limit <= 1000):
            raise ConfigurationError(f"limit {limit!r} is out of range; give 1 to 1000")
        namespaces = several(namespace)
        when = self._when(at, valid_at)
        thresholds = thresholds or self.thresholds
        asked = [self._lookup_query(query) for query in queries]
        found = self._look_up(namespaces, asked, when, limit)
        if thresholds.similar and when.is_now:
            self._search_rest(namespaces, queries, asked, found, thresholds, limit)
        return self._as_they_stand([_result(query, each) for query, each in zip(queries, found, strict=True)], when)

    def _when(self, at: Moment | None = None, valid_at: Day | None = None) -> _When:
        """The time that is asked about, and the day on which facts must hold."""
        moment, stated = as_moment(at), check_date(valid_at)
        return _When(moment, stated, stated or local_day(moment or self._now()))

    def _look_up(
        self, namespaces: Sequence[Namespace], asked: Sequence[LookupQuery], when: _When, limit: int
    ) -> list[Found]:
        """Direct answers; asked again for more where plans or what has ended took the place of what holds."""
        found = self.store.lookup(namespaces, asked, at=when.at, valid_at=when.valid_at, limit=limit)
        for i, each in enumerate(found):
            more = limit
            while each.truncated and sum(_holds(row, when) for row in each.rows) < limit and more < _MAX_LOOKED_UP:
                more *= 8
                (each,) = self.store.lookup(namespaces, [asked[i]], at=when.at, valid_at=when.valid_at, limit=more)
            rows = tuple(row for row in each.rows if _holds(row, when))
            if len(rows) < len(each.rows) or more > limit:
                found[i] = replace(each, rows=rows[:limit], truncated=each.truncated or len(rows) > limit)
        return found

    def _lookup_query(self, query: Query) -> LookupQuery:
        meaning = self._meaning(query.relation) if query.relation is not None else None
        if query.subject is not None:
            keys: tuple[str, ...] = (name_key(query.subject),)
        elif meaning is not None:
            keys = (meaning.relation.object_key(query.known),)
        else:
            keys = (name_key(query.known), literal_key(query.known))
        side: Literal["subject", "object"] = "object" if query.subject is None else "subject"
        if meaning is None:
            return LookupQuery(side, keys)
        return LookupQuery(
            side, keys, meaning.key, meaning.inverse_key, meaning.narrower_keys, meaning.narrower_inverse_keys
        )

    def _search_rest(
        self,
        namespaces: list[Namespace],
        queries: Sequence[Query],
        asked: Sequence[LookupQuery],
        found: list[Found],
        thresholds: Thresholds,
        limit: int,
    ) -> None:
        """Replace empty answers by similar ones; one embedding call for all names that need it."""
        rest = [
            i
            for i, each in enumerate(found)
            if not each.rows and asked[i].relation is not None and not is_literal_key(asked[i].keys[0])
        ]
        if not rest:
            return
        self._agree_on_embedder()
        texts: dict[str, None] = {}
        for i in rest:
            if not (all(found[i].knows_name) and thresholds.keep_known):
                texts[queries[i].known] = None
            texts[self._meaning(queries[i].relation or "").relation.label] = None
        vectors = dict(zip(texts, self.vectors.embed(list(texts)), strict=True))
        searches = [
            SearchQuery(
                asked[i].side,
                asked[i].keys,
                vectors.get(queries[i].known),
                asked[i].relation or "",
                vectors[self._meaning(queries[i].relation or "").relation.label],
                thresholds.keep_known,
                thresholds.entity,
                thresholds.relation,
                thresholds.mean,
                self._relations.barred(queries[i].relation or "") if thresholds.keep_known else frozenset(),
                asked[i].narrower,
                self._meaning(queries[i].relation or "").broader_key if thresholds.keep_known else None,
                (loose_key(asked[i].keys[0]) or asked[i].keys[0]) if thresholds.keep_known else None,
            )
            for i in rest
        ]
        answers = self.store.search(namespaces, searches, limit=limit)
        if any(answer.pending for answer in answers) and self._embed_pending(namespaces):
            answers = self.store.search(namespaces, searches, limit=limit)
        for i, answer in zip(rest, answers, strict=True):
            rows = answer.rows
            if thresholds.keep_known:
                rows = tuple(row for row in rows if _DIGITS.findall(row.via) == _DIGITS.findall(queries[i].known))
            found[i] = replace(answer, rows=rows)

    def _as_they_stand(self, results: list[ReadResult], when: _When) -> list[ReadResult]:
        """The answers that stand at that time, those beside which another value stands with their flag."""
        every = [match for result in results for match in result.matches if self._may_clash(match.fact)]
        whole = [result for result in results if result.query.subject is not None and not result.truncated]
        sure = [m for result in whole for m in result.matches if m.how in _DIRECT]
        standing = self._standing(every, sure, when) if every else {}
        return [_standing_now(result, standing, when) for result in results]

    def _standing(self, matches: Sequence[Match], sure: Sequence[Match], when: _When) -> dict[str, Stands]:
        """How the facts of the matches' single-valued slots stand; ``sure`` are matches whose whole slot is among them.

        A name with aliases shares its slot with them, so the slots of such answers are asked for.
        """
        slots: dict[_Slot, dict[str, _Valued]] = {}
        for match in matches:
            for slot, value in self._slots(match.fact, when):
                slots.setdefault(slot, {})[match.fact.id] = (match.fact, value)
        aliased = {self._slot(match.fact, when) for match in matches if match.how == "alias"}
        relations = {(slot[0], slot[2]) for slot in aliased if slot is not None}
        known = {self._slot(match.fact, when) for match in sure} - {s for s in slots if (s[0], s[2]) in relations}
        asked: dict[Namespace, list[_Slot]] = {}
        for slot in slots.keys() - known:
            asked.setdefault(slot[0], []).append(slot)
        for namespace, some in asked.items():
            queries = [LookupQuery("subject", (key,), each, self._meaning(each).inverse_key) for _, key, each in some]
            answers = self.store.lookup([namespace], queries, at=when.at, valid_at=when.valid_at, limit=_MAX_SLOT)
            for slot, answer in zip(some, answers, strict=True):
                open_ = [row for row in answer.rows if _is_open(row.fact, when)]
                slots[slot].update((row.fact.id, (row.fact, _value_of(row))) for row in open_)
        found: dict[str, Stands] = {}
        for slot, facts in slots.items():
            self._add_standing(found, slot, facts, when)
        return found | self._unconfirmed(matches, found, when)

    def _add_standing(self, found: dict[str, Stands], slot: _Slot, facts: Mapping[str, _Valued], when: _When) -> None:
        """How the facts of one slot stand; those that say the same from both ends do not contest each other."""
        standing = stands([standing_of(fact) for fact, _ in facts.values()], when.day)
        values = {facts[each][1] for each, how in standing.items() if how.contested and how.phase == "now"}
        for fact_id, how in standing.items():
            if how.contested and how.phase == "now" and len(values) == 1:
                how = Stands(how.phase)
            if self._slot(facts[fact_id][0], when) == slot:
                found[fact_id] = replace(how, contested=how.contested or found.get(fact_id, how).contested)
            elif how.contested:
                before = found.get(fact_id) or Stands(_phase(facts[fact_id][0], when))
                found[fact_id] = replace(before, contested=True)

    def _may_clash(self, fact: Fact) -> bool:
        """Whether another fact may say otherwise: its slot holds one value, from one end or the other, or who knows."""
        meaning = self._meaning(fact.triple.relation)
        return meaning.single_valued or meaning.inverse_single or self._is_unheard_of(fact)

    def _is_unheard_of(self, fact: Fact) -> bool:
        """Whether a source below a person states it by a relation that nobody declared."""
        return rank_of(fact.kind) < TRUSTED and self._relations.catalogue.find(fact.triple.relation) is None

    def _unconfirmed(self, matches: Sequence[Match], found: Mapping[str, Stands], when: _When) -> dict[str, Stands]:
        """Facts that leave the slot in which they would be contested: by a relation of their own.

        They are unconfirmed where a person stated something that holds one value of the same subject, and contested
        where the relation is called like that.
        """
        asked: dict[tuple[Namespace, str], list[Fact]] = {}
        for fact in (match.fact for match in matches):
            if self._is_unheard_of(fact) and _is_open(fact, when):
                asked.setdefault((fact.namespace, name_key(fact.triple.subject)), []).append(fact)
        unconfirmed: dict[str, Stands] = {}
        for (namespace, subject), facts in asked.items():
            query = LookupQuery("subject", (subject,))
            (held,) = self.store.lookup([namespace], [query], at=when.at, valid_at=when.valid_at, limit=_MAX_SLOT)
            trusted = [row.fact.triple.relation for row in held.rows if rank_of(row.fact.kind) >= TRUSTED]
            single = [label for label in dict.fromkeys(trusted) if self._meaning(label).single_valued]
            for fact in facts if single else ():
                named = self._is_called_alike(fact.triple.relation, single)
                before = found.get(fact.id) or Stands(_phase(fact, when))
                unconfirmed[fact.id] = replace(before, contested=before.contested or named, unconfirmed=True)
        return unconfirmed

    def _is_called_alike(self, name: str, labels: Sequence[str]) -> bool:
        """Whether a relation is called like one of these: by the beginning of a word, or as their names embed."""
        names = [each for label in labels for each in (label, *self._meaning(label).relation.aliases)]
        if any(share_a_stem(name, each) for each in names):
            return True
        try:
            mine, *others = self.vectors.embed([name, *labels])
        except EmbeddingError:
            return False
        return mine is not None and any(o is not None and float(mine @ o) >= _CALLED_ALIKE for o in others)

    def _slots(self, fact: Fact, when: _When) -> Iterator[tuple[_Slot, str]]:
        """The slots for one value in which a fact stands, each with the key of its value there."""
        if (slot := self._slot(fact, when)) is not None:
            yield slot, name_key(fact.triple.object)
        meaning = self._meaning(fact.triple.relation)
        if meaning.inverse_single and meaning.inverse_key is not None and _is_open(fact, when):
            yield (fact.namespace, name_key(fact.triple.object), meaning.inverse_key), name_key(fact.triple.subject)

    def _slot(self, fact: Fact, when: _When) -> _Slot | None:
        """The single-valued slot a fact stands in, if it is one."""
        meaning = self._meaning(fact.triple.relation)
        if not meaning.single_valued or not _is_open(fact, when):
            return None
        return fact.namespace, name_key(fact.triple.subject), meaning.key

    def recall(
        self, text: str, *, namespace: Namespaces, k: int = 8, speaker: str | None = "user", explain: bool = False
    ) -> Recall:
        """Facts that answer a text: by its words, its meaning and whom it is about, and two hops further.

        The most trusted come first, and among equals those that fit best.

        Args:
            text: Any text; its first and last 256 words are looked at.
            namespace: One namespace, or a list of several.
            k: Most facts, 1 to 200.
            speaker: Name under which facts about the person who says "I" are stored; None: nobody's.
            explain: Also tell the facts that came next and had no place (``Recall.left_out``).

        No language model is called; each match says why it is there.
        """
        self._agree()
        if not isinstance(text, str):
            raise ConfigurationError(f"{type(text).__name__} is not a text to recall by; convert it with str() first")
        if not (isinstance(k, int) and 1 <= k <= MAX_RECALLED):
            raise ConfigurationError(f"k {k!r} is out of range; give 1 to {MAX_RECALLED}")
        namespaces = several(namespace)
        when = self._when()
        ranked = self._ranked(parse_question(text, speaker), namespaces, k, when)
        wanted = 2 * k if explain else k
        matches: list[Match] = []
        while ranked and len(matches) < wanted:
            some, ranked = ranked[: wanted - len(matches)], ranked[wanted - len(matches) :]
            best = [_recalled(similarity, row) for similarity, row in some]
            matches += [m for m in _phased(best, self._standing(best, (), when), when) if m.fact.phase != "over"]
        return Recall(text, tuple(by_rank(matches[:k])), left_out=tuple(matches[k:]))

    def _ranked(
        self, question: Question, namespaces: Sequence[Namespace], k: int, when: _When
    ) -> list[tuple[float, Row]]:
        """Facts that answer a question, with their similarity, in the order in which they take ``k`` places.

        No source below a person takes more than its share of the places (``recall.fair``).
        """
        found: list[Ranked] = []
        for each in namespaces:
            if (index := self.store.recall_index(each, question.keys)) is not None:
                stored = StoredFacts(self.store, each)
                most = max(_RANKED, 3 * k)  # what is over, and what takes more than its share, goes
                words = self._relation_words()
                found += rank(
                    question,
                    index,
                    stored,
                    self._embedded,
                    words,
                    most=most,
                    weights=self.weights,
                    sentences=self._sentences_of(index, stored),
                )
        found = [each for each in found if _phase(each.row.fact, when) != "over"]
        found.sort(key=lambda each: -each.score)
        scored = [(each.score, each.similarity, each.row) for each in found]
        return fair(scored, k, lambda row: self._slot(row.fact, when))

    def _sentences_of(self, index: RecallIndex, stored: StoredFacts) -> Sentences | None:
        """The facts of an index as sentences, if the embedder reads sentences."""
        if not self.vectors.reads_sentences:
            return None
        sentences = self._sentences.setdefault(index.facts, Sentences())
        sentences.update(index.facts.ids(range(len(index.facts))), stored.sentences, self._embedded)
        return sentences

    def sentence_vectors(self, question: str, texts: Sequence[str]) -> list[Vector | None]:
        """Vectors of a question and of texts that are kept, in at most two calls; None for what has none.

        What is kept is embedded once: its vector is remembered, that of the question is not.

        Args:
            question: What is asked.
            texts: Sentences that are kept.
        """
        return [*self._embedded([question]), *self._embedded(texts, remember=True)]

    def _embedded(self, texts: Sequence[str], *, remember: bool = False) -> Sequence[Vector | None]:
        """Vectors of texts; none if the embedder fails: then recall goes by words and names."""
        try:
            return self.vectors.embed(list(texts), remember=remember)
        except EmbeddingError as error:
            logger.warning("recall without similarity: %s", error)
            return [None] * len(texts)

    def _relation_words(self) -> Mapping[str, frozenset[str]]:
        """Keys of the catalogue's relations by the words of their names."""
        catalogue = self.catalogue
        if self._alias_words is None or self._alias_words[0] is not catalogue:
            words = relation_words((relation.key, (relation.label, *relation.aliases)) for relation in catalogue)
            self._alias_words = (catalogue, words)
        return self._alias_words[1]

    def history(self, subject: str, relation: str | None = None, *, namespace: Namespace) -> list[Fact]:
        """Every fact ever stored of a subject (and relation), in commit order, with sources and what closed it.

        Args:
            subject: Name of the subject, or an alias of it.
            relation: The relation, or an alias of it; None: all.
            namespace: Whose memory.
        """
        self._agree()
        meaning = self._meaning(relation) if relation is not None else None
        where = FactFilter(
            subject_keys=(name_key(clean_name(subject)),),
            relation=meaning.key if meaning else None,
            narrower=meaning.narrower_keys if meaning else (),
        )
        return self._flagged(list(self.store.facts([check_namespace(namespace)], where)))

    def speaker_names(self, *, namespace: Namespaces) -> tuple[str, ...]:
        """What the person who speaks is called, if they have stated it: their facts are those of ``SPEAKER``."""
        queries = [Query(SPEAKER, relation) for relation in NAME_RELATIONS]
        results = self.read_many(queries, namespace=namespace, thresholds=EXACT)
        stated = (match for result in results for match in result if rank_of(match.fact.kind) >= rank_of("user"))
        return tuple(dict.fromkeys(match.answer for match in stated))

    def facts(
        self,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,
        *,
        namespace: Namespaces,
        source: str | Source | None = None,
        open_only: bool = False,
    ) -> Iterator[Fact]:
        """All facts with their sources, in commit order; with conditions, those that meet each of them.

        Args:
            subject: Name of the subject, or an alias of it.
            relation: The relation, or an alias of it; of child also son and daughter.
            object: Name of the object, or an alias of it.
            namespace: One namespace, or a list of several.
            source: What they rest on: its ref, of any kind, or a ``Source`` (by kind and ref).
            open_only: Only facts that were not closed; they may have ended, or begin later: see ``Fact.state``.

        Raises:
            InvalidTriple: A name cannot be stored, so nothing has it.
        """
        self._agree()
        meaning = None if relation is None else self._meaning(relation)
        ends = None if object is None else clean_name(object, "object")
        where = FactFilter(
            subject_keys=None if subject is None else (name_key(clean_name(subject, "subject")),),
            relation=None if meaning is None else meaning.key,
            narrower=() if meaning is None else meaning.narrower_keys,
            object_keys=None if ends is None else (name_key(ends), literal_key(ends)),
            source=(source.kind, source.ref) if isinstance(source, Source) else None,
            open_only=open_only,
        )
        found = self.store.facts(several(namespace), where)
        if isinstance(source, str):
            found = (fact for fact in found if any(each.ref == source for each in fact.sources))
        while some := list(islice(found, _LISTED)):
            yield from self._flagged(some)

    def explain(self, fact_id: str, *, namespace: Namespace) -> Fact | None:
        """One fact with all its sources: what was stored, and why. None if there is no such fact.

        Args:
            fact_id: Its id, as ``Fact.id`` has it.
            namespace: Whose memory.
        """
        self._agree()
        found = list(self.store.facts([check_namespace(namespace)], FactFilter(ids=(fact_id,))))
        return self._flagged(found)[0] if found else None

    def _flagged(self, facts: list[Fact]) -> list[Fact]:
        """The facts as they stand now."""
        when = self._when()
        matches = [Match(fact, fact.triple.object) for fact in facts]
        return [match.fact for match in _phased(matches, self._standing(matches, (), when), when)]

    # -- forgetting, moving, looking after -------------------------------------------------------------------------

    @by_name("forget(name='Ada'), or forget(subject='Ada', relation='lives in')")
    def forget(
        self,
        *,
        namespace: Namespace,
        fact_id: str | None = None,
        subject: str | None = None,
        relation: str | None = None,
        name: str | None = None,
        source: str | Source | None = None,
        everything: bool = False,
        purge: bool = False,
    ) -> Erased:
        """Erase, so that no trace is left: exactly one of a fact, a slot, a name, a source, or everything.

        The sentences that state what is forgotten go too. One that merely mentions a name, and is the evidence of a
        fact about others, stays with that fact: forget its source, or the fact.

        Args:
            namespace: Whose memory.
            fact_id: One fact.
            subject: With ``relation``: the slot, current and past; of child also that of son and daughter.
            relation: See ``subject``.
            name: Every fact with this name or an alias of it at either end. Other names that it may have meant stay,
                and are told in ``similar_names``.
            source: What rests on this source alone; a ref (of any kind) or a ``Source``. What it had closed reopens.
            everything: The whole namespace.
            purge: Also rewrite the file, so that the bytes are gone from disk. Files of a server are its own: what
                stays there is told in ``notes``.

        Raises:
            ConfigurationError: Not exactly one thing to forget.
        """
        self._agree()
        namespace = check_namespace(namespace)
        given = [fact_id is not None, subject is not None or relation is not None, name is not None]
        given += [source is not None, everything]
        if sum(given) != 1 or (subject is None) != (relation is None):
            raise ConfigurationError(
                "forget exactly one of: fact_id=…, subject=… with relation=…, name=…, source=…, everything=True"
            )
        erased = self.store.erase(
            namespace, self._selection(namespace, fact_id, subject, relation, name, source, everything), purge=purge
        )
        self._versions[namespace] += 1
        followers = [follower.drop_cached for follower in self._followers]
        for cache in (self.vectors.forget, self._relations.forget, forget_names, forget_words, *followers):
            cache()
        if name is not None:
            erased = replace(
                erased, similar_names=self._similar_names(namespace, clean_name(name), widely=not erased.facts)
            )
        logger.info("forget facts=%d names=%d reopened=%d", erased.facts, erased.names, len(erased.reopened))
        return erased

    def followed_by(self, follower: Caching) -> None:
        """Have ``drop_cached`` of an object called whenever something is erased, as long as it lives.

        Args:
            follower: The object; a cache of what is in the memory.
        """
        self._followers.add(follower)

    def _similar_names(self, namespace: Namespace, name: str, *, widely: bool) -> tuple[str, ...]:
        """Names that reading would take this one for: other spellings; ``widely``, all similar ones that have facts."""
        key = name_key(name)
        found = dict.fromkeys(self.store.spellings(namespace, loose_key(key) or key))
        if widely and self.thresholds.similar:
            found |= dict.fromkeys(self._names_like(namespace, name))
        return tuple(each for each in found if name_key(each) != key)[:_MAX_SIMILAR]

    def _names_like(self, namespace: Namespace, name: str) -> Iterator[str]:
        """Names with facts, of any relation, that are as similar as an answer's must be; the most similar first."""
        try:
            self._agree_on_embedder()
            (vector,) = self.vectors.embed([name])
        except EmbeddingError as error:
            logger.warning("names compared by their spelling only: %s", error)
            return
        least = self.thresholds.entity
        sides: tuple[Literal["subject", "object"], ...] = ("subject", "object")
        searches = [SearchQuery(side, (name_key(name),), vector, "", vector, True, least, -1.0, -1.0) for side in sides]
        found = self.store.search([namespace], searches, limit=MAX_RESULTS)
        rows = [row for each in found for row in each.rows]
        yield from (row.via for row in sorted(rows, key=lambda row: -row.entity_similarity))

    def _selection(
        self,
        namespace: Namespace,
        fact_id: str | None,
        subject: str | None,
        relation: str | None,
        name: str | None,
        source: str | Source | None,
        everything: bool,
    ) -> Selection:
        if fact_id is not None:
            if not re.fullmatch("[0-9a-f]{32}", fact_id):
                raise ConfigurationError(
                    f"{fact_id!r} is not the id of a fact; ids have 32 hex digits, and the history shows them"
                )
            return Selection(fact_ids=(fact_id,))
        if subject is not None and relation is not None:
            meaning = self._meaning(relation)
            keys = tuple(map(name_key, self._spellings(namespace, clean_name(subject))))
            return Selection(slot=(keys, meaning.key), narrower=meaning.narrower_keys)
        if name is not None:
            spellings = dict.fromkeys((clean_name(name), *self._spellings(namespace, clean_name(name))))
            return Selection(name_keys=tuple(key for each in spellings for key in (name_key(each), literal_key(each))))
        if isinstance(source, Source):
            return Selection(source=(source.kind, source.ref))
        return Selection(source=(None, source)) if source is not None else Selection(everything=everything)

    def export(self, *, namespace: Namespaces) -> Iterator[dict[str, Any]]:
        """All that a memory is made of but vectors, as JSON-ready records.

        Declared relations; then of each namespace its names, facts in commit order with their history, aliases,
        operations (so that one delivered again is still recognised), quarantine, and how far it has come.

        Args:
            namespace: One namespace, or a list of several.
        """
        self._agree()
        chosen = several(namespace)
        for relation in self._relations_of(chosen):
            yield {"type": "relation", **relation.as_dict()}
        for each in chosen:
            for part in self.store.dump(each):
                yield record_of(each, part)

    def _relations_of(self, namespaces: Sequence[Namespace]) -> list[Relation]:
        """The declared relations that these namespaces use; all of them if nobody else is in the store."""
        declared = self._relations.catalogue.declared
        if not declared or set(self.store.namespaces()) <= set(namespaces):
            return list(declared)
        parts = (part for each in namespaces for part in takewhile(_is_relation, self.store.dump(each)))
        used = {name_key(part.spelling) for part in parts if isinstance(part, Name)}
        near = {other for relation in declared if relation.key in used for other in self._alike(relation.label)}
        return [relation for relation in declared if relation.key in used | near]

    def restore(
        self, records: Iterable[Mapping[str, Any]], *, namespace: Namespace | None = None, source_type: Kind = "user"
    ) -> int:
        """Put exported records back, history included; what is there already is left alone.

        An empty memory gets them as they were. Beside what a memory holds they claim no more than ``source_type``:
        higher kinds are lowered, an alias of a name that somebody stated facts of is left out, and so are names of
        operations. Relations keep the rules that they have in a store which holds other memories, too. What was
        changed is logged.

        Args:
            records: What ``export`` gave.
            namespace: Put everything into this namespace instead of the recorded ones.
            source_type: The highest kind that records may claim beside what is there; ``"system"`` puts back everything
                as it was, relations included: for a backup of your own.

        Returns:
            Number of facts in the records.

        Raises:
            ConfigurationError: A record cannot be understood; those before it are restored.
            QuotaExceeded: The namespace would hold more than it may; what was read before is restored. A backup of your
                own (``source_type="system"``) is put back whatever it holds.
        """
        self._agree()
        admission, count = Admission(source_type), 0
        rank_of(source_type)
        limits = None if admission.is_whole else self.limits
        for where, block in blocks_of(self._parts(records, namespace, admission)):
            self._embed(where, self.store.restore(where, block, limits))
            self._versions[where] += 1
            count += sum(isinstance(part, Kept) for part in block)
        if told := admission.told():
            logger.warning("an import changed or left out %s; source_type='system' puts back a backup as it was", told)
        return count

    def _parts(
        self, records: Iterable[Mapping[str, Any]], namespace: Namespace | None, admission: Admission
    ) -> Iterator[tuple[Namespace, Part]]:
        held: dict[Namespace, bool] = {}  # whether a namespace held facts before the import
        highest: dict[Namespace, int] = {}  # number of the last operation so far
        for number, record in enumerate(records, start=1):
            try:
                if not isinstance(record, Mapping):
                    raise TypeError(f"it is not a mapping but {type(record).__name__}")
                if record["type"] == "relation":
                    self._adopt(_relation_of(record), admission, namespace)
                    continue
                target = check_namespace(namespace or record["namespace"])
                part = part_of(record, target)
                if target not in highest:
                    highest[target] = self.store.stats(target).seq
                highest[target] = _highest(part, highest[target])
            except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise ConfigurationError(
                    f"record {number} is not one of an export: {reason}; those before it are restored, mend or drop it"
                ) from error
            if target not in held:
                held[target] = self._holds_anything(target)
            admitted = self._admitted(target, part, admission) if held[target] else part
            if admitted is not None:
                yield target, self._settled(admitted, record)

    def _holds_anything(self, namespace: Namespace) -> bool:
        """Whether there are facts, or something was said."""
        if next(iter(self.store.facts([namespace])), None) is not None:
            return True
        return bool(self.store.turns.select(namespace, TurnFilter(), limit=1))

    def _adopt(self, relation: Relation, admission: Admission, namespace: Namespace | None) -> None:
        """Take a relation over from an import, unless others' memories would follow it."""
        if relation in self._relations.catalogue.declared:
            return
        if admission.is_whole or set(self.store.namespaces()) <= {namespace}:
            self._relations.add([relation], kept=True)
        else:
            admission.relations.append(relation.label)

    def _admitted(self, namespace: Namespace, part: Part, admission: Admission) -> Part | None:
        """A part of an import as it may come in beside what is there."""
        if isinstance(part, Aliases) and not admission.is_whole:
            known = set(map(name_key, self._spellings(namespace, part.names[0])))
            if set(map(name_key, part.names)) <= known or not any(self._is_stated(namespace, n) for n in part.names):
                return part
            admission.aliases += 1
            return None
        return admission.admit(part)

    def _is_stated(self, namespace: Namespace, name: str) -> bool:
        """Whether a person, or somebody above, stated a fact with this name that stands."""
        keys = (name_key(name), literal_key(name))
        for where in (FactFilter(subject_keys=keys, open_only=True), FactFilter(object_keys=keys, open_only=True)):
            if any(rank_of(fact.kind) >= rank_of("user") for fact in self.store.facts([namespace], where)):
                return True
        return False

    def _settled(self, part: Part, record: Mapping[str, Any]) -> Part:
        """A fact or relation of an older export as the catalogue in force understands it.

        Its relation may be another's name by now, and whether its object is a literal may not be told.
        """
        if isinstance(part, Name) and part.kind == "relation":
            return replace(part, spelling=self._meaning(part.spelling).relation.label)
        if not isinstance(part, Kept):
            return part
        relation = self._meaning(part.fact.triple.relation).relation
        literal = part.literal if "literal" in record else relation.range == "literal"
        if literal != (relation.range == "literal"):
            return part
        subject, _, object_ = part.fact.triple
        fact = replace(part.fact, triple=Triple(subject, relation.label, object_))
        return replace(part, fact=fact, literal=literal)

    def stats(self, *, namespace: Namespace) -> Stats:
        """Counts of a namespace.

        Args:
            namespace: Whose memory.
        """
        self._agree()
        stats = self.store.stats(check_namespace(namespace))
        return dataclasses.replace(stats, limits=shares(stats.use, self.limits, self._now()))

    def quarantined(self, *, namespace: Namespace) -> list[Quarantined]:
        """Pieces of model output that could not be used, oldest first.

        Args:
            namespace: Whose memory.
        """
        return self.store.quarantined(check_namespace(namespace))

    def verify(self) -> list[str]:
        """Check that the store answers, fits the embedder and is sound, and no memory is near its limits.

        Returns:
            The problems found.
        """
        self._agree()
        found = self.store.check()
        try:
            uses = self.store.uses()
        except StoreCorrupt as error:
            return found or [str(error)]
        return found + [
            each
            for namespace, use in uses
            for each in near(shown(json.dumps(namespace, ensure_ascii=False), 120), use, self.limits, self._now())
        ]

    def rebuild_index(self) -> int:
        """Make anew what facts and turns are found by, from what is stored: words, search codes, indexes.

        Returns:
            How much of it was missing or wrong; full text is always made anew, and counts as one.

        Raises:
            ConfigurationError: The store holds nothing of the kind.
        """
        if not isinstance(self.store, Reindexing):
            raise ConfigurationError(f"{self.store.location} has no indexes that could be made anew")
        self._everywhere += 1
        return self.store.rebuild_index()

    awrite = twin(write)
    aretract = twin(retract)
    areceipt = twin(receipt)
    aalias = twin(alias)
    aread = twin(read)
    aread_many = twin(read_many)
    arecall = twin(recall)
    ahistory = twin(history)
    aexplain = twin(explain)
    aforget = twin(forget)
    arestore = twin(restore)
    astats = twin(stats)
    aquarantined = twin(quarantined)
    averify = twin(verify)
    arebuild_index = twin(rebuild_index)
    adeclare = twin(declare)
    aset_limits = twin(set_limits)


def _highest(part: Part, so_far: int) -> int:
    """The number of the last operation, with that of a part of an import.

    Raises:
        ValueError: It is so far beyond the others that only a forged record makes it: it would use the numbers up.
    """
    seqs = [part.seq] if isinstance(part, Head) else [part.receipt.seq] if isinstance(part, Operation) else []
    if isinstance(part, Kept):
        seqs = [part.fact.seq, part.closed_seq or 0]
    highest = max([so_far, *seqs])
    if highest - so_far > _MOST_BETWEEN:
        raise ValueError(f"the number {highest} of its operation is more than {_MOST_BETWEEN} after the one before")
    return highest


def said_at(source: Source, at: Moment | None) -> Source:
    """The source as it speaks at a time; None leaves it as it is.

    Raises:
        ConfigurationError: The time is not an ISO time.
    """
    return source if at is None else replace(source, at=as_moment(at))


def _limits(limits: object) -> Limits:
    """The limits as they were given.

    Raises:
        ConfigurationError: They are something else.
    """
    if not isinstance(limits, Limits):
        raise ConfigurationError(f"limits={ascii(limits)[:60]} are not Limits; give Limits(statements=100_000)")
    return limits


def _listed(triples: Iterable[Proposed]) -> list[Proposed]:
    """The proposed triples as a list.

    Raises:
        ConfigurationError: It is one triple, or nothing that can be listed.
    """
    single = isinstance(triples, str | bytes | Triple | Statement | Mapping)
    if not single and isinstance(triples, Iterable):
        proposed = list(triples)
        single = bool(proposed) and all(isinstance(item, str) for item in proposed)
    if single or not isinstance(triples, Iterable):
        raise ConfigurationError(
            f"{ascii(triples)[:80]} is not a list of triples; write a list, also of one: [('Ada', 'lives in', 'Oslo')]"
        )
    return proposed


def _statement(item: Proposed) -> Statement:
    """A proposed triple in any of its forms, unchecked but for the form.

    Raises:
        InvalidTriple: It is none of them.
    """
    if isinstance(item, Statement):
        return item
    if isinstance(item, Mapping) and not item.keys() <= _STATEMENT_FIELDS:
        raise InvalidTriple("triple", item, f"unknown parts; use {', '.join(sorted(_STATEMENT_FIELDS))}")
    if isinstance(item, Mapping) and {"subject", "relation", "object"} <= item.keys():
        return Statement(**item)
    if isinstance(item, list | tuple) and len(item) == 3:
        return Statement(*item)
    return Statement(*as_triple(item))


def _check_statement(statement: Statement) -> None:
    """Check what is said beside the names. The reasons name no value: they are kept in the receipt.

    Raises:
        InvalidTriple: A part is not of its kind.
    """
    for part in ("valid_from", "valid_to"):
        try:
            check_date(getattr(statement, part))
        except ConfigurationError as error:
            reason = f"{part} is not a partial ISO date; write 2010, 2010-05 or 2010-05-03"
            raise InvalidTriple(part, getattr(statement, part), reason) from error
    if not isinstance(statement.retract, bool):
        raise InvalidTriple("retract", statement.retract, "retract is neither True nor False")
    confidence = statement.confidence
    if confidence is not None and not (_is_number(confidence) and 0.0 <= confidence <= 1.0):
        raise InvalidTriple(
            "confidence", confidence, "confidence is not a probability; give a number in [0, 1], or none"
        )
    text, span, turn = statement.text, statement.span, statement.turn
    if text is not None and not (isinstance(text, str) and _is_plain(text)):
        raise InvalidTriple("text", text, "its sentence is not plain text; clean it first")
    if text is not None and len(text) > MAX_SENTENCE:
        raise InvalidTriple("text", text[:60], f"its sentence has {len(text)} characters; at most {MAX_SENTENCE} fit")
    if turn is not None and not _is_place(turn):
        raise InvalidTriple("turn", turn, "turn is not the number of a turn; give 0 or more")
    if span is not None and not (isinstance(span, list | tuple) and len(span) == 2 and all(map(_is_place, span))):
        raise InvalidTriple("span", span, "span is not a place in a text; give its start and end in characters")


def _may_be_date(value: object) -> TypeGuard[str]:
    """Whether it is a text that is short enough to be read as a date."""
    return isinstance(value, str) and len(value) <= MAX_NAME


def _is_plain(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_place(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


_STATEMENT_FIELDS: Final = frozenset(field.name for field in fields(Statement))


def _is_payload(kept: str, payload: str, source: Source, replace: bool) -> bool:
    """Whether an operation was made from this, by whichever policy: that is what it does, not what it is."""
    return kept in {stable_hash(payload, source, policy, replace) for policy in get_args(Policy)}


def _of_entry(batch: Batch, entry: OutboxEntry) -> Batch:
    """The batch as what an entry of the outbox becomes: without what was forgotten while it waited."""
    gone = [c for c in batch.claims if entry.excludes(c.subject_key, c.relation_key, c.object_key)]
    return replace(
        batch,
        outbox_version=entry.version,
        claims=tuple(claim for claim in batch.claims if claim not in gone),
        rejected=(*batch.rejected, *(Outcome(claim.index, "forgotten") for claim in gone)),
    )


def _content(proposed: Sequence[Proposed]) -> str:
    """What identifies a payload: the triples as they were given."""
    return json.dumps(
        [asdict(item) if isinstance(item, Statement) else _plain(item) for item in proposed],
        ensure_ascii=True,
        sort_keys=True,
        default=repr,
    )


def _plain(item: Proposed) -> object:
    return dict(item) if isinstance(item, Mapping) else list(item) if isinstance(item, Iterable) else item


def several(namespace: Namespaces) -> list[Namespace]:
    """One or several namespaces as a list.

    Raises:
        NamespaceError: None, or one that cannot be used.
    """
    if isinstance(namespace, list) and namespace and not all(isinstance(each, str) for each in namespace):
        return list(dict.fromkeys(check_namespace(each) for each in namespace))
    if namespace is None:
        raise NamespaceError("no namespace was given; pass namespace=('memllm', 'ada'), or a list of several")
    return [check_namespace(namespace)]


def _result(query: Query, found: Found) -> ReadResult:
    return ReadResult(query, tuple(_match(query, row) for row in found.rows), found.truncated)


def _tied_to_speaker(claim: Claim) -> str | None:
    """Key of the name that a claim ties to the speaker, if it does."""
    speaker = name_key(SPEAKER)
    if claim.subject_key == speaker:
        return None if is_literal_key(claim.object_key) else claim.object_key
    return claim.subject_key if claim.object_key == speaker else None


def _value_of(row: Row) -> str:
    """Key of the value that a fact gives to the subject it was asked by."""
    return name_key(row.fact.triple.subject if row.how == "inverse" else row.fact.triple.object)


def _is_open(fact: Fact, when: _When) -> bool:
    return fact.is_open or (when.at is not None and fact.closed_at is not None and fact.closed_at > when.at)


def _phase(fact: Fact, when: _When) -> Phase:
    return phase_of(fact.valid_from, fact.valid_to, when.day)


def _holds(row: Row, when: _When) -> bool:
    return _phase(row.fact, when) == "now"


def _phased(matches: Iterable[Match], standing: Mapping[str, Stands], when: _When) -> Iterator[Match]:
    """The matches with their facts as they stand at that time."""
    for match in matches:
        fact = match.fact
        if _is_open(fact, when):
            how = standing.get(fact.id)
            phase = _phase(fact, when) if how is None else how.phase
            contested, unconfirmed = (False, False) if how is None else (how.contested, how.unconfirmed)
            unconfirmed = unconfirmed or _is_hearsay(fact)
            if (phase, contested, unconfirmed) != (fact.phase, fact.contested, fact.unconfirmed):
                new = replace(fact, phase=phase, contested=contested, unconfirmed=unconfirmed)
                match = replace(match, fact=new)
        yield match


def _is_hearsay(fact: Fact) -> bool:
    """Whether a source below a person says something of the person or what is theirs, whatever it calls them."""
    if rank_of(fact.kind) >= TRUSTED:
        return False
    subject, _, object_ = fact.triple
    return may_mean_speaker(subject) or may_mean_speaker(object_) or may_be_theirs(subject)


def _standing_now(result: ReadResult, standing: Mapping[str, Stands], when: _When) -> ReadResult:
    """The answers of a result that hold at that time, as they stand then."""
    matches = tuple([match for match in _phased(result.matches, standing, when) if match.fact.phase == "now"])
    return result if matches == result.matches else replace(result, matches=matches)


def _recalled(similarity: float, row: Row) -> Match:
    return Match(row.fact, row.fact.triple.object, similarity, row.entity_similarity, similarity, row.how, _why(row))


def _match(query: Query, row: Row) -> Match:
    fact, how = row.fact, row.how
    wants_object = (query.subject is not None) != (how == "inverse")
    answer = fact.triple.object if wants_object else fact.triple.subject
    if how == "exact":
        return Match(fact, answer)
    return Match(fact, answer, row.similarity, row.entity_similarity, row.relation_similarity, how, row.via)


def _is_relation(part: Part) -> bool:
    return isinstance(part, Name) and part.kind == "relation"


def _relation_of(record: Mapping[str, Any]) -> Relation:
    return Relation.from_dict({key: value for key, value in record.items() if key != "type"})


def _why(row: Row) -> str:
    reasons = {
        "exact": f"the text names {row.via!r}",
        "alias": f"the text names an alias of {row.via!r}",
        "similar": f"the text says {row.via!r}"
        if row.via
        else "it was said in words of the text, or in words near them",
        "neighbour": f"one step further, by {row.via!r}",
    }
    return reasons.get(row.how, row.via)
