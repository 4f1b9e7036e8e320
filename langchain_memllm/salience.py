"""Whether a message may state something: a cheap rule that spares the extraction model what states nothing.

That is acknowledgements, short questions, orders and code. It errs on the side of extraction: a sentence that is none
of these, in whatever language, is read. Measured by ``benchmarks/bench_salience.py``. Pure; knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["always", "is_small_talk", "may_state", "sentences", "without_code"]

_CODE: Final = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_SENTENCE: Final = re.compile(r"[^.!?…。！？\n]*(?:[.!?…。！？]+|\n|\Z)")
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_QUESTION: Final = re.compile(r"[?？]\s*\Z")


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\S+", text))


_ACKNOWLEDGEMENTS: Final = _words(
    """
    ok okay k kk thanks thank thx ty you very so much a lot great good cool nice wow lol haha hahaha ha hi hello
    hey bye goodbye goodnight morning evening afternoon day night see later sure got it sounds perfect awesome
    amazing excellent wonderful brilliant lovely super alright right understood gotcha please no problem welcome
    you're youre never mind nevermind nvm sorry oops hm hmm hmmm mm mhm uh huh oh ah aha i indeed exactly
    correct true agreed agree interesting fantastic fine that's thats that this is it's its makes sense go on
    ahead continue next again more done stop wait cheers for the your help all everyone there well really of
    course absolutely definitely just not bad one idea work job stuff point question answer advice info
    information tip tips yay yeah yep yup yes nope nah danke bitte gut super toll merci bien gracias vale bueno
    grazie bene obrigado obrigada tak takk fint bra ja nein nei oui si sì sim não non da nu hallo hola ciao
    bonjour hej hei salut tschüss adios
    """
)
_REPLIES: Final = _words(
    """
    yes yeah yep yup no nope nah sure correct exactly right true both neither ja nein oui si sì
    """
)
"""Words that answer a question with a statement."""

_ASKING: Final = _words(
    """
    what what's whats where where's when when's who who's whom whose why why's how how's which can could should
    would will shall do does did is isn't are aren't am was were has have had may might must any anything was
    wer wie wo wann warum welche welcher welches kannst könntest hast bist ist sind que qué quel quelle où quand
    qui pourquoi comment combien est-ce peux pourrais cómo dónde cuándo quién cuál puedes che cosa come dove
    quando chi perché puoi hva hvor når hvem hvorfor hvordan kan
    """
)
_ORDERS: Final = _words(
    """
    write explain show list summarise summarize translate fix rewrite rephrase create generate make find search
    compare convert continue describe define calculate compute draft suggest recommend give tell help refactor
    debug implement optimise optimize format sort check correct proofread edit shorten expand outline draw plot
    print run try let's lets look read review improve add remove change update add use return answer ask
    """
)
_FIRST_PERSON: Final = _words(
    """
    i i'm im i've i'd i'll my mine myself we we're we've our ours us ich mein meine mir mich wir je j'ai mon ma
    mes moi nous yo mi mis nosotros io mio mia noi eu meu minha jeg min mitt vi
    """
)
_TELLING: Final = frozenset(
    {"know", "mention", "mentioned", "remember", "remind", "told"}
)  # asked, they tell what follows
_LONG: Final = 10  # words; a longer question mostly tells what it is about


def always(text: str, context: Sequence[str] = ()) -> bool:
    """Every message may."""
    return True


def may_state(text: str, context: Sequence[str] = ()) -> bool:
    """Whether a message may state something that is worth a call of the extraction model.

    Args:
        text: What was said.
        context: What stood before it, oldest first, each with its speaker (``assistant: …``).
    """
    answers = bool(context) and _QUESTION.search(context[-1]) is not None
    return any(_states(sentence, answers) for sentence in _SENTENCE.findall(without_code(text)))


def without_code(text: str) -> str:
    """A text without the code in it that is fenced off."""
    return _CODE.sub(" ", text)


def is_small_talk(text: str, context: Sequence[str] = ()) -> bool:
    """Whether a message is greetings, thanks and acknowledgements alone; code aside.

    A "yes" or "no" after a question is not small talk: it answers the question.

    Args:
        text: What was said.
        context: What stood before it, oldest first, each with its speaker (``assistant: …``).
    """
    words = [_worded(sentence) for sentence in sentences(without_code(text))]
    if bool(context) and _QUESTION.search(context[-1]) and any(word in _REPLIES for some in words for word in some):
        return False
    return all(word in _ACKNOWLEDGEMENTS for some in words for word in some)


def sentences(text: str) -> list[str]:
    """The sentences of a text as they stand in it, one after the other; a line ends one."""
    return [sentence for sentence in _SENTENCE.findall(text) if sentence.strip()]


def _worded(sentence: str) -> list[str]:
    return [word.casefold().replace("’", "'") for word in _WORD.findall(sentence)]


def _states(sentence: str, answers: bool) -> bool:
    """Whether a sentence is none of those that state nothing."""
    words = _worded(sentence)
    if not words:
        return False
    if all(word in _ACKNOWLEDGEMENTS for word in words):
        return answers and not _QUESTION.search(sentence) and any(word in _REPLIES for word in words)
    if _QUESTION.search(sentence) or words[0] in _ASKING:
        return not _is_pure_question(words, sentence)
    return not (words[0] in _ORDERS and not any(word in _FIRST_PERSON for word in words))


def _is_pure_question(words: Sequence[str], sentence: str) -> bool:
    """Whether a question is short enough to assert nothing beside what it asks."""
    long = len(words) > _LONG or any(word.isdecimal() or word in _TELLING for word in words)
    if _QUESTION.search(sentence) is None or long:
        return False
    return words[0] in _ASKING or not any(word in _FIRST_PERSON for word in words)
