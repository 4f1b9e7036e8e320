"""What was said, on every store: kept once and unchanged, in sessions and episodes, seen by roles, forgotten."""

from __future__ import annotations

import pytest

from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.stores.embedded import EmbeddedStore
from langchain_memllm.stores.episodes import MAX_TURNS, EpisodeNote, Grant, Turn, TurnFilter, tokens_of
from langchain_memllm.stores.interface import Selection, TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.transfer import copy
from langchain_memllm.triples import Namespace, Source

ADA: Namespace = ("memllm", "ada")
BOB: Namespace = ("memllm", "bob")
NOON = "2026-03-01T12:00:00.000000+00:00"


def at(minutes: int) -> str:
    """So many minutes after ten."""
    return f"2026-03-01T{10 + minutes // 60:02}:{minutes % 60:02}:00.000000+00:00"


def said(text: str, message: str = "1", thread: str = "t", **values: object) -> Turn:
    given = {"at": at(0), "ref": f"{thread}/{message}", **values}
    return Turn(Turn.named(thread, message), thread, text, **given)  # type: ignore[arg-type]


def put(store: TripleStore, *turns: Turn, namespace: Namespace = ADA) -> None:
    store.put_outbox(namespace, [], NOON, turns=turns)


def texts(store: TripleStore, where: TurnFilter, namespace: Namespace = ADA, **options: bool) -> list[str]:
    return [turn.text for turn in store.turns.select(namespace, where, **options)]


AWKWARD = {
    "emoji": "🎉🎉🏔️",
    "right to left": "קניתי כרטיס לרומא\u200f, נכון?",
    "code": "def f(x):\n\treturn x  # 100 % 'quoted' \"text\" \\n",
    "base64": "QUJD" * 5_000,
    "spaces": "  \n leading and trailing \t\r\n",
    "megabyte": "a word and another one. " * 43_691,
    "combining": "e\u0301 is not \u00e9",
}


@pytest.mark.parametrize("kind", AWKWARD)
def test_a_turn_comes_back_byte_for_byte(store: TripleStore, kind: str) -> None:
    text = AWKWARD[kind]
    turn = said(text, speaker="Zoë", role="user", scope="plans")
    put(store, turn)
    (found,) = store.turns.select(ADA, TurnFilter(thread="t"))
    assert found.text.encode() == text.encode()
    assert (found.id, found.speaker, found.role, found.scope, found.at) == (turn.id, "Zoë", "user", "plans", at(0))
    assert store.turns.matching(ADA, tokens_of(text)[:3], phrase=True) == [found.place]
    assert store.check() == []


def test_what_no_store_can_keep_is_replaced(store: TripleStore) -> None:
    put(store, said("a\x00b\ud800c"))
    assert texts(store, TurnFilter(thread="t")) == ["a\ufffdb\ufffdc"]


def test_a_turn_that_is_delivered_again_is_kept_once_with_its_newest_text(store: TripleStore) -> None:
    put(store, said("one"), said("two", "2"))
    put(store, said("one"), said("two, corrected", "2", at=at(9)), said("three", "3"), said("three", "3"))
    assert texts(store, TurnFilter(thread="t")) == ["one", "two, corrected", "three"]
    assert store.turns.matching(ADA, ["two"], phrase=True) == store.turns.matching(ADA, ["corrected"], phrase=True)
    assert store.stats(ADA).turns == 3 and store.check() == []


def test_turns_and_what_waits_are_committed_together(store: TripleStore) -> None:
    store.put_outbox(ADA, [OutboxEntry("op", "I live in Oslo.")], NOON, turns=[said("I live in Oslo.", at="")])
    stats = store.stats(ADA)
    assert (stats.outbox, stats.turns, stats.episodes, stats.sessions) == (1, 1, 1, 1)
    assert store.turns.select(ADA, TurnFilter(thread="t"))[0].at == NOON
    assert store.namespaces() == [ADA]


