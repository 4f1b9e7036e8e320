"""A rule machine drives a store and a plain dictionary side by side; after every step both must tell the same.

The dictionary knows only what a user is promised: a person's newest value of a single-valued relation is the current
one, other relations collect, forgetting leaves nothing, namespaces are apart; what was said is kept once with its
newest text, in episodes, seen by roles, and does not come back when it is forgotten. It shares no code with the
package.
"""

from __future__ import annotations

import uuid

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from langchain_memllm.hub import Hub
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.stores.episodes import TurnFilter
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.verify import a07_model
from langchain_memllm.verify.a07_model import MANY, ME, SINGLE, Model, Said, Talk, key_of

NAMES = st.sampled_from(a07_model.NAMES)
RELATIONS = st.sampled_from([SINGLE, MANY])
TENANTS = st.sampled_from(["one", "two"])


class StoreMachine(RuleBasedStateMachine):
    """Write, retract, say, deliver twice, forget, read, look at what was said; two tenants with the same names."""

    store: TripleStore

    @initialize()
    def begin(self) -> None:
        self.memory = Memory(self.store)
        self.run = uuid.uuid4().hex
        self.models = {"one": Model(), "two": Model()}
        self.talks = {"one": Talk(), "two": Talk()}
        self.granted = {"one": set[str](), "two": set[str]()}
        self.hub, self.number, self.minute = Hub(self.memory), 0, 0
        self.delivered: list[tuple[str, str, tuple[str, str, str], list[str]]] = []

    def namespace(self, tenant: str) -> tuple[str, ...]:
        return ("stateful", self.run, tenant)

    @rule(tenant=TENANTS, subject=NAMES, relation=RELATIONS, object_=NAMES)
    def write(self, tenant: str, subject: str, relation: str, object_: str) -> None:
        op_id = uuid.uuid4().hex
        receipt = self.memory.write(
            [(subject, relation, object_)], namespace=self.namespace(tenant), source=ME, op_id=op_id
        )
        statuses = [outcome.status for outcome in receipt]
        assert statuses == [self.models[tenant].write(key_of(subject, relation, object_))]
        self.delivered.append((op_id, tenant, (subject, relation, object_), statuses))

    @rule(tenant=TENANTS, triples=st.lists(st.tuples(NAMES, st.just(MANY), NAMES), min_size=1, max_size=5))
    def write_batch(self, tenant: str, triples: list[tuple[str, str, str]]) -> None:
        receipt = self.memory.write(triples, namespace=self.namespace(tenant), source=ME)
        assert [outcome.status for outcome in receipt] == [
            self.models[tenant].write(key_of(*triple)) for triple in triples
        ]

    @rule(pick=st.integers(0, 1000))
    def deliver_again(self, pick: int) -> None:
        if self.delivered:
            op_id, tenant, triple, statuses = self.delivered[pick % len(self.delivered)]
            receipt = self.memory.write([triple], namespace=self.namespace(tenant), source=ME, op_id=op_id)
            assert receipt.replayed
            assert [o.status for o in receipt] in (statuses, ["forgotten"])

    @rule(tenant=TENANTS, subject=NAMES, relation=RELATIONS, object_=NAMES)
    def retract(self, tenant: str, subject: str, relation: str, object_: str) -> None:
        (outcome,) = self.memory.retract((subject, relation, object_), namespace=self.namespace(tenant), source=ME)
        assert outcome.status == self.models[tenant].retract(key_of(subject, relation, object_))

    @rule(tenant=TENANTS, name=NAMES)
    def forget_name(self, tenant: str, name: str) -> None:
        erased = self.memory.forget(name=name, namespace=self.namespace(tenant))
        gone = self.models[tenant].forget(lambda key: name.casefold() in (key[0], key[2]))
        assert erased.facts == gone

    @rule(tenant=TENANTS, subject=NAMES, relation=RELATIONS)
    def forget_slot(self, tenant: str, subject: str, relation: str) -> None:
        erased = self.memory.forget(subject=subject, relation=relation, namespace=self.namespace(tenant))
        assert erased.facts == self.models[tenant].forget(lambda key: key[:2] == (subject.casefold(), relation))

    @rule(tenant=TENANTS)
    def forget_everything(self, tenant: str) -> None:
        self.memory.forget(everything=True, namespace=self.namespace(tenant))
        self.models[tenant], self.talks[tenant], self.granted[tenant] = Model(), Talk(), set()
        self.delivered = [entry for entry in self.delivered if entry[1] != tenant]

    @rule(
        tenant=TENANTS,
        thread=st.sampled_from(a07_model.THREADS),
        scope=st.sampled_from(a07_model.SCOPES),
        pause=st.sampled_from([0, 1, 30, 31, 300, -20]),
        named=st.booleans(),
    )
    def say(self, tenant: str, thread: str, scope: str, pause: int, named: bool) -> None:
        self.number, self.minute = self.number + 1, self.minute + pause
        turn = a07_model.said(self.number, thread, scope, self.minute, named=named)
        self.hub.keep([turn.turn], namespace=self.namespace(tenant))
        self.talks[tenant].keep(turn)

    @rule(tenant=TENANTS, pick=st.integers(0, 1000), edited=st.booleans())
    def say_again(self, tenant: str, pick: int, edited: bool) -> None:
        if turns := self.talks[tenant].turns:
            held = turns[pick % len(turns)]
            turn = Said(held.thread, held.message, held.text + " again" * edited, held.scope, self.minute)
            self.hub.keep([turn.turn], namespace=self.namespace(tenant))
            self.talks[tenant].keep(turn)

    @rule(tenant=TENANTS, pick=st.integers(0, 1000), back=st.booleans())
    def take_out_a_turn(self, tenant: str, pick: int, back: bool) -> None:
        """Taken back it may be said again; forgotten by its source it may not."""
        talk = self.talks[tenant]
        if not talk.turns:
            return
        held = talk.turns[pick % len(talk.turns)]
        if back:
            gone = self.store.turns.drop(self.namespace(tenant), [held.turn.id])
            assert gone == talk.take_back(held.ref) == 1
        else:
            erased = self.memory.forget(source=held.ref, namespace=self.namespace(tenant))
            assert erased.turns == talk.forget_source(held.ref) == 1
        self.hub.keep([held.turn], namespace=self.namespace(tenant))
        talk.keep(Said(held.thread, held.message, held.text, held.scope, held.minute))

    @rule(tenant=TENANTS)
    def forget_who_called(self, tenant: str) -> None:
        erased = self.memory.forget(name=a07_model.CALLER, namespace=self.namespace(tenant))
        assert erased.turns == self.talks[tenant].forget_caller()

    @rule(tenant=TENANTS, scopes=st.sets(st.sampled_from(a07_model.SCOPES)))
    def grant(self, tenant: str, scopes: set[str]) -> None:
        self.hub.grant("planner", sorted(scopes), namespace=self.namespace(tenant))
        self.granted[tenant] = scopes

    @rule(tenant=TENANTS, thread=st.sampled_from(a07_model.THREADS), n=st.integers(0, 5), as_role=st.booleans())
    def look_at_a_thread(self, tenant: str, thread: str, n: int, as_role: bool) -> None:
        talk, namespace = self.talks[tenant], self.namespace(tenant)
        role, scopes = ("planner", self.granted[tenant]) if as_role else (None, None)
        held = talk.seen(thread, scopes)
        window = self.hub.window(thread, n=n, role=role, namespace=namespace)
        assert [turn.text for turn in window.turns] == held[len(held) - min(n, len(held)) :]
        assert window.left_out == (len(held) > n)
        assert self.hub.window(thread, tokens=10_000, role=role, namespace=namespace).text.count("\n") == max(
            0, len(held) - 1
        )
        seen = [
            [turn.text for turn in talk.episode(thread, number) if scopes is None or turn.scope in scopes]
            for number in talk.numbers(thread)
        ]
        episodes = self.hub.episode(session=thread, k=99, role=role, namespace=namespace)
        assert [[turn.text for turn in each.turns] for each in episodes] == [each for each in seen if each]

    @rule(tenant=TENANTS, pick=st.integers(0, 1000), as_role=st.booleans())
    def search_for_a_word(self, tenant: str, pick: int, as_role: bool) -> None:
        word = f"word{1 + pick % (self.number + 1)}"
        role, scopes = ("planner", self.granted[tenant]) if as_role else (None, a07_model.SCOPES)
        held = [t for t in self.talks[tenant].turns if word in t.text.split() and t.scope in scopes]
        for searches in (["words"], ["words", "meaning"]):
            hits = self.hub.search(word, searches=searches, role=role, k=1, namespace=self.namespace(tenant))
            if held or searches == ["words"]:
                assert [hit.turn.text for hit in hits] == [turn.text for turn in held]
        found = self.hub.episode(word, searches=["words"], role=role, namespace=self.namespace(tenant))
        assert [(each.thread, each.number) for each in found] == [(turn.thread, turn.number) for turn in held]

    @rule(tenant=TENANTS, name=NAMES, relation=RELATIONS)
    def read_both_sides(self, tenant: str, name: str, relation: str) -> None:
        namespace = self.namespace(tenant)
        current = self.models[tenant].current()
        objects = [t[2] for t in reversed(current) if t[:2] == (name.casefold(), relation)]
        subjects = [t[0] for t in reversed(current) if t[1:] == (relation, name.casefold())]
        forward = self.memory.read(name, relation, namespace=namespace, thresholds=EXACT)
        backward = self.memory.read(None, relation, name, namespace=namespace, thresholds=EXACT)
        assert [answer.casefold() for answer in forward.answers] == objects
        assert [answer.casefold() for answer in backward.answers] == subjects

    @rule(tenant=TENANTS, name=NAMES)
    def recall_by_name(self, tenant: str, name: str) -> None:
        """All that is believed of the name, and nothing that is not believed any more."""
        found = self.memory.recall(f"Tell me about {name}", namespace=self.namespace(tenant), k=200, speaker=None)
        told = {tuple(part.casefold() for part in match.triple) for match in found}
        current = set(self.models[tenant].current())
        assert {t for t in current if name.casefold() in (t[0], t[2])} <= told <= current

    @invariant()
    def stores_tell_the_same(self) -> None:
        for tenant, model in getattr(self, "models", {}).items():
            facts = list(self.memory.facts(namespace=self.namespace(tenant)))
            told = [(f.triple.subject.casefold(), f.triple.relation, f.triple.object.casefold()) for f in facts]
            assert told == model.ever
            open_now = [t for t, f in zip(told, facts, strict=True) if f.is_open]
            assert sorted(open_now) == sorted(model.current())
            stats = self.memory.stats(namespace=self.namespace(tenant))
            assert (stats.facts, stats.past) == (len(model.current()), len(model.ever) - len(model.current()))
            assert stats.names == len({name for t in model.ever for name in (t[0], t[2])})
            talk = self.talks[tenant]
            kept = self.store.turns.select(self.namespace(tenant), TurnFilter(), limit=10_000)
            said = sorted((turn.id, turn.text, turn.episode, turn.scope, turn.at) for turn in kept)
            held = ((t.turn.id, t.text, t.number, t.scope, t.turn.at) for t in talk.turns)
            assert said == sorted(held) and stats.turns == len(said)
            assert stats.episodes == len({(turn.thread, turn.number) for turn in talk.turns})
            assert stats.sessions == len({turn.thread for turn in talk.turns})


def test_store_and_dictionary_agree(store: TripleStore, request: pytest.FixtureRequest) -> None:
    machine = type("Machine", (StoreMachine,), {"store": store})
    examples = 12 if "neo4j" in request.node.name else 60
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
