"""Awkward turns and awkward questions, on every store: kept as they were said, found again, and no question fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_memllm import MemLLMMemory
from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.triples import Namespace

ADA: Namespace = ("memllm", "ada")
MB = 1 << 20
TURNS = {
    "emoji": "🎉🎊 🏔️👨‍👩‍👧",
    "right to left": "קניתי כרטיס לרומא\u200f, נכון? والقطار \u202eتأخر\u202c",
    "code": "def xk_4711(x):\n\treturn x  # 100 % 'quoted' \"text\" \\n {%s}\r\n",
    "base64": "UXVhbGlmaWVk" * 4_000 + "==",
    "megabyte of prose": "A word and another one. " * (MB // 24) + "At the end a zeppelin.",
    "megabyte of emoji": "🎉" * (MB // 4) + "🚂",
    "megabyte of code": "\treturn f(x)\n" * (MB // 13) + "xk4711",
    "megabyte in one word": "QUJD" * (MB // 4),
    "megabyte of signs": "." * MB + "!",
    "operators": 'tenant:"t1" AND words:(a* OR NOT b^2) NEAR(c, 5) + - && || ~ [x TO y] \\" \' ) } /z/',
    "combining": "e\u0301 is not \u00e9, and \u1100\u1161 is not \uac00",
}
QUESTIONS = {
    "nothing": "",
    "spaces": " \t\r\n\u00a0\u200b",
    "signs": "?!.,;:-_/\\|~^*+()[]{}<>&%$#@\"'`",
    "operators": 'AND OR NOT "NEAR(a, b)" tenant : "t1" words:* a^2 {! -b} +c && || [x TO y] /z/ (((',
    "open quotes": 'say "what and “why or «where',
    "quotes without end": '"' * 5_000,
    "quoted nothing": '"" "?" «»',
    "quoted operators": '"AND" "OR NOT" "tenant:t1" "*"',
    "an old trick": "'; DROP TABLE turn; -- MATCH (n) DETACH DELETE n",
    "stop words": "the of and is it my a to what did you do about that then",
    "stop words in other languages": "der die das und ist wie war es le la les et qui",
    "10,000 words": " ".join(f"word{n}" for n in range(10_000)),
    "10,000 times a word": "tea " * 10_000,
    "10,000 quotes": '"tea" ' * 10_000,
    "10,000 dates": "2026-03-01 " * 10_000,
    "a word of a megabyte": "x" * MB,
    "a megabyte of emoji": "🎉" * (MB // 4),
    "no spaces": "東京に引っ越しました" * 10_000,
    "lone surrogates": "tea \ud800\udfff \udc80tea",
    "NUL": "tea\x00\x00 \x00",
    "right to left": "מה אמרתי על תה \u202e?",
    "no date": "9999-99-99 0000-00-00 31 February 10000 99999999999999999999 March",
}


def said(text: str, message: str, thread: str = "t", minute: int = 0) -> Turn:
    at = f"2026-03-01T10:{minute:02}:00.000000+00:00"
    return Turn(Turn.named(thread, message), thread, text, at, ref=f"{thread}/{message}")


@pytest.fixture
def memory(store: TripleStore) -> Iterator[MemLLMMemory]:
    yield MemLLMMemory(store, namespace=ADA, episodes=True)


def test_awkward_turns_are_kept_byte_for_byte_and_found_by_their_words(store: TripleStore) -> None:
    hub = Hub(Memory(store))
    turns = [said(text, name, name, minute) for minute, (name, text) in enumerate(TURNS.items())]
    for _ in range(2):  # delivered twice, kept once
        hub.keep(turns, namespace=ADA)
        for name, text in TURNS.items():
            (kept,) = hub.window(name, namespace=ADA).turns
            assert kept.text.encode() == text.encode(), name
    assert store.stats(ADA).turns == len(TURNS) and store.check() == []

    def found(query: str) -> list[str]:
        return [hit.turn.thread for hit in hub.search(query, searches=["words"], namespace=ADA)]

    for name in ("emoji", "right to left", "code", "base64", "operators"):
        assert found(TURNS[name])[0] == name
        assert hub.episode(f'who said "{TURNS[name][:100]}"', namespace=ADA)[0].thread == name
    assert found("QUJD" * 16) == ["megabyte in one word"]
    assert found("the train 🏔️")[0] == "emoji"
    assert found("xk_4711")[0] == "code"
    assert found("...!") == []  # signs say nothing


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_awkward_question_is_answered_by_every_verb_and_finds_nothing_that_is_not_there(
    memory: MemLLMMemory, name: str
) -> None:
    question = QUESTIONS[name]
    memory.hub.keep([said("I like green tea.", "1"), said("My brother is a pilot in Bergen.", "2", minute=1)])
    memory.write([("user", "favorite drink", "green tea")])
    hits, episodes = memory.hub.search(question), memory.hub.episode(question)
    assert {hit.turn.thread for hit in hits} == {episode.thread for episode in episodes} <= {"t"}
    for show in ("auto", "facts", "turns"):
        recalled = memory.recall(question, show=show, max_tokens=200)
        assert recalled.tokens <= 200
    assert memory.recall(question, memory_gate="rules", max_tokens=200).tokens <= 200
    about_tea = "tea" in question
    assert any("tea" in hit.turn.text for hit in memory.hub.search(question, searches=["words"])) == about_tea


def test_what_is_quoted_is_sought_as_it_stands(memory: MemLLMMemory) -> None:
    lines = ["tea AND cake", "cake AND tea", "(tea) NOT cake", "tea* near^cake"]
    memory.hub.keep([said(line, str(n)) for n, line in enumerate(lines)])
    for line in lines:
        assert memory.hub.search(f'Who said "{line}"?', searches=["words"])[0].turn.text == line


def test_a_clock_that_goes_back_loses_and_doubles_nothing(memory: MemLLMMemory) -> None:
    turns = [said(f"number {n}", str(n), minute=30 - 7 * n) for n in range(5)]
    for turn in turns:
        memory.hub.keep([turn])
    memory.hub.keep(turns)
    assert [turn.text for turn in memory.hub.window("t").turns] == [turn.text for turn in turns]
    (episode,) = memory.hub.episode(session="t")
    assert episode.turns == memory.hub.window("t").turns
    assert (episode.began, episode.ended) == (min(t.at for t in turns), max(t.at for t in turns))
    for turn in turns:
        assert memory.hub.episode(at=turn.at)[0].turns == episode.turns
        assert memory.hub.search(turn.text, searches=["words"])[0].turn.id == turn.id


def test_episodes_of_a_thread_come_in_their_order_whatever_the_clock_said(memory: MemLLMMemory) -> None:
    times = ["2026-03-01T10:00", "2026-03-05T10:00", "2026-03-01T09:00", "2026-03-01T12:00"]
    for number, time in enumerate(times):  # the second begins an episode; the third sets the clock back; the fourth
        turn = Turn(Turn.named("t", str(number)), "t", f"number {number}", f"{time}:00+00:00")
        memory.hub.keep([turn])
    assert [each.number for each in memory.hub.episode(session="t", k=9)] == [3, 2, 1]
    assert [each.number for each in memory.hub.timeline()] == [2, 3, 1]
    assert [each.number for each in memory.hub.episode(at="2026-03-01", k=9)] == [2, 1, 3]
    assert [each.number for each in memory.hub.episode(at="2026-03-01T09:30:00+00:00", session="t")] == []
