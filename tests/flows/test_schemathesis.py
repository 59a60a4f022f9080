"""The API against its own OpenAPI document, by machine; `make prove-contract` runs the same with more examples."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connections

from cueapi.errors import Unauthorized
from cueapi.models import Account, ApiKey
from executions.claims import ClaimFailed
from tests.support import make
from tests.support.api import Api
from tests.support.contract import DOCUMENT, Caller, Effort, Found, prove
from tests.support.envelope import refused

QUICK = Effort(examples=4, with_boundaries=False)
FEW = Effort(examples=10, with_boundaries=False)


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_every_operation_answers_as_the_document_says(api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Calls are made in threads that end, and only the end of a request closes a connection there.
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_secret": "s" * 40, "long_poll_max_seconds": 0})
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"event_stream_seconds": 0})
    Account.objects.update(rate_limit_per_minute=1_000_000)

    def revive(path: str) -> None:
        """Some calls end the very key that they carry."""
        if path.startswith("/v1/auth/key"):
            ApiKey.objects.filter(account=api.account, label="default").update(replaced_at=None, revoked_at=None)

    raise_an_alert(api)
    effort = Effort.from_environment(otherwise=QUICK)
    found = prove(Caller(get_wsgi_application(), revive), str(api.key), effort)

    assert found.faults == {}
    assert len(found.operations) > 50
    if effort is not QUICK:
        assert found.never_succeeded == set()


def raise_an_alert(api: Api) -> None:
    """No call does that by itself: a report lacks the evidence that its cue requires."""
    cue = api.post("/v1/cues", make.body(verification={"mode": "require_external_id"})).json()
    run = api.post(f"/v1/cues/{cue['id']}/fire").json()
    assert api.post(f"/v1/executions/{run['id']}/outcome", {"success": True}).status_code == 200


# --- Each check can fail ----------------------------------------------------------------------------------------


def found_when(operation: str, status: int, body: Any, content_type: str = "application/json", **headers: str) -> Found:
    """What is found when the operation with this id answers that, whatever it is asked."""
    application = get_wsgi_application()

    def lying(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == DOCUMENT:
            return application(environ, start_response)
        sent = [("Content-Type", content_type), *((name.replace("_", "-"), text) for name, text in headers.items())]
        start_response(f"{status} As told", sent)
        return [json.dumps(body).encode()]

    return prove(lying, "no key", FEW, only=operation)


def checks(found: Found) -> set[str]:
    return {check for _, check in found.faults}


INFO = {
    "version": "1",
    "authorization_backend": "api_key",
    "authentication_paths": {"per_user_api_key": True, "internal_token_with_on_behalf_of": False},
    "disabled_primitives": [],
}
UNAUTHORIZED = Unauthorized().as_body()


@pytest.mark.django_db
def test_a_good_answer_has_no_fault() -> None:
    found = found_when("info", 200, INFO)
    assert (found.faults, found.operations, found.never_succeeded) == ({}, {"GET /v1/info"}, set())
    found = found_when("usage", 401, UNAUTHORIZED, WWW_Authenticate="Bearer")
    assert (found.faults, found.never_succeeded) == ({}, {"GET /v1/usage"})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operation", "status", "body", "check"),
    [
        ("info", 500, {}, "not_a_server_error"),
        ("info", 418, {}, "status_code_conformance"),
        ("info", 418, {"detail": "Not found."}, "error_has_the_envelope"),
        ("info", 200, INFO | {"version": None}, "response_schema_conformance"),
        ("usage", 401, UNAUTHORIZED, "response_headers_conformance"),
        ("usage", 401, ClaimFailed().as_body(), "error_code_is_documented"),
        ("list_cues", 200, {"cues": [], "total": 0, "limit": 1, "offset": 0}, "invalid_data_is_refused"),
    ],
)
def test_an_answer_that_the_document_does_not_know_is_a_fault(
    operation: str, status: int, body: Any, check: str
) -> None:
    assert check in checks(found_when(operation, status, body))


@pytest.mark.django_db
def test_a_content_type_that_the_document_does_not_know_is_a_fault() -> None:
    assert "content_type_conformance" in checks(found_when("info", 200, INFO, "text/html"))


# --- What the document says of keys -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_operation_is_closed_without_a_key_when_the_document_says_so(anyone: Api, settings: Any) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"session_secret": "s" * 40})
    closed = 0
    for path, methods in anyone.get(DOCUMENT).json()["paths"].items():
        for method, operation in methods.items():
            answer = anyone.send(method.upper(), re.sub(r"{\w+}", "0123456789abcdef", path), {})
            if operation.get("security"):
                refused(answer, 401, "invalid_api_key")
                closed += 1
            else:
                assert answer.status_code != 401, path
    assert closed > 40
