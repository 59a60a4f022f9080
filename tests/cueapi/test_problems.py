"""Whatever goes wrong leaves as the one envelope: our errors, DRF's, Django's, and bugs."""

import logging
from collections.abc import Iterable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation, TooManyFieldsSent
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions

from cueapi import errors, lessons, problems
from cueapi.models import Account
from tests.support.api import Api
from tests.support.envelope import in_envelope, refused

BUG = RuntimeError("the password is hunter2")
RUN = "7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55"


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
    assert refused(answer, 409, "idempotency_key_conflict")["where"] == "body.idempotency_key"


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
    answer = anyone.send("GET", "/v1/nonsense", None, Accept="text/html")
    assert answer.headers["Content-Type"] == "application/json"
    assert in_envelope(answer)["code"] == "not_found"


# --- RFC 9457 ---------------------------------------------------------------------------------------------------

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "prefers"),
    [
        (PROBLEM, True),
        (f"{PROBLEM}, application/json", True),
        (f"application/json;q=0.9, {PROBLEM}", True),
        (f"*/*;q=0.8,{PROBLEM};q=0.8", True),
        ("APPLICATION/PROBLEM+JSON; Q=1 , text/html", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        (f"application/json, {PROBLEM};q=0.5", False),
        (f"*/*, {PROBLEM};q=0.5", False),
        (f"{PROBLEM};q=0", False),
        (f"{PROBLEM};q=much", False),
        (";;;,,q=", False),
    ],
)
def test_a_problem_document_is_for_who_prefers_it(accept: str, prefers: bool) -> None:
    assert problems.prefers_problem(accept) is prefers


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/cues", {"name": ""}, 422, "validation_error"),
        ("POST", "/v1/cues", b"{", 400, "invalid_json"),
        ("POST", "/v1/cues", b"x" * 1_048_577, 413, "request_too_large"),
        ("GET", "/v1/nowhere", None, 404, "not_found"),
        ("PUT", "/v1/cues", None, 405, "method_not_allowed"),
    ],
)
def test_every_kind_of_error_comes_as_a_problem(
    api: Api, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = api.send(method, path, body, accept=PROBLEM)
    problem = answer.json()
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"].endswith(f"/docs/errors#{code}")
    assert problem["title"] and problem["detail"] and problem["expected"]
    assert problem["instance"] == f"urn:uuid:{answer.headers['X-Request-Id']}"
    assert "error" not in problem


def test_a_success_is_json_all_the_same(api: Api) -> None:
    answer = api.send("GET", "/v1/cues", accept=PROBLEM)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_the_page_of_errors_lists_every_code_without_a_script(anyone: Api) -> None:
    answer = anyone.get("/docs/errors")
    page = answer.content.decode()
    assert answer.headers["Content-Type"].startswith("text/html")
    assert all(f'id="{code}"' in page for code in lessons.LESSONS)
    assert "<script" not in page and "style=" not in page


def test_a_cache_is_told_that_errors_depend_on_accept(api: Api) -> None:
    for answer in (api.get("/v1/nowhere"), api.get("/v1/cues/cue_000000000000"), api.send("PUT", "/docs")):
        assert "accept" in answer.headers["Vary"].lower()


def test_who_calls_without_a_key_or_too_often_gets_a_problem_too(api: Api) -> None:
    answer = Api(None).send("GET", "/v1/cues", accept=PROBLEM)
    assert (answer.headers["Content-Type"], answer.json()["code"]) == (PROBLEM, "invalid_api_key")
    Account.objects.update(rate_limit_per_minute=1)
    api.get("/v1/cues")
    answer = api.send("GET", "/v1/cues", accept=PROBLEM)
    assert (answer.headers["Content-Type"], answer.json()["code"]) == (PROBLEM, "rate_limit_exceeded")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_host_that_django_refuses_is_told_of_as_any_other_error(anyone: Api, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["api.example.org"]
    refused(anyone.get("/health"), 400, "invalid_request")
    assert anyone.send("GET", "/health", accept=PROBLEM).headers["Content-Type"] == PROBLEM


# --- Where it went wrong ----------------------------------------------------------------------------------------


def test_the_place_is_the_one_that_was_wrong(api: Api, cue: str) -> None:
    error = refused(api.patch(cue, {"on_failure": {"webhook": "https://10.0.0.1/x"}}), 400, "invalid_callback_url")
    assert error["where"] == "body.on_failure.webhook"
    error = refused(api.post(f"{cue}/fire", {"payload_override": {"email": "\x00"}}), 400, "invalid_payload")
    assert (error["where"], error["example"]) == ("body.payload_override.email", {"order": 17})
    api.patch(cue, {"payload": {"half": "x" * 600_000}})
    too_much = api.post(f"{cue}/fire", {"payload_override": {"rest": "x" * 600_000}})
    error = refused(too_much, 400, "invalid_payload_size")
    assert error["where"] == "body.payload_override"


# --- Advice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/v1/cues/", "use /v1/cues"),
        ("/v1/cues/cue_000000000000/fire/", "use /v1/cues/cue_000000000000/fire"),
        ("/v1/cue", "Did you mean /v1/cues?"),
        ("/v1/execution/claimable", "Did you mean /v1/executions/claimable?"),
        ("/v1/cue/cue_000000000000/fire", "Did you mean /v1/cues/{cue_id}/fire?"),
        ("/cues/cue_000000000000", "Did you mean /v1/cues/{cue_id}?"),
        (f"/v1/executions/{RUN}/outcomes", "Did you mean /v1/executions/{execution_id}/outcome?"),
        (f"/v1/things/{RUN}/widgets", "at this path. The API is described at /docs."),
        ("/api/v2/things", "The API is described at /docs."),
    ],
)
def test_a_wrong_path_is_told_the_right_one(api: Api, path: str, advice: str) -> None:
    assert advice in refused(api.get(path), 404, "not_found")["message"]


