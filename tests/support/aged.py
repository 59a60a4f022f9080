"""Executions that ended long ago, by the thousand, and what it costs to keep and to purge them. Runs inside Django."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, connections, transaction

from cueapi import clock
from cueapi.models import Account
from cues.models import Cue
from executions import purging
from executions.models import Attempt, Execution, Step
from executions.states import Status, Trigger
from tests.support import make

BATCH = 500
FAILED_OF_TEN, ATTEMPTS_OF_FAILED = 1, 3
PAYLOAD = {"inbox": "support", "since": "2031-05-04T09:00:00Z", "labels": ["urgent", "billing", "follow-up"]}
BODY = '{"success": true, "result": "12 mails summarised", "external_id": "msg:88", "summary": "' + 112 * "x" + '"}'
HEADERS = {
    "Date": "Sun, 04 May 2031 09:00:00 GMT",
    "Content-Type": "application/json",
    "Content-Length": str(len(BODY)),
    "Connection": "keep-alive",
    "Server": "nginx",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Request-Id": "0f8fad5b-d9cb-469f-a165-70867728950e",
}
WRITE_EVERY_S = 0.02


def fill(count: int) -> None:
    """So many ended executions: nine of ten succeeded at once, the tenth failed after three attempts."""
    cue = make.cue(Account.objects.order_by("created_at").first(), callback_url="https://agent.example.org/hooks/mail")
    ended_at = clock.now()
    for start in range(0, count, BATCH):
        _fill_some(cue, range(start, min(count, start + BATCH)), ended_at)


@transaction.atomic
def _fill_some(cue: Cue, numbers: range, ended_at: datetime) -> None:
    runs = [_ended(cue, number, ended_at - timedelta(seconds=number)) for number in numbers]
    Execution.objects.bulk_create(runs)
    Attempt.objects.bulk_create(_attempt(run, number) for run in runs for number in range(1, run.attempts + 1))
    Step.objects.bulk_create(_step(run, number) for run in runs for number in range(2 * run.attempts + 1))


def _ended(cue: Cue, number: int, at: datetime) -> Execution:
    failed = number % 10 < FAILED_OF_TEN
    return Execution(
        account=cue.account,
        cue=cue,
        transport=cue.transport,
        lane=cue.lane,
        triggered_by=Trigger.SCHEDULED,
        payload=PAYLOAD,
        status=Status.FAILED if failed else Status.SUCCESS,
        attempts=ATTEMPTS_OF_FAILED if failed else 1,
        http_status=500 if failed else 200,
        error_message="HTTP 500" if failed else None,
        response_body=BODY,
        outcome_success=None if failed else True,
        outcome_result=None if failed else "12 mails summarised",
        **dict.fromkeys(
            ("scheduled_for", "created_at", "updated_at", "started_at", "last_attempt_at", "closed_at"), at
        ),
    )


def _attempt(run: Execution, number: int) -> Attempt:
    failed = run.status == Status.FAILED
    return Attempt(
        execution=run,
        number=number,
        started_at=run.closed_at,
        duration_ms=120,
        url=run.cue.callback_url,
        http_status=run.http_status,
        error_stage="response" if failed else "",
        error_message="HTTP 500" if failed else "",
        response_body=BODY,
        response_headers=HEADERS,
    )


def _step(run: Execution, number: int) -> Step:
    before, after, reason = (
        (Status.PENDING, Status.DELIVERING, "attempt starts")
        if number % 2
        else (Status.DELIVERING, run.status, "answered 200, reported success")
    )
    return Step(execution=run, at=run.closed_at, before=before, after=after, reason=reason)


# --- What it costs ----------------------------------------------------------------------------------------------


def packed_bytes() -> int:
    """The database, with nothing in it that is no longer used."""
    is_postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL" if is_postgres else "VACUUM")
        cursor.execute(
            "SELECT pg_database_size(current_database())"
            if is_postgres
            else "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        )
        (size,) = cursor.fetchone()
        return int(size)


@dataclass
class Cost:
    """What a run removed, how long it took, with rests, and how long its steps and another's writes beside it took."""

    removed: dict[str, int]
    took_s: float
    steps_ms: list[float]
    writes_ms: list[float]


def purge(days_later: int) -> Cost:
    """Purge as the task does, as if so many days had gone by."""
    steps = Timed(purging.Pace())
    writer = Writer()
    writer.start()
    started = time.perf_counter()
    run = purging.purge(now=clock.now() + timedelta(days=days_later), go_on=steps)
    took_s = time.perf_counter() - started
    writer.stop()
    return Cost(dict(run.removed), took_s, steps.took_ms, writer.took_ms)


@dataclass
class Timed:
    """Notes how long each step took, without the rest after it."""

    pace: Callable[[], bool]
    took_ms: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def __call__(self) -> bool:
        self.took_ms.append((time.perf_counter() - self.began) * 1000)
        go_on = self.pace()
        self.began = time.perf_counter()
        return go_on


class Writer(threading.Thread):
    """Somebody else who writes a row, fifty times a second, until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stopping = threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        mine: Any = Cue.objects.filter(pk=Cue.objects.values_list("pk", flat=True).first())
        while not self._stopping.wait(WRITE_EVERY_S):
            started = time.perf_counter()
            mine.update(updated_at=clock.now())
            self.took_ms.append((time.perf_counter() - started) * 1000)
        connections.close_all()

    def stop(self) -> None:
        self._stopping.set()
        self.join()
