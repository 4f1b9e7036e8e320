"""What a store or an extractor of your own has to do, as tests that you run on it.

Subclass a contract in a test file, give it what is to be tested, and run pytest. The tests speak to the store as an
application does, through ``Memory``, and know nothing of how it keeps things::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            return MyStore()

``docs/write_a_store.md`` does so from the first line of a store to the last.
"""

from __future__ import annotations

from langchain_memllm.testing.rules.extracting import ExtractorContract
from langchain_memllm.testing.rules.forgetting import ForgettingRules, TraceRules
from langchain_memllm.testing.rules.limits import LimitRules, SizeRules
from langchain_memllm.testing.rules.moving import AgreementRules, MovingRules
from langchain_memllm.testing.rules.reading import NamespaceRules, ReadingRules, RelationRules
from langchain_memllm.testing.rules.similarity import SimilarityRules
from langchain_memllm.testing.rules.times import ClockRules, TimeRules
from langchain_memllm.testing.rules.waiting import OutboxRules
from langchain_memllm.testing.rules.writing import NamesakeRules, OperationRules, WritingRules

__all__ = ["ExtractorContract", "OutboxContract", "SimilarityContract", "StoreContract"]


class StoreContract(
    WritingRules,
    OperationRules,
    NamesakeRules,
    ReadingRules,
    RelationRules,
    NamespaceRules,
    ForgettingRules,
    TraceRules,
    MovingRules,
    AgreementRules,
    TimeRules,
    ClockRules,
    LimitRules,
    SizeRules,
):
    """What every store does: facts written, read, corrected, dated, forgotten, exported and kept apart.

    Override the fixture ``store`` so that it yields an empty ``TripleStore``, and ``kept_texts`` if you can list what
    the store keeps. A store that keeps what waits for its extraction also passes ``OutboxContract`` (the agent's
    middleware and nodes need one that does), and one that finds similar names ``SimilarityContract``.
    """


class SimilarityContract(SimilarityRules):
    """What a store does that keeps vectors: similar names and relations answer where nothing is exact.

    Override the fixture ``store`` as in ``StoreContract``.
    """


class OutboxContract(OutboxRules):
    """What a store does that keeps what was said until it is extracted.

    Override the fixtures ``store`` and ``kept_texts`` as in ``StoreContract``.
    """
