"""How much a namespace may hold, on every store: nothing half-written, nothing of a person lost, each for itself."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from langchain_memllm import Limits, MemLLMMemory, Source, Statement
from langchain_memllm.belief import Quarantined, Use
from langchain_memllm.errors import ConfigurationError, EmbedderMismatch, QuotaExceeded
from langchain_memllm.memory import Memory
from langchain_memllm.stores.interface import TripleStore
from langchain_memllm.stores.outbox import OutboxEntry
from langchain_memllm.testing import FakeEmbedder

ADA, BO = ("memllm", "ada"), ("memllm", "bo")
PAGE, NOTES = Source("web", "https://example.org"), Source("document", "notes.md")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 30, 9, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(store: TripleStore, clock: Clock | None = None, **limits: object) -> Memory:
    return Memory(store, embedder=FakeEmbedder(), clock=clock, limits=Limits(**limits))  # type: ignore[arg-type]


def likes(count: int, first: int = 0, who: str = "Ada") -> list[tuple[str, str, str]]:
    return [(who, "likes", f"tea {n:03d}") for n in range(first, first + count)]


def use(memory: Memory, namespace: tuple[str, str] = ADA) -> Use:
    return memory.stats(namespace=namespace).use


def test_a_full_memory_refuses_whole_operations_and_says_which_limit(store: TripleStore) -> None:
    memory = opened(store, statements=5)
    memory.write(likes(4), namespace=ADA)
    with pytest.raises(QuotaExceeded, match=r"holds 4 statements and may hold 5; .* raise Limits\.statements"):
        memory.write(likes(2, 10), namespace=ADA, op_id="more")
    assert len(list(memory.facts(namespace=ADA))) == 4 and memory.receipt("more", namespace=ADA) is None
    memory.write(likes(1, 10), namespace=ADA, op_id="more")
    assert use(memory).statements == 5
    memory.write([("Bo", "likes", "ale")], namespace=BO)  # another's memory is not full by it
    memory.retract(("Ada", "likes", "tea 000"), namespace=ADA)  # what takes back is never refused
    with pytest.raises(QuotaExceeded):
        memory.write([("Ada", "likes", "tea 001")], namespace=ADA)  # to say a thing again is a statement, too
    memory.forget(name="tea 001", namespace=ADA)
    assert memory.write(likes(1, 20), namespace=ADA).count("stored") == 1


def test_characters_are_those_of_names_and_sentence(store: TripleStore) -> None:
    memory = opened(store, characters=100)
    memory.write([Statement("Ada", "likes", "tea", text="x" * 30)], namespace=ADA)  # 3 + 5 + 3 + 30
    assert use(memory) == Use(1, 41)
    with pytest.raises(QuotaExceeded, match="holds 41 characters and may hold 100"):
        memory.write([Statement("Ada", "likes", "ale", text="é😀" * 25)], namespace=ADA)
    memory.write([Statement("Ada", "likes", "ale", text="é😀" * 24)], namespace=ADA)  # characters, not bytes
    assert use(memory) == Use(2, 100)


def test_what_a_page_states_beyond_the_hour_is_rejected_and_told(store: TripleStore, clock: Clock) -> None:
    memory = opened(store, clock, untrusted_per_hour=3, untrusted_per_day=5)
    receipt = memory.write(likes(4), namespace=ADA, source=PAGE)
    assert [outcome.status for outcome in receipt] == ["stored"] * 3 + ["rejected"]
    assert receipt.outcomes[3].reason == (
        "pages, tools and models may state 3 things in one hour; write the rest after 2026-11-30T10:00+00:00, as an "
        "operation of its own, or raise Limits.untrusted_per_hour"
    )
    with pytest.raises(QuotaExceeded, match="nothing was written: pages, tools and models"):
        memory.write(likes(1, 10), namespace=ADA, source=Source("tool", "search"), op_id="later")
    assert memory.write(likes(9, 20), namespace=ADA).count("stored") == 9  # a person is not kept waiting
    assert memory.write(likes(9, 30), namespace=ADA, source=NOTES).count("stored") == 9  # nor is a document
    assert memory.write(likes(3), namespace=BO, source=PAGE).count("stored") == 3  # nor another's page
    clock.now = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
    assert memory.write(likes(3, 10), namespace=ADA, source=PAGE, op_id="later").count("stored") == 2
    clock.now = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
    with pytest.raises(QuotaExceeded, match="in one day; write the rest after 2026-12-01T00:00"):
        memory.write(likes(1, 15), namespace=ADA, source=PAGE)
    clock.now = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
    assert memory.write(likes(1, 15), namespace=ADA, source=PAGE).count("stored") == 1


def test_what_nobody_vouches_for_leaves_half_of_a_memory_to_people(store: TripleStore) -> None:
    memory = opened(store, statements=10)
    receipt = memory.write(likes(8), namespace=ADA, source=NOTES)
    assert (receipt.count("stored"), receipt.count("rejected")) == (5, 3)
    assert "may fill 5 statements of this memory" in (receipt.outcomes[7].reason or "")
    assert memory.write(likes(5, 20), namespace=ADA).count("stored") == 5
    with pytest.raises(QuotaExceeded, match="nothing was written: sources below the rank of a person"):
        memory.write(likes(1, 30), namespace=ADA, source=PAGE)
    assert use(memory) == Use(10, 150, 5, 75)
    memory.forget(source=NOTES, namespace=ADA)
    assert use(memory) == Use(5, 75)


def test_what_a_person_said_waits_until_there_is_room(store: TripleStore) -> None:
    """The outbox keeps it; what a page said beside it is rejected, and keeps nobody waiting."""
    memory = opened(store, statements=2, untrusted_share=0.0)
    memory.write(likes(2), namespace=ADA)
    said = [OutboxEntry("op1", "A page says so.", source=PAGE), OutboxEntry("op2", "I like ale.")]
    memory.put_outbox(said, namespace=ADA)
    page, person = memory.outbox(namespace=ADA)
    receipt = memory.write([("Ada", "likes", "gin")], namespace=ADA, source=PAGE, op_id="op1", entry=page)
    assert receipt.count("rejected") == 1
    with pytest.raises(QuotaExceeded):
        memory.write([("Ada", "likes", "ale")], namespace=ADA, op_id="op2", entry=person)
    assert [each.text for each in memory.outbox(namespace=ADA)] == ["I like ale."]
    memory.forget(name="tea 001", namespace=ADA)
    (person,) = memory.outbox(namespace=ADA)
    memory.write([("Ada", "likes", "ale")], namespace=ADA, op_id="op2", entry=person)
    assert memory.outbox(namespace=ADA) == []


def test_one_full_memory_keeps_no_other_waiting(store: TripleStore) -> None:
    from langchain_memllm.extraction import ChatExtractor
    from langchain_memllm.testing import ScriptedModel, tool_call

    reply = tool_call("record_facts", facts=[{"subject": "user", "relation": "likes", "object": "gin"}])
    extractor = ChatExtractor(ScriptedModel(script=lambda _: reply))
    memory = MemLLMMemory(store, extractor=extractor, embedder=FakeEmbedder(), limits=Limits(statements=1))
    memory.write(likes(1), user_id="ada")
    for who in (ADA, BO):
        memory.core.put_outbox([OutboxEntry(f"turn of {who[1]}", "I like gin.")], namespace=who)
    with pytest.raises(QuotaExceeded):
        memory.flush(everyone=True)
    assert memory.read("user", "likes", user_id="bo").answers == ("gin",)
    assert (memory.stats(user_id="ada").outbox, memory.stats(user_id="bo").outbox) == (1, 0)


def test_pieces_in_quarantine_count(store: TripleStore) -> None:
    memory = opened(store, statements=3, untrusted_share=1.0)
    pieces = [Quarantined(f"odd {n}", "not a triple", PAGE) for n in range(5)]
    receipt = memory.write([("Ada", "likes", "tea")], namespace=ADA, source=PAGE, quarantine=pieces)
    assert [outcome.status for outcome in receipt] == ["stored", *["quarantined"] * 2, *["rejected"] * 3]
    assert [piece.text for piece in memory.quarantined(namespace=ADA)] == ["odd 0", "odd 1"]
    assert use(memory).statements == 3 and memory.verify() == [
        'namespace ["memllm", "ada"]: 3 of at most 3 statements; forget what is not needed, or raise the limit '
        "(docs/operators.md)",
        'namespace ["memllm", "ada"]: 3 of at most 3 untrusted statements; forget what is not needed, or raise the '
        "limit (docs/operators.md)",
    ]


def test_the_counts_follow_everything_that_changes_them(store: TripleStore) -> None:
    """Confirmed, replaced, forgotten by name and by source: what is counted is what is there (``verify``)."""
    memory = opened(store)
    memory.write(likes(3), namespace=ADA)
    memory.write(likes(3), namespace=ADA, source=NOTES, replace=True)
    assert use(memory) == Use(6, 90, 3, 45)
    memory.write(likes(1), namespace=ADA, source=NOTES, replace=True)  # two are not stated any more
    assert use(memory) == Use(5, 75, 2, 30) and memory.verify() == []
    memory.write([("Ada", "likes", "ale")], namespace=ADA, source=NOTES)
    memory.forget(source="notes.md", namespace=ADA)
    assert use(memory) == Use(3, 45) and memory.verify() == []
    memory.forget(name="tea 002", namespace=ADA)
    assert use(memory) == Use(2, 30) and memory.verify() == []
    memory.forget(everything=True, namespace=ADA)
    assert use(memory) == Use() and memory.verify() == []


def test_an_import_counts_and_is_refused_where_it_is_too_much(store: TripleStore) -> None:
    memory = opened(store, statements=4)
    memory.write(likes(3), namespace=ADA)
    records = list(memory.export(namespace=ADA))
    memory.restore(records, namespace=BO)
    assert use(memory, BO) == Use(3, 45)
    memory.restore(records, namespace=BO)  # what is there already is not counted twice
    assert use(memory, BO) == Use(3, 45)
    other = opened(store, statements=2)
    with pytest.raises(QuotaExceeded, match="holds 0 statements and may hold 2"):
        other.restore(records, namespace=("memllm", "eve"))
    assert list(other.facts(namespace=("memllm", "eve"))) == []
    other.restore(records, namespace=("memllm", "eve"), source_type="system")  # a backup of one's own
    assert use(other, ("memllm", "eve")) == Use(3, 45)


def test_limits_are_kept_for_all_clients(store: TripleStore) -> None:
    opened(store, statements=7).write(likes(1), namespace=ADA)
    later = Memory(store, embedder=FakeEmbedder())
    assert later.limits == Limits(statements=7)
    told = later.stats(namespace=ADA)
    assert told.limits["statements"] == (1, 7) and told.as_dict()["limits"]["statements"] == {"used": 1, "most": 7}
    assert opened(store, statements=None).limits.statements is None
    assert "statements" not in Memory(store, embedder=FakeEmbedder()).stats(namespace=ADA).limits


def test_writers_at_once_pass_no_limit(store: TripleStore) -> None:
    memory = opened(store, statements=20)
    refused: list[Exception] = []

    def work(who: int) -> None:
        for n in range(10):
            try:
                memory.write([(f"N{who}", "likes", f"tea {n}")], namespace=ADA)
            except QuotaExceeded as error:
                refused.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(list(memory.facts(namespace=ADA))), len(refused), use(memory).statements) == (20, 20, 20)


async def test_async_twins_are_refused_alike(store: TripleStore) -> None:
    memory = MemLLMMemory(store, embedder=FakeEmbedder(), limits=Limits(statements=1))
    await memory.awrite(likes(1), user_id="ada")
    with pytest.raises(QuotaExceeded):
        await memory.awrite(likes(1, 5), user_id="ada")
    assert (await memory.astats(user_id="ada")).limits["statements"] == (1, 1)


@pytest.mark.parametrize(
    ("limits", "told"),
    [({"statements": -1}, "statements=-1"), ({"characters": 1.5}, "1.5"), ({"untrusted_share": 2}, "from 0 to 1")],
)
def test_limits_that_are_none(limits: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Limits(**limits)  # type: ignore[arg-type]


def test_what_is_given_in_place_of_limits() -> None:
    with pytest.raises(ConfigurationError, match="are not Limits; give Limits"):
        Memory(":memory:", limits=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [None, Limits(statements=5)])
def test_a_client_whose_embedder_is_refused_keeps_no_limits(store: TripleStore, limits: Limits | None) -> None:
    Memory(store, embedder=FakeEmbedder()).write(likes(1), namespace=ADA)
    other = Memory(store, embedder=FakeEmbedder(dimension=32), limits=limits)
    for _ in range(2):  # the second call begins from what the first one left
        with pytest.raises(EmbedderMismatch):
            other.read("Ada", "likes", namespace=ADA)
    assert store.record("limits") is None
