"""Requests that are wrong before their body matters: paths, methods, ids, queries, keys."""

from typing import Any

import pytest

from tests.support.api import Api
from tests.support.envelope import in_envelope, refused, rows
from tests.support.wire import wire

pytestmark = [pytest.mark.django_db, pytest.mark.database]

UNKNOWN = "0d7a1c1e-6a53-4d0e-9b2f-2f6c1f0f7a11"  # no execution has this id

CUE: dict[str, Any] = {
    "name": "nightly-digest",
    "schedule": {"type": "recurring", "cron": "15 2 * * *"},
    "callback": {"url": "https://hooks.example.org/digest"},
}


def cue_url(api: Api) -> str:
    return f"/v1/cues/{api.post('/v1/cues', CUE).json()['id']}"


def fired_url(api: Api) -> str:
    return f"/v1/executions/{api.post(f'{cue_url(api)}/fire').json()['id']}"


# --- Paths and methods ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v2/cues",
        "/cues",
        "/v1/nonsense",
        "/v1/cues/",
        "/v1/cues//fire",
        "/v1/executions/",
        "/v1/auth/me/",
        "/v1/auth/register/",
        "/health/",
        "/v1/billing/checkout",
        "/v1/cues/cue_000000000000/nonsense",
        "/%00",
        "/%ff",
        "/" + "x" * 5_000,
    ],
)
def test_an_unknown_path_or_a_trailing_slash_is_not_found(api: Api, path: str) -> None:
    for method in ("GET", "POST", "PATCH", "DELETE"):
        refused(api.send(method, path, {} if method in ("POST", "PATCH") else None), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/cues"),
        ("DELETE", "/v1/cues"),
        ("PUT", "/v1/cues/cue_000000000000"),
        ("POST", "/v1/cues/cue_000000000000"),
        ("GET", "/v1/cues/cue_000000000000/fire"),
        ("POST", "/v1/executions"),
        ("PATCH", f"/v1/executions/{UNKNOWN}"),
        ("GET", f"/v1/executions/{UNKNOWN}/outcome"),
        ("POST", f"/v1/executions/{UNKNOWN}/evidence"),
        ("POST", "/v1/auth/me"),
        ("GET", "/v1/auth/register"),
        ("POST", "/health"),
        ("TRACE", "/v1/cues"),
        ("BREW", "/v1/cues"),
    ],
)
def test_a_wrong_method_says_which_it_is(api: Api, method: str, path: str) -> None:
    answer = api.send(method, path)
    error = refused(answer, 405, "method_not_allowed")
    assert method in error["message"]
    assert method not in answer.headers["Allow"].split(", ")


# --- Ids --------------------------------------------------------------------------------------------------------

