"""Documents with entities and relations, as Re-DocRED and DocRED publish them, and counterfactual ones made of them.

A document here is text in natural spacing: sentences, the place of every mention, and labels that name entities by
number. Reading the files, dividing them and swapping entities is all this module does; what models are shown is in
``data``.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.relations import Catalogue
from langchain_memllm.training.spacing import natural

__all__ = ["Document", "Label", "Mention", "load_json", "read_redocred", "split", "swapped"]


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A name in a sentence: which one, from and to which character, of which entity."""

    sentence: int
    start: int
    end: int
    entity: int
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """A relation from one entity to another, and the sentences that show it; none listed: not known which."""

    head: int
    relation: str
    tail: int
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """Sentences, mentions in order of their place, types of the entities, labels."""

    title: str
    sentences: tuple[str, ...]
    mentions: tuple[Mention, ...]
    types: tuple[str, ...]
    labels: tuple[Label, ...]

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return " ".join(self.sentences)

    def offset(self, sentence: int) -> int:
        """Where a sentence begins in ``text``, in characters."""
        return sum(len(earlier) + 1 for earlier in self.sentences[:sentence])


def load_json(file: Path) -> Any:
    """The JSON of a file, gzip or not.

    Raises:
        ConfigurationError: It cannot be read as JSON.
    """
    try:
        data = file.read_bytes()
        return json.loads(gzip.decompress(data) if file.suffix == ".gz" else data)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(f"{file} cannot be read as JSON ({error}); give the file as it was published") from (
            error
        )


def read_redocred(file: Path, catalogue: Catalogue | None = None) -> list[Document]:
    """The documents of a file in the format of Re-DocRED (``sents``, ``vertexSet``, ``labels``).

    Args:
        file: JSON, gzip or not.
        catalogue: Names of the relations by their Wikidata id; DocRED's own names by default.

    Raises:
        ConfigurationError: A document without sentences, without labels, or that points to what it does not have.
    """
    relations = {relation.wikidata: relation.label for relation in catalogue or Catalogue.docred()}
    return [_document(number, data, relations) for number, data in enumerate(load_json(file))]


def _document(number: int, data: Mapping[str, Any], relations: Mapping[str | None, str]) -> Document:
    title = data.get("title", f"number {number}")
    try:
        spaced = [natural(tokens) for tokens in data["sents"]]
        if not any(sentence.text for sentence in spaced):
            raise ConfigurationError(f"document {title!r} has no sentences; take it out of the file")
        mentions = [
            _mention(number, mention, [sentence.spans for sentence in spaced], [s.text for s in spaced])
            for number, entity in enumerate(data["vertexSet"])
            for mention in entity
        ]
        types = tuple(entity[0]["type"] for entity in data["vertexSet"])
        labels = tuple(
            Label(label["h"], relations.get(label["r"], label["r"]), label["t"], tuple(label.get("evidence", ())))
            for label in data["labels"]
        )
        if any(not 0 <= end < len(types) for label in labels for end in (label.head, label.tail)):
            raise IndexError("a label names an entity that is not listed")
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(
            f"document {title!r} is not in Re-DocRED's format ({type(error).__name__}: {error}); it needs sents, "
            "vertexSet and labels (an unlabelled file cannot be trained on)"
        ) from error
    return Document(title, tuple(s.text for s in spaced), tuple(sorted(set(mentions))), types, labels)


def _mention(
    entity: int, data: Mapping[str, Any], spans: Sequence[Sequence[tuple[int, int]]], texts: Sequence[str]
) -> Mention:
    sentence, (first, last) = data["sent_id"], data["pos"]
    start, end = spans[sentence][first][0], spans[sentence][last - 1][1]
    return Mention(sentence, start, end, entity, texts[sentence][start:end])


def split(documents: Sequence[Document], first: int, seed: int = 0) -> tuple[list[Document], list[Document]]:
    """Divide by document into ``first`` and the rest, the same way for the same titles and seed.

    Raises:
        ConfigurationError: Not fewer than there are.
    """
    if not 0 < first < len(documents):
        raise ConfigurationError(f"{len(documents)} documents cannot be divided after {first}; give fewer")
    ordered = sorted(documents, key=lambda document: document.title)
    random.Random(seed).shuffle(ordered)  # noqa: S311 - reproducible, not secret
    return ordered[:first], ordered[first:]


def swapped(document: Document, others: Iterable[Document], seed: int) -> Document:
    """The same document about other entities of the same types: what it says contradicts what a model may know.

    Each entity gets the longest name of one from ``others`` that plays the same part, if there is one (what countries
    are in becomes a country); a shorter mention of a person becomes the last word of the new name, as surnames are
    used. Labels stay true, because they speak of entities.
    """
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for other in others:
        roles = _roles(other)
        for entity, name in _names(other).items():
            names[other.types[entity], roles[entity]].add(name)
            names[other.types[entity], ""].add(name)
    own = _names(document)
    draw = random.Random(f"{seed} {document.title}")  # noqa: S311
    new: dict[int, str] = {}
    roles = _roles(document)
    for entity, name in sorted(own.items()):
        taken = {*own.values(), *new.values()}
        kind = document.types[entity]
        free = sorted(names[kind, roles[entity]] - taken) or sorted(names[kind, ""] - taken)
        new[entity] = draw.choice(free) if free else name
    return _renamed(document, own, new)


def _names(document: Document) -> dict[int, str]:
    """The longest mention of each entity; the first of equal length."""
    longest: dict[int, str] = {}
    for mention in document.mentions:
        if len(mention.text) > len(longest.get(mention.entity, "")):
            longest[mention.entity] = mention.text
    return longest


def _roles(document: Document) -> list[str]:
    """What each entity is most often in the labels: the head or the tail of which relation."""
    counts: list[Counter[str]] = [Counter() for _ in document.types]
    for label in document.labels:
        counts[label.head][f"head of {label.relation}"] += 1
        counts[label.tail][f"tail of {label.relation}"] += 1
    return [max(count, key=lambda role: (count[role], role), default="") for count in counts]


def _renamed(document: Document, own: Mapping[int, str], new: Mapping[int, str]) -> Document:
    sentences, mentions = [], []
    for number, sentence in enumerate(document.sentences):
        text, done = "", 0
        for mention in (m for m in document.mentions if m.sentence == number):
            if mention.start < done:
                continue  # inside another mention, which was renamed
            name = new[mention.entity]
            if document.types[mention.entity] == "PER" and mention.text != own[mention.entity]:
                name = name.split()[-1]
            text += sentence[done : mention.start]
            mentions.append(replace(mention, start=len(text), end=len(text) + len(name), text=name))
            text, done = text + name, mention.end
        sentences.append(text + sentence[done:])
    return replace(document, sentences=tuple(sentences), mentions=tuple(mentions))
