"""cues.rhythm: the times that expressions and intervals name, through clock changes, held against other readings."""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cues.rhythm import Interval, Rhythm
from cues.timetable import Timetable
from cues.zones import local_instant
from tests.support.schedules import (
    AFTER_OFFSETS,
    CHANGES,
    EXPRESSIONS,
    HOUR,
    MINUTE,
    NOON,
    at,
    column,
    dues,
    quick,
    rhythms_near_a_change,
    table,
)

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def first(timetable: Timetable, after: datetime, count: int) -> list[datetime]:
    return list(islice(timetable.onward(after), count))


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
    backwards = table(expression, zone_name).between(at(after), at(expected[-1]), 100)
    assert [due.strftime("%Y-%m-%dT%H:%M") for due in backwards] == expected


@pytest.mark.parametrize(
    ("day", "hours"), [("2025-03-09", 23), ("2025-06-01", 24), ("2025-11-02", 25), ("2025-12-24", 24)]
)
def test_an_hourly_job_runs_as_often_as_the_day_has_hours(day: str, hours: int) -> None:
    tz = ZoneInfo("America/New_York")
    midnight = datetime.fromisoformat(day)
    start, end = local_instant(midnight, tz), local_instant(midnight + timedelta(days=1), tz)
    runs = table("0 * * * *", "America/New_York").between(start - MINUTE, end - MINUTE, 100)
    assert len(runs) == hours
    assert {later - earlier for earlier, later in pairwise(runs)} == {timedelta(hours=1)}


@pytest.mark.parametrize(
    ("zone", "expression", "after", "default", "skip", "both"),
    [
        ("America/New_York", "30 2 * * *", "2025-03-08T12:00", "09T07:00", "10T06:30", "09T07:00"),
        ("Australia/Lord_Howe", "15 2 * * *", "2025-10-04T12:00", "04T15:30", "05T15:15", "04T15:30"),
        ("Pacific/Apia", "0 9 30 * *", "2011-12-01T12:00", "30T10:00", "29T19:00", "30T10:00"),
        ("Africa/Casablanca", "30 2 * * *", "2025-04-05T12:00", "06T02:00", "07T01:30", "06T02:00"),
        ("Asia/Kathmandu", "30 2 * * *", "2025-04-05T12:00", "05T20:45", "05T20:45", "05T20:45"),
        ("UTC", "30 2 * * *", "2025-04-05T12:00", "06T02:30", "06T02:30", "06T02:30"),
    ],
)
def test_a_lost_time_by_each_choice(zone: str, expression: str, after: str, default: str, skip: str, both: str) -> None:
    for dst, due in (("default", default), ("skip", skip), ("both", both)):
        found = table(expression, zone, dst).next(at(after))
        assert found is not None
        assert found.strftime("%dT%H:%M") == due, dst


@pytest.mark.parametrize(
    ("zone", "expression", "after", "first_pass", "second_pass", "next_day"),
    [
        ("America/New_York", "30 1 * * *", "2025-11-01T12:00", "02T05:30", "02T06:30", "03T06:30"),
        ("Australia/Lord_Howe", "45 1 * * *", "2025-04-05T12:00", "05T14:45", "05T15:15", "06T15:15"),
        ("Africa/Casablanca", "30 2 * * *", "2025-02-22T12:00", "23T01:30", "23T02:30", "24T02:30"),
    ],
)
def test_a_repeated_time_by_each_choice(
    zone: str, expression: str, after: str, first_pass: str, second_pass: str, next_day: str
) -> None:
    for dst, expected in (
        ("default", [first_pass, next_day]),
        ("skip", [first_pass, next_day]),
        ("both", [first_pass, second_pass, next_day]),
    ):
        found = first(table(expression, zone, dst), at(after), len(expected))
        assert [due.strftime("%dT%H:%M") for due in found] == expected, dst


@pytest.mark.parametrize("dst", ["default", "skip", "both"])
def test_an_hourly_job_follows_elapsed_time_by_every_choice(dst: str) -> None:
    dues = first(table("30 * * * *", "America/New_York", dst), at("2025-11-02T03:00"), 6)
    assert {later - earlier for earlier, later in pairwise(dues)} == {HOUR}


def test_five_years_are_waited_for_to_the_end() -> None:
    rare = table("1 3 */31 2 6", "Pacific/Tongatapu")  # the 1st of February where that is a Saturday
    both = [at("2020-01-31T14:01"), at("2025-01-31T14:01")]
    assert first(rare, at("2019-05-04T00:00"), 2) == both
    assert list(islice(rare.back(at("2025-05-04T00:00")), 2)) == both[::-1]


# --- Intervals --------------------------------------------------------------------------------------------------


def test_an_interval_counts_from_its_anchor_whenever_one_asks() -> None:
    every = Timetable(Interval(90 * MINUTE, NOON))
    assert first(every, NOON, 2) == [NOON + 90 * MINUTE, NOON + 180 * MINUTE]
    assert every.next(NOON + 89 * MINUTE) == NOON + 90 * MINUTE
    assert every.previous(NOON + 89 * MINUTE) == NOON
    assert every.next(NOON - 100 * MINUTE) == NOON - 90 * MINUTE


# --- Laws -------------------------------------------------------------------------------------------------------


@quick
@given(rhythms_near_a_change(), st.integers(1, 400))
def test_onward_back_and_count_tell_the_same(drawn: tuple[Rhythm, datetime], hours: int) -> None:
    rhythm, after = drawn
    until = after + hours * HOUR
    onward = list(takewhile(lambda slot: slot <= until, rhythm.onward(after)))
    assert list(takewhile(lambda slot: slot > after, rhythm.back(until)))[::-1] == onward
    assert rhythm.count(after, until) == len(onward)
    assert onward == sorted(set(onward))


@quick
@given(rhythms_near_a_change(), st.lists(st.integers(0, 400 * 3600), min_size=1, max_size=4))
def test_a_count_is_the_sum_of_the_counts_of_its_parts(drawn: tuple[Rhythm, datetime], cuts: list[int]) -> None:
    rhythm, after = drawn
    ends = [after + timedelta(seconds=cut) for cut in sorted({0, *cuts})]
    assert rhythm.count(ends[0], ends[-1]) == sum(rhythm.count(*part) for part in pairwise(ends))


@quick
@given(EXPRESSIONS, INSTANTS)
@example("0 9 1 * 1", at("2031-05-01T00:00"))
@example("0 9 */2 * 1", at("2031-05-01T00:00"))
def test_due_times_in_utc_agree_with_cronsim(expression: str, instant: datetime) -> None:
    oracle = CronSim(expression, instant)
    for _ in range(5):
        due = table(expression).next(instant)
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
        due = table(expression).next(instant)
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
    assert table(expression, change[0]).between(start, end, 2000) == sorted(expected)
