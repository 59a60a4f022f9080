"""What came of the attempts: written down together, with what follows for each execution, in one short transaction.

An attempt whose execution was taken over meanwhile, or is gone, leaves no trace.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import NullIf

from cueapi import accounts, bulk, usage
from cueapi.conf import conf
from cueapi.models import Account
from cueapi.turns import taking_turns
from cues import lifecycle as cue_lifecycle
from cues.models import Cue, Overlap
from executions import alerts, closing, destinations, lanes, lifecycle, outcomes, report_links, retry
from executions.destinations import Tried
from executions.lanes import Lane
from executions.models import Attempt, Execution
from executions.states import FINAL, Status
from executions.transports.webhook import Delivery, Result

TELLS_NOTHING = frozenset({"refused", "internal", "interrupted"})  # of a destination: it was never asked, or who knows
NOT_ANSWERED = frozenset({429}) | frozenset(range(500, 600))

# What recording a plain success asks, and what an attempt is made of: everything else stays in the database.
TELLING = (
    "lane",
    "triggered_by",
    "scheduled_for",
    "outcome_recorded_at",
    "outcome_success",
    "outcome_state",
    "cue__schedule_type",
    "cue__outcome_deadline_s",
    "cue__on_success_fire_id",
    "cue__success_expected_by",
    "cue__overlap",
)
SENT = (
    "scheduled_for",
    "payload",
    "cue__name",
    "cue__callback_url",
    "cue__callback_method",
    "cue__callback_headers",
    "cue__delivery_timeout_s",
    "cue__is_lenient",
)

_latest = Attempt.objects.filter(execution=OuterRef("pk"), number=OuterRef("attempts"))
FROM_LATEST_ATTEMPT = {
    "http_status": Subquery(_latest.values("http_status")[:1]),
    "response_body": NullIf(Subquery(_latest.values("response_body")[:1]), Value("")),
}


def record(results: Sequence[Result], *, now: datetime) -> None:
    """Write down what these attempts came to, and make it so."""
    by_id = {result.delivery.execution_id: result for result in results}
    if not by_id:
        return
    with taking_turns(), transaction.atomic():
        rows = Execution.objects.select_for_update(of=("self",)).filter(pk__in=by_id, status=Status.DELIVERING)
        held = [
            execution
            for execution in rows.select_related("cue").only(*lifecycle.LOCKED, *TELLING).order_by("cue_id", "pk")
            if execution.attempts == by_id[execution.pk].delivery.attempt
        ]
        _write([(execution, by_id[execution.pk]) for execution in held], now=now)


def _write(tried: Sequence[tuple[Execution, Result]], *, now: datetime) -> None:
    """Most are plain successes, which a few of their columns tell; of the others all columns are read."""
    bulk.insert([_attempt(result) for _, result in tried])
    cue_lifecycle.count_runs(Counter(execution.cue_id for execution, _ in tried))
    _count_usage(tried, now=now)
    by_lane = _by_lane(tried)
    plain = [execution for execution, result in tried if _just_delivered(execution, result)]
    closing.close_all(plain, Status.SUCCESS, reason="delivered", now=now, delivered_at=now, **FROM_LATEST_ATTEMPT)
    others = {execution.pk: result for execution, result in tried if not _just_delivered(execution, result)}
    for execution in _in_full(others):
        _settle(execution, others[execution.pk], now=now)
    _tell_destinations(by_lane, now=now)


def _in_full(ids: Collection[UUID]) -> Iterable[Execution]:
    """Their rows are locked already."""
    if not ids:
        return []
    rows: QuerySet[Execution] = Execution.objects.filter(pk__in=ids).select_related("cue", "account")
    return rows.order_by("cue_id", "pk")


def _count_usage(tried: Sequence[tuple[Execution, Result]], *, now: datetime) -> None:
    attempts = Counter(execution.account_id for execution, _ in tried)
    accounts = Account.objects.filter(pk__in=attempts).only("monthly_execution_limit")
    usage.add({account: attempts[account.pk] for account in accounts}, now=now)


def _just_delivered(execution: Execution, result: Result) -> bool:
    """Whether delivery was all there was to it: nobody said anything of an outcome, and nothing waits for this one."""
    cue = execution.cue
    is_silent = result.reported is None and execution.outcome_recorded_at is None
    is_awaited = cue.is_two_phase or cue.on_success_fire_id or cue.success_expected_by or cue.overlap == Overlap.QUEUE
    return result.succeeded and is_silent and not is_awaited


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
        closing.close(execution, decision.status, reason=decision.reason, now=now, **changes)
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
        response_headers=result.response_headers,
    )


# --- What it tells of the destination ---------------------------------------------------------------------------


def _by_lane(tried: Sequence[tuple[Execution, Result]]) -> Mapping[Lane, Sequence[Result]]:
    """By the lane in which each was sent: an execution may go on in another."""
    by_lane: dict[Lane, list[Result]] = defaultdict(list)
    for execution, result in tried:
        by_lane[Lane.of(execution)].append(result)
    return by_lane


def _tell_destinations(by_lane: Mapping[Lane, Sequence[Result]], *, now: datetime) -> None:
    for lane in sorted(by_lane):  # in one order, so that none waits in a circle
        destination = destinations.hold(lane)
        in_order = sorted(by_lane[lane], key=lambda result: result.started_at)
        if destinations.note(destination, [_tried(result) for result in in_order], now=now):
            alerts.after_opened(destination, now=now)
        if destination.probe_at is not None:
            lanes.nudge([lane], at=destination.probe_at, now=now)


def _tried(result: Result) -> Tried:
    answered = None if result.error_stage in TELLS_NOTHING else _is_answer(result)
    return Tried(result.duration_ms, answered, result.error_message)


def _is_answer(result: Result) -> bool:
    """Whether somebody is at home: a refusal of this one request says so too."""
    return result.http_status is not None and result.http_status not in NOT_ANSWERED


# --- Attempts without an end ------------------------------------------------------------------------------------


def interrupted(execution: Execution, *, now: datetime) -> None:
    """The sender of this attempt died: the attempt counts. Call with the row locked."""
    started_at = execution.last_attempt_at or now
    result = Result(
        delivery_of(execution, attempt=execution.attempts, now=now),
        started_at,
        max(0, round((now - started_at).total_seconds() * 1000)),
        error_stage="interrupted",
        error_message="The server stopped during the attempt, so its end is not known.",
    )
    _write([(execution, result)], now=now)


def give_up(delivery: Delivery, *, now: datetime) -> None:
    """The process ends before this attempt does."""
    with transaction.atomic():
        for execution in lifecycle.lock([delivery.execution_id], statuses=[Status.DELIVERING]):
            if execution.attempts == delivery.attempt:
                interrupted(execution, now=now)


# --- What is sent -----------------------------------------------------------------------------------------------


def delivery_of(execution: Execution, *, attempt: int, now: datetime) -> Delivery:
    """All that this attempt of the execution needs, as its cue and account are now."""
    cue = execution.cue
    links = report_links.links_of(execution.pk, now=now)
    return Delivery(
        execution_id=execution.pk,
        cue_id=cue.id,
        cue_name=cue.name,
        attempt=attempt,
        scheduled_for=execution.scheduled_for,
        payload=execution.payload,
        url=cue.callback_url,
        method=cue.callback_method,
        headers=cue.callback_headers,
        secrets=accounts.signing_secrets(execution.account, now=now),
        outcome_url=links.outcome_url,
        heartbeat_url=links.heartbeat_url,
        timeout_s=time_limit_s(cue),
        flatten=conf().webhook_flatten_payload,
        payload_names_execution=cue.is_lenient,
    )


def time_limit_s(cue: Cue) -> float:
    """From connect to last byte."""
    return cue.delivery_timeout_s or conf().webhook_timeout_seconds
