"""What people say about themselves, made up: statements in many forms, among talk that states nothing.

What is taught is what is stored: the person who speaks is ``user``; somebody of theirs is called by the name, if it was
said ("My sister Nora lives in Lyon": user, sister, Nora and Nora, lives in, Lyon), else as they call them ("my sister",
lives in, Lyon), so that a later question about "my sister" finds it. Objects have no article. What is asked, denied,
wished, or over states nothing. Forms are in ``everyday.json``; the last one of each list is held out, as in ``world``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from langchain_memllm.speaker import SPEAKER
from langchain_memllm.training.examples import WriteDocument
from langchain_memllm.training.names import Names
from langchain_memllm.training.world import forms
from langchain_memllm.triples import Triple

__all__ = ["Everyday"]

_CHOICE: Final = re.compile(r"\[([^\[\]]*)\]")
_SLOT: Final = re.compile(r"\{([a-z ]+2?)\}")
_ARTICLE: Final = re.compile(r"\[a\|an\] ")
_LEADING: Final = re.compile(r"^(?:an?|the|my) ")
_I: Final = re.compile(r"I\b")
_FEW: Final = 4  # lists of fewer forms are not held out of
_INVENTED: Final = {"given": "person", "town": "town", "country": "country", "company": "company", "school": "school"}
_OF_PETS: Final = ("likes", "dislikes", "afraid of", "birthday")
_forms: Final = partial(forms, "everyday")


@dataclass(frozen=True, slots=True)
class _Somebody:
    """Who a sentence is about: how facts name them, the words for them, and what those words state by themselves."""

    name: str
    words: str
    whose: str
    pronoun: str
    stated: tuple[Triple, ...] = ()


Said = tuple[str, tuple[Triple, ...]]


class Everyday:
    """Conversations of people about themselves, made up as they are asked for.

    Args:
        seed: The same one gives the same conversations.
        held_out: Use only the forms that are never trained on.
    """

    def __init__(self, seed: int = 0, *, held_out: bool = False) -> None:
        """Nothing made up yet."""
        self._draw = random.Random(f"everyday {seed}")  # noqa: S311 - reproducible, not secret
        self._names = Names(self._draw)
        self._held_out = held_out
        self._count = 0

    def conversation(self) -> WriteDocument:
        """What somebody says in one to five sentences."""
        self._count += 1
        said: list[Said] = []
        wanted = self._draw.randint(1, 4)
        while len(said) < wanted:
            chance = self._draw.random()
            if chance < 0.36:
                said.append((self._filled(self._form(_forms()["empty"])), ()))
            elif chance < 0.70:
                said.append(self._about_me())
            elif chance < 0.80:
                said.append(self._named())
            else:
                said += self._about_somebody()
            if said[-1][1] and self._draw.random() < 0.12:
                said.append((self._draw.choice(_forms()["questions"]), ()))
        return WriteDocument(f"everyday {self._count}", tuple(s for s, _ in said), tuple(t for _, t in said))

    # --- sentences ----------------------------------------------------------------------------------------------------

    def _about_me(self) -> Said:
        text, facts = self._mine()
        if self._draw.random() < 0.2:
            more, others = self._mine()
            if not set(facts) & set(others) and text.endswith(".") and (_I.match(more) or more.startswith("My ")):
                joint = self._draw.choice((" and ", ", and ", ", but ", " and also "))
                text, facts = text[:-1] + joint + _small(more), (*facts, *others)
        return self._dressed(text), facts

    def _mine(self) -> Said:
        """One of the speaker's own facts, or the two of "I speak Dutch and Greek"."""
        relation, form = self._fact("me")
        return self._stated(relation, form, self._form(form["me"]), None)

    def _named(self) -> Said:
        """Who somebody of the speaker's is."""
        chance = self._draw.random()
        if chance < 0.15:
            several = self._draw.choice(_forms()["several"])
            text, names = self._objects(self._form(several["says"]), "given")
            return self._dressed(text), tuple(Triple(SPEAKER, several["relation"], name) for name in names)
        word = "wife" if chance < 0.25 else self._draw.choice(list(_forms()["kin"]))
        forms = _forms()["married"] if chance < 0.25 else _forms()["naming"]
        text, (name,) = self._objects(self._form(forms).replace("{k}", self._kin(word)), "given")
        return self._dressed(text), (Triple(SPEAKER, _forms()["kin"][word]["relation"], name),)

    def _about_somebody(self) -> list[Said]:
        """A fact about somebody of the speaker's, often after who that is or with another one after it."""
        said: list[Said] = []
        pet = self._draw.random() < 0.12
        somebody = self._pet() if pet else self._somebody()
        relation, form = self._fact("pet" if pet else "they")
        forms = form.get("pet") or form["they"]
        text, facts = self._stated(relation, form, self._form(forms), somebody)
        said.append((self._dressed(text), facts))
        while self._draw.random() < 0.4:
            relation, form = self._fact("pet" if pet else "they")
            forms = [each for each in form.get("pet") or form["they"] if "{s}'" not in each and each.startswith("{s}")]
            if forms:
                again = _Somebody(somebody.name, somebody.pronoun, "", somebody.pronoun)
                said.append(self._stated(relation, form, self._form(forms), again))
        return said

    def _fact(self, part: str) -> tuple[str, dict[str, Any]]:
        """A relation and its forms, of those that can be said so."""
        known = _forms()["says"]
        if part == "pet":
            some = [key for key, form in known.items() if form.get("pet") or key in _OF_PETS]
        else:
            some = [key for key, form in known.items() if form[part]]
        key = self._draw.choice(some)
        return key.partition("#")[0], known[key]

    def _stated(self, relation: str, form: dict[str, Any], template: str, about: _Somebody | None) -> Said:
        text, objects = self._objects(template, form["kind"])
        facts = [Triple(about.name if about else SPEAKER, relation, object_) for object_ in objects]
        if about:
            text = text.replace("{s}'s", about.whose).replace("{s}", about.words).replace("{p}", about.pronoun)
            facts = [*about.stated, *facts]
        return _capital(text), tuple(dict.fromkeys(facts))

    # --- who is meant -------------------------------------------------------------------------------------------------

    def _somebody(self) -> _Somebody:
        word = self._draw.choice(list(_forms()["kin"]))
        kin, called = _forms()["kin"][word], f"my {self._kin(word)}"
        pronoun = {"f": "she", "m": "he"}.get(kin["gender"]) or self._draw.choice(("he", "she"))
        return self._called(called, kin["relation"], "given", pronoun)

    def _pet(self) -> _Somebody:
        called = f"my {self._draw.choice(_forms()['words']['animal'])}"
        return self._called(called, "pet", "petname", self._draw.choice(("it", "he", "she")))

    def _called(self, called: str, relation: str, kind: str, pronoun: str) -> _Somebody:
        if self._draw.random() < 0.55:
            return _Somebody(called, called, f"{called}'s", pronoun)
        name = self._value(kind)
        words = self._draw.choice((f"{called} {name}", f"{called} {name}", f"{called}, {name},", f"{name}, {called},"))
        return _Somebody(name, words, f"{called} {name}'s", pronoun, (Triple(SPEAKER, relation, name),))

    def _kin(self, word: str) -> str:
        if self._draw.random() < 0.15 and word in ("sister", "brother", "cousin", "son", "daughter"):
            return f"{self._draw.choice(('older', 'younger', 'little', 'big', 'twin'))} {word}"
        return word

    # --- words --------------------------------------------------------------------------------------------------------

    def _form(self, forms: Sequence[str]) -> str:
        held_out = len(forms) >= _FEW
        return str(forms[-1] if held_out and self._held_out else self._draw.choice(forms[:-1] if held_out else forms))

    def _objects(self, template: str, kind: str) -> tuple[str, list[str]]:
        """The form with its objects in place, and these without their articles."""
        values: dict[str, str] = {}
        for slot in ("o", "o2"):
            if f"{{{slot}}}" in template:
                values[slot] = self._value(kind)
                while slot == "o2" and values["o2"] == values["o"]:
                    values["o2"] = self._value(kind)
        return self._filled(template, values), [_LEADING.sub("", value) for value in values.values()]

    def _filled(self, template: str, values: dict[str, str] | None = None) -> str:
        """The form with its choices made, its slots filled and its indefinite articles agreeing."""
        text = _ARTICLE.sub("\x00", template)
        while "[" in text:
            text = _CHOICE.sub(lambda some: self._draw.choice(some[1].split("|")), text)

        def fill(slot: re.Match[str]) -> str:
            name = slot[1]
            if values and name in values:
                return values[name]
            if name in ("s", "p"):
                return slot[0]
            return self._kin(self._draw.choice(list(_forms()["kin"]))) if name == "k" else self._value(name.strip("2"))

        text = " ".join(_SLOT.sub(fill, text).split())
        return _capital(re.sub("\x00(.)", lambda after: ("an " if after[1] in "aeioAEIO8" else "a ") + after[1], text))

    def _value(self, kind: str) -> str:
        draw = self._draw
        months = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")
        day, month = draw.randint(1, 31), draw.choice((*months, "November", "December"))
        if kind == "day":
            return draw.choice((f"{day} {month}", f"{month} {day}", f"the {day}{_th(day)} of {month}"))
        if kind == "birthdate":
            year = draw.randint(1935, 2025)
            return draw.choice(
                (
                    f"{day} {month} {year}",
                    f"{month} {day}, {year}",
                    f"{day}{_th(day)} {month} {year}",
                    f"{day}/5/{year}",
                )
            )
        if kind == "birthyear":
            year = draw.randint(1935, 2025)
            return draw.choice((f"{year}", f"{month} {year}"))
        if kind == "phone":
            return draw.choice(("0", "+44 ", "+49 ")) + "".join(draw.choices("0123456789", k=draw.randint(6, 10)))
        if kind == "email":
            return f"{self._value('given').lower()}{draw.choice(('', '.', '_'))}{draw.randint(1, 99)}@example.com"
        if kind == "fullname":
            return f"{self._value('given')} {draw.choice(_forms()['words']['family'])}"
        if kind in _INVENTED and draw.random() < 0.5:
            name = self._names.new(_INVENTED[kind])
            return name.split()[0] if kind == "given" else name
        name = str(draw.choice(_forms()["words"][kind]))
        if kind == "given" and draw.random() < 0.15:
            name += f" {draw.choice(_forms()['words']['family'])}"
        return name

    def _dressed(self, text: str) -> str:
        """As it is said in passing: after a word or two, or with one more behind."""
        chance = self._draw.random()
        if chance < 0.15 and text.endswith("."):
            return f"{text[:-1]}{self._draw.choice(_forms()['after'])}."
        if chance < 0.35:
            return f"{self._draw.choice(_forms()['before'])}{_small(text)}"
        if chance < 0.42:
            return text.rstrip(".") + self._draw.choice(("", "!"))
        return text.lower() if chance > 0.98 else text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _small(text: str) -> str:
    """The text as it goes on in a sentence: what begins with "My" or "We" has a small letter there."""
    return text[:1].lower() + text[1:] if re.match(r"(?:My|We|Our|In|As|Since|Living|Home|One|What)\b", text) else text


def _th(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
