"""Moving memories: from one store to another, and plain triples from a file into one.

``copy`` is an export that is put back, with three promises on top: it goes on where it was killed, it refuses a target
that holds anything else, and afterwards both sides are read again and must have the same hash. ``load`` writes triples
in operations whose names come from the lines themselves, so running it again stores nothing twice. Both stream: what
they hold in memory does not grow with what they move.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from langchain_memllm.belief import Policy
from langchain_memllm.errors import ConfigurationError, StoreError
from langchain_memllm.memory import Memory
from langchain_memllm.triplefile import Given, Line, triples_of
from langchain_memllm.triples import (
    Namespace,
    Receipt,
    Source,
    Status,
    as_source,
    check_namespace,
    stable_hash,
)

__all__ = ["BATCH", "Digest", "Loaded", "Rejected", "copy", "digest", "load"]

BATCH: Final = 500
"""Most triples of one operation of ``load``."""

_PLURALS: Final = {"alias": "aliases", "fact": "facts", "name": "names", "operation": "operations"}
_SKIPPED: Final = frozenset({"relation", "namespace"})
_log = logging.getLogger(__name__)

Progress = Callable[[int, int], object]
"""Told how much is done, and of how much."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a namespace holds, in short: the records of its export by type, and a hash over all of them.

    Two memories with the same hash answer alike, whatever store they are in: the vectors alone are not in it.
    """

    namespace: Namespace
    counts: Mapping[str, int]
    hash: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return {"namespace": list(self.namespace), "counts": dict(self.counts), "hash": self.hash}

    @property
    def told(self) -> str:
        """The counts in words: 2 aliases, 1 fact, 3 names."""
        some = (f"{count} {kind if count == 1 else _PLURALS.get(kind, kind)}" for kind, count in self.counts.items())
        return ", ".join(some) or "nothing"


def digest(memory: Memory, namespace: Namespace) -> Digest:
    """Read a namespace once, from end to end, and hash it."""
    counts: Counter[str] = Counter()
    hashed = hashlib.blake2b(digest_size=16)
    for record in _records(memory, namespace):
        counts[record["type"]] += 1
        hashed.update(json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n")
    counts.pop("namespace", None)
    return Digest(namespace, dict(sorted(counts.items())), hashed.hexdigest())


def copy(
    source: Memory, target: Memory, *, namespaces: Iterable[Namespace], progress: Progress | None = None
) -> list[Digest]:
    """Copy namespaces to another store: facts with history and sources, names, aliases, operations, quarantine.

    Reads, recall, history, ``at`` and ``valid_at`` answer alike afterwards, and an operation delivered again is still
    recognised. Names get vectors of the target's embedder. A copy that was killed goes on when it is started again.

    Args:
        source: Where the namespaces are; nobody may write to them meanwhile.
        target: Where they go. It keeps the relations it has declared, and gets those of the source.
        namespaces: Which ones.
        progress: Told after each block how many facts are there, and of how many.

    Returns:
        One digest a namespace, the same on both sides.

    Raises:
        ConfigurationError: Both are one store, they declare a relation differently, or the target holds something
            else in one of the namespaces; nothing was written to that namespace.
        StoreError: The two sides differ afterwards: somebody wrote to one of them.
    """
    if source.store is target.store or _same_place(source.store.location, target.store.location):
        raise ConfigurationError(f"{source.store.location} cannot be copied to itself; give another store")
    chosen = [check_namespace(namespace) for namespace in namespaces]
    for namespace in chosen:
        _refuse_other(source, target, namespace)
    total = sum(_facts_in(source, namespace) for namespace in chosen)
    done, copied = itertools.count(1), []
    for namespace in chosen:
        everything = itertools.chain(_declared(source), source.export(namespace=namespace))
        target.restore(_told(everything, done, total, progress), source_type="system")
        copied.append(_verified(source, target, namespace))
    return copied


def _declared(memory: Memory) -> Iterator[dict[str, Any]]:
    """All relations that a store keeps; an export of one memory has those it uses."""
    return ({"type": "relation", **relation.as_dict()} for relation in memory.catalogue.declared)


def _same_place(one: str, other: str) -> bool:
    """Whether two locations are one file or one database; two memories in memory are two."""
    if ":memory:" in (one, other) or "://" in one or "://" in other:
        return one == other != ":memory:"
    return os.path.realpath(one) == os.path.realpath(other)


def _facts_in(memory: Memory, namespace: Namespace) -> int:
    stats = memory.stats(namespace=namespace)
    return stats.facts + stats.past


def _told(
    records: Iterable[dict[str, Any]], done: Iterator[int], total: int, progress: Progress | None
) -> Iterator[dict[str, Any]]:
    for record in records:
        yield record
        if progress is not None and record["type"] == "fact":
            progress(next(done), total)


def _records(memory: Memory, namespace: Namespace) -> Iterator[dict[str, Any]]:
    return (record for record in memory.export(namespace=namespace) if record["type"] != "relation")


def _refuse_other(source: Memory, target: Memory, namespace: Namespace) -> None:
    """A copy writes only where nothing is, or the beginning of the same copy: every record there is in the source.

    Raises:
        ConfigurationError: The target holds another one.
    """
    theirs = (record for record in _records(target, namespace) if record["type"] not in _SKIPPED)
    wanted = next(theirs, None)
    if wanted is not None:
        for record in _records(source, namespace):
            if _is_begun(wanted, record):
                wanted = next(theirs, None)
            if wanted is None:
                break
    if wanted is not None:
        raise ConfigurationError(
            f"{target.store.location} holds other things in namespace {'/'.join(namespace)} than "
            f"{source.store.location} ({_called(wanted)}, for one); copy into an empty store, or "
            "forget what is there (memllm forget --everything), or mix the two with memllm export and memllm import"
        )


def _is_begun(there: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a record of the target is that of the source; of an alias class, names may still be missing."""
    if there["type"] == record["type"] == "alias":
        return set(there["names"]) <= set(record["names"])
    return there == record


