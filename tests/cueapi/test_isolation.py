"""Whose objects the paths of the floor show: another account's answers exactly like a missing one.

Every path of cueapi.urls is listed here, so that a new one has to say what it is.
"""

import re
from typing import Any

import pytest

from cueapi import keys, urls
from cueapi.models import Account, ApiKey, AuditEvent
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CONFIRM = {"x_confirm_destructive": "true"}
MISSING = "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11"

CLOSED: dict[str, list[tuple[str, Any]]] = {
    "audit-events/<str:event_id>": [("GET", None)],
    "auth/keys/<str:key_id>": [("PATCH", {"label": "mine"}), ("DELETE", None)],
}
"""Every path that names one object, and each way to call it."""
OWN: dict[str, list[tuple[str, Any]]] = {
    "audit-events": [("GET", None)],
    "auth/key": [("GET", None)],
    "auth/key/regenerate": [("POST", None)],
    "auth/keys": [("GET", None), ("POST", {"label": "laptop"})],
    "auth/webhook-secret": [("GET", None), ("POST", None)],
    "auth/webhook-secret/regenerate": [("POST", None)],
    "auth/alert-webhook-secret": [("GET", None)],
    "auth/alert-webhook-secret/regenerate": [("POST", None)],
    "auth/session/refresh": [("POST", None)],
}
"""Paths that name no object: they show or change the caller's own."""
PUBLIC = {
    *("info", "auth/register"),
    *("auth/device-code", "auth/device-code/poll", "auth/device-code/submit-email", "auth/verify", "auth/session"),
}
"""Paths that anyone may call."""
BY_TOKEN = {"echo/<str:token>"}
"""An echo belongs to whoever knows its token (tests/cueapi/test_echo.py)."""

CALLS = [(route, method, body) for route, calls in CLOSED.items() for method, body in calls]
OWN_CALLS = [(route, method, body) for route, calls in OWN.items() for method, body in calls]
MALFORMED = ["nonsense", "%00", "..%2f", "x" * 500, MISSING.upper(), MISSING.replace("-", ""), f"{{{MISSING}}}"]


@pytest.fixture
def theirs(api: Api) -> ApiKey:
    """A key of Ada's beside the one she uses."""
    assert api.account is not None
    return keys.issue(api.account, label="laptop", created_by="user", now=NOW)[0]


def send(api: Api, method: str, route: str, object_id: Any, body: Any) -> Any:
    return api.send(method, f"/v1/{re.sub('<str:.+>', str(object_id), route)}", body, **CONFIRM)


def of(theirs: ApiKey, route: str) -> Any:
    """What of Ada's the path shows."""
    if route.startswith("audit-events"):
        return AuditEvent.objects.filter(account=theirs.account, subject_id=theirs.pk).get().pk
    return theirs.pk


def test_every_path_is_listed_here() -> None:
    routes = [str(entry.pattern) for entry in urls.urlpatterns]
    assert len(routes) == len(set(routes))
    assert set(routes) == set(CLOSED) | set(OWN) | PUBLIC | BY_TOKEN


@pytest.mark.parametrize(("route", "method", "body"), CALLS)
def test_a_stranger_cannot_tell_an_object_from_a_missing_one(
    theirs: ApiKey, stranger: Api, route: str, method: str, body: Any
) -> None:
    before = list(ApiKey.objects.filter(account=theirs.account).values())
    answers = [send(stranger, method, route, key_id, body) for key_id in (of(theirs, route), MISSING)]
    for answer in answers:
        refused(answer, 404, "not_found")
    assert answers[0].json() == answers[1].json()
    assert list(ApiKey.objects.filter(account=theirs.account).values()) == before


@pytest.mark.parametrize(("route", "method", "body"), CALLS)
@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_id_is_a_404(api: Api, route: str, method: str, body: Any, text: str) -> None:
    refused(send(api, method, route, text, body), 404, "not_found")


@pytest.mark.parametrize(("route", "method", "body"), [*CALLS, *OWN_CALLS])
def test_nobody_enters_without_a_key(theirs: ApiKey, anyone: Api, route: str, method: str, body: Any) -> None:
    answer = send(anyone, method, route, of(theirs, route), body)
    refused(answer, *((503, "session_unavailable") if "session" in route else (401, "invalid_api_key")))


@pytest.mark.parametrize(("route", "method", "body"), OWN_CALLS)
def test_a_call_touches_no_other_account(theirs: ApiKey, stranger: Api, route: str, method: str, body: Any) -> None:
    mine = Account.objects.filter(pk=theirs.account_id), ApiKey.objects.filter(account=theirs.account)
    before = [list(rows.values()) for rows in mine]
    answer = send(stranger, method, route, None, body)
    assert [list(rows.values()) for rows in mine] == before
    assert str(theirs.pk) not in answer.content.decode()
    assert theirs.account.webhook_secret not in answer.content.decode()
