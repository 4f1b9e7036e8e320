"""``memllm bench recall``: figures and intervals by hand, reports without text, and the sample that is shipped."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from cli_runner import Run, told
from rich.console import Console

from langchain_memllm.bench import data, rivals
from langchain_memllm.bench import gate as gates
from langchain_memllm.bench.data import Asked, Corpus, Item, chats
from langchain_memllm.bench.ours import Way, ours
from langchain_memllm.bench.report import Report, changes, measure, tables
from langchain_memllm.bench.scoring import (
    Answer,
    both,
    difference,
    firsts_of,
    newer_first,
    places_within,
    ranks_of,
    share,
    total,
)
from langchain_memllm.cli.terminal import MODEL, WRONG
from langchain_memllm.embeddings import MiniLM, Vector
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.gate import Rules as GateRules
from langchain_memllm.memory import Memory
from langchain_memllm.recall import Weights
from langchain_memllm.stores.episodes import Turn

ROOT = Path(__file__).parents[2]
EVERYDAY = ROOT / "benchmarks" / "recall"
RECORDED = ROOT / "tests" / "data" / "recall_sample.json"
SHIPPED = ROOT / "langchain_memllm" / "data" / "recall"

# -- figures -----------------------------------------------------------------------------------------------------------


def answer(
    ranks: Sequence[int], wanted: int = 1, every: bool = True, name: str = "1", other: Sequence[int] = ()
) -> Answer:
    return Answer(name, "", "all", wanted, every, {"ours": list(ranks), "BM25": list(other)})


def test_a_piece_of_evidence_has_the_place_at_which_it_first_comes() -> None:
    found = [frozenset("x"), frozenset("ab"), frozenset("a"), frozenset("c")]
    assert ranks_of(Asked("1", "", frozenset("acz")), found) == [2, 4]
    assert ranks_of(Asked("1", "", frozenset("z")), found) == []


def test_the_share_is_of_all_evidence_or_whether_any_is_there() -> None:
    assert share(answer([2, 7], wanted=4), "ours", 5) == 0.25
    assert share(answer([2, 7], wanted=4), "ours", 10) == 0.5
    assert share(answer([2, 7], wanted=4, every=False), "ours", 5) == 1.0
    assert share(answer([7], wanted=4, every=False), "ours", 5) == 0.0


def test_what_has_room_in_some_tokens_is_counted_from_the_first() -> None:
    found = [Item(("a" * 36, "b", "c")), Item(("a", "b", "c")), Item(("a" * 76, "b", "c"))]  # 10, 2 and 20 tokens
    assert [places_within(tokens, found) for tokens in (9, 10, 12, 31, 32)] == [0, 1, 2, 2, 3]
    one = replace(answer([2, 7], wanted=2, other=[1]), within={"ours": 6, "BM25": 1})
    assert (share(one, "ours", None), share(one, "BM25", None)) == (0.5, 0.5)
    assert total([one, replace(one, within={"ours": 7, "BM25": 0})], "ours", None).value == 0.75
    assert difference([one], "ours", "BM25", None).value == 0.0


def test_a_total_is_the_mean_with_an_interval_that_depends_on_how_much_it_varies() -> None:
    certain = total([answer([1])] * 8, "ours", 5)
    assert (certain.value, certain.low, certain.high, certain.count) == (1.0, 1.0, 1.0, 8)
    half = total([answer([1]), answer([])] * 50, "ours", 5)
    assert half.value == 0.5
    assert half.low == pytest.approx(0.40, abs=0.02)  # 0.5 less 1.96 x sqrt(0.25 / 100)
    assert half.high == pytest.approx(0.60, abs=0.02)
    assert half == total([answer([1]), answer([])] * 50, "ours", 5)


def test_a_difference_is_paired_by_question() -> None:
    """One is right where the other is, and on every fourth question more: it varies less than either total."""
    answers = [answer([1], other=[1]), answer([]), answer([1], other=[2]), answer([3])] * 25
    found = difference(answers, "ours", "BM25", 5)
    assert (found.name, found.value) == ("BM25", 0.25)
    assert found.low == pytest.approx(0.165, abs=0.02)  # 0.25 less 1.96 x sqrt(0.1875 / 100)
    assert difference(answers, "ours", "BM25", 1).value == 0.25  # at the first place: 2 of 4 beside 1 of 4


# -- what is measured beside it ----------------------------------------------------------------------------------------


def test_bm25_finds_stems_and_counts_rare_words_more() -> None:
    texts = ["Ada likes tea", "Ada lives in Oslo", "Bob liked boats", "Ada is Ada"]
    assert rivals.bm25(texts, ["Does Ada like boats?"])[0][0] == 2
    assert rivals.bm25(texts, ["???", 'who "said" NEAR(x) OR *'])[0] == []


def test_fusion_is_by_reciprocal_rank() -> None:
    assert rivals.fused([0, 1], [1, 2]) == [1, 0, 2]  # 1/62 + 1/61, then 1/61, then 1/62
    assert rivals.fused([4], [3]) == [3, 4]


def letters(texts: Sequence[str]) -> Vector:
    """One dimension for a, one for b."""
    vectors = np.array([[text.count("a"), text.count("b")] for text in texts], np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_find_what_is_nearest_and_are_fused_with_bm25() -> None:
    found = rivals.rivals(["ab", "aaab", "bbb"], ["aaa"], letters)
    assert found["MiniLM"] == [[1, 0, 2]]
    assert list(found) == ["BM25", "static", "MiniLM", "BM25 + static", "BM25 + MiniLM"]
    assert found["BM25 + MiniLM"] == [[1, 0, 2]]  # no word is shared
    assert list(rivals.rivals(["ab"], ["a"])) == ["BM25", "static", "BM25 + static"]


def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    MiniLM.installed.cache_clear()


def test_minilm_is_measured_only_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models, cache = ModuleType("sentence_transformers"), ModuleType("huggingface_hub")
    cached: dict[tuple[str, str], str] = {}

    class Model:
        def __init__(self, name: str) -> None:
            if not (Path(name) / "modules.json").exists():
                raise OSError(f"{name} has no modules.json")

        def encode(self, texts: list[str], **_: object) -> Vector:
            return letters(texts)

    models.SentenceTransformer = Model  # type: ignore[attr-defined]
    cache.try_to_load_from_cache = lambda *name: cached.get(name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", models)
    monkeypatch.setitem(sys.modules, "huggingface_hub", cache)
    encode = rivals.minilm()
    assert encode is not None
    assert encode(["aab"]).shape == (1, 384)
    without_onnx(monkeypatch)
    assert rivals.minilm() is None
    with pytest.raises(ConfigurationError, match="elsewhere holds no model"):
        rivals.minilm(tmp_path / "elsewhere")
    (tmp_path / "modules.json").write_text("[]")
    cached["sentence-transformers/all-MiniLM-L6-v2", "modules.json"] = str(tmp_path / "modules.json")
    for encode in (rivals.minilm(), rivals.minilm(tmp_path)):
        assert encode is not None
        assert encode(["aab"]).dtype == np.float32


def test_the_parts_of_a_question_by_hand() -> None:
    asked = Asked("1", "?", frozenset("abc"), parts=(frozenset("a"), frozenset("bc")))
    assert firsts_of(asked, [frozenset("c"), frozenset(), frozenset("ab")]) == [3, 1]
    assert firsts_of(asked, [frozenset("x")]) == [0, 0]
    places = [[1, 2], [2, 1], [1, 0], [4, 1]]
    answers = [Answer(str(i), "", "all", 2, True, {}, firsts={"ours": some}) for i, some in enumerate(places)]
    assert both(answers, "ours", 3).value == 0.5
    assert both(answers, "ours", 4).value == 0.75
    above = newer_first(answers, "ours", 3)
    assert (above.value, above.count) == (0.5, 2)
    assert newer_first(answers[2:3], "ours", 3).value is None


def test_the_parts_of_questions_have_tables(tmp_path: Path) -> None:
    answer = Answer(
        "1", "knowledge update", "all", 2, True, {"ours": [1, 2], "BM25": [1]}, firsts={"ours": [1, 2], "BM25": [0, 1]}
    )
    report = Report((5,), {"set": [answer]}, {})
    text = printed(report)
    assert "set; the new value above" in text
    assert "100.0 [100.0, 100.0], of 1" in text
    assert "none" in text
    with (tmp_path / "r.json").open("w") as file:
        report.write(file)
    assert Report.load(tmp_path / "r.json") == report


# -- ours, with a way left out -----------------------------------------------------------------------------------------

FACTS = [
    ("Clara", "works as", "dentist"),
    ("Clara", "lives in", "Lyon"),
    ("user", "sister", "Clara"),
    ("Clara", "born in", "Nantes"),
    ("user", "lives in", "Ghent"),
    ("Zoe", "lives in", "Oslo"),
]
SISTER = "Which city does my sister live in?"


@pytest.mark.parametrize(
    ("question", "way", "whole", "without"),
    [
        (SISTER, "hops", ["Clara", "Lyon", "Nantes", "Ghent", "Oslo"], ["Clara", "Ghent", "Oslo", "Lyon", "Nantes"]),
        (SISTER, "person", ["Clara", "Lyon", "Nantes", "Ghent", "Oslo"], ["Clara", "Lyon", "Nantes", "Oslo", "Ghent"]),
        ("Clara's job", "words", ["dentist", "Clara", "Nantes", "Lyon"], ["Clara", "dentist", "Nantes", "Lyon"]),
        ("Clara's job", "meaning", ["dentist", "Clara", "Nantes", "Lyon"], ["dentist", "Nantes", "Clara", "Lyon"]),
    ],
)
def test_a_way_that_is_left_out_does_not_count(question: str, way: Way, whole: list[str], without: list[str]) -> None:
    """What hops and the person bring goes back; the sister's city is a hop from whose sister she is."""
    items = [Item(triple, evidence=frozenset([triple[2]])) for triple in FACTS]
    found = ours(Corpus("set", items, [Asked("1", question, frozenset())], "user"), 5, [way])
    orders = {name: [piece for item in ranking for piece in item.evidence] for name, (ranking,) in found.items()}
    assert orders == {"ours": whole, f"ours without {way}": without}


