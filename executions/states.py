"""The life of an execution: its states, and every step there is between them (contract 4.2). Pure data.

pending ──▶ delivering ──▶ success | failed | retrying | pending_outcome
retrying ──▶ retry_ready ──▶ delivering
pending_outcome ──▶ success | failed | outcome_timeout
pending ──▶ missed      nobody came for it in time
pending | retrying | retry_ready ──▶ failed      refused at the monthly limit
"""

from django.db.models import TextChoices


class Status(TextChoices):
    PENDING = "pending"  # due now or later; nobody has it
    DELIVERING = "delivering"  # one sender or worker has it
    RETRYING = "retrying"  # failed, waits for its next attempt
    RETRY_READY = "retry_ready"  # the wait is over; nobody has it
    PENDING_OUTCOME = "pending_outcome"  # acknowledged; the outcome decides
    SUCCESS = "success"
    FAILED = "failed"
    MISSED = "missed"
    OUTCOME_TIMEOUT = "outcome_timeout"


class OutcomeState(TextChoices):
    REPORTED_SUCCESS = "reported_success"
    REPORTED_FAILURE = "reported_failure"
    VERIFIED_SUCCESS = "verified_success"
    VERIFICATION_PENDING = "verification_pending"
    VERIFICATION_FAILED = "verification_failed"
    UNKNOWN = "unknown"


class Trigger(TextChoices):
    SCHEDULED = "scheduled"
    MANUAL_FIRE = "manual_fire"
    REPLAY = "replay"
    CHAIN = "chain"


class BreakerState(TextChoices):
    CLOSED = "closed"  # requests go out
    OPEN = "open"  # they wait
    HALF_OPEN = "half_open"  # they wait for what one probe says


FINAL = frozenset({Status.SUCCESS, Status.FAILED, Status.MISSED, Status.OUTCOME_TIMEOUT})
"""Nothing follows. A final execution never changes its status again."""

FAILURE = FINAL - {Status.SUCCESS}
"""Ended badly: `on_failure` applies."""

WAITING = frozenset({Status.PENDING, Status.RETRYING, Status.RETRY_READY})
"""A sender may take these once they are due."""

STEPS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.DELIVERING, Status.MISSED, Status.SUCCESS, Status.FAILED}),
    Status.RETRYING: frozenset({Status.RETRY_READY, Status.DELIVERING, Status.SUCCESS, Status.FAILED}),
    Status.RETRY_READY: frozenset({Status.DELIVERING, Status.SUCCESS, Status.FAILED}),
    Status.DELIVERING: frozenset(
        {
            Status.PENDING,
            Status.RETRYING,
            Status.PENDING_OUTCOME,
            Status.SUCCESS,
            Status.FAILED,
        }
    ),
    Status.PENDING_OUTCOME: frozenset({Status.SUCCESS, Status.FAILED, Status.OUTCOME_TIMEOUT}),
}


def may_follow(before: str, after: str) -> bool:
    """Whether the life of an execution allows this step."""
    return after in STEPS.get(Status(before), frozenset())
