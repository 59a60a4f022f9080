"""Guarded steps: each moves a row once, from where it was read, and leaves a Step behind."""

from datetime import timedelta

import pytest

from executions import lifecycle
from executions.models import Execution, Step
from executions.states import Status, Trigger
from tests.support import make
from tests.support.make import NOW
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def history(execution: Execution) -> list[tuple[str, str]]:
    return list(execution.steps.order_by("pk").values_list("before", "after"))


def unborn(cue, slot=NOW) -> Execution:
    return Execution(
        account_id=cue.account_id,
        cue=cue,
        transport=cue.transport,
        triggered_by=Trigger.SCHEDULED,
        scheduled_for=slot,
        due_at=slot,
        created_at=NOW,
        updated_at=NOW,
    )


def test_a_birth_leaves_its_first_step() -> None:
    execution = unborn(make.cue(make.account()))
    lifecycle.born([execution], reason="its time came")
    step = execution.steps.get()
    assert (step.before, step.after, step.reason, step.at) == ("", "pending", "its time came", NOW)


def test_a_slot_that_exists_already_is_not_born_again() -> None:
    cue = make.cue(make.account())
    first, twin, other = unborn(cue), unborn(cue), unborn(cue, NOW + timedelta(minutes=1))
    lifecycle.born([first], reason="first")
    lifecycle.born([twin, other], reason="second")
    assert set(Execution.objects.values_list("pk", flat=True)) == {first.pk, other.pk}
    assert set(Step.objects.values_list("execution", flat=True)) == {first.pk, other.pk}


def test_a_move_changes_the_row_the_object_and_the_history() -> None:
    execution = make.execution(make.cue(make.account()))
    assert lifecycle.move(execution, Status.MISSED, reason="nobody came", now=NOW, error_message="nobody")
    stored = Execution.objects.get(pk=execution.pk)
    for row in (execution, stored):
        assert (row.status, row.due_at, row.closed_at) == ("missed", None, NOW)
        assert row.error_message == "nobody"
    assert history(execution) == [("pending", "missed")]


def test_a_move_that_the_life_does_not_have_is_a_bug_and_changes_nothing() -> None:
    execution = make.execution(make.cue(make.account()), status=Status.SUCCESS)
    with pytest.raises(lifecycle.IllegalStep, match="success → failed"):
        lifecycle.move(execution, Status.FAILED, reason="again", now=NOW)
    assert not execution.steps.exists()


def test_an_actor_that_read_an_older_status_changes_nothing() -> None:
    execution = make.execution(make.cue(make.account()), status=Status.DELIVERING, attempts=1)
    late = Execution.objects.get(pk=execution.pk)
    assert lifecycle.move(execution, Status.SUCCESS, reason="delivered", now=NOW)
    assert not lifecycle.move(late, Status.FAILED, reason="late", now=NOW + timedelta(minutes=5))
    assert Execution.objects.get(pk=execution.pk).status == Status.SUCCESS
    assert history(execution) == [("delivering", "success")]


def test_an_actor_of_an_older_attempt_changes_nothing() -> None:
    late = make.execution(make.cue(make.account()), status=Status.DELIVERING, attempts=1)
    Execution.objects.filter(pk=late.pk).update(attempts=2)
    assert not lifecycle.move(late, Status.RETRYING, reason="late", now=NOW, due_at=NOW)
    assert Execution.objects.get(pk=late.pk).status == Status.DELIVERING


def test_attempts_start_together_and_the_first_start_is_kept() -> None:
    cue = make.cue(make.account())
    fresh = make.execution(cue)
    again = make.execution(cue, status=Status.RETRY_READY, attempts=1, started_at=NOW - timedelta(minutes=1))
    lifecycle.start_attempts([fresh, again], due_at=NOW + timedelta(minutes=6), now=NOW)
    fresh, again = (Execution.objects.get(pk=e.pk) for e in (fresh, again))
    assert [(e.status, e.attempts, e.last_attempt_at) for e in (fresh, again)] == [
        ("delivering", 1, NOW),
        ("delivering", 2, NOW),
    ]
    assert (fresh.started_at, again.started_at) == (NOW, NOW - timedelta(minutes=1))
    assert history(again) == [("retry_ready", "delivering")]


def test_no_attempt_starts_on_a_final_execution() -> None:
    with pytest.raises(lifecycle.IllegalStep):
        lifecycle.start_attempts([make.execution(make.cue(make.account()), status=Status.FAILED)], due_at=NOW, now=NOW)


def test_lock_gives_only_rows_in_the_states_asked_for() -> None:
    cue = make.cue(make.account())
    waiting, ended = make.execution(cue), make.execution(cue, status=Status.SUCCESS)
    assert lifecycle.lock([waiting.pk, ended.pk], statuses=[Status.PENDING]) == [waiting]


@pytest.mark.django_db(transaction=True)
def test_of_many_that_move_one_execution_at_once_exactly_one_does() -> None:
    execution = make.execution(make.cue(make.account()), status=Status.DELIVERING, attempts=1)
    rows = [Execution.objects.get(pk=execution.pk) for _ in range(8)]
    moved = at_once([lambda row=row: lifecycle.move(row, Status.SUCCESS, reason="delivered", now=NOW) for row in rows])
    assert sorted(moved) == [False] * 7 + [True]
    assert history(execution) == [("delivering", "success")]