def test_without_any_way_nothing_is_recalled() -> None:
    with Memory() as memory:
        memory.write(FACTS, namespace=("n",))
        assert memory.recall(SISTER, namespace=("n",)).matches
        memory.weights = Weights(words=0, meaning=0, person=0, hops=0)
        assert memory.recall(SISTER, namespace=("n",)).matches == ()


def test_messages_are_found_by_words_and_meaning_alone(tmp_path: Path) -> None:
    (corpus,) = own_chat(tmp_path)
    assert list(ours(corpus, 5, ["words", "person", "hops"])) == ["ours", "ours without words"]


# -- reports -----------------------------------------------------------------------------------------------------------


def own_chat(folder: Path, evidence: Sequence[object] = ("m1",), more: str = "") -> list[Corpus]:
    messages = [
        {"id": "m1", "role": "user", "content": "I parked the\ncar on Elm Street."},
        {"id": "m2", "role": "assistant", "content": "Noted."},
        {"role": "user", "content": f"Rex is at the vet until Friday. {more}"},
    ]
    asked = [
        {"question": "Where is my car?", "evidence": list(evidence), "kind": "where"},
        {"question": "Who wrote Hamlet?", "evidence": []},
    ]
    (folder / "chat.json").write_text(json.dumps(messages), "utf-8")
    (folder / "asked.json").write_text(json.dumps(asked), "utf-8")
    return chats([folder / "chat.json"], folder / "asked.json")


