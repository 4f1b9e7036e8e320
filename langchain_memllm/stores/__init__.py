"""Where memories are kept: one interface, an embedded store and Neo4j behind it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.stores.address import kind_of
from langchain_memllm.stores.interface import TripleStore

if TYPE_CHECKING:
    import neo4j

__all__ = ["TripleStore", "open_store"]


def open_store(store: str | bytes | os.PathLike[str] | neo4j.Driver | TripleStore, **options: Any) -> TripleStore:
    """Return the store that an address names.

    Args:
        store: A file path or ``":memory:"`` (embedded); ``neo4j://host``, ``bolt://host`` and their ``+s``, ``+ssc``
            forms (Neo4j; credentials from ``NEO4J_USERNAME``, ``NEO4J_PASSWORD``, ``NEO4J_DATABASE``); a
            ``neo4j.Driver``, which is not closed by the store; or a ``TripleStore``, returned as it is.
        options: Passed to the store's constructor.

    Raises:
        ConfigurationError: The address is none of these.
        StoreError: The store cannot be opened.
    """
    if isinstance(store, str | bytes | os.PathLike):
        text = os.fsdecode(store)
        if kind_of(text) == "graph":
            from langchain_memllm.stores.neo4j import Neo4jStore

            return Neo4jStore(text, **options)
        from langchain_memllm.stores.embedded import EmbeddedStore

        return EmbeddedStore(text, **options)
    if hasattr(store, "execute_query"):
        from langchain_memllm.stores.neo4j import Neo4jStore

        return Neo4jStore(cast("neo4j.Driver", store), **options)
    if hasattr(store, "transact") and hasattr(store, "lookup"):
        return store
    raise ConfigurationError(
        f"{type(store).__name__} is not a store; give a path, a URI, a neo4j.Driver or a TripleStore"
    )
