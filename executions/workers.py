"""The account's pulling workers: who they are, and when each was last heard of (contract 7).

There is no registration: a worker is known from its first heartbeat on.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from cueapi.conf import conf
from cueapi.errors import NotFound
from cueapi.models import Account
from executions import notifications
from executions.models import Notification, NotificationKind, Worker

DEAD_AFTER = timedelta(seconds=900)
OFFLINE_AFTER = timedelta(seconds=300)
OFFLINE_MAIL_EVERY = timedelta(hours=1)
OFFLINE_SINCE_AT_MOST = timedelta(hours=2)  # silent for longer: its mail was sent, or nobody waits for it
KEEP_HANDLERS: Any = object()
REPORTED_MAX = 100  # in one sweep


class WorkerNotFound(NotFound):
    """No worker with that id. List yours with GET /v1/workers."""

    code = "worker_not_found"


def alive_since(now: datetime) -> datetime:
    """A worker that was heard of after this is alive."""
    return now - timedelta(seconds=conf().worker_heartbeat_timeout_seconds)


def heartbeat(account: Account, worker_id: str, *, handlers: Any = KEEP_HANDLERS, now: datetime) -> None:
    """Note that the worker lives; the first time, register it. `handlers` replaces its list unless left out."""
    columns: dict[str, Any] = {"last_heartbeat_at": now}
    if handlers is not KEEP_HANDLERS:
        columns["handlers"] = handlers
    same = Worker.objects.filter(account=account, worker_id=worker_id)
    if same.update(**columns):
        return
    new = Worker(account=account, worker_id=worker_id, registered_at=now, **columns)
    Worker.objects.bulk_create([new], ignore_conflicts=True)  # of two first heartbeats at once, either will do


def all_of(account: Account, *, at_most: int | None = None) -> list[Worker]:
    """The account's workers, the one heard of last first."""
    return list(Worker.objects.filter(account=account).order_by("-last_heartbeat_at", "worker_id")[:at_most])


def state_of(worker: Worker, *, now: datetime) -> str:
    """`active`, `stale` or `dead`, by how long it has been silent."""
    if worker.last_heartbeat_at > alive_since(now):
        return "active"
    return "stale" if now - worker.last_heartbeat_at < DEAD_AFTER else "dead"


def is_alive(account_id: UUID, worker_id: str | None, *, now: datetime) -> bool:
    """Whether this worker, or any of the account's when None, was heard of lately."""
    alive = Worker.objects.filter(account=account_id, last_heartbeat_at__gt=alive_since(now))
    return (alive if worker_id is None else alive.filter(worker_id=worker_id)).exists()


def find(account: Account, worker_id: str) -> Worker:
    """The account's worker. Raises WorkerNotFound, for another account's too."""
    found = Worker.objects.filter(account=account, worker_id=worker_id.replace("\x00", "\ufffd")).first()
    if found is None:
        raise WorkerNotFound()
    return found


def report_silent(*, now: datetime) -> int:
    """Mail the owners of workers that fell silent: once for each silence, and once an hour at most."""
    silent = Worker.objects.filter(
        _not_mailed(now),
        last_heartbeat_at__lte=now - OFFLINE_AFTER,
        last_heartbeat_at__gt=now - OFFLINE_SINCE_AT_MOST,
    )
    return sum(_report(pk, now=now) for pk in list(silent.values_list("pk", flat=True)[:REPORTED_MAX]))


def _not_mailed(now: datetime) -> Q:
    again = Q(offline_mailed_at__lt=F("last_heartbeat_at"), offline_mailed_at__lte=now - OFFLINE_MAIL_EVERY)
    return Q(offline_mailed_at=None) | again


def _report(pk: int, *, now: datetime) -> bool:
    with transaction.atomic():
        still = Worker.objects.filter(_not_mailed(now), pk=pk, last_heartbeat_at__lte=now - OFFLINE_AFTER)
        if not still.update(offline_mailed_at=now):
            return False
        worker = Worker.objects.get(pk=pk)
        mail = Notification(worker=worker, account_id=worker.account_id, kind=NotificationKind.EMAIL, due_at=now)
        notifications.write([mail])
    return True
