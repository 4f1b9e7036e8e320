"""Builds the training files: what is taken from where, what is kept aside, and a record of it with licences and hashes.

``write.jsonl`` and ``read.jsonl`` are trained on. ``held_out`` keeps the documents of Re-DocRED that are not, and a
world of held-out forms, for measuring. Texts that name what the demonstration shows are left out and counted.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError, ModelError
from langchain_memllm.local.manifest import sha256
from langchain_memllm.memory import Memory
from langchain_memllm.training.data import Keep, answers_of, fill, read_document, write_document
from langchain_memllm.training.documents import Document, read_redocred, split, swapped
from langchain_memllm.training.edits import Edited, counterfact, fewrel, knowedit, property_labels
from langchain_memllm.training.everyday import Everyday
from langchain_memllm.training.examples import ReadDocument, WriteDocument, load, save
from langchain_memllm.training.world import World

__all__ = ["SHIPPED", "Built", "Sources", "build"]

SHIPPED: Final = ("Kleiva", "Smoljak", "Stemmle")
"""Surnames of the people in the text that the demonstration reads; nothing that names them is trained on."""

_LICENCES: Final = {
    "redocred": "MIT; text of Wikipedia, CC BY-SA",
    "fewrel": "MIT; text of Wikipedia, CC BY-SA",
    "counterfact": "MIT",
    "knowedit": "Apache-2.0 (KnowEdit: MIT)",
    "everyday": "Apache-2.0, made by this package",
    "world": "Apache-2.0, made by this package; labels of --properties: CC0, Wikidata",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """What to build from; everything is optional.

    Args:
        redocred: Documents in Re-DocRED's format. One file is divided; with ``redocred_held_out`` it is used whole.
        redocred_held_out: Another file of documents, kept aside whole.
        train_documents: How many documents of a divided file are trained on.
        swaps: Counterfactual copies of each document.
        fewrel: FewRel's sentences.
        fewrel_each: Sentences of each relation.
        counterfact: CounterFact's edits.
        knowedit: Training parts of KnowEdit.
        edits: Most edits of one file; drawn from it if it has more.
        articles: Articles of the synthetic world; a conversation for every two, questions about every third fact.
        facts: Facts of the synthetic world that no article states, each told in a sentence and asked for.
        properties: Labels of relations (JSON, id to label), for every second of these facts.
        everyday: Conversations of people about themselves, to write only.
        mistakes: Each call in Re-DocRED also has an answer that does not help, see ``data.read_document``.
        writes: What a writer wrote of these documents (JSON lines, kind "write"), to fill the reader's memory with;
            the gold triples by default.
        seed: Decides everything that is drawn.
    """

    redocred: Path | None = None
    redocred_held_out: Path | None = None
    train_documents: int = 400
    swaps: int = 1
    fewrel: Path | None = None
    fewrel_each: int = 40
    counterfact: Path | None = None
    knowedit: tuple[Path, ...] = ()
    edits: int = 3_000
    articles: int = 3_000
    facts: int = 0
    properties: Path | None = None
    everyday: int = 0
    mistakes: bool = True
    writes: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what would be ignored silently."""
        if self.facts < 0 or (self.properties and not self.facts):
            raise ConfigurationError(
                f"{self.facts} facts of the synthetic world cannot be told; give --facts 1000, every second one of a "
                "relation in --properties, or leave both out"
            )


@dataclass(slots=True)
class Built:
    """How many documents each source gave, to write and to read, and how many were left out for naming the demo's."""

    write: Counter[str]
    read: Counter[str]
    left_out: int = 0
    without_labels: int = 0


def build(
    out: Path, sources: Sources, *, keep: Keep | None = None, report: Callable[[str], None] = lambda _what: None
) -> Built:
    """Write the training files and what is held out.

    Args:
        out: Folder; files of an earlier build in it are replaced.
        sources: What to build from.
        keep: Filter for relations without evidence, see ``data.write_document``.
        report: Told what is being built.

    Raises:
        ConfigurationError: A source that cannot be used, or none.
        ModelError: ``out`` cannot be written.
    """
    writes: list[WriteDocument] = []
    reads: list[ReadDocument] = []
    built = Built(Counter(), Counter())
    held_out: list[Document] = []
    for name, made in _made(sources, keep, held_out, report, built):
        for document in made:
            if _shipped(json.dumps(document.as_dict(), ensure_ascii=False)):
                built.left_out += 1
            elif isinstance(document, WriteDocument):
                writes.append(document)
                built.write[name] += 1
            else:
                reads.append(document)
                built.read[name] += 1
    if not writes:
        raise ConfigurationError("there is nothing to build from; give --redocred or --articles, see --help")
    try:
        _save(out, writes, reads, held_out, sources, built)
    except OSError as error:
        raise ModelError(
            f"the data cannot be written to {out} ({error}); free space there or give another --out"
        ) from (error)
    return built


Made = Iterable[WriteDocument | ReadDocument]


