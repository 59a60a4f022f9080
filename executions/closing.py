"""The one death: how an execution reaches a final state, and what that means for its cue and its people.

Runs inside the caller's transaction. What must be sent is written down here as `Notification` rows and sent after
commit, so a failure to send can never undo a verdict, and a crash can never lose the mail.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from cues import lifecycle as cue_lifecycle
from cues.models import Cue, Transport
from executions import alerts, chaining, lifecycle, notifications, overlap
from executions.models import Execution, Notification, NotificationKind
from executions.states import FAILURE, Status, Trigger


def close(execution: Execution, to: Status, *, reason: str, now: datetime, **changes: Any) -> bool:
    """End the execution, once: False when somebody else already moved it, and then nothing else happens."""
    with transaction.atomic(savepoint=False):
        if not lifecycle.move(execution, to, reason=reason, now=now, **changes):
            return False
        _after([execution], to, now=now)
    return True


def close_all(locked: Sequence[Execution], to: Status, *, reason: str, now: datetime, **changes: Any) -> None:
    """End locked executions together, their cues locked too where they are several; `changes` may be expressions."""
    if not locked:
        return
    with transaction.atomic(savepoint=False):
        lifecycle.move_all(locked, to, reason=reason, now=now, **changes)
        _after(locked, to, now=now)


def _after(ended: Sequence[Execution], to: Status, *, now: datetime) -> None:
    """What the end means for the cues, then for each execution's people and followers."""
    cue_lifecycle.mark_ended({execution.cue_id for execution in ended}, now=now)
    cue_lifecycle.finish_one_shots(_cues_of_one_shots(ended), success=to == Status.SUCCESS, now=now)
    for execution in ended:
        if to in FAILURE:
            _escalate(execution, now=now)
        else:
            chaining.follow(execution, now=now)
        alerts.after_end(execution, now=now)
        overlap.after_end(execution, now=now)


def _cues_of_one_shots(ended: Sequence[Execution]) -> QuerySet[Cue]:
    """The one-shots among the cues whose present time is that of their execution which ended."""
    last = [e for e in ended if e.triggered_by == Trigger.SCHEDULED and not e.cue.is_recurring]
    if not last:
        return Cue.objects.none()
    same_time = Execution.objects.filter(pk__in=[e.pk for e in last], cue=OuterRef("pk"), scheduled_for=OuterRef("at"))
    return Cue.objects.filter(Exists(same_time), pk__in=[e.cue_id for e in last])


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
        cue_lifecycle.pause([cue], now=now)
