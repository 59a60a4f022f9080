"""Doors: the Celery tasks. Each reads the clock, calls one stage, and may run twice without harm."""

import sys
import threading
import time
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_init, worker_ready, worker_shutdown

from cueapi import clock, liveness, outbound, tracing
from cueapi.logging import about
from cueapi.queue import publish
from executions import delivery, firing, notifications, purging, recovery, rollup
from executions.lanes import Lane
from executions.models import Notification

COUNT_S = 20  # of one message; what is left then, the next minute's goes on with
PURGE_S = 5  # of one message
PURGE_CHAIN_S = 50 * 60  # of all its successors: less than an hour, so that there is one at a time


@shared_task(name="executions.fire_due")
def fire_due(cue_ids: list[str]) -> None:
    with tracing.span("fire", cues=len(cue_ids)) as span:
        span.tell(executions=firing.fire_due(cue_ids, now=clock.now()))


@shared_task(name="executions.drain")
def drain(account_id: str, origin: str) -> None:
    with about(account=account_id):
        delivery.drain(Lane(UUID(account_id), origin))


@shared_task(name="executions.notify")
def notify(notification_ids: list[int]) -> None:
    for pk in notification_ids:  # each at its own time: the one before it may have waited for its receiver
        notifications.send_due(Notification.objects.filter(pk=pk), now=clock.now())


@shared_task(name="executions.sweep")
def sweep() -> None:
    recovery.sweep(now=clock.now())


@shared_task(name="executions.count")
def count() -> None:
    """The minute's count of what ended, stretch by stretch, for a few seconds."""
    now = clock.now()
    stop_at = time.monotonic() + COUNT_S
    while rollup.count(now=now) and time.monotonic() < stop_at:
        pass


@shared_task(name="executions.audit_slots")
def audit_slots(after: str = "") -> None:
    """The night's audit, so many cues to a message."""
    last = recovery.audit_windows(after=after, now=clock.now())
    if last is not None:
        publish("executions.audit_slots", queue="default", kwargs={"after": last})


@shared_task(name="executions.purge")
def purge(positions: purging.Positions | None = None, stop_at: float | None = None) -> None:
    """The hour's removal of what is over, a few seconds to a message; none after `stop_at` (Unix seconds)."""
    now = clock.now()
    if positions is None:
        rollup.forget(now=now)
    stop_at = stop_at or now.timestamp() + PURGE_CHAIN_S
    run = purging.purge(now=now, positions=positions, go_on=purging.Pace(PURGE_S))
    if not run.is_done and clock.now().timestamp() < stop_at:
        publish("executions.purge", queue="default", kwargs={"positions": run.positions, "stop_at": stop_at})


SWITCH_S = 0.0002
"""How long a thread that computes keeps others from it. With Python's own 5 ms whoever had its turn to write to SQLite,
and all others waiting, lost it for so long after each statement."""


@worker_init.connect
def take_shorter_turns(**kwargs: Any) -> None:
    sys.setswitchinterval(SWITCH_S)


@worker_init.connect
def warm_up(**kwargs: Any) -> None:
    """A cue that comes due right after the start is to fire on time too."""
    outbound.warm_up()


_worker_stopped = threading.Event()


@worker_ready.connect
def leave_signs(**kwargs: Any) -> None:
    """So that `/metrics` tells which workers live."""
    threading.Thread(
        target=liveness.leave_signs_of_worker, args=(_worker_stopped,), name="signs of life", daemon=True
    ).start()


@worker_shutdown.connect
def take_signs_away(**kwargs: Any) -> None:
    _worker_stopped.set()


@worker_shutdown.connect
def finish_deliveries(**kwargs: Any) -> None:
    """A worker that stops first lets its requests in flight end, and records them."""
    delivery.finish()
