"""What was said, in Neo4j: the statements of ``cypher.hub`` put to use. The rules are in ``stores.episodes``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_memllm.stores import cypher
from langchain_memllm.stores.bolt import PATIENCE, Bolt, token
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
    sound_numbers,
    sound_places,
    sound_turn,
    tokens_of,
)
from langchain_memllm.stores.interface import Selection
from langchain_memllm.stores.neo4j_write import Ids, ids_of, locked
from langchain_memllm.stores.outbox import names_any
from langchain_memllm.triples import KINDS, Namespace

if TYPE_CHECKING:
    import neo4j

__all__ = ["Neo4jTurns", "dump", "forget_facts", "forget_said", "grant_in", "named", "put_in"]

_PAGE: Final = 1_000
_MOST: Final = 10_000  # turns that a phrase may match before the newest of them are chosen


def put_in(transaction: neo4j.ManagedTransaction, ids: Ids, turns: Sequence[Turn], at: str) -> None:
    """Keep turns (``checked``) in a transaction that holds the namespace's lock. See ``TripleStore.put_outbox``."""
    if not turns:
        return
    threads = {ids.session(turn.thread): turn.thread for turn in turns}
    asked = {"ns": ids.ns, "ids": [ids.turn(turn.id) for turn in turns], "sessions": list(threads)}
    loaded = transaction.run(cypher.SAID, p=asked).single(strict=True)
    held = {turn.id: turn for turn in map(_turn, loaded["held"])}
    last = {threads[session]: Last(number, said or "", count) for session, number, said, count in loaded["sessions"]}
    found = placed(turns, held, set(loaded["gone"]), last, at)
    codes = codes_of([turn.text for turn in found.new])
    rows = [
        {"props": _props(ids, turn, loaded["turns"] + number, code)}
        for number, (turn, code) in enumerate(zip(found.new, codes, strict=True), start=1)
    ]
    if rows:
        put = {"ns": ids.ns, "count": loaded["turns"] + len(rows), "turns": rows}
        transaction.run(cypher.PUT_TURNS, p=put).consume()
    _change(transaction, ids, found.changed)


def _props(ids: Ids, turn: Turn, place: int, code: bytes | None) -> dict[str, Any]:
    return {
        "id": ids.turn(turn.id),
        "uid": turn.id,
        "ns": ids.ns,
        "place": place,
        "session": ids.session(turn.thread),
        "episode": ids.episode(turn.thread, turn.episode),
        "number": turn.episode,
        "thread": turn.thread,
        "at": turn.at,
        "role": turn.role,
        "speaker": turn.speaker,
        "kind": turn.kind,
        "ref": turn.ref,
        "source": ids.source(turn.kind, turn.ref),
        "scope": turn.scope,
        "scoped": ids.scope(turn.scope),
        "text": turn.text,
        "tenant": f"{ids.ns} {ids.scope(turn.scope)}",
        "words": " ".join(tokens_of(turn.text)),
        "code": code,
    }


def _change(transaction: neo4j.ManagedTransaction, ids: Ids, turns: Sequence[Turn]) -> None:
    if turns:
        codes = codes_of([turn.text for turn in turns])
        rows = [
            {"id": ids.turn(turn.id), "text": turn.text, "words": " ".join(tokens_of(turn.text)), "code": code}
            for turn, code in zip(turns, codes, strict=True)
        ]
        transaction.run(cypher.CHANGE_TURNS, ns=ids.ns, turns=rows).consume()


def _drop(transaction: neo4j.ManagedTransaction, ids: Ids, turns: Sequence[str]) -> int:
    if not turns:
        return 0
    row = transaction.run(cypher.DROP_TURNS, ns=ids.ns, ids=[ids.turn(turn) for turn in turns]).single()
    return 0 if row is None else int(row["gone"])


