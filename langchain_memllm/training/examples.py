"""What models are trained on: texts with their calls, and the tokens of each with a mask of what is learnt.

Two kinds of documents, one JSON line each: sentences with the triples a writer should write, and pieces of text with
the read calls between them. ``write_tokens`` and ``read_tokens`` turn them into examples, token by token what inference
feeds and expects: prompts come from ``local.writer``, contexts from ``reading``, tags from ``grammar`` (arXiv
2404.11672). Learnt is what the model writes itself: triples and the end of a call, queries, the text after
a call, and where a call opens; never what is handed to it (context, sentence, pasted results, fixed openings).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.grammar import END, READ_WAIT, START, WRITE_OPEN, render_queries, render_write
from langchain_memllm.local.vocabulary import Vocabulary
from langchain_memllm.local.writer import contexts_of, prompt_ids
from langchain_memllm.reading import Call, Generate, Reading, Rules, Segment, next_action
from langchain_memllm.triples import Query, Triple

__all__ = ["Asked", "Example", "ReadDocument", "WriteDocument", "load", "read_tokens", "save", "write_tokens"]

MAX_PROMPT: Final = 512
"""Tokens of context and sentence, as ``WriteOptions.max_prompt_tokens``."""
_LEARNT_OF_A_CALL: Final = (1, 2)  # of the five segments of a reading's call: the queries, and what ends them


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids and, for each, whether the model is to learn to predict it from those before. Both of shape (T,).

    ``closed``: the place of a token before which no call may open; it is learnt among all tokens but those that do.
    ``taught``: for each token, whether a teacher says what comes there; (T,), or empty without one. The teacher reads
    ``plain``: the same text without calls, which ends with the same tokens.
    """

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]
    closed: int | None = None
    taught: tuple[bool, ...] = ()
    plain: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteDocument:
    """Sentences and the triples of each; None where a sentence is context only."""

    source: str
    sentences: tuple[str, ...]
    triples: tuple[tuple[Triple, ...] | None, ...]

    def __post_init__(self) -> None:
        """Check that there are sentences, and triples for each."""
        if not self.sentences or len(self.sentences) != len(self.triples):
            raise ConfigurationError(
                f"{self.source}: {len(self.sentences)} sentences with {len(self.triples)} lists of triples; "
                "give one list (or null) for each, and at least one sentence"
            )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        triples = [None if each is None else [list(triple) for triple in each] for each in self.triples]
        return {"kind": "write", "source": self.source, "sentences": list(self.sentences), "triples": triples}


Asked = tuple[tuple[Query, ...], tuple[str, ...]]
"""The queries of a call and the names pasted into it."""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """Text in pieces and the call between each two: its queries and the names pasted.

    Args:
        source: What it is made from.
        pieces: The text; calls stand between them.
        calls: Queries and names of each.
        ends: Whether the text ends there, as an answer does, so that the end is learnt too.
        mistakes: For each call, by its number, what a reader might ask and be told there that does not help.
    """

    source: str
    pieces: tuple[str, ...]
    calls: tuple[Asked, ...] = ()
    ends: bool = True
    mistakes: Mapping[int, Asked] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that pieces and calls alternate."""
        if not self.pieces or not all(self.pieces) or len(self.pieces) != len(self.calls) + 1:
            raise ConfigurationError(
                f"{self.source}: {len(self.pieces)} pieces of text with {len(self.calls)} calls; calls stand between "
                "pieces that are not empty"
            )
        if not all(queries and names for queries, names in (*self.calls, *self.mistakes.values())):
            raise ConfigurationError(f"{self.source}: a call asks nothing or found nothing; leave it out")
        if not self.mistakes.keys() <= set(range(len(self.calls))):
            raise ConfigurationError(
                f"{self.source}: mistakes of the calls {sorted(self.mistakes)}, of which there are {len(self.calls)}"
            )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        calls = [
            _asked_dict(call) | ({"mistake": _asked_dict(self.mistakes[at])} if at in self.mistakes else {})
            for at, call in enumerate(self.calls)
        ]
        return {"kind": "read", "source": self.source, "pieces": list(self.pieces), "calls": calls, "ends": self.ends}


def _asked_dict(asked: Asked) -> dict[str, Any]:
    queries, names = asked
    return {"queries": [[q.subject, q.relation, q.object] for q in queries], "results": list(names)}


def _asked(data: dict[str, Any]) -> Asked:
    return tuple(Query(*query) for query in data["queries"]), tuple(data["results"])


def save(documents: Iterable[WriteDocument | ReadDocument], file: Path) -> int:
    """Write documents as JSON lines; returns how many."""
    lines = [json.dumps(document.as_dict(), ensure_ascii=False) + "\n" for document in documents]
    file.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def load(files: Sequence[Path]) -> list[WriteDocument | ReadDocument]:
    """Read documents of JSON lines.

    Raises:
        ConfigurationError: A file cannot be read, is empty, or a line is not a document; it says which.
    """
    documents = [document for file in files for document in _lines(file)]
    if not documents:
        raise ConfigurationError(f"{', '.join(map(str, files))}: no documents; build them with `memllm data`")
    return documents


def _lines(file: Path) -> Iterator[WriteDocument | ReadDocument]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read ({error}); build it with `memllm data`") from error
    for number, line in enumerate(lines, 1):
        try:
            yield _from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"line {number} of {file} is not a training document: {error}") from error


def _from_dict(data: dict[str, Any]) -> WriteDocument | ReadDocument:
    if data["kind"] == "write":
        triples = tuple(None if each is None else tuple(Triple(*t) for t in each) for each in data["triples"])
        return WriteDocument(data["source"], tuple(data["sentences"]), triples)
    calls = data["calls"]
    mistakes = {at: _asked(call["mistake"]) for at, call in enumerate(calls) if "mistake" in call}
    pieces, ends = tuple(data["pieces"]), data.get("ends", True)
    return ReadDocument(data["source"], pieces, tuple(map(_asked, calls)), ends, mistakes)


# --- tokens -----------------------------------------------------------------------------------------------------------


class _Tokens:
    """Collects segments, each tokenised on its own, with what is learnt of them."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.learnt: list[bool] = []
        self.taught: list[bool] = []

    def add(self, ids: Sequence[int], learnt: bool, taught: bool = False) -> None:
        self.ids += ids
        self.learnt += [learnt] * len(ids)
        self.taught += [taught] * len(ids)


