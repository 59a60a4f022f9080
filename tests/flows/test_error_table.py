"""Contract 1.4, row by row: each code is produced over HTTP, with its status, in the envelope.

Each test gets an `Api` of a fresh account and answers with the call that fails. Codes that the contract does not list
are at the end; a code that the source can raise and this table lacks fails the last test.
"""

import ast
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import time_machine
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from config import urls
from cueapi import clock
from cueapi.api import ApiView
from cueapi.models import Account
from tests.support import login, make
from tests.support.api import Api
from tests.support.envelope import in_envelope, refused
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db]

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11"
CONFIRMED = {"x_confirm_destructive": "true"}
Row = Callable[[Api], Any]


def run_of(api: Api, **columns: Any) -> str:
    return f"/v1/executions/{make.execution(make.recurring(api.account), **columns).pk}"


def pulled(api: Api) -> str:
    cue = make.recurring(api.account, transport="worker")
    return f"/v1/executions/{make.execution(cue, scheduled_for=clock.now(), due_at=clock.now()).pk}"


def cue_of(api: Api, **columns: Any) -> str:
    return f"/v1/cues/{make.recurring(api.account, **columns).pk}"


def create(api: Api, **fields: Any) -> Any:
    return api.post("/v1/cues", make.body(**fields))


def stored_longer_than_sent() -> bytes:
    """Numbers such as 1e300 take more room as they are stored, so a body of a size that fits may not."""
    numbers = b",".join([b"1e15"] * 200_000)
    return json.dumps(make.body(payload={"n": "N"})).encode().replace(b'"N"', b"[%s]" % numbers)


def twice(call: Callable[[], Any]) -> Any:
    call()
    return call()


def over_limit(api: Api) -> Any:
    Account.objects.update(rate_limit_per_minute=1)
    return twice(lambda: api.get("/v1/cues"))


def over_cue_limit(api: Api) -> Any:
    Account.objects.update(active_cue_limit=0)
    return create(api)


def rotated(api: Api) -> Any:
    api.post("/v1/auth/key/regenerate", **CONFIRMED)
    return api.get("/v1/auth/me")


def revoked(api: Api) -> Any:
    named = api.post("/v1/auth/keys", {"label": "program"}).json()
    api.delete(f"/v1/auth/keys/{named['id']}", **CONFIRMED)
    return Api(named["api_key"]).get("/v1/auth/me")


def last_key(api: Api) -> Any:
    (only,) = api.get("/v1/auth/keys").json()["keys"]
    return api.delete(f"/v1/auth/keys/{only['id']}", **CONFIRMED)


def session(settings: Any, **claims: Any) -> Any:
    now = clock.now()
    facts = {"sub": NOBODY, "email": "x@example.org", "type": "session", "iat": now, "exp": now + timedelta(hours=1)}
    return Api(jwt.encode(facts | claims, settings.CUEAPI.session_secret, algorithm="HS256")).get("/v1/auth/me")


def reported(api: Api) -> str:
    path = run_of(api)
    api.post(f"{path}/outcome", {"success": True})
    return path


def claimed_by_another(api: Api) -> Any:
    path = pulled(api)
    assert api.post(f"{path}/claim", {"worker_id": "a"}).status_code == 200
    return api.post(f"{path}/heartbeat", x_worker_id="b")


def fired_with(api: Api, first: dict[str, Any], second: dict[str, Any]) -> Any:
    path = f"{cue_of(api)}/fire"
    api.post(path, first | {"idempotency_key": "k"})
    return api.post(path, second | {"idempotency_key": "k"})


def over_month(api: Api) -> Any:
    make.over_month(api.account, now=clock.now())
    return api.post("/v1/dead-letters/replay", {})


def expired_code(api: Api) -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        login.start(api)
        traveller.shift(timedelta(minutes=16))
        return login.submit(api)


def mailed_code(api: Api) -> Any:
    login.start(api)
    return twice(lambda: login.submit(api))


def big_echo(api: Api) -> Any:
    return api.post("/v1/echo/qs-0123456789abcdef", b'"' + b"x" * 1_000_001 + b'"')