def forget_facts(transaction: neo4j.ManagedTransaction, ids: Ids, telling: Telling) -> int:
    """Take forgotten facts out of the episodes they were taken from; returns how many turns changed or went."""
    sources = [ids.source(*source) for source in telling.sources]
    if not sources:
        return 0
    rows = transaction.run(cypher.TURNS_OF_REF, sources=sources, page=1 << 40)
    own = [_turn(row["turn"]) for row in rows]
    found = 0
    for thread, number in {(turn.thread, turn.episode) for turn in own}:
        asked = {"ns": ids.ns, "what": ids.episode(thread, number), "limit": 1 << 40}
        rows = transaction.run(cypher.TURNS["episode"], {**asked, **_ANYBODY})
        found += _cut(transaction, ids, [_turn(row["turn"]) for row in rows], telling, near=True)
    return found


_ANYBODY: Final = {"role": None, "since": None, "until": None}


def forget_said(bolt: Bolt, ids: Ids, selection: Selection, telling: Telling) -> int:
    """Take a forgotten source or name out of what was said, page by page, each a transaction."""
    if selection.source is not None:
        kind, ref = selection.source
        sources = [ids.source(each, ref) for each in KINDS if kind in (None, each)]
        return _paged(bolt, ids, lambda transaction, _: _forget_page(transaction, ids, sources))
    return _paged(bolt, ids, lambda transaction, after: _forget_names(transaction, ids, telling, after))


_Page = Callable[["neo4j.ManagedTransaction", int], tuple[int, int]]


def _paged(bolt: Bolt, ids: Ids, page: _Page) -> int:
    """Do pages until one says that there is nothing after it (-1); returns what they changed."""
    found, after = 0, 0
    while after >= 0:

        def work(transaction: neo4j.ManagedTransaction, after: int = after) -> tuple[int, int]:
            if transaction.run(cypher.BEGIN_ERASE, ns=ids.ns, op=token()).single() is None:
                return 0, -1
            return page(transaction, after)

        changed, after = bolt.write(work)
        found += changed
    return found


def _forget_page(transaction: neo4j.ManagedTransaction, ids: Ids, sources: Sequence[str]) -> tuple[int, int]:
    rows = [_turn(row["turn"]) for row in transaction.run(cypher.TURNS_OF_REF, sources=sources, page=_PAGE)]
    _forget(transaction, ids, rows)
    return _drop(transaction, ids, [turn.id for turn in rows]), 0 if len(rows) == _PAGE else -1


def _forget_names(transaction: neo4j.ManagedTransaction, ids: Ids, telling: Telling, after: int) -> tuple[int, int]:
    rows = list(transaction.run(cypher.DUMP_TURNS, ns=ids.ns, after=after, page=_PAGE))
    turns = [_turn(row["turn"]) for row in rows]
    changed = _cut(transaction, ids, turns, telling, near=False)
    return changed, turns[-1].place if len(turns) == _PAGE else -1


def _cut(
    transaction: neo4j.ManagedTransaction, ids: Ids, turns: Sequence[Turn], telling: Telling, *, near: bool
) -> int:
    after = [cut(turn, telling, near=near) for turn in turns]
    pairs = list(zip(turns, after, strict=True))
    changed = [new for old, new in pairs if new is not None and new.text != old.text]
    gone = [old for old, new in pairs if new is None]
    _forget(transaction, ids, [old for old, new in pairs if new is None or new.text != old.text])
    _change(transaction, ids, changed)
    _drop(transaction, ids, [turn.id for turn in gone])
    return len(changed) + len(gone)


def _forget(transaction: neo4j.ManagedTransaction, ids: Ids, turns: Sequence[Turn]) -> None:
    if turns:
        rows = [{"id": ids.turn(turn.id), "uid": turn.id, "place": turn.place} for turn in turns]
        transaction.run(cypher.FORGET_TURNS, ns=ids.ns, turns=rows).consume()


def named(bolt: Bolt, ids: Ids, names: Sequence[str]) -> list[tuple[str, str]]:
    """Threads that hold a forgotten name."""
    threads = bolt.read(cypher.THREADS, {"ns": ids.ns}, within=PATIENCE)
    return [("thread", row["thread"]) for row in threads if names_any(row["thread"], names)]


