"""Which facts answer a question in plain words: one ranking for every store, without a language model.

Facts are looked for in three ways, and the places they have there are fused (reciprocal rank):

- by words, the rarer the better: those of the fact, of other names of its relation (the catalogue's aliases), of the
  sentence it was said in, and words spelled nearly alike;
- by meaning: the vectors of the names and the relation beside that of the question's keywords; where the embedder reads
  sentences, those of the fact and of what was said beside that of the whole question;
- by whom it is about: a name in the question, or the person who asks, by how well the rest of the fact fits.

Then one and two hops further from the best: facts that share a name with them, by how well their relation fits what of
the question is not said by the facts that led to them.

Weights were chosen on the first three conversations of part a of LoCoMo and on 100 questions of MuSiQue, those of hops
also on the 220 tuning questions over two facts of Re-DocRED; the thresholds of sentences on 30 facts, 40 questions and
40 unrelated ones of our own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from langchain_memllm.factindex import FactIndex, name_token, rarity, relation_token, stems_of, typo_key, word_token
from langchain_memllm.recall.floor import SENTENCES, WORDS, Supported, above_floor
from langchain_memllm.recall.fusion import CONSTANT, at_rank, fused
from langchain_memllm.recall.question import STOPWORDS, Question
from langchain_memllm.recall.sentences import Sentences
from langchain_memllm.stores.interface import TRUSTED, Candidate, FactFilter, RecallIndex, Row, TripleStore, Vector
from langchain_memllm.triples import How, Namespace

__all__ = ["Embed", "Ranked", "StoredFacts", "Weights", "rank", "relation_words"]

Embed: TypeAlias = Callable[[Sequence[str]], Sequence[Vector | None]]
_Rows: TypeAlias = NDArray[np.intp]

_SENTENCE: Final = 0.7  # what a word counts that stands in the sentence only
_ALIAS: Final = 0.4  # that stands in another name of the relation
_MISSPELT: Final = 0.7  # that is spelled nearly alike
_POOL: Final = 100  # facts looked at by their words
_ABOUT: Final = 80  # facts of one name that are looked at
_LIKELY: Final = 3  # what the cosine of a relation counts beside words, where a name has more
_STARTS: Final = 10  # facts from which hops lead further
_PER_HOP: Final = 40  # facts looked at a hop
_PER_NAME: Final = 2_000
_HOPS: Final = 2
_WORD: Final = 0.3  # what a word counts beside the cosine of the relation
_LATER: Final = 0.02  # what a hop loses for each fact that fits better than the one it starts from
_BACK: Final = 0.3  # and where it leads to a fact that says something of another name: "country" of all in France
_LEAST_FIT: Final = 0.15
_SURE_FIT: Final = 0.5  # a hop that fits less counts a tenth
_FAINT: Final = 0.1
_OF_ENDS: Final = 0.5  # what the cosine of a name counts beside that of the relation
_TRIES: Final = 4  # to look facts up again after closed ones were left out
_SAID: Final = 0.25  # what words count beside the cosine of a sentence
_SENTENCES: Final = 3.0  # how often the way of meaning counts where it goes by sentences


@dataclass(frozen=True, slots=True)
class Weights:
    """What each way to a fact counts in the fusion; one that counts 0 is left out.

    Args:
        words: Of facts by their words.
        meaning: Of facts by their vectors.
        person: Of facts about a name in the question or about the person who asks.
        hops: Of a hop whose relation fits wholly; less by its fit.
    """

    words: float = 1.5
    meaning: float = 1.0
    person: float = 1.0
    hops: float = 2.0


_DEFAULT: Final = Weights()


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """The facts of one namespace in its store."""

    store: TripleStore
    namespace: Namespace

    def fetch(self, ids: Sequence[Any], vector: Vector | None) -> list[Candidate]:
        """See ``TripleStore.candidates``."""
        return self.store.candidates(self.namespace, ids, vector)

    def sentences(self, ids: Sequence[Any]) -> dict[Any, list[str]]:
        """What was said of some open facts, the last first."""
        numbers = {candidate.fact.id: candidate.id for candidate in self.fetch(ids, None)}
        facts = self.store.facts([self.namespace], FactFilter(ids=tuple(numbers))) if numbers else ()
        return {
            numbers[fact.id]: [" ".join(fact.triple), *(each.text for each in reversed(fact.sources) if each.text)]
            for fact in facts
        }

    def closed(self, ids: Sequence[Any]) -> AbstractSet[Any]:
        """See ``TripleStore.closed``."""
        return self.store.closed(self.namespace, ids)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A fact that was found: how well it fits (1 is the best of one way), how similar it is, and why it is there."""

    score: float
    similarity: float
    row: Row


