"""The relation catalogue: names found exactly, rules as declared, no name with two meanings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_memllm.errors import ConfigurationError, InvalidTriple
from langchain_memllm.relations import Catalogue, Relation, trained_label
from langchain_memllm.triples import name_key

DOCRED = """
P6 head of government|P17 country|P19 place of birth|P20 place of death|P22 father|P25 mother|P26 spouse
P27 country of citizenship|P30 continent|P31 instance of|P35 head of state|P36 capital|P37 official language
P39 position held|P40 child|P50 author|P54 member of sports team|P57 director|P58 screenwriter|P69 educated at
P86 composer|P102 member of political party|P108 employer|P112 founded by|P118 league|P123 publisher|P127 owned by
P131 located in the administrative territorial entity|P136 genre|P137 operator|P140 religion
P150 contains administrative territorial entity|P155 follows|P156 followed by|P159 headquarters location
P161 cast member|P162 producer|P166 award received|P170 creator|P171 parent taxon|P172 ethnic group|P175 performer
P176 manufacturer|P178 developer|P179 series|P190 sister city|P194 legislative body|P205 basin country
P206 located in or next to body of water|P241 military branch|P264 record label|P272 production company|P276 location
P279 subclass of|P355 subsidiary|P361 part of|P364 original language of work|P400 platform
P403 mouth of the watercourse|P449 original network|P463 member of|P488 chairperson|P495 country of origin
P527 has part|P551 residence|P569 date of birth|P570 date of death|P571 inception
P576 dissolved, abolished or demolished|P577 publication date|P580 start time|P582 end time|P585 point in time
P607 conflict|P674 characters|P676 lyrics by|P706 located on terrain feature|P710 participant|P737 influenced by
P740 location of formation|P749 parent organization|P800 notable work|P807 separated from|P840 narrative location
P937 work location|P1001 applies to jurisdiction|P1056 product or material produced|P1198 unemployment rate
P1336 territory claimed by|P1344 participant of|P1365 replaces|P1366 replaced by|P1376 capital of
P1412 languages spoken, written or signed|P1441 present in work|P3373 sibling
"""

shipped = Catalogue.shipped()
docred = Catalogue.docred()


def docred_relations() -> list[tuple[str, str]]:
    entries = DOCRED.replace("\n", "|").strip("|").split("|")
    return [(entry.split(" ", 1)[0], entry.split(" ", 1)[1]) for entry in entries]


def test_all_96_docred_relations_are_there_under_their_labels() -> None:
    assert len(docred_relations()) == 96
    assert docred_relations() == [(relation.wikidata, relation.label) for relation in Catalogue.docred()][:96]
    for _, label in docred_relations():
        assert docred.find(label) is not None and shipped.find(label) is not None


def test_at_least_60_everyday_relations_are_shipped_beside_them() -> None:
    docred = {label for _, label in docred_relations()}
    assert len([r for r in shipped if r.label not in docred]) >= 60


@pytest.mark.parametrize("relation", shipped, ids=lambda r: r.label)
def test_every_shipped_relation_has_three_aliases_that_find_it(relation: Relation) -> None:
    assert len(relation.aliases) >= 3
    assert all(shipped.find(name) is relation for name in (relation.label, *relation.aliases))


def test_no_name_belongs_to_two_shipped_relations() -> None:
    names = [name_key(name) for relation in shipped for name in (relation.label, *relation.aliases)]
    assert len(names) == len(set(names))


def test_shipped_inverses_are_mutual() -> None:
    pairs = [(relation, shipped.inverse_of(relation)) for relation in shipped]
    assert sum(inverse is not None for _, inverse in pairs) >= 40
    for relation, inverse in pairs:
        if inverse is not None:
            assert shipped.inverse_of(inverse) is relation
            assert inverse.inverse == relation.label


@pytest.mark.parametrize(
    ("name", "label", "cardinality"),
    [
        ("was born in", "place of birth", "one"),
        ("born on", "date of birth", "one"),
        ("lives in", "lives in", "one_at_a_time"),
        ("moved to", "lives in", "one_at_a_time"),
        ("lived in", "lived in", "many"),
        ("employer", "works for", "one_at_a_time"),
        ("former employer", "worked for", "many"),
        ("role", "works as", "one_at_a_time"),
        ("used to work as", "worked as", "many"),
        ("home city", "lives in", "one_at_a_time"),
        ("is based in", "lives in", "one_at_a_time"),
        ("has lived in", "lived in", "many"),
        ("birthday", "date of birth", "one"),
        ("studied at", "educated at", "many"),
        ("attends university", "studies at", "one_at_a_time"),
        ("current project", "current project", "one_at_a_time"),
        ("meeting time", "meeting time", "one_at_a_time"),
        ("wakes up at", "wakes up at", "one_at_a_time"),
        ("car", "drives", "many"),
        ("subscription", "subscribes to", "many"),
        ("attends", "attends", "many"),
        ("is assigned to", "works on", "many"),
        ("works for", "works for", "one_at_a_time"),
        ("worked for", "worked for", "many"),
        ("married to", "spouse", "one_at_a_time"),
        ("nationality", "country of citizenship", "many"),
        ("speaks", "languages spoken, written or signed", "many"),
        ("phone number", "phone", "one_at_a_time"),
        ("loves", "likes", "many"),
        ("hates", "dislikes", "many"),
        ("favorite color", "favourite colour", "one_at_a_time"),
        ("prime minister", "head of government", "one_at_a_time"),
    ],
)
def test_everyday_phrases_find_their_relation(name: str, label: str, cardinality: str) -> None:
    relation = shipped.find(name)
    assert relation is not None
    assert (relation.label, relation.cardinality) == (label, cardinality)
    assert relation.single_valued == (cardinality != "many")


@pytest.mark.parametrize(
    ("name", "inverse"),
    [
        ("capital", "capital of"),
        ("child", "parent"),
        ("part of", "has part"),
        ("employer", None),
        ("father", None),
        ("spouse", "spouse"),
    ],
)
def test_inverse_of_shipped_relations(name: str, inverse: str | None) -> None:
    found = shipped.inverse_of(shipped.resolve(name))
    assert (found.label if found else None) == inverse


def test_lookup_ignores_case_space_and_underscores_and_nothing_else() -> None:
    assert shipped.find("  Works   FOR ") is shipped.find("works_for") is shipped.find("works for")
    assert shipped.find("workes for") is None
    assert "LIKES" in shipped
    assert "like s" not in shipped
    assert 7 not in shipped
    assert shipped.find("") is None
    assert shipped.find("_") is None


def test_unknown_names_resolve_to_a_plain_relation() -> None:
    assert shipped.resolve("  once  beat at chess ") == Relation("once beat at chess")
    assert not shipped.resolve("once beat at chess").single_valued
    with pytest.raises(InvalidTriple, match="empty"):
        shipped.resolve("  ")


def test_literals_are_compared_exactly_and_entities_by_key() -> None:
    password, city = shipped.resolve("password"), shipped.resolve("lives in")
    assert password.object_key("Hunter2") != password.object_key("hunter2")
    assert city.object_key("OSLO") == city.object_key("Oslo") == "oslo"
    assert password.object_key("oslo") != city.object_key("oslo")


def test_declare_returns_a_new_catalogue_and_leaves_the_old_one() -> None:
    feeds = Relation("feeds", aliases=("gives food to",), inverse="is fed by")
    mine = shipped.declare(feeds)
    assert mine.find("Gives food to") is feeds
    assert mine.declared == (feeds,)
    assert len(mine) == len(shipped) + 1
    assert shipped.find("feeds") is None
    assert shipped.declared == ()


def test_an_undeclared_inverse_works_from_both_ends() -> None:
    mine = Catalogue([Relation("feeds", inverse="is fed by")])
    assert mine.inverse_of(mine.resolve("feeds")) == Relation("is fed by")
    back = mine.inverse_of(mine.resolve("Is Fed By"))
    assert back is not None
    assert back.label == "feeds"


def test_a_declaration_with_a_known_label_replaces_it() -> None:
    mine = shipped.declare(Relation("Works for", aliases=("is on the payroll of",)))
    assert len(mine) == len(shipped)
    assert not mine.resolve("works for").single_valued
    assert mine.find("works at") is None
    assert mine.declared == (mine.resolve("works for"),)


@pytest.mark.parametrize(
    ("relations", "said"),
    [
        ((Relation("adores", aliases=("likes",)),), "name of 'likes'"),
        ((Relation("a", aliases=("c",)), Relation("b", aliases=("C",))), "'c'|'C'"),
        ((Relation("a", inverse="child"),), "two inverses"),
        ((Relation("a", inverse="z"), Relation("b", inverse="z")), "two inverses"),
        ((Relation("a", inverse="password"),), "literal"),
    ],
)
def test_clashing_declarations_are_refused(relations: tuple[Relation, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        shipped.declare(*relations)


def test_two_relations_of_one_label_in_one_catalogue_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="given twice"):
        Catalogue([Relation("a"), Relation("A")])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"range": "number"}, "range 'number'"),
        ({"cardinality": "single"}, "cardinality 'single'"),
        ({"aliases": "likes"}, "pass a tuple"),
        ({"range": "literal", "inverse": "b"}, "literal objects"),
    ],
)
def test_bad_rules_are_refused(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Relation("a", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "\ud800", "x" * 300])
def test_names_that_cannot_be_stored_are_refused(name: str) -> None:
    with pytest.raises(InvalidTriple):
        Relation(name)
    with pytest.raises(InvalidTriple):
        Relation("a", aliases=(name,))


def test_own_label_and_repeated_spellings_are_dropped_from_the_aliases() -> None:
    assert Relation("a", aliases=("b", "A", " b ", "B", "c")).aliases == ("b", "c")


characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
names = st.text(characters, min_size=1, max_size=20).filter(str.strip)


@given(
    st.builds(
        Relation,
        label=names,
        wikidata=st.none() | st.just("P1"),
        aliases=st.lists(names, max_size=4).map(tuple),
        cardinality=st.sampled_from(["many", "one", "one_at_a_time"]),
        range=st.sampled_from(["entity", "literal"]),
    )
)
def test_declared_relations_survive_a_round_trip(relation: Relation) -> None:
    assert Relation.from_dict(relation.as_dict()) == relation
    catalogue = Catalogue([relation])
    assert all(catalogue.find(name) is relation for name in (relation.label, *relation.aliases))


def test_the_declared_part_of_a_catalogue_survives_a_round_trip() -> None:
    mine = shipped.declare(
        Relation("feeds", aliases=("gives food to",), inverse="is fed by"),
        Relation("locker code", range="literal", cardinality="one_at_a_time"),
    ).declare(Relation("feeds", cardinality="one"))
    again = Catalogue.from_dicts(mine.as_dicts())
    assert again.declared == mine.declared
    assert list(again) == list(mine)
    assert shipped.as_dicts() == []


@pytest.mark.parametrize("data", [{"label": "a", "colour": "red"}, {"aliases": ["b"]}, {}])
def test_unreadable_relations_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Relation.from_dict(data)


# -- one relation in several words (bugs 3.10) -------------------------------------------------------------------------

TWINS = {"employer": "works for", "residence": "lives in", "occupation": "works as", "birthday": "date of birth"}


@pytest.mark.parametrize(("twin", "label"), TWINS.items())
def test_twins_are_one_relation_but_to_docred(twin: str, label: str) -> None:
    """bugs 3.10: what the trained models call by two labels is one relation of the catalogue."""
    found, apart = shipped.find(twin), docred.find(twin)
    assert found is not None and apart is not None
    assert (found.label, apart.label) == (label, twin)
    assert found.single_valued
    assert twin not in shipped.offered()


@pytest.mark.parametrize(
    ("name", "label"),
    [("worked for", "employer"), ("works at", "works for"), ("lived in", "residence"), ("job", "occupation")],
)
def test_docred_tells_apart_what_it_told_apart_when_the_models_were_trained(name: str, label: str) -> None:
    assert docred.resolve(name).label == label
    assert docred.resolve(label).cardinality == ("one_at_a_time" if label == "works for" else "many")


def test_local_models_are_spoken_to_in_the_labels_they_were_trained_with() -> None:
    trained = {
        "works for": "employer",
        "lives in": "residence",
        "works as": "occupation",
        "date of birth": "date of birth",
    }
    assert {label: trained_label(label) for label in trained} == trained
    assert all(trained_label(label) == label for label in shipped.offered() if label not in trained)


def test_a_model_is_offered_one_label_for_each_meaning() -> None:
    """Issue 19, C4: no label on offer is another's alias."""
    labels = shipped.offered()
    assert len(labels) == len({shipped.resolve(label).label for label in labels}) == len(shipped)
    mine = shipped.declare(Relation("home city"))
    assert "home city" in mine.offered() and "home city" not in labels


