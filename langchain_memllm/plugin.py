"""``MemLLMMemory``: the memory that an application holds, and the doors it opens for LangChain and LangGraph.

Wires the core, the models and the doors; every rule is written below. Making one loads no model, no graph and no
LangChain: models are built at their first use, doors import what they need. The paper is arXiv 2404.11672.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeAlias, get_args

from langchain_memllm import recalled
from langchain_memllm.agreement import UnknownRelations
from langchain_memllm.arguments import by_name
from langchain_memllm.belief import Policy, Quarantined
from langchain_memllm.door import LOCAL, Door, Model, built
from langchain_memllm.embeddings import Embedder, EmbedderName
from langchain_memllm.errors import ConfigurationError, NamespaceError, OperationConflict, QuotaExceeded
from langchain_memllm.flow import Flow, Step, arun, run
from langchain_memllm.forking import renewed
from langchain_memllm.hub import Hub
from langchain_memllm.ingest import Progress
from langchain_memllm.memory import CHAT, MAX_RESULTS, Memory, Namespaces, Proposed, Thresholds, said_at, several
from langchain_memllm.quotas import Limits
from langchain_memllm.recalled import Show, check_show
from langchain_memllm.relations import Relation
from langchain_memllm.salience import may_state
from langchain_memllm.scope import TEMPLATE, Identity, MemLLMContext, Scope, current_run
from langchain_memllm.sharing import Shared
from langchain_memllm.stores.backup import ON_A_SERVER
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.interface import Erased, Stats, TripleStore
from langchain_memllm.times import Day, Moment
from langchain_memllm.triples import Fact, Kind, Namespace, Query, ReadResult, Recall, Receipt, Source, as_source
from langchain_memllm.twins import told_as, twin

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import IndexConfig

    from langchain_memllm.adapters.embeddings import MemLLMEmbeddings
    from langchain_memllm.adapters.middleware import MemLLMMiddleware, Mode, WriteWhen
    from langchain_memllm.adapters.retriever import MemLLMRetriever, SearchType
    from langchain_memllm.adapters.store import MemLLMStore
    from langchain_memllm.background import BackgroundWriter
    from langchain_memllm.chat import ReaderMode
    from langchain_memllm.deciders import Gate
    from langchain_memllm.extraction import Extractor
    from langchain_memllm.gate import Decider
    from langchain_memllm.graph import MemoryNode, When
    from langchain_memllm.reading import Rules
    from langchain_memllm.transfer import Digest, Loaded, Rejected
    from langchain_memllm.turns import ExtractWhen, OnError, Recaller, TurnWriter

__all__ = ["LOCAL_USER", "MemLLMMemory"]

LOCAL_USER: Final = "local"
"""The user of an embedded store when nobody is named: the person at this machine."""

Standing: TypeAlias = Literal["current", "past", "all"]
"""Which facts are listed: those that stand (contested and planned ones, too), those that do not any more, or all."""


class MemLLMMemory(Shared):
    """An explicit, editable memory of facts for agents: one object, every door.

    Every verb takes at most one of ``user_id=`` (fills the namespace template) and ``namespace=`` (as it is; reading
    verbs take a list of several). With neither, a call inside a run (a tool, a node, a chain, with everything they
    start) is about the run's user, and refused if the run names none; outside of runs an embedded store answers for
    the one local user, ``LOCAL_USER``, and a shared store (Neo4j) refuses. ``require_user=False`` gives everything
    unnamed to ``LOCAL_USER``. Each verb has an async twin with an ``a`` in front.

    Args:
        store: A file path, ``":memory:"``, ``neo4j://host`` (credentials from ``NEO4J_*``), a ``neo4j.Driver`` or a
            ``TripleStore``.
        model: Finds facts in texts and answers: ``"openai:…"`` (any name of ``init_chat_model``), a chat model, a
            ``MemLLMModel``, or ``"local"`` for the local one (``"local:0"``: all that it writes, however
            improbable). Built at its first use.
        extractor: Finds facts in texts instead of the model.
        embedder: Anything with ``embed_documents``; ``"minilm"`` finds more and takes longer (extra ``onnx``);
            ``"multilingual"`` for people who do not write English (15 other languages, shipped); by default the
            English one that is shipped. A store keeps to one of them.
        relations: Relations of your own.
        namespace: Template of the namespace; a tuple without ``{placeholder}`` is one namespace for all.
        require_user: Whether somebody must be named. None: in runs, and everywhere on a shared store. True: always.
            False: never, everything unnamed belongs to ``LOCAL_USER``.
        identity: Who is the user where a server authenticated somebody: ``"server"``: they are, and a run that names
            another user is refused. ``"run"``: whomever the run names, for a gateway you trust (see ``Scope``).
        policy: What a new value does to an old one: ``"chat"``, ``"edit"`` or ``"paper"``.
        thresholds: How similar an answer must be.
        unknown_relations: How many values a relation holds that nobody declared: ``"many"`` or ``"one_at_a_time"``.
        on_error: What a failing memory does to a run: ``"warn"`` or ``"raise"``. Direct verbs always raise.
        episodes: Also keep what was said, word for word: every message of a run whose words are written, the
            assistant's and its tools' as well, for ``hub``. Needs no model: without one nothing else is written.
        limits: How much each user's memory may hold, for all who use the store (``quotas.Limits``); None: those that
            were given last, or the defaults.

    Raises:
        ConfigurationError: An argument cannot be used.
        StoreError: The store cannot be opened.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | TripleStore | Any = "memllm.db",
        *,
        model: Model | None = None,
        extractor: Extractor | None = None,
        embedder: Embedder | EmbedderName | None = None,
        relations: Iterable[Relation] = (),
        namespace: Namespace = TEMPLATE,
        require_user: bool | None = None,
        identity: Identity = "server",
        policy: Policy = "chat",
        thresholds: Thresholds = CHAT,
        unknown_relations: UnknownRelations = "many",
        on_error: OnError = "warn",
        episodes: bool = False,
        limits: Limits | None = None,
    ) -> None:
        """Open the store; no model is built."""
        if require_user not in (None, True, False):
            raise ConfigurationError(f"require_user={require_user!r} is none of None, True and False")
        if on_error not in ("warn", "raise"):
            raise ConfigurationError(f"on_error={on_error!r} is unknown; use 'warn' or 'raise'")
        self.scope = Scope(namespace, default_user=LOCAL_USER if require_user is False else None, identity=identity)
        self.on_error: OnError = on_error
        if not isinstance(episodes, bool):
            raise ConfigurationError(f"episodes={episodes!r} is neither True nor False")
        self._episodes = episodes
        self._backgrounds: list[BackgroundWriter] = []
        self._gates: dict[str, Decider] = {}  # by their names: a model is loaded once
        self._building = renewed(threading.Lock())
        self.core = Memory(
            store,
            embedder=embedder,
            relations=relations,
            policy=policy,
            thresholds=thresholds,
            unknown_relations=unknown_relations,
            limits=limits,
        )
        self._require_user = self.core.store.shared if require_user is None else require_user
        self._hub = Hub(self.core, lambda namespace, user_id: self._whose(namespace, user_id)[0], _by_chat_model)
        self._store: MemLLMStore | None = None
        self._named = type(model).__name__ if model is not None and not isinstance(model, str) else model
        try:
            self._door = Door(self.core, model=model, extractor=extractor)
        except ConfigurationError:
            self.core.close()
            raise

    def __repr__(self) -> str:
        """Where it is kept, its model by name and the namespace; no secrets."""
        location, template = self.core.store.location, self.scope.template
        return f"{type(self).__name__}({location!r}, model={self._named!r}, namespace={template!r})"

    def __enter__(self) -> MemLLMMemory:
        """Use it in a ``with`` statement."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    async def __aenter__(self) -> MemLLMMemory:
        """Use it in an ``async with`` statement."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close it."""
        await self.aclose()

    def close(self) -> None:
        """Close the store if it was opened here; what waits in the outbox stays there. Idempotent."""
        for each in self._backgrounds:
            each.close()
        self.core.close()

    # -- whose memory ----------------------------------------------------------------------------------------------

    def _whose(self, namespace: Any, user_id: object) -> tuple[Any, str | None]:
        """The namespace (or several) a verb is about, and who speaks: in a run without either argument the run's user.

        Raises:
            NamespaceError: Both were given, or neither and somebody must be named, by the run or the caller.
        """
        if namespace is not None and user_id is not None:
            raise NamespaceError(f"both namespace={namespace!r} and user_id={user_id!r} were given; give one of them")
        if namespace is not None:
            return namespace, self.scope.user_of(namespace)
        if user_id is None and (run := current_run()) is not None:
            return self.scope.resolve(run.config, run.runtime), self.scope.principal(run.config, run.runtime)
        if user_id is None and self.scope.has_placeholder:
            if self._require_user:
                raise NamespaceError(
                    f"nobody is named, and {self.core.store.location} keeps several people apart; pass user_id='ada', "
                    "or namespace=('memllm', 'ada'), or open the memory with require_user=False for one local user"
                )
            user_id = LOCAL_USER
        return self.scope.for_user(user_id), self.scope.principal(user_id=user_id)

    def namespace_of(self, user_id: str | None = None) -> Namespace:
        """The namespace that the verbs use for a user; without one, that of the local user.

        Args:
            user_id: The user.

        Raises:
            NamespaceError: Nobody is named, and somebody must be.
        """
        namespace: Namespace = self._whose(None, user_id)[0]
        return namespace

    @property
    def hub(self) -> Hub:
        """What was said: windows of threads, whole episodes, the turns behind a fact; filled with ``episodes=True``."""
        return self._hub

    @property
    def store(self) -> MemLLMStore:
        """LangGraph's long-term store in the same database, for ``compile(store=)`` and ``create_agent(store=)``.

        Its items are searched by the memory's own embedder. They are beside the facts: ``recall`` does not read them,
        ``forget`` and ``export`` leave them alone, and their namespaces are what the application passes.
        """
        from langchain_memllm.adapters.store import MemLLMStore

        if self._store is None:
            embedder = self.core.vectors.embedder
            index: IndexConfig = {
                "dims": self.core.vectors.fingerprint.dimension,
                "embed": lambda texts: embedder.embed_documents(list(texts)),
            }
            self._store = MemLLMStore(self.core.store, index=index)
        return self._store

    # -- writing ---------------------------------------------------------------------------------------------------

    def remember(
        self,
        text: str,
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
        source: Source | None = None,
        op_id: str | None = None,
        context: Sequence[str] = (),
        replace: bool = False,
        at: Moment | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        """Find the facts of a text and write them, as one operation: one model call for 12,000 characters.

        Args:
            text: What was said or written; a long text is read in parts.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            source: Where the text comes from; by default the user says it.
            op_id: Name of the operation; if it was delivered before, its receipt is the answer and no model is called.
            context: What stood before the text, oldest first; it tells what words refer to and states nothing.
            replace: The text is the new version of its source: what only the former one said becomes past.
            at: When it was said, if not now; see ``Memory.write``.
            progress: Told after each part how many sentences are read, and of how many.

        Raises:
            ConfigurationError: The text is empty, or there is no model.
            ModelError: The model cannot be reached or used.
            OperationConflict: The ``op_id`` was used with another text.
            StoreError: Nothing was written.
        """
        where, principal = self._whose(namespace, user_id)
        options = {"op_id": op_id, "context": context, "replace": replace, "progress": progress}
        return run(_as_spoken(self._remembering(text, where, at, options), source, principal))

    @told_as(remember)
    async def aremember(
        self,
        text: str,
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
        source: Source | None = None,
        op_id: str | None = None,
        context: Sequence[str] = (),
        replace: bool = False,
        at: Moment | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        """Async twin of ``remember``: the model is awaited, the store works in a thread."""
        where, principal = self._whose(namespace, user_id)
        options = {"op_id": op_id, "context": context, "replace": replace, "progress": progress}
        return await arun(_as_spoken(self._remembering(text, where, at, options), source, principal))

    def _remembering(
        self, text: str, where: Namespace, at: Moment | None, options: dict[str, Any]
    ) -> Callable[[Source], Flow[Receipt]]:
        """How a text is remembered, whoever turns out to say it."""
        return lambda source: self._door.ingest.remember(text, namespace=where, source=said_at(source, at), **options)

    def flush(
        self, *, namespace: Namespace | None = None, user_id: str | None = None, everyone: bool = False
    ) -> list[Receipt]:
        """Extract and write what was said and still waits in the outbox; ``stats().outbox`` counts it.

        Safe to run in several processes at once: each message is written once.

        Args:
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            everyone: All memories of the store.

        Raises:
            ConfigurationError: There is no model.
            ModelError: Some of it could not be extracted, and still waits; the rest is written.
            QuotaExceeded: A memory is full: what was said in it still waits; that of all others is written.
            StoreError: The store failed; what was written is written.
        """
        return run(self._flush(namespace, user_id, everyone))

    @told_as(flush)
    async def aflush(
        self, *, namespace: Namespace | None = None, user_id: str | None = None, everyone: bool = False
    ) -> list[Receipt]:
        """Async twin of ``flush``: the model is awaited, the store works in a thread."""
        return await arun(self._flush(namespace, user_id, everyone))

    def _flush(self, namespace: Namespace | None, user_id: str | None, everyone: bool) -> Flow[list[Receipt]]:
        if everyone and not (namespace is None and user_id is None):
            raise NamespaceError("everyone=True flushes all namespaces; leave namespace and user_id out, or everyone")
        chosen = (yield Step(self.namespaces)) if everyone else [self._whose(namespace, user_id)[0]]
        receipts: list[Receipt] = []
        full: QuotaExceeded | None = None
        for each in chosen:
            try:
                receipts += yield from self._door.ingest.flush(each)
            except QuotaExceeded as error:  # what one has too much of keeps nobody else waiting
                full = error
        if full is not None:
            raise full
        return receipts

    @by_name("write([('Ada', 'lives in', 'Oslo')])")
    def write(
        self,
        triples: Iterable[Proposed],
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
        source: Source | None = None,
        op_id: str | None = None,
        policy: Policy | None = None,
        replace: bool = False,
        at: Moment | None = None,
    ) -> Receipt:
        """Write triples as one operation, without a model: every one has its outcome in the receipt.

        Args:
            triples: At most 4,096 triples, statements, sequences of three names or mappings. Numbers, truth values and
                dates are fine as objects.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            source: Where they come from; by default the user states them.
            op_id: Name of the operation; delivering it again changes nothing and answers with the same receipt.
            policy: Rules for this operation instead of the memory's.
            replace: This is the new version of the source: what only the former one said becomes past.
            at: When it was said, if not now; what was said earlier than what stands goes to the history.

        Raises:
            NamespaceError: Nobody is named, and somebody must be.
            ConfigurationError: A bad argument, or one triple instead of a list of them.
            OperationConflict: The ``op_id`` was used with other triples.
            StoreError: Nothing was written.
        """
        where, principal = self._whose(namespace, user_id)
        proposed = list(triples) if isinstance(triples, Iterator) else triples  # it may be delivered twice

        def write(source: Source) -> Receipt:
            return self.core.write(
                proposed, namespace=where, source=source, op_id=op_id, policy=policy, replace=replace, at=at
            )

        return run(_as_spoken(_flow_of(write), source, principal))

    @by_name("retract(('Ada', 'lives in', 'Oslo'))")
    def retract(
        self,
        triple: Proposed,
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
        source: Source | None = None,
        op_id: str | None = None,
        at: Moment | None = None,
    ) -> Receipt:
        """Take a triple back: the fact is closed and stays in the history. Raises as ``write``.

        Args:
            triple: The triple: three names, a mapping, a ``Triple`` or a ``Statement``.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            source: Who takes it back; by default the user.
            op_id: Name of the operation; see ``write``.
            at: When it was taken back, if not now.
        """
        where, principal = self._whose(namespace, user_id)

        def retract(source: Source) -> Receipt:
            return self.core.retract(triple, namespace=where, source=source, op_id=op_id, at=at)

        return run(_as_spoken(_flow_of(retract), source, principal))

    def alias(
        self, name: str, alias: str, *, namespace: Namespace | None = None, user_id: str | None = None
    ) -> tuple[str, ...]:
        """Make two names one (New York City, NYC): either finds the facts of both. Returns all spellings.

        Args:
            name: One name.
            alias: The other.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.

        Raises:
            InvalidTriple: A name cannot be stored.
            ConfigurationError: More than 32 names would be one.
        """
        return self.core.alias(name, alias, namespace=self._whose(namespace, user_id)[0])

    def declare(self, *relations: Relation, replace: bool = False) -> None:
        """Declare relations for all clients of the store; other clients that are open follow within seconds.

        Args:
            relations: What to declare: ``Relation("reports to", cardinality="one_at_a_time")``.
            replace: Change the rules of relations that are declared already.

        Raises:
            ConfigurationError: A label or alias belongs to another relation, the rules differ, or the store holds facts
                of the relation with another range.
        """
        self.core.declare(*relations, replace=replace)

    @property
    def limits(self) -> Limits:
        """How much each memory of the store may hold; ``stats().limits`` tells how much of it one has used."""
        return self.core.limits

    def set_limits(self, limits: Limits) -> Limits:
        """Set how much each memory may hold, for all who use the store. Returns the limits.

        Who has the store open follows when it is opened again.

        Args:
            limits: The limits.

        Raises:
            ConfigurationError: They are something else than ``Limits``.
        """
        return self.core.set_limits(limits)

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(
        self,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,
        *,
        namespace: Namespaces | None = None,
        user_id: str | None = None,
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
            namespace: Whose memory; see the class. A list of several is read in its order.
            user_id: Whose memory; see the class.
            at: What was believed at this record time (ISO or datetime; a date means its end).
            valid_at: What held at this time by what was stated (partial ISO date, ``date`` or ``datetime``).
            thresholds: How similar an answer may be; the memory's by default.
            limit: Most matches, 1 to 1,000.

        Raises:
            ConfigurationError: Not exactly one side open, or a bad time or limit.
        """
        where, _ = self._whose(namespace, user_id)
        return self.core.read(
            subject, relation, object, namespace=where, at=at, valid_at=valid_at, thresholds=thresholds, limit=limit
        )

    def read_many(
        self,
        queries: Sequence[Query],
        *,
        namespace: Namespaces | None = None,
        user_id: str | None = None,
        at: Moment | None = None,
        valid_at: Day | None = None,
        thresholds: Thresholds | None = None,
        limit: int = MAX_RESULTS,
    ) -> list[ReadResult]:
        """Answer several queries with one look-up, and one similar search for those it left unanswered.

        Args:
            queries: The queries, each with one side open.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            at: What was believed at this record time; see ``read``.
            valid_at: What held at this time by what was stated; see ``read``.
            thresholds: How similar an answer may be; the memory's by default.
            limit: Most matches of each query, 1 to 1,000.
        """
        where, _ = self._whose(namespace, user_id)
        return self.core.read_many(
            queries, namespace=where, at=at, valid_at=valid_at, thresholds=thresholds, limit=limit
        )

    def recall(
        self,
        text: str,
        *,
        namespace: Namespaces | None = None,
        user_id: str | None = None,
        k: int | None = None,
        max_tokens: int = 600,
        speaker: str | None = "user",
        show: Show = "auto",
        role: str | None = None,
        explain: bool = False,
        memory_gate: Gate | None = None,
    ) -> Recall:
        """Facts that answer a text, what was said about it, and the block that shows both.

        No language model is called, unless the gate is one.

        Args:
            text: Any text.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            k: Most facts, 1 to 200, and most quotes, whatever of them fits into the block. None: as many as fit.
            max_tokens: Most tokens of the block, which is in ``Recall.block``. Facts and what was said take turns.
            speaker: Name under which facts about the person who says "I" are stored; None: nobody's.
            show: ``facts``, ``turns`` (what the person said, if the memory keeps it), or ``auto``: both.
            role: Who looks at what was said; None sees what is in no scope.
            explain: Also tell the facts that came next and had no place (``Recall.left_out``).
            memory_gate: Decides whether the text needs memory, and what of that which was found is left out, shown in
                part, or whole (``Recall.decision``): ``"rules"``, ``"embedder"``, ``"local"``, a chat model or its
                name, or a ``gate.Decider``.

        Raises:
            ConfigurationError: A value that is unknown or out of range.
            ModelError: The gate's model failed.
        """
        return run(self._recalling(text, namespace, user_id, k, max_tokens, speaker, show, role, explain, memory_gate))

    @told_as(recall)
    async def arecall(
        self,
        text: str,
        *,
        namespace: Namespaces | None = None,
        user_id: str | None = None,
        k: int | None = None,
        max_tokens: int = 600,
        speaker: str | None = "user",
        show: Show = "auto",
        role: str | None = None,
        explain: bool = False,
        memory_gate: Gate | None = None,
    ) -> Recall:
        """Async twin of ``recall``: the store works in a thread, a chat model that is the gate is awaited."""
        return await arun(
            self._recalling(text, namespace, user_id, k, max_tokens, speaker, show, role, explain, memory_gate)
        )

    def _recalling(
        self,
        text: str,
        namespace: Namespaces | None,
        user_id: str | None,
        k: int | None,
        max_tokens: int,
        speaker: str | None,
        show: Show,
        role: str | None,
        explain: bool,
        memory_gate: Gate | None,
    ) -> Flow[Recall]:
        where, _ = self._whose(namespace, user_id)
        gate = self._gate(memory_gate)
        options: dict[str, Any] = {
            "show": self._shown(show),
            "k": k,
            "max_tokens": max_tokens,
            "speaker": speaker,
            "role": role,
            "owner": self.scope.owner if namespace is None else None,
            "explain": explain,
        }
        if gate is not None:
            return (yield from recalled.gated(self.core, self.hub, text, several(where), gate=gate, **options))
        found: Recall = yield Step(lambda: recalled.recall(self.core, self.hub, text, several(where), **options))
        return found

    def _gate(self, choice: Gate | None) -> Decider | None:
        """The decider of a gate; the memory's own model, where that is the local one and the local one is meant.

        Raises:
            ConfigurationError: An unknown gate.
        """
        if choice is None:
            return None
        from langchain_memllm.deciders import gate_of

        given = self._door.given
        is_local = hasattr(given, "write_calls") or (isinstance(given, str) and given.partition(":")[0] == LOCAL)
        with self._building:
            known = self._gates.get(choice) if isinstance(choice, str) else None
            decider = known or gate_of(choice, self._door.load_model if is_local else None)
            if isinstance(choice, str) and decider is not None:
                self._gates[choice] = decider
        return decider

    def _shown(self, show: Show) -> Show:
        """What to recall: ``auto`` is facts alone where nothing of what was said is kept."""
        return "facts" if check_show(show) == "auto" and not self._episodes else show

    def facts(
        self,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,
        *,
        namespace: Namespaces | None = None,
        user_id: str | None = None,
        source: str | Source | None = None,
        state: Standing = "current",
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Fact]:
        """What is stored, in commit order: everything, or what meets all conditions that are given.

        Args:
            subject: Name of the subject, or an alias of it.
            relation: The relation, or an alias of it.
            object: Name of the object, or an alias of it.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            source: What they rest on: its ref (a file's name), or a ``Source``.
            state: ``current``: what stands, contested and planned facts included; ``past``: what does not any more;
                ``all``.
            limit: Most facts. None: all of them, which is much where a memory holds millions.
            offset: How many to leave out at the beginning: ``limit=100, offset=200`` is the third page.

        Raises:
            ConfigurationError: An unknown state, or a bad limit or offset.
        """
        if state not in get_args(Standing):
            raise ConfigurationError(f"state={state!r} is unknown; use 'current', 'past' or 'all'")
        for name, value, least in (("limit", limit, 1), ("offset", offset, 0)):
            if value is not None and not (isinstance(value, int) and value >= least):
                raise ConfigurationError(f"{name}={value!r} is out of range; give {least} or more")
        where, _ = self._whose(namespace, user_id)
        found = self.core.facts(subject, relation, object, namespace=where, source=source, open_only=state == "current")
        chosen = (fact for fact in found if state == "all" or (fact.state == "past") == (state == "past"))
        return list(islice(chosen, offset, None if limit is None else offset + limit))

    def receipt(self, op_id: str, *, namespace: Namespace | None = None, user_id: str | None = None) -> Receipt | None:
        """The receipt of an earlier operation; None if there was none of that name.

        Args:
            op_id: Name of the operation, as ``write`` was given it or its receipt tells it.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
        """
        return self.core.receipt(op_id, namespace=self._whose(namespace, user_id)[0])

    def history(
        self,
        subject: str,
        relation: str | None = None,
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> list[Fact]:
        """Every fact ever stored of a subject (and relation), in commit order, with what closed it.

        Args:
            subject: Name of the subject, or an alias of it.
            relation: The relation, or an alias of it; None: all.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
        """
        return self.core.history(subject, relation, namespace=self._whose(namespace, user_id)[0])

    def explain(self, fact_id: str, *, namespace: Namespace | None = None, user_id: str | None = None) -> Fact | None:
        """One fact with all its sources; None if there is no such fact.

        Args:
            fact_id: Its id, as ``Fact.id`` has it.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
        """
        return self.core.explain(fact_id, namespace=self._whose(namespace, user_id)[0])

    # -- forgetting, moving, looking after -------------------------------------------------------------------------

    @by_name("forget(name='Ada'), or forget(subject='Ada', relation='lives in')")
    def forget(
        self,
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
        fact_id: str | None = None,
        subject: str | None = None,
        relation: str | None = None,
        name: str | None = None,
        source: str | Source | None = None,
        everything: bool = False,
        purge: bool = False,
    ) -> Erased:
        """Erase without a trace: exactly one of a fact, a slot, a name, a source, or everything.

        The sentences that state what is forgotten go too; one that is the evidence of another fact stays with that.
        Checkpoints of LangGraph threads are not the memory's: what was said in a thread stays there.

        Args:
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            fact_id: One fact.
            subject: With ``relation``: the slot, current and past.
            relation: See ``subject``.
            name: Every fact with this name or an alias of it at either end. Other names that it may have meant stay,
                and are told in ``similar_names``; sources whose own name holds it in ``named_in``.
            source: What rests on this source alone; a ref (of any kind) or a ``Source``. What it had closed reopens.
            everything: The whole memory.
            purge: Also rewrite the file, so that the bytes are gone from disk. Files of a server are its own: what
                stays there is told in ``notes``.

        Raises:
            ConfigurationError: Not exactly one thing to forget.
        """
        return self.core.forget(
            namespace=self._whose(namespace, user_id)[0],
            fact_id=fact_id,
            subject=subject,
            relation=relation,
            name=name,
            source=source,
            everything=everything,
            purge=purge,
        )

    def export(self, *, namespace: Namespaces | None = None, user_id: str | None = None) -> Iterator[dict[str, Any]]:
        """Everything known of the facts, as JSON-ready records; with ``namespace=memory.namespaces()`` of everybody.

        Args:
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
        """
        return self.core.export(namespace=self._whose(namespace, user_id)[0])

    @told_as(export)
    async def aexport(
        self, *, namespace: Namespaces | None = None, user_id: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Async twin of ``export``; the records are read in a worker thread before the first is given."""
        records = await asyncio.to_thread(lambda: list(self.export(namespace=namespace, user_id=user_id)))
        for record in records:
            yield record

    def restore(
        self,
        records: Iterable[Mapping[str, Any]],
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
        source_type: Kind = "user",
    ) -> int:
        """Put exported records back, history included; returns the number of facts in them.

        With neither ``namespace`` nor ``user_id`` everything goes where it was; inside a run, to the run's user. What
        is there already is left alone, and records beside it claim no more than ``source_type``; see
        ``Memory.restore``.

        Args:
            records: What ``export`` gave.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            source_type: The highest kind that records may claim in a memory that holds something; ``"system"`` puts
                back everything as it was: for a backup of your own.

        Raises:
            ConfigurationError: A record cannot be understood; those before it are restored.
        """
        unnamed = namespace is None and user_id is None and current_run() is None
        where = None if unnamed else self._whose(namespace, user_id)[0]
        return self.core.restore(records, namespace=where, source_type=source_type)

    def copy(
        self,
        target: MemLLMMemory,
        *,
        namespace: Namespaces | None = None,
        user_id: str | None = None,
        everyone: bool = False,
        progress: Progress | None = None,
    ) -> list[Digest]:
        """Copy a memory, or with ``everyone`` all of them, to another store, and check that both are the same.

        A copy that was killed goes on when it is started again.

        Args:
            target: Where it goes: a memory that holds nothing else there.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            everyone: All memories of the store.
            progress: Told after each block how many facts are there, and of how many.

        Raises:
            ConfigurationError: The target holds other things, or is this store.
            StoreError: The two sides differ afterwards: somebody wrote to one of them.
        """
        if everyone and not (namespace is None and user_id is None):
            raise NamespaceError("everyone=True copies all namespaces; leave namespace and user_id out, or everyone")
        chosen = self.namespaces() if everyone else several(self._whose(namespace, user_id)[0])
        from langchain_memllm import transfer

        return transfer.copy(self.core, target.core, namespaces=chosen, progress=progress)

    def load(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        namespace: Namespace | None = None,
        user_id: str | None = None,
        source: Source | None = None,
        policy: Policy | None = None,
        rejects: Callable[[Rejected], None] | None = None,
        progress: Progress | None = None,
    ) -> Loaded:
        """Write the triples of a file: JSON lines, a JSON array or CSV; run again, it goes on where it stopped.

        See ``transfer.load`` for what a line holds.

        Args:
            file: Path of the file, or one that is open for reading bytes; in UTF-8.
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
            source: Where the lines come from that do not say it; by default a document with the file's name.
            policy: Rules for these operations instead of the memory's.
            rejects: Told every line that could not be loaded.
            progress: Told after each operation how many lines are done, and of how many.

        Raises:
            ConfigurationError: The file cannot be read, or is not one of triples.
            StoreError: What came before is stored; run it again.
        """
        from langchain_memllm import transfer

        return transfer.load(
            self.core,
            file,
            namespace=self._whose(namespace, user_id)[0],
            source=source,
            policy=policy,
            rejects=rejects,
            progress=progress,
        )

    def backup(self, file: str | os.PathLike[str], *, verify: bool = False, overwrite: bool = False) -> None:
        """Write a copy of the whole store to a file of its own, while others go on writing (``memllm backup``).

        Args:
            file: File to write, whole or not at all.
            verify: Check every page of the copy before it takes its place.
            overwrite: Replace a former backup that is there.

        Raises:
            ConfigurationError: The file is there, or the store is not in a file: a graph has tools of its own.
            StoreCorrupt: The copy is not sound, so the memory is not.
            StoreUnavailable: The file cannot be written.
        """
        self._file_store().back_up(Path(file).expanduser(), verify=verify, overwrite=overwrite)

    def restore_backup(self, file: str | os.PathLike[str]) -> Path | None:
        """Put a backup in the place of the whole store, also while others have it open (``memllm restore``).

        Exported records are put back by ``restore``.

        Args:
            file: What ``backup`` wrote.

        Returns:
            Where the state before is kept. A memory that was damaged, or filled with another embedder, is moved away:
            open it again then.

        Raises:
            ConfigurationError: There is no backup, or the store is not in a file.
            StoreError: The backup cannot be used; nothing was changed.
        """
        return self._file_store().restore_backup(Path(file).expanduser())

    def _file_store(self) -> EmbeddedStore:
        if not isinstance(self.core.store, EmbeddedStore):
            raise ConfigurationError(ON_A_SERVER)
        return self.core.store

    def namespaces(self) -> list[Namespace]:
        """Every namespace of the store that holds something."""
        return self.core.store.namespaces()

    def users(self) -> list[str]:
        """Everybody who has a memory here by this memory's namespace template, in alphabetical order."""
        return sorted({user for each in self.namespaces() if (user := self.scope.user_of(each)) is not None})

    def stats(self, *, namespace: Namespace | None = None, user_id: str | None = None) -> Stats:
        """Counts of what is stored, and of what waits to be extracted.

        Args:
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
        """
        return self.core.stats(namespace=self._whose(namespace, user_id)[0])

    def quarantined(self, *, namespace: Namespace | None = None, user_id: str | None = None) -> list[Quarantined]:
        """Pieces of model output that could not be used, oldest first.

        Args:
            namespace: Whose memory; see the class.
            user_id: Whose memory; see the class.
        """
        return self.core.quarantined(namespace=self._whose(namespace, user_id)[0])

    def verify(self) -> list[str]:
        """Check that the store answers, fits the embedder and is sound; returns the problems found."""
        return self.core.verify()

    def rebuild_index(self) -> int:
        """Make anew what facts and turns are found by, from what is stored: words, search codes, indexes.

        Mends what ``verify`` says can be made anew, for all users.

        Returns:
            How much of it was missing or wrong; full text is always made anew, and counts as one.
        """
        return self.core.rebuild_index()

    aclose = twin(close)
    awrite = twin(write)
    aretract = twin(retract)
    aalias = twin(alias)
    adeclare = twin(declare)
    aread = twin(read)
    afacts = twin(facts)
    areceipt = twin(receipt)
    aread_many = twin(read_many)
    ahistory = twin(history)
    aexplain = twin(explain)
    aforget = twin(forget)
    arestore = twin(restore)
    acopy = twin(copy)
    abackup = twin(backup)
    arestore_backup = twin(restore_backup)
    aload = twin(load)
    anamespaces = twin(namespaces)
    ausers = twin(users)
    astats = twin(stats)
    aset_limits = twin(set_limits)
    aquarantined = twin(quarantined)
    averify = twin(verify)
    arebuild_index = twin(rebuild_index)

    # -- models ----------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The model as it was given: a name, a chat model or a ``MemLLMModel``; None if none was."""
        return self._door.given

    @property
    def extractor(self) -> Extractor | None:
        """What finds facts in texts, made at its first use; None if there is neither a model nor an extractor."""
        return self._door.extractor if self._door.can_extract else None

    def load_model(self) -> Any:
        """Build the model now instead of at its first use; returns it: a chat model, a ``MemLLMModel`` or None.

        Raises:
            MissingExtra: Its package is not installed.
            ModelError: It cannot be loaded: mostly a missing key.
        """
        return self._door.load_model()

    aload_model = twin(load_model)

    # -- doors -----------------------------------------------------------------------------------------------------

    def middleware(
        self,
        mode: Mode = "auto",
        *,
        k: int | None = None,
        max_tokens: int = 600,
        show: Show = "auto",
        write: WriteWhen = "after_agent",
        source_type: Kind | None = None,
        extract_when: ExtractWhen = may_state,
        withdraw: bool = True,
        turns: int = 4,
        delay: float = 30.0,
        name: str | None = None,
        prefix: str | None = None,
        memory_gate: Gate | None = None,
    ) -> MemLLMMiddleware:
        """Memory for ``create_agent(…, middleware=[memory.middleware()])``.

        What the person says is committed to the store's outbox before the model is called, and extracted later: so it
        is written exactly once, whatever happens to the run. What fails waits for the next turn, or for ``flush``.

        Args:
            mode: ``auto`` recalls before the model is called and writes after the agent; ``read`` and ``write`` do one
                of these; ``tools`` gives the model the tools of ``tools()`` and does nothing by itself.
            k: Most facts recalled; None: as many as fit.
            max_tokens: Most tokens of the block that shows them.
            show: What is recalled; see ``recall``. Of what was said, that which is in no scope.
            write: When what was said is extracted: ``after_agent``, before the answer is given back; ``background``, in
                a thread, so that no answer waits for it; ``off`` never.
            source_type: Whose words human messages are. None: the person's; but in an agent that a tool called, where a
                model wrote them, they are not written at all. ``"model"`` writes them with a model's rank.
            extract_when: Whether a message, with what stood before it, may state something; others are not extracted.
                By default not acknowledgements, short questions, orders and code; ``salience.always``: every one is.
            withdraw: Whether a message that was deleted from its thread withdraws what only it said. False for threads
                whose middle a trimmer of yours cuts out.
            turns: With ``background``: turns of one memory that are read by one call.
            delay: With ``background``: seconds after which fewer are read, too.
            name: Name of the middleware, for agents with two memories.
            prefix: With ``mode="tools"`` what the tools' names begin with; see ``tools``.
            memory_gate: Decides whether a turn needs memory, and what is shown; see ``recall``. What it decided stands
                in the agent's state, ``memllm_gate``. Where its model fails, rules decide (``on_error="warn"``).

        Raises:
            ConfigurationError: An unknown choice, a gate where nothing is recalled, or nothing that can extract while
                writing is on.
        """
        from langchain_memllm.adapters.middleware import MemLLMMiddleware, check_choices
        from langchain_memllm.background import BackgroundWriter

        check_choices(mode, write, prefix)
        writer = background = recaller = None
        if mode in ("auto", "read"):
            recaller = self._recaller(k, max_tokens, show, memory_gate)
        elif memory_gate is not None:
            raise ConfigurationError(f"mode={mode!r} shows nothing that a memory gate could decide about; use 'auto'")
        if mode in ("auto", "write") and write != "off":
            writer = self._writer(source_type=source_type, extract_when=extract_when, withdraw=withdraw)
            if write == "background":
                ingest = self._door.ingest
                background = BackgroundWriter(lambda each: run(ingest.flush(each)), turns=turns, delay=delay)
                self._backgrounds.append(background)
        return MemLLMMiddleware(
            self.scope,
            recaller=recaller,
            writer=writer,
            background=background,
            tools=self.tools(prefix=prefix) if mode == "tools" else (),
            name=name,
        )

    def _recaller(self, k: int | None, max_tokens: int, show: Show, memory_gate: Gate | None) -> Recaller:
        from langchain_memllm.turns import Recaller

        return Recaller(
            self.core,
            self.scope,
            hub=self.hub,
            k=k,
            max_tokens=max_tokens,
            show=self._shown(show),
            gate=self._gate(memory_gate),
            on_error=self.on_error,
        )

    def _writer(self, **options: Any) -> TurnWriter:
        """What writes turns.

        Raises:
            ConfigurationError: Nothing can extract.
        """
        from langchain_memllm.turns import TurnWriter

        if self._episodes and not self._door.can_extract:
            options["extract_when"] = _never
        else:
            self._door.extractor  # noqa: B018 - a memory that cannot extract is refused now, not in a run
        options["episodes"] = self._episodes
        return TurnWriter(self.core, self.scope, self._door.ingest, on_error=self.on_error, **options)

    def tools(self, *, prefix: str | None = None, erase: bool = False, show: Show = "auto") -> list[BaseTool]:
        """The tools ``remember``, ``recall`` and ``forget``, for ``create_agent`` and ``ToolNode``.

        Whose memory they use comes from the run, never from the model. What the model has them write counts as the
        person's only if the person's own words in this run name its value.

        Args:
            prefix: What their names begin with. By default nothing, or for a namespace template of your own what comes
                from its labels, as ``team_acme_remember``: two memories in one agent do not collide.
            erase: Whether ``forget`` erases; by default it closes facts, and the history keeps them.
            show: What ``recall`` shows; see ``recall``. Of what was said, that which is in no scope.

        Raises:
            ConfigurationError: A prefix that no tool's name can have, or an unknown ``show``.
        """
        from langchain_memllm.adapters.tools import tools_of

        return tools_of(self.core, self.scope, prefix=prefix, erase=erase, hub=self.hub, show=self._shown(show))

    @property
    def embeddings(self) -> MemLLMEmbeddings:
        """The embedder of this memory as LangChain's ``Embeddings``, for vector stores and indexes of other stores."""
        from langchain_memllm.adapters.embeddings import MemLLMEmbeddings

        return MemLLMEmbeddings(self.core.vectors.embedder)

    def retriever(
        self,
        *,
        namespace: Namespaces | None = None,
        user_id: str | None = None,
        k: int = 8,
        search_type: SearchType = "recall",
        show: Show = "auto",
    ) -> MemLLMRetriever:
        """A LangChain retriever of facts and words: of one user, of whoever a call names, or of the user of the run.

        Args:
            namespace: Whose memory, for all calls; by default that of the call or its run.
            user_id: See ``namespace``.
            k: Most documents, 1 to 200; facts and what was said take turns.
            search_type: ``recall`` or ``similar``; see ``SearchType``.
            show: What is retrieved; see ``recall``.

        Raises:
            ConfigurationError: ``k``, ``search_type`` or ``show`` cannot be used.
        """
        from langchain_memllm.adapters.retriever import MemLLMRetriever, check_k, check_search_type

        return MemLLMRetriever(
            recall=self.recall,
            scope=self.scope,
            k=check_k(k),
            user_id=user_id,
            namespace=namespace,
            search_type=check_search_type(search_type),
            show=self._shown(show),
        )

    def write_node(
        self,
        *,
        answers: bool = False,
        source_type: Kind | None = None,
        extract_when: ExtractWhen = may_state,
        messages_key: str = "messages",
    ) -> MemoryNode:
        """A node that writes what was said in this turn, in a graph of any state; see ``graph.write_node``.

        Args:
            answers: Also write what the assistant said, with the rank of a model.
            source_type: Whose words human messages are; see ``middleware``.
            extract_when: Whether a message may state something; see ``middleware``.
            messages_key: The state's key of the conversation.
        """
        from langchain_memllm import graph

        writer = self._writer(answers=answers, source_type=source_type, extract_when=extract_when)
        return graph.write_node(writer, messages_key=messages_key)

    def note_node(self, *, source_type: Kind | None = None, messages_key: str = "messages") -> MemoryNode:
        """A first node that keeps what the person says, for ``write_node`` or ``flush``; see ``graph.note_node``.

        Args:
            source_type: Whose words human messages are; as for the writing node.
            messages_key: The state's key of the conversation.
        """
        from langchain_memllm import graph

        return graph.note_node(self._writer(source_type=source_type), messages_key=messages_key)

    def recall_node(
        self,
        *,
        k: int | None = None,
        max_tokens: int = 600,
        show: Show = "auto",
        memory_gate: Gate | None = None,
        messages_key: str = "messages",
    ) -> MemoryNode:
        """A node that puts the block of recalled facts into ``memllm_context``; see ``graph.recall_node``.

        Args:
            k: Most facts recalled; None: as many as fit.
            max_tokens: Most tokens of the block that shows them.
            show: What is recalled; see ``recall``.
            memory_gate: Decides what is shown; see ``recall``. The node is called ``memory_gate`` then.
            messages_key: The state's key of the conversation.
        """
        from langchain_memllm import graph

        recaller = self._recaller(k, max_tokens, show, memory_gate)
        return graph.recall_node(recaller, messages_key=messages_key)

    def generate_node(
        self,
        model: Model | None = None,
        *,
        rules: Rules | None = None,
        mode: ReaderMode = "auto",
        messages_key: str = "messages",
    ) -> MemoryNode:
        """A node that answers, and stops where it wants to read; by default with this memory's model.

        Args:
            model: Answers; by default this memory's model.
            rules: Budgets of a reading.
            mode: How a chat model reads.
            messages_key: The state's key of the conversation.
        """
        from langchain_memllm import graph

        return graph.generate_node(
            self._answering(model),
            rules=rules,
            mode=mode,
            memory=self.core,
            scope=self.scope,
            on_error=self.on_error,
            messages_key=messages_key,
        )

    def read_node(self, *, messages_key: str = "messages") -> MemoryNode:
        """A node that answers the queries of the generating node; see ``graph.read_node``.

        Args:
            messages_key: The state's key of the conversation.
        """
        from langchain_memllm import graph

        return graph.read_node(self.core, self.scope, on_error=self.on_error, messages_key=messages_key)

    @staticmethod
    def route(state: Mapping[str, Any]) -> Literal["memory_read", "memory_write"]:
        """Where to go after generating: to ``memory_read`` if a query waits, else on to ``memory_write``.

        Args:
            state: State of the graph.
        """
        from langchain_memllm import graph

        return graph.route(state)

    def build_graph(
        self,
        model: Model | None = None,
        *,
        write: When = "after",
        answers: bool = False,
        recall: int = 0,
        max_tokens: int = 600,
        memory_gate: Gate | None = None,
        rules: Rules | None = None,
        mode: ReaderMode = "auto",
        extractor: Extractor | None = None,
        on_error: OnError | None = None,
        source_type: Kind | None = None,
        context_schema: type[Any] | None = MemLLMContext,
        checkpointer: Any = None,
        store: Any = None,
        cache: Any = None,
        interrupt_before: Any = None,
        interrupt_after: Any = None,
        trace: bool = False,
        name: str = "memllm",
    ) -> CompiledStateGraph[Any, Any, Any, Any]:
        """The whole machine, compiled: generating and reading in turns, then writing; also usable as a sub-graph.

        Args:
            model: Answers; by default this memory's model.
            write: When to write what the user says: ``after`` the answer, ``before`` it, ``both`` (the answers of the
                assistant come after), or ``off``.
            answers: Also write what the assistant says, with the rank of a model.
            recall: Facts to show the model without its asking; 0 for none.
            max_tokens: Most tokens of those facts.
            memory_gate: Decides whether a turn needs them, and what is shown; see ``recall``.
            rules: Budgets of a reading; its cap of calls bounds the run.
            mode: How a chat model reads.
            extractor: Finds what to write; by default this memory's.
            on_error: What a failing memory does to a run; by default as this memory does it.
            source_type: Whose words human messages are; see ``middleware``.
            context_schema: Type of the run's context, as for any LangGraph graph.
            checkpointer: Any LangGraph checkpointer.
            store: As ``StateGraph.compile`` takes it; so are ``cache``, ``interrupt_before`` and ``interrupt_after``.
            cache: See ``store``.
            interrupt_before: See ``store``.
            interrupt_after: See ``store``.
            trace: Also give back what was recalled and read: ``memllm_context`` and ``memllm_reading``.
            name: Name of the graph.

        Raises:
            ConfigurationError: An unknown choice, or no model.
        """
        from langchain_memllm import graph

        if extractor is None and write != "off" and self._door.can_extract:
            extractor = self._door.extractor
        return graph.build_graph(
            self._answering(model),
            self.core,
            self.scope,
            extractor=extractor,
            write=write,
            answers=answers,
            recall=recall,
            max_tokens=max_tokens,
            memory_gate=self._gate(memory_gate),
            rules=rules,
            mode=mode,
            on_error=on_error or self.on_error,
            source_type=source_type,
            episodes=self._episodes,
            context_schema=context_schema,
            checkpointer=checkpointer,
            store=store,
            cache=cache,
            interrupt_before=interrupt_before,
            interrupt_after=interrupt_after,
            trace=trace,
            name=name,
        )

    def _answering(self, model: Model | None) -> Any:
        """The model that answers.

        Raises:
            ConfigurationError: None was given, and the memory has none.
        """
        if model is None and self._named is None:
            raise ConfigurationError("there is no model to answer; give one here, or MemLLMMemory(…, model='local')")
        return self._door.load_model() if model is None else built(model)


def _by_chat_model(model: Any) -> Callable[[list[Turn]], str]:
    """What summarizes turns by a chat model; LangChain is imported when it is asked for."""
    from langchain_memllm.summaries import by_chat_model

    return by_chat_model(model)


def _never(text: str, before: Sequence[str]) -> bool:
    """Nothing can be extracted, so nothing waits for it."""
    return False


def _as_spoken(
    deliver: Callable[[Source], Flow[Receipt]], given: Source | None, principal: str | None
) -> Flow[Receipt]:
    """Deliver an operation with who speaks filled in, where its source is a user and does not say.

    Operations were delivered without it before: one that is delivered again is recognised, in either form.
    """
    former = as_source(given) or Source()
    source = former
    if former.kind == "user" and former.principal is None:
        source = dataclasses.replace(former, principal=principal)
    try:
        return (yield from deliver(source))
    except OperationConflict:
        if source == former:
            raise
        return (yield from deliver(former))


def _flow_of(deliver: Callable[[Source], Receipt]) -> Callable[[Source], Flow[Receipt]]:
    """A delivery that waits for the store alone, as a flow."""

    def flow(source: Source) -> Flow[Receipt]:
        receipt: Receipt = yield Step(lambda: deliver(source))
        return receipt

    return flow