def _made(
    sources: Sources, keep: Keep | None, held_out: list[Document], report: Callable[[str], None], built: Built
) -> Iterable[tuple[str, Made]]:
    """Name and documents of every source."""
    given = _writes(sources.writes)
    if sources.redocred:
        report("Re-DocRED")
        documents = _divided(sources, held_out)
        built.without_labels = sum(not document.labels for document in documents)
        mistakes = (sources.mistakes, sources.seed)
        yield "redocred", _both(documents, keep, given, built, *mistakes)
        for number in range(sources.swaps):
            swaps = [swapped(document, documents, sources.seed + number) for document in documents]
            yield "redocred swapped", _both(swaps, keep, {}, built, *mistakes)
    if sources.fewrel:
        report("FewRel")
        yield "fewrel", _both(fewrel(sources.fewrel, sources.fewrel_each), keep, {}, built)
    if sources.counterfact:
        report("CounterFact")
        yield "counterfact", _drawn(counterfact(sources.counterfact), sources)
    for file in sources.knowedit:
        report("KnowEdit")
        yield "knowedit", _drawn(knowedit(file), sources)
    if sources.articles:
        report("the synthetic world")
        yield "world", _world(World(sources.seed), sources.articles, keep, built)
    if sources.facts:
        report("facts of the synthetic world")
        yield "world facts", _facts(World(sources.seed + 2), sources)
    if sources.everyday:
        report("everyday conversations")
        everyday = Everyday(sources.seed)
        yield "everyday", (everyday.conversation() for _ in range(sources.everyday))


def _drawn(edits: Sequence[Edited], sources: Sources) -> Made:
    """The documents of some edits, in their order."""
    kept = sorted(random.Random(sources.seed).sample(range(len(edits)), min(sources.edits, len(edits))))  # noqa: S311
    return (part for at in kept for part in edits[at])


def _divided(sources: Sources, held_out: list[Document]) -> list[Document]:
    assert sources.redocred is not None
    documents = read_redocred(sources.redocred)
    if sources.redocred_held_out:
        held_out += read_redocred(sources.redocred_held_out)
        return documents
    trained, rest = split(documents, sources.train_documents, sources.seed)
    held_out += rest
    return trained


def _writes(file: Path | None) -> dict[str, WriteDocument]:
    documents = load([file]) if file else []
    return {document.source: document for document in documents if isinstance(document, WriteDocument)}


def _both(
    documents: Sequence[Document],
    keep: Keep | None,
    given: dict[str, WriteDocument],
    built: Built,
    mistakes: bool = False,
    seed: int = 0,
) -> Made:
    """The writer's documents, then the reader's, answered by a memory of what was written of all of them.

    What names the demonstration's people does not even enter that memory: its answers are text, too.
    """
    used = [document for document in documents if not _shipped(document.text)]
    built.left_out += len(documents) - len(used)
    documents = used
    written = [write_document(document, keep) for document in documents]
    yield from written
    others = answers_of(documents) if mistakes else None
    with Memory() as memory:
        fill(memory, [given.get(document.source, document) for document in written], _NAMESPACE)
        for document in documents:
            yield read_document(document, memory, _NAMESPACE, others, seed)


_NAMESPACE: Final = ("memllm", "training")


def _world(world: World, articles: int, keep: Keep | None, built: Built) -> Made:
    made = world.articles(articles)
    yield from _both([article.document for article in made], keep, {}, built)
    for article in made:
        for fact in article.facts[::3]:
            yield from world.question(fact)
    for _ in range(articles // 2):
        yield from world.conversation()


def _facts(world: World, sources: Sources) -> Made:
    labels = property_labels(sources.properties) if sources.properties else ()
    for _ in range(sources.facts):
        yield from world.question(world.fact(labels))


def _shipped(text: str) -> bool:
    return any(name in text for name in SHIPPED)


def _save(
    out: Path,
    writes: Sequence[WriteDocument],
    reads: Sequence[ReadDocument],
    held_out: Sequence[Document],
    sources: Sources,
    built: Built,
) -> None:
    kept = out / "held_out"
    kept.mkdir(parents=True, exist_ok=True)
    save(writes, out / "write.jsonl")
    save(reads, out / "read.jsonl")
    save([write_document(document) for document in held_out], kept / "redocred-write.jsonl")
    (kept / "redocred-titles.json").write_text(
        json.dumps([document.title for document in held_out], ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    world = list(_world(World(sources.seed + 1, held_out=True), min(sources.articles, 200), None, built))
    save([document for document in world if isinstance(document, WriteDocument)], kept / "world-write.jsonl")
    save([document for document in world if isinstance(document, ReadDocument)], kept / "world-read.jsonl")
    (out / "data.json").write_text(json.dumps(_record(out, sources, built), indent=2) + "\n", encoding="utf-8")


def _record(out: Path, sources: Sources, built: Built) -> dict[str, Any]:
    """What the files are made from: choices, hashes of the sources and of the files, counts, licences."""
    choices = asdict(sources)
    given = (sources.redocred, sources.fewrel, sources.counterfact, sources.properties, *sources.knowedit)
    files = [path for path in given if path]
    return {
        "choices": {key: value for key, value in choices.items() if isinstance(value, int)},
        "sources": {path.name: sha256(path) for path in files},
        "files": {name: sha256(out / name) for name in ("write.jsonl", "read.jsonl")},
        "write": dict(built.write),
        "read": dict(built.read),
        "left_out_because_shipped": built.left_out,
        "documents_without_labels": built.without_labels,
        "licences": {name: text for name, text in _LICENCES.items() if any(name in key for key in built.write)},
    }