@pytest.mark.parametrize(
    ("general", "special"),
    [
        ("child", ["son", "daughter"]),
        ("sibling", ["brother", "sister"]),
        ("parent", ["father", "mother"]),
        ("partner", ["spouse", "engaged to"]),
        ("children", ["son", "daughter"]),
        ("son", []),
    ],
)
def test_a_general_relation_knows_those_with_more_detail(general: str, special: list[str]) -> None:
    relation = shipped.resolve(general)
    assert [each.label for each in shipped.narrower(relation)] == special
    assert all(shipped.broader(shipped.resolve(each)) is relation for each in special)


def test_more_detail_goes_all_the_way_and_never_round() -> None:
    steps = [
        Relation("a", broader="b"),
        Relation("b", broader="c"),
        Relation("c", broader="a"),
        Relation("d", broader="b"),
    ]
    catalogue = Catalogue(steps)
    assert {each.label for each in catalogue.narrower(steps[2])} == {"a", "b", "d"}
    assert {each.label for each in catalogue.narrower(steps[1])} == {"a", "c", "d"}
    literal = Catalogue([Relation("code", range="literal", broader="thing")])
    assert literal.narrower(Relation("thing")) == ()


# -- declared relations and names that were shipped later --------------------------------------------------------------


def test_a_declared_name_is_taken_from_the_shipped_aliases() -> None:
    mine = shipped.declare(Relation("home city"), Relation("adores", aliases=("Hates",)))
    assert mine.resolve("home city").cardinality == "many"
    assert mine.resolve("hates").label == "adores"
    assert mine.resolve("residence").label == "lives in"
    again = mine.declare(Relation("adores"))
    assert again.resolve("hates").label == "dislikes"


@pytest.mark.parametrize(
    "kept",
    [
        [{"label": "home city"}],
        [{"label": "employer", "cardinality": "one_at_a_time", "aliases": ["worked for", "used to work for"]}],
        [{"label": "jobs", "aliases": ["likes", "lives in"]}],
        [{"label": "sibling", "range": "literal"}],
        [{"label": "thing", "aliases": ["child"]}],
    ],
    ids=str,
)
def test_what_a_store_keeps_is_read_whatever_is_shipped_since(kept: list[dict[str, object]]) -> None:
    """Issue 19, C4: declared relations that collide with new names never make a store unopenable; they win."""
    catalogue = Catalogue.from_dicts(kept)
    (declared,) = catalogue.declared
    assert all(catalogue.find(name) is declared for name in (declared.label, *declared.aliases))
    grown = catalogue.declare(Relation("feeds"))
    assert all(grown.find(name) is declared for name in (declared.label, *declared.aliases))
