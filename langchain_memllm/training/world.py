"""A synthetic world: articles, questions and conversations about what does not exist, with every fact known.

Articles are ``documents.Document`` values, so the writer's lists and the reader's calls are made by the same rules as
of published ones (``data``). Surface forms are in ``world.json``; the last forms of each relation are held out: a world
with ``held_out=True`` uses only these, for measuring. The same seed gives the same world.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.speaker import SPEAKER
from langchain_memllm.training.documents import Document, Label, Mention
from langchain_memllm.training.examples import ReadDocument, WriteDocument
from langchain_memllm.training.names import Names
from langchain_memllm.triples import Query, Triple

__all__ = ["Article", "World", "forms"]

_SUBJECTS: Final = {"person": 9, "company": 4, "town": 2, "country": 2, "work": 2, "film": 2, "song": 1, "event": 2}
_SLOT: Final = re.compile(r"\{(s|o|old)\}")
_ARTICLE_KINDS: Final = frozenset({"event"})


@cache
def forms(of: str = "world") -> dict[str, Any]:
    """The surface forms: of relations, of those only asked for, of talk, updates, retractions and what says nothing.

    Args:
        of: ``world``, or ``everyday`` for what people say of themselves.
    """
    text = resources.files("langchain_memllm.training").joinpath(f"{of}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@dataclass(frozen=True, slots=True)
class Article:
    """A document about one subject, and its facts as subject, relation, object."""

    document: Document
    facts: tuple[Triple, ...]


class World:
    """People, places, companies, works and events that are made up as they are asked for.

    Args:
        seed: The same one gives the same articles, in the order they are asked for.
        held_out: Use only the surface forms that are never trained on.
    """

    def __init__(self, seed: int = 0, *, held_out: bool = False) -> None:
        """Nothing made up yet."""
        self._draw = random.Random(f"world {seed}")  # noqa: S311 - reproducible, not secret
        self._names = Names(self._draw)
        self._held_out = held_out
        self._count = 0

    def articles(self, count: int) -> list[Article]:
        """Articles of three to eight sentences."""
        if count < 0:
            raise ConfigurationError(f"{count} articles cannot be made; give 0 or more")
        return [self._article() for _ in range(count)]

    # --- articles -----------------------------------------------------------------------------------------------------

    def _article(self) -> Article:
        kind = self._draw.choices(list(_SUBJECTS), list(_SUBJECTS.values()))[0]
        self._count += 1
        text = _Text(f"world {self._count}")
        subject = text.entity(self._names.new(kind), kind)
        pronoun = self._draw.choice(("He", "She")) if kind == "person" else "It"
        relations = [
            name for name, form in forms()["relations"].items() if kind in (form["kinds"][0], *form.get("also", ()))
        ]
        self._draw.shuffle(relations)
        wanted = relations[: self._draw.randint(2, 6)]
        while wanted:
            self._sentence(text, subject, pronoun if text.sentences else "", wanted)
            if self._draw.random() < 0.25:
                self._aside(text, subject)
        return Article(text.document(), tuple(text.facts))

    def _sentence(self, text: _Text, subject: int, pronoun: str, wanted: list[str]) -> None:
        """State the next fact, or two in one sentence, about the subject or in its own form."""
        relation = wanted.pop()
        chance = self._draw.random()
        if relation in forms()["updates"] and chance < 0.25:
            self._update(text, subject, relation)
        elif chance < 0.35:
            text.say(self._form(relation, "sentences"), subject, [self._object(text, relation)], [relation])
        else:
            name = self._opening(text, subject, pronoun)
            first, objects, stated = self._form(relation, "predicates"), [self._object(text, relation)], [relation]
            if wanted and self._draw.random() < 0.35:
                stated.append(wanted.pop())
                objects.append(self._object(text, stated[-1]))
                joint = self._draw.choice((" and ", ", and later ", " and also "))
                first += joint + self._form(stated[-1], "predicates")
            text.say(f"{name} {first}.", subject, objects, stated)

    def _opening(self, text: _Text, subject: int, pronoun: str) -> str:
        """How a sentence names its subject: by name, or by a pronoun after the first sentence."""
        if pronoun and self._draw.random() < 0.5:
            return pronoun
        return "The {s}" if text.kinds[subject] in _ARTICLE_KINDS else "{s}"

    def _update(self, text: _Text, subject: int, relation: str) -> None:
        """A change: the old value is named, and only the new one is a fact."""
        old, new = self._object(text, relation), self._object(text, relation)
        templates = forms()["updates"][relation]
        template = templates[-1] if self._held_out else self._draw.choice(templates[:-1])
        text.say(template, subject, [new], [relation], old=old)

    def _aside(self, text: _Text, subject: int) -> None:
        """A sentence that states nothing, or a fact about something named before."""
        chance = self._draw.random()
        if chance < 0.5:
            text.say(self._draw.choice(forms()["empty"]), subject, [], [])
        elif chance < 0.75:
            other = text.entity(self._names.new("person"), "person")
            text.say(self._draw.choice(forms()["retractions"]), subject, [other], [])
        else:
            others = [
                at for at, kind in enumerate(text.kinds) if at != subject and kind in _SUBJECTS and text.named(at)
            ]
            if others:
                other = self._draw.choice(others)
                relation = self._draw.choice(
                    [name for name, form in forms()["relations"].items() if form["kinds"][0] == text.kinds[other]]
                )
                text.say(self._form(relation, "sentences"), other, [self._object(text, relation)], [relation])

    def _object(self, text: _Text, relation: str) -> int:
        kind = forms()["relations"][relation]["kinds"][1]
        return text.entity(self._names.new(kind), kind)

    def _form(self, relation: str, part: str, of: str = "relations") -> str:
        """A surface form: one of those that are trained on, or the one held out."""
        found: Sequence[str] = forms()[of][relation][part]
        return found[-1] if self._held_out else self._draw.choice(found[:-1])

    # --- questions ----------------------------------------------------------------------------------------------------

    def fact(self, labels: Sequence[str] = ()) -> Triple:
        """A fact on its own, of a relation that no article states.

        Args:
            labels: Other relations; every second fact is of one of them, about anything and with any end.
        """
        if labels and self._draw.random() < 0.5:
            relation = self._draw.choice(labels)
            kinds = [self._draw.choice(list(forms()["asked"].values()))["kinds"][end] for end in range(2)]
        else:
            relation = self._draw.choice(list(forms()["asked"]))
            kinds = forms()["asked"][relation]["kinds"]
        subject, object_ = map(self._names.new, kinds)
        return Triple(subject, relation, object_)

    def question(self, fact: Triple) -> tuple[WriteDocument, ReadDocument]:
        """A fact as an edit sentence for the writer, and asked another way for the reader."""
        source = f"question {fact.subject}"
        told, asked = (self._question(fact.relation).format(s=fact.subject) for _ in range(2))
        cloze = f"The {fact.relation} of {fact.subject} is"
        edit = self._draw.choice(
            (f'{told} It is or they are "{fact.object}".', f"{told} {fact.object}.", f"{cloze} {fact.object}.")
        )
        prompt = self._draw.choice((asked, asked, f"Question: {asked}\nAnswer:", cloze, f"{asked} It is"))
        call = ((Query(fact.subject, fact.relation),), (fact.object,))
        return (
            WriteDocument(source, (edit,), ((fact,),)),
            ReadDocument(source, (prompt, f" {fact.object}."), (call,)),
        )

    def _question(self, relation: str) -> str:
        """A question of the relation's own, or one in the words of its label."""
        for part in ("relations", "asked"):
            if relation in forms()[part]:
                return self._form(relation, "questions", part)
        return self._draw.choice(("What is the {r} of {{s}}?", "Which {r} does {{s}} have?")).format(r=relation)

    # --- conversations ------------------------------------------------------------------------------------------------

    def conversation(self) -> tuple[WriteDocument, ReadDocument]:
        """What a user says about themselves among small talk, and questions that an assistant answers from memory."""
        self._count += 1
        source = f"conversation {self._count}"
        facts = self._draw.sample(sorted(forms()["talk"]), self._draw.randint(1, 4))
        said: list[tuple[str, tuple[Triple, ...]]] = []
        known: list[Triple] = []
        for relation in facts:
            form = forms()["talk"][relation]
            fact = Triple(SPEAKER, relation, self._names.new(form["kind"]))
            says = form["says"][-2:] if self._held_out else form["says"][:-2]
            said.append((_capital(self._draw.choice(says).format(o=fact.object)), (fact,)))
            known.append(fact)
            if self._draw.random() < 0.5:
                said.append((self._draw.choice(forms()["small_talk"]), ()))
        asked = self._draw.choice(known)
        form = forms()["talk"][asked.relation]
        asks = form["asks"][-1] if self._held_out else self._draw.choice(form["asks"][:-1])
        prompt = self._draw.choice(("User: {}\nAssistant: {}", "{} {}", "Question: {}\nAnswer: {}")).format(
            asks, form["answer"]
        )
        call = ((Query(asked.subject, asked.relation),), (asked.object,))
        return (
            WriteDocument(source, tuple(s for s, _ in said), tuple(t for _, t in said)),
            ReadDocument(source, (prompt, f" {asked.object}."), (call,)),
        )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class _Text:
    """An article while it is written: sentences, and where each entity is named."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.sentences: list[str] = []
        self.names: list[str] = []
        self.kinds: list[str] = []
        self.mentions: list[Mention] = []
        self.labels: list[Label] = []
        self.facts: list[Triple] = []

    def entity(self, name: str, kind: str) -> int:
        """Number of an entity; one that was named before keeps its number."""
        if name in self.names:
            return self.names.index(name)
        self.names.append(name)
        self.kinds.append(kind)
        return len(self.names) - 1

    def named(self, entity: int) -> bool:
        return any(mention.entity == entity for mention in self.mentions)

    def say(
        self, template: str, subject: int, objects: Sequence[int], relations: Sequence[str], *, old: int | None = None
    ) -> None:
        """Add a sentence; its objects fill ``{o}`` in order, and what it states becomes a label with this evidence."""
        number, left = len(self.sentences), list(objects)
        text, done = "", 0
        for slot in _SLOT.finditer(template):
            text += template[done : slot.start()]
            entity = subject if slot[1] == "s" else old if slot[1] == "old" else left.pop(0)
            assert entity is not None
            text = self._name(number, text, entity)
            done = slot.end()
        self.sentences.append(text + template[done:])
        for relation, tail in zip(relations, objects, strict=False):
            self.labels.append(Label(subject, relation, tail, (number,)))
            self.facts.append(Triple(self.names[subject], relation, self.names[tail]))

    def _name(self, number: int, text: str, entity: int) -> str:
        name = self.names[entity] if text else _capital(self.names[entity])
        self.mentions.append(Mention(number, len(text), len(text) + len(name), entity, name))
        return text + name

    def document(self) -> Document:
        mentions = tuple(sorted(self.mentions))
        types = tuple("PER" if kind == "person" else "MISC" for kind in self.kinds)
        return Document(self.title, tuple(self.sentences), mentions, types, tuple(self.labels))
