"""Whatever goes wrong leaves as the one envelope: our errors, DRF's, Django's, and bugs."""

import logging

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation, TooManyFieldsSent
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions

from cueapi import errors, problems
from tests.support.api import Api
from tests.support.envelope import in_envelope, refused

BUG = RuntimeError("the password is hunter2")


@pytest.mark.parametrize(
    ("exception", "status", "code"),
    [
        (errors.InvalidSchedule(), 400, "invalid_schedule"),
        (exceptions.ValidationError({"name": ["is late"]}), 422, "validation_error"),
        (Http404(), 404, "not_found"),
        (exceptions.NotFound(), 404, "not_found"),
        (exceptions.NotAuthenticated(), 401, "invalid_api_key"),
        (exceptions.AuthenticationFailed(), 401, "invalid_api_key"),
        (exceptions.MethodNotAllowed("BREW"), 405, "method_not_allowed"),
        (PermissionDenied(), 403, "forbidden"),
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (SuspiciousOperation(), 400, "invalid_request"),
        (TooManyFieldsSent(), 400, "invalid_request"),
        (BUG, 500, "internal_error"),
    ],
)
def test_every_exception_becomes_the_envelope(exception: Exception, status: int, code: str) -> None:
    answer = problems.exception_handler(exception, {})
    facts = answer.data["error"]
    assert (answer.status_code, facts["status"], facts["code"]) == (status, status, code)
    assert answer.data["detail"]["error"]["message"] == facts["message"]


def test_a_bug_tells_the_caller_nothing_and_the_log_everything(caplog: pytest.LogCaptureFixture) -> None:
    answer = problems.exception_handler(BUG, {})
    assert "hunter2" not in str(answer.data)
    assert "X-Request-Id" in answer.data["error"]["message"]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "request.crashed")
    assert record.exc_info is not None and record.exc_info[1] is BUG


def test_an_error_s_headers_leave_with_it() -> None:
    answer = problems.exception_handler(errors.RateLimited(headers={"Retry-After": "7"}), {})
    assert answer.headers["Retry-After"] == "7"


def test_nested_errors_are_flattened_to_paths() -> None:
    detail = {"retry": {"backoff_minutes": {0: ["a"], 2: ["b"]}}, "schedule": {"": ["c"]}, "name": ["d", "e"]}
    failed = problems.validation_failed(detail)
    assert [(item.field, item.message) for item in failed.details] == [
        ("body.retry.backoff_minutes.0", "a"),
        ("body.retry.backoff_minutes.2", "b"),
        ("body.schedule", "c"),
        ("body.name", "d"),
        ("body.name", "e"),
    ]
    assert failed.message == "body.retry.backoff_minutes.0: a"


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (problems.bad_request, 400, "invalid_request"),
        (problems.forbidden, 403, "forbidden"),
        (problems.not_found, 404, "not_found"),
    ],
)
def test_django_s_own_errors_have_the_same_shape(handler: object, status: int, code: str) -> None:
    refused(handler(RequestFactory().get("/v1/nonsense"), BUG), status, code)  # type: ignore[operator]


def test_django_s_own_500_has_the_same_shape() -> None:
    assert "hunter2" not in str(problems.server_error(RequestFactory().get("/")).content)
    refused(problems.server_error(RequestFactory().get("/")), 500, "internal_error")


# --- Contract 1.4 over HTTP: the rows that no other story of bad input tells ------------------------------------

CUE = {
    "name": "nightly-digest",
    "schedule": {"cron": "15 2 * * *"},
    "callback": {"url": "https://hooks.example.org/digest"},
}


@pytest.fixture
def cue(api: Api) -> str:
    return f"/v1/cues/{api.post('/v1/cues', CUE | {'require_payload_override': True}).json()['id']}"


@pytest.fixture
def execution(api: Api, cue: str) -> str:
    fired = api.post(f"{cue}/fire", {"payload_override": {"a": 1}, "idempotency_key": "k"})
    return f"/v1/executions/{fired.json()['id']}"


def test_fire_says_what_the_payload_lacks(api: Api, cue: str) -> None:
    refused(api.post(f"{cue}/fire"), 400, "payload_override_required")
    api.patch(cue, {"required_payload_keys": ["a", "b"]})
    error = refused(api.post(f"{cue}/fire", {"payload_override": {"a": 1}}), 400, "missing_required_payload_keys")
    assert "b" in error["message"]


def test_an_idempotency_key_is_good_for_one_body(api: Api, cue: str, execution: str) -> None:
    answer = api.post(f"{cue}/fire", {"payload_override": {"a": 2}, "idempotency_key": "k"})
    refused(answer, 409, "idempotency_key_conflict")


def test_metadata_over_ten_kibibytes_is_too_large(api: Api, execution: str) -> None:
    room = 10_240 - len('{"filler":""}')
    too_much = api.post(f"{execution}/outcome", {"success": True, "metadata": {"filler": "x" * (room + 1)}})
    refused(too_much, 400, "metadata_too_large")
    answer = api.post(f"{execution}/outcome", {"success": True, "metadata": {"filler": "x" * room}})
    assert answer.status_code == 200


def test_an_outcome_has_its_order(api: Api, execution: str) -> None:
    refused(api.patch(f"{execution}/evidence", {"summary": "x"}), 409, "no_outcome")
    refused(api.post(f"{execution}/verification-pending"), 409, "no_outcome")
    refused(api.post(f"{execution}/verify"), 409, "invalid_state")
    refused(api.post(f"{execution}/replay"), 409, "execution_in_flight")
    assert api.post(f"{execution}/outcome", {"success": True}).status_code == 200
    refused(api.post(f"{execution}/outcome", {"success": True}), 409, "outcome_already_recorded")
    assert api.post(f"{execution}/verify").status_code == 200
    refused(api.post(f"{execution}/verify"), 409, "invalid_state")


def test_an_unknown_page_of_the_admin_is_a_page(anyone: Api) -> None:
    answer = anyone.get("/admin/nonsense/")
    assert answer.status_code in (302, 404)
    assert "json" not in answer.headers["Content-Type"]


def test_the_envelope_is_json_for_a_browser_too(anyone: Api) -> None:
    answer = anyone.send("GET", "/nonsense", None, Accept="text/html")
    assert answer.headers["Content-Type"] == "application/json"
    assert in_envelope(answer)["code"] == "not_found"
