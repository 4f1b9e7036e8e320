"""Questions over two facts of Re-DocRED, in plain words: "Where was the director of X born?" needs who directed X.

``memllm bench recall --redocred FOLDER`` asks them. Relations are split: weights may be chosen on questions whose two
relations are both "tuning", and are reported on those whose two are both "test"; mixed ones are left out. The wordings
were written for this, before anything was measured on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from langchain_memllm.names import name_key

__all__ = ["Fact", "TwoHop", "facts_of", "questions"]


class Fact(NamedTuple):
    """A triple of a document with the types of its ends."""

    subject: str
    relation: str  # Wikidata's property
    object: str
    types: tuple[str, str]


@dataclass(frozen=True, slots=True)
class TwoHop:
    """A question and the two facts that lead to its answer, the object of the second."""

    text: str
    part: str
    path: tuple[Fact, Fact]


@dataclass(frozen=True, slots=True)
class Words:
    """How a relation is put into words.

    Args:
        part: Whether it is for ``tuning`` or for ``test``.
        names: What {} leads to, as a phrase, by the types of subject and object.
        asks: A question about {}, by the type of the subject.
    """

    part: str
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_OF_A_COUNTRY: Final = frozenset({"P17", "P27", "P495"})
_WORDS: Final = {
    # people and works
    "P57": Words(
        "tuning",
        {"MISC PER": ("the director of {}", "the person who directed {}")},
        {"MISC": ("Who directed {}?", "Who was the director of {}?")},
    ),
    "P58": Words(
        "test",
        {"MISC PER": ("the screenwriter of {}", "the person who wrote the script of {}")},
        {"MISC": ("Who wrote the screenplay of {}?",)},
    ),
    "P50": Words(
        "test",
        {"MISC PER": ("the author of {}", "the person who wrote {}")},
        {"MISC": ("Who wrote {}?", "Who is the author of {}?")},
    ),
    "P86": Words(
        "tuning",
        {"MISC PER": ("the composer of {}", "the person who wrote the music of {}")},
        {"MISC": ("Who composed {}?", "Who wrote the music of {}?")},
    ),
    "P175": Words(
        "test",
        {
            "MISC PER": ("the performer of {}", "the artist behind {}"),
            "MISC ORG": ("the band behind {}", "the group that recorded {}"),
        },
        {"MISC": ("Who performed {}?", "Who is the artist behind {}?")},
    ),
    "P162": Words(
        "tuning",
        {"MISC PER": ("the producer of {}", "the person who produced {}")},
        {"MISC": ("Who produced {}?",)},
    ),
    "P170": Words(
        "tuning",
        {"MISC PER": ("the creator of {}",), "PER PER": ("the creator of {}", "the inventor of the character {}")},
        {"MISC": ("Who created {}?",), "PER": ("Who came up with the character {}?",)},
    ),
    "P161": Words("test", {"MISC PER": ("the star of {}",)}, {"MISC": ("Who starred in {}?", "Who acted in {}?")}),
    "P800": Words(
        "tuning",
        {"PER MISC": ("the best-known work of {}", "the work that {} is known for")},
        {"PER": ("What is {} best known for?", "What is a famous work of {}?")},
    ),
    "P1441": Words(
        "test",
        {"PER MISC": ("the work in which {} appears", "the story with {} in it")},
        {"PER": ("In which work does {} appear?",)},
    ),
    "P179": Words(
        "tuning",
        {"MISC MISC": ("the series that {} belongs to",)},
        {"MISC": ("Which series is {} part of?",)},
    ),
    "P155": Words(
        "tuning", {"MISC MISC": ("what came before {}", "the predecessor of {}")}, {"MISC": ("What came before {}?",)}
    ),
    "P156": Words(
        "test", {"MISC MISC": ("what came after {}", "the successor of {}")}, {"MISC": ("What followed {}?",)}
    ),
    "P577": Words("tuning", {}, {"MISC": ("When was {} released?", "When did {} come out?")}),
    "P495": Words(
        "test",
        {"MISC LOC": ("the country that {} comes from",)},
        {"MISC": ("Which country does {} come from?", "Where does {} originally come from?")},
    ),
    "P136": Words("test", {}, {"MISC": ("What genre is {}?",)}),
    "P264": Words(
        "tuning",
        {
            "MISC ORG": ("the label that released {}",),
            "PER ORG": ("the record label of {}",),
            "ORG ORG": ("the record label of {}",),
        },
        {
            "MISC": ("Which label released {}?",),
            "PER": ("Which label is {} signed to?",),
            "ORG": ("Which label is {} signed to?",),
        },
    ),
    "P449": Words(
        "test",
        {"MISC ORG": ("the channel that first showed {}", "the network of {}")},
        {"MISC": ("Which channel showed {}?",)},
    ),
    "P272": Words("tuning", {"MISC ORG": ("the studio that made {}",)}, {"MISC": ("Which studio made {}?",)}),
    # things that are made
    "P178": Words(
        "test",
        {"MISC ORG": ("the developer of {}", "the company that developed {}")},
        {"MISC": ("Who developed {}?",)},
    ),
    "P123": Words(
        "tuning",
        {"MISC ORG": ("the publisher of {}", "the company that published {}")},
        {"MISC": ("Who published {}?",)},
    ),
    "P176": Words(
        "tuning",
        {"MISC ORG": ("the manufacturer of {}", "the company that makes {}")},
        {"MISC": ("Who makes {}?", "Which company built {}?")},
    ),
    # families
    "P22": Words("tuning", {"PER PER": ("the father of {}", "{}'s father")}, {"PER": ("Who is the father of {}?",)}),
    "P25": Words("test", {"PER PER": ("the mother of {}", "{}'s mother")}, {"PER": ("Who is the mother of {}?",)}),
    "P26": Words(
        "test",
        {"PER PER": ("the spouse of {}", "the person that {} married")},
        {"PER": ("Who was {} married to?", "Who is the husband or wife of {}?")},
    ),
    "P40": Words(
        "test", {"PER PER": ("the child of {}", "{}'s child")}, {"PER": ("Who is the son or daughter of {}?",)}
    ),
    "P3373": Words(
        "tuning",
        {"PER PER": ("the sibling of {}", "the brother or sister of {}")},
        {"PER": ("Who is the brother or sister of {}?",)},
    ),
    # lives
    "P19": Words(
        "tuning",
        {"PER LOC": ("the birthplace of {}", "the place where {} was born")},
        {"PER": ("Where was {} born?", "Where does {} come from?")},
    ),
    "P20": Words(
        "test",
        {"PER LOC": ("the place where {} died",)},
        {"PER": ("Where did {} die?",)},
    ),
    "P569": Words("test", {}, {"PER": ("When was {} born?", "What is the date of birth of {}?")}),
    "P570": Words("tuning", {}, {"PER": ("When did {} die?",)}),
    "P27": Words(
        "test",
        {"PER LOC": ("the home country of {}", "the country of which {} is a citizen")},
        {"PER": ("What nationality is {}?", "Which country is {} a citizen of?")},
    ),
    "P551": Words("tuning", {"PER LOC": ("the place where {} lives",)}, {"PER": ("Where does {} live?",)}),
    "P937": Words("test", {"PER LOC": ("the place where {} worked",)}, {"PER": ("Where did {} work?",)}),
    "P69": Words(
        "tuning",
        {"PER ORG": ("the school that {} went to", "the alma mater of {}")},
        {"PER": ("Where did {} study?", "Which school did {} go to?")},
    ),
    "P108": Words(
        "tuning",
        {"PER ORG": ("the employer of {}", "the organization that {} worked for")},
        {"PER": ("Who did {} work for?",)},
    ),
    "P102": Words("test", {"PER ORG": ("the party of {}",)}, {"PER": ("Which political party does {} belong to?",)}),
    "P463": Words(
        "tuning",
        {"PER ORG": ("the group that {} belongs to",)},
        {"PER": ("Which group does {} belong to?", "What is {} a member of?")},
    ),
    "P54": Words("test", {"PER ORG": ("the team that {} played for",)}, {"PER": ("Which team did {} play for?",)}),
    "P241": Words(
        "test",
        {"PER ORG": ("the force that {} served in",)},
        {"PER": ("Which branch of the military did {} serve in?",)},
    ),
    "P607": Words("tuning", {"PER MISC": ("the war that {} fought in",)}, {"PER": ("In which war did {} fight?",)}),
    "P166": Words("tuning", {}, {"PER": ("What prize did {} win?", "Which award was given to {}?")}),
    "P140": Words("test", {}, {"PER": ("What is the religion of {}?",)}),
    "P1412": Words("tuning", {}, {"PER": ("Which language does {} speak?",)}),
    "P1344": Words("test", {"PER MISC": ("the event that {} took part in",)}, {"PER": ("What did {} take part in?",)}),
    # organizations
    "P112": Words(
        "test",
        {"ORG PER": ("the founder of {}", "the person who founded {}")},
        {"ORG": ("Who founded {}?", "Who started {}?")},
    ),
    "P488": Words("tuning", {"ORG PER": ("the chairperson of {}",)}, {"ORG": ("Who chairs {}?",)}),
    "P127": Words(
        "test",
        {"ORG ORG": ("the owner of {}",), "MISC ORG": ("the owner of {}",)},
        {"ORG": ("Who owns {}?",), "MISC": ("Who owns {}?",)},
    ),
    "P749": Words(
        "tuning",
        {"ORG ORG": ("the parent organization of {}", "the organization that {} is part of")},
        {"ORG": ("What is the parent organization of {}?",)},
    ),
    "P137": Words(
        "test",
        {"MISC ORG": ("the operator of {}",), "LOC ORG": ("the operator of {}", "the company that runs {}")},
        {"MISC": ("Who operates {}?",), "LOC": ("Who runs {}?",)},
    ),
    "P118": Words("tuning", {"ORG ORG": ("the league that {} plays in",)}, {"ORG": ("Which league does {} play in?",)}),
    "P159": Words(
        "tuning",
        {"ORG LOC": ("the place where {} has its head office",)},
        {"ORG": ("Where is {} based?", "Where does {} have its headquarters?")},
    ),
    "P740": Words("test", {"ORG LOC": ("the place where {} was formed",)}, {"ORG": ("Where did {} begin?",)}),
    "P571": Words(
        "test",
        {},
        {"ORG": ("When was {} founded?", "When did {} begin?")},
    ),
    "P576": Words("tuning", {}, {"ORG": ("When was {} dissolved?", "When did {} cease to exist?")}),
    # places
    "P36": Words("tuning", {"LOC LOC": ("the capital of {}",)}, {"LOC": ("What is the capital of {}?",)}),
    "P1376": Words(
        "test", {"LOC LOC": ("the territory whose capital is {}",)}, {"LOC": ("What is {} the capital of?",)}
    ),
    "P17": Words(
        "tuning",
        {"LOC LOC": ("the country where {} is",), "ORG LOC": ("the country where {} is based",)},
        {"LOC": ("In which country is {}?",), "ORG": ("In which country is {} based?",)},
    ),
    "P131": Words(
        "test",
        {"LOC LOC": ("the region where {} lies",), "ORG LOC": ("the place where {} stands",)},
        {"LOC": ("In which part of the country is {}?", "Which region does {} belong to?"), "ORG": ("Where is {}?",)},
    ),
    "P30": Words("test", {}, {"LOC": ("On which continent is {}?", "On which continent does {} lie?")}),
    "P37": Words("tuning", {}, {"LOC": ("What is the official language of {}?", "Which language is official in {}?")}),
    "P6": Words(
        "test",
        {"LOC PER": ("the head of government of {}",)},
        {"LOC": ("Who is the head of government of {}?", "Who governs {}?")},
    ),
    "P35": Words("tuning", {"LOC PER": ("the head of state of {}",)}, {"LOC": ("Who is the head of state of {}?",)}),
    "P194": Words("tuning", {"LOC ORG": ("the parliament of {}",)}, {"LOC": ("What is the parliament of {} called?",)}),
    "P206": Words(
        "test",
        {"LOC LOC": ("the water that {} lies on",)},
        {"LOC": ("On which river, lake or sea does {} lie?",)},
    ),
    "P403": Words("tuning", {"LOC LOC": ("the water that {} flows into",)}, {"LOC": ("Where does {} flow into?",)}),
    "P706": Words(
        "test",
        {"LOC LOC": ("the landscape where {} is",)},
        {"LOC": ("On which island, plain or mountain range is {}?",)},
    ),
    # events
    "P276": Words(
        "test",
        {"MISC LOC": ("the place of {}", "the place where {} was held")},
        {"MISC": ("Where did {} take place?",)},
    ),
    "P585": Words("tuning", {}, {"MISC": ("When did {} take place?", "When was {}?")}),
    "P580": Words("test", {}, {"MISC": ("When did {} begin?",)}),
    "P582": Words("tuning", {}, {"MISC": ("When did {} end?",)}),
}


def facts_of(documents: Iterable[Mapping[str, Any]]) -> list[Fact]:
    """The labels of Re-DocRED's documents; an entity has the name and type of its first mention."""
    found: dict[tuple[str, str, str], Fact] = {}
    for document in documents:
        ends = [(" ".join(mentions[0]["name"].split()), mentions[0]["type"]) for mentions in document["vertexSet"]]
        for label in document["labels"]:
            (subject, head), (object_, tail) = ends[label["h"]], ends[label["t"]]
            if subject and object_:
                fact = Fact(subject, label["r"], object_, (head, tail))
                found.setdefault(fact[:3], fact)
    return list(found.values())


