"""What an untrained model is shown: sentences with their triples, and reads, in the paper's format.

A model that was not trained to write and read (adapters do that) answers in the form only after examples. The people
are not those of the demonstration; one sentence has nothing to store.
"""

from __future__ import annotations

from typing import Final

from langchain_memllm.local.writer import Example, WriteOptions
from langchain_memllm.triples import Query, Triple

__all__ = ["READ_EXAMPLES", "UNTRAINED", "WRITE_EXAMPLES"]

WRITE_EXAMPLES: Final[tuple[Example, ...]] = (
    (
        "Marie Curie (7 November 1867 – 4 July 1934) was a Polish physicist and chemist.",
        (
            Triple("Marie Curie", "date of birth", "7 November 1867"),
            Triple("Marie Curie", "date of death", "4 July 1934"),
            Triple("Marie Curie", "occupation", "physicist"),
        ),
    ),
    (
        "She was born in Warsaw and was married to Pierre Curie.",
        (Triple("Marie Curie", "place of birth", "Warsaw"), Triple("Marie Curie", "spouse", "Pierre Curie")),
    ),
    ("It was a fine day.", ()),
    (
        "Alan Turing was born in London and died in Wilmslow.",
        (Triple("Alan Turing", "place of birth", "London"), Triple("Alan Turing", "place of death", "Wilmslow")),
    ),
)
"""Sentences with their triples, to be shown before the text."""

READ_EXAMPLES: Final[tuple[tuple[Query, str], ...]] = (
    (Query("Marie Curie", "place of birth"), "Warsaw"),
    (Query("Alan Turing", "place of death"), "Wilmslow"),
    (Query("Marie Curie", "spouse"), "Pierre Curie"),
    (Query("Niels Bohr", "date of birth"), "7 October 1885"),
)
"""Queries with their answers, to be shown before a question."""

UNTRAINED: Final = WriteOptions(
    relations=(
        "place of birth",
        "place of death",
        "date of birth",
        "date of death",
        "spouse",
        "occupation",
        "employer",
        "country of citizenship",
        "lives in",
        "works for",
        "likes",
    ),
    copy_names=True,
    max_tokens=64,
    patience=2,
)
"""Decoding for a model without a write adapter: few relations, names copied from the text, a short call."""
