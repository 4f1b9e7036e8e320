"""What was said, in the embedded store: its SQL. The rules are in ``stores.episodes``.

Functions run inside a transaction that their caller holds; ``EmbeddedTurns`` reads. What a role may see is a condition
of every statement that returns turns. Full text is an index of FTS5 without a copy of the text: each row has a word
for its tenant and one for its scope, and a search asks for them too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from langchain_memllm.stores.episodes import (
    EpisodeNote,
    Grant,
    Last,
    Telling,
    Turn,
    TurnFilter,
    codes_of,
    cut,
    placed,
    sound_codes,
    sound_note,
    sound_places,
    sound_turn,
    tokens_of,
)
from langchain_memllm.stores.outbox import names_any
from langchain_memllm.stores.sqlite import Database
from langchain_memllm.triples import Namespace, stable_hash

__all__ = [
    "EmbeddedTurns",
    "counts",
    "drop",
    "dump",
    "fill",
    "forget",
    "forget_everything",
    "grant",
    "grants",
    "named",
    "put",
]

_NS: Final = "SELECT id FROM namespace WHERE name = ?"
_COLUMNS: Final = """t.id, t.uid, s.thread, t.text, t.at, t.role, t.speaker, t.kind, t.ref, t.scope, e.number,
    t.session, t.episode"""
_JOIN: Final = "CROSS JOIN session s ON s.id = t.session CROSS JOIN episode e ON e.id = t.episode"
# Whether role ?2 may see turn ``t``; without a role everything may be seen.
_SEEN: Final = (
    "(?2 IS NULL OR EXISTS (SELECT 1 FROM role_scope g WHERE g.ns = t.ns AND g.role = ?2 AND g.scope = t.scope))"
)
_WHEN: Final = "(?3 IS NULL OR t.at >= ?3) AND (?4 IS NULL OR t.at < ?4)"
# Turns of namespace ?1, by what tells most; ?5: how many. ?6 and on: what tells.
_SELECT: Final = {
    "ids": f"""SELECT {_COLUMNS} FROM json_each(?6) j CROSS JOIN turn t ON t.ns = ?1 AND t.uid = j.value
        {_JOIN} WHERE {_SEEN} AND {_WHEN} ORDER BY t.id {{order}} LIMIT ?5""",
    "places": f"""SELECT {_COLUMNS} FROM json_each(?6) j CROSS JOIN turn t ON t.id = j.value AND t.ns = ?1 {_JOIN}
        WHERE {_SEEN} AND {_WHEN} ORDER BY t.id {{order}} LIMIT ?5""",
    "sources": f"""SELECT {_COLUMNS} FROM json_each(?6) j CROSS JOIN turn t INDEXED BY turn_source
        ON t.ns = ?1 AND t.ref = json_extract(j.value, '$[1]') AND t.kind = json_extract(j.value, '$[0]') {_JOIN}
        WHERE {_SEEN} AND {_WHEN} ORDER BY t.id {{order}} LIMIT ?5""",
    "episode": f"""SELECT {_COLUMNS} FROM session s CROSS JOIN episode e ON e.session = s.id AND e.number = ?7
        CROSS JOIN turn t INDEXED BY turn_episode ON t.episode = e.id
        WHERE s.ns = ?1 AND s.thread = ?6 AND {_SEEN} AND {_WHEN} ORDER BY t.id {{order}} LIMIT ?5""",
    "thread": f"""SELECT {_COLUMNS} FROM session s CROSS JOIN turn t INDEXED BY turn_session ON t.session = s.id
        CROSS JOIN episode e ON e.id = t.episode
        WHERE s.ns = ?1 AND s.thread = ?6 AND {_SEEN} AND {_WHEN} ORDER BY t.id {{order}} LIMIT ?5""",
    "thread when": f"""SELECT {_COLUMNS} FROM turn t INDEXED BY turn_at {_JOIN}
        WHERE t.ns = ?1 AND s.thread = ?6 AND {_SEEN} AND t.at >= ?3 AND t.at < ?4
        ORDER BY t.at {{order}}, t.id {{order}} LIMIT ?5""",
    "when": f"""SELECT {_COLUMNS} FROM turn t INDEXED BY turn_at {_JOIN}
        WHERE t.ns = ?1 AND {_SEEN} AND t.at >= coalesce(?3, '') AND t.at < coalesce(?4, '~')
        ORDER BY t.at {{order}}, t.id {{order}} LIMIT ?5""",
}
_MATCHING: Final = f"""SELECT t.id FROM turn_text x CROSS JOIN turn t ON t.id = x.rowid
    WHERE turn_text MATCH ?3 AND t.ns = ?1 AND {_SEEN} ORDER BY {{order}} LIMIT ?4"""
_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM turn_text WHERE turn_text MATCH ? LIMIT ?)"
_BESIDE: Final = """SELECT t.id,
    (SELECT max(c.id) FROM turn c INDEXED BY turn_session WHERE c.session = t.session AND c.id < t.id),
    (SELECT min(d.id) FROM turn d INDEXED BY turn_session WHERE d.session = t.session AND d.id > t.id)
    FROM json_each(?2) j CROSS JOIN turn t ON t.id = j.value AND t.ns = ?1"""
_CODES: Final = """SELECT id, scope, code FROM turn INDEXED BY turn_ns WHERE ns = ? AND id > ? AND code IS NOT NULL
    ORDER BY id LIMIT ?"""
# Episodes, newest first; those of which nothing may be seen are left out.
_EPISODES: Final = f"""SELECT s.thread, e.number,
    (SELECT min(t.at) FROM turn t INDEXED BY turn_episode WHERE t.episode = e.id AND {_SEEN}),
    (SELECT max(t.at) FROM turn t INDEXED BY turn_episode WHERE t.episode = e.id AND {_SEEN}),
    (SELECT count(*) FROM turn t INDEXED BY turn_episode WHERE t.episode = e.id AND {_SEEN})
    FROM {{found}} AND e.began >= coalesce(?3, '') AND e.began < coalesce(?4, '~')
    AND EXISTS (SELECT 1 FROM turn t INDEXED BY turn_episode WHERE t.episode = e.id AND {_SEEN})
    ORDER BY {{order}} LIMIT ?5"""
_OF_ALL: Final = _EPISODES.format(
    found="episode e INDEXED BY episode_began CROSS JOIN session s ON s.id = e.session WHERE e.ns = ?1",
    order="e.began DESC, e.id DESC",
)
_OF_THREAD: Final = _EPISODES.format(
    found="session s CROSS JOIN episode e ON e.session = s.id WHERE s.ns = ?1 AND s.thread = ?6",
    order="e.number DESC",
)
# Episodes of which something was said in a time.
_SPOKEN: Final = f"""SELECT s.thread, e.number FROM turn t INDEXED BY turn_at {_JOIN}
    WHERE t.ns = ?1 AND {_SEEN} AND t.at >= ?3 AND t.at < ?4 AND (?6 IS NULL OR s.thread = ?6)
    GROUP BY e.id ORDER BY min(t.at), min(t.id) LIMIT ?5"""
_GRANTS: Final = "SELECT role, scope FROM role_scope WHERE ns = ? ORDER BY role, scope"
_LAST: Final = """SELECT e.number, (SELECT t.at FROM turn t INDEXED BY turn_episode WHERE t.episode = e.id
        ORDER BY t.id DESC LIMIT 1), (SELECT count(*) FROM turn t INDEXED BY turn_episode WHERE t.episode = e.id)
    FROM session s CROSS JOIN episode e ON e.session = s.id WHERE s.ns = ? AND s.thread = ?
    ORDER BY e.number DESC LIMIT 1"""
_ADD_SESSION: Final = """INSERT INTO session(ns, thread) VALUES (?1, ?2) ON CONFLICT(ns, thread) DO UPDATE
    SET thread = thread RETURNING id"""
_ADD_EPISODE: Final = """INSERT INTO episode(ns, session, number, began) VALUES (?, ?, ?, ?)
    ON CONFLICT(session, number) DO UPDATE SET number = number RETURNING id"""
_ADD_TURN: Final = """INSERT INTO turn(ns, uid, session, episode, at, role, speaker, kind, ref, scope, text, code)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"""
_INDEX: Final = "INSERT INTO turn_text(rowid, tenant, words) VALUES (?, ?, ?)"
_UNINDEX: Final = "INSERT INTO turn_text(turn_text, rowid, tenant, words) VALUES ('delete', ?, ?, ?)"
# Merge the index into one piece: what was taken out leaves its words in older pieces until then.
_MERGE: Final = "INSERT INTO turn_text(turn_text) VALUES ('optimize')"
# In older releases of SQLite (3.40 is one) each merge adds empty levels of two bytes, and with more than 2,000 levels
# SQLite takes the index for damaged. So an index with many is filled anew; newer releases stop at 64.
_HAS_MANY_LEVELS: Final = "SELECT length(block) > 2000 FROM turn_text_data WHERE id = 10"
_EMPTY: Final = "INSERT INTO turn_text(turn_text) VALUES ('delete-all')"
_TEXTS: Final = "SELECT id, ns, scope, text FROM turn WHERE id > ? ORDER BY id LIMIT 1000"
_EPOCH: Final = "UPDATE namespace SET epoch = epoch + 1 WHERE id = ?"
_EPOCH_OF: Final = "SELECT (id << 32) | epoch FROM namespace WHERE name = ?"
_PAGE: Final = 1_000


def put(connection: sqlite3.Connection, ns: int, turns: Sequence[Turn], at: str) -> None:
    """Keep turns (``checked``) that are not there, and the new text of those that are."""
    if not turns:
        return
    held = {turn.id: turn for turn in _of(connection, ns, "ids", [turn.id for turn in turns])}
    gone = {turn.id for turn in turns if connection.execute(_GONE, (ns, turn.id)).fetchone()}
    last = {}
    for thread in {turn.thread for turn in turns}:
        row = connection.execute(_LAST, (ns, thread)).fetchone()
        if row is not None:
            last[thread] = Last(row[0], row[1] or "", row[2])
    found = placed(turns, held, gone, last, at)
    for turn, code in zip(found.new, codes_of([turn.text for turn in found.new]), strict=True):
        (session,) = connection.execute(_ADD_SESSION, (ns, turn.thread)).fetchone()
        (episode,) = connection.execute(_ADD_EPISODE, (ns, session, turn.episode, turn.at)).fetchone()
        row = (ns, turn.id, session, episode, turn.at, turn.role, turn.speaker)
        (place,) = connection.execute(_ADD_TURN, (*row, turn.kind, turn.ref, turn.scope, turn.text, code)).fetchone()
        connection.execute(_INDEX, (place, *_indexed(ns, turn)))
    _change(connection, ns, [(held[turn.id], turn) for turn in found.changed])


_GONE: Final = "SELECT 1 FROM forgotten_turn WHERE ns = ? AND uid = ?"


def drop(connection: sqlite3.Connection, ns: int, ids: Sequence[str]) -> int:
    """See ``TurnStore.drop``."""
    found = list(_of(connection, ns, "ids", ids))
    _remove(connection, ns, found)
    return len(found)


def forget(connection: sqlite3.Connection, ns: int, source: tuple[str | None, str] | None, telling: Telling) -> int:
    """Take what is forgotten out of what was said; returns how many turns were changed or removed.

    Args:
        connection: Inside a transaction.
        ns: The namespace.
        source: (kind or None, ref): its turns go.
        telling: Otherwise what is forgotten.
    """
    changed: list[tuple[Turn, Turn]] = []
    removed: list[Turn] = []
    if source is not None:
        removed = [turn for turn in _of_ref(connection, ns, source[1]) if source[0] in (None, turn.kind)]
    elif telling.change.names:
        for turn in _all(connection, ns):
            _sort(turn, cut(turn, telling, near=False), changed, removed)
    elif telling.sources:
        own = list(_of(connection, ns, "sources", telling.sources))
        for thread, number in {(turn.thread, turn.episode) for turn in own}:
            for turn in _of(connection, ns, "episode", thread, number):
                _sort(turn, cut(turn, telling, near=True), changed, removed)
    _change(connection, ns, changed)
    _remove(connection, ns, removed)
    told = [(ns, turn.id) for turn in (*removed, *(before for before, _ in changed))]
    connection.executemany("INSERT OR IGNORE INTO forgotten_turn(ns, uid) VALUES (?, ?)", told)
    _rewrite(connection)
    return len(changed) + len(removed)


def forget_everything(connection: sqlite3.Connection, ns: int) -> int:
    """Forget all that was said in a namespace; returns how many turns that was."""
    found = 0
    for turn in _all(connection, ns):
        connection.execute(_UNINDEX, (turn.place, *_indexed(ns, turn)))
        found += 1
    for table in ("turn", "episode", "session", "forgotten_turn", "role_scope"):
        connection.execute(f"DELETE FROM {table} WHERE ns = ?", (ns,))
    _rewrite(connection)
    return found


def named(connection: sqlite3.Connection, ns: int, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Threads and names of sources of what was said that still hold a forgotten name."""
    for (thread,) in connection.execute("SELECT thread FROM session WHERE ns = ?", (ns,)):
        if names_any(thread, names):
            yield "thread", thread


