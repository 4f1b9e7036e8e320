"""What nodes and relationships of a Neo4j graph are called: ids made from keys, types made from relations."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from typing import Final

from langchain_memllm.relations import Catalogue
from langchain_memllm.stores.embedded import encode_namespace
from langchain_memllm.stores.items import encode_labels
from langchain_memllm.triples import Namespace

__all__ = ["FALLBACK_TYPE", "Ids", "ids_of", "item_id", "view_type"]

FALLBACK_TYPE: Final = "RELATED_TO"
"""Type of the readable relationship of a relation that nobody declared; its label is in the property ``relation``."""

_TYPE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class Ids:
    """Ids of one namespace's nodes: 22 characters from a hash over the namespace and the key.

    A client can work them out without asking, they are short whatever the name, and no key of one namespace can meet
    a node of another.
    """

    def __init__(self, namespace: Namespace) -> None:
        """Ids for a namespace."""
        self.namespace = namespace
        self.label = encode_namespace(namespace)
        self.ns = _short("namespace", self.label)

    def name(self, key: str) -> str:
        """Id of a name or literal."""
        return _short(self.ns, "name", key)

    def relation(self, key: str) -> str:
        """Id of a relation."""
        return _short(self.ns, "relation", key)

    def triple(self, keys: tuple[str, str, str]) -> str:
        """What an open fact is unique by: the ids of its subject, relation and object."""
        return self.name(keys[0]) + self.relation(keys[1]) + self.name(keys[2])

    def source(self, kind: str, ref: str) -> str:
        """Id of a source."""
        return _short(self.ns, "source", kind, ref)

    def operation(self, op_id: str) -> str:
        """Id of an operation."""
        return _short(self.ns, "operation", op_id)

    def outbox(self, op_id: str) -> str:
        """Id of what waits to become an operation."""
        return _short(self.ns, "outbox", op_id)

    def session(self, thread: str) -> str:
        """Id of a session."""
        return _short(self.ns, "session", thread)

    def episode(self, thread: str, number: int) -> str:
        """Id of an episode of a session."""
        return _short(self.ns, "episode", thread, str(number))

    def turn(self, turn_id: str) -> str:
        """Id of a turn."""
        return _short(self.ns, "turn", turn_id)

    def role(self, role: str) -> str:
        """Id of a role."""
        return _short(self.ns, "role", role)

    def scope(self, scope: str) -> str:
        """Id of a scope."""
        return _short(self.ns, "scope", scope)


def item_id(labels: tuple[str, ...], key: str) -> str:
    """Id of an item of LangGraph's store (``stores.items``), whose namespaces are not those of memories."""
    return _short("item", encode_labels((*labels, key)))


@lru_cache(maxsize=1024)
def ids_of(namespace: Namespace) -> Ids:
    """Ids for a namespace, worked out once."""
    return Ids(namespace)


def _short(*parts: str) -> str:
    digest = hashlib.blake2b("\x1e".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode("ascii")


def view_type(label: str, declared: str | None) -> str:
    """Type of the readable relationship of a relation: ``LIVES_IN`` if it is shipped or declared, else the fallback.

    Types are visible to all tenants of a database and are never freed, so texts do not become types.
    """
    relation = Catalogue.shipped().find(label)
    if relation is None and declared is not None:
        relation = Catalogue.from_dicts(json.loads(declared)).find(label)
    name = re.sub(r"[^A-Z0-9]+", "_", relation.label.upper()).strip("_") if relation is not None else ""
    return name if _TYPE.fullmatch(name) else FALLBACK_TYPE
