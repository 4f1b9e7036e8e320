"""The demonstration: a text is read, questions are asked, a fact is corrected and forgotten, and the model follows.

Nothing of that is scripted. What the model writes and answers is its own; what is checked is that the names pasted into
its answer are those that the store holds at that moment. Without a key the model is SmolLM2-135M with the shipped
adapters; one without adapters is shown examples in the paper's format.

Last come two conversations a week apart: what was said in the first is asked for in the second, in plain words and in
German. There the facts are given, as no model of this size writes them of everyday talk; how they are found is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import BaseMessage, HumanMessage
from rich.console import Console
from rich.markup import escape

from langchain_memllm.extraction import sentences_of
from langchain_memllm.extras import MULTILINGUAL, is_installed
from langchain_memllm.grammar import START, render_read
from langchain_memllm.graph import build_graph
from langchain_memllm.hub import Hub
from langchain_memllm.memory import EXACT, Memory
from langchain_memllm.models import ChatModel
from langchain_memllm.reading import Reading, Rules
from langchain_memllm.recalled import recall
from langchain_memllm.scope import Scope
from langchain_memllm.stores.episodes import Turn
from langchain_memllm.triples import Fact, Namespace, Query, Receipt, Source, Statement

if TYPE_CHECKING:
    from langchain_memllm.local import MemLLMModel

__all__ = ["Demo", "Question", "shipped_questions", "shipped_text"]

NAMESPACE: Final[Namespace] = ("memllm", "demo")
_READER: Final = Source("user", "memllm demo", "you")
_MAX_QUESTIONS: Final = 5
_MONDAY: Final = "2026-03-02T09:00:00+00:00"
_SAID: Final[dict[str, list[tuple[str, str, str]]]] = {
    "My sister Clara is a dentist, she lives in Lyon now.": [
        ("user", "sister", "Clara"),
        ("Clara", "works as", "dentist"),
        ("Clara", "lives in", "Lyon"),
    ],
    "No satay for me, I am allergic to peanuts.": [("user", "allergic to", "peanuts")],
    "The ticket code of the ferry is XK-4711.": [],
}
_ASKED_LATER: Final = {
    "Which city does my sister live in?": "Lyon",
    "Any alergies I should mention?": "peanuts",
    "What was the ticket code of the ferry?": "XK-4711",
}
_ASKED_IN_GERMAN: Final = {"Wie heißt meine Schwester?": "Clara"}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the memory, and the answer that the text gives."""

    subject: str
    relation: str
    expected: str

    @property
    def prompt(self) -> str:
        """The beginning of a sentence whose end is the answer."""
        return f"The {self.relation} of {self.subject} is"

    @property
    def words(self) -> str:
        """The question as one asks a person."""
        return f"What is the {self.relation} of {self.subject}?"


@dataclass(slots=True)
class Answer:
    """What came of a question: the queries and pasted names, the answer, and whether the names are the store's."""

    queries: list[str] = field(default_factory=list)
    pasted: tuple[str, ...] = ()
    text: str = ""
    annotated: str = ""
    faithful: bool = True


def shipped_text() -> str:
    """Three short articles of Wikipedia; see ``data/demo/NOTICE``."""
    return (resources.files("langchain_memllm") / "data" / "demo" / "people.txt").read_text(encoding="utf-8")


def shipped_questions() -> list[Question]:
    """Questions that the shipped text answers."""
    return [
        Question("Per Kleiva", "place of birth", "Torsken"),
        Question("Per Kleiva", "spouse", "Ida Drage"),
        Question("Ladislav Smoljak", "date of birth", "9 December 1931"),
        Question("Robert A. Stemmle", "place of birth", "Magdeburg"),
        Question("Robert A. Stemmle", "place of death", "Baden-Baden"),
    ]


