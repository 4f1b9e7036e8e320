"""What recall is asked: facts or messages of one memory, and questions with the evidence that answers them.

A sample is shipped. The everyday set (``benchmarks/recall``), MuSiQue, Re-DocRED, LoCoMo, BEAM and one's own chats are
read from where they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from langchain_memllm.bench.twohop import facts_of, questions
from langchain_memllm.chatfile import read_chat, read_json, turns_in
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.names import MAX_NAME
from langchain_memllm.stores.episodes import Turn

__all__ = [
    "Asked",
    "Corpus",
    "Item",
    "beam",
    "chats",
    "cited_messages",
    "everyday",
    "locomo",
    "musique",
    "sample",
    "two_hop",
    "unneeding",
]

_SAMPLE: Final = Path(__file__).parents[1] / "data" / "recall"
_LOCOMO_KINDS: Final = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}  # 5: has no answer
_DIALOGUE_ID: Final = re.compile(r"D:?(\d+):(\d+)")
_ANSWERS: Final = ("answer", "ideal_answer", "ideal_response", "ideal_summary")  # names that BEAM has for it
_LONGEST: Final = 250  # characters of a name of MuSiQue


@dataclass(frozen=True, slots=True)
class Item:
    """A fact, or a message of its own, with the ids of the evidence that it carries."""

    triple: tuple[str, ...]
    sentence: str = ""
    evidence: frozenset[str] = frozenset()
    at: str | None = None
    turn: Turn | None = None

    @property
    def text(self) -> str:
        """All that it says, once; of a message with a named speaker, who says it, too."""
        if self.turn is not None:
            return f"{self.turn.speaker}: {self.turn.text}" if self.turn.speaker else self.turn.text
        said = " ".join(self.triple)
        return said if self.sentence in said else f"{said} {self.sentence}".strip()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question.

    Args:
        id: What it is called in a report.
        text: Its words.
        gold: Ids of the evidence that answers it; none: nothing does.
        kind: What sort of question it is.
        every: Whether all of the evidence is wanted, or any.
        total: The figure in which it counts.
        answer: The answer that is expected, where the set has one.
        parts: Evidence of two things that are looked at apart: of the value that holds now and of the one before, or
            of the two sides of a contradiction; none of other questions.
    """

    id: str
    text: str
    gold: frozenset[str]
    kind: str = ""
    every: bool = True
    total: str = "all"
    answer: str = ""
    parts: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True, slots=True)
class Corpus:
    """Facts or messages of one memory, and the questions about them."""

    name: str
    items: Sequence[Item]
    questions: Sequence[Asked]
    speaker: str | None = None


def sample() -> list[Corpus]:
    """What is shipped: a part of the everyday set, and a short chat."""
    facts = everyday(_SAMPLE)
    said = chats([_SAMPLE / "chat.json"], _SAMPLE / "chat_questions.json")
    return [replace(corpus, name=f"sample: {corpus.name}") for corpus in (*facts, *said)]


def everyday(folder: Path) -> list[Corpus]:
    """Facts of a person in the form of ``benchmarks/recall``; also with those of friends and newer ones, if there are.

    Raises:
        ConfigurationError: A file cannot be read, or has another form.
    """

    def items(name: str) -> list[Item]:
        with _form(folder / name, "the everyday set"):
            return [
                Item((r["subject"], r["relation"], r["object"]), r["sentence"], frozenset([r["id"]]), r["said"])
                for r in read_json(folder / name)
            ]

    def more(name: str) -> list[Item]:
        return items(name) if (folder / name).exists() else []

    file = folder / "everyday_questions.json"
    with _form(file, "the everyday set"):
        asked = [
            Asked(
                q["id"],
                q["question"],
                frozenset(q["gold"]),
                q["kind"],
                q["all"],
                "English" if q["language"] == "en" else "other languages",
            )
            for q in read_json(file)
        ]
    facts = items("everyday_facts.json")
    known = {each for item in facts for each in item.evidence}
    for each in asked:
        if unknown := sorted(each.gold - known):
            raise ConfigurationError(
                f"question {each.id!r} of {file} is answered by {unknown[0]!r}, which is not an id in "
                "everyday_facts.json; mend one of them"
            )
    corpora = [Corpus(f"everyday, {len(facts)} facts", facts, asked, "user")]
    for others, whose in ((more("friends.json"), "of friends"), (more("newer.json"), "newer")):
        if others:
            corpora.append(Corpus(f"everyday, + {len(others)} {whose}", [*facts, *others], asked, "user"))
    return corpora