def _called(record: Mapping[str, Any]) -> str:
    """What to call a record in a message: by its id, never by a text."""
    return f"{record['type']} {record.get('id') or record.get('op_id') or ''}".strip()


def _verified(source: Memory, target: Memory, namespace: Namespace) -> Digest:
    mine, theirs = digest(source, namespace), digest(target, namespace)
    if mine.hash != theirs.hash:
        raise StoreError(
            f"after copying namespace {'/'.join(namespace)}, {source.store.location} holds {mine.told}, and "
            f"{target.store.location} {theirs.told}, and they are not the same; was one of them written to "
            "meanwhile? Stop the writers, forget the copy (memllm forget --everything), and copy again"
        )
    _log.info("copied records=%d hash=%s", sum(mine.counts.values()), mine.hash)
    return mine


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that could not be loaded: its number from 1, why, and how it begins."""

    line: int
    reason: str
    given: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return {"line": self.line, "reason": self.reason, "given": self.given}


@dataclass(slots=True)
class Loaded:
    """What became of a file's lines: how many of each outcome, how many operations were there already."""

    lines: int = 0
    outcomes: Counter[Status] = field(default_factory=Counter)
    operations: int = 0
    replayed: int = 0

    @property
    def rejected(self) -> int:
        """Lines that could not be loaded."""
        return self.outcomes["rejected"]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        counts = {"lines": self.lines, "operations": self.operations, "replayed": self.replayed}
        return {**counts, "outcomes": dict(sorted(self.outcomes.items()))}


