"""The relation catalogue: what a relation is called, what runs the other way, and how many values it holds.

Names are found by label or alias, exactly; never by similarity, because "likes" and "dislikes" embed close together.
The shipped catalogue holds the relations of DocRED, which the paper's models are trained on (arXiv 2404.11672,
section 4), and everyday relations of conversations; what DocRED calls employer is here another name of works for. Users
declare their own beside it. Knows no store and no model.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Final, Literal, get_args

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.names import word_key
from langchain_memllm.triples import clean_name, literal_key, name_key

__all__ = ["Cardinality", "Catalogue", "Range", "Relation", "share_a_stem", "trained_label"]

Range = Literal["entity", "literal"]
Cardinality = Literal["many", "one", "one_at_a_time"]


@dataclass(frozen=True, slots=True)
class Relation:
    """A kind of statement and the rules its facts follow.

    Args:
        label: Its name, as facts show it.
        wikidata: Wikidata property id, if it is one ("P19").
        aliases: Other names of the same relation, read in the same direction; duplicates are dropped.
        inverse: Label of the relation that says the same from the object's end; its own label if symmetric.
        range: ``literal`` if objects are dates, numbers or codes, compared exactly; otherwise ``entity``.
        cardinality: ``many`` objects at once, ``one`` for ever (date of birth) or ``one_at_a_time`` (lives in).
        broader: Label of the relation that says the same with less detail (child, for son): who asks for a child is
            told of sons.

    Raises:
        InvalidTriple: A label, alias or inverse that cannot be a name.
        ConfigurationError: An unknown range or cardinality, aliases given as one text, or a literal with an inverse.
    """

    label: str
    wikidata: str | None = None
    aliases: tuple[str, ...] = ()
    inverse: str | None = None
    range: Range = "entity"
    cardinality: Cardinality = "many"
    broader: str | None = None

    def __post_init__(self) -> None:
        """Clean the names and check the rules."""
        object.__setattr__(self, "label", clean_name(self.label, "relation"))
        given: object = self.aliases
        if isinstance(given, str):
            raise ConfigurationError(f"aliases of relation {self.label!r} are one text; pass a tuple: ({given!r},)")
        aliases = {word_key(name): name for name in reversed([clean_name(a, "alias") for a in self.aliases])}
        aliases.pop(word_key(self.label), None)
        object.__setattr__(self, "aliases", tuple(reversed(aliases.values())))
        for part in ("inverse", "broader"):
            if (name := getattr(self, part)) is not None:
                object.__setattr__(self, part, clean_name(name, part))
        for part, allowed in (("range", get_args(Range)), ("cardinality", get_args(Cardinality))):
            if (value := getattr(self, part)) not in allowed:
                raise ConfigurationError(
                    f"{part} {value!r} of relation {self.label!r} is unknown; use one of {', '.join(allowed)}"
                )
        if self.range == "literal" and self.inverse is not None:
            raise ConfigurationError(
                f"relation {self.label!r} has literal objects, so it cannot have the inverse {self.inverse!r}; drop one"
            )

    @property
    def key(self) -> str:
        """Key of the label, as facts are stored under."""
        return name_key(self.label)

    @property
    def single_valued(self) -> bool:
        """Whether a subject has at most one object of this relation at a time."""
        return self.cardinality != "many"

    def object_key(self, name: str) -> str:
        """Key of a cleaned object of this relation: exact for literals, case-folded for names."""
        return literal_key(name) if self.range == "literal" else name_key(name)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; what has its default value is left out."""
        data: dict[str, Any] = {"label": self.label}
        if self.wikidata is not None:
            data["wikidata"] = self.wikidata
        if self.range != "entity":
            data["range"] = self.range
        if self.cardinality != "many":
            data["cardinality"] = self.cardinality
        if self.inverse is not None:
            data["inverse"] = self.inverse
        if self.aliases:
            data["aliases"] = list(self.aliases)
        if self.broader is not None:
            data["broader"] = self.broader
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Relation:
        """Inverse of ``as_dict``.

        Raises:
            ConfigurationError: A key is missing or unknown, or a value cannot be used.
        """
        try:
            return cls(**{**data, "aliases": data.get("aliases", ())})
        except TypeError as error:
            raise ConfigurationError(
                f"a relation cannot be read from the keys {sorted(data)}: {error}; it has label, wikidata, aliases, "
                "inverse, range, cardinality, broader"
            ) from error


