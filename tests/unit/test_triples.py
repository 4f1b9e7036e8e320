"""Values: names as they are stored and compared, triples, queries, sources, receipts."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from langchain_memllm.errors import ConfigurationError, InvalidTriple, NamespaceError
from langchain_memllm.triples import (
    KINDS,
    MAX_NAME,
    Fact,
    Kind,
    Match,
    Outcome,
    Query,
    ReadResult,
    Receipt,
    Source,
    Triple,
    as_triple,
    check_namespace,
    clean_name,
    fold,
    is_literal_key,
    literal_key,
    loose_key,
    name_key,
    rank_of,
    stable_hash,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
NAMES = st.text(max_size=80).map(lambda text: " ".join(text.split())).filter(bool)


def cleaned(text: str) -> str | None:
    try:
        return clean_name(text)
    except InvalidTriple:
        return None


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("Ada", "Ada"),
        ("  Ada \n Lovelace\t", "Ada Lovelace"),
        ("Jose\u0301", "José"),
        ("Ada\u00a0Lovelace", "Ada Lovelace"),
        ("{a >> b; c\\d}-->", "{a >> b; c\\d}-->"),
        ("👩‍💻", "👩‍💻"),
        ("x" * MAX_NAME, "x" * MAX_NAME),
        (" " * 100 + "x", "x"),
    ],
)
def test_a_name_is_stored_trimmed_and_composed(given_name: str, stored: str) -> None:
    assert clean_name(given_name) == stored


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("x" * (MAX_NAME + 1), "257 characters"),
        ("x" * 5000, "5000 characters"),
        ("a\x00b", "U+0000"),
        ("a\x7fb", "U+007F"),
        ("a\ud800b", "U+D800"),
        (None, "got NoneType"),
        (5, "got int"),
        (b"Ada", "got bytes"),
    ],
    ids=ascii,
)
def test_a_name_that_cannot_be_stored_says_why(name: object, reason: str) -> None:
    with pytest.raises(InvalidTriple, match="subject") as caught:
        clean_name(name, "subject")
    assert reason in caught.value.reason
    assert len(str(caught.value)) < 300


@given(ANY_TEXT)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = cleaned(text)
    if once is not None:
        assert clean_name(once) == once
        assert 0 < len(once) <= MAX_NAME
        assert once == once.strip() == unicodedata.normalize("NFC", once)
        once.encode("utf-8")  # no lone surrogate


@given(ANY_TEXT)
def test_a_key_is_its_own_key_and_that_of_other_spellings(text: str) -> None:
    name = cleaned(text)
    if name is not None:
        key = name_key(name)
        assert name_key(key) == key
        assert name_key(unicodedata.normalize("NFD", name)) == key
        assert name_key(name.casefold()) == key


@pytest.mark.parametrize(
    ("one", "other"), [("ADA", "ada"), ("Straße", "STRASSE"), ("José", "JOSE\u0301"), ("Σας", "ΣΑΣ")]
)
def test_two_spellings_with_one_key_are_one_name(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff\u200e\u202a\ufe0f\u0640"
LOOK_ALIKE = st.text(
    st.sampled_from("aAiİIŉß'’‘ʼ`´＇-‐‑–—−﹣－.。…Ａｶﾞ\u0301\u0307\u0345\u064e²①ﬁⅧ \u00a0" + INVISIBLE), max_size=12
)


@given(LOOK_ALIKE)
@example("\u0345\uff9e")  # both change their place among marks by being folded
@example("\u1d2d")  # without its style a capital \u00c6
def test_a_key_is_its_own_key_also_of_the_signs_it_folds(text: str) -> None:
    test_a_key_is_its_own_key_and_that_of_other_spellings.hypothesis.inner_test(text)  # type: ignore[attr-defined]
    name = cleaned(text)
    if name is not None and (loose := loose_key(name_key(name))) is not None:
        assert loose_key(loose) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[(f"O{sign}Brien", "O'Brien") for sign in "’‘ʼʻ`´＇′"],
        *[(f"Jean{sign}Luc", "Jean-Luc") for sign in "‐‑‒–—―−﹘﹣－"],
        *[(f"Sa{sign}rah", "Sarah") for sign in INVISIBLE if sign != "\u0640"],
        ("Sarah\u200b", "Sarah"),
        ("\ufeffSarah", "Sarah"),
        ("\u201cWeird Al\u201d Yankovic", '"Weird Al" Yankovic'),
        ("Ａｃｍｅ　１２", "acme 12"),
        ("ﾊﾝﾊﾞｰｸﾞ", "ハンバーグ"),
        ("محـــمد", "محمد"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        ("İstanbul", "istanbul"),
        ("İSTANBUL", "istanbul"),
        ("Acme Inc.", "Acme Inc"),
        ("Mr. Smith.", "Mr. Smith"),
        ("Louis Ⅷ", "Louis VIII"),
        ("ﬁsh", "fish"),
        ("می‌خواهم", "میخواهم"),
        ("👩‍💻", "👩💻"),
        ("❤️", "❤"),
    ],
    ids=ascii,
)
def test_what_cannot_be_seen_makes_no_other_name(one: str, other: str) -> None:
    """bugs 3.9: one name, one key; the spelling stays as it was written."""
    assert name_key(clean_name(one)) == name_key(clean_name(other))
    assert clean_name(one) == unicodedata.normalize("NFC", " ".join(one.split()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("José", "Jose"), ("Zoë", "Zoe"), ("Mr. Smith", "Mr Smith"), ("Mr Smith", "Smith"), ("x²", "x2")],
        *[("H₂O", "H2O"), ("Room ①", "Room 1"), ("Jean-Luc", "Jean Luc"), ("½", "1/2"), ("C++", "C"), ("ı", "i")],
        *[("آ", "ا"), ("が", "か"), (".NET", "NET"), ("Node.js", "Nodejs"), ("पि", "पु")],
    ],
)
def test_what_can_be_seen_makes_another_name(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


@pytest.mark.parametrize("name", [".", "...", "\u200b", "\u00ad\u2060", "．", "\u0640", "。", "\u064e"], ids=ascii)
def test_a_name_of_which_nothing_is_left_keeps_a_key(name: str) -> None:
    assert name_key(clean_name(name))
    assert name_key(name_key(name)) == name_key(name)


@pytest.mark.parametrize(
    ("name", "loose"),
    [
        *[("José", "jose"), ("Jose", None), ("Mr. Smith", "mr smith"), ("Mr Smith", None), ("Jean-Luc", "jean luc")],
        *[("O’Brien", "obrien"), ("Łódź", "lodz"), ("Ångström, A.", "angstrom a"), ("が", None), ("पि", None)],
        *[("...", None), ("Ада", None), ("Й", "и"), ("user", None)],
    ],
)
def test_other_spellings_share_a_loose_key(name: str, loose: str | None) -> None:
    assert loose_key(name_key(name)) == loose


@given(NAMES, NAMES)
def test_a_literal_is_no_name_and_compared_exactly(one: str, other: str) -> None:
    assert is_literal_key(literal_key(one))
    assert literal_key(one) != name_key(other)
    assert (literal_key(one) == literal_key(other)) == (one == other)


def test_hashes_are_the_same_everywhere_and_keep_parts_apart() -> None:
    assert stable_hash("a", 1) == stable_hash("a", "1")
    assert stable_hash("ab", "c") != stable_hash("a", "bc")
    assert len(stable_hash()) == 32
    assert stable_hash("Ada") == "4522719c829031ba33df0718ce66bc8e"


# -- triples, queries, sources ---------------------------------------------------------------------------------------


def test_a_triple_cleans_unpacks_and_compares() -> None:
    triple = Triple(" Ada ", "lives  in", "Oslo\n")
    assert tuple(triple) == ("Ada", "lives in", "Oslo")
    assert triple == Triple("Ada", "lives in", "Oslo")
    assert str(triple) == "(Ada, lives in, Oslo)"
    with pytest.raises(InvalidTriple, match="object"):
        Triple("Ada", "likes", "")


@pytest.mark.parametrize(
    "value",
    [
        Triple("Ada", "likes", "tea"),
        ("Ada", "likes", "tea"),
        ["Ada", "likes", "tea"],
        iter(["Ada", "likes", "tea"]),
        {"subject": "Ada", "relation": "likes", "object": "tea"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_triple_comes_in_many_forms(value: object) -> None:
    assert as_triple(value) == Triple("Ada", "likes", "tea")


@pytest.mark.parametrize(
    "value", ["abc", b"abc", ("Ada", "likes"), {"subject": "Ada"}, 5, None, ("a", 5, "b")], ids=repr
)
def test_what_is_no_triple(value: object) -> None:
    with pytest.raises(InvalidTriple):
        as_triple(value)


def test_a_query_leaves_one_side_open() -> None:
    assert (Query("Ada", "likes").open_side, Query("Ada", "likes").known) == ("object", "Ada")
    assert (Query(None, "likes", "tea").open_side, Query(None, "likes", "tea").known) == ("subject", "tea")
    assert Query(" Ada ").subject == "Ada"
    for wrong in ((), ("Ada", "likes", "tea"), (None, "likes")):
        with pytest.raises(ConfigurationError, match="exactly one side open"):
            Query(*wrong)
    with pytest.raises(InvalidTriple):
        Query("Ada", "")


def test_ranks_grow_from_model_to_system() -> None:
    assert [rank_of(kind) for kind in KINDS] == list(range(7))
    assert (KINDS[0], KINDS[-1]) == ("model", "system")
    assert Source("web").rank < Source("document").rank < Source("user").rank < Source("owner").rank


@pytest.mark.parametrize(
    "parts", [{"kind": "rumour"}, {"ref": "x" * 1025}, {"ref": 5}, {"principal": "a\ud800"}, {"text": "a\x00"}], ids=str
)
def test_a_source_is_checked(parts: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Source(**parts)  # type: ignore[arg-type]


# -- namespaces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("good", [("a",), ["a", "b"], ("a.b/c", "🦊"), (" padded ",), ("x" * 256,)])
def test_a_namespace_is_a_tuple_of_labels(good: tuple[str, ...] | list[str]) -> None:
    assert check_namespace(good) == tuple(good)
    assert check_namespace(check_namespace(good)) == tuple(good)


@pytest.mark.parametrize(
    "bad",
    ["ada", (), [], None, ("",), ("a", ""), (" ",), ("a", 5), ("a\nb",), ("a\ud800",), ("x" * 257,), {"a"}],
    ids=ascii,
)
def test_what_is_no_namespace(bad: object) -> None:
    with pytest.raises(NamespaceError):
        check_namespace(bad)


# -- facts, answers, receipts ----------------------------------------------------------------------------------------


def fact(object_: str = "tea", kind: Kind = "user", **over: object) -> Fact:
    values: dict[str, object] = {"recorded_at": "2026-11-23", "kind": kind}
    return Fact("0" * 32, ("n",), Triple("Ada", "likes", object_), 1, 0, **{**values, **over})  # type: ignore[arg-type]


def test_the_state_of_a_fact() -> None:
    assert fact().state == "current"
    assert fact(contested=True).state == "contested"
    assert fact(closed_why="retracted", contested=True).state == "past"


def test_values_have_a_json_form() -> None:
    source = Source("document", "notes.md", "ada", "Ada likes tea.", (0, 14), 1)
    assert json.loads(json.dumps(fact(sources=(source,)).as_dict()))["sources"][0]["span"] == [0, 14]
    outcome = Outcome(0, "stored", "0" * 32, triple=Triple("Ada", "likes", "tea"))
    receipt = Receipt("op", ("n",), 1, "2026-11-23", (outcome,))
    assert json.loads(json.dumps(receipt.as_dict()))["outcomes"][0]["triple"] == ["Ada", "likes", "tea"]


def test_answers_come_once_each_and_an_empty_result_is_false() -> None:
    twice = ReadResult(
        Query("Ada", "likes"), (Match(fact(), "tea"), Match(fact(kind="web"), "tea"), Match(fact(), "gin"))
    )
    assert (twice.answers, len(twice), bool(twice)) == (("tea", "gin"), 3, True)
    assert not ReadResult(Query("Ada", "likes"))


def test_a_replayed_receipt_equals_the_first_and_shows_the_callers_triples() -> None:
    first = Receipt("op", ("n",), 1, "2026-11-23", (Outcome(0, "stored", "0" * 32), Outcome(1, "rejected", reason="x")))
    again = first.with_triples({0: Triple("Ada", "likes", "tea")}, replayed=True)
    assert again == first
    assert again.replayed
    assert [outcome.triple for outcome in again] == [Triple("Ada", "likes", "tea"), None]
    assert (first.count("stored"), first.stored) == (1, first.outcomes[:1])


@given(st.text(st.sampled_from("aÉß İ\u0301\u0323\u00ad\t\nfiＡ.-’"), min_size=250, max_size=900))
def test_a_long_text_folds_as_its_words_do(text):
    """redteam row 3: the square of 160 kB of accents took 93 s."""
    words = [word for word in map(fold, text.split()) if word]
    assume(all(len(word) <= MAX_NAME for word in text.split()))
    assert fold(text).split() == " ".join(words).split()


def test_accents_without_end_are_folded_in_pieces():
    assert fold("a" + "\u0301" * 600) == fold("a" + "\u0301" * (MAX_NAME - 1)) + "\u0301" * (600 - MAX_NAME + 1)
    assert fold("é" * 1000) == "é" * 1000
