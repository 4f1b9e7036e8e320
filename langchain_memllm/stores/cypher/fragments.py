"""Pieces that statements of several kinds share, and how they are put together; private to this package."""

from __future__ import annotations

import re
from typing import Final, LiteralString

Statement = LiteralString

CYPHER: Final = "CYPHER 5 "


def _with(text: LiteralString, **parts: str) -> str:
    """A statement with its ``<PARTS>`` filled in; only literals of this module meet here."""
    for name, part in parts.items():
        text = text.replace(f"<{name}>", part)
    return text


def _columns(row: LiteralString, *columns: str, start: int = 0) -> str:
    """Properties from a list: ``id: f[0], sid: f[1]``."""
    return ", ".join(f"{column}: {row}[{place}]" for place, column in enumerate(columns, start))


def _in_one(text: str) -> str:
    """The statement with all its parameters in one map, ``$p``.

    The server plans a statement anew for each combination of types and magnitudes of its parameters (lists of none,
    one, less than ten, less than a hundred …). Planning a write takes it a second or more; one map is one combination.
    """
    return re.sub(r"\$([a-z_]+)", r"$p.\1", text)


# A vector from a parameter: text with numbers, from a client or to a server that knows no Bolt vectors.
_FLOATS: Final = "CASE WHEN <V> IS :: STRING THEN [t IN split(<V>, ' ') | toFloat(t)] ELSE <V> END"

# A fact as a list, in the order ``neo4j.fact_of`` reads it; ``subject`` and ``object`` are the names' spellings.
_FACT: Final = """[x.id, subject, x.relation, object, x.seq, x.ordinal, x.recorded_at, x.kind, x.principal,
    x.confidence, x.valid_from, x.valid_to, x.closed_at, x.closed_by, x.closed_why,
    coalesce(x.said_at, x.recorded_at)]"""
# What answers consist of: how fact ``x`` was found, by which name, and the fact, as one text that ``neo4j.row_of``
# takes apart: a client unpacks one text in the time of one of its 17 parts. The principal comes last, since any sign
# but NUL may be in it; no other part holds a unit separator. <CLOSED> is empty for an open fact.
_ROW: Final = """<HOW> + k.name + '\\u001f' + x.id + '\\u001f' + subject + '\\u001f' + x.relation + '\\u001f' + object
    + '\\u001f' + x.seq + '\\u001f' + x.ordinal + '\\u001f' + x.recorded_at + '\\u001f' + x.kind
    + '\\u001f' + coalesce(toString(x.confidence), '') + '\\u001f' + coalesce(x.valid_from, '')
    + '\\u001f' + coalesce(x.valid_to, '') + <CLOSED>
    + '\\u001f' + coalesce(x.said_at, x.recorded_at) + coalesce('\\u001f' + x.principal, '')"""
_OPEN_ROW: Final = _ROW.replace("<CLOSED>", "'\\u001f\\u001f\\u001f'")
_ANY_ROW: Final = _ROW.replace(
    "<CLOSED>",
    """'\\u001f' + coalesce(x.closed_at, '') + '\\u001f' + coalesce(x.closed_by, '') + '\\u001f'
    + coalesce(x.closed_why, '')""",
)
# From fact ``x`` and the name ``k`` it was found by, the name at its other end and both spellings.
_ENDS: Final = """
  WITH *, x.sid = k.id AS forward
  MATCH (y:MemEntity {id: CASE WHEN forward THEN x.oid ELSE x.sid END})
  WITH *, CASE WHEN forward THEN k.name ELSE y.name END AS subject,
    CASE WHEN forward THEN y.name ELSE k.name END AS object"""
# The names with the ids ``q.names`` (in that order) and the other names of their alias classes.
_MEMBERS: Final = """
CALL (q) {
  UNWIND range(0, size(q.names) - 1) AS j
  MATCH (k:MemEntity {id: q.names[j]}) USING INDEX SEEK k:MemEntity(id)
  WITH k ORDER BY j RETURN collect(k) AS exact }
CALL (exact) {
  UNWIND range(0, size(exact) - 1) AS j WITH exact, j, exact[j] AS k
  MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = k.ns AND m.alias = k.alias AND NOT m IN exact
  WITH m, min(j) AS j ORDER BY j, m.n RETURN collect(m) AS others }"""
