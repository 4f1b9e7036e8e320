"""Reading rules, each worked by hand, and two properties: every reading ends, and a saved reading goes on the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.reading import (
    Done,
    Generate,
    Generated,
    Lookup,
    Reading,
    Results,
    Rules,
    Segment,
    Started,
    advance,
    next_action,
)
from langchain_memllm.triples import Fact, Match, Query, ReadResult, Triple

OPEN = "({"
AUTHOR = Query("Dancing on Coral", "author")


def run(reading: Reading, *events):
    action = next_action(reading)
    for event in events:
        reading, action = advance(reading, event)
    return reading, action


def text(words: str, *, opens: bool = True) -> Generated:
    return Generated(words, "stop", OPEN) if opens else Generated(words, "end")


def query(words: str) -> Generated:
    return Generated(words + ")", "stop", "-->")


def found(*names: str) -> Results:
    return Results((names,))


def test_the_papers_example():
    reading = Reading.start("What is Dancing on Coral?")
    reading, action = advance(reading, Started())
    assert action == Generate((Segment("What is Dancing on Coral?"),), (OPEN,), 256, "allowed")
    reading, action = advance(reading, text(" A novel by"))
    assert isinstance(action, Generate)
    assert action.context == "What is Dancing on Coral? A novel by({MEM_READ("
    assert "-->" in action.stop
    assert action.max_tokens == 64
    reading, action = advance(reading, query("Dancing on Coral>>author>>"))
    assert action == Lookup((AUTHOR,))
    reading, action = advance(reading, found("Glenda Adams"))
    assert isinstance(action, Generate)
    assert [s.text for s in action.segments] == [
        "What is Dancing on Coral?",
        " A novel by",
        "({MEM_READ(",
        "Dancing on Coral>>author>>",
        ")-->",
        "Glenda Adams",
        "})",
    ]
    reading, action = advance(reading, text(" Glenda Adams.", opens=False))
    assert isinstance(action, Done)
    assert action.text == " A novel by Glenda Adams."
    assert action.annotated == " A novel by({MEM_READ(Dancing on Coral>>author>>)-->Glenda Adams}) Glenda Adams."
    assert action.reason == "end"
    assert [call.results for call in action.calls] == [(("Glenda Adams",),)]


def test_one_live_call_the_previous_leaves_the_context_but_not_the_answer():
    reading, action = run(
        Reading.start("p"), text(" a"), query("x>>r>>"), found("X1"), text(" b"), query("y>>r>>"), found("Y1")
    )
    assert action.context == "p a b({MEM_READ(y>>r>>)-->Y1})"
    assert reading.annotated == " a({MEM_READ(x>>r>>)-->X1}) b({MEM_READ(y>>r>>)-->Y1})"
    _, opening = run(Reading.start("p"), text(" a"), query("x>>r>>"), found("X1"), text(" b"))
    assert opening.context == "p a b({MEM_READ("  # gone as soon as the new one opens


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([query("nonsense")], "malformed"),
        ([Generated("x>>r>>", "stop", "})")], "malformed"),
        ([Generated("x>>r>>", "stop", "\n")], "malformed"),
        ([Generated("x>>r>", "length")], "cut off"),
        ([Generated("x>>r>>", "end")], "cut off"),
        ([query("x>>r>>"), found()], "empty"),
        ([query("x>>r>>"), found(*(f"n{i}" for i in range(31)))], "too broad"),
        ([query("x>>r>>"), Results((("a",),), truncated=True)], "too broad"),
    ],
)
def test_withdrawn_calls(events, why):
    reading, action = run(Reading.start("p"), text(" a"), *events)
    assert [call.withdrawn for call in reading.calls] == [why]
    assert isinstance(action, Generate)
    assert (action.context, action.calls) == ("p a", "not_first")
    assert reading.annotated == " a"
    reading, action = advance(reading, text(" b"))
    assert not reading.blocked  # for one step only
    assert action.context == "p a b({MEM_READ("


def test_the_query_of_the_last_successful_call_is_not_asked_again():
    reading, action = run(
        Reading.start("p"), text(" a"), query("x>>r>>"), found("X"), text(" b"), query("z>>r>>"), found(), text(" c"),
        query("x>>r>>"),
    )  # fmt: skip
    assert [call.withdrawn for call in reading.calls] == [None, "empty", "repeated"]
    assert action.context == "p a b c"
    reading, action = run(reading, text(" d"), query("y>>r>>"), found("Y"), text(" e"), query("x>>r>>"))
    assert isinstance(action, Lookup)  # another call succeeded in between


def test_a_query_that_ends_the_call_too_early_is_asked():
    _, action = run(Reading.start("p"), text(" a"), Generated("x>>r>>)", "stop", "})"))
    assert action == Lookup((Query("x", "r"),))


def test_queries_are_capped_good_ones_kept_doubles_dropped():
    _, action = run(Reading.start("p"), text(""), query("bad;a>>r>>;a>>r>>;>>r>>b;c>>r>>;d>>r>>"))
    assert action == Lookup((Query("a", "r"), Query(None, "r", "b"), Query("c", "r")))


def test_answers_of_all_queries_are_pasted_once_and_traced_apart():
    reading, action = run(Reading.start("p"), text(""), query("a>>r>>;b>>r>>"), Results((("X", "Y"), ("Y", "Z"))))
    assert action.context == "p({MEM_READ(a>>r>>;b>>r>>)-->X;Y;Z})"
    assert reading.calls[0].results == (("X", "Y"), ("Y", "Z"))


def test_thirty_answers_fit_and_the_budget_of_characters_cuts():
    reading, _ = run(Reading.start("p"), text(""), query("a>>r>>"), found(*(f"n{i}" for i in range(30))))
    assert len(reading.calls[0].pasted) == 30
    small = Rules(result_characters=5)
    reading, _ = run(Reading.start("p", small), text(""), query("a>>r>>"), found("ab", "cd", "ef"))
    assert reading.calls[0].pasted == ("ab", "cd")  # "ab;cd" is five characters
    reading, _ = run(Reading.start("p", small), text(""), query("a>>r>>"), found("longer"))
    assert reading.calls[0].withdrawn == "too broad"


def test_tell_empty_shows_that_nothing_is_stored():
    _, action = run(Reading.start("p", Rules(tell_empty=True)), text(""), query("x>>r>>"), found())
    assert action.context == "p({MEM_READ(x>>r>>)-->nothing stored})"


@pytest.mark.parametrize("suffix", ["({", "({MEM_READ("])
def test_forced_read(suffix):
    reading = Reading.start("Ada lives in" + suffix)
    action = next_action(reading)
    assert isinstance(action, Generate)
    assert action.context == "Ada lives in({MEM_READ("
    _, action = run(reading, query("Ada>>lives in>>"), found("Oslo"), text(" Oslo.", opens=False))
    assert action.text == " Oslo."
    assert action.annotated == "({MEM_READ(Ada>>lives in>>)-->Oslo}) Oslo."


def test_budgets_are_separate():
    reading = Reading.start("p", Rules(text_tokens=10))
    reading, action = run(
        reading, Generated(" a", "stop", OPEN, tokens=4), Generated("x>>r>>)", "stop", "-->", tokens=60), found("X")
    )
    assert action.max_tokens == 6  # neither the call nor the answers count as text
    reading, action = advance(reading, Generated(" b", "stop", OPEN, tokens=6))
    assert isinstance(action, Done)
    assert action.reason == "length"


def test_cap_of_calls():
    reading, action = run(Reading.start("p", Rules(calls=1)), text(" a"), query("x>>r>>"), found("X"))
    assert action.calls == "never"
    _, action = advance(reading, text(" b"))
    assert isinstance(action, Done)
    assert (action.text, action.reason) == (" a b", "calls")
    assert next_action(Reading.start("p({", Rules(calls=0))).calls == "never"


def test_a_driver_that_cannot_forbid_a_call_is_refused_it():
    reading, action = run(Reading.start("p"), text(" a"), query("bad"), text(""), text(" b"))
    assert [call.withdrawn for call in reading.calls] == ["malformed", "blocked"]
    assert action.context == "p a b({MEM_READ("


def test_stop_texts_end_the_answer():
    reading = Reading.start("p", Rules(stop=("\n",)))
    assert next_action(reading).stop == (OPEN, "\n")
    _, action = advance(reading, Generated(" a", "stop", "\n"))
    assert (action.text, action.reason) == (" a", "stop")


def test_tokens_the_model_wrote_are_kept():
    reading, action = run(Reading.start("p"), Generated(" a", "stop", OPEN, ids=(7, 8)))
    assert action.segments[1] == Segment(" a", (7, 8))
    assert reading.text_tokens == 2


def test_wrong_events_and_arguments():
    with pytest.raises(ConfigurationError, match="waits for the outcome of Generate, got Results"):
        advance(Reading.start("p"), found("X"))
    reading, _ = run(Reading.start("p"), text(""), query("a>>r>>;b>>r>>"))
    with pytest.raises(ConfigurationError, match="2 queries were asked, but 1 lists"):
        advance(reading, found("X"))
    with pytest.raises(ConfigurationError, match="empty"):
        Reading.start("({")
    with pytest.raises(ConfigurationError, match="text_tokens=0"):
        Rules(text_tokens=0)
    with pytest.raises(ConfigurationError, match="not a saved reading"):
        Reading.from_dict({"prompt": "p"})


def test_results_of_a_memory():
    match = Match(Fact("f", ("n",), Triple("Ada", "lives in", "Oslo"), 1, 0, "2026-01-01"), "Oslo")
    read = [ReadResult(Query("Ada", "lives in"), (match, match)), ReadResult(AUTHOR, truncated=True)]
    assert Results.of(read) == Results((("Oslo",), ()), truncated=True)


def test_a_finished_reading_stays_finished():
    reading, done = run(Reading.start("p"), text(" a", opens=False))
    assert advance(reading, found("X")) == (reading, done)


words = st.sampled_from(["", " a", " b c", "({", "x>>r>>)", "x>>r>>;y>>r>>", ";", "\n"])
generated = st.builds(
    Generated,
    words,
    st.sampled_from(["stop", "end", "length"]),
    st.sampled_from(["", "({", "-->", "})", "\n"]),
    tokens=st.integers(0, 5),
)
names = st.lists(st.sampled_from(["X", "Y", "Z"]), max_size=3).map(tuple)
rules = st.builds(Rules, text_tokens=st.integers(1, 20), calls=st.integers(0, 4), tell_empty=st.booleans())


@given(rules, st.booleans(), st.data())
def test_every_reading_ends_within_its_caps_and_survives_saving(rules, forced, data):
    reading = Reading.start("p" + "({" * forced, rules)
    for _step in range(4 * rules.calls + 4):
        reading = Reading.from_dict(json.loads(json.dumps(reading.as_dict())))
        action = next_action(reading)
        if isinstance(action, Done):
            break
        if isinstance(action, Lookup):
            assert 1 <= len(action.queries) <= rules.queries
            event = Results(tuple(data.draw(names) for _ in action.queries))
        else:
            assert action.max_tokens >= 1
            event = data.draw(generated)
        before, (reading, action) = reading, advance(reading, event)
        assert advance(before, event) == (reading, action)
    assert isinstance(action, Done)
    assert len(action.calls) <= rules.calls
    assert all(len(call.pasted) <= rules.results for call in action.calls)


def test_a_memory_that_fails_withdraws_the_call_and_claims_nothing():
    reading, action = run(
        Reading.start("Q", Rules(tell_empty=True)), text("A"), query("a>>b>>"), Results((), failed=True)
    )
    assert isinstance(action, Generate)
    assert (action.context, action.calls) == ("QA", "not_first")
    assert [call.withdrawn for call in reading.calls] == ["failed"]
