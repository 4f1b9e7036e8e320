"""Statements of the full check: nodes that something else wrote. They look at every node: for operators only."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import CYPHER

_NUMBERS, _TEXTS, _MAYBE, _MAYBE_NUMBERS = "INTEGER NOT NULL", "STRING NOT NULL", "STRING", "INTEGER"
# What a fact has; its order follows from its source's rank and its place.
_FACT: Final[dict[str, tuple[str, ...]]] = {
    _TEXTS: ("id", "ns", "triple", "sid", "rid", "oid", "relation", "kind", "recorded_at", "text"),
    _NUMBERS: ("seq", "ordinal", "precedence"),
    _MAYBE: ("principal", "valid_from", "valid_to", "said_at"),
}
_FACT_RULE: Final = """x.triple = x.sid + x.rid + x.oid AND (x.confidence IS :: FLOAT OR x.confidence IS :: INTEGER)
    AND x.precedence = head([i IN range(0, size($kinds) - 1) WHERE $kinds[i] = x.kind]) * 72057594037927936
      + x.seq * 4096 + x.ordinal"""
_CLOSING: Final = "x.closed_at IS :: STRING NOT NULL AND x.closed_why IN $closed"
_SHAPES: Final[dict[str, tuple[dict[str, tuple[str, ...]], str]]] = {
    "MemMeta": ({_TEXTS: ("name",), _MAYBE: ("value",)}, "true"),
    "MemNamespace": (
        {
            _TEXTS: ("id", "name", "last_at"),
            _NUMBERS: ("born", "seq", "epoch", "names", "relations", "codes", "relation_vectors"),
            _MAYBE: ("restarts", "hour"),
            _MAYBE_NUMBERS: ("statements", "characters", "untrusted", "untrusted_characters", "in_hour", "in_day"),
        },
        "true",
    ),
    "MemEntity": (
        {
            _TEXTS: ("id", "ns", "key", "name"),
            _NUMBERS: ("n", "rank"),
            _MAYBE: ("loose",),
            _MAYBE_NUMBERS: ("alias", "pending", "coded"),
        },
        "x.rank >= 0 AND x.rank <= 6",
    ),
    "MemRelation": (
        {_TEXTS: ("id", "ns", "key", "label", "type"), _NUMBERS: ("n",)},
        "x.pending IS :: BOOLEAN AND x.type =~ '[A-Z][A-Z0-9_]{0,63}'",
    ),
    "MemFact": (_FACT, _FACT_RULE + " AND NOT x:MemPast"),
    "MemPast": (
        {
            **_FACT,
            _MAYBE: (*_FACT[_MAYBE], "closed_by", "closed_source", "ended"),
            _MAYBE_NUMBERS: ("closed_seq",),
        },
        f"{_FACT_RULE} AND {_CLOSING} AND NOT x:MemFact",
    ),
    "MemSource": ({_TEXTS: ("id", "ns", "kind", "ref")}, "x.kind IN $kinds"),
    "MemOp": (
        {_TEXTS: ("id", "ns", "op_id", "payload_hash", "recorded_at", "receipt"), _NUMBERS: ("seq",)},
        "x.payload_hash =~ '[0-9a-f]{32}'",
    ),
    "MemQuarantine": (
        {
            _TEXTS: ("ns", "recorded_at", "text", "reason", "kind", "ref"),
            _NUMBERS: ("seq", "ordinal"),
            _MAYBE: ("principal",),
            _MAYBE_NUMBERS: ("turn",),
        },
        "x.kind IN $kinds",
    ),
    "MemOutbox": (
        {_TEXTS: ("id", "ns", "op_id", "place", "source", "entry"), _NUMBERS: ("version",)},
        "true",
    ),
    "MemSession": ({_TEXTS: ("id", "ns", "thread"), _NUMBERS: ("n",)}, "true"),
    "MemEpisode": ({_TEXTS: ("id", "ns", "session", "thread", "began"), _NUMBERS: ("number", "n")}, "x.number > 0"),
    "MemTurn": (
        {
            _TEXTS: (
                *("id", "uid", "ns", "session", "episode", "thread", "at", "role", "kind", "ref", "source", "scope"),
                *("scoped", "text", "tenant", "words"),
            ),
            _NUMBERS: ("place", "number"),
            _MAYBE: ("speaker",),
        },
        "x.kind IN $kinds AND x.number > 0 AND size(x.uid) = 32",
    ),
    "MemForgotten": ({_TEXTS: ("id", "ns", "uid"), _NUMBERS: ("n",)}, "true"),
    "MemRole": ({_TEXTS: ("id", "ns", "key", "role", "scope")}, "true"),
    "MemItem": (
        {
            _TEXTS: ("id", "ns", "key", "value", "created_at", "updated_at"),
            _MAYBE: ("expires_at",),
            _MAYBE_NUMBERS: ("width",),
        },
        """x.ns ENDS WITH '/' AND x.ttl IS :: FLOAT AND (x.ttl IS NULL) = (x.expires_at IS NULL)
    AND (x.width IS NULL) = (x.vectors IS NULL) AND x.vectors IS :: LIST<FLOAT NOT NULL>
    AND coalesce(x.width > 0 AND size(x.vectors) % x.width = 0, true)""",
    ),
}
# A piece of evidence: what recall reads of it.
_EVIDENCE: Final = """m.ns = x.ns AND m.ns = d.ns AND m.seq IS :: INTEGER NOT NULL AND m.ordinal IS :: INTEGER NOT NULL
    AND m.words IS :: LIST<INTEGER NOT NULL> NOT NULL AND m.said IS :: LIST<INTEGER NOT NULL>"""
# Labels with nodes that are not as this package writes them.
FOREIGN: Final = {
    label: CYPHER
    + f"MATCH (x:{label}) WHERE NOT coalesce("
    + " AND ".join(
        [f"x.{name} IS :: {kind}" for kind, names in shape.items() for name in names]
        + [f"({rule})", "size([l IN labels(x) WHERE l STARTS WITH 'Mem']) = 1"]
    )
    + ", false) RETURN count(x) AS foreign"
    for label, (shape, rule) in _SHAPES.items()
}
# The same of types of relationships.
FOREIGN_LINKS: Final = {
    "MEM_FROM": CYPHER
    + f"MATCH (x)-[m:MEM_FROM]->(d) WHERE NOT coalesce({_EVIDENCE}, false) RETURN count(m) AS foreign"
}
