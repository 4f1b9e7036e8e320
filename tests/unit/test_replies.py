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
    assert triples(read_reply(GOOD, [{}])) == BOTH
    assert read_reply("", [{}]) == Reply()
    assert read_reply("", [{"facts": []}]) == Reply()
    cut = read_reply("", [], [json.dumps({"facts": [ADA, BO]})[:-20]])
    assert triples(cut) == BOTH[:1]
    assert [piece.reason for piece in cut.pieces] == ["it is cut off"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"subject": "Ada", "relation": "lives in"}, "object cannot be stored"),
        ({"subject": "", "relation": "lives in", "object": "Oslo"}, "it is empty"),
        ({"subject": "Ada", "relation": None, "object": "Oslo"}, "relation cannot be stored"),
        ({"subject": "x" * 300, "relation": "is", "object": "Oslo"}, "at most 256"),
        ({"subject": ["Ada", "Bo"], "relation": "is", "object": "Oslo"}, "it is not a text"),
        ({"subject": "A\ud800", "relation": "is", "object": "Oslo"}, "U+D800"),
        ({"subject": "A\x00b", "relation": "is", "object": "Oslo"}, "U+0000"),
        ({"subject": True, "relation": "is", "object": "Oslo"}, "it is not a text"),
        (["Ada", "Oslo"], "2 names instead of three"),
        (17, "it is not a fact"),
        ("Ada lives in Oslo", "it is not a fact"),
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


OSLO = json.dumps({"facts": [ADA]})
ROME = json.dumps({"facts": [dict(ADA, object="Rome")]})
HARMONY = "<|channel|>analysis<|message|>Perhaps {0}<|end|><|start|>assistant<|channel|>final<|message|>{1}"
COMMENTARY = (
    "<|channel|>analysis<|message|>{0}<|end|><|start|>assistant<|channel|>commentary to=functions.record_facts "
    "<|constrain|>json<|message|>{1}<|call|>"
)


@pytest.mark.parametrize(
    "form",
    [
        "Perhaps {0}? No.</think>{1}",
        "<think>perhaps {0}</think>{1}",
        "<think>the tag </think> ends it; perhaps {0}</think>{1}",
        "<thinking>{0}</thinking>\n<reflection>{0}</reflection>\n{1}",
        "<seed:think>{0}</seed:think>{1}",
        "{0} </reasoning> {1}",
        "{0} </REASONING> {1}",
        "◁think▷{0}◁/think▷{1}",
        "[THINK]{0}[/THINK]{1}",
        "<|START_THINKING|>{0}<|END_THINKING|>{1}",
        "{1}<think>or perhaps {0}",
        "{1}<think>or perhaps {0}</think>",
        HARMONY,
        COMMENTARY,
        "<|start|>assistant<|channel|>analysis<|message|>{0}<|end|>"
        "<|start|>assistant to=functions.record_facts<|channel|>commentary json<|message|>{1}",
        "analysisPerhaps {0}assistantfinal{1}",
    ],
)
def test_what_is_only_thought_is_no_fact(form):
    """Doors F11."""
    reply = read_reply(form.replace("{0}", ROME).replace("{1}", OSLO))
    assert triples(reply) == BOTH[:1]
    assert reply.pieces == ()


@pytest.mark.parametrize("text", [f"<think>{ROME}", f"<|channel|>analysis<|message|>{ROME}<|end|>", f"{ROME}</think>"])
def test_thinking_alone_is_put_aside(text):
    """Doors F11: nothing found in a reply that says something is quarantined."""
    reply = read_reply(text)
    assert reply.items == ()
    assert [piece.reason for piece in reply.pieces] == ["it holds thinking only and was cut off"]


@pytest.mark.parametrize(
    "fact",
    [
        "{'subject': 'Ada', 'relation': 'lives in', 'object': 'Oslo', 'retract': False, 'valid_to': None}",
        "{'subject': \"Ada\", 'relation': 'lives in', 'object': 'Oslo', \"retract\": false,}",
        '{subject: "Ada", relation: "lives in", object: "Oslo"}',
        '{"Subject": "Ada", "Relation": "lives in", "Object": "Oslo"}',
        '{"SUBJECT": "Ada", "PREDICATE": "lives in", "OBJECT": "Oslo"}',
        '{"head": "Ada", "type": "lives in", "tail": "Oslo"}',
        '{"head": "Ada", "head_type": "Person", "relation": "LIVES_IN", "tail": "Oslo", "tail_type": "City"}',
        '{"source": "Ada", "relationship": "lives_in", "target": "Oslo"}',
        '{"source": "Ada", "relationship": "lives in", "destination": "Oslo"}',
        '{"source": {"id": "Ada", "type": "Person"}, "type": "LIVES_IN", "target": {"id": "Oslo", "type": "City"}}',
        '{"source_node_id": "Ada", "relationship_name": "lives_in", "target_node_id": "Oslo"}',
        '["Ada", "lives in", "Oslo"]',
        "('Ada', 'lives in', 'Oslo')",
    ],
)
@pytest.mark.parametrize("around", ["[{}]", '{{"facts": [{}]}}', "Sure: [{}]. Anything else?", '[{}, {{"subject": "B'])
def test_the_shapes_of_other_extractors(fact, around):
    """Bugs 3.8: Python literals, keys in capitals, head / type / tail, source / relationship / target."""
    assert triples(read_reply(around.format(fact))) == BOTH[:1]


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "text", "value": "Ada lives in Oslo"}',
        '{"source": "web", "target": "user"}',
        '{"facts": {"a": ["Ada", "lives in", "Oslo"], "b": "cut',
        '{"subject": "Ada", "object": ["x", "y", "z"], "rel',
    ],
)
def test_shapes_that_are_no_facts_and_are_put_aside(text):
    reply = read_reply(text)
    assert reply.items == ()
    assert reply.pieces


@pytest.mark.parametrize(
    ("text", "calls", "broken"),
    [
        ("", [{"text": "Ada lives in Oslo"}], []),
        ("", [], ["Ada lives in Oslo"]),
        ("Ada lives in Oslo.", [{}], []),
        ("Noted!", [], [""]),
        ('{"note": "Ada lives in Oslo"}', [], []),
        ("17", [], []),
    ],
)
def test_a_reply_of_any_shape_in_which_nothing_is_found_is_put_aside(text, calls, broken):
    reply = read_reply(text, calls, broken)
    assert reply.items == ()
    assert len(reply.pieces) == 1


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
    def seconds(size: int) -> float:
        text = (piece * size)[:size]
        taken = []
        for _ in range(3):
            start = time.thread_time()
            read_reply(text)
            taken.append(time.thread_time() - start)
        return min(taken)

    assert seconds(320_000) < 30 * seconds(40_000) + 0.05  # eight times the text; quadratic would be 64 times the time


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
