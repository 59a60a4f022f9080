"""Schedules in words."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from cues.cron import parse_cron
from cues.rhythm import CronRhythm, Interval
from cues.timetable import Timetable
from cues.words import describe, describe_cron, duration
from tests.cues.test_schedule import EXPRESSIONS

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0 9 * * MON-FRI", "At 09:00, Monday to Friday"),
        ("0 9 * * FRI-SUN", "At 09:00, Friday to Sunday"),
        ("0 9 * * 0,6", "At 09:00, Saturday and Sunday"),
        ("0 */2 * * *", "On the hour, every 2 hours"),
        ("0 * * * *", "On the hour, every hour"),
        ("1 * * * *", "At 1 minute past the hour"),
        ("30 9,17 1,15 * *", "At 09:30 and 17:30, on day 1 and 15 of the month"),
        ("0 12 1 * MON", "At 12:00, on day 1 of the month or on Monday"),
        ("0 12 */15 * 1", "At 12:00, on day 1, 16 and 31 of the month if that is Monday"),
        ("0,30 9-17 * jan-mar *", "At 0 and 30 minutes past the hour, in the hours 09 to 17, in January to March"),
        ("*/40 * * * *", "At 0 and 40 minutes past the hour"),  # not every 40 minutes
        ("@yearly", "At 00:00, on day 1 of the month, in January"),
    ],
)
def test_a_cron_expression_in_words(expression: str, words: str) -> None:
    assert describe_cron(parse_cron(expression)) == words


@given(EXPRESSIONS)
def test_every_expression_has_words(expression: str) -> None:
    assert describe_cron(parse_cron(expression))[0].isupper()


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
