"""The stream of events over HTTP: what is sent, how it goes on, who is refused, and what it holds meanwhile."""

import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.db import connection

from cueapi import clock, streams, wakeups
from cueapi.volatile import store
from executions.feed import Position
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.deadline import eventually
from tests.support.envelope import refused
from tests.support.processes import Installation

SECOND = timedelta(seconds=1)


@pytest.fixture
def one_look(settings: Any) -> Any:
    """Streams that end after one look."""
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"event_stream_seconds": 0})
    return settings


def stream(api: Api, after: str | None = None, **query: Any) -> Any:
    return api._client.get(
        "/v1/events", query, headers=api._headers() | ({"Last-Event-ID": after} if after is not None else {})
    )


def blocks(answer: Any) -> list[dict[str, str]]:
    text = answer.getvalue().decode() if answer.streaming else answer.content.decode()
    return [dict(line.split(": ", 1) for line in one.splitlines()) for one in text.strip().split("\n\n")]


def events(answer: Any) -> list[dict[str, Any]]:
    return [block | {"data": json.loads(block["data"])} for block in blocks(answer) if "data" in block]


def a_minute_ago() -> str:
    return str(Position(clock.now() - 60 * SECOND))


@pytest.mark.django_db
def test_each_execution_is_told_as_it_is_now_without_what_is_large(api: Api, one_look: Any) -> None:
    cue, at = make.recurring(api.account), clock.now() - 20 * SECOND
    new = make.execution(cue, created_at=at, updated_at=at, payload={"large": "x" * 1000})
    going = make.execution(cue, created_at=at, updated_at=at + SECOND)
    ended = make.execution(cue, created_at=at, updated_at=at + 2 * SECOND, status=Status.FAILED)
    answer = stream(api, a_minute_ago())
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    found = [(event["event"], event["data"]["id"], event["data"]["status"]) for event in events(answer)]
    assert found == [
        ("execution.created", str(new.pk), "pending"),
        ("execution.updated", str(going.pk), "pending"),
        ("execution.final", str(ended.pk), "failed"),
    ]
    assert "large" not in str(found)


@pytest.mark.django_db
def test_it_goes_on_after_any_id_and_says_where_it_ended(api: Api, one_look: Any) -> None:
    cue = make.recurring(api.account)
    for seconds in (3, 2, 1):
        make.execution(cue, updated_at=clock.now() - seconds * SECOND)
    told = events(stream(api, a_minute_ago()))
    assert len(told) == 3
    assert [e["data"] for e in events(stream(api, told[0]["id"]))] == [e["data"] for e in told[1:]]
    last = blocks(stream(api, told[0]["id"]))[-1]
    assert last["retry"] == "2000" and events(stream(api, last["id"])) == []


@pytest.mark.django_db
def test_filters_and_ids_that_make_no_sense_are_refused(api: Api, anyone: Api, one_look: Any) -> None:
    refused(stream(anyone), 401, "invalid_api_key")
    for text in ("nonsense", str(Position(clock.now() - timedelta(days=2))), f"{'9' * 16}-{'0' * 32}"):
        assert refused(stream(api, text), 422, "validation_error")["where"] == "header.Last-Event-ID"
    for status in ("", "done", "success,done"):
        refused(stream(api, status=status), 422, "validation_error")
    assert events(stream(api, cue_id="\x00")) == []


@pytest.mark.django_db
def test_an_account_has_so_many_streams_and_a_process_too(api: Api, stranger: Api, one_look: Any) -> None:
    one_look.CUEAPI = one_look.CUEAPI.model_copy(update={"event_streams_per_account": 1})
    with streams.place(api.account.pk):
        error = stream(api)
        refused(error, 429, "rate_limit_exceeded")
        assert error.headers["Retry-After"] == "10"
        assert blocks(stream(stranger))
    assert blocks(stream(api)) and blocks(stream(api))
    one_look.CUEAPI = one_look.CUEAPI.model_copy(update={"event_streams_max": 0})
    refused(stream(api), 429, "rate_limit_exceeded")


@pytest.mark.django_db
def test_a_place_whose_process_died_is_free_again(api: Api, one_look: Any) -> None:
    one_look.CUEAPI = one_look.CUEAPI.model_copy(update={"event_streams_per_account": 1})
    store().zadd(f"streams:{api.account.pk}", {"dead": time.time() - 1})
    assert len(blocks(stream(api))) == 2


@pytest.mark.django_db
def test_without_the_store_streams_work_and_are_not_counted(api: Api, one_look: Any) -> None:
    one_look.CUEAPI = one_look.CUEAPI.model_copy(update={"redis_url": "unix:///nowhere/valkey.sock"})
    with streams.place(api.account.pk), streams.place(api.account.pk):
        assert len(blocks(stream(api))) == 2


@pytest.mark.django_db(transaction=True)
def test_a_release_ends_it_and_a_change_wakes_it(api: Api, settings: Any) -> None:
    received: list[bytes] = []
    answer = stream(api)
    reader = threading.Thread(target=lambda: received.extend(answer.streaming_content))
    reader.start()
    eventually(lambda: received and wakeups._hub()._hears)
    make.execution(make.recurring(api.account), updated_at=clock.now())
    wakeups.announce_changes({api.account.pk})
    eventually(lambda: any(b"execution.updated" in one for one in received))
    wakeups.release()
    reader.join(5)
    assert not reader.is_alive()
    assert received[-1].startswith(b": come again")


@pytest.mark.django_db(transaction=True)
def test_while_it_waits_it_holds_no_connection(api: Api) -> None:
    make.execution(make.recurring(api.account), updated_at=clock.now() - 20 * SECOND)
    answer = stream(api, a_minute_ago())
    told = iter(answer.streaming_content)
    assert next(told).startswith(b"retry") and b"execution." in next(told)
    assert connection.connection is None
    answer._resource_closers[0]()  # as a server does when its client is gone
    assert store().zcard(f"streams:{api.account.pk}") == 0


@pytest.mark.processes
def test_a_real_server_streams_forgets_who_leaves_and_stops_at_once() -> None:
    with Installation({"EVENT_STREAMS_PER_ACCOUNT": "1"}) as it:
        it.start("broker"), it.start("web")
        headers = {"Authorization": f"Bearer {it.api_key}"}

        def call(method: str, path: str, **more: Any) -> requests.Response:
            return requests.request(method, f"{it.base_url}/v1/{path}", headers=headers, timeout=20, **more)

        schedule = {"type": "recurring", "cron": "0 0 1 1 *"}
        cue = call("POST", "cues", json=make.body(transport="worker", callback=None, schedule=schedule)).json()
        with call("GET", "events", stream=True) as answer:
            lines = answer.iter_lines(chunk_size=1)
            assert next(lines) == b"retry: 2000"
            run = call("POST", f"cues/{cue['id']}/fire").json()
            named = next(line for line in lines if line.startswith(b"event:"))
            data = next(line for line in lines if line.startswith(b"data:"))
            assert (named, json.loads(data[5:])["id"]) == (b"event: execution.created", run["id"])
            assert call("GET", "events").status_code == 429

        def is_free() -> bool:
            with call("GET", "events", stream=True) as again:
                return again.status_code == 200

        eventually(is_free, within_s=30, what="the place of who left")
        with call("GET", "events", stream=True) as answer:
            lines = answer.iter_lines(chunk_size=1)
            next(lines)
            started_s = time.monotonic()
            it.stop("web")
            assert time.monotonic() - started_s < 10