def write_tokens(
    document: WriteDocument, vocabulary: Vocabulary, *, window: int, max_prompt: int = MAX_PROMPT, spaced: bool = False
) -> list[Example]:
    """One example for each sentence: its prompt as the writer builds it, then the call.

    Raises:
        ConfigurationError: A sentence and its call do not fit the window; the context is cut, they never are.
    """
    examples = []
    contexts = contexts_of(document.sentences)
    for sentence, context, triples in zip(document.sentences, contexts, document.triples, strict=True):
        if triples is None:
            continue
        call = _Tokens()
        call.add(_call_ids(triples, vocabulary, spaced), True)
        room = window - len(call.ids) - len(vocabulary.bos)
        prompt = prompt_ids(vocabulary, sentence, context, max(0, min(max_prompt, room)))
        if len(prompt) > room:
            raise ConfigurationError(
                f"{document.source}: a sentence and its call have {len(prompt) + len(call.ids)} tokens and do not fit "
                f"the window of {window}; split the sentence or train with a larger --window"
            )
        ids = (*vocabulary.bos, *prompt)
        examples.append(Example((*ids, *call.ids), (*(False for _ in ids), *call.learnt)))
    return examples


def _call_ids(triples: Sequence[Triple], vocabulary: Vocabulary, spaced: bool) -> list[int]:
    """What the writer writes after its call was opened: the triples, the end of the call, the end of the text."""
    inside = render_write(triples, spaced=spaced).removeprefix(WRITE_OPEN).removesuffix(END)
    return [*(vocabulary.encode(inside) if inside else []), *vocabulary.encode(END), *_end(vocabulary)]


def read_tokens(
    document: ReadDocument,
    vocabulary: Vocabulary,
    *,
    window: int,
    spaced: bool = False,
    calls: bool = True,
    withdrawn: bool = False,
    teacher: bool = False,
) -> list[Example]:
    """One example for each segment: the text before it, its call, the text up to where the next call opens.

    The text before stands without calls, as only one call is in context at a time. Where a mistake is given, the text
    is learnt after that call too, and its queries are not: so a reader learns how far to trust an answer.

    Args:
        document: Pieces and calls.
        vocabulary: Tokens of the model.
        window: Longest example, in tokens; the beginning of the text before is cut.
        spaced: Rendering style of the queries and results.
        calls: False gives the control: the same text, learnt in the same pieces, without any call.
        withdrawn: Add each text after a call as it goes on when that call was withdrawn: without it. In the place of
            its first token a call is to be opened, so that token is learnt as it is decoded there: among the others.
        teacher: Mark the text that a teacher without a memory can say as well: all but a name that was pasted before.

    Raises:
        ConfigurationError: A call and its text do not fit the window.
    """
    examples = _read_examples(document, vocabulary, window, spaced, calls, withdrawn)
    return examples if teacher else [Example(each.ids, each.learnt, each.closed) for each in examples]


