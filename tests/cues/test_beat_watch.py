"""The scheduler's watch: what is due is announced at its instant, once, in batches, and at a constant cost."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from cues import beat
from cues.beat import Watch
from cues.models import Cue
from executions import firing
from tests.support import make
from tests.support.broker import broker_down
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND = timedelta(seconds=1)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Celery was asked to send."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "celery.app.base.Celery.send_task", lambda self, name, **options: messages.append({"name": name, **options})
    )
    return messages


@pytest.fixture
def owner() -> Any:
    return make.account()


def announced(sent: list[dict[str, Any]]) -> list[str]:
    return [cue_id for message in sent for cue_id in message["kwargs"]["cue_ids"]]


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_only_what_is_due_is_announced(owner, sent) -> None:
    due, recurring = make.cue(owner), make.recurring(owner)
    make.cue(owner, next_run=at(60))
    make.cue(owner, status="paused", next_run=None)
    Watch().tick(NOW)
    assert set(announced(sent)) == {due.pk, recurring.pk}
    (message,) = sent
    assert (message["name"], message["queue"], message["expires"]) == ("executions.fire_due", "fire", 30)


def test_a_cue_is_announced_at_its_instant_and_not_before(owner, sent) -> None:
    make.cue(owner, next_run=at(0.3))
    watch = Watch()
    assert watch.tick(NOW) == pytest.approx(0.3)  # it wakes for the cue
    assert sent == []
    assert watch.tick(at(0.29)) == pytest.approx(0.01)
    assert sent == []
    watch.tick(at(0.3))
    assert len(announced(sent)) == 1


def test_with_nothing_to_do_it_sleeps_until_the_next_read(sent) -> None:
    watch = Watch()
    assert watch.tick(NOW) == pytest.approx(0.5)
    assert watch.tick(at(0.2)) == pytest.approx(0.3)
    assert watch.tick(at(7)) == pytest.approx(0.5)
    assert sent == []


def test_a_cue_made_meanwhile_is_seen_at_the_next_read(owner, sent) -> None:
    watch = Watch()
    watch.tick(NOW)
    cue = make.cue(owner, next_run=at(0.1))
    watch.tick(at(0.4))
    assert sent == []
    watch.tick(at(0.5))
    assert announced(sent) == [cue.pk]


def test_one_slot_is_announced_once_and_again_after_thirty_seconds(owner, sent) -> None:
    make.cue(owner)
    watch = Watch()
    for seconds in range(30):
        watch.tick(at(seconds))
    assert len(sent) == 1
    watch.tick(at(30))
    assert len(sent) == 2
    watch.tick(at(31))
    assert len(sent) == 2


def test_the_next_slot_of_a_cue_is_its_own(owner, sent) -> None:
    cue = make.recurring(owner, "* * * * *")
    watch = Watch()
    watch.tick(NOW)
    firing.fire_due([cue.pk], now=NOW)
    watch.tick(at(59))
    watch.tick(at(60))
    assert announced(sent).count(cue.pk) == 2


def test_a_cue_that_was_paused_or_moved_is_forgotten(owner, sent) -> None:
    paused, moved = make.cue(owner, next_run=at(1)), make.cue(owner, next_run=at(1))
    watch = Watch()
    watch.tick(NOW)
    Cue.objects.filter(pk=paused.pk).update(status="paused", next_run=None)
    Cue.objects.filter(pk=moved.pk).update(next_run=at(90))
    watch.tick(at(0.9))
    watch.tick(at(1.2))
    assert sent == []


def test_a_message_names_many_cues(owner, sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "CUES_PER_MESSAGE", 100)
    for _ in range(230):
        make.cue(owner)
    Watch().tick(NOW)
    assert [len(message["kwargs"]["cue_ids"]) for message in sent] == [100, 100, 30]
    assert len(set(announced(sent))) == 230


def test_the_earliest_go_first(owner, sent) -> None:
    late, early = make.cue(owner, next_run=NOW), make.cue(owner, next_run=at(-50))
    Watch().tick(NOW)
    assert announced(sent) == [early.pk, late.pk]


def test_an_operators_queue_and_priority_are_honoured(owner, sent) -> None:
    vip, plain = make.recurring(owner), make.recurring(owner)
    PeriodicTask.objects.filter(name=vip.pk).update(queue="vip", priority=7)
    Watch().tick(NOW)
    options = {message["kwargs"]["cue_ids"][0]: (message["queue"], message["priority"]) for message in sent}
    assert options == {vip.pk: ("vip", 7), plain.pk: ("fire", None)}


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_down_is_asked_again_at_the_next_read(owner, worker) -> None:
    make.cue(owner)
    watch = Watch()
    with broker_down():
        watch.tick(NOW)
    assert watch.announced == {}
    watch.tick(at(0.5))
    assert list(watch.announced) == [(Cue.objects.get().pk, NOW)]
    assert worker.drop() == 1


def test_a_read_costs_the_same_however_many_cues_are_not_due(owner, sent) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            Watch().tick(NOW)
        return len(captured)

    before = queries()
    for _ in range(150):
        make.recurring(owner, next_run=at(3600))
    assert queries() == before == 1


def test_between_reads_nothing_is_asked(owner, sent, django_assert_num_queries) -> None:
    make.cue(owner, next_run=at(0.2))
    watch = Watch()
    watch.tick(NOW)
    with django_assert_num_queries(0):
        watch.tick(at(0.2))
    assert len(sent) == 1


def test_an_hour_of_silence_is_made_up_in_one_look(owner, sent) -> None:
    cues = {make.recurring(owner, next_run=at(-60 * n)).pk for n in range(50)}
    Watch().tick(NOW)
    assert set(announced(sent)) == cues


def test_what_was_announced_is_not_kept_for_ever(owner, sent) -> None:
    for _ in range(5):
        make.cue(owner)
    watch = Watch()
    watch.tick(NOW)
    assert len(watch.announced) == 5
    Cue.objects.update(next_run=None)
    watch.tick(NOW + beat.ANNOUNCE_AGAIN)
    assert watch.announced == {}


# --- What does not grow -----------------------------------------------------------------------------------------


def plan_of(query: Any) -> str:
    """How the database would run it, if its tables were large."""
    sql, values = query.query.sql_with_params()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {sql}", values)
        return str(cursor.fetchall())


def test_the_ordinary_tasks_are_read_by_an_index_that_leaves_the_cues_out(owner) -> None:
    make.recurring(owner)
    scheduler = beat.CueScheduler.__new__(beat.CueScheduler)
    assert "cues_ordinary_periodic_task" in plan_of(scheduler.enabled_models_qs().order_by())
    assert beat.FIRE_TASK not in scheduler.enabled_models_qs().values_list("task", flat=True)


def test_a_crontab_to_share_is_found_by_an_index(owner, django_assert_num_queries) -> None:
    make.recurring(owner)
    with CaptureQueriesContext(connection) as queries:
        make.recurring(owner)
    (look,) = [q["sql"] for q in queries if q["sql"].startswith("SELECT") and "crontabschedule" in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"{'EXPLAIN' if connection.vendor == 'postgresql' else 'EXPLAIN QUERY PLAN'} {look}")
        plan = str(cursor.fetchall())
    assert "cues_crontab_spec" in plan or connection.vendor == "postgresql"  # which reads a table of one row whole
    assert CrontabSchedule.objects.count() == 1


def test_what_is_due_is_read_by_its_index(owner) -> None:
    make.recurring(owner)
    assert "cue_due" in plan_of(Cue.objects.due(NOW).order_by("next_run").values_list("id")[:100])
