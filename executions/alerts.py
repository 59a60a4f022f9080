"""What a person should know of a cue: which facts raise which alert (contract 8.1).

Called in the transaction that made the fact, with the execution's row locked; what is to be sent is written down as
`Notification` rows and goes out after commit. Alerts advise: whatever goes wrong here is logged and undoes no verdict.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from cueapi import trail
from cueapi.clock import rfc3339
from cueapi.conf import conf
from cueapi.errors import NotFound
from cueapi.models import Account, AuditAction, SubjectType
from cueapi.trail import Change, Subject
from cues import lifecycle as cue_lifecycle
from cues.models import Cue
from executions import notifications
from executions.models import Alert, AlertType, Destination, Execution, Notification, NotificationKind
from executions.states import FAILURE, FINAL, OutcomeState, Status

log = logging.getLogger(__name__)

QUIET = timedelta(seconds=300)  # after an alert, before the next of its kind about the same thing
STREAK_DEFAULT = 3
STREAK_LOOKS_BACK = 50  # executions beyond those that make a streak; none is counted further
EARLIER_LOOKS_BACK = 20  # alerts of a cue and kind
MESSAGE_MAX_CHARS = 500
ABOUT_CUE = (AlertType.CONSECUTIVE_FAILURES, AlertType.MISSED_WINDOW, AlertType.SLOT_AUDIT)


class AlertNotFound(NotFound):
    """No alert with that id. List yours with GET /v1/alerts."""

    code = "alert_not_found"


@dataclass(frozen=True)
class Signal:
    """An alert that a fact asks for. `execution` is None when it is about the cue as such."""

    alert_type: AlertType
    cue: Cue
    message: str
    execution: Execution | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> Q:
        """What is not raised twice within QUIET: the cue for the alerts that sum up, the execution for the others."""
        about_cue = self.alert_type in ABOUT_CUE
        return Q(cue=self.cue) if about_cue else Q(execution=self.execution)


# --- Which facts ------------------------------------------------------------------------------------------------


def after_end(execution: Execution, *, now: datetime) -> None:
    """The execution reached a final state."""
    if execution.status == Status.OUTCOME_TIMEOUT:
        _safely(_raise, _timed_out(execution), now=now)
    _look_at_cue(execution, now=now)


def after_outcome(execution: Execution, *, now: datetime) -> None:
    """The execution has an outcome, or another one than before. Call before it ends by it, if it does."""
    if execution.outcome_state == OutcomeState.VERIFICATION_FAILED:
        _safely(_raise, _unverified(execution), now=now)
    _look_at_cue(execution, now=now)


def after_missed_window(cue: Cue, *, now: datetime) -> None:
    """The cue should have succeeded by now. Call with its row locked."""
    _safely(_raise, _without_success(cue), now=now)


def after_audit(cue: Cue, counts: Mapping[str, int], examples: Sequence[str], *, now: datetime) -> None:
    """The auditor found windows of the cue that do not add up. Call with its row locked."""
    _safely(_raise, _does_not_add_up(cue, counts, examples), now=now)


def after_opened(destination: Destination, *, now: datetime) -> None:
    """Webhooks to this destination wait until it answers again. Call with its row locked."""
    _safely(_raise_for_destination, destination, now=now)


def _look_at_cue(execution: Execution, *, now: datetime) -> None:
    """What the execution means for its cue: a failure counts once it is final, a success at once."""
    if has_failed(execution):
        if execution.status in FINAL:
            _safely(_look_at_streak, execution, now=now)
    elif execution.cue.success_expected_by and (execution.status == Status.SUCCESS or execution.outcome_success):
        since = execution.scheduled_for
        _safely(cue_lifecycle.expect_next_success, execution.cue, now=now, since=since)


def _safely(step: Callable[..., object], subject: object, *, now: datetime, **facts: Any) -> None:
    try:
        with transaction.atomic():
            step(subject, now=now, **facts)
    except Exception:
        log.exception("alert.not_raised")


def has_failed(execution: Execution) -> bool:
    """By its status, or by its outcome whatever the status."""
    refuted = execution.outcome_success is False and execution.outcome_state != OutcomeState.VERIFIED_SUCCESS
    return execution.status in FAILURE or refuted or execution.outcome_state == OutcomeState.VERIFICATION_FAILED


# --- Signals ----------------------------------------------------------------------------------------------------


def _timed_out(execution: Execution) -> Signal:
    deadline_s = execution.cue.outcome_deadline_s
    return Signal(
        AlertType.OUTCOME_TIMEOUT,
        execution.cue,
        f"{execution.cue.name} acknowledged its work and reported no outcome within {deadline_s} seconds",
        execution,
        {"outcome_deadline_seconds": deadline_s},
    )


def _unverified(execution: Execution) -> Signal:
    cue = execution.cue
    message = f"{cue.name} reported an outcome that lacked its evidence, or that a person rejected"
    return Signal(AlertType.VERIFICATION_FAILED, cue, message, execution, {"verification_mode": cue.verification})


def _without_success(cue: Cue) -> Signal:
    windows, grace_s = cue.alert_missed_window_multiplier, cue.alert_grace_s
    waited, facts = f"for {windows} of its intervals", {"missed_window_multiplier": windows}
    if grace_s is not None:
        waited = f"within {grace_s} seconds of a window, or {waited}"
        facts["grace_seconds"] = grace_s
    return Signal(
        AlertType.MISSED_WINDOW,
        cue,
        f"{cue.name} has had no success {waited}, up to {rfc3339(cue.success_expected_by)}",
        metadata={**facts, "success_expected_by": rfc3339(cue.success_expected_by)},
    )


def _does_not_add_up(cue: Cue, counts: Mapping[str, int], examples: Sequence[str]) -> Signal:
    found = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return Signal(
        AlertType.SLOT_AUDIT,
        cue,
        f"The audit of {cue.name} found windows that do not add up: {found}",
        metadata={**counts, "examples": list(examples)},
    )


def _look_at_streak(execution: Execution, *, now: datetime) -> None:
    """Raise when the cue's last N ended executions failed, this one among them."""
    cue = execution.cue
    _hold(cue)  # one look at a time, so that of two that end together one sees the other
    if _raised_lately(AlertType.CONSECUTIVE_FAILURES, Q(cue=cue), now=now):
        return  # a cue that fails all the time is not counted all the time
    wanted = cue.alert_consecutive_failures or STREAK_DEFAULT
    streak = _streak(execution, wanted + STREAK_LOOKS_BACK)
    length = len(streak)
    if execution.pk in streak and length >= wanted:
        message = f"{cue.name} failed {length} times in a row"
        facts = {"consecutive_failures": length}
        _raise(Signal(AlertType.CONSECUTIVE_FAILURES, cue, message, execution, facts), now=now)


