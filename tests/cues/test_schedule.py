"""cues.schedule: the cron grammar, due times through clock changes, timestamps, zones, missed windows."""

import re
import time
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab
from croniter import croniter
from cronsim import CronSim
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues import schedule
from cues.schedule import (
    Cron,
    CronRhythm,
    Plan,
    Span,
    Timetable,
    cron_timetable,
    local_instant,
    parse_at,
    parse_cron,
    to_numeric_fields,
    zone,
)

UTC_ZONE = ZoneInfo("UTC")
MINUTE = timedelta(minutes=1)
POLICIES = ("skip_missed", "run_once_if_missed", "replay_all_missed")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(cron: Cron, tz: ZoneInfo) -> Timetable:
    return Timetable(CronRhythm(cron, tz))


def first_due(expression: str, timezone_name: str, now: datetime) -> datetime:
    return schedule.first_due(cron_timetable(expression, timezone_name), now)


def dues(expression: str, zone_name: str, after: str, count: int) -> list[str]:
    """The next `count` due instants after `after`, as UTC text."""
    cron, tz, instant, found = parse_cron(expression), ZoneInfo(zone_name), at(after), []
    while len(found) < count:
        instant = table(cron, tz).next(instant)
        found.append(instant.strftime("%Y-%m-%dT%H:%M"))
    return found