def chats(files: Sequence[Path], asked: Path) -> list[Corpus]:
    """One's own conversations, in one memory.

    Args:
        files: Conversations, in any form that ``memllm import-chat`` reads.
        asked: A list of ``{"question": …, "evidence": […], "kind": …}``. A piece of evidence is the id of a message, or
            words that a message says; all pieces are wanted. None: nothing answers the question.

    Raises:
        ConfigurationError: A file cannot be read, has another form, or a piece of evidence is in no message.
    """
    turns: dict[str, Turn] = {}
    for file in files:
        with _form(file, "a conversation"):
            turns |= {turn.id: turn for turn in read_chat(file)}
    said = [(turn, turn.ref.rsplit("/", 1)[-1], _plain(turn.text)) for turn in turns.values()]
    carried: dict[str, set[str]] = {each: set() for each in turns}
    made = []
    with _form(asked, "a list of questions"):
        for number, each in enumerate(read_json(asked), start=1):
            evidence = each["evidence"]
            if not isinstance(each["question"], str) or not isinstance(evidence, list):
                raise TypeError(f"question {number}: 'question' is a text and 'evidence' a list")
            gold = [f"{number}/{place}" for place in range(len(evidence))]
            for name, piece in zip(gold, map(str, evidence), strict=True):
                found = [turn for turn, message, _ in said if piece in (message, turn.ref)] or [
                    turn for turn, _, text in said if _plain(piece) and _plain(piece) in text
                ]
                if not found:
                    raise ConfigurationError(
                        f"question {number} of {asked}: no message has the id {piece[:60]!r} or says it; give an id, "
                        "or words as they stand in one message"
                    )
                for turn in found:
                    carried[turn.id].add(name)
            made.append(Asked(str(number), each["question"], frozenset(gold), str(each.get("kind", ""))))
    items = [Item((), "", frozenset(carried[turn.id]), turn.at or None, turn) for turn in turns.values()]
    return [Corpus(f"chats, {len(items)} messages", items, made)]


def unneeding(file: Path) -> list[Asked]:
    """Turns that state and ask nothing of a person's own: JSON lines of ``{"text": …, "states": false}``.

    Raises:
        ConfigurationError: The file cannot be read, or has another form.
    """
    with _form(file, "a list of turns"):
        texts = [str(row["text"]) for row in read_json(file) if not row["states"]]
    return [Asked(f"turns/{number}", text, frozenset(), "turn") for number, text in enumerate(texts)]


def musique(folder: Path, distractors: Path | None) -> list[Corpus]:
    """Steps of MuSiQue's questions, all in one memory, with the facts of Re-DocRED dev where that folder is given.

    Raises:
        ConfigurationError: A file cannot be read, or has another form.
    """
    asked: list[Asked] = []
    facts: dict[tuple[str, ...], str] = {}
    file = folder / "musique_migres.json.gz"
    with _form(file, "MuSiQue"):
        for row in read_json(file):
            steps, paragraphs = (
                ast.literal_eval(value) if isinstance(value := row[name], str) else value
                for name in ("question_decomposition", "paragraphs")
            )
            titles = {each["idx"]: each["title"] for each in paragraphs}
            answers: list[str] = []
            for step in steps:
                words = step["question"].rstrip("?").strip()
                for place, answer in enumerate(answers, 1):
                    words = words.replace(f"#{place}", answer)
                subject, relation = (
                    (part.strip() for part in words.split(">>", 1))
                    if ">>" in words
                    else (titles[step["paragraph_support_idx"]], words)
                )
                triple = tuple(" ".join(part.split())[:_LONGEST] for part in (subject, relation, step["answer"]))
                facts.setdefault(triple, f"m{len(facts)}")
                answers.append(step["answer"])
            gold = frozenset([facts[triple]])
            asked.append(Asked(str(len(asked) + 1), row["question"], gold, f"{len(steps)} steps"))
    if distractors is not None:
        documents, names = _redocred(distractors)
        with _form(distractors, "Re-DocRED"):
            for document in documents:
                ends = [" ".join(entity[0]["name"].split()) for entity in document["vertexSet"]]
                for label in document["labels"]:
                    facts.setdefault((ends[label["h"]], names[label["r"]], ends[label["t"]]), f"m{len(facts)}")
    items = [Item(triple, "", frozenset([number])) for triple, number in facts.items() if all(triple)]
    return [Corpus("MuSiQue", _shuffled(items), asked)]


