"""Statements of what was said: sessions, episodes, turns, and which role may see them.

A role is part of every statement that returns turns: ``$role`` is its id in the namespace, null for none.
"""

from __future__ import annotations

from typing import Final

from langchain_memllm.stores.cypher.fragments import CYPHER, _in_one

_TURN: Final = """[x.uid, x.thread, x.text, x.at, x.role, x.speaker, x.kind, x.ref, x.scope, x.number, x.place]"""
# Whether the role may see turn ``x``.
_SEEN: Final = "($role IS NULL OR EXISTS { MATCH (:MemRole {id: $role + x.scoped}) })"
_WHEN: Final = "($since IS NULL OR x.at >= $since) AND ($until IS NULL OR x.at < $until)"

# What putting turns looks at, under the namespace's lock: which of them are there or were forgotten, where their
# sessions stand (number of the last episode, when its last turn was said, its turns), and how many turns ever came.
SAID: Final = CYPHER + _in_one(
    f"""MATCH (n:MemNamespace {{id: $ns}})
CALL () {{ UNWIND $ids AS id MATCH (x:MemTurn {{id: id}}) RETURN collect({_TURN}) AS held }}
CALL () {{ UNWIND $ids AS id MATCH (f:MemForgotten {{id: id}}) RETURN collect(f.uid) AS gone }}
CALL () {{
  UNWIND $sessions AS id
  CALL (id) {{
    MATCH (e:MemEpisode) USING INDEX SEEK e:MemEpisode(session, number) WHERE e.session = id AND e.number IS NOT NULL
    RETURN e ORDER BY e.session DESC, e.number DESC LIMIT 1 }}
  CALL (e) {{
    MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(episode, place) WHERE x.episode = e.id AND x.place IS NOT NULL
    WITH x ORDER BY x.place DESC RETURN collect(x.at)[0] AS at, count(x) AS turns }}
  RETURN collect([id, e.number, at, turns]) AS sessions }}
RETURN held, gone, sessions, coalesce(n.turns, 0) AS turns"""
)
# Keep new turns, in their episodes and sessions, and lead from their sources to them.
PUT_TURNS: Final = CYPHER + _in_one(
    """MATCH (n:MemNamespace {id: $ns}) SET n.turns = $count
WITH n UNWIND $turns AS t
MERGE (s:MemSession {id: t.props.session}) ON CREATE SET s.ns = $ns, s.thread = t.props.thread, s.n = t.props.place
MERGE (e:MemEpisode {id: t.props.episode}) ON CREATE SET e.ns = $ns, e.session = s.id, e.thread = s.thread,
  e.number = t.props.number, e.began = t.props.at, e.n = t.props.place
MERGE (s)-[:MEM_HAS]->(e)
CREATE (x:MemTurn) SET x = t.props
CREATE (e)-[:MEM_NEXT]->(x)
WITH x CALL (x) { MATCH (d:MemSource {id: x.source}) CREATE (d)-[:MEM_SAID_IN]->(x) }"""
)
# Turns say something else now; clients load their search codes again.
CHANGE_TURNS: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.epoch = n.epoch + 1
WITH n UNWIND $turns AS t MATCH (x:MemTurn {id: t.id}) SET x.text = t.text, x.words = t.words, x.code = t.code"""
)
# Remove turns, and the episodes and sessions that nothing is left of.
DROP_TURNS: Final = (
    CYPHER
    + """MATCH (n:MemNamespace {id: $ns}) SET n.epoch = n.epoch + 1
WITH n UNWIND $ids AS id MATCH (x:MemTurn {id: id})
WITH x, x.episode AS episode, x.session AS session DETACH DELETE x
WITH collect(DISTINCT episode) AS episodes, collect(DISTINCT session) AS sessions, count(*) AS gone
CALL (episodes) {
  UNWIND episodes AS id MATCH (e:MemEpisode {id: id})
  WHERE NOT EXISTS { MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(episode, place)
    WHERE x.episode = id AND x.place IS NOT NULL }
  DETACH DELETE e }
