"""The one birth: however an execution comes about, it starts here.

Its row, its first step and the intent to dispatch it are one transaction: the caller's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cueapi import wakeups
from cues.models import Cue, Transport
from executions import lanes, lifecycle
from executions.models import Execution
from executions.states import Trigger


def new(
    cue: Cue,
    scheduled_for: datetime,
    trigger: Trigger,
    payload: dict[str, Any],
    *,
    now: datetime,
    is_held: bool = False,
) -> Execution:
    """An execution of the cue as it would be stored. A held one waits until it is released."""
    is_queued = cue.transport == Transport.WEBHOOK and scheduled_for <= now and not is_held
    return Execution(
        account_id=cue.account_id,
        cue=cue,
        transport=cue.transport,
        triggered_by=trigger,
        scheduled_for=scheduled_for,
        payload=payload,
        due_at=None if is_held else scheduled_for,
        is_held=is_held,
        queued_at=now if is_queued else None,
        created_at=now,
        updated_at=now,
    )


def bear(executions: Sequence[Execution], *, reason: str, now: datetime) -> None:
    """Insert new executions and hand out those that are due; tell workers that wait. Call inside a transaction."""
    lifecycle.born(executions, reason=reason)
    pulled = (e for e in executions if e.transport == Transport.WORKER and not e.is_held)
    wakeups.announce({execution.account_id for execution in pulled})
    lanes.hand_out(
        ((execution.cue.lane, execution.pk) for execution in executions if execution.queued_at is not None),
        now=now,
    )