# Grammar


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2031-05-04T09:00", "2031-05-04T09:01"),
        ("*/15 * * * *", "2031-05-04T09:00", "2031-05-04T09:15"),
        ("5/15 * * * *", "2031-05-04T09:20", "2031-05-04T09:35"),
        ("09 09 * * *", "2031-05-04T09:00", "2031-05-04T09:09"),
        ("10-20/5,50 * * * *", "2031-05-04T09:20", "2031-05-04T09:50"),
        ("0 9-17/4 * * *", "2031-05-04T09:00", "2031-05-04T13:00"),
        ("0 9 * * MON-FRI", "2031-05-02T09:00", "2031-05-05T09:00"),
        ("0 9 * * mon,Wed", "2031-05-05T09:00", "2031-05-07T09:00"),
        ("0 9 * jan-MAR *", "2031-05-04T09:00", "2032-01-01T09:00"),
        ("0 9 * * 0", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 * * 7", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 * * FRI-SUN", "2031-05-03T09:00", "2031-05-04T09:00"),
        ("0 9 * * 5-7", "2031-05-03T09:00", "2031-05-04T09:00"),
        ("0 9 * * 7/2", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 * * SUN-TUE", "2031-05-04T09:00", "2031-05-05T09:00"),
        ("0 9 * * sun-sun", "2031-05-04T09:00", "2031-05-11T09:00"),
        ("0 9 31 * *", "2031-05-31T09:00", "2031-07-31T09:00"),
        ("  0\t9 \n *  * * ", "2031-05-04T09:00", "2031-05-05T09:00"),
        ("@hourly", "2031-05-04T09:00", "2031-05-04T10:00"),
        ("@daily", "2031-05-04T09:00", "2031-05-05T00:00"),
        ("@midnight", "2031-05-04T09:00", "2031-05-05T00:00"),
        ("@weekly", "2031-05-04T09:00", "2031-05-11T00:00"),
        ("@monthly", "2031-05-04T09:00", "2031-06-01T00:00"),
        ("@yearly", "2031-05-04T09:00", "2032-01-01T00:00"),
        ("@Annually", "2031-05-04T09:00", "2032-01-01T00:00"),
        ("0 0 29 2 *", "2032-03-01T00:00", "2036-02-29T00:00"),
    ],
)
def test_an_expression_means_what_crontab_says(expression: str, after: str, expected: str) -> None:
    assert dues(expression, "UTC", after, 1) == [expected]


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "0 field"),
        ("0 9 * *", "4 field"),
        ("0 0 9 * * *", "six fields"),
        ("0 0 9 * * * 2031", "7 field"),
        ("* " * 51, "101 characters"),
        ("@reboot", "macro '@reboot'"),
        ("@daily 5", "macro '@daily 5'"),
        ("60 * * * *", "'minute': '60' is outside 0 to 59"),
        ("0 24 * * *", "'hour': '24' is outside 0 to 23"),
        ("0 0 0 * *", "'day of month': '0' is outside 1 to 31"),
        ("0 0 32 * *", "'day of month'"),
        ("0 0 * 13 *", "'month': '13' is outside"),
        ("0 0 * * 8", "'day of week': '8' is outside 0 to 7"),
        ("0 0 * MON *", "'month': 'MON' has a name"),
        ("0 0 * * JAN", "'day of week': 'JAN' has a name"),
        ("JAN * * * *", "takes no names"),
        ("0 0 * * MONDAY", "'day of week': 'MONDAY' is not"),
        ("*/0 * * * *", "step of 0"),
        ("*/-5 * * * *", "'minute'"),
        ("*/ * * * *", "'minute'"),
        ("/5 * * * *", "'minute'"),
        ("-5 * * * *", "'minute'"),
        ("1- * * * *", "'minute'"),
        ("1-2-3 * * * *", "'minute'"),
        ("1,,2 * * * *", "'minute': ''"),
        (",1 * * * *", "'minute': ''"),
        ("1.5 * * * *", "'minute'"),
        ("*5 * * * *", "'minute'"),
        ("*-5 * * * *", "'minute'"),
        ("+1 * * * *", "'minute'"),
        ("0 22-2 * * *", "runs backwards; write 22-23,0-2"),
        ("0 9 * * SAT-MON", "runs backwards; write 6-6,0-1"),
        ("0 0 L * *", "'day of month': 'L'"),
        ("0 0 15W * *", "'day of month': '15W'"),
        ("0 0 ? * *", "'day of month': '?'"),
        ("0 0 * * 5#2", "'day of week': '5#2'"),
        ("0 0 * * L5", "'day of week': 'L5'"),
        ("0 0 * * FRIL", "'day of week': 'FRIL'"),
        ("H * * * *", "'minute': 'H'"),
        ("H(0-5) * * * *", "'minute': 'H(0-5)'"),
        ("R * * * *", "'minute': 'R'"),
        ("1\x00 * * * *", "'minute'"),
        ("٣ * * * *", "'minute'"),
        ("0 0 * * ſun", "'day of week'"),
        ("\ud800 * * * *", "'minute'"),
    ],
)
def test_a_bad_expression_is_refused_with_place_reason_and_example(expression: str, complaint: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        parse_cron(expression)
    assert complaint in refusal.value.message
    assert "For example '0 9 * * MON-FRI'" in refusal.value.message
    refusal.value.message.encode()


def test_the_example_in_the_messages_works() -> None:
    assert parse_cron("0 9 * * MON-FRI").fields == ("0", "9", "*", "*", "MON-FRI")


def test_the_expression_is_kept_as_written_and_the_fields_are_expanded() -> None:
    cron = parse_cron("  @Daily ")
    assert (cron.expression, cron.fields) == ("@Daily", ("0", "0", "*", "*", "*"))
    assert parse_cron(" 0  9 * *  fri ").expression == "0  9 * *  fri"
    with pytest.raises(FrozenInstanceError):
        cron.expression = "0 0 * * *"  # type: ignore[misc]


def test_a_hundred_characters_are_allowed() -> None:
    expression = "0," * 45 + "10 * * * *"
    assert len(expression) == 100
    assert parse_cron(expression).expression == expression
    with pytest.raises(InvalidSchedule, match="101 characters"):
        parse_cron("0" + expression)


def test_two_restricted_day_fields_are_or() -> None:
    assert dues("0 9 1 * 1", "UTC", "2031-05-01T08:00", 4) == [
        "2031-05-01T09:00",  # Thursday the 1st
        "2031-05-05T09:00",
        "2031-05-12T09:00",
        "2031-05-19T09:00",
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 */2 * MON", ["2031-05-05T09:00", "2031-05-19T09:00"]),  # odd days that are Mondays
        ("0 9 1-7 * */2", ["2031-05-01T09:00", "2031-05-03T09:00"]),  # Thursday and Saturday
        ("0 9 10 * *", ["2031-05-10T09:00", "2031-06-10T09:00"]),
        ("0 9 * * SAT", ["2031-05-03T09:00", "2031-05-10T09:00"]),
    ],
)
def test_a_day_field_that_starts_with_a_star_is_and(expression: str, expected: list[str]) -> None:
    assert dues(expression, "UTC", "2031-05-01T00:00", 2) == expected


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "* * 30-31 FEB *"])
def test_an_impossible_date_is_refused_quickly(expression: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidSchedule, match=r"never comes due within five years\. For example"):
        first_due(expression, "America/New_York", at("2031-05-04T09:00"))
    assert time.process_time() - started < 0.1
    assert table(parse_cron(expression), UTC_ZONE).next(at("2031-05-04T09:00")) is None
    assert table(parse_cron(expression), UTC_ZONE).previous(at("2031-05-04T09:00")) is None


