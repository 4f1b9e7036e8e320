"""Dates in words, read on Sunday 29 November 2026 at three in the afternoon."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_memllm.dates import is_date, read_date, relative_date
from langchain_memllm.times import check_date

NOW = datetime(2026, 11, 29, 15)

RELATIVE = """
today = 2026-11-29
Today = 2026-11-29
tonight = 2026-11-29
this morning = 2026-11-29
this evening = 2026-11-29
later today = 2026-11-29
now = 2026-11-29
right now = 2026-11-29
tomorrow = 2026-11-30
tomorrow. = 2026-11-30
tomorrow morning = 2026-11-30
tomorrow night = 2026-11-30
yesterday = 2026-11-28
yesterday evening = 2026-11-28
last night = 2026-11-28
the day after tomorrow = 2026-12-01
the day before yesterday = 2026-11-27
tomorrow at 9 = 2026-11-30 09:00
at 9 tomorrow = 2026-11-30 09:00
tomorrow at 9 am = 2026-11-30 09:00
tomorrow, 9 a.m. = 2026-11-30 09:00
tomorrow at 5pm = 2026-11-30 17:00
tomorrow at 12 am = 2026-11-30 00:00
tomorrow at 12 pm = 2026-11-30 12:00
tomorrow at 9:30 = 2026-11-30 09:30
tomorrow 14:15 = 2026-11-30 14:15
tomorrow at 9 o'clock = 2026-11-30 09:00
tomorrow evening at 8 = 2026-11-30 20:00
tonight at 8 = 2026-11-29 20:00
today at noon = 2026-11-29 12:00
tomorrow at midnight = 2026-11-30 00:00
yesterday at 3 p.m. = 2026-11-28 15:00
in two weeks = 2026-12-13
in 2 weeks = 2026-12-13
in two weeks' time = 2026-12-13
in a week = 2026-12-06
in a fortnight = 2026-12-13
two weeks from now = 2026-12-13
3 days from today = 2026-12-02
in 3 days = 2026-12-02
in three days = 2026-12-02
in 10 days = 2026-12-09
in about ten days = 2026-12-09
in a month = 2026-12
in two months = 2027-01
in a year = 2027
in 5 years = 2031
in two hours = 2026-11-29 17:00
in 30 minutes = 2026-11-29 15:30
an hour ago = 2026-11-29 14:00
sixteen hours ago = None
12 hours ago = 2026-11-29 03:00
20 hours ago = 2026-11-28 19:00
a day ago = 2026-11-28
3 days ago = 2026-11-26
three days ago = 2026-11-26
a couple of days ago = 2026-11-27
a week ago = 2026-11-22
two weeks ago = 2026-11-15
a couple of weeks ago = 2026-11-15
a month ago = 2026-10
six months ago = 2026-05
12 months ago = 2025-11
a year ago = 2025
about two years ago = 2024
10 years ago = 2016
last week = 2026-11-16 to 2026-11-22
this week = 2026-11-23 to 2026-11-29
next week = 2026-11-30 to 2026-12-06
last month = 2026-10
this month = 2026-11
next month = 2026-12
the end of next month = 2026-12
early next year = 2027
last year = 2025
this year = 2026
next year = 2027
last weekend = 2026-11-21 to 2026-11-22
this weekend = 2026-11-28 to 2026-11-29
next weekend = 2026-12-05 to 2026-12-06
on Monday = 2026-11-30
on Sunday = 2026-12-06
on Friday evening = 2026-12-04
next Monday = 2026-11-30
next Friday = 2026-12-04
next Friday at 10:30 = 2026-12-04 10:30
next Sunday = 2026-12-06
this Friday = 2026-12-04
this Sunday = 2026-11-29
this coming Tuesday = 2026-12-01
coming Tuesday = 2026-12-01
last Friday = 2026-11-27
last Monday = 2026-11-23
last Sunday = 2026-11-22
this past Tuesday = 2026-11-24
on Friday at 7pm = 2026-12-04 19:00
next March = 2027-03
next December = 2026-12
next November = 2027-11
last March = 2026-03
last December = 2025-12
last November = 2025-11
heute = 2026-11-29
heute Abend um 8 = 2026-11-29 20:00
morgen = 2026-11-30
morgen früh = 2026-11-30
morgen um 9 Uhr = 2026-11-30 09:00
morgen um 9:30 Uhr = 2026-11-30 09:30
übermorgen = 2026-12-01
gestern = 2026-11-28
vorgestern = 2026-11-27
vor drei Tagen = 2026-11-26
vor einem Jahr = 2025
in zwei Wochen = 2026-12-13
nächsten Freitag = 2026-12-04
am Freitag = 2026-12-04
letzten Montag = 2026-11-23
letzten Monat = 2026-10
nächste Woche = 2026-11-30 to 2026-12-06
dieses Wochenende = 2026-11-28 to 2026-11-29
nächstes Jahr = 2027
aujourd'hui = 2026-11-29
demain = 2026-11-30
demain à 9h = 2026-11-30 09:00
demain à 9h30 = 2026-11-30 09:30
après-demain = 2026-12-01
hier soir = 2026-11-28
il y a trois jours = 2026-11-26
dans deux semaines = 2026-12-13
la semaine prochaine = 2026-11-30 to 2026-12-06
le mois dernier = 2026-10
l'année prochaine = 2027
vendredi prochain = 2026-12-04
lundi dernier = 2026-11-23
hoy = 2026-11-29
mañana = 2026-11-30
mañana a las 9 = 2026-11-30 09:00
pasado mañana = 2026-12-01
ayer = 2026-11-28
anoche = 2026-11-28
hace tres días = 2026-11-26
en dos semanas = 2026-12-13
dentro de un mes = 2026-12
la próxima semana = 2026-11-30 to 2026-12-06
la semana pasada = 2026-11-16 to 2026-11-22
el mes pasado = 2026-10
el próximo viernes = 2026-12-04
el año que viene = 2027
Oslo = None
May = None
Friday = None
March = None
10 = None
2014 = None
a week = None
two children = None
Friday Harbor = None
March of Dimes = None
Sunday Times = None
USA Today = None
next door = None
in a band = None
every Monday = None
Mondays = None
12 March 2014 = None
March 3 = None
at 9 = None
now and then = None
hier = None
next week at 9 = None
in 9999 years = None
3000 years ago = None
tomorrow at 25:00 = None
tomorrow at 9:75 = None
tomorrow at 13 pm = None
"""

STATED = """
2014 = 2014
2014-03 = 2014-03
2014-3-5 = 2014-03-05
2014/03/05 = 2014-03-05
2014-03-05T10:00 = 2014-03-05
12.03.2014 = 2014-03-12
12 March 2014 = 2014-03-12
12th of March 2014 = 2014-03-12
12th of March, 2014 = 2014-03-12
March 12, 2014 = 2014-03-12
March 12th 2014 = 2014-03-12
12. März 2014 = 2014-03-12
le 12 mars 2014 = None
12 de marzo de 2014 = 2014-03-12
March 2014 = 2014-03
Sept. 2020 = 2020-09
in May 2027 = 2027-05
from March 2027 = 2027-03
since 2019 = 2019
until June 2027 = 2027-06
since last May = 2026-05
since yesterday = 2026-11-28
seit gestern = 2026-11-28
since March = 2026-03
since Friday = 2026-11-27
since two weeks ago = 2026-11-15
from tomorrow = 2026-11-30
starting next Monday = 2026-11-30
until next Friday = 2026-12-04
as of next month = 2026-12
by the end of next year = 2027
in two weeks = 2026-12-13
Monday = 2026-11-30
Sunday = 2026-11-29
March = 2027-03
October = 2026-10
on March 3 = 2027-03-03
on 3 October = 2026-10-03
December 24 = 2026-12-24
30 February 2020 = None
2020-02-30 = None
2020-13 = None
soon = None
someday = None
Oslo = None
"""


def cases(text: str) -> list[tuple[str, str]]:
    return [(left, right) for left, right in (line.split(" = ") for line in text.strip().splitlines())]


def test_there_are_more_than_a_hundred() -> None:
    assert sum(expected != "None" for _, expected in cases(RELATIVE)) >= 100


@pytest.mark.parametrize(("text", "expected"), cases(RELATIVE))
def test_relative_dates(text: str, expected: str) -> None:
    """bugs 3.14."""
    assert str(relative_date(text, NOW)) == expected


@pytest.mark.parametrize(("text", "expected"), cases(STATED))
def test_stated_dates(text: str, expected: str) -> None:
    """bugs 3.14."""
    assert str(read_date(text, NOW)) == expected


@pytest.mark.parametrize("day", range(7))
def test_weekdays_from_every_day_of_the_week(day: int) -> None:
    """This week is Monday the 23rd to Sunday the 29th."""
    now = datetime(2026, 11, 23, 9) + timedelta(days=day)
    assert str(relative_date("next Friday", now)) == "2026-12-04"
    assert str(relative_date("on Friday", now)) == ("2026-11-27" if day < 4 else "2026-12-04")
    assert str(relative_date("this Friday", now)) == ("2026-11-27" if day <= 4 else "2026-12-04")
    assert str(relative_date("last Friday", now)) == ("2026-11-20" if day <= 4 else "2026-11-27")


@given(st.sampled_from(cases(RELATIVE) + cases(STATED)), st.datetimes(), st.text(max_size=3))
def test_whatever_is_read_is_a_date(case: tuple[str, str], now: datetime, more: str) -> None:
    for span in (relative_date(case[0] + more, now), read_date(more + case[0], now)):
        if span is not None:
            assert check_date(span.start) is not None
            assert check_date(span.start) <= check_date(span.end)  # type: ignore[operator]


@given(st.text(max_size=40), st.datetimes())
def test_any_text_can_be_read(text: str, now: datetime) -> None:
    relative_date(text, now)
    read_date(text, now)


DATES = """
12 March 2014 | March 12, 2014 | 12th of March 2014 | 12/3/2014 | 2014-03-12 | 2014 | Mar 1998 | 3rd of August | May
c. 1450 | circa 300 BC | 44 BC | 5th century | Late 1864 | the 1780s | Summer 1990 | 1914-1918 | between 1850 and 1853
Christmas Eve | tomorrow | next Friday | nineteenth century | 12. März 2014 | 12 mars 2014 | 12 de marzo de 2014
12 marzo 2014 | 12 de Março de 2014 | 12 Mart 2014 | 12 maart 2014 | 12 marca 2014 | 2014年3月12日 | 12 марта 2014
"""
NO_DATES = "Oslo | the king | Apollo 11 | Battle of 1812 | a | World War II | when Bo came | Ada 1815 | 7th Cavalry | -"


@pytest.mark.parametrize("text", DATES.replace("\n", "|").strip("|").split("|"))
def test_values_that_say_when(text: str) -> None:
    """Issue 19 F."""
    assert is_date(text.strip())


@pytest.mark.parametrize("text", NO_DATES.split("|"))
def test_values_that_do_not(text: str) -> None:
    assert not is_date(text.strip())
