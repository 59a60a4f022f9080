"""Saying that a lane has work: one message for all that is due now, none that holds more than the lane's name."""

from datetime import timedelta

import pytest

from cues import services
from executions import lanes
from executions.lanes import Lane
from executions.models import Execution
from executions.states import Status
from tests.support import make
from tests.support.broker import broker_down
from tests.support.make import NOW
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def lane() -> Lane:
    cue = make.cue(make.account())
    return Lane(cue.account_id, cue.lane)


def test_many_nudges_before_the_message_is_taken_up_are_one_message(lane: Lane, worker: Worker) -> None:
    other = Lane(lane.account_id, "http://other.example")
    for _ in range(3):
        lanes.nudge([lane, other], now=NOW)
    names = [(task, kwargs["origin"]) for task, kwargs in worker.waiting()]
    assert sorted(names) == [("executions.drain", lane.origin), ("executions.drain", other.origin)]


def test_once_it_is_taken_up_the_next_nudge_is_a_message(lane: Lane, worker: Worker) -> None:
    lanes.nudge([lane], now=NOW)
    lanes.taken_up(lane)
    lanes.nudge([lane], now=NOW)
    assert len(worker.waiting()) == 2


def test_retries_of_the_same_moment_are_one_message_and_others_have_their_own(lane: Lane, worker: Worker) -> None:
    for wait_s in (60.02, 60.08, 61.5):
        lanes.nudge([lane], at=NOW + timedelta(seconds=wait_s), now=NOW)
    lanes.nudge([lane], at=NOW + timedelta(seconds=lanes.COUNTDOWN_MAX_S + 1), now=NOW)  # the sweep's
    assert len(worker.waiting()) == 2


def test_what_the_broker_did_not_take_is_said_again(lane: Lane, worker: Worker) -> None:
    with broker_down():
        lanes.nudge([lane], now=NOW)
    lanes.nudge([lane], now=NOW)
    assert len(worker.waiting()) == 1


def test_a_message_names_a_lane_and_no_secret(lane: Lane, worker: Worker) -> None:
    lanes.nudge([lane], now=NOW)
    ((_, kwargs),) = worker.waiting()
    assert kwargs == {"account_id": str(lane.account_id), "origin": lane.origin}


def test_when_a_cues_url_changes_what_waits_goes_by_its_new_lane_at_once(worker: Worker) -> None:
    cue = make.cue(make.account())
    waits = [make.execution(cue), make.execution(cue, status=Status.RETRYING, attempts=1)]
    flies, ended = make.execution(cue, status=Status.DELIVERING), make.execution(cue, status=Status.SUCCESS)
    services.update(cue.account, cue.pk, {"callback": {"url": "http://127.0.0.1:10/new"}}, now=NOW)
    found = dict(Execution.objects.values_list("pk", "lane"))
    assert {found[one.pk] for one in waits} == {"http://127.0.0.1:10"}
    assert {found[one.pk] for one in (flies, ended)} == {cue.lane}
    told = [kwargs["origin"] for task, kwargs in worker.waiting() if task == lanes.DRAIN_TASK]
    assert told == ["http://127.0.0.1:10"]


def test_what_waits_is_this_lanes_that_is_due_the_longest_due_first() -> None:
    cue = make.cue(make.account())
    late, later = make.execution(cue, due_at=NOW - timedelta(minutes=1)), make.execution(cue)
    make.execution(cue, due_at=NOW + timedelta(minutes=1))
    make.execution(cue, status=Status.DELIVERING)
    make.execution(cue, lane="http://other.example")
    make.execution(make.cue(make.account("bob@example.org")))
    assert list(lanes.waiting(Lane.of(late), Status.PENDING, now=NOW)) == [late, later]