CALL (sessions) {
  UNWIND sessions AS id MATCH (s:MemSession {id: id})
  WHERE NOT EXISTS { MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(session, place)
    WHERE x.session = id AND x.place IS NOT NULL }
  DETACH DELETE s }
RETURN gone"""
)
# Forgotten turns do not come back.
FORGET_TURNS: Final = (
    CYPHER
    + """UNWIND $turns AS t MERGE (f:MemForgotten {id: t.id}) ON CREATE SET f.ns = $ns, f.uid = t.uid, f.n = t.place"""
)

_BY: Final = {
    "ids": "UNWIND $what AS id MATCH (x:MemTurn {id: id}) USING INDEX SEEK x:MemTurn(id) WITH DISTINCT x WHERE true",
    "places": """UNWIND $what AS place
MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, place) WHERE x.ns = $ns AND x.place = place""",
    "sources": """UNWIND $what AS source
MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(source) WHERE x.source = source""",
    "episode": """MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(episode, place)
WHERE x.episode = $what AND x.place IS NOT NULL""",
    "thread": """MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(session, place)
WHERE x.session = $what AND x.place IS NOT NULL""",
    "thread when": """MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, at, place)
WHERE x.ns = $ns AND x.at >= $since AND x.at < $until AND x.place IS NOT NULL AND x.session = $what""",
    "when": """MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, at, place)
WHERE x.ns = $ns AND x.at >= coalesce($since, '') AND x.at < coalesce($until, '~') AND x.place IS NOT NULL""",
}
_ORDER: Final = {
    "episode": "x.episode {0}, x.place {0}",
    "thread": "x.session {0}, x.place {0}",
    "thread when": "x.ns {0}, x.at {0}, x.place {0}",
    "when": "x.ns {0}, x.at {0}, x.place {0}",
}
# Turns, by what tells most, in the order in which they came or the last first.
TURNS: Final = {
    f"{by}{' newest' if order == 'DESC' else ''}": CYPHER
    + f"{found} AND {_SEEN} AND {_WHEN}\nWITH x ORDER BY {_ORDER.get(by, 'x.place {0}').format(order)} LIMIT $limit"
    + f"\nRETURN {_TURN} AS turn"
    for by, found in _BY.items()
    for order in ("ASC", "DESC")
}
# A page of a namespace's turns after a place.
DUMP_TURNS: Final = (
    CYPHER
    + f"""MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, place) WHERE x.ns = $ns AND x.place > $after
WITH x ORDER BY x.ns, x.place LIMIT $page RETURN {_TURN} AS turn"""
)
# A page of the turns of a ref.
TURNS_OF_REF: Final = (
    CYPHER
    + f"""UNWIND $sources AS source MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(source) WHERE x.source = source
WITH x LIMIT $page RETURN {_TURN} AS turn"""
)
# Places of turns that match a question of the full-text index, which asks for the namespace too.
MATCHING: Final = {
    order: CYPHER
    + f"""CALL db.index.fulltext.queryNodes('mem_turn_text', $asked, {{limit: $most}}) YIELD node AS x, score
WITH x, score WHERE x.ns = $ns AND {_SEEN}
RETURN x.place AS place ORDER BY {order} LIMIT $limit"""
    for order in ("x.place DESC", "score DESC, x.place DESC")
}
# How many turns match each of some questions of the full-text index, at most $most.
COUNT_MATCHING: Final = (
    CYPHER
    + """UNWIND range(0, size($asked) - 1) AS i
CALL (i) {
  CALL db.index.fulltext.queryNodes('mem_turn_text', $asked[i], {limit: $most}) YIELD node RETURN count(node) AS held }
RETURN held ORDER BY i"""
)
# The turns before and after others in their sessions.
BESIDE: Final = (
    CYPHER
    + """UNWIND $places AS place
MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, place) WHERE x.ns = $ns AND x.place = place
CALL (x) {
  OPTIONAL MATCH (b:MemTurn) USING INDEX SEEK b:MemTurn(session, place)
  WHERE b.session = x.session AND b.place < x.place
  RETURN b.place AS before ORDER BY b.session DESC, b.place DESC LIMIT 1 }