@pytest.mark.parametrize("piece", ["m1", "chat/m1", "the car on ELM street"])
def test_evidence_of_a_chat_is_a_message_or_its_words(tmp_path: Path, piece: str) -> None:
    (corpus,) = own_chat(tmp_path, [piece])
    assert [bool(item.evidence) for item in corpus.items] == [True, False, False]
    assert [len(asked.gold) for asked in corpus.questions] == [1, 0]


def test_a_message_without_an_id_is_named_by_its_number(tmp_path: Path) -> None:
    (corpus,) = own_chat(tmp_path, ["#2", "parked"])
    assert [bool(item.evidence) for item in corpus.items] == [True, False, True]
    assert len(corpus.questions[0].gold) == 2


def test_a_report_holds_no_text_and_is_read_again(tmp_path: Path) -> None:
    made = measure(own_chat(tmp_path), (1, 5), without=["words"])
    written = io.StringIO()
    made.write(written)
    assert not any(word in written.getvalue() for word in ("car", "Elm", "Hamlet", "Rex", "Where"))
    (tmp_path / "report.json").write_text(written.getvalue(), "utf-8")
    assert Report.load(tmp_path / "report.json") == made
    (asked, unrelated) = made.sets["chats, 3 messages"]
    assert asked.ranks["ours"] == asked.ranks["BM25"] == [1]
    assert (unrelated.ranks, unrelated.shown is None) == ({}, False)