def test_a_leap_day_is_refused_only_when_the_next_is_over_five_years_away() -> None:
    assert first_due("0 0 29 2 *", "UTC", at("2031-05-04T09:00")) == at("2032-02-29")
    with pytest.raises(InvalidSchedule):
        first_due("0 0 29 2 *", "UTC", at("2097-01-01"))


def test_the_first_due_time_is_that_of_the_zone() -> None:
    assert first_due("15 2 * * *", "Europe/Paris", at("2031-05-03T12:00")) == at("2031-05-04T00:15")


def test_a_bad_zone_is_reported_before_a_bad_expression() -> None:
    with pytest.raises(InvalidTimezone):
        first_due("nonsense", "Mars/Olympus", at("2031-05-04T09:00"))
    with pytest.raises(InvalidSchedule):
        first_due("nonsense", "UTC", at("2031-05-04T09:00"))


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        table(parse_cron("* * * * *"), UTC_ZONE).next(datetime(2031, 5, 4))  # noqa: DTZ001


# Clock changes


@pytest.mark.parametrize(
    ("zone_name", "expression", "after", "expected"),
    [
        pytest.param(
            "America/New_York", "30 2 * * *", "2025-03-08T08:00",
            ["2025-03-09T07:00", "2025-03-10T06:30"], id="lost-time-runs-after-the-gap",
        ),
        pytest.param(
            "America/New_York", "*/10 2 * * *", "2025-03-08T12:00",
            ["2025-03-09T07:00", "2025-03-10T06:00"], id="several-lost-times-are-one-run",
        ),
        pytest.param(
            "America/New_York", "0,30 1-3 * * *", "2025-03-09T05:59",
            ["2025-03-09T06:00", "2025-03-09T06:30", "2025-03-09T07:00", "2025-03-09T07:30"],
            id="a-lost-time-and-a-real-one-at-the-same-instant-are-one-run",
        ),
        pytest.param(
            "America/New_York", "30 1 * * *", "2025-11-01T06:00",
            ["2025-11-02T05:30", "2025-11-03T06:30"], id="repeated-time-runs-first-time-only",
        ),
        pytest.param(
            "America/New_York", "30 0-2 * * *", "2025-11-02T04:00",
            ["2025-11-02T04:30", "2025-11-02T05:30", "2025-11-02T07:30"], id="a-range-of-hours-is-fixed",
        ),
        pytest.param(
            "America/New_York", "30 * * * *", "2025-11-02T05:00",
            ["2025-11-02T05:30", "2025-11-02T06:30", "2025-11-02T07:30"], id="hourly-runs-in-both-passes",
        ),
        pytest.param(
            "America/New_York", "30 */1 * * *", "2025-11-02T05:00",
            ["2025-11-02T05:30", "2025-11-02T06:30", "2025-11-02T07:30"], id="a-step-follows-elapsed-time",
        ),
        pytest.param(
            "America/New_York", "30 1-23/2 * * *", "2025-11-02T05:00",
            ["2025-11-02T05:30", "2025-11-02T06:30", "2025-11-02T08:30"], id="a-stepped-range-too",
        ),
        pytest.param(
            "America/New_York", "30 */2 * * *", "2025-03-09T05:00",
            ["2025-03-09T05:30", "2025-03-09T08:30"], id="a-lost-time-of-a-step-is-not-held-back",
        ),
        pytest.param(
            "Australia/Lord_Howe", "15 2 * * *", "2025-10-04T12:00",
            ["2025-10-04T15:30", "2025-10-05T15:15"], id="half-hour-gap",
        ),
        pytest.param(
            "Australia/Lord_Howe", "45 1 * * *", "2025-04-05T12:00",
            ["2025-04-05T14:45", "2025-04-06T15:15"], id="half-hour-repeated",
        ),
        pytest.param(
            "Australia/Lord_Howe", "45 * * * *", "2025-04-05T14:00",
            ["2025-04-05T14:45", "2025-04-05T15:15", "2025-04-05T16:15"], id="half-hour-repeated-hourly",
        ),
        pytest.param(
            "Australia/Lord_Howe", "15 * * * *", "2025-10-04T14:00",
            ["2025-10-04T14:45", "2025-10-04T16:15"], id="half-hour-gap-hourly",
        ),
        pytest.param(
            "Pacific/Apia", "0 9 * * *", "2011-12-29T12:00",
            ["2011-12-29T19:00", "2011-12-30T10:00", "2011-12-30T19:00"], id="a-skipped-day-runs-at-its-end",
        ),
        pytest.param(
            "Pacific/Apia", "0 9 30 12 *", "2011-12-01T00:00",
            ["2011-12-30T10:00", "2012-12-29T19:00"], id="a-skipped-date-runs-at-its-end",
        ),
        pytest.param(
            "Pacific/Apia", "0 * 30 12 *", "2011-12-01T00:00",
            ["2012-12-29T10:00"], id="a-skipped-date-of-an-hourly-job-is-lost",
        ),
        pytest.param(
            "Africa/Casablanca", "30 2 * * *", "2025-02-22T12:00",
            ["2025-02-23T01:30", "2025-02-24T02:30"], id="casablanca-back-for-ramadan",
        ),
        pytest.param(
            "Africa/Casablanca", "30 2 * * *", "2025-04-05T12:00",
            ["2025-04-06T02:00", "2025-04-07T01:30"], id="casablanca-forward-again",
        ),
        pytest.param(
            "Asia/Kathmandu", "0 9 * * *", "2031-05-04T00:00",
            ["2031-05-04T03:15", "2031-05-05T03:15"], id="kathmandu-quarter-hour-offset",
        ),
        pytest.param(
            "America/St_Johns", "30 * * * *", "2006-10-29T01:30",
            ["2006-10-29T02:00", "2006-10-29T03:00", "2006-10-29T04:00"], id="change-at-one-past-midnight",
        ),
        pytest.param(
            "America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00",
            ["2018-11-04T03:00", "2018-11-05T02:00"], id="midnight-is-lost",
        ),
        pytest.param(
            "America/Recife", "0 3 * * 0", "2000-10-07T12:00",
            ["2000-10-08T05:00", "2000-10-15T06:00", "2000-10-22T06:00"], id="two-changes-within-a-week",
        ),
    ],
)  # fmt: skip
def test_due_times_through_a_clock_change(zone_name: str, expression: str, after: str, expected: list[str]) -> None:
    assert dues(expression, zone_name, after, len(expected)) == expected
    cron, tz = parse_cron(expression), ZoneInfo(zone_name)
    backwards = table(cron, tz).between(at(after), at(expected[-1]), 100)
    assert [due.strftime("%Y-%m-%dT%H:%M") for due in backwards] == expected


