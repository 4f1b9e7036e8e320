"""What recall is asked in ``bench_recall``: facts or messages, and questions with the evidence that answers them.

Everyday questions are shipped (``benchmarks/recall``); MuSiQue, LoCoMo, BEAM and Re-DocRED are read from where they
are. Nothing is fetched.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.twohop import questions, read
from langchain_memllm.chatfile import turns_in
from langchain_memllm.names import MAX_NAME
from langchain_memllm.stores.episodes import Turn

__all__ = ["Asked", "Corpus", "Item", "beam", "cited_messages", "everyday", "locomo", "musique", "two_hop"]

_LOCOMO_KINDS: Final = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop"}  # 5: has no answer
_DIALOGUE_ID: Final = re.compile(r"D:?(\d+):(\d+)")


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
        """All that it says, once."""
        said = " ".join(self.triple)
        return said if self.sentence in said else f"{said} {self.sentence}".strip()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; ``gold`` are ids of evidence, all of them wanted or any."""

    text: str
    gold: frozenset[str]
    kind: str = ""
    every: bool = True


@dataclass(slots=True)
class Corpus:
    """Facts or messages of one memory, and the questions about them."""

    name: str
    items: list[Item]
    questions: list[Asked]
    speaker: str | None = None
    shown: list[int] = field(default_factory=list)  # facts recalled for each question that has no answer


def everyday(folder: Path) -> list[Corpus]:
    """The set of ``benchmarks/recall``: 60 facts, with 500 of friends, with 250 newer ones of the user."""

    def items(name: str) -> list[Item]:
        return [
            Item((r["subject"], r["relation"], r["object"]), r["sentence"], frozenset([r["id"]]), r["said"])
            for r in json.loads((folder / name).read_text("utf-8"))
        ]

    asked = [
        Asked(q["question"], frozenset(q["gold"]), q["kind"] if q["language"] == "en" else "other languages", q["all"])
        for q in json.loads((folder / "everyday_questions.json").read_text("utf-8"))
    ]
    facts, friends, newer = items("everyday_facts.json"), items("friends.json"), items("newer.json")
    return [
        Corpus("everyday, 60 facts", facts, asked, "user"),
        Corpus("everyday, + 500 of friends", facts + friends, asked, "user"),
        Corpus("everyday, + 250 newer", facts + newer, asked, "user"),
    ]


def musique(folder: Path, distractors: Path | None) -> list[Corpus]:
    """Steps of MuSiQue's questions, all in one memory, with the facts of Re-DocRED dev where that folder is given."""
    questions: list[Asked] = []
    facts: dict[tuple[str, ...], str] = {}
    for row in _read(folder / "musique_migres.json.gz"):
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
            triple = tuple(" ".join(part.split())[:250] for part in (subject, relation, step["answer"]))
            facts.setdefault(triple, f"m{len(facts)}")
            answers.append(step["answer"])
        questions.append(Asked(row["question"], frozenset([facts[triple]]), f"{len(steps)} steps"))
    if distractors is not None:
        names = json.loads((distractors / "rel_info.json").read_text("utf-8"))
        for document in _read(distractors / "dev_revised.json.gz"):
            ends = [" ".join(entity[0]["name"].split()) for entity in document["vertexSet"]]
            for label in document["labels"]:
                facts.setdefault((ends[label["h"]], names[label["r"]], ends[label["t"]]), f"m{len(facts)}")
    items = [Item(triple, "", frozenset([number])) for triple, number in facts.items() if all(triple)]
    np.random.default_rng(3).shuffle(items)
    return [Corpus("MuSiQue", items, questions)]


def locomo(file: Path, facts: Path | None = None) -> list[Corpus]:
    """LoCoMo's observations, each conversation a memory; its questions but for those that have no answer.

    Args:
        file: The data set's own form. An observation is written as "speaker, said, sentence".
        facts: The same observations as short triples, made elsewhere: a list of ``{"id": conversation, "facts":
            {"open": [[subject, relation, object, sentence, [ids], date], ...]}}``.
    """
    said, asked = [], {}
    for sample in _read(file):
        turns = turns_in(sample, file.name)
        dates = {int(turn.thread.rsplit("_", 1)[1]): turn.at for turn in turns}
        known = frozenset().union(*(_dialogue_ids(turn.ref) for turn in turns))
        items = [
            Item((speaker, "said", sentence[:MAX_NAME]), sentence, _dialogue_ids(where), date)
            for session, date in sorted(dates.items())
            for speaker, sentences in sample["observation"].get(f"session_{session}_observation", {}).items()
            for sentence, where in sentences
        ]
        asked[sample["sample_id"]] = [
            Asked(question["question"], gold, kind)
            for question in sample["qa"]
            if (kind := _LOCOMO_KINDS.get(question["category"]))
            and (gold := _dialogue_ids(question.get("evidence")) & known)
        ]
        said.append(Corpus("LoCoMo, said", items, asked[sample["sample_id"]]))
    triples = [
        Corpus(
            "LoCoMo, triples",
            [
                Item((subject, relation, object_), sentence, frozenset(ids), date)
                for subject, relation, object_, sentence, ids, date in sample["facts"]["open"]
            ],
            asked[sample["id"]],
        )
        for sample in (_read(facts) if facts else ())
    ]
    return said + triples


def _dialogue_ids(value: object) -> frozenset[str]:
    """Ids such as D1:3, however they are nested; some hold several, one is misspelt."""
    return frozenset(f"D{int(session)}:{int(turn)}" for session, turn in _DIALOGUE_ID.findall(str(value)))


def beam(folder: Path) -> list[Corpus]:
    """BEAM's chats of the tier 100K: what the user said, each chat a memory, and the questions that cite messages."""
    corpora = []
    for path in sorted(folder.glob("100K_*.json.gz")):
        chat = _read(path)
        items = [
            Item((), turn.text, frozenset([turn.ref.rsplit("/", 1)[1]]), turn.at or None, turn)
            for turn in turns_in(chat, path.name)
            if turn.role == "user"
        ]
        asked = [
            Asked(question["question"], gold, kind.replace("_", " "))
            for kind, some in chat["questions"].items()
            for question in some
            if (gold := cited_messages(chat, question))
        ]
        corpora.append(Corpus("BEAM 100K", items, asked))
    return corpora


def cited_messages(chat: dict[str, Any], question: dict[str, Any]) -> frozenset[str]:
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


def two_hop(folder: Path) -> list[Corpus]:
    """Questions over two facts, all facts of Re-DocRED dev in one memory; the second fact is the evidence."""
    facts, names = read(folder)
    numbers = {fact: f"m{number}" for number, fact in enumerate(facts)}
    items = [Item((f.subject, names[f.relation], f.object), "", frozenset([numbers[f]])) for f in facts]
    np.random.default_rng(3).shuffle(items)
    asked = [Asked(q.text, frozenset([numbers[q.path[-1]]]), q.part) for q in questions(facts)]
    return [Corpus("two facts of Re-DocRED", items, asked)]


def _read(path: Path) -> Any:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    return found
