"""A receiver fails with a thousand executions waiting for it, comes back, and is not run over.

Three visitors stand for three worker processes; requests and database are real.
"""

import threading
import time
from datetime import datetime, timedelta
from functools import partial

import pytest

from cueapi.conf import conf
from cues.models import Cue
from executions import delivery
from executions.lanes import Lane
from executions.models import Destination, Execution
from executions.states import BreakerState, Status
from executions.visits import Visits
from tests.support import make
from tests.support.deadline import eventually
from tests.support.make import NOW
from tests.support.receiver import Answer, Received, Receiver
from tests.support.together import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

WAITING = 1000
LATER = NOW + timedelta(minutes=10)  # when the probe, and every retry, is due
ANSWER_AFTER_S = 0.03  # more than a fast receiver, so that the cap is used to the full


class Crowd:
    """Answers after a moment, and counts how many requests it has at a time."""

    def __init__(self) -> None:
        self.present, self.most = 0, 0
        self.when_each_came: list[int] = []
        self._lock = threading.Lock()

    def answer(self, received: Received) -> Answer:
        with self._lock:
            self.present += 1
            self.most = max(self.most, self.present)
            self.when_each_came.append(self.present)
        time.sleep(ANSWER_AFTER_S)
        with self._lock:
            self.present -= 1
        return Answer()


@pytest.fixture
def cue(receiver: Receiver) -> Cue:
    return make.cue(make.account(), callback_url=receiver.url, next_run=None, backoff_minutes=[1])


@pytest.fixture
def processes() -> list[Visits]:
    return [Visits() for _ in range(3)]


def visit(cue: Cue, processes: list[Visits], *, now: datetime) -> None:
    """Each of them looks at the lane, all at once."""
    lane = Lane(cue.account_id, cue.lane)
    visits = [partial(delivery.drain, lane, tick=lambda: now, visits=visits) for visits in processes]
    assert at_once(visits) == [None] * len(processes)


def state() -> str:
    return Destination.objects.get().state


def test_a_breaker_opens_probes_singly_closes_and_drains_a_thousand_within_the_cap(
    cue: Cue, receiver: Receiver, processes: list[Visits], monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = [make.execution(cue, due_at=NOW) for _ in range(WAITING)]

    receiver.default = Answer(503)
    visit(cue, processes, now=NOW)
    assert state() == BreakerState.OPEN
    spent = len(receiver.received)
    assert conf().breaker_failures <= spent < conf().breaker_failures + conf().lane_concurrency

    visit(cue, processes, now=NOW + timedelta(seconds=1))
    assert len(receiver.received) == spent  # nobody asks before the probe is due

    hold = threading.Event()
    receiver.default = Answer(200, wait=hold)
    with monkeypatch.context() as impatient:
        impatient.setattr(delivery, "PATIENCE_S", 0.2)
        visit(cue, processes, now=LATER)
    assert (state(), len(receiver.received)) == (BreakerState.HALF_OPEN, spent + 1)

    crowd = Crowd()
    receiver.default = crowd.answer
    hold.set()
    eventually(lambda: state() == BreakerState.CLOSED, what="the breaker closing")

    def all_delivered() -> bool:
        visit(cue, processes, now=LATER)
        return Execution.objects.filter(status=Status.SUCCESS).count() == WAITING

    eventually(all_delivered, within_s=60, what="the backlog being drained")
    assert crowd.most == conf().lane_concurrency
    assert max(crowd.when_each_came[:5]) < conf().lane_concurrency  # few at first
    assert {received.json["execution_id"] for received in receiver.received} == {str(e.pk) for e in executions}
    assert len(receiver.received) == WAITING + spent  # each of those that failed came once more, and no other