def two_hop(folder: Path) -> list[Corpus]:
    """Questions over two facts, all facts of Re-DocRED dev in one memory; the second fact is the evidence.

    Raises:
        ConfigurationError: A file cannot be read, or has another form.
    """
    documents, names = _redocred(folder)
    with _form(folder, "Re-DocRED"):
        facts = facts_of(documents)
        numbers = {fact: f"m{number}" for number, fact in enumerate(facts)}
        items = [Item((f.subject, names[f.relation], f.object), "", frozenset([numbers[f]])) for f in facts]
        asked = [
            Asked(str(place), each.text, frozenset([numbers[each.path[-1]]]), total=each.part)
            for place, each in enumerate(questions(facts), start=1)
        ]
    return [Corpus("two facts of Re-DocRED", _shuffled(items), asked)]


def locomo(file: Path, facts: Path | None = None) -> list[Corpus]:
    """LoCoMo's observations, its messages, and both, each conversation a memory; its questions that have an answer.

    Args:
        file: The data set's own form. An observation is written as "speaker, said, sentence".
        facts: The same observations as short triples, made elsewhere: a list of ``{"id": conversation, "facts":
            {"open": [[subject, relation, object, sentence, [ids], date], ...]}}``.

    Raises:
        ConfigurationError: A file cannot be read, or has another form.
    """
    said, messages, both, asked = [], [], [], {}
    with _form(file, "LoCoMo"):
        for sample in read_json(file):
            turns = turns_in(sample, file.name)
            dates = {int(turn.thread.rsplit("_", 1)[1]): turn.at for turn in turns}
            known = frozenset().union(*(_dialogue_ids(turn.ref) for turn in turns))
            items = [
                Item((speaker, "said", sentence[:MAX_NAME]), sentence, _dialogue_ids(where), date)
                for session, date in sorted(dates.items())
                for speaker, sentences in sample["observation"].get(f"session_{session}_observation", {}).items()
                for sentence, where in sentences
            ]
            name = sample["sample_id"]
            asked[name] = [
                Asked(f"{name}/{number}", question["question"], gold, kind, answer=str(question.get("answer", "")))
                for number, question in enumerate(sample["qa"])
                if (kind := _LOCOMO_KINDS.get(question["category"]))
                and (gold := _dialogue_ids(question.get("evidence")) & known)
            ]
            said.append(Corpus("LoCoMo, said", items, asked[name]))
            facts_of_turns = items
            items = [Item((), "", _dialogue_ids(turn.ref), turn.at or None, turn) for turn in turns]
            messages.append(Corpus("LoCoMo, messages", items, asked[name]))
            both.append(Corpus("LoCoMo, messages with their facts", [*items, *facts_of_turns], asked[name]))
    if facts is None:
        return said + messages + both
    with _form(facts, "LoCoMo's observations as triples"):
        triples = [
            Corpus(
                "LoCoMo, triples",
                [
                    Item((subject, relation, object_), sentence, frozenset(ids), date)
                    for subject, relation, object_, sentence, ids, date in sample["facts"]["open"]
                ],
                asked[sample["id"]],
            )
            for sample in read_json(facts)
        ]
    return said + messages + both + triples


