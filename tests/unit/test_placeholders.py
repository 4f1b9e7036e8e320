"""What stands for a value is none, in a model's hand; what is a name stays one."""

from __future__ import annotations

import pytest

from langchain_memllm.placeholders import is_unknown, placeholder

# The twenty of bugs 3.8 without its two days, which are dates, and their neighbours.
NO_HOME = """unknown|N/A|None|null|not specified|not mentioned|?|-|somewhere|a new city|there|here|it|him
my house|yes|true|UNKNOWN|Unknown.|n.a.|NULL|nan|not provided|not stated|not given|TBD|...|—|??
someone|her|them|they|us|someplace|new city|another country|her flat|a small town|the same place
home|no|unbekannt|nicht angegeben|keine Angabe|hier|dort|eine neue Stadt|ja|inconnu|non précisé|ici
là-bas|une autre ville|oui|desconocido|no especificado|aquí|allí|una nueva ciudad|sí|sconosciuto
non specificato|lì|una nuova città|desconhecido|não informado|aqui|uma nova cidade|não|ukjent
ikke oppgitt|et annet sted|soon|later|this place"""
HOMES = """Oslo|US|IT|New York|Mexico City|Home Depot|Nowhere Boy|Unknown Mortal Orchestra|Han|Hier|Theresa|東京
São Paulo|🏠|City of London|Here East|Das|Nantes|Someday Isle|Little Italy|Old Town|Newhouse|N
A Coruña|La Paz"""


@pytest.mark.parametrize("object_", NO_HOME.replace("\n", "|").split("|"))
def test_no_place_to_live(object_: str) -> None:
    """bugs 3.8."""
    assert placeholder("user", "lives in", object_) is not None
    assert placeholder("user", "lives in", object_, text=f"I moved, {object_.lower()} I think.") is not None


@pytest.mark.parametrize("object_", HOMES.replace("\n", "|").split("|"))
def test_places_to_live(object_: str) -> None:
    assert placeholder("user", "lives in", object_) is None


@pytest.mark.parametrize(
    "subject", ["it", "He", "they", "someone", "unknown", "N/A", "there", "we", "this", "?", "sie", "elle"]
)
def test_no_subject(subject: str) -> None:
    assert placeholder(subject, "likes", "tea") is not None


@pytest.mark.parametrize(
    ("relation", "object_", "text"),
    [
        ("favourite film", "It", "My favourite film is It."),
        ("favourite band", "Yes", "The best band is Yes, by far."),
        ("favourite band", "Them", "I love the band Them."),
        ("favourite band", "None", "She plays in “None”, a band."),
        ("favourite place", "home", None),
    ],
)
def test_what_the_text_spells_as_a_name_is_one(relation: str, object_: str, text: str | None) -> None:
    assert placeholder("user", relation, object_, text=text) is None
    assert placeholder("user", "lives in", object_, text=f"{object_} is where I live.") is not None


def test_yes_is_a_value_where_it_answers() -> None:
    assert placeholder("user", "is vegetarian", "yes") is None
    assert placeholder("user", "smoker", "no", known=False, single_valued=False) is None
    assert placeholder("user", "works for", "yes") is not None


def test_a_kind_of_thing_is_a_value_where_nothing_is_replaced() -> None:
    assert placeholder("user", "looking for", "a new flat", known=False, single_valued=False) is None
    assert placeholder("user", "works for", "a new company") is not None


def test_what_application_code_may_not_store_either() -> None:
    assert all(map(is_unknown, ("unknown", "N/A", "None", "?", "not specified")))
    assert not any(map(is_unknown, ("there", "yes", "it", "a new city", "🍵", "C#", "+")))


@pytest.mark.parametrize("relation", ["date of birth", "Birthday", "inception", "publication date"])
def test_a_relation_that_wants_a_date_takes_nothing_else(relation: str) -> None:
    """Issue 19 F."""
    for date in ("12 March 2014", "1864", "c. 1450", "the 1780s", "May", "1998-02-03"):
        assert placeholder("Ada", relation, date) is None, date
    for other in ("Oslo", "Battle of 1812", "Apollo 11", "a doctor", "Ada Byron"):
        assert placeholder("Ada", relation, other) is not None, other
    assert placeholder("Ada", "place of birth", "Oslo") is None
    assert placeholder("Ada", "deadline", "when Bo is back", single_valued=False) is None
