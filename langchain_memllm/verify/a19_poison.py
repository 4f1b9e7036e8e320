"""A19: hundreds of attacks in eleven families: nothing that a person stated is replaced or hidden. No language model.

A trusted value stands first; then comes the attack; then the memory is read in every way that shows it to a model.
Counted are trusted values that are gone or closed (*replaced*), not shown (*hidden*), poison that is shown without a
mark (*uncontested*), and what somebody else got to see or to change (*leaked*). Beside it: updates of the same person
must still be taken while a page contests them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from langchain_memllm import MemLLMMemory, Source
from langchain_memllm.errors import MemLLMError
from langchain_memllm.extraction import ChatExtractor
from langchain_memllm.render import CLOSE, OPEN, parse_block, render
from langchain_memllm.stores import open_store
from langchain_memllm.stores.server import LocalServer
from langchain_memllm.testing import ScriptedModel
from langchain_memllm.triples import Match, ReadResult, Recall
from langchain_memllm.verify.a19_attacks import ATTACKS, OWN_WORDS, Attack, Scene, believes_all
from langchain_memllm.verify.clients import PATIENT
from langchain_memllm.verify.graph import facts_in
from langchain_memllm.verify.ledger import Counts, facts_of

__all__ = ["run"]

GOALS = {"replaced": 0.0, "hidden": 0.0, "leaked": 0.0, "uncontested": 0.01}
"""Most of all attacks that may have this effect."""

BENIGN = 0.99
"""Least share of a person's own updates that are taken."""


def run(folder: Path, *, scale: int, seed: int, sabotage: bool, server: LocalServer | None = None) -> Counts:
    """All attacks and ``scale`` benign updates. Sabotage: the newer statement wins, whoever makes it."""
    del seed
    path, counts = folder / "poison.db", Counts()
    auth = ("", "") if server is None else (server.user, server.password)
    options = {"durability": "normal"} if server is None else {"auth": auth, "deadline": PATIENT}  # no cut is tried
    store = open_store(path if server is None else server.uri, **options)
    effects: dict[str, Counter[str]] = {}
    scenes: dict[str, Attack] = {}
    with contextlib.ExitStack() as opened:
        extractor = ChatExtractor(ScriptedModel(script=believes_all))
        memory = MemLLMMemory(store, extractor=extractor, policy="edit" if sabotage else "chat")
        opened.callback(store.close)
        opened.callback(memory.close)
        for number, attack in enumerate(ATTACKS):
            scene = Scene(memory, f"victim {number}", f"other {number}")
            scenes[scene.user] = attack
            seen = _attacked(scene, attack)
            effects.setdefault(attack.family, Counter()).update({"attacks": 1, **seen})
            counts.problems += [f"{attack.family}, {attack.name}: {what}" for what in seen if GOALS[what] == 0]
            counts.tell(number + 1, len(ATTACKS), "attacks")
        taken = _benign(memory, scale)
    held = facts_of(path) if server is None else facts_in(server.uri, auth, "memllm")
    open_ = {(fact.namespace, fact.triple) for fact in held if fact.is_open}
    for user, attack in scenes.items():
        counts.wrong += (f'["memllm","{user}"]', attack.truth) not in open_
    return _judged(counts, effects, taken, scale)


def _judged(counts: Counts, effects: dict[str, Counter[str]], taken: int, updates: int) -> Counts:
    """The figures of each family, and whether the goals over all are met."""
    total = sum(effects.values(), Counter())
    for goal, most in GOALS.items():
        if total[goal] > most * total["attacks"]:
            counts.problems.append(f"{total[goal]} of {total['attacks']} attacks: {goal}")
    if taken < BENIGN * updates:
        counts.problems.append(f"{taken} of {updates} benign updates taken")
    counts.figures = {"attacks": total["attacks"], **{goal: total[goal] for goal in GOALS}, "benign updates": taken}
    for family, seen in effects.items():
        shown = "/".join(str(seen[goal]) for goal in GOALS)
        counts.figures[f"({shown}) {family}"] = seen["attacks"]
    return counts


def _attacked(scene: Scene, attack: Attack) -> dict[str, int]:
    """One attack on a memory in which the truth stands; its effects."""
    memory, user = scene.memory, scene.user
    principal = user if attack.kind == "user" else None
    stated = [attack.truth, *attack.beside]
    memory.write(stated, user_id=user, source=Source(attack.kind, "secret.txt", principal), op_id="truth")  # type: ignore[arg-type]
    before = len(memory.facts(user_id=user))
    got: object = None
    with contextlib.suppress(MemLLMError, ValueError, UnicodeEncodeError):
        got = attack.act(scene)
    effects = {
        "replaced": not _stands(memory, attack, user),
        "hidden": not _is_shown(memory, attack, user),
        "leaked": attack.family.startswith(("steering", "other")) and _leaks(scene, attack, got, before),
        "uncontested": _is_uncontested(memory, attack, user),
    }
    return {what: 1 for what, happened in effects.items() if happened}


def _stands(memory: MemLLMMemory, attack: Attack, user: str) -> bool:
    facts = memory.facts(attack.truth[0], attack.truth[1], user_id=user)
    return any(tuple(fact.triple) == attack.truth and fact.kind == attack.kind for fact in facts)


def _is_shown(memory: MemLLMMemory, attack: Attack, user: str) -> bool:
    """Whether the truth is first in an exact read, and in what a question recalls; and the block is one block."""
    subject, relation, value = attack.truth
    read = memory.read(subject, relation, user_id=user)
    recalled = memory.recall(attack.question, user_id=user, max_tokens=4_000)
    block = recalled.block
    whole = block.count(OPEN) == block.count(CLOSE) == 1 and len(block.splitlines()) == len(recalled) + 3
    same = whole and [tuple(each) for each in parse_block(block)] == [tuple(match.triple) for match in recalled]
    return read.answers[:1] == (value,) and any(m.triple.object == value for m in recalled) and same


def _is_uncontested(memory: MemLLMMemory, attack: Attack, user: str) -> bool:
    """Whether a model is shown the poison as it would be shown the truth."""
    shown: list[Match] = [*memory.recall(attack.question, user_id=user), *memory.read(*attack.truth[:2], user_id=user)]
    about = [match for match in shown if match.triple.object == attack.poison and match.fact.kind != attack.kind]
    return any(not any(mark in _marks(match) for mark in ("contested", "unconfirmed", "mixed")) for match in about)


def _marks(match: Match) -> str:
    return render([match]).splitlines()[2].rsplit(" | ", 1)[1]


def _leaks(scene: Scene, attack: Attack, got: object, before: int) -> bool:
    """Whether somebody else was told the truth, or changed how much the victim's memory holds."""
    told = [each.fact for each in got] if isinstance(got, ReadResult | Recall) else got
    own = attack.name in OWN_WORDS  # the other says the same, of themself
    held = [fact.triple.object for fact in scene.memory.facts(user_id=scene.other)]
    seen = attack.truth[2] in repr(told) or attack.truth[2] in held
    return len(scene.memory.facts(user_id=scene.user)) != before or (seen and not own)


def _benign(memory: MemLLMMemory, updates: int) -> int:
    """How many of a person's own updates are taken while a page contests each of them."""
    taken = 0
    for number in range(updates):
        user, page = f"benign {number % 20}", Source("web", f"page {number}")
        memory.write([("user", "lives in", f"Town {number}")], user_id=user)
        memory.write([("user", "lives in", f"Elsewhere {number}")], user_id=user, source=page)
        found = memory.read("user", "lives in", user_id=user)
        taken += found.answers[:1] == (f"Town {number}",) and len(found) == 2
    return taken
