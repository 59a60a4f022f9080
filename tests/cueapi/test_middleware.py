"""What wraps every request: its id, the limit on its body, and the headers that keep pages safe."""

import logging
from uuid import UUID, uuid4

import pytest

from cueapi.logging import LineFormatter, request_id
from cueapi.middleware import BODY_MAX_BYTES
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.wire import wire

ANSWERS = ["/v1/info", "/v1/nonsense", "/v1/cues", "/docs", "/health"]


@pytest.mark.parametrize("path", ANSWERS)
def test_every_answer_has_an_id_of_its_own(anyone: Api, path: str) -> None:
    ids = [anyone.get(path).headers["X-Request-Id"] for _ in range(2)]
    assert ids[0] != ids[1]
    assert [UUID(text).version for text in ids] == [4, 4]


def test_a_valid_id_that_comes_in_is_kept(anyone: Api) -> None:
    sent = str(uuid4())
    assert anyone.send("GET", "/v1/info", x_request_id=sent).headers["X-Request-Id"] == sent


@pytest.mark.parametrize("sent", ["", "1", "x" * 300, "<script>", "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a110"])
def test_any_other_id_is_replaced(anyone: Api, sent: str) -> None:
    answered = anyone.send("GET", "/v1/info", x_request_id=sent).headers["X-Request-Id"]
    assert answered != sent
    assert UUID(answered).version == 4


def test_the_id_stands_in_the_log_while_the_request_lasts(anyone: Api, caplog: pytest.LogCaptureFixture) -> None:
    record = logging.makeLogRecord({"msg": "thing.done"})
    token = request_id.set("an-id")
    assert "request_id=an-id" in LineFormatter().format(record)
    request_id.reset(token)
    anyone.get("/v1/info")
    assert "request_id" not in LineFormatter().format(record)


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(api: Api) -> None:
    refused(api.send("POST", "/v1/cues", b" " * BODY_MAX_BYTES), 422, "validation_error", "body.name")
    refused(api.send("POST", "/v1/cues", b" " * (BODY_MAX_BYTES + 1)), 413, "request_too_large")


@pytest.mark.parametrize(("extra", "status"), [(0, 422), (1, 413)])
def test_the_same_limit_holds_for_chunks(api: Api, extra: int, status: int) -> None:
    chunks = (b" " * size for size in (BODY_MAX_BYTES - 10, 10 + extra))
    with wire(api.key) as client:
        assert client.post("/v1/cues", content=chunks).status_code == status


def test_a_declared_length_is_enough_to_refuse(anyone: Api) -> None:
    answer = anyone.send("POST", "/v1/cues", {}, content_length=str(BODY_MAX_BYTES + 1))
    refused(answer, 413, "request_too_large")
    assert UUID(answer.headers["X-Request-Id"])


def test_a_browser_may_read_the_413_of_another_origin(anyone: Api) -> None:
    answer = anyone.send("POST", "/v1/cues", {}, content_length=str(10**9), origin="https://app.example.org")
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (413, "*")


def test_pages_run_no_script_of_others(anyone: Api) -> None:
    policy = anyone.get("/docs").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy and "script-src" not in policy


def test_the_admin_s_theme_may_evaluate_and_nothing_else_may(anyone: Api) -> None:
    assert "unsafe-eval" in anyone.get("/admin/login/").headers["Content-Security-Policy"]
    assert "unsafe-eval" not in anyone.get("/v1/info").headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ANSWERS)
def test_no_answer_is_sniffed_or_framed(anyone: Api, path: str) -> None:
    headers = anyone.get(path).headers
    assert (headers["X-Content-Type-Options"], headers["X-Frame-Options"]) == ("nosniff", "DENY")
