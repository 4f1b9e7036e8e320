"""A07: a memory and a plain dictionary are told the same, sync and async, over restarts; both must tell the same.

The dictionary knows only what a user is promised: a person's newest value of a single-valued relation is the current
one, other relations collect, what was believed at a moment is still told, forgetting leaves nothing, also of the past,
and tenants are apart. What was said is held word for word, in episodes, with its newest text, and what of it was
forgotten does not come back. It shares no code with the stores.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from langchain_memllm.hub import Hub
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.stores import open_store
from langchain_memllm.stores.episodes import Turn, TurnFilter
from langchain_memllm.triples import Namespace, Source
from langchain_memllm.verify.ledger import Counts, Names, integrity
from langchain_memllm.verify.processes import UNLIMITED, TinyEmbedder

__all__ = [
    "CALLER",
    "MANY",
    "ME",
    "NAMES",
    "SCOPES",
    "SINGLE",
    "THREADS",
    "Model",
    "Said",
    "Talk",
    "key_of",
    "run",
    "said",
]

SINGLE: Final = "lives in"
MANY: Final = "likes"
NAMES: Final = ("Ada", "ADA", "Bob", "Oslo", "tea", "N\u00e9o 😀", "x>>y;")
ME: Final = Source("user", "chat", "me")
STEPS: Final = 30
"""Steps before a tenant is left for a new one: a dictionary is compared as a whole after each."""


def key_of(subject: str, relation: str, object_: str) -> Names:
    """A triple as the dictionary keeps it."""
    return subject.casefold(), relation, object_.casefold()


@dataclass(slots=True)
class Entry:
    """A triple, the step since which it was believed, and the one that ended it."""

    key: Names
    begun: int
    ended: int | None = None


@dataclass(slots=True)
class Model:
    """What one tenant's memory should hold, oldest first."""

    entries: list[Entry] = field(default_factory=list)

    @property
    def ever(self) -> list[Names]:
        """Every triple that was stored and not forgotten."""
        return [entry.key for entry in self.entries]

    def current(self, at: int | None = None) -> list[Names]:
        """What is believed now, or was after a step."""
        return [
            entry.key
            for entry in self.entries
            if (entry.ended is None if at is None else entry.begun <= at and (entry.ended is None or entry.ended > at))
        ]

    def write(self, key: Names, at: int = 0) -> str:
        """Write a triple; returns the status of its outcome."""
        if key[0] == key[2]:
            return "rejected"
        if key in self.current():
            return "already"
        if key[1] == SINGLE:
            self._end(lambda entry: entry.key[:2] == key[:2], at)
        self.entries.append(Entry(key, at))
        return "stored"

    def retract(self, key: Names, at: int = 0) -> str:
        """Retract a triple; returns the status of its outcome."""
        if key[0] == key[2]:
            return "rejected"
        return "retracted" if self._end(lambda entry: entry.key == key, at) else "not_found"

    def forget(self, gone: Callable[[Names], bool]) -> int:
        """Forget triples; returns how many."""
        before = len(self.entries)
        self.entries = [entry for entry in self.entries if not gone(entry.key)]
        return before - len(self.entries)

    def _end(self, ends: Callable[[Entry], bool], at: int) -> int:
        ending = [entry for entry in self.entries if entry.ended is None and ends(entry)]
        for entry in ending:
            entry.ended = at
        return len(ending)


THREADS: Final = ("trip", "pets")
SCOPES: Final = ("", "plans")
CALLER: Final = "Zelda"
"""Who is named in some of what is said, and forgotten by that name."""
_BEGIN: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
_PAUSE: Final = 30  # minutes


@dataclass(slots=True)
class Said:
    """A turn as it should be held; ``minute`` is when it was said, ``number`` that of its episode."""

    thread: str
    message: str
    text: str
    scope: str
    minute: int
    number: int = 0

    @property
    def ref(self) -> str:
        """Name of its source."""
        return f"{self.thread}/{self.message}"

    @property
    def turn(self) -> Turn:
        """As the memory is told it."""
        at = (_BEGIN + timedelta(minutes=self.minute)).isoformat(timespec="microseconds")
        name = Turn.named(self.thread, self.message)
        return Turn(name, self.thread, self.text, at, ref=self.ref, scope=self.scope)