@pytest.mark.parametrize(
    ("day", "hours"), [("2025-03-09", 23), ("2025-06-01", 24), ("2025-11-02", 25), ("2025-12-24", 24)]
)
def test_an_hourly_job_runs_as_often_as_the_day_has_hours(day: str, hours: int) -> None:
    tz = ZoneInfo("America/New_York")
    midnight = datetime.fromisoformat(day)
    start, end = local_instant(midnight, tz), local_instant(midnight + timedelta(days=1), tz)
    runs = table(parse_cron("0 * * * *"), tz).between(start - MINUTE, end - MINUTE, 100)
    assert len(runs) == hours
    assert {later - earlier for earlier, later in pairwise(runs)} == {timedelta(hours=1)}


# Laws


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    span = pair.map(lambda ends: f"{ends[0]}-{ends[1]}")
    # cronsim reads 3-3/2 as 3/2, which goes on to the end of the field; cron does not.
    proper = pair.filter(lambda ends: ends[0] < ends[1]).map(lambda ends: f"{ends[0]}-{ends[1]}")
    item = number.map(str) | span | st.tuples(proper, st.integers(1, 9).map(str)).map("/".join)
    return st.lists(item, min_size=1, max_size=3).map(",".join)


def column(low: int, high: int) -> st.SearchStrategy[str]:
    return st.just("*") | st.integers(1, high).map(lambda step: f"*/{step}") | numbers(low, high)


