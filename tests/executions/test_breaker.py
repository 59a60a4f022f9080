"""The circuit breaker: opens after failures in a row, probes one at a time, and lets more through as they succeed."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from executions.breaker import CLOSED, HALF_OPEN, OPEN, Breaker, Limits
from tests.support.make import NOW

SECOND = timedelta(seconds=1)
LIMITS = Limits(failures=3, probe=5 * SECOND, probe_max=30 * SECOND, concurrency=4)


def after(breaker: Breaker, *answers: bool, now=NOW) -> Breaker:
    return breaker.after(answers, LIMITS, now=now)


def opened() -> Breaker:
    return after(Breaker(), False, False, False)


def test_it_opens_at_its_threshold_and_not_before() -> None:
    assert after(Breaker(), False, False).state == CLOSED
    assert (opened().state, opened().opened_at, opened().probe_at) == (OPEN, NOW, NOW + 5 * SECOND)


def test_an_answer_between_failures_starts_the_count_again() -> None:
    assert after(Breaker(), False, False, True, False, False).state == CLOSED


def test_while_it_is_open_nothing_goes_out_until_one_probe_may() -> None:
    assert [opened().room(LIMITS, now=NOW + wait * SECOND) for wait in (0, 4.9, 5, 60)] == [0, 0, 1, 1]
    probing = opened().probing(lost_at=NOW + 40 * SECOND)
    assert (probing.state, probing.room(LIMITS, now=NOW + 39 * SECOND)) == (HALF_OPEN, 0)
    assert probing.room(LIMITS, now=NOW + 40 * SECOND) == 1  # its sender died with it


def test_failed_probes_wait_twice_as_long_each_time_up_to_the_limit() -> None:
    breaker, waits = opened(), []
    for _ in range(5):
        now = breaker.probe_at
        assert now is not None
        breaker = after(breaker.probing(lost_at=now + 40 * SECOND), False, now=now)
        assert breaker.probe_at is not None
        waits.append((breaker.probe_at - now) // SECOND)
    assert waits == [10, 20, 30, 30, 30]
    assert (breaker.state, breaker.opened_at) == (OPEN, NOW)


def test_after_an_answered_probe_one_more_at_a_time_goes_out_for_each_answer() -> None:
    breaker, rooms = opened().probing(lost_at=NOW), []
    for _ in range(4):
        breaker = after(breaker, True)
        rooms.append(breaker.room(LIMITS, now=NOW))
    assert rooms == [2, 3, 4, 4]
    assert breaker == Breaker()


def test_while_it_recovers_as_many_failures_as_may_be_in_flight_open_it_again() -> None:
    recovering = after(opened().probing(lost_at=NOW), True)
    assert after(recovering, False).state == CLOSED
    assert after(recovering, False, False).state == OPEN


def test_what_comes_back_late_from_before_it_opened_changes_nothing() -> None:
    assert after(opened(), True) == opened()
    assert after(opened(), False) == opened()


def test_by_hand_it_stays_open_until_it_is_closed_by_hand() -> None:
    held = Breaker().opened_by_hand(now=NOW)
    assert held.room(LIMITS, now=NOW + timedelta(days=365)) == 0
    assert after(held, True, True) == held
    assert held.closed_by_hand().room(LIMITS, now=NOW) == 1


def test_a_threshold_of_nothing_never_opens() -> None:
    never = replace(LIMITS, failures=0)
    assert Breaker().after([False] * 100, never, now=NOW).state == CLOSED


@given(st.lists(st.booleans(), max_size=60))
def test_it_never_lets_out_more_than_the_limit_and_always_lets_something_out_in_the_end(answers: list[bool]) -> None:
    breaker = after(Breaker(), *answers)
    assert 0 <= breaker.room(LIMITS, now=NOW) <= LIMITS.concurrency
    assert breaker.room(LIMITS, now=NOW + timedelta(minutes=1)) >= 1