class Demo:
    """One demonstration on one memory.

    Args:
        memory: Where the facts go; the demo's own namespace in it is emptied first.
        model: A ``MemLLMModel``, or a chat model or its name.
        console: Where to print.
    """

    def __init__(self, memory: Memory, model: MemLLMModel | ChatModel, console: Console) -> None:
        """Keep the pieces."""
        self.memory, self.model, self.console = memory, model, console
        self.is_local = hasattr(model, "write_calls")
        self.checks: list[bool] = []
        self.relations: tuple[str, ...] = ()  # what a query of the local model may name

    def run(self, text: str, questions: Sequence[Question] | None, ref: str) -> bool:
        """Read, ask, correct, ask, forget, ask. Returns whether every pasted name was the store's at that moment."""
        self.memory.forget(everything=True, namespace=NAMESPACE)
        self._read(text, ref)
        questions = list(questions or self._questions_from_memory())[:_MAX_QUESTIONS]
        if not questions:
            self.console.print("\n[yellow]Nothing was stored, so there is nothing to ask. Try another text.[/yellow]")
            return True
        stored = {fact.triple.relation for fact in self.memory.facts(namespace=NAMESPACE)}
        self.relations = tuple(sorted(stored | {question.relation for question in questions}))
        self._headline("2. Ask", "each prompt ends in '({', so the answer begins with a read")
        answers = [self._ask(question) for question in questions]
        right = sum(
            question.expected.casefold() in answer.text.casefold()
            for question, answer in zip(questions, answers, strict=True)
        )
        self.console.print(f"\n[bold]{right} of {len(questions)} answers right[/bold]")
        self._edit(self._to_edit(questions))
        kept = sum(self.checks)
        self.console.print(
            f"\n{kept} of {len(self.checks)} times the names pasted into the answer were exactly those in the store"
        )
        return self._remember_a_conversation() and all(self.checks)

    # -- reading the text ------------------------------------------------------------------------------------------

    def _read(self, text: str, ref: str) -> None:
        self._headline("1. Read", f"{ref}, sentence by sentence; what is stored is shown with its receipt")
        for block in [block for block in text.split("\n\n") if block.strip()]:
            sentences = [sentence.text for sentence in sentences_of(block)]
            for sentence, statements in self._written(sentences):
                self.console.print(f"\n{escape(sentence)}", style="italic")
                source = Source("document", ref, text=sentence)
                self._show(self.memory.write(statements, namespace=NAMESPACE, source=source))

    def _written(self, sentences: list[str]) -> list[tuple[str, list[Statement]]]:
        """Each sentence with the statements to store."""
        if not self.is_local:
            return [self._extracted(sentence, sentences[:at]) for at, sentence in enumerate(sentences)]
        from langchain_memllm.local.examples import UNTRAINED, WRITE_EXAMPLES
        from langchain_memllm.local.writer import contexts_of

        model: Any = self.model
        shown: dict[str, Any] = {} if "write" in model.adapters else {"options": UNTRAINED, "examples": WRITE_EXAMPLES}
        written = model.write_calls(sentences, contexts_of(sentences), **shown)
        return [
            (sentence, [Statement(*triple) for triple in call.triples])
            for sentence, call in zip(sentences, written, strict=True)
        ]

    def _extracted(self, sentence: str, context: Sequence[str]) -> tuple[str, list[Statement]]:
        from langchain_memllm.extraction import ChatExtractor

        extractor = ChatExtractor(self.model, relations=lambda: self.memory.catalogue)  # type: ignore[arg-type]
        found = extractor.extract(sentence, context=context, source=Source("document"))
        return sentence, list(found.statements)

    def _show(self, receipt: Receipt) -> None:
        for outcome in receipt:
            triple = escape(str(outcome.triple)) if outcome.triple else "(not a triple)"
            notes: list[str] = [outcome.status]
            notes += [f"supersedes {outcome.superseded}"] if outcome.superseded else []
            notes += [f"contests {outcome.contested}"] if outcome.contested else []
            notes += [outcome.reason] if outcome.reason else []
            self.console.print(f"  [bold]{triple}[/bold]  {escape(', '.join(notes))}")
        if not len(receipt):
            self.console.print("  (nothing to store)", style="dim")

    def _questions_from_memory(self) -> list[Question]:
        """For a text of the user's: what was stored of it, one question a slot."""
        facts: dict[tuple[str, str], Fact] = {}
        for fact in self.memory.facts(namespace=NAMESPACE, open_only=True):
            facts.setdefault((fact.triple.subject, fact.triple.relation), fact)
        return [Question(subject, relation, fact.triple.object) for (subject, relation), fact in facts.items()]

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, question: Question) -> Answer:
        answer = self._local_answer(question) if self.is_local else self._chat_answer(question)
        self.checks.append(answer.faithful)
        self.console.print(f"\n{escape(question.words)}")
        for query in answer.queries:
            self.console.print(f"  read     {escape(query)}")
        held = "as in the store" if answer.faithful else "NOT what the store holds"
        self.console.print(f"  pasted   {escape('; '.join(answer.pasted)) or '(nothing)'}  [dim]{held}[/dim]")
        self.console.print(f"  answer   {escape(answer.annotated or answer.text).strip() or '(nothing)'}")
        return answer

    def _local_answer(self, question: Question) -> Answer:
        from langchain_memllm.chat import LocalReader
        from langchain_memllm.local.examples import READ_EXAMPLES

        shown = () if "read" in self.model.adapters else READ_EXAMPLES  # type: ignore[union-attr]
        examples = "".join(
            f"The {query.relation} of {query.subject} is{render_read([query], [name])} {name}.\n"
            for query, name in shown
        )
        reader = LocalReader(
            self.model,
            rules=Rules(calls=1, text_tokens=16, stop=("\n",)),
            prompt=lambda messages: f"{examples}{messages[-1].text}{START}",
            constrained=True,
            relations=self.relations,
        )
        return self._through_machine(reader, HumanMessage(question.prompt))

    def _chat_answer(self, question: Question) -> Answer:
        return self._through_machine(self.model, HumanMessage(question.words))

    def _through_machine(self, model: Any, message: BaseMessage) -> Answer:
        """One run of the LangGraph machine: generate, read, generate."""
        graph = build_graph(model, self.memory, Scope(NAMESPACE), write="off", on_error="raise", trace=True)
        state = graph.invoke({"messages": [message]})
        reading = Reading.from_dict(state["memllm_reading"]["reading"])
        answer = Answer(text=str(state["messages"][-1].text), annotated=reading.annotated)
        for call in reading.calls:
            answer.queries += [
                f"{query.subject or '?'} >> {query.relation} >> {query.object or '?'}" for query in call.queries
            ]
            names = call.pasted if any(call.results) else ()  # a chat model is told "nothing stored" in words
            answer.pasted += names
            answer.faithful &= self._is_held(call.queries, names)
        return answer

    def _is_held(self, queries: Sequence[Query], pasted: Sequence[str]) -> bool:
        """Whether the pasted names are the store's answers, asked for anew and beside the machine."""
        held = [name for result in self.memory.read_many(queries, namespace=NAMESPACE) for name in result.answers]
        return tuple(dict.fromkeys(held)) == tuple(pasted)

    # -- correcting and forgetting -----------------------------------------------------------------------------------

    def _to_edit(self, questions: Sequence[Question]) -> Question:
        """A question whose fact is stored, if there is one: only that can be corrected; rather a name than a date."""
        stored = [
            q for q in questions if self.memory.read(q.subject, q.relation, namespace=NAMESPACE, thresholds=EXACT)
        ]
        resolve = self.memory.catalogue.resolve
        return min(stored or questions, key=lambda question: resolve(question.relation).range == "literal")

    def _edit(self, question: Question) -> None:
        slot = (question.subject, question.relation)
        self._headline("3. Correct", f"you say: the {question.relation} of {question.subject} is Atlantis")
        self._show(self.memory.write([(*slot, "Atlantis")], namespace=NAMESPACE, source=_READER))
        self._ask(Question(*slot, "Atlantis"))
        self._headline("4. Forget", f"everything about the {question.relation} of {question.subject}")
        erased = self.memory.forget(subject=slot[0], relation=slot[1], namespace=NAMESPACE)
        self.console.print(f"  {erased.facts} facts and {erased.names} names erased")
        answer = self._ask(question)
        self.checks.append("Atlantis" not in answer.pasted and not self.memory.history(*slot, namespace=NAMESPACE))

    # -- two conversations -------------------------------------------------------------------------------------------

    def _remember_a_conversation(self) -> bool:
        """Whether what was said in one conversation is found in the next, in a memory of its own.

        It reads German where the multilingual table is installed; elsewhere that question is left out, and said so.
        """
        self._headline("5. Two conversations", "a Monday's, with the facts given, and what it is asked a week later")
        reads_german = is_installed(MULTILINGUAL)
        asked = _ASKED_LATER | (_ASKED_IN_GERMAN if reads_german else {})
        with Memory(":memory:", embedder="multilingual" if reads_german else "english") as memory:
            hub = Hub(memory)
            for said, triples in _SAID.items():
                turn = Turn(Turn.named("monday", said), "monday", said, _MONDAY, ref=f"monday/{said}")
                hub.keep([turn], namespace=NAMESPACE)
                memory.write(triples, namespace=NAMESPACE, source=Source("user", turn.ref, text=said, at=_MONDAY))
                self.console.print(f"\n{escape(said)}", style="italic")
            found = [self._asked_later(memory, hub, *each) for each in asked.items()]
        if not reads_german:
            self.console.print("\nA question in German needs the extra \\[multilingual]; it was left out.", style="dim")
        self.console.print(f"\n[bold]{sum(found)} of {len(found)} questions found what was said[/bold]")
        return all(found)

    def _asked_later(self, memory: Memory, hub: Hub, question: str, answer: str) -> bool:
        found = recall(memory, hub, question, [NAMESPACE], show="auto", k=3)
        self.console.print(f"\n{escape(question)}")
        for match in found:
            self.console.print(f"  fact     {escape(str(match.triple))}  [dim]{escape(match.why)}[/dim]")
        for quote in found.quotes:
            self.console.print(f"  said     {escape(quote.text)}  [dim]{quote.said_at[:10]}, by {quote.why}[/dim]")
        return answer in found.block

    def _headline(self, title: str, what: str) -> None:
        self.console.print(f"\n[bold cyan]{title}[/bold cyan]  [dim]{escape(what)}[/dim]")