def dump(bolt: Bolt, namespace: Namespace) -> Iterator[Grant | Turn]:
    """Who may see what, then what was said, in the order in which it came; read in pages."""
    yield from _grants(bolt, ids_of(namespace))
    after = 0
    while True:
        rows = bolt.read(cypher.DUMP_TURNS, {"ns": ids_of(namespace).ns, "after": after, "page": _PAGE})
        turns = [_turn(row["turn"]) for row in rows]
        yield from turns
        if len(turns) < _PAGE:
            return
        after = turns[-1].place


def grant_in(transaction: neo4j.ManagedTransaction, ids: Ids, given: Sequence[Grant]) -> None:
    """Add grants that are not there."""
    rows = [
        {
            "id": ids.role(each.role) + ids.scope(each.scope),
            "ns": ids.ns,
            "key": ids.role(each.role),
            "role": each.role,
            "scope": each.scope,
        }
        for each in given
    ]
    if rows:
        transaction.run(cypher.GRANT, grants=rows).consume()


def _grants(bolt: Bolt, ids: Ids) -> list[Grant]:
    return sorted(
        (Grant(row["role"], row["scope"]) for row in bolt.read(cypher.GRANTS, {"ns": ids.ns})),
        key=lambda each: (each.role, each.scope),
    )


def _turn(row: Sequence[Any]) -> Turn:
    return sound_turn(row, "a node of label MemTurn")


def _any(tokens: Sequence[str]) -> str:
    return "(" + " ".join(f'"{token}"' for token in tokens) + ")"