def grant(connection: sqlite3.Connection, ns: int, given: Iterable[Grant]) -> None:
    """Add grants that are not there."""
    rows = [(ns, each.role, each.scope) for each in given]
    connection.executemany("INSERT OR IGNORE INTO role_scope(ns, role, scope) VALUES (?, ?, ?)", rows)


def grants(connection: sqlite3.Connection, ns: int) -> list[Grant]:
    """Which roles may see what, sorted."""
    return [Grant(*row) for row in connection.execute(_GRANTS, (ns,))]


def dump(connection: sqlite3.Connection, ns: int, after: int) -> list[Turn]:
    """A page of turns after a place."""
    return [_turn(row) for row in connection.execute(_PAGED, (ns, after, _PAGE))]


def counts(connection: sqlite3.Connection, ns: int) -> dict[str, int]:
    """How many turns, episodes and sessions there are."""
    counted = {table: f"SELECT count(*) FROM {table} WHERE ns = ?" for table in ("turn", "episode", "session")}
    return {f"{table}s": connection.execute(query, (ns,)).fetchone()[0] for table, query in counted.items()}


_PAGED: Final = f"""SELECT {_COLUMNS} FROM turn t INDEXED BY turn_ns {_JOIN}
    WHERE t.ns = ? AND t.id > ? ORDER BY t.id LIMIT ?"""
