"""Whatever a broker, a sender or beat lost is found in the rows; a sweep that runs twice does nothing twice."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from cueapi import clock
from cues.models import Cue
from executions import delivery, firing, notifications, recovery
from executions.lanes import Lane
from executions.models import Attempt, Destination, Execution, Notification
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.broker import broker_down
from tests.support.make import NOW
from tests.support.receiver import Receiver
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def status_of(execution: Execution) -> str:
    return Execution.objects.get(pk=execution.pk).status


# --- Messages ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_lost_message_is_noticed_and_the_work_delivered(api: Api, receiver: Receiver, worker: Worker) -> None:
    cue = make.cue(api.account, callback_url=receiver.url, at=LONG_AGO, next_run=LONG_AGO)
    firing.fire_due([cue.pk], now=clock.now())
    assert worker.drop() == 1
    recovery.sweep(now=LONG_AGO + timedelta(seconds=4))
    worker.run()
    assert receiver.received == []  # it may still be on its way
    recovery.sweep(now=clock.now())
    worker.run()
    assert len(receiver.received) == 1
    assert Execution.objects.get().status == "success"


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_down_costs_the_caller_nothing_and_loses_nothing(
    api: Api, receiver: Receiver, worker: Worker
) -> None:
    body = make.body(schedule={"type": "one-time"}, callback={"url": receiver.url})
    with broker_down():
        started = time.monotonic()
        assert api.post("/v1/cues", body).status_code == 201
        cue_id = Cue.objects.get().pk
        assert api.post(f"/v1/cues/{cue_id}/fire").status_code == 200
        assert firing.fire_due([cue_id], now=clock.now()) == 1
        assert time.monotonic() - started < 2
    assert worker.run() == []
    recovery.sweep(now=clock.now() + timedelta(seconds=5))
    worker.run()
    assert len(receiver.received) == 2
    assert set(Execution.objects.values_list("status", flat=True)) == {"success"}


def test_a_lane_with_due_work_that_nobody_looked_at_is_nudged_once_a_minute() -> None:
    cue = make.cue(make.account())
    retry = make.execution(cue, status=Status.RETRYING, attempts=1)
    make.execution(cue, lane="http://later.example", due_at=NOW + timedelta(seconds=30))
    make.execution(cue, lane="http://busy.example", status=Status.DELIVERING)
    make.execution(make.cue(cue.account, transport="worker"))
    assert recovery.look_at_lanes(NOW) == 0  # its message may be on its way
    now = NOW + timedelta(seconds=5)
    assert recovery.look_at_lanes(now) == 1
    assert status_of(retry) == "retry_ready"
    assert recovery.look_at_lanes(now) == 0
    assert recovery.look_at_lanes(now + MINUTE) == 2


def test_a_lane_that_somebody_looked_at_just_now_is_left_alone() -> None:
    cue = make.cue(make.account())
    make.execution(cue, due_at=NOW - MINUTE, is_held=False)
    lane = Lane(cue.account_id, cue.lane)
    delivery.take(lane, now=NOW)
    make.execution(cue, due_at=NOW - MINUTE)
    assert recovery.look_at_lanes(NOW + timedelta(seconds=4)) == 0
    assert recovery.look_at_lanes(NOW + timedelta(seconds=5)) == 1


def test_a_lane_that_was_looked_at_since_a_sweep_nudged_it_need_not_wait_for_a_minute() -> None:
    cue = make.cue(make.account())
    make.execution(cue, lane="http://busy.example")
    lane = Lane(cue.account_id, "http://busy.example")
    nudged = NOW + timedelta(seconds=5)
    assert recovery.look_at_lanes(nudged) == 1
    delivery.take(lane, now=nudged + timedelta(seconds=1))
    make.execution(cue, lane=lane.origin)
    assert recovery.look_at_lanes(nudged + timedelta(seconds=5)) == 0
    assert recovery.look_at_lanes(nudged + timedelta(seconds=6)) == 1


def test_a_lane_whose_breaker_is_open_is_left_alone_until_its_probe_is_due() -> None:
    cue = make.cue(make.account())
    make.execution(cue)
    probe_at = NOW + MINUTE
    Destination.objects.create(account=cue.account, lane=cue.lane, state="open", probe_at=probe_at)
    assert recovery.look_at_lanes(probe_at - timedelta(seconds=1)) == 0
    assert recovery.look_at_lanes(probe_at) == 1


def test_a_lane_is_told_of_work_at_its_time_without_waiting_for_a_sweep(worker: Worker) -> None:
    cue = make.cue(make.account())
    for wait_s in (3, 9, 11):
        make.execution(cue, due_at=NOW + timedelta(seconds=wait_s))
    assert recovery.nudge_at_their_time(NOW) == 2


def test_a_cue_that_no_scheduler_announced_fires_ten_seconds_late() -> None:
    cue = make.recurring(make.account())
    assert recovery.fire_overdue(NOW + timedelta(seconds=9)) == 0
    assert recovery.fire_overdue(NOW + timedelta(seconds=10)) == 1
    assert recovery.fire_overdue(NOW + timedelta(seconds=10)) == 0
    assert Execution.objects.get().cue == cue


# --- Senders that died ------------------------------------------------------------------------------------------


def test_an_attempt_whose_sender_died_counts_and_a_crash_loop_ends() -> None:
    cue = make.cue(make.account(), backoff_minutes=[1])
    execution, now = make.execution(cue), NOW
    for attempt in (1, 2, 3):
        assert delivery.take(Lane.of(execution), now=now).deliveries  # and dies here
        assert recovery.end_interrupted(now + timedelta(seconds=299)) == 0
        now += timedelta(seconds=300)
        assert recovery.end_interrupted(now) == 1
        execution.refresh_from_db()
        assert execution.attempts == attempt
        now += MINUTE
    assert execution.status == "failed"
    log = Attempt.objects.order_by("number").values_list("number", "error_stage", "duration_ms")
    assert list(log) == [(n, "interrupted", 300_000) for n in (1, 2, 3)]
    assert Notification.objects.count() == 1


def test_a_long_time_limit_is_waited_for() -> None:
    cue = make.cue(make.account(), delivery_timeout_s=1200, outcome_deadline_s=60)
    delivery.take(Lane.of(make.execution(cue)), now=NOW)
    assert recovery.end_interrupted(NOW + timedelta(seconds=1259)) == 0
    assert recovery.end_interrupted(NOW + timedelta(seconds=1260)) == 1


def test_a_workers_long_handler_is_not_a_dead_sender() -> None:
    cue = make.cue(make.account(), transport="worker")
    execution = make.execution(cue, status=Status.DELIVERING, attempts=1)
    assert recovery.end_interrupted(NOW + timedelta(days=1)) == 0
    assert status_of(execution) == "delivering"


# --- Deadlines --------------------------------------------------------------------------------------------------


def test_an_outcome_that_does_not_come_in_time_ends_the_execution() -> None:
    cue = make.cue(make.account(), outcome_deadline_s=60, next_run=None, last_slot=NOW)
    execution = make.execution(cue, status=Status.PENDING_OUTCOME, attempts=1, triggered_by="scheduled")
    assert recovery.end_unreported(NOW - timedelta(seconds=1)) == 0
    assert [recovery.end_unreported(NOW) for _ in range(2)] == [1, 0]
    execution.refresh_from_db()
    assert (execution.status, execution.outcome_state) == ("outcome_timeout", "unknown")
    assert execution.error_message
    assert Cue.objects.get().status == "failed"
    assert Notification.objects.count() == 1


def test_work_that_no_worker_came_for_is_missed_after_fifteen_minutes() -> None:
    cue = make.cue(make.account(), transport="worker")
    execution = make.execution(cue)
    webhook = make.execution(make.cue(cue.account))
    assert recovery.miss_unclaimed(NOW + timedelta(seconds=899)) == 0
    assert [recovery.miss_unclaimed(NOW + timedelta(seconds=900)) for _ in range(2)] == [1, 0]
    assert (status_of(execution), status_of(webhook)) == ("missed", "pending")
    assert Notification.objects.count() == 1


def test_future_work_for_workers_is_not_missed_before_it_is_due() -> None:
    cue = make.cue(make.account(), transport="worker", created_at=NOW - timedelta(days=9))
    make.execution(cue, created_at=NOW - timedelta(days=9), due_at=NOW, scheduled_for=NOW)
    assert recovery.miss_unclaimed(NOW + MINUTE) == 0


@pytest.mark.django_db(transaction=True)
def test_a_notification_whose_message_was_lost_is_sent(api: Api, worker: Worker) -> None:
    execution = make.execution(make.recurring(api.account, next_run=None), status=Status.FAILED)
    Notification.objects.create(execution=execution, account=api.account, kind="email", due_at=LONG_AGO)
    assert recovery.notify(clock.now()) == 1
    assert mail.outbox == []  # each in a task of its own, so that none holds up the sweeps
    worker.run()
    assert len(mail.outbox) == 1
    assert recovery.notify(clock.now()) == 0


# --- The sweep itself -------------------------------------------------------------------------------------------


def test_a_sweep_does_it_all_and_twice_does_nothing_more() -> None:
    owner = make.account()
    cue, pulled = make.recurring(owner), make.cue(owner, transport="worker", next_run=None)
    make.execution(cue, status=Status.DELIVERING, attempts=3)
    make.execution(cue, status=Status.PENDING_OUTCOME, attempts=1)
    make.execution(pulled)
    now = NOW + 62 * MINUTE
    found = recovery.sweep(now=now)
    assert {name: count for name, count in found.items() if count} == {
        "fire_overdue": 1,
        "end_interrupted": 1,
        "end_unreported": 1,
        "miss_unclaimed": 1,
        "notify": 3,
    }
    notifications.send_due(Notification.objects.all(), now=now)
    assert len(mail.outbox) == 3
    again = recovery.sweep(now=now)
    assert again.pop("look_at_lanes") == 1  # the one that fired: nobody has taken up its message
    assert set(again.values()) == {0}


def test_one_sweep_that_crashes_does_not_stop_the_others(monkeypatch) -> None:
    def crash(now: datetime) -> int:
        raise RuntimeError("boom")

    make.recurring(make.account())
    monkeypatch.setitem(recovery.SWEEPS, "end_interrupted", crash)
    found = recovery.sweep(now=NOW + 62 * MINUTE)
    assert (found["end_interrupted"], found["fire_overdue"]) == (0, 1)
    assert "notify" in found


def test_each_sweep_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(recovery, "ROWS_MAX", 3)
    cue = make.cue(make.account())
    for _ in range(4):
        make.execution(cue, status=Status.DELIVERING, attempts=1)
    assert [recovery.end_interrupted(NOW) for _ in range(3)] == [3, 1, 0]


@pytest.mark.django_db(transaction=True)
def test_sweeps_that_run_at_the_same_time_do_each_thing_once() -> None:
    owner = make.account()
    cue = make.recurring(owner)
    for _ in range(5):
        make.execution(cue, status=Status.DELIVERING, attempts=3)
        make.execution(cue, status=Status.PENDING_OUTCOME, attempts=1)
    now = NOW + 62 * MINUTE

    def sweep() -> None:
        recovery.sweep(now=now)
        notifications.send_due(Notification.objects.all(), now=now)

    at_once([sweep] * 3)
    statuses = list(Execution.objects.order_by("status").values_list("status", flat=True))
    assert statuses == ["failed"] * 5 + ["outcome_timeout"] * 5 + ["pending"]
    assert Attempt.objects.count() == 5
    assert Notification.objects.count() == 10
    assert len(mail.outbox) == 10
