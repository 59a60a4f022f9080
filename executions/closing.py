"""The one death: how an execution reaches a final state, and what that means for its cue and its people.

Runs inside the caller's transaction. What must be sent is written down here as `Notification` rows and sent after
commit, so a failure to send can never undo a verdict, and a crash can never lose the mail.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from cues import lifecycle as cue_lifecycle
from cues.models import Transport
from executions import alerts, chaining, lifecycle, notifications, overlap
from executions.models import Execution, Notification, NotificationKind
from executions.states import FAILURE, Status, Trigger


def close(execution: Execution, to: Status, *, reason: str, now: datetime, **changes: Any) -> bool:
    """End the execution, once: False when somebody else already moved it, and then nothing else happens."""
    with transaction.atomic(savepoint=False):
        if not lifecycle.move(execution, to, reason=reason, now=now, **changes):
            return False
        cue_lifecycle.mark_ended(execution.cue_id, now=now)
        if execution.triggered_by == Trigger.SCHEDULED and not execution.cue.is_recurring:
            cue_lifecycle.finish_one_shot(
                execution.cue_id, slot=execution.scheduled_for, success=to == Status.SUCCESS, now=now
            )
        if to in FAILURE:
            _escalate(execution, now=now)
        else:
            chaining.follow(execution, now=now)
        alerts.after_end(execution, now=now)
        overlap.after_end(execution, now=now)
    return True


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
