"""Single sentences and edits of published sets: FewRel, CounterFact, and the training parts of KnowEdit.

CounterFact and KnowEdit change one fact each: a prompt, its new end, and the same asked otherwise. They name the
subject and no relation; the relation is found by the words of the prompt, and prompts that leave it open are left out.
The edits that the evaluation uses, and every other edit of their subjects, are never handed out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from langchain_memllm.errors import ConfigurationError, InvalidTriple
from langchain_memllm.relations import Catalogue
from langchain_memllm.training.documents import Document, Label, Mention, load_json
from langchain_memllm.training.examples import ReadDocument, WriteDocument
from langchain_memllm.training.spacing import natural
from langchain_memllm.triples import Query, Triple

__all__ = ["EVALUATED", "Edited", "counterfact", "fewrel", "knowedit", "property_labels", "relation_of"]

EVALUATED: Final = 1_000
"""The first edits of the CounterFact file, which the evaluation uses."""

_RELATIONS: Final[tuple[tuple[str, str], ...]] = (
    (r"twin city", "sister city"),
    (r"mother tongue|native language|native speaker|\{\}, a native$", "native language"),
    (r"official language|the law in|language spoken is|they understand", "official language"),
    (r"original language|^the language of|was written in", "original language of work"),
    (r"speaks|spoke the|speaker of|writes in|language used by", "languages spoken, written or signed"),
    (r"continent", "continent"),
    (r"citizen", "country of citizenship"),
    (r"headquarter|is based in", "headquarters location"),
    (r"holds? the position of|position held", "position held"),
    (r"position does|plays as$|the position", "position played on team"),
    (r"what sport|plays the sport", "sport"),
    (r"sports team|member of is$", "member of sports team"),
    (r"league", "league"),
    (r"performs on|playing the|the instrument|performing on|what does \{\} play|plays the$", "plays instrument"),
    (r"genre|known for performing", "genre"),
    (r"debut|premiere|originally aired", "original network"),
    (r"product of|produced by", "manufacturer"),
    (r"created by|developed by", "developer"),
    (r"works? for$|employed by|employer", "employer"),
    (r"worked in|work in|took up work|found employment|employed in", "work location"),
    (r"field of|domain of|expertise|area of|specializes", "field of work"),
    (r"occupation|profession|works as", "occupation"),
    (r"created in|originate|formed in|founded in|started in|formulated in", "country of origin"),
    (r"died|life ended|passed away|expired|lost their life|succumbed|place of death", "place of death"),
    (r"was born in|originally from|native to|place of birth", "place of birth"),
    (r"date of birth", "date of birth"),
    (r"religion|follower of", "religion"),
    (r"owne[rd]", "owned by"),
    (r"gender", "sex or gender"),
    (r"followed by", "followed by"),
    (r"follows$", "follows"),
    (r"author", "author"),
    (r"father", "father"),
    (r"mother", "mother"),
    (r"child ", "child"),
    (r"spouse", "spouse"),
    (r"title of|position is", "position held"),
    (r"award", "award received"),
    (r"is the capital of", "capital of"),
    (r"capital city", "capital"),
    (r"cast member", "cast member"),
    (r"alma mater", "educated at"),
    (r"composer", "composer"),
    (r"director", "director"),
    (r"ethnic group", "ethnic group"),
    (r"the country (of|which)", "country"),
    (r"located in|can be found|the location of|where is|is within|^\{\},? (is )?in$", "location"),
)
"""Words of a prompt, its subject as ``{}``, and the relation it asks for; the first that is found counts."""

_FEWREL: Final[Mapping[str, str]] = {
    "P177": "crosses",
    "P2094": "competition class",
    "P641": "sport",
    "P59": "constellation",
    "P413": "position played on team",
    "P412": "voice type",
    "P410": "military rank",
    "P921": "main subject",
}
"""Names of FewRel's relations that the catalogue does not have."""

Edited = tuple[WriteDocument, ReadDocument]
"""An edit as a writer is told it, and as a reader is asked for it."""


def relation_of(prompt: str, subject: str) -> str | None:
    """The relation a prompt asks for; None if its words leave that open."""
    form = prompt.replace(subject, "{}").lower()
    return next((relation for words, relation in _RELATIONS if re.search(words, form)), None)


