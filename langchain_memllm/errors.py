"""Every error this package raises, as one tree.

    MemLLMError
    ├── ConfigurationError   (ValueError)   a wrong argument, URI or declaration
    │   └── NamespaceError                  no namespace, or one that cannot be used
    ├── MissingExtra         (ImportError)  an optional package is not installed
    ├── InvalidTriple        (ValueError)   a name that cannot be stored
    ├── OperationConflict                   one op_id, two payloads
    ├── EmbeddingError       (ValueError)   a vector that cannot be searched
    ├── ModelError                          a model that cannot be loaded or used
    └── StoreError                          the store could not do what was asked
        ├── StoreUnavailable                not reachable, read-only, disk full
        ├── QuotaExceeded                   the namespace is full, or a source states too much
        ├── StoreCorrupt                    not a memory, or a damaged one
        ├── SchemaTooNew                    written by a newer version of this package
        └── EmbedderMismatch                filled with another embedder

Each message says what was wrong, with the value, and what to do next. Vendor errors are translated once, at the
boundary, with ``raise … from``. Malformed model output and "not found" are not errors: the first is quarantined, the
second is an empty answer.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "ConfigurationError",
    "EmbedderMismatch",
    "EmbeddingError",
    "InvalidTriple",
    "MemLLMError",
    "MissingExtra",
    "ModelError",
    "NamespaceError",
    "OperationConflict",
    "QuotaExceeded",
    "SchemaTooNew",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "reason_of",
]


def reason_of(error: BaseException, *, quoting: bool = False) -> str:
    """An error in a few words: its class, and the sentence of our own errors, without credentials.

    Args:
        error: Any error; what others say in theirs may quote prompts or keys, so it is left out.
        quoting: Also sentences that may quote what people said (a name, an argument); not for logs.
    """
    kind = type(error).__name__
    ours = MemLLMError if quoting else (ModelError, StoreError, MissingExtra)
    if not isinstance(error, ours):
        return kind
    sentence = _CREDENTIALS.sub(r"\1…@", str(error))
    return f"{kind}: {sentence if len(sentence) <= _MAX_REASON else sentence[:_MAX_REASON] + '…'}"


_MAX_REASON: Final = 300
_CREDENTIALS: Final = re.compile(r"(:/{0,2}|//)[^\s@]+@")


class MemLLMError(Exception):
    """Base of every error raised by this package."""


class ConfigurationError(MemLLMError, ValueError):
    """An argument, URI or declaration that cannot be used."""


class NamespaceError(ConfigurationError):
    """A namespace is missing, cannot be filled from the run's config, or has an unusable label."""


class MissingExtra(MemLLMError, ImportError):
    """An optional package is needed for this and is not installed.

    Args:
        purpose: What needs it, as the start of a sentence ("The local model").
        extra: Name of the extra that brings it.
        command: The command to run, if it is not ``pip install 'langchain-memllm[extra]'``.
    """

    def __init__(self, purpose: str, extra: str, command: str | None = None) -> None:
        """Build the message from the purpose and the command that helps."""
        self.extra = extra
        self.command = command or f"pip install 'langchain-memllm[{extra}]'"
        super().__init__(f"{purpose} needs packages that are not installed. Run: {self.command}")


class InvalidTriple(MemLLMError, ValueError):
    """A name cannot be part of a triple.

    Args:
        part: Which part of the triple ("subject", "relation", "object").
        value: The offending value; shown shortened.
        reason: What is wrong with it and what to do.
    """

    def __init__(self, part: str, value: object, reason: str) -> None:
        """Build the message; the value is shown escaped and cut at 60 characters."""
        self.part, self.value, self.reason = part, value, reason
        shown = ascii(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__(f"{part} {shown} cannot be stored: {reason}")

    @property
    def unquoted(self) -> str:
        """The message without the value: what is kept of a refusal, since the value may be forgotten."""
        return f"{self.part} cannot be stored: {self.reason}"


class OperationConflict(MemLLMError):
    """The same ``op_id`` was used before in this namespace with another payload."""


class EmbeddingError(MemLLMError, ValueError):
    """An embedder returned something that is not a usable vector (wrong length, zero, not finite)."""


class ModelError(MemLLMError):
    """A model, tokenizer or adapter cannot be loaded or does not fit the others."""


class StoreError(MemLLMError):
    """The store could not do what was asked; nothing was half-written."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or written now: server away, file read-only, disk full, lock held too long."""


class QuotaExceeded(StoreError):
    """A namespace is full, or what nobody vouches for has been stated too often lately (``quotas.Limits``).

    Nothing was written, and nothing was noted of the operation: it may be delivered again under the same ``op_id``.
    What waits in the outbox stays there.
    """


class StoreCorrupt(StoreError):
    """The file or database is not a memory of this package, or is damaged."""


class SchemaTooNew(StoreError):
    """The store was written by a newer version of this package."""


class EmbedderMismatch(StoreError):
    """The store holds vectors of another embedder than the one given."""
