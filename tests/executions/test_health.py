"""`/health`: what waits, counted cheaply."""

from datetime import timedelta

import pytest

from executions import health
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db]


def test_each_counter_counts_its_own() -> None:
    owner = make.account()
    webhook, worker = make.cue(owner), make.cue(owner, transport="worker")
    late = NOW - timedelta(seconds=60)
    make.execution(webhook, due_at=late)
    make.execution(webhook, status=Status.RETRY_READY, due_at=late)
    make.execution(webhook)  # due for less than a minute: its message is on its way
    make.execution(webhook, status=Status.DELIVERING)
    make.execution(webhook, status=Status.DELIVERING, due_at=NOW + timedelta(seconds=1))
    make.execution(webhook, status=Status.RETRYING, due_at=NOW + timedelta(hours=1))
    make.execution(worker)
    make.execution(worker, due_at=NOW + timedelta(seconds=1))
    make.execution(webhook, status=Status.FAILED)
    assert health.counters(now=NOW) == {
        "pending_outbox": 2,
        "stale_executions": 1,
        "pending_retries": 1,
        "pending_worker_claims": 1,
    }


def test_counting_stops_at_a_bound(monkeypatch) -> None:
    monkeypatch.setattr(health, "COUNT_MAX", 3)
    cue = make.cue(make.account())
    for _ in range(5):
        make.execution(cue, status=Status.RETRYING)
    assert health.counters(now=NOW)["pending_retries"] == 3


def test_health_answers_without_a_key_and_counts(anyone: Api, api: Api) -> None:
    make.execution(make.cue(api.account), status=Status.RETRYING)
    answer = anyone.get("/health")
    assert answer.status_code == 200
    assert answer.json()["queue"]["pending_retries"] == 1
    assert answer.json()["services"]["poller"] == "unknown"  # no beat has ever run here