@pytest.mark.parametrize("path", ["/health", "/status", "/docs", "/docs/errors", "/auth/device", "/v1/openapi.json"])
def test_a_page_answers_a_wrong_method_as_the_api_does(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path, {"a": "b"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    refused(answer, 405, "method_not_allowed")


def test_a_wrong_method_is_told_the_right_ones(api: Api) -> None:
    answer = api.send("PUT", "/v1/cues/cue_000000000000")
    error = refused(answer, 405, "method_not_allowed")
    assert error["message"] == "This path does not answer PUT. It answers GET, PATCH, DELETE."
    assert answer.headers["Allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"


PYTHON = ("dictionary", "A valid", "Ensure this", "This field", "Not a valid", "Expected a")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/cues"),
        ("POST", "/v1/cues/{cue}/fire"),
        ("POST", "/v1/cues/bulk-delete"),
        ("POST", "/v1/executions/claim"),
        ("POST", "/v1/worker/heartbeat"),
        ("POST", "/v1/auth/keys"),
        ("PATCH", "/v1/auth/me"),
        ("POST", "/v1/auth/device-code"),
    ],
)
@pytest.mark.parametrize("wrong", [None, [], [[]], 5, -1, 1.5, "", "x" * 70_000, True, {"x": []}])
def test_complaints_are_in_words_of_json(api: Api, cue: str, method: str, path: str, wrong: object) -> None:
    path = path.format(cue=cue.rpartition("/")[2])
    for names in batched(lessons.FIELD_EXAMPLES, 15):
        text = api.send(method, path, dict.fromkeys(names, wrong), x_confirm_destructive="true").content.decode()
        assert not [words for words in PYTHON if words in text], text


def batched(names: Iterable[str], size: int) -> list[list[str]]:
    """The names in groups that an error names one by one (problems.DETAILS_MAX)."""
    every = list(names)
    return [every[start : start + size] for start in range(0, len(every), size)]
