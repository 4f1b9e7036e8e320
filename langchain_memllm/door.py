"""The models of a memory, for all its doors: checked when they are given, built when they are first needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_memllm.errors import ConfigurationError
from langchain_memllm.forking import renewed
from langchain_memllm.ingest import Ingest
from langchain_memllm.memory import Memory
from langchain_memllm.sharing import Shared
from langchain_memllm.triples import Source

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langchain_memllm.extraction import Extraction, Extractor
    from langchain_memllm.local import MemLLMModel

__all__ = ["LOCAL", "Door", "LateExtractor", "Model", "built"]

LOCAL: Final = "local"
"""Name of the local model, SmolLM2-135M-Instruct; ``local:0.8`` writes what it is sure of to 0.8, ``local:0`` all."""

Model: TypeAlias = "str | BaseChatModel | MemLLMModel"


class Door(Shared):
    """One memory and its model, as all doors of an application use them.

    Args:
        memory: The memory.
        model: The chat or local model that extracts and answers; None if nothing is extracted.
        extractor: Finds facts in texts instead of the model.

    Raises:
        ConfigurationError: The model or the extractor cannot be used.
    """

    def __init__(self, memory: Memory, *, model: Model | None = None, extractor: Extractor | None = None) -> None:
        """Keep the parts; no model is built."""
        self.memory = memory
        self.given = _check_model(model)
        self._model: Any = None
        self._extractor = _check_extractor(extractor)
        self._building = renewed(threading.Lock())
        self.ingest = Ingest(memory, self._made)

    # -- models ----------------------------------------------------------------------------------------------------

    def load_model(self) -> Any:
        """The model, built when first asked for: a chat model or a ``MemLLMModel``; None if there is none.

        Raises:
            MissingExtra: Its package is not installed.
            ModelError: It cannot be loaded.
        """
        with self._building:
            if self._model is None and self.given is not None:
                self._model = built(self.given)
            return self._model

    @property
    def can_extract(self) -> bool:
        """Whether there is something that finds facts in texts."""
        return self._extractor is not None or self.given is not None

    @property
    def extractor(self) -> Extractor:
        """What finds facts in texts; its model is built when it is first asked.

        Raises:
            ConfigurationError: There is neither a model nor an extractor.
        """
        if self._extractor is None:
            if self.given is None:
                raise ConfigurationError(
                    "this memory has no model to find facts in a text; give one, as in MemLLMMemory(…, "
                    "model='openai:gpt-5-mini') or model='local', or an extractor=…; triples need none: "
                    "write([('Ada', 'lives in', 'Oslo')])"
                )
            self._extractor = LateExtractor(self._extractor_of_model)
        return self._extractor

    def _extractor_of_model(self) -> Extractor:
        from langchain_memllm.extraction import extractor_for

        return extractor_for(self.load_model(), lambda: self.memory.catalogue)

    def _made(self) -> Extractor:
        extractor = self.extractor
        return extractor.made() if isinstance(extractor, LateExtractor) else extractor


class LateExtractor(Shared):
    """An extractor that is made when it is first asked.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Extractor]) -> None:
        """Keep how to make it."""
        self._make, self._lock = make, renewed(threading.Lock())
        self._made: Extractor | None = None

    def made(self) -> Extractor:
        """The extractor itself."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def extract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """See ``Extractor.extract``."""
        return self.made().extract(text, context=context, source=source)

    async def aextract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """Async twin of ``extract``."""
        made = await asyncio.to_thread(self.made)
        return await made.aextract(text, context=context, source=source)


def _check_model(model: Any) -> Any:
    named = isinstance(model, str) and bool(model.strip())
    if model is None or named or (not isinstance(model, str | type) and _is_model(model)):
        return model
    raise ConfigurationError(
        f"model={model!r} is not a model; give 'provider:model' such as 'openai:gpt-5-mini', a BaseChatModel, a "
        "MemLLMModel, or 'local'"
    )


def _is_model(model: Any) -> bool:
    return callable(getattr(model, "invoke", None)) or _is_local(model)


def _is_local(model: Any) -> bool:
    return callable(getattr(model, "write_calls", None))


def _check_extractor(extractor: Any) -> Extractor | None:
    if extractor is not None and not all(callable(getattr(extractor, verb, None)) for verb in ("extract", "aextract")):
        raise ConfigurationError(
            f"extractor={extractor!r} has no extract and aextract; see langchain_memllm.extraction.Extractor"
        )
    found: Extractor | None = extractor
    return found


def built(model: Any) -> Any:
    """The model of that name, or the one given: a chat model or a ``MemLLMModel``.

    Raises:
        ConfigurationError: It is neither, or no provider has that name.
        MissingExtra: Its package is not installed.
        ModelError: It cannot be loaded.
    """
    if isinstance(model, str) and model.partition(":")[0] == LOCAL:
        threshold = _threshold_of(model)
        from langchain_memllm.local import MemLLMModel

        return MemLLMModel.smollm2(adapters=True, threshold=threshold)
    if _is_local(model):
        return model
    from langchain_memllm.models import chat_model

    return chat_model(model)


def _threshold_of(model: str) -> float | None:
    """The least probability that a name of the local model asks for, if it does."""
    _, colon, threshold = model.partition(":")
    try:
        wanted = float(threshold) if colon else None
    except ValueError:
        wanted = -1.0
    if wanted is not None and not 0 <= wanted <= 1:
        raise ConfigurationError(
            f"model={model!r} names no threshold; give 'local', or 'local:0.8' to write what is so probable"
        )
    return wanted
