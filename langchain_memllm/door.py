"""What the doors to one memory share: models built when first needed, long texts read in parts, recollections of runs.

The facade hands one ``Door`` to its middleware, tools and nodes. An operation that was delivered before is answered
from its receipt before any model is called.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_memllm.belief import Quarantined
from langchain_memllm.errors import ConfigurationError
from langchain_memllm.memory import Memory
from langchain_memllm.sharing import Shared
from langchain_memllm.triples import Namespace, Receipt, Source, Statement

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langchain_memllm.extraction import Extraction, Extractor
    from langchain_memllm.local import MemLLMModel

__all__ = ["LOCAL", "Door", "LateExtractor", "Model", "Progress", "built"]

LOCAL: Final = "local"
"""Name of the local model: SmolLM2-135M-Instruct."""

Model: TypeAlias = "str | BaseChatModel | MemLLMModel"
Progress = Callable[[int, int], object]
"""Takes the number of sentences read so far and of all."""

_CHAT_PART: Final = 6_000
_LOCAL_PART: Final = 1_000  # the local model takes seconds for a sentence
_CONTEXT: Final = 24  # sentences before a part; the paper's (section 3.1)
_KEPT: Final = 256


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
        self._given, self._model = _check_model(model), None
        self._extractor = _check_extractor(extractor)
        self._lock, self._building = threading.Lock(), threading.Lock()  # building may take long; runs do not wait
        self._kept: OrderedDict[Hashable, str] = OrderedDict()

    # -- models ----------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The model, built when first asked for: a chat model or a ``MemLLMModel``; None if there is none.

        Raises:
            MissingExtra: Its package is not installed.
            ModelError: It cannot be loaded.
        """
        with self._building:
            if self._model is None and self._given is not None:
                self._model = built(self._given)
            return self._model

    @property
    def can_extract(self) -> bool:
        """Whether there is something that finds facts in texts."""
        return self._extractor is not None or self._given is not None

    @property
    def extractor(self) -> Extractor:
        """What finds facts in texts; its model is built when it is first asked.

        Raises:
            ConfigurationError: There is neither a model nor an extractor.
        """
        if self._extractor is None:
            if self._given is None:
                raise ConfigurationError(
                    "this memory has no model to find facts in a text; give one, as in MemLLMMemory(…, "
                    "model='openai:gpt-5-mini') or model='local', or an extractor=…; triples need none: "
                    "write([('Ada', 'lives in', 'Oslo')])"
                )
            self._extractor = LateExtractor(self._extractor_of_model)
        return self._extractor

    def _extractor_of_model(self) -> Extractor:
        from langchain_memllm.extraction import extractor_for

        return extractor_for(self.model, lambda: self.memory.catalogue)

    # -- recollections of runs under way -----------------------------------------------------------------------------

    def keep(self, run: Hashable, block: str) -> None:
        """Keep the facts recalled for a run, so that they are recalled once; the last 256 are kept."""
        with self._lock:
            self._kept[run] = block
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def kept(self, run: Hashable) -> str | None:
        """The facts recalled for a run, if they still hold."""
        with self._lock:
            return self._kept.get(run)

    def drop(self, run: Hashable = None) -> None:
        """Drop what was recalled for a run; for all runs if the memory was changed."""
        with self._lock:
            if run is None:
                self._kept.clear()
            self._kept.pop(run, None)

    # -- a text into the memory: two shells around the same steps ----------------------------------------------------

    def remember(
        self,
        text: str,
        *,
        namespace: Namespace,
        source: Source | None = None,
        op_id: str | None = None,
        context: Sequence[str] = (),
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Receipt:
        """Find the facts of a text and write them, as one operation.

        Args:
            text: At most 65,536 characters; a long text is read in parts.
            namespace: Whose memory.
            source: Where the text comes from; by default an unnamed user.
            op_id: Name of the operation; if it was delivered before, its receipt is the answer and no model is called.
            context: What stood before the text, oldest first; it tells what words refer to and states nothing.
            replace: The text is the new version of its source: what only the former one said becomes past.
            progress: Told after each part.

        Raises:
            ConfigurationError: The text is empty or too long, or there is no model.
            ModelError: The model cannot be reached or used.
            OperationConflict: The ``op_id`` was used with another text.
            StoreError: Nothing was written.
        """
        task = self._prepare(text, namespace, source, op_id, context, replace)
        if isinstance(task, Receipt):
            return task
        for part in task.parts:
            task.add(part, task.extractor.extract(part.text, context=part.context, source=source), progress)
        return self._finish(task)

    async def aremember(
        self,
        text: str,
        *,
        namespace: Namespace,
        source: Source | None = None,
        op_id: str | None = None,
        context: Sequence[str] = (),
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Receipt:
        """Async twin of ``remember``: the model is awaited, the store works in a thread."""
        task = await asyncio.to_thread(self._prepare, text, namespace, source, op_id, context, replace)
        if isinstance(task, Receipt):
            return task
        for part in task.parts:
            task.add(part, await task.extractor.aextract(part.text, context=part.context, source=source), progress)
        return await asyncio.to_thread(self._finish, task)

    def _prepare(
        self,
        text: str,
        namespace: Namespace,
        source: Source | None,
        op_id: str | None,
        context: Sequence[str],
        replace: bool,
    ) -> Receipt | _Task:
        """The receipt of an operation done before, or what there is to do."""
        _check_text(text)
        if op_id is not None:
            done = self.memory.receipt(op_id, namespace=namespace, payload=text, source=source, replace=replace)
            if done is not None:
                return done
        extractor = self.extractor.made if isinstance(self.extractor, LateExtractor) else self.extractor
        parts = _parts(text, context, extractor)
        return _Task(extractor, tuple(parts), text, namespace, source, op_id, replace)

    def _finish(self, task: _Task) -> Receipt:
        receipt = self.memory.write(
            task.statements,
            namespace=task.namespace,
            source=task.source,
            op_id=task.op_id,
            payload=task.text,
            replace=task.replace,
            quarantine=task.quarantine,
        )
        self.drop()
        return receipt


class LateExtractor(Shared):
    """An extractor that is made when it is first asked.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Extractor]) -> None:
        """Keep how to make it."""
        self._make, self._lock = make, threading.Lock()
        self._made: Extractor | None = None

    @property
    def made(self) -> Extractor:
        """The extractor itself."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def extract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """See ``Extractor.extract``."""
        return self.made.extract(text, context=context, source=source)

    async def aextract(self, text: str, *, context: Sequence[str] = (), source: Source | None = None) -> Extraction:
        """Async twin of ``extract``."""
        made = await asyncio.to_thread(lambda: self.made)
        return await made.aextract(text, context=context, source=source)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one call of the extractor reads."""

    text: str
    start: int
    context: tuple[str, ...]
    read: int
    sentences: int


@dataclass(slots=True)
class _Task:
    """A text on its way into the memory."""

    extractor: Extractor
    parts: tuple[_Part, ...]
    text: str
    namespace: Namespace
    source: Source | None
    op_id: str | None
    replace: bool
    statements: list[Statement] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)

    def add(self, part: _Part, extraction: Extraction, progress: Progress | None) -> None:
        """What was found in a part, its places counted from the start of the text."""
        for each in extraction.statements:
            span = (each.span[0] + part.start, each.span[1] + part.start) if each.span else None
            self.statements.append(replace(each, span=span))
        self.quarantine += extraction.quarantine
        if progress is not None:
            progress(part.read, part.sentences)


def _parts(text: str, context: Sequence[str], extractor: Extractor) -> Iterator[_Part]:
    """A text in parts of whole sentences, each with what stands before it."""
    from langchain_memllm.extraction import LocalExtractor, sentences_of

    size = _LOCAL_PART if isinstance(extractor, LocalExtractor) else _CHAT_PART
    sentences = sentences_of(text, getattr(extractor, "language", "en"))
    first = 0
    for at, sentence in enumerate(sentences, start=1):
        start = sentences[first].start
        if at == len(sentences) or sentences[at].end - start > size:
            before = [*context, *(each.text for each in sentences[max(0, first - _CONTEXT) : first])]
            yield _Part(text[start : sentence.end], start, tuple(before[-_CONTEXT:]), at, len(sentences))
            first = at


def _check_text(text: object) -> None:
    from langchain_memllm.extraction import MAX_TEXT

    if not isinstance(text, str):
        raise ConfigurationError(f"{type(text).__name__} is no text to remember; convert it with str() first")
    if not text.strip():
        raise ConfigurationError(f"the text {text[:20]!r} is empty; give it a sentence, or leave the call out")
    if len(text) > MAX_TEXT:
        raise ConfigurationError(f"a text of {len(text)} characters; at most {MAX_TEXT} fit, split it into documents")


def _check_model(model: Any) -> Any:
    named = isinstance(model, str) and bool(model.strip())
    if model is None or named or (not isinstance(model, str | type) and _is_model(model)):
        return model
    raise ConfigurationError(
        f"model={model!r} is no model; give 'provider:model' such as 'openai:gpt-5-mini', a BaseChatModel, a "
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
    if model == LOCAL:
        from langchain_memllm.local import MemLLMModel

        return MemLLMModel.smollm2(adapters=True)
    if _is_local(model):
        return model
    from langchain_memllm.models import chat_model

    return chat_model(model)
