"""The bridge to django-celery-beat: a recurring cue's periodic task is in step, whatever happens to the cue."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks

from cues import beat, lifecycle, services
from cues.models import Cue
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ONCE = {"type": "once", "at": "2040-01-01T00:00:00Z"}


@pytest.fixture
def cue(api: Api) -> Cue:
    answer = api.post(
        "/v1/cues", make.body(schedule={"type": "recurring", "cron": "15 2 * * mon", "timezone": "Asia/Tokyo"})
    )
    return Cue.objects.get(pk=answer.json()["id"])


def tasks() -> list[PeriodicTask]:
    return list(PeriodicTask.objects.filter(task=beat.FIRE_TASK))


def patch(api: Api, cue: Cue, **body: Any) -> Cue:
    answer = api.patch(f"/v1/cues/{cue.pk}", body)
    assert answer.status_code == 200, answer.content
    return Cue.objects.get(pk=cue.pk)


def crontab() -> tuple[str, str]:
    (task,) = tasks()
    spec = task.crontab
    fields = (spec.minute, spec.hour, spec.day_of_month, spec.month_of_year, spec.day_of_week)
    return " ".join(fields), str(spec.timezone)


def test_a_recurring_cue_owns_one_task_that_says_what_it_says(cue: Cue) -> None:
    (task,) = tasks()
    assert (task.name, task.task, task.enabled) == (cue.pk, "executions.fire_due", True)
    assert json.loads(task.kwargs) == {"cue_ids": [cue.pk]}
    assert crontab() == ("15 2 * * 1", "Asia/Tokyo")
    assert cue.periodic_task == task
    assert "digest" in task.description


def test_a_one_shot_owns_none(api: Api) -> None:
    api.post("/v1/cues", make.body(schedule=ONCE))
    assert tasks() == []


def test_a_new_cron_and_zone_are_followed(api: Api, cue: Cue) -> None:
    patch(api, cue, schedule={"type": "recurring", "cron": "0 9 1 jan *"})
    assert crontab() == ("0 9 1 1 *", "Asia/Tokyo")
    patch(api, cue, schedule={"timezone": "Europe/Paris"}, name="renamed")
    assert crontab() == ("0 9 1 1 *", "Europe/Paris")
    assert "renamed" in tasks()[0].description


def test_an_operators_queue_and_priority_survive_a_patch(api: Api, cue: Cue) -> None:
    PeriodicTask.objects.update(queue="vip", priority=9, total_run_count=4)
    patch(api, cue, schedule={"cron": "0 9 * * *"})
    (task,) = tasks()
    assert (task.queue, task.priority, task.total_run_count) == ("vip", 9, 4)


def test_from_recurring_to_once_and_back(api: Api, cue: Cue) -> None:
    cue = patch(api, cue, schedule=ONCE)
    assert (tasks(), cue.periodic_task, cue.cron) == ([], None, "")
    cue = patch(api, cue, schedule={"type": "recurring", "cron": "* * * * *"})
    assert [task.name for task in tasks()] == [cue.pk]
    assert (cue.periodic_task, cue.at) == (tasks()[0], None)


@pytest.mark.parametrize("by", ["patch", "alias", "bulk"])
def test_pause_and_resume_switch_it(api: Api, cue: Cue, by: str) -> None:
    if by == "patch":
        patch(api, cue, status="paused")
    elif by == "alias":
        api.post(f"/v1/cues/{cue.pk}/pause")
    else:
        lifecycle.pause(Cue.objects.all(), now=NOW)
    assert [task.enabled for task in tasks()] == [False]
    api.post(f"/v1/cues/{cue.pk}/resume")
    assert [task.enabled for task in tasks()] == [True]


def test_a_patch_of_a_paused_cue_leaves_it_off(api: Api, cue: Cue) -> None:
    patch(api, cue, status="paused")
    assert patch(api, cue, schedule={"cron": "0 9 * * *"}).next_run is None
    assert [task.enabled for task in tasks()] == [False]


@pytest.mark.parametrize("by", ["api", "service", "queryset", "account"])
def test_the_task_goes_with_the_cue(api: Api, cue: Cue, by: str) -> None:
    make.execution(cue)
    if by == "api":
        assert api.delete(f"/v1/cues/{cue.pk}").status_code == 204
    elif by == "service":
        services.delete(cue, now=NOW)
    elif by == "queryset":
        Cue.objects.all().delete()
    else:
        assert api.account is not None
        api.account.delete()
    assert (tasks(), Cue.objects.count()) == ([], 0)


def test_a_create_that_is_rolled_back_leaves_no_task(api: Api) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        make.recurring(api.account)
        raise RuntimeError
    assert tasks() == []
    make.recurring(api.account, name="digest")
    assert api.post("/v1/cues", make.body()).status_code == 409
    assert len(tasks()) == 1


def test_no_change_of_a_cue_makes_the_stock_scheduler_read_again(api: Api) -> None:
    PeriodicTasks.objects.all().delete()
    cue = make.recurring(api.account)
    for body in (
        {"name": "other"},
        {"schedule": {"cron": "1 * * * *"}},
        {"status": "paused"},
        {"status": "active"},
        {"schedule": ONCE},
        {"schedule": {"type": "recurring", "cron": "2 * * * *"}},
    ):
        patch(api, cue, **body)
    beat.mark_fired([cue], now=NOW)
    api.delete(f"/v1/cues/{cue.pk}")
    assert PeriodicTasks.last_change() is None
    make.recurring(api.account)
    Cue.objects.all().delete()
    assert PeriodicTasks.last_change() is None


def test_cues_share_a_crontab() -> None:
    owner = make.account()
    for _ in range(3):
        make.recurring(owner, "7 7 7 7 *")
    assert CrontabSchedule.objects.filter(minute="7").count() == 1


def test_the_stock_side_of_the_scheduler_never_reads_a_cues_row(cue: Cue) -> None:
    every = CrontabSchedule.objects.create()
    PeriodicTask.objects.create(name="ordinary", task="executions.sweep", crontab=every)
    PeriodicTask.objects.create(name="off", task="executions.sweep", crontab=every, enabled=False)
    scheduler = beat.CueScheduler.__new__(beat.CueScheduler)  # its start writes the defaults of this installation
    names = {task.name for task in scheduler.enabled_models()}
    assert "ordinary" in names
    assert not names & {cue.pk, "off"}


def test_the_celery_settings_name_this_scheduler(settings) -> None:
    module, _, name = settings.CELERY_BEAT_SCHEDULER.rpartition(".")
    assert (module, name) == (beat.CueScheduler.__module__, beat.CueScheduler.__name__)


def test_fired_tasks_count_up() -> None:
    cue = make.recurring(make.account())
    at = datetime(2031, 5, 4, 9, tzinfo=UTC)
    for number in (1, 2):
        beat.mark_fired([cue], now=at + timedelta(minutes=number))
    (task,) = tasks()
    assert (task.total_run_count, task.last_run_at) == (2, at + timedelta(minutes=2))
