"""What writing does: the truth table on a store, receipts, and operations that are delivered twice."""

from __future__ import annotations

import json
from typing import TypeAlias

import pytest

from langchain_memllm.belief import Policy, Quarantined
from langchain_memllm.errors import ConfigurationError, OperationConflict
from langchain_memllm.memory import Memory
from langchain_memllm.testing.rules.base import ADA, BOB, DOCUMENT, NS, OTHER, WEB, StoreRules, shown, states, statuses
from langchain_memllm.triples import Source, Statement

Rows: TypeAlias = list[tuple[str, str, str]]
SISTER: Rows = [("Anna", "sister of", "user"), ("Anna", "works for", "Acme")]
NO_TEA = Statement("Ada", "likes", "tea", retract=True)


def jobs(memory: Memory) -> list[tuple[str, str]]:
    return [(fact.triple.object, fact.state) for fact in memory.history("Anna", "works for", namespace=NS)]


class WritingRules(StoreRules):
    """What is stored, confirmed, contested, superseded, retracted and replaced."""

    def test_a_fact_is_read_from_both_sides_whatever_the_case(self, memory: Memory) -> None:
        receipt = memory.write([("Ada", "likes", "Tea")], namespace=NS, source=ADA)
        assert statuses(receipt) == ["stored"]
        assert memory.read("ADA", "likes", namespace=NS).answers == ("Tea",)
        assert memory.read(None, "likes", "tea", namespace=NS).answers == ("Ada",)
        assert memory.read("Ada", None, namespace=NS).answers == ("Tea",)
        match = memory.read("ada", "likes", namespace=NS).matches[0]
        assert (match.how, match.similarity, match.fact.id) == ("exact", 1.0, receipt.outcomes[0].fact_id)

    def test_every_proposed_triple_has_one_outcome_and_good_ones_are_kept(self, memory: Memory) -> None:
        receipt = memory.write(
            [
                ("Ada", "likes", "tea"),
                ("", "likes", "x"),
                ("Ada", "likes", "Ada"),
                ("a\x00b", "r", "o"),
                ("x" * 300, "r", "o"),
            ],
            namespace=NS,
        )
        assert statuses(receipt) == ["stored", "rejected", "rejected", "rejected", "rejected"]
        assert all(outcome.reason for outcome in receipt.outcomes[1:])
        assert shown(memory.facts(namespace=NS)) == [("Ada", "likes", "tea")]

    def test_relations_are_found_by_their_aliases_and_read_backwards(self, memory: Memory) -> None:
        memory.write([("Ada", "was born in", "London"), ("Ada", "child", "Byron")], namespace=NS)
        result = memory.read("Ada", "place of birth", namespace=NS)
        assert (result.answers, result.matches[0].triple.relation) == (("London",), "place of birth")
        backwards = memory.catalogue.inverse_of(memory.catalogue.resolve("child"))
        if backwards is not None:
            inverse = memory.read("Byron", backwards.label, namespace=NS)
            assert (inverse.answers, inverse.matches[0].how) == (("Ada",), "inverse")

    def test_literals_are_compared_exactly(self, memory: Memory) -> None:
        memory.write([("Ada", "password", "aBc"), ("Ada", "likes", "ABC")], namespace=NS)
        assert memory.read(None, "password", "aBc", namespace=NS).answers == ("Ada",)
        assert memory.read(None, "password", "abc", namespace=NS).answers == ()
        assert memory.read("Ada", "password", namespace=NS).answers == ("aBc",)
        assert memory.read(None, "likes", "abc", namespace=NS).answers == ("Ada",)

    def test_a_person_corrects_themself_and_the_former_value_stays_in_the_history(self, memory: Memory) -> None:
        first = memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
        second = memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
        assert second.outcomes[0].supersedes == (first.outcomes[0].fact_id,)
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Bergen",)
        past, current = memory.history("Ada", "lives in", namespace=NS)
        assert (past.closed_why, past.closed_by, past.closed_at) == ("superseded", current.id, current.recorded_at)
        assert (past.state, current.state) == ("past", "current")

    def test_a_lower_source_contests_and_is_shown_after(self, memory: Memory) -> None:
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
        receipt = memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=Source("web", "evil.example"))
        assert len(receipt.outcomes[0].contests) == 1
        result = memory.read("Ada", "lives in", namespace=NS)
        assert result.answers == ("Oslo", "Rome")
        assert [match.fact.state for match in result] == ["contested", "contested"]
        assert memory.read(None, "lives in", "Rome", namespace=NS).matches[0].fact.contested
        assert [fact.contested for fact in memory.history("Ada", namespace=NS)] == [True, True]

    def test_a_better_source_of_a_contested_fact_closes_its_rivals(self, memory: Memory) -> None:
        memory.write([("Ada", "lives in", "Oslo"), ("Ada", "lives in", "Rome")], namespace=NS, source=DOCUMENT)
        assert len(memory.read("Ada", "lives in", namespace=NS)) == 2
        receipt = memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
        assert (statuses(receipt), len(receipt.outcomes[0].supersedes)) == (["already"], 1)
        (match,) = memory.read("Ada", "lives in", namespace=NS)
        assert (match.answer, match.fact.kind, match.fact.principal) == ("Oslo", "user", "ada")

    def test_a_value_that_comes_back_has_a_history_of_three(self, memory: Memory) -> None:
        for place in ("Oslo", "Rome", "Oslo"):
            memory.write([("Ada", "lives in", place)], namespace=NS, source=ADA)
        facts = memory.history("Ada", "lives in", namespace=NS)
        assert [(fact.triple.object, fact.is_open) for fact in facts] == [
            ("Oslo", False),
            ("Rome", False),
            ("Oslo", True),
        ]
        assert len({fact.id for fact in facts}) == 3

    def test_retraction_closes_and_needs_the_right_speaker(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=NS, source=ADA)
        assert statuses(memory.retract(("Ada", "likes", "tea"), namespace=NS, source=BOB)) == ["rejected"]
        assert statuses(memory.retract(("Ada", "likes", "tea"), namespace=NS, source=ADA)) == ["retracted"]
        assert statuses(memory.retract(("Ada", "likes", "tea"), namespace=NS, source=ADA)) == ["not_found"]
        assert not memory.read("Ada", "likes", namespace=NS)
        assert memory.history("Ada", namespace=NS)[0].closed_why == "retracted"

    def test_restating_adds_a_source(self, memory: Memory) -> None:
        first = memory.write(
            [Statement("Ada", "likes", "tea", text="I like tea.", span=(0, 11), turn=1)], namespace=NS, source=ADA
        )
        again = memory.write([("ada", "Likes", "TEA")], namespace=NS, source=DOCUMENT)
        assert statuses(again) == ["already"]
        fact_id = first.outcomes[0].fact_id or ""
        fact = memory.explain(fact_id, namespace=NS)
        assert fact is not None
        assert fact.sources == (
            Source("user", "chat-1", "ada", "I like tea.", (0, 11), 1),
            Source("document", "notes.md"),
        )
        assert memory.explain("0" * 32, namespace=NS) is None

    def test_the_newest_best_ranked_spelling_is_shown(self, memory: Memory) -> None:
        memory.write([("ADA", "likes", "tea")], namespace=NS, source=ADA)
        memory.write([("Ada", "likes", "milk")], namespace=NS, source=ADA)
        memory.write([("aDa", "likes", "rum")], namespace=NS, source=Source("web", "x"))
        assert {match.triple.subject for match in memory.read("ada", "likes", namespace=NS)} == {"Ada"}

    def test_a_new_version_of_a_document_retires_what_only_the_former_said(self, memory: Memory) -> None:
        memory.write(
            [("Ada", "likes", "tea"), ("Ada", "likes", "milk"), ("Ada", "likes", "rum")], namespace=NS, source=DOCUMENT
        )
        memory.write([("Ada", "likes", "milk")], namespace=NS, source=ADA)
        receipt = memory.write(
            [("Ada", "likes", "rum"), ("Ada", "likes", "gin")], namespace=NS, source=DOCUMENT, replace=True
        )
        assert len(receipt.replaced) == 1
        assert sorted(memory.read("Ada", "likes", namespace=NS).answers) == ["gin", "milk", "rum"]
        assert [f.triple.object for f in memory.history("Ada", namespace=NS) if f.closed_why == "replaced"] == ["tea"]

    def test_a_fact_is_past_when_all_documents_have_dropped_it(self, memory: Memory) -> None:
        web = Source("web", "a.example")
        for source in (web, DOCUMENT):
            memory.write([("Ada", "likes", "tea"), ("Ada", "likes", "rum")], namespace=NS, source=source)
        first = memory.write([("Ada", "likes", "rum")], namespace=NS, source=DOCUMENT, replace=True)
        (tea,) = [fact for fact in memory.history("Ada", namespace=NS) if fact.triple.object == "tea"]
        assert (first.replaced, tea.is_open, tea.kind, tea.sources) == ((), True, "web", (web,))
        second = memory.write([("Ada", "likes", "rum")], namespace=NS, source=web, replace=True)
        assert second.replaced == (tea.id,)
        assert memory.read("Ada", "likes", namespace=NS).answers == ("rum",)
        (rum,) = [fact for fact in memory.history("Ada", namespace=NS) if fact.is_open]
        assert (rum.kind, {source.kind for source in rum.sources}) == ("document", {"document", "web"})

    def test_a_new_version_overrules_what_only_a_worse_source_still_says(self, memory: Memory) -> None:
        for source in (Source("web", "a.example"), DOCUMENT):
            memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=source)
        receipt = memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=DOCUMENT, replace=True)
        assert (len(receipt.outcomes[0].supersedes), receipt.replaced) == (1, ())
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)

    def test_policies_edit_and_paper(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea"), ("Ada", "lives in", "Oslo")], namespace=NS, source=ADA)
        memory.write([("Ada", "likes", "gin"), ("Ada", "lives in", "Rome")], namespace=NS, source=BOB, policy="edit")
        assert shown(memory.facts(namespace=NS, open_only=True)) == [
            ("Ada", "likes", "gin"),
            ("Ada", "lives in", "Rome"),
        ]
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=BOB, policy="paper")
        assert sorted(memory.read("Ada", "lives in", namespace=NS).answers) == ["Oslo", "Rome"]

    def test_a_triple_is_taken_back_and_stored_anew_by_one_operation(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=NS, source=ADA)
        receipt = memory.write([NO_TEA, ("Ada", "likes", "tea")], namespace=NS, source=ADA)
        assert statuses(receipt) == ["retracted", "stored"]
        assert states(memory, "Ada") == [("tea", "past"), ("tea", "current")]

    def test_a_triple_is_stored_taken_back_and_stored_by_one_operation(self, memory: Memory) -> None:
        receipt = memory.write([("Ada", "likes", "tea"), NO_TEA, ("Ada", "likes", "tea")], namespace=NS, source=ADA)
        assert statuses(receipt) == ["stored", "retracted", "stored"]
        assert states(memory, "Ada") == [("tea", "past"), ("tea", "current")]
        assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)

    def test_a_better_document_restates_what_its_own_first_value_superseded(self, memory: Memory) -> None:
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=WEB)
        memory.write([("Ada", "lives in", "Bergen"), ("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
        assert states(memory, "Ada") == [("Oslo", "past"), ("Bergen", "contested"), ("Oslo", "contested")]

    def test_the_earlier_of_two_values_said_at_once_holds_at_no_later_date(self, memory: Memory) -> None:
        memory.write([("Ada", "lives in", "Oslo"), ("Ada", "lives in", "Bergen")], namespace=NS, source=ADA)
        assert memory.read("Ada", "lives in", valid_at="9999", namespace=NS).answers == ("Bergen",)

    def test_contested_is_told_by_one_answer_of_two_and_by_a_single_fact(self, memory: Memory) -> None:
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
        memory.write([("Ada", "lives in", "Bergen")], namespace=NS, source=WEB)
        (first,) = memory.read("Ada", "lives in", namespace=NS, limit=1)
        assert (first.answer, first.fact.state) == ("Oslo", "contested")
        fact = memory.explain(first.fact.id, namespace=NS)
        assert fact is not None
        assert fact.state == "contested"

    def test_contested_is_told_across_aliases(self, memory: Memory) -> None:
        memory.alias("Ada", "Countess", namespace=NS)
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS, source=DOCUMENT)
        memory.write([("Countess", "lives in", "Bergen")], namespace=NS, source=WEB)
        assert [match.fact.state for match in memory.read("Ada", "lives in", namespace=NS)] == [
            "contested",
            "contested",
        ]
        assert states(memory, "Ada") == [("Oslo", "contested"), ("Bergen", "contested")]


class OperationRules(StoreRules):
    """Each operation has one payload, one receipt and one effect, however often it is delivered."""

    def test_a_second_delivery_changes_nothing_and_answers_the_same(self, memory: Memory) -> None:
        proposed = [("Ada", "lives in", "Oslo"), ("", "x", "y")]
        first = memory.write(proposed, namespace=NS, source=ADA, op_id="op-1")
        memory.write([("Ada", "lives in", "Rome")], namespace=NS, source=ADA, op_id="op-2")
        again = memory.write(proposed, namespace=NS, source=ADA, op_id="op-1")
        assert again == first
        assert (first.replayed, again.replayed) == (False, True)
        assert again.outcomes[0].triple == first.outcomes[0].triple
        assert memory.read("Ada", "lives in", namespace=NS).answers == ("Rome",)
        assert memory.stats(namespace=NS).operations == 2
        assert memory.receipt("op-1", namespace=NS) == first
        assert memory.receipt("op-9", namespace=NS) is None

    def test_one_operation_id_has_one_payload(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="op")
        with pytest.raises(OperationConflict, match="'op'"):
            memory.write([("Ada", "likes", "gin")], namespace=NS, op_id="op")
        assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)

    def test_the_payload_may_be_the_text_the_triples_came_from(self, memory: Memory) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="op", payload="I like tea")
        again = memory.write([("Ada", "likes", "coffee")], namespace=NS, op_id="op", payload="I like tea")
        assert again.replayed
        assert memory.read("Ada", "likes", namespace=NS).answers == ("tea",)
        with pytest.raises(OperationConflict):
            memory.receipt("op", namespace=NS, payload="another text")

    @pytest.mark.parametrize("policy", ["chat", "edit", "paper"])
    def test_a_receipt_is_found_by_its_payload_whatever_the_policy(self, memory: Memory, policy: Policy) -> None:
        memory.write([("Ada", "likes", "tea")], namespace=NS, op_id="op", payload="I like tea", policy=policy)
        assert memory.receipt("op", namespace=NS, payload="I like tea") is not None

    def test_the_same_operation_id_in_two_namespaces_is_two_operations(self, memory: Memory) -> None:
        for namespace in (NS, OTHER):
            assert statuses(memory.write([("Ada", "likes", "tea")], namespace=namespace, op_id="op")) == ["stored"]

    def test_an_empty_operation_has_an_empty_receipt(self, memory: Memory) -> None:
        receipt = memory.write([], namespace=NS, op_id="nothing")
        assert len(receipt) == 0
        assert memory.write([], namespace=NS, op_id="nothing").replayed

    def test_too_many_triples_are_refused_before_anything_is_written(self, memory: Memory) -> None:
        with pytest.raises(ConfigurationError, match="4097"):
            memory.write([("Ada", "likes", f"tea {i}") for i in range(4097)], namespace=NS)
        pieces = [Quarantined(f"piece {i}", "odd") for i in range(4096)]
        with pytest.raises(ConfigurationError, match="1 triples and 4096 quarantined pieces in one operation"):
            memory.write([("Ada", "likes", "tea")], namespace=NS, quarantine=pieces)
        assert memory.stats(namespace=NS).operations == 0

    def test_quarantine_is_kept_with_its_operation(self, memory: Memory) -> None:
        piece = Quarantined("Ada >> likes", "two parts", ADA)
        receipt = memory.write([("Ada", "likes", "tea")], namespace=NS, source=ADA, quarantine=[piece])
        assert statuses(receipt) == ["stored", "quarantined"]
        (kept,) = memory.quarantined(namespace=NS)
        assert (kept.text, kept.reason, kept.source.ref) == (piece.text, piece.reason, "chat-1")
        assert memory.stats(namespace=NS).quarantined == 1

    @pytest.mark.parametrize(
        "part",
        [
            {"valid_from": "when Ada moved"},
            {"text": "Ada\ud800"},
            {"turn": "Ada"},
            {"span": "Ada"},
            {"confidence": "Ada"},
        ],
        ids=str,
    )
    def test_a_rejected_statement_leaves_no_word_in_its_receipt(self, memory: Memory, part: dict[str, object]) -> None:
        triple = {"subject": "Ada", "relation": "likes", "object": "tea"}
        receipt = memory.write([{**triple, **part}], namespace=NS, op_id="op")
        assert statuses(receipt) == ["rejected"]
        assert "Ada" not in str(receipt.outcomes[0].reason)
        kept = memory.receipt("op", namespace=NS)
        assert kept is not None
        assert "Ada" not in json.dumps([outcome.reason for outcome in kept])


