"""What a source of lower rank cannot do, on every store: outdate, crowd out, hide, or say in other words unmarked."""

from __future__ import annotations

import pytest

from langchain_memllm import MemLLMMemory, Source, Statement
from langchain_memllm.render import render
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.triples import Kind

WEB = Source("web", "page.example")
COMMON = ["what", "is", "my", "the", "how", "when", "of", "for", "to", "a", "who", "can"]


@pytest.fixture
def memory(store: TripleStore) -> MemLLMMemory:
    return MemLLMMemory(store, namespace=("n",))


def stated(memory: MemLLMMemory, *query: str | None) -> list[tuple[str, str]]:
    return [(match.answer, match.fact.state) for match in memory.read(*query)]


@pytest.mark.parametrize("principal", [None, "ada"])
@pytest.mark.parametrize("page", [{"valid_from": "2099"}, {"valid_from": "2026-01-01"}, {"at": "2099-01-01"}])
@pytest.mark.parametrize("first", ["page", "person"])
def test_a_date_outranks_nobody(memory: MemLLMMemory, principal: str | None, page: dict[str, str], first: str) -> None:
    """redteam row 8, program 04: named the correction did not supersede; unnamed the page was the only answer."""
    person = Source("user", principal=principal)
    if first == "person":
        memory.write([("user", "lives in", "Oslo")], source=person)
    moscow = Statement("user", "lives in", "Moscow", valid_from=page.get("valid_from"))
    memory.write([moscow], source=WEB, at=page.get("at"))
    memory.write([("user", "lives in", "Bergen")], source=person)
    assert stated(memory, "user", "lives in") == [("Bergen", "current")]
    planned = page.get("valid_from") == "2099"
    assert memory.read("user", "lives in", valid_at="2100").answers == ("Bergen", *(["Moscow"] if planned else []))


def test_words_of_every_text_name_nothing(memory: MemLLMMemory) -> None:
    """redteam R2."""
    memory.write([("user", "email", "ada@good.example"), ("The Who", "note", "a band"), ("IT", "note", "a team")])
    memory.write([(word, "note", f"pay {word}") for word in COMMON], source=WEB)
    assert not memory.recall("What is the name of my dog?")
    assert [match.answer for match in memory.recall("What is my email?")] == ["ada@good.example"]
    assert {match.answer for match in memory.recall("Did you hear The Who? Ask IT about it.")} >= {"a band", "a team"}


def test_a_word_of_many_names_finds_the_trusted_ones(memory: MemLLMMemory) -> None:
    """redteam R2: 51 names with the word Halcyon, and nothing was found by it."""
    memory.write([("Project Halcyon", "deadline", "1 May")])
    memory.write([(f"Halcyon {n}", "note", "x") for n in range(51)], source=WEB)
    assert memory.recall("When is Halcyon due?").matches[0].answer == "1 May"
    memory.write([(f"Halcyon of {n}", "note", "x") for n in range(51)])
    assert "1 May" in {match.answer for match in memory.recall("What is the deadline of Halcyon?")}


@pytest.mark.parametrize("kind", ["web", "model", "tool"])
def test_one_kind_of_source_takes_its_share_of_a_block(memory: MemLLMMemory, kind: str) -> None:
    """redteam row 9, program 09."""
    memory.write([("user", "likes", f"thing {n}") for n in range(9)])
    memory.write([("user", "likes", f"what I like {n}") for n in range(300)], source=Source(kind, "flood"))  # type: ignore[arg-type]
    found = memory.recall("What do I like?", k=10).matches
    kinds = [match.fact.kind for match in found]
    assert len(kinds) == 10 and kinds.count(kind) <= 3 and kinds[0] == "user"  # type: ignore[arg-type]
    assert kinds == sorted(kinds, key=lambda each: each != "user")


def test_where_only_pages_speak_they_are_heard(memory: MemLLMMemory) -> None:
    memory.write([("Norway", "likes", f"thing {n}") for n in range(9)], source=WEB)
    assert len(memory.recall("Norway", k=8)) == 8


def test_the_trusted_value_of_a_flooded_slot_is_shown_first(memory: MemLLMMemory) -> None:
    """redteam row 9: a document of 60 values, newer and closer to the question than what the person said."""
    memory.write([("user", "lives in", "Oslo")])
    flood = [("user", "lives in", f"where do I live now {n}") for n in range(60)]
    memory.write(flood, source=Source("document", "d"))
    memory.write([("user", "likes", f"tea {n}") for n in range(5)])
    found = memory.recall("Where do I live now?").matches
    slot = [match for match in found if match.triple.relation == "lives in"]
    assert (slot[0].answer, slot[0].fact.state) == ("Oslo", "contested") and len(slot) <= 3


