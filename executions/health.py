"""How much work waits, for `/health`: each count is bounded, so asking stays cheap however much there is."""

from datetime import datetime, timedelta

from django.db.models import QuerySet

from cueapi.conf import conf
from cues.models import Transport
from executions.models import Execution
from executions.states import Status

COUNT_MAX = 1000  # "1000" reads as "1000 or more"
UNKNOWN = {"pending_outbox": 0, "stale_executions": 0, "pending_retries": 0, "pending_worker_claims": 0}


def counters(*, now: datetime) -> dict[str, int]:
    """Executions that are due and not sent, whose sender died, that wait for a retry, that wait for a worker."""
    lost_before = now - timedelta(seconds=conf().requeue_after_seconds)
    due = Execution.objects.due
    return {
        "pending_outbox": _count(
            due(Status.PENDING, Status.RETRY_READY, now=lost_before).filter(transport=Transport.WEBHOOK)
        ),
        "stale_executions": _count(due(Status.DELIVERING, now=now)),
        "pending_retries": _count(Execution.objects.filter(status=Status.RETRYING)),
        "pending_worker_claims": _count(due(Status.PENDING, now=now).filter(transport=Transport.WORKER)),
    }


def _count(rows: QuerySet[Execution]) -> int:
    return rows.order_by()[:COUNT_MAX].count()
