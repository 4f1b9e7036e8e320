"""How sure a writer is of each triple: from the log-probability of its tokens to the probability that it is right.

What counts is the log-probability of what was decided (``writer``): it ranks triples. What share of those with some
value is right differs from adapter to adapter, and is fitted on texts that the adapter was not trained on (``memllm
train calibrate``): two numbers, in the adapter's manifest, with the least probability that is written where none is
chosen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError, ModelError
from langchain_memllm.speaker import is_speaker

__all__ = ["NOWHERE", "Confidence", "check_threshold", "stands_in"]

NOWHERE: Final = -99.0
"""Log-probability of a triple with a name that the text does not have: of 61 such on 60 documents none was right."""
_WORD: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Confidence:
    """From log-probabilities to a probability: ``1 / (1 + exp(-(intercept + slope * x)))`` (Platt scaling).

    Args:
        intercept: Of the line; None: nothing was fitted, and the probability of the tokens themselves is given.
        slope: Of the line.
        threshold: Least probability that is written, where none is chosen.
        fitted: On what, in words.
    """

    intercept: float | None = None
    slope: float = 1.0
    threshold: float = 0.0
    fitted: str = ""

    def __post_init__(self) -> None:
        """Check the threshold."""
        check_threshold(self.threshold)

    def of(self, logprob: float) -> float:
        """The probability that a triple of this log-probability is right."""
        if self.intercept is None:
            return math.exp(logprob)
        return 1 / (1 + math.exp(min(600.0, -self.intercept - self.slope * logprob)))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any] | None) -> Confidence:
        """What an adapter's manifest says; one that says nothing has no fit and no threshold.

        Raises:
            ModelError: It cannot be used.
        """
        try:
            return cls(**((manifest or {}).get("confidence") or {}))
        except (TypeError, ConfigurationError) as error:
            raise ModelError(
                f"the manifest of an adapter has an unusable confidence ({error}); get it again"
            ) from error


def stands_in(name: str, text: str) -> bool:
    """Whether a text has a name, by its words; the person who speaks is in every text, "my sister" where "sister" is.

    Args:
        name: A subject or an object.
        text: What was read.
    """
    if is_speaker(name) or f" {_words(name.removeprefix('my '))} " in f" {_words(text)} ":
        return True
    return not name.isascii() and name.casefold() in text.casefold()  # scripts that put no space between words


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def check_threshold(threshold: float) -> float:
    """The threshold, if it is a probability.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ConfigurationError(f"threshold={threshold!r} of the writer is not a probability; give 0 (all) to 1")
    return threshold
