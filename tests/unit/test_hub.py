"""The Hub: windows, whole episodes, the turns of a fact, roles; found by time, by words and by meaning."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_memllm import MemLLMMemory
from langchain_memllm.chatfile import read_chat, turns_in
from langchain_memllm.errors import ConfigurationError, NamespaceError
from langchain_memllm.hub import Hub, _days_in
from langchain_memllm.memory import Memory
from langchain_memllm.recall import newer_first, turn_words
from langchain_memllm.stores.episodes import Turn, tokens_of
from langchain_memllm.triples import Source

NS = ("memllm", "ada")


def turn(text: str, at: str, thread: str = "t", **values: object) -> Turn:
    message = f"{at} {text}"
    return Turn(Turn.named(thread, message), thread, text, at, **{"ref": f"{thread}/{message}", **values})  # type: ignore[arg-type]


def at(day: int, hour: int = 12, minute: int = 0) -> str:
    return datetime(2026, 3, day, hour, minute).astimezone(UTC).isoformat()


@pytest.fixture
def hub() -> Hub:
    """Three conversations of March 2026."""
    memory = Memory(clock=lambda: datetime(2026, 3, 20, 12).astimezone())
    made = Hub(memory)
    said = [
        turn("I moved to Oslo last week.", at(2), "home"),
        turn("How do you like the fjord?", at(2, minute=1), "home", role="assistant", kind="model"),
        turn("The ticket code is XK-4711.", at(5), "trip"),
        turn("I will fly to Lisbon in May.", at(5, minute=2), "trip"),
        turn("My dog is called Rex and he is ill.", at(9), "pets"),
        turn("Take him to a veterinarian.", at(9, minute=3), "pets", role="assistant", kind="model"),
        turn("He is well again.", at(10), "pets"),
    ]
    made.keep(said, namespace=NS)
    return made


def told(hub: Hub, query: str, **options: object) -> list[tuple[str, int]]:
    return [(each.thread, each.number) for each in hub.episode(query, namespace=NS, **options)]  # type: ignore[arg-type]


def test_the_window_of_a_thread_is_its_last_turns_oldest_first(hub: Hub) -> None:
    whole = hub.window("pets", namespace=NS)
    assert whole.text.splitlines()[0] == "user: My dog is called Rex and he is ill."
    assert (len(whole.turns), whole.left_out) == (3, False)
    last = hub.window("pets", n=1, namespace=NS)
    assert ([each.text for each in last.turns], last.tokens, last.left_out) == (["He is well again."], 5, True)
    assert [each.text for each in hub.window("pets", tokens=12, namespace=NS).turns] == [
        "Take him to a veterinarian.",
        "He is well again.",
    ]
    assert hub.window("pets", tokens=4, namespace=NS).turns == hub.window("no such", namespace=NS).turns == ()


@pytest.mark.parametrize("wrong", [{"n": -1}, {"tokens": True}, {"n": "3"}])
def test_a_window_of_no_size_is_refused(hub: Hub, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="out of range"):
        hub.window("pets", namespace=NS, **wrong)  # type: ignore[arg-type]


def test_an_episode_comes_back_whole(hub: Hub) -> None:
    (found,) = hub.episode("XK-4711", namespace=NS)
    assert [each.text for each in found.turns] == ["The ticket code is XK-4711.", "I will fly to Lisbon in May."]
    assert (found.thread, found.number, found.began[:10]) == ("trip", 1, at(5)[:10])
    assert found.by["words"] == 1


@pytest.mark.parametrize(
    ("query", "search", "thread"),
    [
        ("What did I say on 5 March?", "time", "trip"),
        ("what did we speak about on 2026-03-02", "time", "home"),
        ('Who said "like the fjord"?', "words", "home"),
        ("XK-4711", "words", "trip"),
        ("the sick puppy", "meaning", "pets"),
        ("a journey by plane", "meaning", "trip"),
    ],
)
def test_each_search_answers_questions_of_its_kind_and_their_fusion_all(
    hub: Hub, query: str, search: str, thread: str
) -> None:
    assert told(hub, query, searches=[search])[0] == (thread, 1)
    assert told(hub, query)[0] == (thread, 1)


def test_an_answer_is_found_by_the_words_of_its_question(hub: Hub) -> None:
    """recall.md, section 6: a turn is short, and what it is about stands in the turn before."""
    asked = turn("Which mountain did you hike up?", at(11), "walk", speaker="Bo")
    hub.keep([asked, turn("Galdhøpiggen, with my aunt.", at(11, minute=1), "walk", speaker="Ada")], namespace=NS)
    found = [hit.turn.text for hit in hub.search("hiking on mountains", namespace=NS)]
    assert found[:2] == ["Which mountain did you hike up?", "Galdhøpiggen, with my aunt."]
    assert hub.search("what did Ada's aunt do", namespace=NS)[0].turn.speaker == "Ada"


def test_turns_are_found_by_the_facts_that_were_taken_from_them(hub: Hub) -> None:
    (trip, *_) = hub.window("trip", namespace=NS).turns
    hub._memory.write([("user", "booking reference", "XK-4711")], namespace=NS, source=Source("user", trip.ref))
    (hit,) = hub.search("What is my booking reference?", searches=["facts"], namespace=NS)
    assert (hit.turn, hit.by) == (trip, {"facts": 1})
    assert hub.search("Who wrote Faust?", searches=["facts"], namespace=NS) == []


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("What is the deadline of my thesis?", ["9 May", "2 May"]),
        ("How long is the deadline of my thesis away?", ["9 May", "2 May"]),
        ("What was the deadline of my thesis at first?", ["2 May", "9 May"]),
        ("Did I change the deadline of my thesis?", ["2 May", "9 May"]),
    ],
)
def test_the_newer_of_two_values_comes_first_where_a_question_asks_for_what_holds_now(
    hub: Hub, query: str, values: list[str]
) -> None:
    """By words alone the older message is nearer: it says less beside what is asked."""
    hub.keep([turn("The deadline of my thesis is 2 May.", at(11))], namespace=NS)
    later = "My professor was ill for weeks, so the deadline for the thesis moved again: it is 9 May, she wrote."
    hub.keep([turn(later, at(15))], namespace=NS)
    found = [hit.turn.text for hit in hub.search(query, k=2, namespace=NS)]
    assert [next(value for value in ("2 May", "9 May") if value in text) for text in found] == values


def test_a_page_says_nothing_newer_of_what_a_person_said() -> None:
    asked, text = "What is the deadline of my thesis?", "The deadline of my thesis"
    words = turn_words("deadline thesis")
    old, new, page = turn(text, at(1)), turn(text, at(2)), turn(text, at(3), role="tool", kind="web")
    assert newer_first(asked, [old, new], words) == [1, 0]
    assert newer_first(asked, [old, page], words) == [0, 1]
    assert newer_first(asked, [old, turn("My thesis is new", at(2))], words) == [0, 1]  # says half of it
    assert newer_first(asked, [*[page] * 5, old, new], words)[5:] == [5, 6]  # only of the first five


def test_a_word_at_the_end_of_a_long_turn_is_found(hub: Hub) -> None:
    hub.keep([turn("blah " * 20_000 + "zeppelin", at(12), "long")], namespace=NS)
    assert [hit.turn.thread for hit in hub.search("Any zeppelins?", searches=["words"], namespace=NS)] == ["long"]


def test_a_question_of_another_kind_is_not_answered_by_a_search(hub: Hub) -> None:
    assert told(hub, "the sick puppy", searches=["words"]) == []
    assert told(hub, "the sick puppy", searches=["time"]) == []
    assert told(hub, "🏔️", searches=["meaning"]) == []
    with pytest.raises(ConfigurationError, match="'smell' is unknown"):
        hub.search("Oslo", searches=["smell"], namespace=NS)  # type: ignore[list-item]


def test_episodes_of_a_session_and_of_a_moment(hub: Hub) -> None:
    by_session = hub.episode(session="pets", namespace=NS)
    assert [each.text for each in by_session[0].turns] == ["He is well again."]
    assert [each.number for each in hub.episode(session="pets", k=5, namespace=NS)] == [2, 1]
    assert [each.thread for each in hub.episode(at="2026-03-05", namespace=NS)] == ["trip"]
    assert [each.thread for each in hub.episode(at="2026-03-07", namespace=NS)] == ["trip"]
    assert hub.episode(at="2026-03-01", namespace=NS) == []
    assert told(hub, "he is ill", session="home") in ([], [("home", 1)])
    with pytest.raises(ConfigurationError, match="say which episode"):
        hub.episode(namespace=NS)


def test_the_timeline_tells_episodes_newest_first(hub: Hub) -> None:
    assert [(each.thread, each.number, each.turns) for each in hub.timeline(namespace=NS)] == [
        ("pets", 2, 1),
        ("pets", 1, 2),
        ("trip", 1, 2),
        ("home", 1, 2),
    ]
    assert [each.thread for each in hub.timeline(since="2026-03-05", until="2026-03-09", namespace=NS)] == ["trip"]
    assert [each.number for each in hub.timeline(session="pets", limit=1, namespace=NS)] == [2]


def test_a_fact_leads_to_the_turns_that_said_it(hub: Hub) -> None:
    said = hub.window("home", n=2, namespace=NS).turns[0]
    source = Source("user", said.ref, text=said.text)
    fact_id = hub._memory.write([("user", "lives in", "Oslo")], namespace=NS, source=source).outcomes[0].fact_id
    (found,) = hub._memory.facts("user", namespace=NS)
    assert hub.turns_of(found) == [said]
    (match,) = hub._memory.read("user", "lives in", namespace=NS)
    assert match.fact.id == fact_id and hub.turns_of(match.fact) == [said]
    assert hub.turns_of(found, role="stranger") == []


SCOPES = ("", "plans", "bills")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    granted=st.dictionaries(st.sampled_from(["planner", "clerk"]), st.lists(st.sampled_from(SCOPES), max_size=3)),
    scopes=st.lists(st.sampled_from(SCOPES), min_size=1, max_size=8),
    role=st.sampled_from(["planner", "clerk", "stranger"]),
)
def test_a_role_never_sees_what_it_was_not_granted(granted: dict[str, list[str]], scopes: list[str], role: str) -> None:
    made = Hub(Memory())
    times = [at(2, 8, 7 * number) for number in range(len(scopes))]
    made.keep(
        [
            turn(f"I like tea on {when}", when, f"t{n % 2}", scope=s)
            for n, (s, when) in enumerate(zip(scopes, times, strict=True))
        ],
        namespace=NS,
    )
    for each, allowed in granted.items():
        made.grant(each, allowed, namespace=NS)
    mine = set(granted.get(role, []))
    expected = sum(scope in mine for scope in scopes)
    seen = [made.window(thread, role=role, namespace=NS).turns for thread in ("t0", "t1")]
    episodes = made.episode("I like tea", k=9, role=role, namespace=NS)
    hits = made.search("what tea on 2 March?", k=99, role=role, namespace=NS)
    assert {each.scope for some in seen for each in some} <= mine
    assert sum(map(len, seen)) == sum(len(each.turns) for each in episodes) == len(hits) == expected
    assert sum(each.turns for each in made.timeline(role=role, namespace=NS)) == expected
    assert {hit.turn.scope for hit in hits} <= mine


def test_labels_of_roles_are_texts(hub: Hub) -> None:
    with pytest.raises(ConfigurationError, match="is not a text of at most"):
        hub.grant("planner", [3], namespace=NS)  # type: ignore[list-item]


def test_a_turn_that_cannot_be_kept_keeps_none(hub: Hub) -> None:
    good, bad = turn("fine", at(11), "new"), turn("odd", at(11), "new", kind="nonsense")
    with pytest.raises(ConfigurationError, match="kind 'nonsense' of a turn is unknown"):
        hub.keep([good, bad], namespace=NS)
    assert hub.window("new", namespace=NS).turns == ()


def test_searches_follow_what_is_said_and_forgotten_meanwhile(hub: Hub) -> None:
    assert ("music", 1) not in told(hub, "a musical instrument", k=9)
    hub.keep([turn("I play the violin and the piano.", at(12), "music")], namespace=NS)
    assert told(hub, "a musical instrument", searches=["meaning"])[0] == ("music", 1)
    hub._memory.forget(name="violin", namespace=NS)
    assert ("music", 1) not in told(hub, "a musical instrument", k=9)


def test_the_hub_of_a_memory_takes_users_and_its_twins_do() -> None:
    with MemLLMMemory(":memory:") as memory:
        memory.hub.keep([turn("I like tea.", at(2))], user_id="ada")
        assert asyncio.run(memory.hub.awindow("t", user_id="ada")).turns[0].text == "I like tea."
        assert memory.hub.window("t", user_id="bob").turns == ()
        with pytest.raises(NamespaceError, match="both namespace"):
            memory.hub.window("t", user_id="bob", namespace=NS)


NOW = datetime(2026, 3, 20, 12).astimezone()


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("what did I say yesterday?", [(19, 20)]),
        ("between 5 March and 2026-03-07", [(5, 6), (7, 8)]),
        ("what may I march for at 10", []),
        ("no date at all", []),
    ],
)
def test_the_days_that_a_question_names(query: str, days: list[tuple[int, int]]) -> None:
    found = [tuple(datetime.fromisoformat(each).astimezone().day for each in span) for span in _days_in(query, NOW)]
    assert found == days


def test_a_month_and_a_year_are_whole() -> None:
    assert _days_in("in December 2025", NOW) == [
        (
            datetime(2025, 12, 1).astimezone(UTC).isoformat(timespec="microseconds"),
            datetime(2026, 1, 1).astimezone(UTC).isoformat(timespec="microseconds"),
        )
    ]
    assert _days_in("2025", NOW)[0][1] == datetime(2026, 1, 1).astimezone(UTC).isoformat(timespec="microseconds")


def test_words_of_a_text() -> None:
    assert tokens_of("Dr. Ångström's 東京 trip: 🏔️!") == ["dr", "ångström", "s", "東", "京", "trip", "🏔"]
    assert tokens_of("A" * 100) == ["a" * 64]
    assert np.shape(tokens_of("word " * 60_000)) == (50_000,)


# -- files of conversations --------------------------------------------------------------------------------------------

OPENAI = [
    {"role": "system", "content": "Be nice."},
    {"role": "user", "content": "Hi", "created_at": 1_767_225_600},
    {"role": "assistant", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url"}]},
    {"role": "tool", "content": "42", "name": "calculator"},
    {"role": "assistant", "content": None},
]
LANGCHAIN = [
    {"type": "human", "data": {"content": "Hi", "id": "a", "additional_kwargs": {"timestamp": "2026-01-01T00:00:00Z"}}},
    {"type": "ai", "content": "Hello", "id": "b", "name": "bot"},
]
LOCOMO = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [{"speaker": "Ann", "dia_id": "D2:1", "text": "Hey Bo!"}],
        "session_1": [{"speaker": "Bo", "dia_id": "D1:1", "text": "Hi Ann."}],
    },
    "qa": [],
}
BEAM = {
    "chat": "100K/1",
    "messages": [
        {"id": 0, "role": "user", "time_anchor": "March-15-2024", "content": "Plan it. ->-> 1,1"},
        {"id": 1, "role": "assistant", "content": "Done."},
    ],
    "questions": {},
}


def test_messages_of_openai() -> None:
    found = turns_in(OPENAI, "chat")
    assert [(each.text, each.role, each.kind, each.speaker) for each in found] == [
        ("Hi", "user", "user", None),
        ("Hello", "assistant", "model", None),
        ("42", "tool", "tool", "calculator"),
    ]
    assert found[0].at == "2026-01-01T00:00:00.000000+00:00"
    assert turns_in({"messages": OPENAI, "thread_id": "chat"}, "file") == found
    assert [each.thread for each in turns_in([OPENAI, {"messages": OPENAI}], "file")][::3] == ["file/1", "file/2"]


def test_messages_of_langchain() -> None:
    assert [(each.text, each.at[:4], each.speaker, each.ref) for each in turns_in(LANGCHAIN, "t")] == [
        ("Hi", "2026", None, "t/a"),
        ("Hello", "2026", "bot", "t/b"),
    ]


def test_sessions_of_locomo_have_their_dates_and_speakers() -> None:
    found = turns_in([LOCOMO], "file")
    assert [(each.thread, each.text, each.speaker, each.kind) for each in found] == [
        ("conv-1/session_1", "Hi Ann.", "Bo", "tool"),
        ("conv-1/session_2", "Hey Bo!", "Ann", "user"),
    ]
    assert datetime.fromisoformat(found[1].at).astimezone().strftime("%Y-%m-%d %H:%M") == "2023-05-08 13:56"


def test_messages_of_beam_have_the_date_of_their_day_and_not_the_makers_mark() -> None:
    found = turns_in(BEAM, "100K_01")
    assert [(each.text, each.ref) for each in found] == [("Plan it.", "100K_01/0"), ("Done.", "100K_01/1")]
    assert {datetime.fromisoformat(each.at).astimezone().date().isoformat() for each in found} == {"2024-03-15"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3, "int is not a conversation"),
        ({"a": 1}, "a mapping with 'a' is not a conversation"),
        ([], "there is no message with a text"),
        ([{"role": "user", "content": "Hi"}, "Hello"], "message 1 of 'x' has no role"),
        ([{"role": "user"}], "message 0 of 'x' has no role"),
    ],
)
def test_what_is_no_conversation_is_refused(value: object, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        turns_in(value, "x")


def test_a_file_is_read_once_however_often(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(OPENAI), encoding="utf-8")
    told: list[tuple[int, int]] = []
    with MemLLMMemory(":memory:") as memory:
        first = memory.hub.load(file, progress=lambda *each: told.append(each))
        file.write_text(json.dumps([*OPENAI, {"role": "user", "content": "And?"}]), encoding="utf-8")
        second = memory.hub.load(file)
        assert ((first.turns, first.new), (second.turns, second.new)) == ((3, 3), (4, 1))
        assert [each.text for each in memory.hub.window("chat").turns] == ["Hi", "Hello", "42", "And?"]
    assert told == [(3, 3)]


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    """Its error of zlib went to the caller as it was."""
    file = tmp_path / "chat.json.gz"
    packed = bytearray(gzip.compress(json.dumps(OPENAI * 50).encode()))
    packed[12:40] = b"\xff" * 28
    file.write_bytes(packed)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_chat(file)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"{", b"[1]", b""])
def test_a_file_that_is_no_chat_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "chat.json"
    file.write_bytes(data)
    with MemLLMMemory(":memory:") as memory, pytest.raises(ConfigurationError):
        memory.hub.load(file)
    with MemLLMMemory(":memory:") as memory, pytest.raises(ConfigurationError, match="cannot be read"):
        memory.hub.load(tmp_path / "missing.json")
