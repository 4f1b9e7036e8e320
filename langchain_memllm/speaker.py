"""Who "I" is: the names under which texts, models and tools mean the person who speaks. The only list of them.

Facts about that person are stored under one name, ``SPEAKER``, whatever they are called where the facts are stated.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from langchain_memllm.triples import name_key

__all__ = ["FIRST_PERSON", "NAME_RELATIONS", "SPEAKER", "SPEAKER_NAMES", "asks_to_forget_all", "is_speaker"]

SPEAKER: Final = "user"
"""Name under which facts about the person who says "I" are stored."""

FIRST_PERSON: Final = frozenset({"i", "me", "my", "mine", "myself", "i'm", "i've", "i'd", "i'll"})
"""Words, as keys, that say "I" in a text."""

SPEAKER_NAMES: Final = frozenset({"i", "me", "my", "mine", "myself", "user", "the user", "speaker", "the speaker"})
"""Names, as keys, that a model or a tool call gives to the person who speaks."""

NAME_RELATIONS: Final = ("full name", "preferred name")
"""Relations whose object is what their subject is called, and few others are."""


def is_speaker(name: str, own_names: Collection[str] = ()) -> bool:
    """Whether a name means the person who speaks.

    Args:
        name: A name, as it was written.
        own_names: What the person is called, once they have stated it.
    """
    key = name_key(" ".join(name.split()))
    return key in SPEAKER_NAMES or any(key == name_key(each) for each in own_names)


def asks_to_forget_all(text: str) -> bool:
    """Whether a person's words ask to forget everything: a word of forgetting and one of everything, in any order.

    It guards what a model may take away, so a language that is not here means that the application has to do it.
    """
    words = set(re.findall(r"\w+", name_key(text)))
    return bool(words & _FORGET and words & _ALL)


_FORGET: Final = frozenset(
    re.findall(
        r"\w+",
        """forget erase delete remove wipe
        vergiss vergessen lösche löschen entferne oublie oubliez oublier efface effacez effacer supprime supprimez
        supprimer olvida olvide olvidar borra borre borrar elimina elimine eliminar dimentica dimenticare cancella
        cancellare esquece esqueça esquecer apaga apague apagar vergeet vergeten verwijder verwijderen wis glem glemme
        slett slette glöm glömma radera zapomnij zapomnieć usuń usunąć unut sil забудь забыть удали удалить""",
    )
)
_ALL: Final = frozenset(
    re.findall(
        r"\w+",
        """everything all anything alles alle tout toute toutes tous todo toda todos todas tutto tutti tudo alt allt
        allting wszystko hepsini şeyi всё все""",
    )
)
