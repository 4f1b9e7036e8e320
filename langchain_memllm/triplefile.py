"""Files of triples as others write them: JSON lines, a JSON array (also over many lines), CSV with a header.

Which of these a file is, its first line tells. Every triple has a number (of its line, or its place in the array) and
its bytes; what cannot be used has a reason instead, and stops nothing. Streams: no more of a file is held than one line
or element. Knows no store.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.roles import names_of_parts
from langchain_memllm.triples import Kind, Source, Statement, as_source, rank_of

__all__ = ["MAX_LINE", "Given", "Line", "is_exported", "triples_of"]

MAX_LINE: Final = 65_536
"""Most bytes of one line or element of a file to load."""

_RECORDS: Final = frozenset(
    {"relation", "name", "fact", "alias", "operation", "quarantined", "outbox", "role", "turn", "namespace"}
)
_DELIMITERS: Final = ",;\t|"


class Line(BaseModel):
    """One triple of a file to load, as a stranger wrote it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    subject: str
    relation: str
    object: str | bool | int | float
    source: str | None = None
    kind: Kind | None = None
    principal: str | None = None
    valid_from: str | None = None
    valid_to: str | None = None
    confidence: float | None = None
    text: str | None = None
    turn: int | None = None
    at: str | None = None
    retract: bool = False

    def source_or(self, default: Source) -> Source:
        """Where it comes from: what the line says, else what the whole file is said to come from.

        A line may claim less than the file does, never more; and one that speaks for another than who gives the file
        is a document.
        """
        ref = default.ref if self.source is None else self.source
        principal = default.principal if self.principal is None else self.principal
        most: Kind = default.kind if default.principal in (None, principal) else "document"
        kind = min(self.kind or default.kind, default.kind, most, key=rank_of)
        source = Source(kind, ref, principal, at=self.at or default.at)
        return as_source(source) or default

    def statement(self) -> Statement:
        """What it says."""
        return Statement(
            self.subject,
            self.relation,
            self.object,  # type: ignore[arg-type]
            self.valid_from,
            self.valid_to,
            self.confidence,
            self.retract,
            self.text,
            turn=self.turn,
        )


@dataclass(frozen=True, slots=True)
class Given:
    """A triple as read: its number, its bytes, and what it says or why it cannot be used."""

    number: int
    raw: bytes
    said: Line | None
    source: Source
    reason: str = ""


def triples_of(file: BinaryIO, source: Source) -> Iterator[Given]:
    """The triples of a file, in its order.

    Args:
        file: The file, in UTF-8.
        source: Where what does not say it comes from.

    Raises:
        ConfigurationError: The file is one that ``export`` wrote, has a column that means nothing, or is an array that
            is not JSON from some place on.
    """
    numbered = _lines(file)
    first = next(((n, raw) for n, raw in numbered if raw.strip()), None)
    if first is None:
        return iter(())
    raw = first[1]
    text = raw.strip()
    if text[:1] == b"{" or _is_list_of_names(text):
        _refuse_export(text)
    if text == b"{" or (text[:1] == b"[" and not _is_list_of_names(text)):
        return _of_elements(raw, file, source)
    if text[:1] not in (b"{", b"[") and (header := _header(text)) is not None:
        return _of_rows(itertools.chain([first], numbered), *header, source)
    return _of_lines(itertools.chain([first], numbered), source)


def is_exported(record: object) -> bool:
    """Whether a record is one of ``Memory.export``."""
    if not isinstance(record, Mapping) or str(record.get("type")) not in _RECORDS:
        return False
    return "namespace" in record or (record["type"] == "relation" and "label" in record)


def _refuse_export(text: bytes) -> None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return
    if is_exported(record):
        raise ConfigurationError(
            "this is a file that export wrote, with history and sources; put it back with `memllm import FILE`, or "
            "memory.restore(records)"
        )


def _is_list_of_names(text: bytes) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and bool(found) and not any(isinstance(each, dict | list) for each in found)


