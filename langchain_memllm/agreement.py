"""What all clients of a store agree on: which relations there are, and the rules their facts follow.

The store keeps what was declared. A client reads it at its first use, and again when what it knows is older than
``FRESH`` seconds, so that it follows what others declare later without a question to the store at every call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from langchain_memllm.errors import ConfigurationError, StoreCorrupt, StoreUnavailable
from langchain_memllm.relations import Catalogue, Relation
from langchain_memllm.stores.interface import FactFilter, TripleStore
from langchain_memllm.triples import clean_name

__all__ = ["FRESH", "Meaning", "SharedRelations", "UnknownRelations", "relations_of"]

UnknownRelations = Literal["many", "one_at_a_time"]
"""How many values a relation that nobody declared holds."""

FRESH = 5.0
"""Seconds after which a client looks for relations that others declared."""

_RECORD: Final = "relations"
_MAX_RESOLVED: Final = 4096
_WAIT: Final = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Meaning:
    """A relation as queries and claims need it."""

    catalogue: Catalogue
    relation: Relation
    key: str
    inverse_key: str | None
    single_valued: bool
    narrower_keys: tuple[str, ...] = ()
    narrower_inverse_keys: tuple[str, ...] = ()
    broader_key: str | None = None
    inverse_single: bool = False  # what runs the other way holds one value: one capital of Norway, so one it is that of


class SharedRelations:
    """The relations in force: shipped, kept in the store, and declared here.

    Args:
        store: Where they are kept.
        mine: Relations to declare at the first use.
        unknown: How many values a relation holds that nobody declared: ``many``, or ``one_at_a_time``. A policy of this
            client, like the one of writing; the store keeps nothing of it.

    Raises:
        ConfigurationError: Those clash with one another or with the shipped ones; ``unknown`` is neither.
    """

    def __init__(self, store: TripleStore, mine: Iterable[Relation], unknown: UnknownRelations = "many") -> None:
        """Check what will be declared; the store is not asked yet."""
        if unknown not in get_args(UnknownRelations):
            raise ConfigurationError(f"unknown_relations {unknown!r} is unknown; use 'many' or 'one_at_a_time'")
        self._store = store
        self._unknown: UnknownRelations = unknown
        self._mine = tuple(relations_of(mine))
        self._kept: str | None = None
        self._stale_at = 0.0
        self._resolved: dict[str, Meaning] = {}
        self._keys: tuple[Catalogue | None, frozenset[str]] = (None, frozenset())
        self.catalogue = Catalogue.shipped()
        try:
            self.catalogue.declare(*self._mine)
        except ConfigurationError:
            self._read()  # what the store has kept since before a name was shipped clashes with nothing
            if not set(self._mine) <= set(self.catalogue.declared):
                raise

    def agree(self) -> None:
        """At the first use: declare what was given, and know what the store keeps."""
        self.add(self._mine)

    def refresh(self) -> None:
        """Know what others declared, if what is known is older than ``FRESH`` seconds.

        A store that is away keeps its caller waiting by its own deadline, not also by this question.
        """
        if time.monotonic() < self._stale_at:
            return
        try:
            self._read(within=_WAIT)
        except StoreUnavailable:
            self._stale_at = time.monotonic() + FRESH

    def _read(self, within: float | None = None) -> None:
        kept = self._store.record(_RECORD, within=within)
        if kept != self._kept:
            try:
                self.catalogue, self._kept = _catalogue(kept), kept
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
                raise StoreCorrupt(
                    f"the record of declared relations in {self._store.location} cannot be read "
                    f"({type(error).__name__}); restore a backup or an earlier export"
                ) from error
        self._stale_at = time.monotonic() + FRESH

    def add(self, relations: Sequence[Relation], *, kept: bool = False) -> None:
        """Declare relations for all clients; the rules that the store keeps win over silence, never over a clash.

        Those ``kept`` in an export were declared before now, so they may clash with what is shipped since; they win.

        Raises:
            ConfigurationError: One is declared with other rules, clashes with another, or has facts of another range.
        """
        while True:
            self._read()
            known = {relation.key: relation for relation in self.catalogue.declared}
            for relation in relations:
                other = known.get(relation.key)
                if other is not None and other != relation:
                    raise ConfigurationError(
                        f"relation {relation.label!r} is kept in {self._store.location} with other rules ({other}); "
                        "use those, or change them for all clients with memory.declare(relation, replace=True), "
                        "or memllm declare --replace"
                    )
            missing = [relation for relation in relations if relation.key not in known]
            if not missing or self._put(missing, kept=kept):
                return

    def replace(self, relations: Sequence[Relation]) -> None:
        """Declare relations, also with other rules than before.

        Raises:
            ConfigurationError: One clashes with another, or has facts of another range; or another client was faster.
        """
        self._read()
        if not self._put(relations):
            raise ConfigurationError("another client declared relations at the same moment; declare yours again")

    def _put(self, relations: Sequence[Relation], *, kept: bool = False) -> bool:
        """Keep these too, unless the record is no longer what was read; whether it was."""
        self._check_ranges(relations)
        grown = self.catalogue.declare(*relations, kept=kept)
        value = json.dumps(grown.as_dicts(), ensure_ascii=False, sort_keys=True)
        if self._store.put_record(_RECORD, value, expected=self._kept) != value:
            return False
        self.catalogue, self._kept = grown, value
        return True

    def _check_ranges(self, relations: Sequence[Relation]) -> None:
        """Objects are kept as names or as literals; under the other range nobody would find them again."""
        for relation in relations:
            before = self.catalogue.resolve(relation.label)
            if before.range == relation.range or before.key != relation.key:
                continue
            facts = self._store.facts(self._store.namespaces(), FactFilter(relation=before.key))
            if next(iter(facts), None) is not None:
                raise ConfigurationError(
                    f"relation {relation.label!r} cannot have the range {relation.range!r}: {self._store.location} "
                    f"holds facts of it with the range {before.range!r}, which would no longer be found by their "
                    "object; declare another label, or forget those facts and write them again afterwards"
                )

    def forget(self) -> None:
        """Drop the names that were looked up."""
        self._resolved.clear()

    def meaning(self, name: str) -> Meaning:
        """What the catalogue says of a relation's name, remembered: it is asked for with every triple and answer.

        Raises:
            InvalidTriple: The name cannot be a relation's.
        """
        meaning = self._resolved.get(name)
        if meaning is None or meaning.catalogue is not self.catalogue:
            catalogue = self.catalogue
            relation = self._resolve(clean_name(name, "relation"))
            inverse, broader = catalogue.inverse_of(relation), catalogue.broader(relation)
            meaning = Meaning(
                catalogue,
                relation,
                relation.key,
                inverse.key if inverse else None,
                relation.single_valued,
                tuple(each.key for each in catalogue.narrower(relation)),
                tuple(each.key for each in catalogue.narrower(inverse)) if inverse else (),
                broader.key if broader else None,
                inverse is not None and inverse.single_valued,
            )
            if len(self._resolved) >= _MAX_RESOLVED:
                self._resolved.clear()
            self._resolved[name] = meaning
        return meaning

    def _resolve(self, name: str) -> Relation:
        known = self.catalogue.find(name)
        return known if known is not None else Relation(name, cardinality=self._unknown)

    def barred(self, name: str) -> frozenset[str]:
        """Keys that never stand for this relation: the others of the catalogue, if it is of the catalogue itself."""
        catalogue = self.catalogue
        if catalogue.find(name) is None:
            return frozenset()
        if self._keys[0] is not catalogue:
            self._keys = (catalogue, frozenset(each.key for each in catalogue))
        return self._keys[1] - {self.meaning(name).key}


def _catalogue(kept: str | None) -> Catalogue:
    return Catalogue.from_dicts(json.loads(kept)) if kept else Catalogue.shipped()


def relations_of(given: Any) -> list[Relation]:
    """The relations that were given.

    Raises:
        ConfigurationError: One of them is something else; mostly a label.
    """
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for each in listed:
        if not isinstance(each, Relation):
            label = each if isinstance(each, str) else "lives in"
            raise ConfigurationError(
                f"{ascii(each)[:60]} is not a Relation; declare "
                f"Relation({label!r}, aliases=(…,), cardinality='one_at_a_time'), from langchain_memllm import Relation"
            )
    return listed
