"""Delivering one batch of one lane: claim (a short transaction), send (none), record (a short transaction).

A few requests are in flight at a time; as they end they are recorded together and others take their place. Only
what is about to be sent is claimed, so a crash costs a moment of records. A lane that turns slow does not hold the
worker: after BATCH_TIME_S the rest of its batch goes back to the queue, and what is in flight is recorded as it ends.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections, transaction

from cueapi import accounts, clock, usage
from cueapi.conf import conf
from cues import lifecycle as cue_lifecycle
from cues.models import Cue
from executions import closing, lanes, lifecycle, outcomes, report_links, retry
from executions.models import Attempt, Execution
from executions.states import FINAL, WAITING, Status
from executions.transports import webhook
from executions.transports.webhook import Delivery, Result

log = logging.getLogger(__name__)

SENDERS_MAX = 256  # threads of this process that wait for receivers; started only as needed
BATCH_TIME_S = 1.0
GATHER_S = 0.005  # how long a finished request waits for others to be recorded with it
CAP_WAIT_S = 1.0  # when an account is at its cap, the rest of its work comes back after this

Tick = Callable[[], datetime]


@cache
def _senders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=SENDERS_MAX, thread_name_prefix="sender")


@cache
def _recorder() -> ThreadPoolExecutor:
    """One thread, so that slow receivers cost one database connection however many they are."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")


def deliver(lane: str, execution_ids: Sequence[UUID], *, tick: Tick = clock.now) -> None:
    """Deliver those of the batch that are due and that nobody else has. Returns after about BATCH_TIME_S at most."""
    waiting = deque(execution_ids)
    flying: set[Future[Result]] = set()
    stop_at = time.monotonic() + BATCH_TIME_S
    while (waiting or flying) and time.monotonic() < stop_at:
        free = conf().lane_concurrency - len(flying)
        wave = [waiting.popleft() for _ in range(min(free, len(waiting)))]
        flying |= {_senders().submit(_send, delivery, tick) for delivery in _claim(lane, wave, now=tick())}
        done = _finished(flying, wait_s=stop_at - time.monotonic())
        flying -= done
        record([future.result() for future in done], now=tick())
    if waiting:
        _give_back(lane, waiting, now=tick())
    for future in flying:
        future.add_done_callback(partial(_record_late, tick=tick))


def finish() -> None:
    """Wait for what is in flight and record it: the last act of a worker that is asked to stop."""
    _senders().shutdown(wait=True)
    _recorder().shutdown(wait=True)


def _record_late(future: Future[Result], *, tick: Tick) -> None:
    _recorder().submit(_record_alone, future.result(), tick)


def _record_alone(result: Result, tick: Tick) -> None:
    """Record a request that outlasted its batch, in the recorder's thread."""
    try:
        record([result], now=tick())
    except DatabaseError:
        log.exception("delivery.not_recorded", extra={"execution": result.delivery.execution_id})
    finally:
        connections.close_all()


def _finished(flying: set[Future[Result]], *, wait_s: float) -> set[Future[Result]]:
    """The requests that have ended: one within `wait_s`, if any, and those that end within GATHER_S of it."""
    wait(flying, timeout=max(0.0, wait_s), return_when=FIRST_COMPLETED)
    return set(wait(flying, timeout=GATHER_S).done)


def _give_back(lane: str, ids: Collection[UUID], *, now: datetime, countdown_s: float = 0) -> None:
    """Queue again what this batch does not send. Marked as queued, or the sweep would send a second message."""
    lifecycle.mark_queued(ids, now)
    lanes.hand_out(((lane, pk) for pk in ids), queue=lanes.SLOW, countdown_s=countdown_s, now=now)


def _send(delivery: Delivery, tick: Tick) -> Result:
    """One attempt, in a sender's thread. A bug of ours is a failed attempt too, so that it is recorded and retried."""
    started_at = tick()
    try:
        result = webhook.send(delivery, now=started_at)
    except Exception:
        log.exception("delivery.crashed", extra={"execution": delivery.execution_id})
        result = Result(delivery, started_at, 0, error_stage="internal", error_message="The attempt could not be made.")
    log.info(
        "delivery.attempted",
        extra={
            "execution": delivery.execution_id,
            "cue": delivery.cue_id,
            "attempt": delivery.attempt,
            "status": result.http_status,
            "stage": result.error_stage or "ok",
            "error": result.error_message,
            "duration_ms": result.duration_ms,
        },
    )
    return result


# --- Claim ------------------------------------------------------------------------------------------------------


