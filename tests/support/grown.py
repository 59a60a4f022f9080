"""An installation that has grown: cues by the hundred thousand, executions by the million, over ninety days.

Made in PostgreSQL by PostgreSQL, as copies of a few rows that the product's own models made. One account has most of
it. Runs inside Django.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db import connection, models

from cueapi import clock
from cueapi.models import Account, AuditEvent
from cues.models import Cue, Definition
from executions.figures import LATENCY_BOUNDS_S, LATENESS_BOUNDS_S
from executions.models import (
    Alert,
    Attempt,
    CountedUntil,
    Destination,
    Execution,
    HourFigures,
    Notification,
    Step,
    Worker,
)
from tests.support import make

BATCH = 250_000
DAYS = 90
LANES = 300  # of receivers
SMALL_ACCOUNTS = 19
OPEN_OF_THOUSAND = 5
BODY = '{"success": true, "result": "12 mails summarised", "external_id": "msg:88", "summary": "' + 112 * "x" + '"}'
HEADERS = {
    "Content-Type": "application/json",
    "Server": "nginx",
    "X-Request-Id": "0f8fad5b-d9cb-469f-a165-70867728950e",
}

# Of a thousand executions that ended, how many ended how: status, error class, HTTP status, attempts.
ENDS: Mapping[tuple[str, str | None, int | None, int], int] = {
    ("success", None, 200, 1): 930,
    ("success", None, 200, 2): 20,
    ("failed", "http_5xx", 503, 3): 25,
    ("failed", "timeout", None, 3): 10,
    ("failed", "http_4xx", 404, 3): 5,
    ("missed", "missed", None, 0): 5,
    ("outcome_timeout", "outcome_timeout", 202, 1): 5,
}
# Of a thousand that are open, how many are in which status.
OPEN = {"pending": 300, "retrying": 400, "pending_outcome": 290, "delivering": 10}


def fill(*, cues: int, executions: int, say: Callable[[str], None]) -> None:
    """Call on an empty database."""
    now = clock.now()
    _cues(cues, now)
    say(f"  {cues:,} cues")
    opened = max(executions * OPEN_OF_THOUSAND // 1000, 1)
    for start, end in _batches(executions - opened):
        _ended(start, end, executions - opened, cues, now)
        say(f"  {end:,} executions")
    _opened(executions - opened, executions, cues, now)
    _around(now)
    say("  alerts, destinations, workers, the audit trail, figures")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _batches(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, BATCH):
        yield start + 1, min(start + BATCH, count)


# --- Copies -----------------------------------------------------------------------------------------------------


def _copy(made: models.Model, changed: Mapping[str, str], source: str, values: Mapping[str, Any]) -> None:
    """Insert a copy of the row for each row of `source`, SQL after FROM, with these columns given by SQL."""
    meta = made._meta
    skipped = {meta.pk.column} - changed.keys() if isinstance(meta.pk, models.AutoField) else set()
    columns = [field.column for field in meta.concrete_fields if field.column not in skipped]
    wanted = [changed.get(column, f't."{column}"') for column in columns]
    names = ", ".join(f'"{column}"' for column in columns)
    only = values.get("only", "true")
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{meta.db_table}" ({names}) SELECT {", ".join(wanted)}'
            f' FROM {source}, "{meta.db_table}" t WHERE t."{meta.pk.column}" = %(made)s AND {only}',
            {"made": made.pk, **values},
        )


def _cues(count: int, now: datetime) -> None:
    """Number 1 is the busiest. Four of five belong to the first account."""
    owner = make.account("grown@example.org", created_at=now)
    for number in range(SMALL_ACCOUNTS):
        make.account(f"small-{number}@example.org", created_at=now)
    active = make.recurring(owner, "0 9 * * *", name="template", callback_url="https://agent-0.example.org/hook")
    account = """(SELECT array_agg(id ORDER BY email) FROM cueapi_account WHERE email LIKE 'small-%%')"""
    series = f"(SELECT n, ({account})[1 + n %% {SMALL_ACCOUNTS}] AS small FROM generate_series(1, %(count)s) n) s"
    values = {"count": count, "now": now, "owner": owner.pk}
    task = active.periodic_task
    assert task
    _copy(task, {"id": "10000000 + n", "name": _cue("n")}, series, values | {"made": task.pk})
    _copy(
        active,
        {
            "id": _cue("n"),
            "account_id": "CASE WHEN n %% 5 > 0 OR n = 5 THEN %(owner)s ELSE small END",
            "name": "'cue ' || n",
            "status": "CASE WHEN n %% 20 = 7 THEN 'paused' WHEN n %% 20 > 14 THEN 'completed' ELSE 'active' END",
            "next_run": (
                "CASE WHEN n %% 20 = 7 OR n %% 20 > 14 THEN NULL ELSE %(now)s + n * interval '1 day' / %(count)s END"
            ),
            "periodic_task_id": "CASE WHEN n %% 20 = 7 OR n %% 20 > 14 THEN NULL ELSE 10000000 + n END",
            "lane": _lane("n"),
            "created_at": f"%(now)s - interval '{DAYS} days' - n * interval '1 second'",
        },
        series,
        values,
    )
    definition = Definition.objects.get(cue=active)
    since = f"%(now)s - interval '{DAYS} days' - n * interval '1 second'"
    _copy(definition, {"cue_id": _cue("n"), "since": since}, series, values)


def _cue(number: str) -> str:
    return f"('cue_' || lpad(({number})::text, 12, '0'))"


def _lane(number: str) -> str:
    return f"('https://agent-' || (({number}) %% {LANES})::text || '.example.org')"


def _of_cues(start: int, end: int, cues: int) -> tuple[str, dict[str, Any]]:
    """Numbers, each with its cue: one of ten belongs to the busiest."""
    number = "CASE WHEN n %% 10 = 3 THEN 1 ELSE 1 + n * 7919 %% %(cues)s END"
    source = (
        f"(SELECT n, {number} AS m FROM generate_series(%(start)s::bigint, %(end)s) n) s"
        f" JOIN cues_cue c ON c.id = {_cue('m')}"
    )
    return source, {"start": start, "end": end, "cues": cues}


# --- Executions -------------------------------------------------------------------------------------------------


def _ended(start: int, end: int, of: int, cues: int, now: datetime) -> None:
    source, values = _of_cues(start, end, cues)
    cue, share = Cue.objects.get(name="template"), 0
    due = f"(%(now)s - n * (interval '{DAYS} days' / %(of)s))"
    for (status, error, http_status, attempts), count in ENDS.items():
        run = make.execution(
            cue,
            status=status,
            error_class=error,
            http_status=http_status,
            attempts=attempts,
            error_message=None if error is None else f"It ended in {error}.",
            response_body=BODY,
            outcome_success=True if status == "success" else None,
            triggered_by="scheduled",
            scheduled_for=now,
            payload={"inbox": "support", "labels": ["urgent", "billing", "follow-up"]},
        )
        only = f"n * 7919 %% 1000 BETWEEN {share} AND {share + count - 1}"
        ended = f"({due} + interval '1 second' * (1 + n %% 7))"
        _copy(
            run,
            {
                "id": "gen_random_uuid()",
                "account_id": "c.account_id",
                "cue_id": "c.id",
                "lane": "c.lane",
                "scheduled_for": due,
                "created_at": due,
                "started_at": f"{due} + interval '30 milliseconds'",
                "last_attempt_at": f"{ended} - interval '100 milliseconds'",
                "delivered_at": ended if status == "success" else "NULL",
                "updated_at": ended,
                "closed_at": ended,
                "outcome_recorded_at": ended if status == "success" else "NULL",
            },
            source,
            values | {"now": now, "of": of, "only": only},
        )
        span = f"e.created_at BETWEEN {due.replace('n *', '%(end)s *')} AND {due.replace('n *', '%(start)s *')}"
        _told(run, http_status, span, {"now": now, "of": of, "start": start, "end": end})
        run.delete()
        share += count


def _told(run: Execution, http_status: int | None, span: str, values: dict[str, Any]) -> None:
    """The attempts, steps and windows of the copies of this execution, those that `span` says, in SQL."""
    new = (
        "(SELECT e.* FROM executions_execution e WHERE e.status = %(status)s AND e.attempts = %(attempts)s"
        f" AND e.error_class IS NOT DISTINCT FROM %(error)s AND e.id <> %(run)s AND {span}) e"
    )
    values |= {"status": run.status, "attempts": run.attempts, "error": run.error_class, "run": run.pk}
    if run.attempts:
        attempt = Attempt.objects.create(
            execution=run,
            number=1,
            started_at=run.created_at,
            duration_ms=120,
            url="https://agent-0.example.org/hook",
            http_status=http_status,
            error_stage="" if run.status == "success" else "status",
            error_message=run.error_message or "",
            response_body=BODY,
            response_headers=HEADERS,
        )
        numbers = f"generate_series(1, {run.attempts}) nth, "
        changed = {"execution_id": "e.id", "number": "nth", "started_at": "e.started_at"}
        _copy(attempt, changed, numbers + new, values)
        attempt.delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cues_ledgerentry (cue_id, first_at, windows, verdict, execution_id)"
            f" SELECT e.cue_id, e.scheduled_for, 1, 'ran', e.id FROM {new}",
            values,
        )
    step = Step.objects.create(execution=run, at=run.created_at, before="", after="pending", reason="its time came")
    afters = {"pending": "created_at", "delivering": "started_at", run.status: "closed_at"}
    after = "(VALUES " + ", ".join(f"('{name}', {order})" for order, name in enumerate(afters)) + ") v(after, place)"
    at = "CASE v.place " + " ".join(f"WHEN {i} THEN e.{column}" for i, column in enumerate(afters.values())) + " END"
    _copy(step, {"execution_id": "e.id", "at": at, "after": "v.after"}, f"{after}, {new}", values)
    step.delete()


def _opened(start: int, end: int, cues: int, now: datetime) -> None:
    source, values = _of_cues(start + 1, end, cues)
    cue, share = Cue.objects.get(name="template"), 0
    for status, count in OPEN.items():
        run = make.execution(cue, status=status, attempts=1 if status == "retrying" else 0, triggered_by="manual_fire")
        created = "(%(now)s - n %% 3600 * interval '1 second')"
        _copy(
            run,
            {
                "id": "gen_random_uuid()",
                "account_id": "c.account_id",
                "cue_id": "c.id",
                "lane": "c.lane",
                "scheduled_for": created,
                "created_at": created,
                "updated_at": created,
                "due_at": "%(now)s + (1 + n %% 7200) * interval '1 second'",
            },
            source,
            values | {"now": now, "only": f"n * 7919 %% 1000 BETWEEN {share} AND {share + count - 1}"},
        )
        run.delete()
        share += count


# --- What is around them ----------------------------------------------------------------------------------------


def _around(now: datetime) -> None:
    owner = Account.objects.get(email="grown@example.org")
    cue = Cue.objects.get(name="template")
    _alerts(owner, cue, now)
    _destinations(owner, now)
    worker = Worker.objects.create(
        account=owner, worker_id="template", handlers=["report"], last_heartbeat_at=now, registered_at=now
    )
    silent = "%(now)s - n * interval '1 minute'"
    _copy(worker, {"worker_id": "'host-' || n", "last_heartbeat_at": silent}, "generate_series(1, 500) n", {"now": now})
    _trail(owner, now)
    _figures(now)


def _alerts(owner: Account, cue: Cue, now: datetime) -> None:
    alert = Alert.objects.create(
        account=owner, cue=cue, alert_type="consecutive_failures", message="It failed 3 times in a row.", created_at=now
    )
    failed = "(SELECT * FROM executions_execution WHERE error_class = 'http_5xx' ORDER BY closed_at DESC LIMIT 50000) e"
    of = {"account_id": "e.account_id", "cue_id": "e.cue_id", "execution_id": "e.id", "created_at": "e.closed_at"}
    _copy(alert, of | {"id": "gen_random_uuid()"}, failed, {})
    mail = Notification.objects.create(
        account=owner, execution=Execution.objects.dead().first(), kind="email", state="sent", sent_at=now
    )
    other = {"only": "e.id <> t.execution_id"}
    _copy(mail, {"execution_id": "e.id", "account_id": "e.account_id", "sent_at": "e.closed_at"}, failed, other)


def _destinations(owner: Account, now: datetime) -> None:
    made = Destination.objects.create(account=owner, lane="template", recent=[[120, 1]] * 50, looked_at=now)
    state = "CASE WHEN n %% 30 = 7 THEN 'open' WHEN n %% 60 = 11 THEN 'half_open' ELSE 'closed' END"
    held = "CASE WHEN n %% 30 = 7 OR n %% 60 = 11 THEN %(now)s ELSE NULL END"
    series = f"generate_series(0, {LANES - 1}) n"
    columns = {"lane": _lane("n"), "state": state, "opened_at": held, "probe_at": held}
    _copy(made, columns, series, {"now": now})
    made.delete()


def _trail(owner: Account, now: datetime) -> None:
    event = AuditEvent.objects.create(
        account=owner,
        at=now,
        actor_kind="api_key",
        actor="cue_sk_abcd",
        action="cue.updated",
        subject_type="cue",
        subject_id="cue_000000000001",
        subject_name="cue 1",
        before={"status": "active"},
        after={"status": "paused"},
    )
    changed = {"at": "%(now)s - n * interval '30 seconds'", "subject_id": _cue("1 + n %% 1000")}
    _copy(event, changed, "generate_series(1, 200000) n", {"now": now})


def _figures(now: datetime) -> None:
    """As `executions.rollup` would have counted them."""
    lateness, latency = ([100] + len(bounds) * [1] for bounds in (LATENESS_BOUNDS_S, LATENCY_BOUNDS_S))
    for account in ("account_id", "NULL::uuid"):
        counts = ", ".join(
            f"count(*) FILTER (WHERE status = '{one}')" for one in ("success", "failed", "missed", "outcome_timeout")
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f'INSERT INTO "{HourFigures._meta.db_table}"'
                " (account_id, hour, success, failed, missed, outcome_timeout, lateness, latency)"
                f" SELECT {account}, date_trunc('hour', closed_at), {counts}, '{lateness}', '{latency}'"
                " FROM executions_execution WHERE closed_at IS NOT NULL GROUP BY 1, 2"
            )
    CountedUntil.objects.create(at=now)
