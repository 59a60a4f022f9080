"""The admin as a signed-in person uses it, and one installation's worth of rows with hostile text in them."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from cueapi import accounts, clock
from cueapi.models import Account, ApiKey, AuditEvent
from cues.models import Cue
from executions import firing, lifecycle
from executions.models import Alert, AlertType, Attempt, DeadLetter, Destination, Execution, Notification, Worker
from executions.states import OutcomeState, Status
from tests.support.api import Api

HOSTILE = "<script>alert(1)</script>"
HEADER_VALUE = "Bearer of-the-receiver"
PASSWORD = "correct horse battery"
NAMES = {
    Account: "cueapi/account",
    ApiKey: "cueapi/apikey",
    AuditEvent: "cueapi/auditevent",
    Cue: "cues/cue",
    Execution: "executions/execution",
    DeadLetter: "executions/deadletter",
    Alert: "executions/alert",
    Worker: "executions/worker",
    Destination: "executions/destination",
    PeriodicTask: "django_celery_beat/periodictask",
    IntervalSchedule: "django_celery_beat/intervalschedule",
    CrontabSchedule: "django_celery_beat/crontabschedule",
}


class Admin:
    """`admin.text("/admin/cues/cue/")` is a page; `admin.act("pause", cue)` runs an action on rows of one kind."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.client = Client()
        self.client.force_login(account)

    def text(self, path: str) -> str:
        answer = self.client.get(path, follow=True)
        assert answer.status_code == 200, (path, answer.status_code)
        return str(answer.content.decode())

    def act(self, action: str, *rows: Any, **extra: str) -> str:
        """The page that answers, with the action's messages."""
        data = {"action": action, "_selected_action": [str(row.pk) for row in rows], "index": "0", **extra}
        return str(self.client.post(list_url(type(rows[0])), data, follow=True).content.decode())

    def queries(self, path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            self.text(path)
        return len(queries)


def list_url(model: type) -> str:
    return f"/admin/{NAMES[model]}/"


def page_url(row: Any) -> str:
    return f"{list_url(type(row))}{str(row.pk).replace('_', '_5F')}/change/"


def superuser(email: str = "root@example.org") -> Admin:
    return Admin(Account.objects.create_superuser(email, PASSWORD))


def staff(*permissions: str) -> Admin:
    """Somebody who may enter, with these permissions (codenames) only."""
    account, _ = accounts.register("helper@example.org", now=clock.now())
    account.is_staff = True
    account.save(update_fields=["is_staff"])
    account.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return Admin(account)


def inline_scripts(page: str) -> list[str]:
    """The scripts and handlers in a page that its policy would stop."""
    return re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<[^>]+\son(?:click|change|load|submit)=[^>]*>", page)


def recurring(api: Api, name: str = f"report {HOSTILE}", **fields: Any) -> Cue:
    """A recurring webhook cue made over the API."""
    body = {
        "name": name,
        "description": HOSTILE,
        "schedule": {"type": "recurring", "cron": "0 9 * * 1", "timezone": "Europe/Paris"},
        "callback": {"url": f"http://127.0.0.1:9/{HOSTILE}", "headers": {"Authorization": HEADER_VALUE}},
        "payload": {"text": HOSTILE},
        **fields,
    }
    answer = api.post("/v1/cues", body)
    assert answer.status_code == 201, answer.content
    cue: Cue = Cue.objects.get(pk=answer.json()["id"])
    return cue


def fired(cue: Cue) -> Execution:
    return firing.fire(cue, firing.ManualFire(), now=clock.now())


def failed(cue: Cue) -> Execution:
    """An execution of `cue` that ended, with an attempt and a notification full of hostile text."""
    now = clock.now()
    execution = fired(cue)
    lifecycle.start_attempts([execution], due_at=now + timedelta(minutes=5), now=now)
    execution.refresh_from_db()
    lifecycle.move(
        execution,
        Status.FAILED,
        reason=f"the receiver said {HOSTILE}",
        now=now,
        http_status=500,
        error_class="http_5xx",
        error_message=f"error {HOSTILE}",
        response_body=f"reply {HOSTILE}",
        outcome_state=OutcomeState.REPORTED_FAILURE,
        outcome_result=HOSTILE,
        outcome_error=HOSTILE,
        outcome_metadata={HOSTILE: HOSTILE},
        external_id=HOSTILE,
        result_url=f"javascript:alert(1)//{HOSTILE}",
        summary=HOSTILE,
        artifacts=[{"name": HOSTILE}],
        claimed_by_worker=HOSTILE,
    )
    Attempt.objects.create(
        execution=execution,
        number=1,
        started_at=now,
        duration_ms=12,
        url=f"http://127.0.0.1:9/{HOSTILE}",
        http_status=500,
        error_stage="receiver",
        error_message=f"error {HOSTILE}",
        response_body=f"reply {HOSTILE}",
        response_headers={"X-Reply": HOSTILE},
    )
    Notification.objects.create(execution=execution, account_id=execution.account_id, kind="email", error=HOSTILE)
    return execution


def alerted(execution: Execution) -> Alert:
    """An alert about the execution, mailed, with hostile text in it."""
    now = clock.now()
    alert = Alert.objects.create(
        account_id=execution.account_id,
        cue=execution.cue,
        execution=execution,
        alert_type=AlertType.CONSECUTIVE_FAILURES,
        message=f"{execution.cue.name} failed 3 times in a row",
        metadata={HOSTILE: HOSTILE},
        created_at=now,
    )
    Notification.objects.create(alert=alert, account_id=alert.account_id, kind="webhook", error=HOSTILE)
    return alert


def pulling(account: Account) -> Worker:
    now = clock.now()
    return Worker.objects.create(
        account=account, worker_id=f"w {HOSTILE}", handlers=[HOSTILE], last_heartbeat_at=now, registered_at=now
    )


def down(cue: Cue) -> Destination:
    """Where the cue's webhooks go, which does not answer."""
    return Destination.objects.create(
        account_id=cue.account_id,
        lane=cue.lane,
        state="open",
        reason=f"The receiver said {HOSTILE}",
        failures=10,
        recent=[[10, 1], [20, 0]],
        opened_at=clock.now(),
        probe_at=clock.now() + timedelta(minutes=1),
    )


@dataclass(frozen=True)
class World:
    """At least one row of everything that the admin shows."""

    cue: Cue
    execution: Execution
    one_shot: Cue
    alert: Alert
    worker: Worker
    destination: Destination

    @property
    def rows(self) -> list[Any]:
        tasks = list(PeriodicTask.objects.all())
        schedules = [IntervalSchedule.objects.get(), CrontabSchedule.objects.get()]
        own = [self.cue, self.one_shot, self.execution, self.alert, self.worker, self.destination]
        return [*own, *tasks, *schedules, self.cue.account, ApiKey.objects.first(), *AuditEvent.objects.all()[:3]]


def world(api: Api) -> World:
    cue = recurring(api)
    one_shot = recurring(api, "once", schedule={"type": "one-time", "at": None}, on_success_fire=cue.pk)
    interval = IntervalSchedule.objects.create(every=5, period="seconds")
    PeriodicTask.objects.create(name="sweep", task="executions.sweep", interval=interval)
    replayed = firing.replay(failed(cue), now=clock.now())
    Execution.objects.filter(pk=replayed.pk).update(chain_parent=replayed.replayed_from_id)
    execution = Execution.objects.exclude(pk=replayed.pk).get(cue=cue)
    return World(cue, execution, one_shot, alerted(execution), pulling(cue.account), down(cue))
