"""The Hub: what was said comes back, as a window on a thread, as whole episodes, and behind a fact.

From "Empowering Working Memory" (arXiv 2312.17259): the Hub keeps every input and output; the window of recent turns
and the episodes that come back are views of it. Four searches find turns and episodes: by time, by words, by meaning
and by the facts that were taken from them; their ranks are fused. All sessions of a namespace are searched together.
Knows no language model: what stood before a window is summarized by a function that the caller gives.
"""

from __future__ import annotations

import heapq
import itertools
import os
import re
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from langchain_memllm.chatfile import read_chat
from langchain_memllm.dates import read_date, relative_date
from langchain_memllm.errors import ConfigurationError, reason_of
from langchain_memllm.factindex import MAX_READ, forms_of
from langchain_memllm.forking import renewed
from langchain_memllm.memory import Memory
from langchain_memllm.nameindex import CODE_BYTES, encode
from langchain_memllm.recall import (
    STOPWORDS,
    TurnPool,
    at_rank,
    keyword_shares,
    newer_first,
    rank_by_words,
    turn_words,
)
from langchain_memllm.render import approximate_tokens
from langchain_memllm.sharing import Shared
from langchain_memllm.stores.episodes import EpisodeNote, Grant, Turn, TurnFilter, tokens_of, vectors_of
from langchain_memllm.stores.interface import FactFilter
from langchain_memllm.times import Moment, as_moment, written
from langchain_memllm.triples import Fact, Namespace, Quote, Recall, check_namespace
from langchain_memllm.twins import twin

__all__ = ["Candidate", "Episode", "Hit", "Hub", "Loaded", "Search", "Summarize", "Window"]

Search: TypeAlias = Literal["time", "words", "meaning", "facts"]
"""How turns are found: by the dates that a question names, by its words, by what it means, by facts that answer it."""

_SEARCHES: Final[tuple[Search, ...]] = get_args(Search)
_FOUND: Final = 50  # turns that each search finds
_WEIGHTS: Final[dict[Search, float]] = {"time": 1.0, "words": 1.0, "meaning": 0.6, "facts": 0.6}
_COUNTED: Final = 1_000  # turns up to which it is counted how many say a word
_LEAST: Final = 0.8  # of the share of a question that a turn says, by rarity, and its cosine: what is worth showing
_FACTS: Final = 30  # facts whose turns are looked at
_BEST_TURNS: Final = 2  # turns of an episode by which it is ranked: one alone may be chance
_OF_ONE: Final = 8  # turns of one source up to which a fact leads to them
_MOST: Final = 10_000
_FIRST: Final = 32  # turns that are read first for a window of so many tokens; then four times as many
_MAX_WORDS: Final = 16
_MAX_PHRASE: Final = 64
_MAX_QUOTED: Final = 8
_BLOCK: Final = 200  # turns kept in one transaction
_READ: Final = 20_000  # characters of a query that are looked at
_QUOTED: Final = re.compile(r"[\"“”„«»]([^\"“”„«»]+)[\"“”„«»]")

Whose: TypeAlias = Callable[[Namespace | None, str | None], Namespace]
"""The namespace that arguments of a verb mean."""


Progress: TypeAlias = Callable[[int, int], object]
"""Told how much is done, and of how much."""

Summarize: TypeAlias = Callable[[list[Turn]], str]
"""Makes a summary of turns, oldest first; the first may be a summary made before, of the role ``summary``."""


@dataclass(frozen=True, slots=True)
class Window:
    """The last turns of a thread, oldest first.

    Attributes:
        turns: The turns.
        tokens: About how many tokens they have.
        left_out: Whether older turns were left out.
        summary: What was said before them, in a model's words and on one line; empty if none was asked for.
        summarized: How many turns the summary was made of.
        note: Why there is no summary, though one was asked for.
    """

    turns: tuple[Turn, ...]
    tokens: int
    left_out: bool
    summary: str = ""
    summarized: int = 0
    note: str = ""

    @property
    def text(self) -> str:
        """The turns as lines, ``speaker: text``, after the summary, which says that a model made it."""
        before = [f"(summary of {self.summarized} earlier turns, in a model's words) {self.summary}"]
        return "\n".join(
            [*before[: bool(self.summary)], *(f"{turn.speaker or turn.role}: {turn.text}" for turn in self.turns)]
        )