def test_a_pause_begins_an_episode_and_a_clock_that_goes_back_does_not(store: TripleStore) -> None:
    times = [0, 30, 61, 10, 15]  # 30 minutes are no pause, 31 are; then the clock goes back
    for number, minutes in enumerate(times):
        put(store, said(f"turn {number}", str(number), at=at(minutes)))
    put(store, said("elsewhere", thread="u", at=at(5)))
    assert [turn.episode for turn in store.turns.select(ADA, TurnFilter(thread="t"))] == [1, 1, 2, 2, 2]
    assert texts(store, TurnFilter(thread="t", episode=2)) == ["turn 2", "turn 3", "turn 4"]
    assert store.turns.episodes(ADA) == [
        EpisodeNote("t", 2, at(10), at(61), 3),
        EpisodeNote("u", 1, at(5), at(5), 1),
        EpisodeNote("t", 1, at(0), at(30), 2),
    ]
    assert store.turns.episodes(ADA, thread="t", limit=1) == [EpisodeNote("t", 2, at(10), at(61), 3)]
    assert [each.number for each in store.turns.episodes(ADA, until=at(5))] == [1]


def test_an_episode_is_never_too_long(store: TripleStore) -> None:
    put(store, *(said(f"{number}", str(number)) for number in range(MAX_TURNS + 1)))
    assert [each.turns for each in store.turns.episodes(ADA)] == [1, MAX_TURNS]


def test_turns_are_found_by_session_episode_source_time_and_place(store: TripleStore) -> None:
    put(store, said("one"), said("two", "2", at=at(5), kind="model"), said("three", thread="u", at=at(50)))
    everything = store.turns.select(ADA, TurnFilter())
    assert [turn.text for turn in everything] == ["one", "two", "three"]
    assert texts(store, TurnFilter(thread="t"), newest=True) == ["two", "one"]
    assert texts(store, TurnFilter(ids=(Turn.named("t", "2"), Turn.named("u", "1")))) == ["two", "three"]
    assert texts(store, TurnFilter(places=(everything[2].place,))) == ["three"]
    assert texts(store, TurnFilter(sources=(("model", "t/2"), ("user", "u/1")))) == ["two", "three"]
    assert texts(store, TurnFilter(sources=(("user", "t/2"),))) == []
    assert texts(store, TurnFilter(since=at(5), until=at(50))) == ["two"]
    assert texts(store, TurnFilter(thread="t", since=at(1))) == ["two"]
    assert texts(store, TurnFilter(thread="nobody's")) == texts(store, TurnFilter(ids=())) == []


def test_text_is_found_as_a_phrase_and_by_its_words(store: TripleStore) -> None:
    lines = [
        "I moved to Oslo.",
        "Oslo: moved to a new flat!",
        "昨日、東京に引っ越しました",
        'a:b AND "c" OR NOT (d*)',
        "🏔️",
    ]
    put(store, *(said(line, str(number)) for number, line in enumerate(lines)))

    def found(query: str, *, phrase: bool = True) -> list[str]:
        places = store.turns.matching(ADA, tokens_of(query), phrase=phrase)
        known = {turn.place: turn.text for turn in store.turns.select(ADA, TurnFilter(places=tuple(places)))}
        return [known[place] for place in places]

    assert found("moved to Oslo") == [lines[0]]
    assert found("oslo") == [lines[1], lines[0]]
    assert found("東京") == [lines[2]] and found("🏔") == [lines[4]]
    assert found('AND "c" OR NOT') == [lines[3]]
    assert sorted(found("flat Tokyo 東京", phrase=False)) == sorted([lines[1], lines[2]])
    assert found("!?") == found("Bergen") == found("Bergen", phrase=False) == []


def test_turns_beside_others_are_those_of_their_session(store: TripleStore) -> None:
    put(store, said("one"), said("elsewhere", "1", "u"), said("two", "2"), said("three", "3"))
    put(store, said("another's", "1", "v"), namespace=BOB)
    one, two, three = (turn.place for turn in store.turns.select(ADA, TurnFilter(thread="t")))
    assert sorted(store.turns.beside(ADA, [one, two, three])) == [
        (one, None, two),
        (two, one, three),
        (three, two, None),
    ]
    (other,) = store.turns.select(ADA, TurnFilter(thread="u"))
    assert store.turns.beside(ADA, [other.place]) == [(other.place, None, None)]
    assert store.turns.beside(ADA, []) == [] and store.turns.beside(("memllm", "nobody"), [one]) == []


