"""A day that never was: what the recurring cues of an installation would have done in it. Runs inside Django.

Pictures of the pages want a past. It is written as the engine leaves it: executions, attempts, steps, the ledger's
windows, then the figures of each hour, counted by the product.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from cueapi import clock
from cues.models import Cue, CueStatus, Definition, LedgerEntry, Verdict
from cues.schedule import cron_timetable, first_due
from executions import rollup
from executions.failures import ErrorClass
from executions.models import Attempt, Execution, Step
from executions.states import Status, Trigger

LASTS = timedelta(hours=25)
HOUR = timedelta(hours=1)
BAD_EVERY = {"summarise-inbox": 31, "refresh-embeddings": 9, "sync-calendar": 47}  # of its windows, one fails
BODY = '{"success": true, "result": "12 mails summarised", "external_id": "msg:88"}'


def write() -> None:
    """For each recurring cue that BAD_EVERY names, and for `morning-report`, which was paused at its time."""
    now = clock.now()
    for cue in Cue.objects.filter(name__in=BAD_EVERY):
        _live(cue, now - LASTS, now)
    _pause_over_nine(Cue.objects.get(name="morning-report"), now)
    while rollup.count(now=now):
        pass


def _pause_over_nine(cue: Cue, now: datetime) -> None:
    """As if somebody had paused it half an hour before the last 09:00 of its zone, and resumed it an hour later."""
    nine = cron_timetable(cue.cron, cue.timezone).previous(now - HOUR)
    assert nine
    Cue.objects.filter(pk=cue.pk).update(created_at=now - LASTS - HOUR)
    Definition.objects.filter(cue=cue).update(since=now - LASTS - HOUR)
    for since, status in ((nine - HOUR / 2, CueStatus.PAUSED), (nine + HOUR / 2, CueStatus.ACTIVE)):
        Definition.objects.create(cue=cue, since=since, **cue.facts | {"status": status})
    LedgerEntry.objects.create(cue=cue, first_at=nine, verdict=Verdict.PAUSED)


def _live(cue: Cue, since: datetime, now: datetime) -> None:
    Cue.objects.filter(pk=cue.pk).update(created_at=since)
    Definition.objects.filter(cue=cue).update(since=since)
    runs = [_run(cue, at, number) for number, at in enumerate(_windows(cue, since, cue.created_at))]
    Execution.objects.bulk_create(runs, batch_size=500)
    Attempt.objects.bulk_create(map(_attempt, runs), batch_size=500)
    Step.objects.bulk_create((step for run in runs for step in _steps(run)), batch_size=500)
    LedgerEntry.objects.bulk_create(
        LedgerEntry(cue=cue, first_at=run.scheduled_for, verdict=Verdict.RAN, execution_id=run.pk) for run in runs
    )
    Cue.objects.filter(pk=cue.pk).update(last_run=runs[-1].closed_at)


def _windows(cue: Cue, since: datetime, until: datetime) -> Iterator[datetime]:
    timetable = cron_timetable(cue.cron, cue.timezone)
    at = first_due(timetable, since)
    while at < until:
        yield at
        at = first_due(timetable, at)


def _run(cue: Cue, at: datetime, number: int) -> Execution:
    failed = number % BAD_EVERY[cue.name] == BAD_EVERY[cue.name] - 2
    started = at + timedelta(milliseconds=14 + 7 * (number % 9))
    ended = started + timedelta(milliseconds=90 + 35 * (number % 13))
    times: dict[str, Any] = {"created_at": started, "updated_at": ended, "started_at": started, "closed_at": ended}
    said: dict[str, Any] = {"status": Status.SUCCESS, "http_status": 200, "outcome_success": True}
    if failed:
        said = {
            "status": Status.FAILED,
            "http_status": 503,
            "error_message": "HTTP 503",
            "error_class": ErrorClass.HTTP_5XX,
        }
    return Execution(
        account=cue.account,
        cue=cue,
        transport=cue.transport,
        lane=cue.lane,
        triggered_by=Trigger.SCHEDULED,
        payload=cue.payload,
        attempts=1,
        scheduled_for=at,
        last_attempt_at=started,
        delivered_at=None if failed else ended,
        response_body="" if failed else BODY,
        **times,
        **said,
    )


def _attempt(run: Execution) -> Attempt:
    failed = run.status == Status.FAILED
    assert run.started_at and run.closed_at
    return Attempt(
        execution=run,
        number=1,
        started_at=run.started_at,
        duration_ms=(run.closed_at - run.started_at) // timedelta(milliseconds=1),
        url=run.cue.callback_url,
        http_status=run.http_status,
        error_stage="response" if failed else "",
        error_message="HTTP 503" if failed else "",
        response_body=run.response_body or "",
        response_headers={"Content-Type": "application/json"},
    )


def _steps(run: Execution) -> Iterator[Step]:
    end = "answered 503" if run.status == Status.FAILED else "answered 200, reported success"
    changes = (
        ("", Status.PENDING, run.created_at, "due"),
        (Status.PENDING, Status.DELIVERING, run.started_at, "attempt starts"),
    )
    for before, after, at, reason in (*changes, (Status.DELIVERING, run.status, run.closed_at, end)):
        yield Step(execution=run, at=at, before=before, after=after, reason=reason)
