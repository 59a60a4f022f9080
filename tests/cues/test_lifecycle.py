"""A cue's status and `next_run`: guarded, once, and in step with its periodic task."""

from datetime import timedelta

import pytest
from django_celery_beat.models import PeriodicTask

from cueapi.errors import InvalidSchedule
from cues import lifecycle
from cues.models import Cue
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]

HOUR = timedelta(hours=1)


def again(cue: Cue) -> Cue:
    return Cue.objects.get(pk=cue.pk)


def enabled(cue: Cue) -> bool:
    return PeriodicTask.objects.get(name=cue.pk).enabled


def test_pausing_stops_a_cue_and_its_task_once() -> None:
    cue = make.recurring(make.account())
    assert [lifecycle.pause([cue], now=NOW) for _ in range(2)] == [1, 0]
    assert (again(cue).status, again(cue).next_run, enabled(cue)) == ("paused", None, False)


def test_pausing_many_changes_the_active_ones() -> None:
    owner = make.account()
    cues = [make.recurring(owner), make.cue(owner), make.cue(owner, status="completed", next_run=None)]
    assert lifecycle.pause(cues, now=NOW) == 2
    assert [again(cue).status for cue in cues] == ["paused", "paused", "completed"]


def test_resuming_goes_on_from_now_and_catches_nothing_up() -> None:
    cue = make.recurring(make.account(), status="paused", next_run=None)
    assert lifecycle.resume(cue, now=NOW + HOUR + timedelta(minutes=1))
    assert (again(cue).status, again(cue).next_run) == ("active", NOW + HOUR + timedelta(minutes=5))
    assert enabled(cue)
    assert not lifecycle.resume(cue, now=NOW + 2 * HOUR)
    assert again(cue).next_run == NOW + HOUR + timedelta(minutes=5)


@pytest.mark.parametrize(("at", "next_run"), [(NOW + HOUR, NOW + HOUR), (NOW - HOUR, NOW)])
def test_a_resumed_one_shot_keeps_its_future_time_or_runs_now(at, next_run) -> None:
    cue = make.cue(make.account(), status="paused", at=at, next_run=None)
    assert lifecycle.resume(cue, now=NOW)
    assert (again(cue).next_run, again(cue).at) == (next_run, next_run)


def test_a_one_shot_that_fired_before_its_pause_does_not_fire_again() -> None:
    cue = make.cue(make.account(), status="paused", next_run=None, last_slot=NOW)
    assert lifecycle.resume(cue, now=NOW + HOUR)
    assert (again(cue).status, again(cue).next_run) == ("active", None)


def test_a_one_shot_that_skips_what_it_missed_cannot_be_resumed_late() -> None:
    cue = make.cue(make.account(), status="paused", next_run=None, catch_up="skip_missed")
    with pytest.raises(InvalidSchedule, match="passed"):
        lifecycle.resume(cue, now=NOW + HOUR)
    assert again(cue).status == "paused"


def test_a_cue_advances_once_from_where_it_was_read() -> None:
    cue, late = make.recurring(make.account()), Cue.objects.get()
    later = NOW + HOUR
    lifecycle.advance([lifecycle.Move(cue, last_slot=NOW, next_run=later, fired=1)], now=NOW)
    lifecycle.advance([lifecycle.Move(late, last_slot=NOW, next_run=later + HOUR, fired=1)], now=NOW)
    assert (again(cue).next_run, again(cue).fired_count) == (later, 1)


def test_cues_that_move_alike_share_a_statement(django_assert_num_queries) -> None:
    owner = make.account()
    alike = [make.recurring(owner) for _ in range(20)]
    other = make.recurring(owner, "0 * * * *")
    moves = [lifecycle.Move(cue, last_slot=NOW, next_run=NOW + HOUR, fired=1) for cue in alike]
    with django_assert_num_queries(2):
        lifecycle.advance([*moves, lifecycle.Move(other, last_slot=NOW, next_run=NOW + 2 * HOUR, fired=1)], now=NOW)
    assert {again(cue).next_run for cue in alike} == {NOW + HOUR}
    assert again(other).next_run == NOW + 2 * HOUR


def test_a_recurring_cue_without_a_window_left_is_completed() -> None:
    cue = make.recurring(make.account())
    lifecycle.advance([lifecycle.Move(cue, last_slot=NOW, next_run=None, fired=1)], now=NOW)
    assert (again(cue).status, again(cue).next_run) == ("completed", None)
    assert not PeriodicTask.objects.get().enabled


@pytest.mark.parametrize(
    "columns",
    [
        {"at": NOW + HOUR, "next_run": NOW + HOUR, "last_slot": NOW},  # it was given a new time
        {"last_slot": None},  # its own run has not been fired
        {"status": "completed", "next_run": None, "last_slot": NOW},
        {"schedule_type": "recurring", "cron": "* * * * *", "at": None, "last_slot": NOW},
    ],
)
def test_finish_leaves_every_other_cue_alone(columns: dict) -> None:
    cue = make.cue(make.account(), **columns)
    assert not lifecycle.finish_one_shot(cue.pk, slot=NOW, success=False, now=NOW)
    assert again(cue).status == columns.get("status", "active")


def test_a_one_shot_finishes_once() -> None:
    cue = make.cue(make.account(), next_run=None, last_slot=NOW)
    assert lifecycle.finish_one_shot(cue.pk, slot=NOW, success=True, now=NOW)
    assert not lifecycle.finish_one_shot(cue.pk, slot=NOW, success=False, now=NOW)
    assert again(cue).status == "completed"


def test_an_operators_switch_in_the_admin_pauses_and_resumes_the_cue() -> None:
    cue = make.recurring(make.account())
    task = PeriodicTask.objects.get(name=cue.pk)
    task.enabled = False
    task.save()
    assert (again(cue).status, again(cue).next_run) == ("paused", None)
    task.enabled = True
    task.save()
    assert again(cue).status == "active"
    assert again(cue).next_run is not None


def test_saving_a_periodic_task_without_switching_it_changes_nothing() -> None:
    cue = make.recurring(make.account())
    task = PeriodicTask.objects.get(name=cue.pk)
    task.queue, task.priority = "vip", 9
    task.save()
    assert (again(cue).status, again(cue).next_run) == ("active", NOW)


@pytest.mark.django_db(transaction=True)
def test_counts_add_up_under_concurrency() -> None:
    owner = make.account()
    cues = [make.cue(owner) for _ in range(3)]
    order = [cue.pk for cue in cues]
    at_once([lambda ids=ids: lifecycle.count_runs(dict.fromkeys(ids, 2)) for ids in (order, order[::-1]) * 3])
    assert set(Cue.objects.values_list("run_count", flat=True)) == {12}