# Either kind of fact by id.
_EITHER: Final = """
CALL (id) { MATCH (x:MemFact {id: id}) RETURN x UNION ALL MATCH (x:MemPast {id: id}) RETURN x }"""
# The name ``e`` and the other names of its alias class, as ``m``.
_CLASS: Final = """
CALL (e) {
  RETURN e AS m
  UNION
  MATCH (m:MemEntity) USING INDEX SEEK m:MemEntity(ns, alias) WHERE m.ns = e.ns AND m.alias = e.alias RETURN m }
"""
# Open facts ``x`` of name ``k`` on ``side``, of relation ``rid`` or (null) any, best first. A branch that does not
# apply gets a null key, so its seek finds nothing; all index columns are in the order, so that LIMIT reads lazily.
_OPEN: Final = """
  CALL (k, side, rid) {
    WITH rid, CASE WHEN side = 'subject' AND rid IS NOT NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
    WHERE x.sid = key AND x.rid = rid AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.sid DESC, x.rid DESC, x.precedence DESC LIMIT $more
    UNION ALL
    WITH rid, CASE WHEN side = 'object' AND rid IS NOT NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(oid, rid, precedence)
    WHERE x.oid = key AND x.rid = rid AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.oid DESC, x.rid DESC, x.precedence DESC LIMIT $more
    UNION ALL
    WITH CASE WHEN side = 'subject' AND rid IS NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(sid, rid, precedence)
    WHERE x.sid = key AND x.rid IS NOT NULL AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.precedence DESC LIMIT $more
    UNION ALL
    WITH CASE WHEN side = 'object' AND rid IS NULL THEN k.id END AS key
    MATCH (x:MemFact) USING INDEX SEEK x:MemFact(oid, rid, precedence)
    WHERE x.oid = key AND x.rid IS NOT NULL AND x.precedence IS NOT NULL
    RETURN x ORDER BY x.precedence DESC LIMIT $more }"""
# Why a fact is closed as seen from record time $at (null: now), and whether event time $valid_at is in its interval.
# What was recorded before operation $since of its namespace counts as recorded by then: a clock was ahead.
_WHY: Final = """CASE WHEN x.closed_at IS NOT NULL
      AND ($at IS NULL OR x.closed_at <= $at OR x.closed_seq < $since[x.ns]) THEN x.closed_why END"""
_WHEN: Final = """($at IS NULL OR x.recorded_at <= $at OR x.seq < $since[x.ns])
      AND CASE WHEN $valid_at IS NULL THEN why IS NULL
      ELSE coalesce(why, 'past') IN ['past', 'superseded'] AND coalesce(x.valid_from, '') <= $valid_at + '~'
        AND coalesce(coalesce(x.valid_to, CASE WHEN why IS NOT NULL THEN x.ended END) + '~' >= $valid_at, true) END"""
_TIMED_BRANCH: Final = (
    """
    WITH rid, CASE WHEN side = '{side}' THEN k.id END AS key
    MATCH (x:{label}) USING INDEX SEEK x:{label}({column}, rid, precedence)
    WHERE x.{column} = key AND x.rid IS NOT NULL AND x.precedence IS NOT NULL AND (rid IS NULL OR x.rid = rid)
    WITH x, """
    + _WHY
    + " AS why WHERE "
    + _WHEN
    + " RETURN x ORDER BY x.precedence DESC LIMIT $more"
)
# The same for facts as of a record time and an event time, open or closed.
_TIMED: Final = (
    """
  CALL (k, side, rid) {"""
    + "\n    UNION ALL".join(
        _TIMED_BRANCH.replace("{side}", side).replace("{column}", column).replace("{label}", label)
        for side, column in (("subject", "sid"), ("object", "oid"))
        for label in ("MemFact", "MemPast")
    )
    + " }"
)

# The readable relationship ``v`` of fact ``x``, between names found first: never a scan, however empty the graph.
_VIEW: Final = """MATCH (s:MemEntity {id: x.sid}) USING INDEX SEEK s:MemEntity(id)
    MATCH (o:MemEntity {id: x.oid}) USING INDEX SEEK o:MemEntity(id)
    MATCH (s)-[v {fact: x.id}]->(o)"""
