"""The full check of a graph's nodes, and errors of Python that come of nodes which something else wrote.

Whoever may write to the database may put any type into any property. What reads such a node raises an error of
Python, or one of the server; either becomes ``StoreCorrupt`` with the label, if the check finds such nodes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TypeVar, cast

from langchain_memllm.errors import MemLLMError, StoreCorrupt
from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import PATIENCE, Bolt
from langchain_memllm.stores.rows import CLOSED, RESTORE
from langchain_memllm.triples import KINDS

__all__ = ["blaming", "foreign_nodes"]

_RAW: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class _Store(Protocol):
    """A store with a connection."""

    _bolt: Bolt


_Class = TypeVar("_Class", bound=type)


def foreign_nodes(bolt: Bolt) -> list[str]:
    """What there is of nodes, and of evidence, with wrong types, without properties or with two of our labels."""
    found = []
    nodes = [(f"nodes of label {label}", statement) for label, statement in cypher.FOREIGN.items()]
    links = [(f"relationships of type {kind}", statement) for kind, statement in cypher.FOREIGN_LINKS.items()]
    for what, statement in nodes + links:
        count = bolt.read(statement, {"kinds": list(KINDS), "closed": list(CLOSED)}, within=PATIENCE)[0]["foreign"]
        if count:
            found.append(f"{count} {what} are not what memllm writes; {RESTORE}")
    return found


def blaming(store: _Class) -> _Class:
    """A store class whose methods tell an error of Python as ``StoreCorrupt`` where foreign nodes are there."""
    for name, method in list(vars(store).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(store, name, _guarded(method))
    return store


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(method):

        @functools.wraps(method)
        def listed(self: _Store, *args: Any, **options: Any) -> Iterator[Any]:
            try:
                yield from method(self, *args, **options)
            except _RAW as error:
                _blame(self, error)
                raise

        return listed

    @functools.wraps(method)
    def called(self: _Store, *args: Any, **options: Any) -> Any:
        try:
            return method(self, *args, **options)
        except _RAW as error:
            _blame(self, error)
            raise

    return cast(Callable[..., Any], called)


def _blame(store: _Store, error: BaseException) -> None:
    """Raise ``StoreCorrupt`` if there are nodes that explain the error; else it is a fault of ours."""
    if isinstance(error, MemLLMError) and not isinstance(error, ValueError):
        return
    if found := foreign_nodes(store._bolt):
        raise StoreCorrupt(f"{store._bolt.location}: {found[0]}") from error
