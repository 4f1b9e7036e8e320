"""Words that stand for a value nobody knows or names: "unknown", "N/A", "there", "him", "a new city". The only list.

A model that is asked for a value writes one of these rather than nothing. Such a value says nothing, and where a slot
holds one value it would take the place of the true one. Whole names only: a band called "Unknown Mortal Orchestra" is
none of them; and one that the text itself spells as a name ("my favourite film is It") is taken for it.
"""

from __future__ import annotations

import re
from typing import Final

from langchain_memllm.dates import is_date
from langchain_memllm.triples import name_key

__all__ = ["is_unknown", "placeholder", "spelled_as_name"]


def _listed(text: str) -> frozenset[str]:
    return frozenset(name_key(word.strip()) for line in text.splitlines() for word in line.split(" | ") if word.strip())


_UNKNOWN: Final = _listed(
    """
    unknown | n/a | n.a | na | none | null | nil | nan | undefined | unspecified | not specified | not mentioned
    not provided | not stated | not given | not known | not available | not applicable | not sure | not defined
    not disclosed | not found | no information | no info | no data | no value | no answer | unclear | undisclosed
    undetermined | to be determined | to be announced | to be decided | tbd | tba | unbekannt | nicht bekannt
    nicht angegeben | nicht erwähnt | nicht genannt | keine angabe | keine angaben | k.a | inconnu | inconnue
    non précisé | non précisée | non spécifié | non spécifiée | non mentionné | non mentionnée | non renseigné
    desconocido | desconocida | no especificado | no especificada | no mencionado | no mencionada | sin especificar
    sconosciuto | sconosciuta | non specificato | non specificata | non menzionato | desconhecido | desconhecida
    não especificado | não especificada | não mencionado | não informado | ukjent | ikke oppgitt | ikke nevnt
    ikke spesifisert
    """
)
_SOMETHING: Final = _listed(
    """
    someone | somebody | something | somewhere | somehow | some place | someplace | some person | anyone | anybody
    anything | anywhere | nobody | no one | nothing | nowhere | whoever | whatever | here | there | over there
    over here | elsewhere | this | that | these | those | it | its | he | him | his | she | her | hers | they | them
    their | theirs | we | us | our | ours | you | your | yours | itself | himself | herself | themselves | ourselves
    yourself | this place | that place | this person | that person | this one | that one | the other | the others
    the same | the former | the latter | who | what | which | where | when | soon | later | recently | lately
    someday | some day | sometime | the other day | a while ago | some time ago | long ago | one day | in the future
    in the past | at the moment | currently | eventually | nowadays | these days | jemand | irgendjemand | irgendwo
    irgendwer | irgendwas | niemand | nichts | bald | später | neulich | kürzlich | irgendwann | quelqu'un
    quelque part | quelque chose | personne | rien | nulle part | là-bas | ici | bientôt | plus tard | récemment
    un jour | alguien | alguna parte | en alguna parte | algún lugar | nadie | ninguna parte | aquí | allí | ahí
    allá | pronto | más tarde | qualcuno | da qualche parte | qualche parte | nessuno | presto | alguém
    algum lugar | ninguém | aqui | em breve | noen | noe | et sted | ingen | ingenting | snart
    """
)
# Names and words in other languages: placeholders only where nothing is written large.
_SMALL: Final = _listed(
    """
    hier | dort | da | er | sie | es | ihn | ihm | ihr | wir | uns | etwas | là | il | elle | lui | eux | elles
    ils | nous | vous | él | ella | ellos | ellas | nosotros | algo | nada | qui | qua | lì | lei | loro | noi | voi
    ele | ela | eles | elas | nós | ali | lá | der | han | hun | den | det | de | dem | oss
    """
)
_ANSWERS: Final = _listed(
    "yes | no | true | false | ja | nein | wahr | falsch | oui | non | vrai | faux | sí | si | sì | sim | não | nei"
)
_GENERIC: Final = re.compile(
    r"(?:(?:a|an|the|some|another|any|my|his|her|our|their|your|its|this|that|ein|eine|einer|einem|einen|mein|meine|une?|mon"
    r"|ma|una?|mi|um|uma|en|et) )?"
    r"(?:(?:new|same|different|other|nice|big|bigger|small|smaller|old|own|second|better|certain|whole|local|current|former"
    r"|neue[nrsm]?|andere[nrsm]?|nouve(?:au|lle)|autre|nuev[oa]|otr[oa]|nuov[oa]|altr[oa]|nov[oa]|outr[oa]|ny|nytt"
    r"|annen|annet) )*"
    r"(?:city|town|village|country|place|location|area|region|house|home|flat|apartment|address|room|job|position|role|work"
    r"|company|firm|employer|office|workplace|school|university|college|person|man|woman|guy|friend|people|thing|name"
    r"|number|value|date|day|time|year|stadt|ort|dorf|land|haus|wohnung|zuhause|arbeit|stelle|firma|schule|ville|endroit"
    r"|pays|maison|appartement|travail|emploi|poste|entreprise|école|ciudad|lugar|país|casa|piso|trabajo|empresa|escuela"
    r"|città|posto|paese|lavoro|azienda|scuola|cidade|trabalho|by|sted|hus|leilighet|jobb)"
    r"(?: (?:nueva|nuevo|nova|novo|nuova|nuovo))?"
)
_DATED: Final = _listed(
    """
    date of birth | date of death | inception | dissolved, abolished or demolished | publication date | start time
    end time | point in time | birthday | wedding anniversary | date of official opening | service entry
    utc date of spacecraft launch
    """
)
"""Relations whose objects are dates and nothing else."""
_QUESTION: Final = re.compile(
    r"(?:is|are|has|have|can|do|does|did|was|were|will|would|wants|drinks|smokes|eats|ist|hat) "
)
_WORDLESS: Final = re.compile(r"[?\-–—._…/\s]+")
_FAVOURITE: Final = re.compile(r"\b(?:favou?rite|preferred)\b")


