"""cues.timetable: bounds, jitter, and that forwards, backwards and counting tell the same."""

import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cues.rhythm import TICK
from cues.timetable import Timetable
from tests.support.schedules import (
    AFTER_OFFSETS,
    CHANGES,
    DAY,
    EXPRESSIONS,
    HOUR,
    MINUTE,
    NOON,
    at,
    cron,
    quick,
    table,
    timetables_near_a_change,
)


def first(timetable: Timetable, after: datetime, count: int) -> list[datetime]:
    return list(islice(timetable.onward(after), count))


# --- Next, previous and lists of them ---------------------------------------------------------------------------


@quick
@given(EXPRESSIONS, CHANGES, AFTER_OFFSETS)
def test_next_is_later_and_previous_of_next_is_itself(
    expression: str, change: tuple[str, str], offset: timedelta
) -> None:
    timetable, instant = table(expression, change[0]), at(change[1]) + offset
    for _ in range(5):
        due = timetable.next(instant)
        if due is None:
            return
        assert due > instant
        assert due.tzinfo is UTC
        assert timetable.previous(due) == due
        earlier = timetable.previous(due - timedelta(microseconds=1))
        assert earlier is None or earlier <= instant
        instant = due


@quick
@given(EXPRESSIONS, CHANGES, AFTER_OFFSETS, st.integers(1, 11))
def test_the_nth_due_time_is_the_next_of_the_next(
    expression: str, change: tuple[str, str], offset: timedelta, count: int
) -> None:
    timetable, start = table(expression, change[0]), at(change[1]) + offset
    instant: datetime | None = start
    for _ in range(count):
        instant = timetable.next(instant) if instant else None
    assume(instant is not None)
    assert timetable.nth(start, count) == instant


def test_of_more_windows_than_the_limit_the_newest_are_given_oldest_first() -> None:
    hourly = table("0 * * * *")
    found = hourly.between(at("2031-05-04T00:00"), at("2031-05-04T09:00"), 3)
    assert found == [at("2031-05-04T07:00"), at("2031-05-04T08:00"), at("2031-05-04T09:00")]
    assert hourly.between(at("2031-05-04T08:00"), at("2031-05-04T08:59"), 3) == []
    assert hourly.between(at("2031-05-04T08:00"), at("2031-05-04T09:00"), 0) == []


def test_a_year_of_minutes_takes_no_time() -> None:
    started = time.process_time()
    end = at("2031-05-04T09:00")
    found = table("* * * * *", "America/New_York").between(end - timedelta(days=365), end, 100)
    assert time.process_time() - started < 0.1
    assert found == [end - MINUTE * n for n in reversed(range(100))]


def test_an_aware_instant_of_any_zone_will_do() -> None:
    tokyo = datetime(2031, 5, 4, 9, tzinfo=timezone(timedelta(hours=9)))
    assert table("@hourly").next(tokyo) == at("2031-05-04T01:00")


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        table("* * * * *").next(datetime(2031, 5, 4))  # noqa: DTZ001


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


# --- Laws -------------------------------------------------------------------------------------------------------


def upto(timetable: Timetable, after: datetime, until: datetime) -> list[datetime]:
    return list(takewhile(lambda due_at: due_at <= until, timetable.onward(after)))


@quick
@given(timetables_near_a_change(), st.integers(1, 200))
def test_next_between_and_count_tell_the_same(drawn: tuple[Timetable, datetime], hours: int) -> None:
    timetable, after = drawn
    until = after + hours * HOUR
    onward = upto(timetable, after, until)
    assert timetable.between(after, until) == onward
    assert timetable.count(after, until) == len(onward)
    assert timetable.next(after) == (onward[0] if onward else timetable.next(until))
    assert timetable.count(after - TICK, until - TICK) == len(upto(timetable, after - TICK, until - TICK))
    assert onward == sorted(set(onward))


@quick
@given(timetables_near_a_change(), st.integers(1, 200))
def test_each_slot_within_the_bounds_is_due_once_and_before_the_next(
    drawn: tuple[Timetable, datetime], hours: int
) -> None:
    timetable, after = drawn
    until = after + hours * HOUR
    slots = list(takewhile(lambda slot: slot <= until, timetable.rhythm.onward(after - TICK)))
    inside = [slot for slot in slots if within(timetable, slot)]
    dues = upto(timetable, after - DAY, until + DAY)
    assert [timetable.slot_of(due_at) for due_at in dues if after <= timetable.slot_of(due_at) <= until] == inside
    for due_at in dues:
        slot = timetable.slot_of(due_at)
        following = next(timetable.rhythm.onward(slot), None)
        assert 0 <= (due_at - slot).total_seconds() <= timetable.jitter_s
        assert following is None or due_at < following


def within(timetable: Timetable, slot: datetime) -> bool:
    starts_at, ends_at = timetable.starts_at or slot, timetable.ends_at or slot
    return starts_at <= slot <= ends_at
