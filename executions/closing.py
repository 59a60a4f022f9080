"""The one death: how an execution reaches a final state, and what that means for its cue and its people.

Runs inside the caller's transaction. What must be sent is written down here as `Notification` rows and sent after
commit, so a failure to send can never undo a verdict, and a crash can never lose the mail.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from cueapi import trail
from cues import lifecycle as cue_lifecycle
from cues.models import Cue, ScheduleType, Transport
from executions import alerts, chaining, failures, figures, lifecycle, notifications, overlap
from executions.models import Execution, Notification, NotificationKind
from executions.states import FAILURE, Status, Trigger


def close(execution: Execution, to: Status, *, reason: str, now: datetime, stage: str = "", **changes: Any) -> bool:
    """End the execution, once: False when somebody else already moved it, and then nothing else happens.

    `stage` is that of a failure: the last attempt's, or one of `executions.failures`.
    """
    http_status = changes.get("http_status", execution.http_status)
    facts = failures.Facts(to, stage, http_status, execution.outcome_success)
    with transaction.atomic(savepoint=False):
        if not lifecycle.move(execution, to, reason=reason, now=now, error_class=failures.classify(facts), **changes):
            return False
        figures.ended({to: 1})
        _after(execution, to, now=now)
    return True


class Delivered(Protocol):
    """As much of a delivered execution as its end asks for."""

    @property
    def pk(self) -> UUID: ...
    @property
    def cue_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def triggered_by(self) -> str: ...
    @property
    def schedule_type(self) -> str: ...


def succeed(delivered: Sequence[Delivered], *, now: datetime) -> None:
    """End locked executions together, as successes for which nothing waits, their cues locked too where several are."""
    if not delivered:
        return
    with transaction.atomic(savepoint=False):
        lifecycle.succeed(delivered, now=now)
        figures.ended({Status.SUCCESS: len(delivered)})
        cue_lifecycle.mark_ended({one.cue_id for one in delivered}, now=now)
        once = {one.pk: one.cue_id for one in delivered if _is_last(one.triggered_by, one.schedule_type)}
        cue_lifecycle.finish_one_shots(_cues_of_one_shots(once), success=True, now=now)


def _after(execution: Execution, to: Status, *, now: datetime) -> None:
    """What the end means for the cue, then for the execution's people and followers."""
    cue = execution.cue
    cue_lifecycle.mark_ended({cue.pk}, now=now)
    once = {execution.pk: cue.pk} if _is_last(execution.triggered_by, cue.schedule_type) else {}
    cue_lifecycle.finish_one_shots(_cues_of_one_shots(once), success=to == Status.SUCCESS, now=now)
    if to in FAILURE:
        _escalate(execution, now=now)
    else:
        chaining.follow(execution, now=now)
    alerts.after_end(execution, now=now)
    overlap.after_end(execution, now=now)


def _is_last(triggered_by: str, schedule_type: str) -> bool:
    """Whether a cue may end with this execution of it."""
    return triggered_by == Trigger.SCHEDULED and schedule_type == ScheduleType.ONCE


def _cues_of_one_shots(ended: Mapping[UUID, str]) -> QuerySet[Cue]:
    """Those of the cues, by their execution that ended, whose present time is that of the execution."""
    if not ended:
        return Cue.objects.none()
    same_time = Execution.objects.filter(pk__in=ended, cue=OuterRef("pk"), scheduled_for=OuterRef("at"))
    return Cue.objects.filter(Exists(same_time), pk__in=ended.values())


def _escalate(execution: Execution, *, now: datetime) -> None:
    """What the cue asked for when it fails: e-mail, webhook, pause (contract 6.7)."""
    cue = execution.cue
    if execution.transport == Transport.WEBHOOK and not cue.is_two_phase and execution.reported is False:
        return  # it was delivered to somebody who said no: that feeds alerts
    kinds = [NotificationKind.EMAIL] if cue.on_failure_email else []
    kinds += [NotificationKind.WEBHOOK] if cue.on_failure_webhook else []
    notifications.write(
        [Notification(execution=execution, account_id=execution.account_id, kind=kind, due_at=now) for kind in kinds]
    )
    if cue.on_failure_pause and cue.is_recurring:
        with trail.by_rule(f"on_failure.pause, after the execution {execution.pk} failed"):
            cue_lifecycle.pause([cue], now=now)
