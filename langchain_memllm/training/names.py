"""Invented names: of people, places, companies, works and events that no model can have read about.

Built from syllables and word lists, each once in a world. What is not a name (occupations, instruments, dates, food)
comes from lists of ordinary words.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Final

from langchain_memllm.errors import ConfigurationError

__all__ = ["Names"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


_STARTS: Final = _words(
    "Ba,Bel,Bor,Bri,Cal,Cas,Cor,Da,Del,Dor,Dra,El,Em,Fa,Fen,Fjo,Ga,Gel,Gor,Hal,Hel,Hu,Il,Is,Ja,Jor,Ka,Kel,Kor,Kra,La,"
    "Lem,Lo,Lu,Ma,Mel,Mor,Na,Nel,No,O,Ol,Or,Pa,Pel,Qua,Ra,Rel,Ro,Sa,Sel,Sta,Ta,Tel,Tor,Tri,U,Va,Vel,Vor,Wa,Wen,Ya,Yl,"
    "Za,Zel,Zor,Bjo,Éva,Ště,Nia,Ngo,Shi,Tsu,Xi,Cha,Abe,Iq,Ruz,Omo"
)
_MIDDLES: Final = _words(
    "ba,bri,da,do,fi,ga,gu,ka,ki,la,le,li,lo,ma,mi,mo,na,ne,ni,no,pa,ra,re,ri,ro,sa,se,ska,ta,te,ti,to,va,ve,vi,zo,mbe,"
    "nde,lla,sso,rre,tho"
)
_GIVEN_ENDS: Final = _words("n,s,l,ra,na,la,sa,da,vin,rik,dan,bert,lin,nor,ro,ka,mi,ne,tte,ren,ya,o")
_FAMILY_ENDS: Final = _words(
    "n,sen,sson,ski,ová,ez,ini,escu,idis,mann,berg,feld,quist,ley,son,dal,rup,vić,nko,oglu,ade,moto,ura,ani,ell,art"
)
_TOWN_ENDS: Final = _words(
    "ham,ford,holm,burg,stad,ville,mouth,wick,ton,bridge,minster,grad,ow,ino,eira,ava,ec,heim,by,port,polis,abad,pura"
)
_COUNTRY_ENDS: Final = _words("via,nia,ria,land,stan,mark,dor,lia,mia,nesia")
_TONGUE_ENDS: Final = _words("ish,ese,ian,ic,i")
_GIVEN: Final = _words(
    "Anna,Peter,Maria,John,Eva,Karl,Laura,Omar,Nina,Ivan,Rosa,Hugo,Lena,Paul,Sara,Igor,Clara,David,Mina,Yusuf,Greta,Tom,"
    "Aiko,Felix,Ines,Marta,Oscar,Lucy,Erik,Amina"
)
_ADJECTIVES: Final = _words(
    "Silent,Broken,Golden,Last,Hidden,Distant,Burning,Hollow,Crooked,Second,Frozen,Blind,Gentle,Wandering,Forgotten,Red,"
    "Empty,Long,Bitter,Paper"
)
_NOUNS: Final = _words(
    "Harbour,Lantern,Orchard,Mirror,Winter,Ferry,Clock,Garden,River,Stranger,Bridge,Letter,Window,Island,Sparrow,Mill,"
    "Road,Shadow,Tower,Bell,Compass,Tide,Forest,Key"
)
_MONTHS: Final = _words("January,February,March,April,May,June,July,August,September,October,November,December")

_LISTS: Final[dict[str, tuple[str, ...]]] = {
    "occupation": _words(
        "painter,baker,surveyor,botanist,judge,violinist,carpenter,novelist,engineer,nurse,journalist,architect,geologist,"
        "pilot,teacher,lawyer,sculptor,chemist,photographer,actor,poet,historian,footballer,politician,composer,farmer"
    ),
    "instrument": _words(
        "violin,cello,oboe,trumpet,harp,piano,guitar,flute,clarinet,accordion,organ,bassoon,drums,mandolin,tuba,lute"
    ),
    "genre": _words(
        "crime fiction,science fiction,satire,historical fiction,romance,horror,fantasy,comedy,drama,travel writing,"
        "magic realism,adventure fiction,biography,lyric poetry"
    ),
    "product": _words(
        "bicycles,clocks,glass,furniture,tractors,shoes,paper,cement,telescopes,toys,tyres,carpets,batteries,cheese,"
        "chocolate,ceramics,steel pipes,umbrellas,lenses,engines"
    ),
    "continent": _words("Europe,Asia,Africa,Oceania,North America,South America"),
    "thing": _words(
        "long walks,black coffee,crowded trains,old maps,jazz records,cats,board games,spicy soup,rainy days,"
        "horror films,early mornings,loud music,green tea,mountain huts,crossword puzzles,trams,oysters,snow,opera"
    ),
    "food": _words(
        "peanuts,shellfish,strawberries,mushrooms,lentil soup,dumplings,goat cheese,walnuts,sushi,pancakes,tomatoes,"
        "celery,eggs,risotto,sesame,mangoes,kiwis,noodles,rye bread,apple pie"
    ),
    "hobby": _words(
        "pottery,rowing,birdwatching,chess,woodcarving,gardening,climbing,knitting,astronomy,fencing,photography,sailing,"
        "beekeeping,cycling,origami,archery"
    ),
    "colour": _words(
        "teal,crimson,navy blue,olive green,mustard yellow,violet,turquoise,black,coral,silver,orange,ivory"
    ),
    "status": _words("least concern,near threatened,vulnerable,endangered,critically endangered,extinct in the wild"),
    "organism": _words(
        "human,house mouse,fruit fly,zebrafish,chicken,baker's yeast,dog,rat,honey bee,maize,barley,horse"
    ),
    "chromosome": tuple(f"chromosome {number}" for number in (*range(1, 23), "X", "Y")),
    "constellation": _words(
        "Orion,Lyra,Cygnus,Draco,Aquila,Pegasus,Perseus,Cassiopeia,Hydra,Leo,Virgo,Gemini,Taurus,Cetus,Corvus,Lupus,Vela"
    ),
    "disease": _words(
        "measles,lung cancer,malaria,a stroke,asthma,diabetes,cholera,tetanus,heart failure,epilepsy,scarlet fever,"
        "leukaemia,typhoid fever,drowning,a traffic accident,gout,anaemia,smallpox"
    ),
    "branch": _words("navy,air force,coast guard,artillery,cavalry,marine corps,royal engineers,infantry,border guard"),
    "rank": _words("captain,major,colonel,sergeant,lieutenant,admiral,brigadier,corporal,commodore,field marshal"),
    "code": _words("Fortran,Cobol,Lisp,Pascal,Ada,Haskell,Java,Python,C,Prolog,Smalltalk,Rust,Perl,Erlang"),
    "platform": _words("Amiga,Atari 2600,Windows,Linux,Android,Game Boy,MS-DOS,Sega Saturn,ZX Spectrum,Commodore 64"),
    "voice": _words("soprano,alto,tenor,baritone,bass,mezzo-soprano,countertenor,contralto"),
    "industry": _words("mining,brewing,shipping,insurance,tourism,printing,fishing,forestry,software,banking,textiles"),
    "field": _words("optics,botany,linguistics,topology,ethics,hydrology,genetics,astronomy,acoustics,archaeology"),
    "gender": _words("male,female,non-binary,intersex,trans man,trans woman"),
    "sport": _words("handball,cricket,rugby,ice hockey,water polo,curling,rowing,volleyball,table tennis,bandy"),
    "material": _words("granite,oak,brick,steel,glass,limestone,bamboo,concrete,marble,copper,adobe"),
    "plan": _words(
        "a trip to the coast,a new kitchen,a marathon in autumn,a year abroad,a bigger garden,a language course,"
        "a book about bees,a bicycle tour,a change of jobs,a move to the country,a boat of my own,a family reunion"
    ),
}


_PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "taxon": ("{stem}ella {end}ensis", "{stem}us", "{stem}odon", "{stem}is {end}ata", "{stem}'s {end} frog"),
    "taxon family": ("{stem}idae", "{stem}aceae", "{stem}inae", "{stem}oidea"),
    "gene": ("{letters}{number}", "{letters}-{letters}", "{letters}{number} gene", "{stem}in"),
    "star": ("{letters} {number}{number}", "{number} {stem}i", "{stem} {letters}", "{letters} {number}"),
    "war": ("{stem} War", "War of {town}", "Siege of {town}", "Battle of the {stem}", "{stem}–{end} War"),
    "building": (
        "{town} Hall",
        "{stem} Tower",
        "{family} House",
        "Museum of {town}",
        "{town} Station",
        "{stem} Stadium",
    ),
    "device": ("{stem} engine", "{family} valve", "{stem}graph", "{stem}scope", "{family} pump", "{stem}-{end} cell"),
    "software": ("{stem}OS", "{stem} {number}", "Open{stem}", "{stem}Quest", "{stem} and the {end} Maze"),
    "spacecraft": ("{stem}-{number}", "{letters}-{number}", "{stem}sat {number}", "{stem} {number}"),
    "ship": ("HMS {stem}", "SS {town}", "MS {stem}", "{stem} {end}"),
    "ship class": ("{stem} class", "{town}-class ferry", "{stem}-class destroyer", "Type {number}"),
    "house": ("House of {stem}", "{stem} dynasty", "House of {town}", "House of {family}"),
    "network": ("{letters}", "{stem} TV", "Radio {town}", "Channel {number}", "{stem} Television"),
    "league": ("{stem} League", "{town} Premier Division", "{stem} Second Division", "{letters} Championship"),
    "exchange": ("{town} Stock Exchange", "{town} Bourse", "{stem}dex"),
    "currency": ("{stem} crown", "{stem}ian pound", "{stem}o", "{stem} thaler"),
    "airline": ("{stem} Air", "{stem}jet", "Air {stem}", "{stem} Airways"),
    "airport": ("{town} Airport", "{stem} International Airport", "{family} Airfield"),
}
"""What names of more kinds look like. ``{letters}`` are capitals, ``{number}`` is below 400, ``{end}`` another stem."""


class Names:
    """Draws names of a kind, never the same invented name twice.

    Args:
        draw: Where the chance comes from.
    """

    def __init__(self, draw: random.Random) -> None:
        """Nothing used yet."""
        self._draw = draw
        self._used: set[str] = set()
        self._makers: dict[str, Callable[[], str]] = {
            "person": self._person,
            "town": lambda: self._stem() + self._pick(_TOWN_ENDS),
            "country": lambda: self._stem() + self._pick(_COUNTRY_ENDS),
            "language": lambda: self._stem() + self._pick(_TONGUE_ENDS),
            "religion": lambda: self._stem() + self._pick(("ism", "aism", "ite faith")),
            "company": self._company,
            "school": self._school,
            "award": lambda: self._family() + self._pick((" Prize", " Medal", " Award", " Fellowship")),
            "position": self._position,
            "team": lambda: self._town() + self._pick((" United", " Rovers", " Wolves", " Athletic", " Wanderers")),
            "water": lambda: self._pick(("River ", "Lake ", "Gulf of ")) + self._stem() + self._pick(_MIDDLES),
            "work": self._title,
            "film": self._title,
            "song": self._title,
            "event": self._event,
            "date": self._date,
            "year": lambda: str(self._draw.randint(1780, 2024)),
            "day": lambda: f"{self._draw.randint(1, 28)} {self._pick(_MONTHS)}",
            "petname": lambda: self._stem() + self._pick(("o", "y", "a", "ie", "us")),
            "car": lambda: self._stem() + " " + self._pick(("GT", "200", "Van", "Coupé", "4", "Estate")),
        }

    def new(self, kind: str) -> str:
        """A name of a kind; invented ones only once.

        Raises:
            ConfigurationError: The kind is unknown.
        """
        if kind in _LISTS:
            return self._pick(_LISTS[kind])
        if kind not in self._makers and kind not in _PATTERNS:
            known = ", ".join((*self._makers, *_PATTERNS, *_LISTS))
            raise ConfigurationError(f"kind {kind!r} of name is unknown; use one of {known}")
        while True:
            name = self._makers[kind]() if kind in self._makers else self._of_pattern(kind)
            if kind in ("date", "year", "day"):
                return name
            if name not in self._used:
                self._used.add(name)
                return name

    def _pick(self, words: tuple[str, ...]) -> str:
        return self._draw.choice(words)

    def _of_pattern(self, kind: str) -> str:
        return self._pick(_PATTERNS[kind]).format(
            stem=self._stem(),
            end=self._stem().lower(),
            town=self._town(),
            family=self._family(),
            letters="".join(self._draw.choices(string.ascii_uppercase, k=self._draw.randint(2, 4))),
            number=self._draw.randint(1, 399),
        )

    def _stem(self) -> str:
        middle = self._pick(_MIDDLES) if self._draw.random() < 0.6 else ""
        return self._pick(_STARTS) + middle

    def _town(self) -> str:
        return self._stem() + self._pick(_TOWN_ENDS)

    def _family(self) -> str:
        return self._stem() + self._pick(_FAMILY_ENDS)

    def _given(self) -> str:
        return self._pick(_GIVEN) if self._draw.random() < 0.4 else self._stem() + self._pick(_GIVEN_ENDS)

    def _person(self) -> str:
        chance, family = self._draw.random(), self._family()
        if chance < 0.1:
            return f"{self._given()} {self._draw.choice('ABCDEFGHJKLMNPRSTW')}. {family}"
        if chance < 0.2:
            return f"{self._given()} {family}-{self._family()}"
        if chance < 0.26:
            return f"{self._given()} {self._pick(('van', 'de', 'von', 'al'))} {family}"
        return f"{self._given()} {family}"

    def _company(self) -> str:
        form = self._draw.randrange(4)
        if form == 0:
            return f"{self._family()} & {self._pick(('Sons', 'Partners', 'Daughters', 'Company'))}"
        if form == 1:
            return self._stem() + self._pick(("tech", "soft", "corp", "ix", "ex", "media"))
        return self._family() + " " + self._pick(_words("Works,Industries,Labs,Foods,Motors,Records,Press,Group,Bank"))

    def _school(self) -> str:
        form = self._pick(("University of {}", "{} College", "{} Academy", "{} Technical School", "{} University"))
        return form.format(self._town())

    def _position(self) -> str:
        form = self._pick(("mayor of {}", "governor of {}", "bishop of {}", "chief justice of {}", "ambassador to {}"))
        return form.format(self._town())

    def _title(self) -> str:
        adjective, noun = self._pick(_ADJECTIVES), self._pick(_NOUNS)
        forms = (
            f"The {adjective} {noun} of {self._town()}",
            f"{noun} of {self._town()}",
            f"A {noun} for {self._given()}",
            f"{self._given()} and the {adjective} {noun}",
            f"{adjective} {self._stem()}{self._pick(_MIDDLES)}",
        )
        return self._pick(forms)

    def _event(self) -> str:
        kind = self._pick(("Festival", "Fair", "Regatta", "Congress", "Cup", "Marathon", "Conference"))
        return f"Battle of {self._town()}" if self._draw.random() < 0.2 else f"{self._town()} {kind}"

    def _date(self) -> str:
        day, month, year = self._draw.randint(1, 28), self._pick(_MONTHS), self._draw.randint(1780, 2024)
        return f"{day} {month} {year}" if self._draw.random() < 0.7 else f"{month} {day}, {year}"