def counterfact(file: Path) -> list[Edited]:
    """The edits of a CounterFact file but those that are evaluated.

    Raises:
        ConfigurationError: The file is not in the one-line form of RECIPE.
    """
    records = _records(file)
    barred = {record["subject"] for record in records[:EVALUATED]}
    return [
        edited
        for number, record in enumerate(records[EVALUATED:], EVALUATED)
        if record["subject"] not in barred
        for edited in _edited(f"counterfact {number}", record, [record["rephrase_prompt"], record["prompt"]])
    ]


def knowedit(file: Path) -> list[Edited]:
    """The edits of a training part of KnowEdit.

    Raises:
        ConfigurationError: The file is not in that form, or is the zsRE part, which is evaluated.
    """
    records = _records(file)
    if any("cond" in record for record in records):
        raise ConfigurationError(f"{file.name} is the zsRE part, which the evaluation uses; it cannot be trained on")
    return [
        edited
        for number, record in enumerate(records)
        for edited in _edited(f"{file.name} {number}", record, [record["prompt"]])
    ]


def _records(file: Path) -> Sequence[Mapping[str, Any]]:
    records = load_json(file)
    if not isinstance(records, list) or not all(
        {"subject", "prompt", "target_new"} <= record.keys() for record in records
    ):
        raise ConfigurationError(f"{file} is not a list of edits; each needs subject, prompt and target_new")
    return records


def _edited(source: str, record: Mapping[str, Any], prompts: Sequence[str]) -> Iterator[Edited]:
    """The edit as a sentence for the writer, and the first of ``prompts`` that names the subject for the reader."""
    subject, prompt, target = record["subject"], record["prompt"], record["target_new"]
    relation = relation_of(prompt, subject)
    asked = next((other for other in prompts if subject in other), None)
    if relation is None or asked is None or not isinstance(target, str):
        return
    try:
        fact, query = Triple(subject, relation, target), Query(subject, relation)
    except InvalidTriple:
        return
    told = f'{prompt} "{target}".' if "?" in prompt else f"{prompt} {target}."
    yield (
        WriteDocument(source, (told,), ((fact,),)),
        ReadDocument(source, (asked.rstrip(), f" {target}."), (((query,), (fact.object,)),)),
    )


def fewrel(file: Path, each: int, catalogue: Catalogue | None = None) -> list[Document]:
    """The first ``each`` sentences of every relation as documents of one sentence with one label.

    Other true relations of a sentence are not marked, so many of them would teach a writer to leave facts out.

    Raises:
        ConfigurationError: The file is not in FewRel's format.
    """
    names = {relation.wikidata: relation.label for relation in catalogue or Catalogue.docred()} | dict(_FEWREL)
    try:
        return [
            _sentence(f"fewrel {key} {number}", names.get(key, key), record)
            for key, records in load_json(file).items()
            for number, record in enumerate(records[:each])
        ]
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(f"{file} is not in FewRel's format ({type(error).__name__}: {error})") from error


_UNTOLD: Final = re.compile(r"\b(ID|identifier|code|image|URL|number|category|template|map|[A-Z]{3,})\b|[^\w' -]")


def property_labels(file: Path) -> tuple[str, ...]:
    """The labels of Wikidata's properties that a sentence could name: no identifiers, links or codes.

    Raises:
        ConfigurationError: The file is not a JSON object of labels.
    """
    labels = load_json(file)
    if not isinstance(labels, dict) or not all(isinstance(label, str) for label in labels.values()):
        raise ConfigurationError(f"{file} is not an object of property ids and labels; give Wikidata's, id to label")
    return tuple(sorted({label for label in labels.values() if not _UNTOLD.search(label) and len(label.split()) < 6}))


def _sentence(title: str, relation: str, record: Mapping[str, Any]) -> Document:
    spaced = natural(record["tokens"])
    mentions = []
    for entity, part in enumerate(("h", "t")):
        places = record[part][2][0]
        start, end = spaced.spans[places[0]][0], spaced.spans[places[-1]][1]
        mentions.append(Mention(0, start, end, entity, spaced.text[start:end]))
    return Document(title, (spaced.text,), tuple(sorted(mentions)), ("MISC", "MISC"), (Label(0, relation, 1, (0,)),))
