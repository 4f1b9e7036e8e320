"""A27: hundreds of canaries in every place where text can stay; after forgetting, no byte of them is left.

Each canary is a name that occurs nowhere else. It is put into one of the places (a name, an object, a sentence, what
waits, quarantine, the name of an operation, a turn …), beside facts of a neighbour that share its sources, and
forgotten by name, slot, fact or source. Then every file is searched for its bytes (of a server: every property), every
way to ask is tried, and the neighbours' records must be what they were. Reads are bounded besides: no answer holds
more than 30.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_memllm.belief import Quarantined
from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.stores import open_store
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.triples import Source, Statement
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.graph import texts_in
from langchain_memllm.verify.ledger import Counts
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder

__all__ = ["PLACES", "run"]

NS = ("verify", "a27")
ME: Final = Source("user", "chat", "ada")
PAGE: Final = Source("web", "https://example.org")
_BOUND: Final = 30

Put = Callable[[Memory, str], None]
Forget = Callable[[Memory, str], object]


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """``scale`` canaries, each place in turn, at least one a place.

    Sabotage never purges; on a server it closes facts instead of erasing them.
    """
    scale = max(scale, len(PLACES))
    random_ = random.Random(seed)  # noqa: S311 - names, not secrets
    path, counts = folder / "erasure.db", Counts()
    auth = ("", "") if server is None else (server.user, server.password)
    store: Any = path if server is None else open_store(server.uri, auth=auth, deadline=PATIENT)
    canaries = [f"Canary{random_.getrandbits(60):015x}" for _ in range(scale)]
    chosen = [list(PLACES.items())[number % len(PLACES)] for number in range(scale)]
    with contextlib.ExitStack() as opened, Memory(store, embedder=TinyEmbedder(), limits=UNLIMITED) as memory:
        if server is not None:
            opened.callback(memory.store.close)
            memory.forget(everything=True, namespace=NS)
        before = _neighbours(memory, canaries)
        for number, (canary, (_, (put, _))) in enumerate(zip(canaries, chosen, strict=True), start=1):
            put(memory, canary)
            memory.recall(f"What of {canary}?", namespace=NS)
            counts.tell(number, scale, "canaries planted")
        for canary, (_, (_, forget)) in zip(canaries, chosen, strict=True):
            if server is not None and sabotage:
                _close(memory, canary)
            else:
                forget(memory, canary)
        _purge(memory, counts, wanted=server is None and not sabotage)
        asked = [c for c in canaries if any(c.casefold() in told.casefold() for told in _told(memory, c))]
        counts.lost += len(before - _records(memory))
        counts.problems += _unbounded(memory)
        found = _found(folder, canaries) if server is None else _found_in(server, canaries)
        if any(canary.casefold() in text.casefold() for text in memory.vectors.texts_held for canary in canaries):
            counts.problems.append("the embedder's cache holds a canary")
    found |= _found(folder, canaries)
    counts.wrong += len(found | set(asked))
    places = sorted({chosen[canaries.index(canary)][0] for canary in found | set(asked)})
    counts.problems += [f"left of what was put as {place}" for place in places]
    counts.figures = {"canaries": scale, "places": len(PLACES), "neighbours' records": len(before)}
    return counts


# -- where a canary is put, and how it is forgotten --------------------------------------------------------------------


def _write(*triples: tuple[str, str, str], source: Source = ME, **options: Any) -> Put:
    """Write triples with the canary in the place of ``{}``, also in the source and the options."""

    def put(memory: Memory, canary: str) -> None:
        told = [tuple(part.replace("{}", canary) for part in triple) for triple in triples]
        where = Source(source.kind, source.ref.replace("{}", canary), source.principal, _filled(source.text, canary))
        given: dict[str, Any] = {
            name: _filled(value, canary) if isinstance(value, str) else value for name, value in options.items()
        }
        memory.write(told, namespace=NS, source=where, **given)

    return put


def _filled(text: str | None, canary: str) -> str | None:
    return None if text is None else text.replace("{}", canary)


def _quarantined(text: str, reason: str = "cut off", fact: str = "Bob") -> Put:
    def put(memory: Memory, canary: str) -> None:
        piece = Quarantined(text.replace("{}", canary), reason.replace("{}", canary), ME)
        triple = (fact.replace("{}", canary), "likes", f"tea {canary[-6:]}")
        memory.write([triple], namespace=NS, source=ME, quarantine=[piece])

    return put


def _steps(*puts: Put) -> Put:
    def put(memory: Memory, canary: str) -> None:
        for each in puts:
            each(memory, canary)

    return put


def _alias(memory: Memory, canary: str) -> None:
    memory.write([("Nick " + canary[-6:], "likes", "tea")], namespace=NS, source=ME)
    memory.alias("Nick " + canary[-6:], canary, namespace=NS)


def _retracted(memory: Memory, canary: str) -> None:
    memory.write([(canary, "likes", "rum")], namespace=NS, source=ME)
    memory.retract((canary, "likes", "rum"), namespace=NS, source=ME)


def _refused(memory: Memory, canary: str) -> None:
    bad: list[Any] = [(canary + "\x07", "likes", "tea"), {"subject": canary}, Statement(canary, "likes", "tea", "soon")]
    memory.write([*bad, (canary, "likes", "tea")], namespace=NS, source=ME)


def _moved(memory: Memory, canary: str) -> None:
    with Memory(embedder=TinyEmbedder()) as other:
        other.write([(canary, "likes", "tea")], namespace=("other",), op_id=f"move {canary}")
        memory.restore([record for record in other.export(namespace=("other",))], namespace=NS)


def _said(text: str, *, ref: str = "", speaker: str | None = None, fact: bool = False) -> Put:
    """Keep a turn, and one beside it; with ``fact`` also what is taken from it."""

    def put(memory: Memory, canary: str) -> None:
        thread = f"thread {canary[-6:]}"
        source = Source("user", _filled(ref, canary) or f"{thread}/1", "ada", _filled(text, canary))
        said = Turn(
            Turn.named(thread, "1"),
            thread,
            text.replace("{}", canary),
            ref=source.ref,
            speaker=_filled(speaker, canary),
        )
        Hub(memory).keep([said, Turn(Turn.named(thread, "2"), thread, "I see.", role="assistant")], namespace=NS)
        if fact:
            memory.write([(canary, "lives in", "Oslo")], namespace=NS, source=source)

    return put


def _by_name(memory: Memory, canary: str) -> object:
    return memory.forget(name=canary, namespace=NS)


def _by_slot(memory: Memory, canary: str) -> None:
    memory.forget(subject=canary, relation="lives in", namespace=NS)


def _by_facts(memory: Memory, canary: str) -> None:
    for fact in [*memory.facts(canary, namespace=NS), *memory.facts(object=canary, namespace=NS)]:
        memory.forget(fact_id=fact.id, namespace=NS)


def _by_source(memory: Memory, canary: str) -> object:
    return memory.forget(source=f"page of {canary}", namespace=NS)


PLACES: Final[dict[str, tuple[Put, Forget]]] = {
    "a subject": (_write(("{}", "likes", "tea")), _by_name),
    "an object": (_write(("Bob", "knows", "{}")), _by_name),
    "a literal": (_write(("Bob", "password", "{}")), _by_name),
    "a part of a relation": (_write(("Bob", "is the friend {} of", "Al")), lambda m, c: _by_relation(m, c)),
    "a slot": (_write(("{}", "lives in", "Oslo")), _by_slot),
    "a fact by its id": (_write(("{}", "likes", "gin"), ("Bob", "knows", "{}")), _by_facts),
    "a superseded fact": (_steps(_write(("{}", "lives in", "Oslo")), _write(("{}", "lives in", "Rome"))), _by_name),
    "a superseded value": (
        _steps(_write(("{} h", "lives in", "Old {}")), _write(("{} h", "lives in", "Rome"))),
        lambda m, c: (m.forget(name=f"{c} h", namespace=NS), m.forget(name=f"Old {c}", namespace=NS)),
    ),
    "a retracted fact": (_retracted, _by_name),
    "a contested value": (_write(("{}", "lives in", "Oslo"), ("{}", "lives in", "Rome")), _by_slot),
    "an alias": (_alias, _by_name),
    "another case": (_steps(_write(("{}", "likes", "tea")), _write(("{}.", "likes", "Gin"))), _by_name),
    "a sentence": (_write(("{}", "likes", "tea"), source=Source("user", "chat", "ada", "{} likes tea.")), _by_name),
    "the name of an operation": (_write(("Bob", "likes", "tea"), op_id="message of {}"), _by_name),
    "the name of its operation": (_write(("{}", "likes", "tea"), op_id="about {}"), _by_name),
    "quarantine": (_quarantined("{} >>"), _by_name),
    "the reason of quarantine": (_quarantined("a piece", "{} is not a name"), _by_name),
    "quarantine beside a fact": (_quarantined("also {}s rum", fact="{}"), _by_facts),
    "what was refused": (_refused, _by_name),
    "a source": (_write(("Bob", "owns", "{}"), source=Source("web", "page of {}")), _by_source),
    "a sentence of a source": (
        _write(("Bob", "owns", "a car"), source=Source("web", "page of {}", text="{} sold it.")),
        _by_source,
    ),
    "what a source closed": (
        _steps(_write(("{}", "employer", "A")), _write(("{}", "employer", "B"), source=Source("user", "page of {}"))),
        lambda m, c: [forget(m, c) for forget in (_by_source, _by_name)],
    ),
    "a replaced document": (
        _steps(
            _write(("{}", "likes", "tea"), source=Source("document", "notes"), replace=True),
            _write(("Bob", "likes", "tea"), source=Source("document", "notes"), replace=True),
        ),
        _by_name,
    ),
    "an imported fact": (_moved, _by_name),
    "what was said": (_said("I met {} today. 🎉"), _by_name),
    "what a fact was taken from": (_said("{} lives in Oslo now.", fact=True), _by_slot),
    "what was said, by its source": (_said("Say {}.", ref="page of {}"), _by_source),
    "who said it": (_said("Good morning.", speaker="{}"), _by_name),
}
"""What it is called, how it is put there, and how it is forgotten."""


def _by_relation(memory: Memory, canary: str) -> None:
    for fact in list(memory.facts("Bob", f"is the friend {canary} of", namespace=NS)):
        memory.forget(fact_id=fact.id, namespace=NS)


# -- what is left ------------------------------------------------------------------------------------------------------


def _neighbours(memory: Memory, canaries: Sequence[str]) -> set[str]:
    """Facts of others from the same sources and about the same things; returns their records."""
    for number in range(0, len(canaries), 5):
        triples = [(f"Neighbour {number}", "lives in", "Oslo"), (f"Neighbour {number}", "likes", "tea")]
        memory.write(triples, namespace=NS, source=(ME, PAGE)[number % 2], op_id=f"neighbour {number}")
        memory.alias(f"Neighbour {number}", f"N{number}", namespace=NS)
    return _records(memory)


def _records(memory: Memory) -> set[str]:
    """The neighbours' facts, names and operations, as an export has them."""
    return {
        json.dumps(record, sort_keys=True)
        for record in memory.export(namespace=NS)
        if record["type"] in ("fact", "alias", "operation") and "eighbour" in json.dumps(record)
    }


