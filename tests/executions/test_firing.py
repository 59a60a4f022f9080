"""The birth of executions by the schedule: once per slot, whoever races; missed windows by the cue's own rule."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections, transaction
from django_celery_beat.models import PeriodicTask

from cueapi import clock
from cues.models import Cue
from executions import firing
from executions.models import Execution
from tests.support import make
from tests.support.deadline import eventually
from tests.support.held import held_elsewhere, needs_row_locks, somebody_waits_for_a_row
from tests.support.make import NOW
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
ROUNDS = 20
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def slots() -> list:
    return list(Execution.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True))


def test_a_due_cue_fires_and_moves_on_from_its_slot() -> None:
    cue = make.recurring(make.account(), payload={"task": "digest"})
    assert firing.fire_due([cue.pk], now=NOW + timedelta(seconds=3)) == 1
    execution = Execution.objects.get()
    assert (execution.scheduled_for, execution.due_at, execution.triggered_by) == (NOW, NOW, "scheduled")
    assert (execution.status, execution.payload, execution.lane) == (
        "pending",
        {"task": "digest"},
        cue.lane,
    )
    cue.refresh_from_db()
    assert (cue.next_run, cue.last_slot, cue.fired_count) == (NOW + 5 * MINUTE, NOW, 1)


def test_the_periodic_task_counts_the_fires() -> None:
    cue = make.recurring(make.account())
    firing.fire_due([cue.pk], now=NOW)
    task = PeriodicTask.objects.get(name=cue.pk)
    assert (task.last_run_at, task.total_run_count) == (NOW, 1)


def test_firing_twice_makes_one_execution() -> None:
    cue = make.recurring(make.account())
    assert [firing.fire_due([cue.pk], now=NOW) for _ in range(2)] == [1, 0]
    assert slots() == [NOW]


@pytest.mark.parametrize(
    "columns",
    [
        {"next_run": NOW + MINUTE},
        {"status": "paused", "next_run": None},
        {"status": "completed", "next_run": None},
        {"status": "failed", "next_run": None},
    ],
)
def test_a_cue_that_is_not_due_or_not_active_does_not_fire(columns: dict) -> None:
    cue = make.cue(make.account(), **columns)
    assert firing.fire_due([cue.pk, "cue_unknown"], now=NOW) == 0
    assert slots() == []


def test_a_cue_whose_periodic_task_was_switched_off_in_bulk_does_not_fire() -> None:
    cue = make.recurring(make.account())
    PeriodicTask.objects.filter(name=cue.pk).update(enabled=False)
    assert firing.fire_due([cue.pk], now=NOW) == 0


def test_a_clock_that_is_a_moment_behind_the_announcers_does_not_lose_the_slot() -> None:
    cue = make.recurring(make.account())
    assert firing.fire_due([cue.pk], now=NOW - timedelta(milliseconds=200)) == 1
    cue.refresh_from_db()
    assert (slots(), cue.next_run) == ([NOW], NOW + 5 * MINUTE)


def test_one_cue_that_cannot_be_read_does_not_keep_the_others_from_firing() -> None:
    owner = make.account()
    broken, sound = make.recurring(owner), make.recurring(owner)
    Cue.objects.filter(pk=broken.pk).update(cron="99 99 * * *")
    assert firing.fire_due([broken.pk, sound.pk], now=NOW) == 1
    assert Execution.objects.get().cue_id == sound.pk


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("skip_missed", []),
        ("run_once_if_missed", [55]),
        ("replay_all_missed", [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]),
    ],
)
def test_missed_windows_follow_the_cues_rule(catch_up: str, expected: list[int]) -> None:
    cue = make.recurring(make.account(), catch_up=catch_up)
    firing.fire_due([cue.pk], now=NOW + 58 * MINUTE)
    cue.refresh_from_db()
    assert slots() == [NOW + minute * MINUTE for minute in expected]
    assert (cue.next_run, cue.fired_count) == (NOW + 60 * MINUTE, len(expected))
    assert firing.fire_due([cue.pk], now=NOW + 58 * MINUTE) == 0


def test_a_window_in_time_runs_beside_the_skipped_ones() -> None:
    cue = make.recurring(make.account(), catch_up="skip_missed")
    firing.fire_due([cue.pk], now=NOW + 60 * MINUTE)
    assert slots() == [NOW + 60 * MINUTE]


def test_after_a_year_of_silence_at_most_a_hundred_windows_run() -> None:
    cue = make.recurring(make.account(), catch_up="replay_all_missed")
    later = NOW + timedelta(days=365, minutes=2)
    assert firing.fire_due([cue.pk], now=later) == 100
    assert slots()[-1] == NOW + timedelta(days=365)


def test_a_missed_one_shot_runs_late() -> None:
    cue = make.cue(make.account())
    assert firing.fire_due([cue.pk], now=NOW + timedelta(hours=2)) == 1
    cue.refresh_from_db()
    assert (cue.status, cue.next_run, cue.last_slot) == ("active", None, NOW)


def test_a_missed_one_shot_that_skips_has_failed() -> None:
    cue = make.cue(make.account(), catch_up="skip_missed")
    assert firing.fire_due([cue.pk], now=NOW + timedelta(hours=2)) == 0
    cue.refresh_from_db()
    assert (cue.status, cue.next_run, slots()) == ("failed", None, [])


def test_cues_of_one_message_that_are_due_alike_cost_no_query_of_their_own(django_assert_max_num_queries) -> None:
    owner = make.account()
    cues = [make.recurring(owner) for _ in range(20)]
    with django_assert_max_num_queries(12):
        assert firing.fire_due([cue.pk for cue in cues], now=NOW) == 20


@pytest.mark.django_db(transaction=True)
def test_work_for_workers_is_not_queued(worker: Worker) -> None:
    cue = make.cue(make.account(), transport="worker", callback_url="", lane="")
    firing.fire_due([cue.pk], now=NOW)
    assert worker.waiting() == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite locks the database, not the row")
@pytest.mark.django_db(transaction=True)
def test_a_cue_that_a_delivery_or_a_patch_holds_at_its_instant_is_fired_a_moment_later(worker: Worker) -> None:
    owner = make.account()
    held, free = (make.cue(owner, at=LONG_AGO, next_run=LONG_AGO) for _ in range(2))
    with transaction.atomic():
        Cue.objects.select_for_update(no_key=True).get(pk=held.pk)
        assert at_once([lambda: firing.fire_due([held.pk, free.pk], now=clock.now())]) == [1]
    assert set(Execution.objects.values_list("cue", flat=True)) == {free.pk}

    def fired() -> bool:
        worker.run()
        return Execution.objects.filter(cue=held).exists()

    eventually(fired, what="the held cue's run")


@pytest.mark.django_db(transaction=True)
def test_two_that_fire_the_same_cue_at_once_make_one_execution_each_time() -> None:
    cue = make.recurring(make.account())
    for round_ in range(ROUNDS):
        now = NOW + 5 * round_ * MINUTE
        made = at_once([lambda now=now: firing.fire_due([cue.pk], now=now)] * 2)
        assert sorted(made) == [0, 1]
    assert len(set(slots())) == len(slots()) == ROUNDS
    cue.refresh_from_db()
    assert cue.fired_count == ROUNDS


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_a_replay_that_waits_for_its_original_does_not_hold_the_cue() -> None:
    """Whoever takes a late outcome of the original holds that first and then the cue."""
    cue = make.cue(make.account())
    original = make.execution(cue, status="failed", closed_at=NOW)

    def replay() -> Execution:
        try:
            return firing.replay(original, now=NOW)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with held_elsewhere("executions_execution", "id", original.pk) as other:
            made = pool.submit(replay)
            eventually(somebody_waits_for_a_row)
            with other.cursor() as cursor:
                cursor.execute("SELECT 1 FROM cues_cue WHERE id = %s FOR UPDATE NOWAIT", [cue.pk])
        assert made.result(timeout=10).replayed_from == original
