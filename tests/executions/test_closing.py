"""The one death: once, whoever runs twice, with what the cue asked for when it fails (contract 6.7)."""

from datetime import timedelta

import pytest
from django_celery_beat.models import PeriodicTask

from executions import closing
from executions.models import Execution, Notification
from executions.states import Status, Trigger
from tests.support import make
from tests.support.make import NOW, NOWHERE
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def flying(cue, **columns) -> Execution:
    return make.execution(cue, **{"status": Status.DELIVERING, "attempts": 1} | columns)


def close(execution: Execution, to: Status = Status.FAILED, now=NOW) -> bool:
    return closing.close(execution, to, reason="test", now=now)


def kinds() -> list[str]:
    return sorted(Notification.objects.values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, ["email"]),
        ({"on_failure_email": False}, []),
        ({"on_failure_webhook": NOWHERE}, ["email", "webhook"]),
        ({"on_failure_email": False, "on_failure_webhook": NOWHERE}, ["webhook"]),
    ],
)
def test_a_failure_notifies_as_the_cue_asks(columns: dict, expected: list[str]) -> None:
    close(flying(make.cue(make.account(), **columns)))
    assert kinds() == expected
    assert set(Notification.objects.values_list("state", "due_at")) <= {("waiting", NOW)}


def test_success_notifies_nobody() -> None:
    close(flying(make.cue(make.account(), on_failure_webhook=NOWHERE)), Status.SUCCESS)
    assert kinds() == []


def test_closing_twice_escalates_once() -> None:
    execution = flying(make.cue(make.account()))
    twin = Execution.objects.get(pk=execution.pk)
    assert [close(execution), close(twin)] == [True, False]
    assert kinds() == ["email"]


def test_pause_on_failure_is_for_recurring_cues() -> None:
    owner = make.account()
    recurring, once = (build(owner, on_failure_pause=True) for build in (make.recurring, make.cue))
    for cue in (recurring, once):
        close(flying(cue))
        cue.refresh_from_db()
    assert (recurring.status, recurring.next_run) == ("paused", None)
    assert not PeriodicTask.objects.get(name=recurring.pk).enabled
    assert (once.status, once.next_run) == ("active", NOW)


@pytest.mark.parametrize(
    ("to", "status"),
    [
        (Status.SUCCESS, "completed"),
        (Status.FAILED, "failed"),
    ],
)
def test_the_scheduled_run_of_a_one_shot_finishes_its_cue(to: Status, status: str) -> None:
    cue = make.cue(make.account(), next_run=None, last_slot=NOW)
    close(flying(cue, triggered_by=Trigger.SCHEDULED), to)
    cue.refresh_from_db()
    assert cue.status == status


@pytest.mark.parametrize("trigger", ["manual_fire", "replay", "chain"])
def test_any_other_run_of_a_one_shot_leaves_its_cue(trigger: str) -> None:
    cue = make.cue(make.account(), next_run=None, last_slot=NOW)
    close(flying(cue, triggered_by=trigger), Status.SUCCESS)
    cue.refresh_from_db()
    assert cue.status == "active"


def test_a_one_shot_with_a_new_time_is_not_finished_by_its_old_run() -> None:
    later = NOW + timedelta(hours=1)
    cue = make.cue(make.account(), at=later, next_run=later, last_slot=NOW)
    close(flying(cue, triggered_by=Trigger.SCHEDULED), Status.SUCCESS)
    cue.refresh_from_db()
    assert (cue.status, cue.next_run) == ("active", later)


def test_a_one_shot_paused_while_its_run_was_in_flight_is_finished_too() -> None:
    cue = make.cue(make.account(), status="paused", next_run=None, last_slot=NOW)
    close(flying(cue, triggered_by=Trigger.SCHEDULED), Status.SUCCESS)
    cue.refresh_from_db()
    assert cue.status == "completed"


def test_last_run_is_the_latest_end_and_never_goes_back() -> None:
    cue = make.recurring(make.account())
    for end in (NOW, NOW + timedelta(microseconds=5), NOW - timedelta(hours=1)):
        close(flying(cue), Status.SUCCESS, now=end)
    cue.refresh_from_db()
    assert cue.last_run == NOW + timedelta(microseconds=5)


@pytest.mark.django_db(transaction=True)
def test_of_many_that_close_at_once_one_does_and_notifies_once() -> None:
    execution = flying(make.cue(make.account(), on_failure_webhook=NOWHERE))
    rows = [Execution.objects.get(pk=execution.pk) for _ in range(6)]
    assert sorted(at_once([lambda row=row: close(row) for row in rows])) == [False] * 5 + [True]
    assert kinds() == ["email", "webhook"]
    assert execution.steps.count() == 1


@pytest.mark.parametrize(("columns", "expected"), [({}, []), ({"outcome_deadline_s": 60}, ["email"])])
def test_a_reported_failure_notifies_only_where_the_outcome_decides(columns: dict, expected: list[str]) -> None:
    close(flying(make.cue(make.account(), **columns), outcome_success=False, outcome_recorded_at=NOW))
    assert kinds() == expected