@dataclass(slots=True)
class Talk:
    """What one tenant's memory should hold of what was said, in the order in which it came."""

    turns: list[Said] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # what was forgotten does not come back

    def keep(self, said: Said) -> None:
        """A turn is delivered, for the first time or again."""
        held = next((turn for turn in self.turns if turn.ref == said.ref), None)
        if said.ref in self.gone:
            return
        if held is not None:
            held.text = said.text
            return
        said.number = max((turn.number for turn in self.turns if turn.thread == said.thread), default=0)
        last = self.episode(said.thread, said.number)
        if not last or said.minute - last[-1].minute > _PAUSE:
            said.number += 1
        self.turns.append(said)

    def take_back(self, ref: str) -> int:
        """A turn was deleted from its thread, and may be said again; returns how many went."""
        return self._keep_only(lambda turn: turn.ref != ref)

    def forget_source(self, ref: str) -> int:
        """Forget what was said in a message; returns how many turns went."""
        gone = self._keep_only(lambda turn: turn.ref != ref)
        self.gone |= {ref} if gone else set()
        return gone

    def forget_caller(self) -> int:
        """Forget the sentences that name the caller; returns how many turns changed."""
        named = [turn for turn in self.turns if CALLER in turn.text]
        for turn in named:
            turn.text = turn.text.partition(". ")[2]
            self.gone.add(turn.ref)
        return len(named)

    def episode(self, thread: str, number: int) -> list[Said]:
        """The turns of an episode."""
        return [turn for turn in self.turns if (turn.thread, turn.number) == (thread, number)]

    def seen(self, thread: str, scopes: Collection[str] | None = None) -> list[str]:
        """What is held of a thread, of these scopes."""
        return [turn.text for turn in self.turns if turn.thread == thread and (scopes is None or turn.scope in scopes)]

    def numbers(self, thread: str) -> list[int]:
        """The episodes of a thread, the last first."""
        return sorted({turn.number for turn in self.turns if turn.thread == thread}, reverse=True)

    def _keep_only(self, kept: Callable[[Said], bool]) -> int:
        before = len(self.turns)
        self.turns = [turn for turn in self.turns if kept(turn)]
        return before - len(self.turns)


def said(number: int, thread: str, scope: str, minute: int, *, named: bool) -> Said:
    """Something that is said, found by a word that nothing else has; some name the caller."""
    text = f"{CALLER} called. " * named + f"I saw word{number} there"
    return Said(thread, str(number), text, scope, minute)


