"""How many attempts may start, and when."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.pace import Pace
from tests.support.make import NOW

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def test_a_slow_pace_starts_with_one_and_then_one_at_a_time() -> None:
    pace = Pace.even(30, None)
    assert pace.starting(now=NOW) == 1
    next_at = pace.after(1, now=NOW)
    assert next_at == NOW + 2 * SECOND
    assert [Pace.even(30, next_at).starting(now=NOW + wait * SECOND) for wait in (0, 1.9, 2, 3.9, 60)] == [
        0,
        0,
        1,
        1,
        1,
    ]


def test_a_fast_one_starts_with_a_seconds_worth() -> None:
    assert Pace.even(120, None).starting(now=NOW) == 3
    assert Pace.even(120, NOW - MINUTE).starting(now=NOW) == 3


def test_a_strict_one_that_is_a_little_late_leaves_those_after_it_where_they_are() -> None:
    pace = Pace.strict(6, NOW)
    assert pace.after(1, now=NOW + 0.9 * SECOND) == pace.after(1, now=NOW)
    assert pace.after(1, now=NOW + 1.1 * SECOND) == NOW + 1.1 * SECOND + pace.every


@given(
    rate=st.integers(1, 60_000) | st.integers(1, 200),
    waits_us=st.lists(st.integers(0, 200_000) | st.integers(0, 5_000_000), max_size=200),
)
def test_a_strict_one_never_lets_more_start_in_any_minute(rate: int, waits_us: list[int]) -> None:
    now, next_at, starts = NOW, None, []
    for wait_us in waits_us:
        now += timedelta(microseconds=wait_us)
        pace = Pace.strict(rate, next_at)
        starting = pace.starting(now=now)
        if starting:
            next_at = pace.after(starting, now=now)
            starts.append((now, starting))
    for since, _ in starts:
        assert sum(count for at, count in starts if since <= at < since + MINUTE) <= rate


@pytest.mark.parametrize("rate", [1, 7, 60, 61, 62, 600, 60_000])
def test_a_strict_one_that_is_asked_all_the_time_uses_nearly_all_of_its_rate(rate: int) -> None:
    now, next_at, started = NOW, None, 0
    while now < NOW + 10 * MINUTE:
        pace = Pace.strict(rate, next_at)
        starting = pace.starting(now=now)
        started += starting
        next_at = pace.after(starting, now=now)
        now = max(next_at, now + 0.05 * SECOND)
    assert 9.8 * rate <= started <= 10 * rate
