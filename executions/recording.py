"""What came of the attempts: written down together, with what follows for each execution, in one short transaction.

An attempt whose execution was taken over meanwhile, or is gone, leaves no trace.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, UUIDField

from cueapi import bulk, usage, wakeups
from cueapi.logging import about
from cueapi.models import Account
from cueapi.prepared import Select, given
from cueapi.turns import taking_turns
from cues import lifecycle as cue_lifecycle
from cues.models import Overlap
from executions import alerts, closing, destinations, due, figures, lanes, lifecycle, outcomes, retry
from executions.lanes import Lane
from executions.models import Attempt, Execution
from executions.states import FINAL, Status
from executions.transports.webhook import Delivery, Result

TELLS_NOTHING = frozenset({"refused", "internal", "interrupted"})  # of a destination: it was never asked, or who knows
NOT_ANSWERED = frozenset({429}) | frozenset(range(500, 600))


@dataclass(frozen=True)
class Tried:
    """As much of an execution that was tried as tells what its result means."""

    pk: UUID
    account_id: UUID
    cue_id: str
    lane: str
    status: str
    attempts: int
    triggered_by: str
    outcome_recorded_at: datetime | None
    account_limit: int
    schedule_type: str
    outcome_deadline_s: int | None
    next_of_chain: str | None
    success_expected_by: datetime | None
    overlap: str

    @property
    def is_awaited(self) -> bool:
        """Whether more than its delivery is to come, or something waits for its success."""
        waited_for = self.next_of_chain or self.success_expected_by or self.overlap == Overlap.QUEUE
        return bool(waited_for) or self.outcome_deadline_s is not None


_tried = Select(
    lambda: (
        Execution.objects.select_for_update(of=("self",))
        .filter(pk__among=given("ids", UUIDField(), many=True), status=Status.DELIVERING)
        .order_by("cue_id", "pk")
        .values_list(
            "pk",
            "account_id",
            "cue_id",
            "lane",
            "status",
            "attempts",
            "triggered_by",
            "outcome_recorded_at",
            "account__monthly_execution_limit",
            "cue__schedule_type",
            "cue__outcome_deadline_s",
            "cue__on_success_fire_id",
            "cue__success_expected_by",
            "cue__overlap",
        )
    )
)


def record(results: Sequence[Result], *, now: datetime) -> None:
    """Write down what these attempts came to, and make it so."""
    by_id = {result.delivery.execution_id: result for result in results}
    if not by_id:
        return
    with taking_turns(), transaction.atomic():
        held = [Tried(*row) for row in _tried.rows(ids=by_id)]
        _write([(one, by_id[one.pk]) for one in held if one.attempts == by_id[one.pk].delivery.attempt], now=now)
        wakeups.announce_changes({one.account_id for one in held})


def _write(tried: Sequence[tuple[Tried, Result]], *, now: datetime) -> None:
    bulk.insert([_attempt(result) for _, result in tried])
    cue_lifecycle.count_runs(Counter(one.cue_id for one, _ in tried))
    closing.succeed([one for one, result in tried if _just_delivered(one, result)], now=now)
    others = {one.pk: result for one, result in tried if not _just_delivered(one, result)}
    for execution in _in_full(others):
        with about(account=execution.account_id, cue=execution.cue_id, execution=execution.pk):
            _settle(execution, others[execution.pk], now=now)
    _tell_destinations(_by_lane(tried), now=now)
    figures.delivered([result for _, result in tried])
    _count_usage([one for one, _ in tried], now=now)  # the last: all of the account's senders wait for this row


def _just_delivered(tried: Tried, result: Result) -> bool:
    """Whether delivery was all there was to it: nobody said anything of an outcome either."""
    is_silent = result.reported is None and tried.outcome_recorded_at is None
    return result.succeeded and is_silent and not tried.is_awaited


def _count_usage(tried: Sequence[Tried], *, now: datetime) -> None:
    limits = {one.account_id: one.account_limit for one in tried}
    attempts = Counter(one.account_id for one in tried)
    accounts = [Account.from_db("default", ("id", "monthly_execution_limit"), limit) for limit in limits.items()]
    usage.add({account: attempts[account.pk] for account in accounts}, now=now)


def _in_full(ids: Collection[UUID]) -> Iterable[Execution]:
    """Their rows are locked already."""
    if not ids:
        return []
    rows: QuerySet[Execution] = Execution.objects.filter(pk__in=ids).select_related("cue", "account")
    return rows.order_by("cue_id", "pk")


def _settle(execution: Execution, result: Result, *, now: datetime) -> None:
    """Decide what follows the attempt, and make it so."""
    if result.succeeded and result.reported is not None:
        outcomes.take_from_reply(execution, result.reported, now=now)
    decision = retry.decide(_facts(execution, result), now=now)
    changes: dict[str, Any] = {
        "http_status": result.http_status,
        "response_body": result.response_body or None,
        "error_message": result.error_message or None,
    }
    if result.succeeded:
        changes["delivered_at"] = now
    if result.succeeded and decision.status == Status.FAILED:
        changes["error_message"] = execution.outcome_error
    if decision.status in FINAL:
        closing.close(execution, decision.status, reason=decision.reason, now=now, stage=result.error_stage, **changes)
        return
    if decision.status == Status.PENDING_OUTCOME:
        changes["outcome_deadline_at"] = decision.due_at
    if decision.status == Status.RETRYING:
        changes["lane"] = execution.cue.lane  # where the next attempt goes, if the cue's URL has changed meanwhile
        lanes.nudge([Lane(execution.account_id, execution.cue.lane)], at=decision.due_at, now=now)
    lifecycle.move(execution, decision.status, reason=decision.reason, now=now, due_at=decision.due_at, **changes)


def _facts(execution: Execution, result: Result) -> retry.Facts:
    cue = execution.cue
    reported = execution.reported
    if reported is None and cue.is_two_phase:
        reported = execution.outcome_success  # in two-phase mode a reply decides at once
    return retry.Facts(
        attempt=execution.attempts,
        succeeded=result.succeeded,
        max_attempts=cue.max_attempts,
        backoff_minutes=cue.backoff_minutes,
        outcome_deadline_s=cue.outcome_deadline_s,
        reported=reported,
        retry_after=result.retry_after,
        no_retry=result.no_retry,
        jitter=cue.retry_jitter,
        seed=str(execution.pk),
    )


def _attempt(result: Result) -> Attempt:
    return Attempt(
        execution_id=result.delivery.execution_id,
        number=result.delivery.attempt,
        started_at=result.started_at,
        duration_ms=result.duration_ms,
        url=result.delivery.url,
        http_status=result.http_status,
        error_stage=result.error_stage,
        error_message=result.error_message,
        response_body=result.response_body,
        response_truncated=result.response_truncated,
        response_headers=result.response_headers,
    )


# --- What it tells of the destination ---------------------------------------------------------------------------


def _by_lane(tried: Sequence[tuple[Tried, Result]]) -> Mapping[Lane, Sequence[Result]]:
    """By the lane in which each was sent: an execution may go on in another."""
    by_lane: dict[Lane, list[Result]] = defaultdict(list)
    for one, result in tried:
        by_lane[Lane(one.account_id, one.lane)].append(result)
    return by_lane


def _tell_destinations(by_lane: Mapping[Lane, Sequence[Result]], *, now: datetime) -> None:
    for lane in sorted(by_lane):  # in one order, so that none waits in a circle
        destination = destinations.hold(lane)
        in_order = sorted(by_lane[lane], key=lambda result: result.started_at)
        if destinations.note(destination, [_seen(result) for result in in_order], now=now):
            alerts.after_opened(destination, now=now)
        if destination.probe_at is not None:
            lanes.nudge([lane], at=destination.probe_at, now=now)


def _seen(result: Result) -> destinations.Tried:
    answered = None if result.error_stage in TELLS_NOTHING else _is_answer(result)
    return destinations.Tried(result.duration_ms, answered, result.error_message)


def _is_answer(result: Result) -> bool:
    """Whether somebody is at home: a refusal of this one request says so too."""
    return result.http_status is not None and result.http_status not in NOT_ANSWERED


# --- Attempts without an end ------------------------------------------------------------------------------------


def interrupted(execution: Execution, *, now: datetime) -> None:
    """The sender of this attempt died: the attempt counts. Call with the row locked."""
    started_at = execution.last_attempt_at or now
    result = Result(
        due.under_way(execution, now=now),
        started_at,
        max(0, round((now - started_at).total_seconds() * 1000)),
        error_stage="interrupted",
        error_message="The server stopped during the attempt, so its end is not known.",
    )
    record([result], now=now)


def give_up(delivery: Delivery, *, now: datetime) -> None:
    """The process ends before this attempt does."""
    with transaction.atomic():
        for execution in lifecycle.lock([delivery.execution_id], statuses=[Status.DELIVERING]):
            if execution.attempts == delivery.attempt:
                interrupted(execution, now=now)
