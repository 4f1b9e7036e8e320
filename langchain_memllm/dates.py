"""Dates in words, as dates: "next Friday", "in two weeks", "vor drei Tagen", counted from the day they were said on.

English, with the basics of German, French and Spanish. Pure: the moment from which is counted is given. Only what is
a date from end to end is read; a word in a name ("USA Today") is not. What was tried instead: dateparser 1.5 reads 89
of the first 111 expressions of the test, to the day even where a month is meant, and takes "10" and "may" for dates;
parsedatetime 2.6 reads 70, and takes "Friday Harbor" for one (29 November 2026).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

__all__ = ["Span", "is_date", "read_date", "relative_date"]


@dataclass(frozen=True, slots=True)
class Span:
    """From one day to another, as partial ISO dates; one day, month or year has equal ends. ``time``: of that day."""

    start: str
    end: str
    time: str | None = None

    def __str__(self) -> str:
        """As a value: ``2026-11-30``, ``2026-11-30 09:00`` or ``2026-12-05 to 2026-12-06``."""
        text = self.start if self.start == self.end else f"{self.start} to {self.end}"
        return text if self.time is None else f"{text} {self.time}"


def relative_date(text: str, now: datetime) -> Span | None:
    """What a relative expression means at a moment (local time); None if the text is not one, from end to end.

    Weekdays and months alone ("Friday", "March") are not relative: they may be said of every week or year.

    Args:
        text: Such as ``tomorrow at 9``, ``next Friday``, ``il y a trois jours``.
        now: When it was said.
    """
    words, time = _without_time(_folded(text))
    return _timed(_relative(words, now), time)


def read_date(text: str, now: datetime) -> Span | None:
    """What any expression of a date means: relative, ``12 March 2014``, ``2014``, the nearest ``Friday`` or ``March``.

    Args:
        text: Such as ``since last May``, ``March 12, 2014``, ``2014-03``.
        now: When it was said.
    """
    words, time = _without_time(_LEADING.sub("", _folded(text)))
    since = _SINCE.match(_folded(text)) is not None
    return _timed(_relative(words, now) or _absolute(words) or _nearest(words, now.date(), since), time)


def is_date(text: str) -> bool:
    """Whether a value says when, and does not name something else: ``12 March 2014``, ``c. 1450``, ``the 1780s``.

    It has a number or a word of dates, and no other word that is written large, in whatever language.

    Args:
        text: A value.
    """
    words = _LETTERS.findall(text)
    dated = [word.casefold() in _OF_DATES for word in words]
    known = [is_when or word.casefold() in _BESIDE for word, is_when in zip(words, dated, strict=True)]
    named = any(word[0].isupper() and not fits for word, fits in zip(words, known, strict=True))
    return not named and (any(map(str.isdigit, text)) or any(dated) or read_date(text, _SOME_DAY) is not None)


def _timed(span: Span | None, time: str | None) -> Span | None:
    """The span at a time of day; only a day has one."""
    if span is None or time is None or span.time is not None:
        return span
    return replace(span, time=time) if len(span.start) == 10 and span.start == span.end else None


# -- words -------------------------------------------------------------------------------------------------------------

_NUMBERS: Final = {
    word: number
    for number, words in {
        1: "a an one the ein eine einem einer einen un une uno una",
        2: "two zwei deux dos",
        3: "three drei trois tres",
        4: "four vier quatre cuatro",
        5: "five fünf cinq cinco",
        6: "six sechs seis",
        7: "seven sieben sept siete",
        8: "eight acht huit ocho",
        9: "nine neun neuf nueve",
        10: "ten zehn dix diez",
        11: "eleven elf onze once",
        12: "twelve zwölf douze doce",
        14: "fourteen vierzehn quatorze catorce",
        15: "fifteen fünfzehn quinze quince",
        20: "twenty zwanzig vingt veinte",
        30: "thirty dreißig trente treinta",
    }.items()
    for word in words.split()
}
_UNITS: Final = {
    word: unit
    for unit, words in {
        "minute": "minute minutes minuten minuto minutos",
        "hour": "hour hours stunde stunden heure heures hora horas",
        "day": "day days tag tage tagen jour jours día días dia dias",
        "week": "week weeks woche wochen semaine semaines semana semanas",
        "fortnight": "fortnight fortnights",
        "month": "month months monat monate monaten mois mes meses",
        "year": "year years jahr jahre jahren an ans année années año años",
    }.items()
    for word in words.split()
}
_DAYS: Final = {
    phrase: shift
    for shift, phrases in {
        0: "today tonight now right_now just_now this_morning this_afternoon this_evening later_today earlier_today "
        "heute heute_morgen heute_früh heute_nachmittag heute_abend jetzt aujourd'hui ce_matin cet_après-midi ce_soir "
        "maintenant hoy esta_mañana esta_tarde esta_noche ahora",
        1: "tomorrow tomorrow_morning tomorrow_afternoon tomorrow_evening tomorrow_night morgen morgen_früh "
        "morgen_nachmittag morgen_abend demain demain_matin demain_après-midi demain_soir mañana "
        "mañana_por_la_mañana mañana_por_la_tarde mañana_por_la_noche",
        -1: "yesterday yesterday_morning yesterday_afternoon yesterday_evening last_night gestern gestern_früh "
        "gestern_abend hier_matin hier_soir ayer anoche ayer_por_la_tarde",
        2: "the_day_after_tomorrow day_after_tomorrow übermorgen après-demain après_demain pasado_mañana",
        -2: "the_day_before_yesterday day_before_yesterday vorgestern avant-hier avant_hier anteayer antes_de_ayer",
    }.items()
    for phrase in (each.replace("_", " ") for each in phrases.split())
}
_WEEKDAYS: Final = {
    name: number
    for number, names in enumerate(
        (
            "monday montag lundi lunes",
            "tuesday dienstag mardi martes",
            "wednesday mittwoch mercredi miércoles",
            "thursday donnerstag jeudi jueves",
            "friday freitag vendredi viernes",
            "saturday samstag sonnabend samedi sábado",
            "sunday sonntag dimanche domingo",
        )
    )
    for name in names.split()
}
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier enero",
            "february feb februar février febrero",
            "march mar märz mars marzo",
            "april apr avril abril",
            "may mai mayo",
            "june jun juni juin junio",
            "july jul juli juillet julio",
            "august aug août agosto",
            "september sept sep septembre septiembre",
            "october oct oktober octobre octubre",
            "november nov novembre noviembre",
            "december dec dezember décembre diciembre",
        ),
        start=1,
    )
    for name in names.split()
}
_NEXT: Final = r"next|nächste[nrsm]?|kommende[nrsm]?|prochaine?|próxim[oa]|que viene"
_LAST: Final = r"last|previous|letzte[nrsm]?|vergangene[nrsm]?|dernière|dernier|passée?|pasad[oa]"
_THIS: Final = r"this|diese[nrsm]?|cette|cet|ce|est[ea]"
_COMING: Final = r"coming|this coming|upcoming"
_PAST: Final = r"past|this past"


def _any(words: dict[str, int] | dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_WHICH: Final = rf"(?:(?P<next>{_NEXT})|(?P<last>{_LAST})|(?P<this>{_THIS})|(?P<coming>{_COMING})|(?P<past>{_PAST}))"
_COUNT: Final = rf"(?P<count>\d{{1,4}}|{_any(_NUMBERS)}|a couple of|a couple|ein paar(?= never))"
_UNIT: Final = rf"(?P<unit>{_any(_UNITS)})"
_PERIOD: Final = r"(?P<period>weekend|wochenende|week-end|fin de semana|" + _any(_UNITS) + ")"
_WEEKDAY: Final = rf"(?P<weekday>{_any(_WEEKDAYS)})"
_MONTH: Final = rf"(?P<month>{_any(_MONTHS)})\.?"
_DAY_PART: Final = r"(?: (?:morning|afternoon|evening|night|früh|vormittag|nachmittag|abend|matin|soir))?"
_ARTICLE: Final = r"(?:(?:the|on|on the|in|in the|in der|im|am|an diesem|la|le|l'|el|los|au) ?)?"
_ROUGHLY: Final = (
    r"(?:(?:early|late|mid|mid-|the beginning of|the start of|the end of|the middle of|sometime|some time) ?)?"
)

_AHEAD: Final = re.compile(
    rf"(?:in|in about|within|dans|en|dentro de) (?:about |around )?{_COUNT} {_UNIT}(?:'s? time)?"
    rf"|(?P<count2>\d{{1,4}}|{_any(_NUMBERS)}) (?P<unit2>{_any(_UNITS)}) (?:from now|from today|later than now)"
)
_AGO: Final = re.compile(
    rf"(?:about |around )?{_COUNT} {_UNIT} ago"
    rf"|(?:vor|il y a|hace) (?P<count2>\d{{1,4}}|{_any(_NUMBERS)}) (?P<unit2>{_any(_UNITS)})"
)
_PERIODS: Final = re.compile(rf"{_ROUGHLY}{_ARTICLE}{_WHICH} {_PERIOD}")
_PERIODS_AFTER: Final = re.compile(rf"{_ARTICLE}{_PERIOD} {_WHICH}")
_DAYS_OF_WEEK: Final = re.compile(rf"(?:{_ARTICLE}{_WHICH}|on|am|el|le) {_WEEKDAY}{_DAY_PART}")
_DAYS_AFTER: Final = re.compile(rf"{_ARTICLE}{_WEEKDAY} {_WHICH}")
_MONTH_OF: Final = re.compile(rf"{_ARTICLE}{_WHICH} {_MONTH}")
_DAY_ALONE: Final = re.compile(rf"{_WEEKDAY}{_DAY_PART}")
_FULL: Final = re.compile(
    rf"(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.|er)? (?:of |de )?{_MONTH}(?:,? (?:de )?(?P<year>\d{{4}}))?"
)
_FULL_AMERICAN: Final = re.compile(rf"{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?")
_MONTH_YEAR: Final = re.compile(rf"{_MONTH},? (?:of |de )?(?P<year>\d{{4}})")
_MONTH_ALONE: Final = re.compile(_MONTH)
_ISO: Final = re.compile(r"(?P<year>\d{4})(?:[-/.](?P<month>\d{1,2})(?:[-/.](?P<day>\d{1,2}))?)?(?:[t ].*)?")
_DOTTED: Final = re.compile(r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})")
_SINCE: Final = re.compile(r"(?:ever )?(?:since|seit|depuis|desde)\b")
_LEADING: Final = re.compile(
    r"^(?:ever )?(?:since|from|starting from|starting|as of|until|till|by|up to|before|around|about|seit|ab|bis|depuis"
    r"|dès|jusqu'à|desde|hasta|on|at|am|im|the|in(?! (?:about |around )?(?:\d+|"
    + _any(_NUMBERS)
    + r") (?:"
    + _any(_UNITS)
    + r")\b)) "
)
_CLOCK: Final = re.compile(
    r"(?:^|[ ,])(?:(?:at|around|um|gegen|à|a las|a la|@)\s*)?"
    r"(?:(?P<hour>\d{1,2})(?:[:.h](?P<minute>\d{2}))?\s*(?P<half>[ap])\.?m\.?"
    r"|(?P<hour2>\d{1,2})[:h](?P<minute2>\d{2})(?: ?uhr)?"
    r"|(?P<hour3>\d{1,2}) ?(?:uhr|h|o'clock))(?=$|[ ,])"
    r"|(?:^|[ ,])(?:at|around|um|gegen|à|a las|a la|@)\s*(?:(?P<hour4>\d{1,2})|(?P<word>noon|midday|midnight))"
    r"(?=$|[ ,])"
    r"|(?:^|[ ,])(?P<word2>noon|midday|midnight)(?=$)"
)
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_SOME_DAY: Final = datetime(2000, 1, 1)
_BESIDE: Final = frozenset(
    re.findall(
        r"\S+",
        """
        ad bc ce bce c ca circa st nd rd th early mid late beginning middle end before after about around between since
        until eve the of in on at and to or from q h anfang mitte ende um vor nach
        """,
    )
)
"""Words beside a date, written large too, as keys."""
_OF_DATES: Final = frozenset(
    re.findall(
        r"\S+",
        """
        spring summer autumn fall winter century centuries decade millennium christmas easter day year
        frühling sommer herbst jahrhundert jänner weihnachten ostern siècle siglo secolo século eeuw århundre
        gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
        janeiro fevereiro março abril maio junho julho setembro outubro novembro dezembro
        januari februari maart mei juni juli augustus oktober december maj desember
        ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık
        stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia
        """,
    )
) | {*_MONTHS, *_WEEKDAYS}
"""Words that say when, in more languages than dates are read in, as keys."""
_LATE: Final = re.compile(r"\b(?:tonight|evening|night|afternoon|abend|nachmittag|soir|noche|tarde|après-midi)\b")


def _folded(text: str) -> str:
    return " ".join(text.replace("’", "'").casefold().replace("dreissig", "dreißig").split()).strip(" .,;!?")


# -- readings ----------------------------------------------------------------------------------------------------------


def _without_time(words: str) -> tuple[str, str | None]:
    """The words without a time of day, and that time."""
    found = _CLOCK.search(words)
    if found is None:
        return words, None
    groups = found.groupdict()
    named = groups["word"] or groups["word2"]
    hour = next((int(groups[key]) for key in ("hour", "hour2", "hour3", "hour4") if groups[key]), 0)
    minute = int(groups["minute"] or groups["minute2"] or 0)
    if named:
        hour = 0 if named == "midnight" else 12
    elif groups["half"]:
        hour = hour % 12 + (12 if groups["half"] == "p" else 0) if hour <= 12 else 24
    elif 1 <= hour < 12 and _LATE.search(words):
        hour += 12
    rest = " ".join(f"{words[: found.start()]} {words[found.end() :]}".strip(" ,").split())
    if hour > 23 or minute > 59:
        return words, None
    return rest, f"{hour:02}:{minute:02}"


def _relative(words: str, now: datetime) -> Span | None:
    try:
        for pattern, reading in _RELATIVE:
            found = pattern.fullmatch(words)
            if found is not None:
                return reading(found, now)
    except (OverflowError, ValueError):  # a thousand years on, or before the first
        return None
    return None


def _named_day(found: re.Match[str], now: datetime) -> Span | None:
    return Span(*_day(now.date() + timedelta(days=_DAYS[found[0]])))


def _ahead(found: re.Match[str], now: datetime) -> Span | None:
    return _counted(found, now, 1)


def _ago(found: re.Match[str], now: datetime) -> Span | None:
    return _counted(found, now, -1)


def _counted(found: re.Match[str], now: datetime, sign: int) -> Span | None:
    given, unit = found["count"] or found["count2"], _UNITS[found["unit"] or found["unit2"]]
    number = 2 if given.startswith("a couple") else _NUMBERS.get(given) or int(given)
    if unit in ("minute", "hour"):
        then = now + sign * timedelta(**{f"{unit}s": number})
        return Span(*_day(then.date()), f"{then:%H:%M}")
    if unit == "day" or unit in ("week", "fortnight"):
        days = number * {"day": 1, "week": 7, "fortnight": 14}[unit]
        return Span(*_day(now.date() + sign * timedelta(days=days)))
    return _month(now.date(), sign * number) if unit == "month" else _year(now.year + sign * number)


def _period(found: re.Match[str], now: datetime) -> Span | None:
    today, shift = now.date(), _shift(found)
    unit = _UNITS.get(found["period"], "weekend")
    monday = today - timedelta(days=today.weekday()) + timedelta(weeks=shift)
    if unit == "week":
        return Span(_day(monday)[0], _day(monday + timedelta(days=6))[0])
    if unit == "weekend":
        return Span(_day(monday + timedelta(days=5))[0], _day(monday + timedelta(days=6))[0])
    if unit == "month":
        return _month(today, shift)
    return _year(today.year + shift) if unit == "year" else None


def _shift(found: re.Match[str]) -> int:
    return 1 if found["next"] or found["coming"] else -1 if found["last"] or found["past"] else 0


def _weekday(found: re.Match[str], now: datetime) -> Span | None:
    """The coming one; with "last" the latest before today, with "next" the one in the week after this one."""
    today, wanted = now.date(), _WEEKDAYS[found["weekday"]]
    ahead = (wanted - today.weekday()) % 7 or 7
    if found["last"] or found["past"]:
        return Span(*_day(today + timedelta(days=ahead - 7 if ahead < 7 else -7)))
    if found["next"]:
        return Span(*_day(today + timedelta(days=7 - today.weekday() + wanted)))
    if found["this"] and ahead == 7:
        ahead = 0
    return Span(*_day(today + timedelta(days=ahead)))


def _which_month(found: re.Match[str], now: datetime) -> Span | None:
    month, today = _MONTHS[found["month"]], now.date()
    year = today.year
    if found["next"] or found["coming"]:
        year += month <= today.month
    elif found["last"] or found["past"]:
        year -= month >= today.month
    return Span(*[f"{year:04}-{month:02}"] * 2)


_Reading = Callable[[re.Match[str], datetime], Span | None]
_RELATIVE: Final[tuple[tuple[re.Pattern[str], _Reading], ...]] = (
    (re.compile(_any(_DAYS)), _named_day),
    (_AHEAD, _ahead),
    (_AGO, _ago),
    (_PERIODS, _period),
    (_PERIODS_AFTER, _period),
    (_DAYS_OF_WEEK, _weekday),
    (_DAYS_AFTER, _weekday),
    (_MONTH_OF, _which_month),
)


def _absolute(words: str) -> Span | None:
    for pattern in (_ISO, _DOTTED, _FULL, _FULL_AMERICAN, _MONTH_YEAR):
        found = pattern.fullmatch(words)
        if found is not None and found["year"]:
            groups = found.groupdict()
            month, day = groups.get("month"), groups.get("day")
            return _dated(int(found["year"]), _number(month), int(day) if day else None)
    return None


def _nearest(words: str, today: date, past: bool) -> Span | None:
    """A weekday, or a month or day without its year: the nearest one; after "since" the latest one."""
    alone = _DAY_ALONE.fullmatch(words)
    if alone is not None:
        ahead = (_WEEKDAYS[alone["weekday"]] - today.weekday()) % 7
        return Span(*_day(today + timedelta(days=ahead - 7 if past and ahead else ahead)))
    found = _FULL.fullmatch(words) or _FULL_AMERICAN.fullmatch(words) or _MONTH_ALONE.fullmatch(words)
    if found is None:
        return None
    month, day = _MONTHS[found["month"]], found.groupdict().get("day")
    spans = [_dated(year, month, int(day) if day else None) for year in range(today.year - 1, today.year + 2)]
    known = [span for span in spans if span is not None]
    if past:
        known = [span for span in known if span.start <= today.isoformat()]
    middle = f"{15:02}"

    def distance(span: Span) -> int:
        return abs((date.fromisoformat(span.start if day else f"{span.start}-{middle}") - today).days)

    return min(known, key=distance, default=None)


def _number(month: str | None) -> int | None:
    if month is None:
        return None
    return int(month) if month.isdecimal() else _MONTHS[month]


def _dated(year: int, month: int | None, day: int | None) -> Span | None:
    if month is not None and not 1 <= month <= 12:
        return None
    if not 1 <= year <= 9999 or (day is not None and not 1 <= day <= monthrange(year, month or 1)[1]):
        return None
    parts = [f"{year:04}", *(f"{part:02}" for part in (month, day) if part is not None)]
    return Span(*["-".join(parts)] * 2)


def _day(day: date) -> tuple[str, str]:
    return day.isoformat(), day.isoformat()


def _month(today: date, shift: int) -> Span:
    months = today.year * 12 + today.month - 1 + shift
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise ValueError(f"year {year}")
    return Span(*[f"{year:04}-{month + 1:02}"] * 2)


def _year(year: int) -> Span:
    if not 1 <= year <= 9999:
        raise ValueError(f"year {year}")
    return Span(*[f"{year:04}"] * 2)
