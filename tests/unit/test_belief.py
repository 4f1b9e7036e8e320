"""The truth table of the design, section 4: one case a row, and what holds for every batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_memllm.belief import (
    MAX_OPEN,
    Batch,
    Claim,
    Current,
    Former,
    Plan,
    Standing,
    Withdraw,
    check_policy,
    precedence,
    resolve,
    stands,
)
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.times import check_date
from langchain_memllm.triples import KINDS, Source, Triple, name_key

NOW = "2026-11-23T10:00:00.000000+00:00"
OSLO, PARIS, ROME = "Oslo", "Paris", "Rome"


def standing(object_: str, **over: object) -> Standing:
    """An open fact "Ada lives in …"; its id is the object."""
    values: dict[str, object] = {
        "fact_id": object_,
        "subject_key": "ada",
        "relation_key": "lives in",
        "object_key": name_key(object_),
        "kind": "user",
        "principal": "ada",
        "seq": 1,
        "recorded_at": "2026-01-01T00:00:00.000000+00:00",
    }
    return Standing(**{**values, **over})  # type: ignore[arg-type]


def claim(object_: str, index: int = 0, *, kind: str = "user", principal: str | None = "ada", **over: object) -> Claim:
    """A statement "Ada lives in …"."""
    triple = Triple("Ada", "lives in", object_)
    source = Source(kind=kind, principal=principal)  # type: ignore[arg-type]
    values: dict[str, object] = {"single_valued": True, "source": source}
    return Claim(index, triple, "ada", "lives in", name_key(object_), **{**values, **over})  # type: ignore[arg-type]


def run(claims: list[Claim], facts: list[Standing], *, policy: str = "chat", **over: object) -> Plan:
    batch = Batch("op", "hash", NOW, tuple(claims), policy=policy, **over.pop("batch", {}))  # type: ignore[arg-type]
    return resolve(batch, Current(("ns",), 7, NOW, tuple(facts), **over))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Row:
    """One row of the table: what is open, what is stated, and the outcome of each statement."""

    holds: list[Standing]
    incoming: list[Claim]
    outcomes: list[tuple[str, tuple[str, ...], tuple[str, ...]]]
    policy: str = "chat"
    classes: dict[str, str] = field(default_factory=dict)
    closes: dict[str, str] = field(default_factory=dict)


def stored(
    supersedes: tuple[str, ...] = (), contests: tuple[str, ...] = ()
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return ("stored", supersedes, contests)


def only(status: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return (status, (), ())


MARCH, MAY, JUNE = (f"2026-{month:02}-01T10:00:00.000000+00:00" for month in (3, 5, 6))


def said(object_: str, at: str, **over: object) -> Claim:
    """A statement as it was made then."""
    made = claim(object_, **over)  # type: ignore[arg-type]
    return replace(made, source=replace(made.source, at=at))


def told(object_: str, at: str, **over: object) -> Standing:
    """A fact that was said then."""
    return standing(object_, said_at=at, **over)


MANY = {"single_valued": False}
FULL = [standing(f"Town {n}", kind="web", principal=None) for n in range(MAX_OPEN)]
TABLE = {
    "1 nothing: stored": Row([], [claim(OSLO)], [stored()]),
    "2 same triple open: already": Row([standing(OSLO)], [claim(OSLO)], [only("already")]),
    "3 same triple past (nothing open): stored anew": Row([], [claim(OSLO)], [stored()]),
    "4 relation of many: both open": Row([standing(OSLO)], [claim(PARIS, **MANY)], [stored()]),
    "5 interval closed before the open one began: past": Row(
        [standing(OSLO)], [claim(PARIS, valid_from="2010", valid_to="2010")], [only("past")]
    ),
    "5 bugs 3.12: what has ended is past, also alone": Row([], [claim(PARIS, valid_to="2020-01-31")], [only("past")]),
    "5 what has ended replaces nothing, whenever it began": Row(
        [standing(OSLO)], [claim(PARIS, valid_from="2026-05", valid_to="2026-10")], [only("past")]
    ),
    "5 that a fact has ended ends it": Row(
        [standing(OSLO)], [claim(OSLO, valid_to="2026-10")], [("past", (OSLO,), ())], closes={OSLO: "superseded"}
    ),
    "5 that a former stay has ended leaves the present one": Row(
        [standing(OSLO, valid_from="2025")], [claim(OSLO, valid_to="2020")], [only("past")]
    ),
    "5 a page does not end what a person said": Row(
        [standing(OSLO)], [claim(OSLO, valid_to="2026-10", kind="web")], [only("past")]
    ),
    "6 higher rank supersedes": Row(
        [standing(OSLO, kind="web", principal=None)], [claim(PARIS)], [stored((OSLO,))], closes={OSLO: "superseded"}
    ),
    "7 same person supersedes": Row([standing(OSLO)], [claim(PARIS)], [stored((OSLO,))], closes={OSLO: "superseded"}),
    "8 same rank, another principal: contested": Row(
        [standing(OSLO)], [claim(PARIS, principal="bob")], [stored((), (OSLO,))]
    ),
    "8 same document: contested": Row(
        [standing(OSLO, kind="document", principal=None)],
        [claim(PARIS, kind="document", principal=None)],
        [stored((), (OSLO,))],
    ),
    "9 lower rank: contested": Row([standing(OSLO)], [claim(PARIS, kind="web")], [stored((), (OSLO,))]),
    "10 contested, restated by a better source than all others": Row(
        [standing(OSLO, kind="document"), standing(PARIS, kind="document", principal="x")],
        [claim(OSLO)],
        [("already", (PARIS,), ())],
        closes={PARIS: "superseded"},
    ),
    "10 restated by an equal source: nothing closes": Row(
        [standing(OSLO), standing(PARIS, principal="bob")], [claim(OSLO)], [only("already")]
    ),
    "10 bugs 3.3: the person says again what a tool had put beside it": Row(
        [standing(OSLO), standing(PARIS, kind="tool")],
        [claim(PARIS)],
        [("already", (OSLO,), ())],
        closes={OSLO: "superseded"},
    ),
    "10 bugs 3.3: the person says again what a tool contests": Row(
        [standing(OSLO), standing(PARIS, kind="tool")],
        [claim(OSLO)],
        [("already", (PARIS,), ())],
        closes={PARIS: "superseded"},
    ),
    "10 of three values, those of the same person and of lower rank close": Row(
        [standing(OSLO), standing(PARIS, kind="tool"), standing(ROME, principal="bob")],
        [claim(PARIS)],
        [("already", (OSLO,), ())],
        closes={OSLO: "superseded"},
    ),
    "10 a third value by the person closes both": Row(
        [standing(OSLO), standing(PARIS, kind="tool")],
        [claim(ROME)],
        [stored((OSLO, PARIS))],
        closes={OSLO: "superseded", PARIS: "superseded"},
    ),
    "10 a tool that says its own value again settles nothing": Row(
        [standing(OSLO), standing(PARIS, kind="tool")], [claim(PARIS, kind="tool")], [only("already")]
    ),
    "10 a tool that says the person's value again settles nothing": Row(
        [standing(OSLO), standing(PARIS, kind="tool")], [claim(OSLO, kind="tool")], [only("already")]
    ),
    "10 a tool that says a value again closes what is below it": Row(
        [standing(OSLO, kind="tool"), standing(PARIS, kind="web", principal=None)],
        [claim(OSLO, kind="tool")],
        [("already", (PARIS,), ())],
        closes={PARIS: "superseded"},
    ),
    "10 a page that says a value again settles nothing": Row(
        [standing(OSLO), standing(PARIS, kind="web", principal=None)],
        [claim(PARIS, kind="web", principal=None)],
        [only("already")],
    ),
    "11 two objects in one document: both, contested": Row(
        [], [claim(OSLO, 0, kind="document"), claim(PARIS, 1, kind="document")], [stored(), stored((), ("<0>",))]
    ),
    "12 two objects in one statement: the last wins": Row(
        [], [claim(OSLO, 0), claim(PARIS, 1)], [only("past"), stored()]
    ),
    "13 retraction by the same person": Row(
        [standing(OSLO)], [claim(OSLO, retract=True)], [only("retracted")], closes={OSLO: "retracted"}
    ),
    "13 retraction by a higher rank": Row(
        [standing(OSLO, principal="bob")],
        [claim(OSLO, retract=True, kind="owner")],
        [only("retracted")],
        closes={OSLO: "retracted"},
    ),
    "14 retraction by a lower rank": Row(
        [standing(OSLO)], [claim(OSLO, retract=True, kind="tool")], [only("rejected")]
    ),
    "14 retraction by another principal": Row(
        [standing(OSLO)], [claim(OSLO, retract=True, principal="bob")], [only("rejected")]
    ),
    "15 retraction of nothing": Row([], [claim(OSLO, retract=True)], [only("not_found")]),
    "16 policy edit: newer wins, whoever says it": Row(
        [standing(OSLO, kind="system")],
        [claim(PARIS, kind="web", single_valued=False)],
        [stored((OSLO,))],
        policy="edit",
        closes={OSLO: "superseded"},
    ),
    "17 policy paper: never close": Row([standing(OSLO)], [claim(PARIS, kind="system")], [stored()], policy="paper"),
    "17 policy paper: no retraction": Row(
        [standing(OSLO)], [claim(OSLO, retract=True)], [only("rejected")], policy="paper"
    ),
    "18 an alias of the object is open: already": Row(
        [standing(OSLO)], [claim("Christiania")], [only("already")], classes={"oslo": "c", "christiania": "c"}
    ),
    "19 subject and object are one name: rejected": Row([], [claim("Ada")], [only("rejected")]),
    "20 began earlier than the open one, same person: past": Row(
        [standing(OSLO, valid_from="2020")], [claim(PARIS, valid_from="2015")], [only("past")]
    ),
    "20 began earlier than the open one, another person: contested": Row(
        [standing(OSLO, valid_from="2020")], [claim(PARIS, valid_from="2015", principal="bob")], [stored((), (OSLO,))]
    ),
    "20 the date of a page does not count against a person": Row(
        [standing(OSLO, kind="web", principal=None, valid_from="2025")],
        [claim(PARIS, valid_from="2015", principal=None)],
        [stored((OSLO,))],
        closes={OSLO: "superseded"},
    ),
    "20 of two rivals only the one that began later counts": Row(
        [standing(OSLO, valid_from="2020", principal="bob"), standing(ROME)],
        [claim(PARIS, valid_from="2015")],
        [stored((ROME,), (OSLO,))],
        closes={ROME: "superseded"},
    ),
    "21 said before the open one, same person: past": Row([told(OSLO, JUNE)], [said(PARIS, MARCH)], [only("past")]),
    "21 said after the open one: supersedes": Row(
        [told(OSLO, MARCH)], [said(PARIS, JUNE)], [stored((OSLO,))], closes={OSLO: "superseded"}
    ),
    "21 said at the same time: the one that comes later": Row(
        [told(OSLO, MARCH)], [said(PARIS, MARCH)], [stored((OSLO,))], closes={OSLO: "superseded"}
    ),
    "21 a lower rank, said before a better source spoke: past": Row(
        [told(OSLO, JUNE)], [said(PARIS, MARCH, kind="tool")], [only("past")]
    ),
    "21 a higher rank, said before a lower one spoke: contested, as it would have been": Row(
        [told(OSLO, JUNE, kind="tool")], [said(PARIS, MARCH)], [stored((), (OSLO,))]
    ),
    "21 said before another person spoke: contested": Row(
        [told(OSLO, JUNE, principal="bob")], [said(PARIS, MARCH)], [stored((), (OSLO,))]
    ),
    "21 said between two others: closes the earlier, yields to the later": Row(
        [told(OSLO, JUNE), told(ROME, MARCH, kind="tool")], [said(PARIS, MAY)], [only("past")]
    ),
    "21 said again before what stands: the history has it once more": Row(
        [told(OSLO, JUNE), told(PARIS, JUNE, kind="tool")], [said(PARIS, MARCH)], [only("past")]
    ),
    "21 said again before a tool spoke: settles nothing said later": Row(
        [told(OSLO, MARCH), told(PARIS, JUNE, kind="tool")], [said(OSLO, MAY)], [only("already")]
    ),
    "21 a relation of many: both open": Row([told(OSLO, JUNE)], [said(PARIS, MARCH, **MANY)], [stored()]),
    "21 the dates stated come before the order of saying": Row(
        [told(OSLO, JUNE, valid_from="2015")],
        [said(PARIS, MARCH, valid_from="2020")],
        [stored((OSLO,))],
        closes={OSLO: "superseded"},
    ),
    "21 taken back before it was said again: stands": Row(
        [told(OSLO, JUNE)], [said(OSLO, MARCH, retract=True)], [only("not_found")]
    ),
    "22 bugs 3.12: what begins later is planned, and closes nothing": Row(
        [standing(OSLO)], [claim(PARIS, valid_from="2027-03")], [stored()]
    ),
    "22 a plan of the same day, same person: supersedes": Row(
        [standing(OSLO), standing(PARIS, valid_from="2027-03")],
        [claim(ROME, valid_from="2027-03")],
        [stored((PARIS,))],
        closes={PARIS: "superseded"},
    ),
    "22 a plan of the same day, another person: contested": Row(
        [standing(PARIS, valid_from="2027-03")],
        [claim(ROME, valid_from="2027-03", principal="bob")],
        [stored((), (PARIS,))],
    ),
    "22 a plan of another day stands beside it": Row(
        [standing(PARIS, valid_from="2027-03")], [claim(ROME, valid_from="2027-05")], [stored()]
    ),
    "22 what holds now leaves the plan": Row(
        [standing(OSLO), standing(PARIS, valid_from="2027-03")],
        [claim(ROME)],
        [stored((OSLO,))],
        closes={OSLO: "superseded"},
    ),
    "22 the plan and the present in one statement": Row(
        [], [claim(OSLO, 0), claim(PARIS, 1, valid_from="2027-03")], [stored(), stored()]
    ),
    "22 policy edit: a plan waits": Row(
        [standing(OSLO)], [claim(PARIS, valid_from="2027-03")], [stored()], policy="edit"
    ),
    "23 the day of a plan is moved": Row(
        [standing(OSLO), standing(PARIS, valid_from="2027-03")],
        [claim(PARIS, valid_from="2027-05")],
        [stored((PARIS,))],
        closes={PARIS: "superseded"},
    ),
    "23 a plan is carried out": Row(
        [standing(OSLO), standing(PARIS, valid_from="2027-03")],
        [claim(PARIS)],
        [stored((PARIS, OSLO))],
        closes={OSLO: "superseded", PARIS: "superseded"},
    ),
    "23 another person supports the plan": Row(
        [standing(PARIS, valid_from="2027-03")], [claim(PARIS, principal="bob")], [only("already")]
    ),
    "24 a plan whose day has come has taken the place of what it follows": Row(
        [standing(OSLO), standing(PARIS, valid_from="2026-03")],
        [claim(ROME)],
        [stored((PARIS,))],
        closes={OSLO: "superseded", PARIS: "superseded"},
    ),
    "24 what it follows is stated anew": Row(
        [standing(OSLO), standing(PARIS, valid_from="2026-03")],
        [claim(OSLO)],
        [stored((PARIS,))],
        closes={OSLO: "superseded", PARIS: "superseded"},
    ),
    "24 what has run out is past": Row(
        [standing(OSLO, valid_to="2026-10")], [claim(OSLO)], [stored()], closes={OSLO: "past"}
    ),
    "25 bugs 3.19: perhaps another of that name: contested": Row(
        [standing(OSLO)], [claim(PARIS, namesake=True)], [stored((), (OSLO,))]
    ),
    "25 the same is already known": Row([standing(OSLO)], [claim(OSLO, namesake=True)], [only("already")]),
    "21 policy edit: what was said later stays": Row(
        [told(OSLO, JUNE, kind="web")], [said(PARIS, MARCH)], [only("past")], policy="edit"
    ),
    "26 redteam row 10: a full slot takes no more that replace nothing": Row(
        FULL, [claim(OSLO, kind="web", principal=None)], [only("rejected")]
    ),
    "26 what it holds is said again": Row(FULL, [claim("Town 7", kind="web", principal=None)], [only("already")]),
    "26 a better source empties it": Row(
        FULL,
        [claim(OSLO)],
        [stored(tuple(fact.fact_id for fact in FULL)[:30])],
        closes=dict.fromkeys((fact.fact_id for fact in FULL), "superseded"),
    ),
    "26 a plan is no way around it": Row(
        FULL, [claim(OSLO, kind="web", principal=None, valid_from="2030")], [only("rejected")]
    ),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
def test_truth_table(row: Row) -> None:
    plan = run(row.incoming, row.holds, policy=row.policy, classes=row.classes)
    named = {insert.fact_id: f"<{insert.claim.index}>" for insert in plan.inserts}
    outcomes = [
        (o.status, tuple(named.get(i, i) for i in o.supersedes), tuple(named.get(i, i) for i in o.contests))
        for o in plan.receipt
    ]
    assert outcomes == row.outcomes
    assert {close.fact_id: close.why for close in plan.closes} == row.closes
    assert sum(insert.closed_why is None for insert in plan.inserts) == sum(o[0] == "stored" for o in outcomes)


def test_a_better_source_of_the_same_fact_raises_its_rank_and_an_equal_one_does_not() -> None:
    fact = standing(OSLO, kind="document", principal=None)
    better = run([claim(OSLO)], [fact])
    assert [(p.kind, p.principal) for p in better.promotes] == [("user", "ada")]
    assert run([claim(OSLO, kind="document")], [fact]).promotes == ()


DAY = "2026-11-23"
ON_A_DAY = {
    "alone": ([standing(OSLO)], {OSLO: "now"}),
    "two values": ([standing(OSLO), standing(PARIS, principal="bob")], {OSLO: "contested", PARIS: "contested"}),
    "a plan": ([standing(OSLO), standing(PARIS, valid_from="2026-12")], {OSLO: "now", PARIS: "planned"}),
    "it begins that day": ([standing(OSLO), standing(PARIS, valid_from=DAY)], {OSLO: "over", PARIS: "now"}),
    "this month": ([standing(OSLO), standing(PARIS, valid_from="2026-11")], {OSLO: "over", PARIS: "now"}),
    "a chain": (
        [standing(OSLO), standing(PARIS, valid_from="2026-03"), standing(ROME, valid_from="2026-05")],
        {OSLO: "over", PARIS: "over", ROME: "now"},
    ),
    "it has run out": ([standing(OSLO), standing(PARIS, valid_to="2026-10")], {OSLO: "now", PARIS: "over"}),
    "it ends that day": ([standing(OSLO, valid_to=DAY)], {OSLO: "now"}),
    "a holiday": (
        [standing(OSLO), standing(PARIS, valid_from="2026-11-20", valid_to="2026-11-30")],
        {OSLO: "now", PARIS: "now"},
    ),
    "the plan of a page": (
        [standing(OSLO), standing(PARIS, kind="web", valid_from="2026-11-20")],
        {OSLO: "contested", PARIS: "contested"},
    ),
    "the plan of a better source": (
        [standing(OSLO, kind="web"), standing(PARIS, valid_from="2026-11-20")],
        {OSLO: "over", PARIS: "now"},
    ),
}


@pytest.mark.parametrize(("facts", "expected"), ON_A_DAY.values(), ids=ON_A_DAY.keys())
def test_how_the_values_of_a_slot_stand_on_a_day(facts: list[Standing], expected: dict[str, str]) -> None:
    found = {name: "contested" if how.contested else how.phase for name, how in stands(facts, DAY).items()}
    assert found == expected


def test_a_fact_was_said_when_its_best_source_said_it_last() -> None:
    fact = told(OSLO, MAY)
    (later,) = run([said(OSLO, JUNE)], [fact]).promotes
    assert (later.kind, later.principal, later.said_at) == ("user", "ada", JUNE)
    for other in (said(OSLO, MARCH), said(OSLO, JUNE, kind="web"), said(OSLO, JUNE, principal="bob")):
        assert run([other], [fact]).promotes == ()
    (better,) = run([said(OSLO, MARCH)], [told(OSLO, MAY, kind="web")]).promotes
    assert (better.kind, better.said_at) == ("user", MARCH)


def test_the_past_ends_when_what_came_after_it_began() -> None:
    (insert,) = run([said(PARIS, MARCH)], [told(OSLO, JUNE), told(ROME, MAY)]).inserts
    assert (insert.closed_why, insert.ended) == ("past", "2026-05-01")
    (close,) = run([said(PARIS, JUNE)], [told(OSLO, MARCH)]).closes
    assert close.ended == "2026-06-01"


SPEAKERS = [("user", "ada"), ("user", "bob"), ("tool", "ada"), ("web", None), ("document", None), ("owner", None)]


@given(st.lists(st.sampled_from(SPEAKERS), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_old_conversations_can_be_read_in_any_order(speakers: list[tuple[str, str | None]], random: object) -> None:
    """Distinct values of one slot, each said at its own time: what is open at the end does not depend on the order."""
    made = [
        said(f"Town {i}", f"2026-01-{i + 1:02}T00:00:00.000000+00:00", kind=kind, principal=principal)
        for i, (kind, principal) in enumerate(speakers)
    ]
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert open_after(made) == open_after(shuffled)


def open_after(made: list[Claim]) -> set[str]:
    """Objects that are open after each statement was an operation of its own."""
    facts: dict[str, Standing] = {}
    for seq, each in enumerate(made, start=1):
        plan = resolve(Batch(f"{seq}", "h", NOW, (each,)), Current(("ns",), seq, NOW, tuple(facts.values())))
        for close in plan.closes:
            facts.pop(close.fact_id)
        for insert in plan.inserts:
            if insert.closed_why is None:
                stated, source = insert.claim, insert.claim.source
                keys = (stated.subject_key, stated.relation_key, stated.object_key)
                who = (source.kind, source.principal, seq, NOW)
                facts[insert.fact_id] = Standing(insert.fact_id, *keys, *who, said_at=source.at)
    return {fact.object_key for fact in facts.values()}


def test_a_value_that_comes_back_is_stored_anew_with_another_id() -> None:
    first = run([claim(OSLO)], [])
    again = resolve(Batch("op2", "h", NOW, (claim(OSLO),)), Current(("ns",), 9, NOW))
    assert first.inserts[0].fact_id != again.inserts[0].fact_id


def test_a_new_version_of_a_document_retires_what_only_the_old_one_said() -> None:
    old = [standing(OSLO, kind="document", principal=None), standing(ROME, kind="document", principal=None)]
    plan = run(
        [claim(OSLO, kind="document", principal=None), claim(PARIS, 1, kind="document", principal=None)],
        old,
        replaced=tuple(Former(fact) for fact in old),
        batch={"replaces": ("document", "d")},
    )
    assert plan.receipt.replaced == (ROME,)
    assert [o.status for o in plan.receipt] == ["already", "stored"]
    assert plan.receipt.outcomes[1].contests == (OSLO,)


def test_what_others_still_say_rests_on_them_alone_and_may_be_overruled() -> None:
    rome = standing(ROME, kind="document", principal=None)
    plan = run(
        [claim(PARIS, kind="document", principal=None)],
        [rome],
        replaced=(Former(rome, ("web", None, None)),),
        batch={"replaces": ("document", "d")},
    )
    assert plan.receipt.replaced == ()
    assert plan.withdrawals == (Withdraw(ROME, Source("document", "d"), "web", None),)
    assert plan.receipt.outcomes[0].supersedes == (ROME,)


def test_a_past_interval_said_last_does_not_hide_the_present_value_said_first() -> None:
    plan = run([claim(OSLO, 0), claim(PARIS, 1, valid_from="2010", valid_to="2012")], [])
    assert [o.status for o in plan.receipt] == ["stored", "past"]


def test_a_rejected_value_said_last_does_not_hide_the_good_one_said_first() -> None:
    plan = run([claim(OSLO, 0), claim("Ada", 1)], [])
    assert [o.status for o in plan.receipt] == ["stored", "rejected"]


def test_precedence_orders_by_rank_then_newest() -> None:
    order = [precedence("system", 1, 0), precedence("user", 9, 0), precedence("user", 2, 5), precedence("user", 2, 1)]
    assert order == sorted(order, reverse=True)
    assert max(order) < 2**63


@pytest.mark.parametrize(
    "bad", ["2010-13", "10", "2010-1-1", "yesterday", "2010-02-30x", 2010, "2020-02-30", "2019-02-29", "0000"]
)
def test_bad_dates_and_policies_are_refused_with_the_value(bad: object) -> None:
    with pytest.raises(ConfigurationError, match="partial ISO date"):
        check_date(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="chat, edit, paper"):
        check_policy(f"{bad}")


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    """Additions to different slots: one claim a subject."""
    subjects = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True))
    made = []
    for index, subject in enumerate(subjects):
        source = Source(kind=draw(st.sampled_from(KINDS)), principal=draw(st.sampled_from([None, "p", "q"])))  # type: ignore[arg-type]
        object_ = draw(st.sampled_from(["x", "y"]))
        single = draw(st.booleans())
        made.append(Claim(index, Triple(subject, "r", object_), subject, "r", object_, single, source))
    return made


@given(claims(), st.randoms(use_true_random=False))
def test_additions_to_different_slots_commute(made: list[Claim], random: object) -> None:
    facts = [
        replace(standing(o), fact_id=f"{s}{o}", subject_key=s, relation_key="r", object_key=o)
        for s in "abcd"
        for o in "xy"[: 1 + (s in "ab")]
    ]
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = run(made, facts), run(shuffled, facts)
    assert one.receipt == other.receipt
    assert {i.fact_id for i in one.inserts} == {i.fact_id for i in other.inserts}
    assert {c.fact_id: c.by for c in one.closes} == {c.fact_id: c.by for c in other.closes}


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.booleans(), st.sampled_from(KINDS)), max_size=8
    )
)
def test_every_claim_has_one_outcome_and_no_triple_is_open_twice(proposed: list[tuple[str, str, bool, str]]) -> None:
    made = [
        Claim(i, Triple(s, "r", o), s, "r", o, True, Source(kind=kind), retract=retract)  # type: ignore[arg-type]
        for i, (s, o, retract, kind) in enumerate(proposed)
    ]
    plan = run(made, [])
    assert [o.index for o in plan.receipt] == list(range(len(made)))
    closed = {close.fact_id for close in plan.closes}
    open_now = [
        (i.claim.subject_key, i.claim.object_key)
        for i in plan.inserts
        if i.closed_why is None and i.fact_id not in closed
    ]
    assert len(open_now) == len(set(open_now))
