"""How much work waits, for `/health`: each count is bounded, so asking stays cheap however much there is."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from cueapi.conf import conf
from cues.models import Transport
from executions.models import Destination, Execution, Worker
from executions.states import WAITING, BreakerState, Status
from executions.workers import alive_since

BACKLOG_MAX = 10_000
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


def backlog(*, now: datetime) -> dict[str, int]:
    """Webhooks that are due and wait, by the breaker of their lane: of BACKLOG_MAX of them, whichever."""
    due = Execution.objects.due(*sorted(WAITING), now=now).filter(transport=Transport.WEBHOOK)
    lanes = Counter(due.order_by().values_list("account_id", "lane")[:BACKLOG_MAX])
    holding = Destination.objects.exclude(state=BreakerState.CLOSED).values_list("account_id", "lane", "state")
    states = {(account_id, lane): state for account_id, lane, state in holding}
    counts: Counter[str] = Counter(dict.fromkeys(BreakerState.values, 0))
    for lane, count in lanes.items():
        counts[states.get(lane, BreakerState.CLOSED)] += count
    return dict(counts)


def breakers() -> dict[str, int]:
    """Destinations by the state of their breaker."""
    found = dict(Destination.objects.values_list("state").annotate(Count("pk")).order_by())
    return {state: found.get(state, 0) for state in BreakerState.values}


def workers(*, now: datetime) -> tuple[int, str]:
    """How many pulling workers of all accounts live, and one word for it: ok, stale, none."""
    alive = _count(Worker.objects.filter(last_heartbeat_at__gt=alive_since(now)))
    if alive:
        return alive, "ok"
    return 0, "stale" if Worker.objects.exists() else "none"


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[:COUNT_MAX].count()
