"""From what was said to what is written: one flow for a text, for a turn, and for what waits in the outbox.

A text becomes one operation: its receipt is looked for before a model is asked, it is read in parts that a model takes
at once, and what is found is written. A turn goes by way of the outbox: it is committed there first, and leaves it in
the transaction that writes its facts. Several waiting turns are read by one call. Flows (``flow``), so sync and async
are one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from langchain_memllm.belief import MAX_BATCH, Quarantined
from langchain_memllm.errors import ConfigurationError, InvalidTriple, ModelError, NamespaceError, StoreError, reason_of
from langchain_memllm.flow import Flow, Step
from langchain_memllm.grammar import render_write
from langchain_memllm.memory import Memory
from langchain_memllm.sharing import Shared
from langchain_memllm.stores.outbox import OutboxChanged, OutboxEntry
from langchain_memllm.times import local_day
from langchain_memllm.triples import Namespace, Receipt, Source, Statement, Triple, shown

if TYPE_CHECKING:
    from langchain_memllm.extraction import Extraction, Extractor, Sentence
    from langchain_memllm.relations import Catalogue

__all__ = ["PART", "Ingest", "Progress"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], object]
"""Takes the number of sentences read so far and of all."""

PART: Final = 12_000
"""Characters that one call of a chat model reads; so a message of n characters costs about n / 12,000 calls."""

_LOCAL_PART: Final = 1_000  # the local model takes seconds for a sentence
_CONTEXT: Final = 24  # sentences before a part; the paper's (section 3.1)
_GATHERED: Final = 20  # most turns that one call reads
_MAX_FACTS: Final = MAX_BATCH - 128  # of one text; what is left holds the pieces of those beyond
_PIECE: Final = 100  # facts of one such piece
_NAMED: Final = 3  # sentences without facts that a receipt names
_BEGINNING: Final = 80  # characters of one
_ONCE: Final = "the same text gives this relation, which holds one value, another one that is surer"
_FAILURES: Final = 2  # calls in a row that fail before what waits is left for later
_PAGE: Final = 200
_TRIES: Final = 3  # times a turn is read that changes while it is read


@dataclass(frozen=True, slots=True)
class _Part:
    """What one call of the extractor reads."""

    text: str
    start: int
    context: tuple[str, ...]
    read: int
    sentences: int


@dataclass(slots=True)
class _Found:
    """What was found in a text so far."""

    statements: list[Statement] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)
    without_facts: list[Sentence] = field(default_factory=list)

    def add(self, extraction: Extraction, start: int = 0) -> None:
        """What was found in a part that begins at ``start``."""
        for each in extraction.statements:
            span = (each.span[0] + start, each.span[1] + start) if each.span else None
            self.statements.append(replace(each, span=span))
        self.quarantine += extraction.quarantine
        self.without_facts += [
            replace(each, start=each.start + start, end=each.end + start) for each in extraction.without_facts
        ]

    def once(self, catalogue: Catalogue, source: Source) -> _Found:
        """Each single-valued relation filled by the surest statement; the others are quarantined."""
        from langchain_memllm.extraction import filled_once

        kept, refused = filled_once(self.statements, catalogue)
        pieces = [Quarantined(text, _ONCE, source) for text in _written(refused)]
        return _Found(kept, [*self.quarantine, *pieces], self.without_facts)

    def told(self, receipt: Receipt) -> Receipt:
        """The receipt, which names the sentences that gave no fact."""
        first = tuple(shown(each.text, _BEGINNING) for each in self.without_facts[:_NAMED])
        return replace(receipt, without_facts=len(self.without_facts), such_as=first)

    def cut(self, source: Source) -> _Found:
        """What fits one operation; facts beyond are quarantined, a hundred to a piece."""
        kept, over = self.statements[:_MAX_FACTS], self.statements[_MAX_FACTS:]
        room = MAX_BATCH - len(kept)
        reason = f"more than {_MAX_FACTS} facts in one text; write these yourself if they are good"
        pieces = [*self.quarantine, *(Quarantined(text, reason, source) for text in _written(over))]
        return _Found(kept, pieces[:room], self.without_facts)


class Ingest(Shared):
    """Extracts and writes.

    Args:
        memory: Where to write.
        extractor: Gives what finds the statements, when it is first needed.
    """

    def __init__(self, memory: Memory, extractor: Callable[[], Extractor]) -> None:
        """Keep the parts; no model is built."""
        self.memory, self._extractor = memory, extractor

    # -- a text ----------------------------------------------------------------------------------------------------

    def remember(
        self,
        text: str,
        *,
        namespace: Namespace,
        source: Source | None = None,
        op_id: str | None = None,
        context: Sequence[str] = (),
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Flow[Receipt]:
        """Find the facts of a text and write them, as one operation.

        Args:
            text: Any text; a long one is read in parts.
            namespace: Whose memory.
            source: Where the text comes from; by default an unnamed user.
            op_id: Name of the operation; if it was delivered before, its receipt is the answer and no model is called.
            context: What stood before the text, oldest first; it tells what words refer to and states nothing.
            replace: The text is the new version of its source: what only the former one said becomes past.
            progress: Called after each part.

        Raises:
            ConfigurationError: The text is empty, or there is no model.
            ModelError: The model cannot be reached or used.
            OperationConflict: The ``op_id`` was used with another text.
            StoreError: Nothing was written.
        """
        _check_text(text)
        if op_id is not None:
            earlier: Receipt | None = yield Step(
                lambda: self.memory.receipt(op_id, namespace=namespace, payload=text, source=source, replace=replace)
            )
            if earlier is not None:
                return earlier
        read = yield from self._extract(text, context, source or Source(), progress)
        found = read.once(self.memory.catalogue, source or Source()).cut(source or Source())
        receipt: Receipt = yield Step(
            lambda: self.memory.write(
                found.statements,
                namespace=namespace,
                source=source,
                op_id=op_id,
                payload=text,
                replace=replace,
                quarantine=found.quarantine,
                by_model=True,
            )
        )
        return found.told(receipt)

    def _extract(
        self, text: str, context: Sequence[str], source: Source, progress: Progress | None = None
    ) -> Flow[_Found]:
        """What a text states, read part by part."""
        extractor = yield Step(self._extractor)
        found = _Found()
        for number, part in enumerate(_parts(text, context, extractor)):
            if progress is not None and not number:
                progress(0, part.sentences)
            found.add((yield _asking(extractor, part.text, part.context, source)), part.start)
            if progress is not None:
                progress(part.read, part.sentences)
        return found

    # -- what waits ------------------------------------------------------------------------------------------------

    def flush(self, namespace: Namespace) -> Flow[list[Receipt]]:
        """Extract and write all that waits, oldest first, several turns by one call.

        Safe to run beside other writers and flushers: each turn is written once.

        Raises:
            ModelError: Some of it could not be extracted, and still waits; the rest is written.
            StoreError: The store failed; what was written is written.
        """
        receipts: list[Receipt] = []
        failures, cause, seen = 0, None, set[str]()
        while failures < _FAILURES:
            waiting = yield Step(lambda: self.memory.outbox(namespace=namespace, limit=_PAGE + len(seen)))
            left = [each for each in waiting if each.op_id not in seen]
            if not left:
                break
            for group in _groups(left):
                seen.update(each.op_id for each in group)
                try:
                    receipts += yield from self._write_group(namespace, group)
                    failures = 0
                except Exception as error:
                    if _passes(error):
                        raise
                    failures, cause = failures + 1, error
                    if failures >= _FAILURES:
                        break
        if cause is not None:
            count = (yield Step(lambda: self.memory.stats(namespace=namespace))).outbox
            texts, wait = ("text", "waits") if count == 1 else ("texts", "wait")
            raise ModelError(
                f"{count} {texts} could not be extracted now and still {wait} ({reason_of(cause)}); flush again later"
            ) from cause
        return receipts

    def write_turn(self, namespace: Namespace, op_ids: Sequence[str]) -> Flow[list[Receipt]]:
        """Extract and write some of what waits, and what was left by earlier turns as far as the same call reads it.

        If none of these waits, one call reads what was left. What was done before is not done again; its receipt is
        given. One turn that failed before is tried again too, by a call of its own.

        Raises:
            ModelError: It could not be extracted, and still waits.
        """
        own = yield Step(lambda: self.memory.outbox(namespace=namespace, op_ids=op_ids))
        mine = {each.op_id for each in own}
        receipts: list[Receipt] = yield Step(
            lambda: self._done(namespace, [each for each in op_ids if each not in mine])
        )
        others = yield Step(lambda: self.memory.outbox(namespace=namespace, limit=_GATHERED + len(own)))
        left = [each for each in others if each.op_id not in op_ids]
        fresh = [each for each in left if not each.attempts]
        groups = list(_groups([*fresh, *own]))
        needed = [group for group in groups if mine & {each.op_id for each in group}]
        for group in needed or groups[:1]:
            receipts += yield from self._write_group(namespace, group)
        if failed := next((each for each in left if each.attempts), None):
            receipts += yield from self._write_group(namespace, [failed])
        return receipts

    def _done(self, namespace: Namespace, op_ids: Sequence[str]) -> list[Receipt]:
        """The receipts of operations that were done before."""
        found = [self.memory.receipt(op_id, namespace=namespace) for op_id in op_ids]
        return [receipt for receipt in found if receipt is not None]

    def _write_group(self, namespace: Namespace, group: Sequence[OutboxEntry]) -> Flow[list[Receipt]]:
        """Read turns by one call and write each as its own operation.

        Raises:
            ModelError: They could not be extracted; the attempt is counted.
        """
        try:
            found = yield from self._read_group(group)
        except Exception as error:
            if _passes(error):
                raise
            failed = [each.op_id for each in group]
            yield Step(lambda: self.memory.store.fail_outbox(namespace, failed))
            raise
        receipts = []
        for entry, each in zip(group, found, strict=True):
            receipt = yield from self._write_entry(namespace, entry, each)
            receipts += [receipt] if receipt is not None else []
        return receipts

    def _write_entry(self, namespace: Namespace, entry: OutboxEntry, found: _Found) -> Flow[Receipt | None]:
        """Write what was found in a turn; read it again if it changed meanwhile. None if it was taken back."""
        for _ in range(_TRIES):
            try:
                receipt: Receipt = yield Step(lambda: self._write(namespace, entry, found))  # noqa: B023
                return found.told(receipt)
            except OutboxChanged:
                again = yield Step(lambda: self.memory.outbox(namespace=namespace, op_ids=[entry.op_id]))  # noqa: B023
                if not again:
                    return None
                entry = again[0]
                (found,) = yield from self._read_group([entry])
        return None

    def _write(self, namespace: Namespace, entry: OutboxEntry, found: _Found) -> Receipt:
        return self.memory.write(
            found.statements,
            namespace=namespace,
            source=entry.spoken,
            op_id=entry.op_id,
            payload=entry.op_id,  # the name of a turn's operation holds its text; what is read of it may have been cut
            replace=entry.replace,
            quarantine=found.quarantine,
            entry=entry,
            by_model=True,
        )

    def _read_group(self, group: Sequence[OutboxEntry]) -> Flow[list[_Found]]:
        """What each of the turns states."""
        first, text = group[0], _JOINT.join(entry.text for entry in group)
        found = yield from self._extract(text, first.context, _speaking(first))
        each_turn = zip(group, _shared(found, group), strict=True)
        catalogue = self.memory.catalogue
        return [_spoken(entry, each.once(catalogue, entry.source).cut(entry.source)) for entry, each in each_turn]


_JOINT: Final = "\n\n"


def _asking(extractor: Extractor, text: str, context: tuple[str, ...], source: Source) -> Step:
    return Step(
        lambda: extractor.extract(text, context=context, source=source),
        lambda: extractor.aextract(text, context=context, source=source),
    )


def _parts(text: str, context: Sequence[str], extractor: Extractor) -> Iterator[_Part]:
    """A text in parts of whole sentences, each with what stands before it."""
    from langchain_memllm.extraction import LocalExtractor, sentences_of

    size = _LOCAL_PART if isinstance(extractor, LocalExtractor) else PART
    sentences = sentences_of(text, getattr(extractor, "language", "en"))
    first = 0
    for at, sentence in enumerate(sentences, start=1):
        start = sentences[first].start
        if at == len(sentences) or sentences[at].end - start > size:
            before = [*context, *(each.text for each in sentences[max(0, first - _CONTEXT) : first])]
            yield _Part(text[start : sentence.end], start, tuple(before[-_CONTEXT:]), at, len(sentences))
            first = at


def _groups(entries: Iterable[OutboxEntry]) -> Iterator[list[OutboxEntry]]:
    """Turns that one call may read: of one person, thread and day, not too long. What failed before goes alone."""
    group: list[OutboxEntry] = []
    for entry in entries:
        size = sum(len(each.text) for each in group) + len(entry.text)
        fits = group and _alike(group[0], entry) and size <= PART and len(group) < _GATHERED
        if group and not fits:
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _alike(one: OutboxEntry, other: OutboxEntry) -> bool:
    """Whether two turns may be read together: who speaks, where, and on which day words refer to the same."""
    mine, theirs = one.source, other.source
    same = (one.thread, one.speaker, mine.kind, mine.principal) == (
        other.thread,
        other.speaker,
        theirs.kind,
        theirs.principal,
    )
    days = {local_day(each.spoken.at) for each in (one, other) if each.spoken.at is not None}
    return same and not one.attempts and not other.attempts and len(days) <= 1


def _shared(found: _Found, group: Sequence[OutboxEntry]) -> list[_Found]:
    """What was found in joined turns, to each its own: by the place of the sentence, else by the words."""
    if len(group) == 1:
        return [found]
    starts = [0]
    for entry in group:
        starts.append(starts[-1] + len(entry.text) + len(_JOINT))
    places = list(pairwise(starts))
    shared = [_Found() for _ in group]
    for statement in found.statements:
        at = _place_of(statement, group, places)
        start = places[at][0]
        span = (statement.span[0] - start, statement.span[1] - start) if statement.span else None
        shared[at].statements.append(replace(statement, span=span))
    for piece in found.quarantine:
        shared[-1].quarantine.append(replace(piece, source=group[-1].source))
    for sentence in found.without_facts:
        at = next((at for at, (start, end) in enumerate(places) if start <= sentence.start < end), len(group) - 1)
        shared[at].without_facts.append(sentence)
    return shared


def _place_of(statement: Statement, group: Sequence[OutboxEntry], places: Sequence[tuple[int, int]]) -> int:
    span = statement.span
    if span is not None:
        return next((at for at, (start, end) in enumerate(places) if start <= span[0] < end), len(group) - 1)
    named = statement.object.casefold()
    return next((at for at, entry in enumerate(group) if named in entry.text.casefold()), len(group) - 1)


def _speaking(entry: OutboxEntry) -> Source:
    """The source as the extractor sees it: who says "I" is somebody, whatever the rank of what they say."""
    return replace(entry.spoken, kind="user") if entry.speaker is not None else entry.spoken


def _spoken(entry: OutboxEntry, found: _Found) -> _Found:
    """What a named other said is about them: "I" in it is their name."""
    from langchain_memllm.extraction import SPEAKER

    if entry.speaker is None:
        return found
    named = {SPEAKER: entry.speaker}
    renamed = [
        replace(each, subject=named.get(each.subject, each.subject), object=named.get(each.object, each.object))
        for each in found.statements
    ]
    pieces = [replace(piece, source=entry.source) for piece in found.quarantine]
    return _Found(renamed, pieces, found.without_facts)


def _written(statements: Sequence[Statement]) -> Iterator[str]:
    """Statements in the grammar, a hundred to a piece; what the grammar cannot write is left out."""
    for at in range(0, len(statements), _PIECE):
        triples = []
        for each in statements[at : at + _PIECE]:
            try:
                triples.append(Triple(each.subject, each.relation, each.object))
            except InvalidTriple:
                continue
        yield render_write(triples)


def _passes(error: Exception) -> bool:
    """Whether an error is none of the extraction's: the store's, a missing user, an interrupt of the graph."""
    graph = sys.modules.get("langgraph.errors")  # not loaded: then it is none of its errors
    return isinstance(error, StoreError | NamespaceError) or (
        graph is not None and isinstance(error, graph.GraphBubbleUp)
    )


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise ConfigurationError(f"{type(text).__name__} is not a text to remember; convert it with str() first")
    if not text.strip():
        raise ConfigurationError(f"the text {text[:20]!r} is empty; give it a sentence, or leave the call out")