_REF: Final = f"SELECT {_COLUMNS} FROM turn t INDEXED BY turn_source {_JOIN} WHERE t.ns = ? AND t.ref = ? ORDER BY t.id"


def _of(connection: sqlite3.Connection, ns: int, by: str, what: Any, *more: Any) -> list[Turn]:
    given = json.dumps(what, ensure_ascii=False) if isinstance(what, list | tuple) else what
    statement = _SELECT[by].format(order="ASC")
    return [_turn(row) for row in connection.execute(statement, (ns, None, None, None, -1, given, *more))]


def _of_ref(connection: sqlite3.Connection, ns: int, ref: str) -> list[Turn]:
    return [_turn(row) for row in connection.execute(_REF, (ns, ref))]


def _all(connection: sqlite3.Connection, ns: int) -> Iterator[Turn]:
    after = 0
    while page := dump(connection, ns, after):
        yield from page
        after = page[-1].place


def _sort(before: Turn, after: Turn | None, changed: list[tuple[Turn, Turn]], removed: list[Turn]) -> None:
    if after is None:
        removed.append(before)
    elif after.text != before.text:
        changed.append((before, after))


def _change(connection: sqlite3.Connection, ns: int, changes: Sequence[tuple[Turn, Turn]]) -> None:
    for (before, after), code in zip(changes, codes_of([after.text for _, after in changes]), strict=True):
        connection.execute(_UNINDEX, (before.place, *_indexed(ns, before)))
        connection.execute("UPDATE turn SET text = ?, code = ? WHERE id = ?", (after.text, code, before.place))
        connection.execute(_INDEX, (before.place, *_indexed(ns, after)))
    if changes:
        connection.execute(_EPOCH, (ns,))