BAD_IDS = [
    "exec_123",
    "exec_",
    "1",
    "null",
    "x" * 300,
    "%00",
    "a%00b",
    "%ff",
    "%F0%9F%92%A5",
    "'",
    "..%5c",
    UNKNOWN,
]
EXECUTION_PATHS = [
    ("GET", ""),
    ("POST", "/outcome"),
    ("PATCH", "/evidence"),
    ("POST", "/verify"),
    ("POST", "/verification-pending"),
    ("POST", "/replay"),
]
CUE_PATHS = [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/fire"), ("POST", "/pause"), ("POST", "/resume")]


@pytest.mark.parametrize(("method", "tail"), EXECUTION_PATHS)
def test_an_id_that_no_execution_has_is_not_found(api: Api, method: str, tail: str) -> None:
    for bad_id in BAD_IDS:
        answer = api.send(method, f"/v1/executions/{bad_id}{tail}", None if method == "GET" else {"success": True})
        refused(answer, 404, "execution_not_found")


@pytest.mark.parametrize(("method", "tail"), CUE_PATHS)
def test_an_id_that_no_cue_has_is_not_found(api: Api, method: str, tail: str) -> None:
    for bad_id in BAD_IDS:
        answer = api.send(method, f"/v1/cues/{bad_id}{tail}", {} if method in ("POST", "PATCH") else None)
        refused(answer, 404, "cue_not_found")


def test_the_objects_of_another_account_are_not_found(api: Api, stranger: Api) -> None:
    execution = fired_url(api)
    cue = f"/v1/cues/{api.get(execution).json()['cue_id']}"
    before = api.get(cue).json()
    for method, tail in CUE_PATHS:
        refused(stranger.send(method, f"{cue}{tail}"), 404, "cue_not_found")
    for method, tail in EXECUTION_PATHS:
        refused(stranger.send(method, f"{execution}{tail}", {"success": True}), 404, "execution_not_found")
    refused(stranger.post("/v1/cues", CUE | {"on_success_fire": before["id"]}), 422, "validation_error")
    assert stranger.get("/v1/cues").json()["total"] == stranger.get("/v1/executions").json()["total"] == 0
    assert api.get(cue).json() == before


# --- Queries ----------------------------------------------------------------------------------------------------

BAD_LIMITS = ["0", "-1", "101", "abc", "1.5", "٣", "", " 1", "+1", "1e1", "9" * 5_000, "\x00"]


@pytest.mark.parametrize("limit", BAD_LIMITS)
@pytest.mark.parametrize("path", ["/v1/cues", "/v1/executions"])
def test_a_limit_that_is_none_is_refused(api: Api, path: str, limit: str) -> None:
    refused(api.get(path, limit=limit), 422, "validation_error", "query.limit")


@pytest.mark.parametrize("offset", ["-1", "abc", "1.5", "٣", "", str(10**30), "9" * 5_000])
@pytest.mark.parametrize("path", ["/v1/cues", "/v1/executions"])
def test_an_offset_that_is_none_is_refused(api: Api, path: str, offset: str) -> None:
    refused(api.get(path, offset=offset), 422, "validation_error", "query.offset")


def test_the_page_of_a_cue_s_executions_follows_the_same_rules(api: Api) -> None:
    url = cue_url(api)
    refused(api.get(url, execution_limit="0"), 422, "validation_error", "query.execution_limit")
    refused(api.get(url, execution_offset="-1"), 422, "validation_error", "query.execution_offset")


@pytest.mark.parametrize("offset", ["1", "1000000", str(2**62)])
def test_an_offset_past_the_end_is_an_empty_page_with_the_true_total(api: Api, offset: str) -> None:
    cue_url(api)
    answer = api.get("/v1/cues", offset=offset)
    assert (answer.status_code, answer.json()["cues"], answer.json()["total"]) == (200, [], 1)


FILTERS = ["cue_id", "status", "status__in", "outcome_state", "worker_id", "triggered_by", "result_type"]


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_that_matches_nothing_finds_nothing(api: Api, name: str) -> None:
    fired_url(api)
    for value in ("nonsense", "\x00", "a\x00b", "💥", "x" * 5_000, "'; DROP TABLE cues; --"):
        answer = api.get("/v1/executions", **{name: value})
        assert (answer.status_code, answer.json()["total"]) == (200, 0), value


def test_a_status_that_no_cue_has_finds_nothing(api: Api) -> None:
    cue_url(api)
    for value in ("nonsense", "", "\x00", "x" * 5_000):
        assert api.get("/v1/cues", status=value).json()["total"] == 0


def test_status_and_status_in_together_are_refused(api: Api) -> None:
    refused(api.get("/v1/executions", status="failed", status__in="failed"), 400, "conflicting_filters")
    refused(api.get("/v1/executions", status__in=" , ,"), 400, "invalid_status_in")


@pytest.mark.parametrize("query", ["%ff=%ff", "status=%ff", "limit=%ff", "=", "&&&", "status[]=x", "limit=1&limit=0"])
def test_a_query_that_is_no_text_is_answered(api: Api, query: str) -> None:
    answer = api.get(f"/v1/cues?{query}")
    assert answer.status_code in (200, 422), answer.content
    if answer.status_code == 422:
        in_envelope(answer)


def test_a_thousand_and_one_query_parameters_are_refused(api: Api) -> None:
    answer = api.get("/v1/cues?" + "&".join(f"p{number}=1" for number in range(1_001)))
    refused(answer, 400, "invalid_request")


def test_unknown_query_parameters_are_ignored(api: Api) -> None:
    assert api.get("/v1/cues", nonsense="1", format="xml").status_code == 200


# --- Keys -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic {key}",
        "Token {key}",
        "{key}",
        "Bearer{key}",
        "Bearer\t{key}",
        "Bearer: {key}",
        "Bearer '{key}'",
        "Bearer {key}0",
        "Bearer {key} {key}",
        "Bearer {key}, Bearer {key}",
        "Bearer CUE_SK_" + "0" * 32,
        "Bearer cue_sk_",
        "Bearer cue_sk_" + "0" * 32,
        "Bearer cue_sk_" + "ÿ" * 32,
        "Bearer cue_sk_" + "0" * 10_000,
    ],
)
def test_a_wrong_authorization_header_is_no_key(api: Api, authorization: str) -> None:
    before = rows()
    answer = api.post("/v1/cues", CUE, Authorization=authorization.format(key=api.key))
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    error = in_envelope(answer)
    assert (answer.status_code, error["code"]) in ((401, "invalid_api_key"), (401, "invalid_session"))
    assert str(api.key).encode() not in answer.content
    assert rows() == before


def test_no_authorization_header_is_no_key(anyone: Api) -> None:
    refused(anyone.get("/v1/cues"), 401, "invalid_api_key")
    refused(anyone.get("/v1/cues?api_key=x"), 401, "invalid_api_key")


@pytest.mark.parametrize("authorization", ["Bearer {key}", "bearer {key}", "BEARER {key}", "Bearer   {key}  "])
def test_the_word_bearer_may_be_spelled_in_any_case(api: Api, authorization: str) -> None:
    with wire() as client:
        answer = client.get("/v1/auth/me", headers={"authorization": authorization.format(key=api.key)})
    assert answer.status_code == 200