# -- one triple a line -------------------------------------------------------------------------------------------------


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers from 1; of one that is too long only the beginning is held."""
    for number in itertools.count(1):
        raw = file.readline(MAX_LINE + 1)
        if not raw:
            return
        too_long = len(raw) > MAX_LINE and not raw.endswith(b"\n")
        if too_long and not (number == 1 and raw.lstrip(b"\xef\xbb\xbf \t")[:1] == b"["):  # an array is read on
            while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
        yield number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw


def _of_lines(lines: Iterator[tuple[int, bytes]], source: Source) -> Iterator[Given]:
    for number, raw in lines:
        if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
            yield Given(number, raw, None, source, f"it has more than {MAX_LINE} bytes; cut it")
        elif raw.strip():
            try:
                value = json.loads(raw.decode())
            except UnicodeDecodeError:
                yield Given(number, raw, None, source, "it is not UTF-8")
            except (ValueError, RecursionError) as error:
                yield Given(number, raw, None, source, f"it is not JSON ({error})")
            else:
                yield _given(number, raw, value, source)


def _given(number: int, raw: bytes, value: object, source: Source, *, strict: bool = True) -> Given:
    if isinstance(value, list) and len(value) == 3:
        value = dict(zip(("subject", "relation", "object"), value, strict=True))
    if not isinstance(value, dict):
        return Given(number, raw, None, source, "it is not an object with subject, relation and object")
    try:
        said = Line.model_validate(_by_our_names(value), strict=strict)
        return Given(number, raw, said, said.source_or(source))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = str(first["loc"][0]) if first["loc"] else ""
        reason = f"{place}: {first['msg']}" if place else first["msg"]
    except ConfigurationError as error:
        reason = str(error)
    return Given(number, raw, None, source, reason)


def _by_our_names(record: dict[str, Any]) -> dict[str, Any]:
    named = names_of_parts(record)
    if len(named) < 3:  # nothing is guessed: what is missing is told
        return record
    rest = {name: value for name, value in record.items() if name not in named.values()}
    return {**rest, **{role: record[name] for role, name in named.items()}}


# -- a JSON array, or objects over many lines --------------------------------------------------------------------------


def _of_elements(first: bytes, file: BinaryIO, source: Source) -> Iterator[Given]:
    for number, (text, value) in enumerate(_elements(first, file), start=1):
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) > MAX_LINE:
            yield Given(number, raw, None, source, f"it has more than {MAX_LINE} bytes; cut it")
        else:
            yield _given(number, raw, value, source)


def _elements(first: bytes, file: BinaryIO) -> Iterator[tuple[str, object]]:
    """The values of an array, or one after another, with their text.

    Raises:
        ConfigurationError: There is something else between them, or one does not end.
    """
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    decoder, buffer, ended = json.JSONDecoder(), decode(first).lstrip(), False
    is_array = buffer.startswith("[")
    at, number = int(is_array), 1
    while True:
        while at < len(buffer) and (buffer[at].isspace() or (buffer[at] == "," and number > 1)):
            at += 1
        if at < len(buffer) and is_array and buffer[at] == "]":
            return
        try:
            value, end = decoder.raw_decode(buffer, at)
        except (ValueError, RecursionError) as error:
            if ended or len(buffer) - at > 4 * MAX_LINE:
                if not is_array and at == len(buffer):
                    return
                why = "the array does not end" if is_array and at == len(buffer) else str(error)
                raise ConfigurationError(
                    f"element {number} of the file is not JSON ({why}); what came before is stored, mend it and run "
                    "the same again"
                ) from error
        else:
            yield buffer[at:end], value
            at, number = end, number + 1
            continue
        chunk = file.read(MAX_LINE)
        ended = not chunk
        buffer, at = buffer[at:] + decode(chunk, ended), 0


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _header(text: bytes) -> tuple[list[str], str] | None:
    """The names of the columns and what parts them, if this is the header of a table of triples.

    Raises:
        ConfigurationError: It has a column that means nothing here.
    """
    line = text.decode("utf-8", "replace")
    for delimiter in _DELIMITERS:
        try:
            columns = [name.strip().casefold() for name in next(csv.reader([line], delimiter=delimiter))]
        except csv.Error:
            return None
        named = names_of_parts(columns)
        if len(named) == 3:
            known = {*named.values(), *Line.model_fields}
            if unknown := [name for name in columns if name not in known]:
                raise ConfigurationError(
                    f"the columns {', '.join(map(ascii, unknown))} mean nothing here; drop them, or name them one of "
                    f"{', '.join(Line.model_fields)}"
                )
            return columns, delimiter
    return None


def _of_rows(lines: Iterator[tuple[int, bytes]], columns: list[str], delimiter: str, source: Source) -> Iterator[Given]:
    start = next(lines)[0]
    reader = csv.reader((raw.decode("utf-8", "surrogateescape") for _, raw in lines), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Given(start + reader.line_num, b"", None, source, f"it is not CSV ({error})")
            continue
        number, raw = start + reader.line_num, delimiter.join(row).encode("utf-8", "surrogateescape")
        if len(row) > len(columns):
            yield Given(number, raw, None, source, f"it has {len(row)} cells, and the header {len(columns)}")
        elif any(cell.strip() for cell in row):
            record = {name: cell for name, cell in zip(columns, row, strict=False) if cell.strip()}
            yield _given(number, raw, record, source, strict=False)
