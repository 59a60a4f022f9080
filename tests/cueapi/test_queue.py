"""Handing work over: once the transaction commits, and never at the expense of the caller when the broker is down."""

import logging
import time
from pathlib import Path

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.db import transaction

from cueapi.embedded import broker_redis_url
from cueapi.queue import enqueue, publish
from tests.support.api import Api
from tests.support.broker import broker_down
from tests.support.deadline import eventually
from tests.support.processes import Installation
from tests.support.worker import Worker

pytestmark = pytest.mark.django_db(transaction=True)

QUICK_S = 3.0
NOTICE = {"notice": "key_replaced", "account_id": "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11", "at": "2031-05-04T09:00:00Z"}


def test_work_is_queued_when_the_transaction_commits(worker: Worker) -> None:
    with transaction.atomic():
        enqueue("cueapi.send_notice", queue="default", **NOTICE)
        assert worker.run() == []
    assert worker.run() == ["cueapi.send_notice"]


def test_work_of_a_transaction_that_fails_is_never_queued(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        enqueue("cueapi.send_notice", queue="default", **NOTICE)
        _ = 1 / 0
    assert worker.run() == []


def test_without_a_transaction_work_is_queued_at_once(worker: Worker) -> None:
    enqueue("cueapi.send_notice", queue="default", **NOTICE)
    assert worker.run() == ["cueapi.send_notice"]


def test_work_with_a_countdown_waits(worker: Worker) -> None:
    assert publish("cueapi.send_notice", queue="retries", kwargs=NOTICE, countdown_s=3600)
    assert worker.run() == []


def test_a_broker_that_is_down_costs_a_log_line_and_no_time(caplog: pytest.LogCaptureFixture) -> None:
    started_s = time.monotonic()
    with broker_down():
        assert publish("cueapi.send_notice", queue="default", kwargs=NOTICE) is False
    assert time.monotonic() - started_s < QUICK_S
    (record,) = [record for record in caplog.records if record.getMessage() == "queue.publish_failed"]
    assert (record.levelno, record.__dict__["task"]) == (logging.WARNING, "cueapi.send_notice")


def test_a_cue_is_created_while_the_broker_is_down(api: Api) -> None:
    started_s = time.monotonic()
    with broker_down():
        answer = api.post(
            "/v1/cues",
            {"name": "now", "schedule": {"type": "one-time"}, "callback": {"url": "https://hooks.example.org/"}},
        )
        fired = api.post(f"/v1/cues/{answer.json()['id']}/fire")
    assert (answer.status_code, fired.status_code) == (201, 200)
    assert time.monotonic() - started_s < QUICK_S


def test_a_broker_that_came_back_takes_work_again(worker: Worker) -> None:
    with broker_down():
        assert not publish("cueapi.send_notice", queue="default", kwargs=NOTICE)
    assert publish("cueapi.send_notice", queue="default", kwargs=NOTICE)
    assert worker.run() == ["cueapi.send_notice"]


def test_publishers_give_up_at_once_and_workers_never() -> None:
    assert settings.CELERY_BROKER_TRANSPORT_OPTIONS["max_retries"] == 0
    assert current_app.conf.broker_connection_max_retries is None
    assert current_app.conf.broker_connection_retry_on_startup


@pytest.mark.processes
def test_a_worker_looks_for_its_broker_until_it_is_back() -> None:
    with Installation() as installation:
        installation.start("broker")
        installation.start("worker")
        installation.kill("broker")
        eventually(lambda: "Cannot connect" in installation.log("worker"), within_s=30, what="a try in vain")
        installation.start("broker")
        eventually(lambda: is_listened_to(installation.var_dir), within_s=30, what="the worker's return")
        assert installation.is_running("worker")


def is_listened_to(var_dir: Path) -> bool:
    """Whether somebody waits in the blocking read of a queue."""
    with redis.Redis.from_url(broker_redis_url(var_dir)) as client:
        return any(one["cmd"] == "brpop" for one in client.client_list())