def _claim(lane: str, ids: Sequence[UUID], *, now: datetime) -> list[Delivery]:
    """Take for one attempt each those of `ids` that are due, free, and within their account's cap and plan."""
    if not ids:
        return []
    with transaction.atomic():
        due = _lock_due(ids, now=now)
        refused = usage.refused_among({e.account for e in due}, now=now)
        welcome = [e for e in due if e.account_id not in refused]
        taken = lanes.within_account_cap(welcome)
        over_cap = {e.pk for e in welcome} - {e.pk for e in taken}
        if over_cap:
            _give_back(lane, over_cap, countdown_s=CAP_WAIT_S, now=now)
        if taken:
            _start(taken, now=now)
    if refused:
        _refuse([e.pk for e in due if e.account_id in refused], now=now)
    return [_delivery(execution, now=now) for execution in taken]


def _lock_due(ids: Sequence[UUID], *, now: datetime) -> list[Execution]:
    return [e for e in lifecycle.lock(ids, statuses=WAITING) if e.due_at and e.due_at <= now + clock.SKEW]


def _start(taken: Sequence[Execution], *, now: datetime) -> None:
    lifecycle.start_attempts(taken, due_at=now + max(stale_after(e.cue) for e in taken), now=now)
    usage.add(Counter(e.account for e in taken), now=now)
    cue_lifecycle.count_runs(Counter(e.cue_id for e in taken))


def _refuse(ids: Sequence[UUID], *, now: datetime) -> None:
    """End these: their account is past its monthly limit and the grace (contract 8.2)."""
    with transaction.atomic():  # in the order in which everybody takes cues, so that none waits in a circle
        for execution in sorted(_lock_due(ids, now=now), key=lambda e: (e.cue_id, e.pk)):
            closing.close(execution, Status.FAILED, reason=usage.REFUSAL, now=now, error_message=usage.REFUSAL)


def time_limit_s(cue: Cue) -> float:
    """From connect to last byte."""
    return cue.delivery_timeout_s or conf().webhook_timeout_seconds


def stale_after(cue: Cue) -> timedelta:
    """How long an attempt may be without a result before its sender counts as dead (contract 6.6)."""
    settings = conf()
    margin_s = settings.execution_stale_margin_seconds
    return timedelta(seconds=max(settings.execution_stale_after_seconds, time_limit_s(cue) + margin_s))


def _delivery(execution: Execution, *, now: datetime) -> Delivery:
    cue = execution.cue
    links = report_links.links_of(execution.pk, now=now)
    return Delivery(
        execution_id=execution.pk,
        cue_id=cue.id,
        cue_name=cue.name,
        attempt=execution.attempts + 1,
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


# --- Record -----------------------------------------------------------------------------------------------------


def record(results: Iterable[Result], *, now: datetime) -> None:
    """Write down what these attempts came to. One whose execution was taken over, or is gone, leaves no trace."""
    by_id = {result.delivery.execution_id: result for result in results}
    if not by_id:
        return
    with transaction.atomic():
        rows = Execution.objects.select_for_update(of=("self",)).filter(pk__in=by_id, status=Status.DELIVERING)
        held = [
            execution
            for execution in rows.select_related("cue", "account").order_by("cue_id", "pk")
            if execution.attempts == by_id[execution.pk].delivery.attempt
        ]
        Attempt.objects.bulk_create(_attempt(by_id[execution.pk]) for execution in held)
        for execution in held:
            _settle(execution, by_id[execution.pk], now=now)


def interrupted(execution: Execution, *, now: datetime) -> None:
    """The sender of this attempt died: the attempt counts. Call with the row locked."""
    started_at = execution.last_attempt_at or now
    result = Result(
        _delivery_in_progress(execution, now=now),
        started_at,
        max(0, round((now - started_at).total_seconds() * 1000)),
        error_stage="interrupted",
        error_message="The server stopped during the attempt, so its end is not known.",
    )
    Attempt.objects.bulk_create([_attempt(result)], ignore_conflicts=True)
    _settle(execution, result, now=now)


def _delivery_in_progress(execution: Execution, *, now: datetime) -> Delivery:
    execution.attempts -= 1  # `_delivery` counts on to the attempt that starts; this one has started
    delivery = _delivery(execution, now=now)
    execution.attempts += 1
    return delivery


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
    if decision.status == Status.RETRYING and decision.due_at is not None:
        changes["queued_at"] = _queue_retry(execution, decision.due_at, now=now)
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


def _queue_retry(execution: Execution, due_at: datetime, *, now: datetime) -> datetime | None:
    """Short waits are queued at once, with a countdown; the sweep takes the long ones. When it was queued for."""
    wait_s = (due_at - now).total_seconds()
    if wait_s > retry.COUNTDOWN_MAX_S:
        return None
    lanes.hand_out([(execution.cue.lane, execution.pk)], queue=lanes.RETRIES, countdown_s=wait_s, now=now)
    return due_at


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