class Catalogue:
    """Relations that can be found by label or alias. Immutable: ``declare`` returns a new catalogue.

    Lookup ignores letter case and how the words are joined: ``lives_in``, ``lives-in``, ``livesIn`` are ``lives in``.

    Args:
        relations: The relations, in the order they are listed.

    Raises:
        ConfigurationError: Two relations share a name, or two inverses contradict each other.
    """

    __slots__ = ("_base", "_by_label", "_by_name", "_declared", "_inverses", "_joined", "_narrower")

    def __init__(self, relations: Iterable[Relation] = ()) -> None:
        """Index the relations by every name."""
        self._by_label: dict[str, Relation] = {}
        for relation in relations:
            if word_key(relation.label) in self._by_label:
                raise ConfigurationError(f"relation {relation.label!r} is given twice; keep one of the two")
            self._by_label[word_key(relation.label)] = relation
        self._by_name = _index_names(self._by_label)
        self._joined = _index_joined(self._by_name)
        self._inverses = _index_inverses(self._by_label, self._by_name)
        self._narrower = _index_narrower(self._by_label, self._by_name)
        self._base: tuple[Relation, ...] = tuple(self._by_label.values())
        self._declared: tuple[Relation, ...] = ()

    @staticmethod
    @functools.cache
    def shipped() -> Catalogue:
        """The catalogue that comes with the package (``data/relations.json``); read once."""
        return Catalogue(relation for relation, twin_of in _read() if twin_of is None)

    @staticmethod
    @functools.cache
    def docred() -> Catalogue:
        """The relations as DocRED tells them apart, which is how the local models were trained and are measured.

        Its ``employer`` and ``residence`` cover present and past; in the shipped catalogue they are names of
        ``works for`` and ``lives in``. What is stored goes by the shipped one.
        """
        told_apart = [relation for relation, twin_of in _read() if twin_of is not None]
        taken = {word_key(relation.label) for relation in told_apart} | _aliases(told_apart)
        return Catalogue(
            relation if twin_of is not None else _without(relation, taken)
            for relation, twin_of in _read()
            if twin_of is not None or word_key(relation.label) not in taken
        )

    def find(self, name: str) -> Relation | None:
        """The relation with this label or alias, or None. Never the most similar one."""
        key = word_key(name)
        return self._by_name.get(key) or self._joined.get(key)

    def resolve(self, name: str) -> Relation:
        """The relation with this label or alias, else a new one of that name (many values, entities).

        Raises:
            InvalidTriple: The name cannot be a relation's.
        """
        return self.find(name) or Relation(label=name)

    def inverse_of(self, relation: Relation) -> Relation | None:
        """The relation that says the same from the object's end, whichever of the two named the other."""
        label = self._inverses.get(word_key(relation.label), relation.inverse)
        return None if label is None else self.resolve(label)

    def narrower(self, relation: Relation) -> tuple[Relation, ...]:
        """The relations that answer for this one too (son and daughter for child), directly or not."""
        return self._narrower.get(word_key(relation.label), ())

    def broader(self, relation: Relation) -> Relation | None:
        """The relation that says the same with less detail, if it has objects of the same range."""
        general = None if relation.broader is None else self.resolve(relation.broader)
        return general if general is not None and general.range == relation.range else None

    def offered(self) -> tuple[str, ...]:
        """Labels to offer to a model that writes facts: one for each meaning, no aliases."""
        return tuple(relation.label for relation in self)

    def declare(self, *relations: Relation, kept: bool = False) -> Catalogue:
        """A new catalogue with these relations too; one with a label already known replaces it.

        A name that was an alias of a shipped relation is from now on that of the declared one.

        Args:
            relations: What to declare.
            kept: They were declared before now, and a store or an export kept them: where an alias is the label of a
                shipped relation, which must be a later one, it takes that name too.

        Raises:
            ConfigurationError: An alias is the label of another relation, a name belongs to another declared one, or an
                inverse contradicts another's.
        """
        if not relations:  # as at most openings of a memory: to index some hundred names anew takes 8 ms
            return self
        new = {word_key(relation.label): relation for relation in relations}
        declared = {word_key(relation.label): relation for relation in self._declared} | new
        taken = declared.keys() | _aliases(declared.values())
        gone = _aliases([*self._declared, *(new.values() if kept else ())]) - declared.keys()
        base = {
            key: _without(relation, taken) for relation in self._base if (key := word_key(relation.label)) not in gone
        }
        catalogue = Catalogue({**base, **declared}.values())
        catalogue._base, catalogue._declared = self._base, tuple(declared.values())
        return catalogue

    @property
    def declared(self) -> tuple[Relation, ...]:
        """The relations added by ``declare``, in that order."""
        return self._declared

    def as_dicts(self) -> list[dict[str, Any]]:
        """The declared relations, JSON-ready; what a store keeps so that every client applies the same rules."""
        return [relation.as_dict() for relation in self._declared]

    @classmethod
    def from_dicts(cls, data: Iterable[Mapping[str, Any]]) -> Catalogue:
        """The shipped catalogue with the declared relations that ``as_dicts`` gave."""
        return cls.shipped().declare(*map(Relation.from_dict, data), kept=True)

    def __contains__(self, name: object) -> bool:
        """Whether a relation has this label or alias."""
        return isinstance(name, str) and self.find(name) is not None

    def __iter__(self) -> Iterator[Relation]:
        """Iterate over the relations."""
        return iter(self._by_label.values())

    def __len__(self) -> int:
        """Number of relations."""
        return len(self._by_label)