EXPRESSIONS = st.tuples(column(0, 59), column(0, 23), column(1, 28), st.just("*") | column(1, 12), column(0, 7)).map(
    " ".join
)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
# Instants near a clock change, where a mistake would show.
CHANGES = st.sampled_from(
    [
        ("America/New_York", "2025-03-09T07:00"),
        ("America/New_York", "2025-11-02T06:00"),
        ("Australia/Lord_Howe", "2025-04-05T15:00"),
        ("Australia/Lord_Howe", "2025-10-04T15:30"),
        ("Pacific/Apia", "2011-12-30T10:00"),
        ("Africa/Casablanca", "2025-02-23T02:00"),
        ("America/St_Johns", "2006-10-29T02:31"),
        ("Asia/Kathmandu", "2025-10-04T15:30"),
    ]
)
AFTER_OFFSETS = st.integers(-2 * 86400, 86400).map(lambda seconds: timedelta(seconds=seconds))
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(EXPRESSIONS, CHANGES, AFTER_OFFSETS)
def test_next_is_later_and_previous_of_next_is_itself(
    expression: str, change: tuple[str, str], offset: timedelta
) -> None:
    cron, tz, instant = parse_cron(expression), ZoneInfo(change[0]), at(change[1]) + offset
    for _ in range(5):
        due = table(cron, tz).next(instant)
        if due is None:
            return
        assert due > instant
        assert due.tzinfo is UTC
        assert table(cron, tz).previous(due) == due
        earlier = table(cron, tz).previous(due - timedelta(microseconds=1))
        assert earlier is None or earlier <= instant
        instant = due


@quick
@given(EXPRESSIONS, CHANGES, AFTER_OFFSETS, st.integers(1, 11))
def test_the_nth_due_time_is_the_next_of_the_next(
    expression: str, change: tuple[str, str], offset: timedelta, count: int
) -> None:
    cron, tz, start = parse_cron(expression), ZoneInfo(change[0]), at(change[1]) + offset
    instant: datetime | None = start
    for _ in range(count):
        instant = table(cron, tz).next(instant) if instant else None
    assume(instant is not None)
    assert table(cron, tz).nth(start, count) == instant


@quick
@given(EXPRESSIONS, INSTANTS)
@example("0 9 1 * 1", at("2031-05-01T00:00"))
@example("0 9 */2 * 1", at("2031-05-01T00:00"))
def test_due_times_in_utc_agree_with_cronsim(expression: str, instant: datetime) -> None:
    cron, oracle = parse_cron(expression), CronSim(expression, instant)
    for _ in range(5):
        due = table(cron, UTC_ZONE).next(instant)
        expected = next(oracle, None)
        if due is None:
            assert expected is None or expected - instant > timedelta(days=5 * 365)
            return
        assert due == expected
        instant = due


@quick
@given(st.tuples(column(0, 59), column(0, 23), column(1, 28), column(1, 12)).map(" ".join), INSTANTS)
def test_due_times_in_utc_agree_with_croniter_where_only_one_day_field_is_restricted(
    four_fields: str, instant: datetime
) -> None:
    assume(not re.search(r"\b(\d+)-\1\b", four_fields))  # croniter takes 2-2 for every value
    expression = f"{four_fields} *"
    oracle = croniter(expression, instant)
    for _ in range(5):
        due = table(parse_cron(expression), UTC_ZONE).next(instant)
        if due is None:
            return
        assert due == oracle.get_next(datetime)
        instant = due


def walls_between(expression: str, start: datetime, end: datetime) -> list[datetime]:
    """Matching local times in (start, end), by cronsim, which knows no zone here."""
    found = []
    for wall in CronSim(expression, start):
        if wall >= end:
            break
        found.append(wall)
    return found