class _Hop(NamedTuple):
    id: Any
    via: str  # the name between
    fit: float


class _Way(NamedTuple):
    """Where one of the best facts leads by a name: to the rows that hold it."""

    rows: _Rows
    later: int  # the place of the fact
    via: str  # the name
    token: int  # and its token


@dataclass(slots=True)
class _Search:
    """One question in one namespace."""

    question: Question
    recall: RecallIndex
    aliases: Mapping[str, frozenset[str]]
    vector: Vector | None
    size: int
    held: dict[Any, Candidate] = field(default_factory=dict)
    relation_similarity: dict[int, float] = field(default_factory=dict)
    rests: dict[Any, str] = field(default_factory=dict)
    fits: dict[Any, float] = field(default_factory=dict)  # the cosine of each fact, as a sentence, with the question
    sought: float = 0.0  # what a row would score that holds every word of the question

    found: dict[int, tuple[_Rows, NDArray[np.bool_]]] = field(default_factory=dict)
    rows: dict[Any, list[int]] = field(default_factory=dict)  # of each fact that was looked at
    saying: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def facts(self) -> FactIndex[Any]:
        return self.recall.facts

    def note(self, each: Any, row: int) -> None:
        """A row of a fact; one with several pieces of evidence has several."""
        self.rows.setdefault(each, []).append(row)

    def postings(self, token: int) -> tuple[_Rows, NDArray[np.bool_]]:
        """Rows that hold a token, and whether in the triple; those that another thread adds meanwhile are left out."""
        if token not in self.found:
            rows, in_triple = self.facts.postings(token)
            inside = rows < self.size
            self.found[token] = rows[inside].astype(np.intp), in_triple[inside]
        return self.found[token]

    def says(self, stem: str) -> NDArray[np.bool_]:
        """Whether the triple of each row says a word, or another name of its relation does."""
        if stem not in self.saying:
            said = np.zeros(self.size, np.bool_)
            rows, in_triple = self.postings(word_token(stem))
            said[rows[in_triple]] = True
            for key in self.aliases.get(stem, ()):
                said[self.postings(relation_token(key))[0]] = True
            self.saying[stem] = said
        return self.saying[stem]