@dataclass(frozen=True, slots=True)
class Episode:
    """A whole episode, as far as it may be seen: its turns in the order in which they were said.

    ``by`` are the searches that found it, with the rank of its best turn in each (1 is the best).
    """

    thread: str
    number: int
    turns: tuple[Turn, ...]
    by: dict[Search, int]

    @property
    def began(self) -> str:
        """When its first turn was said (ISO, UTC)."""
        return min(turn.at for turn in self.turns)

    @property
    def ended(self) -> str:
        """When its last turn was said (ISO, UTC)."""
        return max(turn.at for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that was found, and its rank in each search that found it (1 is the best)."""

    turn: Turn
    by: dict[Search, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the person said that may answer a text.

    Attributes:
        quote: Their words.
        share: Share of the text's keywords that it says, by rarity, in [0, 1].
        cosine: Its cosine with the text, by the embedder that is shipped.
    """

    quote: Quote
    share: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """What ``load`` did: how many turns a file holds, and how many of them were new."""

    turns: int
    new: int


class Hub(Shared):
    """What was said, beside the facts of a memory.

    Every verb takes ``namespace`` or ``user_id`` as those of the memory do, and has an async twin with an ``a`` in
    front. ``role`` restricts what is seen to the scopes that the role was granted; the store's own statements do that.
    Without a role everything is seen: that is for the application itself.

    Args:
        memory: Where turns are kept.
        whose: The namespace that ``namespace`` and ``user_id`` mean; by default ``namespace`` is needed.
        by_model: Makes a function that summarizes out of a chat model, for ``window``; by default it takes functions.
    """

    def __init__(
        self, memory: Memory, whose: Whose | None = None, by_model: Callable[[Any], Summarize] | None = None
    ) -> None:
        """Keep the memory."""
        self._memory = memory
        self._named = whose
        self._by_model = by_model
        self._summaries: OrderedDict[Hashable, _Summary] = OrderedDict()
        memory.followed_by(self)
        self._codes: dict[Namespace, _Codes] = {}
        self._lock = renewed(threading.Lock())

    # -- writing ---------------------------------------------------------------------------------------------------

    def keep(self, turns: Iterable[Turn], *, namespace: Namespace | None = None, user_id: str | None = None) -> str:
        """Keep turns, durably and each once: one that is there takes the new text.

        Args:
            turns: What was said, in order; ``Turn.named(thread, message)`` makes their ids.
            namespace: Whose.
            user_id: Whose.

        Returns:
            When they were recorded (ISO, UTC).

        Raises:
            ConfigurationError: A turn cannot be kept; none of them was.
        """
        return self._memory.put_outbox([], namespace=self._whose(namespace, user_id), turns=list(turns))

    def load(
        self,
        file: str | os.PathLike[str],
        *,
        thread: str | None = None,
        progress: Progress | None = None,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> Loaded:
        """Keep the turns of a file of conversations, with their dates; run again, it goes on where it stopped.

        See ``chatfile`` for the forms: messages of OpenAI and LangChain, LoCoMo, BEAM. No facts are made of them.

        Args:
            file: JSON or JSON lines, also with gzip.
            thread: What the conversation is called, if the file does not say; by default the file's name.
            progress: Told after each transaction how many turns are done, and of how many.
            namespace: Whose.
            user_id: Whose.

        Raises:
            ConfigurationError: The file cannot be read, or holds no conversation; nothing was kept.
            StoreError: What came before is kept; run it again.
        """
        whose = self._whose(namespace, user_id)
        turns = read_chat(Path(file), thread=thread)
        before = self._memory.stats(namespace=whose).turns
        for start in range(0, len(turns), _BLOCK):
            self._memory.put_outbox([], namespace=whose, turns=turns[start : start + _BLOCK])
            if progress is not None:
                progress(min(start + _BLOCK, len(turns)), len(turns))
        return Loaded(len(turns), self._memory.stats(namespace=whose).turns - before)

    def grant(
        self, role: str, scopes: Sequence[str], *, namespace: Namespace | None = None, user_id: str | None = None
    ) -> None:
        """Set which scopes a role may see, instead of those it could see before; none: it sees nothing.

        Args:
            role: The role.
            scopes: The scopes; ``""`` is that of turns which were given none.
            namespace: Whose.
            user_id: Whose.

        Raises:
            ConfigurationError: A role or scope that is not a text.
        """
        for each in (role, *scopes):
            if not isinstance(each, str) or len(each) > _MAX_LABEL:
                raise ConfigurationError(f"{ascii(each)[:40]} is not a text of at most {_MAX_LABEL} characters")
        self._memory.store.turns.grant(self._whose(namespace, user_id), role, list(dict.fromkeys(scopes)))

    def grants(self, *, namespace: Namespace | None = None, user_id: str | None = None) -> list[Grant]:
        """Which roles may see which scopes, sorted."""
        return self._memory.store.turns.grants(self._whose(namespace, user_id))

    # -- reading ---------------------------------------------------------------------------------------------------

    def window(
        self,
        thread: str,
        *,
        n: int | None = None,
        tokens: int | None = None,
        summary: Summarize | Any | None = None,
        role: str | None = None,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> Window:
        """The last turns of a thread: at most ``n`` of them, at most so many ``tokens``; by default 20.

        A summary is made of the 200 turns before those, and from then on of itself and what came since. It is held in
        this object until turns are changed or forgotten. If it cannot be made, the window says so in its ``note``.

        Args:
            thread: The thread.
            n: Most turns.
            tokens: Most tokens of the turns (about: a quarter of the bytes); a turn is never cut.
            summary: Summarizes what stands before the turns: a function of turns, a chat model or its name.
            role: Who looks.
            namespace: Whose.
            user_id: Whose.

        Raises:
            ConfigurationError: A number out of range, or nothing that could summarize.
        """
        summarize = None if summary is None else self._summarizing(summary)
        most = 20 if n is None and tokens is None else _MOST if n is None else n
        for name, value in (("n", n), ("tokens", tokens)):
            if value is not None and (type(value) is not int or not value >= 0):
                raise ConfigurationError(f"{name}={value!r} is out of range; give a number of {name}, 0 or more")
        most = min(most, _MOST if tokens is None else max(tokens, 1), _MOST)  # each has a token at least
        where, whose = TurnFilter(thread=thread, role=role), self._whose(namespace, user_id)
        limit = most + 1 if tokens is None else min(most + 1, _FIRST)
        while True:
            found = self._memory.store.turns.select(whose, where, limit=limit, newest=True)
            taken, used = _fitting(found[:most], tokens)
            if taken < len(found) or len(found) < limit or limit > most:
                window = Window(tuple(reversed(found[:taken])), used, taken < len(found))
                break
            limit = min(most + 1, 4 * limit)
        if summarize is None or not window.left_out:
            return window
        return self._with_summary(window, whose, where, summarize, (summary, n, tokens))

    def episode(
        self,
        query: str | None = None,
        *,
        session: str | None = None,
        at: Moment | None = None,
        k: int = 1,
        searches: Sequence[Search] = _SEARCHES,
        role: str | None = None,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> list[Episode]:
        """Whole episodes: those that answer a query, the last of a session, or those of a moment.

        Args:
            query: What is looked for, in plain words; the best come first.
            session: Of this thread only; without a query its last episodes, newest first.
            at: A moment or a day; without a query the episodes in which something was said then, or else the last
                that began before it.
            k: Most episodes.
            searches: Which searches to ask.
            role: Who looks.
            namespace: Whose.
            user_id: Whose.

        Raises:
            ConfigurationError: Nothing is asked for, or an unknown search.
        """
        if query is None and session is None and at is None:
            raise ConfigurationError("say which episode: query='…', session='…' or at='2026-03-01'")
        whose = self._whose(namespace, user_id)
        if query is None:
            notes = self._at(whose, session, at, role, k)
            episodes = [self._whole(whose, note.thread, note.number, role, {}) for note in notes]
            return [each for each in episodes if each.turns]
        best: dict[tuple[str, int], dict[Search, int]] = {}
        scores: dict[tuple[str, int], list[float]] = defaultdict(list)
        for hit in self._hits(whose, query, searches, role, session, at):
            place = (hit.turn.thread, hit.turn.episode)
            scores[place].append(_fused(hit.by))
            known = best.setdefault(place, {})
            for search, rank in hit.by.items():
                known[search] = min(rank, known.get(search, rank))
        _number(best)
        ordered = sorted(best, key=lambda each: (-sum(heapq.nlargest(_BEST_TURNS, scores[each])), each))
        found = [self._whole(whose, thread, number, role, best[thread, number]) for thread, number in ordered[:k]]
        return [each for each in found if each.turns]  # one may have been forgotten meanwhile

    def search(
        self,
        query: str,
        *,
        k: int = 10,
        searches: Sequence[Search] = _SEARCHES,
        session: str | None = None,
        role: str | None = None,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> list[Hit]:
        """Single turns that answer a query, the best first.

        Args:
            query: What is looked for, in plain words.
            k: Most turns.
            searches: Which searches to ask.
            session: Of this thread only.
            role: Who looks.
            namespace: Whose.
            user_id: Whose.

        Raises:
            ConfigurationError: An unknown search.
        """
        return self._best(self._whose(namespace, user_id), query, searches, role, session)[:k]

    def quoted(
        self,
        found: Recall,
        *,
        k: int = 8,
        without: Collection[str] = (),
        role: str | None = None,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> Recall:
        """What was recalled, with what the person said about it: their own words that say enough of the text.

        Questions are left out, and what a model, a tool or a page said; and without a role everything in a scope.

        Args:
            found: What was recalled; ``found.text`` is looked for.
            k: Most quotes.
            without: Ids of turns that the reader sees already.
            role: Who looks.
            namespace: Whose.
            user_id: Whose.
        """
        whose = self._whose(namespace, user_id)
        hits = self._best(whose, found.text, _SEARCHES, role, None)
        quotable = [hit for hit in hits if _is_quotable(hit.turn, role) and hit.turn.id not in without][: 4 * k]
        fits = self._fits(whose, found.text, [hit.turn for hit in quotable], role)
        best = [hit for hit, (share, cosine) in zip(quotable, fits, strict=True) if share + max(cosine, 0.0) >= _LEAST]
        return replace(found, quotes=tuple(_quote(hit) for hit in best[:k]))

    def candidates(
        self,
        query: str,
        *,
        k: int = 8,
        without: Collection[str] = (),
        role: str | None = None,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> list[Candidate]:
        """What the person said that answers a text best, whether it says enough of it or not: a memory gate decides.

        Args:
            query: What is looked for.
            k: Most of them.
            without: Ids of turns that the reader sees already.
            role: Who looks; without one what is in a scope is left out.
            namespace: Whose.
            user_id: Whose.
        """
        whose = self._whose(namespace, user_id)
        hits = self._best(whose, query, _SEARCHES, role, None)
        shown = [hit for hit in hits if _may_be_shown(hit.turn, role) and hit.turn.id not in without][:k]
        fits = self._fits(whose, query, [hit.turn for hit in shown], role)
        return [Candidate(_quote(hit), share, cosine) for hit, (share, cosine) in zip(shown, fits, strict=True)]

    def turns_of(
        self, fact: Fact, *, role: str | None = None, namespace: Namespace | None = None, user_id: str | None = None
    ) -> list[Turn]:
        """The turns that a fact was taken from, in the order in which they were said.

        Args:
            fact: A fact with its sources, as ``explain``, ``facts`` and ``history`` give it; of any other they are
                looked up.
            role: Who looks.
            namespace: Whose; by default the fact's own.
            user_id: Whose.
        """
        whose = fact.namespace if namespace is None and user_id is None else self._whose(namespace, user_id)
        known = fact if fact.sources else self._memory.explain(fact.id, namespace=whose) or fact
        sources = tuple(dict.fromkeys((source.kind, source.ref) for source in known.sources))
        return self._memory.store.turns.select(whose, TurnFilter(sources=sources, role=role))

    def timeline(
        self,
        *,
        session: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int = 100,
        role: str | None = None,
        namespace: Namespace | None = None,
        user_id: str | None = None,
    ) -> list[EpisodeNote]:
        """Episodes without their turns, newest first: where, when, and how many turns.

        Args:
            session: Of this thread only.
            since: That began then or later; a date means its beginning.
            until: That began before; a date means its beginning.
            limit: Most episodes.
            role: Who looks.
            namespace: Whose.
            user_id: Whose.
        """
        return self._memory.store.turns.episodes(
            self._whose(namespace, user_id),
            thread=session,
            since=_begin(since),
            until=_begin(until),
            role=role,
            limit=limit,
        )

    akeep = twin(keep)
    aload = twin(load)
    agrant = twin(grant)
    agrants = twin(grants)
    awindow = twin(window)
    aepisode = twin(episode)
    asearch = twin(search)
    aquoted = twin(quoted)
    aturns_of = twin(turns_of)
    atimeline = twin(timeline)

    # -- how turns are found ---------------------------------------------------------------------------------------

    def _whose(self, namespace: Namespace | None, user_id: str | None) -> Namespace:
        return check_namespace(namespace) if self._named is None else self._named(namespace, user_id)

    def drop_cached(self) -> None:
        """Hold no summaries any more; the memory calls it when something is erased. Turns stay."""
        with self._lock:
            self._summaries.clear()

    def _summarizing(self, summary: Any) -> Summarize:
        """The function that is meant.

        Raises:
            ConfigurationError: Nothing that could summarize.
        """
        if isinstance(summary, str) or callable(getattr(summary, "invoke", None)):
            if self._by_model is not None:
                return self._by_model(summary)
            raise ConfigurationError("a Hub of its own takes a function as summary=; memory.hub takes a chat model too")
        if not callable(summary):
            raise ConfigurationError(
                f"summary={type(summary).__name__} cannot summarize; give a function of turns, a chat model or its name"
            )
        made: Summarize = summary
        return made

    def _with_summary(
        self,
        window: Window,
        whose: Namespace,
        where: TurnFilter,
        summarize: Summarize,
        asked: tuple[object, int | None, int | None],
    ) -> Window:
        """A window with a summary of what stands before it, made of the one before and what is new since."""
        turns, (by, *sizes) = self._memory.store.turns, asked
        epoch = turns.epoch(whose)
        granted = None if where.role is None else tuple(e for e in turns.grants(whose) if e.role == where.role)
        key = (whose, where.thread, where.role, granted, id(by), *sizes)
        first = min((turn.place for turn in window.turns), default=None)
        read = turns.select(whose, where, limit=len(window.turns) + _SUMMED, newest=True)
        earlier = [turn for turn in reversed(read) if first is None or turn.place < first]
        with self._lock:
            held = self._summaries.get(key)
        if held is not None and (held.epoch != epoch or (earlier and held.last > earlier[-1].place)):
            held = None
        new = [turn for turn in earlier if held is None or turn.place > held.last]
        if held is None or new:
            given = new if held is None else [held.as_turn(where.thread or ""), *new]
            try:
                text = summarize(given)
            except Exception as error:  # whatever a model or a caller's function raises, the window is there
                return replace(window, note=f"no summary: {reason_of(error)}")
            line = " ".join(text[: 4 * _MOST_SUMMARY].split())[:_MOST_SUMMARY] if isinstance(text, str) else ""
            if not line:
                return replace(window, note=f"no summary: {type(text).__name__} without words was given as one")
            if not new or turns.epoch(whose) != epoch:
                return replace(window, note="no summary: what was said was changed or forgotten meanwhile")
            held = _Summary(by, epoch, new[-1].place, line, len(new) + (0 if held is None else held.turns))
            self._hold(key, held)
        return replace(window, summary=held.text, summarized=held.turns)

    def _hold(self, key: Hashable, made: _Summary) -> None:
        with self._lock:
            self._summaries[key] = made
            self._summaries.move_to_end(key)
            while len(self._summaries) > _MAX_SUMMARIES:
                self._summaries.popitem(last=False)

    def _at(
        self, whose: Namespace, session: str | None, at: Moment | None, role: str | None, k: int
    ) -> list[EpisodeNote]:
        """Episodes of a session or a moment, without a query."""
        turns = self._memory.store.turns
        if at is None:
            return turns.episodes(whose, thread=session, role=role, limit=k)
        since, until = _begin(at) or "", _end(at) or ""
        places = turns.spoken(whose, since, until, thread=session, role=role, limit=k)
        if places:
            return [EpisodeNote(thread, number, "", "", 0) for thread, number in places]
        return turns.episodes(whose, thread=session, until=until, role=role, limit=k)

    def _whole(self, whose: Namespace, thread: str, number: int, role: str | None, by: dict[Search, int]) -> Episode:
        turns = self._memory.store.turns.select(
            whose, TurnFilter(thread=thread, episode=number, role=role), limit=_MOST
        )
        return Episode(thread, number, tuple(turns), by)

    def _best(
        self, whose: Namespace, query: str, searches: Sequence[Search], role: str | None, session: str | None
    ) -> list[Hit]:
        """Every turn that one of the searches found, by their fused ranks; of equals the newest.

        Of the first, a newer one stands above an older one where the query asks for what holds now.
        """
        query = query[:_READ]
        hits = self._hits(whose, query, searches, role, session, None)
        hits.sort(key=lambda hit: (-_fused(hit.by), -hit.turn.place))
        return [hits[i] for i in newer_first(query, [hit.turn for hit in hits], _keywords(query))]

    def _hits(
        self,
        whose: Namespace,
        query: str,
        searches: Sequence[Search],
        role: str | None,
        session: str | None,
        at: Moment | None,
    ) -> list[Hit]:
        """Every turn that one of the searches found, with its ranks."""
        if unknown := [each for each in searches if each not in _SEARCHES]:
            raise ConfigurationError(f"search {unknown[0]!r} is unknown; use some of {', '.join(_SEARCHES)}")
        query = query[:_READ]
        within = TurnFilter(thread=session, role=role, since=_begin(at), until=_end(at))
        finders = {
            "time": self._by_date,
            "words": self._with_keywords,
            "meaning": self._by_code,
            "facts": self._of_facts,
        }
        found = {search: finders[search](whose, query, within) for search in dict.fromkeys(searches)}
        quoted = self._with_phrases(whose, query, within) if "words" in found else []
        pool = self._pooled(whose, dict.fromkeys(itertools.chain(quoted, *found.values())), within)
        if "words" in found:
            # A very long turn may say a word beyond what turns are ranked by; so what was found is added.
            found["words"] = [*dict.fromkeys([*quoted, *self._by_words(whose, query, pool, role), *found["words"]])]
        if "meaning" in found:
            best = [place for each in found.values() for place in each[: 2 * _FOUND]]
            places = [place for place in dict.fromkeys(best) if place in pool.turns]
            found["meaning"] = self._by_meaning(query, pool, places)
        ranks: dict[int, dict[Search, int]] = {}
        for search, places in found.items():
            for rank, place in enumerate((place for place in places if place in pool.turns), start=1):
                ranks.setdefault(place, {})[search] = rank
        return [Hit(pool.turns[place], by) for place, by in ranks.items()]

    def _pooled(self, whose: Namespace, places: Iterable[int], within: TurnFilter) -> TurnPool:
        """The turns at these places and those beside them; those alone that are meant and may be seen."""
        beside = {place: (before, after) for place, before, after in self._memory.store.turns.beside(whose, [*places])}
        trios = ((place, before, after) for place, (before, after) in beside.items())
        wanted = {each for each in itertools.chain.from_iterable(trios) if each is not None}
        where = replace(within, places=tuple(sorted(wanted)), thread=None)
        turns = self._memory.store.turns.select(whose, where, limit=_MOST) if wanted else []
        return TurnPool({turn.place: turn for turn in turns if within.thread in (None, turn.thread)}, beside)

    def _by_date(self, whose: Namespace, query: str, within: TurnFilter) -> list[int]:
        """Turns said on the days that the query names, in the order in which they were said."""
        found: list[int] = []
        for since, until in _days_in(query, datetime.fromisoformat(self._memory.now()).astimezone()):
            where = replace(within, since=since, until=until)
            found += [turn.place for turn in self._memory.store.turns.select(whose, where, limit=_FOUND)]
        return list(dict.fromkeys(found))

    def _with_keywords(self, whose: Namespace, query: str, within: TurnFilter) -> list[int]:
        """Turns that say some of the query's keywords, the best first."""
        words = list(dict.fromkeys(itertools.chain.from_iterable(_keywords(query).values())))
        most = _reach(within)
        return self._memory.store.turns.matching(whose, words, phrase=False, role=within.role, limit=most)

    def _with_phrases(self, whose: Namespace, query: str, within: TurnFilter) -> list[int]:
        """Turns that hold what is quoted in the query, or the query itself, newest first."""
        turns, most = self._memory.store.turns, _reach(within)
        quoted = dict.fromkeys(_QUOTED.findall(query))
        phrases = [tokens_of(each) for each in itertools.islice(quoted, _MAX_QUOTED)] or [tokens_of(query)]
        found = [
            turns.matching(whose, phrase, phrase=True, role=within.role, limit=most)
            for phrase in phrases
            if len(phrase) <= _MAX_PHRASE
        ]
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))

    def _by_words(self, whose: Namespace, query: str, pool: TurnPool, role: str | None) -> list[int]:
        """Turns by their words and those of the turns beside them."""
        held, total = self._counted(whose, query, role)
        return rank_by_words(held, pool, max(total, len(pool.turns)))

    def _counted(self, whose: Namespace, query: str, role: str | None) -> tuple[dict[str, int], int]:
        """How many turns say each keyword of a query, and how many there are, about."""
        keywords = _keywords(query)
        counts = self._memory.store.turns.counts(whose, [*keywords.values()], role=role, most=_COUNTED)
        return dict(zip(keywords, counts, strict=True)), max(len(self._coded(whose)), *counts, 1)

    def _fits(self, whose: Namespace, query: str, turns: Sequence[Turn], role: str | None) -> list[tuple[float, float]]:
        """How much of a question each turn says, by the rarity of its keywords, and its cosine with it."""
        query = query[:_READ]
        held, total = self._counted(whose, query, role)
        shares = keyword_shares(held, turns, total)
        cosines = self._cosines(query, turns)
        return list(zip(shares, cosines, strict=True))

    def _cosines(self, query: str, turns: Sequence[Turn]) -> list[float]:
        """Cosine of a query with each turn: by an embedder of the memory that reads sentences, else by the table."""
        texts = [turn.text[:MAX_READ] for turn in turns]
        if not self._memory.vectors.reads_sentences:
            return [float(each) for each in vectors_of(texts) @ vectors_of([query])[0]]
        asked, *said = self._memory.sentence_vectors(query, texts)
        return [0.0 if asked is None or each is None else float(asked @ each) for each in said]

    def _by_meaning(self, query: str, pool: TurnPool, places: Sequence[int]) -> list[int]:
        """Some places by the cosine of their turns with the query; those above 0."""
        cosines = self._cosines(query, [pool.turns[place] for place in places])
        order = sorted(range(len(places)), key=lambda i: (-round(cosines[i], 5), -places[i]))
        return [places[i] for i in order if cosines[i] > 0]

    def _by_code(self, whose: Namespace, query: str, within: TurnFilter) -> list[int]:
        """Turns near to the query by their search codes."""
        (vector,) = vectors_of([query])
        if not vector.any():
            return []
        scopes = None
        if within.role is not None:
            granted = self._memory.store.turns.grants(whose)
            scopes = {each.scope for each in granted if each.role == within.role}
        return self._coded(whose).nearest(vector, scopes, _reach(within))

    def _of_facts(self, whose: Namespace, query: str, within: TurnFilter) -> list[int]:
        """The turns that those facts were taken from which answer the query, in the order of the facts."""
        matches = self._memory.recall(query, namespace=whose, k=_FACTS)
        if not matches:
            return []
        where = FactFilter(ids=tuple(match.fact.id for match in matches))
        facts = {fact.id: fact for fact in self._memory.store.facts([whose], where)}
        sources = {
            (source.kind, source.ref): None
            for match in matches
            if match.fact.id in facts
            for source in facts[match.fact.id].sources
        }
        by_source: dict[tuple[str, str], list[int]] = defaultdict(list)
        of_facts = replace(within, sources=tuple(sources), thread=None)
        for turn in self._memory.store.turns.select(whose, of_facts, limit=_MOST):
            by_source[turn.kind, turn.ref].append(turn.place)
        some = [by_source[source] for source in sources if len(by_source[source]) <= _OF_ONE]
        return list(dict.fromkeys(itertools.chain.from_iterable(some)))

    def _coded(self, whose: Namespace) -> _Codes:
        """The codes of a namespace, with those of turns that came since it was last asked."""
        turns = self._memory.store.turns
        with self._lock:
            epoch = turns.epoch(whose)
            known = self._codes.pop(whose, None)
            held = known if known is not None and known.epoch == epoch else _Codes(epoch)
            if known is not None and known is not held:
                self._memory.vectors.forget()  # what was erased must not stay there
            while rows := turns.codes(whose, held.last):
                held.add(rows)
            self._codes[whose] = held
            while len(self._codes) > _MAX_NAMESPACES:
                del self._codes[next(iter(self._codes))]
            return held


_MAX_NAMESPACES: Final = 64
_MAX_SUMMARIES: Final = 256
_SUMMED: Final = 200  # turns before a window of which its first summary is made
_MOST_SUMMARY: Final = 2_000  # characters
_MAX_LABEL: Final = 1024


@dataclass(frozen=True, slots=True)
class _Summary:
    """What was made of the turns up to a place; ``by`` is held so that no other object gets its id."""

    by: object
    epoch: int
    last: int
    text: str
    turns: int

    def as_turn(self, thread: str) -> Turn:
        """As the first of the turns that the next summary is made of."""
        return Turn(Turn.named(thread, "summary"), thread, self.text, role="summary", kind="model")


class _Codes:
    """Search codes of one namespace's turns: 64 bytes a turn."""

    def __init__(self, epoch: int) -> None:
        self.epoch, self.last = epoch, 0
        self._places: NDArray[np.int64] = np.empty(0, np.int64)
        self._codes: NDArray[np.uint64] = np.empty((0, CODE_BYTES // 8), np.uint64)
        self._scopes: NDArray[np.int32] = np.empty(0, np.int32)
        self._known: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, rows: Sequence[tuple[int, str, bytes]]) -> None:
        """Add turns: (place, scope, code)."""
        codes = np.frombuffer(b"".join(code for _, _, code in rows), np.uint64).reshape(len(rows), -1)
        scopes = [self._known.setdefault(scope, len(self._known)) for _, scope, _ in rows]
        self._places = np.concatenate([self._places, np.array([place for place, _, _ in rows], np.int64)])
        self._codes = np.concatenate([self._codes, codes])
        self._scopes = np.concatenate([self._scopes, np.array(scopes, np.int32)])
        self.last = rows[-1][0]

    def nearest(self, vector: NDArray[np.float32], scopes: set[str] | None, most: int) -> list[int]:
        """Places of the turns whose codes differ least from that of a vector; of these scopes, if given."""
        places, codes = self._places, self._codes
        if scopes is not None:
            seen = np.isin(self._scopes, [number for scope, number in self._known.items() if scope in scopes])
            places, codes = places[seen], codes[seen]
        query = np.frombuffer(encode(vector[None, :]).tobytes(), np.uint64)
        differing = np.bitwise_count(codes ^ query).sum(axis=1)
        nearest = np.argpartition(differing, most)[:most] if len(places) > most else np.arange(len(places))
        return [int(place) for place in places[nearest]]


def _fitting(turns: Sequence[Turn], tokens: int | None) -> tuple[int, int]:
    """How many of these turns, from the first on, fit into so many tokens, and how many tokens they have."""
    taken, used = 0, 0
    for turn in turns:
        size = approximate_tokens(turn.text)
        if tokens is not None and used + size > tokens:
            break
        taken, used = taken + 1, used + size
    return taken, used


def _is_quotable(turn: Turn, role: str | None) -> bool:
    """Whether a turn may be shown beside facts: a person's statement, of no scope unless a role was asked for."""
    return _may_be_shown(turn, role) and not turn.text.rstrip().endswith(("?", "？"))


def _may_be_shown(turn: Turn, role: str | None) -> bool:
    """Whether a person said it, and the one who looks may see it: without a role, what is in no scope."""
    return turn.kind == "user" and (role is not None or not turn.scope)


def _quote(hit: Hit) -> Quote:
    turn = hit.turn
    return Quote(turn.text, turn.at, turn.speaker, turn.thread, turn.id, ", ".join(sorted(hit.by)))


def _keywords(query: str) -> dict[str, list[str]]:
    """What of a query tells most, as turns are ranked by it, each with the forms that it may have in a text."""
    found: dict[str, list[str]] = {}
    for token in dict.fromkeys(tokens_of(query)):
        if token not in STOPWORDS:
            for word in turn_words(token):
                if word not in found:
                    found[word] = forms_of(token)
        if len(found) >= _MAX_WORDS:
            break
    return found


def _days_in(query: str, now: datetime) -> list[tuple[str, str]]:
    """The days that a query names: from a moment to before another. Months and weekdays alone are the latest ones."""
    words = [word.strip(_AROUND) for word in query.split()][:_MAX_WORDS_DATED]
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        sizes = range(min(_LONGEST, len(words) - at), 0, -1)
        size = next((size for size in sizes if _is_dated(words[at : at + size], now)), 0)
        if size:
            text = " ".join(words[at : at + size])
            span = read_date(f"since {text}", now) or read_date(text, now)
            found += [(_first(span.start), _after(span.end))] if span is not None else []
        at += size or 1
    return found


def _is_dated(words: Sequence[str], now: datetime) -> bool:
    """Whether words are a date from end to end; "may", "march" and numbers alone are none, May and 2023 are."""
    text = " ".join(words)
    if len(words) == 1 and not _YEAR.fullmatch(text) and not text[:1].isupper():
        return relative_date(text, now) is not None or _ISO_DAY.fullmatch(text) is not None
    return bool(words[0] and words[-1]) and read_date(text, now) is not None


_AROUND: Final = ".,;:!?()\"'"
_LONGEST: Final = 5  # words of a date
_MAX_WORDS_DATED: Final = 256
_YEAR: Final = re.compile("(19|20)[0-9]{2}")
_ISO_DAY: Final = re.compile("[0-9]{4}-[0-9]{2}(-[0-9]{2})?")


def _first(day: str) -> str:
    """The first moment of a day, month or year, here."""
    return written(datetime(*_parts(day)))


def _after(day: str) -> str:
    """The first moment after a day, month or year, here."""
    year, month, number = _parts(day)
    if len(day) == 4:
        return written(datetime(year + 1, 1, 1))
    if len(day) == 7:
        return written(datetime(year + month // 12, month % 12 + 1, 1))
    return written(datetime(year, month, number) + timedelta(days=1))


def _parts(day: str) -> tuple[int, int, int]:
    """Year, month and day of a partial date; of its beginning, where it does not tell."""
    year, month, number = (*map(int, day.split("-")), 1, 1)[:3]
    return year, month, number


def _fused(by: dict[Search, int]) -> float:
    """How much the ranks of several searches say together."""
    return sum(at_rank(rank, _WEIGHTS[search]) for search, rank in by.items())


def _number(best: dict[Any, dict[Search, int]]) -> None:
    """Ranks of turns become those of what they are in: first, second, third of each search."""
    for search in _SEARCHES:
        ranked = sorted((by[search], key) for key, by in best.items() if search in by)
        for rank, (_, key) in enumerate(ranked, start=1):
            best[key][search] = rank


def _reach(within: TurnFilter) -> int:
    """How many turns of a namespace are looked at for those of a session or time."""
    return _FOUND if within.thread is None and within.since is None else 20 * _FOUND


def _begin(value: Moment | None) -> str | None:
    """A moment, or the beginning of a day here."""
    end = as_moment(value)
    return end if end is None or not _is_day(value) else written(datetime.fromisoformat(end) - _DAY)


def _end(value: Moment | None) -> str | None:
    """The first moment after a moment or a day."""
    end = as_moment(value)
    return None if end is None else written(datetime.fromisoformat(end) + timedelta(microseconds=1))


_DAY: Final = timedelta(days=1) - timedelta(microseconds=1)


def _is_day(value: object) -> bool:
    return not isinstance(value, datetime) and len(str(value)) == len("2026-03-01")
