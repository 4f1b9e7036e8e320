"""Forgetting in the embedded store: the SQL that leaves nothing behind.

Runs inside a transaction that its caller holds under the write lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from langchain_memllm.belief import Quarantined, best_evidence
from langchain_memllm.quotas import removed, without
from langchain_memllm.stores import embedded_hub, embedded_outbox
from langchain_memllm.stores.embedded_use import WEIGHT, keep_use, use_of
from langchain_memllm.stores.embedded_write import HEAD, PROMOTE, STANDS, chunks, marks
from langchain_memllm.stores.episodes import Telling
from langchain_memllm.stores.erasing import named_in, names_of, tells
from langchain_memllm.stores.interface import Erased, Selection, pack_receipt, redact_receipt, unpack_receipt
from langchain_memllm.stores.outbox import Change, change_of
from langchain_memllm.triples import Namespace, Source, rank_of

__all__ = ["erase"]


def erase(connection: sqlite3.Connection, namespace: Namespace, label: str, selection: Selection) -> Erased:
    """See ``TripleStore.erase``; without the purge."""
    head = connection.execute(HEAD, (label,)).fetchone()
    if head is None:
        return Erased()
    return _Erasure(connection, namespace, head[0]).run(selection)


class _Erasure:
    """Forgetting in one namespace, inside one transaction: select facts, delete them, then what only they used."""

    def __init__(self, connection: sqlite3.Connection, namespace: Namespace, ns: int) -> None:
        self.connection, self.namespace, self.ns = connection, namespace, ns
        self.names: set[int] = set()  # may be unused afterwards
        self.sources: list[int] = []
        self.outbox = 0
        self.turns = 0
        self.use = use_of(connection, ns)

    def run(self, selection: Selection) -> Erased:
        """Erase and count."""
        if selection.everything:
            return self._everything()
        execute = self.connection.execute
        execute("UPDATE namespace SET epoch = epoch + 1 WHERE id = ?", (self.ns,))
        execute("CREATE TEMP TABLE IF NOT EXISTS doomed(id INTEGER PRIMARY KEY)")
        try:
            self._select(selection)
            self._forget_waiting(selection)
            fact_ids = tuple(row[0].hex() for row in execute(_DOOMED_FIDS))
            quarantined = self._drop_quarantine(selection)
            operations = self._redact(frozenset(fact_ids), {at for _, at in quarantined})
            self._delete_facts()
            keep_use(self.connection, self.ns, self.use)
            reopened = tuple(fid for source in self.sources for fid in self._reopen(source))
            return Erased(
                fact_ids=fact_ids,
                names=self._delete_names(),
                relations=execute(_DELETE_RELATIONS, (self.ns,)).rowcount,
                sources=execute(_DELETE_SOURCES, (self.ns,)).rowcount,
                operations=operations,
                quarantined=len(quarantined),
                outbox=self.outbox,
                turns=self.turns,
                reopened=reopened,
                named_in=self._named_in(selection) if selection.name_keys else (),
            )
        finally:
            execute("DELETE FROM doomed")

    def _select(self, selection: Selection) -> None:
        if selection.fact_ids:
            ids = [(self.ns, bytes.fromhex(fact_id)) for fact_id in selection.fact_ids]
            self.connection.executemany("INSERT INTO doomed SELECT id FROM fact WHERE ns = ? AND fid = ?", ids)
        if selection.slot is not None:
            keys, relation = selection.slot
            for subject in self._ids(keys):
                for each in (relation, *selection.narrower):
                    self._doom(_OF_SLOT, (subject, self.ns, each))
        if selection.name_keys:
            named = self._ids(selection.name_keys)
            self.names.update(named)
            for name in named:
                self._doom(_OF_NAME, (name,))
        if selection.source is not None:
            self._select_source(*selection.source)
        for subject, object_ in self.connection.execute("SELECT s, o FROM fact WHERE id IN (SELECT id FROM doomed)"):
            self.names.update((subject, object_))

    def _forget_waiting(self, selection: Selection) -> None:
        """What is forgotten does not come back by what was said and is not yet extracted."""
        if selection.source is not None:
            kind, ref = selection.source
            self.outbox += embedded_outbox.forget_source(self.connection, self.ns, kind, ref)
            self.turns += embedded_hub.forget(self.connection, self.ns, selection.source, Telling(Change()))
            return
        change = change_of(selection, self.connection.execute(_DOOMED_KEYS).fetchall())
        self.outbox += embedded_outbox.forget(self.connection, self.ns, change)
        evidence = self.connection.execute(_DOOMED_EVIDENCE).fetchall()
        sources = tuple(dict.fromkeys((kind, ref) for kind, ref, _ in evidence))
        sentences = tuple(dict.fromkeys(text for _, _, text in evidence if text))
        self.turns += embedded_hub.forget(self.connection, self.ns, None, Telling(change, sources, sentences))

    def _named_in(self, selection: Selection) -> tuple[str, ...]:
        """Where the forgotten name still stands."""
        said = embedded_hub.named(self.connection, self.ns, names_of(selection))
        return named_in([*self.connection.execute(_PLACES, (self.ns,)), *said], selection)

    def _doom(self, facts: str, parameters: tuple[Any, ...]) -> None:
        self.connection.execute(f"INSERT OR IGNORE INTO doomed {facts}", parameters)

    def _ids(self, keys: Iterable[str]) -> list[int]:
        """Ids of these names and their aliases."""
        execute = self.connection.execute
        ids: set[int] = set()
        for key in keys:
            row = execute("SELECT id, class FROM name WHERE ns = ? AND key = ?", (self.ns, key)).fetchone()
            if row is not None:
                ids.add(row[0])
                ids.update(member for (member,) in execute("SELECT id FROM name WHERE class = ?", (row[1],)))
        return sorted(ids)

    def _drop_quarantine(self, selection: Selection) -> list[tuple[int, str]]:
        """Delete the quarantine that tells of what is forgotten; returns (id, when it was put aside)."""
        execute = self.connection.execute
        times = {row[0] for row in execute(_STATED_AT, (self.ns,))}
        doomed = [
            (number, at, kind, len(text))
            for number, at, text, reason, kind, ref in execute(_QUARANTINE, (self.ns,)).fetchall()
            if tells(Quarantined(text, reason, Source(kind, ref), at), selection, times)
        ]
        self.connection.executemany("DELETE FROM quarantine WHERE id = ?", [(number,) for number, *_ in doomed])
        self.use = removed(self.use, [(kind, length) for _, _, kind, length in doomed])
        return [(number, at) for number, at, _, _ in doomed]

    def _select_source(self, kind: str | None, ref: str) -> None:
        """Doom what rests on the source alone, and take it out of the evidence of the rest."""
        execute = self.connection.execute
        which = (self.ns, ref, kind, kind)
        rows = execute("SELECT id FROM source WHERE ns = ? AND ref = ? AND (? IS NULL OR kind = ?)", which).fetchall()
        self.sources = [row[0] for row in rows]
        places = marks(self.sources)
        self._doom(
            f"""SELECT DISTINCT e.fact FROM evidence e INDEXED BY evidence_source WHERE e.source IN ({places})
            AND NOT EXISTS
            (SELECT 1 FROM evidence other WHERE other.fact = e.fact AND other.source NOT IN ({places}))""",
            (*self.sources, *self.sources),
        )
        shared = execute(
            f"""SELECT DISTINCT fact FROM evidence WHERE source IN ({places})
            AND fact NOT IN (SELECT id FROM doomed)""",
            self.sources,
        ).fetchall()
        for (fact,) in shared:
            of_sources = (fact, *self.sources)
            self._weigh(f"e.fact = ? AND e.source IN ({places})", of_sources)
            execute(f"DELETE FROM evidence WHERE fact = ? AND source IN ({places})", of_sources)
            self._demote(fact)

    def _demote(self, fact: int) -> None:
        """The fact's kind, principal and time are those of the best evidence that is left, the earliest of equals."""
        left = self.connection.execute(
            """SELECT q.kind, e.principal, e.seq, e.ordinal, e.said_at FROM evidence e JOIN source q ON q.id = e.source
            WHERE e.fact = ?""",
            (fact,),
        ).fetchall()
        kind, principal, said_at = best_evidence(left)
        row = (kind, principal, rank_of(kind), said_at, fact)
        self.connection.execute(PROMOTE.replace("WHERE fid", "WHERE id"), row)

    def _redact(self, erased: frozenset[str], times: set[str]) -> int:
        """Take what is erased out of the receipts: of the operations that touched it, or put aside what tells of it."""
        execute = self.connection.execute
        rows = dict(execute(_TOUCHED_OPERATIONS, (self.ns,)))
        for chunk in chunks(sorted(times)):
            rows.update(execute(_OPERATIONS_AT.format(marks(chunk)), (self.ns, *chunk)))
        changed = 0
        for op_id, packed in rows.items():
            before = unpack_receipt(self.namespace, op_id, packed)
            after = redact_receipt(before, erased)
            if after != before:
                changed += 1
                execute(
                    "UPDATE operation SET receipt = ? WHERE ns = ? AND op_id = ?", (pack_receipt(after), self.ns, op_id)
                )
        return changed

    def _weigh(self, where: str, parameters: Sequence[Any]) -> None:
        """Take evidence that is about to go out of what the namespace holds."""
        row = self.connection.execute(
            f"SELECT {WEIGHT} FROM evidence e CROSS JOIN source q ON q.id = e.source WHERE {where}", parameters
        ).fetchone()
        self.use = without(self.use, *row)

    def _delete_facts(self) -> None:
        self._weigh("e.fact IN (SELECT id FROM doomed)", ())
        for statement in _DELETE_DOOMED:
            self.connection.execute(statement)

    def _reopen(self, source: int) -> Iterable[str]:
        """Facts that this source alone had closed stand again, newest first.

        Not those whose triple stands already, nor those whose place is still taken: by a value of a better source,
        or by the very one that superseded them, now resting on another source no worse than theirs.
        """
        execute = self.connection.execute
        rows = execute(
            """SELECT id, fid, s, r, o FROM fact INDEXED BY fact_closed_source
            WHERE closed_source = ? AND closed_why <> 'past' ORDER BY seq DESC, ordinal DESC""",
            (source,),
        ).fetchall()
        for row_id, fid, *triple in rows:
            taken = execute(_TAKEN, (row_id,)).fetchone()
            if taken is None and execute(STANDS, triple).fetchone() is None:
                execute(_REOPEN, (row_id,))
                yield fid.hex()
        execute("UPDATE fact SET closed_source = NULL WHERE closed_source = ?", (source,))

    def _delete_names(self) -> int:
        """Delete the names of which no alias is used by any fact; returns how many."""
        execute = self.connection.execute
        gone: dict[int, str] = {}
        for name_id in self.names:
            row = execute("SELECT class FROM name WHERE id = ?", (name_id,)).fetchone()
            if row is None:
                continue
            members = execute("SELECT id, key FROM name WHERE id = ? OR class = ?", (name_id, row[0])).fetchall()
            if not any(execute(_USED, (member, member)).fetchone() for member, _ in members):
                gone.update(members)
        for name_id in gone:
            execute("DELETE FROM name WHERE id = ?", (name_id,))
            execute("DELETE FROM name_vector WHERE id = ?", (name_id,))
            execute("DELETE FROM name_code WHERE id = ?", (name_id,))
        return len(gone)

    def _everything(self) -> Erased:
        execute = self.connection.execute
        fact_ids = tuple(row[0].hex() for row in execute("SELECT fid FROM fact WHERE ns = ?", (self.ns,)))
        for child, column in (("evidence", "fact"), ("name_vector", "id")):
            parent = "fact" if child == "evidence" else "name"
            execute(f"DELETE FROM {child} WHERE {column} IN (SELECT id FROM {parent} WHERE ns = ?)", (self.ns,))
        counts = {
            table: execute(f"DELETE FROM {table} WHERE ns = ?", (self.ns,)).rowcount
            for table in (*("name_code", "fact", "name", "relation", "source", "operation", "quarantine", "outbox"),)
        }
        turns = embedded_hub.forget_everything(self.connection, self.ns)
        execute("DELETE FROM namespace WHERE id = ?", (self.ns,))
        execute("DELETE FROM record WHERE name = 'ids of ' || ?", (self.ns,))
        return Erased(
            fact_ids=fact_ids,
            names=counts["name"],
            relations=counts["relation"],
            sources=counts["source"],
            operations=counts["operation"],
            quarantined=counts["quarantine"],
            outbox=counts["outbox"],
            turns=turns,
        )