@pytest.mark.parametrize(
    "name",
    [
        *(
            "lives_in",
            "lives-in",
            "lives:in",
            "livesIn",
            "LivesIn",
            "lives.in",
            "LIVES IN",
            "lives/in",
            "lives\u2013in",
        ),
        *("lives\u200bin", "li\u200bves in", "lives\u00a0in", "lives\u3164in", "\uff4cives in", "lives in\u2060"),
        *("l\u0456ves in", "lives \u0456n", "liv\u0435s in", "livesin"),
    ],
    ids=ascii,
)
def test_another_spelling_of_a_relation_is_that_relation(memory: MemLLMMemory, name: str) -> None:
    """redteam row 14, program 10."""
    memory.write([("user", "lives in", "Oslo")])
    memory.write([("user", name, "Moscow")], source=WEB)
    assert stated(memory, "user", "lives in") == [("Oslo", "contested"), ("Moscow", "contested")]
    assert stated(memory, "user", name) == [("Oslo", "contested"), ("Moscow", "contested")]


@pytest.mark.parametrize(("relation", "contested"), [("really lives at", True), ("goes sailing with", False)])
def test_what_leaves_the_slot_is_unconfirmed(memory: MemLLMMemory, relation: str, contested: bool) -> None:
    """redteam row 14: a relation of its own; contested if it is called like the one that is held."""
    memory.write([("user", "lives in", "Oslo"), ("user", "nickname at sea", "Ada")])
    memory.write([("user", relation, "Moscow")], source=WEB)
    (fact,) = [match.fact for match in memory.read("user", relation)]
    assert (fact.unconfirmed, fact.contested) == (True, contested)
    assert "unconfirmed: nobody who is trusted says so" in render([fact])
    shown = {m.triple.object: m.fact.unconfirmed for m in memory.recall("Where am I?")}
    assert shown == {"Oslo": False, "Ada": False, "Moscow": True}
    assert [fact.unconfirmed for fact in memory.facts()] == [False, False, True]
    memory.write([("user", relation, "Moscow")])
    assert not memory.read("user", relation).matches[0].fact.unconfirmed


def test_of_what_nobody_spoke_nothing_is_unconfirmed(memory: MemLLMMemory) -> None:
    memory.write([("Norway", "has anthem", "Ja, vi elsker")], source=WEB)
    assert not memory.read("Norway", "has anthem").matches[0].fact.unconfirmed


@pytest.mark.parametrize("kind", ["web", "tool", "document", "model"])
@pytest.mark.parametrize(
    "triple",
    [
        ("user", "likes", "gin"),
        ("the user", "likes", "gin"),
        ("the_User's wife", "likes", "gin"),
        ("ich", "likes", "gin"),
        ("gin", "favourite drink of", "the current user"),
    ],
)
def test_what_strangers_say_of_the_person_is_unconfirmed(
    memory: MemLLMMemory, kind: Kind, triple: tuple[str, str, str]
) -> None:
    """redteam, "also seen": a page's fact about "the user" stood as undisputed where the person had said nothing."""
    memory.write([triple], source=Source(kind, "page"))
    recalled = memory.recall("Who likes gin, and whose favourite drink is it?")
    shown = [m.fact for m in (*memory.read(triple[0], triple[1]), *recalled)] + [
        *memory.facts(),
        *memory.history(triple[0]),
    ]
    assert len(shown) == 4 and all(fact.unconfirmed and not fact.contested for fact in shown)
    assert "unconfirmed: nobody who is trusted says so" in recalled.block
    assert memory.explain(shown[0].id).unconfirmed  # type: ignore[union-attr]
    memory.write([triple])
    assert not memory.recall("Who likes gin, and whose favourite drink is it?").matches[0].fact.unconfirmed


@pytest.mark.parametrize("query", [(None, "capital of", "Norway"), ("Norway", "capital")])
def test_the_inverse_hides_no_trusted_value(memory: MemLLMMemory, query: tuple[str | None, ...]) -> None:
    """redteam R5."""
    memory.write([("Norway", "capital", "Oslo")])
    memory.write([("Moscow", "capital of", "Norway")], source=WEB)
    assert stated(memory, *query) == [("Oslo", "contested"), ("Moscow", "contested")]
    assert {m.fact.state for m in memory.recall("Norway")} == {"contested"}
    assert {fact.state for fact in memory.facts()} == {"contested"}


def test_both_ends_may_say_the_same(memory: MemLLMMemory) -> None:
    memory.write([("Norway", "capital", "Oslo"), ("Oslo", "capital of", "Norway"), ("Rome", "capital of", "Italy")])
    found = memory.read("Norway", "capital")
    assert found.answers == ("Oslo",) and {match.fact.state for match in found} == {"current"}
    assert {fact.state for fact in memory.facts()} == {"current"}
    memory.write([("Bo", "manager", "Di")])
    memory.write([("Eve", "manages", "Bo")], source=WEB)
    assert stated(memory, None, "manages", "Bo") == [("Di", "contested"), ("Eve", "contested")]
