"""What follows an attempt: retry when, wait for an outcome, or end. Pure: facts in, a decision out (contract 6.5)."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from executions.states import Status

RETRY_AFTER_MAX = timedelta(hours=6)
RETRY_AFTER_STATUSES = (429, 503)


@dataclass(frozen=True)
class Facts:
    """What is known when attempt number `attempt` (from 1) ends.

    `reported` is an explicit outcome, if any; `no_retry` says how the receiver asked for no more tries, if it did.
    `jitter`, from 0 to 1, is the part of itself by which a wait is lengthened at most; `seed` makes an execution's
    waits its own.
    """

    attempt: int
    succeeded: bool
    max_attempts: int
    backoff_minutes: list[int]
    outcome_deadline_s: int | None
    reported: bool | None = None
    retry_after: timedelta | None = None
    no_retry: str = ""
    jitter: float = 0.0
    seed: str = ""


@dataclass(frozen=True)
class Decision:
    """The status that follows, when it needs attention again, and why."""

    status: Status
    due_at: datetime | None
    reason: str


def decide(facts: Facts, *, now: datetime) -> Decision:
    """What becomes of the execution."""
    if facts.succeeded:
        return _after_success(facts, now=now)
    if facts.reported is not None:
        ended = _by_outcome(facts.reported)
        return Decision(ended, None, "the attempt failed, but the work was already reported")
    failed = f"attempt {facts.attempt} of {facts.max_attempts} failed"
    if facts.no_retry:
        return Decision(Status.FAILED, None, f"{failed}, and {facts.no_retry}")
    if facts.attempt >= facts.max_attempts:
        return Decision(Status.FAILED, None, failed)
    wait = wait_after(facts.attempt, facts.backoff_minutes, facts.retry_after)
    return Decision(Status.RETRYING, now + lengthened(wait, facts), failed)


def _after_success(facts: Facts, *, now: datetime) -> Decision:
    if facts.outcome_deadline_s is None:
        return Decision(Status.SUCCESS, None, "delivered")
    if facts.reported is not None:
        return Decision(_by_outcome(facts.reported), None, "delivered, and the outcome is known")
    deadline = now + timedelta(seconds=facts.outcome_deadline_s)
    return Decision(Status.PENDING_OUTCOME, deadline, "acknowledged; the outcome decides")


def _by_outcome(success: bool) -> Status:
    return Status.SUCCESS if success else Status.FAILED


def wait_after(attempt: int, backoff_minutes: list[int], retry_after: timedelta | None = None) -> timedelta:
    """The wait after failed attempt number `attempt`: the cue's own, lengthened by Retry-After up to 6 hours."""
    own = timedelta(minutes=backoff_minutes[min(attempt, len(backoff_minutes)) - 1])
    return max(own, min(retry_after or timedelta(0), RETRY_AFTER_MAX))


def lengthened(wait: timedelta, facts: Facts) -> timedelta:
    """The wait with its jitter: as long or longer, and the same whenever it is asked for."""
    return wait * (1 + facts.jitter * _draw(facts.seed, facts.attempt))


def _draw(seed: str, attempt: int) -> float:
    """From 0 up to 1 without it, evenly over seeds and attempts."""
    digest = hashlib.sha256(f"{seed} {attempt}".encode()).digest()
    return (int.from_bytes(digest[:8]) >> 11) / 2**53  # as many bits as a float holds exactly


def parse_retry_after(text: str | None, status: int | None, *, now: datetime) -> timedelta | None:
    """The wait that a 429 or 503 asks for, in seconds or as an HTTP date (RFC 9110, 10.2.3). None if there is none."""
    if not text or status not in RETRY_AFTER_STATUSES:
        return None
    if text.strip().isdecimal():
        return min(timedelta(seconds=int(text.strip()[:9])), RETRY_AFTER_MAX)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter over a year or an offset of twenty digits
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta(0)), RETRY_AFTER_MAX)
