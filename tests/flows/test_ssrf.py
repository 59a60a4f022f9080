"""Callbacks that turn inwards after they were saved: no connection, and an attempt that says why."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings

from cueapi import clock
from cues.models import Cue
from tests.support import make
from tests.support.api import Api
from tests.support.receiver import Answer, RawServer, Receiver
from tests.support.resolver import Resolver
from tests.support.worker import Worker

pytestmark = pytest.mark.django_db(transaction=True)

PUBLIC = "93.184.215.14"


@pytest.fixture(autouse=True)
def production(settings: LazySettings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(
        update={"env": "production", "allow_http_callbacks": True, "webhook_timeout_seconds": 2}
    )


@pytest.fixture
def inside() -> Iterator[RawServer]:
    """A service of the machine itself, which no webhook may reach."""
    with RawServer(lambda sock: sock.recv(1)) as server:
        yield server
        assert server.connections == 0


def create(api: Api, url: str, **retry: Any) -> str:
    answer = api.post("/v1/cues", make.body(callback={"url": url}, retry={"max_attempts": 1} | retry))
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def deliver(api: Api, worker: Worker, cue: str) -> dict[str, Any]:
    run = api.post(f"/v1/cues/{cue}/fire").json()["id"]
    worker.run()
    return dict(api.get(f"/v1/executions/{run}").json())


@pytest.mark.parametrize("later", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], [PUBLIC, "::1"], [PUBLIC, "::ffff:127.0.0.1"]])
def test_a_name_that_turns_inwards_after_it_was_saved_is_not_called(
    api: Api, worker: Worker, resolver: Resolver, inside: RawServer, later: list[str]
) -> None:
    resolver["hook.example"] = [PUBLIC]
    cue = create(api, f"http://hook.example:{inside.port}/")
    resolver["hook.example"] = later
    run = deliver(api, worker, cue)
    (attempt,) = run["attempt_log"]
    assert (run["status"], run["http_status"], attempt["error_stage"]) == ("failed", None, "refused")
    assert "hook.example resolves to" in run["error_message"] == attempt["error_message"]


def test_a_name_that_turns_inwards_between_two_attempts_is_called_once(
    api: Api, worker: Worker, resolver: Resolver, receiver: Receiver, settings: LazySettings
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"callback_allow_cidrs": "127.0.0.1/32"})
    resolver["hook.example"] = ["127.0.0.1"]
    receiver.default = Answer(500, headers={"Connection": "close"})
    cue = create(api, f"http://hook.example:{receiver.port}/", max_attempts=2, backoff_minutes=[1])
    run = deliver(api, worker, cue)
    assert run["status"] == "retrying"
    resolver["hook.example"] = ["127.0.0.1", "127.0.0.2"]
    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=True):
        worker.run()
        run = api.get(f"/v1/executions/{run['id']}").json()
    first, second = run["attempt_log"]
    assert (run["status"], first["http_status"]) == ("failed", 500)
    assert (second["http_status"], second["error_stage"]) == (None, "refused")
    assert "127.0.0.2, which is a loopback address" in second["error_message"]
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::ffff:7f00:1]",
        "１２７.０.０.１",
        "localhost",
        "a@127.0.0.1",
    ],
)
def test_what_stands_in_the_database_is_judged_again(api: Api, worker: Worker, inside: RawServer, host: str) -> None:
    """Saved under other rules, or by a hand in the database."""
    cue = create(api, f"http://{PUBLIC}/")
    url = f"http://{host}:{inside.port}/"
    Cue.objects.filter(pk=cue).update(callback_url=url)
    run = deliver(api, worker, cue)
    assert (run["status"], run["attempt_log"][0]["error_stage"]) == ("failed", "refused")
    assert run["error_message"]


def test_a_redirect_inwards_is_not_followed(
    api: Api, worker: Worker, receiver: Receiver, inside: RawServer, settings: LazySettings
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"callback_allow_cidrs": "127.0.0.0/8"})
    receiver.default = Answer(307, headers={"Location": inside.url})
    run = deliver(api, worker, create(api, receiver.url))
    (attempt,) = run["attempt_log"]
    assert (run["status"], run["http_status"], attempt["response_headers"]["location"]) == ("failed", 307, inside.url)
    assert "redirects are not followed" in attempt["error_message"]
