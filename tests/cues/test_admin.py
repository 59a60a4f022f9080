"""The admin's pages of cues and periodic tasks: what their actions do, and what of a cue's task may be changed."""

from datetime import timedelta
from typing import Any

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from cueapi import clock
from cues.models import Cue
from executions.models import Execution
from tests.support.admin import HEADER_VALUE, Admin, fired, list_url, page_url, recurring, staff, superuser
from tests.support.api import Api
from tests.support.worker import Worker

pytestmark = pytest.mark.django_db

TASKS = "/admin/django_celery_beat/periodictask/"


@pytest.fixture(autouse=True)
def _loopback_receivers_are_welcome(settings: Any) -> None:
    allowed = {"allow_http_callbacks": True, "callback_allow_cidrs": "127.0.0.0/8"}
    settings.CUEAPI = settings.CUEAPI.model_copy(update=allowed)


@pytest.fixture
def root(db: None) -> Admin:
    return superuser()


@pytest.fixture
def cue(api: Api) -> Cue:
    return recurring(api)


def again(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


def once(api: Api, name: str, **schedule: Any) -> Cue:
    at = (clock.now() + timedelta(hours=1)).isoformat()
    return recurring(api, name, schedule={"type": "once", "at": at, **schedule})


# --- Cues -------------------------------------------------------------------------------------------------------


def test_the_list_says_when_each_cue_runs(root: Admin, api: Api, cue: Cue) -> None:
    single = once(api, "single")
    page = root.text(list_url(Cue))
    assert "0 9 * * 1 · Europe/Paris" in page
    assert "At 09:00, Monday, in Europe/Paris" in page
    assert f"once at {single.at:%Y-%m-%d %H:%M:%S} UTC" in page
    assert f"{cue.next_run:%Y-%m-%d %H:%M:%S} UTC" in page


@pytest.mark.parametrize("term", ["report", "{cue.pk}", "ada@example"])
def test_a_cue_is_found_by_name_id_or_account(term: str, root: Admin, stranger: Api, cue: Cue) -> None:
    recurring(stranger, "of somebody else")
    found = root.client.get(list_url(Cue), {"q": term.format(cue=cue)}).context["cl"].result_list
    assert [row.pk for row in found] == [cue.pk]


def test_cues_are_filtered_by_status_kind_and_transport(root: Admin, api: Api, cue: Cue) -> None:
    once(api, "single")
    query = {"status__exact": "active", "schedule_type__exact": "recurring", "transport__exact": "webhook"}
    found = root.client.get(list_url(Cue), query).context["cl"].result_list
    assert [row.pk for row in found] == [cue.pk]


def test_the_page_names_callback_headers_and_hides_their_values(root: Admin, cue: Cue) -> None:
    page = root.text(page_url(cue))
    assert "Authorization: •••" in page
    assert HEADER_VALUE not in page


def test_the_page_hides_what_may_be_a_secret_in_an_address(root: Admin, cue: Cue) -> None:
    url = "http://ada:hunter2@127.0.0.1:9/hook?token=swordfish&day=1"
    Cue.objects.filter(pk=cue.pk).update(callback_url=url, on_failure_webhook=url)
    page = root.text(page_url(cue))
    assert page.count("http://•••@127.0.0.1:9/hook?token=•••&amp;day=•••") == 2
    assert "hunter2" not in page and "swordfish" not in page


def test_the_page_says_how_attempts_are_spaced(root: Admin, cue: Cue) -> None:
    assert "3 at most, 1, 5, 15 minutes apart" in root.text(page_url(cue))
    Cue.objects.filter(pk=cue.pk).update(retry_jitter=0.25)
    assert "15 minutes apart, or up to 25% more" in root.text(page_url(cue))


def test_pause_stops_the_cue_and_its_periodic_task(root: Admin, cue: Cue) -> None:
    assert "Cues paused: 1." in root.act("pause", cue)
    paused = again(cue)
    assert (paused.status, paused.next_run, paused.periodic_task.enabled) == ("paused", None, False)


def test_resume_starts_the_cue_and_its_periodic_task(root: Admin, cue: Cue) -> None:
    root.act("pause", cue)
    assert "Cues resumed: 1." in root.act("resume", cue)
    resumed = again(cue)
    assert (resumed.status, resumed.next_run, resumed.periodic_task.enabled) == ("active", cue.next_run, True)


def test_a_cue_that_is_not_paused_is_not_resumed(root: Admin, cue: Cue) -> None:
    assert "Cues resumed: 0." in root.act("resume", cue)


def test_a_one_shot_whose_time_passed_stays_paused_and_the_message_says_why(root: Admin, api: Api, cue: Cue) -> None:
    late = once(api, "late")
    root.act("pause", late, cue)
    Cue.objects.filter(pk=late.pk).update(at=clock.now() - timedelta(minutes=1), catch_up="skip_missed")
    page = root.act("resume", late, cue)
    assert "The time of this one-shot has passed" in page
    assert "Cues resumed: 1." in page
    assert (again(late).status, again(cue).status) == ("paused", "active")


def test_the_page_offers_what_the_status_allows(root: Admin, cue: Cue) -> None:
    page = root.text(page_url(cue))
    assert ('value="pause"' in page, 'value="resume"' in page, 'value="fire"' in page) == (True, False, True)
    root.act("pause", cue)
    page = root.text(page_url(cue))
    assert ('value="pause"' in page, 'value="resume"' in page, 'value="fire"' in page) == (False, True, True)


def test_a_cue_can_be_neither_made_nor_edited_here(root: Admin, cue: Cue) -> None:
    assert root.client.get(f"{list_url(Cue)}add/").status_code == 403
    assert root.client.post(page_url(cue), {"name": "renamed"}).status_code == 403
    assert again(cue).name == cue.name


def test_deleting_a_cue_takes_its_executions_and_periodic_task_along(root: Admin, cue: Cue) -> None:
    fired(cue)
    delete = page_url(cue).replace("change/", "delete/")
    assert "with its executions and their history" in root.text(delete)
    root.client.post(delete, {"post": "yes"})
    assert not Cue.objects.exists() and not Execution.objects.exists() and not PeriodicTask.objects.exists()


def test_several_cues_are_deleted_by_the_list(root: Admin, api: Api, cue: Cue) -> None:
    kept, other = recurring(api, "kept"), recurring(api, "other")
    assert "Are you sure" in root.act("delete_selected", cue, other)
    root.act("delete_selected", cue, other, post="yes")
    assert [row.pk for row in Cue.objects.all()] == [kept.pk]


# --- A cue's periodic task --------------------------------------------------------------------------------------


def test_disabling_a_cues_task_in_the_list_pauses_the_cue(root: Admin, cue: Cue) -> None:
    assert "Tasks disabled: 1." in root.act("disable_tasks", cue.periodic_task)
    assert (again(cue).status, again(cue).next_run, again(cue).periodic_task.enabled) == ("paused", None, False)


def test_enabling_a_cues_task_in_the_list_resumes_the_cue(root: Admin, cue: Cue) -> None:
    root.act("disable_tasks", cue.periodic_task)
    root.act("enable_tasks", cue.periodic_task)
    assert (again(cue).status, again(cue).next_run) == ("active", cue.next_run)
    assert again(cue).periodic_task.enabled


def test_the_switch_in_the_form_of_a_cues_task_moves_the_cue(root: Admin, cue: Cue) -> None:
    form = page_url(cue.periodic_task)
    root.client.post(form, {"queue": "", "priority": ""})
    assert (again(cue).status, again(cue).periodic_task.enabled) == ("paused", False)
    root.client.post(form, {"enabled": "on", "queue": "", "priority": ""})
    assert (again(cue).status, again(cue).periodic_task.enabled) == ("active", True)


def test_the_form_of_a_cues_task_changes_its_queue_and_nothing_that_firing_counts(root: Admin, cue: Cue) -> None:
    PeriodicTask.objects.update(last_run_at=clock.now(), total_run_count=7)
    before = again(cue.periodic_task)
    data = {"enabled": "on", "queue": "vip", "priority": "3", "name": "x", "task": "x", "total_run_count": "0"}
    root.client.post(page_url(cue.periodic_task), data)
    after = again(cue.periodic_task)
    assert (after.queue, after.priority) == ("vip", 3)
    for name in ("name", "task", "kwargs", "crontab_id", "last_run_at", "total_run_count"):
        assert getattr(after, name) == getattr(before, name)


def test_the_form_of_a_cues_task_points_to_the_cue(root: Admin, cue: Cue) -> None:
    page = root.text(page_url(cue.periodic_task))
    assert page_url(cue) in page
    assert "change its schedule there" in page
    assert 'name="crontab"' not in page


def test_a_cues_task_cannot_be_deleted_without_the_cue(root: Admin, cue: Cue) -> None:
    delete = page_url(cue.periodic_task).replace("change/", "delete/")
    assert root.client.post(delete, {"post": "yes"}).status_code == 403
    assert PeriodicTask.objects.filter(pk=cue.periodic_task_id).exists()


def test_running_a_cues_task_is_refused_with_a_pointer(root: Admin, cue: Cue) -> None:
    assert "A cue is fired from its own page" in root.act("run_tasks", cue.periodic_task)


def test_who_may_only_look_at_tasks_switches_none(cue: Cue) -> None:
    staff("view_periodictask").act("disable_tasks", cue.periodic_task)
    assert again(cue).status == "active"


# --- Ordinary periodic tasks ------------------------------------------------------------------------------------


def ordinary(**fields: Any) -> PeriodicTask:
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    facts = {"name": "sweep", "task": "executions.sweep", "queue": "default", "interval": interval}
    return PeriodicTask.objects.create(**facts | fields)


def test_an_ordinary_task_is_made_and_edited_in_the_form(root: Admin) -> None:
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    data = {"name": "mine", "regtask": "executions.sweep", "enabled": "on", "interval": str(interval.pk)}
    json = {"args": "[]", "kwargs": "{}", "headers": "{}"}
    root.client.post(f"{TASKS}add/", data | json)
    task = PeriodicTask.objects.get(name="mine")
    assert (task.task, task.interval, task.enabled) == ("executions.sweep", interval, True)
    root.client.post(page_url(task), data | json | {"name": "renamed"})
    assert again(task).name == "renamed"


def test_switching_an_ordinary_task_tells_beat(root: Admin) -> None:
    task = ordinary()
    told_at = PeriodicTasks.last_change()
    root.act("disable_tasks", task)
    assert not again(task).enabled
    assert PeriodicTasks.last_change() > told_at


@pytest.mark.django_db(transaction=True)
def test_an_ordinary_task_runs_now_when_told(root: Admin, worker: Worker) -> None:
    root.act("run_tasks", ordinary())
    assert worker.run() == ["executions.sweep"]


def test_a_schedule_that_cues_share_can_be_neither_changed_nor_deleted(root: Admin, cue: Cue) -> None:
    crontab = cue.periodic_task.crontab
    assert root.client.post(page_url(crontab), {"minute": "1"}).status_code == 403
    delete = page_url(crontab).replace("change/", "delete/")
    assert root.client.post(delete, {"post": "yes"}).status_code == 403
    assert again(crontab).minute == crontab.minute
