"""All that is stored about one execution, for its timeline: eight queries at most, each by an index and bounded."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from cueapi.conf import conf
from cues.models import CueStatus, Definition, LedgerEntry, Transport
from executions import destinations
from executions.models import Alert, AlertType, Attempt, Destination, Execution, Notification, Step
from executions.states import FAILURE, WAITING, BreakerState, Status, Trigger
from executions.timeline import Rows, WaitFor

ROWS_MAX = 500  # of steps and of attempts: the latest
OTHERS_MAX = 100  # of alerts, and of replays


def read(execution: Execution, *, now: datetime) -> Rows:
    """The rows about an execution that was read with its cue."""
    steps = list(Step.objects.filter(execution=execution).order_by("-at", "-pk")[:ROWS_MAX])
    attempts = list(Attempt.objects.filter(execution=execution).order_by("-number")[:ROWS_MAX])
    alerts = _alerts(execution)
    followers = _followers(execution)
    destination = _destination(execution)
    return Rows(
        execution=execution,
        steps=steps[::-1],
        attempts=attempts[::-1],
        alerts=alerts,
        notifications=_notifications(execution, alerts),
        replays=[run for run in followers if run.replayed_from_id == execution.pk],
        chained=[run for run in followers if run.chain_parent_id == execution.pk],
        destination=destination,
        verdict=_verdict(execution),
        pause=_pause(execution),
        in_the_way=_in_the_way(execution, destination, now=now),
        claim_deadline=_claim_deadline(execution),
    )


def _alerts(execution: Execution) -> list[Alert]:
    """Those about it, and those about its destination while it was open."""
    about = Q(execution=execution)
    if execution.transport == Transport.WEBHOOK:
        about |= Q(
            account=execution.account_id,
            alert_type=AlertType.DESTINATION_DOWN,
            created_at__gte=execution.created_at,
            metadata__destination=execution.lane,
            **({"created_at__lte": execution.closed_at} if execution.closed_at else {}),
        )
    return list(Alert.objects.filter(about).order_by("created_at")[:OTHERS_MAX])


def _notifications(execution: Execution, alerts: Sequence[Alert]) -> list[Notification]:
    """At most one of each kind for each."""
    own: list[UUID] = [alert.pk for alert in alerts if alert.execution_id == execution.pk]
    return list(Notification.objects.filter(Q(execution=execution) | Q(alert__in=own)).order_by("pk"))


def _followers(execution: Execution) -> list[Execution]:
    columns = ("cue_id", "status", "created_at", "replayed_from_id", "chain_parent_id")
    rows = Execution.objects.filter(Q(replayed_from=execution) | Q(chain_parent=execution)).only(*columns)
    return list(rows.order_by("created_at")[:OTHERS_MAX])


def _destination(execution: Execution) -> Destination | None:
    if execution.transport != Transport.WEBHOOK or execution.status not in WAITING:
        return None
    return Destination.objects.filter(account=execution.account_id, lane=execution.lane).first()


def _in_the_way(execution: Execution, destination: Destination | None, *, now: datetime) -> WaitFor | None:
    """Of an execution that is due, or put off by its cue's rate; the rest of what it may wait for is a free worker."""
    if execution.waits_for_rate:
        return WaitFor.RATE
    if destination is None or execution.due_at is None or execution.due_at > now:
        return None
    if destination.state != BreakerState.CLOSED:
        return WaitFor.BREAKER
    if destination.next_at and destination.next_at > now:
        return WaitFor.RATE
    room = destinations.room(destination, mine=0, now=now)
    return None if room.attempts else WaitFor.CONCURRENCY


def _verdict(execution: Execution) -> LedgerEntry | None:
    if execution.triggered_by != Trigger.SCHEDULED:
        return None
    return LedgerEntry.objects.filter(cue=execution.cue_id, first_at=execution.scheduled_for).first()


def _pause(execution: Execution) -> Definition | None:
    """The pause of the cue by its failure, which was written in the same transaction."""
    if execution.status not in FAILURE or execution.closed_at is None or not execution.cue.on_failure_pause:
        return None
    paused = Definition.objects.filter(cue=execution.cue_id, since=execution.closed_at, status=CueStatus.PAUSED)
    return paused.first()


def _claim_deadline(execution: Execution) -> datetime | None:
    if execution.transport != Transport.WORKER or execution.status != Status.PENDING or execution.due_at is None:
        return None
    return execution.due_at + timedelta(seconds=conf().worker_unclaimed_timeout_seconds)
