"""A rule machine drives a store and a plain dictionary side by side; after every step both must tell the same.

The dictionary knows only what a user is promised: a person's newest value of a single-valued relation is the current
one, other relations collect, forgetting leaves nothing, namespaces are apart. It shares no code with the package.
"""

from __future__ import annotations

import uuid

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.verify import a07_model
from langchain_memllm.verify.a07_model import MANY, ME, SINGLE, Model, key_of

NAMES = st.sampled_from(a07_model.NAMES)
RELATIONS = st.sampled_from([SINGLE, MANY])
TENANTS = st.sampled_from(["one", "two"])


class StoreMachine(RuleBasedStateMachine):
    """Write, retract, deliver twice, forget, read; two tenants with the same names."""

    store: TripleStore

    @initialize()
    def begin(self) -> None:
        self.memory = Memory(self.store)
        self.run = uuid.uuid4().hex
        self.models = {"one": Model(), "two": Model()}
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
        self.models[tenant] = Model()
        self.delivered = [entry for entry in self.delivered if entry[1] != tenant]

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
