"""Mangled model output: never an exception, nothing lost in silence, what is good stays (reliability T12)."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_memllm.grammar import render_write
from langchain_memllm.replies import MAX_PIECES, Reply, read_reply
from langchain_memllm.triples import Triple

ADA = {"subject": "Ada", "relation": "lives in", "object": "Oslo"}
BO = {"subject": "Bo", "relation": "likes", "object": "tea"}
GOOD = json.dumps({"facts": [ADA, BO]})
BOTH = [("Ada", "lives in", "Oslo"), ("Bo", "likes", "tea")]


def triples(reply: Reply) -> list[tuple[str, ...]]:
    return [tuple(item.triple) for item in reply.items]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        json.dumps([ADA, BO]),
        json.dumps([list(ADA.values()), list(BO.values())]),
        f"Sure, here you are:\n```json\n{GOOD}\n```\nAnything else?",
        f"```\n{GOOD}",
        f"<think>perhaps {json.dumps(dict(ADA, object='Bergen'))}</think>{GOOD}",
        json.dumps({"name": "record_facts", "arguments": GOOD}),
        json.dumps(GOOD),
        json.dumps({"result": {"data": {"facts": [[ADA], [BO]]}}}),
        json.dumps(
            {"facts": [{"head": "Ada", "predicate": "lives in", "tail": "Oslo"}, {"s": "Bo", "p": "likes", "o": "tea"}]}
        ),
        json.dumps({"facts": [{**ADA, "subject": {"name": "Ada"}}, BO]}),
        '{"facts": [{"subject": "Ada", "relation": "lives in", "object": "Oslo",}, ' + json.dumps(BO) + ",]}",
        json.dumps({"facts": ["Ada>>lives in>>Oslo", "Bo>>likes>>tea"]}),
        "({MEM_WRITE-->Ada>>lives in>>Oslo;Bo>>likes>>tea})",
        "Here: ({MEM_WRITE--> Ada >> lives in >> Oslo }) and ({MEM_WRITE-->Bo>>likes>>tea}) done.",
        "- Ada >> lives in >> Oslo\n- Bo >> likes >> tea",
        json.dumps(["({MEM_WRITE-->Ada>>lives in>>Oslo;Bo>>likes>>tea})"]),
        GOOD + GOOD,
    ],
)
def test_forms_that_are_understood_whole(text):
    assert triples(read_reply(text)) == BOTH
    assert read_reply(text).pieces == ()


@pytest.mark.parametrize(
    "text", ["", "  \n", "[]", "{}", '{"facts": []}', "none", "No facts.", "({MEM_WRITE-->})", "N/A"]
)
def test_forms_of_nothing(text):
    assert read_reply(text) == Reply()


def test_tool_calls_come_before_the_text():
    reply = read_reply("I recorded it: Ada>>is>>wrong", [{"facts": [ADA, BO]}])
    assert triples(reply) == BOTH
    assert triples(read_reply("", [{"facts": json.dumps([ADA, BO])}])) == BOTH
    assert triples(read_reply("", [{"facts": [ADA]}, {"facts": [BO]}])) == BOTH
    assert triples(read_reply(GOOD, [{}])) == []
    assert read_reply("", [{"facts": []}]) == Reply()
    cut = read_reply("", [], [json.dumps({"facts": [ADA, BO]})[:-20]])
    assert triples(cut) == BOTH[:1]
    assert [piece.reason for piece in cut.pieces] == ["it is cut off"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"subject": "Ada", "relation": "lives in"}, "object None"),
        ({"subject": "", "relation": "lives in", "object": "Oslo"}, "it is empty"),
        ({"subject": "Ada", "relation": None, "object": "Oslo"}, "relation None"),
        ({"subject": "x" * 300, "relation": "is", "object": "Oslo"}, "at most 256"),
        ({"subject": ["Ada", "Bo"], "relation": "is", "object": "Oslo"}, "it is no text"),
        ({"subject": "A\ud800", "relation": "is", "object": "Oslo"}, "U+D800"),
        ({"subject": "A\x00b", "relation": "is", "object": "Oslo"}, "U+0000"),
        ({"subject": True, "relation": "is", "object": "Oslo"}, "it is no text"),
        (["Ada", "Oslo"], "2 names instead of three"),
        (17, "it is no fact"),
        ("Ada lives in Oslo", "it is no fact"),
    ],
)
def test_a_bad_one_beside_good_ones(bad, reason):
    reply = read_reply(json.dumps({"facts": [ADA, bad, BO]}))
    assert triples(reply) == BOTH
    assert len(reply.pieces) == 1
    assert reason in reply.pieces[0].reason


def test_what_a_fact_carries():
    raw = {**ADA, "valid_from": "2020", "valid_to": None, "retract": "true", "sentence": 2, "note": "?"}
    (item,) = read_reply(json.dumps(raw)).items
    assert (item.valid_from, item.valid_to, item.retract, item.sentence) == ("2020", None, True, 2)
    assert triples(read_reply(json.dumps({**ADA, "object": ["Oslo", 5, "Rome"]}))) == [
        ("Ada", "lives in", "Oslo"),
        ("Ada", "lives in", "5"),
        ("Ada", "lives in", "Rome"),
    ]


CALLS = [
    GOOD,
    json.dumps([ADA, BO], indent=2),
    f"Sure!\n```json\n{GOOD}\n```",
    render_write([Triple(*names) for names in BOTH]),
    render_write([Triple("a;b", "c>d", "{e}")] * 2),
    json.dumps({"name": "record_facts", "arguments": GOOD}),
    "- Ada >> lives in >> Oslo\n- Bo >> likes >> tea",
    json.dumps({"facts": [{**ADA, "object": "Осло 東京 🦊"}, BO]}, ensure_ascii=False),
    f"<think>hm</think>{GOOD}",
    json.dumps(list(ADA.values())),
]


def test_cut_off_at_every_character_nothing_raises_and_nothing_is_silent():
    cases = [call[:end] for call in CALLS for end in range(1, len(call) + 1)]
    assert len(cases) >= 400
    for case in cases:
        reply = read_reply(case)
        assert reply.items or reply.pieces or not case.strip(" -"), case


def test_of_a_cut_off_list_the_whole_facts_stay_and_the_cut_one_is_kept_aside():
    for end in range(GOOD.index("[") + 1, len(GOOD) + 1):
        reply = read_reply(GOOD[:end])
        whole = GOOD[:end].count("}")
        opened = GOOD[:end].count("{") - 1 > whole
        assert triples(reply) == BOTH[:whole]
        assert bool(reply.pieces) == (opened or not whole)


def test_ten_thousand_facts_and_as_many_bad_ones():
    many = [{"subject": f"s{n}", "relation": "is", "object": f"o{n}"} for n in range(10_000)]
    assert len(read_reply(json.dumps(many)).items) == 10_000
    assert len(read_reply(json.dumps(many)[:-9]).items) == 9_999
    bad = read_reply(json.dumps([{"subject": "x"}] * 10_000 + [ADA]))
    assert triples(bad) == BOTH[:1]
    assert len(bad.pieces) == MAX_PIECES + 1
    assert bad.pieces[-1].reason == f"{10_000 - MAX_PIECES} more pieces could not be used"


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "{",
        '{"a":',
        '{"',
        '{"\\',
        "({",
        ">>",
        "a>>",
        "```",
        "<think>",
        '"',
        "\\",
        "({MEM_WRITE-->a>>b>>c;",
        '{"a":1}',
    ],
)
def test_time_is_linear(piece):
    def seconds(times: int) -> float:
        text = (piece * times)[:400_000]
        start = time.perf_counter()
        read_reply(text)
        return time.perf_counter() - start

    seconds(1000)
    assert seconds(20_000) < 1.0
    assert seconds(40_000) < 2.0


@given(st.text(max_size=300))
def test_any_text_becomes_items_and_pieces(text):
    reply = read_reply(text)
    for item in reply.items:
        assert all(item.triple)
    for piece in reply.pieces:
        piece.text.encode("utf-8")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["subject", "relation", "object", "facts", "x"]), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_any_json_becomes_items_and_pieces(value):
    text = json.dumps(value)
    reply = read_reply(text)
    kept = [*map(str, reply.items), *(piece.text for piece in reply.pieces)]
    assert len(kept) <= 2 * len(text) + 1
    read_reply("", [value])