def test_turns_are_counted_by_their_words(store: TripleStore) -> None:
    put(store, *(said(f"tea number {n}", str(n), scope="plans" if n % 2 else "") for n in range(6)))
    put(store, said("tea of Bob"), namespace=BOB)
    groups = [["tea"], ["3", "number", "3"], ["4", "5"], ["coffee"]]
    assert store.turns.counts(ADA, groups) == [6, 6, 2, 0]
    assert store.turns.counts(ADA, groups, most=4) == [4, 4, 2, 0]
    store.turns.grant(ADA, "planner", ["plans"])
    assert store.turns.counts(ADA, groups, role="planner") == [3, 3, 1, 0]
    assert store.turns.counts(ADA, groups, role="stranger") == [0, 0, 0, 0]
    assert store.turns.counts(ADA, []) == []


def test_every_store_finds_the_same_turns_in_the_same_order(store: TripleStore) -> None:
    towns = ["Oslo", "Rome", "Kyoto", "Lima", "Bergen"]
    verbs = ["moved to", "visited", "is dreaming of", "flew to", "hiked near"]
    lines = [f"{who} {verbs[n % 5]} {towns[n * 3 % 5]} in {2000 + n}." for n in range(30) for who in ("Ada", "Bob")]
    turns = [said(line, str(n), f"t{n % 4}", at=at(n)) for n, line in enumerate(lines)]
    found = []
    for each in (store, EmbeddedStore(":memory:")):
        memory = Memory(each)
        put(each, *turns)
        memory.write([("Ada", "lives in", "Oslo")], namespace=ADA, source=Source("user", turns[0].ref))
        questions = ("Who hikes near Kyoto?", "Where did Bob fly in 2013?", "Ada's dream", "Where does Ada live?")
        found.append([[hit.turn.text for hit in Hub(memory).search(text, namespace=ADA)] for text in questions])
    assert found[0] == found[1] and all(len(each) == 10 for each in found[0])
    assert "hiked near Kyoto" in found[0][0][0] and found[0][3][0] == lines[0]


def test_tenants_never_see_each_other(store: TripleStore) -> None:
    put(store, said("Ada's secret"))
    put(store, said("Bob's secret"), namespace=BOB)
    assert texts(store, TurnFilter(thread="t"), BOB) == ["Bob's secret"]
    ours = store.turns.select(ADA, TurnFilter())[0]
    assert len(store.turns.matching(BOB, ["secret"], phrase=True)) == 1
    assert store.turns.matching(BOB, ["ada"], phrase=False) == []
    assert texts(store, TurnFilter(places=(ours.place,)), BOB) in ([], ["Bob's secret"])
    store.erase(BOB, Selection(everything=True))
    assert texts(store, TurnFilter(thread="t")) == ["Ada's secret"]
    assert store.stats(BOB).turns == 0 and store.check() == []


def test_a_role_sees_what_it_was_granted_and_nothing_else(store: TripleStore) -> None:
    put(store, said("public"), said("a plan", "2", scope="plans"), said("an invoice", "3", scope="bills", thread="u"))
    store.turns.grant(ADA, "planner", ["plans", ""])
    store.turns.grant(ADA, "clerk", ["bills"])
    expected = {None: {"public", "a plan", "an invoice"}, "planner": {"public", "a plan"}, "clerk": {"an invoice"}}
    for role, seen in {**expected, "stranger": set()}.items():
        where = [TurnFilter(role=role), TurnFilter(ids=tuple(Turn.named(*k) for k in ("t1", "t2", "u3")), role=role)]
        assert set(texts(store, where[0])) == seen
        words = store.turns.matching(ADA, ["public", "plan", "invoice"], phrase=False, role=role)
        assert set(texts(store, TurnFilter(places=tuple(words)))) == seen
        assert sum(each.turns for each in store.turns.episodes(ADA, role=role)) == len(seen)
    store.turns.grant(ADA, "clerk", [])
    assert store.turns.select(ADA, TurnFilter(role="clerk")) == store.turns.episodes(ADA, role="clerk") == []
    assert store.turns.grants(ADA) == [Grant("planner", ""), Grant("planner", "plans")]
    assert store.turns.grants(BOB) == []