# Facts of a name at either end, and of a slot: each half by its own index, since there is none of open and past.
_OF_NAME: Final = " UNION ALL ".join(
    f"SELECT id FROM fact INDEXED BY fact_{state}_{column} WHERE {column} = ?1 AND open = {int(state == 'open')}"
    for column in ("s", "o")
    for state in ("open", "past")
)
_OF_SLOT: Final = " UNION ALL ".join(
    f"""SELECT id FROM fact INDEXED BY fact_{state}_s WHERE s = ?1
        AND r = (SELECT id FROM relation WHERE ns = ?2 AND key = ?3) AND open = {int(state == "open")}"""
    for state in ("open", "past")
)
_DOOMED_KEYS: Final = """SELECT s.key, r.key, o.key FROM fact f CROSS JOIN name s ON s.id = f.s
    CROSS JOIN relation r ON r.id = f.r CROSS JOIN name o ON o.id = f.o WHERE f.id IN (SELECT id FROM doomed)"""
_DOOMED_EVIDENCE: Final = """SELECT q.kind, q.ref, e.text FROM evidence e CROSS JOIN source q ON q.id = e.source
    WHERE e.fact IN (SELECT id FROM doomed)"""
_DOOMED_FIDS: Final = "SELECT fid FROM fact WHERE id IN (SELECT id FROM doomed) ORDER BY seq, ordinal"
# Slots of doomed facts, under every alias of their subjects.
_SLOTS: Final = """SELECT s, r FROM fact WHERE id IN (SELECT id FROM doomed)
    UNION SELECT m.id, d.r FROM fact d CROSS JOIN name n ON n.id = d.s
        CROSS JOIN name m INDEXED BY name_class ON m.class = n.class WHERE d.id IN (SELECT id FROM doomed)"""