def _hold(cue: Cue) -> None:
    Cue.objects.select_for_update(no_key=True).filter(pk=cue.pk).values_list("pk").first()


def _streak(execution: Execution, at_most: int) -> set[UUID]:
    """The executions of the cue that failed since the last that did not, by the time they ended.

    The index is by creation: of this one and the newest that have ended, the last by end. Only runs that were put off
    for very long can differ.
    """
    columns = ("closed_at", "created_at", "status", "outcome_success", "outcome_state")
    newest = Execution.objects.filter(cue=execution.cue_id, status__in=FINAL).newest_first().only(*columns)
    ended = {run.pk: run for run in newest[:at_most]} | {execution.pk: execution}
    by_end = sorted(ended.values(), key=lambda run: (run.closed_at, run.created_at), reverse=True)
    return {run.pk for run in takewhile(has_failed, by_end)}


# --- Raising ----------------------------------------------------------------------------------------------------


def _raise(signal: Signal, *, now: datetime) -> None:
    """Write the alert and what it sends, unless it was raised within QUIET."""
    if _raised_lately(signal.alert_type, signal.subject, now=now):
        return
    acknowledged_at = _acknowledged_before(signal)
    _write(
        account_id=signal.cue.account_id,
        cue=signal.cue,
        execution=signal.execution,
        alert_type=signal.alert_type,
        message=signal.message[:MESSAGE_MAX_CHARS],
        metadata=signal.metadata | ({"previous_acknowledged_at": acknowledged_at} if acknowledged_at else {}),
        now=now,
    )


def _raise_for_destination(destination: Destination, *, now: datetime) -> None:
    lately = Alert.objects.filter(account=destination.account_id, alert_type=AlertType.DESTINATION_DOWN)
    if lately.filter(created_at__gt=now - QUIET, metadata__destination=destination.lane).exists():
        return
    message = f"Webhooks to {destination.lane} wait: {destination.failures} attempts in a row were not answered"
    _write(
        account_id=destination.account_id,
        alert_type=AlertType.DESTINATION_DOWN,
        message=message[:MESSAGE_MAX_CHARS],
        metadata={"destination": destination.lane, "reason": destination.reason},
        now=now,
    )


def _write(*, now: datetime, **columns: Any) -> None:
    """Store an alert and what it sends."""
    alert = Alert.objects.create(created_at=now, **columns)
    log.info("alert.raised", extra={"alert": alert.pk, "type": alert.alert_type, "cue": alert.cue_id})
    account = Account.objects.get(pk=alert.account_id)
    kinds = [kind for kind, wanted in CHANNELS.items() if wanted(account)]
    notifications.write([Notification(alert=alert, account=account, kind=kind, due_at=now) for kind in kinds])


CHANNELS: dict[NotificationKind, Callable[[Account], bool]] = {
    NotificationKind.EMAIL: lambda account: account.alert_email and bool(conf().email_url),
    NotificationKind.WEBHOOK: lambda account: bool(account.alert_webhook_url),
}


def _raised_lately(alert_type: AlertType, subject: Q, *, now: datetime) -> bool:
    """A row lock on the subject makes it race-safe."""
    return Alert.objects.filter(subject, alert_type=alert_type, created_at__gt=now - QUIET).exists()


def _acknowledged_before(signal: Signal) -> str | None:
    """When the latest of the cue's recent alerts of this kind that somebody acknowledged was."""
    earlier = Alert.objects.filter(cue=signal.cue, alert_type=signal.alert_type).order_by("-created_at")
    seen = [at for at in earlier.values_list("acknowledged_at", flat=True)[:EARLIER_LOOKS_BACK] if at is not None]
    return rfc3339(max(seen)) if seen else None


# --- Acknowledging ----------------------------------------------------------------------------------------------


def acknowledge(account: Account, alert_id: UUID | None, *, now: datetime) -> Alert:
    """Note that somebody saw the alert; the first time counts. Raises AlertNotFound, for another account's too."""
    if alert_id is None:
        raise AlertNotFound()
    own = Alert.objects.filter(account=account, pk=alert_id)
    with transaction.atomic():
        is_news = own.filter(acknowledged_at=None).update(acknowledged_at=now)
        alert = own.first()
        if alert is None:
            raise AlertNotFound()
        if is_news:
            subject = Subject(SubjectType.ALERT, alert.pk, alert.message, account.pk)
            trail.record(Change(AuditAction.ALERT_ACKNOWLEDGED, subject), now=now)
    return alert