@quick
@given(EXPRESSIONS, CHANGES, AFTER_OFFSETS)
def test_due_times_near_a_clock_change_agree_with_a_minute_by_minute_reading(
    expression: str, change: tuple[str, str], offset: timedelta
) -> None:
    tz, start = ZoneInfo(change[0]), (at(change[1]) + offset).replace(second=0)
    end = start + timedelta(days=1)
    margin = timedelta(days=2)
    walls = walls_between(
        expression,
        start.astimezone(tz).replace(tzinfo=None) - margin,
        end.astimezone(tz).replace(tzinfo=None) + margin,
    )
    hour = expression.split()[1]
    if "*" in hour or "/" in hour:
        matching = set(walls)
        minutes = (start + MINUTE * n for n in range(1, 1441))
        expected = {minute for minute in minutes if minute.astimezone(tz).replace(tzinfo=None) in matching}
    else:
        expected = {due for due in (local_instant(wall, tz) for wall in walls) if start < due <= end}
    assert table(parse_cron(expression), tz).between(start, end, 2000) == sorted(expected)


# Ranges of due times


def test_of_more_windows_than_the_limit_the_newest_are_given_oldest_first() -> None:
    cron = parse_cron("0 * * * *")
    found = table(cron, UTC_ZONE).between(at("2031-05-04T00:00"), at("2031-05-04T09:00"), 3)
    assert found == [at("2031-05-04T07:00"), at("2031-05-04T08:00"), at("2031-05-04T09:00")]
    assert table(cron, UTC_ZONE).between(at("2031-05-04T08:00"), at("2031-05-04T08:59"), 3) == []
    assert table(cron, UTC_ZONE).between(at("2031-05-04T08:00"), at("2031-05-04T09:00"), 0) == []


def test_a_year_of_minutes_takes_no_time() -> None:
    started = time.process_time()
    end = at("2031-05-04T09:00")
    found = table(parse_cron("* * * * *"), ZoneInfo("America/New_York")).between(end - timedelta(days=365), end, 100)
    assert time.process_time() - started < 0.1
    assert found == [end - MINUTE * n for n in reversed(range(100))]


# For the admin


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 9-17/2 1,15 jan-mar,DEC MON-FRI", ("*/15", "9-17/2", "1,15", "1-3,12", "1-5")),
        ("5/15 09 * * 7", ("5-59/15", "9", "*", "*", "0")),
        ("0 0 * * FRI-SUN", ("0", "0", "*", "*", "5,6,0")),
        ("0 0 * * 1-7/2,SAT", ("0", "0", "*", "*", "1,3,5,0,6")),
        ("@weekly", ("0", "0", "*", "*", "0")),
        ("0 0 * * " + ",".join(["0-7"] * 20), ("0", "0", "*", "*", "0,1,2,3,4,5,6")),
    ],
)
def test_numeric_fields_have_neither_names_nor_sevens(expression: str, expected: tuple[str, ...]) -> None:
    assert to_numeric_fields(parse_cron(expression)) == expected


@quick
@given(EXPRESSIONS)
@example("5/15 * * * FRI-SUN")
@example("*/90 */30 */40 */13 */8")
@example("@monthly")
def test_celery_reads_the_numeric_fields_as_cron_does(expression: str) -> None:
    fields = to_numeric_fields(parse_cron(expression))
    minute, hour, day, month, weekday = fields
    celery = crontab(minute, hour, day_of_month=day, month_of_year=month, day_of_week=weekday)
    plain = CronSim(" ".join(parse_cron(expression).fields).replace("FRI-SUN", "5-7"), at("2031-01-01"))
    assert celery.minute == plain.minutes
    assert celery.hour == plain.hours
    assert celery.day_of_month == plain.days
    assert celery.month_of_year == plain.months
    assert celery.day_of_week == {day % 7 for day in plain.weekdays}
    assert max(map(len, fields)) <= 169


# Zones and timestamps