class Neo4jTurns:
    """The ``TurnStore`` of a Neo4j store."""

    def __init__(self, bolt: Bolt) -> None:
        """Use this connection."""
        self._bolt = bolt

    def drop(self, namespace: Namespace, ids: Sequence[str]) -> int:
        """See ``TurnStore.drop``."""
        return self._bolt.write(lambda transaction: _drop(transaction, ids_of(namespace), ids))

    def select(self, namespace: Namespace, where: TurnFilter, *, limit: int = 1000, newest: bool = False) -> list[Turn]:
        """See ``TurnStore.select``."""
        ids = ids_of(namespace)
        by, what = _condition(ids, where)
        parameters = {
            "ns": ids.ns,
            "what": what,
            "role": None if where.role is None else ids.role(where.role),
            "since": where.since,
            "until": where.until,
            "limit": limit,
        }
        rows = self._bolt.read(cypher.TURNS[f"{by}{' newest' if newest else ''}"], parameters)
        return [_turn(row["turn"]) for row in rows]

    def matching(
        self, namespace: Namespace, tokens: Sequence[str], *, phrase: bool, role: str | None = None, limit: int = 50
    ) -> list[int]:
        """See ``TurnStore.matching``."""
        ids = ids_of(namespace)
        where = self._where(ids, role) if tokens else None
        if where is None:
            return []
        asked = f'{where} +words:"{" ".join(tokens)}"' if phrase else f"{where} +words:{_any(tokens)}"
        statement = cypher.MATCHING["x.place DESC" if phrase else "score DESC, x.place DESC"]
        parameters = {"ns": ids.ns, "asked": asked, "limit": limit, "most": _MOST if phrase else limit}
        parameters["role"] = None if role is None else ids.role(role)
        return sound_numbers(
            [row["place"] for row in self._bolt.read(statement, parameters)], "a node of label MemTurn"
        )

    def _where(self, ids: Ids, role: str | None) -> str | None:
        """What a search asks of a turn beside its words; None if the role may see nothing."""
        own = f'+tenant:"{ids.ns}"'
        if role is None:
            return own
        scopes = [f'"{ids.scope(each.scope)}"' for each in _grants(self._bolt, ids) if each.role == role]
        return f"{own} +tenant:({' '.join(scopes)})" if scopes else None

    def counts(
        self, namespace: Namespace, groups: Sequence[Sequence[str]], *, role: str | None = None, most: int = 1000
    ) -> list[int]:
        """See ``TurnStore.counts``."""
        where = self._where(ids_of(namespace), role)
        if where is None:
            return [0] * len(groups)
        asked = [f"{where} +words:{_any(tokens)}" for tokens in groups]
        rows = self._bolt.read(cypher.COUNT_MATCHING, {"asked": asked, "most": most})
        return [row["held"] for row in rows]

    def beside(self, namespace: Namespace, places: Sequence[int]) -> list[tuple[int, int | None, int | None]]:
        """See ``TurnStore.beside``."""
        rows = self._bolt.read(cypher.BESIDE, {"ns": ids_of(namespace).ns, "places": list(places)})
        found = [(row["place"], row["before"], row["after"]) for row in rows]
        sound_numbers([each for row in found for each in row if each is not None], "a node of label MemTurn")
        return found

    def codes(self, namespace: Namespace, after: int, *, limit: int = 100_000) -> list[tuple[int, str, bytes]]:
        """See ``TurnStore.codes``."""
        parameters = {"ns": ids_of(namespace).ns, "after": after, "limit": limit}
        rows = self._bolt.read(cypher.TURN_CODES, parameters)
        return sound_codes(
            [(row["place"], row["scope"], _bytes(row["code"])) for row in rows], "a node of label MemTurn"
        )

    def epoch(self, namespace: Namespace) -> int:
        """See ``TurnStore.epoch``."""
        rows = self._bolt.read(cypher.EPOCH, {"ns": ids_of(namespace).ns})
        if not rows:
            return 0
        born, epoch = sound_numbers([rows[0]["born"] or 0, rows[0]["epoch"]], "a node of label MemNamespace")
        return (born << 32) | epoch

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
        ids = ids_of(namespace)
        parameters = {"ns": ids.ns, "since": since, "until": until, "limit": limit}
        parameters["session"] = None if thread is None else ids.session(thread)
        parameters["role"] = None if role is None else ids.role(role)
        rows = self._bolt.read(cypher.SPOKEN, parameters)
        return sound_places([(row["thread"], row["number"]) for row in rows], "a node of label MemTurn")

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
        ids = ids_of(namespace)
        parameters = {"ns": ids.ns, "since": since, "until": until, "limit": limit}
        parameters["role"] = None if role is None else ids.role(role)
        if thread is not None:
            parameters["session"] = ids.session(thread)
        rows = self._bolt.read(cypher.EPISODES if thread is None else cypher.EPISODES_OF, parameters)
        columns = ("thread", "number", "first", "last", "turns")
        return [sound_note([row[each] for each in columns], "a node of label MemEpisode") for row in rows]

    def grants(self, namespace: Namespace) -> list[Grant]:
        """See ``TurnStore.grants``."""
        return _grants(self._bolt, ids_of(namespace))

    def grant(self, namespace: Namespace, role: str, scopes: Sequence[str]) -> None:
        """See ``TurnStore.grant``."""
        ids = ids_of(namespace)

        def work(transaction: neo4j.ManagedTransaction) -> None:
            locked(transaction, ids)
            transaction.run(cypher.REVOKE, ns=ids.ns, key=ids.role(role)).consume()
            grant_in(transaction, ids, [Grant(role, scope) for scope in dict.fromkeys(scopes)])

        self._bolt.write(work)


def _bytes(code: object) -> object:
    return bytes(code) if isinstance(code, bytearray) else code


def _condition(ids: Ids, where: TurnFilter) -> tuple[str, Any]:
    """What a filter is looked up by."""
    if where.ids is not None:
        return "ids", [ids.turn(each) for each in where.ids]
    if where.places is not None:
        return "places", list(where.places)
    if where.sources is not None:
        return "sources", [ids.source(*each) for each in where.sources]
    if where.thread is not None and where.episode is not None:
        return "episode", ids.episode(where.thread, where.episode)
    if where.thread is None:
        return "when", None
    return "thread" if where.since is None or where.until is None else "thread when", ids.session(where.thread)
