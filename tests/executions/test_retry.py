"""What follows an attempt, as a table and as laws (contract 6.4 and 6.5)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.retry import RETRY_AFTER_MAX, Facts, decide, lengthened, parse_retry_after, wait_after
from executions.states import FINAL, Status

NOW = datetime(2031, 5, 4, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def facts(**given: Any) -> Facts:
    return Facts(
        **{"attempt": 1, "succeeded": False, "max_attempts": 3, "backoff_minutes": [1, 5], "outcome_deadline_s": None}
        | given
    )


@pytest.mark.parametrize(
    ("given", "status", "due_in"),
    [
        ({"succeeded": True}, Status.SUCCESS, None),
        ({"succeeded": True, "reported": False}, Status.SUCCESS, None),  # one-phase: delivery is not outcome
        ({"succeeded": True, "outcome_deadline_s": 60}, Status.PENDING_OUTCOME, MINUTE),
        ({"succeeded": True, "outcome_deadline_s": 60, "reported": True}, Status.SUCCESS, None),
        ({"succeeded": True, "outcome_deadline_s": 60, "reported": False}, Status.FAILED, None),
        ({"reported": True}, Status.SUCCESS, None),
        ({"reported": False}, Status.FAILED, None),
        ({}, Status.RETRYING, MINUTE),
        ({"attempt": 2}, Status.RETRYING, 5 * MINUTE),
        ({"attempt": 3}, Status.FAILED, None),
        ({"attempt": 4, "max_attempts": 3}, Status.FAILED, None),  # the cue was edited meanwhile
        ({"attempt": 1, "max_attempts": 1}, Status.FAILED, None),
        ({"attempt": 4, "max_attempts": 9}, Status.RETRYING, 5 * MINUTE),  # the last wait repeats
        ({"retry_after": timedelta(minutes=30)}, Status.RETRYING, 30 * MINUTE),
        ({"retry_after": timedelta(seconds=1)}, Status.RETRYING, MINUTE),
        ({"retry_after": timedelta(days=9)}, Status.RETRYING, timedelta(hours=6)),
        ({"no_retry": "it is gone"}, Status.FAILED, None),
        ({"no_retry": "it is gone", "retry_after": MINUTE, "jitter": 1.0}, Status.FAILED, None),
        ({"no_retry": "it is gone", "reported": True}, Status.SUCCESS, None),  # the work was done all the same
    ],
)
def test_what_follows_an_attempt(given: dict[str, Any], status: Status, due_in: timedelta | None) -> None:
    decision = decide(facts(**given), now=NOW)
    assert decision.status == status
    assert decision.due_at == (None if due_in is None else NOW + due_in)
    assert decision.reason


backoffs = st.lists(st.integers(0, 1440), min_size=1, max_size=10)
waits = st.none() | st.timedeltas(timedelta(0), timedelta(days=30))


@given(attempt=st.integers(1, 10), backoff=backoffs, retry_after=waits)
def test_a_wait_is_never_below_the_cues_own_nor_far_above(
    attempt: int, backoff: list[int], retry_after: timedelta | None
) -> None:
    own = timedelta(minutes=backoff[min(attempt, len(backoff)) - 1])
    assert own <= wait_after(attempt, backoff, retry_after) <= max(own, timedelta(hours=6))


def test_a_refusal_is_the_reason_that_is_written_down() -> None:
    decision = decide(facts(no_retry="the receiver asked for no more tries (410 Gone)"), now=NOW)
    assert decision.reason == "attempt 1 of 3 failed, and the receiver asked for no more tries (410 Gone)"


@given(
    attempt=st.integers(1, 10),
    backoff=backoffs,
    retry_after=waits,
    jitter=st.floats(0, 1),
    seed=st.uuids().map(str),
)
def test_jitter_only_lengthens_a_wait_and_by_no_more_than_its_share(
    attempt: int, backoff: list[int], retry_after: timedelta | None, jitter: float, seed: str
) -> None:
    given = facts(attempt=attempt, max_attempts=11, backoff_minutes=backoff, retry_after=retry_after)
    wait = wait_after(attempt, backoff, retry_after)
    first, again = (decide(replace(given, jitter=jitter, seed=seed), now=NOW).due_at for _ in range(2))
    assert first is not None and first == again
    assert wait <= first - NOW <= wait * (1 + jitter)


def test_without_jitter_the_waits_are_those_of_the_contract() -> None:
    assert {lengthened(MINUTE, facts(seed=str(number))) for number in range(100)} == {MINUTE}


def test_jitter_spreads_executions_and_their_attempts_evenly() -> None:
    by_seed = [lengthened(MINUTE, facts(jitter=0.5, seed=str(number))) for number in range(1000)]
    assert 14 < fmean((wait - MINUTE).total_seconds() for wait in by_seed) < 16  # of 0 to 30 s
    assert min(by_seed) < 1.01 * MINUTE and max(by_seed) > 1.49 * MINUTE
    assert len({lengthened(MINUTE, facts(jitter=0.5, seed="a", attempt=number)) for number in range(1, 11)}) == 10


@given(max_attempts=st.integers(1, 10), backoff=backoffs, retry_after=waits)
def test_failing_for_ever_ends_after_exactly_max_attempts(
    max_attempts: int, backoff: list[int], retry_after: timedelta | None
) -> None:
    attempt, now = 0, NOW
    while True:
        attempt += 1
        decision = decide(
            facts(attempt=attempt, max_attempts=max_attempts, backoff_minutes=backoff, retry_after=retry_after), now=now
        )
        if decision.due_at is None:
            break
        assert decision.due_at >= now
        now = decision.due_at
    assert (attempt, decision.status) == (max_attempts, Status.FAILED)


@given(
    succeeded=st.booleans(),
    reported=st.none() | st.booleans(),
    attempt=st.integers(1, 12),
    deadline=st.none() | st.integers(1, 3600),
)
def test_a_decision_is_final_exactly_when_nothing_is_due(
    succeeded: bool, reported: bool | None, attempt: int, deadline: int | None
) -> None:
    decision = decide(
        facts(succeeded=succeeded, reported=reported, attempt=attempt, outcome_deadline_s=deadline), now=NOW
    )
    assert (decision.status in FINAL) == (decision.due_at is None)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("007", 7),
        ("21600", 6 * 3600),
        ("21601", 6 * 3600),
        ("99999999999999999999", 6 * 3600),
        ("9" * 5000, 6 * 3600),  # more digits than int() takes
        (format_datetime(NOW + timedelta(minutes=3), usegmt=True), 180),
        ("Sun, 04 May 2031 09:02:00 +0000", 120),
        ("Sun, 04 May 2031 09:02:00", 120),
        (format_datetime(NOW - timedelta(hours=3), usegmt=True), 0),
        ("Sun, 04 May 2042 09:02:00 GMT", 6 * 3600),
        ("Sun, 04 May 2031 11:02:00 +0200", 120),
        ("Sunday, 04-May-31 09:02:00 GMT", 120),  # the two old forms, which receivers of dates must take
        ("Sun May  4 09:02:00 2031", 120),
        ("Sun, 04 May 9999 23:59:59 -2359", 6 * 3600),
        ("Mon, 01 Jan 0100 00:00:00 +2359", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(status: int, text: str, wait_s: int) -> None:
    assert parse_retry_after(text, status, now=NOW) == timedelta(seconds=wait_s)


@pytest.mark.parametrize(
    "text",
    [
        *(
            None,
            "",
            " ",
            "\t",
            "soon",
            "-5",
            "-0",
            "+5",
            "1.5",
            "1e3",
            "0x10",
            "5 s",
            "120, 60",
            "5;",
            "²",
            "\x00",
            "[]",
        ),
        *("04 May 2031", "Sun, 99 May 2031", "Sun, 04 May 2031 25:59:59 GMT", "Sun, 04 May 2031 09:02:00 +9999"),
        "Sun, 04 May 99999999999999999999 09:02:00 GMT",
        "Sun, 04 May 2031 09:02:00 +99999999999999999999",
    ],
)
def test_a_retry_after_that_says_nothing_changes_nothing(text: str | None) -> None:
    assert parse_retry_after(text, 503, now=NOW) is None


@pytest.mark.parametrize("status", [None, 200, 302, 400, 500])
def test_other_statuses_cannot_ask_for_a_wait(status: int | None) -> None:
    assert parse_retry_after("120", status, now=NOW) is None


dates = st.from_regex(
    r"(Sun, )?[0-9]{1,3} (May|Jan) [0-9]{1,25} [0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,25})?( GMT| [+-][0-9]{1,25})?",
    fullmatch=True,
)


@given(text=st.text(max_size=60) | dates, status=st.sampled_from([429, 503]))
def test_no_retry_after_header_can_break_the_sender(text: str, status: int) -> None:
    wait = parse_retry_after(text, status, now=NOW)
    assert wait is None or timedelta(0) <= wait <= RETRY_AFTER_MAX