def _remove(connection: sqlite3.Connection, ns: int, turns: Sequence[Turn]) -> None:
    for turn in turns:
        connection.execute(_UNINDEX, (turn.place, *_indexed(ns, turn)))
        connection.execute("DELETE FROM turn WHERE id = ?", (turn.place,))
    for thread, number in {(turn.thread, turn.episode) for turn in turns}:
        connection.execute(_DROP_EPISODE, (ns, thread, number))
        connection.execute(_DROP_SESSION, (ns, thread))
    if turns:
        connection.execute(_EPOCH, (ns,))


_DROP_EPISODE: Final = """DELETE FROM episode WHERE session = (SELECT id FROM session WHERE ns = ? AND thread = ?)
    AND number = ? AND NOT EXISTS (SELECT 1 FROM turn t INDEXED BY turn_episode WHERE t.episode = episode.id)"""
_DROP_SESSION: Final = """DELETE FROM session WHERE ns = ? AND thread = ?
    AND NOT EXISTS (SELECT 1 FROM turn t INDEXED BY turn_session WHERE t.session = session.id)"""


def _rewrite(connection: sqlite3.Connection) -> None:
    """Write the index anew, without the words of what was taken out."""
    if connection.execute(_HAS_MANY_LEVELS).fetchone() == (1,):
        connection.execute(_EMPTY)
        fill(connection)
    else:
        connection.execute(_MERGE)