def rank(
    question: Question,
    index: RecallIndex,
    stored: StoredFacts,
    embed: Embed,
    aliases: Mapping[str, frozenset[str]],
    *,
    most: int = 100,
    weights: Weights = _DEFAULT,
    sentences: Sentences | None = None,
) -> list[Ranked]:
    """Facts that answer a question, best first.

    Args:
        question: What is asked.
        index: Where to look.
        stored: The facts that the index is of.
        embed: Gives the vectors of texts.
        aliases: Keys of relations by the words of their other names.
        most: How many at most.
        weights: What each way counts.
        sentences: The facts as sentences, if the embedder reads sentences.
    """
    if not len(index.facts):
        return []
    vector, *whole = embed([question.text, *([] if sentences is None else [question.whole])])
    for _ in range(_TRIES):
        search = _Search(question, index, aliases, vector, len(index.facts))
        near = [] if sentences is None else sentences.nearest(whole[0])
        search.fits = {each: fit for _, each, fit in near}
        words = _by_words(search)
        said = np.flatnonzero(words)
        order = _top(search, words[said], said, _POOL)
        about = _about(search, words)
        like = _like(search, [row for row, _, _ in near])
        if not _look_up(search, stored, [*order, *(row for row, _ in about), *like]):
            break
    scores = fused(
        (weights.words, _present(search, order)),
        (weights.meaning * (_SENTENCES if search.fits else 1.0), _by_meaning(search)),
        (weights.person, _by_person(search, about, words)),
    )
    how = _how(search, about)
    for _ in range(_HOPS if weights.hops else 0):
        hops = _further(search, scores, stored, embed)
        for place, hop in enumerate(hops):
            if hop.fit >= _SURE_FIT or hop.id not in scores:  # what words found is not there because of a faint hop
                how.setdefault(hop.id, ("neighbour", hop.via))
            fit = min(hop.fit, 1.0) * (1.0 if hop.fit >= _SURE_FIT else _FAINT)
            scores[hop.id] = scores.get(hop.id, 0.0) + at_rank(place + 1, weights.hops * fit)
        if not hops:
            break
    best = _best(search, scores)
    floor = SENTENCES if search.fits else WORDS
    shown = set(above_floor(question, _supports(search, best, words, how), floor))
    return [_ranked(search, each, scores[each], how) for each in best if each in shown][:most]


def _look_up(search: _Search, stored: StoredFacts, rows: Sequence[int]) -> bool:
    """Fetch the facts of some rows; those that were closed take no place in the index any more.

    Returns:
        Whether there were closed ones: others may have had their places.
    """
    ids = search.facts.ids(rows)
    for row, each in zip(rows, ids, strict=True):
        search.note(each, row)
    wanted = [each for each in dict.fromkeys(ids) if each not in search.held]
    search.held.update({each.id: each for each in stored.fetch(wanted, search.vector)})
    absent = [each for each in wanted if each not in search.held]
    closed = stored.closed(absent) if absent else ()
    if closed:
        search.facts.discard(row for each in closed for row in search.rows[each])
        search.found.clear()
        search.saying.clear()
    return bool(closed)


def _ranked(search: _Search, each: Any, score: float, how: Mapping[Any, tuple[How, str]]) -> Ranked:
    candidate = search.held[each]
    way, via = how[each] if each in how else ("similar", _shared(search, candidate))
    similarity = round(_meaning(search, candidate), 5)
    return Ranked(score * CONSTANT, similarity, Row(candidate.fact, way, similarity, similarity, via))


def _shared(search: _Search, candidate: Candidate) -> str:
    """Words of the question that a fact says, or another name of its relation; empty if only its sentence does."""
    said = set(stems_of(" ".join(candidate.fact.triple)))
    return " ".join(
        word
        for stem, word in search.question.stems.items()
        if stem in said or candidate.relation_key in search.aliases.get(stem, ())
    )


# -- by words ----------------------------------------------------------------------------------------------------------


def _by_words(search: _Search) -> NDArray[np.float32]:
    """How much of the question each row says, rare words counting more."""
    scores = np.zeros(search.size, np.float32)
    for stem in search.question.stems:
        rows, in_triple = search.postings(word_token(stem))
        weights = np.where(in_triple, np.float32(1), np.float32(_SENTENCE))
        if not len(rows) and (alike := typo_key(stem)) is not None:
            rows, _ = search.postings(word_token(alike))
            weights = np.full(len(rows), _MISSPELT, np.float32)
        named = [search.postings(relation_token(key))[0] for key in search.aliases.get(stem, ())]
        others = np.setdiff1d(np.concatenate(named), rows) if named else rows[:0]
        held = len(rows) + len(others)
        counts = rarity(held, search.size)
        search.sought += counts
        scores[rows] += np.float32(counts) * weights
        scores[others] += np.float32(counts * _ALIAS)
    return scores