CALL (x) {
  OPTIONAL MATCH (a:MemTurn) USING INDEX SEEK a:MemTurn(session, place)
  WHERE a.session = x.session AND a.place > x.place
  RETURN a.place AS after ORDER BY a.session, a.place LIMIT 1 }
RETURN place, before, after"""
)
# Search codes of turns after a place.
TURN_CODES: Final = (
    CYPHER
    + """MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, place) WHERE x.ns = $ns AND x.place > $after
WITH x WHERE x.code IS NOT NULL WITH x ORDER BY x.place LIMIT $limit
RETURN x.place AS place, x.scope AS scope, x.code AS code"""
)
EPOCH: Final = CYPHER + "MATCH (n:MemNamespace {id: $ns}) RETURN n.epoch AS epoch, n.born AS born"
_EPISODES: Final = f"""
CALL (e) {{
  MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(episode, place)
  WHERE x.episode = e.id AND x.place IS NOT NULL AND {_SEEN}
  RETURN min(x.at) AS first, max(x.at) AS last, count(x) AS turns }}
WITH e, first, last, turns WHERE turns > 0
RETURN e.thread AS thread, e.number AS number, first, last, turns"""
# Episodes that began then, newest first, with what may be seen of them.
EPISODES: Final = (
    CYPHER
    + """MATCH (e:MemEpisode) USING INDEX SEEK e:MemEpisode(ns, began, n)
WHERE e.ns = $ns AND e.began >= coalesce($since, '') AND e.began < coalesce($until, '~') AND e.n IS NOT NULL
WITH e ORDER BY e.ns DESC, e.began DESC, e.n DESC"""
    + _EPISODES
    + " ORDER BY e.began DESC, e.n DESC LIMIT $limit"
)
EPISODES_OF: Final = (
    CYPHER
    + """MATCH (e:MemEpisode) USING INDEX SEEK e:MemEpisode(session, number)
WHERE e.session = $session AND e.number IS NOT NULL
  AND e.began >= coalesce($since, '') AND e.began < coalesce($until, '~')
WITH e ORDER BY e.session DESC, e.number DESC"""
    + _EPISODES
    + " ORDER BY e.session DESC, e.number DESC LIMIT $limit"
)
# Episodes of which something was said in a time, in the order in which it was said.
SPOKEN: Final = (
    CYPHER
    + f"""MATCH (x:MemTurn) USING INDEX SEEK x:MemTurn(ns, at, place)
WHERE x.ns = $ns AND x.at >= $since AND x.at < $until AND x.place IS NOT NULL
  AND ($session IS NULL OR x.session = $session) AND {_SEEN}
WITH x.thread AS thread, x.number AS number, min(x.at) AS at, min(x.place) AS place
RETURN thread, number ORDER BY at, place LIMIT $limit"""
)
# What roles may see.
GRANTS: Final = (
    CYPHER
    + """MATCH (g:MemRole) USING INDEX SEEK g:MemRole(ns, key) WHERE g.ns = $ns AND g.key IS NOT NULL
RETURN g.role AS role, g.scope AS scope ORDER BY role, scope"""
)
GRANT: Final = CYPHER + """UNWIND $grants AS e MERGE (g:MemRole {id: e.id}) ON CREATE SET g = e"""
REVOKE: Final = (
    CYPHER + """MATCH (g:MemRole) USING INDEX SEEK g:MemRole(ns, key) WHERE g.ns = $ns AND g.key = $key DELETE g"""
)
# Sentences that facts rest on, with their sources.
EVIDENCE_OF: Final = (
    CYPHER
    + """UNWIND $ids AS id
CALL (id) { MATCH (x:MemFact {id: id}) RETURN x UNION ALL MATCH (x:MemPast {id: id}) RETURN x }
MATCH (x)-[m:MEM_FROM]->(d) RETURN DISTINCT d.kind AS kind, d.ref AS ref, m.text AS text"""
)
# Threads of a namespace.
THREADS: Final = (
    CYPHER
    + """MATCH (s:MemSession) USING INDEX SEEK s:MemSession(ns, n) WHERE s.ns = $ns AND s.n IS NOT NULL
RETURN s.thread AS thread"""
)
