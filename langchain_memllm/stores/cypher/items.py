"""Statements of items: JSON under a namespace and a key. ``$prefix`` is an encoded prefix (``items.encode_labels``)."""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import CYPHER

_ITEM: Final = "[i.ns, i.key, i.value, i.created_at, i.updated_at, i.ttl, i.expires_at] AS item"
_BELOW: Final = "MATCH (i:MemItem) WHERE i.ns >= $prefix AND i.ns < $end"
# A value is a property if a database can hold it; where it is not, or of another kind, the filter itself decides.
_MEETS: Final = """AND all(c IN $conditions WHERE CASE c.comparison
  WHEN '$eq' THEN coalesce(i[c.key] = c.value, true)
  WHEN '$gt' THEN coalesce(i[c.key] > c.value, true)
  WHEN '$gte' THEN coalesce(i[c.key] >= c.value, true)
  WHEN '$lt' THEN coalesce(i[c.key] < c.value, true)
  ELSE coalesce(i[c.key] <= c.value, true) END)"""
_ORDER: Final = "ORDER BY i.updated_at DESC, i.ns, i.key SKIP $skip LIMIT $limit"

ITEMS: Final = CYPHER + f"UNWIND $ids AS id MATCH (i:MemItem {{id: id}}) RETURN {_ITEM}"
LIST_ITEMS: Final = CYPHER + f"{_BELOW} {_MEETS} WITH i {_ORDER} RETURN {_ITEM}"
# With the best cosine of each item's vectors, which are one list; of those without one (or of another embedder) none.
RANK_ITEMS: Final = (
    CYPHER
    + f"""{_BELOW} {_MEETS}
WITH i, CASE WHEN i.width = $width AND i.vectors IS NOT NULL
  THEN reduce(best = -2.0, n IN range(0, size(i.vectors) / $width - 1) |
    CASE WHEN 2 * vector.similarity.cosine(i.vectors[n * $width .. (n + 1) * $width], $query) - 1 > best
      THEN 2 * vector.similarity.cosine(i.vectors[n * $width .. (n + 1) * $width], $query) - 1 ELSE best END)
  END AS score
WITH i, score ORDER BY score IS NULL, score DESC, i.updated_at DESC, i.ns, i.key SKIP $skip LIMIT $limit
RETURN {_ITEM}, score"""
)
ITEM_NAMESPACES: Final = (
    CYPHER
    + """MATCH (i:MemItem) WHERE i.ns >= '' AND ($hidden IS NULL OR i.expires_at IS NULL OR i.expires_at > $hidden)
RETURN DISTINCT i.ns AS ns"""
)
PUT_ITEMS: Final = (
    CYPHER
    + """UNWIND $items AS each
MERGE (i:MemItem {id: each.id})
WITH i, each, coalesce(i.created_at, each.props.created_at) AS created
SET i = each.props, i.created_at = created"""
)
DROP_ITEMS: Final = CYPHER + "UNWIND $ids AS id MATCH (i:MemItem {id: id}) DELETE i"
REFRESH_ITEMS: Final = (
    CYPHER + "UNWIND $items AS each MATCH (i:MemItem {id: each.id}) WHERE i.ttl IS NOT NULL SET i.expires_at = each.at"
)
SWEEP_ITEMS: Final = CYPHER + "MATCH (i:MemItem) WHERE i.expires_at <= $now DELETE i RETURN count(*) AS gone"