def test_forgetting_a_source_takes_its_turn_and_it_does_not_come_back(store: TripleStore) -> None:
    mine = [said("I live in Oslo."), said("Noted.", "2", kind="model")]
    put(store, *mine)
    erased = store.erase(ADA, Selection(source=(None, "t/1")))
    put(store, *mine)
    assert erased.turns == 1
    assert texts(store, TurnFilter(thread="t")) == ["Noted."]
    assert store.turns.matching(ADA, ["oslo"], phrase=True) == [] and store.check() == []


def test_forgetting_a_name_takes_its_sentences_out_of_every_turn(store: TripleStore) -> None:
    mine = [said("Zelda called. I like tea."), said("Who is Zelda?", "2"), said("I do.", "3", speaker="Zelda")]
    put(store, *mine, said("Something else.", "4"))
    erased = store.erase(ADA, Selection(name_keys=("zelda",)))
    put(store, *mine)
    assert erased.turns == 3
    assert texts(store, TurnFilter(thread="t")) == ["I like tea.", "Something else."]
    assert store.turns.matching(ADA, ["zelda"], phrase=True) == [] and store.check() == []


def test_forgetting_a_fact_takes_what_said_it_out_of_its_episode(store: TripleStore) -> None:
    memory = Memory(store)
    put(store, said("I live in Oslo. I like tea."), said("Oslo is cold!", "2", kind="model"))
    put(store, said("Oslo has a fjord.", thread="u"))
    source = Source("user", "t/1", text="I live in Oslo.")
    fact_id = memory.write([("user", "lives in", "Oslo")], namespace=ADA, source=source).outcomes[0].fact_id
    erased = memory.forget(fact_id=fact_id, namespace=ADA)
    assert erased.turns == 2
    assert texts(store, TurnFilter()) == ["I like tea.", "Oslo has a fjord."]


def test_a_turn_that_was_taken_back_may_be_said_again(store: TripleStore) -> None:
    put(store, said("one"), said("two", "2"))
    assert store.turns.drop(ADA, [Turn.named("t", "1"), Turn.named("t", "9")]) == 1
    put(store, said("one"))
    assert texts(store, TurnFilter(thread="t")) == ["two", "one"]
    assert store.turns.drop(BOB, [Turn.named("t", "1")]) == 0


def test_search_codes_come_in_order_and_change_with_the_text(store: TripleStore) -> None:
    put(store, said("I like tea", scope="a"), said("🏔️", "2"), said("coffee", "3"))
    codes, epoch = store.turns.codes(ADA, 0), store.turns.epoch(ADA)
    assert [scope for _, scope, _ in codes][:1] == ["a"] and {len(code) for _, _, code in codes} == {64}
    assert store.turns.codes(ADA, codes[0][0]) == codes[1:]
    put(store, said("something else", "3"))
    assert store.turns.epoch(ADA) != epoch
    assert store.turns.codes(ADA, codes[0][0])[-1] != codes[-1]


def test_what_was_said_goes_with_export_and_copy(store: TripleStore) -> None:
    put(
        store,
        said("one", scope="x"),
        said("two", "2", at=at(45), speaker="Bo"),
        said("three", thread="u", kind="model"),
    )
    store.turns.grant(ADA, "planner", ["x"])
    with Memory(EmbeddedStore()) as other:
        copy(Memory(store), other, namespaces=[ADA])
        assert other.store.turns.select(ADA, TurnFilter()) == store.turns.select(ADA, TurnFilter())
        assert other.store.turns.grants(ADA) == [Grant("planner", "x")]
        store.erase(ADA, Selection(everything=True))
        Memory(store).restore(list(other.export(namespace=ADA)))
        put(store, said("four", "4", at=at(50)))
    assert [turn.episode for turn in store.turns.select(ADA, TurnFilter(thread="t"))] == [1, 2, 2]
    assert store.check() == []


def test_an_import_beside_what_is_there_grants_nothing(store: TripleStore) -> None:
    put(store, said("mine"))
    record = {"type": "role", "namespace": list(ADA), "role": "planner", "scope": ""}
    Memory(store).restore([record])
    assert store.turns.grants(ADA) == []
    Memory(store).restore([record], source_type="system")
    assert store.turns.grants(ADA) == [Grant("planner", "")]