def questions(facts: Iterable[Fact], *, each: int = 8, seed: int = 5) -> list[TwoHop]:
    """Questions whose both steps have one answer among the facts, and which no single fact answers.

    Args:
        facts: All facts of the memory that will be asked.
        each: Most questions of a pair of relations; a fact answers at most one.
        seed: Of the choice, and of the wordings.
    """
    facts = list(facts)
    countries = {name_key(fact.object) for fact in facts if fact.relation in _OF_A_COUNTRY}
    objects: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    known: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        objects[name_key(fact.subject), fact.relation].append(fact)
        known[name_key(fact.subject)].append(fact)
    chains: dict[tuple[str, str], list[tuple[Fact, Fact]]] = defaultdict(list)
    for (subject, relation), (first, *others) in objects.items():
        words = _WORDS.get(relation)
        if others or words is None or " ".join(first.types) not in words.names or not _is_telling(first, countries):
            continue
        for second in known[name_key(first.object)]:
            then = _WORDS.get(second.relation)
            if (
                then is not None
                and then.part == words.part
                and second.types[0] == first.types[1]
                and second.types[0] in then.asks
                and len(objects[name_key(second.subject), second.relation]) == 1
                and (subject, second.relation) not in objects
                and not _says(first.subject, second.object)
                and not _is_vague(second, countries)
            ):
                chains[relation, second.relation].append((first, second))
    rng, made, used = np.random.default_rng(seed), [], set()
    for (relation, then_relation), paths in sorted(chains.items()):
        kept = 0
        for place in rng.permutation(len(paths)):
            first, second = paths[place]
            if kept < each and second not in used and first not in used:
                phrase = str(rng.choice(_WORDS[relation].names[" ".join(first.types)])).format(first.subject)
                text = str(rng.choice(_WORDS[then_relation].asks[second.types[0]])).format(phrase)
                made.append(TwoHop(text, _WORDS[relation].part, (first, second)))
                used |= {first, second}
                kept += 1
    return made


def _is_vague(fact: Fact, countries: AbstractSet[str]) -> bool:
    """Whether it says of a part of a country no more than the country."""
    return fact.relation == "P131" and not countries.isdisjoint((name_key(fact.subject), name_key(fact.object)))


def _is_telling(fact: Fact, countries: AbstractSet[str]) -> bool:
    """Whether its ends are names that stand for one thing each, and the first does not give the second away."""
    whole = all(
        " " in name for name, kind in zip((fact.subject, fact.object), fact.types, strict=True) if kind == "PER"
    )
    plain = fact.subject[0].isupper() and not _says(fact.subject, fact.object)
    return whole and plain and not _is_vague(fact, countries)


def _says(name: str, other: str) -> bool:
    """Whether one of two names stands in the other."""
    one, two = name_key(name), name_key(other)
    return one in two or two in one