# Operations that stored, confirmed or closed a doomed fact, or a fact that closed one.
_TOUCHED_OPERATIONS: Final = f"""WITH slots(s, r) AS ({_SLOTS}), seqs(seq) AS (
        SELECT seq FROM fact WHERE id IN (SELECT id FROM doomed)
        UNION SELECT closed_seq FROM fact WHERE id IN (SELECT id FROM doomed) AND closed_seq IS NOT NULL
        UNION SELECT seq FROM evidence WHERE fact IN (SELECT id FROM doomed)
        UNION SELECT c.seq FROM slots CROSS JOIN fact c INDEXED BY fact_open_s
            ON c.s = slots.s AND c.r = slots.r AND c.open = 1
        UNION SELECT c.seq FROM slots CROSS JOIN fact c INDEXED BY fact_past_s
            ON c.s = slots.s AND c.r = slots.r AND c.open = 0)
    SELECT p.op_id, p.receipt FROM seqs CROSS JOIN operation p INDEXED BY operation_seq
    ON p.ns = ?1 AND p.seq = seqs.seq"""
# When the operations were done that stated or confirmed a doomed fact; operations are kept for some days only.
_STATED_AT: Final = """SELECT recorded_at FROM fact WHERE id IN (SELECT id FROM doomed)
    UNION SELECT p.at FROM doomed CROSS JOIN evidence e ON e.fact = doomed.id
        CROSS JOIN operation p INDEXED BY operation_seq ON p.ns = ?1 AND p.seq = e.seq"""