ROWS: list[tuple[int, str, Row]] = [
    (400, "invalid_json", lambda api: api.post("/v1/cues", b"{not json")),
    (400, "invalid_schedule", lambda api: create(api, schedule={"type": "recurring", "cron": "never"})),
    (422, "invalid_timezone", lambda api: create(api, schedule={"cron": "* * * * *", "timezone": "Mars/Base"})),
    (400, "invalid_callback_url", lambda api: create(api, callback={"url": "https://10.0.0.1/x"})),
    (400, "invalid_callback_url", lambda api: create(api, on_failure={"webhook": "https://10.0.0.1/x"})),
    (400, "invalid_payload", lambda api: create(api, payload={"nul": "\x00"})),
    (400, "invalid_payload_size", lambda api: api.post("/v1/cues", stored_longer_than_sent())),
    (400, "invalid_alert_webhook_url", lambda api: api.patch("/v1/auth/me", {"alert_webhook_url": "ftp://x"})),
    (400, "confirmation_required", lambda api: api.post("/v1/auth/key/regenerate")),
    (400, "conflicting_filters", lambda api: api.get("/v1/executions", status="failed", status__in="failed")),
    (400, "invalid_status_in", lambda api: api.get("/v1/executions", status__in=",")),
    (400, "invalid_filter", lambda api: api.get("/v1/alerts", alert_type="nonsense")),
    (
        400,
        "metadata_too_large",
        lambda api: api.post(f"{run_of(api)}/outcome", {"success": True, "metadata": {"x": "y" * 10_240}}),
    ),
    (400, "payload_override_required", lambda api: api.post(f"{cue_of(api, require_payload_override=True)}/fire")),
    (400, "missing_required_payload_keys", lambda api: api.post(f"{cue_of(api, required_payload_keys=['a'])}/fire")),
    (400, "invalid_device_code", lambda api: login.start(api, "short")),
    (400, "device_code_expired", expired_code),
    (400, "invalid_status", mailed_code),
    (400, "invalid_token", lambda api: api.post("/v1/echo/short", {})),
    (401, "invalid_api_key", lambda api: Api(None).get("/v1/auth/me")),
    (401, "key_rotated", rotated),
    (401, "key_revoked", revoked),
    (401, "invalid_token", lambda api: Api(None).post(f"{run_of(api)}/outcome?token=9.x", {"success": True})),
    (403, "cue_limit_exceeded", over_cue_limit),
    (403, "execution_limit_exceeded", over_month),
    (403, "not_execution_owner", claimed_by_another),
    (404, "cue_not_found", lambda api: api.get("/v1/cues/cue_000000000000")),
    (404, "execution_not_found", lambda api: api.get(f"/v1/executions/{NOBODY}")),
    (404, "worker_not_found", lambda api: api.delete("/v1/workers/nobody")),
    (404, "destination_not_found", lambda api: api.post("/v1/destinations/7/close")),
    (404, "alert_not_found", lambda api: api.post(f"/v1/alerts/{NOBODY}/acknowledge")),
    (404, "device_code_not_found", lambda api: login.submit(api, code="UNKNOWN-1")),
    (404, "not_found", lambda api: api.get("/v1/nowhere")),
    (405, "method_not_allowed", lambda api: api.send("PUT", "/v1/cues")),
    (409, "duplicate_cue_name", lambda api: twice(lambda: create(api))),
    (409, "duplicate_email", lambda api: Api(None).post("/v1/auth/register", {"email": api.account.email})),
    (409, "device_code_exists", lambda api: twice(lambda: login.start(api))),
    (409, "claim_failed", lambda api: api.post("/v1/executions/claim", {"worker_id": "w"})),
    (409, "execution_not_claiming", lambda api: api.post(f"{pulled(api)}/heartbeat")),
    (409, "outcome_already_recorded", lambda api: api.post(f"{reported(api)}/outcome", {"success": True})),
    (409, "no_outcome", lambda api: api.patch(f"{run_of(api)}/evidence", {"external_id": "x"})),
    (409, "invalid_state", lambda api: api.post(f"{run_of(api)}/verify")),
    (409, "execution_in_flight", lambda api: api.post(f"{run_of(api)}/replay")),
    (409, "not_a_dead_letter", lambda api: api.send("PUT", f"{run_of(api)}/handled")),
    (409, "idempotency_key_conflict", lambda api: fired_with(api, {"payload_override": {"a": 1}}, {})),
    (409, "last_key_protected", last_key),
    (410, "plaintext_unavailable", lambda api: api.get("/v1/auth/key")),
    (413, "request_too_large", lambda api: api.post("/v1/cues", b" " * 1_048_577)),
    (413, "payload_too_large", big_echo),
    (422, "validation_error", lambda api: create(api, name="")),
    (422, "no_fields", lambda api: api.patch("/v1/auth/me", {})),
    (429, "rate_limit_exceeded", over_limit),
]
"""Every row of the table that needs no setting; those that do have a test of their own below."""

WITH_SETTINGS = {"session_expired", "invalid_session", "user_not_found", "session_unavailable", "internal_error"}
WITH_SETTINGS |= {"database_unavailable"}
NEVER = {"no_webhook_secret": "every account has a secret from its first moment on"}
BEYOND = {
    "invalid_request": "HTTP itself was broken",
    "forbidden": "raised by nothing that the API serves",
    "conflict": "a base class",
    "service_unavailable": "the volatile store is down",
}


@pytest.mark.parametrize(("status", "code", "row"), ROWS, ids=[f"{status} {code}" for status, code, _ in ROWS])
def test_the_row_is_produced(api: Api, status: int, code: str, row: Row) -> None:
    error = refused(row(api), status, code)
    assert error["expected"]


@pytest.fixture
def sessions(settings: Any) -> Any:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_secret": "s" * 40})
    return settings


