"""The memory gate: whether a turn needs memory at all, and of each thing recalled whether it is shown, and how much.

From SCM, "Self-Controlled Memory" (arXiv 2304.13343): a controller asks whether history is needed, and per item whether
its summary is enough; what is left goes from whole to summary in rounds until it fits a budget, the best item last.
Here recall comes first, because it costs less than any decider, and one judgement answers both questions. Who judges is
a ``Decider``: the rules and the cosines are here, models in ``deciders``. Knows no language model.

The summary of a turn is extractive: the sentences of it that are nearest to the question, whole and in their order. A
fact is one line and has no summary. A decider with a model may write a summary of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, get_args, runtime_checkable

from langchain_memllm.decisions import Action, Decision, Verdict
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.flow import Flow, done
from langchain_memllm.hub import Candidate
from langchain_memllm.recall import STOPWORDS, parse_question, turn_words
from langchain_memllm.render import CLOSE, MOST_QUOTED, OPEN, approximate_tokens, line_of, note_of, render
from langchain_memllm.salience import is_small_talk, may_state, sentences
from langchain_memllm.stores.episodes import vectors_of
from langchain_memllm.triples import Match, Quote, Recall

__all__ = [
    "Asked",
    "Cosines",
    "Decider",
    "Grade",
    "Item",
    "Judgement",
    "Rules",
    "asked_about",
    "decided",
    "judged_by_rules",
    "states_something",
    "summary_of",
]

_READ: Final = 4 * MOST_QUOTED  # characters of a turn that are looked at
_READ_OF_TURN: Final = 2_000  # characters of what the person says now, from either end
_SENTENCES: Final = 40
_OF_SUMMARY: Final = 2  # sentences
_SHORTER: Final = 0.85  # of the line in full that a summary may take; else it is not worth it


@dataclass(frozen=True, slots=True)
class Item:
    """A fact or a turn that was recalled, as a decider sees it.

    Args:
        id: The fact's, or the turn's.
        kind: Which of the two it is.
        text: What it says: ``subject | relation | object``, or the person's words.
        said_at: When it was said (ISO, UTC).
        speaker: Who said it, where that is known.
        summary: The sentences of a turn that are nearest to the question; empty where that is not shorter.
        share: Share of the question's keywords that it says, in [0, 1].
        cosine: Its cosine with the question, by the embedder that is shipped.
    """

    id: str
    kind: Literal["fact", "turn"]
    text: str
    said_at: str
    speaker: str | None = None
    summary: str = ""
    share: float = 0.0
    cosine: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a decider is asked: a turn, and what was recalled for it.

    Args:
        text: What was looked for: the turn, with what stood before it where it leans on that.
        said: The words of the turn alone.
        small_talk: Whether these are greetings, thanks and acknowledgements alone.
        items: What was recalled, facts first, each kind from the best on.
    """

    text: str
    said: str
    small_talk: bool
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Grade:
    """What a decider wants to become of an item.

    Args:
        action: What.
        why: The reason, for the trace; no text of the item.
        summary: With ``summary``: a summary of the decider's own instead of the item's.
    """

    action: Action
    why: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a decider says.

    Args:
        needed: Whether the turn needs memory.
        why: The reason, for the trace; no text of the turn.
        grades: One for each item; may be empty where memory is not needed.
        by: Who decided.
        note: What went otherwise than asked.
    """

    needed: bool
    why: str
    grades: tuple[Grade, ...]
    by: str
    note: str = ""


@runtime_checkable
class Decider(Protocol):
    """Decides about one turn. Write one of your own with this method."""

    def judge(self, asked: Asked) -> Flow[Judgement]:
        """The judgement; what it waits for are steps (``flow.Step``), so that it runs sync and async.

        Raises:
            ModelError: A model failed.
        """
        ...


# --- deciders without a model -----------------------------------------------------------------------------------------

# Chosen on LoCoMo's conversations 26, 30 and 41, BEAM's chats 1 to 5, and every other unneeded turn of turns.jsonl.
_LEAST_FIT: Final = 0.65  # of the share of the turn's words that a turn kept says, and their cosine
_LEAST_FIT_OWN: Final = 0.4  # where the turn asks about the person who speaks
_WHOLE: Final = 6  # turns that are shown whole
_FAR: Final = 0.25  # a turn without a word of the question, and with a cosine below this, is left out
_LEAST_COSINE: Final = 0.44
_SUMMARY_COSINE: Final = 0.1
_FULL_COSINE: Final = 0.4


class Rules:
    """Decides by rules: small talk needs no memory, nor does a turn that nothing recalled fits well enough.

    How well is what recall goes by: the share of the turn's keywords that is said, and the cosine, summed up. Facts
    that were recalled have passed a threshold, so they count, and are shown. Of the turns the first six are shown
    whole, the others in part.
    """

    def judge(self, asked: Asked) -> Flow[Judgement]:
        """See ``Decider.judge``."""
        return done(judged_by_rules(asked))


def judged_by_rules(asked: Asked, note: str = "") -> Judgement:
    """The judgement of ``Rules``; other deciders fall back on it, and say so in ``note``."""
    needed, why = _needed_by_rules(asked)
    turns = [item.id for item in asked.items if item.kind == "turn"]
    grades = tuple(_grade_by_rules(item, turns) for item in asked.items) if needed else ()
    return Judgement(needed, why, grades, "rules", note)


def _needed_by_rules(asked: Asked) -> tuple[bool, str]:
    if asked.small_talk:
        return False, "small talk"
    if any(item.kind == "fact" for item in asked.items):
        return True, "facts answer it"
    best = max((item.share + max(item.cosine, 0.0) for item in asked.items), default=0.0)
    least = _LEAST_FIT_OWN if parse_question(asked.said, None).personal else _LEAST_FIT
    if not asked.items:
        return False, "nothing was recalled for it"
    return best >= least, f"what was said fits it to {best:.2f}, and {least} is asked"


def _grade_by_rules(item: Item, turns: Sequence[str]) -> Grade:
    if item.kind == "fact":
        return Grade("full", "a fact that answers")
    place = turns.index(item.id) + 1
    if item.share == 0 and item.cosine < _FAR:
        return Grade(
            "drop", f"turn {place} of {len(turns)}; it has none of the words, and the cosine {item.cosine:.2f}"
        )
    return Grade("full" if place <= _WHOLE else "summary", f"turn {place} of {len(turns)}")


class Cosines:
    """Decides by the cosines of the shipped table, of the turn with each turn that was recalled.

    Facts are as short as names, so their cosines tell less; those that were recalled have passed a threshold, and stay.
    """

    def judge(self, asked: Asked) -> Flow[Judgement]:
        """See ``Decider.judge``."""
        return done(_judged_by_cosines(asked))


def _judged_by_cosines(asked: Asked) -> Judgement:
    best = max((item.cosine for item in asked.items if item.kind == "turn"), default=-1.0)
    facts = any(item.kind == "fact" for item in asked.items)
    needed = not asked.small_talk and (facts or best >= _LEAST_COSINE)
    why = "small talk" if asked.small_talk else "facts answer it" if facts else f"the best cosine is {best:.2f}"
    return Judgement(needed, why, tuple(map(_grade_by_cosine, asked.items)), "embedder")


def _grade_by_cosine(item: Item) -> Grade:
    if item.kind == "fact":
        return Grade("full", "a fact that answers")
    action: Action = "full" if item.cosine >= _FULL_COSINE else "summary" if item.cosine >= _SUMMARY_COSINE else "drop"
    return Grade(action, f"cosine {item.cosine:.2f}")


# --- what is asked ----------------------------------------------------------------------------------------------------


def asked_about(text: str, said: str, before: Sequence[str], facts: Recall, turns: Sequence[Candidate]) -> Asked:
    """What a decider is asked.

    Args:
        text: What was looked for.
        said: The words of the turn alone.
        before: What stood before them, oldest first, each with its speaker.
        facts: The facts that were found.
        turns: The turns that were found.
    """
    own = said if len(said) <= 2 * _READ_OF_TURN else f"{said[:_READ_OF_TURN]}\n{said[-_READ_OF_TURN:]}"
    words = _keywords(text[:_READ])
    vector = vectors_of([text])[0]
    texts = [" | ".join(match.triple) for match in facts]
    cosines = vectors_of(texts) @ vector if texts else ()
    items = [
        Item(match.fact.id, "fact", each, match.fact.said_at, share=_share(words, each), cosine=float(cosine))
        for match, each, cosine in zip(facts, texts, cosines, strict=True)
    ]
    for found in turns:
        quote = found.quote
        summary = _summary(quote.text, words, vector)
        items.append(
            Item(
                quote.turn,
                "turn",
                quote.text[:_READ],
                quote.said_at,
                quote.speaker,
                summary,
                found.share,
                found.cosine,
            )
        )
    return Asked(text, own, is_small_talk(own, before), tuple(items))


def states_something(quote: Quote) -> bool:
    """Whether a turn says anything beside questions, orders and acknowledgements."""
    return may_state(quote.text[:_READ])


def summary_of(text: str, question: str) -> str:
    """The sentences of a text that are nearest to a question, whole and in their order; empty if it is not shorter.

    Of the beginning of the text; sentences that only ask, greet or acknowledge are left out.
    """
    return _summary(text, _keywords(question[:_READ]), vectors_of([question])[0])


def _summary(text: str, words: frozenset[str], vector: Any) -> str:
    parts = [" ".join(each.split()) for each in sentences(text[:_READ])[:_SENTENCES]]
    stating = [place for place, part in enumerate(parts) if may_state(part)]
    if not stating:
        return ""
    cosines = vectors_of([parts[place] for place in stating]) @ vector
    fits = {place: _share(words, parts[place]) + float(cosine) for place, cosine in zip(stating, cosines, strict=True)}
    nearest = sorted(fits, key=lambda place: (-round(fits[place], 5), place))
    for most in range(_OF_SUMMARY, 0, -1):
        summary = _joined(parts, sorted(nearest[:most]))
        if len(summary) <= _SHORTER * min(len(text), MOST_QUOTED):
            return summary
    return ""


def _joined(parts: Sequence[str], places: Sequence[int]) -> str:
    """Some sentences in their order, with a mark where others are left out before one."""
    return " ".join(parts[place] if place - 1 in (*places, -1) else f"… {parts[place]}" for place in places)


def _keywords(text: str) -> frozenset[str]:
    return frozenset(turn_words(text)) - _COMMON


_COMMON: Final = frozenset(turn_words(" ".join(sorted(STOPWORDS))))


def _share(words: frozenset[str], text: str) -> float:
    return len(words.intersection(turn_words(text))) / len(words) if words else 0.0


# --- what comes of it -------------------------------------------------------------------------------------------------


def decided(
    facts: Recall,
    turns: Sequence[Candidate],
    asked: Asked,
    judgement: Judgement,
    *,
    max_tokens: int,
    owner: str | None = None,
) -> Recall:
    """What was recalled after a judgement: what is shown of it, the block, and the decision.

    What does not fit is cut in rounds: the turns from the last to the second are shown in part, then left out; then the
    first turn, then the facts.

    Args:
        facts: The facts that were found.
        turns: The turns that were found.
        asked: What the decider was asked.
        judgement: What it said.
        max_tokens: Most tokens of the block.
        owner: Whose memory the block says it is.

    Raises:
        ConfigurationError: The judgement has not one grade for each item, or an unknown action.
    """
    entries = _entries(facts, turns, asked, judgement)
    if judgement.needed:
        _fit(entries, max_tokens, owner)
    shown = [entry.shown for entry in entries]
    quotes = tuple(each for each in shown if isinstance(each, Quote))
    matches = (each for each in shown if isinstance(each, Match))
    found = replace(facts, matches=tuple(_said_once(each, quotes) for each in matches), quotes=quotes)
    block = render(found, max_tokens, owner=owner)
    verdicts = tuple(entry.verdict for entry in entries)
    decision = Decision(judgement.needed, judgement.why, judgement.by, verdicts, judgement.note)
    return replace(found, block=block, tokens=approximate_tokens(block), decision=decision)


def _said_once(match: Match, quotes: Sequence[Quote]) -> Match:
    """A fact without its sentence, where a quote shows it."""
    return replace(match, said="") if match.said and any(match.said in quote.text for quote in quotes) else match


@dataclass(slots=True)
class _Entry:
    """An item on its way into the block: what it is in full and in part, and what becomes of it."""

    item: Item
    full: Match | Quote
    part: Quote | None
    action: Action
    why: str

    @property
    def shown(self) -> Match | Quote | None:
        return None if self.action == "drop" else self.part if self.action == "summary" else self.full

    @property
    def size(self) -> int:
        """Bytes of its line."""
        shown = self.shown
        return 0 if shown is None else len(line_of(shown).encode("utf-8", "replace")) + 1

    @property
    def verdict(self) -> Verdict:
        shown = self.shown
        tokens = 0 if shown is None else approximate_tokens(line_of(shown))
        return Verdict(self.item.id, self.item.kind, self.action, self.why, tokens)


def _entries(facts: Recall, turns: Sequence[Candidate], asked: Asked, judgement: Judgement) -> list[_Entry]:
    grades = judgement.grades
    if not judgement.needed:
        grades = tuple(Grade("drop", "the turn needs no memory") for _ in asked.items)
    if len(grades) != len(asked.items):
        raise ConfigurationError(
            f"the decider {judgement.by!r} gave {len(grades)} grades for {len(asked.items)} items; give one for each"
        )
    wholes: list[Match | Quote] = [*facts, *(each.quote for each in turns)]
    return [_entry(item, whole, grade) for item, whole, grade in zip(asked.items, wholes, grades, strict=True)]


def _entry(item: Item, whole: Match | Quote, grade: Grade) -> _Entry:
    action, part = _as_action(grade.action), None
    if isinstance(whole, Quote):
        own = " ".join(grade.summary[:_READ].split()) if action == "summary" else ""
        if own and len(own) <= _SHORTER * min(len(whole.text), MOST_QUOTED):
            part = replace(whole, text=own, form="in a model's words")
        elif item.summary:
            part = replace(whole, text=item.summary, form="in part")
    why = grade.why
    if action == "summary" and part is None:
        action, why = "full", f"{why}; short as it is"
    return _Entry(item, whole, part, action, why)


def _as_action(value: object) -> Action:
    for action in get_args(Action):
        if value == action:
            known: Action = action
            return known
    raise ConfigurationError(f"action {value!r} of a decider is unknown; use 'drop', 'summary' or 'full'")


def _fit(entries: Sequence[_Entry], max_tokens: int, owner: str | None) -> None:
    """Cut what does not fit, in rounds."""
    sizes = [entry.size for entry in entries]
    turns = [place for place, entry in enumerate(entries) if entry.item.kind == "turn"]
    rest = [place for place, entry in enumerate(entries) if entry.item.kind == "fact"]
    rounds = [(place, action) for action in ("summary", "drop") for place in reversed(turns[1:])]
    rounds += [(place, action) for action in ("summary", "drop") for place in turns[:1]]
    rounds += [(place, "drop") for place in reversed(rest)]
    for place, action in rounds:
        quotes = any(sizes[turn] for turn in turns)
        sentences = any(isinstance(entry.shown, Match) and entry.shown.said for entry in entries)
        frame = "\n".join((OPEN, note_of(owner, quotes=quotes, sentences=sentences), CLOSE))
        if -(-(len(frame.encode()) + sum(sizes)) // 4) <= max_tokens or not any(sizes):
            return
        entry = entries[place]
        if entry.action == "drop" or (action == "summary" and (entry.part is None or entry.action != "full")):
            continue
        entry.action, entry.why = _as_action(action), f"over the budget of {max_tokens} tokens"
        sizes[place] = entry.size
