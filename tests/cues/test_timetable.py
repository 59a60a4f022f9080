"""cues.timetable and cues.rhythm: bounds, jitter, intervals, choices at a clock change, and counting."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cueapi.errors import InvalidSchedule
from cues.cron import parse_cron
from cues.rhythm import CronRhythm, Interval, Rhythm
from cues.schedule import parse_every, plan, spell_every
from cues.timetable import Timetable

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TICK = timedelta(microseconds=1)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cron(expression: str, zone: str = "UTC", dst: str = "default") -> CronRhythm:
    return CronRhythm(parse_cron(expression), ZoneInfo(zone), dst)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(timetable: Timetable, after: datetime, count: int) -> list[datetime]:
    return list(islice(timetable.onward(after), count))


# --- Clock changes ----------------------------------------------------------------------------------------------


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
        found = Timetable(cron(expression, zone, dst)).next(at(after))
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
        found = first(Timetable(cron(expression, zone, dst)), at(after), len(expected))
        assert [due.strftime("%dT%H:%M") for due in found] == expected, dst


@pytest.mark.parametrize("dst", ["default", "skip", "both"])
def test_an_hourly_job_follows_elapsed_time_by_every_choice(dst: str) -> None:
    dues = first(Timetable(cron("30 * * * *", "America/New_York", dst)), at("2025-11-02T03:00"), 6)
    assert {later - earlier for earlier, later in pairwise(dues)} == {HOUR}


# --- Intervals --------------------------------------------------------------------------------------------------


def test_an_interval_counts_from_its_anchor_whenever_one_asks() -> None:
    every = Timetable(Interval(90 * MINUTE, NOON))
    assert first(every, NOON, 2) == [NOON + 90 * MINUTE, NOON + 180 * MINUTE]
    assert every.next(NOON + 89 * MINUTE) == NOON + 90 * MINUTE
    assert every.previous(NOON + 89 * MINUTE) == NOON
    assert every.next(NOON - 100 * MINUTE) == NOON - 90 * MINUTE


@pytest.mark.parametrize(
    ("text", "seconds", "spelled"),
    [
        ("15m", 900, "15m"),
        ("90m", 5400, "1h30m"),
        ("1h30m", 5400, "1h30m"),
        ("60s", 60, "1m"),
        (" 1D ", 86_400, "1d"),
        ("2w", 1_209_600, "2w"),
        ("366d", 31_622_400, "52w2d"),
    ],
)
def test_an_interval_is_read_and_spelled(text: str, seconds: int, spelled: str) -> None:
    assert parse_every(text) == seconds
    assert spell_every(seconds) == spelled
    assert parse_every(spelled) == seconds


@pytest.mark.parametrize(
    "text", ["", "15", "m", "59s", "367d", "1m1h", "-5m", "1.5h", "15 minutes", "9" * 9 + "d", "٣m"]
)
def test_any_other_interval_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidSchedule, match=r"15m|366d"):
        parse_every(text)


# --- Bounds -----------------------------------------------------------------------------------------------------


def test_bounds_are_inclusive_and_nothing_is_due_outside() -> None:
    bound = Timetable(cron("0 * * * *"), starts_at=NOON, ends_at=NOON + 2 * HOUR)
    inside = [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert first(bound, NOON - 100 * HOUR, 9) == inside
    assert bound.between(NOON - 100 * HOUR, NOON + 100 * HOUR) == inside
    assert (bound.next(NOON + 2 * HOUR), bound.previous(NOON - TICK)) == (None, None)
    assert bound.count(NOON - 100 * HOUR, NOON + 100 * HOUR) == 3


def test_a_start_that_is_far_away_is_found() -> None:
    far = datetime(2099, 1, 1, tzinfo=UTC)
    assert Timetable(cron("0 0 1 1 *"), starts_at=far).next(NOON) == far


# --- Jitter -----------------------------------------------------------------------------------------------------


def test_jitter_is_the_cues_own_and_the_same_whenever_one_asks() -> None:
    one, same, other = (Timetable(cron("* * * * *"), jitter_s=30, seed=seed) for seed in ("a", "a", "b"))
    assert first(one, NOON, 50) == first(same, NOON, 50)
    assert first(one, NOON, 50) != first(other, NOON, 50)
    offsets = {due.second for due in first(one, NOON, 500)}
    assert (min(offsets), max(offsets)) == (0, 30)


def test_jitter_never_reaches_the_next_window() -> None:
    wild = Timetable(cron("*/5 * * * *"), jitter_s=86_400, seed="a")
    dues = first(wild, NOON, 200)
    slots = [wild.slot_of(due) for due in dues]
    assert {later - earlier for earlier, later in pairwise(slots)} == {5 * MINUTE}
    assert all(later > earlier for earlier, later in pairwise(dues))
    assert max(due - wild.slot_of(due) for due in dues) < 5 * MINUTE


RHYTHMS: st.SearchStrategy[Rhythm] = st.sampled_from(
    [
        cron(expression, zone, dst)
        for expression in ("*/7 * * * *", "30 1,2 * * *", "15 */3 * * 1-5", "0 9 1 * 1", "*/20 1-3 * * *")
        for zone in ("America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC")
        for dst in ("default", "skip", "both")
    ]
) | st.integers(1, 5000).map(lambda minutes: Interval(minutes * MINUTE, NOON))
STARTS = st.sampled_from(
    [at("2025-03-08T00:00"), at("2025-11-01T00:00"), at("2011-12-29T00:00"), at("2025-04-05T00:00"), NOON]
)
OFFSETS = st.integers(-2 * 86_400, 2 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@quick
@given(RHYTHMS, STARTS, OFFSETS, st.sampled_from([0, 1, 59, 600, 40_000]), st.integers(1, 200))
def test_onward_back_and_count_tell_the_same(
    rhythm: Rhythm, start: datetime, offset: timedelta, jitter_s: int, hours: int
) -> None:
    timetable = Timetable(rhythm, jitter_s=jitter_s, seed="a")
    after, until = start + offset, start + offset + hours * HOUR
    onward = []
    for due in timetable.onward(after):
        if due > until:
            break
        onward.append(due)
    assert timetable.between(after, until) == onward
    assert timetable.count(after, until) == len(onward)
    assert onward == sorted(set(onward))


@quick
@given(
    RHYTHMS,
    STARTS,
    OFFSETS,
    st.sampled_from([0, 600]),
    st.integers(0, 5 * 86_400),
    st.sampled_from(["skip_missed", "run_once_if_missed", "replay_all_missed"]),
)
def test_a_plan_tells_of_every_window_once(
    rhythm: Rhythm, start: datetime, offset: timedelta, jitter_s: int, late_s: int, catch_up: str
) -> None:
    timetable = Timetable(rhythm, jitter_s=jitter_s, seed="a")
    due_at = timetable.next(start + offset)
    assert due_at is not None
    now = due_at + timedelta(seconds=late_s)
    windows = timetable.between(due_at - TICK, now)
    result = plan(due_at, now, catch_up, 60, timetable)
    left = result.missed.count if result.missed else 0
    if result.missed:
        assert (result.missed.first, result.missed.last) == (windows[0], windows[left - 1])
    assert list(result.slots) == windows[left:]
    assert result.next_run == timetable.next(now)
    assert result.last_slot == windows[-1]