def share_a_stem(text: str, *phrases: str) -> bool:
    """Whether a text holds a word of a phrase, in any form that begins alike: "live", "lives"."""
    words = set(_WORD.findall(word_key(text))) - _EMPTY_WORDS
    asked = {word for phrase in phrases for word in _WORD.findall(word_key(phrase))} - _EMPTY_WORDS
    stems = {word[:_STEM] for word in asked if len(word) >= _STEM}
    return bool(words & asked) or any(word[:_STEM] in stems for word in words if len(word) >= _STEM)


_WORD: Final = re.compile(r"\w{3,}")
_STEM: Final = 4  # letters in which two forms of a word agree
_EMPTY_WORDS: Final = frozenset(
    re.findall(r"\w+", "the and for with has have had was were are its his her our your from that this about")
)


@functools.cache
def trained_label(label: str) -> str:
    """What the local models call a relation of the shipped catalogue: ``employer`` for ``works for``."""
    docred = {relation.label for relation in Catalogue.docred() if relation.wikidata is not None}
    twins = {twin_of: relation.label for relation, twin_of in _read() if twin_of is not None}
    return label if label in docred else twins.get(label, label)


def _read() -> list[tuple[Relation, str | None]]:
    """The shipped relations, each with the one that it is another name of, if DocRED alone tells the two apart."""
    text = resources.files("langchain_memllm").joinpath("data", "relations.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return [
        (Relation.from_dict({key: value for key, value in entry.items() if key != "twin_of"}), entry.get("twin_of"))
        for entry in data["docred"] + data["everyday"]
    ]


def _aliases(relations: Iterable[Relation]) -> set[str]:
    return {word_key(alias) for relation in relations for alias in relation.aliases}


def _without(relation: Relation, taken: AbstractSet[str]) -> Relation:
    """The relation without the aliases that are names of another one."""
    aliases = tuple(alias for alias in relation.aliases if word_key(alias) not in taken)
    return relation if aliases == relation.aliases else replace(relation, aliases=aliases)


def _index_names(by_label: Mapping[str, Relation]) -> dict[str, Relation]:
    by_name = dict(by_label)
    for relation in by_label.values():
        for alias in relation.aliases:
            other = by_name.setdefault(word_key(alias), relation)
            if other is not relation:
                raise ConfigurationError(
                    f"{alias!r} cannot be an alias of relation {relation.label!r}: it is a name of {other.label!r}; "
                    f"leave it out, or declare {other.label!r} again without it"
                )
    return by_name


def _index_joined(by_name: Mapping[str, Relation]) -> dict[str, Relation]:
    """The relations by their names without spaces: what joins the words of a name may not be seen."""
    joined: dict[str, Relation] = {}
    for key, relation in by_name.items():
        joined.setdefault(key.replace(" ", ""), relation)
    return joined


def _index_inverses(by_label: Mapping[str, Relation], by_name: Mapping[str, Relation]) -> dict[str, str]:
    """Label key to inverse label, for both ends of every pair."""
    inverses: dict[str, str] = {}
    for relation in by_label.values():
        if relation.inverse is None:
            continue
        known = by_name.get(word_key(relation.inverse))
        other = relation.inverse if known is None else known.label
        if known is not None and known.range == "literal":
            raise ConfigurationError(
                f"relation {relation.label!r} cannot be the inverse of {other!r}, which has literal objects"
            )
        for name, partner in ((relation.label, other), (other, relation.label)):
            earlier = inverses.setdefault(word_key(name), partner)
            if word_key(earlier) != word_key(partner):
                raise ConfigurationError(
                    f"relation {name!r} has two inverses, {earlier!r} and {partner!r}; declare it with one of them"
                )
    return inverses


def _index_narrower(
    by_label: Mapping[str, Relation], by_name: Mapping[str, Relation]
) -> dict[str, tuple[Relation, ...]]:
    """Label key of a general relation to all that answer for it; those of another range cannot, nor itself."""
    direct: dict[str, list[Relation]] = {}
    for relation in by_label.values():
        if relation.broader is None:
            continue
        general = by_name.get(word_key(relation.broader), Relation(relation.broader))
        if general.range == relation.range:
            direct.setdefault(word_key(general.label), []).append(relation)
    found = {}
    for key in direct:
        under: dict[str, Relation] = {}
        rest = list(direct[key])
        while rest:
            relation = rest.pop(0)
            label = word_key(relation.label)
            if label not in under and label != key:
                under[label] = relation
                rest += direct.get(label, [])
        found[key] = tuple(under.values())
    return found
