"""What happened to one execution, and what is still to come: its rows, told as entries in the order of time.

Pure: rows in, entries out. `executions.dossier` reads the rows; an API's answer, or a page, is made of entries.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from cueapi.clock import rfc3339
from cueapi.masking import MASK
from cues.models import Definition, LedgerEntry, Transport, Verdict
from executions.models import (
    Alert,
    Attempt,
    Destination,
    Execution,
    Notification,
    NotificationKind,
    NotificationState,
    Step,
)
from executions.states import BreakerState, Status, Trigger

SHORT = timedelta(seconds=1)  # a wait for a place in a lane is told from here on
MASKED = ("authorization", "cookie", "set-cookie")


class Kind(StrEnum):
    """Each kind of entry, in the order in which entries of one instant are told."""

    DUE = "due"
    REPLAY_OF = "replay_of"
    CHAINED_FROM = "chained_from"
    CREATED = "created"
    WAIT = "wait"
    CLAIMED = "claimed"
    ATTEMPT = "attempt"
    HEARTBEAT = "heartbeat"
    STATE = "state"
    OUTCOME = "outcome"
    VERIFICATION = "verification"
    FINAL = "final"
    CUE_PAUSED = "cue_paused"
    ESCALATION = "escalation"
    ALERT = "alert"
    NOTIFICATION = "notification"
    REPLAYED = "replayed"
    CHAINED = "chained"
    NEXT_TRY = "next_try"
    NEXT_PROBE = "next_probe"
    LEASE_END = "lease_end"
    CLAIM_DEADLINE = "claim_deadline"
    OUTCOME_DEADLINE = "outcome_deadline"


class WaitFor(StrEnum):
    """What a wait was, or is, for."""

    SEND_AT = "send_at"  # the time that a fire by hand asked for, or a jittered window
    OVERLAP = "overlap"  # the executions of its cue before it
    RETRY = "retry"  # the wait between two attempts
    BREAKER = "breaker"  # its destination to answer again
    RATE = "rate"  # the rate of its destination, or its cue's own
    CONCURRENCY = "concurrency"  # a place among the requests in flight
    LANE = "lane"  # its turn: which of breaker, rate, concurrency or a free worker was in the way is not kept
    WORKER = "worker"  # a pulling worker to claim it
    OUTCOME = "outcome"  # the report on it


_ORDER = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True)
class Entry:
    """One fact. `is_future` marks what is expected at `at`; it may still come otherwise."""

    at: datetime
    kind: Kind
    summary: str
    duration_ms: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    is_future: bool = False


@dataclass(frozen=True)
class Rows:
    """What is stored about an execution. `execution.cue` is loaded; `steps` and `attempts` are in their order."""

    execution: Execution
    steps: Sequence[Step] = ()
    attempts: Sequence[Attempt] = ()
    alerts: Sequence[Alert] = ()
    notifications: Sequence[Notification] = ()
    replays: Sequence[Execution] = ()
    chained: Sequence[Execution] = ()
    destination: Destination | None = None  # of its lane, while it waits
    verdict: LedgerEntry | None = None  # of its window
    pause: Definition | None = None  # of its cue, by its end
    in_the_way: WaitFor | None = None  # of a webhook that is due and waits
    claim_deadline: datetime | None = None


def entries(rows: Rows, *, now: datetime) -> list[Entry]:
    """The whole story, oldest first; what is expected comes last."""
    told = [*_beginning(rows, now), *_steps(rows), *_waits(rows, now), *_attempts(rows), *_work(rows)]
    told += [*_consequences(rows), *_followers(rows), *_expected(rows, now)]
    return sorted(told, key=lambda entry: (entry.at, _ORDER[entry.kind]))


# --- How it began -----------------------------------------------------------------------------------------------


BY = {
    Trigger.SCHEDULED: "its schedule",
    Trigger.MANUAL_FIRE: "a fire by hand",
    Trigger.REPLAY: "a replay",
    Trigger.CHAIN: "the success of another cue's execution",
}


def _beginning(rows: Rows, now: datetime) -> Iterator[Entry]:
    run = rows.execution
    due = run.scheduled_for
    yield Entry(
        due,
        Kind.DUE,
        f"It {'is' if due > now else 'was'} due.",
        details={"scheduled_for": rfc3339(due)},
        is_future=due > now,
    )
    if run.replayed_from_id:
        summary = f"It repeats execution {run.replayed_from_id}."
        yield Entry(run.created_at, Kind.REPLAY_OF, summary, details={"execution_id": str(run.replayed_from_id)})
    if run.chain_parent_id:
        summary = f"The success of execution {run.chain_parent_id} fired it."
        details = {"execution_id": str(run.chain_parent_id), "chain_depth": run.chain_depth}
        yield Entry(run.created_at, Kind.CHAINED_FROM, summary, details=details)
    yield _created(rows)


def _created(rows: Rows) -> Entry:
    run, late = rows.execution, rows.execution.created_at - rows.execution.scheduled_for
    details: dict[str, Any] = {"triggered_by": run.triggered_by, "cue_id": run.cue_id, "transport": run.transport}
    details["reason"] = rows.steps[0].reason if rows.steps and not rows.steps[0].before else None
    details["verdict"] = rows.verdict.verdict if rows.verdict else None
    words = f"It was created by {BY[Trigger(run.triggered_by)]}"
    if rows.verdict and rows.verdict.verdict == Verdict.CAUGHT_UP:
        words += f", {late.total_seconds():g} seconds late: it was caught up"
    details["late_ms"] = max(0, _ms(late)) if run.triggered_by == Trigger.SCHEDULED else None
    return Entry(run.created_at, Kind.CREATED, f"{words}.", details=details)


# --- Its steps --------------------------------------------------------------------------------------------------


def _steps(rows: Rows) -> Iterator[Entry]:
    for step in rows.steps:
        if step.before:
            yield _step(rows.execution, step)


def _step(run: Execution, step: Step) -> Entry:
    details: dict[str, Any] = {"before": step.before, "after": step.after, "reason": step.reason}
    if run.closed_at is not None and step.after == run.status and step.at == run.closed_at:
        details |= {"error_class": run.error_class, "error_message": run.error_message, "attempts": run.attempts}
        lasted = _ms(run.closed_at - run.created_at)
        return Entry(step.at, Kind.FINAL, f"It ended in {step.after}: {step.reason}.", lasted, details)
    if run.transport == Transport.WORKER and step.after == Status.DELIVERING:
        return Entry(step.at, Kind.CLAIMED, f"It was {step.reason}.", details=details)
    words = step.after if step.after == step.before else f"{step.before} → {step.after}"
    return Entry(step.at, Kind.STATE, f"{words}: {step.reason}.", details=details)


# --- What it waited for -----------------------------------------------------------------------------------------


def _waits(rows: Rows, now: datetime) -> Iterator[Entry]:
    steps = list(rows.steps)
    for step, after in pairwise([*steps, None]):
        if step is not None:
            end = after.at if after else None
            yield from _wait_of(rows, step, end, now)


def _wait_of(rows: Rows, step: Step, end: datetime | None, now: datetime) -> Iterator[Entry]:
    """The waits that began with this step; `end` is None while they last."""
    run, since = rows.execution, step.at
    if step.after == Status.PENDING and not step.before and run.scheduled_for > since:
        until = min(run.scheduled_for, end or run.scheduled_for)
        yield _wait(WaitFor.SEND_AT, since, until if until <= now else None, now)
        since = run.scheduled_for
    if since > now or (end is not None and since >= end):
        return
    reason = _reason(rows, step, since, end)
    if reason is not None and (end is None or reason not in LANE or end - since >= SHORT):
        yield _wait(reason, since, end, now)


LANE = frozenset({WaitFor.LANE, WaitFor.BREAKER, WaitFor.RATE, WaitFor.CONCURRENCY})


def _reason(rows: Rows, step: Step, since: datetime, end: datetime | None) -> WaitFor | None:
    status, run = step.after, rows.execution
    if status == Status.RETRYING:
        return WaitFor.RETRY
    if status == Status.PENDING_OUTCOME:
        return WaitFor.OUTCOME
    if status not in (Status.PENDING, Status.RETRY_READY):
        return None
    if run.is_held or _was_held(rows, step):
        return WaitFor.OVERLAP
    if run.transport == Transport.WORKER:
        return WaitFor.WORKER
    if end is None:
        return rows.in_the_way or WaitFor.LANE
    opened = (alert for alert in rows.alerts if alert.execution_id is None and since <= alert.created_at <= end)
    return WaitFor.BREAKER if any(opened) else WaitFor.LANE


def _was_held(rows: Rows, step: Step) -> bool:
    """A release is the step after a birth, from pending to pending."""
    place = [one.pk for one in rows.steps].index(step.pk)
    following = rows.steps[place + 1] if place + 1 < len(rows.steps) else None
    return not step.before and following is not None and following.before == following.after == Status.PENDING


WORDS = {
    WaitFor.SEND_AT: "for its time to come",
    WaitFor.OVERLAP: "for the executions of its cue before it",
    WaitFor.RETRY: "until its next attempt",
    WaitFor.BREAKER: "for its destination to answer again",
    WaitFor.RATE: "for the rate of its destination",
    WaitFor.CONCURRENCY: "for a place among the requests in flight",
    WaitFor.LANE: "for its turn in its lane",
    WaitFor.WORKER: "for a worker to claim it",
    WaitFor.OUTCOME: "for its outcome",
}


def _wait(reason: WaitFor, since: datetime, end: datetime | None, now: datetime) -> Entry:
    verb = "waits" if end is None else "waited"
    details = {"reason": reason.value, "until": rfc3339(end)}
    return Entry(since, Kind.WAIT, f"It {verb} {WORDS[reason]}.", _ms((end or now) - since), details)


# --- What was sent ----------------------------------------------------------------------------------------------


def _attempts(rows: Rows) -> Iterator[Entry]:
    for attempt in rows.attempts:
        yield attempt_entry(rows.execution, attempt)


def attempt_entry(run: Execution, attempt: Attempt) -> Entry:
    """What was sent, as far as it is kept, and what came back; without secrets."""
    came = f"answered {attempt.http_status}" if attempt.http_status else "was not answered"
    words = f"Attempt {attempt.number} {came} after {attempt.duration_ms} ms"
    why = f": {attempt.error_message}" if attempt.error_message else "."
    details = {
        "number": attempt.number,
        "method": run.cue.callback_method,
        "url": attempt.url,
        "http_status": attempt.http_status,
        "error_stage": attempt.error_stage or None,
        "error_message": attempt.error_message or None,
        "request_headers": masked(run.cue.callback_headers) | _own_headers(run, attempt),
        "response_headers": masked(attempt.response_headers, only=MASKED),
        "response_excerpt": attempt.response_body,
        "response_truncated": attempt.response_truncated,
    }
    return Entry(attempt.started_at, Kind.ATTEMPT, words + why, attempt.duration_ms, details)


def masked(headers: dict[str, str], *, only: Iterable[str] | None = None) -> dict[str, str]:
    """The headers without what may be secret: the values of all, or of these names."""
    names = None if only is None else set(only)
    return {name: MASK if names is None or name.lower() in names else text for name, text in headers.items()}


def _own_headers(run: Execution, attempt: Attempt) -> dict[str, str]:
    """What every attempt carries; its signatures and its links are secrets."""
    told = {"webhook-id": str(run.pk), "X-CueAPI-Cue-Id": run.cue_id, "X-CueAPI-Execution-Id": str(run.pk)}
    told["X-CueAPI-Attempt"] = str(attempt.number)
    secret = ("X-CueAPI-Signature", "webhook-signature", "X-CueAPI-Outcome-Url", "X-CueAPI-Heartbeat-Url")
    return told | dict.fromkeys(secret, MASK)


# --- What came of the work --------------------------------------------------------------------------------------


EVIDENCE = ("external_id", "result_url", "result_ref", "result_type", "summary", "artifacts", "assertions")


def _work(rows: Rows) -> Iterator[Entry]:
    run = rows.execution
    if run.last_heartbeat_at:
        yield Entry(run.last_heartbeat_at, Kind.HEARTBEAT, "The latest heartbeat: the work went on.")
    if run.outcome_recorded_at is None:
        return
    word = "success" if run.outcome_success else "failure"
    source = "the receiver's reply" if run.outcome_is_provisional else "a report"
    details: dict[str, Any] = {"success": run.outcome_success, "result": run.outcome_result, "error": run.outcome_error}
    details |= {"metadata": run.outcome_metadata, "is_provisional": run.outcome_is_provisional}
    details["evidence"] = {name: getattr(run, name) for name in EVIDENCE if getattr(run, name)}
    yield Entry(run.outcome_recorded_at, Kind.OUTCOME, f"The outcome was {word}, by {source}.", details=details)
    if run.validation_state or run.cue.verification_mode:
        state = {"outcome_state": run.outcome_state, "validation_state": run.validation_state}
        judged = f"Its verification stands at {run.outcome_state}."
        details = {**state, "mode": run.cue.verification_mode}
        yield Entry(run.outcome_recorded_at, Kind.VERIFICATION, judged, details=details)


# --- What followed ----------------------------------------------------------------------------------------------


def _consequences(rows: Rows) -> Iterator[Entry]:
    for alert in rows.alerts:
        details: dict[str, Any] = {
            "alert_id": str(alert.pk),
            "alert_type": alert.alert_type,
            "severity": alert.severity,
        }
        details["acknowledged_at"] = rfc3339(alert.acknowledged_at)
        yield Entry(alert.created_at, Kind.ALERT, f"{alert.message.rstrip('.')}.", details=details)
    raised_at = {alert.pk: alert.created_at for alert in rows.alerts}
    for notification in rows.notifications:
        alert_id = notification.alert_id
        caused_at = (alert_id and raised_at.get(alert_id)) or rows.execution.closed_at or rows.execution.updated_at
        yield _notification(notification, caused_at)
    if rows.pause is not None:
        yield Entry(rows.pause.since, Kind.CUE_PAUSED, "Its failure paused the cue (on_failure.pause).")


SENT = {
    NotificationState.WAITING: "is to be sent",
    NotificationState.SENDING: "is being sent",
    NotificationState.SENT: "was sent",
    NotificationState.FAILED: "could not be sent",
    NotificationState.SUPPRESSED: "was not sent",
}


def _notification(one: Notification, caused_at: datetime) -> Entry:
    """An escalation is about the failure itself, a notification about an alert."""
    kind = Kind.NOTIFICATION if one.alert_id else Kind.ESCALATION
    what = "An e-mail" if one.kind == NotificationKind.EMAIL else "A signed call"
    about = "an alert" if one.alert_id else "the failure"
    why = f": {one.error.rstrip('.')}" if one.error else ""
    details: dict[str, Any] = {"channel": one.kind, "state": one.state, "tries": one.tries, "error": one.error or None}
    details["alert_id"] = str(one.alert_id) if one.alert_id else None
    summary = f"{what} about {about} {SENT[NotificationState(one.state)]}{why}."
    return Entry(one.sent_at or caused_at, kind, summary, details=details)


def _followers(rows: Rows) -> Iterator[Entry]:
    for run in rows.replays:
        details = {"execution_id": str(run.pk), "status": run.status}
        yield Entry(run.created_at, Kind.REPLAYED, f"It was replayed as execution {run.pk}.", details=details)
    for run in rows.chained:
        details = {"execution_id": str(run.pk), "cue_id": run.cue_id, "status": run.status}
        yield Entry(run.created_at, Kind.CHAINED, f"Its success fired execution {run.pk}.", details=details)


# --- What is to come --------------------------------------------------------------------------------------------


def _expected(rows: Rows, now: datetime) -> Iterator[Entry]:
    for at, kind, summary in _plans(rows):
        if at is not None and at > now:
            yield Entry(at, kind, summary, details={"in_ms": _ms(at - now)}, is_future=True)


def _plans(rows: Rows) -> Iterator[tuple[datetime | None, Kind, str]]:
    run = rows.execution
    if run.status == Status.RETRYING:
        yield run.due_at, Kind.NEXT_TRY, f"Attempt {run.attempts + 1} of {run.cue.max_attempts} is due."
    if rows.destination is not None and rows.destination.state != BreakerState.CLOSED:
        yield rows.destination.probe_at, Kind.NEXT_PROBE, "Its destination is asked again, by one execution."
    if run.status == Status.DELIVERING:
        yield run.lease_expires_at, Kind.LEASE_END, "The claim ends, unless its worker is heard of."
    if run.status == Status.PENDING_OUTCOME:
        yield run.outcome_deadline_at, Kind.OUTCOME_DEADLINE, "Without an outcome it ends in outcome_timeout."
    yield rows.claim_deadline, Kind.CLAIM_DEADLINE, "Unclaimed, it ends in missed."


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