def _top(search: _Search, scores: NDArray[np.float32], rows: _Rows, most: int) -> list[int]:
    """The rows with the highest scores, of equals the newest; a flood from the rest leaves trusted sources room.

    Args:
        search: The search.
        scores: Of the rows.
        rows: Ascending.
        most: How many of trusted sources, and half as many of others.
    """
    trusted = search.facts.ranks[rows] >= TRUSTED
    chosen = [
        part[np.lexsort((-rows[part], -scores[part]))[:count]]
        for part, count in ((np.flatnonzero(trusted), most), (np.flatnonzero(~trusted), most // 2))
    ]
    places = np.concatenate(chosen)
    order: list[int] = rows[places[np.lexsort((-rows[places], -scores[places]))]].tolist()
    return order


# -- by whom it is about -----------------------------------------------------------------------------------------------


def _about(search: _Search, words: NDArray[np.float32]) -> list[tuple[int, str]]:
    """Rows about the names in the question and about the person who asks, with the key; the likeliest of many."""
    question = search.question
    keys = dict.fromkeys(name.key for name in search.recall.named)
    if question.speaker is not None:
        keys[question.speaker] = None
    found: list[tuple[int, str]] = []
    for key in keys:
        rows, _ = search.postings(name_token(key))
        likely = words[rows]
        if len(rows) > _ABOUT // 2:
            likely = likely + np.float32(_LIKELY) * _of_relations(search, rows, search.vector)
        found += [(row, key) for row in _top(search, likely, rows, _ABOUT)]
    return found


def _of_relations(search: _Search, rows: _Rows, vector: Vector | None) -> NDArray[np.float32]:
    """Cosine of a vector with the relation of each row; 0 where there is none."""
    relations = search.recall.relations
    if vector is None or not relations.keys:
        return np.zeros(len(rows), np.float32)
    cosines = relations.vectors @ vector
    tokens, order = relations.tokens
    asked = search.facts.ends[rows, 1]
    places = np.minimum(np.searchsorted(tokens, asked), len(tokens) - 1)
    found: NDArray[np.float32] = np.where(tokens[places] == asked, cosines[order[places]], np.float32(0))
    return found


def _by_person(search: _Search, about: Sequence[tuple[int, str]], words: NDArray[np.float32]) -> list[Any]:
    """Facts about a name in the question or about the person who asks, by how well the rest of each fits."""
    if not about:
        return []
    ids = search.facts.ids([row for row, _ in about])
    best: dict[Any, float] = {}
    for each, (row, key) in zip(ids, about, strict=True):
        if (candidate := search.held.get(each)) is None:
            continue
        if (fits := search.fits.get(each, 0.0)) <= 0.0:
            other = candidate.object_similarity if candidate.subject_key == key else candidate.subject_similarity
            fits = max(other, 0.0) + max(_relation(search, candidate), 0.0)
        fits += float(words[row]) * 0.1
        best[each] = max(best.get(each, -1.0), fits)
    return sorted(best, key=lambda each: (-best[each], -search.held[each].fact.seq))


# -- by meaning --------------------------------------------------------------------------------------------------------


def _relation(search: _Search, candidate: Candidate) -> float:
    relations = search.recall.relations
    place = relations.places.get(candidate.relation_key)
    if search.vector is None or place is None:
        return 0.0
    if place not in search.relation_similarity:
        search.relation_similarity[place] = float(relations.vectors[place] @ search.vector)
    return search.relation_similarity[place]


def _meaning(search: _Search, candidate: Candidate) -> float:
    """Mean cosine of the question with the parts of a fact; the person who asks does not count."""
    parts = [_relation(search, candidate), *_ends(search, candidate)]
    return sum(parts) / len(parts)


def _ends(search: _Search, candidate: Candidate) -> list[float]:
    """Cosines of the names of a fact but that of the person who asks."""
    ends = (
        (candidate.subject_key, candidate.subject_similarity),
        (candidate.object_key, candidate.object_similarity),
    )
    return [similarity for key, similarity in ends if key != search.question.speaker]


def _like(search: _Search, rows: Sequence[int]) -> list[int]:
    """Of rows, the nearest first, those that are looked up; a flood from the rest leaves trusted sources room."""
    trusted = search.facts.ranks >= TRUSTED
    inside = [row for row in rows if row < search.size]
    return [
        *[row for row in inside if trusted[row]][:_POOL],
        *[row for row in inside if not trusted[row]][: _POOL // 2],
    ]


def _by_meaning(search: _Search) -> list[Any]:
    """Facts by their sentences, where the embedder reads them; else by their names and relation."""
    if search.vector is None:
        return []
    fits = search.fits or {each: _meaning(search, candidate) for each, candidate in search.held.items()}
    fits = {each: fit for each, fit in fits.items() if each in search.held}
    return sorted(fits, key=lambda each: (-fits[each], -search.held[each].fact.seq))[:_POOL]


# -- further hops ------------------------------------------------------------------------------------------------------


def _further(search: _Search, scores: Mapping[Any, float], stored: StoredFacts, embed: Embed) -> list[_Hop]:
    """Facts one hop from the best, by how well their relation fits what of the question those do not say."""
    for _ in range(_TRIES):
        best = _reached(search, scores, embed)
        order = list(best)
        if not _look_up(search, stored, order):
            break
    ids = search.facts.ids(order)
    chosen = dict(zip(reversed(ids), reversed([best[row] for row in order]), strict=True))
    for each, (_, rest, _) in chosen.items():
        search.rests.setdefault(each, rest)
    return [_Hop(each, via, fit) for each, (fit, _, via) in reversed(chosen.items()) if each in search.held]


def _reached(search: _Search, scores: Mapping[Any, float], embed: Embed) -> dict[int, tuple[float, str, str]]:
    """Rows one hop from the best facts: how well each fits, what of the question was left to say, the name between.

    Those that fit best come first, of equals the newest.
    """
    groups: dict[str, list[_Way]] = defaultdict(list)
    for rest, way in _ways(search, scores):
        groups[rest].append(way)
    if not groups:
        return {}
    vectors = embed([f"{rest} {search.question.asks}".strip() for rest in groups])
    fits = np.concatenate(
        [_fits(search, rest, some, vector) for (rest, some), vector in zip(groups.items(), vectors, strict=True)]
    )
    ways = [(way, rest) for rest, some in groups.items() for way in some]
    rows = np.concatenate([way.rows for way, _ in ways])
    of = np.repeat(np.arange(len(ways)), [len(way.rows) for way, _ in ways])
    best: dict[int, tuple[float, str, str]] = {}
    least = _SURE_FIT if search.fits else _LEAST_FIT  # the floor of sentences is low: it would show what fits a little
    for place in _highest(fits, rows, least, _PER_HOP * len(ways)):
        way, rest = ways[of[place]]
        best.setdefault(int(rows[place]), (float(fits[place]), rest, way.via))
        if len(best) == _PER_HOP:
            break
    return best


def _fits(search: _Search, rest: str, ways: Sequence[_Way], vector: Vector | None) -> NDArray[np.float32]:
    """How well each row of some ways fits what is left to say: its relation, its words, and where it stands."""
    rows = np.concatenate([way.rows for way in ways])
    sizes = [len(way.rows) for way in ways]
    fits = _of_relations(search, rows, vector)
    fits -= np.float32(_LATER) * np.repeat(np.array([way.later for way in ways], np.float32), sizes)
    names = np.repeat(np.array([way.token for way in ways], np.uint32), sizes)
    fits -= np.float32(_BACK) * (search.facts.ends[rows, 0] != names)
    for stem in dict.fromkeys(stems_of(rest)):
        fits += np.float32(_WORD) * search.says(stem)[rows]
    return fits


def _highest(fits: NDArray[np.float32], rows: _Rows, least: float, most: int) -> list[int]:
    """Places of the highest, at least so high, of equals those of the newest rows."""
    if len(fits) > most:
        least = max(least, float(np.partition(fits, -most)[-most]))
    places = np.flatnonzero(fits >= least)
    order: list[int] = places[np.lexsort((-rows[places], -fits[places]))].tolist()
    return order


def _ways(search: _Search, scores: Mapping[Any, float]) -> list[tuple[str, _Way]]:
    """Where the best facts lead, with what of the question is left to say."""
    ways: list[tuple[str, _Way]] = []
    for place, start in enumerate(_best(search, scores)[:_STARTS]):
        candidate = search.held[start]
        triple = candidate.fact.triple
        rest = search.rests[start] = _rest(search, search.rests.get(start, search.question.text), candidate)
        for key, spelling in ((candidate.subject_key, triple.subject), (candidate.object_key, triple.object)):
            if (rest or search.question.asks) and key != search.question.speaker:
                token = name_token(key)
                rows, _ = search.postings(token)
                ways.append((rest, _Way(_some(search, rows), place, spelling, token)))
    return ways


def _some(search: _Search, rows: _Rows) -> _Rows:
    """The newest rows, most of them from trusted sources."""
    if len(rows) <= _PER_NAME:
        return rows
    trusted = search.facts.ranks[rows] >= TRUSTED
    return np.concatenate((rows[trusted][-_PER_NAME:], rows[~trusted][-_PER_NAME // 2 :]))


def _rest(search: _Search, text: str, candidate: Candidate) -> str:
    """What of a text a fact does not say, nor another name of its relation."""
    said = set(stems_of(" ".join(candidate.fact.triple)))
    return " ".join(
        word
        for word in text.split()
        if not all(stem in said or candidate.relation_key in search.aliases.get(stem, ()) for stem in stems_of(word))
    )


# -- what says too little -----------------------------------------------------------------------------------------


def _supports(
    search: _Search, best: Sequence[Any], words: NDArray[np.float32], how: Mapping[Any, tuple[How, str]]
) -> list[Supported]:
    """What speaks for showing each fact, in the order given."""
    named = {name.key for name in search.recall.named} - {search.question.speaker}
    found: list[Supported] = []
    for each in best:
        candidate = search.held[each]
        ends = candidate.subject_key, candidate.object_key
        said = float(max(words[search.rows[each]])) / search.sought if search.sought else 0.0
        way, via = how.get(each, ("similar", ""))
        hop = via if way == "neighbour" else None
        fit = said * _SAID + search.fits.get(each, 0.0) if search.fits else said + _likeness(search, candidate)
        found.append(
            Supported(
                each,
                ends,
                fit,
                not named.isdisjoint(ends),
                hop,
                search.question.speaker in ends,
            )
        )
    return found


def _likeness(search: _Search, candidate: Candidate) -> float:
    """How near a fact is to the question: its relation, and the nearer of its ends that is not the person who asks."""
    return max(_relation(search, candidate), 0.0) + _OF_ENDS * max([0.0, *_ends(search, candidate)])


# -- together ----------------------------------------------------------------------------------------------------------


def _present(search: _Search, rows: Sequence[int]) -> list[Any]:
    """The facts of some rows that are open still, each once."""
    return [each for each in dict.fromkeys(search.facts.ids(rows)) if each in search.held]


def _best(search: _Search, scores: Mapping[Any, float]) -> list[Any]:
    """Ids by score; of equals the newest."""
    return sorted(scores, key=lambda each: (-scores[each], -search.held[each].fact.seq, search.held[each].fact.id))


def _how(search: _Search, about: Sequence[tuple[int, str]]) -> dict[Any, tuple[How, str]]:
    """Which facts are about a name in the question, by that name or by an alias."""
    named = {name.key: name for name in search.recall.named}
    ids = search.facts.ids([row for row, _ in about])
    return {
        each: (named[key].how, named[key].spelling) for each, (_, key) in zip(ids, about, strict=True) if key in named
    }


def relation_words(names: Iterable[tuple[str, Iterable[str]]]) -> dict[str, frozenset[str]]:
    """Keys of relations by the words of their names: pairs of a key and names."""
    found: dict[str, set[str]] = defaultdict(set)
    for key, labels in names:
        for label in labels:
            for word in label.split():
                if word.casefold() not in STOPWORDS:
                    for stem in stems_of(word):
                        found[stem].add(key)
    return {stem: frozenset(keys) for stem, keys in found.items()}