def _read_examples(
    document: ReadDocument, vocabulary: Vocabulary, window: int, spaced: bool, calls: bool, withdrawn: bool
) -> list[Example]:
    numbers = range(len(document.pieces))
    examples = [_read_example(document, number, vocabulary, window, spaced, calls) for number in numbers]
    if not calls:
        return examples
    for at, mistake in sorted(document.mistakes.items()):
        examples.append(_read_example(document, at + 1, vocabulary, window, spaced, calls, mistake))
    if withdrawn:
        examples += [_withdrawn_example(document, number, vocabulary, window) for number in numbers[1:]]
    return examples


def _read_example(
    document: ReadDocument,
    number: int,
    vocabulary: Vocabulary,
    window: int,
    spaced: bool,
    calls: bool,
    mistake: Asked | None = None,
) -> Example:
    tokens, piece = _Tokens(), document.pieces[number]
    text, own = vocabulary.encode(piece, special=number == 0), 0
    if number and calls:
        asked = mistake or document.calls[number - 1]
        for at, segment in enumerate(_segments(_answered(document, number, asked, spaced))[number:]):
            tokens.add(vocabulary.encode(segment.text), mistake is None and at in _LEARNT_OF_A_CALL)
        own = _pasted(piece, text, asked[1], vocabulary)
    before = len(tokens.ids)
    tokens.add(text[:own], True)
    tokens.add(text[own:], True, taught=True)
    _add_what_follows(tokens, document, number, vocabulary, calls)
    return _after(document, number, tokens, before, vocabulary, window)


def _pasted(piece: str, ids: Sequence[int], names: Sequence[str], vocabulary: Vocabulary) -> int:
    """How many of a piece's first tokens are a name that was pasted before it."""
    start = len(piece) - len(piece.lstrip())
    length = max((start + len(name) for name in names if piece.startswith(name, start)), default=0)
    return next((count for count in range(len(ids)) if len(vocabulary.decode(ids[:count])) >= length), len(ids))


def _withdrawn_example(document: ReadDocument, number: int, vocabulary: Vocabulary, window: int) -> Example:
    ids = vocabulary.encode(document.pieces[number])
    tokens = _Tokens()
    tokens.add(ids[:1], ids[0] not in vocabulary.opening, taught=True)
    tokens.add(ids[1:], True, taught=True)
    _add_what_follows(tokens, document, number, vocabulary, calls=True)
    example = _after(document, number, tokens, 0, vocabulary, window)
    return replace(example, closed=len(example.ids) - len(tokens.ids))


def _add_what_follows(
    tokens: _Tokens, document: ReadDocument, number: int, vocabulary: Vocabulary, calls: bool
) -> None:
    """What comes after a piece: the opening of the next call, which no teacher knows, or the end of the text."""
    if number < len(document.calls):
        tokens.add(vocabulary.encode(START) if calls else [], True)
    elif document.ends:
        tokens.add(_end(vocabulary), True, taught=True)


def _answered(document: ReadDocument, number: int, asked: Asked, spaced: bool) -> Reading:
    """The reading after the call before piece ``number`` was answered: what the model then goes on from."""
    queries, names = asked
    prompt, *pieces = (Segment(piece) for piece in document.pieces[:number])
    written = render_queries(queries, spaced=spaced) + READ_WAIT
    call = Call(len(pieces), written, queries, (names,), names)
    return Reading(prompt.text, Rules(spaced=spaced), pieces=tuple(pieces), calls=(call,), live=0)


def _segments(reading: Reading) -> tuple[Segment, ...]:
    action = next_action(reading)
    assert isinstance(action, Generate)
    return action.segments


def _end(vocabulary: Vocabulary) -> list[int]:
    end = vocabulary.tokenizer.eos_token_id
    return [] if end is None else [end]


def _after(
    document: ReadDocument, number: int, tokens: _Tokens, call: int, vocabulary: Vocabulary, window: int
) -> Example:
    """The example after the text before it, whose beginning is cut to the window; what is learnt is never cut.

    ``call``: how many of its tokens are a call, which a teacher does not read.
    """
    bos = list(vocabulary.bos)
    room = window - len(tokens.ids) - len(bos)
    if room < 0:
        raise ConfigurationError(
            f"{document.source}: {len(tokens.ids)} tokens of text and call do not fit the window of {window}; shorten "
            "that text or train with a larger --window"
        )
    context = [
        id_ for at, piece in enumerate(document.pieces[:number]) for id_ in vocabulary.encode(piece, special=not at)
    ]
    whole = _Tokens()
    whole.add([*bos, *context[max(0, len(context) - room) :]], False)
    return Example(
        (*whole.ids, *tokens.ids),
        (*whole.learnt, *tokens.learnt),
        taught=(*whole.taught, *tokens.taught),
        plain=(*whole.ids, *tokens.ids[call:]),
    )
