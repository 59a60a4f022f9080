"""Waiting for work over real HTTP, with the real web server and broker."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import requests

from cueapi import wakeups
from cueapi.embedded import broker_redis_url
from tests.support.deadline import eventually
from tests.support.processes import Installation

pytestmark = pytest.mark.processes

CUE = {"name": "pull", "transport": "worker", "schedule": {"cron": "0 0 1 1 *"}, "payload": {"task": "digest"}}


@pytest.fixture(scope="module")
def server() -> Iterator[Installation]:
    with Installation({"WEB_CONCURRENCY": "2", "LONG_POLL_WAITERS_MAX": "6"}) as it:
        it.start("broker")
        it.start("web")
        yield it


def call(it: Installation, method: str, path: str, body: Any = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {it.api_key}"}
    return requests.request(method, f"{it.base_url}/v1/{path}", json=body, headers=headers, timeout=60)


def wait_for_listeners(it: Installation) -> None:
    """Until a web process listens for announcements, which it does from its first waiter on."""
    with redis.Redis.from_url(broker_redis_url(it.var_dir)) as store:
        eventually(lambda: dict(store.pubsub_numsub(wakeups.CHANNEL))[wakeups.CHANNEL.encode()])


class Waiter(threading.Thread):
    """One `claim` that waits; when it was answered, and what."""

    def __init__(self, it: Installation, name: str, wait: float) -> None:
        super().__init__()
        self._ask = lambda: call(it, "POST", "executions/claim", {"worker_id": name, "wait": wait})
        self.start()

    def run(self) -> None:
        self.answer = self._ask()
        self.answered_at = time.monotonic()


def test_of_two_that_wait_one_is_answered_at_once(server: Installation) -> None:
    cue = call(server, "POST", "cues", CUE).json()["id"]
    waiters = [Waiter(server, f"w{n}", wait=4) for n in range(2)]
    wait_for_listeners(server)
    fired_at = time.monotonic()
    run = call(server, "POST", f"cues/{cue}/fire").json()["id"]
    for waiter in waiters:
        waiter.join()
    winner, loser = sorted(waiters, key=lambda waiter: waiter.answered_at)
    assert winner.answer.json()["execution_id"] == run
    assert winner.answered_at - fired_at < 2 < loser.answered_at - fired_at
    assert loser.answer.json()["error"]["code"] == "claim_failed"


def test_the_server_answers_others_while_all_its_places_are_taken(server: Installation) -> None:
    started_at = time.monotonic()
    waiters = [Waiter(server, f"w{n}", wait=3) for n in range(20)]
    wait_for_listeners(server)
    assert call(server, "GET", "cues").status_code == 200
    assert time.monotonic() - started_at < 3
    for waiter in waiters:
        waiter.join()
    took_s = [waiter.answered_at - started_at for waiter in waiters]
    assert {waiter.answer.status_code for waiter in waiters} == {409}
    assert 1 <= len([s for s in took_s if s >= 2.9]) <= 12  # six places in each of two processes
    assert len([s for s in took_s if s < 2.9]) >= 8