def _dialogue_ids(value: object) -> frozenset[str]:
    """Ids such as D1:3, however they are nested; some hold several, one is misspelt."""
    return frozenset(f"D{int(session)}:{int(turn)}" for session, turn in _DIALOGUE_ID.findall(str(value)))


def beam(folder: Path, tiers: Sequence[str] = ("100K", "500K")) -> list[Corpus]:
    """BEAM's chats: what the user said, each chat a memory, and the questions that cite messages.

    Args:
        folder: Holds ``100K_*.json.gz`` and, if they are to be asked, ``500K_*.json.gz``.
        tiers: Which of them.

    Raises:
        ConfigurationError: There are none, or one cannot be read or has another form.
    """
    corpora = [_beam_chat(path, f"BEAM {tier}") for tier in tiers for path in sorted(folder.glob(f"{tier}_*.json.gz"))]
    if not corpora:
        raise ConfigurationError(f"{folder} holds no 100K_*.json.gz; give the folder of BEAM's chats")
    return corpora


def _beam_chat(path: Path, name: str) -> Corpus:
    with _form(path, "BEAM"):
        chat = read_json(path)
        items = [
            Item((), "", frozenset([turn.ref.rsplit("/", 1)[1]]), turn.at or None, turn)
            for turn in turns_in(chat, path.name)
            if turn.role == "user"
        ]
        asked = [
            Asked(
                f"{path.name.split('.')[0]}/{kind}/{number}",
                question["question"],
                gold,
                kind.replace("_", " "),
                answer=next((str(question[name]) for name in _ANSWERS if question.get(name)), ""),
                parts=_parts(chat, question, kind),
            )
            for kind, some in chat["questions"].items()
            for number, question in enumerate(some)
            if (gold := cited_messages(chat, question))
        ]
    return Corpus(name, items, asked)


_PARTS: Final = {
    "knowledge_update": ("updated_info", "original_info"),
    "contradiction_resolution": ("first_statement", "second_statement"),
}


def _parts(chat: Mapping[str, Any], question: Mapping[str, Any], kind: str) -> tuple[frozenset[str], ...]:
    """Messages that say the new value alone and those that say the old one alone, or each side of a contradiction."""
    cited = question.get("source_chat_ids")
    if kind not in _PARTS or not isinstance(cited, dict):
        return ()
    one, other = (cited_messages(chat, {"source_chat_ids": cited.get(name)}) for name in _PARTS[kind])
    return (one - other, other - one) if one - other and other - one else ()


def cited_messages(chat: Mapping[str, Any], question: Mapping[str, Any]) -> frozenset[str]:
    """Ids of the user's messages that a question of BEAM cites; one of the assistant's stands for that before it."""
    messages = chat["messages"]
    places = {message["id"]: place for place, message in enumerate(messages)}
    cited = set()
    for number in _numbers(question.get("source_chat_ids")):
        place = places.get(number, -1)
        while place >= 0 and messages[place]["role"] != "user":
            place -= 1
        if place >= 0:
            cited.add(str(messages[place]["id"]))
    return frozenset(cited)


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _numbers(each)
    elif isinstance(value, int):
        yield value


def _redocred(folder: Path) -> tuple[Any, Any]:
    """Documents of Re-DocRED dev, and the names of its relations."""
    return read_json(folder / "dev_revised.json.gz"), read_json(folder / "rel_info.json")


def _shuffled(items: list[Item]) -> list[Item]:
    """In an order that tells nothing, the same each time."""
    np.random.default_rng(3).shuffle(items)
    return items


def _plain(text: str) -> str:
    """Text without its case and line breaks."""
    return " ".join(text.casefold().split())


@contextmanager
def _form(path: Path, name: str) -> Iterator[None]:
    """What is not as expected in a file is an error of it, and names the file."""
    try:
        yield
    except ConfigurationError as error:
        if str(path) in str(error):
            raise
        raise ConfigurationError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, SyntaxError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError(
            f"{path} does not have the form of {name} ({what}); docs/recall.md says which form that is"
        ) from error
