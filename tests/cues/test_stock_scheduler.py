"""django-celery-beat's own DatabaseScheduler on our rows: slower, and right, for operators who choose it."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from cues.models import Cue
from executions import recovery
from executions.models import Execution
from tests.proofs.client import Client
from tests.support import make
from tests.support.deadline import eventually
from tests.support.make import NOW
from tests.support.processes import Installation
from tests.support.worker import Worker

STOCK = "django_celery_beat.schedulers:DatabaseScheduler"
MINUTE = timedelta(minutes=1)


def entry_of(cue: Cue) -> object:
    """What the stock scheduler would send for the cue, from a read of the tables."""
    scheduler = DatabaseScheduler(app=current_app._get_current_object(), lazy=True)
    return scheduler, scheduler.all_as_schedule()[cue.pk]


@pytest.mark.django_db(transaction=True)
def test_the_stock_message_fires_a_due_cue_once_and_leaves_one_that_is_not_due(worker: Worker) -> None:
    owner = make.account()
    past = datetime.now(UTC) - timedelta(seconds=5)
    half_past = f"{(past + 30 * MINUTE).minute} * * * *"  # no other window of its own comes due meanwhile
    due = make.recurring(owner, half_past, next_run=past, created_at=past, transport="worker")
    later = make.recurring(owner, "* * * * *", next_run=past + 90 * MINUTE, transport="worker")
    for cue in (due, due, later):
        scheduler, entry = entry_of(cue)
        scheduler.apply_async(entry, advance=False)
    worker.run()
    assert [execution.cue_id for execution in Execution.objects.all()] == [due.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("schedule", [{"cron": "0 9 1 * 1"}, {"cron": "", "every_s": 5400, "anchor": NOW}])
def test_what_stock_reads_otherwise_or_is_late_for_is_fired_by_the_sweep(schedule: dict) -> None:
    make.recurring(make.account(), **schedule)
    assert recovery.fire_overdue(NOW + timedelta(seconds=11)) == 1
    assert Execution.objects.get().scheduled_for == NOW


@pytest.mark.django_db
def test_an_interval_cue_has_an_interval_task_and_gives_it_up_for_a_crontab() -> None:
    cue = make.recurring(make.account(), cron="", every_s=5400, anchor=NOW)
    task = PeriodicTask.objects.get(name=cue.pk)
    assert (task.crontab, task.interval.every, task.interval.period) == (None, 90, IntervalSchedule.MINUTES)
    again = make.recurring(cue.account, cron="", every_s=5400, anchor=NOW)
    assert PeriodicTask.objects.get(name=again.pk).interval_id == task.interval_id


@pytest.mark.processes
def test_a_minute_cue_runs_each_minute_once_under_the_stock_scheduler() -> None:
    with Installation() as it:
        for name in ("broker", "web", "worker"):
            it.start(name)
        with Client(it) as client:
            schedule = {"type": "recurring", "cron": "* * * * *"}
            cue = client.post("/v1/cues", {"name": "minute", "transport": "worker", "schedule": schedule})
            it.start_command("beat", f"celery --quiet -A config beat --scheduler {STOCK} --max-interval 1")
            eventually(lambda: client.count(), within_s=90, what="the first execution")
            (execution,) = client.executions()
            assert execution["cue_id"] == cue["id"]
            assert execution["scheduled_for"] == cue["next_run"]
            due = datetime.fromisoformat(execution["scheduled_for"])
            assert datetime.fromisoformat(execution["created_at"]) - due < timedelta(seconds=20)