@pytest.mark.parametrize("name", ["UTC", "Europe/Paris", "America/Argentina/Ushuaia", "Asia/Kathmandu"])
def test_an_iana_name_is_a_zone(name: str) -> None:
    assert zone(name).key == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "../etc/passwd", "/etc/localtime", "localtime", "America", "America/", "europe/paris", "UTC ",
     "UTC\x00", "x" * 1000, "Mars/Olympus", "+02:00", "\ud800", "tzdata.zi", "zone.tab", "."],
)  # fmt: skip
def test_any_other_name_is_an_invalid_timezone(name: str) -> None:
    with pytest.raises(InvalidTimezone) as refusal:
        zone(name)
    assert len(refusal.value.message.encode()) < 500


def test_a_misspelt_zone_gets_a_suggestion() -> None:
    with pytest.raises(InvalidTimezone, match="Try America/New_York"):
        zone("america/new york")


@pytest.mark.parametrize(
    ("zone_name", "local", "expected"),
    [
        ("Europe/Paris", "2031-05-04T09:00", "2031-05-04T07:00"),
        ("America/New_York", "2025-03-09T02:30", "2025-03-09T07:00"),
        ("America/New_York", "2025-03-09T03:00", "2025-03-09T07:00"),
        ("America/New_York", "2025-11-02T01:30", "2025-11-02T05:30"),
        ("Australia/Lord_Howe", "2025-10-05T02:29:59.5", "2025-10-04T15:30"),
        ("Pacific/Apia", "2011-12-30T00:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-30T23:59", "2011-12-30T10:00"),
    ],
)
def test_a_local_time_is_one_instant(zone_name: str, local: str, expected: str) -> None:
    naive = datetime.fromisoformat(local)
    assert local_instant(naive, ZoneInfo(zone_name)) == at(expected)
    assert local_instant(naive.replace(fold=1), ZoneInfo(zone_name)) == at(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2031-05-04T09:00:00Z", "2031-05-04T09:00"),
        ("2031-05-04t09:00:00z", "2031-05-04T09:00"),
        (" 2031-05-04 09:00:00+02:00 ", "2031-05-04T07:00"),
        ("2031-05-04T09:00:00-0330", "2031-05-04T12:30"),
        ("2031-05-04T09:00:00", "2031-05-04T07:00"),
        ("2031-05-04T09:00", "2031-05-04T07:00"),
        ("20310504T090000Z", "2031-05-04T09:00"),
        ("2031-05-04T09:00:00.123456789Z", "2031-05-04T09:00:00.123456"),
        ("2031-03-30T02:30", "2031-03-30T01:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00"),
        ("9000-12-31T23:59:59Z", "9000-12-31T23:59:59"),
    ],
)
def test_a_timestamp_is_read_in_the_zone_unless_it_has_an_offset(text: str, expected: str) -> None:
    parsed = parse_at(text, ZoneInfo("Europe/Paris"))
    assert parsed == at(expected)
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2031-05-04", "20310504", "2031-W18-1", "2031-W18-1T09:00", "2031-05-04T", "1777000000",
     "2031-02-30T09:00:00Z", "2031-05-04T25:00:00Z", "2031-05-04T09:00:60Z", "2031-05-04T09:00:00+25:00",
     "2031-05-04T09:00:00Z\x00", "2031-05-04T09:00:00 Europe/Paris", "٢٠٣١-05-04T09:00:00Z", "\ud800",
     "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+14:00", "9001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59",
     "0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "0000-01-01T00:00:00Z",
     "9000-12-31T23:59:59-01:00", "2031-05-04T09" * 1000],
)  # fmt: skip
def test_any_other_timestamp_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidSchedule, match="For example '2031-05-04T09:00:00Z'") as refusal:
        parse_at(text, ZoneInfo("America/New_York"))
    assert len(refusal.value.message.encode()) < 500


@quick
@given(st.text(max_size=120))
def test_no_text_whatever_raises_anything_but_our_errors(text: str) -> None:
    for read in (parse_cron, zone, lambda value: parse_at(value, UTC_ZONE)):
        try:
            read(text)
        except (InvalidSchedule, InvalidTimezone) as refusal:
            refusal.message.encode()


# Missed windows


def planned(now: str, catch_up: str, *, due: str = "10:00", expression: str = "*/5 * * * *") -> Plan:
    timetable = table(parse_cron(expression), UTC_ZONE)
    return schedule.plan(at(f"2031-05-04T{due}"), at(f"2031-05-04T{now}"), catch_up, 60, timetable)


