"""Requests in flight: so many at a time, gathered together, and none lost when whoever waits leaves."""

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from cueapi.signing import Secrets
from executions.flight import Flight, Threads
from executions.transports.webhook import Delivery, Result
from tests.support.deadline import eventually
from tests.support.make import NOW, NOWHERE


def delivery() -> Delivery:
    return Delivery(
        execution_id=uuid4(),
        cue_id="cue_1",
        cue_name="digest",
        attempt=1,
        scheduled_for=NOW - timedelta(seconds=1),
        payload={},
        url=NOWHERE,
        method="POST",
        headers={},
        secrets=Secrets("whsec_1"),
        outcome_url="",
        heartbeat_url="",
        timeout_s=1.0,
        flatten=False,
        payload_names_execution=False,
        heeds_no_retry=True,
    )


class Sender:
    """Sends nothing, holds each until it is let go, and counts how many are under way at a time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, one: Delivery) -> Result:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go.wait(10)
        with self.lock:
            self.now -= 1
        return Result(one, NOW, 1, http_status=200)


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def late() -> list[Result]:
    return []


@pytest.fixture
def flight(sender: Sender, late: list[Result]) -> Flight:
    return Flight(Threads("test", 8), sender, late.append)


def test_no_more_than_so_many_are_under_way_and_all_land(flight: Flight, sender: Sender) -> None:
    flight.add([delivery() for _ in range(9)], senders=3)
    eventually(lambda: sender.now == 3, what="three under way")
    sender.go.set()
    assert len(flight.wait(10)) == 9
    assert (flight.count, sender.most) == (0, 3)


def test_nothing_landed_in_time_is_nothing(flight: Flight, sender: Sender) -> None:
    flight.add([delivery()], senders=1)
    assert flight.wait(0.01) == []
    sender.go.set()
    assert len(flight.wait(10)) == 1


def test_whoever_leaves_is_told_what_was_not_sent_and_the_rest_comes_late(
    flight: Flight, sender: Sender, late: list[Result]
) -> None:
    sent, unsent = delivery(), delivery()
    flight.add([sent, unsent], senders=1)
    eventually(lambda: sender.now == 1, what="the first under way")
    assert flight.leave() == ([unsent], [])
    assert flight.still_flying() == [sent]
    sender.go.set()
    eventually(lambda: late, what="the late result")
    assert [result.delivery for result in late] == [sent]


def test_threads_are_started_as_needed_and_outlive_a_job_that_crashes(caplog: pytest.LogCaptureFixture) -> None:
    def crash() -> Any:
        raise RuntimeError("boom")

    threads, done = Threads("fragile", 1), threading.Event()
    threads.run(crash)
    threads.run(done.set)
    assert done.wait(10)
    assert threads.wait(10)
    assert [record.message for record in caplog.records] == ["thread.job_crashed"]
    assert sum(thread.name == "fragile-1" for thread in threading.enumerate()) == 1