def fill(connection: sqlite3.Connection) -> None:
    """Put all that was said into an empty index of full text."""
    after = 0
    while rows := connection.execute(_TEXTS, (after,)).fetchall():
        after = rows[-1][0]
        connection.executemany(_INDEX, [(place, *_words(ns, scope, text)) for place, ns, scope, text in rows])


def _indexed(ns: int, turn: Turn) -> tuple[str, str]:
    return _words(ns, turn.scope, turn.text)


def _words(ns: int, scope: str, text: str) -> tuple[str, str]:
    """What the index of full text holds of a turn: its tenant and scope, and its words."""
    return f"t{ns} s{_scope(scope)}", " ".join(tokens_of(text))


def _scope(scope: str) -> str:
    return stable_hash("scope", scope)[:16]


def _turn(row: Sequence[Any]) -> Turn:
    return sound_turn((*row[1:11], row[0]), "table turn")


def _any(tokens: Sequence[str]) -> str:
    return " OR ".join(f'"{token}"' for token in tokens)


class EmbeddedTurns:
    """The ``TurnStore`` of an embedded store."""

    def __init__(self, database: Database, label: Any) -> None:
        """Read from this database; ``label`` makes the name of a namespace."""
        self._db, self._label = database, label

    def drop(self, namespace: Namespace, ids: Sequence[str]) -> int:
        """See ``TurnStore.drop``."""

        def work(connection: sqlite3.Connection) -> int:
            head = connection.execute(_NS, (self._label(namespace),)).fetchone()
            return 0 if head is None else drop(connection, head[0], ids)

        return self._db.transact(work)

    def select(self, namespace: Namespace, where: TurnFilter, *, limit: int = 1000, newest: bool = False) -> list[Turn]:
        """See ``TurnStore.select``."""
        by, *what = _condition(where)
        statement = _SELECT[by].format(order="DESC" if newest else "ASC")
        with self._db.read() as connection:
            ns = self._ns(connection, namespace)
            rows = connection.execute(statement, (ns, where.role, where.since, where.until, limit, *what)).fetchall()
        return [_turn(row) for row in rows]

    def matching(
        self, namespace: Namespace, tokens: Sequence[str], *, phrase: bool, role: str | None = None, limit: int = 50
    ) -> list[int]:
        """See ``TurnStore.matching``."""
        if not tokens:
            return []
        with self._db.snapshot() as connection:
            ns = self._ns(connection, namespace)
            scopes = "" if role is None else self._scopes(connection, ns, role)
            if scopes is None:
                return []
            sought = f'"{" ".join(tokens)}"' if phrase else _any(tokens)
            asked = f'tenant : "t{ns}" {scopes} AND words : ({sought})'
            order = "x.rowid DESC" if phrase else "bm25(turn_text, 0.0, 1.0), x.rowid DESC"
            return [row[0] for row in connection.execute(_MATCHING.format(order=order), (ns, role, asked, limit))]

    def counts(
        self, namespace: Namespace, groups: Sequence[Sequence[str]], *, role: str | None = None, most: int = 1000
    ) -> list[int]:
        """See ``TurnStore.counts``."""
        with self._db.snapshot() as connection:
            ns = self._ns(connection, namespace)
            scopes = "" if role is None else self._scopes(connection, ns, role)
            if scopes is None:
                return [0] * len(groups)
            asked = [f'tenant : "t{ns}" {scopes} AND words : ({_any(tokens)})' for tokens in groups]
            return [connection.execute(_COUNT, (each, most)).fetchone()[0] for each in asked]

    def beside(self, namespace: Namespace, places: Sequence[int]) -> list[tuple[int, int | None, int | None]]:
        """See ``TurnStore.beside``."""
        with self._db.read() as connection:
            ns = self._ns(connection, namespace)
            return connection.execute(_BESIDE, (ns, json.dumps(list(places)))).fetchall()

    def _scopes(self, connection: sqlite3.Connection, ns: int, role: str) -> str | None:
        """The words of what a role may see; None if that is nothing."""
        granted = [scope for each, scope in connection.execute(_GRANTS, (ns,)) if each == role]
        words = " OR ".join(f'"s{_scope(scope)}"' for scope in granted)
        return f"AND tenant : ({words})" if words else None

    def codes(self, namespace: Namespace, after: int, *, limit: int = 100_000) -> list[tuple[int, str, bytes]]:
        """See ``TurnStore.codes``."""
        with self._db.read() as connection:
            rows = connection.execute(_CODES, (self._ns(connection, namespace), after, limit)).fetchall()
        return sound_codes(rows, "table turn")

    def epoch(self, namespace: Namespace) -> int:
        """See ``TurnStore.epoch``."""
        with self._db.read() as connection:
            row = connection.execute(
                "SELECT (id << 32) | epoch FROM namespace WHERE name = ?", (self._label(namespace),)
            )
            return int((row.fetchone() or (0,))[0])

    def spoken(
        self,
        namespace: Namespace,
        since: str,
        until: str,
        *,
        thread: str | None = None,
        role: str | None = None,
        limit: int = 100,
    ) -> list[tuple[str, int]]:
        """See ``TurnStore.spoken``."""
        with self._db.read() as connection:
            ns = self._ns(connection, namespace)
            rows = connection.execute(_SPOKEN, (ns, role, since, until, limit, thread)).fetchall()
        return sound_places(rows, "table session or episode")

    def episodes(
        self,
        namespace: Namespace,
        *,
        thread: str | None = None,
        since: str | None = None,
        until: str | None = None,
        role: str | None = None,
        limit: int = 100,
    ) -> list[EpisodeNote]:
        """See ``TurnStore.episodes``."""
        statement, more = (_OF_ALL, ()) if thread is None else (_OF_THREAD, (thread,))
        with self._db.read() as connection:
            ns = self._ns(connection, namespace)
            rows = connection.execute(statement, (ns, role, since, until, limit, *more)).fetchall()
        return [sound_note(row, "table episode or turn") for row in rows]

    def grants(self, namespace: Namespace) -> list[Grant]:
        """See ``TurnStore.grants``."""
        with self._db.read() as connection:
            return grants(connection, self._ns(connection, namespace))

    def grant(self, namespace: Namespace, role: str, scopes: Sequence[str]) -> None:
        """See ``TurnStore.grant``."""

        def work(connection: sqlite3.Connection) -> None:
            name = self._label(namespace)
            connection.execute("INSERT OR IGNORE INTO namespace(name) VALUES (?)", (name,))
            (ns,) = connection.execute(_NS, (name,)).fetchone()
            connection.execute("DELETE FROM role_scope WHERE ns = ? AND role = ?", (ns, role))
            grant(connection, ns, [Grant(role, scope) for scope in scopes])

        self._db.transact(work)

    def _ns(self, connection: sqlite3.Connection, namespace: Namespace) -> int:
        """The id of a namespace; that of none if it is not there."""
        row = connection.execute(_NS, (self._label(namespace),)).fetchone()
        return -1 if row is None else int(row[0])


def _condition(where: TurnFilter) -> tuple[Any, ...]:
    """What a filter is looked up by, and the parameters of that."""
    if where.ids is not None:
        return "ids", json.dumps(where.ids)
    if where.places is not None:
        return "places", json.dumps(where.places)
    if where.sources is not None:
        return "sources", json.dumps(where.sources, ensure_ascii=False)
    if where.thread is not None and where.episode is not None:
        return "episode", where.thread, where.episode
    if where.thread is None:
        return ("when",)
    return "thread" if where.since is None or where.until is None else "thread when", where.thread
