"""What the database itself refuses, whatever the code does."""

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from executions.models import Attempt, Execution, Notification
from executions.states import FINAL, Status, Trigger
from tests.support import make
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def execution() -> Execution:
    return make.execution(make.cue(make.account()))


def refused(**columns: object) -> bool:
    try:
        with transaction.atomic():
            Execution.objects.update(**columns)
    except IntegrityError:
        return True
    return False


def test_a_slot_exists_once_for_the_schedule_and_often_by_hand() -> None:
    cue = make.cue(make.account())
    for _ in range(2):
        make.execution(cue, triggered_by=Trigger.MANUAL_FIRE)
    make.execution(cue, triggered_by=Trigger.SCHEDULED)
    with pytest.raises(IntegrityError), transaction.atomic():
        make.execution(cue, triggered_by=Trigger.SCHEDULED)
    make.execution(cue, triggered_by=Trigger.SCHEDULED, scheduled_for=NOW + timedelta(minutes=1))


@pytest.mark.usefixtures("execution")
def test_an_unknown_status_is_refused() -> None:
    assert refused(status="resting")


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.usefixtures("execution")
def test_an_open_execution_is_due_some_time_and_a_final_one_never(status: str) -> None:
    final = status in FINAL
    assert refused(status=status, due_at=NOW, closed_at=None) == final
    assert refused(status=status, due_at=None, closed_at=NOW) != final
    assert refused(status=status, due_at=NOW, closed_at=NOW)
    assert refused(status=status, due_at=None, closed_at=None)


def test_an_attempt_number_exists_once(execution: Execution) -> None:
    Attempt.objects.create(execution=execution, number=1, started_at=NOW, duration_ms=1, url="x")
    with pytest.raises(IntegrityError), transaction.atomic():
        Attempt.objects.create(execution=execution, number=1, started_at=NOW, duration_ms=1, url="x")


def test_a_notification_of_a_kind_exists_once(execution: Execution) -> None:
    Notification.objects.create(execution=execution, account_id=execution.account_id, kind="email")
    with pytest.raises(IntegrityError), transaction.atomic():
        Notification.objects.create(execution=execution, account_id=execution.account_id, kind="email")


def test_due_finds_the_longest_waiting_first_and_nothing_early(execution: Execution) -> None:
    older = make.execution(execution.cue, due_at=NOW - timedelta(hours=1))
    make.execution(execution.cue, due_at=NOW + timedelta(seconds=1))
    make.execution(execution.cue, status=Status.DELIVERING)
    assert list(Execution.objects.due(Status.PENDING, now=NOW)) == [older, execution]


def test_an_account_sees_its_own_executions_only(execution: Execution) -> None:
    assert Execution.objects.of(execution.account).get() == execution
    assert not Execution.objects.of(make.account("mallory@example.org")).exists()


def test_only_an_explicit_report_counts_as_reported() -> None:
    assert Execution(outcome_success=True).reported is True
    assert Execution(outcome_success=True, outcome_is_provisional=True).reported is None
    assert Execution().reported is None


def test_a_replay_outlives_the_original(execution: Execution) -> None:
    replay = make.execution(execution.cue, triggered_by=Trigger.REPLAY, replayed_from=execution)
    execution.delete()
    replay.refresh_from_db()
    assert replay.replayed_from is None
    assert str(replay) == str(uuid.UUID(str(replay.pk)))
