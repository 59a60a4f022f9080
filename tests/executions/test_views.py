"""The doors: who may pass, what a list holds, what an answer looks like (contract 1.2, 3.5, 4.1 and 5)."""

import re
from datetime import timedelta
from functools import reduce
from typing import Any

import pytest

from cues import urls as cue_urls
from cues.models import Cue
from executions import urls as execution_urls
from executions import workers
from executions.models import Alert, Destination, Execution, Worker
from executions.states import Status
from tests.support import make
from tests.support.api import Api
from tests.support.make import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CLOSED: dict[str, list[tuple[str, dict | None]]] = {
    "cues/<str:cue_id>": [("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)],
    "cues/<str:cue_id>/explain": [("GET", None)],
    "cues/<str:cue_id>/fire": [("POST", {})],
    "cues/<str:cue_id>/ledger": [("GET", None)],
    "cues/<str:cue_id>/pause": [("POST", None)],
    "cues/<str:cue_id>/preview": [("GET", None)],
    "cues/<str:cue_id>/resume": [("POST", None), ("POST", {"dry_run": True})],
    "executions/<str:execution_id>": [("GET", None)],
    "executions/<str:execution_id>/claim": [("POST", {"worker_id": "w"})],
    "executions/<str:execution_id>/heartbeat": [("POST", None)],
    "executions/<str:execution_id>/outcome": [("POST", {"success": True})],
    "executions/<str:execution_id>/evidence": [("PATCH", {"external_id": "x"})],
    "executions/<str:execution_id>/verify": [("POST", {})],
    "executions/<str:execution_id>/verification-pending": [("POST", None)],
    "executions/<str:execution_id>/replay": [("POST", None), ("POST", {"definition": "current"})],
    "executions/<str:execution_id>/handled": [("PUT", None), ("DELETE", None)],
    "executions/<str:execution_id>/timeline": [("GET", None)],
    "destinations/<str:destination_id>": [("PATCH", {"rate_per_minute": 60})],
    "destinations/<str:destination_id>/open": [("POST", None)],
    "destinations/<str:destination_id>/close": [("POST", None)],
    "workers/<path:worker_id>": [("DELETE", None)],
    "alerts/<str:alert_id>/acknowledge": [("POST", None)],
}
"""Every path that names one object, and each way to call it."""
OPEN = {
    "auth/me",
    "cues",
    "cues/bulk-delete",
    "dead-letters",
    "dead-letters/replay",
    "destinations",
    "events",
    "executions",
    "executions/claim",
    "executions/claimable",
    "schedules/preview",
    "alerts",
    "usage",
    "worker/heartbeat",
    "workers",
    "workers/heartbeat",
    "workers/register",
}
"""Paths that name no object: they show the caller's own."""
MISSING = {
    "cues": (404, "cue_not_found"),
    "executions": (404, "execution_not_found"),
    "workers": (404, "worker_not_found"),
    "alerts": (404, "alert_not_found"),
    "destinations": (404, "destination_not_found"),
    "executions/<str:execution_id>/claim": (409, "claim_failed"),
}
"""What a missing object of each kind answers; a path of its own comes before its kind."""

CALLS = [(route, method, body) for route, calls in CLOSED.items() for method, body in calls]
MALFORMED = ["nonsense", "exec_123", "%00", "..%2f", "x" * 500, "7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55"]


@pytest.fixture
def ended(api: Api) -> Execution:
    cue = make.recurring(api.account, payload={"task": "digest"})
    workers.heartbeat(api.account, "host.example/1", now=NOW)
    run = make.execution(
        cue, status=Status.SUCCESS, outcome_state="reported_success", outcome_success=True, outcome_recorded_at=NOW
    )
    Alert.objects.create(
        account=api.account, cue=cue, execution=run, alert_type="outcome_timeout", message="late", created_at=NOW
    )
    Destination.objects.create(pk=12345678, account=api.account, lane="https://hooks.example:443", state="open")
    return run


def path_to(route: str, execution: Execution) -> str:
    ids = {
        "<str:cue_id>": execution.cue_id,
        "<str:execution_id>": str(execution.pk),
        "<path:worker_id>": Worker.objects.get().worker_id,
        "<str:alert_id>": str(Alert.objects.get().pk),
        "<str:destination_id>": str(Destination.objects.get().pk),
    }
    return "/v1/" + reduce(lambda path, name: path.replace(name, ids[name]), ids, route)


def missing(route: str) -> tuple[int, str]:
    return MISSING.get(route) or MISSING[route.partition("/")[0]]


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# --- Isolation --------------------------------------------------------------------------------------------------


def test_every_path_is_listed_here() -> None:
    routes = {str(entry.pattern) for entry in (*cue_urls.urlpatterns, *execution_urls.urlpatterns)}
    assert routes == set(CLOSED) | OPEN


@pytest.mark.parametrize(("route", "method", "body"), CALLS)
def test_a_stranger_cannot_tell_an_object_from_a_missing_one(
    ended: Execution, stranger: Api, route: str, method: str, body: dict | None
) -> None:
    kinds = (Cue, Execution, Worker, Alert, Destination)
    before = [list(kind.objects.values()) for kind in kinds]
    path = path_to(route, ended)
    nothing = reduce(lambda text, pair: text.replace(*pair), others(ended), path)
    assert nothing != path
    answers = [stranger.send(method, address, body) for address in (path, nothing)]
    assert [code(answer) for answer in answers] == [missing(route)] * 2
    assert answers[0].json() == answers[1].json()
    assert [list(kind.objects.values()) for kind in kinds] == before


def others(ended: Execution) -> list[tuple[str, str]]:
    """Each id of the owner's, and one of its kind that nobody has."""
    nobody = "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11"
    return [
        (str(ended.pk), nobody),
        (ended.cue_id, "cue_000000000000"),
        (str(Alert.objects.get().pk), nobody),
        ("host.example/1", "host.example/2"),
        ("12345678", "87654321"),
    ]


@pytest.mark.parametrize(("route", "method", "body"), CALLS)
def test_nobody_enters_without_a_key(ended: Execution, anyone: Api, route: str, method: str, body: dict | None) -> None:
    assert code(anyone.send(method, path_to(route, ended), body)) == (401, "invalid_api_key")


@pytest.mark.parametrize(("route", "method", "body"), CALLS)
@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_id_is_a_404(api: Api, route: str, method: str, body: dict | None, text: str) -> None:
    path = re.sub("<[^>]*>", text, route)
    assert api.send(method, f"/v1/{path}", body).status_code in (404, missing(route)[0])


def test_lists_hold_the_callers_own(ended: Execution, stranger: Api) -> None:
    assert stranger.get("/v1/executions").json()["executions"] == []
    assert stranger.get("/v1/executions", cue_id=ended.cue_id).json()["total"] == 0
    assert stranger.get("/v1/cues").json()["cues"] == []


# --- Lists ------------------------------------------------------------------------------------------------------


def ids(api: Api, **query: Any) -> list[str]:
    answer = api.get("/v1/executions", **query)
    assert answer.status_code == 200, answer.content
    return [run["id"] for run in answer.json()["executions"]]


def test_the_newest_come_first_page_by_page(api: Api) -> None:
    cue = make.cue(api.account)
    runs = [make.execution(cue, created_at=NOW + timedelta(seconds=n)) for n in range(5)]
    newest_first = [str(run.pk) for run in reversed(runs)]
    assert ids(api) == newest_first
    page = api.get("/v1/executions", limit=2, offset=2).json()
    assert [run["id"] for run in page["executions"]] == newest_first[2:4]
    assert (page["total"], page["limit"], page["offset"], page["has_more"]) == (5, 2, 2, True)
    beyond = api.get("/v1/executions", offset=50).json()
    assert (beyond["executions"], beyond["total"], beyond["has_more"]) == ([], 5, False)
    assert api.get("/v1/executions", limit=101).status_code == 422


def test_each_filter_finds_its_own(api: Api) -> None:
    cue = make.cue(api.account)
    made = {
        "cue_id": (make.execution(other := make.cue(api.account)), other.pk),
        "status": (make.execution(cue, status=Status.MISSED), "missed"),
        "outcome_state": (make.execution(cue, outcome_state="unknown"), "unknown"),
        "worker_id": (make.execution(cue, claimed_by_worker="w.1/x", claimed_at=NOW), "w.1/x"),
        "triggered_by": (make.execution(cue, triggered_by="replay"), "replay"),
        "result_type": (make.execution(cue, result_type="email"), "email"),
        "has_evidence": (make.execution(cue, external_id="m"), "true"),
    }
    for name, (execution, value) in made.items():
        assert ids(api, **{name: value}) == [str(execution.pk)], name
        if name != "has_evidence":
            assert ids(api, **{name: "no such value \x00"}) == [], name
    assert set(ids(api, status__in="missed, failed")) == {str(made["status"][0].pk)}
    assert api.get("/v1/executions").json()["oldest_claimed_at"] == "2031-05-04T09:00:00Z"


def test_filters_that_conflict_or_say_nothing_are_refused(api: Api) -> None:
    assert code(api.get("/v1/executions", status="failed", status__in="failed")) == (400, "conflicting_filters")
    assert code(api.get("/v1/executions", status__in=" , ")) == (400, "invalid_status_in")
    assert code(api.get("/v1/executions", has_evidence="perhaps")) == (422, "validation_error")


def test_a_cue_shows_its_latest_executions(api: Api) -> None:
    cue = make.recurring(api.account)
    runs = [make.execution(cue, created_at=NOW + timedelta(seconds=n)) for n in range(12)]
    make.execution(make.cue(api.account))
    detail = api.get(f"/v1/cues/{cue.pk}").json()
    assert [run["id"] for run in detail["executions"]] == [str(run.pk) for run in runs[:1:-1]]
    assert (detail["execution_total"], detail["execution_limit"], detail["execution_offset"]) == (12, 10, 0)
    page = api.get(f"/v1/cues/{cue.pk}", execution_limit=1, execution_offset=11).json()
    assert [run["id"] for run in page["executions"]] == [str(runs[0].pk)]
    assert api.get(f"/v1/cues/{cue.pk}", execution_limit=0).status_code == 422


# --- Answers ----------------------------------------------------------------------------------------------------


def test_the_alias_of_an_id_works_too(api: Api, ended: Execution) -> None:
    assert api.get(f"/v1/executions/exec_{ended.pk}").json()["id"] == str(ended.pk)


def test_fire_and_replay_answer_what_clients_read(api: Api, ended: Execution) -> None:
    fired = api.post(f"/v1/cues/{ended.cue_id}/fire").json()
    assert fired["id"] == fired["execution_id"] != str(ended.pk)
    assert (fired["cue_id"], fired["status"], fired["triggered_by"]) == (ended.cue_id, "pending", "manual_fire")
    again = api.post(f"/v1/executions/{ended.pk}/replay").json()
    assert (again["triggered_by"], again["replayed_from"], again["id"]) == (
        "replay",
        str(ended.pk),
        again["execution_id"],
    )
    assert code(api.post(f"/v1/executions/{again['id']}/replay")) == (409, "execution_in_flight")


def test_fire_for_later_shows_the_instant(api: Api, ended: Execution) -> None:
    fired = api.post(f"/v1/cues/{ended.cue_id}/fire", {"send_at": "2032-01-01T10:00:00+01:00"}).json()
    assert fired["scheduled_for"] == "2032-01-01T09:00:00Z"


def test_outcome_evidence_and_verification_over_http(api: Api) -> None:
    cue = make.cue(api.account, verification_mode="require_external_id")
    path = f"/v1/executions/{make.execution(cue).pk}"
    report = {"success": True, "result": "r" * 4096, "error": None, "metadata": {"n": 3}, "unknown": 1}
    answer = api.post(f"{path}/outcome", report)
    assert answer.json()["outcome_state"] == "verification_failed"
    assert answer.json()["outcome_recorded"] is True
    assert code(api.post(f"{path}/outcome", report)) == (409, "outcome_already_recorded")
    assert api.patch(f"{path}/evidence", {"external_id": "msg:88"}).json()["outcome_state"] == "verified_success"
    assert code(api.post(f"{path}/verify", {})) == (409, "invalid_state")
    assert api.post(f"{path}/verification-pending").json()["outcome_state"] == "verification_pending"
    verified = api.post(f"{path}/verify", {"valid": False, "reason": "wrong mail"}).json()
    assert (verified["valid"], verified["outcome_state"]) == (False, "verification_failed")
    outcome = api.get(path).json()["outcome"]
    assert (len(outcome["result"]), outcome["summary"], outcome["metadata"]) == (2000, "wrong mail", {"n": 3})


def test_metadata_may_hold_ten_kib(api: Api) -> None:
    path = f"/v1/executions/{make.execution(make.cue(api.account)).pk}/outcome"
    fits = {"k": "x" * (10_240 - len('{"k":""}'))}
    over = {"k": fits["k"] + "x"}
    assert code(api.post(path, {"success": True, "metadata": over})) == (400, "metadata_too_large")
    assert api.post(path, {"success": True, "metadata": fits}).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"success": "yes"},
        {"success": None},
        {"external_id": "x" * 501},
        {"result_ref": "x" * 501},
        {"result_type": "x" * 101},
        {"result_url": "ftp://example.org"},
        {"result_url": "https://example.org/" + "x" * 2000},
        {"artifacts": {"a": 1}},
        {"assertions": []},
        {"metadata": "text"},
        {"result": 5},
        {"result": "nul\x00"},
    ],
)
def test_an_outcome_of_the_wrong_shape_is_a_422_and_can_be_sent_again(api: Api, fields: dict) -> None:
    path = f"/v1/executions/{make.execution(make.cue(api.account)).pk}/outcome"
    assert code(api.post(path, {"success": True} | fields)) == (422, "validation_error")
    assert api.post(path, {"success": True}).status_code == 200