class NamesakeRules(StoreRules):
    """Two people of one name are not made one person."""

    @pytest.mark.parametrize(
        "rows",
        [
            [("Anna", "colleague of", "user"), ("Anna", "works for", "Globex")],
            [("Anna", "works for", "Globex"), ("Anna", "colleague of", "user")],
            [("user", "colleague", "Anna"), ("Anna", "works for", "Globex")],
            [("user", "works with", "anna"), ("ANNA", "works for", "Globex")],
        ],
        ids=str,
    )
    def test_another_anna_contests(self, memory: Memory, rows: Rows) -> None:
        """Both stand, and the outcome says what to do."""
        memory.write(SISTER, namespace=NS, source=ADA)
        receipt = memory.write(rows, namespace=NS, source=ADA)
        assert jobs(memory) == [("Acme", "contested"), ("Globex", "contested")]
        (hint,) = [outcome.reason for outcome in receipt if outcome.contests]
        assert "another person of that name" in (hint or "")
        assert "alias" in (hint or "")
        memory.write([("Anna", "works for", "Globex")], namespace=NS, source=ADA)  # it is the same person
        assert jobs(memory) == [("Acme", "past"), ("Globex", "current")]

    @pytest.mark.parametrize(
        "rows",
        [
            [("Anna", "works for", "Globex")],
            [("Anna", "sister of", "user"), ("Anna", "works for", "Globex")],
            [("user", "sister", "Anna"), ("Anna", "works for", "Globex")],
            [("user", "sibling", "Anna"), ("Anna", "works for", "Globex")],
            [("user", "likes", "Anna"), ("Anna", "works for", "Globex")],
            [("Anna", "sister of", "user"), ("Anna", "colleague of", "user"), ("Anna", "works for", "Globex")],
            [("Bo", "colleague of", "user"), ("Anna", "works for", "Globex")],
        ],
        ids=str,
    )
    def test_the_same_anna_updates(self, memory: Memory, rows: Rows) -> None:
        memory.write(SISTER, namespace=NS, source=ADA)
        memory.write(rows, namespace=NS, source=ADA)
        assert jobs(memory) == [("Acme", "past"), ("Globex", "current")]

    def test_who_was_not_known_to_the_speaker_updates(self, memory: Memory) -> None:
        memory.write([("Anna", "works for", "Acme"), ("user", "likes", "Anna")], namespace=NS, source=ADA)
        rows = [("Anna", "colleague of", "user"), ("Anna", "works for", "Globex")]
        memory.write(rows, namespace=NS, source=ADA)
        assert jobs(memory) == [("Acme", "past"), ("Globex", "current")]
