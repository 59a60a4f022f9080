"""What the database itself keeps true about cues."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django_celery_beat.models import PeriodicTask

from cues.models import Cue
from tests.support import make
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def refused(cue: Cue, **columns: object) -> bool:
    try:
        with transaction.atomic():
            Cue.objects.filter(pk=cue.pk).update(**columns)
    except IntegrityError:
        return True
    return False


def test_a_name_is_taken_once_in_an_account_but_not_by_lenient_cues() -> None:
    owner = make.account()
    make.cue(owner, name="a")
    for _ in range(2):
        make.cue(owner, name="a", is_lenient=True)
    make.cue(make.account("bob@example.org"), name="a")
    with pytest.raises(IntegrityError), transaction.atomic():
        make.cue(owner, name="a")


def test_only_an_active_cue_has_a_next_run_and_only_known_statuses_exist() -> None:
    cue = make.cue(make.account())
    for status in ("paused", "completed", "failed"):
        assert refused(cue, status=status, next_run=NOW)
        assert not refused(cue, status=status, next_run=None)
    assert refused(cue, status="resting", next_run=None)


def test_due_needs_an_active_cue_its_time_and_a_task_that_is_on() -> None:
    owner = make.account()
    once, recurring = make.cue(owner), make.recurring(owner)
    make.cue(owner, next_run=NOW + timedelta(seconds=1))
    make.cue(owner, status="paused", next_run=None)
    switched_off = make.recurring(owner)
    PeriodicTask.objects.filter(name=switched_off.pk).update(enabled=False)
    assert set(Cue.objects.due(NOW)) == {once, recurring}


def test_a_cue_with_a_periodic_task_protects_it() -> None:
    cue = make.recurring(make.account())
    with pytest.raises(ProtectedError):
        PeriodicTask.objects.get(name=cue.pk).delete()


def test_headers_are_sealed_at_rest() -> None:
    cue = make.cue(make.account(), callback_headers={"Authorization": "Bearer hidden"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT callback_headers FROM cues_cue")
        assert "hidden" not in cursor.fetchone()[0]
    assert Cue.objects.get(pk=cue.pk).callback_headers == {"Authorization": "Bearer hidden"}


def test_a_one_shot_has_fired_only_for_its_present_time() -> None:
    assert Cue(schedule_type="once", at=NOW, last_slot=NOW).has_fired
    assert not Cue(schedule_type="once", at=NOW).has_fired
    assert not Cue(schedule_type="once", at=NOW + timedelta(hours=1), last_slot=NOW).has_fired
    assert not Cue(schedule_type="recurring", at=None, last_slot=NOW).has_fired


def test_deleting_a_target_of_a_chain_leaves_the_cue() -> None:
    owner = make.account()
    target = make.cue(owner)
    cue = make.cue(owner, on_success_fire=target)
    target.delete()
    cue.refresh_from_db()
    assert cue.on_success_fire is None
