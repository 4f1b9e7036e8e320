"""Who "I" is: the names under which texts, models and tools mean the person who speaks. The only list of them.

Facts about that person are stored under one name, ``SPEAKER``, whatever they are called where the facts are stated.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from langchain_memllm.names import loose_key, word_key
from langchain_memllm.triples import name_key

__all__ = [
    "FIRST_PERSON",
    "NAME_RELATIONS",
    "SPEAKER",
    "SPEAKER_NAMES",
    "asks_to_forget_all",
    "is_speaker",
    "may_be_theirs",
    "may_mean_speaker",
]

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


def may_mean_speaker(name: str) -> bool:
    """Whether a reader may take a name for the person who speaks: "the current user", "ich"; in 16 languages.

    Wider than ``is_speaker``, which says whose facts they are: by this a statement is only doubted. Pronouns that are
    given names, too (Ben, Mia), count where they are written small.
    """
    keys = word_key(name).split()
    if len(keys) > 1:
        keys = _undetermined(keys)
    elif keys and (word := _plain(keys[0])) in _PRONOUNS:
        is_name = word in _GIVEN_NAMES or (len(name) > 1 and name.isupper())
        return not (is_name and name.strip()[:1].isupper())
    return len(keys) == 1 and _plain(keys[0]) in _PEOPLE


def may_be_theirs(name: str) -> bool:
    """Whether a name may be that of something of the person who speaks: "my sister", "the user's home"; no title."""
    if name.startswith(_OWNING):
        return True
    keys = word_key(name).split()
    if not 1 < len(keys) <= _MOST_WORDS:
        return False
    if _plain(keys[0]) in _POSSESSIVES:
        first, last = name.split()[0], name.split()[-1]
        return not (first[0].isupper() and last[0].isupper())
    first, *rest = _undetermined(keys)
    return bool(rest) and first.endswith("'s") and first[:-2] in _PEOPLE


def _undetermined(keys: list[str]) -> list[str]:
    """The words of a name without the articles and the like before it."""
    at = next((at for at, key in enumerate(keys) if _plain(key) not in _DETERMINERS), 0)
    return keys[at:]


def _plain(key: str) -> str:
    return loose_key(key) or key


def _words(text: str) -> frozenset[str]:
    return frozenset(_plain(word) for word in text.split())


_MOST_WORDS: Final = 4
_POSSESSIVES: Final = _words(
    """my our your mein meine meinen meinem meiner meines unser unsere mon ma mes notre nos mi mis nuestro nuestra mio
    mia miei mie nostro nostra meu minha meus minhas nosso nossa mijn onze min mitt mina vår vårt våra mit mine vores
    mój moja moje mojego mojej nasz nasza benim bizim мой моя моё мои моего моей наш наша наше 나의 내 저의 제 우리의"""
)
_PRONOUNS: Final = _POSSESSIVES | _words(
    """i me mine myself we us ours ourselves you yours yourself ich mir mich wir uns je j'ai moi nous yo mí nosotros
    nosotras io me noi eu mim nós ik mij wij ons jag mig jeg meg ja mnie ben beni bana biz я меня мне мы нас
    나 나는 난 내가 저 저는 제가 우리 우리는 我 我们 我們 咱 咱们 俺 本人 私 わたし わたくし 僕 ぼく おれ 自分 私たち"""
)
_GIVEN_NAMES: Final = _words("ben mia mina io")  # and a moon of Jupiter
_DETERMINERS: Final = _words(
    """the this that a current present actual same real main end logged-in der die dem den des dieser diese le la les
    ce cet cette el los las este esta il lo gli questo questa o os as de deze den det denne bu этот эта"""
)
_PEOPLE: Final = _words(
    """user speaker human enduser benutzer benutzers benutzerin nutzer nutzers nutzerin anwender anwenderin sprecher
    sprecherin utilisateur utilisatrice l'utilisateur l'utilisatrice l'usager usuario usuaria usuário usuária
    utilizador utilizadora utente l'utente gebruiker användare användaren bruker brukeren bruger brugeren użytkownik
    użytkownika użytkowniczka kullanıcı kullanıcının пользователь пользователя пользователю пользовательница
    사용자 유저 ユーザー ユーザ 利用者 用户 用戶 使用者 该用户 該用戶 这个用户 這個用戶 此用户"""
)
_OWNING: Final = (
    "私の",
    "わたしの",
    "僕の",
    "ぼくの",
    "俺の",
    "自分の",
    "ユーザーの",
    "我的",
    "我家",
    "我们的",
    "我們的",
    "用户的",
    "用戶的",
)


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