def _purge(memory: Memory, counts: Counts, *, wanted: bool) -> None:
    """The last thing that is forgotten is purged with all the others."""
    memory.write([("The last one", "likes", "tea")], namespace=NS, source=ME)
    erased = memory.forget(name="The last one", namespace=NS, purge=wanted)
    if erased.facts != 1:
        counts.problems.append(f"the last one: {erased!r}")


def _close(memory: Memory, canary: str) -> None:
    for fact in list(memory.facts(canary, namespace=NS, open_only=True)):
        memory.retract(fact.triple, namespace=NS, source=ME)


def _told(memory: Memory, canary: str) -> Iterator[str]:
    """Every way to ask; of a question only what was not in it counts."""
    yield from memory.read(canary, None, namespace=NS).answers
    yield from (str(fact) for fact in memory.history(canary, namespace=NS))
    yield from (str(match.triple) for match in memory.recall(f"What of {canary}?", namespace=NS))
    yield from (hit.turn.text for hit in Hub(memory).search(canary, namespace=NS))
    yield from (piece.text + piece.reason for piece in memory.quarantined(namespace=NS))


def _unbounded(memory: Memory) -> list[str]:
    """A name with a hundred answers is answered with thirty, and says that there are more."""
    memory.write([("Hub", "likes", f"thing {number}") for number in range(100)], namespace=NS, source=ME)
    found = memory.read("Hub", "likes", namespace=NS)
    sizes = [len(found), len(memory.recall("Hub", namespace=NS)), len(memory.read("Hub", None, namespace=NS))]
    return [] if found.truncated and max(sizes) <= _BOUND else [f"a read answered with {sizes} facts"]


def _found(folder: Path, canaries: Sequence[str]) -> set[str]:
    """Canaries whose bytes are in a file of the folder, in any case."""
    held = [path.read_bytes().lower() for path in folder.iterdir() if path.is_file()]
    return {canary for canary in canaries if any(canary.lower().encode() in each for each in held)}


def _found_in(server: LocalServer, canaries: Sequence[str]) -> set[str]:
    held = "\x00".join(texts_in(server.uri, (server.user, server.password))).casefold()
    return {canary for canary in canaries if canary.casefold() in held}
