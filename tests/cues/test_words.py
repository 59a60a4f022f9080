"""Schedules in words."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cues.cron import parse_cron, rule_of
from cues.rhythm import CronRhythm, Interval
from cues.timetable import Timetable
from cues.words import describe, describe_cron, duration
from tests.support.schedules import EXPRESSIONS, quick

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0 9 * * MON-FRI", "At 09:00, Monday to Friday"),
        ("0 9 * * FRI-SUN", "At 09:00, Friday to Sunday"),
        ("0 9 * * 0,6", "At 09:00, Saturday and Sunday"),
        ("0 */2 * * *", "Every 2 hours from 00:00"),
        ("30 */2 * * *", "Every 2 hours from 00:30"),
        ("0 */6 * * *", "At 00:00, 06:00, 12:00 and 18:00"),
        ("0,30 */2 * * *", "At 0 and 30 minutes past the hour, in every 2nd hour from 00 to 22"),
        ("*/15 */2 * * *", "Every 15 minutes, in every 2nd hour from 00 to 22"),
        ("*/7 * * * *", "Every 7th minute from 0 to 56 past the hour"),  # not every 7 minutes
        ("0,1,30 9 * * *", "At 09:00, 09:01 and 09:30"),
        ("0 9-17 * * *", "On the hour, in the hours 09 to 17"),
        ("* 9 * * *", "Every minute, in the hour 09"),
        ("0 0 */2 * *", "At 00:00, on every 2nd day of the month from 1 to 31"),
        ("0 0 1-31 * MON", "At 00:00, every day"),  # two restricted fields: one of them is enough
        ("0 0 */1 * MON", "At 00:00, Monday"),
        ("0 0 13 * 0-6", "At 00:00, every day"),
        ("0 0 * * */2", "At 00:00, Tuesday, Thursday, Saturday and Sunday"),
        ("0 0 1-7 * */3", "At 00:00, on days 1 to 7 of the month if that is Wednesday, Saturday or Sunday"),
        ("0 0 1,2,15 jan-mar,DEC *", "At 00:00, on days 1, 2 and 15 of the month, in January to March and December"),
        ("0 * * * *", "On the hour, every hour"),
        ("1 * * * *", "At 1 minute past the hour"),
        ("30 9,17 1,15 * *", "At 09:30 and 17:30, on days 1 and 15 of the month"),
        ("0 12 1 * MON", "At 12:00, on day 1 of the month or on Monday"),
        ("0 12 */15 * 1", "At 12:00, on days 1, 16 and 31 of the month if that is Monday"),
        ("0,30 9-17 * jan-mar *", "At 0 and 30 minutes past the hour, in the hours 09 to 17, in January to March"),
        ("*/40 * * * *", "At 0 and 40 minutes past the hour"),  # not every 40 minutes
        ("@yearly", "At 00:00, on day 1 of the month, in January"),
    ],
)
def test_a_cron_expression_in_words(expression: str, words: str) -> None:
    assert describe_cron(parse_cron(expression)) == words


def meaning(expression: str) -> tuple[object, ...]:
    rule = rule_of(parse_cron(expression).fields)
    days = tuple(day for day in range(4 * 366) if rule.runs_on(NOON.date() + timedelta(days=day)))
    return rule.minutes, rule.hours, days


@quick
@given(EXPRESSIONS, EXPRESSIONS, st.integers(0, 4))
def test_words_that_are_the_same_mean_the_same(one: str, other: str, column: int) -> None:
    fields = one.split()
    fields[column] = other.split()[column]
    changed = " ".join(fields)
    if describe_cron(parse_cron(one)) == describe_cron(parse_cron(changed)):
        assert meaning(one) == meaning(changed)


@quick
@given(EXPRESSIONS)
def test_every_expression_has_words(expression: str) -> None:
    words = describe_cron(parse_cron(expression))
    assert words[0].isupper()
    assert len(words) < 600


@pytest.mark.parametrize(
    ("expression", "dst", "ending"),
    [
        ("0 9 * * *", "default", ""),
        ("0 9 * * *", "skip", ", not at a time that a clock change leaves out"),
        ("0 9 * * *", "both", ", both times at a time that a clock change repeats"),
        ("0 * * * *", "skip", ""),  # makes no difference to elapsed time
    ],
)
def test_the_choice_at_a_clock_change_is_told_where_it_matters(expression: str, dst: str, ending: str) -> None:
    rhythm = CronRhythm(parse_cron(expression), ZoneInfo("Europe/Berlin"), dst)
    assert describe(Timetable(rhythm)) == f"{describe_cron(rhythm.cron)}, in Europe/Berlin{ending}"


def test_seconds_are_told_where_there_are_some() -> None:
    told = describe(Timetable(Interval(timedelta(hours=1), NOON + timedelta(seconds=5)), NOON))
    assert told == "Every 1 hour, counted from 2031-05-04 12:00:05 UTC, from 2031-05-04 12:00 UTC on"


def test_a_timetable_tells_its_zone_bounds_and_jitter() -> None:
    rhythm = CronRhythm(parse_cron("0 9 * * *"), ZoneInfo("Europe/Berlin"))
    told = describe(Timetable(rhythm, NOON, NOON + timedelta(days=1), 90, "a"))
    assert told == (
        "At 09:00, in Europe/Berlin, from 2031-05-04 12:00 UTC on, until 2031-05-05 12:00 UTC, "
        "each up to 1 minute 30 seconds later"
    )


def test_an_interval_tells_its_anchor() -> None:
    told = describe(Timetable(Interval(timedelta(minutes=90), NOON)))
    assert told == "Every 1 hour 30 minutes, counted from 2031-05-04 12:00 UTC"


def test_a_duration_is_never_empty() -> None:
    assert duration(timedelta(0)) == "0 seconds"
    assert duration(timedelta(days=9, seconds=1)) == "1 week 2 days 1 second"
