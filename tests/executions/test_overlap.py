"""Held executions: they run one after the other, whoever ends the one before, and none is forgotten."""

from datetime import timedelta

import pytest

from cues.models import Cue
from executions import claims, closing, firing, lanes, lifecycle, overlap, recovery
from executions.lanes import Lane
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def cue() -> Cue:
    return make.recurring(make.account(), overlap="queue", transport="worker")


def fire(cue: Cue, windows: int) -> list[Execution]:
    """So many windows of the cue, oldest first; the first runs and the others are held."""
    for window in range(windows):
        firing.fire_due([cue.pk], now=NOW + window * 5 * MINUTE)
    return list(Execution.objects.order_by("scheduled_for"))


def end(execution: Execution, status: Status = Status.SUCCESS) -> None:
    now = NOW + timedelta(hours=1)
    assert closing.close(Execution.objects.get(pk=execution.pk), status, reason="a test", now=now)


def held() -> list[bool]:
    return list(Execution.objects.order_by("scheduled_for").values_list("is_held", flat=True))


def test_a_held_execution_is_pending_and_nobody_can_take_it(cue: Cue) -> None:
    first, second = fire(cue, 2)
    assert (second.status, second.is_held, second.due_at) == ("pending", True, None)
    found = claims.claimable(cue.account, task=None, agent=None, now=NOW + timedelta(hours=1))
    assert [execution.pk for execution in found] == [first.pk]
    recovery.sweep(now=NOW + timedelta(minutes=6))
    assert held() == [False, True]


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED, Status.MISSED])
def test_the_next_runs_when_the_one_before_has_ended_in_any_way(cue: Cue, status: Status) -> None:
    first, second, _ = fire(cue, 3)
    end(first, status)
    assert held() == [False, False, True]
    second.refresh_from_db()
    assert second.due_at == NOW + timedelta(hours=1)  # its time for a worker to come starts now
    end(second)
    assert held() == [False, False, False]


@pytest.mark.django_db(transaction=True)
def test_a_webhook_that_was_held_is_handed_out(worker: Worker) -> None:
    cue = make.recurring(make.account(), overlap="queue")
    first, second = fire(cue, 2)
    worker.drop()
    lanes.taken_up(Lane.of(second))
    end(first)
    assert [kwargs["origin"] for _, kwargs in worker.waiting()] == [cue.lane]


def test_a_manual_fire_is_not_held_and_is_in_the_way(cue: Cue) -> None:
    by_hand = firing.fire(cue, firing.ManualFire(), now=NOW - MINUTE)
    assert not by_hand.is_held
    fire(cue, 1)
    assert held() == [False, True]
    end(by_hand)
    assert held() == [False, False]


def test_more_than_a_hundred_are_not_held(cue: Cue) -> None:
    make.execution(cue, scheduled_for=NOW - MINUTE)
    for number in range(overlap.HELD_MAX):
        make.execution(cue, is_held=True, due_at=None, scheduled_for=NOW - timedelta(seconds=number + 1))
    assert firing.fire_due([cue.pk], now=NOW) == 0
    assert cue.ledger.get().verdict == "skipped_overlap"


def test_the_sweep_lets_go_what_nothing_is_in_the_way_of(cue: Cue) -> None:
    first, second = fire(cue, 2)
    Cue.objects.update(overlap="allow")
    end(first)
    assert held() == [False, True]
    assert recovery.release_held(NOW + timedelta(hours=1)) == 1
    assert held() == [False, False]
    second.refresh_from_db()
    assert [step.reason for step in second.steps.order_by("pk")][-1] == "the execution before it has ended"


def test_an_end_that_is_reported_for_a_held_one_ends_it(cue: Cue) -> None:
    _, second = fire(cue, 2)
    end(second)
    second.refresh_from_db()
    assert (second.status, second.is_held) == ("success", False)


def test_it_is_let_go_once(cue: Cue) -> None:
    _, second = fire(cue, 2)
    assert lifecycle.release(second, now=NOW)
    assert not lifecycle.release(second, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_an_end_and_a_window_at_once_never_leave_one_held_for_nothing() -> None:
    for round_ in range(10):
        cue = make.recurring(make.account(f"{round_}@example.org"), overlap="queue", transport="worker")
        before = make.execution(cue, scheduled_for=NOW - MINUTE)
        at_once([lambda cue=cue: firing.fire_due([cue.pk], now=NOW), lambda before=before: end(before)])
        firing.fire_due([cue.pk], now=NOW)  # skipped above when the other held its row
        assert not Execution.objects.filter(cue=cue, is_held=True).exists()
