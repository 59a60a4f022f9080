"""The sweeps: whatever a broker, a worker or beat lost is found in the rows and set going again (contract 6.6).

Each is idempotent, reads one index with a limit, and acts through the same guarded steps as everybody else.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Min, QuerySet

from cueapi import device_login, idempotency, trail, usage
from cueapi.conf import conf
from cueapi.logging import about
from cues import lifecycle as cue_lifecycle
from cues.models import Cue, CueStatus, Transport
from executions import (
    alerts,
    audit,
    claims,
    closing,
    destinations,
    failures,
    figures,
    firing,
    lanes,
    lifecycle,
    notifications,
    overlap,
    recording,
    watches,
    workers,
)
from executions.lanes import Lane
from executions.models import Execution, Notification
from executions.states import WAITING, OutcomeState, Status

log = logging.getLogger(__name__)

ROWS_MAX = 500
HORIZON = timedelta(seconds=10)  # the next sweep is due in five
READY_MAX = 100  # executions of a lane whose wait is over, marked so at a time
NOTIFICATIONS_MAX = 100
HELD_CUES_MAX = 500
AUDITED_CUES_MAX = 500
AUDIT_LOOKS_BACK = timedelta(hours=25)  # a day, and an hour for an audit that starts late
AUDIT_EXAMPLES = 5
OVERDUE_AFTER = timedelta(seconds=10)  # beat fires cues at their instant; later than this, nobody did


def sweep(*, now: datetime) -> dict[str, int]:
    """Run every sweep once; what each found. One that crashes does not keep the others from running."""
    return {name: _run(name, step, now) for name, step in SWEEPS.items()}


def _run(name: str, step: Callable[[datetime], int], now: datetime) -> int:
    try:
        found = step(now)
    except Exception:
        log.exception("sweep.crashed", extra={"sweep": name})
        return 0
    if found:
        log.info("sweep.found", extra={"sweep": name, "found": found})
        figures.swept(name, found)
    return found


def fire_overdue(now: datetime) -> int:
    """Cues that came due and that no scheduler announced."""
    overdue = Cue.objects.due(now - OVERDUE_AFTER).order_by("next_run").values_list("pk", flat=True)
    cue_ids = list(overdue[:ROWS_MAX])
    return firing.fire_due(cue_ids, now=now) if cue_ids else 0


def follow_switches(now: datetime) -> int:
    """Cues that came due and whose periodic task was switched off in bulk, which tells nobody: they are paused."""
    off = Cue.objects.filter(status=CueStatus.ACTIVE, next_run__lte=now, periodic_task__enabled=False)
    with trail.by_rule("its periodic task was switched off"):
        return cue_lifecycle.pause(off.order_by("next_run")[:ROWS_MAX], now=now)


def nudge_at_their_time(now: datetime) -> int:
    """Executions that come due before the next sweep or two: their lanes are told of it at their time."""
    soon = Execution.objects.due(*WAITING, now=now + HORIZON).filter(transport=Transport.WEBHOOK, due_at__gt=now)
    paced = soon.filter(paced_at=F("due_at")).order_by().values_list("account_id", "lane")
    found = list(paced.annotate(Min("due_at"))[:ROWS_MAX])  # one leads to the next; there may be thousands
    others = soon.exclude(paced_at=F("due_at")).values_list("account_id", "lane", "due_at")
    found += list(others[:ROWS_MAX])
    for account_id, origin, due_at in found:
        lanes.nudge([Lane(account_id, origin)], at=due_at, now=now)
    return len(found)


def look_at_lanes(now: datetime) -> int:
    """Lanes with overdue work that nobody has looked at lately: their message is late, or lost."""
    overdue = Execution.objects.due(*WAITING, now=now - destinations.LOOKED_LATELY).filter(transport=Transport.WEBHOOK)
    pairs = overdue.order_by().values_list("account_id", "lane").distinct()[:ROWS_MAX]
    return sum(_look_at_lane(Lane(*pair), now=now) for pair in pairs)


def _look_at_lane(lane: Lane, *, now: datetime) -> bool:
    with transaction.atomic():
        destination = destinations.hold(lane)
        if not destinations.is_forgotten(destination, now=now):
            return False
        destination.nudged_at = now
        destination.save(update_fields=["nudged_at"])
        lifecycle.make_ready(lifecycle.lock_some(lanes.waiting(lane, Status.RETRYING, now=now), READY_MAX), now=now)
    lanes.nudge_again(lane)
    return True


def release_held(now: datetime) -> int:
    """Executions that wait for others of their cue which have ended."""
    return overlap.release_forgotten(now=now, at_most=HELD_CUES_MAX)


def end_interrupted(now: datetime) -> int:
    """Webhook attempts whose sender died: each counts as a failed attempt."""
    dead = Execution.objects.due(Status.DELIVERING, now=now).filter(transport=Transport.WEBHOOK)
    return _each(_first(dead), Status.DELIVERING, now, lambda e: recording.interrupted(e, now=now))


def end_unreported(now: datetime) -> int:
    """Two-phase executions whose outcome did not come in time."""
    late = Execution.objects.due(Status.PENDING_OUTCOME, now=now)
    return _each(_first(late), Status.PENDING_OUTCOME, now, lambda e: _time_out(e, now=now))


def _time_out(execution: Execution, *, now: datetime) -> None:
    closing.close(
        execution,
        Status.OUTCOME_TIMEOUT,
        reason="no outcome before its deadline",
        now=now,
        outcome_state=OutcomeState.UNKNOWN,
        error_message="The receiver acknowledged the work and did not report its outcome in time.",
    )


def miss_unclaimed(now: datetime) -> int:
    """Work for pulling workers that none came for."""
    due_by = now - timedelta(seconds=conf().worker_unclaimed_timeout_seconds)
    unclaimed = Execution.objects.due(Status.PENDING, now=due_by).filter(transport=Transport.WORKER)
    return _each(_first(unclaimed), Status.PENDING, due_by, lambda e: _miss(e, now=now))


def _miss(execution: Execution, *, now: datetime) -> None:
    if usage.is_refused(execution.account, now=now):  # it was not offered, so nobody missed it
        closing.close(
            execution, Status.FAILED, reason=usage.REFUSAL, now=now, stage=failures.QUOTA, error_message=usage.REFUSAL
        )
        return
    closing.close(
        execution,
        Status.MISSED,
        reason="no worker claimed it in time",
        now=now,
        error_message="No worker claimed this execution in time. Start one, then replay it.",
    )


def end_leases(now: datetime) -> int:
    """Claims whose lease is over: back to the others, unless their worker is still heard of."""
    over = Execution.objects.due(Status.DELIVERING, now=now).filter(transport=Transport.WORKER)
    return _each(_first(over), Status.DELIVERING, now, lambda e: claims.end_lease(e, now=now))


def report_silent_workers(now: datetime) -> int:
    """Workers that have not been heard of for a while, and whose owner was not told."""
    return workers.report_silent(now=now)


def notify(now: datetime) -> int:
    """Mails and calls whose message was lost, or that are due for another try.

    Each account's in a task of their own: a receiver that hangs must not hold up the sweeps.
    """
    due = Notification.objects.filter(due_at__lte=now).order_by("due_at").values_list("account_id", "pk")
    found = list(due[:NOTIFICATIONS_MAX])
    notifications.hand_out(found)
    return len(found)


def look_at_watches(now: datetime) -> int:
    """Cues that should have succeeded by now."""
    return watches.raise_overdue(now=now)


def forget_answers(now: datetime) -> int:
    """Answers kept for calls with an Idempotency-Key, once they are a day old."""
    return idempotency.forget(now=now)


def forget_logins(now: datetime) -> int:
    """Device logins that were over a day ago."""
    return device_login.forget(now=now)


def audit_windows(*, after: str, now: datetime) -> str | None:
    """Audit the last day of the AUDITED_CUES_MAX cues after this one, and raise an alert for each that does not add up.

    The last cue's id; None when there are no more.
    """
    cues = list(Cue.objects.filter(pk__gt=after).order_by("pk")[:AUDITED_CUES_MAX])
    report = audit.audit(cues, since=now - AUDIT_LOOKS_BACK, until=now, now=now)
    for cue in cues:
        found = [finding for finding in report.findings if finding.cue_id == cue.pk] if report.findings else []
        if found:
            _alert_of_audit(cue, found, now=now)
    return cues[-1].pk if len(cues) == AUDITED_CUES_MAX else None


def _alert_of_audit(cue: Cue, found: Sequence[audit.Finding], *, now: datetime) -> None:
    examples = [str(finding) for finding in found[:AUDIT_EXAMPLES]]
    log.error("audit.does_not_add_up", extra={"cue": cue.pk, "findings": len(found), "first": examples[0]})
    counts = Counter(finding.kind for finding in found)
    with transaction.atomic():
        for locked in Cue.objects.select_for_update(no_key=True).filter(pk=cue.pk):
            alerts.after_audit(locked, counts, examples, now=now)


SWEEPS: dict[str, Callable[[datetime], int]] = {
    "look_at_lanes": look_at_lanes,  # before others give lanes work, and tell them
    "nudge_at_their_time": nudge_at_their_time,
    "fire_overdue": fire_overdue,
    "follow_switches": follow_switches,
    "release_held": release_held,
    "end_interrupted": end_interrupted,
    "end_unreported": end_unreported,
    "end_leases": end_leases,
    "miss_unclaimed": miss_unclaimed,
    "report_silent_workers": report_silent_workers,
    "look_at_watches": look_at_watches,
    "notify": notify,
    "forget_answers": forget_answers,
    "forget_logins": forget_logins,
}


def _first(rows: QuerySet[Execution]) -> list[UUID]:
    return list(rows.values_list("pk", flat=True)[:ROWS_MAX])


def _each(ids: Iterable[UUID], status: Status, due_by: datetime, act: Callable[[Execution], None]) -> int:
    """Act on each row in a transaction of its own, if it is still in this state and still due by then."""
    acted = 0
    for pk in ids:
        with transaction.atomic():
            for execution in lifecycle.lock([pk], statuses=[status]):
                if execution.due_at is not None and execution.due_at <= due_by:
                    with about(account=execution.account_id, cue=execution.cue_id, execution=pk):
                        act(execution)
                    acted += 1
    return acted
