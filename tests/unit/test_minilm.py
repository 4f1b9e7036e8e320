"""MiniLM by ONNX: what its vectors are, and what recall finds with an embedder that reads sentences."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from langchain_memllm.embeddings import MiniLM, Vectors
from langchain_memllm.errors import EmbedderMismatch
from langchain_memllm.hub import Hub
from langchain_memllm.memory import Memory
from langchain_memllm.recall import Sentences
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.triples import Source

NS = ("n",)


class Sense:
    """Reads sentences: whether something is on the water or at home; notes what it is given."""

    reads_sentences = True

    def __init__(self) -> None:
        self.given: list[str] = []
        self.fails = False

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.fails:
            raise TimeoutError
        self.given += texts
        return [
            [*(float(any(word in text for word in some)) for some in (WATER, HOME)), *self._own(text)] for text in texts
        ]

    @staticmethod
    def _own(text: str) -> list[float]:
        """A little that no other text has."""
        own = np.random.default_rng(zlib.crc32(text.encode())).normal(size=200)
        return list(0.2 * own / np.linalg.norm(own))


WATER, HOME = ("sail", "boat", "harbour"), ("sofa", "kitchen", "rug")


def answers(memory: Memory, question: str, **more: int) -> list[str]:
    return [match.answer for match in memory.recall(question, namespace=NS, **more)]


def test_a_hop_leads_only_to_what_fits_well() -> None:
    """The floor of sentences is low: what fits a hop a little would all be shown."""
    with Memory(embedder="minilm") as memory:
        memory.write([("The Zone", "director", "Esben Lund"), ("Esben Lund", "place of birth", "Aarhus")], namespace=NS)
        memory.write([("Esben Lund", "drives", "an old van"), ("Esben Lund", "school", "a gymnasium")], namespace=NS)
        assert answers(memory, "Where was the director of The Zone born?", k=10) == ["Esben Lund", "Aarhus"]


# -- its vectors -------------------------------------------------------------------------------------------------------


def test_vectors_say_what_a_sentence_means() -> None:
    texts = ["I can't eat peanuts, they make me ill", "Any food allergies?", "The train leaves at nine"]
    peanuts, asked, train = MiniLM.installed().encode(texts)
    assert peanuts @ asked > 0.3 > peanuts @ train
    assert np.allclose(np.linalg.norm([peanuts, asked, train], axis=1), 1.0, atol=1e-5)


def test_a_vector_does_not_depend_on_the_texts_beside_it() -> None:
    model = MiniLM.installed()
    (alone,) = model.encode(["Clara is a dentist"])
    assert np.array_equal(model.encode(["a " * 200, "Clara is a dentist", "x"])[1], alone)
    assert model.embed_query("Clara is a dentist") == alone.tolist()


def test_order_counts_and_the_end_of_a_long_text_does_not() -> None:
    model = MiniLM.installed()
    dog, man = model.encode(["the dog bit the man", "the man bit the dog"])
    assert dog @ man < 0.999
    first, second = model.encode(["word " * 254 + "left", "word " * 254 + "right"])
    assert np.array_equal(first, second)


@pytest.mark.parametrize("text", ["", "郑州", "Владимир"])
def test_what_it_cannot_read_has_no_vector(text: str) -> None:
    assert Vectors("minilm").embed([text])[0] is None


def test_a_memory_opened_with_another_embedder_says_so(tmp_path: Path) -> None:
    with Memory(tmp_path / "m.db", embedder="minilm") as memory:
        memory.write([("Ada", "lives in", "Oslo")], namespace=NS)
    with Memory(tmp_path / "m.db") as other, pytest.raises(EmbedderMismatch, match="all-MiniLM-L6-v2, int8"):
        other.recall("Where does Ada live?", namespace=NS)
    with Memory(tmp_path / "m.db", embedder="minilm") as memory:
        assert answers(memory, "In which town is Ada's home?") == ["Oslo"]


# -- recall by sentences -----------------------------------------------------------------------------------------------


def test_a_fact_is_found_by_what_its_sentence_means() -> None:
    with Memory(embedder=Sense()) as memory:
        memory.write([("user", "has", "Old Bess")], namespace=NS, source=Source("user", text="We sail her every May"))
        memory.write([("user", "has", "Gustav")], namespace=NS, source=Source("user", text="He sleeps on the rug"))
        assert answers(memory, "Which boat is there?", k=1) == ["Old Bess"]
        assert answers(memory, "Who is in the kitchen?", k=1) == ["Gustav"]
        assert answers(memory, "What is the capital of Mongolia?") == []
    with Memory() as memory:  # a table of words does not know
        memory.write([("user", "has", "Old Bess")], namespace=NS, source=Source("user", text="We sail her every May"))
        assert answers(memory, "Which boat is there?") == []


def test_a_question_costs_its_own_vectors_only() -> None:
    embedder = Sense()
    with Memory(embedder=embedder) as memory:
        for number in range(5):
            said = Source("user", text=f"The boat number {number}")
            memory.write([("user", "has", f"boat {number}")], namespace=NS, source=said)
        memory.recall("Which boat is there?", namespace=NS)
        embedder.given.clear()
        memory.recall("Which harbour?", namespace=NS)
        assert set(embedder.given) == {"harbour", "Which harbour?"}
        memory.write([("user", "has", "a sofa")], namespace=NS, source=Source("user", text="Here is a sofa"))
        embedder.given.clear()
        assert answers(memory, "Anything in the kitchen?", k=1) == ["a sofa"]
        assert [text for text in embedder.given if "boat" in text] == []


def test_a_forgotten_fact_is_not_found_by_its_sentence() -> None:
    with Memory(embedder=Sense()) as memory:
        memory.write([("user", "has", "Bess")], namespace=NS, source=Source("user", text="We sail her"))
        memory.write([("user", "has", "Gustav")], namespace=NS, source=Source("user", text="On the rug"))
        (match,) = memory.recall("Which boat?", namespace=NS, k=1)
        memory.forget(fact_id=match.fact.id, namespace=NS)
        assert "Bess" not in answers(memory, "Which boat?")
        assert answers(memory, "Which sofa?") == ["Gustav"]


def test_facts_are_compared_again_after_the_embedder_failed() -> None:
    embedder = Sense()
    with Memory(embedder=embedder) as memory:
        memory.write([("user", "has", "Bess")], namespace=NS, source=Source("user", text="We sail her"))
        embedder.fails = True
        assert answers(memory, "Which boat?") == []
        embedder.fails = False
        assert answers(memory, "Which boat?") == ["Bess"]


def test_a_flood_of_pages_leaves_a_person_room() -> None:
    with Memory(embedder=Sense()) as memory:
        memory.write([("user", "has", "Bess")], namespace=NS, source=Source("user", text="We sail her"))
        for number in range(120):
            page = Source("web", f"https://example.org/{number}", text="boat " * (number + 1))
            memory.write([(f"page {number}", "says", f"thing {number}")], namespace=NS, source=page)
        assert "Bess" in answers(memory, "Which boat?", k=3)


def test_a_turn_is_found_by_what_it_means() -> None:
    embedder = Sense()
    with Memory(embedder=embedder) as memory:
        hub = Hub(memory)
        said = ["We sail to Skagen", "The rug is new", "It rained all week"]
        hub.keep([Turn(Turn.named("t", text), "t", text) for text in said], namespace=NS)
        assert hub.search("boat", namespace=NS)[0].turn.text == "We sail to Skagen"
        embedder.given.clear()
        assert hub.search("kitchen", namespace=NS)[0].turn.text == "The rug is new"
        assert not set(said) & set(embedder.given)


def test_sentences_hold_the_nearest_of_a_fact() -> None:
    vectors = {"a is b": np.array([1, 0], np.float32), "a is b so it is": np.array([0, 1], np.float32)}
    sentences = Sentences()
    assert sentences.nearest(vectors["a is b"]) == []
    sentences.update(
        [7], lambda ids: {each: ["a is b", "so it is"] for each in ids}, lambda some: list(map(vectors.get, some))
    )
    assert sentences.nearest(vectors["a is b so it is"]) == [(0, 7, 1.0)]
    assert sentences.nearest(None) == []