def load(
    memory: Memory,
    file: str | os.PathLike[str] | BinaryIO,
    *,
    namespace: Namespace,
    source: Source | None = None,
    policy: Policy | None = None,
    rejects: Callable[[Rejected], None] | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Write the triples of a file, in operations of at most 500 that follow the file's order.

    A file of JSON lines, a JSON array, or CSV whose header names the columns. A line (element, row) is
    ``{"subject": …, "relation": …, "object": …}``, and may have ``source`` (a name), ``kind``, ``principal``, ``at``
    (when it was said), ``valid_from``, ``valid_to``, ``confidence``, ``text``, ``turn`` and ``retract``; the three
    parts may be called as others do: predicate, head and tail, source with relationship and target. An operation ends
    where the source changes, so a file sorted by source loads fastest. Lines that cannot be used are told and counted,
    and stop nothing. Run again (after a kill, or with some lines mended) it stores what is missing: an operation's name
    is a hash of its lines, which is recognised for 30 days; later a triple that stands gets one more piece of evidence.

    Args:
        memory: Where they go.
        file: Path of the file, or one that is open for reading bytes: UTF-8, at most 65,536 bytes a line.
        namespace: Whose memory.
        source: Where the lines come from that do not say it; by default a document with the file's name.
        policy: Rules for these operations instead of the memory's.
        rejects: Told every line that could not be loaded, those of earlier runs included.
        progress: Told after each operation how many lines are done, and of how many.

    Raises:
        ConfigurationError: The file cannot be read, is one that ``export`` wrote, or a table with other columns.
        StoreError: What came before is stored; run it again.
    """
    path = Path(file) if isinstance(file, str | os.PathLike) else None
    source = as_source(source) or Source("document", path.name if path is not None else "")
    total = _count_lines(path) if progress is not None and path is not None else 0
    loaded = Loaded()
    with nullcontext(file) if path is None else _opened(path) as lines:
        for block in _blocks(triples_of(cast(BinaryIO, lines), source)):
            _load_block(memory, check_namespace(namespace), block, policy, loaded, rejects)
            if progress is not None:
                progress(block[-1].number, max(total, block[-1].number))
    _log.info("load lines=%d operations=%d replayed=%d", loaded.lines, loaded.operations, loaded.replayed)
    return loaded


def _load_block(
    memory: Memory,
    namespace: Namespace,
    block: Sequence[Given],
    policy: Policy | None,
    loaded: Loaded,
    rejects: Callable[[Rejected], None] | None,
) -> None:
    good = [(given, given.said) for given in block if given.said is not None]
    refused = {given.number: given.reason for given in block if given.said is None}
    if good:
        receipt = _write_block(memory, namespace, good, policy)
        loaded.operations += 1
        loaded.replayed += receipt.replayed
        for outcome in receipt:
            loaded.outcomes[outcome.status] += 1
            if outcome.status == "rejected":
                refused[good[outcome.index][0].number] = outcome.reason or ""
    loaded.lines += len(block)
    loaded.outcomes["rejected"] += sum(given.said is None for given in block)
    for given in block:
        if given.number in refused and rejects is not None:
            rejects(Rejected(given.number, refused[given.number], given.raw[:500].decode("utf-8", "replace").rstrip()))


def _write_block(
    memory: Memory, namespace: Namespace, good: Sequence[tuple[Given, Line]], policy: Policy | None
) -> Receipt:
    source = good[0][0].source
    content = stable_hash("load", source, policy, *(f"{given.number} {given.raw!r}" for given, _ in good))
    statements = [said.statement() for _, said in good]
    return memory.write(
        statements, namespace=namespace, source=source, op_id=f"load {content}", payload=content, policy=policy
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}); give a file of JSON lines, a JSON array or CSV"
        ) from error


def _count_lines(path: Path) -> int:
    with _opened(path) as lines:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b"")) + 1


def _blocks(lines: Iterable[Given]) -> Iterator[list[Given]]:
    """At most 500 lines in a row whose good ones have one source; what was read when an error came is not lost."""
    block: list[Given] = []
    source: Source | None = None
    remaining = iter(lines)
    while True:
        try:
            given = next(remaining)
        except StopIteration:
            break
        except ConfigurationError:
            if block:
                yield block
            raise
        other = given.said is not None and source is not None and given.source != source
        if block and (len(block) >= BATCH or other):
            yield block
            block, source = [], None
        block.append(given)
        if given.said is not None:
            source = given.source
    if block:
        yield block