def clock(instants: tuple[datetime, ...]) -> list[str]:
    return [f"{instant:%H:%M}" for instant in instants]


@pytest.mark.parametrize(
    ("now", "skipped", "once", "replayed", "next_run"),
    [
        ("10:00:00", ["10:00"], ["10:00"], ["10:00"], "10:05"),
        ("10:00:30", ["10:00"], ["10:00"], ["10:00"], "10:05"),
        ("10:01:00", ["10:00"], ["10:00"], ["10:00"], "10:05"),  # exactly the grace: not later than it
        ("10:01:00.000001", [], ["10:00"], ["10:00"], "10:05"),
        ("10:04:59", [], ["10:00"], ["10:00"], "10:05"),
        ("10:05:00", ["10:05"], ["10:00", "10:05"], ["10:00", "10:05"], "10:10"),
        ("10:15:30", ["10:15"], ["10:10", "10:15"], ["10:00", "10:05", "10:10", "10:15"], "10:20"),
        ("10:17:00", [], ["10:15"], ["10:00", "10:05", "10:10", "10:15"], "10:20"),
    ],
)
def test_what_runs_after_an_outage(
    now: str, skipped: list[str], once: list[str], replayed: list[str], next_run: str
) -> None:
    for catch_up, expected in zip(POLICIES, (skipped, once, replayed), strict=True):
        result = planned(now, catch_up)
        assert clock(result.slots) == expected, catch_up
        assert result.next_run == at(f"2031-05-04T{next_run}")


def test_every_window_in_time_runs_even_when_several_are() -> None:
    for catch_up in POLICIES:
        assert clock(planned("10:01:00", catch_up, expression="* * * * *").slots) == ["10:00", "10:01"]


def test_a_replay_is_the_newest_hundred_missed_beside_those_in_time() -> None:
    result = planned("09:00:30", "replay_all_missed", due="00:00", expression="* * * * *")
    assert len(result.slots) == 101
    assert result.slots[0] == at("2031-05-04T07:20")
    assert result.slots[-1] == at("2031-05-04T09:00")
    assert list(result.slots) == sorted(set(result.slots))


@pytest.mark.parametrize("catch_up", POLICIES)
def test_the_stored_due_time_runs_even_if_the_expression_no_longer_has_it(catch_up: str) -> None:
    assert clock(planned("10:03:10", catch_up, due="10:03").slots) == ["10:03"]


@pytest.mark.parametrize("catch_up", POLICIES)
def test_nothing_runs_before_its_time(catch_up: str) -> None:
    assert planned("09:59:59", catch_up) == Plan(None, (), (), at("2031-05-04T10:00"))


@pytest.mark.parametrize(
    ("late_s", "catch_up", "runs"),
    [
        (0, "skip_missed", True),
        (60, "skip_missed", True),
        (61, "skip_missed", False),
        (61, "run_once_if_missed", True),
        (86400, "replay_all_missed", True),
    ],
)
def test_a_one_shot_runs_unless_it_is_missed_and_skipped(late_s: int, catch_up: str, runs: bool) -> None:
    due_at = at("2031-05-04T10:00")
    result = schedule.plan(due_at, due_at + timedelta(seconds=late_s), catch_up, 60, None)
    assert result.slots == ((due_at,) if runs else ())
    assert result.missed == (None if runs else Span(due_at, due_at, 1))
    assert result.next_run is None


def test_a_plan_is_made_in_the_zone_of_the_cue() -> None:
    due_at = local_instant(datetime.fromisoformat("2025-11-02T01:30"), ZoneInfo("America/New_York"))
    timetable = cron_timetable("30 1 * * *", "America/New_York")
    result = schedule.plan(due_at, due_at + timedelta(hours=2), "replay_all_missed", 60, timetable)
    assert result == Plan(None, (due_at,), (), at("2025-11-03T06:30"))


def test_an_aware_instant_of_any_zone_will_do() -> None:
    tokyo = datetime(2031, 5, 4, 9, tzinfo=timezone(timedelta(hours=9)))
    assert table(parse_cron("@hourly"), UTC_ZONE).next(tokyo) == at("2031-05-04T01:00")