def printed(report: Report, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    for each in tables(report, **options):
        console.print(each)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_table_has_a_row_a_method_and_the_gain_on_the_best_of_the_others() -> None:
    answers = [
        Answer("1", "where", "all", 1, True, {"ours": [1], "ours without hops": [], "BM25": [], "static": [2]}),
        Answer("2", "[/who]", "all", 1, True, {"ours": [1], "ours without hops": [], "BM25": [], "static": []}),
    ]
    text = printed(Report((5,), {"set": answers}, {"MiniLM": "not installed"}))
    assert "set; all (2)" in text
    assert "ours                     │ 100.0 [100.0, 100.0]" in text
    assert "+50.0 [0.0, 100.0] static" in text
    assert "MiniLM                   │ not installed" in text
    assert "where" not in text
    by_kind = printed(Report((5,), {"set": answers}, {}), kinds=True)
    assert "set; all, where (1)" in by_kind
    assert "set; all, [/who] (1)" in by_kind


def report_of(*found: Sequence[int], ks: tuple[int, ...] = (5,), name: str = "set") -> Report:
    return Report(ks, {name: [answer(each, name=str(n)) for n, each in enumerate(found)]}, {})


def test_a_total_that_is_lower_by_more_than_the_tolerance_is_told() -> None:
    (change,) = changes(report_of([1], [6], [1], [1]), report_of([1], [1], [1], [1]))
    assert (change.k, change.before, change.now) == (5, 100.0, 75.0)
    assert change.is_lower(24.9)
    assert not change.is_lower(25.0)
    (better,) = changes(report_of([1], [1]), report_of([1], []))
    assert not better.is_lower(0.0)


def test_only_the_same_questions_are_compared() -> None:
    with pytest.raises(ConfigurationError, match="question '1' differs"):
        changes(report_of([1]), report_of([1], [1]))
    with pytest.raises(ConfigurationError, match="other sets"):
        changes(report_of([1]), report_of([1], name="another"))
    with pytest.raises(ConfigurationError, match="other sets"):
        changes(report_of([1]), report_of([1], ks=(10,)))


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_sample_is_found_as_well_as_when_it_was_recorded(run: Run) -> None:
    """Record it again after a change for the better: memllm bench recall --json tests/data/recall_sample.json."""
    result = run("bench", "recall", "--json", "now.json", "--compare", str(RECORDED))
    assert result.exit_code == 0, result.output
    assert result.stdout.count("as good") == 4
    assert "ours less the best other" in result.stdout
    now, recorded = Report.load(Path("now.json")), Report.load(RECORDED)
    assert {name: len(answers) for name, answers in now.sets.items()} == {
        "sample: everyday, 60 facts": 70,
        "sample: chats, 22 messages": 16,
    }
    assert recorded.sets.keys() == now.sets.keys()


def test_the_sample_is_measured_within_tokens_as_well(run: Run) -> None:
    """Of few tokens less comes than of ten places, of many more; the report tells both again."""
    few, many = (run("bench", "recall", "--k", "10", "--tokens", str(n), "--json", f"{n}.json") for n in (20, 400))
    assert (few.exit_code, many.exit_code) == (0, 0), few.output + many.output
    assert "at 20 tokens" in few.stdout
    reports = [Report.load(Path(f"{n}.json")) for n in (20, 400)]
    for name in ("sample: everyday, 60 facts", "sample: chats, 22 messages"):
        answers = [[each for each in report.sets[name] if each.wanted] for report in reports]
        for method in ("ours", "BM25 + static"):
            at_20, at_400 = (total(some, method, None).value or 0.0 for some in answers)
            assert at_20 < (total(answers[0], method, 10).value or 0.0) <= at_400
    assert reports[0].tokens == 20


def test_the_sample_is_small_and_a_part_of_the_everyday_set() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 60_000
    assert (SHIPPED / "everyday_facts.json").read_text("utf-8") == (EVERYDAY / "everyday_facts.json").read_text("utf-8")
    some, every = (
        json.loads((folder / "everyday_questions.json").read_text("utf-8")) for folder in (SHIPPED, EVERYDAY)
    )
    assert all(each in every for each in some)


def test_a_total_that_fell_ends_with_status_1(run: Run, tmp_path: Path) -> None:
    own_chat(tmp_path)
    command = ["bench", "recall", "--chat", "chat.json", "--questions", "asked.json"]
    assert run(*command, "--json", "before.json").exit_code == 0
    assert run(*command, "--json", "before.json", "--compare", "before.json").exit_code == 0  # a report is replaced
    worse = Path("before.json").read_text("utf-8").replace('"wanted": 1', '"wanted": 2')
    Path("before.json").write_text(worse, "utf-8")
    assert "question '1' differs" in told_last(run(*command, "--compare", "before.json"))
    own_chat(tmp_path, ["m2"])
    run(*command, "--json", "before.json", "--k", "1")
    lifted = Path("before.json").read_text("utf-8").replace('"ours": []', '"ours": [1]')
    Path("before.json").write_text(lifted, "utf-8")
    result = run(*command, "--k", "1", "--compare", "before.json")
    assert result.exit_code == 1
    assert "@1: 0.0, before 100.0: LOWER by more than 2" in result.stdout
    assert run(*command, "--k", "1", "--compare", "before.json", "--tolerance", "100").exit_code == 0


def told_last(result: Any) -> str:
    assert result.exit_code == WRONG, result.output
    line: str = result.stderr.strip().splitlines()[-1]
    return line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--k", "5,0"], "--k '5,0' is not a list of numbers from 1 to 200"),
        (["--k", "five"], "'five'"),
        (["--without", "wards"], "--without 'wards' is unknown; give one of words, meaning, person, hops"),
        (["--chat", "chat.json"], "--chat was given without --questions"),
        (["--questions", "asked.json"], "--questions was given without --chat"),
        (["--locomo-facts", "f.json"], "--locomo-facts was given without --locomo"),
        (["--locomo", "missing.json"], "missing.json cannot be read"),
        (["--locomo", "broken.json"], "broken.json is neither JSON nor JSON lines"),
        (["--locomo", "object.json"], "object.json"),
        (["--everyday", "."], "everyday_questions.json cannot be read"),
        (["--beam", "."], "holds no 100K_*.json.gz"),
        (["--multihop", "missing"], "musique_migres.json.gz cannot be read"),
        (["--redocred", "missing"], "dev_revised.json.gz cannot be read"),
        (["--compare", "missing.json"], "missing.json cannot be read"),
        (["--compare", "object.json"], "object.json is not a report"),
        (["--json", "object.json"], "object.json is not a report"),
        (["--json", "missing/r.json"], "missing is not a folder"),
        (["--chat", "chat.json", "--questions", "object.json"], "object.json does not have the form"),
        (["--chat", "chat.json", "--questions", "unknown.json"], "no message has the id 'm99' or says it"),
        (["--chat", "missing.json", "--questions", "asked.json"], "missing.json cannot be read"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_used_is_told(run: Run, tmp_path: Path, options: list[str], words: str) -> None:
    own_chat(tmp_path)
    Path("broken.json").write_text('[{"a": ', "utf-8")
    Path("object.json").write_text('{"a": 1}', "utf-8")
    Path("unknown.json").write_text('[{"question": "Where?", "evidence": ["m99"]}]', "utf-8")
    assert words in told(run("bench", "recall", *options), WRONG)
    assert Path("object.json").read_text("utf-8") == '{"a": 1}'


def test_a_folder_of_minilm_without_its_package_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    without_onnx(monkeypatch)
    assert rivals.minilm() is None
    assert "pip install sentence-transformers" in told(run("bench", "recall", "--minilm", "."), MODEL)


def test_an_answer_that_is_no_fact_is_an_error_of_the_set(tmp_path: Path) -> None:
    fact = {"id": "e1", "subject": "user", "relation": "likes", "object": "tea", "sentence": "", "said": "2026-01-01"}
    asked = {"id": "q1", "language": "en", "question": "?", "gold": ["e2"], "all": True, "kind": "direct"}
    (tmp_path / "everyday_facts.json").write_text(json.dumps([fact]), "utf-8")
    (tmp_path / "everyday_questions.json").write_text(json.dumps([asked]), "utf-8")
    with pytest.raises(ConfigurationError, match=r"'q1' .* answered by 'e2'"):
        data.everyday(tmp_path)
    (tmp_path / "everyday_questions.json").write_text(json.dumps([{"id": "q1"}]), "utf-8")
    with pytest.raises(ConfigurationError, match=r"'question' is missing|'gold' is missing"):
        data.everyday(tmp_path)


# -- gates -------------------------------------------------------------------------------------------------------------


def _said() -> Corpus:
    texts = ["The ferry code is XK-4711. We had a long and rainy trip before that, all day.", "I bake rye bread."]
    items = [
        Item(
            (), "", frozenset([f"e{place}"]), None, Turn(Turn.named("t", text), "t", text, "2026-03-05T12:00:00+00:00")
        )
        for place, text in enumerate(texts)
    ]
    asked = [
        Asked("1", "What is the ferry code?", frozenset(["e0"]), answer="XK-4711"),
        Asked("2", "What do I bake?", frozenset(["e1"]), answer="rye bread"),
    ]
    return Corpus("two turns", items, asked)


DAY = "2026-03-05T12:00:00+00:00"
ROLES = ("user", "assistant")
UNNEEDED = [Asked("turns/1", "ok", frozenset()), Asked("turns/3", "Thanks!", frozenset())]


def test_a_gate_is_measured_beside_all_beside_as_many_tokens_and_beside_chance() -> None:
    measured = gates.measure([_said()], UNNEEDED, {"rules": GateRules()})
    (rows,) = measured.sets.values()
    assert [(row.id, row.needed) for row in rows] == [("1", True), ("2", True), ("turns/1", False), ("turns/3", False)]
    by_name = {line.name: line for line in gates.lines(rows)}
    always, rules = by_name[gates.ALWAYS], by_name["rules"]
    assert (always.held.value, always.ratio.value) == (1.0, 1.0)
    assert (rules.held.value, rules.through.value, rules.spared.value, rules.other_tokens.value) == (1.0, 1.0, 1.0, 0.0)
    assert rules.ratio.value is not None and rules.ratio.value <= 0.5 and rules.loss.value == 0.0
    cut = by_name["in full, as many tokens as rules"]
    assert cut.ratio.value is not None and cut.ratio.value <= rules.ratio.value
    assert {name for name in by_name if name.startswith("at random")} == {"at random, at the rates of rules"}


def test_another_persons_words_are_shown_and_an_assistants_are_not() -> None:
    turns = [
        Turn(Turn.named("t", role), "t", f"The {role} code is XK-4711.", DAY, role, "Bo", "tool") for role in ROLES
    ]
    items = [Item((), "", frozenset([turn.role]), None, turn) for turn in turns]
    asked = Asked("1", "What is the code?", frozenset(ROLES))
    (rows,) = gates.measure([Corpus("two roles", items, [asked])], [], {}).sets.values()
    assert rows[0].outcomes[gates.ALWAYS].shown == 0.5


def test_evidence_is_held_where_the_words_of_the_answer_are_still_there() -> None:
    asked = Asked("1", "Where did Bo go?", frozenset("e"), answer="to Oslo in June")
    whole = "Bo went to Oslo. It was June. It rained."
    assert gates.holds(asked, whole, "Bo went to Oslo. It was June.") and not gates.holds(
        asked, whole, "Bo went to Oslo."
    )
    assert gates.holds(asked, "Bo rested.", "Bo rested.") and not gates.holds(asked, "Bo rested. Fine.", "Fine.")


def test_what_was_tuned_on_is_measured_only_if_it_is_asked_for() -> None:
    tuned = Corpus("LoCoMo, messages", _said().items, [Asked("conv-26/1", "code?", frozenset(["e0"]))])
    unneeded = [Asked(f"turns/{number}", "ok", frozenset()) for number in range(3)]
    assert gates.cases_of([tuned], unneeded) == []
    parts = [(case.asked.id, case.part) for case in gates.cases_of([tuned, _said()], unneeded, tuning=True)]
    assert parts[:2] == [("conv-26/1", "tuning"), ("turns/0", "tuning")] and ("turns/1", "test") in parts
    assert [case.asked.id for case in gates.cases_of([_said()], unneeded, sample=1)] == ["1", "turns/1"]


def test_a_report_of_gates_is_read_back_and_holds_no_text(tmp_path: Path) -> None:
    measured = gates.measure([_said()], UNNEEDED, {"rules": GateRules()})
    file = tmp_path / "gate.json"
    with file.open("w") as out:
        measured.write(out)
    assert gates.GateReport.load(file) == measured
    assert not any(word in file.read_text() for word in ("ferry", "XK", "bake", "Thanks"))
    file.write_text('{"form": "other"}')
    with pytest.raises(ConfigurationError, match="its form is 'other'"):
        gates.GateReport.load(file)


def test_the_command_measures_gates_on_the_sample(run: Run, tmp_path: Path) -> None:
    result = run("bench", "gate", "--sample", "2", "--json", str(tmp_path / "g.json"))
    assert result.exit_code == 0 and "always, in full" in result.output
    assert gates.GateReport.load(tmp_path / "g.json").about["gates"] == ["rules", "embedder"]
    assert "memory_gate='fortune' is unknown" in told(run("bench", "gate", "--decider", "fortune"), WRONG)
