"""Rows that are so many days old, for tests of what is kept how long."""

from datetime import timedelta
from typing import Any

from cueapi import clock
from cues.models import Cue, LedgerEntry
from executions import purging
from executions.models import Alert, Attempt, Execution, Notification, Step
from executions.states import Status
from tests.support import make
from tests.support.make import NOW

DAY = timedelta(days=1)
JUST_OVER = timedelta(minutes=1)


def ended(of: Cue, days: float, **columns: Any) -> Execution:
    """A failed execution that ended so many days, and a minute, before NOW, with two attempts, a step and a mail."""
    at = NOW - timedelta(days=days) - JUST_OVER
    times = {"scheduled_for": at, "created_at": at, "updated_at": at, "closed_at": at}
    run = make.execution(of, **{"status": Status.FAILED, "response_body": "no", **times, **columns})
    for number in (1, 2):
        Attempt.objects.create(
            execution=run,
            number=number,
            started_at=at,
            duration_ms=7,
            url=make.NOWHERE,
            http_status=500,
            error_stage="response",
            error_message="HTTP 500",
            response_body="no",
            response_headers={"X-Answer": "no"},
        )
    Step.objects.create(execution=run, at=at, after=Status.FAILED, reason="HTTP 500")
    Notification.objects.create(execution=run, account=of.account, kind="email")
    return run


def alert(of: Cue, days: float, execution: Execution | None = None) -> Alert:
    at = NOW - timedelta(days=days) - JUST_OVER
    made = Alert.objects.create(
        account=of.account, cue=of, execution=execution, alert_type="outcome_timeout", message="late", created_at=at
    )
    Notification.objects.create(alert=made, account=of.account, kind="email")
    return made


def entry(of: Cue, days: float, *, until_days: float | None = None) -> LedgerEntry:
    at = NOW - timedelta(days=days) - JUST_OVER
    if until_days is None:
        return LedgerEntry.objects.create(cue=of, first_at=at, verdict="missed")
    last_at = NOW - timedelta(days=until_days) - JUST_OVER
    return LedgerEntry.objects.create(cue=of, first_at=at, last_at=last_at, windows=2, verdict="skipped_paused")


def keep(settings: Any, **days: int) -> None:
    """Keep these for so many days, and all else for ever."""
    every = {f"retention_{kind}_days": 0 for kind in ("attempt_bodies", "executions", "ledger", "alerts", "audit")}
    given = {f"retention_{kind}_days": number for kind, number in days.items()}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=every | given)


def purge(**options: Any) -> dict[str, int]:
    run = purging.purge(now=NOW, **options)
    assert run.is_done
    return {name: count for name, count in run.removed.items() if count}


def long_ended(of: Cue, count: int) -> None:
    """By the clock on the wall, which the task reads."""
    for _ in range(count):
        ended(of, 0, closed_at=clock.now() - 100 * DAY)
