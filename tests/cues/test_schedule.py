"""cues.schedule: what a schedule's text says, when it first comes due, and what a late one must run."""

import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cueapi.errors import InvalidSchedule, InvalidTimezone
from cues import schedule
from cues.rhythm import TICK
from cues.schedule import MISSED_RUNS_AT_MOST, Plan, Span, cron_timetable, local_instant, parse_every, plan, spell_every
from cues.timetable import Timetable
from tests.support.schedules import POLICIES, at, quick, table, timetables_near_a_change


def first_due(expression: str, timezone_name: str, now: datetime) -> datetime:
    return schedule.first_due(cron_timetable(expression, timezone_name), now)


# --- When it first comes due ------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "* * 30-31 FEB *"])
def test_an_impossible_date_is_refused_quickly(expression: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidSchedule, match=r"never comes due within five years\. For example"):
        first_due(expression, "America/New_York", at("2031-05-04T09:00"))
    assert time.process_time() - started < 0.1
    assert table(expression).next(at("2031-05-04T09:00")) is None
    assert table(expression).previous(at("2031-05-04T09:00")) is None


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


def test_bounds_without_a_due_time_left_are_refused_by_their_name() -> None:
    ended = Timetable(table("0 9 * * *").rhythm, ends_at=at("2031-05-04T08:59"))
    with pytest.raises(InvalidSchedule, match=r"schedule\.ends_at"):
        schedule.first_due(ended, at("2031-05-04T00:00"))


# --- Intervals --------------------------------------------------------------------------------------------------


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


# --- Missed windows ---------------------------------------------------------------------------------------------


def planned(now: str, catch_up: str, *, due: str = "10:00", expression: str = "*/5 * * * *") -> Plan:
    timetable = table(expression)
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


@quick
@given(
    timetables_near_a_change(), st.integers(0, 5 * 86_400), st.sampled_from(POLICIES), st.sampled_from([0, 60, 3600])
)
def test_a_plan_gives_each_window_from_the_due_time_to_now_to_one_part(
    drawn: tuple[Timetable, datetime], late_s: int, catch_up: str, grace_s: int
) -> None:
    timetable, start = drawn
    due_at = timetable.next(start)
    assume(due_at is not None)
    assert due_at is not None
    now = due_at + timedelta(seconds=late_s)
    windows = timetable.between(due_at - TICK, now)
    late = [window for window in windows if now - window > timedelta(seconds=grace_s)]
    run = late[max(0, len(late) - MISSED_RUNS_AT_MOST[catch_up]) :]
    left = late[: len(late) - len(run)]
    assert plan(due_at, now, catch_up, grace_s, timetable) == Plan(
        Span(left[0], left[-1], len(left)) if left else None,
        tuple(run),
        tuple(windows[len(late) :]),
        timetable.next(now),
    )