def run(folder: Path, *, scale: int, seed: int, sabotage: bool) -> Counts:
    """``scale`` steps, every second run of them async; sabotage writes facts that the dictionary is not told of."""
    counts, random_ = Counts(), random.Random(seed)  # noqa: S311 - a workload, not secrets
    path, done = folder / "model.db", 0
    with closing(asyncio.new_event_loop()) as loop:
        machine = _Machine(path, random_, counts, loop, sabotage)
        while done < scale:
            machine.begin(asynchronous=done // STEPS % 2 == 1)
            for _ in range(min(STEPS, scale - done)):
                machine.step()
                done += 1
                counts.tell(done, scale, "steps")
        machine.close()
    counts.problems += integrity(path)
    counts.figures = {"steps": scale, **machine.times}
    return counts


class _Machine:
    """Draws steps and takes each on both sides."""

    def __init__(
        self, path: Path, random_: random.Random, counts: Counts, loop: asyncio.AbstractEventLoop, sabotage: bool
    ) -> None:
        self.path, self.random, self.counts, self.loop, self.sabotage = path, random_, counts, loop, sabotage
        self.memory = self._opened()
        self.times: dict[str, int] = {}
        self.asynchronous = False
        self.names: tuple[Namespace, ...] = ()
        self.models: dict[Namespace, Model] = {}
        self.talks: dict[Namespace, Talk] = {}
        self.minute = 0
        self.delivered: list[tuple[str, Namespace, Names, str]] = []
        self.moments: list[str] = []

    def begin(self, *, asynchronous: bool) -> None:
        """Two new tenants."""
        run = uuid.UUID(int=self.random.getrandbits(128)).hex
        self.names = tuple(("verify", run, tenant) for tenant in ("one", "two"))
        self.models, self.delivered, self.moments = {name: Model() for name in self.names}, [], []
        self.talks = {name: Talk() for name in self.names}
        self.asynchronous = asynchronous

    def step(self) -> None:
        """One step, and a comparison of all that is held."""
        steps: list[Any] = [self.write] * 6 + [self.read] * 3 + [self.past] * 3
        steps += [self.say] * 4 + [self.say_again, self.window, self.search, self.forget_said, self.take_back]
        steps += [self.again, self.retract, self.retract, self.forget_name, self.forget_slot, self.restart]
        chosen: Callable[[Namespace], None] = (
            self.forget_everything if self.random.random() < 0.01 else self.random.choice(steps)
        )
        name = getattr(chosen, "__name__", "step")
        self.times[name] = self.times.get(name, 0) + 1
        namespace = self.random.choice(self.names)
        chosen(namespace)
        self.moments.append(_now())
        self.compare()

    def write(self, namespace: Namespace) -> None:
        """One to three triples in one operation."""
        triples = [self.triple() for _ in range(self.random.choice([1, 1, 1, 3]))]
        triples = triples[:1] if triples[0][1] == SINGLE else [(s, MANY, o) for s, _, o in triples]
        op_id = f"op {len(self.moments)}"
        if self.sabotage and self.random.random() < 0.025:
            self.call("write", [("somebody", MANY, "else")], namespace=namespace, source=ME)
        receipt = self.call("write", triples, namespace=namespace, source=ME, op_id=op_id)
        expected = [self.models[namespace].write(key_of(*triple), len(self.moments)) for triple in triples]
        self.expect(f"a write of {len(triples)}", [outcome.status for outcome in receipt], expected)
        if len(triples) == 1:
            self.delivered.append((op_id, namespace, triples[0], expected[0]))

    def again(self, _: Namespace) -> None:
        """An operation of before is delivered again."""
        if self.delivered:
            op_id, namespace, triple, status = self.random.choice(self.delivered)
            receipt = self.call("write", [triple], namespace=namespace, source=ME, op_id=op_id)
            told = [outcome.status for outcome in receipt]
            if not receipt.replayed or told not in ([status], ["forgotten"]):
                self.counts.duplicated += 1

    def retract(self, namespace: Namespace) -> None:
        """A triple, more often than not one that is held."""
        held = self.models[namespace].current()
        triple = self.random.choice(held) if held and self.random.random() < 0.6 else self.triple()
        (outcome,) = self.call("retract", triple, namespace=namespace, source=ME)
        expected = self.models[namespace].retract(key_of(*triple), len(self.moments))
        self.expect("a retraction", outcome.status, expected)

    def forget_name(self, namespace: Namespace) -> None:
        """All of a name."""
        name = self.random.choice(NAMES)
        erased = self.call("forget", name=name, namespace=namespace)
        gone = self.models[namespace].forget(lambda key: name.casefold() in (key[0], key[2]))
        self.expect("forgetting a name", erased.facts, gone)

    def forget_slot(self, namespace: Namespace) -> None:
        """All values of a relation of a name."""
        name, relation = self.random.choice(NAMES), self.random.choice((SINGLE, MANY))
        erased = self.call("forget", subject=name, relation=relation, namespace=namespace)
        gone = self.models[namespace].forget(lambda key: key[:2] == (name.casefold(), relation))
        self.expect("forgetting a slot", erased.facts, gone)

    def forget_everything(self, namespace: Namespace) -> None:
        """A whole tenant, whose operations may come again."""
        self.call("forget", everything=True, namespace=namespace)
        self.models[namespace], self.talks[namespace] = Model(), Talk()
        self.delivered = [each for each in self.delivered if each[1] != namespace]

    def say(self, namespace: Namespace) -> None:
        """One to three turns, after a pause or none; the clock may go back."""
        for _ in range(self.random.choice([1, 1, 3])):
            self.minute += self.random.choice([0, 1, 30, 31, 300, -20])
            thread, scope = self.random.choice(THREADS), self.random.choice(SCOPES)
            new = said(len(self.moments), thread, scope, self.minute, named=self.random.random() < 0.2)
            self.keep(namespace, new)

    def say_again(self, namespace: Namespace) -> None:
        """A turn of before, with its text or another."""
        if turns := self.talks[namespace].turns:
            held = self.random.choice(turns)
            text = self.random.choice([held.text, f"{held.text} again"])
            self.keep(namespace, Said(held.thread, held.message, text, held.scope, self.minute))

    def keep(self, namespace: Namespace, turn: Said) -> None:
        """Tell both sides."""
        self.talks[namespace].keep(turn)
        self.heard("keep", [turn.turn], namespace=namespace)

    def take_back(self, namespace: Namespace) -> None:
        """A turn is deleted from its thread."""
        if turns := self.talks[namespace].turns:
            held = self.random.choice(turns)
            gone = self.memory.store.turns.drop(namespace, [held.turn.id])
            self.expect("turns taken back", gone, self.talks[namespace].take_back(held.ref))

    def forget_said(self, namespace: Namespace) -> None:
        """By its source, or all that names the caller."""
        talk = self.talks[namespace]
        if talk.turns and self.random.random() < 0.7:
            ref = self.random.choice(talk.turns).ref
            erased = self.call("forget", source=ref, namespace=namespace)
            self.expect("forgetting a turn", erased.turns, talk.forget_source(ref))
        else:
            erased = self.call("forget", name=CALLER, namespace=namespace)
            self.expect("forgetting what names one", erased.turns, talk.forget_caller())

    def window(self, namespace: Namespace) -> None:
        """The last turns and episodes of a thread."""
        talk, thread, n = self.talks[namespace], self.random.choice(THREADS), self.random.randrange(9)
        found = self.heard("window", thread, n=n, namespace=namespace)
        held = talk.seen(thread)
        self.expect("a window", [turn.text for turn in found.turns], held[len(held) - min(n, len(held)) :])
        episodes = self.heard("episode", session=thread, k=2, namespace=namespace)
        expected = [[turn.text for turn in talk.episode(thread, number)] for number in talk.numbers(thread)[:2]]
        self.expect("the last episodes", [[turn.text for turn in each.turns] for each in episodes], expected)

    def search(self, namespace: Namespace) -> None:
        """A turn, by the word that no other has."""
        if self.moments:
            word = f"word{self.random.randrange(len(self.moments))}"
            hits = self.heard("search", word, searches=["words"], k=1, namespace=namespace)
            expected = [turn.text for turn in self.talks[namespace].turns if word in turn.text.split()]
            self.expect("what is found", [hit.turn.text in expected for hit in hits], [True][: len(expected)])

    def heard(self, verb: str, *args: Any, **options: Any) -> Any:
        """A verb of the Hub, or its async twin."""
        hub = Hub(self.memory)
        if self.asynchronous:
            return self.loop.run_until_complete(getattr(hub, f"a{verb}")(*args, **options))
        return getattr(hub, verb)(*args, **options)

    def read(self, namespace: Namespace) -> None:
        """Each end of a triple by the other, as it is now."""
        self.read_at(namespace, None)

    def past(self, namespace: Namespace) -> None:
        """The same as it was after a step of before."""
        if self.moments:
            self.read_at(namespace, self.random.randrange(len(self.moments)))

    def restart(self, _: Namespace) -> None:
        """Close and open again."""
        self.close()
        self.memory = self._opened()

    def read_at(self, namespace: Namespace, at: int | None) -> None:
        """Compare what is read with the dictionary's: the newest first, now; in any order of a moment of before."""
        name, relation = self.random.choice(NAMES), self.random.choice((SINGLE, MANY))
        held = list(reversed(self.models[namespace].current(at)))
        options = {"namespace": namespace, "thresholds": EXACT, "at": None if at is None else self.moments[at]}
        objects = [key[2] for key in held if key[:2] == (name.casefold(), relation)]
        subjects = [key[0] for key in held if key[1:] == (relation, name.casefold())]
        for ends, expected in (((name, relation), objects), ((None, relation, name), subjects)):
            found = [answer.casefold() for answer in self.call("read", *ends, **options).answers]
            self.expect(f"read as of step {at}", sorted(found), sorted(expected))
            if at is None:
                self.expect("read, the newest first", found, expected)

    def compare(self) -> None:
        """All that both hold."""
        for namespace, model in self.models.items():
            facts = list(self.memory.facts(namespace=namespace))
            told = [key_of(*fact.triple) for fact in facts]
            open_now = [key for key, fact in zip(told, facts, strict=True) if fact.is_open]
            self.counts.lost += len([key for key in model.ever if key not in told])
            self.counts.wrong += len([key for key in told if key not in model.ever])
            self.counts.duplicated += max(0, len(told) - len(model.ever))
            self.expect("what is current", sorted(open_now), sorted(model.current()))
            kept = [turn.text for turn in self.memory.store.turns.select(namespace, TurnFilter(), limit=10_000)]
            expected = [turn.text for turn in self.talks[namespace].turns]
            self.counts.lost += len([text for text in expected if text not in kept])
            self.counts.wrong += len([text for text in kept if text not in expected])
            self.counts.duplicated += max(0, len(kept) - len(expected))

    def expect(self, what: str, told: object, expected: object) -> None:
        """Both sides said the same."""
        if told != expected:
            self.counts.wrong += 1
            self.counts.problems.append(f"{what}: {told!r} instead of {expected!r}")

    def call(self, verb: str, *args: Any, **options: Any) -> Any:
        """A verb, or its async twin."""
        if self.asynchronous:
            return self.loop.run_until_complete(getattr(self.memory, f"a{verb}")(*args, **options))
        return getattr(self.memory, verb)(*args, **options)

    def triple(self) -> Names:
        """Any triple."""
        return self.random.choice(NAMES), self.random.choice((SINGLE, MANY)), self.random.choice(NAMES)

    def close(self) -> None:
        """Close the memory and its file."""
        self.memory.close()
        self.memory.store.close()

    def _opened(self) -> Memory:
        return Memory(open_store(self.path, durability="normal"), embedder=TinyEmbedder(), limits=UNLIMITED)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
