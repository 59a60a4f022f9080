"""Receivers that lie, stall or flood, seen from the API: what becomes of the execution, and what its attempt says."""

from typing import Any

import pytest

from tests.support import make
from tests.support.api import Api
from tests.support.raw import Behaviour, Flood, endless, raw_reply
from tests.support.receiver import RawServer
from tests.support.worker import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCK = b"x" * 65_536


@pytest.fixture(autouse=True)
def half_a_second(settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"webhook_timeout_seconds": 0.5})


def deliver(behave: Behaviour, api: Api, worker: Worker) -> dict[str, Any]:
    """The execution, after the one attempt that its cue allows."""
    with RawServer(behave) as server:
        cue = api.post("/v1/cues", make.body(callback={"url": server.url}, retry={"max_attempts": 1})).json()["id"]
        run = api.post(f"/v1/cues/{cue}/fire").json()["id"]
        worker.run()
    return dict(api.get(f"/v1/executions/{run}").json())


@pytest.mark.parametrize(
    ("behave", "stage", "said"),
    [
        pytest.param(
            endless(OK + b"\r\n", b"a", pace_s=0.02),
            "timeout",
            "No complete reply within 0.5 s. The receiver answered 200, but its reply did not come to its end",
            id="a body that trickles",
        ),
        pytest.param(
            endless(b"", b"H", pace_s=0.02),
            "timeout",
            "No complete reply within 0.5 s.",
            id="a status line that trickles",
        ),
        pytest.param(
            raw_reply(OK + b"Content-Length: 50\r\n\r\nshort"),
            "reply",
            "The receiver answered 200, but its reply broke off",
            id="a body that is shorter than it said",
        ),
        pytest.param(
            Flood(CHUNKED + b"-1\r\n", BLOCK),
            "reply",
            "The receiver answered 200, but its reply broke off or stopped being valid HTTP",
            id="a chunk without end",
        ),
        pytest.param(Flood(OK + b"X: ", BLOCK), "reply", "is not an HTTP reply", id="a header without end"),
        pytest.param(
            Flood(CHUNKED + b"0\r\n", b"X: y\r\n" * 1000), "reply", "more than 1048576 bytes", id="trailers without end"
        ),
        pytest.param(raw_reply(b"HTTP/1.1 2_00 OK\r\n\r\n"), "reply", "is not an HTTP reply", id="an odd status"),
        pytest.param(raw_reply(OK), "reply", "is not an HTTP reply", id="half a head"),
    ],
)
def test_a_failed_attempt_says_why(api: Api, worker: Worker, behave: Behaviour, stage: str, said: str) -> None:
    run = deliver(behave, api, worker)
    (attempt,) = run["attempt_log"]
    assert (run["status"], run["http_status"], attempt["error_stage"]) == ("failed", None, stage)
    assert said in attempt["error_message"]
    assert run["error_message"] == attempt["error_message"]
    assert attempt["duration_ms"] < 3000
    assert (attempt["response_body"], attempt["response_truncated"]) == ("", False)


def test_a_success_with_a_body_without_end_is_one_and_says_that_it_was_cut(api: Api, worker: Worker) -> None:
    flood = Flood(OK + b"Content-Length: 1073741824\r\n\r\n", BLOCK)
    run = deliver(flood, api, worker)
    (attempt,) = run["attempt_log"]
    assert (run["status"], run["http_status"], run["response_body"]) == ("success", 200, "x" * 2000)
    assert (attempt["response_body"], attempt["response_truncated"]) == ("x" * 2000, True)
    assert flood.cut_off.wait(5)


def test_binary_in_head_and_body_can_be_stored_and_shown(api: Api, worker: Worker) -> None:
    reply = b"HTTP/1.1 999 \xff\x00\r\nServer: a\x00b\xff\r\nRetry-After: \x00\r\nSet-Cookie: k=v\r\n\r\n\x00\xff\xfeok"
    run = deliver(raw_reply(reply), api, worker)
    (attempt,) = run["attempt_log"]
    assert (run["status"], run["http_status"], attempt["error_message"]) == (
        "failed",
        999,
        "The receiver answered 999.",
    )
    assert (attempt["response_body"], attempt["response_truncated"]) == ("\ufffd\ufffd\ufffdok", False)
    assert attempt["response_headers"] == {"retry-after": "\ufffd", "server": "a\ufffdbÿ"}


def test_a_success_can_carry_an_outcome_only_as_a_whole(api: Api, worker: Worker) -> None:
    body = b'{"success": false, "pad": "' + b"x" * 70_000 + b'"}'
    run = deliver(raw_reply(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body), api, worker)
    assert (run["status"], run["outcome"]) == ("success", None)
