"""Requests that look odd: headers that lie or say nothing, empty bodies, and the flat form of a cue."""

from typing import Any

import pytest

from tests.support.api import Api
from tests.support.envelope import in_envelope, refused

pytestmark = [pytest.mark.django_db, pytest.mark.database]

FORM = "application/x-www-form-urlencoded"
CONFIRM = {"X-Confirm-Destructive": "true"}
CUE: dict[str, Any] = {
    "name": "nightly-digest",
    "schedule": {"type": "recurring", "cron": "15 2 * * *"},
    "callback": {"url": "https://hooks.example.org/digest"},
}


# --- Headers that lie -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["-1", "abc", "1.5", "0x10", " ", "²", "9" * 5_000])
def test_a_content_length_that_is_no_number_is_refused(api: Api, length: str) -> None:
    answer = api.send("POST", "/v1/cues", CUE, **{"Content-Length": length})
    assert answer.status_code in (400, 413), answer.content
    in_envelope(answer)


@pytest.mark.parametrize("host", ["a b", "evil.example.org/..", "a:b:c", "[::1", "💥"])
def test_a_host_that_cannot_be_is_answered_in_the_envelope(api: Api, host: str) -> None:
    answer = api.post("/v1/cues", CUE, Host=host)
    assert answer.status_code in (201, 400), answer.content
    if answer.status_code == 400:
        in_envelope(answer)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "nonsense", "", "application/json; q=0", "*/*; indent=x"]
)
def test_the_answer_is_json_whatever_is_accepted(api: Api, accept: str) -> None:
    answer = api.send("GET", "/v1/cues", None, Accept=accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


# --- Empty bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", FORM, "multipart/form-data; boundary=x", "text/plain"])
def test_an_empty_body_is_no_body_whatever_its_type(api: Api, content_type: str) -> None:
    headers = {"Content-Type": content_type} | CONFIRM
    cue = f"/v1/cues/{api.post('/v1/cues', CUE).json()['id']}"
    execution = f"/v1/executions/{api.post(f'{cue}/fire').json()['id']}"
    for path in (f"{cue}/fire", f"{cue}/pause", f"{cue}/resume"):
        assert api.post(path, **headers).status_code == 200, path
    refused(api.post(f"{execution}/outcome", **headers), 422, "validation_error", "body.success")
    assert api.post(f"{execution}/outcome", {"success": True}).status_code == 200
    assert api.post(f"{execution}/verification-pending", **headers).status_code == 200
    verified = api.post(f"{execution}/verify", **headers)
    assert (verified.status_code, verified.json()["valid"]) == (200, True), verified.content
    refused(api.post(f"{execution}/replay", **headers), 409, "execution_in_flight")
    assert api.patch(cue, **headers).status_code == 200
    assert api.post("/v1/auth/webhook-secret/regenerate", **headers).status_code == 200
    assert api.post("/v1/auth/key/regenerate", **headers).status_code == 200


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
def test_a_create_without_a_body_asks_for_the_name(api: Api, body: bytes) -> None:
    refused(api.send("POST", "/v1/cues", body), 422, "validation_error", "body.name")


# --- The flat form ----------------------------------------------------------------------------------------------


def test_the_flat_form_is_folded_in(api: Api) -> None:
    flat = {"name": "flat", "cron": "0 9 * * *", "timezone": "Europe/Paris", "callback_url": "https://a.example.org/"}
    cue = api.post("/v1/cues", flat).json()
    assert cue["schedule"] == {"type": "recurring", "cron": "0 9 * * *", "timezone": "Europe/Paris"}
    assert (cue["callback"]["url"], cue["transport"]) == ("https://a.example.org/", "webhook")


def test_nested_values_win_over_flat_ones(api: Api) -> None:
    flat = {"cron": "0 9 * * *", "timezone": "Europe/Paris", "callback_url": "https://flat.example.org/"}
    nested = {"schedule": {"cron": "0 10 * * *"}, "callback": {"url": "https://nested.example.org/"}}
    cue = api.post("/v1/cues", {"name": "both", "worker": True, "transport": "webhook"} | flat | nested).json()
    assert cue["schedule"] == {"type": "recurring", "cron": "0 10 * * *", "timezone": "Europe/Paris"}
    assert (cue["callback"]["url"], cue["transport"]) == ("https://nested.example.org/", "webhook")


def test_worker_true_makes_a_worker_cue_that_needs_no_url(api: Api) -> None:
    cue = api.post("/v1/cues", {"name": "w", "at": "2031-05-04T09:00:00Z", "worker": True}).json()
    assert (cue["transport"], cue["callback"]["url"]) == ("worker", None)
    assert cue["schedule"]["type"] == "once"
    assert "No active workers" in cue["warning"]


def test_unknown_fields_are_ignored_on_create_and_refused_on_patch(api: Api) -> None:
    cue = api.post("/v1/cues", CUE | {"colour": "red"}).json()
    error = refused(api.patch(f"/v1/cues/{cue['id']}", {"colour": "red"}), 422, "validation_error", "body.colour")
    assert "schedule" in error["message"]