_OPERATIONS_AT: Final = "SELECT op_id, receipt FROM operation INDEXED BY operation_seq WHERE ns = ? AND at IN ({})"
_QUARANTINE: Final = "SELECT id, at, text, reason, kind, ref FROM quarantine INDEXED BY quarantine_ns WHERE ns = ?"
# Names of sources and of who spoke.
_PLACES: Final = """SELECT kind, ref FROM source WHERE ns = ?1
    UNION SELECT 'principal', e.principal FROM source q CROSS JOIN evidence e INDEXED BY evidence_source
        ON e.source = q.id WHERE q.ns = ?1 AND e.principal IS NOT NULL"""
# A sentence that also supports a fact that stays would still tell the forgotten one: its text goes.
_DELETE_DOOMED: Final = (
    """UPDATE evidence SET text = NULL, said = NULL, span_start = NULL, span_end = NULL
        WHERE text IS NOT NULL AND fact NOT IN (SELECT id FROM doomed) AND (source, text) IN
        (SELECT source, text FROM evidence WHERE fact IN (SELECT id FROM doomed) AND text IS NOT NULL)
        AND source IN (SELECT source FROM evidence WHERE fact IN (SELECT id FROM doomed) AND text IS NOT NULL)""",
    "DELETE FROM evidence WHERE fact IN (SELECT id FROM doomed)",
    f"""UPDATE fact SET closed_by = NULL WHERE id IN
        (SELECT c.id FROM ({_SLOTS}) slots CROSS JOIN fact c INDEXED BY fact_past_s
            ON c.s = slots.s AND c.r = slots.r AND c.open = 0
        WHERE c.closed_by IN (SELECT fid FROM fact WHERE id IN (SELECT id FROM doomed)))""",
    "DELETE FROM fact WHERE id IN (SELECT id FROM doomed)",
)
_TAKEN: Final = """SELECT 1 FROM fact f CROSS JOIN fact n INDEXED BY fact_open_s
    ON n.s = f.s AND n.r = f.r AND n.open = 1
    WHERE f.id = ? AND f.closed_why = 'superseded' AND ((n.precedence >> 56) > (f.precedence >> 56)
        OR (n.fid = f.closed_by AND (n.precedence >> 56) = (f.precedence >> 56)))"""
_REOPEN: Final = """UPDATE fact SET open = 1, closed_at = NULL, closed_seq = NULL, closed_by = NULL, closed_why = NULL,
    closed_source = NULL, ended = NULL WHERE id = ?"""
_USED: Final = """SELECT 1 WHERE EXISTS (SELECT 1 FROM fact WHERE s = ?1 AND open = 1)
    OR EXISTS (SELECT 1 FROM fact WHERE s = ?1 AND open = 0) OR EXISTS (SELECT 1 FROM fact WHERE o = ?2 AND open = 1)
    OR EXISTS (SELECT 1 FROM fact WHERE o = ?2 AND open = 0)"""
_DELETE_RELATIONS: Final = """DELETE FROM relation WHERE ns = ? AND NOT EXISTS
    (SELECT 1 FROM fact INDEXED BY fact_r WHERE r = relation.id)"""
_DELETE_SOURCES: Final = """DELETE FROM source WHERE ns = ? AND NOT EXISTS
    (SELECT 1 FROM evidence INDEXED BY evidence_source WHERE evidence.source = source.id)
    AND NOT EXISTS (SELECT 1 FROM fact INDEXED BY fact_closed_source WHERE closed_source = source.id)"""
