"""The echo-back check: who asks for it sees what arrived, and nobody else notices that it exists."""

import hashlib
import json
from typing import Any

import pytest

from cueapi import echo_back
from tests.support import make
from tests.support.api import Api
from tests.support.envelope import refused

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ECHO = {"x_cueapi_verify_echo": "true"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def echoed(answer: Any) -> tuple[Any, str]:
    assert 200 <= answer.status_code <= 299, answer.content
    return answer.json()["body_received"], answer.json()["body_received_sha256"]


def cue_of(api: Api) -> str:
    return f"/v1/cues/{api.post('/v1/cues', make.body()).json()['id']}"


def test_a_create_shows_the_body_in_its_own_order(api: Api) -> None:
    body = make.body(zeta=1, alpha={"b": "ü", "a": [1.5, True, None]})
    answer = api.post("/v1/cues", body, **ECHO)
    received, digest = echoed(answer)
    assert json.dumps(received) == json.dumps(body)
    assert digest == sha(json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    assert answer.json()["name"] == "digest"  # beside it stands the answer as ever


def test_a_patch_shows_it_too(api: Api) -> None:
    body = {"description": "again"}
    assert echoed(api.patch(cue_of(api), body, **ECHO)) == (body, sha('{"description":"again"}'))


@pytest.mark.parametrize("value", ["true", "TRUE", " True "])
def test_the_header_is_read_in_any_case(api: Api, value: str) -> None:
    assert "body_received" in api.patch(cue_of(api), {"description": "x"}, x_cueapi_verify_echo=value).json()


@pytest.mark.parametrize("value", ["", "false", "1", "yes", "true, true"])
def test_any_other_value_asks_for_nothing(api: Api, value: str) -> None:
    answer = api.patch(cue_of(api), {"description": "x"}, x_cueapi_verify_echo=value).json()
    assert not {"body_received", "body_received_sha256"} & set(answer)


def test_an_empty_body_is_null(api: Api) -> None:
    assert echoed(api.post(f"{cue_of(api)}/pause", **ECHO)) == (None, sha(""))


@pytest.mark.parametrize("body", [b"not json", b"{'a': 1}", b"NaN", b"[1e999]", b'"\\ud800"', b"[" * 200 + b"]" * 200])
def test_what_is_no_json_comes_back_as_text(api: Api, body: bytes) -> None:
    text = body.decode()
    assert echoed(api.post(f"{cue_of(api)}/pause", body, **ECHO)) == (text, sha(json.dumps(text)))


def test_bytes_that_are_no_text_harm_nobody(api: Api) -> None:
    received, _ = echoed(api.post(f"{cue_of(api)}/pause", b"\xff\x00", **ECHO))
    assert received == "\ufffd\ufffd"


def test_fire_shows_the_body_only_when_it_overrides_the_payload(api: Api) -> None:
    fire = f"{cue_of(api)}/fire"
    body = {"merge_strategy": "replace", "payload_override": {"z": 1, "a": 2}}
    received, digest = echoed(api.post(fire, body, **ECHO))
    assert json.dumps(received) == json.dumps(body)
    assert digest == echo_back.digest(body)
    for other in ({"merge_strategy": "merge"}, {}, None):
        assert echoed(api.post(fire, other, **ECHO)) == (None, sha(""))


def test_errors_reads_and_deletions_are_never_changed(api: Api) -> None:
    cue = cue_of(api)
    plain, checked = (api.post("/v1/cues", {"name": "x"}, **headers) for headers in ({}, ECHO))
    refused(checked, 422, "validation_error")
    assert plain.json() == checked.json()
    assert "body_received" not in api.send("GET", cue, **ECHO).json()
    deleted = api.delete(cue, **ECHO)
    assert (deleted.status_code, deleted.content) == (204, b"")


def test_an_answer_given_twice_is_checked_twice(api: Api) -> None:
    body = make.body()
    first, second = (api.post("/v1/cues", body, idempotency_key="order-17", **ECHO) for _ in range(2))
    assert second.headers["Idempotent-Replayed"] == "true"
    assert echoed(first) == echoed(second) == (body, echo_back.digest(body))
    assert "body_received" not in api.post("/v1/cues", body, idempotency_key="order-17").json()


def test_a_body_that_is_not_there_has_the_digest_of_nothing() -> None:
    assert echo_back.digest(None) == sha("")
    assert echo_back.digest({}) == sha("{}")