def is_unknown(name: str) -> bool:
    """Whether a name says that the value is not known: ``unknown``, ``N/A``, ``not specified``, ``?``."""
    key = _key(name)
    return key in _UNKNOWN or _WORDLESS.fullmatch(name) is not None


def placeholder(
    subject: str,
    relation: str,
    object_: str,
    *,
    text: str | None = None,
    known: bool = True,
    single_valued: bool = True,
) -> str | None:
    """Why a triple that a model wrote says nothing, or None if it does.

    Args:
        subject: As it was written.
        relation: As it was written.
        object_: As it was written.
        text: The sentence it was taken from, if there is one: what it spells as a name is one.
        known: The relation is one of the catalogue; of others "yes" may be a value ("is vegetarian").
        single_valued: The relation holds one value, so "a new city" would take the place of its name.
    """
    if _stands_for_another(subject, text):
        return "its subject does not say who or what is meant"
    if is_unknown(object_) and not spelled_as_name(object_, text):
        return "its object says that the value is not known"
    if _stands_for_another(object_, text):
        return "its object does not say who, what, where or when"
    key = _key(object_)
    answers = known and _QUESTION.match(name_key(relation)) is None
    if answers and key in _ANSWERS and not spelled_as_name(object_, text):
        return "its object is an answer, not a value of that relation"
    if name_key(relation) in _DATED and not is_date(object_):
        return "its object is not a date, which that relation wants"
    kind = _GENERIC.fullmatch(key) and not (object_.istitle() and " " in object_)  # Old Town
    if single_valued and kind and not _FAVOURITE.search(name_key(relation)):
        return "its object is a kind of thing and not its name"
    return None


def _stands_for_another(name: str, text: str | None) -> bool:
    key = _key(name)
    if is_unknown(name):
        return not spelled_as_name(name, text)
    if name.isupper() and len(name) > 1:  # US, IT
        return False
    if key in _SMALL:
        return name == name.lower()
    return key in _SOMETHING and not spelled_as_name(name, text)


def spelled_as_name(name: str, text: str | None) -> bool:
    """Whether a sentence writes a word large, and not because it begins with it: then it is a name there."""
    if text is None or not name[:1].isupper():
        return False
    return re.search(rf"[^\W\d_][,:;]? [\"'“‘«]?{re.escape(name)}\b", text) is not None


def _key(name: str) -> str:
    return name_key(name.replace("’", "'").strip(" .!?\"'“”") or name)