def test_sessions_that_are_over_forged_or_without_an_account(api: Api, sessions: Any) -> None:
    past = clock.now() - timedelta(seconds=1)
    refused(session(sessions, sub=str(api.account.pk), exp=past), 401, "session_expired")
    refused(session(sessions), 401, "user_not_found")
    refused(Api("not.a.token").get("/v1/auth/me"), 401, "invalid_session")
    refused(Api(None).post("/v1/auth/session", {"token": "made up"}), 401, "invalid_token")


def test_without_a_secret_there_are_no_sessions(anyone: Api, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_secret": ""})
    refused(anyone.post("/v1/auth/session", {"token": "x"}), 503, "session_unavailable")


def test_the_store_that_is_down_is_told_of(anyone: Api, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"redis_url": "unix:///nowhere/valkey.sock"})
    refused(anyone.post("/v1/echo/qs-0123456789abcdef", {}), 503, "service_unavailable")


def crash(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the password is hunter2")


class WithoutDatabase(ApiView):
    def get(self, request: Request) -> Response:
        raise OperationalError("connection to server at 10.0.0.7 failed: password hunter2")


class WithBug:
    """The paths of the server, and two more: one crashes, and one finds the database down."""

    urlpatterns = [path("v1/crash", crash), path("v1/down", WithoutDatabase.as_view()), *urls.urlpatterns]
    handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


def test_a_bug_is_a_500_that_tells_nothing(api: Api) -> None:
    with override_settings(ROOT_URLCONF=WithBug):
        answer, problem = api.get("/v1/crash"), api.send("GET", "/v1/crash", accept="application/problem+json")
    refused(answer, 500, "internal_error")
    assert "hunter2" not in answer.content.decode()
    assert (problem.json()["code"], problem.headers["Content-Type"]) == ("internal_error", "application/problem+json")
    assert "hunter2" not in problem.content.decode()


def test_a_database_that_is_down_is_a_503_that_says_when_to_come_back(api: Api) -> None:
    with override_settings(ROOT_URLCONF=WithBug):
        answer = api.get("/v1/down")
    refused(answer, 503, "database_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "hunter2" not in answer.content.decode()


# --- The table is whole -----------------------------------------------------------------------------------------


def codes_in_source() -> set[str]:
    """Each `code="…"` and `code = "…"` in the three apps, but for what only describes a serializer."""
    files = [file for app in ("cueapi", "cues", "executions") for file in (ROOT / app).rglob("*.py")]
    return {code for file in files for code in codes_in(ast.parse(file.read_text()))}


def codes_in(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            found.add(node.value.value)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {node.value.value for target in targets if ast.unparse(target) == "code"}
    return {code for code in found if isinstance(code, str) and code}


def test_every_code_that_the_source_can_answer_has_its_row() -> None:
    produced = {code for _, code, _ in ROWS} | WITH_SETTINGS
    assert codes_in_source() - produced - set(BEYOND) == set()
    assert produced <= codes_in_source()


def test_every_row_of_the_table_is_here() -> None:
    rows = {(status, code) for status, code, _ in ROWS}
    assert {row for row in CONTRACT if row not in rows} == set()


CONTRACT = [
    (400, "invalid_json"),
    (400, "invalid_schedule"),
    (422, "invalid_timezone"),
    (400, "invalid_callback_url"),
    *((400, code) for code in ("invalid_payload", "invalid_payload_size", "invalid_alert_webhook_url")),
    *((400, code) for code in ("confirmation_required", "conflicting_filters", "invalid_status_in", "invalid_filter")),
    *((400, code) for code in ("metadata_too_large", "payload_override_required", "missing_required_payload_keys")),
    *((400, code) for code in ("invalid_device_code", "device_code_expired", "invalid_status", "invalid_token")),
    *((401, code) for code in ("invalid_api_key", "key_rotated", "key_revoked", "invalid_token")),
    *((403, code) for code in ("cue_limit_exceeded", "not_execution_owner")),
    *((404, code) for code in ("cue_not_found", "execution_not_found", "worker_not_found", "alert_not_found")),
    *((404, code) for code in ("device_code_not_found", "not_found")),
    (405, "method_not_allowed"),
    *((409, code) for code in ("duplicate_cue_name", "duplicate_email", "device_code_exists", "claim_failed")),
    *((409, code) for code in ("execution_not_claiming", "outcome_already_recorded", "no_outcome", "invalid_state")),
    *((409, code) for code in ("execution_in_flight", "idempotency_key_conflict", "last_key_protected")),
    (410, "plaintext_unavailable"),
    *((413, code) for code in ("request_too_large", "payload_too_large")),
    *((422, code) for code in ("validation_error", "no_fields")),
    (429, "rate_limit_exceeded"),
]
"""The rows of the contract, but for those with a test of their own above."""


def test_an_error_s_json_is_utf_8(api: Api) -> None:
    answer = create(api, name="")
    assert json.loads(answer.content.decode("utf-8"))["error"] == in_envelope(answer)
