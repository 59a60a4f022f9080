"""The echo: what is posted under a token can be looked at for five minutes; our own deliveries are not counted."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from django.conf import LazySettings

from cueapi import outbound
from cueapi.outbound import origin
from cueapi.volatile import store
from tests.support.api import Api
from tests.support.envelope import refused
from tests.support.receiver import Receiver

pytestmark = pytest.mark.django_db

TOKEN = "qs-0123456789abcdef"
PATH = f"/v1/echo/{TOKEN}"


def test_what_is_posted_can_be_looked_at(api: Api, anyone: Api) -> None:
    assert api.get(PATH).json() == {"status": "waiting"}
    answer = anyone.post(PATH, {"task": "digest", "n": [1, None]})
    assert (answer.status_code, answer.json()) == (200, {"stored": True})
    found = api.get(PATH).json()
    assert (found["status"], found["payload"]) == ("delivered", {"task": "digest", "n": [1, None]})
    assert datetime.fromisoformat(found["received_at"]).tzinfo is not None
    assert api.get(f"{PATH}-other").json() == {"status": "waiting"}


def test_looking_needs_a_key(anyone: Api) -> None:
    anyone.post(PATH, {"task": "digest"})
    refused(anyone.get(PATH), 401, "invalid_api_key")


def test_the_last_one_is_kept(api: Api, anyone: Api) -> None:
    for number in range(3):
        anyone.post(PATH, {"n": number})
    assert api.get(PATH).json()["payload"] == {"n": 2}


def test_it_is_kept_for_five_minutes(anyone: Api) -> None:
    anyone.post(PATH, {})
    (name,) = store().scan_iter("echo:*")
    assert 290 < store().ttl(name) <= 300
    assert TOKEN not in name.decode()


@pytest.mark.parametrize("body", [b"[1, 2]", b'"text"', b"0", b"null", b"true", b"{}", b""])
def test_the_body_may_be_any_json_value(api: Api, anyone: Api, body: bytes) -> None:
    assert anyone.post(PATH, body).status_code == 200
    found = api.get(PATH).json()
    assert (found["status"], found["payload"]) == ("delivered", json.loads(body or b"null"))


@pytest.mark.parametrize("body", [b"{", b"text", b"\xff", b"{'a': 1}", b"[" * 5000])
def test_what_is_no_json_is_refused_and_not_counted(anyone: Api, body: bytes) -> None:
    for _ in range(12):
        refused(anyone.post(PATH, body), 400, "invalid_json")


@pytest.mark.parametrize("body", [b"NaN", b'{"a": Infinity}', b'"\\u0000"', b'["\\ud800"]'])
def test_what_no_answer_can_hold_is_refused(anyone: Api, body: bytes) -> None:
    refused(anyone.post(PATH, body), 422, "validation_error")


def test_a_body_may_have_a_million_bytes(api: Api, anyone: Api) -> None:
    fits = b'"' + b"x" * 999_998 + b'"'
    assert anyone.post(PATH, fits).status_code == 200
    assert len(api.get(PATH).json()["payload"]) == 999_998
    error = refused(anyone.post(PATH, fits + b" "), 413, "payload_too_large")
    assert "1 000 000" in error["message"]


@pytest.mark.parametrize("token", ["x", "x" * 15, "x" * 256])
def test_a_token_has_16_to_255_characters(api: Api, token: str) -> None:
    refused(api.post(f"/v1/echo/{token}", {}), 400, "invalid_token")
    refused(api.get(f"/v1/echo/{token}"), 400, "invalid_token")


@pytest.mark.parametrize("token", ["x" * 16, "%00" * 16, "ä" * 16, "%2e" * 20])
def test_odd_tokens_are_tokens(api: Api, token: str) -> None:
    assert api.post(f"/v1/echo/{token}", {"n": 1}).status_code == 200
    assert api.get(f"/v1/echo/{token}").json()["payload"] == {"n": 1}


def test_the_headers_that_describe_a_delivery_are_kept(api: Api, anyone: Api) -> None:
    anyone.post(
        PATH,
        {},
        X_CueAPI_Signature="v1=abc",
        User_Agent="CueAPI/1.0",
        Cookie="secret=1",
        Authorization="Bearer secret",
        X_Other="1",
    )
    assert api.get(PATH).json()["headers"] == {
        "x-cueapi-signature": "v1=abc",
        "user-agent": "CueAPI/1.0",
        "content-type": "application/json",
    }


def test_the_content_type_is_shown_as_it_came(api: Api, anyone: Api) -> None:
    anyone._client.generic("POST", PATH, b"{}", content_type="text/plain")
    assert api.get(PATH).json()["headers"] == {"content-type": "text/plain"}


def test_without_the_store_the_answer_says_to_try_again(api: Api, settings: LazySettings, tmp_path: Path) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"redis_url": f"unix://{tmp_path}/nobody.sock"})
    for answer in (api.post(PATH, {}), api.get(PATH)):
        error = refused(answer, 503, "service_unavailable")
        assert "Try again" in error["message"]


# --- The limit, and who is not counted ---------------------------------------------------------------------------


def statuses(anyone: Api, count: int, **headers: str) -> list[int]:
    return [anyone.post(PATH, {}, **headers).status_code for _ in range(count)]


def test_ten_an_hour_for_one_address_are_the_most(anyone: Api) -> None:
    assert statuses(anyone, 11) == [200] * 10 + [429]


def test_our_own_deliveries_are_not_counted(anyone: Api) -> None:
    assert statuses(anyone, 12, X_CueAPI_Origin=origin.mark_for(PATH)) == [200] * 12
    assert statuses(anyone, 11) == [200] * 10 + [429]


@pytest.mark.parametrize("mark", ["", "x", "ä", "0" * 64, origin.mark_for("/v1/echo/qs-another-token-entirely")])
def test_a_mark_made_by_anybody_else_does_not_help(anyone: Api, mark: str) -> None:
    assert statuses(anyone, 11, X_CueAPI_Origin=mark) == [200] * 10 + [429]


def test_a_mark_from_before_the_secret_key_changed_counts_as_ours(settings: LazySettings) -> None:
    mark = origin.mark_for(PATH)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert origin.is_genuine(mark, PATH)
    settings.SECRET_KEY_FALLBACKS = []
    assert not origin.is_genuine(mark, PATH)


def send(url: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return outbound.send(outbound.OutboundRequest("POST", url, named, b"{}", timeout_s=5)).status


def test_what_this_server_sends_to_its_own_echo_carries_the_mark_and_nothing_else_does(
    receiver: Receiver, settings: LazySettings
) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"base_url": receiver.url_for("/under/a/path")})
    for path in (f"/under/a/path{PATH}?x=/y", PATH, "/under/a/path/v1/cues"):
        assert send(receiver.url_for(path), x_cueapi_origin="of the customer's own making") == 200
    own, *others = [webhook.headers["X-CueAPI-Origin"] for webhook in receiver.received]
    assert origin.is_genuine(own, PATH)
    assert others == ["of the customer's own making"] * 2


def test_nobody_can_read_the_mark(api: Api, anyone: Api) -> None:
    anyone.post(PATH, {}, X_CueAPI_Origin=origin.mark_for(PATH))
    assert "x-cueapi-origin" not in api.get(PATH).json()["headers"]
