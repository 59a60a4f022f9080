"""A cue's own rate: what is over it waits at no cost to others, and none starts too many."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cueapi import clock
from cues import services
from cues.models import Cue
from executions import delivery, due, pacing, recording, recovery
from executions.lanes import Lane
from executions.models import CuePace, Destination, Execution
from executions.states import Status
from executions.transports.webhook import Delivery, Result
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW
from tests.support.together import at_once
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
EVERY = timedelta(seconds=61) / 6  # of a cue that may start six a minute


@pytest.fixture
def slow() -> Cue:
    return make.cue(make.account(), next_run=None, rate_per_minute=6)


@pytest.fixture
def other(slow: Cue) -> Cue:
    """Of the same destination, at any rate."""
    return make.cue(slow.account, next_run=None)


def take(cue: Cue, now: datetime = NOW) -> Sequence[Delivery]:
    return delivery.take(Lane(cue.account_id, cue.lane), now=now).deliveries


def taken(cue: Cue, now: datetime = NOW) -> int:
    return len(take(cue, now))


def flood(cue: Cue, count: int, **columns) -> None:
    one = make.execution(cue, **columns)
    fields = {
        field.attname: getattr(one, field.attname) for field in Execution._meta.concrete_fields if field.name != "id"
    }
    Execution.objects.bulk_create([Execution(**fields) for _ in range(count - 1)])


def times(cue: Cue) -> list[datetime]:
    """When those that wait are to start, as they are told."""
    waits = Execution.objects.filter(cue=cue, status__in=[Status.PENDING, Status.RETRYING, Status.RETRY_READY])
    return list(waits.order_by("due_at").values_list("due_at", flat=True))


def end(cue: Cue, *, status: int, now: datetime = NOW) -> None:
    """Every attempt of the cue that is under way ends like this."""
    flying = Execution.objects.filter(cue=cue, status=Status.DELIVERING).select_related("cue", "account")
    stage = "" if status == 200 else "status"
    recording.record([Result(due.under_way(e, now=now), now, 7, status, stage) for e in flying], now=now)


# --- The rate ---------------------------------------------------------------------------------------------------


def test_attempts_start_evenly_and_what_waits_spends_none(slow: Cue) -> None:
    flood(slow, 4)
    at = [0, 1, 10, 10.17, 11, 20.4, 30.6]
    assert [taken(slow, NOW + wait * SECOND) for wait in at] == [1, 0, 0, 1, 0, 1, 1]
    assert set(Execution.objects.values_list("attempts", flat=True)) == {1}


def test_each_that_waits_has_a_time_of_its_own(slow: Cue) -> None:
    flood(slow, 4)
    take(slow)
    assert times(slow) == [NOW + place * EVERY + clock.SKEW for place in (1, 2, 3)]
    assert set(Execution.objects.filter(status=Status.PENDING).values_list("attempts", flat=True)) == {0}


def test_new_ones_wait_behind_those_that_wait_already(slow: Cue) -> None:
    flood(slow, 3)
    take(slow)
    late = make.execution(slow, due_at=NOW + SECOND)
    assert taken(slow, NOW + 2 * SECOND) == 0
    late.refresh_from_db()
    assert late.due_at == NOW + 3 * EVERY + clock.SKEW


def test_one_that_missed_its_time_goes_before_those_that_came_later(slow: Cue) -> None:
    flood(slow, 3)
    take(slow)
    first = Execution.objects.filter(status=Status.PENDING).order_by("due_at")[0]
    Destination.objects.update(state="open", probe_at=None)
    assert taken(slow, NOW + 15 * SECOND) == 0
    Destination.objects.update(state="closed")
    (went,) = take(slow, NOW + 25 * SECOND)  # two are late now: one goes, the other has the next time there is
    assert went.execution_id == first.pk
    (at,) = times(slow)
    assert at == NOW + 25 * SECOND + EVERY + clock.SKEW


def test_retries_count_too(slow: Cue) -> None:
    make.execution(slow)
    make.execution(slow, status=Status.RETRYING, attempts=1)
    assert taken(slow) == 1
    assert taken(slow, NOW + 9 * SECOND) == 0
    assert taken(slow, NOW + 11 * SECOND) == 1


def test_an_outcome_does_not_give_its_place_back(slow: Cue) -> None:
    flood(slow, 2)
    take(slow)
    end(slow, status=200)
    assert taken(slow, NOW + SECOND) == 0


def test_over_any_minute_no_more_start_than_the_rate_says() -> None:
    cue = make.cue(make.account(), next_run=None, rate_per_minute=90)
    flood(cue, 200)
    starts = []
    for tick in range(520):
        now = NOW + tick * SECOND / 4
        starts += [now] * taken(cue, now)
        Execution.objects.filter(status=Status.DELIVERING).update(status=Status.SUCCESS, due_at=None, closed_at=now)
    assert max(sum(since <= at < since + MINUTE for at in starts) for since in starts) <= 90
    assert len(starts) > 180


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_start_no_more_than_one_would(slow: Cue) -> None:
    flood(slow, 6)
    assert sorted(at_once([partial(taken, slow)] * 4)) == [0, 0, 0, 1]
    assert times(slow) == [NOW + place * EVERY + clock.SKEW for place in range(1, 6)]


@pytest.mark.django_db(transaction=True)
def test_nor_do_they_while_the_cue_moves_from_one_destination_to_another(slow: Cue) -> None:
    lanes = [Lane(slow.account_id, f"http://{name}.example") for name in "abc"]
    for lane in lanes:
        flood(slow, 12, lane=lane.origin)
    started = []
    for minute in range(8):
        now = NOW + minute * MINUTE
        Execution.objects.filter(status=Status.PENDING).update(due_at=now)
        claims = at_once([partial(delivery.take, lane, now=now) for lane in lanes])
        started.append(sum(len(claim.deliveries) for claim in claims))
    assert started == [1] * 8


# --- Others of the same destination -----------------------------------------------------------------------------


def test_ten_thousand_that_wait_hold_up_nobody(slow: Cue, other: Cue) -> None:
    flood(slow, 10_000)
    one = make.execution(other, due_at=NOW + SECOND)
    again = make.execution(other, status=Status.RETRYING, attempts=1, due_at=NOW + SECOND)
    got = {sent.execution_id for sent in take(slow, NOW + SECOND)}
    assert {one.pk, again.pk} < got
    assert len(got) == 3
    assert times(slow)[-1] == NOW + SECOND + 9_999 * EVERY + clock.SKEW


def test_once_they_are_put_off_a_claim_reads_none_of_them(slow: Cue, other: Cue) -> None:
    flood(slow, 300)
    take(slow)
    make.execution(other)
    before = Execution.objects.filter(cue=slow).order_by("pk").values_list("pk", "updated_at")
    untouched = list(before)
    with CaptureQueriesContext(connection) as queries:
        assert taken(other, NOW + SECOND) == 1
    assert list(before) == untouched
    assert not [q for q in queries.captured_queries if "cuepace" in q["sql"]]


def test_a_flood_too_large_for_one_transaction_is_put_off_by_the_next(
    slow: Cue, other: Cue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "SCANNED_MAX", 20)
    monkeypatch.setattr(pacing, "ROUNDS_MAX", 2)
    flood(slow, 60)
    make.execution(other, due_at=NOW + SECOND)
    lane = Lane(slow.account_id, slow.lane)
    claim = delivery.take(lane, now=NOW + SECOND)
    assert claim.room.look_at == NOW + SECOND
    assert len(claim.deliveries) == 1
    assert taken(slow, NOW + SECOND) == 1  # the other's


def test_each_cue_has_a_rate_of_its_own(slow: Cue) -> None:
    second = make.cue(slow.account, next_run=None, rate_per_minute=600)
    flood(slow, 5)
    flood(second, 5)
    assert taken(slow) == 6


# --- Waking up --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_lane_is_told_when_the_next_may_start(slow: Cue, worker: Worker) -> None:
    flood(slow, 3)
    take(slow)
    assert [kwargs["origin"] for _, kwargs in worker.waiting()] == [slow.lane]


def test_a_sweep_names_the_next_of_each_lane_and_leaves_room_for_others(slow: Cue, other: Cue) -> None:
    flood(slow, 30, due_at=NOW + SECOND, paced_at=NOW + SECOND)
    make.execution(other, due_at=NOW + 2 * SECOND)
    assert recovery.nudge_at_their_time(NOW) == 2


# --- Changes ----------------------------------------------------------------------------------------------------


def patch(cue: Cue, rate: int | None) -> None:
    services.update(cue.account, cue.pk, {"delivery": {"rate_per_minute": rate}}, now=clock.now())


@pytest.mark.django_db(transaction=True)
def test_a_new_rate_holds_for_what_waits_already(slow: Cue) -> None:
    flood(slow, 4)
    take(slow)
    patch(slow, 60)
    assert set(times(slow)) == {NOW}
    assert taken(slow) == 1
    assert times(slow)[0] == NOW + timedelta(seconds=61) / 60 + clock.SKEW


@pytest.mark.django_db(transaction=True)
def test_without_its_rate_all_that_waits_goes_at_once(slow: Cue) -> None:
    flood(slow, 4)
    take(slow)
    patch(slow, None)
    assert not CuePace.objects.exists()
    assert taken(slow) == 3


@pytest.mark.django_db(transaction=True)
def test_a_change_of_something_else_leaves_those_that_wait_at_their_times(slow: Cue) -> None:
    flood(slow, 4)
    take(slow)
    before = times(slow)
    services.update(slow.account, slow.pk, {"description": "new"}, now=clock.now())
    assert times(slow) == before


def test_a_rate_that_changed_unseen_is_taken_up_by_the_next_claim(slow: Cue) -> None:
    flood(slow, 4)
    take(slow)
    Cue.objects.filter(pk=slow.pk).update(rate_per_minute=600)
    make.execution(slow, due_at=NOW + SECOND)
    assert [taken(slow, NOW + SECOND), taken(slow, NOW + SECOND)] == [1, 3]


@pytest.mark.django_db(transaction=True)
def test_a_cue_with_a_pace_can_be_deleted(slow: Cue) -> None:
    flood(slow, 2)
    take(slow)
    assert services.delete(slow, now=NOW)
    assert not CuePace.objects.exists()


# --- What is told -----------------------------------------------------------------------------------------------


def test_an_execution_tells_that_it_waits_for_the_rate_and_until_when(api: Api) -> None:
    cue = make.cue(api.account, next_run=None, rate_per_minute=6)
    flood(cue, 2)
    take(cue)
    waiting = Execution.objects.get(status=Status.PENDING)
    assert api.get(f"/v1/executions/{waiting.pk}").json()["waits_for"] == {
        "destination": cue.lane,
        "state": "closed",
        "reason": "Its cue may start 6 attempts a minute (delivery.rate_per_minute), and others come first.",
        "next_probe_at": None,
        "rate_per_minute": 6,
        "until": clock.rfc3339(waiting.due_at),
    }
    going = Execution.objects.get(status=Status.DELIVERING)
    assert api.get(f"/v1/executions/{going.pk}").json()["waits_for"] is None


def test_a_retry_that_waits_for_its_own_time_does_not_wait_for_the_rate(api: Api) -> None:
    cue = make.cue(api.account, next_run=None, rate_per_minute=6)
    flood(cue, 2)
    take(cue)
    assert taken(cue, NOW + EVERY) == 1
    end(cue, status=500, now=NOW + EVERY)
    for run in Execution.objects.filter(status=Status.RETRYING):
        assert api.get(f"/v1/executions/{run.pk}").json()["waits_for"] is None
